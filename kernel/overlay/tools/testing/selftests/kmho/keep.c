// SPDX-License-Identifier: GPL-2.0-only
/*
 * A takeover that keeps (T6): the record stands, live, for the process that
 * took over, wherever that has the memory mapped. A keeper that dies has lost
 * nothing; the next can start again.
 *
 * Of NR pages the first NR_GIVEN are written by the process that hands over;
 * the others are holes, and keepers fill some.
 */
#include "kmho_test.h"

#define SEED	0x4ee9ULL
#define NR	1536
#define NR_GIVEN	1100

enum { HERE, CROSS, PART, THERE = 32 };

static int keep_to(unsigned long key, unsigned long base, unsigned long nr, unsigned long *remap)
{
	return kt_take_to(KMHO_TAKEOVER_KEEP, key, base, nr, remap);
}

static int keep(unsigned long key, unsigned long base, unsigned long nr)
{
	unsigned long remap = base;

	return keep_to(key, base, nr, &remap);
}

static void must_be(unsigned long key, __u32 state, pid_t pid, unsigned long present)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	kt_show(&info, "record");
	must(info.state == state && info.pid == pid);
	must(info.bytes == NR * kt_page && info.present == present * kt_page);
	must(info.nr_ranges == 1);
}

static void do_give(void *arg)
{
	unsigned long n = (unsigned long)arg, base = kt_addr(n);

	kt_map(base, NR);
	kt_fill(base, 0, NR_GIVEN, SEED);
	must(!kt_handover(kt_key(n), base, NR));
}

static void give(unsigned long n)
{
	kt_run(do_give, (void *)n);
}

/* With huge pages, where there are any */
static void do_give_huge(void *arg)
{
	unsigned long n = (unsigned long)arg, base = kt_addr(n);

	kt_map_thp(base, NR * kt_page);
	kt_fill(base, 0, NR_GIVEN, SEED);
	must(!kt_handover(kt_key(n), base, NR));
}

/* Pages that a keeper writes: some that were there, and some that were not */
static unsigned long nth_page(unsigned long i)
{
	return i * 67 % NR;
}

static void write_some(unsigned long at, __u64 seed)
{
	unsigned long i;

	for (i = 0; i < 20; i++)
		kt_fill(at, nth_page(i), 1, seed);
}

static bool is_written(unsigned long page)
{
	unsigned long i;

	for (i = 0; i < 20; i++) {
		if (nth_page(i) == page)
			return true;
	}
	return false;
}

/* What was given and what a keeper has written, and nothing else */
static void must_hold(unsigned long at, __u64 seed)
{
	unsigned long page;

	for (page = 0; page < NR; page++) {
		if (is_written(page))
			must(kt_same(at, page, 1, seed));
		else if (page < NR_GIVEN)
			must(kt_same(at, page, 1, SEED));
		else
			must(kt_zero(at, page, 1));
	}
}

/* ---- in one kernel ---- */

struct keeper {
	unsigned long at;
	__u64 seed;
	__u64 before;
};

/* Keeps, writes and dies */
static void do_keep(void *arg)
{
	struct keeper *k = arg;
	unsigned long at = k->at;

	must(!keep_to(kt_key(HERE), kt_addr(HERE), NR, &at));
	must(k->at ? at == k->at : at != 0);
	if (k->before)
		must_hold(at, k->before);
	else
		must(kt_same(at, 0, NR_GIVEN, SEED) && kt_zero(at, NR_GIVEN, NR - NR_GIVEN));
	write_some(at, k->seed);
	must_hold(at, k->seed);
}

static void keep_and_die(unsigned long at)
{
	struct keeper k = { .at = at, .seed = SEED + 1 };

	kt_run(do_keep, &k);
	/* whoever comes next starts again, and finds what that one had */
	k = (struct keeper){ .at = kt_addr(THERE + 1), .seed = SEED + 2, .before = SEED + 1 };
	kt_run(do_keep, &k);
	must(!kt_takeover(kt_key(HERE), kt_addr(HERE), NR));
	must_hold(kt_addr(HERE), SEED + 2);
	must(!kt_exists(kt_key(HERE)));
}

static void in_place(void)
{
	give(HERE);
	keep_and_die(kt_addr(HERE));
}

static void elsewhere(void)
{
	give(HERE);
	keep_and_die(kt_addr(THERE) + (6UL << 20));
}

/* Where page tables begin elsewhere than they did */
static void elsewhere_askew(void)
{
	give(HERE);
	keep_and_die(kt_addr(THERE) + 5 * kt_page);
}

static void chosen(void)
{
	give(HERE);
	keep_and_die(0);
}

static void huge_pages(void)
{
	kt_need_thp();
	kt_run(do_give_huge, (void *)HERE);
	keep_and_die(kt_addr(THERE));
}

static void huge_pages_askew(void)
{
	kt_need_thp();
	kt_run(do_give_huge, (void *)HERE);
	keep_and_die(kt_addr(THERE) + 3 * kt_page);
}

static void stands_live(void)
{
	unsigned long at = kt_addr(THERE), remap = at;
	pid_t pid;

	give(HERE);
	must_be(kt_key(HERE), KMHO_STATE_HELD, 0, NR_GIVEN);
	must(!keep_to(kt_key(HERE), kt_addr(HERE), NR, &remap));
	must_be(kt_key(HERE), KMHO_STATE_LIVE, getpid(), NR_GIVEN);
	/* the keeper lives */
	must_refuse(EBUSY, keep(kt_key(HERE), kt_addr(HERE), NR));
	must_refuse(EBUSY, kt_takeover(kt_key(HERE), kt_addr(HERE), NR));
	pid = kt_fork();
	if (!pid) {
		must_refuse(EBUSY, keep(kt_key(HERE), kt_addr(HERE), NR));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	/* and what it has is followed */
	must_refuse(EPERM, munmap(kt_ptr(at + 8 * kt_page), kt_page));
	must_refuse(EPERM, madvise(kt_ptr(at), kt_page, MADV_DONTNEED));
	must_refuse(EBUSY, kt_handover(kt_key(1), at + 8 * kt_page, 4));
	/* the key's own addresses are nobody's */
	kt_map(kt_addr(HERE), NR);
	kt_unmap(kt_addr(HERE), NR);
	kt_fill(at, NR - 1, 1, SEED);
	/* DROP ends it, and the process has its memory */
	must(!kt_drop(kt_key(HERE)));
	must(kt_same(at, 0, NR_GIVEN, SEED) && kt_same(at, NR - 1, 1, SEED));
	kt_unmap(at, NR);
}

static void do_keep_part(void *arg)
{
	unsigned long base = kt_addr(PART), remap = kt_addr(THERE) + kt_page;
	struct kmho_record_info info;

	must(!arg);
	must(!keep_to(kt_key(PART), base + 100 * kt_page, 600, &remap));
	must(!kt_info(kt_key(PART), &info));
	must(info.state == KMHO_STATE_LIVE && info.bytes == NR * kt_page);
	must(info.present == NR_GIVEN * kt_page && info.nr_ranges == 1);
	kt_fill(remap, 0, 600, SEED + 3);
	must(!mprotect(kt_ptr(remap), 100 * kt_page, PROT_READ));
}

static void part(void)
{
	unsigned long base = kt_addr(PART);
	struct kmho_range_info ranges[4];

	give(PART);
	kt_run(do_keep_part, NULL);
	/* the rest was held meanwhile */
	must(kt_ranges(kt_key(PART), ranges, 4) == 3);
	must(ranges[1].base == base + 100 * kt_page && ranges[1].length == 100 * kt_page);
	must(ranges[1].prot == PROT_READ && ranges[2].prot == (PROT_READ | PROT_WRITE));
	must(ranges[2].base + ranges[2].length == base + NR * kt_page);
	must(!kt_takeover(kt_key(PART), base, NR));
	must(kt_same(base, 0, 100, SEED));
	must(kt_same_from(base, 100, 600, SEED + 3, 0));
	must(kt_same(base, 700, NR_GIVEN - 700, SEED));
	must(kt_zero(base, NR_GIVEN, NR - NR_GIVEN));
	must(kt_perms(base + 150 * kt_page, "r--p") && kt_perms(base, "rw-p"));
}

/* What the caller has where the record has holes becomes the record's */
static void do_keep_into(void *arg)
{
	unsigned long at = kt_addr(THERE);

	must(!arg);
	kt_map(at, NR);
	kt_fill(at, 0, NR, SEED + 4);
	must(!keep_to(kt_key(HERE), kt_addr(HERE), NR, &at));
	must(kt_same(at, 0, NR_GIVEN, SEED));
	must(kt_same(at, NR_GIVEN, NR - NR_GIVEN, SEED + 4));
}

static void into_a_mapping(void)
{
	unsigned long base = kt_addr(HERE);

	give(HERE);
	kt_run(do_keep_into, NULL);
	must_be(kt_key(HERE), KMHO_STATE_HELD, 0, NR);
	must(!kt_takeover(kt_key(HERE), base, NR));
	must(kt_same(base, 0, NR_GIVEN, SEED));
	must(kt_same(base, NR_GIVEN, NR - NR_GIVEN, SEED + 4));
}

static void do_keep_and_freeze(void *arg)
{
	struct kmho_op_drop op = {
		.size = sizeof(op),
		.key = kt_key(HERE),
		.uid = KMHO_UID_SELF,
	};
	unsigned long at = kt_addr(THERE);

	must(!arg);
	must(!keep_to(kt_key(HERE), kt_addr(HERE), NR, &at));
	write_some(at, SEED + 5);
	must(!kmho(KMHO_FREEZE, &op));
	kt_fill(at, 0, NR, SEED + 6);
	kt_unmap(at, NR);
}

static void freezing(void)
{
	give(HERE);
	kt_run(do_keep_and_freeze, NULL);
	must(!keep(kt_key(HERE), kt_addr(HERE), NR));
	must_hold(kt_addr(HERE), SEED + 5);
	/* that one follows again */
	kt_fill(kt_addr(HERE), NR - 1, 1, SEED);
	must_refuse(EPERM, munmap(kt_ptr(kt_addr(HERE)), kt_page));
}

/* Killed at any moment, in the call or later, it leaves the whole record */
static void killed(void)
{
	struct kt_aim *aim = kt_aim();
	long before = 0, after;
	unsigned long at;
	pid_t pid;

	give(HERE);
	while (kt_aim_again(aim, aim->early && aim->after)) {
		/* the first ones fill the caches that the rest comes from */
		if (aim->shots == 8)
			before = kt_free_kib();
		pid = kt_fork();
		if (!pid) {
			at = kt_addr(THERE) + aim->shots % 3 * kt_page;
			kt_aim_at(aim, keep_to(kt_key(HERE), kt_addr(HERE), NR, &at));
		}
		kt_shoot(aim, pid);
		must_be(kt_key(HERE), KMHO_STATE_HELD, 0, NR_GIVEN);
		kt_aim_told(aim, aim->returned);
	}
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB afterwards\n", before, after);
	must(before - after < 4096 + kt_slack_kib());
	must(!kt_takeover(kt_key(HERE), kt_addr(HERE), NR));
	must(kt_same(kt_addr(HERE), 0, NR_GIVEN, SEED));
	must(kt_zero(kt_addr(HERE), NR_GIVEN, NR - NR_GIVEN));
}

static void errors(void)
{
	unsigned long base = kt_addr(HERE), remap = kt_addr(THERE);

	must_refuse(ENOENT, keep(kt_key(HERE), base, NR));
	give(HERE);
	must_refuse(ENOENT, keep(kt_key(HERE), base, NR + 1));
	must_refuse(ENOENT, keep(kt_key(HERE), base - kt_page, 2));
	must_refuse(EINVAL, keep(kt_key(HERE), base + 1, NR));
	must_refuse(EINVAL, keep(kt_key(HERE), base, 0));
	must(mmap(kt_ptr(remap + kt_page), kt_page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS |
		  MAP_FIXED_NOREPLACE, -1, 0) == kt_ptr(remap + kt_page));
	must_refuse(EEXIST, keep_to(kt_key(HERE), base, NR, &remap));
	kt_unmap(remap + kt_page, 1);
	must(!keep_to(kt_key(HERE), base, NR, &remap));
	must(kt_same(remap, 0, NR_GIVEN, SEED));
}

/* What is kept can be taken again and again, and is free in the end */
static void no_leak(void)
{
	struct keeper k = { .at = kt_addr(THERE) + kt_page, .seed = SEED + 1 };
	unsigned int i;
	long before, after;

	give(HERE);
	kt_run(do_keep, &k);
	before = kt_free_kib();
	for (i = 0; i < 30; i++) {
		k.before = k.seed;
		k.seed++;
		k.at = kt_addr(THERE) + i * kt_page;
		kt_run(do_keep, &k);
	}
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB after 30 keepers\n", before, after);
	must(before - after < 4096 + kt_slack_kib());
	must(!kt_drop(kt_key(HERE)));
}

/* ---- over kexecs ---- */

static void cross_before(void)
{
	unsigned long at = kt_addr(THERE) + 7 * kt_page;

	give(CROSS);
	must(!keep_to(kt_key(CROSS), kt_addr(CROSS), NR, &at));
	write_some(at, SEED + 1);
	kt_stay();
}

/* Kept once more, by a process that dies, and by one that lives on until the next kexec */
static void cross_keep(__u64 before, __u64 seed, unsigned long at)
{
	must(!keep_to(kt_key(CROSS), kt_addr(CROSS), NR, &at));
	must_hold(at, before);
	write_some(at, seed);
}

static void cross_after(void)
{
	pid_t pid;

	must_be(kt_key(CROSS), KMHO_STATE_INCOMING, 0, NR_GIVEN + 3);
	pid = kt_fork();
	if (!pid) {
		cross_keep(SEED + 1, SEED + 2, kt_addr(THERE));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must_be(kt_key(CROSS), KMHO_STATE_HELD, 0, NR_GIVEN + 3);
	cross_keep(SEED + 2, SEED + 3, kt_addr(THERE) + 9 * kt_page);
	kt_stay();
}

static void cross_again(void)
{
	must(!kt_takeover(kt_key(CROSS), kt_addr(CROSS), NR));
	must_hold(kt_addr(CROSS), SEED + 3);
	must(!kt_exists(kt_key(CROSS)));
}

static void part_before(void)
{
	unsigned long remap = kt_addr(THERE + 1) + kt_page;

	give(PART);
	must(!keep_to(kt_key(PART), kt_addr(PART) + 100 * kt_page, 600, &remap));
	kt_fill(remap, 0, 600, SEED + 3);
	kt_stay();
}

static void part_after(void)
{
	unsigned long base = kt_addr(PART);

	must(!kt_takeover(kt_key(PART), base, NR));
	must(kt_same(base, 0, 100, SEED));
	must(kt_same_from(base, 100, 600, SEED + 3, 0));
	must(kt_same(base, 700, NR_GIVEN - 700, SEED));
	must(kt_zero(base, NR_GIVEN, NR - NR_GIVEN));
}

static const struct kt_case cases[] = {
	{ "the record stands, live, until DROP", .now = stands_live },
	{ "a keeper dies, the next starts again", .now = in_place },
	{ "at another address", .now = elsewhere },
	{ "at an address that page tables begin elsewhere", .now = elsewhere_askew },
	{ "where the kernel likes", .now = chosen },
	{ "huge pages", .now = huge_pages },
	{ "huge pages at an address that does not suit them", .now = huge_pages_askew },
	{ "a part is kept, the rest is held", .now = part },
	{ "into a mapping of the caller", .now = into_a_mapping },
	{ "frozen, and kept again", .now = freezing },
	{ "SIGKILL leaves the whole record", .now = killed },
	{ "errors leave everything as it was", .now = errors },
	{ "nothing leaks", .now = no_leak },
	{
		"over two kexecs",
		.before = cross_before,
		.after = cross_after,
		.again = cross_again,
	},
	{ "a part, over a kexec", .before = part_before, .after = part_after },
};

int main(int argc, char **argv)
{
	kt_program = 21;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
