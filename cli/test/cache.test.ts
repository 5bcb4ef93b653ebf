// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashDir, makeWhole, needSpace, removeLeftovers, withLock } from '../src/cache.js'
import { tempDir, writeTree } from './support.js'

const signal = new AbortController().signal

test('what could not be made whole is not there at all', async (t) => {
  const dir = await tempDir(t)
  await assert.rejects(makeWhole(join(dir, 'a/thing'), async (partial) => {
    await writeFile(partial, 'half')
    throw new Error('cut short')
  }), /cut short/)
  assert.deepEqual(await readdir(join(dir, 'a')), [])
  await makeWhole(join(dir, 'a/thing'), (partial) => writeFile(partial, 'whole'))
  assert.equal(await readFile(join(dir, 'a/thing'), 'utf8'), 'whole')
})

test('what a killed run left is removed, what a living one makes is not', async (t) => {
  const dir = await writeTree(await tempDir(t), { '.partial-dead-99999999': '', [`.partial-mine-${process.pid}`]: '', 'patch-99999999-ab12cd/x': '', whole: '' })
  await removeLeftovers(dir)
  assert.deepEqual((await readdir(dir)).sort(), [`.partial-mine-${process.pid}`, 'whole'])
})

test('a lock is held by one at a time, and one of a dead process is taken over', async (t) => {
  const dir = await tempDir(t)
  const path = join(dir, 'x.lock')
  await writeFile(path, '99999999')
  const order: string[] = []
  await withLock(path, signal, async () => void order.push('first'))
  await withLock(path, signal, async () => void order.push('second'))
  assert.deepEqual(order, ['first', 'second'])
  assert.deepEqual(await readdir(dir), [])
})

test('a hash of a folder depends on names and contents', async (t) => {
  const dir = await writeTree(await tempDir(t), { a: 'bc' })
  const first = await hashDir(dir)
  await writeTree(dir, { a: 'bd' })
  assert.notEqual(await hashDir(dir), first)
  await writeTree(dir, { a: 'bc', 'sub/b': '' })
  assert.notEqual(await hashDir(dir), first)
  assert.equal(await hashDir(join(dir, 'nowhere')), await hashDir(join(dir, 'nowhere else')))
})

test('too small a disk is one line that says how much is wanted', async (t) => {
  await assert.rejects(needSpace(await tempDir(t), 2 ** 60, 'for a test'), /expected .* GiB free in .* for a test, found .* GiB; free some, or set KMHO_CACHE/)
})
