/** The size of a page in bytes: ranges of memory start and end on multiples of it. */
export declare function pageSize(): number;
/** The size in bytes of a transparent huge page that one entry of the page tables maps. */
export declare function hugePageSize(): number;
/** How alloc() prepares memory. */
export interface AllocOptions {
    /** Make every page present now; otherwise a page takes memory, and time, when it is first touched. */
    populate?: boolean;
    /** Ask for transparent huge pages (advice, see MADV_HUGEPAGE in madvise(2)), and align for them. */
    hugepages?: boolean;
}
/**
 * Zero-filled memory that can be handed over: private, anonymous, aligned to a page.
 *
 * The kernel hands over whole pages, so `bytes` is rounded up to them, and the Buffer is as long as what would come
 * back. It is not pooled and starts at byte 0 of an ArrayBuffer of its own, which cannot be transferred to another
 * thread. The memory goes back when that has been garbage-collected, or with free().
 *
 * @param bytes - at least 1, at most buffer.constants.MAX_LENGTH (4 GiB in Node 20)
 * @throws KmhoError with syscall "mmap": ENOMEM; RangeError or TypeError
 */
export declare function alloc(bytes: number, options?: AllocOptions): Buffer;
/**
 * Maps fresh memory at an address that is `offset` past a multiple of `align`, all in bytes.
 *
 * @throws KmhoError with syscall "mmap"; Error with code ERR_KMHO_NO_EXTERNAL_MEMORY
 */
export declare function mapMemory(length: number, align: number, offset: number): ArrayBuffer;
/** Makes memory that is mapped already an ArrayBuffer's. Errors as mapMemory(). */
export declare function adoptMemory(address: bigint, length: number): ArrayBuffer;
/**
 * Gives the memory of a Buffer from alloc() or takeover() back at once.
 *
 * The Buffer, and every other view of its ArrayBuffer, has length 0 from then on. Wait for operations in flight first:
 * one that still reads or writes on another thread does no harm (it meets zeroes, for the addresses are used for nothing
 * else until the ArrayBuffer is garbage-collected), but a zlib stream whose input vanishes makes Node abort.
 *
 * @param buffer - the whole of it, not a part (no subarray)
 * @throws KmhoError with code EPERM while the memory is handed over: drop() its record first. The Buffer is unharmed.
 *   TypeError (ERR_INVALID_ARG_VALUE) for other memory, Error (ERR_INVALID_STATE) when it was freed before
 */
export declare function free(buffer: NodeJS.ArrayBufferView | ArrayBuffer): void;
/**
 * The address of the first byte of a view or ArrayBuffer, which is what kmho(2) names memory by.
 *
 * @throws TypeError: no memory is behind it (freed, detached, empty)
 */
export declare function addressOf(view: NodeJS.ArrayBufferView | ArrayBuffer): bigint;
/** Whether all bytes of the view lie in one piece of memory of this module. */
export declare function isOwnMemory(address: bigint, length: number): boolean;
//# sourceMappingURL=memory.d.cts.map