// SPDX-License-Identifier: GPL-2.0-only
/*
 * H5, H7, H8, T1 to T5, S2: shared memory within one boot. What is refused,
 * what is followed, who pays, what a takeover gives in the kernel in which the
 * memory was handed over, and that nothing is left behind.
 */
#include <linux/liveupdate.h>
#include <sys/ioctl.h>

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

static void share(unsigned long base, unsigned long nr, int fd)
{
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	must(mmap(kt_ptr(base), nr * kt_page, PROT_READ | PROT_WRITE, flags, fd, 0) ==
	     kt_ptr(base));
}

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

	share(kt_addr(0), s->nr, s->fd);
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

	share(base, 8, -1);
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

static void follows(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_record_info info;
	int fd = new_memfd(2048);

	share(base, 2048, fd);
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
	share(base, 16, fd);
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
	share(kt_addr(0), 700, -1);
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

	share(kt_addr(0), 16, fd);
	share(kt_addr(1), 16, fd);
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

	share(kt_addr(0), s->nr, s->fd);
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

	share(old, 1024, fd);
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
		share(base, 512, fd);
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

static void not_frozen(void)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = kt_key(0), .uid = KMHO_UID_SELF };

	share(kt_addr(0), 8, -1);
	kt_fill(kt_addr(0), 0, 8, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
	must_refuse(EOPNOTSUPP, kmho(KMHO_FREEZE, &op));
	must(!kt_drop(kt_key(0)));
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
	share(kt_addr(0), 8, fd);
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

	share(base, 64, fd);
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
		must(!madvise(kt_ptr(base), s->nr / 2 * kt_page, MADV_COLLAPSE));
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

	share(base, nr, fd);
	kt_fill(base, 0, nr / 2, SEED);
	must(!kt_handover(kt_key(0), base, nr));
	must(madvise(kt_ptr(base), size, MADV_COLLAPSE));
	/* nor those of a part of which nothing is there yet */
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(0), base + nr / 2 * kt_page, nr / 2));
	must(madvise(kt_ptr(base), size, MADV_COLLAPSE));
	must(!present(kt_key(0)));
	must(!kt_drop(kt_key(0)));
	must(!madvise(kt_ptr(base), size, MADV_COLLAPSE));
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
	share(kt_addr(0), 1024, at_once_fd);
	for (i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, i < 4 ? hand_over : change, (void *)i));
	for (i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	/* nothing is pinned */
	kt_unmap(kt_addr(0), 1024);
	must(!fcntl(at_once_fd, F_ADD_SEALS, F_SEAL_WRITE));
}

static const struct kt_case cases[] = {
	{ "what would part shared memory from its record is EPERM", .now = refuses_to_part },
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
	{ "FREEZE of shared memory is EOPNOTSUPP", .now = not_frozen },
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
