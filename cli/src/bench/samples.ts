// SPDX-License-Identifier: MIT
// From what a guest said to numbers: one sample for each run, and medians with their spread over
// runs. It knows no guest and no file.

import type { GuestEvent } from '../../../qemu/src/index.js'
import { MachineryError } from '../errors.js'
import { PAGE, type Point } from './matrix.js'

/** What a run gave. Durations are in nanoseconds, or with `by` instructions in those. */
export interface Sample {
  point: string
  system: string
  round: number
  /** What else has to be the same for two runs to be compared: kernel, guest, measure. */
  setting: string
  /** 4 KiB pages of memory that were carried. */
  pages: number
  /** Runs of contiguous page frames that they lay in. */
  fragments: number
  metrics: Partial<Record<Metric, number>>
}

/**
 * handover: of one page. step: from reboot(2) to the jump. boot: from there to the first program, all of the next kernel's
 * start. firstByte, allPages: from the call that takes over. metadata: what describes a page to the next kernel.
 * memory: what a handover took away from the free memory, by the page. system: CPU time in the kernel until every page was read, by the page.
 */
export const METRICS = {
  handover: 'handover, a page',
  drop: 'giving it up again, a page',
  step: 'step before the kexec',
  boot: "next kernel's boot",
  takeover: 'takeover',
  firstByte: 'takeover to first byte',
  allPages: 'takeover and every page read, a page',
  allBytes: 'takeover and every byte read, a page',
  metadata: 'metadata, bytes a page',
  memory: 'memory taken by the handover, bytes a page',
  migrated: 'pages moved',
} as const

export type Metric = keyof typeof METRICS

/** Those that are a duration. */
export const DURATIONS: readonly Metric[] = ['handover', 'drop', 'step', 'boot', 'takeover', 'firstByte', 'allPages', 'allBytes']

/** -icount shift=2: an instruction takes four nanoseconds of the guest's time. */
export const NS_PER_INSTRUCTION = 4

interface Before {
  side: 'before'
  pages?: number
  fragments?: number
  handoverNs?: number[]
  dropNs?: number
  memoryBytes?: number
  metadataBytes?: number
  migratedBytes?: number
}

interface After {
  side: 'after'
  ticksPerSecond: number
  takeoverNs?: number
  firstByteNs?: number
  allPagesNs?: number
  allBytesNs?: number
}

/** The time that the kernel itself printed before a line of its log, in nanoseconds. */
function stampOf(console: string, line: RegExp): number {
  const match = new RegExp(`^\\[\\s*(\\d+\\.\\d+)\\] .*${line.source}`, 'm').exec(console)
  if (!match) throw new MachineryError({ expected: `a line like ${line.source} in the log of the guest`, found: 'none' })
  return Number(match[1]) * 1e9
}

function one<T>(found: T | undefined, what: string): T {
  if (found === undefined) throw new MachineryError({ expected: `the guest to report ${what}`, found: 'nothing' })
  return found
}

/**
 * What LUO keeps about memfds for the next kernel, in bytes, in whole pages as KMHO_QUERY counts: for each memfd an array of
 * struct memfd_luo_folio_ser (16 bytes a folio), the struct kho_vmalloc_chunk that list its pages (511 each; a full one has a
 * successor), and a struct memfd_luo_ser. Sessions are left out, and so is kmho's list of records.
 */
export function luoMetadataBytes(folios: number, memfds: number): number {
  const pages = Math.ceil((16 * folios) / memfds / PAGE)
  const chunks = Math.floor(pages / 511) + 1
  return memfds * (pages + chunks + 1) * PAGE
}

/** Reads a run that ended well. `point` is absent for the floor, a kexec with nothing to carry. */
export function readSample(run: { point?: Point; system: string; peer: 'kmho' | 'luo' | 'none'; round: number; setting: string; byInstructions: boolean }, events: readonly GuestEvent[], console: string): Sample {
  const said = events.flatMap((event) => (event.event === 'data' ? [event.data as Before | After] : []))
  const before = one(said.find((data): data is Before => data.side === 'before'), 'the handover')
  const after = one(said.find((data): data is After => data.side === 'after'), 'the takeover')
  const leave = one(events.find((event) => event.event === 'leave'), 'that it leaves for the next kernel')
  const boot = one(events.find((event) => event.event === 'boot' && event.stage === 2), 'the next kernel')
  if (leave.event !== 'leave' || boot.event !== 'boot') throw new Error('events are what they are called')

  const unit = run.byInstructions ? NS_PER_INSTRUCTION : 1
  const step = stampOf(console, /kexec_core: Starting new kernel/) - stampOf(console, /kmho-init: leaving/)
  const gap = ((boot.ticks - leave.ticks) / after.ticksPerSecond) * 1e9
  const { pages = 0, fragments = 0 } = before
  const metrics: Sample['metrics'] = { step: step / unit, boot: (gap - step) / unit }
  if (run.point) {
    const { point } = run
    const units = pages / (point.page / PAGE)
    Object.assign(metrics, {
      handover: median(before.handoverNs ?? []) / unit / pages,
      ...(before.dropNs ? { drop: before.dropNs / unit / pages } : {}),
      takeover: (after.takeoverNs ?? 0) / unit,
      firstByte: (after.firstByteNs ?? 0) / unit,
      allPages: (after.allPagesNs ?? 0) / unit / pages,
      allBytes: (after.allBytesNs ?? 0) / unit / pages,
      metadata: (run.peer === 'kmho' ? (before.metadataBytes ?? 0) : luoMetadataBytes(units * point.touch, point.keys)) / pages,
      memory: (before.memoryBytes ?? 0) / pages,
      migrated: (before.migratedBytes ?? 0) / PAGE,
    })
  }
  return { point: run.point?.name ?? 'floor', system: run.system, round: run.round, setting: run.setting, pages, fragments, metrics }
}

export interface Statistic {
  median: number
  min: number
  max: number
  runs: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

export interface Summary {
  point: string
  system: string
  pages: number
  fragments: number
  metrics: Partial<Record<Metric, Statistic>>
}

/** One summary for each point and system, in the order in which they were first seen. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const name = `${sample.point}\0${sample.system}`
    groups.set(name, [...(groups.get(name) ?? []), sample])
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [Sample, ...Sample[]]
    const metrics: Summary['metrics'] = {}
    for (const metric of Object.keys(METRICS) as Metric[]) {
      const values = group.flatMap(({ metrics: found }) => (found[metric] === undefined ? [] : [found[metric]]))
      if (values.length > 0) metrics[metric] = { median: median(values), min: Math.min(...values), max: Math.max(...values), runs: values.length }
    }
    return { point: first.point, system: first.system, pages: first.pages, fragments: median(group.map(({ fragments }) => fragments)), metrics }
  })
}

/** How many times better `mine` is than `theirs`; undefined where one of them was not measured. */
export function ratio(theirs: Statistic | undefined, mine: Statistic | undefined): number | undefined {
  return theirs && mine && mine.median > 0 ? theirs.median / mine.median : undefined
}
