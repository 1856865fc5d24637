/** What a pool says of itself. */
import type { DurabilityClass, Medium } from './opening';

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
  /**
   * The most the pool may hold (2 ** 60 and more: it grows by itself); what its segments take; what
   * is free; of keys and values that live.
   */
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
   * Places that readers have taken (a process one, and one more for each fold that its snapshots
   * lie apart), the process and epoch of the one furthest behind, and what is held back for them.
   */
  readonly readers: number;
  readonly oldestReaderPid: number;
  readonly oldestReaderEpoch: number;
  readonly readerBytes: number;
  readonly readersExpired: number;
  /**
   * Since this opening, from here on: commits, groups of commits that shared a barrier, and what
   * they asked of the medium.
   */
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
