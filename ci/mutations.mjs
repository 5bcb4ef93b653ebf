#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// `npm run test:mutations`: would the tests see it? Breaks the kernel's part on purpose, one promise at
// a time, and runs the tests of that promise, which have to fail. `--only NAME` chooses one.

import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bootstrap, INTERRUPTED, root, run } from './bootstrap.mjs'

/**
 * `find` occurs once in kernel/overlay/mm/kmho/`file`, or in kernel/`file` where that is a path, such as that of a patch, whose lines
 * stay as many; with `put` in its place a result of `scenario` that `fails` names has to fail.
 * `also` is a second text of that file, for a promise that two places keep, either of them alone.
 */
const MUTATIONS = [
  { name: 'a write to a hole is not noted', file: 'record.c', find: 'set_bit(nr, range->dirty);', put: '(void)nr;', scenario: 'live_kexec', fails: /a hole written after the handover/ },
  { name: 'a hole is filled behind the back of a kexec', file: 'record.c', find: 'if (unlikely(sealed) && kmho_must_wait()) {', put: 'if (0) {', scenario: 'live_kexec', fails: /last moment/ },
  { name: 'an end stays within the limit of its memory cgroup', file: 'collect.c', find: 'err = must ? kmho_sync_last(c, start, end) :', put: 'err =', scenario: 'pressure', fails: /no room for/ },
  { name: 'FREEZE parts a process from its device', file: 'freeze.c', find: 'else if (PageAnonExclusive(page))', put: 'if (PageAnonExclusive(page))', scenario: 'freeze', fails: /a device writes/ },
  { name: 'a fault that is under way is not waited for', file: 'syscall.c', find: 'kmho_lock_vmas(mm, ranges[i].base, end);', put: '(void)end;', scenario: 'exit', fails: /under way/ },
  { name: 'whose a page was is not forgotten', file: 'install.c', find: 'if (PageAnonExclusive(folio_page(folio, i)))', put: 'if (0)', scenario: 'exit', fails: /mapped by the page/ },
  { name: 'the end of a process completes nothing', file: 'record.c', find: 'if (!rec->frozen)\n\t\t\t\tkmho_record_orphan(rec);', put: 'if (0)\n\t\t\t\tkmho_record_orphan(rec);', scenario: 'exit', fails: /writes after the handover/ },
  { name: 'memory may be unmapped from under a record', file: 'record.c', find: 'return start < end && mt_find(', put: 'return 0 && mt_find(', scenario: 'exit', fails: /EPERM/ },
  { name: "anybody may name another user's record", file: 'syscall.c', find: 'if (!uid_eq(*owner, current_euid()) && !capable(CAP_SYS_ADMIN))', put: 'if (0)', scenario: 'owners', fails: /capability/ },
  { name: 'RLIMIT_MEMLOCK is not asked', file: 'record.c', find: 'if (enforce && locked > limit)', put: 'if (0)', scenario: 'owners', fails: /RLIMIT_MEMLOCK/ },
  { name: 'a flipped bit is not noticed', file: 'extent.c', find: 'ser->crc != kmho_page_crc(', put: '0 != 0 * kmho_page_crc(', scenario: 'damage_kexec', fails: /./ },
  { name: 'the checksum of a record is not asked for', file: 'serial.c', find: 'if (ser->crc != kmho_record_crc(*ser))', put: 'if (0)', scenario: 'damage_kexec', fails: /right checksums/ },
  { name: 'what a record says of its memory is believed', file: 'serial.c', find: 'err = kmho_check_extents(&rec->extents, &rec->areas,\n\t\t\t\t\t ser->nr_pages);', put: 'err = 0;', scenario: 'damage_kexec', fails: /right checksums/ },
  { name: 'somebody is killed to make room for a kexec', file: 'collect.c', find: '__GFP_NOWARN | __GFP_RETRY_MAYFAIL,', put: '__GFP_NOWARN,', scenario: 'called_off_kexec', fails: /plan/ },
  { name: 'a DROP has somebody killed for what it needs itself', file: 'record.c', find: 'unsigned int flags = memalloc_noreclaim_save();\n\n\tmtree_erase(tree, index);\n\tmemalloc_noreclaim_restore(flags);', put: 'mtree_erase(tree, index);', scenario: 'called_off_kexec', fails: /plan|nobody is killed/ },
  { name: 'who is sent back from a kexec gets to user space', file: 'record.c', find: 'if (task_work_add(current, work, TWA_RESUME))', put: 'if (1)', scenario: 'live_kexec', fails: /last moment/ },
  { name: 'what a kexec that was called off could not look at is forgotten', file: 'collect.c', find: 'set_bit(i, range->dirty);\n\t\t\t\tgoto out;', put: 'goto out;', scenario: 'called_off_kexec', fails: /with a record that cannot be completed/ },
  { name: 'a kexec that is called off leaves shared memory sealed', file: 'record.c', find: 'kmho_objects_unseal();', put: '(void)rec;', scenario: 'called_off_kexec', fails: /without memory/ },
  { name: 'an untaken record is not preserved again', file: 'record.c', find: 'err = kmho_preserve_again(&rec->extents);', put: 'err = 0;', scenario: 'anon_kexec', fails: /again/ },
  { name: 'memory of another format stays with KHO', file: 'serial.c', find: 'kmho_extent_release(ext);', put: '(void)pos;', scenario: 'format_kexec', fails: /again/ },
  { name: 'frozen memory stays writable', file: 'freeze.c', find: '\tptep_set_wrprotect(walk->mm, addr, pte);', put: '\t(void)pte;', scenario: 'freeze', fails: /./ },
  { name: 'frozen shared memory goes on with the file', file: 'freeze.c', find: 'kmho_claims_frozen(rec);', put: 'kmho_claims_thaw(rec);', scenario: 'shmem', fails: /FREEZE is in the file only/ },
  { name: 'what was frozen at different moments is shared', file: 'shmem.c', find: 'else if (!kmho_frozen_fits(', put: 'else if (0 && !kmho_frozen_fits(', scenario: 'shmem', fails: /different moments/ },
  { name: 'shared memory is frozen as it was handed over', file: 'shmem.c', find: 'err = kmho_claim_sync(claim, false);', put: 'err = 0;', scenario: 'shmem', fails: /misses nothing/ },
  { name: 'a page in a scratch area is taken where it is', file: 'collect.c', find: 'c->in_scratch = kho_scratch_overlap(', put: 'c->in_scratch = 0 && kho_scratch_overlap(', scenario: 'exit', fails: /scratch/ },
  { name: 'who holds a page for a moment is not waited for', file: 'internal.h', find: '#define KMHO_TRIES\t14', put: '#define KMHO_TRIES\t10', scenario: 'exit', fails: /held for a while/ },
  { name: 'a page that another record has pinned is taken too', file: 'collect.c', find: 'if (kmho_folio_pins(folio) > nr &&', put: 'if (0 &&', also: { find: '|| !folio_maybe_dma_pinned(folio) ||', put: '|| true ||' }, scenario: 'live_kexec', fails: /./ },
  { name: 'a large folio that another record has pinned is taken too', file: 'collect.c', find: '|| folio_maybe_dma_pinned(folio) ||', put: '||', also: { find: 'if (kmho_folio_pins(folio) > nr) {', put: 'if (0) {' }, scenario: 'anon_kexec', fails: /two processes share/ },
  { name: 'huge pages in a row are taken out of step', file: 'collect.c', find: 'addr += PMD_SIZE, pmd++) {', put: 'addr += PMD_SIZE, pmd += 2) {', scenario: 'anon_kexec', fails: /huge pages in a row/ },
  { name: 'operations do not wait for the records of the last kernel', file: 'serial.c', find: 'return wait_event_killable(kmho_unready, smp_load_acquire(&kmho_ready));', put: 'return 0;', scenario: 'early_kexec', fails: /./ },
  { name: 'what waits to be touched is passed over', file: 'pending.c', find: 'return kmho_settle_all(mm, start, end, 0);', put: 'return 0;', scenario: 'lazy_kexec', fails: /./ },
  { name: 'what waits to be touched is not counted', file: 'pending.c', find: 'add_mm_counter(p->mm, MM_ANONPAGES, nr_pages);', put: '(void)nr_pages;', scenario: 'lazy_kexec', fails: /in RSS/ },
  { name: 'a takeover that fails frees what it wanted', file: 'pending.c', find: 'kmho_table_destroy(&p->rec->extents);\n\tkmho_pending_end(p);', put: 'kmho_pending_end(p);', scenario: 'lazy_kexec', fails: /half-way/ },
  { name: 'the OOM reaper empties what is handed over', file: 'patches/0002-mm-kmho-follow-memory-that-is-handed-over.patch', find: '+\t\tif (kmho_overlaps(mm, vma->vm_start, vma->vm_end))', put: '+\t\tif (0)', scenario: 'exit', fails: /process_mrelease/ },
  { name: 'what a device may still write to stays in a frozen record', file: 'freeze.c', find: '&& kmho_extent_is_pinned(ext);', put: '&& 0 && kmho_extent_is_pinned(ext);', scenario: 'freeze', fails: /a device writes after FREEZE/ },
  { name: 'a FREEZE that fails keeps what it has copied', file: 'freeze.c', find: 'kmho_discard_extent(rec, copy);', put: '(void)copy;', scenario: 'fault_inject', fails: /parts it from no device/ },
  { name: 'a takeover that fails half-way unmaps nothing', file: 'install.c', find: 'while (t->made && do_munmap(in->mm, t->addr, t->made, NULL))', put: 'while (0)', scenario: 'fault_inject', fails: /./ },
  { name: 'an end that finds no memory gives up', file: 'record.c', find: 'if (err != -ENOMEM) {', put: 'if (err) {', scenario: 'fault_inject', fails: /the end of a process/ },
  { name: 'ranges are charged to nobody', file: 'record.c', find: 'range = kzalloc_obj(*range, GFP_KERNEL_ACCOUNT);', put: 'range = kzalloc_obj(*range, GFP_KERNEL);', scenario: 'owners', fails: /what a record itself takes/ },
  { name: 'CHOWN leaves the count with the owner before', file: 'record.c', find: 'atomic_long_sub(rec->nr_pages, &rec->user->locked_vm);\n\tatomic_long_add(rec->nr_pages, &user->locked_vm);', put: '', scenario: 'owners', fails: /CHOWN of a live record/ },
  { name: 'memory comes back writable', file: 'collect.c', find: '{ VM_WRITE, KMHO_AREA_WRITE },', put: '{ VM_READ, KMHO_AREA_WRITE },', scenario: 'anon_kexec', fails: /protections/ },
  { name: 'what comes to a file at the last moment does not wait', file: 'shmem.c', find: 'kmho_object_note(obj, first, last) && obj->sealed &&', put: 'kmho_object_note(obj, first, last) && 0 &&', scenario: 'shmem_kexec', fails: /last moment/ },
  { name: 'what is discarded is not noted', file: 'record.c', find: 'i <= kmho_range_block(range, last); i++)\n\t\t\tset_bit(i, range->dirty);', put: 'i <= kmho_range_block(range, last); i++)\n\t\t\tcontinue;', scenario: 'private', fails: /a truncation after/ },
  { name: 'a takeover that keeps does not', file: 'install.c', find: '.keep = keep,', put: '.keep = 0 && keep,', scenario: 'keep', fails: /stands, live/ },
]

const pathOf = (file) => join('kernel', file.includes('/') ? file : join('overlay/mm/kmho', file))
/** What a checkout needs beside its node_modules to run the command line. */
const PARTS = ['package.json', 'package-lock.json', 'cli', 'dist', 'kernel', 'native', 'qemu', 'build', 'binding.gyp']

const textsOf = ({ find, put, also }) => [{ find, put }, ...(also ? [also] : [])]

/** Names of the results that failed with this mutation, in a copy of the checkout. */
async function failuresWith({ file, scenario, ...mutation }, dir) {
  const path = join(dir, pathOf(file))
  const source = await readFile(join(root, pathOf(file)), 'utf8')
  await writeFile(path, textsOf(mutation).reduce((text, { find, put }) => text.replace(find, put), source))
  try {
    const { code, stdout } = await run(process.execPath, [join(dir, 'cli/bin/kmho.js'), '--json', 'test', scenario], { capture: true })
    if (code === INTERRUPTED) return undefined
    const { results = [] } = JSON.parse(stdout || '{}')
    return results.filter(({ status }) => status === 'failed').map(({ name }) => name)
  } finally {
    await writeFile(path, source)
  }
}

/** What is wrong with a mutation whose texts are not in the source once each, a line a text. */
export async function staleMutations() {
  const lines = await Promise.all(
    MUTATIONS.map(async ({ name, file, ...mutation }) => {
      const source = await readFile(join(root, pathOf(file)), 'utf8')
      return textsOf(mutation).flatMap(({ find }) => {
        const found = source.split(find).length - 1
        return found === 1 ? [] : [`expected the text of "${name}" once in ${file}, found it ${found} times; bring ci/mutations.mjs up to date`]
      })
    })
  )
  return lines.flat()
}

async function mutations() {
  const ready = await bootstrap()
  if (ready !== 0) return ready
  const { add, finish, heading, options, tally, understands } = await import('./lib.mjs')
  if (!understands(['only'])) return 2
  const { os } = await import('zx')
  const chosen = MUTATIONS.filter(({ name }) => !options.only || name === options.only)
  if (chosen.length === 0) {
    process.stderr.write(`kmho: expected --only to name one of ${MUTATIONS.map(({ name }) => `"${name}"`).join(', ')}, found ${options.only}\n`)
    return 2
  }
  const stale = await staleMutations()
  for (const line of stale) process.stderr.write(`kmho: ${line}\n`)
  if (stale.length > 0) return 1
  const dir = await mkdtemp(join(os.tmpdir(), 'kmho-mutations-'))
  let total = tally(0)
  try {
    for (const part of PARTS) await cp(join(root, part), join(dir, part), { recursive: true })
    await symlink(join(root, 'node_modules'), join(dir, 'node_modules'))
    for (const mutation of chosen) {
      heading(mutation.name)
      const failed = await failuresWith(mutation, dir)
      if (!failed) return INTERRUPTED
      const seen = failed.find((name) => mutation.fails.test(name))
      process.stdout.write(`${seen ? 'seen  ' : 'UNSEEN'} ${mutation.name}: ${seen ?? `of ${mutation.scenario} failed ${failed.join(', ') || 'nothing'}`}\n`)
      total = add(total, tally(seen ? 0 : 1, { [seen ? 'passed' : 'failed']: 1 }))
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
  finish(total)
  return process.exitCode
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await mutations()
