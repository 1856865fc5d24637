/**
 * What tasks wrote, remembered by its objects: the checkpoint that takes them up shares their
 * nodes, so a message is stored once and not once as a task's write and once in the state. Long
 * texts are no objects, and are mostly handed on in other objects than they came in: they are known
 * by what they say, from the checkpoint or the write that stored them until the next checkpoint.
 *
 * Such a checkpoint is committed under the condition that the write is still there as it was, so
 * its nodes are not swept away.
 */
import { type Shadow } from '../../checkpoint/index';
import { Blob, hasNodes, OBJECT, Tree } from '../../checkpoint/shadow';
import { structured } from '../../codecs';
import { isConflict } from '../../errors';
import type { Batch, Keyspace, PoolCore } from '../../types';
import { isPlain } from '../../plain-data';
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
  readonly key: Texts;
  /** The write as it is stored. */
  readonly record: Uint8Array;
}

interface Known {
  readonly family: number;
  readonly stored: Tree | Blob;
  /** Without one it is stored with the checkpoint itself. */
  readonly place?: Place;
}

/** Of a checkpoint, and of what was written on it. */
export class LongTexts {
  /** That are kept in memory by being here, about. */
  bytes = 0;
  readonly #known = new Map<string, Known>();

  add(family: number, texts: readonly Blob[], place?: Place): void {
    for (const stored of texts) {
      this.#known.set(stored.text, { family, stored, place });
      if (place !== undefined) this.bytes += stored.length;
    }
  }

  get(text: string): Known | undefined {
    return this.#known.get(text);
  }

  clear(): void {
    this.#known.clear();
    this.bytes = 0;
  }
}

/**
 * Of a value that is to be stored, its objects that are not written whole into what holds them:
 * itself, the elements of a list, the fields of an object, and those of these.
 */
export function sharedOf(value: unknown, shadow: Shadow): Map<object, Tree | Blob> {
  const shared = new Map<object, Tree | Blob>();
  const add = (live: unknown, stored: Shadow, below: number): void => {
    if (typeof live !== 'object' || live === null || !hasNodes(stored)) return;
    if (stored instanceof Blob) shared.set(live, stored);
    if (!(stored instanceof Tree)) return;
    shared.set(live, stored);
    if (below === 0) return;
    const { items } = stored;
    if (Array.isArray(live))
      for (let at = 0; at < items.length; ++at) add(live[at], items[at], below - 1);
    else if (stored.shape === OBJECT && isPlain(live))
      for (let at = 0; at < items.length; at += 2)
        add(
          Object.getOwnPropertyDescriptor(live, String(items[at]))?.value,
          items[at + 1],
          below - 1,
        );
  };
  add(value, shadow, 2);
  return shared;
}

export class Written {
  readonly #writes: Keyspace<Texts, Uint8Array>;
  readonly #known = new WeakMap<object, Known>();

  constructor(pool: PoolCore) {
    this.#writes = pool.keyspace('holdfast.langgraph.writes', { key: textsCodec, value: 'bytes' });
  }

  /** Adds a write whose nodes are in the batch; gives where it lies. */
  add(
    batch: Batch,
    key: Texts,
    write: StoredWrite & { readonly family: number },
    shared: ReadonlyMap<object, Tree | Blob>,
  ): Place {
    const record = new Uint8Array(structured.encode(write) as Uint8Array);
    batch.put(this.#writes, key, record);
    const place = { key, record };
    const { family } = write;
    for (const [live, stored] of shared) this.#known.set(live, { family, stored, place });
    return place;
  }

  /**
   * For what is laid on a checkpoint of the family: what is known, its `texts` among it, and
   * whether a commit was refused because some of that is gone. Each object is known once.
   */
  of(
    family: number,
    batch: Batch,
    texts: LongTexts | undefined,
  ): {
    known: (live: object | string) => Tree | Blob | undefined;
    isGone: (error: unknown) => boolean;
  } {
    const used = new Set<Uint8Array>();
    const places: Place[] = [];
    const known = (live: object | string): Tree | Blob | undefined => {
      const found = typeof live === 'string' ? texts?.get(live) : this.#known.get(live);
      if (found?.family !== family) return undefined;
      if (typeof live !== 'string') this.#known.delete(live);
      const { place, stored } = found;
      if (place !== undefined && !used.has(place.record)) {
        used.add(place.record);
        places.push(place);
        batch.requireEqual(this.#writes, place.key, place.record);
      }
      return stored;
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
