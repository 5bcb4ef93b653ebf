// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables in preserved pages, and the extents they hold.
 *
 * A table is an array of pages, each an array of sorted entries. The pages are
 * the very bytes that the next kernel reads, so that nothing has to be copied
 * or allocated by the page when a kexec comes. An entry starts with a u64 by
 * which the table is sorted.
 *
 * Nothing here locks: a table belongs to a record, and the record's lock
 * protects it.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <linux/crc32.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "../internal.h"
#include "internal.h"

static struct kmho_page_ser *kmho_page_alloc(void)
{
	struct kmho_page_ser *ser;
	int err;

	ser = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!ser)
		return NULL;

	err = kho_preserve_pages(virt_to_page(ser), 1);
	if (err) {
		free_page((unsigned long)ser);
		return NULL;
	}

	return ser;
}

static void kmho_page_free(struct kmho_page_ser *ser)
{
	kho_unpreserve_pages(virt_to_page(ser), 1);
	free_page((unsigned long)ser);
}

/**
 * kmho_table_init - make an empty table
 * @table:	the table
 * @entry_size:	size of an entry, in bytes
 */
void kmho_table_init(struct kmho_table *table, size_t entry_size)
{
	*table = (struct kmho_table) {
		.entry_size = entry_size,
		.per_page = (PAGE_SIZE - sizeof(struct kmho_page_ser)) /
			    entry_size,
	};
}

/**
 * kmho_table_destroy - free a table
 * @table:	the table; empty afterwards
 */
void kmho_table_destroy(struct kmho_table *table)
{
	unsigned long i;

	for (i = 0; i < table->nr_pages; i++)
		kmho_page_free(table->pages[i]);
	kvfree(table->pages);
	kmho_table_init(table, table->entry_size);
}

/**
 * kmho_table_unpreserve - have KHO let go of the pages of a table for good
 * @table:	the table
 */
void kmho_table_unpreserve(const struct kmho_table *table)
{
	unsigned long i;

	for (i = 0; i < table->nr_pages; i++)
		kho_unpreserve_pages(virt_to_page(table->pages[i]), 1);
}

static int kmho_table_reserve(struct kmho_table *table, unsigned long nr_pages)
{
	struct kmho_page_ser **pages;
	unsigned long max;

	if (nr_pages <= table->max_pages)
		return 0;

	max = max(nr_pages, 2 * table->max_pages);
	pages = kvrealloc(table->pages, array_size(max, sizeof(*pages)),
			  GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;

	table->pages = pages;
	table->max_pages = max;
	return 0;
}

static void *kmho_page_entry(const struct kmho_table *table,
			     struct kmho_page_ser *ser, unsigned int slot)
{
	return (void *)(ser + 1) + (size_t)slot * table->entry_size;
}

/* What an entry is sorted by */
static u64 kmho_entry_value(const struct kmho_table *table, unsigned long page,
			    unsigned int slot)
{
	return *(u64 *)kmho_page_entry(table, table->pages[page], slot);
}

/**
 * kmho_table_extend - add entries behind the last
 * @table:	the table
 * @entries:	what to add, sorted; sorts behind all that is there
 * @nr:		how many
 *
 * Return: 0, or -ENOMEM; some of them may be there then.
 */
int kmho_table_extend(struct kmho_table *table, const void *entries,
		      unsigned long nr)
{
	while (nr) {
		struct kmho_page_ser *ser = NULL;
		unsigned long n;

		if (table->nr_pages)
			ser = table->pages[table->nr_pages - 1];

		if (!ser || ser->count == table->per_page) {
			if (kmho_table_reserve(table, table->nr_pages + 1))
				return -ENOMEM;
			ser = kmho_page_alloc();
			if (!ser)
				return -ENOMEM;
			table->pages[table->nr_pages++] = ser;
		}

		n = min(nr, table->per_page - ser->count);
		memcpy(kmho_page_entry(table, ser, ser->count), entries,
		       n * table->entry_size);
		ser->count += n;
		ser->crc = 0;
		table->nr_entries += n;
		entries += n * table->entry_size;
		nr -= n;
	}

	return 0;
}

/**
 * kmho_table_touch - say that an entry is changed in place
 * @table:	the table
 * @pos:	the place of the entry
 */
void kmho_table_touch(struct kmho_table *table, struct kmho_pos pos)
{
	table->pages[pos.page]->crc = 0;
}

/**
 * kmho_table_at - the entry at a place
 * @table:	the table
 * @pos:	the place; moved to the next page where it is past one's end
 *
 * Return: the entry, or NULL behind the last.
 */
void *kmho_table_at(const struct kmho_table *table, struct kmho_pos *pos)
{
	while (pos->page < table->nr_pages) {
		struct kmho_page_ser *ser = table->pages[pos->page];

		if (pos->slot < ser->count)
			return kmho_page_entry(table, ser, pos->slot);
		pos->page++;
		pos->slot = 0;
	}

	return NULL;
}

/**
 * kmho_table_seek - find the first entry that does not sort below a value
 * @table:	the table
 * @value:	the value
 *
 * Return: its place, or the one behind the last entry.
 */
struct kmho_pos kmho_table_seek(const struct kmho_table *table, u64 value)
{
	struct kmho_pos pos = { 0 };
	unsigned long lo = 0, hi = table->nr_pages;
	unsigned int l, h;

	/* The first page whose last entry does not sort below it */
	while (lo < hi) {
		unsigned long mid = lo + (hi - lo) / 2;
		unsigned int last = table->pages[mid]->count - 1;

		if (kmho_entry_value(table, mid, last) < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	pos.page = lo;
	if (lo == table->nr_pages)
		return pos;

	l = 0;
	h = table->pages[lo]->count;
	while (l < h) {
		unsigned int mid = l + (h - l) / 2;

		if (kmho_entry_value(table, lo, mid) < value)
			l = mid + 1;
		else
			h = mid;
	}
	pos.slot = l;
	return pos;
}

/**
 * kmho_table_before - step back by one entry
 * @table:	the table
 * @pos:	the place; stays where it is at the start of the table
 *
 * Return: the entry, or NULL if there is none before.
 */
void *kmho_table_before(const struct kmho_table *table, struct kmho_pos *pos)
{
	if (!pos->slot) {
		if (!pos->page)
			return NULL;
		pos->page--;
		pos->slot = table->pages[pos->page]->count;
	}
	pos->slot--;
	return kmho_table_at(table, pos);
}

/**
 * kmho_splice_prepare - get ready to replace the entries of a span
 * @table:	the table
 * @start:	first value that goes
 * @end:	first value behind it that stays
 * @entries:	what comes instead, sorted and within the span
 * @nr:		how many
 * @splice:	filled in for kmho_splice_commit()
 *
 * The table itself is not changed. On failure there is nothing to undo.
 *
 * Return: 0, or -ENOMEM.
 */
int kmho_splice_prepare(struct kmho_table *table, u64 start, u64 end,
			const void *entries, unsigned long nr,
			struct kmho_splice *splice)
{
	struct kmho_pos from = kmho_table_seek(table, start);
	struct kmho_pos to = kmho_table_seek(table, end);
	unsigned long head, tail, total, last, i;
	struct kmho_page_ser *out = NULL;
	size_t size = table->entry_size;

	/* Behind the last entry: fill up the last page */
	if (from.page == table->nr_pages && from.page) {
		from.page--;
		from.slot = table->pages[from.page]->count;
	}
	if (to.page == table->nr_pages && to.page) {
		to.page--;
		to.slot = table->pages[to.page]->count;
	}

	head = from.slot;
	tail = table->nr_pages ? table->pages[to.page]->count - to.slot : 0;
	total = head + nr + tail;
	last = to.page;

	*splice = (struct kmho_splice) {
		.first = from.page,
		.nr_old = table->nr_pages ? last - from.page + 1 : 0,
		.nr_new = DIV_ROUND_UP(total, table->per_page),
		.grown = total,
	};
	for (i = 0; i < splice->nr_old; i++)
		splice->grown -= table->pages[splice->first + i]->count;

	if (kmho_table_reserve(table, table->nr_pages - splice->nr_old +
				      splice->nr_new))
		return -ENOMEM;

	splice->new = kvcalloc(max(splice->nr_new, 1UL), sizeof(*splice->new),
			       GFP_KERNEL);
	if (!splice->new)
		return -ENOMEM;
	for (i = 0; i < splice->nr_new; i++) {
		splice->new[i] = kmho_page_alloc();
		if (!splice->new[i])
			goto err_free;
	}

	for (i = 0; i < total; i++) {
		const void *entry;

		if (i < head)
			entry = kmho_page_entry(table,
						table->pages[from.page], i);
		else if (i < head + nr)
			entry = entries + (i - head) * size;
		else
			entry = kmho_page_entry(table, table->pages[last],
						to.slot + i - head - nr);

		out = splice->new[i / table->per_page];
		memcpy(kmho_page_entry(table, out, out->count++), entry, size);
	}
	return 0;

err_free:
	splice->nr_new = i;
	kmho_splice_abort(splice);
	return -ENOMEM;
}

/**
 * kmho_splice_abort - forget a replacement that was prepared
 * @splice:	from kmho_splice_prepare()
 */
void kmho_splice_abort(struct kmho_splice *splice)
{
	unsigned long i;

	for (i = 0; i < splice->nr_new; i++)
		kmho_page_free(splice->new[i]);
	kvfree(splice->new);
	splice->new = NULL;
}

/**
 * kmho_splice_commit - make a replacement that was prepared
 * @table:	the table, not changed since
 * @splice:	from kmho_splice_prepare()
 */
void kmho_splice_commit(struct kmho_table *table, struct kmho_splice *splice)
{
	struct kmho_page_ser **at = table->pages + splice->first;
	unsigned long behind, i;

	for (i = 0; i < splice->nr_old; i++)
		kmho_page_free(at[i]);

	behind = table->nr_pages - splice->first - splice->nr_old;
	memmove(at + splice->nr_new, at + splice->nr_old,
		behind * sizeof(*at));
	memcpy(at, splice->new, splice->nr_new * sizeof(*at));
	table->nr_pages += splice->nr_new - splice->nr_old;
	table->nr_entries += splice->grown;
	kvfree(splice->new);
	splice->new = NULL;
}

/**
 * kmho_table_remove - remove the entries of a span
 * @table:	the table
 * @start:	first value that goes
 * @end:	first value behind it that stays
 *
 * Needs no memory and cannot fail.
 */
void kmho_table_remove(struct kmho_table *table, u64 start, u64 end)
{
	struct kmho_pos from = kmho_table_seek(table, start);
	unsigned long page = from.page, nr_gone = 0;
	unsigned int slot = from.slot;

	while (page + nr_gone < table->nr_pages) {
		struct kmho_page_ser *ser = table->pages[page + nr_gone];
		unsigned int to = slot;

		while (to < ser->count &&
		       kmho_entry_value(table, page + nr_gone, to) < end)
			to++;

		memmove(kmho_page_entry(table, ser, slot),
			kmho_page_entry(table, ser, to),
			(size_t)(ser->count - to) * table->entry_size);
		table->nr_entries -= to - slot;
		ser->count -= to - slot;
		ser->crc = 0;

		/* Something is left behind the span: it ends here. */
		if (slot < ser->count)
			break;

		/* Only the first can have some left before it. */
		slot = 0;
		if (ser->count) {
			page++;
			continue;
		}
		kmho_page_free(ser);
		nr_gone++;
	}

	if (!nr_gone)
		return;
	table->nr_pages -= nr_gone;
	memmove(table->pages + page, table->pages + page + nr_gone,
		(table->nr_pages - page) * sizeof(*table->pages));
}

/**
 * kmho_page_crc - checksum of a page of a table
 * @ser:	the page
 * @entry_size:	size of an entry, in bytes
 * @header_only: leave the entries out
 *
 * Return: CRC-32C with the field that holds it taken as 0; never 0 itself,
 * which says that there is none yet.
 */
u32 kmho_page_crc(const struct kmho_page_ser *ser, unsigned int entry_size,
		  bool header_only)
{
	u32 crc = ~0;

	crc = crc32c(crc, ser, offsetof(struct kmho_page_ser, crc));
	if (!header_only)
		crc = crc32c(crc, ser + 1, (size_t)ser->count * entry_size);

	return crc ?: 1;
}

/**
 * kmho_table_seal - link and checksum what changed since the last time
 * @table:	the table
 * @header_only: leave the entries out of the checksum
 */
void kmho_table_seal(struct kmho_table *table, bool header_only)
{
	unsigned long i;

	for (i = 0; i < table->nr_pages; i++) {
		struct kmho_page_ser *ser = table->pages[i];
		u64 next = 0;

		if (i + 1 < table->nr_pages)
			next = virt_to_phys(table->pages[i + 1]);
		if (ser->crc && ser->next == next)
			continue;
		ser->next = next;
		ser->crc = kmho_page_crc(ser, table->entry_size, header_only);
	}
}

/**
 * kmho_table_load - take over a table that the last kernel left
 * @table:	initialised, empty
 * @phys:	physical address of its first page; 0: there is none
 * @nr_entries:	number of entries it must have
 * @header_only: the checksum leaves the entries out
 *
 * Every page is checked before it is believed. The pages are restored, and
 * preserved again for the next kexec.
 *
 * Return: 0; -EINVAL if a page is damaged; -ENOMEM. On failure @table is empty,
 * and pages that were not reached stay with KHO, out of use.
 */
int kmho_table_load(struct kmho_table *table, u64 phys, u64 nr_entries,
		    bool header_only)
{
	int err = -EINVAL;

	while (phys) {
		struct kmho_page_ser *ser;

		if (!PAGE_ALIGNED(phys) || !pfn_valid(PHYS_PFN(phys)))
			goto err_destroy;
		ser = phys_to_virt(phys);
		if (!ser->count || ser->count > table->per_page ||
		    ser->crc != kmho_page_crc(ser, table->entry_size,
					      header_only))
			goto err_destroy;

		err = kmho_table_reserve(table, table->nr_pages + 1);
		if (err)
			goto err_destroy;
		err = kho_preserve_pages(virt_to_page(ser), 1);
		if (err)
			goto err_destroy;

		err = -EINVAL;
		if (!kho_restore_pages(phys, 1)) {
			kho_unpreserve_pages(virt_to_page(ser), 1);
			goto err_destroy;
		}
		table->pages[table->nr_pages++] = ser;
		table->nr_entries += ser->count;
		phys = ser->next;
	}

	if (table->nr_entries == nr_entries)
		return 0;

err_destroy:
	kmho_table_destroy(table);
	return err;
}

/* Extents that KHO is told of at a time, and their runs on the stack */
#define KMHO_MAX_RUNS	32

/* The runs of pages of as many extents as KHO is told of at a time */
static unsigned int kmho_extent_runs(const struct kmho_extent_ser *ext,
				     unsigned long nr,
				     struct kho_page_run *runs)
{
	unsigned int i;

	nr = min(nr, KMHO_MAX_RUNS);
	for (i = 0; i < nr; i++) {
		runs[i].page = kmho_extent_page(&ext[i]);
		runs[i].nr_pages = kmho_extent_nr(&ext[i]);
	}

	return nr;
}

/**
 * kmho_extents_preserve - have KHO keep the pages of extents
 * @ext:	the extents
 * @nr:		how many
 *
 * Return: 0; on failure a negative errno, and none of them is preserved.
 */
int kmho_extents_preserve(const struct kmho_extent_ser *ext, unsigned long nr)
{
	struct kho_page_run runs[KMHO_MAX_RUNS];
	unsigned long i;
	unsigned int n;
	int err;

	for (i = 0; i < nr; i += n) {
		n = kmho_extent_runs(ext + i, nr - i, runs);
		err = kho_preserve_page_runs(runs, n);
		if (err) {
			kmho_extents_unpreserve(ext, i);
			return err;
		}
	}

	return 0;
}

/**
 * kmho_extents_unpreserve - undo kmho_extents_preserve()
 * @ext:	the extents, as they were then
 * @nr:		how many
 */
void kmho_extents_unpreserve(const struct kmho_extent_ser *ext,
			     unsigned long nr)
{
	struct kho_page_run runs[KMHO_MAX_RUNS];
	unsigned long i;
	unsigned int n;

	for (i = 0; i < nr; i += n) {
		n = kmho_extent_runs(ext + i, nr - i, runs);
		kho_unpreserve_page_runs(runs, n);
	}
}

/**
 * kmho_extent_restore - get the pages of an extent back from KHO
 * @ext:	the extent; has a reference to each page afterwards
 *
 * Return: 0, or -EIO if KHO does not have them.
 */
int kmho_extent_restore(struct kmho_extent_ser *ext)
{
	if (ext->what & KMHO_EXTENT_LOCAL)
		return 0;
	if (!kho_restore_pages(PFN_PHYS(kmho_extent_pfn(ext)),
			       kmho_extent_nr(ext)))
		return -EIO;

	ext->what |= KMHO_EXTENT_RESTORED;
	return 0;
}

/**
 * kmho_extent_unpin - give back the pins of an extent
 * @ext:	extent whose pages are pinned, one pin a page
 */
void kmho_extent_unpin(const struct kmho_extent_ser *ext)
{
	struct kmho_folio_iter fi;

	for_each_kmho_folio(ext, fi)
		gup_put_folio(fi.folio, fi.nr, FOLL_PIN);
}

/**
 * kmho_extents_hold - have references take the place of pins
 * @ext:	extents whose pages are pinned, one pin a page
 * @nr:		how many
 *
 * Between two looks at a block what was good stays where it is: compaction would
 * move it into a scratch area as soon as anywhere else. A reference is enough for
 * that, and unlike a pin is not taken for another record's.
 */
void kmho_extents_hold(const struct kmho_extent_ser *ext, unsigned long nr)
{
	struct kmho_folio_iter fi;

	for (; nr; nr--, ext++) {
		for_each_kmho_folio(ext, fi) {
			folio_get(fi.folio);
			gup_put_folio(fi.folio, fi.nr, FOLL_PIN);
		}
	}
}

/**
 * kmho_extents_unhold - undo kmho_extents_hold()
 * @ext:	extents
 * @nr:		how many
 */
void kmho_extents_unhold(const struct kmho_extent_ser *ext, unsigned long nr)
{
	struct kmho_folio_iter fi;

	for (; nr; nr--, ext++)
		for_each_kmho_folio(ext, fi)
			folio_put(fi.folio);
}

/**
 * kmho_extent_release - free an extent
 * @ext:	extent, held in whichever way; no longer preserved
 */
void kmho_extent_release(struct kmho_extent_ser *ext)
{
	struct page *page = kmho_extent_page(ext);
	unsigned long left = kmho_extent_nr(ext);
	unsigned long nr = 1;

	if (ext->what & KMHO_EXTENT_PINNED) {
		kmho_extent_unpin(ext);
		return;
	}

	if (kmho_extent_restore(ext)) {
		pr_err("pages at pfn %#llx cannot be restored and stay unused\n",
		       kmho_extent_pfn(ext));
		return;
	}
	if (ext->what & KMHO_EXTENT_FORMED)
		nr = 1UL << kmho_extent_order(ext);
	for (; left; left -= nr, page += nr)
		put_page(page);
}
