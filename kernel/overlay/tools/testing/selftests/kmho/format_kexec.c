// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two kernels with different formats meet: the next one takes nothing over, says
 * so in its log, and frees all that the last one left.
 *
 * Provokes: kmho: the last kernel wrote 'kmho-v4242'
 */
#include <sys/klog.h>

#include "kmho_test.h"

#define NR_RECORDS	8
#define NR		8192UL	/* pages of a record */
#define SEED(n)		(0xf0f0ULL + (n))
#define TOLD		kt_key(NR_RECORDS)
#define SLACK_KIB	4096
#define VERSION		"/sys/kernel/debug/kmho/version"

static bool log_says(const char *what)
{
	static char log[1 << 20];
	int len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);

	must(len > 0);
	log[len] = '\0';
	return strstr(log, what);
}

static void format_before(void)
{
	unsigned long n;

	kt_need_root();
	for (n = 0; n < NR_RECORDS; n++)
		kt_give(kt_key(n), kt_addr(n), NR, SEED(n));
	if (!kt_write_file(VERSION, "4242"))
		kt_skip("no %s (CONFIG_KMHO_DEBUG)", VERSION);
	/* nothing is seen of it in this kernel */
	for (n = 0; n < NR_RECORDS; n++)
		must(kt_exists(kt_key(n)));
}

/*
 * Pages that KHO has kept and nobody has freed are not in MemTotal. The kernel
 * after the next kexec has nothing of the kind, so it is told what there is here.
 */
static void format_after(void)
{
	unsigned long n;
	__u64 *told;

	must(log_says("the last kernel wrote 'kmho-v4242'"));
	must(log_says("pages that it left"));
	for (n = 0; n < NR_RECORDS; n++) {
		must(!kt_exists(kt_key(n)));
		must_fail(ENOENT, kt_drop(kt_key(n)));
	}
	/* the keys are free: the right call made now succeeds */
	kt_give(kt_key(1), kt_addr(1), NR, SEED(99));
	kt_take(kt_key(1), kt_addr(1), NR, SEED(99));

	kt_map(kt_addr(0), 1);
	told = kt_ptr(kt_addr(0));
	told[0] = kt_total_kib();
	must(!kt_handover(TOLD, kt_addr(0), 1));
	kt_stay();
}

static void format_again(void)
{
	__u64 *told = kt_ptr(kt_addr(0));
	long total = kt_total_kib();

	must(!kt_takeover(TOLD, kt_addr(0), 1));
	printf("# %llu KiB of memory after another format, %ld KiB now\n",
	       (unsigned long long)told[0], total);
	must(labs(total - (long)told[0]) < SLACK_KIB);
}

static const struct kt_case cases[] = {
	{
		"what a kernel of another format left is refused and freed",
		.before = format_before,
		.after = format_after,
		.again = format_again,
	},
};

int main(int argc, char **argv)
{
	kt_program = 0x33;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
