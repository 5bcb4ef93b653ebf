// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parting a record from the process that made it, as fork() parts a child from
 * its parent: the pages stay with the record, and the first write of the
 * process to each goes to a copy of its own.
 */

#include <linux/bitmap.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>

#include <asm/tlbflush.h>

#include "../internal.h"
#include "internal.h"

static int kmho_protect_pmd(pmd_t *pmd, unsigned long addr, unsigned long next,
			    struct mm_walk *walk)
{
	struct vm_area_struct *vma = walk->vma;
	pte_t *start, *pte;
	spinlock_t *ptl; /* of the page table */

	split_huge_pmd(vma, pmd, addr);
	start = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!start) {
		walk->action = ACTION_AGAIN;
		return 0;
	}

	for (pte = start; addr < next; pte++, addr += PAGE_SIZE) {
		pte_t ptent = ptep_get(pte);
		struct page *page;

		if (!pte_present(ptent))
			continue;
		page = vm_normal_page(vma, addr, ptent);
		if (!page || !folio_test_anon(page_folio(page)))
			continue;

		ptep_set_wrprotect(walk->mm, addr, pte);
		if (PageAnonExclusive(page))
			ClearPageAnonExclusive(page);
	}
	pte_unmap_unlock(start, ptl);
	return 0;
}

#ifdef CONFIG_HUGETLB_PAGE
static int kmho_protect_hugetlb(pte_t *pte, unsigned long hmask,
				unsigned long addr, unsigned long next,
				struct mm_walk *walk)
{
	spinlock_t *ptl; /* of the page table */
	pte_t ptent;

	ptl = huge_pte_lock(hstate_vma(walk->vma), walk->mm, pte);
	ptent = huge_ptep_get(walk->mm, addr, pte);
	if (!huge_pte_none(ptent) && pte_present(ptent)) {
		struct folio *folio = page_folio(pte_page(ptent));

		if (folio_test_anon(folio)) {
			huge_ptep_set_wrprotect(walk->mm, addr, pte);
			if (PageAnonExclusive(&folio->page))
				ClearPageAnonExclusive(&folio->page);
		}
	}
	spin_unlock(ptl);
	return 0;
}
#else
#define kmho_protect_hugetlb	NULL
#endif

static const struct mm_walk_ops kmho_protect_ops = {
	.pmd_entry = kmho_protect_pmd,
	.hugetlb_entry = kmho_protect_hugetlb,
	.walk_lock = PGWALK_WRLOCK_VERIFY,
};

/* From here on a write of the process is a fault, and copies. */
static int kmho_protect_range(struct mm_struct *mm, unsigned long start,
			      unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct mmu_notifier_range notify;
	struct vm_area_struct *vma;
	int err;

	mmu_notifier_range_init(&notify, MMU_NOTIFY_PROTECTION_PAGE, 0, mm,
				start, end);
	mmu_notifier_invalidate_range_start(&notify);
	err = walk_page_range(mm, start, end, &kmho_protect_ops, NULL);
	for_each_vma_range(vmi, vma, end) {
		unsigned long from = max(start, vma->vm_start);
		unsigned long to = min(end, vma->vm_end);

		if (is_vm_hugetlb_page(vma))
			flush_hugetlb_tlb_range(vma, from, to);
		else
			flush_tlb_range(vma, from, to);
	}
	mmu_notifier_invalidate_range_end(&notify);
	return err;
}

/* Has somebody besides the record pinned a page of this extent? */
static bool kmho_extent_is_pinned(const struct kmho_extent_ser *ext)
{
	struct kmho_folio_iter fi;

	for_each_kmho_folio(ext, fi)
		if (kmho_folio_pins(fi.folio) > fi.nr)
			return true;

	return false;
}

/* What a device may still write to is not the record's any more: copy it. */
static int kmho_copy_pinned(struct kmho_record *rec)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	int err;

	for_each_kmho_entry(&rec->extents, pos, ext) {
		u64 next = kmho_extent_end(ext) << KMHO_EXTENT_NR_BITS;

		/* Nobody else has what is only held. */
		if (!(ext->what & KMHO_EXTENT_PINNED) ||
		    !kmho_extent_is_pinned(ext))
			continue;
		err = kmho_copy_extent(rec, ext);
		if (err)
			return err;
		pos = kmho_table_seek(&rec->extents, next);
		if (!kmho_table_before(&rec->extents, &pos))
			break;
	}

	return 0;
}

/* Part a record from the address space that it follows. */
static int kmho_freeze_mm(struct kmho_record *rec)
{
	struct kmho_range *range;
	int err;

	if (mmap_write_lock_killable(rec->mm))
		return -EINTR;
	err = kmho_sync(rec, false) ?: kmho_update_areas(rec);
	if (err)
		goto out_unlock;

	list_for_each_entry(range, &rec->ranges, node) {
		err = kmho_protect_range(rec->mm, range->start, range->end);
		if (err)
			goto out_unlock;
	}
	err = kmho_copy_pinned(rec);
	if (err) {
		/* Some pages are copies already: all of it is looked at again. */
		list_for_each_entry(range, &rec->ranges, node)
			bitmap_fill(range->dirty, kmho_range_nr_blocks(range));
		goto out_unlock;
	}

	kmho_unfollow(rec);
	rec->frozen = true;
out_unlock:
	mmap_write_unlock(rec->mm);
	return err;
}

/**
 * kmho_freeze - fix the contents of a record at this moment
 * @rec:	record; its lock is held
 *
 * Pages that somebody has pinned for longer, for a device to write to, are
 * copied, and so is shared memory. What nobody can change any more is left as
 * it is.
 *
 * Return: 0; -EINTR if the task is killed; -ENOMEM; -EIO if a page that must be
 * copied cannot be read; -EOPNOTSUPP if one that came after the handover cannot
 * be had. On failure the record goes on being live.
 */
int kmho_freeze(struct kmho_record *rec)
{
	int err = kmho_claims_freeze(rec);

	if (err)
		return err;
	if (rec->mm && !rec->frozen)
		err = kmho_freeze_mm(rec);
	if (err)
		kmho_claims_thaw(rec);
	else
		kmho_claims_frozen(rec);
	return err;
}
