// SPDX-License-Identifier: MIT
// The corpus of console logs, and what each of them must be found to say.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { scanConsole } from '../src/console.js';
import { isErrorLine, type OopsKind } from '../src/oops.js';
import { packageRoot } from '../src/package-root.js';

const corpus = path.join(packageRoot(), 'testdata', 'console');

/** kind, stage, step, start of the line */
type Expected = [OopsKind, number, string | undefined, string];

const EXPECTED: Record<string, Expected[]> = {
  'atomic.log': [['atomic', 1, undefined, 'BUG: sleeping function called from invalid context']],
  'bad-page.log': [['bad-page', 1, undefined, 'BUG: Bad page state in process node']],
  'bug-x86.log': [['list-corruption', 1, undefined, 'list_del corruption.']],
  'general-protection-x86.log': [
    ['oops', 1, undefined, 'Oops: general protection fault'],
    ['panic', 1, undefined, 'Kernel panic - not syncing: Fatal exception'],
  ],
  'hung-task.log': [['hung-task', 1, undefined, 'INFO: task node:68 blocked for more than 122 seconds.']],
  'innocent.log': [],
  'kasan.log': [['kasan', 1, 'query', 'BUG: KASAN: slab-use-after-free in kmho_record_find']],
  'kho-failures.log': [
    ['kho', 1, undefined, 'KHO: setup: handover FDT'],
    ['kho', 1, undefined, 'KHO: Failed to reserve scratch area'],
  ],
  'kmemleak.log': [['kmemleak', 1, undefined, 'kmemleak: 3 new suspected memory leaks']],
  'lockdep.log': [['lockdep', 2, 'takeover', 'WARNING: possible circular locking dependency detected']],
  'oom.log': [['oom', 1, undefined, 'node invoked oom-killer']],
  'oops-arm64.log': [['oops', 1, 'handover', 'Unable to handle kernel NULL pointer dereference']],
  'oops-x86.log': [['oops', 1, 'takeover', 'BUG: kernel NULL pointer dereference']],
  'panic-no-root-x86.log': [['panic', 1, undefined, 'Kernel panic - not syncing: VFS: Unable to mount root fs']],
  'panic-x86.log': [['panic', 1, 'fill', 'Kernel panic - not syncing: Attempted to kill init!']],
  'refcount.log': [['refcount', 1, undefined, 'refcount_t: underflow']],
  'stalls.log': [
    ['rcu-stall', 1, undefined, 'rcu: INFO: rcu_preempt self-detected stall'],
    ['lockup', 1, undefined, 'watchdog: BUG: soft lockup'],
  ],
  'warning-x86.log': [['warning', 1, 'fill', 'WARNING: kernel/liveupdate/kexec_handover.c:1155']],
};

for (const name of readdirSync(corpus).sort()) {
  test(`the complaints of ${name} are found, each once`, () => {
    // Logs of real runs that were clean are named so.
    const expected = EXPECTED[name] ?? (name.startsWith('clean-') ? [] : undefined);
    assert.ok(expected, `testdata/console/${name} is in the table`);
    const found = scanConsole(readFileSync(path.join(corpus, name), 'utf8'));
    assert.deepEqual(
      found.map((finding) => [finding.kind, finding.stage, finding.step]),
      expected.map(([kind, stage, step]) => [kind, stage, step]),
    );
    expected.forEach(([, , , start], index) => assert.ok(found[index]?.line.startsWith(start), found[index]?.line));
  });
}

test('a finding names the line of the log and carries its report', () => {
  const text = readFileSync(path.join(corpus, 'oops-arm64.log'), 'utf8');
  const [finding] = scanConsole(text);
  assert.equal(finding?.lineNumber, 4);
  assert.ok(finding?.excerpt.includes('Internal error: Oops: 0000000096000004 [#1]  SMP'));
  assert.ok(finding?.excerpt.at(-1)?.startsWith('---[ end trace'));
});

test('a complaint that a test provokes can be allowed, by its line or by its trace', () => {
  const text = readFileSync(path.join(corpus, 'warning-x86.log'), 'utf8');
  assert.equal(scanConsole(text, { allow: [{ match: /kho_preserve_folio/ }] }).length, 0);
  assert.equal(scanConsole(text, { allow: [{ kind: 'warning', match: /__x64_sys_kmho/g }] }).length, 0);
  assert.equal(scanConsole(text, { allow: [{ kind: 'panic', match: /kho_preserve_folio/ }] }).length, 1);
  assert.equal(scanConsole(text, { allow: [{ match: /something else/ }] }).length, 1);
});

test('on a console where a person types, only what the kernel stamped counts', () => {
  const text = 'kmho:/# echo "BUG: mine"\nBUG: mine\n[    9.000000] BUG: the kernel\'s\n';
  assert.deepEqual(
    scanConsole(text, { interactive: true }).map((finding) => finding.line),
    ["BUG: the kernel's"],
  );
});

test('a line that came in pieces, with carriage returns and colours, is one line', () => {
  const text = '\x1b[2J[    1.000000] \x1b[31mKernel panic - not syncing: VFS\x1b[0m: Unable to mount\r\n';
  assert.deepEqual(
    scanConsole(text).map((finding) => finding.line),
    ['Kernel panic - not syncing: VFS: Unable to mount'],
  );
});

test("what the kernel says of QEMU's machine is not held against the kernel", () => {
  assert.ok(!isErrorLine('..MP-BIOS bug: 8254 timer not connected to IO-APIC'));
  assert.ok(isErrorLine('kmho: record 7 of uid 0: checksum does not match, refused'));
  assert.ok(isErrorLine('KHO: failed to get preserved memory map'));
});
