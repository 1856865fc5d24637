/**
 * LangGraph's long-term store on a pool: items under hierarchical namespaces.
 *
 * One `batch` call is one commit: all its puts and deletes are visible together, durably, or none is. Reads of the same call see
 * the state before it. Items that have outlived their time are not seen, and are removed by `sweep`.
 */
import { HoldfastError, typeError } from '../../errors';
import type { Keyspace, PoolCore } from '../../types';
import { matchesFilter } from './filter';
import { textsCodec, type Texts } from './keys';
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
import { plain } from './values';

export interface StoreOptions {
  ttl?: {
    /** Minutes an item lives after it was put. Default: for ever. */
    defaultTtl?: number;
    /** Does reading an item give it its time again? Default true. */
    refreshOnRead?: boolean;
  };
}

interface StoredItem {
  readonly value: Record<string, unknown>;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt?: number;
}

export interface HoldfastStore extends Store {
  /** Removes items that have outlived their time; gives their number. */
  sweep(): Promise<number>;
}

export type HoldfastStoreClass = new (pool: PoolCore, options?: StoreOptions) => HoldfastStore;

// An item's key lies behind an empty text, which no label of a namespace is: so a namespace's own items are told from those of
// namespaces below it, and all of them lie together.
const end = '';

function keyOf(namespace: readonly string[], key: string): Texts {
  return [...namespace, end, key];
}

function splitKey(texts: Texts): { namespace: string[]; key: string } {
  const at = texts.lastIndexOf(end, texts.length - 2);
  return { namespace: texts.slice(0, at), key: texts[at + 1]! };
}

export function makeStore({ checkpoint }: LangGraphModules): HoldfastStoreClass {
  return class HoldfastStore extends checkpoint.BaseStore implements Store {
    readonly #pool: PoolCore;
    readonly #items: Keyspace<Texts, StoredItem>;
    readonly #livesMs: number;
    readonly #refresh: boolean;

    constructor(pool: PoolCore, { ttl }: StoreOptions = {}) {
      super();
      const minutes = ttl?.defaultTtl ?? Infinity;
      if (typeof minutes !== 'number' || !(minutes > 0)) throw typeError('ttl.defaultTtl is a number of minutes above 0');
      this.#pool = pool;
      this.#items = pool.keyspace('holdfast.langgraph.store', { key: textsCodec });
      this.#livesMs = minutes * 60_000;
      this.#refresh = ttl?.refreshOnRead ?? true;
    }

    async batch(operations: StoreOperation[]): Promise<unknown[]> {
      const results: unknown[] = [];
      const puts = new Map<string, PutOperation>();
      const read = new Map<string, readonly [Texts, StoredItem]>();
      for (const operation of operations) {
        if ('namespacePrefix' in operation) results.push(this.#search(operation, read));
        else if ('value' in operation) {
          // Of several puts to one item the last counts.
          puts.set(JSON.stringify([operation.namespace, operation.key]), operation);
          results.push(undefined);
        } else if ('key' in operation) results.push(this.#get(operation, read));
        else results.push(this.#listNamespaces(operation));
      }
      await this.#commit([...puts.values()], read);
      return results;
    }

    async sweep(): Promise<number> {
      const now = Date.now();
      let swept = 0;
      const batch = this.#pool.batch();
      for (const [key, item] of this.#items.range()) {
        if (!isOver(item, now)) continue;
        batch.requireEqual(this.#items, key, item).delete(this.#items, key);
        try {
          await this.#pool.commit(batch);
          ++swept;
        } catch (error) {
          // One that was put again, or deleted, meanwhile is not swept.
          if (!(error instanceof HoldfastError) || error.code !== 'ERR_HOLDFAST_CONFLICT') throw error;
        }
      }
      return swept;
    }

    async #commit(puts: PutOperation[], read: ReadonlyMap<string, readonly [Texts, StoredItem]>): Promise<void> {
      const now = Date.now();
      const expiresAt = this.#livesMs === Infinity ? undefined : now + this.#livesMs;
      const batch = this.#pool.batch();
      if (expiresAt !== undefined && this.#refresh) {
        for (const [texts, item] of read.values()) batch.put(this.#items, texts, { ...item, expiresAt });
      }
      for (const { namespace, key, value } of puts) {
        const texts = keyOf(namespace, key);
        if (value === null) batch.delete(this.#items, texts);
        else {
          const old = this.#items.get(texts);
          const createdAt = old === undefined || isOver(old, now) ? now : old.createdAt;
          batch.put(this.#items, texts, {
            value: plain(value) as Record<string, unknown>,
            createdAt,
            updatedAt: now,
            ...(expiresAt === undefined ? {} : { expiresAt }),
          });
        }
      }
      if (batch.length > 0) await this.#pool.commit(batch);
    }

    #get({ namespace, key }: GetOperation, read: Map<string, readonly [Texts, StoredItem]>): Item | null {
      const texts = keyOf(namespace, key);
      const item = this.#items.get(texts);
      if (item === undefined || isOver(item, Date.now())) return null;
      read.set(texts.join('\0'), [texts, item]);
      return itemOf(texts, item);
    }

    #search(operation: SearchOperation, read: Map<string, readonly [Texts, StoredItem]>): SearchItem[] {
      const { namespacePrefix, filter, limit = 10, offset = 0 } = operation;
      const now = Date.now();
      const found: SearchItem[] = [];
      let skip = offset;
      for (const [texts, item] of this.#items.range(namespacePrefix.length > 0 ? { prefix: namespacePrefix } : {})) {
        if (found.length >= limit) break;
        if (isOver(item, now) || (filter && !matchesFilter(item.value, filter))) continue;
        if (skip-- > 0) continue;
        read.set(texts.join('\0'), [texts, item]);
        found.push({ ...itemOf(texts, item), score: undefined });
      }
      return found;
    }

    #listNamespaces({ matchConditions = [], maxDepth, limit, offset }: ListNamespacesOperation): string[][] {
      const now = Date.now();
      const found = new Map<string, string[]>();
      for (const [texts, item] of this.#items.range()) {
        if (isOver(item, now)) continue;
        const { namespace } = splitKey(texts);
        if (!matchConditions.every((condition) => fits(condition, namespace))) continue;
        const cut = maxDepth === undefined ? namespace : namespace.slice(0, maxDepth);
        found.set(cut.join('\0'), cut);
      }
      const from = offset ?? 0;
      return [...found.values()].slice(from, from + (limit ?? found.size));
    }
  };
}

function isOver(item: StoredItem, now: number): boolean {
  return item.expiresAt !== undefined && item.expiresAt <= now;
}

function itemOf(texts: Texts, item: StoredItem): Item {
  const { namespace, key } = splitKey(texts);
  return { value: item.value, key, namespace, createdAt: new Date(item.createdAt), updatedAt: new Date(item.updatedAt) };
}

function fits({ matchType, path }: MatchCondition, namespace: readonly string[]): boolean {
  if (path.length > namespace.length) return false;
  const from = matchType === 'prefix' ? 0 : namespace.length - path.length;
  return path.every((label, at) => label === '*' || label === namespace[from + at]);
}
