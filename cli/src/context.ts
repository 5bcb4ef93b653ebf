// SPDX-License-Identifier: MIT
// What every command is handed: where things are, how to talk, and when to stop.

import { cacheDirs, kernelDirs, rootDir, type CacheDirs, type KernelDirs } from './paths.js'
import type { PlannedStep, Step } from './runner.js'
import { Ui } from './ui/ui.js'

export interface GlobalOptions {
  json?: boolean
  dryRun?: boolean
  verbose?: boolean
  quiet?: boolean
}

export interface Context {
  ui: Ui
  signal: AbortSignal
  options: GlobalOptions
  root: string
  dirs: KernelDirs
  cache: CacheDirs
  /** Carries a plan out; with --dry-run prints it instead and returns false. */
  run(steps: readonly Step[]): Promise<boolean>
  /** What --dry-run has printed of plans. */
  planned: PlannedStep[]
}

export function makeContext(options: GlobalOptions, signal: AbortSignal, ui: Ui = new Ui(options)): Context {
  const root = rootDir()
  return {
    ui,
    signal,
    options,
    root,
    dirs: kernelDirs(root),
    cache: cacheDirs(),
    planned: [],
    async run(steps) {
      const { describePlan, runPlan } = await import('./runner.js')
      await runPlan(steps, { ui, signal, dryRun: options.dryRun ?? false })
      if (options.dryRun) this.planned.push(...describePlan(steps))
      return !options.dryRun
    },
  }
}
