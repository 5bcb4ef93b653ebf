// SPDX-License-Identifier: MIT
// What an operator is shown of the records that this kernel holds: keys and states in words, rows
// of tables, objects for --json, and what the kernel refuses as one line. It asks the kernel nothing.

import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { KmhoError, pageSize, type RecordDetail, type RecordInfo } from '../../native/lib/index.js'
import { MachineryError, UsageError, VerificationError } from './errors.js'
import { bytes } from './ui/ui.js'

const MAX_KEY = 2n ** 64n - 1n

/** A key as people write it: decimal, or hexadecimal after 0x. */
export function parseKey(text: string): bigint {
  const key = /^(\d+|0x[\da-f]+)$/i.test(text) ? BigInt(text) : undefined
  if (key === undefined || key > MAX_KEY) throw new UsageError({ expected: 'a key from 0 to 2^64-1, such as 42 or 0x2a', found: JSON.stringify(text) })
  return key
}

/** A key in both forms, as tables and messages print it. */
export function formatKey(key: bigint): string {
  return `0x${key.toString(16)} (${key})`
}

/**
 * live: its process has it and writes to it. frozen: a process has it, but the contents are fixed.
 * orphaned: nobody has it, in this kernel. incoming: it came with the last kexec.
 */
export type OwnerState = 'live' | 'frozen' | 'orphaned' | 'incoming' | 'unknown'

export function stateOf({ state, pid }: Pick<RecordInfo, 'state' | 'pid'>): OwnerState {
  if (state !== 'held') return state
  return pid === 0 ? 'orphaned' : 'frozen'
}

const STATE_WORDS: Record<OwnerState, string> = { live: 'live', frozen: 'frozen', orphaned: 'orphaned', incoming: 'from the last kernel', unknown: 'unknown' }

/** The name of a process; undefined for one that has ended, or that may not be seen. */
export function commOf(pid: number): string | undefined {
  try {
    return pid === 0 ? undefined : readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return undefined
  }
}

type FindComm = typeof commOf

function formatOwner(record: RecordInfo, findComm: FindComm): string {
  return record.pid === 0 ? '-' : `${record.pid} ${findComm(record.pid) ?? ''}`.trimEnd()
}

/** The table of `kmho ls`, its head first. */
export function listRows(records: readonly RecordInfo[], findComm: FindComm = commOf): string[][] {
  const body = records.map((record) => [
    formatKey(record.key),
    String(record.uid),
    STATE_WORDS[stateOf(record)],
    formatOwner(record, findComm),
    String(record.nrRanges),
    bytes(record.bytes),
    String(record.present / pageSize()),
    String(record.migrated / pageSize()),
  ])
  return [['key', 'uid', 'state', 'process', 'ranges', 'length', 'pages', 'moved'], ...body]
}

/** The two tables of `kmho show`: the record, and its ranges. */
export function showRows(record: RecordDetail, findComm: FindComm = commOf): { record: string[][]; ranges: string[][] } {
  const pages = (count: number): string => `${count / pageSize()} pages`
  return {
    record: [
      ['key', formatKey(record.key)],
      ['owner', `uid ${record.uid}`],
      ['state', STATE_WORDS[stateOf(record)]],
      ['process', formatOwner(record, findComm)],
      ['length', bytes(record.bytes)],
      ['present', `${bytes(record.present)}, ${pages(record.present)}`],
      ['contiguous runs', String(record.nrExtents)],
      ['moved out of scratch', pages(record.migrated)],
      ['2 MiB blocks changed since', String(record.changed)],
      ['metadata', bytes(record.metadata)],
    ],
    ranges: [
      ['base', 'end', 'length', 'protection', 'kind'],
      ...record.ranges.map(({ base, length, prot, kind }) => [`0x${base.toString(16)}`, `0x${(base + BigInt(length)).toString(16)}`, bytes(length), formatProt(prot), kind]),
    ],
  }
}

function formatProt(prot: number): string {
  return ['r', 'w', 'x'].map((letter, bit) => ((prot >> bit) & 1 ? letter : '-')).join('')
}

/** A record for --json. Keys and addresses are strings: they do not fit a JSON number. */
export function recordObject(record: RecordInfo | RecordDetail, findComm: FindComm = commOf): object {
  const { key, pid, ...rest } = record
  const object = { key: String(key), hex: `0x${key.toString(16)}`, ...rest, state: stateOf(record), pages: record.present / pageSize(), pid, comm: findComm(pid) ?? null }
  if (!('ranges' in record)) return object
  return { ...object, ranges: record.ranges.map(({ base, ...range }) => ({ base: `0x${base.toString(16)}`, ...range })) }
}

/** Which record was asked for. */
export interface Asked {
  key?: bigint
  /** The owner, where it is not the caller. */
  uid?: number
}

/** What the kernel refused, in words for an operator; an error that is not the kernel's stays as it is. */
export function explainRefusal(error: unknown, asked: Asked): unknown {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_KMHO_BINDING') return new MachineryError(error.message.replace(/^kmho: /, ''), { cause: error })
  if (!(error instanceof KmhoError)) return error
  const options = { cause: error }
  const whose = asked.uid === undefined ? 'of your own' : `of uid ${asked.uid}`
  switch (error.code) {
    case 'ENOSYS':
      return new MachineryError({ expected: 'a kernel with the kmho system call', found: `${release()}, which has none (ENOSYS)`, mend: 'boot one that has it, or try it in a guest: `kmho shell`' }, options)
    case 'EOPNOTSUPP':
      return new MachineryError({ expected: 'kexec handover to be on', found: 'it is off (EOPNOTSUPP)', mend: 'boot with kho=on on the command line of the kernel' }, options)
    case 'ENOENT':
      return new VerificationError({ expected: `a record ${whose} with key ${formatKey(asked.key ?? 0n)}`, found: 'none (ENOENT)', mend: '`kmho ls` lists what there is, `kmho ls --all` that of other users as well' }, options)
    case 'EPERM':
      return new VerificationError({ expected: 'CAP_SYS_ADMIN, which the records of other users need', found: `uid ${process.geteuid?.() ?? '?'} without it (EPERM)`, mend: 'ask as root' }, options)
    default:
      return new MachineryError(error.message, options)
  }
}
