/** Backups, restores and copies of pools, and what is found when a pool is checked or salvaged. */
import type { OpenOptions } from './opening';

export interface BackupOptions {
  /**
   * Only the commits above this epoch (that of the backup before it). Needs the log back to there:
   * see `retain`.
   */
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

export interface RestoreOptions extends Pick<
  OpenOptions,
  'medium' | 'size' | 'grow' | 'atLeast' | 'retain'
> {
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

export interface CheckReport {
  readonly ok: boolean;
  readonly entries: number;
  readonly bytesRead: number;
  /** One sentence per damage, naming the place. */
  readonly damages: readonly string[];
}

export interface CopyOptions {
  /**
   * Where the copy lies: a part in each of these (on persistent memory), none: in one file.
   * Default: as the pool lies now.
   */
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
   * What could be trusted: the index; or, where the root or the fold is lost, all valid records of
   * the log (deleted keys may come again); or, where both superblocks are lost, only each
   * operation's own checksum.
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
