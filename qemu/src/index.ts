// SPDX-License-Identifier: MIT
// The package's public face: virtual machines that a kexec can be tried in. Knows nothing of kmho's commands.

export { ARCHES, archFacts, type ArchFacts } from './arch/index.js';
export { buildKernelCmdline, buildQemuArgv, consoleLogPath, DEFAULT_KHO_SCRATCH, eventsSocketPath, formatCommand, GDB_PORT, MIN_MEMORY_MIB, optionValue, portSocketPath, type QemuArgv } from './argv.js';
export { probeAccel, probeAccelReason, type ProbeOptions } from './accel.js';
export { ConsoleMonitor, scanConsole, type ConsoleOptions } from './console.js';
export { AbortedError, MachineryError, UsageError, type Mismatch } from './errors.js';
export { awaitsHost, EVENTS_PORT, LineSplitter, parseEvent } from './events.js';
export type {
  BootEvent,
  DataEvent,
  DoneEvent,
  ErrorEvent,
  ExecEvent,
  ExitEvent,
  GuestEvent,
  KexecEvent,
  LeaveEvent,
  KlogEvent,
  LoadEvent,
  MalformedEvent,
  OutputEvent,
  ReadyEvent,
  SyncEvent,
} from './events.js';
export { cacheEntry, type CacheEntry } from './images/cache.js';
export { buildInitramfs, type InitramfsOptions } from './images/initramfs.js';
export { buildRootfs, DEFAULT_NODE_VERSION, ROOT_LABEL, type RootfsOptions } from './images/rootfs.js';
export { formatJob, writeJob, writeShare } from './job.js';
export type {
  Job,
  KexecStep,
  LoadStep,
  PoweroffStep,
  RunStep,
  ShellStep,
  SignalStep,
  StartStep,
  Step,
  SwaponStep,
  SyncStep,
  WaitStep,
} from './job.js';
export { classifyLine, isAllowed, type OopsFinding, type OopsKind, type OopsPattern } from './oops.js';
export { checkTools, findTool, type ToolCheck } from './tools.js';
export type { Accel, Arch, KernelSeen, Outcome, Vm, VmOptions, VmResult } from './types.js';
export { exitCodeOf, startVm } from './vm.js';
