// SPDX-License-Identifier: MIT
// A small key-value store that lies in plain memory as it is: the file's bytes in one
// buffer, an open-addressing index over them in another. Nothing in it is a pointer, so it
// can be opened by whoever gets the two buffers, in whatever kernel. It knows nothing of kmho.

/** What a file's records are: Debian's stanzas, lines of text, or blocks of anything. */
export type RecordFormat = 'stanza' | 'line' | 'block'

const MAGIC = 0x6b6d686f
const VERSION = 1
/** magic, version, format, records, slots (a power of two), key bytes, two spare; as 32-bit words. */
const HEADER_WORDS = 8
/** hash, key length, key offset, value offset (low, high), value length (low, high), used. */
const SLOT_WORDS = 8
const FORMATS: readonly RecordFormat[] = ['stanza', 'line', 'block']
const BLOCK_BYTES = 4096
const HIGH = 2 ** 32

export function detectFormat(data: Buffer): RecordFormat {
  if (data.subarray(0, 9).toString('latin1') === 'Package: ') return 'stanza'
  return data.subarray(0, 65536).includes(0) ? 'block' : 'line'
}

/** One record: its key's text, and where its value lies in the data. */
interface Entry {
  key: string
  start: number
  length: number
}

function* entriesOf(data: Buffer, format: RecordFormat): Generator<Entry> {
  const size = data.length
  if (format === 'block') {
    for (let start = 0; start < size; start += BLOCK_BYTES) yield { key: `block ${start / BLOCK_BYTES}`, start, length: Math.min(BLOCK_BYTES, size - start) }
    return
  }
  if (format === 'line') {
    for (let start = 0, number = 1; start < size; number++) {
      const end = data.indexOf(10, start)
      const length = (end < 0 ? size : end) - start
      yield { key: `line ${number}`, start, length }
      start += length + 1
    }
    return
  }
  for (let start = 0; start < size; ) {
    const end = data.indexOf('\n\n', start, 'latin1')
    const length = (end < 0 ? size : end + 1) - start
    const firstLine = data.indexOf(10, start)
    const key = data.toString('latin1', start + 'Package: '.length, firstLine < 0 ? start + length : Math.min(firstLine, start + length))
    if (key) yield { key, start, length }
    start += length + 1
  }
}

function hashKey(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** The records of a file, found once, before memory for the index is asked for. */
export interface ParsedRecords {
  format: RecordFormat
  entries: Entry[]
  /** How large a buffer buildIndex() needs. */
  indexBytes: number
}

export function parseRecords(data: Buffer): ParsedRecords {
  const format = detectFormat(data)
  const entries = [...entriesOf(data, format)]
  const keyBytes = entries.reduce((sum, entry) => sum + entry.key.length, 0)
  return { format, entries, indexBytes: (HEADER_WORDS + slotsFor(entries.length) * SLOT_WORDS) * 4 + keyBytes }
}

function slotsFor(records: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, records * 1.5)))
}

/** Fills `index`, which has to be zero and at least `indexBytes` long. Of records with one key the last counts. */
export function buildIndex(index: Buffer, records: ParsedRecords): void {
  const slots = slotsFor(records.entries.length)
  const words = wordsOf(index)
  const keysAt = (HEADER_WORDS + slots * SLOT_WORDS) * 4
  let keyEnd = keysAt
  let count = 0
  for (const { key, start, length } of records.entries) {
    const hash = hashKey(key)
    const at = findSlot(index, words, slots, hash, key)
    if (words[at + 7] === 0) {
      words[at] = hash
      words[at + 1] = key.length
      words[at + 2] = keyEnd - keysAt
      words[at + 7] = 1
      index.write(key, keyEnd, 'latin1')
      keyEnd += key.length
      count++
    }
    words[at + 3] = start % HIGH
    words[at + 4] = Math.floor(start / HIGH)
    words[at + 5] = length % HIGH
    words[at + 6] = Math.floor(length / HIGH)
  }
  words.set([MAGIC, VERSION, FORMATS.indexOf(records.format), count, slots, keyEnd - keysAt], 0)
}

function wordsOf(index: Buffer): Uint32Array {
  if (index.byteOffset % 4 !== 0) throw new RangeError('the index of a store has to be aligned to 4 bytes')
  return new Uint32Array(index.buffer, index.byteOffset, Math.floor(index.length / 4))
}

/** The slot of a key, or the empty one where it would be; as an offset in words. */
function findSlot(index: Buffer, words: Uint32Array, slots: number, hash: number, key: string): number {
  const keysAt = (HEADER_WORDS + slots * SLOT_WORDS) * 4
  for (let slot = hash & (slots - 1), tries = 0; tries <= slots; slot = (slot + 1) & (slots - 1), tries++) {
    const at = HEADER_WORDS + slot * SLOT_WORDS
    if (words[at + 7] === 0) return at
    if (words[at] !== hash || words[at + 1] !== key.length) continue
    const from = keysAt + (words[at + 2] as number)
    if (index.toString('latin1', from, from + key.length) === key) return at
  }
  throw new RangeError('the index of the store has no empty slot')
}

/** The store, opened on its two buffers. */
export class KvStore {
  readonly format: RecordFormat
  readonly records: number
  readonly #data: Buffer
  readonly #index: Buffer
  readonly #words: Uint32Array
  readonly #slots: number

  constructor(data: Buffer, index: Buffer) {
    this.#data = data
    this.#index = index
    this.#words = wordsOf(index)
    const [magic, version, format = -1, records = 0, slots = 0] = this.#words
    const name = FORMATS[format]
    if (magic !== MAGIC || version !== VERSION || !name || slots < 2) throw new RangeError('this memory holds no index of a store')
    this.format = name
    this.records = records
    this.#slots = slots
  }

  /** The value of a key, in place; undefined if there is none. */
  get(key: string): Buffer | undefined {
    const at = findSlot(this.#index, this.#words, this.#slots, hashKey(key), key)
    if (this.#words[at + 7] === 0) return undefined
    const word = (offset: number): number => this.#words[at + offset] as number
    const start = word(3) + word(4) * HIGH
    return this.#data.subarray(start, start + word(5) + word(6) * HIGH)
  }

  /** Up to `count` keys, spread evenly over the index. */
  sampleKeys(count: number): string[] {
    const keysAt = (HEADER_WORDS + this.#slots * SLOT_WORDS) * 4
    const keys: string[] = []
    const step = Math.max(1, Math.floor(this.#slots / (count * 2)))
    for (let slot = 0; slot < this.#slots && keys.length < count; slot += step) {
      const at = HEADER_WORDS + slot * SLOT_WORDS
      if (this.#words[at + 7] === 0) continue
      const from = keysAt + (this.#words[at + 2] as number)
      keys.push(this.#index.toString('latin1', from, from + (this.#words[at + 1] as number)))
    }
    return keys
  }
}
