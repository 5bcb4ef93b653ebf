// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures a handover and a takeover, of kmho(2) or of LUO's memfd, on either
 * side of a kexec. Prints one line `@kmho JSON` for each side. Times are in
 * nanoseconds of CLOCK_MONOTONIC; under QEMU's -icount they count instructions.
 *
 *	kmho-bench before|after --peer kmho|luo|none [--bytes N] [--page N]
 *		[--layout contiguous|alternate|random] [--touch N] [--keys N]
 *		[--ranges N] [--hugetlb] [--repeat N]
 *
 * The memory is the same for both peers: --bytes of it in units of --page,
 * touched in order, each 4 KiB page with a stamp that the other side checks.
 * With --hugetlb units of 2 MiB are huge pages of hugetlb.
 * With --touch N one unit in N is touched, the rest are holes. `alternate` and
 * `random` lay pages of somebody else between ours, and free those. It must be
 * told the same on both sides.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kmho.h>
#include <linux/liveupdate.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BASE		0x100000000000UL
#define SMALL		4096UL
#define HUGE		(2UL << 20)
#define SYSFS		"/sys/kernel/mm/transparent_hugepage/hugepages-%lukB/%s"
/* As many files fit into one of LUO's sessions */
#define SESSION_FILES	64UL
#define MAX_REPEAT	16

enum peer { NONE, KMHO, LUO };
enum layout { CONTIGUOUS, ALTERNATE, RANDOM };

static struct {
	enum peer peer;
	enum layout layout;
	unsigned long bytes, page, touch, keys, ranges, repeat;
	bool hugetlb;
} opt = { .page = SMALL, .touch = 1, .keys = 1, .ranges = 1, .repeat = 1 };

/* Of one key: its ranges, a page apart from each other where there are more */
static unsigned long range_len, range_stride, key_len;
static int *memfds, *sessions;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "kmho-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* CPU time that this process spent in the kernel, in nanoseconds */
static uint64_t system_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_stime.tv_sec * 1000000000ULL +
	       usage.ru_stime.tv_usec * 1000ULL;
}

/* The counter that goes on counting over a kexec */
static uint64_t ticks(void)
{
#ifdef __x86_64__
	unsigned int low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
#else
	uint64_t value;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

static double ticks_per_second(void)
{
	uint64_t start = now(), from = ticks(), end;

	while ((end = now()) < start + 50000000)
		;
	return (ticks() - from) * 1e9 / (end - start);
}

static unsigned long mem_free(void)
{
	char line[128];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

static void settle(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	/* Pages in the CPUs' own lists would count as used. */
	if (fd >= 0) {
		if (write(fd, "1", 1) < 0)
			die("stat_refresh");
		close(fd);
	}
	sched_yield();
}

static void write_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

static void allow_huge(unsigned long size, const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), SYSFS, size >> 10, file);
	write_file(path, value);
}

static void reserve_hugetlb(void)
{
	char nr[32];

	snprintf(nr, sizeof(nr), "%lu", opt.bytes / HUGE);
	write_file("/proc/sys/vm/nr_hugepages", nr);
}

static uint64_t stamp(unsigned long key, unsigned long page)
{
	return (page + 1) * 0x9e3779b97f4a7c15ULL ^ (key << 48) ^ key;
}

static char *key_base(unsigned long key)
{
	return (char *)BASE + key * key_len;
}

/*
 * Calls @fn for each 4 KiB page of a key that is touched. Inlined, and with no
 * loop for what is one piece, that what is measured is the pages.
 */
static inline __attribute__((always_inline)) void
each_page(unsigned long key,
	  void (*fn)(char *page, unsigned long key, unsigned long index))
{
	unsigned long piece = opt.touch == 1 ? range_len : opt.page;
	unsigned long index = 0;

	for (unsigned long r = 0; r < opt.ranges; r++) {
		char *range = key_base(key) + r * range_stride;

		for (unsigned long at = 0; at < range_len; at += piece * opt.touch)
			for (unsigned long i = 0; i < piece; i += SMALL)
				fn(range + at + i, key, index++);
	}
}

static char *filler;
static unsigned long nr_filler;

static void fill_page(char *page, unsigned long key, unsigned long index)
{
	static uint64_t random = 88172645463325252ULL;
	uint64_t *word = (uint64_t *)page;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	if (filler && (opt.layout == ALTERNATE || (random & 1)))
		filler[nr_filler++ * SMALL] = 1;
	word[0] = stamp(key, index);
	word[SMALL / 8 - 1] = ~word[0];
}

static unsigned long nr_wrong;
static uint64_t sum;

static void read_page(char *page, unsigned long key, unsigned long index)
{
	if (*(volatile uint64_t *)page != stamp(key, index))
		nr_wrong++;
}

static void read_bytes(char *page, unsigned long key, unsigned long index)
{
	uint64_t *word = (uint64_t *)page, all = 0;

	for (unsigned int i = 0; i < SMALL / 8; i++)
		all ^= word[i];
	/* A word, its complement, and zeroes */
	if (all != ~0ULL)
		nr_wrong++;
	sum ^= all;
}

static void map_all(bool fresh)
{
	for (unsigned long key = 0; key < opt.keys; key++) {
		int flags = MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd = -1;
		char *at;

		if (opt.peer == LUO) {
			if (fresh) {
				memfds[key] = memfd_create("bench", 0);
				if (memfds[key] < 0 ||
				    ftruncate(memfds[key], key_len))
					die("memfd");
			}
			fd = memfds[key];
			flags |= MAP_SHARED;
		} else {
			flags |= MAP_PRIVATE | MAP_ANONYMOUS;
			if (opt.hugetlb)
				flags |= MAP_HUGETLB;
		}
		at = mmap(key_base(key), key_len, PROT_READ | PROT_WRITE, flags,
			  fd, 0);
		if (at != key_base(key))
			die("mmap");
		if (fresh && !opt.hugetlb && madvise(at, key_len, opt.page == SMALL ?
				     MADV_NOHUGEPAGE : MADV_HUGEPAGE))
			die("madvise");
	}
}

static void fill(void)
{
	unsigned long filler_len = opt.bytes + opt.keys * opt.ranges * opt.page;

	if (opt.hugetlb) {
		reserve_hugetlb();
	} else if (opt.page != SMALL) {
		allow_huge(opt.page, "enabled", "madvise");
		allow_huge(opt.page, "shmem_enabled", "advise");
		if (opt.page != HUGE) {
			allow_huge(HUGE, "enabled", "never");
			allow_huge(HUGE, "shmem_enabled", "never");
		}
	}
	if (opt.layout != CONTIGUOUS) {
		filler = mmap(NULL, filler_len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (filler == MAP_FAILED)
			die("mmap");
		madvise(filler, filler_len, MADV_NOHUGEPAGE);
	}
	map_all(true);
	for (unsigned long key = 0; key < opt.keys; key++)
		each_page(key, fill_page);
	if (filler)
		munmap(filler, filler_len);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t *pfns;
static unsigned long nr_pfns;

static void note_pfn(char *page, unsigned long key, unsigned long index)
{
	static int fd = -1;
	uint64_t entry;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY);
	if (pread(fd, &entry, 8, (unsigned long)page / SMALL * 8) != 8)
		die("pagemap");
	pfns[nr_pfns++] = entry & ((1ULL << 55) - 1);
}

/* How many runs of contiguous page frames the memory lies in */
static unsigned long count_fragments(void)
{
	unsigned long nr = 0;

	pfns = calloc(opt.bytes / SMALL + opt.keys * opt.ranges, sizeof(*pfns));
	if (!pfns)
		die("calloc");
	for (unsigned long key = 0; key < opt.keys; key++)
		each_page(key, note_pfn);
	qsort(pfns, nr_pfns, sizeof(*pfns), compare);
	for (unsigned long i = 0; i < nr_pfns; i++)
		nr += !i || pfns[i] != pfns[i - 1] + 1;
	free(pfns);
	return nr;
}

static int call(unsigned int opcode, void *op)
{
	return syscall(__NR_kmho, opcode, op);
}

static void kmho_handover(void)
{
	struct kmho_range_handover *ranges = calloc(opt.ranges, sizeof(*ranges));

	for (unsigned long key = 0; key < opt.keys; key++) {
		struct kmho_op_handover op = {
			.key = key, .num_ranges = opt.ranges, .ranges = ranges,
		};

		for (unsigned long r = 0; r < opt.ranges; r++) {
			ranges[r].base = (unsigned long)key_base(key) +
					 r * range_stride;
			ranges[r].length = range_len;
		}
		if (call(KMHO_HANDOVER, &op))
			die("HANDOVER");
	}
	free(ranges);
}

static void kmho_drop(void)
{
	for (unsigned long key = 0; key < opt.keys; key++) {
		struct kmho_op_drop op = {
			.size = sizeof(op), .key = key, .uid = KMHO_UID_SELF,
		};

		if (call(KMHO_DROP, &op))
			die("DROP");
	}
}

static void kmho_takeover(void)
{
	struct kmho_range_takeover *ranges = calloc(opt.ranges, sizeof(*ranges));

	for (unsigned long key = 0; key < opt.keys; key++) {
		struct kmho_op_takeover op = {
			.key = key, .num_ranges = opt.ranges, .ranges = ranges,
		};

		for (unsigned long r = 0; r < opt.ranges; r++) {
			ranges[r].base = (unsigned long)key_base(key) +
					 r * range_stride;
			ranges[r].len = range_len;
			ranges[r].remap_addr = ranges[r].base;
		}
		if (call(KMHO_TAKEOVER, &op))
			die("TAKEOVER");
	}
	free(ranges);
}

static struct kmho_record_info kmho_total(void)
{
	struct kmho_record_info all = { 0 }, one;

	for (unsigned long key = 0; key < opt.keys; key++) {
		struct kmho_op_query op = {
			.size = sizeof(op), .flags = KMHO_QUERY_KEY, .key = key,
			.uid = KMHO_UID_SELF, .nr_records = 1,
			.records = (unsigned long)&one,
		};

		if (call(KMHO_QUERY, &op))
			die("QUERY");
		all.present += one.present;
		all.metadata += one.metadata;
		all.nr_extents += one.nr_extents;
		all.migrated += one.migrated;
	}
	return all;
}

static int open_luo(void)
{
	int fd = open("/dev/liveupdate", O_RDWR);

	if (fd < 0)
		die("/dev/liveupdate");
	return fd;
}

static unsigned long nr_sessions(void)
{
	return (opt.keys + SESSION_FILES - 1) / SESSION_FILES;
}

static void luo_handover(void)
{
	static int luo = -1;

	if (luo < 0)
		luo = open_luo();
	for (unsigned long key = 0; key < opt.keys; key++) {
		struct liveupdate_session_preserve_fd preserve = {
			.size = sizeof(preserve), .fd = memfds[key], .token = key,
		};

		if (key % SESSION_FILES == 0) {
			struct liveupdate_ioctl_create_session create = {
				.size = sizeof(create),
			};

			sprintf((char *)create.name, "bench-%lu",
				key / SESSION_FILES);
			if (ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &create))
				die("CREATE_SESSION");
			sessions[key / SESSION_FILES] = create.fd;
		}
		if (ioctl(sessions[key / SESSION_FILES],
			  LIVEUPDATE_SESSION_PRESERVE_FD, &preserve))
			die("PRESERVE_FD");
	}
}

static void luo_drop(void)
{
	for (unsigned long i = 0; i < nr_sessions(); i++)
		close(sessions[i]);
}

static void luo_takeover(void)
{
	int luo = open_luo();

	for (unsigned long key = 0; key < opt.keys; key++) {
		struct liveupdate_session_retrieve_fd retrieve = {
			.size = sizeof(retrieve), .token = key,
		};

		if (key % SESSION_FILES == 0) {
			struct liveupdate_ioctl_retrieve_session session = {
				.size = sizeof(session),
			};

			sprintf((char *)session.name, "bench-%lu",
				key / SESSION_FILES);
			if (ioctl(luo, LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
				  &session))
				die("RETRIEVE_SESSION");
			sessions[key / SESSION_FILES] = session.fd;
		}
		if (ioctl(sessions[key / SESSION_FILES],
			  LIVEUPDATE_SESSION_RETRIEVE_FD, &retrieve))
			die("RETRIEVE_FD");
		memfds[key] = retrieve.fd;
	}
	map_all(false);
}

static void luo_finish(void)
{
	for (unsigned long i = 0; i < nr_sessions(); i++) {
		struct liveupdate_session_finish finish = {
			.size = sizeof(finish),
		};

		if (ioctl(sessions[i], LIVEUPDATE_SESSION_FINISH, &finish))
			die("FINISH");
	}
}

static void before(void)
{
	uint64_t took[MAX_REPEAT], undone = 0;
	unsigned long fragments = 0, free_before, free_after;
	struct kmho_record_info info = { 0 };

	if (opt.peer == NONE) {
		printf("@kmho {\"side\":\"before\"}\n@kmho-ready\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	fill();
	fragments = count_fragments();
	settle();
	free_before = mem_free();
	for (unsigned long i = 0; i < opt.repeat; i++) {
		uint64_t start;

		if (i) {
			start = now();
			opt.peer == KMHO ? kmho_drop() : luo_drop();
			undone = now() - start;
			settle();
			free_before = mem_free();
		}
		start = now();
		opt.peer == KMHO ? kmho_handover() : luo_handover();
		took[i] = now() - start;
	}
	settle();
	free_after = mem_free();
	if (opt.peer == KMHO)
		info = kmho_total();
	printf("@kmho {\"side\":\"before\",\"pages\":%lu,\"fragments\":%lu,\"handoverNs\":[",
	       nr_pfns, fragments);
	for (unsigned long i = 0; i < opt.repeat; i++)
		printf("%s%lu", i ? "," : "", took[i]);
	printf("],\"dropNs\":%lu,\"memoryBytes\":%ld,\"extents\":%lu,\"metadataBytes\":%lu,\"migratedBytes\":%lu}\n@kmho-ready\n",
	       undone, (long)(free_before - free_after),
	       (unsigned long)info.nr_extents, (unsigned long)info.metadata,
	       (unsigned long)info.migrated);
	fflush(stdout);
	for (;;)
		pause();
}

static void after(void)
{
	uint64_t start, called, first, pages, bytes, finished, cpu;
	double rate = ticks_per_second();

	if (opt.peer == NONE) {
		printf("@kmho {\"side\":\"after\",\"ticksPerSecond\":%.0f}\n", rate);
		return;
	}
	cpu = system_time();
	start = now();
	opt.peer == KMHO ? kmho_takeover() : luo_takeover();
	called = now();
	if (*(volatile uint64_t *)key_base(0) != stamp(0, 0))
		nr_wrong++;
	first = now();
	for (unsigned long key = 0; key < opt.keys; key++)
		each_page(key, read_page);
	pages = now();
	cpu = system_time() - cpu;
	for (unsigned long key = 0; key < opt.keys; key++)
		each_page(key, read_bytes);
	bytes = now();
	if (opt.peer == LUO)
		luo_finish();
	finished = now();
	printf("@kmho {\"side\":\"after\",\"ticksPerSecond\":%.0f,\"takeoverNs\":%lu,\"firstByteNs\":%lu,\"allPagesNs\":%lu,\"allBytesNs\":%lu,\"finishNs\":%lu,\"systemNs\":%lu,\"wrong\":%lu}\n",
	       rate, called - start, first - start, pages - start, bytes - start,
	       finished - bytes, cpu, nr_wrong);
	if (nr_wrong)
		exit(1);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !value) {
		fprintf(stderr, "kmho-bench: `%s` is no number above 0\n", text);
		exit(2);
	}
	return value;
}

static int choice(const char *text, const char *const *names, const char *what)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(text, names[i]))
			return i;
	fprintf(stderr, "kmho-bench: `%s` is no %s\n", text, what);
	exit(2);
}

int main(int argc, char **argv)
{
	static const char *const peers[] = { "none", "kmho", "luo", NULL };
	static const char *const layouts[] = { "contiguous", "alternate", "random", NULL };
	static const char *const sides[] = { "before", "after", NULL };
	static const struct option options[] = {
		{ "peer", 1, NULL, 'p' },   { "bytes", 1, NULL, 'b' },
		{ "page", 1, NULL, 's' },   { "layout", 1, NULL, 'l' },
		{ "touch", 1, NULL, 't' },  { "keys", 1, NULL, 'k' },
		{ "ranges", 1, NULL, 'r' }, { "repeat", 1, NULL, 'n' },
		{ "hugetlb", 0, NULL, 'h' },
		{ 0 }
	};
	struct rlimit files = { 1 << 16, 1 << 16 };
	int c, side;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p': opt.peer = choice(optarg, peers, "peer"); break;
		case 'b': opt.bytes = number(optarg); break;
		case 's': opt.page = number(optarg); break;
		case 'l': opt.layout = choice(optarg, layouts, "layout"); break;
		case 't': opt.touch = number(optarg); break;
		case 'k': opt.keys = number(optarg); break;
		case 'r': opt.ranges = number(optarg); break;
		case 'n': opt.repeat = number(optarg); break;
		case 'h': opt.hugetlb = true; break;
		default: return 2;
		}
	}
	if (optind + 1 != argc || opt.repeat > MAX_REPEAT) {
		fprintf(stderr, "usage: kmho-bench before|after --peer kmho|luo|none ...\n");
		return 2;
	}
	if (opt.hugetlb && (opt.peer != KMHO || opt.page != HUGE)) {
		fprintf(stderr, "kmho-bench: --hugetlb is for --peer kmho with --page %lu\n", HUGE);
		return 2;
	}
	side = choice(argv[optind], sides, "side");
	/* A page of this program that is read meanwhile would be measured, too. */
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	range_len = opt.bytes * opt.touch / opt.keys / opt.ranges /
		    opt.page * opt.page;
	range_stride = range_len + (opt.ranges > 1 ? SMALL : 0);
	key_len = (range_stride * opt.ranges + HUGE - 1) & ~(HUGE - 1);
	/* A memfd ends where its last page does: what is behind it LUO fills. */
	if (opt.peer == LUO && opt.page == SMALL && opt.ranges == 1)
		key_len = range_len;
	if (opt.peer != NONE && !range_len) {
		fprintf(stderr, "kmho-bench: less than a page for each range\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	/* Each range becomes a mapping, which are 65,530 at most otherwise. */
	if (opt.ranges > 10000)
		write_file("/proc/sys/vm/max_map_count", "4000000");
	memfds = calloc(opt.keys, sizeof(*memfds));
	sessions = calloc(nr_sessions(), sizeof(*sessions));
	if (!memfds || !sessions)
		die("calloc");
	side ? after() : before();
	return 0;
}
