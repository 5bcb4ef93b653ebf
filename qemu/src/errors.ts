// SPDX-License-Identifier: MIT
// The errors of our own machinery, as opposed to those of the kernel under test. Each is one line that says what
// was expected, what was found and what mends it. A failure of the guest is never thrown: it is a VmResult.

export interface Mismatch {
  /** What should have been there, e.g. "qemu-system-aarch64 on the PATH". */
  expected: string;
  /** What was there instead. */
  found: string;
  /** What a person can do about it, a command where there is one. */
  mend: string;
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').trim();

/** Something outside the kernel under test failed; exit code 69. */
export class MachineryError extends Error {
  override readonly name: string = 'MachineryError';
  readonly exitCode: number = 69;
  readonly expected: string;
  readonly found: string;
  readonly mend: string;

  constructor(what: Mismatch, options?: { cause?: unknown }) {
    super(oneLine(`expected ${what.expected}, found ${what.found}; ${what.mend}`), options);
    this.expected = what.expected;
    this.found = what.found;
    this.mend = what.mend;
  }
}

/** The caller asked for something that cannot be; exit code 2. */
export class UsageError extends MachineryError {
  override readonly name = 'UsageError';
  override readonly exitCode = 2;
}

/** The work was called off through its AbortSignal; exit code 130. */
export class AbortedError extends MachineryError {
  override readonly name = 'AbortedError';
  override readonly exitCode = 130;

  constructor(what: string) {
    super({ expected: `${what} to finish`, found: 'an interruption', mend: 'run the same command again' });
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
