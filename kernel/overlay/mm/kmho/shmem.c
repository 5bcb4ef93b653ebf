// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that several processes share: anonymous, memfd and System V.
 *
 * Such memory is handed over as what it is, an object (a shmem file) of which
 * each record claims a part. The pages belong to the object: however many
 * records claim one, it is pinned and preserved once. What a record claims goes
 * on being shared, so nothing can be taken away from the others and nothing is
 * refused to them: a page that comes, by a fault, write(2) or fallocate(2), and
 * pages that go, by truncation or a hole that is punched, are noted by the
 * PMD_SIZE of the file, and looked at again when a kexec comes.
 *
 * An object that came with a kexec becomes a file when the first part of it is
 * taken over; every other process that takes a part maps that same file. Such a
 * one without a file is also what a record claims in place of a file when it is
 * frozen.
 *
 * Locks, outermost first: kmho_record.lock, the mmap lock, kmho_objects_lock,
 * kmho_object.lock (that of a frozen object inside that of the file's), folio
 * locks, the i_pages lock.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <kunit/visibility.h>
#include <linux/crc32.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/highmem.h>
#include <linux/interval_tree.h>
#include <linux/kexec_handover.h>
#include <linux/kmho.h>
#include <linux/leafops.h>
#include <linux/memcontrol.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "../internal.h"
#include "internal.h"

/*
 * Seals that a file keeps. With F_SEAL_FUTURE_WRITE nobody could map it again
 * as those have it mapped who mapped it before.
 */
#define KMHO_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
			 F_SEAL_WRITE | F_SEAL_EXEC)

/**
 * struct kmho_object - a shmem file of which parts are handed over
 * @ref:	each claim has one
 * @lock:	protects what follows
 * @id:		number by which areas name it; its place in kmho_objects
 * @path:	the file; empty in an object that came with the last kexec, or was
 *		frozen, and of which nobody has taken a part yet
 * @pages:	i_pages of the file; its lock protects @claims, the bits in them
 *		and @sealed against those who change the file
 * @none:	what @pages points to without a file
 * @gfp:	how the file had its pages allocated
 * @claims:	&struct kmho_claim by page offset
 * @extents:	&struct kmho_extent_ser by page offset: of an object with a file
 *		without what the bits in @claims tell of
 * @sealed:	complete for the kexec under way; who would change it waits
 * @nr_migrated: pages moved out of scratch areas for it
 * @flip:	flip a bit of it once it is sealed (CONFIG_KMHO_DEBUG)
 * @frozen:	in kmho_frozen, if it is a copy of a file
 * @dev:	file system of that file
 * @ino:	its inode number; in a file system of the kernel's own these are
 *		never used again
 * @ser:	what else crosses the kexec
 */
struct kmho_object {
	struct kref ref;
	struct mutex lock; /* see above */
	u64 id;
	struct path path;
	struct xarray *pages;
	struct xarray none;
	gfp_t gfp;
	struct rb_root_cached claims;
	struct kmho_table extents;
	bool sealed;
	u64 nr_migrated;
	bool flip;
	struct hlist_node frozen;
	dev_t dev;
	u64 ino;
	struct kmho_object_ser ser;
};

/**
 * struct kmho_claim - a part of an object that a record holds
 * @node:	page offsets, in &kmho_object.claims
 * @obj:	the object
 * @rec:	the record
 * @user:	whose RLIMIT_MEMLOCK it counts against
 * @start:	first address that it had in the record
 * @end:	address behind its last byte
 * @nr_pages:	pages that the object's extents have in it
 * @dirty:	a bit for each PMD_SIZE of the file that it touches: set when
 *		pages may have come or gone there
 * @one:	where @dirty points when one word is enough
 * @twin:	what takes its place when the record is frozen; only meanwhile
 */
struct kmho_claim {
	struct interval_tree_node node;
	struct kmho_object *obj;
	struct kmho_record *rec;
	struct user_struct *user;
	unsigned long start;
	unsigned long end;
	unsigned long nr_pages;
	unsigned long *dirty;
	unsigned long one;
	struct kmho_claim *twin;
};

/**
 * struct kmho_gather - what is known of the block that is looked at
 * @obj:	object
 * @first:	its first page
 * @ext:	extents found
 * @nr:		how many
 * @kept:	those of the last look, until the next one is over
 * @nr_kept:	how many
 * @old:	extents that the object has there already
 * @nr_old:	how many
 * @claimed:	which of its pages somebody claims
 * @migrate:	isolated folios that lie in scratch areas
 * @again:	something moved away meanwhile
 * @put_off:	something cannot be had as long as the file is so short
 * @must:	pass over what cannot be had, do not fail for it
 */
struct kmho_gather {
	struct kmho_object *obj;
	unsigned long first;
	struct kmho_extent_ser ext[PTRS_PER_PTE];
	unsigned long nr;
	struct kmho_extent_ser kept[PTRS_PER_PTE];
	unsigned long nr_kept;
	struct kmho_extent_ser old[PTRS_PER_PTE];
	unsigned long nr_old;
	DECLARE_BITMAP(claimed, PTRS_PER_PTE);
	struct list_head migrate;
	bool again;
	bool put_off;
	bool must;
};

/*
 * By id, and the highest of these; those that were frozen, by inode number, the
 * last one first. All protected by kmho_objects_lock
 */
static DEFINE_XARRAY(kmho_objects);
static u64 kmho_last_id;
static DEFINE_HASHTABLE(kmho_frozen, 8);
static DEFINE_MUTEX(kmho_objects_lock);

static u64 kmho_index_where(u64 index)
{
	return index << KMHO_EXTENT_NR_BITS;
}

static unsigned long kmho_block_of(unsigned long index)
{
	return index / PTRS_PER_PTE;
}

static struct kmho_claim *kmho_claim_of(struct interval_tree_node *node)
{
	return node ? container_of(node, struct kmho_claim, node) : NULL;
}

#define for_each_kmho_claim(obj, claim, first, last)			\
	for ((claim) = kmho_claim_of(interval_tree_iter_first(		\
				&(obj)->claims, first, last));		\
	     (claim);							\
	     (claim) = kmho_claim_of(interval_tree_iter_next(		\
				&(claim)->node, first, last)))

static unsigned long kmho_claim_bit(const struct kmho_claim *claim,
				    unsigned long block)
{
	return block - kmho_block_of(claim->node.start);
}

static unsigned long kmho_claim_nr_blocks(const struct kmho_claim *claim)
{
	return kmho_claim_bit(claim, kmho_block_of(claim->node.last)) + 1;
}

static struct inode *kmho_object_inode(const struct kmho_object *obj)
{
	return d_inode(obj->path.dentry);
}

static bool kmho_object_has_file(const struct kmho_object *obj)
{
	return obj->path.dentry;
}

/* Have pages looked at again. Called with the lock of obj->pages held. */
static bool kmho_object_note(struct kmho_object *obj, unsigned long first,
			     unsigned long last)
{
	struct kmho_claim *claim;
	bool claimed = false;

	first = round_down(first, PTRS_PER_PTE);
	last |= PTRS_PER_PTE - 1;
	for_each_kmho_claim(obj, claim, first, last) {
		unsigned long from = max(first, claim->node.start);
		unsigned long to = min(last, claim->node.last);

		from = kmho_claim_bit(claim, kmho_block_of(from));
		to = kmho_claim_bit(claim, kmho_block_of(to));
		bitmap_set(claim->dirty, from, to - from + 1);
		claimed = true;
	}

	return claimed;
}

/**
 * __kmho_note_pages - note that pages come to a file, or have gone
 * @inode:	the file's, a shmem one
 * @first:	first page
 * @last:	last page
 * @may_fail:	the caller can fail
 *
 * Waits while a kexec is under way and the file is complete for it: what
 * changes it then never completes.
 *
 * Context: i_pages lock held; it is dropped to wait, so that nothing read under
 * it before is still true.
 * Return: 0; -EFAULT as kmho_wait_unsealed().
 */
int __kmho_note_pages(struct inode *inode, pgoff_t first, pgoff_t last,
		      bool may_fail)
{
	struct address_space *mapping = inode->i_mapping;
	struct kmho_object *obj;
	int err = 0;

	while (!err && (obj = SHMEM_I(inode)->kmho) &&
	       kmho_object_note(obj, first, last) && obj->sealed &&
	       kmho_must_wait()) {
		xa_unlock_irq(&mapping->i_pages);
		err = kmho_wait_unsealed(may_fail);
		xa_lock_irq(&mapping->i_pages);
	}
	return err;
}

/**
 * __kmho_note_size - note that a file has another size
 * @inode:	the file's, a shmem one
 *
 * Waits like __kmho_note_pages().
 */
void __kmho_note_size(struct inode *inode)
{
	struct address_space *mapping = inode->i_mapping;
	struct kmho_object *obj;

	xa_lock_irq(&mapping->i_pages);
	while ((obj = SHMEM_I(inode)->kmho) && obj->sealed &&
	       kmho_must_wait()) {
		xa_unlock_irq(&mapping->i_pages);
		kmho_wait_unsealed(false);
		xa_lock_irq(&mapping->i_pages);
	}
	xa_unlock_irq(&mapping->i_pages);
}

/**
 * kmho_object_overlaps - is any of this shared memory handed over?
 * @inode:	inode of a shmem file
 * @first:	first page
 * @last:	last page
 *
 * Context: i_pages lock held.
 * Return: true if a record has a part of it.
 */
bool kmho_object_overlaps(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct kmho_object *obj = SHMEM_I(inode)->kmho;

	return unlikely(obj) &&
	       interval_tree_iter_first(&obj->claims, first, last);
}

/**
 * kmho_vma_is_shmem - is this shared memory that can be handed over?
 * @vma:	mapping
 *
 * Files that have a name in a mounted tmpfs are not: nothing would be left of
 * the name.
 *
 * Return: true if it is.
 */
bool kmho_vma_is_shmem(const struct vm_area_struct *vma)
{
	struct file *file = vma->vm_file;

	/* One that was opened for reading only has no VM_SHARED. */
	return (vma->vm_flags & VM_MAYSHARE) && file &&
	       shmem_mapping(file->f_mapping) &&
	       (file_inode(file)->i_sb->s_flags & SB_KERNMOUNT);
}

/* Pages that extents have from @first to @last */
static unsigned long kmho_count(const struct kmho_extent_ser *ext,
				unsigned long nr, u64 first, u64 last)
{
	unsigned long i, pages = 0;

	for (i = 0; i < nr; i++) {
		u64 from = max(kmho_extent_vpn(&ext[i]), first);
		u64 to = min(kmho_extent_end(&ext[i]), last + 1);

		if (from < to)
			pages += to - from;
	}

	return pages;
}

/* The first extent that reaches to a page or lies behind it */
static struct kmho_pos kmho_object_seek(struct kmho_object *obj, u64 index)
{
	struct kmho_pos pos = kmho_table_seek(&obj->extents,
					      kmho_index_where(index));
	struct kmho_pos before = pos;
	struct kmho_extent_ser *ext = kmho_table_before(&obj->extents, &before);

	return ext && kmho_extent_end(ext) > index ? before : pos;
}

static unsigned long kmho_object_count(struct kmho_object *obj, u64 first,
				       u64 last, unsigned long *nr_extents)
{
	struct kmho_pos pos = kmho_object_seek(obj, first);
	struct kmho_extent_ser *ext;
	unsigned long pages = 0;

	for_each_kmho_entry_from(&obj->extents, pos, ext) {
		if (kmho_extent_vpn(ext) > last)
			break;
		pages += kmho_count(ext, 1, first, last);
		if (nr_extents)
			++*nr_extents;
	}

	return pages;
}

static struct kmho_object *kmho_object_alloc(u64 id)
{
	struct kmho_object *obj;

	obj = kzalloc_obj(*obj, GFP_KERNEL_ACCOUNT);
	if (!obj)
		return NULL;

	obj->id = id;
	kref_init(&obj->ref);
	mutex_init(&obj->lock);
	xa_init_flags(&obj->none, XA_FLAGS_LOCK_IRQ);
	obj->pages = &obj->none;
	obj->claims = RB_ROOT_CACHED;
	kmho_table_init(&obj->extents, sizeof(struct kmho_extent_ser));
	if (xa_insert(&kmho_objects, id, obj, GFP_KERNEL_ACCOUNT)) {
		kfree(obj);
		return NULL;
	}
	kmho_last_id = id;
	return obj;
}

/*
 * Have those who change the file find the object. The pages that come from here
 * on are to stay where they are, so they are not to lie in a scratch area.
 */
static void kmho_object_bind(struct kmho_object *obj, const struct path *path)
{
	struct inode *inode = d_inode(path->dentry);

	obj->path = *path;
	path_get(&obj->path);
	obj->gfp = mapping_gfp_mask(inode->i_mapping);
	mapping_set_gfp_mask(inode->i_mapping, obj->gfp & ~__GFP_MOVABLE);
	obj->pages = &inode->i_mapping->i_pages;
	xa_lock_irq(obj->pages);
	WRITE_ONCE(SHMEM_I(inode)->kmho, obj);
	xa_unlock_irq(obj->pages);
}

/* The object of a file, made if need be, with a reference for the caller */
static struct kmho_object *kmho_object_get(const struct path *path)
{
	struct kmho_object *obj;

	guard(mutex)(&kmho_objects_lock);
	obj = SHMEM_I(d_inode(path->dentry))->kmho;
	if (obj) {
		kref_get(&obj->ref);
		return obj;
	}

	obj = kmho_object_alloc(kmho_last_id + 1);
	if (obj)
		kmho_object_bind(obj, path);
	return obj;
}

static void kmho_object_release(struct kref *ref)
{
	struct kmho_object *obj = container_of(ref, struct kmho_object, ref);
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;

	/*
	 * Claims that go may leave extents that reach beyond them. They go
	 * before another object of the same file can preserve these pages.
	 */
	for_each_kmho_entry(&obj->extents, pos, ext) {
		kmho_extents_unpreserve(ext, 1);
		kmho_extent_release(ext);
		cond_resched();
	}

	xa_erase(&kmho_objects, obj->id);
	hash_del(&obj->frozen);
	if (kmho_object_has_file(obj)) {
		xa_lock_irq(obj->pages);
		WRITE_ONCE(SHMEM_I(kmho_object_inode(obj))->kmho, NULL);
		xa_unlock_irq(obj->pages);
		mapping_set_gfp_mask(kmho_object_inode(obj)->i_mapping, obj->gfp);
	}
	mutex_unlock(&kmho_objects_lock);

	kmho_table_destroy(&obj->extents);
	path_put(&obj->path);
	kfree(obj);
}

static void kmho_object_put(struct kmho_object *obj)
{
	kref_put_mutex(&obj->ref, kmho_object_release, &kmho_objects_lock);
}

/* From a file to extents */

static void kmho_gather_add(struct kmho_gather *g, u64 index, struct page *page,
			    unsigned long nr, unsigned int order, u64 flags)
{
	if (g->nr) {
		struct kmho_extent_ser *last = &g->ext[g->nr - 1];

		if (kmho_extent_end(last) == index &&
		    kmho_extent_pfn(last) + kmho_extent_nr(last) ==
		    page_to_pfn(page) &&
		    kmho_extent_order(last) == order &&
		    page_to_nid(kmho_extent_page(last)) == page_to_nid(page)) {
			last->where += nr;
			return;
		}
	}

	g->ext[g->nr++] = kmho_extent_make(index, page_to_pfn(page), nr, order,
					   flags);
}

/* Pin what is claimed of a folio that has pages @at to @end of the block. */
static int kmho_gather_pin(struct kmho_gather *g, struct folio *folio,
			   unsigned long at, unsigned long end)
{
	unsigned long to;
	int err;

	for (at = find_next_bit(g->claimed, end, at); at < end;
	     at = find_next_bit(g->claimed, end, to)) {
		u64 index = g->first + at;
		unsigned int order = 0;

		to = find_next_zero_bit(g->claimed, end, at);
		if (to - at == folio_nr_pages(folio))
			order = folio_order(folio);
		err = try_grab_folio(folio, to - at, FOLL_PIN);
		if (err)
			return err;
		kmho_gather_add(g, index, folio_page(folio, index - folio->index),
				to - at, order, KMHO_EXTENT_PINNED);
	}

	return 0;
}

/* Called with a reference to the folio, which is locked. */
static int kmho_gather_folio(struct kmho_gather *g, struct folio *folio)
{
	unsigned long at = max(folio->index, g->first) - g->first;
	unsigned long end = min(folio_next_index(folio),
				g->first + PTRS_PER_PTE) - g->first;

	if (find_next_bit(g->claimed, end, at) >= end)
		return 0;
	/* A larger folio came in place of those that were passed already. */
	if (g->nr && g->first + at < kmho_extent_end(&g->ext[g->nr - 1])) {
		g->again = true;
		return 0;
	}
	if (folio_contain_hwpoisoned_page(folio)) {
		if (!g->must)
			return -EOPNOTSUPP;
		pr_err("object %llu: poisoned memory at page %#lx is left out\n",
		       g->obj->id, folio->index);
		return 0;
	}
	if (kho_scratch_overlap(PFN_PHYS(folio_pfn(folio)),
				folio_size(folio))) {
		if (!folio_isolate_lru(folio)) {
			g->again = true;
			return 0;
		}
		list_add_tail(&folio->lru, &g->migrate);
		node_stat_mod_folio(folio, NR_ISOLATED_ANON +
				    folio_is_file_lru(folio),
				    folio_nr_pages(folio));
		return 0;
	}

	/* It was allocated by fallocate(2), and nobody has used it yet. */
	if (!folio_test_uptodate(folio)) {
		folio_zero_range(folio, 0, folio_size(folio));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	return kmho_gather_pin(g, folio, at, end);
}

/* Bring a page in that is swapped out. Returns it locked, or an error. */
static struct folio *kmho_gather_swapped(struct kmho_gather *g,
					 unsigned long index)
{
	struct folio *folio;
	int err;

	err = shmem_get_folio(kmho_object_inode(g->obj), index, 0, &folio,
			      SGP_NOALLOC);
	/*
	 * Behind the end of the file there are nothing but zeros; but it may
	 * grow, and coming back from swap is not noted.
	 */
	if (err == -EINVAL)
		g->put_off = true;
	if (err == -EINVAL || err == -ENOENT)
		return NULL;
	if (err == -ENOMEM || !err)
		return err ? ERR_PTR(err) : folio;
	if (!g->must)
		return ERR_PTR(-EOPNOTSUPP);

	pr_err("object %llu: page %#lx cannot be read in and is left out: %pe\n",
	       g->obj->id, index, ERR_PTR(err));
	return NULL;
}

static int kmho_gather_walk(struct kmho_gather *g)
{
	struct address_space *mapping = kmho_object_inode(g->obj)->i_mapping;
	pgoff_t index = g->first, last = g->first + PTRS_PER_PTE - 1;
	pgoff_t indices[FOLIO_BATCH_SIZE];
	struct folio_batch batch;
	unsigned int i;
	int err = 0;

	folio_batch_init(&batch);
	while (!err && index <= last &&
	       find_get_entries(mapping, &index, last, &batch, indices)) {
		for (i = 0; !err && i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];
			bool swapped = xa_is_value(folio);

			if (swapped) {
				folio = kmho_gather_swapped(g, indices[i]);
				if (IS_ERR_OR_NULL(folio)) {
					err = PTR_ERR_OR_ZERO(folio);
					continue;
				}
			} else {
				folio_lock(folio);
				if (folio->mapping != mapping) {
					/* What is there in its place now? */
					folio_unlock(folio);
					index = indices[i];
					break;
				}
			}
			err = kmho_gather_folio(g, folio);
			folio_unlock(folio);
			if (swapped) {
				/* What shared its entry may have another now. */
				index = folio_next_index(folio);
				folio_put(folio);
				break;
			}
		}
		folio_batch_remove_exceptionals(&batch);
		folio_batch_release(&batch);
		cond_resched();
	}

	return err;
}

static void kmho_gather_unpin(struct kmho_gather *g)
{
	unsigned long i;

	for (i = 0; i < g->nr; i++)
		kmho_extent_unpin(&g->ext[i]);
	g->nr = 0;
}

/* Find what there is of a block and pin it; on failure nothing is pinned. */
static int kmho_gather_block(struct kmho_gather *g)
{
	/* What is read in or migrated to is not to lie in a scratch area. */
	unsigned int flags = memalloc_pin_save();
	unsigned int tries;
	bool moved;
	u64 before;
	int err;

	g->nr_kept = 0;
	for (tries = 0; tries < KMHO_TRIES; tries++) {
		g->nr = 0;
		g->again = false;
		g->put_off = false;
		err = kmho_gather_walk(g);
		kmho_extents_unhold(g->kept, g->nr_kept);
		g->nr_kept = 0;
		if (!err && !g->again && list_empty(&g->migrate))
			goto out;

		memcpy(g->kept, g->ext, g->nr * sizeof(*g->kept));
		g->nr_kept = g->nr;
		kmho_extents_hold(g->kept, g->nr_kept);
		g->nr = 0;
		before = g->obj->nr_migrated;
		if (!list_empty(&g->migrate)) {
			int ret = kmho_migrate(&g->migrate,
					       &g->obj->nr_migrated);

			err = err ?: ret;
		}
		if (err)
			goto out;
		moved = g->obj->nr_migrated != before;
		kmho_before_retry(tries, g->again || !moved, !moved);
	}
	err = -EBUSY;
out:
	kmho_extents_unhold(g->kept, g->nr_kept);
	memalloc_pin_restore(flags);
	return err;
}

/* What is claimed of a block, and what the object has there */
static void kmho_gather_load(struct kmho_gather *g)
{
	unsigned long first = g->first, last = first + PTRS_PER_PTE - 1;
	struct interval_tree_span_iter span;
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;

	bitmap_zero(g->claimed, PTRS_PER_PTE);
	interval_tree_for_each_span(&span, &g->obj->claims, first, last)
		if (!span.is_hole)
			bitmap_set(g->claimed, span.start_used - first,
				   span.last_used - span.start_used + 1);

	g->nr_old = 0;
	pos = kmho_table_seek(&g->obj->extents, kmho_index_where(first));
	for_each_kmho_entry_from(&g->obj->extents, pos, ext) {
		if (kmho_extent_vpn(ext) > last)
			break;
		g->old[g->nr_old++] = *ext;
	}
}

/* Count a block as it is now; with @enforce not beyond the limit of that one */
static int kmho_account_block(struct kmho_gather *g, struct kmho_claim *enforce)
{
	unsigned long last = g->first + PTRS_PER_PTE - 1;
	struct kmho_claim *claim;

	for_each_kmho_claim(g->obj, claim, g->first, last) {
		u64 from = claim->node.start, to = claim->node.last;
		long grown = kmho_count(g->ext, g->nr, from, to) -
			     kmho_count(g->old, g->nr_old, from, to);

		/* The one that can fail was collected last: undo the others. */
		if (kmho_charge(claim->user, grown, claim == enforce)) {
			struct kmho_claim *undo;

			for_each_kmho_claim(g->obj, undo, g->first, last) {
				if (undo == claim)
					return -EAGAIN;
				from = undo->node.start;
				to = undo->node.last;
				grown = kmho_count(g->ext, g->nr, from, to) -
					kmho_count(g->old, g->nr_old, from, to);
				kmho_charge(undo->user, -grown, false);
				undo->nr_pages -= grown;
			}
		}
		claim->nr_pages += grown;
	}

	return 0;
}

/*
 * Look at a block again and have the result replace what the object had.
 * Called with obj->lock held.
 */
static int kmho_object_sync_block(struct kmho_gather *g, unsigned long block,
				  struct kmho_claim *enforce)
{
	struct kmho_object *obj = g->obj;
	struct kmho_splice splice;
	struct kmho_claim *claim;
	unsigned long i, index, last;
	int err, ret;

	index = block * PTRS_PER_PTE;
	last = index + PTRS_PER_PTE - 1;
	g->first = index;
	g->nr = 0;

	/* What changes from here on sets the bits again. */
	xa_lock_irq(obj->pages);
	for_each_kmho_claim(obj, claim, g->first, last)
		clear_bit(kmho_claim_bit(claim, block), claim->dirty);
	xa_unlock_irq(obj->pages);

	kmho_gather_load(g);
	if (!g->nr_old && (bitmap_empty(g->claimed, PTRS_PER_PTE) ||
			   !xa_find(obj->pages, &index, last, XA_PRESENT)))
		return 0;

	err = kmho_gather_block(g);
	if (err)
		goto err_note;
	err = kmho_splice_prepare(&obj->extents, kmho_index_where(g->first),
				  kmho_index_where(last + 1), g->ext, g->nr,
				  &splice);
	if (err)
		goto err_unpin;
	err = kmho_account_block(g, enforce);
	if (err)
		goto err_abort;

	/* Old and new may have keys in KHO in common: first out, then in. */
	kmho_extents_unpreserve(g->old, g->nr_old);
	err = kmho_extents_preserve(g->ext, g->nr);
	if (err)
		goto err_preserve;

	kmho_splice_commit(&obj->extents, &splice);
	for (i = 0; i < g->nr_old; i++)
		kmho_extent_release(&g->old[i]);
	if (g->put_off)
		goto err_note;
	return 0;

err_preserve:
	/* The tree has kept the nodes for these, so they fit in again. */
	ret = kmho_extents_preserve(g->old, g->nr_old);
	WARN_ON_ONCE(ret);
	for_each_kmho_claim(obj, claim, g->first, last) {
		u64 from = claim->node.start, to = claim->node.last;
		long grown = kmho_count(g->ext, g->nr, from, to) -
			     kmho_count(g->old, g->nr_old, from, to);

		kmho_charge(claim->user, -grown, false);
		claim->nr_pages -= grown;
	}
err_abort:
	kmho_splice_abort(&splice);
err_unpin:
	kmho_gather_unpin(g);
err_note:
	xa_lock_irq(obj->pages);
	kmho_object_note(obj, g->first, last);
	xa_unlock_irq(obj->pages);
	return err;
}

static struct kmho_gather *kmho_gather_alloc(struct kmho_object *obj, bool must)
{
	struct kmho_gather *g = kvmalloc_obj(*g, GFP_KERNEL);

	if (!g)
		return NULL;

	g->obj = obj;
	g->must = must;
	INIT_LIST_HEAD(&g->migrate);
	return g;
}

/*
 * The next page that is there, or that was when somebody else claimed it: what
 * has gone since was noted in that claim only. Holes cost next to nothing.
 */
static bool kmho_object_next(struct kmho_object *obj, unsigned long *index,
			     unsigned long last)
{
	struct kmho_pos pos = kmho_object_seek(obj, *index);
	struct kmho_extent_ser *ext = kmho_table_at(&obj->extents, &pos);
	unsigned long from = *index, page = from;
	bool found = xa_find(obj->pages, &page, last, XA_PRESENT);

	if (ext && kmho_extent_vpn(ext) <= last &&
	    (!found || kmho_extent_vpn(ext) < page)) {
		page = max_t(unsigned long, kmho_extent_vpn(ext), from);
		found = true;
	}

	*index = page;
	return found;
}

/* Notes that are struck out, or copied, at a time, with interrupts off */
#define KMHO_MAX_NOTES	BIT(16)

/*
 * The next block from @i on that is to be looked at, or @nr. Where there is
 * nothing, nor was, a note is struck out. Called with obj->lock held.
 */
static unsigned long kmho_claim_next(struct kmho_claim *claim, unsigned long i,
				     unsigned long nr)
{
	unsigned long first = kmho_block_of(claim->node.start);
	struct kmho_object *obj = claim->obj;

	while ((i = find_next_bit(claim->dirty, nr, i)) < nr) {
		unsigned long end = min(nr, i + KMHO_MAX_NOTES);
		unsigned long index = max(claim->node.start,
					  (first + i) * PTRS_PER_PTE);
		unsigned long next = end;

		xa_lock_irq(obj->pages);
		if (kmho_object_next(obj, &index, claim->node.last))
			next = min(end, kmho_block_of(index) - first);
		bitmap_clear(claim->dirty, i, next - i);
		xa_unlock_irq(obj->pages);
		if (next == i)
			return i;
		i = next;
		cond_resched();
	}

	return nr;
}

/* Look again at what was noted of a claim. Called with obj->lock held. */
static int kmho_claim_sync(struct kmho_claim *claim, bool must)
{
	unsigned long nr = kmho_claim_nr_blocks(claim);
	struct kmho_object *obj = claim->obj;
	struct kmho_gather *g = NULL;
	unsigned long i;
	int err = 0;

	if (!kmho_object_has_file(obj))
		return 0;

	for (i = kmho_claim_next(claim, 0, nr); i < nr;
	     i = kmho_claim_next(claim, i + 1, nr)) {
		if (!g) {
			g = kmho_gather_alloc(obj, must);
			if (!g)
				return -ENOMEM;
		}
		err = kmho_object_sync_block(g, i +
					     kmho_block_of(claim->node.start),
					     NULL);
		if (err)
			break;
		cond_resched();
	}

	kvfree(g);
	return err;
}

/* Collect a claim, one block after the other, while everybody goes on. */
static int kmho_claim_collect(struct kmho_claim *claim, bool enforce)
{
	struct kmho_object *obj = claim->obj;
	unsigned long index = claim->node.start;
	struct kmho_gather *g;
	int err = 0;

	g = kmho_gather_alloc(obj, false);
	if (!g)
		return -ENOMEM;

	while (index <= claim->node.last) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}

		mutex_lock(&obj->lock);
		if (!kmho_object_next(obj, &index, claim->node.last)) {
			mutex_unlock(&obj->lock);
			break;
		}
		err = kmho_object_sync_block(g, kmho_block_of(index),
					     enforce ? claim : NULL);
		mutex_unlock(&obj->lock);
		if (err)
			break;
		index = (kmho_block_of(index) + 1) * PTRS_PER_PTE;
		cond_resched();
	}

	kvfree(g);
	return err;
}

/* Claims */

static struct kmho_claim *kmho_claim_alloc(struct kmho_record *rec,
					   unsigned long start,
					   unsigned long end,
					   unsigned long index)
{
	struct kmho_claim *claim;
	unsigned long nr;

	claim = kzalloc_obj(*claim, GFP_KERNEL_ACCOUNT);
	if (!claim)
		return NULL;

	claim->rec = rec;
	claim->start = start;
	claim->end = end;
	claim->node.start = index;
	claim->node.last = index + ((end - start) >> PAGE_SHIFT) - 1;
	claim->dirty = &claim->one;
	nr = kmho_claim_nr_blocks(claim);
	if (nr > KMHO_MAX_BLOCKS) {
		kfree(claim);
		return NULL;
	}
	if (nr > BITS_PER_LONG) {
		claim->dirty = kvcalloc(BITS_TO_LONGS(nr), sizeof(long),
					GFP_KERNEL_ACCOUNT);
		if (!claim->dirty) {
			kfree(claim);
			return NULL;
		}
	}
	claim->user = get_uid(rec->user);
	return claim;
}

static void kmho_claim_free(struct kmho_claim *claim)
{
	free_uid(claim->user);
	if (claim->dirty != &claim->one)
		kvfree(claim->dirty);
	kfree(claim);
}

/*
 * Put a claim among the others, unless a live update preserves the file: both
 * look under the i_pages lock. Called with obj->lock held.
 */
static int kmho_claim_insert(struct kmho_object *obj, struct kmho_claim *claim)
{
	int err = 0;

	claim->obj = obj;
	xa_lock_irq(obj->pages);
	if (kmho_object_has_file(obj) &&
	    (SHMEM_I(kmho_object_inode(obj))->flags & SHMEM_F_MAPPING_FROZEN))
		err = -EBUSY;
	else
		interval_tree_insert(&claim->node, &obj->claims);
	xa_unlock_irq(obj->pages);
	return err;
}

/* Does a record of this address space have a part of it already? */
static bool kmho_is_claimed(struct kmho_object *obj, struct mm_struct *mm,
			    const struct kmho_claim *claim)
{
	struct kmho_claim *other;

	for_each_kmho_claim(obj, other, claim->node.start, claim->node.last)
		if (other->rec != claim->rec && READ_ONCE(other->rec->mm) == mm)
			return true;

	return false;
}

/* Give a claim its object; the reference to that becomes the claim's. */
static int kmho_claim_add(struct kmho_object *obj, struct kmho_claim *claim,
			  struct mm_struct *mm, bool enforce)
{
	struct kmho_record *rec = claim->rec;
	unsigned long nr;
	int err;

	guard(mutex)(&obj->lock);
	if (mm && kmho_is_claimed(obj, mm, claim))
		return -EBUSY;

	/* Others may have collected some of it. */
	nr = kmho_object_count(obj, claim->node.start, claim->node.last, NULL);
	err = kmho_charge(claim->user, nr, enforce);
	if (err)
		return err;
	err = mtree_insert_range(&rec->claims, claim->start, claim->end - 1,
				 claim, GFP_KERNEL);
	if (err)
		goto err_uncharge;
	err = kmho_claim_insert(obj, claim);
	if (err)
		goto err_erase;
	claim->nr_pages = nr;
	return 0;

err_erase:
	kmho_tree_erase(&rec->claims, claim->start);
err_uncharge:
	kmho_charge(claim->user, -(long)nr, false);
	return err;
}

/*
 * Extents that nobody claims any more. One that reaches beyond is left to the
 * next look at its block.
 */
static void kmho_object_trim(struct kmho_object *obj, unsigned long first,
			     unsigned long last)
{
	struct kmho_table *extents = &obj->extents;
	struct kmho_pos pos = kmho_table_seek(extents, kmho_index_where(first));
	u64 end = kmho_index_where((u64)last + 1);
	struct kmho_extent_ser *ext;

	for_each_kmho_entry_from(extents, pos, ext) {
		if (kmho_extent_end(ext) > (u64)last + 1) {
			end = min(end, ext->where);
			break;
		}
		kmho_extents_unpreserve(ext, 1);
		kmho_extent_release(ext);
		cond_resched();
	}
	kmho_table_remove(extents, kmho_index_where(first), end);
}

/* Look again at the blocks in which a span ends. Can be put off. */
static void kmho_object_sync_ends(struct kmho_object *obj, unsigned long first,
				  unsigned long last)
{
	struct kmho_gather *g;

	xa_lock_irq(obj->pages);
	kmho_object_note(obj, first, first);
	kmho_object_note(obj, last, last);
	xa_unlock_irq(obj->pages);
	if (!kmho_object_has_file(obj) || RB_EMPTY_ROOT(&obj->claims.rb_root))
		return;

	g = kmho_gather_alloc(obj, true);
	if (!g)
		return;
	if (!kmho_object_sync_block(g, kmho_block_of(first), NULL) &&
	    kmho_block_of(first) != kmho_block_of(last))
		kmho_object_sync_block(g, kmho_block_of(last), NULL);
	kvfree(g);
}

/* What nobody claims of a span */
static void kmho_object_trim_span(struct kmho_object *obj, unsigned long first,
				  unsigned long last)
{
	struct interval_tree_span_iter span;

	interval_tree_for_each_span(&span, &obj->claims, first, last) {
		if (!span.is_hole)
			continue;
		kmho_object_trim(obj, span.start_hole, span.last_hole);
		kmho_object_sync_ends(obj, span.start_hole, span.last_hole);
	}
}

/* Cannot fail. */
static void kmho_claim_drop(struct kmho_claim *claim)
{
	struct kmho_object *obj = claim->obj;
	unsigned long first = claim->node.start, last = claim->node.last;

	mutex_lock(&obj->lock);
	xa_lock_irq(obj->pages);
	interval_tree_remove(&claim->node, &obj->claims);
	xa_unlock_irq(obj->pages);
	kmho_charge(claim->user, -(long)claim->nr_pages, false);
	/* Before that there may be records to come that have a part of it. */
	if (kmho_ready)
		kmho_object_trim_span(obj, first, last);
	mutex_unlock(&obj->lock);
	kmho_object_put(obj);
	kmho_claim_free(claim);
}

/**
 * kmho_claims_add - claim the shared memory in the ranges of a record
 * @rec:	record that is being attached to @mm; its lock is held
 * @mm:		address space; its mmap lock is held for writing
 *
 * Return: 0; -EBUSY if another record of @mm has a part of it; -EAGAIN over
 * RLIMIT_MEMLOCK; -EOPNOTSUPP; -ENOMEM; -EINTR if the task is killed. On failure
 * the caller drops the claims.
 */
int kmho_claims_add(struct kmho_record *rec, struct mm_struct *mm)
{
	bool enforce = !capable(CAP_IPC_LOCK);
	struct kmho_range *range;
	int err;

	list_for_each_entry(range, &rec->ranges, node) {
		VMA_ITERATOR(vmi, mm, range->start);
		struct vm_area_struct *vma;

		for_each_vma_range(vmi, vma, range->end) {
			unsigned long start = max(vma->vm_start, range->start);
			unsigned long end = min(vma->vm_end, range->end);
			unsigned long index = linear_page_index(vma, start);
			struct kmho_object *obj;
			struct kmho_claim *claim;

			if (!kmho_vma_is_shmem(vma))
				continue;
			if (fatal_signal_pending(current))
				return -EINTR;
			cond_resched();
			if (index + (end - start) / PAGE_SIZE > KMHO_INDEX_MAX)
				return -EOPNOTSUPP;
			claim = kmho_claim_alloc(rec, start, end, index);
			if (!claim)
				return -ENOMEM;
			obj = kmho_object_get(&vma->vm_file->f_path);
			err = obj ? kmho_claim_add(obj, claim, mm, enforce) :
				    -ENOMEM;
			if (err) {
				if (obj)
					kmho_object_put(obj);
				kmho_claim_free(claim);
				return err;
			}
		}
	}

	return 0;
}

#define for_each_kmho_record_claim(rec, claim, index)			\
	mt_for_each(&(rec)->claims, claim, index, ULONG_MAX)

/**
 * kmho_claims_collect - collect what a record claims
 * @rec:	record, attached to the caller's address space; its lock is held
 *
 * Return: 0; -EAGAIN over RLIMIT_MEMLOCK; -EOPNOTSUPP; -EBUSY; -ENOMEM; -EINTR
 * if the task is killed. On failure the caller drops the claims.
 */
int kmho_claims_collect(struct kmho_record *rec)
{
	struct kmho_claim *claim;
	unsigned long index = 0;
	int err;

	for_each_kmho_record_claim(rec, claim, index) {
		err = kmho_claim_collect(claim, !capable(CAP_IPC_LOCK));
		if (err)
			return err;

		/* The step at the kexec does only what changed by then. */
		guard(mutex)(&claim->obj->lock);
		kmho_table_seal(&claim->obj->extents, false);
	}

	return 0;
}

/**
 * kmho_claims_sync - look again at what was noted since the handover
 * @rec:	record; its lock is held
 *
 * Return: 0, or a negative errno, after which it can be called again.
 */
int kmho_claims_sync(struct kmho_record *rec)
{
	struct kmho_claim *claim;
	unsigned long index = 0;
	int err;

	for_each_kmho_record_claim(rec, claim, index) {
		guard(mutex)(&claim->obj->lock);
		err = kmho_claim_sync(claim, true);
		if (err)
			return err;
	}

	return 0;
}

/**
 * kmho_claims_drop - give up what a record claims from @start to @end
 * @rec:	record; its lock is held
 * @start:	first address; no claim reaches across it
 * @end:	address behind the last; no claim reaches across it
 *
 * Cannot fail.
 */
void kmho_claims_drop(struct kmho_record *rec, unsigned long start,
		      unsigned long end)
{
	struct kmho_claim *claim;
	unsigned long index = start;

	mt_for_each(&rec->claims, claim, index, end - 1) {
		kmho_tree_erase(&rec->claims, claim->start);
		kmho_claim_drop(claim);
		cond_resched();
	}
}

/**
 * kmho_claims_cut - have no claim reach across an address
 * @rec:	record; its lock is held
 * @addr:	address
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_claims_cut(struct kmho_record *rec, unsigned long addr)
{
	struct kmho_claim *claim = mtree_load(&rec->claims, addr);
	struct kmho_object *obj;
	struct kmho_claim *rest;
	unsigned long i, index, first, nr;

	if (!claim || claim->start == addr)
		return 0;

	obj = claim->obj;
	index = claim->node.start + ((addr - claim->start) >> PAGE_SHIFT);
	rest = kmho_claim_alloc(rec, addr, claim->end, index);
	if (!rest)
		return -ENOMEM;
	if (mtree_store_range(&rec->claims, addr, claim->end - 1, rest,
			      GFP_KERNEL)) {
		kmho_claim_free(rest);
		return -ENOMEM;
	}

	guard(mutex)(&obj->lock);
	kref_get(&obj->ref);
	rest->obj = obj;
	rest->nr_pages = kmho_object_count(obj, rest->node.start,
					   rest->node.last, NULL);
	claim->nr_pages -= rest->nr_pages;
	claim->end = addr;

	/* What changes from here on is noted for both. */
	xa_lock_irq(obj->pages);
	interval_tree_insert(&rest->node, &obj->claims);
	xa_unlock_irq(obj->pages);

	first = kmho_claim_bit(claim, kmho_block_of(index));
	nr = kmho_claim_nr_blocks(rest);
	for (i = 0; i < nr; i += KMHO_MAX_NOTES) {
		unsigned long bit = first + i;

		xa_lock_irq(obj->pages);
		for_each_set_bit_from(bit, claim->dirty,
				      first + min(nr, i + KMHO_MAX_NOTES))
			__set_bit(bit - first, rest->dirty);
		xa_unlock_irq(obj->pages);
		cond_resched();
	}

	xa_lock_irq(obj->pages);
	interval_tree_remove(&claim->node, &obj->claims);
	claim->node.last = index - 1;
	interval_tree_insert(&claim->node, &obj->claims);
	xa_unlock_irq(obj->pages);
	return 0;
}

/**
 * kmho_claims_chown - have another user pay for what a record claims
 * @rec:	record; its lock is held
 * @user:	the user
 */
void kmho_claims_chown(struct kmho_record *rec, struct user_struct *user)
{
	struct kmho_claim *claim;
	unsigned long index = 0;

	for_each_kmho_record_claim(rec, claim, index) {
		guard(mutex)(&claim->obj->lock);
		kmho_charge(claim->user, -(long)claim->nr_pages, false);
		free_uid(claim->user);
		claim->user = get_uid(user);
		kmho_charge(claim->user, claim->nr_pages, false);
	}
}

/**
 * kmho_claims_changed - count what a kexec would have to look at
 * @rec:	record; its lock is held
 *
 * Return: the number of PMD_SIZE pieces that were noted.
 */
unsigned long kmho_claims_changed(struct kmho_record *rec)
{
	struct kmho_claim *claim;
	unsigned long index = 0, nr = 0;

	for_each_kmho_record_claim(rec, claim, index)
		nr += bitmap_weight(claim->dirty, kmho_claim_nr_blocks(claim));
	return nr;
}

/**
 * kmho_claims_describe - add what a record claims to what is said of it
 * @rec:	record; its lock is held
 * @info:	filled in as if the record had no claims
 */
void kmho_claims_describe(struct kmho_record *rec,
			  struct kmho_record_info *info)
{
	struct kmho_claim *claim;
	unsigned long index = 0;

	for_each_kmho_record_claim(rec, claim, index) {
		struct kmho_object *obj = claim->obj;
		unsigned long nr = 0;

		guard(mutex)(&obj->lock);
		kmho_object_count(obj, claim->node.start, claim->node.last,
				  &nr);
		info->present += (u64)claim->nr_pages << PAGE_SHIFT;
		info->nr_extents += nr;
		info->metadata += sizeof(struct kmho_object_ser) +
				  nr * sizeof(struct kmho_extent_ser);
		info->migrated += obj->nr_migrated << PAGE_SHIFT;
	}
}

/**
 * kmho_claims_area - which object lies at an address, and where in it
 * @rec:	record; its lock is held
 * @start:	address
 * @area:	@object and @index are filled in
 */
void kmho_claims_area(struct kmho_record *rec, unsigned long start,
		      struct kmho_area_ser *area)
{
	struct kmho_claim *claim = mtree_load(&rec->claims, start);

	if (WARN_ON_ONCE(!claim))
		return;

	area->object = claim->obj->id;
	area->index = claim->node.start +
		      ((start - claim->start) >> PAGE_SHIFT);
}

/**
 * kmho_claims_flip - have a bit flipped of what a record shares
 * @rec:	record
 *
 * Return: false if it shares nothing.
 */
bool kmho_claims_flip(struct kmho_record *rec)
{
	struct kmho_claim *claim, *last = NULL;
	unsigned long index = 0;

	guard(mutex)(&rec->lock);
	for_each_kmho_record_claim(rec, claim, index)
		last = claim;
	if (last)
		last->obj->flip = true;
	return last;
}

/* What is true of the file now */
static void kmho_object_describe(struct kmho_object *obj,
				 struct kmho_object_ser *ser)
{
	struct inode *inode = kmho_object_inode(obj);
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct name_snapshot name;

	*ser = (struct kmho_object_ser) {
		.size = i_size_read(inode),
		.uid = from_kuid(&init_user_ns, inode->i_uid),
		.gid = from_kgid(&init_user_ns, inode->i_gid),
		.mode = inode->i_mode & S_IALLUGO,
		.seals = info->seals & KMHO_SEALS,
	};
	if (info->flags & SHMEM_F_NORESERVE)
		ser->flags |= KMHO_OBJECT_NORESERVE;
	if (IS_PRIVATE(inode))
		ser->flags |= KMHO_OBJECT_PRIVATE;
	take_dentry_name_snapshot(&name, obj->path.dentry);
	strscpy(ser->name, name.name.name);
	release_dentry_name_snapshot(&name);
}

/* Freezing */

/*
 * The newest object that was frozen of the file of another, with a reference
 * for the caller, or NULL
 */
static struct kmho_object *kmho_frozen_find(struct kmho_object *obj)
{
	struct inode *inode = kmho_object_inode(obj);
	struct kmho_object *frozen;

	guard(mutex)(&kmho_objects_lock);
	hash_for_each_possible(kmho_frozen, frozen, frozen, inode->i_ino) {
		if (frozen->dev == inode->i_sb->s_dev &&
		    frozen->ino == inode->i_ino) {
			kref_get(&frozen->ref);
			return frozen;
		}
	}

	return NULL;
}

/* An empty one, with a reference for the caller, or NULL */
static struct kmho_object *kmho_frozen_alloc(struct kmho_object *obj)
{
	struct inode *inode = kmho_object_inode(obj);
	struct kmho_object *frozen;

	guard(mutex)(&kmho_objects_lock);
	frozen = kmho_object_alloc(kmho_last_id + 1);
	if (!frozen)
		return NULL;

	frozen->dev = inode->i_sb->s_dev;
	frozen->ino = inode->i_ino;
	hash_add(kmho_frozen, &frozen->frozen, frozen->ino);
	return frozen;
}

/*
 * The first extent that has a page from *@index to @last; *@index becomes that
 * page, or the one behind @last.
 */
static struct kmho_extent_ser *kmho_object_first(struct kmho_object *obj,
						 u64 *index, u64 last)
{
	struct kmho_pos pos = kmho_object_seek(obj, *index);
	struct kmho_extent_ser *ext = kmho_table_at(&obj->extents, &pos);

	if (!ext || kmho_extent_vpn(ext) > last) {
		*index = last + 1;
		return NULL;
	}

	*index = max(*index, kmho_extent_vpn(ext));
	return ext;
}

/* The page of an extent that lies at a page offset */
static struct page *kmho_extent_at(const struct kmho_extent_ser *ext, u64 index)
{
	return kmho_extent_page(ext) + (index - kmho_extent_vpn(ext));
}

static bool kmho_page_is_zero(struct page *page)
{
	void *addr = kmap_local_page(page);
	bool zero = !memchr_inv(addr, 0, PAGE_SIZE);

	kunmap_local(addr);
	return zero;
}

/*
 * Is what a frozen object has of a claim what the file has now? What the object
 * has not and nobody claims can be added to it.
 */
static bool kmho_frozen_has(struct kmho_object *frozen,
			    struct kmho_claim *claim)
{
	u64 index = claim->node.start, last = claim->node.last;

	while (index <= last) {
		u64 now = index, then = index;
		struct kmho_extent_ser *ext, *old;
		bool same = true;

		ext = kmho_object_first(claim->obj, &now, last);
		old = kmho_object_first(frozen, &then, last);
		if (!ext && !old)
			break;
		index = min(now, then);
		if (now == then)
			same = pages_identical(kmho_extent_at(ext, index),
					       kmho_extent_at(old, index));
		else if (index == then)
			same = kmho_page_is_zero(kmho_extent_at(old, index));
		else if (interval_tree_iter_first(&frozen->claims, index, index))
			same = kmho_page_is_zero(kmho_extent_at(ext, index));
		if (!same || fatal_signal_pending(current))
			return false;
		index++;
		cond_resched();
	}

	return true;
}

static bool kmho_objects_alike(const struct kmho_object_ser *a,
			       const struct kmho_object_ser *b)
{
	return a->size == b->size && a->flags == b->flags && a->uid == b->uid &&
	       a->gid == b->gid && a->mode == b->mode && a->seals == b->seals &&
	       !strcmp(a->name, b->name);
}

/* Is all that a record claims of a file in a frozen object as it is now? */
static bool kmho_frozen_fits(struct kmho_object *frozen,
			     struct kmho_record *rec, struct kmho_object *obj,
			     const struct kmho_object_ser *now)
{
	struct kmho_claim *claim;

	/* Who has taken a part of it may have written there. */
	if (kmho_object_has_file(frozen) ||
	    RB_EMPTY_ROOT(&frozen->claims.rb_root) ||
	    !kmho_objects_alike(&frozen->ser, now))
		return false;

	for_each_kmho_claim(obj, claim, 0, ULONG_MAX)
		if (claim->rec == rec && !kmho_frozen_has(frozen, claim))
			return false;

	return true;
}

/* Copy a folio. Nobody has it mapped: who freezes pays for it. */
static struct page *kmho_frozen_copy(struct page *from, unsigned int order)
{
	gfp_t gfp = GFP_USER | __GFP_ACCOUNT;
	struct folio *folio;
	unsigned long i;

	/* Instead of a large one small ones will do. */
	gfp |= order ? __GFP_NORETRY | __GFP_NOWARN : __GFP_RETRY_MAYFAIL;
	folio = __folio_alloc_node(gfp, order, page_to_nid(from));
	if (!folio)
		return ERR_PTR(-ENOMEM);

	for (i = 0; i < 1UL << order; i++) {
		if (copy_mc_highpage(folio_page(folio, i), from + i)) {
			folio_put(folio);
			return ERR_PTR(-EIO);
		}
		cond_resched();
	}

	return &folio->page;
}

/* Put the copies that were made into a frozen object, between what it has. */
static int kmho_frozen_add(struct kmho_gather *g)
{
	struct kmho_table *extents = &g->obj->extents;
	struct kmho_splice splice;
	int err;

	if (!g->nr)
		return 0;

	err = kmho_splice_prepare(extents, g->ext[0].where,
				  kmho_index_where(kmho_extent_end(&g->ext[g->nr - 1])),
				  g->ext, g->nr, &splice);
	if (err)
		return err;
	err = kmho_extents_preserve(g->ext, g->nr);
	if (err) {
		kmho_splice_abort(&splice);
		return err;
	}

	kmho_splice_commit(extents, &splice);
	g->nr = 0;
	return 0;
}

/*
 * Up to where does a frozen object know what it has from @index on, be it
 * holes? Returns @index if it does not; then @end becomes the first page, up to
 * the one behind @last, of which it knows something again.
 */
static u64 kmho_frozen_knows(struct kmho_object *frozen, u64 index, u64 last,
			     u64 *end)
{
	struct interval_tree_node *claim;
	struct kmho_extent_ser *ext;

	claim = interval_tree_iter_first(&frozen->claims, index, last);
	if (claim && claim->start <= index)
		return (u64)claim->last + 1;

	*end = index;
	ext = kmho_object_first(frozen, end, last);
	if (ext && *end == index)
		return kmho_extent_end(ext);
	if (claim)
		*end = min_t(u64, *end, claim->start);
	return index;
}

/* Copy what a claim has, except for what the frozen object has already. */
static int kmho_frozen_fill(struct kmho_gather *g, struct kmho_claim *claim)
{
	struct kmho_object *frozen = g->obj;
	u64 index = claim->node.start, last = claim->node.last;
	struct kmho_extent_ser *ext;
	u64 end = 0, next;
	unsigned long i;
	int err = 0;

	g->nr = 0;
	while ((ext = kmho_object_first(claim->obj, &index, last))) {
		struct page *from = kmho_extent_at(ext, index), *page = NULL;
		unsigned int order = kmho_extent_order(ext);
		u64 known;

		err = -EINTR;
		if (fatal_signal_pending(current))
			goto err_free;

		/* What is added at once replaces nothing, and is in one block. */
		known = kmho_frozen_knows(frozen, index,
					  min(last, index | (PTRS_PER_PTE - 1)),
					  &next);
		if (index >= end || known > index) {
			err = kmho_frozen_add(g);
			if (err)
				goto err_free;
		}
		if (known > index) {
			index = known;
			continue;
		}
		end = next;

		/* Small ones for a part of a folio, or where none is as large */
		if (order && IS_ALIGNED(index, 1UL << order) &&
		    end - index >= 1UL << order)
			page = kmho_frozen_copy(from, order);
		if (!page || page == ERR_PTR(-ENOMEM)) {
			order = 0;
			page = kmho_frozen_copy(from, order);
		}
		if (IS_ERR(page)) {
			err = PTR_ERR(page);
			goto err_free;
		}
		kmho_gather_add(g, index, page, 1UL << order, order,
				KMHO_EXTENT_FORMED);
		index += 1UL << order;
	}

	err = kmho_frozen_add(g);
	if (!err)
		return 0;

err_free:
	for (i = 0; i < g->nr; i++)
		kmho_extent_release(&g->ext[i]);
	/* What was added on the way has no claim. */
	kmho_object_trim_span(frozen, claim->node.start, claim->node.last);
	return err;
}

/* Have a claim of a frozen object ready that can take the place of another. */
static int kmho_claim_freeze(struct kmho_gather *g, struct kmho_claim *claim)
{
	struct kmho_object *frozen = g->obj;
	struct kmho_claim *twin;
	int err;

	twin = kmho_claim_alloc(claim->rec, claim->start, claim->end,
				claim->node.start);
	if (!twin)
		return -ENOMEM;

	err = kmho_frozen_fill(g, claim);
	if (!err)
		/* Fails only for a file. */
		err = kmho_claim_insert(frozen, twin);
	if (err) {
		kmho_claim_free(twin);
		return err;
	}

	kref_get(&frozen->ref);
	twin->nr_pages = kmho_object_count(frozen, twin->node.start,
					   twin->node.last, NULL);
	kmho_charge(twin->user, twin->nr_pages, false);
	claim->twin = twin;
	return 0;
}

/*
 * Freeze all that a record claims of a file into one object.
 *
 * Returns 0, a negative errno, or -ESTALE if the object has something else.
 */
static int kmho_object_freeze_to(struct kmho_object *obj,
				 struct kmho_record *rec,
				 struct kmho_object *frozen, bool new)
{
	struct kmho_object_ser now;
	struct kmho_gather *g;
	struct kmho_claim *claim;
	int err;

	guard(mutex)(&obj->lock);
	for_each_kmho_claim(obj, claim, 0, ULONG_MAX) {
		if (claim->rec != rec)
			continue;
		err = kmho_claim_sync(claim, false);
		if (err)
			return err;
	}
	kmho_object_describe(obj, &now);

	g = kmho_gather_alloc(frozen, false);
	if (!g)
		return -ENOMEM;

	mutex_lock_nested(&frozen->lock, SINGLE_DEPTH_NESTING);
	err = 0;
	if (new)
		frozen->ser = now;
	else if (!kmho_frozen_fits(frozen, rec, obj, &now))
		err = -ESTALE;
	if (!err)
		frozen->nr_migrated = max(frozen->nr_migrated,
					  obj->nr_migrated);
	for_each_kmho_claim(obj, claim, 0, ULONG_MAX) {
		if (err)
			break;
		if (claim->rec == rec)
			err = kmho_claim_freeze(g, claim);
	}
	/* The step at the kexec has nothing left to do. */
	kmho_table_seal(&frozen->extents, false);
	mutex_unlock(&frozen->lock);
	kvfree(g);
	return err;
}

/* Can anybody but those who take the record over change what it claims? */
static bool kmho_object_is_shared(struct kmho_object *obj,
				  struct kmho_record *rec)
{
	struct kmho_claim *claim;

	guard(mutex)(&obj->lock);
	if (!kmho_object_has_file(obj))
		return false;
	/* It takes an open file to get another one. */
	if (d_count(obj->path.dentry) > 1)
		return true;
	for_each_kmho_claim(obj, claim, 0, ULONG_MAX)
		if (claim->rec != rec)
			return true;

	return false;
}

static int kmho_object_freeze(struct kmho_object *obj, struct kmho_record *rec)
{
	struct kmho_object *frozen;
	int err = -ESTALE;

	if (!kmho_object_is_shared(obj, rec))
		return 0;

	/* Whoever shared with a record that is frozen already, goes on to. */
	frozen = kmho_frozen_find(obj);
	if (frozen) {
		err = kmho_object_freeze_to(obj, rec, frozen, false);
		kmho_object_put(frozen);
	}
	if (err != -ESTALE)
		return err;

	frozen = kmho_frozen_alloc(obj);
	if (!frozen)
		return -ENOMEM;
	err = kmho_object_freeze_to(obj, rec, frozen, true);
	kmho_object_put(frozen);
	return err;
}

/**
 * kmho_claims_freeze - copy what a record claims of files that others have
 * @rec:	record; its lock is held
 *
 * The record goes on claiming the files until kmho_claims_frozen(), or
 * kmho_claims_thaw() undoes it.
 *
 * Return: 0; -ENOMEM; -EIO if a page cannot be read; -EOPNOTSUPP if one that
 * came after the handover is poisoned; -EBUSY; -EINTR if the task is killed. On
 * failure there is nothing to undo.
 */
int kmho_claims_freeze(struct kmho_record *rec)
{
	struct kmho_object *last = NULL;
	struct kmho_claim *claim;
	unsigned long index = 0;
	int err;

	for_each_kmho_record_claim(rec, claim, index) {
		/* One object is copied at one moment, for all its claims. */
		if (claim->twin || claim->obj == last)
			continue;
		last = claim->obj;
		err = kmho_object_freeze(last, rec);
		if (err) {
			kmho_claims_thaw(rec);
			return err;
		}
		cond_resched();
	}

	return 0;
}

/**
 * kmho_claims_thaw - undo kmho_claims_freeze()
 * @rec:	record; its lock is held
 */
void kmho_claims_thaw(struct kmho_record *rec)
{
	struct kmho_claim *claim;
	unsigned long index = 0;

	for_each_kmho_record_claim(rec, claim, index) {
		if (claim->twin)
			kmho_claim_drop(claim->twin);
		claim->twin = NULL;
	}
}

/**
 * kmho_claims_frozen - have the copies take the place of the files
 * @rec:	record for which kmho_claims_freeze() succeeded; its lock is held
 *
 * Cannot fail.
 */
void kmho_claims_frozen(struct kmho_record *rec)
{
	struct kmho_area_ser *area;
	struct kmho_claim *claim;
	unsigned long index = 0;
	struct kmho_pos pos;
	bool any = false;

	for_each_kmho_record_claim(rec, claim, index) {
		if (!claim->twin)
			continue;
		any = true;
		/* Nothing is allocated to replace one by one as large. */
		mtree_store_range(&rec->claims, claim->start, claim->end - 1,
				  claim->twin, GFP_KERNEL | __GFP_NOFAIL);
		kmho_claim_drop(claim);
		cond_resched();
	}
	if (!any)
		return;

	for_each_kmho_entry(&rec->areas, pos, area) {
		if (area->kind != KMHO_KIND_SHMEM)
			continue;
		kmho_table_touch(&rec->areas, pos);
		kmho_claims_area(rec, area->start, area);
	}
}

/* From extents to a file */

static void kmho_fill_undo(struct inode *inode, struct folio *folio)
{
	folio_lock(folio);
	filemap_remove_folio(folio);
	folio_unlock(folio);
	shmem_recalc_inode(inode, 0, 0);
	mem_cgroup_uncharge(folio);
}

static int kmho_fill_folio(struct inode *inode, struct folio *folio,
			   unsigned long index)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t end = round_up(i_size_read(inode), PAGE_SIZE);
	loff_t pos = (loff_t)index << PAGE_SHIFT;
	unsigned long nr = folio_nr_pages(folio);
	int err;

	/* The kexec may have come in the middle of a truncation. */
	if (pos + folio_size(folio) > end)
		folio_zero_segment(folio, max(end, pos) - pos,
				   folio_size(folio));
	__folio_set_locked(folio);
	__folio_set_swapbacked(folio);
	__folio_mark_uptodate(folio);
	/* It may be charged to who froze it. */
	mem_cgroup_uncharge(folio);
	err = mem_cgroup_charge(folio, current->mm,
				GFP_KERNEL | __GFP_RETRY_MAYFAIL);
	if (err)
		goto err_unlock;
	err = shmem_add_to_page_cache(folio, mapping, index, NULL, GFP_KERNEL);
	if (err)
		goto err_uncharge;
	if (shmem_inode_acct_blocks(inode, nr)) {
		err = -ENOMEM;
		goto err_remove;
	}
	shmem_recalc_inode(inode, nr, 0);
	folio_unlock(folio);
	return 0;

err_remove:
	filemap_remove_folio(folio);
err_uncharge:
	mem_cgroup_uncharge(folio);
err_unlock:
	folio_unlock(folio);
	return err;
}

#define for_each_kmho_extent_folio(ext, folio, i)			\
	for ((i) = 0; (i) < kmho_extent_nr(ext) &&			\
	     ((folio) = page_folio(kmho_extent_page(ext) + (i)));	\
	     (i) += 1UL << kmho_extent_order(ext))

/* Put the folios of an object into a file that has none, or leave it so. */
static int kmho_fill_file(struct kmho_object *obj, struct inode *inode)
{
	struct kmho_pos pos;
	struct kmho_extent_ser *ext;
	unsigned long i, done = 0;
	struct folio *folio;
	int err;

	for_each_kmho_entry(&obj->extents, pos, ext) {
		kmho_table_touch(&obj->extents, pos);
		err = kmho_extent_form(ext);
		if (err)
			return err;
		cond_resched();
	}
	for_each_kmho_entry(&obj->extents, pos, ext) {
		for_each_kmho_extent_folio(ext, folio, i) {
			err = kmho_fill_folio(inode, folio,
					      kmho_extent_vpn(ext) + i);
			if (err)
				goto err_undo;
			done++;
		}
		cond_resched();
	}

	/* Nothing fails from here on. */
	for_each_kmho_entry(&obj->extents, pos, ext) {
		for_each_kmho_extent_folio(ext, folio, i) {
			folio_mark_dirty(folio);
			folio_add_lru(folio);
		}
		kmho_extent_pin(ext, true);
		cond_resched();
	}
	return 0;

err_undo:
	for_each_kmho_entry(&obj->extents, pos, ext) {
		for_each_kmho_extent_folio(ext, folio, i) {
			if (!done--)
				return err;
			kmho_fill_undo(inode, folio);
		}
	}
	return err;
}

/* Make an object that came with the last kexec a file again. */
static int kmho_object_fill(struct kmho_object *obj)
{
	const struct kmho_object_ser *ser = &obj->ser;
	vma_flags_t flags = EMPTY_VMA_FLAGS;
	struct inode *inode;
	struct file *file;
	int err;

	if (ser->flags & KMHO_OBJECT_NORESERVE)
		vma_flags_set(&flags, VMA_NORESERVE_BIT);
	if (ser->flags & KMHO_OBJECT_PRIVATE)
		file = shmem_kernel_file_setup(ser->name, ser->size, flags);
	else
		file = shmem_file_setup(ser->name, ser->size, flags);
	/* There is no device that could be full. */
	if (file == ERR_PTR(-ENOSPC))
		return -ENOMEM;
	if (IS_ERR(file))
		return PTR_ERR(file);

	inode = file_inode(file);
	inode->i_uid = make_kuid(&init_user_ns, ser->uid);
	inode->i_gid = make_kgid(&init_user_ns, ser->gid);
	inode->i_mode = S_IFREG | ser->mode;
	err = kmho_fill_file(obj, inode);
	if (!err) {
		SHMEM_I(inode)->seals = ser->seals;
		kmho_object_bind(obj, &file->f_path);
	}
	fput(file);
	return err;
}

/**
 * kmho_shmem_open - open the shared memory of an area
 * @rec:	record; its lock is held
 * @area:	area of it
 *
 * Return: a file that can be mapped, or an error.
 */
struct file *kmho_shmem_open(struct kmho_record *rec,
			     const struct kmho_area_ser *area)
{
	struct kmho_claim *claim = mtree_load(&rec->claims, area->start);
	struct kmho_object *obj;
	int flags = O_LARGEFILE;
	int err;

	if (WARN_ON_ONCE(!claim))
		return ERR_PTR(-EIO);

	obj = claim->obj;
	scoped_guard(mutex, &obj->lock) {
		err = 0;
		if (!kmho_object_has_file(obj))
			err = kmho_object_fill(obj);
		if (err)
			return ERR_PTR(err);
	}

	flags |= area->flags & KMHO_AREA_MAYWRITE ? O_RDWR : O_RDONLY;
	return dentry_open(&obj->path, flags, current_cred());
}

/* What crosses the kexec */

/**
 * kmho_objects_seal - complete all objects for the kexec that is about to happen
 *
 * From here on who would change one waits. Nobody who waits holds the lock of a
 * folio that is in the object.
 *
 * Context: kmho_sem held for writing, all address spaces sealed.
 * Return: 0, or a negative errno; kmho_objects_unseal() undoes it in any case.
 */
int kmho_objects_seal(void)
{
	struct kmho_object *obj;
	struct kmho_claim *claim;
	unsigned long id;
	int err;

	guard(mutex)(&kmho_objects_lock);
	xa_for_each(&kmho_objects, id, obj) {
		guard(mutex)(&obj->lock);
		if (!kmho_object_has_file(obj))
			continue;
		xa_lock_irq(obj->pages);
		WRITE_ONCE(obj->sealed, true);
		xa_unlock_irq(obj->pages);
		for_each_kmho_claim(obj, claim, 0, ULONG_MAX) {
			err = kmho_claim_sync(claim, true);
			if (err) {
				pr_err("key %#llx cannot be completed: %pe\n",
				       claim->rec->key, ERR_PTR(err));
				return err;
			}
		}
	}

	return 0;
}

/**
 * kmho_objects_unseal - go on after a kexec that did not happen
 */
void kmho_objects_unseal(void)
{
	struct kmho_object *obj;
	unsigned long id;

	guard(mutex)(&kmho_objects_lock);
	xa_for_each(&kmho_objects, id, obj) {
		xa_lock_irq(obj->pages);
		WRITE_ONCE(obj->sealed, false);
		xa_unlock_irq(obj->pages);
	}
}

VISIBLE_IF_KUNIT u32 kmho_object_crc(const struct kmho_object_ser *ser)
{
	const size_t at = offsetof(struct kmho_object_ser, crc);
	const __u32 none = 0;
	u32 crc;

	crc = crc32c(~0, ser, at);
	crc = crc32c(crc, &none, sizeof(none));
	return crc32c(crc, (u8 *)ser + at + sizeof(none),
		      sizeof(*ser) - at - sizeof(none));
}

/**
 * kmho_objects_write - write down all objects for the next kernel
 * @table:	table of &struct kmho_object_ser that is written to
 *
 * Context: kmho_sem held for writing, all objects complete.
 * Return: 0, or -ENOMEM.
 */
int kmho_objects_write(struct kmho_table *table)
{
	struct kmho_object *obj;
	struct kmho_object_ser *ser;
	unsigned long id;
	int err;

	guard(mutex)(&kmho_objects_lock);
	xa_for_each(&kmho_objects, id, obj) {
		guard(mutex)(&obj->lock);
		ser = &obj->ser;
		if (kmho_object_has_file(obj))
			kmho_object_describe(obj, ser);
		ser->id = obj->id;
		ser->nr_migrated = obj->nr_migrated;
		ser->nr_pages = kmho_object_count(obj, 0, U64_MAX - 1, NULL);
		kmho_table_seal(&obj->extents, false);
		ser->nr_extents = obj->extents.nr_entries;
		ser->extents = kmho_table_phys(&obj->extents);
		ser->crc = kmho_object_crc(ser);
		/* A bit that only the checksum can know of: the first page's place */
		if (IS_ENABLED(CONFIG_KMHO_DEBUG) && obj->flip && ser->extents) {
			struct kmho_pos pos = { };
			struct kmho_extent_ser *ext;

			ext = kmho_table_at(&obj->extents, &pos);
			ext->where ^= KMHO_EXTENT_NR_MAX;
		}
		err = kmho_list_table(&obj->extents, KMHO_LIST_EXTENTS);
		if (!err)
			err = kmho_table_append(table, ser);
		if (err)
			return err;
	}

	return 0;
}

VISIBLE_IF_KUNIT bool kmho_object_is_sane(const struct kmho_object_ser *ser)
{
	return ser->id && ser->id <= S64_MAX &&
	       ser->size <= MAX_LFS_FILESIZE &&
	       !(ser->flags & ~KMHO_OBJECT_FLAGS) &&
	       !(ser->mode & ~S_IALLUGO) && !(ser->seals & ~KMHO_SEALS) &&
	       uid_valid(make_kuid(&init_user_ns, ser->uid)) &&
	       gid_valid(make_kgid(&init_user_ns, ser->gid)) &&
	       ser->name[0] && !ser->name[KMHO_OBJECT_NAME_MAX - 1];
}

VISIBLE_IF_KUNIT int kmho_check_object_extents(struct kmho_table *extents,
					       u64 nr_pages)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	u64 at = 0, nr = 0;

	for_each_kmho_entry(extents, pos, ext) {
		if (!pos.slot)
			cond_resched();
		if (ext->what & KMHO_EXTENT_LOCAL) {
			ext->what &= ~KMHO_EXTENT_LOCAL;
			kmho_table_touch(extents, pos);
		}
		if (kmho_extent_vpn(ext) < at ||
		    (ext->what & KMHO_EXTENT_FLAGS) ||
		    !kmho_extent_is_sane(ext) ||
		    kmho_extent_end(ext) > KMHO_INDEX_MAX ||
		    !IS_ALIGNED(kmho_extent_vpn(ext),
				1UL << kmho_extent_order(ext)))
			return -EINVAL;
		at = kmho_extent_end(ext);
		nr += kmho_extent_nr(ext);
	}

	return nr == nr_pages ? 0 : -EINVAL;
}

static int kmho_object_read(const struct kmho_object_ser *ser)
{
	struct kmho_object *obj;
	int err;

	if (ser->crc != kmho_object_crc(ser))
		return -EBADMSG;
	/* Numbers go up. */
	if (!kmho_object_is_sane(ser) || ser->id <= kmho_last_id)
		return -EINVAL;

	obj = kmho_object_alloc(ser->id);
	if (!obj)
		return -ENOMEM;

	obj->ser = *ser;
	obj->nr_migrated = ser->nr_migrated;
	err = kmho_table_load(&obj->extents, ser->extents, ser->nr_extents,
			      false);
	if (!err)
		err = kmho_check_object_extents(&obj->extents, ser->nr_pages);
	if (!err)
		err = kmho_preserve_again(&obj->extents);
	if (err) {
		/* Its memory stays with KHO, out of use. */
		kmho_table_destroy(&obj->extents);
		xa_erase(&kmho_objects, obj->id);
		kfree(obj);
	}
	return err;
}

/**
 * kmho_objects_read - take in the objects that the last kernel left
 * @table:	table of &struct kmho_object_ser
 *
 * Objects have a reference afterwards that kmho_objects_settle() gives back.
 */
void kmho_objects_read(const struct kmho_table *table)
{
	const struct kmho_object_ser *ser;
	struct kmho_pos pos;
	int err;

	guard(mutex)(&kmho_objects_lock);
	for_each_kmho_entry(table, pos, ser) {
		err = kmho_object_read(ser);
		if (err)
			pr_err("object %llu refused, its memory stays unused: %pe\n",
			       ser->id, ERR_PTR(err));
	}
}

/**
 * kmho_objects_settle - all records are there: free what none of them claims
 */
void kmho_objects_settle(void)
{
	struct kmho_object *obj;
	unsigned long id;

	/* Nobody else is here yet. */
	xa_for_each(&kmho_objects, id, obj) {
		if (RB_EMPTY_ROOT(&obj->claims.rb_root))
			pr_err("object %llu is freed, no record has a part of it\n",
			       obj->id);
		kmho_object_trim_span(obj, 0, KMHO_INDEX_MAX - 1);
		kmho_object_put(obj);
	}
}

static struct kmho_object *kmho_object_find(u64 id)
{
	struct kmho_object *obj;

	guard(mutex)(&kmho_objects_lock);
	obj = xa_load(&kmho_objects, id);
	if (obj)
		kref_get(&obj->ref);
	return obj;
}

/**
 * kmho_claims_read - claim what a record of the last kernel did
 * @rec:	the record, with sound areas
 *
 * Return: 0; -ENOENT if it names an object that is not there; -ENOMEM. On
 * failure the record has no claims.
 */
int kmho_claims_read(struct kmho_record *rec)
{
	const struct kmho_area_ser *area;
	struct kmho_pos pos;
	int err = 0;

	for_each_kmho_entry(&rec->areas, pos, area) {
		struct kmho_object *obj;
		struct kmho_claim *claim;

		if (area->kind != KMHO_KIND_SHMEM)
			continue;
		obj = kmho_object_find(area->object);
		err = -ENOENT;
		if (!obj)
			break;
		claim = kmho_claim_alloc(rec, area->start, area->end,
					 area->index);
		err = claim ? kmho_claim_add(obj, claim, NULL, false) : -ENOMEM;
		if (err) {
			if (claim)
				kmho_claim_free(claim);
			kmho_object_put(obj);
			break;
		}
	}
	if (err)
		kmho_claims_drop(rec, 0, ULONG_MAX);
	return err;
}
