#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: the tests that need no guest.

import { add, finish, isMain, nodeTests, testFiles } from './lib.mjs'

export async function unit() {
  const tallies = []
  for (const folder of ['cli', 'qemu', 'native']) tallies.push(await nodeTests(`tests of ${folder}/`, await testFiles(`dist/${folder}/test`)))
  return add(...tallies)
}

if (isMain(import.meta.url)) finish(await unit())
