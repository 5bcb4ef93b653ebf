// SPDX-License-Identifier: MIT
// Asks a store questions, and sums ranges up. The host and both guest programs use it, so
// that their answers can be compared.

import { createHash } from 'node:crypto'
import type { KvStore } from './kv-store.js'

/** The answers to all questions as one SHA-256; a question without an answer counts as that. */
export function askAll(store: KvStore, keys: readonly string[]): { answers: string; answered: number } {
  const hash = createHash('sha256')
  let answered = 0
  for (const key of keys) {
    const value = store.get(key)
    hash.update(`${key}\0${value ? value.length : 'none'}\0`)
    if (!value) continue
    hash.update(value)
    answered++
  }
  return { answers: hash.digest('hex'), answered }
}

/** SHA-256 of a range, in hexadecimal. */
export function sha256(memory: Buffer): string {
  const hash = createHash('sha256')
  for (let at = 0; at < memory.length; at += STEP) hash.update(memory.subarray(at, at + STEP))
  return hash.digest('hex')
}

/** What update() takes at once is limited to 2 GiB. */
const STEP = 64 << 20
