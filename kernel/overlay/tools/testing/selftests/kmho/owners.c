// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may do what to whose record, and who is charged for it, before a kexec and
 * after it: S1 and S2. What it takes to make a record whole after each step is in
 * errors.c; here are the rules among users.
 */
#include "kmho_test.h"

#include <linux/capability.h>

#define SEED	0x0e4eULL
#define NR	8

/* Keeps these capabilities over a change of uid, and no others */
static void become_with(uid_t uid, __u64 caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	must(!prctl(PR_SET_KEEPCAPS, 1));
	kt_become(uid);
	data[0].permitted = caps;
	data[0].effective = caps;
	data[1].permitted = caps >> 32;
	data[1].effective = caps >> 32;
	must(!syscall(__NR_capset, &header, data));
}

static unsigned long count_records(__u32 flags)
{
	struct kmho_op_query op = { .size = sizeof(op), .flags = flags };

	must(!kmho(KMHO_QUERY, &op));
	return op.nr_records;
}

/* ---- keys are scoped by uid ---- */

static void give_own(void *arg)
{
	kt_map(kt_addr(0), NR);
	kt_fill(kt_addr(0), 0, NR, (unsigned long)arg);
	must(!kt_handover(kt_key(0), kt_addr(0), NR));
}

static void take_own(void *arg)
{
	must(count_records(0) == 1);
	kt_take(kt_key(0), kt_addr(0), NR, (unsigned long)arg);
	must(count_records(0) == 0);
}

static void one_key(void)
{
	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	kt_run_as(KT_OTHER, give_own, (void *)2UL);
	kt_run_as(KT_OTHER, take_own, (void *)2UL);
	kt_run_as(KT_USER, take_own, (void *)1UL);
}

static void by_effective(void *arg)
{
	must(!arg);
	kt_map(kt_addr(0), NR);
	kt_fill(kt_addr(0), 0, NR, SEED);
	/* root's real uid, the user's effective uid */
	must(!setresuid(0, KT_USER, 0));
	must(!kt_handover(kt_key(0), kt_addr(0), NR));
	must(kt_exists(kt_key(0)));
	must(!setresuid(0, 0, 0));
	must(!kt_exists(kt_key(0)));
}

static void effective_uid(void)
{
	kt_need_root();
	kt_run(by_effective, NULL);
	must(!kt_exists(kt_key(0)));
	kt_run_as(KT_USER, take_own, (void *)SEED);
}

static void sees_nothing(void *arg)
{
	struct kmho_record_info info;
	unsigned long remap = kt_addr(1);

	must(!arg);
	must(count_records(0) == 0);
	must_refuse(ENOENT, kt_takeover_to(kt_key(0), kt_addr(0), NR, &remap));
	must_refuse(ENOENT, kt_drop(kt_key(0)));
	must_refuse(ENOENT, kt_info(kt_key(0), &info));
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL,
		  kt_chown(kt_key(0), KT_USER, KT_OTHER));
}

static void another_uid(void)
{
	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	kt_run_as(KT_OTHER, sees_nothing, NULL);
	kt_run_as(KT_USER, take_own, (void *)1UL);
}

/* ---- CAP_SYS_ADMIN ---- */

static void admin_lists(void)
{
	struct kmho_record_info *list, info;
	unsigned long nr, i, seen = 0;

	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	kt_run_as(KT_OTHER, give_own, (void *)2UL);
	nr = kt_list(&list);
	for (i = 0; i < nr; i++) {
		if (list[i].key != kt_key(0))
			continue;
		seen |= list[i].uid == KT_USER ? 1 : 0;
		seen |= list[i].uid == KT_OTHER ? 2 : 0;
		must(list[i].bytes == NR * kt_page && list[i].present == NR * kt_page);
	}
	free(list);
	must(seen == 3);
	/* it is named by its owner; root's own record of that key is another */
	must_refuse(ENOENT, kt_info(kt_key(0), &info));
	must(!kt_info_of(kt_key(0), KT_USER, &info) && info.uid == KT_USER);
	must_refuse(ENOENT, kt_drop(kt_key(0)));
	must_refuse(ENOENT, kt_drop_of(kt_key(0), KT_USER + 1));
	must(!kt_drop_of(kt_key(0), KT_USER));
	must_refuse(ENOENT, kt_drop_of(kt_key(0), KT_USER));
	must(!kt_info_of(kt_key(0), KT_OTHER, &info));
	kt_run_as(KT_OTHER, take_own, (void *)2UL);
}

static void do_cap_admin(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	become_with(KT_OTHER, 1ULL << CAP_SYS_ADMIN);
	must(count_records(KMHO_QUERY_ALL) >= 1);
	must(!kt_info_of(kt_key(0), KT_USER, &info) && info.uid == KT_USER);
	must(!kt_drop_of(kt_key(0), KT_USER));
}

/* Of a process that lives */
static void do_cap_admin_freeze(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	become_with(KT_OTHER, 1ULL << CAP_SYS_ADMIN);
	must(!kt_info_of(kt_key(0), KT_USER, &info) && info.state == KMHO_STATE_LIVE);
	must(!kt_freeze_of(kt_key(0), KT_USER));
	must(!kt_info_of(kt_key(0), KT_USER, &info) && info.state == KMHO_STATE_HELD);
}

static void do_no_cap(void *arg)
{
	struct kmho_op_query all = { .size = sizeof(all), .flags = KMHO_QUERY_ALL };
	struct kmho_record_info info;

	must(!arg);
	/* every other capability is not this one */
	become_with(KT_OTHER, 0x1ffffffffffULL & ~(1ULL << CAP_SYS_ADMIN));
	must_fail(EPERM, kmho(KMHO_QUERY, &all));
	must_fail(EPERM, kt_info_of(kt_key(0), KT_USER, &info));
	must_fail(EPERM, kt_drop_of(kt_key(0), KT_USER));
	must_fail(kt_has(KMHO_FREEZE) ? EPERM : EINVAL, kt_freeze_of(kt_key(0), KT_USER));
	/* not even a record of its own */
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL, kt_chown(kt_key(0), KT_USER, KT_OTHER));
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL,
		  kt_chown(kt_key(0), KMHO_UID_SELF, KT_USER));
	must_fail(ENOENT, kt_drop(kt_key(0)));
}

static void admin_capability(void)
{
	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	kt_run(do_no_cap, NULL);
	kt_run(do_cap_admin, NULL);
}

static void admin_freezes(void)
{
	int fds[2];
	pid_t pid;

	kt_need_root();
	must(!pipe(fds));
	pid = kt_fork();
	if (!pid) {
		kt_become(KT_USER);
		give_own((void *)1UL);
		kt_tell(fds[1]);
		while (true)
			pause();
	}
	kt_hear(fds[0]);
	kt_run(do_cap_admin_freeze, NULL);
	must(!kill(pid, SIGKILL));
	must(kt_wait(pid) == 128 + SIGKILL);
	kt_run_as(KT_USER, take_own, (void *)1UL);
}

/* Root of a user namespace of its own, with every capability there */
static void become_root_inside(uid_t uid)
{
	char map[64];

	kt_become(uid);
	if (unshare(CLONE_NEWUSER))
		kt_skip("no user namespaces: %s", strerror(errno));
	kt_write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %d 1", uid);
	must(kt_write_file("/proc/self/uid_map", map));
	must(geteuid() == 0);
}

/* It is nobody here */
static void do_namespace(void *arg)
{
	struct kmho_op_query all = { .size = sizeof(all), .flags = KMHO_QUERY_ALL };
	struct kmho_record_info info;

	must(!arg);
	become_root_inside(KT_OTHER);
	must_fail(EPERM, kmho(KMHO_QUERY, &all));
	must(count_records(0) == 0);
	must_fail(ENOENT, kt_drop(kt_key(0)));
	must_fail(ENOENT, kt_takeover(kt_key(0), kt_addr(0), NR));
	/* that uid is not mapped here; neither is this capability what it would take */
	must_fail(EINVAL, kt_info_of(kt_key(0), KT_USER, &info));
	must_fail(EINVAL, kt_chown(kt_key(0), 0, KT_USER));
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL, kt_chown(kt_key(0), 0, 0));
	/* its own record belongs to the uid that it is outside */
	kt_map(kt_addr(1), NR);
	kt_fill(kt_addr(1), 0, NR, SEED);
	must(!kt_handover(kt_key(1), kt_addr(1), NR));
	must(!kt_info(kt_key(1), &info) && info.uid == 0);
	/* nor may it give that away */
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL, kt_chown(kt_key(1), 0, 0));
	must_fail(kt_has(KMHO_CHOWN) ? EPERM : EINVAL, kt_chown(kt_key(1), KMHO_UID_SELF, 0));
	must(!kt_info(kt_key(1), &info) && info.uid == 0);
}

static void do_namespace_take(void *arg)
{
	struct kmho_record_info info;

	must(!arg);
	must(!kt_info(kt_key(1), &info) && info.uid == KT_OTHER);
	kt_take(kt_key(1), kt_addr(1), NR, SEED);
}

static void user_namespace(void)
{
	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	kt_give(kt_key(0), kt_addr(0), NR, SEED);
	kt_run(do_namespace, NULL);
	kt_run_as(KT_OTHER, do_namespace_take, NULL);
	kt_run_as(KT_USER, take_own, (void *)1UL);
	kt_take(kt_key(0), kt_addr(0), NR, SEED);
}

/* ---- CHOWN ---- */

static void chown_moves(void)
{
	struct kmho_op_chown op = {
		.size = sizeof(op), .key = kt_key(0), .uid = KT_USER, .new_uid = KT_OTHER,
	};
	struct kmho_record_info info;

	kt_need_root();
	kt_run_as(KT_USER, give_own, (void *)1UL);
	if (!kt_has(KMHO_CHOWN)) {
		must_refuse(EINVAL, kmho(KMHO_CHOWN, &op));
		must_refuse(EINVAL, kmho(KMHO_CHOWN, NULL));
		kt_run_as(KT_USER, take_own, (void *)1UL);
		return;
	}
	op.flags = 1;
	must_refuse(EINVAL, kmho(KMHO_CHOWN, &op));
	op.flags = 0;
	must_refuse(EFAULT, kmho(KMHO_CHOWN, NULL));
	must_refuse(ENOENT, kt_chown(kt_key(1), KT_USER, KT_OTHER));
	/* the other has that key already */
	kt_run_as(KT_OTHER, give_own, (void *)2UL);
	must_refuse(EEXIST, kmho(KMHO_CHOWN, &op));
	must(!kt_drop_of(kt_key(0), KT_OTHER));
	must(!kmho(KMHO_CHOWN, &op));
	must_refuse(ENOENT, kt_info_of(kt_key(0), KT_USER, &info));
	must(!kt_info_of(kt_key(0), KT_OTHER, &info));
	kt_run_as(KT_USER, sees_nothing, NULL);
	kt_run_as(KT_OTHER, take_own, (void *)1UL);
}

/* ---- RLIMIT_MEMLOCK ---- */

static void limit(unsigned long pages)
{
	struct rlimit lim = { pages * kt_page, pages * kt_page };

	must(!setrlimit(RLIMIT_MEMLOCK, &lim));
}

static void do_give4(void *arg)
{
	unsigned long n = (unsigned long)arg;

	limit(6);
	kt_map(kt_addr(n), 4);
	kt_fill(kt_addr(n), 0, 4, n);
	must(!kt_handover(kt_key(n), kt_addr(n), 4));
}

static void do_refuse4(void *arg)
{
	unsigned long n = (unsigned long)arg;

	limit(6);
	kt_map(kt_addr(n), 4);
	kt_fill(kt_addr(n), 0, 4, n);
	must_refuse(EAGAIN, kt_handover(kt_key(n), kt_addr(n), 4));
	must_refuse(EAGAIN, kt_handover(kt_key(n), kt_addr(n), 3));
	must(!kt_handover(kt_key(n), kt_addr(n), 2));
	must(!kt_drop(kt_key(n)));
}

/* Not one page more */
static void do_refuse1(void *arg)
{
	unsigned long n = (unsigned long)arg;

	limit(6);
	kt_map(kt_addr(n), 1);
	kt_fill(kt_addr(n), 0, 1, n);
	must_refuse(EAGAIN, kt_handover(kt_key(n), kt_addr(n), 1));
}

static void do_take4(void *arg)
{
	unsigned long n = (unsigned long)arg;

	limit(0);
	kt_take(kt_key(n), kt_addr(n), 4, n);
}

static void do_take_part(void *arg)
{
	unsigned long n = (unsigned long)arg;

	must(!kt_takeover(kt_key(n), kt_addr(n), 2));
	must(kt_same(kt_addr(n), 0, 2, n));
}

/* By user, over all its processes, until it is taken or dropped */
static void memlock_by_user(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_give4, (void *)0UL);
	/* that process has ended, and the memory is held all the same */
	kt_run_as(KT_USER, do_refuse4, (void *)1UL);
	/* another user has a limit of its own */
	kt_run_as(KT_OTHER, do_give4, (void *)1UL);
	/* what was taken is the taker's, and no longer counts */
	kt_run_as(KT_USER, do_take_part, (void *)0UL);
	kt_run_as(KT_USER, do_give4, (void *)2UL);
	kt_run_as(KT_USER, do_refuse1, (void *)3UL);
	must(!kt_drop_of(kt_key(0), KT_USER));
	must(!kt_drop_of(kt_key(2), KT_USER));
	kt_run_as(KT_USER, do_give4, (void *)0UL);
	kt_run_as(KT_USER, do_take4, (void *)0UL);
	kt_run_as(KT_OTHER, do_take4, (void *)1UL);
	kt_run_as(KT_USER, do_give4, (void *)0UL);
	must(!kt_drop_of(kt_key(0), KT_USER));
}

static void map_kind(bool shared, unsigned long base, unsigned long nr)
{
	if (!shared)
		kt_map(base, nr);
	else
		kt_map_shared(base, nr, -1);
}

/* A first write never fails for it; the next handover does */
static void do_memlock_holes(void *arg)
{
	unsigned long base = kt_addr(0), other = kt_addr(1);

	must(!arg);
	limit(4);
	kt_map(base, 16);
	kt_map(other, 1);
	kt_fill(other, 0, 1, SEED);
	must(!kt_handover(kt_key(0), base, 16));
	must(!kt_handover(kt_key(1), other, 1));
	must(!kt_drop(kt_key(1)));
	kt_fill(base, 0, 16, SEED);
	must(kt_same(base, 0, 16, SEED));
	/* the other record may be seen to hold these pages from now on, or before */
	must_fail(EAGAIN, kt_handover(kt_key(1), other, 1));
	must(!kt_exists(kt_key(1)));
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(1), other, 1));
	must(!kt_drop(kt_key(1)));
}

static void memlock_holes(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_memlock_holes, NULL);
}

static void do_memlock_zero(void *arg)
{
	must(!arg);
	limit(0);
	kt_map(kt_addr(0), 16);
	must(!kt_handover(kt_key(0), kt_addr(0), 16));
	must(!kt_drop(kt_key(0)));
	kt_fill(kt_addr(0), 3, 1, SEED);
	must_refuse(EAGAIN, kt_handover(kt_key(0), kt_addr(0), 16));
	must(!kt_handover(kt_key(0), kt_addr(0), 3));
	must(!kt_drop(kt_key(0)));
}

static void memlock_zero(void)
{
	kt_need_root();
	kt_run_as(KT_USER, do_memlock_zero, NULL);
}

static void do_memlock_exempt(void *arg)
{
	limit(0);
	if (arg)
		become_with(KT_USER, 1ULL << CAP_IPC_LOCK);
	kt_map(kt_addr(0), 64);
	kt_fill(kt_addr(0), 0, 64, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 64));
	must(!kt_drop(kt_key(0)));
}

static void do_memlock_namespace(void *arg)
{
	unsigned long base = kt_addr(0), shared = kt_addr(1);

	must(!arg);
	limit(6);
	become_root_inside(KT_USER);
	kt_map(base, 8);
	kt_fill(base, 0, 8, SEED);
	map_kind(true, shared, 8);
	kt_fill(shared, 0, 8, SEED);
	must_fail(EAGAIN, kt_handover(kt_key(0), base, 7));
	must_fail(EAGAIN, kt_handover(kt_key(0), shared, 7));
	must(!kt_exists(kt_key(0)));
	must(!kt_handover(kt_key(0), base, 6));
	must_fail(EAGAIN, kt_handover(kt_key(1), shared, 1));
	must(!kt_exists(kt_key(1)));
	must(!kt_drop(kt_key(0)));
	must(!kt_handover(kt_key(0), shared, 6));
	must(!kt_drop(kt_key(0)));
}

static void memlock_exempt(void)
{
	kt_need_root();
	kt_run(do_memlock_exempt, NULL);
	kt_run(do_memlock_exempt, (void *)1UL);
	/* that of a namespace is not what it takes, over the limit or with other pages counted */
	kt_run(do_memlock_namespace, NULL);
	/* and what was charged or not then has left no trace */
	kt_run_as(KT_USER, do_give4, (void *)1UL);
	kt_run_as(KT_USER, do_refuse4, (void *)2UL);
	kt_run_as(KT_USER, do_take4, (void *)1UL);
}

/* Refused, dropped, taken, dead: after many rounds the count is where it began */
static void do_memlock_rounds(void *arg)
{
	unsigned long i;

	must(!arg);
	limit(6);
	kt_map(kt_addr(0), 8);
	kt_fill(kt_addr(0), 0, 8, SEED);
	for (i = 0; i < 50; i++) {
		must_fail(EAGAIN, kt_handover(kt_key(0), kt_addr(0), 7));
		must(!kt_handover(kt_key(0), kt_addr(0), 6));
		must_fail(EEXIST, kt_handover(kt_key(0), kt_addr(0) + 6 * kt_page, 1));
		must_fail(EAGAIN, kt_handover(kt_key(1), kt_addr(0) + 6 * kt_page, 1));
		must(!kt_drop(kt_key(0)));
	}
}

static void memlock_rounds(void)
{
	unsigned long i;

	kt_need_root();
	kt_run_as(KT_USER, do_memlock_rounds, NULL);
	for (i = 0; i < 10; i++) {
		kt_run_as(KT_USER, do_give4, (void *)0UL);
		kt_run_as(KT_USER, do_take4, (void *)0UL);
	}
	kt_run_as(KT_USER, do_memlock_rounds, NULL);
}

/* The keys of records that others have are below */
#define FIT	20

/* Of the 6 pages that are allowed so many are free, and not one more */
static void do_fit(void *arg)
{
	unsigned long nr = (unsigned long)arg;

	limit(6);
	kt_map(kt_addr(FIT), nr + 1);
	kt_fill(kt_addr(FIT), 0, nr + 1, SEED);
	/* a record that is live is seen to have grown from now on */
	must_fail(EAGAIN, kt_handover(kt_key(FIT), kt_addr(FIT), nr + 1));
	must(!kt_exists(kt_key(FIT)));
	must(!kt_handover(kt_key(FIT), kt_addr(FIT), nr));
	must(!kt_drop(kt_key(FIT)));
	kt_unmap(kt_addr(FIT), nr + 1);
}

static void must_fit(uid_t uid, unsigned long nr)
{
	kt_run_as(uid, do_fit, (void *)nr);
}

/* ---- CHOWN, and who is counted ---- */

static void do_fit_after_end(void *arg)
{
	must(!arg);
	must(!kt_takeover(kt_key(0), kt_addr(0), 8));
	must(kt_same(kt_addr(0), 0, 5, SEED) && kt_zero(kt_addr(0), 5, 3));
	do_fit((void *)6);
}

static void chown_live(bool shared)
{
	struct kmho_record_info info;
	int to[2], from[2];
	pid_t pid;

	must(!pipe(to) && !pipe(from));
	pid = kt_fork();
	if (!pid) {
		kt_become(KT_USER);
		limit(6);
		map_kind(shared, kt_addr(0), 8);
		kt_fill(kt_addr(0), 0, 4, SEED);
		must(!kt_handover(kt_key(0), kt_addr(0), 8));
		kt_tell(from[1]);
		kt_hear(to[0]);
		kt_fill(kt_addr(0), 4, 1, SEED);
		kt_tell(from[1]);
		kt_hear(to[0]);
		_exit(0);
	}
	kt_hear(from[0]);
	must_fit(KT_USER, 2);
	must_fit(KT_OTHER, 6);
	must(!kt_chown(kt_key(0), KT_USER, KT_OTHER));
	must(!kt_info_of(kt_key(0), KT_OTHER, &info) && info.state == KMHO_STATE_LIVE);
	must_fit(KT_USER, 6);
	must_fit(KT_OTHER, 2);
	/* so does what the process writes from now on */
	kt_tell(to[1]);
	kt_hear(from[0]);
	must_fit(KT_USER, 6);
	must_fit(KT_OTHER, 1);
	kt_tell(to[1]);
	must(kt_wait(pid) == 0);
	must_fit(KT_OTHER, 1);
	kt_run_as(KT_OTHER, do_fit_after_end, NULL);
	must_fit(KT_USER, 6);
}

static void chown_counts(void)
{
	kt_need_root();
	chown_live(false);
	chown_live(true);
}

/* ---- the memory cgroup ---- */

#define CGROUP	"/sys/fs/cgroup/kmho-owners"

static void charged_until_dropped(void)
{
	unsigned long nr = 4096;
	long size = nr * kt_page / 1024, left;
	pid_t pid;
	int tries;

	kt_need_cgroup(CGROUP);
	must(kt_write_file(CGROUP "/cgroup.subtree_control", "+memory"));
	must(!mkdir(CGROUP "/its", 0755) || errno == EEXIST);
	pid = kt_fork();
	if (!pid) {
		must(kt_write_file(CGROUP "/its/cgroup.procs", "0"));
		kt_map(kt_addr(0), nr);
		kt_fill(kt_addr(0), 0, nr, SEED);
		must(!kt_handover(kt_key(0), kt_addr(0), nr));
		_exit(0);
	}
	must(kt_wait(pid) == 0);
	must(kt_charged_kib(CGROUP "/its") >= size);
	/* what has nobody in it may go; the memory stays charged above */
	must(!rmdir(CGROUP "/its"));
	must(kt_charged_kib(CGROUP) >= size);
	must(!kt_drop(kt_key(0)));
	for (tries = 0; tries < 50; tries++) {
		left = kt_charged_kib(CGROUP);
		if (left < size / 4)
			break;
		usleep(20000);
	}
	printf("# %ld KiB of %ld KiB are still charged\n", left, size);
	must(left < size / 4);
	must(!rmdir(CGROUP));
}

/* What it takes to follow as many ranges, in KiB; each is a structure of its own at least */
#define NR_HOLES	16384
#define HOLES_KIB	(NR_HOLES * 64 / 1024)

static void do_give_holes(void *arg)
{
	struct kmho_range_handover *r = calloc(NR_HOLES, sizeof(*r));
	struct kmho_op_handover op = { kt_key(0), NR_HOLES, r };
	long before, with, after = 0;
	unsigned long i;
	int tries;

	must(!arg && r);
	must(kt_write_file(CGROUP "/its/cgroup.procs", "0"));
	kt_map(kt_addr(0), 2 * NR_HOLES);
	for (i = 0; i < NR_HOLES; i++)
		r[i] = (struct kmho_range_handover){ kt_addr(0) + 2 * i * kt_page, kt_page };
	before = kt_charged_kib(CGROUP "/its");
	must(!kmho(KMHO_HANDOVER, &op));
	with = kt_charged_kib(CGROUP "/its");
	must(!kt_drop(kt_key(0)));
	for (tries = 0; tries < 200; tries++) {
		after = kt_charged_kib(CGROUP "/its");
		if (after < before + HOLES_KIB / 2)
			break;
		usleep(20000);
	}
	printf("# %ld KiB charged, %ld with the record, %ld without\n", before, with, after);
	must(with - before >= HOLES_KIB);
	must(after < before + HOLES_KIB / 2);
}

static void charged_for_ranges(void)
{
	kt_need_cgroup(CGROUP);
	must(kt_write_file(CGROUP "/cgroup.subtree_control", "+memory"));
	must(!mkdir(CGROUP "/its", 0755) || errno == EEXIST);
	kt_run(do_give_holes, NULL);
}

/* ---- over a kexec ---- */

/* Each case has a user of its own, whose count nobody else moves */
enum {
	TAKEN = KT_USER + 100,
	TAKEN_SHARED,
	LATER_DROPPED,
	LATER_KEPT,
	GIVEN_AWAY,
	GIVEN_TO,
	MOVED_AWAY,
	MOVED_TO,
};

static void do_give_kind(void *arg)
{
	limit(6);
	map_kind(arg, kt_addr(0), 8);
	kt_fill(kt_addr(0), 0, 3, SEED);
	must(!kt_handover(kt_key(0), kt_addr(0), 8));
	/* one that came later counts, too */
	kt_fill(kt_addr(0), 3, 1, SEED);
}

static void give_kind(uid_t uid, bool shared)
{
	kt_need_root();
	kt_run_as(uid, do_give_kind, (void *)(unsigned long)shared);
}

static void taken_before(void)
{
	give_kind(TAKEN, false);
}

static void do_take_one(void *arg)
{
	must(!arg);
	do_fit((void *)2);
	must(!kt_takeover(kt_key(0), kt_addr(0), 1));
	must(kt_same(kt_addr(0), 0, 1, SEED));
	do_fit((void *)3);
}

static void taken_after(void)
{
	kt_run_as(TAKEN, do_take_one, NULL);
	must_fit(TAKEN, 3);
}

static void do_take_others(void *arg)
{
	must(!arg);
	do_fit((void *)3);
	must(!kt_takeover(kt_key(0), kt_addr(0) + kt_page, 7));
	must(kt_same(kt_addr(0), 1, 3, SEED) && kt_zero(kt_addr(0), 4, 4));
	do_fit((void *)6);
}

static void taken_again(void)
{
	kt_run_as(TAKEN, do_take_others, NULL);
	must_fit(TAKEN, 6);
}

static void taken_shared_before(void)
{
	give_kind(TAKEN_SHARED, true);
}

static void taken_shared_after(void)
{
	kt_run_as(TAKEN_SHARED, do_take_one, NULL);
	kt_run_as(TAKEN_SHARED, do_take_others, NULL);
	must_fit(TAKEN_SHARED, 6);
}

static void later_dropped_before(void)
{
	give_kind(LATER_DROPPED, false);
}

static void later_dropped_after(void)
{
	must_fit(LATER_DROPPED, 2);
	must(!kt_drop_of(kt_key(0), LATER_DROPPED));
	must_fit(LATER_DROPPED, 6);
}

static void later_kept_before(void)
{
	give_kind(LATER_KEPT, false);
}

static void do_keep(void *arg)
{
	unsigned long to = kt_addr(0);

	must(!arg);
	do_fit((void *)2);
	must(!kt_take_to(KMHO_TAKEOVER_KEEP, kt_key(0), kt_addr(0), 8, &to));
	do_fit((void *)2);
	kt_fill(kt_addr(0), 4, 1, SEED);
	do_fit((void *)1);
	must(!kt_drop(kt_key(0)));
	must(kt_same(kt_addr(0), 0, 5, SEED));
	do_fit((void *)6);
}

static void later_kept_after(void)
{
	kt_run_as(LATER_KEPT, do_keep, NULL);
}

static void given_away_before(void)
{
	give_kind(GIVEN_AWAY, false);
}

static void given_away_after(void)
{
	must_fit(GIVEN_AWAY, 2);
	must_fit(GIVEN_TO, 6);
	must(!kt_chown(kt_key(0), GIVEN_AWAY, GIVEN_TO));
	must_fit(GIVEN_AWAY, 6);
	kt_run_as(GIVEN_TO, do_take_one, NULL);
	kt_run_as(GIVEN_TO, do_take_others, NULL);
	must_fit(GIVEN_TO, 6);
}

static void moved_before(void)
{
	give_kind(MOVED_AWAY, false);
	must(!kt_chown(kt_key(0), MOVED_AWAY, MOVED_TO));
}

static void moved_after(void)
{
	kt_run_as(MOVED_AWAY, sees_nothing, NULL);
	must_fit(MOVED_AWAY, 6);
	kt_run_as(MOVED_TO, do_take_one, NULL);
	kt_run_as(MOVED_TO, do_take_others, NULL);
	must_fit(MOVED_TO, 6);
}

static const struct kt_case cases[] = {
	{ "two users have the same key and never meet", .now = one_key },
	{ "a record is the effective uid's", .now = effective_uid },
	{ "another uid sees ENOENT", .now = another_uid },
	{ "CAP_SYS_ADMIN lists and drops any record", .now = admin_lists },
	{ "that capability, and no other", .now = admin_capability },
	{ "CAP_SYS_ADMIN freezes any record", .now = admin_freezes },
	{ "root of a user namespace is nobody", .now = user_namespace },
	{ "CHOWN, where it is announced", .now = chown_moves },
	{ "RLIMIT_MEMLOCK counts by user, until taken or dropped", .now = memlock_by_user },
	{ "RLIMIT_MEMLOCK: a first write never fails for it", .now = memlock_holes },
	{ "RLIMIT_MEMLOCK 0: holes may be handed over", .now = memlock_zero },
	{ "RLIMIT_MEMLOCK: CAP_IPC_LOCK is exempt", .now = memlock_exempt },
	{ "RLIMIT_MEMLOCK: the count comes back to where it was", .now = memlock_rounds },
	{ "RLIMIT_MEMLOCK: CHOWN of a live record moves the count", .now = chown_counts },
	{ "the memory cgroup is charged until the record is dropped",
	  .now = charged_until_dropped },
	{ "the memory cgroup is charged for what a record itself takes",
	  .now = charged_for_ranges },
	{ "RLIMIT_MEMLOCK counts what came with a kexec, until it is taken",
	  .before = taken_before, .after = taken_after, .again = taken_again },
	{ "the same for shared memory",
	  .before = taken_shared_before, .after = taken_shared_after },
	{ "until it is dropped", .before = later_dropped_before, .after = later_dropped_after },
	{ "and while it is kept", .before = later_kept_before, .after = later_kept_after },
	{ "CHOWN of what came with a kexec moves the count",
	  .before = given_away_before, .after = given_away_after },
	{ "CHOWN before the kexec", .before = moved_before, .after = moved_after },
};

int main(int argc, char **argv)
{
	kt_program = 6;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
