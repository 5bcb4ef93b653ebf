// SPDX-License-Identifier: MIT
// The rules by which the cache is filled: a thing is made beside its place and renamed
// into it when it is whole, under a lock, so that an interrupt leaves nothing that is trusted.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { InterruptedError, MachineryError } from './errors.js'

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

export function sha256Text(...parts: string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex')
}

/** Every file below `dir`, relative and sorted; none if there is no such folder. */
export async function listFiles(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(dir.length + 1))
    .sort()
}

/** A hash of names and contents. */
export async function hashFiles(files: readonly { name: string; path: string }[]): Promise<string> {
  const hash = createHash('sha256')
  for (const { name, path } of files) {
    const data = await readFile(path)
    hash.update(`${name}\0${data.length}\0`).update(data)
  }
  return hash.digest('hex')
}

/** A hash of names and contents of the files below `dir`, of those that `counts`. */
export async function hashDir(dir: string, counts: (name: string) => boolean = () => true): Promise<string> {
  return hashFiles((await listFiles(dir)).filter(counts).map((name) => ({ name, path: join(dir, name) })))
}

/** Where a thing is made before it is renamed to `path`; on the same file system as `path`. */
export function partialPath(path: string): string {
  return join(dirname(path), `.partial-${basename(path)}-${process.pid}`)
}

/** Makes `path` whole or not at all: `make` gets another path to fill. */
export async function makeWhole(path: string, make: (partial: string) => Promise<void>): Promise<void> {
  const partial = partialPath(path)
  await mkdir(dirname(path), { recursive: true })
  await rm(partial, { recursive: true, force: true })
  try {
    await make(partial)
    await rm(path, { recursive: true, force: true })
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw error
  }
}

/** Writes a small file whole, through a rename. */
export async function writeWhole(path: string, data: string | Uint8Array): Promise<void> {
  await makeWhole(path, (partial) => writeFile(partial, data))
}

/** Deletes what interrupted runs have left in `dir`, unless its process still runs. */
export async function removeLeftovers(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    const pid = /^(?:\.partial|apt|patch)-(?:.*-)?(\d+)(?:-\w+)?$/.exec(name)?.[1]
    if (pid && !isAlive(Number(pid))) await rm(join(dir, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Runs `work` while no other kmho holds the same lock. A lock whose holder has ended is taken
 * over, so that a kill -9 blocks nobody.
 */
export async function withLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>, onWait?: (pid: number) => void): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  let told = false
  for (;;) {
    if (signal.aborted) throw new InterruptedError()
    try {
      const file = await open(path, 'wx')
      await file.writeFile(String(process.pid))
      await file.close()
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const text = await readFile(path, 'utf8').catch(() => '')
    const pid = Number(text)
    // An empty file is a holder that is about to write its pid, or one killed before it could.
    const age = await stat(path).then((info) => Date.now() - info.mtimeMs, () => 0)
    if (text === '' ? age > 5000 : !isAlive(pid) || pid === process.pid) {
      await rm(path, { force: true })
      continue
    }
    if (!told) onWait?.(pid)
    told = true
    await sleep(200)
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

/** Stops early, with one line, where the disk would not do. `bytes`: how much will be written. */
export async function needSpace(dir: string, bytes: number, what: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const info = await statfs(dir)
  const free = info.bavail * info.bsize
  if (free < bytes) {
    const gib = (count: number): string => `${(count / 2 ** 30).toFixed(1)} GiB`
    throw new MachineryError({ expected: `${gib(bytes)} free in ${dir} ${what}`, found: gib(free), mend: 'free some, or set KMHO_CACHE to a folder on a larger disk' })
  }
}
