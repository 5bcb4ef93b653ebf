// SPDX-License-Identifier: MIT
// Nothing half-made is ever trusted.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { AbortedError, MachineryError } from '../src/errors.js';
import { cacheEntry, type CacheEntry } from '../src/images/cache.js';

function setUp(t: TestContext): { parent: string; entry: CacheEntry; built: () => number } {
  const parent = path.join(mkdtempSync(path.join(tmpdir(), 'kmho-cache-')), 'images');
  t.after(() => rmSync(path.dirname(parent), { recursive: true, force: true }));
  let count = 0;
  return {
    parent,
    built: () => count,
    entry: {
      parent,
      label: 'thing',
      inputs: { a: 1 },
      files: ['f'],
      build: async (folder) => {
        count += 1;
        await writeFile(path.join(folder, 'f'), 'content');
        return {};
      },
    },
  };
}

test('an entry is made once', async (t) => {
  const { entry, built, parent } = setUp(t);
  const first = await cacheEntry(entry);
  assert.equal(await cacheEntry(entry), first);
  assert.equal(built(), 1);
  assert.deepEqual(readdirSync(parent), [path.basename(first)]);
});

test('other inputs are another entry', async (t) => {
  const { entry, built } = setUp(t);
  assert.notEqual(await cacheEntry(entry), await cacheEntry({ ...entry, inputs: { a: 2 } }));
  assert.equal(built(), 2);
});

test('a build that fails leaves nothing', async (t) => {
  const { entry, parent } = setUp(t);
  const failing: CacheEntry = {
    ...entry,
    build: async (folder) => {
      await writeFile(path.join(folder, 'f'), 'half');
      throw new MachineryError({ expected: 'a', found: 'b', mend: 'c' });
    },
  };
  await assert.rejects(cacheEntry(failing), MachineryError);
  assert.deepEqual(readdirSync(parent), []);
});

test('an interruption leaves nothing and says so', async (t) => {
  const { entry, parent } = setUp(t);
  const controller = new AbortController();
  const slow: CacheEntry = {
    ...entry,
    signal: controller.signal,
    build: async (folder) => {
      await writeFile(path.join(folder, 'f'), 'content');
      controller.abort();
      return {};
    },
  };
  await assert.rejects(cacheEntry(slow), AbortedError);
  assert.deepEqual(readdirSync(parent), []);
});

for (const [what, spoil] of [
  ['is cut short', (folder: string): void => writeFileSync(path.join(folder, 'f'), 'conte')],
  ['has another byte', (folder: string): void => writeFileSync(path.join(folder, 'f'), 'c0ntent')],
  ['is gone', (folder: string): void => rmSync(path.join(folder, 'f'))],
  ['has lost its manifest', (folder: string): void => rmSync(path.join(folder, 'manifest.json'))],
] as const) {
  test(`an entry that ${what} is made anew`, async (t) => {
    const { entry, built } = setUp(t);
    spoil(await cacheEntry(entry));
    const folder = await cacheEntry(entry);
    assert.equal(readFileSync(path.join(folder, 'f'), 'utf8'), 'content');
    assert.equal(built(), 2);
  });
}

test('what a killed build left is swept away, what a living one makes is not', async (t) => {
  const { entry, parent } = setUp(t);
  mkdirSync(path.join(parent, '.tmp-4194399-dead'), { recursive: true });
  mkdirSync(path.join(parent, `.tmp-${process.pid}-living`));
  await cacheEntry(entry);
  assert.deepEqual(
    readdirSync(parent).filter((name) => name.startsWith('.')),
    [`.tmp-${process.pid}-living`],
  );
});

test('two at once end with one entry', async (t) => {
  const { entry, parent } = setUp(t);
  const [one, two] = await Promise.all([cacheEntry(entry), cacheEntry(entry)]);
  assert.equal(one, two);
  assert.equal(readdirSync(parent).length, 1);
});

test('a cache that cannot be written is one clear line', async (t) => {
  const { entry, parent } = setUp(t);
  mkdirSync(path.dirname(parent), { recursive: true });
  writeFileSync(parent, 'a file where a folder should be');
  await assert.rejects(cacheEntry(entry), MachineryError);
});
