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
import { booleanOption, optionsObject } from '../../options';
import type { Keyspace, PoolCore } from '../../types';
import { matchesFilter } from './filter';
import { mustBePool } from './given';
import { textsCodec, type Texts } from './keys';
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
    /** The same, as they are stored. */
    readonly #stored: Keyspace<Texts, Uint8Array>;
    readonly #livesMs: number;
    readonly #refresh: boolean;

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
          puts.set(keyOf(operation.namespace, operation.key).join('\0'), operation);
          results.push(undefined);
        } else if ('key' in operation) results.push(this.#get(operation, reads));
        else results.push(this.#listNamespaces(operation));
      }
      const putting = this.#put([...puts.values()]);
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

    async #put(puts: readonly PutOperation[]): Promise<void> {
      const now = Date.now();
      const expiresAt = this.#livesMs === Infinity ? undefined : now + this.#livesMs;
      const batch = this.#pool.batch();
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

    #get({ namespace, key }: GetOperation, reads: Reads): Item | null {
      const texts = keyOf(namespace, key);
      const bytes = this.#stored.get(texts);
      if (bytes === undefined) return null;
      const item = structured.decode(bytes) as StoredItem;
      if (isOver(item, Date.now())) return null;
      reads.set(texts.join('\0'), { texts, bytes, item });
      return itemOf(texts, item);
    }

    #search(operation: SearchOperation, reads: Reads): SearchItem[] {
      const { namespacePrefix, filter, limit = 10, offset = 0 } = operation;
      const now = Date.now();
      const found: SearchItem[] = [];
      let skip = offset;
      for (const [texts, bytes] of this.#stored.range(
        namespacePrefix.length > 0 ? { prefix: namespacePrefix } : {},
      )) {
        if (found.length >= limit) break;
        const item = structured.decode(bytes) as StoredItem;
        if (isOver(item, now) || (filter && !matchesFilter(item.value, filter))) continue;
        if (skip-- > 0) continue;
        reads.set(texts.join('\0'), { texts, bytes, item });
        found.push({ ...itemOf(texts, item), score: undefined });
      }
      return found;
    }

    #listNamespaces({
      matchConditions = [],
      maxDepth,
      limit,
      offset,
    }: ListNamespacesOperation): string[][] {
      const now = Date.now();
      const found = new Map<string, string[]>();
      for (const [texts, bytes] of this.#stored.range()) {
        const { namespace } = splitKey(texts);
        if (!matchConditions.every((condition) => fits(condition, namespace))) continue;
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

function fits({ matchType, path }: MatchCondition, namespace: readonly string[]): boolean {
  if (path.length > namespace.length) return false;
  const from = matchType === 'prefix' ? 0 : namespace.length - path.length;
  return path.every((label, at) => label === '*' || label === namespace[from + at]);
}
