#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// What has to be there before anything of ours can run: the packages and the compiled sources.
// Plain JavaScript without imports from npm, as on a fresh clone there are none. When all is
// up to date it costs as much as asking the compiler.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Exit codes that the whole project shares. */
export const MACHINERY = 69
export const INTERRUPTED = 130

const children = new Set()
let interrupted = false
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // A child ends what it has started before it ends itself, so it is waited for.
  process.on(name, () => {
    interrupted = true
    for (const child of children) child.kill(name)
  })
}

/**
 * Runs a command to its end and returns its exit code; 130 once somebody interrupted.
 * With `capture` its standard output is passed through and returned as well.
 */
export function run(file, args, options = {}) {
  const { capture = false, env = {}, quiet = false } = options
  if (interrupted) return Promise.resolve({ code: INTERRUPTED, stdout: '' })
  return new Promise((done) => {
    const stdout = quiet ? 'ignore' : capture ? 'pipe' : 'inherit'
    const child = spawn(file, args, { cwd: root, stdio: ['inherit', stdout, 'inherit'], env: { ...process.env, ...env } })
    children.add(child)
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
      process.stdout.write(chunk)
    })
    const end = (code) => {
      children.delete(child)
      done({ code: interrupted ? INTERRUPTED : code, stdout: text })
    }
    child.on('error', (error) => {
      process.stderr.write(`kmho: expected the program ${file}, found ${error.code}\n`)
      end(MACHINERY)
    })
    child.on('close', (code) => end(code ?? MACHINERY))
  })
}

/** The packages of package-lock.json, unless just these are installed. */
async function installPackages() {
  const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex')
  const stamp = join(root, 'node_modules', '.kmho-lock')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return 0
  process.stderr.write('installing packages\n')
  // Without scripts: the addon needs compilers, which `kmho doctor --fix` may have to install first.
  const { code } = await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  if (code === 0) writeFileSync(stamp, lock)
  return code
}

export async function bootstrap() {
  const packages = await installPackages()
  if (packages !== 0) return packages
  const { code } = await run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'])
  return code === 0 || code === INTERRUPTED ? code : MACHINERY
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await bootstrap()
