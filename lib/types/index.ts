/**
 * The public vocabulary of Holdfast: shapes only, no code. Every layer above the native binding
 * speaks these types. Here: pools, commits, keyspaces, batches, snapshots; what belongs to one
 * subject lies in a file of its own.
 */
import type { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';

import type { BackupOptions, BackupReport, CheckReport } from './copies';
import type { RegionWatchOptions, RegionWatcher, WatchOptions, Watcher } from './feed';
import type { Region, RegionInfo } from './regions';
import type { PoolStats } from './stats';

export type * from './copies';
export type * from './feed';
export type * from './regions';
export type * from './stats';

/** What the pool's bytes live on. */
export type Medium = 'pmem' | 'file';

/**
 * What an acknowledged durable commit survives: `power` loss, or only the death of the `process`.
 */
export type DurabilityClass = 'power' | 'process';

/**
 * `durable`: acknowledged after its barrier. `eventual`: acknowledged at once, behind a barrier a
 * little later.
 */
export type CommitDurability = 'durable' | 'eventual';

export interface OpenOptions {
  /** Default `auto`: persistent memory where mapping with MAP_SYNC succeeds, else a file. */
  medium?: 'auto' | Medium | undefined;
  /**
   * Bytes, chosen when a pool is made. A file grows by itself unless a size is given (1 MiB to 16
   * TiB). A pool on persistent memory has 32 MiB to 64 TiB, 256 MiB unless a size is given.
   */
  size?: number | undefined;
  /**
   * A new pool on persistent memory takes space of its file system as it needs it and gives it
   * back; `size` is then the most it may take, 64 GiB unless given. Chosen when a pool is made. A
   * file does that anyway.
   */
  grow?: boolean | undefined;
  /**
   * A new pool on persistent memory that grows lies in all of these directories (on file systems of
   * their own): each gets a part file, filled in order, `size` is the most of all together, and
   * `path` is the pool set file that names the parts. Chosen when a pool is made; it is opened by
   * its path alone.
   */
  directories?: readonly string[] | undefined;
  /** `ifMissing` (default), `never` (the pool must be there) or `exclusive` (it must not). */
  create?: 'ifMissing' | 'never' | 'exclusive' | undefined;
  /** Refuse to open (`ERR_HOLDFAST_DURABILITY`) where the place gives less. */
  atLeast?: DurabilityClass | undefined;
  /** Milliseconds after which an eventual commit is behind a barrier at the latest. Default 10. */
  eventualWithin?: number | undefined;
  /** The tail is folded into the index when it holds this many operations. Default 32,768. */
  foldOperations?: number | undefined;
  /**
   * Milliseconds after which a run that this handle drives may be taken over by another thread,
   * when this one has not renewed its lease. Default 15,000. A process that ends gives up its
   * leases at once.
   */
  lease?: number | undefined;
  /**
   * Opens for reading only, also while another process writes. It sees the newest durable state,
   * and newer ones with `refresh()`. What changes the pool is `ERR_HOLDFAST_READ_ONLY`.
   */
  readOnly?: boolean | undefined;
  /**
   * How much of the log is kept for `watch` and incremental backups beyond what the pool itself
   * needs: commits younger than `ms`, the newest `bytes`; with both, what both want. Default: as
   * the pool was opened last. It gives way, the oldest first, before a commit is refused for want
   * of space. `false`: nothing.
   */
  retain?: { ms?: number | undefined; bytes?: number | undefined } | false | undefined;
  /** Ends the opening with `ERR_HOLDFAST_ABORTED`; `openSync` does not look at it. */
  signal?: AbortSignal | undefined;
}

export interface CommitOptions {
  /** Default `durable`. */
  durability?: CommitDurability | undefined;
  /** Aborted before the commit is under way: `ERR_HOLDFAST_ABORTED`. No part of `…Sync` forms. */
  signal?: AbortSignal | undefined;
}

/** The receipt of one commit. */
export interface CommitReceipt {
  /** Number of the commit, strictly rising over the pool's life. */
  readonly epoch: number;
  /** What was asked for. */
  readonly durability: CommitDurability;
  /** What a durable commit in this pool survives. */
  readonly class: DurabilityClass;
}

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

/** Changes that are committed together or not at all, with the conditions under which they may. */
export interface Batch {
  readonly length: number;
  put<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this;
  delete<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** Refuse the whole commit (`ERR_HOLDFAST_CONFLICT`) unless the key is absent. */
  requireAbsent<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** … unless the key is there. */
  requirePresent<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** … unless the key's value is, byte for byte, what `value` encodes to. */
  requireEqual<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this;
  /**
   * `bytes` stand at `offset` of the region when the batch is committed; with the keys, or not at
   * all.
   */
  regionWrite(region: Region, offset: number, bytes: ArrayBufferView): this;
  /**
   * Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64, after what the batch did
   * before.
   */
  regionAdd(region: Region, offset: number, delta: bigint): this;
  /**
   * Refuse the whole commit (`ERR_HOLDFAST_CONFLICT`) unless the 64-bit cell is `value` before it.
   */
  requireCell(region: Region, offset: number, value: bigint): this;
  clear(): this;
}

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

/** What every layer above needs of a pool. */
export interface PoolCore extends AsyncDisposable, Disposable {
  readonly path: string;
  readonly medium: Medium;
  readonly durability: { readonly class: DurabilityClass; readonly reason: string };
  readonly closed: boolean;
  readonly readOnly: boolean;
  /** Names this handle among all that this process, worker threads included, ever opens. */
  readonly handle: number;
  /** Is that handle still open? One whose worker thread ended or was terminated is not. */
  isOpen(handle: number): boolean;
  /**
   * Goes on to the newest durable state, where the pool was opened with `readOnly`; gives the epoch
   * it is at. Without a change it costs about as much as a read. Snapshots taken before keep what
   * they see.
   */
  refresh(): Promise<number>;
  refreshSync(): number;
  /**
   * Its types are those of its codecs where these say so, else those that the caller names. The
   * first commit to it makes it. Names (1 to 255 bytes) that begin with `holdfast.` are the
   * library's own.
   */
  keyspace<KN extends SaidCodecName = 'utf8', VN extends SaidCodecName = SaidCodecName>(
    name: string,
    options: { key?: KN | undefined; value: VN },
  ): Keyspace<CodecTypes[KN], CodecTypes[VN]>;
  keyspace<K, VN extends SaidCodecName>(
    name: string,
    options: { key: Codec<K>; value: VN },
  ): Keyspace<K, CodecTypes[VN]>;
  keyspace<KN extends SaidCodecName, V = unknown>(
    name: string,
    options: { key: KN; value?: Codec<V> | 'structured' | 'json' | undefined },
  ): Keyspace<CodecTypes[KN], V>;
  keyspace<K = string, V = unknown>(name: string, options?: KeyspaceOptions<K, V>): Keyspace<K, V>;
  /** Names of all keyspaces, sorted. */
  keyspaces(): string[];
  /**
   * The region of that name; made when it is not there and a size is given. Another size than it
   * has is an error.
   */
  region(name: string, options?: { size?: number | undefined }): Region;
  /** All regions, in the order they were made. */
  regions(options?: { snapshot?: Snapshot | undefined }): RegionInfo[];
  /** An empty batch. It may be built over time; nothing happens until it is committed. */
  batch(): Batch;
  /**
   * All of it or nothing; `ERR_HOLDFAST_CONFLICT` where a condition does not hold. The batch is
   * empty afterwards, whatever came of it.
   */
  commit(batch: Batch, options?: CommitOptions): Promise<CommitReceipt>;
  commitSync(batch: Batch, options?: CommitOptions): CommitReceipt;
  /**
   * Of the newest state. Costs nothing by itself; while it is open, what it sees keeps its space.
   */
  snapshot(): Snapshot;
  /**
   * The change feed. Throws `ERR_HOLDFAST_FORGOTTEN` where the log no longer reaches back to
   * `from`.
   */
  watch(options: RegionWatchOptions): RegionWatcher;
  watch<K = Uint8Array, V = Uint8Array>(options?: WatchOptions<K, V>): Watcher<K, V>;
  /** A consistent backup while commits go on. A path gets its file when the backup is whole. */
  backup(
    target: string | Writable | WritableStream<Uint8Array>,
    options?: BackupOptions,
  ): Promise<BackupReport>;
  /** Resolves when everything committed before, eventual commits too, is behind a barrier. */
  settled(): Promise<void>;
  stats(): PoolStats;
  /**
   * Reads everything and verifies all checksums; `onProgress` is given 0 to 1. Damage is reported,
   * not thrown.
   */
  check(options?: {
    signal?: AbortSignal | undefined;
    onProgress?: ((fraction: number) => void) | undefined;
  }): Promise<CheckReport>;
  /** Makes the index durable as of now. */
  fold(): Promise<void>;
  /**
   * Another size, while the pool is open: larger, or smaller where nothing is held beyond it once
   * the pool is compacted; 0: it grows by itself. Files only; else see `resizeByCopy`.
   */
  resize(bytes: number): Promise<void>;
  /**
   * Folds, merges the index and gives back what dead data still holds; a pool's file gives what is
   * free then to its file system.
   */
  compact(): Promise<void>;
  /**
   * Waits for what is under way and makes it durable; the last handle in this process lets go of
   * the pool. A second time it does nothing.
   */
  close(): Promise<void>;
  closeSync(): void;
}
