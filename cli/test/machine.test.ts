// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guestMemory } from '../src/machine.js'

const globalArea = (flavor: string, memoryMiB: number): number | undefined => {
  const areas = guestMemory(flavor, memoryMiB).khoScratch?.split(',')
  return areas && Number.parseInt(areas[1] ?? '', 10)
}

test('guests of an ordinary size have the areas that all have', () => {
  assert.deepEqual(guestMemory('default', 1536), { memoryMiB: 1536 })
  assert.equal(guestMemory('stock', 4096).khoScratch, undefined)
})

test('the areas of a large guest hold the struct pages of its next kernel', () => {
  const area = globalArea('default', 18 * 1024)
  assert.ok(area !== undefined && area > (18 * 1024) / 64)
})

test("a guest of the debug flavor has more memory, and room for KASAN's shadow of all of it", () => {
  const { memoryMiB } = guestMemory('debug', 1536)
  const area = globalArea('debug', 1536)
  assert.ok(memoryMiB > 1536)
  assert.ok(area !== undefined && area > memoryMiB / 8 + memoryMiB / 64)
})
