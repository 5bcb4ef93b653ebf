"use strict";
// SPDX-License-Identifier: MIT
//
// kmho(2) as it is: one function, the operations' structures as objects with the field names of <linux/kmho.h>. It
// checks types and nothing else, every judgement is the kernel's. It hands out addresses, not memory: whoever wants
// Buffers uses records.cts.
Object.defineProperty(exports, "__esModule", { value: true });
exports.kmho = kmho;
const binding_cjs_1 = require("./binding.cjs");
const constants_cjs_1 = require("./constants.cjs");
const errors_cjs_1 = require("./errors.cjs");
const integers_cjs_1 = require("./integers.cjs");
/**
 * kmho(2), the system call itself.
 *
 * Memory that a raw KMHO_TAKEOVER maps belongs to nobody in JavaScript: it stays mapped until the process ends.
 *
 * @param opcode - a KMHO_* operation. One that the addon does not know is passed on with a zeroed structure.
 * @param op - the operation's structure; what the kernel writes back is set in it. `null` passes a null pointer.
 * @returns 0
 * @throws KmhoError with the errno of kmho(2), CONTRACT section 5; TypeError or RangeError for what is no integer
 */
function kmho(opcode, op) {
    const binding = (0, binding_cjs_1.getBinding)();
    const operation = (0, integers_cjs_1.toU32)(opcode, 'opcode');
    if (op === null) {
        (0, errors_cjs_1.checkResult)(binding.bare(operation, true), operation);
        return 0;
    }
    if (typeof op !== 'object')
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'op must be an object or null', op);
    switch (operation) {
        case constants_cjs_1.KMHO_HANDOVER:
            runHandover(op);
            return 0;
        case constants_cjs_1.KMHO_TAKEOVER:
        case constants_cjs_1.KMHO_TAKEOVER_KEEP:
            runTakeover(operation, op);
            return 0;
        case constants_cjs_1.KMHO_DROP:
        case constants_cjs_1.KMHO_FREEZE: {
            const { key, uid, flags } = readOwner(op);
            (0, errors_cjs_1.checkResult)(binding.manage(operation, flags, key, uid), operation, key);
            if (operation === constants_cjs_1.KMHO_DROP)
                binding.reclaim();
            return 0;
        }
        case constants_cjs_1.KMHO_CHOWN: {
            const { key, uid, flags } = readOwner(op);
            (0, errors_cjs_1.checkResult)(binding.chown(flags, key, uid, (0, integers_cjs_1.toU32)(op.new_uid, 'op.new_uid')), operation, key);
            return 0;
        }
        case constants_cjs_1.KMHO_QUERY:
            runQuery(op);
            return 0;
        default:
            (0, errors_cjs_1.checkResult)(binding.bare(operation, false), operation);
            return 0;
    }
}
function readOwner(op) {
    return {
        key: (0, integers_cjs_1.toU64)(op.key, 'op.key'),
        uid: (0, integers_cjs_1.toU32)(op.uid ?? constants_cjs_1.KMHO_UID_SELF, 'op.uid'),
        flags: (0, integers_cjs_1.toU32)(op.flags ?? 0, 'op.flags'),
    };
}
function checkRanges(ranges) {
    if (!Array.isArray(ranges))
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'op.ranges must be an array', ranges);
}
function runHandover(op) {
    const key = (0, integers_cjs_1.toU64)(op.key, 'op.key');
    checkRanges(op.ranges);
    const rows = new BigUint64Array(op.ranges.length * 2);
    op.ranges.forEach((range, i) => {
        rows[i * 2] = (0, integers_cjs_1.toU64)(range.base, `op.ranges[${i}].base`);
        rows[i * 2 + 1] = (0, integers_cjs_1.toU64)(range.length, `op.ranges[${i}].length`);
    });
    (0, errors_cjs_1.checkResult)((0, binding_cjs_1.getBinding)().handover(key, rows), constants_cjs_1.KMHO_HANDOVER, key);
}
function runTakeover(opcode, op) {
    const key = (0, integers_cjs_1.toU64)(op.key, 'op.key');
    checkRanges(op.ranges);
    const rows = new BigUint64Array(op.ranges.length * 3);
    op.ranges.forEach((range, i) => {
        rows[i * 3] = (0, integers_cjs_1.toU64)(range.base, `op.ranges[${i}].base`);
        rows[i * 3 + 1] = (0, integers_cjs_1.toU64)(range.len ?? range.length, `op.ranges[${i}].len`);
        rows[i * 3 + 2] = (0, integers_cjs_1.toU64)(range.remap_addr ?? 0n, `op.ranges[${i}].remap_addr`);
    });
    const result = (0, binding_cjs_1.getBinding)().takeover(opcode === constants_cjs_1.KMHO_TAKEOVER_KEEP, key, rows);
    (0, errors_cjs_1.checkResult)(result, opcode, key);
    op.ranges.forEach((range, i) => {
        range.remap_addr = rows[i * 3 + 2];
    });
}
function runQuery(op) {
    const key = (0, integers_cjs_1.toU64)(op.key ?? 0n, 'op.key');
    const answer = (0, binding_cjs_1.getBinding)().query((0, integers_cjs_1.toU32)(op.flags ?? 0, 'op.flags'), key, (0, integers_cjs_1.toU32)(op.uid ?? constants_cjs_1.KMHO_UID_SELF, 'op.uid'), (0, integers_cjs_1.toU32)(Number(op.nr_records ?? 0), 'op.nr_records'), (0, integers_cjs_1.toU32)(Number(op.nr_ranges ?? 0), 'op.nr_ranges'));
    if (typeof answer === 'number')
        (0, errors_cjs_1.checkResult)(answer, constants_cjs_1.KMHO_QUERY, op.key === undefined ? undefined : key);
    else
        Object.assign(op, answer);
}
//# sourceMappingURL=call.cjs.map