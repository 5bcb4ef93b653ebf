// SPDX-License-Identifier: MIT
// Plots of a summary as SVG files that stand alone: for each metric a row of dots for each point,
// a dot for each system, on a logarithmic scale. The plotting library is loaded only when it is needed.

import { join } from 'node:path'
import { writeWhole } from '../cache.js'
import { SYSTEMS, type Point } from './matrix.js'
import { METRICS, type Metric, type Summary } from './samples.js'

interface Dot {
  point: string
  system: string
  median: number
  min: number
  max: number
}

const PLOTTED: readonly Metric[] = ['handover', 'boot', 'firstByte', 'allPages', 'metadata', 'memory']
const COLORS = { 'stock-luo': '#c1440e', 'kmho-luo': '#e0a030', kmho: '#1b6ca8' } as const

/** What a plot of a metric shows. A logarithm has no place for what is not above 0. */
export function dotsOf(metric: Metric, summary: readonly Summary[], points: readonly Point[]): Dot[] {
  return points.flatMap(({ name, title }) =>
    SYSTEMS.flatMap((system) => {
      const found = summary.find((item) => item.point === name && item.system === system.name)?.metrics[metric]
      return found && found.min > 0 ? [{ point: title, system: system.title, median: found.median, min: found.min, max: found.max }] : []
    }),
  )
}

export async function plotMetric(metric: Metric, dots: readonly Dot[], unit: string): Promise<string> {
  const Plot = await import('@observablehq/plot')
  const { parseHTML } = await import('linkedom')
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const rows = [...new Set(dots.map(({ point }) => point))]
  const plot = Plot.plot({
    document: document as never,
    width: 860,
    height: 92 + rows.length * 26,
    marginLeft: 230,
    marginRight: 30,
    marginTop: 56,
    marginBottom: 46,
    style: { background: 'white', color: '#222', fontSize: '12px' },
    x: { type: 'log', grid: true, label: `${METRICS[metric]}${unit ? `, ${unit}` : ''} (logarithmic) →`, labelAnchor: 'center', labelOffset: 40, tickFormat: '~s' },
    y: { domain: rows, label: null },
    color: { domain: SYSTEMS.map(({ title }) => title), range: SYSTEMS.map(({ name }) => COLORS[name]) },
    marks: [
      Plot.ruleY([...dots], Plot.groupY({ x1: 'min', x2: 'max' }, { x: 'median', y: 'point', stroke: '#bbb' })),
      Plot.ruleY([...dots], { x1: 'min', x2: 'max', y: 'point', stroke: 'system', strokeWidth: 3, strokeOpacity: 0.4 }),
      Plot.dot([...dots], { x: 'median', y: 'point', fill: 'system', r: 4.5 }),
      ...SYSTEMS.flatMap(({ name, title }, i) => [
        Plot.dot([0], { frameAnchor: 'top-left', dx: 8 + i * 200, dy: -42, fill: COLORS[name], r: 4.5 }),
        Plot.text([title], { frameAnchor: 'top-left', dx: 18 + i * 200, dy: -46, fill: '#222' }),
      ]),
    ],
  })
  const svg = plot as unknown as { setAttribute: (name: string, value: string) => void; outerHTML: string }
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  return `${svg.outerHTML}\n`
}

/** Writes a plot for each metric that was measured; returns their names. */
export async function writePlots(out: string, summary: readonly Summary[], points: readonly Point[], byInstructions: boolean): Promise<string[]> {
  const written: string[] = []
  for (const metric of PLOTTED) {
    const dots = dotsOf(metric, summary, points)
    if (dots.length === 0) continue
    const bytes = metric === 'metadata' || metric === 'memory'
    const name = `${metric.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.svg`
    await writeWhole(join(out, name), await plotMetric(metric, dots, bytes ? '' : byInstructions ? 'instructions' : 'nanoseconds'))
    written.push(name)
  }
  return written
}
