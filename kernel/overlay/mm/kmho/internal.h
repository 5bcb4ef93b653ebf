/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kmho's own declarations. A record knows which pages belong at which
 * addresses, and nothing of who asked for it: the system call is one door to
 * records, others can stand beside it.
 */
#ifndef _MM_KMHO_INTERNAL_H
#define _MM_KMHO_INTERNAL_H

#include <linux/hugetlb.h>
#include <linux/kho/abi/kmho.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>
#include <uapi/linux/kmho.h>

/* Most ranges one call may name */
#define KMHO_MAX_RANGES		BIT(20)

/* Most blocks a range may have: what an array of bits can count, 4 PiB */
#define KMHO_MAX_BLOCKS		BIT(31)

/* Tables (extent.c) */

/**
 * struct kmho_table - sorted entries in preserved pages
 * @entry_size:	size of an entry, in bytes
 * @per_page:	entries that fit into a page
 * @nr_pages:	pages in use
 * @max_pages:	room at @pages
 * @nr_entries:	entries in all pages
 * @pages:	the pages; none of them is empty
 *
 * Both what this kernel works on and, once linked and checksummed by
 * kmho_table_seal(), what the next one reads.
 */
struct kmho_table {
	unsigned int entry_size;
	unsigned int per_page;
	unsigned long nr_pages;
	unsigned long max_pages;
	unsigned long nr_entries;
	struct kmho_page_ser **pages;
};

/**
 * struct kmho_pos - a place in a table
 * @page:	index of the page
 * @slot:	index of the entry in it
 */
struct kmho_pos {
	unsigned long page;
	unsigned int slot;
};

/**
 * struct kmho_splice - a replacement that is ready to be made
 * @first:	index of the first page that goes
 * @nr_old:	number of pages that go
 * @nr_new:	number of pages that come
 * @grown:	by how many entries the table grows
 * @new:	the pages that come
 */
struct kmho_splice {
	unsigned long first;
	unsigned long nr_old;
	unsigned long nr_new;
	long grown;
	struct kmho_page_ser **new;
};

void kmho_table_init(struct kmho_table *table, size_t entry_size);
void kmho_table_destroy(struct kmho_table *table);
void kmho_table_unpreserve(const struct kmho_table *table);
int kmho_table_extend(struct kmho_table *table, const void *entries,
		      unsigned long nr);
void kmho_table_touch(struct kmho_table *table, struct kmho_pos pos);
void *kmho_table_at(const struct kmho_table *table, struct kmho_pos *pos);
void kmho_table_seal(struct kmho_table *table, bool header_only);
int kmho_table_load(struct kmho_table *table, u64 phys, u64 nr_entries,
		    bool header_only);
u32 kmho_page_crc(const struct kmho_page_ser *ser, unsigned int entry_size,
		  bool header_only);
struct kmho_pos kmho_table_seek(const struct kmho_table *table, u64 value);
int kmho_splice_prepare(struct kmho_table *table, u64 start, u64 end,
			const void *entries, unsigned long nr,
			struct kmho_splice *splice);
void kmho_splice_abort(struct kmho_splice *splice);
void kmho_splice_commit(struct kmho_table *table, struct kmho_splice *splice);
void *kmho_table_before(const struct kmho_table *table, struct kmho_pos *pos);
void kmho_table_remove(struct kmho_table *table, u64 start, u64 end);

/* Add one entry behind the last. Returns 0, or -ENOMEM. */
static inline int kmho_table_append(struct kmho_table *table, const void *entry)
{
	return kmho_table_extend(table, entry, 1);
}

/* The entries of a page of a table; there are kmho_page_ser.count of them */
static inline void *kmho_page_entries(const struct kmho_table *table,
				      unsigned long page)
{
	return table->pages[page] + 1;
}

#define for_each_kmho_entry(table, pos, entry)				\
	for ((pos) = (struct kmho_pos){ 0 };				\
	     ((entry) = kmho_table_at(table, &(pos)));			\
	     (pos).slot++)

#define for_each_kmho_entry_from(table, pos, entry)			\
	for (; ((entry) = kmho_table_at(table, &(pos))); (pos).slot++)

/* Are two areas the same in all but their place? */
static inline bool kmho_areas_alike(const struct kmho_area_ser *a,
				    const struct kmho_area_ser *b)
{
	u64 index = a->index + ((b->start - a->start) >> PAGE_SHIFT);

	return a->kind == b->kind && a->flags == b->flags &&
	       a->object == b->object && (!a->object || b->index == index);
}

/* Order of the huge pages of an area of hugetlb; 0 for others */
static inline unsigned int kmho_area_order(const struct kmho_area_ser *area)
{
	return (area->flags >> KMHO_AREA_ORDER_SHIFT) & KMHO_AREA_ORDER_MASK;
}

/* Extents (extent.c) */

/* Order of a block, which is as much memory as one page table maps */
#define KMHO_BLOCK_ORDER	(PMD_SHIFT - PAGE_SHIFT)

static inline struct kmho_extent_ser kmho_extent_make(u64 vpn, u64 pfn,
						      unsigned long nr,
						      unsigned int order,
						      u64 flags)
{
	return (struct kmho_extent_ser) {
		.where = vpn << KMHO_EXTENT_NR_BITS |
			 (order > KMHO_BLOCK_ORDER ? 0 : nr - 1),
		.what = pfn << KMHO_EXTENT_PFN_SHIFT |
			(u64)order << KMHO_EXTENT_ORDER_SHIFT | flags,
	};
}

static inline u64 kmho_extent_vpn(const struct kmho_extent_ser *ext)
{
	return ext->where >> KMHO_EXTENT_NR_BITS;
}

static inline u64 kmho_extent_pfn(const struct kmho_extent_ser *ext)
{
	return ext->what >> KMHO_EXTENT_PFN_SHIFT;
}

static inline unsigned int kmho_extent_order(const struct kmho_extent_ser *ext)
{
	return (ext->what >> KMHO_EXTENT_ORDER_SHIFT) & KMHO_EXTENT_ORDER_MASK;
}

static inline unsigned long kmho_extent_nr(const struct kmho_extent_ser *ext)
{
	unsigned int order = kmho_extent_order(ext);

	if (order > KMHO_BLOCK_ORDER)
		return 1UL << order;

	return (ext->where & (KMHO_EXTENT_NR_MAX - 1)) + 1;
}

static inline u64 kmho_extent_end(const struct kmho_extent_ser *ext)
{
	return kmho_extent_vpn(ext) + kmho_extent_nr(ext);
}

static inline struct page *kmho_extent_page(const struct kmho_extent_ser *ext)
{
	return pfn_to_page(kmho_extent_pfn(ext));
}

static inline bool kmho_extent_is_hugetlb(const struct kmho_extent_ser *ext)
{
	return ext->what & KMHO_EXTENT_HUGETLB;
}

/* Of which order copies of its pages are: hugetlb's stay the size they are */
static inline unsigned int kmho_copy_order(const struct kmho_extent_ser *ext)
{
	return kmho_extent_is_hugetlb(ext) ? kmho_extent_order(ext) : 0;
}

/* Of what waits to be put in (pending.c): this extent is in. Crosses no kexec. */
#define KMHO_EXTENT_IN		BIT(4)

static inline void kmho_extent_set_order(struct kmho_extent_ser *ext,
					 unsigned int order)
{
	ext->what &= ~(KMHO_EXTENT_ORDER_MASK << KMHO_EXTENT_ORDER_SHIFT);
	ext->what |= (u64)order << KMHO_EXTENT_ORDER_SHIFT;
}

/* How often a folio is pinned; for a large one in all its pages together */
static inline unsigned long kmho_folio_pins(struct folio *folio)
{
	if (folio_has_pincount(folio))
		return atomic_read(&folio->_pincount);

	return folio_ref_count(folio) / GUP_PIN_COUNTING_BIAS;
}

/**
 * struct kmho_folio_iter - state of a walk over the folios of an extent
 * @folio:	the folio
 * @nr:		pages of the extent that lie in it
 */
struct kmho_folio_iter {
	struct folio *folio;
	unsigned long nr;
	/* private: first page behind them, and pages of the extent from there */
	struct page *next;
	unsigned long left;
};

static inline bool kmho_folio_next(struct kmho_folio_iter *fi)
{
	if (!fi->left)
		return false;

	fi->folio = page_folio(fi->next);
	fi->nr = min(fi->left, folio_nr_pages(fi->folio) -
			       folio_page_idx(fi->folio, fi->next));
	fi->next += fi->nr;
	fi->left -= fi->nr;
	return true;
}

/*
 * Walk the folios that the pages of an extent lie in. Each of them is held, so
 * that nobody splits it; the walk may give that up.
 */
#define for_each_kmho_folio(ext, fi)					\
	for ((fi) = (struct kmho_folio_iter){				\
		.next = kmho_extent_page(ext),				\
		.left = kmho_extent_nr(ext) };				\
	     kmho_folio_next(&(fi));)

int kmho_extents_preserve(const struct kmho_extent_ser *ext, unsigned long nr);
void kmho_extents_unpreserve(const struct kmho_extent_ser *ext,
			     unsigned long nr);
int kmho_extent_restore(struct kmho_extent_ser *ext);
void kmho_extent_unpin(const struct kmho_extent_ser *ext);
void kmho_extents_hold(const struct kmho_extent_ser *ext, unsigned long nr);
void kmho_extents_unhold(const struct kmho_extent_ser *ext, unsigned long nr);
void kmho_extent_release(struct kmho_extent_ser *ext);
int kmho_extent_form(struct kmho_extent_ser *ext);
void kmho_extent_pin(struct kmho_extent_ser *ext, bool put);

/* Records (record.c) */

/**
 * struct kmho_range - a range of a live record
 * @node:	in &kmho_record.ranges
 * @rcu:	faults look ranges up under RCU
 * @start:	first byte
 * @end:	byte after the last
 * @offset:	what the record adds to these addresses: a takeover that keeps
 *		may have mapped the range elsewhere
 * @rec:	its record
 * @pending:	memory that waits to be put in, which it is a range of; NULL: it
 *		is one of a live record
 * @collected:	the record has what was there when it began to follow it
 * @dirty:	a bit for each PMD_SIZE of address space that it touches: set
 *		when a fault there may have given it another page, or while
 *		what waits there is not in
 * @one:	where @dirty points when one word is enough
 */
struct kmho_range {
	struct list_head node;
	struct rcu_head rcu;
	unsigned long start;
	unsigned long end;
	unsigned long offset;
	struct kmho_record *rec;
	struct kmho_pending *pending;
	bool collected;
	unsigned long *dirty;
	unsigned long one;
};

/**
 * struct kmho_mm - what an address space has handed over
 * @ranges:	its &struct kmho_range by address; changed with the mmap lock
 *		held for writing, read under RCU
 * @records:	its records; protected by the mmap lock
 * @pending:	&struct kmho_range of what was taken over and is not mapped yet;
 *		changed with the mmap lock held, read under RCU
 */
struct kmho_mm {
	struct maple_tree ranges;
	struct list_head records;
	struct maple_tree pending;
};

/**
 * enum kmho_spoil - what the next kernel is to find wrong with a record
 * @KMHO_SPOIL_NOTHING:	nothing
 * @KMHO_SPOIL_BIT:	a bit of a table that only its checksum knows of
 * @KMHO_SPOIL_CRC:	the checksum of its header
 * @KMHO_SPOIL_UID:	its owner is nobody; this and what follows has the right
 *			checksums
 * @KMHO_SPOIL_COUNT:	it has a page less than its header says
 * @KMHO_SPOIL_AREA:	memory of a kind that there is not
 * @KMHO_SPOIL_EXTENT:	a page that lies outside its areas
 * @KMHO_SPOIL_TWICE:	it is there twice; the first is sound
 * @KMHO_NR_SPOILS:	how many there are
 */
enum kmho_spoil {
	KMHO_SPOIL_NOTHING,
	KMHO_SPOIL_BIT,
	KMHO_SPOIL_CRC,
	KMHO_SPOIL_UID,
	KMHO_SPOIL_COUNT,
	KMHO_SPOIL_AREA,
	KMHO_SPOIL_EXTENT,
	KMHO_SPOIL_TWICE,
	KMHO_NR_SPOILS,
};

/**
 * struct kmho_record - a key and the memory behind it
 * @rcu:	its last user has gone; faults may still look at it
 * @hash:	in the registry, by owner and key
 * @list:	all records in the order of their making, until they are freed
 * @in_mm:	in &kmho_mm.records
 * @ref:	the registry has one reference, every user of a look-up another
 * @lock:	protects all that follows; with the mmap lock of @mm held for
 *		writing beside it where a live record is completed
 * @key:	name
 * @uid:	owner
 * @user:	whose RLIMIT_MEMLOCK it counts against
 * @mm:		address space that still has the memory mapped; NULL: none
 * @pid:	process that handed over; with @mm
 * @incoming:	came with the last kexec
 * @unkept:	KHO has not been asked yet to keep @extents for the next kexec
 * @gone:	no longer in the registry
 * @frozen:	@mm has the memory mapped, but can no longer change it
 * @sealed:	complete for the kexec under way; faults that would change it
 *		wait
 * @spoil:	what is made wrong of it once it is sealed (CONFIG_KMHO_DEBUG)
 * @ranges:	&struct kmho_range of a live record, sorted by their addresses
 *		in the record; parts of it that no range covers are held
 * @areas:	&struct kmho_area_ser; of a live record as they were when it was
 *		made
 * @extents:	&struct kmho_extent_ser; of a live record without what @dirty
 *		tells of
 * @claims:	&struct kmho_claim by address: its shared memory
 * @nr_pages:	pages in @extents
 * @nr_migrated: pages moved out of scratch areas for it
 */
struct kmho_record {
	struct rcu_head rcu;
	struct hlist_node hash;
	struct list_head list;
	struct list_head in_mm;
	struct kref ref;
	struct mutex lock; /* see above */
	u64 key;
	kuid_t uid;
	struct user_struct *user;
	struct mm_struct *mm;
	struct pid *pid;
	bool incoming;
	bool unkept;
	bool gone;
	bool frozen;
	bool sealed;
	enum kmho_spoil spoil;
	struct list_head ranges;
	struct kmho_table areas;
	struct kmho_table extents;
	struct maple_tree claims;
	u64 nr_pages;
	u64 nr_migrated;
};

/*
 * Which bit of kmho_range.dirty stands for an address that is in the same
 * PMD_SIZE of address space as a part of the range
 */
static inline unsigned long kmho_range_block(const struct kmho_range *range,
					     unsigned long address)
{
	return (address >> PMD_SHIFT) - (range->start >> PMD_SHIFT);
}

static inline unsigned long kmho_range_nr_blocks(const struct kmho_range *range)
{
	return kmho_range_block(range, range->end - 1) + 1;
}

/* Have KHO let go of extents of a record, if it was asked to keep them. */
static inline void kmho_unkeep_extents(const struct kmho_record *rec,
				       const struct kmho_extent_ser *ext,
				       unsigned long nr)
{
	if (!rec->unkept)
		kmho_extents_unpreserve(ext, nr);
}

/* Held for reading by every operation, for writing from seal to kexec */
extern struct rw_semaphore kmho_sem;

/* KHO is on */
extern bool kmho_enabled;

/* What the last kernel left has been taken in */
extern bool kmho_ready;

struct kmho_record *kmho_record_alloc(kuid_t uid, u64 key);
int kmho_record_publish(struct kmho_record *rec);
void kmho_record_unpublish(struct kmho_record *rec);
struct kmho_record *kmho_record_get(kuid_t uid, u64 key);
struct kmho_record *kmho_record_next(struct kmho_record *rec);
void kmho_record_put(struct kmho_record *rec);
void kmho_record_discard(struct kmho_record *rec);
int kmho_record_keep(struct kmho_record *rec);
int kmho_record_chown(struct kmho_record *rec, kuid_t uid);
int kmho_charge(struct user_struct *user, long nr_pages, bool enforce);
int kmho_account(struct kmho_record *rec, long nr_pages, bool enforce);
unsigned long kmho_record_changed(struct kmho_record *rec);
int kmho_sync_user(kuid_t uid);

void kmho_tree_erase(struct maple_tree *tree, unsigned long index);
struct kmho_mm *kmho_mm_get(struct mm_struct *mm);
struct kmho_range *kmho_range_alloc(struct kmho_record *rec,
				    unsigned long start, unsigned long end);
void kmho_range_free(struct rcu_head *rcu);
int kmho_attach_mm(struct kmho_record *rec, struct mm_struct *mm);
int kmho_follow(struct kmho_record *rec, unsigned long start,
		unsigned long end, unsigned long base);
void kmho_unfollow(struct kmho_record *rec);
void kmho_detach_mm(struct kmho_record *rec);
bool kmho_must_wait(void);
int kmho_wait_unsealed(bool may_fail);

/*
 * How often a block is looked at before it counts as busy. A page may have been
 * read into from a device just then, or its holder have lost a virtual CPU: the
 * kexec had better wait for a while than be refused. What can be copied instead
 * is copied in the last look of fewer.
 */
#define KMHO_TRIES	14
#define KMHO_MUST_TRIES	10

/* Address space to extents (collect.c) */
void kmho_before_retry(unsigned int tries, bool drain, bool wait);
void kmho_lock_vmas(struct mm_struct *mm, unsigned long start,
		    unsigned long end);
int kmho_check_vmas(struct mm_struct *mm, unsigned long start,
		    unsigned long end);
int kmho_collect(struct kmho_record *rec);
int kmho_sync(struct kmho_record *rec, bool must);
int kmho_update_areas(struct kmho_record *rec);
int kmho_migrate(struct list_head *folios, u64 *nr_migrated);

/* Extents to address space (install.c) */

/**
 * struct kmho_target - where a range goes
 * @base:	address that it had
 * @end:	address behind its last byte then
 * @addr:	address that it gets
 * @made:	bytes from @addr on that were mapped for it
 * @index:	number of the range in the caller's array
 * @chosen:	the kernel chose @addr
 * @lazy:	its pages are put in when they are touched
 */
struct kmho_target {
	unsigned long base;
	unsigned long end;
	unsigned long addr;
	unsigned long made;
	unsigned long index;
	bool chosen;
	bool lazy;
};

int kmho_install(struct kmho_record *rec, struct kmho_range_takeover *ranges,
		 unsigned long nr, struct kmho_range_takeover __user *uranges,
		 bool keep);
struct kmho_pending;

int kmho_install_part(struct kmho_pending *p, const struct kmho_target *part);
struct page *kmho_copy_page(struct page *from, unsigned int order,
			    bool hugetlb);
int kmho_copy_part(const struct kmho_extent_ser *ext, unsigned long at,
		   struct kmho_extent_ser *copy);

/* What was taken over and is not mapped yet (pending.c) */

/**
 * struct kmho_pending - memory that is put in when it is touched
 * @ref:	the address space has one reference, every user of a look-up
 *		another
 * @rcu:	ranges lead to it under RCU
 * @node:	in the list of all
 * @lock:	protects all that follows but @mm and @ranges, and what is left in
 *		@rec
 * @mm:		address space
 * @ranges:	its &struct kmho_range
 * @rec:	has the extents of what is not in yet, and nothing else; nobody
 *		finds it by its key
 * @memcg:	what its pages are charged to
 * @nr_pages:	pages that are not in yet, but counted for @mm and charged
 * @work:	puts in what nobody has touched
 * @over:	nothing is left
 */
struct kmho_pending {
	struct kref ref;
	struct rcu_head rcu;
	struct list_head node;
	struct mutex lock; /* see above */
	struct mm_struct *mm;
	struct list_head ranges;
	struct kmho_record *rec;
	struct mem_cgroup *memcg;
	unsigned long nr_pages;
	struct delayed_work work;
	bool over;
};

extern u32 kmho_pending_delay;
extern struct workqueue_struct *kmho_wq;

struct kmho_pending *kmho_pend(struct mm_struct *mm,
			       struct kmho_target *targets, unsigned long nr);
int kmho_pend_charge(struct kmho_pending *p, unsigned long nr_pages,
		     gfp_t gfp);
void kmho_pend_abort(struct kmho_pending *p);
void kmho_pend_commit(struct kmho_pending *p);
vm_fault_t kmho_pending_fault(struct vm_area_struct *vma, unsigned long address,
			      unsigned int flags);
void kmho_pending_exit(struct mm_struct *mm);
void kmho_pending_seal(void);

/* Huge pages of hugetlb (hugetlb.c) */
#ifdef CONFIG_HUGETLB_PAGE
bool kmho_hugetlb_has_order(unsigned int order);
struct file *kmho_hugetlb_file(unsigned long len, unsigned int order);
bool kmho_hugetlb_claim(struct folio *folio);
void kmho_hugetlb_adopt(struct kmho_extent_ser *ext);
struct page *kmho_hugetlb_alloc(unsigned int order);
int kmho_hugetlb_charge(struct folio *folio, struct mm_struct *mm);
void kmho_hugetlb_uncharge(struct folio *folio);
int kmho_hugetlb_alloc_tables(struct mm_struct *mm,
			      const struct kmho_extent_ser *ext,
			      unsigned long addr);
void kmho_hugetlb_install(struct mm_struct *mm,
			  const struct kmho_extent_ser *ext,
			  unsigned long addr);
#else
static inline bool kmho_hugetlb_has_order(unsigned int order)
{
	return false;
}

/* Without huge pages there is no size that could get here. */
static inline struct file *kmho_hugetlb_file(unsigned long len,
					     unsigned int order)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline bool kmho_hugetlb_claim(struct folio *folio)
{
	return false;
}

static inline void kmho_hugetlb_adopt(struct kmho_extent_ser *ext) { }

static inline struct page *kmho_hugetlb_alloc(unsigned int order)
{
	return NULL;
}

static inline int kmho_hugetlb_charge(struct folio *folio, struct mm_struct *mm)
{
	return -EOPNOTSUPP;
}

static inline void kmho_hugetlb_uncharge(struct folio *folio) { }

static inline int kmho_hugetlb_alloc_tables(struct mm_struct *mm,
					    const struct kmho_extent_ser *ext,
					    unsigned long addr)
{
	return -EOPNOTSUPP;
}

static inline void kmho_hugetlb_install(struct mm_struct *mm,
					const struct kmho_extent_ser *ext,
					unsigned long addr) { }
#endif

/* Shared memory (shmem.c) */
bool kmho_vma_is_shmem(const struct vm_area_struct *vma);
int kmho_claims_add(struct kmho_record *rec, struct mm_struct *mm);
int kmho_claims_collect(struct kmho_record *rec);
int kmho_claims_sync(struct kmho_record *rec);
int kmho_claims_cut(struct kmho_record *rec, unsigned long addr);
void kmho_claims_drop(struct kmho_record *rec, unsigned long start,
		      unsigned long end);
void kmho_claims_chown(struct kmho_record *rec, struct user_struct *user);
unsigned long kmho_claims_changed(struct kmho_record *rec);
void kmho_claims_describe(struct kmho_record *rec,
			  struct kmho_record_info *info);
void kmho_claims_area(struct kmho_record *rec, unsigned long start,
		      struct kmho_area_ser *area);
bool kmho_claims_flip(struct kmho_record *rec);
int kmho_claims_freeze(struct kmho_record *rec);
void kmho_claims_thaw(struct kmho_record *rec);
void kmho_claims_frozen(struct kmho_record *rec);
int kmho_claims_read(struct kmho_record *rec);
struct file *kmho_shmem_open(struct kmho_record *rec,
			     const struct kmho_area_ser *area);
int kmho_objects_seal(void);
void kmho_objects_unseal(void);
int kmho_objects_write(struct kmho_table *table);
void kmho_objects_read(const struct kmho_table *table);
void kmho_objects_settle(void);

/* Parting a record from its process (freeze.c) */
int kmho_freeze(struct kmho_record *rec);

/* What crosses the kexec (serial.c) */
int kmho_wait_ready(void);
int kmho_serialize(void);
void kmho_unserialize(void);
int kmho_list_table(const struct kmho_table *table, u32 flags);
u64 kmho_table_phys(const struct kmho_table *table);
bool kmho_extent_is_sane(const struct kmho_extent_ser *ext);
int kmho_preserve_again(struct kmho_table *extents);

#if IS_ENABLED(CONFIG_KUNIT)
u32 kmho_root_crc(const struct kmho_root_ser *root, size_t size);
u32 kmho_record_crc(struct kmho_record_ser ser);
int kmho_check_areas(const struct kmho_table *areas);
u32 kmho_object_crc(const struct kmho_object_ser *ser);
bool kmho_object_is_sane(const struct kmho_object_ser *ser);
int kmho_check_object_extents(struct kmho_table *extents, u64 nr_pages);
int kmho_check_extents(struct kmho_table *extents,
		       const struct kmho_table *areas, u64 nr_pages);
int kmho_root_check(const struct kmho_root_ser *root, size_t size);
#endif

#endif /* _MM_KMHO_INTERNAL_H */
