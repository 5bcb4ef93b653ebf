// SPDX-License-Identifier: MIT
//
// What `import ... from 'kmho'` gives: kmho(2) for Node. It re-exports the CommonJS modules beside it, so that a program
// that loads the package both ways has one instance of everything, its memory and its error class included.
export * from './index.cjs';
//# sourceMappingURL=index.js.map