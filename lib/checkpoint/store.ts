/**
 * Checkpoints: saved values whose cost follows what changed.
 *
 * `save` adds to the caller's batch, so that a checkpoint becomes visible with whatever else the
 * caller commits, or not at all; a crash leaves the checkpoint whole or absent. It builds on the
 * newest checkpoint that is committed, and the batch holds the condition that this is still there:
 * if it was pruned meanwhile the commit is refused (`ERR_HOLDFAST_CONFLICT`).
 *
 * One owner is to be driven by one thread at a time: of two that save at once one is refused with
 * the same code.
 */
import { PoolBatch } from '../batch';
import { HoldfastError } from '../errors';
import { optionsObject } from '../options';
import type { Change } from '../slices';
import type { Batch, Keyspace, PoolCore, Snapshot } from '../types';
import { compare } from './compare';
import { differences, type Difference } from './diff';
import { Families, type Family } from './families';
import { PartStore } from './parts';
import { type Dropped, type PruneOptions, type PruneReport, Pruning } from './pruning';
import {
  checkLabel,
  checkOwner,
  type CheckpointRecord,
  encodeRecord,
  idOf,
  keyOf,
  numbered,
  recordCodec,
  recordKeyCodec,
  type RecordKey,
  recordsOf,
} from './records';
import { revive } from './revive';
import type { Shadow } from './shadow';

/** A checkpoint in a run's history. */
export interface CheckpointInfo {
  /** Such as 'run/trip-42@3': for `at`, `diff`, `fork` and `restore`. */
  readonly id: string;
  /** Whose it is: 'run/' and the run's id. */
  readonly owner: string;
  /** Rises with each checkpoint of the owner; not always by one. */
  readonly sequence: number;
  readonly label: string | undefined;
  /** Id of the checkpoint it was made from. It may have been pruned since. */
  readonly parent: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
  /**
   * Bytes of the state that saving it wrote: all of a small one, otherwise what changed and
   * references to the rest.
   */
  readonly bytes: number;
}

export interface SaveOptions {
  label?: string | undefined;
  /** Default: the owner's newest checkpoint. */
  parent?: string | undefined;
  /**
   * Objects are never changed in place: those seen before are known by identity and not looked
   * into.
   */
  immutable?: boolean | undefined;
}

/** What is known of an owner between two saves. */
interface Line {
  readonly family: number;
  /** Is the owner's family written down? */
  known: boolean;
  /** Was it told that the checkpoint `next - 1` is committed? */
  committed: boolean;
  /** The stored checkpoint that the next is built on. -1: none. */
  base: number;
  next: number;
  /** Of the checkpoint `next - 1`: it is built on once that is found stored. */
  shadow: Shadow;
  hasShadow: boolean;
  /** Its key and record, as they were put into its batch; the next one's are written over them. */
  stored: { readonly key: Buffer; record: Uint8Array } | undefined;
}

const rememberedLines = 64;

export class CheckpointStore {
  readonly #parts: PartStore;
  readonly #records: Keyspace<RecordKey, CheckpointRecord>;
  /** The same, for keys and records that are encoded already. */
  readonly #encoded: Keyspace<Uint8Array, Uint8Array>;
  readonly #families: Families;
  readonly #pruning: Pruning;
  readonly #lines = new Map<string, Line>();

  static readonly #ofPool = new WeakMap<PoolCore, CheckpointStore>();

  static of(pool: PoolCore): CheckpointStore {
    let store = CheckpointStore.#ofPool.get(pool);
    if (store === undefined) CheckpointStore.#ofPool.set(pool, (store = new CheckpointStore(pool)));
    return store;
  }

  constructor(readonly pool: PoolCore) {
    this.#parts = PartStore.of(pool);
    this.#records = pool.keyspace('holdfast.checkpoints', {
      key: recordKeyCodec,
      value: recordCodec,
    });
    this.#encoded = pool.keyspace('holdfast.checkpoints', { key: 'bytes', value: 'bytes' });
    this.#families = new Families(pool);
    this.#pruning = new Pruning(pool, this.#records, this.#parts, this.#families);
  }

  /** Adds a checkpoint of `value` to `batch`; it is there once the batch is committed. */
  save(batch: Batch, owner: string, value: unknown, options: SaveOptions = {}): CheckpointInfo {
    if (!this.#lines.has(owner)) checkOwner(owner);
    checkLabel(options.label);
    const line = this.#line(owner);
    const base = line.base < 0 ? undefined : line.base;
    // Refused when it was pruned since. First of all: a getter in the value may save, too.
    if (base !== undefined)
      batch.requireEqual(this.#encoded, line.stored!.key, line.stored!.record);
    const shadow = compare(
      line.hasShadow ? line.shadow : undefined,
      line.hasShadow,
      value,
      options,
    );
    const { root, bytes } = this.#parts.write(batch, line.family, shadow);
    const key = { owner, sequence: line.next };
    const parent = options.parent ?? base;
    const info = this.#add(batch, line, key, { root, bytes, label: options.label, parent });
    line.shadow = shadow;
    line.hasShadow = true;
    return info;
  }

  /**
   * The batch that `info` came with is committed: the next save need not look whether it is. Should
   * it have been removed since, that save's commit is refused, as it is when it is removed a moment
   * later.
   */
  committed({ owner, sequence }: CheckpointInfo): void {
    const line = this.#lines.get(owner);
    if (line !== undefined && line.next === sequence + 1) line.committed = true;
  }

  /** A value equal to what was saved; the caller's own. */
  load(id: string, options: { snapshot?: Snapshot | undefined } = {}): unknown {
    return revive(this.#shadowOf(keyOf(id), options.snapshot));
  }

  info(id: string): CheckpointInfo | undefined {
    const key = keyOf(id);
    const record = this.#records.get(key);
    return record && infoOf(key, record);
  }

  /** The owner's newest checkpoint. */
  newest(owner: string): CheckpointInfo | undefined {
    for (const info of this.history(owner, { reverse: true, limit: 1 })) return info;
    return undefined;
  }

  /** In the order they were saved. */
  *history(
    owner: string,
    options?: { reverse?: boolean | undefined; limit?: number | undefined },
  ): IterableIterator<CheckpointInfo> {
    checkOwner(owner);
    const { reverse, limit } = optionsObject(options, 'history', ['reverse', 'limit']);
    for (const [key, record] of this.#records.range({ ...recordsOf(owner), reverse, limit }))
      yield infoOf(key, record);
  }

  diff(before: string, after: string): Difference[] {
    return differences(this.#shadowOf(keyOf(before)), this.#shadowOf(keyOf(after)));
  }

  /**
   * Begins a new owner with this checkpoint. Everything is shared; nothing is copied. Without a
   * batch it commits itself.
   */
  fork(from: string, newOwner: string, given?: Batch): CheckpointInfo {
    checkOwner(newOwner);
    const origin = keyOf(from);
    const record = this.#recordOf(origin);
    const batch = given ?? this.pool.batch();
    const line: Line = { ...noLine, family: record.family };
    this.#families.requireNone(batch, newOwner).requirePresent(this.#records, origin);
    const key = { owner: newOwner, sequence: 0 };
    const info = this.#add(batch, line, key, {
      root: record.root,
      bytes: 0,
      label: record.label,
      parent: from,
    });
    if (given === undefined) this.pool.commitSync(batch);
    return info;
  }

  /**
   * Makes this checkpoint its owner's newest again, as a new checkpoint that shares everything with
   * it.
   */
  restore(id: string, given?: Batch): { info: CheckpointInfo; value: unknown } {
    const key = keyOf(id);
    const record = this.#recordOf(key);
    const shadow = this.#parts.read(record.family, record.root);
    const batch = given ?? this.pool.batch();
    const line = this.#line(key.owner);
    batch.requirePresent(this.#records, key);
    const next = { owner: key.owner, sequence: line.next };
    const info = this.#add(batch, line, next, {
      root: record.root,
      bytes: 0,
      label: undefined,
      parent: key.sequence,
    });
    line.shadow = shadow;
    line.hasShadow = true;
    if (given === undefined) this.pool.commitSync(batch);
    return { info, value: revive(shadow) };
  }

  /**
   * Removes checkpoints, and the nodes no checkpoint of the family needs. Safe to repeat; a crash
   * leaves some of it undone.
   */
  prune(owner: string, options: PruneOptions = {}): Promise<PruneReport> {
    return this.#pruning.prune(owner, options);
  }

  /** Of an owner's family the number; undefined: it has no checkpoint. */
  familyOf(owner: string): number | undefined {
    checkOwner(owner);
    return this.#families.of(owner);
  }

  /** The owners that were forked from each other. */
  family(number: number): Family {
    return this.#families.family(number);
  }

  /** Removes owners with all their checkpoints. Their forks keep theirs. See `Pruning.drop`. */
  drop(owners: readonly Dropped[]): Promise<void> {
    return this.#pruning.drop(owners, (owner) => this.#lines.delete(owner));
  }

  /** The same of an owner that alone is its family, for the caller's commits. */
  dropping(owner: string, family: number): IterableIterator<Change> {
    return this.#pruning.dropping(owner, family);
  }

  /** Adds a checkpoint whose nodes are stored, or in the batch. */
  #add(
    batch: Batch,
    line: Line,
    key: RecordKey,
    parts: Pick<CheckpointRecord, 'root' | 'bytes' | 'label' | 'parent'>,
  ): CheckpointInfo {
    if (!line.known) this.#families.join(batch, key.owner, line.family);
    const { root, bytes, label, parent } = parts;
    const record: CheckpointRecord = {
      family: line.family,
      at: Date.now(),
      bytes,
      label,
      parent,
      root,
    };
    line.committed = false;
    if (line.stored === undefined)
      line.stored = { key: recordKeyCodec.encode(key) as Buffer, record: encodeRecord(record) };
    else {
      numbered(line.stored.key, key.sequence);
      line.stored.record = encodeRecord(record, line.stored.record);
    }
    // Refused when another thread was first with its number.
    PoolBatch.putNew(batch, this.#encoded, line.stored.key, line.stored.record);
    line.next = key.sequence + 1;
    return infoOf(key, record);
  }

  /** The owner's line, standing on the newest checkpoint that is stored. */
  #line(owner: string): Line {
    const line = this.#lines.get(owner);
    if (line !== undefined) {
      const built = line.next - 1;
      if (line.stored !== undefined && (line.committed || this.#encoded.has(line.stored.key))) {
        line.base = built;
        line.known = true;
        return line;
      }
    }
    return this.#freshLine(owner, line);
  }

  #freshLine(owner: string, old: Line | undefined): Line {
    const family = this.#families.of(owner);
    const line: Line = {
      ...noLine,
      family: family ?? old?.family ?? this.#parts.number(),
      known: family !== undefined,
      next: old?.next ?? 0,
    };
    const { gte, lte } = recordsOf(owner);
    const range = {
      gte: recordKeyCodec.encode(gte!) as Uint8Array,
      lte: recordKeyCodec.encode(lte!) as Uint8Array,
      reverse: true,
      limit: 1,
    };
    // As it is stored, which an earlier build may have written otherwise than this one would.
    for (const [storedKey, storedRecord] of this.#encoded.range(range)) {
      const { sequence } = recordKeyCodec.decode(storedKey);
      const record = recordCodec.decode(storedRecord);
      line.base = sequence;
      line.next = Math.max(line.next, sequence + 1);
      line.shadow = this.#parts.read(record.family, record.root);
      line.hasShadow = true;
      line.stored = { key: Buffer.from(storedKey), record: storedRecord };
    }
    this.#lines.delete(owner);
    this.#lines.set(owner, line);
    if (this.#lines.size > rememberedLines) this.#lines.delete(this.#lines.keys().next().value!);
    return line;
  }

  #shadowOf(key: RecordKey, snapshot?: Snapshot): Shadow {
    const record = this.#recordOf(key, snapshot);
    return this.#parts.read(record.family, record.root, snapshot);
  }

  #recordOf(key: RecordKey, snapshot?: Snapshot): CheckpointRecord {
    const record = this.#records.get(key, { snapshot });
    if (record !== undefined) return record;
    throw new HoldfastError(
      'ERR_HOLDFAST_NOT_FOUND',
      `There is no checkpoint ${JSON.stringify(idOf(key))}: it was pruned, or never committed. history() tells which there are`,
    );
  }
}

const noLine: Line = {
  family: 0,
  known: false,
  committed: false,
  base: -1,
  next: 0,
  shadow: undefined,
  hasShadow: false,
  stored: undefined,
};

function infoOf(
  key: RecordKey,
  { label, parent, at, bytes, root }: CheckpointRecord,
): CheckpointInfo {
  const from = typeof parent === 'number' ? idOf({ owner: key.owner, sequence: parent }) : parent;
  return {
    id: idOf(key),
    owner: key.owner,
    sequence: key.sequence,
    label,
    parent: from,
    at,
    bytes: bytes + root.length,
  };
}
