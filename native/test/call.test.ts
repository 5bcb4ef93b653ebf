// SPDX-License-Identifier: MIT
//
// The raw call on a kernel without it, which is what a developer's machine has: every opcode answers ENOSYS as a
// system error, and what is no argument at all never gets that far.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as kmho from '../lib/index.js'

const ENOSYS = {
  name: 'KmhoError',
  code: 'ENOSYS',
  errno: -38,
  syscall: 'kmho',
  message: /^ENOSYS: this kernel has no kmho system call; boot a kernel that has it [^\n]*, kmho \w+$/,
}

test('on a kernel without the call every opcode answers ENOSYS and says what to do', () => {
  const range = { base: 0x1000, length: 4096 }
  assert.throws(() => kmho.kmho(kmho.KMHO_HANDOVER, { key: 1, ranges: [range] }), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_TAKEOVER, { key: 1n, ranges: [range] }), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_TAKEOVER_KEEP, { key: 1n, ranges: [{ base: 0n, len: 4096n }] }), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_QUERY, {}), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_DROP, { key: 1 }), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_FREEZE, { key: 1 }), ENOSYS)
  assert.throws(() => kmho.kmho(kmho.KMHO_CHOWN, { key: 1, new_uid: 0 }), ENOSYS)
  assert.throws(() => kmho.kmho(99, {}), { ...ENOSYS, opcode: 99 })
  assert.throws(() => kmho.kmho(kmho.KMHO_HANDOVER, null), ENOSYS)
})

test('so does every comfortable function, and the memory stays usable', () => {
  const buffer = kmho.alloc(4096)
  buffer.write('still here')
  assert.throws(() => kmho.handover(1, buffer), ENOSYS)
  assert.throws(() => kmho.takeover(1), ENOSYS)
  assert.throws(() => kmho.takeover(1, [{ base: 0x10000, length: 4096 }]), ENOSYS)
  assert.throws(() => kmho.query(), ENOSYS)
  assert.throws(() => kmho.query(1), ENOSYS)
  assert.throws(() => kmho.drop(1), ENOSYS)
  assert.throws(() => kmho.freeze(1), ENOSYS)
  assert.throws(() => kmho.chown(1, 0), ENOSYS)
  assert.equal(buffer.toString('latin1', 0, 10), 'still here')
  kmho.free(buffer)
})

test('isSupported answers no instead of throwing, and probe tells why', () => {
  assert.equal(kmho.isSupported(), false)
  assert.equal(kmho.isSupported(kmho.KMHO_HANDOVER), false)
  const support = kmho.probe()
  assert.equal(support.supported, false)
  assert.equal(support.code, 'ENOSYS')
  assert.match(support.reason, /boot a kernel that has it/)
  assert.deepEqual(support.opcodes, [])
})

test('a key or address that 64 bits cannot hold is refused before the kernel sees it', () => {
  for (const key of [-1, 1.5, Number.NaN, Infinity, 2 ** 53, -1n, 2n ** 64n])
    assert.throws(() => kmho.kmho(kmho.KMHO_DROP, { key }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
  for (const key of ['1', undefined, null, {}, true] as never[])
    assert.throws(() => kmho.kmho(kmho.KMHO_DROP, { key }), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  for (const key of [0, 0n, Number.MAX_SAFE_INTEGER, 2n ** 64n - 1n])
    assert.throws(() => kmho.kmho(kmho.KMHO_DROP, { key }), ENOSYS)
})

test('an operation of the wrong shape is refused with what was expected and found', () => {
  const call = kmho.kmho as (opcode: unknown, op: unknown) => 0
  assert.throws(() => call('1', {}), { code: 'ERR_INVALID_ARG_TYPE', message: /opcode must be a number; found '1'/ })
  assert.throws(() => call(-1, {}), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => call(1, 7), { code: 'ERR_INVALID_ARG_TYPE', message: /op must be an object or null; found 7/ })
  assert.throws(() => call(1, { key: 1 }), { message: /op\.ranges must be an array; found undefined/ })
  assert.throws(() => call(1, { key: 1, ranges: [{ base: 0 }] }), { message: /op\.ranges\[0\]\.length must be a bigint/ })
  assert.throws(() => call(2, { key: 1, ranges: [{ base: 0 }] }), { message: /op\.ranges\[0\]\.len must be a bigint/ })
  assert.throws(() => call(4, { key: 1, uid: -1 }), { message: /op\.uid must be an integer from 0 to 2\^32 - 1; found -1/ })
  assert.throws(() => call(7, { key: 1 }), { message: /op\.new_uid must be a number; found undefined/ })
})
