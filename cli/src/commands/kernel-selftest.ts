// SPDX-License-Identifier: MIT
// `kmho kernel selftest [NAME...]`: the kernel's own selftests of mm and LUO, in a guest of the
// stock kernel and in one of ours.

import colors from '../ui/colors.js'
import type { Context } from '../context.js'
import { ExitCode, UsageError } from '../errors.js'
import { readBase } from '../kernel/base.js'
import { withSources } from '../kernel/build.js'
import { exitCodeOfResult, explainFailure, nextKernelFiles, planSetup, runGuest, type Setup } from '../machine.js'
import type { KtapResult } from '../scenarios/ktap.js'
import { compareUpstream, titleOf, upstreamJob, upstreamResults } from '../scenarios/upstream.js'
import { buildUpstream, UPSTREAM, type UpstreamTest } from '../upstream.js'
import { seconds } from '../ui/ui.js'

export interface SelftestOptions {
  arch?: string
  source?: string
  jobs?: number
}

const MEMORY_MIB = 3072
const TIMEOUT_MS = 7_200_000

export async function kernelSelftest(names: readonly string[], options: SelftestOptions, context: Context): Promise<ExitCode> {
  const { ui } = context
  const plans = [await planSetup({ ...options, flavor: 'stock', addon: false }, context), await planSetup({ ...options, addon: false }, context)] as const
  const { arch } = plans[0]
  const known = UPSTREAM.filter((test) => test.arch === undefined || test.arch === arch)
  const unknown = names.find((name) => !known.some(({ program }) => program === name))
  if (unknown !== undefined) throw new UsageError({ expected: `some of ${[...new Set(known.map(({ program }) => program))].join(', ')}`, found: unknown })
  const tests = known.filter(({ program }) => names.length === 0 || names.includes(program))

  if (!(await context.run(plans.flatMap(({ steps }) => steps)))) {
    await context.run(tests.map((test) => ({ title: titleOf(test), run: async () => {} })))
    return ExitCode.ok
  }
  const [stock, ours] = plans.map((plan) => plan.result()) as [Setup, Setup]
  let dir = ''
  await context.run([
    {
      title: `the kernel's own selftests for ${arch}`,
      run: async (step) => {
        const base = await readBase(context.dirs.base)
        const kernel = { ...options, arch, flavor: 'stock' as const, base, dirs: context.dirs, cache: context.cache, signal: context.signal }
        dir = await withSources(kernel, step, ({ source, tree }) => buildUpstream(arch, tests, source.key, stock.kernel.headers, tree, context))
        return `${tests.length} of them`
      },
    },
  ])
  const results: KtapResult[][] = []
  for (const setup of [stock, ours]) {
    const found = await runTests(tests, dir, setup, context)
    if (typeof found === 'number') return found
    results.push(found)
  }
  const { passed, worse, silent } = compareUpstream(results[0] ?? [], results[1] ?? [])
  for (const { name, detail } of worse) {
    ui.print(`${colors.red('failed')} ${arch} ${name}`)
    for (const line of detail.slice(0, 8)) ui.print(`         ${line}`)
  }
  ui.print(`${silent.length} results say nothing: without our patches, they do not pass in such a guest either`)
  ui.print(`${passed.length} passed, ${worse.length} failed`)
  ui.result({ ok: worse.length === 0 && passed.length > 0, arch, passed: passed.length, failed: worse.length, worse, silent })
  return worse.length === 0 && passed.length > 0 ? ExitCode.ok : ExitCode.failed
}

async function runTests(tests: readonly UpstreamTest[], dir: string, setup: Setup, context: Context): Promise<KtapResult[] | ExitCode> {
  const { ui } = context
  const { arch, kernel } = setup
  const progress = ui.progress(`selftests of ${kernel.flavor}, ${arch}`)
  let done = 0
  const outcome = await runGuest(
    {
      setup,
      name: `selftest-${arch}-${kernel.flavor}`,
      job: upstreamJob(tests, { type: 'kexec', image: 'next/image', initrd: 'next/initrd' }),
      files: { ...nextKernelFiles(setup), ...Object.fromEntries(tests.map(({ program }) => [`upstream/${program}`, `${dir}/${program}`])) },
      memoryMiB: MEMORY_MIB,
      cmdline: ['liveupdate=on'],
      timeoutMs: TIMEOUT_MS,
      keep: true,
      signal: context.signal,
      onEvent: (event) => {
        if (event.event === 'exit') progress.update(++done, tests.length, event.step)
        else if (event.event === 'output') ui.verbose(`${event.step}: ${event.line}`)
      },
    },
    context,
  )
  if (outcome.result.outcome !== 'done') {
    progress.fail()
    await explainFailure(outcome, context)
    return exitCodeOfResult(outcome.result)
  }
  progress.done(seconds(outcome.result.ms))
  return upstreamResults(tests, outcome.result)
}
