// SPDX-License-Identifier: MIT
//
// The numbers of <linux/kmho.h> that programs name, as literals so that types can follow from them. A test compares each
// with what the addon was compiled with.

/** Hand ranges of memory over under a key: kmho(2), KMHO_HANDOVER. */
export const KMHO_HANDOVER = 1
/** Take ranges of a record over: kmho(2), KMHO_TAKEOVER. */
export const KMHO_TAKEOVER = 2
/** Ask what is held, and what this kernel can do: kmho(2), KMHO_QUERY. */
export const KMHO_QUERY = 3
/** Give a record up: kmho(2), KMHO_DROP. */
export const KMHO_DROP = 4
/** Fix a record's contents at this moment: kmho(2), KMHO_FREEZE. */
export const KMHO_FREEZE = 5
/** Take over and leave the record standing: kmho(2), KMHO_TAKEOVER_KEEP. */
export const KMHO_TAKEOVER_KEEP = 6
/** Move a record to another owner: kmho(2), KMHO_CHOWN. */
export const KMHO_CHOWN = 7

/** Instead of a uid: the caller's effective uid. */
export const KMHO_UID_SELF = 0xffffffff

/** The process that handed over still has the memory. */
export const KMHO_STATE_LIVE = 1
/** That process has ended, or froze the record. */
export const KMHO_STATE_HELD = 2
/** The record came with the last kexec. */
export const KMHO_STATE_INCOMING = 3

/** Private anonymous memory. */
export const KMHO_KIND_ANON = 1
/** Shared memory: anonymous, memfd or System V. */
export const KMHO_KIND_SHMEM = 2
/** Private memory in huge pages of hugetlb. */
export const KMHO_KIND_HUGETLB = 3

/** Query flag: only the record of one key. */
export const KMHO_QUERY_KEY = 1
/** Query flag: every user's records; needs CAP_SYS_ADMIN. */
export const KMHO_QUERY_ALL = 2

/** The name of each opcode, for messages. */
export const OPCODE_NAMES: ReadonlyMap<number, string> = new Map([
  [KMHO_HANDOVER, 'HANDOVER'],
  [KMHO_TAKEOVER, 'TAKEOVER'],
  [KMHO_QUERY, 'QUERY'],
  [KMHO_DROP, 'DROP'],
  [KMHO_FREEZE, 'FREEZE'],
  [KMHO_TAKEOVER_KEEP, 'TAKEOVER_KEEP'],
  [KMHO_CHOWN, 'CHOWN'],
])
