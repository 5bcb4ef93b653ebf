// SPDX-License-Identifier: MIT
// Which accelerator really works: found by booting on it, because /dev/kvm can open, and even create a machine, on a
// host where no kernel comes up. The answer is remembered for the QEMU, the kernel and the host that gave it.

import { constants as fsConstants } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir } from 'node:os';
import path from 'node:path';
import { archFacts } from './arch/index.js';
import { AbortedError } from './errors.js';
import { sha256File, sha256Of } from './images/cache.js';
import { runTool } from './images/run-tool.js';
import type { Accel, Arch, VmOptions, VmResult } from './types.js';
import { startVm } from './vm.js';

export interface ProbeOptions {
  signal?: AbortSignal;
  qemuBinary?: string;
  /** For tests: another host. */
  host?: { arch: string; kvm: string };
  /** For tests: another way to boot. */
  boot?: (options: VmOptions) => Promise<VmResult>;
}

/** A kernel that KVM can boot is in /init long before. */
const PROBE_MS = 15_000;

interface Remembered {
  accel: Accel;
  reason: string;
}

const usable = (device: string): Promise<boolean> =>
  access(device, fsConstants.R_OK | fsConstants.W_OK).then(() => true, () => false);

export async function probeAccel(
  arch: Arch,
  kernel: string,
  initrd: string,
  cacheDir: string,
  options: ProbeOptions = {},
): Promise<Accel> {
  return (await probeAccelReason(arch, kernel, initrd, cacheDir, options)).accel;
}

/** The same, with one line that says why. */
export async function probeAccelReason(
  arch: Arch,
  kernel: string,
  initrd: string,
  cacheDir: string,
  options: ProbeOptions = {},
): Promise<Remembered> {
  const facts = archFacts(arch);
  const host = options.host ?? { arch: process.arch, kvm: '/dev/kvm' };
  if (host.arch !== facts.hostArch) return { accel: 'tcg', reason: `a ${host.arch} host emulates ${arch}` };
  if (!(await usable(host.kvm))) return { accel: 'tcg', reason: `${host.kvm} is not there for this user` };

  const qemu = options.qemuBinary ?? facts.qemu;
  const version = await runTool(qemu, ['--version'], {
    mend: `install it: apt-get install ${facts.qemuPackage}`,
    signal: options.signal,
  });
  const key = sha256Of(
    JSON.stringify([version.split('\n')[0], await sha256File(kernel), release(), cpus()[0]?.model ?? '', arch]),
  ).slice(0, 16);
  const folder = path.join(cacheDir, 'accel');
  const file = path.join(folder, `${key}.json`);
  try {
    const known = JSON.parse(await readFile(file, 'utf8')) as Remembered;
    if (known.accel === 'kvm' || known.accel === 'tcg') return known;
  } catch {
    // Not asked yet.
  }

  const logDir = await mkdtemp(path.join(tmpdir(), 'kmho-probe-'));
  try {
    const boot = options.boot ?? ((vm: VmOptions): Promise<VmResult> => startVm(vm).result);
    const result = await boot({
      arch,
      kernel,
      initrd,
      memoryMiB: 256,
      kho: 'none',
      accel: 'kvm',
      name: 'kmho-probe',
      logDir,
      timeoutMs: PROBE_MS,
      signal: options.signal,
      qemuBinary: options.qemuBinary,
    });
    if (options.signal?.aborted || result.outcome === 'aborted') throw new AbortedError('the look for an accelerator');
    const answer: Remembered =
      result.outcome === 'done'
        ? { accel: 'kvm', reason: 'a kernel booted on KVM' }
        : { accel: 'tcg', reason: `no kernel boots on this host's KVM (${result.outcome})` };
    await mkdir(folder, { recursive: true });
    await writeFile(`${file}.${process.pid}`, `${JSON.stringify(answer)}\n`);
    await rename(`${file}.${process.pid}`, file);
    return answer;
  } finally {
    await rm(logDir, { recursive: true, force: true });
  }
}
