// SPDX-License-Identifier: MIT
//
// A kernel for tests, in place of the system call and over the real addon's memory. It keeps records as copies of bytes
// and judges as CONTRACT sections 2, 3 and 5 do. Loaded by KMHO_BINDING; the object under `fake` steers it.

import { constants } from 'node:os'
import { type Binding, listCandidates, loadBinding, type RawRangeInfo } from '../lib/binding.cjs'

const { errno: E } = constants
const real = loadBinding(listCandidates(undefined, undefined, undefined, {}))
const PAGE = BigInt(real.pageSize)

interface Piece {
  base: bigint
  bytes: Uint8Array
  prot: number
}

interface FakeRecord {
  pieces: Piece[]
  live: boolean
}

export const fake = {
  records: new Map<bigint, FakeRecord>(),
  /** Most ranges in one call. */
  maxRanges: 65536,
  /** What the next takeover answers, without doing anything. */
  failNextTakeover: 0,
  /** Whether pages may come into a mapping of the caller's. */
  refuseInto: false,
  features: 0b1_1110n,
  /** remap_addr of each range of each takeover, as it came. */
  seenAddresses: [] as bigint[][],
  reclaims: 0,
  /** The process that handed over has ended, as far as the records are concerned. */
  endProcess(): void {
    for (const record of fake.records.values()) record.live = false
  },
  /** Splits a piece where `at` is, as the kernel does where the protection changes. */
  split(key: bigint, at: bigint): void {
    const record = fake.records.get(key)!
    record.pieces = record.pieces.flatMap((piece) => {
      const offset = Number(at - piece.base)
      if (offset <= 0 || offset >= piece.bytes.length) return [piece]
      return [
        { ...piece, bytes: piece.bytes.subarray(0, offset) },
        { base: at, bytes: piece.bytes.subarray(offset), prot: 1 },
      ]
    })
  },
}

const memories = new Map<bigint, WeakRef<ArrayBuffer>>()

function bytesAt(address: bigint, length: number): Uint8Array | undefined {
  const mapping = real.find(address)
  const memory = mapping && memories.get(mapping.base)?.deref()
  if (mapping === undefined || memory === undefined || memory.byteLength === 0) return undefined
  const offset = Number(address - mapping.base)
  return offset + length <= memory.byteLength ? new Uint8Array(memory, offset, length) : undefined
}

/** Rows of `columns` numbers, or the errno that their first two (base, length) earn. */
function checkRows(rows: BigUint64Array, columns: number): bigint[][] | number {
  const list: bigint[][] = []
  for (let i = 0; i < rows.length; i += columns) list.push([...rows.subarray(i, i + columns)])
  if (list.length > fake.maxRanges) return -E.E2BIG
  if (list.length === 0) return -E.EINVAL
  if (list.some(([base, length]) => base! % PAGE !== 0n || length === 0n || length! % PAGE !== 0n)) return -E.EINVAL
  const sorted = [...list].sort((a, b) => (a[0]! < b[0]! ? -1 : 1))
  if (sorted.some((row, i) => i > 0 && sorted[i - 1]![0]! + sorted[i - 1]![1]! > row[0]!)) return -E.EINVAL
  return list
}

function isHeld(base: bigint, length: number): boolean {
  const end = base + BigInt(length)
  return [...fake.records.values()].some(
    (record) => record.live && record.pieces.some((p) => p.base < end && base < p.base + BigInt(p.bytes.length)),
  )
}

const binding: Binding = {
  ...real,
  map(length, align, offset) {
    const memory = real.map(length, align, offset)
    if (memory instanceof ArrayBuffer) memories.set(real.addressOf(memory), new WeakRef(memory))
    return memory
  },
  release(buffer) {
    return isHeld(real.addressOf(buffer), buffer.byteLength) ? -E.EPERM : real.release(buffer)
  },
  reclaim() {
    fake.reclaims++
    return real.reclaim()
  },
  handover(key, rows) {
    const list = checkRows(rows, 2)
    if (typeof list === 'number') return list
    if (fake.records.has(key)) return -E.EEXIST
    const pieces: Piece[] = []
    for (const [base, length] of list) {
      const bytes = bytesAt(base!, Number(length))
      if (bytes === undefined) return -E.ENOMEM
      pieces.push({ base: base!, bytes: bytes.slice(), prot: 3 })
    }
    fake.records.set(key, { pieces, live: true })
    return 0
  },
  takeover(keep, key, rows) {
    const list = checkRows(rows, 3)
    if (typeof list === 'number') return list
    fake.seenAddresses.push(list.map((row) => row[2]!))
    if (fake.failNextTakeover !== 0) {
      const error = fake.failNextTakeover
      fake.failNextTakeover = 0
      return error
    }
    const record = fake.records.get(key)
    if (record === undefined) return -E.ENOENT
    if (record.live) return -E.EBUSY
    const at = (address: bigint) =>
      record.pieces.find((p) => p.base <= address && address < p.base + BigInt(p.bytes.length))
    const copies: [Uint8Array, Uint8Array][] = []
    for (const [base, length, address] of list) {
      const target = bytesAt(address!, Number(length))
      if (target === undefined || fake.refuseInto) return -E.EEXIST
      for (let offset = 0n; offset < length!; offset += PAGE) {
        const piece = at(base! + offset)
        if (piece === undefined) return -E.ENOENT
        const from = Number(base! + offset - piece.base)
        copies.push([
          target.subarray(Number(offset), Number(offset + PAGE)),
          piece.bytes.subarray(from, from + Number(PAGE)),
        ])
      }
    }
    for (const [target, bytes] of copies) target.set(bytes)
    if (!keep) fake.records.delete(key)
    return 0
  },
  manage(opcode, flags, key) {
    if (opcode !== 4 || flags !== 0) return -E.EINVAL
    return fake.records.delete(key) ? 0 : -E.ENOENT
  },
  chown() {
    return -E.EINVAL
  },
  query(flags, key, uid, roomForRecords, roomForRanges) {
    if (uid !== 0xffffffff && uid !== 0) return -E.EPERM
    const keys = [...fake.records.keys()].filter((name) => (flags & 1) === 0 || name === key)
    if ((flags & 1) !== 0 && keys.length === 0) return -E.ENOENT
    const ranges: RawRangeInfo[] =
      (flags & 1) === 0
        ? []
        : fake.records
            .get(key)!
            .pieces.map(({ base, bytes, prot }) => ({ base, length: BigInt(bytes.length), prot, kind: 1 }))
            .sort((a, b) => (a.base < b.base ? -1 : 1))
    return {
      abi: 1,
      features: fake.features,
      max_ranges: BigInt(fake.maxRanges),
      nr_records: BigInt(keys.length),
      nr_ranges: BigInt(ranges.length),
      records: keys.slice(0, roomForRecords).map((name) => {
        const { pieces, live } = fake.records.get(name)!
        const bytes = BigInt(pieces.reduce((sum, piece) => sum + piece.bytes.length, 0))
        return {
          key: name,
          uid: 0,
          state: live ? 1 : 2,
          bytes,
          present: bytes,
          metadata: 0n,
          nr_ranges: BigInt(pieces.length),
          nr_extents: BigInt(pieces.length),
          migrated: 0n,
          changed: 0n,
          pid: live ? process.pid : 0,
        }
      }),
      ranges: ranges.slice(0, roomForRanges),
    }
  },
}

// What require() of this file gives is a Binding, as the .node file is.
Object.assign(exports, binding)
