// SPDX-License-Identifier: MIT
// Runs in the guest before the kexec: loads a file into memory that can be handed over,
// answers look-ups from it, hands it over, and stays until the kernel is gone. The file comes as
// a disk; SIZE_FILE says how many bytes of it are the file.
//
//     node before.js DISK SIZE_FILE QUESTIONS PATTERN_BYTES SEED [control]
//
// In a control run, which has to be refused, nothing is summed up.

import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressOf, alloc, handover, pageSize, query } from '../../../native/lib/index.js'
import { askAll, sha256 } from './answers.js'
import { buildIndex, KvStore, parseRecords } from './kv-store.js'
import { directoryBytes, KEYS, report, writeDirectory, type GuestReport, type RangeLayout, type Role } from './layout.js'
import { fillPattern } from './pattern.js'

/** The pattern lies in ranges of this size. */
const PATTERN_RANGE = 64 << 20

interface LoadedRange {
  role: Role
  memory: Buffer
  used: number
}

function readInto(path: string, memory: Buffer, size: number): void {
  const file = openSync(path, 'r')
  try {
    for (let at = 0; at < size; ) {
      const got = readSync(file, memory, at, Math.min(16 << 20, size - at), null)
      if (got === 0) throw new Error(`${path} ended after ${at} of ${size} bytes`)
      at += got
    }
  } finally {
    closeSync(file)
  }
}

async function main(path: string, sizePath: string, questionsPath: string, patternBytes: number, seed: number, control: boolean): Promise<void> {
  const timings: Record<string, number> = {}
  const timed = async <T>(name: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now()
    const result = await work()
    timings[name] = performance.now() - start
    return result
  }

  const size = Number(readFileSync(sizePath, 'utf8'))
  const ranges: LoadedRange[] = []
  const data = alloc(Math.max(size, 1))
  await timed('read', () => readInto(path, data, size))
  const store = await timed('index', () => {
    const records = parseRecords(data.subarray(0, size))
    const index = alloc(records.indexBytes)
    buildIndex(index, records)
    ranges.push({ role: 'data', memory: data, used: size }, { role: 'index', memory: index, used: records.indexBytes })
    return new KvStore(data.subarray(0, size), index)
  })
  await timed('fill', () => {
    for (let at = 0; at < patternBytes; at += PATTERN_RANGE) {
      const used = Math.min(PATTERN_RANGE, patternBytes - at)
      const memory = alloc(used)
      fillPattern(memory.subarray(0, used), seed, at / pageSize())
      ranges.push({ role: 'pattern', memory, used })
    }
  })
  report({ report: 'loaded', format: store.format, records: store.records })
  // The host empties the disk now, then takes this away. From here on there is nothing but the memory.
  while (existsSync(sizePath)) await sleep(20)

  const questions = JSON.parse(readFileSync(questionsPath, 'utf8')) as string[]
  const answers = await timed('lookups', () => askAll(store, questions))
  const sums = control ? [] : await timed('checksums', () => ranges.map(({ memory }) => sha256(memory)))

  const layout = ranges.map(({ role, memory, used }): RangeLayout => ({ role, base: addressOf(memory).toString(16), length: memory.length, used }))
  const directory = alloc(directoryBytes(layout.length))
  writeDirectory(directory, layout)
  const memoryOf = (role: (name: Role) => boolean): Buffer[] => ranges.filter((range) => role(range.role)).map(({ memory }) => memory)
  const done: GuestReport = {
    report: 'before',
    ok: false,
    found: 0,
    bytes: 0,
    ranges: control ? [] : ranges.map(({ role, memory }, i) => ({ role, bytes: memory.length, sha256: sums[i] as string })),
    ...answers,
    timings,
  }
  try {
    await timed('handover', () => {
      handover(KEYS.directory, directory)
      handover(KEYS.store, memoryOf((role) => role !== 'pattern'))
      if (patternBytes > 0) handover(KEYS.pattern, memoryOf((role) => role === 'pattern'))
    })
    done.ok = true
    // Of the memory: the directory says only where that lies.
    const held = query().records.filter(({ key }) => key !== KEYS.directory)
    done.found = held.length
    done.bytes = held.reduce((sum, record) => sum + record.bytes, 0)
  } catch (error) {
    const { code = 'unknown', message } = error as NodeJS.ErrnoException
    done.error = { code, message }
  }
  report(done)
  // Until the kexec this process owns the memory, as a service would.
  process.stdout.write('@kmho-ready\n')
  const keep = setInterval(() => ranges.length, 1 << 30)
  await new Promise(() => keep)
}

const [disk = '', size = '', questions = '', pattern = '0', seed = '1', mode] = process.argv.slice(2)
await main(disk, size, questions, Number(pattern), Number(seed), mode === 'control')
