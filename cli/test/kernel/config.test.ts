// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configCommands, fragmentNames, lostSymbols, parseFlavor, readFragments, requireSymbols } from '../../src/kernel/config.js'
import { tempDir, writeTree } from '../support.js'

test('a symbol that did not survive is named, with what became of it', () => {
  const fragments = ['CONFIG_SMP=y\nCONFIG_GONE=y\n# CONFIG_MODULES is not set\nCONFIG_NR_CPUS=8\n', 'CONFIG_NR_CPUS=4\n']
  const config = 'CONFIG_SMP=y\nCONFIG_MODULES=y\nCONFIG_NR_CPUS=4\n'
  assert.deepEqual(lostSymbols(fragments, config), [
    { name: 'CONFIG_GONE', wanted: 'y', found: 'n' },
    { name: 'CONFIG_MODULES', wanted: 'n', found: 'y' },
  ])
  assert.throws(() => requireSymbols(fragments, config), /found 2 that did not: CONFIG_GONE \(wanted y, is n\), CONFIG_MODULES \(wanted n, is y\)/)
})

test('a later fragment has the last word', () => {
  assert.deepEqual(lostSymbols(['CONFIG_A=y\n', '# CONFIG_A is not set\n'], '# CONFIG_A is not set\n'), [])
  requireSymbols(['CONFIG_A=y\n'], 'CONFIG_A=y\n')
})

test('the fragments of a flavor, from the general to the particular', () => {
  assert.deepEqual(fragmentNames('arm64', 'debug'), ['base.config', 'arm64.config', 'debug.config'])
})

test("merging is the tree's own script's work, over tinyconfig", () => {
  const commands = configCommands({ file: 'make', args: ['-C', '/t', 'O=/o'] }, '/t', '/o', ['/c/base.config'])
  assert.deepEqual(commands, [
    { file: 'make', args: ['-C', '/t', 'O=/o', 'tinyconfig'] },
    { file: '/t/scripts/kconfig/merge_config.sh', args: ['-m', '-O', '/o', '/o/.config', '/c/base.config'], cwd: '/o' },
    { file: 'make', args: ['-C', '/t', 'O=/o', 'olddefconfig'] },
  ])
})

test('an unknown flavor and a missing fragment are one line each', async (t) => {
  assert.throws(() => parseFlavor('fast'), /expected --flavor to be one of default, stock, debug, found fast/)
  const dir = await writeTree(await tempDir(t), { 'base.config': '' })
  await assert.rejects(readFragments(dir, 'x86_64', 'default'), /expected the fragment .*x86_64\.config, found no such file/)
})
