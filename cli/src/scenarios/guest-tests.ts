// SPDX-License-Identifier: MIT
// The tests that run inside guests: the kernel's KUnit suites and selftests, the addon's own,
// and guests that fail on purpose, which prove that a failure would be seen.

import type { Step, VmResult } from '../../../qemu/src/index.js'
import { guestPaths, nodeProgram } from '../machine.js'
import type { Selftest } from '../selftests.js'
import { parseKtap, type KtapResult } from './ktap.js'
import { exitOf, failed, outputOf, passed, type Scenario } from './scenario.js'

/** Emulated guests with other builds running beside them. A test that hangs ends itself long before; this is for what is around it. */
const TIMEOUT_MS = 1_200_000
/** After how many seconds a test counts as hung by itself (KT_TIMEOUT_S of the selftests), and how many random calls fit into that. */
const TEST_S = 300
const CALLS_IN_TIME = 20_000
const SELFTEST_MIB = 1536
/** hugetlb: room for a huge page of 1 GiB at a multiple of its size. The others fill most of what there is, again and again. */
const MEMORY_MIB: Readonly<Record<string, number>> = { hugetlb: 7168, pressure: 1024, called_off_kexec: 1024 }
export const LARGEST_GUEST_MIB = Math.max(...Object.values(MEMORY_MIB))
/** The app's files in a guest's own memory. */
const LOCAL_APP = '/tmp/app'

/** A program that prints TAP, as a step; its verdict is in what it prints. */
interface TapStep {
  name: string
  stage: number
  step: Step
}

/** How many times longer than by default so many random calls may take. */
const patienceFor = ({ calls = 0 }: TestScale): number => Math.max(1, calls / CALLS_IN_TIME)

function scaleEnv(scale: TestScale): Record<string, string> {
  const { seed, calls, kexecs, mib, timeoutS } = scale
  const patience = patienceFor(scale)
  const timeout = timeoutS !== undefined || patience > 1 ? Math.ceil((timeoutS ?? TEST_S) * patience) : undefined
  const entries = Object.entries({ KMHO_TEST_SEED: seed, KMHO_TEST_CALLS: calls, KMHO_TEST_KEXECS: kexecs, KMHO_TEST_MIB: mib, KMHO_TEST_TIMEOUT: timeout })
  return { KMHO_TEST_SWAP_DEV: '/dev/vdb', ...Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))) }
}

function selftestStep(test: Selftest, stage: number, args: readonly string[], scale: TestScale): TapStep {
  return {
    name: test.name,
    stage,
    step: { type: 'run', name: test.name, argv: [`${guestPaths.share}/selftests/${test.name}`, ...args], env: scaleEnv(scale), mayFail: true },
  }
}

/** Results of TAP programs, each named by its program; a program that said nothing has failed. */
function judgeTap(steps: readonly TapStep[], result: VmResult, labels: Record<number, string> = {}): KtapResult[] {
  const results = steps.flatMap(({ name, stage }): KtapResult[] => {
    const label = labels[stage] ? `${name} ${labels[stage]}` : name
    const text = outputOf(result, name, stage)
    const found = parseKtap(text).map((item) => ({ ...item, name: `${label}: ${item.name}` }))
    const code = exitOf(result, name, stage)
    const skip = /^1\.\.0 # SKIP (.*)/m.exec(text)?.[1]
    if (found.length === 0 && skip !== undefined) return [{ name: label, status: 'skipped', detail: [skip] }]
    if (found.length === 0) return [failed(label, `no result; exit status ${code ?? 'none'}`, ...text.split('\n').slice(-5).filter(Boolean))]
    // A program whose results are all good and whose exit status is not, lies in one of the two.
    if (code !== 0 && code !== 4 && found.every(({ status }) => status !== 'failed')) found.push(failed(`${label}: exit status`, `${code ?? 'none'} after results without a failure`))
    return found
  })
  return [...results, ...judgeMachine(result)]
}

/** A machine that did not end well is a failure of its own, whatever the tests in it said. */
function judgeMachine(result: VmResult): KtapResult[] {
  if (result.outcome === 'done') return []
  return [failed(`the guest ended well (${result.outcome})`, result.reason, ...result.findings.slice(0, 3).map(({ kind, line }) => `${kind}: ${line}`), `console: ${result.console}`, `again: ${result.command}`)]
}

/** Every kernel has to be the one that was asked for, as --from and --to do; `next` is where each kexec goes. */
export function judgeReleases({ kernels }: VmResult, first: string, next: string): KtapResult[] {
  const wrong = kernels.flatMap(({ stage, release }) => {
    const wanted = stage === 1 ? first : next
    return release === wanted ? [] : [`expected ${wanted} as kernel ${stage}, found ${release}`]
  })
  return wrong.length === 0 ? [] : [failed('the kernels were those asked for', ...wrong)]
}

const KERNEL = { image: 'next/image', initrd: 'next/initrd' }
const NEXT: Step = { type: 'kexec', ...KERNEL }
const LOAD: Step = { type: 'load', ...KERNEL }
const LEAVE: Step = { type: 'kexec' }

export function kunitScenario(): Scenario {
  return {
    name: 'kunit',
    title: "the kernel's KUnit suites of kmho pass",
    // The suites hand the kernel records that are wrong, and it says so.
    run: { job: { steps: [{ type: 'poweroff' }] }, kunit: true, allow: [{ kind: 'error', match: /kmho: / }], timeoutMs: TIMEOUT_MS },
    judge: (result, console) => {
      const found = parseKtap(console).map((item) => ({ ...item, name: `kunit: ${item.name}` }))
      return [...(found.length > 0 ? found : [failed('kunit', 'no KTAP on the console')]), ...judgeMachine(result)]
    },
  }
}

/** lib/test_kho.c, which the debug flavor has: it saves memory at one boot, and looks at it at the next. */
export function khoScenario(): Scenario {
  const said = /KHO restore succeeded/
  return {
    name: 'kho',
    title: "KHO's own test finds what it saved before a kexec",
    debug: true,
    run: { job: { steps: [NEXT] }, timeoutMs: TIMEOUT_MS },
    judge: (result, console) => [said.test(console) ? passed('kho: restored') : failed('kho: restored', `expected ${said.source} on the console: ${result.console}`), ...judgeMachine(result)],
  }
}

/** What makes tests longer than they are by default; handed to them through the environment. */
export interface TestScale {
  /** Chooses the programs of tests that are random. */
  seed?: number
  /** How many calls random calls are. */
  calls?: number
  /** How many kexecs a chain of them has. */
  kexecs?: number
  /** How much memory it carries, in MiB. */
  mib?: number
  /** After how many seconds a test counts as hung; otherwise what the tests say. */
  timeoutS?: number
}

const KEXECS = 3

/**
 * When the next kernel is loaded: right before the kexec; first, by a program that calls for the kexec itself; first
 * too, in a scenario of its own, as a handover may come before that or after.
 */
const loadsOf = ({ name }: Selftest): ('late' | 'first' | 'too')[] => (name === 'called_off_kexec' ? ['first'] : name === 'live_kexec' ? ['late', 'too'] : ['late'])

/** What the kernel says where a test drives it to that. */
function provoked({ provokes }: Selftest): Pick<Scenario['run'], 'allow'> {
  if (!provokes) return {}
  return { allow: (['error', 'oom'] as const).map((kind) => ({ kind, match: new RegExp(provokes) })) }
}

export function selftestScenarios(tests: readonly Selftest[], dir: string, scale: TestScale = {}): Scenario[] {
  const files = (some: readonly Selftest[]): Record<string, string> => Object.fromEntries(some.map(({ name }) => [`selftests/${name}`, `${dir}/${name}`]))
  const base = { memoryMiB: SELFTEST_MIB, scratchDisk: 256 << 20, timeoutMs: TIMEOUT_MS }
  const cmdlineOf = ({ name }: Selftest): { cmdline?: string[] } => (name === 'shmem' ? { cmdline: ['liveupdate=on'] } : {})
  const memoryOf = ({ name }: Selftest): number => MEMORY_MIB[name] ?? SELFTEST_MIB
  const kexec = tests.filter((test) => test.kexec)
  const scenarios: Scenario[] = tests.filter(({ now }) => now).map((test) => {
    const steps = [selftestStep(test, 1, [], scale)]
    return {
      name: test.name,
      title: `${test.name.replaceAll('_', ' ')}, without a kexec`,
      // Only random calls can be asked to be so many.
      run: { ...base, ...cmdlineOf(test), memoryMiB: memoryOf(test) + (scale.mib ?? 0), timeoutMs: TIMEOUT_MS * patienceFor(scale), job: { steps: steps.map(({ step }) => step) }, files: files([test]), ...provoked(test) },
      judge: (result) => judgeTap(steps, result),
    }
  })
  for (const test of kexec) {
    const kexecs = scale.kexecs ?? KEXECS
    const later = test.each ? new Array<string>(kexecs).fill('each') : ['after', ...(test.again ? ['again'] : [])]
    const steps = ['before', ...later].map((name, i) => selftestStep(test, i + 1, [name], test.each ? { ...scale, kexecs } : scale))
    for (const when of loadsOf(test)) {
      scenarios.push({
        name: `${test.name}${test.now ? '-kexec' : ''}${when === 'too' ? '-loaded' : ''}`,
        title: `${test.name.replace(/_kexec$/, '').replaceAll('_', ' ')}, over ${later.length === 1 ? 'a kexec' : `${later.length} kexecs`}${when === 'late' ? '' : ', loaded first'}`,
        run: {
          ...base,
          memoryMiB: memoryOf(test) + (test.each ? (scale.mib ?? 0) * 1.5 : 0),
          timeoutMs: TIMEOUT_MS * Math.max(1, later.length / KEXECS) * Math.max(1, (test.each ? (scale.mib ?? 0) : 0) / 512),
          job: { steps: steps.flatMap(({ step }, i) => [...(i === 0 ? [] : [when === 'late' ? NEXT : LEAVE]), ...(when !== 'late' && i < later.length ? [LOAD] : []), step]) },
          files: files([test]),
          ...provoked(test),
        },
        judge: (result) => judgeTap(steps, result, Object.fromEntries(['before', ...later].map((name, i) => [i + 1, name === 'each' ? `kexec ${i}` : name]))),
      })
    }
  }
  const talk = kexec.find(({ name }) => name === 'talk_kexec')
  if (talk) {
    const steps = [selftestStep(talk, 1, ['before'], scale), selftestStep(talk, 3, ['after'], scale)]
    const [before, after] = steps.map(({ step }) => step) as [Step, Step]
    scenarios.push({
      name: 'early_kexec',
      title: 'a kexec, and a takeover, before the records are taken in',
      run: { ...base, cmdline: ['kmho.read_delay_ms=3000'], job: { steps: [before, NEXT, NEXT, after] }, files: files([talk]) },
      judge: (result) => judgeTap(steps, result, { 1: 'before', 3: 'after' }),
    })
  }
  if (kexec.length > 0) {
    const steps = kexec.map((test) => selftestStep(test, 1, ['control'], scale))
    scenarios.push({
      name: 'control',
      title: 'with kho=off nothing is found',
      run: { ...base, kho: 'off', job: { steps: steps.map(({ step }) => step) }, files: files(kexec) },
      judge: (result) => judgeTap(steps, result, { 1: 'control' }),
    })
  }
  return scenarios
}

/** A test file of ours that Node runs in the guest. */
function tapStep(name: string, file: string, stage: number, args: readonly string[] = [], app?: string): TapStep {
  const { argv: [node = '', ...rest], env } = nodeProgram(file, args, app)
  return { name, stage, step: { type: 'run', name, argv: [node, '--test-reporter=tap', ...rest], env, mayFail: true } }
}

/** `files` are those of the app: the addon, and the compiled tests. */
export function addonScenarios(files: Record<string, string>): Scenario[] {
  const call = [tapStep('addon', 'native/test/call.guest.test.js', 1)]
  const survival = [tapStep('addon', 'native/test/survival.guest.test.js', 1, ['before']), tapStep('addon', 'native/test/survival.guest.test.js', 2, ['after'])]
  const control = [tapStep('addon', 'native/test/survival.guest.test.js', 1, ['control'])]
  const base = { files, memoryMiB: SELFTEST_MIB, timeoutMs: TIMEOUT_MS }
  return [
    { name: 'addon', title: "the addon's calls, in a kernel that has them", run: { ...base, job: { steps: call.map(({ step }) => step) } }, judge: (result) => judgeTap(call, result) },
    {
      name: 'addon-survival',
      title: "the addon's Buffers outlive the kernel",
      run: { ...base, job: { steps: survival.flatMap(({ step }, i) => (i === 0 ? [step] : [NEXT, step])) } },
      judge: (result) => judgeTap(survival, result, { 1: 'before', 2: 'after' }),
    },
    { name: 'addon-control', title: 'with kho=off the addon finds nothing', run: { ...base, kho: 'off', job: { steps: control.map(({ step }) => step) } }, judge: (result) => judgeTap(control, result, { 1: 'control' }) },
  ]
}

/**
 * `files`: those of the app, and the command's own. The guest copies them into its memory first:
 * Node asks for each module in many places, and a share answers slowly.
 */
export function operatorScenarios(files: Record<string, string>): Scenario[] {
  const base = { files, memoryMiB: SELFTEST_MIB, timeoutMs: TIMEOUT_MS }
  const copy: Step = { type: 'run', name: 'copy', argv: ['/bin/sh', '-c', `cp -r ${guestPaths.app} ${LOCAL_APP}`] }
  const stage = (mode: string, n: number): TapStep => tapStep('operator', 'cli/test/commands/records.guest.test.js', n, [mode], LOCAL_APP)
  const [before, after, control] = [stage('before', 1), stage('after', 2), stage('control', 1)]
  return [
    {
      name: 'operator',
      title: 'kmho ls, show and drop say what is held, before and after a kexec',
      run: { ...base, job: { steps: [copy, before.step, NEXT, copy, after.step] } },
      judge: (result) => judgeTap([before, after], result, { 1: 'before', 2: 'after' }),
    },
    { name: 'operator-control', title: 'with kho=off kmho ls says so in a line', run: { ...base, kho: 'off', job: { steps: [copy, control.step] } }, judge: (result) => judgeTap([control], result, { 1: 'control' }) },
  ]
}

/** Guests that fail on purpose: each has to be seen to fail, in its own way. */
export function harnessScenarios(): Scenario[] {
  const expect = (name: string, title: string, outcome: VmResult['outcome'], run: Scenario['run']): Scenario => ({
    name,
    title,
    run,
    judge: (result) => [result.outcome === outcome ? passed(title, result.reason) : failed(title, `expected ${outcome}, found ${result.outcome}: ${result.reason}`, `console: ${result.console}`)],
  })
  return [
    expect('harness-exit', 'a program that is killed in the guest fails the run', 'exit', { job: { steps: [{ type: 'run', name: 'dies', argv: ['/bin/sh', '-c', 'kill -SEGV $$'] }] }, timeoutMs: TIMEOUT_MS }),
    expect('harness-hang', 'a guest that hangs is ended and told apart', 'timeout', { job: { steps: [{ type: 'run', name: 'hangs', argv: ['/bin/sh', '-c', 'while :; do sleep 1; done'] }] }, timeoutMs: 30_000 }),
    expect('harness-panic', 'a kernel that panics is told apart', 'panic', { job: { steps: [] }, cmdline: ['rdinit=/nowhere', 'root=/dev/nothing'], timeoutMs: TIMEOUT_MS }),
  ]
}
