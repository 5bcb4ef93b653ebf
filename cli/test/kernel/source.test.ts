// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { runCommand } from '../../src/command.js'
import { InterruptedError, MachineryError, UsageError } from '../../src/errors.js'
import { chooseRoad, fetchSource, findChecksum, readKernelVersion } from '../../src/kernel/source.js'
import { BASE, serve, stepContext, tempDir, testCache, TINY_KERNEL, writeTree } from '../support.js'

const signal = new AbortController().signal

async function makeTarball(dir: string): Promise<{ path: string; data: Buffer; sha256: string }> {
  // Random text, so that half of the compressed file is about half of the sources.
  const noise = createHash('sha512').update('noise').digest('hex')
  const filler = Array.from({ length: 2000 }, (_, i) => createHash('sha256').update(noise + i).digest('hex')).join('\n')
  await writeTree(join(dir, 'linux-7.3.4'), { ...TINY_KERNEL, 'drivers/filler.c': filler })
  const path = join(dir, 'linux-7.3.4.tar.xz')
  await runCommand({ file: 'tar', args: ['-cJf', path, '-C', dir, 'linux-7.3.4'] })
  const data = await readFile(path)
  return { path, data, sha256: createHash('sha256').update(data).digest('hex') }
}

interface Site {
  tarball?: Buffer
  sums?: string
  /** Ends the answer after so many bytes although more were promised. */
  cutAt?: number
}

async function upstream(t: TestContext, site: Site): Promise<{ mirror: string; requests: string[] }> {
  const requests: string[] = []
  const mirror = await serve(t, (request, response) => {
    requests.push(request.url ?? '')
    const body = request.url?.endsWith('sha256sums.asc') ? site.sums : site.tarball
    if (body === undefined) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, { 'content-length': Buffer.byteLength(body) })
    if (site.cutAt !== undefined && typeof body !== 'string') {
      response.write(body.subarray(0, site.cutAt), () => response.destroy())
    } else {
      response.end(body)
    }
  })
  return { mirror, requests }
}

test("upstream's tarball with the right checksum becomes a tree in the cache", async (t) => {
  const dir = await tempDir(t)
  const { data, sha256 } = await makeTarball(dir)
  const { mirror, requests } = await upstream(t, { tarball: data, sums: `-----BEGIN PGP SIGNED MESSAGE-----\n\n${'1'.repeat(64)}  linux-7.3.3.tar.xz\n${sha256}  linux-7.3.4.tar.xz\n` })
  const options = { base: BASE, cache: testCache(dir), mirror, signal }
  const source = await fetchSource(await chooseRoad(options), options, stepContext())
  assert.equal(source.key, sha256)
  assert.equal(await readKernelVersion(source.dir), '7.3.4')
  assert.deepEqual(requests, ['/pub/linux/kernel/v7.x/sha256sums.asc', '/pub/linux/kernel/v7.x/linux-7.3.4.tar.xz'])
})

test('a checksum in base.json is believed before the mirror', async (t) => {
  const dir = await tempDir(t)
  const { data, sha256 } = await makeTarball(dir)
  const { mirror, requests } = await upstream(t, { tarball: data })
  const base = { ...BASE, upstream: { sha256 } }
  const source = await fetchSource({ kind: 'upstream', mirror }, { base, cache: testCache(dir), signal }, stepContext())
  assert.equal(source.key, sha256)
  assert.equal(requests.length, 1)
})

test('a wrong checksum is refused and leaves nothing in the cache', async (t) => {
  const dir = await tempDir(t)
  const { data } = await makeTarball(dir)
  const { mirror } = await upstream(t, { tarball: data, sums: `${'a'.repeat(64)}  linux-7.3.4.tar.xz\n` })
  const cache = testCache(dir)
  await assert.rejects(fetchSource({ kind: 'upstream', mirror }, { base: BASE, cache, signal }, stepContext()), (error: Error) => {
    assert.ok(error instanceof MachineryError)
    assert.match(error.message, /expected SHA-256 a{64} of .*found [0-9a-f]{64}/)
    return true
  })
  assert.deepEqual(await readdir(cache.sources), [])
})

test('an answer that ends early is refused and leaves nothing in the cache', async (t) => {
  const dir = await tempDir(t)
  const { data, sha256 } = await makeTarball(dir)
  const { mirror } = await upstream(t, { tarball: data, sums: `${sha256}  linux-7.3.4.tar.xz\n`, cutAt: Math.floor(data.length / 2) })
  const cache = testCache(dir)
  await assert.rejects(fetchSource({ kind: 'upstream', mirror }, { base: BASE, cache, signal }, stepContext()), /expected \d+ bytes from .*found the end after \d+/)
  assert.deepEqual(await readdir(cache.sources), [])
})

test('a release that the mirror does not have is one line with the address', async (t) => {
  const dir = await tempDir(t)
  const { mirror } = await upstream(t, { sums: `${'a'.repeat(64)}  linux-7.3.4.tar.xz\n` })
  await assert.rejects(fetchSource({ kind: 'upstream', mirror }, { base: BASE, cache: testCache(dir), signal }, stepContext()), (error: Error) => {
    assert.match(error.message, /linux-7\.3\.4\.tar\.xz to be there, found HTTP 404/)
    assert.equal(error.message.split('\n').length, 1)
    return true
  })
})

test('a mirror that does not answer is one line', async (t) => {
  const dir = await tempDir(t)
  await assert.rejects(fetchSource({ kind: 'upstream', mirror: 'http://127.0.0.1:9/' }, { base: BASE, cache: testCache(dir), signal }, stepContext()), /expected an answer from .*check the network/)
})

test('Ctrl-C in the middle of a download leaves nothing in the cache', async (t) => {
  const dir = await tempDir(t)
  const { data, sha256 } = await makeTarball(dir)
  const abort = new AbortController()
  const mirror = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': data.length })
    response.write(data.subarray(0, 1000), () => setTimeout(() => abort.abort(), 20))
  })
  const cache = testCache(dir)
  const options = { base: { ...BASE, upstream: { sha256 } }, cache, signal: abort.signal }
  await assert.rejects(fetchSource({ kind: 'upstream', mirror }, options, stepContext(abort.signal)), InterruptedError)
  assert.deepEqual(await readdir(cache.sources), [])
})

test("a truncated tarball of the caller's is a usage error, and no tree is left", async (t) => {
  const dir = await tempDir(t)
  const { path, data } = await makeTarball(dir)
  await truncate(path, Math.floor(data.length / 2))
  const cache = testCache(dir)
  const options = { base: BASE, cache, source: path, signal }
  await assert.rejects(fetchSource(await chooseRoad(options), options, stepContext()), (error: Error) => {
    assert.ok(error instanceof UsageError)
    assert.match(error.message, /expected a whole tarball of the kernel sources at .*truncated/)
    return true
  })
  assert.deepEqual(await readdir(cache.bases), [])
})

test('a file that is no tarball, and a tarball that is no kernel, are usage errors', async (t) => {
  const dir = await tempDir(t)
  const text = join(dir, 'notes.txt')
  await writeFile(text, 'nothing to unpack')
  await writeTree(join(dir, 'other'), { README: 'not Linux' })
  const other = join(dir, 'other.tar')
  await runCommand({ file: 'tar', args: ['-cf', other, '-C', dir, 'other'] })
  for (const source of [text, other]) {
    const options = { base: BASE, cache: testCache(dir), source, signal }
    await assert.rejects(fetchSource(await chooseRoad(options), options, stepContext()), UsageError)
  }
})

test("somebody's own tree is copied, without what was built in it, and copied again after an edit", async (t) => {
  const dir = await tempDir(t)
  const tree = await writeTree(join(dir, 'mine'), { ...TINY_KERNEL, '.config': 'CONFIG_X=y', 'mm/mmap.o': 'object', '.git/HEAD': 'ref' })
  const options = { base: BASE, cache: testCache(dir), source: tree, signal }
  const first = await fetchSource(await chooseRoad(options), options, stepContext())
  assert.notEqual(first.dir, tree)
  for (const left of ['.config', 'mm/mmap.o', '.git']) await assert.rejects(stat(join(first.dir, left)))
  await writeFile(join(tree, 'mm/mmap.c'), 'int edited;\n')
  const second = await fetchSource(await chooseRoad(options), options, stepContext())
  assert.equal(second.dir, first.dir)
  assert.notEqual(second.key, first.key)
  assert.equal(await readFile(join(second.dir, 'mm/mmap.c'), 'utf8'), 'int edited;\n')
})

test('the road: --source first, then a mirror, then what the machine is', async (t) => {
  const dir = await tempDir(t)
  const debian = 'ID=debian\nVERSION_CODENAME=bookworm\n'
  assert.deepEqual(await chooseRoad({ osRelease: debian }, {}), { kind: 'debian' })
  assert.equal((await chooseRoad({ osRelease: 'ID=fedora\n' }, {})).kind, 'upstream')
  assert.deepEqual(await chooseRoad({ osRelease: debian }, { KMHO_KERNEL_MIRROR: 'http://m/' }), { kind: 'upstream', mirror: 'http://m/' })
  assert.deepEqual(await chooseRoad({ osRelease: debian, source: dir, mirror: 'http://m/' }, {}), { kind: 'dir', path: dir })
  await assert.rejects(chooseRoad({ source: join(dir, 'nothing') }, {}), /expected --source to name a tarball or a folder, found nothing at/)
})

test('the list of checksums has to name the very file', () => {
  assert.throws(() => findChecksum(`${'b'.repeat(64)}  linux-7.3.40.tar.xz`, 'linux-7.3.4.tar.xz', 'here'), /expected a SHA-256 for linux-7.3.4.tar.xz in here/)
})
