// SPDX-License-Identifier: MIT
//
// The bytes that the addon hands to the kernel, against the layout of <linux/kmho.h> on a 64-bit machine written out by
// hand: what a changed field, order or size would break.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { getBinding } from '../lib/binding.cjs'
import * as kmho from '../lib/index.js'

const KEY = 0x1122_3344_5566_7788n
const MAX = 0xffff_ffff_ffff_ffffn
const binding = getBinding()

/** Bytes of little-endian fields: [width in bytes, value]. */
function bytes(...fields: [4 | 8, bigint][]): Buffer {
  return Buffer.concat(
    fields.map(([width, value]) => {
      const field = Buffer.alloc(width)
      if (width === 8) field.writeBigUInt64LE(value)
      else field.writeUInt32LE(Number(value))
      return field
    }),
  )
}

test('HANDOVER passes key, number of ranges, and base and length of each', () => {
  const call = binding.encode('handover', KEY, new BigUint64Array([0x1000n, 0x2000n, MAX, 0n]))
  assert.equal(call.opcode, 1)
  assert.deepEqual(call.op, bytes([8, KEY], [8, 2n], [8, 0n]))
  assert.deepEqual(call.ranges, bytes([8, 0x1000n], [8, 0x2000n], [8, MAX], [8, 0n]))
})

test('TAKEOVER passes base, length and remap_addr of each range', () => {
  const call = binding.encode('takeover', false, KEY, new BigUint64Array([0x1000n, 0x2000n, 0x3000n]))
  assert.equal(call.opcode, 2)
  assert.deepEqual(call.op, bytes([8, KEY], [8, 1n], [8, 0n]))
  assert.deepEqual(call.ranges, bytes([8, 0x1000n], [8, 0x2000n], [8, 0x3000n]))
})

test('a takeover that keeps is the same under another opcode', () => {
  const call = binding.encode('takeover', true, 0n, new BigUint64Array(0))
  assert.equal(call.opcode, 6)
  assert.deepEqual(call.op, bytes([8, 0n], [8, 0n], [8, 0n]))
  assert.equal(call.ranges?.length, 0)
})

test('DROP and FREEZE pass size, flags, key, uid and a zeroed reserve', () => {
  for (const opcode of [4, 5]) {
    const call = binding.encode('manage', opcode, 3, KEY, 0xffff_ffff)
    assert.equal(call.opcode, opcode)
    assert.deepEqual(call.op, bytes([4, 24n], [4, 3n], [8, KEY], [4, 0xffff_ffffn], [4, 0n]))
  }
})

test('CHOWN passes size, flags, key, uid and the new uid', () => {
  const call = binding.encode('chown', 0, KEY, 1000, 1001)
  assert.equal(call.opcode, 7)
  assert.deepEqual(call.op, bytes([4, 24n], [4, 0n], [8, KEY], [4, 1000n], [4, 1001n]))
})

test('QUERY passes its size, what is asked for and the room there is', () => {
  const call = binding.encode('query', 1, KEY, 1000, 5, 7)
  assert.equal(call.opcode, 3)
  assert.deepEqual(
    call.op,
    bytes([4, 72n], [4, 1n], [8, KEY], [4, 1000n], [4, 0n], [8, 0n], [8, 0n], [8, 5n], [8, 0n], [8, 7n], [8, 0n]),
  )
})

test('an opcode that the addon does not know gets zeroes, a null op a null pointer', () => {
  assert.deepEqual(binding.encode('bare', 99, false), { opcode: 99, op: Buffer.alloc(4096) })
  assert.deepEqual(binding.encode('bare', 99, true), { opcode: 99 })
})

test('the addon refuses arguments of wrong types instead of guessing', () => {
  const call = binding as unknown as Record<string, (...args: unknown[]) => unknown>
  assert.throws(() => call['handover']!(1, new BigUint64Array(2)), TypeError)
  assert.throws(() => call['handover']!(1n, new Uint8Array(16)), TypeError)
  assert.throws(() => call['handover']!(1n, new BigUint64Array(3)), TypeError)
  assert.throws(() => call['handover']!(-1n, new BigUint64Array(2)), TypeError)
  assert.throws(() => call['takeover']!(false, 1n, new BigUint64Array(2)), TypeError)
  assert.throws(() => call['manage']!(4, 0, 1n, -1), TypeError)
  assert.throws(() => call['manage']!(4, 0.5, 1n, 0), TypeError)
  assert.throws(() => call['chown']!(0, 1n, 0), TypeError)
  assert.throws(() => call['query']!(), TypeError)
  assert.throws(() => call['map']!(4095, 4096, 0), TypeError)
  assert.throws(() => call['map']!(4096, 3000, 0), TypeError)
  assert.throws(() => call['release']!({}), TypeError)
  assert.throws(() => call['addressOf']!('text'), TypeError)
})

test('every constant of <linux/kmho.h> is in the API', () => {
  const header = readFileSync(new URL('../../../kernel/overlay/include/uapi/linux/kmho.h', import.meta.url), 'utf8')
  // Not macros with arguments.
  const names = [...header.matchAll(/^#define (KMHO_\w+)\s/gm)].map((match) => match[1])
  assert.ok(names.length > 10)
  assert.deepEqual(names.sort(), Object.keys(binding.constants).sort())
})

test('every constant of the API is what the addon was compiled with', () => {
  const api = kmho as unknown as Record<string, unknown>
  const exported = Object.fromEntries(Object.entries(api).filter(([name]) => name.startsWith('KMHO_')))
  assert.deepEqual(exported, { ...binding.constants })
})
