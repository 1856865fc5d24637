/** Keyspaces: named ordered maps, how their keys and values become bytes, and snapshots of them. */
import type { CommitOptions, CommitReceipt } from './commits';

/**
 * How keys or values become bytes. A key codec must keep order: the bytes sort as the values do.
 */
export interface Codec<T> {
  readonly name: string;
  encode(value: T): Uint8Array | string;
  /** `bytes` is only borrowed for the call: copy what you keep. */
  decode(bytes: Uint8Array): T;
}

export type BuiltinCodecName = 'bytes' | 'utf8' | 'json' | 'structured' | 'uint64';

export interface KeyspaceOptions<K, V> {
  /** Default `utf8`. */
  key?: Codec<K> | BuiltinCodecName | undefined;
  /** Default `structured`. */
  value?: Codec<V> | BuiltinCodecName | undefined;
}

/** What the built-in codecs that say it themselves give and take. */
export interface CodecTypes {
  utf8: string;
  bytes: Uint8Array;
  /** Given as a bigint where it is above 2 ** 53 - 1. */
  uint64: number | bigint;
}

/** Codecs of which the value's type is said by name. */
export type SaidCodecName = keyof CodecTypes;

export interface RangeOptions<K> {
  /** First key, inclusive. */ gte?: K | undefined;
  /** First key, exclusive. */ gt?: K | undefined;
  /** Last key, inclusive. */ lte?: K | undefined;
  /** Last key, exclusive. */ lt?: K | undefined;
  /** Only keys that begin with these bytes (or this text). */ prefix?: K | undefined;
  /** From the last key to the first. */ reverse?: boolean | undefined;
  /** At most so many entries. */ limit?: number | undefined;
  /** As of this snapshot. */ snapshot?: Snapshot | undefined;
}

/** A pinned epoch. Reads through it see that state whatever is committed meanwhile. */
export interface Snapshot extends Disposable {
  readonly epoch: number;
  readonly closed: boolean;
  /**
   * The encoded value of a key, as it lies in the pool: not copied (but where a thousand views are
   * open already) and, where it is larger than 256 KiB, not verified. Valid until the snapshot is
   * closed, then of length 0. Stores into it reach nobody else. Undefined when the key is absent.
   */
  view<K, V>(keyspace: Keyspace<K, V>, key: K): Uint8Array | undefined;
  close(): void;
}

/**
 * A named ordered map. Reads are synchronous: they come from mapped memory; a damaged byte is
 * `ERR_HOLDFAST_CORRUPT`. Writes are a commit each, acknowledged after its barrier unless
 * `durability` is `eventual`; reads see it once its promise has resolved. A key is 1 to 1,024 bytes
 * as encoded (`ERR_HOLDFAST_KEY_SIZE`), a value up to 64 GiB; what a codec cannot write or read is
 * `ERR_HOLDFAST_CODEC`.
 */
export interface Keyspace<K, V> {
  readonly name: string;
  /** Undefined when the key is absent. */
  get(key: K, options?: { snapshot?: Snapshot | undefined }): V | undefined;
  /** In the order of `keys`, all as of one state. */
  getMany(keys: readonly K[], options?: { snapshot?: Snapshot | undefined }): (V | undefined)[];
  has(key: K, options?: { snapshot?: Snapshot | undefined }): boolean;
  /**
   * The epoch of the commit that wrote the key's newest value. Undefined where the key is absent,
   * or the log no longer tells: the cleaner has carried the value elsewhere since, or the pool is
   * open for reading only.
   */
  writtenAt(key: K): number | undefined;
  count(range?: RangeOptions<K>): number;
  /** In the order of keys, as of the moment of the call however long it takes. */
  range(range?: RangeOptions<K>): IterableIterator<[K, V]>;
  keys(range?: RangeOptions<K>): IterableIterator<K>;
  values(range?: RangeOptions<K>): IterableIterator<V>;
  put(key: K, value: V, options?: CommitOptions): Promise<CommitReceipt>;
  putSync(key: K, value: V, options?: CommitOptions): CommitReceipt;
  /** A key that is absent is no error. */
  delete(key: K, options?: CommitOptions): Promise<CommitReceipt>;
  deleteSync(key: K, options?: CommitOptions): CommitReceipt;
}
