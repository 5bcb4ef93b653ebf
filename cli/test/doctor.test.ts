// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { examine, findProgram, installCommands, needs } from '../src/doctor.js'
import { tempDir, writeTree } from './support.js'

test('each thing that is missing is named, one by one, with its package', async (t) => {
  const dir = await writeTree(await tempDir(t), { qemu: '', 'bin/make': '#!/bin/sh\n' })
  await chmod(join(dir, 'bin/make'), 0o755)
  const checks = await examine({ host: 'x86_64', cacheRoot: join(dir, 'not/there/yet'), paths: [join(dir, 'bin')] })
  const of = (name: string): (typeof checks)[number] | undefined => checks.find((check) => check.name === name)
  assert.deepEqual(of('make'), { name: 'make', package: 'make', ok: true, found: join(dir, 'bin/make') })
  assert.deepEqual(of('qemu-system-arm'), { name: 'qemu-system-arm', package: 'qemu-system-arm', ok: false, found: 'no qemu-system-aarch64', mend: 'install qemu-system-arm (for guests of arm64)' })
  assert.equal(of('disk space')?.found.includes('not/there/yet'), true)
})

test('a machine may have memory for guests and not for those of the tests', async () => {
  const memory = async (gib: number): Promise<unknown> => {
    const { ok, mend } = (await examine({ host: 'x86_64', cacheRoot: '/', memory: gib * 2 ** 30 })).find(({ name }) => name === 'memory')!
    return [ok, mend]
  }
  assert.deepEqual(await memory(2), [false, 'a guest of the default size needs a machine of 3 GiB'])
  assert.deepEqual(await memory(4), [true, 'enough but for the tests, whose largest guest has 7 GiB'])
  assert.deepEqual(await memory(8), [true, undefined])
})

test('the cross compiler that is wanted is that of the other architecture', () => {
  const names = (host: 'x86_64' | 'arm64'): string[] => needs(host).map((need) => need.package)
  assert.ok(names('x86_64').includes('gcc-aarch64-linux-gnu') && names('x86_64').includes('libc6-dev-arm64-cross'))
  assert.ok(names('arm64').includes('gcc-x86-64-linux-gnu') && names('arm64').includes('libc6-dev-amd64-cross'))
  assert.ok(!names('arm64').includes('gcc-aarch64-linux-gnu'))
})

test('packages are installed as root, or through sudo without a question', () => {
  assert.deepEqual(installCommands(['bc'], 0).map((command) => [command.file, ...command.args]), [['apt-get', 'update'], ['apt-get', 'install', '-y', '--no-install-recommends', 'bc']])
  assert.deepEqual(installCommands(['bc'], 1000)[1]?.file, 'sudo')
})

test('a program is something that can be executed', async (t) => {
  const dir = await writeTree(await tempDir(t), { notes: 'text' })
  assert.equal(await findProgram('notes', [dir]), undefined)
})
