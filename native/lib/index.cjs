"use strict";
// SPDX-License-Identifier: MIT
//
// What `require('kmho')` gives. The whole of the API; index.ts is the same for `import`.
Object.defineProperty(exports, "__esModule", { value: true });
exports.takeover = exports.query = exports.probe = exports.originOf = exports.isSupported = exports.handover = exports.freeze = exports.drop = exports.chown = exports.pageSize = exports.free = exports.alloc = exports.addressOf = exports.KmhoError = exports.kmho = exports.KMHO_UID_SELF = exports.KMHO_TAKEOVER_KEEP = exports.KMHO_TAKEOVER = exports.KMHO_STATE_LIVE = exports.KMHO_STATE_INCOMING = exports.KMHO_STATE_HELD = exports.KMHO_QUERY_KEY = exports.KMHO_QUERY_ALL = exports.KMHO_QUERY = exports.KMHO_KIND_ANON = exports.KMHO_HANDOVER = exports.KMHO_FREEZE = exports.KMHO_DROP = exports.KMHO_CHOWN = void 0;
var constants_cjs_1 = require("./constants.cjs");
Object.defineProperty(exports, "KMHO_CHOWN", { enumerable: true, get: function () { return constants_cjs_1.KMHO_CHOWN; } });
Object.defineProperty(exports, "KMHO_DROP", { enumerable: true, get: function () { return constants_cjs_1.KMHO_DROP; } });
Object.defineProperty(exports, "KMHO_FREEZE", { enumerable: true, get: function () { return constants_cjs_1.KMHO_FREEZE; } });
Object.defineProperty(exports, "KMHO_HANDOVER", { enumerable: true, get: function () { return constants_cjs_1.KMHO_HANDOVER; } });
Object.defineProperty(exports, "KMHO_KIND_ANON", { enumerable: true, get: function () { return constants_cjs_1.KMHO_KIND_ANON; } });
Object.defineProperty(exports, "KMHO_QUERY", { enumerable: true, get: function () { return constants_cjs_1.KMHO_QUERY; } });
Object.defineProperty(exports, "KMHO_QUERY_ALL", { enumerable: true, get: function () { return constants_cjs_1.KMHO_QUERY_ALL; } });
Object.defineProperty(exports, "KMHO_QUERY_KEY", { enumerable: true, get: function () { return constants_cjs_1.KMHO_QUERY_KEY; } });
Object.defineProperty(exports, "KMHO_STATE_HELD", { enumerable: true, get: function () { return constants_cjs_1.KMHO_STATE_HELD; } });
Object.defineProperty(exports, "KMHO_STATE_INCOMING", { enumerable: true, get: function () { return constants_cjs_1.KMHO_STATE_INCOMING; } });
Object.defineProperty(exports, "KMHO_STATE_LIVE", { enumerable: true, get: function () { return constants_cjs_1.KMHO_STATE_LIVE; } });
Object.defineProperty(exports, "KMHO_TAKEOVER", { enumerable: true, get: function () { return constants_cjs_1.KMHO_TAKEOVER; } });
Object.defineProperty(exports, "KMHO_TAKEOVER_KEEP", { enumerable: true, get: function () { return constants_cjs_1.KMHO_TAKEOVER_KEEP; } });
Object.defineProperty(exports, "KMHO_UID_SELF", { enumerable: true, get: function () { return constants_cjs_1.KMHO_UID_SELF; } });
var call_cjs_1 = require("./call.cjs");
Object.defineProperty(exports, "kmho", { enumerable: true, get: function () { return call_cjs_1.kmho; } });
var errors_cjs_1 = require("./errors.cjs");
Object.defineProperty(exports, "KmhoError", { enumerable: true, get: function () { return errors_cjs_1.KmhoError; } });
var memory_cjs_1 = require("./memory.cjs");
Object.defineProperty(exports, "addressOf", { enumerable: true, get: function () { return memory_cjs_1.addressOf; } });
Object.defineProperty(exports, "alloc", { enumerable: true, get: function () { return memory_cjs_1.alloc; } });
Object.defineProperty(exports, "free", { enumerable: true, get: function () { return memory_cjs_1.free; } });
Object.defineProperty(exports, "pageSize", { enumerable: true, get: function () { return memory_cjs_1.pageSize; } });
var records_cjs_1 = require("./records.cjs");
Object.defineProperty(exports, "chown", { enumerable: true, get: function () { return records_cjs_1.chown; } });
Object.defineProperty(exports, "drop", { enumerable: true, get: function () { return records_cjs_1.drop; } });
Object.defineProperty(exports, "freeze", { enumerable: true, get: function () { return records_cjs_1.freeze; } });
Object.defineProperty(exports, "handover", { enumerable: true, get: function () { return records_cjs_1.handover; } });
Object.defineProperty(exports, "isSupported", { enumerable: true, get: function () { return records_cjs_1.isSupported; } });
Object.defineProperty(exports, "originOf", { enumerable: true, get: function () { return records_cjs_1.originOf; } });
Object.defineProperty(exports, "probe", { enumerable: true, get: function () { return records_cjs_1.probe; } });
Object.defineProperty(exports, "query", { enumerable: true, get: function () { return records_cjs_1.query; } });
Object.defineProperty(exports, "takeover", { enumerable: true, get: function () { return records_cjs_1.takeover; } });
//# sourceMappingURL=index.cjs.map