/** Hand ranges of memory over under a key: kmho(2), KMHO_HANDOVER. */
export declare const KMHO_HANDOVER = 1;
/** Take ranges of a record over: kmho(2), KMHO_TAKEOVER. */
export declare const KMHO_TAKEOVER = 2;
/** Ask what is held, and what this kernel can do: kmho(2), KMHO_QUERY. */
export declare const KMHO_QUERY = 3;
/** Give a record up: kmho(2), KMHO_DROP. */
export declare const KMHO_DROP = 4;
/** Fix a record's contents at this moment: kmho(2), KMHO_FREEZE. */
export declare const KMHO_FREEZE = 5;
/** Take over and leave the record standing: kmho(2), KMHO_TAKEOVER_KEEP. */
export declare const KMHO_TAKEOVER_KEEP = 6;
/** Move a record to another owner: kmho(2), KMHO_CHOWN. */
export declare const KMHO_CHOWN = 7;
/** Instead of a uid: the caller's effective uid. */
export declare const KMHO_UID_SELF = 4294967295;
/** The process that handed over still has the memory. */
export declare const KMHO_STATE_LIVE = 1;
/** That process has ended, or froze the record. */
export declare const KMHO_STATE_HELD = 2;
/** The record came with the last kexec. */
export declare const KMHO_STATE_INCOMING = 3;
/** Private anonymous memory. */
export declare const KMHO_KIND_ANON = 1;
/** Query flag: only the record of one key. */
export declare const KMHO_QUERY_KEY = 1;
/** Query flag: every user's records; needs CAP_SYS_ADMIN. */
export declare const KMHO_QUERY_ALL = 2;
/** The name of each opcode, for messages. */
export declare const OPCODE_NAMES: ReadonlyMap<number, string>;
//# sourceMappingURL=constants.d.cts.map