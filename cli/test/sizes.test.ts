// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSize } from '../src/sizes.js'
import { bytes, seconds } from '../src/ui/ui.js'

test('sizes as people write them', () => {
  assert.equal(parseSize('256M', '--size'), 256 << 20)
  assert.equal(parseSize('4GiB', '--size'), 4 * 2 ** 30)
  assert.equal(parseSize('1.5k', '--size'), 1536)
  assert.equal(parseSize('0', '--size'), 0)
  assert.throws(() => parseSize('5', '--size', 2 ** 20), /expected --size to be at least 1M, found 5/)
  for (const text of ['', '-1', '1.0001', '12Q', '1e9']) assert.throws(() => parseSize(text, '--size'), /expected --size to be a size/)
})

test('sizes and times for people', () => {
  assert.equal(bytes(1536), '1.5 KiB')
  assert.equal(bytes(256 << 20), '256 MiB')
  assert.equal(seconds(3.21), '3.2 ms')
  assert.equal(seconds(61_000), '1 min 1 s')
})
