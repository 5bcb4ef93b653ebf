// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records: their keys, their owners, and how long they live.
 *
 * A record is live while the address space that handed its memory over exists.
 * Such a record follows that memory: what would take pages away is refused
 * (kmho_overlaps()), and what may add or replace one is noted (__kmho_fault()),
 * at a cost that does not depend on how large the record is. When the address
 * space ends, or a kexec comes, only what was noted is looked at again.
 *
 * Locks, outermost first: kmho_sem, kmho_record.lock, the mmap lock,
 * kmho_lock.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/kmho.h>
#include <linux/mmap_lock.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/wait.h>

#include "internal.h"

DECLARE_RWSEM(kmho_sem);

/* Protects the registry: the hash, the list and kmho_record.gone */
static DEFINE_SPINLOCK(kmho_lock);
static DEFINE_HASHTABLE(kmho_hash, 10);
static LIST_HEAD(kmho_list);

/* Who completes the records for a kexec; its own faults do not wait */
static struct task_struct *kmho_sealer;
static DECLARE_WAIT_QUEUE_HEAD(kmho_unsealed);
/* The kexec is not called off any more: devices are shut down next */
static bool kmho_leaving;

static u64 kmho_hash_of(kuid_t uid, u64 key)
{
	return key ^ ((u64)__kuid_val(uid) << 32);
}

/* Called with kmho_lock held */
static struct kmho_record *kmho_record_find(kuid_t uid, u64 key)
{
	struct kmho_record *rec;

	hash_for_each_possible(kmho_hash, rec, hash, kmho_hash_of(uid, key))
		if (rec->key == key && uid_eq(rec->uid, uid))
			return rec;

	return NULL;
}

/**
 * kmho_record_alloc - make an empty record
 * @uid:	owner
 * @key:	name
 *
 * Return: the record, which nobody can find yet; NULL without memory.
 */
struct kmho_record *kmho_record_alloc(kuid_t uid, u64 key)
{
	struct kmho_record *rec;

	rec = kzalloc_obj(*rec, GFP_KERNEL_ACCOUNT);
	if (!rec)
		return NULL;

	rec->user = alloc_uid(uid);
	if (!rec->user) {
		kfree(rec);
		return NULL;
	}

	rec->uid = uid;
	rec->key = key;
	kref_init(&rec->ref);
	mutex_init(&rec->lock);
	INIT_LIST_HEAD(&rec->list);
	INIT_LIST_HEAD(&rec->in_mm);
	INIT_LIST_HEAD(&rec->ranges);
	kmho_table_init(&rec->areas, sizeof(struct kmho_area_ser));
	kmho_table_init(&rec->extents, sizeof(struct kmho_extent_ser));
	mt_init(&rec->claims);
	return rec;
}

static void kmho_record_free(struct kref *ref)
{
	struct kmho_record *rec = container_of(ref, struct kmho_record, ref);

	scoped_guard(spinlock, &kmho_lock)
		list_del(&rec->list);
	kmho_table_destroy(&rec->areas);
	kmho_table_destroy(&rec->extents);
	mtree_destroy(&rec->claims);
	free_uid(rec->user);
	/* A fault may be looking at a range of it. */
	kfree_rcu(rec, rcu);
}

/**
 * kmho_record_put - give a reference back
 * @rec:	record
 */
void kmho_record_put(struct kmho_record *rec)
{
	kref_put(&rec->ref, kmho_record_free);
}

/**
 * kmho_record_publish - put a record into the registry
 * @rec:	record; the registry takes a reference of its own
 *
 * Return: 0, or -EEXIST if its owner has one of that name.
 */
int kmho_record_publish(struct kmho_record *rec)
{
	guard(spinlock)(&kmho_lock);

	if (kmho_record_find(rec->uid, rec->key))
		return -EEXIST;

	kref_get(&rec->ref);
	hash_add(kmho_hash, &rec->hash, kmho_hash_of(rec->uid, rec->key));
	list_add_tail(&rec->list, &kmho_list);
	return 0;
}

/**
 * kmho_record_unpublish - take a record out of the registry
 * @rec:	record; its lock is held
 */
void kmho_record_unpublish(struct kmho_record *rec)
{
	scoped_guard(spinlock, &kmho_lock) {
		if (rec->gone)
			return;
		rec->gone = true;
		hash_del(&rec->hash);
	}
	kmho_record_put(rec);
}

/**
 * kmho_record_get - look a record up
 * @uid:	owner
 * @key:	name
 *
 * Return: the record with a reference for the caller, or NULL. It may be gone
 * by the time its lock is taken.
 */
struct kmho_record *kmho_record_get(kuid_t uid, u64 key)
{
	struct kmho_record *rec;

	guard(spinlock)(&kmho_lock);
	rec = kmho_record_find(uid, key);
	if (rec)
		kref_get(&rec->ref);
	return rec;
}

/**
 * kmho_record_next - walk the registry
 * @rec:	where to go on from, NULL: at the start; its reference is given
 *		back
 *
 * Return: the next record with a reference for the caller, NULL at the end.
 */
struct kmho_record *kmho_record_next(struct kmho_record *rec)
{
	struct kmho_record *next;

	scoped_guard(spinlock, &kmho_lock) {
		next = list_prepare_entry(rec, &kmho_list, list);
		list_for_each_entry_continue(next, &kmho_list, list)
			if (!next->gone && kref_get_unless_zero(&next->ref))
				break;
		if (list_entry_is_head(next, &kmho_list, list))
			next = NULL;
	}
	if (rec)
		kmho_record_put(rec);
	return next;
}

/**
 * kmho_record_chown - give a record to another user
 * @rec:	record; its lock is held
 * @uid:	new owner
 *
 * Return: 0; -EEXIST if that user has a record of that name; -ENOMEM.
 */
int kmho_record_chown(struct kmho_record *rec, kuid_t uid)
{
	struct user_struct *user = alloc_uid(uid);

	if (!user)
		return -ENOMEM;

	scoped_guard(spinlock, &kmho_lock) {
		struct kmho_record *other = kmho_record_find(uid, rec->key);

		if (other && other != rec)
			goto err_free;
		hash_del(&rec->hash);
		rec->uid = uid;
		hash_add(kmho_hash, &rec->hash, kmho_hash_of(uid, rec->key));
	}

	atomic_long_sub(rec->nr_pages, &rec->user->locked_vm);
	atomic_long_add(rec->nr_pages, &user->locked_vm);
	kmho_claims_chown(rec, user);
	free_uid(rec->user);
	rec->user = user;
	return 0;

err_free:
	free_uid(user);
	return -EEXIST;
}

/**
 * kmho_charge - count pages against a user
 * @user:	user
 * @nr_pages:	by how many the count grows; may be negative
 * @enforce:	refuse to go over RLIMIT_MEMLOCK
 *
 * Return: 0, or -EAGAIN over the limit.
 */
int kmho_charge(struct user_struct *user, long nr_pages, bool enforce)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	unsigned long locked;

	locked = atomic_long_add_return(nr_pages, &user->locked_vm);
	if (enforce && locked > limit) {
		atomic_long_sub(nr_pages, &user->locked_vm);
		return -EAGAIN;
	}

	return 0;
}

/**
 * kmho_account - count pages of a record against its owner
 * @rec:	record; its lock is held
 * @nr_pages:	by how many it grows; may be negative
 * @enforce:	refuse to go over RLIMIT_MEMLOCK
 *
 * Return: 0, or -EAGAIN over the limit.
 */
int kmho_account(struct kmho_record *rec, long nr_pages, bool enforce)
{
	int err = kmho_charge(rec->user, nr_pages, enforce);

	if (!err)
		rec->nr_pages += nr_pages;
	return err;
}

/**
 * kmho_record_keep - have KHO keep the memory of a record for the next kexec
 * @rec:	record; its lock is held, or kmho_sem for writing
 *
 * KHO has all that was collected in this kernel. What came with a kexec it is
 * only asked to keep when somebody sees to that.
 *
 * Return: 0, or a negative errno, after which it can be called again.
 */
int kmho_record_keep(struct kmho_record *rec)
{
	int err;

	if (!rec->unkept)
		return 0;
	err = kmho_preserve_again(&rec->extents);
	if (!err)
		rec->unkept = false;
	return err;
}

/**
 * kmho_record_discard - let go of all memory of a record
 * @rec:	record without an address space; its lock is held
 */
void kmho_record_discard(struct kmho_record *rec)
{
	unsigned long page, i;

	for (page = 0; page < rec->extents.nr_pages; page++) {
		struct kmho_extent_ser *ext = kmho_page_entries(&rec->extents,
								page);
		unsigned long nr = rec->extents.pages[page]->count;

		kmho_unkeep_extents(rec, ext, nr);
		for (i = 0; i < nr; i++) {
			kmho_extent_release(&ext[i]);
			cond_resched();
		}
	}
	kmho_account(rec, -rec->nr_pages, false);
	kmho_claims_drop(rec, 0, ULONG_MAX);
	kmho_table_destroy(&rec->extents);
	kmho_table_destroy(&rec->areas);
}

/**
 * kmho_record_changed - count what a kexec would have to look at
 * @rec:	record; its lock is held
 *
 * Return: the number of PMD_SIZE pieces of address space that were noted.
 */
unsigned long kmho_record_changed(struct kmho_record *rec)
{
	struct kmho_range *range;
	unsigned long nr = kmho_claims_changed(rec);

	list_for_each_entry(range, &rec->ranges, node)
		nr += bitmap_weight(range->dirty, kmho_range_nr_blocks(range));
	return nr;
}

/**
 * kmho_range_alloc - make a range that is in no tree yet
 * @rec:	its record
 * @start:	first byte
 * @end:	byte after the last
 *
 * Return: the range, or NULL without memory.
 */
struct kmho_range *kmho_range_alloc(struct kmho_record *rec,
				    unsigned long start, unsigned long end)
{
	struct kmho_range *range;
	unsigned long nr;

	range = kzalloc_obj(*range, GFP_KERNEL_ACCOUNT);
	if (!range)
		return NULL;

	range->rec = rec;
	range->start = start;
	range->end = end;
	range->dirty = &range->one;
	nr = kmho_range_nr_blocks(range);
	if (nr > KMHO_MAX_BLOCKS) {
		kfree(range);
		return NULL;
	}
	if (nr > BITS_PER_LONG) {
		range->dirty = kvcalloc(BITS_TO_LONGS(nr), sizeof(long),
					GFP_KERNEL_ACCOUNT);
		if (!range->dirty) {
			kfree(range);
			return NULL;
		}
	}
	return range;
}

/**
 * kmho_range_free - free a range that nobody can see any more
 * @rcu:	its RCU head, for call_rcu()
 */
void kmho_range_free(struct rcu_head *rcu)
{
	struct kmho_range *range = container_of(rcu, struct kmho_range, rcu);

	if (range->dirty != &range->one)
		kvfree(range->dirty);
	kfree(range);
}

/*
 * No address is as high. A walk under RCU that goes on to the next entry does
 * not stand it when the tree becomes empty meanwhile.
 */
static int kmho_tree_init(struct maple_tree *tree)
{
	mt_init_flags(tree, MT_FLAGS_USE_RCU);
	return mtree_store(tree, ULONG_MAX, xa_mk_value(0), GFP_KERNEL);
}

/**
 * kmho_tree_erase - take an entry out of a maple tree
 * @tree:	tree that takes its own lock
 * @index:	an index of the entry
 *
 * That takes a node or two, and gives memory up, which may be all that there
 * is: it may have the reserves, rather than that somebody is killed for it whose
 * memory is a record's.
 */
void kmho_tree_erase(struct maple_tree *tree, unsigned long index)
{
	unsigned int flags = memalloc_noreclaim_save();

	mtree_erase(tree, index);
	memalloc_noreclaim_restore(flags);

	/* It waits for memory in Linux 7.3, and gives up in 7.2. */
	while (unlikely(mtree_load(tree, index)))
		mtree_erase(tree, index);
}

/**
 * kmho_mm_get - what is known of an address space, made where it is not there
 * @mm:		address space; its mmap lock is held for writing
 *
 * Return: it stays as long as @mm does; NULL without memory.
 */
struct kmho_mm *kmho_mm_get(struct mm_struct *mm)
{
	struct kmho_mm *km = mm->kmho;

	if (km)
		return km;

	km = kzalloc_obj(*km, GFP_KERNEL_ACCOUNT);
	if (!km)
		return NULL;
	if (kmho_tree_init(&km->ranges) || kmho_tree_init(&km->pending)) {
		mtree_destroy(&km->ranges);
		kfree(km);
		return NULL;
	}
	INIT_LIST_HEAD(&km->records);
	/* Pairs with the loads in kmho_fault() and kmho_overlaps() */
	smp_store_release(&mm->kmho, km);
	return km;
}

/**
 * kmho_attach_mm - make a record live
 * @rec:	record without an address space; its lock is held
 * @mm:		address space; its mmap lock is held for writing
 *
 * It follows nothing yet. kmho_detach_mm() is the end of it.
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_attach_mm(struct kmho_record *rec, struct mm_struct *mm)
{
	struct kmho_mm *km = kmho_mm_get(mm);

	if (!km)
		return -ENOMEM;

	mmgrab(mm);
	rec->mm = mm;
	rec->pid = get_task_pid(current, PIDTYPE_TGID);
	rec->frozen = false;
	list_add_tail(&rec->in_mm, &km->records);
	return 0;
}

/**
 * kmho_follow - make a record follow a range of its address space
 * @rec:	live record; its lock is held, and the mmap lock for writing
 * @start:	first byte, of memory that can be handed over
 * @end:	byte after the last
 * @base:	address of @start in the record; above those of the ranges that
 *		it follows already
 *
 * Faults in the range are noted from here on.
 *
 * Return: 0; -EBUSY if a live record has a part of it; -ENOMEM.
 */
int kmho_follow(struct kmho_record *rec, unsigned long start,
		unsigned long end, unsigned long base)
{
	struct kmho_range *range = kmho_range_alloc(rec, start, end);
	int err;

	if (!range)
		return -ENOMEM;

	range->offset = base - start;
	err = mtree_insert_range(&rec->mm->kmho->ranges, start, end - 1, range,
				 GFP_KERNEL);
	if (err) {
		kmho_range_free(&range->rcu);
		return err == -EEXIST ? -EBUSY : err;
	}

	list_add_tail(&range->node, &rec->ranges);
	return 0;
}

/**
 * kmho_unfollow - make a record stop following its address space
 * @rec:	live record; its lock is held, and the mmap lock for writing
 */
void kmho_unfollow(struct kmho_record *rec)
{
	struct kmho_range *range, *tmp;

	list_for_each_entry_safe(range, tmp, &rec->ranges, node) {
		kmho_tree_erase(&rec->mm->kmho->ranges, range->start);
		list_del(&range->node);
		call_rcu(&range->rcu, kmho_range_free);
	}
}

/**
 * kmho_detach_mm - part a record from its address space for good
 * @rec:	live record; its lock is held, and the mmap lock for writing
 */
void kmho_detach_mm(struct kmho_record *rec)
{
	kmho_unfollow(rec);
	list_del_init(&rec->in_mm);
	put_pid(rec->pid);
	rec->pid = NULL;
}

/* A read of a hole maps the zero page, which a record has no use for. */
static bool kmho_fault_may_change(unsigned int flags)
{
	if (flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE))
		return true;

	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	       !transparent_hugepage_use_zero_page();
}

/**
 * kmho_must_wait - does what would change sealed memory wait?
 *
 * Return: false for the task that seals.
 */
bool kmho_must_wait(void)
{
	return current != READ_ONCE(kmho_sealer);
}

static void kmho_stay_behind(struct callback_head *unused)
{
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
}

/*
 * What waits from now on would wait for good, with all locks that its caller
 * holds, and device_shutdown() may want one of them. So the caller fails and
 * lets go of them; its task gets as far as the border to user space.
 */
static void kmho_never_return(void)
{
	struct callback_head *work;

	work = kmalloc_obj(*work, GFP_KERNEL | __GFP_NOFAIL);
	init_task_work(work, kmho_stay_behind);
	/* A task that ends has no way back. */
	if (task_work_add(current, work, TWA_RESUME))
		kfree(work);
}

/**
 * kmho_wait_unsealed - wait until a kexec did not happen
 * @may_fail:	the caller can fail
 *
 * Return: 0, maybe early; -EFAULT if the kexec happens, and the caller is to
 * fail for it: no user space sees the error.
 */
int kmho_wait_unsealed(bool may_fail)
{
	DEFINE_WAIT(wait);

	/* What works for others has no user space to keep away from. */
	if (current->flags & (PF_KTHREAD | PF_USER_WORKER))
		may_fail = false;

	prepare_to_wait(&kmho_unsealed, &wait, TASK_UNINTERRUPTIBLE);
	may_fail = may_fail && READ_ONCE(kmho_leaving);
	if (READ_ONCE(kmho_sealer) && !may_fail)
		schedule();
	finish_wait(&kmho_unsealed, &wait);
	if (!may_fail)
		return 0;

	kmho_never_return();
	return -EFAULT;
}

static int kmho_reboot(struct notifier_block *nb, unsigned long action,
		       void *data)
{
	if (READ_ONCE(kmho_sealer)) {
		WRITE_ONCE(kmho_leaving, true);
		wake_up_all(&kmho_unsealed);
	}
	return NOTIFY_DONE;
}

static struct notifier_block kmho_reboot_nb = {
	.notifier_call = kmho_reboot,
};

static int __init kmho_reboot_init(void)
{
	return register_reboot_notifier(&kmho_reboot_nb);
}
late_initcall(kmho_reboot_init);

static vm_fault_t kmho_note_fault(struct vm_area_struct *vma,
				  unsigned long address, unsigned int flags)
{
	/* A fault may fill, or replace, all that shares the page table. */
	unsigned long block = address & PMD_MASK;
	unsigned long last = block + (PMD_SIZE - 1);
	/* Pairs with kmho_mm_get() */
	struct kmho_mm *km = smp_load_acquire(&vma->vm_mm->kmho);
	struct kmho_range *range;
	bool sealed;

	/* Where memory is shared, what changes is noted in the object. */
	if (!kmho_fault_may_change(flags) || kmho_vma_is_shmem(vma))
		return 0;

again:
	sealed = false;
	scoped_guard(rcu) {
		unsigned long index = block;

		mt_for_each(&km->ranges, range, index, last) {
			unsigned long nr = kmho_range_block(range, block);

			if (READ_ONCE(range->rec->sealed))
				sealed = true;
			else if (!test_bit(nr, range->dirty))
				set_bit(nr, range->dirty);
		}
	}

	if (unlikely(sealed) && kmho_must_wait()) {
		if (kmho_wait_unsealed(true))
			return VM_FAULT_SIGBUS;
		goto again;
	}
	return 0;
}

vm_fault_t __kmho_fault(struct vm_area_struct *vma, unsigned long address,
			unsigned int flags)
{
	return kmho_pending_fault(vma, address, flags) ?:
	       kmho_note_fault(vma, address, flags);
}

bool __kmho_has_own(struct mm_struct *mm, unsigned long address)
{
	/* Pairs with kmho_mm_get() */
	struct kmho_mm *km = smp_load_acquire(&mm->kmho);
	struct kmho_range *range;

	guard(rcu)();
	range = mtree_load(&km->ranges, address);
	return range && READ_ONCE(range->collected);
}

void __kmho_zapped(struct mm_struct *mm, unsigned long start,
		   unsigned long end)
{
	/* Pairs with kmho_mm_get() */
	struct kmho_mm *km = smp_load_acquire(&mm->kmho);
	unsigned long index = start;
	struct kmho_range *range;

	guard(rcu)();
	mt_for_each(&km->ranges, range, index, end - 1) {
		unsigned long from = max(start, range->start);
		unsigned long last = min(end, range->end) - 1;
		unsigned long i;

		/* A sealed record has been completed: it stays as it is. */
		for (i = kmho_range_block(range, from);
		     i <= kmho_range_block(range, last); i++)
			set_bit(i, range->dirty);
	}
}

bool __kmho_overlaps(struct mm_struct *mm, unsigned long start,
		     unsigned long end)
{
	/* Pairs with kmho_mm_get() */
	struct kmho_mm *km = smp_load_acquire(&mm->kmho);
	unsigned long index = start;

	return start < end && mt_find(&km->ranges, &index, end - 1);
}

/*
 * The process ends, and with it its page tables: complete what was noted.
 * What was handed over must not be lost now, so there is no giving up.
 */
static void kmho_record_orphan(struct kmho_record *rec)
{
	/* Its memory cgroup may have no room for tables: they are nobody's. */
	struct mem_cgroup *old = set_active_memcg(root_mem_cgroup);
	int err;

	/* Between two tries a kexec may have completed it, and sealed it. */
	while (!rec->sealed) {
		err = kmho_sync(rec, true) ?: kmho_update_areas(rec);
		if (!err)
			break;
		if (err != -ENOMEM) {
			pr_err("key %#llx: incomplete at the end of its process: %pe\n",
			       rec->key, ERR_PTR(err));
			break;
		}
		/* The OOM reaper must get at the rest of the address space. */
		mmap_write_unlock(rec->mm);
		schedule_timeout_uninterruptible(HZ / 50 + 1);
		mmap_write_lock(rec->mm);
	}
	set_active_memcg(old);
}

void __kmho_exit_mm(struct mm_struct *mm)
{
	struct kmho_mm *km = mm->kmho;
	struct kmho_record *rec;

	kmho_pending_exit(mm);
	for (;;) {
		mmap_read_lock(mm);
		rec = list_first_entry_or_null(&km->records,
					       struct kmho_record, in_mm);
		if (rec)
			kref_get(&rec->ref);
		mmap_read_unlock(mm);
		if (!rec)
			break;

		mutex_lock(&rec->lock);
		if (rec->mm == mm) {
			mmap_write_lock(mm);
			if (!rec->frozen)
				kmho_record_orphan(rec);
			kmho_detach_mm(rec);
			mmap_write_unlock(mm);
			rec->mm = NULL;
			mmdrop(mm);
		}
		mutex_unlock(&rec->lock);
		kmho_record_put(rec);
	}
}

void __kmho_destroy_mm(struct mm_struct *mm)
{
	mtree_destroy(&mm->kmho->ranges);
	mtree_destroy(&mm->kmho->pending);
	kfree(mm->kmho);
	mm->kmho = NULL;
}

/**
 * kmho_sync_user - count what a user's live records have grown by
 * @uid:	the user
 *
 * A write to a hole of a live record never fails for RLIMIT_MEMLOCK, so it is
 * the next handover that has to know of it. A record that cannot be brought up
 * to date for another reason does not stand in the way of others.
 *
 * Return: 0; -ENOMEM; -EINTR.
 */
int kmho_sync_user(kuid_t uid)
{
	struct kmho_record *rec = NULL;
	int err;

	while ((rec = kmho_record_next(rec))) {
		if (!uid_eq(rec->uid, uid))
			continue;

		err = mutex_lock_killable(&rec->lock);
		if (!err) {
			err = kmho_claims_sync(rec);
			if (!err && rec->mm && kmho_record_changed(rec)) {
				err = mmap_write_lock_killable(rec->mm);
				if (!err) {
					err = kmho_sync(rec, false);
					mmap_write_unlock(rec->mm);
				}
			}
			mutex_unlock(&rec->lock);
		}
		if (err == -ENOMEM || err == -EINTR) {
			kmho_record_put(rec);
			return err;
		}
	}

	return 0;
}

/* The address space of a live record, with a reference; NULL; or -EINTR */
static struct mm_struct *kmho_record_mm(struct kmho_record *rec)
{
	struct mm_struct *mm = NULL;

	/* Its process may be at its end, and wait there for memory. */
	if (mutex_lock_killable(&rec->lock))
		return ERR_PTR(-EINTR);
	if (rec->mm && !rec->frozen && !rec->sealed) {
		mm = rec->mm;
		mmgrab(mm);
	}
	mutex_unlock(&rec->lock);
	return mm;
}

/*
 * Complete all records of an address space at once: as soon as one is sealed,
 * a fault may wait with the mmap lock held, so it is not to be had again.
 *
 * kmho_sem keeps operations away. The end of the address space does not take
 * it, but changes a record with the mmap lock held for writing, as this does.
 */
static int kmho_seal_mm(struct mm_struct *mm)
{
	struct kmho_record *rec;
	int err;

	err = mmap_write_lock_killable(mm);
	if (err)
		return err;

	list_for_each_entry(rec, &mm->kmho->records, in_mm) {
		if (rec->frozen)
			continue;
		err = kmho_sync(rec, false) ?: kmho_update_areas(rec);
		if (err) {
			pr_err("key %#llx cannot be completed: %pe\n",
			       rec->key, ERR_PTR(err));
			break;
		}
	}
	if (!err)
		list_for_each_entry(rec, &mm->kmho->records, in_mm)
			WRITE_ONCE(rec->sealed, true);

	mmap_write_unlock(mm);
	return err;
}

/**
 * kmho_seal - complete all records for the kexec that is about to happen
 *
 * From its success on no record changes any more: operations and faults that
 * would change one wait, until the machine is another's or kmho_unseal().
 *
 * The time it takes depends on the number of records, on the number of PMD_SIZE
 * pieces of address space in which a write faulted since their handover, and
 * lightly, by a bit each, on that of all such pieces; it does not depend on how
 * many pages are handed over. What came with a kexec and waits for somebody to
 * take it costs by the number of its extents if that kexec was a moment ago.
 *
 * Return: 0, or a negative errno, after which the kexec must not happen.
 */
int kmho_seal(void)
{
	struct kmho_record *rec = NULL;
	int err;

	if (!kmho_enabled)
		return 0;

	err = kmho_wait_ready() ?: down_write_killable(&kmho_sem);
	if (err)
		return err;

	WRITE_ONCE(kmho_sealer, current);
	while ((rec = kmho_record_next(rec))) {
		struct mm_struct *mm = kmho_record_mm(rec);

		if (!mm)
			continue;
		err = PTR_ERR_OR_ZERO(mm);
		if (!err) {
			err = kmho_seal_mm(mm);
			mmdrop(mm);
		}
		if (err) {
			kmho_record_put(rec);
			goto err_unseal;
		}
	}

	/*
	 * After the address spaces: who waits to change an object may hold an
	 * mmap lock, and completing a record may put in what waits beside it.
	 */
	kmho_pending_seal();
	err = kmho_objects_seal();
	if (!err)
		err = kmho_serialize();
	if (err)
		goto err_unseal;
	return 0;

err_unseal:
	pr_err("records cannot be completed, not rebooting: %pe\n",
	       ERR_PTR(err));
	kmho_unseal();
	return err;
}

/**
 * kmho_unseal - go on after a kexec that did not happen
 *
 * Called by the task for which kmho_seal() succeeded.
 */
void kmho_unseal(void)
{
	struct kmho_record *rec = NULL;

	if (!kmho_enabled)
		return;

	kmho_unserialize();
	while ((rec = kmho_record_next(rec)))
		WRITE_ONCE(rec->sealed, false);
	kmho_objects_unseal();
	WRITE_ONCE(kmho_sealer, NULL);
	wake_up_all(&kmho_unsealed);
	up_write(&kmho_sem);
}
