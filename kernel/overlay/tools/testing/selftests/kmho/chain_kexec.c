// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same memory from kernel to kernel, through any number of kexecs: every
 * byte is there each time, part of it is taken and handed over again, part of it
 * travels on untaken but for a page each time, and no kernel has less free memory
 * than the one before. Huge pages, shared memory and huge pages of hugetlb travel
 * along, a little of each.
 *
 * KMHO_TEST_MIB says how much it is (64 otherwise), KMHO_TEST_KEXECS after how many
 * kexecs all that is left is taken (0 otherwise: after none).
 */
#include "kmho_test.h"

#define SEED(cycle)	(0xc4a1ULL + (cycle))
#define TAKEN		kt_key(0)	/* taken and handed over again, each time */
#define UNTAKEN		kt_key(1)	/* nobody takes it, but for a page each time */

/* Taken and handed over again as well: of each of these so many bytes */
enum { THP = 2, SHARED, HUGETLB, NR_PLACES };

#define KIND_BYTES	(4UL << 20)

/* The first page of what is taken; the others hold the pattern */
struct chain {
	__u64 cycle;
	__u64 pages;
	long first_free_kib;	/* in the kernel of cycle 2, when all was in place */
	long free_kib;		/* in the kernel before this */
	__u64 first_metadata;	/* the same, of both records */
	__u64 metadata;
};

static unsigned long chain_pages(void)
{
	return (kt_from_env("KMHO_TEST_MIB", 64) << 20) / kt_page;
}

static unsigned long chain_kexecs(void)
{
	return kt_from_env("KMHO_TEST_KEXECS", 0);
}

/* Of which there are more than kexecs */
static unsigned long untaken_pages(void)
{
	return chain_pages() / 4 + chain_kexecs();
}

static void kind_map(unsigned int place)
{
	unsigned long base = kt_addr(place);

	if (place == THP) {
		kt_need_thp();
		kt_map_thp(base, KIND_BYTES);
	} else if (place == SHARED) {
		kt_map_shared(base, KIND_BYTES / kt_page, -1);
	} else {
		must(kt_write_file("/proc/sys/vm/nr_hugepages", "2"));
		must(mmap(kt_ptr(base), KIND_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE, -1,
			  0) == kt_ptr(base));
	}
}

/* Hands the memory over, until the kexec */
static __noreturn void chain_stay(struct chain *chain)
{
	unsigned int place;

	for (place = THP; place < NR_PLACES; place++)
		must(!kt_handover(kt_key(place), kt_addr(place), KIND_BYTES / kt_page));
	must(!kt_handover(TAKEN, (unsigned long)chain, chain->pages));
	/* pages that are written after the handover travel like the others */
	kt_fill((unsigned long)chain, chain->pages / 2, 1, SEED(chain->cycle));
	kt_stay();
}

static void chain_before(void)
{
	unsigned long nr = chain_pages(), base = kt_addr(0), other = kt_addr(1);
	struct chain *chain = kt_ptr(base);
	unsigned int place;

	kt_give(UNTAKEN, other, untaken_pages(), SEED(0));
	kt_map(base, nr);
	kt_fill(base, 1, nr - 1, SEED(0));
	chain->pages = nr;
	for (place = THP; place < NR_PLACES; place++) {
		kind_map(place);
		kt_fill(kt_addr(place), 0, KIND_BYTES / kt_page, SEED(place));
	}
	chain_stay(chain);
}

/* By how much one kernel's free memory differs from another's by itself */
static long slack_kib(void)
{
	return kt_slack_kib() ? 8192 : 1024;
}

/* Takes the next page of what nobody takes, and all that is left after the last kexec */
static void take_untaken(struct chain *chain, const struct kmho_record_info *info)
{
	unsigned long other = kt_addr(1), at = chain->cycle, left = untaken_pages() - at;
	bool last = chain->cycle + 1 == chain_kexecs();
	unsigned long nr = last ? left : 1;

	must(at < untaken_pages());
	must(info->bytes == left * kt_page && info->present == left * kt_page);
	must(!kt_takeover(UNTAKEN, other + at * kt_page, nr));
	must(kt_same(other, at, nr, SEED(0)));
	must(kt_exists(UNTAKEN) == !last);
}

static void chain_each(void)
{
	unsigned long base = kt_addr(0), nr = chain_pages(), half = nr / 2;
	struct kmho_record_info taken, untaken;
	struct chain *chain = kt_ptr(base);
	unsigned int place;
	__u64 metadata;
	long free_kib;

	must(!kt_info(TAKEN, &taken));
	must(!kt_info(UNTAKEN, &untaken));
	must(!kt_takeover(TAKEN, base, nr));
	must(chain->pages == nr);
	must(kt_same(base, 1, half - 1, SEED(0)));
	must(kt_same(base, half, 1, SEED(chain->cycle)));
	must(kt_same(base, half + 1, nr - half - 1, SEED(0)));
	for (place = THP; place < NR_PLACES; place++) {
		must(!kt_takeover(kt_key(place), kt_addr(place), KIND_BYTES / kt_page));
		must(kt_same(kt_addr(place), 0, KIND_BYTES / kt_page, SEED(place)));
	}

	free_kib = kt_free_kib() + kt_swiotlb_kib();
	metadata = taken.metadata + untaken.metadata;
	take_untaken(chain, &untaken);
	chain->cycle++;
	printf("# kexec %llu: %ld KiB free, %llu bytes of metadata\n",
	       (unsigned long long)chain->cycle, free_kib, (unsigned long long)metadata);
	/* the kernel of the first cycle is another than all that follow */
	if (chain->cycle == 2) {
		chain->first_free_kib = free_kib;
		chain->first_metadata = metadata;
	} else if (chain->cycle > 2) {
		must(free_kib > chain->free_kib - slack_kib());
		/* nor does little by little become much */
		must(free_kib > chain->first_free_kib - slack_kib());
		must(metadata <= 2 * chain->first_metadata);
		must(metadata <= chain->metadata + kt_page);
	}
	chain->free_kib = free_kib;
	chain->metadata = metadata;
	chain_stay(chain);
}

static const struct kt_case cases[] = {
	{
		"memory travels from kernel to kernel, and nothing else grows",
		.before = chain_before,
		.each = chain_each,
	},
};

int main(int argc, char **argv)
{
	kt_program = 0x31;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
