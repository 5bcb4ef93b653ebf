// SPDX-License-Identifier: MIT
// What verify hands over is found again through a directory: a page under a key of its own
// that says which ranges there are under the other keys. A process needs to know no more than
// the keys. Also here: what the two guest programs tell the host.

/** The keys: "kmho" as a number, and those after it. */
export const KEYS = { directory: 0x6b6d686fn, store: 0x6b6d6870n, pattern: 0x6b6d6871n } as const

const MAGIC = 'kmho verify 1\n'

export type Role = 'data' | 'index' | 'pattern'

export interface RangeLayout {
  role: Role
  /** Address that the range had when it was handed over, in hexadecimal. */
  base: string
  length: number
  /** Bytes that mean something; the rest of the last page is zero. */
  used: number
}

/** Writes the directory; `memory` is zero. Throws where it does not fit: ask for directoryBytes() of it. */
export function writeDirectory(memory: Buffer, ranges: readonly RangeLayout[]): void {
  const text = JSON.stringify(ranges)
  if (MAGIC.length + 4 + text.length > memory.length) throw new RangeError(`a directory of ${text.length} bytes does not fit in ${memory.length}`)
  memory.write(MAGIC, 0, 'latin1')
  memory.writeUInt32LE(text.length, MAGIC.length)
  memory.write(text, MAGIC.length + 4, 'latin1')
}

/** How much memory a directory of so many ranges takes. */
export function directoryBytes(ranges: number): number {
  return 4096 * Math.ceil((4096 + ranges * 128) / 4096)
}

/** What a directory says; undefined if this is none. */
export function readDirectory(memory: Buffer): RangeLayout[] | undefined {
  if (memory.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined
  const length = memory.readUInt32LE(MAGIC.length)
  return JSON.parse(memory.toString('latin1', MAGIC.length + 4, MAGIC.length + 4 + length)) as RangeLayout[]
}

export interface RangeSum {
  role: Role
  bytes: number
  sha256: string
}

/** What either program says when it is done. */
export interface GuestReport {
  report: 'before' | 'after'
  /** The kernel had everything that was asked for. */
  ok: boolean
  /** Records that the kernel held for us: handed over (before), there to take (after). */
  found: number
  /** Bytes handed over, or taken over. */
  bytes: number
  ranges: RangeSum[]
  /** SHA-256 over all answers, in the order of the questions. */
  answers: string
  /** Questions that had an answer. */
  answered: number
  /** Milliseconds of guest time. */
  timings: Record<string, number>
  /** What the kernel refused, and why; in a control run that is what has to happen. */
  error?: { code: string; message: string }
}

/** What the program before the kexec says as soon as it needs the file no more. */
export interface LoadedReport {
  report: 'loaded'
  format: string
  records: number
}

export type Report = GuestReport | LoadedReport

/** Says it to the host; QEMU's side of the port takes lines of this form from the standard output. */
export function report(message: Report): void {
  process.stdout.write(`@kmho ${JSON.stringify(message)}\n`)
}
