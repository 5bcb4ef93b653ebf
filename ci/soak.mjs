#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// `npm run test:soak`: what takes hours. The tests under a kernel that checks itself, many random
// programs, a million random calls, from one release of Linux to another, the kernel's own tests, a
// hundred kexecs, 1 TiB of address space.
// `--arch` and `--only STEP` choose.

import { bootstrap } from './bootstrap.mjs'

const SEEDS = 25
const CALLS = 1_000_000
const KEXECS = 100
const MIB = 1024

async function soak() {
  const ready = await bootstrap()
  if (ready !== 0) return ready
  const { add, arches, finish, heading, kmho, options, readCounts, readCountsOfGuests, tally, understands } = await import('./lib.mjs')
  if (!understands(['arch', 'only'])) return 2
  const test = async (title, args) => {
    heading(title)
    const { code, stdout } = await kmho(['test', ...args], { capture: true })
    return tally(code, readCountsOfGuests(stdout))
  }
  const doctor = await kmho(['--quiet', 'doctor', '--fix'])
  if (doctor.code !== 0) return doctor.code
  const steps = {
    debug: (arch) => test(`all tests under the debug flavor, ${arch}`, ['--arch', arch, '--flavor', 'debug']),
    property: async (arch) => {
      const tallies = []
      for (let seed = 1; seed <= SEEDS; seed++) tallies.push(await test(`random programs, seed ${seed} of ${SEEDS}, ${arch}`, ['--arch', arch, '--seed', String(seed), 'property', 'property-kexec']))
      return add(...tallies)
    },
    fuzz: (arch) => test(`${CALLS} random calls, ${arch}`, ['--arch', arch, '--calls', String(CALLS), 'fuzz']),
    // As when a machine is updated, and when that is taken back. Fragments are slow in a 7.2 that is booted by a kexec.
    releases: async (arch) =>
      add(
        await test(`Linux 7.2, and by a kexec 7.3: all tests, ${arch}`, ['--arch', arch, '--from', '7.2']),
        await test(`Linux 7.3, and by a kexec 7.2: what survives, ${arch}`, ['--arch', arch, '--to', '7.2', 'talk_kexec', 'anon_kexec', 'live_kexec', 'chain_kexec', 'damage_kexec', 'format_kexec']),
      ),
    upstream: async (arch) => {
      heading(`the kernel's own selftests, without our patches and with them, ${arch}`)
      const { code, stdout } = await kmho(['kernel', 'selftest', '--arch', arch], { capture: true })
      return tally(code, readCounts(stdout))
    },
    reservation: (arch) => test(`1 TiB reserved, ${MIB} MiB touched, ${arch}`, ['--arch', arch, '--mib', String(MIB), 'many']),
    chain: (arch) => test(`${KEXECS} kexecs with ${MIB} MiB, ${arch}`, ['--arch', arch, '--kexecs', String(KEXECS), '--mib', String(MIB), 'chain_kexec']),
  }
  const chosen = options.only ? [options.only].flat() : Object.keys(steps)
  const unknown = chosen.find((name) => !steps[name])
  if (unknown !== undefined) {
    process.stderr.write(`kmho: expected --only to name one of ${Object.keys(steps).join(', ')}, found ${unknown}\n`)
    return 2
  }
  let total = tally(0)
  for (const arch of arches) for (const name of chosen) total = add(total, await steps[name](arch))
  finish(total)
  return process.exitCode
}

process.exitCode = await soak()
