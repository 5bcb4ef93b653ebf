// SPDX-License-Identifier: MIT
// The main job: a Node process's key-value store outlives the kernel. This file says what is
// run in the guest and what has to come out of it; it starts nothing itself.

import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { GuestEvent, Job, KernelSeen } from '../../../qemu/src/index.js'
import { UsageError } from '../errors.js'
import { askAll, sha256 } from '../guest/answers.js'
import { buildIndex, KvStore, parseRecords } from '../guest/kv-store.js'
import type { GuestReport, LoadedReport, RangeSum, Report } from '../guest/layout.js'
import { fillPattern } from '../guest/pattern.js'
import { nodeProgram } from '../machine.js'

const PAGE = 4096
const PATTERN_RANGE = 64 << 20

/** How many look-ups are asked on either side of the kexec. */
export const LOOKUPS = 1000

/** Milliseconds for a guest to boot, load, hand over, kexec and check; emulated machines hash slowly. */
export function verifyTimeout(bytes: number): number {
  return 240_000 + (bytes / 2 ** 20) * 400
}

/** The disk with the input: the guest's only one beside its root. */
const INPUT_DISK = '/dev/vdb'
/** How many bytes of the disk are the input; a file of the share, there as long as the disk holds them. */
export const INPUT_SIZE = 'input-size'

/** The same for both runs but for kho=, which makes one the control, and for sums that a control needs not. */
export function verifyJob(patternBytes: number, seed: number, control = false): Job {
  return {
    steps: [
      { type: 'start', name: 'before', ...nodeProgram('cli/src/guest/before.js', [INPUT_DISK, `/run/${INPUT_SIZE}`, '/run/questions.json', String(patternBytes), String(seed), ...(control ? ['control'] : [])]) },
      { type: 'kexec', image: 'next/image', initrd: 'next/initrd' },
      { type: 'run', name: 'after', ...nodeProgram('cli/src/guest/after.js', ['/run/questions.json']) },
    ],
  }
}

/** What every sum and answer has to be, worked out on this side from the file alone. */
export interface Expectation {
  bytes: number
  fileSha256: string
  records: number
  format: string
  questions: string[]
  answers: string
  answered: number
  ranges: RangeSum[]
}

async function readFileInto(path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError({ expected: `--input to name a file that can be read`, found: `${error.code ?? error.message} at ${path}` })
  })
  try {
    const info = await file.stat()
    if (!info.isFile()) throw new UsageError({ expected: '--input to name a file', found: `something else at ${path}` })
    let memory: Buffer
    try {
      // Whole pages, as the guest has it, so that the sums are over the same bytes.
      memory = Buffer.alloc(Math.max(PAGE, Math.ceil(info.size / PAGE) * PAGE))
    } catch (error) {
      throw new UsageError({ expected: '--input to name a file that fits in one Buffer', found: `${info.size} bytes` }, { cause: error })
    }
    for (let at = 0; at < info.size; ) {
      const { bytesRead } = await file.read(memory, at, Math.min(64 << 20, info.size - at), at)
      if (bytesRead === 0) throw new UsageError({ expected: `${info.size} bytes in ${path}`, found: `the end after ${at}` })
      at += bytesRead
    }
    return Object.assign(memory, { used: info.size })
  } finally {
    await file.close()
  }
}

/** Works out what has to come out. */
export async function expect(path: string, patternBytes: number, seed: number): Promise<Expectation> {
  const memory = (await readFileInto(path)) as Buffer & { used: number }
  const data = memory.subarray(0, memory.used)
  const records = parseRecords(data)
  const index = Buffer.alloc(Math.ceil(records.indexBytes / PAGE) * PAGE)
  buildIndex(index, records)
  const store = new KvStore(data, index)
  const known = store.sampleKeys(LOOKUPS - 1)
  // One question that has no answer: a store that answers anything would be caught.
  const questions = [...known, 'a key that is not in the store']
  const ranges: RangeSum[] = [
    { role: 'data', bytes: memory.length, sha256: sha256(memory) },
    { role: 'index', bytes: index.length, sha256: sha256(index) },
  ]
  for (let at = 0; at < patternBytes; at += PATTERN_RANGE) {
    const used = Math.min(PATTERN_RANGE, patternBytes - at)
    const part = Buffer.alloc(Math.ceil(used / PAGE) * PAGE)
    fillPattern(part.subarray(0, used), seed, at / PAGE)
    ranges.push({ role: 'pattern', bytes: part.length, sha256: sha256(part) })
  }
  return {
    bytes: ranges.reduce((sum, range) => sum + range.bytes, 0),
    fileSha256: sha256(data),
    records: store.records,
    format: store.format,
    questions,
    ...askAll(store, questions),
    ranges,
  }
}

/** One checksum that stands for all ranges, in their order. */
export function combine(ranges: readonly RangeSum[]): string {
  const hash = createHash('sha256')
  for (const { role, bytes, sha256: sum } of ranges) hash.update(`${role} ${bytes} ${sum}\n`)
  return hash.digest('hex')
}

/** What one run of the guest said. */
export interface Observed {
  kernels: KernelSeen[]
  loaded?: LoadedReport
  before?: GuestReport
  after?: GuestReport
  /** Milliseconds of the host's clock from the kexec to the next kernel's first program. */
  kexecMs?: number
}

export function observe(events: readonly GuestEvent[], kernels: readonly KernelSeen[]): Observed {
  const observed: Observed = { kernels: [...kernels] }
  for (const event of events) {
    if (event.event !== 'data') continue
    const report = event.data as Report
    if (report.report === 'loaded') observed.loaded = report
    if (report.report === 'before') observed.before = report
    if (report.report === 'after') observed.after = report
  }
  const kexec = events.find((event) => event.event === 'kexec')
  const boot = events.find((event) => event.event === 'boot' && event.stage === 2)
  if (kexec && boot) observed.kexecMs = boot.at - kexec.at
  return observed
}

export interface Verdict {
  promise: string
  ok: boolean
  detail: string
}

function compareRanges(found: readonly RangeSum[], wanted: readonly RangeSum[]): string | undefined {
  if (found.length !== wanted.length) return `${found.length} ranges instead of ${wanted.length}`
  const wrong = wanted.findIndex((range, i) => found[i]?.sha256 !== range.sha256 || found[i]?.bytes !== range.bytes)
  return wrong < 0 ? undefined : `range ${wrong} (${wanted[wrong]?.role}) differs`
}

/** Judges the run with kho=on against what has to come out. */
export function judge(observed: Observed, wanted: Expectation): Verdict[] {
  const { before, after, kernels } = observed
  const [first, second] = kernels
  const verdict = (promise: string, problem: string | undefined, detail: string): Verdict => ({ promise, ok: problem === undefined, detail: problem ?? detail })
  const refused = (report: GuestReport | undefined): string | undefined =>
    report === undefined ? 'it said nothing' : report.error ? `${report.error.code}: ${report.error.message}` : report.ok ? undefined : 'it did not succeed'
  const sums = `${wanted.ranges.length} ranges`
  return [
    verdict('the first kernel took all of the memory', refused(before) ?? (before && before.bytes < wanted.bytes ? `${before.bytes} of ${wanted.bytes} bytes` : undefined), `${before?.bytes} bytes in ${before?.found} records`),
    verdict('before the kexec every range had the right SHA-256', before ? compareRanges(before.ranges, wanted.ranges) : 'it said nothing', sums),
    verdict(
      'another kernel runs',
      !first || !second ? `${kernels.length} kernels were seen` : first.release === second.release ? `${first.release} twice` : first.bootId === second.bootId ? `boot id ${first.bootId} twice` : undefined,
      `${first?.release} -> ${second?.release}`,
    ),
    verdict('the new kernel gave all of the memory to a new process', refused(after) ?? (after && after.bytes !== wanted.bytes ? `${after.bytes} of ${wanted.bytes} bytes` : undefined), `${after?.bytes} bytes`),
    verdict('after the kexec every range has the same SHA-256', after ? compareRanges(after.ranges, wanted.ranges) : 'it said nothing', sums),
    verdict(
      'the same look-ups have the same answers',
      after?.answers === wanted.answers && before?.answers === wanted.answers && after.answered === wanted.answered ? undefined : 'the answers differ',
      `${wanted.questions.length} look-ups, ${wanted.answered} with an answer`,
    ),
  ]
}

/** Judges the control run: with kho=off both kernels have to run, and the second has to find nothing. */
export function judgeControl(observed: Observed): { found: number; verdict: Verdict } {
  const { before, after, kernels } = observed
  const found = after?.found ?? 0
  const problem =
    kernels.length < 2
      ? `only ${kernels.length} kernels were seen`
      : !before || !after
        ? 'a process said nothing'
        : before.ok || before.error?.code !== 'EOPNOTSUPP'
          ? `the handover ended with ${before.error?.code ?? 'success'} instead of EOPNOTSUPP`
          : after.ok || found > 0 || after.bytes > 0
            ? `${after.bytes} bytes were found`
            : undefined
  return { found: Math.max(found, after?.bytes ? 1 : 0), verdict: { promise: 'with kho=off nothing survives (control)', ok: problem === undefined, detail: problem ?? `handover and takeover answer ${before?.error?.code}` } }
}
