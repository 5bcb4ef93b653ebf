// SPDX-License-Identifier: MIT
// `kmho kernel series`: the mails of the series; `kmho kernel check`: what checkpatch,
// sparse and memblock's own tests say of them.

import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { listFiles } from '../cache.js'
import type { Context } from '../context.js'
import { ExitCode } from '../errors.js'
import { hostArch, parseArch } from '../kernel/arch.js'
import { readBase } from '../kernel/base.js'
import { makeCommand, withTree, type KernelOptions } from '../kernel/build.js'
import { objectFolders, runCheckpatch, runMemblock, runSparse, type Finding } from '../kernel/check.js'
import { exportSeries } from '../kernel/series.js'
import { chooseRoad, fetchSource, type KernelSource } from '../kernel/source.js'
import { outputDir } from '../paths.js'
import type { Step } from '../runner.js'

export interface SeriesOptions {
  release?: string
  source?: string
  output?: string
  arch?: string
  jobs?: number
}

async function sourceStep(options: SeriesOptions, context: Context, done: (source: KernelSource) => void): Promise<Step> {
  const base = await readBase(context.dirs.base, options.release)
  const road = await chooseRoad(options)
  return {
    title: 'kernel sources',
    run: async (step) => {
      const source = await fetchSource(road, { base, cache: context.cache, signal: context.signal }, step)
      done(source)
      return source.description
    },
  }
}

export async function kernelSeries(options: SeriesOptions, context: Context): Promise<ExitCode> {
  const out = await outputDir(options.output ?? 'series')
  let source: KernelSource | undefined
  let mails: string[] = []
  const steps: Step[] = [
    await sourceStep(options, context, (found) => (source = found)),
    {
      title: `series, as mails in ${out}`,
      run: async () => {
        await withWork(context, async (work) => {
          mails = await exportSeries({ base: (source as KernelSource).dir, dirs: context.dirs, out, work, signal: context.signal })
        })
        return `${mails.length} mails`
      },
    },
  ]
  if (!(await context.run(steps))) return ExitCode.ok
  for (const mail of mails) context.ui.print(mail)
  context.ui.result({ ok: true, mails })
  return ExitCode.ok
}

export async function kernelCheck(options: SeriesOptions, context: Context): Promise<ExitCode> {
  const { cache, dirs, signal } = context
  const arch = options.arch === undefined ? hostArch() : parseArch(options.arch)
  const kernel: KernelOptions = { ...options, arch, flavor: 'default', base: await readBase(dirs.base, options.release), dirs, cache, signal }
  const findings: Finding[] = []
  let source: KernelSource | undefined
  let judge: KernelSource | undefined
  const steps: Step[] = [
    await sourceStep(options, context, (found) => (source = found)),
    // An older checkpatch wants other trailers.
    ...(options.release === undefined ? [] : [await sourceStep({}, context, (found) => (judge = found))]),
    {
      title: 'checkpatch --strict on the series',
      run: async () => {
        await withWork(context, async (work) => {
          const mails = await exportSeries({ base: (source as KernelSource).dir, dirs, out: join(work, 'mails'), work: join(work, 'git'), signal })
          findings.push(...(await runCheckpatch(((judge ?? source) as KernelSource).dir, mails.slice(1), signal)))
        })
        return `${findings.length} findings`
      },
    },
    {
      title: `sparse on our objects, ${arch}`,
      run: async (step) => {
        const files = await listFiles(dirs.overlay)
        const folders = await objectFolders(dirs.overlay, files)
        const found = await withTree(kernel, step, (places) => runSparse(makeCommand({ arch, ...places, cache }), folders, files, signal))
        findings.push(...found)
        return `${found.length} findings`
      },
    },
    ...[false, true].map((numa): Step => ({
      title: `memblock's own tests, ${numa ? 'with NUMA' : 'without NUMA'}`,
      run: async (step) => {
        return `${await withTree(kernel, step, ({ tree }) => withWork(context, (work) => runMemblock(tree, work, numa, signal)))} passed`
      },
    })),
  ]
  if (!(await context.run(steps))) return ExitCode.ok
  for (const { tool, level, where, text } of findings) context.ui.print(`${tool} ${level}: ${where}: ${text}`)
  context.ui.print(`${findings.length} findings`)
  context.ui.result({ ok: findings.length === 0, findings })
  return findings.length === 0 ? ExitCode.ok : ExitCode.failed
}

async function withWork<T>(context: Context, work: (dir: string) => Promise<T>): Promise<T> {
  await mkdir(context.cache.tmp, { recursive: true })
  const dir = await mkdtemp(join(context.cache.tmp, `patch-${process.pid}-`))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
