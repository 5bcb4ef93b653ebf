// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of hugetlb, 2 MiB and 1 GiB: handed over in place, an extent each,
 * and taken over as huge pages of the same size. The pool's numbers are right
 * before, meanwhile and afterwards.
 */
#include "kmho_test.h"

#define SEED	0x4096eULL

#define MIB2	(2UL << 20)
#define GIB1	(512 * MIB2)

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT	26
#endif

/* Of a huge page so many base pages are looked at, in its four quarters */
#define NR_LOOK	8

enum { SMALL, MIXED, GIGANTIC, KEPT, UNTAKEN, THERE = 32 };

/* ---- the pool ---- */

static long pool(unsigned long size, const char *name)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/%s", size >> 10,
		 name);
	must(kt_read_file(path, buf, sizeof(buf)));
	return strtol(buf, NULL, 10);
}

static bool set_pool(unsigned long size, long nr)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
		 size >> 10);
	snprintf(buf, sizeof(buf), "%ld", nr);
	return kt_write_file(path, buf) && pool(size, "nr_hugepages") == nr;
}

static void need_pool(unsigned long size, long nr)
{
	unsigned int tries;

	kt_need_root();
	/* one that lies in the way may move the next time */
	for (tries = 0; tries < 8 && !set_pool(size, nr); tries++) {
		kt_write_file("/proc/sys/vm/drop_caches", "3");
		kt_write_file("/proc/sys/vm/compact_memory", "1");
	}
	if (pool(size, "nr_hugepages") != nr)
		kt_skip("no %ld huge pages of %lu MiB to be had", nr, size >> 20);
}

static void must_count(unsigned long size, long nr, long nr_free, long surplus)
{
	printf("# of %lu MiB: %ld, %ld free, %ld reserved, %ld surplus\n", size >> 20,
	       pool(size, "nr_hugepages"), pool(size, "free_hugepages"),
	       pool(size, "resv_hugepages"), pool(size, "surplus_hugepages"));
	must(pool(size, "nr_hugepages") == nr);
	must(pool(size, "free_hugepages") == nr_free);
	must(pool(size, "resv_hugepages") == 0);
	must(pool(size, "surplus_hugepages") == surplus);
}

/* ---- huge pages ---- */

static void *map_huge(unsigned long base, unsigned long size, unsigned long nr, int flags)
{
	return mmap(kt_ptr(base), nr * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE | flags |
		    __builtin_ctzl(size) << MAP_HUGE_SHIFT, -1, 0);
}

/* Which base pages of a huge page are looked at */
static unsigned long nth_look(unsigned long size, unsigned long i)
{
	unsigned long per_quarter = size / kt_page / 4;

	return i % 4 * per_quarter + (i < 4 ? 0 : per_quarter - 1);
}

static void fill_huge(unsigned long base, unsigned long size, unsigned long page, __u64 seed)
{
	unsigned long i;

	for (i = 0; i < NR_LOOK; i++)
		kt_fill(base + page * size, nth_look(size, i), 1, seed + page);
}

static bool same_huge(unsigned long base, unsigned long size, unsigned long page, __u64 seed)
{
	unsigned long i;

	for (i = 0; i < NR_LOOK; i++) {
		if (!kt_same(base + page * size, nth_look(size, i), 1, seed + page))
			return false;
	}
	return true;
}

static bool zero_huge(unsigned long base, unsigned long size, unsigned long page)
{
	unsigned long i;

	for (i = 0; i < NR_LOOK; i++) {
		if (!kt_zero(base + page * size, nth_look(size, i), 1))
			return false;
	}
	return true;
}

/* The mapping is of huge pages of that size */
static void must_be_huge(unsigned long base, unsigned long size, unsigned long nr)
{
	must(kt_smaps(base, nr * size, "KernelPageSize") == (long)(size >> 10));
}

static void must_hold(unsigned long key, unsigned long size, unsigned long nr, unsigned long bytes)
{
	struct kmho_range_info range;
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	kt_show(&info, "record");
	must(info.bytes == bytes && info.present == nr * size);
	/* in place, an extent a huge page */
	must(info.nr_extents == nr);
	must(kt_ranges(key, &range, 1) == 1 && range.kind == KMHO_KIND_HUGETLB);
}

/* Who has the memory of a record; 0: nobody any more */
static pid_t keeper_of(unsigned long key)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	return info.pid;
}

/* Four huge pages: 0 and 1 written before the handover, 2 afterwards, 3 never */
static void give_four(unsigned long n, unsigned long size)
{
	unsigned long base = kt_addr(n);

	must(map_huge(base, size, 4, MAP_NORESERVE) == kt_ptr(base));
	fill_huge(base, size, 0, SEED);
	fill_huge(base, size, 1, SEED + 100);
	must(!kt_handover(kt_key(n), base, 4 * size / kt_page));
	must_hold(kt_key(n), size, 2, 4 * size);
	fill_huge(base, size, 1, SEED);
	fill_huge(base, size, 2, SEED);
}

static bool same_three(unsigned long base, unsigned long size)
{
	return same_huge(base, size, 0, SEED) && same_huge(base, size, 1, SEED) &&
	       same_huge(base, size, 2, SEED);
}

static void do_give_four(void *arg)
{
	give_four(SMALL, (unsigned long)arg);
}

/* Back to its place, by a process that ends then */
static void do_take_four(void *arg)
{
	unsigned long size = (unsigned long)arg, base = kt_addr(SMALL);

	must(!kt_takeover(kt_key(SMALL), base, 4 * size / kt_page));
	must_be_huge(base, size, 4);
	must(kt_perms(base, "rw-p"));
	must(same_three(base, size));
	must(!kt_exists(kt_key(SMALL)));
	fill_huge(base, size, 0, SEED + 1);
	/* the hole is there, as far as there are huge pages for it */
	if (pool(size, "free_hugepages"))
		must(zero_huge(base, size, 3));
}

static void do_unmap_and_take(void *arg)
{
	must(!arg);
	must(!munmap(kt_ptr(kt_addr(SMALL)), 4 * MIB2));
	do_take_four((void *)MIB2);
}

static void give_and_take(unsigned long size)
{
	kt_run(do_give_four, (void *)size);
	/* in use for as long as the record has them */
	must_hold(kt_key(SMALL), size, 3, 4 * size);
	must_count(size, 4, 1, 0);
	kt_run(do_take_four, (void *)size);
	must_count(size, 4, 4, 0);
	kt_run(do_give_four, (void *)size);
	must(!kt_drop(kt_key(SMALL)));
	must_count(size, 4, 4, 0);
	must(set_pool(size, 0));
}

static void by_successor(void)
{
	need_pool(MIB2, 4);
	give_and_take(MIB2);
}

/* Mapped with a reservation, which ends with the mapping */
static void do_reserved(void *arg)
{
	unsigned long base = kt_addr(SMALL);

	must(!arg);
	must(map_huge(base, MIB2, 4, 0) == kt_ptr(base));
	must(pool(MIB2, "resv_hugepages") == 4);
	fill_huge(base, MIB2, 0, SEED);
	fill_huge(base, MIB2, 1, SEED);
	must(!kt_handover(kt_key(SMALL), base, 4 * MIB2 / kt_page));
	fill_huge(base, MIB2, 2, SEED);
	must(pool(MIB2, "resv_hugepages") == 1);
}

static void reserved(void)
{
	need_pool(MIB2, 4);
	kt_run(do_reserved, NULL);
	must_count(MIB2, 4, 1, 0);
	kt_run(do_take_four, (void *)MIB2);
	must_count(MIB2, 4, 4, 0);
	must(set_pool(MIB2, 0));
}

/* A child still has the pages of the dead parent: the taker gets copies */
static void shared_by_child(void)
{
	int fds[2], back[2];
	pid_t pid;
	char c;

	need_pool(MIB2, 8);
	must(!pipe(fds) && !pipe(back));
	pid = kt_fork();
	if (!pid) {
		close(back[1]);
		give_four(SMALL, MIB2);
		pid = kt_fork();
		if (!pid) {
			must(write(fds[1], "x", 1) == 1);
			read(back[0], &c, 1);
			_exit(!same_three(kt_addr(SMALL), MIB2));
		}
		/* the parent's view counts: this is a copy of its own */
		fill_huge(kt_addr(SMALL), MIB2, 1, SEED);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(read(fds[0], &c, 1) == 1);
	kt_run(do_take_four, (void *)MIB2);
	close(back[0]);
	close(back[1]);
	/* the grandchild ends by itself */
	while (pool(MIB2, "free_hugepages") != pool(MIB2, "nr_hugepages"))
		usleep(10000);
	must_count(MIB2, 8, 8, 0);
	must(set_pool(MIB2, 0));
}

static void parting_is_refused(void)
{
	unsigned long base = kt_addr(SMALL);

	need_pool(MIB2, 5);
	give_four(SMALL, MIB2);
	must_refuse(EPERM, munmap(kt_ptr(base), MIB2));
	must_refuse(EPERM, madvise(kt_ptr(base), MIB2, MADV_DONTNEED));
	must_refuse(EPERM, mremap(kt_ptr(base), MIB2, MIB2, MREMAP_MAYMOVE | MREMAP_FIXED,
				  kt_ptr(kt_addr(THERE))));
	must(!kt_drop(kt_key(SMALL)));
	must(same_three(base, MIB2));
	must(!munmap(kt_ptr(base), 4 * MIB2));
	must_count(MIB2, 5, 5, 0);
	must(set_pool(MIB2, 0));
}

static void wrong_places(void)
{
	unsigned long base = kt_addr(SMALL), nr = MIB2 / kt_page, remap;

	need_pool(MIB2, 4);
	must(map_huge(base, MIB2, 2, 0) == kt_ptr(base));
	fill_huge(base, MIB2, 0, SEED);
	/* parts of huge pages */
	must_refuse(EINVAL, kt_handover(kt_key(SMALL), base, nr - 1));
	must_refuse(EINVAL, kt_handover(kt_key(SMALL), base + kt_page, nr));
	must(!munmap(kt_ptr(base), 2 * MIB2));

	kt_run(do_give_four, (void *)MIB2);
	must_refuse(EINVAL, kt_takeover(kt_key(SMALL), base, nr - 1));
	must_refuse(EINVAL, kt_takeover(kt_key(SMALL), base + kt_page, nr - 1));
	remap = kt_addr(THERE) + kt_page;
	must_refuse(EINVAL, kt_takeover_to(kt_key(SMALL), base, nr, &remap));
	/* memory of other pages is no place for it */
	kt_map(kt_addr(THERE), nr);
	remap = kt_addr(THERE);
	must_refuse(EEXIST, kt_takeover_to(kt_key(SMALL), base, nr, &remap));
	kt_unmap(kt_addr(THERE), nr);
	/* one of them is a part */
	must(!kt_takeover_to(kt_key(SMALL), base, nr, &remap));
	must(same_huge(remap, MIB2, 0, SEED));
	remap = 0;
	must(!kt_takeover_to(kt_key(SMALL), base + MIB2, 3 * nr, &remap));
	must(!(remap % MIB2));
	must(same_huge(remap - MIB2, MIB2, 1, SEED) && same_huge(remap - MIB2, MIB2, 2, SEED));
	must(!kt_exists(kt_key(SMALL)));
}

static void do_forked(void *arg)
{
	pid_t pid;

	must(!arg);
	give_four(SMALL, MIB2);
	pid = kt_fork();
	if (!pid) {
		fill_huge(kt_addr(SMALL), MIB2, 0, SEED + 7);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	fill_huge(kt_addr(SMALL), MIB2, 1, SEED + 7);
	fill_huge(kt_addr(SMALL), MIB2, 1, SEED);
}

static void forked(void)
{
	need_pool(MIB2, 8);
	kt_run(do_forked, NULL);
	kt_run(do_take_four, (void *)MIB2);
	must_count(MIB2, 8, 8, 0);
	must(set_pool(MIB2, 0));
}

/* A child hands over what it shares, and its parent goes on writing */
static void snapshot_by_child(void)
{
	unsigned long base = kt_addr(SMALL), i;
	pid_t pid;

	need_pool(MIB2, 9);
	must(map_huge(base, MIB2, 4, MAP_NORESERVE) == kt_ptr(base));
	for (i = 0; i < 3; i++)
		fill_huge(base, MIB2, i, SEED);
	pid = kt_fork();
	if (!pid) {
		must(!kt_handover(kt_key(SMALL), base, 4 * MIB2 / kt_page));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	for (i = 0; i < 4; i++)
		fill_huge(base, MIB2, i, SEED + 11);
	kt_run(do_unmap_and_take, NULL);
	must(!munmap(kt_ptr(base), 4 * MIB2));
	must_count(MIB2, 9, 9, 0);
	must(set_pool(MIB2, 0));
}

static void do_frozen(void *arg)
{
	struct kmho_op_drop op = {
		.size = sizeof(op),
		.key = kt_key(SMALL),
		.uid = KMHO_UID_SELF,
	};
	unsigned long i;

	must(!arg);
	give_four(SMALL, MIB2);
	must(!kmho(KMHO_FREEZE, &op));
	for (i = 0; i < 4; i++)
		fill_huge(kt_addr(SMALL), MIB2, i, SEED + 9);
	must(!munmap(kt_ptr(kt_addr(SMALL)), MIB2));
}

static void frozen(void)
{
	need_pool(MIB2, 8);
	kt_run(do_frozen, NULL);
	kt_run(do_take_four, (void *)MIB2);
	must_count(MIB2, 8, 8, 0);
	must(set_pool(MIB2, 0));
}

/* Hands the same memory over under another key, and goes on writing */
static void give_again(void)
{
	unsigned long i;

	must(!kt_handover(kt_key(KEPT), kt_addr(SMALL), 4 * MIB2 / kt_page));
	for (i = 0; i < 3; i++)
		fill_huge(kt_addr(SMALL), MIB2, i, SEED + 13);
}

static void do_take_again(void *arg)
{
	unsigned long i;

	must(!arg);
	must(!kt_takeover(kt_key(KEPT), kt_addr(SMALL), 4 * MIB2 / kt_page));
	for (i = 0; i < 3; i++)
		must(same_huge(kt_addr(SMALL), MIB2, i, SEED + 13));
}

static void do_frozen_again(void *arg)
{
	struct kmho_op_drop op = {
		.size = sizeof(op),
		.key = kt_key(SMALL),
		.uid = KMHO_UID_SELF,
	};

	must(!arg);
	give_four(SMALL, MIB2);
	must(!kmho(KMHO_FREEZE, &op));
	give_again();
}

/* No page is in two records: the second has copies */
static void frozen_again(void)
{
	need_pool(MIB2, 9);
	kt_run(do_frozen_again, NULL);
	kt_run(do_take_four, (void *)MIB2);
	kt_run(do_take_again, NULL);
	must_count(MIB2, 9, 9, 0);
	must(set_pool(MIB2, 0));
}

static void orphan_again(void)
{
	int fds[2], back[2];
	pid_t pid;
	char c;

	need_pool(MIB2, 9);
	must(!pipe(fds) && !pipe(back));
	pid = kt_fork();
	if (!pid) {
		give_four(SMALL, MIB2);
		pid = kt_fork();
		if (!pid) {
			/* the parent has ended by then */
			must(read(back[0], &c, 1) == 1);
			give_again();
			must(write(fds[1], "x", 1) == 1);
		}
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(write(back[1], "x", 1) == 1);
	must(read(fds[0], &c, 1) == 1);
	while (keeper_of(kt_key(KEPT)))
		usleep(10000);
	kt_run(do_take_four, (void *)MIB2);
	kt_run(do_take_again, NULL);
	/* a process keeps nothing any more a moment before its memory is free */
	while (pool(MIB2, "free_hugepages") != pool(MIB2, "nr_hugepages"))
		usleep(10000);
	must_count(MIB2, 9, 9, 0);
	must(set_pool(MIB2, 0));
}

static void do_frozen_full(int fd, int back)
{
	struct kmho_op_drop op = {
		.size = sizeof(op),
		.key = kt_key(SMALL),
		.uid = KMHO_UID_SELF,
	};
	unsigned long base = kt_addr(SMALL);
	char c;

	/* reserved: what would be taken from a child */
	must(map_huge(base, MIB2, 1, 0) == kt_ptr(base));
	fill_huge(base, MIB2, 0, SEED);
	must(!kt_handover(kt_key(SMALL), base, MIB2 / kt_page));
	must(!kmho(KMHO_FREEZE, &op));
	if (!kt_fork()) {
		/* the parent has ended by then */
		must(read(back, &c, 1) == 1);
		must(same_huge(base, MIB2, 0, SEED));
		must(write(fd, "x", 1) == 1);
		_exit(0);
	}
	fill_huge(base, MIB2, 0, SEED + 1);
}

/* Nothing is free to write to in place of what is frozen, and nothing is taken for it */
static void frozen_full(void)
{
	int fds[2], back[2];
	pid_t pid;
	char c;

	need_pool(MIB2, 1);
	must(!pipe(fds) && !pipe(back));
	pid = kt_fork();
	if (!pid) {
		do_frozen_full(fds[1], back[0]);
		_exit(0);
	}
	close(fds[1]);
	must(kt_wait(pid) == 128 + SIGBUS);
	must(write(back[1], "x", 1) == 1);
	must(read(fds[0], &c, 1) == 1);
	/* the child has ended, too */
	must(!read(fds[0], &c, 1));
	must(!kt_takeover(kt_key(SMALL), kt_addr(SMALL), MIB2 / kt_page));
	must(same_huge(kt_addr(SMALL), MIB2, 0, SEED));
	must(!munmap(kt_ptr(kt_addr(SMALL)), MIB2));
	must_count(MIB2, 1, 1, 0);
	must(set_pool(MIB2, 0));
}

/* Nothing is free to copy a shared page to: that fails, and the child keeps the page */
static void shared_full(void)
{
	unsigned long base = kt_addr(SMALL);
	int back[2];
	pid_t pid;
	char c;

	need_pool(MIB2, 1);
	must(!pipe(back));
	must(map_huge(base, MIB2, 1, 0) == kt_ptr(base));
	fill_huge(base, MIB2, 0, SEED);
	pid = kt_fork();
	if (!pid) {
		must(read(back[0], &c, 1) == 1);
		_exit(!same_huge(base, MIB2, 0, SEED));
	}
	must_refuse(ENOMEM, kt_handover(kt_key(SMALL), base, MIB2 / kt_page));
	must(write(back[1], "x", 1) == 1);
	must(kt_wait(pid) == 0);
	must(!kt_handover(kt_key(SMALL), base, MIB2 / kt_page));
	must(!kt_drop(kt_key(SMALL)));
	must(same_huge(base, MIB2, 0, SEED));
	must(!munmap(kt_ptr(base), MIB2));
	must_count(MIB2, 1, 1, 0);
	must(set_pool(MIB2, 0));
}

static int keep_to(unsigned long n, unsigned long nr, unsigned long remap)
{
	return kt_take_to(KMHO_TAKEOVER_KEEP, kt_key(n), kt_addr(n), nr, &remap);
}

static void do_keep(void *arg)
{
	unsigned long at = kt_addr(THERE) + 3 * MIB2;

	must(!arg);
	must(!keep_to(SMALL, 4 * MIB2 / kt_page, at));
	must_be_huge(at, MIB2, 4);
	must(same_three(at, MIB2));
	must_refuse(EPERM, munmap(kt_ptr(at), MIB2));
	fill_huge(at, MIB2, 3, SEED);
	fill_huge(at, MIB2, 0, SEED);
}

static void kept(void)
{
	need_pool(MIB2, 4);
	kt_run(do_give_four, (void *)MIB2);
	kt_run(do_keep, NULL);
	must_hold(kt_key(SMALL), MIB2, 4, 4 * MIB2);
	kt_run(do_keep, NULL);
	must(!kt_takeover(kt_key(SMALL), kt_addr(SMALL), 4 * MIB2 / kt_page));
	must(same_three(kt_addr(SMALL), MIB2) && same_huge(kt_addr(SMALL), MIB2, 3, SEED));
	must_count(MIB2, 4, 0, 0);
	must(!munmap(kt_ptr(kt_addr(SMALL)), 4 * MIB2));
	must_count(MIB2, 4, 4, 0);
	must(set_pool(MIB2, 0));
}

static void gigantic(void)
{
	need_pool(GIB1, 1);
	must(map_huge(kt_addr(GIGANTIC), GIB1, 1, 0) == kt_ptr(kt_addr(GIGANTIC)));
	must(!kt_handover(kt_key(GIGANTIC), kt_addr(GIGANTIC), GIB1 / kt_page));
	must_hold(kt_key(GIGANTIC), GIB1, 0, GIB1);
	/* a hole that is written in its middle */
	kt_fill(kt_addr(GIGANTIC), 100000, 1, SEED);
	must(!kt_drop(kt_key(GIGANTIC)));
	must(!kt_handover(kt_key(GIGANTIC), kt_addr(GIGANTIC), GIB1 / kt_page));
	must_hold(kt_key(GIGANTIC), GIB1, 1, GIB1);
	must(!kt_drop(kt_key(GIGANTIC)));
	must(kt_same(kt_addr(GIGANTIC), 100000, 1, SEED));
	must(!munmap(kt_ptr(kt_addr(GIGANTIC)), GIB1));
	must_count(GIB1, 1, 1, 0);
	must(set_pool(GIB1, 0));
}

static void do_give_gigantic(void *arg)
{
	must(!arg);
	must(map_huge(kt_addr(GIGANTIC), GIB1, 1, 0) == kt_ptr(kt_addr(GIGANTIC)));
	must(!kt_handover(kt_key(GIGANTIC), kt_addr(GIGANTIC), GIB1 / kt_page));
	fill_huge(kt_addr(GIGANTIC), GIB1, 0, SEED);
}

static void gigantic_successor(void)
{
	need_pool(GIB1, 1);
	kt_run(do_give_gigantic, NULL);
	must_hold(kt_key(GIGANTIC), GIB1, 1, GIB1);
	must_count(GIB1, 1, 0, 0);
	must(!kt_takeover(kt_key(GIGANTIC), kt_addr(GIGANTIC), GIB1 / kt_page));
	must_be_huge(kt_addr(GIGANTIC), GIB1, 1);
	must(same_huge(kt_addr(GIGANTIC), GIB1, 0, SEED));
	must(!munmap(kt_ptr(kt_addr(GIGANTIC)), GIB1));
	must_count(GIB1, 1, 1, 0);
	must(set_pool(GIB1, 0));
}

/* ---- over a kexec ---- */

static void small_before(void)
{
	need_pool(MIB2, 4);
	give_four(SMALL, MIB2);
	kt_stay();
}

/* In the next kernel they are surplus pages of a pool that need not have any */
static void small_after(void)
{
	long before = kt_free_kib(), after;

	must_hold(kt_key(SMALL), MIB2, 3, 4 * MIB2);
	must_count(MIB2, 0, 0, 0);
	must(!kt_takeover(kt_key(SMALL), kt_addr(SMALL), 4 * MIB2 / kt_page));
	must_be_huge(kt_addr(SMALL), MIB2, 4);
	must(same_three(kt_addr(SMALL), MIB2));
	must_count(MIB2, 3, 0, 3);
	must(!munmap(kt_ptr(kt_addr(SMALL)), 4 * MIB2));
	must_count(MIB2, 0, 0, 0);
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB afterwards\n", before, after);
	must(after - before > (long)(2 * MIB2 >> 10));
}

/* Anonymous memory, huge pages, anonymous memory, in one range */
static void mixed_before(void)
{
	unsigned long base = kt_addr(MIXED), nr = MIB2 / kt_page;

	kt_need_root();
	if (pool(MIB2, "free_hugepages") < 2 && !set_pool(MIB2, pool(MIB2, "nr_hugepages") + 2))
		kt_skip("no huge pages to be had");
	kt_map(base, nr);
	must(map_huge(base + MIB2, MIB2, 2, MAP_NORESERVE) == kt_ptr(base + MIB2));
	kt_map(base + 3 * MIB2, nr);
	kt_fill(base, 5, 10, SEED);
	fill_huge(base, MIB2, 2, SEED);
	must(!kt_handover(kt_key(MIXED), base, 4 * nr));
	kt_fill(base + 3 * MIB2, 1, 10, SEED);
	fill_huge(base, MIB2, 1, SEED);
	must(!mprotect(kt_ptr(base + MIB2), MIB2, PROT_READ));
	kt_stay();
}

static void mixed_after(void)
{
	unsigned long base = kt_addr(MIXED), nr = MIB2 / kt_page, remap = kt_addr(THERE) + MIB2;

	must(!kt_takeover_to(kt_key(MIXED), base, 4 * nr, &remap));
	must(kt_same(remap, 5, 10, SEED) && kt_zero(remap, 20, 10));
	must(same_huge(remap, MIB2, 1, SEED) && same_huge(remap, MIB2, 2, SEED));
	must(kt_same(remap + 3 * MIB2, 1, 10, SEED));
	must(kt_perms(remap + MIB2, "r--p") && kt_perms(remap + 2 * MIB2, "rw-p"));
	must_be_huge(remap + 2 * MIB2, MIB2, 1);
}

static void gigantic_before(void)
{
	need_pool(GIB1, 1);
	do_give_gigantic(NULL);
	kt_stay();
}

static void gigantic_after(void)
{
	must_hold(kt_key(GIGANTIC), GIB1, 1, GIB1);
	must_count(GIB1, 0, 0, 0);
	must(!kt_takeover(kt_key(GIGANTIC), kt_addr(GIGANTIC), GIB1 / kt_page));
	must_be_huge(kt_addr(GIGANTIC), GIB1, 1);
	must(same_huge(kt_addr(GIGANTIC), GIB1, 0, SEED));
	must_count(GIB1, 1, 0, 1);
	must(!munmap(kt_ptr(kt_addr(GIGANTIC)), GIB1));
	must_count(GIB1, 0, 0, 0);
}

static void kept_before(void)
{
	unsigned long base = kt_addr(KEPT);

	kt_need_root();
	if (!set_pool(MIB2, pool(MIB2, "nr_hugepages") + 1))
		kt_skip("no huge page to be had");
	must(map_huge(base, MIB2, 1, MAP_NORESERVE) == kt_ptr(base));
	fill_huge(base, MIB2, 0, SEED);
	must(!kt_handover(kt_key(KEPT), base, MIB2 / kt_page));
	kt_stay();
}

static void kept_after(void)
{
	must(!keep_to(KEPT, MIB2 / kt_page, kt_addr(THERE)));
	must(same_huge(kt_addr(THERE), MIB2, 0, SEED));
	fill_huge(kt_addr(THERE), MIB2, 0, SEED + 1);
	kt_stay();
}

static void kept_again(void)
{
	must(!kt_takeover(kt_key(KEPT), kt_addr(KEPT), MIB2 / kt_page));
	must(same_huge(kt_addr(KEPT), MIB2, 0, SEED + 1));
	must_count(MIB2, 1, 0, 1);
}

static void untaken_before(void)
{
	unsigned long base = kt_addr(UNTAKEN);

	kt_need_root();
	if (!set_pool(MIB2, pool(MIB2, "nr_hugepages") + 2))
		kt_skip("no huge pages to be had");
	must(map_huge(base, MIB2, 3, MAP_NORESERVE) == kt_ptr(base));
	fill_huge(base, MIB2, 0, SEED);
	fill_huge(base, MIB2, 2, SEED);
	must(!kt_handover(kt_key(UNTAKEN), base, 3 * MIB2 / kt_page));
}

/* One is taken; a hole and the other go on to the next kernel */
static void untaken_after(void)
{
	unsigned long base = kt_addr(UNTAKEN);

	must_hold(kt_key(UNTAKEN), MIB2, 2, 3 * MIB2);
	must(!kt_takeover(kt_key(UNTAKEN), base, MIB2 / kt_page));
	must_be_huge(base, MIB2, 1);
	must(same_huge(base, MIB2, 0, SEED));
	must_hold(kt_key(UNTAKEN), MIB2, 1, 2 * MIB2);
}

static void untaken_again(void)
{
	unsigned long base = kt_addr(UNTAKEN) + MIB2;

	must_hold(kt_key(UNTAKEN), MIB2, 1, 2 * MIB2);
	must(!kt_takeover(kt_key(UNTAKEN), base, 2 * MIB2 / kt_page));
	must_be_huge(base, MIB2, 2);
	must(same_huge(kt_addr(UNTAKEN), MIB2, 2, SEED));
	must(!kt_exists(kt_key(UNTAKEN)));
}

static const struct kt_case cases[] = {
	{ "1 GiB: handed over and dropped", .now = gigantic },
	{ "1 GiB: a successor takes it over", .now = gigantic_successor },
	{ "2 MiB: a successor takes them over", .now = by_successor },
	{ "2 MiB: a reservation ends with its mapping", .now = reserved },
	{ "2 MiB: shared with a child, they are copied", .now = shared_by_child },
	{ "2 MiB: fork: the parent's view counts", .now = forked },
	{ "2 MiB: a child hands over what it shares", .now = snapshot_by_child },
	{ "2 MiB: munmap, mremap, MADV_DONTNEED: EPERM", .now = parting_is_refused },
	{ "2 MiB: parts of huge pages, and places where they cannot be", .now = wrong_places },
	{ "2 MiB: frozen", .now = frozen },
	{ "2 MiB: frozen, and handed over again", .now = frozen_again },
	{ "2 MiB: handed over again by a child", .now = orphan_again },
	{ "2 MiB: shared, with no huge page to copy to", .now = shared_full },
	{ "2 MiB: frozen, with no huge page to write to", .now = frozen_full },
	{ "2 MiB: kept", .now = kept },
	{ "1 GiB: over a kexec", .before = gigantic_before, .after = gigantic_after },
	{ "2 MiB: over a kexec", .before = small_before, .after = small_after },
	{ "anonymous memory and huge pages in one range", .before = mixed_before,
	  .after = mixed_after },
	{ "2 MiB: kept, over two kexecs", .before = kept_before, .after = kept_after,
	  .again = kept_again },
	{ "2 MiB: what nobody took travels on", .before = untaken_before,
	  .after = untaken_after, .again = untaken_again },
};

int main(int argc, char **argv)
{
	kt_program = 22;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
