// SPDX-License-Identifier: MIT
// Everything that a guest needs, planned and made; one run of a guest with its folder; and
// what a person is told when a run fails. The machines themselves are qemu's.

import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { buildInitramfs, buildRootfs, exitCodeOf, probeAccelReason, startVm, writeShare } from '../../qemu/src/index.js'
import type { Accel, GuestEvent, Job, OopsPattern, VmOptions, VmResult } from '../../qemu/src/index.js'
import { planAddon } from './addon.js'
import { listFiles } from './cache.js'
import type { Context } from './context.js'
import { ExitCode, InterruptedError } from './errors.js'
import { hostArch, parseArch, type Arch } from './kernel/arch.js'
import { readBase } from './kernel/base.js'
import { planKernel, type Kernel } from './kernel/build.js'
import { parseFlavor } from './kernel/config.js'
import type { Step } from './runner.js'
import { parseSize } from './sizes.js'

/** What is booted, and what with. */
export interface Setup {
  arch: Arch
  kernel: Kernel
  initrd: string
  rootfs: string
  /** The addon for Node in the guest. */
  addon: string
  accel: Accel
  accelReason: string
}

export interface SetupOptions {
  arch?: string
  flavor?: string
  /** The releases of Linux that are booted first, and by a kexec; otherwise the one that is developed on. */
  from?: string
  to?: string
  /** Of the first. */
  source?: string
  mirror?: string
  jobs?: number
  /** A guest that runs no Node of ours needs no addon. */
  addon?: boolean
}

export interface SetupPlan {
  arch: Arch
  steps: Step[]
  result: () => Setup
}

/** The steps that make everything a guest of an architecture needs. */
export async function planSetup(options: SetupOptions, context: Context): Promise<SetupPlan> {
  const { signal, cache } = context
  const arch = options.arch === undefined ? hostArch() : parseArch(options.arch)
  const common = {
    arch,
    flavor: parseFlavor(options.flavor ?? 'default'),
    dirs: context.dirs,
    cache,
    signal,
    ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
  }
  const [from, to] = await Promise.all([readBase(context.dirs.base, options.from), readBase(context.dirs.base, options.to)])
  const first = await planKernel({ ...common, base: from, ...(options.source === undefined ? {} : { source: options.source }) })
  // Every kernel has a successor of its own release; somebody's own tree may be of any.
  const same = from.series === to.series && (options.to === undefined || options.source === undefined)
  const next = same ? undefined : await planKernel({ ...common, base: to })
  const kernel = (): Kernel => ({ ...first.result(), ...(next ? { successor: next.result().successor } : {}) })
  const addon = options.addon === false ? undefined : await planAddon(arch, context)
  let setup: Setup | undefined
  const images: Step = {
    title: `guest of ${arch}: initramfs, root file system with Node, accelerator`,
    run: async ({ progress }) => {
      const initrd = await buildInitramfs({ arch, cacheDir: cache.root, signal })
      const rootfs = await buildRootfs({ arch, cacheDir: cache.root, signal, onProgress: (line) => progress.update(0, undefined, line) })
      const { accel, reason } = await probeAccelReason(arch, kernel().image, initrd, cache.root, { signal })
      setup = { arch, kernel: kernel(), initrd, rootfs, addon: addon?.path ?? '', accel, accelReason: reason }
      return `${accel}, as ${reason}`
    },
  }
  return {
    arch,
    steps: [...first.steps, ...(next?.steps ?? []), ...(addon?.steps ?? []), images],
    result: () => {
      if (!setup) throw new Error('the plan of a guest has not been run')
      return setup
    },
  }
}

/** Where things lie on the share, as the guest sees them. */
export const guestPaths = {
  share: '/run',
  app: '/run/app',
  addon: '/run/app/kmho.node',
  node: '/usr/bin/node',
} as const

/** Compiled files that the guest runs, for writeShare(): path on the share -> file on the host. */
export async function appFiles(root: string, addon: string): Promise<Record<string, string>> {
  const files: Record<string, string> = { 'app/package.json': join(root, 'package.json') }
  if (addon) files['app/kmho.node'] = addon
  for (const folder of ['dist/native', 'dist/cli/src/guest']) {
    for (const name of await listFiles(join(root, folder))) {
      if (/\.(c|m)?js$/.test(name)) files[`app/${folder}/${name}`] = join(root, folder, name)
    }
  }
  return files
}

/** The command itself, beside appFiles(): what it is compiled to, its tests, and the packages that it needs. */
export async function cliFiles(root: string): Promise<Record<string, string>> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean }> }
  const packages = Object.keys(lock.packages).filter((name) => name !== '' && !lock.packages[name]?.dev)
  const files: Record<string, string> = { 'app/cli/bin/kmho.js': join(root, 'cli/bin/kmho.js'), 'app/kernel/base.json': join(root, 'kernel/base.json') }
  for (const folder of ['dist/cli', 'dist/qemu/src', ...packages]) {
    for (const name of await listFiles(join(root, folder))) {
      if (/\.(?:[cm]?js|json)$/.test(name)) files[`app/${folder}/${name}`] = join(root, folder, name)
    }
  }
  return files
}

/** The kernel that a kexec goes to, and its initramfs, on the share. */
export function nextKernelFiles(setup: Setup): Record<string, string> {
  return { 'next/image': setup.kernel.successor.image, 'next/initrd': setup.initrd }
}

/**
 * The environment of Node in a guest. An emulator runs OpenSSL's plain code for SHA-256 nearly
 * three times as fast as the code for x86's vector units, so those are hidden from it.
 */
export const NODE_ENV: Record<string, string> = { KMHO_BINDING: guestPaths.addon, OPENSSL_ia32cap: '0:0' }

/** A program of ours in the guest: node and a compiled file, by default from the share. */
export function nodeProgram(file: string, args: readonly string[] = [], app: string = guestPaths.app): { argv: string[]; env: Record<string, string> } {
  return { argv: [guestPaths.node, `${app}/dist/${file}`, ...args], env: NODE_ENV }
}

export interface GuestRun {
  setup: Setup
  /** Names the folder of this run. */
  name: string
  job: Job
  files?: Record<string, string>
  memoryMiB: number
  cpus?: number
  /** Count instructions, so that two runs take the same time by the guest's clock. */
  icount?: boolean
  /** How much translated code an emulator keeps. */
  translationsMiB?: number
  /** Have all memory from the start. */
  preallocate?: boolean
  kho?: 'on' | 'off'
  cmdline?: string[]
  /** Further arguments of QEMU's. */
  qemuArgs?: string[]
  /** Run the kernel's KUnit suites while it boots. */
  kunit?: boolean
  disks?: string[]
  /** Further ports to talk to the guest; their sockets lie beside the share. */
  ports?: string[]
  timeoutMs: number
  allow?: OopsPattern[]
  /** Where the guest waits, it goes on when this has settled. `share`: the host's folder. */
  onEvent?: (event: GuestEvent, share: string) => void | Promise<void>
  /** The folder of the run stays, also when all went well. */
  keep?: boolean
  gdb?: boolean
  interactive?: boolean
  onConsole?: (chunk: string) => void
  signal: AbortSignal
}

export interface GuestOutcome {
  result: VmResult
  /** The share as the guest left it; gone unless kept. */
  dir: string
}

let counter = 0

/** Memory that the kernel describes in struct pages of less than so many MiB fits into the areas that a guest has by default. */
const DESCRIBED_MIB = 64

/**
 * A kernel that was booted by a kexec has nothing but KHO's scratch areas to take memory from until its page
 * allocator is up: a 64th for its struct pages, and an eighth for KASAN's shadow. It panics where it cannot, before
 * there is a console to say so.
 */
export function guestMemory(flavor: string, memoryMiB: number): Pick<VmOptions, 'memoryMiB' | 'khoScratch'> {
  const debug = flavor === 'debug'
  const all = debug ? Math.ceil(memoryMiB * 1.5) : memoryMiB
  const early = Math.ceil(all / 64) + (debug ? Math.ceil(all / 8) : 0)
  return { memoryMiB: all, ...(early <= DESCRIBED_MIB ? {} : { khoScratch: `32M,${128 + early}M,64M` }) }
}

/** Options of one boot, without starting it. */
export function vmOptions(run: GuestRun, dir: string): VmOptions {
  const { setup } = run
  return {
    arch: setup.arch,
    kernel: setup.kernel.image,
    initrd: setup.initrd,
    rootfs: setup.rootfs,
    share: join(dir, 'share'),
    ...guestMemory(setup.kernel.flavor, run.memoryMiB),
    accel: setup.accel,
    logDir: dir,
    name: run.name,
    timeoutMs: run.timeoutMs,
    signal: run.signal,
    ...(run.kho ? { kho: run.kho } : {}),
    ...(run.cpus === undefined ? {} : { cpus: run.cpus }),
    ...(setup.kernel.flavor === 'debug' && (run.cpus ?? 2) % 2 === 0 ? { numa: true } : {}),
    ...(run.icount ? { icount: true } : {}),
    ...(run.translationsMiB === undefined ? {} : { translationsMiB: run.translationsMiB }),
    ...(run.preallocate ? { preallocate: true } : {}),
    cmdline: [
      // The suites run at every boot otherwise, and log the errors that they provoke.
      `kunit.enable=${run.kunit ? 1 : 0}`,
      // The interrupt controller goes on writing its pending tables where the kernel before put
      // them; without EFI nothing keeps the next kernel from using that memory, and it hangs.
      ...(setup.arch === 'arm64' ? ['irqchip.gicv3_nolpi=1'] : []),
      // While identify_cpu() sets the CPU's features anew, pgtable_l5_enabled() is false for a moment.
      // KASAN takes what an interrupt does just then for wild accesses.
      ...(setup.arch === 'x86_64' && setup.kernel.flavor === 'debug' ? ['no5lvl'] : []),
      // Faults sleep from the seal to the kexec. That was five minutes where a dozen writers kept two emulated processors from moving
      // what they had written; what hangs for good still shows.
      ...(setup.kernel.flavor === 'debug' ? ['sysctl.kernel.hung_task_timeout_secs=900'] : []),
      ...(run.cmdline ?? []),
    ],
    ...(run.disks ? { disks: run.disks } : {}),
    ...(run.qemuArgs ? { qemuArgs: run.qemuArgs } : {}),
    ...(run.ports ? { ports: run.ports } : {}),
    ...(run.allow ? { allow: run.allow } : {}),
    ...(run.onConsole ? { onConsole: run.onConsole } : {}),
    ...(run.gdb ? { gdb: true } : {}),
    ...(run.interactive ? { interactive: true } : {}),
  }
}

/** Boots, runs the job, and returns what happened, whatever it was. Throws only when called off. */
export async function runGuest(run: GuestRun, context: Context): Promise<GuestOutcome> {
  const dir = join(context.cache.runs, `${run.name}-${process.pid}-${++counter}`)
  const { onEvent } = run
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  let keep = run.keep ?? false
  try {
    await writeShare(join(dir, 'share'), run.job, run.files ?? {})
    const options = vmOptions(run, dir)
    if (onEvent) options.onEvent = (event) => onEvent(event, join(dir, 'share'))
    const vm = startVm(options)
    context.ui.verbose(`${vm.argv.command} ${vm.argv.args.join(' ')}`)
    const result = await vm.result
    if (run.signal.aborted || result.outcome === 'aborted') throw new InterruptedError()
    keep ||= result.outcome !== 'done'
    return { result, dir }
  } catch (error) {
    keep = false
    throw error
  } finally {
    if (!keep) await rm(dir, { recursive: true, force: true })
  }
}

/** Tells a person why a run failed: the reason, the last of the console, and how to see it again. */
export async function explainFailure(outcome: GuestOutcome, context: Context): Promise<void> {
  const { result, dir } = outcome
  const { ui } = context
  ui.error(`the guest: ${result.outcome}, ${result.reason}`)
  for (const finding of result.findings.slice(0, 5)) ui.info(`  ${finding.kind}: ${finding.line}`)
  for (const event of lastOutput(result.events)) ui.info(`  ${event}`)
  const text = await readFile(result.console, 'utf8').catch(() => '')
  for (const line of text.split('\n').filter((part) => part.trim()).slice(-10)) ui.info(`  | ${line.replace(/\r$/, '')}`)
  ui.info(`console: ${result.console}`)
  ui.info(`folder:  ${dir}`)
  ui.info(`again:   ${result.command}`)
}

/** The last lines that a step of the guest printed. */
function lastOutput(events: readonly GuestEvent[]): string[] {
  return events.flatMap((event) => (event.event === 'output' ? [`${event.step}: ${event.line}`] : event.event === 'error' ? [`init: ${event.message}`] : [])).slice(-10)
}

export function exitCodeOfResult(result: VmResult): ExitCode {
  const code = exitCodeOf(result.outcome)
  return Object.values(ExitCode).find((known) => known === code) ?? ExitCode.machinery
}

/** Room for kernel, initramfs, KHO's scratch areas, Node and the page cache, in MiB. */
export const GUEST_BASE_MIB = 704

/** KHO's scratch areas alone take 224 MiB. */
const LEAST_GUEST_MIB = 256

/** MiB of a guest that is given `--memory`. */
export function parseMemory(text: string): number {
  return Math.floor(parseSize(text, '--memory', LEAST_GUEST_MIB * 2 ** 20) / 2 ** 20)
}

/** Guest memory for so many bytes that are handed over. */
export function memoryFor(bytes: number): number {
  return Math.ceil((GUEST_BASE_MIB + (bytes * 1.02) / 2 ** 20) / 64) * 64
}
