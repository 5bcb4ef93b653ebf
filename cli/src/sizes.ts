// SPDX-License-Identifier: MIT
// Sizes as people write them: 256M, 4G, 65536.

import { UsageError } from './errors.js'

const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

/** Bytes, `least` or more. `option` is named in the error. */
export function parseSize(text: string, option: string, least = 0): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim())
  const value = match ? Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] as number) : Number.NaN
  if (!Number.isSafeInteger(value)) throw new UsageError({ expected: `${option} to be a size such as 256M or 4G`, found: JSON.stringify(text) })
  if (value < least) throw new UsageError({ expected: `${option} to be at least ${least / 2 ** 20}M`, found: text })
  return value
}
