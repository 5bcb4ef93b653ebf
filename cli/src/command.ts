// SPDX-License-Identifier: MIT
// A command to run, as data: an argv array, never a line for a shell. What is run and
// what --dry-run prints are the same object.

import { InterruptedError, MachineryError } from './errors.js'

export interface Command {
  file: string
  args: string[]
  cwd?: string
  /** Added to the environment of this process. */
  env?: Record<string, string>
}

export interface CommandResult {
  exitCode: number
  stdout: string
  stderr: string
}

export interface RunCommandOptions {
  signal?: AbortSignal
  /** Called for each line of the standard output and error, as it comes. */
  onLine?: (line: string) => void
  /** Exit statuses other than 0 that are not errors. */
  accept?: number[]
  input?: string
}

function quote(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** The command as one could type it. For people to read; it is never run from this text. */
export function formatCommand(command: Command): string {
  const env = Object.entries(command.env ?? {}).map(([name, value]) => `${name}=${quote(value)}`)
  const words = [...env, command.file, ...command.args.map(quote)]
  return (command.cwd ? `cd ${quote(command.cwd)} && ` : '') + words.join(' ')
}

/** How long a process group has, in milliseconds, between SIGTERM and SIGKILL. */
const GRACE_MS = 3000

/**
 * Kills the process group of `pid`: first asks, then insists. make and QEMU have children,
 * and killing only the parent would leave them running.
 */
export function killGroup(pid: number): NodeJS.Timeout {
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal)
    } catch {
      // The group has ended already, which is what was wanted.
    }
  }
  send('SIGTERM')
  return setTimeout(() => send('SIGKILL'), GRACE_MS)
}

/** Runs the command to its end. Throws `MachineryError` for an exit status that was not accepted. */
export async function runCommand(command: Command, options: RunCommandOptions = {}): Promise<CommandResult> {
  const { signal, onLine, accept = [] } = options
  // Loaded here: not every command runs another program.
  const { execa } = await import('execa')
  if (signal?.aborted) throw new InterruptedError()
  const child = execa(command.file, command.args, {
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.env === undefined ? {} : { env: command.env }),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    // A group of its own: Ctrl-C reaches this program only, which then ends the group as a whole.
    detached: true,
    cleanup: false,
    reject: false,
    all: true,
    maxBuffer: 256 * 1024 * 1024,
  })
  let insist: NodeJS.Timeout | undefined
  const abort = (): void => {
    if (child.pid !== undefined) insist ??= killGroup(child.pid)
  }
  signal?.addEventListener('abort', abort, { once: true })
  try {
    if (onLine) for await (const line of child.iterable({ from: 'all' })) onLine(line)
    const result = await child
    if (signal?.aborted) throw new InterruptedError()
    if (result.exitCode === undefined || (result.exitCode !== 0 && !accept.includes(result.exitCode))) {
      throw commandError(command, result)
    }
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr }
  } finally {
    signal?.removeEventListener('abort', abort)
    clearTimeout(insist)
  }
}

/** The command failed: what it was, how it ended, and its own last word. */
export class CommandError extends MachineryError {
  readonly stderr: string
  readonly stdout: string

  constructor(command: Command, how: string, stdout: string, stderr: string, options?: ErrorOptions) {
    const said = lastWord(stderr) || lastWord(stdout)
    super({ expected: `\`${formatCommand(command)}\` to succeed`, found: said ? `${how}: ${said}` : how }, options)
    this.stderr = stderr
    this.stdout = stdout
  }
}

/** The line that says most: the first that names an error, otherwise the last. */
function lastWord(text: string): string {
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean)
  return lines.find((line) => /\berror\b|^E:|\bfailed\b|cannot|unexpected/i.test(line)) ?? lines.at(-1) ?? ''
}

function commandError(command: Command, result: { exitCode?: number; signal?: string; stdout: string; stderr: string; code?: string; cause?: unknown }): MachineryError {
  if (result.code === 'ENOENT') {
    return new MachineryError({ expected: `the program ${command.file}`, found: 'none of that name', mend: 'run `kmho doctor --fix`' })
  }
  const how = result.signal ? `killed by ${result.signal}` : `exit status ${result.exitCode ?? 'none'}`
  return new CommandError(command, how, result.stdout, result.stderr, { cause: result.cause })
}
