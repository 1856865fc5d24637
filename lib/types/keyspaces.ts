/** Keyspaces: named ordered maps, how their keys and values become bytes, and snapshots of them. */
import type { CommitOptions, CommitReceipt } from './commits';

/**
 * How keys or values become bytes, and back. A key codec must keep order: the bytes sort as the
 * keys should.
 */
export interface Codec<T> {
  /** Names it for people. It is not stored. */
  readonly name: string;
  /** What it throws is passed on. A string is stored as UTF-8. */
  encode(value: T): Uint8Array | string;
  /** `bytes` is only borrowed for the call: copy what you keep. */
  decode(bytes: Uint8Array): T;
}

/**
 * Built-in codecs. Keys: `utf8` (default), `bytes`, `uint64`. Values: `structured` (default: what
 * `structuredClone` takes), `json`, `utf8`, `bytes`, `uint64`.
 */
export type BuiltinCodecName = 'bytes' | 'utf8' | 'json' | 'structured' | 'uint64';

/** Which codecs a keyspace has. They are not stored: give the same ones each time. */
export interface KeyspaceOptions<K, V> {
  /** Default `utf8`: keys are strings. Must keep order: `utf8`, `bytes`, `uint64`, or your own. */
  key?: Codec<K> | BuiltinCodecName | undefined;
  /** Default `structured`: whatever `structuredClone` takes, but no functions and symbols. */
  value?: Codec<V> | BuiltinCodecName | undefined;
}

/** What the built-in codecs give and take that say it themselves. */
export interface CodecTypes {
  utf8: string;
  bytes: Uint8Array;
  /** Given as a bigint where it is above 2 ** 53 - 1. */
  uint64: number | bigint;
}

/** Names of codecs that say the type of their values. */
export type SaidCodecName = keyof CodecTypes;

/** Which entries, in which order. Without options: all, in the order of keys. */
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
  /** The commit whose state it shows. */
  readonly epoch: number;
  /** Then reads through it are `ERR_HOLDFAST_SNAPSHOT_CLOSED`. */
  readonly closed: boolean;
  /**
   * The encoded bytes of a value, as they lie in the pool. Not copied, unless they are small or a
   * thousand views are open; not verified, if they are larger than 256 KiB. Valid until the
   * snapshot is closed, then of length 0. Writing into them reaches nobody else. Undefined if the
   * key is absent.
   */
  view<K, V>(keyspace: Keyspace<K, V>, key: K): Uint8Array | undefined;
  /** Lets its space go. A second time it does nothing. Also by `using`. */
  close(): void;
}

/**
 * A named ordered map.
 *
 * Reads are synchronous: they come from mapped memory. A damaged byte is `ERR_HOLDFAST_CORRUPT`.
 *
 * Each write is a commit, acknowledged after its barrier unless `durability` is `eventual`. Reads
 * see it once its promise has resolved; those of a `…Sync` form at once.
 *
 * A key has 1 to 1,024 bytes as encoded (`ERR_HOLDFAST_KEY_SIZE`), a value at most 64 GiB. What a
 * codec cannot write or read is `ERR_HOLDFAST_CODEC`.
 */
export interface Keyspace<K, V> {
  readonly name: string;
  /** The value of a key; undefined if the key is absent. */
  get(key: K, options?: { snapshot?: Snapshot | undefined }): V | undefined;
  /**
   * Copies the encoded bytes of a key's value to the beginning of `into`, memory of yours that the
   * next read may use again, and gives their number; undefined if the key is absent. A value that
   * is longer than `into` is `ERR_HOLDFAST_OUT_OF_RANGE`. After an error `into` may have other
   * bytes than before.
   */
  getInto(
    key: K,
    into: Uint8Array,
    options?: { snapshot?: Snapshot | undefined },
  ): number | undefined;
  /** The values of several keys, in the order of `keys`, all as of one state. */
  getMany(keys: readonly K[], options?: { snapshot?: Snapshot | undefined }): (V | undefined)[];
  /** Whether the key is there; its value is not decoded. */
  has(key: K, options?: { snapshot?: Snapshot | undefined }): boolean;
  /**
   * The epoch of the commit that wrote the key's newest value. Undefined if the key is absent, or
   * if that is no longer known: the cleaner has moved the value since, or the pool is open for
   * reading only.
   */
  writtenAt(key: K): number | undefined;
  /** How many entries a range has. It walks over them. */
  count(range?: RangeOptions<K>): number;
  /**
   * Entries in the order of keys, as of the moment of the call, however long the reading takes.
   * `for (const [key, value] of keyspace.range({ prefix: 'user/' }))`
   */
  range(range?: RangeOptions<K>): IterableIterator<[K, V]>;
  /** As `range`, keys alone: values are not read. */
  keys(range?: RangeOptions<K>): IterableIterator<K>;
  /** As `range`, values alone. */
  values(range?: RangeOptions<K>): IterableIterator<V>;
  /** Commits one entry. Resolves when it is durable, or at once if it is `eventual`. */
  put(key: K, value: V, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `put`, on this thread: nothing else runs until its barrier. */
  putSync(key: K, value: V, options?: CommitOptions): CommitReceipt;
  /** Commits the removal of a key. An absent key is not an error. */
  delete(key: K, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `delete`, on this thread. */
  deleteSync(key: K, options?: CommitOptions): CommitReceipt;
}
