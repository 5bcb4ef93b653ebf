// SPDX-License-Identifier: MIT
// Somebody outside the guest who asks its key-value service one question after the other, over a
// socket, and notes when the answers came. A question that is not answered is asked again.

import { randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'

export type Side = 'before' | 'after'

/** Without an answer for so long, in milliseconds, the next question goes out. */
const ASK_AGAIN_MS = 20

/** What the service in the guest computes for a slot of its table. */
export function valueOf(slot: number): bigint {
  return BigInt.asUintN(64, (BigInt(slot) + 1n) * 0x9e3779b97f4a7c15n)
}

export class Client {
  readonly #slots: number
  readonly #asked = new Map<number, number>()
  readonly #waiting: { side: Side; count: number; settle: () => void }[] = []
  readonly answers: Record<Side, number> = { before: 0, after: 0 }
  /** Answers that were not the value of the slot. */
  wrong = 0
  /** performance.now() of the last answer of the kernel before, and of the first correct one of the kernel after. */
  lastBefore = Number.NaN
  firstAfter = Number.NaN
  #sequence = 0
  #rest = ''
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined

  /** `bytes`: the size of the table, eight for each slot. */
  constructor(bytes: number) {
    this.#slots = bytes / 8
  }

  /** Starts to ask. */
  start(path: string): void {
    const socket = connect(path)
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => this.hear(chunk))
    // QEMU ends before this does.
    socket.on('error', () => this.stop())
    this.#socket = socket
    this.#ask()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    this.#socket = undefined
  }

  /** Settles when a side has given `count` correct answers. */
  async answered(side: Side, count: number): Promise<void> {
    if (this.answers[side] >= count) return
    await new Promise<void>((settle) => this.#waiting.push({ side, count, settle }))
  }

  /** The next question, as a line. */
  question(slot: number = randomInt(this.#slots)): string {
    this.#asked.set(++this.#sequence, slot)
    return `${this.#sequence} ${slot}\n`
  }

  #ask(): void {
    this.#socket?.write(this.question())
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#ask(), ASK_AGAIN_MS)
  }

  /** What came from the guest. Where the kernel was left, a line may be cut off. */
  hear(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const match = /^(\d+) (\d+) (before|after)$/.exec(line)
      const slot = match ? this.#asked.get(Number(match[1])) : undefined
      if (!match || slot === undefined) continue
      this.#asked.delete(Number(match[1]))
      if (BigInt(match[2] ?? 0) !== valueOf(slot)) {
        this.wrong++
        continue
      }
      const side = match[3] as Side
      this.answers[side]++
      if (side === 'before') this.lastBefore = performance.now()
      else if (Number.isNaN(this.firstAfter)) this.firstAfter = performance.now()
      for (const waiting of this.#waiting.filter((item) => item.side === side && this.answers[side] >= item.count)) waiting.settle()
      if (this.#socket) this.#ask()
    }
  }
}
