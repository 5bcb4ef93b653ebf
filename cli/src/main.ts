// SPDX-License-Identifier: MIT
// The command line: options, commands, and how the program ends. Each command's work is in
// its own file, which is loaded when it is asked for: an operator's question needs no virtual machines.

import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeContext, type Context, type GlobalOptions } from './context.js'
import { describeError, ExitCode, InterruptedError } from './errors.js'
import { rootDir } from './paths.js'
import { Ui } from './ui/ui.js'

type Action = (context: Context) => Promise<number>

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value <= 0) throw new InvalidArgumentError('expected a whole number above 0.')
  return value
}

function uid(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > 0xfffffffe) throw new InvalidArgumentError('expected a numeric user ID.')
  return value
}

/** What a guest's tests and proofs run on; the stock kernel has nothing to prove. */
function flavor(text: string): string {
  if (text !== 'default' && text !== 'debug') throw new InvalidArgumentError('expected default or debug.')
  return text
}

/** The parser. `act` is given the action of the command that was named. */
export function makeProgram(act: (action: Action, options: GlobalOptions) => void): Command {
  const version = (JSON.parse(readFileSync(join(rootDir(), 'package.json'), 'utf8')) as { version: string }).version
  const program = new Command('kmho')
    .description('Memory that outlives the kernel: builds the kernels, boots them, and proves it.')
    .version(version)
    .option('--json', 'print one JSON object at the end, and nothing else, to the standard output')
    .option('--dry-run', 'print what would be run, and run nothing')
    .option('--verbose', 'show every command and its output')
    .option('--quiet', 'show results and errors only')
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
  const global = (): GlobalOptions => program.opts<GlobalOptions>()
  const on = (command: Command, action: (context: Context, command: Command) => Promise<number>): void => {
    command.action(() => act((context) => action(context, command), global()))
  }

  on(
    program.command('doctor').description('say what this machine lacks').option('--fix', 'install it'),
    async (context, command) => (await import('./commands/doctor.js')).doctor(command.opts(), context),
  )

  const kernel = program.command('kernel').description('the kernel: build it, check it, export it')
  on(
    kernel
      .command('build')
      .description('build a kernel with the call')
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--flavor <flavor>', 'default, stock or debug', 'default')
      .option('--release <x.y>', 'of Linux; otherwise the one that is developed on')
      .option('--source <path>', 'your own tarball or tree of Linux')
      .option('--mirror <url>', "top of a mirror of upstream's release folder")
      .option('--jobs <n>', 'how many to make at once', positive),
    async (context, command) => (await import('./commands/kernel-build.js')).kernelBuild(command.opts(), context),
  )
  on(
    kernel
      .command('series')
      .description('write the series as mails, as it would be sent')
      .option('--output <folder>', 'where to', 'series')
      .option('--release <x.y>', 'of Linux; otherwise the one that is developed on')
      .option('--source <path>', 'your own tarball or tree of Linux'),
    async (context, command) => (await import('./commands/kernel-series.js')).kernelSeries(command.opts(), context),
  )
  on(
    kernel
      .command('check')
      .description("checkpatch --strict on the series, sparse on its objects, memblock's own tests")
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--release <x.y>', 'of Linux; otherwise the one that is developed on')
      .option('--source <path>', 'your own tarball or tree of Linux'),
    async (context, command) => (await import('./commands/kernel-series.js')).kernelCheck(command.opts(), context),
  )
  on(
    kernel
      .command('selftest')
      .description("the kernel's own selftests of mm and LUO: what passes without our patches has to pass with them")
      .argument('[name...]', 'only these programs')
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--source <path>', 'your own tarball or tree of Linux'),
    async (context, command) => (await import('./commands/kernel-selftest.js')).kernelSelftest(command.args, command.opts(), context),
  )

  const guest = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--flavor <flavor>', 'default, stock or debug', 'default')
      .option('--source <path>', 'your own tarball or tree of Linux')
      .option('--memory <size>', 'of the guest', '1G')
      .option('--cmdline <words>', 'added to the command line of the kernel')
      .option('--kho <on|off>', 'kexec handover, which all of this stands on', 'on')
      .option('--gdb', 'wait for a debugger before the first instruction')
      .option('--keep', 'leave the folder of the run')
  on(guest('boot', 'boot a kernel and say what came up'), async (context, command) => (await import('./commands/guest.js')).boot(command.opts(), context))
  on(guest('shell', 'a shell in a guest').option('--uid <n>', 'as this user', uid), async (context, command) => (await import('./commands/guest.js')).shell(command.opts(), context))
  on(
    guest('run', 'one command in a guest, its output and its exit code')
      .argument('[command...]', 'the command, after --')
      .option('--uid <n>', 'as this user', uid)
      .option('--timeout <seconds>', 'how long it may take', positive),
    async (context, command) => (await import('./commands/guest.js')).run(command.args, command.opts(), context),
  )
  on(
    program
      .command('test')
      .description('the tests that run in guests')
      .argument('[name...]', 'only these scenarios')
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--flavor <flavor>', 'default or debug', flavor, 'default')
      .option('--from <x.y>', 'the release of Linux that is booted')
      .option('--to <x.y>', 'the release of Linux that a kexec goes to')
      .option('--source <path>', 'your own tarball or tree of Linux')
      .option('--list', 'say which there are')
      .option('--seed <n>', 'chooses the programs of tests that are random', positive)
      .option('--calls <n>', 'how many random calls', positive)
      .option('--kexecs <n>', 'how many kexecs, one after the other', positive)
      .option('--mib <n>', 'how much memory goes through them, or is touched of what is reserved', positive)
      .option('--keep', 'leave the folders of the runs'),
    async (context, command) => (await import('./commands/test.js')).test(command.args, command.opts(), context),
  )
  on(
    program
      .command('clean')
      .description('remove what runs left behind')
      .option('--kernels', 'kernels, objects and trees as well')
      .option('--all', 'the whole cache'),
    async (context, command) => (await import('./commands/clean.js')).clean(command.opts(), context),
  )

  on(
    program
      .command('verify')
      .description("load a file in one kernel and answer from it in the next; the proof, and its control")
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--flavor <flavor>', 'default or debug', flavor, 'default')
      .option('--from <x.y>', 'the release of Linux that is booted')
      .option('--to <x.y>', 'the release of Linux that a kexec goes to')
      .option('--source <path>', 'your own tarball or tree of Linux')
      .option('--input <file>', "any file; otherwise the machine's package index")
      .option('--size <size>', 'memory of a seeded pattern beside it', '256M')
      .option('--memory <size>', 'of the guest; otherwise what the rest needs')
      .option('--seed <n>', 'of the pattern', positive, 1)
      .option('--jobs <n>', 'how many objects of a kernel to make at once', positive)
      .option('--keep', 'leave the folders of the runs'),
    async (context, command) => (await import('./commands/verify.js')).verify(command.opts(), context),
  )

  on(
    program
      .command('bench')
      .description('what a handover costs beside the one that Linux ships, LUO with a memfd')
      .option('--arch <arch>', 'x86_64 or arm64; otherwise that of this machine')
      .option('--source <path>', 'your own tarball or tree of Linux')
      .option('--only <names>', 'these points, with commas between')
      .option('--systems <names>', 'of stock and default (nothing carried), stock-luo, kmho-luo, kmho; with --gap of floor, kmho, stock-floor, stock-luo, disk')
      .option('--size <size>', 'so much memory, in 4 KiB pages')
      .option('--full', 'larger sizes and counts as well; hours without acceleration')
      .option('--gap', 'instead, how long a client outside gets no answer')
      .option('--profile <from,to>', 'instead, the instructions from one function of the kernel to another, by function')
      .option('--runs <n>', 'of each guest', positive, 3)
      .option('--by <what>', 'instructions (repeatable; emulated guests only) or time', 'instructions')
      .option('--memory <size>', 'of every guest; otherwise what the largest point needs')
      .option('--output <folder>', 'for bench.json, tables, plots and raw output', 'bench-results')
      .option('--jobs <n>', 'how many objects of a kernel to make at once', positive),
    async (context, command) => (await import('./commands/bench.js')).bench(command.opts(), context),
  )
  on(
    program
      .command('ls')
      .description('the records that the kernel here holds, inside a running system')
      .option('--all', "every user's (CAP_SYS_ADMIN)")
      .option('--uid <n>', "another user's (CAP_SYS_ADMIN)", uid),
    async (context, command) => (await import('./commands/records.js')).ls(command.opts(), context),
  )
  on(
    program
      .command('show')
      .description('one record and its ranges')
      .argument('<key>', 'decimal, or hexadecimal after 0x')
      .option('--uid <n>', "another user's (CAP_SYS_ADMIN)", uid),
    async (context, command) => (await import('./commands/records.js')).show(command.args[0] ?? '', command.opts(), context),
  )
  on(
    program
      .command('drop')
      .description('give a record up; memory that no process has is freed')
      .argument('<key>', 'decimal, or hexadecimal after 0x')
      .option('--uid <n>', "another user's (CAP_SYS_ADMIN)", uid),
    async (context, command) => (await import('./commands/records.js')).drop(command.args[0] ?? '', command.opts(), context),
  )
  return program
}

/** Commander prints several lines for a wrong option; one is enough. `args`: what was called, without options. */
function usageLine(error: CommanderError, args: readonly string[]): string {
  const help = args.indexOf('help')
  const said =
    error.code !== 'commander.help'
      ? error.message.replace(/^error: /, '').replace(/\n+/g, ' ')
      : help < 0
        ? 'expected a command, found none'
        : `unknown command '${args[help + 1]}'`
  return `${said}; \`kmho --help\` lists what there is`
}

/** Says why it ends so, on the standard error, and with --json as an object as well. */
function fail(ui: Ui, error: string, exitCode: number): number {
  ui.error(error)
  ui.result({ ok: false, error, exitCode })
  return exitCode
}

/** Runs the command line to its end and returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const abort = new AbortController()
  const stop = (): void => {
    if (!abort.signal.aborted) process.stderr.write('\n')
    abort.abort(new InterruptedError())
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop)
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `kmho ... | head`: nobody reads any more.
    if (error.code === 'EPIPE') stop()
  })
  let chosen: { action: Action; options: GlobalOptions } | undefined
  const program = makeProgram((action, options) => {
    chosen = { action, options }
  })
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return ExitCode.ok
    return fail(new Ui(program.opts()), usageLine(error, program.args), ExitCode.usage)
  }
  if (!chosen) return ExitCode.ok
  const ui = new Ui(chosen.options)
  try {
    const context = makeContext(chosen.options, abort.signal, ui)
    const exitCode = await chosen.action(context)
    if (context.planned.length > 0) ui.result({ ok: true, plan: context.planned })
    return exitCode
  } catch (error) {
    const { text, exitCode } = abort.signal.aborted ? describeError(new InterruptedError()) : describeError(error)
    return fail(ui, text, exitCode)
  } finally {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(name, stop)
  }
}
