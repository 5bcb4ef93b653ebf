// SPDX-License-Identifier: MIT
// Runs in the guest after the kexec, in another kernel, without the file: takes over what is
// held under the keys, sums it up, and answers the same look-ups out of it.
//
//     node after.js QUESTIONS

import { readFileSync } from 'node:fs'
import { query, takeover } from '../../../native/lib/index.js'
import { askAll, sha256 } from './answers.js'
import { KvStore } from './kv-store.js'
import { KEYS, readDirectory, report, type GuestReport, type RangeLayout } from './layout.js'

async function main(questionsPath: string): Promise<void> {
  const timings: Record<string, number> = {}
  const done: GuestReport = { report: 'after', ok: false, found: 0, bytes: 0, ranges: [], answers: '', answered: 0, timings }
  const timed = async <T>(name: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now()
    const result = await work()
    timings[name] = performance.now() - start
    return result
  }
  try {
    done.found = query().records.length
    const [layout, taken] = await timed('takeover', () => {
      const [directory] = takeover(KEYS.directory)
      const listed = directory && readDirectory(directory)
      if (!listed) throw new Error('what was taken over is no directory')
      const take = (key: bigint, ranges: RangeLayout[]): Buffer[] =>
        ranges.length === 0 ? [] : takeover(key, ranges.map(({ base, length }) => ({ base: BigInt(`0x${base}`), length })))
      const store = listed.filter(({ role }) => role !== 'pattern')
      const pattern = listed.filter(({ role }) => role === 'pattern')
      return [[...store, ...pattern], [...take(KEYS.store, store), ...take(KEYS.pattern, pattern)]] as const
    })
    done.bytes = taken.reduce((sum, memory) => sum + memory.length, 0)
    const at = (role: string): Buffer => {
      const i = layout.findIndex((range) => range.role === role)
      return (taken[i] as Buffer).subarray(0, (layout[i] as RangeLayout).used)
    }
    const store = new KvStore(at('data'), at('index'))
    const questions = JSON.parse(readFileSync(questionsPath, 'utf8')) as string[]
    await timed('firstAnswer', () => askAll(store, questions.slice(0, 1)))
    Object.assign(done, await timed('lookups', () => askAll(store, questions)))
    const sums = await timed('checksums', () => taken.map(sha256))
    done.ranges = layout.map(({ role, length }, i) => ({ role, bytes: length, sha256: sums[i] as string }))
    done.ok = true
  } catch (error) {
    const { code = 'unknown', message } = error as NodeJS.ErrnoException
    done.error = { code, message }
  }
  report(done)
}

const [questions = ''] = process.argv.slice(2)
await main(questions)
