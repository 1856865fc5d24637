/** What a pool says of itself. */
import type { DurabilityClass, Medium } from './opening';

/** One file of a pool that lies in several directories. */
export interface PoolPart {
  readonly path: string;
  /** The most it may hold, in bytes. */
  readonly bytes: number;
  /** What it takes of its file system now, in bytes. */
  readonly takenBytes: number;
  /** What is free on its file system, in bytes. */
  readonly freeBytes: number;
}

/**
 * A glance at the pool. Units stand in the names: bytes, milliseconds, microseconds; else counts.
 */
export interface PoolStats {
  readonly path: string;
  readonly medium: Medium;
  readonly durability: DurabilityClass;
  /** Why it has that class, in words. */
  readonly durabilityReason: string;
  readonly formatVersion: number;
  /** The newest commit. */
  readonly epoch: number;
  /** The newest commit that is behind a barrier. */
  readonly durableEpoch: number;
  /** The newest commit in the durable index: opening replays what came after it. */
  readonly foldedEpoch: number;
  /** How often the pool was opened for writing. */
  readonly incarnation: number;
  /** Of a pool in several directories; empty if the pool is one file. */
  readonly parts: readonly PoolPart[];
  /** The most the pool may hold; 2 ** 60 or more: it grows by itself. */
  readonly capacityBytes: number;
  /** What its segments take. */
  readonly takenBytes: number;
  /** What is free in the pool. */
  readonly freeBytes: number;
  /** Live keys and values. */
  readonly liveBytes: number;
  /** Taken by the log's segments. */
  readonly logBytes: number;
  /** Taken by the index. */
  readonly indexBytes: number;
  /** Taken by values above 256 KiB, which have segments of their own. */
  readonly largeBytes: number;
  /** Taken by the extents of regions, as of the newest fold. */
  readonly regionBytes: number;
  readonly logSegments: number;
  readonly indexSegments: number;
  readonly largeSegments: number;
  readonly regionSegments: number;
  /** Entries of the index in memory: what was committed since the last fold. */
  readonly overlayEntries: number;
  /** Memory they take. */
  readonly overlayBytes: number;
  /** Sorted runs that the index consists of; `compact` makes them one. */
  readonly runs: number;
  readonly openSnapshots: number;
  /** The epoch of the oldest open snapshot, which holds space back. */
  readonly oldestSnapshotEpoch: number;
  /**
   * Places that readers in other processes have taken, of 256: one for a process, and one more for
   * each fold that lies between its open snapshots.
   */
  readonly readers: number;
  /** The process of the reader that is furthest behind. */
  readonly oldestReaderPid: number;
  /** The epoch that it reads. */
  readonly oldestReaderEpoch: number;
  /** What is held back for readers. */
  readonly readerBytes: number;
  /** Readers that held back too much and have lost what they read. */
  readonly readersExpired: number;
  /** Commits since this opening. */
  readonly commits: number;
  /** Groups of commits that shared a barrier, since this opening. */
  readonly groups: number;
  /** Appends to the medium, since this opening. */
  readonly appends: number;
  /** Writes to the medium, since this opening. */
  readonly writes: number;
  /** Barriers (`fdatasync` or `sfence`), since this opening. */
  readonly barriers: number;
  /** Roots written, since this opening. */
  readonly roots: number;
  /** Since this opening. */
  readonly bytesAppended: number;
  /** By which the pool has grown, since this opening. */
  readonly bytesGrown: number;
  /** Since this opening. */
  readonly folds: number;
  /** Since this opening. */
  readonly compactions: number;
  /** Segments the cleaner has emptied, since this opening. */
  readonly segmentsCleaned: number;
  /** Live bytes the cleaner has moved for that, since this opening. */
  readonly bytesMoved: number;
  /** Operations of the log's tail that this opening replayed. */
  readonly replayedOperations: number;
  /** Their bytes. */
  readonly replayedBytes: number;
  /** How long this opening took, in microseconds. */
  readonly openUs: number;
  /** The setting `retain.ms` that is in force. */
  readonly retainMs: number;
  /** The setting `retain.bytes` that is in force. */
  readonly retainBytes: number;
  /** The change feed holds the commits from this epoch on. */
  readonly oldestChange: number;
  readonly watchers: number;
}
