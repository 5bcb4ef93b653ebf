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
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/nospec.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "internal.h"

bool kmho_ready __read_mostly;

static u64 kmho_features(void);

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
	if (rec->gone) {
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

static int kmho_do_handover(struct kmho_record *rec,
			    const struct kmho_range_handover *ranges,
			    unsigned long nr)
{
	struct mm_struct *mm = current->mm;
	int err;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	err = kmho_attach_mm(rec, mm, ranges, nr);
	mmap_write_unlock(mm);
	if (err)
		return err;

	err = kmho_collect(rec);
	if (!err) {
		mmap_read_lock(mm);
		err = kmho_collect_areas(rec, &rec->areas);
		mmap_read_unlock(mm);
	}
	if (err) {
		kmho_let_go(rec, false);
		kmho_record_discard(rec);
	}
	return err;
}

static int kmho_handover(void __user *uop)
{
	struct kmho_range_handover *ranges;
	struct kmho_op_handover op;
	struct kmho_record *rec;
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

	err = -ENOMEM;
	rec = kmho_record_alloc(current_euid(), op.key);
	if (!rec)
		goto out_free;

	/* Nobody waits for this lock: nobody can find the record yet. */
	mutex_lock(&rec->lock);
	err = kmho_record_publish(rec);
	if (!err) {
		err = kmho_do_handover(rec, ranges, op.num_ranges);
		if (err)
			kmho_record_unpublish(rec);
	}
	kmho_record_unlock(rec);
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

static int kmho_takeover(void __user *uop)
{
	struct kmho_range_takeover __user *uranges;
	struct kmho_range_takeover *ranges;
	struct kmho_op_takeover op;
	struct kmho_record *rec;
	int err;

	if (copy_from_user(&op, uop, sizeof(op)))
		return -EFAULT;
	uranges = (void __user *)op.ranges;
	ranges = kmho_copy_ranges(uranges, op.num_ranges, sizeof(*ranges));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	err = kmho_check_takeover(ranges, op.num_ranges);
	if (err)
		goto out_free;

	rec = kmho_record_lock(current_euid(), op.key);
	if (IS_ERR(rec)) {
		err = PTR_ERR(rec);
		goto out_free;
	}
	err = -EBUSY;
	if (!rec->mm)
		err = kmho_install(rec, ranges, op.num_ranges, uranges);
	if (!err && !rec->areas.nr_entries)
		kmho_record_unpublish(rec);
	kmho_record_unlock(rec);
out_free:
	kvfree(ranges);
	return err;
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

/* The record that a struct kmho_op_drop names, with its lock held */
static struct kmho_record *kmho_record_named(const void __user *uop)
{
	struct kmho_op_drop op;
	kuid_t owner;
	u32 size;
	int err;

	err = kmho_copy_op(&op, sizeof(op), uop, &size);
	if (!err && (op.flags || op.reserved))
		err = -EINVAL;
	if (!err)
		err = kmho_owner(op.uid, &owner);
	if (err)
		return ERR_PTR(err);

	return kmho_record_lock(owner, op.key);
}

static int kmho_freeze_op(void __user *uop)
{
	struct kmho_record *rec = kmho_record_named(uop);
	int err;

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	err = kmho_freeze(rec);
	kmho_record_unlock(rec);
	return err;
}

static int kmho_drop(void __user *uop)
{
	struct kmho_record *rec = kmho_record_named(uop);
	int err;

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	err = kmho_let_go(rec, true);
	if (!err) {
		kmho_record_discard(rec);
		kmho_record_unpublish(rec);
	}
	kmho_record_unlock(rec);
	return err;
}

static int kmho_chown(void __user *uop)
{
	struct kmho_op_chown op;
	struct kmho_record *rec;
	kuid_t owner, to;
	u32 size;
	int err;

	err = kmho_copy_op(&op, sizeof(op), uop, &size);
	if (err)
		return err;
	to = make_kuid(current_user_ns(), op.new_uid);
	if (op.flags || !uid_valid(to))
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	err = kmho_owner(op.uid, &owner);
	if (err)
		return err;

	rec = kmho_record_lock(owner, op.key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	err = kmho_record_chown(rec, to);
	kmho_record_unlock(rec);
	return err;
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
}

static int kmho_query_ranges(struct kmho_record *rec, struct kmho_op_query *op)
{
	struct kmho_range_info __user *out = u64_to_user_ptr(op->ranges);
	const struct kmho_area_ser *area;
	struct kmho_pos pos;
	u64 nr = 0;

	for_each_kmho_entry(&rec->areas, pos, area) {
		struct kmho_range_info info = {
			.base = area->start,
			.length = area->end - area->start,
			.kind = area->kind,
		};

		if (area->flags & KMHO_AREA_READ)
			info.prot |= PROT_READ;
		if (area->flags & KMHO_AREA_WRITE)
			info.prot |= PROT_WRITE;
		if (area->flags & KMHO_AREA_EXEC)
			info.prot |= PROT_EXEC;
		if (out && nr < op->nr_ranges &&
		    copy_to_user(&out[nr], &info, sizeof(info)))
			return -EFAULT;
		nr++;
	}
	op->nr_ranges = nr;
	return 0;
}

/* Report one record, as the @nr-th. */
static int kmho_query_record(struct kmho_record *rec, u64 nr,
			     const struct kmho_op_query *op)
{
	struct kmho_record_info __user *out = u64_to_user_ptr(op->records);
	struct kmho_record_info info;

	if (!out || nr >= op->nr_records)
		return 0;

	kmho_record_describe(rec, &info);
	return copy_to_user(&out[nr], &info, sizeof(info)) ? -EFAULT : 0;
}

static int kmho_query_key(struct kmho_op_query *op)
{
	struct kmho_record *rec;
	kuid_t owner;
	int err;

	err = kmho_owner(op->uid, &owner);
	if (err)
		return err;

	rec = kmho_record_lock(owner, op->key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	err = kmho_query_record(rec, 0, op);
	if (!err)
		err = kmho_query_ranges(rec, op);
	op->nr_records = 1;
	kmho_record_unlock(rec);
	return err;
}

static int kmho_query_list(struct kmho_op_query *op)
{
	struct kmho_record *rec = NULL;
	u64 nr = 0;
	int err;

	while ((rec = kmho_record_next(rec))) {
		if (!(op->flags & KMHO_QUERY_ALL) &&
		    !uid_eq(rec->uid, current_euid()))
			continue;

		err = mutex_lock_killable(&rec->lock) ? -EINTR : 0;
		if (!err) {
			if (!rec->gone)
				err = kmho_query_record(rec, nr++, op);
			mutex_unlock(&rec->lock);
		}
		if (err) {
			kmho_record_put(rec);
			return err;
		}
	}
	op->nr_records = nr;
	op->nr_ranges = 0;
	return 0;
}

static int kmho_query(void __user *uop)
{
	struct kmho_op_query op;
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

	op.abi = KMHO_ABI_VERSION;
	op.max_ranges = KMHO_MAX_RANGES;
	op.features = kmho_features();
	if (op.flags & KMHO_QUERY_KEY)
		err = kmho_query_key(&op);
	else
		err = kmho_query_list(&op);
	if (err)
		return err;

	return copy_to_user(uop, &op, sizeof(op)) ? -EFAULT : 0;
}

typedef int (*kmho_op_t)(void __user *op);

static const kmho_op_t kmho_ops[] = {
	[KMHO_HANDOVER] = kmho_handover,
	[KMHO_TAKEOVER] = kmho_takeover,
	[KMHO_QUERY] = kmho_query,
	[KMHO_DROP] = kmho_drop,
	[KMHO_FREEZE] = kmho_freeze_op,
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
	int err;

	if (opcode >= ARRAY_SIZE(kmho_ops))
		return -EINVAL;
	opcode = array_index_nospec(opcode, ARRAY_SIZE(kmho_ops));
	if (!kmho_ops[opcode])
		return -EINVAL;
	if (!kmho_ready)
		return -EOPNOTSUPP;

	/* Held for writing from the moment at which a kexec is certain. */
	err = down_read_killable(&kmho_sem);
	if (err)
		return err;
	err = kmho_ops[opcode](op);
	up_read(&kmho_sem);
	return err;
}
