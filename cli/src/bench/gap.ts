// SPDX-License-Identifier: MIT
// The gap that a client sees: how long a service that keeps its data in memory does not answer
// while the kernel under it is replaced. Which ways of getting the data back are compared, and what is run.

import type { Job } from '../../../qemu/src/index.js'
import type { Flavor } from '../kernel/config.js'
import { guestPaths } from '../machine.js'
import { median } from './samples.js'

export const GAP_PORT = 'org.kmho.kv'
/** Correct answers that are awaited on either side. */
export const ANSWERS = 50

export interface Way {
  name: 'floor' | 'kmho' | 'stock-floor' | 'stock-luo' | 'disk'
  title: string
  flavor: Flavor
  with: 'none' | 'kmho' | 'luo' | 'disk'
}

export const WAYS: readonly Way[] = [
  { name: 'floor', title: 'our kernel, nothing to carry', flavor: 'default', with: 'none' },
  { name: 'kmho', title: 'our kernel, kmho(2)', flavor: 'default', with: 'kmho' },
  { name: 'stock-floor', title: 'stock kernel, nothing to carry', flavor: 'stock', with: 'none' },
  { name: 'stock-luo', title: 'stock kernel, LUO memfd', flavor: 'stock', with: 'luo' },
  { name: 'disk', title: 'our kernel, read from the disk again', flavor: 'default', with: 'disk' },
]

/** An emulator that remembers the kernel before slows the next one down by up to half, wherever memory happens to lie. */
export const GAP_TRANSLATIONS_MIB = 32

export const GAP_SIZES = [256 << 20, 1 << 30]

export interface GapSample {
  way: string
  bytes: number
  round: number
  gapMs: number
}

/** The host lets the guest go to the next kernel, and end, when the client has had its answers. */
export function gapJob(way: Way, bytes: number): Job {
  const argv = (side: string): string[] => [`${guestPaths.share}/kmho-kv`, side, '--with', way.with, '--bytes', String(bytes)]
  return {
    steps: [
      { type: 'load', image: 'next/image', initrd: 'next/initrd' },
      { type: 'start', name: 'kv', argv: argv('before') },
      { type: 'kexec' },
      { type: 'start', name: 'kv', argv: argv('after') },
      { type: 'sync', name: 'answered' },
    ],
  }
}

/** A row for each way and size: median, span, and how many times the floor of the same kernel. */
export function gapRows(samples: readonly GapSample[], format: (bytes: number) => string): string[][] {
  const of = (way: string, bytes: number): number[] => samples.filter((sample) => sample.way === way && sample.bytes === bytes).map(({ gapMs }) => gapMs)
  const sizes = [...new Set(samples.map(({ bytes }) => bytes))]
  const ways = WAYS.filter(({ name }) => samples.some(({ way }) => way === name))
  const body = sizes.flatMap((bytes) =>
    ways.map((way) => {
      const gaps = of(way.name, bytes)
      const floor = median(of(way.flavor === 'stock' ? 'stock-floor' : 'floor', bytes))
      return [format(bytes), way.title, `${Math.round(median(gaps))} ms`, `${Math.round(Math.min(...gaps))} to ${Math.round(Math.max(...gaps))} ms`, Number.isNaN(floor) ? '-' : `${(median(gaps) / floor).toFixed(2)}×`]
    }),
  )
  return [['data', 'how it comes back', 'gap, median', 'runs', 'to the floor'], ...body]
}
