/**
 * What tasks wrote, remembered by its objects: the checkpoint that takes them up shares their
 * nodes, so a message is stored once and not once as a task's write and once in the state.
 *
 * Such a checkpoint is committed under the condition that the write is still there as it was, so
 * its nodes are not swept away.
 */
import { type Shadow } from '../../checkpoint/index';
import { hasNodes, Tree } from '../../checkpoint/shadow';
import { structured } from '../../codecs';
import { isConflict } from '../../errors';
import type { Batch, Keyspace, PoolCore } from '../../types';
import { textsCodec, type Texts } from './keys';

/**
 * With its value, or where the nodes of that lie: then the checkpoint that takes the value up
 * shares them.
 */
export interface StoredWrite {
  readonly channel: string;
  /** Of the task: a step's writes are read in this order. Builds before this wrote none. */
  readonly path?: string;
  readonly value?: unknown;
  readonly family?: number;
  readonly root?: Uint8Array;
}

interface Place {
  readonly family: number;
  readonly key: Texts;
  /** The write as it is stored. */
  readonly record: Uint8Array;
}

interface Known extends Place {
  readonly tree: Tree;
}

/**
 * Of a value that is to be stored, its objects that are not written whole into what holds them:
 * itself, or the elements of a list.
 */
export function sharedOf(value: unknown, shadow: Shadow): Map<object, Tree> {
  const shared = new Map<object, Tree>();
  const add = (live: unknown, stored: Shadow): void => {
    if (typeof live === 'object' && live !== null && stored instanceof Tree && hasNodes(stored))
      shared.set(live, stored);
  };
  add(value, shadow);
  if (Array.isArray(value) && shadow instanceof Tree)
    for (const [at, item] of shadow.items.entries()) add(value[at], item);
  return shared;
}

export class Written {
  readonly #writes: Keyspace<Texts, Uint8Array>;
  readonly #known = new WeakMap<object, Known>();

  constructor(pool: PoolCore) {
    this.#writes = pool.keyspace('holdfast.langgraph.writes', { key: textsCodec, value: 'bytes' });
  }

  /** Adds a write whose nodes are in the batch. */
  add(
    batch: Batch,
    key: Texts,
    write: StoredWrite & { readonly family: number },
    shared: ReadonlyMap<object, Tree>,
  ): void {
    const record = new Uint8Array(structured.encode(write) as Uint8Array);
    batch.put(this.#writes, key, record);
    for (const [live, tree] of shared)
      this.#known.set(live, { family: write.family, key, record, tree });
  }

  /**
   * For a checkpoint of the family: what is known, and whether a commit was refused because some of
   * that is gone.
   */
  of(
    family: number,
    batch: Batch,
  ): { known: (live: object) => Tree | undefined; isGone: (error: unknown) => boolean } {
    const used = new Set<Uint8Array>();
    const places: Place[] = [];
    const known = (live: object): Tree | undefined => {
      const found = this.#known.get(live);
      if (found?.family !== family) return undefined;
      this.#known.delete(live);
      if (!used.has(found.record)) {
        used.add(found.record);
        places.push(found);
        batch.requireEqual(this.#writes, found.key, found.record);
      }
      return found.tree;
    };
    const isGone = (error: unknown): boolean =>
      isConflict(error) &&
      places.some(({ key, record }) => {
        const stored = this.#writes.get(key);
        return stored === undefined || Buffer.compare(stored, record) !== 0;
      });
    return { known, isGone };
  }
}
