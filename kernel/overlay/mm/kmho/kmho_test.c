// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of what kmho leaves to the next kernel, and of how far that one
 * believes it. No user memory is handed over here: that takes a kexec, and is
 * left to tools/testing/selftests/kmho.
 *
 * kmho_table protects the tables. Every operation must leave what the same
 * operation leaves of a plain sorted array, no page may be empty or hold more
 * than fits, and every page that changed must be checksummed anew. To see it
 * fail: seek with <= for <, drop the tail in kmho_splice_prepare(), leave an
 * empty page behind in kmho_table_remove(), forget to zero a crc, restore a
 * page before its checksum is compared.
 *
 * kmho_extent protects the packing of an extent into two words, at the limits
 * of each field. To see it fail: store nr instead of nr - 1, narrow the mask of
 * the order, shift the page frame number by one less.
 *
 * kmho_serial protects the next kernel from what the last one left. Each bit
 * that flips must be found, and each value that cannot be true be refused. To
 * see it fail: leave a field out of a checksum, or drop any one of the
 * conditions of kmho_check_areas(), kmho_extent_is_sane(), kmho_check_extents()
 * and kmho_root_check().
 */

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "internal.h"

/* Words of the largest entry that is tested */
#define ENTRY_WORDS	8

/* Most entries of the tables that a model stands beside */
#define MODEL_MAX	1024

/* Values lie below this, so that random ones meet each other */
#define MODEL_VALUES	BIT(16)

/* How KHO marks the first page of what it found preserved at boot */
#define KHO_MARK	(0x4b484f50UL << 32)

/* An entry of any size: its value, then words that are made from @seed */
struct model_entry {
	u64 value;
	u64 seed;
};

struct model {
	struct model_entry *entries;
	unsigned long nr;
};

static void entry_fill(u64 *words, const struct kmho_table *table,
		       const struct model_entry *entry)
{
	unsigned int i;

	words[0] = entry->value;
	for (i = 1; i < table->entry_size / sizeof(u64); i++)
		words[i] = entry->seed * i + ~entry->value;
}

static int append(struct kmho_table *table, u64 value)
{
	struct model_entry entry = { .value = value, .seed = value };
	u64 words[ENTRY_WORDS];

	entry_fill(words, table, &entry);
	return kmho_table_append(table, words);
}

static u64 value_at(const struct kmho_table *table, struct kmho_pos pos)
{
	u64 *words = kmho_table_at(table, &pos);

	return words ? *words : U64_MAX;
}

/* Are the values of the table these, in this order? */
static bool holds(const struct kmho_table *table, const u64 *values,
		  unsigned long nr)
{
	struct kmho_pos pos;
	unsigned long i = 0;
	u64 *words;

	for_each_kmho_entry(table, pos, words)
		if (i == nr || *words != values[i++])
			return false;

	return i == nr && table->nr_entries == nr;
}

/* What holds for the pages of every table, whatever is in them */
static bool pages_are_sound(const struct kmho_table *table)
{
	unsigned long nr = 0, i;

	if (table->nr_pages > table->max_pages)
		return false;

	for (i = 0; i < table->nr_pages; i++) {
		const struct kmho_page_ser *ser = table->pages[i];

		if (!ser->count || ser->count > table->per_page)
			return false;
		nr += ser->count;
	}

	return nr == table->nr_entries;
}

/* Would the next kernel find all of the table, and believe it? */
static bool seal_is_sound(const struct kmho_table *table, bool header_only)
{
	unsigned long i;

	for (i = 0; i < table->nr_pages; i++) {
		const struct kmho_page_ser *ser = table->pages[i];
		u64 next = 0;

		if (i + 1 < table->nr_pages)
			next = virt_to_phys(table->pages[i + 1]);
		if (ser->next != next || !ser->crc ||
		    ser->crc != kmho_page_crc(ser, table->entry_size,
					      header_only))
			return false;
	}

	return true;
}

/* A table of @nr entries: 10, 20, 30, ... */
static void table_of(struct kunit *test, struct kmho_table *table,
		     unsigned long nr)
{
	unsigned long i;

	for (i = 1; i <= nr; i++)
		KUNIT_ASSERT_EQ(test, append(table, i * 10), 0);
}

/* Is the table 10, 20, 30, ... without those from @start to below @end? */
static bool is_tens_without(const struct kmho_table *table, unsigned long nr,
			    u64 start, u64 end)
{
	struct kmho_pos pos = { 0 };
	unsigned long i;

	for (i = 1; i <= nr; i++) {
		u64 *words;

		if (i * 10 >= start && i * 10 < end)
			continue;
		words = kmho_table_at(table, &pos);
		if (!words || *words != i * 10)
			return false;
		pos.slot++;
	}

	return !kmho_table_at(table, &pos) && pages_are_sound(table);
}

/*
 * The table of a test is destroyed with it, and so are the pages that a failed
 * test leaves preserved.
 */
static void table_destroy(void *table)
{
	kmho_table_destroy(table);
}

static struct kmho_table *table_new(struct kunit *test, size_t entry_size)
{
	struct kmho_table *table;
	int err;

	if (!kho_is_enabled())
		kunit_skip(test, "tables lie in preserved pages, which take kho=on");

	table = kunit_kzalloc(test, sizeof(*table), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, table);
	kmho_table_init(table, entry_size);
	err = kunit_add_action_or_reset(test, table_destroy, table);
	KUNIT_ASSERT_EQ(test, err, 0);
	return table;
}

static struct kmho_table *extent_table(struct kunit *test)
{
	return table_new(test, sizeof(struct kmho_extent_ser));
}

static void table_empty(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	struct kmho_pos pos = kmho_table_seek(table, 0);
	struct kmho_splice splice;
	int err;

	KUNIT_EXPECT_NULL(test, kmho_table_at(table, &pos));
	pos = kmho_table_seek(table, U64_MAX);
	KUNIT_EXPECT_NULL(test, kmho_table_at(table, &pos));
	KUNIT_EXPECT_NULL(test, kmho_table_before(table, &pos));
	KUNIT_EXPECT_TRUE(test, holds(table, NULL, 0));

	kmho_table_remove(table, 0, U64_MAX);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_EQ(test, table->nr_pages, 0);

	err = kmho_splice_prepare(table, 0, U64_MAX, NULL, 0, &splice);
	KUNIT_ASSERT_EQ(test, err, 0);
	kmho_splice_commit(table, &splice);
	KUNIT_EXPECT_TRUE(test, holds(table, NULL, 0));
	KUNIT_EXPECT_TRUE(test, pages_are_sound(table));

	/* Destroying it twice is no harm, nor is using it afterwards. */
	kmho_table_destroy(table);
	kmho_table_destroy(table);
	KUNIT_EXPECT_EQ(test, append(table, 1), 0);
	KUNIT_EXPECT_EQ(test, table->nr_entries, 1);
}

/* As many entries as fit lie in one page, one more in two. */
static void table_append_at_page_boundaries(struct kunit *test)
{
	static const size_t sizes[] = {
		sizeof(struct kmho_extent_ser),
		sizeof(struct kmho_area_ser),
		sizeof(struct kmho_record_ser),
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct kmho_table *table = table_new(test, sizes[i]);
		unsigned long fit = table->per_page;

		KUNIT_EXPECT_LE(test, sizeof(struct kmho_page_ser) +
				fit * sizes[i], PAGE_SIZE);
		KUNIT_EXPECT_GT(test, sizeof(struct kmho_page_ser) +
				(fit + 1) * sizes[i], PAGE_SIZE);

		table_of(test, table, fit - 1);
		KUNIT_EXPECT_EQ(test, table->nr_pages, 1);
		KUNIT_ASSERT_EQ(test, append(table, fit * 10), 0);
		KUNIT_EXPECT_EQ(test, table->nr_pages, 1);
		KUNIT_EXPECT_TRUE(test, is_tens_without(table, fit, 0, 0));
		KUNIT_ASSERT_EQ(test, append(table, (fit + 1) * 10), 0);
		KUNIT_EXPECT_EQ(test, table->nr_pages, 2);
		KUNIT_EXPECT_EQ(test, table->pages[1]->count, 1);
		KUNIT_EXPECT_TRUE(test, is_tens_without(table, fit + 1, 0, 0));
	}
}

static void table_seek_finds_each(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	unsigned long nr = 3 * table->per_page + 1;
	unsigned long bad = 0, i;
	struct kmho_pos pos;

	table_of(test, table, nr);
	for (i = 1; i <= nr; i++) {
		u64 value = i * 10;

		if (value_at(table, kmho_table_seek(table, value)) != value ||
		    value_at(table, kmho_table_seek(table, value - 1)) != value ||
		    value_at(table, kmho_table_seek(table, value - 9)) != value)
			bad++;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);

	KUNIT_EXPECT_EQ(test, value_at(table, kmho_table_seek(table, 0)), 10);
	pos = kmho_table_seek(table, nr * 10 + 1);
	KUNIT_EXPECT_NULL(test, kmho_table_at(table, &pos));
	pos = kmho_table_seek(table, U64_MAX);
	KUNIT_EXPECT_NULL(test, kmho_table_at(table, &pos));
}

/* From behind the last to before the first, over every page's edge */
static void table_before_steps_back(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	unsigned long nr = 2 * table->per_page + 1;
	unsigned long bad = 0, i;
	struct kmho_pos pos;

	table_of(test, table, nr);
	pos = kmho_table_seek(table, U64_MAX);
	for (i = nr; i; i--) {
		u64 *words = kmho_table_before(table, &pos);

		if (!words || *words != i * 10)
			bad++;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_NULL(test, kmho_table_before(table, &pos));
	KUNIT_EXPECT_EQ(test, value_at(table, pos), 10);
}

static void table_remove_spans(struct kunit *test)
{
	const unsigned long fit = (PAGE_SIZE - sizeof(struct kmho_page_ser)) /
				  sizeof(struct kmho_extent_ser);
	const unsigned long nr = 4 * fit;
	const struct {
		const char *what;
		u64 start;
		u64 end;
	} spans[] = {
		{ "nothing, an empty span", 100, 100 },
		{ "nothing, between two", 101, 110 },
		{ "nothing, before the first", 0, 10 },
		{ "nothing, behind the last", nr * 10 + 1, U64_MAX },
		{ "the first", 0, 11 },
		{ "the last", nr * 10, U64_MAX },
		{ "one in the middle", 500, 501 },
		{ "the last of a page", fit * 10, fit * 10 + 1 },
		{ "the first of a page", fit * 10 + 10, fit * 10 + 11 },
		{ "both sides of an edge", fit * 10, fit * 10 + 11 },
		{ "a page", fit * 10 + 1, 2 * fit * 10 + 1 },
		{ "the first page", 0, fit * 10 + 1 },
		{ "the last page", 3 * fit * 10 + 1, U64_MAX },
		{ "two pages and a bit of each neighbour",
		  fit * 10 - 50, 3 * fit * 10 + 51 },
		{ "all but the first", 11, U64_MAX },
		{ "all but the last", 0, nr * 10 },
		{ "all", 0, U64_MAX },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(spans); i++) {
		struct kmho_table *table = extent_table(test);

		table_of(test, table, nr);
		kmho_table_seal(table, false);
		kmho_table_remove(table, spans[i].start, spans[i].end);
		KUNIT_EXPECT_TRUE_MSG(test,
				      is_tens_without(table, nr, spans[i].start,
						      spans[i].end),
				      "%s", spans[i].what);
		kmho_table_seal(table, false);
		KUNIT_EXPECT_TRUE_MSG(test, seal_is_sound(table, false), "%s",
				      spans[i].what);
		kmho_table_destroy(table);
	}
}

/* Replace what lies from @start to below @end by @nr values from @first on. */
static int splice(struct kmho_table *table, u64 start, u64 end, u64 first,
		  unsigned long nr)
{
	unsigned int words = table->entry_size / sizeof(u64);
	struct kmho_splice s;
	unsigned long i;
	u64 *entries;
	int err;

	entries = kvcalloc(nr ?: 1, table->entry_size, GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		struct model_entry entry = { .value = first + i };

		entry_fill(entries + i * words, table, &entry);
	}

	err = kmho_splice_prepare(table, start, end, entries, nr, &s);
	if (!err)
		kmho_splice_commit(table, &s);
	kvfree(entries);
	return err;
}

static void table_splice_small(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);

	KUNIT_ASSERT_EQ(test, splice(table, 0, U64_MAX, 50, 2), 0);
	KUNIT_EXPECT_TRUE(test, holds(table, (u64[]){ 50, 51 }, 2));

	/* Before the first, behind the last, between */
	KUNIT_ASSERT_EQ(test, splice(table, 10, 20, 10, 1), 0);
	KUNIT_ASSERT_EQ(test, splice(table, 90, 95, 90, 1), 0);
	KUNIT_ASSERT_EQ(test, splice(table, 60, 60, 60, 1), 0);
	KUNIT_EXPECT_TRUE(test, holds(table, (u64[]){ 10, 50, 51, 60, 90 }, 5));

	/* The first, the last, one of them, none of them */
	KUNIT_ASSERT_EQ(test, splice(table, 10, 11, 7, 2), 0);
	KUNIT_ASSERT_EQ(test, splice(table, 90, 91, 91, 1), 0);
	KUNIT_ASSERT_EQ(test, splice(table, 51, 52, 0, 0), 0);
	KUNIT_ASSERT_EQ(test, splice(table, 70, 80, 0, 0), 0);
	KUNIT_EXPECT_TRUE(test, holds(table, (u64[]){ 7, 8, 50, 60, 91 }, 5));
	KUNIT_EXPECT_EQ(test, table->nr_pages, 1);

	KUNIT_ASSERT_EQ(test, splice(table, 0, U64_MAX, 0, 0), 0);
	KUNIT_EXPECT_TRUE(test, holds(table, NULL, 0));
	KUNIT_EXPECT_EQ(test, table->nr_pages, 0);
}

/* What does not fit into the pages that it replaces gets more of them. */
static void table_splice_grows_and_shrinks(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	unsigned long fit = table->per_page;
	struct kmho_pos pos;

	table_of(test, table, 3 * fit);

	/* Into a full page in the middle */
	KUNIT_ASSERT_EQ(test, splice(table, fit * 10 + 31, fit * 10 + 39,
				     fit * 10 + 31, 1), 0);
	KUNIT_EXPECT_EQ(test, table->nr_pages, 4);
	KUNIT_EXPECT_EQ(test, table->nr_entries, 3 * fit + 1);
	KUNIT_EXPECT_TRUE(test, pages_are_sound(table));
	pos = kmho_table_seek(table, fit * 10 + 31);
	KUNIT_EXPECT_EQ(test, value_at(table, pos), fit * 10 + 31);
	KUNIT_ASSERT_EQ(test, splice(table, fit * 10 + 31, fit * 10 + 32, 0, 0),
			0);
	KUNIT_EXPECT_TRUE(test, is_tens_without(table, 3 * fit, 0, 0));

	/* One entry in place of the better part of all pages */
	KUNIT_ASSERT_EQ(test, splice(table, 15, 3 * fit * 10 - 5, 20, 1), 0);
	KUNIT_EXPECT_TRUE(test, holds(table, (u64[]){ 10, 20, 3 * fit * 10 },
				      3));
	KUNIT_EXPECT_EQ(test, table->nr_pages, 1);

	/* Several pages in place of one entry */
	KUNIT_ASSERT_EQ(test, splice(table, 20, 21, 20, 5 * fit), 0);
	KUNIT_EXPECT_EQ(test, table->nr_entries, 5 * fit + 2);
	KUNIT_EXPECT_TRUE(test, pages_are_sound(table));
	KUNIT_EXPECT_EQ(test, value_at(table, kmho_table_seek(table, 0)), 10);
	pos = kmho_table_seek(table, 20 + 5 * fit - 1);
	KUNIT_EXPECT_EQ(test, value_at(table, pos), 20 + 5 * fit - 1);
	pos = kmho_table_seek(table, 20 + 5 * fit);
	KUNIT_EXPECT_EQ(test, value_at(table, pos), 3 * fit * 10);
}

static void table_splice_abort_changes_nothing(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	unsigned long nr = 2 * table->per_page + 7;
	u64 entries[4] = { 101, 0, 102, 0 };
	struct kmho_splice s;
	int err;

	table_of(test, table, nr);
	kmho_table_seal(table, false);
	err = kmho_splice_prepare(table, 100, nr * 10, entries, 2, &s);
	KUNIT_ASSERT_EQ(test, err, 0);
	kmho_splice_abort(&s);
	KUNIT_EXPECT_TRUE(test, is_tens_without(table, nr, 0, 0));
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));
}

/* Only what changed is checksummed again, but all that changed is. */
static void table_seal_after_each_change(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	unsigned long fit = table->per_page;
	struct kmho_pos pos;
	u64 *words;

	table_of(test, table, 3 * fit - 1);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	KUNIT_ASSERT_EQ(test, append(table, 3 * fit * 10), 0);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	/* A new page: the one before it gets another @next. */
	KUNIT_ASSERT_EQ(test, append(table, 3 * fit * 10 + 10), 0);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	pos = kmho_table_seek(table, fit * 10);
	words = kmho_table_at(table, &pos);
	words[1] ^= 1;
	KUNIT_EXPECT_FALSE(test, seal_is_sound(table, false));
	kmho_table_touch(table, pos);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	KUNIT_ASSERT_EQ(test, splice(table, 25, 26, 25, 1), 0);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	/* The last page goes. */
	kmho_table_remove(table, 3 * fit * 10 + 10, U64_MAX);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));
}

/* With header_only the entries vouch for themselves, the header does not. */
static void table_seal_header_only(struct kunit *test)
{
	struct kmho_table *table = extent_table(test);
	u64 *words;

	table_of(test, table, 5);
	kmho_table_seal(table, true);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, true));

	words = (u64 *)(table->pages[0] + 1);
	words[3] ^= 1;
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, true));
	table->pages[0]->count--;
	KUNIT_EXPECT_NE(test, table->pages[0]->crc,
			kmho_page_crc(table->pages[0], table->entry_size,
				      true));
	table->pages[0]->count++;
}

/*
 * The kexec that kmho_table_load() stands behind is played: the pages are
 * marked as KHO marks them when it finds them at boot.
 */
static u64 table_cross_kexec(const struct kmho_table *table)
{
	unsigned long i;

	for (i = 0; i < table->nr_pages; i++)
		set_page_private(virt_to_page(table->pages[i]), KHO_MARK);

	return table->nr_pages ? virt_to_phys(table->pages[0]) : 0;
}

/*
 * Forget the pages that were restored, which another table has, or has freed.
 * KHO takes its mark off such a page. Returns how many there were.
 */
static unsigned long table_forget(struct kmho_table *table)
{
	unsigned long nr_left = 0, nr, i;

	for (i = 0; i < table->nr_pages; i++) {
		struct page *page = virt_to_page(table->pages[i]);

		if (page_private(page) == KHO_MARK) {
			set_page_private(page, 0);
			table->pages[nr_left++] = table->pages[i];
			continue;
		}
		/* To restore a page is to count it as new to this kernel. */
		adjust_managed_page_count(page, -1);
	}

	nr = table->nr_pages - nr_left;
	table->nr_pages = nr_left;
	return nr;
}

static void table_load_what_was_sealed(struct kunit *test)
{
	const unsigned long fit = extent_table(test)->per_page;
	const unsigned long sizes[] = { 0, 1, fit, fit + 1, 3 * fit };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct kmho_table *old = extent_table(test);
		struct kmho_table *new = extent_table(test);
		u64 phys;
		int err;

		table_of(test, old, sizes[i]);
		kmho_table_seal(old, false);
		phys = table_cross_kexec(old);
		err = kmho_table_load(new, phys, sizes[i], false);
		KUNIT_ASSERT_EQ_MSG(test, err, 0, "%lu entries", sizes[i]);
		KUNIT_EXPECT_EQ(test, table_forget(old), new->nr_pages);

		KUNIT_EXPECT_TRUE(test, is_tens_without(new, sizes[i], 0, 0));
		KUNIT_EXPECT_TRUE(test, seal_is_sound(new, false));

		/* It is a table like any other. */
		KUNIT_EXPECT_EQ(test, append(new, (sizes[i] + 1) * 10), 0);
		KUNIT_EXPECT_TRUE(test, is_tens_without(new, sizes[i] + 1, 0,
							0));
	}
}

/* Load a table whose page @at was damaged; the ones before it are sound. */
static int load_damaged(struct kunit *test, unsigned long nr_pages,
			unsigned long at, void (*damage)(struct kmho_page_ser *))
{
	struct kmho_table *old = extent_table(test);
	struct kmho_table *new = extent_table(test);
	unsigned long nr = nr_pages * old->per_page;
	u64 phys;
	int err;

	table_of(test, old, nr);
	kmho_table_seal(old, false);
	damage(old->pages[at]);
	phys = table_cross_kexec(old);
	err = kmho_table_load(new, phys, nr, false);
	KUNIT_EXPECT_EQ(test, new->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, new->nr_entries, 0);
	KUNIT_EXPECT_EQ(test, table_forget(old), at);
	return err;
}

static void damage_entry(struct kmho_page_ser *ser)
{
	((u64 *)(ser + 1))[20] ^= BIT_ULL(40);
}

static void damage_crc(struct kmho_page_ser *ser)
{
	ser->crc = 0;
}

static void damage_count_none(struct kmho_page_ser *ser)
{
	ser->count = 0;
	ser->crc = kmho_page_crc(ser, sizeof(struct kmho_extent_ser), false);
}

/* Not checksummed anew: that would read beyond the page, as would a load. */
static void damage_count_many(struct kmho_page_ser *ser)
{
	ser->count = U32_MAX;
}

static void table_load_refuses_damage(struct kunit *test)
{
	unsigned long at;

	for (at = 0; at < 3; at++) {
		KUNIT_EXPECT_EQ(test, load_damaged(test, 3, at, damage_entry),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, load_damaged(test, 3, at, damage_crc),
				-EINVAL);
		KUNIT_EXPECT_EQ(test,
				load_damaged(test, 3, at, damage_count_none),
				-EINVAL);
		KUNIT_EXPECT_EQ(test,
				load_damaged(test, 3, at, damage_count_many),
				-EINVAL);
	}
}

/* A chain that is sound page by page, and still not what was promised */
static void table_load_refuses_wrong_chain(struct kunit *test)
{
	struct kmho_table *old = extent_table(test);
	struct kmho_table *new = extent_table(test);
	unsigned long nr = 2 * old->per_page;
	u64 phys;

	KUNIT_EXPECT_EQ(test, kmho_table_load(new, 0, 1, false), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmho_table_load(new, PAGE_SIZE + 8, 1, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, kmho_table_load(new, BIT_ULL(55), 1, false),
			-EINVAL);

	/* More entries than it says, or fewer */
	table_of(test, old, nr);
	kmho_table_seal(old, false);
	phys = table_cross_kexec(old);
	KUNIT_EXPECT_EQ(test, kmho_table_load(new, phys, nr - 1, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, new->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, table_forget(old), 2);

	kmho_table_destroy(old);
	table_of(test, old, nr);
	kmho_table_seal(old, false);
	phys = table_cross_kexec(old);
	KUNIT_EXPECT_EQ(test, kmho_table_load(new, phys, nr + 1, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, new->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, table_forget(old), 2);
}

/*
 * Flip bits one after the other, from the first byte to the last entry: each of
 * them, or one of each byte. Returns how many bytes passed the test.
 */
static unsigned long flip_bits(struct kunit *test, unsigned long nr, bool each)
{
	struct kmho_table *old = extent_table(test);
	struct kmho_table *new = extent_table(test);
	unsigned long end, i;
	u64 phys;
	u8 *bytes;

	table_of(test, old, nr);
	kmho_table_seal(old, false);
	phys = table_cross_kexec(old);
	bytes = (u8 *)old->pages[0];
	end = sizeof(struct kmho_page_ser) + nr * old->entry_size;

	for (i = 0; i < end; i++) {
		unsigned int bit = each ? 0 : i % 8;
		unsigned int last = each ? 7 : bit;

		for (; bit <= last; bit++) {
			bytes[i] ^= BIT(bit);
			kmho_table_load(new, phys, nr, false);
			/* Without its mark the page was believed. */
			if (page_private(virt_to_page(bytes)) != KHO_MARK)
				goto out;
			bytes[i] ^= BIT(bit);
		}
		cond_resched();
	}
out:
	KUNIT_EXPECT_EQ(test, table_forget(old), 0);
	return i;
}

static void table_load_finds_flipped_bits(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, flip_bits(test, 31, true), 512);
	KUNIT_EXPECT_EQ(test, flip_bits(test, 255, false), 4096);
}

static unsigned long model_seek(const struct model *model, u64 value)
{
	unsigned long i = 0;

	while (i < model->nr && model->entries[i].value < value)
		i++;

	return i;
}

static void model_splice(struct model *model, u64 start, u64 end,
			 const struct model_entry *entries, unsigned long nr)
{
	unsigned long from = model_seek(model, start);
	unsigned long to = model_seek(model, end);

	memmove(&model->entries[from + nr], &model->entries[to],
		(model->nr - to) * sizeof(*entries));
	if (nr)
		memcpy(&model->entries[from], entries, nr * sizeof(*entries));
	model->nr += nr - (to - from);
}

static bool model_agrees(const struct model *model,
			 const struct kmho_table *table)
{
	u64 expected[ENTRY_WORDS];
	struct kmho_pos pos;
	unsigned long i = 0;
	u64 *words;

	for_each_kmho_entry(table, pos, words) {
		if (i == model->nr)
			return false;
		entry_fill(expected, table, &model->entries[i++]);
		if (memcmp(words, expected, table->entry_size))
			return false;
	}

	return i == model->nr && pages_are_sound(table);
}

/* New entries for a splice: some values between @start and @end, ascending */
static unsigned long random_entries(struct rnd_state *rnd, u64 start, u64 end,
				    struct model_entry *entries,
				    unsigned long max)
{
	unsigned long nr = 0;
	u64 value = start;

	while (nr < max) {
		value += prandom_u32_state(rnd) % 16;
		if (value >= end)
			break;
		entries[nr].value = value++;
		entries[nr++].seed = prandom_u32_state(rnd);
	}

	return nr;
}

static const size_t entry_sizes[] = {
	sizeof(struct kmho_extent_ser),
	sizeof(struct kmho_area_ser),
	sizeof(struct kmho_record_ser),
};

static void entry_size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%zu bytes an entry", *size);
}

KUNIT_ARRAY_PARAM(entry_size, entry_sizes, entry_size_desc);

static void table_random_against_model(struct kunit *test)
{
	const size_t *entry_size = test->param_value;
	struct kmho_table *table = table_new(test, *entry_size);
	const unsigned int nr_words = *entry_size / sizeof(u64);
	struct model_entry *entries;
	struct model model = { };
	struct rnd_state rnd;
	unsigned int step;
	u64 *words;

	model.entries = kunit_kcalloc(test, 2 * MODEL_MAX,
				      sizeof(*model.entries), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model.entries);
	entries = kunit_kcalloc(test, MODEL_MAX, sizeof(*entries), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, entries);
	words = kunit_kcalloc(test, MODEL_MAX, *entry_size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, words);

	prandom_seed_state(&rnd, 473);
	for (step = 0; step < 300; step++) {
		u64 start = prandom_u32_state(&rnd) % MODEL_VALUES;
		u64 end = start + prandom_u32_state(&rnd) % 4096;
		unsigned int op = prandom_u32_state(&rnd) % 8;
		struct kmho_splice s;
		unsigned long nr, i;
		struct kmho_pos pos;
		u64 value;
		int err;

		/* Now and then all of it */
		if (prandom_u32_state(&rnd) % 100 == 0) {
			start = 0;
			end = U64_MAX;
		}

		switch (op) {
		case 0: /* remove */
			kmho_table_remove(table, start, end);
			model_splice(&model, start, end, NULL, 0);
			break;
		case 1: /* append */
			value = MODEL_VALUES + step;
			nr = 1 + prandom_u32_state(&rnd) % 32;
			for (i = 0; i < nr && model.nr < MODEL_MAX; i++) {
				entries[0].value = (value << 8) + i;
				entries[0].seed = prandom_u32_state(&rnd);
				entry_fill(words, table, &entries[0]);
				err = kmho_table_append(table, words);
				KUNIT_ASSERT_EQ(test, err, 0);
				model.entries[model.nr++] = entries[0];
			}
			break;
		case 2: /* change in place */
			i = model_seek(&model, start);
			pos = kmho_table_seek(table, start);
			if (i == model.nr)
				break;
			model.entries[i].seed = step;
			kmho_table_at(table, &pos);
			entry_fill(kmho_table_at(table, &pos), table,
				   &model.entries[i]);
			kmho_table_touch(table, pos);
			break;
		default: /* splice, not all of them carried out */
			nr = random_entries(&rnd, start, end, entries,
					    MODEL_MAX - model.nr);
			for (i = 0; i < nr; i++)
				entry_fill(words + i * nr_words, table,
					   &entries[i]);
			err = kmho_splice_prepare(table, start, end, words, nr,
						  &s);
			KUNIT_ASSERT_EQ(test, err, 0);
			if (op == 7) {
				kmho_splice_abort(&s);
				break;
			}
			kmho_splice_commit(table, &s);
			model_splice(&model, start, end, entries, nr);
		}

		KUNIT_ASSERT_TRUE_MSG(test, model_agrees(&model, table),
				      "step %u: op %u on %llu-%llu", step, op,
				      start, end);

		value = prandom_u32_state(&rnd) % MODEL_VALUES;
		i = model_seek(&model, value);
		KUNIT_ASSERT_EQ_MSG(test,
				    value_at(table,
					     kmho_table_seek(table, value)),
				    i < model.nr ? model.entries[i].value :
						   U64_MAX,
				    "step %u: seek %llu", step, value);

		if (prandom_u32_state(&rnd) % 4)
			continue;
		kmho_table_seal(table, false);
		KUNIT_ASSERT_TRUE_MSG(test, seal_is_sound(table, false),
				      "step %u: op %u on %llu-%llu", step, op,
				      start, end);
		cond_resched();
	}
}

static struct kunit_case kmho_table_cases[] = {
	KUNIT_CASE(table_empty),
	KUNIT_CASE(table_append_at_page_boundaries),
	KUNIT_CASE(table_seek_finds_each),
	KUNIT_CASE(table_before_steps_back),
	KUNIT_CASE(table_remove_spans),
	KUNIT_CASE(table_splice_small),
	KUNIT_CASE(table_splice_grows_and_shrinks),
	KUNIT_CASE(table_splice_abort_changes_nothing),
	KUNIT_CASE(table_seal_after_each_change),
	KUNIT_CASE(table_seal_header_only),
	KUNIT_CASE(table_load_what_was_sealed),
	KUNIT_CASE(table_load_refuses_damage),
	KUNIT_CASE(table_load_refuses_wrong_chain),
	KUNIT_CASE(table_load_finds_flipped_bits),
	KUNIT_CASE_PARAM(table_random_against_model, entry_size_gen_params),
	{}
};

static struct kunit_suite kmho_table_suite = {
	.name = "kmho_table",
	.test_cases = kmho_table_cases,
};

/* The largest numbers that fit */
#define VPN_MAX		(BIT_ULL(64 - KMHO_EXTENT_NR_BITS) - 1)
#define PFN_MAX		(BIT_ULL(64 - KMHO_EXTENT_PFN_SHIFT) - 1)

/* One of five values; what is left of @at chooses the next. */
static u64 pick(const u64 values[5], unsigned int *at)
{
	u64 value = values[*at % 5];

	*at /= 5;
	return value;
}

static void extent_keeps_each_field(struct kunit *test)
{
	static const u64 vpns[5] = { 0, 1, 0x7ffffffff, VPN_MAX - 1, VPN_MAX };
	static const u64 pfns[5] = { 0, 1, 0x123456789, PFN_MAX - 1, PFN_MAX };
	static const u64 nrs[5] = { 1, 2, 512, 65535, 65536 };
	static const u64 orders[5] = { 0, 1, 9, 18, 63 };
	static const u64 flags[5] = {
		0, KMHO_EXTENT_PINNED, KMHO_EXTENT_RESTORED,
		KMHO_EXTENT_FORMED, KMHO_EXTENT_FLAGS,
	};
	const unsigned int nr_cases = 5 * 5 * 5 * 5 * 5;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, VPN_MAX, 0xffffffffffff);
	KUNIT_EXPECT_EQ(test, PFN_MAX, 0xfffffffffff);
	KUNIT_EXPECT_EQ(test, KMHO_EXTENT_NR_MAX, 65536);

	/* Each with each */
	for (i = 0; i < nr_cases; i++) {
		unsigned int at = i;
		u64 vpn = pick(vpns, &at);
		u64 pfn = pick(pfns, &at);
		unsigned long nr = pick(nrs, &at);
		unsigned int order = pick(orders, &at);
		u64 flag = pick(flags, &at);
		struct kmho_extent_ser ext;

		ext = kmho_extent_make(vpn, pfn, nr, order, flag);
		/* What is larger than a block, is one page of that size. */
		if (order > KMHO_BLOCK_ORDER)
			nr = 1UL << order;
		KUNIT_ASSERT_EQ(test, kmho_extent_vpn(&ext), vpn);
		KUNIT_ASSERT_EQ(test, kmho_extent_pfn(&ext), pfn);
		KUNIT_ASSERT_EQ(test, kmho_extent_nr(&ext), nr);
		KUNIT_ASSERT_EQ(test, kmho_extent_order(&ext), order);
		KUNIT_ASSERT_EQ(test, ext.what & KMHO_EXTENT_FLAGS, flag);
		KUNIT_ASSERT_EQ(test, kmho_extent_end(&ext), vpn + nr);
	}
}

static void extent_set_order_leaves_the_rest(struct kunit *test)
{
	struct kmho_extent_ser ext;

	ext = kmho_extent_make(VPN_MAX, PFN_MAX, 65536, 9, KMHO_EXTENT_FLAGS);
	kmho_extent_set_order(&ext, 0);
	KUNIT_EXPECT_EQ(test, kmho_extent_order(&ext), 0);
	KUNIT_EXPECT_EQ(test, kmho_extent_pfn(&ext), PFN_MAX);
	KUNIT_EXPECT_EQ(test, ext.what & KMHO_EXTENT_FLAGS, KMHO_EXTENT_FLAGS);
	KUNIT_EXPECT_EQ(test, kmho_extent_nr(&ext), 65536);

	ext = kmho_extent_make(0, 0, 1, 0, 0);
	kmho_extent_set_order(&ext, 63);
	KUNIT_EXPECT_EQ(test, kmho_extent_order(&ext), 63);
	KUNIT_EXPECT_EQ(test, kmho_extent_pfn(&ext), 0);
	KUNIT_EXPECT_EQ(test, ext.what & KMHO_EXTENT_FLAGS, 0);
}

/* A table sorts extents by @where, which must be an order by address. */
static void extent_sorts_by_address(struct kunit *test)
{
	struct kmho_extent_ser low, high;

	low = kmho_extent_make(7, PFN_MAX, 65536, 9, KMHO_EXTENT_FLAGS);
	high = kmho_extent_make(8, 0, 1, 0, 0);
	KUNIT_EXPECT_LT(test, low.where, high.where);

	/* An extent grows at its end by adding to @where. */
	low = kmho_extent_make(7, 0, 1, 0, 0);
	low.where += 65535;
	KUNIT_EXPECT_EQ(test, kmho_extent_vpn(&low), 7);
	KUNIT_EXPECT_EQ(test, kmho_extent_nr(&low), 65536);
}

/* The next kernel reads these bytes, whatever its compiler. */
static void extent_layout_is_the_abi(struct kunit *test)
{
	struct kmho_extent_ser ext;

	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_page_ser), 16);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_root_ser), 72);
	KUNIT_EXPECT_EQ(test, KMHO_ROOT_HEAD, 40);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_list_ser), 24);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_record_ser), 64);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_area_ser), 40);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_object_ser), 328);
	KUNIT_EXPECT_EQ(test, sizeof(struct kmho_extent_ser), 16);

	ext = kmho_extent_make(0x123456789abc, 0xfedcba98765, 0x10, 9,
			       KMHO_EXTENT_PINNED);
	KUNIT_EXPECT_EQ(test, ext.where, 0x123456789abc000f);
	KUNIT_EXPECT_EQ(test, ext.what, 0xfedcba9876524001);
}

static struct kunit_case kmho_extent_cases[] = {
	KUNIT_CASE(extent_keeps_each_field),
	KUNIT_CASE(extent_set_order_leaves_the_rest),
	KUNIT_CASE(extent_sorts_by_address),
	KUNIT_CASE(extent_layout_is_the_abi),
	{}
};

static struct kunit_suite kmho_extent_suite = {
	.name = "kmho_extent",
	.test_cases = kmho_extent_cases,
};

static const struct kmho_record_ser good_record = {
	.key = 0x5eed,
	.uid = 1000,
	.nr_areas = 1,
	.areas = 0x123000,
	.nr_extents = 2,
	.extents = 0x456000,
	.nr_pages = 513,
	.nr_migrated = 1,
};

static void serial_record_crc_finds_each_bit(struct kunit *test)
{
	struct kmho_record_ser ser = good_record;
	unsigned long bit, missed = 0;
	u8 *bytes = (u8 *)&ser;

	ser.crc = kmho_record_crc(ser);
	for (bit = 0; bit < BITS_PER_BYTE * sizeof(ser); bit++) {
		bytes[bit / 8] ^= BIT(bit % 8);
		if (ser.crc == kmho_record_crc(ser))
			missed++;
		bytes[bit / 8] ^= BIT(bit % 8);
	}
	KUNIT_EXPECT_EQ(test, missed, 0);
	KUNIT_EXPECT_EQ(test, ser.crc, kmho_record_crc(ser));
}

static struct kmho_root_ser good_root(void)
{
	struct kmho_root_ser root = {
		.compatible = KMHO_COMPATIBLE,
		.page_shift = PAGE_SHIFT,
		.lists = 0x123000,
		.nr_lists = 7,
		.nr_records = 3,
		.records = 0x789000,
	};

	root.crc = kmho_root_crc(&root, sizeof(root));
	return root;
}

static void serial_root_crc_finds_each_bit(struct kunit *test)
{
	struct kmho_root_ser root = good_root();
	unsigned long bit, missed = 0;
	u8 *bytes = (u8 *)&root;

	for (bit = 0; bit < BITS_PER_BYTE * sizeof(root); bit++) {
		bytes[bit / 8] ^= BIT(bit % 8);
		if (root.crc == kmho_root_crc(&root, sizeof(root)))
			missed++;
		bytes[bit / 8] ^= BIT(bit % 8);
	}
	KUNIT_EXPECT_EQ(test, missed, 0);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, sizeof(root)), 0);
}

static void serial_root_of_another_kernel(struct kunit *test)
{
	struct kmho_root_ser root = good_root();
	const size_t size = sizeof(root);

	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), 0);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, KMHO_ROOT_HEAD - 1),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, PAGE_SIZE + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size - 1), -EBADMSG);

	/* A damaged root is told from one that is sound but strange. */
	root.records ^= PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), -EBADMSG);

	root = good_root();
	root.page_shift = PAGE_SHIFT + 2;
	root.crc = kmho_root_crc(&root, size);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), -EINVAL);

	root = good_root();
	memset(root.compatible, 'k', sizeof(root.compatible));
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), -EBADMSG);
	root.crc = kmho_root_crc(&root, size);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), -EPROTO);

	/* A longer string that begins like ours is not ours. */
	root = good_root();
	root.compatible[sizeof(KMHO_COMPATIBLE) - 1] = '1';
	root.crc = kmho_root_crc(&root, size);
	KUNIT_EXPECT_EQ(test, kmho_root_check(&root, size), -EPROTO);
}

/* Another format has more behind the head, or less; its checksum counts that. */
static void serial_root_of_another_size(struct kunit *test)
{
	const size_t sizes[] = { KMHO_ROOT_HEAD, KMHO_ROOT_HEAD + 8, PAGE_SIZE };
	struct kmho_root_ser *root = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, root);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(root, 0xa5, PAGE_SIZE);
		*root = good_root();
		root->compatible[0] = 'K';
		root->crc = kmho_root_crc(root, sizes[i]);
		KUNIT_EXPECT_EQ(test, kmho_root_check(root, sizes[i]), -EPROTO);
		((u8 *)root)[sizes[i] - 1] ^= 1;
		KUNIT_EXPECT_EQ(test, kmho_root_check(root, sizes[i]), -EBADMSG);
	}
}

static int check_areas(struct kunit *test,
		       const struct kmho_area_ser *areas,
		       unsigned int nr)
{
	struct kmho_table *table = table_new(test, sizeof(*areas));
	unsigned int i;

	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, kmho_table_append(table, &areas[i]), 0);

	return kmho_check_areas(table);
}

#define AREA(_start, _end) ((struct kmho_area_ser) {			\
		.start = (_start) * PAGE_SIZE,				\
		.end = (_end) * PAGE_SIZE,				\
		.kind = KMHO_KIND_ANON,					\
		.flags = KMHO_AREA_READ | KMHO_AREA_WRITE,		\
	})

static void serial_areas_that_are_sound(struct kunit *test)
{
	struct kmho_area_ser areas[] = {
		AREA(0, 1), AREA(1, 2), AREA(10, 1000), AREA(1000, 1001),
	};
	struct kmho_area_ser last = AREA(5, 6);

	KUNIT_EXPECT_EQ(test, check_areas(test, areas, 0), 0);
	KUNIT_EXPECT_EQ(test, check_areas(test, areas, ARRAY_SIZE(areas)), 0);

	last.start = TASK_SIZE_MAX - PAGE_SIZE;
	last.end = TASK_SIZE_MAX;
	last.flags = KMHO_AREA_FLAGS;
	KUNIT_EXPECT_EQ(test, check_areas(test, &last, 1), 0);
}

static void serial_areas_that_cannot_be(struct kunit *test)
{
	struct kmho_area_ser two[] = { AREA(10, 20), AREA(20, 30) };
	struct kmho_area_ser one;

	one = AREA(5, 5);
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(6, 5);
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.start++;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.end--;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.end = TASK_SIZE_MAX + PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one.end = U64_MAX & PAGE_MASK;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.kind = 0;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one.kind = U32_MAX;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.flags |= KMHO_AREA_FLAGS + 1;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);

	/* Private memory lies in no object. */
	one = AREA(5, 6);
	one.object = 1;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);
	one = AREA(5, 6);
	one.index = 1;
	KUNIT_EXPECT_EQ(test, check_areas(test, &one, 1), -EINVAL);

	/* They overlap, or lie the wrong way round. */
	two[1] = AREA(19, 30);
	KUNIT_EXPECT_EQ(test, check_areas(test, two, 2), -EINVAL);
	two[1] = AREA(12, 13);
	KUNIT_EXPECT_EQ(test, check_areas(test, two, 2), -EINVAL);
	two[1] = AREA(10, 20);
	KUNIT_EXPECT_EQ(test, check_areas(test, two, 2), -EINVAL);
	two[1] = AREA(5, 10);
	KUNIT_EXPECT_EQ(test, check_areas(test, two, 2), -EINVAL);
}

static void serial_areas_of_objects(struct kunit *test)
{
	struct kmho_area_ser area = AREA(5, 15);

	area.kind = KMHO_KIND_SHMEM;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
	area.object = U64_MAX;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), 0);
	area.index = KMHO_INDEX_MAX - 10;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), 0);
	area.index++;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
	area.index = U64_MAX;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
}

static struct kmho_object_ser good_object(void)
{
	return (struct kmho_object_ser) {
		.id = 7,
		.flags = KMHO_OBJECT_FLAGS,
		.size = 0x123456,
		.uid = 1000,
		.gid = 1001,
		.mode = 0640,
		.seals = 2,
		.nr_extents = 2,
		.extents = 0x456000,
		.nr_pages = 513,
		.name = "memfd:kmho",
	};
}

static void serial_object_crc_finds_each_bit(struct kunit *test)
{
	struct kmho_object_ser ser = good_object();
	unsigned long bit, missed = 0;
	u8 *bytes = (u8 *)&ser;

	ser.crc = kmho_object_crc(&ser);
	for (bit = 0; bit < BITS_PER_BYTE * sizeof(ser); bit++) {
		bytes[bit / 8] ^= BIT(bit % 8);
		if (ser.crc == kmho_object_crc(&ser))
			missed++;
		bytes[bit / 8] ^= BIT(bit % 8);
	}
	KUNIT_EXPECT_EQ(test, missed, 0);
}

#define EXPECT_INSANE(test, field, value) do {				\
	struct kmho_object_ser ser = good_object();			\
									\
	ser.field = value;						\
	KUNIT_EXPECT_FALSE(test, kmho_object_is_sane(&ser));		\
} while (0)

static void serial_objects_that_cannot_be(struct kunit *test)
{
	struct kmho_object_ser good = good_object();

	KUNIT_EXPECT_TRUE(test, kmho_object_is_sane(&good));
	good.size = MAX_LFS_FILESIZE;
	memset(good.name, 'k', KMHO_OBJECT_NAME_MAX - 1);
	KUNIT_EXPECT_TRUE(test, kmho_object_is_sane(&good));

	EXPECT_INSANE(test, id, 0);
	EXPECT_INSANE(test, id, U64_MAX);
	EXPECT_INSANE(test, flags, KMHO_OBJECT_FLAGS + 1);
	EXPECT_INSANE(test, size, (u64)MAX_LFS_FILESIZE + 1);
	EXPECT_INSANE(test, size, U64_MAX);
	EXPECT_INSANE(test, uid, U32_MAX);
	EXPECT_INSANE(test, gid, U32_MAX);
	EXPECT_INSANE(test, mode, 0100640);
	EXPECT_INSANE(test, seals, BIT(31));
	EXPECT_INSANE(test, name[0], 0);
	EXPECT_INSANE(test, name[KMHO_OBJECT_NAME_MAX - 1], 'k');
}

/* A page frame number that exists, as do the PTRS_PER_PTE from it on */
static u64 some_pfn(struct kunit *test)
{
	void *page = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	u64 pfn;

	KUNIT_ASSERT_NOT_NULL(test, page);
	pfn = round_down(PHYS_PFN(virt_to_phys(page)), PTRS_PER_PTE);
	KUNIT_ASSERT_TRUE(test, pfn_valid(pfn));
	KUNIT_ASSERT_TRUE(test, pfn_valid(pfn + PTRS_PER_PTE - 1));
	return pfn;
}

static bool is_sane(u64 vpn, u64 pfn, unsigned long nr,
		    unsigned int order)
{
	struct kmho_extent_ser ext = kmho_extent_make(vpn, pfn, nr, order, 0);

	return kmho_extent_is_sane(&ext);
}

static void serial_extents_that_are_sane(struct kunit *test)
{
	unsigned int top = ilog2(PTRS_PER_PTE);
	u64 pfn = some_pfn(test);

	KUNIT_EXPECT_TRUE(test, is_sane(0, pfn, 1, 0));
	KUNIT_EXPECT_TRUE(test, is_sane(0, pfn, PTRS_PER_PTE, 0));
	KUNIT_EXPECT_TRUE(test, is_sane(0, pfn, PTRS_PER_PTE, top));
	KUNIT_EXPECT_TRUE(test, is_sane(PTRS_PER_PTE, pfn, PTRS_PER_PTE, top));
	KUNIT_EXPECT_TRUE(test, is_sane(PTRS_PER_PTE - 1, pfn, 1, 0));
	KUNIT_EXPECT_TRUE(test, is_sane(3, pfn + 1, 5, 0));

	/* mTHP lie anywhere in address space, but in order in memory. */
	KUNIT_EXPECT_TRUE(test, is_sane(3, pfn + 16, 16, 4));
	KUNIT_EXPECT_TRUE(test, is_sane(3, pfn + 16, 48, 4));
}

static void serial_extents_that_are_not(struct kunit *test)
{
	unsigned int top = ilog2(PTRS_PER_PTE);
	u64 pfn = some_pfn(test);

	/* Parts of folios */
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn, 8, 4));
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn, 24, 4));
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn + 8, 16, 4));
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn, PTRS_PER_PTE, top + 1));

	/* Orders that no folio has */
	KUNIT_EXPECT_FALSE(test, is_sane(0, 0, 65536, MAX_PAGE_ORDER + 1));
	KUNIT_EXPECT_FALSE(test, is_sane(0, 0, 65536, 63));

	/* More than a page table maps, or a part of two of them */
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn, PTRS_PER_PTE + 1, 0));
	KUNIT_EXPECT_FALSE(test, is_sane(0, pfn, 65536, 0));
	KUNIT_EXPECT_FALSE(test, is_sane(PTRS_PER_PTE - 1, pfn, 2, 0));
	KUNIT_EXPECT_FALSE(test, is_sane(1, pfn, PTRS_PER_PTE, top));

	/* Memory that there is not */
	KUNIT_EXPECT_FALSE(test, is_sane(0, PFN_MAX, 1, 0));
	KUNIT_EXPECT_FALSE(test, is_sane(0, PFN_MAX - 1, 2, 0));
}

/* Check extents against areas, one array each. */
static int check_extents(struct kunit *test,
			 const struct kmho_area_ser *areas,
			 unsigned int nr_areas,
			 const struct kmho_extent_ser *exts,
			 unsigned int nr_exts, u64 nr_pages)
{
	struct kmho_table *area_table = table_new(test, sizeof(*areas));
	struct kmho_table *table = extent_table(test);
	unsigned int i;
	int err;

	for (i = 0; i < nr_areas; i++) {
		err = kmho_table_append(area_table, &areas[i]);
		KUNIT_ASSERT_EQ(test, err, 0);
	}
	for (i = 0; i < nr_exts; i++) {
		err = kmho_table_append(table, &exts[i]);
		KUNIT_ASSERT_EQ(test, err, 0);
	}

	return kmho_check_extents(table, area_table, nr_pages);
}

static void serial_extents_in_areas(struct kunit *test)
{
	const struct kmho_area_ser areas[] = {
		AREA(10, 20), AREA(20, 30), AREA(40, 50), AREA(100, 101),
	};
	u64 pfn = some_pfn(test);
	const struct kmho_extent_ser all[] = {
		kmho_extent_make(10, pfn, 5, 0, 0),
		kmho_extent_make(15, pfn + 20, 15, 0, 0),
		kmho_extent_make(40, pfn + 40, 10, 0, 0),
		kmho_extent_make(100, pfn + 60, 1, 0, 0),
	};

	KUNIT_EXPECT_EQ(test, check_extents(test, NULL, 0, NULL, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, NULL, 0, 0), 0);

	/* One of them reaches from an area into the next, which is allowed. */
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, all, 4, 31), 0);

	/* Areas in which nothing lies are passed over. */
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, &all[3], 1, 1), 0);

	/* The number of pages is what quotas are charged by. */
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, all, 4, 30),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, all, 4, 32),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 4, NULL, 0, 1),
			-EINVAL);
}

static void serial_extents_outside_areas(struct kunit *test)
{
	const struct kmho_area_ser areas[] = {
		AREA(10, 20), AREA(20, 30), AREA(40, 50),
	};
	const struct {
		const char *what;
		unsigned int vpn;
		unsigned int nr;
	} cases[] = {
		{ "before the first area", 5, 5 },
		{ "into the first area", 9, 2 },
		{ "out of an area", 29, 2 },
		{ "over a gap", 25, 20 },
		{ "in a gap", 30, 10 },
		{ "into an area, from a gap", 39, 2 },
		{ "out of the last area", 45, 6 },
		{ "behind the last area", 50, 1 },
		{ "over all of them", 5, 100 },
	};
	u64 pfn = some_pfn(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kmho_extent_ser ext;
		int err;

		ext = kmho_extent_make(cases[i].vpn, pfn, cases[i].nr, 0, 0);
		err = check_extents(test, areas, ARRAY_SIZE(areas), &ext, 1,
				    cases[i].nr);
		KUNIT_EXPECT_EQ_MSG(test, err, -EINVAL, "%s", cases[i].what);
	}

	KUNIT_EXPECT_EQ(test,
			check_extents(test, NULL, 0,
				      &(struct kmho_extent_ser) {}, 1, 1),
			-EINVAL);
}

/* An area of huge pages of an order */
static struct kmho_area_ser huge_area(u64 start, u64 end, u32 order)
{
	struct kmho_area_ser area = AREA(start, end);

	area.kind = KMHO_KIND_HUGETLB;
	area.flags |= order << KMHO_AREA_ORDER_SHIFT;
	return area;
}

static void serial_areas_of_huge_pages(struct kunit *test)
{
	struct kmho_area_ser area;

	area = huge_area(512, 2048, 9);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), 0);
	area = huge_area(0, BIT(18), 18);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1),
			PUD_SHIFT - PAGE_SHIFT < 18 ? -EINVAL : 0);

	/* Parts of huge pages, no order, one that there is not */
	area = huge_area(512, 2047, 9);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
	area = huge_area(511, 2048, 9);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
	area = huge_area(512, 2048, 0);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
	area = huge_area(0, 2048, 63);
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);

	/* Other memory has no order. */
	area = huge_area(512, 2048, 9);
	area.kind = KMHO_KIND_ANON;
	KUNIT_EXPECT_EQ(test, check_areas(test, &area, 1), -EINVAL);
}

static void serial_extents_of_huge_pages(struct kunit *test)
{
	const unsigned int nr = PTRS_PER_PTE, top = ilog2(PTRS_PER_PTE);
	const struct kmho_area_ser area = huge_area(0, 4 * nr, top);
	const struct kmho_area_ser other = huge_area(0, 4 * nr, top - 1);
	const struct kmho_area_ser anon = AREA(0, 4 * nr);
	u64 pfn = some_pfn(test);
	struct kmho_extent_ser ext;

	ext = kmho_extent_make(nr, pfn, nr, top, KMHO_EXTENT_HUGETLB);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, &ext, 1, nr), 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &other, 1, &ext, 1, nr),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, check_extents(test, &anon, 1, &ext, 1, nr),
			-EINVAL);

	/* A huge page of another kind in an area of hugetlb */
	ext = kmho_extent_make(nr, pfn, nr, top, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, &ext, 1, nr),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, check_extents(test, &anon, 1, &ext, 1, nr), 0);

	/* Not where huge pages can be */
	ext = kmho_extent_make(nr + 1, pfn, nr / 2, top - 1,
			       KMHO_EXTENT_HUGETLB);
	KUNIT_EXPECT_FALSE(test, kmho_extent_is_sane(&ext));
	ext = kmho_extent_make(nr, pfn, 1, 0, KMHO_EXTENT_HUGETLB);
	KUNIT_EXPECT_FALSE(test, kmho_extent_is_sane(&ext));

	/* More than a block, which only huge pages can have, and only one */
	ext = kmho_extent_make(0, 0, 1, top + 1, 0);
	KUNIT_EXPECT_FALSE(test, kmho_extent_is_sane(&ext));
	ext = kmho_extent_make(0, 0, 1, top + 1, KMHO_EXTENT_HUGETLB);
	ext.where++;
	KUNIT_EXPECT_FALSE(test, kmho_extent_is_sane(&ext));
	ext = kmho_extent_make(nr, 0, 1, top + 1, KMHO_EXTENT_HUGETLB);
	KUNIT_EXPECT_FALSE(test, kmho_extent_is_sane(&ext));
	pfn = round_down(pfn, 2 * nr);
	if (pfn_valid(pfn) && pfn_valid(pfn + 2 * nr - 1)) {
		ext = kmho_extent_make(2 * nr, pfn, 1, top + 1,
				       KMHO_EXTENT_HUGETLB);
		KUNIT_EXPECT_TRUE(test, kmho_extent_is_sane(&ext));
	}
}

static void serial_extents_out_of_order(struct kunit *test)
{
	const struct kmho_area_ser area = AREA(0, 400);
	u64 pfn = some_pfn(test);
	struct kmho_extent_ser two[2] = {
		kmho_extent_make(10, pfn, 10, 0, 0),
		kmho_extent_make(20, pfn + 10, 10, 0, 0),
	};

	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, two, 2, 20), 0);
	two[1] = kmho_extent_make(19, pfn + 10, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, two, 2, 20),
			-EINVAL);
	two[1] = kmho_extent_make(10, pfn + 10, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, two, 2, 20),
			-EINVAL);
	two[1] = kmho_extent_make(0, pfn + 10, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, two, 2, 20),
			-EINVAL);

	/* Each extent is checked, not only the first. */
	two[1] = kmho_extent_make(20, PFN_MAX, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, &area, 1, two, 2, 20),
			-EINVAL);
}

/* How the last kernel held a page means nothing here, and is forgotten. */
static void serial_extents_lose_local_flags(struct kunit *test)
{
	struct kmho_table *areas = table_new(test,
					     sizeof(struct kmho_area_ser));
	struct kmho_table *table = extent_table(test);
	const struct kmho_area_ser area = AREA(0, 400);
	struct kmho_extent_ser ext, *in_table;
	u64 pfn = some_pfn(test);
	struct kmho_pos pos;
	unsigned int flag;

	KUNIT_ASSERT_EQ(test, kmho_table_append(areas, &area), 0);
	ext = kmho_extent_make(1, pfn, 1, 0, KMHO_EXTENT_PINNED);
	KUNIT_ASSERT_EQ(test, kmho_table_append(table, &ext), 0);
	ext = kmho_extent_make(2, pfn + 1, 1, 0, KMHO_EXTENT_LOCAL);
	KUNIT_ASSERT_EQ(test, kmho_table_append(table, &ext), 0);
	kmho_table_seal(table, false);

	KUNIT_EXPECT_EQ(test, kmho_check_extents(table, areas, 2), 0);
	for_each_kmho_entry(table, pos, in_table)
		KUNIT_EXPECT_EQ(test, in_table->what & KMHO_EXTENT_FLAGS, 0);
	kmho_table_seal(table, false);
	KUNIT_EXPECT_TRUE(test, seal_is_sound(table, false));

	/* Other flags are of a format that this kernel does not know. */
	for (flag = fls(KMHO_EXTENT_LOCAL); flag < KMHO_EXTENT_ORDER_SHIFT;
	     flag++) {
		ext = kmho_extent_make(1, pfn, 1, 0, BIT(flag));
		KUNIT_EXPECT_EQ(test,
				check_extents(test, &area, 1, &ext, 1, 1),
				-EINVAL);
	}
}

/* What is shared has its pages in an object, and not in the record as well. */
static void serial_extents_in_shared_areas(struct kunit *test)
{
	struct kmho_area_ser areas[] = {
		AREA(10, 20), AREA(20, 30), AREA(30, 40),
	};
	u64 pfn = some_pfn(test);
	struct kmho_extent_ser ext;

	areas[1].kind = KMHO_KIND_SHMEM;
	areas[1].object = 1;
	ext = kmho_extent_make(10, pfn, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 3, &ext, 1, 10), 0);
	ext = kmho_extent_make(20, pfn, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 3, &ext, 1, 1),
			-EINVAL);
	ext = kmho_extent_make(19, pfn, 2, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 3, &ext, 1, 2),
			-EINVAL);
	ext = kmho_extent_make(30, pfn, 10, 0, 0);
	KUNIT_EXPECT_EQ(test, check_extents(test, areas, 3, &ext, 1, 10), 0);
}

/* Check the extents of an object. */
static int check_object(struct kunit *test,
			const struct kmho_extent_ser *exts,
			unsigned int nr, u64 nr_pages)
{
	struct kmho_table *table = extent_table(test);
	unsigned int i;

	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, kmho_table_append(table, &exts[i]), 0);

	return kmho_check_object_extents(table, nr_pages);
}

static void serial_extents_of_objects(struct kunit *test)
{
	u64 pfn = some_pfn(test);
	struct kmho_extent_ser two[2] = {
		kmho_extent_make(8, pfn, 8, 2, KMHO_EXTENT_PINNED),
		kmho_extent_make(KMHO_INDEX_MAX - 1, pfn + 10, 1, 0, 0),
	};

	KUNIT_EXPECT_EQ(test, check_object(test, NULL, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, check_object(test, NULL, 0, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 9), 0);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 8), -EINVAL);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 10), -EINVAL);

	/* They overlap. */
	two[1] = kmho_extent_make(15, pfn + 10, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 9), -EINVAL);
	/* It lies beyond what a file can have. */
	two[1] = kmho_extent_make(KMHO_INDEX_MAX, pfn + 10, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 9), -EINVAL);
	/* There is no such memory. */
	two[1] = kmho_extent_make(16, PFN_MAX, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 2, 9), -EINVAL);
	/* A folio lies in a file where its order lets it. */
	two[0] = kmho_extent_make(6, pfn, 8, 2, 0);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 1, 8), -EINVAL);
	/* A flag of a format that this kernel does not know */
	two[0] = kmho_extent_make(8, pfn, 8, 2, KMHO_EXTENT_LOCAL + 1);
	KUNIT_EXPECT_EQ(test, check_object(test, two, 1, 8), -EINVAL);
}

static struct kunit_case __refdata kmho_serial_cases[] = {
	KUNIT_CASE(serial_record_crc_finds_each_bit),
	KUNIT_CASE(serial_root_crc_finds_each_bit),
	KUNIT_CASE(serial_root_of_another_kernel),
	KUNIT_CASE(serial_root_of_another_size),
	KUNIT_CASE(serial_areas_that_are_sound),
	KUNIT_CASE(serial_areas_that_cannot_be),
	KUNIT_CASE(serial_areas_of_objects),
	KUNIT_CASE(serial_object_crc_finds_each_bit),
	KUNIT_CASE(serial_objects_that_cannot_be),
	KUNIT_CASE(serial_extents_that_are_sane),
	KUNIT_CASE(serial_extents_that_are_not),
	KUNIT_CASE(serial_extents_in_areas),
	KUNIT_CASE(serial_extents_outside_areas),
	KUNIT_CASE(serial_areas_of_huge_pages),
	KUNIT_CASE(serial_extents_of_huge_pages),
	KUNIT_CASE(serial_extents_out_of_order),
	KUNIT_CASE(serial_extents_lose_local_flags),
	KUNIT_CASE(serial_extents_in_shared_areas),
	KUNIT_CASE(serial_extents_of_objects),
	{}
};

static struct kunit_suite kmho_serial_suite = {
	.name = "kmho_serial",
	.test_cases = kmho_serial_cases,
};

kunit_test_suites(&kmho_table_suite, &kmho_extent_suite, &kmho_serial_suite);

MODULE_DESCRIPTION("KUnit tests of kmho");
MODULE_LICENSE("GPL");
