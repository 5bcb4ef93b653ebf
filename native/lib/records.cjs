"use strict";
// SPDX-License-Identifier: MIT
//
// Handing over and taking over with Buffers, and asking what is held. Nothing is copied in either direction. What
// a call means and promises is in kmho(2); this module adds only where the memory comes to lie and when it goes.
Object.defineProperty(exports, "__esModule", { value: true });
exports.handover = handover;
exports.originOf = originOf;
exports.takeover = takeover;
exports.query = query;
exports.drop = drop;
exports.freeze = freeze;
exports.chown = chown;
exports.probe = probe;
exports.isSupported = isSupported;
const node_buffer_1 = require("node:buffer");
const node_os_1 = require("node:os");
const binding_cjs_1 = require("./binding.cjs");
const constants_cjs_1 = require("./constants.cjs");
const errors_cjs_1 = require("./errors.cjs");
const integers_cjs_1 = require("./integers.cjs");
const memory_cjs_1 = require("./memory.cjs");
/**
 * Hands memory over to the next kernel, all of it or none, under a key of one's own uid: KMHO_HANDOVER.
 *
 * The process goes on using the memory. Until drop() it cannot be freed; when its Buffer is garbage-collected it
 * stays in the record all the same, and mapped until the process ends.
 *
 * @returns the ranges handed over, in the order given: what a later takeover may name
 * @throws KmhoError, CONTRACT section 5: EINVAL (not whole pages, overlapping, none), E2BIG, EEXIST (key in use), ENOMEM (a gap),
 *   EAGAIN (RLIMIT_MEMLOCK), EOPNOTSUPP, ENOSYS. TypeError (ERR_INVALID_ARG_VALUE) for a Buffer of other origin: its
 *   pages are shared with other objects of the heap.
 */
function handover(key, memory) {
    const name = (0, integers_cjs_1.toU64)(key, 'key');
    const list = Array.isArray(memory) ? memory : [memory];
    const rows = new BigUint64Array(list.length * 2);
    list.forEach((item, i) => {
        const range = toRange(item, i);
        rows[i * 2] = range.base;
        rows[i * 2 + 1] = range.length;
    });
    (0, errors_cjs_1.checkResult)((0, binding_cjs_1.getBinding)().handover(name, rows), constants_cjs_1.KMHO_HANDOVER, name);
    return list.map((_, i) => ({ base: rows[i * 2], length: Number(rows[i * 2 + 1]) }));
}
function toRange(item, index) {
    if (ArrayBuffer.isView(item) || item instanceof ArrayBuffer) {
        const base = (0, memory_cjs_1.addressOf)(item);
        if (!(0, memory_cjs_1.isOwnMemory)(base, item.byteLength))
            throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_VALUE', `memory[${index}] must be a Buffer from alloc() or takeover(), other Buffers share their pages with the heap`, item);
        return { base, length: BigInt(item.byteLength) };
    }
    if (typeof item !== 'object' || item === null)
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', `memory[${index}] must be a Buffer or {base, length}`, item);
    return { base: (0, integers_cjs_1.toU64)(item.base, `memory[${index}].base`), length: (0, integers_cjs_1.toU64)(item.length, `memory[${index}].length`) };
}
/** For a taken ArrayBuffer: the address that its first byte had when it was handed over. */
const origins = new WeakMap();
/**
 * The address that the first byte of a taken Buffer (or of a part of one) had when it was handed over: what pointers
 * stored in the memory refer to. undefined for a Buffer that no takeover() made.
 */
function originOf(view) {
    const origin = origins.get(view.buffer);
    return origin === undefined ? undefined : origin + BigInt(view.byteOffset);
}
/**
 * Takes over what a record holds, or some ranges of it, without copying: KMHO_TAKEOVER. All of it, or nothing changes.
 *
 * Without `ranges`: one Buffer for each contiguous run of addresses, by ascending address at the handover. What was
 * handed over as one Buffer comes back as one. With `ranges`: one Buffer for each, in their order. Every Buffer can
 * be read and written, whatever protection the memory had; the raw kmho() keeps protections.
 *
 * @param options - `keep`: the record stays, live, with this process, until drop() (KMHO_TAKEOVER_KEEP)
 * @throws KmhoError, CONTRACT section 5: ENOENT (no such key, or range not in it), EBUSY (who handed over still lives),
 *   EEXIST (`remapAddr` in use), EINVAL, ENOMEM, EAGAIN, EOPNOTSUPP, ENOSYS. RangeError (ERR_OUT_OF_RANGE) when a run is
 *   longer than a Buffer can be: take it in several ranges.
 */
function takeover(key, ranges, options = {}) {
    const name = (0, integers_cjs_1.toU64)(key, 'key');
    if (ranges !== undefined && !Array.isArray(ranges))
        throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_TYPE', 'ranges must be an array of {base, length}', ranges);
    const wanted = ranges ?? mergeRuns(query(name).ranges);
    const places = [];
    try {
        wanted.forEach((range, i) => places.push(preparePlace(range, i)));
        takeInto(places, name, Boolean(options.keep));
    }
    catch (error) {
        for (const place of places)
            if (place.fresh !== undefined)
                (0, binding_cjs_1.getBinding)().release(place.fresh);
        throw error;
    }
    return places.map((place) => {
        if (place.into !== undefined)
            return Buffer.from(place.into.buffer, place.into.byteOffset, place.into.byteLength);
        const memory = place.fresh ?? adoptTaken(place);
        origins.set(memory, place.base);
        return Buffer.from(memory);
    });
}
function mergeRuns(pieces) {
    const runs = [];
    for (const piece of pieces) {
        const last = runs.at(-1);
        if (last !== undefined && last.base + BigInt(last.length) === piece.base)
            last.length += piece.length;
        else
            runs.push({ base: piece.base, length: piece.length });
    }
    return runs;
}
function preparePlace(range, index) {
    const base = (0, integers_cjs_1.toU64)(range.base, `ranges[${index}].base`);
    const length = (0, integers_cjs_1.toU64)(range.length, `ranges[${index}].length`);
    if (length > BigInt(node_buffer_1.constants.MAX_LENGTH))
        throw (0, errors_cjs_1.argumentError)('ERR_OUT_OF_RANGE', `a Buffer holds at most ${node_buffer_1.constants.MAX_LENGTH} bytes here; take ${length} bytes in several ranges`);
    if (range.into !== undefined) {
        const address = (0, memory_cjs_1.addressOf)(range.into);
        if (!(0, memory_cjs_1.isOwnMemory)(address, range.into.byteLength) || BigInt(range.into.byteLength) !== length)
            throw (0, errors_cjs_1.argumentError)('ERR_INVALID_ARG_VALUE', `ranges[${index}].into must be ${length} bytes of a Buffer from alloc() or takeover()`, range.into);
        return { base, length, address, into: range.into };
    }
    if (range.remapAddr !== undefined) {
        const address = (0, integers_cjs_1.toU64)(range.remapAddr, `ranges[${index}].remapAddr`);
        // The kernel would put the pages into a private anonymous mapping that is there, as it should; but then its memory would
        // have two owners here.
        if (address !== 0n && length > 0n && (0, binding_cjs_1.getBinding)().isMapped(address, Number(length)))
            (0, errors_cjs_1.checkResult)(-node_os_1.constants.errno.EEXIST, constants_cjs_1.KMHO_TAKEOVER);
        return { base, length, address };
    }
    const page = BigInt((0, memory_cjs_1.pageSize)());
    // What the kernel will refuse needs no place.
    if (length === 0n || length % page !== 0n || base % page !== 0n)
        return { base, length, address: 0n };
    const fresh = mapLike(base, Number(length));
    return { base, length, address: (0, memory_cjs_1.addressOf)(fresh), fresh };
}
/** Memory whose address is to huge pages as `base` was, so that they can be mapped as such again. */
function mapLike(base, length) {
    let align = (0, memory_cjs_1.pageSize)();
    while (align < length && align < (0, memory_cjs_1.hugePageSize)())
        align *= 2;
    return (0, memory_cjs_1.mapMemory)(length, align, Number(base % BigInt(align)));
}
function takeInto(places, key, keep) {
    const opcode = keep ? constants_cjs_1.KMHO_TAKEOVER_KEEP : constants_cjs_1.KMHO_TAKEOVER;
    let result = take(places, key, keep);
    if (-result === node_os_1.constants.errno.EEXIST && places.some((place) => place.fresh !== undefined)) {
        // Memory of a kind that cannot come into a private anonymous mapping: the kernel has to find a place.
        for (const place of places) {
            if (place.fresh === undefined)
                continue;
            (0, binding_cjs_1.getBinding)().release(place.fresh);
            delete place.fresh;
            place.address = 0n;
        }
        result = take(places, key, keep);
    }
    (0, errors_cjs_1.checkResult)(result, opcode, key);
}
function take(places, key, keep) {
    if (places.some((place) => place.fresh === undefined && place.into === undefined)) {
        // Afterwards it would be too late to find out that this runtime allows no Buffer over the memory.
        (0, binding_cjs_1.getBinding)().release((0, memory_cjs_1.mapMemory)((0, memory_cjs_1.pageSize)(), (0, memory_cjs_1.pageSize)(), 0));
    }
    const rows = new BigUint64Array(places.length * 3);
    places.forEach((place, i) => {
        rows[i * 3] = place.base;
        rows[i * 3 + 1] = place.length;
        rows[i * 3 + 2] = place.address;
    });
    const result = (0, binding_cjs_1.getBinding)().takeover(keep, key, rows);
    if (result === 0)
        places.forEach((place, i) => (place.address = rows[i * 3 + 2]));
    return result;
}
function adoptTaken(place) {
    const memory = (0, memory_cjs_1.adoptMemory)(place.address, Number(place.length));
    // A Buffer knows no protection: touching it may not end the process. Shared memory that is read-only for good
    // (EACCES) stays so.
    (0, binding_cjs_1.getBinding)().protect(place.address, Number(place.length), 1 | 2);
    return memory;
}
/** Asks with more and more room until everything fitted. */
function queryAll(flags, key, uid) {
    let roomForRecords = (flags & constants_cjs_1.KMHO_QUERY_KEY) !== 0 ? 1 : 64;
    let roomForRanges = (flags & constants_cjs_1.KMHO_QUERY_KEY) !== 0 ? 64 : 0;
    for (;;) {
        const answer = (0, binding_cjs_1.getBinding)().query(flags, key, uid, roomForRecords, roomForRanges);
        if (typeof answer === 'number') {
            (0, errors_cjs_1.checkResult)(answer, constants_cjs_1.KMHO_QUERY, (flags & constants_cjs_1.KMHO_QUERY_KEY) !== 0 ? key : undefined);
            throw new TypeError('kmho: the addon answered a query with nothing');
        }
        const nrRecords = Number(answer.nr_records);
        const nrRanges = (flags & constants_cjs_1.KMHO_QUERY_KEY) !== 0 ? Number(answer.nr_ranges) : 0;
        if (nrRecords <= roomForRecords && nrRanges <= roomForRanges)
            return answer;
        // Some more, for there may be more by the next time.
        roomForRecords = Math.max(roomForRecords, Math.ceil(nrRecords * 1.25));
        roomForRanges = Math.max(roomForRanges, Math.ceil(nrRanges * 1.25));
    }
}
function query(about = {}) {
    const options = typeof about === 'object' && about !== null ? about : { key: about };
    if (options.key === undefined) {
        const answer = queryAll(options.all ? constants_cjs_1.KMHO_QUERY_ALL : 0, 0n, constants_cjs_1.KMHO_UID_SELF);
        return {
            abi: answer.abi,
            features: answer.features,
            opcodes: listOpcodes(answer.features),
            maxRanges: Number(answer.max_ranges),
            records: answer.records.map(toRecordInfo),
        };
    }
    const key = (0, integers_cjs_1.toU64)(options.key, 'key');
    const answer = queryAll(constants_cjs_1.KMHO_QUERY_KEY, key, (0, integers_cjs_1.toU32)(options.uid ?? constants_cjs_1.KMHO_UID_SELF, 'uid'));
    const record = answer.records[0];
    if (record === undefined) {
        (0, errors_cjs_1.checkResult)(-node_os_1.constants.errno.ENOENT, constants_cjs_1.KMHO_QUERY, key);
        throw new TypeError('kmho: the kernel answered a query for a key with no record');
    }
    const ranges = answer.ranges.map((range) => ({
        base: range.base,
        length: Number(range.length),
        prot: range.prot,
        kind: range.kind === constants_cjs_1.KMHO_KIND_ANON ? 'anon' : `kind-${range.kind}`,
    }));
    ranges.sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
    return { ...toRecordInfo(record), ranges };
}
const STATES = new Map([
    [constants_cjs_1.KMHO_STATE_LIVE, 'live'],
    [constants_cjs_1.KMHO_STATE_HELD, 'held'],
    [constants_cjs_1.KMHO_STATE_INCOMING, 'incoming'],
]);
function toRecordInfo(record) {
    return {
        key: record.key,
        uid: record.uid,
        state: STATES.get(record.state) ?? 'unknown',
        bytes: Number(record.bytes),
        present: Number(record.present),
        metadata: Number(record.metadata),
        nrRanges: Number(record.nr_ranges),
        nrExtents: Number(record.nr_extents),
        migrated: Number(record.migrated),
        changed: Number(record.changed),
        pid: record.pid,
    };
}
function listOpcodes(features) {
    const opcodes = [];
    for (let opcode = 0; opcode < 64; opcode++)
        if ((features >> BigInt(opcode)) & 1n)
            opcodes.push(opcode);
    return opcodes;
}
/**
 * Gives a record up: KMHO_DROP. Key and memory are free again; a process that has the memory keeps it.
 *
 * @throws KmhoError: ENOENT, EPERM, EOPNOTSUPP, ENOSYS
 */
function drop(key, options = {}) {
    const name = (0, integers_cjs_1.toU64)(key, 'key');
    const uid = (0, integers_cjs_1.toU32)(options.uid ?? constants_cjs_1.KMHO_UID_SELF, 'uid');
    (0, errors_cjs_1.checkResult)((0, binding_cjs_1.getBinding)().manage(constants_cjs_1.KMHO_DROP, 0, name, uid), constants_cjs_1.KMHO_DROP, name);
    (0, binding_cjs_1.getBinding)().reclaim();
}
/**
 * Fixes a record's contents at this moment: KMHO_FREEZE. What the process writes from now on goes to copies of its own.
 *
 * @throws KmhoError: ENOENT, EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does not have the operation
 */
function freeze(key, options = {}) {
    const name = (0, integers_cjs_1.toU64)(key, 'key');
    const uid = (0, integers_cjs_1.toU32)(options.uid ?? constants_cjs_1.KMHO_UID_SELF, 'uid');
    (0, errors_cjs_1.checkResult)((0, binding_cjs_1.getBinding)().manage(constants_cjs_1.KMHO_FREEZE, 0, name, uid), constants_cjs_1.KMHO_FREEZE, name);
}
/**
 * Moves a record to another owner: KMHO_CHOWN. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @throws KmhoError: ENOENT, EEXIST (that owner uses the key), EPERM, EOPNOTSUPP, ENOSYS, EINVAL where the kernel does
 *   not have the operation
 */
function chown(key, newUid, options = {}) {
    const name = (0, integers_cjs_1.toU64)(key, 'key');
    const uid = (0, integers_cjs_1.toU32)(options.uid ?? constants_cjs_1.KMHO_UID_SELF, 'uid');
    (0, errors_cjs_1.checkResult)((0, binding_cjs_1.getBinding)().chown(0, name, uid, (0, integers_cjs_1.toU32)(newUid, 'newUid')), constants_cjs_1.KMHO_CHOWN, name);
}
/**
 * Whether kmho(2) works here, and if not, why. Throws nothing but ERR_KMHO_BINDING, when the addon was not built.
 */
function probe() {
    if (process.platform !== 'linux')
        return { supported: false, reason: `kmho is a system call of Linux, this is ${process.platform}`, opcodes: [] };
    const answer = (0, binding_cjs_1.getBinding)().query(0, 0n, constants_cjs_1.KMHO_UID_SELF, 0, 0);
    if (typeof answer === 'number') {
        try {
            (0, errors_cjs_1.checkResult)(answer, constants_cjs_1.KMHO_QUERY);
        }
        catch (error) {
            const { code, message } = error;
            return { supported: false, code, reason: message, opcodes: [] };
        }
        return { supported: false, reason: 'the addon answered a query with nothing', opcodes: [] };
    }
    const opcodes = listOpcodes(answer.features);
    const supported = opcodes.includes(constants_cjs_1.KMHO_HANDOVER) && opcodes.includes(constants_cjs_1.KMHO_TAKEOVER);
    return {
        supported,
        reason: supported ? 'this kernel can hand memory over and take it over' : 'this kernel’s kmho cannot hand memory over',
        opcodes,
        abi: answer.abi,
        maxRanges: Number(answer.max_ranges),
    };
}
/**
 * Whether this kernel can hand memory over and take it over; with an opcode, whether it has that one. Never throws for
 * what the kernel says; probe() tells the reason.
 */
function isSupported(opcode) {
    const support = probe();
    return opcode === undefined ? support.supported : support.opcodes.includes(opcode);
}
//# sourceMappingURL=records.cjs.map