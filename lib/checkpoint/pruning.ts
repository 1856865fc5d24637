/**
 * Removing checkpoints, and with them the nodes that none of their family needs any more.
 *
 * Safe to repeat; a crash leaves some of it undone. Whatever is removed is removed under the
 * condition that nobody has forked from the family, or left it, since it was looked at.
 */
import { isConflict, rangeError, typeError } from '../errors';
import { olderThanOption, optionsObject } from '../options';
import { Slices } from '../slices';
import type { Keyspace, PoolCore, Snapshot } from '../types';
import type { Families } from './families';
import type { PartStore } from './parts';
import { checkOwner, type CheckpointRecord, type RecordKey, recordsOf } from './records';

export interface PruneOptions {
  /** So many of the newest stay. Default and least: 1. */
  keepLast?: number | undefined;
  /** Checkpoints with a label stay (`true`, the default), or only those with these labels. */
  keepLabels?: boolean | readonly string[] | undefined;
  /** Only those saved before this time, or longer ago than so many milliseconds, are removed. */
  olderThan?: Date | number | undefined;
}

export interface PruneReport {
  readonly removed: number;
  readonly kept: number;
  /** What only the removed states held, counted as `CheckpointInfo.bytes` counts it. */
  readonly freedBytes: number;
}

export class Pruning {
  readonly #pool: PoolCore;
  readonly #records: Keyspace<RecordKey, CheckpointRecord>;
  readonly #parts: PartStore;
  readonly #families: Families;

  constructor(
    pool: PoolCore,
    records: Keyspace<RecordKey, CheckpointRecord>,
    parts: PartStore,
    families: Families,
  ) {
    this.#pool = pool;
    this.#records = records;
    this.#parts = parts;
    this.#families = families;
  }

  /**
   * Removes checkpoints, and the nodes no checkpoint of the family needs. Safe to repeat; a crash
   * leaves some of it undone.
   */
  async prune(owner: string, options: PruneOptions = {}): Promise<PruneReport> {
    checkOwner(owner);
    const isKept = keeper(options);
    const family = this.#families.of(owner);
    if (family === undefined) return { removed: 0, kept: 0, freedBytes: 0 };
    for (let attempt = 0; ; ++attempt) {
      try {
        return await this.#prune(owner, family, isKept);
      } catch (error) {
        // Somebody forked from this family meanwhile: what is needed must be looked at again.
        if (!isConflict(error) || attempt === 10) throw error;
      }
    }
  }

  /**
   * Removes an owner with all its checkpoints. Its forks keep theirs. `gone` is called as soon as
   * it has none.
   */
  async drop(owner: string, gone: () => void): Promise<void> {
    checkOwner(owner);
    const family = this.#families.of(owner);
    if (family === undefined) return;
    const slices = new Slices(this.#pool);
    // Last, so that a crash leaves an owner that can be dropped again.
    for (const key of [...this.#records.keys(recordsOf(owner))]) {
      slices.batch.delete(this.#records, key);
      await slices.cut();
    }
    this.#families.leave(slices.batch, owner, family);
    await slices.end();
    gone();
    await this.#sweep(family);
  }

  async #prune(
    owner: string,
    family: number,
    isKept: (fromEnd: number, record: CheckpointRecord) => boolean,
  ): Promise<PruneReport> {
    let removed = 0;
    let kept = 0;
    let rootBytes = 0;
    const slices = new Slices(this.#pool, this.#families.unchanged(family));
    for (const [key, record] of this.#records.range({ ...recordsOf(owner), reverse: true })) {
      if (isKept(removed + kept, record)) {
        ++kept;
        continue;
      }
      ++removed;
      rootBytes += record.root.length;
      slices.batch.delete(this.#records, key);
      await slices.cut();
    }
    await slices.end();
    return { removed, kept, freedBytes: rootBytes + (await this.#sweep(family)) };
  }

  async #sweep(family: number): Promise<number> {
    const unchanged = this.#families.unchanged(family);
    const snapshot = this.#pool.snapshot();
    try {
      const roots = this.#rootsOf(family, snapshot);
      const { freed } = await this.#parts.sweep(family, roots, snapshot, (batch) => {
        unchanged(batch);
      });
      return freed;
    } finally {
      snapshot.close();
    }
  }

  *#rootsOf(family: number, snapshot: Snapshot): IterableIterator<Uint8Array> {
    for (const member of this.#families.members(family, snapshot))
      for (const record of this.#records.values({ ...recordsOf(member), snapshot }))
        yield record.root;
  }
}

function keeper(options: PruneOptions): (fromEnd: number, record: CheckpointRecord) => boolean {
  const {
    keepLast = 1,
    keepLabels = true,
    olderThan,
  } = optionsObject(options, 'prune', ['keepLast', 'keepLabels', 'olderThan']);
  if (typeof keepLast !== 'number') throw typeError('keepLast is a number');
  if (!Number.isInteger(keepLast) || keepLast < 0)
    throw rangeError(`keepLast is a whole number from 0 up; got ${keepLast}`);
  const named =
    Array.isArray(keepLabels) && keepLabels.every((label: unknown) => typeof label === 'string');
  if (typeof keepLabels !== 'boolean' && !named)
    throw typeError('keepLabels is a boolean or a list of labels');
  const before = olderThan === undefined ? Infinity : olderThanOption(olderThan);
  return (fromEnd, { label, at }) => {
    if (fromEnd < Math.max(1, keepLast) || at >= before) return true;
    if (label === undefined || keepLabels === false) return false;
    return keepLabels === true || keepLabels.includes(label);
  };
}
