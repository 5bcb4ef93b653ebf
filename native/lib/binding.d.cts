/** Fields of kmho_record_info as the addon gives them. */
export interface RawRecordInfo {
    key: bigint;
    uid: number;
    state: number;
    bytes: bigint;
    present: bigint;
    metadata: bigint;
    nr_ranges: bigint;
    nr_extents: bigint;
    migrated: bigint;
    changed: bigint;
    pid: number;
}
/** Fields of kmho_range_info as the addon gives them. */
export interface RawRangeInfo {
    base: bigint;
    length: bigint;
    prot: number;
    kind: number;
}
/** Out fields of kmho_op_query as the addon gives them. */
export interface RawQueryAnswer {
    abi: number;
    features: bigint;
    max_ranges: bigint;
    nr_records: bigint;
    nr_ranges: bigint;
    records: RawRecordInfo[];
    ranges: RawRangeInfo[];
}
/** What a call would have handed to the kernel, pointers zeroed; for tests. */
export interface EncodedCall {
    opcode: number;
    op?: Buffer;
    ranges?: Buffer;
}
/** The compiled addon. A number returned is 0 or a negative errno. */
export interface Binding {
    readonly constants: Readonly<Record<string, number>>;
    readonly syscallNumber: number;
    readonly pageSize: number;
    handover(key: bigint, rows: BigUint64Array): number;
    takeover(keep: boolean, key: bigint, rows: BigUint64Array): number;
    manage(opcode: number, flags: number, key: bigint, uid: number): number;
    chown(flags: number, key: bigint, uid: number, newUid: number): number;
    query(flags: number, key: bigint, uid: number, roomForRecords: number, roomForRanges: number): number | RawQueryAnswer;
    bare(opcode: number, isNull: boolean): number;
    encode(operation: string, ...args: unknown[]): EncodedCall;
    map(length: number, align: number, offset: number): ArrayBuffer | number | undefined;
    adopt(address: bigint, length: number): ArrayBuffer | undefined;
    release(buffer: ArrayBuffer): number;
    reclaim(): number;
    advise(address: bigint, length: number, hugepages: boolean, populate: boolean): number;
    protect(address: bigint, length: number, prot: number): number;
    addressOf(view: ArrayBuffer | NodeJS.ArrayBufferView): bigint;
    find(address: bigint): {
        base: bigint;
        length: number;
    } | undefined;
    isMapped(address: bigint, length: number): boolean;
    stats(): {
        mappings: number;
        orphans: number;
        bytes: number;
    };
}
/**
 * The paths at which the addon is looked for, in order. `KMHO_BINDING` names one before all others.
 *
 * @param root - the package's folder, that of package.json
 */
export declare function listCandidates(root?: string, platform?: string, arch?: string, env?: NodeJS.ProcessEnv): string[];
/**
 * Loads the first addon that is there and fits this Node and machine.
 *
 * @throws Error with code ERR_KMHO_BINDING: none did; the message says where it was looked for and what mends it.
 */
export declare function loadBinding(candidates?: readonly string[]): Binding;
/** The addon, loaded once. Errors as loadBinding(). */
export declare function getBinding(): Binding;
//# sourceMappingURL=binding.d.cts.map