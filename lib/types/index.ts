/**
 * The public vocabulary of Holdfast: shapes only, no code. Every layer above the native binding
 * speaks these types. Here: a pool and its batches, which know all the rest; each of those subjects
 * lies in a file of its own, and knows only what it speaks of.
 */
import type { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';

import type { CommitOptions, CommitReceipt } from './commits';
import type { BackupOptions, BackupReport, CheckReport } from './copies';
import type { RegionWatchOptions, RegionWatcher, WatchOptions, Watcher } from './feed';
import type {
  Codec,
  CodecTypes,
  Keyspace,
  KeyspaceOptions,
  SaidCodecName,
  Snapshot,
} from './keyspaces';
import type { DurabilityClass, Medium } from './opening';
import type { Region, RegionInfo } from './regions';
import type { PoolStats } from './stats';

export type * from './commits';
export type * from './copies';
export type * from './feed';
export type * from './keyspaces';
export type * from './opening';
export type * from './regions';
export type * from './stats';

/** Changes that are committed together or not at all, with the conditions under which they may. */
export interface Batch {
  /** Changes and conditions so far. */
  readonly length: number;
  /** Sets a key. Later changes of one key win. */
  put<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this;
  /** Removes a key; an absent one is not an error. */
  delete<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** The whole commit is refused (`ERR_HOLDFAST_CONFLICT`) unless the key is absent before it. */
  requireAbsent<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** … unless the key is there before it. */
  requirePresent<K, V>(keyspace: Keyspace<K, V>, key: K): this;
  /** … unless the key's value before it is, byte for byte, what `value` encodes to. */
  requireEqual<K, V>(keyspace: Keyspace<K, V>, key: K, value: V): this;
  /**
   * Writes `bytes` at `offset` of the region (in bytes), together with the keys or not at all.
   */
  regionWrite(region: Region, offset: number, bytes: ArrayBufferView): this;
  /**
   * Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64, after the batch's earlier
   * changes.
   */
  regionAdd(region: Region, offset: number, delta: bigint): this;
  /**
   * The whole commit is refused (`ERR_HOLDFAST_CONFLICT`) unless the 64-bit cell is `value` before
   * it.
   */
  requireCell(region: Region, offset: number, value: bigint): this;
  /** Empties it. */
  clear(): this;
}

/** What every layer above needs of a pool. */
export interface PoolCore extends AsyncDisposable, Disposable {
  /** As it was given to `open`. */
  readonly path: string;
  /** What the pool's bytes live on. */
  readonly medium: Medium;
  /** What an acknowledged durable commit survives, and why. */
  readonly durability: { readonly class: DurabilityClass; readonly reason: string };
  /** Has this handle been closed? Then every call is `ERR_HOLDFAST_CLOSED`. */
  readonly closed: boolean;
  /** Was it opened with `readOnly`? */
  readonly readOnly: boolean;
  /** Names this handle among all that this process, worker threads included, ever opens. */
  readonly handle: number;
  /** Is the handle of that number still open? Not if its worker thread ended or was terminated. */
  isOpen(handle: number): boolean;
  /**
   * Of a pool opened with `readOnly`: moves to the newest durable state and returns its epoch.
   * Without news it costs about as much as a read. Earlier snapshots keep what they see.
   */
  refresh(): Promise<number>;
  /** As `refresh`, on this thread. */
  refreshSync(): number;
  /**
   * The keyspace of that name: a named ordered map. It need not exist; the first commit to it makes
   * it. By default keys are strings and values whatever `structuredClone` takes: `keyspace<string,
   * User>('users')`, or `keyspace('log', { key: 'uint64', value: 'json' })`. Give the same codecs
   * each time. Names have 1 to 255 bytes; those that begin with `holdfast.` are the library's own.
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
   * The region of that name. If it does not exist it is made with `size` bytes (1 to 2^40); without
   * a size that is `ERR_HOLDFAST_NOT_FOUND`. Another size than it has is
   * `ERR_HOLDFAST_INVALID_ARGUMENT`.
   */
  region(name: string, options?: { size?: number | undefined }): Region;
  /** All regions, in the order they were made. */
  regions(options?: { snapshot?: Snapshot | undefined }): RegionInfo[];
  /** An empty batch, to fill and `commit`. Nothing happens until then. */
  batch(): Batch;
  /**
   * Commits a batch: all of it or nothing. If one of its conditions does not hold:
   * `ERR_HOLDFAST_CONFLICT`. The batch is empty afterwards, whatever happened.
   */
  commit(batch: Batch, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `commit`, on this thread. */
  commitSync(batch: Batch, options?: CommitOptions): CommitReceipt;
  /**
   * Pins the newest state for reading. It costs nothing by itself, but keeps the space of what it
   * sees: close it soon.
   */
  snapshot(): Snapshot;
  /**
   * The change feed: an async iterator of durable commits, in order. Throws
   * `ERR_HOLDFAST_FORGOTTEN` if the log no longer reaches back to `from`.
   */
  watch(options: RegionWatchOptions): RegionWatcher;
  watch<K = Uint8Array, V = Uint8Array>(options?: WatchOptions<K, V>): Watcher<K, V>;
  /**
   * Makes a consistent backup while commits go on. A path must be free, and gets its file when the
   * backup is whole; a stream is ended. Called again after an interruption it goes on.
   */
  backup(
    target: string | Writable | WritableStream<Uint8Array>,
    options?: BackupOptions,
  ): Promise<BackupReport>;
  /** Resolves when everything committed so far, eventual commits too, is durable. */
  settled(): Promise<void>;
  /** Counts, bytes and epochs, as of now. Cheap. */
  stats(): PoolStats;
  /**
   * Reads everything and verifies all checksums. Damage is reported, not thrown. `onProgress` is
   * given 0 to 1.
   */
  check(options?: {
    signal?: AbortSignal | undefined;
    onProgress?: ((fraction: number) => void) | undefined;
  }): Promise<CheckReport>;
  /** Makes the index durable as of now, so that the next opening replays little. */
  fold(): Promise<void>;
  /**
   * Another size in bytes, while the pool is open; 0: it grows by itself. Smaller only if, once
   * compacted, nothing lies beyond it. Files only; otherwise use `resizeByCopy`. Closing the pool
   * ends it, as it ends `compact`.
   */
  resize(bytes: number): Promise<void>;
  /**
   * Gives back what dead data still holds: folds, merges the index, cleans the log, and returns
   * free space of a file to its file system. An idle pool does most of that by itself. Closing the
   * pool ends it with `ERR_HOLDFAST_CLOSED`; what it has done by then stays done.
   */
  compact(): Promise<void>;
  /**
   * Waits for what is under way and makes it durable. The pool is closed with its last handle in
   * this process. A second time it does nothing.
   */
  close(): Promise<void>;
  /** As `close`, on this thread. */
  closeSync(): void;
}
