// SPDX-License-Identifier: MIT
// The errors that a person may cause or meet, each with its exit code. They are
// printed as one line; whatever is not one of these is a bug and prints its stack.

export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  skipped: 4,
  machinery: 69,
  timeout: 124,
  interrupted: 130,
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** What an expected error says: what was expected, what was found, what mends it. */
export interface Complaint {
  expected: string
  found: string
  mend?: string
}

function sentence(complaint: Complaint | string): string {
  const text =
    typeof complaint === 'string'
      ? complaint
      : `expected ${complaint.expected}, found ${complaint.found}${complaint.mend ? `; ${complaint.mend}` : ''}`
  return text.replace(/\s*\n\s*/g, ' ')
}

/** An error that prints one line and ends the program with `exitCode`. */
export class ExpectedError extends Error {
  readonly exitCode: ExitCode

  constructor(complaint: Complaint | string, exitCode: ExitCode, options?: ErrorOptions) {
    super(sentence(complaint), options)
    this.name = new.target.name
    this.exitCode = exitCode
  }
}

/** The caller asked for something that cannot be: a wrong option, file or source. */
export class UsageError extends ExpectedError {
  constructor(complaint: Complaint | string, options?: ErrorOptions) {
    super(complaint, ExitCode.usage, options)
  }
}

/** What was to be proven is not so. */
export class VerificationError extends ExpectedError {
  constructor(complaint: Complaint | string, options?: ErrorOptions) {
    super(complaint, ExitCode.failed, options)
  }
}

/** Our own tools failed, so that nothing is known about what was to be proven. */
export class MachineryError extends ExpectedError {
  constructor(complaint: Complaint | string, options?: ErrorOptions) {
    super(complaint, ExitCode.machinery, options)
  }
}

export class TimeoutError extends ExpectedError {
  constructor(complaint: Complaint | string, options?: ErrorOptions) {
    super(complaint, ExitCode.timeout, options)
  }
}

/** Somebody pressed Ctrl-C, or asked us to end. */
export class InterruptedError extends ExpectedError {
  constructor() {
    super('interrupted', ExitCode.interrupted)
  }
}

/** An `ENOSPC`, `EACCES`, ... of the file system, as one line; undefined for anything else. */
export function fromSystemError(error: unknown): ExpectedError | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  const { code, path } = error as NodeJS.ErrnoException
  const where = path ?? 'the file system'
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new MachineryError({ expected: `room on the disk for ${where}`, found: 'none left', mend: 'free some, or set KMHO_CACHE to a folder on a larger disk' }, { cause: error })
  }
  if (code === 'ENOTDIR') {
    return new MachineryError({ expected: `a folder on the way to ${where}`, found: 'a file', mend: 'set KMHO_CACHE to a folder of your own' }, { cause: error })
  }
  if (code === 'EROFS' || code === 'EACCES') {
    return new MachineryError({ expected: `to be allowed to write ${where}`, found: code, mend: 'set KMHO_CACHE to a folder of your own' }, { cause: error })
  }
  return undefined
}

/** The virtual machine package has errors of its own, of the same kind: a line and an exit code. */
function fromQemu(error: unknown): ExpectedError | undefined {
  if (!(error instanceof Error) || !('exitCode' in error)) return undefined
  const exitCode = Object.values(ExitCode).find((code) => code === error.exitCode)
  return exitCode === undefined ? undefined : new ExpectedError(error.message, exitCode, { cause: error })
}

/** The one line, or for a bug the stack; and the exit code. */
export function describeError(error: unknown): { text: string; exitCode: ExitCode } {
  const expected = error instanceof ExpectedError ? error : (fromQemu(error) ?? fromSystemError(error))
  if (expected) return { text: expected.message, exitCode: expected.exitCode }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { text: `this is a bug in kmho\n${text}`, exitCode: ExitCode.machinery }
}
