// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseKtap } from '../../src/scenarios/ktap.js'

const KUNIT = `[    0.612345] KTAP version 1\r
[    0.612400] 1..2\r
[    0.612500]     KTAP version 1\r
[    0.612600]     # Subtest: kmho_record\r
[    0.612700]     # module: kmho\r
[    0.612800]     1..2\r
[    0.612900]     ok 1 a key names one record\r
[    0.612950] virtio_blk virtio1: [vda] 1024 512-byte logical blocks\r
[    0.613000]     # lost: EXPECTATION FAILED at mm/kmho/kunit.c:12\r
[    0.613100]     not ok 2 lost\r
[    0.613200] # kmho_record: pass:1 fail:1 skip:0 total:2\r
[    0.613300] not ok 1 kmho_record\r
[    0.613400]     KTAP version 1\r
[    0.613500]     # Subtest: kmho_extent\r
[    0.613600]     1..1\r
[    0.613700]     ok 1 runs merge # SKIP not here\r
[    0.613800] ok 2 kmho_extent\r
`

test("KUnit's results are read off the console, with their suites", () => {
  const results = parseKtap(KUNIT)
  assert.deepEqual(
    results.map(({ name, status }) => `${status} ${name}`),
    ['passed kmho_record > a key names one record', 'failed kmho_record > lost', 'skipped kmho_extent > runs merge'],
  )
  assert.deepEqual(results[1]?.detail, ['lost: EXPECTATION FAILED at mm/kmho/kunit.c:12'])
})

test("a kselftest's flat results", () => {
  const results = parseKtap('TAP version 13\n1..2\n# 4096 bytes\nok 1 a hole stays a hole\nnot ok 2 a write is not lost\n# Totals: pass:1 fail:1\n')
  assert.deepEqual(results, [
    { name: 'a hole stays a hole', status: 'passed', detail: ['4096 bytes'] },
    { name: 'a write is not lost', status: 'failed', detail: [] },
  ])
})

test('directives before the name, as kselftest.h writes them, and behind it', () => {
  const results = parseKtap('TAP version 13\n1..4\nok 1 # SKIP no swap\nok 2 # XFAIL a known race\nok 3 no device # SKIP none\nok 4 a known race\n')
  assert.deepEqual(results.map(({ name, status }) => `${status} ${name}`), ['skipped no swap', 'passed a known race', 'skipped no device', 'passed a known race'])
})

test('a program that stopped half-way has failed', () => {
  const results = parseKtap('TAP version 13\n1..3\nok 1 one\n')
  assert.deepEqual(results.map(({ status }) => status), ['passed', 'failed'])
  assert.match(results[1]?.detail[0] ?? '', /1 of 3 results/)
})

test('two programs in one text', () => {
  const results = parseKtap('TAP version 13\n1..1\nok 1 one\nTAP version 13\n1..2\nok 1 two\n')
  assert.deepEqual(results.map(({ name, status }) => `${status} ${name}`), ['passed one', 'passed two', 'failed plan'])
})

test('a suite that failed although none of its cases did is a failure', () => {
  const results = parseKtap('KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    ok 1 c\n# s: initialisation failed\nnot ok 1 s\n')
  assert.deepEqual(results.map(({ name, status }) => `${status} ${name}`), ['passed s > c', 'failed s'])
})

test('text without KTAP has no results', () => {
  assert.deepEqual(parseKtap('ok 1 this is no header\nLinux version 7.3.4\n'), [])
})
