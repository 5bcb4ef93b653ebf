#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: the tests that need no guest.

import { add, check, finish, isMain, nodeTests, testFiles } from './lib.mjs'
import { staleMutations } from './mutations.mjs'

export async function unit() {
  const tallies = []
  for (const folder of ['cli', 'qemu', 'native']) tallies.push(await nodeTests(`tests of ${folder}/`, await testFiles(`dist/${folder}/test`)))
  tallies.push(
    await check('the mutations of test:mutations fit the sources', async () => {
      const stale = await staleMutations()
      for (const line of stale) process.stderr.write(`kmho: ${line}\n`)
      return { code: stale.length === 0 ? 0 : 1 }
    }),
  )
  return add(...tallies)
}

if (isMain(import.meta.url)) finish(await unit())
