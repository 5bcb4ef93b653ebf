// SPDX-License-Identifier: MIT
// `kmho test [NAME...]`: the tests that need guests. Each scenario is one boot; results are
// printed one a line, and counted.

import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import colors from '../ui/colors.js'
import type { Context } from '../context.js'
import { ExitCode, UsageError } from '../errors.js'
import { withSources } from '../kernel/build.js'
import { readBase } from '../kernel/base.js'
import { appFiles, cliFiles, explainFailure, GUEST_BASE_MIB, nextKernelFiles, planSetup, runGuest, type Setup } from '../machine.js'
import { addonScenarios, harnessScenarios, judgeReleases, khoScenario, kunitScenario, operatorScenarios, selftestScenarios, type TestScale } from '../scenarios/guest-tests.js'
import type { KtapResult } from '../scenarios/ktap.js'
import { exitCodeOfResults, type Scenario } from '../scenarios/scenario.js'
import { buildSelftests, listSelftests } from '../selftests.js'
import { seconds } from '../ui/ui.js'

export interface TestOptions extends TestScale {
  arch?: string
  flavor?: string
  from?: string
  to?: string
  source?: string
  jobs?: number
  list?: boolean
  keep?: boolean
}

/** What the debug flavor checks takes it as many times as long; so long may a test take there. */
const DEBUG_FACTOR = 12
const DEBUG_TEST_S = 3600

export async function test(names: readonly string[], options: TestOptions, context: Context): Promise<ExitCode> {
  const { ui, signal } = context
  const plan = await planSetup(options, context)
  const tests = await listSelftests(context.dirs.overlay)
  const listed = scenarios(tests, '', {}, {})
  const unknown = names.find((name) => !listed.some((scenario) => scenario.name === name))
  if (unknown !== undefined) throw new UsageError({ expected: `one of ${listed.map(({ name }) => name).join(', ')}`, found: unknown })
  if (options.list) {
    for (const { name, title } of listed) ui.print(`${name.padEnd(20)} ${title}`)
    ui.result({ ok: true, scenarios: listed.map(({ name, title }) => ({ name, title })) })
    return ExitCode.ok
  }
  const debug = options.flavor === 'debug'
  const elsewhere = listed.find((scenario) => scenario.debug && !debug && names.includes(scenario.name))
  if (elsewhere) throw new UsageError({ expected: `--flavor debug for ${elsewhere.name}`, found: options.flavor ?? 'default' })
  if (!(await context.run(plan.steps))) return ExitCode.ok
  const setup = plan.result()
  let chosen: Scenario[] = []
  await context.run([
    {
      title: `programs for guests of ${setup.arch}`,
      run: async (step) => {
        const base = await readBase(context.dirs.base, options.from)
        const kernel = { ...options, arch: setup.arch, flavor: setup.kernel.flavor, base, dirs: context.dirs, cache: context.cache, signal }
        const dir = await withSources(kernel, step, ({ tree }) => buildSelftests(setup.arch, setup.kernel.headers, tree, context))
        const files = { ...(await appFiles(context.root, setup.addon)), ...nextKernelFiles(setup) }
        chosen = scenarios(tests, dir, files, await cliFiles(context.root), debug ? { timeoutS: DEBUG_TEST_S, ...options } : options).filter((scenario) => (debug || !scenario.debug) && (names.length === 0 || names.includes(scenario.name)))
      },
    },
  ])
  const results: KtapResult[] = []
  for (const scenario of chosen) results.push(...(await runScenario(scenario, setup, options, context)))
  const count = (status: KtapResult['status']): number => results.filter((result) => result.status === status).length
  const [good, bad, skipped] = [count('passed'), count('failed'), count('skipped')]
  ui.print(`${good} passed, ${bad} failed${skipped ? `, ${skipped} skipped` : ''}`)
  ui.result({ ok: bad === 0, arch: setup.arch, passed: good, failed: bad, skipped, results })
  return exitCodeOfResults(results)
}

function scenarios(tests: Parameters<typeof selftestScenarios>[0], dir: string, files: Record<string, string>, cli: Record<string, string>, scale: TestScale = {}): Scenario[] {
  return [...harnessScenarios(), kunitScenario(), khoScenario(), ...selftestScenarios(tests, dir, scale), ...addonScenarios(files), ...operatorScenarios({ ...files, ...cli })]
}

async function runScenario(scenario: Scenario, setup: Setup, options: TestOptions, context: Context): Promise<KtapResult[]> {
  const { ui, signal } = context
  const { run } = scenario
  const progress = ui.progress(`${setup.arch} ${scenario.name}: ${scenario.title}`)
  const disk = join(context.cache.tmp, `disk-${process.pid}`)
  if (run.scratchDisk !== undefined) {
    const file = await open(disk, 'w')
    await file.truncate(run.scratchDisk)
    await file.close()
  }
  let seen = 0
  try {
    const outcome = await runGuest(
      {
        setup,
        name: `test-${setup.arch}-${scenario.name}`,
        job: run.job,
        files: { ...nextKernelFiles(setup), ...(run.files ?? {}) },
        memoryMiB: run.memoryMiB ?? GUEST_BASE_MIB,
        timeoutMs: run.timeoutMs * (setup.kernel.flavor === 'debug' ? DEBUG_FACTOR : 1),
        // Judged first, and removed then: a result may be in the console of a run that ended well.
        keep: true,
        signal,
        ...(run.kho ? { kho: run.kho } : {}),
        ...(run.cmdline ? { cmdline: run.cmdline } : {}),
        ...(run.kunit ? { kunit: true } : {}),
        ...(run.allow ? { allow: run.allow } : {}),
        ...(run.scratchDisk === undefined ? {} : { disks: [disk] }),
        onEvent: (event) => {
          if (event.event !== 'output') return
          ui.verbose(`${event.step}: ${event.line}`)
          if (/^\s*(not )?ok \d/.test(event.line)) progress.update(++seen, undefined, event.line)
        },
      },
      context,
    )
    const results = [
      ...scenario.judge(outcome.result, await readFile(outcome.result.console, 'utf8').catch(() => '')),
      ...judgeReleases(outcome.result, setup.kernel.release, setup.kernel.successor.release),
    ]
    const bad = results.filter(({ status }) => status === 'failed')
    if (bad.length === 0) progress.done(`${results.length} results, ${seconds(outcome.result.ms)}`)
    else progress.fail()
    for (const { name, status, detail } of results) {
      const mark = status === 'passed' ? colors.green('ok    ') : status === 'failed' ? colors.red('failed') : colors.yellow('skip  ')
      ui.print(`${mark} ${setup.arch} ${name}`)
      if (status !== 'passed') for (const line of detail.slice(0, 8)) ui.print(`         ${line}`)
    }
    if (bad.length > 0) await explainFailure(outcome, context)
    else if (!options.keep) await rm(outcome.dir, { recursive: true, force: true })
    return results
  } finally {
    await rm(disk, { force: true })
  }
}
