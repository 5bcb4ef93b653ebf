// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to a record when the process that made it exits, execs, is
 * killed or drops it, and what that process may do to the memory until then.
 * All of it in one kernel: a kexec that never comes loses nothing (T5).
 *
 * Provokes: kmho: key 0x[0-9a-f]+: 0x[0-9a-f]+-0x[0-9a-f]+ is as it was handed over
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "kmho_test.h"

/* UFFDIO_MOVE, which older headers do not have */
struct uffd_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};

#define UFFD_MOVE	_IOWR(UFFDIO, 0x05, struct uffd_move)

#define SEED	0xe817ULL
#define NR	64

static void must_be(unsigned long key, __u32 state, pid_t pid, unsigned long present)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	must(info.key == key && info.uid == geteuid());
	must(info.state == state);
	must(info.pid == pid);
	must(info.present == present * kt_page);
}

static void give_here(unsigned long key)
{
	kt_map(kt_addr(0), NR);
	kt_fill(kt_addr(0), 0, NR, SEED);
	must(!kt_handover(key, kt_addr(0), NR));
	must_be(key, KMHO_STATE_LIVE, getpid(), NR);
}

static void take_all(unsigned long key)
{
	must_be(key, KMHO_STATE_HELD, 0, NR);
	kt_take(key, kt_addr(0), NR, SEED);
	must(kt_perms(kt_addr(0), "rw-p"));
	must(!kt_exists(key));
	/* it is the taker's own */
	kt_fill(kt_addr(0), 0, NR, SEED + 1);
	must(kt_same(kt_addr(0), 0, NR, SEED + 1));
	kt_unmap(kt_addr(0), NR);
}

/* ---- ends ---- */

static void do_exit(void *arg)
{
	give_here(kt_key((unsigned long)arg));
}

static void ends_exit(void)
{
	kt_run(do_exit, NULL);
	take_all(kt_key(0));
	/* once more: nothing of the first time is in the way */
	kt_run(do_exit, NULL);
	take_all(kt_key(0));
}

static void ends_written(void)
{
	unsigned long base = kt_addr(0);
	pid_t pid = kt_fork();

	if (!pid) {
		kt_map(base, NR);
		kt_fill(base, 0, 16, SEED);
		must(!kt_handover(kt_key(0), base, NR));
		/* after the handover: a present page, and holes */
		kt_fill(base, 8, 16, SEED + 1);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must_be(kt_key(0), KMHO_STATE_HELD, 0, 24);
	must(!kt_takeover(kt_key(0), base, NR));
	must(kt_same(base, 0, 8, SEED));
	must(kt_same(base, 8, 16, SEED + 1));
	must(!kt_held_pages(base + 24 * kt_page, NR - 24));
}

static void ends_exec(void)
{
	struct kmho_record_info info;
	int fds[2];
	pid_t pid;

	must(!pipe(fds));
	pid = kt_fork();
	if (!pid) {
		give_here(kt_key(0));
		close(fds[1]);
		dup2(fds[0], 0);
		/* goes on as another program; the address space is gone, the process is not */
		execl("/proc/self/exe", "exit", "hold", NULL);
		_exit(9);
	}
	close(fds[0]);
	/* the child has not exec'ed, or just about to */
	while (kt_info(kt_key(0), &info) || info.state != KMHO_STATE_HELD) {
		must(!waitpid(pid, NULL, WNOHANG));
		usleep(50000);
	}
	must(!kill(pid, 0));
	take_all(kt_key(0));
	close(fds[1]);
	must(kt_wait(pid) == 0);
}

static void ends_killed(void)
{
	int fds[2];
	pid_t pid;
	char c;

	must(!pipe(fds));
	pid = kt_fork();
	if (!pid) {
		give_here(kt_key(0));
		must(write(fds[1], "x", 1) == 1);
		while (true)
			pause();
	}
	must(read(fds[0], &c, 1) == 1);
	must_be(kt_key(0), KMHO_STATE_LIVE, pid, NR);
	must_refuse(EBUSY, kt_takeover(kt_key(0), kt_addr(0), NR));
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	take_all(kt_key(0));
}

static void ends_segv(void)
{
	pid_t pid = kt_fork();

	if (!pid) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		give_here(kt_key(0));
		/* nothing is mapped there */
		*(int *)kt_ptr(kt_addr(20)) = 1;
		_exit(0);
	}
	must(kt_wait(pid) == 128 + SIGSEGV);
	take_all(kt_key(0));
}

/*
 * Kills in the middle of a call, until there were some that came too early and some
 * that did not; @early, @late: some of them in the call itself. No memory is lost.
 */
static void kill_in(void (*shot)(struct kt_aim *aim), bool early, bool late)
{
	struct kt_aim *aim = kt_aim();
	long before = 0, after;

	while (kt_aim_again(aim, aim->early + (early ? 0 : aim->before) &&
			    aim->late + (late ? 0 : aim->after))) {
		/* the first ones fill the caches that the rest comes from */
		if (aim->shots == 8)
			before = kt_free_kib();
		shot(aim);
	}
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB afterwards\n", before, after);
	must(before - after < 4096 + kt_slack_kib());
}

/* Maps what the calls are made of that are killed */
static void (*map_killed)(unsigned long base, unsigned long nr) = kt_map;

static void map_huge(unsigned long base, unsigned long nr)
{
	kt_map_thp(base, nr * kt_page);
	kt_fill(base, 0, 1, SEED);
	must(kt_smaps(base, nr * kt_page, "AnonHugePages") > 0);
}

static void map_shared(unsigned long base, unsigned long nr)
{
	kt_map_shared(base, nr, -1);
}

static void kill_handover(struct kt_aim *aim)
{
	unsigned long base = kt_addr(0), nr = 4096;
	pid_t pid = kt_fork();
	bool whole;

	if (!pid) {
		map_killed(base, nr);
		kt_fill(base, 0, 1024, SEED);
		must(!madvise(kt_ptr(base + 1024 * kt_page), (nr - 1024) * kt_page,
			      MADV_POPULATE_WRITE) || errno == EINVAL);
		kt_aim_at(aim, kt_handover(kt_key(0), base, nr));
	}
	kt_shoot(aim, pid);
	whole = kt_exists(kt_key(0));
	kt_aim_told(aim, whole);
	if (!whole)
		return;
	must_be(kt_key(0), KMHO_STATE_HELD, 0, nr);
	must(!kt_takeover(kt_key(0), base, nr));
	must(kt_same(base, 0, 1024, SEED));
	kt_unmap(base, nr);
}

/* H6: a SIGKILL in the middle of HANDOVER leaves the whole record or none */
static void ends_killed_meanwhile(void)
{
	kill_in(kill_handover, map_killed == kt_map, false);
}

static void ends_killed_huge(void)
{
	kt_need_thp();
	map_killed = map_huge;
	ends_killed_meanwhile();
}

static void ends_killed_shared(void)
{
	map_killed = map_shared;
	ends_killed_meanwhile();
}

#define NR_TAKEN	2048

static void do_give_taken(void *unused)
{
	map_killed(kt_addr(0), NR_TAKEN);
	kt_fill(kt_addr(0), 0, NR_TAKEN, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), NR_TAKEN));
}

static void give_taken(void)
{
	kt_run(do_give_taken, NULL);
}

static void kill_takeover(struct kt_aim *aim)
{
	pid_t pid = kt_fork();
	bool kept;

	if (!pid)
		kt_aim_at(aim, kt_takeover(kt_key(0), kt_addr(0), NR_TAKEN));
	kt_shoot(aim, pid);
	kept = kt_exists(kt_key(0));
	kt_aim_told(aim, !kept);
	if (kept)
		must_be(kt_key(0), KMHO_STATE_HELD, 0, NR_TAKEN);
	else
		give_taken();
}

/* T2: a SIGKILL during TAKEOVER leaves all in the record, or all taken and freed */
static void taker_killed(void)
{
	give_taken();
	kill_in(kill_takeover, false, map_killed == kt_map);
	kt_take(kt_key(0), kt_addr(0), NR_TAKEN, SEED);
}

static void taker_killed_huge(void)
{
	kt_need_thp();
	map_killed = map_huge;
	taker_killed();
}

static void taker_killed_shared(void)
{
	map_killed = map_shared;
	taker_killed();
}

/* A dead process's memory, of which a device may still write to a part */
#define NR_DEVICE	256

static void do_give_device(int ring, unsigned long nr)
{
	struct iovec buffer = { kt_ptr(kt_addr(0)), NR_DEVICE * kt_page };

	kt_map(kt_addr(0), nr);
	kt_fill(kt_addr(0), 0, nr, SEED);
	must(!syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1));
	must(!kt_handover(kt_key(0), kt_addr(0), nr));
	_exit(0);
}

static void do_kill_freeze(void *arg)
{
	unsigned long base = kt_addr(0), nr = 2 * NR_DEVICE, len = NR_DEVICE * kt_page;
	int zeros = memfd_create("kmho", 0);
	struct kt_aim *aim = arg;
	struct kt_ring ring;
	bool frozen;
	pid_t pid;

	must(zeros >= 0 && !ftruncate(zeros, len));
	kt_ring_open(&ring);
	pid = kt_fork();
	if (!pid)
		do_give_device(ring.fd, nr);
	must(kt_wait(pid) == 0);

	pid = kt_fork();
	if (!pid)
		kt_aim_at(aim, kt_freeze(kt_key(0)));
	kt_shoot(aim, pid);
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, zeros, base, len, 0) == (int)len);
	kt_ring_unregister(&ring);

	must(!kt_takeover(kt_key(0), base, nr));
	frozen = kt_same(base, 0, NR_DEVICE, SEED);
	must(frozen || kt_zero(base, 0, NR_DEVICE));
	must(kt_same(base, NR_DEVICE, NR_DEVICE, SEED));
	kt_aim_told(aim, frozen);
}

static void kill_freeze(struct kt_aim *aim)
{
	kt_run(do_kill_freeze, aim);
}

/* H9: a SIGKILL during FREEZE leaves the record as it was, or frozen */
static void freezer_killed(void)
{
	if (!kt_has(KMHO_FREEZE))
		kt_skip("this kernel has no KMHO_FREEZE");
	kill_in(kill_freeze, false, false);
}

static void kill_drop(struct kt_aim *aim)
{
	bool left;
	pid_t pid;

	kt_give(kt_key(0), kt_addr(0), NR_TAKEN, SEED);
	pid = kt_fork();
	if (!pid)
		kt_aim_at(aim, kt_drop(kt_key(0)));
	kt_shoot(aim, pid);
	left = kt_exists(kt_key(0));
	kt_aim_told(aim, !left);
	if (!left)
		return;
	must_be(kt_key(0), KMHO_STATE_HELD, 0, NR_TAKEN);
	kt_take(kt_key(0), kt_addr(0), NR_TAKEN, SEED);
	kt_unmap(kt_addr(0), NR_TAKEN);
}

/* H7: a SIGKILL during DROP leaves the whole record or none */
static void dropper_killed(void)
{
	kill_in(kill_drop, false, false);
}

static void kill_chown(struct kt_aim *aim)
{
	struct kmho_record_info info;
	bool given;
	pid_t pid;

	kt_give(kt_key(0), kt_addr(0), NR, SEED);
	pid = kt_fork();
	if (!pid)
		kt_aim_at(aim, kt_chown(kt_key(0), geteuid(), KT_USER));
	kt_shoot(aim, pid);
	given = !kt_exists(kt_key(0));
	kt_aim_told(aim, given);
	must(given == !kt_info_of(kt_key(0), KT_USER, &info));
	if (given)
		must(!kt_chown(kt_key(0), KT_USER, geteuid()));
	kt_take(kt_key(0), kt_addr(0), NR, SEED);
	kt_unmap(kt_addr(0), NR);
}

/* S1: a SIGKILL during CHOWN leaves one owner, either */
static void giver_killed(void)
{
	kt_need_root();
	if (!kt_has(KMHO_CHOWN))
		kt_skip("this kernel has no KMHO_CHOWN");
	kill_in(kill_chown, false, false);
}

/* ---- what the OOM reaper does, by hand: it empties an address space that is to end ---- */

#define NR_REAPED	4096
#define REAP_TRIES	50

/* Pages of a process that are in memory; 0 once it has none any more */
static unsigned long resident(pid_t pid)
{
	char path[32], text[128];
	unsigned long nr;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	must(kt_read_file(path, text, sizeof(text)) && sscanf(text, "%*u %lu", &nr) == 1);
	return nr;
}

/* Hands half a mapping over that is written, and half that is not yet; and has another */
static void do_wait_for_reaper(int fd)
{
	kt_map(kt_addr(0), NR_REAPED);
	kt_fill(kt_addr(0), 0, NR_REAPED / 2, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), NR_REAPED));
	kt_fill(kt_addr(0), NR_REAPED / 2, NR_REAPED / 2, SEED);
	kt_map(kt_addr(1), NR_REAPED);
	kt_fill(kt_addr(1), 0, NR_REAPED, SEED);
	must(write(fd, "x", 1) == 1);
	while (true)
		pause();
}

static bool reap(void)
{
	struct sched_param rt = { .sched_priority = 1 }, other = { 0 };
	unsigned long before, left;
	int fds[2], fd, ret, err;
	pid_t pid;
	char c;

	must(!pipe(fds));
	pid = kt_fork();
	if (!pid)
		do_wait_for_reaper(fds[1]);
	close(fds[1]);
	must(read(fds[0], &c, 1) == 1);
	close(fds[0]);
	fd = syscall(__NR_pidfd_open, pid, 0);
	must(fd >= 0);
	before = resident(pid);
	must(before >= 2 * NR_REAPED);

	/* on one processor, it does not get to its own end before it has been reaped */
	must(!sched_setscheduler(0, SCHED_FIFO, &rt));
	must(!kill(pid, SIGKILL));
	ret = syscall(__NR_process_mrelease, fd, 0);
	err = errno;
	left = resident(pid);
	must(!sched_setscheduler(0, SCHED_OTHER, &other));
	must(kt_wait(pid) == 128 + SIGKILL);
	must(!ret || err == ESRCH);
	close(fd);

	must_be(kt_key(0), KMHO_STATE_HELD, 0, NR_REAPED);
	kt_take(kt_key(0), kt_addr(0), NR_REAPED, SEED);
	kt_unmap(kt_addr(0), NR_REAPED);
	printf("# process_mrelease: %d, of %lu pages %lu left\n", ret, before, left);
	/* what was not handed over went, and nobody but the reaper can have done that */
	return !ret && left && left < before - NR_REAPED / 2;
}

static void reaper_takes_nothing(void)
{
	int tries = 0;

	kt_need_root();
	kt_run_on(sched_getcpu());
	while (!reap())
		must(++tries < REAP_TRIES);
}

/* Forked children do not count, however long they live */
static void children_do_not_count(void)
{
	int fds[2], child[2];
	pid_t pid;
	char c;

	must(!pipe(fds));
	must(!pipe(child));
	pid = kt_fork();
	if (!pid) {
		give_here(kt_key(0));
		pid = kt_fork();
		if (!pid) {
			/* a mapping of its own, which is not handed over */
			must(!munmap(kt_ptr(kt_addr(0)), kt_page));
			must(!madvise(kt_ptr(kt_addr(0) + kt_page), kt_page, MADV_DONTNEED));
			kt_fill(kt_addr(0), 2, 8, 666);
			/* and so may be handed over, as another record */
			must(!kt_handover(kt_key(1), kt_addr(0) + 2 * kt_page, NR - 2));
			must(write(fds[1], "x", 1) == 1);
			close(child[1]);
			must(read(child[0], &c, 1) == 0);
			/* its view has not been touched by what the parent's successor did */
			must(kt_same(kt_addr(0), 2, 8, 666));
			must(kt_same(kt_addr(0), 10, NR - 10, SEED));
			must(write(fds[1], "y", 1) == 1);
			_exit(0);
		}
		/* the parent ends first */
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	close(fds[1]);
	must(read(fds[0], &c, 1) == 1 && c == 'x');
	take_all(kt_key(0));
	close(child[0]);
	close(child[1]);
	must(read(fds[0], &c, 1) == 1 && c == 'y');
	/* the end of the pipe is the end of the child */
	must(read(fds[0], &c, 1) == 0);
	while (kt_exists(kt_key(1))) {
		struct kmho_record_info info;

		must(!kt_info(kt_key(1), &info));
		if (info.state == KMHO_STATE_HELD)
			break;
		usleep(10000);
	}
	must(!kt_takeover(kt_key(1), kt_addr(0) + 2 * kt_page, NR - 2));
	must(kt_same(kt_addr(0), 2, 8, 666));
	must(kt_same(kt_addr(0), 10, NR - 10, SEED));
}

/* A thread is no address space: the record lives with the last of them */
static void *hand_over_and_end(void *arg)
{
	give_here(kt_key(0));
	return arg;
}

static void threads_share(void)
{
	unsigned long remap = kt_addr(1);
	pthread_t thread;

	must(!pthread_create(&thread, NULL, hand_over_and_end, NULL));
	must(!pthread_join(thread, NULL));
	must_refuse(EBUSY, kt_takeover_to(kt_key(0), kt_addr(0), NR, &remap));
	must_be(kt_key(0), KMHO_STATE_LIVE, getpid(), NR);
	must(!kt_drop(kt_key(0)));
}

/* ---- drop ---- */

static void drop_frees(void)
{
	unsigned long base = kt_addr(0);

	give_here(kt_key(0));
	must(!kt_drop(kt_key(0)));
	must(!kt_exists(kt_key(0)));
	must(kt_same(base, 0, NR, SEED));
	kt_fill(base, 0, NR, SEED + 1);
	must(kt_same(base, 0, NR, SEED + 1));
	must(!madvise(kt_ptr(base), kt_page, MADV_DONTNEED));
	must(kt_zero(base, 0, 1));
	must(mremap(kt_ptr(base + 8 * kt_page), 8 * kt_page, 8 * kt_page,
		    MREMAP_MAYMOVE | MREMAP_FIXED, kt_ptr(kt_addr(1))) == kt_ptr(kt_addr(1)));
	must(!munmap(kt_ptr(base), NR * kt_page));
}

static void drop_after_end(void)
{
	unsigned long round;
	long before, after;

	/* the first ones fill the caches that the rest comes from */
	for (round = 0; round < 4; round++) {
		kt_give(kt_key(0), kt_addr(0), 2048, SEED);
		must(!kt_drop(kt_key(0)));
	}
	before = kt_free_kib();
	for (round = 0; round < 40; round++) {
		kt_give(kt_key(0), kt_addr(0), 2048, SEED);
		must_be(kt_key(0), KMHO_STATE_HELD, 0, 2048);
		must(!kt_drop(kt_key(0)));
		must_refuse(ENOENT, kt_takeover(kt_key(0), kt_addr(0), 1));
	}
	after = kt_free_kib();
	printf("# %ld kB free, %ld kB after 40 times 8192 kB\n", before, after);
	must(before - after < 4096 + kt_slack_kib());
}

static void drop_by_another(void)
{
	int fds[2], back[2];
	pid_t pid;
	char c;

	must(!pipe(fds));
	must(!pipe(back));
	pid = kt_fork();
	if (!pid) {
		give_here(kt_key(0));
		must(write(fds[1], "x", 1) == 1);
		must(read(back[0], &c, 1) == 1);
		/* dropped by now, and free to do what it likes */
		must(kt_same(kt_addr(0), 0, NR, SEED));
		must(!munmap(kt_ptr(kt_addr(0)), NR * kt_page));
		_exit(0);
	}
	must(read(fds[0], &c, 1) == 1);
	must(!kt_drop(kt_key(0)));
	must(!kt_exists(kt_key(0)));
	must(write(back[1], "x", 1) == 1);
	must(kt_wait(pid) == 0);
}

/* ---- H5: what would part memory from its record ---- */

static const int discarding[] = {
	MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_REMOVE, MADV_GUARD_INSTALL,
};

static void refused(unsigned long base)
{
	unsigned long at = base + 10 * kt_page, len = 4 * kt_page;
	unsigned int i;

	must_refuse(EPERM, munmap(kt_ptr(at), len));
	must_refuse(EPERM, munmap(kt_ptr(base - kt_page), 2 * kt_page));
	must_refuse(EPERM, munmap(kt_ptr(base - kt_page), (NR + 2) * kt_page));
	must_refuse(EPERM, mremap(kt_ptr(at), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				  kt_ptr(kt_addr(2))));
	must_refuse(EPERM, mremap(kt_ptr(at), len, kt_page, 0));
	must_refuse(EPERM, mremap(kt_ptr(at), len, len, MREMAP_MAYMOVE | MREMAP_FIXED |
				  MREMAP_DONTUNMAP, kt_ptr(kt_addr(2))));
	/* moving something else onto it */
	kt_map(kt_addr(3), 4);
	must_refuse(EPERM, mremap(kt_ptr(kt_addr(3)), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				  kt_ptr(at)));
	must_refuse(EPERM, mmap(kt_ptr(at), len, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	must_refuse(EPERM, mmap(kt_ptr(base - kt_page), 3 * kt_page, PROT_READ,
				MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	for (i = 0; i < ARRAY_SIZE(discarding); i++)
		must_refuse(EPERM, madvise(kt_ptr(at), len, discarding[i]));
	kt_unmap(kt_addr(3), 4);
	must(kt_same(base, 0, NR, SEED));
}

static void parting_is_refused(void)
{
	unsigned long base = kt_addr(0);

	kt_map(base - kt_page, NR + 2);
	kt_fill(base, 0, NR, SEED);
	must(!kt_handover(kt_key(0), base, NR));
	refused(base);
	/* the neighbours are free */
	must(!madvise(kt_ptr(base - kt_page), kt_page, MADV_DONTNEED));
	must(!munmap(kt_ptr(base - kt_page), kt_page));
	must(!munmap(kt_ptr(base + NR * kt_page), kt_page));
	must(kt_same(base, 0, NR, SEED));
	must_be(kt_key(0), KMHO_STATE_LIVE, getpid(), NR);
	must(!kt_drop(kt_key(0)));
	must(!munmap(kt_ptr(base), NR * kt_page));
}

/* Another way to give the same advice */
static void parting_process_madvise(void)
{
	unsigned long base = kt_addr(0);
	struct iovec iov = { kt_ptr(base + 10 * kt_page), 4 * kt_page };
	int fd = syscall(__NR_pidfd_open, getpid(), 0);
	unsigned int i;

	must(fd >= 0);
	give_here(kt_key(0));
	for (i = 0; i < ARRAY_SIZE(discarding); i++)
		must_refuse(EPERM, syscall(__NR_process_madvise, fd, &iov, 1, discarding[i], 0));
	must(kt_same(base, 0, NR, SEED));
	must(!kt_drop(kt_key(0)));
	must(syscall(__NR_process_madvise, fd, &iov, 1, MADV_DONTNEED, 0) == 4 * (long)kt_page);
	must(kt_zero(base, 10, 4));
}

/* A mapping that grows is moved, or is no longer the one that its record knows */
static void parting_grow(void)
{
	unsigned long base = kt_addr(0), len = NR * kt_page, last = base + len - kt_page;

	give_here(kt_key(0));
	must_refuse(EPERM, mremap(kt_ptr(base), len, len + kt_page, 0));
	must_refuse(EPERM, mremap(kt_ptr(base), len, len + kt_page, MREMAP_MAYMOVE));
	must_refuse(EPERM, mremap(kt_ptr(last), kt_page, 2 * kt_page, 0));
	must_refuse(EPERM, mremap(kt_ptr(last), kt_page, 2 * kt_page,
				  MREMAP_MAYMOVE | MREMAP_FIXED, kt_ptr(kt_addr(1))));
	must(kt_same(base, 0, NR, SEED));
	must(!kt_drop(kt_key(0)));
	must(mremap(kt_ptr(base), len, len + kt_page, 0) == kt_ptr(base));
}

/* By the call itself: the C library takes a break that is too high for a success */
static void parting_brk(void)
{
	unsigned long old = (unsigned long)sbrk(0), base, end;

	base = (old + kt_page - 1) / kt_page * kt_page;
	end = base + 8 * kt_page;
	must(syscall(__NR_brk, end) == (long)end);
	kt_fill(base, 0, 8, SEED);
	must(!kt_handover(kt_key(0), base, 8));
	must(syscall(__NR_brk, base) == (long)end);
	must(syscall(__NR_brk, end - kt_page) == (long)end);
	must(kt_same(base, 0, 8, SEED));
	must_be(kt_key(0), KMHO_STATE_LIVE, getpid(), 8);
	/* behind it, the heap grows and shrinks */
	must(syscall(__NR_brk, end + kt_page) == (long)(end + kt_page));
	must(syscall(__NR_brk, end) == (long)end);
	must(!kt_drop(kt_key(0)));
	must(syscall(__NR_brk, old) == (long)old);
}

static void protecting_is_allowed(void)
{
	unsigned long base = kt_addr(0);
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		give_here(kt_key(0));
		must(!mprotect(kt_ptr(base + 8 * kt_page), 8 * kt_page, PROT_READ));
		must(!mprotect(kt_ptr(base + 16 * kt_page), 8 * kt_page, PROT_NONE));
		must(!mprotect(kt_ptr(base + 40 * kt_page), kt_page, PROT_NONE));
		must(!mprotect(kt_ptr(base + 40 * kt_page), kt_page, PROT_READ | PROT_WRITE));
		kt_fill(base, 0, 8, SEED);
		/* harmless advice, too */
		must(!madvise(kt_ptr(base), kt_page, MADV_WILLNEED));
		must(!madvise(kt_ptr(base), kt_page, MADV_COLD));
		must(!madvise(kt_ptr(base), NR * kt_page, MADV_DONTFORK));
		must(!madvise(kt_ptr(base), NR * kt_page, MADV_DOFORK));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must_be(kt_key(0), KMHO_STATE_HELD, 0, NR);
	must(!kt_takeover(kt_key(0), base, NR));
	must(kt_perms(base, "rw-p") && kt_perms(base + 8 * kt_page, "r--p"));
	must(kt_perms(base + 16 * kt_page, "---p") && kt_perms(base + 24 * kt_page, "rw-p"));
	must(kt_perms(base + 40 * kt_page, "rw-p"));
	must(!mprotect(kt_ptr(base), NR * kt_page, PROT_READ));
	must(kt_same(base, 0, NR, SEED));
}

/* Other calls that look at whole address spaces take no notice */
static void locked_memory(void)
{
	unsigned long base = kt_addr(0);
	pid_t pid;

	kt_need_root();
	pid = kt_fork();
	if (!pid) {
		kt_map(base, NR);
		kt_fill(base, 0, 32, SEED);
		must(!mlock(kt_ptr(base), 16 * kt_page));
		must(!kt_handover(kt_key(0), base, NR));
		must(!mlockall(MCL_CURRENT));
		must(!munlockall());
		kt_fill(base, 32, NR - 32, SEED);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	take_all(kt_key(0));
}

/* The successor takes a part, ends, and its successor takes the rest */
static void successors(void)
{
	unsigned long base = kt_addr(0), i;
	pid_t pid;

	kt_give(kt_key(0), base, NR, SEED);
	for (i = 0; i < 4; i++) {
		must_be(kt_key(0), KMHO_STATE_HELD, 0, NR - i * 16);
		pid = kt_fork();
		if (!pid) {
			must(!kt_takeover(kt_key(0), base + i * 16 * kt_page, 16));
			must(kt_same(base, i * 16, 16, SEED));
			_exit(0);
		}
		must(kt_wait(pid) == 0);
	}
	must(!kt_exists(kt_key(0)));
}

/* Through many hands: each takes over, adds a page's worth, and hands over again */
static void generations(void)
{
	unsigned long base = kt_addr(0), i;
	pid_t pid;

	kt_give(kt_key(0), base, NR, SEED);
	for (i = 0; i < 20; i++) {
		pid = kt_fork();
		if (!pid) {
			must(!kt_takeover(kt_key(0), base, NR));
			must(kt_same(base, i, NR - i, SEED));
			kt_fill(base, i, 1, SEED + 1);
			must(!kt_handover(kt_key(0), base, NR));
			_exit(0);
		}
		must(kt_wait(pid) == 0);
	}
	must(!kt_takeover(kt_key(0), base, NR));
	must(kt_same(base, 0, 20, SEED + 1));
	must(kt_same(base, 20, NR - 20, SEED));
}

/* Two successors at once: one gets it */
static void successors_race(void)
{
	unsigned long base = kt_addr(0), round, i, won;
	pid_t pids[8];
	int fds[2], code;
	char c;

	for (round = 0; round < 20; round++) {
		kt_give(kt_key(0), base, NR, SEED);
		must(!pipe(fds));
		for (i = 0; i < ARRAY_SIZE(pids); i++) {
			pids[i] = kt_fork();
			if (pids[i])
				continue;
			close(fds[1]);
			must(read(fds[0], &c, 1) == 0);
			if (!kt_takeover(kt_key(0), base, NR)) {
				must(kt_same(base, 0, NR, SEED));
				_exit(0);
			}
			must(errno == ENOENT);
			must(kt_unmapped(base, NR));
			_exit(5);
		}
		close(fds[0]);
		close(fds[1]);
		for (won = 0, i = 0; i < ARRAY_SIZE(pids); i++) {
			code = kt_wait(pids[i]);
			must(code == 0 || code == 5);
			won += !code;
		}
		must(won == 1);
	}
}

static int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		kt_skip("no userfaultfd: %s", strerror(errno));
	must(!ioctl(fd, UFFDIO_API, &api));
	return fd;
}

static int watch(int fd, unsigned long base, unsigned long nr)
{
	struct uffdio_register reg = {
		.range = { base, nr * kt_page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg);
}

/* Nobody else fills its holes */
static void parting_watch(void)
{
	unsigned long base = kt_addr(0);
	int fd = open_uffd();

	kt_map(base - kt_page, NR + 2);
	kt_fill(base, 0, NR / 2, SEED);
	must(!kt_handover(kt_key(0), base, NR));
	must_refuse(EBUSY, watch(fd, base, NR));
	must_refuse(EBUSY, watch(fd, base - kt_page, NR + 2));
	must_refuse(EBUSY, watch(fd, base - kt_page, 2));
	must_refuse(EBUSY, watch(fd, base + (NR - 1) * kt_page, 1));
	/* the neighbours are free */
	must(!watch(fd, base - kt_page, 1));
	must(!watch(fd, base + NR * kt_page, 1));
	/* were a hole watched, nobody would fill it */
	kt_fill(base, NR / 2, NR / 2, SEED);
	must(kt_same(base, 0, NR, SEED));
	must(!kt_drop(kt_key(0)));
	must(!watch(fd, base, NR));
}

/* Pages go nowhere by UFFDIO_MOVE either, whether they came before or after the handover */
static void parting_move(void)
{
	unsigned long src = kt_addr(0), dst = kt_addr(1);
	struct uffd_move move = { .dst = dst, .src = src, .len = kt_page };
	int fd = open_uffd();

	kt_map(src, 3);
	kt_map(dst, 2);
	kt_fill(src, 0, 1, SEED);
	must(!kt_handover(kt_key(0), src, 2));
	kt_fill(src, 1, 2, SEED);
	must(!watch(fd, dst, 2));
	must_refuse(EPERM, ioctl(fd, UFFD_MOVE, &move));
	move.src = src + kt_page;
	must_refuse(EPERM, ioctl(fd, UFFD_MOVE, &move));
	move.len = 2 * kt_page;
	must_refuse(EPERM, ioctl(fd, UFFD_MOVE, &move));
	must(kt_same(src, 0, 3, SEED));
	/* what is not handed over, is moved */
	move.src = src + 2 * kt_page;
	move.len = kt_page;
	must(!ioctl(fd, UFFD_MOVE, &move));
	must(kt_same_from(dst, 0, 1, SEED, 2));
}

/* Neither what is there, nor holes beside what somebody else has, become a huge page */
static void parting_collapse(void)
{
	unsigned long size = kt_need_thp(), nr = size / kt_page, base = kt_addr(0);

	kt_map(base, 2 * nr);
	kt_fill(base, 0, nr + nr / 2, SEED);
	must(!kt_handover(kt_key(0), base, nr));
	must(!kt_handover(kt_key(1), base + size + size / 2, nr / 2));
	must(!madvise(kt_ptr(base), 2 * size, MADV_HUGEPAGE));
	must_refuse(EAGAIN, madvise(kt_ptr(base), size, MADV_COLLAPSE));
	must_refuse(EAGAIN, madvise(kt_ptr(base + size), size, MADV_COLLAPSE));
	must(!kt_smaps(base, 2 * size, "AnonHugePages"));
	must_be(kt_key(1), KMHO_STATE_LIVE, getpid(), 0);
	must(!kt_drop(kt_key(0)) && !kt_drop(kt_key(1)));
	must(!kt_collapse(base, 2 * size));
	must(kt_smaps(base, 2 * size, "AnonHugePages") == (long)(2 * size / 1024));
	must(kt_same(base, 0, nr + nr / 2, SEED));
}

/* ---- H2: the pages that hold the data stay the pages that hold it ---- */

#define NR_PLACES	4096

/* Where pages lie before HANDOVER and after it, for whoever takes them over */
struct places {
	bool shared;
	bool huge;
	unsigned long nr;
	__u64 before[NR_PLACES];
	__u64 after[NR_PLACES];
};

/* Only what lay in a scratch area lies elsewhere now, and QUERY counts just that */
static void must_have_moved(const struct places *p, const struct kt_scratch *s, unsigned long key)
{
	struct kmho_record_info info;
	unsigned long i, moved = 0;

	for (i = 0; i < p->nr; i++) {
		must(!kt_pfn_in_scratch(s, p->after[i]));
		if (p->after[i] == p->before[i])
			continue;
		must(kt_pfn_in_scratch(s, p->before[i]));
		moved++;
	}
	must(!kt_info(key, &info));
	printf("# %lu of %lu pages moved, by QUERY %llu\n", moved, p->nr,
	       (unsigned long long)info.migrated / kt_page);
	must(info.migrated == moved * kt_page);
}

static void do_give_places(void *arg)
{
	unsigned long base = kt_addr(0);
	struct places *p = arg;
	struct kt_scratch s;

	kt_find_scratch(&s);
	if (p->shared)
		kt_map_shared(base, p->nr, -1);
	else if (p->huge)
		kt_map_thp(base, p->nr * kt_page);
	else
		kt_map(base, p->nr);
	kt_fill(base, 0, p->nr, SEED);
	kt_read_pfns(base, p->nr, p->before);
	must(!kt_handover(kt_key(0), base, p->nr));
	kt_read_pfns(base, p->nr, p->after);
	must_have_moved(p, &s, kt_key(0));
}

static struct places *new_places(void)
{
	struct places *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	p->nr = NR_PLACES;
	return p;
}

/* The successor has those very pages */
static void take_places(struct places *p)
{
	unsigned long base = kt_addr(0), i, others = 0;
	static __u64 now[NR_PLACES];

	kt_run(do_give_places, p);
	must(!kt_takeover(kt_key(0), base, p->nr));
	must(kt_same(base, 0, p->nr, SEED));
	kt_read_pfns(base, p->nr, now);
	for (i = 0; i < p->nr; i++)
		others += now[i] != p->after[i];
	printf("# %lu of %lu pages are others after the takeover\n", others, p->nr);
	must(!others);
	kt_unmap(base, p->nr);
}

static void not_copied(void)
{
	struct places *p = new_places();

	kt_need_root();
	take_places(p);
	p->shared = true;
	take_places(p);
}

static void not_copied_huge(void)
{
	unsigned long size = kt_need_thp();
	struct places *p = new_places();

	kt_need_root();
	p->huge = true;
	p->nr = NR_PLACES / (size / kt_page) * (size / kt_page);
	if (!p->nr)
		kt_skip("huge pages of %lu bytes are too large for this", size);
	take_places(p);
}

/* ---- pages in the scratch areas of kexec handover, which somebody holds ---- */

#define NR_SLOTS	16
#define NR_LATE		4096

static void do_held_in_scratch(void *arg)
{
	int fd = *(int *)arg;
	unsigned long base = kt_addr(0), i, nr = 0;
	struct kt_scratch s;

	kt_find_scratch(&s);
	kt_map(base, NR_LATE);
	must(!kt_handover(kt_key(0), base, NR_LATE));
	kt_fill_memory(&s, kt_addr(4));
	for (i = 0; i < NR_LATE && nr < NR_SLOTS; i++) {
		struct iovec iov = { kt_ptr(base + i * kt_page), kt_page };

		kt_fill(base, i, 1, SEED);
		if (!kt_in_scratch(&s, base + i * kt_page))
			continue;
		/* a reference that is neither a pin nor given up by migration */
		must(vmsplice(fd, &iov, 1, 0) == (ssize_t)kt_page);
		nr++;
	}
	must(i < NR_LATE || nr);
	printf("# %lu pages written, %lu of them in scratch areas and in a pipe\n", i, nr);
}

static void held_in_scratch(void)
{
	struct kmho_record_info info;
	unsigned long base = kt_addr(0), nr;
	int fds[2];

	kt_need_root();
	must(!pipe(fds));
	kt_run(do_held_in_scratch, &fds[1]);
	must(!kt_info(kt_key(0), &info));
	must(info.state == KMHO_STATE_HELD && info.migrated);
	nr = info.present / kt_page;
	must(!kt_takeover(kt_key(0), base, NR_LATE));
	must(kt_same(base, 0, nr, SEED));
	if (nr < NR_LATE)
		must(kt_zero(base, nr, 1));
}

static void *let_go(void *arg)
{
	char buf[65536];
	int fd = *(int *)arg;

	sleep(1);
	must(read(fd, buf, sizeof(buf)) == (ssize_t)kt_page);
	return NULL;
}

/* As a device does that a page is read from, or a CPU that was taken away from its guest */
static void held_for_a_while(void)
{
	unsigned long base = kt_addr(0), i;
	pthread_t thread;
	struct kt_scratch s;
	struct iovec iov;
	int fds[2];

	kt_need_root();
	kt_find_scratch(&s);
	kt_map(base, NR_LATE);
	kt_fill_memory(&s, kt_addr(4));
	for (i = 0; i < NR_LATE; i++) {
		kt_fill(base, i, 1, SEED);
		if (kt_in_scratch(&s, base + i * kt_page))
			break;
	}
	must(i < NR_LATE);

	must(!pipe(fds));
	iov = (struct iovec){ kt_ptr(base + i * kt_page), kt_page };
	must(vmsplice(fds[1], &iov, 1, 0) == (ssize_t)kt_page);
	must_refuse(EBUSY, kt_handover(kt_key(0), base, NR_LATE));
	must(!kt_exists(kt_key(0)));
	must(!pthread_create(&thread, NULL, let_go, &fds[0]));
	must(!kt_handover(kt_key(0), base, NR_LATE));
	must(!pthread_join(thread, NULL));
	must(!kt_in_scratch(&s, base + i * kt_page));
	must(kt_same(base, 0, i + 1, SEED));
}

/* Huge pages that have to be moved while most of what is free lies in scratch areas, too */
static void huge_in_scratch(void)
{
	unsigned long thp = kt_need_thp(), base = kt_addr(0), len = 8 * thp, i, nr = 0;
	unsigned long at = kt_addr(5);
	struct places *p = new_places();
	struct kt_scratch s;

	p->nr = len / kt_page;
	if (p->nr > NR_PLACES)
		kt_skip("huge pages of %lu bytes are too large for this", thp);
	kt_find_scratch(&s);
	kt_fill_memory(&s, kt_addr(4));
	/* processors keep some back that others have freed, and they lie elsewhere: those first */
	do {
		must(kt_meminfo("MemFree") > 24 << 10);
		kt_map_thp(at, thp);
		must(!madvise(kt_ptr(at), thp, MADV_POPULATE_WRITE));
		at += thp;
	} while (!kt_in_scratch(&s, at - kt_page));
	kt_map_thp(base, len);
	kt_fill(base, 0, p->nr, SEED);
	kt_read_pfns(base, p->nr, p->before);
	for (i = 0; i < p->nr; i++)
		nr += kt_pfn_in_scratch(&s, p->before[i]);
	must(nr >= thp / kt_page);
	/* room for them elsewhere */
	kt_unmap(kt_addr(4), 8 * len / kt_page);
	must(!kt_handover(kt_key(0), base, p->nr));
	kt_read_pfns(base, p->nr, p->after);
	must_have_moved(p, &s, kt_key(0));
	must(kt_same(base, 0, p->nr, SEED));
	must(!kt_drop(kt_key(0)));
}

/* ---- the same with huge pages of hugetlb, which the process could not have again ---- */

#define HUGETLB_SIZE	(2UL << 20)
#define HUGETLB_STEP	16UL

static void map_hugetlb(unsigned long base, unsigned long nr, int fd)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

	if (fd < 0)
		flags |= MAP_ANONYMOUS | MAP_HUGETLB;
	must(mmap(kt_ptr(base), nr * HUGETLB_SIZE, PROT_READ | PROT_WRITE, flags, fd, 0) ==
	     kt_ptr(base));
}

/* Fills the huge pages of a mapping; returns how many lie in scratch areas */
static unsigned long fill_hugetlb(const struct kt_scratch *s, unsigned long base, unsigned long nr)
{
	unsigned long i, found = 0;

	for (i = 0; i < nr; i++) {
		kt_fill(base + i * HUGETLB_SIZE, 7, 1, SEED);
		found += kt_in_scratch(s, base + i * HUGETLB_SIZE);
	}
	return found;
}

/* A pool that has huge pages in scratch areas, as most of what is free lies there */
static unsigned long need_hugetlb(const struct kt_scratch *s)
{
	unsigned long nr, found = 0;
	char buf[32];

	if (kt_meminfo("Hugepagesize") != HUGETLB_SIZE >> 10)
		kt_skip("no huge pages of 2 MiB to be had");
	kt_fill_memory(s, kt_addr(4));
	for (nr = 0; !found; ) {
		nr += HUGETLB_STEP;
		snprintf(buf, sizeof(buf), "%lu", nr);
		must(kt_write_file("/proc/sys/vm/nr_hugepages", buf));
		if (kt_meminfo("HugePages_Free") != (long)nr)
			kt_skip("no huge pages in scratch areas to be had");
		map_hugetlb(kt_addr(2), nr, -1);
		found = fill_hugetlb(s, kt_addr(2), nr);
		must(!munmap(kt_ptr(kt_addr(2)), nr * HUGETLB_SIZE));
	}
	return nr;
}

/* Writes to a handed over hole with all of them */
static unsigned long write_late_hugetlb(const struct kt_scratch *s, unsigned long nr, int fd)
{
	unsigned long found;

	map_hugetlb(kt_addr(0), nr, fd);
	must(!kt_handover(kt_key(0), kt_addr(0), nr * HUGETLB_SIZE / kt_page));
	found = fill_hugetlb(s, kt_addr(0), nr);
	must(found);
	return found;
}

static void do_hugetlb_stays(void *arg)
{
	char dir[] = "/tmp/kmho.XXXXXX", text[64];
	struct kt_scratch s;
	unsigned long nr;
	int fd;

	must(!arg);
	kt_find_scratch(&s);
	nr = need_hugetlb(&s);
	/* what is of a mount with a size, cannot be moved */
	must(mkdtemp(dir));
	snprintf(text, sizeof(text), "pagesize=2M,size=%luM", nr * 2);
	must(!mount("none", dir, "hugetlbfs", 0, text));
	snprintf(text, sizeof(text), "%s/file", dir);
	fd = open(text, O_RDWR | O_CREAT, 0600);
	must(fd >= 0);
	write_late_hugetlb(&s, nr, fd);
	close(fd);
	must(!umount2(dir, MNT_DETACH));
	must(!rmdir(dir));
	/* room for copies elsewhere */
	kt_unmap(kt_addr(4), 4 * nr * HUGETLB_SIZE / kt_page);
}

static void hugetlb_stays(void)
{
	unsigned long base = kt_addr(0), at;
	struct kmho_record_info info;
	struct kt_scratch s;

	kt_need_root();
	kt_run(do_hugetlb_stays, NULL);
	kt_find_scratch(&s);
	must(!kt_info(kt_key(0), &info));
	must(info.state == KMHO_STATE_HELD && info.migrated && info.present == info.bytes);
	must(!kt_takeover(kt_key(0), base, info.bytes / kt_page));
	for (at = base; at < base + info.bytes; at += HUGETLB_SIZE) {
		must(kt_same(at, 7, 1, SEED));
		must(!kt_in_scratch(&s, at));
	}
	must(!munmap(kt_ptr(base), info.bytes));
	must(kt_write_file("/proc/sys/vm/nr_hugepages", "0"));
	must(!kt_meminfo("HugePages_Total"));
}

/* Every allocation of so many pages in a row fails */
static void fail_large(bool on)
{
	static const char * const settings[][2] = {
		{ "ignore-gfp-wait", "N" },
		{ "ignore-gfp-highmem", "N" },
		{ "task-filter", "N" },
		{ "min-order", "9" },
		{ "verbose", "0" },
		{ "interval", "1" },
		{ "times", "-1" },
	};
	char path[64];
	unsigned int i;

	if (access("/sys/kernel/debug/fail_page_alloc", F_OK))
		kt_skip("this kernel has no fault injection (CONFIG_FAIL_PAGE_ALLOC)");
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/fail_page_alloc/%s",
			 settings[i][0]);
		must(kt_write_file(path, settings[i][1]));
	}
	must(kt_write_file("/sys/kernel/debug/fail_page_alloc/probability", on ? "100" : "0"));
}

static void do_hugetlb_lost(void *arg)
{
	unsigned long nr;
	struct kt_scratch s;

	kt_find_scratch(&s);
	nr = need_hugetlb(&s);
	nr = write_late_hugetlb(&s, nr, -1);
	must(write(*(int *)arg, &nr, sizeof(nr)) == sizeof(nr));
	fail_large(true);
}

/* There is nothing to copy to either: that is in the log, and the process does end */
static void hugetlb_lost(void)
{
	unsigned long base = kt_addr(0), at, nr, left;
	struct kmho_record_info info;
	int fds[2];

	kt_need_root();
	must(!pipe(fds));
	kt_run(do_hugetlb_lost, &fds[1]);
	fail_large(false);
	must(read(fds[0], &nr, sizeof(nr)) == sizeof(nr));
	must(!kt_info(kt_key(0), &info));
	must(info.state == KMHO_STATE_HELD);
	left = info.present / HUGETLB_SIZE;
	must(info.present == info.bytes - nr * HUGETLB_SIZE);
	must(!kt_takeover(kt_key(0), base, info.bytes / kt_page));
	for (at = base; at < base + info.bytes; at += HUGETLB_SIZE) {
		if (*(__u64 *)kt_ptr(at + 7 * kt_page)) {
			must(kt_same(at, 7, 1, SEED));
			left--;
		}
	}
	must(!left);
	must(!munmap(kt_ptr(base), info.bytes));
	must(kt_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

/* ---- what is under way at the handover ---- */

#define FAULTS	64

static unsigned long touched;

/* Clearing a huge page takes a while, and the fault holds only the lock of its VMA */
static void *touch_each(void *size)
{
	unsigned long i;

	for (i = 0; i < FAULTS; i++) {
		*(__u64 *)kt_ptr(kt_addr(0) + i * (unsigned long)size) = kt_word(SEED, i);
		__atomic_store_n(&touched, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void do_under_way(void *arg)
{
	unsigned long size = kt_pmd_size(), round = *(unsigned long *)arg;
	pthread_t thread;

	kt_map_thp(kt_addr(0), FAULTS * size);
	must(!pthread_create(&thread, NULL, touch_each, (void *)size));
	while (__atomic_load_n(&touched, __ATOMIC_ACQUIRE) < FAULTS / 4 + round)
		;
	must(!kt_handover(kt_key(0), kt_addr(0), FAULTS * size / kt_page));
	must(!pthread_join(thread, NULL));
}

static void under_way(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(0), round, i;

	for (round = 0; round < 16; round++) {
		kt_run(do_under_way, &round);
		must(!kt_takeover(kt_key(0), base, FAULTS * size / kt_page));
		for (i = 0; i < FAULTS; i++)
			must(*(__u64 *)kt_ptr(base + i * size) == kt_word(SEED, i));
		must(!munmap(kt_ptr(base), FAULTS * size));
	}
}

/* ---- what a successor's children see ---- */

static void do_give_split(void *arg)
{
	unsigned long base = kt_addr(0), size = kt_pmd_size();

	must(!arg);
	kt_map_thp(base, size);
	kt_fill(base, 0, size / kt_page, SEED);
	/* from here on each page has a mapping of its own */
	must(!mprotect(kt_ptr(base + kt_page), kt_page, PROT_READ));
	must(!mprotect(kt_ptr(base + kt_page), kt_page, PROT_READ | PROT_WRITE));
	must(!kt_handover(kt_key(0), base, size / kt_page));
}

static void do_give_whole(void *arg)
{
	unsigned long base = kt_addr(0), size = kt_pmd_size();

	must(!arg);
	kt_map_thp(base, size);
	kt_fill(base, 0, size / kt_page, SEED);
	must(!kt_handover(kt_key(0), base, size / kt_page));
}

static void counted_huge(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(0), nr = size / kt_page;
	long before = kt_nr_thp(kt_pmd_size() / 1024), i;

	for (i = 0; i < 3; i++) {
		kt_run(do_give_whole, NULL);
		must(kt_nr_thp(kt_pmd_size() / 1024) == before + 1);
		must(!kt_takeover(kt_key(0), base, nr));
		must(kt_same(base, 0, nr, SEED));
		must(kt_nr_thp(kt_pmd_size() / 1024) == before + 1);
		must(!munmap(kt_ptr(base), size));
		must(kt_nr_thp(kt_pmd_size() / 1024) == before);
	}
}

static void split_and_forked(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(0), nr = size / kt_page;
	pid_t pid;

	kt_run(do_give_split, NULL);
	must(!kt_takeover(kt_key(0), base, nr));
	must(kt_same(base, 0, nr, SEED));
	pid = kt_fork();
	if (!pid) {
		kt_fill(base, 0, nr, SEED + 1);
		must(kt_same(base, 0, nr, SEED + 1));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(kt_same(base, 0, nr, SEED));
	must(!munmap(kt_ptr(base), size));
}

static const struct kt_case cases[] = {
	{ "exit: the successor gets the bytes", .now = ends_exit },
	{ "exit: writes after the handover, and those into holes", .now = ends_written },
	{ "exec ends the address space, not the record", .now = ends_exec },
	{ "SIGKILL: the successor gets the bytes", .now = ends_killed },
	{ "SIGSEGV: the successor gets the bytes", .now = ends_segv },
	{ "SIGKILL in HANDOVER: the whole record or none", .now = ends_killed_meanwhile },
	{ "SIGKILL in HANDOVER of huge pages", .now = ends_killed_huge },
	{ "SIGKILL in HANDOVER of shared memory", .now = ends_killed_shared },
	{ "SIGKILL in TAKEOVER: all in the record, or all freed", .now = taker_killed },
	{ "SIGKILL in TAKEOVER of huge pages", .now = taker_killed_huge },
	{ "SIGKILL in TAKEOVER of shared memory", .now = taker_killed_shared },
	{ "SIGKILL in FREEZE: frozen, or as it was", .now = freezer_killed },
	{ "SIGKILL in DROP: the whole record or none", .now = dropper_killed },
	{ "SIGKILL in CHOWN: one owner, either", .now = giver_killed },
	{ "process_mrelease takes nothing away", .now = reaper_takes_nothing },
	{ "forked children do not count", .now = children_do_not_count },
	{ "a thread's end is not the owner's", .now = threads_share },
	{ "drop: the process keeps its memory and may unmap it", .now = drop_frees },
	{ "drop: a dead process's memory is free again", .now = drop_after_end },
	{ "drop: by another process of the owner", .now = drop_by_another },
	{ "munmap, mremap, MAP_FIXED, madvise: EPERM", .now = parting_is_refused },
	{ "process_madvise: EPERM", .now = parting_process_madvise },
	{ "mremap does not make it larger", .now = parting_grow },
	{ "brk does not take it away", .now = parting_brk },
	{ "userfaultfd does not watch it: EBUSY", .now = parting_watch },
	{ "UFFDIO_MOVE does not take it away", .now = parting_move },
	{ "MADV_COLLAPSE does not collapse it: EAGAIN", .now = parting_collapse },
	{ "the pages are those of before: small ones, and shared ones", .now = not_copied },
	{ "the pages are those of before: huge ones", .now = not_copied_huge },
	{ "huge pages in scratch areas are moved out", .now = huge_in_scratch },
	{ "written late, in a scratch area, and held by another", .now = held_in_scratch },
	{ "in a scratch area, and held for a while: waited for", .now = held_for_a_while },
	{ "hugetlb: written late, in a scratch area, and not to be moved", .now = hugetlb_stays },
	{ "hugetlb: nothing to be had in place of a scratch area", .now = hugetlb_lost },
	{ "mprotect and harmless advice are allowed", .now = protecting_is_allowed },
	{ "mlock and mlockall", .now = locked_memory },
	{ "successors take it part by part", .now = successors },
	{ "handed from one to the next, 20 times", .now = generations },
	{ "a fault that is under way at the handover is in it", .now = under_way },
	{ "a huge page that was mapped by the page: a child copies", .now = split_and_forked },
	{ "a huge page that is taken over is counted once", .now = counted_huge },
	{ "of many that want it, one gets it", .now = successors_race },
};

int main(int argc, char **argv)
{
	char c;

	/* what ends_exec() becomes */
	if (argc == 2 && !strcmp(argv[1], "hold"))
		return read(0, &c, 1) != 0;
	kt_program = 5;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
