// SPDX-License-Identifier: MIT
//
// Buffers that outlive the kernel, in two stages of one virtual machine, with a kexec into another kernel in between:
//
//     node survival.guest.test.js before      (or KMHO_STAGE=1)
//     node survival.guest.test.js after       (or KMHO_STAGE=2)
//     node survival.guest.test.js control     after a kexec with kho=off: nothing may be found
//
// The second stage gets nothing from the first one but the memory.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { test } from 'node:test'
import * as kmho from '../lib/index.js'
import { fillPattern, patternSha256, sha256 } from './pattern.js'

const stage = process.argv[2] ?? process.env['KMHO_STAGE']
const KEY = 0xabcd1234
const LAST_KEY = 2n ** 64n - 1n
const MIB = 1 << 20
const PAGE = kmho.pageSize()
const bootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()

const PLAIN_LENGTH = 12 * MIB
const HUGE_LENGTH = 4 * MIB

/** Where the sparse Buffer is written to: its first and last page, and some between. */
const SPARSE_LENGTH = 1024 * MIB
const sparseAt = Array.from({ length: 9 }, (_, i) => Math.floor((i * (SPARSE_LENGTH - PAGE)) / 8 / PAGE) * PAGE)

function before(): void {
  test('what a process filled is handed over and stays readable and writable', () => {
    const header = kmho.alloc(PAGE)
    const plain = kmho.alloc(PLAIN_LENGTH)
    const huge = kmho.alloc(HUGE_LENGTH, { hugepages: true })
    const sparse = kmho.alloc(SPARSE_LENGTH)
    fillPattern(plain, 1)
    fillPattern(huge, 2)
    for (const at of sparseAt) sparse.writeBigUInt64LE(BigInt(at) + 1n, at)
    const [, plainRange, hugeRange, sparseRange] = kmho.handover(KEY, [header, plain, huge, sparse])
    const ranges = { plain: plainRange, huge: hugeRange, sparse: sparseRange }
    header.write(
      JSON.stringify({ release: release(), bootId: bootId(), ranges }, (_, value: unknown) =>
        typeof value === 'bigint' ? value.toString() : value,
      ),
    )
    // Written after the handover, into a hole and over what was there.
    sparse.writeUInt32LE(0xcafe, sparseAt[3]! + 16)
    fillPattern(plain, 3)

    const record = kmho.query(KEY)
    const dense = PAGE + PLAIN_LENGTH + HUGE_LENGTH
    assert.equal(record.state, 'live')
    assert.equal(record.bytes, SPARSE_LENGTH + dense)
    assert.ok(record.present >= dense && record.present < dense + 32 * MIB, `holes stay holes: ${record.present}`)
    assert.equal(sha256(plain), patternSha256(plain.length, 3))
  })

  test('a second record, under the largest key, is one of its own', () => {
    const buffer = kmho.alloc(2 * PAGE)
    buffer.write('the last key', PAGE)
    kmho.handover(LAST_KEY, buffer.subarray(PAGE))
    assert.equal(kmho.query().records.length, 2)
  })
}

function after(): void {
  test('both records came with the kexec', () => {
    const { records } = kmho.query()
    assert.deepEqual(records.map(({ key, state, pid }) => ({ key, state, pid })).sort((a, b) => (a.key < b.key ? -1 : 1)), [
      { key: BigInt(KEY), state: 'incoming', pid: 0 },
      { key: LAST_KEY, state: 'incoming', pid: 0 },
    ])
  })

  test('under a different kernel every byte is there, each Buffer as one, holes as holes', () => {
    const taken = kmho.takeover(KEY)
    assert.equal(taken.length, 4)
    const header = taken.find((buffer) => buffer.length === PAGE)!
    const told = JSON.parse(header.toString('utf8', 0, header.indexOf(0))) as {
      release: string
      bootId: string
      ranges: Record<'plain' | 'huge' | 'sparse', { base: string; length: number }>
    }
    assert.notEqual(told.release, release())
    assert.notEqual(told.bootId, bootId())
    const find = (name: 'plain' | 'huge' | 'sparse') => {
      const { base, length } = told.ranges[name]
      const buffer = taken.find((candidate) => kmho.originOf(candidate) === BigInt(base))!
      assert.equal(buffer.length, length)
      return buffer
    }
    assert.equal(sha256(find('plain')), patternSha256(PLAIN_LENGTH, 3))
    assert.equal(sha256(find('huge')), patternSha256(HUGE_LENGTH, 2))
    const sparse = find('sparse')
    for (const at of sparseAt) assert.equal(sparse.readBigUInt64LE(at), BigInt(at) + 1n)
    assert.equal(sparse.readUInt32LE(sparseAt[3]! + 16), 0xcafe)
    assert.ok(sparse.subarray(sparseAt[1]! + PAGE, sparseAt[1]! + 64 * PAGE).every((byte) => byte === 0))

    assert.throws(() => kmho.takeover(KEY), { code: 'ENOENT' })
    for (const buffer of taken) {
      buffer.fill(0x5a, 0, PAGE)
      kmho.free(buffer)
    }
  })

  test('a part of a Buffer that was handed over comes back as that part', () => {
    const [buffer] = kmho.takeover(LAST_KEY)
    assert.equal(buffer!.length, PAGE)
    assert.equal(buffer!.toString('latin1', 0, 12), 'the last key')
    assert.deepEqual(kmho.query().records, [])
  })
}

function control(): void {
  test('with kho=off nothing is found', () => {
    assert.equal(kmho.isSupported(), false)
    assert.equal(kmho.probe().code, 'EOPNOTSUPP')
    assert.throws(() => kmho.takeover(KEY), { code: 'EOPNOTSUPP', message: /boot with kho=on/ })
  })
}

const stages: Readonly<Record<string, () => void>> = { before, '1': before, after, '2': after, control }
const run = stages[stage ?? '']
if (run === undefined) {
  console.error(`survival.guest.test.js: expected a stage (before, after or control), found ${stage ?? 'none'}`)
  process.exitCode = 2
} else {
  run()
}
