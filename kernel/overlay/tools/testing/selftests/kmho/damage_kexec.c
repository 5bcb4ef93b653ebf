// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bit that flips in what crosses the kexec: the record is refused and named in
 * the log, the others are whole, and its key is free.
 *
 * Provokes: kmho: (record with key 0x[0-9a-f]+ of uid \d+|object \d+) refused
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

/* ---- shared memory: what several records name is whole, or is none of theirs ---- */

#define FIRST	8UL
#define LAST	10UL

struct shared {
	unsigned long n;
	int good;
	int bad;
};

static void do_give_shared(void *arg)
{
	struct shared *s = arg;
	unsigned long base = kt_addr(s->n);
	struct kmho_range_handover ranges[2] = {
		{ base, NR * kt_page },
		{ base + 2 * NR * kt_page, NR * kt_page },
	};
	struct kmho_op_handover op = { kt_key(s->n), s->bad < 0 ? 1 : 2, ranges };
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	must(mmap(kt_ptr(base), NR * kt_page, PROT_READ | PROT_WRITE, flags, s->good, 0) ==
	     kt_ptr(base));
	kt_fill(base, 0, NR, SEED(FIRST));
	if (s->bad >= 0) {
		must(mmap(kt_ptr(ranges[1].base), NR * kt_page, PROT_READ | PROT_WRITE, flags,
			  s->bad, 0) == kt_ptr(ranges[1].base));
		kt_fill(ranges[1].base, 0, NR, SEED(FIRST));
	}
	must(!kmho(KMHO_HANDOVER, &op));
}

/* Records before and behind the sound one name what is damaged */
static void object_before(void)
{
	struct shared s = { .good = memfd_create("good", 0) };
	int bad = memfd_create("bad", 0);

	kt_need_root();
	must(s.good >= 0 && bad >= 0);
	must(!ftruncate(s.good, NR * kt_page) && !ftruncate(bad, NR * kt_page));
	for (s.n = FIRST; s.n <= LAST; s.n++) {
		s.bad = s.n == FIRST || s.n == LAST ? bad : -1;
		kt_run(do_give_shared, &s);
	}
	flip_bit(kt_key(FIRST));
}

static void object_after(void)
{
	struct kmho_record_info info;
	unsigned long n;

	must(log_says("object"));
	for (n = FIRST; n <= LAST; n += LAST - FIRST)
		must(!kt_exists(kt_key(n)));
	must(!kt_info(kt_key(FIRST + 1), &info));
	must(info.present == NR * kt_page);
	kt_take(kt_key(FIRST + 1), kt_addr(FIRST + 1), NR, SEED(FIRST));
}

static const struct kt_case cases[] = {
	{
		"a record with a flipped bit is refused, the others are whole",
		.before = damage_before,
		.after = damage_after,
	},
	{
		"shared memory with a flipped bit is refused, what lies beside it is whole",
		.before = object_before,
		.after = object_after,
	},
};

int main(int argc, char **argv)
{
	kt_program = 0x32;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
