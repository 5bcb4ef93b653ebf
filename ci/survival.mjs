#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: the main job on both architectures; smaller than what a person is shown, as the promise
// is the same and emulated machines are slow.

import { add, arches, check, finish, isMain, kmho } from './lib.mjs'

export async function survival() {
  const tallies = []
  for (const arch of arches) tallies.push(await check(`a file outlives the kernel, ${arch}`, () => kmho(['verify', '--arch', arch, '--size', '32M'])))
  return add(...tallies)
}

if (isMain(import.meta.url)) finish(await survival())
