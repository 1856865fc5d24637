/** Numbers and times on the command line. A wrong one is wrong usage, and what is right is said. */
import { InvalidArgumentError } from 'commander';

/** One more than a number is still one that is exact. */
const MOST = Number.MAX_SAFE_INTEGER - 1;
const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const UNITS = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 } as const;

export function wholeNumber(text: string): number {
  return wholeFrom(0, text);
}

/** Of what may be shown, kept or done at once: none is never what is meant. */
export function countFromOne(text: string): number {
  return wholeFrom(1, text);
}

function wholeFrom(least: number, text: string): number {
  const value = Number(text);
  // Nothing is no number: what is removed or limited by it must have been said.
  if (/^\d+$/.test(text) && value >= least && value <= MOST) return value;
  throw new InvalidArgumentError(`expected a whole number from ${least}.`);
}

/** Bytes, or with K, M, G or T, as in 512M. */
export function byteSize(text: string): number {
  const found = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text);
  if (!found) throw new InvalidArgumentError('expected a size such as 512M or 8G.');
  return Math.round(Number(found[1]) * UNITS[found[2]!.toLowerCase() as keyof typeof UNITS]);
}

/** Milliseconds. */
export function duration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('expected a time such as 15m or 30d.');
  return Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Of what is to hold something. */
export function byteSizeFromOne(text: string): number {
  const size = byteSize(text);
  if (size === 0) throw new InvalidArgumentError('expected a size such as 512M or 8G.');
  return size;
}
