/**
 * Where LangGraph's checkpoints lie in a pool.
 *
 * A checkpoint is one commit: its record, and the nodes of its channels' values that are not stored
 * yet (lib/checkpoint). All checkpoints of a thread, in all its namespaces, may share nodes: a
 * thread is a family. A crash leaves a checkpoint whole or absent; deleting and pruning a thread
 * are several commits, and one cut short is finished by doing it again.
 *
 * A checkpoint shares nodes with the one it is laid on, so it is committed under the condition that
 * this one is still there: what it needs is then never swept away, whoever prunes at the same time.
 *
 * Who deletes a thread first gives up its family, in one commit; what is put from then on is in
 * another. A put that was on its way in the old one, of another handle of the pool, is refused and
 * made again. Until its nodes are gone the family stands under the thread's name and its number, so
 * that a deletion that was cut short is finished by the next.
 */
import {
  compare,
  type Making,
  type Parts,
  PartStore,
  type PruneReport,
  revive,
  type Shadow,
} from '../../checkpoint/index';
import { type Blob, hasNodes, type Tree } from '../../checkpoint/shadow';
import { structured } from '../../codecs';
import { isConflict } from '../../errors';
import { forgetOwned } from '../../run/index';
import { Slices } from '../../slices';
import type { Batch, Keyspace, PoolCore, RangeOptions } from '../../types';
import { Arrivals } from './arrivals';
import { indexText, runsOf, textsCodec, type Texts } from './keys';
import { type Line, Lines } from './lines';
import { type Candidate, keptOf, type PruneRule } from './prune';
import { inputOf, isSend, livesOf, Passed } from './sends';
import type { Checkpoint } from './types';
import { Turns } from './turns';
import { comparing, plain } from './values';
import { LongTexts, sharedOf, type StoredWrite, Written } from './written';

export interface StoredCheckpoint {
  readonly family: number;
  readonly parent: string | undefined;
  /** Without instances. */
  readonly metadata: unknown;
  readonly root: Uint8Array;
}

/** Who writes. */
export interface Task {
  readonly id: string;
  /** Where it stands among the tasks of its step, if that is known. */
  readonly path: string | undefined;
}

/** A write that is not stored yet. */
export interface NewWrite {
  readonly index: number;
  readonly channel: string;
  readonly value: unknown;
  /** The value is stored as it is. */
  readonly encoded: boolean;
}

interface Family {
  readonly family: number;
  /** The commit makes it the thread's. */
  readonly isNew: boolean;
}

type Key = readonly [thread: string, namespace: string, id: string];

export class Threads {
  readonly records: Keyspace<Texts, StoredCheckpoint>;
  readonly writes: Keyspace<Texts, StoredWrite>;
  readonly arrivals = new Arrivals();
  /** Of durable tools, by the id of their runs. */
  readonly calls = new Turns();
  /** The records as they are stored. */
  readonly #stored: Keyspace<Texts, Uint8Array>;
  readonly #families: Keyspace<string, number | bigint>;
  readonly #parts: PartStore;
  readonly #lines = new Lines();
  readonly #written: Written;
  readonly #turns = new Turns();
  /** Of threads whose first checkpoint is on its way. */
  readonly #issued = new Map<string, number>();

  static readonly #ofPool = new WeakMap<PoolCore, Threads>();

  static of(pool: PoolCore): Threads {
    let threads = Threads.#ofPool.get(pool);
    if (threads === undefined) Threads.#ofPool.set(pool, (threads = new Threads(pool)));
    return threads;
  }

  private constructor(readonly pool: PoolCore) {
    this.#parts = PartStore.of(pool);
    this.records = pool.keyspace('holdfast.langgraph.checkpoints', { key: textsCodec });
    this.#stored = pool.keyspace('holdfast.langgraph.checkpoints', {
      key: textsCodec,
      value: 'bytes',
    });
    this.writes = pool.keyspace('holdfast.langgraph.writes', { key: textsCodec });
    this.#written = new Written(pool);
    this.#families = pool.keyspace('holdfast.langgraph.threads', { value: 'uint64' });
  }

  /** Looks at the state before it first waits. */
  async save(
    key: Key,
    parent: string | undefined,
    metadata: unknown,
    state: unknown,
  ): Promise<void> {
    const [thread] = key;
    const deletion = this.#turns.deletionOf(thread);
    if (deletion === undefined)
      return this.#turns.during(thread, () => this.#save(key, parent, metadata, state));
    const now = plain(state);
    await deletion;
    return this.save(key, parent, metadata, now);
  }

  async #save(
    key: Key,
    parent: string | undefined,
    metadata: unknown,
    state: unknown,
  ): Promise<void> {
    const [thread, namespace, id] = key;
    const batch = this.pool.batch();
    const its = this.#family(thread, batch);
    const { family } = its;
    const base = this.#base(thread, namespace, parent, family);
    const written = this.#written.of(family, batch, base?.texts);
    const shadow = compare(base?.shadow, base !== undefined, state, {
      ...comparing,
      known: written.known,
    });
    const lives = livesOf(state);
    const stored = this.#parts.write(batch, family, shadow);
    const root = Buffer.from(stored.root);
    const texts = this.#lines.textsOf(thread, namespace, id) ?? new LongTexts();
    texts.add(family, stored.texts);
    const record = new Uint8Array(
      structured.encode({ family, parent, metadata, root }) as Uint8Array,
    );
    batch.put(this.#stored, key, record);
    // The very one: another of its id may have been saved since, and what only this one held be
    // swept away.
    if (base !== undefined)
      batch.requireEqual(this.#stored, [thread, namespace, base.id], base.record);
    // What is written on it comes before it is durable, and is laid on it under that condition.
    const former = this.#lines.get(thread, namespace);
    this.#lines.set(thread, namespace, { id, record, family, root, shadow, lives, texts });
    try {
      await this.pool.commit(batch);
    } catch (error) {
      if (this.#lines.get(thread, namespace)?.record === record) {
        this.#lines.delete(thread, namespace);
        if (former !== undefined) this.#lines.set(thread, namespace, former);
      }
      base?.texts?.clear();
      const isGone =
        written.isGone(error) ||
        (base !== undefined && this.#isPruned(thread, namespace, base, error));
      if (!this.#isOver(thread, its, error) && !isGone) throw error;
      // As it was when it was looked at: the caller may have changed it meanwhile.
      return this.#save(key, parent, metadata, revive(shadow));
    }
    this.#issued.delete(thread);
  }

  /** Was a commit refused because what it was laid on is gone? Then that is forgotten. */
  #isPruned(thread: string, namespace: string, { id, record }: Line, error: unknown): boolean {
    if (!isConflict(error)) return false;
    const stored = this.#stored.get([thread, namespace, id]);
    if (stored !== undefined && Buffer.compare(stored, record) === 0) return false;
    if (this.#lines.get(thread, namespace)?.record === record)
      this.#lines.delete(thread, namespace);
    return true;
  }

  /** Looks at the values before it first waits. */
  async write(key: Key, task: Task, writes: readonly NewWrite[]): Promise<void> {
    const [thread] = key;
    const deletion = this.#turns.deletionOf(thread);
    if (deletion === undefined)
      return this.#turns.during(thread, () => this.#write(key, task, writes));
    const now = writes.map((write) =>
      write.encoded ? write : { ...write, value: plain(write.value) },
    );
    await deletion;
    return this.write(key, task, now);
  }

  async #write(key: Key, task: Task, writes: readonly NewWrite[], shares = true): Promise<void> {
    const [thread, namespace, id] = key;
    const newest = this.#lines.get(thread, namespace);
    const line = newest?.id === id ? newest : undefined;
    // A `Send` passes on most of the state that the task was given.
    const passed = !shares
      ? new Passed()
      : new Passed(
          line?.shadow,
          writes.some(({ value }) => isSend(value)) ? line?.lives : inputOf(line?.lives),
        );
    const placed = task.path === undefined ? {} : { path: task.path };
    const batch = this.pool.batch();
    const texts = this.#lines.textsOf(thread, namespace, id) ?? new LongTexts();
    const written = this.#written.of(newest?.family ?? 0, batch, shares ? texts : undefined);
    const known = (live: object | string): Tree | Blob | undefined => {
      if (typeof live !== 'string') return passed.find(live);
      const text = written.known(live);
      if (text !== undefined) passed.isShared = true;
      return text;
    };
    const added: Parameters<LongTexts['add']>[] = [];
    let its: Family | undefined;
    // As they were when they were looked at.
    const again: NewWrite[] = [];
    for (const write of writes) {
      const { index, channel, value, encoded } = write;
      const at = [...key, task.id, indexText(index)];
      // A task's writes stay as they were first; only errors, interrupts and such are replaced.
      if (index >= 0 && this.writes.has(at)) continue;
      if (encoded) {
        batch.put(this.writes, at, { channel, value, ...placed });
        again.push(write);
        continue;
      }
      const isPlaced = index >= 0;
      const options = isPlaced ? { ...comparing, known } : comparing;
      const shadow = compare(undefined, false, value, options);
      again.push({ ...write, value: shadow });
      if (!isPlaced || !hasNodes(shadow)) {
        batch.put(this.writes, at, { channel, value: revive(shadow), ...placed });
        continue;
      }
      its ??= this.#family(thread, batch);
      const { family } = its;
      const stored = this.#parts.write(batch, family, shadow);
      const made = { channel, family, root: stored.root, ...placed };
      added.push([
        family,
        stored.texts,
        this.#written.add(batch, at, made, sharedOf(value, shadow)),
      ]);
      if (isSend(value)) passed.add(value, shadow);
    }
    if (batch.length === 0) return;
    // What it shares with the checkpoint is swept away when that goes.
    if (passed.isShared) {
      if (its === undefined || its.family !== newest!.family)
        return this.#write(key, task, writes, false);
      if (line !== undefined) batch.requireEqual(this.#stored, key, line.record);
    }
    if (newest !== undefined && added.some(([, stored]) => stored.length > 0)) {
      for (const each of added) texts.add(...each);
      if (line === undefined) newest.other = { id, texts };
      this.#lines.set(thread, namespace, newest);
    }
    try {
      await this.pool.commit(batch);
    } catch (error) {
      texts.clear();
      const isGone =
        written.isGone(error) ||
        (passed.isShared && line !== undefined && this.#isPruned(thread, namespace, line, error));
      if (its === undefined || !(this.#isOver(thread, its, error) || isGone)) throw error;
      return this.#write(
        key,
        task,
        again.map((write) =>
          write.encoded ? write : { ...write, value: revive(write.value as Shadow) },
        ),
        false,
      );
    }
    if (its !== undefined) this.#issued.delete(thread);
  }

  /**
   * What the tasks of a step wrote, by their paths, those without one first; then by their ids, and
   * in the order of each task's writes.
   */
  writesOf(key: Key): [task: string, write: StoredWrite][] {
    const found: [task: string, write: StoredWrite][] = [];
    for (const [[, , , task], write] of this.writes.range({ prefix: key }))
      found.push([task!, write]);
    return found.sort(([, a], [, b]) => compareText(a.path ?? '', b.path ?? ''));
  }

  /** A fresh value of what a task wrote. */
  valueOf({ value, family, root }: StoredWrite, making: Making, parts: Parts): unknown {
    return root === undefined ? value : revive(parts.read(family!, root), making);
  }

  /** For `valueOf` and `load`: of many checkpoints it reads once what they share. */
  reader(): Parts {
    return this.#parts.reader();
  }

  /** A fresh value of what was saved. */
  load(key: Key, record: StoredCheckpoint, making: Making, parts: Parts): unknown {
    const [thread, namespace, id] = key;
    const { family, root } = record;
    const line = this.#lines.get(thread, namespace);
    // What was saved here last need not be read again: only what the pool says of it.
    if (line?.id === id && line.family === family && Buffer.compare(line.root, root) === 0)
      return revive(line.shadow, making);
    const shadow = parts.read(family, root);
    if (line === undefined) {
      const stored = this.#stored.get(key);
      const isIt =
        stored !== undefined &&
        Buffer.compare((structured.decode(stored) as StoredCheckpoint).root, root) === 0;
      if (isIt) this.#lines.set(thread, namespace, { id, record: stored, family, root, shadow });
    }
    return revive(shadow, making);
  }

  /** Another one as soon as the thread is being deleted; undefined before its first checkpoint. */
  familyOf(thread: string): number | undefined {
    const family = this.#families.get(thread);
    return family === undefined ? undefined : Number(family);
  }

  /** The newest checkpoint's id. */
  newest(thread: string, namespace: string): string | undefined {
    for (const [, , id] of this.records.keys({
      prefix: [thread, namespace],
      reverse: true,
      limit: 1,
    }))
      return id;
    return undefined;
  }

  /** All checkpoints of a namespace, or those before one of that id. */
  newestFirst(thread: string, namespace: string, before: string | undefined): Generator<Key> {
    const lt = before === undefined ? undefined : [thread, namespace, before];
    return this.#keys({ prefix: [thread, namespace], reverse: true, lt });
  }

  /**
   * A few at a time: mostly no more are asked for, and whoever takes long over them holds nothing.
   */
  *#keys(range: RangeOptions<Texts>): Generator<Key> {
    let behind: RangeOptions<Texts> = {};
    for (let limit = 32; ; limit = Math.min(2 * limit, 1024)) {
      const keys = [...this.records.keys({ ...range, ...behind, limit })] as unknown as Key[];
      yield* keys;
      const last = keys.at(-1);
      if (keys.length < limit || last === undefined) return;
      behind = range.reverse ? { lt: last } : { gt: last };
    }
  }

  /**
   * Of one thread, or of all, one after the other: those that are asked for, of all its namespaces
   * together. No more keys are held than a thread has.
   */
  *newestOfEach(
    thread: string | undefined,
    isAsked: (key: Key) => boolean,
  ): Generator<Key, void, undefined> {
    let its: Key[] = [];
    let of: string | undefined;
    for (const key of this.#keys({ prefix: thread === undefined ? undefined : [thread] })) {
      if (key[0] !== of) {
        yield* byNewest(its);
        its = [];
        of = key[0];
      }
      if (isAsked(key)) its.push(key);
    }
    yield* byNewest(its);
  }

  delete(thread: string): Promise<void> {
    return this.#turns.alone(thread, () => this.#delete(thread));
  }

  async #delete(thread: string): Promise<void> {
    await this.#giveUp(thread);
    const families = new Set<number>();
    for (const name of this.#families.keys({ prefix: `${thread}\0` }))
      families.add(Number(name.slice(thread.length + 1)));
    this.#lines.deleteThread(thread);
    this.#issued.delete(thread);
    const snapshot = this.pool.snapshot();
    try {
      // What others put meanwhile is in this one.
      const newer = Number(this.#families.get(thread, { snapshot }) ?? -1);
      const spared = new Set<string>();
      const slices = new Slices(this.pool);
      // The pages come last but one: a record without its pages is never seen.
      for (const [key, { family }] of this.records.range({ prefix: [thread], snapshot })) {
        if (family === newer) spared.add(key.join('\0'));
        else slices.batch.delete(this.records, key);
        families.add(family);
        await slices.cut();
      }
      await slices.end();
      for (const [key, { family }] of this.writes.range({ prefix: [thread], snapshot })) {
        if (family === newer || (family === undefined && spared.has(key.slice(0, 3).join('\0'))))
          continue;
        slices.batch.delete(this.writes, key);
        if (family !== undefined) families.add(family);
        await slices.cut();
      }
      await slices.end();
      families.delete(newer);
    } finally {
      snapshot.close();
    }
    await forgetOwned(this.pool, runsOf(thread));
    for (const each of families) await this.#parts.drop(each);
    const batch = this.pool.batch();
    for (const each of families) batch.delete(this.#families, givenUp(thread, each));
    if (batch.length > 0) await this.pool.commit(batch);
  }

  async #giveUp(thread: string): Promise<void> {
    for (
      let stored = this.#families.get(thread);
      stored !== undefined;
      stored = this.#families.get(thread)
    ) {
      const batch = this.pool.batch().requireEqual(this.#families, thread, stored);
      try {
        await this.pool.commit(
          batch
            .delete(this.#families, thread)
            .put(this.#families, givenUp(thread, Number(stored)), stored),
        );
        return;
      } catch (error) {
        // Somebody else gave it up at the same time.
        if (!isConflict(error)) throw error;
      }
    }
  }

  /** Removes checkpoints with their writes, and the nodes that no other needs. */
  async prune(thread: string, rule: PruneRule): Promise<PruneReport> {
    for (
      let deletion = this.#turns.deletionOf(thread);
      deletion !== undefined;
      deletion = this.#turns.deletionOf(thread)
    )
      await deletion;
    for (;;) {
      const family = this.#families.get(thread);
      try {
        return await this.#turns.during(thread, () => this.#prune(thread, rule));
      } catch (error) {
        // Another handle deleted the thread meanwhile.
        if (!isConflict(error) || this.#families.get(thread) === family) throw error;
      }
    }
  }

  async #prune(thread: string, rule: PruneRule): Promise<PruneReport> {
    const stored = this.#families.get(thread);
    if (stored === undefined) return { removed: 0, kept: 0, freedBytes: 0 };
    const all: Candidate[] = [];
    const parts = this.reader();
    for (const [texts, record] of this.records.range({ prefix: [thread] })) {
      const [, namespace, id] = texts as unknown as [string, string, string];
      const { parent, metadata } = record;
      const checkpoint = (): Checkpoint =>
        revive(parts.read(record.family, record.root)) as Checkpoint;
      all.push({ namespace, id, parent, metadata, checkpoint, rootBytes: record.root.length });
    }
    const kept = keptOf(all, rule);
    const guard = (batch: Batch): unknown => batch.requireEqual(this.#families, thread, stored);
    const slices = new Slices(this.pool, guard);
    let rootBytes = 0;
    // Those of subgraphs first, since only a caller that is there tells that they go with it.
    for (const each of all.reverse()) {
      if (kept.has(each)) continue;
      rootBytes += each.rootBytes;
      const key = [thread, each.namespace, each.id];
      if (this.#lines.get(thread, each.namespace)?.id === each.id)
        this.#lines.delete(thread, each.namespace);
      slices.batch.delete(this.records, key);
      for (const write of this.writes.keys({ prefix: key }))
        slices.batch.delete(this.writes, write);
      await slices.cut();
    }
    await slices.end();
    const freedBytes = rootBytes + (await this.#sweep(thread, Number(stored), guard));
    return { removed: all.length - kept.size, kept: kept.size, freedBytes };
  }

  async #sweep(thread: string, family: number, guard: (batch: Batch) => void): Promise<number> {
    const snapshot = this.pool.snapshot();
    try {
      const roots: Uint8Array[] = [];
      for (const record of this.records.values({ prefix: [thread], snapshot }))
        if (record.family === family) roots.push(record.root);
      for (const { root, family: its } of this.writes.values({ prefix: [thread], snapshot }))
        if (its === family) roots.push(root!);
      const { freed } = await this.#parts.sweep(family, roots, snapshot, guard);
      return freed;
    } finally {
      snapshot.close();
    }
  }

  /**
   * The thread's family. A put is refused when that was given up meanwhile, or another handle gave
   * the thread its first.
   */
  #family(thread: string, batch: Batch): Family {
    const stored = this.#families.get(thread);
    if (stored !== undefined) {
      batch.requireEqual(this.#families, thread, stored);
      return { family: Number(stored), isNew: false };
    }
    const coming = this.#issued.get(thread);
    if (coming !== undefined) {
      batch.requireEqual(this.#families, thread, coming);
      return { family: coming, isNew: false };
    }
    const family = this.#parts.number();
    this.#issued.set(thread, family);
    batch
      .requireAbsent(this.#families, thread)
      .requireAbsent(this.#families, givenUp(thread, family))
      .put(this.#families, thread, family);
    return { family, isNew: true };
  }

  /** Was a commit refused because this is no longer the thread's family, or not yet known to be? */
  #isOver(thread: string, { family, isNew }: Family, error: unknown): boolean {
    if (!isConflict(error)) return false;
    const stored = this.#families.get(thread);
    if (this.#issued.get(thread) === family) this.#issued.delete(thread);
    return isNew || stored === undefined || Number(stored) !== family;
  }

  #base(
    thread: string,
    namespace: string,
    parent: string | undefined,
    family: number,
  ): Line | undefined {
    const line = this.#lines.get(thread, namespace);
    const usable = line !== undefined && line.family === family;
    if (usable && (parent === undefined || parent === line.id)) return line;
    const stored = parent === undefined ? undefined : this.#stored.get([thread, namespace, parent]);
    if (stored === undefined) return usable ? line : undefined;
    const { family: itsFamily, root } = structured.decode(stored) as StoredCheckpoint;
    if (itsFamily !== family) return usable ? line : undefined;
    const texts = this.#lines.textsOf(thread, namespace, parent!);
    const shadow = this.#parts.read(family, root);
    return { id: parent!, record: stored, family, root, shadow, texts };
  }
}

function byNewest(keys: Key[]): Key[] {
  return keys.sort(([, , a], [, , b]) => (a < b ? 1 : a > b ? -1 : 0));
}

/** By their characters' numbers, as keys are. */
function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Where a family stands that is being deleted: no thread's name holds a zero character. */
function givenUp(thread: string, family: number): string {
  return `${thread}\0${family}`;
}
