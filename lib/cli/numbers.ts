/** Numbers on the command line. A wrong one is wrong usage, and what is right is said. */
import { InvalidArgumentError } from 'commander';

/** One more than a number is still one that is exact. */
const MOST = Number.MAX_SAFE_INTEGER - 1;

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
