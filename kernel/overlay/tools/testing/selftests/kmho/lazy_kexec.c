// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that came with a kexec is put in when it is touched. Whatever is done
 * to it before that, it is as if it had been there from the beginning: each case
 * takes memory, does one thing to it that nobody has touched yet, and looks at
 * every byte.
 *
 * That nobody touches it is only certain while the kernel leaves it alone as well,
 * which a file in debugfs sees to (CONFIG_KMHO_DEBUG).
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "kmho_test.h"

#define SEED	0x1a27ULL
#define TO	8			/* kt_addr() of another place */
#define STILL	0x57			/* key of what the last case tells its successor */

/* Some blocks and a bit, that begin in the middle of one; holes at the end of each MiB */
#define FIRST	100
#define NR	1900
#define PER_MIB	256
#define HOLES	20

static unsigned long base_of(void)
{
	return kt_addr(0) + FIRST * kt_page;
}

static bool is_hole(unsigned long i)
{
	return i % PER_MIB >= PER_MIB - HOLES;
}

static unsigned long nr_present(void)
{
	unsigned long i, nr = 0;

	for (i = 0; i < NR; i++)
		nr += !is_hole(i);
	return nr;
}

/* The pages from @first on, which lie at @base, are what was handed over */
static bool same(unsigned long base, unsigned long first, unsigned long nr)
{
	unsigned long i;

	for (i = first; i < first + nr; i++) {
		unsigned long at = base + (i - first) * kt_page;

		if (is_hole(i) ? !kt_zero(at, 0, 1) :
				 !kt_same_from(at, 0, 1, SEED, i))
			return false;
	}
	return true;
}

static bool all_same(void)
{
	return same(base_of(), 0, NR);
}

static void do_give(void *arg)
{
	unsigned long i, base = base_of();

	must(!arg);
	kt_map(base, NR);
	for (i = 0; i < NR; i++)
		if (!is_hole(i))
			kt_fill(base, i, 1, SEED);
	must(!kt_handover(kt_key(kt_index), base, NR));
}

static void give(void)
{
	kt_run(do_give, NULL);
}

/* Pages that are mapped; pagemap would have them put in */
static unsigned long nr_in(void)
{
	static unsigned char vec[NR];
	unsigned long i, nr = 0;

	must(!mincore(kt_ptr(base_of()), NR * kt_page, vec));
	for (i = 0; i < NR; i++)
		nr += vec[i] & 1;
	return nr;
}

static void take(void)
{
	kt_need_patience("1000000");
	must(!kt_takeover(kt_key(kt_index), base_of(), NR));
	must(!kt_exists(kt_key(kt_index)));
	must(!nr_in());
}

/* ---- what is done with it ---- */

static void is_counted(void)
{
	long before = kt_field("/proc/self/status", "RssAnon"), after;
	long size = nr_present() * kt_page / 1024;

	take();
	after = kt_field("/proc/self/status", "RssAnon");
	must(after - before >= size && after - before < size + 512);

	/* One page has a part of one block put in, and no more */
	must(kt_same(base_of(), NR / 2, 1, SEED));
	must(nr_in() > 0 && nr_in() <= kt_pmd_size() / kt_page);
	must(all_same());
	must(nr_in() >= nr_present());
	after = kt_field("/proc/self/status", "RssAnon");
	must(after - before >= size && after - before < size + 512);

	kt_unmap(base_of(), NR);
	must(labs(kt_field("/proc/self/status", "RssAnon") - before) < 512);
}

static void is_written(void)
{
	unsigned long i, base = base_of();

	take();
	for (i = 0; i < NR; i += 97)
		kt_fill(base, i, 1, SEED + 1);
	for (i = 0; i < NR; i++)
		must(i % 97 ? same(base + i * kt_page, i, 1) : kt_same(base, i, 1, SEED + 1));
}

static void is_read_by_the_kernel(void)
{
	unsigned long i, base = base_of();
	static char copy[8 * 4096], copied[8 * 4096];
	struct iovec from = { kt_ptr(base + (NR - 8) * kt_page), sizeof(copied) };
	struct iovec to = { copied, sizeof(copied) };
	int fd = memfd_create("lazy", 0);

	must(fd >= 0);
	take();
	/* Written to a file, block after block, and by another process */
	must(write(fd, kt_ptr(base), NR / 2 * kt_page) == (ssize_t)(NR / 2 * kt_page));
	for (i = 0; i < NR / 2; i += 8) {
		unsigned long len = (i + 8 > NR / 2 ? NR / 2 - i : 8) * kt_page;

		must(pread(fd, copy, len, i * kt_page) == (ssize_t)len);
		must(!memcmp(copy, kt_ptr(base + i * kt_page), len));
	}
	must(same(base, 0, NR / 2));
	must(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(copied));
	must(!memcmp(copied, from.iov_base, sizeof(copied)));
	must(all_same());
}

static void is_read_into(void)
{
	unsigned long base = base_of();
	int fd = open("/dev/zero", O_RDONLY);
	static const char zeros[64];

	take();
	/* A part of a page is overwritten, the rest of it stays */
	must(read(fd, kt_ptr(base + 700 * kt_page + 64), 64) == 64);
	must(kt_same(base, 699, 1, SEED));
	must(!memcmp(kt_ptr(base + 700 * kt_page + 64), zeros, sizeof(zeros)));
	must(*(__u64 *)kt_ptr(base + 700 * kt_page) == kt_word(SEED, 700 * kt_page / 8));
	must(same(base, 0, 700));
	must(same(base + 701 * kt_page, 701, NR - 701));
}

static void is_unmapped(void)
{
	unsigned long base = base_of();

	take();
	must(!munmap(kt_ptr(base + 300 * kt_page), 900 * kt_page));
	/* What comes there is new */
	must(mmap(kt_ptr(base + 400 * kt_page), 100 * kt_page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     kt_ptr(base + 400 * kt_page));
	must(kt_zero(base, 400, 100));
	must(same(base, 0, 300));
	must(same(base + 1200 * kt_page, 1200, NR - 1200));
	/* and over what nobody has touched */
	must(mmap(kt_ptr(base + 1500 * kt_page), kt_page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     kt_ptr(base + 1500 * kt_page));
	must(kt_zero(base, 1500, 1));
	must(same(base + 1501 * kt_page, 1501, NR - 1501));
}

static void is_moved(void)
{
	unsigned long base = base_of(), to = kt_addr(TO);

	take();
	must(mremap(kt_ptr(base + 333 * kt_page), 1000 * kt_page, 1000 * kt_page,
		    MREMAP_MAYMOVE | MREMAP_FIXED, kt_ptr(to)) == kt_ptr(to));
	must(same(to, 333, 1000));
	must(same(base, 0, 333));
	must(same(base + 1333 * kt_page, 1333, NR - 1333));
}

static void is_discarded(void)
{
	unsigned long base = base_of();

	take();
	must(!madvise(kt_ptr(base + 10 * kt_page), 700 * kt_page, MADV_DONTNEED));
	must(kt_zero(base, 10, 700));
	must(same(base, 0, 10));
	must(same(base + 710 * kt_page, 710, NR - 710));
}

static void is_collapsed(void)
{
	unsigned long size = kt_need_thp(), base = base_of();
	unsigned long from = (base + size - 1) / size * size;

	take();
	must(!madvise(kt_ptr(base), NR * kt_page, MADV_HUGEPAGE));
	if (kt_collapse(from, size)) {
		must(errno == EINVAL);
		kt_skip("this kernel has no MADV_COLLAPSE");
	}
	must(kt_smaps(base, NR * kt_page, "AnonHugePages") == (long)(size / 1024));
	must(all_same());
}

static void is_swapped(void)
{
	unsigned long out;

	kt_need_swap();
	take();
	out = kt_pageout(base_of(), NR);
	printf("# %lu of %lu pages in swap\n", out, nr_present());
	must(out > nr_present() / 2);
	must(all_same());
}

static void is_protected(void)
{
	unsigned long base = base_of();

	take();
	must(!mprotect(kt_ptr(base + 200 * kt_page), 600 * kt_page, PROT_NONE));
	must(!mprotect(kt_ptr(base + 900 * kt_page), 600 * kt_page, PROT_READ));
	must(same(base, 0, 200));
	must(same(base + 800 * kt_page, 800, 700));
	must(kt_perms(base + 900 * kt_page, "r--p"));
	must(!mprotect(kt_ptr(base), NR * kt_page, PROT_READ | PROT_WRITE));
	kt_fill(base, 1000, 1, SEED + 1);
	must(same(base, 0, 1000));
	must(kt_same(base, 1000, 1, SEED + 1));
	must(same(base + 1001 * kt_page, 1001, NR - 1001));
}

static void is_locked(void)
{
	take();
	if (mlock(kt_ptr(base_of()), NR * kt_page)) {
		must(errno == ENOMEM || errno == EPERM);
		kt_skip("mlock: %s", strerror(errno));
	}
	must(nr_in() >= nr_present());
	must(all_same());
}

static void is_forked(void)
{
	unsigned long base = base_of();
	pid_t pid;

	take();
	pid = kt_fork();
	if (!pid) {
		must(all_same());
		kt_fill(base, 500, 500, 666);
		_exit(0);
	}
	must(all_same());
	must(!kt_wait(pid));
	must(all_same());
}

static void is_faulted(void)
{
	struct uffdio_register reg = {
		.range = { base_of(), NR * kt_page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	unsigned long i;

	if (fd < 0)
		kt_skip("no userfaultfd: %s", strerror(errno));
	must(!ioctl(fd, UFFDIO_API, &api));
	take();
	must(!ioctl(fd, UFFDIO_REGISTER, &reg));
	/* Holes are missing, and nothing else: nobody answers */
	alarm(60);
	for (i = 0; i < NR; i++)
		if (!is_hole(i))
			must(same(base_of() + i * kt_page, i, 1));
	close(fd);
	must(all_same());
}

static void is_in_pagemap(void)
{
	static __u64 entries[NR];
	unsigned long i;

	take();
	kt_read_pagemap(base_of(), NR, entries);
	for (i = 0; i < NR; i++)
		must(!!(entries[i] & KT_PM_PRESENT) == !is_hole(i));
	must(all_same());
}

static void is_handed_over(void)
{
	unsigned long base = base_of();
	struct kmho_record_info info;
	pid_t pid = kt_fork();

	if (!pid) {
		take();
		/* a part of it, under another key */
		must(!kt_handover(kt_key(STILL + 1), base + 300 * kt_page, 1000));
		must(!kt_info(kt_key(STILL + 1), &info));
		must(info.state == KMHO_STATE_LIVE && info.present);
		must_fail(EPERM, munmap(kt_ptr(base + 400 * kt_page), kt_page));
		must(same(base, 0, 300));
		_exit(0);
	}
	must(!kt_wait(pid));
	must(!kt_takeover(kt_key(STILL + 1), base + 300 * kt_page, 1000));
	must(same(base + 300 * kt_page, 300, 1000));
}

static void is_taken_over(void)
{
	unsigned long base = base_of(), from = kt_addr(TO), to = base + 600 * kt_page;

	/* Pages of another record go into it, and replace what was promised */
	kt_give(kt_key(STILL + 2), from, 8, SEED + 2);
	take();
	must(!kt_takeover_to(kt_key(STILL + 2), from, 8, &to));
	must(kt_same_from(to, 0, 8, SEED + 2, 0));
	must(same(base, 0, 600));
	must(same(base + 608 * kt_page, 608, NR - 608));
}

static void is_taken_in_parts(void)
{
	unsigned long base = base_of(), key = kt_key(kt_index);
	struct kmho_record_info info;
	long size = kt_pmd_size();

	if (!size)
		size = 512 * kt_page;
	kt_need_patience("1000000");
	must(!kt_takeover(key, base + 7 * kt_page, size / kt_page + 100));
	must(!kt_info(key, &info));
	must(same(base + 7 * kt_page, 7, size / kt_page + 100));
	must(!kt_takeover(key, base, 7));
	must(!kt_takeover(key, base + size + 107 * kt_page, NR - size / kt_page - 107));
	must(!kt_exists(key));
	must(all_same());
}

#define CGROUP	"/sys/fs/cgroup/kmho-lazy"

/*
 * There is room for what is put in later, but not for what is put in at once as well.
 * Some pages are left in the record, so that it keeps its table.
 */
static void fails_half_way(void)
{
	unsigned long base = base_of(), to = kt_addr(TO) + (FIRST + 1) * kt_page;
	struct kmho_range_takeover r[2] = {
		{ base, { 1000 * kt_page }, base },
		{ base + 1000 * kt_page, { (NR - 1050) * kt_page }, to },
	};
	struct kmho_op_takeover op = { kt_key(kt_index), 2, r };
	struct kmho_record_info info;
	pid_t pid;

	kt_need_patience("1000000");
	kt_need_cgroup(CGROUP);
	pid = kt_fork();
	if (!pid) {
		must(kt_write_file(CGROUP "/cgroup.procs", "0"));
		must(kt_write_file(CGROUP "/memory.max", "6M"));
		must_fail(ENOMEM, kmho(KMHO_TAKEOVER, &op));
		must(kt_unmapped(base, 1) && kt_unmapped(to, 1));
		must(!kt_info(kt_key(kt_index), &info));
		must(info.present == nr_present() * kt_page);
		must(kt_write_file(CGROUP "/memory.max", "max"));

		/* The record goes on without a part of it. */
		op.num_ranges = 1;
		must(!kmho(KMHO_TAKEOVER, &op));
		must(same(base, 0, 1000));
		_exit(0);
	}
	must(!kt_wait(pid));
	must(!rmdir(CGROUP));
	must(!kt_takeover_to(kt_key(kt_index), r[1].base, NR - 1000, &to));
	must(same(to, 1000, NR - 1000));
}

static void *touch(void *arg)
{
	unsigned long n = (unsigned long)arg, i;

	for (i = 0; i < NR; i++) {
		unsigned long at = (i * 61 + n * 113) % NR;

		if (!same(base_of() + at * kt_page, at, 1))
			return "wrong";
	}
	return NULL;
}

static void is_touched_by_many(void)
{
	pthread_t threads[32];
	unsigned long i;
	void *ret;

	take();
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		must(!pthread_create(&threads[i], NULL, touch, (void *)i));
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		must(!pthread_join(threads[i], &ret));
		must(!ret);
	}
}

static void settles(void)
{
	int tries;

	kt_need_patience("100");
	must(!kt_takeover(kt_key(kt_index), base_of(), NR));
	for (tries = 0; tries < 600 && nr_in() < nr_present(); tries++)
		usleep(100000);
	printf("# settled after %d tries\n", tries);
	must(nr_in() == nr_present());
	must(all_same());
}

/*
 * So many KiB are free again, but for a little. Where the kernel checks itself, KASAN
 * keeps what processes and counting have freed: a quarter shows that it is not all lost.
 */
static void must_be_freed(long before, long size)
{
	long want = kt_checks_itself() ? size / 4 : size - 512, after = 0;
	int tries;

	for (tries = 0; tries < 10 && after - before <= want; tries++) {
		usleep(100000);
		after = kt_free_kib();
	}
	printf("# %ld kB free, then %ld kB, of %ld kB\n", before, after, size);
	must(after - before > want);
}

static void is_freed(void)
{
	long before = kt_free_kib(), size = nr_present() * kt_page / 1024;
	pid_t pid = kt_fork();

	if (!pid) {
		take();
		/* one block in, the others not */
		must(same(base_of() + NR / 2 * kt_page, NR / 2, 1));
		_exit(0);
	}
	must(!kt_wait(pid));
	must_be_freed(before, size);
}

/* ---- a SIGKILL in TAKEOVER ---- */

/* As many parts of a record as there are shots; each waits, and has a page in eight */
#define NR_PART		600
#define PER_PRESENT	8
#define PART_BYTES	(NR_PART * kt_page)

static void do_give_parts(void *arg)
{
	unsigned long i;

	must(!arg);
	kt_map(kt_addr(0), KT_SHOTS * NR_PART);
	for (i = 0; i < KT_SHOTS * NR_PART; i += PER_PRESENT)
		kt_fill(kt_addr(0), i, 1, SEED);
	must(!kt_handover(kt_key(kt_index), kt_addr(0), KT_SHOTS * NR_PART));
}

static void give_parts(void)
{
	kt_run(do_give_parts, NULL);
}

static void do_take_part(void *arg)
{
	unsigned long first = (unsigned long)arg * NR_PART, i;

	must(!kt_takeover(kt_key(kt_index), kt_addr(0) + first * kt_page, NR_PART));
	for (i = first; i < first + NR_PART; i++)
		must(i % PER_PRESENT ? kt_zero(kt_addr(0), i, 1) : kt_same(kt_addr(0), i, 1, SEED));
}

static __u64 held_bytes(void)
{
	struct kmho_record_info info;

	return kt_info(kt_key(kt_index), &info) ? 0 : info.bytes;
}

/* Each part is then in the record, or was taken and is free */
static void is_killed(void)
{
	long size = KT_SHOTS * PART_BYTES / PER_PRESENT / 1024, before = kt_free_kib();
	__u64 bytes = KT_SHOTS * PART_BYTES, left;
	struct kt_aim *aim = kt_aim();
	unsigned long i;
	pid_t pid;

	kt_need_patience("1000000");
	for (i = 0; i < KT_SHOTS; i++, bytes -= PART_BYTES) {
		must(held_bytes() == bytes);
		pid = kt_fork();
		if (!pid)
			kt_aim_at(aim, kt_takeover(kt_key(kt_index), kt_addr(0) + i * PART_BYTES,
						   NR_PART));
		kt_shoot(aim, pid);
		left = held_bytes();
		must(left == bytes || left == bytes - PART_BYTES);
		kt_aim_told(aim, left != bytes);
		if (left == bytes)
			kt_run(do_take_part, (void *)i);
	}
	kt_aim_show(aim);
	must(aim->before + aim->early && aim->late + aim->after);
	must(!kt_exists(kt_key(kt_index)));
	must_be_freed(before, size);
}

/* ---- over another kexec ---- */

static void waits(void)
{
	long *total = kt_ptr(kt_addr(TO));

	kt_map(kt_addr(TO), 1);
	*total = kt_total_kib();
	must(!kt_handover(kt_key(STILL), kt_addr(TO), 1));
	take();
	kt_stay();
}

static void is_gone(void)
{
	long *total = kt_ptr(kt_addr(TO)), now = kt_total_kib();

	must(!kt_exists(kt_key(kt_index)));
	must(!kt_takeover(kt_key(STILL), kt_addr(TO), 1));
	printf("# %ld kB of memory, %ld kB before\n", now, *total);
	must(now >= *total + (long)(nr_present() * kt_page / 1024) - 512);
}

#define CASE(title, use)	{ title, .before = give, .after = use }

static const struct kt_case cases[] = {
	CASE("what nobody has touched is in RSS, and not mapped", is_counted),
	CASE("what nobody has touched is written", is_written),
	CASE("what nobody has touched is read by the kernel", is_read_by_the_kernel),
	CASE("what nobody has touched is read into", is_read_into),
	CASE("what nobody has touched is unmapped in part", is_unmapped),
	CASE("what nobody has touched is moved in part", is_moved),
	CASE("what nobody has touched is discarded in part", is_discarded),
	CASE("what nobody has touched is collapsed", is_collapsed),
	CASE("what nobody has touched is swapped out", is_swapped),
	CASE("what nobody has touched is protected in part", is_protected),
	CASE("what nobody has touched is locked", is_locked),
	CASE("what nobody has touched is forked", is_forked),
	CASE("what nobody has touched is not missing for userfaultfd", is_faulted),
	CASE("what nobody has touched is present in pagemap", is_in_pagemap),
	CASE("what nobody has touched is handed over in part", is_handed_over),
	CASE("other memory is taken over into what nobody has touched", is_taken_over),
	CASE("parts of a record are taken one by one, and touched later", is_taken_in_parts),
	CASE("a takeover that fails half-way leaves what was to be put in later", fails_half_way),
	CASE("what nobody has touched is touched by 32 threads at once", is_touched_by_many),
	CASE("what nobody touches settles by itself", settles),
	CASE("what nobody has touched is free when the process has ended", is_freed),
	{ "SIGKILL in TAKEOVER: all in the record, or all taken and freed", .before = give_parts,
	  .after = is_killed },
	{ "what nobody has touched does not outlive a kexec", .before = give, .after = waits,
	  .again = is_gone },
};

int main(int argc, char **argv)
{
	kt_program = 31;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
