// SPDX-License-Identifier: MIT
// Content-keyed cache entries. An entry is a folder that is made beside its place and renamed into it when it is whole, so
// that whoever is interrupted leaves nothing that the next run trusts; and it is checked again before it is used.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AbortedError, MachineryError, messageOf } from '../errors.js';

interface Manifest {
  key: string;
  files: Record<string, { size: number; sha256: string }>;
  /** What went into it, for a person. */
  from: unknown;
}

export interface CacheEntry {
  /** Folder that holds the entries of one kind. */
  parent: string;
  /** Start of the entry's name. */
  label: string;
  /** Everything that the content depends on. */
  inputs: unknown;
  /** Files that the entry must hold. */
  files: string[];
  signal?: AbortSignal;
  /** Makes the files in `folder`; what it returns is recorded in the manifest. */
  build(folder: string): Promise<unknown>;
}

export const sha256Of = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

export async function sha256File(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

const MANIFEST = 'manifest.json';
/** Above this the size stands for the content: an image is only ever attached read-only. */
const HASHED_UP_TO = 16 << 20;

async function isWhole(folder: string, key: string, files: string[]): Promise<boolean> {
  try {
    const manifest = JSON.parse(await readFile(path.join(folder, MANIFEST), 'utf8')) as Manifest;
    if (manifest.key !== key) return false;
    for (const name of files) {
      const told = manifest.files[name];
      const file = path.join(folder, name);
      if (!told || (await stat(file)).size !== told.size) return false;
      if (told.size <= HASHED_UP_TO && (await sha256File(file)) !== told.sha256) return false;
    }
    return true;
  } catch {
    return false;
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** What interrupted builds left. */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^\.tmp-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(path.join(parent, name), { recursive: true, force: true });
  }
}

/** The folder of the entry, which is made if it is not there whole. */
export async function cacheEntry(entry: CacheEntry): Promise<string> {
  const key = sha256Of(JSON.stringify(entry.inputs));
  const folder = path.join(entry.parent, `${entry.label}-${key.slice(0, 16)}`);
  if (await isWhole(folder, key, entry.files)) return folder;
  if (entry.signal?.aborted) throw new AbortedError(`making ${entry.label}`);
  let made: string | undefined;
  try {
    await mkdir(entry.parent, { recursive: true });
    await sweep(entry.parent);
    made = await mkdtemp(path.join(entry.parent, `.tmp-${process.pid}-`));
    const from = await entry.build(made);
    const files: Manifest['files'] = {};
    for (const name of entry.files) {
      const file = path.join(made, name);
      files[name] = { size: (await stat(file)).size, sha256: await sha256File(file) };
    }
    const manifest: Manifest = { key, files, from };
    await writeFile(path.join(made, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    if (entry.signal?.aborted) throw new AbortedError(`making ${entry.label}`);
    try {
      await rename(made, folder);
    } catch (error) {
      // Somebody else was quicker, or what is there is not whole.
      if (!(await isWhole(folder, key, entry.files))) {
        await rm(folder, { recursive: true, force: true });
        await rename(made, folder).catch(() => {
          throw error;
        });
      }
    }
    return folder;
  } catch (error) {
    if (entry.signal?.aborted) throw new AbortedError(`making ${entry.label}`);
    if (error instanceof MachineryError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOSPC' || code === 'EACCES' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EEXIST' || code === 'EDQUOT')
      throw new MachineryError(
        { expected: `to write to the cache ${entry.parent}`, found: messageOf(error), mend: 'free some space there, or name another cache folder' },
        { cause: error },
      );
    throw error;
  } finally {
    if (made !== undefined) await rm(made, { recursive: true, force: true });
  }
}
