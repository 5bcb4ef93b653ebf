// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { getBinding, listCandidates, loadBinding } from '../lib/binding.cjs'

// This file runs as dist/native/test/binding.test.js.
const root = fileURLToPath(new URL('../../../', import.meta.url))

test('the addon is looked for where npm, cmake-js and a release put it, in that order', () => {
  assert.deepEqual(listCandidates('/p', 'linux', 'arm64', {}), [
    '/p/build/Release/kmho.node',
    '/p/native/build/Release/kmho.node',
    '/p/native/build/linux-arm64/Release/kmho.node',
    '/p/prebuilds/linux-arm64/kmho.node',
  ])
})

test('KMHO_BINDING names a file that comes before all others', () => {
  assert.equal(listCandidates('/p', 'linux', 'x64', { KMHO_BINDING: '/elsewhere/kmho.node' })[0], '/elsewhere/kmho.node')
})

test('without an addon the error says where it was looked for and what mends it', () => {
  assert.throws(() => loadBinding(['/nowhere/a.node', '/nowhere/b.node']), {
    code: 'ERR_KMHO_BINDING',
    message: /^kmho: expected an addon for \S+, but none is at \/nowhere\/a\.node, \/nowhere\/b\.node; run `npm rebuild kmho`[^\n]*$/,
  })
})

test('a file that does not load is named, and passed over when another one does', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'kmho-binding-'))
  try {
    const broken = path.join(folder, 'kmho.node')
    writeFileSync(broken, 'built for another machine')
    assert.throws(() => loadBinding([broken]), {
      code: 'ERR_KMHO_BINDING',
      message: /but what is there does not load \([^\n]*kmho\.node[^\n]*\); run `npm rebuild/,
    })
    assert.equal(loadBinding([broken, ...listCandidates()]).syscallNumber, getBinding().syscallNumber)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the number of the call is the one that the patches put into both system-call tables', () => {
  const folder = path.join(root, 'kernel/patches')
  const rows = readdirSync(folder)
    .filter((name) => name.endsWith('.patch'))
    .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').split('\n'))
    .map((line) => /^\+(\d+)\s+(?:common|64)\s+kmho\s/.exec(line)?.[1])
    .filter((number) => number !== undefined)
  assert.ok(rows.length >= 2, 'the patches add a row for x86_64 and one for arm64')
  for (const number of rows) assert.equal(Number(number), getBinding().syscallNumber)
})

test('node-gyp and cmake-js build the same sources with the same definitions', () => {
  const gyp = readFileSync(path.join(root, 'binding.gyp'), 'utf8')
  const cmake = readFileSync(path.join(root, 'native/CMakeLists.txt'), 'utf8')
  const list = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]).sort()
  const sources = readdirSync(path.join(root, 'native/src')).filter((name) => name.endsWith('.cc'))
  assert.deepEqual(list(gyp, /native\/src\/(\w+\.cc)/g), sources.sort())
  assert.deepEqual(list(cmake, /src\/(\w+\.cc)/g), sources.sort())
  const definitions = /\b(NAPI_VERSION=\d+|NODE_ADDON_API_\w+)/g
  assert.deepEqual(list(cmake, definitions), list(gyp, definitions))
})
