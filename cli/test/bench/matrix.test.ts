// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchArgs, choosePoints, FULL, memoryOf, QUICK, systemsOf } from '../../src/bench/matrix.js'
import { UsageError } from '../../src/errors.js'

const named = (name: string): (typeof QUICK)[number] => choosePoints({ only: name })[0]!

test('names of points are unique, and --full is more than the default', () => {
  const names = choosePoints({ full: true }).map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
  assert.equal(names.length, QUICK.length + FULL.length)
  assert.equal(choosePoints({}).length, QUICK.length)
})

test('--only names points in its own order, --size gives one more', () => {
  assert.deepEqual(choosePoints({ only: 'thp,64M' }).map(({ name }) => name), ['thp', '64M'])
  assert.deepEqual(choosePoints({ size: 96 << 20 }).map(({ name, bytes }) => [name, bytes]), [['size-96M', 96 << 20]])
  assert.deepEqual(choosePoints({ only: '64M', size: 1 << 20 }).map(({ name }) => name), ['64M', 'size-1M'])
  assert.throws(() => choosePoints({ only: '64M,65M' }), (error) => error instanceof UsageError && /found 65M$/.test(error.message))
})

test('LUO is not asked for ranges, which it does not have', () => {
  assert.deepEqual(systemsOf(named('64M')).map(({ name }) => name), ['stock-luo', 'kmho-luo', 'kmho'])
  assert.deepEqual(systemsOf(named('ranges-1000')).map(({ name }) => name), ['kmho'])
})

test('both sides of the kexec are told the same of the memory', () => {
  const [before, after] = (['before', 'after'] as const).map((side) => benchArgs(side, 'luo', named('alternate'), 3))
  assert.deepEqual(before?.slice(1), after?.slice(1))
  assert.deepEqual(before, ['before', '--peer', 'luo', '--bytes', String(64 << 20), '--page', '4096', '--layout', 'alternate', '--touch', '1', '--keys', '1', '--ranges', '1', '--repeat', '3'])
  assert.deepEqual(benchArgs('after', 'none', undefined, 3), ['after', '--peer', 'none'])
})

test('a guest has room for what lies between fragments, and for the holes that LUO fills', () => {
  assert.ok(memoryOf(named('alternate'), 700) >= 700 + 2 * 64)
  assert.ok(memoryOf(named('holes'), 700) >= 700 + 256)
  assert.equal(memoryOf(named('64M'), 700) % 64, 0)
})
