/** Holdfast itself, as a user has it: string keys, bytes, every commit durable. */
import { join } from 'node:path';

import { open } from '../index';
import type { Run } from '../run/types';
import type { Driver, OpenWish, Store } from './line';

const MIB = 2 ** 20;

async function openStore({ folder, medium, room }: OpenWish): Promise<Store> {
  const size = Math.ceil(Math.max(128 * MIB, room * 2) / MIB) * MIB;
  // A pool on persistent memory has a fixed size; one in a file grows.
  const pool = await open(join(folder, 'bench.holdfast'), medium === 'pmem' ? { medium, size } : { medium });
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
    get: (key) => space.get(key)?.length ?? 0,
    range(from, count) {
      let bytes = 0;
      for (const [key, value] of space.range({ gte: from, limit: count })) bytes += key.length + value.length;
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
      const { barriers, writes, bytesAppended, groups, logBytes, indexBytes } = pool.stats();
      return { barriers, writes, bytesAppended, groups, logBytes, indexBytes };
    },
    close: () => pool.close(),
  };
}

export const driver: Driver = { name: 'holdfast', open: openStore };
