// SPDX-License-Identifier: MIT
// Reads a guest's console as it comes: cuts it into lines, takes the time stamps off, follows which kernel and which
// step of the job speaks, and gathers each complaint with the lines of its report. Verdicts are not made here.

import { LineSplitter } from './events.js';
import { classifyLine, isAllowed, ONE_LINERS, type OopsFinding, type OopsPattern } from './oops.js';

const STAMP = /^(?:<\d+>)?\[\s*\d+\.\d{6}\](?:\[\s*[TC]\d+\])? ?/;
const MARK = /^kmho-guest: stage (\d+) step (\S+) (starts|ends)$/;
/** What comes first in a kernel's log, on either architecture. */
const FIRST_LINE = /^(?:Linux version |Booting Linux on physical CPU )/;
const REPORT_END = /^---\[ end (?:trace|Kernel panic)/;
const REPORT_LINES = 80;
// Terminal control sequences; firmware clears the screen before the kernel's first line.
// eslint-disable-next-line no-control-regex
const CONTROL = /\x1b(?:\[[0-9;?]*[A-Za-z]|c)|[\x00-\x08\x0b-\x1f\x7f]/g;

export interface ConsoleOptions {
  /** A person types on this console: only what the kernel stamped counts. */
  interactive?: boolean;
}

export class ConsoleMonitor {
  readonly findings: OopsFinding[] = [];
  /** The last lines, for a person who looks at a failure. */
  readonly tail: string[] = [];
  #lines = new LineSplitter(64 << 10);
  #number = 0;
  #stage = 1;
  #step: string | undefined;
  #banners = 0;
  #open: OopsFinding | undefined;

  constructor(readonly options: ConsoleOptions = {}) {}

  get panicked(): boolean {
    return this.findings.some((finding) => finding.kind === 'panic');
  }

  /** True when something of the kernel's was seen at all. */
  get kernelSpoke(): boolean {
    return this.#banners > 0;
  }

  push(chunk: string): void {
    for (const line of this.#lines.push(chunk)) this.#line(line);
  }

  end(): void {
    const rest = this.#lines.flush();
    if (rest !== undefined) this.#line(rest);
  }

  #line(raw: string): void {
    this.#number += 1;
    const line = raw.replace(CONTROL, '');
    this.tail.push(line);
    if (this.tail.length > 40) this.tail.shift();
    const stamped = STAMP.test(line);
    const text = line.replace(STAMP, '');
    if (stamped) this.#follow(text);
    if (!stamped && this.options.interactive) return;

    const found = classifyLine(text, this.#open?.kind);
    if (found && !found.continues) {
      const finding: OopsFinding = {
        kind: found.kind,
        line: text,
        lineNumber: this.#number,
        excerpt: [text],
        stage: this.#stage,
        ...(this.#step === undefined ? {} : { step: this.#step }),
      };
      this.findings.push(finding);
      this.#open = ONE_LINERS.includes(found.kind) ? undefined : finding;
      return;
    }
    if (!this.#open) return;
    this.#open.excerpt.push(text);
    if (REPORT_END.test(text) || this.#open.excerpt.length >= REPORT_LINES) this.#open = undefined;
  }

  #follow(text: string): void {
    const mark = MARK.exec(text);
    if (mark) {
      this.#open = undefined;
      this.#stage = Number(mark[1]);
      this.#step = mark[3] === 'starts' ? mark[2] : undefined;
    } else if (FIRST_LINE.test(text)) {
      // arm64 has both lines, a stamp apart.
      if (text.startsWith('Linux version ')) {
        this.#banners += 1;
        if (this.#banners > 1) this.#stage = Math.max(this.#stage, this.#banners);
      }
      this.#step = undefined;
      this.#open = undefined;
    }
  }
}

/** The complaints in a console log that is there already. */
export function scanConsole(text: string, options: ConsoleOptions & { allow?: OopsPattern[] } = {}): OopsFinding[] {
  const monitor = new ConsoleMonitor(options);
  monitor.push(text);
  monitor.end();
  return monitor.findings.filter((finding) => !isAllowed(finding, options.allow ?? []));
}
