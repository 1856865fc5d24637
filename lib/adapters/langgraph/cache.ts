/**
 * LangGraph's cache of node results on a pool. Entries are eventual: after a crash the last few may
 * be computed again.
 */
import { Slices } from '../../slices';
import type { Keyspace, PoolCore } from '../../types';
import { mustBePool, serializerOption } from './given';
import { textsCodec, type Texts } from './keys';
import { isOver, type Mortal, sweep } from './sweep';
import type { Cache, CacheKey, LangGraphModules, Serializer } from './types';

interface Entry extends Mortal {
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface HoldfastCache extends Cache {
  /** Removes entries that have outlived their time; gives their number. */
  sweep(): Promise<number>;
}

export type HoldfastCacheClass = new (pool: PoolCore, serde?: Serializer) => HoldfastCache;

// An entry's key lies behind an empty text, as in the store.
function keyOf([namespace, key]: CacheKey): Texts {
  return [...namespace, '', key];
}

export function makeCache({ checkpoint }: LangGraphModules): HoldfastCacheClass {
  return class HoldfastCache extends checkpoint.BaseCache implements HoldfastCache {
    readonly #pool: PoolCore;
    readonly #entries: Keyspace<Texts, Entry>;
    readonly #stored: Keyspace<Texts, Uint8Array>;

    constructor(pool: PoolCore, serde?: Serializer) {
      super(serializerOption(serde));
      this.#pool = mustBePool(pool, 'new HoldfastCache(pool)');
      this.#entries = pool.keyspace('holdfast.langgraph.cache', { key: textsCodec });
      this.#stored = pool.keyspace('holdfast.langgraph.cache', { key: textsCodec, value: 'bytes' });
    }

    async get(keys: CacheKey[]): Promise<{ key: CacheKey; value: unknown }[]> {
      const found: { key: CacheKey; value: unknown }[] = [];
      for (const key of keys) {
        const entry = this.#entries.get(keyOf(key));
        if (entry === undefined || isOver(entry, Date.now())) continue;
        found.push({ key, value: await this.serde.loadsTyped(entry.type, entry.bytes) });
      }
      return found;
    }

    async set(pairs: { key: CacheKey; value: unknown; ttl?: number }[]): Promise<void> {
      const batch = this.#pool.batch();
      for (const { key, value, ttl } of pairs) {
        const [type, bytes] = await this.serde.dumpsTyped(value);
        // LangGraph counts a cache's time in seconds.
        const expires =
          ttl === undefined || ttl === null ? {} : { expiresAt: Date.now() + ttl * 1000 };
        batch.put(this.#entries, keyOf(key), { type, bytes, ...expires });
      }
      if (batch.length > 0) await this.#pool.commit(batch, { durability: 'eventual' });
    }

    async clear(namespaces: string[][]): Promise<void> {
      const slices = new Slices(this.#pool);
      const remove = async (range: { prefix?: Texts }, length?: number): Promise<void> => {
        for (const key of this.#entries.keys(range)) {
          // Behind the same texts also lie namespaces that go on with an empty label.
          if (length !== undefined && key.length !== length) continue;
          slices.batch.delete(this.#entries, key);
          await slices.cut();
        }
      };
      if (namespaces.length === 0) await remove({});
      for (const namespace of namespaces)
        await remove({ prefix: [...namespace, ''] }, namespace.length + 2);
      await slices.end();
    }

    sweep(): Promise<number> {
      return sweep(this.#pool, this.#stored);
    }
  };
}
