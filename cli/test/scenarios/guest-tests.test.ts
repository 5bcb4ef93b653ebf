// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAllowed, type GuestEvent, type VmResult } from '../../../qemu/src/index.js'
import { harnessScenarios, judgeReleases, kunitScenario, selftestScenarios, type TestScale } from '../../src/scenarios/guest-tests.js'
import type { Scenario } from '../../src/scenarios/scenario.js'

const SELFTESTS = [
  { name: 'errors', now: true, kexec: false, again: false, each: false },
  { name: 'freeze', now: true, kexec: true, again: false, each: false },
  { name: 'anon_kexec', now: false, kexec: true, again: true, each: false },
  { name: 'chain_kexec', now: false, kexec: true, again: false, each: true },
]

function result(events: GuestEvent[], outcome: VmResult['outcome'] = 'done'): VmResult {
  return { outcome, reason: 'because', events, findings: [], allowed: [], kernels: [], console: '/c', command: 'qemu', accel: 'tcg', ms: 1 }
}

const said = (step: string, stage: number, text: string, code: number): GuestEvent[] => [
  ...text.split('\n').map((line): GuestEvent => ({ event: 'output', at: 1, stage, step, stream: 'stdout', line, eol: true })),
  { event: 'exit', at: 1, stage, step, code, ms: 1 },
]

function named(name: string): Scenario {
  const found = [...selftestScenarios(SELFTESTS, '/dir'), ...harnessScenarios(), kunitScenario()].find((scenario) => scenario.name === name)
  assert.ok(found)
  return found
}

test('a program has a guest of its own, with as many kernels as it has stages', () => {
  assert.deepEqual(named('errors').run.job.steps.map((step) => step.type), ['run'])
  assert.deepEqual(named('anon_kexec').run.job.steps.map((step) => step.type), ['run', 'kexec', 'run', 'kexec', 'run'])
  assert.deepEqual(named('freeze-kexec').run.job.steps.map((step) => step.type), ['run', 'kexec', 'run'])
  assert.equal(named('control').run.kho, 'off')
  assert.deepEqual(named('anon_kexec').run.files, { 'selftests/anon_kexec': '/dir/anon_kexec' })
})

test('the next kernel is loaded when it is left for, or before all else', () => {
  const tests = ['called_off_kexec', 'live_kexec', 'shmem_kexec'].map((name) => ({ name, now: false, kexec: true, again: name !== 'live_kexec', each: false }))
  const steps = Object.fromEntries(selftestScenarios(tests, '/dir').map(({ name, run }) => [name, run.job.steps.map((step) => (step.type === 'kexec' && step.image ? 'load and kexec' : step.type))]))
  assert.deepEqual(steps['live_kexec'], ['run', 'load and kexec', 'run'])
  assert.deepEqual(steps['live_kexec-loaded'], ['load', 'run', 'kexec', 'run'])
  assert.deepEqual(steps['called_off_kexec'], ['load', 'run', 'kexec', 'load', 'run', 'kexec', 'run'])
  assert.deepEqual(Object.keys(steps).filter((name) => /_kexec/.test(name)), ['called_off_kexec', 'live_kexec', 'live_kexec-loaded', 'shmem_kexec'])
})

test('a chain has as many kexecs as it is asked for, and time for them', () => {
  const chain = (scale: TestScale): Scenario => selftestScenarios(SELFTESTS, '/dir', scale).find(({ name }) => name === 'chain_kexec') as Scenario
  const short = chain({})
  const long = chain({ kexecs: 100, mib: 1024 })
  assert.equal(short.run.job.steps.filter(({ type }) => type === 'kexec').length, 3)
  assert.equal(long.run.job.steps.filter(({ type }) => type === 'kexec').length, 100)
  assert.ok(long.run.timeoutMs > 30 * short.run.timeoutMs)
  assert.ok((long.run.memoryMiB ?? 0) > 2 * 1024)
  const envOf = ({ run }: Scenario): Record<string, string> | undefined => run.job.steps.flatMap((step) => (step.type === 'run' ? [step.env] : []))[0]
  assert.equal(envOf(long)?.KMHO_TEST_MIB, '1024')
  // The program has to know which kexec is the last.
  assert.equal(envOf(long)?.KMHO_TEST_KEXECS, '100')
  assert.equal(envOf(short)?.KMHO_TEST_KEXECS, '3')
})

test('what a program provokes is allowed to it alone', () => {
  const [first, second] = selftestScenarios([{ name: 'damage_kexec', now: false, kexec: true, again: false, each: false, provokes: 'key \\d+ refused' }, ...SELFTESTS], '/dir').filter(({ name }) => /_kexec$/.test(name))
  assert.ok(first?.run.allow?.[0] && isAllowed({ kind: 'error', stage: 1, line: 'kmho: key 1 refused', lineNumber: 1, excerpt: ['kmho: key 1 refused'] }, first.run.allow))
  assert.ok(!isAllowed({ kind: 'panic', stage: 1, line: 'kmho: key 1 refused', lineNumber: 1, excerpt: ['kmho: key 1 refused'] }, first.run.allow ?? []))
  assert.equal(second?.run.allow, undefined)
})

test('results are named by their program and stage', () => {
  const ok = 'TAP version 13\n1..1\nok 1 a hole stays a hole'
  const results = named('anon_kexec').judge(result([...said('anon_kexec', 1, ok, 0), ...said('anon_kexec', 2, ok, 0), ...said('anon_kexec', 3, ok, 0)]), '')
  assert.deepEqual(results.map(({ name, status }) => `${status} ${name}`), [
    'passed anon_kexec before: a hole stays a hole',
    'passed anon_kexec after: a hole stays a hole',
    'passed anon_kexec again: a hole stays a hole',
  ])
})

test('a program that said nothing has failed, and so has one whose status contradicts its results', () => {
  assert.deepEqual(named('errors').judge(result(said('errors', 1, '', 139)), '').map(({ status, detail }) => [status, detail[0]]), [['failed', 'no result; exit status 139']])
  const liar = named('errors').judge(result(said('errors', 1, 'TAP version 13\n1..1\nok 1 x', 1)), '')
  assert.deepEqual(liar.map(({ status }) => status), ['passed', 'failed'])
})

test('a kernel that complained fails the run although every test in it passed', () => {
  const results = named('errors').judge(result(said('errors', 1, 'TAP version 13\n1..1\nok 1 x', 0), 'oops'), '')
  assert.deepEqual(results.map(({ status }) => status), ['passed', 'failed'])
  assert.match(results[1]?.name ?? '', /the guest ended well \(oops\)/)
})

test('a kernel of another release than was asked for fails the run', () => {
  const ran = (...releases: string[]): VmResult => ({ ...result([]), kernels: releases.map((release, i) => ({ stage: i + 1, release, bootId: `boot-${i}`, cmdline: '', at: i })) })
  const judge = (...releases: string[]): string[] => judgeReleases(ran(...releases), '7.2.9-kmho', '7.3.4-kmho-next').map(({ status, name, detail }) => [status, name, ...detail].join(': '))
  assert.deepEqual(judge('7.2.9-kmho', '7.3.4-kmho-next', '7.3.4-kmho-next'), [])
  assert.deepEqual(judge('7.3.4-kmho', '7.3.4-kmho-next'), ['failed: the kernels were those asked for: expected 7.2.9-kmho as kernel 1, found 7.3.4-kmho'])
  assert.deepEqual(judge('7.2.9-kmho', '7.2.9-kmho-next'), ['failed: the kernels were those asked for: expected 7.3.4-kmho-next as kernel 2, found 7.2.9-kmho-next'])
})

test('a program that says why it cannot run is skipped', () => {
  const results = named('errors').judge(result(said('errors', 1, 'TAP version 13\n1..0 # SKIP this kernel has no kmho(2)', 4)), '')
  assert.deepEqual(results, [{ name: 'errors', status: 'skipped', detail: ['this kernel has no kmho(2)'] }])
})

test('a guest that was to fail and did not is a failure', () => {
  assert.equal(named('harness-panic').judge(result([], 'done'), '')[0]?.status, 'failed')
  assert.equal(named('harness-panic').judge(result([], 'panic'), '')[0]?.status, 'passed')
})

test('a console without KTAP is a failure of KUnit', () => {
  assert.equal(named('kunit').judge(result([]), 'Linux version 7.3.4')[0]?.status, 'failed')
})
