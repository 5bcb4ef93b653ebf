// SPDX-License-Identifier: GPL-2.0-only
/*
 * H8, H3, H5, H9: shared memory over a kexec. Anonymous, memfd and System V memory
 * comes back as what it was, with its holes and what was written to it up to
 * the kexec, by whomever and however; and those who shared it share it again.
 */
#include "kmho_test.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE	1
#define FALLOC_FL_PUNCH_HOLE	2
#endif

enum {
	ANON,
	MEMFD,
	SYSV,
	TWO_A,
	TWO_B,
	TWO_ANON_A,
	TWO_ANON_B,
	TWO_SYSV_A,
	TWO_SYSV_B,
	ONLY_B,
	WRITTEN,
	LAST_HOLE,
	LAST_WRITE,
	SHRUNK,
	PUNCHED,
	SWAPPED,
	HUGE,
	SPLIT_HUGE,
	PARTIAL,
	UNTAKEN_A,
	UNTAKEN_B,
	RELAY,
	RELAY_NEXT,
	SPARSE,
	READ_ONLY,
	SEALED,
	MIXED,
	SCATTERED,
	OVERLAP_A,
	OVERLAP_B,
	BEHIND,
	FROZEN_A,
	FROZEN_B,
	FROZEN_LIVE,
	FROZEN_MIXED,
	FROZEN_SYSV,
	ORDINARY,
	DROPPED,
	OTHER,		/* a second mapping of the same memory */
	TO = 64,
};

#define SEED(place)	(0x5115eULL + (place))

static void share(unsigned long place, unsigned long nr, int prot, int fd)
{
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	must(mmap(kt_ptr(kt_addr(place)), nr * kt_page, prot, flags, fd, 0) ==
	     kt_ptr(kt_addr(place)));
}

static int new_memfd(const char *name, unsigned long nr, unsigned int flags)
{
	int fd = memfd_create(name, flags);

	must(fd >= 0);
	must(!ftruncate(fd, nr * kt_page));
	return fd;
}

static void give(unsigned long place, unsigned long nr)
{
	must(!kt_handover(kt_key(place), kt_addr(place), nr));
}

static void take(unsigned long place, unsigned long nr)
{
	must(!kt_takeover(kt_key(place), kt_addr(place), nr));
	must(kt_perms(kt_addr(place), "rw-s"));
	must(!kt_exists(kt_key(place)));
}

/* Holes are holes: so many pages and no more came */
static void must_have(unsigned long place, unsigned long nr)
{
	struct kmho_record_info info;

	must(!kt_info(kt_key(place), &info));
	if (info.present == nr * kt_page)
		return;
	printf("# %lu pages are present, not %lu\n", (unsigned long)(info.present / kt_page), nr);
	must(info.present == nr * kt_page);
}

/* The file behind a mapping, opened by way of /proc; needs root */
static int open_mapped(unsigned long addr, unsigned long nr)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", addr, addr + nr * kt_page);
	fd = open(path, O_RDWR);
	must(fd >= 0);
	return fd;
}

/* ---- the kinds ---- */

static void anon_before(void)
{
	unsigned long base = kt_addr(ANON);

	share(ANON, 2048, PROT_READ | PROT_WRITE, -1);
	kt_fill(base, 0, 100, SEED(ANON));
	give(ANON, 2048);
	/* a page that was there; holes beside it and in a block that had nothing */
	kt_fill(base, 10, 5, SEED(ANON) + 99);
	kt_fill(base, 100, 50, SEED(ANON));
	kt_fill(base, 1500, 3, SEED(ANON));
	kt_stay();
}

static void anon_after(void)
{
	unsigned long base = kt_addr(ANON);
	struct kmho_range_info info;

	must(kt_ranges(kt_key(ANON), &info, 1) == 1);
	must(info.kind == KMHO_KIND_SHMEM && info.length == 2048 * kt_page);
	must_have(ANON, 153);
	take(ANON, 2048);
	must(kt_same(base, 0, 10, SEED(ANON)));
	must(kt_same(base, 10, 5, SEED(ANON) + 99));
	must(kt_same(base, 15, 135, SEED(ANON)));
	must(kt_same(base, 1500, 3, SEED(ANON)));
	must(kt_zero(base, 150, 1350));
	must(kt_zero(base, 1503, 545));
	/* and goes on being memory that a child shares */
	if (!kt_fork()) {
		kt_fill(base, 700, 1, SEED(ANON));
		_exit(0);
	}
	must(wait(NULL) > 0);
	must(kt_same(base, 700, 1, SEED(ANON)));
}

static void memfd_before(void)
{
	int fd = new_memfd("kept", 64, 0);

	share(MEMFD, 64, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(MEMFD), 0, 32, SEED(MEMFD));
	must(!fchmod(fd, 0640));
	must(!fchown(fd, KT_USER, KT_OTHER));
	must(!ftruncate(fd, 63 * kt_page + 123));
	give(MEMFD, 64);
	close(fd);
	kt_stay();
}

static void memfd_after(void)
{
	unsigned long base = kt_addr(MEMFD);
	char link[80], path[80];
	struct stat st;
	ssize_t len;
	int fd;

	must_have(MEMFD, 32);
	take(MEMFD, 64);
	must(kt_same(base, 0, 32, SEED(MEMFD)));
	kt_need_root();
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", base, base + 64 * kt_page);
	len = readlink(path, link, sizeof(link) - 1);
	must(len > 0);
	link[len] = 0;
	must(!strcmp(link, "/memfd:kept (deleted)"));
	fd = open_mapped(base, 64);
	must(!fstat(fd, &st));
	must(st.st_size == (off_t)(63 * kt_page + 123));
	must(st.st_blocks == (blkcnt_t)(32 * kt_page / 512));
	must((st.st_mode & 07777) == 0640 && st.st_uid == KT_USER && st.st_gid == KT_OTHER);
	/* a descriptor and the mapping are of one file */
	must(pwrite(fd, "kmho", 4, 40 * kt_page) == 4);
	must(!memcmp(kt_ptr(base + 40 * kt_page), "kmho", 4));
	must(lseek(fd, 50 * kt_page, SEEK_DATA) == -1 && errno == ENXIO);
}

static void sysv_before(void)
{
	int id = shmget(IPC_PRIVATE, 64 * kt_page, IPC_CREAT | 0600);

	if (id < 0)
		kt_skip("no System V shared memory: %s", strerror(errno));
	must(shmat(id, kt_ptr(kt_addr(SYSV)), 0) == kt_ptr(kt_addr(SYSV)));
	must(!shmctl(id, IPC_RMID, NULL));
	kt_fill(kt_addr(SYSV), 0, 16, SEED(SYSV));
	give(SYSV, 64);
	kt_fill(kt_addr(SYSV), 20, 1, SEED(SYSV));
	kt_stay();
}

static void sysv_after(void)
{
	must_have(SYSV, 17);
	take(SYSV, 64);
	must(kt_same(kt_addr(SYSV), 0, 16, SEED(SYSV)));
	must(kt_zero(kt_addr(SYSV), 16, 4));
	must(kt_same(kt_addr(SYSV), 20, 1, SEED(SYSV)));
}

/* ---- several processes ---- */

#define NR_TWO	128

static void map_at(int fd, unsigned long place, unsigned long nr)
{
	share(place, nr, PROT_READ | PROT_WRITE, fd);
	give(place, nr);
}

static __noreturn void linger(void)
{
	kt_quiet();
	while (true)
		pause();
}

/* What is mapped at the place @a is there in a child too, at @b; each hands over its own */
static void two_give(unsigned long a, unsigned long b)
{
	unsigned long len = NR_TWO * kt_page;
	int pipes[2];

	must(!pipe(pipes));
	if (!kt_fork()) {
		must(mremap(kt_ptr(kt_addr(a)), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			    kt_ptr(kt_addr(b))) == kt_ptr(kt_addr(b)));
		give(b, NR_TWO);
		kt_fill(kt_addr(b), 0, 64, SEED(a));
		kt_tell(pipes[1]);
		linger();
	}
	give(a, NR_TWO);
	kt_hear(pipes[0]);
	kt_fill(kt_addr(a), 64, 10, SEED(a));
	must(kt_same(kt_addr(a), 0, 74, SEED(a)));
	kt_stay();
}

static void two_take(unsigned long a, unsigned long b)
{
	int pipes[2], back[2];
	pid_t pid;

	must(!pipe(pipes) && !pipe(back));
	must_have(a, 74);
	must_have(b, 74);
	pid = kt_fork();
	if (!pid) {
		take(b, NR_TWO);
		must(kt_same(kt_addr(b), 0, 74, SEED(a)));
		kt_fill(kt_addr(b), 100, 1, SEED(b));
		kt_tell(pipes[1]);
		kt_hear(back[0]);
		must(kt_same(kt_addr(b), 101, 1, SEED(a)));
		_exit(0);
	}
	take(a, NR_TWO);
	kt_hear(pipes[0]);
	must(kt_same(kt_addr(a), 0, 74, SEED(a)));
	must(kt_same(kt_addr(a), 100, 1, SEED(b)));
	kt_fill(kt_addr(a), 101, 1, SEED(a));
	kt_tell(back[1]);
	must(kt_wait(pid) == 0);
}

static void two_before(void)
{
	share(TWO_A, NR_TWO, PROT_READ | PROT_WRITE, new_memfd("two", NR_TWO, 0));
	two_give(TWO_A, TWO_B);
}

static void two_after(void)
{
	two_take(TWO_A, TWO_B);
}

static void two_anon_before(void)
{
	share(TWO_ANON_A, NR_TWO, PROT_READ | PROT_WRITE, -1);
	two_give(TWO_ANON_A, TWO_ANON_B);
}

static void two_anon_after(void)
{
	two_take(TWO_ANON_A, TWO_ANON_B);
}

/* A segment that nobody has removed, attached twice */
static void two_sysv_before(void)
{
	int id = shmget(IPC_PRIVATE, NR_TWO * kt_page, IPC_CREAT | 0600);

	if (id < 0)
		kt_skip("no System V shared memory: %s", strerror(errno));
	must(shmat(id, kt_ptr(kt_addr(TWO_SYSV_A)), 0) == kt_ptr(kt_addr(TWO_SYSV_A)));
	two_give(TWO_SYSV_A, TWO_SYSV_B);
}

static void two_sysv_after(void)
{
	two_take(TWO_SYSV_A, TWO_SYSV_B);
}

/* Parts that overlap, in two processes: each page once, and right for both */
static void overlap_before(void)
{
	int fd = new_memfd("overlap", 1024, 0), pipes[2];

	must(!pipe(pipes));
	if (!kt_fork()) {
		share(OVERLAP_B, 1024, PROT_READ | PROT_WRITE, fd);
		must(!kt_handover(kt_key(OVERLAP_B), kt_addr(OVERLAP_B) + 300 * kt_page, 724));
		kt_tell(pipes[1]);
		linger();
	}
	share(OVERLAP_A, 1024, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(OVERLAP_A), 0, 800, SEED(OVERLAP_A));
	must(!kt_handover(kt_key(OVERLAP_A), kt_addr(OVERLAP_A), 600));
	kt_hear(pipes[0]);
	kt_stay();
}

static void overlap_after(void)
{
	unsigned long a = kt_addr(OVERLAP_A), b = kt_addr(OVERLAP_B) + 300 * kt_page;

	must_have(OVERLAP_A, 600);
	must_have(OVERLAP_B, 500);
	must(!kt_takeover(kt_key(OVERLAP_A), a, 600));
	must(kt_same(a, 0, 600, SEED(OVERLAP_A)));
	kt_fill(a, 400, 1, SEED(OVERLAP_B));
	/* the other record is as it was, and has what was written meanwhile */
	must_have(OVERLAP_B, 500);
	must(!kt_takeover(kt_key(OVERLAP_B), b, 724));
	must(kt_same_from(b, 0, 100, SEED(OVERLAP_A), 300));
	must(kt_same_from(b, 100, 1, SEED(OVERLAP_B), 400));
	must(kt_same_from(b, 101, 399, SEED(OVERLAP_A), 401));
	must(kt_zero(b, 500, 224));
}

/* The one that handed over is killed; the other goes on */
static void only_b_before(void)
{
	int fd = new_memfd("only", 128, 0), pipes[2];
	pid_t pid;

	must(!pipe(pipes));
	pid = kt_fork();
	if (!pid) {
		map_at(fd, ONLY_B, 128);
		kt_fill(kt_addr(ONLY_B), 0, 10, SEED(ONLY_B));
		kt_tell(pipes[1]);
		linger();
	}
	kt_hear(pipes[0]);
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	share(OTHER, 128, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(OTHER), 10, 20, SEED(ONLY_B));
	kt_stay();
}

static void only_b_after(void)
{
	must_have(ONLY_B, 30);
	take(ONLY_B, 128);
	must(kt_same(kt_addr(ONLY_B), 0, 30, SEED(ONLY_B)));
}

/* ---- what is written after HANDOVER ---- */

static void written_before(void)
{
	int fd = new_memfd("written", 2048, 0);
	__u64 page[512];

	share(WRITTEN, 2048, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(WRITTEN), 0, 4, SEED(WRITTEN));
	give(WRITTEN, 2048);

	/* by another mapping, to a page and to holes */
	share(OTHER, 2048, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(OTHER), 1, 1, SEED(WRITTEN) + 1);
	kt_fill(kt_addr(OTHER), 1024, 2, SEED(WRITTEN));
	/* by write(2), to a page and to a hole */
	memset(page, 0x77, sizeof(page));
	must(pwrite(fd, page, 64, 2 * kt_page) == 64);
	must(pwrite(fd, page, 64, 600 * kt_page + 64) == 64);
	/* by fallocate(2): pages that nobody has written to read as zeros */
	must(!fallocate(fd, 0, 700 * kt_page, 3 * kt_page));
	kt_fill(kt_addr(OTHER), 701, 1, SEED(WRITTEN));
	kt_stay();
}

static void written_after(void)
{
	unsigned long base = kt_addr(WRITTEN), i;
	unsigned char *byte;

	must_have(WRITTEN, 4 + 2 + 1 + 3);
	take(WRITTEN, 2048);
	must(kt_same(base, 0, 1, SEED(WRITTEN)));
	must(kt_same(base, 1, 1, SEED(WRITTEN) + 1));
	must(kt_same(base, 3, 1, SEED(WRITTEN)));
	must(kt_same(base, 1024, 2, SEED(WRITTEN)));
	byte = kt_ptr(base + 2 * kt_page);
	for (i = 0; i < 64; i++)
		must(byte[i] == 0x77);
	must(*(__u64 *)(byte + 64) == kt_word(SEED(WRITTEN), 2 * kt_page / 8 + 8));
	byte = kt_ptr(base + 600 * kt_page);
	for (i = 0; i < kt_page; i++)
		must(byte[i] == (i >= 64 && i < 128 ? 0x77 : 0));
	must(kt_zero(base, 700, 1));
	must(kt_same(base, 701, 1, SEED(WRITTEN)));
	must(kt_zero(base, 702, 1));
}

/* So many that the kexec comes before they are all filled */
#define LAST_PAGES	32768

/*
 * Until the last moment, by a process that has handed nothing over. Page 0
 * has the head that counts the holes that have been filled.
 */
static void last_before(unsigned long place, bool by_call)
{
	int fd = new_memfd("last", LAST_PAGES, 0);
	unsigned long n, i;
	struct kt_head *head = kt_head_of(place);
	__u64 page[512];

	share(place, LAST_PAGES, PROT_READ | PROT_WRITE, fd);
	give(place, LAST_PAGES);
	if (!kt_fork()) {
		kt_quiet();
		kt_heed_bus(head);
		share(OTHER, LAST_PAGES, PROT_READ | PROT_WRITE, fd);
		for (n = 1; n < LAST_PAGES; n++) {
			if (!by_call) {
				kt_fill(kt_addr(OTHER), n, 1, SEED(place));
			} else {
				for (i = 0; i < kt_page / 8; i++)
					page[i] = kt_word(SEED(place), n * kt_page / 8 + i);
				if (pwrite(fd, page, kt_page, n * kt_page) != (ssize_t)kt_page)
					head->failed = n;
			}
			kt_complete(head, n);
			kt_pace(n);
		}
		linger();
	}
	kt_wait_for_writes(place, 10);
	kt_stay();
}

static void last_after(unsigned long place)
{
	unsigned long base = kt_addr(place);
	struct kmho_record_info info;
	__u64 done;

	must(!kt_info(kt_key(place), &info));
	take(place, LAST_PAGES);
	done = kt_show_completed(place, "holes were filled");
	must(done >= 10 && done < LAST_PAGES - 1);
	must(kt_same(base, 1, done, SEED(place)));
	/* one more may have been in the making */
	must(info.present / kt_page - 1 - done <= 1);
}

static void last_hole_before(void)
{
	last_before(LAST_HOLE, false);
}

static void last_hole_after(void)
{
	last_after(LAST_HOLE);
}

static void last_write_before(void)
{
	last_before(LAST_WRITE, true);
}

static void last_write_after(void)
{
	last_after(LAST_WRITE);
}

/* ---- what is taken away after HANDOVER ---- */

static void shrunk_before(void)
{
	int fd = new_memfd("shrunk", 2048, 0);

	share(SHRUNK, 2048, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(SHRUNK), 0, 2048, SEED(SHRUNK));
	give(SHRUNK, 2048);
	must(!ftruncate(fd, 700 * kt_page + 8));
	must(!ftruncate(fd, 3000 * kt_page));
	kt_fill(kt_addr(SHRUNK), 1900, 2, SEED(SHRUNK));
	kt_stay();
}

static void shrunk_after(void)
{
	unsigned long base = kt_addr(SHRUNK);
	struct stat st;
	__u64 *words;

	must_have(SHRUNK, 703);
	take(SHRUNK, 2048);
	must(kt_same(base, 0, 700, SEED(SHRUNK)));
	words = kt_ptr(base + 700 * kt_page);
	must(words[0] == kt_word(SEED(SHRUNK), 700 * kt_page / 8) && !words[1]);
	must(kt_zero(base, 701, 1199));
	must(kt_same(base, 1900, 2, SEED(SHRUNK)));
	must(kt_zero(base, 1902, 146));
	kt_need_root();
	must(!fstat(open_mapped(base, 2048), &st));
	must(st.st_size == (off_t)(3000 * kt_page));
}

static void punched_before(void)
{
	int fd = new_memfd("punched", 2048, 0);

	share(PUNCHED, 2048, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(PUNCHED), 0, 2048, SEED(PUNCHED));
	give(PUNCHED, 2048);
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * kt_page,
			1000 * kt_page));
	kt_fill(kt_addr(PUNCHED), 600, 1, SEED(PUNCHED) + 1);
	kt_stay();
}

static void punched_after(void)
{
	unsigned long base = kt_addr(PUNCHED);

	must_have(PUNCHED, 1049);
	take(PUNCHED, 2048);
	must(kt_same(base, 0, 100, SEED(PUNCHED)));
	must(kt_zero(base, 100, 500));
	must(kt_same(base, 600, 1, SEED(PUNCHED) + 1));
	must(kt_zero(base, 601, 499));
	must(kt_same(base, 1100, 948, SEED(PUNCHED)));
}

/* ---- swap and huge pages ---- */

static void swapped_before(void)
{
	unsigned long base = kt_addr(SWAPPED);

	kt_need_swap();
	share(SWAPPED, 512, PROT_READ | PROT_WRITE, -1);
	kt_fill(base, 0, 256, SEED(SWAPPED));
	must(kt_pageout_shared(base, 512, 0, 256) > 0);
	give(SWAPPED, 512);
	/* what came later can still go out, until the kexec brings it in */
	kt_fill(base, 300, 50, SEED(SWAPPED));
	must(kt_pageout_shared(base, 512, 300, 50) > 0);
	kt_stay();
}

static void swapped_after(void)
{
	unsigned long base = kt_addr(SWAPPED);

	must_have(SWAPPED, 306);
	take(SWAPPED, 512);
	must(kt_same(base, 0, 256, SEED(SWAPPED)));
	must(kt_zero(base, 256, 44));
	must(kt_same(base, 300, 50, SEED(SWAPPED)));
}

/* Enters a memory cgroup, so that what it has can be reclaimed */
static void enter_cgroup(const char *dir)
{
	char path[128], pid[16];

	mkdir("/tmp/cgroup", 0700);
	if (mount("none", "/tmp/cgroup", "cgroup2", 0, NULL) && errno != EBUSY)
		kt_skip("no cgroup2: %s", strerror(errno));
	if (!kt_write_file("/tmp/cgroup/cgroup.subtree_control", "+memory"))
		kt_skip("no memory controller: %s", strerror(errno));
	must(!mkdir(dir, 0700));
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	snprintf(pid, sizeof(pid), "%d", getpid());
	must(kt_write_file(path, pid));
}

/*
 * Allocated behind the end of the file, swapped out unused, and written to when
 * the file has grown: coming back from swap is not what brings the page.
 */
static void behind_before(void)
{
	unsigned long base = kt_addr(BEHIND);
	int fd = new_memfd("behind", 8, 0), tries;
	char buf[32];

	kt_need_root();
	kt_need_swap();
	enter_cgroup("/tmp/cgroup/behind");
	share(BEHIND, 64, PROT_READ | PROT_WRITE, fd);
	must(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 8 * kt_page, 56 * kt_page));
	for (tries = 0; tries < 20; tries++) {
		kt_write_file("/tmp/cgroup/behind/memory.reclaim", "1M");
		must(kt_read_file("/tmp/cgroup/behind/memory.swap.current", buf, sizeof(buf)));
		if (strtoul(buf, NULL, 10) >= 56 * kt_page)
			break;
		usleep(10000);
	}
	must(tries < 20);
	kt_fill(base, 0, 4, SEED(BEHIND));
	give(BEHIND, 64);
	must(!ftruncate(fd, 64 * kt_page));
	kt_fill(base, 20, 4, SEED(BEHIND));
	kt_stay();
}

static void behind_after(void)
{
	unsigned long base = kt_addr(BEHIND);

	take(BEHIND, 64);
	must(kt_same(base, 0, 4, SEED(BEHIND)));
	must(kt_zero(base, 4, 16));
	must(kt_same(base, 20, 4, SEED(BEHIND)));
	must(kt_zero(base, 24, 40));
}

static void share_huge(unsigned long place, unsigned long nr)
{
	kt_need_thp();
	must(kt_write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise"));
	share(place, nr, PROT_READ | PROT_WRITE, -1);
	must(!madvise(kt_ptr(kt_addr(place)), nr * kt_page, MADV_HUGEPAGE));
}

static void huge_before(void)
{
	unsigned long size = kt_need_thp(), nr = 4 * size / kt_page;
	unsigned long base = kt_addr(HUGE);

	share_huge(HUGE, nr);
	kt_fill(base, 0, nr / 2, SEED(HUGE));
	must(kt_smaps(base, nr * kt_page, "ShmemPmdMapped") == (long)(2 * size / 1024));
	give(HUGE, nr);
	kt_fill(base, nr / 2, nr / 4, SEED(HUGE));
	kt_stay();
}

static void huge_after(void)
{
	unsigned long size = kt_need_thp(), nr = 4 * size / kt_page;
	unsigned long base = kt_addr(HUGE);

	must_have(HUGE, nr / 4 * 3);
	take(HUGE, nr);
	must(kt_same(base, 0, nr / 4 * 3, SEED(HUGE)));
	must(kt_smaps(base, nr * kt_page, "ShmemPmdMapped") == (long)(3 * size / 1024));
}

/* A part of huge pages is handed over, and of that a part is taken */
static void split_huge_before(void)
{
	unsigned long nr = 4 * kt_need_thp() / kt_page;
	unsigned long base = kt_addr(SPLIT_HUGE);

	share_huge(SPLIT_HUGE, nr);
	kt_fill(base, 0, nr, SEED(SPLIT_HUGE));
	must(!kt_handover(kt_key(SPLIT_HUGE), base + 100 * kt_page, nr - 200));
	kt_stay();
}

static void split_huge_after(void)
{
	unsigned long nr = 4 * kt_need_thp() / kt_page;
	unsigned long base = kt_addr(SPLIT_HUGE);

	must_have(SPLIT_HUGE, nr - 200);
	must(!kt_takeover(kt_key(SPLIT_HUGE), base + 150 * kt_page, nr / 2));
	must(kt_same(base, 150, nr / 2, SEED(SPLIT_HUGE)));
	must_have(SPLIT_HUGE, nr / 2 - 200);
	must(!kt_takeover(kt_key(SPLIT_HUGE), base + 100 * kt_page, 50));
	must(kt_same(base, 100, 50, SEED(SPLIT_HUGE)));
	must(!kt_drop(kt_key(SPLIT_HUGE)));
	must(kt_same(base, 100, nr / 2 + 50, SEED(SPLIT_HUGE)));
}

/* ---- on over the next kexec ---- */

static void partial_before(void)
{
	share(PARTIAL, 1024, PROT_READ | PROT_WRITE, -1);
	kt_fill(kt_addr(PARTIAL), 0, 1000, SEED(PARTIAL));
	give(PARTIAL, 1024);
	kt_stay();
}

static void partial_after(void)
{
	unsigned long base = kt_addr(PARTIAL), remap = 0;

	must(!kt_takeover(kt_key(PARTIAL), base + 200 * kt_page, 400));
	must(kt_same(base, 200, 400, SEED(PARTIAL)));
	must_have(PARTIAL, 600);
	must_refuse(ENOENT, kt_takeover_to(kt_key(PARTIAL), base + 200 * kt_page, 1, &remap));
	kt_stay();
}

static void partial_again(void)
{
	unsigned long base = kt_addr(PARTIAL);
	struct kmho_range_info info[3];

	must_have(PARTIAL, 600);
	must(kt_ranges(kt_key(PARTIAL), info, 3) == 2);
	must(info[0].base == base && info[0].length == 200 * kt_page);
	must(info[1].base == base + 600 * kt_page && info[1].length == 424 * kt_page);
	must(!kt_takeover(kt_key(PARTIAL), base + 600 * kt_page, 424));
	must(kt_same(base, 600, 400, SEED(PARTIAL)));
	must(kt_zero(base, 1000, 24));
	must(!kt_takeover(kt_key(PARTIAL), base, 200));
	must(kt_same(base, 0, 200, SEED(PARTIAL)));
	must(!kt_exists(kt_key(PARTIAL)));
}

/* Nobody takes it; two processes share it again two kernels later */
static void untaken_before(void)
{
	int fd = new_memfd("untaken", 64, 0), pipes[2];

	must(!pipe(pipes));
	if (!kt_fork()) {
		map_at(fd, UNTAKEN_B, 64);
		kt_tell(pipes[1]);
		linger();
	}
	map_at(fd, UNTAKEN_A, 64);
	kt_hear(pipes[0]);
	kt_fill(kt_addr(UNTAKEN_A), 0, 40, SEED(UNTAKEN_A));
	kt_stay();
}

static void untaken_after(void)
{
	must_have(UNTAKEN_A, 40);
	must_have(UNTAKEN_B, 40);
}

static void untaken_again(void)
{
	must_have(UNTAKEN_A, 40);
	take(UNTAKEN_A, 64);
	must(kt_same(kt_addr(UNTAKEN_A), 0, 40, SEED(UNTAKEN_A)));
	take(UNTAKEN_B, 64);
	kt_fill(kt_addr(UNTAKEN_B), 50, 1, SEED(UNTAKEN_B));
	must(kt_same(kt_addr(UNTAKEN_A), 50, 1, SEED(UNTAKEN_B)));
}

/* Taken over, and handed over again */
static void relay_before(void)
{
	share(RELAY, 64, PROT_READ | PROT_WRITE, -1);
	kt_fill(kt_addr(RELAY), 0, 8, SEED(RELAY));
	give(RELAY, 64);
	kt_stay();
}

static void relay_after(void)
{
	take(RELAY, 64);
	must(kt_same(kt_addr(RELAY), 0, 8, SEED(RELAY)));
	must(!kt_handover(kt_key(RELAY_NEXT), kt_addr(RELAY), 64));
	kt_fill(kt_addr(RELAY), 8, 8, SEED(RELAY));
	kt_stay();
}

static void relay_again(void)
{
	must_have(RELAY_NEXT, 16);
	must(!kt_takeover(kt_key(RELAY_NEXT), kt_addr(RELAY), 64));
	must(kt_same(kt_addr(RELAY), 0, 16, SEED(RELAY)));
}

/* ---- size, rights, neighbours ---- */

#define TIB	(1024UL << 30)

static void sparse_map(void)
{
	int fd = new_memfd("sparse", TIB / kt_page, 0);
	void *p = mmap(NULL, TIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	unsigned long base = (unsigned long)p, i;
	__u64 started;

	must(p != MAP_FAILED);
	for (i = 0; i < 16; i++)
		kt_fill(base + i * (TIB / 16), 0, 64, SEED(SPARSE) + i);
	started = kt_now_ns();
	must(!kt_handover(kt_key(SPARSE), base, TIB / kt_page));
	printf("# handed over in %llu us\n", (unsigned long long)(kt_now_ns() - started) / 1000);
	must_have(SPARSE, 16 * 64);
}

static void sparse_before(void)
{
	sparse_map();
	kt_stay();
}

static void sparse_after(void)
{
	struct kmho_range_info info;
	unsigned long base = 0, i, old;

	must_have(SPARSE, 16 * 64);
	must(kt_ranges(kt_key(SPARSE), &info, 1) == 1);
	old = info.base;
	must(!kt_takeover_to(kt_key(SPARSE), old, TIB / kt_page, &base));
	for (i = 0; i < 16; i++)
		must(kt_same(base + i * (TIB / 16), 0, 64, SEED(SPARSE) + i));
	must(kt_zero(base + TIB / 32, 0, 4));
}

static void read_only_before(void)
{
	int fd = new_memfd("read", 16, 0), ro;
	char path[40];

	share(OTHER, 16, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(OTHER), 0, 16, SEED(READ_ONLY));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	must(ro >= 0);
	share(READ_ONLY, 16, PROT_READ, ro);
	give(READ_ONLY, 16);
	kt_stay();
}

static void read_only_after(void)
{
	unsigned long base = kt_addr(READ_ONLY);

	must(!kt_takeover(kt_key(READ_ONLY), base, 16));
	must(kt_perms(base, "r--s"));
	must(kt_same(base, 0, 16, SEED(READ_ONLY)));
	must_fail(EACCES, mprotect(kt_ptr(base), kt_page, PROT_READ | PROT_WRITE));
}

#ifndef F_ADD_SEALS
#define F_ADD_SEALS	1033
#define F_GET_SEALS	1034
#define F_SEAL_SHRINK	2
#define F_SEAL_GROW	4
#endif

static void sealed_before(void)
{
	int fd = new_memfd("sealed", 16, 2 /* MFD_ALLOW_SEALING */);

	share(SEALED, 16, PROT_READ | PROT_WRITE, fd);
	kt_fill(kt_addr(SEALED), 0, 16, SEED(SEALED));
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	give(SEALED, 16);
	kt_stay();
}

static void sealed_after(void)
{
	int fd;

	kt_need_root();
	take(SEALED, 16);
	must(kt_same(kt_addr(SEALED), 0, 16, SEED(SEALED)));
	fd = open_mapped(kt_addr(SEALED), 16);
	must(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW));
	must_fail(EPERM, ftruncate(fd, kt_page));
}

/* Private, shared, private memory, in one range */
static void mixed_before(void)
{
	unsigned long base = kt_addr(MIXED);

	kt_map(base, 3);
	kt_map_shared(base + 3 * kt_page, 3, -1);
	kt_map(base + 6 * kt_page, 3);
	kt_fill(base, 1, 7, SEED(MIXED));
	give(MIXED, 9);
	kt_fill(base, 0, 1, SEED(MIXED));
	kt_fill(base, 4, 1, SEED(MIXED) + 1);
	kt_stay();
}

static void mixed_after(void)
{
	unsigned long base = kt_addr(MIXED);

	must_have(MIXED, 8);
	must(!kt_takeover(kt_key(MIXED), base, 9));
	must(kt_perms(base, "rw-p") && kt_perms(base + 3 * kt_page, "rw-s"));
	must(kt_perms(base + 6 * kt_page, "rw-p"));
	must(kt_same(base, 0, 4, SEED(MIXED)));
	must(kt_same(base, 4, 1, SEED(MIXED) + 1));
	must(kt_same(base, 5, 3, SEED(MIXED)));
	must(kt_zero(base, 8, 1));
}

/* One record has the same memory at two addresses, and out of order */
static void scattered_before(void)
{
	unsigned long base = kt_addr(SCATTERED), i;
	int fd = new_memfd("scattered", 64, 0);

	for (i = 0; i < 64; i++)
		must(mmap(kt_ptr(base + i * kt_page), kt_page, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (63 - i) / 2 * kt_page) !=
		     MAP_FAILED);
	give(SCATTERED, 64);
	for (i = 0; i < 64; i += 2)
		kt_fill(base, i, 1, SEED(SCATTERED));
	kt_stay();
}

static void scattered_after(void)
{
	unsigned long base = kt_addr(SCATTERED), i;

	must(!kt_takeover(kt_key(SCATTERED), base, 64));
	for (i = 0; i < 64; i += 2) {
		must(kt_same(base, i, 1, SEED(SCATTERED)));
		must(kt_same_from(base, i + 1, 1, SEED(SCATTERED), i));
	}
	kt_fill(base, 1, 1, SEED(SCATTERED));
	must(kt_same_from(base, 0, 1, SEED(SCATTERED), 1));
}

/* ---- frozen ---- */

/*
 * A process of which each part is frozen while it is stopped, as a checkpointer
 * does it; a third record of the same memory goes on
 */
static void frozen_before(void)
{
	static const unsigned long places[] = { FROZEN_B, FROZEN_LIVE };
	unsigned long base = kt_addr(FROZEN_A), i;
	int fd = new_memfd("frozen", 1024, 0), pipes[2];
	pid_t pid[2];

	must(!pipe(pipes));
	share(FROZEN_A, 1024, PROT_READ | PROT_WRITE, fd);
	kt_fill(base, 0, 600, SEED(FROZEN_A));
	for (i = 0; i < 2; i++) {
		pid[i] = kt_fork();
		if (!pid[i]) {
			map_at(fd, places[i], 1024);
			kt_tell(pipes[1]);
			linger();
		}
		kt_hear(pipes[0]);
		must(!kill(pid[i], SIGSTOP));
		must(waitpid(pid[i], NULL, WUNTRACED) == pid[i]);
	}
	give(FROZEN_A, 800);
	kt_fill(base, 700, 1, SEED(FROZEN_A));
	must(!kt_freeze(kt_key(FROZEN_A)) && !kt_freeze(kt_key(FROZEN_B)));
	must(!kill(pid[0], SIGKILL));
	kt_fill(base, 0, 1024, SEED(FROZEN_LIVE));
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * kt_page,
			100 * kt_page));
	must(!ftruncate(fd, 900 * kt_page));
	kt_stay();
}

static void frozen_again(void)
{
	unsigned long a = kt_addr(FROZEN_A), b = kt_addr(FROZEN_B), live = kt_addr(FROZEN_LIVE);
	struct stat st;
	int fd;

	must_have(FROZEN_A, 601);
	must_have(FROZEN_B, 601);
	must_have(FROZEN_LIVE, 800);
	take(FROZEN_B, 1024);
	take(FROZEN_A, 800);
	take(FROZEN_LIVE, 1024);
	must(kt_same(a, 0, 600, SEED(FROZEN_A)) && kt_same(a, 700, 1, SEED(FROZEN_A)));
	must(kt_zero(a, 600, 100) && kt_zero(b, 701, 323));
	must(kt_same(b, 0, 600, SEED(FROZEN_A)));
	must(kt_same(live, 0, 100, SEED(FROZEN_LIVE)) && kt_zero(live, 100, 100));
	must(kt_same(live, 200, 700, SEED(FROZEN_LIVE)));
	/* the two share a file as large as it was; the third has one of its own */
	kt_fill(a, 650, 1, SEED(OTHER));
	must(kt_same(b, 650, 1, SEED(OTHER)));
	must(kt_same(live, 650, 1, SEED(FROZEN_LIVE)));
	if (!kt_is_root())
		return;
	fd = open_mapped(b, 1024);
	must(!fstat(fd, &st) && (unsigned long)st.st_size == 1024 * kt_page);
	close(fd);
	fd = open_mapped(live, 1024);
	must(!fstat(fd, &st) && (unsigned long)st.st_size == 900 * kt_page);
	close(fd);
}

/* Nobody takes it the first time */
static void frozen_after(void)
{
	must_have(FROZEN_A, 601);
	must_have(FROZEN_LIVE, 800);
	must(!kt_freeze(kt_key(FROZEN_A)) && !kt_freeze(kt_key(FROZEN_LIVE)));
}

/* Private and System V memory in one record */
static void frozen_mixed_before(void)
{
	struct kmho_range_handover r[2] = {
		{ kt_addr(FROZEN_MIXED), 64 * kt_page },
		{ kt_addr(FROZEN_SYSV), 64 * kt_page },
	};
	struct kmho_op_handover op = { kt_key(FROZEN_MIXED), 2, r };
	int id = shmget(IPC_PRIVATE, 64 * kt_page, IPC_CREAT | 0600);

	if (id < 0)
		kt_skip("no System V shared memory: %s", strerror(errno));
	must(shmat(id, kt_ptr(kt_addr(FROZEN_SYSV)), 0) == kt_ptr(kt_addr(FROZEN_SYSV)));
	must(!shmctl(id, IPC_RMID, NULL));
	kt_map(kt_addr(FROZEN_MIXED), 64);
	kt_fill(kt_addr(FROZEN_MIXED), 0, 16, SEED(FROZEN_MIXED));
	kt_fill(kt_addr(FROZEN_SYSV), 0, 16, SEED(FROZEN_SYSV));
	must(!kmho(KMHO_HANDOVER, &op));
	kt_fill(kt_addr(FROZEN_MIXED), 20, 1, SEED(FROZEN_MIXED));
	kt_fill(kt_addr(FROZEN_SYSV), 20, 1, SEED(FROZEN_SYSV));
	must(!kt_freeze(kt_key(FROZEN_MIXED)));
	kt_ready();
	/* until the machine goes down, and none of it gets there */
	while (true) {
		kt_fill(kt_addr(FROZEN_MIXED), 0, 64, SEED(OTHER));
		kt_fill(kt_addr(FROZEN_SYSV), 0, 64, SEED(OTHER));
		usleep(1000);
	}
}

static void frozen_mixed_after(void)
{
	unsigned long i, base;

	must_have(FROZEN_MIXED, 34);
	for (i = FROZEN_MIXED; i <= FROZEN_SYSV; i++) {
		base = kt_addr(i);
		must(!kt_takeover(kt_key(FROZEN_MIXED), base, 64));
		must(kt_perms(base, i == FROZEN_SYSV ? "rw-s" : "rw-p"));
		must(kt_same(base, 0, 16, SEED(i)) && kt_same(base, 20, 1, SEED(i)));
		must(kt_zero(base, 16, 4) && kt_zero(base, 21, 43));
	}
	must(!kt_exists(kt_key(FROZEN_MIXED)));
}

/* ---- T4: what was taken over or dropped is free again in the end ---- */

#define NR_FREED	8192

static void give_half(unsigned long place)
{
	share(place, NR_FREED, PROT_READ | PROT_WRITE, -1);
	kt_fill(kt_addr(place), 0, NR_FREED / 2, SEED(place));
	give(place, NR_FREED);
}

/* Most of it, however late; so much is not lost by chance */
static void must_be_freed(long before)
{
	long size = NR_FREED / 2 * kt_page / 1024, now = kt_free_kib();
	unsigned int tries;

	for (tries = 0; now - before < size * 3 / 4 && tries < 50; tries++) {
		usleep(20000);
		now = kt_free_kib();
	}
	printf("# free before: %ld KiB, after: %ld KiB, of %ld KiB\n", before, now, size);
	must(now - before >= size * 3 / 4 - kt_slack_kib());
}

static void ordinary_before(void)
{
	give_half(ORDINARY);
	kt_stay();
}

static void do_ordinary(void *arg)
{
	unsigned long base = kt_addr(ORDINARY), nr = NR_FREED;

	must(!arg);
	take(ORDINARY, nr);
	must(kt_same(base, 0, nr / 2, SEED(ORDINARY)));
	must(kt_smaps(base, nr * kt_page, "Rss") == (long)(nr / 2 * kt_page / 1024));
	if (kt_swap()) {
		must(kt_pageout_shared(base, nr, 0, nr / 8) > 0);
		must(kt_same(base, 0, nr / 2, SEED(ORDINARY)));
	}
	kt_fill(base, nr / 4, nr / 2, SEED(OTHER));
	must(kt_same(base, 0, nr / 4, SEED(ORDINARY)));
	must(kt_same(base, nr / 4, nr / 2, SEED(OTHER)));
}

static void ordinary_after(void)
{
	long before;

	must_have(ORDINARY, NR_FREED / 2);
	before = kt_free_kib();
	kt_run(do_ordinary, NULL);
	must_be_freed(before);
}

static void dropped_before(void)
{
	give_half(DROPPED);
}

static void dropped_after(void)
{
	long before;

	must_have(DROPPED, NR_FREED / 2);
	before = kt_free_kib();
	must(!kt_drop(kt_key(DROPPED)));
	must(!kt_exists(kt_key(DROPPED)));
	must_be_freed(before);
}

static const struct kt_case cases[] = {
	{ "shared anonymous memory survives, with its holes and later writes",
	  .before = anon_before, .after = anon_after },
	{ "a memfd survives, with its name, size, owner and mode",
	  .before = memfd_before, .after = memfd_after },
	{ "System V shared memory survives", .before = sysv_before, .after = sysv_after },
	{ "two processes that shared a memfd share it again",
	  .before = two_before, .after = two_after },
	{ "a child that shared anonymous memory shares it again",
	  .before = two_anon_before, .after = two_anon_after },
	{ "two processes that attached a System V segment share it again",
	  .before = two_sysv_before, .after = two_sysv_after },
	{ "two processes that handed over overlapping parts each get theirs",
	  .before = overlap_before, .after = overlap_after },
	{ "when its owner is killed, shared memory goes on being followed",
	  .before = only_b_before, .after = only_b_after },
	{ "what another mapping, write and fallocate put there after HANDOVER survives",
	  .before = written_before, .after = written_after },
	{ "a hole that another process fills at the last moment survives",
	  .before = last_hole_before, .after = last_hole_after },
	{ "a hole that write fills at the last moment survives",
	  .before = last_write_before, .after = last_write_after },
	{ "truncation after HANDOVER is followed",
	  .before = shrunk_before, .after = shrunk_after },
	{ "a hole punched after HANDOVER is a hole",
	  .before = punched_before, .after = punched_after },
	{ "shared memory that is swapped out survives",
	  .before = swapped_before, .after = swapped_after },
	{ "what was swapped out behind the end of a file survives when it grows",
	  .before = behind_before, .after = behind_after },
	{ "huge pages of shared memory stay huge",
	  .before = huge_before, .after = huge_after },
	{ "parts of huge pages of shared memory survive",
	  .before = split_huge_before, .after = split_huge_after },
	{ "what nobody took of shared memory travels on",
	  .before = partial_before, .after = partial_after, .again = partial_again },
	{ "two records of one memory travel on together",
	  .before = untaken_before, .after = untaken_after, .again = untaken_again },
	{ "shared memory is taken over and handed over again",
	  .before = relay_before, .after = relay_after, .again = relay_again },
	{ "1 TiB of shared memory costs by what is in it",
	  .before = sparse_before, .after = sparse_after },
	{ "shared memory that was opened for reading stays so",
	  .before = read_only_before, .after = read_only_after },
	{ "seals survive", .before = sealed_before, .after = sealed_after },
	{ "private and shared memory survive in one range",
	  .before = mixed_before, .after = mixed_after },
	{ "one page at several addresses is one page again",
	  .before = scattered_before, .after = scattered_after },
	{ "frozen records of one file share it again, a live one goes on",
	  .before = frozen_before, .after = frozen_after, .again = frozen_again },
	{ "private and System V memory frozen in one record",
	  .before = frozen_mixed_before, .after = frozen_mixed_after },
	{ "shared memory that was taken over is ordinary, and free when its process ends",
	  .before = ordinary_before, .after = ordinary_after },
	{ "shared memory that came with a kexec and is dropped is free",
	  .before = dropped_before, .after = dropped_after },
};

int main(int argc, char **argv)
{
	kt_program = 11;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
