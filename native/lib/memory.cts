// SPDX-License-Identifier: MIT
//
// Memory that the kernel can hand over, as Buffers: page-aligned, and nobody else's pages in between. A Buffer of this
// module can never show memory that is no longer its own, see free(). It stands on external ArrayBuffers, which Node
// allows; a runtime with V8's pointer cage (Electron) does not, and is told so.

import { constants as bufferConstants } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { getBinding } from './binding.cjs'
import { argumentError, KmhoError } from './errors.cjs'

/** The size of a page in bytes: ranges of memory start and end on multiples of it. */
export function pageSize(): number {
  return getBinding().pageSize
}

let pmdSize: number | undefined

/** The size in bytes of a transparent huge page that one entry of the page tables maps. */
export function hugePageSize(): number {
  if (pmdSize === undefined) {
    try {
      pmdSize = Number(readFileSync('/sys/kernel/mm/transparent_hugepage/hpage_pmd_size', 'latin1'))
    } catch {
      // A kernel without them: the memory that one page of page table entries, of 8 bytes each, spans.
      pmdSize = (pageSize() / 8) * pageSize()
    }
  }
  return pmdSize
}

/** How alloc() prepares memory. */
export interface AllocOptions {
  /** Make every page present now; otherwise a page takes memory, and time, when it is first touched. */
  populate?: boolean
  /** Ask for transparent huge pages (advice, see MADV_HUGEPAGE in madvise(2)), and align for them. */
  hugepages?: boolean
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
export function alloc(bytes: number, options: AllocOptions = {}): Buffer {
  if (typeof bytes !== 'number') throw argumentError('ERR_INVALID_ARG_TYPE', 'bytes must be a number', bytes)
  const page = pageSize()
  const length = Math.ceil(bytes / page) * page
  if (!Number.isSafeInteger(bytes) || bytes < 1 || length > bufferConstants.MAX_LENGTH)
    throw argumentError('ERR_OUT_OF_RANGE', `bytes must be an integer from 1 to ${bufferConstants.MAX_LENGTH}`, bytes)
  const hugepages = Boolean(options.hugepages)
  const align = hugepages && length >= hugePageSize() ? hugePageSize() : page
  const memory = mapMemory(length, align, 0)
  const buffer = Buffer.from(memory)
  const error = getBinding().advise(addressOf(buffer), length, hugepages, Boolean(options.populate))
  if (error !== 0) {
    discardMemory(memory)
    throw new KmhoError('madvise', error, `${length} bytes of memory could not be made ready`)
  }
  return buffer
}

/**
 * Maps fresh memory at an address that is `offset` past a multiple of `align`, all in bytes.
 *
 * @throws KmhoError with syscall "mmap"; Error with code ERR_KMHO_NO_EXTERNAL_MEMORY
 */
export function mapMemory(length: number, align: number, offset: number): ArrayBuffer {
  const memory = getBinding().map(length, align, offset)
  if (typeof memory === 'number') throw new KmhoError('mmap', memory, `no room for ${length} bytes`)
  return claim(memory)
}

/** Makes memory that is mapped already an ArrayBuffer's. Errors as mapMemory(). */
export function adoptMemory(address: bigint, length: number): ArrayBuffer {
  return claim(getBinding().adopt(address, length))
}

function claim(memory: ArrayBuffer | undefined): ArrayBuffer {
  if (memory === undefined)
    throw Object.assign(
      new Error(
        'kmho: expected a runtime that allows ArrayBuffers over memory from outside, found one that does not (Electron ' +
          'and others with V8’s pointer cage); run this in Node.js, in a child process if need be',
      ),
      { code: 'ERR_KMHO_NO_EXTERNAL_MEMORY' },
    )
  return memory
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
export function free(buffer: NodeJS.ArrayBufferView | ArrayBuffer): void {
  const memory = ArrayBuffer.isView(buffer) ? buffer.buffer : buffer
  if (!(memory instanceof ArrayBuffer))
    throw argumentError('ERR_INVALID_ARG_TYPE', 'buffer must be a Buffer from alloc() or takeover()', buffer)
  if (memory.byteLength === 0) throw argumentError('ERR_INVALID_STATE', 'the buffer was freed before, or is empty')
  if (buffer.byteLength !== memory.byteLength)
    throw argumentError('ERR_INVALID_ARG_VALUE', 'buffer must be the whole of its memory, not a part of it', buffer)
  const result = discardMemory(memory)
  if (result === 0) return
  if (-result === osConstants.errno.ENOENT)
    throw argumentError('ERR_INVALID_ARG_VALUE', 'buffer must be memory from alloc() or takeover()', buffer)
  throw new KmhoError(
    'mmap',
    result,
    -result === osConstants.errno.EPERM
      ? 'the memory is handed over; drop() its record before freeing it'
      : 'the memory could not be given back',
  )
}

/**
 * Empties and detaches memory of this module. Where it cannot be detached, because somebody called
 * markAsUntransferable() on it, it stays, full of zeroes, until it is collected.
 *
 * @returns 0 or a negative errno, and then nothing has changed
 */
export function discardMemory(memory: ArrayBuffer & { transfer?: () => ArrayBuffer }): number {
  const result = getBinding().release(memory)
  if (result !== 0) return result
  try {
    // What it moves to is collected at once. napi_detach_arraybuffer would do, but aborts on a marked one.
    if (memory.transfer !== undefined) memory.transfer()
    else getBinding().detach(memory)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
  }
  return 0
}

/**
 * The address of the first byte of a view or ArrayBuffer, which is what kmho(2) names memory by.
 *
 * @throws TypeError: no memory is behind it (freed, detached, empty)
 */
export function addressOf(view: NodeJS.ArrayBufferView | ArrayBuffer): bigint {
  if (!ArrayBuffer.isView(view) && !(view instanceof ArrayBuffer))
    throw argumentError('ERR_INVALID_ARG_TYPE', 'expected a Buffer, another view, or an ArrayBuffer', view)
  const address = view.byteLength === 0 ? 0n : getBinding().addressOf(view)
  if (address === 0n) throw argumentError('ERR_INVALID_ARG_VALUE', 'the buffer has no memory: it is empty or was freed', view)
  return address
}

/** Whether all bytes of the view lie in one piece of memory of this module. */
export function isOwnMemory(address: bigint, length: number): boolean {
  const found = getBinding().find(address)
  return found !== undefined && address + BigInt(length) <= found.base + BigInt(found.length)
}
