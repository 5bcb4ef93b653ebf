// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parting a record from the process that made it, as fork() parts a child from
 * its parent: the pages stay with the record, and the first write of the
 * process to each goes to a copy of its own.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>

#include <asm/tlbflush.h>

#include "../internal.h"
#include "internal.h"

/*
 * Two steps of one walk: first each mapping loses its right to write, then the
 * page its mark that it is the process's alone.
 */
enum kmho_freeze_step {
	KMHO_PROTECT,
	KMHO_SHARE,
};

static int kmho_freeze_pmd(pmd_t *pmd, unsigned long addr, unsigned long next,
			   struct mm_walk *walk)
{
	enum kmho_freeze_step *step = walk->private;
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

		if (*step == KMHO_PROTECT)
			ptep_set_wrprotect(walk->mm, addr, pte);
		else if (PageAnonExclusive(page))
			ClearPageAnonExclusive(page);
	}
	pte_unmap_unlock(start, ptl);
	return 0;
}

#ifdef CONFIG_HUGETLB_PAGE
static int kmho_freeze_hugetlb(pte_t *pte, unsigned long hmask,
			       unsigned long addr, unsigned long next,
			       struct mm_walk *walk)
{
	enum kmho_freeze_step *step = walk->private;
	struct folio *folio = NULL;
	spinlock_t *ptl; /* of the page table */
	pte_t ptent;

	ptl = huge_pte_lock(hstate_vma(walk->vma), walk->mm, pte);
	ptent = huge_ptep_get(walk->mm, addr, pte);
	if (!huge_pte_none(ptent) && pte_present(ptent))
		folio = page_folio(pte_page(ptent));
	if (folio && folio_test_anon(folio)) {
		if (*step == KMHO_PROTECT)
			huge_ptep_set_wrprotect(walk->mm, addr, pte);
		else if (PageAnonExclusive(&folio->page))
			ClearPageAnonExclusive(&folio->page);
	}
	spin_unlock(ptl);
	return 0;
}
#else
#define kmho_freeze_hugetlb	NULL
#endif

static const struct mm_walk_ops kmho_freeze_ops = {
	.pmd_entry = kmho_freeze_pmd,
	.hugetlb_entry = kmho_freeze_hugetlb,
	.walk_lock = PGWALK_WRLOCK_VERIFY,
};

/* From here on a write of the process is a fault. */
static int kmho_protect_range(struct mm_struct *mm, unsigned long start,
			      unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	enum kmho_freeze_step step = KMHO_PROTECT;
	struct mmu_notifier_range notify;
	struct vm_area_struct *vma;
	int err;

	mmu_notifier_range_init(&notify, MMU_NOTIFY_PROTECTION_PAGE, 0, mm,
				start, end);
	mmu_notifier_invalidate_range_start(&notify);
	err = walk_page_range(mm, start, end, &kmho_freeze_ops, &step);
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

/*
 * From here on it copies: what the record has pinned is shared with it. Pages
 * of which the record has got a copy are left to the process, and to those who
 * have pinned them.
 */
static int kmho_share_range(struct kmho_record *rec,
			    const struct kmho_range *range)
{
	u64 end = (range->end + range->offset) >> PAGE_SHIFT;
	enum kmho_freeze_step step = KMHO_SHARE;
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	int err = 0;

	pos = kmho_table_seek(&rec->extents,
			      (range->start + range->offset) >> PAGE_SHIFT <<
			      KMHO_EXTENT_NR_BITS);
	for_each_kmho_entry_from(&rec->extents, pos, ext) {
		unsigned long addr;

		if (kmho_extent_vpn(ext) >= end)
			break;
		if (!(ext->what & KMHO_EXTENT_PINNED))
			continue;
		addr = (kmho_extent_vpn(ext) << PAGE_SHIFT) - range->offset;
		err = walk_page_range(rec->mm, addr, addr +
				      kmho_extent_nr(ext) * PAGE_SIZE,
				      &kmho_freeze_ops, &step);
		if (err)
			break;
		cond_resched();
	}

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

/* Nobody else has what is only held. */
static bool kmho_extent_needs_copy(const struct kmho_extent_ser *ext)
{
	return (ext->what & KMHO_EXTENT_PINNED) && kmho_extent_is_pinned(ext);
}

static bool kmho_record_needs_copies(const struct kmho_record *rec)
{
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;

	for_each_kmho_entry(&rec->extents, pos, ext) {
		if (kmho_extent_needs_copy(ext))
			return true;
		cond_resched();
	}

	return false;
}

/* Free an extent that a record does not have, or has no longer. */
static void kmho_discard_extent(const struct kmho_record *rec,
				struct kmho_extent_ser *ext)
{
	kmho_unkeep_extents(rec, ext, 1);
	kmho_extent_release(ext);
}

/* Add copies of the pages of an extent to a table. Some may be there on failure. */
static int kmho_add_copies(const struct kmho_record *rec,
			   const struct kmho_extent_ser *ext,
			   struct kmho_table *table)
{
	unsigned long at, nr = 1UL << kmho_copy_order(ext);
	struct kmho_extent_ser copy;
	int err;

	for (at = 0; at < kmho_extent_nr(ext); at += nr) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = kmho_copy_part(ext, at, &copy);
		if (err)
			return err;
		if (!rec->unkept) {
			err = kmho_extents_preserve(&copy, 1);
			if (err) {
				kmho_extent_release(&copy);
				return err;
			}
		}
		err = kmho_table_append(table, &copy);
		if (err) {
			kmho_discard_extent(rec, &copy);
			return err;
		}
	}

	return 0;
}

/*
 * What a device may still write to is not the record's any more: copy it. The
 * record has either all of the copies or none.
 */
static int kmho_copy_pinned(struct kmho_record *rec)
{
	struct kmho_table next; /* all extents that the record will have */
	struct kmho_table gone; /* those of them that give way to copies */
	struct kmho_extent_ser *ext, *copy;
	struct kmho_pos pos, at;
	int err;

	if (!kmho_record_needs_copies(rec))
		return 0;

	kmho_table_init(&next, sizeof(*ext));
	kmho_table_init(&gone, sizeof(*ext));

	for_each_kmho_entry(&rec->extents, pos, ext) {
		if (kmho_extent_needs_copy(ext))
			err = kmho_table_append(&gone, ext) ?:
			      kmho_add_copies(rec, ext, &next);
		else
			err = kmho_table_append(&next, ext);
		if (err)
			goto err_copies;
		cond_resched();
	}

	swap(rec->extents, next);
	for_each_kmho_entry(&gone, pos, ext) {
		kmho_discard_extent(rec, ext);
		cond_resched();
	}
	goto out_destroy;

err_copies:
	for_each_kmho_entry(&gone, pos, ext) {
		at = kmho_table_seek(&next, kmho_extent_vpn(ext) <<
				     KMHO_EXTENT_NR_BITS);
		for_each_kmho_entry_from(&next, at, copy) {
			if (kmho_extent_vpn(copy) >= kmho_extent_end(ext))
				break;
			kmho_discard_extent(rec, copy);
		}
		cond_resched();
	}
out_destroy:
	kmho_table_destroy(&next);
	kmho_table_destroy(&gone);
	return err;
}

/* Part a record from the address space that it follows. */
static int kmho_freeze_mm(struct kmho_record *rec)
{
	struct mm_struct *mm = rec->mm;
	struct kmho_range *range;
	int err;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	err = kmho_sync(rec, false) ?: kmho_update_areas(rec);
	if (err)
		goto out_unlock;

	/* As in fork(), nobody pins a page without the mmap lock meanwhile. */
	raw_write_seqcount_begin(&mm->write_protect_seq);
	list_for_each_entry(range, &rec->ranges, node) {
		err = kmho_protect_range(mm, range->start, range->end);
		if (err)
			goto out_end;
	}
	err = kmho_copy_pinned(rec);
	if (err)
		goto out_end;
	list_for_each_entry(range, &rec->ranges, node)
		WARN_ON_ONCE(kmho_share_range(rec, range));

	kmho_unfollow(rec);
	rec->frozen = true;
out_end:
	raw_write_seqcount_end(&mm->write_protect_seq);
out_unlock:
	mmap_write_unlock(mm);
	return err;
}

/**
 * kmho_freeze - fix the contents of a record at this moment
 * @rec:	record; its lock is held
 *
 * Pages that somebody has pinned for longer, for a device to write to, are
 * copied, and so is shared memory: the process and the device go on with theirs.
 * What nobody can change any more is left as it is.
 *
 * Return: 0; -EINTR if the task is killed; -ENOMEM; -EIO if a page that must be
 * copied cannot be read; -EOPNOTSUPP if one that came after the handover cannot
 * be had. On failure the record is what it was.
 */
int kmho_freeze(struct kmho_record *rec)
{
	int err = kmho_claims_freeze(rec);

	if (err)
		return err;
	if (!rec->mm)
		err = kmho_copy_pinned(rec);
	else if (!rec->frozen)
		err = kmho_freeze_mm(rec);
	if (err) {
		kmho_claims_thaw(rec);
		return err;
	}

	kmho_claims_frozen(rec);
	/* The step at the kexec has nothing left to do. */
	kmho_table_seal(&rec->areas, false);
	kmho_table_seal(&rec->extents, false);
	return 0;
}
