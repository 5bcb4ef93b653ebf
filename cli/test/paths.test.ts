// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cacheDir, rootDir } from '../src/paths.js'

test('the cache is where the caller, the desktop or the home folder says', () => {
  assert.equal(cacheDir({ KMHO_CACHE: '/c', XDG_CACHE_HOME: '/x' }), '/c')
  assert.equal(cacheDir({ XDG_CACHE_HOME: '/x' }), '/x/kmho')
  assert.equal(cacheDir({ KMHO_CACHE: 'here' }), join(process.cwd(), 'here'))
  assert.match(cacheDir({}), /\/\.cache\/kmho$/)
})

test('the checkout is found from the compiled file', () => {
  assert.ok(existsSync(join(rootDir(), 'kernel', 'base.json')))
  assert.throws(() => rootDir('/proc'), /no kernel\/base\.json above/)
})
