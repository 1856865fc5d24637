/** The change feed: durable commits as they come, of keyspaces and of regions. */
import type { Keyspace } from './keyspaces';
import type { Region } from './regions';

/** Which commits a watcher gives. Without options: all of them, from now on. */
export interface WatchOptions<K = Uint8Array, V = Uint8Array> {
  /** Only this keyspace, decoded with its codecs. Default: all of them, as bytes. */
  keyspace?: Keyspace<K, V> | undefined;
  /** Only keys that begin with these bytes (or this text). */
  prefix?: K | undefined;
  /**
   * Commits above this epoch. A past one is possible while the pool still holds them, else
   * `ERR_HOLDFAST_FORGOTTEN`. Default: the commits after this call.
   */
  from?: number | undefined;
  /**
   * Bytes of log that are kept for this watcher when it falls behind. Default 64 MiB. Further
   * behind its `next()` may reject with `ERR_HOLDFAST_FORGOTTEN`.
   */
  lag?: number | undefined;
  /** Ends the watcher with `ERR_HOLDFAST_ABORTED`. */
  signal?: AbortSignal | undefined;
}

/** One change of a commit: a new value, or a deletion. */
export type Change<K, V> =
  | { readonly keyspace: string; readonly key: K; readonly value: V; readonly deleted: false }
  | {
      readonly keyspace: string;
      readonly key: K;
      readonly value?: undefined;
      readonly deleted: true;
    };

/** What one commit changed, in the order of its batch. */
export interface CommittedChanges<K, V> {
  readonly epoch: number;
  /** When it was committed: milliseconds since 1970, by the clock of the machine that did. */
  readonly time: number;
  readonly changes: readonly Change<K, V>[];
}

/** Which commits a watcher of a region gives. */
export interface RegionWatchOptions extends Pick<WatchOptions, 'from' | 'lag' | 'signal'> {
  /** Only what was done to this region. */
  region: Region;
}

/**
 * One change of a region: bytes that were written (also by `add` and `compareAndSwap`), or its new
 * size; 0: it was dropped.
 */
export type RegionChange =
  | { readonly offset: number; readonly bytes: Uint8Array; readonly size?: undefined }
  | { readonly offset?: undefined; readonly bytes?: undefined; readonly size: number };

/**
 * What one commit did to a region, in the order of its batch. A write of more than 64 KiB is given
 * in pieces.
 */
export interface CommittedRegionChanges {
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly changes: readonly RegionChange[];
}

interface Feed<C> extends AsyncIterableIterator<C>, AsyncDisposable {
  next(): Promise<IteratorResult<C, undefined>>;
  return(): Promise<IteratorResult<C, undefined>>;
  /** Everything up to this epoch was given. Watch `from` it to go on later. */
  readonly epoch: number;
}

/** The durable commits of a pool in the order of their epochs. Ends with the pool. */
export type Watcher<K, V> = Feed<CommittedChanges<K, V>>;

/** The same of one region. */
export type RegionWatcher = Feed<CommittedRegionChanges>;
