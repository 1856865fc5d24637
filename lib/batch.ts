/**
 * Changes that are committed together or not at all.
 *
 * Keys and values are encoded and copied as they come. A commit takes the batch: it is empty
 * afterwards, whatever came of the commit, and may be filled again.
 */
import { closedError, typeError } from './errors';
import { native as addon } from './native-binding';
import type { NativeBatch } from './native-binding';
import { PoolKeyspace } from './keyspace';
import type { KeyspaceHost } from './keyspace';
import { byteOffset, bytesOf, cellOffset, cellValue, PoolRegion } from './region';
import type { Batch, CommitReceipt, Keyspace, Region } from './types';

/**
 * Emptied by their commits, each with little more than 1 MiB of memory at most. Making one, in
 * memory that was never touched, costs more than filling it and committing what is in it.
 */
const spares: NativeBatch[] = [];
const MAX_SPARES = 4;

export class PoolBatch implements Batch {
  readonly #host: KeyspaceHost;
  /** Made when something is put into it. */
  #made: NativeBatch | undefined;
  #length = 0;

  constructor(host: KeyspaceHost) {
    this.#host = host;
  }

  /** Changes and conditions. */
  get length(): number {
    return this.#length;
  }

  put<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this {
    const target = this.#own(keyspace);
    const { encodedKey, encodedValue } = target.encodeEntry(key, value);
    this.#native.put(target.toWrite(), encodedKey, encodedValue);
    return this.#added();
  }

  delete<K, V>(keyspace: Keyspace<K, V>, key: K): this {
    const target = this.#own(keyspace);
    this.#native.delete(target.toWrite(), target.encodeKey(key));
    return this.#added();
  }

  requireAbsent<K, V>(keyspace: Keyspace<K, V>, key: K): this {
    const target = this.#own(keyspace);
    this.#native.requireAbsent(target.toWrite(), target.encodeKey(key));
    return this.#added();
  }

  requirePresent<K, V>(keyspace: Keyspace<K, V>, key: K): this {
    const target = this.#own(keyspace);
    this.#native.requirePresent(target.toWrite(), target.encodeKey(key));
    return this.#added();
  }

  requireEqual<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this {
    const target = this.#own(keyspace);
    const { encodedKey, encodedValue } = target.encodeEntry(key, value);
    this.#native.requireEqual(target.toWrite(), encodedKey, encodedValue);
    return this.#added();
  }

  regionWrite(region: Region, offset: number, bytes: ArrayBufferView): this {
    const number = PoolRegion.numberOf(region, this.#host);
    this.#native.regionWrite(number, byteOffset(offset), bytesOf(bytes));
    return this.#added();
  }

  regionAdd(region: Region, offset: number, delta: bigint): this {
    const number = PoolRegion.numberOf(region, this.#host);
    this.#native.regionAdd(number, cellOffset(offset), cellValue('delta', delta));
    return this.#added();
  }

  requireCell(region: Region, offset: number, value: bigint): this {
    const number = PoolRegion.numberOf(region, this.#host);
    this.#native.requireCell(number, cellOffset(offset), cellValue('value', value));
    return this.#added();
  }

  clear(): this {
    this.#made?.clear();
    this.#length = 0;
    return this;
  }

  /**
   * For the pool: what was gathered, which the batch then has no more. `commit` empties it, unless
   * it throws or keeps it.
   */
  static commit<R>(
    batch: Batch,
    host: KeyspaceHost,
    commit: (taken: NativeBatch) => R,
    keeps: boolean,
  ): R {
    if (!PoolBatch.#is(batch) || batch.#host !== host) {
      throw typeError("The batch must be one of this pool's; make it with pool.batch()");
    }
    if (batch.#length === 0) {
      throw typeError('The batch is empty; a commit needs at least one change or condition');
    }
    const taken = batch.#native;
    batch.#made = undefined;
    batch.#length = 0;
    const result = commit(taken);
    if (!keeps && spares.length < MAX_SPARES) spares.push(taken);
    return result;
  }

  /**
   * As the pool's `commit`, for who makes no promise where none is needed: of a commit made in the
   * call its receipt; a refused one is thrown.
   */
  static commitOrQueue(batch: Batch, eventual: boolean): CommitReceipt | Promise<CommitReceipt> {
    const host = PoolBatch.#of(batch).#host;
    if (host.closed) throw closedError();
    const { committer } = host;
    return PoolBatch.commit(
      batch,
      host,
      (taken) => committer.commit(taken, eventual, undefined),
      committer.holds(undefined),
    );
  }

  /** Requires the key to be absent and puts it, which costs as much as one of the two. */
  static putNew<K, V>(batch: Batch, keyspace: Keyspace<K, V>, key: K, value: V): void {
    const own = PoolBatch.#of(batch);
    const target = own.#own(keyspace);
    const { encodedKey, encodedValue } = target.encodeEntry(key, value);
    own.#native.putNew(target.toWrite(), encodedKey, encodedValue);
    own.#length += 2;
  }

  /** Of the changes gathered so far: the same changes in the same order give the same digest. */
  static digest(batch: Batch): string {
    return PoolBatch.#of(batch).#native.digest().toString(16).padStart(16, '0');
  }

  /** Throws for what is no batch. */
  static check(batch: Batch): void {
    PoolBatch.#of(batch);
  }

  /** Not what only looks like one: a proxy, or an object that was made of one. */
  static #is(batch: Batch): batch is PoolBatch {
    return batch instanceof PoolBatch && #host in batch;
  }

  static #of(batch: Batch): PoolBatch {
    if (PoolBatch.#is(batch)) return batch;
    throw typeError("The batch must be one of this pool's; make it with pool.batch()");
  }

  get #native(): NativeBatch {
    return (this.#made ??= spares.pop() ?? new addon.NativeBatch());
  }

  #own<K, V>(keyspace: Keyspace<K, V>): PoolKeyspace<K, V> {
    if (!(keyspace instanceof PoolKeyspace) || !keyspace.belongsTo(this.#host)) {
      throw typeError("The keyspace must be one of this pool's; make it with pool.keyspace(name)");
    }
    return keyspace as PoolKeyspace<K, V>;
  }

  #added(): this {
    ++this.#length;
    return this;
  }
}
