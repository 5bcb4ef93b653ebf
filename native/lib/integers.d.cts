/** A key or an address: any 64-bit value as a bigint, or a number up to Number.MAX_SAFE_INTEGER. */
export type Integer = bigint | number;
/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
export declare function toU64(value: unknown, name: string): bigint;
/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
export declare function toU32(value: unknown, name: string): number;
//# sourceMappingURL=integers.d.cts.map