// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private anonymous memory of every shape, over a kexec: small and huge pages,
 * holes, swap, protections, many ranges, many keys, taken over whole, in
 * pieces, and in the kernel after the next.
 */
#include "kmho_test.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA		0x53564d41
#define PR_SET_VMA_ANON_NAME	0
#endif
#ifndef __NR_mseal
#define __NR_mseal		462
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK		18
#define MADV_KEEPONFORK		19
#endif

/* Each case has its place; its record's key is that of the place */
enum {
	WHOLE,
	EXITED,
	PHYSICAL,
	HOLES,
	ALL_HOLES,
	ZERO_PAGES,
	THP,
	THP_PART,
	THP_ZERO,
	THP_RANGE_PART,
	MTHP,
	SWAPPED,
	SWAPPED_THP,
	RANGES,
	ADJOINING,
	PROTECTIONS,
	CHOSEN,
	INTO,
	INTO_PIECES,
	INTO_HUGE,
	INTO_SWAPPED,
	IN_USE,
	TWICE,
	PARTIAL,
	CARRIED,
	HANDED_ON,
	UNALIGNED_MOVE,
	DROPPED,
	DROP_HERE,
	SCATTERED,
	USERS,
	THP_ROW,
	MTHP_SHARED,
	MTHP_SHARED_CHILD,
	ADVICE_LIVE,
	ADVICE_ENDED,
	ADVICE_FROZEN,
	TO = 64,	/* where things are moved to */
	KEYS = 1000,	/* keys of the case with many */
};

#define SEED(place)	(0xa404ULL + (place))
#define NR_KEYS		100
#define NR_RANGES	2000

static unsigned long present_pages(unsigned long key)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	return info.present / kt_page;
}

/* A record that came with the kexec, of so many pages, so many of them present */
static void must_be_incoming(unsigned long key, unsigned long nr, unsigned long present)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	must(info.key == key && info.uid == geteuid() && !info.pid);
	must(info.state == KMHO_STATE_INCOMING);
	must(info.bytes == nr * kt_page);
	must(info.present == present * kt_page);
}

static void give_pages(unsigned long place, unsigned long nr)
{
	kt_map(kt_addr(place), nr);
	kt_fill(kt_addr(place), 0, nr, SEED(place));
	must(!kt_handover(kt_key(place), kt_addr(place), nr));
}

/* ---- the plain case, with the process alive and with the process gone ---- */

static void whole_before(void)
{
	give_pages(WHOLE, 4096);
	kt_stay();
}

static void whole_after(void)
{
	must_be_incoming(kt_key(WHOLE), 4096, 4096);
	kt_take(kt_key(WHOLE), kt_addr(WHOLE), 4096, SEED(WHOLE));
	must(kt_perms(kt_addr(WHOLE), "rw-p"));
	must(!kt_exists(kt_key(WHOLE)));
	kt_fill(kt_addr(WHOLE), 0, 4096, SEED(WHOLE) + 99);
	must(kt_same(kt_addr(WHOLE), 0, 4096, SEED(WHOLE) + 99));
}

static void exited_before(void)
{
	give_pages(EXITED, 1000);
}

static void exited_after(void)
{
	must_be_incoming(kt_key(EXITED), 1000, 1000);
	kt_take(kt_key(EXITED), kt_addr(EXITED), 1000, SEED(EXITED));
}

/* Each page says, in its first word, where it lies; it lies there still */
static void physical_before(void)
{
	unsigned long i, base = kt_addr(PHYSICAL), nr = 256;
	__u64 pfns[256];

	kt_need_root();
	kt_map(base, nr);
	kt_fill(base, 0, nr, SEED(PHYSICAL));
	must(!kt_handover(kt_key(PHYSICAL), base, nr));
	kt_read_pfns(base, nr, pfns);
	for (i = 0; i < nr; i++) {
		must(pfns[i]);
		*(__u64 *)kt_ptr(base + i * kt_page) = pfns[i];
	}
	kt_stay();
}

static void physical_after(void)
{
	unsigned long i, base = kt_addr(PHYSICAL), nr = 256, moved = 0;
	__u64 pfns[256], *word;

	kt_need_root();
	must(!kt_takeover(kt_key(PHYSICAL), base, nr));
	for (i = 0; i < nr; i++) {
		word = kt_ptr(base + i * kt_page);
		must(word[1] == kt_word(SEED(PHYSICAL), i * kt_page / 8 + 1));
	}
	kt_read_pfns(base, nr, pfns);
	for (i = 0; i < nr; i++)
		moved += pfns[i] != *(__u64 *)kt_ptr(base + i * kt_page);
	printf("# %lu of %lu pages moved\n", moved, nr);
	must(!moved);
}

/* ---- holes ---- */

static bool hole_filled(unsigned long page)
{
	return page % 7 == 3 || (page >= 2000 && page < 2100);
}

static void holes_before(void)
{
	unsigned long i, base = kt_addr(HOLES), nr = 8192;

	kt_map(base, nr);
	for (i = 0; i < nr; i++) {
		if (hole_filled(i))
			kt_fill(base, i, 1, SEED(HOLES));
	}
	must(!kt_handover(kt_key(HOLES), base, nr));
}

static void holes_after(void)
{
	unsigned long i, base = kt_addr(HOLES), nr = 8192, filled = 0;

	for (i = 0; i < nr; i++)
		filled += hole_filled(i);
	must_be_incoming(kt_key(HOLES), nr, filled);
	must(!kt_takeover(kt_key(HOLES), base, nr));
	for (i = 0; i < nr; i++)
		if (hole_filled(i))
			must(kt_same(base, i, 1, SEED(HOLES)));
	must(kt_held_pages(base, nr) == filled);
	for (i = 0; i < nr; i++) {
		if (!hole_filled(i))
			must(kt_zero(base, i, 1));
	}
}

static void all_holes_before(void)
{
	kt_map(kt_addr(ALL_HOLES), 512);
	must(!kt_handover(kt_key(ALL_HOLES), kt_addr(ALL_HOLES), 512));
}

static void all_holes_after(void)
{
	must_be_incoming(kt_key(ALL_HOLES), 512, 0);
	must(!kt_takeover(kt_key(ALL_HOLES), kt_addr(ALL_HOLES), 512));
	must(!kt_held_pages(kt_addr(ALL_HOLES), 512));
	must(kt_zero(kt_addr(ALL_HOLES), 0, 512));
	kt_fill(kt_addr(ALL_HOLES), 0, 512, 1);
	must(kt_same(kt_addr(ALL_HOLES), 0, 512, 1));
}

/* Read, and so mapped, but never written: nothing to carry */
static void zero_pages_before(void)
{
	unsigned long base = kt_addr(ZERO_PAGES);

	kt_map(base, 512);
	must(kt_zero(base, 0, 512));
	kt_fill(base, 100, 1, SEED(ZERO_PAGES));
	must(!kt_handover(kt_key(ZERO_PAGES), base, 512));
	must(present_pages(kt_key(ZERO_PAGES)) == 1);
	must(kt_zero(base, 0, 100));
	must(kt_same(base, 100, 1, SEED(ZERO_PAGES)));
}

static void zero_pages_after(void)
{
	unsigned long base = kt_addr(ZERO_PAGES);

	must_be_incoming(kt_key(ZERO_PAGES), 512, 1);
	must(!kt_takeover(kt_key(ZERO_PAGES), base, 512));
	must(kt_zero(base, 0, 100));
	must(kt_same(base, 100, 1, SEED(ZERO_PAGES)));
	must(kt_zero(base, 101, 411));
	kt_fill(base, 0, 512, SEED(ZERO_PAGES) + 1);
	must(kt_same(base, 0, 512, SEED(ZERO_PAGES) + 1));
}

/* ---- huge pages ---- */

static void thp_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP), nr = 4 * size / kt_page;

	kt_map_thp(base, 4 * size);
	kt_fill(base, 0, nr, SEED(THP));
	must(kt_smaps(base, 4 * size, "AnonHugePages") == (long)(4 * size / 1024));
	must(!kt_handover(kt_key(THP), base, nr));
	/* H3: handing over is no reason to lose them */
	must(kt_smaps(base, 4 * size, "AnonHugePages") == (long)(4 * size / 1024));
	kt_stay();
}

static void thp_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP), nr = 4 * size / kt_page;

	must_be_incoming(kt_key(THP), nr, nr);
	kt_take(kt_key(THP), base, nr, SEED(THP));
	printf("# AnonHugePages: %ld kB\n", kt_smaps(base, 4 * size, "AnonHugePages"));
	must(kt_smaps(base, 4 * size, "AnonHugePages") == (long)(4 * size / 1024));
	kt_fill(base, 0, nr, SEED(THP) + 99);
	must(kt_same(base, 0, nr, SEED(THP) + 99));
	/* they can be split as any other */
	must(!madvise(kt_ptr(base + 5 * kt_page), kt_page, MADV_DONTNEED));
	must(kt_zero(base, 5, 1));
	must(kt_same(base, 6, nr - 6, SEED(THP) + 99));
}

/* A huge page of which only a part is still mapped */
static void thp_part_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_PART), nr = 2 * size / kt_page;

	kt_map_thp(base, 2 * size);
	kt_fill(base, 0, nr, SEED(THP_PART));
	must(kt_smaps(base, 2 * size, "AnonHugePages") > 0);
	/* holes at the beginning, in the middle, at the end of the first */
	must(!madvise(kt_ptr(base), 3 * kt_page, MADV_DONTNEED));
	must(!madvise(kt_ptr(base + 100 * kt_page), 50 * kt_page, MADV_DONTNEED));
	must(!madvise(kt_ptr(base + size - kt_page), kt_page, MADV_DONTNEED));
	must(!kt_handover(kt_key(THP_PART), base, nr));
	must(kt_zero(base, 100, 50));
	must(kt_same(base, 3, 97, SEED(THP_PART)));
}

static void thp_part_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_PART), nr = 2 * size / kt_page;
	unsigned long one = size / kt_page;

	/* reading a hole before the process ended has not filled it */
	must_be_incoming(kt_key(THP_PART), nr, nr - 54);
	must(!kt_takeover(kt_key(THP_PART), base, nr));
	must(kt_zero(base, 0, 3));
	must(kt_same(base, 3, 97, SEED(THP_PART)));
	must(kt_zero(base, 100, 50));
	must(kt_same(base, 150, one - 151, SEED(THP_PART)));
	must(kt_zero(base, one - 1, 1));
	must(kt_same(base, one, one, SEED(THP_PART)));
	kt_fill(base, 0, nr, SEED(THP_PART) + 99);
	must(kt_same(base, 0, nr, SEED(THP_PART) + 99));
}

static void thp_zero_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_ZERO), nr = 2 * size / kt_page;

	kt_map_thp(base, 2 * size);
	/* the huge zero page, where there is one, and one that was written */
	must(kt_zero(base, 0, size / kt_page));
	kt_fill(base, size / kt_page, size / kt_page, SEED(THP_ZERO));
	must(!kt_handover(kt_key(THP_ZERO), base, nr));
	must(present_pages(kt_key(THP_ZERO)) == size / kt_page);
}

static void thp_zero_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_ZERO), nr = 2 * size / kt_page;

	must_be_incoming(kt_key(THP_ZERO), nr, size / kt_page);
	must(!kt_takeover(kt_key(THP_ZERO), base, nr));
	must(kt_zero(base, 0, size / kt_page));
	must(kt_same(base, size / kt_page, size / kt_page, SEED(THP_ZERO)));
}

/* The range begins and ends inside a huge page */
static void thp_range_part_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_RANGE_PART);
	unsigned long nr = 3 * size / kt_page;

	kt_map_thp(base, 3 * size);
	kt_fill(base, 0, nr, SEED(THP_RANGE_PART));
	must(!kt_handover(kt_key(THP_RANGE_PART), base + 10 * kt_page, nr - 20));
	must(present_pages(kt_key(THP_RANGE_PART)) == nr - 20);
	must(kt_same(base, 0, nr, SEED(THP_RANGE_PART)));
	/* what is outside the range is not bound by it */
	must(!munmap(kt_ptr(base), 10 * kt_page));
	must(!madvise(kt_ptr(base + (nr - 5) * kt_page), 5 * kt_page, MADV_DONTNEED));
	kt_stay();
}

static void thp_range_part_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_RANGE_PART);
	unsigned long nr = 3 * size / kt_page;

	must_be_incoming(kt_key(THP_RANGE_PART), nr - 20, nr - 20);
	/* taken in pieces that cut through the huge pages as well */
	must(!kt_takeover(kt_key(THP_RANGE_PART), base + 300 * kt_page, 700));
	must(!kt_takeover(kt_key(THP_RANGE_PART), base + 10 * kt_page, 290));
	must(!kt_takeover(kt_key(THP_RANGE_PART), base + 1000 * kt_page, nr - 1010));
	must(kt_same(base, 10, nr - 20, SEED(THP_RANGE_PART)));
	must(!kt_exists(kt_key(THP_RANGE_PART)));
}

/* Twelve huge pages in a row; after four of 2 MiB another page table begins */
static unsigned long thp_row(unsigned long size)
{
	return kt_addr(THP_ROW) + (1UL << 30) - 4 * size;
}

/* What may lie between them: small pages, a hole, and one that a child has, too */
static void thp_row_before(void)
{
	unsigned long size = kt_need_thp(), base = thp_row(size), one = size / kt_page;

	kt_map_thp(base, 12 * size);
	kt_fill(base, 0, 6 * one, SEED(THP_ROW));
	kt_fill(base, 7 * one, 5 * one, SEED(THP_ROW));
	must(kt_smaps(base, 12 * size, "AnonHugePages") == (long)(11 * size / 1024));
	must(!madvise(kt_ptr(base + 2 * size), kt_page, MADV_DONTNEED));

	must(!madvise(kt_ptr(base), 12 * size, MADV_DONTFORK));
	must(!madvise(kt_ptr(base + 8 * size), size, MADV_DOFORK));
	if (!kt_fork()) {
		kt_quiet();
		while (true)
			pause();
	}
	must(!kt_handover(kt_key(THP_ROW), base, 12 * one));
	must(present_pages(kt_key(THP_ROW)) == 11 * one - 1);
	kt_fill(base, 8 * one, one, SEED(THP_ROW) + 99);
	kt_stay();
}

static void thp_row_after(void)
{
	unsigned long size = kt_need_thp(), base = thp_row(size), one = size / kt_page;

	must_be_incoming(kt_key(THP_ROW), 12 * one, 11 * one - 1);
	must(!kt_takeover(kt_key(THP_ROW), base, 12 * one));
	must(kt_same(base, 0, 2 * one, SEED(THP_ROW)));
	must(kt_zero(base, 2 * one, 1));
	must(kt_same(base, 2 * one + 1, 4 * one - 1, SEED(THP_ROW)));
	must(kt_zero(base, 6 * one, one));
	must(kt_same(base, 7 * one, one, SEED(THP_ROW)));
	must(kt_same(base, 8 * one, one, SEED(THP_ROW) + 99));
	must(kt_same(base, 9 * one, 3 * one, SEED(THP_ROW)));
}

static void need_mthp(const char *setting)
{
	kt_need_root();
	if (!kt_write_file("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled", setting))
		kt_skip("this kernel has no 64 KiB huge pages");
}

static void mthp_before(void)
{
	unsigned long base = kt_addr(MTHP), nr = 4096;
	long had;
	void *p;

	need_mthp("madvise");
	had = kt_nr_thp(64);
	p = mmap(kt_ptr(base), nr * kt_page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	must(p == kt_ptr(base));
	/* 64 KiB pages alone, by mapping less than a PMD at an odd place */
	must(!madvise(kt_ptr(base + 16 * kt_page), 400 * kt_page, MADV_HUGEPAGE));
	kt_fill(base, 0, nr, SEED(MTHP));
	printf("# %ld huge pages of 64 KiB\n", kt_nr_thp(64) - had);
	must(kt_nr_thp(64) > had);
	/* one of them in part */
	must(!madvise(kt_ptr(base + 35 * kt_page), 2 * kt_page, MADV_DONTNEED));
	must(!kt_handover(kt_key(MTHP), base, nr));
	need_mthp("never");
}

static void mthp_after(void)
{
	unsigned long base = kt_addr(MTHP), nr = 4096;
	long had;

	need_mthp("never");
	must_be_incoming(kt_key(MTHP), nr, nr - 2);
	had = kt_nr_thp(64);
	must(!kt_takeover(kt_key(MTHP), base, nr));
	must(kt_same(base, 0, 35, SEED(MTHP)));
	must(kt_zero(base, 35, 2));
	must(kt_same(base, 37, nr - 37, SEED(MTHP)));
	printf("# %ld huge pages of 64 KiB\n", kt_nr_thp(64) - had);
	must(kt_nr_thp(64) > had);
}

/* No page may be in two records: who comes second has copies. */
static void mthp_shared_before(void)
{
	unsigned long base = kt_addr(MTHP_SHARED), nr = 500;
	long had;
	pid_t pid;

	need_mthp("madvise");
	had = kt_nr_thp(64);
	kt_map(base, nr);
	must(!madvise(kt_ptr(base), nr * kt_page, MADV_HUGEPAGE));
	kt_fill(base, 0, nr, SEED(MTHP_SHARED));
	must(kt_nr_thp(64) > had);
	pid = kt_fork();
	if (!pid) {
		/* some are its own, one of them in part */
		kt_fill(base, 32, 32, SEED(MTHP_SHARED_CHILD));
		kt_fill(base, 100, 3, SEED(MTHP_SHARED_CHILD));
		must(!kt_handover(kt_key(MTHP_SHARED_CHILD), base, nr));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(!kt_handover(kt_key(MTHP_SHARED), base, nr));
	kt_fill(base, 200, 100, SEED(MTHP_SHARED) + 99);
	need_mthp("never");
}

static void mthp_shared_after(void)
{
	unsigned long base = kt_addr(MTHP_SHARED), nr = 500;
	unsigned long child = kt_addr(MTHP_SHARED_CHILD);

	need_mthp("never");
	must_be_incoming(kt_key(MTHP_SHARED), nr, nr);
	must_be_incoming(kt_key(MTHP_SHARED_CHILD), nr, nr);
	must(!kt_takeover(kt_key(MTHP_SHARED), base, nr));
	must(kt_same(base, 0, 200, SEED(MTHP_SHARED)));
	must(kt_same(base, 200, 100, SEED(MTHP_SHARED) + 99));
	must(kt_same(base, 300, nr - 300, SEED(MTHP_SHARED)));

	must(!kt_takeover_to(kt_key(MTHP_SHARED_CHILD), base, nr, &child));
	must(kt_same(child, 0, 32, SEED(MTHP_SHARED)));
	must(kt_same(child, 32, 32, SEED(MTHP_SHARED_CHILD)));
	must(kt_same(child, 64, 36, SEED(MTHP_SHARED)));
	must(kt_same(child, 100, 3, SEED(MTHP_SHARED_CHILD)));
	must(kt_same(child, 103, nr - 103, SEED(MTHP_SHARED)));
}

/* ---- swap ---- */

static void swapped_before(void)
{
	unsigned long base = kt_addr(SWAPPED), nr = 512, out;

	kt_need_swap();
	kt_map(base, nr);
	kt_fill(base, 0, nr, SEED(SWAPPED));
	out = kt_pageout(base, nr / 2);
	printf("# %lu pages in swap\n", out);
	must(out > 0);
	must(!kt_handover(kt_key(SWAPPED), base, nr));
	must(present_pages(kt_key(SWAPPED)) == nr);
}

static void swapped_after(void)
{
	must_be_incoming(kt_key(SWAPPED), 512, 512);
	kt_take(kt_key(SWAPPED), kt_addr(SWAPPED), 512, SEED(SWAPPED));
}

static void swapped_thp_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(SWAPPED_THP);
	unsigned long nr = 2 * size / kt_page, out;

	kt_need_swap();
	kt_map_thp(base, 2 * size);
	kt_fill(base, 0, nr, SEED(SWAPPED_THP));
	out = kt_pageout(base + 20 * kt_page, nr - 40);
	printf("# %lu pages in swap\n", out);
	must(out > 0);
	must(!kt_handover(kt_key(SWAPPED_THP), base, nr));
	kt_stay();
}

static void swapped_thp_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(SWAPPED_THP);

	kt_take(kt_key(SWAPPED_THP), base, 2 * size / kt_page, SEED(SWAPPED_THP));
}

/* ---- many ranges, many keys ---- */

static void ranges_before(void)
{
	struct kmho_range_handover *r = calloc(NR_RANGES, sizeof(*r));
	struct kmho_op_handover op = { kt_key(RANGES), NR_RANGES, r };
	unsigned long i, base = kt_addr(RANGES);

	must(r);
	kt_map(base, 2 * NR_RANGES);
	kt_fill(base, 0, 2 * NR_RANGES, SEED(RANGES));
	/* every other page, last first */
	for (i = 0; i < NR_RANGES; i++)
		r[NR_RANGES - 1 - i] = (struct kmho_range_handover){
			base + 2 * i * kt_page, kt_page
		};
	must(!kmho(KMHO_HANDOVER, &op));
}

static void ranges_after(void)
{
	struct kmho_range_takeover *r = calloc(NR_RANGES, sizeof(*r));
	struct kmho_op_takeover op = { kt_key(RANGES), NR_RANGES, r };
	unsigned long i, base = kt_addr(RANGES);

	must(r);
	must_be_incoming(kt_key(RANGES), NR_RANGES, NR_RANGES);
	must(kt_ranges(kt_key(RANGES), NULL, 0) == NR_RANGES);
	/* reversed, and packed together */
	for (i = 0; i < NR_RANGES; i++)
		r[i] = (struct kmho_range_takeover){
			base + 2 * i * kt_page, { kt_page },
			base + (NR_RANGES - 1 - i) * kt_page
		};
	must(!kmho(KMHO_TAKEOVER, &op));
	for (i = 0; i < NR_RANGES; i++)
		must(kt_same_from(base, NR_RANGES - 1 - i, 1, SEED(RANGES), 2 * i));
	must(!kt_exists(kt_key(RANGES)));
}

/* A taken range lies in the union of the record's ranges */
static void adjoining_before(void)
{
	unsigned long base = kt_addr(ADJOINING);
	struct kmho_range_handover r[3] = {
		{ base + 10 * kt_page, 10 * kt_page },
		{ base, 10 * kt_page },
		{ base + 20 * kt_page, 10 * kt_page },
	};
	struct kmho_op_handover op = { kt_key(ADJOINING), 3, r };

	kt_map(base, 30);
	kt_fill(base, 0, 30, SEED(ADJOINING));
	must(!kmho(KMHO_HANDOVER, &op));
}

static void adjoining_after(void)
{
	unsigned long base = kt_addr(ADJOINING);

	must(!kt_takeover(kt_key(ADJOINING), base + 5 * kt_page, 20));
	must(kt_same(base, 5, 20, SEED(ADJOINING)));
	must(!kt_takeover(kt_key(ADJOINING), base + 25 * kt_page, 5));
	must(!kt_takeover(kt_key(ADJOINING), base, 5));
	must(kt_same(base, 0, 30, SEED(ADJOINING)));
}

static void keys_before(void)
{
	unsigned long i, base = kt_addr(USERS + 1);

	kt_map(base, 4 * NR_KEYS);
	kt_fill(base, 0, 4 * NR_KEYS, SEED(KEYS));
	for (i = 0; i < NR_KEYS; i++)
		must(!kt_handover(kt_key(KEYS + i), base + 4 * i * kt_page, 1 + i % 4));
}

static void keys_after(void)
{
	unsigned long i, k, base = kt_addr(USERS + 1);

	/* in another order than that in which they came */
	for (i = 0; i < NR_KEYS; i++) {
		k = (i * 37 + 11) % NR_KEYS;
		must(!kt_takeover(kt_key(KEYS + k), base + 4 * k * kt_page, 1 + k % 4));
		must(kt_same(base, 4 * k, 1 + k % 4, SEED(KEYS)));
	}
}

static void users_give(void *arg)
{
	kt_map(kt_addr(USERS), 16);
	kt_fill(kt_addr(USERS), 0, 16, (unsigned long)arg);
	must(!kt_handover(kt_key(USERS), kt_addr(USERS), 16));
}

static void users_take(void *arg)
{
	must_be_incoming(kt_key(USERS), 16, 16);
	kt_take(kt_key(USERS), kt_addr(USERS), 16, (unsigned long)arg);
}

static void users_nothing(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	must_refuse(ENOENT, kt_takeover(kt_key(USERS), kt_addr(USERS), 16));
	must_refuse(ENOENT, kt_drop(kt_key(USERS)));
	must_refuse(ENOENT, kt_info(kt_key(USERS), &info));
}

/* The same key, of two users and root */
static void users_before(void)
{
	kt_need_root();
	kt_run_as(KT_USER, users_give, (void *)1UL);
	kt_run_as(KT_OTHER, users_give, (void *)2UL);
	kt_run(users_give, (void *)3UL);
}

static void users_after(void)
{
	kt_need_root();
	kt_run_as(KT_USER + 1, users_nothing, NULL);
	kt_run_as(KT_OTHER, users_take, (void *)2UL);
	kt_run_as(KT_OTHER, users_nothing, NULL);
	kt_run(users_take, (void *)3UL);
	kt_run_as(KT_USER, users_take, (void *)1UL);
}

/* ---- protection ---- */

static void protections_before(void)
{
	unsigned long base = kt_addr(PROTECTIONS);

	kt_map(base, 40);
	kt_fill(base, 0, 40, SEED(PROTECTIONS));
	must(!mprotect(kt_ptr(base + 8 * kt_page), 8 * kt_page, PROT_READ));
	must(!mprotect(kt_ptr(base + 16 * kt_page), 8 * kt_page, PROT_NONE));
	must(!mprotect(kt_ptr(base + 24 * kt_page), 8 * kt_page, PROT_READ | PROT_EXEC));
	must(!mprotect(kt_ptr(base + 32 * kt_page), 8 * kt_page,
		       PROT_READ | PROT_WRITE | PROT_EXEC));
	must(!kt_handover(kt_key(PROTECTIONS), base, 40));
	/* the protection that counts is that at the end of the process */
	must(!mprotect(kt_ptr(base + 4 * kt_page), 4 * kt_page, PROT_READ));
}

static void protections_after(void)
{
	unsigned long base = kt_addr(PROTECTIONS), i;
	static const char * const perms[] = {
		"rw-p", "r--p", "r--p", "r--p", "---p", "---p", "r-xp", "r-xp", "rwxp", "rwxp"
	};
	struct kmho_range_info info[16];

	must(kt_ranges(kt_key(PROTECTIONS), info, 16) >= 5);
	must(info[0].base == base && info[0].length == 4 * kt_page);
	must(info[0].prot == (PROT_READ | PROT_WRITE));
	must(!kt_takeover(kt_key(PROTECTIONS), base, 40));
	for (i = 0; i < 40; i++)
		must(kt_perms(base + i * kt_page, perms[i / 4]));
	must(!mprotect(kt_ptr(base), 40 * kt_page, PROT_READ | PROT_WRITE));
	must(kt_same(base, 0, 40, SEED(PROTECTIONS)));
	kt_fill(base, 0, 40, SEED(PROTECTIONS) + 99);
	must(kt_same(base, 0, 40, SEED(PROTECTIONS) + 99));
}

/* ---- advice ---- */

#define ADVICE_NR	16	/* pages of each range; as many are free between two */

/* What is said of a range before the handover and after it, and what becomes of that */
static const struct advice {
	int before;
	int after;
	int map_flags;
	const char *flags;	/* those of VmFlags in smaps that we know */
	const char *had;	/* before the kexec, where they are others */
} advice[] = {
	{ .flags = "ac" },
	{ .before = MADV_DONTDUMP, .flags = "ac dd" },
	{ .before = MADV_DONTFORK, .flags = "dc ac" },
	{ .before = MADV_WIPEONFORK, .flags = "ac wf" },
	{ .before = MADV_HUGEPAGE, .flags = "ac hg" },
	{ .before = MADV_NOHUGEPAGE, .flags = "ac nh" },
	{ .map_flags = MAP_NORESERVE, .flags = "nr" },
	{ .after = MADV_DONTDUMP, .flags = "ac dd" },
	{ .after = MADV_WIPEONFORK, .flags = "ac wf" },
	{ .before = MADV_DONTFORK, .after = MADV_DOFORK, .flags = "ac" },
	{ .before = MADV_DONTDUMP, .after = MADV_DODUMP, .flags = "ac" },
	/* these do not survive */
	{ .before = MADV_RANDOM, .flags = "ac", .had = "rr ac" },
	{ .before = MADV_SEQUENTIAL, .flags = "ac", .had = "sr ac" },
	{ .before = MADV_MERGEABLE, .flags = "ac", .had = "ac mg" },
	{ .after = MADV_MERGEABLE, .flags = "ac", .had = "ac mg" },
	{ .map_flags = MAP_GROWSDOWN, .flags = "ac", .had = "gd ac" },
	{ .map_flags = MAP_LOCKED, .flags = "ac", .had = "lo ac" },
};

/* The range behind these is sealed and has a name, which does not survive either */
#define SEALED	ARRAY_SIZE(advice)

static unsigned long advised(unsigned long place, unsigned int i)
{
	return kt_addr(place) + i * 2 * ADVICE_NR * kt_page;
}

/* Not every kernel has huge pages, or merges */
static bool can_advise(unsigned int i)
{
	int what = advice[i].before ?: advice[i].after;

	if (what == MADV_HUGEPAGE || what == MADV_NOHUGEPAGE)
		return kt_pmd_size();
	return what != MADV_MERGEABLE || !access("/sys/kernel/mm/ksm/run", F_OK);
}

static void advise(unsigned long place, unsigned int i, int what)
{
	if (what && can_advise(i))
		must(!madvise(kt_ptr(advised(place, i)), ADVICE_NR * kt_page, what));
}

/* Reads the mapping at @addr from smaps: its first line, and the flags that we know */
static void read_flags(unsigned long addr, char *head, char *flags)
{
	static const char known[] = "dc dd wf hg nh nr ac lo mg rr sr sl gd um";
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	char line[512], *word;
	bool inside = false;

	must(smaps);
	*flags = 0;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-') < line + 20) {
			inside = start <= addr && addr < end;
			if (inside)
				memcpy(head, line, sizeof(line));
		} else if (inside && !strncmp(line, "VmFlags:", 8)) {
			for (word = strtok(line + 8, "\n "); word; word = strtok(NULL, "\n ")) {
				if (strstr(known, word))
					sprintf(flags + strlen(flags), *flags ? " %s" : "%s", word);
			}
		}
	}
	fclose(smaps);
}

/* What has these flags in whichever order */
static bool same_flags(const char *flags, const char *want)
{
	char word[3];

	if (strlen(flags) != strlen(want))
		return false;
	for (; *want; want += 2 + (want[2] == ' ')) {
		snprintf(word, sizeof(word), "%s", want);
		if (!strstr(flags, word))
			return false;
	}
	return true;
}

static void must_be_advised(unsigned long place, unsigned int i, const char *want)
{
	char head[512], flags[128];

	if (i < SEALED && !can_advise(i))
		return;
	read_flags(advised(place, i), head, flags);
	if (!same_flags(flags, want) || strstr(head, "[anon:"))
		printf("# range %u has \"%s\", not \"%s\": %s", i, flags, want, head);
	must(same_flags(flags, want) && !strstr(head, "[anon:"));
}

static void map_advised(unsigned long place, unsigned int i, int flags)
{
	unsigned long base = advised(place, i);

	must(mmap(kt_ptr(base), ADVICE_NR * kt_page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags, -1, 0) ==
	     kt_ptr(base));
	kt_fill(base, 0, ADVICE_NR, SEED(place) + i);
}

static void advice_give(unsigned long place)
{
	struct kmho_range_handover r[ARRAY_SIZE(advice) + 1];
	struct kmho_op_handover op = { kt_key(place), ARRAY_SIZE(r), r };
	unsigned long sealed = advised(place, SEALED);
	char head[512], flags[128];
	unsigned int i;
	bool named;

	for (i = 0; i < ARRAY_SIZE(r); i++) {
		map_advised(place, i, i < SEALED ? advice[i].map_flags : 0);
		if (i < SEALED)
			advise(place, i, advice[i].before);
		r[i].base = advised(place, i);
		r[i].length = ADVICE_NR * kt_page;
	}
	named = !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, sealed, ADVICE_NR * kt_page, "kmho");
	must(named || errno == EINVAL);
	must(!syscall(__NR_mseal, sealed, ADVICE_NR * kt_page, 0));
	read_flags(sealed, head, flags);
	must(same_flags(flags, "ac sl") && !strstr(head, "[anon:kmho]") == !named);

	must(!kmho(KMHO_HANDOVER, &op));
	for (i = 0; i < SEALED; i++) {
		advise(place, i, advice[i].after);
		must_be_advised(place, i, advice[i].had ?: advice[i].flags);
	}
}

static void advice_take(unsigned long place)
{
	struct kmho_range_takeover r[ARRAY_SIZE(advice) + 1];
	struct kmho_op_takeover op = { kt_key(place), ARRAY_SIZE(r), r };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = (struct kmho_range_takeover){ advised(place, i), { ADVICE_NR * kt_page },
						     advised(place, i) };
	must(!kmho(KMHO_TAKEOVER, &op));
	for (i = 0; i < ARRAY_SIZE(r); i++)
		must(kt_same(advised(place, i), 0, ADVICE_NR, SEED(place) + i));
	must_be_advised(place, SEALED, "ac");
	kt_unmap(advised(place, SEALED), ADVICE_NR);
}

/* Each range has the flags of the table, and a child sees it accordingly */
static void advice_follow(unsigned long place)
{
	unsigned int i;
	pid_t pid;

	advice_take(place);
	for (i = 0; i < SEALED; i++)
		must_be_advised(place, i, advice[i].flags);
	pid = kt_fork();
	if (!pid) {
		for (i = 0; i < SEALED; i++) {
			if (strstr(advice[i].flags, "dc"))
				must(kt_unmapped(advised(place, i), ADVICE_NR));
			else if (strstr(advice[i].flags, "wf"))
				must(kt_zero(advised(place, i), 0, ADVICE_NR));
			else
				must(kt_same(advised(place, i), 0, ADVICE_NR, SEED(place) + i));
		}
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	for (i = 0; i < SEALED; i++)
		must(kt_same(advised(place, i), 0, ADVICE_NR, SEED(place) + i));
}

static void advice_live_before(void)
{
	advice_give(ADVICE_LIVE);
	kt_stay();
}

static void advice_live_after(void)
{
	advice_follow(ADVICE_LIVE);
}

static void advice_ended_before(void)
{
	advice_give(ADVICE_ENDED);
}

static void advice_ended_after(void)
{
	advice_follow(ADVICE_ENDED);
}

/* What is said of the memory afterwards is no longer said of the record */
static void advice_frozen_before(void)
{
	unsigned int i;

	advice_give(ADVICE_FROZEN);
	must(!kt_freeze(kt_key(ADVICE_FROZEN)));
	for (i = 0; i < SEALED; i++) {
		advise(ADVICE_FROZEN, i, MADV_DODUMP);
		advise(ADVICE_FROZEN, i, MADV_DONTFORK);
		advise(ADVICE_FROZEN, i, MADV_KEEPONFORK);
	}
	kt_stay();
}

static void advice_frozen_after(void)
{
	advice_follow(ADVICE_FROZEN);
}

/* ---- where to ---- */

static void chosen_before(void)
{
	give_pages(CHOSEN, 64);
}

static void chosen_after(void)
{
	unsigned long base = kt_addr(CHOSEN);
	struct kmho_range_takeover r[3] = {
		{ base, { 16 * kt_page }, 0 },
		{ base + 16 * kt_page, { 16 * kt_page }, kt_addr(TO) },
		{ base + 32 * kt_page, { 32 * kt_page }, 0 },
	};
	struct kmho_op_takeover op = { kt_key(CHOSEN), 3, r };

	must(!kmho(KMHO_TAKEOVER, &op));
	must(r[0].remap_addr && r[2].remap_addr && r[1].remap_addr == kt_addr(TO));
	must(r[0].remap_addr % kt_page == 0 && r[0].base == base && r[0].len == 16 * kt_page);
	must(kt_same(r[0].remap_addr, 0, 16, SEED(CHOSEN)));
	must(kt_same_from(r[1].remap_addr, 0, 16, SEED(CHOSEN), 16));
	must(kt_same_from(r[2].remap_addr, 0, 32, SEED(CHOSEN), 32));
}

static void into_before(void)
{
	unsigned long base = kt_addr(INTO);

	kt_map(base, 64);
	kt_fill(base, 8, 8, SEED(INTO));
	kt_fill(base, 32, 32, SEED(INTO));
	must(!kt_handover(kt_key(INTO), base, 64));
}

/* Present pages replace what is there, holes leave it; flags and protection stay */
static void into_after(void)
{
	unsigned long to = kt_addr(TO), remap = to + 16 * kt_page;

	kt_map(to, 96);
	kt_fill(to, 0, 96, 77);
	must(!mprotect(kt_ptr(to), 96 * kt_page, PROT_READ));
	must(!kt_takeover_to(kt_key(INTO), kt_addr(INTO), 64, &remap));
	must(remap == to + 16 * kt_page);
	must(kt_same(to, 0, 16 + 8, 77));
	must(kt_same_from(to, 16 + 8, 8, SEED(INTO), 8));
	must(kt_same(to, 16 + 16, 16, 77));
	must(kt_same_from(to, 16 + 32, 32, SEED(INTO), 32));
	must(kt_same(to, 16 + 64, 16, 77));
	must(kt_perms(to, "r--p") && kt_perms(to + 24 * kt_page, "r--p"));
	must(!mprotect(kt_ptr(to), 96 * kt_page, PROT_READ | PROT_WRITE));
	kt_fill(to, 0, 96, 78);
	must(kt_same(to, 0, 96, 78));
}

static void into_pieces_before(void)
{
	give_pages(INTO_PIECES, 64);
}

/* Several private anonymous mappings, some empty, some with pages, all over the place */
static void into_pieces_after(void)
{
	unsigned long to = kt_addr(TO), remap = to;

	kt_map(to, 64);
	must(!mprotect(kt_ptr(to + 16 * kt_page), 16 * kt_page, PROT_NONE));
	must(!mprotect(kt_ptr(to + 32 * kt_page), 16 * kt_page, PROT_READ));
	*(char *)kt_ptr(to + 60 * kt_page) = 1;
	must(!kt_takeover_to(kt_key(INTO_PIECES), kt_addr(INTO_PIECES), 64, &remap));
	must(kt_perms(to, "rw-p") && kt_perms(to + 63 * kt_page, "rw-p"));
	must(kt_perms(to + 16 * kt_page, "---p") && kt_perms(to + 32 * kt_page, "r--p"));
	must(!mprotect(kt_ptr(to), 64 * kt_page, PROT_READ));
	must(kt_same(to, 0, 64, SEED(INTO_PIECES)));
}

static void into_huge_before(void)
{
	kt_map(kt_addr(INTO_HUGE), 64);
	kt_fill(kt_addr(INTO_HUGE), 8, 8, SEED(INTO_HUGE));
	kt_fill(kt_addr(INTO_HUGE), 32, 32, SEED(INTO_HUGE));
	must(!kt_handover(kt_key(INTO_HUGE), kt_addr(INTO_HUGE), 64));
}

/* What it replaces of a huge page was the caller's only: a child's is as it was */
static void into_huge_after(void)
{
	unsigned long size = kt_need_thp(), nr = size / kt_page;
	unsigned long to = kt_addr(TO), remap = to + 16 * kt_page;
	int pipes[2];
	pid_t pid;

	kt_map_thp(to, size);
	kt_fill(to, 0, nr, 77);
	must(kt_smaps(to, size, "AnonHugePages") == (long)(size / 1024));
	must(!pipe(pipes));
	pid = kt_fork();
	if (!pid) {
		kt_hear(pipes[0]);
		must(kt_same(to, 0, nr, 77));
		_exit(0);
	}
	must(!kt_takeover_to(kt_key(INTO_HUGE), kt_addr(INTO_HUGE), 64, &remap));
	must(kt_same(to, 0, 16 + 8, 77));
	must(kt_same_from(to, 16 + 8, 8, SEED(INTO_HUGE), 8));
	must(kt_same(to, 16 + 16, 16, 77));
	must(kt_same_from(to, 16 + 32, 32, SEED(INTO_HUGE), 32));
	must(kt_same(to, 16 + 64, nr - 80, 77));
	kt_fill(to, 0, nr, 78);
	kt_tell(pipes[1]);
	must(kt_wait(pid) == 0);
	must(kt_same(to, 0, nr, 78));
}

static void into_swapped_before(void)
{
	give_pages(INTO_SWAPPED, 64);
}

/* What it replaces is in swap, and is given up there */
static void into_swapped_after(void)
{
	unsigned long to = kt_addr(TO), remap = to + 16 * kt_page;
	long swap;

	kt_need_swap();
	kt_map(to, 96);
	kt_fill(to, 0, 96, 77);
	must(kt_pageout(to, 96) == 96);
	swap = kt_field("/proc/self/status", "VmSwap");
	must(!kt_takeover_to(kt_key(INTO_SWAPPED), kt_addr(INTO_SWAPPED), 64, &remap));
	must(kt_field("/proc/self/status", "VmSwap") == swap - 64 * (long)kt_page / 1024);
	must(kt_same(to, 0, 16, 77));
	must(kt_same_from(to, 16, 64, SEED(INTO_SWAPPED), 0));
	must(kt_same(to, 80, 16, 77));
}

static void unaligned_move_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(UNALIGNED_MOVE);

	kt_map_thp(base, 2 * size);
	kt_fill(base, 0, 2 * size / kt_page, SEED(UNALIGNED_MOVE));
	must(!kt_handover(kt_key(UNALIGNED_MOVE), base, 2 * size / kt_page));
}

/* Huge pages go to a place where they cannot be mapped as such */
static void unaligned_move_after(void)
{
	unsigned long size = kt_need_thp(), remap = kt_addr(TO) + 3 * kt_page;

	must(!kt_takeover_to(kt_key(UNALIGNED_MOVE), kt_addr(UNALIGNED_MOVE), 2 * size / kt_page,
			     &remap));
	must(kt_same_from(remap, 0, 2 * size / kt_page, SEED(UNALIGNED_MOVE), 0));
	must(!munmap(kt_ptr(remap + 50 * kt_page), 100 * kt_page));
	must(kt_same_from(remap, 0, 50, SEED(UNALIGNED_MOVE), 0));
	must(kt_same_from(remap, 150, 2 * size / kt_page - 150, SEED(UNALIGNED_MOVE), 150));
}

static void in_use_before(void)
{
	give_pages(IN_USE, 64);
}

static void in_use_after(void)
{
	unsigned long base = kt_addr(IN_USE), to = kt_addr(TO);
	struct kmho_range_takeover r[2] = {
		{ base, { 32 * kt_page }, to },
		{ base + 32 * kt_page, { 32 * kt_page }, to + 64 * kt_page },
	};
	struct kmho_op_takeover op = { kt_key(IN_USE), 2, r };

	kt_map_shared(to + 80 * kt_page, 1, -1);
	must_refuse(EEXIST, kmho(KMHO_TAKEOVER, &op));
	must(kt_unmapped(to, 80));
	must_refuse(EEXIST, kmho(KMHO_TAKEOVER, &op));
	kt_unmap(to + 80 * kt_page, 1);
	must(!kmho(KMHO_TAKEOVER, &op));
	must(kt_same_from(to, 0, 32, SEED(IN_USE), 0));
	must(kt_same_from(to, 64, 32, SEED(IN_USE), 32));
}

static void twice_before(void)
{
	give_pages(TWICE, 8);
}

static void twice_after(void)
{
	unsigned long remap = kt_addr(TO);

	kt_take(kt_key(TWICE), kt_addr(TWICE), 8, SEED(TWICE));
	must_refuse(ENOENT, kt_takeover_to(kt_key(TWICE), kt_addr(TWICE), 8, &remap));
	must(kt_same(kt_addr(TWICE), 0, 8, SEED(TWICE)));
}

/* ---- what nobody took travels on ---- */

static void partial_before(void)
{
	unsigned long base = kt_addr(PARTIAL);

	kt_map(base, 64);
	kt_fill(base, 0, 40, SEED(PARTIAL));
	kt_fill(base, 48, 16, SEED(PARTIAL));
	must(!kt_handover(kt_key(PARTIAL), base, 64));
}

static void partial_after(void)
{
	unsigned long base = kt_addr(PARTIAL);
	struct kmho_range_info info[4];

	must_be_incoming(kt_key(PARTIAL), 64, 56);
	must(!kt_takeover(kt_key(PARTIAL), base + 10 * kt_page, 20));
	must(kt_same(base, 10, 20, SEED(PARTIAL)));
	must_refuse(ENOENT, kt_takeover(kt_key(PARTIAL), base, 64));
	must_be_incoming(kt_key(PARTIAL), 44, 36);
	must(kt_ranges(kt_key(PARTIAL), info, 4) == 2);
	must(info[0].base == base && info[0].length == 10 * kt_page);
	must(info[1].base == base + 30 * kt_page && info[1].length == 34 * kt_page);
	/* the key is in use as long as something is left */
	kt_map(kt_addr(TO), 1);
	must_refuse(EEXIST, kt_handover(kt_key(PARTIAL), kt_addr(TO), 1));
}

static void partial_again(void)
{
	unsigned long base = kt_addr(PARTIAL);

	must_be_incoming(kt_key(PARTIAL), 44, 36);
	must_refuse(ENOENT, kt_takeover(kt_key(PARTIAL), base + 10 * kt_page, 20));
	must(!kt_takeover(kt_key(PARTIAL), base, 10));
	must(!kt_takeover(kt_key(PARTIAL), base + 30 * kt_page, 34));
	must(kt_same(base, 0, 10, SEED(PARTIAL)));
	must(kt_same(base, 30, 10, SEED(PARTIAL)));
	must(kt_zero(base, 40, 8));
	must(kt_same(base, 48, 16, SEED(PARTIAL)));
	must(!kt_exists(kt_key(PARTIAL)));
}

static void carried_before(void)
{
	unsigned long base = kt_addr(CARRIED), size = kt_pmd_size();

	if (size)
		kt_map_thp(base, 2UL << 20);
	else
		kt_map(base, (2UL << 20) / kt_page);
	kt_fill(base, 0, 300, SEED(CARRIED));
	must(!kt_handover(kt_key(CARRIED), base, (2UL << 20) / kt_page));
}

static void carried_after(void)
{
	struct kmho_record_info info;

	/* nobody takes it; it is there, and no more than there */
	must(!kt_info(kt_key(CARRIED), &info));
	must(info.state == KMHO_STATE_INCOMING);
}

static void carried_again(void)
{
	unsigned long base = kt_addr(CARRIED);

	must(!kt_takeover(kt_key(CARRIED), base, (2UL << 20) / kt_page));
	must(kt_same(base, 0, 300, SEED(CARRIED)));
	must(kt_zero(base, 300, (2UL << 20) / kt_page - 300));
}

static void handed_on_before(void)
{
	give_pages(HANDED_ON, 64);
}

/* Taken over, changed, and handed over again, under the same key, from another place */
static void handed_on_after(void)
{
	unsigned long to = kt_addr(TO), remap = to;

	must(!kt_takeover_to(kt_key(HANDED_ON), kt_addr(HANDED_ON), 64, &remap));
	must(kt_same_from(to, 0, 64, SEED(HANDED_ON), 0));
	kt_fill(to, 20, 10, SEED(HANDED_ON) + 99);
	must(!kt_handover(kt_key(HANDED_ON), to, 64));
	kt_stay();
}

static void handed_on_again(void)
{
	unsigned long to = kt_addr(TO);

	must_be_incoming(kt_key(HANDED_ON), 64, 64);
	must(!kt_takeover(kt_key(HANDED_ON), to, 64));
	must(kt_same(to, 0, 20, SEED(HANDED_ON)));
	must(kt_same(to, 20, 10, SEED(HANDED_ON) + 99));
	must(kt_same(to, 30, 34, SEED(HANDED_ON)));
}

/* ---- dropped on either side ---- */

static void dropped_before(void)
{
	give_pages(DROPPED, 64);
	must(!kt_drop(kt_key(DROPPED)));
	must(kt_same(kt_addr(DROPPED), 0, 64, SEED(DROPPED)));
}

static void dropped_after(void)
{
	must(!kt_exists(kt_key(DROPPED)));
	must_refuse(ENOENT, kt_takeover(kt_key(DROPPED), kt_addr(DROPPED), 64));
}

static void drop_here_before(void)
{
	give_pages(DROP_HERE, 4096);
}

static void drop_here_after(void)
{
	long before = kt_free_kib(), after;

	must_be_incoming(kt_key(DROP_HERE), 4096, 4096);
	must(!kt_drop(kt_key(DROP_HERE)));
	must(!kt_exists(kt_key(DROP_HERE)));
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB after DROP of 16384 kB\n", before, after);
	must(after - before > 16384 - 2048);
}

static void drop_here_again(void)
{
	must(!kt_exists(kt_key(DROP_HERE)));
}

/* Physically scattered: every other page goes back before the handover */
static void scattered_before(void)
{
	unsigned long base = kt_addr(SCATTERED), nr = 8192, i;

	kt_map(base, nr);
	kt_fill(base, 0, nr, SEED(SCATTERED));
	for (i = 0; i < nr; i += 2)
		must(!madvise(kt_ptr(base + i * kt_page), kt_page, MADV_DONTNEED));
	must(!kt_handover(kt_key(SCATTERED), base, nr));
	must(present_pages(kt_key(SCATTERED)) == nr / 2);
}

static void scattered_after(void)
{
	unsigned long base = kt_addr(SCATTERED), nr = 8192, i;

	must_be_incoming(kt_key(SCATTERED), nr, nr / 2);
	must(!kt_takeover(kt_key(SCATTERED), base, nr));
	for (i = 0; i < nr; i += 2)
		must(kt_same(base, i + 1, 1, SEED(SCATTERED)));
	must(kt_held_pages(base, nr) == nr / 2);
}

#define CASE(title, name)	{ title, .before = name##_before, .after = name##_after }
#define CASE3(title, name) {						\
	title, .before = name##_before, .after = name##_after,		\
	.again = name##_again						\
}

static const struct kt_case cases[] = {
	CASE("memory of a process that lives until the kexec", whole),
	CASE("memory of a process that has ended before", exited),
	CASE("nothing is copied: the pages lie where they lay", physical),
	CASE("holes stay holes", holes),
	CASE("a range that is one hole", all_holes),
	CASE("pages that were read, never written, are holes", zero_pages),
	CASE("PMD-size huge pages stay huge", thp),
	CASE("a huge page of which a part is mapped", thp_part),
	CASE("the huge zero page is a hole", thp_zero),
	CASE("a range that begins and ends inside huge pages", thp_range_part),
	CASE("huge pages in a row, with other pages between them", thp_row),
	CASE("64 KiB huge pages", mthp),
	CASE("64 KiB huge pages that two processes share, each in a record", mthp_shared),
	CASE("pages that were swapped out", swapped),
	CASE("huge pages that were swapped out in part", swapped_thp),
	CASE("2000 ranges under one key", ranges),
	CASE("ranges that adjoin may be taken as one", adjoining),
	CASE("100 keys", keys),
	CASE("one key of three users", users),
	CASE("protections within one range", protections),
	CASE("advice survives as it is at the kexec", advice_live),
	CASE("advice survives as it was when the process ended", advice_ended),
	CASE("advice survives as it was at FREEZE", advice_frozen),
	CASE("remap_addr 0: the kernel chooses", chosen),
	CASE("into a mapping of the caller", into),
	CASE("into a huge page of the caller, which a child shares", into_huge),
	CASE("into pages of the caller that are swapped out", into_swapped),
	CASE("into several mappings of the caller", into_pieces),
	CASE("huge pages to an address that is not aligned for them", unaligned_move),
	CASE("an address in use: nothing is mapped, nothing is lost", in_use),
	CASE("each page is taken once", twice),
	CASE3("what was not taken travels on to the next kernel", partial),
	CASE3("a record that nobody looked at travels on", carried),
	CASE3("what was taken is handed over again", handed_on),
	CASE("what was dropped before is not there", dropped),
	CASE3("what is dropped afterwards is free memory", drop_here),
	CASE("8192 pages, every other a hole", scattered),
};

int main(int argc, char **argv)
{
	kt_program = 3;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
