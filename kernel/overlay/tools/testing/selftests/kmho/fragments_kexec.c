// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory in as many physical fragments as can be: every other page, for which
 * KHO once took minutes of the next kernel's early boot. What matters here is
 * that each fragment is kept, that nothing else is kept with it, and that the
 * next kernel comes up in time.
 */
#include "kmho_test.h"

#define SEED		0xf4a6ULL
#define NR_PAGES	(256UL << 10)	/* of which every other one is kept */
#define SPARE_KIB	(128L << 10)	/* what the rest of the system needs */

/* KHO without its cure took 180 s for this, and not a tenth of that with it */
#define MAX_BOOT_S	90

/* The pages between fragments go into the free lists by and by */
#define MAX_HELD_S	60

/* A page of its own says when the last kernel was left. */
static __u64 *left_at(void)
{
	return kt_ptr(kt_addr(1));
}

static __noreturn void leave(void)
{
	*left_at() = time(NULL);
	must(!kt_handover(kt_key(1), kt_addr(1), 1));
	kt_stay();
}

static __u64 *all_entries(void)
{
	__u64 *entries = malloc(NR_PAGES * sizeof(*entries));
	size_t len = NR_PAGES * sizeof(*entries), done = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ssize_t n;

	must(entries && fd >= 0);
	while (done < len) {
		n = pread(fd, (char *)entries + done, len - done,
			  kt_addr(0) / kt_page * sizeof(*entries) + done);
		must(n > 0);
		done += n;
	}
	close(fd);
	return entries;
}

static void fragments_before(void)
{
	unsigned long i, base = kt_addr(0), kept = 0;
	__u64 *entries;

	kt_need_root();
	if (kt_free_kib() < (long)(NR_PAGES * kt_page / 1024) + SPARE_KIB)
		kt_skip("needs %lu MiB of free memory", NR_PAGES * kt_page >> 20);

	kt_map(base, NR_PAGES);
	for (i = 0; i < NR_PAGES; i++)
		*(char *)kt_ptr(base + i * kt_page) = 1;

	/* by physical address, that they be fragments to the next kernel */
	entries = all_entries();
	for (i = 0; i < NR_PAGES; i++) {
		must(entries[i] & KT_PM_PRESENT);
		if (entries[i] & 1) {
			must(!madvise(kt_ptr(base + i * kt_page), kt_page, MADV_DONTNEED));
			continue;
		}
		kt_fill(base, i, 1, SEED);
		kept++;
	}
	printf("# %lu fragments\n", kept);
	must(kept > NR_PAGES / 3);
	must(!kt_handover(kt_key(0), base, NR_PAGES));
	kt_map(kt_addr(1), 1);
	leave();
}

/* Write to all memory that is free: what of it is not free would show */
static void use_free_memory(void)
{
	long kib = kt_free_kib() - SPARE_KIB;
	unsigned long nr;

	must(kib > 0);
	nr = kib * 1024UL / kt_page;
	kt_map(kt_addr(2), nr);
	memset(kt_ptr(kt_addr(2)), 0xa5, nr * kt_page);
	printf("# %ld MiB written\n", kib / 1024);
	kt_unmap(kt_addr(2), nr);
}

/* A kernel that checks itself has as many times as long for this as for a case. */
static __u64 at_most_s(unsigned int s)
{
	return (__u64)s * kt_timeout_s() / KT_TIMEOUT_S;
}

/* What boot did not wait for is done some time, with nobody in need of it. */
static void all_held_is_freed(void)
{
	__u64 start = kt_now_ns();
	long held;

	while ((held = kt_field("/proc/vmstat", "nr_free_held")) > 0) {
		must(kt_now_ns() - start < at_most_s(MAX_HELD_S) * 1000000000ULL);
		usleep(10000);
	}
	printf("# %llu ms until no page was held\n", (kt_now_ns() - start) / 1000000);
	must(!held);
}

static void in_time(void)
{
	__u64 now = time(NULL);

	must(!kt_takeover(kt_key(1), kt_addr(1), 1));
	printf("# %lld s from the last kernel to here\n", (long long)(now - *left_at()));
	must(now >= *left_at() && now - *left_at() < at_most_s(MAX_BOOT_S));
}

static void fragments_after(void)
{
	struct kmho_record_info info;

	kt_need_root();
	in_time();
	must(!kt_info(kt_key(0), &info));
	must(info.state == KMHO_STATE_INCOMING);
	must(info.present > NR_PAGES / 3 * kt_page);
	use_free_memory();
	all_held_is_freed();
	/* and on to the kernel after this one, untouched */
	leave();
}

static void fragments_again(void)
{
	unsigned long i, base = kt_addr(0), kept = 0;
	struct kmho_record_info info;
	long free_kib;
	__u64 *entries;

	kt_need_root();
	in_time();
	use_free_memory();
	must(!kt_info(kt_key(0), &info));
	must(!kt_takeover(kt_key(0), base, NR_PAGES));
	entries = all_entries();
	for (i = 0; i < NR_PAGES; i++) {
		if (!(entries[i] & KT_PM_PRESENT))
			continue;
		must(kt_same(base, i, 1, SEED));
		kept++;
	}
	must(kept * kt_page == info.present);

	/* in the end each is free memory, which comes in large pieces again */
	free_kib = kt_free_kib();
	kt_unmap(base, NR_PAGES);
	free_kib = kt_free_kib() - free_kib;
	printf("# %lu fragments, %ld MiB free again\n", kept, free_kib / 1024);
	must(free_kib > (long)(info.present / 1024) * 9 / 10);
	use_free_memory();
}

static const struct kt_case cases[] = {
	{
		"every other page of a gibibyte, over two kernels",
		.before = fragments_before,
		.after = fragments_after,
		.again = fragments_again,
	},
};

int main(int argc, char **argv)
{
	kt_program = 12;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
