#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: the kernels of both architectures, without a warning, and what kernel people run
// before they send a series.

import { add, arches, check, finish, isMain, kmho } from './lib.mjs'

export async function kernels() {
  const tallies = []
  for (const arch of arches) tallies.push(await check(`a kernel for ${arch}`, () => kmho(['kernel', 'build', '--arch', arch])))
  tallies.push(await check("checkpatch --strict, sparse, memblock's own tests", () => kmho(['kernel', 'check', '--arch', arches[0]])))
  return add(...tallies)
}

if (isMain(import.meta.url)) finish(await kernels())
