// SPDX-License-Identifier: MIT
//
// The addon and a kernel that has the call, within one boot. Runs as root in a guest: node call.guest.test.js. Processes
// that hand over and end, or are another user, are this file again with a uid and the roles to play.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { beforeEach, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { getBinding } from '../lib/binding.cjs'
import * as kmho from '../lib/index.js'
import { fillPattern, patternSha256, sha256 } from './pattern.js'

const PAGE = kmho.pageSize()
const MIB = 1 << 20
const OTHER_UID = 1000
const thisFile = fileURLToPath(import.meta.url)

/** What this file does as another process. What a role returns, the parent gets; see runRoles(). */
const roles: Readonly<Record<string, (...args: string[]) => unknown>> = {
  /** Hands a pattern over, and ends. */
  handover(key, bytes, seed) {
    const buffer = kmho.alloc(Number(bytes))
    fillPattern(buffer, Number(seed))
    return kmho.handover(BigInt(key!), buffer)
  },
  /** Hands a pattern over, and waits to be killed. */
  linger(key, bytes, seed) {
    const ranges = roles['handover']!(key!, bytes!, seed!)
    setInterval(() => {}, 1000)
    return ranges
  },
  /** Hands a pattern over, freezes it, and overwrites its memory before it ends. */
  freeze(key, bytes, seed) {
    const buffer = kmho.alloc(Number(bytes))
    fillPattern(buffer, Number(seed))
    kmho.handover(BigInt(key!), buffer)
    kmho.freeze(BigInt(key!))
    buffer.fill(0xff)
  },
  /** Hands two pages and a page of another Buffer over, and ends. */
  handoverThree(key) {
    const one = kmho.alloc(2 * PAGE)
    const two = kmho.alloc(PAGE)
    fillPattern(one, 1)
    fillPattern(two, 2)
    return kmho.handover(BigInt(key!), [one, two])
  },
  /** Tries to take a key over. */
  takeover(key) {
    return kmho.takeover(BigInt(key!)).map(sha256)
  },
  /** Hands over more than RLIMIT_MEMLOCK allows anybody without CAP_IPC_LOCK. */
  handoverTooMuch(key) {
    return roles['handover']!(key!, String(64 * MIB), '1')
  },
  /** Drops a key of root's. */
  dropOfRoot: (key) => kmho.drop(BigInt(key!), { uid: 0 }),
  queryAll: () => kmho.query({ all: true }),
  query: () => kmho.query().records.map(({ key }) => key),
}

const reviveBigInts = (_: string, value: unknown) =>
  typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value

type Call = [role: string, ...args: (string | bigint | number)[]]

/** Plays roles in a process of their own, one after the other, and gives what each answered. */
function runRoles(calls: Call[], uid = 0): unknown[] {
  const text = JSON.stringify(calls.map((call) => call.map(String)))
  const { status, stdout, stderr } = spawnSync(process.execPath, [thisFile, String(uid), text], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout.trim().split('\n').at(-1)!, reviveBigInts) as unknown[]
}

function runRole(...call: Call): unknown {
  return runRoles([call])[0]
}

function playRoles(uid: number, calls: string[][]): void {
  if (uid > 0) {
    // Only now: the files from which this is loaded may be root's alone.
    getBinding()
    process.setgroups!([])
    process.setgid!(uid)
    process.setuid!(uid)
  }
  const answers = calls.map(([role, ...args]) => {
    try {
      return roles[role!]!(...args) ?? null
    } catch (error) {
      return { code: (error as kmho.KmhoError).code, message: (error as Error).message }
    }
  })
  console.log(JSON.stringify(answers, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)))
}

function main(): void {
  setFlagsFromString('--expose_gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const collectUntil = async (done: () => boolean) => {
    for (let i = 0; i < 20 && !done(); i++) await collect()
  }
  const collect = async () => {
    collectGarbage()
    await nextTurn()
  }

  beforeEach(() => {
    for (const { key } of kmho.query().records) kmho.drop(key)
    assert.deepEqual(kmho.query().records, [])
  })

  test('this kernel has the call', () => {
    assert.equal(kmho.isSupported(), true)
    for (const opcode of [kmho.KMHO_HANDOVER, kmho.KMHO_TAKEOVER, kmho.KMHO_QUERY, kmho.KMHO_DROP])
      assert.equal(kmho.isSupported(opcode), true)
    assert.ok(kmho.probe().maxRanges! >= 65536)
    assert.equal(kmho.query().abi, kmho.probe().abi)
  })

  describe('a record that is live', () => {
    test('is shown with its owner, its process and its pieces', () => {
      const buffer = kmho.alloc(3 * PAGE)
      buffer[0] = buffer[2 * PAGE] = 1
      const [range] = kmho.handover(5, buffer)
      const { ranges, ...record } = kmho.query(5)
      assert.deepEqual(ranges, [{ ...range, prot: 3, kind: 'anon' }])
      assert.equal(record.key, 5n)
      assert.equal(record.uid, 0)
      assert.equal(record.state, 'live')
      assert.equal(record.pid, process.pid)
      assert.equal(record.bytes, 3 * PAGE)
      assert.equal(record.present, 2 * PAGE)
      assert.ok(record.metadata > 0)
      assert.equal(record.nrRanges, 1)
      assert.deepEqual(kmho.query().records, [record])
      kmho.drop(5)
      kmho.free(buffer)
    })

    test('keeps its memory from being freed, and the Buffer works on', () => {
      const buffer = kmho.alloc(4 * PAGE)
      buffer.fill(1)
      kmho.handover(1, buffer.subarray(PAGE, 2 * PAGE))
      assert.throws(() => kmho.free(buffer), { code: 'EPERM', syscall: 'mmap', message: /drop\(\) its record/ })
      assert.equal(buffer.length, 4 * PAGE)
      assert.ok(buffer.every((byte) => byte === 1), 'not a page of it went')
      kmho.drop(1)
      kmho.free(buffer)
      assert.equal(buffer.length, 0)
    })

    test('has its contents even when nobody holds the Buffer any more, and the memory goes with the record', async () => {
      assert.equal(getBinding().stats().orphans, 0)
      const address = (() => {
        const buffer = kmho.alloc(PAGE)
        buffer.write('forgotten')
        kmho.handover(1, buffer)
        return kmho.addressOf(buffer)
      })()
      await collectUntil(() => getBinding().stats().orphans > 0)
      assert.equal(getBinding().stats().orphans, 1)
      assert.equal(kmho.query(1).present, PAGE)
      assert.ok(getBinding().isMapped(address, PAGE))
      kmho.drop(1)
      assert.equal(getBinding().stats().orphans, 0)
      assert.ok(!getBinding().isMapped(address, PAGE))
    })

    test('outlives the worker thread that made it', async () => {
      const entry = new URL('../lib/index.js', import.meta.url).href
      const worker = new Worker(
        `import(${JSON.stringify(entry)}).then((kmho) => { const b = kmho.alloc(kmho.pageSize()); b[0] = 1; kmho.handover(77, b) })`,
        { eval: true },
      )
      await once(worker, 'exit')
      assert.equal(kmho.query(77).state, 'live')
      assert.equal(kmho.query(77).present, PAGE)
      kmho.drop(77)
      assert.equal(getBinding().stats().orphans, 0)
    })

    test('costs what was touched, not what was reserved', () => {
      const buffer = kmho.alloc(64 * 1024 * MIB)
      for (let at = 0; at < buffer.length; at += 1024 * MIB) buffer[at] = 1
      kmho.handover(1, buffer)
      assert.equal(kmho.query(1).present, 64 * PAGE)
      buffer[12345 * PAGE] = 1
      kmho.drop(1)
      kmho.free(buffer)
    })
  })

  describe('each mistake has its errno, and the right call straight afterwards succeeds', () => {
    const throwsCode = (code: string, call: () => unknown) =>
      assert.throws(call, (error: kmho.KmhoError) => {
        assert.ok(error instanceof kmho.KmhoError, String(error))
        assert.equal(error.code, code, error.message)
        assert.equal(error.syscall, 'kmho')
        assert.ok(error.errno < 0)
        return true
      })

    test('of a handover', () => {
      const buffer = kmho.alloc(4 * PAGE)
      fillPattern(buffer, 1)
      const base = kmho.addressOf(buffer)
      throwsCode('EINVAL', () => kmho.handover(1, buffer.subarray(1)))
      throwsCode('EINVAL', () => kmho.handover(1, buffer.subarray(0, PAGE + 1)))
      throwsCode('EINVAL', () => kmho.handover(1, { base, length: 0 }))
      throwsCode('EINVAL', () => kmho.handover(1, { base: 2n ** 64n - BigInt(PAGE), length: 2 * PAGE }))
      throwsCode('EINVAL', () => kmho.handover(1, [buffer, buffer.subarray(PAGE)]))
      throwsCode('EINVAL', () => kmho.handover(1, []))
      throwsCode('ENOMEM', () => kmho.handover(1, { base, length: 1 << 30 }))
      throwsCode('EFAULT', () => kmho.kmho(kmho.KMHO_HANDOVER, null))
      throwsCode('EINVAL', () => kmho.kmho(63, {}))
      const { maxRanges } = kmho.query()
      throwsCode('E2BIG', () => kmho.handover(1, new Array<kmho.Memory>(maxRanges + 1).fill({ base, length: PAGE })))
      assert.deepEqual(kmho.query().records, [])
      kmho.handover(1, buffer)
      throwsCode('EEXIST', () => kmho.handover(1, buffer))
      throwsCode('EBUSY', () => kmho.handover(2, buffer.subarray(PAGE, 2 * PAGE)))
      throwsCode('EBUSY', () => kmho.takeover(1))
      throwsCode('ENOENT', () => kmho.drop(3))
      throwsCode('ENOENT', () => kmho.query(3))
      assert.equal(sha256(buffer), patternSha256(buffer.length, 1))
      kmho.drop(1)
      throwsCode('ENOENT', () => kmho.drop(1))
      kmho.handover(1, buffer)
      kmho.drop(1)
      kmho.free(buffer)
    })

    test('of a takeover', () => {
      const [range] = runRole('handover', 9, 4 * PAGE, 7) as [kmho.Range]
      const page = BigInt(PAGE)
      const occupied = kmho.alloc(PAGE)
      throwsCode('ENOENT', () => kmho.takeover(8))
      throwsCode('ENOENT', () => kmho.takeover(8, [range]))
      throwsCode('EINVAL', () => kmho.takeover(9, []))
      throwsCode('EINVAL', () => kmho.takeover(9, [{ base: range.base + 1n, length: PAGE }]))
      throwsCode('EINVAL', () => kmho.takeover(9, [{ base: range.base, length: 0 }]))
      throwsCode('EINVAL', () => kmho.takeover(9, [range, { base: range.base + page, length: PAGE }]))
      throwsCode('ENOENT', () => kmho.takeover(9, [{ base: range.base, length: 5 * PAGE }]))
      throwsCode('ENOENT', () => kmho.takeover(9, [range, { base: range.base - page, length: PAGE }]))
      throwsCode('EEXIST', () => kmho.takeover(9, [{ base: range.base, length: PAGE, remapAddr: kmho.addressOf(occupied) }]))
      throwsCode('EFAULT', () => kmho.kmho(kmho.KMHO_TAKEOVER, null))
      assert.equal(kmho.query(9).present, 4 * PAGE)
      const [taken] = kmho.takeover(9)
      assert.equal(sha256(taken!), patternSha256(4 * PAGE, 7))
      throwsCode('ENOENT', () => kmho.takeover(9))
      kmho.free(taken!)
      kmho.free(occupied)
    })

    test('of what this kernel does not have', () => {
      for (const opcode of [kmho.KMHO_FREEZE, kmho.KMHO_TAKEOVER_KEEP, kmho.KMHO_CHOWN])
        if (!kmho.isSupported(opcode)) throwsCode('EINVAL', () => kmho.kmho(opcode, { key: 1, new_uid: 0, ranges: [] }))
    })
  })

  describe('a successor takes over when the process has ended', () => {
    test('by itself: the Buffers come back apart, and by ascending address', () => {
      const ranges = runRole('handoverThree', 1) as [kmho.Range, kmho.Range]
      assert.equal(kmho.query(1).state, 'held')
      assert.equal(kmho.query(1).pid, 0)
      const taken = kmho.takeover(1)
      const expected = [...ranges].sort((a, b) => (a.base < b.base ? -1 : 1))
      assert.deepEqual(taken.map(kmho.originOf), expected.map(({ base }) => base))
      assert.deepEqual(taken.map(({ length }) => length), expected.map(({ length }) => length))
      for (const buffer of taken) {
        assert.equal(sha256(buffer), patternSha256(buffer.length, kmho.originOf(buffer) === ranges[0].base ? 1 : 2))
        kmho.free(buffer)
      }
      assert.deepEqual(kmho.query().records, [])
    })

    test('by SIGKILL', async () => {
      const child: ChildProcess = spawn(process.execPath, [thisFile, '0', JSON.stringify([['linger', '3', `${8 * MIB}`, '9']])], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await once(child.stdout!, 'data')
      assert.equal(kmho.query(3).state, 'live')
      assert.equal(kmho.query(3).pid, child.pid)
      assert.throws(() => kmho.takeover(3), { code: 'EBUSY' })
      child.kill('SIGKILL')
      await once(child, 'exit')
      const [taken] = kmho.takeover(3)
      assert.equal(sha256(taken!), patternSha256(8 * MIB, 9))
      kmho.free(taken!)
    })

    test('range by range, into a place of its own, at an address, and where the kernel likes', () => {
      const [{ base }] = runRole('handover', 4, 8 * PAGE, 5) as [kmho.Range]
      const expected = Buffer.alloc(8 * PAGE)
      fillPattern(expected, 5)
      const at = (page: number) => base + BigInt(page * PAGE)
      const check = (buffer: Buffer, page: number, pages: number) => {
        assert.ok(buffer.equals(expected.subarray(page * PAGE, (page + pages) * PAGE)))
        assert.equal(kmho.originOf(buffer), at(page))
      }
      const [two, zero] = kmho.takeover(4, [
        { base: at(2), length: PAGE },
        { base: at(0), length: PAGE },
      ])
      check(two!, 2, 1)
      check(zero!, 0, 1)
      assert.throws(() => kmho.takeover(4, [{ base: at(0), length: PAGE }]), { code: 'ENOENT' })
      assert.equal(kmho.query(4).bytes, 6 * PAGE)

      const [chosen] = kmho.takeover(4, [{ base: at(1), length: PAGE, remapAddr: 0 }])
      check(chosen!, 1, 1)
      const free = kmho.addressOf(kmho.alloc(PAGE)) & ~0xfff_ffff_ffffn
      const [placed] = kmho.takeover(4, [{ base: at(3), length: PAGE, remapAddr: free + 0x123_0000n }])
      check(placed!, 3, 1)
      assert.equal(kmho.addressOf(placed!), free + 0x123_0000n)

      const home = kmho.alloc(6 * PAGE)
      home.fill(0xee)
      const [into] = kmho.takeover(4, [{ base: at(4), length: 2 * PAGE, into: home.subarray(PAGE, 3 * PAGE) }])
      assert.ok(into!.equals(expected.subarray(4 * PAGE, 6 * PAGE)))
      assert.ok(home.subarray(PAGE, 3 * PAGE).equals(into!))
      assert.equal(home[0], 0xee)
      assert.equal(home[3 * PAGE], 0xee)

      const rest = kmho.takeover(4)
      assert.equal(rest.length, 1)
      check(rest[0]!, 6, 2)
      for (const buffer of [two!, zero!, chosen!, placed!, home, rest[0]!]) {
        buffer.fill(1)
        kmho.free(buffer)
      }
    })

    test('through the raw call, which maps as the memory was and tells where', () => {
      const [{ base, length }] = runRole('handover', 6, 2 * PAGE, 5) as [kmho.Range]
      const range: kmho.TakeoverOpRange = { base, len: length }
      assert.equal(kmho.kmho(kmho.KMHO_TAKEOVER, { key: 6, ranges: [range] }), 0)
      assert.equal(typeof range.remap_addr, 'bigint')
      assert.ok(getBinding().isMapped(range.remap_addr as bigint, length))
      assert.throws(() => kmho.query(6), { code: 'ENOENT' })
    })

    test('and finds what was there at FREEZE, where the kernel has it', () => {
      if (kmho.isSupported(kmho.KMHO_FREEZE)) {
        assert.equal(runRole('freeze', 6, 4 * PAGE, 5), null)
        const [taken] = kmho.takeover(6)
        assert.equal(sha256(taken!), patternSha256(4 * PAGE, 5))
        kmho.free(taken!)
      } else {
        assert.throws(() => kmho.freeze(6), { code: 'EINVAL' })
      }
    })

    test('and leaves the record standing if it keeps it, where the kernel can', () => {
      runRole('handover', 6, 4 * PAGE, 5)
      if (kmho.isSupported(kmho.KMHO_TAKEOVER_KEEP)) {
        const [kept] = kmho.takeover(6, undefined, { keep: true })
        assert.equal(sha256(kept!), patternSha256(4 * PAGE, 5))
        assert.equal(kmho.query(6).state, 'live')
        assert.throws(() => kmho.free(kept!), { code: 'EPERM' })
        kmho.drop(6)
        kmho.free(kept!)
      } else {
        assert.throws(() => kmho.takeover(6, undefined, { keep: true }), { code: 'EINVAL' })
        assert.equal(sha256(kmho.takeover(6)[0]!), patternSha256(4 * PAGE, 5))
      }
    })

    test('and can hand the same memory over again', () => {
      runRole('handoverThree', 1)
      const taken = kmho.takeover(1)
      assert.equal(taken.length, 2)
      kmho.handover(2, taken)
      taken[0]![0] = 0x77
      assert.equal(kmho.query(2).bytes, 3 * PAGE)
      assert.throws(() => kmho.free(taken[1]!), { code: 'EPERM' })
      kmho.drop(2)
      taken.forEach((buffer) => kmho.free(buffer))
    })

    test('page by page, without a mapping left over', async () => {
      await collect()
      const before = getBinding().stats().mappings
      runRole('handover', 1, 128 * PAGE, 5)
      ;(() => {
        const [{ base }] = kmho.query(1).ranges as [kmho.RangeInfo]
        for (let i = 0; i < 128; i++) {
          const [page] = kmho.takeover(1, [{ base: base + BigInt(i * PAGE), length: PAGE }])
          kmho.free(page!)
        }
      })()
      assert.throws(() => kmho.query(1), { code: 'ENOENT' })
      // Fewer when something from before was collected too.
      await collectUntil(() => getBinding().stats().mappings <= before)
      assert.ok(getBinding().stats().mappings <= before)
    })
  })

  describe('another user', () => {
    test('does not meet our record, and may use the same key', () => {
      runRole('handover', 1, PAGE, 1)
      const answers = runRoles(
        [['takeover', 1], ['query'], ['dropOfRoot', 1], ['queryAll'], ['handover', 1, PAGE, 2], ['query']],
        OTHER_UID,
      )
      assert.equal((answers[0] as kmho.KmhoError).code, 'ENOENT')
      assert.deepEqual(answers[1], [])
      assert.equal((answers[2] as kmho.KmhoError).code, 'EPERM')
      assert.equal((answers[3] as kmho.KmhoError).code, 'EPERM')
      assert.deepEqual(answers[5], [1n])
      assert.deepEqual(kmho.query({ all: true }).records.map(({ uid }) => uid).sort(), [0, OTHER_UID])
      const [ours] = kmho.takeover(1)
      assert.equal(sha256(ours!), patternSha256(PAGE, 1))
      assert.deepEqual(runRoles([['takeover', 1]], OTHER_UID), [[patternSha256(PAGE, 2)]])
      kmho.free(ours!)
    })

    test('is bound to RLIMIT_MEMLOCK, and can hand less over afterwards', () => {
      const [answer] = runRoles([['handoverTooMuch', 1], ['handover', 1, PAGE, 2]], OTHER_UID) as [kmho.KmhoError]
      assert.equal(answer.code, 'EAGAIN', answer.message)
      assert.match(answer.message, /RLIMIT_MEMLOCK/)
      assert.equal(kmho.query({ key: 1, uid: OTHER_UID }).present, PAGE)
      kmho.drop(1, { uid: OTHER_UID })
      assert.deepEqual(kmho.query({ all: true }).records, [])
    })

    test('gets a record by CHOWN, where the kernel has it', () => {
      if (kmho.isSupported(kmho.KMHO_CHOWN)) {
        runRole('handover', 1, PAGE, 3)
        kmho.chown(1, OTHER_UID)
        assert.throws(() => kmho.query(1), { code: 'ENOENT' })
        assert.equal(kmho.query({ key: 1, uid: OTHER_UID }).uid, OTHER_UID)
        assert.deepEqual(runRoles([['takeover', 1]], OTHER_UID), [[patternSha256(PAGE, 3)]])
      } else {
        assert.throws(() => kmho.chown(1, OTHER_UID), { code: 'EINVAL' })
      }
    })
  })
}

const [uid, calls] = process.argv.slice(2)
if (uid !== undefined && calls !== undefined) playRoles(Number(uid), JSON.parse(calls) as string[][])
else main()
