/**
 * Where read values land.
 *
 * A fresh buffer costs 300 ns and more, even for 64 bytes; a copy into memory that is there 20 ns.
 * So there are two places: the scratch buffer, for decoders that only borrow the bytes, used again
 * by the next read; and the slab, a larger piece that many values share, each handed out as a view
 * on it. What does not fit gets a buffer of its own.
 *
 * The native side knows both, so that a read needs not be handed them. It writes without looking
 * whether they are still attached: nobody else has the scratch, and `slabWithRoom` replaces a slab
 * that was detached by who got a value on it. Nothing may run between it and the read.
 */
import { markAsUntransferable } from 'node:worker_threads';

import { memoryFor } from './errors';
import { native, type Landing } from './native-binding';

const scratchBytes = 64 * 1024;

/** Of a slab, but of those that a long walk takes. */
export const slabBytes = 128 * 1024;
/** Longer values do not go to a slab of so many bytes, but get a buffer of their own. */
export const longestIn = (bytes: number): number => bytes / 16;
const slabValueBytes = longestIn(slabBytes);

/** A read into memory: `length`, -1 when absent, -(2 + length) when it does not fit. */
export type ReadInto = (into: Uint8Array, offset: number) => number;

const landing = (native.landing ??= makeLanding());

/** Scratch memory; whoever borrows it runs no foreign code before it is done with the bytes. */
export const scratch: Buffer = landing.scratch;

/** A view on the slab that holds a copy of what is in `from`. */
export function copyToSlab(from: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > slabValueBytes) return new Uint8Array(from.subarray(start, end));
  slabWithRoom();
  const view = takeFromSlab(length);
  view.set(from.subarray(start, end));
  return view;
}

/**
 * Reserves room for one value; `takeFromSlab` then makes it the caller's. Where there is none for
 * the longest that goes to a slab of `bytes`, such a slab is taken.
 */
export function slabWithRoom(bytes = slabBytes): Buffer {
  if (landing.used + longestIn(bytes) > landing.slab.length) freshSlab(bytes);
  return landing.slab;
}

export function slabOffset(): number {
  return landing.used;
}

export function takeFromSlab(length: number): Uint8Array {
  const view = new Uint8Array(landing.slabBuffer, landing.used, length);
  passOver(length);
  return view;
}

/** These bytes are somebody's. */
export function passOver(length: number): void {
  // Multiples of eight, so that a Float64Array may be laid on a value.
  landing.used = Math.min((landing.used + length + 7) & ~7, landing.slab.length);
}

function makeLanding(): Landing {
  const made = Buffer.allocUnsafeSlow(scratchBytes);
  native.landIn(1, made);
  const slab = makeSlab(slabBytes);
  return { scratch: made, slab, slabBuffer: slab.buffer, used: 0 };
}

// Transferring one value's memory to another thread would take all its neighbours away.
function makeSlab(bytes: number): Buffer {
  const made = Buffer.allocUnsafeSlow(bytes);
  markAsUntransferable(made.buffer);
  native.landIn(0, made);
  return made;
}

function freshSlab(bytes: number): void {
  landing.slab = makeSlab(bytes);
  landing.slabBuffer = landing.slab.buffer;
  landing.used = 0;
}

/**
 * A buffer of its own for a value that was too long; the value may have changed meanwhile, so it
 * may take turns.
 */
export function readLarge(length: number, read: ReadInto): Uint8Array | undefined {
  for (;;) {
    const own = memoryFor(length, () => new Uint8Array(length));
    const answer = read(own, 0);
    if (answer === -1) return undefined;
    if (answer >= 0) return answer === length ? own : own.subarray(0, answer);
    length = -answer - 2;
  }
}
