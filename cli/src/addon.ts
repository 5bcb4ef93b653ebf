// SPDX-License-Identifier: MIT
// The addon's .node file for an architecture: node-gyp makes it for this machine, cmake-js
// for the other one. Kept in the cache under a hash of what it is made from.

import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { exists, hashDir, makeWhole, sha256Text, withLock } from './cache.js'
import { runCommand, type Command } from './command.js'
import type { Context } from './context.js'
import { archFacts, hostArch, type Arch } from './kernel/arch.js'
import type { Step } from './runner.js'

/** Node's headers lie beside it in most installations; node-gyp would download them all the same. */
function headersEnv(): Record<string, string> {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? { npm_config_nodedir: prefix } : {}
}

/** The command that builds it, and where it leaves the file. */
export function addonCommand(arch: Arch, root: string, host: Arch = hostArch()): { command: Command; output: string } {
  if (arch === host) {
    return { command: { file: 'npm', args: ['run', '--silent', 'install'], cwd: root, env: headersEnv() }, output: join(root, 'build', 'Release', 'kmho.node') }
  }
  // cmake-js takes --out from the current folder, whatever -d says.
  const out = join(root, 'native', 'build', `linux-${archFacts[arch].node}`)
  const toolchain = `toolchains/${archFacts[arch].triplet}.cmake`
  return {
    command: { file: join(root, 'node_modules', '.bin', 'cmake-js'), args: ['compile', '-d', 'native', '--out', out, `--CDCMAKE_TOOLCHAIN_FILE=${toolchain}`], cwd: root },
    output: join(out, 'Release', 'kmho.node'),
  }
}

async function addonKey(arch: Arch, root: string): Promise<string> {
  const text = (path: string): Promise<string> => readFile(join(root, path), 'utf8').catch(() => '')
  const parts = await Promise.all([
    hashDir(join(root, 'native', 'src')),
    hashDir(join(root, 'native', 'toolchains')),
    text('native/CMakeLists.txt'),
    text('binding.gyp'),
    text('kernel/overlay/include/uapi/linux/kmho.h'),
    text('node_modules/node-addon-api/package.json'),
  ])
  return sha256Text(arch, ...parts).slice(0, 16)
}

export interface AddonPlan {
  steps: Step[]
  path: string
}

/** The step that builds the addon of `arch`, and the file that it leaves in the cache. */
export async function planAddon(arch: Arch, context: Context): Promise<AddonPlan> {
  const dir = join(context.cache.root, 'addons')
  const path = join(dir, `${arch}-${await addonKey(arch, context.root)}.node`)
  const { command, output } = addonCommand(arch, context.root)
  const step: Step = {
    title: `addon for ${arch}`,
    command,
    ...((await exists(path)) ? { cached: path } : {}),
    run: async ({ signal, ui }) =>
      withLock(join(dir, `${arch}.lock`), signal, async () => {
        await mkdir(dir, { recursive: true })
        const { stdout, stderr } = await runCommand(command, { signal, onLine: (line) => ui.verbose(line) })
        for (const line of `${stdout}\n${stderr}`.split('\n')) if (/\bwarning:/.test(line) && !/npm warn/i.test(line)) ui.warn(line)
        await makeWhole(path, (partial) => copyFile(output, partial))
      }),
  }
  return { steps: [step], path }
}
