// SPDX-License-Identifier: MIT
// Finds this package's own files that are no TypeScript, whether it runs from dist/ or from its sources.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MachineryError } from './errors.js';

/** The folder `qemu/` of the checkout. */
export function packageRoot(): string {
  const start = path.dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'qemu');
    if (existsSync(path.join(candidate, 'guest', 'init.c'))) return candidate;
    if (folder === path.dirname(folder))
      throw new MachineryError({ expected: `qemu/guest/init.c above ${start}`, found: 'none', mend: 'use a complete checkout' });
  }
}
