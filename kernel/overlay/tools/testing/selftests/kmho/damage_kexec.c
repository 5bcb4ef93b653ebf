// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bit that flips in what crosses the kexec: the record is refused and named in
 * the log, the others are whole, and its key is free.
 *
 * Provokes: kmho: record with key 0x[0-9a-f]+ of uid \d+ refused
 */
#include <sys/klog.h>

#include "kmho_test.h"

#define NR	64UL
#define SEED(n)	(0xda3aULL + (n))
#define FLIP	"/sys/kernel/debug/kmho/flip_bit"

static void flip_bit(unsigned long key)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", key);
	if (!kt_write_file(FLIP, text))
		kt_skip("no %s (CONFIG_KMHO_DEBUG)", FLIP);
}

static bool log_says(const char *what)
{
	static char log[1 << 20];
	int len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);

	must(len > 0);
	log[len] = '\0';
	return strstr(log, what);
}

static void damage_before(void)
{
	unsigned long n;

	kt_need_root();
	for (n = 0; n < 4; n++)
		kt_give(kt_key(n), kt_addr(n), NR, SEED(n));
	flip_bit(kt_key(1));
	flip_bit(kt_key(3));
	/* nothing is seen of it in this kernel */
	for (n = 0; n < 4; n++)
		must(kt_exists(kt_key(n)));
}

static void damage_after(void)
{
	unsigned long n, remap = 0;
	char text[64];

	for (n = 1; n < 4; n += 2) {
		snprintf(text, sizeof(text), "key %#lx of uid 0 refused", kt_key(n));
		must(log_says(text));
		must(!kt_exists(kt_key(n)));
		must_fail(ENOENT, kt_takeover_to(kt_key(n), kt_addr(n), NR, &remap));
		must_fail(ENOENT, kt_drop(kt_key(n)));
	}
	kt_take(kt_key(0), kt_addr(0), NR, SEED(0));
	kt_take(kt_key(2), kt_addr(2), NR, SEED(2));
	/* the key is free: the right call made now succeeds */
	kt_give(kt_key(1), kt_addr(1), NR, SEED(5));
	kt_take(kt_key(1), kt_addr(1), NR, SEED(5));
}

static const struct kt_case cases[] = {
	{
		"a record with a flipped bit is refused, the others are whole",
		.before = damage_before,
		.after = damage_after,
	},
};

int main(int argc, char **argv)
{
	kt_program = 0x32;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
