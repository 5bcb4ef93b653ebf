// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildIndex, KvStore, parseRecords } from '../../src/guest/kv-store.js'

function open(data: Buffer): KvStore {
  const records = parseRecords(data)
  const index = Buffer.alloc(records.indexBytes)
  buildIndex(index, records)
  return new KvStore(data, index)
}

test("a package index answers by the package's name", () => {
  const store = open(Buffer.from('Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\nDepends: a\n\nPackage: a\nVersion: 3\n'))
  assert.equal(store.format, 'stanza')
  assert.equal(store.records, 2)
  assert.equal(store.get('b')?.toString(), 'Package: b\nVersion: 2\nDepends: a\n')
  assert.equal(store.get('a')?.toString(), 'Package: a\nVersion: 3\n')
  assert.equal(store.get('c'), undefined)
})

test('text answers by the line, anything else by the block', () => {
  const text = open(Buffer.from('one\n\nthree'))
  assert.equal(text.format, 'line')
  assert.equal(text.get('line 3')?.toString(), 'three')
  assert.equal(text.get('line 2')?.length, 0)
  assert.equal(text.get('line 4'), undefined)
  const bytes = Buffer.alloc(10_000, 7)
  bytes[100] = 0
  const blocks = open(bytes)
  assert.equal(blocks.format, 'block')
  assert.equal(blocks.records, 3)
  assert.equal(blocks.get('block 2')?.length, 10_000 - 8192)
})

test('an empty file is a store without records', () => {
  const store = open(Buffer.alloc(0))
  assert.equal(store.records, 0)
  assert.equal(store.get('line 1'), undefined)
  assert.deepEqual(store.sampleKeys(10), [])
})

test('many keys, every one found, and a sample spread over them', () => {
  const data = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `value ${i * 7}`).join('\n'))
  const store = open(data)
  for (let i = 1; i <= 20_000; i++) assert.equal(store.get(`line ${i}`)?.toString(), `value ${(i - 1) * 7}`)
  const keys = store.sampleKeys(100)
  assert.ok(keys.length > 30 && keys.length <= 100)
  assert.equal(new Set(keys).size, keys.length)
})

test('memory that holds no index is refused', () => {
  assert.throws(() => new KvStore(Buffer.alloc(0), Buffer.alloc(4096)), /no index of a store/)
  assert.throws(() => new KvStore(Buffer.alloc(0), Buffer.alloc(0)), /no index of a store/)
})
