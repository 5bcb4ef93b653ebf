// SPDX-License-Identifier: MIT
// VmOptions -> QEMU's argv. Pure: the same options give the same argv, nothing is looked up and nothing is made, so
// that a plan can be printed and compared.

import path from 'node:path';
import { archFacts } from './arch/index.js';
import { UsageError } from './errors.js';
import { EVENTS_PORT } from './events.js';
import type { VmOptions } from './types.js';

/**
 * KHO's scratch areas: low memory, global, per node. The next kernel's image and initrd are placed there, and all
 * early allocations of the next kernel; what lies there cannot be preserved, so larger is not better.
 */
export const DEFAULT_KHO_SCRATCH = '32M,128M,64M';
export const MIN_MEMORY_MIB = 128;
export const GDB_PORT = 1234;

export interface QemuArgv {
  command: string;
  args: string[];
}

/** `text` as the value of one of QEMU's options: a comma would end it; doubled, it is one. */
export const optionValue = (text: string): string => text.replaceAll(',', ',,');

const expectThat = (condition: boolean, expected: string, found: unknown, mend: string): void => {
  if (!condition) throw new UsageError({ expected, found: String(found), mend });
};

export function buildKernelCmdline(o: VmOptions): string {
  const words = [
    `console=${archFacts(o.arch).console}`,
    'panic=-1',
    'printk.time=1',
    // The marks of /init must not be rate-limited away.
    'printk.devkmsg=on',
    // 512 BSD terminals that nobody opens, and a third of an emulated kernel's boot.
    'pty.legacy_count=0',
    ...archFacts(o.arch).kernelParameters(o.accel ?? 'tcg'),
  ];
  if (o.kho === 'off') words.push('kho=off');
  else if (o.kho !== 'none') words.push('kho=on', `kho_scratch=${o.khoScratch ?? DEFAULT_KHO_SCRATCH}`);
  if (o.gdb) words.push('nokaslr');
  if (o.rootfs !== undefined) words.push('kmho.root');
  if (o.share !== undefined) words.push('kmho.share');
  words.push(...(o.cmdline ?? []));
  return words.join(' ');
}

const memory = (id: string, sizeMiB: number, o: VmOptions): string[] => [
  '-object',
  `memory-backend-ram,id=${id},size=${sizeMiB}M${o.preallocate ? ',prealloc=on' : ''}`,
];

/** Nodes that meet on a multiple of 4 MiB, as those of machines do, and nodes of `numa=fake=2` do not. */
function numaArgs(o: VmOptions, cpus: number): string[] {
  const { memoryMiB } = o;
  expectThat(cpus % 2 === 0, 'an even number of CPUs, for two NUMA nodes', cpus, 'give the guest two');
  const first = Math.floor(memoryMiB / 8) * 4;
  const half = cpus / 2;
  const node = (id: number, size: number, from: number, to: number): string[] => [
    ...memory(`node${id}`, size, o),
    '-numa',
    `node,nodeid=${id},memdev=node${id},cpus=${from}-${to}`,
  ];
  return [...node(0, first, 0, half - 1), ...node(1, memoryMiB - first, half, cpus - 1)];
}

export function buildQemuArgv(o: VmOptions): QemuArgv {
  const facts = archFacts(o.arch);
  const accel = o.accel ?? 'tcg';
  const cpus = o.cpus ?? 2;
  expectThat(
    Number.isInteger(o.memoryMiB) && o.memoryMiB >= MIN_MEMORY_MIB,
    `at least ${MIN_MEMORY_MIB} MiB of guest memory, in whole MiB`,
    o.memoryMiB,
    'give the guest more',
  );
  expectThat(Number.isInteger(cpus) && cpus >= 1 && cpus <= 255, '1 to 255 virtual CPUs', cpus, 'name another number');
  expectThat(!(o.icount && accel === 'kvm'), 'icount with emulation', 'icount with kvm', 'choose accel tcg');

  const args = ['-name', optionValue(o.name ?? `kmho-${o.arch}`), '-no-user-config', '-nodefaults'];
  args.push('-machine', facts.machine(accel), '-cpu', facts.cpu(accel));
  args.push('-smp', o.numa ? `${cpus},sockets=2` : String(cpus), '-m', `${o.memoryMiB}M`);
  if (o.numa) args.push(...numaArgs(o, cpus));
  else if (o.preallocate) args.push(...memory('ram', o.memoryMiB, o), '-machine', 'memory-backend=ram');
  if (accel === 'kvm') args.push('-accel', 'kvm');
  // One thread for all CPUs is what makes counted instructions repeatable.
  else args.push('-accel', `tcg,thread=${o.icount ? 'single' : 'multi'}${o.translationsMiB === undefined ? '' : `,tb-size=${o.translationsMiB}`}`);
  if (o.icount) args.push('-icount', 'shift=2,sleep=off');
  args.push('-display', 'none', '-monitor', 'none', '-no-reboot');

  args.push('-kernel', o.kernel, '-initrd', o.initrd, '-append', buildKernelCmdline(o));

  // A serial port drops what a pipe does not take at once (seen: a kernel's line with a hole in it); a file takes all.
  const log = optionValue(consoleLogPath(o));
  args.push('-chardev', o.interactive ? `stdio,id=console,mux=on,signal=off,logfile=${log}` : `file,id=console,path=${log}`);
  args.push('-serial', 'chardev:console');
  args.push('-chardev', `socket,id=events,path=${optionValue(eventsSocketPath(o))},server=on,wait=off`);
  args.push('-device', 'virtio-serial-pci');
  args.push('-device', `virtserialport,chardev=events,name=${EVENTS_PORT}`);
  o.ports?.forEach((name, index) => {
    args.push('-chardev', `socket,id=port${index},path=${optionValue(portSocketPath(o, name))},server=on,wait=off`);
    args.push('-device', `virtserialport,chardev=port${index},name=${optionValue(name)}`);
  });
  args.push('-device', 'virtio-rng-pci');

  if (o.rootfs !== undefined) args.push(...disk('root', o.rootfs, true));
  o.disks?.forEach((file, index) => args.push(...disk(`disk${index}`, file, false)));
  if (o.share !== undefined) {
    args.push('-fsdev', `local,id=run,path=${optionValue(o.share)},security_model=none,multidevs=remap`);
    args.push('-device', 'virtio-9p-pci,fsdev=run,mount_tag=run');
  }
  if (o.gdb) args.push('-gdb', `tcp:127.0.0.1:${GDB_PORT}`, '-S');
  args.push(...(o.qemuArgs ?? []));
  return { command: o.qemuBinary ?? facts.qemu, args };
}

const disk = (id: string, file: string, readOnly: boolean): string[] => [
  '-drive',
  `if=none,id=${id},format=raw,file=${optionValue(file)},${readOnly ? 'readonly=on' : 'cache=unsafe'}`,
  '-device',
  `virtio-blk-pci,drive=${id},serial=${id}`,
];

export const consoleLogPath = (o: VmOptions): string => path.join(o.logDir, 'console.log');
export const eventsSocketPath = (o: VmOptions): string => path.join(o.logDir, 'events.sock');
export const portSocketPath = (o: Pick<VmOptions, 'logDir'>, name: string): string => path.join(o.logDir, `${name}.sock`);

/** A command as a person can paste it into a shell. */
export function formatCommand(argv: QemuArgv): string {
  return [argv.command, ...argv.args]
    .map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
