/** What a commit costs, counted by the medium itself. */
import { afterEach, expect, test } from 'vitest';

import { openSync } from '../../lib/index';
import type { Holdfast, Keyspace } from '../../lib/index';
import { onEachMedium } from './support/media';

onEachMedium('counts', (place) => {
  let pool: Holdfast | undefined;
  afterEach(() => pool?.closeSync());

  /**
   * A pool where nothing waits: the keyspace is known and every eventual commit behind a barrier.
   */
  async function warm(): Promise<Keyspace<string, Uint8Array>> {
    pool = openSync(place.path(), place.options);
    const space = pool.keyspace<string, Uint8Array>('a', { value: 'bytes' });
    space.putSync('warm', Buffer.alloc(10));
    await pool.settled();
    return space;
  }

  async function costs(
    action: () => unknown,
  ): Promise<{ writes: number; barriers: number; bytes: number; groups: number }> {
    const before = pool!.stats();
    await action();
    const after = pool!.stats();
    return {
      writes: after.writes - before.writes,
      barriers: after.barriers - before.barriers,
      bytes: after.bytesAppended - before.bytesAppended,
      groups: after.groups - before.groups,
    };
  }

  test.each([64, 1024, 4096, 8000])(
    'a durable putSync of %i bytes is one write and one barrier',
    async (size) => {
      const space = await warm();
      const cost = await costs(() => space.putSync('k', Buffer.alloc(size)));
      expect(cost).toMatchObject({ barriers: 1 });
      if (place.medium === 'file') expect(cost.writes).toBe(1);
      expect(cost.bytes).toBeLessThan(size + 4096);
    },
  );

  test('a durable put that is awaited alone too', async () => {
    const space = await warm();
    expect(await costs(() => space.put('k', Buffer.alloc(64)))).toMatchObject({ barriers: 1 });
  });

  test.each([2, 30])('a batch of %i keys as well', async (keys) => {
    const space = await warm();
    const batch = pool!.batch();
    for (let i = 0; i < keys; ++i) batch.put(space, `k${i}`, Buffer.alloc(100));
    const cost = await costs(() => pool!.commitSync(batch));
    expect(cost.barriers).toBe(1);
    if (place.medium === 'file') expect(cost.writes).toBe(1);
  });

  test('64 puts of one turn share one barrier', async () => {
    const space = await warm();
    const all = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 64 }, (_, i) => space.put(`k${i}`, Buffer.alloc(100, i))));
    expect(await costs(all)).toMatchObject({ barriers: 1, groups: 1 });
    for (let i = 0; i < 64; ++i) expect(space.get(`k${i}`)![0]).toBe(i);
  });

  test('puts that follow others by different numbers of awaits still meet', async () => {
    const space = await warm();
    const late = async (hops: number): Promise<unknown> => {
      for (let i = 0; i < hops; ++i) await undefined;
      return space.put(`h${hops}`, Buffer.alloc(10));
    };
    const all = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 32 }, (_, hops) => late(hops)));
    expect(await costs(all)).toMatchObject({ barriers: 1 });
  });

  test('eventual commits wait for nothing; one barrier covers them', async () => {
    const space = await warm();
    const cost = await costs(async () => {
      for (let i = 0; i < 100; ++i)
        space.putSync(`e${i}`, Buffer.alloc(10), { durability: 'eventual' });
      await pool!.settled();
    });
    if (place.medium === 'file') expect(cost.barriers).toBeLessThan(5);
  });

  test('reading costs no write and no barrier', async () => {
    const space = await warm();
    const cost = await costs(() => {
      space.get('warm');
      space.get('none');
      pool!.snapshot().close();
      return [...space.range()];
    });
    expect(cost).toEqual({ writes: 0, barriers: 0, bytes: 0, groups: 0 });
  });
});
