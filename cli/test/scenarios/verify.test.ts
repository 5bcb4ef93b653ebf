// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { UsageError } from '../../src/errors.js'
import type { GuestReport } from '../../src/guest/layout.js'
import { expect, judge, judgeControl, observe, verifyJob, type Expectation, type Observed } from '../../src/scenarios/verify.js'
import { tempDir } from '../support.js'

const TEXT = 'Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n'

async function wantedOf(t: TestContext): Promise<Expectation> {
  const file = join(await tempDir(t), 'Packages')
  await writeFile(file, TEXT)
  return expect(file, 3 * 4096, 7)
}

/** A run in which all went well. */
function goodRun(wanted: Expectation): Observed & { before: GuestReport; after: GuestReport } {
  const report = (name: 'before' | 'after'): GuestReport => ({ report: name, ok: true, found: 3, bytes: wanted.bytes, ranges: structuredClone(wanted.ranges), answers: wanted.answers, answered: wanted.answered, timings: {} })
  const kernel = (stage: number, release: string): Observed['kernels'][number] => ({ stage, release, bootId: `boot-${stage}`, cmdline: '', at: stage })
  return { kernels: [kernel(1, '7.3.4-kmho'), kernel(2, '7.3.4-kmho-next')], before: report('before'), after: report('after') }
}

const broken = (observed: Observed, wanted: Expectation): string[] => judge(observed, wanted).filter(({ ok }) => !ok).map(({ promise }) => promise)

test('a run in which all went well keeps every promise', async (t) => {
  const wanted = await wantedOf(t)
  assert.deepEqual(broken(goodRun(wanted), wanted), [])
  assert.equal(wanted.records, 2)
  assert.equal(wanted.answered, 2)
  assert.equal(wanted.questions.length, 3)
  assert.equal(wanted.bytes, 4096 + 4096 + 3 * 4096)
})

test('a guest that lies about a single range is caught', async (t) => {
  const wanted = await wantedOf(t)
  const run = goodRun(wanted)
  run.after.ranges[2] = { role: 'pattern', bytes: 3 * 4096, sha256: 'f'.repeat(64) }
  assert.deepEqual(broken(run, wanted), ['after the kexec every range has the same SHA-256'])
})

test('sums that agree with each other and not with the file are caught', async (t) => {
  const wanted = await wantedOf(t)
  const run = goodRun(wanted)
  for (const report of [run.before, run.after]) report.ranges[0] = { role: 'data', bytes: 4096, sha256: '0'.repeat(64) }
  assert.equal(broken(run, wanted).length, 2)
})

test('the same kernel twice is no other kernel', async (t) => {
  const wanted = await wantedOf(t)
  const same = goodRun(wanted)
  same.kernels[1] = { ...same.kernels[1]!, release: '7.3.4-kmho' }
  assert.deepEqual(broken(same, wanted), ['another kernel runs'])
  const rebooted = goodRun(wanted)
  rebooted.kernels[1] = { ...rebooted.kernels[1]!, bootId: 'boot-1' }
  assert.deepEqual(broken(rebooted, wanted), ['another kernel runs'])
})

test('wrong answers, a short takeover and silence are caught', async (t) => {
  const wanted = await wantedOf(t)
  const wrong = goodRun(wanted)
  wrong.after.answers = '0'.repeat(64)
  assert.deepEqual(broken(wrong, wanted), ['the same look-ups have the same answers'])
  const short = goodRun(wanted)
  short.after.bytes -= 4096
  assert.deepEqual(broken(short, wanted), ['the new kernel gave all of the memory to a new process'])
  const silent = { kernels: goodRun(wanted).kernels }
  assert.ok(broken(silent, wanted).length >= 4)
})

test('the control finds nothing, or it is none', async (t) => {
  const wanted = await wantedOf(t)
  const off = goodRun(wanted)
  const refused = { ok: false, found: 0, bytes: 0, ranges: [], answered: 0, error: { code: 'EOPNOTSUPP', message: 'kexec handover is off' } }
  Object.assign(off.before, refused)
  Object.assign(off.after, refused)
  assert.deepEqual(judgeControl(off), { found: 0, verdict: { promise: 'with kho=off nothing survives (control)', ok: true, detail: 'handover and takeover answer EOPNOTSUPP' } })
  const found = goodRun(wanted)
  Object.assign(found.before, refused)
  assert.equal(judgeControl(found).verdict.ok, false)
  assert.equal(judgeControl(found).found, 3)
  assert.equal(judgeControl(goodRun(wanted)).verdict.ok, false)
  assert.equal(judgeControl({ kernels: off.kernels.slice(0, 1), before: off.before, after: off.after }).verdict.ok, false)
})

test('an input that is not there or no file is a usage error', async (t) => {
  const dir = await tempDir(t)
  await assert.rejects(expect(join(dir, 'nothing'), 0, 1), UsageError)
  await assert.rejects(expect(dir, 0, 1), UsageError)
})

test('what the guest said is read from its events', () => {
  const observed = observe(
    [
      { event: 'data', at: 1, stage: 1, step: 'before', data: { report: 'loaded', format: 'stanza', records: 2 } },
      { event: 'kexec', at: 1000, stage: 1 },
      { event: 'boot', at: 2500, stage: 2, release: 'r', version: '', machine: '', bootId: 'b', cmdline: '', uptimeMs: 1, ticks: 1, memTotalKiB: 1 },
    ],
    [],
  )
  assert.equal(observed.kexecMs, 1500)
  assert.equal(observed.loaded?.records, 2)
})

test('neither program is given the file but the first, and the kernel in between is another', () => {
  const { steps } = verifyJob(4096, 1)
  assert.deepEqual(steps.map((step) => step.type), ['start', 'kexec', 'run'])
  const [before, kexec, after] = steps
  assert.ok(before?.type === 'start' && before.argv.includes('/dev/vdb'))
  assert.ok(kexec?.type === 'kexec' && kexec.image === 'next/image')
  assert.ok(after?.type === 'run' && !after.argv.includes('/dev/vdb'))
})
