// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { assignOverlay, exportSeries, overlayPaths, parseCoverLetter } from '../../src/kernel/series.js'
import { checkpatchCommand, parseCheckpatch, parseSparse } from '../../src/kernel/check.js'
import { kernelDirs } from '../../src/paths.js'
import { listFiles } from '../../src/cache.js'
import { listPatches } from '../../src/kernel/tree.js'
import { readBases } from '../../src/kernel/base.js'
import { FITTING_PATCH, tempDir, TINY_KERNEL, writeTree } from '../support.js'

test('the Overlay: lines below the --- are read, and no others', () => {
  const patch = 'Subject: x\n\nOverlay: not/here.c\n---\nOverlay: mm/kmho/ include/linux/kmho.h\nOverlay: Documentation/mm/kmho.rst\n a.c | 1 +\n\ndiff --git a/a.c b/a.c\n+Overlay: nor/here.c\n'
  assert.deepEqual(overlayPaths(patch), ['mm/kmho/', 'include/linux/kmho.h', 'Documentation/mm/kmho.rst'])
})

test('each file of the overlay belongs to exactly one patch', () => {
  const patches = [
    { name: '0001-a.patch', text: 'Subject: a\n---\nOverlay: mm/kmho/\n' },
    { name: '0002-b.patch', text: 'Subject: b\n---\nOverlay: include/linux/kmho.h\n' },
  ]
  assert.deepEqual([...assignOverlay(patches, ['include/linux/kmho.h', 'mm/kmho/core.c'])], [['0001-a.patch', ['mm/kmho/core.c']], ['0002-b.patch', ['include/linux/kmho.h']]])
  assert.throws(() => assignOverlay(patches, ['fs/khofs/super.c']), /expected an Overlay: line of a patch to name fs\/khofs\/super\.c, found none/)
  assert.throws(() => assignOverlay([...patches, { name: '0003-c.patch', text: '---\nOverlay: mm/kmho/core.c\n' }], ['mm/kmho/core.c']), /0001-a\.patch and 0003-c\.patch/)
  assert.throws(() => assignOverlay(patches, ['mm/kmho/core.c']), /expected files of the overlay at include\/linux\/kmho\.h, which 0002-b\.patch names/)
})

for (const { series: release } of await readBases(kernelDirs().base)) {
  test(`our own series for ${release} has a place for every file of the overlay`, async () => {
    const dirs = kernelDirs()
    const patches = await listPatches(dirs.patches, release)
    assert.ok(patches.length > 0)
    assignOverlay(patches, await listFiles(dirs.overlay))
    for (const { name, text } of patches) {
      assert.doesNotMatch(text, /^Signed-off-by:/m, `${name}: a person signs when sending`)
      assert.match(text, /^Assisted-by:/m, `${name}: says that it was assisted`)
    }
  })

  test(`a patch for ${release} says and adds what the one says and adds that it stands for`, async () => {
    const dirs = kernelDirs()
    const message = (text: string): string => text.slice(0, text.search(/^---$/m))
    const added = (text: string): string[] => text.split('\n').filter((line) => /^\+(?!\+\+ )/.test(line)).sort()
    const ours = new Map((await listPatches(dirs.patches, '')).map(({ name, text }) => [name, text]))
    for (const { name, text } of await listPatches(dirs.patches, release)) {
      // What comes before the series makes an older release ready for it.
      if (name.startsWith('0000-')) continue
      assert.equal(message(text), message(ours.get(name) ?? ''), name)
      assert.deepEqual(added(text), added(ours.get(name) ?? ''), name)
    }
  })
}

test('the series is exported as mails, the overlay in the patch that it belongs to', async (t) => {
  const dir = await tempDir(t)
  const base = await writeTree(join(dir, 'base'), TINY_KERNEL)
  const kernel = await writeTree(join(dir, 'kernel'), {
    'base.json': '{}',
    'cover-letter.md': '# mm: a call\n\nWhy and how.\n',
    'patches/0001-hook.patch': FITTING_PATCH,
    'overlay/mm/kmho/core.c': 'int core;\n',
  })
  const dirs = { base: join(kernel, 'base.json'), overlay: join(kernel, 'overlay'), patches: join(kernel, 'patches'), config: '' }
  const mails = await exportSeries({ base, dirs, out: join(dir, 'out'), work: join(dir, 'work'), signal: new AbortController().signal })
  assert.deepEqual(mails.map((path) => basename(path)), ['0000-cover-letter.patch', '0001-mm-hook.patch'])
  const [letter = '', mail = ''] = await Promise.all(mails.map((path) => readFile(path, 'utf8')))
  assert.match(letter, /Subject: \[RFC PATCH 0\/1\] mm: a call\n\nWhy and how\./)
  assert.match(mail, /^From: A Person <.*>$/m)
  assert.match(mail, /Subject: \[RFC PATCH 1\/1\] mm: hook\n\nWhy it is so\.\n---/)
  assert.match(mail, /\+int hook;/)
  assert.match(mail, /\+\+\+ b\/mm\/kmho\/core\.c/)
})

test('the cover letter begins with its title', () => {
  assert.deepEqual(parseCoverLetter('<!-- SPDX-License-Identifier: GPL-2.0-only -->\n# mm: x\n\nText.\n'), { title: 'mm: x', body: 'Text.' })
})

test("checkpatch's and sparse's findings, one each", () => {
  assert.deepEqual(parseCheckpatch('mm/kmho/core.c:12: WARNING:LONG_LINE: line length of 120 exceeds 100 columns\nTraceback (most recent call last):\n'), [
    { tool: 'checkpatch', level: 'warning', where: 'core.c:12', text: 'LONG_LINE: line length of 120 exceeds 100 columns' },
  ])
  const sparse = '/tree/mm/kmho/core.c:7:3: warning: incorrect type in argument 1\n/tree/mm/kmho/core.c:7:3: warning: incorrect type in argument 1\n/tree/include/linux/mm.h:1:1: warning: not ours\n  CHECK   mm/kmho/core.c\n'
  assert.deepEqual(parseSparse(sparse, ['mm/kmho/core.c']), [{ tool: 'sparse', level: 'warning', where: 'mm/kmho/core.c:7', text: 'incorrect type in argument 1' }])
  assert.ok(checkpatchCommand('/t', '/p').args.includes('--strict'))
})
