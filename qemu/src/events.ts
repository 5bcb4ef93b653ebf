// SPDX-License-Identifier: MIT
// The guest's side of the conversation: newline-terminated JSON on the virtio-serial port org.kmho.events. A line
// that is not what guest/init.c writes is kept as `malformed`, never guessed at.

export const EVENTS_PORT = 'org.kmho.events';

interface Common {
  /** Milliseconds since QEMU was started, by the host's clock. */
  at: number;
  /** 1 for the first kernel, 2 after the first kexec, ... */
  stage: number;
}

/** /init runs. */
export interface BootEvent extends Common {
  event: 'boot';
  release: string;
  version: string;
  machine: string;
  bootId: string;
  cmdline: string;
  /** CLOCK_BOOTTIME of the guest at this moment. */
  uptimeMs: number;
  /** The counter that goes on over a kexec (TSC, CNTVCT) at this moment. */
  ticks: number;
  memTotalKiB: number;
}
export interface ExecEvent extends Common {
  event: 'exec';
  step: string;
  uid: number;
  pid: number;
  argv: string[];
}
/** One line, or a part of one, that a step wrote. */
export interface OutputEvent extends Common {
  event: 'output';
  step: string;
  stream: 'stdout' | 'stderr';
  line: string;
  /** False where no newline followed. */
  eol: boolean;
}
/** A step wrote a line `@kmho JSON` to its stdout. */
export interface DataEvent extends Common {
  event: 'data';
  step: string;
  data: unknown;
}
/** A background step wrote a line `@kmho-ready`. */
export interface ReadyEvent extends Common {
  event: 'ready';
  step: string;
}
export interface ExitEvent extends Common {
  event: 'exit';
  step: string;
  /** Exit status, or 128 + signal. */
  code: number;
  signal?: number;
  /** The step's own time-out killed it. */
  timedOut?: boolean;
  ms: number;
}
/** An image was loaded with kexec_file_load(2). */
export interface LoadEvent extends Common {
  event: 'load';
  image: string;
  ms: number;
}
/** The kexec happens as soon as the host's onEvent has settled; the guest waits for that. */
export interface KexecEvent extends Common {
  event: 'kexec';
}
/** The last word before reboot(2) goes to the next kernel. */
export interface LeaveEvent extends Common {
  event: 'leave';
  /** As in BootEvent. */
  ticks: number;
}
/** A `sync` step: the guest waits until the host's onEvent has settled. */
export interface SyncEvent extends Common {
  event: 'sync';
  name: string;
}
/** A line of the kernel log at level err or worse. */
export interface KlogEvent extends Common {
  event: 'klog';
  level: number;
  line: string;
}
/** /init itself could not do what the job asks. */
export interface ErrorEvent extends Common {
  event: 'error';
  message: string;
}
/** The verdict; the guest powers off as soon as the host's onEvent has settled. */
export interface DoneEvent extends Common {
  event: 'done';
  code: number;
}
/** A line that is no event. */
export interface MalformedEvent extends Common {
  event: 'malformed';
  line: string;
}

export type GuestEvent =
  | BootEvent
  | ExecEvent
  | OutputEvent
  | DataEvent
  | ReadyEvent
  | ExitEvent
  | LoadEvent
  | KexecEvent
  | LeaveEvent
  | SyncEvent
  | KlogEvent
  | ErrorEvent
  | DoneEvent
  | MalformedEvent;

const FIELDS: Record<string, Record<string, 'string' | 'number' | 'boolean' | 'object' | 'any'>> = {
  boot: {
    release: 'string',
    version: 'string',
    machine: 'string',
    bootId: 'string',
    cmdline: 'string',
    uptimeMs: 'number',
    ticks: 'number',
    memTotalKiB: 'number',
  },
  exec: { step: 'string', uid: 'number', pid: 'number', argv: 'object' },
  output: { step: 'string', stream: 'string', line: 'string', eol: 'boolean' },
  data: { step: 'string', data: 'any' },
  ready: { step: 'string' },
  exit: { step: 'string', code: 'number', ms: 'number' },
  load: { image: 'string', ms: 'number' },
  kexec: {},
  leave: { ticks: 'number' },
  sync: { name: 'string' },
  klog: { level: 'number', line: 'string' },
  error: { message: 'string' },
  done: { code: 'number' },
};

/** The events for which the guest stops until the host says "go". */
export const awaitsHost = (event: GuestEvent): boolean =>
  event.event === 'kexec' || event.event === 'sync' || event.event === 'done';

/** One line of the port, as an event. */
export function parseEvent(line: string, at: number, stage: number): GuestEvent {
  const malformed: MalformedEvent = { event: 'malformed', at, stage, line };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return malformed;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return malformed;
  const record = value as Record<string, unknown>;
  const name = record['event'];
  const fields = typeof name === 'string' && Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
  if (!fields) return malformed;
  for (const [field, kind] of Object.entries(fields)) {
    if (!(field in record)) return malformed;
    if (kind !== 'any' && typeof record[field] !== kind) return malformed;
  }
  return { stage, ...record, at } as GuestEvent;
}

/** Cuts a stream into lines; what has no newline yet waits for the next chunk. */
export class LineSplitter {
  #rest = '';

  constructor(readonly maxLength = 4 << 20) {}

  *push(chunk: string): Generator<string> {
    this.#rest += chunk;
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n')) {
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      yield line;
    }
    // A guest that never ends its line must not take the host's memory.
    if (this.#rest.length > this.maxLength) {
      const line = this.#rest;
      this.#rest = '';
      yield line;
    }
  }

  flush(): string | undefined {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? undefined : rest;
  }
}
