// SPDX-License-Identifier: MIT
// Lint rules, and the walls of the house: who may import whom. `ci` spawns the command line;
// `cli` imports qemu/src and native/lib; `qemu` imports node and execa only; `native` imports
// nothing of the others; no command imports another.

import tseslint from 'typescript-eslint'

/** Forbids imports by pattern; `why` is what a person reads. */
const wall = (files, patterns, ignores = []) => ({
  files,
  ignores,
  rules: { 'no-restricted-imports': ['error', { patterns: patterns.map(([regex, message]) => ({ regex, message })) }] },
})

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'native/build/', 'node_modules/', 'prebuilds/'] },
  {
    files: ['**/*.ts', '**/*.cts', '**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.base],
    linterOptions: { reportUnusedDisableDirectives: 'off' },
    rules: {
      'no-var': 'error',
      'prefer-const': 'error',
      eqeqeq: 'error',
      'no-unused-vars': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-asserted-optional-chain': 'error',
      'no-restricted-syntax': [
        'error',
        { selector: "CallExpression[callee.property.name='only']", message: 'an exclusive test hides the others' },
        { selector: "CallExpression[callee.property.name='skip'][callee.object.name=/^(test|it|describe)$/]", message: 'a skipped test proves nothing' },
      ],
    },
  },
  wall(['qemu/**/*.ts'], [['(^|/)(cli|native|ci|kernel)/', 'qemu/ knows no other folder'], ['^(?!node:|\\.|execa$)', 'qemu/ imports node and execa only']]),
  wall(['native/**/*.{ts,cts}'], [['(^|/)(cli|qemu|ci|kernel)/', 'native/ knows nothing of QEMU, the command line or the kernel']]),
  wall(['cli/src/**/*.ts'], [['(^|/)ci/', 'cli/ is spawned by ci/, never the other way'], ['(^|/)native/(?!lib/index\\.js)', "native/'s public API is lib/index.js"], ['(^|/)qemu/(?!src/)', 'qemu/src only']], ['cli/src/commands/**', 'cli/src/guest/**']),
  wall(['cli/src/commands/**/*.ts'], [['^\\./|(^|/)commands/', 'no command imports another'], ['(^|/)ci/', 'cli/ is spawned by ci/'], ['(^|/)native/(?!lib/index\\.js)', "native/'s public API is lib/index.js"], ['(^|/)qemu/(?!src/)', 'qemu/src only']]),
  wall(['cli/src/guest/**/*.ts'], [['^(?!node:|\\./|\\.\\./\\.\\./\\.\\./native/lib/index\\.js$)', 'what runs in the guest imports node, its neighbours and the addon only']]),
  wall(['ci/**/*.mjs'], [['\\.\\./(cli|qemu|native|kernel|dist)/', 'ci/ spawns the command line, it imports nothing of it']]),
)
