// SPDX-License-Identifier: MIT
// Asks a store questions, and sums ranges up. The host and both guest programs use it, so
// that their answers can be compared.

import { createHash, webcrypto } from 'node:crypto'
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

/** WebCrypto hashes on another thread, but copies; up to this much that is worth it. */
const COPY_LIMIT = 128 << 20
const STEP = 64 << 20

/** SHA-256 of a range, in hexadecimal. */
export async function sha256(memory: Buffer): Promise<string> {
  if (memory.length <= COPY_LIMIT) {
    return Buffer.from(await webcrypto.subtle.digest('SHA-256', memory as Buffer<ArrayBuffer>)).toString('hex')
  }
  const hash = createHash('sha256')
  for (let at = 0; at < memory.length; at += STEP) hash.update(memory.subarray(at, at + STEP))
  return hash.digest('hex')
}

/** The sums of several ranges, `width` at a time. */
export async function sha256All(ranges: readonly Buffer[], width = 2): Promise<string[]> {
  const sums: string[] = new Array<string>(ranges.length)
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < ranges.length; i = next++) sums[i] = await sha256(ranges[i] as Buffer)
  }
  await Promise.all(Array.from({ length: width }, worker))
  return sums
}
