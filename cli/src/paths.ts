// SPDX-License-Identifier: MIT
// Where things are: the checkout, and the cache beside it that outlives it. Nothing
// here creates anything.

import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UsageError } from './errors.js'

/** The top of the checkout (or of the installed package), found upwards from this file. */
export function rootDir(from: string = dirname(fileURLToPath(import.meta.url))): string {
  for (let dir = from; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'kernel', 'base.json'))) return dir
    if (dirname(dir) === dir) throw new Error(`no kernel/base.json above ${from}`)
  }
}

/** `$KMHO_CACHE`, `$XDG_CACHE_HOME/kmho` or `~/.cache/kmho`. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.KMHO_CACHE) return resolve(env.KMHO_CACHE)
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, 'kmho')
  return join(homedir(), '.cache', 'kmho')
}

/** The folder that --output names, which need not be there yet. */
export async function outputDir(path: string): Promise<string> {
  const dir = resolve(path)
  const fits = await stat(dir).then((info) => info.isDirectory(), (error: NodeJS.ErrnoException) => error.code === 'ENOENT')
  if (!fits) throw new UsageError({ expected: '--output to name a folder', found: `something else at ${dir}` })
  return dir
}

export interface KernelDirs {
  base: string
  overlay: string
  patches: string
  config: string
}

export function kernelDirs(root: string = rootDir()): KernelDirs {
  return {
    base: join(root, 'kernel', 'base.json'),
    overlay: join(root, 'kernel', 'overlay'),
    patches: join(root, 'kernel', 'patches'),
    config: join(root, 'kernel', 'config'),
  }
}

/** The folders of the cache. Every one can be deleted at any time and is made again. */
export interface CacheDirs {
  root: string
  sources: string
  bases: string
  trees: string
  objects: string
  kernels: string
  ccache: string
  runs: string
  tmp: string
}

export function cacheDirs(root: string = cacheDir()): CacheDirs {
  return {
    root,
    sources: join(root, 'sources'),
    bases: join(root, 'bases'),
    trees: join(root, 'trees'),
    objects: join(root, 'objects'),
    kernels: join(root, 'kernels'),
    ccache: join(root, 'ccache'),
    runs: join(root, 'runs'),
    tmp: join(root, 'tmp'),
  }
}
