// SPDX-License-Identifier: MIT
// What differs between the architectures, and nothing else. A third one is a third file.

import { UsageError } from '../errors.js';
import type { Accel, Arch } from '../types.js';
import { arm64 } from './arm64.js';
import { x86_64 } from './x86-64.js';

export interface ArchFacts {
  qemu: string;
  /** Debian's package of it. */
  qemuPackage: string;
  machine(accel: Accel): string;
  cpu(accel: Accel): string;
  /** The serial port, as the guest's kernel calls it. */
  console: string;
  /** Kernel parameters that this machine needs under this accelerator. */
  kernelParameters(accel: Accel): string[];
  /** process.arch of a host that can run it without emulation. */
  hostArch: string;
  debianArch: string;
  triplet: string;
  /** Path of the dynamic loader that programs name. */
  loader: string;
  /** Compiler for programs that run inside. */
  compiler: string;
  compilerPackage: string;
  /** npm package with Node for it. */
  nodePackage: string;
}

export const ARCHES = { x86_64, arm64 } as const satisfies Record<Arch, ArchFacts>;

export function archFacts(arch: Arch): ArchFacts {
  if (!Object.hasOwn(ARCHES, arch))
    throw new UsageError({
      expected: `an architecture (${Object.keys(ARCHES).join(' or ')})`,
      found: JSON.stringify(arch),
      mend: 'name one of these',
    });
  return ARCHES[arch];
}
