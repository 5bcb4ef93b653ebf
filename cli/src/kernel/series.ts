// SPDX-License-Identifier: MIT
// The series as it goes to a mailing list: each patch with the overlay files that belong to
// it, from a throw-away git repository of the touched files. It needs no clone of Linux, and
// signs nothing: a person does that when sending.

import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { exists, listFiles } from '../cache.js'
import { runCommand } from '../command.js'
import { MachineryError } from '../errors.js'
import type { KernelDirs } from '../paths.js'
import { readKernelRelease } from './source.js'
import { listPatches, patchCommand, patchedFiles, describeReject } from './tree.js'

/** The paths that a patch's `Overlay:` lines name: files, or folders with a slash at the end. */
export function overlayPaths(patch: string): string[] {
  const below = patch.slice(Math.max(0, patch.search(/^---$/m)))
  const header = below.slice(0, Math.max(0, below.search(/^(?:diff --git|--- a\/)/m)) || undefined)
  return [...header.matchAll(/^Overlay:\s*(.*)$/gm)].flatMap((match) => (match[1] as string).split(/\s+/).filter(Boolean))
}

/** Which overlay files each patch brings. Throws for a file of two patches, or of none. */
export function assignOverlay(patches: readonly { name: string; text: string }[], files: readonly string[]): Map<string, string[]> {
  const owners = new Map<string, string[]>(patches.map(({ name }) => [name, []]))
  for (const file of files) {
    const claims = patches.filter(({ text }) => overlayPaths(text).some((path) => path === file || file.startsWith(path.endsWith('/') ? path : `${path}/`)))
    const [owner, second] = claims
    if (!owner) throw new MachineryError({ expected: `an Overlay: line of a patch to name ${file}`, found: 'none', mend: 'add it below the --- of the patch that the file belongs to' })
    if (second) throw new MachineryError({ expected: `${file} to belong to one patch`, found: claims.map(({ name }) => name).join(' and ') })
    owners.get(owner.name)?.push(file)
  }
  for (const { name, text } of patches) {
    const idle = overlayPaths(text).find((path) => !files.some((file) => file === path || file.startsWith(path.endsWith('/') ? path : `${path}/`)))
    if (idle) throw new MachineryError({ expected: `files of the overlay at ${idle}, which ${name} names`, found: 'none' })
  }
  return owners
}

/** Title and text of the cover letter; the first line is the title, as in `# Title`. */
export function parseCoverLetter(text: string): { title: string; body: string } {
  const [title = '', ...rest] = text.replace(/^<!--[\s\S]*?-->\s*/, '').trim().split('\n')
  return { title: title.replace(/^#+\s*/, ''), body: rest.join('\n').trim() }
}

export interface ExportOptions {
  /** The pristine sources. */
  base: string
  dirs: KernelDirs
  /** Gets the mails. */
  out: string
  /** For the throw-away repository. */
  work: string
  signal: AbortSignal
}

/** Writes the series to `out` and returns the paths, cover letter first. */
export async function exportSeries(options: ExportOptions): Promise<string[]> {
  const { base, dirs, work, signal } = options
  const out = resolve(options.out)
  const patches = await listPatches(dirs.patches, await readKernelRelease(base))
  const owners = assignOverlay(patches, await listFiles(dirs.overlay))
  const git = (args: string[], input?: string): Promise<{ stdout: string }> =>
    runCommand(
      {
        file: 'git',
        args: ['-c', 'user.name=kmho', '-c', 'user.email=kmho@localhost', '-c', 'commit.gpgsign=false', '-c', 'core.hooksPath=/dev/null', ...args],
        cwd: work,
        env: { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
      },
      { signal, ...(input === undefined ? {} : { input }) },
    )
  await rm(work, { recursive: true, force: true })
  await mkdir(work, { recursive: true })
  await git(['init', '-q', '-b', 'base'])
  for (const file of new Set(patches.flatMap(({ text }) => patchedFiles(text)))) {
    if (!(await exists(join(base, file)))) continue
    await put(join(base, file), join(work, file))
  }
  await git(['add', '-A'])
  await git(['commit', '-q', '--allow-empty', '-m', 'base'])
  for (const { name, path, text } of patches) {
    const mail = await git(['mailinfo', join(work, '.git', 'message'), join(work, '.git', 'patch')], text)
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, 'm').exec(mail.stdout)?.[1]?.trim() ?? ''
    if (!field('Subject')) throw new MachineryError({ expected: `a Subject: in ${name}`, found: 'none' })
    const applied = await runCommand(patchCommand(work, path), { signal, accept: [1] })
    if (applied.exitCode !== 0) throw new MachineryError({ expected: `${name} to apply without fuzz`, found: describeReject(applied.stdout) })
    for (const file of owners.get(name) ?? []) await put(join(dirs.overlay, file), join(work, file))
    const body = (await readFile(join(work, '.git', 'message'), 'utf8')).trim()
    await writeFile(join(work, '.git', 'message'), `${field('Subject')}\n\n${body}\n`)
    await git(['add', '-A'])
    await git(['commit', '-q', '-F', join(work, '.git', 'message'), `--author=${field('Author')} <${field('Email')}>`, ...(field('Date') ? [`--date=${field('Date')}`] : [])])
  }
  await mkdir(out, { recursive: true })
  const range = `HEAD~${patches.length}..HEAD`
  const made = await git(['format-patch', '-q', '--rfc', '--cover-letter', '--no-signature', '--zero-commit', '-o', out, range])
  void made
  const files = (await listFiles(out)).filter((name) => /^\d{4}-.*\.patch$/.test(name)).map((name) => join(out, name))
  await fillCoverLetter(files[0], join(dirname(dirs.base), 'cover-letter.md'))
  return files
}

async function fillCoverLetter(path: string | undefined, source: string): Promise<void> {
  const text = await readFile(source, 'utf8').catch(() => undefined)
  if (path === undefined || text === undefined) return
  const { title, body } = parseCoverLetter(text)
  const letter = await readFile(path, 'utf8')
  await writeFile(path, letter.replace('*** SUBJECT HERE ***', () => title).replace('*** BLURB HERE ***', () => body))
}

async function put(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to)
  await chmod(to, 0o644)
}
