// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillPattern } from '../../src/guest/pattern.js'
import { readDirectory, writeDirectory, type RangeLayout } from '../../src/guest/layout.js'

test('no two pages are the same, and a part is what the whole has there', () => {
  const whole = Buffer.alloc(3 << 20)
  fillPattern(whole, 42, 0)
  const pages = new Set<string>()
  for (let at = 0; at < whole.length; at += 4096) pages.add(whole.toString('latin1', at, at + 4096))
  assert.equal(pages.size, whole.length / 4096)
  const part = Buffer.alloc(1 << 20)
  fillPattern(part, 42, 512)
  assert.ok(part.equals(whole.subarray(2 << 20)))
  fillPattern(part, 43, 512)
  assert.ok(!part.equals(whole.subarray(2 << 20)))
})

test('the directory says what the other ranges are', () => {
  const ranges: RangeLayout[] = [{ role: 'data', base: '7f00', length: 8192, used: 5000 }]
  const page = Buffer.alloc(4096)
  assert.equal(readDirectory(page), undefined)
  writeDirectory(page, ranges)
  assert.deepEqual(readDirectory(page), ranges)
  assert.throws(() => writeDirectory(Buffer.alloc(32), ranges), /does not fit/)
})
