/**
 * LangGraph's long-term store on a pool: items under hierarchical namespaces.
 *
 * One `batch` call is one commit: all its puts and deletes are visible together, durably, or none
 * is. Reads of the same call see the state before it. Items that have outlived their time are not
 * seen, and are removed by `sweep`.
 *
 * A read that gives an item its time again changes it only if it is as it was read: what is put or
 * deleted meanwhile stays so. That is an eventual commit; lost in a crash, the item has the time it
 * had before.
 */
import { structured } from '../../codecs';
import { typeError } from '../../errors';
import { booleanOption, optionsObject, shown } from '../../options';
import type { Batch, Keyspace, PoolCore } from '../../types';
import { matchesFilter } from './filter';
import { mustBePool } from './given';
import { textsCodec, type Texts } from './keys';
import { explainedItem } from './refusals';
import { isOver, type Mortal, sweep } from './sweep';
import type {
  GetOperation,
  Item,
  LangGraphModules,
  ListNamespacesOperation,
  MatchCondition,
  PutOperation,
  SearchItem,
  SearchOperation,
  Store,
  StoreOperation,
} from './types';
import { changeUnchanged, type Stored } from './unchanged';
import { plain } from './values';

/** How items of a store expire. */
export interface StoreOptions {
  /** Default: items stay for ever. */
  ttl?:
    | {
        /** Minutes an item lives after it was put. Default: for ever. */
        defaultTtl?: number | undefined;
        /** Does reading an item give it its time again? Default true. */
        refreshOnRead?: boolean | undefined;
      }
    | undefined;
}

interface StoredItem extends Mortal {
  readonly value: Record<string, unknown>;
  readonly createdAt: number;
  readonly updatedAt: number;
}

interface Read extends Stored {
  readonly item: StoredItem;
}

/** What was read, by key. */
type Reads = Map<string, Read>;

export interface HoldfastStore extends Store {
  /** Removes items that have outlived their time; gives their number. */
  sweep(): Promise<number>;
}

export type HoldfastStoreClass = new (pool: PoolCore, options?: StoreOptions) => HoldfastStore;

// An item's key lies behind an empty text, which no label of a namespace is: so a namespace's own
// items are told from those of namespaces below it, and all of them lie together.
const end = '';

function keyOf({ namespace, key }: GetOperation): Texts {
  return [...labelsOf('a namespace', namespace), end, key];
}

/** A text would be taken for a list of its characters. */
function labelsOf(what: string, labels: readonly string[]): readonly string[] {
  if (Array.isArray(labels)) return labels;
  throw typeError(`HoldfastStore: ${what} is a list of texts, not ${shown(labels)}`);
}

function splitKey(texts: Texts): { namespace: string[]; key: string } {
  const at = texts.lastIndexOf(end, texts.length - 2);
  return { namespace: texts.slice(0, at), key: texts[at + 1]! };
}

export function makeStore({ checkpoint }: LangGraphModules): HoldfastStoreClass {
  return class HoldfastStore extends checkpoint.BaseStore implements Store {
    readonly #pool: PoolCore;
    readonly #items: Keyspace<Texts, StoredItem>;
    /** The same, as they are stored. */
    readonly #stored: Keyspace<Texts, Uint8Array>;
    readonly #livesMs: number;
    readonly #refresh: boolean;
    /** Of items whose puts and deletes are under way, which no read sees yet. */
    readonly #created = new Map<string, { at: number | undefined }>();

    constructor(pool: PoolCore, options?: StoreOptions) {
      super();
      const { ttl } = optionsObject(options, 'HoldfastStore', ['ttl']);
      const { defaultTtl: minutes = Infinity, refreshOnRead = true } = optionsObject(ttl, 'ttl', [
        'defaultTtl',
        'refreshOnRead',
      ]);
      if (typeof minutes !== 'number' || !(minutes > 0))
        throw typeError('ttl.defaultTtl is a number of minutes above 0');
      this.#pool = mustBePool(pool, 'new HoldfastStore(pool)');
      this.#items = pool.keyspace('holdfast.langgraph.store', { key: textsCodec });
      this.#stored = pool.keyspace('holdfast.langgraph.store', { key: textsCodec, value: 'bytes' });
      this.#livesMs = minutes * 60_000;
      this.#refresh =
        booleanOption('ttl.refreshOnRead', refreshOnRead) && minutes !== Infinity && !pool.readOnly;
    }

    async batch(operations: StoreOperation[]): Promise<unknown[]> {
      const results: unknown[] = [];
      const puts = new Map<string, PutOperation>();
      const reads: Reads = new Map();
      for (const operation of operations) {
        if ('namespacePrefix' in operation) results.push(this.#search(operation, reads));
        else if ('value' in operation) {
          // Of several puts to one item the last counts.
          puts.set(keyOf(operation).join('\0'), operation);
          results.push(null);
        } else if ('namespace' in operation) results.push(this.#get(operation, reads));
        else results.push(this.#listNamespaces(operation));
      }
      const putting = this.#put(puts);
      for (const name of puts.keys()) reads.delete(name);
      await Promise.all([putting, this.#giveTime([...reads.values()])]);
      return results;
    }

    sweep(): Promise<number> {
      return sweep(this.#pool, this.#stored);
    }

    async #giveTime(reads: readonly Read[]): Promise<void> {
      if (!this.#refresh) return;
      const expiresAt = Date.now() + this.#livesMs;
      await changeUnchanged(
        this.#pool,
        this.#stored,
        reads,
        (batch, { texts, item }) => batch.put(this.#items, texts, { ...item, expiresAt }),
        { durability: 'eventual' },
      );
    }

    async #put(puts: ReadonlyMap<string, PutOperation>): Promise<void> {
      const now = Date.now();
      const batch = this.#pool.batch();
      const created = new Map<string, { at: number | undefined }>();
      for (const [name, operation] of puts) {
        try {
          created.set(name, { at: this.#add(batch, name, operation, now) });
        } catch (error) {
          throw explainedItem(error, operation);
        }
      }
      if (batch.length === 0) return;
      for (const [name, its] of created) this.#created.set(name, its);
      try {
        await this.#pool.commit(batch);
      } finally {
        for (const [name, its] of created)
          if (this.#created.get(name) === its) this.#created.delete(name);
      }
    }

    /** Gives when the item was made; undefined where there is none from now on. */
    #add(batch: Batch, name: string, operation: PutOperation, now: number): number | undefined {
      const texts = keyOf(operation);
      if (operation.value === null) {
        batch.delete(this.#items, texts);
        return undefined;
      }
      const createdAt = this.#createdAt(name, texts, now) ?? now;
      batch.put(this.#items, texts, {
        value: plain(operation.value) as Record<string, unknown>,
        createdAt,
        updatedAt: now,
        ...(this.#livesMs === Infinity ? {} : { expiresAt: now + this.#livesMs }),
      });
      return createdAt;
    }

    #createdAt(name: string, texts: Texts, now: number): number | undefined {
      const underWay = this.#created.get(name);
      if (underWay !== undefined) return underWay.at;
      const old = this.#items.get(texts);
      return old === undefined || isOver(old, now) ? undefined : old.createdAt;
    }

    #get(operation: GetOperation, reads: Reads): Item | null {
      const texts = keyOf(operation);
      const bytes = this.#stored.get(texts);
      if (bytes === undefined) return null;
      const item = structured.decode(bytes) as StoredItem;
      if (isOver(item, Date.now())) return null;
      reads.set(texts.join('\0'), { texts, bytes, item });
      return itemOf(texts, item);
    }

    #search(operation: SearchOperation, reads: Reads): SearchItem[] {
      const { filter, limit, offset } = operation;
      const prefix = labelsOf('a namespacePrefix', operation.namespacePrefix);
      const now = Date.now();
      const found: SearchItem[] = [];
      let skip = offset ?? 0;
      for (const [texts, bytes] of this.#stored.range(prefix.length > 0 ? { prefix } : {})) {
        if (found.length >= (limit ?? 10)) break;
        const item = structured.decode(bytes) as StoredItem;
        if (isOver(item, now) || (filter && !matchesFilter(item.value, filter))) continue;
        if (skip-- > 0) continue;
        reads.set(texts.join('\0'), { texts, bytes, item });
        found.push({ ...itemOf(texts, item), score: undefined });
      }
      return found;
    }

    #listNamespaces({
      matchConditions,
      maxDepth,
      limit,
      offset,
    }: ListNamespacesOperation): string[][] {
      const now = Date.now();
      const conditions = matchConditions ?? [];
      for (const { matchType, path } of conditions) {
        labelsOf(`the path of a ${shown(matchType)} condition`, path);
        if (matchType !== 'prefix' && matchType !== 'suffix')
          throw typeError(`HoldfastStore: matchType is prefix or suffix, not ${shown(matchType)}`);
      }
      const found = new Map<string, string[]>();
      const prefix = prefixOf(conditions);
      for (const [texts, bytes] of this.#stored.range(prefix.length > 0 ? { prefix } : {})) {
        const { namespace } = splitKey(texts);
        if (!conditions.every((condition) => fits(condition, namespace))) continue;
        const cut = maxDepth === undefined ? namespace : namespace.slice(0, maxDepth);
        const name = cut.join('\0');
        if (!found.has(name) && !isOver(structured.decode(bytes) as Mortal, now))
          found.set(name, cut);
      }
      const from = offset ?? 0;
      return [...found.values()].slice(from, from + (limit ?? found.size));
    }
  };
}

function itemOf(texts: Texts, item: StoredItem): Item {
  const { namespace, key } = splitKey(texts);
  return {
    value: item.value,
    key,
    namespace,
    createdAt: new Date(item.createdAt),
    updatedAt: new Date(item.updatedAt),
  };
}

/** The labels that all namespaces that fit begin with, as far as they are known. */
function prefixOf(conditions: readonly MatchCondition[]): readonly string[] {
  let longest: readonly string[] = [];
  for (const { matchType, path } of conditions) {
    if (matchType !== 'prefix') continue;
    const any = path.indexOf('*');
    const labels = any < 0 ? path : path.slice(0, any);
    if (labels.length > longest.length) longest = labels;
  }
  return longest;
}

function fits({ matchType, path }: MatchCondition, namespace: readonly string[]): boolean {
  if (path.length > namespace.length) return false;
  const from = matchType === 'prefix' ? 0 : namespace.length - path.length;
  return path.every((label, at) => label === '*' || label === namespace[from + at]);
}
