/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kmho(2): hand user memory over to the next kernel, and take it back there.
 *
 * int kmho(unsigned int opcode, void *op);
 *
 * The structures of KMHO_HANDOVER and KMHO_TAKEOVER are fixed. Those of every
 * other opcode start with their own size and may grow at the end: a kernel that
 * is handed a larger structure than it knows accepts it as long as the part it
 * does not know is zero (E2BIG otherwise), and takes what is missing from a
 * smaller one as zero. One that is smaller than here is EINVAL.
 */
#ifndef _UAPI_LINUX_KMHO_H
#define _UAPI_LINUX_KMHO_H

#include <linux/types.h>

/* Opcodes */
#define KMHO_HANDOVER		1
#define KMHO_TAKEOVER		2
#define KMHO_QUERY		3
#define KMHO_DROP		4
#define KMHO_FREEZE		5
#define KMHO_TAKEOVER_KEEP	6
#define KMHO_CHOWN		7

/**
 * struct kmho_range_handover - one range of memory to hand over
 * @base:	first byte; a multiple of the page size
 * @length:	in bytes; a multiple of the page size, not 0
 */
struct kmho_range_handover {
	unsigned long base;
	unsigned long length;
};

/**
 * struct kmho_op_handover - argument of KMHO_HANDOVER
 * @key:	name of the record; any number, scoped by the caller's
 *		effective uid
 * @num_ranges:	number of elements of @ranges, at least 1 and at most
 *		kmho_op_query.max_ranges
 * @ranges:	the ranges; in any order, they must not overlap
 */
struct kmho_op_handover {
	unsigned long key;
	unsigned long num_ranges;
	struct kmho_range_handover *ranges;
};

/**
 * struct kmho_range_takeover - one range of memory to take over
 * @base:	address that the range had when it was handed over
 * @len:	in bytes
 * @length:	the same field under its other name
 * @remap_addr:	where to map it now; 0 lets the kernel choose and write its
 *		choice back here
 */
struct kmho_range_takeover {
	unsigned long base;
	union {
		unsigned long len;
		unsigned long length;
	};
	unsigned long remap_addr;
};

/**
 * struct kmho_op_takeover - argument of KMHO_TAKEOVER and KMHO_TAKEOVER_KEEP
 * @key:	name of the record
 * @num_ranges:	number of elements of @ranges
 * @ranges:	the ranges; each lies in the union of the ranges of the record
 */
struct kmho_op_takeover {
	unsigned long key;
	unsigned long num_ranges;
	struct kmho_range_takeover *ranges;
};

/* Instead of a uid: the effective uid of the caller */
#define KMHO_UID_SELF		((__u32)-1)

/**
 * struct kmho_op_drop - argument of KMHO_DROP and KMHO_FREEZE
 * @size:	sizeof(struct kmho_op_drop)
 * @flags:	0
 * @key:	name of the record
 * @uid:	whose record; %KMHO_UID_SELF, or any uid with CAP_SYS_ADMIN
 * @reserved:	0
 */
struct kmho_op_drop {
	__u32 size;
	__u32 flags;
	__u64 key;
	__u32 uid;
	__u32 reserved;
};

/**
 * struct kmho_op_chown - argument of KMHO_CHOWN
 * @size:	sizeof(struct kmho_op_chown)
 * @flags:	0
 * @key:	name of the record
 * @uid:	whose record it is
 * @new_uid:	whose record it becomes
 */
struct kmho_op_chown {
	__u32 size;
	__u32 flags;
	__u64 key;
	__u32 uid;
	__u32 new_uid;
};

/* kmho_record_info.state */
#define KMHO_STATE_LIVE		1	/* the process that handed over still has it */
#define KMHO_STATE_HELD		2	/* that process has ended, or froze the record */
#define KMHO_STATE_INCOMING	3	/* it came with the last kexec */

/**
 * struct kmho_record_info - what KMHO_QUERY says of a record
 * @key:	name of the record
 * @uid:	owner
 * @state:	KMHO_STATE_*
 * @bytes:	length of all its ranges together, in bytes
 * @present:	how much of that is memory rather than hole, in bytes
 * @metadata:	size of what describes it to the next kernel, in bytes
 * @nr_ranges:	number of ranges, as struct kmho_range_info counts them
 * @nr_extents:	number of runs of physically contiguous pages
 * @migrated:	pages that lay in KHO's scratch areas and were moved, in bytes
 * @changed:	2 MiB blocks (one page table's worth of memory) that were written
 *		to in a way that the next step before the kexec has to look at
 * @pid:	process that has it, as the caller's pid namespace sees it;
 *		0: none
 * @reserved:	0
 */
struct kmho_record_info {
	__u64 key;
	__u32 uid;
	__u32 state;
	__u64 bytes;
	__u64 present;
	__u64 metadata;
	__u64 nr_ranges;
	__u64 nr_extents;
	__u64 migrated;
	__u64 changed;
	__s32 pid;
	__u32 reserved;
};

/* kmho_range_info.kind */
#define KMHO_KIND_ANON		1	/* private anonymous memory */
#define KMHO_KIND_SHMEM		2	/* shared: anonymous, memfd or System V */
#define KMHO_KIND_HUGETLB	3	/* private, of huge pages of hugetlb */

/**
 * struct kmho_range_info - a piece of a record that is of one kind
 * @base:	address that it had when it was handed over
 * @length:	in bytes
 * @prot:	PROT_READ, PROT_WRITE, PROT_EXEC
 * @kind:	KMHO_KIND_*
 *
 * A range that was handed over is reported as several where its protection
 * changes, and without the parts that were taken over since.
 */
struct kmho_range_info {
	__u64 base;
	__u64 length;
	__u32 prot;
	__u32 kind;
};

/* kmho_op_query.flags */
#define KMHO_QUERY_KEY		(1U << 0)	/* only the record @key of @uid */
#define KMHO_QUERY_ALL		(1U << 1)	/* every user's records; CAP_SYS_ADMIN */

/* kmho_op_query.features: bit n is set where opcode n works */
#define KMHO_FEATURE(opcode)	(1ULL << (opcode))

/**
 * struct kmho_op_query - argument of KMHO_QUERY
 * @size:	sizeof(struct kmho_op_query)
 * @flags:	KMHO_QUERY_*
 * @key:	with %KMHO_QUERY_KEY: which record
 * @uid:	with %KMHO_QUERY_KEY: whose; %KMHO_UID_SELF, or any uid with
 *		CAP_SYS_ADMIN
 * @abi:	out: version of the format in which records cross the kexec
 * @features:	out: KMHO_FEATURE() of each opcode that this kernel has
 * @max_ranges:	out: most ranges one call may name
 * @nr_records:	in: room at @records, in elements; out: how many there are
 * @records:	address of an array of struct kmho_record_info, or 0
 * @nr_ranges:	in: room at @ranges, in elements; out: how many there are
 * @ranges:	with %KMHO_QUERY_KEY: address of an array of
 *		struct kmho_range_info, or 0
 *
 * An array that is too small is filled as far as it goes; the caller compares
 * the number that came back with the room there was.
 */
struct kmho_op_query {
	__u32 size;
	__u32 flags;
	__u64 key;
	__u32 uid;
	__u32 abi;
	__u64 features;
	__u64 max_ranges;
	__u64 nr_records;
	__u64 records;
	__u64 nr_ranges;
	__u64 ranges;
};

#endif /* _UAPI_LINUX_KMHO_H */
