// SPDX-License-Identifier: GPL-2.0-only
/*
 * H9: FREEZE fixes a record's contents at that moment. What the process writes
 * afterwards goes to copies of its own, and what it writes while it dies, with
 * the record of a stopped process, does not get in.
 *
 * On a kernel that does not announce the opcode, EINVAL is what is tested.
 */
#include "kmho_test.h"

#include <linux/futex.h>

#define SEED(n)	(0xf4ee2eULL + (n))
#define NR	64

static void need_freeze(void)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = kt_key(0), .uid = KMHO_UID_SELF };

	if (kt_has(KMHO_FREEZE))
		return;
	must_refuse(EINVAL, kmho(KMHO_FREEZE, &op));
	must_refuse(EINVAL, kmho(KMHO_FREEZE, NULL));
	kt_skip("this kernel has no KMHO_FREEZE; it answers EINVAL, as it should");
}

static void must_be_frozen(unsigned long key, unsigned long present)
{
	struct kmho_record_info info;

	must(!kt_info(key, &info));
	must(info.state == KMHO_STATE_HELD);
	must(info.present == present * kt_page);
	/* nothing is left for the kexec to look at */
	must(!info.changed);
}

/* Half of it present, one page of that changed since; then it is frozen */
static void give_and_freeze(unsigned long base, unsigned long key)
{
	kt_map(base, NR);
	kt_fill(base, 0, NR / 2, SEED(0));
	must(!kt_handover(key, base, NR));
	/* before the freeze: these count, that into a hole as well */
	kt_fill(base, 3, 1, SEED(1));
	kt_fill(base, NR / 2 + 3, 1, SEED(1));
	must(!kt_freeze(key));
	must_be_frozen(key, NR / 2 + 1);
}

/* What give_and_freeze() froze is seen at @at */
static void check_frozen(unsigned long at)
{
	must(kt_same_from(at, 0, 3, SEED(0), 0));
	must(kt_same_from(at, 3, 1, SEED(1), 3));
	must(kt_same_from(at, 4, NR / 2 - 4, SEED(0), 4));
	must(!kt_held_pages(at + NR / 2 * kt_page, 3));
	must(kt_same_from(at, NR / 2 + 3, 1, SEED(1), NR / 2 + 3));
	must(!kt_held_pages(at + (NR / 2 + 4) * kt_page, NR / 2 - 4));
}

static void do_written_afterwards(void *arg)
{
	unsigned long base = kt_addr(0), remap = kt_addr(1);

	must(!arg);
	give_and_freeze(base, kt_key(0));
	kt_fill(base, 0, NR, SEED(2));
	must(kt_same(base, 0, NR, SEED(2)));
	must_be_frozen(kt_key(0), NR / 2 + 1);
	/* the address space that handed over exists */
	must_refuse(EBUSY, kt_takeover_to(kt_key(0), base, NR, &remap));
}

static void written_afterwards(void)
{
	need_freeze();
	kt_run(do_written_afterwards, NULL);
	must(!kt_takeover(kt_key(0), kt_addr(0), NR));
	check_frozen(kt_addr(0));
	must(!kt_exists(kt_key(0)));
}

/* What was not written is in the record and, through fork(), in a process that lives on */
static void not_written_afterwards(void)
{
	unsigned long base = kt_addr(0);
	int ready[2], go[2];
	pid_t pid;
	char c;

	need_freeze();
	must(!pipe(ready));
	must(!pipe(go));
	pid = kt_fork();
	if (!pid) {
		give_and_freeze(base, kt_key(0));
		if (kt_fork())
			_exit(0);
		close(go[1]);
		must(write(ready[1], "x", 1) == 1);
		must(read(go[0], &c, 1) == 0);
		/* the taker has written to its pages by now */
		check_frozen(base);
		kt_fill(base, 0, NR, SEED(6));
		must(kt_same(base, 0, NR, SEED(6)));
		must(write(ready[1], "y", 1) == 1);
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	close(ready[1]);
	must(read(ready[0], &c, 1) == 1 && c == 'x');
	must(!kt_takeover(kt_key(0), base, NR));
	check_frozen(base);
	kt_fill(base, 0, 8, SEED(4));
	close(go[0]);
	close(go[1]);
	must(read(ready[0], &c, 1) == 1 && c == 'y');
	must(kt_same(base, 0, 8, SEED(4)));
	must(kt_same(base, 8, NR / 2 - 8, SEED(0)));
}

static void do_ordinary_again(void *arg)
{
	unsigned long base = kt_addr(0);

	must(!arg);
	give_and_freeze(base, kt_key(0));
	/* bound no more: unmapped, discarded, and handed over under another key */
	must(!munmap(kt_ptr(base + 10 * kt_page), 2 * kt_page));
	must(!madvise(kt_ptr(base + 4 * kt_page), kt_page, MADV_DONTNEED));
	must(kt_zero(base, 4, 1));
	must(!kt_handover(kt_key(1), base, 10));
	kt_fill(base, 5, 2, SEED(6));
	must_refuse(EPERM, munmap(kt_ptr(base), kt_page));
}

static void ordinary_again(void)
{
	unsigned long base = kt_addr(0), remap = kt_addr(1);

	need_freeze();
	kt_run(do_ordinary_again, NULL);
	must(!kt_takeover(kt_key(0), base, NR));
	must(!kt_takeover_to(kt_key(1), base, 10, &remap));
	check_frozen(base);
	/* one page is in both records, and each has it for itself now */
	must(kt_same(remap, 0, 3, SEED(0)) && kt_same(remap, 3, 1, SEED(1)));
	must(kt_zero(remap, 4, 1));
	must(kt_same(remap, 5, 2, SEED(6)));
	kt_fill(remap, 0, 10, SEED(8));
	check_frozen(base);
	kt_fill(base, 0, 10, SEED(9));
	must(kt_same(remap, 0, 10, SEED(8)));
}

static void do_frozen_protection(void *arg)
{
	unsigned long base = kt_addr(0);

	must(!arg);
	kt_map(base, NR);
	kt_fill(base, 0, NR, SEED(0));
	must(!kt_handover(kt_key(0), base, NR));
	must(!mprotect(kt_ptr(base), 8 * kt_page, PROT_READ));
	must(!kt_freeze(kt_key(0)));
	must(!mprotect(kt_ptr(base), NR * kt_page, PROT_READ | PROT_WRITE));
	must(!mprotect(kt_ptr(base + 32 * kt_page), 8 * kt_page, PROT_NONE));
}

static void frozen_protection(void)
{
	unsigned long base = kt_addr(0);

	need_freeze();
	kt_run(do_frozen_protection, NULL);
	must(!kt_takeover(kt_key(0), base, NR));
	must(kt_perms(base, "r--p") && kt_perms(base + 8 * kt_page, "rw-p"));
	must(kt_perms(base + 32 * kt_page, "rw-p"));
	must(kt_same(base, 0, NR, SEED(0)));
}

static void do_frozen_huge(void *arg)
{
	unsigned long size = kt_pmd_size(), base = kt_addr(0), nr = 2 * size / kt_page;

	must(!arg);
	kt_map_thp(base, 2 * size);
	kt_fill(base, 0, nr, SEED(0));
	must(!kt_handover(kt_key(0), base, nr));
	must(!kt_freeze(kt_key(0)));
	kt_fill(base, 10, 600, SEED(1));
	must(kt_same(base, 0, 10, SEED(0)));
	must(kt_same(base, 10, 600, SEED(1)));
	must(kt_same(base, 610, nr - 610, SEED(0)));
}

static void frozen_huge(void)
{
	unsigned long size = kt_need_thp(), base = kt_addr(0);

	need_freeze();
	kt_run(do_frozen_huge, NULL);
	must(!kt_takeover(kt_key(0), base, 2 * size / kt_page));
	must(kt_same(base, 0, 2 * size / kt_page, SEED(0)));
}

/* ---- under a writer ---- */

#define NR_ROUNDS	40

/* What the one that hands over knows of its writer, just before FREEZE and just after it */
struct span {
	__u64 earliest;
	__u64 latest;
};

static void *write_all_along(void *arg)
{
	/* not on the processor of the one that freezes, if there is another */
	kt_run_on(1);
	kt_write_around((unsigned long)arg, true);
}

static void do_running_writer(void *arg)
{
	struct span *span = arg;

	kt_run_on(0);
	kt_map(kt_addr(0), 1 + KT_AROUND);
	must(!kt_handover(kt_key(0), kt_addr(0), 1 + KT_AROUND));
	kt_start_thread(write_all_along, 0);
	/* somewhere else of it each time: @span has the round before's */
	kt_wait_for_writes(0, 2 * KT_AROUND + span->latest % 997);
	span->earliest = kt_completed(0);
	must(!kt_freeze(kt_key(0)));
	span->latest = kt_completed(0);
	must_be_frozen(kt_key(0), 1 + KT_AROUND);
	/* each page has been written again by then, several times */
	kt_wait_for_writes(0, span->latest + 20 * KT_AROUND);
}

/* The record is of one moment, within the call, and not of a later one page by page */
static void running_writer(void)
{
	struct span *span = mmap(NULL, sizeof(*span), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long round, within = 0;
	__u64 done;

	need_freeze();
	must(span != MAP_FAILED);
	for (round = 0; round < NR_ROUNDS || (!within && round < 10 * NR_ROUNDS); round++) {
		kt_run(do_running_writer, span);
		must(!kt_takeover(kt_key(0), kt_addr(0), 1 + KT_AROUND));
		done = kt_check_around(0);
		must(done >= span->earliest && done <= span->latest);
		within += span->latest > span->earliest;
		kt_unmap(kt_addr(0), 1 + KT_AROUND);
	}
	printf("# it wrote during %lu of %lu calls\n", within, round);
	/* or the writer was not seen to run meanwhile, and nothing was tested */
	must(within || sysconf(_SC_NPROCESSORS_ONLN) == 1);
}

/* ---- pages that a device may still write to ---- */

#define NR_BUFFER	8

static int new_file(unsigned long nr, __u64 seed)
{
	int fd = memfd_create("kmho", 0);

	must(fd >= 0 && !ftruncate(fd, nr * kt_page));
	kt_map_shared(kt_addr(8), nr, fd);
	kt_fill(kt_addr(8), 0, nr, seed);
	kt_unmap(kt_addr(8), nr);
	return fd;
}

/* The device's write: pages [@first, @first + @nr) come from the same place of the file */
static void write_by_pin(struct kt_ring *ring, int fd, unsigned long base, unsigned long first,
			 unsigned long nr)
{
	must(kt_ring_read(ring, IORING_OP_READ_FIXED, fd, base + first * kt_page, nr * kt_page,
			  first * kt_page) == (int)(nr * kt_page));
}

/* @arg: pages of the mapping, whose first ones are the buffer; huge ones where it has many */
static void do_pinned(void *arg)
{
	unsigned long base = kt_addr(0), nr = (unsigned long)arg;
	int before = new_file(NR_BUFFER, SEED(1)), later = new_file(NR_BUFFER, SEED(2));
	struct kt_ring ring;

	kt_ring_open(&ring);
	if (nr > NR)
		kt_map_thp(base, nr * kt_page);
	else
		kt_map(base, nr);
	kt_fill(base, 0, nr, SEED(0));
	kt_ring_register(&ring, base, NR_BUFFER);
	must(!kt_handover(kt_key(0), base, nr));
	write_by_pin(&ring, before, base, 0, 4);
	must(!kt_freeze(kt_key(0)));
	must_be_frozen(kt_key(0), nr);
	must(kt_same(base, 0, 4, SEED(1)));
	/* a write of its own must not part the process from its device */
	kt_fill(base, 0, nr, SEED(3));
	write_by_pin(&ring, later, base, 2, 4);
	must(kt_same(base, 0, 2, SEED(3)));
	must(kt_same(base, 2, 4, SEED(2)));
	must(kt_same(base, 6, nr - 6, SEED(3)));
	must_be_frozen(kt_key(0), nr);
}

static void pinned_of(unsigned long nr)
{
	unsigned long base = kt_addr(0);

	kt_run(do_pinned, (void *)nr);
	must(!kt_takeover(kt_key(0), base, nr));
	must(kt_same(base, 0, 4, SEED(1)));
	must(kt_same(base, 4, nr - 4, SEED(0)));
}

static void pinned(void)
{
	need_freeze();
	pinned_of(NR);
}

static void pinned_huge(void)
{
	unsigned long size = kt_need_thp();

	need_freeze();
	pinned_of(size / kt_page);
}

static void do_give_user(void *arg)
{
	must(!arg);
	kt_map(kt_addr(0), NR);
	kt_fill(kt_addr(0), 0, NR, SEED(0));
	must(!kt_handover(kt_key(0), kt_addr(0), NR));
}

static void do_freeze_others(void *arg)
{
	must(!arg);
	must_refuse(ENOENT, kt_freeze(kt_key(0)));
	must_refuse(EPERM, kt_freeze_of(kt_key(0), KT_USER));
}

static void freeze_errors(void)
{
	struct kmho_op_drop op = { .size = sizeof(op), .key = kt_key(0), .uid = KMHO_UID_SELF };

	need_freeze();
	kt_need_root();
	must_refuse(ENOENT, kmho(KMHO_FREEZE, &op));
	must_refuse(EFAULT, kmho(KMHO_FREEZE, NULL));
	op.flags = 1;
	must_refuse(EINVAL, kmho(KMHO_FREEZE, &op));
	op.flags = 0;
	op.reserved = 1;
	must_refuse(EINVAL, kmho(KMHO_FREEZE, &op));
	op.reserved = 0;
	op.size = 4;
	must_refuse(EINVAL, kmho(KMHO_FREEZE, &op));
	/* who may drop may freeze, and nobody else */
	kt_run_as(KT_USER, do_give_user, NULL);
	kt_run_as(KT_OTHER, do_freeze_others, NULL);
	must(!kt_drop_of(kt_key(0), KT_USER));
}

/* ---- a stopped process that is killed ---- */

#define NR_THREADS	4

/* What the kernel writes to when a thread dies, in memory that was handed over */
struct dying {
	struct {
		__u32 tid;
		__u32 mutex;
		struct robust_list_head head;
		struct robust_list node;
	} thread[NR_THREADS];
	__u32 started;
};

static struct dying *dying(void)
{
	return kt_ptr(kt_addr(0));
}

static void *holder(void *arg)
{
	unsigned long i = (unsigned long)arg;
	struct dying *d = dying();
	__u32 tid = gettid();

	d->thread[i].tid = tid;
	d->thread[i].mutex = tid;
	d->thread[i].node.next = &d->thread[i].head.list;
	d->thread[i].head.list.next = &d->thread[i].node;
	d->thread[i].head.futex_offset = (long)&d->thread[i].mutex - (long)&d->thread[i].node;
	d->thread[i].head.list_op_pending = NULL;
	/* the kernel clears the first and marks the second when the thread dies */
	syscall(__NR_set_tid_address, &d->thread[i].tid);
	must(!syscall(__NR_set_robust_list, &d->thread[i].head, sizeof(d->thread[i].head)));
	__atomic_add_fetch(&d->started, 1, __ATOMIC_RELEASE);
	while (true)
		pause();
	return NULL;
}

/* Hands over, stops itself, and never goes on */
static pid_t stopped_holder(unsigned long key)
{
	pid_t pid = kt_fork();
	pthread_t thread;
	unsigned long i;

	if (!pid) {
		kt_map(kt_addr(0), NR);
		kt_fill(kt_addr(0), 1, NR - 1, SEED(0));
		must(!kt_handover(key, kt_addr(0), NR));
		for (i = 0; i < NR_THREADS; i++)
			must(!pthread_create(&thread, NULL, holder, (void *)i));
		while (__atomic_load_n(&dying()->started, __ATOMIC_ACQUIRE) < NR_THREADS)
			usleep(1000);
		kill(getpid(), SIGSTOP);
		while (true)
			pause();
	}
	must(waitpid(pid, NULL, WUNTRACED) == pid);
	return pid;
}

static unsigned long marks_of_death(void)
{
	struct dying *d = dying();
	unsigned long i, marks = 0;

	for (i = 0; i < NR_THREADS; i++) {
		marks += !d->thread[i].tid;
		marks += !!(d->thread[i].mutex & FUTEX_OWNER_DIED);
	}
	return marks;
}

static void freeze_and_kill(unsigned long key)
{
	pid_t pid = stopped_holder(key);

	must(!kt_freeze(key));
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
}

/* All is as it was when the process was stopped */
static void take_stopped(unsigned long key)
{
	struct dying *d = dying();
	unsigned long i;

	must(!kt_takeover(key, kt_addr(0), NR));
	must(!marks_of_death());
	must(d->started == NR_THREADS);
	for (i = 0; i < NR_THREADS; i++)
		must(d->thread[i].tid && d->thread[i].mutex == d->thread[i].tid);
	must(kt_same(kt_addr(0), 1, NR - 1, SEED(0)));
}

static void killed_frozen(void)
{
	need_freeze();
	freeze_and_kill(kt_key(0));
	take_stopped(kt_key(0));
}

/* The same without: so the test above tests something */
static void killed_live(void)
{
	pid_t pid = stopped_holder(kt_key(0));

	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	must(!kt_takeover(kt_key(0), kt_addr(0), NR));
	printf("# %lu marks of death\n", marks_of_death());
	must(marks_of_death() >= NR_THREADS);
	must(kt_same(kt_addr(0), 1, NR - 1, SEED(0)));
}

/* ---- over a kexec ---- */

static void crossing_before(void)
{
	unsigned long base = kt_addr(0);

	need_freeze();
	give_and_freeze(base, kt_key(0));
	kt_ready();
	/* until the machine goes down, and none of it gets there */
	while (true) {
		kt_fill(base, 0, NR, SEED(7));
		usleep(1000);
	}
}

static void crossing_after(void)
{
	must(!kt_takeover(kt_key(0), kt_addr(0), NR));
	check_frozen(kt_addr(0));
}

static void stopped_before(void)
{
	need_freeze();
	freeze_and_kill(kt_key(1));
}

static void stopped_after(void)
{
	take_stopped(kt_key(1));
}

static const struct kt_case cases[] = {
	{ "what is written afterwards is the process's own", .now = written_afterwards },
	{ "what is not written is in both", .now = not_written_afterwards },
	{ "the memory is ordinary again", .now = ordinary_again },
	{ "the protection is that of the freeze", .now = frozen_protection },
	{ "huge pages", .now = frozen_huge },
	{ "a thread that writes all along: of one moment", .now = running_writer },
	{ "what a device writes after FREEZE is not in the record", .now = pinned },
	{ "what a device writes to a huge page after FREEZE", .now = pinned_huge },
	{ "who may, and its errors", .now = freeze_errors },
	{ "a stopped process is frozen and killed: TIDs, mutexes", .now = killed_frozen },
	{ "without it, a dying process's writes are in the record", .now = killed_live },
	{ "over a kexec", .before = crossing_before, .after = crossing_after },
	{ "a stopped process that was frozen and killed, over a kexec",
	  .before = stopped_before, .after = stopped_after },
};

int main(int argc, char **argv)
{
	kt_program = 10;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
