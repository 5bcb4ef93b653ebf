#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Step: what the machine lacks is installed.

import { check, finish, isMain, kmho } from './lib.mjs'

export const doctor = () => check('the machine has what is needed', () => kmho(['--quiet', 'doctor', '--fix']))

if (isMain(import.meta.url)) finish(await doctor())
