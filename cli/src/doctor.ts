// SPDX-License-Identifier: MIT
// What the machine must have, and how each thing is found and mended. Knows Debian's package
// names; installs nothing itself.

import { access, readFile, statfs, constants } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Command } from './command.js'
import { archFacts, ARCHES, type Arch } from './kernel/arch.js'
import { LARGEST_GUEST_MIB } from './scenarios/guest-tests.js'

export interface Check {
  name: string
  ok: boolean
  /** What was found. */
  found: string
  /** What mends it, in words. */
  mend?: string
  /** Debian's package that brings it. */
  package?: string
}

interface Need {
  package: string
  /** Programs, looked for in PATH and the sbin folders. */
  programs?: string[]
  /** Files, any one of which will do. */
  anyFile?: string[]
  why: string
}

const QEMU: Record<Arch, { package: string; program: string }> = {
  x86_64: { package: 'qemu-system-x86', program: 'qemu-system-x86_64' },
  arm64: { package: 'qemu-system-arm', program: 'qemu-system-aarch64' },
}

const DEB_TRIPLET: Record<Arch, string> = { x86_64: 'x86-64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const DEB_ARCH: Record<Arch, string> = { x86_64: 'amd64', arm64: 'arm64' }

/** Everything that has to be installed on a Debian machine of architecture `host`. */
export function needs(host: Arch): Need[] {
  const foreign = ARCHES.filter((arch) => arch !== host)
  const lib = archFacts[host].triplet
  return [
    ...ARCHES.map((arch): Need => ({ package: QEMU[arch].package, programs: [QEMU[arch].program], why: `guests of ${arch}` })),
    { package: 'gcc', programs: ['gcc'], why: 'kernels, programs in the guest' },
    { package: 'g++', programs: ['g++'], why: 'the addon' },
    { package: 'libc6-dev', anyFile: [`/usr/lib/${lib}/libc.a`], why: 'static programs in the guest' },
    ...foreign.flatMap((arch): Need[] => [
      { package: `gcc-${DEB_TRIPLET[arch]}`, programs: [`${archFacts[arch].triplet}-gcc`], why: `kernels and programs of ${arch}` },
      { package: `g++-${DEB_TRIPLET[arch]}`, programs: [`${archFacts[arch].triplet}-g++`], why: `the addon of ${arch}` },
      { package: `libc6-dev-${DEB_ARCH[arch]}-cross`, anyFile: [`/usr/${archFacts[arch].triplet}/lib/libc.a`], why: `static programs of ${arch}` },
    ]),
    { package: 'make', programs: ['make'], why: 'kernels' },
    { package: 'cmake', programs: ['cmake'], why: 'the addon, cross-built' },
    { package: 'python3', programs: ['python3'], why: 'node-gyp' },
    { package: 'flex', programs: ['flex'], why: 'kernels' },
    { package: 'bison', programs: ['bison'], why: 'kernels' },
    { package: 'bc', programs: ['bc'], why: 'kernels' },
    { package: 'perl', programs: ['perl'], why: 'kernels, checkpatch' },
    { package: 'libelf-dev', anyFile: ['/usr/include/libelf.h'], why: "kernels of x86_64 (objtool)" },
    { package: 'ccache', programs: ['ccache'], why: 'kernels, the second time' },
    { package: 'rsync', programs: ['rsync'], why: "the kernel's headers" },
    { package: 'patch', programs: ['patch'], why: 'the kernel series' },
    { package: 'xz-utils', programs: ['xz'], why: 'the kernel sources' },
    { package: 'tar', programs: ['tar'], why: 'the kernel sources' },
    { package: 'gzip', programs: ['gzip'], why: 'kernel images' },
    { package: 'e2fsprogs', programs: ['mke2fs'], why: "the guest's root file system" },
    { package: 'sparse', programs: ['sparse'], why: 'kmho kernel check' },
    { package: 'liburcu-dev', anyFile: ['/usr/include/urcu.h', `/usr/include/${lib}/urcu.h`], why: "memblock's tests, in kmho kernel check" },
    { package: 'cpio', programs: ['cpio'], why: 'the unit tests of the initramfs' },
    { package: 'file', programs: ['file'], why: 'the unit tests of the initramfs' },
    { package: 'git', programs: ['git'], why: 'kmho kernel series' },
  ]
}

const PATHS = [...new Set([...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'])].filter(Boolean)

async function isThere(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(() => true, () => false)
}

export async function findProgram(name: string, paths: readonly string[] = PATHS): Promise<string | undefined> {
  for (const dir of paths) if (await isThere(join(dir, name), constants.X_OK)) return join(dir, name)
  return undefined
}

async function checkNeed(need: Need, paths: readonly string[]): Promise<Check> {
  const base = { name: need.package, package: need.package }
  const lacking = need.why
  for (const program of need.programs ?? []) {
    const path = await findProgram(program, paths)
    if (path === undefined) return { ...base, ok: false, found: `no ${program}`, mend: `install ${need.package} (for ${lacking})` }
    return { ...base, ok: true, found: path }
  }
  for (const file of need.anyFile ?? []) if (await isThere(file, constants.R_OK)) return { ...base, ok: true, found: file }
  return { ...base, ok: false, found: `no ${need.anyFile?.join(' or ')}`, mend: `install ${need.package} (for ${lacking})` }
}

/** Space that both architectures' sources, objects, kernels and root file systems take. */
const WANTED_BYTES = 12 * 2 ** 30
const WANTED_MEMORY = 3 * 2 ** 30

export interface DoctorOptions {
  host: Arch
  cacheRoot: string
  paths?: readonly string[]
  /** Bytes of this machine; otherwise they are asked for. */
  memory?: number
  /** The accelerator that a boot was seen to work on, where one was tried. */
  accel?: string
}

/** Looks at everything, and changes nothing. */
export async function examine(options: DoctorOptions): Promise<Check[]> {
  const paths = options.paths ?? PATHS
  const checks: Check[] = [{ name: 'node', ok: true, found: process.versions.node }]
  for (const need of needs(options.host)) checks.push(await checkNeed(need, paths))
  const space = await freeSpace(options.cacheRoot)
  checks.push({
    name: 'disk space',
    ok: space >= WANTED_BYTES,
    found: `${(space / 2 ** 30).toFixed(0)} GiB free for ${options.cacheRoot}`,
    ...(space >= WANTED_BYTES ? {} : { mend: `free some, at least ${WANTED_BYTES / 2 ** 30} GiB, or set KMHO_CACHE to a folder on a larger disk` }),
  })
  const memory = options.memory ?? totalmem()
  const lacks =
    memory < WANTED_MEMORY
      ? 'a guest of the default size needs a machine of 3 GiB'
      : memory < LARGEST_GUEST_MIB * 2 ** 20
        ? `enough but for the tests, whose largest guest has ${LARGEST_GUEST_MIB / 1024} GiB`
        : undefined
  checks.push({ name: 'memory', ok: memory >= WANTED_MEMORY, found: `${(memory / 2 ** 30).toFixed(0)} GiB`, ...(lacks ? { mend: lacks } : {}) })
  checks.push({ name: 'accelerator', ok: true, found: await describeAccel(options.accel) })
  return checks
}

async function describeAccel(accel: string | undefined): Promise<string> {
  if (accel) return accel
  const openable = await isThere('/dev/kvm', constants.R_OK | constants.W_OK)
  return openable ? 'tcg, until a guest was seen to boot on /dev/kvm (being able to open it proves nothing)' : 'tcg (there is no /dev/kvm to open)'
}

async function freeSpace(path: string): Promise<number> {
  for (let dir = path; ; dir = join(dir, '..')) {
    const info = await statfs(dir).catch(() => undefined)
    if (info) return info.bavail * info.bsize
  }
}

/** The commands that install the packages; `sudo` in front where the caller is not root. */
export function installCommands(packages: readonly string[], uid: number): Command[] {
  const as = (file: string, args: string[]): Command =>
    uid === 0 ? { file, args, env: { DEBIAN_FRONTEND: 'noninteractive' } } : { file: 'sudo', args: ['-n', 'DEBIAN_FRONTEND=noninteractive', file, ...args] }
  return [as('apt-get', ['update']), as('apt-get', ['install', '-y', '--no-install-recommends', ...packages])]
}

/** True where apt-get is the machine's package manager. */
export async function hasApt(paths: readonly string[] = PATHS): Promise<boolean> {
  return (await findProgram('apt-get', paths)) !== undefined && (await readFile('/var/lib/dpkg/status', 'utf8').then(() => true, () => false))
}
