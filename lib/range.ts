/**
 * Ranges: which bytes a range's options mean, and the iterator that walks them.
 *
 * An iterator sees one state, that of its making, and pins it until it has ended, was returned from
 * (`break`), or is collected. Entries come many at a time, packed into one buffer; the layout is in
 * native/binding/range_handle.cc.
 */
import { decodeOwned, decoderAt } from './codecs';
import { closedError, typeError } from './errors';
import type { Encoded, NativeRange } from './native-binding';
import { booleanOption, limitOption, optionsObject } from './options';
import { copyToSlab, readLarge } from './slab';
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
  if (typeof encoded === 'string') return Buffer.from(encoded, 'utf8');
  if (!(encoded instanceof Uint8Array)) {
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

export function boundsOf<K>(given: RangeOptions<K> | undefined, codec: Codec<K>): Bounds {
  const options = optionsObject(given, 'a range');
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

/** Turns what lies in a buffer into what the user sees. */
export type Reading<T> = (from: Buffer, start: number, end: number) => T;

/** For keys and values alike: without a copy where the codec only borrows. */
export function readingOf<T>(codec: Codec<T>): Reading<T> {
  const at = decoderAt(codec);
  if (at !== undefined) return at;
  return (from, start, end) => decodeOwned(codec, copyToSlab(from, start, end));
}

const bufferBytes = 64 * 1024;
const elsewhere = 0x8000_0000;
const firstEntries = 32;
const spareBuffers: Buffer[] = [];

export interface RangeSource<K, V, T> {
  readonly native: NativeRange;
  readonly keyspace: number;
  readonly pool: { readonly closed: boolean };
  readonly key: Reading<K>;
  readonly value: Codec<V>;
  readonly valueAt: Reading<V>;
  /** Which parts the caller wants. */
  readonly shape: 'entries' | 'keys' | 'values';
  /** Only types: what one step gives. */
  readonly gives?: T;
}

export class EntryIterator<K, V, T> implements IterableIterator<T> {
  readonly #source: RangeSource<K, V, T>;
  #buffer: Buffer | null;
  #position = 0;
  #left = 0;
  #fetch = firstEntries;

  constructor(source: RangeSource<K, V, T>) {
    this.#source = source;
    this.#buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<T, undefined> {
    if (this.#buffer === null) return { done: true, value: undefined };
    if (this.#source.pool.closed) {
      this.#end();
      throw closedError();
    }
    if (this.#left === 0 && !this.#refill(this.#buffer)) {
      this.#end();
      return { done: true, value: undefined };
    }
    return { done: false, value: this.#take(this.#buffer) };
  }

  return(): IteratorResult<T, undefined> {
    this.#end();
    return { done: true, value: undefined };
  }

  #refill(buffer: Buffer): boolean {
    this.#left = this.#source.native.next(buffer, this.#fetch);
    this.#position = 0;
    this.#fetch = 1024;
    return this.#left > 0;
  }

  #take(buffer: Buffer): T {
    const { shape, key, valueAt } = this.#source;
    const keyStart = this.#position + 8;
    const keyEnd = keyStart + buffer.readUInt32LE(this.#position);
    const length = buffer.readUInt32LE(this.#position + 4);
    this.#position = length >= elsewhere ? keyEnd : keyEnd + length;
    --this.#left;
    if (shape === 'keys') return key(buffer, keyStart, keyEnd) as unknown as T;
    const value =
      length >= elsewhere
        ? this.#large(buffer.subarray(keyStart, keyEnd), length - elsewhere)
        : valueAt(buffer, keyEnd, this.#position);
    if (shape === 'values') return value as unknown as T;
    return [key(buffer, keyStart, keyEnd), value] as unknown as T;
  }

  #large(key: Uint8Array, length: number): V {
    const { native, keyspace, value } = this.#source;
    const found = readLarge(length, (into, offset) =>
      native.value(keyspace, key, into, offset),
    );
    // The range pins the state in which the key was seen, so it is there.
    return decodeOwned(value, found!);
  }

  #end(): void {
    if (this.#buffer === null) return;
    if (spareBuffers.length < 4) spareBuffers.push(this.#buffer);
    this.#buffer = null;
    this.#source.native.close();
  }
}

export function emptyIterator<T>(): IterableIterator<T> {
  return ([] as T[])[Symbol.iterator]();
}
