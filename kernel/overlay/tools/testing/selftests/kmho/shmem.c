// SPDX-License-Identifier: GPL-2.0-only
/*
 * H5, H7 to H9, T1 to T6, S2: shared memory within one boot. What is refused,
 * what is followed, who pays, what a takeover gives in the kernel in which the
 * memory was handed over, what is frozen, and that nothing is left behind.
 */
#include <linux/liveupdate.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "kmho_test.h"

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE	1
#define FALLOC_FL_PUNCH_HOLE	2
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS	1033
#define F_SEAL_WRITE	8
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	16
#endif
#define KT_ALLOW_SEALING	2

#define SEED	0x5a4edULL

static int new_memfd(unsigned long nr)
{
	int fd = memfd_create("kmho", KT_ALLOW_SEALING);

	must(fd >= 0);
	must(!ftruncate(fd, nr * kt_page));
	return fd;
}

static unsigned long present(unsigned long key)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	return info.present / kt_page;
}

struct shared {
	int fd;
	unsigned long nr;
	unsigned long key;
};

/* Hands over all of a file, filled as far as its half, and ends */
static void do_give(void *arg)
{
	struct shared *s = arg;

	kt_map_shared(kt_addr(0), s->nr, s->fd);
	kt_fill(kt_addr(0), 0, s->nr / 2, SEED);
	must(!kt_handover(s->key, kt_addr(0), s->nr));
}

static void give(int fd, unsigned long nr, unsigned long key)
{
	struct shared s = { fd, nr, key };

	kt_run(do_give, &s);
}

/* ---- H5 ---- */

static void refuses_to_part(void)
{
	unsigned long base = kt_addr(0);

	kt_map_shared(base, 8, -1);
	kt_fill(base, 0, 8, SEED);
	must(!kt_handover(kt_key(0), base, 8));
	must_refuse(EPERM, munmap(kt_ptr(base), kt_page));
	must_refuse(EPERM, mremap(kt_ptr(base), 8 * kt_page, 16 * kt_page, MREMAP_MAYMOVE) ==
			   MAP_FAILED ? -1 : 0);
	must_refuse(EPERM, madvise(kt_ptr(base), kt_page, MADV_REMOVE));
	must(mmap(kt_ptr(base), kt_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		  0) == MAP_FAILED && errno == EPERM);
	must(kt_same(base, 0, 8, SEED));
	must(!kt_drop(kt_key(0)));
	kt_unmap(base, 8);
}

/* The process then drops it, or not */
static void do_detach(void *drops)
{
	int id = shmget(IPC_PRIVATE, 8 * kt_page, IPC_CREAT | 0600);

	must(id >= 0);
	must(shmat(id, kt_ptr(kt_addr(0)), 0) == kt_ptr(kt_addr(0)));
	must(!shmctl(id, IPC_RMID, NULL));
	kt_fill(kt_addr(0), 0, 4, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
	must(!shmdt(kt_ptr(kt_addr(0))));
	kt_fill(kt_addr(0), 4, 2, SEED);
	must(kt_same(kt_addr(0), 0, 6, SEED));
	if (!drops)
		return;
	must(!kt_drop(kt_key(0)));
	must(!shmdt(kt_ptr(kt_addr(0))));
	must(kt_unmapped(kt_addr(0), 8));
}

static void leaves_segment(void)
{
	kt_run(do_detach, (void *)1UL);
	must(!kt_exists(kt_key(0)));
	kt_run(do_detach, NULL);
	must(!kt_takeover(kt_key(0), kt_addr(0), 8));
	must(kt_same(kt_addr(0), 0, 6, SEED) && kt_zero(kt_addr(0), 6, 2));
}

/* Over memory of either kind */
static void refuses_segment(void)
{
	int id = shmget(IPC_PRIVATE, 4 * kt_page, IPC_CREAT | 0600);

	must(id >= 0);
	kt_map_shared(kt_addr(0), 8, -1);
	kt_map(kt_addr(1), 8);
	kt_fill(kt_addr(0), 0, 8, SEED);
	kt_fill(kt_addr(1), 0, 8, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
	must(!kt_handover(kt_key(1), kt_addr(1), 8));
	must_refuse(EPERM, shmat(id, kt_ptr(kt_addr(0)), SHM_REMAP));
	must_refuse(EPERM, shmat(id, kt_ptr(kt_addr(1) + 2 * kt_page), SHM_REMAP));
	must(kt_same(kt_addr(0), 0, 8, SEED) && kt_same(kt_addr(1), 0, 8, SEED));
	must(!kt_drop(kt_key(0)) && !kt_drop(kt_key(1)));
	must(shmat(id, kt_ptr(kt_addr(1)), SHM_REMAP) == kt_ptr(kt_addr(1)));
	must(kt_zero(kt_addr(1), 0, 4) && kt_same(kt_addr(1), 4, 4, SEED));
	must(!shmctl(id, IPC_RMID, NULL));
}

static void follows(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_record_info info;
	int fd = new_memfd(2048);

	kt_map_shared(base, 2048, fd);
	kt_fill(base, 0, 1500, SEED);
	must(!kt_handover(kt_key(0), base, 2048));
	must(present(kt_key(0)) == 1500);
	must(!kt_info(kt_key(0), &info) && !info.changed);
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10 * kt_page));
	must(!kt_info(kt_key(0), &info) && info.changed == 1);
	must(!ftruncate(fd, 1000 * kt_page));
	must(!kt_info(kt_key(0), &info) && info.changed > 1);
	must(!kt_drop(kt_key(0)));
}

/* What went away is no longer paid for when the user comes again */
static void do_follows_account(void *arg)
{
	struct rlimit limit = { 16 * kt_page, 16 * kt_page };
	unsigned long base = kt_addr(0);
	int fd = new_memfd(16);

	(void)arg;
	must(!setrlimit(RLIMIT_MEMLOCK, &limit));
	kt_map_shared(base, 16, fd);
	kt_fill(base, 0, 16, SEED);
	must(!kt_handover(kt_key(0), base, 16));
	kt_map(kt_addr(1), 1);
	kt_fill(kt_addr(1), 0, 1, SEED);
	must_refuse(EAGAIN, kt_handover(kt_key(1), kt_addr(1), 1));
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kt_page));
	must(!kt_handover(kt_key(1), kt_addr(1), 1));
	must(present(kt_key(0)) == 15);
	must(!kt_drop(kt_key(0)) && !kt_drop(kt_key(1)));

	/* and what came is: a write never fails for it, the next handover does */
	must(!ftruncate(fd, 0) && !ftruncate(fd, 16 * kt_page));
	must(!kt_handover(kt_key(0), base, 16));
	must(!present(kt_key(0)));
	kt_fill(base, 0, 16, SEED);
	must_fail(EAGAIN, kt_handover(kt_key(1), kt_addr(1), 1));
	must(present(kt_key(0)) == 16);
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(1), kt_addr(1), 1));
	must(!kt_drop(kt_key(1)));
}

static void follows_account(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_follows_account, NULL);
}

static void do_over_limit(void *arg)
{
	struct rlimit limit = { 8 * kt_page, 8 * kt_page };

	(void)arg;
	must(!setrlimit(RLIMIT_MEMLOCK, &limit));
	kt_map_shared(kt_addr(0), 700, -1);
	kt_fill(kt_addr(0), 0, 4, SEED);
	kt_fill(kt_addr(0), 600, 5, SEED);
	must_refuse(EAGAIN, kt_handover(kt_key(0), kt_addr(0), 700));
	must(!kt_handover(kt_key(0), kt_addr(0), 603));
	must(!kt_drop(kt_key(0)));
}

static void over_limit(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_over_limit, NULL);
}

/* ---- one page, several records ---- */

static void busy(void)
{
	int fd = new_memfd(16);

	kt_map_shared(kt_addr(0), 16, fd);
	kt_map_shared(kt_addr(1), 16, fd);
	kt_fill(kt_addr(0), 0, 16, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
	must_refuse(EBUSY, kt_handover(kt_key(1), kt_addr(1), 16));
	must_refuse(EBUSY, kt_handover(kt_key(1), kt_addr(1) + 7 * kt_page, 1));
	must(!kt_handover(kt_key(1), kt_addr(1) + 8 * kt_page, 8));
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(2), kt_addr(1), 8));
	must(!kt_drop(kt_key(1)) && !kt_drop(kt_key(2)));
}

/* A page that others hold as well stays with them when one gives it up */
static void drop_one(void)
{
	int fd = new_memfd(1024);
	unsigned long base = kt_addr(3);

	give(fd, 1024, kt_key(0));
	give(fd, 1024, kt_key(1));
	must(present(kt_key(0)) == 512 && present(kt_key(1)) == 512);
	must(!kt_drop(kt_key(0)));
	must(present(kt_key(1)) == 512);
	must(!kt_takeover_to(kt_key(1), kt_addr(0), 1024, &base));
	must(kt_same(base, 0, 512, SEED));
	must(!kt_exists(kt_key(1)));
}

/* F_SEAL_WRITE waits for pins: it finds out whether there are any */
static void no_pins_left(void)
{
	int fd = new_memfd(1024);

	give(fd, 1024, kt_key(0));
	must_fail(EBUSY, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	give(fd, 1024, kt_key(1));
	must(!kt_drop(kt_key(1)));
	must_fail(EBUSY, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	must(!kt_drop(kt_key(0)));
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* At the end of what a file can have, and beyond */
static void far(void)
{
	const unsigned long end = kt_page << 47;
	int fd = memfd_create("far", KT_ALLOW_SEALING);
	char *p;
	int i;

	if (ftruncate(fd, end + (8UL << 20)))
		kt_skip("a file cannot be as large: %s", strerror(errno));
	for (i = 0; i < 2; i++) {
		p = mmap(NULL, 2UL << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 end - (2UL << 20));
		must(p != MAP_FAILED);
		memset(p, 0x55, 2UL << 20);
		must(!kt_handover(kt_key(0), (unsigned long)p, (2UL << 20) / kt_page));
		p[0] = 0x66;
		must(present(kt_key(0)) == (2UL << 20) / kt_page);
		must(!kt_drop(kt_key(0)));
		must(p[0] == 0x66 && p[(2UL << 20) - 1] == 0x55);
		must(!munmap(p, 2UL << 20));
	}
	p = mmap(NULL, 4UL << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, end - (2UL << 20));
	must(p != MAP_FAILED);
	must_refuse(EOPNOTSUPP, kt_handover(kt_key(0), (unsigned long)p, (4UL << 20) / kt_page));
	must(!munmap(p, 4UL << 20));
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

static void do_claim(void *arg)
{
	struct shared *s = arg;

	kt_map_shared(kt_addr(0), s->nr, s->fd);
	must(!kt_handover(s->key, kt_addr(0), s->nr));
}

/* What went before the second record came is not in it, though the first had it */
static void gone_before(void)
{
	int fd = new_memfd(4096);
	struct shared s = { fd, 4096, kt_key(1) };

	give(fd, 4096, kt_key(0));
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512 * kt_page,
			512 * kt_page));
	kt_run(do_claim, &s);
	must(present(kt_key(1)) == 1536);
	must(!kt_drop(kt_key(0)));
	must(present(kt_key(1)) == 1536);
	must(!kt_drop(kt_key(1)));
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* ---- takeover in the same kernel ---- */

static void same_kernel(void)
{
	int fd = new_memfd(1024);
	unsigned long base = kt_addr(0), old = kt_addr(1);

	kt_map_shared(old, 1024, fd);
	give(fd, 1024, kt_key(0));
	kt_fill(old, 700, 1, SEED);
	must(!kt_takeover(kt_key(0), base, 1024));
	must(kt_same(base, 0, 512, SEED));
	must(kt_same(base, 700, 1, SEED));
	/* it is the very file that the others have */
	kt_fill(base, 701, 1, SEED);
	must(kt_same(old, 701, 1, SEED));
	must(pwrite(fd, "kmho", 4, 900 * kt_page) == 4);
	must(!memcmp(kt_ptr(base + 900 * kt_page), "kmho", 4));
	must(!kt_exists(kt_key(0)));
}

static void killed(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1);
	int fd = new_memfd(512), pipes[2];
	struct kmho_record_info info;
	unsigned long remap = to;
	pid_t pid;
	char c;

	must(!pipe(pipes));
	pid = kt_fork();
	if (!pid) {
		kt_map_shared(base, 512, fd);
		kt_fill(base, 0, 100, SEED);
		must(!kt_handover(kt_key(0), base, 512));
		must(write(pipes[1], "x", 1) == 1);
		while (true)
			pause();
	}
	must(read(pipes[0], &c, 1) == 1);
	must_refuse(EBUSY, kt_takeover_to(kt_key(0), base, 512, &remap));
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	must(!kt_info(kt_key(0), &info) && info.state == KMHO_STATE_HELD);
	close(fd);
	must(!kt_takeover_to(kt_key(0), base, 512, &remap));
	must(kt_same(to, 0, 100, SEED));
	must(kt_zero(to, 100, 412));
}

static void in_parts(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1);
	int fd = new_memfd(2048);

	give(fd, 2048, kt_key(0));
	must(!kt_takeover(kt_key(0), base + 100 * kt_page, 600));
	must(kt_same(base, 100, 600, SEED));
	must(present(kt_key(0)) == 424);
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), base + 699 * kt_page, 10, &to));
	must(!kt_takeover(kt_key(0), base, 100));
	must(!kt_takeover(kt_key(0), base + 700 * kt_page, 1348));
	must(kt_same(base, 0, 1024, SEED));
	must(!kt_exists(kt_key(0)));
	/* all of it is ordinary again */
	kt_unmap(base, 2048);
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

static void do_keep(void *arg)
{
	unsigned long nr = (unsigned long)arg, to = kt_addr(1);

	must(!kt_take_to(KMHO_TAKEOVER_KEEP, kt_key(0), kt_addr(0), nr, &to));
	must(kt_same(to, 0, 512, SEED));
	must_refuse(EPERM, munmap(kt_ptr(to), kt_page));
	must_refuse(EBUSY, kt_takeover(kt_key(0), kt_addr(0), nr));
	kt_fill(to, nr - 1, 1, SEED);
}

/* A record that stands follows the same file, elsewhere and in part */
static void kept(void)
{
	unsigned long base = kt_addr(0);

	give(new_memfd(1024), 1024, kt_key(0));
	kt_run(do_keep, (void *)1024);
	kt_run(do_keep, (void *)600);
	must(!kt_takeover(kt_key(0), base, 1024));
	must(kt_same(base, 0, 512, SEED));
	must(kt_same(base, 599, 1, SEED) && kt_same(base, 1023, 1, SEED));
	must(!kt_exists(kt_key(0)));
}

static void place_in_use(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1), remap;
	int fd = new_memfd(8);

	give(fd, 8, kt_key(0));
	/* not even into private memory: it would not be shared */
	kt_map(to, 8);
	remap = to;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 8, &remap));
	kt_unmap(to, 8);
	must(!kt_takeover_to(kt_key(0), base, 8, &remap));
	must(kt_same(to, 0, 4, SEED));
}

/* A name in a mounted tmpfs would be lost */
static void not_tmpfs(void)
{
	int fd = open("/dev/shm/kmho", O_RDWR | O_CREAT, 0600);
	char *p;

	if (fd < 0)
		fd = open("/tmp/kmho", O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		kt_skip("no tmpfs that can be written to: %s", strerror(errno));
	must(!ftruncate(fd, kt_page));
	p = mmap(NULL, kt_page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	*p = 1;
	must_refuse(EOPNOTSUPP, kt_handover(kt_key(0), (unsigned long)p, 1));
	unlink("/dev/shm/kmho");
	unlink("/tmp/kmho");
}

/* Nobody can map it for writing any more, and the record says so and stays */
static void do_future_write(void *arg)
{
	int fd = new_memfd(8);

	must(!arg);
	kt_map_shared(kt_addr(0), 8, fd);
	kt_fill(kt_addr(0), 0, 4, SEED);
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
}

static void future_write(void)
{
	kt_run(do_future_write, NULL);
	must_refuse(EPERM, kt_takeover(kt_key(0), kt_addr(0), 8));
	must(present(kt_key(0)) == 4);
	must(!kt_drop(kt_key(0)));
}

/* ---- a live update of the kernel's own ---- */

static int preserve(int fd)
{
	struct liveupdate_ioctl_create_session new = { .size = sizeof(new), .name = "kmho" };
	struct liveupdate_session_preserve_fd op = { .size = sizeof(op), .fd = fd, .token = 1 };
	int luo = open("/dev/liveupdate", O_RDWR);

	if (luo < 0)
		kt_skip("no /dev/liveupdate; boot with liveupdate=on: %s", strerror(errno));
	must(!ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &new));
	close(luo);
	if (!ioctl(new.fd, LIVEUPDATE_SESSION_PRESERVE_FD, &op))
		return new.fd;
	luo = errno;
	close(new.fd);
	errno = luo;
	return -1;
}

/* Nothing is preserved twice, whoever comes first */
static void live_update(void)
{
	unsigned long base = kt_addr(0);
	int fd = new_memfd(64), session;

	kt_map_shared(base, 64, fd);
	kt_fill(base, 0, 32, SEED);
	must(!kt_handover(kt_key(0), base, 64));
	must_fail(EBUSY, preserve(fd));
	must(present(kt_key(0)) == 32);
	must(!kt_drop(kt_key(0)));
	session = preserve(fd);
	must(session >= 0);
	must_refuse(EBUSY, kt_handover(kt_key(0), base, 64));
	close(session);
	must(!kt_handover(kt_key(0), base, 64));
	must(!kt_drop(kt_key(0)));
	must(kt_same(base, 0, 32, SEED));
}

/* ---- ordinary memory ---- */

static void do_ordinary(void *arg)
{
	struct shared *s = arg;
	unsigned long base = kt_addr(0), i;

	must(!kt_takeover(s->key, base, s->nr));
	must(kt_same(base, 0, s->nr / 2, SEED));
	must(kt_smaps(base, s->nr * kt_page, "Rss") == (long)(s->nr / 2 * kt_page / 1024));
	if (kt_swap()) {
		must(kt_pageout_shared(base, s->nr, 0, s->nr / 2) > 0);
		must(kt_same(base, 0, s->nr / 2, SEED));
	}
	if (kt_pmd_size()) {
		/* as far as there is something: an empty block is EINVAL */
		must(!kt_collapse(base, s->nr / 2 * kt_page));
		must(kt_smaps(base, s->nr * kt_page, "ShmemPmdMapped") > 0);
		must(kt_same(base, 0, s->nr / 2, SEED));
	}
	for (i = 0; i < s->nr; i += 7)
		kt_fill(base, i, 1, SEED + 1);
	must(!madvise(kt_ptr(base), s->nr * kt_page, MADV_REMOVE));
	must(kt_zero(base, 0, s->nr));
}

static void ordinary(void)
{
	unsigned long nr = 4096;
	struct shared s = { -1, nr, kt_key(0) };
	long before, after;
	int i;

	before = kt_free_kib();
	for (i = 0; i < 4; i++) {
		s.fd = new_memfd(nr);
		kt_run(do_give, &s);
		close(s.fd);
		must(present(s.key) == nr / 2);
		kt_run(do_ordinary, &s);
		must(!kt_exists(s.key));
	}
	after = kt_free_kib();
	printf("# free before: %ld KiB, after: %ld KiB\n", before, after);
	/* were one of the four lost: 8 MiB */
	must(before - after < 6 << 10);
}

/* Held and dropped, it is free; held, it is not */
static void freed_by_drop(void)
{
	unsigned long nr = 8192;
	long before = kt_free_kib(), held, after;
	int fd = new_memfd(nr);

	give(fd, nr, kt_key(0));
	close(fd);
	held = kt_free_kib();
	must(before - held > 12 << 10);
	must(!kt_drop(kt_key(0)));
	usleep(100000);
	after = kt_free_kib();
	must(before - after < 4 << 10);
}

/* The holes of what is handed over are not filled by huge pages */
static void no_collapse(void)
{
	unsigned long size = kt_need_thp(), nr = size / kt_page;
	unsigned long base = kt_addr(0);
	int fd = new_memfd(nr);

	kt_map_shared(base, nr, fd);
	kt_fill(base, 0, nr / 2, SEED);
	must(!kt_handover(kt_key(0), base, nr));
	must_refuse(EAGAIN, madvise(kt_ptr(base), size, MADV_COLLAPSE));
	/* nor those of a part of which nothing is there yet */
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(0), base + nr / 2 * kt_page, nr / 2));
	must_refuse(EAGAIN, madvise(kt_ptr(base), size, MADV_COLLAPSE));
	must(!present(kt_key(0)));
	must(!kt_drop(kt_key(0)));
	must(!kt_collapse(base, size));
	must(kt_same(base, 0, nr / 2, SEED));
}

/* ---- at once ---- */

#define THREADS	8
#define ROUNDS	100

static int at_once_fd;

static void *change(void *arg)
{
	unsigned long seed = (unsigned long)arg, i;
	char buf[64] = { 1 };

	for (i = 0; i < 50 * ROUNDS; i++) {
		unsigned long page = kt_mix(seed * 1000003 + i) % 1024;

		if (i % 8 == 7)
			must(!fallocate(at_once_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					page * kt_page, (1 + page % 64) * kt_page));
		else if (i % 64 == 3)
			must(!ftruncate(at_once_fd, (1 + page) * kt_page) &&
			     !ftruncate(at_once_fd, 1024 * kt_page));
		else
			must(pwrite(at_once_fd, buf, sizeof(buf), page * kt_page) == sizeof(buf));
	}
	return NULL;
}

static void *hand_over(void *arg)
{
	unsigned long n = (unsigned long)arg, i;

	for (i = 0; i < ROUNDS; i++) {
		must(!kt_handover(kt_key(n), kt_addr(0) + n * 256 * kt_page, 256));
		must(!kt_drop(kt_key(n)));
	}
	return NULL;
}

static void at_once(void)
{
	pthread_t threads[THREADS];
	unsigned long i;

	at_once_fd = new_memfd(1024);
	kt_map_shared(kt_addr(0), 1024, at_once_fd);
	for (i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, i < 4 ? hand_over : change, (void *)i));
	for (i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	/* nothing is pinned */
	kt_unmap(kt_addr(0), 1024);
	must(!fcntl(at_once_fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* ---- FREEZE ---- */

/* As give(), but frozen before the process ends */
static void do_give_frozen(void *arg)
{
	struct shared *s = arg;
	struct kmho_record_info info;

	do_give(arg);
	must(!kt_freeze(s->key));
	must(!kt_info(s->key, &info) && info.state == KMHO_STATE_HELD);
	must(info.present == s->nr / 2 * kt_page && !info.changed);
	/* again, and nothing happens */
	must(!kt_freeze(s->key));
	must(present(s->key) == s->nr / 2);
}

static void give_frozen(int fd, unsigned long nr, unsigned long key)
{
	struct shared s = { fd, nr, key };

	kt_run(do_give_frozen, &s);
}

static void do_frozen_written(void *arg)
{
	unsigned long base = kt_addr(0);
	int fd = *(int *)arg;

	kt_map_shared(base, 1024, fd);
	kt_fill(base, 0, 512, SEED);
	must(!kt_handover(kt_key(0), base, 1024));
	/* before: these count, that into a hole as well */
	kt_fill(base, 3, 1, SEED + 1);
	kt_fill(base, 700, 1, SEED + 1);
	must(!kt_freeze(kt_key(0)));
	must(present(kt_key(0)) == 513);
	/* all of it is in the file still, and can be written to and discarded */
	must(kt_same(base, 0, 3, SEED) && kt_same(base, 3, 1, SEED + 1));
	must(kt_same(base, 4, 508, SEED) && kt_same(base, 700, 1, SEED + 1));
	kt_fill(base, 0, 100, SEED + 2);
	kt_fill(base, 800, 1, SEED + 2);
	must(pwrite(fd, "kmho", 4, 200 * kt_page) == 4);
	must(!madvise(kt_ptr(base + 300 * kt_page), 100 * kt_page, MADV_REMOVE));
	must(!munmap(kt_ptr(base + 1000 * kt_page), 24 * kt_page));
}

static void frozen_written(void)
{
	unsigned long base = kt_addr(0), old = kt_addr(1);
	int fd = new_memfd(1024);

	kt_map_shared(old, 1024, fd);
	kt_run(do_frozen_written, &fd);
	must(present(kt_key(0)) == 513);
	kt_fill(old, 900, 1, SEED + 2);
	must(!kt_takeover(kt_key(0), base, 1024));
	must(kt_same(base, 0, 3, SEED) && kt_same(base, 3, 1, SEED + 1));
	must(kt_same(base, 4, 508, SEED) && kt_same(base, 700, 1, SEED + 1));
	must(kt_zero(base, 512, 188) && kt_zero(base, 701, 323));
	/* what the others have is another file */
	kt_fill(base, 0, 1024, SEED + 3);
	must(kt_same(old, 0, 100, SEED + 2) && kt_same(old, 100, 100, SEED));
	must(!memcmp(kt_ptr(old + 200 * kt_page), "kmho", 4));
	must(kt_zero(old, 300, 100) && kt_same(old, 800, 1, SEED + 2));
	must(kt_same(old, 900, 1, SEED + 2) && kt_same(old, 400, 112, SEED));
	must(!kt_exists(kt_key(0)));
}

/* What was pinned is not any more: F_SEAL_WRITE finds out */
static void frozen_truncated(void)
{
	unsigned long base = kt_addr(0);
	int fd = new_memfd(2048);

	give_frozen(fd, 2048, kt_key(0));
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * kt_page,
			600 * kt_page));
	must(!ftruncate(fd, 700 * kt_page));
	must(!ftruncate(fd, 0));
	must(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	must(present(kt_key(0)) == 1024);
	must(!kt_takeover(kt_key(0), base, 2048));
	must(kt_same(base, 0, 1024, SEED) && kt_zero(base, 1024, 1024));
}

struct part {
	int fd;
	unsigned long first;
	unsigned long nr;
	unsigned long key;
};

static void do_freeze_part(void *arg)
{
	struct part *p = arg;
	unsigned long base = kt_addr(0);

	kt_map_shared(base, 1024, p->fd);
	must(!kt_handover(p->key, base + p->first * kt_page, p->nr));
	must(!kt_freeze(p->key));
}

static void freeze_part(int fd, unsigned long first, unsigned long nr, unsigned long key)
{
	struct part p = { fd, first, nr, key };

	kt_run(do_freeze_part, &p);
}

/* Pages 0 to 599 in one, 300 to 1023 in the other; a page each that the first two have not */
static void frozen_shared(void)
{
	unsigned long a = kt_addr(2), b = kt_addr(3), old = kt_addr(1);
	int fd = new_memfd(1024);

	kt_map_shared(old, 1024, fd);
	kt_fill(old, 0, 500, SEED);
	kt_fill(old, 1000, 1, SEED);
	freeze_part(fd, 0, 600, kt_key(0));
	freeze_part(fd, 300, 724, kt_key(1));
	must(present(kt_key(0)) == 500 && present(kt_key(1)) == 201);
	kt_fill(old, 0, 1024, SEED + 1);
	must(!kt_takeover_to(kt_key(0), kt_addr(0), 600, &a));
	must(!kt_takeover_to(kt_key(1), kt_addr(0) + 300 * kt_page, 724, &b));
	must(kt_same(a, 0, 500, SEED) && kt_zero(a, 500, 100));
	must(kt_same_from(b, 0, 200, SEED, 300) && kt_same_from(b, 700, 1, SEED, 1000));
	kt_fill(a, 310, 1, SEED + 2);
	must(kt_same_from(b, 10, 1, SEED + 2, 310));
	kt_fill(b, 260, 1, SEED + 2);
	must(kt_same_from(a, 560, 1, SEED + 2, 260));
	must(kt_same(old, 0, 1024, SEED + 1));
}

static void frozen_apart(void)
{
	unsigned long to[4] = { kt_addr(2), kt_addr(3), kt_addr(4), kt_addr(5) }, old = kt_addr(1);
	int fd = new_memfd(1024), i;

	kt_map_shared(old, 1024, fd);
	kt_fill(old, 0, 600, SEED);
	freeze_part(fd, 0, 1024, kt_key(0));
	kt_fill(old, 599, 1, SEED + 1);
	freeze_part(fd, 0, 1024, kt_key(1));
	must(!ftruncate(fd, 1030 * kt_page));
	freeze_part(fd, 0, 1024, kt_key(2));
	kt_fill(old, 700, 1, SEED + 1);
	freeze_part(fd, 0, 1024, kt_key(3));
	must(present(kt_key(0)) == 600 && present(kt_key(3)) == 601);
	kt_fill(old, 0, 1024, SEED + 9);
	for (i = 0; i < 4; i++) {
		must(!kt_takeover_to(kt_key(i), kt_addr(0), 1024, &to[i]));
		must(kt_same(to[i], 0, 599, SEED));
		must(kt_same(to[i], 599, 1, i ? SEED + 1 : SEED));
		must(kt_zero(to[i], 600, 100) && kt_zero(to[i], 701, 323));
		must(i == 3 ? kt_same(to[i], 700, 1, SEED + 1) : kt_zero(to[i], 700, 1));
		kt_fill(to[i], 0, 600, SEED + 2 + i);
	}
	for (i = 0; i < 4; i++)
		must(kt_same(to[i], 0, 600, SEED + 2 + i));
}

static void frozen_zeros(void)
{
	unsigned long a = kt_addr(2), b = kt_addr(3), old = kt_addr(1);
	int fd = new_memfd(1024);

	kt_map_shared(old, 1024, fd);
	kt_fill(old, 0, 100, SEED);
	memset(kt_ptr(old + 200 * kt_page), 0, kt_page);
	freeze_part(fd, 0, 1024, kt_key(0));
	memset(kt_ptr(old + 300 * kt_page), 0, kt_page);
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 200 * kt_page, kt_page));
	freeze_part(fd, 0, 1024, kt_key(1));
	must(!kt_takeover_to(kt_key(0), kt_addr(0), 1024, &a));
	must(!kt_takeover_to(kt_key(1), kt_addr(0), 1024, &b));
	kt_fill(a, 300, 1, SEED);
	must(kt_same(b, 0, 100, SEED) && kt_same(b, 300, 1, SEED));
	must(kt_zero(b, 100, 200));
}

static void frozen_and_live(void)
{
	unsigned long a = kt_addr(0), b = kt_addr(2), old = kt_addr(1);
	int fd = new_memfd(1024);

	kt_map_shared(old, 1024, fd);
	give(fd, 1024, kt_key(1));
	give_frozen(fd, 1024, kt_key(0));
	kt_fill(old, 100, 600, SEED + 1);
	must(present(kt_key(0)) == 512 && present(kt_key(1)) >= 512);
	must(!kt_drop(kt_key(0)));
	freeze_part(fd, 0, 1024, kt_key(0));
	kt_fill(old, 100, 600, SEED + 2);
	/* the file itself */
	must(!kt_takeover_to(kt_key(1), kt_addr(0), 1024, &b));
	must(kt_same(b, 0, 100, SEED) && kt_same(b, 100, 600, SEED + 2));
	kt_fill(b, 900, 1, SEED + 2);
	must(kt_same(old, 900, 1, SEED + 2));
	/* and what it was */
	must(present(kt_key(0)) == 700);
	must(!kt_takeover(kt_key(0), a, 1024));
	must(kt_same(a, 0, 100, SEED) && kt_same(a, 100, 600, SEED + 1));
	must(kt_zero(a, 700, 324));
}

static void frozen_dead(void)
{
	unsigned long base = kt_addr(0), old = kt_addr(1);
	int fd = new_memfd(1024);

	kt_map_shared(old, 1024, fd);
	give(fd, 1024, kt_key(0));
	kt_fill(old, 0, 10, SEED + 1);
	must(!kt_freeze(kt_key(0)));
	kt_fill(old, 0, 1024, SEED + 2);
	must(present(kt_key(0)) == 512);
	must(!kt_takeover(kt_key(0), base, 1024));
	must(kt_same(base, 0, 10, SEED + 1) && kt_same(base, 10, 502, SEED));
	must(kt_zero(base, 512, 512));
}

static void frozen_alone(void)
{
	unsigned long nr = 8192;
	int fd = new_memfd(nr);
	long before, after;

	give(fd, nr, kt_key(0));
	close(fd);
	/* the last of the file's users may be on its way out still */
	usleep(200000);
	before = kt_free_kib();
	must(!kt_freeze(kt_key(0)));
	after = kt_free_kib();
	printf("# free before: %ld KiB, after: %ld KiB\n", before, after);
	must(before - after < 6 << 10);
	must(!kt_takeover(kt_key(0), kt_addr(0), nr));
	must(kt_same(kt_addr(0), 0, nr / 2, SEED));
}

static void do_frozen_twice_mapped(void *arg)
{
	struct kmho_range_handover r[2] = {
		{ kt_addr(0), 64 * kt_page }, { kt_addr(1), 64 * kt_page },
	};
	struct kmho_op_handover op = { kt_key(0), 2, r };
	int fd = new_memfd(64);

	must(!arg);
	kt_map_shared(kt_addr(0), 64, fd);
	kt_map_shared(kt_addr(1), 64, fd);
	kt_fill(kt_addr(0), 0, 32, SEED);
	must(!kmho(KMHO_HANDOVER, &op));
	must(!kt_freeze(kt_key(0)));
	kt_fill(kt_addr(1), 0, 64, SEED + 1);
}

static void frozen_twice_mapped(void)
{
	unsigned long a = kt_addr(0), b = kt_addr(1);

	kt_run(do_frozen_twice_mapped, NULL);
	must(!kt_takeover(kt_key(0), a, 64));
	must(!kt_takeover(kt_key(0), b, 64));
	must(kt_same(a, 0, 32, SEED) && kt_same(b, 0, 32, SEED));
	kt_fill(a, 40, 1, SEED);
	must(kt_same(b, 40, 1, SEED));
}

static void do_keep_frozen(void *arg)
{
	unsigned long to = kt_addr(1);

	must(!arg);
	must(!kt_take_to(KMHO_TAKEOVER_KEEP, kt_key(0), kt_addr(0), 1024, &to));
	must(kt_same(to, 0, 512, SEED));
	kt_fill(to, 1000, 1, SEED);
	/* and frozen once more */
	must(!kt_freeze(kt_key(0)));
	kt_fill(to, 0, 1024, SEED + 1);
}

static void frozen_kept(void)
{
	unsigned long base = kt_addr(0);
	int fd = new_memfd(1024);

	give_frozen(fd, 1024, kt_key(0));
	must(pwrite(fd, "kmho", 4, 0) == 4);
	kt_run(do_keep_frozen, NULL);
	must(!kt_takeover(kt_key(0), base, 1024));
	must(kt_same(base, 0, 512, SEED) && kt_same(base, 1000, 1, SEED));
	must(kt_zero(base, 512, 488));
}

/* The second of two huge pages is in the record as far as its half */
static void do_frozen_huge(void *arg)
{
	unsigned long size = kt_pmd_size(), nr = size / kt_page, base = kt_addr(0);
	int fd = *(int *)arg;

	kt_map_shared(base, 2 * nr, fd);
	kt_fill(base, 0, 2 * nr, SEED);
	if (madvise(kt_ptr(base), 2 * size, MADV_COLLAPSE))
		kt_skip("no huge pages to be had: %s", strerror(errno));
	must(!kt_handover(kt_key(0), base, nr + nr / 2));
	must(!kt_freeze(kt_key(0)));
	kt_fill(base, 0, 2 * nr, SEED + 1);
}

static void frozen_huge(void)
{
	unsigned long size = kt_need_thp(), nr = size / kt_page, base = kt_addr(0);
	int fd = new_memfd(2 * nr);

	kt_run(do_frozen_huge, &fd);
	must(present(kt_key(0)) == nr + nr / 2);
	must(!kt_takeover(kt_key(0), base, nr + nr / 2));
	must(kt_same(base, 0, nr + nr / 2, SEED));
	must(kt_smaps(base, size + size / 2, "ShmemPmdMapped") == (long)size / 1024);
}

static void frozen_freed(void)
{
	unsigned long nr = 4096;
	long before = kt_free_kib(), shmem = kt_meminfo("Shmem"), held, after;
	int fd = new_memfd(nr), i;

	for (i = 0; i < 4; i++) {
		give_frozen(fd, nr, kt_key(0));
		give_frozen(fd, nr, kt_key(1));
		must(!ftruncate(fd, 0) && !ftruncate(fd, nr * kt_page));
		usleep(100000);
		held = kt_free_kib();
		printf("# free before: %ld KiB, held: %ld KiB\n", before, held);
		/* once: the two share what they have */
		must(before - held > 6 << 10 && before - held < 12 << 10);
		must(!kt_drop(kt_key(0)));
		must(present(kt_key(1)) == nr / 2);
		if (i % 2) {
			must(!kt_drop(kt_key(1)));
		} else {
			struct shared s = { -1, nr, kt_key(1) };

			kt_run(do_ordinary, &s);
		}
	}
	close(fd);
	usleep(100000);
	after = kt_free_kib();
	printf("# free before: %ld KiB, after: %ld KiB\n", before, after);
	must(before - after < 6 << 10);
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	must(kt_meminfo("Shmem") - shmem < 4 << 10);
}

#define CGROUP	"/sys/fs/cgroup/kmho-freeze"

static void frozen_charged(void)
{
	unsigned long nr = 8192;
	int fd = new_memfd(nr);
	pid_t pid;

	kt_need_cgroup(CGROUP);
	give(fd, nr, kt_key(0));
	pid = kt_fork();
	if (!pid) {
		must(kt_write_file(CGROUP "/cgroup.procs", "0"));
		/* Less than it takes: nothing is frozen, and nothing stays charged */
		must(kt_write_file(CGROUP "/memory.max", "4M"));
		must_refuse(ENOMEM, kt_freeze(kt_key(0)));
		must(kt_charged_kib(CGROUP) < 4 << 10);
		must(kt_write_file(CGROUP "/memory.max", "max"));
		must(!kt_freeze(kt_key(0)));
		must(kt_charged_kib(CGROUP) > 15 << 10);
		must(!kt_takeover(kt_key(0), kt_addr(0), nr));
		must(kt_same(kt_addr(0), 0, nr / 2, SEED));
		must(kt_charged_kib(CGROUP) > 15 << 10 && kt_charged_kib(CGROUP) < 24 << 10);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(kt_charged_kib(CGROUP) < 4 << 10);
	must(!rmdir(CGROUP));
}

static void *freeze_all(void *arg)
{
	unsigned long n = (unsigned long)arg, i;

	for (i = 0; i < ROUNDS; i++) {
		must(!kt_handover(kt_key(n), kt_addr(0) + n * 256 * kt_page, 256));
		must(!kt_freeze(kt_key(n)));
		must(!kt_drop(kt_key(n)));
	}
	return NULL;
}

static void frozen_at_once(void)
{
	pthread_t threads[THREADS];
	unsigned long i;

	at_once_fd = new_memfd(1024);
	kt_map_shared(kt_addr(0), 1024, at_once_fd);
	for (i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, i < 4 ? freeze_all : change, (void *)i));
	for (i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	kt_unmap(kt_addr(0), 1024);
	must(!fcntl(at_once_fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* Even pages come one after the other, and odd ones come and go */
#define GROWN	1024

struct growth {
	int fd;
	unsigned long done;
	unsigned long frozen;
};

static void *grow(void *arg)
{
	struct growth *g = arg;
	unsigned long i;

	for (i = 0; i < GROWN; i++) {
		kt_fill(kt_addr(1), i, 1, SEED);
		must(pwrite(g->fd, kt_ptr(kt_addr(1) + i * kt_page), kt_page,
			    2 * i * kt_page) == (ssize_t)kt_page);
		__atomic_store_n(&g->done, i + 1, __ATOMIC_RELEASE);
		usleep(500);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct growth *g = arg;
	unsigned long i;

	for (i = 0;; i++) {
		off_t at = (2 * (kt_mix(i) % GROWN) + 1) * kt_page;

		must(pwrite(g->fd, "kmho", 4, at) == 4);
		must(!fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, kt_page));
	}
	return NULL;
}

static void do_frozen_growing(void *arg)
{
	struct growth *g = arg;
	pthread_t thread;

	kt_map_shared(kt_addr(0), 2 * GROWN, g->fd);
	kt_map(kt_addr(1), GROWN);
	must(!pthread_create(&thread, NULL, grow, g));
	must(!pthread_create(&thread, NULL, come_and_go, g));
	must(!kt_handover(kt_key(0), kt_addr(0), 2 * GROWN));
	while (__atomic_load_n(&g->done, __ATOMIC_ACQUIRE) < GROWN / 2)
		usleep(1000);
	g->frozen = __atomic_load_n(&g->done, __ATOMIC_ACQUIRE);
	must(!kt_freeze(kt_key(0)));
}

static void frozen_growing(void)
{
	struct growth *g = mmap(NULL, kt_page, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long i;

	must(g != MAP_FAILED);
	g->fd = new_memfd(2 * GROWN);
	kt_run(do_frozen_growing, g);
	printf("# %lu of %lu pages at the freeze\n", g->frozen, g->done);
	must(!kt_takeover(kt_key(0), kt_addr(0), 2 * GROWN));
	kt_map(kt_addr(1), GROWN);
	kt_fill(kt_addr(1), 0, GROWN, SEED);
	for (i = 0; i < g->frozen; i++)
		must(!memcmp(kt_ptr(kt_addr(0) + 2 * i * kt_page),
			     kt_ptr(kt_addr(1) + i * kt_page), kt_page));
}

static const struct kt_case cases[] = {
	{ "what would part shared memory from its record is EPERM", .now = refuses_to_part },
	{ "shmat with SHM_REMAP over it is EPERM", .now = refuses_segment },
	{ "shmdt of it leaves it where it is", .now = leaves_segment },
	{ "truncation and punched holes are noted", .now = follows },
	{ "shared memory that goes and comes is counted", .now = follows_account },
	{ "shared memory over RLIMIT_MEMLOCK is EAGAIN", .now = over_limit },
	{ "one page in two records of one process is EBUSY", .now = busy },
	{ "a record dropped leaves shared pages to the other", .now = drop_one },
	{ "pages are pinned for as long as a record has them", .now = no_pins_left },
	{ "a claim at the end of the largest file", .now = far },
	{ "what has gone is not in a later record of the same file", .now = gone_before },
	{ "takeover in the same kernel gives the same memory", .now = same_kernel },
	{ "shared memory outlives its owner's SIGKILL", .now = killed },
	{ "shared memory is taken over in parts", .now = in_parts },
	{ "shared memory is taken over and kept", .now = kept },
	{ "a place in use is EEXIST", .now = place_in_use },
	{ "what is written to shared memory after FREEZE is in the file only",
	  .now = frozen_written },
	{ "a file truncated after FREEZE takes nothing from the record",
	  .now = frozen_truncated },
	{ "two frozen records of one file share it again", .now = frozen_shared },
	{ "two records frozen at different moments have what was there then",
	  .now = frozen_apart },
	{ "a zero that came, and a hole: as good as unchanged", .now = frozen_zeros },
	{ "a live record beside a frozen one follows the file", .now = frozen_and_live },
	{ "FREEZE of a dead process's record, the file in use by another",
	  .now = frozen_dead },
	{ "FREEZE of what nobody else has copies nothing", .now = frozen_alone },
	{ "one file at two addresses is one file again after FREEZE",
	  .now = frozen_twice_mapped },
	{ "a frozen record of shared memory is taken over and kept", .now = frozen_kept },
	{ "huge pages of shared memory are huge after FREEZE", .now = frozen_huge },
	{ "FREEZE, and then DROP or the end: all of it is free", .now = frozen_freed },
	{ "FREEZE is charged to the memory cgroup", .now = frozen_charged },
	{ "FREEZE of a file that changes all the time", .now = frozen_at_once },
	{ "FREEZE of a file that grows misses nothing", .now = frozen_growing },
	{ "a file in a mounted tmpfs is EOPNOTSUPP", .now = not_tmpfs },
	{ "F_SEAL_FUTURE_WRITE: takeover in the same kernel is EPERM", .now = future_write },
	{ "HANDOVER, and a live update of the same memfd: EBUSY", .now = live_update },
	{ "what was taken over is ordinary memory", .now = ordinary },
	{ "DROP frees shared memory that nobody has", .now = freed_by_drop },
	{ "holes are not collapsed away", .now = no_collapse },
	{ "handovers of a file that changes all the time", .now = at_once },
};

int main(int argc, char **argv)
{
	kt_program = 23;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
