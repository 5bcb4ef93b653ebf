// SPDX-License-Identifier: MIT
// Where the instructions between two points of the kernel go: the blocks that qemu/plugin/profile.c counted, by the
// function that each lies in. It knows no guest and no file.

import { MachineryError, UsageError } from '../errors.js'

/** The functions at which counting starts and ends. */
export interface Window {
  from: string
  to: string
}

/** `FROM,TO`, two names. */
export function parseWindow(text: string): Window {
  const [from, to, ...rest] = text.split(',')
  if (!from || !to || rest.length > 0) throw new UsageError({ expected: '--profile to name two functions of the kernel, such as kmho_takeover,do_exit', found: text })
  return { from, to }
}

/** Functions by ascending address. */
export type Symbols = readonly { address: bigint; name: string }[]

/** System.map: `ADDRESS TYPE NAME`, a line each. */
export function parseSymbols(map: string): Symbols {
  return map
    .split('\n')
    .flatMap((line) => {
      const [address, type, name] = line.split(' ')
      return address && name && /^[tTwW]$/.test(type ?? '') ? [{ address: BigInt(`0x${address}`), name }] : []
    })
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0))
}

/** Address of a function, which is not one that the compiler has inlined. */
export function addressOf(symbols: Symbols, name: string): string {
  const found = symbols.find((symbol) => symbol.name === name)
  if (!found) throw new UsageError({ expected: '--profile to name functions in System.map', found: name, mend: 'name one that is not inlined' })
  return `0x${found.address.toString(16)}`
}

/** Of one function, in instructions and calls. */
export interface FunctionProfile {
  name: string
  instructions: number
  calls: number
}

/** What is not the kernel's: programs, and the kernel before its page tables are. */
export const ELSEWHERE = '(programs, early boot)'

/** From the plugin's lines, `ADDRESS INSTRUCTIONS RUNS`; most instructions first. */
export function profileByFunction(blocks: string, symbols: Symbols): FunctionProfile[] {
  const lines = blocks.split('\n').filter(Boolean)
  if (lines.length === 0) throw new MachineryError('the two functions of --profile did not run, one after the other')
  const profiles = new Map<string, FunctionProfile>()
  for (const line of lines) {
    const [address = '', instructions, runs] = line.split(' ')
    const at = BigInt(`0x${address}`)
    const symbol = symbolAt(symbols, at)
    const name = symbol?.name ?? ELSEWHERE
    const profile = profiles.get(name) ?? { name, instructions: 0, calls: 0 }
    profile.instructions += Number(instructions) * Number(runs)
    if (symbol?.address === at) profile.calls += Number(runs)
    profiles.set(name, profile)
  }
  return [...profiles.values()].sort((a, b) => b.instructions - a.instructions)
}

function symbolAt(symbols: Symbols, address: bigint): Symbols[number] | undefined {
  let [low, high] = [0, symbols.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((symbols[middle] as Symbols[number]).address <= address) low = middle + 1
    else high = middle
  }
  return symbols[low - 1]
}

/** The first `count` functions. */
export function profileRows(profiles: readonly FunctionProfile[], count: number): string[][] {
  const total = profiles.reduce((sum, { instructions }) => sum + instructions, 0)
  const share = (instructions: number): string => `${((instructions / total) * 100).toFixed(1)} %`
  const shown = profiles.slice(0, count)
  const rest = profiles.slice(count).reduce((sum, { instructions }) => sum + instructions, 0)
  return [
    ['function', 'instructions', 'calls', 'share'],
    ...shown.map(({ name, instructions, calls }) => [name, String(instructions), calls > 0 ? String(calls) : '-', share(instructions)]),
    ...(rest > 0 ? [[`${profiles.length - count} more`, String(rest), '-', share(rest)]] : []),
    ['all', String(total), '-', share(total)],
  ]
}
