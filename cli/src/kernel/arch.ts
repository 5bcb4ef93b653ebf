// SPDX-License-Identifier: MIT
// The architectures, and what each is called by the kernel, the compiler and Node.

import { UsageError } from '../errors.js'

export const ARCHES = ['x86_64', 'arm64'] as const
export type Arch = (typeof ARCHES)[number]

export interface ArchFacts {
  /** The kernel's ARCH=. */
  kernelArch: string
  /** Prefix of the compiler that makes programs for it. */
  triplet: string
  /** The boot image, below the object folder, and make's target for it. */
  image: string
  target: string
  /** `process.arch` of a Node on it. */
  node: string
}

export const archFacts: Record<Arch, ArchFacts> = {
  x86_64: { kernelArch: 'x86_64', triplet: 'x86_64-linux-gnu', image: 'arch/x86/boot/bzImage', target: 'bzImage', node: 'x64' },
  arm64: { kernelArch: 'arm64', triplet: 'aarch64-linux-gnu', image: 'arch/arm64/boot/Image', target: 'Image', node: 'arm64' },
}

/** The architecture of this machine. */
export function hostArch(node: string = process.arch): Arch {
  const arch = ARCHES.find((name) => archFacts[name].node === node)
  if (!arch) throw new UsageError({ expected: 'a machine with an x86_64 or arm64 processor', found: node })
  return arch
}

/** A prefix for gcc and binutils; empty where the compiler of the machine itself does. */
export function crossPrefix(arch: Arch, host: Arch = hostArch()): string {
  return arch === host ? '' : `${archFacts[arch].triplet}-`
}

export function parseArch(text: string): Arch {
  const arch = ARCHES.find((name) => name === text)
  if (!arch) throw new UsageError({ expected: `--arch to be one of ${ARCHES.join(', ')}`, found: text })
  return arch
}
