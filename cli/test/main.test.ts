// SPDX-License-Identifier: MIT
// The command line as a person calls it: exit codes, one line for what they got wrong, and
// plans that run nothing. Each call is a process with a cache of its own.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { hostArch } from '../src/kernel/arch.js'
import { listPatches, patchedFiles } from '../src/kernel/tree.js'
import { kernelDirs, rootDir } from '../src/paths.js'
import { tempDir, TINY_KERNEL, writeTree } from './support.js'

interface Answer {
  status: number | null
  stdout: string
  stderr: string
}

async function kmho(t: TestContext, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Answer & { cache: string }> {
  const cache = join(await tempDir(t), 'cache')
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(rootDir(), 'cli/bin/kmho.js'), ...args], { encoding: 'utf8', env: { ...process.env, KMHO_CACHE: cache, ...env } })
  return { status, stdout, stderr, cache }
}

const lines = (text: string): number => text.trimEnd().split('\n').length

for (const [what, args, expected] of [
  ['no command', [], /expected a command, found none/],
  ['an unknown command', ['fly'], /unknown command 'fly'/],
  ['help for an unknown command', ['help', 'fly'], /unknown command 'fly'/],
  ['an unknown option', ['verify', '--fast'], /unknown option '--fast'/],
  ['an unknown architecture', ['kernel', 'build', '--arch', 'vax'], /expected --arch to be one of x86_64, arm64, found vax/],
  ['an unknown flavor', ['boot', '--flavor', 'mint'], /expected --flavor to be one of default, stock, debug, found mint/],
  ['a size that is none', ['verify', '--size', 'much'], /expected --size to be a size such as 256M or 4G, found "much"/],
  ['more memory than there is', ['verify', '--size', '900G'], /expected \d+ MiB of free memory for the two guests, found \d+ MiB; choose a smaller --size/],
  ['an input that is not there', ['verify', '--input', '/nowhere/file'], /expected --input to name a file, found nothing at \/nowhere\/file/],
  ['an input that is a folder', ['verify', '--input', '/'], /expected --input to name a file, found something else at \//],
  ['a release that the patches are not for', ['kernel', 'build', '--release', '6.12'], /expected a release of Linux that the patches are made for, which are 7\.3 and 7\.2, found 6\.12/],
  ['a release to kexec to that the patches are not for', ['test', '--to', '6.12'], /which are 7\.3 and 7\.2, found 6\.12/],
  ['a source that is not there', ['kernel', 'build', '--source', '/nowhere/linux.tar.xz'], /expected --source to name a tarball or a folder, found nothing at/],
  ['a source that is no kernel', ['kernel', 'build', '--source', '/usr/bin'], /expected the sources of Linux in \/usr\/bin, found no Makefile and Kconfig/],
  ['run without a command', ['run'], /expected a command after `kmho run --`, found none/],
  ['a scenario that is not there', ['test', 'nonesuch'], /expected one of .*kunit.*, found nonesuch/],
  ['a scenario that another flavor has', ['test', 'kho'], /expected --flavor debug for kho, found default/],
  ['a key that is none', ['show', '2a'], /expected a key from 0 to 2\^64-1, such as 42 or 0x2a, found "2a"/],
  ['a uid that is none', ['drop', '1', '--uid', 'alice'], /expected a numeric user ID/],
  ['drop without a key', ['drop'], /missing required argument 'key'/],
  ["a selftest of the kernel's own that is not there", ['kernel', 'selftest', 'nonesuch'], /expected some of .*mremap_test.*, found nonesuch/],
  ['a benchmark that is not there', ['bench', '--only', 'nonesuch'], /expected --only to name some of 64M, .*, found nonesuch/],
  ['a system that is not there', ['bench', '--systems', 'xen'], /expected --systems to name some of stock, default, stock-luo, kmho-luo, kmho, found xen/],
  ['a benchmark by no measure', ['bench', '--by', 'feeling'], /expected --by to be instructions or time, found feeling/],
  ['a flavor that proves nothing', ['test', '--flavor', 'stock'], /'--flavor <flavor>' argument 'stock' is invalid. expected default or debug/],
  ['a control of the stock kernel', ['verify', '--flavor', 'stock'], /argument 'stock' is invalid. expected default or debug/],
  ['a list of what is not there', ['test', '--list', 'nonesuch'], /expected one of .*kunit.*, found nonesuch/],
  ['a mirror that is no URL', ['kernel', 'build', '--mirror', 'mirror.example.org'], /expected --mirror, or KMHO_KERNEL_MIRROR, to be a URL with http or https, found mirror\.example\.org/],
  ['mails into a file', ['kernel', 'series', '--output', '/etc/passwd'], /expected --output to name a folder, found something else at \/etc\/passwd/],
  ['a benchmark into a file', ['bench', '--output', '/etc/passwd/bench'], /expected --output to name a folder, found something else at \/etc\/passwd\/bench/],
  ['a benchmark of next to nothing', ['bench', '--size', '5'], /expected --size to be at least 1M, found 5/],
  ['points of the gap', ['bench', '--gap', '--only', '64M'], /expected --gap without --only, found both; choose with --systems and --size/],
  ['a guest without memory', ['boot', '--memory', '0'], /expected --memory to be at least 256M, found 0/],
  ['guests without memory', ['bench', '--memory', '1K'], /expected --memory to be at least 256M, found 1K/],
  ['a uid in a guest that is none', ['run', '--uid', 'alice', '--', 'id'], /expected a numeric user ID/],
  ['a job count that is none', ['kernel', 'build', '--jobs', 'all'], /expected a whole number above 0/],
] as const) {
  test(`${what} is one line and exit code 2`, async (t) => {
    const { status, stdout, stderr } = await kmho(t, [...args])
    assert.match(stderr, expected)
    assert.equal(lines(stderr.replace(/^failed .*\n/m, '')), 1, stderr)
    assert.equal(status, 2)
    assert.equal(stdout, '')
  })
}

test('a cache that is a file is one line, and no matter to --dry-run', async (t) => {
  const { status, stderr } = await kmho(t, ['clean', '--all'], { KMHO_CACHE: '/etc/passwd' })
  assert.match(stderr, /expected a folder on the way to \/etc\/passwd\/\S+, found a file; set KMHO_CACHE to a folder of your own/)
  assert.equal(lines(stderr), 1, stderr)
  assert.equal(status, 69)
  assert.equal((await kmho(t, ['--dry-run', 'verify', '--size', '1M'], { KMHO_CACHE: '/etc/passwd' })).status, 0)
})

test('a truncated tarball is one line and exit code 2, and no tree is left behind', async (t) => {
  const dir = await tempDir(t)
  const tarball = join(dir, 'linux-7.3.4.tar.xz')
  await writeFile(tarball, Buffer.from('fd377a585a000004e6d6b446', 'hex'))
  const { status, stderr, cache } = await kmho(t, ['--quiet', 'kernel', 'build', '--source', tarball])
  assert.equal(status, 2)
  assert.equal(lines(stderr), 1)
  assert.match(stderr, /expected a whole tarball of the kernel sources/)
  assert.equal(existsSync(join(cache, 'trees')), false)
})

test('a base that the patches do not fit is one line that names patch, file and hunk', async (t) => {
  const { patches } = kernelDirs(rootDir())
  const [first] = await listPatches(patches, '')
  const others = patchedFiles(first?.text ?? '').map((file) => [file, 'int other;\n'])
  const tree = await writeTree(join(await tempDir(t), 'linux'), { ...TINY_KERNEL, ...Object.fromEntries(others) })
  const { status, stderr } = await kmho(t, ['--quiet', 'kernel', 'build', '--source', tree])
  assert.equal(status, 2)
  assert.equal(lines(stderr), 1)
  assert.match(stderr, /expected 0001-.*\.patch to apply without fuzz to .*, found hunk 1 rejected in \S+\.[ch] at line \d+; the patches do not fit this base/)
})

test('a machine without anything is told so, a line for each thing', async (t) => {
  const { status, stdout } = await kmho(t, ['--quiet', 'doctor'], { PATH: '/nonexistent' })
  assert.equal(status, 1)
  for (const name of ['qemu-system-x86', 'qemu-system-arm', 'ccache', 'flex']) assert.match(stdout, new RegExp(`missing.* ${name} .*install ${name} `))
})

test('on a kernel without the call ls, show and drop are one line and exit code 69', async (t) => {
  for (const args of [['ls'], ['show', '1'], ['drop', '0x1']]) {
    const { status, stdout, stderr } = await kmho(t, args)
    assert.match(stderr, /^kmho: expected a kernel with the kmho system call, found \S+, which has none \(ENOSYS\); [^\n]+\n$/)
    assert.deepEqual({ status, stdout }, { status: 69, stdout: '' })
  }
})

test('--dry-run prints the argv of every step and makes nothing', async (t) => {
  const { status, stdout, cache } = await kmho(t, ['--dry-run', 'verify', '--arch', 'arm64', '--size', '1M'])
  assert.equal(status, 0)
  const arm = hostArch() === 'arm64' ? '' : ' CROSS_COMPILE=aarch64-linux-gnu-'
  assert.ok(stdout.includes(`ARCH=arm64${arm} 'CC=ccache `), stdout)
  assert.match(stdout, /^KBUILD_BUILD_USER=kmho .*make -C \S+ O=\S+ ARCH=arm64 .* LOCALVERSION=-kmho -j\d+ Image$/m)
  assert.match(stdout, /LOCALVERSION=-kmho-next -j\d+ Image$/m)
  assert.match(stdout, /merge_config\.sh -m -O \S+ \S+\.config \S+base\.config \S+arm64\.config \S+default\.config$/m)
  assert.match(stdout, /^# kexec of arm64 with kho=on, and beside it a control with kho=off$/m)
  assert.equal(existsSync(cache), false)
})

test('from one release of Linux to another takes a kernel of each, and to the same takes one', async (t) => {
  const sources = async (...args: string[]): Promise<string[]> => {
    const { status, stdout } = await kmho(t, ['--dry-run', 'test', ...args, 'talk_kexec'], { KMHO_KERNEL_MIRROR: 'https://mirror.example.org/' })
    assert.equal(status, 0)
    return [...stdout.matchAll(/^# kernel sources: linux-(\d+\.\d+)\./gm)].map((match) => match[1] ?? '')
  }
  assert.deepEqual(await sources('--from', '7.2'), ['7.2', '7.3'])
  assert.deepEqual(await sources('--to', '7.2'), ['7.3', '7.2'])
  assert.deepEqual(await sources('--from', '7.2', '--to', '7.2'), ['7.2'])
  assert.deepEqual(await sources(), ['7.3'])
})

test('bench --dry-run names its guests, and both kernels', async (t) => {
  const { status, stdout, cache } = await kmho(t, ['--dry-run', 'bench', '--only', 'thp'])
  assert.equal(status, 0)
  assert.match(stdout, /^gcc .*-static .*kernel\/bench\/kmho-bench\.c$/m)
  for (const label of ['floor stock', 'floor default', 'thp stock-luo', 'thp kmho-luo', 'thp kmho']) assert.match(stdout, new RegExp(`^# 3 times a guest: ${label}$`, 'm'))
  assert.match(stdout, /stock\.config$/m)
  assert.equal(existsSync(cache), false)
})

test('--json prints one object and nothing else', async (t) => {
  const { status, stdout } = await kmho(t, ['--json', 'test', '--list'])
  assert.equal(status, 0)
  assert.equal(lines(stdout), 1)
  const { scenarios } = JSON.parse(stdout) as { scenarios: { name: string }[] }
  assert.ok(scenarios.some(({ name }) => name === 'talk_kexec'), 'the example of the talk is among the tests')
})

test('--json --dry-run prints the plan as one object', async (t) => {
  for (const args of [['bench', '--only', 'thp'], ['clean', '--all'], ['kernel', 'series']]) {
    const { status, stdout } = await kmho(t, ['--json', '--dry-run', ...args])
    assert.equal(status, 0)
    assert.equal(lines(stdout), 1)
    const { ok, plan } = JSON.parse(stdout) as { ok: boolean; plan: { title: string; commands: string[] }[] }
    assert.equal(ok, true)
    assert.ok(plan.length > 0 && plan.every(({ title, commands }) => title && Array.isArray(commands)), stdout)
  }
})

test('--json prints an error as an object beside its line', async (t) => {
  for (const args of [['fly'], ['boot', '--flavor', 'mint']]) {
    const { status, stdout, stderr } = await kmho(t, ['--json', ...args])
    assert.equal(status, 2)
    const { error, ...rest } = JSON.parse(stdout) as { error: string }
    assert.deepEqual(rest, { ok: false, exitCode: 2 })
    assert.equal(stderr, `kmho: ${error}\n`)
  }
})

test('clean says what it would remove, and removes only from the cache', async (t) => {
  const { status, stdout, cache } = await kmho(t, ['--dry-run', 'clean', '--all'])
  assert.equal(status, 0)
  for (const line of stdout.trim().split('\n')) assert.ok(line.startsWith(`rm -rf ${cache}/`), line)
  for (const name of ['kernels', 'bench']) assert.ok(stdout.includes(`rm -rf ${cache}/${name}\n`), stdout)
})

test('help and version are no errors', async (t) => {
  assert.equal((await kmho(t, ['--version'])).stdout, '0.1.0\n')
  const { status, stdout } = await kmho(t, ['--help'])
  assert.equal(status, 0)
  for (const name of ['doctor', 'kernel', 'boot', 'shell', 'run', 'verify', 'clean', 'test', 'bench', 'ls', 'show', 'drop']) assert.match(stdout, new RegExp(`^  ${name}\\b`, 'm'))
})
