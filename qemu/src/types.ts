// SPDX-License-Identifier: MIT
// What a caller says to start a virtual machine, and what it is told when that has ended.

import type { GuestEvent } from './events.js';
import type { OopsFinding, OopsPattern } from './oops.js';

export type Arch = 'x86_64' | 'arm64';
export type Accel = 'tcg' | 'kvm';

export interface VmOptions {
  arch: Arch;
  /** bzImage (x86_64) or Image (arm64). */
  kernel: string;
  /** What buildInitramfs() made. */
  initrd: string;
  memoryMiB: number;
  /** Virtual CPUs; 2 unless told. */
  cpus?: number;
  /** With `true` memory and CPUs are on two NUMA nodes, half of them on each. */
  numa?: boolean;
  /**
   * With `true` all memory is there from the start, as a machine's is. Otherwise whatever a kernel touches first is slow
   * (seen: 5 ms for 2 MiB, on a host that is a guest itself), which is more after a kexec into memory that lay idle.
   */
  preallocate?: boolean;
  /** `on` unless told; `off` is the control run. `none` leaves both kho parameters out of the command line. */
  kho?: 'on' | 'off' | 'none';
  /** Value of kho_scratch=; DEFAULT_KHO_SCRATCH unless told. Must hold the next kernel's image and initrd. */
  khoScratch?: string;
  /** Further kernel parameters; they come last, and so win over the defaults. */
  cmdline?: string[];
  /** What buildRootfs() made; attached read-only. Without it steps run in the initramfs. */
  rootfs?: string;
  /** Host folder that the guest sees, read and write, as 9p tag `run`. */
  share?: string;
  /** Raw images, attached read and write: /dev/vdb, /dev/vdc, ... (from /dev/vda without a rootfs). */
  disks?: string[];
  /** Further virtio-serial ports by name, each a Unix socket NAME.sock in `logDir`. */
  ports?: string[];
  accel?: Accel;
  name?: string;
  /** Gets console.log, qemu.log, events.jsonl and the events socket; made if it is not there. */
  logDir: string;
  /** Wait for a debugger on tcp port 1234 of this host before the first instruction. */
  gdb?: boolean;
  /** Count instructions: slower, one host thread, the same timing each time. TCG only. */
  icount?: boolean;
  /**
   * How many MiB of translated code TCG keeps; when they are full it forgets all of it. Its own choice is so large that it
   * remembers the kernel before a kexec for ever, and each write of the next one to a page which that once ran code from
   * is slow. 32 hold a kernel's boot, and not much of Node. TCG only.
   */
  translationsMiB?: number;
  /** This terminal becomes the guest's console. */
  interactive?: boolean;
  /** For the whole run, all kernels of it together. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** Instead of qemu-system-*. */
  qemuBinary?: string;
  /** Further QEMU arguments. */
  qemuArgs?: string[];
  /** Complaints of the kernel that this run is allowed to provoke. */
  allow?: OopsPattern[];
  /** How long a guest that said "done" may take to power off. 30 s unless told. */
  powerOffMs?: number;
  /**
   * Called for each event, in order. Where the guest waits (before a kexec, before power-off) it goes on when the
   * returned promise has settled; when that is rejected the run ends as `machinery`.
   */
  onEvent?: (event: GuestEvent, reply: (line: object) => void) => void | Promise<void>;
  onConsole?: (chunk: string) => void;
}

/**
 * done       the guest said that every step succeeded, and powered off
 * exit       the guest said that a step failed; `exitCode` is that step's
 * panic      the kernel panicked, before or after the verdict
 * oops       the kernel complained otherwise (oops, BUG, WARNING, KASAN, lockdep, stall, ...)
 * timeout    the guest spoke, and had not ended in time
 * silent     the guest never spoke, or ended without saying "done"
 * machinery  QEMU or our own code in the guest failed
 * aborted    the caller called it off
 */
export type Outcome = 'done' | 'exit' | 'panic' | 'oops' | 'timeout' | 'silent' | 'machinery' | 'aborted';

export interface KernelSeen {
  stage: number;
  release: string;
  bootId: string;
  cmdline: string;
  /** Milliseconds from QEMU's start to this kernel's /init. */
  at: number;
}

export interface VmResult {
  outcome: Outcome;
  /** One line: why the outcome is what it is. */
  reason: string;
  events: GuestEvent[];
  /** What the guest said with "done": 0, or the code of the step that failed (128 + signal). */
  exitCode?: number;
  /** Complaints of the kernel that no `allow` pattern covers. */
  findings: OopsFinding[];
  /** Complaints that one covers. */
  allowed: OopsFinding[];
  /** Each kernel that came up, in order. */
  kernels: KernelSeen[];
  /** Path of the console log. */
  console: string;
  /** QEMU's command line, quoted for a shell. */
  command: string;
  accel: Accel;
  ms: number;
}

export interface Vm {
  readonly argv: { command: string; args: string[] };
  readonly consolePath: string;
  readonly pid: number | undefined;
  /** Sends one line of JSON; a running step that asked for `stdin` reads it there. */
  send(message: object): void;
  /** Resolves when QEMU is gone; the result is `aborted`. */
  kill(): Promise<void>;
  /** Never rejected. */
  readonly result: Promise<VmResult>;
}
