// SPDX-License-Identifier: MIT
// The monitor against machines that behave in every way, most of them badly.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../src/errors.js';
import type { GuestEvent } from '../src/events.js';
import type { Outcome, VmOptions } from '../src/types.js';
import { exitCodeOf, startVm } from '../src/vm.js';

const fake = fileURLToPath(new URL('./fake-qemu.js', import.meta.url));
let folder = '';
let counter = 0;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kmho-vm-test-'));
  writeFileSync(path.join(folder, 'kernel'), 'kernel');
  writeFileSync(path.join(folder, 'initrd'), 'initrd');
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A QEMU that does as the mode says. */
function fakeQemu(mode: string): string {
  const file = path.join(folder, `qemu-${mode}`);
  writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${fake}' ${mode} "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

const optionsFor = (mode: string, more: Partial<VmOptions> = {}): VmOptions => ({
  arch: 'x86_64',
  kernel: path.join(folder, 'kernel'),
  initrd: path.join(folder, 'initrd'),
  memoryMiB: 256,
  logDir: path.join(folder, `log-${counter++}`),
  timeoutMs: 20_000,
  qemuBinary: fakeQemu(mode),
  ...more,
});

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    assert.ok(waited < 10_000, what);
    await new Promise((settle) => setTimeout(settle, 20));
  }
}

const cases: [mode: string, outcome: Outcome, reason: RegExp, more?: Partial<VmOptions>][] = [
  ['done', 'done', /^every step succeeded on 1 kernel$/],
  ['done-after-kexec', 'done', /^every step succeeded on 2 kernels$/],
  ['fails-with-3', 'exit', /^step a of stage 1 ended with 3$/],
  ['hangs', 'timeout', /^the guest had not ended after 5\.0 s; its last word was "exec" in step a, stage 1$/, { timeoutMs: 5000 }],
  ['hangs-and-ignores-sigterm', 'timeout', /not ended after 5\.0 s/, { timeoutMs: 5000 }],
  ['says-nothing', 'silent', /said nothing in 1\.5 s \(not even its kernel started\)|said nothing in 1\.5 s \(not even its kernel\)/, { timeoutMs: 1500 }],
  ['only-its-kernel-speaks', 'silent', /its kernel started, \/init did not/, { timeoutMs: 5000 }],
  ['ends-without-a-word', 'silent', /^the guest ended without a word$/],
  ['ends-early', 'silent', /ended without saying "done"; its last word was "boot"/],
  ['lies', 'silent', /ended without saying "done"; its last word was "exit"/],
  ['crashes', 'machinery', /exit status 1, saying: qemu-system-fake: could not load kernel; see .*qemu\.log$/],
  ['dies-of-a-signal', 'machinery', /ended by SIGSEGV/],
  ['panics', 'panic', /^the kernel said: Kernel panic - not syncing: Attempted to kill init! \(stage 1, line 2 of the console log\)$/],
  ['panics-after-the-verdict', 'panic', /too late/],
  ['warns-and-passes', 'oops', /WARNING: mm\/kmho\/record\.c:12 .* \(step a, stage 1, line 3 of the console log\)$/],
  ['logs-an-error', 'oops', /kmho: record 7 refused/],
  ['never-powers-off', 'timeout', /said "done" and did not power off/, { powerOffMs: 300 }],
  ['talks-nonsense', 'machinery', /expected JSON events, found: /],
  ['guest-machinery-fails', 'machinery', /^in the guest: mount the 9p share/],
  ['kexec-is-refused', 'exit', /^in the guest: kexec_file_load: Device or resource busy$/],
];

for (const [mode, outcome, reason, more] of cases) {
  test(`a machine that ${mode.replaceAll('-', ' ')} is "${outcome}"`, async () => {
    const vm = startVm(optionsFor(mode, more));
    const result = await vm.result;
    assert.equal(result.outcome, outcome, result.reason);
    assert.match(result.reason, reason);
    assert.doesNotMatch(result.reason, /\n/);
    assert.equal(vm.pid !== undefined && isAlive(vm.pid), false, 'no QEMU is left');
    assert.ok(existsSync(result.console));
    assert.match(result.command, /^\S+qemu-\S+ -name kmho-x86_64 /);
  });
}

test('a time-out that is longer than any timer does not come at once', async () => {
  const result = await startVm(optionsFor('done', { timeoutMs: 2 ** 40 })).result;
  assert.equal(result.outcome, 'done', result.reason);
});

test('a machine that panics and cannot even reboot is ended soon', async () => {
  const result = await startVm(optionsFor('panics-and-hangs')).result;
  assert.equal(result.outcome, 'panic');
  assert.ok(result.ms < 15_000);
});

test('what a test provokes on purpose does not fail it, and is still told', async () => {
  const result = await startVm(optionsFor('warns-and-passes', { allow: [{ kind: 'warning', match: /kmho_record_put/ }] })).result;
  assert.equal(result.outcome, 'done', result.reason);
  assert.equal(result.findings.length, 0);
  assert.equal(result.allowed.length, 1);
});

test('both kernels of a kexec are told apart', async () => {
  const result = await startVm(optionsFor('done-after-kexec')).result;
  assert.deepEqual(
    result.kernels.map(({ stage, release, bootId }) => [stage, release, bootId]),
    [
      [1, '7.3.4-fake', 'boot-1'],
      [2, '7.3.4-fake-next', 'boot-2'],
    ],
  );
  assert.ok(result.kernels[1]!.at >= result.kernels[0]!.at);
});

test('the guest waits at a kexec until the host is ready', async () => {
  const order: string[] = [];
  const result = await startVm(
    optionsFor('done-after-kexec', {
      onEvent: async (event) => {
        if (event.event === 'kexec') {
          await new Promise((settle) => setTimeout(settle, 200));
          order.push('host was ready');
        }
        if (event.event === 'boot') order.push(`boot ${event.stage}`);
      },
    }),
  ).result;
  assert.equal(result.outcome, 'done');
  assert.deepEqual(order, ['boot 1', 'host was ready', 'boot 2']);
});

test('a handler that throws ends the run as a failure of ours', async () => {
  const result = await startVm(
    optionsFor('done', {
      onEvent: () => {
        throw new Error('no such file');
      },
    }),
  ).result;
  assert.equal(result.outcome, 'machinery');
  assert.match(result.reason, /handler .* failed: no such file/);
});

test('what the host says before the guest listens is not lost', async () => {
  const vm = startVm(optionsFor('echoes'));
  vm.send({ question: 1 });
  const result = await vm.result;
  const data = result.events.find((event) => event.event === 'data');
  assert.deepEqual((data?.data as { heard: unknown }).heard, { question: 1 });
});

test('an abort kills the process', async () => {
  const controller = new AbortController();
  const vm = startVm(
    optionsFor('hangs', {
      signal: controller.signal,
      onEvent: (event: GuestEvent) => {
        if (event.event === 'exec') controller.abort();
      },
    }),
  );
  const result = await vm.result;
  assert.equal(result.outcome, 'aborted');
  assert.ok(vm.pid !== undefined && !isAlive(vm.pid));
});

test('an abort before the start starts nothing', async () => {
  const vm = startVm(optionsFor('done', { signal: AbortSignal.abort() }));
  assert.equal((await vm.result).outcome, 'aborted');
  assert.equal(vm.pid, undefined);
});

test('kill() ends it and waits until it is gone', async () => {
  const vm = startVm(optionsFor('hangs'));
  await until(() => vm.pid !== undefined, 'QEMU starts');
  await vm.kill();
  assert.ok(!isAlive(vm.pid!));
  assert.equal((await vm.result).outcome, 'aborted');
});

test('a QEMU that is not there is a failure of ours, and says what to install', async () => {
  const result = await startVm(optionsFor('done', { qemuBinary: path.join(folder, 'none') })).result;
  assert.equal(result.outcome, 'machinery');
  assert.match(result.reason, /^expected .*none on the PATH, found none; install it: apt-get install qemu-system-x86$/);
});

test('a kernel that is not there is named', async () => {
  const result = await startVm(optionsFor('done', { kernel: path.join(folder, 'nothing') })).result;
  assert.equal(result.outcome, 'machinery');
  assert.match(result.reason, /expected a file .*nothing, found none/);
});

test('a log folder that cannot be written is a failure of ours', async () => {
  writeFileSync(path.join(folder, 'a-file'), '');
  const result = await startVm(optionsFor('done', { logDir: path.join(folder, 'a-file', 'log') })).result;
  assert.equal(result.outcome, 'machinery');
});

test('a time-out of nothing is refused at once', () => {
  assert.throws(() => startVm(optionsFor('done', { timeoutMs: 0 })), UsageError);
});

test('a log folder with a long path still has an events socket', async () => {
  const logDir = path.join(folder, 'l'.repeat(60), 'm'.repeat(60));
  mkdirSync(logDir, { recursive: true });
  const result = await startVm(optionsFor('done', { logDir })).result;
  assert.equal(result.outcome, 'done', result.reason);
});

test('the console and every event are in the log folder', async () => {
  const options = optionsFor('done');
  const chunks: string[] = [];
  const result = await startVm({ ...options, onConsole: (chunk) => chunks.push(chunk) }).result;
  assert.equal(readFileSync(result.console, 'utf8'), chunks.join(''));
  const events = readFileSync(path.join(options.logDir, 'events.jsonl'), 'utf8').trim().split('\n');
  assert.equal(events.length, result.events.length);
  assert.ok(readFileSync(path.join(options.logDir, 'qemu.log'), 'utf8').startsWith(result.command));
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  test(`no QEMU is left when the caller is ended by ${signal}`, async () => {
    const index = new URL('../src/index.js', import.meta.url).href;
    const script = `import { startVm } from ${JSON.stringify(index)};
      const vm = startVm({ ...${JSON.stringify(optionsFor('hangs'))}, onEvent: (e) => { if (e.event === 'exec') console.log(vm.pid); } });
      await vm.result;`;
    const caller = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = Number(await new Promise<string>((settle) => caller.stdout.once('data', (data) => settle(String(data)))));
    assert.ok(pid > 0 && isAlive(pid));
    const ended = new Promise<void>((settle) => caller.once('close', () => settle()));
    caller.kill(signal);
    await ended;
    await until(() => !isAlive(pid), 'QEMU ends with its caller');
  });
}

test('every outcome has its exit code', () => {
  const codes: [Outcome, number][] = [['done', 0], ['exit', 1], ['panic', 1], ['oops', 1], ['silent', 1], ['timeout', 124], ['machinery', 69], ['aborted', 130]];
  for (const [outcome, code] of codes) assert.equal(exitCodeOf(outcome), code);
});
