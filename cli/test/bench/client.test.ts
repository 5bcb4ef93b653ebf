// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client, valueOf } from '../../src/bench/client.js'
import { gapJob, gapRows, WAYS } from '../../src/bench/gap.js'
import { tempDir } from '../support.js'

test('only a right answer to a question that was asked counts', () => {
  const client = new Client(800)
  const ask = (slot: number): number => Number(client.question(slot).split(' ')[0])
  const [one, two, three] = [ask(1), ask(2), ask(3)]
  client.hear(`${one} ${valueOf(1)} before\n${two} 7 before\n99 ${valueOf(2)} before\nnoise\n${three} ${valueOf(3)} aft`)
  assert.deepEqual(client.answers, { before: 1, after: 0 })
  assert.equal(client.wrong, 1)
  client.hear('er\n')
  assert.deepEqual(client.answers, { before: 1, after: 1 })
  assert.ok(client.firstAfter >= client.lastBefore)
  // The same answer once more is none.
  client.hear(`${one} ${valueOf(1)} before\n`)
  assert.equal(client.answers.before, 1)
})

test('a service that was away is asked again, and the gap is as long as it was', async (t) => {
  const path = join(await tempDir(t), 'kv.sock')
  const AWAY_MS = 200
  let away = false
  let side = 'before'
  const server = createServer((socket) => {
    let rest = ''
    // The client stops whenever it has heard enough.
    socket.on('error', () => socket.destroy())
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (!away) for (const line of lines) socket.write(`${line.split(' ')[0]} ${valueOf(Number(line.split(' ')[1]))} ${side}\n`)
    })
  })
  await new Promise<void>((done) => server.listen(path, done))
  t.after(() => server.close())
  const client = new Client(1 << 20)
  client.start(path)
  await client.answered('before', 10)
  away = true
  setTimeout(() => {
    away = false
    side = 'after'
  }, AWAY_MS)
  await client.answered('after', 10)
  client.stop()
  assert.equal(client.wrong, 0)
  assert.ok(client.firstAfter - client.lastBefore >= AWAY_MS / 2)
})

test('a job serves on both sides of one kexec, and waits for the client', () => {
  const [way] = WAYS
  const steps = gapJob(way!, 1 << 20).steps
  assert.deepEqual(steps.map(({ type }) => type), ['load', 'start', 'kexec', 'start', 'sync'])
})

test('gaps are compared with the floor of their own kernel', () => {
  const samples = WAYS.map(({ name }, i) => ({ way: name, bytes: 1, round: 1, gapMs: 100 * (i + 1) }))
  const rows = gapRows(samples, String)
  assert.deepEqual(rows.slice(1).map((row) => row.at(-1)), ['1.00×', '2.00×', '1.00×', '1.33×', '5.00×'])
})
