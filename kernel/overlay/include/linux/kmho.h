/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rest of the kernel calls so that memory which kmho(2) has handed
 * over stays true to its record. All of it costs one load and one branch for an
 * address space that has handed nothing over.
 */
#ifndef _LINUX_KMHO_H
#define _LINUX_KMHO_H

#include <linux/compiler.h>
#include <linux/mm_types.h>

struct inode;

#ifdef CONFIG_KMHO

vm_fault_t __kmho_fault(struct vm_area_struct *vma, unsigned long address,
			unsigned int flags);
int __kmho_settle(struct mm_struct *mm, unsigned long start, unsigned long end);
bool __kmho_pending(struct mm_struct *mm, unsigned long start,
		    unsigned long end);
bool __kmho_overlaps(struct mm_struct *mm, unsigned long start,
		     unsigned long end);
bool __kmho_has_own(struct mm_struct *mm, unsigned long address);
void __kmho_zapped(struct mm_struct *mm, unsigned long start,
		   unsigned long end);
void __kmho_exit_mm(struct mm_struct *mm);
void __kmho_destroy_mm(struct mm_struct *mm);
int kmho_seal(void);
void kmho_unseal(void);
int __kmho_note_pages(struct inode *inode, pgoff_t first, pgoff_t last,
		      bool may_fail);
void __kmho_note_size(struct inode *inode);
bool kmho_object_overlaps(struct inode *inode, pgoff_t first, pgoff_t last);

/**
 * kmho_fault - note that a fault may give a handed over range another page
 * @vma:	mapping that faulted
 * @address:	address that faulted
 * @flags:	FAULT_FLAG_*
 *
 * Called before the fault is handled. Puts in what was taken over and waits to
 * be touched. Waits while a kexec is under way and the records are complete: a
 * write that would need another page then never completes, so that no completed
 * write is lost.
 *
 * Context: mmap lock or VMA lock held for reading, or mmap lock for writing.
 * Return: 0; VM_FAULT_RETRY with the VMA lock dropped if the mmap lock is
 * needed; another VM_FAULT_* if a page cannot be had, or the machine is about to
 * be the next kernel's, and the task does not get back to user space.
 */
static inline vm_fault_t kmho_fault(struct vm_area_struct *vma,
				    unsigned long address, unsigned int flags)
{
	if (unlikely(READ_ONCE(vma->vm_mm->kmho)))
		return __kmho_fault(vma, address, flags);

	return 0;
}

/**
 * kmho_pending - is there memory that waits to be touched?
 * @mm:		address space
 * @start:	first byte
 * @end:	byte after the last
 *
 * What was taken over may not be in the page tables yet. Where they have
 * nothing, that does not mean a hole.
 *
 * Context: mmap lock or VMA lock held.
 */
static inline bool kmho_pending(struct mm_struct *mm, unsigned long start,
				unsigned long end)
{
	return unlikely(READ_ONCE(mm->kmho)) && __kmho_pending(mm, start, end);
}

/**
 * kmho_settle - put in what was taken over and waits to be touched
 * @mm:		address space
 * @start:	first byte
 * @end:	byte after the last
 *
 * For whoever is about to look at page tables, or to change them, otherwise
 * than by a fault.
 *
 * Context: mmap lock held.
 * Return: 0; -ENOMEM; -EIO if KHO does not have a page; -EINTR if the task is
 * killed. It can be called again.
 */
static inline int kmho_settle(struct mm_struct *mm, unsigned long start,
			      unsigned long end)
{
	if (unlikely(READ_ONCE(mm->kmho)))
		return __kmho_settle(mm, start, end);

	return 0;
}

/**
 * kmho_overlaps - is any of this memory handed over?
 * @mm:		address space
 * @start:	first byte
 * @end:	byte after the last
 *
 * Context: mmap lock or VMA lock held.
 * Return: true if a live record has a part of the range.
 */
static inline bool kmho_overlaps(struct mm_struct *mm, unsigned long start,
				 unsigned long end)
{
	return unlikely(READ_ONCE(mm->kmho)) && __kmho_overlaps(mm, start, end);
}

/**
 * kmho_has_own - are pins of a page here those of a record that follows it?
 * @mm:		address space
 * @address:	address of the page
 *
 * When a range of hugetlb is collected each of its pages is, or becomes, the
 * process's own. From then on who shares one of them and hands it over takes a
 * copy, so that nobody but the record that follows the range has pinned it.
 *
 * Context: mmap lock or VMA lock held.
 * Return: true if a live record follows the address and has collected it.
 */
static inline bool kmho_has_own(struct mm_struct *mm, unsigned long address)
{
	return unlikely(READ_ONCE(mm->kmho)) && __kmho_has_own(mm, address);
}

/**
 * kmho_zapped - note that pages of a file's mappings have been thrown away
 * @mm:		address space
 * @start:	first byte
 * @end:	byte after the last
 *
 * Called after the pages have gone from the page tables: truncating a file
 * takes even those away that were copied on write.
 */
static inline void kmho_zapped(struct mm_struct *mm, unsigned long start,
			       unsigned long end)
{
	if (unlikely(READ_ONCE(mm->kmho)))
		__kmho_zapped(mm, start, end);
}

static inline void kmho_init_mm(struct mm_struct *mm)
{
	mm->kmho = NULL;
}

/**
 * kmho_exit_mm - complete the records of an address space that ends
 * @mm:		address space without users, not yet unmapped
 */
static inline void kmho_exit_mm(struct mm_struct *mm)
{
	if (unlikely(mm->kmho))
		__kmho_exit_mm(mm);
}

static inline void kmho_destroy_mm(struct mm_struct *mm)
{
	if (unlikely(mm->kmho))
		__kmho_destroy_mm(mm);
}

#else /* !CONFIG_KMHO */

static inline vm_fault_t kmho_fault(struct vm_area_struct *vma,
				    unsigned long address, unsigned int flags)
{
	return 0;
}

static inline bool kmho_pending(struct mm_struct *mm, unsigned long start,
				unsigned long end)
{
	return false;
}

static inline int kmho_settle(struct mm_struct *mm, unsigned long start,
			      unsigned long end)
{
	return 0;
}

static inline bool kmho_overlaps(struct mm_struct *mm, unsigned long start,
				 unsigned long end)
{
	return false;
}

static inline bool kmho_has_own(struct mm_struct *mm, unsigned long address)
{
	return false;
}

static inline void kmho_zapped(struct mm_struct *mm, unsigned long start,
			       unsigned long end) { }

static inline bool kmho_object_overlaps(struct inode *inode, pgoff_t first,
					pgoff_t last)
{
	return false;
}

static inline void kmho_init_mm(struct mm_struct *mm) { }
static inline void kmho_exit_mm(struct mm_struct *mm) { }
static inline void kmho_destroy_mm(struct mm_struct *mm) { }

static inline int kmho_seal(void)
{
	return 0;
}

static inline void kmho_unseal(void) { }

#endif /* CONFIG_KMHO */

#endif /* _LINUX_KMHO_H */
