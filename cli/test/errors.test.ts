// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeError, ExitCode, InterruptedError, MachineryError, TimeoutError, UsageError, VerificationError } from '../src/errors.js'

test('what can be expected is one line, with its exit code', () => {
  const complaint = { expected: 'a file', found: 'two\n lines', mend: 'take one' }
  assert.deepEqual(describeError(new UsageError(complaint)), { text: 'expected a file, found two lines; take one', exitCode: ExitCode.usage })
  assert.equal(describeError(new VerificationError('x')).exitCode, 1)
  assert.equal(describeError(new MachineryError('x')).exitCode, 69)
  assert.equal(describeError(new TimeoutError('x')).exitCode, 124)
  assert.equal(describeError(new InterruptedError()).exitCode, 130)
})

test('a full disk is no bug', () => {
  const error = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', path: '/c/x' })
  assert.deepEqual(describeError(error), { text: 'expected room on the disk for /c/x, found none left; free some, or set KMHO_CACHE to a folder on a larger disk', exitCode: 69 })
})

test('a bug prints its stack', () => {
  const { text, exitCode } = describeError(new TypeError('oh'))
  assert.match(text, /this is a bug in kmho\nTypeError: oh\n {4}at /)
  assert.equal(exitCode, 69)
})
