// SPDX-License-Identifier: GPL-2.0-only
/*
 * H3: the process goes on writing after HANDOVER, and no completed write is
 * lost, up to the moment of the kexec.
 *
 * Every case stays behind as a process. Those that write until the end count
 * their completed writes in the memory that they handed over; the next kernel
 * must show each write up to that count. Since the counter goes up after the
 * write it counts, a lost write cannot hide.
 */
#include "kmho_test.h"

#include <sys/ptrace.h>

enum {
	PRESENT,
	HOLES,
	LAST_HOLE,
	RING,
	THREADS,
	RECORDS,
	KILLED,
	FORK_AFTER,
	FORK_BEFORE,
	FORK_BOTH,
	FORK_LAST,
	OTHERS,
	OTHERS_LAST,
	SYSCALLS,
	DIRECT,
	DIRECT_LAST,
	URING,
	URING_LAST,
	PROTECT,
	THP_SPLIT,
	THP_FILL,
	THP_LAST,
	COLLAPSE,
	PAGEOUT,
	PAGEOUT_LAST,
	COMPACT,
	CHILD_KEY,
	/* the first of NR_CALLERS places */
	CALLS,
	TO = 64,
	/* the first of NR_RECORDS keys */
	RECORD = 0x100,
};

#define SEED(place)	(0x11feULL + (place))

/* A child that does nothing more, but lives on */
static __noreturn void linger(void)
{
	kt_quiet();
	while (true)
		pause();
}

/* ---- by the process itself ---- */

static void present_before(void)
{
	unsigned long base = kt_addr(PRESENT);

	kt_map(base, 256);
	kt_fill(base, 0, 256, SEED(PRESENT));
	must(!kt_handover(kt_key(PRESENT), base, 256));
	kt_fill(base, 50, 100, SEED(PRESENT) + 99);
	kt_stay();
}

static void present_after(void)
{
	unsigned long base = kt_addr(PRESENT);

	must(!kt_takeover(kt_key(PRESENT), base, 256));
	must(kt_same(base, 0, 50, SEED(PRESENT)));
	must(kt_same(base, 50, 100, SEED(PRESENT) + 99));
	must(kt_same(base, 150, 106, SEED(PRESENT)));
}

static void holes_before(void)
{
	unsigned long base = kt_addr(HOLES), i;

	kt_map(base, 2048);
	kt_fill(base, 10, 10, SEED(HOLES));
	must(!kt_handover(kt_key(HOLES), base, 2048));
	/* one that was read first, and so has the zero page; a run; scattered ones */
	must(kt_zero(base, 5, 1));
	kt_fill(base, 5, 1, SEED(HOLES));
	kt_fill(base, 512, 600, SEED(HOLES));
	for (i = 1200; i < 2048; i += 13)
		kt_fill(base, i, 1, SEED(HOLES));
	kt_stay();
}

static void holes_after(void)
{
	unsigned long base = kt_addr(HOLES), filled = 0, i;

	must(!kt_takeover(kt_key(HOLES), base, 2048));
	must(kt_same(base, 5, 1, SEED(HOLES)));
	must(kt_same(base, 10, 10, SEED(HOLES)));
	must(!kt_held_pages(base + 20 * kt_page, 492));
	must(kt_same(base, 512, 600, SEED(HOLES)));
	for (i = 1200; i < 2048; i += 13, filled++)
		must(kt_same(base, i, 1, SEED(HOLES)));
	must(kt_held_pages(base + 1200 * kt_page, 2048 - 1200) == filled);
}

/* ---- until the last moment, by another thread ---- */

/* So many that the kexec comes before they are all written */
#define LAST_PAGES	32768

static void *fill_holes(void *arg)
{
	unsigned long place = (unsigned long)arg, n;
	struct kt_head *head = kt_head_of(place);

	kt_heed_bus(head);
	for (n = 1; n < LAST_PAGES; n++) {
		kt_fill(kt_addr(place), n, 1, SEED(place));
		kt_complete(head, n);
		kt_pace(n);
	}
	return NULL;
}

static void last_hole_check(unsigned long place)
{
	unsigned long base = kt_addr(place);
	__u64 done;

	must(!kt_takeover(kt_key(place), base, LAST_PAGES));
	done = kt_show_completed(place, "holes were written");
	must(done < LAST_PAGES - 1);
	must(kt_same(base, 1, done, SEED(place)));
	/* the one in the making may be there, or be a hole; what follows is one */
	if (done + 2 < LAST_PAGES)
		must(!kt_held_pages(base + (done + 2) * kt_page, LAST_PAGES - done - 2));
}

static void last_hole_before(void)
{
	kt_map(kt_addr(LAST_HOLE), LAST_PAGES);
	must(!kt_handover(kt_key(LAST_HOLE), kt_addr(LAST_HOLE), LAST_PAGES));
	kt_start_thread(fill_holes, LAST_HOLE);
	kt_wait_for_writes(LAST_HOLE, 10);
	kt_stay();
}

static void last_hole_after(void)
{
	last_hole_check(LAST_HOLE);
}

/* Only one of those that write around never stops */
static void *write_ring(void *arg)
{
	unsigned long place = (unsigned long)arg;

	kt_write_around(place, place != RING);
}

static void ring_check(unsigned long place)
{
	must(!kt_takeover(kt_key(place), kt_addr(place), 1 + KT_AROUND));
	kt_show_completed(place, "writes were made");
	kt_check_around(place);
}

static void ring_before(void)
{
	kt_map(kt_addr(RING), 1 + KT_AROUND);
	/* it has all the time that others leave */
	must(nice(19) == 19);
	kt_start_thread(write_ring, RING);
	kt_wait_for_writes(RING, 1000);
	/* under a writer that does not stop for it */
	must(!kt_handover(kt_key(RING), kt_addr(RING), 1 + KT_AROUND));
	kt_stay();
}

static void ring_after(void)
{
	ring_check(RING);
}

#define NR_THREADS	8

/* Thread i has page i for its counter and every NR_THREADSth page after for its data */
static void *write_slot(void *arg)
{
	unsigned long i = (unsigned long)arg, base = kt_addr(THREADS);
	__u64 n, *counter = kt_ptr(base + i * kt_page), *word;

	for (n = 1; ; n++) {
		/* goes through 256 pages, some of them holes until then, a word each time */
		word = kt_ptr(base + (NR_THREADS + i + n % 256 * NR_THREADS) * kt_page);
		__atomic_store_n(word + n / 256 % (kt_page / 8), n, __ATOMIC_RELAXED);
		__atomic_store_n(counter, n, __ATOMIC_RELEASE);
		if (n % 64 == 0)
			kt_pause_a_little();
	}
	return NULL;
}

static void threads_before(void)
{
	unsigned long nr = NR_THREADS * 257, i;
	__u64 *counter;

	kt_map(kt_addr(THREADS), nr);
	for (i = 0; i < NR_THREADS; i++)
		kt_start_thread(write_slot, i);
	must(!kt_handover(kt_key(THREADS), kt_addr(THREADS), nr));
	for (i = 0; i < NR_THREADS; i++) {
		counter = kt_ptr(kt_addr(THREADS) + i * kt_page);
		while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < 200)
			kt_pause_a_little();
	}
	kt_stay();
}

static void threads_after(void)
{
	unsigned long base = kt_addr(THREADS), nr = NR_THREADS * 257, i;
	unsigned long per_page = kt_page / 8;
	__u64 n, done, first, *word;

	must(!kt_takeover(kt_key(THREADS), base, nr));
	for (i = 0; i < NR_THREADS; i++) {
		done = *(__u64 *)kt_ptr(base + i * kt_page);
		printf("# thread %lu: %llu writes\n", i, (unsigned long long)done);
		must(done >= 200);
		/* a word is written over after 256 pages full of them */
		first = done > 256 * per_page - 256 ? done - 256 * per_page + 257 : 1;
		for (n = first; n <= done; n++) {
			word = kt_ptr(base + (NR_THREADS + i + n % 256 * NR_THREADS) * kt_page);
			if (word[n / 256 % per_page] != n) {
				printf("# thread %lu: write %llu of %llu is lost\n", i,
				       (unsigned long long)n, (unsigned long long)done);
				must(false);
			}
		}
	}
}

/* Killed while it writes: what it had completed by then */
#define NR_RECORDS	64
#define RECORD_PAGES	2048
#define NR_WRITERS	4
/* So many holes each writer has for itself, and cannot fill until the kexec */
#define NR_OWN		(NR_RECORDS * (RECORD_PAGES / NR_WRITERS - 1))

/* Where write n of a thread goes: a hole of one record after the other */
static unsigned long record_page(unsigned long writer, unsigned long n)
{
	return n % NR_RECORDS * RECORD_PAGES + NR_WRITERS +
	       n / NR_RECORDS * NR_WRITERS + writer;
}

/* Faults in all records at once: the kexec has to stop them without waiting for itself */
static void *fill_records(void *arg)
{
	unsigned long writer = (unsigned long)arg, base = kt_addr(RECORDS), n;
	__u64 *counter = kt_ptr(base + writer * kt_page);

	for (n = 1; n < NR_OWN; n++) {
		kt_fill(base, record_page(writer, n), 1, SEED(RECORDS));
		__atomic_store_n(counter, n, __ATOMIC_RELEASE);
		kt_pace(n);
	}
	return NULL;
}

static void records_before(void)
{
	unsigned long base = kt_addr(RECORDS), i;
	__u64 *counter;

	kt_map(base, NR_RECORDS * RECORD_PAGES);
	for (i = 0; i < NR_RECORDS; i++)
		must(!kt_handover(kt_key(RECORD + i), base + i * RECORD_PAGES * kt_page,
				  RECORD_PAGES));
	for (i = 0; i < NR_WRITERS; i++)
		kt_start_thread(fill_records, i);
	for (i = 0; i < NR_WRITERS; i++) {
		counter = kt_ptr(base + i * kt_page);
		while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < 10)
			kt_pause_a_little();
	}
	kt_stay();
}

static void records_after(void)
{
	unsigned long base = kt_addr(RECORDS), i, n;
	__u64 done;

	for (i = 0; i < NR_RECORDS; i++)
		must(!kt_takeover(kt_key(RECORD + i), base + i * RECORD_PAGES * kt_page,
				  RECORD_PAGES));
	for (i = 0; i < NR_WRITERS; i++) {
		done = *(__u64 *)kt_ptr(base + i * kt_page);
		printf("# thread %lu: %llu holes written\n", i, (unsigned long long)done);
		must(done >= 10 && done < NR_OWN - 1);
		for (n = 1; n <= done; n++)
			must(kt_same(base, record_page(i, n), 1, SEED(RECORDS)));
	}
}

/* The first word of a page of another process's */
static __u64 word_of(pid_t pid, unsigned long addr)
{
	__u64 word;
	struct iovec here = { &word, sizeof(word) }, there = { kt_ptr(addr), sizeof(word) };

	must(process_vm_readv(pid, &here, 1, &there, 1, 0) == sizeof(word));
	return word;
}

static void killed_before(void)
{
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		kt_map(kt_addr(KILLED), LAST_PAGES);
		must(!kt_handover(kt_key(KILLED), kt_addr(KILLED), LAST_PAGES));
		kt_start_thread(fill_holes, KILLED);
		linger();
	}
	while (!kt_exists(kt_key(KILLED)))
		kt_pause_a_little();
	while (word_of(pid, kt_addr(KILLED)) < 10)
		kt_pause_a_little();
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
}

static void killed_after(void)
{
	last_hole_check(KILLED);
}

/* ---- fork: the parent's view counts ---- */

static void fork_after_before(void)
{
	unsigned long base = kt_addr(FORK_AFTER);
	pid_t pid;

	kt_map(base, 256);
	kt_fill(base, 0, 128, SEED(FORK_AFTER));
	must(!kt_handover(kt_key(FORK_AFTER), base, 256));
	pid = kt_fork();
	if (!pid) {
		/* its own copies: present pages 0 to 31, holes 128 to 159 */
		kt_fill(base, 0, 32, 666);
		kt_fill(base, 128, 32, 666);
		linger();
	}
	usleep(50000);
	/* the parent's: present pages 16 to 63, holes 144 to 191 */
	kt_fill(base, 16, 48, SEED(FORK_AFTER) + 99);
	kt_fill(base, 144, 48, SEED(FORK_AFTER) + 99);
	kt_stay();
}

static void fork_after_after(void)
{
	unsigned long base = kt_addr(FORK_AFTER);

	must(!kt_takeover(kt_key(FORK_AFTER), base, 256));
	must(kt_same(base, 0, 16, SEED(FORK_AFTER)));
	must(kt_same(base, 16, 48, SEED(FORK_AFTER) + 99));
	must(kt_same(base, 64, 64, SEED(FORK_AFTER)));
	must(!kt_held_pages(base + 128 * kt_page, 16));
	must(kt_same(base, 144, 48, SEED(FORK_AFTER) + 99));
	must(!kt_held_pages(base + 192 * kt_page, 64));
}

/* Shared copy-on-write with a child already when it is handed over */
static void fork_before_before(void)
{
	unsigned long base = kt_addr(FORK_BEFORE);
	pid_t pid;

	kt_map(base, 128);
	kt_fill(base, 0, 128, SEED(FORK_BEFORE));
	pid = kt_fork();
	if (!pid) {
		kt_fill(base, 0, 32, 666);
		usleep(300000);
		/* by now handed over by the parent */
		kt_fill(base, 32, 32, 666);
		linger();
	}
	usleep(50000);
	must(!kt_handover(kt_key(FORK_BEFORE), base, 128));
	kt_fill(base, 16, 8, SEED(FORK_BEFORE) + 99);
	kt_fill(base, 96, 8, SEED(FORK_BEFORE) + 99);
	usleep(500000);
	kt_stay();
}

static void fork_before_after(void)
{
	unsigned long base = kt_addr(FORK_BEFORE);

	must(!kt_takeover(kt_key(FORK_BEFORE), base, 128));
	must(kt_same(base, 0, 16, SEED(FORK_BEFORE)));
	must(kt_same(base, 16, 8, SEED(FORK_BEFORE) + 99));
	must(kt_same(base, 24, 72, SEED(FORK_BEFORE)));
	must(kt_same(base, 96, 8, SEED(FORK_BEFORE) + 99));
	must(kt_same(base, 104, 24, SEED(FORK_BEFORE)));
}

/* Parent and child hand over the same pages, each right for itself */
static void fork_both_before(void)
{
	unsigned long base = kt_addr(FORK_BOTH);
	pid_t pid;

	kt_map(base, 128);
	kt_fill(base, 0, 128, SEED(FORK_BOTH));
	pid = kt_fork();
	if (!pid) {
		must(!kt_handover(kt_key(CHILD_KEY), base, 128));
		usleep(200000);
		kt_fill(base, 10, 10, SEED(FORK_BOTH) + 1);
		kt_stay();
	}
	must(!kt_handover(kt_key(FORK_BOTH), base, 128));
	usleep(100000);
	kt_fill(base, 15, 10, SEED(FORK_BOTH) + 2);
	/* the child says that the case is ready */
	linger();
}

static void fork_both_after(void)
{
	unsigned long base = kt_addr(FORK_BOTH), remap = kt_addr(TO);

	must(!kt_takeover(kt_key(FORK_BOTH), base, 128));
	must(!kt_takeover_to(kt_key(CHILD_KEY), base, 128, &remap));
	must(kt_same(base, 0, 15, SEED(FORK_BOTH)));
	must(kt_same(base, 15, 10, SEED(FORK_BOTH) + 2));
	must(kt_same(base, 25, 103, SEED(FORK_BOTH)));
	must(kt_same(remap, 0, 10, SEED(FORK_BOTH)));
	must(kt_same(remap, 10, 10, SEED(FORK_BOTH) + 1));
	must(kt_same(remap, 20, 108, SEED(FORK_BOTH)));
	/* and each is its own page now */
	kt_fill(base, 0, 128, 1);
	must(kt_same(remap, 20, 108, SEED(FORK_BOTH)));
	kt_fill(remap, 0, 128, 2);
	must(kt_same(base, 0, 128, 1));
}

/* A database that forks again and again to write a snapshot, and writes meanwhile */
static void fork_last_before(void)
{
	unsigned long place = FORK_LAST;
	pid_t pid;

	kt_map(kt_addr(place), 1 + KT_AROUND);
	must(!kt_handover(kt_key(place), kt_addr(place), 1 + KT_AROUND));
	kt_start_thread(write_ring, place);
	kt_wait_for_writes(place, 1000);
	kt_ready();
	while (true) {
		pid = fork();
		if (!pid) {
			usleep(5000);
			_exit(0);
		}
		usleep(2000);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static void fork_last_after(void)
{
	ring_check(FORK_LAST);
}

/* ---- by others: process_vm_writev, ptrace, /proc/pid/mem ---- */

static void others_before(void)
{
	unsigned long base = kt_addr(OTHERS), *words = kt_ptr(base), i, w;
	char *text = malloc(4 * kt_page);
	pid_t pid;
	int fd;

	kt_map(base, 64);
	kt_fill(base, 0, 16, SEED(OTHERS));
	/* what is handed over is the child's; this is its parent, and may write to it */
	pid = kt_fork();
	if (!pid) {
		must(!kt_handover(kt_key(OTHERS), base, 64));
		kill(getpid(), SIGSTOP);
		kt_stay();
	}
	must(waitpid(pid, NULL, WUNTRACED) == pid);
	must(kt_exists(kt_key(OTHERS)));
	/* two present pages and two holes, of a pattern made here */
	must(text);
	for (i = 0; i < 4 * kt_page / 8; i++)
		((__u64 *)text)[i] = kt_word(7, i);
	for (i = 0; i < 4; i++) {
		static const unsigned long at[] = { 2, 3, 20, 21 };
		struct iovec from = { text + i * kt_page, kt_page };
		struct iovec to = { kt_ptr(base + at[i] * kt_page), kt_page };

		must(process_vm_writev(pid, &from, 1, &to, 1, 0) == (ssize_t)kt_page);
	}
	must(!ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	must(waitpid(pid, NULL, 0) == pid);
	for (w = 0; w < 2; w++) {
		must(!ptrace(PTRACE_POKEDATA, pid, words + 5 * kt_page / 8 + w,
			     (void *)(0x5000UL + w)));
		must(!ptrace(PTRACE_POKEDATA, pid, words + 30 * kt_page / 8 + w,
			     (void *)(0x30000UL + w)));
	}
	must(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
	snprintf(text, kt_page, "/proc/%d/mem", pid);
	fd = open(text, O_RDWR);
	must(fd >= 0);
	must(pwrite(fd, "here", 4, base + 7 * kt_page) == 4);
	must(pwrite(fd, "hole", 4, base + 40 * kt_page) == 4);
	close(fd);
	must(!kill(pid, SIGCONT));
	/* the child says that the case is ready */
	linger();
}

static void others_after(void)
{
	unsigned long base = kt_addr(OTHERS), *words = kt_ptr(base);

	must(!kt_takeover(kt_key(OTHERS), base, 64));
	must(kt_same(base, 0, 2, SEED(OTHERS)));
	must(kt_same_from(base, 2, 2, 7, 0));
	must(kt_same_from(base, 20, 2, 7, 2));
	must(words[5 * kt_page / 8] == 0x5000 && words[5 * kt_page / 8 + 1] == 0x5001);
	must(words[30 * kt_page / 8] == 0x30000 && words[30 * kt_page / 8 + 1] == 0x30001);
	must(!memcmp(kt_ptr(base + 7 * kt_page), "here", 4));
	must(!memcmp(kt_ptr(base + 40 * kt_page), "hole", 4));
	must(kt_same(base, 8, 8, SEED(OTHERS)));
}

/* Puts what is at an address in this process to the same address in another */
static void put(pid_t pid, unsigned long addr, size_t len)
{
	struct iovec iov = { kt_ptr(addr), len };

	must(process_vm_writev(pid, &iov, 1, &iov, 1, 0) == (ssize_t)len);
}

static void others_last_before(void)
{
	unsigned long base = kt_addr(OTHERS_LAST), n;
	pid_t pid;

	kt_map(base, LAST_PAGES);
	pid = kt_fork();
	if (!pid) {
		must(!kt_handover(kt_key(OTHERS_LAST), base, LAST_PAGES));
		linger();
	}
	while (!kt_exists(kt_key(OTHERS_LAST)))
		kt_pause_a_little();
	for (n = 1; n < LAST_PAGES; n++) {
		kt_fill(base, n, 1, SEED(OTHERS_LAST));
		put(pid, base + n * kt_page, kt_page);
		must(!madvise(kt_ptr(base + n * kt_page), kt_page, MADV_DONTNEED));
		kt_complete(kt_head_of(OTHERS_LAST), n);
		put(pid, base, sizeof(struct kt_head));
		if (n == 10)
			kt_ready();
		kt_pace(n);
	}
	linger();
}

static void others_last_after(void)
{
	last_hole_check(OTHERS_LAST);
}

/* ---- by the kernel, on the process's behalf ---- */

static void syscalls_before(void)
{
	unsigned long base = kt_addr(SYSCALLS);
	int fds[2], fd = open("/proc/self/exe", O_RDONLY);

	kt_map(base, 64);
	kt_fill(base, 0, 16, SEED(SYSCALLS));
	must(!kt_handover(kt_key(SYSCALLS), base, 64));
	must(!pipe(fds));
	must(write(fds[1], "through a pipe", 14) == 14);
	must(read(fds[0], kt_ptr(base + 3 * kt_page), 14) == 14);
	must(write(fds[1], "into a hole", 11) == 11);
	must(read(fds[0], kt_ptr(base + 33 * kt_page), 11) == 11);
	must(fd >= 0);
	must(pread(fd, kt_ptr(base + 40 * kt_page), 8 * kt_page, 0) == 8 * (ssize_t)kt_page);
	must(!madvise(kt_ptr(base + 50 * kt_page), 4 * kt_page, MADV_POPULATE_WRITE) ||
	     errno == EINVAL);
	kt_stay();
}

static void syscalls_after(void)
{
	unsigned long base = kt_addr(SYSCALLS);
	char *exe = malloc(8 * kt_page);
	int fd = open("/proc/self/exe", O_RDONLY);

	must(!kt_takeover(kt_key(SYSCALLS), base, 64));
	must(!memcmp(kt_ptr(base + 3 * kt_page), "through a pipe", 14));
	must(!memcmp(kt_ptr(base + 33 * kt_page), "into a hole", 11));
	must(exe && fd >= 0 && pread(fd, exe, 8 * kt_page, 0) == 8 * (ssize_t)kt_page);
	must(!memcmp(kt_ptr(base + 40 * kt_page), exe, 8 * kt_page));
	must(kt_zero(base, 50, 4));
}

/* A disk to read from past the page cache: straight into the pages by DMA */
static int open_disk(void)
{
	static const char * const disks[] = { "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/ram0" };
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(disks); i++) {
		fd = open(disks[i], O_RDONLY | O_DIRECT);
		if (fd >= 0)
			return fd;
	}
	kt_skip("no disk to read with O_DIRECT");
}

static void direct_before(void)
{
	unsigned long base = kt_addr(DIRECT);
	int fd = open_disk();

	kt_map(base, 256);
	kt_fill(base, 0, 128, SEED(DIRECT));
	must(!kt_handover(kt_key(DIRECT), base, 256));
	must(pread(fd, kt_ptr(base + 10 * kt_page), 32 * kt_page, 0) == 32 * (ssize_t)kt_page);
	must(pread(fd, kt_ptr(base + 150 * kt_page), 32 * kt_page, 1 << 20) ==
	     32 * (ssize_t)kt_page);
	kt_stay();
}

static void direct_after(void)
{
	unsigned long base = kt_addr(DIRECT);
	int fd = open_disk();
	char *disk = mmap(NULL, 32 * kt_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	must(!kt_takeover(kt_key(DIRECT), base, 256));
	must(disk != MAP_FAILED);
	must(pread(fd, disk, 32 * kt_page, 0) == 32 * (ssize_t)kt_page);
	must(!memcmp(disk, kt_ptr(base + 10 * kt_page), 32 * kt_page));
	must(pread(fd, disk, 32 * kt_page, 1 << 20) == 32 * (ssize_t)kt_page);
	must(!memcmp(disk, kt_ptr(base + 150 * kt_page), 32 * kt_page));
	must(kt_same(base, 0, 10, SEED(DIRECT)));
	must(kt_same(base, 42, 86, SEED(DIRECT)));
}

/* Of the disk so much is read, again and again */
#define DISK_PAGES	4096

static off_t disk_place(unsigned long n)
{
	return n % DISK_PAGES * kt_page;
}

/* Who reads from the disk, into page n, one after the other, until the end */
struct reader {
	unsigned long place;
	int fd;
	/* by which it reads; NULL: by pread() */
	struct kt_ring *ring;
};

static void *read_disk(void *arg)
{
	struct reader *r = arg;
	struct kt_head *head = kt_head_of(r->place);
	unsigned long n, to;
	ssize_t len;

	for (n = 1; n < LAST_PAGES; n++) {
		to = kt_addr(r->place) + n * kt_page;
		len = r->ring ? kt_ring_read(r->ring, IORING_OP_READ, r->fd, to, kt_page,
					     disk_place(n)) :
				pread(r->fd, kt_ptr(to), kt_page, disk_place(n));
		if (len != (ssize_t)kt_page) {
			head->failed = n;
			break;
		}
		kt_complete(head, n);
		kt_pace(n);
	}
	return NULL;
}

static void read_until_the_end(struct reader *r)
{
	kt_map(kt_addr(r->place), LAST_PAGES);
	must(!kt_handover(kt_key(r->place), kt_addr(r->place), LAST_PAGES));
	kt_start_thread(read_disk, (unsigned long)r);
	kt_wait_for_writes(r->place, 10);
	kt_stay();
}

static void check_what_was_read(unsigned long place)
{
	unsigned long base = kt_addr(place), n;
	int fd = open_disk();
	char *disk = mmap(NULL, kt_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	__u64 done;

	must(!kt_takeover(kt_key(place), base, LAST_PAGES));
	must(disk != MAP_FAILED);
	done = kt_show_completed(place, "pages were read");
	must(done < LAST_PAGES - 1);
	for (n = 1; n <= done; n++) {
		must(pread(fd, disk, kt_page, disk_place(n)) == (ssize_t)kt_page);
		must(!memcmp(disk, kt_ptr(base + n * kt_page), kt_page));
	}
}

static void direct_last_before(void)
{
	struct reader r = { DIRECT_LAST, open_disk() };

	read_until_the_end(&r);
}

static void direct_last_after(void)
{
	check_what_was_read(DIRECT_LAST);
}

/*
 * A buffer registered with io_uring before HANDOVER: its pages are pinned, and
 * written through that pin, not through the process's page tables.
 */
static void uring_before(void)
{
	unsigned long base = kt_addr(URING);
	int fd = open("/proc/self/exe", O_RDONLY);
	struct kt_ring ring;
	pid_t pid;

	must(fd >= 0);
	kt_ring_open(&ring);
	kt_map(base, 128);
	kt_fill(base, 0, 64, SEED(URING));
	kt_ring_register(&ring, base, 32);
	must(!kt_handover(kt_key(URING), base, 128));
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, fd, base, 4 * kt_page, 0) ==
	     4 * (int)kt_page);
	/* also with the pages shared with a child meanwhile */
	pid = kt_fork();
	if (!pid)
		linger();
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, fd, base + 8 * kt_page, 4 * kt_page, 0) ==
	     4 * (int)kt_page);
	/* by address: present pages, and holes */
	must(kt_ring_read(&ring, IORING_OP_READ, fd, base + 40 * kt_page, 4 * kt_page, 0) ==
	     4 * (int)kt_page);
	must(kt_ring_read(&ring, IORING_OP_READ, fd, base + 100 * kt_page, 4 * kt_page, 0) ==
	     4 * (int)kt_page);
	kt_stay();
}

static void uring_after(void)
{
	static const unsigned long at[] = { 0, 8, 40, 100 };
	unsigned long base = kt_addr(URING);
	char *exe = malloc(4 * kt_page);
	int fd = open("/proc/self/exe", O_RDONLY);
	unsigned int i;

	must(!kt_takeover(kt_key(URING), base, 128));
	must(exe && fd >= 0 && pread(fd, exe, 4 * kt_page, 0) == 4 * (ssize_t)kt_page);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		must(!memcmp(exe, kt_ptr(base + at[i] * kt_page), 4 * kt_page));
	must(kt_same(base, 12, 28, SEED(URING)));
	must(kt_same(base, 44, 20, SEED(URING)));
}

static void uring_last_before(void)
{
	struct kt_ring ring;
	struct reader r = { URING_LAST, open_disk(), &ring };

	kt_ring_open(&ring);
	read_until_the_end(&r);
}

static void uring_last_after(void)
{
	check_what_was_read(URING_LAST);
}

/* ---- what the kernel does to pages meanwhile ---- */

/* T1: the protection is that at the kexec */
static void protect_before(void)
{
	unsigned long base = kt_addr(PROTECT);

	kt_map(base, 32);
	kt_fill(base, 0, 32, SEED(PROTECT));
	must(!kt_handover(kt_key(PROTECT), base, 32));
	must(!mprotect(kt_ptr(base + 4 * kt_page), 8 * kt_page, PROT_READ));
	must(!mprotect(kt_ptr(base + 20 * kt_page), 4 * kt_page, PROT_NONE));
	kt_fill(base, 12, 4, SEED(PROTECT) + 99);
	kt_stay();
}

static void protect_after(void)
{
	unsigned long base = kt_addr(PROTECT);

	must(!kt_takeover(kt_key(PROTECT), base, 32));
	must(kt_perms(base, "rw-p") && kt_perms(base + 4 * kt_page, "r--p"));
	must(kt_perms(base + 12 * kt_page, "rw-p") && kt_perms(base + 20 * kt_page, "---p"));
	must(kt_perms(base + 24 * kt_page, "rw-p"));
	must(!mprotect(kt_ptr(base), 32 * kt_page, PROT_READ));
	must(kt_same(base, 0, 12, SEED(PROTECT)));
	must(kt_same(base, 12, 4, SEED(PROTECT) + 99));
	must(kt_same(base, 16, 16, SEED(PROTECT)));
}

static void thp_split_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_SPLIT), nr = 2 * size / kt_page;

	kt_map_thp(base, 2 * size);
	kt_fill(base, 0, nr, SEED(THP_SPLIT));
	must(!kt_handover(kt_key(THP_SPLIT), base, nr));
	must(!mprotect(kt_ptr(base + 10 * kt_page), 10 * kt_page, PROT_READ));
	kt_fill(base, 100, 10, SEED(THP_SPLIT) + 99);
	if (!kt_fork())
		linger();
	kt_fill(base, 200, 500, SEED(THP_SPLIT) + 99);
	kt_stay();
}

static void thp_split_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_SPLIT), nr = 2 * size / kt_page;

	must(!kt_takeover(kt_key(THP_SPLIT), base, nr));
	must(kt_perms(base + 10 * kt_page, "r--p"));
	must(kt_same(base, 0, 100, SEED(THP_SPLIT)));
	must(kt_same(base, 100, 10, SEED(THP_SPLIT) + 99));
	must(kt_same(base, 110, 90, SEED(THP_SPLIT)));
	must(kt_same(base, 200, 500, SEED(THP_SPLIT) + 99));
	must(kt_same(base, 700, nr - 700, SEED(THP_SPLIT)));
}

/* A hole of a huge page's size, written after the handover */
static void thp_fill_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_FILL), nr = 4 * size / kt_page;

	kt_map_thp(base, 4 * size);
	must(!kt_handover(kt_key(THP_FILL), base, nr));
	kt_fill(base, size / kt_page, 2 * size / kt_page, SEED(THP_FILL));
	printf("# AnonHugePages: %ld kB\n", kt_smaps(base, 4 * size, "AnonHugePages"));
	kt_stay();
}

static void thp_fill_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_FILL), nr = 4 * size / kt_page;

	must(!kt_takeover(kt_key(THP_FILL), base, nr));
	must(kt_same(base, size / kt_page, 2 * size / kt_page, SEED(THP_FILL)));
	must(kt_zero(base, 0, size / kt_page));
	must(kt_zero(base, 3 * size / kt_page, size / kt_page));
}

/* Page by page, and so one huge page after the other comes, until the end */
#define LAST_HUGE	64

static void *fill_huge(void *arg)
{
	unsigned long nr = LAST_HUGE * kt_pmd_size() / kt_page, first = kt_pmd_size() / kt_page, n;
	struct kt_head *head = kt_head_of(THP_LAST);

	for (n = 1; n < nr - first; n++) {
		kt_fill(kt_addr(THP_LAST), first + n - 1, 1, SEED(THP_LAST));
		kt_complete(head, n);
		kt_pace(n);
	}
	return arg;
}

static void thp_last_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_LAST);

	kt_map_thp(base, LAST_HUGE * size);
	must(!kt_handover(kt_key(THP_LAST), base, LAST_HUGE * size / kt_page));
	kt_start_thread(fill_huge, 0);
	/* beyond the first one */
	kt_wait_for_writes(THP_LAST, size / kt_page + 1);
	kt_stay();
}

static void thp_last_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(THP_LAST), first = size / kt_page;
	__u64 done;

	must(!kt_takeover(kt_key(THP_LAST), base, LAST_HUGE * size / kt_page));
	done = kt_show_completed(THP_LAST, "pages of huge pages were written");
	must(done < (LAST_HUGE - 1) * first - 1);
	must(kt_same(base, first, done, SEED(THP_LAST)));
}

static void collapse_before(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(COLLAPSE), nr = 2 * size / kt_page;

	kt_map(base, nr);
	kt_fill(base, 0, nr - 10, SEED(COLLAPSE));
	must(!kt_handover(kt_key(COLLAPSE), base, nr));
	must(!madvise(kt_ptr(base), 2 * size, MADV_HUGEPAGE));
	/* the kernel may refuse; it may not lose anything by it */
	if (madvise(kt_ptr(base), 2 * size, MADV_COLLAPSE))
		printf("# MADV_COLLAPSE: %s\n", strerror(errno));
	printf("# AnonHugePages: %ld kB\n", kt_smaps(base, 2 * size, "AnonHugePages"));
	must(kt_same(base, 0, nr - 10, SEED(COLLAPSE)));
	kt_fill(base, 300, 400, SEED(COLLAPSE) + 99);
	kt_stay();
}

static void collapse_after(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(COLLAPSE), nr = 2 * size / kt_page;

	must(!kt_takeover(kt_key(COLLAPSE), base, nr));
	must(kt_same(base, 0, 300, SEED(COLLAPSE)));
	must(kt_same(base, 300, 400, SEED(COLLAPSE) + 99));
	must(kt_same(base, 700, nr - 710, SEED(COLLAPSE)));
	must(kt_zero(base, nr - 10, 10));
}

/* Pages that the kernel would like to swap out after the handover */
static void pageout_before(void)
{
	unsigned long base = kt_addr(PAGEOUT), out;

	kt_need_swap();
	kt_map(base, 512);
	kt_fill(base, 0, 256, SEED(PAGEOUT));
	must(!kt_handover(kt_key(PAGEOUT), base, 512));
	kt_fill(base, 256, 128, SEED(PAGEOUT));
	out = kt_pageout(base, 384);
	printf("# %lu of 384 pages in swap\n", out);
	/* some of those that came after the handover, and no other */
	must(out && out == kt_count(base + 256 * kt_page, 128, KT_PM_SWAP));
	kt_fill(base, 100, 10, SEED(PAGEOUT) + 99);
	kt_stay();
}

static void pageout_after(void)
{
	unsigned long base = kt_addr(PAGEOUT);

	must(!kt_takeover(kt_key(PAGEOUT), base, 512));
	must(kt_same(base, 0, 100, SEED(PAGEOUT)));
	must(kt_same(base, 100, 10, SEED(PAGEOUT) + 99));
	must(kt_same(base, 110, 274, SEED(PAGEOUT)));
	must(kt_zero(base, 384, 128));
}

/* Swapped out and in again, under a writer, until the end */
static void pageout_last_before(void)
{
	unsigned long place = PAGEOUT_LAST;

	kt_need_swap();
	kt_map(kt_addr(place), 1 + KT_AROUND);
	must(!kt_handover(kt_key(place), kt_addr(place), 1 + KT_AROUND));
	kt_start_thread(write_ring, place);
	kt_wait_for_writes(place, 1000);
	kt_ready();
	while (true) {
		madvise(kt_ptr(kt_addr(place)), (1 + KT_AROUND) * kt_page, MADV_PAGEOUT);
		usleep(2000);
	}
}

static void pageout_last_after(void)
{
	ring_check(PAGEOUT_LAST);
}

/* Compaction runs all the time */
static void compact_before(void)
{
	unsigned long place = COMPACT;

	kt_need_root();
	if (access("/proc/sys/vm/compact_memory", W_OK))
		kt_skip("this kernel has no compaction");
	kt_map(kt_addr(place), 1 + KT_AROUND);
	must(!kt_handover(kt_key(place), kt_addr(place), 1 + KT_AROUND));
	kt_start_thread(write_ring, place);
	kt_wait_for_writes(place, 1000);
	kt_write_file("/proc/sys/vm/compact_memory", "1");
	kt_ready();
	while (true) {
		kt_write_file("/proc/sys/vm/compact_memory", "1");
		usleep(100000);
	}
}

static void compact_after(void)
{
	ring_check(COMPACT);
}

/* ---- calls that are under way ---- */

#define NR_CALLERS	6
#define NR_ROUNDS	3	/* of each before the kexec */
#define CALLED_PAGES	64

/* Round n of a caller: all pages but the last, which stays a hole, are of that round */
static void fill_round(unsigned long place, __u64 n)
{
	kt_map(kt_addr(place), CALLED_PAGES);
	kt_head_of(place)->completed = n;
	kt_fill(kt_addr(place), 1, CALLED_PAGES - 2, SEED(place) + n);
}

static void hand_over_and_drop(unsigned long place, __u64 n)
{
	fill_round(place, n);
	must(!kt_handover(kt_key(place), kt_addr(place), CALLED_PAGES));
	must(!kt_drop(kt_key(place)));
	kt_unmap(kt_addr(place), CALLED_PAGES);
}

static void freeze_and_drop(unsigned long place, __u64 n)
{
	fill_round(place, n);
	must(!kt_handover(kt_key(place), kt_addr(place), CALLED_PAGES));
	must(!kt_freeze(kt_key(place)));
	kt_fill(kt_addr(place), 1, CALLED_PAGES - 1, 666);
	must(!kt_drop(kt_key(place)));
	kt_unmap(kt_addr(place), CALLED_PAGES);
}

static void give_and_take(unsigned long place, __u64 n)
{
	unsigned long remap = kt_addr(place);
	pid_t pid = kt_fork();

	if (!pid) {
		fill_round(place, n);
		must(!kt_handover(kt_key(place), kt_addr(place), CALLED_PAGES));
		_exit(0);
	}
	must(!kt_wait(pid));
	must(!kt_take_to(n % 2 ? KMHO_TAKEOVER : KMHO_TAKEOVER_KEEP, kt_key(place),
			 kt_addr(place), CALLED_PAGES, &remap));
	if (n % 2 == 0)
		must(!kt_drop(kt_key(place)));
	kt_unmap(kt_addr(place), CALLED_PAGES);
}

static __noreturn void call_again_and_again(unsigned long i, __u64 *rounds)
{
	static void (*const calls[])(unsigned long place, __u64 n) = {
		hand_over_and_drop, freeze_and_drop, give_and_take
	};
	__u64 n;

	for (n = 1; ; n++) {
		calls[i % ARRAY_SIZE(calls)](CALLS + i, n);
		if (n == NR_ROUNDS)
			kt_quiet();
		__atomic_store_n(&rounds[i], n, __ATOMIC_RELEASE);
		kt_pause_a_little();
	}
}

static void calls_before(void)
{
	__u64 *rounds = mmap(NULL, kt_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			     -1, 0);
	unsigned long i;

	must(rounds != MAP_FAILED);
	for (i = 0; i < NR_CALLERS; i++) {
		if (!kt_fork())
			call_again_and_again(i, rounds);
	}
	for (i = 0; i < NR_CALLERS; i++) {
		while (__atomic_load_n(&rounds[i], __ATOMIC_ACQUIRE) < NR_ROUNDS) {
			must(!waitpid(-1, NULL, WNOHANG));
			kt_pause_a_little();
		}
	}
	kt_stay();
}

/* All of a record is there, and of one round, or nothing is */
static void calls_after(void)
{
	unsigned long i, there = 0;

	for (i = 0; i < NR_CALLERS; i++) {
		unsigned long place = CALLS + i, base = kt_addr(place);
		struct kmho_record_info info;

		if (kt_info(kt_key(place), &info))
			continue;
		there++;
		must(info.present == (CALLED_PAGES - 1) * kt_page);
		must(!kt_takeover(kt_key(place), base, CALLED_PAGES));
		must(!kt_exists(kt_key(place)));
		must(kt_same(base, 1, CALLED_PAGES - 2,
			     SEED(place) + kt_head_of(place)->completed));
		must(!kt_held_pages(base + (CALLED_PAGES - 1) * kt_page, 1));
	}
	printf("# %lu of %d were there, each as a whole\n", there, NR_CALLERS);
}

#define CASE(title, name)	{ title, .before = name##_before, .after = name##_after }

static const struct kt_case cases[] = {
	CASE("a write after the handover", present),
	CASE("a hole written after the handover", holes),
	CASE("a hole written by another thread at the last moment", last_hole),
	CASE("no write of a thread that never stops is lost", ring),
	CASE("nor of eight, into pages and holes", threads),
	CASE("nor of four, into holes of 64 records", records),
	CASE("nor of a process that is killed", killed),
	CASE("fork after the handover: the parent's view", fork_after),
	CASE("fork before the handover: the parent's view", fork_before),
	CASE("parent and child hand over the same pages", fork_both),
	CASE("fork, again and again until the end", fork_last),
	CASE("process_vm_writev, ptrace, /proc/pid/mem", others),
	CASE("process_vm_writev until the last moment", others_last),
	CASE("what system calls read into it", syscalls),
	CASE("O_DIRECT", direct),
	CASE("O_DIRECT until the last moment", direct_last),
	CASE("io_uring, buffers registered before", uring),
	CASE("io_uring until the last moment", uring_last),
	CASE("mprotect after the handover", protect),
	CASE("a huge page split after the handover", thp_split),
	CASE("huge pages written after the handover", thp_fill),
	CASE("huge pages written until the last moment", thp_last),
	CASE("MADV_COLLAPSE after the handover", collapse),
	CASE("swapped out after the handover", pageout),
	CASE("swapped out and in until the last moment", pageout_last),
	CASE("compaction until the last moment", compact),
	CASE("in the middle of calls, all of a record is there, or nothing", calls),
};

int main(int argc, char **argv)
{
	kt_program = 4;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
