// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same memory from kernel to kernel, through any number of kexecs: every
 * byte is there each time, part of it is taken and handed over again, part of it
 * travels on untaken, and no kernel has less free memory than the one before.
 *
 * KMHO_TEST_MIB says how much it is (64 otherwise).
 */
#include "kmho_test.h"

#define SEED(cycle)	(0xc4a1ULL + (cycle))
#define TAKEN		kt_key(0)	/* taken and handed over again, each time */
#define UNTAKEN		kt_key(1)	/* nobody takes it */
#define SLACK_KIB	8192

/* The first page of what is taken; the others hold the pattern */
struct chain {
	__u64 cycle;
	__u64 pages;
	long free_kib;		/* in the kernel of cycle 2, when all was in place */
	__u64 metadata;		/* of both records, then */
};

static unsigned long chain_pages(void)
{
	const char *mib = getenv("KMHO_TEST_MIB");

	return (mib ? strtoul(mib, NULL, 0) : 64) << 20 >> 12;
}

/* Hands the memory over, until the kexec */
static __noreturn void chain_stay(struct chain *chain)
{
	must(!kt_handover(TAKEN, (unsigned long)chain, chain->pages));
	/* pages that are written after the handover travel like the others */
	kt_fill((unsigned long)chain, chain->pages / 2, 1, SEED(chain->cycle));
	kt_stay();
}

static void chain_before(void)
{
	unsigned long nr = chain_pages(), base = kt_addr(0), other = kt_addr(1);
	struct chain *chain = kt_ptr(base);

	kt_give(UNTAKEN, other, nr / 4, SEED(0));
	kt_map(base, nr);
	kt_fill(base, 1, nr - 1, SEED(0));
	chain->pages = nr;
	chain_stay(chain);
}

static void chain_each(void)
{
	unsigned long base = kt_addr(0), nr = chain_pages(), half = nr / 2;
	struct kmho_record_info taken, untaken;
	struct chain *chain = kt_ptr(base);
	long free_kib;

	must(!kt_info(TAKEN, &taken));
	must(!kt_info(UNTAKEN, &untaken));
	must(untaken.present == nr / 4 * kt_page);
	must(!kt_takeover(TAKEN, base, nr));
	must(chain->pages == nr);
	must(kt_same(base, 1, half - 1, SEED(0)));
	must(kt_same(base, half, 1, SEED(chain->cycle)));
	must(kt_same(base, half + 1, nr - half - 1, SEED(0)));

	free_kib = kt_free_kib();
	chain->cycle++;
	printf("# kexec %llu: %ld KiB free, %llu bytes of metadata\n",
	       (unsigned long long)chain->cycle, free_kib,
	       (unsigned long long)(taken.metadata + untaken.metadata));
	/* the kernel of the first cycle is another than all that follow */
	if (chain->cycle == 2) {
		chain->free_kib = free_kib;
		chain->metadata = taken.metadata + untaken.metadata;
	} else if (chain->cycle > 2) {
		must(free_kib > chain->free_kib - SLACK_KIB);
		must(taken.metadata + untaken.metadata <= 2 * chain->metadata);
	}
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
