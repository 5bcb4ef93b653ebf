// SPDX-License-Identifier: MIT
// Writes a "newc" cpio archive, the form in which the kernel takes an initramfs (Documentation/driver-api/
// early-userspace/buffer-format.rst). Times, owners and inode numbers are fixed: the same entries give the same bytes.

export interface CpioEntry {
  /** Without a leading slash. */
  name: string;
  /** File type and permissions, as st_mode. */
  mode: number;
  data?: Uint8Array;
  /** Of a character device. */
  device?: { major: number; minor: number };
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

export const directory = (name: string, mode = 0o755): CpioEntry => ({ name, mode: S_IFDIR | mode });
export const file = (name: string, data: Uint8Array, mode = 0o644): CpioEntry => ({ name, mode: S_IFREG | mode, data });
export const charDevice = (name: string, major: number, minor: number, mode = 0o600): CpioEntry => ({
  name,
  mode: S_IFCHR | mode,
  device: { major, minor },
});

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

function entryBytes(entry: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${entry.name}\0`);
  const data = entry.data ?? new Uint8Array();
  if (data.length > 0xffffffff) throw new RangeError(`${entry.name} does not fit into a cpio archive`);
  const fields = [
    inode,
    entry.mode,
    0, // uid
    0, // gid
    1, // links
    0, // time
    data.length,
    0, // device that it lies on
    0,
    entry.device?.major ?? 0,
    entry.device?.minor ?? 0,
    name.length,
    0, // checksum, of another format
  ];
  const header = Buffer.from(`070701${fields.map(hex).join('')}`);
  return [header, name, padding(header.length + name.length), Buffer.from(data), padding(data.length)];
}

/** The archive. Folders must come before what lies in them. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const seen = new Set<string>();
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => {
    if (entry.name.startsWith('/') || entry.name.split('/').includes('..')) throw new RangeError(`a path inside: ${entry.name}`);
    if (seen.has(entry.name)) throw new RangeError(`${entry.name} is there twice`);
    seen.add(entry.name);
    parts.push(...entryBytes(entry, index + 1));
  });
  parts.push(...entryBytes({ name: 'TRAILER!!!', mode: 0 }, 0));
  return Buffer.concat(parts);
}
