/**
 * The public vocabulary of Holdfast: shapes only, no code. Every layer above the native binding speaks these types.
 */

import type { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';

/** What the pool's bytes live on. */
export type Medium = 'pmem' | 'file';

/** What an acknowledged durable commit survives: `power` loss, or only the death of the `process`. */
export type DurabilityClass = 'power' | 'process';

/** `durable`: acknowledged after its barrier. `eventual`: acknowledged at once, behind a barrier a little later. */
export type CommitDurability = 'durable' | 'eventual';

export interface OpenOptions {
  /** Default `auto`: persistent memory where mapping with MAP_SYNC succeeds, else a file. */
  medium?: 'auto' | Medium | undefined;
  /** Bytes. A file grows by itself unless a size is given; a new pmem pool is 256 MiB unless a size is given. */
  size?: number | undefined;
  /**
   * A new pool on persistent memory takes space of its file system as it needs it and gives it back; `size` is then the most it may
   * take, 64 GiB unless given. Chosen when a pool is made. A file does that anyway.
   */
  grow?: boolean | undefined;
  /**
   * A new pool on persistent memory that grows lies in all of these directories (on file systems of their own): each gets a part file, filled in
   * order, `size` is the most of all together, and `path` is the pool set file that names the parts. Chosen when a pool is made; it is
   * opened by its path alone.
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
   * Milliseconds after which a run that this handle drives may be taken over by another thread, when this one has not
   * renewed its lease. Default 15,000. A process that ends gives up its leases at once.
   */
  lease?: number | undefined;
  /**
   * Opens for reading only, also while another process writes. It sees the newest durable state, and newer ones with
   * `refresh()`. What changes the pool is `ERR_HOLDFAST_READ_ONLY`.
   */
  readOnly?: boolean | undefined;
  /**
   * How much of the log is kept for `watch` and incremental backups beyond what the pool itself needs: commits younger than
   * `ms`, the newest `bytes`; with both, what both want. Default: as the pool was opened last. It gives way, the oldest
   * first, before a commit is refused for want of space. `false`: nothing.
   */
  retain?: { ms?: number; bytes?: number } | false | undefined;
  signal?: AbortSignal | undefined;
}

export interface CommitOptions {
  /** Default `durable`. */
  durability?: CommitDurability | undefined;
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

/** How keys or values become bytes. A key codec must keep order: the bytes sort as the values do. */
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
   * The encoded value of a key, as it lies in the pool: not copied (but where a thousand views are open already) and, where it is larger than
   * 256 KiB, not verified. Valid until the snapshot is closed, then of length 0. Stores into it reach nobody else. Undefined when the key is absent.
   */
  view<K, V>(keyspace: Keyspace<K, V>, key: K): Uint8Array | undefined;
  close(): void;
}

/**
 * A named ordered map. Reads are synchronous: they come from mapped memory; a damaged byte is `ERR_HOLDFAST_CORRUPT`. Writes are a commit each,
 * acknowledged after its barrier unless `durability` is `eventual`. A key is 1 to 1,024 bytes as encoded (`ERR_HOLDFAST_KEY_SIZE`), a
 * value up to 64 GiB; what a codec cannot write or read is `ERR_HOLDFAST_CODEC`.
 */
export interface Keyspace<K, V> {
  readonly name: string;
  /** Undefined when the key is absent. */
  get(key: K, options?: { snapshot?: Snapshot | undefined }): V | undefined;
  /** In the order of `keys`, all as of one state. */
  getMany(keys: readonly K[], options?: { snapshot?: Snapshot | undefined }): (V | undefined)[];
  has(key: K, options?: { snapshot?: Snapshot | undefined }): boolean;
  /**
   * The epoch of the commit that wrote the key's newest value. Undefined where the key is absent, or the log no longer tells: the
   * cleaner has carried the value elsewhere since, or the pool is open for reading only.
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
  /** `bytes` stand at `offset` of the region when the batch is committed; with the keys, or not at all. */
  regionWrite(region: Region, offset: number, bytes: ArrayBufferView): this;
  /** Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64, after what the batch did before. */
  regionAdd(region: Region, offset: number, delta: bigint): this;
  /** Refuse the whole commit (`ERR_HOLDFAST_CONFLICT`) unless the 64-bit cell is `value` before it. */
  requireCell(region: Region, offset: number, value: bigint): this;
  clear(): this;
}

/** The element types a region can be read as. All numbers in a region are little-endian. */
export type NumericArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

export interface NumericArrayConstructor<T extends NumericArray> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
}

/** A named range of bytes that commits change in place. Offsets and lengths are bytes, but for `typed`. */
export interface Region {
  readonly name: string;
  /** Bytes it has now. */
  readonly size: number;
  /** A copy of its bytes; by default all of them. */
  read(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): Uint8Array;
  /** Fills `target`. */
  readInto(target: ArrayBufferView, offset: number, options?: { snapshot?: Snapshot | undefined }): void;
  /** A copy of `length` numbers from byte `offset` on, which need not be aligned: `typed(Float32Array, 4096, 768)`. */
  typed<T extends NumericArray>(
    type: NumericArrayConstructor<T>,
    offset: number,
    length: number,
    options?: { snapshot?: Snapshot | undefined },
  ): T;
  dataView(offset: number, length: number, options?: { snapshot?: Snapshot | undefined }): DataView;
  /**
   * The first offset from `offset` on (default 0) that may hold anything but zeros; `size` when none does. What lies before it was never
   * written: a sparse region is copied by what is in it.
   */
  nextData(offset?: number, options?: { snapshot?: Snapshot | undefined }): number;
  /**
   * Its bytes as they lie in the pool, by default all of them, as of now or of the snapshot: not copied and not verified. Through a pool
   * that is open for reading only they are a copy.
   */
  view(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): RegionView;
  write(offset: number, bytes: ArrayBufferView, options?: CommitOptions): Promise<CommitReceipt>;
  writeSync(offset: number, bytes: ArrayBufferView, options?: CommitOptions): CommitReceipt;
  /** Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64. Gives the sum, as an unsigned number. */
  add(offset: number, delta: bigint, options?: CommitOptions): Promise<bigint>;
  addSync(offset: number, delta: bigint, options?: CommitOptions): bigint;
  /** Sets the 64-bit cell to `desired` if it is `expected`; tells whether it was. */
  compareAndSwap(offset: number, expected: bigint, desired: bigint, options?: CommitOptions): Promise<boolean>;
  compareAndSwapSync(offset: number, expected: bigint, desired: bigint, options?: CommitOptions): boolean;
  /** What it grows by reads as zeros; what a smaller size takes away is gone. */
  resize(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  resizeSync(size: number, options?: CommitOptions): CommitReceipt;
  /** As resize, to a size that is larger, or smaller: the other way is a RangeError. */
  grow(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  shrink(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  /** Removes it, with its name; its space comes back with the next fold. */
  drop(options?: CommitOptions): Promise<CommitReceipt>;
  dropSync(options?: CommitOptions): CommitReceipt;
}

/** A lease on bytes of a region. While it lasts they do not change, whatever is committed. */
export interface RegionView extends Disposable {
  /** Of length 0 once the lease or the pool has ended. Stores into it reach nobody else. */
  readonly bytes: Uint8Array;
  /**
   * False where the place has no private mappings (device DAX), too many are in use, or the pool is open for reading only: the bytes were
   * copied.
   */
  readonly mapped: boolean;
  end(): void;
}

export interface RegionInfo {
  readonly name: string;
  readonly size: number;
  /** Bytes of the pool that it takes, as of the newest fold. */
  readonly placedBytes: number;
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

export interface WatchOptions<K = Uint8Array, V = Uint8Array> {
  /** Only this keyspace, decoded with its codecs. Default: all of them, as bytes. */
  keyspace?: Keyspace<K, V> | undefined;
  /** Only keys that begin with these bytes (or this text). */
  prefix?: K | undefined;
  /** Commits above this epoch, a past one too as long as the pool holds them. Default: those made from now on. */
  from?: number | undefined;
  /** Bytes of log that are kept for this watcher when it falls behind. Default 64 MiB. */
  lag?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** One change of a commit. */
export type Change<K, V> =
  | { readonly keyspace: string; readonly key: K; readonly value: V; readonly deleted: false }
  | { readonly keyspace: string; readonly key: K; readonly value?: undefined; readonly deleted: true };

/** What one commit changed, in the order of its batch. */
export interface CommittedChanges<K, V> {
  readonly epoch: number;
  /** When it was committed: milliseconds since 1970, by the clock of the machine that did. */
  readonly time: number;
  readonly changes: readonly Change<K, V>[];
}

export interface RegionWatchOptions extends Pick<WatchOptions, 'from' | 'lag' | 'signal'> {
  /** Only what was done to this region. */
  region: Region;
}

/** One change of a region: bytes that were written (also by `add` and `compareAndSwap`), or its new size; 0: it was dropped. */
export type RegionChange =
  | { readonly offset: number; readonly bytes: Uint8Array; readonly size?: undefined }
  | { readonly offset?: undefined; readonly bytes?: undefined; readonly size: number };

/** What one commit did to a region, in the order of its batch. A write of more than 64 KiB is given in pieces. */
export interface CommittedRegionChanges {
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly changes: readonly RegionChange[];
}

interface Feed<C> extends AsyncIterableIterator<C, undefined>, AsyncDisposable {
  /** Everything up to here has been given: what to watch from to go on later. */
  readonly epoch: number;
}

/** The durable commits of a pool in the order of their epochs. Ends with the pool. */
export type Watcher<K, V> = Feed<CommittedChanges<K, V>>;
/** The same of one region. */
export type RegionWatcher = Feed<CommittedRegionChanges>;

export interface BackupOptions {
  /** Only the commits above this epoch (that of the backup before it). Needs the log back to there: see `retain`. */
  incremental?: number | undefined;
  signal?: AbortSignal | undefined;
  /** From 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
}

export interface BackupReport {
  /** It restores to the state as of this epoch; the next increment begins behind it. */
  readonly epoch: number;
  /** Of an increment: what it begins behind. */
  readonly since?: number;
  readonly entries: number;
  readonly commits: number;
  /** Of values. */
  readonly bytes: number;
  readonly fileBytes: number;
  /** Did it go on with one that had been interrupted? */
  readonly continued: boolean;
}

export interface RestoreOptions extends Pick<OpenOptions, 'medium' | 'size' | 'atLeast' | 'retain'> {
  /** The state after the commit of this epoch, or at this time. Default: the newest there is. */
  at?: number | Date | undefined;
  signal?: AbortSignal | undefined;
  /** Bytes read of the part that is being read. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface RestoreReport {
  /** The state as of this epoch of the backup. The new pool goes on above it. */
  readonly epoch: number;
  readonly time: number;
  readonly entries: number;
  readonly commits: number;
  readonly bytes: number;
  readonly parts: number;
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
   * Goes on to the newest durable state, where the pool was opened with `readOnly`; gives the epoch it is at. Without a
   * change it costs about as much as a read. Snapshots taken before keep what they see.
   */
  refresh(): Promise<number>;
  refreshSync(): number;
  /** Its types are those of its codecs where these say so, else those that the caller names. */
  keyspace<KN extends SaidCodecName = 'utf8', VN extends SaidCodecName = SaidCodecName>(
    name: string,
    options: { key?: KN | undefined; value: VN },
  ): Keyspace<CodecTypes[KN], CodecTypes[VN]>;
  keyspace<K, VN extends SaidCodecName>(name: string, options: { key: Codec<K>; value: VN }): Keyspace<K, CodecTypes[VN]>;
  keyspace<KN extends SaidCodecName, V = unknown>(
    name: string,
    options: { key: KN; value?: Codec<V> | 'structured' | 'json' | undefined },
  ): Keyspace<CodecTypes[KN], V>;
  keyspace<K = string, V = unknown>(name: string, options?: KeyspaceOptions<K, V>): Keyspace<K, V>;
  /** Names of all keyspaces, sorted. */
  keyspaces(): string[];
  /** The region of that name; made when it is not there and a size is given. Another size than it has is an error. */
  region(name: string, options?: { size?: number | undefined }): Region;
  /** All regions, in the order they were made. */
  regions(options?: { snapshot?: Snapshot | undefined }): RegionInfo[];
  /** An empty batch. It may be built over time; nothing happens until it is committed. */
  batch(): Batch;
  /** All of it or nothing; `ERR_HOLDFAST_CONFLICT` where a condition does not hold. The batch is empty afterwards, whatever came of it. */
  commit(batch: Batch, options?: CommitOptions): Promise<CommitReceipt>;
  commitSync(batch: Batch, options?: CommitOptions): CommitReceipt;
  /** Of the newest state. Costs nothing by itself; while it is open, what it sees keeps its space. */
  snapshot(): Snapshot;
  /** The change feed. Throws `ERR_HOLDFAST_FORGOTTEN` where the log no longer reaches back to `from`. */
  watch(options: RegionWatchOptions): RegionWatcher;
  watch<K = Uint8Array, V = Uint8Array>(options?: WatchOptions<K, V>): Watcher<K, V>;
  /** A consistent backup while commits go on. A path gets its file when the backup is whole. */
  backup(target: string | Writable | WritableStream<Uint8Array>, options?: BackupOptions): Promise<BackupReport>;
  /** Resolves when everything committed before, eventual commits too, is behind a barrier. */
  settled(): Promise<void>;
  stats(): PoolStats;
  /** Reads everything and verifies all checksums; `onProgress` is given 0 to 1. Damage is reported, not thrown. */
  check(options?: { signal?: AbortSignal | undefined; onProgress?: ((fraction: number) => void) | undefined }): Promise<CheckReport>;
  /** Makes the index durable as of now. */
  fold(): Promise<void>;
  /**
   * Another size, while the pool is open: larger, or smaller where nothing is held beyond it once the pool is compacted; 0:
   * it grows by itself. Files only; else see `resizeByCopy`.
   */
  resize(bytes: number): Promise<void>;
  /** Folds, merges the index and gives back what dead data still holds; a pool's file gives what is free then to its file system. */
  compact(): Promise<void>;
  /** Waits for what is under way and makes it durable; the last handle in this process lets go of the pool. A second time it does nothing. */
  close(): Promise<void>;
  closeSync(): void;
}

export interface CheckReport {
  readonly ok: boolean;
  readonly entries: number;
  readonly bytesRead: number;
  /** One sentence per damage, naming the place. */
  readonly damages: readonly string[];
}

export interface CopyOptions {
  /** Where the copy lies: a part in each of these (on persistent memory), none: in one file. Default: as the pool lies now. */
  directories?: readonly string[] | undefined;
}

/** What `resizeByCopy` has put into the new pool. */
export interface CopyReport {
  readonly entries: number;
  readonly bytes: number;
}

/** What `salvage` could save. */
export interface SalvageReport {
  /**
   * What could be trusted: the index; or, where the root or the fold is lost, all valid records of the log (deleted keys may
   * come again); or, where both superblocks are lost, only each operation's own checksum.
   */
  readonly source: 'index' | 'log' | 'checksums';
  /** Entries saved, and the bytes of their values. */
  readonly entries: number;
  readonly bytes: number;
  /** Of them, those of which nothing could say whether they are the newest version. */
  readonly unconfirmed: number;
  /** Keys that are known, but of which no valid version was left. */
  readonly lost: number;
  /** One sentence each, the first thousand. */
  readonly losses: readonly string[];
  /** Damaged stretches of the log: what they changed is as it was before. */
  readonly gaps: readonly string[];
}

/** One file of a pool that lies in several directories. */
export interface PoolPart {
  readonly path: string;
  /** The most it may hold. */
  readonly bytes: number;
  /** What it takes of its file system now, and what is free there. */
  readonly takenBytes: number;
  readonly freeBytes: number;
}

/** A glance at the pool. Bytes, counts and microseconds, as the names say. */
export interface PoolStats {
  readonly path: string;
  readonly medium: Medium;
  readonly durability: DurabilityClass;
  readonly durabilityReason: string;
  readonly formatVersion: number;
  /** The newest commit; the newest behind a barrier; the newest in the durable index. */
  readonly epoch: number;
  readonly durableEpoch: number;
  readonly foldedEpoch: number;
  /** How often the pool was opened. */
  readonly incarnation: number;
  /** Of a pool in several directories; empty where the pool is one file. */
  readonly parts: readonly PoolPart[];
  /** The most the pool may hold (2 ** 60 and more: it grows by itself); what its segments take; what is free; of keys and values that live. */
  readonly capacityBytes: number;
  readonly takenBytes: number;
  readonly freeBytes: number;
  readonly liveBytes: number;
  /** What takes it. */
  readonly logBytes: number;
  readonly indexBytes: number;
  readonly largeBytes: number;
  /** Of the regions' extents, as of the newest fold. */
  readonly regionBytes: number;
  readonly logSegments: number;
  readonly indexSegments: number;
  readonly largeSegments: number;
  readonly regionSegments: number;
  /** The index of what was committed since the last fold, in memory. */
  readonly overlayEntries: number;
  readonly overlayBytes: number;
  readonly runs: number;
  readonly openSnapshots: number;
  readonly oldestSnapshotEpoch: number;
  /**
   * Places that readers have taken (a process one, and one more for each fold that its snapshots lie apart), the process and epoch of the one
   * furthest behind, and what is held back for them.
   */
  readonly readers: number;
  readonly oldestReaderPid: number;
  readonly oldestReaderEpoch: number;
  readonly readerBytes: number;
  readonly readersExpired: number;
  /** Since this opening, from here on: commits, groups of commits that shared a barrier, and what they asked of the medium. */
  readonly commits: number;
  readonly groups: number;
  readonly appends: number;
  readonly writes: number;
  readonly barriers: number;
  readonly roots: number;
  readonly bytesAppended: number;
  readonly bytesGrown: number;
  readonly folds: number;
  readonly compactions: number;
  readonly segmentsCleaned: number;
  readonly bytesMoved: number;
  /** What this opening read of the log's tail, and how long it took. */
  readonly replayedOperations: number;
  readonly replayedBytes: number;
  readonly openUs: number;
  readonly retainMs: number;
  readonly retainBytes: number;
  /** The change feed holds the commits from this epoch on. */
  readonly oldestChange: number;
  readonly watchers: number;
}

