// SPDX-License-Identifier: GPL-2.0-only
/*
 * H3, T5: a kexec that is called off loses nothing. Where the step before it cannot
 * be done, reboot(2) says so and everything goes on: who writes, goes on writing;
 * records are made, frozen, dropped and taken over; and the kexec that does happen in
 * the end finds every completed write.
 *
 * The cases call for the kexec themselves, so the next kernel is loaded before they
 * run. If the step does not fail, the machine is gone, and the results with it.
 *
 * Provokes: kmho: (key 0x[0-9a-f]+|records) cannot be completed(, not rebooting)?: -
 */
#include "kmho_test.h"

#include <linux/capability.h>
#include <linux/reboot.h>

enum {
	STARVED_PRIVATE,
	STARVED_SHARED,
	PRIVATE,
	SHARED,
	KILLED,
	KILLED_SHARED,
	FROZEN,
	DROPPED,
	HOLDER,
	MEANWHILE,
	LATER,
	LARGE,
	LARGE_HOLDER,
	WAITING,
	WAITING_NEXT,
	FILLER,		/* where memory is used up */
	SETTLED,
	CROWDED,
	FILLERS,	/* the last: each a record of its own */
};

#define SEED(place)	(0xca11edULL + (place))
#define NR_OWNERS	8
#define NR_SMALL	64

/*
 * An owner's memory: a page of counters, one that each writer writes to again and
 * again, holes, as many as a prime, which are written to in leaps and bounds, and a
 * last page that nobody writes to
 */
enum { STORES, CALLS, NR_WRITERS };

#define FIRST_HOLE	(1UL + NR_WRITERS)
#define NR_HOLES	4093UL
#define HOLES_EACH	(NR_HOLES / NR_WRITERS)
#define NR		(FIRST_HOLE + NR_HOLES + 1)
#define LEAP		577

struct head {
	__u64 completed[NR_WRITERS];
};

struct owner;

struct writer {
	struct owner *owner;
	/* what the next who has the record must find, at least */
	__u64 completed;
	bool stopped;
};

/* Shared with the case, which has no record, and asks for the kexec */
struct owner {
	unsigned long place;
	bool shared;
	pid_t pid;
	bool ready;
	struct writer writers[NR_WRITERS];
	bool stop;
	unsigned int asked;
	unsigned int answered;
	bool may_unmap;
	/* of the process itself */
	int fd;
	int pipe[2];
	/* of the case: pages that the record has, at least */
	unsigned long present;
};

struct common {
	struct owner owners[NR_OWNERS];
	unsigned int nr_owners;
	bool go;
	bool held;
	bool handed_over;
};

static struct common *common;

static void setup(void)
{
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	must(common != MAP_FAILED);
}

static void pause_a_little(void)
{
	struct timespec ts = { .tv_nsec = 1000000 };

	nanosleep(&ts, NULL);
}

/* Waits until another process says so; if that has ended instead, so does this one */
static void wait_for(const bool *flag, pid_t pid)
{
	int status;

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			_exit(WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP ?
			      KSFT_SKIP : KSFT_FAIL);
		pause_a_little();
	}
}

static void say(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

/* ---- those who write ---- */

/* The page of the hole that writer @w fills in its step @n, from 1 on */
static unsigned long hole_of(unsigned long w, __u64 n)
{
	return FIRST_HOLE + ((n - 1) * NR_WRITERS + w) * LEAP % NR_HOLES;
}

/* As write(2) and read(2) do it: into the file, or by the kernel into the page */
static void fill_by_call(const struct owner *o, unsigned long page)
{
	unsigned long per_page = kt_page / sizeof(__u64), i;
	void *to = kt_ptr(kt_addr(o->place) + page * kt_page);
	__u64 words[512];

	for (i = 0; i < per_page; i++)
		words[i] = kt_word(SEED(o->place), page * per_page + i);
	if (o->shared) {
		must(pwrite(o->fd, words, kt_page, page * kt_page) == (ssize_t)kt_page);
	} else {
		must(write(o->pipe[1], words, kt_page) == (ssize_t)kt_page);
		must(read(o->pipe[0], to, kt_page) == (ssize_t)kt_page);
	}
}

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	struct owner *o = writer->owner;
	unsigned long w = writer - o->writers, base = kt_addr(o->place);
	__u64 *words = kt_ptr(base + (1 + w) * kt_page), n;
	struct head *head = kt_ptr(base);

	for (n = 1; ; n++) {
		while (__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE)) {
			say(&writer->stopped);
			pause_a_little();
		}
		__atomic_store_n(&writer->stopped, false, __ATOMIC_RELEASE);
		__atomic_store_n(&words[n % (kt_page / 8)], n, __ATOMIC_RELAXED);
		if (n <= HOLES_EACH && w == STORES)
			kt_fill(base, hole_of(w, n), 1, SEED(o->place));
		else if (n <= HOLES_EACH)
			fill_by_call(o, hole_of(w, n));
		__atomic_store_n(&head->completed[w], n, __ATOMIC_RELEASE);
		__atomic_store_n(&writer->completed, n, __ATOMIC_RELEASE);
		usleep(20000);
	}
	return NULL;
}

static __u64 completed(struct owner *o, unsigned long w)
{
	return __atomic_load_n(&o->writers[w].completed, __ATOMIC_ACQUIRE);
}

static __noreturn void be_owner(struct owner *o)
{
	unsigned long base = kt_addr(o->place), w;
	pthread_t thread;

	if (o->shared) {
		o->fd = memfd_create("owner", 0);
		must(o->fd >= 0 && !ftruncate(o->fd, NR * kt_page));
		kt_map_shared(base, NR, o->fd);
	} else {
		must(!pipe(o->pipe));
		kt_map(base, NR);
	}
	must(!kt_handover(kt_key(o->place), base, NR));
	for (w = 0; w < NR_WRITERS; w++) {
		o->writers[w].owner = o;
		must(!pthread_create(&thread, NULL, write_on, &o->writers[w]));
	}
	for (w = 0; w < NR_WRITERS; w++)
		while (completed(o, w) < 10)
			pause_a_little();
	kt_quiet();
	say(&o->ready);
	while (true) {
		unsigned int asked = __atomic_load_n(&o->asked, __ATOMIC_ACQUIRE);

		if (asked != o->answered) {
			o->may_unmap = !munmap(kt_ptr(base + (NR - 1) * kt_page), kt_page);
			must(o->may_unmap || errno == EPERM);
			__atomic_store_n(&o->answered, asked, __ATOMIC_RELEASE);
		}
		pause_a_little();
	}
}

static struct owner *start_owner(unsigned long place, bool shared)
{
	struct owner *o = &common->owners[common->nr_owners++];

	pid_t pid;

	o->place = place;
	o->shared = shared;
	pid = kt_fork();
	if (!pid)
		be_owner(o);
	o->pid = pid;
	wait_for(&o->ready, pid);
	return o;
}

/* What has been written by now is in the record once it has been looked at */
static void note_present(struct owner *o)
{
	unsigned long w;

	o->present = FIRST_HOLE;
	for (w = 0; w < NR_WRITERS; w++)
		o->present += completed(o, w) < HOLES_EACH ? completed(o, w) : HOLES_EACH;
}

static bool may_unmap(struct owner *o)
{
	unsigned int asked = o->asked + 1;

	__atomic_store_n(&o->asked, asked, __ATOMIC_RELEASE);
	while (__atomic_load_n(&o->answered, __ATOMIC_ACQUIRE) != asked) {
		must(!waitpid(o->pid, NULL, WNOHANG));
		pause_a_little();
	}
	return o->may_unmap;
}

/* Both writers get on */
static void writes_on(struct owner *o)
{
	__u64 from[NR_WRITERS];
	unsigned long w;

	for (w = 0; w < NR_WRITERS; w++)
		from[w] = completed(o, w);
	for (w = 0; w < NR_WRITERS; w++) {
		while (completed(o, w) < from[w] + 20) {
			must(!waitpid(o->pid, NULL, WNOHANG));
			pause_a_little();
		}
	}
}

/* The record is its owner's as it was before, and follows it still */
static void goes_on(struct owner *o)
{
	unsigned long most = FIRST_HOLE, w;
	struct kmho_record_info info;
	__u64 done;

	writes_on(o);
	must(!kt_info(kt_key(o->place), &info));
	for (w = 0; w < NR_WRITERS; w++) {
		done = completed(o, w) + 1;
		most += done < HOLES_EACH ? done : HOLES_EACH;
	}
	kt_show(&info, "called off");
	must(info.state == KMHO_STATE_LIVE && info.pid == o->pid);
	must(info.bytes == NR * kt_page && info.nr_ranges == 1);
	must(info.present >= o->present * kt_page && info.present <= most * kt_page);
	must(!may_unmap(o));
}

static void stop(struct owner *o)
{
	unsigned long w;

	say(&o->stop);
	for (w = 0; w < NR_WRITERS; w++)
		wait_for(&o->writers[w].stopped, o->pid);
}

static void go_on(struct owner *o)
{
	__atomic_store_n(&o->stop, false, __ATOMIC_RELEASE);
}

/* Takes an owner's record over; at least what @o has seen completed is there, all of it */
static void take(unsigned long place, bool shared, struct owner *o)
{
	unsigned long base = kt_addr(place), per_page = kt_page / 8, present, w;
	struct head *head = kt_ptr(base);
	struct kmho_record_info info;
	__u64 n, done, *words;

	must(!kt_info(kt_key(place), &info));
	must(!kt_takeover(kt_key(place), base, NR));
	must(!kt_exists(kt_key(place)));
	must(kt_perms(base, shared ? "rw-s" : "rw-p"));
	present = info.present / kt_page - FIRST_HOLE;
	for (w = 0; w < NR_WRITERS; w++) {
		done = head->completed[w];
		printf("# writer %lu: %llu writes\n", w, (unsigned long long)done);
		must(done >= (o ? completed(o, w) : 10));
		words = kt_ptr(base + (1 + w) * kt_page);
		for (n = done < per_page ? 1 : done - per_page + 2; n <= done; n++)
			must(words[n % per_page] == n);
		if (done > HOLES_EACH)
			done = HOLES_EACH;
		for (n = 1; n <= done; n++)
			must(kt_same(base, hole_of(w, n), 1, SEED(place)));
		present -= done;
	}
	/* one more of each may have been in the making; what is shared is counted at a kexec */
	must(present <= NR_WRITERS || (shared && o));
}

/* ---- a page that cannot be moved out of a scratch area ---- */

#define NR_LATE		4096

/* The counter goes up after the page that it counts */
static __noreturn void be_holder(unsigned long place, int fd)
{
	unsigned long base = kt_addr(place), end, i;
	__u64 *count = kt_ptr(base);
	struct kt_scratch s;
	struct iovec iov;

	kt_find_scratch(&s);
	kt_map(base, NR_LATE);
	while (!__atomic_load_n(&common->go, __ATOMIC_ACQUIRE))
		pause_a_little();
	must(!kt_handover(kt_key(place), base, NR_LATE));
	end = kt_fill_memory(&s, kt_addr(FILLER));
	for (i = 1; i < NR_LATE; i++) {
		kt_fill(base, i, 1, SEED(place));
		*count = i;
		if (kt_in_scratch(&s, base + i * kt_page))
			break;
	}
	must(i < NR_LATE);
	iov = (struct iovec){ kt_ptr(base + i * kt_page), kt_page };
	must(vmsplice(fd, &iov, 1, 0) == (ssize_t)kt_page);
	kt_unmap(kt_addr(FILLER), (end - kt_addr(FILLER)) / kt_page);
	kt_quiet();
	say(&common->held);
	while (true)
		pause();
}

/* A record in which such a page is; it is to be the last that the kernel comes to */
static pid_t start_holder(unsigned long place, int fds[2])
{
	pid_t pid;

	must(!pipe(fds));
	pid = kt_fork();
	if (!pid)
		be_holder(place, fds[1]);
	return pid;
}

static void hold(pid_t pid)
{
	say(&common->go);
	wait_for(&common->held, pid);
}

static void let_go(int fds[2])
{
	char buf[65536];

	must(read(fds[0], buf, sizeof(buf)) == (ssize_t)kt_page);
}

static void take_held(unsigned long place)
{
	unsigned long base = kt_addr(place);
	__u64 count;

	must(!kt_takeover(kt_key(place), base, NR_LATE));
	count = *(__u64 *)kt_ptr(base);
	printf("# %llu pages were written, the last of them held\n", (unsigned long long)count);
	must(count > 0 && count < NR_LATE);
	must(kt_same(base, 1, count, SEED(place)));
	must(!kt_held_pages(base + (1 + count) * kt_page, NR_LATE - 1 - count));
}

/* ---- the call ---- */

static int call_for_kexec(void)
{
	return syscall(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		       LINUX_REBOOT_CMD_KEXEC, NULL);
}

static void need_loaded(void)
{
	char loaded[8] = "";

	kt_need_root();
	kt_read_file("/sys/kernel/kexec_loaded", loaded, sizeof(loaded));
	if (loaded[0] != '1')
		kt_skip("no kernel is loaded to kexec to");
}

/* The kernel's log says which record it was */
static void refused_for(unsigned long place)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char line[2048], want[64];
	bool named = false;
	ssize_t n;

	must(fd >= 0);
	must(lseek(fd, 0, SEEK_END) >= 0);
	must_fail(EBUSY, call_for_kexec());
	snprintf(want, sizeof(want), "key %#lx cannot be completed", kt_key(place));
	while (true) {
		n = read(fd, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		line[n] = 0;
		named = named || strstr(line, want);
	}
	must(named);
	close(fd);
}

/* Every allocation of a task that asks for it fails */
static void set_faults(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
	};
	static const char * const common_settings[][2] = {
		{ "task-filter", "Y" },
		{ "verbose", "0" },
		{ "interval", "1" },
		{ "space", "0" },
		{ "times", "-1" },
		{ "probability", "100" },
	};
	char path[128];
	unsigned int i;

	if (access("/sys/kernel/debug/fail_page_alloc", F_OK) ||
	    access("/sys/kernel/debug/failslab", F_OK))
		kt_skip("no failslab or fail_page_alloc in debugfs");
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		must(kt_write_file(path, settings[i][1]));
	}
	for (i = 0; i < ARRAY_SIZE(common_settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/failslab/%s",
			 common_settings[i][0]);
		must(kt_write_file(path, common_settings[i][1]));
		snprintf(path, sizeof(path), "/sys/kernel/debug/fail_page_alloc/%s",
			 common_settings[i][0]);
		must(kt_write_file(path, common_settings[i][1]));
	}
	/* nor may what this program needs meanwhile be an allocation */
	must(!mlockall(MCL_CURRENT));
}

/* Without a byte to be had, the tables that the next kernel reads cannot be written */
static void starved(void)
{
	int fd = open("/proc/self/make-it-fail", O_RDWR), ret, err;

	must(fd >= 0);
	must(pwrite(fd, "1", 1, 0) == 1);
	ret = call_for_kexec();
	err = errno;
	must(pwrite(fd, "0", 1, 0) == 1);
	close(fd);
	errno = err;
	must(ret == -1 && errno == ENOMEM);
}

/* ---- no memory to move anything to ---- */

#define NR_CROWDED	32768UL
#define NR_FILLER	1024UL
#define ROOM_KIB	(96 << 10)	/* less than that, more than watermarks */

static unsigned long filler(unsigned long n)
{
	return kt_addr(FILLERS) + n * NR_FILLER * kt_page;
}

/* What is handed over lies in no scratch area: uses up what there is outside of them */
static __noreturn void be_crowd(void)
{
	unsigned long n;

	/* a page of this program that has to be read would be waited for */
	must(!mlockall(MCL_CURRENT));
	for (n = 0; kt_meminfo("MemFree") - kt_meminfo("CmaFree") > ROOM_KIB; n++) {
		kt_map(filler(n), NR_FILLER);
		must(!madvise(kt_ptr(filler(n)), NR_FILLER * kt_page, MADV_POPULATE_WRITE));
		must(!kt_handover(kt_key(FILLERS + n), filler(n), NR_FILLER));
	}
	printf("# %lu MiB fill what is not in a scratch area\n", n * NR_FILLER * kt_page >> 20);
	kt_quiet();
	say(&common->held);
	while (!__atomic_load_n(&common->go, __ATOMIC_ACQUIRE))
		pause_a_little();
	/* there is nothing to be had for that, either */
	while (n--)
		must(!kt_drop(kt_key(FILLERS + n)));
	_exit(0);
}

/*
 * What has come to a live record lies in scratch areas, as there is no other memory. It
 * cannot be moved, and there is no kexec; but nobody is killed to make room for it, whose
 * memory would not be free then either, as it is somebody's record. Nor is somebody for
 * a DROP, which is how there is memory again.
 */
static void crowded_before(void)
{
	long killed = kt_field("/proc/vmstat", "oom_kill");
	unsigned long base = kt_addr(CROWDED);
	pid_t crowd;

	need_loaded();
	setup();
	must(killed >= 0);
	must(!mlockall(MCL_CURRENT));
	/* the last node has the scratch area where this finds most */
	kt_run_on(sysconf(_SC_NPROCESSORS_ONLN) - 1);
	kt_map(base, NR_CROWDED);
	must(!madvise(kt_ptr(base), NR_CROWDED * kt_page, MADV_NOHUGEPAGE));
	must(!kt_handover(kt_key(CROWDED), base, NR_CROWDED));
	crowd = kt_fork();
	if (!crowd)
		be_crowd();
	wait_for(&common->held, crowd);
	kt_fill(base, 0, NR_CROWDED, SEED(CROWDED));
	must_fail(ENOMEM, call_for_kexec());
	say(&common->go);
	must(!kt_wait(crowd));
	must(kt_field("/proc/vmstat", "oom_kill") == killed);
	must(kt_same(base, 0, NR_CROWDED, SEED(CROWDED)));
	kt_stay();
}

static void crowded_after(void)
{
	unsigned long base = kt_addr(CROWDED);

	must(!kt_takeover(kt_key(CROWDED), base, NR_CROWDED));
	must(kt_same(base, 0, NR_CROWDED, SEED(CROWDED)));
}

/* ---- no memory ---- */

/* Who may not lock what it likes has all that its user has handed over looked at again */
static void do_settle(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct __user_cap_data_struct data[2];

	must(!arg);
	must(!setrlimit(RLIMIT_MEMLOCK, &limit));
	must(!syscall(__NR_capget, &header, data));
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	must(!syscall(__NR_capset, &header, data));
	kt_map(kt_addr(SETTLED), 1);
	must(!kt_handover(kt_key(SETTLED), kt_addr(SETTLED), 1));
	must(!kt_drop(kt_key(SETTLED)));
}

static unsigned long changed(struct owner *o)
{
	struct kmho_record_info info;

	must(!kt_info(kt_key(o->place), &info));
	return info.changed;
}

/* In the order of what there is to do: private memory, shared memory, the tables */
static void starved_before(void)
{
	struct owner *private, *shared;

	need_loaded();
	set_faults();
	setup();
	private = start_owner(STARVED_PRIVATE, false);
	shared = start_owner(STARVED_SHARED, true);

	must(changed(private) && changed(shared));
	starved();
	goes_on(private);
	goes_on(shared);

	stop(private);
	stop(shared);
	kt_run(do_settle, NULL);
	must(!changed(private) && !changed(shared));
	note_present(private);
	go_on(shared);
	writes_on(shared);
	must(!changed(private) && changed(shared));
	starved();
	must(changed(shared));
	goes_on(shared);

	stop(shared);
	kt_run(do_settle, NULL);
	note_present(shared);
	starved();
	must(!changed(private) && !changed(shared));
	go_on(private);
	go_on(shared);
	goes_on(private);
	goes_on(shared);
	kt_stay();
}

static void starved_after(void)
{
	take(STARVED_PRIVATE, false, NULL);
	take(STARVED_SHARED, true, NULL);
}

/* ---- a record that cannot be completed, for four seconds of trying ---- */

/* Comes while the kernel tries: what is killed then is complete, and a call waits */
static __noreturn void be_visitor(pid_t victim)
{
	sleep(1);
	must(!kill(victim, SIGKILL));
	kt_map(kt_addr(MEANWHILE), NR_SMALL);
	kt_fill(kt_addr(MEANWHILE), 0, NR_SMALL / 2, SEED(MEANWHILE));
	must(!kt_handover(kt_key(MEANWHILE), kt_addr(MEANWHILE), NR_SMALL));
	kt_fill(kt_addr(MEANWHILE), NR_SMALL / 2, 1, SEED(MEANWHILE));
	kt_quiet();
	say(&common->handed_over);
	while (true)
		pause();
}

static void refused_before(void)
{
	struct owner *private, *shared, *killed, *killed_shared, *frozen, *dropped;
	struct kmho_record_info info;
	pid_t holder, visitor;
	int fds[2];

	need_loaded();
	setup();
	holder = start_holder(HOLDER, fds);
	private = start_owner(PRIVATE, false);
	shared = start_owner(SHARED, true);
	killed = start_owner(KILLED, false);
	killed_shared = start_owner(KILLED_SHARED, true);
	frozen = start_owner(FROZEN, false);
	dropped = start_owner(DROPPED, false);
	hold(holder);
	visitor = kt_fork();
	if (!visitor)
		be_visitor(killed->pid);

	note_present(private);
	note_present(frozen);
	note_present(dropped);
	refused_for(HOLDER);
	goes_on(private);
	goes_on(shared);
	goes_on(killed_shared);
	goes_on(frozen);
	goes_on(dropped);
	wait_for(&common->handed_over, visitor);

	/* in the same kernel, by successors */
	must(kt_wait(killed->pid) == 128 + SIGKILL);
	take(KILLED, false, killed);
	must(!kill(killed_shared->pid, SIGKILL));
	must(kt_wait(killed_shared->pid) == 128 + SIGKILL);
	take(KILLED_SHARED, true, killed_shared);

	must(!kt_drop(kt_key(DROPPED)));
	must(!kt_exists(kt_key(DROPPED)) && may_unmap(dropped));
	must(!kt_freeze(kt_key(FROZEN)));
	must(!kt_info(kt_key(FROZEN), &info) && info.state == KMHO_STATE_HELD);
	writes_on(frozen);
	kt_give(kt_key(LATER), kt_addr(LATER), NR_SMALL, SEED(LATER));

	/* the kernel knows yet that it has to look at this again */
	must(!kt_info(kt_key(HOLDER), &info));
	must(info.state == KMHO_STATE_LIVE && info.pid == holder && info.changed);
	let_go(fds);
	kt_stay();
}

static void refused_after(void)
{
	take(PRIVATE, false, NULL);
	take(SHARED, true, NULL);
	take(FROZEN, false, NULL);
	take_held(HOLDER);
	must(!kt_takeover(kt_key(MEANWHILE), kt_addr(MEANWHILE), NR_SMALL));
	must(kt_same(kt_addr(MEANWHILE), 0, NR_SMALL / 2 + 1, SEED(MEANWHILE)));
	kt_take(kt_key(LATER), kt_addr(LATER), NR_SMALL, SEED(LATER));
	must(!kt_exists(kt_key(KILLED)) && !kt_exists(kt_key(KILLED_SHARED)));
	must(!kt_exists(kt_key(DROPPED)));
}

/* ---- by what has changed ---- */

#define NR_LARGE	8192

/* Pages of a block that is looked at as one */
static unsigned long block_nr(void)
{
	unsigned long size = kt_pmd_size();

	return size ? size / kt_page : 512;
}

static void large_must_have(unsigned long present, unsigned long changed)
{
	struct kmho_record_info info;

	must(!kt_info(kt_key(LARGE), &info));
	printf("# %lu pages present, %lu blocks to look at\n",
	       (unsigned long)(info.present / kt_page), (unsigned long)info.changed);
	must(info.state == KMHO_STATE_LIVE && info.present == present * kt_page);
	must(info.changed == changed);
}

/* Of all there is, only what has changed is looked at, and only once */
static void changed_before(void)
{
	unsigned long base = kt_addr(LARGE), block = block_nr(), i;
	struct kmho_record_info info;
	pid_t holder;
	int fds[2];

	need_loaded();
	setup();
	holder = start_holder(LARGE_HOLDER, fds);
	kt_map(base, 2 * NR_LARGE);
	kt_fill(base, 0, NR_LARGE, SEED(LARGE));
	/* what this moves out of a scratch area may fault when it is next written to */
	must(!kt_handover(kt_key(LARGE), base, 2 * NR_LARGE));
	kt_fill(base, 0, NR_LARGE, SEED(LARGE));
	must(!kt_drop(kt_key(LARGE)));
	must(!kt_handover(kt_key(LARGE), base, 2 * NR_LARGE));
	large_must_have(NR_LARGE, 0);
	/* what is there is written to without the kernel's help */
	kt_fill(base, 0, NR_LARGE, SEED(LARGE) + 1);
	large_must_have(NR_LARGE, 0);
	for (i = 0; i < 3; i++)
		kt_fill(base, NR_LARGE + i * 2 * block, 2, SEED(LARGE));
	large_must_have(NR_LARGE, 3);

	hold(holder);
	refused_for(LARGE_HOLDER);
	large_must_have(NR_LARGE + 6, 0);
	must(!kt_info(kt_key(LARGE_HOLDER), &info) && info.changed);
	refused_for(LARGE_HOLDER);
	large_must_have(NR_LARGE + 6, 0);
	kt_fill(base, NR_LARGE + block, 1, SEED(LARGE));
	large_must_have(NR_LARGE + 6, 1);
	let_go(fds);
	kt_stay();
}

static void changed_after(void)
{
	unsigned long base = kt_addr(LARGE), block = block_nr(), i;

	must(!kt_takeover(kt_key(LARGE), base, 2 * NR_LARGE));
	must(kt_same(base, 0, NR_LARGE, SEED(LARGE) + 1));
	must(kt_held_pages(base + NR_LARGE * kt_page, NR_LARGE) == 7);
	for (i = 0; i < 3; i++)
		must(kt_same(base, NR_LARGE + i * 2 * block, 2, SEED(LARGE)));
	must(kt_same(base, NR_LARGE + block, 1, SEED(LARGE)));
	take_held(LARGE_HOLDER);
}

/* ---- what came with a kexec ---- */

#define NR_WAITING	4096

static void waiting_before(void)
{
	kt_give(kt_key(WAITING), kt_addr(WAITING), NR_WAITING, SEED(WAITING));
}

/*
 * One half is taken over and waits to be touched, the other is nobody's. What waits is
 * a process's own, and the next kernel is not to have it, until it is handed over.
 */
static void waiting_after(void)
{
	unsigned long base = kt_addr(WAITING), half = NR_WAITING / 2;
	struct kmho_record_info info;
	unsigned int i;

	need_loaded();
	set_faults();
	kt_need_patience("1000000");
	must(!kt_takeover(kt_key(WAITING), base, half));
	for (i = 0; i < 2; i++) {
		starved();
		must(!kt_info(kt_key(WAITING), &info));
		must(info.state == KMHO_STATE_INCOMING && info.present == half * kt_page);
		must(kt_same(base, i * 100, 10, SEED(WAITING)));
	}
	must(!kt_handover(kt_key(WAITING_NEXT), base, half));
	starved();
	must(kt_same(base, half - 10, 10, SEED(WAITING)));
	kt_stay();
}

static void waiting_again(void)
{
	unsigned long base = kt_addr(WAITING), half = NR_WAITING / 2;

	must(!kt_takeover(kt_key(WAITING_NEXT), base, half));
	must(!kt_takeover(kt_key(WAITING), base + half * kt_page, half));
	must(kt_same(base, 0, NR_WAITING, SEED(WAITING)));
	must(!kt_exists(kt_key(WAITING)));
}

static const struct kt_case cases[] = {
	{ "with nowhere to move memory to, nobody is killed, and everything goes on",
	  .before = crowded_before, .after = crowded_after },
	{ "without memory for the step before a kexec everything goes on",
	  .before = starved_before, .after = starved_after },
	{ "with a record that cannot be completed everything goes on",
	  .before = refused_before, .after = refused_after },
	{ "what a kexec that was called off has looked at is not looked at again",
	  .before = changed_before, .after = changed_after },
	{ "what waits to be touched, and what nobody took, is there after all",
	  .before = waiting_before, .after = waiting_after, .again = waiting_again },
};

int main(int argc, char **argv)
{
	kt_program = 13;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
