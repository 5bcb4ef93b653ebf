#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Starts the compiled command. Plain JavaScript on purpose: it has to be able to
// say in one line what is missing on a machine where nothing is compiled yet.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
const main = new URL('../../dist/cli/src/main.js', import.meta.url)
if (major < 20 || (major === 20 && minor < 10)) {
  process.stderr.write(`kmho: expected Node 20.10 or later, found ${process.versions.node}; install a newer Node\n`)
  process.exitCode = 2
} else if (!existsSync(fileURLToPath(main))) {
  process.stderr.write('kmho: expected the compiled command in dist/, found nothing; run `npm start` once, it does all the set-up\n')
  process.exitCode = 69
} else {
  const { main: run } = await import(main.href)
  process.exitCode = await run(process.argv)
}
