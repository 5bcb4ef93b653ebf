// SPDX-License-Identifier: MIT
// `kmho boot`, `kmho shell` and `kmho run -- CMD`: a guest to look at, to play in, and to run
// one command in. The options are the same for all three.

import type { Job } from '../../../qemu/src/index.js'
import { buildQemuArgv } from '../../../qemu/src/index.js'
import type { Context } from '../context.js'
import { ExitCode, TimeoutError, UsageError } from '../errors.js'
import { appFiles, exitCodeOfResult, explainFailure, GUEST_BASE_MIB, NODE_ENV, nextKernelFiles, parseMemory, planSetup, runGuest, vmOptions, type GuestOutcome, type GuestRun } from '../machine.js'
import type { Step } from '../runner.js'
import { seconds } from '../ui/ui.js'

export interface GuestOptions {
  arch?: string
  flavor?: string
  source?: string
  memory?: string
  cmdline?: string
  kho?: string
  jobs?: number
  timeout?: number
  keep?: boolean
  gdb?: boolean
  uid?: number
}

/** A minute of work in a guest is no error; a guest that nobody looks at for longer is. */
const DEFAULT_TIMEOUT_S = 600
const DAY_MS = 24 * 3600 * 1000

function parseKho(text: string | undefined): 'on' | 'off' {
  if (text === undefined || text === 'on' || text === 'off') return text ?? 'on'
  throw new UsageError({ expected: '--kho to be on or off', found: text })
}

/** Sets a guest up and runs `job` in it, showing `title` while that lasts. */
async function inGuest(options: GuestOptions, context: Context, job: Job, title: string, extra: Partial<GuestRun>): Promise<GuestOutcome | undefined> {
  const kho = parseKho(options.kho)
  const memoryMiB = options.memory === undefined ? GUEST_BASE_MIB + 320 : parseMemory(options.memory)
  const plan = await planSetup(options, context)
  const makeRun = async (): Promise<GuestRun> => {
    const setup = plan.result()
    return {
      setup,
      name: `${job.steps[0]?.type ?? 'boot'}-${plan.arch}`,
      job,
      files: { ...(await appFiles(context.root, setup.addon)), ...nextKernelFiles(setup) },
      memoryMiB,
      kho,
      timeoutMs: (options.timeout ?? DEFAULT_TIMEOUT_S) * 1000,
      keep: options.keep ?? false,
      signal: context.signal,
      ...(options.cmdline ? { cmdline: options.cmdline.split(/\s+/).filter(Boolean) } : {}),
      ...(options.gdb ? { gdb: true, timeoutMs: DAY_MS } : {}),
      ...extra,
    }
  }
  const steps: Step[] = [...plan.steps]
  if (!(await context.run(steps))) {
    await context.run([{ title, run: async () => {} }])
    return undefined
  }
  const run = await makeRun()
  if (options.gdb) context.ui.info(`waiting for gdb at localhost:1234; the symbols are in ${run.setup.kernel.vmlinux}`)
  const { command, args } = buildQemuArgv(vmOptions(run, context.cache.runs))
  context.ui.verbose([command, ...args].join(' '))
  return runGuest(run, context)
}

async function finish(outcome: GuestOutcome, context: Context, options: GuestOptions): Promise<ExitCode> {
  if (outcome.result.outcome !== 'done') await explainFailure(outcome, context)
  else if (options.keep) context.ui.info(`kept: ${outcome.dir}`)
  return exitCodeOfResult(outcome.result)
}

/** Boots to the first program, says what came up, and powers off. */
export async function boot(options: GuestOptions, context: Context): Promise<ExitCode> {
  const outcome = await inGuest(options, context, { steps: [{ type: 'poweroff' }] }, 'boot', { ...(context.options.verbose ? { onConsole: (text) => void process.stderr.write(text) } : {}) })
  if (!outcome) return ExitCode.ok
  const { result } = outcome
  const [kernel] = result.kernels
  if (kernel) {
    context.ui.table([
      ['release', 'boot id', 'to userland', 'accelerator'],
      [kernel.release, kernel.bootId, seconds(kernel.at), result.accel],
    ])
  }
  context.ui.result({ ok: result.outcome === 'done', outcome: result.outcome, ...(kernel ?? {}), accel: result.accel })
  return finish(outcome, context, options)
}

/** A shell in the guest, on this terminal. */
export async function shell(options: GuestOptions, context: Context): Promise<ExitCode> {
  if (!context.options.dryRun && !process.stdin.isTTY) throw new UsageError({ expected: 'a terminal for the shell', found: 'none', mend: 'use `kmho run -- CMD`' })
  context.ui.info('node, the addon (KMHO_BINDING) and another kernel (/run/next) are there; leave with exit, or Ctrl-A x')
  const outcome = await inGuest(options, context, { steps: [{ type: 'shell', uid: options.uid ?? 0 }] }, 'shell', { interactive: true, timeoutMs: DAY_MS })
  return outcome ? finish(outcome, context, options) : ExitCode.ok
}

/** One command in the guest: its output is ours, its exit status too. */
export async function run(command: readonly string[], options: GuestOptions, context: Context): Promise<ExitCode | number> {
  if (command.length === 0) throw new UsageError({ expected: 'a command after `kmho run --`', found: 'none' })
  const job: Job = { steps: [{ type: 'run', name: 'command', argv: [...command], env: NODE_ENV, uid: options.uid ?? 0, mayFail: true }] }
  const lines: string[] = []
  const outcome = await inGuest(options, context, job, `run ${command.join(' ')} in the guest`, {
    onEvent: (event) => {
      if (event.event !== 'output') return
      lines.push(event.line)
      const text = event.line + (event.eol ? '\n' : '')
      if (event.stream === 'stderr') process.stderr.write(text)
      else context.ui.raw(text)
    },
  })
  if (!outcome) return ExitCode.ok
  const exit = outcome.result.events.find((event) => event.event === 'exit')
  const machineOk = outcome.result.outcome === 'done'
  if (machineOk && exit?.timedOut) throw new TimeoutError({ expected: 'the command to end', found: 'it was still running', mend: 'give it longer with --timeout' })
  context.ui.result({ ok: machineOk && exit?.code === 0, exitCode: exit?.code, output: lines })
  if (!machineOk) return finish(outcome, context, options)
  if (options.keep) context.ui.info(`kept: ${outcome.dir}`)
  return exit?.code ?? ExitCode.machinery
}
