// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmho(2): judges what user space asks for, and has it done.
 *
 * Arguments are judged in one order: the operation and its ranges as such,
 * then the key, then the memory. A call that fails leaves everything as it was.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/kexec_handover.h>
#include <linux/kmho.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/nospec.h>
#include <linux/pagemap.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "internal.h"

bool kmho_enabled __read_mostly;

static u64 kmho_features(void);

/*
 * Every operation goes on between these two, and touches no memory of user
 * space meanwhile that could keep it waiting: from the moment at which a kexec
 * is certain nobody gets in, and the kexec waits for those who are.
 */
static int kmho_enter(void)
{
	return kmho_wait_ready() ?: down_read_killable(&kmho_sem);
}

static void kmho_leave(void)
{
	up_read(&kmho_sem);
}

static int kmho_cmp_u64(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

static int kmho_cmp_handover(const void *a, const void *b)
{
	const struct kmho_range_handover *ra = a, *rb = b;

	return kmho_cmp_u64(ra->base, rb->base);
}

static int kmho_cmp_base(const void *a, const void *b)
{
	const struct kmho_range_takeover *ra = a, *rb = b;

	return kmho_cmp_u64(ra->base, rb->base);
}

static int kmho_cmp_remap(const void *a, const void *b)
{
	const struct kmho_range_takeover *ra = a, *rb = b;

	return kmho_cmp_u64(ra->remap_addr, rb->remap_addr);
}

static bool kmho_range_is_bad(unsigned long base, unsigned long length)
{
	return !length || !PAGE_ALIGNED(base | length) || base + length < base;
}

/* Read an array of ranges; the caller frees it with kvfree(). */
static void *kmho_copy_ranges(const void __user *ranges, unsigned long nr,
			      size_t size)
{
	if (nr > KMHO_MAX_RANGES)
		return ERR_PTR(-E2BIG);
	if (!nr)
		return ERR_PTR(-EINVAL);

	return vmemdup_array_user(ranges, nr, size);
}

/* The record of that key with its lock held, or an error */
static struct kmho_record *kmho_record_lock(kuid_t uid, u64 key)
{
	struct kmho_record *rec = kmho_record_get(uid, key);

	if (!rec)
		return ERR_PTR(-ENOENT);
	if (mutex_lock_killable(&rec->lock)) {
		kmho_record_put(rec);
		return ERR_PTR(-EINTR);
	}
	/* It may have been given to another user meanwhile. */
	if (rec->gone || !uid_eq(rec->uid, uid)) {
		mutex_unlock(&rec->lock);
		kmho_record_put(rec);
		return ERR_PTR(-ENOENT);
	}
	return rec;
}

static void kmho_record_unlock(struct kmho_record *rec)
{
	mutex_unlock(&rec->lock);
	kmho_record_put(rec);
}

/* Have the record stop following an address space, if it does. */
static int kmho_let_go(struct kmho_record *rec, bool killable)
{
	struct mm_struct *mm = rec->mm;

	if (!mm)
		return 0;
	if (!killable)
		mmap_write_lock(mm);
	else if (mmap_write_lock_killable(mm))
		return -EINTR;
	kmho_detach_mm(rec);
	mmap_write_unlock(mm);
	rec->mm = NULL;
	mmdrop(mm);
	return 0;
}

/* Have a record follow ranges of the caller's. */
static int kmho_follow_ranges(struct kmho_record *rec, struct mm_struct *mm,
			      const struct kmho_range_handover *ranges,
			      unsigned long nr)
{
	unsigned long i;
	int err;

	for (i = 0; i < nr; i++) {
		unsigned long end = ranges[i].base + ranges[i].length;

		err = kmho_check_vmas(mm, ranges[i].base, end) ?:
		      kmho_settle(mm, ranges[i].base, end);
		if (err)
			return err;
		/* From here on nobody is about to change what is not noted. */
		kmho_lock_vmas(mm, ranges[i].base, end);
	}

	err = kmho_attach_mm(rec, mm);
	for (i = 0; !err && i < nr; i++)
		err = kmho_follow(rec, ranges[i].base,
				  ranges[i].base + ranges[i].length,
				  ranges[i].base);
	return err ?: kmho_claims_add(rec, mm);
}

static int kmho_do_handover(struct kmho_record *rec,
			    const struct kmho_range_handover *ranges,
			    unsigned long nr)
{
	struct mm_struct *mm = current->mm;
	int err;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	err = kmho_follow_ranges(rec, mm, ranges, nr);
	mmap_write_unlock(mm);

	if (!err)
		err = kmho_collect(rec) ?: kmho_claims_collect(rec);
	if (!err) {
		mmap_read_lock(mm);
		err = kmho_update_areas(rec);
		mmap_read_unlock(mm);
	}
	if (err) {
		kmho_let_go(rec, false);
		kmho_record_discard(rec);
		return err;
	}

	/* Of this the step at the kexec does only what has changed by then. */
	kmho_table_seal(&rec->extents, false);
	return 0;
}

static int kmho_handover_ranges(u64 key,
				const struct kmho_range_handover *ranges,
				unsigned long nr)
{
	struct kmho_record *rec;
	int err;

	/* The key is judged before what the user has already. */
	rec = kmho_record_get(current_euid(), key);
	if (rec) {
		kmho_record_put(rec);
		return -EEXIST;
	}
	if (!capable(CAP_IPC_LOCK)) {
		err = kmho_sync_user(current_euid());
		if (err)
			return err;
	}

	rec = kmho_record_alloc(current_euid(), key);
	if (!rec)
		return -ENOMEM;

	/* Nobody waits for this lock: nobody can find the record yet. */
	mutex_lock(&rec->lock);
	err = kmho_record_publish(rec);
	if (!err) {
		err = kmho_do_handover(rec, ranges, nr);
		if (err)
			kmho_record_unpublish(rec);
	}
	kmho_record_unlock(rec);
	return err;
}

static int kmho_handover(void __user *uop)
{
	struct kmho_range_handover *ranges;
	struct kmho_op_handover op;
	unsigned long i;
	int err;

	if (copy_from_user(&op, uop, sizeof(op)))
		return -EFAULT;
	ranges = kmho_copy_ranges((void __user *)op.ranges, op.num_ranges,
				  sizeof(*ranges));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);

	err = -EINVAL;
	for (i = 0; i < op.num_ranges; i++) {
		ranges[i].base = untagged_addr(ranges[i].base);
		if (kmho_range_is_bad(ranges[i].base, ranges[i].length))
			goto out_free;
	}
	sort(ranges, op.num_ranges, sizeof(*ranges), kmho_cmp_handover, NULL);
	for (i = 1; i < op.num_ranges; i++)
		if (ranges[i].base < ranges[i - 1].base + ranges[i - 1].length)
			goto out_free;

	err = kmho_enter();
	if (err)
		goto out_free;
	err = kmho_handover_ranges(op.key, ranges, op.num_ranges);
	kmho_leave();
out_free:
	kvfree(ranges);
	return err;
}

/* Are the ranges of a takeover sound, each as such and one beside the other? */
static int kmho_check_takeover(struct kmho_range_takeover *ranges,
			       unsigned long nr)
{
	struct kmho_range_takeover *r;
	unsigned long i;
	int err = -EINVAL;

	for (i = 0; i < nr; i++) {
		ranges[i].base = untagged_addr(ranges[i].base);
		ranges[i].remap_addr = untagged_addr(ranges[i].remap_addr);
		if (kmho_range_is_bad(ranges[i].base, ranges[i].len) ||
		    kmho_range_is_bad(ranges[i].remap_addr, ranges[i].len))
			return -EINVAL;
	}

	r = kvmalloc_array(nr, sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	memcpy(r, ranges, nr * sizeof(*r));

	sort(r, nr, sizeof(*r), kmho_cmp_base, NULL);
	for (i = 1; i < nr; i++)
		if (r[i].base < r[i - 1].base + r[i - 1].len)
			goto out_free;

	sort(r, nr, sizeof(*r), kmho_cmp_remap, NULL);
	for (i = 1; i < nr; i++)
		if (r[i - 1].remap_addr &&
		    r[i].remap_addr < r[i - 1].remap_addr + r[i - 1].len)
			goto out_free;
	err = 0;
out_free:
	kvfree(r);
	return err;
}

static int kmho_takeover_ranges(u64 key, struct kmho_range_takeover *ranges,
				unsigned long nr,
				struct kmho_range_takeover __user *uranges,
				bool keep)
{
	struct kmho_record *rec = kmho_record_lock(current_euid(), key);
	int err = -EBUSY;

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	if (!rec->mm)
		err = kmho_install(rec, ranges, nr, uranges, keep);
	if (!err && !rec->areas.nr_entries)
		kmho_record_unpublish(rec);
	kmho_record_unlock(rec);
	return err;
}

/* Have the places of the answers mapped, so that writing them cannot wait. */
static int kmho_fault_in_answers(const struct kmho_range_takeover *ranges,
				 unsigned long nr,
				 struct kmho_range_takeover __user *uranges)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		unsigned long __user *at = &uranges[i].remap_addr;

		if (!ranges[i].remap_addr &&
		    fault_in_writeable((char __user *)at, sizeof(*at)))
			return -EFAULT;
	}

	return 0;
}

static int kmho_do_takeover(void __user *uop, bool keep)
{
	struct kmho_range_takeover __user *uranges;
	struct kmho_range_takeover *ranges;
	struct kmho_op_takeover op;
	unsigned int tries = 10;
	int err;

	if (copy_from_user(&op, uop, sizeof(op)))
		return -EFAULT;
	uranges = (void __user *)op.ranges;
	ranges = kmho_copy_ranges(uranges, op.num_ranges, sizeof(*ranges));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	err = kmho_check_takeover(ranges, op.num_ranges);
	if (!err)
		err = kmho_fault_in_answers(ranges, op.num_ranges, uranges);
	if (err)
		goto out_free;

	do {
		err = kmho_enter();
		if (err)
			break;
		err = kmho_takeover_ranges(op.key, ranges, op.num_ranges,
					   uranges, keep);
		kmho_leave();
	} while (err == -EFAULT && --tries &&
		 !kmho_fault_in_answers(ranges, op.num_ranges, uranges));
out_free:
	kvfree(ranges);
	return err;
}

static int kmho_takeover(void __user *uop)
{
	return kmho_do_takeover(uop, false);
}

static int kmho_takeover_keep(void __user *uop)
{
	return kmho_do_takeover(uop, true);
}

/*
 * Whose record is meant? Only an administrator may name another user, whether
 * that one has such a record or not.
 */
static int kmho_owner(u32 uid, kuid_t *owner)
{
	*owner = current_euid();
	if (uid == KMHO_UID_SELF)
		return 0;

	*owner = make_kuid(current_user_ns(), uid);
	if (!uid_valid(*owner))
		return -EINVAL;
	if (!uid_eq(*owner, current_euid()) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	return 0;
}

/* Read a structure that starts with its own size. */
static int kmho_copy_op(void *op, size_t ksize, const void __user *uop,
			u32 *usize)
{
	if (get_user(*usize, (u32 __user *)uop))
		return -EFAULT;
	if (*usize > PAGE_SIZE)
		return -E2BIG;
	if (*usize < ksize)
		return -EINVAL;

	return copy_struct_from_user(op, ksize, uop, *usize);
}

static int kmho_drop_record(struct kmho_record *rec, void *arg)
{
	int err = kmho_let_go(rec, true);

	if (!err) {
		kmho_record_discard(rec);
		kmho_record_unpublish(rec);
	}
	return err;
}

static int kmho_freeze_record(struct kmho_record *rec, void *arg)
{
	return kmho_freeze(rec);
}

static int kmho_chown_record(struct kmho_record *rec, void *arg)
{
	return kmho_record_chown(rec, *(kuid_t *)arg);
}

/* Do something to a record that is named by a user and a key. */
static int kmho_with_record(u32 uid, u64 key,
			    int (*fn)(struct kmho_record *rec, void *arg),
			    void *arg)
{
	struct kmho_record *rec;
	kuid_t owner;
	int err;

	err = kmho_owner(uid, &owner);
	if (err)
		return err;
	err = kmho_enter();
	if (err)
		return err;
	rec = kmho_record_lock(owner, key);
	err = PTR_ERR_OR_ZERO(rec);
	if (!err) {
		err = fn(rec, arg);
		kmho_record_unlock(rec);
	}
	kmho_leave();
	return err;
}

/* The same for a struct kmho_op_drop */
static int kmho_with_named(const void __user *uop,
			   int (*fn)(struct kmho_record *rec, void *arg))
{
	struct kmho_op_drop op;
	u32 size;
	int err;

	err = kmho_copy_op(&op, sizeof(op), uop, &size);
	if (err)
		return err;
	if (op.flags || op.reserved)
		return -EINVAL;

	return kmho_with_record(op.uid, op.key, fn, NULL);
}

static int kmho_freeze_op(void __user *uop)
{
	return kmho_with_named(uop, kmho_freeze_record);
}

static int kmho_drop(void __user *uop)
{
	return kmho_with_named(uop, kmho_drop_record);
}

static int kmho_chown(void __user *uop)
{
	struct kmho_op_chown op;
	kuid_t from, to;
	u32 size;
	int err;

	err = kmho_copy_op(&op, sizeof(op), uop, &size);
	if (err)
		return err;
	to = make_kuid(current_user_ns(), op.new_uid);
	if (op.flags || !uid_valid(to))
		return -EINVAL;
	/* What no user is comes before who may. */
	err = kmho_owner(op.uid, &from);
	if (err)
		return err;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	return kmho_with_record(op.uid, op.key, kmho_chown_record, &to);
}

static u32 kmho_record_state(const struct kmho_record *rec)
{
	if (rec->mm && !rec->frozen)
		return KMHO_STATE_LIVE;

	return rec->incoming ? KMHO_STATE_INCOMING : KMHO_STATE_HELD;
}

static void kmho_record_describe(struct kmho_record *rec,
				 struct kmho_record_info *info)
{
	const struct kmho_area_ser *area;
	struct kmho_pos pos;

	*info = (struct kmho_record_info) {
		.key = rec->key,
		.uid = from_kuid_munged(current_user_ns(), rec->uid),
		.state = kmho_record_state(rec),
		.present = rec->nr_pages << PAGE_SHIFT,
		.metadata = ((rec->areas.nr_pages + rec->extents.nr_pages) <<
			     PAGE_SHIFT) + sizeof(struct kmho_record_ser),
		.nr_ranges = rec->areas.nr_entries,
		.nr_extents = rec->extents.nr_entries,
		.migrated = rec->nr_migrated << PAGE_SHIFT,
		.changed = kmho_record_changed(rec),
		.pid = pid_vnr(rec->pid),
	};
	for_each_kmho_entry(&rec->areas, pos, area)
		info->bytes += area->end - area->start;
	kmho_claims_describe(rec, info);
}

static void kmho_area_describe(const struct kmho_area_ser *area,
			       struct kmho_range_info *info)
{
	*info = (struct kmho_range_info) {
		.base = area->start,
		.length = area->end - area->start,
		.kind = area->kind,
	};
	if (area->flags & KMHO_AREA_READ)
		info->prot |= PROT_READ;
	if (area->flags & KMHO_AREA_WRITE)
		info->prot |= PROT_WRITE;
	if (area->flags & KMHO_AREA_EXEC)
		info->prot |= PROT_EXEC;
}

/**
 * struct kmho_answer - what a query found
 * @op:		its argument; how much there is
 * @records:	as much of it as there is room for
 * @ranges:	the same
 * @nr_records:	how many are in @records
 * @nr_ranges:	how many are in @ranges
 */
struct kmho_answer {
	struct kmho_op_query *op;
	struct kmho_record_info *records;
	struct kmho_range_info *ranges;
	u64 nr_records;
	u64 nr_ranges;
};

static int kmho_query_ranges(struct kmho_record *rec, struct kmho_answer *out)
{
	u64 room = out->op->ranges ? out->op->nr_ranges : 0;
	const struct kmho_area_ser *area;
	struct kmho_pos pos;

	room = min(room, rec->areas.nr_entries);
	out->ranges = kvcalloc(max(room, 1ULL), sizeof(*out->ranges),
			       GFP_KERNEL_ACCOUNT);
	if (!out->ranges)
		return -ENOMEM;

	for_each_kmho_entry(&rec->areas, pos, area) {
		if (out->nr_ranges == room)
			break;
		kmho_area_describe(area, &out->ranges[out->nr_ranges++]);
	}
	out->op->nr_ranges = rec->areas.nr_entries;
	return 0;
}

static int kmho_query_key(kuid_t owner, struct kmho_answer *out)
{
	struct kmho_record *rec = kmho_record_lock(owner, out->op->key);
	int err = -ENOMEM;

	if (IS_ERR(rec))
		return PTR_ERR(rec);

	out->records = kvzalloc_obj(*out->records, GFP_KERNEL_ACCOUNT);
	if (out->records) {
		kmho_record_describe(rec, out->records);
		out->nr_records = out->op->records && out->op->nr_records;
		out->op->nr_records = 1;
		err = kmho_query_ranges(rec, out);
	}
	kmho_record_unlock(rec);
	return err;
}

/* Visit the records that are listed; describe as many as there is room for. */
static int kmho_query_visit(const struct kmho_op_query *op,
			    struct kmho_record_info *infos, u64 room, u64 *found)
{
	struct kmho_record *rec = NULL;
	u64 nr = 0;

	while ((rec = kmho_record_next(rec))) {
		if (!(op->flags & KMHO_QUERY_ALL) &&
		    !uid_eq(rec->uid, current_euid()))
			continue;
		if (nr < room) {
			if (mutex_lock_killable(&rec->lock)) {
				kmho_record_put(rec);
				return -EINTR;
			}
			if (!rec->gone)
				kmho_record_describe(rec, &infos[nr]);
			else
				nr--;
			mutex_unlock(&rec->lock);
		}
		nr++;
	}

	*found = nr;
	return 0;
}

static int kmho_query_list(struct kmho_answer *out)
{
	struct kmho_op_query *op = out->op;
	u64 room = op->records ? op->nr_records : 0;
	u64 nr;
	int err;

	err = kmho_query_visit(op, NULL, 0, &nr);
	if (err)
		return err;
	room = min(room, nr);
	out->records = kvcalloc(max(room, 1ULL), sizeof(*out->records),
				GFP_KERNEL_ACCOUNT);
	if (!out->records)
		return -ENOMEM;

	op->nr_ranges = 0;
	err = kmho_query_visit(op, out->records, room, &op->nr_records);
	out->nr_records = min(room, op->nr_records);
	return err;
}

static int kmho_query_tell(const struct kmho_answer *out, void __user *uop)
{
	const struct kmho_op_query *op = out->op;

	if (copy_to_user(u64_to_user_ptr(op->records), out->records,
			 out->nr_records * sizeof(*out->records)) ||
	    copy_to_user(u64_to_user_ptr(op->ranges), out->ranges,
			 out->nr_ranges * sizeof(*out->ranges)) ||
	    copy_to_user(uop, op, sizeof(*op)))
		return -EFAULT;

	return 0;
}

static int kmho_query(void __user *uop)
{
	struct kmho_op_query op;
	struct kmho_answer out = { .op = &op };
	kuid_t owner;
	u32 size;
	int err;

	err = kmho_copy_op(&op, sizeof(op), uop, &size);
	if (err)
		return err;
	if (op.flags & ~(KMHO_QUERY_KEY | KMHO_QUERY_ALL) ||
	    op.flags == (KMHO_QUERY_KEY | KMHO_QUERY_ALL))
		return -EINVAL;
	if ((op.flags & KMHO_QUERY_ALL) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (op.flags & KMHO_QUERY_KEY) {
		err = kmho_owner(op.uid, &owner);
		if (err)
			return err;
	}

	op.abi = KMHO_ABI_VERSION;
	op.max_ranges = KMHO_MAX_RANGES;
	op.features = kmho_features();

	err = kmho_enter();
	if (err)
		return err;
	if (op.flags & KMHO_QUERY_KEY)
		err = kmho_query_key(owner, &out);
	else
		err = kmho_query_list(&out);
	kmho_leave();

	if (!err)
		err = kmho_query_tell(&out, uop);
	kvfree(out.records);
	kvfree(out.ranges);
	return err;
}

typedef int (*kmho_op_t)(void __user *op);

static const kmho_op_t kmho_ops[] = {
	[KMHO_HANDOVER] = kmho_handover,
	[KMHO_TAKEOVER] = kmho_takeover,
	[KMHO_QUERY] = kmho_query,
	[KMHO_DROP] = kmho_drop,
	[KMHO_FREEZE] = kmho_freeze_op,
	[KMHO_TAKEOVER_KEEP] = kmho_takeover_keep,
	[KMHO_CHOWN] = kmho_chown,
};

static u64 kmho_features(void)
{
	u64 features = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kmho_ops); i++)
		if (kmho_ops[i])
			features |= KMHO_FEATURE(i);

	return features;
}

/**
 * sys_kmho - hand memory over to the next kernel, and take it over there
 * @opcode:	KMHO_*
 * @op:		argument of the opcode
 *
 * Return: 0, or a negative errno; see kmho(2).
 */
SYSCALL_DEFINE2(kmho, unsigned int, opcode, void __user *, op)
{
	if (opcode >= ARRAY_SIZE(kmho_ops))
		return -EINVAL;
	opcode = array_index_nospec(opcode, ARRAY_SIZE(kmho_ops));
	if (!kmho_ops[opcode])
		return -EINVAL;
	if (!kmho_enabled)
		return -EOPNOTSUPP;

	return kmho_ops[opcode](op);
}
