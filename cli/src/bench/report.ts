// SPDX-License-Identifier: MIT
// The tables of `kmho bench`, for a terminal and in Markdown. Text only.

import { SYSTEMS, type Point, type System } from './matrix.js'
import { DURATIONS, METRICS, ratio, type Metric, type Statistic, type Summary } from './samples.js'

/** How a number of instructions or nanoseconds is written. */
export function formatValue(metric: Metric, value: number, byInstructions: boolean): string {
  if (!DURATIONS.includes(metric)) return round(value)
  if (byInstructions) return value >= 1e6 ? `${round(value / 1e6)} M` : value >= 1e4 ? `${round(value / 1e3)} k` : round(value)
  return value >= 1e9 ? `${round(value / 1e9)} s` : value >= 1e6 ? `${round(value / 1e6)} ms` : value >= 1e4 ? `${round(value / 1e3)} µs` : `${round(value)} ns`
}

function round(value: number): string {
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3)
}

/** The median, and how far off half of the span of all runs was. */
function formatStatistic(metric: Metric, statistic: Statistic | undefined, byInstructions: boolean): string {
  if (!statistic) return '-'
  const { median, min, max, runs } = statistic
  const spread = runs > 1 && median > 0 ? ` ±${(((max - min) / 2 / median) * 100).toFixed(max - min < median * 0.02 ? 1 : 0)}%` : ''
  return formatValue(metric, median, byInstructions) + spread
}

function formatRatio(value: number | undefined): string {
  if (value === undefined) return '-'
  return `${value >= 10 ? Math.round(value) : value.toFixed(2)}×`
}

export interface PointTable {
  title: string
  rows: string[][]
}

/** A table for each point, with a row for each metric. The last column: how many times better ours is than the stock kernel's. */
export function pointTables(summaries: readonly Summary[], points: readonly Point[], byInstructions: boolean): PointTable[] {
  return [{ name: 'floor', title: 'nothing carried' }, ...points].flatMap(({ name, title }) => {
    const found = summaries.filter((summary) => summary.point === name)
    if (found.length === 0) return []
    const of = (system: string): Summary | undefined => found.find((summary) => summary.system === system)
    const systems = name === 'floor' ? FLOORS : SYSTEMS.filter(({ name: system }) => of(system))
    const [theirs, mine] = [of(name === 'floor' ? 'stock' : 'stock-luo'), of(name === 'floor' ? 'default' : 'kmho')]
    const metrics = (Object.keys(METRICS) as Metric[]).filter((metric) => found.some((summary) => summary.metrics[metric]))
    const fragments = Math.max(...found.map((summary) => summary.fragments))
    const head = fragments > 0 ? `${title}, ${mine?.pages ?? theirs?.pages ?? 0} pages in ${fragments} fragments` : title
    return [
      {
        title: head,
        rows: [
          ['', ...systems.map((system) => system.title), 'ours to stock'],
          ...metrics.map((metric) => [
            METRICS[metric],
            ...systems.map((system) => formatStatistic(metric, of(system.name)?.metrics[metric], byInstructions)),
            formatRatio(ratio(theirs?.metrics[metric], mine?.metrics[metric])),
          ]),
        ],
      },
    ]
  })
}

const FLOORS: readonly { name: string; title: System['title'] }[] = [
  { name: 'stock', title: 'stock kernel' },
  { name: 'default', title: 'our kernel' },
]

/** The same tables in Markdown. */
export function toMarkdown(tables: readonly PointTable[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return tables
    .map(({ title, rows: [head = [], ...body] }) => [`### ${title}`, '', line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...body.map(line), ''].join('\n'))
    .join('\n')
}
