// SPDX-License-Identifier: MIT
//
// The only place that finds and loads the .node file, and the only one that knows its functions' types. Loading waits
// until something is called, so that importing the package never fails; what the functions do is described in src/.

import { existsSync } from 'node:fs'
import path from 'node:path'

/** Fields of kmho_record_info as the addon gives them. */
export interface RawRecordInfo {
  key: bigint
  uid: number
  state: number
  bytes: bigint
  present: bigint
  metadata: bigint
  nr_ranges: bigint
  nr_extents: bigint
  migrated: bigint
  changed: bigint
  pid: number
}

/** Fields of kmho_range_info as the addon gives them. */
export interface RawRangeInfo {
  base: bigint
  length: bigint
  prot: number
  kind: number
}

/** Out fields of kmho_op_query as the addon gives them. */
export interface RawQueryAnswer {
  abi: number
  features: bigint
  max_ranges: bigint
  nr_records: bigint
  nr_ranges: bigint
  records: RawRecordInfo[]
  ranges: RawRangeInfo[]
}

/** What a call would have handed to the kernel, pointers zeroed; for tests. */
export interface EncodedCall {
  opcode: number
  op?: Buffer
  ranges?: Buffer
}

/** The compiled addon. A number returned is 0 or a negative errno. */
export interface Binding {
  readonly constants: Readonly<Record<string, number>>
  readonly syscallNumber: number
  readonly pageSize: number

  handover(key: bigint, rows: BigUint64Array): number
  takeover(keep: boolean, key: bigint, rows: BigUint64Array): number
  manage(opcode: number, flags: number, key: bigint, uid: number): number
  chown(flags: number, key: bigint, uid: number, newUid: number): number
  query(
    flags: number,
    key: bigint,
    uid: number,
    roomForRecords: number,
    roomForRanges: number,
  ): number | RawQueryAnswer
  bare(opcode: number, isNull: boolean): number
  encode(operation: string, ...args: unknown[]): EncodedCall

  map(length: number, align: number, offset: number): ArrayBuffer | number | undefined
  adopt(address: bigint, length: number): ArrayBuffer | undefined
  release(buffer: ArrayBuffer): number
  detach(buffer: ArrayBuffer): number
  reclaim(): number
  advise(address: bigint, length: number, hugepages: boolean, populate: boolean): number
  protect(address: bigint, length: number, prot: number): number
  addressOf(view: ArrayBuffer | NodeJS.ArrayBufferView): bigint
  find(address: bigint): { base: bigint; length: number } | undefined
  isMapped(address: bigint, length: number): boolean
  stats(): { mappings: number; orphans: number; bytes: number }
}

/** This file is dist/native/lib/binding.cjs; the .node files lie where npm and cmake-js put them, and nowhere in dist. */
const packageRoot = path.join(__dirname, '..', '..', '..')

/**
 * The paths at which the addon is looked for, in order. `KMHO_BINDING` names one before all others.
 *
 * @param root - the package's folder, that of package.json
 */
export function listCandidates(
  root: string = packageRoot,
  platform: string = process.platform,
  arch: string = process.arch,
  env: NodeJS.ProcessEnv = process.env,
): string[] {
  const target = `${platform}-${arch}`
  const candidates = [
    path.join(root, 'build', 'Release', 'kmho.node'),
    path.join(root, 'native', 'build', 'Release', 'kmho.node'),
    path.join(root, 'native', 'build', target, 'Release', 'kmho.node'),
    path.join(root, 'prebuilds', target, 'kmho.node'),
  ]
  if (env['KMHO_BINDING']) candidates.unshift(path.resolve(env['KMHO_BINDING']))
  return candidates
}

/**
 * Loads the first addon that is there and fits this Node and machine.
 *
 * @throws Error with code ERR_KMHO_BINDING: none did; the message says where it was looked for and what mends it.
 */
export function loadBinding(candidates: readonly string[] = listCandidates()): Binding {
  const found: string[] = []
  for (const candidate of candidates) {
    if (!existsSync(candidate)) continue
    try {
      return require(candidate) as Binding
    } catch (error) {
      // Built for another architecture, say, by a cross-build into the same folder: the next one may do.
      found.push(String((error as Error).message).split('\n')[0] ?? candidate)
    }
  }
  const expected = `an addon for ${process.platform}-${process.arch}`
  const seen =
    found.length > 0
      ? `what is there does not load (${found.join('; ')})`
      : `none is at ${candidates.join(', ')}`
  const remedy =
    process.platform === 'linux'
      ? 'run `npm rebuild kmho` (in a checkout: `npm install`), which needs python3, make and g++'
      : 'kmho is a system call of Linux: run this on Linux, or in a guest with `kmho shell`'
  throw Object.assign(new Error(`kmho: expected ${expected}, but ${seen}; ${remedy}`), { code: 'ERR_KMHO_BINDING' })
}

let loaded: Binding | undefined

/** The addon, loaded once. Errors as loadBinding(). */
export function getBinding(): Binding {
  loaded ??= loadBinding()
  return loaded
}
