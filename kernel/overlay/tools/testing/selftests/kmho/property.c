// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random programs against a model.
 *
 * A program is a number of processes, one after the other, each of which maps
 * private and shared memory, writes, discards, unmaps, forks, splits and collapses
 * huge pages, swaps out, hands over, freezes, drops and takes over at random, and
 * then ends, is killed or stays until the kexec. The model is what all of that should come to. It
 * depends on the seed alone: a later stage plays the earlier ones on the model
 * only, and then knows what the records have to hold.
 *
 * KMHO_TEST_SEED chooses other programs. What fails says which seed, process
 * and step it was.
 */
#include <pthread.h>

#include "kmho_test.h"

#define NR_SLOTS	8	/* places for mappings, of a process */
#define SLOT_PAGES	1024UL
#define SLOT_STRIDE	2048UL	/* in pages; huge pages fit, and gaps stay */
#define NR_RECORDS	12
#define MAX_RANGES	3
#define NR_PROCESSES	5	/* of a stage */
#define NR_STEPS	80	/* of a process */

/* Pages that were never written, and those that were discarded, have 0 */
typedef __u32 value_t;

struct range {
	unsigned long base;		/* address */
	unsigned long nr;		/* pages */
	bool shared;
	value_t *value;			/* of each page */
};

struct record {
	unsigned int nr_ranges;		/* 0: there is no such record */
	struct range range[MAX_RANGES];
	bool live;			/* its values are those of the process that runs */
	bool frozen;
	bool busy;			/* its process exists */
	unsigned int process;
};

struct slot {
	unsigned long first, nr;	/* the pages of the slot that are mapped; nr 0: none */
	bool shared;			/* with children, which see what it sees */
	value_t value[SLOT_PAGES];
	signed char key[SLOT_PAGES];	/* the live record it is in, -1: none */
};

struct model {
	struct record record[NR_RECORDS];
	struct slot slot[NR_SLOTS];	/* of the process that runs */
};

/* Where in which program we are */
struct run {
	struct model *model;
	__u64 seed;
	__u64 random;
	unsigned int stage, process, step;
	value_t last_value;
	bool real;			/* the kernel is asked, not just the model */
	unsigned int handed, taken;	/* calls that were to work */
};

/* ---- chance ---- */

static __u64 draw(struct run *run)
{
	run->random = kt_mix(run->random);
	return run->random;
}

static unsigned long below(struct run *run, unsigned long n)
{
	return draw(run) % n;
}

static void say_where(struct run *run)
{
	int saved = errno;

	printf("# seed %llu, stage %u, process %u, step %u\n", (unsigned long long)run->seed,
	       run->stage, run->process, run->step);
	errno = saved;
}

/* Holds in the kernel; on the model alone there is nothing to look at */
#define expect(run_, cond) do {							\
	struct run *__run = (run_);						\
										\
	if (__run->real && !(cond)) {						\
		say_where(__run);						\
		kt_die(__FILE__, __LINE__, #cond);				\
	}									\
} while (0)

/* ---- memory ---- */

static unsigned long slot_addr(struct run *run, unsigned int slot)
{
	return kt_addr(0) + slot * SLOT_STRIDE * kt_page;
}

static unsigned long page_addr(struct run *run, unsigned int slot, unsigned long page)
{
	return slot_addr(run, slot) + page * kt_page;
}

static void *page_ptr(struct run *run, unsigned int slot, unsigned long page)
{
	return kt_ptr(page_addr(run, slot, page));
}

static void write_page(unsigned long addr, value_t value)
{
	unsigned long last = kt_page / sizeof(__u64) - 1;
	__u64 *words = kt_ptr(addr);

	words[0] = value;
	words[last / 2] = kt_word(value, last);
	words[last] = value;
}

static bool page_is(unsigned long addr, value_t value)
{
	unsigned long last = kt_page / sizeof(__u64) - 1;
	__u64 middle = value ? kt_word(value, last) : 0;
	const __u64 *words = kt_ptr(addr);

	if (words[0] == value && words[last / 2] == middle && words[last] == value && !words[1])
		return true;
	printf("# %#lx: %#llx %#llx %#llx, not the page of %u\n", addr,
	       (unsigned long long)words[0], (unsigned long long)words[last / 2],
	       (unsigned long long)words[last], value);
	return false;
}

/* ---- the model ---- */

static struct range new_range(unsigned long base, unsigned long nr, bool shared)
{
	struct range range = { base, nr, shared, calloc(nr, sizeof(value_t)) };

	must(range.value);
	return range;
}

static void forget_range(struct range *range)
{
	free(range->value);
	memset(range, 0, sizeof(*range));
}

static void forget_record(struct record *record)
{
	while (record->nr_ranges)
		forget_range(&record->range[--record->nr_ranges]);
	memset(record, 0, sizeof(*record));
}

/* The slot and page of an address of the process that runs */
static struct slot *find_slot(struct run *run, unsigned long addr, unsigned long *page)
{
	unsigned long at = (addr - slot_addr(run, 0)) / kt_page;

	*page = at % SLOT_STRIDE;
	return &run->model->slot[at / SLOT_STRIDE];
}

/* What a live record holds is what its process has now */
static void capture(struct run *run, int key)
{
	struct record *record = &run->model->record[key];
	unsigned long i, page;
	unsigned int r;

	for (r = 0; r < record->nr_ranges; r++) {
		struct range *range = &record->range[r];
		struct slot *slot = find_slot(run, range->base, &page);

		for (i = 0; i < range->nr; i++) {
			range->value[i] = slot->value[page + i];
			slot->key[page + i] = -1;
		}
	}
	record->live = false;
}

static bool in_live_record(struct slot *slot, unsigned long first, unsigned long nr)
{
	while (nr--)
		if (slot->key[first++] >= 0)
			return true;
	return false;
}

static unsigned long record_pages(struct record *record)
{
	unsigned long nr = 0;
	unsigned int r;

	for (r = 0; r < record->nr_ranges; r++)
		nr += record->range[r].nr;
	return nr;
}

/* Picks a mapped run of pages; false if there is none */
static bool pick_run(struct run *run, unsigned int *slot, unsigned long *first, unsigned long *nr)
{
	struct slot *s = NULL;
	unsigned int i;

	*slot = below(run, NR_SLOTS);
	for (i = 0; i < NR_SLOTS && !(s && s->nr); i++) {
		*slot = (*slot + 1) % NR_SLOTS;
		s = &run->model->slot[*slot];
	}
	if (!s->nr)
		return false;
	*first = s->first + below(run, s->nr);
	*nr = 1 + below(run, s->first + s->nr - *first);
	/* short ones are as likely as long ones */
	if (below(run, 2))
		*nr = 1 + below(run, *nr < 16 ? *nr : 16);
	return true;
}

/* ---- steps ---- */

static void step_map(struct run *run)
{
	static const int advice[] = { MADV_NORMAL, MADV_HUGEPAGE, MADV_NOHUGEPAGE };
	unsigned int n = below(run, NR_SLOTS), how = below(run, ARRAY_SIZE(advice));
	struct slot *slot = &run->model->slot[n];

	if (slot->nr)
		return;
	slot->first = below(run, 4) ? 0 : below(run, SLOT_PAGES / 2);
	slot->nr = 1 + below(run, SLOT_PAGES - slot->first);
	slot->shared = !below(run, 3);
	memset(slot->value, 0, sizeof(slot->value));
	memset(slot->key, -1, sizeof(slot->key));
	if (!run->real)
		return;
	if (slot->shared)
		kt_map_shared(page_addr(run, n, slot->first), slot->nr, -1);
	else
		kt_map(page_addr(run, n, slot->first), slot->nr);
	madvise(page_ptr(run, n, slot->first), slot->nr * kt_page, advice[how]);
}

struct writing {
	unsigned long addr;
	unsigned long nr, stride;
	value_t value;
};

static void *write_run(void *arg)
{
	struct writing *w = arg;
	unsigned long i;

	for (i = 0; i < w->nr; i += w->stride)
		write_page(w->addr + i * kt_page, w->value + i);
	return NULL;
}

static void step_write(struct run *run)
{
	unsigned long first, nr, stride, i;
	bool by_thread = below(run, 2);
	struct writing w;
	unsigned int n;
	pthread_t thread;

	if (!pick_run(run, &n, &first, &nr))
		return;
	stride = 1 + below(run, 3) * below(run, 3);
	w = (struct writing){ page_addr(run, n, first), nr, stride, run->last_value + 1 };
	for (i = 0; i < nr; i += stride)
		run->model->slot[n].value[first + i] = w.value + i;
	run->last_value += nr;
	if (!run->real)
		return;
	if (by_thread) {
		must(!pthread_create(&thread, NULL, write_run, &w));
		must(!pthread_join(thread, NULL));
	} else {
		write_run(&w);
	}
}

static void step_discard(struct run *run)
{
	unsigned long first, nr;
	struct slot *slot;
	unsigned int n;
	int ret;

	if (!pick_run(run, &n, &first, &nr))
		return;
	slot = &run->model->slot[n];
	ret = run->real ? madvise(page_ptr(run, n, first), nr * kt_page, MADV_DONTNEED) : 0;
	if (in_live_record(slot, first, nr)) {
		expect(run, ret == -1 && errno == EPERM);
		return;
	}
	expect(run, !ret);
	/* of what is shared it is the mapping only that lets go */
	if (!slot->shared)
		memset(&slot->value[first], 0, nr * sizeof(value_t));
}

static void step_unmap(struct run *run)
{
	unsigned int n = below(run, NR_SLOTS);
	struct slot *slot = &run->model->slot[n];
	unsigned long first, nr;
	int ret;

	if (!slot->nr)
		return;
	/* from its end, so that it stays in one piece */
	nr = below(run, 2) ? slot->nr : 1 + below(run, slot->nr);
	first = slot->first + slot->nr - nr;
	ret = run->real ? munmap(page_ptr(run, n, first), nr * kt_page) : 0;
	if (in_live_record(slot, first, nr)) {
		expect(run, ret == -1 && errno == EPERM);
		return;
	}
	expect(run, !ret);
	slot->nr -= nr;
}

/* What the kernel may do or not: nothing may be seen of it */
static void step_disturb(struct run *run)
{
	unsigned long first, nr, what = below(run, 4);
	unsigned int n;
	void *mem;

	if (!pick_run(run, &n, &first, &nr) || !run->real)
		return;
	mem = page_ptr(run, n, first);
	switch (what) {
	case 0:
		madvise(mem, nr * kt_page, MADV_COLLAPSE);
		break;
	case 1:
		must(!mprotect(mem, nr * kt_page, PROT_READ));
		must(!mprotect(mem, nr * kt_page, PROT_READ | PROT_WRITE));
		break;
	case 2:
		madvise(mem, nr * kt_page, MADV_PAGEOUT);
		break;
	case 3:
		madvise(mem, nr * kt_page, MADV_COLD);
		kt_write_file("/proc/sys/vm/compact_memory", "1");
		break;
	}
}

/* @stays: where one that stays tells that it has done all that; -1: it ends */
static __noreturn void be_a_child(struct run *run, const struct slot *slot,
				  unsigned long first, struct writing *w, int stays)
{
	unsigned long i;

	for (i = 0; i < w->nr; i++)
		expect(run, page_is(w->addr + i * kt_page, slot->value[first + i]));
	write_run(w);
	if (stays >= 0) {
		kt_tell(stays);
		close(stays);
		kt_quiet();
		sleep(kt_timeout_s());
	}
	_exit(0);
}

/*
 * A child sees what is there, writes to its own copies, or to what is shared, and
 * ends now or with its session
 */
static void step_fork(struct run *run)
{
	unsigned long first, nr, i;
	bool stays = !below(run, 3);
	int fds[2] = { -1, -1 };
	struct slot *slot;
	struct writing w;
	unsigned int n;
	pid_t pid;

	if (!pick_run(run, &n, &first, &nr))
		return;
	slot = &run->model->slot[n];
	w = (struct writing){ page_addr(run, n, first), nr, 2, run->last_value + 1 };
	run->last_value += nr;
	if (run->real) {
		must(!stays || !pipe(fds));
		pid = kt_fork();
		if (!pid)
			be_a_child(run, slot, first, &w, fds[1]);
		if (stays) {
			close(fds[1]);
			kt_hear(fds[0]);
			close(fds[0]);
		} else {
			expect(run, kt_wait(pid) == 0);
		}
	}
	for (i = 0; slot->shared && i < nr; i += w.stride)
		slot->value[first + i] = w.value + i;
}

static void step_handover(struct run *run)
{
	struct kmho_range_handover ranges[MAX_RANGES];
	unsigned int nr_ranges = 1 + below(run, MAX_RANGES), r, q;
	int key = below(run, NR_RECORDS), want = 0, ret;
	struct record *record = &run->model->record[key];
	unsigned long first[MAX_RANGES], nr[MAX_RANGES], i;
	unsigned int slot[MAX_RANGES];
	struct kmho_op_handover op;

	for (r = 0; r < nr_ranges; r++) {
		if (!pick_run(run, &slot[r], &first[r], &nr[r]))
			return;
		for (q = 0; q < r; q++)
			if (slot[q] == slot[r])
				return;
		if (in_live_record(&run->model->slot[slot[r]], first[r], nr[r]))
			want = EBUSY;
		ranges[r] = (struct kmho_range_handover){ page_addr(run, slot[r], first[r]),
							  nr[r] * kt_page };
	}
	/* the key is judged before the memory */
	if (record->nr_ranges)
		want = EEXIST;
	op = (struct kmho_op_handover){ kt_key(key), nr_ranges, ranges };
	ret = run->real ? kmho(KMHO_HANDOVER, &op) : 0;
	if (want) {
		expect(run, ret == -1 && errno == want);
		return;
	}
	expect(run, !ret);
	run->handed++;
	record->live = true;
	record->frozen = false;
	record->busy = true;
	record->process = run->process;
	record->nr_ranges = nr_ranges;
	for (r = 0; r < nr_ranges; r++) {
		record->range[r] = new_range(ranges[r].base, nr[r],
					     run->model->slot[slot[r]].shared);
		for (i = 0; i < nr[r]; i++)
			run->model->slot[slot[r]].key[first[r] + i] = key;
	}
}

static void step_freeze(struct run *run)
{
	int key = below(run, NR_RECORDS), ret = 0;
	struct record *record = &run->model->record[key];
	struct kmho_op_drop op = { .size = sizeof(op), .key = kt_key(key), .uid = KMHO_UID_SELF };

	if (!record->live)
		return;
	if (run->real)
		ret = kmho(KMHO_FREEZE, &op);
	expect(run, !ret);
	capture(run, key);
	record->frozen = true;
}

static void step_drop(struct run *run)
{
	int key = below(run, NR_RECORDS);
	struct record *record = &run->model->record[key];
	int ret = run->real ? kt_drop(kt_key(key)) : 0;

	if (!record->nr_ranges) {
		expect(run, ret == -1 && errno == ENOENT);
		return;
	}
	expect(run, !ret);
	if (record->live)
		capture(run, key);
	forget_record(record);
}

/* Takes part of a range out of a record */
static void model_take(struct record *record, unsigned int r, unsigned long first, unsigned long nr)
{
	struct range *range = &record->range[r], rest = { 0 };
	unsigned long behind = range->nr - first - nr;

	if (behind) {
		rest = new_range(range->base + (first + nr) * kt_page, behind, range->shared);
		memcpy(rest.value, range->value + first + nr, behind * sizeof(value_t));
	}
	range->nr = first;
	if (!first) {
		forget_range(range);
		*range = rest;
		if (!behind)
			*range = record->range[--record->nr_ranges];
	} else if (behind) {
		record->range[record->nr_ranges++] = rest;
	}
}

/* Mostly a record that there is */
static int pick_record(struct run *run)
{
	int key = below(run, NR_RECORDS), i;

	for (i = 0; i < 6 && !run->model->record[key].nr_ranges; i++)
		key = (key + 1) % NR_RECORDS;
	return key;
}

static void step_takeover(struct run *run)
{
	int key = pick_record(run), ret;
	struct record *record = &run->model->record[key];
	unsigned long first, nr, behind, page, i, remap, base;
	unsigned int n = below(run, NR_SLOTS), r;
	struct slot *slot = &run->model->slot[n];
	bool anywhere = !below(run, 4);
	struct range *range;

	if (!record->nr_ranges) {
		ret = run->real ? kt_takeover(kt_key(key), slot_addr(run, n), 1) : 0;
		expect(run, ret == -1 && errno == ENOENT);
		return;
	}
	r = below(run, record->nr_ranges);
	range = &record->range[r];
	first = below(run, 2) ? 0 : below(run, range->nr);
	nr = range->nr - first;
	if (below(run, 2))
		nr = 1 + below(run, nr);
	behind = range->nr - first - nr;
	/* the model has no room for more pieces */
	if (first && behind && record->nr_ranges == MAX_RANGES)
		return;
	base = range->base + first * kt_page;
	find_slot(run, base, &page);
	anywhere |= slot->nr;
	remap = anywhere ? 0 : page_addr(run, n, page);
	ret = run->real ? kt_takeover_to(kt_key(key), base, nr, &remap) : 0;
	if (record->busy) {
		expect(run, ret == -1 && errno == EBUSY);
		return;
	}
	expect(run, !ret);
	run->taken++;
	for (i = 0; i < nr; i++)
		expect(run, page_is(remap + i * kt_page, range->value[first + i]));
	if (anywhere) {
		if (run->real)
			kt_unmap(remap, nr);
	} else {
		slot->first = page;
		slot->nr = nr;
		slot->shared = range->shared;
		memset(slot->value, 0, sizeof(slot->value));
		memset(slot->key, -1, sizeof(slot->key));
		memcpy(slot->value + page, range->value + first, nr * sizeof(value_t));
	}
	model_take(record, r, first, nr);
}

static void step_look(struct run *run)
{
	unsigned long first, nr, i;
	unsigned int n;

	if (!pick_run(run, &n, &first, &nr))
		return;
	for (i = 0; i < nr; i++)
		expect(run, page_is(page_addr(run, n, first + i),
				    run->model->slot[n].value[first + i]));
}

/* The kernel's list of records is the model's */
static void look_at_records(struct run *run)
{
	struct kmho_record_info info;
	int key;

	for (key = 0; key < NR_RECORDS; key++) {
		struct record *record = &run->model->record[key];
		int ret = run->real ? kt_info(kt_key(key), &info) : 0;

		if (!record->nr_ranges) {
			expect(run, ret == -1 && errno == ENOENT);
			continue;
		}
		expect(run, !ret);
		expect(run, info.bytes == record_pages(record) * kt_page);
		expect(run, (info.state == KMHO_STATE_LIVE) == (record->busy && !record->frozen));
	}
}

static void (* const steps[])(struct run *run) = {
	step_map, step_map, step_map,
	step_write, step_write, step_write, step_write, step_write, step_write,
	step_discard, step_unmap, step_disturb, step_disturb, step_fork,
	step_handover, step_handover, step_handover, step_freeze, step_drop,
	step_takeover, step_takeover, step_takeover, step_look,
};

enum ending { EXIT, KILLED, STAYS };

/* One process from its begin to its end, on the model and, if @run is real, in the kernel */
static enum ending play(struct run *run)
{
	enum ending ending;
	int key;

	memset(run->model->slot, 0, sizeof(run->model->slot));
	/* no two processes write the same values */
	run->last_value = (run->stage * NR_PROCESSES + run->process) * NR_STEPS * SLOT_PAGES;
	run->random = run->seed * 1000003 + run->stage * 1009 + run->process;
	for (run->step = 0; run->step < NR_STEPS; run->step++)
		steps[below(run, ARRAY_SIZE(steps))](run);
	look_at_records(run);
	ending = below(run, 3);
	for (key = 0; key < NR_RECORDS; key++) {
		struct record *record = &run->model->record[key];

		if (record->live)
			capture(run, key);
		if (record->process == run->process)
			record->busy &= ending == STAYS;
	}
	return ending;
}

/* The kexec, or the end of all processes: nobody has a record any more */
static void end_stage(struct run *run)
{
	int key;

	for (key = 0; key < NR_RECORDS; key++)
		run->model->record[key].busy = false;
}

static void play_on_model(struct run *run, unsigned int stage)
{
	run->stage = stage;
	run->real = false;
	for (run->process = 0; run->process < NR_PROCESSES; run->process++)
		play(run);
	end_stage(run);
}

/* Plays process run->process in a process of its own; returns that if it stays */
static pid_t play_process(struct run *run)
{
	enum ending ending;
	bool *done;
	pid_t pid;

	done = mmap(NULL, kt_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(done != MAP_FAILED);
	pid = kt_fork();
	if (!pid) {
		run->real = true;
		ending = play(run);
		fflush(stdout);
		if (ending == STAYS)
			kt_quiet();
		__atomic_store_n(done, true, __ATOMIC_RELEASE);
		if (ending == KILLED)
			kill(getpid(), SIGKILL);
		while (ending == STAYS)
			pause();
		_exit(0);
	}
	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
		/* ended before it was done: something was not as expected */
		must(waitpid(pid, NULL, WNOHANG) != pid || __atomic_load_n(done, __ATOMIC_ACQUIRE));
		usleep(1000);
	}
	munmap(done, kt_page);
	run->real = false;
	ending = play(run);
	if (ending == STAYS)
		return pid;
	/* the record is what it left only when it is gone, and may have been reaped above */
	waitpid(pid, NULL, 0);
	return 0;
}

static void play_stage(struct run *run, unsigned int stage, pid_t *staying)
{
	run->stage = stage;
	for (run->process = 0; run->process < NR_PROCESSES; run->process++)
		staying[run->process] = play_process(run);
}

/* What is left is there, to its last byte; then there is nothing left */
static void take_all(struct run *run)
{
	unsigned long i, remap;
	int key;

	printf("# %u handovers, %u takeovers\n", run->handed, run->taken);
	/* of the programs that are always run it is known that they have both */
	must(getenv("KMHO_TEST_SEED") || (run->handed && run->taken));
	run->real = true;
	look_at_records(run);
	for (key = 0; key < NR_RECORDS; key++) {
		struct record *record = &run->model->record[key];

		while (record->nr_ranges) {
			struct range *range = &record->range[0];

			remap = 0;
			expect(run, !kt_takeover_to(kt_key(key), range->base, range->nr, &remap));
			for (i = 0; i < range->nr; i++)
				expect(run, page_is(remap + i * kt_page, range->value[i]));
			kt_unmap(remap, range->nr);
			model_take(record, 0, 0, range->nr);
		}
	}
	look_at_records(run);
}

/* Keys of this program, apart from those of the others */
static struct run *new_run(void)
{
	const char *seed = getenv("KMHO_TEST_SEED");
	struct run *run = calloc(1, sizeof(*run));

	must(run);
	run->model = calloc(1, sizeof(*run->model));
	must(run->model);
	run->seed = (seed ? strtoull(seed, NULL, 0) : 1) * 100 + kt_index;
	kt_program = 0x40 + kt_index;
	printf("# seed %llu\n", (unsigned long long)run->seed);
	/* without it MADV_PAGEOUT does nothing, which is a program as well */
	if (kt_is_root())
		kt_swap();
	return run;
}

static void property_now(void)
{
	pid_t staying[NR_PROCESSES];
	struct run *run = new_run();
	unsigned int i;

	play_stage(run, 1, staying);
	for (i = 0; i < NR_PROCESSES; i++) {
		if (!staying[i])
			continue;
		must(!kill(staying[i], SIGKILL));
		kt_wait(staying[i]);
	}
	end_stage(run);
	take_all(run);
}

static void property_before(void)
{
	pid_t staying[NR_PROCESSES];

	play_stage(new_run(), 1, staying);
	kt_stay();
}

static void property_after(void)
{
	pid_t staying[NR_PROCESSES];
	struct run *run = new_run();

	play_on_model(run, 1);
	play_stage(run, 2, staying);
	kt_stay();
}

static void property_again(void)
{
	struct run *run = new_run();

	play_on_model(run, 1);
	play_on_model(run, 2);
	take_all(run);
}

#define PROPERTY_CASE(title_)					\
	{							\
		title_,						\
		.now = property_now,				\
		.before = property_before,			\
		.after = property_after,			\
		.again = property_again,			\
	}

static const struct kt_case cases[] = {
	PROPERTY_CASE("a random program comes to what its model says"),
	PROPERTY_CASE("a second one"),
	PROPERTY_CASE("a third one"),
	PROPERTY_CASE("a fourth one"),
};

int main(int argc, char **argv)
{
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
