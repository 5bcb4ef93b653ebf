// SPDX-License-Identifier: MIT
// Makes the tree that is built: the pristine base with the patches applied without fuzz and
// the overlay laid in. Afterwards only files whose contents changed are touched, so that make
// rebuilds no more than it must. It never writes into the base.

import { chmod, copyFile, lstat, mkdir, mkdtemp, readFile, readdir, readlink, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { exists, hashDir, hashFiles, listFiles, makeWhole, sha256Text, withLock } from '../cache.js'
import { formatCommand, runCommand, type Command } from '../command.js'
import { InterruptedError, MachineryError, UsageError } from '../errors.js'
import type { CacheDirs, KernelDirs } from '../paths.js'
import { readKernelRelease, type KernelSource } from './source.js'

export interface KernelTree {
  /** Names the contents: base, patches and overlay. */
  key: string
  /** Names what of them a kernel is made from. */
  code: string
  dir: string
}

/** Written last and removed first: a tree with it is whole. */
const STAMP = '.kmho-tree.json'

interface Stamp {
  key: string
  code: string
  /** Key of the base that it was made from. */
  base: string
  /** Every file that differs from the base. */
  files: string[]
}

export interface Patch {
  name: string
  path: string
  text: string
}

async function readPatches(dir: string): Promise<Patch[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => /^\d{4}-.*\.patch$/.test(name))
  return Promise.all(names.map(async (name) => ({ name, path: join(dir, name), text: await readFile(join(dir, name), 'utf8') })))
}

/**
 * The series as it is for one release of Linux, in the order in which it is applied. A patch in
 * the folder of that release, such as `7.2`, stands for the one of the same name if there is one;
 * one without a diff only says why that is left out.
 */
export async function listPatches(dir: string, release: string): Promise<Patch[]> {
  const patches = new Map((await readPatches(dir)).map((patch) => [patch.name, patch]))
  for (const patch of await readPatches(join(dir, release))) {
    if (patchedFiles(patch.text).length > 0) patches.set(patch.name, patch)
    else patches.delete(patch.name)
  }
  return [...patches.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The paths of the existing files that a patch changes, as its `---` and `+++` lines name them. */
export function patchedFiles(patch: string): string[] {
  const files = new Set<string>()
  for (const match of patch.matchAll(/^(?:---|\+\+\+) (?:a|b)\/(\S+)/gm)) files.add(match[1] as string)
  return [...files].sort()
}

async function hashPatches(source: Pick<KernelSource, 'dir'>, dirs: KernelDirs): Promise<string> {
  return hashFiles(await listPatches(dirs.patches, await readKernelRelease(source.dir)))
}

/** Names everything that is in a tree. */
export async function treeKey(source: Pick<KernelSource, 'key' | 'dir'>, dirs: KernelDirs, stock: boolean): Promise<string> {
  if (stock) return sha256Text('stock', source.key)
  return sha256Text(source.key, await hashPatches(source, dirs), await hashDir(dirs.overlay))
}

/** Names what a kernel is made from: a change of a selftest or of documentation makes no other kernel. */
export async function codeKey(source: Pick<KernelSource, 'key' | 'dir'>, dirs: KernelDirs, stock: boolean): Promise<string> {
  if (stock) return sha256Text('stock', source.key)
  return sha256Text(source.key, await hashPatches(source, dirs), await hashDir(dirs.overlay, (file) => !/^(?:tools|Documentation)\//.test(file)))
}

export function patchCommand(dir: string, patch: string): Command {
  return { file: 'patch', args: ['-p1', '--fuzz=0', '--no-backup-if-mismatch', '--forward', '--batch', '--directory', dir, '--input', patch] }
}

/** What `patch` said, as one line: the file and the hunk that it rejected. */
export function describeReject(output: string): string {
  let file = 'an unknown file'
  for (const line of output.split('\n')) {
    const named = /^(?:checking|patching) file '?([^']+?)'?(?: \(.*\))?$/.exec(line)
    if (named) file = named[1] as string
    const failed = /^Hunk #(\d+) FAILED at (\d+)/.exec(line)
    if (failed) return `hunk ${failed[1]} rejected in ${file} at line ${failed[2]}`
    const skipped = /^(\d+) out of (\d+) hunks? (?:ignored|FAILED)/.exec(line)
    if (skipped) return `${skipped[0]} in ${file}`
    if (/can't find file to patch|No file to patch/.test(line)) return 'a file that the patch changes is not in the tree'
  }
  return output.split('\n').find((line) => line.trim()) ?? 'patch failed without a word'
}

/**
 * Applies the series to copies of just the files that it touches, in `work`. Returns their
 * names. Throws naming the patch, file and hunk that was rejected.
 */
export async function applySeries(base: string, patchDir: string, work: string, signal: AbortSignal): Promise<string[]> {
  const patches = await listPatches(patchDir, await readKernelRelease(base))
  const touched = new Set(patches.flatMap(({ text }) => patchedFiles(text)))
  for (const file of touched) {
    if (!(await exists(join(base, file)))) continue
    await mkdir(join(work, dirname(file)), { recursive: true })
    await copyFile(join(base, file), join(work, file))
    await chmod(join(work, file), 0o644)
  }
  for (const { name, path } of patches) {
    const command = patchCommand(work, path)
    const { exitCode, stdout, stderr } = await runCommand(command, { signal, accept: [1] })
    if (exitCode !== 0) {
      throw new UsageError({ expected: `${name} to apply without fuzz to ${base}`, found: describeReject(`${stdout}\n${stderr}`), mend: 'the patches do not fit this base; choose another with --source' })
    }
    if (/with fuzz/.test(stdout)) throw new MachineryError(`\`${formatCommand(command)}\` applied with fuzz`)
  }
  return [...touched].sort()
}

async function readStamp(dir: string): Promise<Stamp | undefined> {
  const text = await readFile(join(dir, STAMP), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as Stamp)
}

/** Gives `to` the contents of `from` unless it has them; through a rename, as `to` may be a hard link into the base. */
async function putFile(from: string, to: string): Promise<boolean> {
  const data = await readFile(from)
  const old = await readFile(to).catch(() => undefined)
  if (old?.equals(data)) return false
  await mkdir(dirname(to), { recursive: true })
  const partial = `${to}.kmho-partial`
  await writeFile(partial, data)
  await chmod(partial, (await lstat(from)).mode & 0o777)
  await rename(partial, to)
  return true
}

export function treeDir(cache: CacheDirs, source: Pick<KernelSource, 'id'>): string {
  return join(cache.trees, source.id)
}

export interface PrepareTreeOptions {
  source: KernelSource
  dirs: KernelDirs
  cache: CacheDirs
  /** The base as it is, with nothing of ours. */
  stock: boolean
  signal: AbortSignal
}

/** A tree of the cache, and how many files of it had to change. */
export type PreparedTree = KernelTree & { changed: number }

/** The tree in the cache, brought up to date. */
export async function prepareTree(options: PrepareTreeOptions): Promise<PreparedTree> {
  return withPreparedTree(options, (tree) => Promise.resolve(tree))
}

/** Works in that tree, which stays as it is meanwhile: another checkout may want it otherwise. */
export async function withPreparedTree<T>(options: PrepareTreeOptions, work: (tree: PreparedTree) => Promise<T>, onWait?: (pid: number) => void): Promise<T> {
  const { source, dirs, cache, signal } = options
  if (options.stock) return work({ key: await treeKey(source, dirs, true), code: await codeKey(source, dirs, true), dir: source.dir, changed: 0 })
  return withLock(`${treeDir(cache, source)}.lock`, signal, async () => {
    while (await someCompilerWorksOn(cache, source)) {
      if (signal.aborted) throw new InterruptedError()
      await sleep(200)
    }
    return work(await syncTree(options))
  }, onWait)
}

/**
 * Compilers outlive a make that was killed. What one of them has read is the old text, and its object would be younger than the
 * new one, for good.
 */
async function someCompilerWorksOn(cache: CacheDirs, source: Pick<KernelSource, 'id'>): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const places = processes.map(async (pid) => {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    return name.trim() === 'cc1' ? readlink(`/proc/${pid}/cwd`).catch(() => '') : ''
  })
  return (await Promise.all(places)).some((place) => dirname(place) === cache.objects && place.endsWith(`-${source.id}`))
}

async function syncTree({ source, dirs, cache, signal }: PrepareTreeOptions): Promise<PreparedTree> {
  const key = await treeKey(source, dirs, false)
  const code = await codeKey(source, dirs, false)
  const dir = treeDir(cache, source)
  const stamp = (await exists(dir)) ? await readStamp(dir) : undefined
  if (stamp?.key === key && stamp.code === code) return { key, code, dir, changed: 0 }
  await mkdir(cache.tmp, { recursive: true })
  const work = await mkdtemp(join(cache.tmp, `patch-${process.pid}-`))
  try {
    const patched = await applySeries(source.dir, dirs.patches, work, signal)
    const overlay = await listFiles(dirs.overlay)
    const clash = overlay.find((file) => patched.includes(file))
    if (clash) throw new MachineryError({ expected: 'a file to be either patched or in the overlay', found: `${clash} in both` })
    // Without a stamp an earlier sync was cut short, and which files it changed is not known.
    if (!stamp) {
      await makeWhole(dir, async (partial) => void (await runCommand({ file: 'cp', args: ['-al', '--no-preserve=ownership', source.dir, partial] }, { signal })))
    } else {
      await rm(join(dir, STAMP), { force: true })
      if (stamp.base !== source.key) {
        const ours = [STAMP, ...new Set([...patched, ...overlay, ...stamp.files])]
        const args = ['-a', '--delete', ...ours.map((file) => `--exclude=/${file}`), `${source.dir}/`, `${dir}/`]
        await runCommand({ file: 'rsync', args }, { signal })
      }
    }
    let changed = 0
    for (const file of patched) {
      if (await exists(join(work, file))) changed += Number(await putFile(join(work, file), join(dir, file)))
      else await rm(join(dir, file), { force: true })
    }
    for (const file of overlay) changed += Number(await putFile(join(dirs.overlay, file), join(dir, file)))
    const ours = new Set([...patched, ...overlay])
    for (const file of stamp?.files ?? []) {
      if (ours.has(file)) continue
      changed++
      if (await exists(join(source.dir, file))) await putFile(join(source.dir, file), join(dir, file))
      else await unlink(join(dir, file)).catch(() => {})
    }
    await writeFile(join(dir, STAMP), JSON.stringify({ key, code, base: source.key, files: [...ours].sort() } satisfies Stamp))
    return { key, code, dir, changed }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
