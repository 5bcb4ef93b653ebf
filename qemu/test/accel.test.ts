// SPDX-License-Identifier: MIT
// Found by booting, remembered, and never by the look of /dev/kvm.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { probeAccelReason, type ProbeOptions } from '../src/accel.js';
import { AbortedError, MachineryError } from '../src/errors.js';
import type { Outcome, VmOptions, VmResult } from '../src/types.js';

function setUp(t: TestContext, outcome: Outcome): { folder: string; kernel: string; options: ProbeOptions; booted: VmOptions[] } {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-accel-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string): string => path.join(folder, name);
  writeFileSync(at('kernel'), 'a kernel');
  writeFileSync(at('kvm'), '');
  writeFileSync(at('qemu'), '#!/bin/sh\necho QEMU emulator version 7.2.22\n');
  chmodSync(at('qemu'), 0o755);
  const booted: VmOptions[] = [];
  const boot = async (vm: VmOptions): Promise<VmResult> => {
    booted.push(vm);
    return { outcome } as VmResult;
  };
  return { folder, kernel: at('kernel'), booted, options: { host: { arch: 'x64', kvm: at('kvm') }, qemuBinary: at('qemu'), boot } };
}

for (const [outcome, accel] of [
  ['done', 'kvm'],
  ['silent', 'tcg'],
  ['machinery', 'tcg'],
  ['panic', 'tcg'],
] as const) {
  test(`a boot on kvm that is "${outcome}" means ${accel}, and is not tried again`, async (t) => {
    const { folder, kernel, options, booted } = setUp(t, outcome);
    for (let times = 0; times < 2; times++) assert.equal((await probeAccelReason('x86_64', kernel, 'initrd', folder, options)).accel, accel);
    assert.equal(booted.length, 1);
    assert.equal(booted[0]?.accel, 'kvm');
  });
}

test('another kernel, or another QEMU, is asked anew', async (t) => {
  const { folder, kernel, options, booted } = setUp(t, 'done');
  await probeAccelReason('x86_64', kernel, 'initrd', folder, options);
  writeFileSync(kernel, 'another kernel');
  await probeAccelReason('x86_64', kernel, 'initrd', folder, options);
  writeFileSync(options.qemuBinary!, '#!/bin/sh\necho QEMU emulator version 10.0.0\n');
  await probeAccelReason('x86_64', kernel, 'initrd', folder, options);
  assert.equal(booted.length, 3);
});

test('a guest of another architecture is emulated without a question', async (t) => {
  const { folder, kernel, options, booted } = setUp(t, 'done');
  const answer = await probeAccelReason('arm64', kernel, 'initrd', folder, options);
  assert.deepEqual(answer, { accel: 'tcg', reason: 'a x64 host emulates arm64' });
  assert.equal(booted.length, 0);
});

test('a host without /dev/kvm emulates, and is asked again when it has one', async (t) => {
  const { folder, kernel, options, booted } = setUp(t, 'done');
  const without = { ...options, host: { arch: 'x64', kvm: path.join(folder, 'none') } };
  assert.equal((await probeAccelReason('x86_64', kernel, 'initrd', folder, without)).accel, 'tcg');
  assert.equal((await probeAccelReason('x86_64', kernel, 'initrd', folder, options)).accel, 'kvm');
  assert.equal(booted.length, 1);
});

test('an interruption is no answer', async (t) => {
  const { folder, kernel, options } = setUp(t, 'aborted');
  await assert.rejects(probeAccelReason('x86_64', kernel, 'initrd', folder, options), AbortedError);
  assert.equal(readdirSync(folder).includes('accel'), false);
});

test('a QEMU that is not there is named', async (t) => {
  const { folder, kernel, options } = setUp(t, 'done');
  await assert.rejects(probeAccelReason('x86_64', kernel, 'initrd', folder, { ...options, qemuBinary: path.join(folder, 'no-qemu') }), MachineryError);
});
