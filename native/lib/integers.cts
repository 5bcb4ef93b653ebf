// SPDX-License-Identifier: MIT
//
// Numbers on their way between JavaScript and the kernel: keys and addresses have 64 bits, lengths of memory that
// a process can have fit a JavaScript number.

import { argumentError } from './errors.cjs'

/** A key or an address: any 64-bit value as a bigint, or a number up to Number.MAX_SAFE_INTEGER. */
export type Integer = bigint | number

const MAX_U64 = 0xffff_ffff_ffff_ffffn

/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
export function toU64(value: unknown, name: string): bigint {
  if (typeof value === 'bigint') {
    if (value < 0n || value > MAX_U64) throw argumentError('ERR_OUT_OF_RANGE', `${name} must fit 64 bits, unsigned`, value)
    return value
  }
  if (typeof value !== 'number')
    throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be a bigint or a number`, value)
  if (!Number.isSafeInteger(value) || value < 0)
    throw argumentError(
      'ERR_OUT_OF_RANGE',
      `${name} must be an integer from 0 to 2^53 - 1; use a bigint for larger ones`,
      value,
    )
  return BigInt(value)
}

/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
export function toU32(value: unknown, name: string): number {
  if (typeof value !== 'number') throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be a number`, value)
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
    throw argumentError('ERR_OUT_OF_RANGE', `${name} must be an integer from 0 to 2^32 - 1`, value)
  return value
}
