// SPDX-License-Identifier: MIT
// Plans first, runs after. A command of the CLI turns its options into a list of steps;
// this file prints the list (--dry-run) or carries it out, and never decides what is in it.

import { formatCommand, runCommand, type Command } from './command.js'
import { InterruptedError } from './errors.js'
import type { Progress, Ui } from './ui/ui.js'

export interface StepContext {
  ui: Ui
  signal: AbortSignal
  progress: Progress
}

/** One step of a plan: a command that is run, or work done in this process, described. */
export type Step =
  | { title: string; command: Command; run?: never; cached?: string }
  | { title: string; command?: Command | readonly Command[]; run: (context: StepContext) => Promise<string | void>; cached?: string }

export interface RunPlanOptions {
  ui: Ui
  signal: AbortSignal
  dryRun?: boolean
}

function commandsOf(step: Step): readonly Command[] {
  return step.command === undefined ? [] : [step.command].flat()
}

/** A step as --json prints it. */
export interface PlannedStep {
  title: string
  cached?: string
  commands: string[]
}

export function describePlan(steps: readonly Step[]): PlannedStep[] {
  return steps.map((step) => (step.cached ? { title: step.title, cached: step.cached, commands: [] } : { title: step.title, commands: commandsOf(step).map(formatCommand) }))
}

/** The plan as text: a comment for each step, and the commands that it runs. */
export function formatPlan(steps: readonly Step[]): string[] {
  return describePlan(steps).flatMap(({ title, cached, commands }) => [`# ${title}${cached ? ` (nothing to do: ${cached})` : ''}`, ...commands])
}

/** Carries the steps out in order; those whose result is there already are passed over. */
export async function runPlan(steps: readonly Step[], options: RunPlanOptions): Promise<void> {
  const { ui, signal } = options
  if (options.dryRun) {
    for (const line of formatPlan(steps)) ui.print(line)
    return
  }
  for (const step of steps) {
    if (signal.aborted) throw new InterruptedError()
    if (step.cached) {
      ui.verbose(`${step.title}: ${step.cached}`)
      continue
    }
    const progress = ui.progress(step.title)
    try {
      for (const command of commandsOf(step)) ui.verbose(formatCommand(command))
      const note = step.run
        ? await step.run({ ui, signal, progress })
        : void (await runCommand(step.command, { signal, onLine: (line) => ui.verbose(line) }))
      progress.done(note ?? undefined)
    } catch (error) {
      progress.fail()
      throw error
    }
  }
}
