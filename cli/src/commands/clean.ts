// SPDX-License-Identifier: MIT
// `kmho clean`: what runs left behind; with --all, everything that can be made again.

import { rm, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { removeLeftovers } from '../cache.js'
import type { Context } from '../context.js'
import { ExitCode } from '../errors.js'

export interface CleanOptions {
  all?: boolean
  kernels?: boolean
}

/** Folders of the cache that --all spares nothing of, and --kernels only the first of. */
const KERNEL_FOLDERS = ['kernels', 'objects', 'trees'] as const
const ALL_FOLDERS = [...KERNEL_FOLDERS, 'bases', 'sources', 'ccache', 'images', 'addons', 'accel', 'inputs', 'selftests', 'bench'] as const

export async function clean(options: CleanOptions, context: Context): Promise<ExitCode> {
  const { cache } = context
  const folders = options.all ? ALL_FOLDERS : options.kernels ? KERNEL_FOLDERS : []
  const removed: string[] = []
  // Runs of processes that still live are theirs; a folder of a run ends in pid and number.
  for (const name of await readdir(cache.runs).catch(() => [])) {
    const pid = Number(/-(\d+)-\d+$/.exec(name)?.[1] ?? 0)
    if (pid > 0 && isAlive(pid)) continue
    removed.push(join(cache.runs, name))
  }
  removed.push(...folders.map((name) => join(cache.root, name)))
  if (context.options.dryRun) {
    for (const path of removed) context.ui.print(`rm -rf ${path}`)
    context.ui.result({ ok: true, plan: removed.map((path) => ({ title: `remove ${path}`, commands: [`rm -rf ${path}`] })) })
    return ExitCode.ok
  }
  for (const path of removed) await rm(path, { recursive: true, force: true })
  for (const dir of [cache.sources, cache.bases, cache.trees, cache.kernels, cache.tmp]) await removeLeftovers(dir)
  context.ui.print(`removed ${removed.length} folders of ${cache.root}`)
  context.ui.result({ ok: true, removed })
  return ExitCode.ok
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
