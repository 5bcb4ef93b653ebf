// SPDX-License-Identifier: MIT
// Which lines of a kernel's console are complaints, and of which family. Only the first line of a report is
// recognised here; src/console.ts gathers what belongs to it. testdata/console/ is the corpus of this table.

export type OopsKind =
  | 'panic'
  | 'oops'
  | 'bug'
  | 'warning'
  | 'refcount'
  | 'kasan'
  | 'kfence'
  | 'kcsan'
  | 'kmsan'
  | 'ubsan'
  | 'lockdep'
  | 'atomic'
  | 'rcu-stall'
  | 'lockup'
  | 'hung-task'
  | 'kmemleak'
  | 'bad-page'
  | 'list-corruption'
  | 'page-allocation'
  | 'oom'
  | 'kho'
  | 'kunit'
  | 'error';

export interface OopsFinding {
  kind: OopsKind;
  /** The line that told, without its time stamp. */
  line: string;
  /** From 1, in the console log; 0 for one that came over the events port. */
  lineNumber: number;
  /** That line and those that belong to its report. */
  excerpt: string[];
  /** Which kernel: 1 for the first one, 2 after a kexec, ... */
  stage: number;
  /** The step of the job that ran. */
  step?: string;
}

/** A complaint that a test provokes on purpose. */
export interface OopsPattern {
  kind?: OopsKind;
  match: RegExp;
}

interface Family {
  kind: OopsKind;
  match: RegExp;
  /**
   * Part of a report that began just before, where there is one: an oops that a "BUG: unable to handle" announced is one
   * complaint and not two.
   */
  continues?: readonly OopsKind[];
}

// The order matters: the first that matches gives the kind.
const FAMILIES: readonly Family[] = [
  { kind: 'panic', match: /^Kernel panic - not syncing: / },
  { kind: 'panic', match: /^PANIC: / },
  { kind: 'kasan', match: /^BUG: KASAN: / },
  { kind: 'kfence', match: /^BUG: KFENCE: / },
  { kind: 'kcsan', match: /^BUG: KCSAN: / },
  { kind: 'kmsan', match: /^BUG: KMSAN: / },
  { kind: 'ubsan', match: /^UBSAN: / },
  { kind: 'lockdep', match: /^WARNING: (?:possible|inconsistent|suspicious RCU|bad unlock|bad contention|held lock|lock held|Nested lock|chain_key)/ },
  { kind: 'lockdep', match: /^WARNING: \S+-safe -> \S+-unsafe lock order/ },
  { kind: 'lockdep', match: /^WARNING: .* still has locks held/ },
  { kind: 'lockdep', match: /^\[ BUG: Invalid wait context \]/ },
  { kind: 'lockdep', match: /^BUG: (?:MAX_LOCK\w*|MAX_STACK_TRACE_ENTRIES|looking up invalid subclass|key \S+ has not been registered)/ },
  { kind: 'lockdep', match: /^INFO: trying to register non-static key/ },
  { kind: 'lockdep', match: /^DEBUG_LOCKS_WARN_ON/, continues: ['warning', 'lockdep'] },
  { kind: 'atomic', match: /^BUG: (?:scheduling (?:while atomic|in a non-blocking section)|sleeping function called from invalid context|assuming (?:atomic|non migratable) context)/ },
  { kind: 'rcu-stall', match: /^(?:rcu: )?INFO: \S+ (?:detected (?:expedited )?stalls?|self-detected stall)/ },
  { kind: 'rcu-stall', match: /^(?:rcu: )?rcu_\w+ kthread (?:starved|timer wakeup didn't happen)/, continues: ['rcu-stall'] },
  { kind: 'lockup', match: /^(?:watchdog: )?BUG: soft lockup/ },
  { kind: 'lockup', match: /^(?:watchdog: |NMI watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP/i },
  { kind: 'lockup', match: /^BUG: workqueue lockup/ },
  { kind: 'hung-task', match: /^INFO: task .+ blocked.* for more than \d+ seconds/ },
  { kind: 'kmemleak', match: /^kmemleak: \d+ new suspected memory leaks/ },
  { kind: 'bad-page', match: /^BUG: (?:Bad (?:page|rss|swap)|non-zero pgtables_bytes)/ },
  { kind: 'bad-page', match: /^page dumped because: /, continues: ['bad-page', 'oops', 'bug', 'warning', 'kasan'] },
  { kind: 'list-corruption', match: /^(?:list_(?:add|del)\w* corruption|slab \S+.*corruption)/ },
  { kind: 'bug', match: /^kernel BUG at /, continues: ['list-corruption', 'bad-page'] },
  { kind: 'oops', match: /^BUG: (?:unable to handle|kernel NULL pointer|stack guard page was hit|TASK stack guard page|IRQ stack guard page)/ },
  { kind: 'oops', match: /^Unable to handle kernel / },
  { kind: 'oops', match: /^Oops[: ]/, continues: ['oops', 'bug', 'kasan', 'list-corruption'] },
  { kind: 'oops', match: /^Internal error: /, continues: ['oops', 'bug', 'kasan', 'list-corruption'] },
  { kind: 'oops', match: /^(?:general protection fault|stack segment|double fault|divide error|invalid opcode|int3|traps: PANIC)\b.*(?:\[#\d+\]|probably|maybe|non-canonical|:)/, continues: ['oops', 'bug', 'list-corruption'] },
  { kind: 'oops', match: /^Insufficient stack space to handle exception/ },
  { kind: 'oops', match: /^Bad mode in .* handler detected/ },
  { kind: 'bug', match: /^BUG: / },
  { kind: 'refcount', match: /^refcount_t: / },
  { kind: 'warning', match: /^WARNING: /, continues: ['refcount', 'list-corruption', 'bad-page'] },
  { kind: 'page-allocation', match: /page allocation failure: order/ },
  { kind: 'oom', match: /\binvoked oom-killer\b/ },
  { kind: 'oom', match: /^(?:Memory cgroup out of memory|Out of memory).*: Killed process/, continues: ['oom'] },
  { kind: 'kho', match: /^KHO: (?:.*\b(?:fail(?:ed|ure)?|disabling|broken|invalid|incompatible|not supported|too small|unable|cannot|corrupt\w*)\b)/i },
  { kind: 'kho', match: /^(?:luo|LUO|liveupdate): .*\b(?:fail(?:ed|ure)?|invalid|corrupt\w*|incompatible)\b/i },
  { kind: 'kunit', match: /^\s*(?:# )?not ok \d+/ },
];

/** Families whose report is that one line. */
export const ONE_LINERS: readonly OopsKind[] = ['kho', 'kunit', 'kmemleak', 'error'];

/** The family of a line that has lost its time stamp; undefined for one that is no complaint. */
export function classifyLine(text: string, open?: OopsKind): { kind: OopsKind; continues: boolean } | undefined {
  for (const family of FAMILIES) {
    if (!family.match.test(text)) continue;
    return { kind: family.kind, continues: open !== undefined && (family.continues?.includes(open) ?? false) };
  }
  return undefined;
}

/**
 * Lines at level err that speak of the machine which QEMU plays, or of a host too busy to play it in time, and not of the kernel.
 */
const MACHINE_NOISE: readonly RegExp[] = [
  /^\.\.MP-BIOS bug: 8254 timer not connected to IO-APIC/,
  /mitigation leaves CPU vulnerable/,
  /^(?:clocksource|tsc|TSC|hpet|HPET|APIC|x86\/cpu|i8042|platform-clock|GICv3): /,
];

/** Whether a line of the kernel log at level err or worse says something about the kernel. */
export const isErrorLine = (text: string): boolean => !MACHINE_NOISE.some((noise) => noise.test(text));

export const isAllowed = (finding: OopsFinding, allow: readonly OopsPattern[]): boolean =>
  allow.some(
    (pattern) =>
      (pattern.kind === undefined || pattern.kind === finding.kind) &&
      // A pattern may name the line that told or any of its report, such as a function in the trace.
      finding.excerpt.some((line) => new RegExp(pattern.match.source, pattern.match.flags.replace('g', '')).test(line)),
  );
