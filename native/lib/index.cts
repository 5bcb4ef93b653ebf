// SPDX-License-Identifier: MIT
//
// What `require('kmho')` gives. The whole of the API; index.ts is the same for `import`.

export {
  KMHO_CHOWN,
  KMHO_DROP,
  KMHO_FREEZE,
  KMHO_HANDOVER,
  KMHO_KIND_ANON,
  KMHO_KIND_HUGETLB,
  KMHO_KIND_SHMEM,
  KMHO_QUERY,
  KMHO_QUERY_ALL,
  KMHO_QUERY_KEY,
  KMHO_STATE_HELD,
  KMHO_STATE_INCOMING,
  KMHO_STATE_LIVE,
  KMHO_TAKEOVER,
  KMHO_TAKEOVER_KEEP,
  KMHO_UID_SELF,
} from './constants.cjs'
export { kmho } from './call.cjs'
export type { ChownOp, DropOp, HandoverOp, OpOf, QueryOp, TakeoverOp, TakeoverOpRange } from './call.cjs'
export { KmhoError } from './errors.cjs'
export type { Integer } from './integers.cjs'
export { addressOf, alloc, free, pageSize } from './memory.cjs'
export type { AllocOptions } from './memory.cjs'
export { chown, drop, freeze, handover, isSupported, originOf, probe, query, takeover } from './records.cjs'
export type {
  Memory,
  Overview,
  OwnerOptions,
  Range,
  RangeInfo,
  RecordDetail,
  RecordInfo,
  RecordState,
  Support,
  TakeoverRange,
} from './records.cjs'
