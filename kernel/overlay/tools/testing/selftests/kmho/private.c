// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private memory whose pages may be somebody else's. Of a mapping of a file the
 * pages that the process has written are its own and are handed over; the others
 * are the file's and are holes. What is taken over is private anonymous memory, for
 * the next kernel knows of no file. Of pages that KSM has merged each record has one.
 *
 * Of NR pages every third is written before the handover, every third
 * afterwards, and every third never.
 */
#include "kmho_test.h"

#define SEED	0xf11eULL
#define FILE_SEED	0xf11e0000ULL
#define NR	96
#define NR_WRITTEN	(NR / 3 * 2)

enum { MINE_BEFORE, MINE_AFTER, THE_FILES };

enum { TMP, MEMFD, ZERO, MIXED, FROZEN, MERGED, MERGED_TOO };

/* A file of NR pages of a pattern of its own */
static int make_file(bool memfd)
{
	unsigned long scratch = kt_addr(30);
	char path[] = "/tmp/kmho-private.XXXXXX";
	int fd = memfd ? memfd_create("kmho-private", 0) : mkstemp(path);

	must(fd >= 0);
	if (!memfd)
		must(!unlink(path));
	kt_map(scratch, NR);
	kt_fill(scratch, 0, NR, FILE_SEED);
	must(pwrite(fd, kt_ptr(scratch), NR * kt_page, 0) == (ssize_t)(NR * kt_page));
	kt_unmap(scratch, NR);
	return fd;
}

static void map_private(int fd, unsigned long base)
{
	must(mmap(kt_ptr(base), NR * kt_page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) == kt_ptr(base));
}

static void write_third(unsigned long base, unsigned long which, __u64 seed)
{
	unsigned long i;

	for (i = which; i < NR; i += 3)
		kt_fill(base, i, 1, seed);
}

/* The process sees its pages and the file's (@file false: holes), each in its place */
static void must_see(unsigned long base, bool file)
{
	unsigned long i;

	for (i = 0; i < NR; i++) {
		if (i % 3 != THE_FILES)
			must(kt_same(base, i, 1, SEED));
		else if (file)
			must(kt_same(base, i, 1, FILE_SEED));
	}
}

static void must_have(unsigned long key, unsigned long present)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	if (info.present != present * kt_page)
		printf("# %llu bytes present, not %lu\n", (unsigned long long)info.present,
		       present * kt_page);
	must(info.present == present * kt_page);
}

static void give(int fd, unsigned long n, bool file)
{
	unsigned long base = kt_addr(n), i;

	map_private(fd, base);
	close(fd);
	write_third(base, MINE_BEFORE, SEED);
	/* the file's pages are mapped, and yet not handed over */
	for (i = THE_FILES; i < NR; i += 3)
		must(file ? kt_same(base, i, 1, FILE_SEED) : kt_zero(base, i, 1));
	must(!kt_handover(kt_key(n), base, NR));
	must_have(kt_key(n), NR / 3);
	write_third(base, MINE_AFTER, SEED);
	must_see(base, file);
}

static void take(unsigned long n)
{
	unsigned long base = kt_addr(n), i;

	must_have(kt_key(n), NR_WRITTEN);
	must(!kt_takeover(kt_key(n), base, NR));
	must(kt_held_pages(base, NR) == NR_WRITTEN);
	must_see(base, false);
	for (i = THE_FILES; i < NR; i += 3)
		must(kt_zero(base, i, 1));
	must(kt_perms(base, "rw-p"));
	must(!kt_exists(kt_key(n)));
}

/* ---- without a kexec ---- */

static void do_give(void *arg)
{
	give(make_file(arg), TMP, true);
}

static void by_successor(void)
{
	kt_run(do_give, NULL);
	take(TMP);
	kt_unmap(kt_addr(TMP), NR);
	kt_run(do_give, (void *)1);
	take(TMP);
}

static void never_written(void)
{
	unsigned long base = kt_addr(TMP);
	int fd = make_file(false);

	map_private(fd, base);
	must(kt_same(base, 0, NR, FILE_SEED));
	must(!kt_handover(kt_key(0), base, NR));
	must_have(kt_key(0), 0);
	must(kt_same(base, 0, NR, FILE_SEED));
	must_have(kt_key(0), 0);
	/* changing the file is not writing to the mapping */
	kt_map(kt_addr(30), 1);
	kt_fill(kt_addr(30), 0, 1, SEED);
	must(pwrite(fd, kt_ptr(kt_addr(30)), kt_page, 0) == (ssize_t)kt_page);
	must(kt_same(base, 0, 1, SEED));
	must(!kt_drop(kt_key(0)));
	/* neither is what another process writes to a shared mapping */
	must(kt_same(base, 1, NR - 1, FILE_SEED));
}

static void do_program_text(void *arg)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p;

	must(!arg && fd >= 0);
	p = mmap(kt_ptr(kt_addr(0)), 2 * kt_page, PROT_READ | PROT_EXEC,
		 MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	must(p == kt_ptr(kt_addr(0)) && p[1] == 'E');
	must(!kt_handover(kt_key(0), kt_addr(0), 2));
}

static void program_text(void)
{
	kt_run(do_program_text, NULL);
	must_have(kt_key(0), 0);
	must(!kt_takeover(kt_key(0), kt_addr(0), 2));
	must(kt_perms(kt_addr(0), "r-xp"));
	must(kt_zero(kt_addr(0), 0, 2));
}

static void parting_is_refused(void)
{
	unsigned long base = kt_addr(0), at = base + 3 * kt_page, len = 4 * kt_page;

	give(make_file(false), TMP, true);
	must_refuse(EPERM, munmap(kt_ptr(at), len));
	must_refuse(EPERM, mremap(kt_ptr(at), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				  kt_ptr(kt_addr(2))));
	must_refuse(EPERM, madvise(kt_ptr(at), len, MADV_DONTNEED));
	must_refuse(EPERM, mmap(kt_ptr(at), len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				-1, 0));
	must(!kt_drop(kt_key(TMP)));
	must(!madvise(kt_ptr(base), NR * kt_page, MADV_DONTNEED));
	must(kt_same(base, 0, NR, FILE_SEED));
}

/* Truncating a file takes the pages away that were copied on write, too */
static void do_truncated(void *arg)
{
	unsigned long base = kt_addr(TMP);
	int fd = make_file(arg), other = dup(fd);

	must(other >= 0);
	give(fd, TMP, true);
	must(!ftruncate(other, NR / 2 * kt_page));
	must(!ftruncate(other, NR * kt_page));
	must(kt_zero(base, NR / 2, NR / 2));
	/* and this is written once more */
	kt_fill(base, NR - 3, 1, SEED);
}

static void truncated(void)
{
	unsigned long base = kt_addr(TMP);

	kt_run(do_truncated, NULL);
	must_have(kt_key(TMP), NR_WRITTEN / 2 + 1);
	must(!kt_takeover(kt_key(TMP), base, NR));
	must(kt_same(base, 0, 2, SEED) && kt_same(base, NR / 2 - 3, 2, SEED));
	must(kt_zero(base, NR / 2, NR / 2 - 3));
	must(kt_same(base, NR - 3, 1, SEED));
	must(kt_zero(base, NR - 2, 2));
}

/* Nothing is written after HANDOVER: only the truncation says that there is less */
static void do_discarded(void *arg)
{
	unsigned long base = kt_addr(TMP);
	int fd = make_file(arg);

	map_private(fd, base);
	kt_fill(base, 0, NR, SEED);
	must(!kt_handover(kt_key(TMP), base, NR));
	must_have(kt_key(TMP), NR);
	must(!ftruncate(fd, NR / 2 * kt_page));
}

static void discarded(void)
{
	unsigned long base = kt_addr(TMP);

	kt_run(do_discarded, NULL);
	must_have(kt_key(TMP), NR / 2);
	must(!kt_takeover(kt_key(TMP), base, NR));
	must(kt_same(base, 0, NR / 2, SEED) && kt_zero(base, NR / 2, NR / 2));
}

static void do_forked(void *arg)
{
	unsigned long base = kt_addr(TMP);
	pid_t pid;

	must(!arg);
	give(make_file(true), TMP, true);
	pid = kt_fork();
	if (!pid) {
		write_third(base, MINE_BEFORE, SEED + 1);
		write_third(base, THE_FILES, SEED + 1);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	/* the parent's view counts */
	must_see(base, true);
	write_third(base, MINE_AFTER, SEED);
}

static void forked(void)
{
	kt_run(do_forked, NULL);
	take(TMP);
}

static void do_swapped(void *arg)
{
	unsigned long base = kt_addr(TMP);

	must(!arg);
	map_private(make_file(true), base);
	write_third(base, MINE_BEFORE, SEED);
	write_third(base, MINE_AFTER, SEED);
	must(kt_pageout(base, NR));
	must(!kt_handover(kt_key(TMP), base, NR));
}

static void swapped(void)
{
	kt_need_swap();
	kt_run(do_swapped, NULL);
	take(TMP);
}

static void do_nobody_else_sees(void *arg)
{
	must(!arg);
	take(TMP);
	kt_fill(kt_addr(TMP), 0, NR, SEED + 2);
}

/* What was taken over is the taker's alone: the file has what it had */
static void file_is_untouched(void)
{
	int fd = make_file(true);
	pid_t pid = kt_fork();

	if (!pid) {
		give(fd, TMP, true);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	kt_run(do_nobody_else_sees, NULL);
	map_private(fd, kt_addr(0));
	must(kt_same(kt_addr(0), 0, NR, FILE_SEED));
}

/* ---- pages that KSM has made one of two processes' ---- */

#define KSM	"/sys/kernel/mm/ksm/"

/* Pages of the same contents, until all of them are merged with the other process's */
static void merge_pages(unsigned long base)
{
	char merged[32];
	int tries;

	kt_map(base, NR);
	kt_fill(base, 0, NR, SEED);
	must(!madvise(kt_ptr(base), NR * kt_page, MADV_MERGEABLE));
	for (tries = 0; tries < 6000; tries++) {
		must(kt_read_file("/proc/self/ksm_merging_pages", merged, sizeof(merged)));
		if (atol(merged) == NR)
			break;
		usleep(20000);
	}
	must(atol(merged) == NR);
}

static void read_pfns(unsigned long base, __u64 *pfns)
{
	unsigned long i;

	must(kt_same(base, 0, NR, SEED));
	kt_read_pfns(base, NR, pfns);
	for (i = 0; i < NR; i++)
		must(pfns[i]);
}

/* What one of two processes does, in step with the other */
static void hand_merged_over(unsigned long i, __u64 *pfns, int from, int to)
{
	unsigned long base = kt_addr(MERGED + i);

	merge_pages(base);
	read_pfns(base, pfns);
	kt_tell(from);
	kt_hear(to);
	must(!kt_handover(kt_key(MERGED + i), base, NR));
	kt_tell(from);
	kt_hear(to);
	/* it is this process's own page by now */
	kt_fill(base, i, 1, SEED + 1);
}

static void give_merged(void)
{
	__u64 (*pfns)[NR] = mmap(NULL, 2 * NR * sizeof(__u64), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int to[2][2], from[2], step;
	pid_t pids[2];
	unsigned long i;

	kt_need_root();
	must(pfns != MAP_FAILED);
	if (!kt_write_file(KSM "run", "1"))
		kt_skip("this kernel does not merge pages: %s", strerror(errno));
	kt_write_file(KSM "pages_to_scan", "1000");
	/* each is spoken to by itself: the one that is quicker would hear what the other is told */
	must(!pipe(to[0]) && !pipe(to[1]) && !pipe(from));
	for (i = 0; i < 2; i++) {
		pids[i] = kt_fork();
		if (!pids[i]) {
			hand_merged_over(i, pfns[i], from[1], to[i][0]);
			_exit(0);
		}
	}
	for (step = 0; step < 2; step++) {
		kt_hear(from[0]);
		kt_hear(from[0]);
		/* one page of both, before either hands it over */
		must(!memcmp(pfns[0], pfns[1], sizeof(pfns[0])));
		for (i = 0; i < 2; i++)
			kt_tell(to[i][1]);
	}
	must(kt_wait(pids[0]) == 0 && kt_wait(pids[1]) == 0);
	must(kt_write_file(KSM "run", "0"));
}

static void take_merged(void)
{
	unsigned long base = kt_addr(MERGED), too = kt_addr(MERGED_TOO), i, k;
	__u64 pfns[2][NR];

	must_have(kt_key(MERGED), NR);
	must_have(kt_key(MERGED_TOO), NR);
	must(!kt_takeover(kt_key(MERGED), base, NR));
	must(!kt_takeover(kt_key(MERGED_TOO), too, NR));
	must(kt_same(base, 0, 1, SEED + 1) && kt_same(too, 1, 1, SEED + 1));
	must(kt_same(base, 1, NR - 1, SEED));
	must(kt_same(too, 0, 1, SEED) && kt_same(too, 2, NR - 2, SEED));
	kt_fill(base, 0, 1, SEED);
	kt_fill(too, 1, 1, SEED);
	read_pfns(base, pfns[0]);
	read_pfns(too, pfns[1]);
	for (i = 0; i < NR; i++) {
		for (k = 0; k < NR; k++)
			must(pfns[0][i] != pfns[1][k]);
	}
	/* and so nobody sees what the other writes */
	kt_fill(base, 0, NR, SEED + 2);
	must(kt_same(too, 0, NR, SEED));
}

static void merged(void)
{
	give_merged();
	take_merged();
}

/* ---- over a kexec ---- */

static void tmp_before(void)
{
	give(make_file(false), TMP, true);
	kt_stay();
}

static void tmp_after(void)
{
	take(TMP);
}

static void memfd_before(void)
{
	give(make_file(true), MEMFD, true);
}

static void memfd_after(void)
{
	take(MEMFD);
}

static void zero_before(void)
{
	int fd = open("/dev/zero", O_RDWR);

	must(fd >= 0);
	give(fd, ZERO, false);
	kt_stay();
}

static void zero_after(void)
{
	take(ZERO);
}

/* Anonymous memory, a file, and anonymous memory again, in one range */
static void mixed_before(void)
{
	unsigned long base = kt_addr(MIXED);

	kt_map(base, 4);
	map_private(make_file(false), base + 4 * kt_page);
	kt_map(base + (4 + NR) * kt_page, 4);
	kt_fill(base, 0, 2, SEED);
	write_third(base + 4 * kt_page, MINE_BEFORE, SEED);
	must(!kt_handover(kt_key(MIXED), base, NR + 8));
	must_have(kt_key(MIXED), 2 + NR / 3);
	write_third(base + 4 * kt_page, MINE_AFTER, SEED);
	kt_fill(base, NR + 6, 2, SEED);
	kt_stay();
}

static void mixed_after(void)
{
	unsigned long base = kt_addr(MIXED);

	must_have(kt_key(MIXED), NR_WRITTEN + 4);
	must(!kt_takeover(kt_key(MIXED), base, NR + 8));
	must(kt_same(base, 0, 2, SEED) && kt_zero(base, 2, 2));
	must_see(base + 4 * kt_page, false);
	must(kt_zero(base, NR + 4, 2) && kt_same(base, NR + 6, 2, SEED));
}

static void frozen_before(void)
{
	struct kmho_op_drop op = {
		.size = sizeof(op),
		.key = kt_key(FROZEN),
		.uid = KMHO_UID_SELF,
	};

	give(make_file(true), FROZEN, true);
	must(!kmho(KMHO_FREEZE, &op));
	kt_fill(kt_addr(FROZEN), 0, NR, SEED + 3);
	must(!munmap(kt_ptr(kt_addr(FROZEN)), NR / 2 * kt_page));
	kt_stay();
}

static void frozen_after(void)
{
	take(FROZEN);
}

static const struct kt_case cases[] = {
	{ "what was written is taken over by a successor", .now = by_successor },
	{ "what was never written is not in the record", .now = never_written },
	{ "a program's text is handed over without a page", .now = program_text },
	{ "munmap, mremap, MAP_FIXED, MADV_DONTNEED: EPERM", .now = parting_is_refused },
	{ "what a truncation discards becomes a hole", .now = truncated },
	{ "a truncation after which nothing is written", .now = discarded },
	{ "fork: the parent's view counts", .now = forked },
	{ "swapped out pages come back", .now = swapped },
	{ "the file has what it had", .now = file_is_untouched },
	{ "pages that KSM has merged are each process's own", .now = merged,
	  .before = give_merged, .after = take_merged },
	{ "a file in a file system", .before = tmp_before, .after = tmp_after },
	{ "a memfd, its process gone", .before = memfd_before, .after = memfd_after },
	{ "/dev/zero", .before = zero_before, .after = zero_after },
	{ "anonymous and file memory in one range", .before = mixed_before, .after = mixed_after },
	{ "frozen", .before = frozen_before, .after = frozen_after },
};

int main(int argc, char **argv)
{
	kt_program = 20;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
