// SPDX-License-Identifier: MIT
// `kmho doctor [--fix]`: names each thing that is missing, one by one, and mends what it can.

import colors from '../ui/colors.js'
import type { Context } from '../context.js'
import { examine, findProgram, hasApt, installCommands, type Check } from '../doctor.js'
import { ExitCode, MachineryError } from '../errors.js'
import { hostArch } from '../kernel/arch.js'
import type { Step } from '../runner.js'

export interface DoctorCommandOptions {
  fix?: boolean
}

export async function doctor(options: DoctorCommandOptions, context: Context): Promise<ExitCode> {
  const look = (): Promise<Check[]> => examine({ host: hostArch(), cacheRoot: context.cache.root })
  let checks = await look()
  const missing = checks.flatMap((check) => (!check.ok && check.package ? [check.package] : []))
  if (options.fix && missing.length > 0) {
    const uid = process.getuid?.() ?? 0
    const commands = installCommands(missing, uid)
    if (!(await hasApt())) {
      throw new MachineryError({ expected: `apt-get, to install ${missing.join(' ')}`, found: 'no Debian machine', mend: 'install what corresponds to them with your own package manager' })
    }
    if (uid !== 0 && !(await findProgram('sudo'))) {
      throw new MachineryError({ expected: 'to be root, to install packages', found: `uid ${uid} and no sudo`, mend: `run as root: apt-get install -y ${missing.join(' ')}` })
    }
    const steps = commands.map((command): Step => ({ title: command.args.includes('install') ? `install ${missing.join(' ')}` : "bring apt's lists up to date", command }))
    if (!(await context.run(steps))) return ExitCode.ok
    checks = await look()
  }
  const bad = checks.filter((check) => !check.ok)
  if (!context.options.quiet || bad.length > 0) {
    for (const check of checks) {
      const shown = check.ok ? !context.options.quiet : true
      if (shown) context.ui.print(`${check.ok ? colors.green('ok     ') : colors.red('missing')} ${check.name.padEnd(24)} ${check.found}${check.mend ? ` - ${check.mend}` : ''}`)
    }
  }
  context.ui.result({ ok: bad.length === 0, checks })
  if (bad.length > 0 && !options.fix && bad.some((check) => check.package)) context.ui.info('`kmho doctor --fix` installs what is missing')
  return bad.length === 0 ? ExitCode.ok : ExitCode.failed
}
