// SPDX-License-Identifier: MIT
// One virtual machine from start to verdict: spawns QEMU, listens to console and events port, answers the guest, kills
// on time-out, abort or the end of this process, and says what happened. A run passes on the guest's explicit "done"
// alone, and only if the kernel did not complain, before it or after.

import { createWriteStream, existsSync, type WriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa, type ResultPromise } from 'execa';
import { buildQemuArgv, consoleLogPath, eventsSocketPath, formatCommand, optionValue, type QemuArgv } from './argv.js';
import { archFacts } from './arch/index.js';
import { ConsoleMonitor } from './console.js';
import { messageOf, UsageError } from './errors.js';
import { awaitsHost, LineSplitter, parseEvent, type GuestEvent } from './events.js';
import { FileTail } from './file-tail.js';
import { isAllowed, isErrorLine, type OopsFinding } from './oops.js';
import type { KernelSeen, Outcome, Vm, VmOptions, VmResult } from './types.js';

/** The path of a unix socket has room for 108 bytes. */
const SOCKET_PATH_MAX = 100;
const GO = { kmho: 'go' };
/** What setTimeout() takes; more counts as 1 ms there. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** After SIGTERM. */
const KILL_AFTER_MS = 1500;
/** A guest that panicked reboots, which ends QEMU; one that cannot even do that is ended. */
const PANIC_GRACE_MS = 5000;
const SETPRIV = '/usr/bin/setpriv';

const living = new Set<{ pid: number | undefined }>();

const killLiving = (): void => {
  for (const { pid } of living) {
    if (pid === undefined) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
};

let guarded = false;
/**
 * No machine outlives this process. 'exit' covers every orderly end; signals that nobody else handles
 * end a process without it; and setpriv's parent-death signal covers SIGKILL.
 */
function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on('exit', killLiving);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const handler = (): void => {
      if (process.listenerCount(signal) > 1) return;
      killLiving();
      process.off(signal, handler);
      process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }
}

/** What the exit code of a command should be whose machine ended so. */
export function exitCodeOf(outcome: Outcome): number {
  switch (outcome) {
    case 'done':
      return 0;
    case 'timeout':
      return 124;
    case 'machinery':
      return 69;
    case 'aborted':
      return 130;
    case 'exit':
    case 'panic':
    case 'oops':
    case 'silent':
      return 1;
  }
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Starts a machine. Throws UsageError for options that cannot be; all else arrives in `result`. */
export function startVm(options: VmOptions): Vm {
  if (!(options.timeoutMs > 0))
    throw new UsageError({ expected: 'a time-out above 0 ms', found: String(options.timeoutMs), mend: 'give one' });
  return new Machine(options);
}

class Machine implements Vm {
  readonly argv: QemuArgv;
  readonly consolePath: string;
  readonly result: Promise<VmResult>;

  readonly #options: VmOptions;
  readonly #startedAt = performance.now();
  readonly #console: ConsoleMonitor;
  readonly #events: GuestEvent[] = [];
  readonly #kernels: KernelSeen[] = [];
  readonly #self: { pid: number | undefined } = { pid: undefined };
  #stage = 1;
  #child: ResultPromise | undefined;
  #socket: net.Socket | undefined;
  #unsent: string[] = [];
  #eventLog: WriteStream | undefined;
  #ended = false;
  /** Why QEMU was ended by us, where it was. */
  #verdict: { outcome: Outcome; reason: string } | undefined;
  #done: { code: number } | undefined;
  #guestError: string | undefined;
  /** onEvent calls run one after the other. */
  #handling: Promise<void> = Promise.resolve();
  #timers: NodeJS.Timeout[] = [];
  #panicTimer: NodeJS.Timeout | undefined;

  constructor(options: VmOptions) {
    this.#options = options;
    this.argv = buildQemuArgv(options);
    this.consolePath = consoleLogPath(options);
    this.#console = new ConsoleMonitor({ interactive: options.interactive });
    this.result = this.#run();
  }

  get pid(): number | undefined {
    return this.#self.pid;
  }

  send(message: object): void {
    const line = `${JSON.stringify(message)}\n`;
    if (this.#socket) this.#socket.write(line);
    else this.#unsent.push(line);
  }

  async kill(): Promise<void> {
    this.#stop('aborted', 'the caller ended it');
    await this.result;
  }

  get #ms(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  /** Ends QEMU; the first reason stays. */
  #stop(outcome: Outcome, reason: string): void {
    this.#verdict ??= { outcome, reason };
    const child = this.#child;
    if (!child || this.#ended) return;
    child.kill('SIGTERM');
    this.#later(KILL_AFTER_MS, () => child.kill('SIGKILL'));
  }

  #later(ms: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(action, Math.min(ms, LONGEST_TIMER_MS));
    this.#timers.push(timer);
    return timer;
  }

  async #run(): Promise<VmResult> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#stop('aborted', 'interrupted');
    let scratch: string | undefined;
    try {
      if (signal?.aborted) return this.#conclude('aborted', 'interrupted before it began');
      await this.#checkFiles();
      await mkdir(this.#options.logDir, { recursive: true });
      let socketPath = eventsSocketPath(this.#options);
      if (Buffer.byteLength(socketPath) > SOCKET_PATH_MAX) {
        scratch = await mkdtemp(path.join(tmpdir(), 'kmho-'));
        const short = path.join(scratch, 'events.sock');
        this.argv.args = this.argv.args.map((arg) => arg.replace(`path=${optionValue(socketPath)}`, () => `path=${optionValue(short)}`));
        socketPath = short;
      }
      await rm(socketPath, { force: true });
      if (this.#verdict) return this.#conclude(this.#verdict.outcome, this.#verdict.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      return await this.#drive(socketPath);
    } catch (error) {
      return this.#conclude('machinery', messageOf(error));
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#timers.forEach((timer) => clearTimeout(timer));
      this.#socket?.destroy();
      living.delete(this.#self);
      await rm(eventsSocketPath(this.#options), { force: true }).catch(() => undefined);
      if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
    }
  }

  async #checkFiles(): Promise<void> {
    const { kernel, initrd, rootfs, disks = [], share } = this.#options;
    for (const file of [kernel, initrd, rootfs, ...disks]) {
      if (file !== undefined && !(await stat(file).then((s) => !s.isDirectory(), () => false)))
        throw new UsageError({ expected: `a file ${file}`, found: 'none', mend: 'build it, or correct the path' });
    }
    if (share !== undefined && !(await stat(share).then((s) => s.isDirectory(), () => false)))
      throw new UsageError({ expected: `a folder ${share}`, found: 'none', mend: 'make it, or correct the path' });
  }

  async #drive(socketPath: string): Promise<VmResult> {
    const { logDir, timeoutMs, interactive = false } = this.#options;
    guardExit();
    await writeFile(this.consolePath, '');
    const qemuLog = createWriteStream(path.join(logDir, 'qemu.log'));
    this.#eventLog = createWriteStream(path.join(logDir, 'events.jsonl'));
    const logs = [qemuLog, this.#eventLog];
    let logError: Error | undefined;
    for (const log of logs)
      log.on('error', (error) => {
        logError = error;
        this.#stop('machinery', `expected room for the logs in ${logDir}, found ${error.message}; free some space`);
      });
    qemuLog.write(`${formatCommand(this.argv)}\n`);

    // Where it can be had: when this process is killed, so is QEMU.
    const guard = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--'] : [];
    const command = [...guard, this.argv.command, ...this.argv.args];
    const [file = this.argv.command, ...args] = command;
    const child = execa(file, args, {
      // A terminal's Ctrl-C is for the caller, who then decides.
      detached: !interactive,
      cleanup: false,
      reject: false,
      buffer: false,
      encoding: 'utf8',
      stdin: interactive ? 'inherit' : 'ignore',
      stdout: interactive ? 'inherit' : 'pipe',
      stderr: 'pipe',
    });
    this.#child = child;
    this.#self.pid = child.pid;
    living.add(this.#self);
    if (this.#verdict) this.#stop(this.#verdict.outcome, this.#verdict.reason);
    this.#later(timeoutMs, () => this.#timedOut());

    const tail = new FileTail(this.consolePath, (chunk) => this.#hear(chunk));
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!logError) qemuLog.write(chunk);
    });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      if (!logError) qemuLog.write(chunk);
      stderr = (stderr + chunk).slice(-4096);
    });
    const connected = this.#connect(socketPath);
    const ended = await child;
    this.#ended = true;
    if (interactive && process.stdin.isTTY) process.stdin.setRawMode(false);
    this.#timers.forEach((timer) => clearTimeout(timer));
    living.delete(this.#self);
    await tail.end();
    this.#console.end();
    await connected;
    // A handler that waits for something which can no longer come must not hold up the verdict.
    await Promise.race([this.#handling, new Promise<void>((settle) => this.#later(2000, settle))]);
    await Promise.all(logs.map((log) => new Promise<void>((settle) => (log.destroyed ? settle() : log.end(settle)))));
    return this.#judge(ended, stderr);
  }

  #hear(chunk: string): void {
    this.#console.push(chunk);
    this.#options.onConsole?.(chunk);
    if (this.#console.panicked)
      this.#panicTimer ??= this.#later(PANIC_GRACE_MS, () => this.#stop('panic', 'the kernel panicked'));
  }

  /** QEMU makes its socket a moment after it was started. */
  async #connect(socketPath: string): Promise<void> {
    while (!this.#ended) {
      const socket = await new Promise<net.Socket | undefined>((settle) => {
        const attempt = net.connect(socketPath);
        attempt.once('connect', () => settle(attempt));
        attempt.once('error', () => settle(undefined));
      });
      if (socket) {
        await this.#listen(socket);
        return;
      }
      await new Promise((settle) => setTimeout(settle, 10));
    }
  }

  #listen(socket: net.Socket): Promise<void> {
    const lines = new LineSplitter();
    socket.setEncoding('utf8');
    this.#socket = socket;
    this.#unsent.forEach((line) => socket.write(line));
    this.#unsent = [];
    return new Promise((settle) => {
      socket.on('data', (chunk: string) => {
        for (const line of lines.push(chunk)) if (line !== '') this.#event(line);
      });
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        const rest = lines.flush();
        if (rest !== undefined) this.#event(rest);
        settle();
      });
    });
  }

  #event(line: string): void {
    const event = parseEvent(line, this.#ms, this.#stage);
    this.#events.push(event);
    this.#eventLog?.write(`${JSON.stringify(event)}\n`);
    this.#stage = event.stage;
    if (event.event === 'boot')
      this.#kernels.push({ stage: event.stage, release: event.release, bootId: event.bootId, cmdline: event.cmdline, at: event.at });
    else if (event.event === 'error') this.#guestError ??= event.message;
    else if (event.event === 'done') {
      this.#done ??= { code: event.code };
      this.#later(this.#options.powerOffMs ?? 30_000, () =>
        this.#stop('timeout', 'the guest said "done" and did not power off'),
      );
    }
    const { onEvent } = this.#options;
    this.#handling = this.#handling.then(async () => {
      try {
        await onEvent?.(event, (message) => this.send(message));
        if (awaitsHost(event)) this.send(GO);
      } catch (error) {
        this.#stop('machinery', `the handler of a guest's event failed: ${messageOf(error)}`);
      }
    });
  }

  #timedOut(): void {
    const after = `after ${seconds(this.#options.timeoutMs)}`;
    const last = this.#events.at(-1);
    if (!last) {
      const where = this.#console.kernelSpoke ? 'its kernel started, /init did not' : 'not even its kernel';
      this.#stop('silent', `the guest said nothing in ${seconds(this.#options.timeoutMs)} (${where})`);
    } else {
      const step = 'step' in last ? ` in step ${last.step}` : '';
      this.#stop('timeout', `the guest had not ended ${after}; its last word was "${last.event}"${step}, stage ${last.stage}`);
    }
  }

  #findings(): OopsFinding[] {
    const found = [...this.#console.findings];
    for (const event of this.#events) {
      if (event.event !== 'klog' || !isErrorLine(event.line)) continue;
      // What the console's table knows is there already, with its report.
      if (found.some((finding) => finding.excerpt.some((line) => line.includes(event.line)))) continue;
      found.push({ kind: 'error', line: event.line, lineNumber: 0, excerpt: [event.line], stage: event.stage });
    }
    return found;
  }

  #judge(ended: { exitCode?: number | undefined; signal?: string | undefined; code?: string; message?: string }, stderr: string): VmResult {
    const facts = archFacts(this.#options.arch);
    const lastWords = stderr.trim().split('\n').at(-1)?.trim() ?? '';
    if (ended.code === 'ENOENT' || /setpriv: failed to execute/.test(stderr))
      return this.#conclude(
        'machinery',
        `expected ${this.argv.command} on the PATH, found none; install it: apt-get install ${facts.qemuPackage}`,
      );
    if (this.#verdict?.outcome === 'aborted' || this.#verdict?.outcome === 'machinery')
      return this.#conclude(this.#verdict.outcome, this.#verdict.reason);

    const findings = this.#findings().filter((finding) => !isAllowed(finding, this.#options.allow ?? []));
    const first = findings.find((finding) => finding.kind === 'panic') ?? findings[0];
    if (first) {
      const step = first.step === undefined ? '' : ` step ${first.step},`;
      const where = first.lineNumber > 0 ? ` (${step} stage ${first.stage}, line ${first.lineNumber} of the console log)`.replace('( ', '(') : '';
      const more = findings.length > 1 ? `, and ${plural(findings.length - 1, 'more complaint')}` : '';
      return this.#conclude(first.kind === 'panic' ? 'panic' : 'oops', `the kernel said: ${first.line}${where}${more}`);
    }
    if (this.#verdict) return this.#conclude(this.#verdict.outcome, this.#verdict.reason);
    if (ended.exitCode !== 0) {
      const how = ended.signal ? `it was ended by ${ended.signal}` : `exit status ${ended.exitCode ?? ended.message}`;
      return this.#conclude(
        'machinery',
        `expected QEMU to run until the guest powers off, found ${how}${lastWords ? `, saying: ${lastWords}` : ''}; see ${path.join(this.#options.logDir, 'qemu.log')}`,
      );
    }
    if (this.#guestError !== undefined)
      return this.#conclude(this.#done?.code === 1 ? 'exit' : 'machinery', `in the guest: ${this.#guestError}`);
    if (!this.#done) {
      const last = this.#events.at(-1);
      return this.#conclude(
        'silent',
        last ? `the guest ended without saying "done"; its last word was "${last.event}", stage ${last.stage}` : 'the guest ended without a word',
      );
    }
    const malformed = this.#events.find((event) => event.event === 'malformed');
    if (malformed)
      return this.#conclude('machinery', `expected JSON events, found: ${JSON.stringify(malformed.line.slice(0, 120))}; check what the step writes after @kmho`);
    if (this.#done.code !== 0) {
      const failed = this.#events.findLast((event) => event.event === 'exit' && event.code !== 0);
      const step = failed?.event === 'exit' ? `step ${failed.step} of stage ${failed.stage}` : 'a step';
      return this.#conclude('exit', `${step} ended with ${this.#done.code}`);
    }
    return this.#conclude('done', `every step succeeded on ${plural(this.#kernels.length, 'kernel')}`);
  }

  #conclude(outcome: Outcome, reason: string): VmResult {
    const all = this.#findings();
    const allow = this.#options.allow ?? [];
    return {
      outcome,
      reason: reason.replace(/\s*\n\s*/g, ' '),
      events: this.#events,
      ...(this.#done ? { exitCode: this.#done.code } : {}),
      findings: all.filter((finding) => !isAllowed(finding, allow)),
      allowed: all.filter((finding) => isAllowed(finding, allow)),
      kernels: this.#kernels,
      console: this.consolePath,
      command: formatCommand(this.argv),
      accel: this.#options.accel ?? 'tcg',
      ms: this.#ms,
    };
  }
}
