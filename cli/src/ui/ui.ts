// SPDX-License-Identifier: MIT
// What a person sees. Progress and remarks go to the standard error, results to the
// standard output, so that `--json | jq` and `> file` always get the result and nothing else.

import { SingleBar } from 'cli-progress'
import Table from 'cli-table3'
import colors from './colors.js'

export interface UiOptions {
  json?: boolean
  quiet?: boolean
  verbose?: boolean
  stdout?: NodeJS.WritableStream
  stderr?: NodeJS.WritableStream & { isTTY?: boolean }
}

/** A step under way. `total` undefined: nobody knows how much there is to do. */
export interface Progress {
  update(done: number, total: number | undefined, text?: string): void
  done(note?: string): void
  fail(): void
}

/** Without a terminal, a line of progress at most this often, in milliseconds. */
const LINE_EVERY_MS = 15_000

export class Ui {
  readonly options: UiOptions
  readonly #out: NodeJS.WritableStream
  readonly #err: NodeJS.WritableStream & { isTTY?: boolean }

  constructor(options: UiOptions = {}) {
    this.options = options
    this.#out = options.stdout ?? process.stdout
    this.#err = options.stderr ?? process.stderr
  }

  /** A line of the result. With --json only the object at the end is the result. */
  print(line: string): void {
    if (!this.options.json) this.#out.write(`${line}\n`)
  }

  /** The one object that a command with --json ends with. */
  result(object: object): void {
    if (this.options.json) this.#out.write(`${JSON.stringify(object)}\n`)
  }

  raw(text: string | Uint8Array): void {
    if (!this.options.json) this.#out.write(text)
  }

  info(line: string): void {
    if (!this.options.quiet) this.#err.write(`${line}\n`)
  }

  warn(line: string): void {
    this.#err.write(`${colors.yellow('warning:')} ${line}\n`)
  }

  error(line: string): void {
    this.#err.write(`${colors.red('kmho:')} ${line}\n`)
  }

  verbose(line: string): void {
    if (this.options.verbose) this.#err.write(`${colors.dim(line)}\n`)
  }

  /** A table; the first row is its head. */
  table(rows: readonly (readonly string[])[]): void {
    if (this.options.json || rows.length === 0) return
    const [head = [], ...body] = rows
    const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } })
    table.push(...body.map((row) => [...row]))
    this.#out.write(`${table.toString()}\n`)
  }

  progress(title: string): Progress {
    if (this.options.quiet) return { update: () => {}, done: () => {}, fail: () => {} }
    return this.#err.isTTY && !this.options.verbose ? this.#bar(title) : this.#lines(title)
  }

  #lines(title: string): Progress {
    const start = Date.now()
    let last = start
    return {
      update: (done, total, text) => {
        if (Date.now() - last < LINE_EVERY_MS) return
        last = Date.now()
        this.#err.write(`${title}: ${[total ? `${done}/${total}` : done || '', text].filter(Boolean).join(' ')}\n`)
      },
      done: (note) => void this.#err.write(`${colors.green('ok')} ${title}${note ? `: ${note}` : ''} ${colors.dim(`(${seconds(Date.now() - start)})`)}\n`),
      fail: () => void this.#err.write(`${colors.red('failed')} ${title}\n`),
    }
  }

  #bar(title: string): Progress {
    const start = Date.now()
    let bar: SingleBar | undefined
    const stream = this.#err
    stream.write(`${colors.dim('..')} ${title}\r`)
    const clear = (): void => {
      bar?.stop()
      bar = undefined
      stream.write('\r\x1b[2K')
    }
    return {
      update: (done, total, text) => {
        if (!bar) {
          bar = new SingleBar({ format: `${title} {bar} {value}/{total} {text}`, stream, clearOnComplete: true, hideCursor: true, barsize: 24, etaBuffer: 50 })
          bar.start(total ?? 0, 0, { text: '' })
        }
        if (total !== undefined) bar.setTotal(Math.max(total, done))
        bar.update(done, { text: (text ?? '').slice(0, 40) })
      },
      done: (note) => {
        clear()
        stream.write(`${colors.green('ok')} ${title}${note ? `: ${note}` : ''} ${colors.dim(`(${seconds(Date.now() - start)})`)}\n`)
      },
      fail: () => {
        clear()
        stream.write(`${colors.red('failed')} ${title}\n`)
      },
    }
  }
}

/** A duration in milliseconds, for people. */
export function seconds(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

/** A number of bytes, for people. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}
