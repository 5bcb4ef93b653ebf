// SPDX-License-Identifier: MIT
// The kernel's own selftests, on the kernel as Linux ships it and on ours: what passes on the one has to pass
// on the other. Some fail on both, in such a guest; they say nothing, and are counted apart.

import type { Job, Step, VmResult } from '../../../qemu/src/index.js'
import { guestPaths } from '../machine.js'
import type { UpstreamTest } from '../upstream.js'
import { parseKtap, type KtapResult } from './ktap.js'
import { exitOf, failed, outputOf, passed } from './scenario.js'

/** What kselftests exit with when they could not be run. */
const SKIPPED = 4
const TIMEOUT_MS = 1_800_000

export const titleOf = ({ folder, program, args = [] }: UpstreamTest): string => [`${folder}/${program}`, ...args].join(' ')

const stepOf = (test: UpstreamTest, nr: number, stage: number): Step => ({
  type: 'run',
  name: `${nr}-${test.program}`,
  argv: [`${guestPaths.share}/upstream/${test.program}`, ...(test.stages ? ['-s', String(stage)] : (test.args ?? []))],
  cwd: '/tmp',
  timeoutMs: TIMEOUT_MS,
  mayFail: true,
})

/** All tests in one guest; those in two stages last, and then a kexec. */
export function upstreamJob(tests: readonly UpstreamTest[], next: Step): Job {
  const steps = (stage: number, staged: boolean): Step[] => tests.flatMap((test, nr) => (Boolean(test.stages) === staged ? [stepOf(test, nr, stage)] : []))
  const two = tests.some(({ stages }) => stages)
  return { steps: [...steps(1, false), ...steps(1, true), ...(two ? [next, ...steps(2, true)] : [])] }
}

/** What a guest said of each test. A program without results of its own is one result. */
export function upstreamResults(tests: readonly UpstreamTest[], result: VmResult): KtapResult[] {
  return tests.flatMap((test, nr) =>
    (test.stages ? [1, 2] : [1]).flatMap((stage): KtapResult[] => {
      const [title, step] = [`${titleOf(test)}${test.stages ? `, stage ${stage}` : ''}`, `${nr}-${test.program}`]
      const code = exitOf(result, step, stage)
      const inner = parseKtap(outputOf(result, step, stage)).map((item) => ({ ...item, name: `${title}: ${item.name}` }))
      const verdict = code === 0 ? passed(title) : code === SKIPPED ? { ...passed(title), status: 'skipped' as const } : failed(title, `exit status ${code ?? 'none'}`)
      return [...inner, verdict]
    }),
  )
}

export interface Comparison {
  /** Passed on both. */
  passed: string[]
  /** Passed on the kernel as Linux ships it, and not on ours. */
  worse: KtapResult[]
  /** Passed on neither, or could not be run. */
  silent: string[]
}

/**
 * Names may hold what was measured, which is not compared. They may occur twice, as those of a test that is
 * repeated with other memory do: the nth of one is the nth of the other.
 */
export function compareUpstream(stock: readonly KtapResult[], ours: readonly KtapResult[]): Comparison {
  const numbered = (results: readonly KtapResult[]): [string, KtapResult][] => {
    const seen = new Map<string, number>()
    return results.map((result) => {
      const name = result.name.replaceAll(/(?<![\w-])\d+(\.\d+)?(?=%|[KMG]B\b|\W|$)/g, 'N')
      const nth = (seen.get(name) ?? 0) + 1
      seen.set(name, nth)
      return [nth === 1 ? name : `${name} (${nth})`, result]
    })
  }
  const mine = new Map(numbered(ours))
  const comparison: Comparison = { passed: [], worse: [], silent: [] }
  for (const [name, theirs] of numbered(stock)) {
    const found = mine.get(name)
    if (theirs.status !== 'passed') comparison.silent.push(name)
    else if (found?.status === 'passed') comparison.passed.push(name)
    else comparison.worse.push({ ...(found ?? failed(name, 'not seen')), name })
  }
  return comparison
}
