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
