// SPDX-License-Identifier: MIT
//
// A CommonJS user's view of the types; it is compiled and never run.

import kmho = require('../lib/index.cjs')

/** Never called: the compiler is the test. */
export function requiredTypes(): Buffer[] {
  const buffer: Buffer = kmho.alloc(kmho.pageSize())
  const ranges: kmho.Range[] = kmho.handover(1, buffer)
  // @ts-expect-error a key is no string
  kmho.drop('1')
  return kmho.takeover(1, ranges)
}
