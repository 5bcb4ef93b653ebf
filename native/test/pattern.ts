// SPDX-License-Identifier: MIT
//
// Contents that a later process can check without having been told them.

import { createHash } from 'node:crypto'

/** Fills whole 32-bit words from a seed (xorshift32): no two pages are alike. */
export function fillPattern(buffer: Buffer, seed: number): void {
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4)
  let x = (seed * 2654435761) >>> 0 || 1
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    words[i] = x
  }
}

/** The SHA-256 of a buffer, in hexadecimal. */
export function sha256(buffer: Buffer): string {
  return createHash('sha256').update(buffer).digest('hex')
}

/** The SHA-256 that fillPattern() gives a buffer of `length` bytes. */
export function patternSha256(length: number, seed: number): string {
  const buffer = Buffer.alloc(length)
  fillPattern(buffer, seed)
  return sha256(buffer)
}
