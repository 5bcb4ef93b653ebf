// SPDX-License-Identifier: MIT
// Plays QEMU for the tests of the monitor: takes its argv, serves the events socket, and behaves as its first argument
// says. It must be able to do everything that a real one has been seen to do, above all what it should not.

import { appendFileSync } from 'node:fs';
import net from 'node:net';

const [mode = '', ...argv] = process.argv.slice(2);
const socketPath = /path=(.*),server=on/.exec(argv.find((arg) => arg.startsWith('socket,')) ?? '')?.[1]?.replaceAll(',,', ',');

const consolePath = /path=(.*)/.exec(argv.find((arg) => arg.startsWith('file,')) ?? '')?.[1] ?? '/dev/null';
const console_ = (line: string): void => appendFileSync(consolePath, `[    1.000000] ${line}\n`);
const sleep = (ms: number): Promise<void> => new Promise((settle) => setTimeout(settle, ms));
const forever = (): Promise<never> => new Promise(() => setInterval(() => undefined, 1000));

let socket: net.Socket | undefined;
const received: string[] = [];
let wake: (() => void) | undefined;

async function connected(): Promise<void> {
  await new Promise<void>((settle) => {
    net
      .createServer((peer) => {
        socket = peer.setEncoding('utf8');
        let rest = '';
        peer.on('data', (chunk) => {
          const lines = (rest + String(chunk)).split('\n');
          rest = lines.pop() ?? '';
          received.push(...lines);
          wake?.();
        });
        settle();
      })
      .listen(socketPath);
  });
}

async function nextLine(): Promise<string> {
  while (received.length === 0) await new Promise<void>((settle) => (wake = settle));
  return received.shift() ?? '';
}

const awaitGo = async (): Promise<void> => {
  while ((await nextLine()) !== '{"kmho":"go"}');
};

const send = (event: object | string): void => void socket?.write(`${typeof event === 'string' ? event : JSON.stringify(event)}\n`);

const boot = (stage: number, release = '7.3.4-fake'): void => {
  console_(`Linux version ${release} (fake)`);
  send({
    event: 'boot',
    stage,
    release,
    version: '#1',
    machine: 'x86_64',
    bootId: `boot-${stage}`,
    cmdline: 'console=ttyS0',
    uptimeMs: 900,
    ticks: 1,
    memTotalKiB: 400000,
  });
};

const run = (stage: number, step: string, code: number): void => {
  console_(`kmho-guest: stage ${stage} step ${step} starts`);
  send({ event: 'exec', stage, step, uid: 0, pid: 70, argv: ['node'] });
  send({ event: 'output', stage, step, stream: 'stdout', line: 'hello', eol: true });
  send({ event: 'exit', stage, step, code, ms: 5 });
  console_(`kmho-guest: stage ${stage} step ${step} ends`);
};

const done = async (code = 0): Promise<void> => {
  send({ event: 'done', stage: 1, code });
  await awaitGo();
};

/** The last of it must be read before the process is gone. */
const bye = (code = 0): never => {
  process.exitCode = code;
  socket?.end();
  setTimeout(() => process.exit(code), 50);
  return undefined as never;
};

const modes: Record<string, () => Promise<unknown>> = {
  async done() {
    boot(1);
    run(1, 'a', 0);
    await done();
    bye();
  },
  async 'done-after-kexec'() {
    boot(1);
    run(1, 'fill', 0);
    send({ event: 'kexec', stage: 1 });
    await awaitGo();
    boot(2, '7.3.4-fake-next');
    run(2, 'check', 0);
    send({ event: 'done', stage: 2, code: 0 });
    await awaitGo();
    bye();
  },
  async 'fails-with-3'() {
    boot(1);
    run(1, 'a', 3);
    await done(3);
    bye();
  },
  async 'hangs'() {
    boot(1);
    send({ event: 'exec', stage: 1, step: 'a', uid: 0, pid: 70, argv: ['sleep', '30'] });
    await forever();
  },
  async 'hangs-and-ignores-sigterm'() {
    process.on('SIGTERM', () => undefined);
    boot(1);
    await forever();
  },
  async 'says-nothing'() {
    await forever();
  },
  async 'only-its-kernel-speaks'() {
    console_('Linux version 7.3.4-fake (fake)');
    await forever();
  },
  async 'ends-without-a-word'() {
    bye();
  },
  async 'ends-early'() {
    boot(1);
    bye();
  },
  async 'lies'() {
    boot(1);
    run(1, 'a', 0);
    bye();
  },
  async 'crashes'() {
    process.stderr.write('qemu-system-fake: could not load kernel\n');
    process.exit(1);
  },
  async 'dies-of-a-signal'() {
    boot(1);
    await sleep(50);
    process.kill(process.pid, 'SIGSEGV');
    await forever();
  },
  async 'panics'() {
    boot(1);
    console_('Kernel panic - not syncing: Attempted to kill init!');
    bye();
  },
  async 'panics-and-hangs'() {
    boot(1);
    console_('Kernel panic - not syncing: stuck');
    await forever();
  },
  async 'panics-after-the-verdict'() {
    boot(1);
    run(1, 'a', 0);
    await done();
    console_('Kernel panic - not syncing: too late');
    bye();
  },
  async 'warns-and-passes'() {
    boot(1);
    console_('kmho-guest: stage 1 step a starts');
    console_('WARNING: mm/kmho/record.c:12 at kmho_record_put+0x1/0x2, CPU#0: node/70');
    console_('---[ end trace 0000000000000000 ]---');
    run(1, 'a', 0);
    await done();
    bye();
  },
  async 'logs-an-error'() {
    boot(1);
    send({ event: 'klog', stage: 1, level: 3, line: 'kmho: record 7 refused' });
    await done();
    bye();
  },
  async 'never-powers-off'() {
    boot(1);
    await done();
    await forever();
  },
  async 'talks-nonsense'() {
    boot(1);
    send('{"event":"data","stage":1,"step":"a","data":{oops}}');
    await done();
    bye();
  },
  async 'guest-machinery-fails'() {
    boot(1);
    send({ event: 'error', stage: 1, message: 'mount the 9p share `run`: No such device' });
    await done(69);
    bye();
  },
  async 'kexec-is-refused'() {
    boot(1);
    send({ event: 'error', stage: 1, message: 'kexec_file_load: Device or resource busy' });
    await done(1);
    bye();
  },
  async 'echoes'() {
    boot(1);
    send({ event: 'data', stage: 1, step: 'a', data: { argv, heard: JSON.parse(await nextLine()) as unknown } });
    await done();
    bye();
  },
};

// Without a mode it was taken for a test file, and is none.
const play = modes[mode];
if (play) {
  if (mode !== 'crashes') await connected();
  await play();
}
