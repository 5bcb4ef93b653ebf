// SPDX-License-Identifier: GPL-2.0-only
/*
 * From extents to an address space.
 *
 * A takeover first does all that can fail: it makes the mappings, cuts the
 * record where the ranges end, gets the pages into a state in which they can be
 * mapped, charges them and allocates page tables. Then it puts the pages in,
 * which cannot fail. Until then the record keeps every page, and what a failed
 * attempt has done to the pages only makes the next one shorter.
 *
 * A takeover that keeps differs at the end: the pages stay the record's, too,
 * and the record follows the caller's address space from then on.
 *
 * Memory that came with a kexec, and is more than a little, is not put in at once
 * but when it is touched: see pending.c.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/mm.h>
#include <linux/highmem.h>
#include <linux/kexec_handover.h>
#include <linux/kmho.h>
#include <linux/memcontrol.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/mmap_lock.h>
#include <linux/pagewalk.h>
#include <linux/pgalloc.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>

#include <asm/tlbflush.h>

#include "../internal.h"
#include "internal.h"

/**
 * struct kmho_installer - a takeover under way
 * @rec:	record
 * @mm:		address space of the caller
 * @targets:	the ranges
 * @nr:		how many
 * @keep:	the record stays, and becomes live
 * @ahead:	the pages are counted and charged already
 * @memcg:	what they are charged to, with @ahead
 * @pending:	what is not put in at once; NULL: nothing
 * @deposit:	page tables for pages that are mapped as huge, allocated before
 *		there is no way back
 * @nr_deposit:	how many
 * @max_deposit: room at @deposit
 * @nr_charged:	folios that were charged to the caller's memory cgroup
 * @files:	files to be mapped, by page of the address that they had
 * @vma:	where the last address was that was looked up
 * @pmd:	where its page table is, or will be
 * @block:	first address of that page table
 * @tables:	first address of the last page table that was made sure of
 * @tables_vma:	the mapping for which it was
 * @table:	that page table, while it is locked; NULL: none is
 * @ptl:	its lock
 * @lru:	small folios that are mapped, but not on an LRU list yet
 * @nr_lru:	how many
 */
struct kmho_installer {
	struct kmho_record *rec;
	struct mm_struct *mm;
	struct kmho_target *targets;
	unsigned long nr;
	bool keep;
	bool ahead;
	struct mem_cgroup *memcg;
	struct kmho_pending *pending;
	pgtable_t *deposit;
	unsigned long nr_deposit;
	unsigned long max_deposit;
	unsigned long nr_charged;
	struct xarray files;
	struct vm_area_struct *vma;
	pmd_t *pmd;
	unsigned long block;
	unsigned long tables;
	struct vm_area_struct *tables_vma;
	pte_t *table;
	spinlock_t *ptl; /* of @table */
	struct list_head lru;
	unsigned long nr_lru;
};

/* A takeover for which there is no room fails, and nobody is killed for it. */
#define KMHO_CHARGE	(GFP_KERNEL | __GFP_RETRY_MAYFAIL)

static u64 kmho_where(unsigned long addr)
{
	return (u64)(addr >> PAGE_SHIFT) << KMHO_EXTENT_NR_BITS;
}

/* Does the record have all addresses from @start to @end? */
static bool kmho_in_areas(struct kmho_record *rec, unsigned long start,
			  unsigned long end)
{
	struct kmho_pos pos = kmho_table_seek(&rec->areas, start);
	struct kmho_area_ser *area;
	unsigned long at = start;

	kmho_table_before(&rec->areas, &pos);
	for_each_kmho_entry_from(&rec->areas, pos, area) {
		if (at >= end || area->start > at)
			break;
		at = max_t(unsigned long, at, area->end);
	}

	return at >= end;
}

/* Have no area reach across an address. */
static int kmho_cut_area(struct kmho_record *rec, unsigned long addr)
{
	struct kmho_pos pos = kmho_table_seek(&rec->areas, addr);
	struct kmho_area_ser *area = kmho_table_before(&rec->areas, &pos);
	struct kmho_area_ser both[2];
	struct kmho_splice splice;
	int err;

	if (!area || area->end <= addr)
		return 0;

	both[0] = *area;
	both[0].end = addr;
	both[1] = *area;
	both[1].start = addr;
	if (area->object)
		both[1].index += (addr - area->start) >> PAGE_SHIFT;
	err = kmho_splice_prepare(&rec->areas, area->start, addr, both, 2,
				  &splice);
	if (!err)
		kmho_splice_commit(&rec->areas, &splice);
	return err;
}

/* Undo kmho_cut_area(). */
static void kmho_join_area(struct kmho_record *rec, unsigned long addr)
{
	struct kmho_pos at = kmho_table_seek(&rec->areas, addr);
	struct kmho_area_ser *next = kmho_table_at(&rec->areas, &at);
	struct kmho_pos pos = at;
	struct kmho_area_ser *area = kmho_table_before(&rec->areas, &pos);

	if (!area || !next || next->start != addr || area->end != addr ||
	    !kmho_areas_alike(area, next))
		return;

	kmho_table_touch(&rec->areas, pos);
	area->end = next->end;
	kmho_table_remove(&rec->areas, addr, addr + 1);
}

/* Replace an extent by others that hold the same addresses. */
static int kmho_replace_extent(struct kmho_record *rec,
			       const struct kmho_extent_ser *ext,
			       const struct kmho_extent_ser *by,
			       unsigned long nr)
{
	struct kmho_extent_ser old = *ext;
	struct kmho_splice splice;
	int err, ret;

	err = kmho_splice_prepare(&rec->extents, old.where, old.where + 1, by,
				  nr, &splice);
	if (err)
		return err;

	if (rec->unkept)
		goto out_commit;
	kmho_extents_unpreserve(&old, 1);
	err = kmho_extents_preserve(by, nr);
	if (err) {
		/* KHO has kept the room for what it just let go. */
		ret = kmho_extents_preserve(&old, 1);
		WARN_ON_ONCE(ret);
		kmho_splice_abort(&splice);
		return err;
	}
out_commit:
	kmho_splice_commit(&rec->extents, &splice);
	return 0;
}

/**
 * kmho_extent_pin - hold pages that are in use by others as well from now on
 * @ext:	extent with a reference a folio; has a pin a page afterwards
 * @put:	give that reference back
 */
void kmho_extent_pin(struct kmho_extent_ser *ext, bool put)
{
	unsigned long nr = 1UL << kmho_extent_order(ext);
	struct page *page = kmho_extent_page(ext);
	unsigned long left = kmho_extent_nr(ext);

	for (; left; left -= nr, page += nr) {
		struct folio *folio = page_folio(page);

		WARN_ON_ONCE(try_grab_folio(folio, nr, FOLL_PIN));
		if (put)
			folio_put(folio);
	}
	ext->what &= ~KMHO_EXTENT_LOCAL;
	ext->what |= KMHO_EXTENT_PINNED;
}

/* Have no extent reach across an address. */
static int kmho_cut_extent(struct kmho_record *rec, unsigned long addr)
{
	struct kmho_pos pos = kmho_table_seek(&rec->extents, kmho_where(addr));
	struct kmho_extent_ser *ext = kmho_table_before(&rec->extents, &pos);
	struct kmho_extent_ser both[2];
	u64 vpn = addr >> PAGE_SHIFT;
	unsigned int order;
	unsigned long nr;
	u64 flags;
	int err;

	if (!ext || kmho_extent_end(ext) <= vpn)
		return 0;

	/* KHO gives back only what it was given, so all of it comes back. */
	kmho_table_touch(&rec->extents, pos);
	err = kmho_extent_restore(ext);
	if (err)
		return err;

	order = kmho_extent_order(ext);
	nr = vpn - kmho_extent_vpn(ext);
	if (nr & ((1UL << order) - 1)) {
		if (ext->what & KMHO_EXTENT_FORMED)
			kmho_extent_pin(ext, true);
		order = 0;
	}

	flags = ext->what & KMHO_EXTENT_FLAGS;
	both[0] = kmho_extent_make(kmho_extent_vpn(ext), kmho_extent_pfn(ext),
				   nr, order, flags);
	both[1] = kmho_extent_make(vpn, kmho_extent_pfn(ext) + nr,
				   kmho_extent_nr(ext) - nr, order, flags);
	return kmho_replace_extent(rec, ext, both, 2);
}

/* Is there a private anonymous mapping all over this place? */
static int kmho_check_target(struct mm_struct *mm, unsigned long start,
			     unsigned long end, bool *mapped)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;
	unsigned long at = start;
	int err;

	*mapped = false;
	if (kmho_overlaps(mm, start, end))
		return -EEXIST;
	err = kmho_settle(mm, start, end);
	if (err)
		return err;

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > at || !vma_is_anonymous(vma) ||
		    (vma->vm_flags & (VM_SHARED | VM_HUGETLB | VM_PFNMAP |
				      VM_DROPPABLE | VM_SHADOW_STACK |
				      VM_SEALED)) ||
		    userfaultfd_armed(vma))
			return -EEXIST;
		vma_start_write(vma);
		at = vma->vm_end;
		*mapped = true;
	}

	return !*mapped || at >= end ? 0 : -EEXIST;
}

/*
 * Where huge pages can be huge again, if there is room for that; those of
 * hugetlb, whose size is @huge, must be.
 */
static unsigned long kmho_choose(unsigned long base, unsigned long len,
				 unsigned long huge)
{
	const unsigned long flags = MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned long align = len >= PMD_SIZE ? max(huge, PMD_SIZE) : huge;
	unsigned long addr = -ENOMEM;

	if (align && len + align > len) {
		addr = get_unmapped_area(NULL, 0, len + align, 0, flags);
		if (!IS_ERR_VALUE(addr))
			return addr + ((base - addr) & (align - 1));
	}

	return huge ? addr : get_unmapped_area(NULL, 0, len, 0, flags);
}

static unsigned long kmho_area_prot(const struct kmho_area_ser *area)
{
	unsigned long prot = 0;

	if (area->flags & KMHO_AREA_READ)
		prot |= PROT_READ;
	if (area->flags & KMHO_AREA_WRITE)
		prot |= PROT_WRITE;
	if (area->flags & KMHO_AREA_EXEC)
		prot |= PROT_EXEC;
	return prot;
}

/* Map what a range holds, private memory empty for now. */
static int kmho_map_area(struct kmho_installer *in, struct kmho_target *t,
			 const struct kmho_area_ser *area)
{
	unsigned long start = max_t(unsigned long, area->start, t->base);
	unsigned long end = min_t(unsigned long, area->end, t->end);
	unsigned long flags = MAP_FIXED_NOREPLACE;
	unsigned long prot = kmho_area_prot(area);
	vma_flags_t vma_flags = EMPTY_VMA_FLAGS;
	unsigned long addr, populate, index = 0;
	struct file *file = NULL;
	int err = 0;

	if (area->flags & KMHO_AREA_NORESERVE)
		flags |= MAP_NORESERVE;
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (area->flags & KMHO_AREA_HUGEPAGE)
		vma_flags_set(&vma_flags, VMA_HUGEPAGE_BIT);
	if (area->flags & KMHO_AREA_NOHUGEPAGE)
		vma_flags_set(&vma_flags, VMA_NOHUGEPAGE_BIT);
#endif
	if (area->flags & KMHO_AREA_DONTDUMP)
		vma_flags_set(&vma_flags, VMA_DONTDUMP_BIT);
	if (area->flags & KMHO_AREA_DONTFORK)
		vma_flags_set(&vma_flags, VMA_DONTCOPY_BIT);
	if (area->flags & KMHO_AREA_WIPEONFORK)
		vma_flags_set(&vma_flags, VMA_WIPEONFORK_BIT);

	switch (area->kind) {
	case KMHO_KIND_SHMEM:
		/* kmho_open_target() has opened it. */
		file = get_file(xa_load(&in->files, start >> PAGE_SHIFT));
		index = area->index + ((start - area->start) >> PAGE_SHIFT);
		flags |= MAP_SHARED;
		break;
	case KMHO_KIND_HUGETLB:
		file = kmho_hugetlb_file(end - start, kmho_area_order(area));
		if (IS_ERR(file))
			return PTR_ERR(file);
		/* A reservation would count what comes with the record. */
		flags |= MAP_NORESERVE;
		fallthrough;
	default:
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
		err = security_mmap_file(file, prot, flags);
	}
	if (err)
		goto out_put;

	addr = do_mmap(file, t->addr + (start - t->base), end - start, prot,
		       flags, vma_flags, index, &populate, NULL);
	if (IS_ERR_VALUE(addr))
		err = addr;
out_put:
	if (file)
		fput(file);
	if (err)
		return err;

	t->made += end - start;
	return 0;
}

static struct kmho_pos kmho_area_seek(const struct kmho_table *areas,
				      unsigned long addr)
{
	struct kmho_pos pos = kmho_table_seek(areas, addr);
	struct kmho_pos before = pos;
	struct kmho_area_ser *area = kmho_table_before(areas, &before);

	return area && area->end > addr ? before : pos;
}

#define for_each_kmho_target_area(in, t, pos, area)			\
	for ((pos) = kmho_area_seek(&(in)->rec->areas, (t)->base);	\
	     ((area) = kmho_table_at(&(in)->rec->areas, &(pos))) &&	\
	     (area)->start < (t)->end; (pos).slot++)

/*
 * Huge pages of hugetlb come whole or not at all. *@huge becomes the size of the
 * largest; 0: there are none.
 */
static int kmho_check_huge(struct kmho_installer *in,
			   const struct kmho_target *t, unsigned long *huge)
{
	struct kmho_area_ser *area;
	struct kmho_pos pos;

	*huge = 0;
	for_each_kmho_target_area(in, t, pos, area) {
		unsigned int order = kmho_area_order(area);
		unsigned long size = PAGE_SIZE << order;

		if (area->kind != KMHO_KIND_HUGETLB)
			continue;
		if (!kmho_hugetlb_has_order(order))
			return -EOPNOTSUPP;
		if (!IS_ALIGNED(max_t(unsigned long, area->start, t->base) |
				min_t(unsigned long, area->end, t->end), size))
			return -EINVAL;
		*huge = max(*huge, size);
	}

	return 0;
}

static int kmho_map_target(struct kmho_installer *in, struct kmho_target *t)
{
	unsigned long len = t->end - t->base;
	struct kmho_area_ser *area;
	struct kmho_pos pos;
	unsigned long huge;
	bool mapped;
	int err;

	err = kmho_check_huge(in, t, &huge);
	if (err)
		return err;
	if (t->chosen) {
		t->addr = kmho_choose(t->base, len, huge);
		if (IS_ERR_VALUE(t->addr))
			return t->addr;
	}

	err = kmho_check_target(in->mm, t->addr, t->addr + len, &mapped);
	if (err)
		return err;
	if (huge && mapped)
		return -EEXIST;
	if (huge && !IS_ALIGNED(t->addr - t->base, huge))
		return -EINVAL;

	for_each_kmho_target_area(in, t, pos, area) {
		/* What is shared cannot go into a private mapping. */
		if (mapped && area->kind == KMHO_KIND_SHMEM)
			return -EEXIST;
		if (!mapped)
			err = kmho_map_area(in, t, area);
		if (err)
			return err;
	}

	return 0;
}

/* Open what is shared of a range, while no lock of an address space is held. */
static int kmho_open_target(struct kmho_installer *in,
			    const struct kmho_target *t)
{
	struct kmho_area_ser *area;
	struct kmho_pos pos;
	struct file *file;
	int err;

	for_each_kmho_target_area(in, t, pos, area) {
		unsigned long start = max_t(unsigned long, area->start,
					    t->base);

		if (area->kind != KMHO_KIND_SHMEM)
			continue;
		file = kmho_shmem_open(in->rec, area);
		if (IS_ERR(file))
			return PTR_ERR(file);
		err = security_mmap_file(file, kmho_area_prot(area),
					 MAP_SHARED);
		if (!err)
			err = xa_err(xa_store(&in->files, start >> PAGE_SHIFT,
					      file, GFP_KERNEL));
		if (err) {
			fput(file);
			return err;
		}
		cond_resched();
	}

	return 0;
}

static void kmho_unmap_target(struct kmho_installer *in, struct kmho_target *t)
{
	/* It may have to be split off from its neighbours, which takes memory. */
	while (t->made && do_munmap(in->mm, t->addr, t->made, NULL))
		schedule_timeout_uninterruptible(1);
	t->made = 0;
}

/*
 * What was mapped last goes first: then there are never more mappings than there
 * were on the way, and the limit for them does not stand in the way back. Nor
 * does that of a memory cgroup.
 */
static void kmho_unmap_targets(struct kmho_installer *in)
{
	struct mem_cgroup *old = set_active_memcg(root_mem_cgroup);
	unsigned long i;
	int pass;

	for (pass = 1; pass >= 0; pass--) {
		for (i = in->nr; i--; ) {
			if (in->targets[i].chosen == pass)
				kmho_unmap_target(in, &in->targets[i]);
		}
	}
	set_active_memcg(old);
}

/*
 * Make a folio that its process has left behind look as if it were new, with
 * one reference instead of pins. False if anybody but the record has a part in
 * it, or if the record has not got all of it; it is then as it was.
 */
static bool kmho_folio_claim(struct folio *folio, unsigned int order)
{
	const unsigned long nr = 1UL << order;
	int refs = GUP_PIN_COUNTING_BIAS;
	unsigned long i;
	bool isolated;

	if (folio_test_hugetlb(folio))
		return kmho_hugetlb_claim(folio);

	if (folio_order(folio) != order || folio_mapped(folio) ||
	    folio_test_swapcache(folio) || folio_test_ksm(folio))
		return false;
	if (folio_has_pincount(folio)) {
		if (atomic_read(&folio->_pincount) != nr)
			return false;
		refs = nr;
	}

	/*
	 * Reclaim and compaction find folios on the LRU lists: off with it. Who
	 * had it off just now may have put it back before its count was frozen.
	 */
	for (;;) {
		isolated = folio_test_lru(folio) && folio_isolate_lru(folio);
		if (!folio_ref_freeze(folio, refs + isolated)) {
			if (isolated)
				folio_putback_lru(folio);
			return false;
		}
		if (isolated || !folio_test_lru(folio))
			break;
		folio_ref_unfreeze(folio, refs);
	}

	folio_unqueue_deferred_split(folio);
	mem_cgroup_uncharge(folio);
	node_stat_mod_folio(folio, NR_FOLL_PIN_RELEASED, nr);
	if (folio_has_pincount(folio))
		atomic_set(&folio->_pincount, 0);
	folio_clear_active(folio);
	folio_clear_unevictable(folio);
	folio_clear_referenced(folio);
	/* It is not if an attempt that failed had it like this already. */
	if (folio_test_anon(folio)) {
		mod_mthp_stat(order, MTHP_STAT_NR_ANON, -1);
		/* Where it was mapped page by page, each has a flag of its own. */
		for (i = 0; i < nr; i++)
			if (PageAnonExclusive(folio_page(folio, i)))
				ClearPageAnonExclusive(folio_page(folio, i));
		folio->mapping = NULL;
	}
	folio_ref_unfreeze(folio, 1);
	return true;
}

/* All folios of an extent, or none */
static bool kmho_extent_claim(const struct kmho_extent_ser *ext)
{
	unsigned int order = kmho_extent_order(ext);
	struct page *page = kmho_extent_page(ext);
	unsigned long nr = 1UL << order;
	unsigned long i;

	for (i = 0; i < kmho_extent_nr(ext); i += nr)
		if (!kmho_folio_claim(page_folio(page + i), order))
			goto err_pin;
	return true;

err_pin:
	while (i) {
		struct folio *folio;

		i -= nr;
		folio = page_folio(page + i);
		WARN_ON_ONCE(try_grab_folio(folio, nr, FOLL_PIN));
		folio_put(folio);
	}
	return false;
}

/**
 * kmho_copy_page - copy a page, or a huge page of hugetlb
 * @from:	the page, or the first one
 * @order:	order of the huge page; 0 otherwise
 * @hugetlb:	it is a huge page
 *
 * Return: the copy; -ENOMEM; -EIO if the page cannot be read.
 */
struct page *kmho_copy_page(struct page *from, unsigned int order, bool hugetlb)
{
	struct page *page;
	unsigned long i;

	page = hugetlb ? kmho_hugetlb_alloc(order) : alloc_page(GFP_USER);
	if (!page)
		return ERR_PTR(-ENOMEM);

	for (i = 0; i < 1UL << order; i++) {
		if (copy_mc_highpage(page + i, from + i)) {
			put_page(page);
			return ERR_PTR(-EIO);
		}
		cond_resched();
	}

	return page;
}

/**
 * kmho_copy_part - copy a page of an extent, or one of its huge pages of hugetlb
 * @ext:	the extent
 * @at:		index in it of the page, or of the first one of the huge page
 * @copy:	becomes an extent of the copy, which is the caller's alone
 *
 * Return: 0; -ENOMEM; -EIO if the page cannot be read.
 */
int kmho_copy_part(const struct kmho_extent_ser *ext, unsigned long at,
		   struct kmho_extent_ser *copy)
{
	bool hugetlb = kmho_extent_is_hugetlb(ext);
	unsigned int order = kmho_copy_order(ext);
	struct page *page;

	page = kmho_copy_page(kmho_extent_page(ext) + at, order, hugetlb);
	if (IS_ERR(page))
		return PTR_ERR(page);

	*copy = kmho_extent_make(kmho_extent_vpn(ext) + at, page_to_pfn(page),
				 1UL << order, order,
				 hugetlb ? KMHO_EXTENT_HUGETLB |
					   KMHO_EXTENT_FORMED :
					   KMHO_EXTENT_RESTORED);
	return 0;
}

/*
 * Copy pages of a held extent that others have a part in. Other extents, each
 * of one page that is the record's alone, come in its place.
 */
static int kmho_copy_extent(struct kmho_record *rec,
			    struct kmho_extent_ser *ext)
{
	unsigned int order = kmho_copy_order(ext);
	unsigned long nr = kmho_extent_nr(ext) >> order;
	struct kmho_extent_ser old = *ext, *by;
	unsigned long i;
	int err;

	by = kvcalloc(nr, sizeof(*by), GFP_KERNEL);
	if (!by)
		return -ENOMEM;

	for (i = 0; i < nr; i++) {
		err = kmho_copy_part(ext, i << order, &by[i]);
		if (err)
			goto err_free;
	}

	err = kmho_replace_extent(rec, ext, by, nr);
	if (err)
		goto err_free;

	kmho_extent_release(&old);
	kvfree(by);
	return 0;

err_free:
	while (i--)
		put_page(kmho_extent_page(&by[i]));
	kvfree(by);
	return err;
}

static struct vm_area_struct *kmho_target_vma(struct kmho_installer *in,
					      unsigned long addr)
{
	if (!in->vma || addr < in->vma->vm_start || addr >= in->vma->vm_end)
		in->vma = vma_lookup(in->mm, addr);

	return in->vma;
}

/* Can a folio of this order be mapped as one here? */
static bool kmho_fits(struct kmho_installer *in, unsigned long addr,
		      unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	struct vm_area_struct *vma;
	pmd_t *pmd;

	if (!IS_ALIGNED(addr, size))
		return false;
	vma = kmho_target_vma(in, addr);
	if (addr + size > vma->vm_end)
		return false;
	if (order < HPAGE_PMD_ORDER)
		return true;
	if (order > HPAGE_PMD_ORDER)
		return false;

	pmd = mm_find_pmd(in->mm, addr);
	return !pmd || pmd_none(pmdp_get_lockless(pmd));
}

/* Get an extent that is one folio, and nothing else, back from KHO as it was. */
static int kmho_restore_folio(struct kmho_extent_ser *ext)
{
	struct folio *folio = kho_restore_folio(PFN_PHYS(kmho_extent_pfn(ext)));

	if (!folio)
		return -EIO;
	/* KHO was told of these pages at once, so that it has one key for them. */
	if (WARN_ON_ONCE(folio_order(folio) != kmho_extent_order(ext)))
		return -EIO;

	page_rmappable_folio(&folio->page);
	ext->what |= KMHO_EXTENT_FORMED;
	return 0;
}

/**
 * kmho_extent_form - get the folios of an extent back
 * @ext:	extent that is not pinned; has a reference a folio afterwards
 *
 * Return: 0, or -EIO if KHO does not have the pages.
 */
int kmho_extent_form(struct kmho_extent_ser *ext)
{
	unsigned int order = kmho_extent_order(ext);
	struct page *page = kmho_extent_page(ext);
	unsigned long left, i, nr = 1UL << order;
	int err;

	if (ext->what & KMHO_EXTENT_FORMED)
		return 0;
	if (order && nr == kmho_extent_nr(ext) && !kmho_extent_is_hugetlb(ext) &&
	    !(ext->what & KMHO_EXTENT_LOCAL))
		return kmho_restore_folio(ext);
	err = kmho_extent_restore(ext);
	if (err)
		return err;

	if (kmho_extent_is_hugetlb(ext)) {
		kmho_hugetlb_adopt(ext);
		order = 0;
	}
	for (left = kmho_extent_nr(ext); order && left; left -= nr, page += nr) {
		for (i = 1; i < nr; i++)
			set_page_count(page + i, 0);
		prep_compound_page(page, order);
		page_rmappable_folio(page);
	}
	ext->what &= ~KMHO_EXTENT_LOCAL;
	ext->what |= KMHO_EXTENT_FORMED;
	return 0;
}

/*
 * Get an extent into the state in which its pages can be mapped at @addr:
 * one reference a folio, of the order that the extent names.
 *
 * Returns 0, a negative errno, or 1 if it was replaced by other extents.
 */
static int kmho_ready_extent(struct kmho_installer *in,
			     struct kmho_extent_ser *ext, unsigned long addr)
{
	unsigned int order = kmho_extent_order(ext);
	bool hugetlb = kmho_extent_is_hugetlb(ext);
	unsigned long left, nr = 1UL << order;
	bool fits = true;
	int err;

	/* Where huge pages of hugetlb do not fit, they do not get here. */
	for (left = 0; order && !hugetlb && fits && left < kmho_extent_nr(ext);
	     left += nr)
		fits = kmho_fits(in, addr + left * PAGE_SIZE, order);

	if (ext->what & KMHO_EXTENT_PINNED) {
		if (!fits || !kmho_extent_claim(ext))
			goto copy;
		ext->what &= ~KMHO_EXTENT_LOCAL;
		ext->what |= KMHO_EXTENT_FORMED;
		return 0;
	}

	if (ext->what & KMHO_EXTENT_FORMED) {
		if (!fits)
			goto copy;
		return 0;
	}

	if (!fits)
		kmho_extent_set_order(ext, 0);
	return kmho_extent_form(ext);

copy:
	err = kmho_copy_extent(in->rec, ext);
	return err ?: 1;
}

static struct folio *kmho_nth_folio(const struct kmho_extent_ser *ext,
				    unsigned long page)
{
	return page_folio(kmho_extent_page(ext) + page);
}

/*
 * How many of the pages that follow each other are of one zone? Those of an
 * extent lie in two pageblocks at most, and a pageblock is of one zone.
 */
static unsigned long kmho_zone_run(struct page *page, unsigned long nr)
{
	return page_zone_id(page) == page_zone_id(page + nr - 1) ? nr : 1;
}

static int kmho_charge_small(struct kmho_installer *in, struct page *page,
			     unsigned long left)
{
	unsigned long nr;
	int err = 0;

	for (; left; left -= nr, page += nr) {
		nr = kmho_zone_run(page, left);
		if (in->ahead)
			mem_cgroup_commit_ahead_small(page, nr, in->memcg);
		else
			err = mem_cgroup_charge_small_folios(page, nr, in->mm,
							     KMHO_CHARGE);
		if (err)
			return err;
		in->nr_charged += nr;
	}

	return 0;
}

static int kmho_charge_extent(struct kmho_installer *in,
			      const struct kmho_extent_ser *ext)
{
	unsigned long nr = 1UL << kmho_extent_order(ext);
	unsigned long i;
	int err = 0;

	if (nr == 1)
		return kmho_charge_small(in, kmho_extent_page(ext),
					 kmho_extent_nr(ext));

	for (i = 0; i < kmho_extent_nr(ext); i += nr) {
		struct folio *folio = kmho_nth_folio(ext, i);

		if (kmho_extent_is_hugetlb(ext)) {
			err = kmho_hugetlb_charge(folio, in->mm);
			if (err)
				return err;
			in->nr_charged++;
			continue;
		}
		if (in->ahead)
			mem_cgroup_commit_ahead(folio, in->memcg);
		else
			err = mem_cgroup_charge(folio, in->mm, KMHO_CHARGE);
		if (err)
			return err;
		in->nr_charged++;
		if (folio_order(folio) > 1 && folio_memcg_alloc_deferred(folio))
			return -ENOMEM;
	}

	return 0;
}

#define for_each_kmho_target(in, t)					\
	for ((t) = (in)->targets; (t) < (in)->targets + (in)->nr; (t)++)

#define for_each_kmho_target_extent(in, t, pos, ext)			\
	for ((pos) = kmho_table_seek(&(in)->rec->extents,		\
				     kmho_where((t)->base));		\
	     ((ext) = kmho_table_at(&(in)->rec->extents, &(pos))) &&	\
	     (ext)->where < kmho_where((t)->end); (pos).slot++)

static unsigned long kmho_extent_target(const struct kmho_target *t,
					const struct kmho_extent_ser *ext)
{
	return (kmho_extent_vpn(ext) << PAGE_SHIFT) - t->base + t->addr;
}

/* Have no extent reach across the end of a block of the address space. */
static int kmho_cut_blocks(struct kmho_installer *in, struct kmho_target *t)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	int err;

	for_each_kmho_target_extent(in, t, pos, ext) {
		u64 where = ext->where & -KMHO_EXTENT_NR_MAX;
		unsigned long addr = kmho_extent_target(t, ext);
		unsigned long end = addr + kmho_extent_nr(ext) * PAGE_SIZE;
		unsigned long edge = pmd_addr_end(addr, end);

		/* A larger huge page is a block of its own. */
		if (edge == end || kmho_extent_order(ext) > KMHO_BLOCK_ORDER)
			continue;
		err = kmho_cut_extent(in->rec, edge - t->addr + t->base);
		if (err)
			return err;
		pos = kmho_table_seek(&in->rec->extents, where);
	}

	return 0;
}

/* Make the record live, with the ranges where they are now. */
static int kmho_keep(struct kmho_installer *in)
{
	struct kmho_record *rec = in->rec;
	struct kmho_range *range;
	struct kmho_target *t;
	int err;

	err = kmho_record_keep(rec) ?: kmho_attach_mm(rec, in->mm);
	if (err)
		return err;

	for_each_kmho_target(in, t) {
		unsigned long end = t->addr + (t->end - t->base);

		err = kmho_check_vmas(in->mm, t->addr, end) ?:
		      kmho_follow(rec, t->addr, end, t->base) ?:
		      kmho_cut_blocks(in, t);
		if (err)
			return err;

		range = list_last_entry(&rec->ranges, struct kmho_range, node);
		range->collected = true;
		/* What the caller has in the holes belongs to it now. */
		if (!t->made)
			bitmap_fill(range->dirty, kmho_range_nr_blocks(range));
	}

	return 0;
}

static void kmho_unkeep(struct kmho_installer *in)
{
	struct kmho_record *rec = in->rec;

	if (!rec->mm)
		return;
	kmho_detach_mm(rec);
	rec->mm = NULL;
	mmdrop(in->mm);
}

/* Undo kmho_prepare_target() for all ranges, but for what it did to pages. */
static void kmho_unprepare(struct kmho_installer *in)
{
	struct kmho_extent_ser *ext;
	struct kmho_target *t;
	struct kmho_pos pos;

	for_each_kmho_target(in, t) {
		if (t->lazy)
			continue;
		for_each_kmho_target_extent(in, t, pos, ext) {
			unsigned long nr = 1UL << kmho_extent_order(ext);
			unsigned long i;

			if (ext->what & KMHO_EXTENT_IN)
				continue;
			for (i = 0; i < kmho_extent_nr(ext); i += nr) {
				if (!in->nr_charged)
					goto out_free;
				in->nr_charged--;
				if (kmho_extent_is_hugetlb(ext))
					kmho_hugetlb_uncharge(kmho_nth_folio(ext, i));
				else if (in->ahead)
					mem_cgroup_uncommit_ahead(kmho_nth_folio(ext, i),
								  in->memcg);
				else
					mem_cgroup_uncharge(kmho_nth_folio(ext, i));
			}
		}
	}
out_free:
	while (in->nr_deposit)
		pte_free(in->mm, in->deposit[--in->nr_deposit]);
}

static bool kmho_is_huge(const struct kmho_extent_ser *ext)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	       kmho_extent_order(ext) == HPAGE_PMD_ORDER;
}

static int kmho_deposit(struct kmho_installer *in)
{
	pgtable_t table;

	if (in->nr_deposit == in->max_deposit) {
		unsigned long max = max(2 * in->max_deposit, 4UL);
		pgtable_t *deposit;

		deposit = kvrealloc(in->deposit,
				    array_size(max, sizeof(*deposit)),
				    GFP_KERNEL);
		if (!deposit)
			return -ENOMEM;
		in->deposit = deposit;
		in->max_deposit = max;
	}

	table = pte_alloc_one(in->mm);
	if (!table)
		return -ENOMEM;
	in->deposit[in->nr_deposit++] = table;
	return 0;
}

/* Where a page table is. Cannot fail where there are the tables above it. */
static pmd_t *kmho_target_pmd(struct kmho_installer *in, unsigned long addr)
{
	struct mm_struct *mm = in->mm;
	p4d_t *p4d;
	pud_t *pud;

	if (!in->pmd || in->block != (addr & PMD_MASK)) {
		in->block = addr & PMD_MASK;
		p4d = p4d_alloc(mm, pgd_offset(mm, addr), addr);
		pud = p4d ? pud_alloc(mm, p4d, addr) : NULL;
		in->pmd = pud ? pmd_alloc(mm, pud, addr) : NULL;
	}

	return in->pmd;
}

/* Have page tables for all of an extent. */
static int kmho_alloc_tables(struct kmho_installer *in,
			     const struct kmho_extent_ser *ext,
			     unsigned long addr)
{
	unsigned long end = addr + kmho_extent_nr(ext) * PAGE_SIZE;
	unsigned long next;

	if (kmho_extent_is_hugetlb(ext))
		return kmho_hugetlb_alloc_tables(in->mm, ext, addr);

	for (; addr < end; addr = next) {
		struct vm_area_struct *vma = kmho_target_vma(in, addr);
		pmd_t *pmd;

		next = min(pmd_addr_end(addr, end), vma->vm_end);
		/* Most extents have a neighbour that has the same. */
		if (in->tables == (addr & PMD_MASK) && in->tables_vma == vma)
			continue;
		if (anon_vma_prepare(vma))
			return -ENOMEM;
		pmd = kmho_target_pmd(in, addr);
		if (!pmd)
			return -ENOMEM;
		if (kmho_is_huge(ext)) {
			if (kmho_deposit(in))
				return -ENOMEM;
			continue;
		}
		split_huge_pmd(vma, pmd, addr);
		if (pte_alloc(in->mm, pmd))
			return -ENOMEM;
		in->tables = addr & PMD_MASK;
		in->tables_vma = vma;
	}

	return 0;
}

static int kmho_prepare_target(struct kmho_installer *in,
			       struct kmho_target *t)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	int err;

	for_each_kmho_target_extent(in, t, pos, ext) {
		u64 where = ext->where;

		if (ext->what & KMHO_EXTENT_IN)
			continue;
		kmho_table_touch(&in->rec->extents, pos);
		err = kmho_ready_extent(in, ext, kmho_extent_target(t, ext));
		if (err < 0)
			return err;
		if (err) {
			/* The pages that came in its place are ready. */
			pos = kmho_table_seek(&in->rec->extents,
					      where & -KMHO_EXTENT_NR_MAX);
		}
		cond_resched();
	}

	for_each_kmho_target_extent(in, t, pos, ext) {
		if (ext->what & KMHO_EXTENT_IN)
			continue;
		err = kmho_alloc_tables(in, ext, kmho_extent_target(t, ext));
		if (!err)
			err = kmho_charge_extent(in, ext);
		if (err)
			return err;
		cond_resched();
	}

	return 0;
}

/* Put one huge page in. */
static void kmho_install_huge(struct kmho_installer *in,
			      struct vm_area_struct *vma, struct folio *folio,
			      unsigned long addr)
{
	pmd_t *pmd = kmho_target_pmd(in, addr);
	spinlock_t *ptl = pmd_lock(in->mm, pmd); /* of the page table */

	pgtable_trans_huge_deposit(in->mm, pmd,
				   in->deposit[--in->nr_deposit]);
	map_anon_folio_pmd_nopf(folio, pmd, vma, addr);
	mm_inc_nr_ptes(in->mm);
	spin_unlock(ptl);
}

static void kmho_count(struct kmho_installer *in, unsigned long nr_pages)
{
	if (!in->ahead)
		add_mm_counter(in->mm, MM_ANONPAGES, nr_pages);
}

/* Count small folios that are mapped, and put them on the LRU list. */
static void kmho_flush_lru(struct kmho_installer *in)
{
	if (!in->nr_lru)
		return;

	kmho_count(in, in->nr_lru);
	lruvec_stat_mod_folio(list_first_entry(&in->lru, struct folio, lru),
			      NR_ANON_MAPPED, in->nr_lru);
	small_folios_add_lru(&in->lru, in->nr_lru);
	in->nr_lru = 0;
}

/* Put small folios of one zone in. Returns how many of them. */
static unsigned long kmho_install_small(struct kmho_installer *in,
					struct vm_area_struct *vma, pte_t *pte,
					unsigned long addr, struct page *page,
					unsigned long nr)
{
	struct folio *folio = page_folio(page);
	pte_t entry = folio_mk_pte(folio, vma->vm_page_prot);
	struct page *end;
	pteval_t step;

	entry = pte_sw_mkyoung(entry);
	if (vma->vm_flags & VM_WRITE)
		entry = pte_mkwrite(pte_mkdirty(entry), vma);

	/* Entries go up evenly, but where a frame number is in two parts. */
	step = pte_val(pte_next_pfn(entry)) - pte_val(entry);
	if (pte_val(pte_advance_pfn(entry, nr - 1)) !=
	    pte_val(entry) + (nr - 1) * step)
		nr = 1;
	end = page + nr;

	if (in->nr_lru + nr > PTRS_PER_PTE ||
	    (in->nr_lru &&
	     !small_folios_share_lruvec(folio, list_first_entry(&in->lru,
								struct folio,
								lru))))
		kmho_flush_lru(in);
	in->nr_lru += nr;

	small_folios_add_new_anon_rmap(page, nr, vma, addr);
	do {
		folio = (struct folio *)page;
		__folio_mark_uptodate(folio);
		folio_set_dirty(folio);
		list_add(&folio->lru, &in->lru);
		set_pte_at(in->mm, addr, pte, entry);
		entry = __pte(pte_val(entry) + step);
		addr += PAGE_SIZE;
		pte++;
	} while (++page < end);
	update_mmu_cache_range(NULL, vma, addr - nr * PAGE_SIZE, pte - nr, nr);
	return nr;
}

/* Nobody else can get at the folios before they are on their LRU list. */
static void kmho_unlock_table(struct kmho_installer *in)
{
	if (!in->table)
		return;
	kmho_flush_lru(in);
	pte_unmap_unlock(in->table, in->ptl);
	in->table = NULL;
	cond_resched();
}

/*
 * The page table entry for an address. The page table stays locked until another
 * is asked for, or kmho_unlock_table(). An empty one may have been freed since
 * kmho_alloc_tables() where the mmap lock is held for reading only. There is no
 * way back any more, so a lack of memory is waited out.
 */
static pte_t *kmho_lock_table(struct kmho_installer *in, unsigned long addr)
{
	unsigned long block = addr & PMD_MASK;
	pmd_t *pmd;

	if (in->table && in->block == block)
		return in->table + pte_index(addr);

	kmho_unlock_table(in);
	pmd = kmho_target_pmd(in, addr);
	while (!(in->table = pte_offset_map_lock(in->mm, pmd, block, &in->ptl)))
		if (pte_alloc(in->mm, pmd))
			schedule_timeout_uninterruptible(HZ / 50 + 1);
	return in->table + pte_index(addr);
}

/* Put the pages of an extent in. Cannot fail. */
static void kmho_install_extent(struct kmho_installer *in,
				const struct kmho_target *t,
				const struct kmho_extent_ser *ext)
{
	unsigned long addr = kmho_extent_target(t, ext);
	unsigned long nr = 1UL << kmho_extent_order(ext);
	unsigned long end = addr + kmho_extent_nr(ext) * PAGE_SIZE;
	unsigned long next, page = 0;

	if (kmho_extent_is_hugetlb(ext) || kmho_is_huge(ext))
		kmho_unlock_table(in);
	if (kmho_extent_is_hugetlb(ext)) {
		kmho_hugetlb_install(in->mm, ext, addr);
		return;
	}

	for (; addr < end; addr = next) {
		struct vm_area_struct *vma = kmho_target_vma(in, addr);
		/* Folios that are locked in memory are not on the usual list. */
		bool small = !kmho_extent_order(ext) &&
			     !(vma->vm_flags & VM_LOCKED);
		pte_t *pte;

		next = min(pmd_addr_end(addr, end), vma->vm_end);
		if (!small)
			kmho_count(in, (next - addr) >> PAGE_SHIFT);
		if (kmho_is_huge(ext)) {
			struct folio *folio = kmho_nth_folio(ext, page);

			__folio_mark_uptodate(folio);
			folio_set_dirty(folio);
			kmho_install_huge(in, vma, folio, addr);
			page += nr;
			continue;
		}

		/* What is there already gives way. */
		if (!t->made) {
			kmho_unlock_table(in);
			zap_vma_range(vma, addr, next - addr);
		}
		pte = kmho_lock_table(in, addr);
		for (; addr < next; addr += nr * PAGE_SIZE, page += nr) {
			struct page *first = kmho_extent_page(ext) + page;

			if (small) {
				nr = kmho_zone_run(first,
						   (next - addr) >> PAGE_SHIFT);
				nr = kmho_install_small(in, vma, pte, addr,
							first, nr);
			} else {
				struct folio *folio = page_folio(first);

				nr = folio_nr_pages(folio);
				__folio_mark_uptodate(folio);
				folio_set_dirty(folio);
				map_anon_folio_pte_nopf(folio, pte, vma, addr,
							false);
			}
			pte += nr;
		}
	}
}

/* Put the pages of a range in. They are no longer preserved, nor charged. */
static long kmho_install_target(struct kmho_installer *in,
				const struct kmho_target *t)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	long nr_pages = 0;

	for_each_kmho_target_extent(in, t, pos, ext) {
		if (!(ext->what & KMHO_EXTENT_IN))
			kmho_unkeep_extents(in->rec, ext, 1);
		cond_resched();
	}
	for_each_kmho_target_extent(in, t, pos, ext) {
		if (ext->what & KMHO_EXTENT_IN)
			continue;
		kmho_install_extent(in, t, ext);
		nr_pages += kmho_extent_nr(ext);
		ext->what |= KMHO_EXTENT_IN;
	}
	kmho_unlock_table(in);

	return nr_pages;
}

/* Put the pages of a range in, and have the record keep them as well. */
static void kmho_share_target(struct kmho_installer *in,
			      const struct kmho_target *t)
{
	struct kmho_table *extents = &in->rec->extents;
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;

	for_each_kmho_target_extent(in, t, pos, ext) {
		kmho_table_touch(extents, pos);
		/* Before anybody can find them, reclaim and compaction above all */
		kmho_extent_pin(ext, false);
		kmho_install_extent(in, t, ext);
	}
	kmho_unlock_table(in);
}

static void kmho_commit_pending(struct kmho_installer *in)
{
	struct kmho_record *rec = in->rec;
	struct kmho_target *t;

	if (!rec->areas.nr_entries) {
		/* What is left in the record is all theirs. */
		swap(rec->extents, in->pending->rec->extents);
	} else {
		for_each_kmho_target(in, t)
			if (t->lazy)
				kmho_table_remove(&rec->extents,
						  kmho_where(t->base),
						  kmho_where(t->end));
	}
	in->pending->rec->unkept = rec->unkept;
	kmho_account(rec, -(long)in->pending->nr_pages, false);
	kmho_pend_commit(in->pending);
}

static void kmho_commit(struct kmho_installer *in)
{
	struct kmho_record *rec = in->rec;
	struct kmho_target *t;

	for_each_kmho_target(in, t) {
		if (in->keep) {
			kmho_share_target(in, t);
			continue;
		}
		if (!t->lazy) {
			kmho_account(rec, -kmho_install_target(in, t), false);
			kmho_table_remove(&rec->extents, kmho_where(t->base),
					  kmho_where(t->end));
		}
		kmho_table_remove(&rec->areas, t->base, t->end);
		kmho_claims_drop(rec, t->base, t->end);
	}
	if (in->pending)
		kmho_commit_pending(in);
}

/* Tell the caller which addresses were chosen, without a fault. */
static int kmho_tell(struct kmho_installer *in,
		     struct kmho_range_takeover __user *uranges)
{
	struct kmho_target *t;

	for_each_kmho_target(in, t)
		if (t->chosen &&
		    copy_to_user_nofault(&uranges[t->index].remap_addr,
					 &t->addr, sizeof(t->addr)))
			return -EFAULT;

	return 0;
}

static void kmho_join_areas(struct kmho_installer *in)
{
	struct kmho_target *t;

	for_each_kmho_target(in, t) {
		kmho_join_area(in->rec, t->base);
		kmho_join_area(in->rec, t->end);
	}
}

/*
 * May the pages of a range be put in later? Those that came with a kexec belong
 * to nobody else, and nothing is to be seen of them until then. It must pay, and
 * a page table must have to do with one block of the record only.
 */
static bool kmho_may_pend(struct kmho_installer *in,
			  const struct kmho_target *t)
{
	struct kmho_area_ser *area;
	struct kmho_pos pos;

	if (!in->rec->incoming || in->keep || !t->made ||
	    t->end - t->base <= PMD_SIZE ||
	    !IS_ALIGNED(t->addr - t->base, PMD_SIZE) ||
	    (in->mm->def_flags & VM_LOCKED))
		return false;

	for_each_kmho_target_area(in, t, pos, area)
		if (area->kind != KMHO_KIND_ANON)
			return false;

	return true;
}

/* Does the takeover leave nothing in the record? */
static bool kmho_takes_all(struct kmho_installer *in)
{
	struct kmho_area_ser *area;
	struct kmho_target *t;
	struct kmho_pos pos;
	u64 left = 0;

	for_each_kmho_entry(&in->rec->areas, pos, area)
		left += area->end - area->start;
	for_each_kmho_target(in, t)
		left -= t->end - t->base;
	return !left;
}

/* Faults do not look at the neighbours of a mapping for this. */
static int kmho_prepare_anon(struct kmho_installer *in,
			     const struct kmho_target *t)
{
	VMA_ITERATOR(vmi, in->mm, t->addr);
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, t->addr + t->made)
		if (anon_vma_prepare(vma))
			return -ENOMEM;

	return 0;
}

/* Get ready to have pages put in later. */
static int kmho_prepare_pending(struct kmho_installer *in)
{
	struct kmho_record *rec = in->rec;
	struct kmho_extent_ser *ext;
	struct kmho_target *t;
	unsigned long nr_pages = 0;
	struct kmho_pos pos;
	bool any = false;
	bool all;
	int err = 0;

	for_each_kmho_target(in, t) {
		t->lazy = kmho_may_pend(in, t);
		any |= t->lazy;
	}
	if (!any)
		return 0;

	in->pending = kmho_pend(in->mm, in->targets, in->nr);
	if (!in->pending)
		return -ENOMEM;
	for_each_kmho_target(in, t) {
		err = t->lazy ? kmho_prepare_anon(in, t) : 0;
		if (err)
			return err;
	}

	all = kmho_takes_all(in);
	if (all)
		nr_pages = rec->nr_pages;
	for_each_kmho_target(in, t) {
		/* Where the record keeps its table, theirs is a copy. */
		if (all == t->lazy)
			continue;
		for_each_kmho_target_extent(in, t, pos, ext) {
			nr_pages += all ? -kmho_extent_nr(ext) :
					  kmho_extent_nr(ext);
			if (!all)
				err = kmho_table_append(&in->pending->rec->extents,
							ext);
			if (err)
				return err;
			cond_resched();
		}
	}

	return kmho_pend_charge(in->pending, nr_pages, KMHO_CHARGE);
}

static int kmho_install_locked(struct kmho_installer *in,
			       struct kmho_range_takeover __user *uranges)
{
	struct kmho_record *rec = in->rec;
	struct kmho_target *t;
	unsigned int pass;
	int err = 0;

	/* First those that have no choice. */
	for (pass = 0; pass < 2; pass++) {
		for_each_kmho_target(in, t) {
			if (t->chosen != pass)
				continue;
			err = kmho_map_target(in, t);
			if (err)
				goto err_unmap;
		}
	}

	for_each_kmho_target(in, t) {
		err = kmho_cut_area(rec, t->base) ?:
		      kmho_cut_area(rec, t->end) ?:
		      kmho_claims_cut(rec, t->base) ?:
		      kmho_claims_cut(rec, t->end) ?:
		      kmho_cut_extent(rec, t->base) ?:
		      kmho_cut_extent(rec, t->end);
		if (err)
			goto err_join;
	}

	if (in->keep) {
		err = kmho_keep(in);
		if (err)
			goto err_unkeep;
	}

	err = kmho_prepare_pending(in);
	if (err)
		goto err_pending;

	for_each_kmho_target(in, t) {
		if (t->lazy)
			continue;
		err = kmho_prepare_target(in, t);
		if (err)
			goto err_uncharge;
	}

	err = kmho_tell(in, uranges);
	if (err)
		goto err_uncharge;

	kmho_commit(in);
	if (!in->keep)
		return 0;

	rec->incoming = false;
	kmho_join_areas(in);
	return 0;

err_uncharge:
	kmho_unprepare(in);
err_pending:
	if (in->pending)
		kmho_pend_abort(in->pending);
err_unkeep:
	kmho_unkeep(in);
err_join:
	kmho_join_areas(in);
err_unmap:
	kmho_unmap_targets(in);
	return err;
}

static int kmho_cmp_target(const void *a, const void *b)
{
	const struct kmho_target *ta = a, *tb = b;

	return ta->base < tb->base ? -1 : ta->base > tb->base;
}

/**
 * kmho_install - map ranges of a record into the caller's address space
 * @rec:	record without an address space; its lock is held
 * @ranges:	ranges, aligned and not overlapping; remap_addr as kmho(2) has it
 * @nr:		how many
 * @uranges:	where the caller learns which addresses were chosen
 * @keep:	the record stays as it is, and follows the ranges from then on
 *
 * Return: 0; -ENOENT if the record does not have all of a range; -EINVAL if
 * a range would part or misalign a huge page of hugetlb; -EOPNOTSUPP if this
 * kernel has none of its size; -EEXIST if a remap_addr is in use; -ENOMEM;
 * -EFAULT if @uranges cannot be written to without a fault; -EIO if KHO does not
 * have a page.
 * On failure nothing is mapped and the record has all that it had.
 */
int kmho_install(struct kmho_record *rec, struct kmho_range_takeover *ranges,
		 unsigned long nr, struct kmho_range_takeover __user *uranges,
		 bool keep)
{
	struct kmho_installer in = {
		.rec = rec,
		.mm = current->mm,
		.nr = nr,
		.keep = keep,
		.lru = LIST_HEAD_INIT(in.lru),
	};
	struct file *file;
	unsigned long i;
	int err = 0;

	for (i = 0; i < nr; i++)
		if (!kmho_in_areas(rec, ranges[i].base,
				   ranges[i].base + ranges[i].len))
			return -ENOENT;

	in.targets = kvcalloc(nr, sizeof(*in.targets), GFP_KERNEL_ACCOUNT);
	if (!in.targets)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		in.targets[i] = (struct kmho_target) {
			.base = ranges[i].base,
			.end = ranges[i].base + ranges[i].len,
			.addr = ranges[i].remap_addr,
			.index = i,
			.chosen = !ranges[i].remap_addr,
		};
	sort(in.targets, nr, sizeof(*in.targets), kmho_cmp_target, NULL);

	xa_init(&in.files);
	for (i = 0; !err && i < nr; i++)
		err = kmho_open_target(&in, &in.targets[i]);

	/* Pages on their way to the LRU lists look as if somebody had them. */
	if (!rec->incoming)
		lru_add_drain_all();

	if (!err)
		err = mmap_write_lock_killable(in.mm);
	if (!err) {
		err = kmho_install_locked(&in, uranges);
		mmap_write_unlock(in.mm);
	}
	xa_for_each(&in.files, i, file)
		fput(file);
	xa_destroy(&in.files);
	kvfree(in.deposit);
	kvfree(in.targets);
	return err;
}

/**
 * kmho_install_part - put a part of what was taken over in
 * @p:		what waits; its lock is held, and the mmap lock
 * @part:	a part of its ranges; the extents stay in the table
 *
 * Return: 0; -ENOMEM; -EIO if KHO does not have a page. On failure nothing is
 * mapped, and it can be called again.
 */
int kmho_install_part(struct kmho_pending *p, const struct kmho_target *part)
{
	struct kmho_target t = *part;
	struct kmho_installer in = {
		.rec = p->rec,
		.mm = p->mm,
		.targets = &t,
		.nr = 1,
		.ahead = true,
		.memcg = p->memcg,
		.lru = LIST_HEAD_INIT(in.lru),
	};
	int err;

	err = kmho_prepare_target(&in, &t);
	if (err)
		kmho_unprepare(&in);
	else
		p->nr_pages -= kmho_install_target(&in, &t);
	kvfree(in.deposit);
	return err;
}
