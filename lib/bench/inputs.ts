/** Keys, values and orders the workloads use: the same in every trial, through every driver. */

export function keyOf(number: number): string {
  return `user:${String(number).padStart(12, '0')}`;
}

/** Bytes of a key. */
export const KEY_BYTES = 17;

export function valueOf(bytes: number, seed = 1): Buffer {
  const value = Buffer.allocUnsafe(bytes);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < bytes; ++i) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    value[i] = state >>> 24;
  }
  return value;
}

const KINDS = 7;

/**
 * Values that differ from one operation to the next, and from one time that a key is written to the
 * next: a store that finds the same bytes there may leave out the write and the sync (SQLite does).
 * No number of keys used here is a multiple of seven.
 */
export function changingValues(bytes: number): (operation: number) => Buffer {
  const values = Array.from({ length: KINDS }, (_, i) => valueOf(bytes, i + 2));
  return (operation) => values[operation % KINDS]!;
}

/** Numbers below `limit` in an order no cache foresees, the same in every run. */
export function scattered(limit: number): () => number {
  let state = 12_345;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

export type Entry = readonly [key: string, value: Uint8Array];

export function* entriesOf(
  keys: number,
  bytes: number,
  pick = (i: number): number => i,
  seed = 1,
): Generator<Entry> {
  const value = valueOf(bytes, seed);
  for (let i = 0; i < keys; ++i) yield [keyOf(pick(i)), value];
}

/** A store cannot do what the workload needs. Becomes a row that says so. */
export class Impossible extends Error {}

export function need<T>(part: T | undefined, what: string): T {
  if (part === undefined) throw new Impossible(`has no ${what}`);
  return part;
}
