// SPDX-License-Identifier: MIT
// Runs one of the tools that make images: an argv, never a shell. Its failure is one line with its own last words.

import { execa } from 'execa';
import { AbortedError, MachineryError } from '../errors.js';

export interface ToolOptions {
  cwd?: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
  /** What to do when it is not there. */
  mend: string;
  /** What to do when it fails. */
  mendFailure?: string;
}

/** The tool's stdout. */
export async function runTool(command: string, args: string[], options: ToolOptions): Promise<string> {
  const result = await execa(command, args, {
    cwd: options.cwd,
    env: { LC_ALL: 'C', ...options.env },
    stdin: 'ignore',
    reject: false,
    cancelSignal: options.signal,
    maxBuffer: 64 << 20,
  });
  if (result.isCanceled || options.signal?.aborted) throw new AbortedError(command);
  if (!result.failed) return result.stdout;
  if (result.code === 'ENOENT')
    throw new MachineryError({ expected: `${command} on the PATH`, found: 'none', mend: options.mend });
  const words = `${result.stderr}\n${result.stdout}`
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(?:npm notice|npm warn|W: |Hit:|Get:|Reading )/i.test(line));
  const lastWords = words.find((line) => /\berror\b|^E: |fail|cannot|no space/i.test(line)) ?? words.at(-1) ?? 'no word why';
  throw new MachineryError({
    expected: `${command} ${args.find((arg) => !arg.startsWith('-')) ?? ''} to succeed`.replace(/ +/g, ' '),
    found: `${result.exitCode === undefined ? `its end by ${result.signal ?? 'a signal'}` : `exit status ${result.exitCode}`} (${lastWords.slice(0, 300)})`,
    mend: options.mendFailure ?? 'mend that and run the same command again',
  });
}
