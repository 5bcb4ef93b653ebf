/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of kmho(2) share: the call, a pattern to fill memory with, a
 * look at the caller's own page tables, and the runner of test cases.
 *
 * Each case runs in a process of its own, so that it may exit, be killed, or
 * stay behind until the kexec. Nothing but memory that was handed over gets
 * from one stage to the next: keys, addresses and seeds are in the code.
 *
 * A program's stages:
 *   (none)	what can be seen without a kexec
 *   before	run it, then kexec
 *   after	run it in the kernel that was booted so
 *   again	run it in the kernel after the next kexec
 *   control	in place of before and after, with kho=off or after a plain boot
 * A second argument names the cases to run, by a part of their title.
 *
 * A case that a stage skips is skipped by the stages after it, for the same
 * reason and by the runner. So what one of them does not find has been lost.
 */
#ifndef __KMHO_TEST_H
#define __KMHO_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <linux/kmho.h>

#include "kselftest.h"

#ifndef __NR_kmho
#define __NR_kmho	473
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif
#ifndef MADV_COLD
#define MADV_COLD		20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

/* The errno of a system call that the kernel does not have */
#define KT_NO_CALL	38

/* An unprivileged user, and another */
#define KT_USER		1234
#define KT_OTHER	4321

/*
 * A hang is not a matter of seconds on emulated machines. KMHO_TEST_TIMEOUT is
 * another number of seconds, for kernels that check themselves.
 */
#define KT_TIMEOUT_S	300

static inline unsigned long kt_from_env(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static inline unsigned int kt_timeout_s(void)
{
	unsigned int s = kt_from_env("KMHO_TEST_TIMEOUT", 0);

	return s ? s : KT_TIMEOUT_S;
}

struct kt_case {
	const char *title;
	void (*now)(void);
	void (*before)(void);
	void (*after)(void);
	void (*again)(void);
	void (*each)(void);
	void (*control)(void);
};

/* Bytes of why a case was skipped */
#define KT_REASON	400

/* Shared between the runner and the process of a case */
struct kt_shared {
	bool ready;
	char reason[KT_REASON];
};

static struct kt_shared *kt_shared;
static unsigned long kt_page = 4096;
/* Sets one program's keys apart from another's; the program says which */
static unsigned long kt_program;
/* Which of the program's cases is running */
static unsigned int kt_index;

static inline int kmho(unsigned int opcode, void *op)
{
	return syscall(__NR_kmho, opcode, op);
}

/* What the runner keeps for itself: keys and addresses of tests are below */
#define KT_SKIPPED_KEY	kt_key(0xffffff)
#define KT_SKIPPED_ADDR	kt_addr(100)

/* The key of a program's nth record */
static inline unsigned long kt_key(unsigned long n)
{
	return 0x6b6d686f00000000UL | kt_program << 24 | n;
}

/* Where a program's nth mapping goes; 4 GiB each, within 39 bits of address */
static inline unsigned long kt_addr(unsigned long n)
{
	return 0x1000000000UL + (n << 32);
}

static inline void *kt_ptr(unsigned long addr)
{
	return (void *)addr;
}

/* ---- verdicts ---- */

static __noreturn inline void kt_die(const char *file, int line, const char *what)
{
	int saved = errno;
	const char *slash = strrchr(file, '/');

	printf("# %s:%d: [%d] not so: %s (errno %d, %s)\n", slash ? slash + 1 : file,
	       line, getpid(), what, saved, strerror(saved));
	fflush(stdout);
	_exit(KSFT_FAIL);
}

#define must(cond) do {							\
	if (!(cond))							\
		kt_die(__FILE__, __LINE__, #cond);			\
} while (0)

/* The call fails, with this errno and no other */
#define must_fail(err, call) do {					\
	errno = 0;							\
	if ((long)(call) != -1 || errno != (err))			\
		kt_die(__FILE__, __LINE__, #call " fails with " #err);	\
} while (0)

static __noreturn __printf(1, 2) inline void kt_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(kt_shared->reason, sizeof(kt_shared->reason), fmt, args);
	va_end(args);
	fflush(stdout);
	_exit(KSFT_SKIP);
}

/* Lets go of the pipe that the runner reads, for a process that stays */
static inline void kt_quiet(void)
{
	int fd = open("/dev/null", O_RDWR);

	fflush(stdout);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
	}
}

/* The case has passed, and its process goes on until the machine is rebooted */
static inline void kt_ready(void)
{
	kt_quiet();
	__atomic_store_n(&kt_shared->ready, true, __ATOMIC_RELEASE);
}

static __noreturn inline void kt_stay(void)
{
	kt_ready();
	while (true)
		pause();
}

/* ---- processes ---- */

static inline pid_t kt_fork(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	must(pid >= 0);
	return pid;
}

/* Waits; returns the exit status, or 128 and the signal that ended it */
static inline int kt_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		must(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs @fn in a process of its own; what does not hold there does not hold here */
static inline void kt_run(void (*fn)(void *arg), void *arg)
{
	pid_t pid = kt_fork();
	int code;

	if (!pid) {
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	code = kt_wait(pid);
	if (code == KSFT_SKIP)
		_exit(code);
	must(code == 0);
}

/* Tells whoever hears at the other end of a pipe that it may go on */
static inline void kt_tell(int fd)
{
	must(write(fd, "x", 1) == 1);
}

static inline void kt_hear(int fd)
{
	char c;

	must(read(fd, &c, 1) == 1);
}

static inline void kt_become(uid_t uid)
{
	must(!setgroups(0, NULL));
	must(!setresgid(uid, uid, uid));
	must(!setresuid(uid, uid, uid));
	/* or /proc/self would stay root's */
	must(!prctl(PR_SET_DUMPABLE, 1));
}

struct kt_as {
	uid_t uid;
	void (*fn)(void *arg);
	void *arg;
};

static inline void kt_do_as(void *arg)
{
	struct kt_as *as = arg;

	kt_become(as->uid);
	as->fn(as->arg);
}

static inline void kt_run_as(uid_t uid, void (*fn)(void *arg), void *arg)
{
	struct kt_as as = { .uid = uid, .fn = fn, .arg = arg };

	kt_run(kt_do_as, &as);
}

static inline bool kt_is_root(void)
{
	return !geteuid();
}

static inline void kt_need_root(void)
{
	if (!kt_is_root())
		kt_skip("needs root");
}

/* ---- small files ---- */

static inline bool kt_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

static inline bool kt_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while (have < size - 1) {
		n = read(fd, buf + have, size - 1 - have);
		if (n <= 0)
			break;
		have += n;
	}
	close(fd);
	buf[have] = 0;
	return true;
}

/* A number, in KiB where the file says so, after "name:" or "name " in a file of such lines */
static inline long kt_field(const char *path, const char *name)
{
	static char buf[16384];
	char *at = buf;
	size_t len = strlen(name);

	if (!kt_read_file(path, buf, sizeof(buf)))
		return -1;
	while (at) {
		if (!strncmp(at, name, len) && (at[len] == ':' || at[len] == ' '))
			return strtol(at + len + 1, NULL, 10);
		at = strchr(at, '\n');
		if (at)
			at++;
	}
	return -1;
}

static inline long kt_meminfo(const char *name)
{
	return kt_field("/proc/meminfo", name);
}

static inline long kt_free_kib_now(void)
{
	static char buf[1 << 16];
	long pages = 0;
	char *at = buf;

	/* nor does a processor tell at once what it has given out; only root can ask for that */
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	must(kt_read_file("/proc/zoneinfo", buf, sizeof(buf)));
	while ((at = strstr(at, " count:"))) {
		at += strlen(" count:");
		pages += strtol(at, NULL, 10);
	}
	return kt_meminfo("MemFree") + pages * (long)(kt_page / 1024);
}

/*
 * Free memory in KiB, with what processors keep back for themselves: that can be
 * an eighth of all memory, and would hide whether anything has been lost. What a
 * processor gives back between the two looks is counted twice, and that may be
 * MiB: the number is one that two counts in a row agree on. To count takes memory
 * as well where the kernel checks itself: KASAN keeps what the file was made in.
 */
static inline long kt_free_kib(void)
{
	long before, now = kt_free_kib_now();
	int tries = 10;

	do {
		before = now;
		now = kt_free_kib_now();
	} while (labs(now - before) > 256 && --tries);
	return now;
}

/*
 * What the kernel has set aside for devices that cannot reach all memory, in KiB. It
 * takes what it can get early in its boot, which after a kexec is what a scratch area
 * has: some kernels have half of what others have, and that much more memory.
 */
static inline long kt_swiotlb_kib(void)
{
	char slabs[32];

	if (!kt_read_file("/sys/kernel/debug/swiotlb/io_tlb_nslabs", slabs, sizeof(slabs)))
		return 0;
	return strtol(slabs, NULL, 10) * 2;
}

/* All memory, in KiB, as one kernel's can be compared with another's */
static inline long kt_total_kib(void)
{
	return kt_meminfo("MemTotal") + kt_swiotlb_kib();
}

/* Does the kernel check itself, which takes memory of its own? */
static inline bool kt_checks_itself(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

/*
 * What a kernel that checks itself holds back of memory that was freed, in KiB: KASAN's
 * quarantine takes up to a 32nd of all.
 */
static inline long kt_slack_kib(void)
{
	return kt_checks_itself() ? kt_meminfo("MemTotal") / 32 : 0;
}

/* A memory cgroup at @dir, below /sys/fs/cgroup */
static inline void kt_need_cgroup(const char *dir)
{
	if (!kt_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory"))
		kt_skip("there is no memory cgroup, or this is not root");
	must(!mkdir(dir, 0755) || errno == EEXIST);
}

/* What is charged to it, in KiB */
static inline long kt_charged_kib(const char *dir)
{
	char path[PATH_MAX], buf[32];

	snprintf(path, sizeof(path), "%s/memory.current", dir);
	must(kt_read_file(path, buf, sizeof(buf)));
	return strtol(buf, NULL, 10) / 1024;
}

static inline __u64 kt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- a SIGKILL in the middle of a call ---- */

/* So many kills at least; and so many at most until each outcome has been seen */
#define KT_SHOTS	40
#define KT_SHOTS_MAX	1000
/* So long before its call the process is there to be killed: some calls go through once begun */
#define KT_RUN_UP_NS	200000

/*
 * Looks for the moment at which a call takes effect, in memory shared with the
 * process that is killed: after a kill that came too early the next comes later,
 * and the other way round.
 */
struct kt_aim {
	bool near;
	bool called;
	bool returned;
	__u64 delay_ns;
	unsigned long shots;
	/* killed before the call, in it without and with effect, and after it */
	unsigned long before, early, late, after;
};

static inline struct kt_aim *kt_aim(void)
{
	struct kt_aim *aim = mmap(NULL, sizeof(*aim), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(aim != MAP_FAILED);
	aim->delay_ns = 1000000;
	return aim;
}

static inline void kt_aim_show(const struct kt_aim *aim)
{
	printf("# killed before the call: %lu, in it: %lu without effect, %lu with, later: %lu\n",
	       aim->before, aim->early, aim->late, aim->after);
}

/* Enough kills, and @all outcomes that there should be? */
static inline bool kt_aim_again(const struct kt_aim *aim, bool all)
{
	if (aim->shots < KT_SHOTS || (!all && aim->shots < KT_SHOTS_MAX))
		return true;
	kt_aim_show(aim);
	must(all);
	return false;
}

/* A sleep would be longer than some calls */
static inline void kt_spin(__u64 ns)
{
	__u64 end = kt_now_ns() + ns;

	while (kt_now_ns() < end)
		sched_yield();
}

/* Makes the call that it is to be killed in, and waits for that */
#define kt_aim_at(aim, call) do {					\
	struct kt_aim *__aim = (aim);					\
									\
	__atomic_store_n(&__aim->near, true, __ATOMIC_RELEASE);		\
	kt_spin(KT_RUN_UP_NS);						\
	__atomic_store_n(&__aim->called, true, __ATOMIC_RELEASE);	\
	must(!(call));							\
	__atomic_store_n(&__aim->returned, true, __ATOMIC_RELEASE);	\
	while (true)							\
		pause();						\
} while (0)

static inline void kt_shoot(struct kt_aim *aim, pid_t pid)
{
	while (!__atomic_load_n(&aim->near, __ATOMIC_ACQUIRE)) {
		must(!waitpid(pid, NULL, WNOHANG));
		sched_yield();
	}
	kt_spin(aim->delay_ns);
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
}

/* What came of it: a call that has returned has had its effect */
static inline void kt_aim_told(struct kt_aim *aim, bool effect)
{
	must(effect || !aim->returned);
	must(aim->called || !effect);
	aim->shots++;
	aim->before += !aim->called;
	aim->early += aim->called && !effect;
	aim->late += effect && !aim->returned;
	aim->after += aim->returned;
	if (effect)
		aim->delay_ns -= aim->delay_ns / 4;
	else
		aim->delay_ns += aim->delay_ns / 4 + 1000;
	aim->near = false;
	aim->called = false;
	aim->returned = false;
}

/* ---- io_uring ---- */

struct kt_ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static inline void kt_ring_open(struct kt_ring *ring)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	ring->fd = syscall(__NR_io_uring_setup, 8, &p);
	if (ring->fd < 0)
		kt_skip("io_uring: %s", strerror(errno));
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe),
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	must(sq != MAP_FAILED && cq != MAP_FAILED && ring->sqes != MAP_FAILED);
	ring->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	ring->sq_mask = (unsigned int *)(sq + p.sq_off.ring_mask);
	ring->sq_array = (unsigned int *)(sq + p.sq_off.array);
	ring->cq_head = (unsigned int *)(cq + p.cq_off.head);
	ring->cq_tail = (unsigned int *)(cq + p.cq_off.tail);
	ring->cq_mask = (unsigned int *)(cq + p.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

/* Pins these pages, as the buffer that IORING_OP_READ_FIXED writes to */
static inline void kt_ring_register(struct kt_ring *ring, unsigned long base, unsigned long nr)
{
	struct iovec buffer = { kt_ptr(base), nr * kt_page };

	must(!syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &buffer, 1));
}

/* At once; the end of a ring gives its pages back some time after */
static inline void kt_ring_unregister(struct kt_ring *ring)
{
	must(!syscall(__NR_io_uring_register, ring->fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
}

static inline int kt_ring_read(struct kt_ring *ring, int op, int fd, unsigned long to,
			       unsigned int len, __u64 offset)
{
	unsigned int tail = *ring->sq_tail, index = tail & *ring->sq_mask, head;
	struct io_uring_sqe *sqe = &ring->sqes[index];
	int res;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->addr = to;
	sqe->len = len;
	sqe->off = offset;
	ring->sq_array[index] = index;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	must(syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	head = *ring->cq_head;
	must(__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) != head);
	res = ring->cqes[head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

/* ---- the pattern ---- */

static inline __u64 kt_mix(__u64 x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Word @i of the pattern of @seed; never 0, which is what a lost page reads as */
static inline __u64 kt_word(__u64 seed, __u64 i)
{
	return kt_mix(seed * 0x100000001b3ULL + i) | 1;
}

/* Fills pages [@first, @first + @nr) of the mapping at @base */
static inline void kt_fill(unsigned long base, unsigned long first, unsigned long nr, __u64 seed)
{
	__u64 *words = kt_ptr(base);
	unsigned long per_page = kt_page / sizeof(*words);
	unsigned long i;

	for (i = first * per_page; i < (first + nr) * per_page; i++)
		words[i] = kt_word(seed, i);
}

/* What was filled as pages [@first, ...) at another base is seen at @base now */
static inline bool kt_same_from(unsigned long base, unsigned long first, unsigned long nr,
				__u64 seed, unsigned long pattern_first)
{
	const __u64 *words = kt_ptr(base);
	unsigned long per_page = kt_page / sizeof(*words);
	unsigned long i;
	__u64 want;

	for (i = 0; i < nr * per_page; i++) {
		want = kt_word(seed, pattern_first * per_page + i);
		if (words[first * per_page + i] != want) {
			printf("# page %lu of %#lx, word %lu: %#llx, not %#llx\n",
			       first + i / per_page, base, i % per_page,
			       (unsigned long long)words[first * per_page + i],
			       (unsigned long long)want);
			return false;
		}
	}
	return true;
}

static inline bool kt_same(unsigned long base, unsigned long first, unsigned long nr, __u64 seed)
{
	return kt_same_from(base, first, nr, seed, first);
}

static inline bool kt_zero(unsigned long base, unsigned long first, unsigned long nr)
{
	const __u64 *words = kt_ptr(base);
	unsigned long per_page = kt_page / sizeof(*words);
	unsigned long i;

	for (i = first * per_page; i < (first + nr) * per_page; i++) {
		if (words[i]) {
			printf("# page %lu of %#lx, word %lu: %#llx, not 0\n", i / per_page, base,
			       i % per_page, (unsigned long long)words[i]);
			return false;
		}
	}
	return true;
}

/* FNV-1a over words: a checksum to show, beside the comparison word by word */
static inline __u64 kt_sum(const void *mem, size_t len)
{
	const __u64 *words = mem;
	__u64 sum = 0xcbf29ce484222325ULL;
	size_t i;

	for (i = 0; i < len / sizeof(*words); i++)
		sum = (sum ^ words[i]) * 0x100000001b3ULL;
	return sum;
}

/* ---- memory ---- */

/* Private anonymous memory in pages of the smallest size, exactly at @base */
static inline void kt_map_prot(unsigned long base, unsigned long nr, int prot)
{
	void *p = mmap(kt_ptr(base), nr * kt_page, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	must(p == kt_ptr(base));
	/* fails where there are no huge pages in the first place */
	madvise(p, nr * kt_page, MADV_NOHUGEPAGE);
}

static inline void kt_map(unsigned long base, unsigned long nr)
{
	kt_map_prot(base, nr, PROT_READ | PROT_WRITE);
}

/* Shared memory, exactly at @base: the begin of a file, or that of nobody's if @fd is -1 */
static inline void kt_map_shared(unsigned long base, unsigned long nr, int fd)
{
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_ANONYMOUS : 0);

	must(mmap(kt_ptr(base), nr * kt_page, PROT_READ | PROT_WRITE, flags, fd, 0) ==
	     kt_ptr(base));
}

static inline void kt_unmap(unsigned long base, unsigned long nr)
{
	must(!munmap(kt_ptr(base), nr * kt_page));
}

/* Nothing is mapped there */
static inline bool kt_unmapped(unsigned long base, unsigned long nr)
{
	unsigned char vec;
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (!mincore(kt_ptr(base + i * kt_page), kt_page, &vec) || errno != ENOMEM)
			return false;
	}
	return true;
}

/* Documentation/admin-guide/mm/pagemap.rst */
#define KT_PM_PRESENT	0x8000000000000000ULL
#define KT_PM_SWAP	0x4000000000000000ULL
#define KT_PM_PFN	0x007fffffffffffffULL

/* To open it for each look would take longer than what most cases do: each process does so once */
static inline void kt_read_pagemap(unsigned long base, unsigned long nr, __u64 *entries)
{
	ssize_t len = nr * sizeof(*entries);
	static pid_t opened_by;
	static int fd;

	if (opened_by != getpid()) {
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		must(fd >= 0);
		opened_by = getpid();
	}
	must(pread(fd, entries, len, base / kt_page * sizeof(*entries)) == len);
}

static inline void kt_read_pfns(unsigned long base, unsigned long nr, __u64 *pfns)
{
	unsigned long i;

	kt_read_pagemap(base, nr, pfns);
	for (i = 0; i < nr; i++)
		pfns[i] &= KT_PM_PFN;
}

/* How many of these pages have any of the @bits set */
static inline unsigned long kt_count(unsigned long base, unsigned long nr, __u64 bits)
{
	__u64 entries[512];
	unsigned long i, n, done, count = 0;

	for (done = 0; done < nr; done += n) {
		n = nr - done < 512 ? nr - done : 512;
		kt_read_pagemap(base + done * kt_page, n, entries);
		for (i = 0; i < n; i++)
			count += !!(entries[i] & bits);
	}
	return count;
}

/* Pages that hold something, in memory or in swap */
static inline unsigned long kt_held_pages(unsigned long base, unsigned long nr)
{
	return kt_count(base, nr, KT_PM_PRESENT | KT_PM_SWAP);
}

/* The permissions of the mapping at @addr as /proc/self/maps has them, as "rw-p" */
static inline bool kt_perms(unsigned long addr, const char *want)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512], perms[8];
	bool found = false;

	must(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3)
			found = start <= addr && addr < end;
	}
	fclose(maps);
	if (found && !strcmp(perms, want))
		return true;
	printf("# %#lx: %s, not %s\n", addr, found ? perms : "not mapped", want);
	return false;
}

/* The sum of a field of /proc/self/smaps over [base, base + len), in KiB */
static inline long kt_smaps(unsigned long base, unsigned long len, const char *name)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	size_t name_len = strlen(name);
	bool inside = false;
	char line[512];
	long sum = 0;

	must(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-') < line + 20)
			inside = start >= base && end <= base + len;
		else if (inside && !strncmp(line, name, name_len) && line[name_len] == ':')
			sum += strtol(line + name_len + 1, NULL, 10);
	}
	fclose(smaps);
	return sum;
}

/* ---- a writer that never stops, in memory that is handed over ---- */

/*
 * After write @n of a writer that must not come to its end before the kexec, however
 * slow the machine is: ten minutes for 32768 of them, a quarter of that for half
 */
static inline void kt_pace(unsigned long n)
{
	usleep(1000 + n);
}

/*
 * The first page of the nth mapping. A counter that goes up after the write that
 * it counts: so a lost write cannot hide.
 */
struct kt_head {
	__u64 completed;
	__u64 last_ns;
	/* what the writer was told when a write could not be made: no kexec is told of */
	__u64 failed;
};

static inline struct kt_head *kt_head_of(unsigned long place)
{
	return kt_ptr(kt_addr(place));
}

/* Goes on over a kexec */
static inline __u64 kt_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static inline void kt_complete(struct kt_head *head, __u64 n)
{
	__atomic_store_n(&head->last_ns, kt_clock_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&head->completed, n, __ATOMIC_RELEASE);
}

static inline __u64 kt_completed(unsigned long place)
{
	return __atomic_load_n(&kt_head_of(place)->completed, __ATOMIC_ACQUIRE);
}

static inline void kt_pause_a_little(void)
{
	struct timespec ts = { .tv_nsec = 200000 };

	nanosleep(&ts, NULL);
}

static struct kt_head *kt_head_of_bus;

static inline void kt_got_bus(int sig)
{
	kt_head_of_bus->failed = sig;
	_exit(1);
}

/* A writer of this process that gets SIGBUS leaves word of it */
static inline void kt_heed_bus(struct kt_head *head)
{
	kt_head_of_bus = head;
	signal(SIGBUS, kt_got_bus);
}

static inline __u64 kt_show_completed(unsigned long place, const char *what)
{
	const struct kt_head *head = kt_head_of(place);
	__u64 now = kt_clock_ns();

	printf("# %llu %s, the last %lld ms before this\n", (unsigned long long)head->completed,
	       what, (long long)(now - head->last_ns) / 1000000);
	must(head->completed > 0 && !head->failed);
	return head->completed;
}

/* Not before it writes for real: returns once the other thread has done some */
static inline void kt_wait_for_writes(unsigned long place, __u64 n)
{
	while (kt_completed(place) < n)
		kt_pause_a_little();
}

static inline void kt_start_thread(void *(*fn)(void *arg), unsigned long arg)
{
	pthread_t thread;

	must(!pthread_create(&thread, NULL, fn, (void *)arg));
}

/* So many pages follow the first one, and are written one after the other, around and around */
#define KT_AROUND	64

/* Write n goes to page 1 + n % KT_AROUND, all of it; then n is complete */
static __noreturn inline void kt_write_around(unsigned long place, bool pauses)
{
	struct kt_head *head = kt_head_of(place);
	unsigned long i;
	__u64 n, *words;

	for (n = 1; ; n++) {
		words = kt_ptr(kt_addr(place) + (1 + n % KT_AROUND) * kt_page);
		for (i = 0; i < kt_page / 8; i += 32)
			__atomic_store_n(&words[i], n, __ATOMIC_RELAXED);
		kt_complete(head, n);
		if (pauses && n % 8191 == 0)
			kt_pause_a_little();
	}
}

/* All of it is of one moment; returns how many writes were complete then */
static inline __u64 kt_check_around(unsigned long place)
{
	__u64 done = kt_head_of(place)->completed, want, *words;
	unsigned long page, i;

	for (page = 0; page < KT_AROUND; page++) {
		/* the last completed write to this page; 0: none */
		want = done >= page ? done - (done - page) % KT_AROUND : 0;
		words = kt_ptr(kt_addr(place) + (1 + page) * kt_page);
		for (i = 0; i < kt_page / 8; i += 32) {
			if (words[i] == want ||
			    (page == (done + 1) % KT_AROUND && words[i] == done + 1))
				continue;
			printf("# page %lu word %lu: write %llu, not %llu; %llu were complete\n",
			       page, i, (unsigned long long)words[i], (unsigned long long)want,
			       (unsigned long long)done);
			must(false);
		}
	}
	return done;
}

/* ---- the scratch areas of kexec handover, where nothing can be preserved ---- */

struct kt_scratch {
	unsigned long start[8];
	unsigned long end[8];
	unsigned int nr;
};

static inline void kt_find_scratch(struct kt_scratch *s)
{
	FILE *phys = fopen("/sys/kernel/debug/kho/out/scratch_phys", "r");
	FILE *len = fopen("/sys/kernel/debug/kho/out/scratch_len", "r");
	unsigned long size;

	if (!phys || !len)
		kt_skip("no kho/out/scratch_phys in debugfs");
	s->nr = 0;
	while (s->nr < 8 && fscanf(phys, "%lx", &s->start[s->nr]) == 1 &&
	       fscanf(len, "%lx", &size) == 1) {
		s->end[s->nr] = s->start[s->nr] + size;
		s->nr++;
	}
	must(s->nr);
	fclose(phys);
	fclose(len);
}

static inline bool kt_pfn_in_scratch(const struct kt_scratch *s, __u64 pfn)
{
	unsigned long phys = pfn * kt_page;
	unsigned int i;

	must(phys);
	for (i = 0; i < s->nr; i++) {
		if (phys >= s->start[i] && phys < s->end[i])
			return true;
	}
	return false;
}

static inline bool kt_in_scratch(const struct kt_scratch *s, unsigned long addr)
{
	__u64 pfn;

	kt_read_pfns(addr, 1, &pfn);
	return kt_pfn_in_scratch(s, pfn);
}

/* Keeps the thread on one processor: the one of this number, round and round */
static inline void kt_run_on(long cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	must(!sched_setaffinity(0, sizeof(cpus), &cpus));
}

/*
 * Uses memory up, by mappings from @at on, until what is left of it lies in
 * scratch areas; returns where they end. The thread stays on its processor from
 * then on, as others may still have some that lies elsewhere.
 */
static inline unsigned long kt_fill_memory(const struct kt_scratch *s, unsigned long at)
{
	unsigned long chunk = 4UL << 20;

	kt_run_on(sched_getcpu());
	while (true) {
		if (kt_meminfo("MemFree") < 24 << 10)
			kt_skip("no memory in scratch areas to be had");
		kt_map(at, chunk / kt_page);
		must(!madvise(kt_ptr(at), chunk, MADV_POPULATE_WRITE));
		at += chunk;
		if (kt_in_scratch(s, at - kt_page))
			return at;
	}
}

/* ---- huge pages and swap ---- */

static inline unsigned long kt_pmd_size(void)
{
	char buf[32];

	if (!kt_read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", buf, sizeof(buf)))
		return 0;
	return strtoul(buf, NULL, 10);
}

static inline unsigned long kt_need_thp(void)
{
	unsigned long size = kt_pmd_size();

	if (!size)
		kt_skip("this kernel has no transparent huge pages, or /sys is not mounted");
	kt_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	return size;
}

/* As madvise(2); EAGAIN for a page that somebody looks at just then passes */
static inline int kt_collapse(unsigned long base, unsigned long len)
{
	int ret, tries;

	for (tries = 0; tries < 20; tries++) {
		ret = madvise(kt_ptr(base), len, MADV_COLLAPSE);
		if (!ret || errno != EAGAIN)
			break;
		usleep(10000);
	}
	return ret;
}

/* PMD-size huge pages at @base, which is a multiple of their size */
static inline void kt_map_thp(unsigned long base, unsigned long len)
{
	void *p = mmap(kt_ptr(base), len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	must(p == kt_ptr(base));
	must(!madvise(p, len, MADV_HUGEPAGE));
}

/* Huge pages that are somebody's memory, or a record's that was */
static inline long kt_nr_thp(unsigned long kib)
{
	char path[128], buf[32];

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/transparent_hugepage/hugepages-%lukB/stats/nr_anon", kib);
	if (!kt_read_file(path, buf, sizeof(buf)))
		kt_skip("this kernel does not count huge pages by their size");
	return strtol(buf, NULL, 10);
}

static inline bool kt_have_swap(void)
{
	return kt_meminfo("SwapTotal") > 0;
}

/* Writes the header that mkswap(8) writes, and puts the device to use */
static inline bool kt_swapon(const char *dev, unsigned long bytes)
{
	/* the page ends in the magic; version and last page follow 1 KiB of boot block */
	char *page = calloc(1, kt_page);
	__u32 *info;
	bool ok;
	int fd = open(dev, O_RDWR);

	if (fd < 0 || !page) {
		free(page);
		return false;
	}
	if (!bytes)
		bytes = lseek(fd, 0, SEEK_END);
	info = (__u32 *)(page + 1024);
	info[0] = 1;
	info[1] = bytes / kt_page - 1;
	memcpy(page + kt_page - 10, "SWAPSPACE2", 10);
	ok = pwrite(fd, page, kt_page, 0) == (ssize_t)kt_page && !fsync(fd);
	close(fd);
	free(page);
	return ok && !swapon(dev, 0);
}

/*
 * Swap that is there already; or zram; or, since what is on it is lost, a
 * device that was named for this on purpose in KMHO_TEST_SWAP_DEV.
 */
static inline bool kt_swap(void)
{
	const char *dev = getenv("KMHO_TEST_SWAP_DEV");
	struct stat st;

	if (kt_have_swap())
		return true;
	if (!kt_is_root())
		return false;
	if (dev && kt_swapon(dev, 0))
		return kt_have_swap();
	if (stat("/sys/block/zram0/disksize", &st))
		return false;
	if (!kt_write_file("/sys/block/zram0/disksize", "67108864"))
		return false;
	return kt_swapon("/dev/zram0", 67108864) && kt_have_swap();
}

static inline void kt_need_swap(void)
{
	if (!kt_swap())
		kt_skip("no swap: neither in use, nor zram0, nor KMHO_TEST_SWAP_DEV");
}

/*
 * Swaps these pages out; returns how many went. Each try is from the next
 * processor: a page on its way onto the LRU is in a batch of one of them, which
 * madvise() flushes there only. One that is under writeback is passed over, too.
 */
static inline unsigned long kt_pageout(unsigned long base, unsigned long nr)
{
	cpu_set_t cpus;
	int tries;

	must(!sched_getaffinity(0, sizeof(cpus), &cpus));
	for (tries = 0; tries < 40; tries++) {
		kt_run_on(tries);
		if (madvise(kt_ptr(base), nr * kt_page, MADV_PAGEOUT))
			break;
		if (kt_count(base, nr, KT_PM_SWAP) == nr)
			break;
		usleep(10000);
	}
	must(!sched_setaffinity(0, sizeof(cpus), &cpus));
	return kt_count(base, nr, KT_PM_SWAP);
}

/*
 * The same for shared memory, which leaves no trace in the page tables: swaps
 * out what it can of pages [@first, @first + @nr) of a mapping of @all; returns
 * how many are out then, of all of them.
 */
static inline unsigned long kt_pageout_shared(unsigned long base, unsigned long all,
					      unsigned long first, unsigned long nr)
{
	unsigned long out = 0;
	int tries;

	for (tries = 0; tries < 20 && out < nr; tries++) {
		if (madvise(kt_ptr(base + first * kt_page), nr * kt_page, MADV_PAGEOUT))
			break;
		out = kt_smaps(base, all * kt_page, "Swap") * 1024 / kt_page;
		if (out < nr)
			usleep(10000);
	}
	return out;
}

/* ---- the four calls ---- */

static inline int kt_handover(unsigned long key, unsigned long base, unsigned long nr)
{
	struct kmho_range_handover range = { .base = base, .length = nr * kt_page };
	struct kmho_op_handover op = { .key = key, .num_ranges = 1, .ranges = &range };

	return kmho(KMHO_HANDOVER, &op);
}

/* KMHO_TAKEOVER or KMHO_TAKEOVER_KEEP of one range */
static inline int kt_take_to(unsigned int opcode, unsigned long key, unsigned long base,
			     unsigned long nr, unsigned long *remap)
{
	struct kmho_range_takeover range = {
		.base = base,
		.len = nr * kt_page,
		.remap_addr = *remap,
	};
	struct kmho_op_takeover op = { .key = key, .num_ranges = 1, .ranges = &range };
	int ret = kmho(opcode, &op);

	*remap = range.remap_addr;
	return ret;
}

static inline int kt_takeover_to(unsigned long key, unsigned long base, unsigned long nr,
				 unsigned long *remap)
{
	return kt_take_to(KMHO_TAKEOVER, key, base, nr, remap);
}

/* Back to where it was */
static inline int kt_takeover(unsigned long key, unsigned long base, unsigned long nr)
{
	unsigned long remap = base;

	return kt_takeover_to(key, base, nr, &remap);
}

/* How long the kernel leaves alone what was taken over, is not touched and came with a kexec */
static inline void kt_need_patience(const char *ms)
{
	if (!kt_write_file("/sys/kernel/debug/kmho/pending_delay_ms", ms))
		kt_skip("no kmho/pending_delay_ms in debugfs (CONFIG_KMHO_DEBUG)");
}

static inline int kt_drop_of(unsigned long key, __u32 uid)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = key, .uid = uid };

	return kmho(KMHO_DROP, &op);
}

static inline int kt_drop(unsigned long key)
{
	return kt_drop_of(key, KMHO_UID_SELF);
}

static inline int kt_freeze_of(unsigned long key, __u32 uid)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = key, .uid = uid };

	return kmho(KMHO_FREEZE, &op);
}

static inline int kt_freeze(unsigned long key)
{
	return kt_freeze_of(key, KMHO_UID_SELF);
}

static inline int kt_chown(unsigned long key, __u32 uid, __u32 new_uid)
{
	struct kmho_op_chown op = {
		.size = sizeof(op),
		.key = key,
		.uid = uid,
		.new_uid = new_uid,
	};

	return kmho(KMHO_CHOWN, &op);
}

static inline int kt_info_of(unsigned long key, __u32 uid, struct kmho_record_info *info)
{
	struct kmho_op_query op = {
		.size = sizeof(op),
		.flags = KMHO_QUERY_KEY,
		.key = key,
		.uid = uid,
		.nr_records = 1,
		.records = (unsigned long)info,
	};

	memset(info, 0, sizeof(*info));
	return kmho(KMHO_QUERY, &op);
}

static inline int kt_info(unsigned long key, struct kmho_record_info *info)
{
	return kt_info_of(key, KMHO_UID_SELF, info);
}

/* The ranges of a record; returns how many there are, or -1 */
static inline long kt_ranges(unsigned long key, struct kmho_range_info *ranges, unsigned long room)
{
	struct kmho_op_query op = {
		.size = sizeof(op),
		.flags = KMHO_QUERY_KEY,
		.key = key,
		.uid = KMHO_UID_SELF,
		.nr_ranges = room,
		.ranges = (unsigned long)ranges,
	};

	return kmho(KMHO_QUERY, &op) ? -1 : (long)op.nr_ranges;
}

static inline bool kt_exists(unsigned long key)
{
	struct kmho_record_info info;

	if (!kt_info(key, &info))
		return true;
	must(errno == ENOENT);
	return false;
}

static inline __u64 kt_features(void)
{
	struct kmho_op_query op = { .size = sizeof(op) };

	must(!kmho(KMHO_QUERY, &op));
	return op.features;
}

static inline bool kt_has(unsigned int opcode)
{
	return kt_features() & KMHO_FEATURE(opcode);
}

static inline unsigned long kt_max_ranges(void)
{
	struct kmho_op_query op = { .size = sizeof(op) };

	must(!kmho(KMHO_QUERY, &op));
	return op.max_ranges;
}

/* All records that the caller may see; the array is the caller's to free */
static inline unsigned long kt_list(struct kmho_record_info **list)
{
	struct kmho_op_query op = { .size = sizeof(op) };
	unsigned long room;

	*list = NULL;
	for (room = 16; ; room = op.nr_records + 16) {
		free(*list);
		*list = calloc(room, sizeof(**list));
		must(*list);
		op.flags = kt_is_root() ? KMHO_QUERY_ALL : 0;
		op.nr_records = room;
		op.records = (unsigned long)*list;
		must(!kmho(KMHO_QUERY, &op));
		if (op.nr_records <= room)
			break;
	}
	return op.nr_records;
}

/* Drops what tests have left, and nothing else */
static inline void kt_drop_all(void)
{
	struct kmho_record_info *list;
	unsigned long nr, i;

	nr = kt_list(&list);
	for (i = 0; i < nr; i++) {
		if ((list[i].key & ~0xffffffUL) == kt_key(0))
			kt_drop_of(list[i].key, kt_is_root() ? list[i].uid : KMHO_UID_SELF);
	}
	free(list);
}

struct kt_give {
	unsigned long key;
	unsigned long base;
	unsigned long nr;
	__u64 seed;
	uid_t uid;
};

static inline void kt_do_give(void *arg)
{
	struct kt_give *give = arg;

	if (give->uid)
		kt_become(give->uid);
	kt_map(give->base, give->nr);
	kt_fill(give->base, 0, give->nr, give->seed);
	must(!kt_handover(give->key, give->base, give->nr));
}

/* A record whose process has ended: @nr pages of the pattern of @seed */
static inline void kt_give_as(uid_t uid, unsigned long key, unsigned long base, unsigned long nr,
			      __u64 seed)
{
	struct kt_give give = { .key = key, .base = base, .nr = nr, .seed = seed, .uid = uid };

	kt_run(kt_do_give, &give);
}

static inline void kt_give(unsigned long key, unsigned long base, unsigned long nr, __u64 seed)
{
	kt_give_as(0, key, base, nr, seed);
}

/* Takes over what kt_give() gave, back to its place, and compares it */
static inline void kt_take(unsigned long key, unsigned long base, unsigned long nr, __u64 seed)
{
	must(!kt_takeover(key, base, nr));
	must(kt_same(base, 0, nr, seed));
}

/* ---- "leaves everything as it was" ---- */

struct kt_snapshot {
	struct kmho_record_info *list;
	unsigned long nr;
	__u64 maps;
};

static inline __u64 kt_hash_maps(void)
{
	static char buf[1 << 18];
	__u64 sum = 0xcbf29ce484222325ULL;
	char *line, *end;

	must(kt_read_file("/proc/self/maps", buf, sizeof(buf)));
	for (line = buf; *line; line = end + 1) {
		end = strchr(line, '\n');
		must(end);
		*end = 0;
		/* these two grow by themselves */
		if (strstr(line, "[heap]") || strstr(line, "[stack]"))
			continue;
		for (; *line; line++)
			sum = (sum ^ (unsigned char)*line) * 0x100000001b3ULL;
	}
	return sum;
}

static inline void kt_snap(struct kt_snapshot *snap)
{
	snap->nr = kt_list(&snap->list);
	snap->maps = kt_hash_maps();
}

static inline void kt_show(const struct kmho_record_info *info, const char *what)
{
	printf("# %s: %#llx of %u, state %u, pid %d, %llu bytes, %llu present, %llu ranges\n",
	       what, (unsigned long long)info->key, info->uid, info->state, info->pid,
	       (unsigned long long)info->bytes, (unsigned long long)info->present,
	       (unsigned long long)info->nr_ranges);
}

/* Nothing has changed since; the snapshot is given up */
static inline bool kt_unchanged(struct kt_snapshot *snap)
{
	struct kt_snapshot now;
	unsigned long i;
	bool same;

	kt_snap(&now);
	same = now.nr == snap->nr;
	if (!same)
		printf("# %lu records, there were %lu\n", now.nr, snap->nr);
	for (i = 0; same && i < now.nr; i++) {
		same = now.list[i].key == snap->list[i].key &&
		       now.list[i].uid == snap->list[i].uid &&
		       now.list[i].state == snap->list[i].state &&
		       now.list[i].bytes == snap->list[i].bytes &&
		       now.list[i].present == snap->list[i].present &&
		       now.list[i].nr_ranges == snap->list[i].nr_ranges &&
		       now.list[i].pid == snap->list[i].pid;
		if (!same) {
			kt_show(&snap->list[i], "was");
			kt_show(&now.list[i], "is ");
		}
	}
	if (now.maps != snap->maps) {
		printf("# the mappings have changed\n");
		same = false;
	}
	free(now.list);
	free(snap->list);
	return same;
}

/* The call fails with this errno, and leaves everything as it was */
#define must_refuse(err, call) do {					\
	struct kt_snapshot __snap;					\
									\
	kt_snap(&__snap);						\
	must_fail(err, call);						\
	must(kt_unchanged(&__snap));					\
} while (0)

/* ---- the runner ---- */

static inline int kt_run_case(void (*fn)(void))
{
	__u64 end = kt_now_ns() + kt_timeout_s() * 1000000000ULL;
	int status;
	pid_t pid;

	memset(kt_shared, 0, sizeof(*kt_shared));
	pid = kt_fork();
	if (!pid) {
		setsid();
		fn();
		fflush(stdout);
		_exit(KSFT_PASS);
	}
	while (true) {
		if (__atomic_load_n(&kt_shared->ready, __ATOMIC_ACQUIRE))
			return KSFT_PASS;
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (kt_now_ns() > end) {
			printf("# timed out after %u s\n", kt_timeout_s());
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return KSFT_FAIL;
		}
		usleep(1000);
	}
	/* whoever it left behind */
	kill(-pid, SIGKILL);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	printf("# ended by signal %d\n", WTERMSIG(status));
	return KSFT_FAIL;
}

static inline bool kt_kho_off(void)
{
	char cmdline[4096];

	return kt_read_file("/proc/cmdline", cmdline, sizeof(cmdline)) &&
	       strstr(cmdline, "kho=off");
}

/* Where nothing was handed over, nothing is found; without KHO, nothing works */
static inline void kt_control(void)
{
	bool off = kt_kho_off();
	int err = off ? EOPNOTSUPP : ENOENT;
	unsigned long base = kt_addr(0), n;
	struct kmho_record_info info;
	unsigned long remap;

	for (n = 0; n < 64; n++) {
		must_fail(err, kt_takeover(kt_key(n), kt_addr(n % 32), 1));
		must(kt_unmapped(kt_addr(n % 32), 1));
		remap = 0;
		must_fail(err, kt_takeover_to(kt_key(n), kt_addr(n % 32), 1, &remap));
		must(!remap);
		must_fail(err, kt_drop(kt_key(n)));
		must_fail(err, kt_info(kt_key(n), &info));
		if (off || kt_has(KMHO_TAKEOVER_KEEP)) {
			must_fail(err, kt_take_to(KMHO_TAKEOVER_KEEP, kt_key(n), kt_addr(n % 32),
						  1, &remap));
			must(!remap);
		}
		if (off || kt_has(KMHO_FREEZE))
			must_fail(err, kt_freeze(kt_key(n)));
		if (off || (kt_has(KMHO_CHOWN) && kt_is_root()))
			must_fail(err, kt_chown(kt_key(n), KMHO_UID_SELF, KT_USER));
	}
	must_fail(EINVAL, kmho(99, NULL));
	kt_map(base, 1);
	kt_fill(base, 0, 1, 1);
	if (off) {
		must_fail(EOPNOTSUPP, kt_handover(kt_key(0), base, 1));
	} else {
		must(!kt_handover(kt_key(0), base, 1));
		must(!kt_drop(kt_key(0)));
	}
	must(kt_same(base, 0, 1, 1));
}

/* What a case does in this stage, if anything */
static inline bool kt_pick(const struct kt_case *c, const char *stage, void (**fn)(void))
{
	*fn = NULL;
	if (!strcmp(stage, "now"))
		*fn = c->now;
	else if (!strcmp(stage, "before"))
		*fn = c->before;
	else if (!strcmp(stage, "after"))
		*fn = c->after;
	else if (!strcmp(stage, "again"))
		*fn = c->again;
	else if (!strcmp(stage, "each"))
		*fn = c->each;
	else if (!strcmp(stage, "control"))
		*fn = c->control;
	return *fn;
}

/* Is there anything left for a case to do after this stage? */
static inline bool kt_goes_on(const struct kt_case *c, const char *stage)
{
	if (!strcmp(stage, "before"))
		return c->after || c->each;
	if (!strcmp(stage, "after"))
		return c->again;
	return !strcmp(stage, "each");
}

/*
 * Why cases were skipped, by their place in the list. It gets to the next stage as a
 * record, which is made only where there is something to say.
 */
static char (*kt_skipped)[KT_REASON];

static inline unsigned long kt_skipped_pages(unsigned int nr)
{
	return (nr * KT_REASON + kt_page - 1) / kt_page;
}

static inline void kt_recall_skipped(const char *stage, unsigned int nr)
{
	unsigned long pages = kt_skipped_pages(nr);

	kt_skipped = kt_ptr(KT_SKIPPED_ADDR);
	if (!strcmp(stage, "before") && kt_drop(KT_SKIPPED_KEY))
		must(errno == ENOENT);
	if (!kt_takeover(KT_SKIPPED_KEY, KT_SKIPPED_ADDR, pages))
		return;
	must(errno == ENOENT);
	kt_map(KT_SKIPPED_ADDR, pages);
}

static inline void kt_remember_skipped(const struct kt_case *cases, const char *stage,
				       unsigned int nr)
{
	unsigned int i, kept = 0;

	for (i = 0; i < nr; i++) {
		if (!kt_goes_on(&cases[i], stage))
			kt_skipped[i][0] = 0;
		kept += !!kt_skipped[i][0];
	}
	if (kept)
		must(!kt_handover(KT_SKIPPED_KEY, KT_SKIPPED_ADDR, kt_skipped_pages(nr)));
}

static inline void kt_report(const char *title, void (*fn)(void), char *skipped)
{
	int code = KSFT_SKIP;

	if (skipped && skipped[0]) {
		memcpy(kt_shared->reason, skipped, KT_REASON);
	} else {
		code = kt_run_case(fn);
		if (skipped && code == KSFT_SKIP)
			memcpy(skipped, kt_shared->reason, KT_REASON);
	}
	ksft_test_result_code(code, title, kt_shared->reason[0] ? "%s" : NULL, kt_shared->reason);
}

static inline int kt_main(int argc, char **argv, const struct kt_case *cases, unsigned int nr)
{
	struct kmho_op_query probe = { .size = sizeof(probe) };
	const char *stage = argc > 1 ? argv[1] : "now";
	const char *only = argc > 2 ? argv[2] : "";
	bool control = !strcmp(stage, "control");
	bool now = !strcmp(stage, "now"), later = !now && !control;
	unsigned int i, plan = control;
	void (*fn)(void);

	kt_page = sysconf(_SC_PAGESIZE);
	ksft_print_header();
	for (i = 0; i < nr; i++)
		plan += kt_pick(&cases[i], stage, &fn) && strstr(cases[i].title, only);
	if (!plan && now && argc < 2)
		ksft_exit_skip("in two stages: before, then kexec, then after\n");
	if (!plan)
		ksft_exit_fail_msg("no case in stage '%s' (now, before, after, again, each)\n",
				   stage);
	if (kmho(KMHO_QUERY, &probe)) {
		if (errno == KT_NO_CALL)
			ksft_exit_skip("this kernel has no kmho(2)\n");
		if (errno == EOPNOTSUPP && !control)
			ksft_exit_skip("kexec handover is off; boot with kho=on\n");
	}
	kt_shared = mmap(NULL, sizeof(*kt_shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kt_shared == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	ksft_set_plan(plan);
	if (control)
		kt_report("control: nothing is found that was not handed over", kt_control, NULL);
	if (later)
		kt_recall_skipped(stage, nr);
	for (i = 0; i < nr; i++) {
		if (!kt_pick(&cases[i], stage, &fn) || !strstr(cases[i].title, only))
			continue;
		kt_index = i;
		if (later)
			kt_report(cases[i].title, fn, kt_skipped[i]);
		else
			kt_report(cases[i].title, fn, NULL);
		if (now)
			kt_drop_all();
	}
	if (later)
		kt_remember_skipped(cases, stage, nr);
	ksft_finished();
	return KSFT_FAIL;
}

#endif /* __KMHO_TEST_H */
