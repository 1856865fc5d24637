/** Backups, restores and copies of pools, and what is found when a pool is checked or salvaged. */
import type { OpenOptions } from './opening';

/** What is backed up. */
export interface BackupOptions {
  /**
   * Only the commits above this epoch: the `epoch` of the backup before. The log must reach back to
   * there (see `retain`), else `ERR_HOLDFAST_FORGOTTEN`. Default: everything.
   */
  incremental?: number | undefined;
  /** Ends it with `ERR_HOLDFAST_ABORTED`; the same call goes on with what is there. */
  signal?: AbortSignal | undefined;
  /** Is given 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
}

/** What a backup holds. */
export interface BackupReport {
  /** It restores to the state as of this epoch. Give it to the next `incremental`. */
  readonly epoch: number;
  /** Of an increment: it holds the commits above this epoch. */
  readonly since?: number;
  /** Keys with their values. */
  readonly entries: number;
  /** Commits, of an increment or between two attempts. */
  readonly commits: number;
  /** Bytes of the values. */
  readonly bytes: number;
  /** Bytes of the backup itself. */
  readonly fileBytes: number;
  /** Was an interrupted backup continued? */
  readonly continued: boolean;
}

/** How far, and into what kind of pool. */
export interface RestoreOptions extends Pick<
  OpenOptions,
  'medium' | 'size' | 'grow' | 'atLeast' | 'retain'
> {
  /**
   * The state after the commit of this epoch, or at this time. Default: the newest in the parts.
   */
  at?: number | Date | undefined;
  /** Ends it with `ERR_HOLDFAST_ABORTED`; then there is no new pool. */
  signal?: AbortSignal | undefined;
  /** Is given the bytes read so far of the part that is being read. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/** What was restored. */
export interface RestoreReport {
  /** The new pool has the state as of this epoch; its own commits have higher ones. */
  readonly epoch: number;
  /** Of that state: milliseconds since 1970. */
  readonly time: number;
  readonly entries: number;
  readonly commits: number;
  /** Bytes of the values. */
  readonly bytes: number;
  /** How many parts were read. */
  readonly parts: number;
}

/** What `pool.check()` has found. */
export interface CheckReport {
  /** No damage was found. */
  readonly ok: boolean;
  /** Keys with their values that were read. */
  readonly entries: number;
  /** Bytes of the pool that were read. */
  readonly bytesRead: number;
  /** One sentence for each damage, naming the place. */
  readonly damages: readonly string[];
}

/** How `resizeByCopy` lays the copy out. */
export interface CopyOptions {
  /**
   * On persistent memory: a part in each of these. An empty list: one file. Default: as the pool
   * lies now.
   */
  directories?: readonly string[] | undefined;
}

/** What `resizeByCopy` has put into the new pool. */
export interface CopyReport {
  readonly entries: number;
  /** Bytes of the values. */
  readonly bytes: number;
}

/** What `salvage` could save. */
export interface SalvageReport {
  /**
   * What could be trusted. `index`: the index. `log`: root or fold are lost, so all valid records
   * of the log count (deleted keys may come again). `checksums`: both superblocks are lost, so each
   * operation counts whose own checksum agrees.
   */
  readonly source: 'index' | 'log' | 'checksums';
  /** Entries saved. */
  readonly entries: number;
  /** Bytes of their values. */
  readonly bytes: number;
  /** How many of them may not be the newest version. */
  readonly unconfirmed: number;
  /** Keys that are known, but have no valid version left. */
  readonly lost: number;
  /** One sentence for each loss, the first thousand. */
  readonly losses: readonly string[];
  /** Damaged stretches of the log. What they changed is saved as it was before them. */
  readonly gaps: readonly string[];
}
