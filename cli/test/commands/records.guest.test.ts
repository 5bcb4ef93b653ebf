// SPDX-License-Identifier: MIT
//
// kmho ls, show and drop as an operator calls them, in a guest with a kexec in between:
//
//     node records.guest.test.js before | after
//     node records.guest.test.js control      with kho=off
//
// Processes that hand memory over are this file again, with a role.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as native from '../../../native/lib/index.js'
import { rootDir } from '../../src/paths.js'

const PAGE = native.pageSize()
const OTHER_UID = 1000
const [, thisFile = fileURLToPath(import.meta.url), stage, key, freeze] = process.argv

interface Answer {
  status: number | null
  stdout: string
  stderr: string
}

function kmho(args: readonly string[], uid = 0): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(rootDir(), 'cli/bin/kmho.js'), ...args], { encoding: 'utf8', uid, gid: uid })
  return { status, stdout, stderr }
}

/** What a process is called is up to its Node. */
const commOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()

interface Shown {
  key: string
  uid: number
  state: string
  pid: number
  comm: string | null
  pages: number
  bytes: number
  ranges: { length: number; kind: string }[]
}

function list(args: readonly string[] = [], uid = 0): Shown[] {
  const { status, stdout } = kmho(['--json', 'ls', ...args], uid)
  assert.equal(status, 0)
  return (JSON.parse(stdout) as { records: Shown[] }).records
}

/** A process that has handed two of its three pages and a hole over, and lives until it is killed. */
async function startHolder(name: number, { uid = 0, frozen = false } = {}): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, [thisFile, 'hold', String(name), frozen ? 'freeze' : ''], { uid, gid: uid, stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  assert.ok(child.pid)
  // The tests are over when nothing is waited for any more.
  child.stdout.destroy()
  child.unref()
  process.on('exit', () => child.kill('SIGKILL'))
  return child as ChildProcess & { pid: number }
}

function hold(): void {
  const buffer = native.alloc(3 * PAGE)
  buffer[0] = buffer[2 * PAGE] = 1
  native.handover(BigInt(key ?? 0), buffer)
  if (freeze) native.freeze(BigInt(key ?? 0))
  process.stdout.write('ready\n')
  setInterval(() => {}, 1000)
}

async function before(): Promise<void> {
  const [live, frozen, gone, , dropped] = await Promise.all([
    startHolder(1),
    startHolder(2, { frozen: true }),
    startHolder(3),
    startHolder(4, { uid: OTHER_UID }),
    startHolder(5, { uid: OTHER_UID }),
  ])
  gone.ref()
  gone.kill('SIGKILL')
  await once(gone, 'exit')

  test('ls lists a live, a frozen and an orphaned record with their processes', () => {
    assert.deepEqual(list().map(({ key, state, pid, comm, pages }) => ({ key, state, pid, comm, pages })), [
      { key: '1', state: 'live', pid: live.pid, comm: commOf(live.pid), pages: 2 },
      { key: '2', state: 'frozen', pid: frozen.pid, comm: commOf(frozen.pid), pages: 2 },
      { key: '3', state: 'orphaned', pid: 0, comm: null, pages: 2 },
    ])
    const { status, stdout } = kmho(['ls'])
    assert.equal(status, 0)
    assert.match(stdout, new RegExp(`0x1 \\(1\\) .* 0 .* live .* ${live.pid} ${commOf(live.pid)}`))
    assert.match(stdout, /0x3 \(3\) .* orphaned .* - /)
  })

  test('root sees the records of every user, and of one', () => {
    assert.deepEqual(list(['--all']).map(({ key, uid }) => `${uid} ${key}`), ['0 1', '0 2', '0 3', '1000 4', '1000 5'])
    assert.deepEqual(list(['--uid', String(OTHER_UID)]).map(({ key }) => key), ['4', '5'])
  })

  test('another user sees their own, and is refused the rest in a line', () => {
    assert.deepEqual(list([], OTHER_UID).map(({ key }) => key), ['4', '5'])
    for (const args of [['ls', '--all'], ['drop', '1', '--uid', '0']]) {
      const { status, stdout, stderr } = kmho(args, OTHER_UID)
      assert.deepEqual({ status, stdout }, { status: 1, stdout: '' })
      assert.match(stderr, /^kmho: expected CAP_SYS_ADMIN, .* \(EPERM\); ask as root\n$/)
    }
  })

  test('show has the ranges, and takes a key in hexadecimal', () => {
    const { status, stdout } = kmho(['show', '0x4', '--uid', String(OTHER_UID), '--json'])
    assert.equal(status, 0)
    const { record } = JSON.parse(stdout) as { record: Shown }
    assert.equal(record.bytes, 3 * PAGE)
    assert.deepEqual(record.ranges.map(({ length, kind }) => ({ length, kind })), [{ length: 3 * PAGE, kind: 'anon' }])
    assert.match(kmho(['show', '1']).stdout, /0x[\da-f]+ .* rw- .* anon/)
  })

  test('drop --dry-run drops nothing, and drop drops one', () => {
    const asked = ['drop', '5', '--uid', String(OTHER_UID)]
    assert.match(kmho([...asked, '--dry-run']).stdout, new RegExp(`^would drop key 0x5 \\(5\\) of uid 1000: 8 KiB of memory; process ${dropped.pid} ${commOf(dropped.pid)} keeps it\n$`))
    assert.equal(list(['--all']).length, 5)
    const { status, stdout } = kmho(asked)
    assert.equal(status, 0)
    assert.match(stdout, /^dropped key 0x5 \(5\) of uid 1000/)
    const again = kmho(asked)
    assert.equal(again.status, 1)
    assert.match(again.stderr, /found none \(ENOENT\)/)
  })
}

function afterKexec(): void {
  test('what came with the kexec is listed as that, and can be dropped', () => {
    assert.deepEqual(list(['--all']).map(({ key, uid, state, pid, pages }) => ({ key, uid, state, pid, pages })), [
      { key: '1', uid: 0, state: 'incoming', pid: 0, pages: 2 },
      { key: '2', uid: 0, state: 'incoming', pid: 0, pages: 2 },
      { key: '3', uid: 0, state: 'incoming', pid: 0, pages: 2 },
      { key: '4', uid: OTHER_UID, state: 'incoming', pid: 0, pages: 2 },
    ])
    assert.match(kmho(['ls']).stdout, /from the last kernel/)
    assert.match(kmho(['drop', '3']).stdout, /nobody has it, so it is freed\n$/)
    const { ok, dropped, record } = JSON.parse(kmho(['--json', 'drop', '2']).stdout) as { ok: boolean; dropped: boolean; record: Shown }
    assert.deepEqual({ ok, dropped, key: record.key, uid: record.uid, pages: record.pages }, { ok: true, dropped: true, key: '2', uid: 0, pages: 2 })
    assert.deepEqual(list().map(({ key }) => key), ['1'])
  })
}

function control(): void {
  test('with kho=off ls and drop say what mends it', () => {
    for (const args of [['ls'], ['drop', '1']]) {
      const { status, stdout, stderr } = kmho(args)
      assert.deepEqual({ status, stdout }, { status: 69, stdout: '' })
      assert.match(stderr, /^kmho: expected kexec handover to be on, .*\(EOPNOTSUPP\); boot with kho=on [^\n]*\n$/)
    }
  })
}

const stages: Record<string, () => void | Promise<void>> = { hold, before, after: afterKexec, control }
const run = stages[stage ?? '']
if (!run) throw new Error(`expected one of ${Object.keys(stages).join(', ')}, found ${stage}`)
await run()
