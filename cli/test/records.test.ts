// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KmhoError, pageSize, type RecordDetail } from '../../native/lib/index.js'
import { ExitCode, ExpectedError, UsageError } from '../src/errors.js'
import { explainRefusal, formatKey, listRows, parseKey, recordObject, showRows, stateOf } from '../src/records.js'

const PAGE = pageSize()

const RECORD: RecordDetail = {
  key: 2n ** 64n - 1n,
  uid: 1000,
  state: 'live',
  bytes: 8 * PAGE,
  present: 5 * PAGE,
  metadata: 4096,
  nrRanges: 1,
  nrExtents: 2,
  migrated: 3 * PAGE,
  changed: 1,
  pid: 77,
  ranges: [{ base: 0x7f0000000000n, length: 8 * PAGE, prot: 3, kind: 'anon' }],
}

test('a key is read in either form, and whatever is none is refused', () => {
  assert.equal(parseKey('42'), 42n)
  assert.equal(parseKey('0x2A'), 42n)
  assert.equal(parseKey('18446744073709551615'), 2n ** 64n - 1n)
  for (const text of ['', '-1', '2a', '0x', '1.0', '18446744073709551616', ' 1']) assert.throws(() => parseKey(text), UsageError, text)
  assert.equal(formatKey(42n), '0x2a (42)')
})

test('a state tells a frozen record from one that nobody has', () => {
  assert.equal(stateOf({ state: 'live', pid: 0 }), 'live')
  assert.equal(stateOf({ state: 'held', pid: 7 }), 'frozen')
  assert.equal(stateOf({ state: 'held', pid: 0 }), 'orphaned')
  assert.equal(stateOf({ state: 'incoming', pid: 0 }), 'incoming')
})

test('a row has the key in both forms, its process by name, and counts pages', () => {
  const [head, row] = listRows([RECORD], (pid) => `comm-${pid}`)
  assert.deepEqual(head, ['key', 'uid', 'state', 'process', 'ranges', 'length', 'pages', 'moved'])
  assert.deepEqual(row, ['0xffffffffffffffff (18446744073709551615)', '1000', 'live', '77 comm-77', '1', '32 KiB', '5', '3'])
  assert.equal(listRows([{ ...RECORD, pid: 0, state: 'held' }])[1]?.[3], '-')
  assert.equal(listRows([RECORD], () => undefined)[1]?.[3], '77')
})

test('what is shown of one record has its ranges with their protection', () => {
  const { record, ranges } = showRows(RECORD, () => 'redis')
  assert.deepEqual(Object.fromEntries(record.map(([name, value]) => [name, value]))['process'], '77 redis')
  assert.deepEqual(ranges[1], ['0x7f0000000000', `0x${(0x7f0000000000 + 8 * PAGE).toString(16)}`, '32 KiB', 'rw-', 'anon'])
})

test('the object for --json survives JSON with every digit of its key', () => {
  const object = JSON.parse(JSON.stringify(recordObject(RECORD, () => undefined))) as Record<string, unknown>
  assert.equal(object['key'], '18446744073709551615')
  assert.equal(object['hex'], '0xffffffffffffffff')
  assert.equal(object['pages'], 5)
  assert.equal(object['comm'], null)
  assert.deepEqual(object['ranges'], [{ base: '0x7f0000000000', length: 8 * PAGE, prot: 3, kind: 'anon' }])
})

for (const [errno, exitCode, line] of [
  [-38, ExitCode.machinery, /^expected a kernel with the kmho system call, found \S+, which has none \(ENOSYS\); boot one/],
  [-95, ExitCode.machinery, /^expected kexec handover to be on, found it is off \(EOPNOTSUPP\); boot with kho=on/],
  [-2, ExitCode.failed, /^expected a record of uid 1001 with key 0x2a \(42\), found none \(ENOENT\); `kmho ls`/],
  [-1, ExitCode.failed, /^expected CAP_SYS_ADMIN, .*\(EPERM\); ask as root$/],
  [-12, ExitCode.machinery, /^ENOMEM: /],
] as const) {
  test(`errno ${-errno} is one line with what mends it`, () => {
    const code = { 38: 'ENOSYS', 95: 'EOPNOTSUPP', 2: 'ENOENT', 1: 'EPERM', 12: 'ENOMEM' }[-errno]
    const error = explainRefusal(new KmhoError('kmho', errno, 'a sentence', 3), { key: 42n, uid: 1001 })
    assert.ok(error instanceof ExpectedError)
    assert.match(error.message, line)
    assert.ok(code !== undefined && error.message.includes(code) && !error.message.includes('\n'))
    assert.equal(error.exitCode, exitCode)
  })
}

test('an addon that is missing is one line, and a bug stays a bug', () => {
  const missing = explainRefusal(Object.assign(new Error('kmho: expected an addon'), { code: 'ERR_KMHO_BINDING' }), {})
  assert.ok(missing instanceof ExpectedError && missing.message === 'expected an addon')
  const bug = new TypeError('x')
  assert.equal(explainRefusal(bug, {}), bug)
})
