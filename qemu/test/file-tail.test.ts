// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FileTail } from '../src/file-tail.js';

test('what is written until the end is read, whole and in order, with characters that were cut in two', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-tail-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'log');
  writeFileSync(file, '');
  let got = '';
  const tail = new FileTail(file, (chunk) => (got += chunk));
  const text = Buffer.from('one\nü€\nlast without end');
  for (const byte of text) {
    appendFileSync(file, Buffer.from([byte]));
    if (byte > 127) await new Promise((settle) => setTimeout(settle, 60));
  }
  await tail.end();
  assert.equal(got, text.toString());
});

test('a file that is not there is told at the end', async () => {
  const tail = new FileTail('/nonexistent/log', () => undefined);
  await assert.rejects(tail.end(), { code: 'ENOENT' });
});
