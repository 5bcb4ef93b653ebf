// SPDX-License-Identifier: MIT
// Reads kernel/base.json: which releases of Linux the patches are made for. The one place that
// knows its fields; it downloads nothing.

import { readFile } from 'node:fs/promises'
import { MachineryError, UsageError } from '../errors.js'

export interface KernelBase {
  /** The series that a later revision must belong to, such as "7.3". */
  series: string
  /** Upstream's number, such as "7.3.4". */
  version: string
  /** Debian's package, suite and pinned revision. */
  package: string
  suite: string
  revision: string
  /** Where the package holds the sources, and their checksum in the pinned revision. */
  tarball: string
  tarballSha256: string
  upstreamTag: string
  /** The release tarball of upstream; without a checksum here, the release folder's own list is asked. */
  upstream?: { path?: string; sums?: string; sha256?: string }
}

const REQUIRED = ['series', 'version', 'package', 'suite', 'revision', 'tarball', 'tarballSha256', 'upstreamTag'] as const

/** All of them; the one that is developed on comes first. */
export async function readBases(path: string): Promise<KernelBase[]> {
  const bases = JSON.parse(await readFile(path, 'utf8')) as Partial<KernelBase>[]
  for (const base of bases) {
    const missing = REQUIRED.filter((name) => typeof base[name] !== 'string')
    if (missing.length > 0) throw new MachineryError({ expected: `${path} to name ${missing.join(', ')}`, found: 'no such field' })
  }
  return bases as KernelBase[]
}

/** The sources of one release, such as "7.2"; of the first where none is named. */
export async function readBase(path: string, release?: string): Promise<KernelBase> {
  const bases = await readBases(path)
  const chosen = bases.find(({ series }) => release === undefined || series === release)
  if (!chosen) throw new UsageError({ expected: `a release of Linux that the patches are made for, which are ${bases.map(({ series }) => series).join(' and ')}`, found: release ?? 'none' })
  return chosen
}

/** Upstream's release tarball and its list of checksums, as paths below a mirror's top. */
export function upstreamPaths(base: KernelBase): { tarball: string; sums: string } {
  const dir = `pub/linux/kernel/v${base.version.split('.')[0]}.x`
  return {
    tarball: base.upstream?.path ?? `${dir}/linux-${base.version}.tar.xz`,
    sums: base.upstream?.sums ?? `${dir}/sha256sums.asc`,
  }
}
