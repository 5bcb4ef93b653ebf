// SPDX-License-Identifier: GPL-2.0-only
/*
 * T4: what was taken over is ordinary memory. The same is done with it after a
 * takeover in the same kernel and after one that followed a kexec, since the
 * pages get back into the process by different ways.
 */
#include "kmho_test.h"

enum { SMALL, HUGE, NR_PLACES };

#define SEED(place)	(0x04dULL + (place))
#define NR		1024

static unsigned long huge_nr(void)
{
	return 2 * kt_pmd_size() / kt_page;
}

/* Every case of a stage has a record of its own, named by its place in the list */
static unsigned long case_key(unsigned int n, unsigned int place)
{
	return kt_key(n * NR_PLACES + place);
}

static void give_small(void *arg)
{
	unsigned int n = (unsigned long)arg;

	kt_map(kt_addr(SMALL), NR);
	/* holes at the end */
	kt_fill(kt_addr(SMALL), 0, NR - 24, SEED(SMALL));
	must(!kt_handover(case_key(n, SMALL), kt_addr(SMALL), NR));
}

/*
 * Compaction moves what lies low in a zone to what is free above it, but for whole blocks
 * that are free. So each page has others behind it, a third of all memory, which is free
 * again when this process has ended: wherever that third is, the pages lie all over it,
 * and the lower ones have room among the upper ones.
 */
static void give_spread(void *arg)
{
	unsigned long each = kt_meminfo("MemFree") * 1024 / kt_page / 3 / (NR - 24), i, k;
	unsigned int n = (unsigned long)arg;

	kt_need_root();
	if (access("/proc/sys/vm/compact_memory", W_OK))
		kt_skip("this kernel has no compaction");
	kt_map(kt_addr(SMALL), NR);
	kt_map(kt_addr(9), each * (NR - 24));
	for (i = 0; i < NR - 24; i++) {
		kt_fill(kt_addr(SMALL), i, 1, SEED(SMALL));
		for (k = 0; k < each; k++)
			*(char *)kt_ptr(kt_addr(9) + (i * each + k) * kt_page) = 1;
	}
	must(!kt_handover(case_key(n, SMALL), kt_addr(SMALL), NR));
}

static void give_huge(void *arg)
{
	unsigned int n = (unsigned long)arg;

	kt_need_thp();
	kt_map_thp(kt_addr(HUGE), huge_nr() * kt_page);
	kt_fill(kt_addr(HUGE), 0, huge_nr(), SEED(HUGE));
	must(!kt_handover(case_key(n, HUGE), kt_addr(HUGE), huge_nr()));
}

static void take_small(unsigned int n)
{
	must(!kt_takeover(case_key(n, SMALL), kt_addr(SMALL), NR));
}

static void take_huge(unsigned int n)
{
	kt_need_thp();
	must(!kt_takeover(case_key(n, HUGE), kt_addr(HUGE), huge_nr()));
}

static void check_small(void)
{
	must(kt_same(kt_addr(SMALL), 0, NR - 24, SEED(SMALL)));
	must(kt_zero(kt_addr(SMALL), NR - 24, 24));
}

static void check_huge(void)
{
	must(kt_same(kt_addr(HUGE), 0, huge_nr(), SEED(HUGE)));
}

/* ---- what is done with it ---- */

/* KiB, of what is or may be reclaimed by and by, too */
static long on_lru_lists(void)
{
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	return kt_meminfo("Active(anon)") + kt_meminfo("Inactive(anon)") +
	       kt_meminfo("Unevictable");
}

/* Is it this size in KiB, but for what others do meanwhile? */
static bool is_about(long kib, long size)
{
	return kib > size - size / 4 && kib < size + size / 4;
}

static void counted(unsigned int n)
{
	long before = kt_field("/proc/self/status", "RssAnon"), after;
	long anon = kt_meminfo("AnonPages"), lru, size = (NR - 24) * kt_page / 1024;

	take_small(n);
	after = kt_field("/proc/self/status", "RssAnon");
	printf("# RssAnon %ld kB, %ld kB after takeover\n", before, after);
	must(after - before >= (long)((NR - 24) * kt_page / 1024));
	must(after - before < (long)((NR + 64) * kt_page / 1024));

	/* What came with a kexec is put in when it is touched. */
	check_small();
	lru = on_lru_lists();
	must(is_about(kt_meminfo("AnonPages") - anon, size));
	must(kt_smaps(kt_addr(SMALL), NR * kt_page, "Rss") == (long)((NR - 24) * kt_page / 1024));
	must(kt_smaps(kt_addr(SMALL), NR * kt_page, "Anonymous") ==
	     (long)((NR - 24) * kt_page / 1024));
	kt_unmap(kt_addr(SMALL), NR);
	must(kt_field("/proc/self/status", "RssAnon") - before < 256);
	must(is_about(lru - on_lru_lists(), size));
	must(labs(kt_meminfo("AnonPages") - anon) < size / 4);
}

static void locks(unsigned int n)
{
	long mlocked = kt_meminfo("Mlocked"), size = (NR - 24) * kt_page / 1024;

	must(!mlockall(MCL_FUTURE));
	take_small(n);
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	must(is_about(kt_meminfo("Mlocked") - mlocked, size));
	must(kt_smaps(kt_addr(SMALL), NR * kt_page, "Locked") == size);
	check_small();
	must(!munlockall());
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	must(kt_meminfo("Mlocked") - mlocked < size / 4);
	check_small();
}

#define CGROUP	"/sys/fs/cgroup/kmho"

static long in_cgroup(const char *name)
{
	static char buf[8192];
	size_t len = strlen(name);
	char *at = buf;

	must(kt_read_file(CGROUP "/memory.stat", buf, sizeof(buf)));
	while (strncmp(at, name, len) || at[len] != ' ') {
		at = strchr(at, '\n');
		must(at++);
	}
	return strtol(at + len, NULL, 10) / 1024;
}

static void charges(unsigned int n)
{
	long size = (NR - 24) * kt_page / 1024;
	pid_t pid;

	kt_need_cgroup(CGROUP);
	pid = kt_fork();
	if (!pid) {
		must(kt_write_file(CGROUP "/cgroup.procs", "0"));
		/* Less than it takes: nothing is taken, and nothing stays charged */
		must(kt_write_file(CGROUP "/memory.max", "2M"));
		must(kt_takeover(case_key(n, SMALL), kt_addr(SMALL), NR) == -1);
		must(errno == ENOMEM);
		must(kt_charged_kib(CGROUP) < size / 2);
		must(kt_write_file(CGROUP "/memory.max", "max"));

		take_small(n);
		must(kt_charged_kib(CGROUP) >= size);
		check_small();
		must(kt_charged_kib(CGROUP) < size * 5 / 4);
		must(is_about(in_cgroup("anon"), size));
		must(is_about(in_cgroup("inactive_anon") + in_cgroup("active_anon"), size));
		kt_unmap(kt_addr(SMALL), NR);
		must(in_cgroup("anon") < size / 4);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(kt_charged_kib(CGROUP) < size / 2);
	must(!rmdir(CGROUP));
}

static void swaps(unsigned int n)
{
	unsigned long out;

	kt_need_swap();
	take_small(n);
	out = kt_pageout(kt_addr(SMALL), NR - 24);
	printf("# %lu of %u pages in swap\n", out, NR - 24);
	must(out > (NR - 24) * 9 / 10);
	check_small();
	must(kt_count(kt_addr(SMALL), NR - 24, KT_PM_PRESENT) == NR - 24);
	/* written, and out and in again */
	kt_fill(kt_addr(SMALL), 0, NR, SEED(SMALL) + 1);
	must(kt_pageout(kt_addr(SMALL), NR) > NR * 9 / 10);
	must(kt_same(kt_addr(SMALL), 0, NR, SEED(SMALL) + 1));
}

static void swaps_huge(unsigned int n)
{
	unsigned long out;

	kt_need_swap();
	take_huge(n);
	out = kt_pageout(kt_addr(HUGE), huge_nr());
	printf("# %lu of %lu pages in swap\n", out, huge_nr());
	must(out > huge_nr() * 9 / 10);
	check_huge();
}

static void collapses(unsigned int n)
{
	unsigned long size = kt_need_thp(), len = NR * kt_page;

	take_small(n);
	must(!madvise(kt_ptr(kt_addr(SMALL)), len, MADV_HUGEPAGE));
	if (kt_collapse(kt_addr(SMALL), len)) {
		must(errno == EINVAL);
		kt_skip("this kernel has no MADV_COLLAPSE");
	}
	must(kt_smaps(kt_addr(SMALL), len, "AnonHugePages") == (long)(len / size * size / 1024));
	check_small();
}

static void splits(unsigned int n)
{
	unsigned long base = kt_addr(HUGE), nr;

	take_huge(n);
	check_huge();
	nr = huge_nr();
	must(kt_smaps(base, nr * kt_page, "AnonHugePages") > 0);
	must(!mprotect(kt_ptr(base + 7 * kt_page), kt_page, PROT_READ));
	must(!munmap(kt_ptr(base + 100 * kt_page), 10 * kt_page));
	must(!madvise(kt_ptr(base + 200 * kt_page), 10 * kt_page, MADV_DONTNEED));
	must(kt_same(base, 0, 100, SEED(HUGE)));
	must(kt_same(base, 110, 90, SEED(HUGE)));
	must(kt_zero(base, 200, 10));
	must(kt_same(base, 210, nr - 210, SEED(HUGE)));
}

static void forks(unsigned int n)
{
	unsigned long base = kt_addr(SMALL), i, moved = 0;
	static __u64 pfns[NR], again[NR];
	pid_t pid;

	take_small(n);
	pid = kt_fork();
	if (!pid) {
		check_small();
		kt_fill(base, 0, NR / 2, 666);
		must(kt_same(base, 0, NR / 2, 666));
		must(kt_same(base, NR / 2, NR / 2 - 24, SEED(SMALL)));
		_exit(0);
	}
	kt_fill(base, NR / 4, NR / 4, SEED(SMALL) + 1);
	must(kt_wait(pid) == 0);
	must(kt_same(base, 0, NR / 4, SEED(SMALL)));
	must(kt_same(base, NR / 4, NR / 4, SEED(SMALL) + 1));
	must(kt_same(base, NR / 2, NR / 2 - 24, SEED(SMALL)));
	/* alone again, a page is written in place, and not copied for ever */
	kt_fill(base, 0, NR, SEED(SMALL) + 2);
	must(kt_same(base, 0, NR, SEED(SMALL) + 2));
	kt_read_pfns(base, NR, pfns);
	kt_fill(base, 0, NR, SEED(SMALL) + 3);
	must(kt_same(base, 0, NR, SEED(SMALL) + 3));
	kt_read_pfns(base, NR, again);
	for (i = 0; i < NR; i++)
		moved += pfns[i] != again[i];
	printf("# %lu of %d pages are others\n", moved, NR);
	/* the kernel may move one just then */
	must(moved < NR / 8);
}

static void forks_huge(unsigned int n)
{
	unsigned long base = kt_addr(HUGE);
	pid_t pid;

	take_huge(n);
	pid = kt_fork();
	if (!pid) {
		kt_fill(base, 10, 10, 666);
		must(kt_same(base, 20, huge_nr() - 20, SEED(HUGE)));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	check_huge();
}

static void moves(unsigned int n)
{
	unsigned long base = kt_addr(SMALL), to = kt_addr(9);

	take_small(n);
	must(mremap(kt_ptr(base), NR * kt_page, NR * kt_page, MREMAP_MAYMOVE | MREMAP_FIXED,
		    kt_ptr(to)) == kt_ptr(to));
	must(kt_same(to, 0, NR - 24, SEED(SMALL)));
	must(mremap(kt_ptr(to), NR * kt_page, 2 * NR * kt_page, 0) == kt_ptr(to));
	kt_fill(to, NR - 24, NR + 24, SEED(SMALL));
	must(kt_same(to, 0, 2 * NR, SEED(SMALL)));
	must(!madvise(kt_ptr(to), 2 * NR * kt_page, MADV_DONTNEED));
	must(kt_zero(to, 0, 2 * NR));
	must(!mlock(kt_ptr(to), 8 * kt_page) || errno == ENOMEM || errno == EPERM);
}

static void compacts(unsigned int n)
{
	static __u64 was[NR - 24], is[NR - 24];
	unsigned long nr = NR - 24, i, moved = 0;
	int tries;

	take_small(n);
	check_small();
	for (tries = 0; tries < 20 && !moved; tries++) {
		kt_read_pfns(kt_addr(SMALL), nr, was);
		must(kt_write_file("/proc/sys/vm/compact_memory", "1"));
		kt_read_pfns(kt_addr(SMALL), nr, is);
		for (i = 0; i < nr; i++) {
			must(was[i] && is[i]);
			moved += was[i] != is[i];
		}
		check_small();
	}
	printf("# %lu of %lu pages moved, at try %d\n", moved, nr, tries);
	must(moved);
	/* where they are now, they are as ordinary */
	kt_fill(kt_addr(SMALL), 0, NR, SEED(SMALL) + 1);
	must(kt_same(kt_addr(SMALL), 0, NR, SEED(SMALL) + 1));
}

static void frees(unsigned int n)
{
	long before, after, held = (NR - 24) * kt_page / 1024;
	pid_t pid;
	int tries;

	before = kt_free_kib();
	pid = kt_fork();
	if (!pid) {
		take_small(n);
		check_small();
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	/* what was held is free; the process's own leavings may take a moment */
	for (tries = 0; tries < 50; tries++) {
		after = kt_free_kib();
		if (after - before > held - 256)
			break;
		usleep(20000);
	}
	printf("# %ld kB free, %ld kB after the takeover of %ld kB has ended\n", before, after,
	       held);
	must(after - before > held - 512);
}

static void handed_again(unsigned int n)
{
	pid_t pid = kt_fork();

	if (!pid) {
		take_small(n);
		kt_fill(kt_addr(SMALL), 100, 10, SEED(SMALL) + 1);
		must(!kt_handover(case_key(n, SMALL), kt_addr(SMALL), NR));
		kt_fill(kt_addr(SMALL), 200, 10, SEED(SMALL) + 1);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	take_small(n);
	must(kt_same(kt_addr(SMALL), 0, 100, SEED(SMALL)));
	must(kt_same(kt_addr(SMALL), 100, 10, SEED(SMALL) + 1));
	must(kt_same(kt_addr(SMALL), 110, 90, SEED(SMALL)));
	must(kt_same(kt_addr(SMALL), 200, 10, SEED(SMALL) + 1));
	must(kt_same(kt_addr(SMALL), 210, NR - 234, SEED(SMALL)));
}

static long nr_merged(void)
{
	char buf[32];

	if (!kt_read_file("/proc/self/ksm_merging_pages", buf, sizeof(buf)))
		kt_skip("this kernel does not merge pages");
	return strtol(buf, NULL, 10);
}

/* The first quarter is all alike, as its first page */
static void merges(unsigned int n)
{
	unsigned long base = kt_addr(SMALL), i;

	take_small(n);
	for (i = 1; i < NR / 4; i++)
		memcpy(kt_ptr(base + i * kt_page), kt_ptr(base), kt_page);
	if (madvise(kt_ptr(kt_addr(SMALL)), NR * kt_page, MADV_MERGEABLE))
		kt_skip("this kernel does not merge pages: %s", strerror(errno));
	if (!kt_write_file("/sys/kernel/mm/ksm/run", "1"))
		kt_skip("/sys/kernel/mm/ksm/run cannot be written");
	kt_write_file("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	for (i = 0; i < 1000 && nr_merged() < NR / 8; i++)
		usleep(50000);
	printf("# %ld pages are merged\n", nr_merged());
	must(nr_merged() >= NR / 8);
	for (i = 0; i < NR / 4; i++)
		must(kt_same_from(base, i, 1, SEED(SMALL), 0));
	/* one of them is written, and it alone */
	kt_fill(base, 3, 1, SEED(SMALL) + 1);
	must(kt_same(base, 3, 1, SEED(SMALL) + 1));
	must(kt_same_from(base, 4, 1, SEED(SMALL), 0));
	must(kt_write_file("/sys/kernel/mm/ksm/run", "2"));
	kt_write_file("/sys/kernel/mm/ksm/run", "0");
	must(!nr_merged());
	must(kt_same_from(base, 2, 1, SEED(SMALL), 0));
	must(kt_same(base, NR / 4, NR - 24 - NR / 4, SEED(SMALL)));
	must(kt_zero(base, NR - 24, 24));
}

struct use {
	void (*fn)(unsigned int n);
	void (*give)(void *arg);
};

static const struct use uses[] = {
	{ counted, give_small },
	{ locks, give_small },
	{ charges, give_small },
	{ swaps, give_small },
	{ swaps_huge, give_huge },
	{ collapses, give_small },
	{ splits, give_huge },
	{ forks, give_small },
	{ forks_huge, give_huge },
	{ moves, give_small },
	{ compacts, give_spread },
	{ frees, give_small },
	{ handed_again, give_small },
	{ merges, give_small },
};

static void give(void)
{
	kt_run(uses[kt_index].give, (void *)(unsigned long)kt_index);
}

static void use(void)
{
	uses[kt_index].fn(kt_index);
}

static void give_and_use(void)
{
	give();
	use();
}

#define CASE(title)	{ title, .now = give_and_use, .before = give, .after = use }

/* In the order of uses[] */
static const struct kt_case cases[] = {
	CASE("taken memory is in RSS and on the LRU lists"),
	CASE("taken memory is locked where everything is"),
	CASE("taken memory is charged to the memory cgroup"),
	CASE("taken memory is swapped out and in"),
	CASE("taken huge pages are swapped out and in"),
	CASE("taken memory is collapsed into huge pages"),
	CASE("taken huge pages are split"),
	CASE("taken memory is copied on write"),
	CASE("taken huge pages are copied on write"),
	CASE("taken memory is moved, grown, discarded"),
	CASE("taken memory is compacted"),
	CASE("taken memory is free when the process has ended"),
	CASE("taken memory is handed over again"),
	CASE("taken memory is merged by KSM"),
};

int main(int argc, char **argv)
{
	kt_program = 8;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
