// SPDX-License-Identifier: MIT
//
// Handing over and taking over with Buffers, and asking what is held. Nothing is copied in either direction. What
// a call means and promises is in kmho(2); this module adds only where the memory comes to lie and when it goes.

import { constants as bufferConstants } from 'node:buffer'
import { constants as osConstants } from 'node:os'
import { getBinding, type RawQueryAnswer, type RawRecordInfo } from './binding.cjs'
import {
  KMHO_CHOWN,
  KMHO_DROP,
  KMHO_FREEZE,
  KMHO_HANDOVER,
  KMHO_KIND_ANON,
  KMHO_KIND_HUGETLB,
  KMHO_KIND_SHMEM,
  KMHO_QUERY,
  KMHO_QUERY_ALL,
  KMHO_QUERY_KEY,
  KMHO_STATE_HELD,
  KMHO_STATE_INCOMING,
  KMHO_STATE_LIVE,
  KMHO_TAKEOVER,
  KMHO_TAKEOVER_KEEP,
  KMHO_UID_SELF,
} from './constants.cjs'
import { argumentError, checkResult, KmhoError } from './errors.cjs'
import { type Integer, toU32, toU64 } from './integers.cjs'
import { addressOf, adoptMemory, discardMemory, hugePageSize, isOwnMemory, mapMemory, pageSize } from './memory.cjs'

/** A range of addresses; `length` in bytes. */
export interface Range {
  base: bigint
  length: number
}

/** Memory to hand over: a Buffer from alloc() or takeover(), whole pages of one, or addresses. */
export type Memory = NodeJS.ArrayBufferView | ArrayBuffer | { base: Integer; length: Integer }

/** A range to take over. Without `remapAddr` and `into` it comes into fresh memory. */
export interface TakeoverRange {
  /** The address that the range had when it was handed over. */
  base: Integer
  /** In bytes. */
  length: Integer
  /** The address at which to map it: nothing may be mapped there. 0 lets the kernel choose. */
  remapAddr?: Integer
  /** A Buffer of alloc(), or whole pages of one, as long as the range: its contents are replaced, by holes not. */
  into?: NodeJS.ArrayBufferView
}

/** Whose record is meant. */
export interface OwnerOptions {
  /** The owner's uid, one's own when absent; another's needs CAP_SYS_ADMIN. */
  uid?: number
}

/** 'live': the process that handed over still has it. 'held': it ended. 'incoming': it came with the last kexec. */
export type RecordState = 'live' | 'held' | 'incoming' | 'unknown'

/** What the kernel says of a record, sizes in bytes. struct kmho_record_info has the exact meaning of each. */
export interface RecordInfo {
  key: bigint
  /** Owner. */
  uid: number
  state: RecordState
  /** Length of all ranges. */
  bytes: number
  /** How much of that is memory and not hole. */
  present: number
  /** Size of what describes it to the next kernel. */
  metadata: number
  nrRanges: number
  /** Runs of physically contiguous pages. */
  nrExtents: number
  /** Pages that had to be moved out of KHO's scratch areas. */
  migrated: number
  /** 2 MiB blocks that the last step before the kexec has to look at. */
  changed: number
  /** The process that has it; 0: none. */
  pid: number
}

/** A piece of a record, struct kmho_range_info. */
export interface RangeInfo extends Range {
  /** PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4. */
  prot: number
  /** 'anon', 'shmem', 'hugetlb', or 'kind-N' for one that this version does not know. */
  kind: string
}

/** A record and its pieces, by ascending address. */
export interface RecordDetail extends RecordInfo {
  ranges: RangeInfo[]
}

/** What this kernel can do, and which records there are. */
export interface Overview {
  /** Version of the format in which records cross the kexec. */
  abi: number
  /** Bit n is set where opcode n works. */
  features: bigint
  /** The same as a list. */
  opcodes: number[]
  /** Most ranges that one call may name. */
  maxRanges: number
  records: RecordInfo[]
}

/** The answer to whether kmho(2) works here. */
export interface Support {
  supported: boolean
  /** Why not: ENOSYS, EOPNOTSUPP (kho=off), ... */
  code?: string
  /** One sentence. */
  reason: string
  /** The operations that this kernel has. */
  opcodes: number[]
  abi?: number
  maxRanges?: number
}

/**
 * Hands memory over to the next kernel, all of it or none, under a key of one's own uid: KMHO_HANDOVER.
 *
 * The process goes on using the memory. Until drop() it cannot be freed; when its Buffer is garbage-collected it
 * stays in the record all the same, and mapped until the process ends.
 *
 * @returns the ranges handed over, in the order given: what a later takeover may name
 * @throws KmhoError, CONTRACT section 5: EINVAL (not whole pages, overlapping, none), E2BIG, EEXIST (key in use),
 *   ENOMEM (a gap), EAGAIN (RLIMIT_MEMLOCK), EBUSY (handed over already under another key), EOPNOTSUPP, ENOSYS.
 *   TypeError (ERR_INVALID_ARG_VALUE) for a Buffer of other origin: its pages are shared with other objects of the heap.
 */
export function handover(key: Integer, memory: Memory | readonly Memory[]): Range[] {
  const name = toU64(key, 'key')
  const list = Array.isArray(memory) ? (memory as readonly Memory[]) : [memory as Memory]
  const rows = new BigUint64Array(list.length * 2)
  list.forEach((item, i) => {
    const range = toRange(item, i)
    rows[i * 2] = range.base
    rows[i * 2 + 1] = range.length
  })
  checkResult(getBinding().handover(name, rows), KMHO_HANDOVER, name)
  return list.map((_, i) => ({ base: rows[i * 2]!, length: Number(rows[i * 2 + 1]!) }))
}

function toRange(item: Memory, index: number): { base: bigint; length: bigint } {
  if (ArrayBuffer.isView(item) || item instanceof ArrayBuffer) {
    const base = addressOf(item)
    if (!isOwnMemory(base, item.byteLength))
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `memory[${index}] must be a Buffer from alloc() or takeover(), other Buffers share their pages with the heap`,
        item,
      )
    return { base, length: BigInt(item.byteLength) }
  }
  if (typeof item !== 'object' || item === null)
    throw argumentError('ERR_INVALID_ARG_TYPE', `memory[${index}] must be a Buffer or {base, length}`, item)
  return { base: toU64(item.base, `memory[${index}].base`), length: toU64(item.length, `memory[${index}].length`) }
}

/** For a taken ArrayBuffer: the address that its first byte had when it was handed over. */
const origins = new WeakMap<ArrayBufferLike, bigint>()

/**
 * The address that the first byte of a taken Buffer (or of a part of one) had when it was handed over: what pointers
 * stored in the memory refer to. undefined for a Buffer that no takeover() made.
 */
export function originOf(view: NodeJS.ArrayBufferView): bigint | undefined {
  const origin = origins.get(view.buffer)
  return origin === undefined ? undefined : origin + BigInt(view.byteOffset)
}

/**
 * Takes over what a record holds, or some ranges of it, without copying: KMHO_TAKEOVER. All of it, or nothing changes.
 *
 * Without `ranges`: one Buffer for each contiguous run of addresses, by ascending address at the handover. What was
 * handed over as one Buffer comes back as one. With `ranges`: one Buffer for each, in their order. Every Buffer can
 * be read and written, whatever protection the memory had; the raw kmho() keeps protections.
 *
 * @param options - `keep`: the record stays, live, with this process, until drop() (KMHO_TAKEOVER_KEEP)
 * @throws KmhoError, CONTRACT section 5: ENOENT (no such key, or range not in it), EBUSY (who handed over still lives),
 *   EEXIST (`remapAddr` in use), EPERM (`remapAddr` below vm.mmap_min_addr), EINVAL, ENOMEM, EAGAIN, EOPNOTSUPP, ENOSYS. RangeError (ERR_OUT_OF_RANGE) when a run is
 *   longer than a Buffer can be: take it in several ranges.
 */
export function takeover(
  key: Integer,
  ranges?: readonly TakeoverRange[],
  options: { keep?: boolean } = {},
): Buffer[] {
  const name = toU64(key, 'key')
  if (ranges !== undefined && !Array.isArray(ranges))
    throw argumentError('ERR_INVALID_ARG_TYPE', 'ranges must be an array of {base, length}', ranges)
  const wanted = ranges ?? mergeRuns(query(name).ranges)
  const places: Place[] = []
  try {
    wanted.forEach((range, i) => places.push(preparePlace(range, i)))
    takeInto(places, name, Boolean(options.keep))
  } catch (error) {
    for (const place of places) if (place.fresh !== undefined) discardMemory(place.fresh)
    throw error
  }
  return places.map((place) => {
    if (place.into !== undefined) return Buffer.from(place.into.buffer, place.into.byteOffset, place.into.byteLength)
    const memory = place.fresh ?? adoptTaken(place)
    origins.set(memory, place.base)
    return Buffer.from(memory)
  })
}

/** Where one range goes: `fresh` memory of ours, `into` the caller's, or `address` (0: the kernel's choice). */
interface Place {
  base: bigint
  length: bigint
  address: bigint
  fresh?: ArrayBuffer
  into?: NodeJS.ArrayBufferView
}

function mergeRuns(pieces: readonly RangeInfo[]): Range[] {
  const runs: Range[] = []
  for (const piece of pieces) {
    const last = runs.at(-1)
    if (last !== undefined && last.base + BigInt(last.length) === piece.base) last.length += piece.length
    else runs.push({ base: piece.base, length: piece.length })
  }
  return runs
}

function preparePlace(range: TakeoverRange, index: number): Place {
  const base = toU64(range.base, `ranges[${index}].base`)
  const length = toU64(range.length, `ranges[${index}].length`)
  if (length > BigInt(bufferConstants.MAX_LENGTH))
    throw argumentError(
      'ERR_OUT_OF_RANGE',
      `a Buffer holds at most ${bufferConstants.MAX_LENGTH} bytes here; take ${length} bytes in several ranges`,
    )
  if (range.into !== undefined) {
    const address = addressOf(range.into)
    if (!isOwnMemory(address, range.into.byteLength) || BigInt(range.into.byteLength) !== length)
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `ranges[${index}].into must be ${length} bytes of a Buffer from alloc() or takeover()`,
        range.into,
      )
    return { base, length, address, into: range.into }
  }
  if (range.remapAddr !== undefined) {
    const address = toU64(range.remapAddr, `ranges[${index}].remapAddr`)
    // The kernel would put the pages into a private anonymous mapping that is there, as it should; but then its memory would
    // have two owners here.
    if (address !== 0n && length > 0n && getBinding().isMapped(address, Number(length)))
      checkResult(-osConstants.errno.EEXIST, KMHO_TAKEOVER)
    return { base, length, address }
  }
  const page = BigInt(pageSize())
  // What the kernel will refuse needs no place.
  if (length === 0n || length % page !== 0n || base % page !== 0n) return { base, length, address: 0n }
  const fresh = mapLike(base, Number(length))
  return { base, length, address: addressOf(fresh), fresh }
}

/** Memory whose address is to huge pages as `base` was, so that they can be mapped as such again. */
function mapLike(base: bigint, length: number): ArrayBuffer {
  let align = pageSize()
  while (align < length && align < hugePageSize()) align *= 2
  return mapMemory(length, align, Number(base % BigInt(align)))
}

function takeInto(places: Place[], key: bigint, keep: boolean): void {
  const opcode = keep ? KMHO_TAKEOVER_KEEP : KMHO_TAKEOVER
  let result = take(places, key, keep)
  if (-result === osConstants.errno.EEXIST && places.some((place) => place.fresh !== undefined)) {
    // Memory of a kind that cannot come into a private anonymous mapping: the kernel has to find a place.
    for (const place of places) {
      if (place.fresh === undefined) continue
      discardMemory(place.fresh)
      delete place.fresh
      place.address = 0n
    }
    result = take(places, key, keep)
  }
  checkResult(result, opcode, key)
}

function take(places: Place[], key: bigint, keep: boolean): number {
  if (places.some((place) => place.fresh === undefined && place.into === undefined)) {
    // Afterwards it would be too late to find out that this runtime allows no Buffer over the memory.
    discardMemory(mapMemory(pageSize(), pageSize(), 0))
  }
  const rows = new BigUint64Array(places.length * 3)
  places.forEach((place, i) => {
    rows[i * 3] = place.base
    rows[i * 3 + 1] = place.length
    rows[i * 3 + 2] = place.address
  })
  const result = getBinding().takeover(keep, key, rows)
  if (result === 0) places.forEach((place, i) => (place.address = rows[i * 3 + 2]!))
  return result
}

function adoptTaken(place: Place): ArrayBuffer {
  const memory = adoptMemory(place.address, Number(place.length))
  // A Buffer knows no protection: touching it may not end the process. Shared memory that is read-only for good
  // (EACCES) stays so.
  getBinding().protect(place.address, Number(place.length), 1 | 2)
  return memory
}

/** Asks with more and more room until everything fitted. */
function queryAll(flags: number, key: bigint, uid: number): RawQueryAnswer {
  let roomForRecords = (flags & KMHO_QUERY_KEY) !== 0 ? 1 : 64
  let roomForRanges = (flags & KMHO_QUERY_KEY) !== 0 ? 64 : 0
  for (;;) {
    const answer = getBinding().query(flags, key, uid, roomForRecords, roomForRanges)
    if (typeof answer === 'number') {
      checkResult(answer, KMHO_QUERY, (flags & KMHO_QUERY_KEY) !== 0 ? key : undefined)
      throw new TypeError('kmho: the addon answered a query with nothing')
    }
    const nrRecords = Number(answer.nr_records)
    const nrRanges = (flags & KMHO_QUERY_KEY) !== 0 ? Number(answer.nr_ranges) : 0
    if (nrRecords <= roomForRecords && nrRanges <= roomForRanges) return answer
    // Some more, for there may be more by the next time.
    roomForRecords = Math.max(roomForRecords, Math.ceil(nrRecords * 1.25))
    roomForRanges = Math.max(roomForRanges, Math.ceil(nrRanges * 1.25))
  }
}

/**
 * What is held: KMHO_QUERY. With a key, that record and its pieces; without, the kernel's abilities and all of one's
 * own records, or with `all` everybody's.
 *
 * @throws KmhoError: ENOENT (no such key), EPERM (`all`, or another's uid, without CAP_SYS_ADMIN), EOPNOTSUPP, ENOSYS
 */
export function query(key: Integer | ({ key: Integer } & OwnerOptions)): RecordDetail
export function query(options?: { all?: boolean }): Overview
export function query(about: Integer | { key?: Integer; uid?: number; all?: boolean } = {}): RecordDetail | Overview {
  const options = typeof about === 'object' && about !== null ? about : { key: about }
  if (options.key === undefined) {
    const answer = queryAll(options.all ? KMHO_QUERY_ALL : 0, 0n, KMHO_UID_SELF)
    return {
      abi: answer.abi,
      features: answer.features,
      opcodes: listOpcodes(answer.features),
      maxRanges: Number(answer.max_ranges),
      records: answer.records.map(toRecordInfo),
    }
  }
  const key = toU64(options.key, 'key')
  const answer = queryAll(KMHO_QUERY_KEY, key, toU32(options.uid ?? KMHO_UID_SELF, 'uid'))
  const record = answer.records[0]
  if (record === undefined) {
    checkResult(-osConstants.errno.ENOENT, KMHO_QUERY, key)
    throw new TypeError('kmho: the kernel answered a query for a key with no record')
  }
  const ranges = answer.ranges.map((range) => ({
    base: range.base,
    length: Number(range.length),
    prot: range.prot,
    kind: KINDS.get(range.kind) ?? `kind-${range.kind}`,
  }))
  ranges.sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0))
  return { ...toRecordInfo(record), ranges }
}

const KINDS: ReadonlyMap<number, string> = new Map([
  [KMHO_KIND_ANON, 'anon'],
  [KMHO_KIND_SHMEM, 'shmem'],
  [KMHO_KIND_HUGETLB, 'hugetlb'],
])

const STATES: ReadonlyMap<number, RecordState> = new Map([
  [KMHO_STATE_LIVE, 'live'],
  [KMHO_STATE_HELD, 'held'],
  [KMHO_STATE_INCOMING, 'incoming'],
])

function toRecordInfo(record: RawRecordInfo): RecordInfo {
  return {
    key: record.key,
    uid: record.uid,
    state: STATES.get(record.state) ?? 'unknown',
    bytes: Number(record.bytes),
    present: Number(record.present),
    metadata: Number(record.metadata),
    nrRanges: Number(record.nr_ranges),
    nrExtents: Number(record.nr_extents),
    migrated: Number(record.migrated),
    changed: Number(record.changed),
    pid: record.pid,
  }
}

function listOpcodes(features: bigint): number[] {
  const opcodes: number[] = []
  for (let opcode = 0; opcode < 64; opcode++) if ((features >> BigInt(opcode)) & 1n) opcodes.push(opcode)
  return opcodes
}

/**
 * Gives a record up: KMHO_DROP. Key and memory are free again; a process that has the memory keeps it.
 *
 * @throws KmhoError: ENOENT (no such key), EPERM (another's uid, without CAP_SYS_ADMIN), EOPNOTSUPP, ENOSYS
 */
export function drop(key: Integer, options: OwnerOptions = {}): void {
  const name = toU64(key, 'key')
  const uid = toU32(options.uid ?? KMHO_UID_SELF, 'uid')
  checkResult(getBinding().manage(KMHO_DROP, 0, name, uid), KMHO_DROP, name)
  getBinding().reclaim()
}

/**
 * Fixes a record's contents at this moment: KMHO_FREEZE. What the process writes from now on goes to copies of its own.
 *
 * @throws KmhoError: ENOENT, EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does not have the operation
 */
export function freeze(key: Integer, options: OwnerOptions = {}): void {
  const name = toU64(key, 'key')
  const uid = toU32(options.uid ?? KMHO_UID_SELF, 'uid')
  checkResult(getBinding().manage(KMHO_FREEZE, 0, name, uid), KMHO_FREEZE, name)
}

/**
 * Moves a record to another owner: KMHO_CHOWN. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @throws KmhoError: ENOENT, EEXIST (that owner uses the key), EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does
 *   not have the operation
 */
export function chown(key: Integer, newUid: number, options: OwnerOptions = {}): void {
  const name = toU64(key, 'key')
  const uid = toU32(options.uid ?? KMHO_UID_SELF, 'uid')
  checkResult(getBinding().chown(0, name, uid, toU32(newUid, 'newUid')), KMHO_CHOWN, name)
}

/**
 * Whether kmho(2) works here, and if not, why. Throws nothing but ERR_KMHO_BINDING, when the addon was not built.
 */
export function probe(): Support {
  if (process.platform !== 'linux')
    return { supported: false, reason: `kmho is a system call of Linux, this is ${process.platform}`, opcodes: [] }
  const answer = getBinding().query(0, 0n, KMHO_UID_SELF, 0, 0)
  if (typeof answer === 'number') {
    try {
      checkResult(answer, KMHO_QUERY)
    } catch (error) {
      const { code, message } = error as KmhoError
      return { supported: false, code, reason: message, opcodes: [] }
    }
    return { supported: false, reason: 'the addon answered a query with nothing', opcodes: [] }
  }
  const opcodes = listOpcodes(answer.features)
  const supported = opcodes.includes(KMHO_HANDOVER) && opcodes.includes(KMHO_TAKEOVER)
  return {
    supported,
    reason: supported ? 'this kernel can hand memory over and take it over' : 'this kernel’s kmho cannot hand memory over',
    opcodes,
    abi: answer.abi,
    maxRanges: Number(answer.max_ranges),
  }
}

/**
 * Whether this kernel can hand memory over and take it over; with an opcode, whether it has that one. Never throws for
 * what the kernel says; probe() tells the reason.
 */
export function isSupported(opcode?: number): boolean {
  const support = probe()
  return opcode === undefined ? support.supported : support.opcodes.includes(opcode)
}
