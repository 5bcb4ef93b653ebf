// SPDX-License-Identifier: MIT
// `kmho kernel build`: a kernel with the call, its successor, and the headers.

import type { Context } from '../context.js'
import { ExitCode } from '../errors.js'
import { hostArch, parseArch } from '../kernel/arch.js'
import { readBase } from '../kernel/base.js'
import { planKernel } from '../kernel/build.js'
import { parseFlavor } from '../kernel/config.js'

export interface KernelBuildOptions {
  arch?: string
  flavor?: string
  release?: string
  source?: string
  mirror?: string
  jobs?: number
}

export async function kernelBuild(options: KernelBuildOptions, context: Context): Promise<ExitCode> {
  const plan = await planKernel({
    arch: options.arch === undefined ? hostArch() : parseArch(options.arch),
    flavor: parseFlavor(options.flavor ?? 'default'),
    base: await readBase(context.dirs.base, options.release),
    dirs: context.dirs,
    cache: context.cache,
    signal: context.signal,
    ...(options.source === undefined ? {} : { source: options.source }),
    ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
  })
  if (!(await context.run(plan.steps))) return ExitCode.ok
  const kernel = plan.result()
  context.ui.table([
    ['', `${kernel.arch} ${kernel.flavor}`],
    ['release', kernel.release],
    ['image', kernel.image],
    ['successor', kernel.successor.release],
    ['config', kernel.config],
    ['headers', kernel.headers],
  ])
  context.ui.result(kernel)
  return ExitCode.ok
}
