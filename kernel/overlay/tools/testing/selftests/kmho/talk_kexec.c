// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two examples of the talk "Userspace memory persistence over kexec",
 * word for word, on both sides of a kexec.
 *
 * The first handed over by a process that lives until the kexec; both
 * functions below hold the slides' text unchanged, and what surrounds it
 * gives it its variables and looks at the outcome.
 */
#include "kmho_test.h"

#define TALK_KEY	0xabcd1234
#define TALK_LEN	(16UL << 20)
#define TALK_SEED	0x7a1cULL

static int talk_handover(unsigned long base, unsigned long len)
{
	errno = 0;

	struct kmho_range_handover range = {
		.base = base,
		.length = len,
	};
	struct kmho_op_handover op = {
		.key = 0xabcd1234,
		.num_ranges = 1,
		.ranges = &range,
	};
	kmho(KMHO_HANDOVER, &op);

	return errno;
}

static int talk_takeover(unsigned long base, unsigned long len, unsigned long new_addr)
{
	errno = 0;

	struct kmho_range_takeover range = {
		.base = base, // memory addr during handover
		.length = len,
		.remap_addr = new_addr, // New addr to map to
	};
	struct kmho_op_takeover op = {
		.key = 0xabcd1234,
		.num_ranges = 1,
		.ranges = &range,
	};
	kmho(KMHO_TAKEOVER, &op);

	return errno;
}

static void talk_before(void)
{
	unsigned long base = kt_addr(0), nr = TALK_LEN / kt_page;

	kt_map(base, nr);
	kt_fill(base, 0, nr, TALK_SEED);
	printf("# %lu bytes at %#lx, checksum %#llx\n", TALK_LEN, base,
	       (unsigned long long)kt_sum(kt_ptr(base), TALK_LEN));
	must(talk_handover(base, TALK_LEN) == 0);
	/* the process goes on with its memory */
	must(kt_same(base, 0, nr, TALK_SEED));
	kt_stay();
}

static void talk_after(void)
{
	unsigned long base = kt_addr(0), new_addr = kt_addr(1), nr = TALK_LEN / kt_page;

	must(talk_takeover(base, TALK_LEN, new_addr) == 0);
	printf("# %lu bytes at %#lx, checksum %#llx\n", TALK_LEN, new_addr,
	       (unsigned long long)kt_sum(kt_ptr(new_addr), TALK_LEN));
	must(kt_same(new_addr, 0, nr, TALK_SEED));
	must(kt_unmapped(base, 1));
	kt_fill(new_addr, 0, nr, TALK_SEED + 1);
	must(kt_same(new_addr, 0, nr, TALK_SEED + 1));
	/* each page is taken once */
	must(talk_takeover(base, TALK_LEN, kt_addr(2)) == ENOENT);
	must(!kt_exists(TALK_KEY));
}

static void talk_control(void)
{
	int err = kt_kho_off() ? EOPNOTSUPP : ENOENT;

	must(talk_takeover(kt_addr(0), TALK_LEN, kt_addr(1)) == err);
	must(kt_unmapped(kt_addr(1), 1));
}

static const struct kt_case cases[] = {
	{
		"the talk's two examples carry memory to the next kernel",
		.before = talk_before,
		.after = talk_after,
		.control = talk_control,
	},
};

int main(int argc, char **argv)
{
	kt_program = 1;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
