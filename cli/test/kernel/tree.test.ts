// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { execa } from 'execa'
import { UsageError } from '../../src/errors.js'
import type { PrepareTreeOptions } from '../../src/kernel/tree.js'
import { describeReject, patchedFiles, prepareTree } from '../../src/kernel/tree.js'
import { FITTING_PATCH, tempDir, testCache, TINY_KERNEL, writeTree } from '../support.js'

interface Bench {
  options: PrepareTreeOptions
  kernel: string
  base: string
}

async function bench(t: TestContext, files: Record<string, string>): Promise<Bench> {
  const dir = await tempDir(t)
  const base = await writeTree(join(dir, 'base'), TINY_KERNEL)
  const kernel = await writeTree(join(dir, 'kernel'), { 'base.json': '{}', ...files })
  const dirs = { base: join(kernel, 'base.json'), overlay: join(kernel, 'overlay'), patches: join(kernel, 'patches'), config: join(kernel, 'config') }
  return { kernel, base, options: { source: { key: 'base-1', id: 'base', dir: base, description: 'base' }, dirs, cache: testCache(dir), stock: false, signal: new AbortController().signal } }
}

test('patches and overlay are laid over the base, which stays as it was', async (t) => {
  const { options, base } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH, 'overlay/mm/kmho/core.c': 'int core;\n' })
  const tree = await prepareTree(options)
  assert.match(await readFile(join(tree.dir, 'mm/mmap.c'), 'utf8'), /int line_11;\nint hook;\nint line_12;/)
  assert.equal(await readFile(join(tree.dir, 'mm/kmho/core.c'), 'utf8'), 'int core;\n')
  assert.equal(await readFile(join(base, 'mm/mmap.c'), 'utf8'), TINY_KERNEL['mm/mmap.c'])
})

test('after a change only the files that changed are touched', async (t) => {
  const { options, kernel } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH, 'overlay/mm/kmho/core.c': 'int core;\n', 'overlay/mm/kmho/old.c': 'int old;\n' })
  const first = await prepareTree(options)
  const before = await stat(join(first.dir, 'mm/mmap.c'))
  await writeFile(join(kernel, 'overlay/mm/kmho/core.c'), 'int core2;\n')
  await rm(join(kernel, 'overlay/mm/kmho/old.c'))
  const second = await prepareTree(options)
  assert.equal(second.changed, 2)
  assert.notEqual(second.key, first.key)
  assert.equal((await stat(join(second.dir, 'mm/mmap.c'))).ino, before.ino)
  assert.equal(await readFile(join(second.dir, 'mm/kmho/core.c'), 'utf8'), 'int core2;\n')
  await assert.rejects(stat(join(second.dir, 'mm/kmho/old.c')))
  assert.equal((await prepareTree(options)).changed, 0)
})

test('a compiler that a killed make has left is waited for', async (t) => {
  const { options } = await bench(t, {})
  const cc1 = join(options.cache.tmp, 'cc1')
  const objects = join(options.cache.objects, `x86_64-default-${options.source.id}`)
  for (const dir of [options.cache.tmp, objects]) await mkdir(dir, { recursive: true })
  await copyFile('/bin/sleep', cc1)
  const compiler = execa(cc1, ['2'], { cwd: objects })
  let over = false
  void compiler.then(() => (over = true))
  await prepareTree(options)
  assert.ok(over)
})

test('a file that is no longer patched is what it was in the base', async (t) => {
  const { options, kernel } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH })
  const first = await prepareTree(options)
  await rm(join(kernel, 'patches/0001-hook.patch'))
  await prepareTree(options)
  assert.equal(await readFile(join(first.dir, 'mm/mmap.c'), 'utf8'), TINY_KERNEL['mm/mmap.c'])
})

test('a base that changed in place is followed', async (t) => {
  const { options, base } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH })
  await prepareTree(options)
  await writeTree(base, { 'mm/new.c': 'int new;\n' })
  const tree = await prepareTree({ ...options, source: { ...options.source, key: 'base-2' } })
  assert.equal(await readFile(join(tree.dir, 'mm/new.c'), 'utf8'), 'int new;\n')
  assert.match(await readFile(join(tree.dir, 'mm/mmap.c'), 'utf8'), /int hook;/)
})

test('a tree that was cut short is made again', async (t) => {
  const { options } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH })
  const tree = await prepareTree(options)
  await rm(join(tree.dir, '.kmho-tree.json'))
  await writeFile(join(tree.dir, 'mm/mmap.c'), 'half a fi')
  await prepareTree(options)
  assert.match(await readFile(join(tree.dir, 'mm/mmap.c'), 'utf8'), /int hook;/)
})

test('a patch that does not fit is named with its file and hunk', async (t) => {
  const { options } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH, 'patches/0002-more.patch': FITTING_PATCH.replaceAll('line_1', 'word_1') })
  await assert.rejects(prepareTree(options), (error: Error) => {
    assert.ok(error instanceof UsageError)
    assert.match(error.message, /expected 0002-more\.patch to apply without fuzz to .*, found hunk 1 rejected in mm\/mmap\.c at line 1/)
    return true
  })
})

test('a patch that would need fuzz is refused', async (t) => {
  const { options } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH.replace(' int line_10;', ' int other_10;') })
  await assert.rejects(prepareTree(options), /hunk 1 rejected/)
})

test('a patch in the folder of a release stands for the one of the same name, or says why there is none', async (t) => {
  const files = {
    'patches/7.3/0000-first.patch': FITTING_PATCH.replaceAll('line_1', 'line_2').replace('int hook;', 'int first;').replace('@@ -10,4 +10,5 @@', '@@ -20,4 +20,5 @@'),
    'patches/0001-hook.patch': FITTING_PATCH.replace(' int line_10;', ' int other_10;'),
    'patches/0002-more.patch': FITTING_PATCH.replaceAll('mm/mmap.c', 'mm/gone.c'),
    'patches/7.3/0001-hook.patch': FITTING_PATCH.replace('int hook;', 'int hook_of_this_release;'),
    'patches/7.3/0002-more.patch': 'There is no mm/gone.c here.\n',
    'patches/7.2/0001-hook.patch': 'For another release.\n',
  }
  const { options } = await bench(t, files)
  const tree = await prepareTree(options)
  assert.match(await readFile(join(tree.dir, 'mm/mmap.c'), 'utf8'), /int line_11;\nint hook_of_this_release;\nint line_12;/)
  assert.match(await readFile(join(tree.dir, 'mm/mmap.c'), 'utf8'), /int line_21;\nint first;\nint line_22;/)
})

test('a patch of a file that the base does not have is refused', async (t) => {
  const { options } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH.replaceAll('mm/mmap.c', 'mm/gone.c') })
  await assert.rejects(prepareTree(options), /expected 0001-hook\.patch to apply/)
})

test('a file cannot be both patched and in the overlay', async (t) => {
  const { options } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH, 'overlay/mm/mmap.c': 'int mine;\n' })
  await assert.rejects(prepareTree(options), /mm\/mmap\.c in both/)
})

test('the stock flavor is the base itself', async (t) => {
  const { options, base } = await bench(t, { 'patches/0001-hook.patch': FITTING_PATCH })
  assert.equal((await prepareTree({ ...options, stock: true })).dir, base)
})

test("patch's words become one line", () => {
  assert.equal(describeReject("patching file 'mm/a b.c'\nHunk #2 FAILED at 77.\n1 out of 2 hunks FAILED"), 'hunk 2 rejected in mm/a b.c at line 77')
  assert.equal(describeReject("can't find file to patch at input line 3\n"), 'a file that the patch changes is not in the tree')
  assert.equal(describeReject(''), 'patch failed without a word')
  assert.deepEqual(patchedFiles('--- a/x.c\n+++ b/x.c\n--- /dev/null\n+++ b/y.c\n'), ['x.c', 'y.c'])
})
