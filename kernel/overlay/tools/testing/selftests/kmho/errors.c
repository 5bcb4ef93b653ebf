// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each error of kmho(2), in its order of judgement: what is wrong with the
 * arguments as such, then with the key, then with the memory. After each one
 * everything is as it was, and the right call made straight afterwards works.
 */
#include "kmho_test.h"

#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB	4U
#endif

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE	0x08
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_MDWE_REFUSE_EXEC_GAIN	1
#endif

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

#define SEED	0xe44ULL

/* After a refusal: the right call works, and so does undoing it */
static void right_handover(unsigned long key, unsigned long base, unsigned long nr)
{
	must(!kt_handover(key, base, nr));
	must(!kt_drop(key));
}

static int handover(unsigned long key, struct kmho_range_handover *ranges, unsigned long nr)
{
	struct kmho_op_handover op = { .key = key, .num_ranges = nr, .ranges = ranges };

	return kmho(KMHO_HANDOVER, &op);
}

static int takeover(unsigned long key, struct kmho_range_takeover *ranges, unsigned long nr)
{
	struct kmho_op_takeover op = { .key = key, .num_ranges = nr, .ranges = ranges };

	return kmho(KMHO_TAKEOVER, &op);
}

/* A page that cannot be read, right after one that can: an array may run into it */
static unsigned long map_edge(unsigned long base)
{
	kt_map(base, 2);
	must(!mprotect(kt_ptr(base + kt_page), kt_page, PROT_NONE));
	return base + kt_page;
}

static void unknown_opcodes(void)
{
	unsigned int opcodes[] = { 0, 8, 99, 0x10001, INT_MAX, UINT_MAX }, i;
	struct kmho_op_query op = { .size = sizeof(op) };

	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		must_refuse(EINVAL, kmho(opcodes[i], &op));
		must_refuse(EINVAL, kmho(opcodes[i], NULL));
	}
	must(!kmho(KMHO_QUERY, &op));
}

static void features_are_true(void)
{
	struct kmho_op_drop drop = { .size = sizeof(drop), .key = kt_key(0) };
	struct kmho_op_chown chown = { .size = sizeof(chown), .key = kt_key(0) };
	struct kmho_range_takeover range = { .base = kt_addr(0), .len = kt_page };
	struct kmho_op_takeover keep = { .key = kt_key(0), .num_ranges = 1, .ranges = &range };
	__u64 features = kt_features();
	unsigned int op;

	drop.uid = KMHO_UID_SELF;
	chown.uid = geteuid();
	chown.new_uid = geteuid();
	for (op = KMHO_HANDOVER; op <= KMHO_DROP; op++)
		must(features & KMHO_FEATURE(op));
	must(!(features & ~(KMHO_FEATURE(KMHO_CHOWN + 1) - KMHO_FEATURE(KMHO_HANDOVER))));
	/* an opcode that is announced knows that there is no such key; another is unknown */
	must_fail(kt_has(KMHO_FREEZE) ? ENOENT : EINVAL, kmho(KMHO_FREEZE, &drop));
	must_fail(kt_has(KMHO_TAKEOVER_KEEP) ? ENOENT : EINVAL, kmho(KMHO_TAKEOVER_KEEP, &keep));
	must_fail(kt_has(KMHO_CHOWN) ? ENOENT : EINVAL, kmho(KMHO_CHOWN, &chown));
	must(kt_max_ranges() >= 65536);
}

static void handover_unreadable(void)
{
	unsigned long base = kt_addr(1), edge = map_edge(kt_addr(0));
	struct kmho_op_handover *op;
	struct kmho_range_handover *ranges;

	kt_map(base, 4);
	kt_fill(base, 0, 4, SEED);
	must_refuse(EFAULT, kmho(KMHO_HANDOVER, NULL));
	must_refuse(EFAULT, kmho(KMHO_HANDOVER, kt_ptr(edge)));
	must_refuse(EFAULT, kmho(KMHO_HANDOVER, kt_ptr(edge - 8)));
	must_refuse(EFAULT, kmho(KMHO_HANDOVER, kt_ptr(-kt_page)));
	must_refuse(EFAULT, handover(kt_key(0), NULL, 1));
	must_refuse(EFAULT, handover(kt_key(0), kt_ptr(edge), 1));
	must_refuse(EFAULT, handover(kt_key(0), kt_ptr(-kt_page), 1));
	/* the first of two can be read, and is right */
	ranges = kt_ptr(edge - sizeof(*ranges));
	ranges[0].base = base;
	ranges[0].length = kt_page;
	must_refuse(EFAULT, handover(kt_key(0), ranges, 2));
	must(!handover(kt_key(0), ranges, 1));
	must(!kt_drop(kt_key(0)));
	/* an op that ends where readable memory ends */
	op = kt_ptr(edge - sizeof(*op));
	*op = (struct kmho_op_handover){ kt_key(0), 1, kt_ptr(kt_addr(0)) };
	op->ranges[0] = (struct kmho_range_handover){ base, kt_page };
	must(!kmho(KMHO_HANDOVER, op));
	must(!kt_drop(kt_key(0)));
	right_handover(kt_key(0), base, 4);
	must(kt_same(base, 0, 4, SEED));
}

static void handover_range_numbers(void)
{
	unsigned long max = kt_max_ranges(), base = kt_addr(0);
	struct kmho_range_handover *ranges = calloc(max + 1, sizeof(*ranges));
	unsigned long i;

	must(ranges);
	kt_map(base, 1);
	kt_fill(base, 0, 1, SEED);
	for (i = 0; i <= max; i++)
		ranges[i] = (struct kmho_range_handover){ base, kt_page };
	must_refuse(EINVAL, handover(kt_key(0), ranges, 0));
	must_refuse(EINVAL, handover(kt_key(0), NULL, 0));
	must_refuse(E2BIG, handover(kt_key(0), ranges, max + 1));
	must_refuse(E2BIG, handover(kt_key(0), ranges, ULONG_MAX));
	must_refuse(E2BIG, handover(kt_key(0), ranges, 1UL << 32));
	/* the product with the size of an element must not wrap into something small */
	must_refuse(E2BIG, handover(kt_key(0), ranges, 1UL << 60));
	must_refuse(E2BIG, handover(kt_key(0), ranges, (1UL << 60) + 1));
	/* as many as are allowed are looked at: these overlap */
	must_refuse(EINVAL, handover(kt_key(0), ranges, max));
	must_refuse(EINVAL, handover(kt_key(0), ranges, 2));
	right_handover(kt_key(0), base, 1);
}

/* Two of them, beyond all user memory, do not wrap, and may pass for a gap */
static bool is_bad(int err, struct kmho_range_handover *range)
{
	if (err == ENOMEM)
		return range->length == LONG_MAX + 1UL ||
		       (range->base == -kt_page && range->length == kt_page);
	return err == EINVAL;
}

static void handover_bad_ranges(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_range_handover bad[] = {
		{ base + 1, kt_page },
		{ base + kt_page / 2, kt_page },
		{ base, kt_page + 1 },
		{ base, kt_page / 2 },
		{ base, 1 },
		{ base, 0 },
		{ 0, 0 },
		{ base, -kt_page },
		{ base, ULONG_MAX },
		{ base + 4 * kt_page, LONG_MIN },
		{ -kt_page, kt_page },
		{ -kt_page, 2 * kt_page },
		{ -2 * kt_page, 4 * kt_page },
	};
	struct kmho_range_handover two[2];
	unsigned int i;

	kt_map(base, 8);
	kt_fill(base, 0, 8, SEED);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kt_snapshot snap;

		kt_snap(&snap);
		errno = 0;
		must(handover(kt_key(0), &bad[i], 1) == -1);
		must(is_bad(errno, &bad[i]));
		must(kt_unchanged(&snap));
		/* also when it stands after a good one */
		two[0] = (struct kmho_range_handover){ base + 7 * kt_page, kt_page };
		two[1] = bad[i];
		must(handover(kt_key(0), two, 2) == -1);
		must(is_bad(errno, &bad[i]));
	}
	right_handover(kt_key(0), base, 8);
	must(kt_same(base, 0, 8, SEED));
}

static void handover_overlapping(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_range_handover r[3];

	kt_map(base, 8);
	kt_fill(base, 0, 8, SEED);
	r[0] = (struct kmho_range_handover){ base, 4 * kt_page };
	r[1] = (struct kmho_range_handover){ base + 3 * kt_page, 2 * kt_page };
	must_refuse(EINVAL, handover(kt_key(0), r, 2));
	r[2] = r[0];
	must_refuse(EINVAL, handover(kt_key(0), r + 1, 2));
	r[1] = (struct kmho_range_handover){ base + kt_page, kt_page };
	must_refuse(EINVAL, handover(kt_key(0), r, 2));
	/* not next to each other in the array */
	r[1] = (struct kmho_range_handover){ base + 6 * kt_page, kt_page };
	r[2] = (struct kmho_range_handover){ base + 3 * kt_page, kt_page };
	must_refuse(EINVAL, handover(kt_key(0), r, 3));
	/* side by side, and in any order, is right */
	r[0] = (struct kmho_range_handover){ base + 4 * kt_page, 4 * kt_page };
	r[1] = (struct kmho_range_handover){ base, 2 * kt_page };
	r[2] = (struct kmho_range_handover){ base + 2 * kt_page, 2 * kt_page };
	must(!handover(kt_key(0), r, 3));
	must(!kt_drop(kt_key(0)));
	must(kt_same(base, 0, 8, SEED));
}

static void handover_gaps(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_range_handover r[2] = {
		{ base, 2 * kt_page },
		{ base + 6 * kt_page, 2 * kt_page },
	};

	kt_map(base, 8);
	kt_fill(base, 0, 8, SEED);
	kt_unmap(base + 3 * kt_page, 1);
	must_refuse(ENOMEM, kt_handover(kt_key(0), base, 8));
	/* at the end, at the beginning, and all of it */
	must_refuse(ENOMEM, kt_handover(kt_key(0), base + 4 * kt_page, 5));
	must_refuse(ENOMEM, kt_handover(kt_key(0), base + 3 * kt_page, 5));
	must_refuse(ENOMEM, kt_handover(kt_key(0), base + 3 * kt_page, 1));
	must_refuse(ENOMEM, kt_handover(kt_key(0), kt_addr(1), 1));
	must_refuse(ENOMEM, kt_handover(kt_key(0), 0, 1));
	/* one range is right and the other is not: neither is handed over */
	r[1].length = 3 * kt_page;
	must_refuse(ENOMEM, handover(kt_key(0), r, 2));
	r[1].length = 2 * kt_page;
	must(!handover(kt_key(0), r, 2));
	must(!kt_drop(kt_key(0)));
	must(kt_same(base, 0, 3, SEED));
	must(kt_same(base, 4, 4, SEED));
}

static void handover_key_in_use(void)
{
	unsigned long base = kt_addr(0), other = kt_addr(1);

	kt_map(base, 4);
	kt_map(other, 4);
	must(!kt_handover(kt_key(0), base, 4));
	must_refuse(EEXIST, kt_handover(kt_key(0), other, 4));
	must_refuse(EEXIST, kt_handover(kt_key(0), base, 4));
	must(!kt_handover(kt_key(1), other, 4));
	must(!kt_drop(kt_key(0)));
	right_handover(kt_key(0), base, 4);
	/* the record of a process that has ended holds its key as well */
	kt_give(kt_key(2), kt_addr(2), 2, SEED);
	must_refuse(EEXIST, kt_handover(kt_key(2), base, 4));
	must(!kt_drop(kt_key(2)));
	right_handover(kt_key(2), base, 4);
}

static void handover_order(void)
{
	unsigned long base = kt_addr(0), edge = map_edge(kt_addr(1));
	struct kmho_range_handover r[2];
	unsigned long max = kt_max_ranges();

	kt_map(base, 8);
	kt_unmap(base + 4 * kt_page, 1);
	must(!kt_handover(kt_key(0), base, 2));
	/* what is wrong as such comes before the key ... */
	must_refuse(EFAULT, handover(kt_key(0), kt_ptr(edge), 1));
	must_refuse(EINVAL, handover(kt_key(0), r, 0));
	r[0] = (struct kmho_range_handover){ base + 2 * kt_page + 1, kt_page };
	must_refuse(EINVAL, handover(kt_key(0), r, 1));
	must_refuse(E2BIG, handover(kt_key(0), r, max + 1));
	/* ... the key before the memory ... */
	must_refuse(EEXIST, kt_handover(kt_key(0), base + 2 * kt_page, 6));
	must_refuse(EEXIST, kt_handover(kt_key(0), base, 2));
	must_refuse(EEXIST, kt_handover(kt_key(0), kt_addr(2), 1));
	/* ... and each before what is wrong in a later range's memory */
	r[0] = (struct kmho_range_handover){ base + 3 * kt_page, 2 * kt_page };
	r[1] = (struct kmho_range_handover){ base + 6 * kt_page, 1 };
	must_refuse(EINVAL, handover(kt_key(1), r, 2));
	must_refuse(ENOMEM, handover(kt_key(1), r, 1));
	must(!kt_handover(kt_key(1), base + 5 * kt_page, 3));
	must(!kt_drop(kt_key(1)));
	must(!kt_drop(kt_key(0)));
}

/* H8: one page in two records of one process */
static void handover_page_twice(void)
{
	unsigned long base = kt_addr(0);

	kt_map(base, 8);
	kt_fill(base, 0, 8, SEED);
	must(!kt_handover(kt_key(0), base + 2 * kt_page, 4));
	must_refuse(EBUSY, kt_handover(kt_key(1), base + 2 * kt_page, 4));
	must_refuse(EBUSY, kt_handover(kt_key(1), base, 3));
	must_refuse(EBUSY, kt_handover(kt_key(1), base + 5 * kt_page, 3));
	must_refuse(EBUSY, kt_handover(kt_key(1), base, 8));
	must_refuse(EBUSY, kt_handover(kt_key(1), base + 3 * kt_page, 1));
	must(!kt_handover(kt_key(1), base, 2));
	must(!kt_handover(kt_key(2), base + 6 * kt_page, 2));
	must(!kt_drop(kt_key(0)));
	must_refuse(EBUSY, kt_handover(kt_key(0), base, 8));
	must(!kt_handover(kt_key(0), base + 2 * kt_page, 4));
	must(kt_same(base, 0, 8, SEED));
}

static void do_memlock(void *arg)
{
	struct rlimit limit = { 4 * kt_page, 4 * kt_page };
	unsigned long base = kt_addr(0);

	must(!arg);
	must(!setrlimit(RLIMIT_MEMLOCK, &limit));
	kt_map(base, 16);
	kt_fill(base, 0, 5, SEED);
	must_refuse(EAGAIN, kt_handover(kt_key(0), base, 16));
	must_refuse(EAGAIN, kt_handover(kt_key(0), base, 5));
	/* a hole costs nothing */
	must(!kt_handover(kt_key(0), base + kt_page, 15));
	must_refuse(EAGAIN, kt_handover(kt_key(1), base, 1));
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(0), base, 4));
	must_refuse(EAGAIN, kt_handover(kt_key(1), base + 4 * kt_page, 1));
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(1), base + 4 * kt_page, 1));
	must(!kt_drop(kt_key(1)));
	must(kt_same(base, 0, 5, SEED));
}

static void handover_over_memlock(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_memlock, NULL);
}

/* What this kind of memory answers, alone and after a range that is right */
static void refuses_kind(unsigned long addr, unsigned long nr)
{
	unsigned long base = kt_addr(40);
	struct kmho_range_handover r[2] = {
		{ base, 2 * kt_page },
		{ addr, nr * kt_page },
	};

	kt_map(base, 2);
	kt_fill(base, 0, 2, SEED);
	must_refuse(EOPNOTSUPP, handover(kt_key(0), r + 1, 1));
	must_refuse(EOPNOTSUPP, handover(kt_key(0), r, 2));
	right_handover(kt_key(0), base, 2);
	must(kt_same(base, 0, 2, SEED));
	kt_unmap(base, 2);
}

static void refuses_secretmem(void)
{
#ifdef SYS_memfd_secret
	int fd = syscall(SYS_memfd_secret, 0);
	unsigned long *p;

	if (fd < 0)
		kt_skip("memfd_secret: %s (secretmem.enable=1 turns it on)", strerror(errno));
	must(!ftruncate(fd, 2 * kt_page));
	p = mmap(NULL, 2 * kt_page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	*p = 1;
	refuses_kind((unsigned long)p, 2);
#else
	kt_skip("built without memfd_secret");
#endif
}

static void refuses_pfnmap(void)
{
	unsigned long start, end, vvar = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	must(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, "[vvar") && !vvar &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			vvar = start;
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			refuses_kind(start, (end - start) / kt_page);
	}
	fclose(maps);
	if (!vvar)
		kt_skip("no [vvar] in this process");
	refuses_kind(vvar, 1);
}

/* A register window of a device: /dev/mem where there is one, or a PCI function's */
static void refuses_device(void)
{
	char path[64];
	int dev, bar, fd;
	void *p;

	fd = open("/dev/mem", O_RDONLY);
	for (dev = 0; fd < 0 && dev < 32; dev++) {
		for (bar = 0; fd < 0 && bar < 6; bar++) {
			snprintf(path, sizeof(path),
				 "/sys/bus/pci/devices/0000:00:%02x.0/resource%d", dev, bar);
			fd = open(path, O_RDWR);
			if (fd < 0)
				continue;
			p = mmap(NULL, kt_page, PROT_READ, MAP_SHARED, fd, 0);
			if (p == MAP_FAILED) {
				/* ports, not memory */
				close(fd);
				fd = -1;
				continue;
			}
			munmap(p, kt_page);
		}
	}
	if (fd < 0)
		kt_skip("neither /dev/mem nor a PCI device to map");
	p = mmap(NULL, kt_page, PROT_READ, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	refuses_kind((unsigned long)p, 1);
}

static void refuses_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p;

	must(fd >= 0);
	p = mmap(NULL, kt_page, PROT_READ, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	refuses_kind((unsigned long)p, 1);
}

static void refuses_shared_hugetlb(void)
{
	char *p;

	kt_write_file("/proc/sys/vm/nr_hugepages", "1");
	p = mmap(NULL, 2UL << 20, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED)
		kt_skip("no hugetlb page to be had: %s", strerror(errno));
	*p = 1;
	refuses_kind((unsigned long)p, (2UL << 20) / kt_page);
	must(!munmap(p, 2UL << 20));
	kt_write_file("/proc/sys/vm/nr_hugepages", "0");
}

static void refuses_droppable(void)
{
	char *p = mmap(NULL, 2 * kt_page, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS,
		       -1, 0);

	must(p != MAP_FAILED);
	*p = 1;
	refuses_kind((unsigned long)p, 2);
}

/* In each of its ways; and no longer when nobody watches */
static void refuses_userfaultfd(void)
{
	static const __u64 modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	unsigned long base = kt_addr(0);
	unsigned int i, nr = 0;

	if (fd < 0)
		kt_skip("no userfaultfd: %s", strerror(errno));
	must(!ioctl(fd, UFFDIO_API, &api));
	kt_map(base, 4);
	kt_fill(base, 0, 4, SEED);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct uffdio_register reg = { { base + kt_page, 2 * kt_page }, modes[i] };

		/* not every architecture protects from writing */
		if (ioctl(fd, UFFDIO_REGISTER, &reg)) {
			must(errno == EINVAL && modes[i] & UFFDIO_REGISTER_MODE_WP);
			continue;
		}
		nr++;
		must_refuse(EOPNOTSUPP, kt_handover(kt_key(0), base, 4));
		must_refuse(EOPNOTSUPP, kt_handover(kt_key(0), base + 2 * kt_page, 1));
		right_handover(kt_key(0), base, 1);
		must(!ioctl(fd, UFFDIO_UNREGISTER, &reg.range));
		right_handover(kt_key(0), base, 4);
	}
	must(nr);
	must(kt_same(base, 0, 4, SEED));
}

static void kinds_in_one_range(void)
{
	unsigned long base = kt_addr(0);

	/* private, then shared, then private memory, with no gap between */
	kt_map(base, 2);
	kt_map_shared(base + 2 * kt_page, 1, -1);
	kt_map(base + 3 * kt_page, 2);
	kt_fill(base, 0, 5, SEED);
	right_handover(kt_key(0), base, 5);
	/* one that cannot be handed over spoils them all */
	must(!munmap(kt_ptr(base + 2 * kt_page), kt_page));
	must(mmap(kt_ptr(base + 2 * kt_page), kt_page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE,
		  open("/proc/self/exe", O_RDONLY), 0) != MAP_FAILED);
	must_refuse(EOPNOTSUPP, kt_handover(kt_key(0), base, 5));
	right_handover(kt_key(0), base, 2);
	right_handover(kt_key(0), base + 3 * kt_page, 2);
	must(kt_same(base, 0, 2, SEED) && kt_same(base, 3, 2, SEED));
}

static void takeover_unreadable(void)
{
	unsigned long base = kt_addr(0), edge = map_edge(kt_addr(1));
	struct kmho_range_takeover *ranges, good = { base, { kt_page }, base };

	kt_give(kt_key(0), base, 4, SEED);
	must_refuse(EFAULT, kmho(KMHO_TAKEOVER, NULL));
	must_refuse(EFAULT, kmho(KMHO_TAKEOVER, kt_ptr(edge)));
	must_refuse(EFAULT, kmho(KMHO_TAKEOVER, kt_ptr(edge - 8)));
	must_refuse(EFAULT, takeover(kt_key(0), NULL, 1));
	must_refuse(EFAULT, takeover(kt_key(0), kt_ptr(edge), 1));
	must_refuse(EFAULT, takeover(kt_key(0), kt_ptr(-kt_page), 1));
	ranges = kt_ptr(edge - sizeof(*ranges));
	ranges[0] = good;
	must_refuse(EFAULT, takeover(kt_key(0), ranges, 2));
	/* the kernel's choice cannot be written back: nothing is mapped, nothing lost */
	ranges[0].remap_addr = 0;
	must(!mprotect(kt_ptr(kt_addr(1)), kt_page, PROT_READ));
	must_refuse(EFAULT, takeover(kt_key(0), ranges, 1));
	kt_take(kt_key(0), base, 4, SEED);
}

static void takeover_bad_ranges(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1), max = kt_max_ranges();
	unsigned long last = base + 3 * kt_page;
	struct kmho_range_takeover bad[] = {
		{ base + 1, { kt_page }, to },
		{ base, { kt_page + 1 }, to },
		{ base, { 0 }, to },
		{ base, { kt_page }, to + 1 },
		{ base, { kt_page }, 1 },
		{ base, { -kt_page }, to },
		{ base, { ULONG_MAX }, to },
		{ -kt_page, { 2 * kt_page }, to },
		{ base, { 2 * kt_page }, -kt_page },
	};
	struct kmho_range_takeover two[2], *many = calloc(max + 1, sizeof(*many));
	unsigned int i;

	must(many);
	kt_give(kt_key(0), base, 4, SEED);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		must_refuse(EINVAL, takeover(kt_key(0), &bad[i], 1));
		two[0] = (struct kmho_range_takeover){ last, { kt_page }, kt_addr(2) };
		two[1] = bad[i];
		must_refuse(EINVAL, takeover(kt_key(0), two, 2));
		/* as such, so it is the same for a key that is not there */
		must_refuse(EINVAL, takeover(kt_key(1), &bad[i], 1));
	}
	must_refuse(EINVAL, takeover(kt_key(0), two, 0));
	must_refuse(EINVAL, takeover(kt_key(0), NULL, 0));
	must_refuse(E2BIG, takeover(kt_key(0), many, max + 1));
	must_refuse(E2BIG, takeover(kt_key(0), many, ULONG_MAX));
	must_refuse(E2BIG, takeover(kt_key(0), many, 1UL << 61));
	/* one page to two places */
	two[0] = (struct kmho_range_takeover){ base, { 2 * kt_page }, to };
	two[1] = (struct kmho_range_takeover){ base + kt_page, { kt_page }, kt_addr(2) };
	must_refuse(EINVAL, takeover(kt_key(0), two, 2));
	/* two pages to one place */
	two[1] = (struct kmho_range_takeover){ base + 2 * kt_page, { kt_page }, to + kt_page };
	must_refuse(EINVAL, takeover(kt_key(0), two, 2));
	kt_take(kt_key(0), base, 4, SEED);
}

static void takeover_unknown_key(void)
{
	unsigned long base = kt_addr(0);

	must_refuse(ENOENT, kt_takeover(kt_key(0), base, 1));
	must_refuse(ENOENT, kt_takeover(0, base, 1));
	must_refuse(ENOENT, kt_takeover(ULONG_MAX, base, 1));
	kt_give(kt_key(0), base, 4, SEED);
	must_refuse(ENOENT, kt_takeover(kt_key(1), base, 4));
	kt_take(kt_key(0), base, 4, SEED);
}

static void takeover_not_in_record(void)
{
	unsigned long base = kt_addr(0);

	kt_give(kt_key(0), base, 4, SEED);
	must_refuse(ENOENT, kt_takeover(kt_key(0), base, 5));
	must_refuse(ENOENT, kt_takeover(kt_key(0), base - kt_page, 5));
	must_refuse(ENOENT, kt_takeover(kt_key(0), base + 4 * kt_page, 1));
	must_refuse(ENOENT, kt_takeover(kt_key(0), kt_addr(1), 1));
	must_refuse(ENOENT, kt_takeover(kt_key(0), 0, 1));
	kt_take(kt_key(0), base, 4, SEED);
}

static void takeover_addr_in_use(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1), remap;
	struct kmho_range_takeover two[2];
	char *p;
	int fd;

	kt_give(kt_key(0), base, 4, SEED);
	/* shared memory and half a place are in the way */
	p = mmap(kt_ptr(to), 4 * kt_page, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	must(p == kt_ptr(to));
	memset(p, 0x55, 4 * kt_page);
	remap = to;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	remap = to - 2 * kt_page;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	remap = to + 3 * kt_page;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	must(p[0] == 0x55 && p[4 * kt_page - 1] == 0x55);
	/* a file's private mapping is not anonymous, written to or not */
	fd = memfd_create("in the way", 0);
	must(fd >= 0 && !ftruncate(fd, 4 * kt_page));
	p = mmap(kt_ptr(kt_addr(4)), 4 * kt_page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	must(p == kt_ptr(kt_addr(4)));
	memset(p, 0x55, 2 * kt_page);
	remap = kt_addr(4);
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	must(p[0] == 0x55 && p[2 * kt_page - 1] == 0x55);
	must(kt_zero(kt_addr(4), 2, 2));
	close(fd);
	/* private anonymous, but not all over */
	kt_map(kt_addr(2), 2);
	kt_fill(kt_addr(2), 0, 2, SEED + 1);
	remap = kt_addr(2);
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	remap = kt_addr(2) - 2 * kt_page;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	must(kt_same(kt_addr(2), 0, 2, SEED + 1));
	/* T2: the first of two could have been mapped, and is not */
	two[0] = (struct kmho_range_takeover){ base, { 2 * kt_page }, kt_addr(3) };
	two[1] = (struct kmho_range_takeover){ base + 2 * kt_page, { 2 * kt_page }, to };
	must_refuse(EEXIST, takeover(kt_key(0), two, 2));
	must(kt_unmapped(kt_addr(3), 2));
	two[1].remap_addr = kt_addr(3) + 2 * kt_page;
	must(!takeover(kt_key(0), two, 2));
	must(kt_same(kt_addr(3), 0, 4, SEED));
}

/* The place is private anonymous memory all over, and yet not to be taken: nothing changes there */
static void refuses_place(unsigned long to)
{
	unsigned long base = kt_addr(0), remap;

	/* as it is, beginning before it, and ending behind it */
	remap = to;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	remap = to - 2 * kt_page;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	remap = to + 2 * kt_page;
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	must(kt_same(to, 0, 3, SEED + 1));
	must(!kt_held_pages(to + 3 * kt_page, 1));
}

/* Four pages of it, the last one a hole, among eight that could be taken */
static void map_place(unsigned long to)
{
	kt_map(to - 2 * kt_page, 8);
	kt_fill(to, 0, 3, SEED + 1);
}

/* Nothing else than what was in the way was in the way */
static void takes_place(unsigned long to)
{
	unsigned long remap = to;

	must(!kt_takeover_to(kt_key(0), kt_addr(0), 4, &remap));
	must(kt_same(to, 0, 4, SEED));
}

static void takeover_onto_record(void)
{
	unsigned long to = kt_addr(1);
	struct kmho_record_info info;

	kt_give(kt_key(0), kt_addr(0), 4, SEED);
	map_place(to);
	must(!kt_handover(kt_key(1), to, 4));
	refuses_place(to);
	must(!kt_info(kt_key(1), &info));
	must(info.state == KMHO_STATE_LIVE && info.present == 3 * kt_page);
	must(!kt_drop(kt_key(1)));
	takes_place(to);
}

static void takeover_onto_sealed(void)
{
	unsigned long to = kt_addr(1);

	kt_give(kt_key(0), kt_addr(0), 4, SEED);
	map_place(to);
	if (syscall(__NR_mseal, to, 4 * kt_page, 0))
		kt_skip("mseal: %s", strerror(errno));
	refuses_place(to);
	/* what is sealed stays so; another place */
	map_place(kt_addr(2));
	takes_place(kt_addr(2));
}

/* What the pages that come are, its monitor would not be told */
static void takeover_onto_watched(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	unsigned long to = kt_addr(1);
	struct uffdio_register reg = {
		.range = { to, 4 * kt_page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (fd < 0)
		kt_skip("no userfaultfd: %s", strerror(errno));
	must(!ioctl(fd, UFFDIO_API, &api));
	kt_give(kt_key(0), kt_addr(0), 4, SEED);
	map_place(to);
	must(!ioctl(fd, UFFDIO_REGISTER, &reg));
	refuses_place(to);
	must(!ioctl(fd, UFFDIO_UNREGISTER, &reg.range));
	takes_place(to);
}

static void takeover_order(void)
{
	unsigned long base = kt_addr(0), to = kt_addr(1), remap;
	struct kmho_range_takeover r = { base, { kt_page }, to + 1 };

	kt_give(kt_key(0), base, 4, SEED);
	must(mmap(kt_ptr(to), 8 * kt_page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS |
		  MAP_FIXED_NOREPLACE, -1, 0) == kt_ptr(to));
	/* as such before the key, the key and what is in it before the memory */
	must_refuse(EINVAL, takeover(kt_key(1), &r, 1));
	must_refuse(EINVAL, takeover(kt_key(1), &r, 0));
	remap = to;
	must_refuse(ENOENT, kt_takeover_to(kt_key(1), base, 4, &remap));
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), base, 5, &remap));
	must_refuse(EEXIST, kt_takeover_to(kt_key(0), base, 4, &remap));
	kt_take(kt_key(0), base, 4, SEED);
}

static void takeover_twice(void)
{
	unsigned long base = kt_addr(0), remap;

	kt_give(kt_key(0), base, 4, SEED);
	remap = kt_addr(1);
	must(!kt_takeover_to(kt_key(0), base, 2, &remap));
	remap = kt_addr(2);
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), base, 2, &remap));
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), base + kt_page, 2, &remap));
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), base, 4, &remap));
	must(!kt_takeover_to(kt_key(0), base + 2 * kt_page, 2, &remap));
	must(kt_same(kt_addr(1), 0, 2, SEED));
	must(kt_same_from(kt_addr(2), 0, 2, SEED, 2));
	must_refuse(ENOENT, kt_takeover(kt_key(0), base, 4));
	must(!kt_exists(kt_key(0)));
	/* the key is free again */
	right_handover(kt_key(0), kt_addr(1), 2);
}

static void takeover_owner_lives(void)
{
	unsigned long base = kt_addr(0), remap = kt_addr(1);

	kt_map(base, 4);
	kt_fill(base, 0, 4, SEED);
	must(!kt_handover(kt_key(0), base, 4));
	must_refuse(EBUSY, kt_takeover_to(kt_key(0), base, 4, &remap));
	must_refuse(EBUSY, kt_takeover(kt_key(0), base, 4));
	must(!kt_drop(kt_key(0)));
	must(kt_same(base, 0, 4, SEED));
}

/* No room in the address space: all of it stays, and can be had with more room */
static void takeover_no_room(void)
{
	unsigned long base = kt_addr(0), remap = 0;
	struct rlimit limit, tight;

	kt_give(kt_key(0), base, 64, SEED);
	must(!getrlimit(RLIMIT_AS, &limit));
	tight = limit;
	tight.rlim_cur = kt_page;
	/* the snapshot needs room as well, so it is taken around the limit */
	struct kt_snapshot snap;

	kt_snap(&snap);
	must(!setrlimit(RLIMIT_AS, &tight));
	errno = 0;
	int ret = kt_takeover_to(kt_key(0), base, 64, &remap);
	int err = errno;

	must(!setrlimit(RLIMIT_AS, &limit));
	errno = err;
	must(ret == -1 && err == ENOMEM);
	must(!remap);
	must(kt_unchanged(&snap));
	kt_take(kt_key(0), base, 64, SEED);
}

/* While a process may have no more than @max mappings */
static int takeover_within(unsigned long max, unsigned long key,
			   struct kmho_range_takeover *ranges, unsigned long nr)
{
	static const char path[] = "/proc/sys/vm/max_map_count";
	char usual[32], now[32];
	int ret, err;

	must(kt_read_file(path, usual, sizeof(usual)));
	snprintf(now, sizeof(now), "%lu", max);
	must(kt_write_file(path, now));
	errno = 0;
	ret = takeover(key, ranges, nr);
	err = errno;
	must(kt_write_file(path, usual));
	errno = err;
	return ret;
}

/* More mappings than a process may have, reached in the middle of the call */
static void takeover_too_many_mappings(void)
{
	unsigned long base = kt_addr(0), fill = kt_addr(1), i;
	struct kmho_range_takeover r[32];

	kt_need_root();
	kt_give(kt_key(0), base, 64, SEED);
	/* every other page of the record, each a mapping of its own */
	for (i = 0; i < 32; i++)
		r[i] = (struct kmho_range_takeover){
			base + 2 * i * kt_page, { kt_page }, kt_addr(2) + 2 * i * kt_page
		};
	kt_map_prot(fill, 400, PROT_READ);
	for (i = 0; i < 200; i++)
		must(!mprotect(kt_ptr(fill + 2 * i * kt_page), kt_page, PROT_NONE));
	must_refuse(ENOMEM, takeover_within(420, kt_key(0), r, 32));
	must(!takeover(kt_key(0), r, 32));
	for (i = 0; i < 32; i++)
		must(kt_same_from(kt_addr(2), 2 * i, 1, SEED, 2 * i));
}

/* Mappings that count: not that of vsyscall */
static unsigned long nr_mappings(void)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	static char buf[1 << 16];
	unsigned long nr = 0;
	ssize_t n;
	char *at;

	must(fd >= 0);
	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		buf[n] = 0;
		for (at = buf; (at = strchr(at, '\n')); at++)
			nr++;
		if (strstr(buf, "[vsyscall]"))
			nr--;
	}
	must(!n);
	close(fd);
	return nr;
}

static void do_give_three(void *arg)
{
	unsigned long base = kt_addr(0);

	must(!arg);
	kt_map(base, 12);
	kt_fill(base, 0, 12, SEED);
	must(!mprotect(kt_ptr(base + 4 * kt_page), 4 * kt_page, PROT_READ));
	must(!kt_handover(kt_key(0), base, 12));
}

/*
 * The first range joins two mappings, so that there is room for the second one; the
 * third fails. If the first goes first again, there is one mapping too many.
 */
static void takeover_undone(void)
{
	unsigned long base = kt_addr(0), between = kt_addr(1), used = kt_addr(3), i;
	struct kmho_range_takeover r[] = {
		{ base, { 4 * kt_page }, between + 4 * kt_page },
		{ base + 4 * kt_page, { 4 * kt_page }, kt_addr(2) },
		{ base + 8 * kt_page, { 4 * kt_page }, used },
	};

	kt_need_root();
	kt_run(do_give_three, NULL);
	kt_map(between, 4);
	kt_map(between + 8 * kt_page, 4);
	kt_map(used + 3 * kt_page, 1);
	must_refuse(EEXIST, takeover_within(nr_mappings(), kt_key(0), r, 3));

	kt_unmap(used + 3 * kt_page, 1);
	i = nr_mappings();
	must(!takeover(kt_key(0), r, 3));
	/* two joined, and two more */
	must(nr_mappings() == i + 1);
	for (i = 0; i < 3; i++)
		must(kt_same_from(r[i].remap_addr, 0, 4, SEED, 4 * i));
}

static void drop_errors(void)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = kt_key(0), .uid = KMHO_UID_SELF };
	unsigned long base = kt_addr(0), edge = map_edge(kt_addr(1));

	must_refuse(ENOENT, kmho(KMHO_DROP, &op));
	kt_give(kt_key(0), base, 2, SEED);
	op.flags = 1;
	must_refuse(EINVAL, kmho(KMHO_DROP, &op));
	op.flags = 0;
	op.reserved = 1;
	must_refuse(EINVAL, kmho(KMHO_DROP, &op));
	op.reserved = 0;
	op.size = 0;
	must_refuse(EINVAL, kmho(KMHO_DROP, &op));
	op.size = 8;
	must_refuse(EINVAL, kmho(KMHO_DROP, &op));
	op.size = 2 * kt_page;
	must_refuse(E2BIG, kmho(KMHO_DROP, &op));
	op.size = sizeof(op);
	must_refuse(EFAULT, kmho(KMHO_DROP, NULL));
	must_refuse(EFAULT, kmho(KMHO_DROP, kt_ptr(edge)));
	must_refuse(EFAULT, kmho(KMHO_DROP, kt_ptr(-kt_page)));
	must(!kmho(KMHO_DROP, &op));
	must_refuse(ENOENT, kmho(KMHO_DROP, &op));
}

/* The structures that may grow, made larger by what a later version may have */
static void sizes(void)
{
	struct {
		struct kmho_op_drop op;
		__u64 tail[4];
	} drop = { .op = { .size = sizeof(drop), .key = kt_key(0), .uid = KMHO_UID_SELF } };
	struct {
		struct kmho_op_query op;
		__u64 tail[4];
	} query = { .op = { .size = sizeof(query) } };
	unsigned int i;

	kt_give(kt_key(0), kt_addr(0), 2, SEED);
	must(!kmho(KMHO_QUERY, &query));
	must(query.op.nr_records >= 1);
	for (i = 0; i < 4; i++) {
		must(!query.tail[i]);
		query.tail[i] = 1;
		must_refuse(E2BIG, kmho(KMHO_QUERY, &query));
		query.tail[i] = 0;
		drop.tail[i] = 1ULL << 63;
		must_refuse(E2BIG, kmho(KMHO_DROP, &drop));
		drop.tail[i] = 0;
	}
	must(!kmho(KMHO_DROP, &drop));
	must(!kt_exists(kt_key(0)));
	/* sizes without the fields that every version has */
	query.op.size = 0;
	must_refuse(EINVAL, kmho(KMHO_QUERY, &query));
	query.op.size = 4;
	must_refuse(EINVAL, kmho(KMHO_QUERY, &query));
	query.op.size = UINT_MAX;
	must_refuse(E2BIG, kmho(KMHO_QUERY, &query));
}

static void query_errors(void)
{
	unsigned long edge = map_edge(kt_addr(1));
	struct kmho_op_query op = { .size = sizeof(op) };
	struct kmho_record_info info[2];
	struct kmho_range_info range;

	kt_give(kt_key(0), kt_addr(0), 2, SEED);
	kt_give(kt_key(1), kt_addr(0), 2, SEED);
	must_refuse(EFAULT, kmho(KMHO_QUERY, NULL));
	must_refuse(EFAULT, kmho(KMHO_QUERY, kt_ptr(edge)));
	op.flags = 1U << 31;
	must_refuse(EINVAL, kmho(KMHO_QUERY, &op));
	op.flags = KMHO_QUERY_KEY;
	op.key = kt_key(2);
	op.uid = KMHO_UID_SELF;
	must_refuse(ENOENT, kmho(KMHO_QUERY, &op));
	op.flags = 0;
	op.nr_records = 2;
	op.records = edge;
	must_refuse(EFAULT, kmho(KMHO_QUERY, &op));
	op.records = edge - sizeof(info[0]);
	must_refuse(EFAULT, kmho(KMHO_QUERY, &op));
	/* the answer goes where it was asked from, which must be writable */
	op.nr_records = 0;
	op.records = 0;
	memcpy(kt_ptr(edge - sizeof(op)), &op, sizeof(op));
	must(!kmho(KMHO_QUERY, kt_ptr(edge - sizeof(op))));
	must(!mprotect(kt_ptr(kt_addr(1)), kt_page, PROT_READ));
	must_refuse(EFAULT, kmho(KMHO_QUERY, kt_ptr(edge - sizeof(op))));
	/* an array that is too small is filled as far as it goes */
	memset(info, 0, sizeof(info));
	op = (struct kmho_op_query){
		.size = sizeof(op),
		.nr_records = 1,
		.records = (unsigned long)info,
	};
	must(!kmho(KMHO_QUERY, &op));
	must(op.nr_records >= 2);
	must(info[0].bytes && !info[1].bytes);
	op = (struct kmho_op_query){
		.size = sizeof(op),
		.flags = KMHO_QUERY_KEY,
		.key = kt_key(1),
		.uid = KMHO_UID_SELF,
		.nr_records = 2,
		.records = (unsigned long)info,
		.nr_ranges = 1,
		.ranges = (unsigned long)&range,
	};
	must(!kmho(KMHO_QUERY, &op));
	must(op.nr_records == 1 && op.nr_ranges == 1);
	must(info[0].key == kt_key(1) && info[0].uid == geteuid());
	must(info[0].state == KMHO_STATE_HELD && !info[0].pid);
	must(info[0].bytes == 2 * kt_page && info[0].present == 2 * kt_page);
	must(range.base == kt_addr(0) && range.length == 2 * kt_page);
	must(range.prot == (PROT_READ | PROT_WRITE) && range.kind == KMHO_KIND_ANON);
}

/* ---- places and protections that a process may not have ---- */

static void do_give_executable(void *arg)
{
	unsigned long base = kt_addr(0);

	must(!arg);
	kt_map(base, 3);
	kt_fill(base, 0, 3, SEED);
	must(!mprotect(kt_ptr(base + kt_page), kt_page, PROT_READ | PROT_WRITE | PROT_EXEC));
	must(!mprotect(kt_ptr(base + 2 * kt_page), kt_page, PROT_READ | PROT_EXEC));
	must(!kt_handover(kt_key(0), base, 3));
}

static void do_refuse_mdwe(void *arg)
{
	unsigned long base = kt_addr(0), anywhere = 0, into = kt_addr(1);

	must(!arg);
	must(!prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0));
	must_refuse(EACCES, kt_takeover(kt_key(0), base, 3));
	must(kt_unmapped(base, 3));
	must_refuse(EACCES, kt_takeover_to(kt_key(0), base + kt_page, 1, &anywhere));
	/* what is only one of the two is allowed, and so is a mapping that the caller has */
	must(!kt_takeover(kt_key(0), base, 1));
	must(!kt_takeover(kt_key(0), base + 2 * kt_page, 1));
	must(kt_perms(base, "rw-p") && kt_perms(base + 2 * kt_page, "r-xp"));
	must(kt_same(base, 0, 1, SEED) && kt_same(base, 2, 1, SEED));
	kt_map(into, 1);
	must(!kt_takeover_to(kt_key(0), base + kt_page, 1, &into));
	must(kt_perms(into, "rw-p"));
	must(kt_same_from(into, 0, 1, SEED, 1));
}

static void takeover_mdwe(void)
{
	kt_run(do_give_executable, NULL);
	kt_run(do_refuse_mdwe, NULL);
	must(!kt_exists(kt_key(0)));
	/* who has given nothing up gets what there was */
	kt_run(do_give_executable, NULL);
	must(!kt_takeover(kt_key(0), kt_addr(0), 3));
	must(kt_perms(kt_addr(0) + kt_page, "rwxp"));
	must(kt_same(kt_addr(0), 0, 3, SEED));
}

#define MIN_ADDR	"/proc/sys/vm/mmap_min_addr"

static void do_refuse_low(void *arg)
{
	unsigned long low = kt_page, edge = (unsigned long)arg - kt_page;

	must_refuse(EPERM, kt_takeover_to(kt_key(0), kt_addr(0), 4, &low));
	/* one page of it is enough */
	must_refuse(EPERM, kt_takeover_to(kt_key(0), kt_addr(0), 4, &edge));
	must(kt_unmapped(kt_page, 1) && kt_unmapped(edge, 4));
	edge += kt_page;
	must(!kt_takeover_to(kt_key(0), kt_addr(0), 4, &edge));
	must(kt_same(edge, 0, 4, SEED));
}

static void takeover_low(void)
{
	unsigned long low = kt_page, min = 16 * kt_page;
	char old[32], new[32];

	kt_need_root();
	must(kt_read_file(MIN_ADDR, old, sizeof(old)));
	snprintf(new, sizeof(new), "%lu", min);
	must(kt_write_file(MIN_ADDR, new));
	kt_give_as(KT_USER, kt_key(0), kt_addr(0), 4, SEED);
	kt_run_as(KT_USER, do_refuse_low, (void *)min);
	/* root has CAP_SYS_RAWIO */
	kt_give(kt_key(0), kt_addr(0), 4, SEED);
	must(!kt_takeover_to(kt_key(0), kt_addr(0), 4, &low));
	must(kt_same(low, 0, 4, SEED));
	must(kt_write_file(MIN_ADDR, old));
}

static void do_other_uid(void *arg)
{
	struct kmho_op_query all = { .size = sizeof(all), .flags = KMHO_QUERY_ALL };
	struct kmho_record_info info;
	unsigned long base = kt_addr(0);

	must(!arg);
	must_refuse(ENOENT, kt_takeover(kt_key(0), base, 4));
	must_refuse(ENOENT, kt_drop(kt_key(0)));
	must_refuse(ENOENT, kt_info(kt_key(0), &info));
	must_refuse(EPERM, kmho(KMHO_QUERY, &all));
	/* to name another user is not allowed, whether there is such a record or not */
	must_refuse(EPERM, kt_drop_of(kt_key(0), KT_USER));
	must_refuse(EPERM, kt_info_of(kt_key(0), KT_USER, &info));
	must_refuse(EPERM, kt_info_of(kt_key(1), KT_USER, &info));
	/* its own uid by name is no privilege */
	must_refuse(ENOENT, kt_drop_of(kt_key(0), KT_OTHER));
	kt_map(base, 4);
	must(!kt_handover(kt_key(0), base, 4));
	must(!kt_drop_of(kt_key(0), KT_OTHER));
}

static void do_take(void *arg)
{
	must(!arg);
	kt_take(kt_key(0), kt_addr(0), 4, SEED);
}

static void other_uid(void)
{
	kt_need_root();
	kt_give_as(KT_USER, kt_key(0), kt_addr(0), 4, SEED);
	kt_run_as(KT_OTHER, do_other_uid, NULL);
	/* root is another uid, too, when it comes to taking over */
	must_refuse(ENOENT, kt_takeover(kt_key(0), kt_addr(0), 4));
	kt_run_as(KT_USER, do_take, NULL);
}

static void key_zero(void)
{
	unsigned long base = kt_addr(0);
	struct kmho_record_info info;

	if (kt_exists(0))
		kt_skip("somebody else's record has key 0");
	kt_give(0, base, 2, SEED);
	must(!kt_info(0, &info));
	must(info.key == 0 && info.bytes == 2 * kt_page);
	must_refuse(EEXIST, kt_handover(0, base, 2));
	kt_take(0, base, 2, SEED);
	must(!kt_handover(0, base, 2));
	must(!kt_drop(0));
	must_refuse(ENOENT, kt_drop(0));
}

static const struct kt_case cases[] = {
	{ "an unknown opcode is EINVAL", .now = unknown_opcodes },
	{ "QUERY says which opcodes there are, and is right", .now = features_are_true },
	{ "handover: what cannot be read is EFAULT", .now = handover_unreadable },
	{ "handover: too many ranges are E2BIG, none EINVAL", .now = handover_range_numbers },
	{ "handover: a misaligned, empty or wrapping range is EINVAL", .now = handover_bad_ranges },
	{ "handover: overlapping ranges are EINVAL", .now = handover_overlapping },
	{ "handover: an unmapped gap is ENOMEM", .now = handover_gaps },
	{ "handover: a key in use is EEXIST", .now = handover_key_in_use },
	{ "handover: the errors come in their order", .now = handover_order },
	{ "handover: one page in two records of a process is EBUSY", .now = handover_page_twice },
	{ "handover: over RLIMIT_MEMLOCK is EAGAIN", .now = handover_over_memlock },
	{ "handover: secretmem is EOPNOTSUPP", .now = refuses_secretmem },
	{ "handover: VM_PFNMAP, vvar and vdso, is EOPNOTSUPP", .now = refuses_pfnmap },
	{ "handover: device memory is EOPNOTSUPP", .now = refuses_device },
	{ "handover: a shared mapping of a file is EOPNOTSUPP", .now = refuses_file },
	{ "handover: shared hugetlb is EOPNOTSUPP", .now = refuses_shared_hugetlb },
	{ "handover: MAP_DROPPABLE is EOPNOTSUPP", .now = refuses_droppable },
	{ "handover: what userfaultfd watches is EOPNOTSUPP", .now = refuses_userfaultfd },
	{ "handover: two kinds of memory are all or nothing", .now = kinds_in_one_range },
	{ "takeover: what cannot be read or written is EFAULT", .now = takeover_unreadable },
	{ "takeover: bad ranges are EINVAL, too many E2BIG", .now = takeover_bad_ranges },
	{ "takeover: an unknown key is ENOENT", .now = takeover_unknown_key },
	{ "takeover: a range that is not in the record is ENOENT", .now = takeover_not_in_record },
	{ "takeover: remap_addr in use is EEXIST", .now = takeover_addr_in_use },
	{ "takeover: onto what is handed over is EEXIST", .now = takeover_onto_record },
	{ "takeover: onto what is sealed is EEXIST", .now = takeover_onto_sealed },
	{ "takeover: onto what userfaultfd watches is EEXIST", .now = takeover_onto_watched },
	{ "takeover: the errors come in their order", .now = takeover_order },
	{ "takeover: a second time is ENOENT", .now = takeover_twice },
	{ "takeover: while the owner lives is EBUSY", .now = takeover_owner_lives },
	{ "takeover: no room in the address space is ENOMEM", .now = takeover_no_room },
	{ "takeover: too many mappings are ENOMEM", .now = takeover_too_many_mappings },
	{ "takeover: with as many mappings as there may be, it is undone", .now = takeover_undone },
	{ "takeover: writable and executable, with PR_SET_MDWE, is EACCES", .now = takeover_mdwe },
	{ "takeover: below mmap_min_addr is EPERM", .now = takeover_low },
	{ "drop: its errors", .now = drop_errors },
	{ "drop, query: a larger structure, if the rest is zero", .now = sizes },
	{ "query: its errors and its answers", .now = query_errors },
	{ "another uid sees ENOENT", .now = other_uid },
	{ "key 0 is a key like any other", .now = key_zero },
};

int main(int argc, char **argv)
{
	kt_program = 2;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
