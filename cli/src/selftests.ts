// SPDX-License-Identifier: MIT
// The kernel's selftests of the call: which there are, and how they are cross-built, statically,
// against the headers of the kernel that they will run on. It runs none.

import { mkdir, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, hashDir, makeWhole, sha256Text } from './cache.js'
import { runCommand, type Command } from './command.js'
import type { Context } from './context.js'
import { crossPrefix, type Arch } from './kernel/arch.js'

export interface Selftest {
  name: string
  /** Has cases that need no kexec. */
  now: boolean
  /** Has cases in two stages, with a kexec in between. */
  kexec: boolean
  /** Has a third stage, after another kexec. */
  again: boolean
  /** Has a stage that is run after each of any number of kexecs. */
  each: boolean
  /** What it makes the kernel complain of, on purpose: `Provokes:` in its head, a regular expression. */
  provokes?: string
}

const FOLDER = 'tools/testing/selftests/kmho'

/** The programs of the overlay, from the names and texts of their sources. */
export async function listSelftests(overlay: string): Promise<Selftest[]> {
  const dir = join(overlay, FOLDER)
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.c')).sort()
  return Promise.all(
    names.map(async (file) => {
      const text = await readFile(join(dir, file), 'utf8')
      const name = file.slice(0, -2)
      const has = (stage: string): boolean => new RegExp(`\\.${stage}\\b`).test(text)
      const provokes = /^ \* Provokes: (.+)$/m.exec(text)?.[1]
      return { name, now: has('now'), kexec: has('before'), again: has('again'), each: has('each'), ...(provokes ? { provokes } : {}) }
    }),
  )
}

/** How one program is compiled. `tree` is the patched tree, for the kselftest harness. */
export function selftestCommand(arch: Arch, name: string, overlay: string, tree: string, headers: string, output: string): Command {
  return {
    file: `${crossPrefix(arch)}gcc`,
    args: [
      '-O2', '-g', '-static', '-pthread', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Wno-missing-field-initializers', '-Wno-sign-compare',
      '-D_GNU_SOURCE',
      '-isystem', headers,
      '-isystem', join(tree, 'tools/testing/selftests'),
      '-isystem', join(tree, 'tools/include'),
      '-o', join(output, name),
      join(overlay, FOLDER, `${name}.c`),
    ],
  }
}

/** Builds all of them, unless the cache has them; returns their folder. */
export async function buildSelftests(arch: Arch, headers: string, tree: string, context: Context): Promise<string> {
  const { overlay } = context.dirs
  const tests = await listSelftests(overlay)
  const key = sha256Text('1', arch, await hashDir(join(overlay, FOLDER)), await readFile(join(headers, 'linux/kmho.h'), 'utf8'))
  const dir = join(context.cache.root, 'selftests', `${arch}-${key.slice(0, 16)}`)
  if (await exists(dir)) return dir
  await makeWhole(dir, async (partial) => {
    await mkdir(partial)
    for (const { name } of tests) {
      const { stderr } = await runCommand(selftestCommand(arch, name, overlay, tree, headers, partial), { signal: context.signal })
      for (const line of stderr.split('\n')) if (line.includes('warning:')) context.ui.warn(line)
    }
  })
  return dir
}
