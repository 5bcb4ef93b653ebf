// SPDX-License-Identifier: MIT
//
// kmho(2) as it is: one function, the operations' structures as objects with the field names of <linux/kmho.h>. It
// checks types and nothing else, every judgement is the kernel's. It hands out addresses, not memory: whoever wants
// Buffers uses records.cts.

import { getBinding, type RawRangeInfo, type RawRecordInfo } from './binding.cjs'
import {
  KMHO_CHOWN,
  KMHO_DROP,
  KMHO_FREEZE,
  KMHO_HANDOVER,
  KMHO_QUERY,
  KMHO_TAKEOVER,
  KMHO_TAKEOVER_KEEP,
  KMHO_UID_SELF,
} from './constants.cjs'
import { argumentError, checkResult } from './errors.cjs'
import { type Integer, toU32, toU64 } from './integers.cjs'

/** struct kmho_op_handover; addresses and lengths in bytes. `num_ranges` follows from `ranges`. */
export interface HandoverOp {
  key: Integer
  ranges: readonly { base: Integer; length: Integer }[]
}

/** struct kmho_range_takeover; `len` and `length` are one field under two names. */
export interface TakeoverOpRange {
  base: Integer
  len?: Integer
  length?: Integer
  /** In: where to map the range, 0 or absent lets the kernel choose. Out: where it was mapped. */
  remap_addr?: Integer
}

/** struct kmho_op_takeover, for KMHO_TAKEOVER and KMHO_TAKEOVER_KEEP. */
export interface TakeoverOp {
  key: Integer
  ranges: readonly TakeoverOpRange[]
}

/** struct kmho_op_drop, for KMHO_DROP and KMHO_FREEZE. */
export interface DropOp {
  key: Integer
  /** Whose record; KMHO_UID_SELF when absent. */
  uid?: number
  flags?: number
}

/** struct kmho_op_chown. */
export interface ChownOp {
  key: Integer
  /** Whose record it is; KMHO_UID_SELF when absent. */
  uid?: number
  new_uid: number
  flags?: number
}

/** struct kmho_op_query. The fields below `nr_ranges` are written by the call. */
export interface QueryOp {
  /** KMHO_QUERY_KEY, KMHO_QUERY_ALL */
  flags?: number
  key?: Integer
  uid?: number
  /** In: room for records. Out: how many there are. */
  nr_records?: Integer
  /** In: room for ranges. Out: how many there are. */
  nr_ranges?: Integer
  abi?: number
  features?: bigint
  max_ranges?: bigint
  records?: RawRecordInfo[]
  ranges?: RawRangeInfo[]
}

/** The structure that belongs to an opcode; any object for one that is not known. */
export type OpOf<Opcode extends number> = Opcode extends typeof KMHO_HANDOVER
  ? HandoverOp
  : Opcode extends typeof KMHO_TAKEOVER | typeof KMHO_TAKEOVER_KEEP
    ? TakeoverOp
    : Opcode extends typeof KMHO_DROP | typeof KMHO_FREEZE
      ? DropOp
      : Opcode extends typeof KMHO_CHOWN
        ? ChownOp
        : Opcode extends typeof KMHO_QUERY
          ? QueryOp
          : object

/**
 * kmho(2), the system call itself.
 *
 * Memory that a raw KMHO_TAKEOVER maps belongs to nobody in JavaScript: it stays mapped until the process ends.
 *
 * @param opcode - a KMHO_* operation. One that the addon does not know is passed on with a zeroed structure.
 * @param op - the operation's structure; what the kernel writes back is set in it. `null` passes a null pointer.
 * @returns 0
 * @throws KmhoError with the errno of kmho(2), CONTRACT section 5; TypeError or RangeError for what is no integer
 */
export function kmho<Opcode extends number>(opcode: Opcode, op: OpOf<Opcode> | null): 0 {
  const binding = getBinding()
  const operation: number = toU32(opcode, 'opcode')
  if (op === null) {
    checkResult(binding.bare(operation, true), operation)
    return 0
  }
  if (typeof op !== 'object') throw argumentError('ERR_INVALID_ARG_TYPE', 'op must be an object or null', op)
  switch (operation) {
    case KMHO_HANDOVER:
      runHandover(op as HandoverOp)
      return 0
    case KMHO_TAKEOVER:
    case KMHO_TAKEOVER_KEEP:
      runTakeover(operation, op as TakeoverOp)
      return 0
    case KMHO_DROP:
    case KMHO_FREEZE: {
      const { key, uid, flags } = readOwner(op as DropOp)
      checkResult(binding.manage(operation, flags, key, uid), operation, key)
      if (operation === KMHO_DROP) binding.reclaim()
      return 0
    }
    case KMHO_CHOWN: {
      const { key, uid, flags } = readOwner(op as ChownOp)
      checkResult(binding.chown(flags, key, uid, toU32((op as ChownOp).new_uid, 'op.new_uid')), operation, key)
      return 0
    }
    case KMHO_QUERY:
      runQuery(op as QueryOp)
      return 0
    default:
      checkResult(binding.bare(operation, false), operation)
      return 0
  }
}

function readOwner(op: DropOp | ChownOp): { key: bigint; uid: number; flags: number } {
  return {
    key: toU64(op.key, 'op.key'),
    uid: toU32(op.uid ?? KMHO_UID_SELF, 'op.uid'),
    flags: toU32(op.flags ?? 0, 'op.flags'),
  }
}

function checkRanges(ranges: unknown): void {
  if (!Array.isArray(ranges)) throw argumentError('ERR_INVALID_ARG_TYPE', 'op.ranges must be an array', ranges)
}

function runHandover(op: HandoverOp): void {
  const key = toU64(op.key, 'op.key')
  checkRanges(op.ranges)
  const rows = new BigUint64Array(op.ranges.length * 2)
  op.ranges.forEach((range, i) => {
    rows[i * 2] = toU64(range.base, `op.ranges[${i}].base`)
    rows[i * 2 + 1] = toU64(range.length, `op.ranges[${i}].length`)
  })
  checkResult(getBinding().handover(key, rows), KMHO_HANDOVER, key)
}

function runTakeover(opcode: number, op: TakeoverOp): void {
  const key = toU64(op.key, 'op.key')
  checkRanges(op.ranges)
  const rows = new BigUint64Array(op.ranges.length * 3)
  op.ranges.forEach((range, i) => {
    rows[i * 3] = toU64(range.base, `op.ranges[${i}].base`)
    rows[i * 3 + 1] = toU64(range.len ?? range.length, `op.ranges[${i}].len`)
    rows[i * 3 + 2] = toU64(range.remap_addr ?? 0n, `op.ranges[${i}].remap_addr`)
  })
  const result = getBinding().takeover(opcode === KMHO_TAKEOVER_KEEP, key, rows)
  checkResult(result, opcode, key)
  op.ranges.forEach((range, i) => {
    range.remap_addr = rows[i * 3 + 2]!
  })
}

function runQuery(op: QueryOp): void {
  const key = toU64(op.key ?? 0n, 'op.key')
  const answer = getBinding().query(
    toU32(op.flags ?? 0, 'op.flags'),
    key,
    toU32(op.uid ?? KMHO_UID_SELF, 'op.uid'),
    toU32(Number(op.nr_records ?? 0), 'op.nr_records'),
    toU32(Number(op.nr_ranges ?? 0), 'op.nr_ranges'),
  )
  if (typeof answer === 'number') checkResult(answer, KMHO_QUERY, op.key === undefined ? undefined : key)
  else Object.assign(op, answer)
}
