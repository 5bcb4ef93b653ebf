#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: eslint, which also holds the walls between the folders.

import { join } from 'node:path'
import { root, run } from './bootstrap.mjs'
import { check, finish, isMain } from './lib.mjs'

export const lint = () => check('lint, and the walls between the folders', () => run(process.execPath, [join(root, 'node_modules', 'eslint', 'bin', 'eslint.js'), '.']))

if (isMain(import.meta.url)) finish(await lint())
