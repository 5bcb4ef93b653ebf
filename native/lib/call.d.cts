import { type RawRangeInfo, type RawRecordInfo } from './binding.cjs';
import { KMHO_CHOWN, KMHO_DROP, KMHO_FREEZE, KMHO_HANDOVER, KMHO_QUERY, KMHO_TAKEOVER, KMHO_TAKEOVER_KEEP } from './constants.cjs';
import { type Integer } from './integers.cjs';
/** struct kmho_op_handover; addresses and lengths in bytes. `num_ranges` follows from `ranges`. */
export interface HandoverOp {
    key: Integer;
    ranges: readonly {
        base: Integer;
        length: Integer;
    }[];
}
/** struct kmho_range_takeover; `len` and `length` are one field under two names. */
export interface TakeoverOpRange {
    base: Integer;
    len?: Integer;
    length?: Integer;
    /** In: where to map the range, 0 or absent lets the kernel choose. Out: where it was mapped. */
    remap_addr?: Integer;
}
/** struct kmho_op_takeover, for KMHO_TAKEOVER and KMHO_TAKEOVER_KEEP. */
export interface TakeoverOp {
    key: Integer;
    ranges: readonly TakeoverOpRange[];
}
/** struct kmho_op_drop, for KMHO_DROP and KMHO_FREEZE. */
export interface DropOp {
    key: Integer;
    /** Whose record; KMHO_UID_SELF when absent. */
    uid?: number;
    flags?: number;
}
/** struct kmho_op_chown. */
export interface ChownOp {
    key: Integer;
    /** Whose record it is; KMHO_UID_SELF when absent. */
    uid?: number;
    new_uid: number;
    flags?: number;
}
/** struct kmho_op_query. The fields below `nr_ranges` are written by the call. */
export interface QueryOp {
    /** KMHO_QUERY_KEY, KMHO_QUERY_ALL */
    flags?: number;
    key?: Integer;
    uid?: number;
    /** In: room for records. Out: how many there are. */
    nr_records?: Integer;
    /** In: room for ranges. Out: how many there are. */
    nr_ranges?: Integer;
    abi?: number;
    features?: bigint;
    max_ranges?: bigint;
    records?: RawRecordInfo[];
    ranges?: RawRangeInfo[];
}
/** The structure that belongs to an opcode; any object for one that is not known. */
export type OpOf<Opcode extends number> = Opcode extends typeof KMHO_HANDOVER ? HandoverOp : Opcode extends typeof KMHO_TAKEOVER | typeof KMHO_TAKEOVER_KEEP ? TakeoverOp : Opcode extends typeof KMHO_DROP | typeof KMHO_FREEZE ? DropOp : Opcode extends typeof KMHO_CHOWN ? ChownOp : Opcode extends typeof KMHO_QUERY ? QueryOp : object;
/**
 * kmho(2), the system call itself.
 *
 * Memory that a raw KMHO_TAKEOVER maps belongs to nobody in JavaScript: it stays mapped until the process ends.
 *
 * @param opcode - a KMHO_* operation. One that the addon does not know is passed on with a zeroed structure.
 * @param op - the operation's structure; what the kernel writes back is set in it. `null` passes a null pointer.
 * @returns 0
 * @throws KmhoError with the errno of kmho(2), CONTRACT section 5; TypeError or RangeError for what is no integer
 */
export declare function kmho<Opcode extends number>(opcode: Opcode, op: OpOf<Opcode> | null): 0;
//# sourceMappingURL=call.d.cts.map