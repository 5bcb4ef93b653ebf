// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, ELSEWHERE, parseSymbols, parseWindow, profileByFunction, profileRows } from '../../src/bench/profile.js'
import { MachineryError, UsageError } from '../../src/errors.js'

const MAP = 'ffff000000001100 T kmho_takeover\nffff000000001000 t kmho_table_seek\nffff000000001180 D some_data\n0000000000000000 A nothing\n'
const symbols = parseSymbols(MAP)

test('functions of System.map, by address, and no data', () => {
  assert.deepEqual(symbols.map(({ name }) => name), ['kmho_table_seek', 'kmho_takeover'])
  assert.equal(addressOf(symbols, 'kmho_takeover'), '0xffff000000001100')
})

test('blocks are added up by function; calls are runs of its first block', () => {
  const blocks = 'ffff000000001000 5 10\nffff000000001014 2 7\nffff000000001100 3 1\n400000 9 100\n'
  assert.deepEqual(profileByFunction(blocks, symbols), [
    { name: ELSEWHERE, instructions: 900, calls: 0 },
    { name: 'kmho_table_seek', instructions: 64, calls: 10 },
    { name: 'kmho_takeover', instructions: 3, calls: 1 },
  ])
})

test('what is not shown is in the sum', () => {
  const profiles = [1, 2, 3].map((n) => ({ name: `f${n}`, instructions: 40 - 10 * n, calls: n }))
  assert.deepEqual(profileRows(profiles, 1), [
    ['function', 'instructions', 'calls', 'share'],
    ['f1', '30', '1', '50.0 %'],
    ['2 more', '30', '-', '50.0 %'],
    ['all', '60', '-', '100.0 %'],
  ])
})

test('a window that is none, a function that is not there, and one that never ran', () => {
  for (const text of ['kmho_takeover', 'a,b,c', ',b']) assert.throws(() => parseWindow(text), UsageError)
  assert.deepEqual(parseWindow('a,b'), { from: 'a', to: 'b' })
  assert.throws(() => addressOf(symbols, 'kmho_nothing'), /kmho_nothing/)
  assert.throws(() => profileByFunction('', symbols), MachineryError)
})
