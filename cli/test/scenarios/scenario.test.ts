// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KtapResult } from '../../src/scenarios/ktap.js'
import { exitCodeOfResults } from '../../src/scenarios/scenario.js'

test('results that were all skipped are neither a success nor a failure', () => {
  const exitCodeOf = (...all: KtapResult['status'][]): number => exitCodeOfResults(all.map((status) => ({ name: 'x', status, detail: [] })))
  assert.equal(exitCodeOf('skipped', 'skipped'), 4)
  assert.equal(exitCodeOf('skipped', 'passed'), 0)
  assert.equal(exitCodeOf('skipped', 'failed'), 1)
})
