// SPDX-License-Identifier: MIT
// What `npm pack` makes: an operator installs it where kmho's kernel runs, and no checkout is.

import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { execa } from 'execa'
import { rootDir } from '../src/paths.js'
import { tempDir } from './support.js'

test('the package has all that its command needs', async (t) => {
  const dir = await tempDir(t)
  await execa('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', dir], { cwd: rootDir() })
  await execa('tar', ['-xf', 'kmho-0.1.0.tgz'], { cwd: dir })
  await symlink(join(rootDir(), 'node_modules'), join(dir, 'node_modules'))
  const kmho = async (...args: string[]): Promise<string> => (await execa(process.execPath, [join(dir, 'package/cli/bin/kmho.js'), ...args])).stdout
  assert.equal(await kmho('--version'), '0.1.0')
  assert.match(await kmho('test', '--list'), /talk_kexec/)
  assert.match(await kmho('kernel', 'build', '--dry-run'), /kernel tree: patches without fuzz, overlay/)
})
