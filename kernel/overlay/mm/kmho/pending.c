// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that was taken over, and is put in when it is touched.
 *
 * A takeover that put every page in would take as long as there is memory, and
 * who takes over would wait for the last page before it can use the first. So
 * what came with a kexec is only promised to the address space: the extents leave
 * the record and wait here. A fault puts in the block, of PMD_SIZE, that it is in,
 * or some extents around it where the block is in many pieces; work that runs
 * beside it puts in what nobody touches; and whoever is about to look at page
 * tables, or to change them, has that done first (kmho_settle()).
 *
 * What waits counts as the address space's own: it is in its RSS, and charged to
 * its memory cgroup, so that a takeover for which there is no room fails, and
 * nothing later does.
 *
 * The bits of a range say which of its blocks are not in, or not all of them. A bit
 * is cleared when the block is in, and never set again.
 *
 * Locks: the mmap lock, then kmho_pending.lock. The list of all has a lock of its
 * own, which comes between the two.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/kmho.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "../internal.h"
#include "internal.h"

/* So many extents before a fault are put in, and as many behind it. */
#define KMHO_FAULT_AROUND	16

/* How soon what could not be put in is tried again */
#define KMHO_PENDING_RETRY	(5 * HZ)

/* When what nobody has touched is put in, in ms; tests want to see it wait */
u32 kmho_pending_delay = 100;

struct workqueue_struct *kmho_wq __ro_after_init;

static DEFINE_MUTEX(kmho_pendings_lock);
static LIST_HEAD(kmho_pendings);

static void kmho_pending_free(struct kref *ref)
{
	struct kmho_pending *p = container_of(ref, struct kmho_pending, ref);
	struct kmho_range *range, *tmp;

	list_for_each_entry_safe(range, tmp, &p->ranges, node) {
		list_del(&range->node);
		call_rcu(&range->rcu, kmho_range_free);
	}
	kmho_record_put(p->rec);
	mmdrop(p->mm);
	kfree_rcu(p, rcu);
}

static void kmho_pending_put(struct kmho_pending *p)
{
	kref_put(&p->ref, kmho_pending_free);
}

/* Take a range out of the tree, as far as no other has come over it. */
static void kmho_range_forget(struct kmho_mm *km, struct kmho_range *range)
{
	MA_STATE(mas, &km->pending, range->start, range->start);
	void *entry;

	mas_lock(&mas);
	mas_for_each(&mas, entry, range->end - 1)
		if (entry == range)
			mas_erase(&mas);
	mas_unlock(&mas);
}

/* Do something to each extent that is not in. */
static void kmho_for_pending(struct kmho_pending *p,
			     void (*fn)(const struct kmho_record *rec,
					struct kmho_extent_ser *ext))
{
	struct kmho_table *extents = &p->rec->extents;
	struct kmho_range *range;

	list_for_each_entry(range, &p->ranges, node) {
		u64 start = (u64)(range->start + range->offset) >> PAGE_SHIFT;
		u64 end = (u64)(range->end + range->offset) >> PAGE_SHIFT;
		struct kmho_extent_ser *ext;
		struct kmho_pos pos;

		pos = kmho_table_seek(extents, start << KMHO_EXTENT_NR_BITS);
		for_each_kmho_entry_from(extents, pos, ext) {
			u64 vpn = kmho_extent_vpn(ext);
			unsigned long addr;

			if (vpn >= end)
				break;
			addr = (vpn << PAGE_SHIFT) - range->offset;
			if (test_bit(kmho_range_block(range, addr),
				     range->dirty) &&
			    !(ext->what & KMHO_EXTENT_IN))
				fn(p->rec, ext);
			cond_resched();
		}
	}
}

static void kmho_let_go_of(const struct kmho_record *rec,
			   struct kmho_extent_ser *ext)
{
	kmho_unkeep_extents(rec, ext, 1);
	kmho_extent_release(ext);
}

/* The address space forgets it, and what has not been put in is freed. */
static void kmho_pending_end(struct kmho_pending *p)
{
	struct kmho_range *range;

	scoped_guard(mutex, &p->lock) {
		if (p->over)
			return;
		p->over = true;
		if (p->nr_pages)
			kmho_for_pending(p, kmho_let_go_of);
		kmho_table_destroy(&p->rec->extents);
		add_mm_counter(p->mm, MM_ANONPAGES, -(long)p->nr_pages);
		mem_cgroup_cancel_ahead(p->memcg, p->nr_pages);
	}

	list_for_each_entry(range, &p->ranges, node)
		kmho_range_forget(p->mm->kmho, range);
	scoped_guard(mutex, &kmho_pendings_lock)
		list_del(&p->node);
	kmho_pending_put(p);
}

/* The part of a range that is in one of its blocks */
static struct kmho_target kmho_part(const struct kmho_range *range,
				    unsigned long nr)
{
	unsigned long block = ((range->start >> PMD_SHIFT) + nr) << PMD_SHIFT;
	unsigned long start = max(block, range->start);
	unsigned long end = min(block + PMD_SIZE - 1, range->end - 1) + 1;

	return (struct kmho_target) {
		.base = start + range->offset,
		.end = end + range->offset,
		.addr = start,
		.made = end - start,
	};
}

/*
 * Narrow a part to some extents around an address. Not where the address is in a
 * hole: a fault there may bring a folio that is larger than the hole. And not where
 * that was done nearby before: the second fault in a block has all of it put in.
 */
static void kmho_narrow(const struct kmho_table *extents,
			struct kmho_target *part, unsigned long addr)
{
	u64 vpn = (addr - part->addr + part->base) >> PAGE_SHIFT;
	u64 start = part->base >> PAGE_SHIFT, end = part->end >> PAGE_SHIFT;
	struct kmho_pos pos, first;
	struct kmho_extent_ser *ext;
	unsigned int i;

	pos = kmho_table_seek(extents, (vpn + 1) << KMHO_EXTENT_NR_BITS);
	first = pos;
	ext = kmho_table_before(extents, &first);
	if (!ext || kmho_extent_end(ext) <= vpn)
		return;

	for (i = 0; i < KMHO_FAULT_AROUND; i++) {
		if (ext->what & KMHO_EXTENT_IN)
			return;
		vpn = kmho_extent_vpn(ext);
		ext = kmho_table_before(extents, &first);
		if (!ext || kmho_extent_vpn(ext) < start)
			break;
	}
	if (i == KMHO_FAULT_AROUND)
		start = vpn;

	for (i = 0; i < KMHO_FAULT_AROUND; i++, pos.slot++) {
		ext = kmho_table_at(extents, &pos);
		if (!ext || kmho_extent_vpn(ext) >= end)
			break;
		if (ext->what & KMHO_EXTENT_IN)
			return;
		vpn = kmho_extent_end(ext);
	}
	if (i == KMHO_FAULT_AROUND)
		end = vpn;

	part->addr += (start << PAGE_SHIFT) - part->base;
	part->base = start << PAGE_SHIFT;
	part->end = end << PAGE_SHIFT;
	part->made = part->end - part->base;
}

/*
 * Put in what waits in a block of a range; where a fault is at @addr, and that is
 * not 0, what waits around it will do.
 *
 * Returns 0, or a negative errno, and nothing is put in.
 */
static int kmho_put_in(struct kmho_range *range, unsigned long nr,
		       unsigned long addr)
{
	struct kmho_target block = kmho_part(range, nr), part = block;
	struct kmho_pending *p = range->pending;
	int err;

	mmap_assert_locked(p->mm);
	guard(mutex)(&p->lock);
	if (p->over || !test_bit(nr, range->dirty))
		return 0;

	if (addr)
		kmho_narrow(&p->rec->extents, &part, addr);
	err = kmho_install_part(p, &part);
	/* Pairs with kmho_is_in() */
	if (!err && part.made == block.made)
		clear_bit_unlock(nr, range->dirty);
	return err;
}

/* Is a block in? Whoever sees that, sees the page table as well. */
static bool kmho_is_in(const struct kmho_range *range, unsigned long nr)
{
	return !test_bit_acquire(nr, range->dirty);
}

/*
 * The first range of which something waits from *@at on and before @end; *@nr
 * becomes the block, and *@at the address behind it. The caller gets a reference
 * to what it is a range of.
 */
static struct kmho_range *kmho_next_pending(struct mm_struct *mm,
					    unsigned long *at,
					    unsigned long end,
					    unsigned long *nr)
{
	/* Pairs with kmho_mm_get() */
	struct kmho_mm *km = smp_load_acquire(&mm->kmho);
	unsigned long index = *at;
	struct kmho_range *range;

	guard(rcu)();
	mt_for_each(&km->pending, range, index, end - 1) {
		unsigned long from = max(*at, range->start);
		unsigned long last = min(end, range->end) - 1;
		unsigned long behind = kmho_range_block(range, last) + 1;
		unsigned long i = kmho_range_block(range, from);

		for_each_set_bit_from(i, range->dirty, behind) {
			if (kmho_is_in(range, i))
				continue;
			if (!kref_get_unless_zero(&range->pending->ref))
				break;
			*nr = i;
			*at = kmho_part(range, i).addr + kmho_part(range, i).made;
			return range;
		}
	}

	return NULL;
}

/*
 * Have all blocks in that reach into the addresses from @start to @end, or, of the
 * range that a fault at @addr is in, what is around that.
 */
static int kmho_settle_all(struct mm_struct *mm, unsigned long start,
			   unsigned long end, unsigned long addr)
{
	struct kmho_range *range;
	unsigned long nr;
	int err = 0;

	while (start < end &&
	       (range = kmho_next_pending(mm, &start, end, &nr))) {
		struct kmho_pending *p = range->pending;
		bool here = addr >= range->start && addr < range->end;

		err = kmho_put_in(range, nr, here ? addr : 0);
		kmho_pending_put(p);
		if (err)
			return err;
		if (!addr && fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}

	return 0;
}

int __kmho_settle(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	return kmho_settle_all(mm, start, end, 0);
}

bool __kmho_pending(struct mm_struct *mm, unsigned long start,
		    unsigned long end)
{
	unsigned long nr;
	struct kmho_range *range = kmho_next_pending(mm, &start, end, &nr);

	if (!range)
		return false;
	kmho_pending_put(range->pending);
	return true;
}

/**
 * kmho_pending_fault - have the block of a fault in
 * @vma:	mapping that faulted
 * @address:	address that faulted
 * @flags:	FAULT_FLAG_*
 *
 * Return: as kmho_fault().
 */
vm_fault_t kmho_pending_fault(struct vm_area_struct *vma, unsigned long address,
			      unsigned int flags)
{
	unsigned long block = address & PMD_MASK;
	struct mm_struct *mm = vma->vm_mm;
	int err;

	if (!__kmho_pending(mm, block, block + PMD_SIZE))
		return 0;

	/* The block may have other mappings in it, which must not change. */
	if ((flags & FAULT_FLAG_VMA_LOCK) && !mmap_read_trylock(mm)) {
		vma_end_read(vma);
		return VM_FAULT_RETRY;
	}
	err = kmho_settle_all(mm, block, block + PMD_SIZE,
			      address & PAGE_MASK);
	if (flags & FAULT_FLAG_VMA_LOCK)
		mmap_read_unlock(mm);

	switch (err) {
	case 0:
		return 0;
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return VM_FAULT_SIGBUS;
	}
}

/* Page tables are charged to whom the memory is. */
static int kmho_put_in_for(struct kmho_pending *p, struct kmho_range *range,
			   unsigned long nr)
{
	struct mem_cgroup *old = set_active_memcg(p->memcg);
	int err = kmho_put_in(range, nr, 0);

	set_active_memcg(old);
	return err;
}

/* Put in what nobody touches, a block at a time. */
static void kmho_pending_work(struct work_struct *work)
{
	struct kmho_pending *p = container_of(to_delayed_work(work),
					      struct kmho_pending, work);
	struct kmho_range *range;
	unsigned long nr, left;
	int err = 0;

	/* Its end may be the end of the address space's part in it. */
	kref_get(&p->ref);
	list_for_each_entry(range, &p->ranges, node) {
		for_each_set_bit(nr, range->dirty,
				 kmho_range_nr_blocks(range)) {
			/* Who ends the address space waits for this to end. */
			if (!READ_ONCE(p->nr_pages) ||
			    !atomic_read(&p->mm->mm_users))
				goto out_end;
			mmap_read_lock(p->mm);
			err = kmho_put_in_for(p, range, nr) ?: err;
			mmap_read_unlock(p->mm);
			cond_resched();
		}
	}
out_end:
	scoped_guard(mutex, &p->lock)
		left = p->nr_pages;
	if (!left) {
		mmap_read_lock(p->mm);
		kmho_pending_end(p);
		mmap_read_unlock(p->mm);
	} else if (err) {
		queue_delayed_work(kmho_wq, &p->work, KMHO_PENDING_RETRY);
	}
	kmho_pending_put(p);
}

/**
 * kmho_pend - get ready to put ranges in later
 * @mm:		address space; its mmap lock is held for writing
 * @targets:	the ranges; those that are @lazy are meant, and are mapped
 * @nr:		how many
 *
 * Return: without extents yet, for kmho_pend_commit() or kmho_pend_abort();
 * NULL without memory.
 */
struct kmho_pending *kmho_pend(struct mm_struct *mm,
			       struct kmho_target *targets, unsigned long nr)
{
	struct kmho_mm *km = kmho_mm_get(mm);
	struct kmho_pending *p;
	struct kmho_target *t;

	if (!km)
		return NULL;
	p = kzalloc_obj(*p, GFP_KERNEL_ACCOUNT);
	if (!p)
		return NULL;
	p->rec = kmho_record_alloc(current_euid(), 0);
	if (!p->rec) {
		kfree(p);
		return NULL;
	}

	kref_init(&p->ref);
	mutex_init(&p->lock);
	INIT_LIST_HEAD(&p->node);
	INIT_LIST_HEAD(&p->ranges);
	INIT_DELAYED_WORK(&p->work, kmho_pending_work);
	mmgrab(mm);
	p->mm = mm;

	for (t = targets; t < targets + nr; t++) {
		unsigned long end = t->addr + (t->end - t->base);
		struct kmho_range *range;

		if (!t->lazy)
			continue;
		range = kmho_range_alloc(p->rec, t->addr, end);
		if (!range)
			goto err_abort;
		range->pending = p;
		range->offset = t->base - t->addr;
		bitmap_fill(range->dirty, kmho_range_nr_blocks(range));
		list_add_tail(&range->node, &p->ranges);
		/* Of what was there before, all is in. */
		if (mtree_store_range(&km->pending, t->addr, end - 1, range,
				      GFP_KERNEL))
			goto err_abort;
	}
	scoped_guard(mutex, &kmho_pendings_lock)
		list_add_tail(&p->node, &kmho_pendings);
	return p;

err_abort:
	kmho_pend_abort(p);
	return NULL;
}

/**
 * kmho_pend_charge - count and charge what is going to be put in
 * @p:		from kmho_pend()
 * @nr_pages:	how many pages
 * @gfp:	reclaim mode
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_pend_charge(struct kmho_pending *p, unsigned long nr_pages, gfp_t gfp)
{
	int err = mem_cgroup_charge_ahead(p->mm, nr_pages, gfp, &p->memcg);

	if (err)
		return err;
	p->nr_pages = nr_pages;
	add_mm_counter(p->mm, MM_ANONPAGES, nr_pages);
	return 0;
}

/**
 * kmho_pend_abort - undo kmho_pend()
 * @p:		from kmho_pend(), without extents, or with a copy of those that
 *		the record still has
 */
void kmho_pend_abort(struct kmho_pending *p)
{
	/* The record has them still. */
	kmho_table_destroy(&p->rec->extents);
	kmho_pending_end(p);
}

/**
 * kmho_pend_commit - have ranges put in from now on
 * @p:		from kmho_pend(), with its extents
 */
void kmho_pend_commit(struct kmho_pending *p)
{
	queue_delayed_work(kmho_wq, &p->work,
			   msecs_to_jiffies(READ_ONCE(kmho_pending_delay)));
}

static void kmho_unpreserve_one(const struct kmho_record *rec,
				struct kmho_extent_ser *ext)
{
	kmho_extents_unpreserve(ext, 1);
}

/* What an address space has waiting, with a reference, or NULL */
static struct kmho_pending *kmho_any_pending(struct kmho_mm *km)
{
	struct kmho_range *range;
	unsigned long index = 0;

	guard(rcu)();
	mt_for_each(&km->pending, range, index, ULONG_MAX - 1)
		if (kref_get_unless_zero(&range->pending->ref))
			return range->pending;

	return NULL;
}

/**
 * kmho_pending_exit - free what waits in an address space that ends
 * @mm:		address space without users, not yet unmapped
 */
void kmho_pending_exit(struct mm_struct *mm)
{
	struct kmho_pending *p;

	while ((p = kmho_any_pending(mm->kmho))) {
		cancel_delayed_work_sync(&p->work);
		kmho_pending_end(p);
		kmho_pending_put(p);
	}
}

/**
 * kmho_pending_seal - have the next kernel free what nobody has touched
 *
 * It is memory of a process like any other, and does not outlive the kexec. Nobody
 * waits for that: what is put in from now on is not kept either.
 *
 * Context: no operation is under way.
 */
void kmho_pending_seal(void)
{
	struct kmho_pending *p;

	guard(mutex)(&kmho_pendings_lock);
	list_for_each_entry(p, &kmho_pendings, node) {
		guard(mutex)(&p->lock);
		if (p->over)
			continue;
		if (!p->rec->unkept)
			kmho_for_pending(p, kmho_unpreserve_one);
		kmho_table_unpreserve(&p->rec->extents);
		p->rec->unkept = true;
	}
}
