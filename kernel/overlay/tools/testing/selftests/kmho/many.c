// SPDX-License-Identifier: GPL-2.0-only
/*
 * A lot of everything: keys, ranges, threads, and address space that is
 * reserved rather than used. Times are printed and bounded loosely: what is
 * tested is that nothing grows with the square of what is asked.
 *
 * KMHO_TEST_MIB says how much of 1 TiB is touched (16 otherwise).
 */
#include "kmho_test.h"

#define SEED	0x3a9fULL

/* ---- keys ---- */

#define NR_KEYS	1000

static void keys_give(void *arg)
{
	unsigned long base = kt_addr(0), i;

	must(!arg);
	kt_map(base, NR_KEYS);
	kt_fill(base, 0, NR_KEYS, SEED);
	for (i = 0; i < NR_KEYS; i++)
		must(!kt_handover(kt_key(i), base + i * kt_page, 1));
	for (i = 0; i < NR_KEYS; i++)
		must_fail(EEXIST, kt_handover(kt_key(i), base + i * kt_page, 1));
	/* every third goes again, and comes back */
	for (i = 0; i < NR_KEYS; i += 3)
		must(!kt_drop(kt_key(i)));
	for (i = 0; i < NR_KEYS; i++)
		must(kt_exists(kt_key(i)) == !!(i % 3));
	for (i = 0; i < NR_KEYS; i += 3)
		must(!kt_handover(kt_key(i), base + i * kt_page, 1));
	must(kt_same(base, 0, NR_KEYS, SEED));
}

static void many_keys(void)
{
	unsigned long base = kt_addr(0), i, k, nr, found = 0;
	struct kmho_record_info *list;

	kt_run(keys_give, NULL);
	nr = kt_list(&list);
	for (i = 0; i < nr; i++)
		found += list[i].key >= kt_key(0) && list[i].key < kt_key(NR_KEYS);
	free(list);
	must(found == NR_KEYS);
	for (i = 0; i < NR_KEYS; i++) {
		k = (i * 617 + 5) % NR_KEYS;
		must(!kt_takeover(kt_key(k), base + k * kt_page, 1));
		must_fail(ENOENT, kt_drop(kt_key(k)));
	}
	must(kt_same(base, 0, NR_KEYS, SEED));
}

/* ---- ranges ---- */

static void ranges_give(void *arg)
{
	unsigned long base = kt_addr(0), i, nr = (unsigned long)arg;
	struct kmho_range_handover *r = calloc(nr, sizeof(*r));
	struct kmho_op_handover op = { kt_key(0), nr, r };
	__u64 start;

	must(r);
	/* every other page is a range; every eighth of these is there */
	kt_map(base, 2 * nr);
	for (i = 0; i < nr; i++) {
		/* 7919 is a prime, and nr a power of two: each once, out of order */
		r[i * 7919 % nr] = (struct kmho_range_handover){
			base + 2 * i * kt_page, kt_page
		};
		if (i % 8 == 0)
			kt_fill(base, 2 * i, 1, SEED);
	}
	start = kt_now_ns();
	must(!kmho(KMHO_HANDOVER, &op));
	printf("# %lu ranges handed over in %llu ms\n", nr,
	       (unsigned long long)(kt_now_ns() - start) / 1000000);
	/* live: one more page is written */
	kt_fill(base, 2 * (nr - 1), 1, SEED);
}

/* Hands over and takes over @nr ranges; returns how long the takeover took */
static __u64 take_ranges(unsigned long nr)
{
	unsigned long base = kt_addr(0), i;
	struct kmho_range_takeover *r = calloc(nr, sizeof(*r));
	struct kmho_op_takeover op = { kt_key(0), nr, r };
	struct kmho_record_info info;
	__u64 ns;

	must(r && kt_max_ranges() >= nr);
	kt_run(ranges_give, (void *)nr);
	must(!kt_info(kt_key(0), &info));
	must(info.bytes == nr * kt_page && info.nr_ranges == nr);
	must(info.present == (nr / 8 + 1) * kt_page);
	/* side by side now, or each would be a mapping of its own */
	for (i = 0; i < nr; i++)
		r[i] = (struct kmho_range_takeover){
			base + 2 * i * kt_page, { kt_page }, base + i * kt_page
		};
	ns = kt_now_ns();
	must(!kmho(KMHO_TAKEOVER, &op));
	ns = kt_now_ns() - ns;
	printf("# %lu ranges taken over in %llu ms\n", nr, (unsigned long long)ns / 1000000);
	for (i = 0; i < nr; i += 8)
		must(kt_same_from(base, i, 1, SEED, 2 * i));
	must(kt_same_from(base, nr - 1, 1, SEED, 2 * (nr - 1)));
	must(kt_held_pages(base, nr) == nr / 8 + 1);
	must(!kt_exists(kt_key(0)));
	kt_unmap(base, nr);
	free(r);
	return ns;
}

static void many_ranges(void)
{
	/* in this order, for KASAN: who allocates next frees what has been freed */
	__u64 many = take_ranges(65536), few = take_ranges(4096);

	/* 16 times as many; with their square it would be 256 times as long */
	must(many < 64 * few + 1000000000);
}

/* ---- threads ---- */

#define NR_THREADS	64
#define NR_ROUNDS	30

struct worker {
	pthread_t thread;
	unsigned long index;
	unsigned long handed;
	unsigned long refused;
	unsigned long wrong;
};

/*
 * Each thread has pages of its own and shares keys with its neighbours: what
 * it hands over under a key that is taken is refused, and nothing else is.
 */
static void *worker(void *arg)
{
	struct worker *w = arg;
	unsigned long base = kt_addr(0) + w->index * 16 * kt_page;
	unsigned long key = kt_key(w->index / 4), own = kt_key(1000 + w->index), round;

	for (round = 0; round < NR_ROUNDS; round++) {
		if (kt_handover(own, base, 8)) {
			w->wrong++;
			continue;
		}
		/* a key that three others want as well */
		if (!kt_handover(key, base + 8 * kt_page, 8)) {
			w->handed++;
			kt_fill(base + 8 * kt_page, 0, 8, SEED + w->index);
			if (kt_drop(key))
				w->wrong++;
		} else if (errno == EEXIST) {
			w->refused++;
		} else {
			w->wrong++;
		}
		kt_fill(base, 0, 8, SEED + w->index + round);
		if (!kt_exists(own) || kt_drop(own))
			w->wrong++;
		if (!kt_same(base, 0, 8, SEED + w->index + round))
			w->wrong++;
	}
	return NULL;
}

static void many_threads(void)
{
	static struct worker workers[NR_THREADS];
	unsigned long i, handed = 0, refused = 0;

	kt_map(kt_addr(0), 16 * NR_THREADS);
	for (i = 0; i < NR_THREADS; i++) {
		workers[i].index = i;
		must(!pthread_create(&workers[i].thread, NULL, worker, &workers[i]));
	}
	for (i = 0; i < NR_THREADS; i++) {
		must(!pthread_join(workers[i].thread, NULL));
		must(!workers[i].wrong);
		handed += workers[i].handed;
		refused += workers[i].refused;
	}
	printf("# shared keys: %lu times handed over, %lu times in use\n", handed, refused);
	must(handed);
	for (i = 0; i < NR_THREADS; i++)
		must(!kt_exists(kt_key(i / 4)) && !kt_exists(kt_key(1000 + i)));
	/* nothing is bound any more */
	kt_unmap(kt_addr(0), 16 * NR_THREADS);
}

/* The same by processes, which come and go, and take over from each other */
static void many_processes(void)
{
	unsigned long base = kt_addr(0), i, round;
	pid_t pids[32];

	for (i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = kt_fork();
		if (pids[i])
			continue;
		for (round = 0; round < 5; round++) {
			kt_give(kt_key(i), base, 32, SEED + i);
			kt_take(kt_key(i), base, 32, SEED + i);
			kt_unmap(base, 32);
		}
		_exit(0);
	}
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		must(kt_wait(pids[i]) == 0);
}

/* ---- a reservation ---- */

#define MIB	(1024UL << 10)
#define TIB	(1024UL << 30)

static unsigned long touched_mib(void)
{
	return kt_from_env("KMHO_TEST_MIB", 16);
}

static __u64 sparse_cost(unsigned long base, unsigned long len)
{
	unsigned long nr = len / kt_page, touched = touched_mib() * (MIB / kt_page);
	struct kmho_record_info info;
	long before, after;
	__u64 start, ns;

	kt_map(base, nr);
	kt_fill(base, 0, touched - 1, SEED);
	kt_fill(base + len - kt_page, 0, 1, SEED);
	before = kt_free_kib();
	start = kt_now_ns();
	must(!kt_handover(kt_key(0), base, nr));
	ns = kt_now_ns() - start;
	after = kt_free_kib();
	must(!kt_info(kt_key(0), &info));
	printf("# %lu MiB, %lu touched: %llu us, %ld kB, metadata %llu bytes, %llu extents\n",
	       len >> 20, touched_mib(), (unsigned long long)ns / 1000, before - after,
	       (unsigned long long)info.metadata, (unsigned long long)info.nr_extents);
	must(info.bytes == len && info.present == touched * kt_page);
	must(before - after < 8192);
	/* writes go on anywhere in it */
	kt_fill(base, nr / 2, 1, SEED);
	must(kt_same(base, nr / 2, 1, SEED));
	must(!kt_drop(kt_key(0)));
	kt_unmap(base, nr);
	return ns;
}

static void reservation(void)
{
	/* where 1 TiB fits, above what the other cases use */
	unsigned long base = 0x200000000000UL, all = touched_mib() * MIB;
	__u64 small, large;
	int tries;
	void *p;

	p = mmap(kt_ptr(base), TIB, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		kt_skip("1 TiB of address space cannot be had: %s", strerror(errno));
	must(!munmap(p, TIB));
	/*
	 * H4: it costs what was touched; the rest is some bits and page tables. Anything that
	 * goes over the range takes thousands of times as long each time; a virtual processor
	 * that was taken away does once.
	 */
	for (tries = 0; tries < 5; tries++) {
		small = sparse_cost(base, all);
		large = sparse_cost(base, TIB);
		if (large < 10 * small + 100000000)
			return;
	}
	must(!"what is only reserved costs nothing");
}

static void reservation_give(void *arg)
{
	unsigned long base = 0x200000000000UL, i;

	must(!arg);
	kt_map(base, TIB / kt_page);
	/* a page in every 16 GiB */
	for (i = 0; i < TIB; i += 1UL << 34)
		kt_fill(base + i, 0, 1, SEED + i);
	must(!kt_handover(kt_key(0), base, TIB / kt_page));
	/* and one more in each, afterwards */
	for (i = 0; i < TIB; i += 1UL << 34)
		kt_fill(base + i + (1UL << 33), 0, 1, SEED + i + 1);
}

static void reservation_taken(void)
{
	unsigned long base = 0x200000000000UL, i;
	struct kmho_record_info info;
	void *p;

	p = mmap(kt_ptr(base), TIB, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		kt_skip("1 TiB of address space cannot be had: %s", strerror(errno));
	must(!munmap(p, TIB));
	kt_run(reservation_give, NULL);
	must(!kt_info(kt_key(0), &info));
	must(info.bytes == TIB && info.present == 128 * kt_page);
	must(!kt_takeover(kt_key(0), base, TIB / kt_page));
	for (i = 0; i < TIB; i += 1UL << 34) {
		must(kt_same(base + i, 0, 1, SEED + i));
		must(kt_same(base + i + (1UL << 33), 0, 1, SEED + i + 1));
		must(!kt_held_pages(base + i + kt_page, 1));
	}
}

static const struct kt_case cases[] = {
	{ "1000 keys", .now = many_keys },
	{ "65536 ranges in one call", .now = many_ranges },
	{ "64 threads hand over and drop at once", .now = many_threads },
	{ "32 processes take over from each other's children", .now = many_processes },
	{ "1 TiB reserved costs what of it is touched", .now = reservation },
	{ "1 TiB reserved is taken over with its holes", .now = reservation_taken },
};

int main(int argc, char **argv)
{
	kt_program = 7;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
