// SPDX-License-Identifier: MIT
//
// The package as its users load it: with import, with require(), with both, and with its types.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import * as imported from '../lib/index.js'
import type { RecordDetail } from '../lib/index.js'
import { requiredTypes } from './require-types.cjs'

const required = createRequire(import.meta.url)('../lib/index.cjs') as Record<string, unknown>

test('import and require() give the same functions, classes and memory', () => {
  const names = Object.keys(imported)
  assert.deepEqual(names.sort(), Object.keys(required).sort())
  for (const name of names) assert.equal((imported as Record<string, unknown>)[name], required[name], name)
})

test('importing the package works where the addon cannot be loaded; using it then says why', async () => {
  const { execFileSync } = await import('node:child_process')
  const entry = new URL('../lib/index.js', import.meta.url).href
  const code = `
    const kmho = await import(${JSON.stringify(entry)})
    const module = (await import(${JSON.stringify(new URL('../lib/binding.cjs', import.meta.url).href)}))
    try { module.loadBinding([]) } catch (error) { console.log(kmho.KMHO_HANDOVER, error.code) }`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  assert.equal(out, '1 ERR_KMHO_BINDING\n')
})

/** Never called: the compiler is the test. Every wrong use is expected to be one. */
export function checkTypes(): void {
  const buffer: Buffer = imported.alloc(1, { populate: true, hugepages: false })
  const ranges: imported.Range[] = imported.handover(1n, [buffer, { base: 1, length: 2n }])
  imported.handover(1, buffer.subarray(1))
  imported.handover(1, new DataView(buffer.buffer))
  const buffers: Buffer[] = imported.takeover(1, [{ base: ranges[0]!.base, length: 1, remapAddr: 0, into: buffer }], {
    keep: true,
  })
  const detail: RecordDetail = imported.query(1)
  const state: 'live' | 'held' | 'incoming' | 'unknown' = detail.state
  const features: bigint = imported.query().features
  const opcodes: number[] = imported.query({ all: true }).opcodes
  const supported: boolean = imported.isSupported(imported.KMHO_FREEZE)
  const zero: 0 = imported.kmho(imported.KMHO_TAKEOVER, { key: 1, ranges: [{ base: 1, len: 2, remap_addr: 3n }] })
  const error = new imported.KmhoError('kmho', -2, 'sentence', 1)
  const fields: [string, number, string, number | undefined] = [error.code, error.errno, error.syscall, error.opcode]
  // @ts-expect-error a key is no string
  imported.drop('1')
  // @ts-expect-error a size is no bigint
  imported.alloc(1n)
  // @ts-expect-error a range has a length
  imported.handover(1, { base: 1 })
  // @ts-expect-error HANDOVER needs ranges
  imported.kmho(imported.KMHO_HANDOVER, { key: 1 })
  // @ts-expect-error CHOWN needs the new owner
  imported.kmho(imported.KMHO_CHOWN, { key: 1 })
  // @ts-expect-error errors cannot be changed
  error.code = 'ENOENT'
  // @ts-expect-error no key, no pieces
  imported.query().ranges
  void [buffers, state, features, opcodes, supported, zero, fields, requiredTypes]
}
