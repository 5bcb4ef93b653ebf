// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aptDownload, chooseRevision, formatAptList, isDebian, parseMadison } from '../../src/kernel/apt.js'

test('our list names the suite, and the keyring of the entry that was read', () => {
  assert.equal(formatAptList({ uri: 'http://m/debian', signedBy: '/k.gpg' }, 'trixie-backports'), 'deb [signed-by=/k.gpg] http://m/debian trixie-backports main\n')
  assert.match(formatAptList({ uri: 'http://m/debian' }, 's'), /^deb \[signed-by=\/usr\/share\/keyrings\/debian-archive-keyring\.gpg\] /)
})

test("apt is kept away from the machine's own lists", () => {
  const { file, args, cwd } = aptDownload('/w', '/w/into', 'linux-source-7.3', '7.3.4-1')
  assert.equal(file, 'apt-get')
  assert.equal(cwd, '/w/into')
  for (const option of ['-oDir::Etc::sourcelist=/w/sources.list', '-oDir::Etc::sourceparts=/dev/null', '-oDir::State::Lists=/w/lists', '-oDir::Cache=/w/cache']) {
    assert.ok(args.includes(option), option)
  }
  assert.deepEqual(args.slice(-2), ['download', 'linux-source-7.3=7.3.4-1'])
})

test('the pinned revision is taken if it is there, otherwise a later one of the series', () => {
  const madison = ' linux-source-7.3 | 7.3.6-1~bpo13+1 | http://m/debian s/main amd64 Packages\n linux-source-7.3 | 7.3.4-1~bpo13+1 | http://m/debian s/main amd64 Packages\n'
  const available = parseMadison(madison)
  assert.deepEqual(chooseRevision(available, '7.3.4-1~bpo13+1', '7.3'), { version: '7.3.4-1~bpo13+1', pinned: true })
  assert.deepEqual(chooseRevision(available.slice(0, 1), '7.3.4-1~bpo13+1', '7.3'), { version: '7.3.6-1~bpo13+1', pinned: false })
  assert.equal(chooseRevision(['7.30.1-1'], '7.3.4-1~bpo13+1', '7.3'), undefined)
  assert.equal(chooseRevision(parseMadison(''), '7.3.4-1~bpo13+1', '7.3'), undefined)
})

test('only Debian itself is taken for Debian', () => {
  assert.equal(isDebian('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'), true)
  assert.equal(isDebian('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n'), false)
  assert.equal(isDebian(''), false)
})
