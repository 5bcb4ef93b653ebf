#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// `npm start`: all the set-up, then the main job on this machine's own architecture. Options are
// those of `kmho verify`.

import { bootstrap, INTERRUPTED } from './bootstrap.mjs'

async function start() {
  const ready = await bootstrap()
  if (ready !== 0) return ready
  const { kmho } = await import('./lib.mjs')
  const doctor = await kmho(['--quiet', 'doctor', '--fix'])
  if (doctor.code !== 0) return doctor.code
  return (await kmho(['verify', ...process.argv.slice(2)])).code
}

process.exitCode = await start()
if (process.exitCode === INTERRUPTED) process.stderr.write('interrupted\n')
