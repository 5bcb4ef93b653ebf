// SPDX-License-Identifier: MIT
// `kmho verify`: a file is loaded in one kernel and answered from in the next. Two boots, the
// real one and its control; what is judged, and how, is in scenarios/verify.ts.

import { access, constants, copyFile, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join, resolve } from 'node:path'
import colors from '../ui/colors.js'
import type { GuestEvent } from '../../../qemu/src/index.js'
import type { Context } from '../context.js'
import { ExitCode, InterruptedError, UsageError } from '../errors.js'
import type { Report } from '../guest/layout.js'
import { fetchIndex } from '../kernel/apt.js'
import { appFiles, exitCodeOfResult, explainFailure, memoryFor, nextKernelFiles, parseMemory, planSetup, runGuest, type GuestOutcome, type Setup } from '../machine.js'
import type { Step } from '../runner.js'
import { combine, expect, INPUT_SIZE, judge, judgeControl, observe, verifyJob, verifyTimeout, type Expectation, type Observed, type Verdict } from '../scenarios/verify.js'
import { parseSize } from '../sizes.js'
import { bytes, seconds } from '../ui/ui.js'

export interface VerifyOptions {
  arch?: string
  flavor?: string
  from?: string
  to?: string
  source?: string
  input?: string
  size?: string
  memory?: string
  seed?: number
  jobs?: number
  keep?: boolean
}

const DEFAULT_SIZE = '256M'
/** What the size of a disk is a multiple of. */
const SECTOR = 512
/** A control run needs no more of either the pattern or the file than shows that nothing is kept. */
const CONTROL_BYTES = 8 << 20

/** The machine's own package index if it has one, largest first. */
export async function findIndex(lists = '/var/lib/apt/lists'): Promise<string | undefined> {
  const names = await readdir(lists).catch(() => [])
  const sized = await Promise.all(
    names.filter((name) => name.endsWith('_Packages')).map(async (name) => ({ path: join(lists, name), size: (await stat(join(lists, name))).size })),
  )
  const largest = sized.sort((a, b) => b.size - a.size)[0]
  return largest && largest.size > SMALL_INDEX ? largest.path : undefined
}

/** A list of a few packages only is no real load. */
const SMALL_INDEX = 10 << 20
const DPKG_STATUS = '/var/lib/dpkg/status'

/**
 * Real data that a Debian machine has: its package index, tens of MB of text; where its lists
 * are empty, as in a container, that index from the machine's own mirror; else whatever is there.
 */
async function defaultInput(context: Context): Promise<string> {
  const found = (await findIndex()) ?? (await findIndex(join(context.cache.root, 'inputs', 'lists')))
  if (found) return found
  const dir = join(context.cache.root, 'inputs')
  try {
    await fetchIndex(dir, context.signal)
    const fetched = await findIndex(join(dir, 'lists'))
    if (fetched) return fetched
  } catch (error) {
    if (error instanceof InterruptedError) throw error
    context.ui.warn(`no package index: ${error instanceof Error ? error.message : String(error)}; taking a smaller file instead`)
  }
  return (await stat(DPKG_STATUS).then((info) => info.isFile(), () => false)) ? DPKG_STATUS : process.execPath
}

export async function verify(options: VerifyOptions, context: Context): Promise<ExitCode> {
  const { ui, signal } = context
  const patternBytes = parseSize(options.size ?? DEFAULT_SIZE, '--size')
  let input = options.input === undefined ? '' : resolve(options.input)
  let size = input ? await sizeOf(input) : 0
  const controlBytes = Math.min(patternBytes, CONTROL_BYTES)
  const memory = (pattern: number): number => (options.memory === undefined ? memoryFor(pattern + size * 3) : parseMemory(options.memory))
  const requireMemory = (): void => requireHostMemory(memory(patternBytes) + memory(controlBytes))
  requireMemory()
  const seed = options.seed ?? 1
  const questions = join(context.cache.tmp, `questions-${process.pid}.json`)
  const setupPlan = await planSetup(options, context)

  let setup: Setup | undefined
  let wanted: Expectation | undefined
  let real: { outcome: GuestOutcome; observed: Observed } | undefined
  let control: { outcome: GuestOutcome; observed: Observed } | undefined

  const boot = async (kho: 'on' | 'off', pattern: number, progress: (text: string) => void): Promise<{ outcome: GuestOutcome; observed: Observed }> => {
    const { arch } = setupPlan
    const dir = await mkdtemp(join(context.cache.tmp, `input-${process.pid}-`))
    const [disk, sizeFile] = [join(dir, 'disk'), join(dir, INPUT_SIZE)]
    try {
      await copyFile(input, disk)
      await truncate(disk, Math.ceil(size / SECTOR) * SECTOR)
      await writeFile(sizeFile, String(kho === 'on' ? size : Math.min(size, CONTROL_BYTES)))
      const outcome = await runGuest(
        {
          setup: setup as Setup,
          name: `verify-${arch}-${kho}`,
          job: verifyJob(pattern, seed, kho === 'off'),
          files: { ...(await appFiles(context.root, (setup as Setup).addon)), ...nextKernelFiles(setup as Setup), [INPUT_SIZE]: sizeFile, 'questions.json': questions },
          disks: [disk],
          memoryMiB: memory(pattern),
          kho,
          timeoutMs: verifyTimeout(pattern + size),
          keep: options.keep ?? false,
          signal,
          onEvent: async (event, share) => {
            progress(describe(event))
            if (event.event !== 'data' || (event.data as Report).report !== 'loaded') return
            // From here on the file is nowhere in the guest: neither program can look again.
            await truncate(disk, 0)
            await rm(join(share, INPUT_SIZE))
          },
        },
        context,
      )
      return { outcome, observed: observe(outcome.result.events, outcome.result.kernels) }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
  const steps: Step[] = [
    ...setupPlan.steps,
    {
      title: `input: ${input || "the machine's package index"}`,
      run: async () => {
        if (input) return bytes(size)
        input = await defaultInput(context)
        size = await sizeOf(input)
        requireMemory()
        return `${input}, ${bytes(size)}`
      },
    },
    {
      title: `what has to come out, from the input and a pattern of ${bytes(patternBytes)}`,
      run: async () => {
        setup = setupPlan.result()
        wanted = await expect(input, patternBytes, seed)
        await mkdir(context.cache.tmp, { recursive: true })
        await writeFile(questions, JSON.stringify(wanted.questions))
        return `${wanted.records} records, ${wanted.questions.length} look-ups, ${wanted.ranges.length} ranges`
      },
    },
    {
      title: `kexec of ${setupPlan.arch} with kho=on, and beside it a control with kho=off`,
      run: async ({ progress }) => {
        const show = (kho: string) => (text: string) => progress.update(0, undefined, `kho=${kho}: ${text}`)
        const both = await Promise.allSettled([boot('on', patternBytes, show('on')), boot('off', controlBytes, show('off'))])
        const [on, off] = both.map((end) => {
          if (end.status === 'rejected') throw end.reason
          return end.value
        })
        real = on
        control = off
        return `${seconds(real?.outcome.result.ms ?? 0)}, control ${seconds(control?.outcome.result.ms ?? 0)}`
      },
    },
  ]
  try {
    if (!(await context.run(steps))) return ExitCode.ok
  } finally {
    if (!context.options.dryRun) await rm(questions, { force: true })
  }
  if (!setup || !wanted || !real || !control) throw new Error('the plan of verify was not carried out')

  const { found, verdict: controlVerdict } = judgeControl(control.observed)
  const verdicts: Verdict[] = [...judge(real.observed, wanted), controlVerdict]
  const clean = [real, control].every(({ outcome }) => outcome.result.outcome === 'done')
  const ok = clean && verdicts.every((verdict) => verdict.ok)
  for (const { outcome } of [real, control]) if (outcome.result.outcome !== 'done') await explainFailure(outcome, context)
  show(setup, wanted, real.observed, verdicts, context)
  ui.result({ ok, arch: setup.arch, ...summary(setup, wanted, real.observed, input), control: { found }, verdicts })
  if (ok) return ExitCode.ok
  const failed = [real, control].find(({ outcome }) => outcome.result.outcome !== 'done')
  return failed ? exitCodeOfResult(failed.outcome.result) : ExitCode.failed
}

async function sizeOf(path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined)
  if (!info?.isFile()) throw new UsageError({ expected: '--input to name a file', found: info ? `something else at ${path}` : `nothing at ${path}` })
  await access(path, constants.R_OK).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError({ expected: '--input to name a file that can be read', found: `${error.code ?? error.message} at ${path}` })
  })
  return info.size
}

function requireHostMemory(memoryMiB: number): void {
  const free = Math.floor(freemem() / 2 ** 20)
  if (free < memoryMiB) {
    throw new UsageError({ expected: `${memoryMiB} MiB of free memory for the two guests`, found: `${free} MiB`, mend: 'choose a smaller --size, or --memory' })
  }
}

/** What a person sees of an event while waiting. */
function describe(event: GuestEvent): string {
  switch (event.event) {
    case 'boot':
      return `${event.release} runs`
    case 'data':
      return `${(event.data as Report).report}`
    case 'output':
      return event.line
    default:
      return event.event
  }
}

function summary(setup: Setup, wanted: Expectation, observed: Observed, input: string): object {
  const { before, after, kernels } = observed
  const side = (kernel: (typeof kernels)[number] | undefined, report: typeof before): object => ({
    release: kernel?.release,
    bootId: kernel?.bootId,
    sha256: report ? combine(report.ranges) : undefined,
    ranges: report?.ranges ?? [],
    error: report?.error,
  })
  return {
    bytes: wanted.bytes,
    input: { path: input, sha256: wanted.fileSha256, records: wanted.records, format: wanted.format },
    lookups: { asked: wanted.questions.length, answered: after?.answered ?? 0 },
    before: side(kernels[0], before),
    after: side(kernels[1], after),
    accel: setup.accel,
    timings: {
      handoverMs: before?.timings.handover,
      kexecToUserlandMs: observed.kexecMs,
      takeoverMs: after?.timings.takeover,
      firstAnswerMs: after?.timings.firstAnswer,
      readMs: before?.timings.read,
      indexMs: before?.timings.index,
      checksumsBeforeMs: before?.timings.checksums,
      checksumsAfterMs: after?.timings.checksums,
    },
  }
}

function show(setup: Setup, wanted: Expectation, observed: Observed, verdicts: readonly Verdict[], context: Context): void {
  const { ui } = context
  const { before, after, kernels } = observed
  const [first, second] = kernels
  const time = (ms: number | undefined): string => (ms === undefined ? '-' : seconds(ms))
  const sum = (report: typeof before): string => (report?.ranges.length ? `${combine(report.ranges).slice(0, 16)}…` : '-')
  ui.table([
    [`${setup.arch}, ${setup.accel}`, 'before', 'after'],
    ['kernel', first?.release ?? '-', second?.release ?? '-'],
    ['boot id', first?.bootId ?? '-', second?.bootId ?? '-'],
    ['bytes', before ? bytes(before.ranges.reduce((total, range) => total + range.bytes, 0)) : '-', after ? bytes(after.bytes) : '-'],
    ['SHA-256 of all ranges', sum(before), sum(after)],
    ['look-ups answered', `${before?.answered ?? '-'} of ${wanted.questions.length}`, `${after?.answered ?? '-'} of ${wanted.questions.length}`],
  ])
  ui.table([
    ['handover', 'kexec to userland', 'takeover', 'first answer'],
    [time(before?.timings.handover), time(observed.kexecMs), time(after?.timings.takeover), time(after?.timings.firstAnswer)],
  ])
  for (const { promise, ok, detail } of verdicts) ui.print(`${ok ? colors.green('ok    ') : colors.red('failed')} ${promise}: ${detail}`)
}
