// SPDX-License-Identifier: MIT
// Gets the pristine sources of Linux, verified, into the cache: from Debian's package,
// from upstream's release folder, or from a tarball or folder that the caller names.
// It changes nothing in them; tree.ts does that.

import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { access, constants, copyFile, lstat, mkdir, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join, relative, resolve } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { execa } from 'execa'
import { findDebianSource } from '../../../qemu/src/images/apt.js'
import { exists, makeWhole, needSpace, sha256File, sha256Text, withLock, writeWhole } from '../cache.js'
import { CommandError, formatCommand, runCommand, type Command } from '../command.js'
import { InterruptedError, MachineryError, UsageError } from '../errors.js'
import type { CacheDirs } from '../paths.js'
import type { StepContext } from '../runner.js'
import { aptDownload, aptUpdate, aptVersions, chooseRevision, isDebian, parseMadison, prepareApt } from './apt.js'
import { upstreamPaths, type KernelBase } from './base.js'

/** A pristine tree in the cache. */
export interface KernelSource {
  /** Names the contents. */
  key: string
  /** Names the place: the same for a folder of somebody's own before and after an edit. */
  id: string
  dir: string
  description: string
}

export type Road =
  | { kind: 'tarball'; path: string }
  | { kind: 'dir'; path: string }
  | { kind: 'debian' }
  | { kind: 'upstream'; mirror: string }

export interface SourceOptions {
  base: KernelBase
  cache: CacheDirs
  /** Somebody's own tarball or tree. */
  source?: string
  /** Top of a mirror of upstream's release folder; taken instead of Debian's package. */
  mirror?: string
  osRelease?: string
  signal: AbortSignal
}

/** Space that an unpacked tree takes, and a margin. */
const TREE_BYTES = 2.2 * 2 ** 30

/** The upstream project's own site; `KMHO_KERNEL_MIRROR` or --mirror name another. */
const UPSTREAM_SITE = 'https://www.kernel.org/'

/** Decides, without doing anything, where the sources will come from. */
export async function chooseRoad(options: Pick<SourceOptions, 'source' | 'mirror' | 'osRelease'>, env: NodeJS.ProcessEnv = process.env): Promise<Road> {
  if (options.source !== undefined) {
    const path = resolve(options.source)
    const info = await stat(path).catch(() => undefined)
    if (!info) throw new UsageError({ expected: `--source to name a tarball or a folder`, found: `nothing at ${options.source}` })
    await access(path, constants.R_OK).catch((error: NodeJS.ErrnoException) => {
      throw new UsageError({ expected: '--source to name a tarball or a folder that can be read', found: `${error.code ?? error.message} at ${path}` })
    })
    return { kind: info.isDirectory() ? 'dir' : 'tarball', path }
  }
  const mirror = options.mirror ?? env.KMHO_KERNEL_MIRROR
  if (mirror) {
    if (!/^https?:/.test(mirror) || !URL.canParse(mirror)) throw new UsageError({ expected: '--mirror, or KMHO_KERNEL_MIRROR, to be a URL with http or https', found: mirror })
    return { kind: 'upstream', mirror }
  }
  if (isDebian(options.osRelease ?? (await readFile('/etc/os-release', 'utf8').catch(() => '')))) return { kind: 'debian' }
  return { kind: 'upstream', mirror: UPSTREAM_SITE }
}

export function describeRoad(road: Road, base: KernelBase): string {
  switch (road.kind) {
    case 'tarball':
    case 'dir':
      return road.path
    case 'debian':
      return `Debian's ${base.package} ${base.revision} from ${base.suite}`
    case 'upstream':
      return `linux-${base.version} from ${road.mirror}`
  }
}

function tarballPath(cache: CacheDirs, sha256: string): string {
  return join(cache.sources, `${sha256}.tar`)
}

function pristinePath(cache: CacheDirs, key: string): string {
  return join(cache.bases, key.slice(0, 16))
}

function sourceOf(cache: CacheDirs, key: string, description: string): KernelSource {
  return { key, id: key.slice(0, 16), dir: pristinePath(cache, key), description }
}

/** What the cache remembers when the pinned revision had left the archive: which one was taken instead. */
function substitutePath(cache: CacheDirs, base: KernelBase): string {
  return join(cache.sources, `instead-of-${base.tarballSha256.slice(0, 16)}.json`)
}

/** What the Debian road gives, as far as it can be known without asking the archive. */
export async function predictDebian(base: KernelBase, cache: CacheDirs): Promise<KernelSource> {
  const pinned = sourceOf(cache, base.tarballSha256, `${base.package} ${base.revision}`)
  if (await exists(pinned.dir)) return pinned
  const text = await readFile(substitutePath(cache, base), 'utf8').catch(() => undefined)
  if (text === undefined) return pinned
  const { key, description } = JSON.parse(text) as { key: string; description: string }
  return sourceOf(cache, key, description)
}

/** The source that a road will give; undefined where only a download can tell. */
export async function predictSource(road: Road, base: KernelBase, cache: CacheDirs): Promise<KernelSource | undefined> {
  switch (road.kind) {
    case 'debian':
      return predictDebian(base, cache)
    case 'upstream':
      return base.upstream?.sha256 ? sourceOf(cache, base.upstream.sha256, `linux-${base.version}`) : undefined
    case 'tarball':
      return sourceOf(cache, await sha256File(road.path), basename(road.path))
    case 'dir':
      return sourceOfDir(cache, road.path)
  }
}

/** Brings the sources into the cache by the road given, unless they are there. */
export async function fetchSource(road: Road, options: SourceOptions, context: StepContext): Promise<KernelSource> {
  switch (road.kind) {
    case 'dir':
      return copyTree(road.path, options, context)
    case 'tarball': {
      const key = await sha256File(road.path)
      return unpack(road.path, key, basename(road.path), options, true)
    }
    case 'debian':
      return fromDebian(options, context)
    case 'upstream':
      return fromUpstream(road.mirror, options, context)
  }
}

async function fromDebian(options: SourceOptions, context: StepContext): Promise<KernelSource> {
  const { base, cache, signal } = options
  const known = await predictDebian(base, cache)
  if (await exists(known.dir)) return known
  const pinned = tarballPath(cache, base.tarballSha256)
  if (await exists(pinned)) {
    if ((await sha256File(pinned)) === base.tarballSha256) return unpack(pinned, base.tarballSha256, `${base.package} ${base.revision}`, options, false)
    await rm(pinned, { force: true })
  }
  const mirror = await findDebianSource()
  await needSpace(cache.sources, 0.5 * 2 ** 30, `for the package ${base.package}`)
  const work = join(cache.tmp, `apt-${process.pid}`)
  await rm(work, { recursive: true, force: true })
  try {
    await prepareApt(work, mirror, base.suite)
    context.progress.update(0, undefined, `asking for ${base.suite}`)
    await runCommand(aptUpdate(work), { signal })
    const available = parseMadison((await runCommand(aptVersions(work, base.package), { signal })).stdout)
    const choice = chooseRevision(available, base.revision, base.series)
    if (!choice) {
      throw new MachineryError({ expected: `${base.package} ${base.revision} or a later ${base.series} in ${base.suite}`, found: available.join(', ') || 'no such package', mend: 'give the sources with --source TARBALL|DIR' })
    }
    if (!choice.pinned) context.ui.warn(`${base.package} ${base.revision} has left ${base.suite}; taking ${choice.version}, to which every patch has to apply without fuzz`)
    context.progress.update(0, undefined, `downloading ${base.package} ${choice.version}`)
    await runCommand(aptDownload(work, work, base.package, choice.version), { signal })
    const deb = (await readdir(work)).find((name) => name.endsWith('.deb'))
    if (!deb) throw new MachineryError({ expected: `apt-get to leave ${base.package}'s .deb`, found: 'none' })
    const tar = join(work, 'linux.tar')
    await extractFromDeb(join(work, deb), base.tarball, tar, signal)
    const key = await sha256File(tar)
    if (choice.pinned && key !== base.tarballSha256) {
      throw new MachineryError({ expected: `${base.tarball} to have SHA-256 ${base.tarballSha256}`, found: key, mend: 'kernel/base.json and the archive disagree; give the sources with --source' })
    }
    await mkdir(cache.sources, { recursive: true })
    await makeWhole(tarballPath(cache, key), (partial) => copyFile(tar, partial))
    const description = `${base.package} ${choice.version}`
    if (!choice.pinned) await writeWhole(substitutePath(cache, base), JSON.stringify({ key, description }))
    return await unpack(tarballPath(cache, key), key, description, options, false)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** One file out of a .deb, without unpacking the rest. */
async function extractFromDeb(deb: string, member: string, to: string, signal: AbortSignal): Promise<void> {
  const list: Command = { file: 'dpkg-deb', args: ['--fsys-tarfile', deb] }
  const pick: Command = { file: 'tar', args: ['-xOf', '-', `./${member}`] }
  const source = execa(list.file, list.args, { encoding: 'buffer', buffer: false, reject: false, cancelSignal: signal })
  const sink = execa(pick.file, pick.args, { encoding: 'buffer', buffer: false, reject: false, cancelSignal: signal, stdin: 'pipe' })
  source.stdout.pipe(sink.stdin)
  sink.stdin.on('error', () => {})
  await pipeline(sink.stdout, createWriteStream(to)).catch(() => {})
  const [a, b] = await Promise.all([source, sink])
  if (signal.aborted) throw new InterruptedError()
  if (b.exitCode !== 0) throw new MachineryError({ expected: `\`${formatCommand(pick)}\` to find ${member} in ${basename(deb)}`, found: `exit status ${b.exitCode}, dpkg-deb ${a.exitCode}` })
}

async function fromUpstream(mirror: string, options: SourceOptions, context: StepContext): Promise<KernelSource> {
  const { base, cache, signal } = options
  const paths = upstreamPaths(base)
  const top = mirror.endsWith('/') ? mirror : `${mirror}/`
  const url = new URL(paths.tarball, top).href
  const expected = base.upstream?.sha256 ?? findChecksum(await fetchText(new URL(paths.sums, top).href, signal), basename(paths.tarball), new URL(paths.sums, top).href)
  const tar = tarballPath(cache, expected)
  if (!(await exists(tar)) || (await sha256File(tar)) !== expected) {
    await needSpace(cache.sources, 0.3 * 2 ** 30, 'for the release tarball')
    await makeWhole(tar, (partial) => download(url, partial, expected, context))
  }
  return unpack(tar, expected, `linux-${base.version}`, options, false)
}

/** The line of a `sha256sums.asc` for one file. */
export function findChecksum(sums: string, name: string, where: string): string {
  const line = sums.split('\n').find((text) => text.trim().endsWith(` ${name}`))
  const sum = /^([0-9a-f]{64})\s/.exec(line ?? '')?.[1]
  if (!sum) throw new MachineryError({ expected: `a SHA-256 for ${name} in ${where}`, found: 'none' })
  return sum
}

async function request(url: string, signal: AbortSignal): Promise<Response> {
  const response = await fetch(url, { signal }).catch((error: unknown) => {
    if (signal.aborted) throw new InterruptedError()
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    throw new MachineryError({ expected: `an answer from ${url}`, found: cause, mend: 'check the network, or give the sources with --source TARBALL|DIR' }, { cause: error })
  })
  if (!response.ok) {
    throw new MachineryError({ expected: `${url} to be there`, found: `HTTP ${response.status}`, mend: 'name another mirror with KMHO_KERNEL_MIRROR, or give the sources with --source TARBALL|DIR' })
  }
  return response
}

async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  return (await request(url, signal)).text()
}

/** Streams `url` into `path` and compares its length and checksum. */
export async function download(url: string, path: string, expected: string, context: StepContext): Promise<void> {
  const response = await request(url, context.signal)
  const total = Number(response.headers.get('content-length')) || undefined
  const hash = createHash('sha256')
  let size = 0
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      hash.update(chunk)
      size += chunk.length
      context.progress.update(Math.round(size / 2 ** 20), total && Math.round(total / 2 ** 20), 'MiB')
      callback(null, chunk)
    },
  })
  const truncated = (): MachineryError => new MachineryError({ expected: `${total ?? 'all'} bytes from ${url}`, found: `the end after ${size}`, mend: 'try again' })
  if (!response.body) throw truncated()
  // Opened before the first byte is read and closed before anything is thrown: a stream that is given up while it
  // opens its file would make the file when the caller has already removed it.
  const file = await open(path, 'w')
  try {
    await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), meter, file.createWriteStream())
  } catch (error) {
    if (context.signal.aborted) throw new InterruptedError()
    if ((error as NodeJS.ErrnoException).code?.startsWith('E')) throw error
    throw truncated()
  } finally {
    await file.close()
  }
  if (total !== undefined && size !== total) throw truncated()
  const found = hash.digest('hex')
  if (found !== expected) throw new MachineryError({ expected: `SHA-256 ${expected} of ${url}`, found, mend: 'try again, or name another mirror with KMHO_KERNEL_MIRROR' })
}

/** Unpacks a tarball of any compression that tar knows into the cache, without its top folder. */
async function unpack(tarball: string, key: string, description: string, options: SourceOptions, theirs: boolean): Promise<KernelSource> {
  const { cache, signal } = options
  const source = sourceOf(cache, key, description)
  const { dir } = source
  if (await exists(dir)) return source
  return withLock(`${dir}.lock`, signal, async () => {
    if (await exists(dir)) return source
    await needSpace(cache.bases, TREE_BYTES, 'to unpack the kernel sources')
    await makeWhole(dir, async (partial) => {
      await mkdir(partial, { recursive: true })
      const command: Command = { file: 'tar', args: ['-xf', tarball, '-C', partial, '--strip-components=1', '--no-same-owner'] }
      await runCommand(command, { signal }).catch((error: unknown) => {
        if (!(error instanceof CommandError)) throw error
        if (/No space left/.test(error.stderr)) throw new MachineryError({ expected: `room on the disk to unpack the kernel sources in ${cache.bases}`, found: 'none left', mend: 'free some, or set KMHO_CACHE to a folder on a larger disk' })
        const said = error.stderr.split('\n').find((line) => line.trim()) ?? 'tar failed'
        const complaint = { expected: `a whole tarball of the kernel sources at ${tarball}`, found: said, mend: 'it is truncated or no tarball; get it again' }
        throw theirs ? new UsageError(complaint) : new MachineryError(complaint)
      })
      await requireKernel(partial, tarball)
    })
    return source
  })
}

/** What is not sources in a tree that somebody has built in. */
const NOT_SOURCES = ['/.git', '/.config', '/.config.old', '/include/config', '/include/generated', '/arch/*/include/generated', '*.o', '*.a', '*.ko', '.*.cmd', '.*.d', '/vmlinux*', '/Module.symvers']

/** Written last and removed first: a copy with it is whole, and names what it is a copy of. */
const COPY_STAMP = '.kmho-copy'

async function sourceOfDir(cache: CacheDirs, path: string): Promise<KernelSource> {
  const id = `dir-${sha256Text(path).slice(0, 12)}`
  return { key: await hashTimes(path), id, dir: join(cache.bases, id), description: path }
}

/** A copy of somebody's tree, brought up to date, so that building never writes into theirs. */
async function copyTree(path: string, options: SourceOptions, context: StepContext): Promise<KernelSource> {
  const { cache, signal } = options
  await requireKernel(path, path)
  context.progress.update(0, undefined, 'looking for changes')
  const source = await sourceOfDir(cache, path)
  const stamp = join(source.dir, COPY_STAMP)
  return withLock(`${source.dir}.lock`, signal, async () => {
    if ((await readFile(stamp, 'utf8').catch(() => '')) === source.key) return source
    await needSpace(cache.bases, TREE_BYTES, 'to copy the kernel sources')
    await rm(stamp, { force: true })
    const args = ['-a', '--delete', ...NOT_SOURCES.map((pattern) => `--exclude=${pattern}`), `${path}/`, `${source.dir}/`]
    await mkdir(source.dir, { recursive: true })
    await runCommand({ file: 'rsync', args }, { signal })
    await writeFile(stamp, source.key)
    return source
  })
}

/** Names, sizes and times of a tree: what rsync would compare. */
async function hashTimes(dir: string): Promise<string> {
  const lines: string[] = []
  const walk = async (folder: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true })
    for (const entry of entries) {
      const path = join(folder, entry.name)
      if (entry.name === '.git') continue
      if (entry.isDirectory()) await walk(path)
      else {
        const info = await lstat(path)
        lines.push(`${relative(dir, path)} ${info.size} ${info.mtimeMs}`)
      }
    }
  }
  await walk(dir)
  return sha256Text(dir, ...lines.sort())
}

/** `VERSION`.`PATCHLEVEL`.`SUBLEVEL` of a tree's Makefile. */
export async function readKernelVersion(dir: string): Promise<string | undefined> {
  const text = await readFile(join(dir, 'Makefile'), 'utf8').catch(() => '')
  const field = (name: string): string | undefined => new RegExp(`^${name}\\s*=\\s*(\\S*)\\s*$`, 'm').exec(text)?.[1]
  const [version, level, sub] = [field('VERSION'), field('PATCHLEVEL'), field('SUBLEVEL')]
  return version && level ? `${version}.${level}.${sub ?? 0}` : undefined
}

/** The release that a tree belongs to, such as "7.2"; its patches may differ. */
export async function readKernelRelease(dir: string): Promise<string> {
  return (await readKernelVersion(dir))?.split('.').slice(0, 2).join('.') ?? ''
}

async function requireKernel(dir: string, name: string): Promise<void> {
  if (!(await readKernelVersion(dir)) || !(await exists(join(dir, 'Kconfig')))) {
    throw new UsageError({ expected: `the sources of Linux in ${name}`, found: 'no Makefile and Kconfig of a kernel' })
  }
}
