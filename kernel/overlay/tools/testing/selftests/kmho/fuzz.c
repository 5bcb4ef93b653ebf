// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls. Several processes, of two users, with two threads each, call
 * kmho(2) with arguments that are right, nearly right and wrong, while they
 * map, unmap, write, discard, swap out and fork beside it. Nothing is asked of
 * the results but that each error is one of those that the man page names; what
 * it is about is the kernel's log, and that all memory is free in the end.
 *
 * KMHO_TEST_CALLS says how many calls are made (20000 otherwise), KMHO_TEST_SEED
 * chooses others.
 */
#include <pthread.h>

#include "kmho_test.h"

#define NR_KEYS		6
#define NR_WORKERS	4
#define AREA_PAGES	1536UL	/* that calls are about: three huge pages */
#define MAX_RANGES	5

/* Shared by all workers */
static __u64 *nr_calls;
static __u64 *nr_worked;

struct fuzz {
	__u64 random;
	__u64 calls;
};

static __u64 draw(struct fuzz *f)
{
	f->random = kt_mix(f->random);
	return f->random;
}

static unsigned long below(struct fuzz *f, unsigned long n)
{
	return draw(f) % n;
}

/* An address, mostly one that is mapped and aligned */
static unsigned long some_addr(struct fuzz *f)
{
	unsigned long addr = kt_addr(0) + below(f, AREA_PAGES) * kt_page;

	switch (below(f, 16)) {
	case 0:
		return addr + below(f, kt_page);
	case 1:
		return addr + (AREA_PAGES << 12);
	case 2:
		return draw(f);
	case 3:
		return -below(f, 4 * kt_page);
	case 4:
		return 0;
	default:
		return addr;
	}
}

static unsigned long some_length(struct fuzz *f)
{
	switch (below(f, 16)) {
	case 0:
		return 0;
	case 1:
		return below(f, kt_page);
	case 2:
		return draw(f);
	case 3:
		return -kt_page;
	case 4:
		return AREA_PAGES * kt_page;
	default:
		return (1 + below(f, below(f, 2) ? 8 : AREA_PAGES / 2)) * kt_page;
	}
}

static unsigned long some_number(struct fuzz *f)
{
	switch (below(f, 12)) {
	case 0:
		return 0;
	case 1:
		return draw(f);
	case 2:
		return kt_max_ranges() + below(f, 3);
	default:
		return 1 + below(f, MAX_RANGES);
	}
}

static void *some_pointer(struct fuzz *f, void *right)
{
	switch (below(f, 24)) {
	case 0:
		return NULL;
	case 1:
		return kt_ptr(some_addr(f));
	case 2:
		return (char *)right + 1;
	default:
		return right;
	}
}

static __u32 some_uid(struct fuzz *f)
{
	static const __u32 uids[] = { KMHO_UID_SELF, KMHO_UID_SELF, 0, KT_USER, KT_OTHER };

	return below(f, 12) ? uids[below(f, ARRAY_SIZE(uids))] : draw(f);
}

static __u32 some_size(struct fuzz *f, __u32 right)
{
	switch (below(f, 12)) {
	case 0:
		return below(f, 2 * right);
	case 1:
		return draw(f);
	default:
		return right;
	}
}

static __u32 some_flags(struct fuzz *f, __u32 right)
{
	return below(f, 8) ? right : draw(f);
}

static int call_handover(struct fuzz *f)
{
	struct kmho_range_handover ranges[MAX_RANGES];
	struct kmho_op_handover op = {
		.key = kt_key(below(f, NR_KEYS)),
		.num_ranges = some_number(f),
		.ranges = some_pointer(f, ranges),
	};
	unsigned int i;

	for (i = 0; i < MAX_RANGES; i++)
		ranges[i] = (struct kmho_range_handover){ some_addr(f), some_length(f) };
	return kmho(KMHO_HANDOVER, some_pointer(f, &op));
}

static int call_takeover(struct fuzz *f, unsigned int opcode)
{
	struct kmho_range_takeover ranges[MAX_RANGES];
	struct kmho_op_takeover op = {
		.key = kt_key(below(f, NR_KEYS)),
		.num_ranges = some_number(f),
		.ranges = some_pointer(f, ranges),
	};
	unsigned int i;
	int ret;

	for (i = 0; i < MAX_RANGES; i++) {
		ranges[i].base = some_addr(f);
		ranges[i].length = some_length(f);
		ranges[i].remap_addr = below(f, 2) ? 0 : below(f, 2) ? ranges[i].base :
				       some_addr(f) + (below(f, 3) << 32);
	}
	ret = kmho(opcode, some_pointer(f, &op));
	if (ret || op.ranges != ranges || op.num_ranges > MAX_RANGES)
		return ret;
	for (i = 0; i < op.num_ranges; i++)
		if (ranges[i].remap_addr < kt_addr(0) || ranges[i].remap_addr > kt_addr(3))
			munmap(kt_ptr(ranges[i].remap_addr), ranges[i].length);
	return ret;
}

static int call_query(struct fuzz *f)
{
	struct kmho_record_info records[4];
	struct kmho_range_info ranges[4];
	struct kmho_op_query op = {
		.size = some_size(f, sizeof(op)),
		.flags = some_flags(f, below(f, 4)),
		.key = kt_key(below(f, NR_KEYS)),
		.uid = some_uid(f),
		.nr_records = below(f, 5),
		.records = (unsigned long)some_pointer(f, records),
		.nr_ranges = below(f, 5),
		.ranges = (unsigned long)some_pointer(f, ranges),
	};

	return kmho(KMHO_QUERY, some_pointer(f, &op));
}

/* Those that take the structure of KMHO_DROP */
static int call_named(struct fuzz *f, unsigned int opcode)
{
	struct kmho_op_drop op = {
		.size = some_size(f, sizeof(op)),
		.flags = some_flags(f, 0),
		.key = kt_key(below(f, NR_KEYS)),
		.uid = some_uid(f),
		.reserved = some_flags(f, 0),
	};

	return kmho(opcode, some_pointer(f, &op));
}

static int call_chown(struct fuzz *f)
{
	struct kmho_op_chown op = {
		.size = some_size(f, sizeof(op)),
		.flags = some_flags(f, 0),
		.key = kt_key(below(f, NR_KEYS)),
		.uid = some_uid(f),
		.new_uid = some_uid(f),
	};

	return kmho(KMHO_CHOWN, some_pointer(f, &op));
}

static void one_call(struct fuzz *f)
{
	int ret;

	errno = 0;
	switch (below(f, 16)) {
	case 0 ... 4:
		ret = call_handover(f);
		break;
	case 5 ... 7:
		ret = call_takeover(f, below(f, 4) ? KMHO_TAKEOVER : KMHO_TAKEOVER_KEEP);
		break;
	case 8 ... 9:
		ret = call_query(f);
		break;
	case 10 ... 12:
		ret = call_named(f, KMHO_DROP);
		break;
	case 13:
		ret = call_named(f, KMHO_FREEZE);
		break;
	case 14:
		ret = call_chown(f);
		break;
	default:
		ret = kmho(below(f, 4) ? 8 + below(f, 100) : draw(f), kt_ptr(some_addr(f)));
		must(ret == -1 && errno == EINVAL);
	}
	__atomic_fetch_add(nr_calls, 1, __ATOMIC_RELAXED);
	if (!ret) {
		__atomic_fetch_add(nr_worked, 1, __ATOMIC_RELAXED);
		return;
	}
	switch (errno) {
	case EINVAL:
	case E2BIG:
	case EFAULT:
	case ENOMEM:
	case EAGAIN:
	case EOPNOTSUPP:
	case EEXIST:
	case ENOENT:
	case EBUSY:
	case EPERM:
	case EINTR:
		return;
	}
	printf("# errno %d\n", errno);
	must(!"an errno that the man page names");
}

/* What the memory goes through meanwhile; it may work or not */
static void disturb(struct fuzz *f)
{
	unsigned long addr = kt_addr(0) + below(f, AREA_PAGES) * kt_page;
	unsigned long pages = 1 + below(f, below(f, 2) ? 16 : 600);
	unsigned long len = pages * kt_page, i;
	static const int advice[] = {
		MADV_DONTNEED, MADV_PAGEOUT, MADV_COLLAPSE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_POPULATE_WRITE, MADV_MERGEABLE, MADV_FREE,
		MADV_REMOVE,
	};

	switch (below(f, 8)) {
	case 0:
		munmap(kt_ptr(addr), len);
		break;
	case 1:
		mprotect(kt_ptr(addr), len, below(f, 2) ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 2 ... 3:
		madvise(kt_ptr(addr), len, advice[below(f, ARRAY_SIZE(advice))]);
		break;
	default:
		mmap(kt_ptr(addr), len, PROT_READ | PROT_WRITE,
		     (below(f, 4) ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		for (i = 0; i < pages; i += 1 + below(f, 3))
			madvise(kt_ptr(addr + i * kt_page), kt_page, MADV_POPULATE_WRITE);
	}
}

static void *work(void *arg)
{
	struct fuzz *f = arg;
	__u64 i;

	for (i = 0; i < f->calls; i++) {
		one_call(f);
		if (!below(f, 3))
			disturb(f);
		if (!below(f, 64)) {
			pid_t pid = fork();

			if (!pid) {
				one_call(f);
				_exit(0);
			}
			if (pid > 0)
				waitpid(pid, NULL, 0);
		}
	}
	return NULL;
}

/* Runs for so many calls in two threads, or is killed in the middle */
static void do_worker(__u64 seed, __u64 calls, uid_t uid)
{
	struct fuzz f[2] = { { kt_mix(seed), calls / 2 }, { kt_mix(seed + 1), calls / 2 } };
	pthread_t thread;

	kt_map(kt_addr(0), AREA_PAGES);
	if (uid)
		kt_become(uid);
	must(!pthread_create(&thread, NULL, work, &f[0]));
	work(&f[1]);
	must(!pthread_join(thread, NULL));
	fflush(stdout);
	_exit(0);
}

static void fuzz(void)
{
	const char *env = getenv("KMHO_TEST_SEED");
	__u64 seed = (env ? strtoull(env, NULL, 0) : 1) << 32;
	__u64 want, round;

	env = getenv("KMHO_TEST_CALLS");
	want = env ? strtoull(env, NULL, 0) : 20000;
	nr_calls = mmap(NULL, kt_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(nr_calls != MAP_FAILED);
	nr_worked = nr_calls + 1;
	if (kt_is_root())
		kt_swap();

	for (round = 0; *nr_calls < want; round++) {
		pid_t pids[NR_WORKERS];
		unsigned int i;

		for (i = 0; i < NR_WORKERS; i++) {
			pids[i] = kt_fork();
			if (!pids[i])
				do_worker(seed + round * 2 * NR_WORKERS + 2 * i, 1000,
					  kt_is_root() && i % 2 ? KT_USER : 0);
		}
		/* one of them ends in the middle */
		usleep(20000 + kt_mix(seed + round) % 200000);
		kill(pids[round % NR_WORKERS], SIGKILL);
		for (i = 0; i < NR_WORKERS; i++) {
			int code = kt_wait(pids[i]);

			must(code == 0 || code == 128 + SIGKILL);
		}
	}
	printf("# %llu calls, %llu of them worked\n", (unsigned long long)*nr_calls,
	       (unsigned long long)*nr_worked);
	must(*nr_worked > want / 50);
}

static void random_calls(void)
{
	long before, after;

	/* what the first one sets up for good does not count */
	kt_drop_all();
	before = kt_free_kib();
	fuzz();
	kt_drop_all();
	after = kt_free_kib();
	printf("# %ld KiB were free, %ld are\n", before, after);
	must(after > before - 16384 - kt_slack_kib());
}

static const struct kt_case cases[] = {
	{ "random calls do no harm and lose no memory", .now = random_calls },
};

int main(int argc, char **argv)
{
	kt_program = 0x30;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
