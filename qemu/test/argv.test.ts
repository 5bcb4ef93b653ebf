// SPDX-License-Identifier: MIT
// Golden argv: what QEMU is started with, word by word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildQemuArgv, formatCommand } from '../src/argv.js';
import { UsageError } from '../src/errors.js';
import type { VmOptions } from '../src/types.js';

const base: VmOptions = {
  arch: 'x86_64',
  kernel: '/k/bzImage',
  initrd: '/k/initramfs.cpio.gz',
  memoryMiB: 512,
  logDir: '/log',
  timeoutMs: 60_000,
};

const golden = (options: VmOptions): string => formatCommand(buildQemuArgv(options));

test('x86_64, the least that boots', () => {
  assert.equal(
    golden(base),
    'qemu-system-x86_64 -name kmho-x86_64 -no-user-config -nodefaults -machine q35 -cpu max -smp 2 -m 512M ' +
      '-accel tcg,thread=multi -display none -monitor none -no-reboot -kernel /k/bzImage -initrd /k/initramfs.cpio.gz ' +
      "-append 'console=ttyS0 panic=-1 printk.time=1 printk.devkmsg=on pty.legacy_count=0 no_timer_check tsc=nowatchdog kho=on kho_scratch=32M,128M,64M' " +
      '-chardev file,id=console,path=/log/console.log -serial chardev:console ' +
      '-chardev socket,id=events,path=/log/events.sock,server=on,wait=off -device virtio-serial-pci ' +
      '-device virtserialport,chardev=events,name=org.kmho.events -device virtio-rng-pci',
  );
});

test('arm64 with a root disk, a share and a raw disk', () => {
  assert.equal(
    golden({ ...base, arch: 'arm64', kernel: '/k/Image', rootfs: '/c/root,1.ext4', share: '/tmp/a share', disks: ['/tmp/swap'] }),
    'qemu-system-aarch64 -name kmho-arm64 -no-user-config -nodefaults -machine virt,gic-version=3 -cpu max,pauth-impdef=on -smp 2 -m 512M ' +
      '-accel tcg,thread=multi -display none -monitor none -no-reboot -kernel /k/Image -initrd /k/initramfs.cpio.gz ' +
      "-append 'console=ttyAMA0 panic=-1 printk.time=1 printk.devkmsg=on pty.legacy_count=0 kho=on kho_scratch=32M,128M,64M kmho.root kmho.share' " +
      '-chardev file,id=console,path=/log/console.log -serial chardev:console ' +
      '-chardev socket,id=events,path=/log/events.sock,server=on,wait=off -device virtio-serial-pci ' +
      '-device virtserialport,chardev=events,name=org.kmho.events -device virtio-rng-pci ' +
      '-drive if=none,id=root,format=raw,file=/c/root,,1.ext4,readonly=on -device virtio-blk-pci,drive=root,serial=root ' +
      '-drive if=none,id=disk0,format=raw,file=/tmp/swap,cache=unsafe -device virtio-blk-pci,drive=disk0,serial=disk0 ' +
      "-fsdev 'local,id=run,path=/tmp/a share,security_model=none,multidevs=remap' -device virtio-9p-pci,fsdev=run,mount_tag=run",
  );
});

test('two NUMA nodes meet on a multiple of 4 MiB, and share the CPUs', () => {
  assert.match(
    golden({ ...base, memoryMiB: 514, cpus: 4, numa: true }),
    / -smp 4,sockets=2 -m 514M -object memory-backend-ram,id=node0,size=256M -numa node,nodeid=0,memdev=node0,cpus=0-1 -object memory-backend-ram,id=node1,size=258M -numa node,nodeid=1,memdev=node1,cpus=2-3 /,
  );
  assert.throws(() => golden({ ...base, cpus: 3, numa: true }), UsageError);
});

test('a further port is a socket beside the log', () => {
  assert.match(golden({ ...base, ports: ['org.kmho.kv'] }), / -chardev socket,id=port0,path=\/log\/org\.kmho\.kv\.sock,server=on,wait=off -device virtserialport,chardev=port0,name=org\.kmho\.kv /);
});

test('the control run has kho=off and no scratch; kho "none" says nothing of it', () => {
  assert.match(golden({ ...base, kho: 'off' }), / kho=off'/);
  assert.doesNotMatch(golden({ ...base, kho: 'off' }), /kho_scratch/);
  assert.doesNotMatch(golden({ ...base, kho: 'none' }), / kho=|kho_scratch=/);
});

test("the caller's kernel parameters come last and so win", () => {
  assert.match(golden({ ...base, khoScratch: '1M,2M,3M', cmdline: ['kho_scratch=9M', 'loglevel=8'] }), /kho_scratch=1M,2M,3M kho_scratch=9M loglevel=8'/);
});

test('only an emulated PC leaves out the test of its timer', () => {
  assert.match(golden(base), / no_timer_check /);
  assert.doesNotMatch(golden({ ...base, accel: 'kvm' }), /no_timer_check/);
  assert.doesNotMatch(golden({ ...base, arch: 'arm64' }), /no_timer_check/);
});

test('kvm takes the host, and the interrupt controller that the host has', () => {
  assert.match(golden({ ...base, accel: 'kvm' }), /-machine q35 -cpu max .*-accel kvm /);
  assert.match(golden({ ...base, arch: 'arm64', accel: 'kvm' }), /-machine virt,gic-version=host -cpu max .*-accel kvm /);
});

test('counted instructions run on one thread', () => {
  assert.match(golden({ ...base, icount: true }), /-accel tcg,thread=single -icount shift=2,sleep=off/);
});

test('an emulator that forgets what it has translated', () => {
  assert.match(golden({ ...base, translationsMiB: 32 }), /-accel tcg,thread=multi,tb-size=32 /);
  assert.doesNotMatch(golden({ ...base, accel: 'kvm', translationsMiB: 32 }), /tb-size/);
});

test('memory that is there from the start, on one node or on two', () => {
  assert.match(golden({ ...base, preallocate: true }), /-object memory-backend-ram,id=ram,size=\d+M,prealloc=on -machine memory-backend=ram /);
  assert.match(golden({ ...base, numa: true, preallocate: true }), /id=node0,size=\d+M,prealloc=on .*id=node1,size=\d+M,prealloc=on /);
});

test('a debugger finds the machine stopped and the kernel where its symbols say', () => {
  assert.match(golden({ ...base, gdb: true }), /nokaslr.*-gdb tcp:127\.0\.0\.1:1234 -S$/);
});

test('a person at the console can leave QEMU', () => {
  assert.match(golden({ ...base, interactive: true }), /-chardev stdio,id=console,mux=on,signal=off,logfile=\/log\/console\.log/);
});

test('the same options give the same argv', () => {
  assert.deepEqual(buildQemuArgv(base), buildQemuArgv({ ...base }));
});

for (const [what, options] of [
  ['an architecture it does not know', { arch: 'riscv64' as 'arm64' }],
  ['too little memory', { memoryMiB: 16 }],
  ['memory that is no whole number', { memoryMiB: 512.5 }],
  ['no CPU', { cpus: 0 }],
  ['counted instructions on kvm', { icount: true, accel: 'kvm' as const }],
] as const) {
  test(`refuses ${what}, in one line`, () => {
    assert.throws(
      () => buildQemuArgv({ ...base, ...options }),
      (error) => error instanceof UsageError && error.exitCode === 2 && /^expected .*, found .*; .*$/.test(error.message),
    );
  });
}

test('a command is quoted so that a shell gives the same words back', () => {
  assert.equal(formatCommand({ command: 'q', args: ['a b', "it's", '', '$x', 'plain,=/'] }), `q 'a b' 'it'\\''s' '' '$x' plain,=/`);
});
