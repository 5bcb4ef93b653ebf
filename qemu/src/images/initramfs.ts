// SPDX-License-Identifier: MIT
// The initramfs: our /init and /kexec, linked statically, and the folders where they mount things. No shell, no tools;
// those are on the root disk.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { archFacts } from '../arch/index.js';
import { MachineryError, messageOf, UsageError } from '../errors.js';
import { packageRoot } from '../package-root.js';
import type { Arch } from '../types.js';
import { cacheEntry, sha256Of } from './cache.js';
import { charDevice, directory, file, writeCpio, type CpioEntry } from './cpio.js';
import { runTool } from './run-tool.js';

export interface InitramfsOptions {
  arch: Arch;
  cacheDir: string;
  /** Compiler whose programs run in the guest; gcc, or the cross compiler's usual name. */
  cc?: string;
  /** Path in the guest -> file on the host. Executable files stay so. */
  extra?: Record<string, string>;
  signal?: AbortSignal;
}

const PROGRAMS: Record<string, string[]> = {
  init: ['init.c', 'report.c', 'mounts.c', 'process.c', 'kexec-load.c'],
  kexec: ['kexec.c', 'kexec-load.c'],
};
const CFLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-s'];
/** Changes when the recipe does in a way that its inputs do not show. */
const RECIPE = 1;

async function readExtra(extra: Record<string, string>): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  const folders = new Set<string>();
  for (const [inside, host] of Object.entries(extra).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = inside.replace(/^\/+/, '');
    for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) folders.add(name.slice(0, at));
    try {
      entries.push(file(name, await readFile(host), 0o755));
    } catch (error) {
      throw new UsageError({ expected: `a file ${host} for the initramfs`, found: messageOf(error), mend: 'correct the path' });
    }
  }
  return [...[...folders].sort().map((name) => directory(name)), ...entries];
}

/** Path of a gzip'd cpio archive in the cache. */
export async function buildInitramfs(options: InitramfsOptions): Promise<string> {
  const facts = archFacts(options.arch);
  const cc = options.cc ?? (process.arch === facts.hostArch ? 'gcc' : facts.compiler);
  const mend = `install it: apt-get install ${facts.compilerPackage}`;
  const sources = path.join(packageRoot(), 'guest');
  const names = (await readdir(sources)).filter((name) => /\.[ch]$/.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(path.join(sources, name), 'utf8')));
  const ask = (flag: string): Promise<string> => runTool(cc, [flag], { mend, signal: options.signal });
  const version = `${await ask('-dumpmachine')} ${await ask('-dumpfullversion')}`;
  if (!version.includes(facts.triplet.split('-')[0] ?? ''))
    throw new MachineryError({ expected: `a compiler for ${options.arch}`, found: `${cc} (${version})`, mend });
  const extra = await readExtra(options.extra ?? {});

  const folder = await cacheEntry({
    parent: path.join(options.cacheDir, 'images'),
    label: `initramfs-${options.arch}`,
    inputs: {
      recipe: RECIPE,
      version,
      flags: CFLAGS,
      sources: names.map((name, index) => [name, sha256Of(texts[index] ?? '')]),
      extra: extra.map((entry) => [entry.name, entry.mode, sha256Of(entry.data ?? '')]),
    },
    files: ['initramfs.cpio.gz'],
    signal: options.signal,
    build: async (made) => {
      for (const [name, parts] of Object.entries(PROGRAMS))
        await runTool(cc, [...CFLAGS, '-o', path.join(made, name), ...parts.map((part) => path.join(sources, part))], {
          mend,
          mendFailure: `check the compiler and its static C library: apt-get install ${facts.compilerPackage}`,
          signal: options.signal,
        });
      const taken = new Set(extra.map((entry) => entry.name));
      const folders = ['dev', 'proc', 'sys', 'run', 'tmp', 'newroot'].filter((name) => !taken.has(name));
      const archive = writeCpio([
        ...folders.map((name) => directory(name)),
        // The kernel opens it for /init before devtmpfs is there.
        charDevice('dev/console', 5, 1),
        charDevice('dev/null', 1, 3, 0o666),
        file('init', await readFile(path.join(made, 'init')), 0o755),
        file('kexec', await readFile(path.join(made, 'kexec')), 0o755),
        ...extra,
      ]);
      await writeFile(path.join(made, 'initramfs.cpio.gz'), gzipSync(archive, { level: 6 }));
      return { arch: options.arch, compiler: version, extra: options.extra ?? {} };
    },
  });
  return path.join(folder, 'initramfs.cpio.gz');
}
