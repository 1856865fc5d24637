/**
 * A named ordered map in a pool.
 *
 * Its number is looked up when it is first needed: reading a keyspace that is not there finds
 * nothing and writes nothing; the first change creates it.
 */
import { types } from 'node:util';

import { decodeOwned, decoderAt, resolveCodec } from './codecs';
import type { DecodeAt } from './codecs';
import type { Committer } from './committer';
import { memoryFor, rangeError, typeError } from './errors';
import type { Encoded, NativePool, NativeSnapshot, NativeView } from './native-binding';
import {
  eventualOption,
  keyspaceName,
  mustHaveBytes,
  optionsObject,
  shown,
  signalOption,
} from './options';
import { boundsOf, emptyIterator, EntryIterator } from './range';
import { readLarge, scratch, slabOffset, slabWithRoom, takeFromSlab } from './slab';
import { PoolSnapshot } from './snapshot';
import type { Viewable } from './snapshot';
import type {
  Codec,
  CommitOptions,
  CommitReceipt,
  Keyspace,
  KeyspaceOptions,
  RangeOptions,
  Snapshot,
} from './types';

/** What a keyspace needs of its pool. */
export interface KeyspaceHost {
  readonly closed: boolean;
  readonly native: NativePool;
  readonly committer: Committer;
  receipt(epoch: number, eventual: boolean): CommitReceipt;
}

interface ReadOptions {
  snapshot?: Snapshot;
}

const readNames = ['snapshot'] as const;

/**
 * A value of more than this (kLargeValueBytes of native/engine/commit/batch.h: it lies outside the
 * log) is verified where it was copied to, others where they lie: it is not copied to where other
 * threads may write meanwhile. To ask of all takes a tenth of a read.
 */
const largeBytes = 256 * 1024;

function isForLargeAndShared(into: Uint8Array): boolean {
  return into.length > largeBytes && types.isSharedArrayBuffer(into.buffer);
}

export class PoolKeyspace<K, V> implements Keyspace<K, V>, Viewable {
  readonly name: string;
  readonly #host: KeyspaceHost;
  readonly #native: NativePool;
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;
  readonly #valueAt: DecodeAt<V> | undefined;
  #number = 0;

  constructor(host: KeyspaceHost, name: string, options: KeyspaceOptions<K, V> | undefined) {
    const { key, value } = optionsObject(options, 'a keyspace', ['key', 'value']);
    this.name = keyspaceName(name);
    this.#host = host;
    this.#native = host.native;
    this.#key = resolveCodec(key, 'key');
    this.#value = resolveCodec(value, 'value');
    this.#valueAt = decoderAt(this.#value);
  }

  get(key: K, options?: ReadOptions): V | undefined {
    const snapshot = options === undefined ? null : this.#snapshotOf(options);
    return snapshot === null ? this.#getNewest(key) : this.#getAt(key, snapshot);
  }

  getInto(key: K, into: Uint8Array, options?: ReadOptions): number | undefined {
    const snapshot = options === undefined ? null : this.#snapshotOf(options);
    if (!types.isUint8Array(into)) throw typeError(`into must be a Uint8Array, not ${shown(into)}`);
    if (into.length === 0) mustHaveBytes(into);
    const number = this.#number === 0 ? this.#toRead() : this.#number;
    const encoded = this.#key.encode(key);
    if (number === 0) {
      this.#native.has(number, encoded, snapshot); // only to see whether the key is one
      return undefined;
    }
    const to = isForLargeAndShared(into)
      ? memoryFor(into.length, () => new Uint8Array(into.length))
      : into;
    const length = this.#native.get(number, encoded, to, 0, snapshot);
    if (length === -1) return undefined;
    if (length < 0) {
      throw rangeError(
        `The value has ${-length - 2} bytes, into has ${into.length}: give it more, or take get()`,
      );
    }
    if (to !== into) into.set(to.subarray(0, length));
    return length;
  }

  getMany(keys: readonly K[], options?: ReadOptions): (V | undefined)[] {
    if (!Array.isArray(keys)) throw typeError('getMany takes an array of keys');
    const given = options === undefined ? null : this.#snapshotOf(options);
    if (given !== null) return keys.map((key: K) => this.#getAt(key, given));
    if (keys.length < 2) return keys.map((key: K) => this.#getNewest(key));
    // Several keys are read from one state.
    const snapshot = this.#native.snapshot();
    try {
      return keys.map((key: K) => this.#getAt(key, snapshot));
    } finally {
      snapshot.close();
    }
  }

  has(key: K, options?: ReadOptions): boolean {
    const snapshot = options === undefined ? null : this.#snapshotOf(options);
    return this.#native.has(this.#toRead(), this.#key.encode(key), snapshot) && this.#number !== 0;
  }

  writtenAt(key: K): number | undefined {
    const number = this.#toRead();
    const encoded = this.#key.encode(key);
    return number === 0 ? undefined : this.#native.writtenAt(number, encoded);
  }

  count(range?: RangeOptions<K>): number {
    const bounds = boundsOf(range, this.#key);
    const snapshot = PoolSnapshot.nativeOf(range?.snapshot, this.#host);
    const number = this.#toRead();
    if (bounds.empty || number === 0) return 0;
    const counted = this.#native.count(number, bounds.low, bounds.high, snapshot);
    return Math.min(counted, bounds.limit);
  }

  range(range?: RangeOptions<K>): IterableIterator<[K, V]> {
    return this.#iterate(range, 'entries');
  }

  keys(range?: RangeOptions<K>): IterableIterator<K> {
    return this.#iterate(range, 'keys');
  }

  values(range?: RangeOptions<K>): IterableIterator<V> {
    return this.#iterate(range, 'values');
  }

  async put(key: K, value: V, options?: CommitOptions): Promise<CommitReceipt> {
    const eventual = eventualOption(options);
    const signal = signalOption(options?.signal);
    const { encodedKey, encodedValue } = this.encodeEntry(key, value);
    return this.#host.committer.put(this.toWrite(), encodedKey, encodedValue, eventual, signal);
  }

  putSync(key: K, value: V, options?: CommitOptions): CommitReceipt {
    const eventual = eventualOption(options);
    const number = this.#number === 0 ? this.toWrite() : this.#number;
    if (this.#host.committer.pending) this.#host.committer.flush();
    const epoch = this.#native.putSync(
      number,
      this.#key.encode(key),
      this.#value.encode(value),
      eventual,
    );
    return this.#host.receipt(epoch, eventual);
  }

  async delete(key: K, options?: CommitOptions): Promise<CommitReceipt> {
    const eventual = eventualOption(options);
    const signal = signalOption(options?.signal);
    const encoded = this.#key.encode(key);
    return this.#host.committer.delete(this.toWrite(), encoded, eventual, signal);
  }

  deleteSync(key: K, options?: CommitOptions): CommitReceipt {
    const eventual = eventualOption(options);
    const number = this.#number === 0 ? this.toWrite() : this.#number;
    if (this.#host.committer.pending) this.#host.committer.flush();
    const epoch = this.#native.deleteSync(number, this.#key.encode(key), undefined, eventual);
    return this.#host.receipt(epoch, eventual);
  }

  // For batches, which live in the same layer.

  belongsTo(host: KeyspaceHost): boolean {
    return #host in this && this.#host === host; // a proxy of one has none
  }

  /** The keyspace's number; makes it when there is none. */
  toWrite(): number {
    if (this.#number === 0) this.#number = this.#native.keyspaceNumber(this.name, true);
    return this.#number;
  }

  /** For snapshots: the value where it lies. */
  nativeView(key: unknown, snapshot: NativeSnapshot, pool: object): NativeView | undefined {
    if (!this.belongsTo(pool as KeyspaceHost)) {
      throw typeError("The keyspace must be one of this pool's; make it with pool.keyspace(name)");
    }
    const number = this.#toRead();
    const encoded = this.#key.encode(key as K);
    return number === 0 ? undefined : this.#native.viewValue(number, encoded, snapshot);
  }

  /** The keyspace's number; 0 when there is none yet. */
  existing(): number {
    return this.#toRead();
  }

  /** For the change feed. */
  decoding(): { keyspace: string; key: Codec<unknown>; value: Codec<unknown> } {
    return {
      keyspace: this.name,
      key: this.#key as Codec<unknown>,
      value: this.#value as Codec<unknown>,
    };
  }

  encodeKey(key: K): Encoded {
    return this.#key.encode(key);
  }

  encodeEntry(key: K, value: V): { encodedKey: Encoded; encodedValue: Encoded } {
    return { encodedKey: this.#key.encode(key), encodedValue: this.#value.encode(value) };
  }

  /** 0 when there is no such keyspace yet. Throws when the pool is closed. */
  #toRead(): number {
    if (this.#number === 0) this.#number = this.#native.keyspaceNumber(this.name, false);
    return this.#number;
  }

  #snapshotOf(options: ReadOptions): NativeSnapshot | null {
    return PoolSnapshot.nativeOf(optionsObject(options, 'a read', readNames).snapshot, this.#host);
  }

  #getNewest(key: K): V | undefined {
    const number = this.#number === 0 ? this.#toRead() : this.#number;
    const encoded = this.#key.encode(key);
    const valueAt = this.#valueAt;
    let length: number;
    if (valueAt !== undefined) {
      length = this.#native.getToScratch(number, encoded, 0);
      if (length >= 0 && number !== 0) return valueAt(scratch, 0, length);
    } else {
      slabWithRoom(); // and then the read: see lib/slab.ts
      length = this.#native.getToSlab(number, encoded, slabOffset());
      if (length >= 0 && number !== 0) return decodeOwned(this.#value, takeFromSlab(length));
    }
    // Number 0 is the catalogue's: the read has only seen whether the key is one.
    if (length === -1 || number === 0) return undefined;
    return this.#getLarge(number, encoded, null, -length - 2);
  }

  #getAt(key: K, snapshot: NativeSnapshot): V | undefined {
    const number = this.#toRead();
    const encoded = this.#key.encode(key);
    const valueAt = this.#valueAt;
    const into = valueAt === undefined ? slabWithRoom() : scratch;
    const offset = valueAt === undefined ? slabOffset() : 0;
    const length = this.#native.get(number, encoded, into, offset, snapshot);
    if (length === -1 || number === 0) return undefined;
    if (length < 0) return this.#getLarge(number, encoded, snapshot, -length - 2);
    return valueAt === undefined
      ? decodeOwned(this.#value, takeFromSlab(length))
      : valueAt(scratch, 0, length);
  }

  #getLarge(
    number: number,
    key: Encoded,
    snapshot: NativeSnapshot | null,
    length: number,
  ): V | undefined {
    const found = readLarge(length, (into, offset) =>
      this.#native.get(number, key, into, offset, snapshot),
    );
    return found === undefined ? undefined : decodeOwned(this.#value, found);
  }

  #iterate<T>(
    range: RangeOptions<K> | undefined,
    shape: 'entries' | 'keys' | 'values',
  ): IterableIterator<T> {
    const bounds = boundsOf(range, this.#key);
    const snapshot = PoolSnapshot.nativeOf(range?.snapshot, this.#host);
    const keyspace = this.#toRead();
    if (bounds.empty || keyspace === 0) return emptyIterator<T>();
    const { low, high, reverse, limit } = bounds;
    const withValues = shape !== 'keys';
    return new EntryIterator<K, V, T>({
      native: this.#native.range(keyspace, low, high, reverse, limit, withValues, snapshot),
      keyspace,
      pool: this.#host,
      key: this.#key,
      value: this.#value,
      shape,
    });
  }
}
