// SPDX-License-Identifier: MIT
//
// What becomes of memory: that it is where it should be, that a freed Buffer shows nothing, and that whatever is
// given up is unmapped, exactly when nothing can reach it any more.

import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, write } from 'node:fs'
import { devNull } from 'node:os'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { deflate, inflateSync, type ZlibOptions } from 'node:zlib'
import { markAsUntransferable, Worker } from 'node:worker_threads'
import { getBinding } from '../lib/binding.cjs'
import * as kmho from '../lib/index.js'
import { hugePageSize } from '../lib/memory.cjs'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as () => void
const PAGE = kmho.pageSize()

/** Collects until `done`; finalizers run in a later turn of the event loop than the collection. */
async function collectUntil(done: () => boolean): Promise<void> {
  for (let i = 0; i < 50 && !done(); i++) {
    collectGarbage()
    await nextTurn()
  }
}

function isMapped(address: bigint, length: number): boolean {
  return getBinding().isMapped(address, length)
}

/** The row of /proc/self/maps that holds the address. */
function findMap(address: bigint): string | undefined {
  return readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .find((row) => {
      const [start, end] = row.split(' ')[0]!.split('-')
      return address >= BigInt(`0x${start}`) && address < BigInt(`0x${end || '0'}`)
    })
}

describe('alloc', () => {
  test('gives zeroed, page-aligned, private anonymous memory of whole pages', () => {
    const buffer = kmho.alloc(PAGE + 1)
    assert.ok(Buffer.isBuffer(buffer))
    assert.equal(buffer.length, 2 * PAGE)
    assert.equal(buffer.byteOffset, 0)
    assert.equal(buffer.buffer.byteLength, 2 * PAGE)
    assert.equal(kmho.addressOf(buffer) % BigInt(PAGE), 0n)
    assert.ok(buffer.every((byte) => byte === 0))
    assert.match(findMap(kmho.addressOf(buffer))!, / rw-p 00000000 00:00 0 *$/)
    buffer.fill(0xa5)
    assert.ok(buffer.every((byte) => byte === 0xa5))
    kmho.free(buffer)
  })

  test('never lays two Buffers side by side: a page that nobody can touch is between', () => {
    const buffers = Array.from({ length: 20 }, () => kmho.alloc(PAGE))
    for (const buffer of buffers) assert.match(findMap(kmho.addressOf(buffer) + BigInt(PAGE))!, / ---p /)
    buffers.forEach((buffer) => kmho.free(buffer))
  })

  test('makes every page present when asked to populate, and none when not', () => {
    const resident = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]) * 1024
    const length = 64 << 20
    const before = resident()
    const lazy = kmho.alloc(length)
    assert.ok(resident() - before < length / 2)
    const eager = kmho.alloc(length, { populate: true })
    assert.ok(resident() - before > length * 0.9)
    kmho.free(lazy)
    kmho.free(eager)
    assert.ok(resident() - before < length / 2, 'free gives the memory back at once')
  })

  test('aligns for huge pages when asked to', () => {
    const buffer = kmho.alloc(3 * hugePageSize(), { hugepages: true, populate: true })
    assert.equal(kmho.addressOf(buffer) % BigInt(hugePageSize()), 0n)
    kmho.free(buffer)
    const small = kmho.alloc(PAGE, { hugepages: true })
    assert.equal(small.length, PAGE)
    kmho.free(small)
  })

  test('refuses sizes that no Buffer can have', () => {
    for (const bytes of [0, -1, 1.5, Number.NaN, Infinity, Number.MAX_SAFE_INTEGER])
      assert.throws(() => kmho.alloc(bytes), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }, String(bytes))
    assert.throws(() => kmho.alloc('4096' as unknown as number), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  })

  test('out of addresses is a system error', () => {
    const result = getBinding().map(2 ** 52, PAGE, 0)
    assert.equal(result, -12)
  })
})

describe('free', () => {
  test('leaves nothing to read: the Buffer and all views of it have length 0', () => {
    const buffer = kmho.alloc(2 * PAGE)
    const part = buffer.subarray(16, 32)
    const words = new Uint32Array(buffer.buffer, 0, 4)
    const view = new DataView(buffer.buffer)
    buffer.fill(7)
    kmho.free(buffer)
    assert.equal(buffer.length, 0)
    assert.equal(buffer[0], undefined)
    assert.equal(part.length, 0)
    assert.equal(words.length, 0)
    assert.equal(words[0], undefined)
    assert.throws(() => view.getUint8(0), TypeError)
    assert.throws(() => kmho.addressOf(buffer), { code: 'ERR_INVALID_ARG_VALUE', message: /no memory/ })
    assert.throws(() => kmho.handover(1, buffer), { code: 'ERR_INVALID_ARG_VALUE', message: /no memory/ })
  })

  test('twice, of a part, or of other memory is refused and harms nothing', () => {
    const buffer = kmho.alloc(2 * PAGE)
    assert.throws(() => kmho.free(buffer.subarray(PAGE)), { code: 'ERR_INVALID_ARG_VALUE', message: /whole/ })
    buffer[0] = 1
    kmho.free(buffer)
    assert.throws(() => kmho.free(buffer), { code: 'ERR_INVALID_STATE', message: /freed before/ })
    const heap = Buffer.alloc(PAGE).buffer
    assert.throws(() => kmho.free(heap), { code: 'ERR_INVALID_ARG_VALUE', message: /from alloc\(\) or takeover\(\)/ })
    assert.equal(heap.byteLength, PAGE)
    assert.throws(() => kmho.free(new Uint8Array(new SharedArrayBuffer(PAGE))), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.throws(() => kmho.free(null as unknown as Buffer), { code: 'ERR_INVALID_ARG_TYPE' })
  })

  test('keeps the addresses, empty, until the ArrayBuffer is collected', async () => {
    let address = 0n
    let holder: { memory?: ArrayBufferLike } = {}
    ;(() => {
      const buffer = kmho.alloc(PAGE)
      address = kmho.addressOf(buffer)
      buffer.fill(1)
      holder = { memory: buffer.buffer }
      kmho.free(buffer)
    })()
    await collectUntil(() => false)
    assert.ok(isMapped(address, PAGE), 'somebody still holds the ArrayBuffer')
    assert.equal(holder.memory!.byteLength, 0)
    delete holder.memory
    await collectUntil(() => !isMapped(address, PAGE))
    assert.ok(!isMapped(address, PAGE))
  })

  test('while another thread still reads: it finds zeroes or the contents, and lives', async () => {
    const length = 32 << 20
    for (let round = 0; round < 3; round++) {
      const buffer = kmho.alloc(length, { populate: true })
      buffer.fill(0x5a)
      const running = promisify<Buffer, ZlibOptions, Buffer>(deflate)(buffer, { chunkSize: length })
      kmho.free(buffer)
      collectGarbage()
      const bytes = inflateSync(await running)
      assert.equal(bytes.length, length)
      assert.ok(bytes.every((byte) => byte === 0x5a || byte === 0))
    }
    const file = openSync(devNull, 'w')
    const buffer = kmho.alloc(length, { populate: true })
    const written = promisify(write)(file, buffer, 0, length, null)
    kmho.free(buffer)
    collectGarbage()
    assert.equal((await written).bytesWritten, length)
    closeSync(file)
  })
})

describe('garbage collection', () => {
  test('gives the memory of Buffers that nobody holds back, guard page and all', async () => {
    await collectUntil(() => false)
    const before = getBinding().stats()
    const addresses: bigint[] = []
    ;(() => {
      for (let i = 0; i < 16; i++) addresses.push(kmho.addressOf(kmho.alloc(4 * PAGE)))
    })()
    await collectUntil(() => getBinding().stats().mappings === before.mappings)
    assert.deepEqual(getBinding().stats(), before)
    for (const address of addresses) assert.ok(!isMapped(address, PAGE) && !isMapped(address + BigInt(4 * PAGE), PAGE))
  })

  test('does not touch memory that a mere view still shows', async () => {
    const { part, address } = (() => {
      const buffer = kmho.alloc(2 * PAGE)
      buffer.write('reachable', PAGE)
      return { part: buffer.subarray(PAGE, PAGE + 9), address: kmho.addressOf(buffer) }
    })()
    await collectUntil(() => false)
    assert.ok(isMapped(address, 2 * PAGE))
    assert.equal(part.toString('latin1'), 'reachable')
  })

  test('does not pile up addresses over many rounds of alloc and free', async () => {
    await collectUntil(() => false)
    const before = getBinding().stats()
    for (let i = 0; i < 2000; i++) {
      kmho.free(kmho.alloc(PAGE))
      if (i % 500 === 0) await collectUntil(() => getBinding().stats().mappings === before.mappings)
    }
    await collectUntil(() => getBinding().stats().mappings === before.mappings)
    assert.deepEqual(getBinding().stats(), before)
  })
})

describe('an ArrayBuffer of ours', () => {
  test('cannot be moved to another thread or to a clone', () => {
    const buffer = kmho.alloc(PAGE)
    buffer.write('mine')
    try {
      structuredClone(buffer.buffer, { transfer: [buffer.buffer as ArrayBuffer] })
    } catch (error) {
      assert.equal((error as Error).name, 'DataCloneError') // from Node 21 on; before, it is copied
    }
    assert.equal(buffer.toString('latin1', 0, 4), 'mine')
    kmho.free(buffer)
  })

  test('that somebody marked as untransferable shows zeroes, or nothing, once it is freed', () => {
    const buffer = kmho.alloc(PAGE)
    buffer.fill(1)
    markAsUntransferable(buffer.buffer)
    kmho.free(buffer)
    assert.ok(buffer.length === 0 || buffer.every((byte) => byte === 0))
    assert.throws(() => kmho.free(buffer), /freed before|from alloc/)
  })

  test('keeps its memory when ArrayBuffer.prototype.transfer renames it, and is freed under the new name', async () => {
    type Transferable = ArrayBuffer & { transfer?: () => ArrayBuffer }
    const address = (() => {
      const buffer = kmho.alloc(PAGE)
      const address = kmho.addressOf(buffer)
      buffer.write('moved')
      const memory = buffer.buffer as Transferable
      // Node 20 does not have it.
      const renamed = memory.transfer === undefined ? memory : memory.transfer()
      assert.equal(Buffer.from(renamed).toString('latin1', 0, 5), 'moved')
      assert.equal(kmho.addressOf(renamed), address)
      kmho.free(renamed)
      assert.equal(renamed.byteLength, 0)
      return address
    })()
    await collectUntil(() => !isMapped(address, PAGE))
    assert.ok(!isMapped(address, PAGE))
  })
})

describe('worker threads', () => {
  const entry = new URL('../lib/index.js', import.meta.url).href
  const inWorker = (body: string) =>
    new Promise<unknown>((resolve, reject) => {
      const code = `const { parentPort } = require('node:worker_threads'); import(${JSON.stringify(entry)}).then((kmho) => { ${body} })`
      const worker = new Worker(code, { eval: true })
      let answer: unknown
      worker.on('message', (message) => (answer = message))
      worker.on('error', reject)
      worker.on('exit', () => resolve(answer))
    })

  test('load the addon side by side, and give their memory back when they end', async () => {
    await collectUntil(() => false)
    const before = getBinding().stats()
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, i) =>
        inWorker(`const b = kmho.alloc(8 * kmho.pageSize()); b.fill(${i}); globalThis.kept = b;
          parentPort.postMessage({ address: kmho.addressOf(b), sum: b.reduce((a, c) => a + c, 0) })`),
      ),
    )
    answers.forEach((answer, i) => {
      const { address, sum } = answer as { address: bigint; sum: number }
      assert.equal(sum, i * 8 * PAGE)
      assert.ok(!isMapped(address, PAGE))
    })
    assert.deepEqual(getBinding().stats(), before)
  })

  test('ended by force give it back too', async () => {
    const before = getBinding().stats()
    const code = `import(${JSON.stringify(entry)}).then((kmho) => { globalThis.b = kmho.alloc(1 << 20); postMessage(1); for (;;); })`
    const worker = new Worker(`const postMessage = (m) => require('node:worker_threads').parentPort.postMessage(m); ${code}`, {
      eval: true,
    })
    await new Promise((resolve) => worker.once('message', resolve))
    assert.equal(getBinding().stats().mappings, before.mappings + 1)
    await worker.terminate()
    assert.deepEqual(getBinding().stats(), before)
  })

  test('copy, and do not share, what is posted to them', async () => {
    const buffer = kmho.alloc(PAGE)
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       parentPort.once('message', (m) => { m[0] = 9; parentPort.postMessage(m[1]) })`,
      { eval: true },
    )
    buffer[1] = 42
    worker.postMessage(buffer)
    assert.equal(await new Promise((resolve) => worker.once('message', resolve)), 42)
    assert.equal(buffer[0], 0)
    await worker.terminate()
    kmho.free(buffer)
  })
})

describe('addressOf', () => {
  test('is where the first byte of the view is', () => {
    const buffer = kmho.alloc(PAGE)
    const address = kmho.addressOf(buffer)
    assert.equal(kmho.addressOf(buffer.buffer as ArrayBuffer), address)
    assert.equal(kmho.addressOf(buffer.subarray(100)), address + 100n)
    assert.equal(kmho.addressOf(new DataView(buffer.buffer, 8)), address + 8n)
    assert.equal(kmho.addressOf(new Float64Array(buffer.buffer, 16)), address + 16n)
    kmho.free(buffer)
    assert.throws(() => kmho.addressOf('text' as unknown as Buffer), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.throws(() => kmho.addressOf(new ArrayBuffer(0)), { code: 'ERR_INVALID_ARG_VALUE' })
  })
})
