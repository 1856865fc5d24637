/**
 * Removing checkpoints, and with them the nodes that none of their family needs any more.
 *
 * Safe to repeat; a crash leaves some of it undone. Whatever is removed is removed under the
 * condition that nobody has forked from the family, or left it, since it was looked at.
 */
import { isConflict, rangeError, typeError } from '../errors';
import { olderThanOption, optionsObject } from '../options';
import { type Change, type Guard, Slices } from '../slices';
import type { Keyspace, PoolCore, Snapshot } from '../types';
import type { Families, Family } from './families';
import type { PartStore } from './parts';
import { checkOwner, type CheckpointRecord, type RecordKey, recordsOf } from './records';

/** Which checkpoints are removed. */
export interface PruneOptions {
  /** How many of the newest stay. Default and minimum: 1. */
  keepLast?: number | undefined;
  /** `true` (default): all with a label stay. A list: those with these labels. `false`: none. */
  keepLabels?: boolean | readonly string[] | undefined;
  /** Only those saved before this Date, or longer ago than so many milliseconds, are removed. */
  olderThan?: Date | number | undefined;
}

/** Whose checkpoints are removed; `guards` are conditions for that. */
export interface Dropped {
  readonly owner: string;
  readonly family: Family;
  readonly guards: readonly Guard[];
}

/** What pruning did. */
export interface PruneReport {
  readonly removed: number;
  readonly kept: number;
  /** Bytes that only the removed states held, counted as in `CheckpointInfo.bytes`. */
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
   * Removes owners with all their checkpoints. Their forks keep theirs. `gone` is called as soon as
   * one has none. Refused if somebody forked meanwhile: then it is to be asked for again.
   */
  async drop(owners: readonly Dropped[], gone: (owner: string) => void): Promise<void> {
    const slices = new Slices(this.#pool);
    const families = new Map<number, Map<string, Guard>>();
    for (const { owner, family, guards } of owners) {
      for (const key of this.#records.keys(recordsOf(owner))) {
        slices.under(family.unchanged, ...guards).delete(this.#records, key);
        await slices.cut();
      }
      const leaving = families.get(family.number) ?? new Map<string, Guard>();
      families.set(family.number, leaving);
      leaving.set(owner, (batch) => guards.forEach((guard) => guard(batch)));
    }
    await slices.end();
    for (const { owner } of owners) gone(owner);
    for (const [family, leaving] of families) {
      const all = new Set(leaving.keys());
      if (this.#families.isOf(family, all)) await this.#parts.drop(family);
      else await this.#sweep(family);
      // Last, so that a crash leaves owners that can be dropped again.
      this.#families.leave(slices.under(...leaving.values()), all, family);
      await slices.end();
    }
  }

  /**
   * Of an owner that alone is its family: what removes it with all its checkpoints, to be put into
   * commits of the caller's own in this order. Whichever of these a crash leaves undone can be
   * asked for again.
   */
  *dropping(owner: string, family: number): IterableIterator<Change> {
    for (const key of this.#records.keys(recordsOf(owner)))
      yield (batch) => void batch.delete(this.#records, key);
    yield* this.#parts.dropping(family);
    yield (batch) => this.#families.leave(batch, new Set([owner]), family);
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
