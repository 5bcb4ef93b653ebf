// SPDX-License-Identifier: MIT
// The archive is read back by the cpio tool, which knows nothing of our writer.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { charDevice, directory, file, writeCpio } from '../src/images/cpio.js';

const archive = (): Buffer =>
  writeCpio([directory('dev'), charDevice('dev/console', 5, 1), file('init', Buffer.from('#!'), 0o755), file('a/odd-name', Buffer.from('12345'))]);

test('the first header is what the kernel documents', () => {
  assert.equal(
    archive().subarray(0, 116).toString('latin1'),
    '070701' + '00000001' + '000041ED' + '00000000'.repeat(2) + '00000001' + '00000000' + '00000000' + '00000000'.repeat(4) + '00000004' + '00000000' + 'dev\0' + '\0\0',
  );
});

test('the cpio tool lists what was put in', () => {
  const { stdout, status } = spawnSync('cpio', ['-itv', '--quiet'], { input: archive(), encoding: 'utf8' });
  assert.equal(status, 0);
  const lines = stdout.trim().split('\n').map((line) => line.replace(/\s+/g, ' '));
  assert.match(lines[0] ?? '', /^drwxr-xr-x .* dev$/);
  assert.match(lines[1] ?? '', /^crw------- .* 5, 1 .* dev\/console$/);
  assert.match(lines[2] ?? '', /^-rwxr-xr-x .* 2 .* init$/);
  assert.match(lines[3] ?? '', /^-rw-r--r-- .* 5 .* a\/odd-name$/);
});

test('the same entries give the same bytes', () => {
  assert.ok(archive().equals(archive()));
});

test('each entry starts at a multiple of four', () => {
  const bytes = archive();
  for (let at = bytes.indexOf('070701'); at >= 0; at = bytes.indexOf('070701', at + 1)) assert.equal(at % 4, 0);
});

for (const name of ['/init', '../init', 'a/../../b']) {
  test(`refuses ${name}, which leads out of the archive`, () => {
    assert.throws(() => writeCpio([file(name, Buffer.alloc(0))]), RangeError);
  });
}

test('refuses a name twice', () => {
  assert.throws(() => writeCpio([directory('a'), directory('a')]), RangeError);
});
