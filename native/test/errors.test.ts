// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { checkResult } from '../lib/errors.cjs'
import * as kmho from '../lib/index.js'

const OPCODES = [kmho.KMHO_HANDOVER, kmho.KMHO_TAKEOVER, kmho.KMHO_QUERY, kmho.KMHO_DROP, kmho.KMHO_CHOWN]
const { errno: E } = constants

function failure(errno: number, opcode: number): kmho.KmhoError {
  try {
    checkResult(-errno, opcode, 0xabcd1234n)
  } catch (error) {
    return error as kmho.KmhoError
  }
  throw new Error('nothing was thrown')
}

test('every errno of the contract becomes a system error with its name and one sentence', () => {
  const names = ['EINVAL', 'E2BIG', 'EFAULT', 'ENOMEM', 'EAGAIN', 'EOPNOTSUPP', 'EEXIST', 'ENOENT', 'EBUSY', 'EPERM', 'ENOSYS'] as const
  for (const name of names)
    for (const opcode of OPCODES) {
      const error = failure(E[name], opcode)
      assert.ok(error instanceof kmho.KmhoError && error instanceof Error)
      assert.equal(error.code, name)
      assert.equal(error.errno, -E[name])
      assert.equal(error.syscall, 'kmho')
      assert.equal(error.opcode, opcode)
      assert.match(error.message, new RegExp(`^${name}: [^\\n]{20,}, kmho [A-Z]+$`))
      assert.ok(!/: the call failed,/.test(error.message), error.message)
    }
})

test('kho=off is named where it is the reason', () => {
  for (const opcode of OPCODES) assert.match(failure(E.EOPNOTSUPP, opcode).message, /boot with kho=on on the kernel command line/)
})

test('an errno that nobody foresaw keeps its name, or its number', () => {
  assert.equal(failure(E.EIO, 1).code, 'EIO')
  assert.equal(failure(4000, 1).code, 'E4000')
  assert.equal(failure(4000, 1).errno, -4000)
})

test('0 is no error', () => {
  checkResult(0, 1)
})
