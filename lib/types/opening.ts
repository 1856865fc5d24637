/** How a pool is opened, and what its place gives. */

/** What a pool's bytes live on: persistent memory, or a file on any other disk. */
export type Medium = 'pmem' | 'file';

/**
 * What an acknowledged durable commit survives. `power`: a power cut. `process`: only the death of
 * the process.
 */
export type DurabilityClass = 'power' | 'process';

/** How a pool is opened, and how it is made where there is none. */
export interface OpenOptions {
  /**
   * Default `auto`: persistent memory where mapping with MAP_SYNC succeeds, else a file. `pmem`
   * where there is none: `ERR_HOLDFAST_MEDIUM_UNAVAILABLE`.
   */
  medium?: 'auto' | Medium | undefined;
  /**
   * Bytes; chosen when a pool is made. A file grows by itself unless a size is given (1 MiB to 16
   * TiB). A pool on persistent memory has 32 MiB to 64 TiB; default 256 MiB. To open an existing
   * pool leave it out: another size is `ERR_HOLDFAST_OUT_OF_RANGE`. See `pool.resize`.
   */
  size?: number | undefined;
  /**
   * A new pool on persistent memory takes space of its file system as it needs it and gives it
   * back; `size` is then the most it may take, by default 64 GiB. Default `false`. Chosen when a
   * pool is made. A file does that anyway.
   */
  grow?: boolean | undefined;
  /**
   * A new pool on persistent memory that grows lies in all of these directories (on file systems of
   * their own): each gets a part file, filled in order, `size` is the most of all together, and
   * `path` is the pool set file that names the parts. Chosen when a pool is made; it is opened by
   * its path alone.
   */
  directories?: readonly string[] | undefined;
  /**
   * Default `ifMissing`. `never`: the pool must exist (else `ERR_HOLDFAST_NOT_FOUND`). `exclusive`:
   * it must not (else `ERR_HOLDFAST_EXISTS`).
   */
  create?: 'ifMissing' | 'never' | 'exclusive' | undefined;
  /** Refuse a place that gives less (`ERR_HOLDFAST_DURABILITY`). Default `process`: any place. */
  atLeast?: DurabilityClass | undefined;
  /**
   * Milliseconds (1 to 60,000) within which an eventual commit is behind a barrier. Default 10. A
   * crash loses at most the eventual commits of that time.
   */
  eventualWithin?: number | undefined;
  /**
   * The log's tail is folded into the index when it holds this many operations. Default 32,768.
   * More: fewer folds, a longer replay when the pool is opened.
   */
  foldOperations?: number | undefined;
  /**
   * Milliseconds after which another thread may take over a run that this handle drives, if this
   * thread did not renew its lease (it does so in the background). Default 15,000. A process that
   * ends gives up its leases at once.
   */
  lease?: number | undefined;
  /**
   * Opens for reading only, also while another process writes. The pool shows the newest durable
   * state, and newer ones after `refresh()`. Calls that would change it are
   * `ERR_HOLDFAST_READ_ONLY`. Default `false`.
   */
  readOnly?: boolean | undefined;
  /**
   * How much of the log is kept for `watch` and incremental backups: commits younger than `ms`, the
   * newest `bytes`; with both, what either asks for. `false`: nothing. Default: as the pool was
   * opened last, at first nothing. Kept log is dropped, the oldest first, before a commit is
   * refused for want of space.
   */
  retain?: { ms?: number | undefined; bytes?: number | undefined } | false | undefined;
  /** Ends the opening with `ERR_HOLDFAST_ABORTED`; `openSync` ignores it. */
  signal?: AbortSignal | undefined;
}
