"use strict";
// SPDX-License-Identifier: MIT
//
// The numbers of <linux/kmho.h> that programs name, as literals so that types can follow from them. A test compares each
// with what the addon was compiled with.
Object.defineProperty(exports, "__esModule", { value: true });
exports.OPCODE_NAMES = exports.KMHO_QUERY_ALL = exports.KMHO_QUERY_KEY = exports.KMHO_KIND_ANON = exports.KMHO_STATE_INCOMING = exports.KMHO_STATE_HELD = exports.KMHO_STATE_LIVE = exports.KMHO_UID_SELF = exports.KMHO_CHOWN = exports.KMHO_TAKEOVER_KEEP = exports.KMHO_FREEZE = exports.KMHO_DROP = exports.KMHO_QUERY = exports.KMHO_TAKEOVER = exports.KMHO_HANDOVER = void 0;
/** Hand ranges of memory over under a key: kmho(2), KMHO_HANDOVER. */
exports.KMHO_HANDOVER = 1;
/** Take ranges of a record over: kmho(2), KMHO_TAKEOVER. */
exports.KMHO_TAKEOVER = 2;
/** Ask what is held, and what this kernel can do: kmho(2), KMHO_QUERY. */
exports.KMHO_QUERY = 3;
/** Give a record up: kmho(2), KMHO_DROP. */
exports.KMHO_DROP = 4;
/** Fix a record's contents at this moment: kmho(2), KMHO_FREEZE. */
exports.KMHO_FREEZE = 5;
/** Take over and leave the record standing: kmho(2), KMHO_TAKEOVER_KEEP. */
exports.KMHO_TAKEOVER_KEEP = 6;
/** Move a record to another owner: kmho(2), KMHO_CHOWN. */
exports.KMHO_CHOWN = 7;
/** Instead of a uid: the caller's effective uid. */
exports.KMHO_UID_SELF = 0xffffffff;
/** The process that handed over still has the memory. */
exports.KMHO_STATE_LIVE = 1;
/** That process has ended, or froze the record. */
exports.KMHO_STATE_HELD = 2;
/** The record came with the last kexec. */
exports.KMHO_STATE_INCOMING = 3;
/** Private anonymous memory. */
exports.KMHO_KIND_ANON = 1;
/** Query flag: only the record of one key. */
exports.KMHO_QUERY_KEY = 1;
/** Query flag: every user's records; needs CAP_SYS_ADMIN. */
exports.KMHO_QUERY_ALL = 2;
/** The name of each opcode, for messages. */
exports.OPCODE_NAMES = new Map([
    [exports.KMHO_HANDOVER, 'HANDOVER'],
    [exports.KMHO_TAKEOVER, 'TAKEOVER'],
    [exports.KMHO_QUERY, 'QUERY'],
    [exports.KMHO_DROP, 'DROP'],
    [exports.KMHO_FREEZE, 'FREEZE'],
    [exports.KMHO_TAKEOVER_KEEP, 'TAKEOVER_KEEP'],
    [exports.KMHO_CHOWN, 'CHOWN'],
]);
//# sourceMappingURL=constants.cjs.map