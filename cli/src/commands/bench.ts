// SPDX-License-Identifier: MIT
// `kmho bench`: memory carried over a kexec by LUO's memfd on the stock kernel, by the same on
// ours, and by kmho(2); the same guest for all, in turn, several times. Tables, JSON, plots.

import { cpus, totalmem } from 'node:os'
import { appendFile, copyFile, mkdir, open, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { optionValue, portSocketPath, type Job, type VmResult } from '../../../qemu/src/index.js'
import { Client } from '../bench/client.js'
import { ANSWERS, GAP_PORT, GAP_SIZES, GAP_TRANSLATIONS_MIB, gapJob, gapRows, WAYS, type GapSample } from '../bench/gap.js'
import { benchArgs, choosePoints, memoryOf, systemsOf, type Point } from '../bench/matrix.js'
import { writePlots } from '../bench/plots.js'
import { addressOf, parseSymbols, parseWindow, profileByFunction, profileRows, type Window } from '../bench/profile.js'
import { pointTables, toMarkdown } from '../bench/report.js'
import { readSample, summarize, type Sample } from '../bench/samples.js'
import { hashDir, makeWhole, writeWhole } from '../cache.js'
import { runCommand, type Command } from '../command.js'
import type { Context } from '../context.js'
import { ExitCode, UsageError, VerificationError } from '../errors.js'
import { crossPrefix, type Arch } from '../kernel/arch.js'
import type { Flavor } from '../kernel/config.js'
import { exitCodeOfResult, explainFailure, GUEST_BASE_MIB, guestPaths, memoryFor, nextKernelFiles, parseMemory, planSetup, runGuest, type GuestRun, type Setup } from '../machine.js'
import { outputDir } from '../paths.js'
import { parseSize } from '../sizes.js'
import { bytes as bytesText, seconds } from '../ui/ui.js'

export interface BenchOptions {
  arch?: string
  source?: string
  jobs?: number
  only?: string
  systems?: string
  size?: string
  full?: boolean
  runs: number
  by: string
  gap?: boolean
  profile?: string
  memory?: string
  output: string
}

/** Handovers in one run, all but the last of them given up again: the first finds cold caches. */
const REPEAT = 3
/** Other work on the machine may make a guest ten times as slow. */
const TIMEOUT_MS = 1_800_000

/** What --size may be: less is hardly more than the processes themselves. */
const LEAST_BYTES = 2 ** 20

/** Every sample as it was taken, below the output folder. */
const SAMPLES = 'raw/samples.jsonl'
const PROGRAMS = ['kmho-bench', 'kmho-kv'] as const
/** What --gap --full asks for beside GAP_SIZES. */
const FULL_GAP_SIZES = [4 * 2 ** 30, 8 * 2 ** 30]

/** One run of one guest. */
interface Run {
  point?: Point
  system: string
  flavor: 'stock' | 'default'
  peer: 'kmho' | 'luo' | 'none'
}

/** The floor of each kernel, then each point with every system that can do it; of all these the chosen systems. */
function listRuns(points: readonly Point[], systems: string | undefined): Run[] {
  const runs = [
    ...(['stock', 'default'] as const).map((flavor): Run => ({ system: flavor, flavor, peer: 'none' })),
    ...points.flatMap((point) => systemsOf(point).map(({ name, flavor, peer }): Run => ({ point, system: name, flavor, peer }))),
  ]
  return chooseSystems(runs, ({ system }) => system, systems)
}

/** Of what can be measured that of the systems which are named, or all. */
function chooseSystems<T>(all: readonly T[], nameOf: (item: T) => string, systems: string | undefined): T[] {
  const names = systems?.split(',')
  const unknown = names?.find((name) => !all.some((item) => nameOf(item) === name))
  if (unknown !== undefined) throw new UsageError({ expected: `--systems to name some of ${[...new Set(all.map(nameOf))].join(', ')}`, found: unknown })
  return all.filter((item) => names?.includes(nameOf(item)) ?? true)
}

function programCommand(arch: Arch, root: string, program: string, headers: string, output: string): Command {
  return { file: `${crossPrefix(arch)}gcc`, args: ['-O2', '-static', '-Wall', '-Wextra', '-isystem', headers, '-o', output, join(root, 'kernel/bench', `${program}.c`)] }
}

function jobOf(run: Run): Job {
  const argv = (side: 'before' | 'after'): string[] => [`${guestPaths.share}/kmho-bench`, ...benchArgs(side, run.peer, run.point, REPEAT)]
  return {
    steps: [
      { type: 'load', image: 'next/image', initrd: 'next/initrd' },
      { type: 'start', name: 'before', argv: argv('before') },
      { type: 'kexec' },
      { type: 'run', name: 'after', argv: argv('after') },
    ],
  }
}

/** That of the stock kernel only where something is measured on it. */
type Setups = { default: Setup; stock?: Setup }

function setupOf(setups: Setups, flavor: Flavor): Setup {
  const setup = flavor === 'stock' ? setups.stock : setups.default
  if (!setup) throw new Error(`no kernel of flavor ${flavor} was planned`)
  return setup
}

interface Bench {
  options: BenchOptions
  /** Of every guest; otherwise what the largest point needs. */
  memoryMiB: number | undefined
  context: Context
  setups: Setups
  /** Folder of the programs that measure. */
  programs: string
  out: string
}

/** What the numbers were measured on, for whoever reads them later. */
function describe({ options, setups }: Bench): object {
  return {
    ok: true,
    arch: setups.default.arch,
    runs: options.runs,
    machine: { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, memoryMiB: Math.round(totalmem() / 2 ** 20), accel: setups.default.accel },
    kernels: Object.fromEntries(Object.entries(setups).map(([flavor, { kernel }]) => [flavor, { release: kernel.release, source: kernel.source, build: basename(dirname(kernel.image)) }])),
  }
}

/** Runs a guest to its end and keeps its logs under `label`. Undefined where it failed, which has been said then. */
async function measure(bench: Bench, label: string, run: Pick<GuestRun, 'setup' | 'job' | 'memoryMiB'> & Partial<GuestRun>): Promise<{ result: VmResult; console: string } | ExitCode> {
  const { context, programs, out } = bench
  const name = label.replaceAll(' ', '-')
  const outcome = await runGuest(
    {
      name: `bench-${run.setup.arch}-${name}`,
      files: { ...nextKernelFiles(run.setup), ...Object.fromEntries(PROGRAMS.map((program) => [program, join(programs, program)])) },
      timeoutMs: TIMEOUT_MS,
      keep: true,
      signal: context.signal,
      ...run,
      cmdline: ['nokaslr', 'liveupdate=on'],
    },
    context,
  )
  const { result, dir } = outcome
  if (result.outcome !== 'done') {
    await explainFailure(outcome, context)
    return exitCodeOfResult(result)
  }
  const console = (await readFile(result.console, 'utf8')).replaceAll('\r', '')
  await mkdir(join(out, 'raw'), { recursive: true })
  await copyFile(result.console, join(out, 'raw', `${name}.console.log`))
  await copyFile(join(dir, 'events.jsonl'), join(out, 'raw', `${name}.events.jsonl`))
  await rm(dir, { recursive: true, force: true })
  return { result, console }
}

export async function bench(options: BenchOptions, context: Context): Promise<ExitCode> {
  if (options.by !== 'instructions' && options.by !== 'time') throw new UsageError({ expected: '--by to be instructions or time', found: options.by })
  const window = options.profile === undefined ? undefined : parseWindow(options.profile)
  if (window && (options.gap || options.by === 'time')) throw new UsageError({ expected: '--profile without --gap and --by time', found: 'both', mend: 'it counts instructions' })
  if (options.gap && options.only !== undefined) throw new UsageError({ expected: '--gap without --only', found: 'both', mend: 'choose with --systems and --size' })
  const size = options.size === undefined ? undefined : parseSize(options.size, '--size', LEAST_BYTES)
  const memoryMiB = options.memory === undefined ? undefined : parseMemory(options.memory)
  const out = await outputDir(options.output)
  const points = choosePoints({ ...options, size })
  const flavors = new Set(options.gap ? gapRuns(options, size).map(({ way }) => way.flavor) : listRuns(points, options.systems).map(({ flavor }) => flavor))
  const plans = { default: await planSetup({ ...options, flavor: 'default', addon: false }, context), stock: await planSetup({ ...options, flavor: 'stock', addon: false }, context) }
  const { arch } = plans.default
  // What is measured only on the one kernel does not need the other.
  const steps = [...(flavors.has('stock') ? plans.stock.steps : []), ...plans.default.steps]
  const guests = options.gap ? gapRuns(options, size).map(({ label }) => label) : listRuns(points, options.systems).map(labelOf)
  if (!(await context.run(steps))) {
    await context.run([
      { title: 'the programs that measure', command: PROGRAMS.map((program) => programCommand(arch, context.root, program, 'HEADERS', program)), run: async () => {} },
      ...guests.map((label) => ({ title: `${options.runs} times a guest: ${label}`, run: async () => {} })),
    ])
    return ExitCode.ok
  }
  const setups: Setups = { default: plans.default.result(), ...(flavors.has('stock') ? { stock: plans.stock.result() } : {}) }
  if (!options.gap && options.by === 'instructions' && setups.default.accel !== 'tcg') {
    throw new UsageError({ expected: 'an emulated guest, whose instructions can be counted', found: setups.default.accel, mend: 'measure with --by time' })
  }
  const programs = join(context.cache.root, 'bench', `${arch}-${(await hashDir(join(context.root, 'kernel/bench'))).slice(0, 16)}`)
  await makeWhole(programs, async (partial) => {
    await mkdir(partial)
    for (const program of PROGRAMS) await runCommand(programCommand(arch, context.root, program, setups.default.kernel.headers, join(partial, program)), { signal: context.signal })
  })
  const all: Bench = { options, memoryMiB, context, setups, programs, out }
  if (window) return measureProfile(all, points, window)
  return options.gap ? measureGap(all, size) : measureCarry(all, points)
}

/** Functions in the table of a profile. */
const PROFILE_ROWS = 30

/** Where the instructions of one step go, by function of the kernel, with each point and system once. */
async function measureProfile(bench: Bench, points: readonly Point[], window: Window): Promise<ExitCode> {
  const { options, context, setups, out } = bench
  const { ui } = context
  const memoryMiB = carryMemory(bench, points)
  const runs = listRuns(points, options.systems)
  await mkdir(join(out, 'raw'), { recursive: true })
  const plugin = join(out, 'raw', 'profile.so')
  await runCommand({ file: 'gcc', args: ['-O2', '-shared', '-fPIC', '-o', plugin, join(context.root, 'qemu/plugin/profile.c')] }, { signal: context.signal })
  const progress = ui.progress(`${runs.length} guests of ${memoryMiB} MiB, from ${window.from} to ${window.to}`)
  const profiles = []
  for (const run of runs) {
    const label = labelOf(run)
    progress.update(profiles.length, runs.length, label)
    const setup = setupOf(setups, run.flavor)
    const symbols = parseSymbols(await readFile(setup.kernel.systemMap, 'utf8'))
    const blocks = join(out, 'raw', `${label.replaceAll(' ', '-')}.blocks`)
    await rm(blocks, { force: true })
    const qemuArgs = ['-plugin', `${optionValue(plugin)},start=${addressOf(symbols, window.from)},stop=${addressOf(symbols, window.to)},out=${optionValue(blocks)}`]
    const measured = await measure(bench, label, { setup, job: jobOf(run), memoryMiB, cpus: 1, icount: true, qemuArgs })
    if (typeof measured === 'number') {
      progress.fail()
      return measured
    }
    profiles.push({ label, functions: profileByFunction(await readFile(blocks, 'utf8'), symbols) })
  }
  progress.done()
  for (const { label, functions } of profiles) {
    ui.print(`\n${label}`)
    ui.table(profileRows(functions, PROFILE_ROWS))
  }
  const result = { ...describe(bench), window, memoryMiB, points, profiles }
  await writeWhole(join(out, 'profile.json'), `${JSON.stringify(result, null, 1)}\n`)
  await writeWhole(join(out, 'profile.md'), toMarkdown(profiles.map(({ label, functions }) => ({ title: `${label}, from ${window.from} to ${window.to}`, rows: profileRows(functions, PROFILE_ROWS) }))))
  ui.info(`written to ${out}: profile.json, profile.md; raw output in raw/`)
  ui.result(result)
  return ExitCode.ok
}

/** MiB of every guest. */
const carryMemory = ({ memoryMiB }: Bench, points: readonly Point[]): number => memoryMiB ?? Math.max(...points.map((point) => memoryOf(point, GUEST_BASE_MIB)))

const labelOf = ({ point, system }: Run): string => `${point?.name ?? 'floor'} ${system}`

/** What it costs to carry memory, point by point. */
async function measureCarry(bench: Bench, points: readonly Point[]): Promise<ExitCode> {
  const { options, context, setups, programs, out } = bench
  const { ui } = context
  const byInstructions = options.by === 'instructions'
  const memoryMiB = carryMemory(bench, points)
  const runs = listRuns(points, options.systems)
  const total = runs.length * options.runs
  const samples: Sample[] = []
  // A benchmark that was called off goes on where it was.
  const earlier = (await readFile(join(out, SAMPLES), 'utf8').catch(() => '')).split('\n').filter(Boolean).map((line) => JSON.parse(line) as Sample)
  const started = Date.now()
  const progress = ui.progress(`${total} guests of ${memoryMiB} MiB, measured by ${options.by}`)
  // Alternating: whatever changes in the machine meanwhile changes for all.
  for (let round = 1; round <= options.runs; round++) {
    for (const run of runs) {
      const label = `${labelOf(run)} ${round}`
      const setting = [basename(dirname(setupOf(setups, run.flavor).kernel.image)), basename(programs), `${memoryMiB} MiB`, options.by].join(' ')
      progress.update(samples.length, total, label)
      const known = earlier.find((sample) => sample.point === (run.point?.name ?? 'floor') && sample.system === run.system && sample.round === round && sample.setting === setting)
      if (known) {
        samples.push(known)
        continue
      }
      const measured = await measure(bench, label, { setup: setupOf(setups, run.flavor), job: jobOf(run), memoryMiB, ...(byInstructions ? { cpus: 1, icount: true } : {}) })
      if (typeof measured === 'number') {
        progress.fail()
        return measured
      }
      const sample = readSample({ ...run, round, setting, byInstructions }, measured.result.events, measured.console)
      samples.push(sample)
      await appendFile(join(out, SAMPLES), `${JSON.stringify(sample)}\n`)
    }
  }
  progress.done(seconds(Date.now() - started))

  const summary = summarize(samples)
  const tables = pointTables(summary, points, byInstructions)
  for (const { title, rows } of tables) {
    ui.print(`\n${title}`)
    ui.table(rows)
  }
  const result = { ...describe(bench), by: options.by, memoryMiB, points, summary, samples }
  await writeWhole(join(out, 'bench.json'), `${JSON.stringify(result, null, 1)}\n`)
  await writeWhole(join(out, 'tables.md'), toMarkdown(tables))
  const plots = await writePlots(out, summary, points, byInstructions)
  ui.info(`written to ${out}: bench.json, tables.md, ${plots.join(', ')}; raw output in raw/`)
  ui.result(result)
  return ExitCode.ok
}

function gapRuns(options: BenchOptions, size: number | undefined): { way: (typeof WAYS)[number]; bytes: number; label: string }[] {
  const sizes = size === undefined ? (options.full ? [...GAP_SIZES, ...FULL_GAP_SIZES] : GAP_SIZES) : [size]
  const ways = chooseSystems(WAYS, ({ name }) => name, options.systems)
  return sizes.flatMap((bytes) => ways.map((way) => ({ way, bytes, label: `gap ${bytes / 2 ** 20}M ${way.name}` })))
}

/** How long a client gets no answer; always by the host's clock. */
async function measureGap(bench: Bench, size: number | undefined): Promise<ExitCode> {
  const { options, context, setups, out } = bench
  const { ui } = context
  const runs = gapRuns(options, size)
  const total = runs.length * options.runs
  const memoryMiB = bench.memoryMiB ?? memoryFor(Math.max(...runs.map(({ bytes }) => bytes)) * 1.1)
  const samples: GapSample[] = []
  const started = Date.now()
  const progress = ui.progress(`${total} guests of ${memoryMiB} MiB, asked from outside`)
  const disk = join(context.cache.tmp, `bench-disk-${process.pid}`)
  try {
    for (let round = 1; round <= options.runs; round++) {
      for (const { way, bytes, label } of runs) {
        progress.update(samples.length, total, `${label} ${round}`)
        const client = new Client(bytes)
        await makeDisk(disk, bytes)
        const measured = await measure(bench, `${label} ${round}`, {
          setup: setupOf(setups, way.flavor),
          job: gapJob(way, bytes),
          memoryMiB,
          translationsMiB: GAP_TRANSLATIONS_MIB,
          preallocate: true,
          disks: [disk],
          ports: [GAP_PORT],
          onEvent: async (event, share) => {
            if (event.event === 'ready' && event.stage === 1) client.start(portSocketPath({ logDir: dirname(share) }, GAP_PORT))
            else if (event.event === 'kexec') await client.answered('before', ANSWERS)
            else if (event.event === 'sync') await client.answered('after', ANSWERS)
          },
        })
        client.stop()
        if (typeof measured === 'number') {
          progress.fail()
          return measured
        }
        if (client.wrong > 0) throw new VerificationError({ expected: `every answer with ${way.title} to be the right one`, found: `${client.wrong} that were not` })
        samples.push({ way: way.name, bytes, round, gapMs: client.firstAfter - client.lastBefore })
      }
    }
  } finally {
    await rm(disk, { force: true })
  }
  progress.done(seconds(Date.now() - started))
  const rows = gapRows(samples, bytesText)
  ui.table(rows)
  const result = { ...describe(bench), memoryMiB, samples }
  await writeWhole(join(out, 'gap.json'), `${JSON.stringify(result, null, 1)}\n`)
  await writeWhole(join(out, 'gap.md'), toMarkdown([{ title: 'The gap that a client sees', rows }]))
  ui.info(`written to ${out}: gap.json, gap.md; raw output in raw/`)
  ui.result(result)
  return ExitCode.ok
}

async function makeDisk(path: string, bytes: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const file = await open(path, 'w')
  await file.truncate(bytes)
  await file.close()
}
