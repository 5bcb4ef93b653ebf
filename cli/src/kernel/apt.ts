// SPDX-License-Identifier: MIT
// Asks Debian's archive for a package of another suite without touching the machine's own
// apt: a list, a state and a cache of its own, with the mirror read out of the sources that
// the machine has. No mirror is named here.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findDebianSource, type AptSource } from '../../../qemu/src/images/apt.js'
import { runCommand, type Command } from '../command.js'

const DEFAULT_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** `/etc/os-release`: is this Debian itself, whose archive has the package? */
export function isDebian(text: string): boolean {
  return /^ID=["']?debian["']?\s*$/m.test(text)
}

/** The source list of our own. */
export function formatAptList(mirror: Pick<AptSource, 'uri' | 'signedBy'>, suite: string): string {
  return `deb [signed-by=${mirror.signedBy ?? DEFAULT_KEYRING}] ${mirror.uri} ${suite} main\n`
}

/** Options that keep apt away from everything that belongs to the machine. `dir` holds it all. */
export function aptOptions(dir: string): string[] {
  return [
    `-oDir::Etc::sourcelist=${join(dir, 'sources.list')}`,
    '-oDir::Etc::sourceparts=/dev/null',
    `-oDir::State::Lists=${join(dir, 'lists')}`,
    `-oDir::Cache=${join(dir, 'cache')}`,
    '-oAPT::Sandbox::User=root',
    '-oAPT::Get::List-Cleanup=false',
    '-oAcquire::Retries=3',
    '-oAcquire::Languages=none',
    // Some machines keep their lists compressed; ours are read as they are.
    '-oAcquire::GzipIndexes=false',
  ]
}

export function aptUpdate(dir: string): Command {
  return { file: 'apt-get', args: [...aptOptions(dir), '--error-on=any', 'update'] }
}

/** Downloads into `into`; apt checks the package against the signed list. */
export function aptDownload(dir: string, into: string, name: string, version: string): Command {
  return { file: 'apt-get', args: [...aptOptions(dir), 'download', `${name}=${version}`], cwd: into }
}

export function aptVersions(dir: string, name: string): Command {
  return { file: 'apt-cache', args: [...aptOptions(dir), 'madison', name] }
}

/** `apt-cache madison`: one ` name | version | where` a line; the archive's newest comes first. */
export function parseMadison(text: string): string[] {
  return [...new Set(text.split('\n').map((line) => line.split('|')[1]?.trim() ?? '').filter(Boolean))]
}

/** The pinned revision if the archive has it, otherwise the first later one of the same series. */
export function chooseRevision(available: readonly string[], pinned: string, series: string): { version: string; pinned: boolean } | undefined {
  if (available.includes(pinned)) return { version: pinned, pinned: true }
  const later = available.find((version) => version.startsWith(`${series}.`) || version.startsWith(`${series}-`))
  return later === undefined ? undefined : { version: later, pinned: false }
}

/** Makes the folders that apt wants and the list of our own. */
export async function prepareApt(dir: string, mirror: Pick<AptSource, 'uri' | 'signedBy'>, suite: string): Promise<void> {
  for (const name of ['lists/partial', 'cache/archives/partial']) await mkdir(join(dir, name), { recursive: true })
  await writeFile(join(dir, 'sources.list'), formatAptList(mirror, suite))
}

/** The index of all packages of the machine's own release, into `dir`/lists. */
export async function fetchIndex(dir: string, signal: AbortSignal): Promise<void> {
  const mirror = await findDebianSource()
  await prepareApt(dir, mirror, mirror.suite)
  await runCommand(aptUpdate(dir), { signal })
}
