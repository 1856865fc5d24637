/**
 * Ranges: which bytes a range's options mean, and the iterator that walks them.
 *
 * An iterator sees one state, that of its making, and pins it until its last entries were fetched,
 * it was returned from (`break`), or is collected: one with a `limit` lets go with its last entry,
 * also where nobody asks for more. Entries come many at a time, packed together; the layout is in
 * native/binding/range_handle.cc. Values that last are packed right into the slab.
 */
import { types } from 'node:util';

import { decodeOwned, decoderAt, utf8 } from './codecs';
import type { DecodeAt } from './codecs';
import { closedError, typeError } from './errors';
import type { Encoded, NativeRange } from './native-binding';
import { booleanOption, limitOption, optionsObject } from './options';
import {
  copyToSlab,
  longestIn,
  passOver,
  readLarge,
  slabBytes,
  slabOffset,
  slabWithRoom,
} from './slab';
import { isWellFormed } from './texts';
import type { Codec, RangeOptions } from './types';

/**
 * Bounds on user keys: from `low` (inclusive) to `high` (exclusive); null is the keyspace's own
 * end.
 */
export interface Bounds {
  readonly low: Uint8Array | null;
  readonly high: Uint8Array | null;
  readonly empty: boolean;
  readonly reverse: boolean;
  readonly limit: number;
}

const zero = Buffer.alloc(1);

export function bytesOf(encoded: Encoded): Buffer {
  if (typeof encoded === 'string') {
    if (!isWellFormed(encoded))
      throw typeError('The key has a lone surrogate, which UTF-8 cannot say; pass it as bytes');
    return Buffer.from(encoded, 'utf8');
  }
  if (!types.isUint8Array(encoded)) {
    throw typeError('A key codec must encode to a string or a Uint8Array');
  }
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

/**
 * The first bytes that come after everything that begins with `prefix`; null when there are none.
 */
export function afterPrefix(prefix: Buffer): Buffer | null {
  let end = prefix.length;
  while (end > 0 && prefix[end - 1] === 0xff) --end;
  if (end === 0) return null;
  const after = Buffer.from(prefix.subarray(0, end));
  after[end - 1]! += 1;
  return after;
}

const names = ['gte', 'gt', 'lte', 'lt', 'prefix', 'reverse', 'limit', 'snapshot'] as const;

export function boundsOf<K>(given: RangeOptions<K> | undefined, codec: Codec<K>): Bounds {
  const options = optionsObject(given, 'a range', names);
  let low: Buffer | null = null;
  let high: Buffer | null = null;
  const from = (bound: Buffer): void => {
    if (low === null || bound.compare(low) > 0) low = bound;
  };
  const to = (bound: Buffer | null): void => {
    if (bound !== null && (high === null || bound.compare(high) < 0)) high = bound;
  };
  const encode = (key: K | undefined): Buffer => bytesOf(codec.encode(key as K));
  if (options.gte !== undefined) from(encode(options.gte));
  if (options.gt !== undefined) from(Buffer.concat([encode(options.gt), zero]));
  if (options.lt !== undefined) to(encode(options.lt));
  if (options.lte !== undefined) to(Buffer.concat([encode(options.lte), zero]));
  if (options.prefix !== undefined) {
    const prefix = encode(options.prefix);
    from(prefix);
    to(afterPrefix(prefix));
  }
  const limit = limitOption(options.limit);
  const empty =
    limit === 0 || (low !== null && high !== null && (low as Buffer).compare(high) >= 0);
  return { low, high, empty, reverse: booleanOption('reverse', options.reverse), limit };
}

const elsewhere = 0x8000_0000;
const allAscii = 1;
const theLast = 2;
const firstEntries = 32;
const mostEntries = 1024;
const lengthsBefore = 2;
const keysTogether = 32;
/**
 * A walk that goes on takes slabs that are twice as large each time, up to this: each costs a call
 * of the addon and an allocation. What it leaves of the last one is used by later reads.
 */
const longestSlabBytes = 512 * 1024;

/** What an iterator needs while it goes, and lends to the next one afterwards. */
interface Packed {
  readonly lengths: Uint32Array;
  readonly keys: Buffer;
  /** Of values that are decoded at once; others go to the slab. */
  readonly values: Buffer;
}

function packed(entries: number, keyBytes: number, valueBytes: number): Packed {
  const lengthBytes = 4 * (lengthsBefore + 2 * entries);
  const { buffer } = Buffer.allocUnsafeSlow(lengthBytes + keyBytes + valueBytes);
  return {
    lengths: new Uint32Array(buffer, 0, lengthBytes / 4),
    keys: Buffer.from(buffer, lengthBytes, keyBytes),
    values: Buffer.from(buffer, lengthBytes + keyBytes, valueBytes),
  };
}

/** For many entries at a time. */
const roomy = (): Packed => packed(mostEntries, 32 * 1024, 64 * 1024);

/** For the first entries where no roomy one is spare: many ranges may be open and hardly begun. */
const small = (): Packed => packed(firstEntries, 4 * 1024, 8 * 1024);

/** Roomy ones. */
const spare: Packed[] = [];

function giveBack(used: Packed): void {
  if (spare.length < 4) spare.push(isRoomy(used) ? used : roomy());
}

function isRoomy({ lengths }: Packed): boolean {
  return lengths.length > lengthsBefore + 2 * firstEntries;
}

export interface RangeSource<K, V, T> {
  readonly native: NativeRange;
  readonly keyspace: number;
  readonly pool: { readonly closed: boolean };
  readonly key: Codec<K>;
  readonly value: Codec<V>;
  /** Which parts the caller wants. */
  readonly shape: 'entries' | 'keys' | 'values';
  /** Only types: what one step gives. */
  readonly gives?: T;
}

export class EntryIterator<K, V, T> implements IterableIterator<T> {
  readonly #source: RangeSource<K, V, T>;
  readonly #shape: 'entries' | 'keys' | 'values';
  readonly #decodeKey: DecodeAt<K> | undefined;
  readonly #keysAreText: boolean;
  readonly #borrowValue: DecodeAt<V> | undefined;
  /** Undefined until something is asked for, null once it has ended. */
  #packed: Packed | null | undefined;
  #fetch = firstEntries;
  /** In `lengths`: of the next entry, and where they end. */
  #at = 0;
  #end = 0;
  /** What was fetched are the last. */
  #last = false;
  #keyAt = 0;
  /**
   * Of the slab that the values of this refill are in; where the next value is, in it or in
   * `values`.
   */
  #buffer: ArrayBufferLike | undefined;
  #slabBytes = slabBytes;
  #valueAt = 0;
  /** Some keys as one string; empty when they are not all ASCII. */
  #text = '';
  #textFrom = 0;
  #textUntil = 0;

  constructor(source: RangeSource<K, V, T>) {
    this.#source = source;
    this.#shape = source.shape;
    this.#decodeKey = decoderAt(source.key);
    this.#keysAreText = (source.key as unknown) === utf8;
    this.#borrowValue = decoderAt(source.value);
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<T, undefined> {
    if (this.#packed === null) return { done: true, value: undefined };
    if (this.#source.pool.closed) {
      this.#finish();
      throw closedError();
    }
    if (this.#at === this.#end && !this.#refill()) {
      this.#finish();
      return { done: true, value: undefined };
    }
    try {
      const value = this.#take(this.#packed!);
      if (this.#last && this.#at === this.#end) this.#finish();
      return { done: false, value };
    } catch (error) {
      // A codec's, or of a damaged value. Whoever iterates asks no more then, and does not say so.
      this.#finish();
      throw error;
    }
  }

  return(): IteratorResult<T, undefined> {
    this.#finish();
    return { done: true, value: undefined };
  }

  #refill(): boolean {
    const { native } = this.#source;
    if (this.#packed === undefined) this.#packed = spare.pop() ?? small();
    else if (!isRoomy(this.#packed!)) this.#packed = spare.pop() ?? roomy();
    const { lengths, keys, values } = this.#packed!;
    let count: number;
    if (this.#shape === 'keys') {
      count = native.next(null, 0, 0, keys, lengths, this.#fetch);
    } else if (this.#borrowValue !== undefined) {
      this.#valueAt = 0;
      count = native.next(values, 0, values.length, keys, lengths, this.#fetch);
    } else {
      const slab = slabWithRoom(this.#slabBytes);
      const longest = longestIn(this.#slabBytes);
      if (slab.buffer !== this.#buffer && this.#buffer !== undefined)
        this.#slabBytes = Math.min(2 * this.#slabBytes, longestSlabBytes);
      this.#buffer = slab.buffer;
      this.#valueAt = slabOffset();
      count = native.next(slab, this.#valueAt, longest, keys, lengths, this.#fetch);
      if (count > 0) passOver(lengths[1]!);
    }
    this.#fetch = mostEntries;
    this.#at = lengthsBefore;
    this.#end = lengthsBefore + 2 * count;
    this.#keyAt = 0;
    this.#textUntil = this.#keysAreText && (lengths[0]! & allAscii) !== 0 ? 0 : -1;
    this.#last = (lengths[0]! & theLast) !== 0;
    return count > 0;
  }

  #take(packed: Packed): T {
    const shape = this.#shape;
    const length = packed.lengths[this.#at + 1]!;
    const keyFrom = this.#keyAt;
    const keyTo = keyFrom + packed.lengths[this.#at]!;
    if (keyFrom === this.#textUntil && shape !== 'values') this.#readText(packed);
    this.#at += 2;
    this.#keyAt = keyTo;
    const from = this.#valueAt;
    if (length < elsewhere) this.#valueAt = (from + length + 7) & ~7;
    if (shape === 'keys') return this.#key(packed, keyFrom, keyTo) as unknown as T;
    if (shape === 'entries' && this.#decodeKey === undefined) {
      // Foreign code runs last and on bytes that last: it may have everything here used again.
      const key = copyToSlab(packed.keys, keyFrom, keyTo);
      const value = this.#value(packed, keyFrom, keyTo, from, length);
      return [decodeOwned(this.#source.key, key), value] as unknown as T;
    }
    const key = shape === 'entries' ? this.#key(packed, keyFrom, keyTo) : undefined;
    const value = this.#value(packed, keyFrom, keyTo, from, length);
    return (shape === 'values' ? value : [key, value]) as unknown as T;
  }

  /**
   * ASCII becomes text many keys at a time, and each key is a slice of that: one kept keeps its
   * neighbours, so they are not many.
   */
  #readText({ lengths, keys }: Packed): void {
    let until = this.#keyAt;
    const last = Math.min(this.#at + 2 * keysTogether, this.#end);
    for (let at = this.#at; at < last; at += 2) until += lengths[at]!;
    this.#text = keys.toString('latin1', this.#keyAt, until);
    this.#textFrom = this.#keyAt;
    this.#textUntil = until;
  }

  #key({ keys }: Packed, from: number, to: number): K {
    if (this.#textUntil < 0) {
      if (this.#decodeKey !== undefined) return this.#decodeKey(keys, from, to);
      return decodeOwned(this.#source.key, copyToSlab(keys, from, to));
    }
    return this.#text.substring(from - this.#textFrom, to - this.#textFrom) as unknown as K;
  }

  #value(packed: Packed, keyFrom: number, keyTo: number, from: number, length: number): V {
    if (length >= elsewhere) {
      return this.#large(packed.keys.subarray(keyFrom, keyTo), length - elsewhere);
    }
    if (this.#borrowValue !== undefined)
      return this.#borrowValue(packed.values, from, from + length);
    return decodeOwned(this.#source.value, new Uint8Array(this.#buffer!, from, length));
  }

  #large(key: Uint8Array, length: number): V {
    const { native, keyspace, value } = this.#source;
    // Those behind it are as long, it may be: a slab that takes them.
    if (length <= longestIn(longestSlabBytes)) this.#slabBytes = longestSlabBytes;
    const found = readLarge(length, (into, offset) => native.value(keyspace, key, into, offset));
    // The range pins the state in which the key was seen, so it is there.
    return decodeOwned(value, found!);
  }

  #finish(): void {
    if (this.#packed === null) return;
    if (this.#packed !== undefined) giveBack(this.#packed);
    this.#packed = null;
    this.#source.native.close();
  }
}

export function emptyIterator<T>(): IterableIterator<T> {
  return ([] as T[])[Symbol.iterator]();
}
