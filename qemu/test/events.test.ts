// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awaitsHost, LineSplitter, parseEvent } from '../src/events.js';

test('an event keeps its fields and gets the time of the host', () => {
  assert.deepEqual(parseEvent('{"event":"exit","stage":2,"step":"a","code":3,"ms":5}', 77, 1), {
    event: 'exit',
    stage: 2,
    step: 'a',
    code: 3,
    ms: 5,
    at: 77,
  });
});

test('the host cannot be told another time than its own', () => {
  assert.equal(parseEvent('{"event":"kexec","stage":1,"at":1}', 77, 1).at, 77);
});

for (const line of [
  '',
  'noise',
  '[]',
  'null',
  '{"event":"unknown","stage":1}',
  '{"event":"toString"}',
  '{"event":"exit","stage":1,"step":"a"}',
  '{"event":"done","stage":1,"code":"0"}',
  '{"event":"data","stage":1,"step":"a","data":{broken}}',
]) {
  test(`a line that is no event is kept as it is: ${JSON.stringify(line)}`, () => {
    assert.deepEqual(parseEvent(line, 1, 4), { event: 'malformed', at: 1, stage: 4, line });
  });
}

test('a "done" without a code is no "done"', () => {
  assert.equal(parseEvent('{"event":"done","stage":1}', 1, 1).event, 'malformed');
});

test('the guest waits for the host before it goes away, and only then', () => {
  const waits = (line: string): boolean => awaitsHost(parseEvent(line, 0, 1));
  assert.ok(waits('{"event":"kexec"}'));
  assert.ok(waits('{"event":"sync","name":"x"}'));
  assert.ok(waits('{"event":"done","code":0}'));
  assert.ok(!waits('{"event":"ready","step":"x"}'));
});

test('lines come out whole however the stream was cut', () => {
  const text = 'one\ntwo ü\n\nrest';
  for (let cut = 0; cut <= text.length; cut++) {
    const lines = new LineSplitter();
    const got = [...lines.push(text.slice(0, cut)), ...lines.push(text.slice(cut))];
    assert.deepEqual(got, ['one', 'two ü', '']);
    assert.equal(lines.flush(), 'rest');
  }
});

test('a line without end does not take all memory', () => {
  const lines = new LineSplitter(10);
  assert.deepEqual([...lines.push('0123456789abc')], ['0123456789abc']);
});
