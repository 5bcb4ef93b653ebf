"use strict";
// SPDX-License-Identifier: MIT
//
// The only place that finds and loads the .node file, and the only one that knows its functions' types. Loading waits
// until something is called, so that importing the package never fails; what the functions do is described in src/.
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.listCandidates = listCandidates;
exports.loadBinding = loadBinding;
exports.getBinding = getBinding;
const node_fs_1 = require("node:fs");
const node_path_1 = __importDefault(require("node:path"));
/** This file is dist/native/lib/binding.cjs; the .node files lie where npm and cmake-js put them, and nowhere in dist. */
const packageRoot = node_path_1.default.join(__dirname, '..', '..', '..');
/**
 * The paths at which the addon is looked for, in order. `KMHO_BINDING` names one before all others.
 *
 * @param root - the package's folder, that of package.json
 */
function listCandidates(root = packageRoot, platform = process.platform, arch = process.arch, env = process.env) {
    const target = `${platform}-${arch}`;
    const candidates = [
        node_path_1.default.join(root, 'build', 'Release', 'kmho.node'),
        node_path_1.default.join(root, 'native', 'build', 'Release', 'kmho.node'),
        node_path_1.default.join(root, 'native', 'build', target, 'Release', 'kmho.node'),
        node_path_1.default.join(root, 'prebuilds', target, 'kmho.node'),
    ];
    if (env['KMHO_BINDING'])
        candidates.unshift(node_path_1.default.resolve(env['KMHO_BINDING']));
    return candidates;
}
/**
 * Loads the first addon that is there and fits this Node and machine.
 *
 * @throws Error with code ERR_KMHO_BINDING: none did; the message says where it was looked for and what mends it.
 */
function loadBinding(candidates = listCandidates()) {
    const found = [];
    for (const candidate of candidates) {
        if (!(0, node_fs_1.existsSync)(candidate))
            continue;
        try {
            return require(candidate);
        }
        catch (error) {
            // Built for another architecture, say, by a cross-build into the same folder: the next one may do.
            found.push(String(error.message).split('\n')[0] ?? candidate);
        }
    }
    const expected = `an addon for ${process.platform}-${process.arch}`;
    const seen = found.length > 0
        ? `what is there does not load (${found.join('; ')})`
        : `none is at ${candidates.join(', ')}`;
    const remedy = process.platform === 'linux'
        ? 'run `npm rebuild kmho` (in a checkout: `npm install`), which needs python3, make and g++'
        : 'kmho is a system call of Linux: run this on Linux, or in a guest with `kmho shell`';
    throw Object.assign(new Error(`kmho: expected ${expected}, but ${seen}; ${remedy}`), { code: 'ERR_KMHO_BINDING' });
}
let loaded;
/** The addon, loaded once. Errors as loadBinding(). */
function getBinding() {
    loaded ??= loadBinding();
    return loaded;
}
//# sourceMappingURL=binding.cjs.map