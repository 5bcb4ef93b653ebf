// SPDX-License-Identifier: MIT
// What is measured: the points (how much memory, of which pages, lying how, under how many keys)
// and the systems that are compared at each. Data only; it runs nothing.

import { UsageError } from '../errors.js'

export const PAGE = 4096
const HUGE = 2 << 20
const MIB = 2 ** 20

export type Layout = 'contiguous' | 'alternate' | 'random'

export interface Point {
  name: string
  /** In words, for tables. */
  title: string
  /** Memory that is touched. */
  bytes: number
  /** Size of the pages asked for. */
  page: number
  layout: Layout
  /** One page in so many is touched, the others are holes. */
  touch: number
  keys: number
  ranges: number
  /** Huge pages of hugetlb, rather than transparent ones. */
  hugetlb: boolean
}

/** Who carries the memory over, on which kernel. */
export interface System {
  name: 'stock-luo' | 'kmho-luo' | 'kmho'
  title: string
  flavor: 'stock' | 'default'
  peer: 'luo' | 'kmho'
}

export const SYSTEMS: readonly System[] = [
  { name: 'stock-luo', title: 'stock kernel, LUO memfd', flavor: 'stock', peer: 'luo' },
  { name: 'kmho-luo', title: 'our kernel, LUO memfd', flavor: 'default', peer: 'luo' },
  { name: 'kmho', title: 'our kernel, kmho(2)', flavor: 'default', peer: 'kmho' },
]

const point = (name: string, title: string, mib: number, rest: Partial<Point> = {}): Point => ({ name, title, bytes: mib * MIB, page: PAGE, layout: 'contiguous', touch: 1, keys: 1, ranges: 1, hugetlb: false, ...rest })

/** What is measured unless told otherwise: minutes on an emulated machine of two cores. */
export const QUICK: readonly Point[] = [
  point('64M', '64 MiB, 4 KiB pages', 64),
  point('256M', '256 MiB, 4 KiB pages', 256),
  point('mthp', '64 MiB, 64 KiB pages', 64, { page: 64 << 10 }),
  point('thp', '128 MiB, 2 MiB pages', 128, { page: HUGE }),
  point('hugetlb', '128 MiB, 2 MiB pages of hugetlb', 128, { page: HUGE, hugetlb: true }),
  point('alternate', '64 MiB, every other 4 KiB page', 64, { layout: 'alternate' }),
  point('random', '64 MiB, random 4 KiB pages', 64, { layout: 'random' }),
  point('holes', '16 MiB touched of 256 MiB', 16, { touch: 16 }),
  point('keys-100', '64 MiB under 100 keys', 64, { keys: 100 }),
  point('ranges-1000', '64 MiB in 1,000 ranges', 64, { ranges: 1000 }),
]

/** What --full adds: sizes and counts that take hours without acceleration. */
export const FULL: readonly Point[] = [
  point('1G', '1 GiB, 4 KiB pages', 1024),
  point('4G', '4 GiB, 4 KiB pages', 4096),
  point('16G', '16 GiB, 4 KiB pages', 16384),
  point('thp-1G', '1 GiB, 2 MiB pages', 1024, { page: HUGE }),
  point('thp-16G', '16 GiB, 2 MiB pages', 16384, { page: HUGE }),
  point('alternate-128M', '128 MiB, every other 4 KiB page', 128, { layout: 'alternate' }),
  point('alternate-512M', '512 MiB, every other 4 KiB page', 512, { layout: 'alternate' }),
  point('alternate-4G', '4 GiB, every other 4 KiB page', 4096, { layout: 'alternate' }),
  point('keys-1000', '64 MiB under 1,000 keys', 64, { keys: 1000 }),
  point('keys-10000', '64 MiB under 10,000 keys', 64, { keys: 10_000 }),
  point('ranges-16384', '64 MiB in 16,384 ranges', 64, { ranges: 16_384 }),
  point('ranges-1000000', '4 GiB in 1,000,000 ranges', 4096, { ranges: 1_000_000 }),
]

export interface Choice {
  only?: string
  size?: number
  full?: boolean
}

/** The points that were asked for. `--size` gives one more, in `--only`'s stead or beside it. */
export function choosePoints({ only, size, full }: Choice): Point[] {
  const all = [...QUICK, ...FULL]
  const sized = size === undefined ? [] : [point(`size-${size / MIB}M`, `${size / MIB} MiB, 4 KiB pages`, size / MIB)]
  if (only === undefined) return size !== undefined ? sized : [...(full ? all : QUICK)]
  const chosen = only.split(',').map((name) => {
    const found = all.find((item) => item.name === name)
    if (!found) throw new UsageError({ expected: `--only to name some of ${all.map((item) => item.name).join(', ')}`, found: name })
    return found
  })
  return [...chosen, ...sized]
}

/** LUO knows no ranges, for a memfd is one, and refuses hugetlb. */
export function systemsOf({ ranges, hugetlb }: Point): System[] {
  return SYSTEMS.filter(({ peer }) => (ranges === 1 && !hugetlb) || peer === 'kmho')
}

/** Arguments of the program in the guest. */
export function benchArgs(side: 'before' | 'after', peer: System['peer'] | 'none', at: Point | undefined, repeat: number): string[] {
  if (!at) return [side, '--peer', peer]
  const words = [side, '--peer', peer, '--bytes', at.bytes, '--page', at.page, '--layout', at.layout, '--touch', at.touch, '--keys', at.keys, '--ranges', at.ranges, '--repeat', repeat]
  return [...words, ...(at.hugetlb ? ['--hugetlb'] : [])].map(String)
}

/** Guest memory in MiB for a point: what LUO fills its holes with and what lies between fragments included. */
export function memoryOf(at: Point, base: number): number {
  const spread = Math.max(at.touch, at.layout === 'contiguous' ? 1 : 2)
  return Math.ceil((base + (at.bytes / MIB) * spread * 1.05) / 64) * 64
}
