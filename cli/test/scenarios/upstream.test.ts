// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KtapResult } from '../../src/scenarios/ktap.js'
import { compareUpstream, upstreamJob } from '../../src/scenarios/upstream.js'
import { UPSTREAM } from '../../src/upstream.js'

const result = (name: string, status: KtapResult['status'], ...detail: string[]): KtapResult => ({ name, status, detail })

test('what passes without our patches and not with them is worse, whether it fails, is skipped or is gone', () => {
  const stock = [result('a', 'passed'), result('b', 'passed'), result('c', 'passed'), result('d', 'passed')]
  const { passed, worse, silent } = compareUpstream(stock, [result('a', 'passed'), result('b', 'failed', 'why'), result('c', 'skipped')])
  assert.deepEqual(passed, ['a'])
  assert.deepEqual(worse.map(({ name }) => name), ['b', 'c', 'd'])
  assert.deepEqual(worse[0]?.detail, ['why'])
  assert.deepEqual(silent, [])
})

test('what does not pass without our patches either says nothing', () => {
  const { passed, worse, silent } = compareUpstream([result('a', 'failed'), result('b', 'skipped')], [result('a', 'failed'), result('b', 'passed')])
  assert.deepEqual([passed, worse, silent], [[], [], ['a', 'b']])
})

test('results of one name are compared in their order', () => {
  const { passed, worse } = compareUpstream([result('a', 'passed'), result('a', 'passed')], [result('a', 'passed'), result('a', 'failed')])
  assert.deepEqual(passed, ['a'])
  assert.deepEqual(worse.map(({ name }) => name), ['a (2)'])
})

test('what a name says was measured is not compared', () => {
  const { passed, worse } = compareUpstream([result('Extra pages 41 (0.1%)', 'passed'), result('a child with 1MB', 'passed')], [result('Extra pages 7 (2%)', 'passed'), result('a child with 4MB', 'passed')])
  assert.deepEqual([passed, worse], [['Extra pages N (N%)', 'a child with NMB'], []])
})

test('tests in two stages are run last, and once more after a kexec', () => {
  const job = upstreamJob(UPSTREAM, { type: 'kexec', image: 'next/image', initrd: 'next/initrd' })
  const names = job.steps.map((step) => ('name' in step ? step.name : step.type))
  const kexec = names.indexOf('kexec')
  const staged = UPSTREAM.flatMap(({ program, stages }, nr) => (stages ? [`${nr}-${program}`] : []))
  assert.deepEqual(names.slice(kexec + 1), staged)
  assert.deepEqual(names.slice(kexec - staged.length, kexec), staged)
  assert.equal(job.steps.length, UPSTREAM.length + 1 + staged.length)
})
