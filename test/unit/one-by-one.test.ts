/**
 * Asynchronous commits that come one by one: on persistent memory they are made in their calls
 * (lib/committer.ts). Whoever awaits them must not be able to tell, but for the time: order,
 * rejections and what shares a barrier are as everywhere.
 */
import { expect, test } from 'vitest';

import { openSync } from '../../lib/index';
import type { Keyspace, Pool } from '../../lib/index';
import { onEachMedium } from './support/media';

const bytes = Buffer.alloc(100, 7);

onEachMedium('commits one by one', (place) => {
  async function withPool(
    use: (pool: Pool, space: Keyspace<string, Uint8Array>) => Promise<void>,
  ): Promise<void> {
    const pool = openSync(place.path(), place.options);
    const space = pool.keyspace<string, Uint8Array>('a', { value: 'bytes' });
    for (let i = 0; i < 3; ++i) await space.put('before', bytes);
    await use(pool, space);
    await pool.close();
  }

  test('are made in the order of their calls, with those that are not awaited and those that are synchronous', () =>
    withPool(async (pool, space) => {
      const first = await space.put('key', Buffer.from('0'));
      const epochs: Promise<number>[] = [];
      const note = async (commit: Promise<{ epoch: number }>): Promise<number> =>
        (await commit).epoch;
      for (let i = 1; i < 40; ++i) {
        const value = Buffer.from(String(i));
        if (i % 5 === 0) epochs.push(Promise.resolve(space.putSync('key', value).epoch));
        else if (i % 5 === 1) epochs.push(note(pool.commit(pool.batch().put(space, 'key', value))));
        else if (i % 5 === 2)
          epochs.push(note(space.put('key', value, { signal: new AbortController().signal })));
        else epochs.push(note(space.put('key', value)));
        if (i % 7 === 0) await epochs.at(-1);
      }
      expect(await Promise.all(epochs)).toEqual(
        Array.from({ length: 39 }, (_, i) => first.epoch + 1 + i),
      );
      expect(Buffer.from(space.get('key')!).toString()).toBe('39');
      expect((await space.delete('key')).epoch).toBe(first.epoch + 40);
      expect(space.has('key')).toBe(false);
    }));

  test('are durable when they are fulfilled', () =>
    withPool(async (pool, space) => {
      for (let i = 0; i < 20; ++i) {
        const { epoch, durability } = await space.put(`key-${i}`, bytes);
        expect(durability).toBe('durable');
        expect(pool.stats().durableEpoch).toBeGreaterThanOrEqual(epoch);
      }
    }));

  test('are rejected and do not throw, and the next one is made all the same', () =>
    withPool(async (pool, space) => {
      for (let i = 0; i < 20; ++i) {
        await space.put('key', bytes);
        const refused = pool.commit(
          pool.batch().requireAbsent(space, 'key').put(space, 'other', bytes),
        );
        await expect(refused).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CONFLICT' });
        const tooLong = space.put('k'.repeat(2000), bytes);
        await expect(tooLong).rejects.toMatchObject({ code: 'ERR_HOLDFAST_KEY_SIZE' });
      }
      expect(space.has('other')).toBe(false);
      await space.put('key', bytes);
      const closing = pool.close();
      const late = space.put('key', bytes);
      await expect(late).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CLOSED' });
      await closing;
    }));

  test('that become many share a barrier a turn again', () =>
    withPool(async (pool, space) => {
      const many = (): Promise<unknown> =>
        Promise.all(Array.from({ length: 64 }, (_, i) => space.put(`key-${i}`, bytes)));
      for (let i = 0; i < 20; ++i) await space.put('key', bytes);
      await many();
      const before = pool.stats().barriers;
      for (let turn = 0; turn < 3; ++turn) await many();
      expect(pool.stats().barriers - before).toBe(3);
    }));

  test('and checkpoints of a run: in order, beside one another too; what is refused is rejected; the event loop has its other phases', () =>
    withPool(async (pool) => {
      const run = await pool.run<unknown, { i: number }>('run');
      let phases = 0;
      let going = true;
      const count = (): void => {
        ++phases;
        if (going) setImmediate(count);
      };
      setImmediate(count);
      const saved: { epoch: number; checkpoint: string }[] = [];
      for (let i = 0; i < 200; ++i) {
        saved.push(await run.checkpoint({ i }));
        expect(run.state).toEqual({ i });
      }
      going = false;
      expect(phases).toBeGreaterThan(pool.medium === 'file' ? 30 : 1);
      saved.push(
        ...(await Promise.all(
          Array.from({ length: 20 }, (_, i) => run.checkpoint({ i: 200 + i })),
        )),
      );
      saved.forEach(({ epoch, checkpoint }, i) => {
        expect(run.at(checkpoint)).toEqual({ i });
        if (i > 0) expect(epoch).toBeGreaterThan(saved[i - 1]!.epoch);
      });
      expect([...run.history()].map(({ id }) => id)).toEqual(
        saved.map(({ checkpoint }) => checkpoint),
      );
      const refused = run.checkpoint(() => 'a function' as unknown);
      await expect(refused).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CODEC' });
      run.close();
      const late = run.checkpoint({ i: 0 });
      await expect(late).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CLOSED' });
    }));

  test.each([1, 8])('leave the event loop its other phases, %i in flight', (inFlight) =>
    withPool(async (pool, space) => {
      let phases = 0;
      let going = true;
      const count = (): void => {
        ++phases;
        if (going) setImmediate(count);
      };
      setImmediate(count);
      for (let i = 0; i < 300; ++i)
        await Promise.all(Array.from({ length: inFlight }, () => space.put('key', bytes)));
      going = false;
      // A turn on a disk takes as long as its barrier.
      expect(phases).toBeGreaterThan(pool.medium === 'file' ? 50 : 2);
    }),
  );
});
