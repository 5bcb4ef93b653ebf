// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an address space to extents.
 *
 * Memory is collected by the block, which is as much of it as one page table
 * maps (PMD_SIZE), so that a block can be collected again when it has changed.
 * Each page is pinned: it is not swapped out, migrated or freed from then on.
 * It can still be replaced by a copy on write, which is a fault and is noted.
 * Blocks whose pages need no more than that are collected many at a time.
 *
 * A page is taken as it is, even one that fork() shares: to unshare it would
 * copy it. Only a page that is shared and pinned already is, because another
 * record may have it, and no page can be in two.
 *
 * Of a private mapping of a file the pages that were copied on write are taken.
 * The others are the file's, and holes here.
 *
 * Most pages are small, and the process's alone. Those that follow each other are
 * taken by kmho_take_run(), which costs little more than a pin for each. A large
 * folio that is mapped as a whole is taken by kmho_take_folio() with one pin. Every
 * other page is left to kmho_collect_pte(). kmho_take_huge_run() does the same for
 * huge pages, and leaves others to kmho_collect_pmd().
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/mm.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/leafops.h>
#include <linux/migrate.h>
#include <linux/mm_inline.h>
#include <linux/mmap_lock.h>
#include <linux/mman.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/userfaultfd_k.h>

#include "../internal.h"
#include "internal.h"

/* Extents that are found at a time; a block has no more than PTRS_PER_PTE. */
#define KMHO_MAX_FOUND	(2 * PTRS_PER_PTE)

/* Flags in which the pages of a run are alike */
#define KMHO_RUN_FLAGS	(BIT(PG_head) | BIT(PG_anon_exclusive) |	\
			 ZONEID_MASK << ZONEID_PGSHIFT)

/**
 * struct kmho_collector - what is known of the block being collected
 * @rec:	record that it is collected for
 * @mm:		its address space
 * @ext:	extents found
 * @nr:		how many
 * @old:	extents that the record has there already
 * @nr_old:	how many
 * @start:	first address of the block
 * @offset:	what the record adds to addresses
 * @fault:	pages that have to be faulted in or unshared before they can be
 *		taken, a bit for each page of the block
 * @nr_fault:	how many
 * @pageblock:	pageblock last asked about
 * @in_scratch:	it lies in a scratch area
 * @far:	start of KMHO_FAR_PAGES around it that are in none
 * @pinned_on:	node of what was pinned in a run
 * @nr_pinned:	how many pins are not in its statistics yet
 * @migrate:	isolated folios that lie in scratch areas
 * @drain:	a folio could not be isolated because it is in a CPU's batch
 * @easy:	stop at a block whose pages need more than a pin
 * @stop:	such a page was found
 * @done:	where it was stopped
 * @end:	end of what one page table maps of a VMA
 * @taken:	all before this address is dealt with
 * @unshare:	have no huge page of hugetlb that is shared
 * @must:	pass over what cannot be had, do not fail for it
 * @copy:	copy what cannot be moved out of a scratch area
 */
struct kmho_collector {
	struct kmho_record *rec;
	struct mm_struct *mm;
	struct kmho_extent_ser *ext;
	unsigned long nr;
	struct kmho_extent_ser *old;
	unsigned long nr_old;
	unsigned long start;
	unsigned long offset;
	DECLARE_BITMAP(fault, PTRS_PER_PTE);
	unsigned long nr_fault;
	unsigned long pageblock;
	bool in_scratch;
	unsigned long far;
	struct pglist_data *pinned_on;
	unsigned long nr_pinned;
	struct list_head migrate;
	bool drain;
	bool easy;
	bool stop;
	unsigned long done;
	unsigned long end;
	unsigned long taken;
	bool unshare;
	bool must;
	bool copy;
};

static struct kmho_collector *kmho_collector_alloc(struct kmho_record *rec)
{
	struct kmho_collector *c;

	c = kvzalloc_obj(*c);
	if (!c)
		return NULL;

	c->ext = kvmalloc_array(KMHO_MAX_FOUND, sizeof(*c->ext), GFP_KERNEL);
	c->old = kvmalloc_array(PTRS_PER_PTE, sizeof(*c->old), GFP_KERNEL);
	if (!c->ext || !c->old) {
		kvfree(c->ext);
		kvfree(c->old);
		kvfree(c);
		return NULL;
	}

	c->rec = rec;
	c->mm = rec->mm;
	c->pageblock = ULONG_MAX;
	c->far = ULONG_MAX;
	INIT_LIST_HEAD(&c->migrate);
	return c;
}

static void kmho_collector_free(struct kmho_collector *c)
{
	kvfree(c->ext);
	kvfree(c->old);
	kvfree(c);
}

/* Where an address is in the record */
static u64 kmho_vpn(const struct kmho_collector *c, unsigned long addr)
{
	return (addr + c->offset) >> PAGE_SHIFT;
}

/* Does the record have this page at this place already? */
static bool kmho_is_old(const struct kmho_collector *c, u64 vpn, u64 pfn)
{
	unsigned long i;

	for (i = 0; i < c->nr_old; i++) {
		u64 first = kmho_extent_vpn(&c->old[i]);

		if (vpn >= first && vpn < kmho_extent_end(&c->old[i]))
			return kmho_extent_pfn(&c->old[i]) + vpn - first == pfn;
	}

	return false;
}

static void kmho_want_fault(struct kmho_collector *c, unsigned long addr)
{
	if (c->easy) {
		c->stop = true;
		return;
	}
	__set_bit((addr - c->start) >> PAGE_SHIFT, c->fault);
	c->nr_fault++;
}

static void kmho_want_migration(struct kmho_collector *c, struct folio *folio)
{
	if (c->easy) {
		c->stop = true;
	} else if (folio_test_hugetlb(folio)) {
		if (!folio_isolate_hugetlb(folio, &c->migrate))
			c->drain = true;
	} else if (folio_isolate_lru(folio)) {
		list_add_tail(&folio->lru, &c->migrate);
		node_stat_mod_folio(folio, NR_ISOLATED_ANON +
				    folio_is_file_lru(folio),
				    folio_nr_pages(folio));
	} else {
		c->drain = true;
	}
}

/* Is one of these pages shared, and not the record's already? */
static bool kmho_is_shared(const struct kmho_collector *c, struct page *page,
			   unsigned long addr, unsigned long nr, bool huge)
{
	struct folio *folio = page_folio(page);
	unsigned long i;

	/* What is mapped as huge has one flag for all its pages. */
	if (huge)
		return !PageAnonExclusive(&folio->page) &&
		       !kmho_is_old(c, kmho_vpn(c, addr), page_to_pfn(page));
	for (i = 0; i < nr; i++)
		if (!PageAnonExclusive(page + i) &&
		    !kmho_is_old(c, kmho_vpn(c, addr) + i,
				 page_to_pfn(page) + i))
			return true;

	return false;
}

/* Add pinned pages to what was found. */
static void kmho_add(struct kmho_collector *c, u64 vpn, struct page *page,
		     unsigned long nr, unsigned int order, bool hugetlb)
{
	u64 flags = KMHO_EXTENT_PINNED;
	u64 pfn = page_to_pfn(page);

	if (hugetlb)
		flags |= KMHO_EXTENT_HUGETLB;

	/* No extent crosses the end of a block of the record. */
	if (c->nr && vpn % PTRS_PER_PTE) {
		struct kmho_extent_ser *last = &c->ext[c->nr - 1];

		if (kmho_extent_end(last) == vpn &&
		    kmho_extent_pfn(last) + kmho_extent_nr(last) == pfn &&
		    kmho_extent_order(last) == order &&
		    (last->what & KMHO_EXTENT_FLAGS) == flags &&
		    page_to_nid(kmho_extent_page(last)) == page_to_nid(page)) {
			last->where += nr;
			return;
		}
	}

	c->ext[c->nr++] = kmho_extent_make(vpn, pfn, nr, order, flags);
}

/* No scratch area in so many pages: there is no need to ask for each pageblock */
#define KMHO_FAR_PAGES	max(SZ_64M >> PAGE_SHIFT, pageblock_nr_pages)

/*
 * Does a page or a folio lie in a scratch area? These are made of whole
 * pageblocks. A folio that is larger than a pageblock may reach into one.
 */
static bool kmho_in_scratch(struct kmho_collector *c, struct page *page,
			    unsigned int order)
{
	unsigned long far = ALIGN_DOWN(page_to_pfn(page), KMHO_FAR_PAGES);
	unsigned long pageblock = pageblock_start_pfn(page_to_pfn(page));

	if (order > pageblock_order)
		return kho_scratch_overlap(page_to_phys(page),
					   PAGE_SIZE << order);
	if (c->far == far)
		return false;
	if (c->pageblock != pageblock) {
		c->pageblock = pageblock;
		c->in_scratch = kho_scratch_overlap(PFN_PHYS(pageblock),
						    pageblock_nr_pages <<
						    PAGE_SHIFT);
		if (!kho_scratch_overlap(PFN_PHYS(far),
					 KMHO_FAR_PAGES << PAGE_SHIFT))
			c->far = far;
	}

	return c->in_scratch;
}

/* Count what was pinned in runs. */
static void kmho_count_pins(struct kmho_collector *c)
{
	if (c->nr_pinned)
		mod_node_page_state(c->pinned_on, NR_FOLL_PIN_ACQUIRED,
				    c->nr_pinned);
	c->nr_pinned = 0;
}

/* These pages of a run are pinned: count that later. */
static void kmho_count_run(struct kmho_collector *c, struct page *page,
			   unsigned long nr)
{
	if (c->pinned_on != page_pgdat(page)) {
		kmho_count_pins(c);
		c->pinned_on = page_pgdat(page);
	}
	c->nr_pinned += nr;
}

/*
 * Take a large folio that is anonymous and that page table entries map from its
 * start to its end, unless somebody has pinned it: whether its pages are shared
 * does not matter then, as no record can have them.
 *
 * Returns how many page table entries were dealt with; 0: it is of another kind.
 */
static unsigned long kmho_take_folio(struct kmho_collector *c, pte_t *pte,
				     struct folio *folio, unsigned long addr,
				     unsigned long max)
{
	unsigned int order = folio_order(folio);
	unsigned long nr = 1UL << order, i;
	u64 vpn = kmho_vpn(c, addr);
	pte_t ptent = ptep_get(pte);
	pteval_t val, step;

	if (nr > min(max, PTRS_PER_PTE - vpn % PTRS_PER_PTE) ||
	    !folio_test_anon(folio) || folio_maybe_dma_pinned(folio) ||
	    kmho_in_scratch(c, &folio->page, order))
		return 0;

	val = pte_val(ptent);
	step = pte_val(pte_next_pfn(ptent)) - val;
	for (i = 0; i < nr; i += pte_batch_hint(pte + i, ptent)) {
		ptent = ptep_get(pte + i);
		if (pte_val(ptent) != val + i * step)
			return 0;
	}

	if (!try_pin_large_folio(folio, nr))
		return 0;
	kmho_count_run(c, &folio->page, nr);
	/* Another record may have found it without a pin just now, too. */
	if (kmho_folio_pins(folio) > nr) {
		gup_put_folio(folio, nr, FOLL_PIN);
		return 0;
	}

	kmho_add(c, vpn, &folio->page, nr, order, false);
	return nr;
}

/*
 * Take small pages that are anonymous and the process's alone, and that follow
 * each other in both address spaces. Nobody else can have such a page in a
 * record, and it needs no closer look.
 *
 * Returns how many page table entries were dealt with; 0: the first is of
 * another kind.
 */
static unsigned long kmho_take_run(struct kmho_collector *c, pte_t *pte,
				   unsigned long addr, unsigned long max)
{
	u64 vpn = kmho_vpn(c, addr);
	pte_t ptent = ptep_get(pte);
	struct page *first, *page;
	unsigned long pfn, flags;
	pteval_t val, step;

	if (!pte_present(ptent) || pte_special(ptent))
		return 0;

	pfn = pte_pfn(ptent);
	page = pfn_to_page(pfn);
	first = page;
	flags = first->flags.f & KMHO_RUN_FLAGS;
	if (is_zone_device_page(first))
		return 0;
	if (flags & BIT(PG_head))
		return kmho_take_folio(c, pte, (struct folio *)first, addr,
				       max);
	if (!(flags & BIT(PG_anon_exclusive)) || kmho_in_scratch(c, first, 0))
		return 0;

	/* It ends with the pageblock, and with the block of the record. */
	max = min3(max, PTRS_PER_PTE - vpn % PTRS_PER_PTE,
		   pageblock_end_pfn(pfn) - pfn);
	/* Entries for pages that follow each other go up, or down, evenly. */
	val = pte_val(ptent);
	step = pte_val(pte_next_pfn(ptent)) - val;
	do {
		struct folio *folio = (struct folio *)page;

		if (pte_val(ptep_get(pte)) != val || PageTail(page) ||
		    (page->flags.f & KMHO_RUN_FLAGS) != flags ||
		    !folio_test_anon(folio) || !try_pin_small_folio(folio))
			break;
		val += step;
		pte++;
		page++;
	} while (page < first + max);
	if (page == first)
		return 0;

	kmho_count_run(c, first, page - first);
	kmho_add(c, vpn, first, page - first, 0, false);
	return page - first;
}

/*
 * Take huge pages that follow each other in a page table, and are what
 * kmho_take_run() takes of small ones. All entries of a table have one lock.
 *
 * Returns the address behind them; @addr: the first is of another kind.
 */
static unsigned long kmho_take_huge_run(struct kmho_collector *c, pmd_t *pmd,
					unsigned long addr, unsigned long end,
					struct vm_area_struct *vma)
{
	const unsigned long want = BIT(PG_head) | BIT(PG_anon_exclusive);
	spinlock_t *ptl; /* of the page table */

	if (!IS_ALIGNED(addr, PMD_SIZE))
		return addr;
	ptl = pmd_trans_huge_lock(pmd, vma);
	if (!ptl)
		return addr;

	for (; end - addr >= PMD_SIZE; addr += PMD_SIZE, pmd++) {
		pmd_t pmdval = pmdp_get(pmd);
		struct folio *folio;
		struct page *page;

		if (!pmd_present(pmdval) || !pmd_trans_huge(pmdval))
			break;
		page = pmd_page(pmdval);
		if ((page->flags.f & want) != want ||
		    kmho_in_scratch(c, page, KMHO_BLOCK_ORDER))
			break;
		folio = (struct folio *)page;
		if (folio_order(folio) != KMHO_BLOCK_ORDER ||
		    !folio_test_anon(folio) || folio_is_zone_device(folio))
			break;

		if (!try_pin_large_folio(folio, PTRS_PER_PTE))
			break;
		kmho_count_run(c, page, PTRS_PER_PTE);
		c->ext[c->nr++] = kmho_extent_make(kmho_vpn(c, addr),
						   page_to_pfn(page),
						   PTRS_PER_PTE,
						   KMHO_BLOCK_ORDER,
						   KMHO_EXTENT_PINNED);
	}
	spin_unlock(ptl);
	kmho_count_pins(c);
	return addr;
}

/* Take pages that follow each other in both address spaces. */
static int kmho_take(struct kmho_collector *c, struct folio *folio,
		     struct page *page, unsigned long addr, unsigned long nr,
		     bool huge)
{
	bool in_scratch = kmho_in_scratch(c, page, folio_order(folio));
	bool whole = nr == folio_nr_pages(folio);
	bool hugetlb = folio_test_hugetlb(folio);
	u64 vpn = kmho_vpn(c, addr);
	unsigned long head;
	int err;

	if (unlikely(in_scratch && !c->copy)) {
		kmho_want_migration(c, folio);
		return 0;
	}

	err = try_grab_folio(folio, nr, FOLL_PIN);
	if (err)
		return err;

	if (unlikely(in_scratch)) {
		/* Each by itself, so that a copy can come in its place. */
		if (hugetlb) {
			c->ext[c->nr++] = kmho_extent_make(vpn,
							   page_to_pfn(page),
							   nr,
							   folio_order(folio),
							   KMHO_EXTENT_PINNED |
							   KMHO_EXTENT_HUGETLB);
			return 0;
		}
		for (; nr; nr--, page++)
			c->ext[c->nr++] = kmho_extent_make(vpn++,
							   page_to_pfn(page), 1,
							   0, KMHO_EXTENT_PINNED);
		return 0;
	}

	/* Another record may have looked at a shared page just now, too. */
	if (kmho_folio_pins(folio) > nr &&
	    kmho_is_shared(c, page, addr, nr, huge)) {
		gup_put_folio(folio, nr, FOLL_PIN);
		kmho_want_fault(c, addr);
		return 0;
	}

	/* The block of the record may end elsewhere than that of the process. */
	head = min(nr, PTRS_PER_PTE - vpn % PTRS_PER_PTE);
	if (head < nr && !hugetlb) {
		kmho_add(c, vpn, page, head, 0, false);
		kmho_add(c, vpn + head, page + head, nr - head, 0, false);
	} else {
		kmho_add(c, vpn, page, nr, whole ? folio_order(folio) : 0,
			 hugetlb);
	}
	return 0;
}

/*
 * May this page be taken as it is? Not one that KSM made, nor one that is
 * shared and that somebody, perhaps another record, has pinned.
 */
static bool kmho_may_take(const struct kmho_collector *c, struct folio *folio,
			  struct page *page, unsigned long addr)
{
	if (folio_test_ksm(folio))
		return false;

	return PageAnonExclusive(page) || !folio_maybe_dma_pinned(folio) ||
	       kmho_is_old(c, kmho_vpn(c, addr), page_to_pfn(page));
}

static int kmho_collect_pmd(struct kmho_collector *c, pmd_t pmd,
			    unsigned long addr, unsigned long next)
{
	struct page *page;
	struct folio *folio;

	if (!pmd_present(pmd)) {
		kmho_want_fault(c, addr);
		return 0;
	}
	if (is_huge_zero_pmd(pmd))
		return 0;

	page = pmd_page(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
	folio = page_folio(page);
	if (folio_is_zone_device(folio))
		return -EOPNOTSUPP;
	/* Never written: it is the file's. */
	if (!folio_test_anon(folio))
		return 0;
	if (!PageAnonExclusive(&folio->page) && folio_maybe_dma_pinned(folio) &&
	    !kmho_is_old(c, kmho_vpn(c, addr), page_to_pfn(page))) {
		kmho_want_fault(c, addr);
		return 0;
	}

	return kmho_take(c, folio, page, addr, (next - addr) >> PAGE_SHIFT,
			 true);
}

/* Returns how many page table entries were dealt with, or an error. */
static int kmho_collect_pte(struct kmho_collector *c,
			    struct vm_area_struct *vma, pte_t *pte,
			    unsigned long addr, unsigned long max)
{
	pte_t ptent = ptep_get(pte);
	struct folio *folio;
	struct page *page;
	unsigned long nr = 1, i;
	bool pinned;
	int err;

	if (pte_none(ptent))
		return 1;
	if (!pte_present(ptent)) {
		softleaf_t entry = softleaf_from_pte(ptent);

		if (!softleaf_is_marker(entry))
			kmho_want_fault(c, addr);
		return 1;
	}

	page = vm_normal_page(vma, addr, ptent);
	if (!page)
		return is_zero_pfn(pte_pfn(ptent)) ? 1 : -EOPNOTSUPP;

	folio = page_folio(page);
	if (folio_is_zone_device(folio))
		return -EOPNOTSUPP;
	/* Never written: it is the file's. */
	if (!folio_test_anon(folio))
		return folio_test_large(folio) ?
		       folio_pte_batch(folio, pte, ptent, max) : 1;

	pinned = folio_maybe_dma_pinned(folio);
	if (folio_test_large(folio)) {
		nr = folio_pte_batch(folio, pte, ptent, max);
		for (i = 0; pinned && i < nr; i++)
			if (!kmho_may_take(c, folio, page + i,
					   addr + i * PAGE_SIZE))
				nr = i;
	}
	if (!nr || !kmho_may_take(c, folio, page, addr)) {
		kmho_want_fault(c, addr);
		return 1;
	}

	err = kmho_take(c, folio, page, addr, nr, false);
	return err ?: nr;
}

static int kmho_pmd_entry(pmd_t *pmd, unsigned long addr, unsigned long next,
			  struct mm_walk *walk)
{
	struct kmho_collector *c = walk->private;
	spinlock_t *ptl; /* of the page table */
	pte_t *pte;
	int ret = 0;

	ptl = pmd_trans_huge_lock(pmd, walk->vma);
	if (ptl) {
		ret = kmho_collect_pmd(c, *pmd, addr, next);
		spin_unlock(ptl);
		return ret;
	}

	pte = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!pte) {
		walk->action = ACTION_AGAIN;
		return 0;
	}
	while (addr < next) {
		unsigned long max = (next - addr) >> PAGE_SHIFT;

		ret = kmho_take_run(c, pte, addr, max) ?:
		      kmho_collect_pte(c, walk->vma, pte, addr, max);
		if (ret < 0)
			break;
		pte += ret;
		addr += ret * PAGE_SIZE;
		ret = 0;
	}
	pte_unmap_unlock(pte, ptl);
	kmho_count_pins(c);
	return ret;
}

#ifdef CONFIG_HUGETLB_PAGE
static int kmho_hugetlb_entry(pte_t *pte, unsigned long hmask,
			      unsigned long addr, unsigned long next,
			      struct mm_walk *walk)
{
	struct hstate *h = hstate_vma(walk->vma);
	struct kmho_collector *c = walk->private;
	struct folio *folio;
	spinlock_t *ptl; /* of the page table */
	pte_t ptent;
	int ret = 0;

	ptl = huge_pte_lock(h, walk->mm, pte);
	ptent = huge_ptep_get(walk->mm, addr, pte);
	if (huge_pte_none(ptent))
		goto out_unlock;
	if (!pte_present(ptent)) {
		if (!softleaf_is_marker(softleaf_from_pte(ptent)))
			kmho_want_fault(c, addr);
		goto out_unlock;
	}

	folio = page_folio(pte_page(ptent));
	/* Never written: it is the file's. */
	if (!folio_test_anon(folio))
		goto out_unlock;
	if (c->unshare ? !PageAnonExclusive(&folio->page) :
	    folio_maybe_dma_pinned(folio) &&
	    !kmho_may_take(c, folio, &folio->page, addr))
		kmho_want_fault(c, addr);
	else
		ret = kmho_take(c, folio, &folio->page, addr,
				pages_per_huge_page(h), true);
out_unlock:
	spin_unlock(ptl);
	return ret;
}
#else
#define kmho_hugetlb_entry	NULL
#endif

/* Shared memory is collected from its object, see shmem.c. */
static int kmho_test_walk(unsigned long start, unsigned long end,
			  struct mm_walk *walk)
{
	return kmho_vma_is_shmem(walk->vma);
}

static const struct mm_walk_ops kmho_walk_ops = {
	.test_walk = kmho_test_walk,
	.pmd_entry = kmho_pmd_entry,
	.hugetlb_entry = kmho_hugetlb_entry,
	.walk_lock = PGWALK_RDLOCK,
};

static void kmho_release_all(struct kmho_extent_ser *ext, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		kmho_extent_release(&ext[i]);
}

/* Is this as far as easy blocks are collected at a time? */
static bool kmho_is_enough(struct kmho_collector *c, unsigned long addr)
{
	c->done = addr;
	return c->nr > KMHO_MAX_FOUND - PTRS_PER_PTE || need_resched() ||
	       mmap_lock_is_contended(c->mm);
}

/* What was found of a block that is not easy, or is wrong, is found again. */
static int kmho_judge_easy(struct kmho_collector *c, unsigned long nr, int err)
{
	if (!err && !c->stop)
		return 0;

	kmho_release_all(c->ext + nr, c->nr - nr);
	c->nr = nr;
	return 1;
}

/* A whole table of huge pages needs no look at its entries one by one. */
static int kmho_easy_pud_entry(pud_t *pud, unsigned long addr,
			       unsigned long next, struct mm_walk *walk)
{
	struct kmho_collector *c = walk->private;
	pud_t pudval = pudp_get(pud);

	c->end = next;
	if (!pud_present(pudval) || pud_leaf(pudval))
		return 0;
	if (kmho_is_enough(c, addr))
		return 1;
	c->taken = kmho_take_huge_run(c, pmd_offset(pud, addr), addr, next,
				      walk->vma);
	if (c->taken == next)
		walk->action = ACTION_CONTINUE;
	return 0;
}

static int kmho_easy_pmd_entry(pmd_t *pmd, unsigned long addr,
			       unsigned long next, struct mm_walk *walk)
{
	struct kmho_collector *c = walk->private;
	unsigned long nr = c->nr;

	if (addr < c->taken)
		return 0;
	if (kmho_is_enough(c, addr))
		return 1;
	c->taken = kmho_take_huge_run(c, pmd, addr, c->end, walk->vma);
	if (c->taken > addr)
		return 0;
	return kmho_judge_easy(c, nr, kmho_pmd_entry(pmd, addr, next, walk));
}

#ifdef CONFIG_HUGETLB_PAGE
static int kmho_easy_hugetlb_entry(pte_t *pte, unsigned long hmask,
				   unsigned long addr, unsigned long next,
				   struct mm_walk *walk)
{
	struct kmho_collector *c = walk->private;
	unsigned long nr = c->nr;

	if (kmho_is_enough(c, addr))
		return 1;
	return kmho_judge_easy(c, nr, kmho_hugetlb_entry(pte, hmask, addr,
							 next, walk));
}
#else
#define kmho_easy_hugetlb_entry	NULL
#endif

static const struct mm_walk_ops kmho_walk_easy_ops = {
	.test_walk = kmho_test_walk,
	.pud_entry = kmho_easy_pud_entry,
	.pmd_entry = kmho_easy_pmd_entry,
	.hugetlb_entry = kmho_easy_hugetlb_entry,
	.walk_lock = PGWALK_RDLOCK,
};

static const struct mm_walk_ops kmho_walk_locked_ops = {
	.test_walk = kmho_test_walk,
	.pmd_entry = kmho_pmd_entry,
	.hugetlb_entry = kmho_hugetlb_entry,
	.walk_lock = PGWALK_WRLOCK_VERIFY,
};

/*
 * Somebody holds these pages where nothing can be preserved, and their process,
 * which could still write to them, has ended.
 */
static int kmho_copy_scratch(struct kmho_collector *c)
{
	unsigned long i;

	for (i = 0; i < c->nr; i++) {
		struct kmho_extent_ser *ext = &c->ext[i];
		struct page *from = kmho_extent_page(ext), *page;
		bool hugetlb = kmho_extent_is_hugetlb(ext);
		unsigned int order = kmho_extent_order(ext);
		u64 flags = KMHO_EXTENT_RESTORED;

		if (!kmho_in_scratch(c, from, order))
			continue;
		page = kmho_copy_page(from, order, hugetlb);
		/* Huge pages do not become free by waiting for it. */
		if (IS_ERR(page))
			return hugetlb ? -EBUSY : PTR_ERR(page);
		if (hugetlb)
			flags = KMHO_EXTENT_HUGETLB | KMHO_EXTENT_FORMED;
		kmho_extent_unpin(ext);
		*ext = kmho_extent_make(kmho_extent_vpn(ext), page_to_pfn(page),
					1UL << order, order, flags);
		c->rec->nr_migrated += 1UL << order;
	}

	return 0;
}

/* Bring in what is swapped out, give copies where a page cannot be shared. */
static int kmho_fault_in(struct kmho_collector *c)
{
	unsigned long nr_good = 0;
	unsigned long i;

	for_each_set_bit(i, c->fault, PTRS_PER_PTE) {
		unsigned long addr = c->start + i * PAGE_SIZE;
		struct vm_area_struct *vma = vma_lookup(c->mm, addr);
		vm_fault_t fault;

		if (!vma)
			return -EOPNOTSUPP;
		fault = handle_mm_fault(vma, addr, FAULT_FLAG_UNSHARE |
					FAULT_FLAG_REMOTE, NULL);
		if (fault & VM_FAULT_OOM)
			return -ENOMEM;
		if (!(fault & VM_FAULT_ERROR))
			nr_good++;
		else if (!c->must)
			return is_vm_hugetlb_page(vma) &&
			       (fault & VM_FAULT_SIGBUS) ?
			       -ENOMEM : -EOPNOTSUPP;
		cond_resched();
	}

	/* Go on as long as that brings something in. */
	return nr_good ? 0 : -EOPNOTSUPP;
}

/**
 * kmho_migrate - move folios out of scratch areas
 * @folios:	isolated folios; empty afterwards
 * @nr_migrated: grows by the pages that were moved
 *
 * Context: in memalloc_pin_save(): a scratch area is movable memory, where a
 * pin must not be. The OOM killer is not called: whom it kills may have a record,
 * which frees nothing, and waits for who calls this.
 * Return: 0, even if some of them are still where they were; -ENOMEM.
 */
int kmho_migrate(struct list_head *folios, u64 *nr_migrated)
{
	struct migration_target_control mtc = {
		.nid = NUMA_NO_NODE,
		.gfp_mask = GFP_USER | __GFP_NOWARN | __GFP_RETRY_MAYFAIL,
		.reason = MR_LONGTERM_PIN,
	};
	unsigned int nr = 0;
	int err;

	err = migrate_pages(folios, alloc_migration_target, NULL,
			    (unsigned long)&mtc, MIGRATE_SYNC, MR_LONGTERM_PIN,
			    &nr);
	*nr_migrated += nr;
	putback_movable_pages(folios);
	return err < 0 ? err : 0;
}

/**
 * kmho_before_retry - have those who hold a page for a moment let go of it
 * @tries:	how often a block was looked at again already, less than KMHO_TRIES
 * @drain:	a page may be in a CPU's batch
 * @wait:	nothing has moved, and there is no other way to have the pages
 *
 * Reclaim, for one, takes its time: the waits get longer, to four seconds
 * altogether. What has just moved is in a batch, where compaction does not see
 * it; it is not drained without need.
 */
void kmho_before_retry(unsigned int tries, bool drain, bool wait)
{
	if (tries == KMHO_TRIES - 1)
		return;
	if (drain)
		lru_add_drain_all();
	if (wait && tries > 1)
		msleep(2U << (tries - 2));
}

/**
 * kmho_collect_block - find the pages of a block and pin them
 * @c:		collector; its extents are the result
 * @start:	first address
 * @end:	address behind the last; not beyond the block
 * @locked:	the mmap lock is held for writing
 *
 * Context: mmap lock held.
 * Return: 0, or a negative errno, with nothing pinned; -EBUSY if a page cannot
 * be moved out of a scratch area; -EINTR if the task is killed meanwhile.
 */
static int kmho_collect_block(struct kmho_collector *c, unsigned long start,
			      unsigned long end, bool locked)
{
	unsigned int max = c->must ? KMHO_MUST_TRIES : KMHO_TRIES;
	/* What is faulted in or migrated to is not to lie in a scratch area. */
	unsigned int flags = memalloc_pin_save();
	/* The other half is for blocks that are easy. */
	struct kmho_extent_ser *kept = c->ext + PTRS_PER_PTE;
	unsigned long nr_kept = 0;
	unsigned int tries;
	bool moved;
	u64 before;
	int err;

	c->start = start;
	for (tries = 0; tries < max; tries++) {
		if (tries && !c->must && fatal_signal_pending(current)) {
			err = -EINTR;
			goto out;
		}
		c->nr = 0;
		c->nr_fault = 0;
		c->drain = false;
		c->copy = c->must && tries == max - 1;
		err = walk_page_range(c->mm, start, end, locked ?
				      &kmho_walk_locked_ops : &kmho_walk_ops,
				      c);
		kmho_extents_unhold(kept, nr_kept);
		nr_kept = 0;
		if (!err && !c->nr_fault && !c->drain &&
		    list_empty(&c->migrate))
			goto out_copy;

		if (!err && c->nr_fault) {
			err = kmho_fault_in(c);
			bitmap_zero(c->fault, PTRS_PER_PTE);
			if (err == -EOPNOTSUPP && c->must) {
				pr_err("key %#llx: a page in %#lx-%#lx cannot be had\n",
				       c->rec->key, start, end);
				if (list_empty(&c->migrate) && !c->drain)
					goto out_copy;
				err = 0;
			}
		}
		memcpy(kept, c->ext, c->nr * sizeof(*kept));
		nr_kept = c->nr;
		kmho_extents_hold(kept, nr_kept);
		before = c->rec->nr_migrated;
		if (!list_empty(&c->migrate)) {
			int ret = kmho_migrate(&c->migrate,
					       &c->rec->nr_migrated);

			/* What cannot be moved is copied in the end. */
			if (!c->must)
				err = err ?: ret;
		}
		if (err)
			goto out;
		moved = c->rec->nr_migrated != before;
		/* What cannot be moved can be copied when it must. */
		kmho_before_retry(tries, c->drain || !moved,
				  !c->must && !moved);
	}
	err = -EBUSY;
	goto out;

out_copy:
	err = c->copy ? kmho_copy_scratch(c) : 0;
	if (err)
		kmho_release_all(c->ext, c->nr);
out:
	kmho_extents_unhold(kept, nr_kept);
	memalloc_pin_restore(flags);
	return err;
}

/*
 * Memory that is the process's own: anonymous, or copied on write from a file.
 * A device's private mapping may have pages that are nobody's.
 */
static bool kmho_vma_is_private(struct vm_area_struct *vma)
{
	const vm_flags_t no = VM_MAYSHARE | VM_DROPPABLE | VM_SHADOW_STACK;

	if (vma->vm_flags & no)
		return false;
	if (vma_is_anonymous(vma) || is_vm_hugetlb_page(vma))
		return true;

	return vma->vm_file && S_ISREG(file_inode(vma->vm_file)->i_mode) &&
	       !vma_is_dax(vma);
}

/**
 * kmho_lock_vmas - wait for those who hold only the lock of a VMA
 * @mm:		address space; its mmap lock is held for writing
 * @start:	first address
 * @end:	address behind the last
 *
 * Faults, and some of what empties page tables, do no more than that. Until the
 * mmap lock is given up they find the VMAs of this range locked.
 */
void kmho_lock_vmas(struct mm_struct *mm, unsigned long start,
		    unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, end)
		vma_start_write(vma);
}

/**
 * kmho_check_vmas - can this range be handed over?
 * @mm:		address space; its mmap lock is held
 * @start:	first address
 * @end:	address behind the last
 *
 * Return: 0; -ENOMEM if a part of it is not mapped; -EOPNOTSUPP if a part of
 * it is of a kind that cannot be handed over; -EINVAL if it has a part of a huge
 * page of hugetlb.
 */
int kmho_check_vmas(struct mm_struct *mm, unsigned long start,
		    unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	const vm_flags_t no = VM_PFNMAP | VM_MIXEDMAP | VM_IO | VM_MTE;
	struct vm_area_struct *vma;
	unsigned long at = start;

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > at)
			return -ENOMEM;
		at = vma->vm_end;
	}
	if (at < end)
		return -ENOMEM;

	vma_iter_set(&vmi, start);
	for_each_vma_range(vmi, vma, end) {
		unsigned long size = vma_kernel_pagesize(vma);

		if ((!kmho_vma_is_private(vma) && !kmho_vma_is_shmem(vma)) ||
		    vma->vm_flags & no || userfaultfd_armed(vma))
			return -EOPNOTSUPP;
		if (is_vm_hugetlb_page(vma) &&
		    !IS_ALIGNED(max(start, vma->vm_start) |
				min(end, vma->vm_end), size))
			return -EINVAL;
	}

	return 0;
}

/*
 * Where the block of an address begins, and how large it is. A huge page that
 * is larger than a block is collected as one.
 */
static unsigned long kmho_block(struct mm_struct *mm, unsigned long addr,
				unsigned long *size)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	*size = PMD_SIZE;
	if (vma && is_vm_hugetlb_page(vma))
		*size = max(*size, vma_kernel_pagesize(vma));
	return ALIGN_DOWN(addr, *size);
}

/*
 * Collect blocks whose pages need no more than a pin; holes cost next to
 * nothing. Returns where the first begins that is left, perhaps @start itself.
 */
static unsigned long kmho_collect_easy(struct kmho_collector *c,
				       unsigned long start, unsigned long end)
{
	int ret;

	c->nr = 0;
	c->done = start;
	c->taken = start;
	c->stop = false;
	c->easy = true;
	ret = walk_page_range(c->mm, start, end, &kmho_walk_easy_ops, c);
	c->easy = false;

	return ret ? c->done : end;
}

/* Have the record keep what was found from @addr on, or let go of it. */
static int kmho_keep_found(struct kmho_collector *c, unsigned long addr,
			   bool enforce)
{
	struct kmho_record *rec = c->rec;
	unsigned long nr_pages = 0, i;
	int err;

	for (i = 0; i < c->nr; i++)
		nr_pages += kmho_extent_nr(&c->ext[i]);
	err = kmho_account(rec, nr_pages, enforce);
	if (err)
		goto err_release;
	err = kmho_extents_preserve(c->ext, c->nr);
	if (err)
		goto err_account;
	err = kmho_table_extend(&rec->extents, c->ext, c->nr);
	if (err)
		goto err_remove;
	return 0;

err_remove:
	kmho_table_remove(&rec->extents,
			  (u64)(addr >> PAGE_SHIFT) << KMHO_EXTENT_NR_BITS,
			  U64_MAX);
	kmho_extents_unpreserve(c->ext, c->nr);
err_account:
	kmho_account(rec, -(long)nr_pages, false);
err_release:
	kmho_release_all(c->ext, c->nr);
	return err;
}

/* Collect the blocks of a range while the process goes on. */
static int kmho_collect_range(struct kmho_collector *c,
			      const struct kmho_range *range, bool enforce)
{
	unsigned long addr, next;
	int err = 0;

	mmap_read_lock(c->mm);
	for (addr = range->start; addr < range->end; addr = next) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (need_resched() || mmap_lock_is_contended(c->mm)) {
			mmap_read_unlock(c->mm);
			cond_resched();
			mmap_read_lock(c->mm);
		}

		next = kmho_collect_easy(c, addr, range->end);
		if (next == addr) {
			unsigned long size;

			next = kmho_block(c->mm, addr, &size) + size;
			next = min(next - 1, range->end - 1) + 1;
			err = kmho_collect_block(c, addr, next, false);
			if (err)
				break;
		}
		err = kmho_keep_found(c, addr, enforce);
		if (err)
			break;
	}
	mmap_read_unlock(c->mm);
	return err;
}

/**
 * kmho_collect - collect all memory of a record
 * @rec:	record, attached to the caller's address space; its lock is held
 *
 * The process goes on reading and writing meanwhile; what it changes is noted.
 *
 * Return: 0; -EAGAIN over RLIMIT_MEMLOCK; -EOPNOTSUPP; -ENOMEM; -EINTR if the
 * task is killed. On failure the record keeps what was collected so far.
 */
int kmho_collect(struct kmho_record *rec)
{
	struct kmho_range *range;
	struct kmho_collector *c;
	int err = 0;

	c = kmho_collector_alloc(rec);
	if (!c)
		return -ENOMEM;

	/*
	 * A write to a huge page that the process has to itself again does not
	 * copy, however it is pinned: who shares it must not have it in a record
	 * of its own.
	 */
	c->unshare = true;
	list_for_each_entry(range, &rec->ranges, node) {
		err = kmho_collect_range(c, range,
					 !capable(CAP_IPC_LOCK));
		if (err)
			break;
		WRITE_ONCE(range->collected, true);
	}

	kmho_collector_free(c);
	return err;
}

/* The extents that a record has in a block */
static void kmho_load_old(struct kmho_collector *c, u64 first, u64 end)
{
	struct kmho_pos pos = kmho_table_seek(&c->rec->extents, first);
	struct kmho_extent_ser *ext;

	c->nr_old = 0;
	for_each_kmho_entry_from(&c->rec->extents, pos, ext) {
		if (ext->where >= end)
			break;
		c->old[c->nr_old++] = *ext;
	}
}

/* Collect a block again and have the result replace what the record had. */
static int kmho_sync_block(struct kmho_collector *c, unsigned long start,
			   unsigned long end)
{
	u64 first = kmho_vpn(c, start) << KMHO_EXTENT_NR_BITS;
	u64 behind = kmho_vpn(c, end) << KMHO_EXTENT_NR_BITS;
	struct kmho_record *rec = c->rec;
	struct kmho_splice splice;
	long grown = 0;
	unsigned long i;
	int err, ret;

	kmho_load_old(c, first, behind);
	err = kmho_collect_block(c, start, end, true);
	if (err)
		return err;

	err = kmho_splice_prepare(&rec->extents, first, behind, c->ext, c->nr,
				  &splice);
	if (err)
		goto err_unpin;

	/* Old and new may have keys in KHO in common: first out, then in. */
	kmho_extents_unpreserve(c->old, c->nr_old);
	err = kmho_extents_preserve(c->ext, c->nr);
	if (err)
		goto err_preserve;

	for (i = 0; i < c->nr; i++)
		grown += kmho_extent_nr(&c->ext[i]);
	for (i = 0; i < c->nr_old; i++)
		grown -= kmho_extent_nr(&c->old[i]);
	kmho_account(rec, grown, false);
	kmho_splice_commit(&rec->extents, &splice);
	for (i = 0; i < c->nr_old; i++)
		kmho_extent_release(&c->old[i]);
	return 0;

err_preserve:
	/* The tree has kept the nodes for these, so they fit in again. */
	ret = kmho_extents_preserve(c->old, c->nr_old);
	WARN_ON_ONCE(ret);
	kmho_splice_abort(&splice);
err_unpin:
	kmho_release_all(c->ext, c->nr);
	return err;
}

/* Has the machine memory to spare, where pages that are pinned may lie? */
static bool kmho_memory_to_spare(void)
{
	unsigned long nr_free = 0;
	struct zone *zone;

	for_each_populated_zone(zone) {
		if (zone_idx(zone) != ZONE_MOVABLE)
			nr_free += zone_page_state(zone, NR_FREE_PAGES) -
				   zone_page_state(zone, NR_FREE_CMA_PAGES);
	}

	return (long)nr_free > (long)(2 * totalreserve_pages);
}

/*
 * What a process leaves behind must not be lost, and its memory cgroup may have
 * nothing to give back for it: each page that is pinned stays. So it goes over
 * its limit, as far as the machine itself has memory. Huge pages of hugetlb may
 * need what only reclaim and compaction make.
 */
static int kmho_sync_last(struct kmho_collector *c, unsigned long start,
			  unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(c->mm, start);
	unsigned int flags;
	int err;

	if (vma && !is_vm_hugetlb_page(vma) && kmho_memory_to_spare()) {
		flags = memalloc_noreclaim_save();
		err = kmho_sync_block(c, start, end);
		memalloc_noreclaim_restore(flags);
		if (!err)
			return 0;
	}

	return kmho_sync_block(c, start, end);
}

/**
 * kmho_sync - look again at what was noted since the handover
 * @rec:	live record; its lock is held, and the mmap lock for writing
 * @must:	pass over pages that cannot be had, such as poisoned ones
 *
 * Return: 0; a negative errno, after which it can be called again.
 */
int kmho_sync(struct kmho_record *rec, bool must)
{
	struct kmho_collector *c = NULL;
	struct kmho_range *range;
	int err = 0;

	list_for_each_entry(range, &rec->ranges, node) {
		unsigned long nr = kmho_range_nr_blocks(range);
		unsigned long i;

		kmho_lock_vmas(rec->mm, range->start, range->end);
		for_each_set_bit(i, range->dirty, nr) {
			unsigned long start, end, size;

			if (!c) {
				c = kmho_collector_alloc(rec);
				if (!c)
					return -ENOMEM;
				c->must = must;
			}
			c->offset = range->offset;
			start = ((range->start >> PMD_SHIFT) + i) << PMD_SHIFT;
			start = kmho_block(rec->mm, max(start, range->start),
					   &size);
			end = min(start + size - 1, range->end - 1) + 1;
			start = max(start, range->start);
			/* What changes from here on, is noted again. */
			clear_bit(i, range->dirty);
			err = must ? kmho_sync_last(c, start, end) :
				     kmho_sync_block(c, start, end);
			if (must && err && err != -ENOMEM) {
				pr_err("key %#llx: %#lx-%#lx is as it was handed over: %pe\n",
				       rec->key, start, end, ERR_PTR(err));
				err = 0;
			}
			if (err) {
				set_bit(i, range->dirty);
				goto out;
			}
			cond_resched();
		}
	}
out:
	if (c)
		kmho_collector_free(c);
	return err;
}

static u32 kmho_area_flags(struct vm_area_struct *vma)
{
	static const struct {
		vm_flags_t vma;
		u32 area;
	} map[] = {
		{ VM_READ, KMHO_AREA_READ },
		{ VM_WRITE, KMHO_AREA_WRITE },
		{ VM_EXEC, KMHO_AREA_EXEC },
		{ VM_NORESERVE, KMHO_AREA_NORESERVE },
		{ VM_HUGEPAGE, KMHO_AREA_HUGEPAGE },
		{ VM_NOHUGEPAGE, KMHO_AREA_NOHUGEPAGE },
		{ VM_DONTDUMP, KMHO_AREA_DONTDUMP },
		{ VM_DONTCOPY, KMHO_AREA_DONTFORK },
		{ VM_WIPEONFORK, KMHO_AREA_WIPEONFORK },
	};
	u32 flags = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (vma->vm_flags & map[i].vma)
			flags |= map[i].area;
	if (is_vm_hugetlb_page(vma))
		flags |= huge_page_order(hstate_vma(vma)) <<
			 KMHO_AREA_ORDER_SHIFT;

	return flags;
}

/**
 * struct kmho_area_walk - the areas of a record, one after the other
 * @areas:	where they go; NULL: they are compared with those that the record has
 * @old:	those, from here on
 * @differ:	they are not the same
 * @last:	the last, until it is known to end
 */
struct kmho_area_walk {
	struct kmho_table *areas;
	struct kmho_pos old;
	bool differ;
	struct kmho_area_ser last;
};

static int kmho_emit_area(struct kmho_record *rec, struct kmho_area_walk *w)
{
	const struct kmho_area_ser *old;

	if (w->areas)
		return kmho_table_append(w->areas, &w->last);

	old = kmho_table_at(&rec->areas, &w->old);
	if (!old || memcmp(old, &w->last, sizeof(*old)))
		w->differ = true;
	w->old.slot++;
	return 0;
}

/* Put an area behind the last. */
static int kmho_add_area(struct kmho_record *rec, struct kmho_area_walk *w,
			 const struct kmho_area_ser *next)
{
	struct kmho_area_ser *last = &w->last;

	if (last->end == next->start && kmho_areas_alike(last, next)) {
		last->end = next->end;
		return 0;
	}
	if (last->end && kmho_emit_area(rec, w))
		return -ENOMEM;

	*last = *next;
	return 0;
}

/* What the record has from @start to @end, and no range covers */
static int kmho_add_held_areas(struct kmho_record *rec,
			       struct kmho_area_walk *w, unsigned long start,
			       unsigned long end)
{
	struct kmho_pos pos = kmho_table_seek(&rec->areas, start);
	struct kmho_area_ser *area;

	kmho_table_before(&rec->areas, &pos);
	for_each_kmho_entry_from(&rec->areas, pos, area) {
		struct kmho_area_ser next = *area;

		next.start = max_t(u64, area->start, start);
		if (area->object)
			next.index += (next.start - area->start) >> PAGE_SHIFT;
		next.end = min_t(u64, area->end, end);
		if (next.start < next.end && kmho_add_area(rec, w, &next))
			return -ENOMEM;
		if (area->end >= end)
			break;
	}

	return 0;
}

static int kmho_add_range_areas(struct kmho_record *rec,
				struct kmho_area_walk *w,
				const struct kmho_range *range)
{
	VMA_ITERATOR(vmi, rec->mm, range->start);
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, range->end) {
		struct kmho_area_ser next = {
			.start = max(vma->vm_start, range->start) +
				 range->offset,
			.end = min(vma->vm_end, range->end) + range->offset,
			.kind = is_vm_hugetlb_page(vma) ? KMHO_KIND_HUGETLB :
							  KMHO_KIND_ANON,
			.flags = kmho_area_flags(vma),
		};

		if (kmho_vma_is_shmem(vma)) {
			next.kind = KMHO_KIND_SHMEM;
			if (vma->vm_flags & VM_MAYWRITE)
				next.flags |= KMHO_AREA_MAYWRITE;
			kmho_claims_area(rec, next.start, &next);
		}
		if (kmho_add_area(rec, w, &next))
			return -ENOMEM;
	}

	return 0;
}

static int kmho_walk_areas(struct kmho_record *rec, struct kmho_area_walk *w)
{
	struct kmho_range *range;
	unsigned long at = 0;

	list_for_each_entry(range, &rec->ranges, node) {
		if (kmho_add_held_areas(rec, w, at,
					range->start + range->offset) ||
		    kmho_add_range_areas(rec, w, range))
			return -ENOMEM;
		at = range->end + range->offset;
	}
	if (kmho_add_held_areas(rec, w, at, ULONG_MAX))
		return -ENOMEM;

	return kmho_emit_area(rec, w);
}

/**
 * kmho_update_areas - write down how the ranges of a record are mapped
 * @rec:	live record; its lock is held, and the mmap lock
 *
 * What it has beside the ranges that it follows is as it was. Most often all is,
 * and then nothing is allocated.
 *
 * Return: 0, or -ENOMEM with the areas as they were.
 */
int kmho_update_areas(struct kmho_record *rec)
{
	struct kmho_area_walk compare = { .areas = NULL };
	struct kmho_table areas;
	struct kmho_area_walk write = { .areas = &areas };
	int err;

	if (rec->areas.nr_entries) {
		kmho_walk_areas(rec, &compare);
		if (!compare.differ &&
		    !kmho_table_at(&rec->areas, &compare.old))
			return 0;
	}

	kmho_table_init(&areas, sizeof(struct kmho_area_ser));
	err = kmho_walk_areas(rec, &write);
	if (!err)
		swap(rec->areas, areas);
	kmho_table_destroy(&areas);
	return err;
}
