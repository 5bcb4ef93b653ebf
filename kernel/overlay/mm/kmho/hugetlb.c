// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of hugetlb, which are of a pool, do not lie on the LRU lists, and
 * are accounted by their own rules.
 *
 * A huge page stays in use in its pool for as long as a record of this kernel
 * has it. One that came with a kexec is in no pool until it is taken over: it
 * becomes a surplus page then. The pool that the administrator has asked for is
 * as large afterwards as it was.
 *
 * Reservations do not cross. What is taken over is mapped as MAP_NORESERVE maps
 * it.
 */

#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>

#include "../hugetlb_internal.h"
#include "../internal.h"
#include "internal.h"

static struct hstate *kmho_hstate(unsigned int order)
{
	return size_to_hstate(PAGE_SIZE << order);
}

/**
 * kmho_hugetlb_has_order - does this kernel have huge pages of a size?
 * @order:	the order
 *
 * Return: true if it does.
 */
bool kmho_hugetlb_has_order(unsigned int order)
{
	return kmho_hstate(order);
}

/**
 * kmho_hugetlb_file - make what a private mapping of huge pages maps
 * @len:	size of the mapping, in bytes
 * @order:	order of the huge pages
 *
 * Return: the file, or an error pointer.
 */
struct file *kmho_hugetlb_file(unsigned long len, unsigned int order)
{
	struct file *file;

	file = hugetlb_file_setup(HUGETLB_ANON_FILE, len,
				  mk_vma_flags(VMA_NORESERVE_BIT),
				  HUGETLB_ANONHUGE_INODE, PAGE_SHIFT + order);
	/* There is no device that could be full. */
	return file == ERR_PTR(-ENOSPC) ? ERR_PTR(-ENOMEM) : file;
}

/* Take a folio out of its memory cgroups; it stays counted. */
static void kmho_hugetlb_uncharge_locked(struct folio *folio)
{
	int idx = hstate_index(folio_hstate(folio));
	long nr = folio_nr_pages(folio);

	lockdep_assert_held(&hugetlb_lock);
	hugetlb_cgroup_uncharge_folio(idx, nr, folio);
	hugetlb_cgroup_uncharge_folio_rsvd(idx, nr, folio);
	lruvec_stat_mod_folio(folio, NR_HUGETLB, -nr);
	mem_cgroup_uncharge(folio);
	lruvec_stat_mod_folio(folio, NR_HUGETLB, nr);
}

/**
 * kmho_hugetlb_claim - make a huge page look new that its process left behind
 * @folio:	the folio, with a pin a page
 *
 * Return: true, with one reference in place of the pins; false if anybody but
 * the record has a part in it, and it is then as it was.
 */
bool kmho_hugetlb_claim(struct folio *folio)
{
	unsigned long nr = folio_nr_pages(folio);

	if (folio_mapped(folio) || atomic_read(&folio->_pincount) != nr)
		return false;

	scoped_guard(spinlock_irq, &hugetlb_lock) {
		if (!folio_ref_freeze(folio, nr))
			return false;
		folio_clear_hugetlb_migratable(folio);
		kmho_hugetlb_uncharge_locked(folio);
	}
	node_stat_mod_folio(folio, NR_FOLL_PIN_RELEASED, nr);
	atomic_set(&folio->_pincount, 0);
	if (folio_test_anon(folio))
		ClearPageAnonExclusive(&folio->page);
	folio->mapping = NULL;
	folio_ref_unfreeze(folio, 1);
	return true;
}

/**
 * kmho_hugetlb_adopt - make huge pages of what came with the kexec
 * @ext:	extent of huge pages, restored
 */
void kmho_hugetlb_adopt(struct kmho_extent_ser *ext)
{
	struct hstate *h = kmho_hstate(kmho_extent_order(ext));
	struct page *page = kmho_extent_page(ext);
	unsigned long left = kmho_extent_nr(ext);

	for (; left; left -= pages_per_huge_page(h)) {
		hugetlb_adopt_folio(h, page);
		page += pages_per_huge_page(h);
		cond_resched();
	}
}

/**
 * kmho_hugetlb_alloc - get a huge page to copy to
 * @order:	its order
 *
 * From the pool, or from the buddy allocator until it is freed.
 *
 * Return: its first page, or NULL.
 */
struct page *kmho_hugetlb_alloc(unsigned int order)
{
	struct hstate *h = kmho_hstate(order);
	unsigned int flags = memalloc_pin_save();
	struct folio *folio;

	folio = alloc_hugetlb_folio_nodemask(h, numa_mem_id(), NULL,
					     htlb_alloc_mask(h), true);
	memalloc_pin_restore(flags);
	return folio ? folio_page(folio, 0) : NULL;
}

/**
 * kmho_hugetlb_charge - charge a huge page to the caller's cgroups
 * @folio:	the folio
 * @mm:		address space of the caller
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_hugetlb_charge(struct folio *folio, struct mm_struct *mm)
{
	int idx = hstate_index(folio_hstate(folio));
	long nr = folio_nr_pages(folio);
	struct hugetlb_cgroup *h_cg = NULL;
	int err;

	if (hugetlb_cgroup_charge_cgroup(idx, nr, &h_cg))
		return -ENOMEM;

	lruvec_stat_mod_folio(folio, NR_HUGETLB, -nr);
	err = mem_cgroup_charge_hugetlb(folio, mm,
					GFP_KERNEL | __GFP_RETRY_MAYFAIL);
	lruvec_stat_mod_folio(folio, NR_HUGETLB, nr);
	if (err) {
		hugetlb_cgroup_uncharge_cgroup(idx, nr, h_cg);
		return err;
	}

	scoped_guard(spinlock_irq, &hugetlb_lock)
		hugetlb_cgroup_commit_charge(idx, nr, h_cg, folio);
	return 0;
}

/**
 * kmho_hugetlb_uncharge - undo kmho_hugetlb_charge()
 * @folio:	the folio
 */
void kmho_hugetlb_uncharge(struct folio *folio)
{
	guard(spinlock_irq)(&hugetlb_lock);
	kmho_hugetlb_uncharge_locked(folio);
}

/**
 * kmho_hugetlb_alloc_tables - have page tables for an extent of huge pages
 * @mm:		address space; its mmap lock is held for writing
 * @ext:	the extent
 * @addr:	where it goes
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_hugetlb_alloc_tables(struct mm_struct *mm,
			      const struct kmho_extent_ser *ext,
			      unsigned long addr)
{
	unsigned long end = addr + kmho_extent_nr(ext) * PAGE_SIZE;
	unsigned long size = PAGE_SIZE << kmho_extent_order(ext);

	for (; addr < end; addr += size) {
		struct vm_area_struct *vma = vma_lookup(mm, addr);

		if (anon_vma_prepare(vma) ||
		    !huge_pte_alloc(mm, vma, addr, size))
			return -ENOMEM;
	}

	return 0;
}

/**
 * kmho_hugetlb_install - put the huge pages of an extent in
 * @mm:		address space; its mmap lock is held for writing
 * @ext:	the extent, with a reference a folio
 * @addr:	where it goes; kmho_hugetlb_alloc_tables() was there
 */
void kmho_hugetlb_install(struct mm_struct *mm,
			  const struct kmho_extent_ser *ext,
			  unsigned long addr)
{
	unsigned long end = addr + kmho_extent_nr(ext) * PAGE_SIZE;
	unsigned long size = PAGE_SIZE << kmho_extent_order(ext);
	struct hstate *h = kmho_hstate(kmho_extent_order(ext));
	struct page *page = kmho_extent_page(ext);

	for (; addr < end; addr += size, page += pages_per_huge_page(h)) {
		struct vm_area_struct *vma = vma_lookup(mm, addr);
		pte_t *pte = hugetlb_walk(vma, addr, size);
		spinlock_t *ptl; /* of the page table */

		ptl = huge_pte_lock(h, mm, pte);
		hugetlb_install_folio(vma, pte, addr, page_folio(page),
				      huge_ptep_get(mm, addr, pte), size);
		spin_unlock(ptl);
	}
}
