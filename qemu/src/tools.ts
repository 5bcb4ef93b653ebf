// SPDX-License-Identifier: MIT
// The programs of the host that this package calls, for a `doctor` to ask about.

import { constants as fsConstants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { archFacts } from './arch/index.js';
import type { Arch } from './types.js';

export interface ToolCheck {
  name: string;
  /** Its path; undefined where it is missing. */
  found?: string;
  /** Debian's packages that bring it. */
  package: string;
  why: string;
}

export async function findTool(name: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'].filter((folder) => folder !== '');
  for (const folder of name.includes('/') ? [''] : folders) {
    const file = path.join(folder, name);
    if (await access(file, fsConstants.X_OK).then(() => true, () => false)) return file;
  }
  return undefined;
}

export async function checkTools(arch: Arch): Promise<ToolCheck[]> {
  const facts = archFacts(arch);
  const cc = process.arch === facts.hostArch ? 'gcc' : facts.compiler;
  const tools: Omit<ToolCheck, 'found'>[] = [
    { name: facts.qemu, package: facts.qemuPackage, why: `runs ${arch} guests` },
    { name: cc, package: facts.compilerPackage, why: `builds the guest's /init for ${arch}` },
    { name: 'mke2fs', package: 'e2fsprogs', why: "makes the guest's root disk" },
    { name: 'npm', package: 'npm', why: "fetches the guest's Node" },
    { name: 'apt-get', package: 'apt', why: "fetches the guest's libraries" },
    { name: 'dpkg-deb', package: 'dpkg', why: "unpacks the guest's libraries" },
    { name: 'tar', package: 'tar', why: "unpacks the guest's Node" },
  ];
  return Promise.all(
    tools.map(async (tool) => {
      const found = await findTool(tool.name);
      return found === undefined ? tool : { ...tool, found };
    }),
  );
}
