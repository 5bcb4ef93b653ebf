// SPDX-License-Identifier: MIT
// Memory of a seeded pattern: any two pages differ, and whoever knows the seed can tell
// what every byte has to be. Filled at the speed of memcpy, as guests are slow.

const PAGE = 4096
const BLOCK = 1 << 20

/** xorshift32 over one block; `seed` 0 would stay 0. */
function seedBlock(seed: number): Uint32Array {
  const block = new Uint32Array(BLOCK / 4)
  let x = seed >>> 0 || 0x9e3779b9
  for (let i = 0; i < block.length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    block[i] = x >>> 0
  }
  return block
}

/** Fills `memory`; `firstPage` is the number of its first page in the whole of the pattern. */
export function fillPattern(memory: Buffer, seed: number, firstPage: number): void {
  const block = seedBlock(seed)
  const bytes = new Uint8Array(block.buffer)
  for (let at = 0; at < memory.length; at += BLOCK) {
    const length = Math.min(BLOCK, memory.length - at)
    for (let page = 0; page * PAGE < length; page++) {
      const number = firstPage + at / PAGE + page
      block[(page * PAGE) / 4] = number >>> 0
      block[(page * PAGE) / 4 + 1] = (seed ^ Math.imul(number, 0x9e3779b1)) >>> 0
    }
    memory.set(length === BLOCK ? bytes : bytes.subarray(0, length), at)
  }
}
