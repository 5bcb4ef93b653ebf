// SPDX-License-Identifier: MIT
// What the steps of the pipeline share: calling the command line, counting results, and the
// line that ends a step. Each step can be run by hand: `node ci/NAME.mjs`.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { chalk, fs, minimist, os } from 'zx'
import { INTERRUPTED, root, run } from './bootstrap.mjs'

export const ARCHES = ['x86_64', 'arm64']

/** Options of a step: `--arch x86_64` limits it to one architecture; `--only NAME` to one part of test:soak. */
export const options = minimist(process.argv.slice(2), { string: ['arch', 'only'] })
export const arches = options.arch ? [options.arch] : ARCHES

/** Whether a step knows all the words that it was given; the first that it does not know is named in a line. */
export function understands(known) {
  const unknown = Object.keys(options).filter((name) => name !== '_' && !known.includes(name))
  const [found] = [...options._, ...unknown.map((name) => `--${name}`)]
  if (found === undefined) return true
  process.stderr.write(`kmho: expected ${known.map((name) => `--${name}`).join(' or ')}, found ${found}\n`)
  return false
}

export function heading(text) {
  process.stderr.write(`\n${chalk.bold(text)}\n`)
}

/** The command line of this checkout. */
export function kmho(args, settings) {
  return run(process.execPath, [join(root, 'cli', 'bin', 'kmho.js'), ...args], settings)
}

/**
 * Counts of a step, and the lines that say which tests failed. A step whose code is not 0 although nothing failed has
 * failed itself.
 */
export function tally(code, counts = {}) {
  const { passed = 0, failed = 0, skipped = 0, failures = [] } = counts
  return { code, passed, failed: failed + (code !== 0 && failed === 0 ? 1 : 0), skipped, failures }
}

export function add(...tallies) {
  return tallies.reduce(
    (sum, item) => ({
      code: sum.code || item.code,
      passed: sum.passed + item.passed,
      failed: sum.failed + item.failed,
      skipped: sum.skipped + item.skipped,
      failures: [...sum.failures, ...item.failures],
    }),
    tally(0),
  )
}

/** A step that is one check: it has passed if it exited with 0. */
export async function check(name, work) {
  heading(name)
  const { code } = await work()
  process.stdout.write(`${code === 0 ? chalk.green('ok    ') : chalk.red('failed')} ${name}\n`)
  return tally(code, code === 0 ? { passed: 1 } : { failures: [`failed ${name}`] })
}

/** Compiled tests with Node's own runner; people see them as they run, the counts are read from a file. */
export async function nodeTests(name, files) {
  heading(name)
  const dir = await fs.mkdtemp(join(os.tmpdir(), 'kmho-ci-'))
  const tap = join(dir, 'results.tap')
  try {
    const reporters = ['--test-reporter=dot', '--test-reporter-destination=stdout', '--test-reporter=tap', `--test-reporter-destination=${tap}`]
    const { code } = await run(process.execPath, ['--test', ...reporters, ...files])
    const text = await fs.readFile(tap, 'utf8').catch(() => '')
    const count = (field) => Number(new RegExp(`^# ${field} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
    process.stdout.write('\n')
    const failures = code === 0 ? [] : readFailures(text)
    for (const lines of failures) process.stdout.write(`${lines.join('\n')}\n\n`)
    return tally(code, { passed: count('pass'), failed: count('fail') + count('cancelled'), skipped: count('skipped'), failures: failures.map(([first]) => first) })
  } finally {
    await fs.rm(dir, { recursive: true, force: true })
  }
}

/** What failed, with what the runner says of it: the lines of each. */
function readFailures(tap) {
  const lines = tap.split('\n')
  const starts = lines.flatMap((line, i) => (/^\s*not ok /.test(line) ? [i] : []))
  return starts.map((at) => lines.slice(at, at + 40).join('\n').split(/\n\s*\.\.\.\n/)[0].split('\n'))
}

/** Every compiled test file below a folder of dist/; those for guests are left out. */
export async function testFiles(folder) {
  const names = await fs.readdir(join(root, folder), { recursive: true })
  return names.filter((name) => name.endsWith('.test.js') && !name.endsWith('.guest.test.js')).sort().map((name) => join(root, folder, name))
}

/** The counts that `kmho test` ends with, and what it says of each test that failed. */
export function readCounts(stdout) {
  const match = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/m.exec(stdout)
  const failures = stripVTControlCharacters(stdout).match(/^failed .*(?:\n {9}.*)*/gm) ?? []
  return match ? { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3] ?? 0), failures } : { failures }
}

/** The same in guests of ours, which have all that a test can ask for: one that was skipped there has failed. */
export function readCountsOfGuests(stdout) {
  const counts = readCounts(stdout)
  const skips = stripVTControlCharacters(stdout).match(/^skip  .*(?:\n {9}.*)*/gm) ?? []
  return counts.skipped > 0 ? { ...counts, failed: counts.failed + counts.skipped, skipped: 0, failures: [...counts.failures, ...skips] } : counts
}

/**
 * Ends a script that is run by hand: what failed, once more, as it is long gone from the screen, the line of counts, and
 * the exit code.
 */
export function finish({ code, passed, failed, skipped, failures }) {
  if (code === INTERRUPTED) {
    process.exitCode = INTERRUPTED
    return
  }
  if (failures.length > 0) process.stdout.write(`\n${failures.join('\n')}\n`)
  process.stdout.write(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}\n`)
  process.exitCode = failed > 0 ? code || 1 : 0
}

/** True where the script of `url` was started itself, and not imported by another. */
export function isMain(url) {
  return process.argv[1] === fileURLToPath(url)
}
