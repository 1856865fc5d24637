/**
 * Where LangGraph's checkpoints lie in a pool.
 *
 * A checkpoint is one commit: its record, and the nodes of its channels' values that are not stored yet (lib/checkpoint). All
 * checkpoints of a thread, in all its namespaces, may share nodes: a thread is a family. A crash leaves a checkpoint whole or
 * absent; deleting a thread is several commits, and one cut short is finished by deleting again.
 */
import { compare, PartStore, revive, type Shadow } from '../../checkpoint/index';
import { forgetRuns } from '../../run/index';
import type { Batch, Keyspace, PoolCore } from '../../types';
import { runsOf, textsCodec, type Texts } from './keys';
import { comparing } from './values';

export interface StoredCheckpoint {
  readonly family: number;
  readonly parent: string | undefined;
  /** Without instances. */
  readonly metadata: unknown;
  readonly root: Uint8Array;
}

export interface StoredWrite {
  readonly channel: string;
  readonly value: unknown;
}

/** The checkpoint of a thread's namespace that was last saved or loaded here: the next is laid on it. */
interface Line {
  readonly id: string;
  readonly family: number;
  readonly root: Uint8Array;
  readonly shadow: Shadow;
}

const rememberedLines = 128;
const sliceOperations = 2048;

export class Threads {
  readonly records: Keyspace<Texts, StoredCheckpoint>;
  readonly writes: Keyspace<Texts, StoredWrite>;
  readonly #families: Keyspace<string, number | bigint>;
  readonly #parts: PartStore;
  readonly #lines = new Map<string, Line>();
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
    this.writes = pool.keyspace('holdfast.langgraph.writes', { key: textsCodec });
    this.#families = pool.keyspace('holdfast.langgraph.threads', { value: 'uint64' });
  }

  async save(
    key: readonly [thread: string, namespace: string, id: string],
    parent: string | undefined,
    metadata: unknown,
    state: unknown,
  ): Promise<void> {
    const [thread, namespace, id] = key;
    const batch = this.pool.batch();
    const family = this.#family(thread, batch);
    const base = this.#base(thread, namespace, parent, family);
    const shadow = compare(base?.shadow, base !== undefined, state, comparing);
    const { root } = this.#parts.write(batch, family, shadow);
    batch.put(this.records, key, { family, parent, metadata, root });
    await this.pool.commit(batch);
    this.#issued.delete(thread);
    this.#remember(thread, namespace, { id, family, root, shadow });
  }

  /** A fresh value of what was saved. */
  load(key: readonly [thread: string, namespace: string, id: string], record: StoredCheckpoint): unknown {
    const [thread, namespace, id] = key;
    const { family, root } = record;
    const line = this.#lines.get(lineName(thread, namespace));
    // What was saved here last need not be read again: only what the pool says of it.
    if (line?.id === id && line.family === family && Buffer.compare(line.root, root) === 0) return revive(line.shadow);
    const shadow = this.#parts.read(family, root);
    if (line === undefined) this.#remember(thread, namespace, { id, family, root, shadow });
    return revive(shadow);
  }

  /** The newest checkpoint's id. */
  newest(thread: string, namespace: string): string | undefined {
    for (const [, , id] of this.records.keys({ prefix: [thread, namespace], reverse: true, limit: 1 })) return id;
    return undefined;
  }

  async delete(thread: string): Promise<void> {
    const families = new Set<number>();
    const family = this.#families.get(thread) ?? this.#issued.get(thread);
    if (family !== undefined) families.add(Number(family));
    for (const name of [...this.#lines.keys()]) if (name.startsWith(`${thread}\0`)) this.#lines.delete(name);
    this.#issued.delete(thread);
    for (const record of this.records.values({ prefix: [thread] })) families.add(record.family);
    // The pages come last but one: a record without its pages is never seen.
    await this.#deleteAll(this.records, [thread]);
    await this.#deleteAll(this.writes, [thread]);
    await forgetRuns(this.pool, runsOf(thread));
    for (const each of families) await this.#parts.drop(each);
    if (this.#families.has(thread)) await this.#families.delete(thread);
  }

  /** The thread's family. A put is refused when the thread is deleted meanwhile. */
  #family(thread: string, batch: Batch): number {
    const stored = this.#families.get(thread);
    if (stored !== undefined) {
      batch.requireEqual(this.#families, thread, stored);
      return Number(stored);
    }
    const family = this.#issued.get(thread) ?? this.#parts.number();
    this.#issued.set(thread, family);
    batch.put(this.#families, thread, family);
    return family;
  }

  #base(thread: string, namespace: string, parent: string | undefined, family: number): Line | undefined {
    const line = this.#lines.get(lineName(thread, namespace));
    const usable = line !== undefined && line.family === family;
    if (usable && (parent === undefined || parent === line.id)) return line;
    const record = parent === undefined ? undefined : this.records.get([thread, namespace, parent]);
    if (record === undefined || record.family !== family) return usable ? line : undefined;
    return { id: parent!, family, root: record.root, shadow: this.#parts.read(family, record.root) };
  }

  #remember(thread: string, namespace: string, line: Line): void {
    const name = lineName(thread, namespace);
    this.#lines.delete(name);
    this.#lines.set(name, line);
    if (this.#lines.size > rememberedLines) this.#lines.delete(this.#lines.keys().next().value!);
  }

  async #deleteAll<V>(keyspace: Keyspace<Texts, V>, prefix: Texts): Promise<void> {
    let batch = this.pool.batch();
    for (const key of keyspace.keys({ prefix })) {
      batch.delete(keyspace, key);
      if (batch.length < sliceOperations) continue;
      await this.pool.commit(batch);
      batch = this.pool.batch();
    }
    if (batch.length > 0) await this.pool.commit(batch);
  }
}

function lineName(thread: string, namespace: string): string {
  return `${thread}\0${namespace}`;
}
