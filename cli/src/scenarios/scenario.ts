// SPDX-License-Identifier: MIT
// What a scenario is: a promise, what a guest does to show that it is kept, and how the
// outcome is judged. One that expects a failure of the guest says so itself.

import type { Job, OopsPattern, VmResult } from '../../../qemu/src/index.js'
import { ExitCode } from '../errors.js'
import type { KtapResult } from './ktap.js'

export interface ScenarioRun {
  job: Job
  /** Path on the share -> file on the host. */
  files?: Record<string, string>
  memoryMiB?: number
  kho?: 'on' | 'off'
  cmdline?: string[]
  kunit?: boolean
  /** Complaints of the kernel that the run provokes. */
  allow?: OopsPattern[]
  /** Size in bytes of an empty disk, /dev/vdb in the guest. */
  scratchDisk?: number
  timeoutMs: number
}

export interface Scenario {
  name: string
  /** The promise that it shows. */
  title: string
  run: ScenarioRun
  /** Only the debug flavor has what it runs. */
  debug?: true
  /** The results, read from what the guest said and from its console. */
  judge: (result: VmResult, console: string) => KtapResult[]
}

/** The text that a step of the guest printed on its standard output. */
export function outputOf(result: VmResult, step: string, stage: number): string {
  return result.events
    .flatMap((event) => (event.event === 'output' && event.step === step && event.stage === stage && event.stream === 'stdout' ? [event.line + (event.eol ? '\n' : '')] : []))
    .join('')
}

/** How a step ended; undefined if it never did. */
export function exitOf(result: VmResult, step: string, stage: number): number | undefined {
  const event = result.events.find((item) => item.event === 'exit' && item.step === step && item.stage === stage)
  return event?.event === 'exit' ? event.code : undefined
}

export function passed(name: string, ...detail: string[]): KtapResult {
  return { name, status: 'passed', detail }
}

export function failed(name: string, ...detail: string[]): KtapResult {
  return { name, status: 'failed', detail }
}

/** How a run with these results ends: results that were all skipped prove nothing. */
export function exitCodeOfResults(results: readonly KtapResult[]): ExitCode {
  if (results.some(({ status }) => status === 'failed')) return ExitCode.failed
  return results.length > 0 && results.every(({ status }) => status === 'skipped') ? ExitCode.skipped : ExitCode.ok
}
