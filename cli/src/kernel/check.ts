// SPDX-License-Identifier: MIT
// What kernel people run before they send: checkpatch --strict on every mail of the series, sparse on every
// object of ours, and memblock's own tests, which run on the host. Returns findings; judges nothing else.

import { cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { runCommand, type Command } from '../command.js'

export interface Finding {
  tool: 'checkpatch' | 'sparse'
  /** checkpatch's own; `check` is what only --strict says. */
  level: 'error' | 'warning' | 'check'
  where: string
  text: string
}

/**
 * Nobody has signed yet, that comes with sending; and the one line for MAINTAINERS is in the
 * patch that brings the files, which checkpatch does not see across the mails of a series. Labels
 * such as Unlock in kernel/kexec_core.c have the case that they have, and iterators name their
 * cursor more than once, as list_for_each_entry() does.
 */
const CHECKPATCH_ARGS = ['--strict', '--no-signoff', '--terse', '--no-summary', '--show-types', '--ignore', 'FILE_PATH_CHANGES,CAMELCASE,MACRO_ARG_REUSE']

export function checkpatchCommand(tree: string, patch: string): Command {
  // It leaves a list of names where it is called.
  return { file: 'perl', args: [join(tree, 'scripts/checkpatch.pl'), `--root=${tree}`, ...CHECKPATCH_ARGS, patch], cwd: dirname(patch) }
}

/** `FILE:LINE: WARNING:TYPE: text`, one finding a line. */
export function parseCheckpatch(output: string): Finding[] {
  return output.split('\n').flatMap((line) => {
    const match = /^(\S+?:\d+|\S+?): (ERROR|WARNING|CHECK):(.*)$/.exec(line)
    const level = (match?.[2] ?? '').toLowerCase() as Finding['level']
    return match ? [{ tool: 'checkpatch' as const, level, where: basename(match[1] as string), text: (match[3] as string).trim() }] : []
  })
}

export async function runCheckpatch(tree: string, patches: readonly string[], signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const patch of patches) {
    const { stdout } = await runCommand(checkpatchCommand(tree, patch), { signal, accept: [1] })
    findings.push(...parseCheckpatch(stdout))
  }
  return findings
}

/** sparse's lines about files of ours. */
export function parseSparse(output: string, ours: readonly string[]): Finding[] {
  return [
    ...new Map(
      output.split('\n').flatMap((line) => {
        const match = /^(\S+?):(\d+):(?:\d+:)? (?:warning|error): (.*)$/.exec(line.trim())
        const file = ours.find((name) => match?.[1]?.endsWith(name))
        return match && file ? [[line, { tool: 'sparse' as const, level: 'warning' as const, where: `${file}:${match[2]}`, text: match[3] as string }] as const] : []
      }),
    ).values(),
  ]
}

/** Re-checks every object of the folders (C=2), building nothing that is up to date. `make` has no target yet. */
export async function runSparse(make: Command, folders: readonly string[], ours: readonly string[], signal: AbortSignal): Promise<Finding[]> {
  const command = { ...make, args: [...make.args, 'C=2', 'CHECK=sparse', ...folders] }
  const { stdout, stderr } = await runCommand(command, { signal })
  return parseSparse(`${stdout}\n${stderr}`, ours)
}

/** The folders of the overlay that hold objects, such as `mm/kmho/`. */
export async function objectFolders(overlay: string, files: readonly string[]): Promise<string[]> {
  const folders = new Set(files.filter((file) => file.endsWith('.c') && !file.startsWith('tools/') && !file.startsWith('Documentation/')).map((file) => `${file.slice(0, file.lastIndexOf('/'))}/`))
  const withMakefile: string[] = []
  for (const folder of folders) if ((await readdir(join(overlay, folder))).includes('Makefile')) withMakefile.push(folder)
  return withMakefile.sort()
}

const MEMBLOCK_TESTS = 'tools/testing/memblock'

/**
 * Builds and runs the memblock simulator, in a folder of its own that the tree's are linked into: it is built in place.
 * The first test that fails ends it, with an assertion, which is thrown. Returns how many passed.
 */
export async function runMemblock(tree: string, work: string, numa: boolean, signal: AbortSignal): Promise<number> {
  const dir = join(work, MEMBLOCK_TESTS)
  await mkdir(dirname(dir), { recursive: true })
  for (const name of ['arch', 'include', 'lib', 'mm', 'scripts', 'tools/arch', 'tools/include', 'tools/lib', 'tools/scripts', 'tools/testing/selftests']) await symlink(join(tree, name), join(work, name))
  await cp(join(tree, MEMBLOCK_TESTS), dir, { recursive: true })
  await runCommand({ file: 'make', args: ['-C', dir, ...(numa ? ['NUMA=1'] : [])] }, { signal })
  const { stdout } = await runCommand({ file: join(dir, 'main'), args: ['-v'], cwd: dir }, { signal })
  return stdout.match(/^ok /gm)?.length ?? 0
}
