#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: KUnit, the kernel's selftests and the addon's tests, in guests of both architectures.

import { add, arches, finish, heading, isMain, kmho, readCountsOfGuests, tally } from './lib.mjs'

export async function guests() {
  const tallies = []
  for (const arch of arches) {
    heading(`tests in guests of ${arch}`)
    const { code, stdout } = await kmho(['test', '--arch', arch], { capture: true })
    tallies.push(tally(code, readCountsOfGuests(stdout)))
  }
  return add(...tallies)
}

if (isMain(import.meta.url)) finish(await guests())
