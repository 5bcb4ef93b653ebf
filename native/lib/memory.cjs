"use strict";
// SPDX-License-Identifier: MIT
//
// Memory that the kernel can hand over, as Buffers: page-aligned, and nobody else's pages in between. A Buffer of this
// module can never show memory that is no longer its own, see free(). It stands on external ArrayBuffers, which Node
// allows; a runtime with V8's pointer cage (Electron) does not, and is told so.
Object.defineProperty(exports, "__esModule", { value: true });
exports.pageSize = pageSize;
exports.hugePageSize = hugePageSize;
exports.alloc = alloc;
exports.mapMemory = mapMemory;
exports.adoptMemory = adoptMemory;
exports.free = free;
exports.addressOf = addressOf;
exports.isOwnMemory = isOwnMemory;
const node_buffer_1 = require("node:buffer");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_worker_threads_1 = require("node:worker_threads");
const binding_cjs_1 = require("./binding.cjs");
const errors_cjs_1 = require("./errors.cjs");
/** The size of a page in bytes: ranges of memory start and end on multiples of it. */
function pageSize() {
    return (0, binding_cjs_1.getBinding)().pageSize;
}
let pmdSize;
/** The size in bytes of a transparent huge page that one entry of the page tables maps. */
function hugePageSize() {
    if (pmdSize === undefined) {
        try {
            pmdSize = Number((0, node_fs_1.readFileSync)('/sys/kernel/mm/transparent_hugepage/hpage_pmd_size', 'latin1'));
        }
        catch {
            // A kernel without them: the memory that one page of page table entries, of 8 bytes each, spans.
            pmdSize = (pageSize() / 8) * pageSize();
        }
    }
    return pmdSize;
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
function alloc(bytes, options = {}) {
    if (typeof bytes !== 'number')
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'bytes must be a number', bytes);
    const page = pageSize();
    const length = Math.ceil(bytes / page) * page;
    if (!Number.isSafeInteger(bytes) || bytes < 1 || length > node_buffer_1.constants.MAX_LENGTH)
        throw (0, errors_cjs_1.argumentError)('ERR_OUT_OF_RANGE', `bytes must be an integer from 1 to ${node_buffer_1.constants.MAX_LENGTH}`, bytes);
    const hugepages = Boolean(options.hugepages);
    const align = hugepages && length >= hugePageSize() ? hugePageSize() : page;
    const memory = mapMemory(length, align, 0);
    const buffer = Buffer.from(memory);
    const error = (0, binding_cjs_1.getBinding)().advise(addressOf(buffer), length, hugepages, Boolean(options.populate));
    if (error !== 0) {
        (0, binding_cjs_1.getBinding)().release(memory);
        throw new errors_cjs_1.KmhoError('madvise', error, `${length} bytes of memory could not be made ready`);
    }
    return buffer;
}
/**
 * Maps fresh memory at an address that is `offset` past a multiple of `align`, all in bytes.
 *
 * @throws KmhoError with syscall "mmap"; Error with code ERR_KMHO_NO_EXTERNAL_MEMORY
 */
function mapMemory(length, align, offset) {
    const memory = (0, binding_cjs_1.getBinding)().map(length, align, offset);
    if (typeof memory === 'number')
        throw new errors_cjs_1.KmhoError('mmap', memory, `no room for ${length} bytes`);
    return claim(memory);
}
/** Makes memory that is mapped already an ArrayBuffer's. Errors as mapMemory(). */
function adoptMemory(address, length) {
    return claim((0, binding_cjs_1.getBinding)().adopt(address, length));
}
function claim(memory) {
    if (memory === undefined)
        throw Object.assign(new Error('kmho: expected a runtime that allows ArrayBuffers over memory from outside, found one that does not (Electron ' +
            'and others with V8’s pointer cage); run this in Node.js, in a child process if need be'), { code: 'ERR_KMHO_NO_EXTERNAL_MEMORY' });
    (0, node_worker_threads_1.markAsUntransferable)(memory);
    return memory;
}
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
function free(buffer) {
    const memory = ArrayBuffer.isView(buffer) ? buffer.buffer : buffer;
    if (!(memory instanceof ArrayBuffer))
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'buffer must be a Buffer from alloc() or takeover()', buffer);
    if (memory.byteLength === 0)
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_STATE', 'the buffer was freed before, or is empty');
    if (buffer.byteLength !== memory.byteLength)
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_VALUE', 'buffer must be the whole of its memory, not a part of it', buffer);
    const result = (0, binding_cjs_1.getBinding)().release(memory);
    if (result === 0)
        return;
    if (-result === node_os_1.constants.errno.ENOENT)
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_VALUE', 'buffer must be memory from alloc() or takeover()', buffer);
    throw new errors_cjs_1.KmhoError('mmap', result, -result === node_os_1.constants.errno.EPERM
        ? 'the memory is handed over; drop() its record before freeing it'
        : 'the memory could not be given back');
}
/**
 * The address of the first byte of a view or ArrayBuffer, which is what kmho(2) names memory by.
 *
 * @throws TypeError: no memory is behind it (freed, detached, empty)
 */
function addressOf(view) {
    if (!ArrayBuffer.isView(view) && !(view instanceof ArrayBuffer))
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'expected a Buffer, another view, or an ArrayBuffer', view);
    const address = view.byteLength === 0 ? 0n : (0, binding_cjs_1.getBinding)().addressOf(view);
    if (address === 0n)
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_VALUE', 'the buffer has no memory: it is empty or was freed', view);
    return address;
}
/** Whether all bytes of the view lie in one piece of memory of this module. */
function isOwnMemory(address, length) {
    const found = (0, binding_cjs_1.getBinding)().find(address);
    return found !== undefined && address + BigInt(length) <= found.base + BigInt(found.length);
}
//# sourceMappingURL=memory.cjs.map