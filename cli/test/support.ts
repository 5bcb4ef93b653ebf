// SPDX-License-Identifier: MIT
// What the tests share: a folder that is gone afterwards, a Ui that keeps what it is told, a
// kernel tree of four files, and an HTTP server of the test's own.

import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { cacheDirs } from '../src/paths.js'
import type { KernelBase } from '../src/kernel/base.js'
import type { StepContext } from '../src/runner.js'
import { Ui, type UiOptions } from '../src/ui/ui.js'

export async function tempDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'kmho-test-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export async function writeTree(dir: string, files: Record<string, string>): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  return dir
}

export function collector(): { stream: Writable; text: () => string } {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, callback) {
      text += String(chunk)
      callback()
    },
  })
  return { stream, text: () => text }
}

export function testUi(options: UiOptions = {}): { ui: Ui; out: () => string; err: () => string } {
  const out = collector()
  const err = collector()
  return { ui: new Ui({ ...options, stdout: out.stream, stderr: err.stream }), out: out.text, err: err.text }
}

export function stepContext(signal: AbortSignal = new AbortController().signal): StepContext {
  const { ui } = testUi({ quiet: true })
  return { ui, signal, progress: ui.progress('test') }
}

export const TINY_KERNEL: Record<string, string> = {
  Makefile: '# SPDX-License-Identifier: GPL-2.0\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n',
  Kconfig: 'source "mm/Kconfig"\n',
  'mm/Kconfig': 'config MMU\n\tdef_bool y\n',
  'mm/mmap.c': Array.from({ length: 30 }, (_, i) => `int line_${i + 1};\n`).join(''),
}

/** A patch of mm/mmap.c that fits TINY_KERNEL. */
export const FITTING_PATCH = `From: A Person <person@example.org>
Subject: [PATCH] mm: hook

Why it is so.
---
Overlay: mm/kmho

--- a/mm/mmap.c
+++ b/mm/mmap.c
@@ -10,4 +10,5 @@
 int line_10;
 int line_11;
+int hook;
 int line_12;
 int line_13;
`

export const BASE: KernelBase = {
  series: '7.3',
  version: '7.3.4',
  package: 'linux-source-7.3',
  suite: 'trixie-backports',
  revision: '7.3.4-1~bpo13+1',
  tarball: 'usr/src/linux-source-7.3.tar.xz',
  tarballSha256: '0'.repeat(64),
  upstreamTag: 'v7.3.4',
}

export function testCache(dir: string): ReturnType<typeof cacheDirs> {
  return cacheDirs(join(dir, 'cache'))
}

/** Serves on the loopback address until the test ends. Returns the top URL. */
export async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
