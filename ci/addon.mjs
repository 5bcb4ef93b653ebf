#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: the addon is built in the checkout, as `npm install` does it, unless nothing changed.

import { dirname, join } from 'node:path'
import { fs } from 'zx'
import { root, run } from './bootstrap.mjs'
import { check, finish, isMain } from './lib.mjs'

async function isCurrent() {
  const built = await fs.stat(join(root, 'build', 'Release', 'kmho.node')).catch(() => undefined)
  if (!built) return false
  const sources = (await fs.readdir(join(root, 'native', 'src'))).map((name) => join(root, 'native', 'src', name))
  const all = [...sources, join(root, 'binding.gyp'), join(root, 'kernel', 'overlay', 'include', 'uapi', 'linux', 'kmho.h')]
  const times = await Promise.all(all.map(async (path) => (await fs.stat(path)).mtimeMs))
  return Math.max(...times) <= built.mtimeMs
}

/** Node's headers lie beside it in most installations; node-gyp would download them all the same. */
async function headersEnv() {
  const prefix = dirname(dirname(process.execPath))
  return (await fs.pathExists(join(prefix, 'include', 'node', 'node_api.h'))) ? { npm_config_nodedir: prefix } : {}
}

export const addon = () =>
  check('the addon, built by node-gyp', async () => ((await isCurrent()) ? { code: 0 } : run('npm', ['run', '--silent', 'install'], { quiet: true, env: await headersEnv() })))

if (isMain(import.meta.url)) finish(await addon())
