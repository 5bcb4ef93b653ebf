// SPDX-License-Identifier: MIT
//
// Handing over and taking over through the public API, against a kernel made of JavaScript: which calls are made, where
// memory comes to lie, and that no error leaves anything behind. The real kernel is met by *.guest.test.ts.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Binding } from '../lib/binding.cjs'
import * as kmho from '../lib/index.js'
import type { fake as Fake } from './fake-kernel.cjs'

const fakePath = fileURLToPath(new URL('./fake-kernel.cjs', import.meta.url))
process.env['KMHO_BINDING'] = fakePath
const loaded = createRequire(import.meta.url)(fakePath) as Binding & { fake: typeof Fake }
const { fake } = loaded
const PAGE = kmho.pageSize()

/** A Buffer of some pages, each byte telling which one it is. */
function fill(pages: number, seed: number): Buffer {
  const buffer = kmho.alloc(pages * PAGE)
  for (let i = 0; i < buffer.length; i++) buffer[i] = (seed + i * 7 + (i >> 12) * 13) & 0xff
  return buffer
}

beforeEach(() => {
  fake.records.clear()
  fake.failNextTakeover = 0
  fake.refuseInto = false
  fake.maxRanges = 65536
  fake.seenAddresses.length = 0
})

describe('handover', () => {
  test('takes a Buffer, several, parts of one, and addresses, and tells the ranges in their order', () => {
    const a = fill(2, 1)
    const b = fill(3, 2)
    const [at, bt] = [kmho.addressOf(a), kmho.addressOf(b)]
    assert.deepEqual(kmho.handover(1, a), [{ base: at, length: 2 * PAGE }])
    kmho.drop(1)
    assert.deepEqual(kmho.handover(2n, [b, a.subarray(PAGE)]), [
      { base: bt, length: 3 * PAGE },
      { base: at + BigInt(PAGE), length: PAGE },
    ])
    kmho.drop(2n)
    assert.deepEqual(kmho.handover(3, { base: bt, length: PAGE }), [{ base: bt, length: PAGE }])
    kmho.drop(3)
    assert.deepEqual(kmho.handover(4, [{ base: bt, length: BigInt(PAGE) }, a.buffer as ArrayBuffer]).length, 2)
    kmho.drop(4)
    kmho.free(a)
    kmho.free(b)
  })

  test('refuses memory of other origin, which shares its pages with the heap', () => {
    const foreign = Buffer.alloc(2 * PAGE)
    assert.throws(() => kmho.handover(1, foreign), {
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: /memory\[0\] must be a Buffer from alloc\(\) or takeover\(\)[^\n]*; found a Buffer of 8192 bytes/,
    })
    assert.throws(() => kmho.handover(1, [kmho.alloc(PAGE), 'text' as unknown as Buffer]), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /memory\[1\] must be a Buffer or \{base, length\}; found 'text'/,
    })
    assert.equal(fake.records.size, 0)
  })

  test('leaves the judgement of ranges to the kernel, as a system error', () => {
    const buffer = fill(2, 3)
    const fails = (memory: kmho.Memory | kmho.Memory[], code: string, message: RegExp) =>
      assert.throws(() => kmho.handover(7, memory), { name: 'KmhoError', code, syscall: 'kmho', message })
    fails(buffer.subarray(1), 'EINVAL', /^EINVAL: a range is not on page boundaries/)
    fails([buffer, buffer.subarray(PAGE)], 'EINVAL', /overlaps/)
    fails([], 'EINVAL', /there is no range/)
    fails({ base: 0x1000, length: PAGE }, 'ENOMEM', /a gap where nothing is mapped/)
    fake.maxRanges = 1
    fails([buffer.subarray(0, PAGE), buffer.subarray(PAGE)], 'E2BIG', /query\(\)\.maxRanges/)
    kmho.handover(7, buffer)
    fails(buffer, 'EEXIST', /^EEXIST: key 0x7 is in use; drop it first[^\n]*, kmho HANDOVER$/)
    kmho.drop(7)
    kmho.free(buffer)
  })

  test('keeps the memory from being freed until the record is dropped', () => {
    const buffer = fill(1, 4)
    kmho.handover(1, buffer)
    assert.throws(() => kmho.free(buffer), { code: 'EPERM', errno: -1, syscall: 'mmap', message: /drop\(\) its record/ })
    assert.equal(buffer.length, PAGE)
    assert.equal(buffer[1], 11)
    kmho.drop(1)
    kmho.free(buffer)
    assert.equal(buffer.length, 0)
  })
})

describe('takeover', () => {
  test('gives what was handed over as one Buffer back as one, by ascending address', () => {
    const buffers = [fill(3, 1), fill(1, 2), fill(5, 3)]
    const ranges = kmho.handover(0xabcd1234, buffers)
    fake.split(0xabcd1234n, ranges[2]!.base + BigInt(2 * PAGE))
    fake.endProcess()
    const taken = kmho.takeover(0xabcd1234)
    const expected = buffers
      .map((buffer, i) => ({ buffer, base: ranges[i]!.base }))
      .sort((a, b) => (a.base < b.base ? -1 : 1))
    assert.deepEqual(taken.map(kmho.originOf), expected.map(({ base }) => base))
    taken.forEach((buffer, i) => assert.ok(buffer.equals(expected[i]!.buffer)))
    assert.equal(fake.records.size, 0)
    for (const buffer of [...buffers, ...taken]) kmho.free(buffer)
  })

  test('gives Buffers that can be handed over again and still come back apart', () => {
    let buffers = [fill(1, 5), fill(1, 6), fill(1, 7)]
    for (let kexec = 0; kexec < 3; kexec++) {
      kmho.handover(1, buffers)
      fake.endProcess()
      buffers = kmho.takeover(1)
      assert.equal(buffers.length, 3)
    }
    assert.deepEqual(buffers.map((buffer) => buffer[0]).sort(), [5, 6, 7])
    buffers.forEach((buffer) => kmho.free(buffer))
  })

  test('of ranges gives one Buffer for each, in their order, of parts as well', () => {
    const buffer = fill(4, 8)
    const [{ base }] = kmho.handover(1, buffer) as [kmho.Range]
    fake.endProcess()
    const taken = kmho.takeover(1, [
      { base: base + BigInt(2 * PAGE), length: 2 * PAGE },
      { base, length: BigInt(PAGE) },
    ])
    assert.ok(taken[0]!.equals(buffer.subarray(2 * PAGE)))
    assert.ok(taken[1]!.equals(buffer.subarray(0, PAGE)))
    assert.equal(kmho.originOf(taken[0]!.subarray(10)), base + BigInt(2 * PAGE + 10))
    ;[buffer, ...taken].forEach((memory) => kmho.free(memory))
  })

  test('into a Buffer replaces its contents where the caller wants them', () => {
    const buffer = fill(2, 9)
    const [{ base }] = kmho.handover(1, buffer) as [kmho.Range]
    fake.endProcess()
    const home = kmho.alloc(4 * PAGE)
    const [part] = kmho.takeover(1, [{ base, length: 2 * PAGE, into: home.subarray(PAGE, 3 * PAGE) }])
    assert.equal(part!.buffer, home.buffer)
    assert.ok(home.subarray(PAGE, 3 * PAGE).equals(buffer))
    assert.equal(home[0], 0)
    kmho.free(home)
    assert.equal(part!.length, 0)
    kmho.free(buffer)
  })

  test('puts memory where huge pages fit as they did before', () => {
    const huge = 2 << 20
    const buffer = kmho.alloc(2 * huge + PAGE, { hugepages: true })
    const [{ base }] = kmho.handover(1, buffer.subarray(PAGE)) as [kmho.Range]
    fake.endProcess()
    const [taken] = kmho.takeover(1)
    assert.equal(kmho.addressOf(taken!) % BigInt(huge), base % BigInt(huge))
    kmho.free(taken!)
    kmho.free(buffer)
  })

  test('asks for as many ranges as there are, however many', () => {
    const buffer = fill(400, 10)
    const pages = Array.from({ length: 200 }, (_, i) => buffer.subarray(2 * i * PAGE, (2 * i + 1) * PAGE))
    kmho.handover(1, pages)
    fake.endProcess()
    assert.equal(kmho.query(1).ranges.length, 200)
    const taken = kmho.takeover(1)
    assert.equal(taken.length, 200)
    taken.forEach((memory, i) => assert.ok(memory.equals(pages[i]!)))
    ;[buffer, ...taken].forEach((memory) => kmho.free(memory))
  })

  test('that fails leaves no memory behind, and the same call made again succeeds', () => {
    const buffer = fill(2, 11)
    const [{ base }] = kmho.handover(1, buffer) as [kmho.Range]
    fake.endProcess()
    const before = loaded.stats().mappings
    const released = () => loaded.stats().mappings
    fake.failNextTakeover = -12
    assert.throws(() => kmho.takeover(1), { code: 'ENOMEM', message: /^ENOMEM: there is not enough memory, kmho TAKEOVER$/ })
    assert.throws(() => kmho.takeover(1, [{ base, length: PAGE }, { base: 0x1000, length: PAGE }]), { code: 'ENOENT' })
    assert.throws(() => kmho.takeover(1, [{ base: base + 1n, length: PAGE }]), { code: 'EINVAL' })
    assert.throws(() => kmho.takeover(1, []), { code: 'EINVAL' })
    assert.throws(() => kmho.takeover(1, [{ base, length: PAGE }, { base, length: 2 ** 53 }] as never), {
      code: 'ERR_OUT_OF_RANGE',
    })
    assert.throws(() => kmho.takeover(1, [{ base, length: PAGE, into: Buffer.alloc(PAGE) }]), {
      code: 'ERR_INVALID_ARG_VALUE',
    })
    assert.throws(() => kmho.takeover(1, { base } as never), { code: 'ERR_INVALID_ARG_TYPE' })
    // Released memory stays registered until its ArrayBuffer is collected, but shows nothing any more.
    assert.ok(released() >= before)
    const [taken] = kmho.takeover(1)
    assert.ok(taken!.equals(buffer))
    ;[buffer, taken!].forEach((memory) => kmho.free(memory))
  })

  test('of unknown keys, of what the owner still has, and to an address in use are refused with their errno', () => {
    assert.throws(() => kmho.takeover(5), { code: 'ENOENT', errno: -2, message: /no record of yours has key 0x5/ })
    assert.throws(() => kmho.takeover(5, [{ base: 0x1000, length: PAGE }]), { code: 'ENOENT', syscall: 'kmho' })
    const buffer = fill(1, 12)
    const [{ base }] = kmho.handover(1, buffer) as [kmho.Range]
    assert.throws(() => kmho.takeover(1), { code: 'EBUSY', message: /must end, or drop the record, first/ })
    fake.endProcess()
    const other = kmho.alloc(PAGE)
    other.write('untouched')
    assert.throws(() => kmho.takeover(1, [{ base, length: PAGE, remapAddr: kmho.addressOf(other) }]), {
      code: 'EEXIST',
      errno: -17,
      message: /mapped already/,
    })
    assert.equal(other.toString('latin1', 0, 9), 'untouched')
    ;[buffer, other].forEach((memory) => kmho.free(memory))
  })

  test('lets the kernel find a place when the memory cannot come into ours', () => {
    const buffer = fill(1, 13)
    kmho.handover(1, buffer)
    fake.endProcess()
    fake.refuseInto = true
    assert.throws(() => kmho.takeover(1), { code: 'EEXIST' })
    assert.equal(fake.seenAddresses.length, 2)
    assert.notEqual(fake.seenAddresses[0]![0], 0n)
    assert.equal(fake.seenAddresses[1]![0], 0n)
    kmho.free(buffer)
  })

  test('that keeps leaves the record standing', () => {
    const buffer = fill(1, 14)
    kmho.handover(1, buffer)
    fake.endProcess()
    const [first] = kmho.takeover(1, undefined, { keep: true })
    const [second] = kmho.takeover(1, undefined, { keep: true })
    assert.ok(first!.equals(second!))
    kmho.drop(1)
    ;[buffer, first!, second!].forEach((memory) => kmho.free(memory))
  })
})

describe('query', () => {
  test('of nothing tells what the kernel can do and which records there are', () => {
    const buffers = [fill(1, 1), fill(2, 2)]
    kmho.handover(1, buffers[0]!)
    kmho.handover(2n ** 64n - 1n, buffers[1]!)
    assert.deepEqual(kmho.query(), {
      abi: 1,
      features: 0b1_1110n,
      opcodes: [1, 2, 3, 4],
      maxRanges: 65536,
      records: [1n, 2n ** 64n - 1n].map((key, i) => ({
        key,
        uid: 0,
        state: 'live',
        bytes: (i + 1) * PAGE,
        present: (i + 1) * PAGE,
        metadata: 0,
        nrRanges: 1,
        nrExtents: 1,
        migrated: 0,
        changed: 0,
        pid: process.pid,
      })),
    })
    fake.endProcess()
    assert.equal(kmho.query({ all: true }).records[0]!.state, 'held')
    fake.records.clear()
    buffers.forEach((buffer) => kmho.free(buffer))
  })

  test('shows all records, however many', () => {
    for (let key = 0n; key < 300n; key++) fake.records.set(key, { pieces: [], live: false })
    assert.equal(kmho.query().records.length, 300)
  })

  test('of a key tells its pieces too', () => {
    const buffer = fill(3, 3)
    const [{ base }] = kmho.handover(0, buffer) as [kmho.Range]
    fake.split(0n, base + BigInt(PAGE))
    const detail = kmho.query(0)
    assert.equal(detail.key, 0n)
    assert.deepEqual(detail.ranges, [
      { base, length: PAGE, prot: 3, kind: 'anon' },
      { base: base + BigInt(PAGE), length: 2 * PAGE, prot: 1, kind: 'anon' },
    ])
    assert.deepEqual(kmho.query({ key: 0n, uid: 0 }), detail)
    assert.throws(() => kmho.query({ key: 0n, uid: 5 }), { code: 'EPERM' })
    assert.throws(() => kmho.query(1), { code: 'ENOENT' })
    kmho.drop(0)
    kmho.free(buffer)
  })
})

describe('the other operations', () => {
  test('drop gives key and memory free, and then unmaps what had to wait for it', () => {
    const buffer = fill(1, 1)
    kmho.handover(1, buffer)
    const { reclaims } = fake
    kmho.drop(1)
    assert.equal(fake.reclaims, reclaims + 1)
    assert.throws(() => kmho.drop(1), { code: 'ENOENT', message: /no record of yours has key 0x1, kmho DROP$/ })
    kmho.free(buffer)
  })

  test('what this kernel does not have yet answers EINVAL, and isSupported says so beforehand', () => {
    assert.throws(() => kmho.freeze(1), { code: 'EINVAL', message: /does not know the operation/ })
    assert.throws(() => kmho.chown(1, 1000), { code: 'EINVAL' })
    assert.throws(() => kmho.chown(1, -1), { code: 'ERR_OUT_OF_RANGE' })
    assert.equal(kmho.isSupported(), true)
    assert.equal(kmho.isSupported(kmho.KMHO_HANDOVER), true)
    assert.equal(kmho.isSupported(kmho.KMHO_FREEZE), false)
    assert.deepEqual(kmho.probe().opcodes, [1, 2, 3, 4])
  })

  test('the raw call writes back what the kernel does', () => {
    const buffer = fill(1, 1)
    const base = kmho.addressOf(buffer)
    assert.equal(kmho.kmho(kmho.KMHO_HANDOVER, { key: 9, ranges: [{ base, length: PAGE }] }), 0)
    const query: kmho.QueryOp = { flags: 1, key: 9, nr_records: 1, nr_ranges: 1 }
    kmho.kmho(kmho.KMHO_QUERY, query)
    assert.equal(query.nr_ranges, 1n)
    fake.endProcess()
    const home = kmho.alloc(PAGE)
    const range = { base, len: PAGE, remap_addr: kmho.addressOf(home) }
    kmho.kmho(kmho.KMHO_TAKEOVER, { key: 9, ranges: [range] })
    assert.equal(range.remap_addr, kmho.addressOf(home))
    assert.ok(home.equals(buffer))
    ;[buffer, home].forEach((memory) => kmho.free(memory))
  })
})
