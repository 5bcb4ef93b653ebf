/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes that kmho(2) leaves to the next kernel.
 */
#ifndef _LINUX_KHO_ABI_KMHO_H
#define _LINUX_KHO_ABI_KMHO_H

#include <linux/bits.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include <asm/page.h>

/**
 * DOC: kmho ABI
 *
 * KHO's root has a subnode %KMHO_KHO_NODE whose blob is one
 * &struct kmho_root_ser. From there hang four kinds of table, each a chain of
 * pages that start with a &struct kmho_page_ser and go on with entries of one
 * size::
 *
 *   kmho_root_ser --> kmho_object_ser ... (what several may share)
 *                 |     '--> kmho_extent_ser ... (the pages in it)
 *                 '-> kmho_record_ser ... (a record each)
 *                       |--> kmho_area_ser ...   (its address ranges)
 *                       '--> kmho_extent_ser ... (the pages in them)
 *
 * All of these pages are preserved with kho_preserve_pages(), one page each;
 * the memory of an extent with one kho_preserve_pages() for the whole extent.
 *
 * Nothing in here is believed before it is checked. The root, each record and
 * each object carry a CRC-32C over themselves with the field that holds it taken
 * as zero; each page of areas and extents carries one over its header up to that
 * field and over its entries, and 1 stands for 0 there. The pages of the tables
 * of records and objects carry one over their header only, so that a damaged one
 * does not take its neighbours along.
 *
 * Areas are sorted by address and do not overlap. Extents are sorted by address
 * and do not overlap either; each lies in areas that follow each other without
 * a gap, and does not cross a multiple of %PMD_SIZE, unless it is a huge page
 * that is larger. What lies in an area and in no extent is a hole. Extents of
 * huge pages lie in areas of hugetlb, and no others do. An area of shared memory
 * has no extents of its own: it names an object and where in it the area starts.
 * The extents of an object are sorted by page offset, with the same rules; none
 * of them is of hugetlb.
 *
 * Any change to these structures or to their meaning changes
 * %KMHO_COMPATIBLE, and a kernel takes over nothing under a string that it does
 * not know. It frees it, for which some things are the same under every string:
 * that KHO's subnode leads to a blob with a checksum over all of it, the blob's
 * first fields, up to @nr_lists of &struct kmho_root_ser; &struct kmho_page_ser
 * and its checksum; the list of all tables, of &struct kmho_list_ser; and the
 * place and the number of the pages in a &struct kmho_extent_ser.
 */

#define KMHO_KHO_NODE		"kmho"
#define KMHO_COMPATIBLE		"kmho-v3"
#define KMHO_ABI_VERSION	3

/**
 * struct kmho_page_ser - header of each page of a table
 * @next:	physical address of the next page of the table; 0: none
 * @count:	entries that follow
 * @crc:	CRC-32C
 */
struct kmho_page_ser {
	__u64 next;
	__u32 count;
	__u32 crc;
};

/**
 * struct kmho_root_ser - where the records are
 * @compatible:	%KMHO_COMPATIBLE, padded with zeros
 * @page_shift:	%PAGE_SHIFT of the kernel that wrote it
 * @crc:	CRC-32C
 * @lists:	physical address of the first page of the list of tables; 0: none
 * @nr_lists:	number of tables in it
 * @nr_records:	number of records
 * @records:	physical address of the first page of the record table; 0: none
 * @nr_objects:	number of objects
 * @objects:	physical address of the first page of the object table; 0: none
 */
struct kmho_root_ser {
	char compatible[16];
	__u32 page_shift;
	__u32 crc;
	__u64 lists;
	__u64 nr_lists;
	/* From here on as @compatible says */
	__u64 nr_records;
	__u64 records;
	__u64 nr_objects;
	__u64 objects;
};

#define KMHO_ROOT_HEAD	offsetof(struct kmho_root_ser, nr_records)

/* kmho_list_ser.flags */
#define KMHO_LIST_EXTENTS	BIT(0)	/* its entries are kmho_extent_ser */
#define KMHO_LIST_HEADERS	BIT(1)	/* its checksums leave the entries out */

/**
 * struct kmho_list_ser - a table, for a kernel that can only free it
 * @first:	physical address of its first page
 * @nr_entries:	number of entries in all of its pages
 * @entry_size:	size of an entry, in bytes
 * @flags:	KMHO_LIST_*
 */
struct kmho_list_ser {
	__u64 first;
	__u64 nr_entries;
	__u32 entry_size;
	__u32 flags;
};

/**
 * struct kmho_record_ser - a record
 * @key:	its name
 * @uid:	its owner, as the initial user namespace numbers users
 * @crc:	CRC-32C
 * @nr_areas:	number of areas
 * @areas:	physical address of the first page of the area table
 * @nr_extents:	number of extents
 * @extents:	physical address of the first page of the extent table; 0: none
 * @nr_pages:	number of pages in all extents
 * @nr_migrated: pages that were moved out of scratch areas
 */
struct kmho_record_ser {
	__u64 key;
	__u32 uid;
	__u32 crc;
	__u64 nr_areas;
	__u64 areas;
	__u64 nr_extents;
	__u64 extents;
	__u64 nr_pages;
	__u64 nr_migrated;
};

/* kmho_object_ser.flags */
#define KMHO_OBJECT_NORESERVE	BIT(0)	/* not accounted for as a whole */
#define KMHO_OBJECT_PRIVATE	BIT(1)	/* reached through mappings only */
#define KMHO_OBJECT_FLAGS	GENMASK(1, 0)

/* With the NUL at its end */
#define KMHO_OBJECT_NAME_MAX	256

/**
 * struct kmho_object_ser - memory that several records may name: a shmem file
 * @id:		its number, by which areas name it; not 0
 * @flags:	KMHO_OBJECT_*
 * @crc:	CRC-32C
 * @size:	in bytes
 * @uid:	owner of the file, as the initial user namespace numbers users
 * @gid:	group of the file, likewise
 * @mode:	permission bits of the file
 * @seals:	F_SEAL_*
 * @nr_extents:	number of extents
 * @extents:	physical address of the first page of the extent table; 0: none
 * @nr_pages:	number of pages in all extents
 * @nr_migrated: pages that were moved out of scratch areas
 * @name:	as /proc/pid/maps shows it
 *
 * The extents of an object hold page offsets in place of virtual page numbers.
 */
struct kmho_object_ser {
	__u64 id;
	__u32 flags;
	__u32 crc;
	__u64 size;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 seals;
	__u64 nr_extents;
	__u64 extents;
	__u64 nr_pages;
	__u64 nr_migrated;
	char name[KMHO_OBJECT_NAME_MAX];
};

/* kmho_area_ser.flags */
#define KMHO_AREA_READ		BIT(0)
#define KMHO_AREA_WRITE		BIT(1)
#define KMHO_AREA_EXEC		BIT(2)
#define KMHO_AREA_NORESERVE	BIT(3)
#define KMHO_AREA_HUGEPAGE	BIT(4)
#define KMHO_AREA_NOHUGEPAGE	BIT(5)
#define KMHO_AREA_DONTDUMP	BIT(6)
#define KMHO_AREA_DONTFORK	BIT(7)
#define KMHO_AREA_WIPEONFORK	BIT(8)
#define KMHO_AREA_MAYWRITE	BIT(9)	/* shared memory: opened for writing */
#define KMHO_AREA_FLAGS		GENMASK(9, 0)

/* Above the flags: the order of the pages of an area of hugetlb */
#define KMHO_AREA_ORDER_SHIFT	24
#define KMHO_AREA_ORDER_MASK	GENMASK(5, 0)

/**
 * struct kmho_area_ser - addresses that are of one kind
 * @start:	first byte
 * @end:	byte after the last
 * @kind:	KMHO_KIND_* of <uapi/linux/kmho.h>
 * @flags:	KMHO_AREA_*, and the order of huge pages
 * @object:	number of the object that it maps; 0: none
 * @index:	page offset of @start in that object
 */
struct kmho_area_ser {
	__u64 start;
	__u64 end;
	__u32 kind;
	__u32 flags;
	__u64 object;
	__u64 index;
};

/*
 * kmho_extent_ser.where: the virtual page number, and below it the number of
 * pages less one. Extents therefore sort by @where. One of a huge page that is
 * larger than %PMD_SIZE has a zero there: it is that page, and nothing else.
 */
#define KMHO_EXTENT_NR_BITS	16
#define KMHO_EXTENT_NR_MAX	BIT(KMHO_EXTENT_NR_BITS)

/* Page offsets in an object end here, so that none overflows in @where. */
#define KMHO_INDEX_MAX		BIT(63 - KMHO_EXTENT_NR_BITS)

/*
 * kmho_extent_ser.what: the page frame number, below it the order of the
 * folios that the pages made up, below that flags.
 */
#define KMHO_EXTENT_PFN_SHIFT	20
#define KMHO_EXTENT_ORDER_SHIFT	14
#define KMHO_EXTENT_ORDER_MASK	GENMASK(5, 0)
#define KMHO_EXTENT_FLAGS	GENMASK(13, 0)

#define KMHO_EXTENT_HUGETLB	BIT(3)	/* huge pages of hugetlb */

/*
 * How the kernel that has the record holds the pages. It is of no meaning to
 * the next one, which clears these bits before it looks at an extent.
 */
#define KMHO_EXTENT_PINNED	BIT(0)	/* a pin a page */
#define KMHO_EXTENT_RESTORED	BIT(1)	/* a reference a page, of order 0 */
#define KMHO_EXTENT_FORMED	BIT(2)	/* a reference a folio, of that order */
#define KMHO_EXTENT_LOCAL	GENMASK(2, 0)

/**
 * struct kmho_extent_ser - pages that are contiguous in both address spaces
 * @where:	virtual page number and number of pages
 * @what:	page frame number, folio order and flags
 */
struct kmho_extent_ser {
	__u64 where;
	__u64 what;
};

#endif /* _LINUX_KHO_ABI_KMHO_H */
