// SPDX-License-Identifier: MIT
// Kconfig: which fragments make a flavor, the commands that merge them over tinyconfig, and
// the check that every symbol asked for is there afterwards. It does not build.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from '../command.js'
import { MachineryError, UsageError } from '../errors.js'
import type { Arch } from './arch.js'

export const FLAVORS = ['default', 'stock', 'debug'] as const
export type Flavor = (typeof FLAVORS)[number]

export function parseFlavor(text: string): Flavor {
  const flavor = FLAVORS.find((name) => name === text)
  if (!flavor) throw new UsageError({ expected: `--flavor to be one of ${FLAVORS.join(', ')}`, found: text })
  return flavor
}

/** The fragments in the order of merging: a later one has the last word. */
export function fragmentNames(arch: Arch, flavor: Flavor): string[] {
  return ['base.config', `${arch}.config`, `${flavor}.config`]
}

/** What a fragment asks for: a value, or `n`. */
export function parseFragment(text: string): Map<string, string> {
  const wanted = new Map<string, string>()
  for (const line of text.split('\n')) {
    const set = /^(CONFIG_\w+)=(.*)$/.exec(line)
    const unset = /^# (CONFIG_\w+) is not set/.exec(line)
    if (set) wanted.set(set[1] as string, set[2] as string)
    if (unset) wanted.set(unset[1] as string, 'n')
  }
  return wanted
}

/** The symbols that the final configuration does not have as they were asked for. */
export function lostSymbols(fragments: readonly string[], config: string): { name: string; wanted: string; found: string }[] {
  const wanted = new Map(fragments.flatMap((text) => [...parseFragment(text)]))
  const final = parseFragment(config)
  return [...wanted].flatMap(([name, value]) => {
    const found = final.get(name) ?? 'n'
    return found === value ? [] : [{ name, wanted: value, found }]
  })
}

/** Reads the fragments of a flavor. */
export async function readFragments(dir: string, arch: Arch, flavor: Flavor): Promise<{ paths: string[]; texts: string[] }> {
  const paths = fragmentNames(arch, flavor).map((name) => join(dir, name))
  const texts: string[] = []
  // One after the other, so that the first that is missing is the one that is named.
  for (const path of paths) {
    texts.push(
      await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'ENOENT' ? new UsageError({ expected: `the fragment ${path}`, found: 'no such file' }) : error
      }),
    )
  }
  return { paths, texts }
}

/** tinyconfig, the fragments over it, and what they drag in. `make` is the tree's make command without a target. */
export function configCommands(make: Command, tree: string, objects: string, fragments: readonly string[]): Command[] {
  return [
    { ...make, args: [...make.args, 'tinyconfig'] },
    {
      file: join(tree, 'scripts/kconfig/merge_config.sh'),
      args: ['-m', '-O', objects, join(objects, '.config'), ...fragments],
      cwd: objects,
    },
    { ...make, args: [...make.args, 'olddefconfig'] },
  ]
}

/** Stops, naming every symbol that did not survive. */
export function requireSymbols(fragments: readonly string[], config: string): void {
  const lost = lostSymbols(fragments, config)
  if (lost.length === 0) return
  const list = lost.map(({ name, wanted, found }) => `${name} (wanted ${wanted}, is ${found})`).join(', ')
  throw new MachineryError({ expected: 'every symbol of kernel/config to survive Kconfig', found: `${lost.length} that did not: ${list}`, mend: 'a dependency of theirs is missing in the fragments, or the symbol is not in this base' })
}
