// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory runs out meanwhile: a call fails with ENOMEM and leaves everything as it
 * was, or succeeds; and whom the OOM killer chooses loses no completed write.
 *
 * Provokes: invoked oom-killer|[Oo]ut of memory.*: Killed process
 */
#include "kmho_test.h"

#define NR	2048UL
#define SEED	0x0011eULL
#define CGROUP	"/sys/fs/cgroup/kmho-pressure"

/* Eats memory until the OOM killer comes, again and again; for the parent's whole life */
static pid_t start_hog(void)
{
	pid_t pid = kt_fork();

	if (pid)
		return pid;
	must(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	while (true) {
		pid_t eater = kt_fork();

		if (!eater) {
			must(!prctl(PR_SET_PDEATHSIG, SIGKILL));
			must(kt_write_file("/proc/self/oom_score_adj", "1000"));
			while (true) {
				unsigned long len = 4UL << 20;
				char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

				if (p != MAP_FAILED)
					memset(p, 1, len);
			}
		}
		kt_wait(eater);
	}
}

static void stop_hog(pid_t pid)
{
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	/* whom it had eat memory ends after it */
	while (kt_meminfo("MemFree") < 128 << 10)
		usleep(1000);
}

/* Waits until there is next to nothing left */
static void wait_for_want(void)
{
	while (kt_meminfo("MemFree") > 64 << 10)
		usleep(1000);
}

static void handing_over(void)
{
	unsigned long base = kt_addr(0), round, good = 0;
	pid_t hog;

	kt_need_root();
	kt_map(base, 2 * NR);
	kt_fill(base, 0, NR, SEED);
	hog = start_hog();
	for (round = 0; round < 40; round++) {
		wait_for_want();
		if (kt_handover(kt_key(0), base, 2 * NR)) {
			must(errno == ENOMEM);
			must(!kt_exists(kt_key(0)));
			continue;
		}
		good++;
		/* a hole each time */
		kt_fill(base, NR + round, 1, SEED);
		must(!kt_drop(kt_key(0)));
	}
	stop_hog(hog);
	printf("# %lu of %lu handovers had the memory that they needed\n", good, round);
	must(good);
	must(!kt_handover(kt_key(0), base, 2 * NR));
	must(kt_same(base, 0, NR, SEED));
	must(!kt_drop(kt_key(0)));
}

static void give_scattered(void *arg)
{
	unsigned long base = kt_addr(0), i;

	must(!arg);
	kt_map(base, 8 * NR);
	must(!madvise(kt_ptr(base), 8 * NR * kt_page, MADV_NOHUGEPAGE));
	for (i = 0; i < 8 * NR; i += 3)
		kt_fill(base, i, 1, SEED);
	must(!kt_handover(kt_key(0), base, 8 * NR));
}

static void taking_over(void)
{
	unsigned long base = kt_addr(0), i, tries = 1, held = 0;
	struct kmho_record_info info;
	pid_t hog;

	kt_need_root();
	kt_run(give_scattered, NULL);
	must(!kt_info(kt_key(0), &info));
	hog = start_hog();
	wait_for_want();
	for (; kt_takeover(kt_key(0), base, 8 * NR); tries++) {
		must(errno == ENOMEM);
		must(kt_unmapped(base, 8 * NR));
		must(kt_exists(kt_key(0)));
		must(tries < 100000);
	}
	stop_hog(hog);
	printf("# taken over at try %lu\n", tries);
	for (i = 0; i < 8 * NR; i += 3, held++)
		must(kt_same(base, i, 1, SEED));
	must(kt_held_pages(base, 8 * NR) == held);
	must(!kt_exists(kt_key(0)));
}

/* ---- the owner is the one who is killed ---- */

static void write_until_killed(void *arg)
{
	unsigned long base = kt_addr(0), n;
	__u64 *completed = kt_ptr(base);

	must(!arg);
	must(kt_write_file(CGROUP "/cgroup.procs", "0"));
	kt_map(base, 1 << 20);
	must(!madvise(completed, kt_page << 20, MADV_NOHUGEPAGE));
	must(!kt_handover(kt_key(0), base, 1 << 20));
	for (n = 1; n < 1 << 20; n++) {
		kt_fill(base, n, 1, SEED);
		__atomic_store_n(completed, n, __ATOMIC_RELEASE);
	}
	must(!"killed by now");
}

static void owner_killed(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_record_info info;
	__u64 done;
	pid_t pid;

	kt_need_root();
	kt_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		kt_skip("no cgroup2 at /sys/fs/cgroup: %s", strerror(errno));
	if (!kt_write_file(CGROUP "/memory.max", "100663296"))
		kt_skip("no memory controller");
	kt_write_file(CGROUP "/memory.swap.max", "0");
	pid = kt_fork();
	if (!pid) {
		write_until_killed(NULL);
		_exit(0);
	}
	must(kt_wait(pid) == 128 + SIGKILL);
	must(!kt_info(kt_key(0), &info));
	must(info.state == KMHO_STATE_HELD);
	must(!kt_takeover(kt_key(0), base, 1 << 20));
	done = *(__u64 *)kt_ptr(base);
	printf("# %llu pages written, then killed\n", (unsigned long long)done);
	must(done > 1024);
	must(kt_same(base, 1, done, SEED));
	kt_unmap(base, 1 << 20);
	must(!rmdir(CGROUP));
}

/* ---- what its memory cgroup has no room for is in swap ---- */

#define MORE	(8 * NR)

static void write_more(void *arg)
{
	unsigned long base = kt_addr(0);

	must(!arg);
	must(kt_write_file(CGROUP "/cgroup.procs", "0"));
	kt_map(base, MORE);
	must(!madvise(kt_ptr(base), MORE * kt_page, MADV_NOHUGEPAGE));
	must(!kt_handover(kt_key(0), base, MORE));
	kt_fill(base, 0, MORE, SEED);
}

static void beyond_limit(void)
{
	unsigned long base = kt_addr(0);

	kt_need_root();
	kt_need_swap();
	kt_need_cgroup(CGROUP);
	must(kt_write_file(CGROUP "/memory.max", "25165824"));
	must(kt_write_file(CGROUP "/memory.swap.max", "max"));
	kt_run(write_more, NULL);
	printf("# %ld KiB charged, of a limit of 24576\n", kt_charged_kib(CGROUP));
	must(!kt_takeover(kt_key(0), base, MORE));
	must(kt_same(base, 0, MORE, SEED));
	kt_unmap(base, MORE);
	must(!rmdir(CGROUP));
}

static const struct kt_case cases[] = {
	{ "HANDOVER while memory runs out", .now = handing_over },
	{ "TAKEOVER while memory runs out", .now = taking_over },
	{ "an owner that the OOM killer chose: every completed write", .now = owner_killed },
	{ "an owner that its memory cgroup has no room for: every write", .now = beyond_limit },
};

int main(int argc, char **argv)
{
	/*
	 * Without memory, a page of this program cannot be read in again: the file
	 * system waits for memory without calling the OOM killer.
	 */
	must(!mlockall(MCL_CURRENT));
	kt_program = 0x33;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
