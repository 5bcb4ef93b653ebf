// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { MachineryError, UsageError } from '../src/errors.js';
import { formatJob, writeShare, type Step } from '../src/job.js';

test('a job over two kernels, line by line', () => {
  const text = formatJob({
    steps: [
      { type: 'run', name: 'fill', argv: ['node', '/run/a.mjs', 'two words'], env: { A: 'b c' }, cwd: '/tmp', timeoutMs: 500 },
      { type: 'start', name: 'holder', argv: ['node', 'h.mjs'], uid: 1000, stdin: true },
      { type: 'sync', name: 'ready' },
      { type: 'kexec', image: 'next/bzImage', initrd: 'initrd' },
      { type: 'run', name: 'check', argv: ['node', 'c.mjs'], mayFail: true },
    ],
  });
  assert.equal(
    text,
    [
      'kmho-job 1',
      'stage 1',
      'env A=b c',
      'cwd /tmp',
      'timeout 500',
      'run 0 fill node\x1f/run/a.mjs\x1ftwo words',
      'stdin',
      'start 1000 holder node\x1fh.mjs',
      'sync ready',
      'load next/bzImage initrd -',
      'kexec',
      'stage 2',
      'run? 0 check node\x1fc.mjs',
      'poweroff',
      '',
    ].join('\n'),
  );
});

test('the rest of the verbs', () => {
  const text = formatJob({
    steps: [
      { type: 'swapon', device: '/dev/vdb' },
      { type: 'start', name: 'a', argv: ['sleep', '9'] },
      { type: 'signal', name: 'a', signal: 15 },
      { type: 'wait', name: 'a', mayFail: true },
      { type: 'load', image: 'bzImage', cmdline: 'console=ttyS0 kho=on' },
      { type: 'kexec' },
      { type: 'shell' },
      { type: 'poweroff' },
    ],
  });
  assert.match(text, /swapon \/dev\/vdb\nstart 0 a sleep\x1f9\nsignal 15 a\nwait\? a\nload bzImage - console=ttyS0 kho=on\nkexec\nstage 2\nshell 0\npoweroff\n$/);
});

test('new lines, back slashes and separators in an argument survive', () => {
  const text = formatJob({ steps: [{ type: 'run', name: 'e', argv: ['node', '-e', 'a\n\\n\x1fb'] }] });
  assert.match(text, /^run 0 e node\x1f-e\x1fa\\n\\\\n\\ub$/m);
});

const wrong: [string, Step[]][] = [
  ['a name with a slash', [{ type: 'run', name: '../x', argv: ['a'] }]],
  ['no program', [{ type: 'run', name: 'x', argv: [] }]],
  ['a name twice in a stage', [{ type: 'run', name: 'x', argv: ['a'] }, { type: 'run', name: 'x', argv: ['a'] }]],
  ['waiting for what was not started', [{ type: 'wait', name: 'x' }]],
  ['an image with a space', [{ type: 'kexec', image: 'a b' }]],
  ['an initrd without an image', [{ type: 'kexec', initrd: 'a' }]],
  ['steps after poweroff', [{ type: 'poweroff' }, { type: 'shell' }]],
  ['a uid below 0', [{ type: 'run', name: 'x', argv: ['a'], uid: -1 }]],
  ['a NUL in an argument', [{ type: 'run', name: 'x', argv: ['a', '\0'] }]],
  ['a variable without a name', [{ type: 'run', name: 'x', argv: ['a'], env: { 'a b': '1' } }]],
];
for (const [what, steps] of wrong) {
  test(`refuses ${what}`, () => {
    assert.throws(() => formatJob({ steps }), UsageError);
  });
}

test('a step of the next kernel may have a name again', () => {
  assert.doesNotThrow(() =>
    formatJob({ steps: [{ type: 'run', name: 'x', argv: ['a'] }, { type: 'kexec', image: 'i' }, { type: 'run', name: 'x', argv: ['a'] }] }),
  );
});

test('the share holds the job, the files and a folder for the logs', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const share = path.join(folder, 'share');
  writeFileSync(path.join(folder, 'f'), 'data');
  await writeShare(share, { steps: [] }, { 'next/f': path.join(folder, 'f') });
  assert.equal(readFileSync(path.join(share, 'next/f'), 'utf8'), 'data');
  assert.equal(readFileSync(path.join(share, 'job'), 'utf8'), 'kmho-job 1\nstage 1\npoweroff\n');
  await assert.rejects(writeShare(share, { steps: [] }, { '../f': path.join(folder, 'f') }), UsageError);
  await assert.rejects(writeShare(share, { steps: [] }, { f: path.join(folder, 'none') }), MachineryError);
});
