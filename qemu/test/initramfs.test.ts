// SPDX-License-Identifier: MIT
// The code that runs inside is compiled for both architectures without a warning, and ends up where the kernel looks.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { MachineryError, UsageError } from '../src/errors.js';
import { buildInitramfs } from '../src/images/initramfs.js';

function cache(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-initramfs-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

for (const [arch, machine] of [
  ['x86_64', 62],
  ['arm64', 183],
] as const) {
  test(`${arch}: /init and /kexec are static programs for it`, async (t) => {
    const cacheDir = cache(t);
    writeFileSync(path.join(cacheDir, 'job'), 'kmho-job 1\nstage 1\npoweroff\n');
    const options = { arch, cacheDir, extra: { 'job': path.join(cacheDir, 'job'), '/data/deep/job': path.join(cacheDir, 'job') } };
    const image = await buildInitramfs(options);
    assert.equal(await buildInitramfs(options), image, 'the second time it is there');
    const archive = gunzipSync(readFileSync(image));
    const { stdout } = spawnSync('cpio', ['-it', '--quiet'], { input: archive, encoding: 'utf8' });
    const names = stdout.trim().split('\n');
    for (const name of ['init', 'kexec', 'dev/console', 'newroot', 'proc', 'run', 'job', 'data', 'data/deep', 'data/deep/job']) assert.ok(names.includes(name), name);
    const elf = archive.indexOf('\x7fELF', 0, 'latin1');
    assert.equal(archive.readUInt16LE(elf + 18), machine);
  });
}

test('a compiler for another architecture is refused by name', async (t) => {
  await assert.rejects(
    buildInitramfs({ arch: 'arm64', cacheDir: cache(t), cc: process.arch === 'arm64' ? 'x86_64-linux-gnu-gcc' : 'gcc' }),
    (error) => error instanceof MachineryError && /expected a compiler for arm64, found gcc/.test(error.message),
  );
});

test('a compiler that is not there: one line, with the package that brings it', async (t) => {
  await assert.rejects(
    buildInitramfs({ arch: 'arm64', cacheDir: cache(t), cc: 'no-such-gcc' }),
    (error) => error instanceof MachineryError && /^expected no-such-gcc on the PATH, found none; install it: apt-get install gcc-aarch64-linux-gnu/.test(error.message),
  );
});

test('an extra file that is not there is named', async (t) => {
  await assert.rejects(buildInitramfs({ arch: 'x86_64', cacheDir: cache(t), extra: { a: '/nonexistent' } }), UsageError);
});
