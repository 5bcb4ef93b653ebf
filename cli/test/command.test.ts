// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatCommand, runCommand } from '../src/command.js'
import { InterruptedError, MachineryError } from '../src/errors.js'
import { tempDir } from './support.js'

test('a command is shown as one could type it', () => {
  assert.equal(formatCommand({ file: 'make', args: ['CC=ccache gcc', "it's", '-j2'], cwd: '/a b', env: { LC_ALL: 'C' } }), `cd '/a b' && LC_ALL=C make 'CC=ccache gcc' 'it'\\''s' -j2`)
})

test('a program that is not there is one line', async () => {
  await assert.rejects(runCommand({ file: 'kmho-no-such-program', args: [] }), (error: Error) => {
    assert.ok(error instanceof MachineryError)
    assert.match(error.message, /expected the program kmho-no-such-program, found none of that name; run `kmho doctor --fix`/)
    return true
  })
})

test("a failure names the command, its status and the program's own word", async () => {
  const script = 'console.log("fine"); console.error("error: no such thing"); console.error("bye"); process.exit(3)'
  await assert.rejects(runCommand({ file: process.execPath, args: ['-e', script] }), /to succeed, found exit status 3: error: no such thing$/)
  assert.equal((await runCommand({ file: process.execPath, args: ['-e', 'process.exit(3)'], }, { accept: [3] })).exitCode, 3)
})

test('lines come as they are written', async () => {
  const lines: string[] = []
  await runCommand({ file: process.execPath, args: ['-e', 'console.log("a\\nb"); console.error("c")'] }, { onLine: (line) => lines.push(line) })
  assert.deepEqual(lines.sort(), ['a', 'b', 'c'])
})

test('calling it off ends the children of the program as well', async (t) => {
  const file = join(await tempDir(t), 'pid')
  const script = `
    const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    require('fs').writeFileSync(${JSON.stringify(file)}, String(child.pid))
    setInterval(() => {}, 1000)`
  const abort = new AbortController()
  const running = runCommand({ file: process.execPath, args: ['-e', script] }, { signal: abort.signal })
  const failed = assert.rejects(running, InterruptedError)
  let pid = 0
  while (!pid) {
    await sleep(20)
    pid = Number(await readFile(file, 'utf8').catch(() => ''))
  }
  abort.abort()
  await failed
  for (let tries = 0; ; tries++) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').then((text) => text.split(') ')[1]?.[0], () => 'gone')
    if (state === 'gone' || state === 'Z') break
    assert.ok(tries < 100, 'the child still runs')
    await sleep(20)
  }
})

test('what was called off before it began does not begin', async () => {
  await assert.rejects(runCommand({ file: 'kmho-no-such-program', args: [] }, { signal: AbortSignal.abort() }), InterruptedError)
})
