// SPDX-License-Identifier: MIT
// The kernel's own selftests of the memory that kmho hooks into, and of KHO's other user: which
// there are, and how they are cross-built, statically, by the kernel's own makefiles. It runs none.

import { cp, mkdir, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { exists, makeWhole, sha256Text } from './cache.js'
import { runCommand, type Command } from './command.js'
import type { Context } from './context.js'
import { crossPrefix, type Arch } from './kernel/arch.js'

const SELFTESTS = 'tools/testing/selftests'
/** What the makefiles read beside the selftests' headers. */
const NEEDED = [`${SELFTESTS}/lib.mk`, `${SELFTESTS}/mm`, `${SELFTESTS}/liveupdate`, `${SELFTESTS}/pidfd/pidfd.h`, `${SELFTESTS}/clone3/clone3_selftests.h`, `${SELFTESTS}/x86`, 'tools/include', 'mm/gup_test.h', 'scripts/subarch.include']

/** One run of a program of tools/testing/selftests. */
export interface UpstreamTest {
  folder: 'mm' | 'liveupdate'
  program: string
  args?: readonly string[]
  /** Run once in the first kernel and once after a kexec, with `-s 1` and `-s 2`. */
  stages?: true
  arch?: Arch
}

const mm = (program: string, ...args: string[]): UpstreamTest => ({ folder: 'mm', program, args })

/**
 * With the arguments of run_vmtests.sh, or smaller ones. Not here: what needs libcap or libnuma, devices or file
 * systems that the guests lack, or broken memory; and two races that are run for minutes.
 */
export const UPSTREAM: readonly UpstreamTest[] = [
  { folder: 'liveupdate', program: 'liveupdate' },
  { folder: 'liveupdate', program: 'luo_kexec_simple', stages: true },
  { folder: 'liveupdate', program: 'luo_multi_session', stages: true },
  mm('compaction_test'),
  mm('cow'),
  mm('droppable'),
  mm('guard-regions'),
  mm('gup_longterm'),
  mm('gup_test', '-ct', '-F', '0x1', '0', '19', '0x1000'),
  mm('hugetlb-madvise'),
  mm('hugetlb-mmap'),
  mm('hugetlb-mremap'),
  mm('hugetlb-shm'),
  mm('hugetlb_dio'),
  mm('hugetlb_madv_vs_map'),
  mm('khugepaged'),
  mm('khugepaged', 'all:shmem'),
  mm('ksm_functional_tests'),
  mm('madv_populate'),
  mm('map_fixed_noreplace'),
  mm('map_populate'),
  mm('mdwe_test'),
  mm('merge'),
  mm('mkdirty'),
  mm('mlock2-tests'),
  mm('mrelease_test'),
  mm('mremap_dontunmap'),
  mm('mremap_test'),
  mm('mseal_test'),
  mm('on-fault-limit'),
  mm('pagemap_ioctl'),
  mm('pfnmap'),
  mm('prctl_thp_disable'),
  mm('process_madv'),
  { ...mm('soft-dirty'), arch: 'x86_64' },
  mm('split_huge_page_test'),
  mm('thuge-gen'),
  mm('transhuge-stress', '-d', '5'),
  mm('uffd-stress', 'anon', '20', '4'),
  mm('uffd-stress', 'hugetlb', '64', '4'),
  mm('uffd-stress', 'shmem', '20', '4'),
  mm('uffd-unit-tests'),
  mm('uffd-wp-mremap'),
]

/** How the programs of one folder are compiled. `copy` holds what NEEDED names. */
export function upstreamCommand(arch: Arch, folder: UpstreamTest['folder'], programs: readonly string[], copy: string, headers: string, output: string): Command {
  return {
    file: 'make',
    args: [
      '-C', join(copy, SELFTESTS, folder),
      `ARCH=${arch}`, `CROSS_COMPILE=${crossPrefix(arch)}`,
      `OUTPUT=${output}`, `KHDR_INCLUDES=-isystem ${headers}`, 'LDFLAGS=-static',
      ...programs.map((program) => join(output, program)),
    ],
  }
}

/** Builds the programs that `tests` name, unless the cache has them; returns their folder. `source` names the tree's contents. */
export async function buildUpstream(arch: Arch, tests: readonly UpstreamTest[], source: string, headers: string, tree: string, context: Context): Promise<string> {
  const programsOf = (folder: UpstreamTest['folder']): string[] => [...new Set(tests.filter((test) => test.folder === folder).map(({ program }) => program))]
  const dir = join(context.cache.root, 'selftests', `upstream-${arch}-${sha256Text('1', source, headers, ...tests.map(({ program }) => program)).slice(0, 16)}`)
  if (await exists(dir)) return dir
  await makeWhole(dir, async (partial) => {
    const copy = join(partial, 'copy')
    const headersOf = (await readdir(join(tree, SELFTESTS))).filter((name) => name.endsWith('.h')).map((name) => `${SELFTESTS}/${name}`)
    for (const path of [...NEEDED, ...headersOf]) {
      await mkdir(dirname(join(copy, path)), { recursive: true })
      await cp(join(tree, path), join(copy, path), { recursive: true })
    }
    for (const folder of ['mm', 'liveupdate'] as const) {
      const programs = programsOf(folder)
      if (programs.length > 0) await runCommand(upstreamCommand(arch, folder, programs, copy, headers, partial), { signal: context.signal })
    }
  })
  return dir
}
