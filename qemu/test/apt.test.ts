// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { MachineryError } from '../src/errors.js';
import { findDebianSource, parseDeb822Sources, parseSourcesList } from '../src/images/apt.js';

test('one-line sources, with and without options', () => {
  assert.deepEqual(
    parseSourcesList(
      [
        '# deb http://commented.example/debian bookworm main',
        'deb-src http://mirror.example/debian bookworm main',
        'deb http://mirror.example/debian bookworm main contrib # why',
        '  deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian trixie main',
      ].join('\n'),
    ),
    [
      { uri: 'http://mirror.example/debian', suite: 'bookworm', components: ['main', 'contrib'] },
      { uri: 'http://mirror.example/debian', suite: 'trixie', components: ['main'], signedBy: '/usr/share/keyrings/k.gpg' },
    ],
  );
});

test('deb822 stanzas, with several suites, comments and a folded field', () => {
  assert.deepEqual(
    parseDeb822Sources(
      [
        'Types: deb deb-src',
        '# http://snapshot.example/',
        'URIs: http://mirror.example/debian',
        'Suites: bookworm bookworm-updates',
        'Components: main',
        ' contrib',
        'Signed-By: /usr/share/keyrings/k.gpg',
        '',
        'Types: deb',
        'URIs: http://off.example/debian',
        'Suites: bookworm',
        'Components: main',
        'Enabled: no',
      ].join('\n'),
    ),
    ['bookworm', 'bookworm-updates'].map((suite) => ({
      uri: 'http://mirror.example/debian',
      suite,
      components: ['main', 'contrib'],
      signedBy: '/usr/share/keyrings/k.gpg',
    })),
  );
});

function etc(t: TestContext, sources: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-etc-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(path.join(folder, 'apt/sources.list.d'), { recursive: true });
  writeFileSync(path.join(folder, 'os-release'), 'ID=debian\nVERSION_CODENAME=bookworm\n');
  writeFileSync(path.join(folder, 'apt/sources.list.d/debian.sources'), sources);
  return folder;
}

test("the machine's own release and mirror are taken", async (t) => {
  const folder = etc(t, 'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n');
  assert.deepEqual(await findDebianSource(folder), { uri: 'http://mirror.example/debian', suite: 'bookworm', components: ['main'] });
});

test('a machine without such a source is told what to add', async (t) => {
  const folder = etc(t, 'Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n');
  await assert.rejects(findDebianSource(folder), (error) => error instanceof MachineryError && /bookworm main.*sources\.list/.test(error.message));
});
