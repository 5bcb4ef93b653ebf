// SPDX-License-Identifier: MIT
// What a guest is to do, and its form on the share: the line-based file `job` that guest/init.c reads without a
// JSON parser. Stage 1 runs on the first kernel, stage 2 after the first kexec, and so on. The form is described
// in qemu/README.md; both ends must change together.

import { constants as fsConstants } from 'node:fs';
import { copyFile, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MachineryError, UsageError } from './errors.js';

interface StepOptions {
  /** Letters, digits, `.`, `_` and `-`; unique in its stage. Names the log: share/out/<stage>-<name>.log. */
  name: string;
  argv: string[];
  /** 0 (root) unless told; the group is the same number. */
  uid?: number;
  env?: Record<string, string>;
  cwd?: string;
  /** SIGKILL after so many milliseconds; exit code 124. */
  timeoutMs?: number;
  /** The lines of vm.send() come on its stdin, which is /dev/null otherwise. */
  stdin?: boolean;
}

/** Runs a program and waits for it. */
export interface RunStep extends StepOptions {
  type: 'run';
  /** Go on when it fails. */
  mayFail?: boolean;
}
/** Starts a program that stays: the job goes on when it wrote the line `@kmho-ready` to its stdout. */
export interface StartStep extends StepOptions {
  type: 'start';
}
/** Sends a signal to what `start` started. */
export interface SignalStep {
  type: 'signal';
  name: string;
  signal: number;
}
/** Waits for what `start` started. */
export interface WaitStep {
  type: 'wait';
  name: string;
  mayFail?: boolean;
}
/** An interactive shell on the console. Needs a rootfs. */
export interface ShellStep {
  type: 'shell';
  uid?: number;
}
export interface SwaponStep {
  type: 'swapon';
  /** A block device, such as /dev/vdb, that `mkswap` prepared. */
  device: string;
}
/** Stops the job until the host's onEvent for {event:"sync",name} has settled. */
export interface SyncStep {
  type: 'sync';
  name: string;
}
/** kexec_file_load(2), without going there yet. */
export interface LoadStep {
  type: 'load';
  /** Path on the share. */
  image: string;
  initrd?: string;
  /** The running kernel's command line unless told; kmho.stage= is always set by the guest. */
  cmdline?: string;
}
/** Goes to the next stage. With `image` it loads first; without, an earlier `load` did. */
export interface KexecStep {
  type: 'kexec';
  image?: string;
  initrd?: string;
  cmdline?: string;
}
export interface PoweroffStep {
  type: 'poweroff';
}

export type Step =
  | RunStep
  | StartStep
  | SignalStep
  | WaitStep
  | ShellStep
  | SwaponStep
  | SyncStep
  | LoadStep
  | KexecStep
  | PoweroffStep;

/** All steps in order; each `kexec` ends a stage. A job that does not end in one ends in `poweroff`. */
export interface Job {
  steps: Step[];
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

const escape = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\x1f', '\\u');

const wrong = (expected: string, found: string): UsageError =>
  new UsageError({ expected, found, mend: 'correct the job' });

function word(text: string, what: string): string {
  if (!/^\S+$/.test(text)) throw wrong(`${what} without white space`, JSON.stringify(text));
  return text;
}

function stepName(name: string): string {
  if (!NAME.test(name)) throw wrong('a step name of letters, digits, ".", "_", "-"', JSON.stringify(name));
  return name;
}

function natural(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw wrong(`${what} to be a whole number from 0`, String(value));
  return value;
}

function program(step: RunStep | StartStep, verb: string): string[] {
  const [first] = step.argv;
  if (first === undefined || first === '') throw wrong(`a program in step ${step.name}`, 'an empty argv');
  if (step.argv.some((arg) => arg.includes('\0'))) throw wrong(`an argv without NUL in step ${step.name}`, 'one');
  const lines: string[] = [];
  for (const [key, value] of Object.entries(step.env ?? {})) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw wrong('the name of an environment variable', JSON.stringify(key));
    lines.push(`env ${key}=${escape(value)}`);
  }
  if (step.cwd !== undefined) lines.push(`cwd ${escape(step.cwd)}`);
  if (step.timeoutMs !== undefined) lines.push(`timeout ${natural(step.timeoutMs, 'timeoutMs')}`);
  if (step.stdin) lines.push('stdin');
  lines.push(`${verb} ${natural(step.uid ?? 0, 'uid')} ${stepName(step.name)} ${step.argv.map(escape).join('\x1f')}`);
  return lines;
}

/** `image initrd cmdline`, `-` where there is none. */
const target = (step: { image: string; initrd?: string; cmdline?: string }): string =>
  `${word(step.image, 'an image')} ${word(step.initrd ?? '-', 'an initrd')} ${escape(step.cmdline ?? '-')}`;

/** The text of the job file. Throws UsageError for a job that cannot be. */
export function formatJob(job: Job): string {
  let stage = 1;
  const lines = ['kmho-job 1', 'stage 1'];
  const last = job.steps.at(-1);
  const steps: Step[] = last?.type === 'poweroff' ? job.steps : [...job.steps, { type: 'poweroff' }];
  let seen = new Set<string>();
  steps.forEach((step, index) => {
    if (step.type === 'run' || step.type === 'start') {
      if (seen.has(step.name)) throw wrong(`step names that are unique in stage ${stage}`, `${step.name} twice`);
      seen.add(step.name);
    }
    switch (step.type) {
      case 'run':
        lines.push(...program(step, step.mayFail ? 'run?' : 'run'));
        break;
      case 'start':
        lines.push(...program(step, 'start'));
        break;
      case 'signal':
      case 'wait':
        if (!seen.has(step.name)) throw wrong(`a step started before in stage ${stage}`, step.name);
        lines.push(
          step.type === 'signal'
            ? `signal ${natural(step.signal, 'signal')} ${stepName(step.name)}`
            : `${step.mayFail ? 'wait?' : 'wait'} ${stepName(step.name)}`,
        );
        break;
      case 'shell':
        lines.push(`shell ${natural(step.uid ?? 0, 'uid')}`);
        break;
      case 'swapon':
        lines.push(`swapon ${word(step.device, 'a device')}`);
        break;
      case 'sync':
        lines.push(`sync ${stepName(step.name)}`);
        break;
      case 'load':
        lines.push(`load ${target(step)}`);
        break;
      case 'kexec':
        if (step.image === undefined && (step.initrd !== undefined || step.cmdline !== undefined))
          throw wrong('an image beside the initrd or command line of a kexec', 'none');
        if (step.image !== undefined)
          lines.push(`load ${target({ image: step.image, initrd: step.initrd, cmdline: step.cmdline })}`);
        lines.push('kexec');
        stage += 1;
        seen = new Set();
        lines.push(`stage ${stage}`);
        break;
      case 'poweroff':
        if (index !== steps.length - 1) throw wrong('poweroff as the last step', 'steps after it');
        lines.push('poweroff');
        break;
    }
  });
  return `${lines.join('\n')}\n`;
}

/** Writes `share/job`, and the folder for the steps' logs. */
export async function writeJob(share: string, job: Job): Promise<string> {
  const text = formatJob(job);
  await mkdir(path.join(share, 'out'), { recursive: true });
  const file = path.join(share, 'job');
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  return file;
}

/**
 * Makes the share: the job, and `files` (path on the share -> file on the host), which are reflinked where the file system can.
 */
export async function writeShare(share: string, job: Job, files: Record<string, string> = {}): Promise<void> {
  await mkdir(share, { recursive: true });
  for (const [inside, host] of Object.entries(files)) {
    const relative = path.normalize(inside);
    if (path.isAbsolute(relative) || relative.startsWith('..'))
      throw wrong('paths that lie inside the share', JSON.stringify(inside));
    const target = path.join(share, relative);
    await mkdir(path.dirname(target), { recursive: true });
    try {
      const found = await stat(host);
      if (!found.isFile()) throw new Error('not a file');
      await copyFile(host, target, fsConstants.COPYFILE_FICLONE);
    } catch (error) {
      throw new MachineryError(
        { expected: `to copy ${host} to the share`, found: String((error as Error).message), mend: 'check the path, its mode and the free space' },
        { cause: error },
      );
    }
  }
  await writeJob(share, job);
}
