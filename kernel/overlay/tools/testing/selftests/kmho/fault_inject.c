// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation of every opcode fails once: the first, then the second, and
 * so on until none is left to fail (Documentation/fault-injection, fail-nth).
 * After each failure everything is as it was, and the same call made again
 * works and loses no byte.
 *
 * Injection only makes allocations fail that are made by this process while it
 * is armed; those that the kernel makes on its behalf elsewhere are not tested.
 */
#include "kmho_test.h"

#define SEED(place)	(0xfa11ULL + (place))
#define MAX_N		20000

enum { SMALL, HUGE, RANGES, TO = 64 };

#define NR_SMALL	256
#define NR_RANGES	40
/* Of the pages of a huge page only so many are looked at, for this is done very often */
#define NR_LOOK		16

struct progress {
	unsigned long nth;
	unsigned long failed;
	unsigned long survived;
	/* pages that were read from swap */
	unsigned long read;
	bool done;
};

/* One for each of the calls that a case makes: most make one, again and again */
#define NR_CALLS	6

static struct progress *progress;

/* Found out beforehand: reading it from sysfs would use up the failure */
static unsigned long huge_nr = 16;

/* What is handed over of the huge page begins here */
static unsigned long huge_first;

static void setup(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};
	unsigned int i, failed = 0;
	char path[128];

	if (kt_pmd_size())
		huge_nr = kt_pmd_size() / kt_page;
	if (access("/proc/self/fail-nth", W_OK))
		kt_skip("this kernel has no fault injection (CONFIG_FAULT_INJECTION)");
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		failed += !kt_write_file(path, settings[i][1]);
	}
	if (failed == ARRAY_SIZE(settings))
		kt_skip("neither failslab nor fail_page_alloc in debugfs");
	progress = mmap(NULL, NR_CALLS * sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(progress != MAP_FAILED);
}

static int nth_fd(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR);

	must(fd >= 0);
	return fd;
}

/*
 * Makes the call with its @n-th allocation failing; *@hit tells whether it
 * has that many.
 */
static int call_failing(int (*call)(void), unsigned int n, bool *hit)
{
	char text[16];
	int fd = nth_fd(), ret, err;
	ssize_t len = snprintf(text, sizeof(text), "%u", n);

	must(pwrite(fd, text, len, 0) == len);
	ret = call();
	err = errno;
	memset(text, 0, sizeof(text));
	must(pread(fd, text, sizeof(text) - 1, 0) > 0);
	*hit = !atoi(text);
	must(pwrite(fd, "0", 1, 0) == 1);
	close(fd);
	errno = err;
	return ret;
}

/* After a kexec there are several of each record */
static unsigned long copy;

static unsigned long key_of(unsigned long n)
{
	return kt_key(n + 64 * copy);
}

struct subject {
	void (*prepare)(void);
	int (*call)(void);
	/* after a call that worked, the one with a failure in it or not */
	void (*verify)(void);
	/* the same, when the process has ended that made it */
	void (*afterwards)(void);
};

static const struct subject *subject;

static void one_failure(void *arg)
{
	unsigned long n = (unsigned long)arg;
	struct kt_snapshot snap;
	bool hit;
	int ret;

	subject->prepare();
	kt_snap(&snap);
	ret = call_failing(subject->call, n, &hit);
	if (!ret) {
		subject->verify();
		if (hit)
			progress->survived++;
		else
			progress->done = true;
		return;
	}
	if (!hit || (errno != ENOMEM && errno != EFAULT)) {
		printf("# allocation %lu: errno %d, %s\n", n, errno,
		       hit ? "failed" : "not reached");
		must(false);
	}
	must(kt_unchanged(&snap));
	progress->failed++;
	/* straight afterwards, the right call works */
	must(!subject->call());
	subject->verify();
}

/* Pages that are pinned now, as often as each is */
static long nr_pins(void)
{
	kt_write_file("/proc/sys/vm/stat_refresh", "1");
	return kt_field("/proc/vmstat", "nr_foll_pin_acquired") -
	       kt_field("/proc/vmstat", "nr_foll_pin_released");
}

/* What a ring had pinned is given back some time after its end: also before this case */
static void must_have_no_more_pins(long nr)
{
	unsigned long tries;
	long now = nr_pins();

	for (tries = 0; now > nr && tries < 100; tries++) {
		usleep(100000);
		now = nr_pins();
	}
	if (now > nr)
		printf("# %ld pins, there were %ld\n", now, nr);
	must(now <= nr);
}

static void every_failure(const struct subject *s)
{
	long pins, before = 0, after;
	unsigned long n;

	setup();
	subject = s;
	pins = nr_pins();
	for (n = 1; n < MAX_N && !progress->done; n++) {
		/* the first ones fill the caches that the rest comes from */
		if (n == 8)
			before = kt_free_kib();
		kt_run(one_failure, (void *)n);
		if (s->afterwards)
			s->afterwards();
		kt_drop_all();
		if (n % 100 == 0)
			printf("# %lu allocations so far\n", n);
	}
	printf("# %lu allocations: the call failed for %lu, went on without %lu\n", n - 2,
	       progress->failed, progress->survived);
	must(progress->done);
	must_have_no_more_pins(pins);
	after = kt_free_kib();
	if (before)
		printf("# %ld kB free, %ld kB afterwards\n", before, after);
	must(!before || before - after < 4096 + kt_slack_kib());
}

/* ---- memory of several shapes, in many ranges ---- */

static void map_all(void)
{
	unsigned long i;

	kt_map(kt_addr(SMALL), NR_SMALL);
	for (i = 0; i < NR_SMALL; i++) {
		if (i % 8 < 5)
			kt_fill(kt_addr(SMALL), i, 1, SEED(SMALL));
	}
	if (kt_pmd_size())
		kt_map_thp(kt_addr(HUGE), huge_nr * kt_page);
	else
		kt_map(kt_addr(HUGE), huge_nr);
	kt_fill(kt_addr(HUGE), 0, NR_LOOK, SEED(HUGE));
	kt_fill(kt_addr(HUGE), huge_nr - 1, 1, SEED(HUGE));
	kt_map(kt_addr(RANGES), 2 * NR_RANGES);
	kt_fill(kt_addr(RANGES), 0, 2 * NR_RANGES, SEED(RANGES));
	must(!mprotect(kt_ptr(kt_addr(SMALL) + 32 * kt_page), 32 * kt_page, PROT_READ));
}

static void all_ranges(struct kmho_range_handover *r)
{
	unsigned long i;

	r[0] = (struct kmho_range_handover){ kt_addr(SMALL), NR_SMALL * kt_page };
	r[1] = (struct kmho_range_handover){
		kt_addr(HUGE) + huge_first * kt_page, (huge_nr - huge_first) * kt_page
	};
	for (i = 0; i < NR_RANGES; i++)
		r[2 + i] = (struct kmho_range_handover){
			kt_addr(RANGES) + 2 * i * kt_page, kt_page
		};
}

static int hand_over_all(void)
{
	struct kmho_range_handover r[NR_RANGES + 2];
	struct kmho_op_handover op = { key_of(0), NR_RANGES + 2, r };

	all_ranges(r);
	return kmho(KMHO_HANDOVER, &op);
}

/* What lies @to higher than where it was handed over is all of it */
static void check_all(unsigned long to)
{
	unsigned long i;

	for (i = 0; i < NR_SMALL; i++)
		if (i % 8 < 5)
			must(kt_same(kt_addr(SMALL) + to, i, 1, SEED(SMALL)));
	must(kt_held_pages(kt_addr(SMALL) + to, NR_SMALL) == NR_SMALL / 8 * 5);
	if (!huge_first)
		must(kt_same(kt_addr(HUGE) + to, 0, NR_LOOK, SEED(HUGE)));
	must(kt_same(kt_addr(HUGE) + to, huge_nr - 1, 1, SEED(HUGE)));
	for (i = 0; i < NR_RANGES; i++)
		must(kt_same(kt_addr(RANGES) + to, 2 * i, 1, SEED(RANGES)));
}

static unsigned long to_offset(void)
{
	return kt_addr(TO) - kt_addr(0);
}

static int take_all(unsigned int opcode, unsigned long offset)
{
	struct kmho_range_handover h[NR_RANGES + 2];
	struct kmho_range_takeover r[NR_RANGES + 2];
	struct kmho_op_takeover op = { key_of(0), NR_RANGES + 2, r };
	unsigned long i;

	all_ranges(h);
	for (i = 0; i < NR_RANGES + 2; i++)
		r[i] = (struct kmho_range_takeover){
			h[i].base, { h[i].length }, h[i].base + offset
		};
	return kmho(opcode, &op);
}

/* ---- HANDOVER ---- */

static void verify_handover(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(0), &info));
	must(info.state == KMHO_STATE_LIVE && info.nr_ranges >= NR_RANGES + 2);
	check_all(0);
	/* it is a live one, and can be undone */
	kt_fill(kt_addr(RANGES), 0, 2 * NR_RANGES, SEED(RANGES));
	must(!kt_drop(key_of(0)));
	check_all(0);
	must(!munmap(kt_ptr(kt_addr(SMALL)), NR_SMALL * kt_page));
}

static void handover(void)
{
	static const struct subject s = { map_all, hand_over_all, verify_handover };

	every_failure(&s);
}

/* One record is there already, and must not suffer */
static void map_second(void)
{
	map_all();
	kt_map(kt_addr(9), 64);
	kt_fill(kt_addr(9), 0, 64, SEED(9));
	must(!kt_handover(kt_key(9), kt_addr(9), 64));
}

static void verify_second(void)
{
	verify_handover();
	must(kt_same(kt_addr(9), 0, 64, SEED(9)));
	must(!kt_drop(kt_key(9)));
	kt_unmap(kt_addr(9), 64);
}

static void handover_second(void)
{
	static const struct subject s = { map_second, hand_over_all, verify_second };

	every_failure(&s);
}

/* ---- HANDOVER of what is swapped out ---- */

#define CGROUP		"/sys/fs/cgroup/kmho-fault"
#define CLUSTER		"/proc/sys/vm/page-cluster"
#define NR_SWAPPED	24

/* mincore(2) says of what is swapped out whether it is in the swap cache */
static bool any_in_swap_cache(void)
{
	unsigned char vec[NR_SWAPPED];
	unsigned long i;

	must(!mincore(kt_ptr(kt_addr(SMALL)), NR_SWAPPED * kt_page, vec));
	for (i = 0; i < NR_SWAPPED; i++)
		if (vec[i] & 1)
			return true;
	return false;
}

/* Out of the swap cache as well, so that a page has to be had for each, and to be read */
static void map_swapped(void)
{
	int tries;

	must(kt_write_file(CGROUP "/cgroup.procs", "0"));
	kt_map(kt_addr(SMALL), NR_SWAPPED);
	kt_fill(kt_addr(SMALL), 0, NR_SWAPPED, SEED(SMALL));
	must(kt_pageout(kt_addr(SMALL), NR_SWAPPED) == NR_SWAPPED);
	/* the device may not have them yet; what it has is the first to be reclaimed */
	for (tries = 0; tries < 1000 && any_in_swap_cache(); tries++) {
		usleep(1000);
		kt_write_file(CGROUP "/memory.reclaim", "64K");
	}
	must(!any_in_swap_cache());
}

static int hand_over_swapped(void)
{
	struct rusage before, after;
	int ret, err;

	getrusage(RUSAGE_SELF, &before);
	ret = kt_handover(key_of(0), kt_addr(SMALL), NR_SWAPPED);
	err = errno;
	getrusage(RUSAGE_SELF, &after);
	progress->read += after.ru_majflt - before.ru_majflt;
	errno = err;
	return ret;
}

static void verify_swapped(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(0), &info));
	must(info.state == KMHO_STATE_LIVE && info.present == NR_SWAPPED * kt_page);
	must(kt_same(kt_addr(SMALL), 0, NR_SWAPPED, SEED(SMALL)));
	must(!kt_drop(key_of(0)));
	must(kt_same(kt_addr(SMALL), 0, NR_SWAPPED, SEED(SMALL)));
	kt_unmap(kt_addr(SMALL), NR_SWAPPED);
}

static void handover_swapped(void)
{
	static const struct subject s = { map_swapped, hand_over_swapped, verify_swapped };
	char cluster[16];

	kt_need_swap();
	kt_need_cgroup(CGROUP);
	/* each by itself, and not with those beside it, which need not come */
	must(kt_read_file(CLUSTER, cluster, sizeof(cluster)) && kt_write_file(CLUSTER, "0"));
	every_failure(&s);
	must(kt_write_file(CLUSTER, cluster));
	printf("# %lu times a page was read from swap\n", progress->read);
	must(progress->read > NR_SWAPPED && progress->failed >= NR_SWAPPED);
	must(!rmdir(CGROUP));
}

/* ---- TAKEOVER ---- */

static void do_give_all(void *arg)
{
	must(!arg);
	map_all();
	must(!hand_over_all());
}

static void give_all(void)
{
	kt_run(do_give_all, NULL);
}

static int take_back(void)
{
	return take_all(KMHO_TAKEOVER, 0);
}

static void verify_back(void)
{
	check_all(0);
	must(kt_perms(kt_addr(SMALL), "rw-p"));
	must(kt_perms(kt_addr(SMALL) + 40 * kt_page, "r--p"));
	must(!kt_exists(key_of(0)));
}

static void takeover(void)
{
	static const struct subject s = { give_all, take_back, verify_back };

	every_failure(&s);
}

/* ---- TAKEOVER of pages of which others have one ---- */

#define NR_ASKED	16

static int in_pipe[2];

static void do_give_asked(void *arg)
{
	struct iovec iov = { kt_ptr(kt_addr(SMALL) + NR_ASKED / 2 * kt_page), kt_page };

	must(!arg);
	kt_map(kt_addr(SMALL), NR_ASKED);
	kt_fill(kt_addr(SMALL), 0, NR_ASKED, SEED(SMALL));
	must(!kt_handover(key_of(0), kt_addr(SMALL), NR_ASKED));
	must(vmsplice(in_pipe[1], &iov, 1, 0) == (ssize_t)kt_page);
}

static void give_asked(void)
{
	must(!pipe(in_pipe));
	kt_run(do_give_asked, NULL);
}

static int take_asked(void)
{
	return kt_takeover(key_of(0), kt_addr(SMALL), NR_ASKED);
}

static void verify_asked(void)
{
	must(kt_same(kt_addr(SMALL), 0, NR_ASKED, SEED(SMALL)));
	must(!kt_exists(key_of(0)));
}

/* Some pages are the record's alone by the time that the one in the pipe is copied */
static void takeover_asked(void)
{
	static const struct subject s = { give_asked, take_asked, verify_asked };

	every_failure(&s);
}

/* Where the kernel put it */
static unsigned long chosen[2];

static int take_chosen(void)
{
	struct kmho_range_takeover r[2] = {
		{ kt_addr(SMALL), { NR_SMALL / 2 * kt_page }, 0 },
		{ kt_addr(HUGE), { huge_nr * kt_page }, 0 },
	};
	struct kmho_op_takeover op = { key_of(0), 2, r };
	int ret = kmho(KMHO_TAKEOVER, &op), err = errno;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(chosen); i++)
		chosen[i] = r[i].remap_addr;
	errno = err;
	return ret;
}

static void verify_chosen(void)
{
	struct kmho_record_info info;
	unsigned long i;

	for (i = 0; i < NR_SMALL / 2; i++)
		if (i % 8 < 5)
			must(kt_same(chosen[0], i, 1, SEED(SMALL)));
	must(kt_held_pages(chosen[0], NR_SMALL / 2) == NR_SMALL / 2 / 8 * 5);
	must(kt_same(chosen[1], 0, NR_LOOK, SEED(HUGE)));
	must(kt_same(chosen[1], huge_nr - 1, 1, SEED(HUGE)));
	must(!kt_info(key_of(0), &info));
	must(info.bytes == (NR_RANGES + NR_SMALL / 2) * kt_page);
	must(info.present == (NR_RANGES + NR_SMALL / 2 / 8 * 5) * kt_page);
}

/* A part, and to where the kernel likes */
static void takeover_part(void)
{
	static const struct subject s = { give_all, take_chosen, verify_chosen };

	every_failure(&s);
}

static void give_and_map(void)
{
	give_all();
	kt_map(kt_addr(SMALL) + to_offset(), NR_SMALL);
	kt_map(kt_addr(HUGE) + to_offset(), huge_nr);
	kt_map(kt_addr(RANGES) + to_offset(), 2 * NR_RANGES);
	kt_fill(kt_addr(RANGES) + to_offset(), 0, 2 * NR_RANGES, 77);
}

static int take_into(void)
{
	return take_all(KMHO_TAKEOVER, to_offset());
}

static void verify_into(void)
{
	unsigned long i;

	check_all(to_offset());
	for (i = 0; i < NR_RANGES; i++)
		must(kt_same(kt_addr(RANGES) + to_offset(), 2 * i + 1, 1, 77));
	must(kt_perms(kt_addr(SMALL) + to_offset() + 40 * kt_page, "rw-p"));
}

static void takeover_into(void)
{
	static const struct subject s = { give_and_map, take_into, verify_into };

	every_failure(&s);
}

/* ---- TAKEOVER_KEEP ---- */

/* Where page tables begin elsewhere, so that it has to be cut as well */
static unsigned long askew(void)
{
	return to_offset() + 3 * kt_page;
}

static int keep_all(void)
{
	return take_all(KMHO_TAKEOVER_KEEP, askew());
}

static void verify_kept(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(0), &info));
	must(info.state == KMHO_STATE_LIVE && info.pid == getpid());
	check_all(askew());
	/* it is followed */
	must_fail(EPERM, munmap(kt_ptr(kt_addr(SMALL) + askew()), kt_page));
	kt_fill(kt_addr(SMALL) + askew(), 7, 1, SEED(SMALL));
	must(!kt_drop(key_of(0)));
	must(!munmap(kt_ptr(kt_addr(SMALL) + askew()), NR_SMALL * kt_page));
}

static void takeover_keep(void)
{
	static const struct subject s = { give_all, keep_all, verify_kept };

	/* all that does not fit is copied, a page at a time: so many are enough */
	setup();
	if (huge_nr > 32)
		huge_first = huge_nr - 32;
	every_failure(&s);
}

/* ---- huge pages of hugetlb, and a private file mapping ---- */

#define HUGETLB_SIZE	(2UL << 20)
#define NR_OF_FILE	12

static unsigned long nr_hugetlb;

static void need_hugetlb(unsigned long nr)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lu", nr);
	kt_write_file("/proc/sys/vm/nr_hugepages", buf);
	must(kt_read_file("/proc/sys/vm/nr_hugepages", buf, sizeof(buf)));
	if (strtoul(buf, NULL, 10) != nr || kt_meminfo("Hugepagesize") << 10 != HUGETLB_SIZE)
		kt_skip("no huge pages of 2 MiB to be had");
	nr_hugetlb = HUGETLB_SIZE / kt_page;
}

static void map_kinds(void)
{
	int fd = memfd_create("kmho", 0);

	must(fd >= 0 && !ftruncate(fd, NR_OF_FILE * kt_page));
	must(mmap(kt_ptr(kt_addr(SMALL)), NR_OF_FILE * kt_page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) == kt_ptr(kt_addr(SMALL)));
	close(fd);
	kt_fill(kt_addr(SMALL), 3, 6, SEED(SMALL));
	must(mmap(kt_ptr(kt_addr(HUGE)), HUGETLB_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE, -1,
		  0) == kt_ptr(kt_addr(HUGE)));
	kt_fill(kt_addr(HUGE), 5, 1, SEED(HUGE));
}

static int hand_over_kinds(void)
{
	struct kmho_range_handover r[2] = {
		{ kt_addr(SMALL), NR_OF_FILE * kt_page },
		{ kt_addr(HUGE), HUGETLB_SIZE },
	};
	struct kmho_op_handover op = { key_of(4), 2, r };

	return kmho(KMHO_HANDOVER, &op);
}

static void check_kinds(void)
{
	must(kt_same(kt_addr(SMALL), 3, 6, SEED(SMALL)));
	must(kt_same(kt_addr(HUGE), 5, 1, SEED(HUGE)));
}

static void verify_kinds_given(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(4), &info));
	must(info.state == KMHO_STATE_LIVE && info.present == (nr_hugetlb + 6) * kt_page);
	check_kinds();
	must(!kt_drop(key_of(4)));
	check_kinds();
	must(!munmap(kt_ptr(kt_addr(HUGE)), HUGETLB_SIZE));
}

static void handover_kinds(void)
{
	static const struct subject s = { map_kinds, hand_over_kinds, verify_kinds_given };

	need_hugetlb(4);
	every_failure(&s);
}

static void do_give_kinds(void *arg)
{
	must(!arg);
	map_kinds();
	must(!hand_over_kinds());
}

static void give_kinds(void)
{
	kt_run(do_give_kinds, NULL);
}

static int take_kinds(void)
{
	struct kmho_range_takeover r[2] = {
		{ kt_addr(SMALL), { NR_OF_FILE * kt_page }, kt_addr(SMALL) },
		{ kt_addr(HUGE), { HUGETLB_SIZE }, kt_addr(HUGE) },
	};
	struct kmho_op_takeover op = { key_of(4), 2, r };

	return kmho(KMHO_TAKEOVER, &op);
}

static void verify_kinds_taken(void)
{
	check_kinds();
	must(!kt_exists(key_of(4)));
	must(kt_meminfo("HugePages_Total") == 4 && kt_meminfo("HugePages_Free") == 3);
	must(kt_meminfo("HugePages_Rsvd") == 0 && kt_meminfo("HugePages_Surp") == 0);
}

static void takeover_kinds(void)
{
	static const struct subject s = { give_kinds, take_kinds, verify_kinds_taken };

	need_hugetlb(4);
	every_failure(&s);
}

/* ---- shared memory: a memfd, and anonymous memory beyond a block ---- */

#define NR_SHARED	600

static void map_shared(void)
{
	int fd = memfd_create("kmho", 0);

	must(fd >= 0 && !ftruncate(fd, NR_OF_FILE * kt_page));
	kt_map_shared(kt_addr(SMALL), NR_OF_FILE, fd);
	close(fd);
	kt_fill(kt_addr(SMALL), 3, 6, SEED(SMALL));
	kt_map_shared(kt_addr(HUGE), NR_SHARED, -1);
	kt_fill(kt_addr(HUGE), 510, 4, SEED(HUGE));
}

static int hand_over_shared(void)
{
	struct kmho_range_handover r[2] = {
		{ kt_addr(SMALL), NR_OF_FILE * kt_page },
		{ kt_addr(HUGE), NR_SHARED * kt_page },
	};
	struct kmho_op_handover op = { key_of(5), 2, r };

	return kmho(KMHO_HANDOVER, &op);
}

static void check_shared(void)
{
	must(kt_same(kt_addr(SMALL), 3, 6, SEED(SMALL)));
	must(kt_same(kt_addr(HUGE), 510, 4, SEED(HUGE)));
	must(kt_zero(kt_addr(SMALL), 0, 3) && kt_zero(kt_addr(HUGE), 514, 1));
}

static void verify_shared_given(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(5), &info));
	must(info.state == KMHO_STATE_LIVE && info.present == 10 * kt_page);
	must(!kt_drop(key_of(5)));
	check_shared();
}

static void handover_shared(void)
{
	static const struct subject s = { map_shared, hand_over_shared, verify_shared_given };

	every_failure(&s);
}

static void do_give_shared(void *arg)
{
	must(!arg);
	map_shared();
	must(!hand_over_shared());
}

static void give_shared(void)
{
	kt_run(do_give_shared, NULL);
}

static int freeze_shared(void)
{
	return kt_freeze(key_of(5));
}

static void prepare_freeze_shared(void)
{
	do_give_shared(NULL);
}

static void verify_shared_frozen(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(5), &info));
	must(info.state == KMHO_STATE_HELD && info.present == 10 * kt_page);
	kt_fill(kt_addr(SMALL), 0, NR_OF_FILE, 666);
	kt_fill(kt_addr(HUGE), 0, NR_SHARED, 666);
}

/* What was frozen in spite of a failure is all there */
static void check_frozen_shared(void)
{
	must(!kt_takeover(key_of(5), kt_addr(SMALL), NR_OF_FILE));
	must(!kt_takeover(key_of(5), kt_addr(HUGE), NR_SHARED));
	check_shared();
	kt_unmap(kt_addr(SMALL), NR_OF_FILE);
	kt_unmap(kt_addr(HUGE), NR_SHARED);
}

/* Another record of the same memory is frozen, without what is added to it */
static void prepare_freeze_again(void)
{
	struct kmho_range_handover r[2] = {
		{ kt_addr(SMALL), 6 * kt_page },
		{ kt_addr(HUGE), 512 * kt_page },
	};
	struct kmho_op_handover op = { kt_key(6), 2, r };

	map_shared();
	must(!kmho(KMHO_HANDOVER, &op) && !kt_freeze(kt_key(6)));
	must(!hand_over_shared());
}

static void check_frozen_again(void)
{
	struct kmho_record_info info;
	unsigned long to = kt_addr(TO);

	must(!kt_info(kt_key(6), &info) && info.present == 5 * kt_page);
	check_frozen_shared();
	must(!kt_takeover_to(kt_key(6), kt_addr(SMALL), 6, &to));
	must(kt_same(to, 3, 3, SEED(SMALL)));
	kt_unmap(to, 6);
}

static void freeze_of_shared(void)
{
	static const struct subject s = {
		prepare_freeze_shared, freeze_shared, verify_shared_frozen, check_frozen_shared
	};

	every_failure(&s);
}

static void freeze_again(void)
{
	static const struct subject s = {
		prepare_freeze_again, freeze_shared, verify_shared_frozen, check_frozen_again
	};

	every_failure(&s);
}

/* A part of the one, all of the other */
static int take_shared(void)
{
	struct kmho_range_takeover r[2] = {
		{ kt_addr(SMALL), { NR_OF_FILE * kt_page }, kt_addr(SMALL) },
		{ kt_addr(HUGE), { 520 * kt_page }, kt_addr(HUGE) },
	};
	struct kmho_op_takeover op = { key_of(5), 2, r };

	return kmho(KMHO_TAKEOVER, &op);
}

static void verify_shared_taken(void)
{
	struct kmho_record_info info;

	check_shared();
	must(!kt_info(key_of(5), &info));
	must(info.bytes == (NR_SHARED - 520) * kt_page && !info.present);
}

static void takeover_shared(void)
{
	static const struct subject s = { give_shared, take_shared, verify_shared_taken };

	every_failure(&s);
}

/*
 * ---- after a kexec ----
 *
 * What came with it cannot be given again. A call that fails leaves it as it was,
 * and can be made again, with the next allocation failing; when one has gone on
 * without the memory, the next copy takes its place. A kernel that checks itself
 * goes on without what it wants for that so often that the copies do not suffice.
 */

#define NR_COPIES	32

static void give_copies(void (*give)(void *), unsigned long nr)
{
	setup();
	for (copy = nr - 1; copy; copy--)
		kt_run(give, NULL);
	/* its process lives at the kexec */
	give(NULL);
}

/* Fails again and again, until it works; a call of ours leaves everything as it was */
static void fail_until_it_works(int (*call)(void), struct progress *p, bool ours)
{
	struct kt_snapshot snap;
	bool hit;

	if (p->done) {
		must(!call());
		return;
	}
	while (p->nth < MAX_N) {
		kt_snap(&snap);
		if (!call_failing(call, ++p->nth, &hit))
			break;
		must(hit && (errno == ENOMEM || errno == EFAULT));
		must(kt_unchanged(&snap) || !ours);
		p->failed++;
	}
	must(p->nth < MAX_N);
	p->survived += hit;
	p->done = !hit;
}

static void until_it_works(int (*call)(void))
{
	fail_until_it_works(call, progress, true);
}

static bool all_done(void)
{
	unsigned long i;

	for (i = 0; i < NR_CALLS; i++)
		if (progress[i].nth && !progress[i].done)
			return false;

	return progress->done;
}

/* What this program's records hold, in KiB */
static long held_kib(void)
{
	struct kmho_record_info *list;
	unsigned long nr, i;
	long held = 0;

	nr = kt_list(&list);
	for (i = 0; i < nr; i++) {
		if ((list[i].key & ~0xffffffUL) == kt_key(0))
			held += list[i].present / 1024;
	}
	free(list);
	return held;
}

static void take_copies(void (*take)(void *), unsigned long nr)
{
	long before, after, held, pins;
	unsigned long i;

	setup();
	pins = nr_pins();
	before = kt_free_kib();
	held = held_kib();
	for (copy = 0; copy < nr && !all_done(); copy++)
		kt_run(take, NULL);
	must_have_no_more_pins(pins);
	/* what the copies held that were taken is free, as those who took them have ended */
	held -= held_kib();
	after = kt_free_kib();
	for (i = 0; before + held - after >= 4096 && i < 20; i++) {
		usleep(50000);
		after = kt_free_kib();
	}
	printf("# %ld kB free, %ld kB held by what was taken; %ld kB afterwards\n", before, held,
	       after);
	must(before + held - after < 4096 + kt_slack_kib());
	for (i = 0; i < NR_CALLS && progress[i].nth; i++)
		printf("# call %lu: failed %lu times, went on without memory %lu times%s\n",
		       i + 1, progress[i].failed, progress[i].survived,
		       progress[i].done ? "" : ", and there is no other copy");
	must(all_done() || kt_checks_itself());
}

static int take_key(unsigned long key, bool chosen)
{
	unsigned long remap = chosen ? 0 : kt_addr(HUGE);
	int ret = kt_takeover_to(key, kt_addr(HUGE), huge_nr, &remap);

	if (!ret)
		must(kt_same_from(remap, 0, huge_nr, SEED(HUGE), 0));
	return ret;
}

static int take_incoming_back(void)
{
	return take_back();
}

static int take_incoming_key(void)
{
	return take_key(key_of(1), false);
}

static int take_incoming_chosen(void)
{
	return take_key(key_of(2), true);
}

static void incoming_before(void)
{
	give_copies(do_give_all, NR_COPIES);
}

static void do_take_incoming(void *arg)
{
	must(!arg);
	until_it_works(take_incoming_back);
	verify_back();
}

static void incoming_after(void)
{
	take_copies(do_take_incoming, NR_COPIES);
}

static void do_give_huge(unsigned long key)
{
	kt_map(kt_addr(HUGE), huge_nr);
	kt_fill(kt_addr(HUGE), 0, huge_nr, SEED(HUGE));
	must(!kt_handover(key, kt_addr(HUGE), huge_nr));
}

static void do_give_incoming_key(void *arg)
{
	must(!arg);
	do_give_huge(key_of(1));
}

static void do_take_incoming_key(void *arg)
{
	must(!arg);
	until_it_works(take_incoming_key);
	must(!kt_exists(key_of(1)));
}

static void incoming_key_before(void)
{
	give_copies(do_give_incoming_key, NR_COPIES);
}

static void incoming_key_after(void)
{
	take_copies(do_take_incoming_key, NR_COPIES);
}

static void do_give_incoming_chosen(void *arg)
{
	must(!arg);
	do_give_huge(key_of(2));
}

static void do_take_incoming_chosen(void *arg)
{
	must(!arg);
	until_it_works(take_incoming_chosen);
	must(!kt_exists(key_of(2)));
}

static void incoming_chosen_before(void)
{
	give_copies(do_give_incoming_chosen, NR_COPIES);
}

static void incoming_chosen_after(void)
{
	take_copies(do_take_incoming_chosen, NR_COPIES);
}

static void kinds_before(void)
{
	need_hugetlb(NR_COPIES);
	give_copies(do_give_kinds, NR_COPIES);
}

static void do_take_kinds(void *arg)
{
	must(!arg);
	until_it_works(take_kinds);
	check_kinds();
	must(kt_meminfo("HugePages_Total") == 1 && kt_meminfo("HugePages_Surp") == 1);
}

static void kinds_after(void)
{
	take_copies(do_take_kinds, NR_COPIES);
}

static void shared_before(void)
{
	give_copies(do_give_shared, NR_COPIES);
}

static void do_take_shared(void *arg)
{
	must(!arg);
	until_it_works(take_shared);
	verify_shared_taken();
}

static void shared_after(void)
{
	take_copies(do_take_shared, NR_COPIES);
}

/* ---- what was taken over and is put in later: each way to have it in, in its own block ---- */

#define WAITING		key_of(40)
#define SOME		key_of(41)

static char *waiting;

static int take_waiting(void)
{
	return kt_takeover(WAITING, kt_addr(HUGE), 6 * huge_nr);
}

static int touch_waiting(void)
{
	static __u64 word;
	struct iovec to = { &word, sizeof(word) }, from = { waiting, sizeof(word) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(word) ? 0 : -1;
}

static int discard_waiting(void)
{
	return madvise(waiting, kt_page, MADV_DONTNEED);
}

static int unmap_waiting(void)
{
	return munmap(waiting, kt_page);
}

static int move_waiting(void)
{
	return mremap(waiting, kt_page, kt_page, MREMAP_MAYMOVE | MREMAP_FIXED,
		      kt_ptr(kt_addr(TO))) == MAP_FAILED ? -1 : 0;
}

static int hand_over_waiting(void)
{
	return kt_handover(WAITING, (unsigned long)waiting, 8);
}

static void give_blocks(unsigned long key)
{
	kt_map(kt_addr(HUGE), 6 * huge_nr);
	kt_fill(kt_addr(HUGE), 0, 6 * huge_nr, SEED(HUGE));
	must(!kt_handover(key, kt_addr(HUGE), 6 * huge_nr));
}

static void do_give_waiting(void *arg)
{
	must(!arg);
	give_blocks(WAITING);
}

static void waiting_before(void)
{
	give_copies(do_give_waiting, NR_COPIES);
}

static void do_take_waiting(void *arg)
{
	int (*const ways[])(void) = {
		touch_waiting, discard_waiting, unmap_waiting, move_waiting, hand_over_waiting,
	};
	unsigned long i, base = kt_addr(HUGE);

	must(!arg && ARRAY_SIZE(ways) < NR_CALLS);
	until_it_works(take_waiting);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		waiting = kt_ptr(base + i * huge_nr * kt_page);
		/* mremap may have split a mapping, for one */
		fail_until_it_works(ways[i], &progress[i + 1], ways[i] == hand_over_waiting);
	}
	must(!kt_drop(WAITING));
	must(kt_zero(base, huge_nr, 1));
	must(kt_unmapped(base + 2 * huge_nr * kt_page, 1));
	must(kt_same_from(kt_addr(TO), 0, 1, SEED(HUGE), 3 * huge_nr));
	must(kt_same(base, 0, huge_nr, SEED(HUGE)));
	for (i = 1; i < 4; i++)
		must(kt_same(base, i * huge_nr + 1, huge_nr - 1, SEED(HUGE)));
	must(kt_same(base, 4 * huge_nr, 2 * huge_nr, SEED(HUGE)));
}

static void waiting_after(void)
{
	kt_need_patience("1000000");
	take_copies(do_take_waiting, NR_COPIES);
}

/* A large part, which is put in later, and a small one, which is put in at once */
static int take_some(void)
{
	struct kmho_range_takeover r[2] = {
		{ kt_addr(HUGE), { 3 * huge_nr * kt_page }, kt_addr(HUGE) },
		/* where page tables are to be made, after all that is for the other */
		{ kt_addr(HUGE) + 4 * huge_nr * kt_page, { 4 * kt_page }, kt_addr(TO) },
	};
	struct kmho_op_takeover op = { SOME, 2, r };
	int ret = kmho(KMHO_TAKEOVER, &op);

	if (!ret)
		must(kt_same_from(r[1].remap_addr, 0, 4, SEED(HUGE), 4 * huge_nr));
	return ret;
}

static void do_give_some(void *arg)
{
	must(!arg);
	give_blocks(SOME);
}

static void some_before(void)
{
	give_copies(do_give_some, NR_COPIES / 2);
}

static void do_take_some(void *arg)
{
	unsigned long base = kt_addr(HUGE), size = huge_nr * kt_page;

	must(!arg);
	until_it_works(take_some);
	must(kt_same(base, 0, 3 * huge_nr, SEED(HUGE)));
	/* what was not taken is still there */
	must(!kt_takeover(SOME, base + 3 * size, huge_nr));
	must(!kt_takeover(SOME, base + 4 * size + 4 * kt_page, 2 * huge_nr - 4));
	must(!kt_exists(SOME));
	must(kt_same(base, 3 * huge_nr, huge_nr, SEED(HUGE)));
	must(kt_same(base, 4 * huge_nr + 4, 2 * huge_nr - 4, SEED(HUGE)));
}

static void some_after(void)
{
	take_copies(do_take_some, NR_COPIES / 2);
}

/* ---- what else may be done with what came with a kexec ---- */

#define KEPT		key_of(42)
#define ENDED		key_of(43)

static int keep_incoming(void)
{
	unsigned long to = kt_addr(HUGE);

	return kt_take_to(KMHO_TAKEOVER_KEEP, KEPT, to, huge_nr, &to);
}

static void do_give_kept(void *arg)
{
	must(!arg);
	do_give_huge(KEPT);
}

static void kept_before(void)
{
	give_copies(do_give_kept, NR_COPIES / 2);
}

static void do_keep_incoming(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	until_it_works(keep_incoming);
	must(!kt_info(KEPT, &info));
	must(info.state == KMHO_STATE_LIVE && info.pid == getpid());
	must(kt_same(kt_addr(HUGE), 0, huge_nr, SEED(HUGE)));
	must_refuse(EPERM, munmap(kt_ptr(kt_addr(HUGE)), kt_page));
	must(!kt_drop(KEPT));
	must(kt_same(kt_addr(HUGE), 0, huge_nr, SEED(HUGE)));
}

static void kept_after(void)
{
	take_copies(do_keep_incoming, NR_COPIES / 2);
}

static int freeze_incoming(void)
{
	return kt_freeze(ENDED);
}

static int drop_incoming(void)
{
	return kt_drop(ENDED);
}

static void do_give_ended(void *arg)
{
	must(!arg);
	do_give_huge(ENDED);
}

static void ended_before(void)
{
	give_copies(do_give_ended, 2);
}

static void do_end_incoming(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	fail_until_it_works(freeze_incoming, &progress[0], true);
	must(!kt_info(ENDED, &info));
	must(info.present == huge_nr * kt_page);
	fail_until_it_works(drop_incoming, &progress[1], true);
	must(!kt_exists(ENDED));
}

static void ended_after(void)
{
	take_copies(do_end_incoming, 2);
}

/* ---- QUERY, DROP, and what else there is ---- */

static void prepare_live(void)
{
	map_all();
	must(!hand_over_all());
	/* something that QUERY and DROP may have to look at */
	kt_fill(kt_addr(RANGES), 0, 2 * NR_RANGES, SEED(RANGES));
	kt_fill(kt_addr(SMALL), 0, 1, SEED(SMALL));
}

static int query(void)
{
	struct kmho_record_info info[4];
	struct kmho_range_info ranges[NR_RANGES + 8];
	struct kmho_op_query op = {
		.size = sizeof(op),
		.flags = KMHO_QUERY_KEY,
		.key = key_of(0),
		.uid = KMHO_UID_SELF,
		.nr_records = ARRAY_SIZE(info),
		.records = (unsigned long)info,
		.nr_ranges = ARRAY_SIZE(ranges),
		.ranges = (unsigned long)ranges,
	};

	if (kmho(KMHO_QUERY, &op))
		return -1;
	must(op.nr_records == 1 && op.nr_ranges >= NR_RANGES + 2);
	op.flags = 0;
	op.nr_ranges = 0;
	return kmho(KMHO_QUERY, &op);
}

static void verify_query(void)
{
	check_all(0);
}

static void verify_query_held(void)
{
	must(kt_exists(key_of(0)));
	must(!take_back());
	verify_back();
}

static void query_live(void)
{
	static const struct subject s = { prepare_live, query, verify_query };

	every_failure(&s);
}

static void query_held(void)
{
	static const struct subject s = { give_all, query, verify_query_held };

	every_failure(&s);
}

static int drop(void)
{
	return kt_drop(key_of(0));
}

static void verify_drop(void)
{
	must(!kt_exists(key_of(0)));
	check_all(0);
	must(!munmap(kt_ptr(kt_addr(HUGE)), huge_nr * kt_page));
}

static void verify_drop_held(void)
{
	must(!kt_exists(key_of(0)));
}

static void drop_live(void)
{
	static const struct subject s = { prepare_live, drop, verify_drop };

	every_failure(&s);
}

static void drop_held(void)
{
	static const struct subject s = { give_all, drop, verify_drop_held };

	every_failure(&s);
}

static int freeze(void)
{
	return kt_freeze(key_of(0));
}

static void verify_freeze(void)
{
	struct kmho_record_info info;

	must(!kt_info(key_of(0), &info));
	must(info.state == KMHO_STATE_HELD);
	/* what is written now goes to copies of the process's own */
	kt_fill(kt_addr(HUGE), 0, NR_LOOK, 666);
	must(kt_same(kt_addr(HUGE), huge_nr - 1, 1, SEED(HUGE)));
}

static void freeze_live(void)
{
	static const struct subject s = { prepare_live, freeze, verify_freeze };

	if (!kt_has(KMHO_FREEZE)) {
		must_fail(EINVAL, freeze());
		kt_skip("this kernel has no KMHO_FREEZE; it answers EINVAL");
	}
	every_failure(&s);
}

/* Some of it is a buffer of io_uring, so that it has to be copied */
static struct kt_ring ring;
static int fresh;

#define NR_BUFFER	5

static void prepare_pinned(void)
{
	fresh = memfd_create("kmho", 0);
	must(fresh >= 0 && !ftruncate(fresh, NR_BUFFER * kt_page));
	kt_ring_open(&ring);
	map_all();
	kt_ring_register(&ring, kt_addr(SMALL), NR_BUFFER);
	must(!hand_over_all());
}

static void verify_pinned(void)
{
	unsigned long len = NR_BUFFER * kt_page;

	verify_freeze();
	/* zeros, which the process sees, and the record does not */
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, fresh, kt_addr(SMALL), len, 0) == (int)len);
	must(kt_zero(kt_addr(SMALL), 0, NR_BUFFER));
}

static void check_frozen(void)
{
	must(!take_back());
	verify_back();
	kt_unmap(kt_addr(SMALL), NR_SMALL);
	kt_unmap(kt_addr(HUGE), huge_nr);
	kt_unmap(kt_addr(RANGES), 2 * NR_RANGES);
}

static void freeze_pinned(void)
{
	static const struct subject s = { prepare_pinned, freeze, verify_pinned, check_frozen };

	every_failure(&s);
}

/* H3 after a FREEZE that failed: the record is live, and follows what the device writes */
static void do_lost_by_failure(void *arg)
{
	unsigned long n = (unsigned long)arg, i, len = NR_BUFFER * kt_page;
	bool hit;
	int ret;

	prepare_pinned();
	ret = call_failing(freeze, n, &hit);
	if (!ret) {
		progress->done = !hit;
		return;
	}
	must(errno == ENOMEM);
	progress->failed = n;
	/* the process writes to its buffer, and after it the device */
	for (i = 0; i < NR_BUFFER; i++)
		*(__u64 *)kt_ptr(kt_addr(SMALL) + i * kt_page) = 1;
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, fresh, kt_addr(SMALL), len, 0) == (int)len);
	if (!kt_zero(kt_addr(SMALL), 0, NR_BUFFER))
		printf("# allocation %lu: the process does not see it\n", n);
}

static void lost_by_failure(void)
{
	unsigned long n, lost = 0;

	setup();
	for (n = 1; n < MAX_N && !progress->done; n++) {
		progress->failed = 0;
		kt_run(do_lost_by_failure, (void *)n);
		if (progress->failed == n) {
			must(!take_back());
			if (!kt_zero(kt_addr(SMALL), 0, NR_BUFFER)) {
				printf("# allocation %lu: nor does the record have it\n", n);
				lost++;
			}
			kt_unmap(kt_addr(SMALL), NR_SMALL);
			kt_unmap(kt_addr(HUGE), huge_nr);
			kt_unmap(kt_addr(RANGES), 2 * NR_RANGES);
		}
		kt_drop_all();
	}
	must(progress->done && !lost);
}

/* So many that copies which stay after each failure show, where no checker hides it */
#define NR_HELD		96

static void do_give_pinned(void *arg)
{
	must(!arg);
	kt_map(kt_addr(SMALL), NR_HELD);
	kt_fill(kt_addr(SMALL), 0, NR_HELD, SEED(SMALL));
	kt_ring_register(&ring, kt_addr(SMALL), NR_HELD);
	must(!kt_handover(key_of(0), kt_addr(SMALL), NR_HELD));
}

/* The process has ended, its device goes on: after a FREEZE that failed it writes to all pages */
static void do_freeze_of_held(void *arg)
{
	unsigned long n = (unsigned long)arg, len = NR_HELD * kt_page;
	int fd = memfd_create("kmho", 0), ret;
	bool hit;

	must(fd >= 0 && !ftruncate(fd, len));
	kt_ring_open(&ring);
	kt_run(do_give_pinned, NULL);
	ret = call_failing(freeze, n, &hit);
	must(!ret || (hit && errno == ENOMEM));
	must(kt_ring_read(&ring, IORING_OP_READ_FIXED, fd, kt_addr(SMALL), len, 0) == (int)len);
	must(!kt_takeover(key_of(0), kt_addr(SMALL), NR_HELD));
	if (ret) {
		progress->failed++;
		must(kt_zero(kt_addr(SMALL), 0, NR_HELD));
	} else {
		progress->done = !hit;
		must(kt_same(kt_addr(SMALL), 0, NR_HELD, SEED(SMALL)));
	}
}

static void freeze_of_held(void)
{
	long before = 0, after, pins;
	unsigned long n;

	setup();
	pins = nr_pins();
	for (n = 1; n < MAX_N && !progress->done; n++) {
		/* the first ones fill the caches that the rest comes from */
		if (n == 8)
			before = kt_free_kib();
		kt_run(do_freeze_of_held, (void *)n);
	}
	must_have_no_more_pins(pins);
	after = kt_free_kib();
	printf("# %lu allocations: the call failed for %lu; %ld kB free, then %ld kB\n", n - 2,
	       progress->failed, before, after);
	must(progress->done && progress->failed > NR_HELD);
	/* on an average failure half of the copies are made */
	must(before - after < (long)(NR_HELD * NR_HELD / 4 * kt_page / 1024) + kt_slack_kib());
}

static int give_away(void)
{
	return kt_chown(key_of(0), geteuid(), KT_USER);
}

static void verify_chown(void)
{
	struct kmho_record_info info;

	must(!kt_exists(key_of(0)));
	must(!kt_info_of(key_of(0), KT_USER, &info));
	must(!kt_drop_of(key_of(0), KT_USER));
}

static void chown_held(void)
{
	static const struct subject s = { give_all, give_away, verify_chown };

	if (!kt_has(KMHO_CHOWN)) {
		must_fail(EINVAL, give_away());
		kt_skip("this kernel has no KMHO_CHOWN; it answers EINVAL");
	}
	every_failure(&s);
}

/* ---- the end of a process ---- */

/* Private memory and shared memory, holes until it was handed over */
#define NR_END	1024

enum { END_PRIVATE = 20, END_SHARED };

/* Every other page is one that has to be written down when the process ends */
static __noreturn void end_failing(unsigned long n)
{
	char text[16];
	ssize_t len = snprintf(text, sizeof(text), "%lu", n);
	unsigned long i;
	int fd;

	kt_map(kt_addr(END_PRIVATE), NR_END);
	kt_map_shared(kt_addr(END_SHARED), NR_END, -1);
	must(!kt_handover(kt_key(END_PRIVATE), kt_addr(END_PRIVATE), NR_END));
	must(!kt_handover(kt_key(END_SHARED), kt_addr(END_SHARED), NR_END));
	for (i = 0; i < NR_END; i += 2) {
		kt_fill(kt_addr(END_PRIVATE), i, 1, SEED(END_PRIVATE));
		kt_fill(kt_addr(END_SHARED), i, 1, SEED(END_SHARED));
	}
	fflush(stdout);
	fd = nth_fd();
	must(pwrite(fd, text, len, 0) == len);
	_exit(0);
}

/* Whether the process, which has ended, came to the allocation that was to fail */
static bool end_came_to_it(pid_t pid)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", pid);
	must(kt_read_file(path, text, sizeof(text)));
	return !atoi(text);
}

static void must_have_all(unsigned long place)
{
	unsigned long i;

	must(!kt_takeover(kt_key(place), kt_addr(place), NR_END));
	for (i = 0; i < NR_END; i += 2)
		must(kt_same(kt_addr(place), i, 1, SEED(place)));
	kt_unmap(kt_addr(place), NR_END);
}

/* A process cannot be told of a failure of its own end: every write is there after all */
static void end_of_a_process(void)
{
	bool hit = true;
	siginfo_t info;
	unsigned long n;
	pid_t pid;

	setup();
	for (n = 1; n < MAX_N && hit; n++) {
		pid = kt_fork();
		if (!pid)
			end_failing(n);
		must(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
		hit = end_came_to_it(pid);
		must(kt_wait(pid) == 0);
		must_have_all(END_PRIVATE);
		must_have_all(END_SHARED);
	}
	printf("# %lu allocations\n", n - 2);
	must(!hit && n > 10);
}

static const struct kt_case cases[] = {
	{ "HANDOVER", .now = handover },
	{ "HANDOVER beside another record", .now = handover_second },
	{ "HANDOVER of pages that are swapped out", .now = handover_swapped },
	{ "TAKEOVER", .now = takeover },
	{ "TAKEOVER of pages of which a pipe has one", .now = takeover_asked },
	{ "TAKEOVER of a part, to where the kernel likes", .now = takeover_part },
	{ "TAKEOVER into mappings of the caller", .now = takeover_into },
	{ "TAKEOVER_KEEP, to where it has to be cut", .now = takeover_keep },
	{ "HANDOVER of huge pages and a private file mapping", .now = handover_kinds },
	{ "TAKEOVER of huge pages and a private file mapping", .now = takeover_kinds },
	{ "HANDOVER of shared memory", .now = handover_shared },
	{ "TAKEOVER of shared memory", .now = takeover_shared },
	{ "QUERY of a live record", .now = query_live },
	{ "QUERY of a dead process's record", .now = query_held },
	{ "DROP of a live record", .now = drop_live },
	{ "DROP of a dead process's record", .now = drop_held },
	{ "FREEZE", .now = freeze_live },
	{ "FREEZE of pages that a device may still write to", .now = freeze_pinned },
	{ "a FREEZE that fails loses no write of a device", .now = lost_by_failure },
	{ "a FREEZE of a dead process's record that fails parts it from no device",
	  .now = freeze_of_held },
	{ "FREEZE of shared memory", .now = freeze_of_shared },
	{ "FREEZE of shared memory that another record has frozen", .now = freeze_again },
	{ "CHOWN", .now = chown_held },
	{ "the end of a process, with all that it wrote", .now = end_of_a_process },
	{
		"TAKEOVER after a kexec, many ranges",
		.before = incoming_before,
		.after = incoming_after,
	},
	{
		"TAKEOVER after a kexec, one range",
		.before = incoming_key_before,
		.after = incoming_key_after,
	},
	{
		"TAKEOVER after a kexec, to where the kernel likes",
		.before = incoming_chosen_before,
		.after = incoming_chosen_after,
	},
	{
		"TAKEOVER after a kexec, huge pages and a private file mapping",
		.before = kinds_before,
		.after = kinds_after,
	},
	{
		"TAKEOVER after a kexec, shared memory",
		.before = shared_before,
		.after = shared_after,
	},
	{
		"what is put in after a kexec when it is touched",
		.before = waiting_before,
		.after = waiting_after,
	},
	{
		"TAKEOVER after a kexec of a part of a record, put in at once and later",
		.before = some_before,
		.after = some_after,
	},
	{
		"TAKEOVER_KEEP after a kexec",
		.before = kept_before,
		.after = kept_after,
	},
	{
		"FREEZE and DROP of what came with a kexec",
		.before = ended_before,
		.after = ended_after,
	},
};

int main(int argc, char **argv)
{
	kt_program = 9;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
