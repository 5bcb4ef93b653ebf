// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GuestEvent } from '../../../qemu/src/index.js'
import { choosePoints } from '../../src/bench/matrix.js'
import { dotsOf, plotMetric } from '../../src/bench/plots.js'
import { formatValue, pointTables, toMarkdown } from '../../src/bench/report.js'
import { luoMetadataBytes, median, ratio, readSample, summarize, type Sample } from '../../src/bench/samples.js'
import { ExpectedError } from '../../src/errors.js'

const [point] = choosePoints({ only: '64M' })
const PAGES = 16384
const CONSOLE = ['[    0.100000] Linux version 7.3.4', '[    2.000000] kmho-init: leaving', '[    2.004000] kexec_core: Starting new kernel', '[    0.000000] Linux version 7.3.4-next'].join('\n')

const data = (stage: number, said: object): GuestEvent => ({ event: 'data', at: 1, stage, step: 's', data: said })
const boot = (stage: number, ticks: number): GuestEvent => ({ event: 'boot', at: 1, stage, release: 'r', version: '', machine: '', bootId: 'b', cmdline: '', uptimeMs: 1, ticks, memTotalKiB: 1 })

const EVENTS: GuestEvent[] = [
  boot(1, 5),
  data(1, { side: 'before', pages: PAGES, fragments: 4, handoverNs: [PAGES * 800, PAGES * 400, PAGES * 440], dropNs: PAGES * 40, memoryBytes: 65536, metadataBytes: 4096, migratedBytes: 8192 }),
  { event: 'leave', at: 1, stage: 1, ticks: 1_000_000 },
  boot(2, 2_000_000),
  data(2, { side: 'after', ticksPerSecond: 2_000_000, takeoverNs: 4000, firstByteNs: 8000, allPagesNs: PAGES * 100, allBytesNs: PAGES * 200, wrong: 0 }),
]

test('a run becomes numbers by the page, in instructions of four nanoseconds', () => {
  const { metrics, pages, fragments } = readSample({ point, system: 'kmho', peer: 'kmho', round: 1, setting: 'k', byInstructions: true }, EVENTS, CONSOLE)
  assert.deepEqual({ pages, fragments }, { pages: PAGES, fragments: 4 })
  assert.deepEqual(
    { ...metrics, step: Math.round(metrics.step ?? 0), boot: Math.round(metrics.boot ?? 0) },
    { handover: 110, drop: 10, step: 1e6, boot: (500e6 - 4e6) / 4, takeover: 1000, firstByte: 2000, allPages: 25, allBytes: 50, metadata: 0.25, memory: 4, migrated: 2 },
  )
})

test("what LUO keeps is counted in whole pages, as kmho's is", () => {
  assert.equal(luoMetadataBytes(16384, 1), (64 + 1 + 1) * 4096)
  assert.equal(luoMetadataBytes(131072, 1), (512 + 2 + 1) * 4096)
  assert.equal(luoMetadataBytes(16384, 100), 100 * (1 + 1 + 1) * 4096)
})

test('the floor has a step and a boot, and nothing else', () => {
  const floor = EVENTS.map((event): GuestEvent => (event.event === 'data' ? data(event.stage, { side: (event.data as { side: string }).side, ticksPerSecond: 2_000_000 }) : event))
  const sample = readSample({ system: 'stock', peer: 'none', round: 1, setting: 'k', byInstructions: false }, floor, CONSOLE)
  assert.deepEqual(Object.keys(sample.metrics), ['step', 'boot'])
  assert.equal(sample.point, 'floor')
})

test('a guest that left something out is an error in one line', () => {
  for (const missing of ['data', 'leave']) assert.throws(() => readSample({ point, system: 'kmho', peer: 'kmho', round: 1, setting: 'k', byInstructions: true }, EVENTS.filter(({ event }) => event !== missing), CONSOLE), ExpectedError)
  assert.throws(() => readSample({ point, system: 'kmho', peer: 'kmho', round: 1, setting: 'k', byInstructions: true }, EVENTS, ''), ExpectedError)
})

const sample = (system: string, round: number, handover: number): Sample => ({ point: '64M', system, round, setting: 'k', pages: PAGES, fragments: 1, metrics: { handover } })
const SAMPLES = [sample('stock-luo', 1, 500), sample('kmho', 1, 50), sample('stock-luo', 2, 520), sample('kmho', 2, 60), sample('stock-luo', 3, 900), sample('kmho', 3, 55)]

test('medians have their span, and a ratio is of medians', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1]), 2.5)
  const [stock, kmho] = summarize(SAMPLES)
  assert.deepEqual(stock?.metrics.handover, { median: 520, min: 500, max: 900, runs: 3 })
  assert.equal(ratio(stock?.metrics.handover, kmho?.metrics.handover)?.toFixed(2), '9.45')
  assert.equal(ratio(undefined, kmho?.metrics.handover), undefined)
})

test('a table has a column for each system and how many times better ours is', () => {
  const [table] = pointTables(summarize(SAMPLES), [point!], true)
  assert.equal(table?.title, `64 MiB, 4 KiB pages, ${PAGES} pages in 1 fragments`)
  assert.deepEqual(table?.rows[0], ['', 'stock kernel, LUO memfd', 'our kernel, kmho(2)', 'ours to stock'])
  assert.deepEqual(table?.rows[1], ['handover, a page', '520 ±38%', '55 ±9%', '9.45×'])
  assert.match(toMarkdown([table!]), /^### 64 MiB.*\n\n\| {2}\| stock kernel.*\n\| --- \| ---: \|/)
})

test('values are written with their unit', () => {
  assert.equal(formatValue('boot', 1_234_567_890, true), '1235 M')
  assert.equal(formatValue('boot', 1_234_567_890, false), '1.23 s')
  assert.equal(formatValue('handover', 12_345, false), '12.3 µs')
  assert.equal(formatValue('metadata', 16, true), '16')
})

test('a plot is an SVG that stands alone, with a dot for each system that was measured', async () => {
  const dots = dotsOf('handover', summarize(SAMPLES), [point!])
  assert.deepEqual(dots.map(({ system, median: value }) => [system, value]), [['stock kernel, LUO memfd', 520], ['our kernel, kmho(2)', 55]])
  const svg = await plotMetric('handover', dots, 'instructions')
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  assert.match(svg, /handover, a page, instructions/)
  assert.ok(svg.includes('#c1440e') && svg.includes('#1b6ca8'))
  assert.doesNotMatch(svg, /NaN|undefined/)
})
