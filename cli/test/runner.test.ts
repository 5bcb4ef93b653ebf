// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InterruptedError } from '../src/errors.js'
import { formatPlan, runPlan, type Step } from '../src/runner.js'
import { testUi } from './support.js'

const signal = new AbortController().signal

test('a plan is printed with the very argv that would be run', async () => {
  let ran = false
  const steps: Step[] = [
    { title: 'first', command: { file: 'make', args: ['-j2'] } },
    { title: 'second', run: async () => void (ran = true) },
    { title: 'third', command: { file: 'false', args: [] }, cached: 'there' },
  ]
  const { ui, out } = testUi()
  await runPlan(steps, { ui, signal, dryRun: true })
  assert.equal(out(), '# first\nmake -j2\n# second\n# third (nothing to do: there)\n')
  assert.deepEqual(formatPlan(steps).length, 4)
  assert.equal(ran, false)
})

test('steps run in order, those with nothing to do are passed over, the first failure ends it', async () => {
  const order: string[] = []
  const step = (title: string, error?: Error): Step => ({
    title,
    run: async () => {
      order.push(title)
      if (error) throw error
    },
  })
  const { ui, err } = testUi()
  await assert.rejects(runPlan([step('a'), { ...step('b'), cached: 'there' } as Step, step('c', new Error('no')), step('d')], { ui, signal }), /no/)
  assert.deepEqual(order, ['a', 'c'])
  assert.match(err(), /ok.* a/)
  assert.match(err(), /failed.* c/)
})

test('nothing more is begun once it was called off', async () => {
  const { ui } = testUi()
  await assert.rejects(runPlan([{ title: 'a', run: async () => assert.fail('ran') }], { ui, signal: AbortSignal.abort() }), InterruptedError)
})
