/**
 * Holdfast itself, as a user has it: string keys, bytes, every commit durable. `holdfast` commits
 * with putSync where one commit is timed; `holdfast await` is the same without its synchronous
 * half; `holdfast getInto` reads into one buffer that it uses again, as lmdb does; `holdfast keys`
 * keeps an agent's messages as plain keys, which is all that the peers do, where `holdfast` makes
 * durable steps of them.
 */
import { join } from 'node:path';

import { open } from '../index';
import type { Run } from '../run/types';
import type { Driver, OpenWish, Store } from './line';

const MIB = 2 ** 20;

async function openStore(
  { folder, medium, room, fixedSize }: OpenWish,
  into?: Uint8Array,
): Promise<Store> {
  // A pool on persistent memory has a fixed size; one in a file grows.
  const size =
    fixedSize ??
    (medium === 'pmem' ? Math.ceil(Math.max(128 * MIB, room * 2) / MIB) * MIB : undefined);
  const pool = await open(join(folder, 'bench.holdfast'), { medium, size });
  const space = pool.keyspace<string, Uint8Array>('bench', { value: 'bytes' });
  let stateRun: Run<undefined, Record<string, string>> | undefined;
  const batchOf = (entries: readonly (readonly [string, Uint8Array])[]) => {
    const batch = pool.batch();
    for (const [key, value] of entries) batch.put(space, key, value);
    return batch;
  };
  return {
    facts: {
      medium: pool.medium,
      class: pool.durability.class,
      how: pool.medium === 'pmem' ? 'one sfence per commit' : 'one fdatasync per commit or group',
    },
    putSync: (key, value) => void space.putSync(key, value),
    put: (key, value) => space.put(key, value),
    batchSync: (entries) => void pool.commitSync(batchOf(entries)),
    batch: (entries) => pool.commit(batchOf(entries)),
    async load(entries) {
      let some: (readonly [string, Uint8Array])[] = [];
      for (const entry of entries) {
        some.push(entry);
        if (some.length < 1000) continue;
        await pool.commit(batchOf(some), { durability: 'eventual' });
        some = [];
      }
      if (some.length > 0) await pool.commit(batchOf(some));
      await pool.settled();
    },
    get:
      into === undefined
        ? (key) => space.get(key)?.length ?? 0
        : (key) => space.getInto(key, into) ?? 0,
    range(from, count) {
      let bytes = 0;
      for (const [key, value] of space.range({ gte: from, limit: count }))
        bytes += key.length + value.length;
      return bytes;
    },
    async agent() {
      const run = await pool.run<undefined, { messages: readonly string[] }>('agent');
      return {
        async step(_messages, message) {
          await run.step('say', () => message);
        },
        end: async () => run.close(),
      };
    },
    async saveState(state) {
      stateRun ??= await pool.run<undefined, Record<string, string>>('state');
      await stateRun.checkpoint(state);
    },
    counts() {
      const { barriers, writes, bytesAppended, groups, logBytes, indexBytes, openUs } =
        pool.stats();
      return { barriers, writes, bytesAppended, groups, logBytes, indexBytes, openUs };
    },
    liveShare() {
      const { liveBytes, capacityBytes } = pool.stats();
      return liveBytes / capacityBytes;
    },
    close: () => pool.close(),
  };
}

async function openAsync(wish: OpenWish): Promise<Store> {
  const { putSync: _, batchSync: __, ...rest } = await openStore(wish);
  return rest;
}

const openInto = (wish: OpenWish): Promise<Store> => openStore(wish, Buffer.alloc(64 * 1024));

async function openKeys(wish: OpenWish): Promise<Store> {
  const store = await openStore(wish);
  let at = 0;
  const step = async (_messages: readonly string[], message: string): Promise<void> => {
    store.putSync!(`m${at++}`, Buffer.from(message));
  };
  return { ...store, agent: async () => ({ step, end: async () => {} }) };
}

export const drivers: Readonly<Record<string, Driver>> = {
  holdfast: { name: 'holdfast', open: (wish) => openStore(wish) },
  'holdfast await': { name: 'holdfast await', open: openAsync },
  'holdfast getInto': { name: 'holdfast getInto', open: openInto },
  'holdfast keys': { name: 'holdfast keys', open: openKeys },
};
