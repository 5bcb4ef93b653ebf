// SPDX-License-Identifier: MIT
// `kmho ls`, `kmho show KEY` and `kmho drop KEY`: what the kernel that runs here holds, for its
// operator. No guest and no build; these ask the kernel through the addon.

import { drop as dropRecord, query, type RecordDetail } from '../../../native/lib/index.js'
import type { Context } from '../context.js'
import { ExitCode } from '../errors.js'
import { commOf, explainRefusal, formatKey, listRows, parseKey, recordObject, showRows, stateOf, type Asked } from '../records.js'
import { bytes } from '../ui/ui.js'

export interface ListOptions {
  all?: boolean
  uid?: number
}

export interface RecordOptions {
  uid?: number
}

/** Asks the kernel; what it refuses becomes one line. */
function ask<T>(asked: Asked, question: () => T): T {
  try {
    return question()
  } catch (error) {
    throw explainRefusal(error, asked)
  }
}

function asks(key: string, { uid }: RecordOptions): Asked & { key: bigint } {
  return { key: parseKey(key), ...(uid === undefined ? {} : { uid }) }
}

export async function ls(options: ListOptions, context: Context): Promise<ExitCode> {
  const { ui } = context
  const everybody = options.all === true || options.uid !== undefined
  const { abi, maxRanges, records } = ask({}, () => query({ all: everybody }))
  const shown = records
    .filter(({ uid }) => options.uid === undefined || uid === options.uid)
    .sort((a, b) => a.uid - b.uid || (a.key < b.key ? -1 : 1))
  if (shown.length > 0) ui.table(listRows(shown))
  else ui.info(everybody ? 'no records' : 'no records of your own; `kmho ls --all` shows those of other users as well')
  ui.result({ ok: true, abi, maxRanges, records: shown.map((record) => recordObject(record)) })
  return ExitCode.ok
}

export async function show(key: string, options: RecordOptions, context: Context): Promise<ExitCode> {
  const { ui } = context
  const asked = asks(key, options)
  const record = ask(asked, () => query(asked))
  const rows = showRows(record)
  ui.table(rows.record)
  ui.table(rows.ranges)
  ui.result({ ok: true, record: recordObject(record) })
  return ExitCode.ok
}

export async function drop(key: string, options: RecordOptions, context: Context): Promise<ExitCode> {
  const { ui } = context
  const asked = asks(key, options)
  const record = ask(asked, () => query(asked))
  const { dryRun = false } = context.options
  if (!dryRun) ask(asked, () => dropRecord(asked.key, asked))
  ui.print(`${dryRun ? 'would drop' : 'dropped'} key ${formatKey(record.key)} of uid ${record.uid}: ${bytes(record.present)} of memory; ${fateOf(record)}`)
  ui.result({ ok: true, dropped: !dryRun, record: recordObject(record) })
  return ExitCode.ok
}

/** What becomes of the memory of a record that is dropped. */
function fateOf(record: RecordDetail): string {
  // A process of another PID namespace has no number here.
  if (record.pid === 0 && stateOf(record) !== 'live') return 'nobody has it, so it is freed'
  return `process ${record.pid} ${commOf(record.pid) ?? ''}`.trimEnd() + ' keeps it'
}
