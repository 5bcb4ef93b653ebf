// SPDX-License-Identifier: MIT
//
// Errors as Node's own: what the kernel refuses is a system error (code, negative errno, syscall), a wrong argument is a
// TypeError or RangeError with Node's codes. Each message says what to do about it, in one line.

import { constants as osConstants } from 'node:os'
import { getSystemErrorName, inspect } from 'node:util'
import { KMHO_HANDOVER, KMHO_QUERY, KMHO_TAKEOVER, KMHO_TAKEOVER_KEEP, OPCODE_NAMES } from './constants.cjs'

const { errno: E } = osConstants

/**
 * A system call that failed. Like Node's own system errors: `code` ("ENOENT"), `errno` (negative), `syscall` ("kmho",
 * or "mmap" where memory was asked for).
 */
export class KmhoError extends Error {
  /** Name of the error number, as errno(3) has it. */
  readonly code: string
  /** The error number, negative. */
  readonly errno: number
  /** The system call that failed. */
  readonly syscall: string
  /** For kmho(2): which KMHO_* operation. */
  readonly opcode?: number

  constructor(syscall: string, errno: number, sentence: string, opcode?: number) {
    const code = nameErrno(errno)
    const operation = opcode === undefined ? '' : ` ${OPCODE_NAMES.get(opcode) ?? opcode}`
    super(`${code}: ${sentence}, ${syscall}${operation}`)
    this.name = 'KmhoError'
    this.code = code
    this.errno = errno
    this.syscall = syscall
    if (opcode !== undefined) this.opcode = opcode
  }
}

function nameErrno(errno: number): string {
  // The same number has two names on Linux; libuv prints the other one, kmho(2) documents this one.
  if (-errno === E.EOPNOTSUPP) return 'EOPNOTSUPP'
  const name = getSystemErrorName(errno)
  return /^E[A-Z0-9]+$/.test(name) ? name : `E${-errno}`
}

/** A key or an address as messages print it. */
export function formatHex(value: bigint): string {
  return `0x${value.toString(16)}`
}

function explain(errno: number, opcode: number, key: bigint | undefined): string {
  const record = key === undefined ? 'the record' : `key ${formatHex(key)}`
  const isTakeover = opcode === KMHO_TAKEOVER || opcode === KMHO_TAKEOVER_KEEP
  switch (-errno) {
    case E.ENOSYS:
      return (
        'this kernel has no kmho system call; boot a kernel that has it (`kmho kernel build` makes one), ' +
        'or try it in a guest with `kmho shell`'
      )
    case E.EOPNOTSUPP:
      return opcode === KMHO_HANDOVER
        ? 'kexec handover is off (boot with kho=on on the kernel command line), or a range holds memory that cannot be ' +
            'handed over, such as device memory'
        : 'kexec handover is off; boot with kho=on on the kernel command line'
    case E.EINVAL:
      if (opcode === KMHO_HANDOVER || isTakeover)
        return (
          'a range is not on page boundaries, is empty, wraps around or overlaps another one, there is no range, or this ' +
          'kernel lacks the operation'
        )
      return 'this kernel does not know the operation, or one of its flags'
    case E.E2BIG:
      return 'more ranges than one call may name; query().maxRanges tells how many it may'
    case E.EFAULT:
      return 'the operation or its ranges cannot be read'
    case E.ENOMEM:
      return opcode === KMHO_HANDOVER
        ? 'a range has a gap where nothing is mapped, or there is not enough memory'
        : 'there is not enough memory'
    case E.EAGAIN:
      return 'that would be more than RLIMIT_MEMLOCK allows; raise it (ulimit -l) or drop a record'
    case E.EEXIST:
      return isTakeover
        ? 'memory is mapped already where a range was to go'
        : `${record} is in use; drop it first or choose another key`
    case E.ENOENT:
      return isTakeover
        ? `no record of yours has ${record}, or a range does not lie in what it holds`
        : `no record of yours has ${record}`
    case E.EBUSY:
      return opcode === KMHO_HANDOVER
        ? 'a range is handed over already under another key'
        : 'the process that handed this memory over still has it; it must end, or drop the record, first'
    case E.EPERM:
      return opcode === KMHO_QUERY
        ? 'not allowed; every user’s records are shown to CAP_SYS_ADMIN only (or a seccomp filter forbids the call)'
        : isTakeover
          ? 'not allowed; remap_addr is below /proc/sys/vm/mmap_min_addr'
          : 'not allowed; records of other users, and CHOWN, need CAP_SYS_ADMIN'
    default:
      return 'the call failed'
  }
}

/**
 * Throws unless `result`, as the addon returned it, is 0.
 *
 * @throws KmhoError with syscall "kmho"
 */
export function checkResult(result: number, opcode: number, key?: bigint): void {
  if (result < 0) throw new KmhoError('kmho', result, explain(result, opcode, key), opcode)
}

type ArgumentErrorCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE' | 'ERR_INVALID_STATE'

/** An error about an argument, of the class and with the code that Node uses. `found` is shown shortened. */
export function argumentError(code: ArgumentErrorCode, expectation: string, found?: unknown): Error {
  const shown = found === undefined && code !== 'ERR_INVALID_ARG_TYPE' ? '' : `; found ${shorten(found)}`
  const message = `kmho: ${expectation}${shown}`
  const error =
    code === 'ERR_INVALID_ARG_TYPE' || code === 'ERR_INVALID_ARG_VALUE'
      ? new TypeError(message)
      : code === 'ERR_OUT_OF_RANGE'
        ? new RangeError(message)
        : new Error(message)
  return Object.assign(error, { code })
}

function shorten(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name} of ${value.byteLength} bytes`
  const text = inspect(value, { depth: 0, breakLength: Infinity })
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
