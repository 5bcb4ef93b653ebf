// SPDX-License-Identifier: MIT
// Asks Debian's archive for a package of another suite without touching the machine's own
// apt: a list, a state and a cache of its own, with the mirror read out of the sources that
// the machine has. No mirror is named here.

import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from '../command.js'

export interface AptMirror {
  uri: string
  /** The `signed-by` of the entry, if it had one: a keyring's path. */
  signedBy?: string
}

const DEFAULT_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** One-line style: `deb [signed-by=...] URI SUITE COMPONENT...` */
export function parseOneLineSources(text: string, codename: string): AptMirror[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line)
    if (!match || match[3] !== codename || !/\bmain\b/.test(match[4] ?? '')) return []
    const signedBy = /signed-by=(\S+)/.exec(match[1] ?? '')?.[1]
    return [{ uri: match[2] as string, ...(signedBy ? { signedBy } : {}) }]
  })
}

/** deb822 style: stanzas with Types, URIs, Suites, Components, Signed-By. */
export function parseDeb822Sources(text: string, codename: string): AptMirror[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>()
    let name = ''
    for (const line of stanza.split('\n')) {
      if (/^\s*#/.test(line)) continue
      const match = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line)
      if (match) fields.set((name = (match[1] as string).toLowerCase()), match[2] as string)
      else if (name) fields.set(name, `${fields.get(name)} ${line.trim()}`)
    }
    const words = (field: string): string[] => (fields.get(field) ?? '').split(/\s+/).filter(Boolean)
    if (fields.get('enabled') === 'no' || !words('types').includes('deb')) return []
    if (!words('suites').includes(codename) || !words('components').includes('main')) return []
    // A key written into the stanza itself spans lines; only a path can be named in our list.
    const signedBy = words('signed-by').find((word) => word.startsWith('/'))
    return words('uris').map((uri) => ({ uri, ...(signedBy ? { signedBy } : {}) }))
  })
}

/** The mirrors of Debian's main archive that this machine uses, in the order of its files. */
export async function readAptMirrors(codename: string, etc = '/etc/apt'): Promise<AptMirror[]> {
  const parts = await readdir(join(etc, 'sources.list.d')).catch(() => [])
  const files = ['sources.list', ...parts.sort().map((name) => join('sources.list.d', name))]
  const mirrors: AptMirror[] = []
  for (const name of files) {
    const text = await readFile(join(etc, name), 'utf8').catch(() => '')
    if (name.endsWith('.list')) mirrors.push(...parseOneLineSources(text, codename))
    if (name.endsWith('.sources')) mirrors.push(...parseDeb822Sources(text, codename))
  }
  return mirrors
}

/** `/etc/os-release`: is this Debian, and which. */
export function parseOsRelease(text: string): { debian: boolean; codename?: string; name: string } {
  const fields = new Map(text.split('\n').flatMap((line) => {
    const match = /^([A-Z_]+)="?(.*?)"?$/.exec(line)
    return match ? [[match[1] as string, match[2] as string] as const] : []
  }))
  const codename = fields.get('VERSION_CODENAME')
  return { debian: fields.get('ID') === 'debian', name: fields.get('PRETTY_NAME') ?? 'unknown', ...(codename ? { codename } : {}) }
}

/** The source list of our own. */
export function formatAptList(mirror: AptMirror, suite: string): string {
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
