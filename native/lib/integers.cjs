"use strict";
// SPDX-License-Identifier: MIT
//
// Numbers on their way between JavaScript and the kernel: keys and addresses have 64 bits, lengths of memory that
// a process can have fit a JavaScript number.
Object.defineProperty(exports, "__esModule", { value: true });
exports.toU64 = toU64;
exports.toU32 = toU32;
const errors_cjs_1 = require("./errors.cjs");
const MAX_U64 = 0xffffffffffffffffn;
/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
function toU64(value, name) {
    if (typeof value === 'bigint') {
        if (value < 0n || value > MAX_U64)
            throw (0, errors_cjs_1.argumentError)('ERR_OUT_OF_RANGE', `${name} must fit 64 bits, unsigned`, value);
        return value;
    }
    if (typeof value !== 'number')
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', `${name} must be a bigint or a number`, value);
    if (!Number.isSafeInteger(value) || value < 0)
        throw (0, errors_cjs_1.argumentError)('ERR_OUT_OF_RANGE', `${name} must be an integer from 0 to 2^53 - 1; use a bigint for larger ones`, value);
    return BigInt(value);
}
/**
 * @param name - what the value is, for the message
 * @throws TypeError (ERR_INVALID_ARG_TYPE), RangeError (ERR_OUT_OF_RANGE)
 */
function toU32(value, name) {
    if (typeof value !== 'number')
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', `${name} must be a number`, value);
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
        throw (0, errors_cjs_1.argumentError)('ERR_OUT_OF_RANGE', `${name} must be an integer from 0 to 2^32 - 1`, value);
    return value;
}
//# sourceMappingURL=integers.cjs.map