// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { aptDownload, chooseRevision, formatAptList, parseDeb822Sources, parseMadison, parseOneLineSources, parseOsRelease, readAptMirrors } from '../../src/kernel/apt.js'
import { tempDir, writeTree } from '../support.js'

test('the mirror is read out of one-line sources', () => {
  const text = `# deb http://old.example/debian bookworm main
deb-src http://src.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib
deb http://security.example/debian-security bookworm-security main
deb http://third.example/apt bookworm extra
`
  assert.deepEqual(parseOneLineSources(text, 'bookworm'), [{ uri: 'http://mirror.example/debian', signedBy: '/usr/share/keyrings/k.gpg' }])
})

test('the mirror is read out of deb822 sources, with comments and folded fields', () => {
  const text = `Types: deb
# a remark
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb deb-src
URIs: http://a.example/debian
 http://b.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
`
  assert.deepEqual(parseDeb822Sources(text, 'bookworm'), [
    { uri: 'http://mirror.example/debian', signedBy: '/usr/share/keyrings/k.gpg' },
    { uri: 'http://a.example/debian' },
    { uri: 'http://b.example/debian' },
  ])
})

test('every file of the machine is looked at, others are not', async (t) => {
  const etc = await writeTree(await tempDir(t), {
    'sources.list': 'deb http://one.example/debian bookworm main\n',
    'sources.list.d/a.sources': 'Types: deb\nURIs: http://two.example/debian\nSuites: bookworm\nComponents: main\n',
    'sources.list.d/b.list.save': 'deb http://three.example/debian bookworm main\n',
  })
  assert.deepEqual(
    (await readAptMirrors('bookworm', etc)).map((mirror) => mirror.uri),
    ['http://one.example/debian', 'http://two.example/debian'],
  )
  assert.deepEqual(await readAptMirrors('bookworm', join(etc, 'nowhere')), [])
})

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
  assert.deepEqual(parseOsRelease('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'), { debian: true, name: 'Debian GNU/Linux 12 (bookworm)', codename: 'bookworm' })
  assert.equal(parseOsRelease('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n').debian, false)
  assert.equal(parseOsRelease('').debian, false)
})
