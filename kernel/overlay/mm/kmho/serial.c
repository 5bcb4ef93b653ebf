// SPDX-License-Identifier: GPL-2.0-only
/*
 * What crosses the kexec: written by the kernel that goes, and read, with no
 * trust, by the one that comes.
 */

#define pr_fmt(fmt) "kmho: " fmt

#include <kunit/visibility.h>
#include <linux/crc32.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/rwsem.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "internal.h"

/* The blob that KHO's root points to, and what it leads to */
static struct kmho_root_ser *kmho_root;
static struct kmho_table kmho_records;
static struct kmho_table kmho_objects;
static struct kmho_table kmho_lists;

bool kmho_ready __read_mostly;
static DECLARE_WAIT_QUEUE_HEAD(kmho_unready);

/*
 * The version to claim; another than our own has the next kernel refuse it, and 0
 * find a wrong checksum as well.
 */
static u32 kmho_version = KMHO_ABI_VERSION;

VISIBLE_IF_KUNIT u32 kmho_root_crc(const struct kmho_root_ser *root, size_t size)
{
	struct kmho_root_ser head = *root;
	u32 crc;

	head.crc = 0;
	crc = crc32c(~0, &head, KMHO_ROOT_HEAD);
	return crc32c(crc, (const void *)root + KMHO_ROOT_HEAD, size - KMHO_ROOT_HEAD);
}

VISIBLE_IF_KUNIT u32 kmho_record_crc(struct kmho_record_ser ser)
{
	ser.crc = 0;
	return crc32c(~0, &ser, sizeof(ser));
}

/**
 * kmho_table_phys - where a table starts
 * @table:	the table
 *
 * Return: physical address of its first page; 0: it is empty.
 */
u64 kmho_table_phys(const struct kmho_table *table)
{
	return table->nr_pages ? virt_to_phys(table->pages[0]) : 0;
}

static void kmho_root_write(void)
{
	*kmho_root = (struct kmho_root_ser) {
		.compatible = KMHO_COMPATIBLE,
		.page_shift = PAGE_SHIFT,
		.lists = kmho_table_phys(&kmho_lists),
		.nr_lists = kmho_lists.nr_entries,
		.nr_records = kmho_records.nr_entries,
		.records = kmho_table_phys(&kmho_records),
		.nr_objects = kmho_objects.nr_entries,
		.objects = kmho_table_phys(&kmho_objects),
	};
	if (IS_ENABLED(CONFIG_KMHO_DEBUG) && kmho_version != KMHO_ABI_VERSION) {
		snprintf(kmho_root->compatible, sizeof(kmho_root->compatible),
			 "kmho-v%u", kmho_version);
		/* What only that version could read */
		memset(&kmho_root->nr_records, 0xff,
		       sizeof(*kmho_root) - KMHO_ROOT_HEAD);
	}
	kmho_root->crc = kmho_root_crc(kmho_root, sizeof(*kmho_root));
	if (IS_ENABLED(CONFIG_KMHO_DEBUG) && !kmho_version)
		kmho_root->crc ^= 1;
}

/**
 * kmho_list_table - put a table on the list of those that a stranger frees
 * @table:	the table, sealed or to be sealed
 * @flags:	KMHO_LIST_*
 *
 * Context: in kmho_serialize().
 * Return: 0, or -ENOMEM.
 */
int kmho_list_table(const struct kmho_table *table, u32 flags)
{
	struct kmho_list_ser ser = {
		.first = kmho_table_phys(table),
		.nr_entries = table->nr_entries,
		.entry_size = table->entry_size,
		.flags = flags,
	};

	return ser.first ? kmho_table_append(&kmho_lists, &ser) : 0;
}

/* Have the next kernel find something wrong with a record that is sealed. */
static int kmho_record_spoil(struct kmho_record *rec,
			     struct kmho_record_ser *ser)
{
	struct kmho_pos in_areas = { }, in_extents = { };
	struct kmho_extent_ser *ext;
	struct kmho_area_ser *area;

	area = kmho_table_at(&rec->areas, &in_areas);
	ext = kmho_table_at(&rec->extents, &in_extents);
	if (!area || !ext)
		return 0;

	switch (rec->spoil) {
	case KMHO_SPOIL_BIT:
		area->flags ^= KMHO_AREA_DONTDUMP;
		return 0;
	case KMHO_SPOIL_CRC:
		ser->crc ^= 1;
		return 0;
	case KMHO_SPOIL_UID:
		ser->uid = U32_MAX;
		break;
	case KMHO_SPOIL_COUNT:
		ser->nr_pages++;
		break;
	case KMHO_SPOIL_AREA:
		area->kind = U32_MAX;
		kmho_table_touch(&rec->areas, in_areas);
		kmho_table_seal(&rec->areas, false);
		break;
	case KMHO_SPOIL_EXTENT:
		/* a block before the area */
		ext->where -= (u64)PTRS_PER_PTE << KMHO_EXTENT_NR_BITS;
		kmho_table_touch(&rec->extents, in_extents);
		kmho_table_seal(&rec->extents, false);
		break;
	case KMHO_SPOIL_TWICE:
		return kmho_table_append(&kmho_records, ser);
	default:
		return 0;
	}

	ser->crc = kmho_record_crc(*ser);
	return 0;
}

static int kmho_record_write(struct kmho_record *rec)
{
	struct kmho_record_ser ser = {
		.key = rec->key,
		.uid = from_kuid(&init_user_ns, rec->uid),
		.nr_areas = rec->areas.nr_entries,
		.areas = kmho_table_phys(&rec->areas),
		.nr_extents = rec->extents.nr_entries,
		.extents = kmho_table_phys(&rec->extents),
		.nr_pages = rec->nr_pages,
		.nr_migrated = rec->nr_migrated,
	};
	int err;

	err = kmho_record_keep(rec);
	if (err)
		return err;
	kmho_table_seal(&rec->areas, false);
	kmho_table_seal(&rec->extents, false);
	ser.crc = kmho_record_crc(ser);
	if (IS_ENABLED(CONFIG_KMHO_DEBUG) && rec->spoil) {
		err = kmho_record_spoil(rec, &ser);
		if (err)
			return err;
	}

	err = kmho_list_table(&rec->areas, 0);
	if (!err)
		err = kmho_list_table(&rec->extents, KMHO_LIST_EXTENTS);
	if (!err)
		err = kmho_table_append(&kmho_records, &ser);
	return err;
}

/**
 * kmho_serialize - write down all records for the next kernel
 *
 * Context: kmho_sem held for writing, all records complete.
 * Return: 0, or -ENOMEM.
 */
int kmho_serialize(void)
{
	struct kmho_record *rec = NULL;
	int err;

	kmho_table_init(&kmho_records, sizeof(struct kmho_record_ser));
	kmho_table_init(&kmho_objects, sizeof(struct kmho_object_ser));
	kmho_table_init(&kmho_lists, sizeof(struct kmho_list_ser));
	while ((rec = kmho_record_next(rec))) {
		err = kmho_record_write(rec);
		if (err) {
			kmho_record_put(rec);
			return err;
		}
	}

	err = kmho_objects_write(&kmho_objects);
	if (err)
		return err;

	err = kmho_list_table(&kmho_objects, KMHO_LIST_HEADERS);
	if (!err)
		err = kmho_list_table(&kmho_records, KMHO_LIST_HEADERS);
	if (err)
		return err;

	kmho_table_seal(&kmho_records, true);
	kmho_table_seal(&kmho_objects, true);
	kmho_table_seal(&kmho_lists, false);
	kmho_root_write();
	return 0;
}

/**
 * kmho_unserialize - undo kmho_serialize()
 */
void kmho_unserialize(void)
{
	kmho_table_destroy(&kmho_records);
	kmho_table_destroy(&kmho_objects);
	kmho_table_destroy(&kmho_lists);
	kmho_root_write();
}

/* Does an area say what its kind of memory has to? */
static bool kmho_area_is_sane(const struct kmho_area_ser *area)
{
	u64 nr = (area->end - area->start) >> PAGE_SHIFT;
	unsigned int order = kmho_area_order(area);
	bool is_shmem = area->kind == KMHO_KIND_SHMEM;
	u32 flags = area->flags;

	switch (area->kind) {
	case KMHO_KIND_ANON:
		break;
	case KMHO_KIND_SHMEM:
		if (!area->object || area->index > KMHO_INDEX_MAX - nr)
			return false;
		break;
	case KMHO_KIND_HUGETLB:
		if (!order || order > PUD_SHIFT - PAGE_SHIFT)
			return false;
		flags &= ~(KMHO_AREA_ORDER_MASK << KMHO_AREA_ORDER_SHIFT);
		break;
	default:
		return false;
	}

	return !(flags & ~KMHO_AREA_FLAGS) &&
	       (is_shmem || (!area->object && !area->index)) &&
	       IS_ALIGNED(area->start | area->end, PAGE_SIZE << order);
}

VISIBLE_IF_KUNIT int kmho_check_areas(const struct kmho_table *areas)
{
	const struct kmho_area_ser *area;
	struct kmho_pos pos;
	u64 at = 0;

	for_each_kmho_entry(areas, pos, area) {
		if (area->start < at || area->end <= area->start ||
		    area->end > TASK_SIZE_MAX ||
		    !kmho_area_is_sane(area))
			return -EINVAL;
		at = area->end;
	}

	return 0;
}

/**
 * kmho_extent_is_sane - check an extent by itself
 * @ext:	extent that the last kernel left
 *
 * Return: true if it is aligned, within a block and of memory that exists.
 */
bool kmho_extent_is_sane(const struct kmho_extent_ser *ext)
{
	unsigned int order = kmho_extent_order(ext);
	unsigned long nr = kmho_extent_nr(ext);
	u64 vpn = kmho_extent_vpn(ext);
	u64 pfn = kmho_extent_pfn(ext);

	if (order > PUD_SHIFT - PAGE_SHIFT)
		return false;
	if (order > KMHO_BLOCK_ORDER) {
		if (!kmho_extent_is_hugetlb(ext) ||
		    (ext->where & (KMHO_EXTENT_NR_MAX - 1)))
			return false;
	} else if (vpn / PTRS_PER_PTE != (vpn + nr - 1) / PTRS_PER_PTE) {
		return false;
	}
	if (kmho_extent_is_hugetlb(ext) && (!order || !IS_ALIGNED(vpn, 1UL << order)))
		return false;

	return IS_ALIGNED(nr | pfn, 1UL << order) && pfn_valid(pfn) &&
	       (nr == 1 || pfn_valid(pfn + nr - 1));
}

/* An area that has a part of an extent: are they of the same kind? */
static bool kmho_extent_suits(const struct kmho_extent_ser *ext,
			      const struct kmho_area_ser *area)
{
	if (kmho_extent_is_hugetlb(ext))
		return kmho_area_order(area) == kmho_extent_order(ext);

	return area->kind == KMHO_KIND_ANON;
}

/* Both tables are sorted, so one walk over both will do. */
VISIBLE_IF_KUNIT int kmho_check_extents(struct kmho_table *extents,
					const struct kmho_table *areas,
					u64 nr_pages)
{
	const struct kmho_area_ser *area;
	struct kmho_pos in_areas = { 0 };
	struct kmho_extent_ser *ext;
	struct kmho_pos pos;
	u64 at = 0, nr = 0;

	for_each_kmho_entry(extents, pos, ext) {
		u64 start = kmho_extent_vpn(ext) << PAGE_SHIFT;
		u64 end = kmho_extent_end(ext) << PAGE_SHIFT;

		if (!pos.slot)
			cond_resched();
		if (ext->what & KMHO_EXTENT_LOCAL) {
			ext->what &= ~KMHO_EXTENT_LOCAL;
			kmho_table_touch(extents, pos);
		}
		if (start < at || (ext->what & KMHO_EXTENT_FLAGS &
				   ~KMHO_EXTENT_HUGETLB) ||
		    !kmho_extent_is_sane(ext))
			return -EINVAL;

		/* Areas may meet in the middle of an extent. */
		while ((area = kmho_table_at(areas, &in_areas)) &&
		       area->end <= start)
			in_areas.slot++;
		if (!area || area->start > start || !kmho_extent_suits(ext, area))
			return -EINVAL;
		while (area->end < end) {
			u64 edge = area->end;

			in_areas.slot++;
			area = kmho_table_at(areas, &in_areas);
			if (!area || area->start != edge ||
			    !kmho_extent_suits(ext, area))
				return -EINVAL;
		}

		nr += kmho_extent_nr(ext);
		at = end;
	}

	return nr == nr_pages ? 0 : -EINVAL;
}

/**
 * kmho_preserve_again - have KHO keep what it has brought for the next kexec
 * @extents:	extents, checked
 *
 * Return: 0; on failure a negative errno, and none of them is preserved.
 */
int kmho_preserve_again(struct kmho_table *extents)
{
	unsigned long page;
	int err;

	for (page = 0; page < extents->nr_pages; page++) {
		err = kmho_extents_preserve(kmho_page_entries(extents, page),
					    extents->pages[page]->count);
		if (err)
			goto err_unpreserve;
	}
	return 0;

err_unpreserve:
	while (page--)
		kmho_extents_unpreserve(kmho_page_entries(extents, page),
					extents->pages[page]->count);
	return err;
}

static int kmho_record_read(const struct kmho_record_ser *ser)
{
	struct kmho_record *rec;
	kuid_t uid;
	int err;

	if (ser->crc != kmho_record_crc(*ser))
		return -EBADMSG;

	uid = make_kuid(&init_user_ns, ser->uid);
	if (!uid_valid(uid))
		return -EINVAL;

	/* What it leads to may be that one's. */
	rec = kmho_record_get(uid, ser->key);
	if (rec) {
		kmho_record_put(rec);
		return -EEXIST;
	}

	rec = kmho_record_alloc(uid, ser->key);
	if (!rec)
		return -ENOMEM;

	rec->incoming = true;
	rec->unkept = true;
	rec->nr_migrated = ser->nr_migrated;
	err = kmho_table_load(&rec->areas, ser->areas, ser->nr_areas, false);
	if (!err)
		err = kmho_table_load(&rec->extents, ser->extents,
				      ser->nr_extents, false);
	if (!err)
		err = kmho_check_areas(&rec->areas);
	if (!err)
		err = kmho_check_extents(&rec->extents, &rec->areas,
					 ser->nr_pages);
	if (!err)
		err = kmho_claims_read(rec);
	if (!err) {
		err = kmho_record_publish(rec);
		if (err)
			kmho_claims_drop(rec, 0, ULONG_MAX);
		else
			kmho_account(rec, ser->nr_pages, false);
	}

	kmho_record_put(rec);
	return err;
}

/*
 * Is it sound, and ours to read? -EPROTO stands for a format that we can free and
 * do no more with.
 */
VISIBLE_IF_KUNIT int kmho_root_check(const struct kmho_root_ser *root,
				     size_t size)
{
	bool foreign;

	if (size < KMHO_ROOT_HEAD || size > PAGE_SIZE) {
		pr_err("what the last kernel left has a strange size: %zu bytes\n",
		       size);
		return -EINVAL;
	}
	foreign = strncmp(root->compatible, KMHO_COMPATIBLE,
			  sizeof(root->compatible));
	if (foreign)
		pr_err("the last kernel wrote '%.*s', this one reads '%s'\n",
		       (int)sizeof(root->compatible), root->compatible,
		       KMHO_COMPATIBLE);
	if ((!foreign && size != sizeof(*root)) ||
	    root->crc != kmho_root_crc(root, size)) {
		pr_err("what the last kernel left is damaged\n");
		return -EBADMSG;
	}
	if (root->page_shift != PAGE_SHIFT) {
		pr_err("the last kernel had pages of %lu bytes, this one has %lu\n",
		       1UL << min(root->page_shift, 30U), PAGE_SIZE);
		return -EINVAL;
	}

	return foreign ? -EPROTO : 0;
}

/* Free a table of a format that is not ours, and what its extents hold. */
static int kmho_free_table(const struct kmho_list_ser *ser, unsigned long *nr)
{
	struct kmho_extent_ser *ext;
	struct kmho_table table;
	struct kmho_pos pos;
	int err;

	if (ser->entry_size < sizeof(u64) ||
	    ser->entry_size > PAGE_SIZE - sizeof(struct kmho_page_ser))
		return -EINVAL;
	if ((ser->flags & KMHO_LIST_EXTENTS) && ser->entry_size != sizeof(*ext))
		return -EINVAL;

	kmho_table_init(&table, ser->entry_size);
	err = kmho_table_load(&table, ser->first, ser->nr_entries,
			      ser->flags & KMHO_LIST_HEADERS);
	if (err)
		return err;

	*nr += table.nr_pages;
	if (ser->flags & KMHO_LIST_EXTENTS) {
		for_each_kmho_entry(&table, pos, ext) {
			ext->what &= ~KMHO_EXTENT_FLAGS;
			if (!pfn_valid(kmho_extent_pfn(ext)))
				continue;
			*nr += kmho_extent_nr(ext);
			kmho_extent_release(ext);
		}
	}
	kmho_table_destroy(&table);

	return 0;
}

/* Free all that a kernel with another format has left. */
static void kmho_free_foreign(const struct kmho_root_ser *root)
{
	struct kmho_list_ser *ser;
	struct kmho_table lists;
	unsigned long nr = 0;
	struct kmho_pos pos;
	int err;

	kmho_table_init(&lists, sizeof(*ser));
	err = kmho_table_load(&lists, root->lists, root->nr_lists, false);
	if (err)
		pr_err("list of tables refused, their memory stays unused: %pe\n",
		       ERR_PTR(err));
	for_each_kmho_entry(&lists, pos, ser) {
		err = kmho_free_table(ser, &nr);
		if (err)
			pr_err("table refused, its memory stays unused: %pe\n",
			       ERR_PTR(err));
	}
	kmho_table_destroy(&lists);
	pr_info("freed %lu pages that it left\n", nr);
}

/* When KHO is asked to keep what nobody has taken over, and how soon again */
#define KMHO_KEEP_DELAY		(5 * HZ)

static void kmho_keep_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(kmho_keep, kmho_keep_work);

/*
 * Have KHO keep for the next kexec what nobody has taken over. That is not done
 * while the machine boots, and who takes memory over soon does not pay for it.
 */
static void kmho_keep_work(struct work_struct *work)
{
	struct kmho_record *rec = NULL;
	bool again = false;

	while ((rec = kmho_record_next(rec))) {
		/* A seal asks by itself. */
		if (!down_read_trylock(&kmho_sem)) {
			kmho_record_put(rec);
			return;
		}
		scoped_guard(mutex, &rec->lock)
			if (!rec->gone && kmho_record_keep(rec))
				again = true;
		up_read(&kmho_sem);
		cond_resched();
	}
	if (again)
		queue_delayed_work(kmho_wq, &kmho_keep, KMHO_KEEP_DELAY);
}

/* Take in what the last kernel left, as far as it is sound. */
static void kmho_read(void)
{
	struct kmho_table lists, objects, records;
	struct kmho_record_ser *ser;
	struct kmho_root_ser *root;
	unsigned long nr = 0;
	struct kmho_pos pos;
	phys_addr_t phys;
	size_t size;
	int err;

	if (kho_retrieve_subtree(KMHO_KHO_NODE, &phys, &size))
		return;
	if (!PAGE_ALIGNED(phys) || !pfn_valid(PHYS_PFN(phys)))
		return;

	root = phys_to_virt(phys);
	err = kmho_root_check(root, size);
	if (err == -EPROTO) {
		kmho_free_foreign(root);
		kho_restore_free(root);
	}
	if (err)
		return;

	kmho_table_init(&lists, sizeof(struct kmho_list_ser));
	err = kmho_table_load(&lists, root->lists, root->nr_lists, false);
	if (err)
		pr_err("list of tables refused: %pe\n", ERR_PTR(err));
	kmho_table_destroy(&lists);

	kmho_table_init(&records, sizeof(*ser));
	err = kmho_table_load(&records, root->records, root->nr_records, true);
	if (err)
		pr_err("table of records refused: %pe\n", ERR_PTR(err));
	kmho_table_init(&objects, sizeof(struct kmho_object_ser));
	err = kmho_table_load(&objects, root->objects, root->nr_objects, true);
	if (err)
		pr_err("table of objects refused: %pe\n", ERR_PTR(err));
	kho_restore_free(root);

	kmho_objects_read(&objects);
	kmho_table_destroy(&objects);

	for_each_kmho_entry(&records, pos, ser) {
		err = kmho_record_read(ser);
		if (err)
			pr_err("record with key %#llx of uid %u refused, its memory stays unused: %pe\n",
			       ser->key, ser->uid, ERR_PTR(err));
		else
			nr++;
	}
	if (nr) {
		pr_info("%lu records from the last kernel\n", nr);
		queue_delayed_work(kmho_wq, &kmho_keep, KMHO_KEEP_DELAY);
	}
	kmho_objects_settle();
	kmho_table_destroy(&records);
}

static void kmho_read_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(kmho_reading, kmho_read_work);

/* How late that begins, in ms; tests want to be there before */
static unsigned int kmho_read_delay;

/*
 * Each extent is looked at, of which there may be millions. The machine boots
 * first; whoever wants to know of a record waits for this.
 */
static void kmho_read_work(struct work_struct *work)
{
	if (system_state < SYSTEM_RUNNING) {
		queue_delayed_work(kmho_wq, &kmho_reading, HZ / 50 + 1);
		return;
	}

	kmho_read();
	/* Pairs with the load in kmho_wait_ready() */
	smp_store_release(&kmho_ready, true);
	wake_up_all(&kmho_unready);
}

/**
 * kmho_wait_ready - wait until what the last kernel left has been taken in
 *
 * Return: 0, or -ERESTARTSYS if the task is killed.
 */
int kmho_wait_ready(void)
{
	/* Pairs with the store in kmho_read_work() */
	return wait_event_killable(kmho_unready, smp_load_acquire(&kmho_ready));
}

#ifdef CONFIG_KMHO_DEBUG
static u32 kmho_spoil_how = KMHO_SPOIL_BIT;

static int kmho_spoil_set(void *data, u64 key)
{
	u32 how = READ_ONCE(kmho_spoil_how);
	struct kmho_record *rec = NULL;
	int err = -ENOENT;

	if (how >= KMHO_NR_SPOILS)
		return -EINVAL;

	while ((rec = kmho_record_next(rec))) {
		if (rec->key == key) {
			if (!kmho_claims_flip(rec))
				rec->spoil = how;
			err = 0;
		}
	}

	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(kmho_spoil_fops, NULL, kmho_spoil_set, "%llu\n");

#ifdef MODULE_PARAM_PREFIX
#undef MODULE_PARAM_PREFIX
#endif
#define MODULE_PARAM_PREFIX "kmho."
module_param_named(read_delay_ms, kmho_read_delay, uint, 0400);

static void __init kmho_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("kmho", NULL);

	debugfs_create_file_unsafe("spoil", 0200, dir, NULL, &kmho_spoil_fops);
	debugfs_create_u32("spoil_how", 0600, dir, &kmho_spoil_how);
	debugfs_create_u32("version", 0600, dir, &kmho_version);
	debugfs_create_u32("pending_delay_ms", 0600, dir, &kmho_pending_delay);
}
#else
static void __init kmho_debugfs_init(void) { }
#endif

static int __init kmho_init(void)
{
	int err;

	if (!kho_is_enabled())
		return 0;

	/* An address space that ends waits for its work. */
	kmho_wq = alloc_workqueue("kmho", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!kmho_wq) {
		err = -ENOMEM;
		goto err_out;
	}
	kmho_root = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(kmho_root)) {
		err = PTR_ERR(kmho_root);
		goto err_wq;
	}
	kmho_table_init(&kmho_records, sizeof(struct kmho_record_ser));
	kmho_table_init(&kmho_objects, sizeof(struct kmho_object_ser));
	kmho_table_init(&kmho_lists, sizeof(struct kmho_list_ser));
	kmho_root_write();
	err = kho_add_subtree(KMHO_KHO_NODE, kmho_root, sizeof(*kmho_root));
	if (err)
		goto err_free;

	queue_delayed_work(kmho_wq, &kmho_reading,
			   msecs_to_jiffies(kmho_read_delay));
	kmho_debugfs_init();
	kmho_enabled = true;
	return 0;

err_free:
	kho_unpreserve_free(kmho_root);
err_wq:
	destroy_workqueue(kmho_wq);
err_out:
	pr_err("off: %pe\n", ERR_PTR(err));
	return err;
}
late_initcall(kmho_init);
