import { type Integer } from './integers.cjs';
/** A range of addresses; `length` in bytes. */
export interface Range {
    base: bigint;
    length: number;
}
/** Memory to hand over: a Buffer from alloc() or takeover(), whole pages of one, or addresses. */
export type Memory = NodeJS.ArrayBufferView | ArrayBuffer | {
    base: Integer;
    length: Integer;
};
/** A range to take over. Without `remapAddr` and `into` it comes into fresh memory. */
export interface TakeoverRange {
    /** The address that the range had when it was handed over. */
    base: Integer;
    /** In bytes. */
    length: Integer;
    /** The address at which to map it: nothing may be mapped there. 0 lets the kernel choose. */
    remapAddr?: Integer;
    /** A Buffer of alloc(), or whole pages of one, as long as the range: its contents are replaced, by holes not. */
    into?: NodeJS.ArrayBufferView;
}
/** Whose record is meant. */
export interface OwnerOptions {
    /** The owner's uid, one's own when absent; another's needs CAP_SYS_ADMIN. */
    uid?: number;
}
/** 'live': the process that handed over still has it. 'held': it ended. 'incoming': it came with the last kexec. */
export type RecordState = 'live' | 'held' | 'incoming' | 'unknown';
/** What the kernel says of a record, sizes in bytes. struct kmho_record_info has the exact meaning of each. */
export interface RecordInfo {
    key: bigint;
    /** Owner. */
    uid: number;
    state: RecordState;
    /** Length of all ranges. */
    bytes: number;
    /** How much of that is memory and not hole. */
    present: number;
    /** Size of what describes it to the next kernel. */
    metadata: number;
    nrRanges: number;
    /** Runs of physically contiguous pages. */
    nrExtents: number;
    /** Pages that had to be moved out of KHO's scratch areas. */
    migrated: number;
    /** 2 MiB blocks that the last step before the kexec has to look at. */
    changed: number;
    /** The process that has it; 0: none. */
    pid: number;
}
/** A piece of a record, struct kmho_range_info. */
export interface RangeInfo extends Range {
    /** PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4. */
    prot: number;
    /** 'anon', or 'kind-N' for one that this version does not know. */
    kind: string;
}
/** A record and its pieces, by ascending address. */
export interface RecordDetail extends RecordInfo {
    ranges: RangeInfo[];
}
/** What this kernel can do, and which records there are. */
export interface Overview {
    /** Version of the format in which records cross the kexec. */
    abi: number;
    /** Bit n is set where opcode n works. */
    features: bigint;
    /** The same as a list. */
    opcodes: number[];
    /** Most ranges that one call may name. */
    maxRanges: number;
    records: RecordInfo[];
}
/** The answer to whether kmho(2) works here. */
export interface Support {
    supported: boolean;
    /** Why not: ENOSYS, EOPNOTSUPP (kho=off), ... */
    code?: string;
    /** One sentence. */
    reason: string;
    /** The operations that this kernel has. */
    opcodes: number[];
    abi?: number;
    maxRanges?: number;
}
/**
 * Hands memory over to the next kernel, all of it or none, under a key of one's own uid: KMHO_HANDOVER.
 *
 * The process goes on using the memory. Until drop() it cannot be freed; when its Buffer is garbage-collected it
 * stays in the record all the same, and mapped until the process ends.
 *
 * @returns the ranges handed over, in the order given: what a later takeover may name
 * @throws KmhoError, CONTRACT section 5: EINVAL (not whole pages, overlapping, none), E2BIG, EEXIST (key in use), ENOMEM (a gap),
 *   EAGAIN (RLIMIT_MEMLOCK), EOPNOTSUPP, ENOSYS. TypeError (ERR_INVALID_ARG_VALUE) for a Buffer of other origin: its
 *   pages are shared with other objects of the heap.
 */
export declare function handover(key: Integer, memory: Memory | readonly Memory[]): Range[];
/**
 * The address that the first byte of a taken Buffer (or of a part of one) had when it was handed over: what pointers
 * stored in the memory refer to. undefined for a Buffer that no takeover() made.
 */
export declare function originOf(view: NodeJS.ArrayBufferView): bigint | undefined;
/**
 * Takes over what a record holds, or some ranges of it, without copying: KMHO_TAKEOVER. All of it, or nothing changes.
 *
 * Without `ranges`: one Buffer for each contiguous run of addresses, by ascending address at the handover. What was
 * handed over as one Buffer comes back as one. With `ranges`: one Buffer for each, in their order. Every Buffer can
 * be read and written, whatever protection the memory had; the raw kmho() keeps protections.
 *
 * @param options - `keep`: the record stays, live, with this process, until drop() (KMHO_TAKEOVER_KEEP)
 * @throws KmhoError, CONTRACT section 5: ENOENT (no such key, or range not in it), EBUSY (who handed over still lives),
 *   EEXIST (`remapAddr` in use), EINVAL, ENOMEM, EAGAIN, EOPNOTSUPP, ENOSYS. RangeError (ERR_OUT_OF_RANGE) when a run is
 *   longer than a Buffer can be: take it in several ranges.
 */
export declare function takeover(key: Integer, ranges?: readonly TakeoverRange[], options?: {
    keep?: boolean;
}): Buffer[];
/**
 * What is held: KMHO_QUERY. With a key, that record and its pieces; without, the kernel's abilities and all of one's
 * own records, or with `all` everybody's.
 *
 * @throws KmhoError: ENOENT (no such key), EPERM (`all`, or another's uid, without CAP_SYS_ADMIN), EOPNOTSUPP, ENOSYS
 */
export declare function query(key: Integer | ({
    key: Integer;
} & OwnerOptions)): RecordDetail;
export declare function query(options?: {
    all?: boolean;
}): Overview;
/**
 * Gives a record up: KMHO_DROP. Key and memory are free again; a process that has the memory keeps it.
 *
 * @throws KmhoError: ENOENT, EPERM, EOPNOTSUPP, ENOSYS
 */
export declare function drop(key: Integer, options?: OwnerOptions): void;
/**
 * Fixes a record's contents at this moment: KMHO_FREEZE. What the process writes from now on goes to copies of its own.
 *
 * @throws KmhoError: ENOENT, EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does not have the operation
 */
export declare function freeze(key: Integer, options?: OwnerOptions): void;
/**
 * Moves a record to another owner: KMHO_CHOWN. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @throws KmhoError: ENOENT, EEXIST (that owner uses the key), EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does
 *   not have the operation
 */
export declare function chown(key: Integer, newUid: number, options?: OwnerOptions): void;
/**
 * Whether kmho(2) works here, and if not, why. Throws nothing but ERR_KMHO_BINDING, when the addon was not built.
 */
export declare function probe(): Support;
/**
 * Whether this kernel can hand memory over and take it over; with an opcode, whether it has that one. Never throws for
 * what the kernel says; probe() tells the reason.
 */
export declare function isSupported(opcode?: number): boolean;
//# sourceMappingURL=records.d.cts.map