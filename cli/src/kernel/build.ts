// SPDX-License-Identifier: MIT
// Builds a kernel: from a source through tree and configuration to an image, its successor
// (the same objects under another release) and the headers, into a content-keyed place of the
// cache. The only file that knows make.

import { availableParallelism } from 'node:os'
import { copyFile, mkdir, readFile, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, makeWhole, needSpace, removeLeftovers, sha256Text, withLock, writeWhole } from '../cache.js'
import { CommandError, runCommand, type Command } from '../command.js'
import { MachineryError } from '../errors.js'
import type { CacheDirs, KernelDirs } from '../paths.js'
import type { Step, StepContext } from '../runner.js'
import type { Progress } from '../ui/ui.js'
import { archFacts, crossPrefix, type Arch } from './arch.js'
import type { KernelBase } from './base.js'
import { configCommands, readFragments, requireSymbols, type Flavor } from './config.js'
import { chooseRoad, describeRoad, fetchSource, predictSource, type KernelSource } from './source.js'
import { codeKey, prepareTree, treeDir, withPreparedTree } from './tree.js'

/** A kernel that was built. What `kmho kernel build --json` prints. */
export interface Kernel {
  arch: Arch
  flavor: Flavor
  /** `uname -r` of `image`. */
  release: string
  image: string
  /** The same kernel under another release: where a kexec goes to. */
  successor: { release: string; image: string }
  config: string
  /** A folder for cc -I. */
  headers: string
  systemMap: string
  /** With symbols, where its objects are; for gdb. */
  vmlinux: string
  /** What the sources were. */
  source: string
  /** The compiler's warnings; a clean build has none. */
  warnings: string[]
}

export interface KernelOptions {
  arch: Arch
  flavor: Flavor
  base: KernelBase
  dirs: KernelDirs
  cache: CacheDirs
  source?: string
  mirror?: string
  jobs?: number
  signal: AbortSignal
}

/** Goes up when this file builds differently, so that older results are not taken for new ones. */
const PIPELINE = '2'

const LOCALVERSION = '-kmho'
const SUCCESSOR = '-kmho-next'

/** Space for the objects of one kernel, and a margin. */
const OBJECT_BYTES = 1.5 * 2 ** 30

/** How many kernels of one architecture and flavor the cache keeps. */
const KEEP_KERNELS = 3

export function compilerOf(arch: Arch): string {
  return `${crossPrefix(arch)}gcc`
}

export interface MakeOptions {
  arch: Arch
  tree: string
  objects: string
  cache: CacheDirs
  localversion?: string
  jobs?: number
}

/** make as this tree needs it; add the target to its args. */
export function makeCommand(options: MakeOptions): Command {
  const { arch, tree, objects, cache } = options
  const prefix = crossPrefix(arch)
  return {
    file: 'make',
    args: [
      '-C', tree,
      `O=${objects}`,
      `ARCH=${archFacts[arch].kernelArch}`,
      ...(prefix ? [`CROSS_COMPILE=${prefix}`] : []),
      `CC=ccache ${compilerOf(arch)}`,
      'HOSTCC=ccache gcc',
      `LOCALVERSION=${options.localversion ?? LOCALVERSION}`,
      `-j${options.jobs ?? availableParallelism()}`,
    ],
    env: {
      // The same sources give the same bytes, whoever builds them, wherever and whenever.
      KBUILD_BUILD_USER: 'kmho',
      KBUILD_BUILD_HOST: 'kmho',
      KBUILD_BUILD_TIMESTAMP: '2026-01-01T00:00:00Z',
      CCACHE_DIR: cache.ccache,
      CCACHE_BASEDIR: cache.root,
      CCACHE_NOHASHDIR: '1',
      // The first build is the one that people wait for: no preprocessing beside the compiling.
      CCACHE_DEPEND: '1',
      CCACHE_MAXSIZE: '5G',
      LC_ALL: 'C',
    },
  }
}

/** Has the objects to itself: two makes in one place spoil each other's. */
async function withObjects<T>(objects: string, label: string, work: () => Promise<T>, context: StepContext): Promise<T> {
  return withLock(`${objects}.lock`, context.signal, work, (pid) => context.ui.info(`waiting for another kmho (process ${pid}) that builds ${label}`))
}

function objectsDir(cache: CacheDirs, options: Pick<KernelOptions, 'arch' | 'flavor'>, source: Pick<KernelSource, 'id'>): string {
  return join(cache.objects, `${options.arch}-${options.flavor}-${source.id}`)
}

/**
 * Works in the tree of a kernel, up to date, which stays so meanwhile: what another checkout put into it while something is
 * compiled would be in an object that stands for the old text.
 */
export async function withSources<T>(options: KernelOptions, context: StepContext, work: (places: { source: KernelSource; tree: string }) => Promise<T>): Promise<T> {
  const { flavor, base, cache, dirs, signal } = options
  const source = await fetchSource(await chooseRoad(options), { base, cache, signal }, context)
  return withPreparedTree({ source, dirs, cache, stock: flavor === 'stock', signal }, ({ dir }) => work({ source, tree: dir }), tellWhoBuilds(treeDir(cache, source), context))
}

function tellWhoBuilds(tree: string, context: StepContext): (pid: number) => void {
  return (pid) => context.ui.info(`waiting for another kmho (process ${pid}) that builds in ${tree}`)
}

/** Works in that tree and its configured objects: for tools that need more of a kernel than its image. */
export async function withTree<T>(options: KernelOptions, context: StepContext, work: (places: { tree: string; objects: string }) => Promise<T>): Promise<T> {
  const { arch, flavor, cache, dirs, signal } = options
  return withSources(options, context, ({ source, tree }) => {
    const objects = objectsDir(cache, options, source)
    return withObjects(objects, `${arch} ${flavor}`, async () => {
      if (!(await exists(join(objects, '.config')))) {
        await mkdir(objects, { recursive: true })
        const { paths } = await readFragments(dirs.config, arch, flavor)
        for (const command of configCommands(makeCommand({ arch, tree, objects, cache }), tree, objects, paths)) await runCommand(command, { signal })
      }
      return work({ tree, objects })
    }, context)
  })
}

async function kernelName(options: KernelOptions, tree: string): Promise<string> {
  const { texts } = await readFragments(options.dirs.config, options.arch, options.flavor)
  const compiler = await runCommand({ file: compilerOf(options.arch), args: ['--version'] }, { signal: options.signal })
  const key = sha256Text(PIPELINE, tree, options.arch, options.flavor, compiler.stdout.split('\n')[0] ?? '', ...texts)
  return `${options.arch}-${options.flavor}-${key.slice(0, 16)}`
}

/** A kernel of the cache; undefined if it is not there. Being looked up counts as being used. */
async function readKernel(cache: CacheDirs, name: string): Promise<Kernel | undefined> {
  const dir = join(cache.kernels, name)
  const text = await readFile(join(dir, 'kernel.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const now = new Date()
  await utimes(dir, now, now).catch(() => {})
  const kernel = JSON.parse(text) as Kernel
  const at = (file: string): string => join(dir, file)
  return { ...kernel, image: at('image'), successor: { ...kernel.successor, image: at('image-next') }, config: at('config'), headers: at('headers/include'), systemMap: at('System.map') }
}

/** The steps that lead to a kernel. `result` is there when they have been run. */
export interface KernelPlan {
  steps: Step[]
  result: () => Kernel
}

/** Plans the build; a kernel that the cache has already makes every step one with nothing to do. */
export async function planKernel(options: KernelOptions): Promise<KernelPlan> {
  const { arch, flavor, base, cache, dirs, signal } = options
  const road = await chooseRoad(options)
  const predicted = await predictSource(road, base, cache)
  const stock = flavor === 'stock'
  const ready = predicted && (await readKernel(cache, await kernelName(options, await codeKey(predicted, dirs, stock)).catch(() => '')))
  const cached = ready ? `in the cache, ${ready.image}` : undefined

  // Until the sources are here the places are a forecast, which --dry-run shows.
  let source = predicted ?? { key: 'SHA256', id: 'SHA256', dir: join(cache.bases, 'SHA256'), description: describeRoad(road, base) }
  let tree = stock ? source.dir : treeDir(cache, source)
  let objects = objectsDir(cache, options, source)
  let done = ready
  const make = (target: string, localversion?: string): Command => {
    const command = makeCommand({ arch, tree, objects, cache, ...(localversion ? { localversion } : {}), ...(options.jobs ? { jobs: options.jobs } : {}) })
    return { ...command, args: [...command.args, target] }
  }
  const makeBare = (): Command => makeCommand({ arch, tree, objects, cache, ...(options.jobs ? { jobs: options.jobs } : {}) })
  const { target, image } = archFacts[arch]
  const fragments = await readFragments(dirs.config, arch, flavor)
  const warnings: string[] = []
  let configured = ''
  const label = `${arch} ${flavor}`
  const skip = cached === undefined ? {} : { cached }

  const locked = <T>(work: () => Promise<T>, context: StepContext): Promise<T> => withObjects(objects, label, work, context)
  const inTree = <T>(work: (code: string) => Promise<T>, context: StepContext): Promise<T> =>
    withPreparedTree({ source, dirs, cache, stock, signal }, ({ code }) => locked(() => work(code), context), tellWhoBuilds(tree, context))

  // Named so that removeLeftovers() knows whose it was.
  const staging = join(cache.kernels, `.partial-staging-${arch}-${flavor}-${process.pid}`)
  const steps: Step[] = [
    {
      title: `kernel sources: ${describeRoad(road, base)}`,
      ...skip,
      run: async (context) => {
        for (const dir of [cache.sources, cache.bases, cache.trees, cache.kernels, cache.tmp]) await removeLeftovers(dir)
        source = await fetchSource(road, { base, cache, signal }, context)
        tree = stock ? source.dir : treeDir(cache, source)
        objects = objectsDir(cache, options, source)
        return source.description
      },
    },
    {
      title: stock ? 'kernel tree: the sources as they are' : 'kernel tree: patches without fuzz, overlay',
      ...skip,
      run: async () => {
        const { changed } = await prepareTree({ source, dirs, cache, stock, signal })
        return stock ? undefined : `${changed} files changed`
      },
    },
    ...configCommands(makeBare(), tree, objects, fragments.paths).map((command, index, all): Step => ({
      title: `configuration of ${label}, step ${index + 1} of ${all.length}`,
      command,
      ...skip,
      run: async (context) =>
        locked(async () => {
          await needSpace(cache.objects, OBJECT_BYTES, 'for the objects of a kernel')
          await mkdir(objects, { recursive: true })
          const actual = configCommands(makeBare(), tree, objects, fragments.paths)[index]
          if (actual) await runCommand(actual, { signal, onLine: (line) => context.ui.verbose(line) })
          if (index < all.length - 1) return
          configured = await readFile(join(objects, '.config'), 'utf8')
          requireSymbols(fragments.texts, configured)
        }, context),
    })),
    {
      // One step and one lock for all of it: another kmho in between would leave its own release in the objects.
      title: `kernel ${label}, and its successor: the same objects under another release`,
      command: [make(target), make('headers_install'), make(target, SUCCESSOR)],
      ...skip,
      run: (context) =>
        inTree(async (code) => {
          if ((await readFile(join(objects, '.config'), 'utf8')) !== configured) throw new MachineryError({ expected: `the configuration of ${label} as it was made`, found: 'another', mend: `another kmho has used ${objects}; run the command again` })
          const expected = await expectObjects(make(target), objects, context)
          const built = await runMake(make(target), expected, warnings, context)
          await rm(staging, { recursive: true, force: true })
          await mkdir(staging, { recursive: true })
          await collect(objects, image, staging, 'image')
          await copyFile(join(objects, '.config'), join(staging, 'config'))
          await copyFile(join(objects, 'System.map'), join(staging, 'System.map'))
          const headers = make('headers_install')
          await runCommand({ ...headers, args: [...headers.args, `INSTALL_HDR_PATH=${join(staging, 'headers')}`] }, { signal, onLine: (line) => context.ui.verbose(line) })
          const first = await requireRelease(objects, LOCALVERSION)
          await runMake(make(target, SUCCESSOR), undefined, warnings, context)
          await collect(objects, image, staging, 'image-next')
          const next = await requireRelease(objects, SUCCESSOR)
          const name = await kernelName(options, code)
          const kernel: Omit<Kernel, 'image' | 'config' | 'headers' | 'systemMap' | 'successor'> & { successor: { release: string } } = { arch, flavor, release: first, successor: { release: next }, source: source.description, vmlinux: join(objects, 'vmlinux'), warnings }
          await writeWhole(join(staging, 'kernel.json'), JSON.stringify(kernel, null, 2))
          await makeWhole(join(cache.kernels, name), async (partial) => {
            await runCommand({ file: 'cp', args: ['-a', staging, partial] }, { signal })
          })
          await rm(staging, { recursive: true, force: true })
          await pruneKernels(cache, `${arch}-${flavor}-`)
          done = await readKernel(cache, name)
          for (const line of warnings) context.ui.warn(line)
          return `${first} and ${next}, ${built} objects`
        }, context),
    },
  ]
  return {
    steps,
    result: () => {
      if (!done) throw new Error('the plan of a kernel has not been run')
      return done
    },
  }
}

/** The release that make has just built, which has to end as it was told. */
async function requireRelease(objects: string, localversion: string): Promise<string> {
  const release = (await readFile(join(objects, 'include/config/kernel.release'), 'utf8')).trim()
  if (release.endsWith(localversion)) return release
  throw new MachineryError({ expected: `a release that ends in ${localversion}`, found: release, mend: `another make has used ${objects}; run the command again` })
}

async function collect(objects: string, image: string, staging: string, name: string): Promise<void> {
  const path = join(objects, image)
  if (!(await exists(path))) throw new MachineryError({ expected: `make to leave ${image}`, found: 'no such file' })
  await copyFile(path, join(staging, name))
}

/** A line of make's that stands for one object: `  CC      mm/mmap.o`. */
export function objectOf(line: string): string | undefined {
  return /^\s+(?:CC|AS)\s+(\S+\.o)$/.exec(line)?.[1]
}

/** How many objects make is about to make, from a rehearsal of it; undefined if that fails. */
async function expectObjects(command: Command, objects: string, context: StepContext): Promise<number | undefined> {
  context.progress.update(0, undefined, 'counting objects')
  const prepare = { ...command, args: [...command.args.slice(0, -1), 'prepare'] }
  await runCommand(prepare, { signal: context.signal, onLine: (line) => context.ui.verbose(line) })
  const seen = new Set<string>()
  // A rehearsal stops at the first file that only a real run would make, hence -k and any status.
  const rehearsal = { ...command, args: [...command.args.slice(0, -1), '-n', '-k', 'vmlinux'] }
  await runCommand(rehearsal, {
    signal: context.signal,
    accept: [1, 2],
    onLine: (line) => {
      const object = /echo '\s+(?:CC|AS)\s+(\S+\.o)'/.exec(line)?.[1]
      if (object) seen.add(object)
    },
  })
  await stat(objects)
  return seen.size || undefined
}

async function runMake(command: Command, expected: number | undefined, warnings: string[], context: StepContext): Promise<number> {
  const { progress, signal, ui } = context
  let count = 0
  const tail: string[] = []
  const onLine = (line: string): void => {
    ui.verbose(line)
    tail.push(line)
    if (tail.length > 40) tail.shift()
    if (/\bwarning:|^WARNING:/i.test(line)) warnings.push(line)
    const object = objectOf(line)
    if (object) showObject(progress, ++count, expected, object)
  }
  try {
    await runCommand(command, { signal, onLine })
  } catch (error) {
    // The compiler's words come far above make's own closing ones.
    const said = error instanceof CommandError ? tail.filter((line) => /\berror:|\*\*\*/.test(line)) : []
    for (const line of said) ui.info(line)
    throw error
  }
  return count
}

function showObject(progress: Progress, count: number, expected: number | undefined, object: string): void {
  progress.update(count, expected, object)
}

/** Deletes all but the newest kernels whose name begins with `prefix`. */
async function pruneKernels(cache: CacheDirs, prefix: string): Promise<void> {
  const names = (await readdir(cache.kernels)).filter((name) => name.startsWith(prefix))
  const dated = await Promise.all(names.map(async (name) => ({ name, time: (await stat(join(cache.kernels, name))).mtimeMs })))
  for (const { name } of dated.sort((a, b) => b.time - a.time).slice(KEEP_KERNELS)) {
    await rm(join(cache.kernels, name), { recursive: true, force: true })
  }
}
