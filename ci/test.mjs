#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// `npm test`: all the set-up, then every step of the pipeline. Later steps run although an
// earlier one failed, so that one run tells everything; only an interrupt ends it early.

import { bootstrap, INTERRUPTED } from './bootstrap.mjs'

async function all() {
  const ready = await bootstrap()
  if (ready !== 0) return ready
  const { add, finish, tally, understands } = await import('./lib.mjs')
  if (!understands(['arch'])) return 2
  let total = tally(0)
  for (const name of ['doctor', 'lint', 'addon', 'unit', 'kernels', 'guests', 'survival']) {
    const step = await import(`./${name}.mjs`)
    const start = Date.now()
    const result = await step[name]()
    total = add(total, result)
    process.stderr.write(`${name}: ${Math.round((Date.now() - start) / 1000)} s\n`)
    if (result.code === INTERRUPTED) break
  }
  finish(total)
  return process.exitCode
}

process.exitCode = await all()
