// SPDX-License-Identifier: MIT
// Debian packages of either architecture, fetched by the machine's own apt with lists of its own: what is installed, the
// machine's sources and its package lists are not touched. Mirror and suite are taken from the machine's sources; apt
// verifies signatures and checksums.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MachineryError } from '../errors.js';
import { runTool } from './run-tool.js';

export interface AptSource {
  uri: string;
  suite: string;
  components: string[];
  /** Path of a keyring; apt's own otherwise. */
  signedBy?: string;
}

const MEND = 'install it: apt-get install apt dpkg';

/** One-line style: deb [options] uri suite component... */
export function parseSourcesList(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!match) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /(?:^|\s)signed-by=(\/\S+)/i.exec(options)?.[1];
    sources.push({ uri, suite, components: components.trim().split(/\s+/), ...(signedBy === undefined ? {} : { signedBy }) });
  }
  return sources;
}

/** deb822 style: stanzas of fields. */
export function parseDeb822Sources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.split(/\n[ \t]*\n/)) {
    const fields = new Map<string, string>();
    let last: string | undefined;
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue;
      const match = /^([A-Za-z][A-Za-z0-9-]*):\s*(.*)$/.exec(line);
      if (match) {
        last = (match[1] ?? '').toLowerCase();
        fields.set(last, match[2] ?? '');
      } else if (last !== undefined && /^\s/.test(line)) {
        fields.set(last, `${fields.get(last) ?? ''} ${line.trim()}`);
      }
    }
    const words = (name: string): string[] => (fields.get(name) ?? '').split(/\s+/).filter((word) => word !== '');
    if (!words('types').includes('deb') || /^no$/i.test(fields.get('enabled') ?? '')) continue;
    const signedBy = words('signed-by').find((word) => word.startsWith('/'));
    for (const uri of words('uris'))
      for (const suite of words('suites'))
        sources.push({ uri, suite, components: words('components'), ...(signedBy === undefined ? {} : { signedBy }) });
  }
  return sources;
}

/** The machine's source of Debian's main component in its own release. */
export async function findDebianSource(etc = '/etc'): Promise<AptSource> {
  const release = await readFile(path.join(etc, 'os-release'), 'utf8').catch(() => '');
  const codename = /^VERSION_CODENAME=["']?([a-z]+)/m.exec(release)?.[1];
  const apt = path.join(etc, 'apt');
  const parts = (await readdir(path.join(apt, 'sources.list.d')).catch(() => [] as string[])).sort();
  const sources = parseSourcesList(await readFile(path.join(apt, 'sources.list'), 'utf8').catch(() => ''));
  for (const name of parts) {
    const text = await readFile(path.join(apt, 'sources.list.d', name), 'utf8').catch(() => '');
    if (name.endsWith('.list')) sources.push(...parseSourcesList(text));
    if (name.endsWith('.sources')) sources.push(...parseDeb822Sources(text));
  }
  const found = sources.find((source) => source.suite === codename && source.components.includes('main'));
  if (!found)
    throw new MachineryError({
      expected: `an apt source for ${codename ?? 'this release of Debian'} main, for the guest's libraries`,
      found: `${sources.length} sources in ${apt}, none of them that`,
      mend: 'add it to /etc/apt/sources.list',
    });
  return found;
}

export interface FetchOptions {
  debianArch: string;
  packages: readonly string[];
  source: AptSource;
  /** Gets the lists and the .deb files. */
  folder: string;
  signal?: AbortSignal;
}

/** Paths of the .deb files, one a package. */
export async function fetchPackages(options: FetchOptions): Promise<string[]> {
  const { debianArch, folder, source, signal } = options;
  const at = (name: string): string => path.join(folder, name);
  for (const name of ['lists/partial', 'cache/archives/partial', 'debs']) await mkdir(at(name), { recursive: true });
  const keyring = source.signedBy === undefined ? '' : `[signed-by=${source.signedBy}] `;
  await writeFile(at('sources.list'), `deb ${keyring}${source.uri} ${source.suite} main\n`);
  await writeFile(at('status'), '');
  const settings = {
    'Dir::Etc::sourcelist': at('sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::Lists': at('lists'),
    'Dir::State::status': at('status'),
    'Dir::Cache': at('cache'),
    'APT::Architecture': debianArch,
    'APT::Architectures': debianArch,
    'Acquire::Languages': 'none',
    'Debug::NoLocking': 'true',
    // The unprivileged download user cannot write into a folder of ours.
    'APT::Sandbox::User': 'root',
  };
  const common = ['-q', ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
  const apt = (...args: string[]): Promise<string> =>
    runTool('apt-get', [...common, ...args], {
      cwd: at('debs'),
      signal,
      mend: MEND,
      mendFailure: `check the network and that the machine's apt works: apt-get update`,
    });
  await apt('update', '-o', 'APT::Update::Error-Mode=any');
  await apt('download', ...options.packages);
  const names = await readdir(at('debs'));
  return options.packages.map((name) => {
    const found = names.find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
    if (found === undefined)
      throw new MachineryError({ expected: `a package ${name} for ${debianArch}`, found: names.join(' ') || 'none', mend: 'run the same command again' });
    return path.join(at('debs'), found);
  });
}
