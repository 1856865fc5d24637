/** How a pool is opened, and what its place gives. */

/** What the pool's bytes live on. */
export type Medium = 'pmem' | 'file';

/**
 * What an acknowledged durable commit survives: `power` loss, or only the death of the `process`.
 */
export type DurabilityClass = 'power' | 'process';

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
