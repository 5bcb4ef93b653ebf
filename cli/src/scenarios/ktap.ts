// SPDX-License-Identifier: MIT
// Reads KTAP, as the kernel's KUnit prints it on the console and kselftests on their standard
// output: results with their names, nested or not. A plan that was not kept is a failure.

export interface KtapResult {
  /** Suite and case, joined with " > ". */
  name: string
  status: 'passed' | 'failed' | 'skipped'
  /** The diagnostic lines right before the result, or what is wrong with the plan. */
  detail: string[]
}

interface Level {
  indent: number
  planned?: number
  seen: number
  title?: string
  diagnostics: string[]
}

/** A console line without the kernel's time stamp and the serial line's carriage return. */
function clean(line: string): string {
  return line.replace(/\r$/, '').replace(/^\[\s*\d+\.\d+\]\s?/, '').replace(/^(?:<\d+>)/, '')
}

/**
 * The results in a text that may hold other lines as well. Of nested results only the innermost
 * are returned, as the outer ones say nothing of their own; a suite that failed without a case
 * that failed is returned itself.
 */
export function parseKtap(text: string): KtapResult[] {
  const results: (KtapResult & { depth: number })[] = []
  const levels: Level[] = []
  const open = (indent: number): Level => {
    while (levels.length > 0 && (levels.at(-1) as Level).indent > indent) finish(levels.pop() as Level)
    let level = levels.at(-1)
    if (!level || level.indent < indent) levels.push((level = { indent, seen: 0, diagnostics: [] }))
    return level
  }
  const finish = (level: Level): void => {
    if (level.planned !== undefined && level.seen < level.planned) {
      results.push({ name: level.title ?? 'plan', status: 'failed', detail: [`${level.seen} of ${level.planned} results`], depth: levels.length })
    }
  }
  // Results of an inner level that are still waiting for the result of their suite.
  const pending: { indent: number; from: number }[] = []
  for (const raw of text.split('\n')) {
    const line = clean(raw)
    const indent = /^ */.exec(line)?.[0].length ?? 0
    const body = line.slice(indent)
    if (/^(?:KTAP|TAP) version \d+/.test(body)) {
      const level = open(indent)
      // A second program's output in the same text begins again at the outermost level.
      if (level.seen > 0 && indent === 0) {
        levels.pop()
        finish(level)
        open(indent)
      }
      pending.push({ indent, from: results.length })
      continue
    }
    const plan = /^1\.\.(\d+)/.exec(body)
    if (plan) {
      open(indent).planned = Number(plan[1])
      continue
    }
    if (levels.length === 0) continue
    const result = /^(not )?ok (\d+)(?: (?:- )?(.*))?$/.exec(body)
    if (result) {
      const level = open(indent)
      level.seen++
      // kselftest.h writes `# SKIP` and `# XFAIL` before the name. What fails as expected is `ok`, in TAP and here.
      const [, before = '', rest = ''] = /^(?:#\s*(SKIP|XFAIL)\s+)?(.*)$/i.exec(result[3] ?? '') ?? []
      const [title = '', behind = ''] = rest.split(/\s+#\s*(?=SKIP)/i)
      const directive = before || behind
      const name = title.trim() || `test ${result[2]}`
      const failed = result[1] !== undefined
      // Everything that an inner level printed since its header belongs to this result.
      while ((pending.at(-1)?.indent ?? -1) > indent + 8) pending.pop()
      const inner = pending.at(-1)
      const isSuite = inner !== undefined && inner.indent > indent && results.length > inner.from
      if (isSuite) {
        pending.pop()
        const cases = results.slice(inner.from)
        for (const item of cases) item.name = `${name} > ${item.name}`
        if (failed && cases.every((item) => item.status !== 'failed')) results.push({ name, status: 'failed', detail: level.diagnostics, depth: levels.length })
      } else {
        const status = /^SKIP/i.test(directive) ? 'skipped' : failed ? 'failed' : 'passed'
        results.push({ name, status, detail: level.diagnostics, depth: levels.length })
      }
      level.diagnostics = []
      continue
    }
    const comment = /^# (.*)$/.exec(body)
    if (comment) {
      const level = open(indent)
      const subtest = /^Subtest: (.*)$/.exec(comment[1] as string)
      if (subtest) level.title = subtest[1] as string
      else level.diagnostics.push(comment[1] as string)
    }
  }
  while (levels.length > 0) finish(levels.pop() as Level)
  return results.map(({ name, status, detail }) => ({ name, status, detail }))
}
