/**
 * Runs in a pool that is full for a while: a commit that was refused changes nothing, and what it
 * would have said is said by the next one that is not.
 */
import { beforeEach, describe, expect, test } from 'vitest';

import { Journals } from '../../lib/run/journals';
import { open, type Holdfast, type Run } from '../../lib/index';
import { all, busy, never, rejects, runsBench } from './support/runs';

const bench = runsBench('full');
let pool: Holdfast;
let path = '';

beforeEach(async () => {
  path = `${bench.path}-small`;
  pool = await open(path, { medium: 'file', size: 1 << 20 });
  return () => pool.close();
});

const fillerOf = (pool: Holdfast) => pool.keyspace('filler', { value: 'bytes' });

/** Until not even the smallest commit finds room. */
async function fill(): Promise<void> {
  const filler = fillerOf(pool);
  let key = 0;
  for (const size of [100_000, 10_000, 1000, 100, 10, 0])
    try {
      for (;;) await filler.put(`${++key}`, new Uint8Array(size), { durability: 'eventual' });
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_HOLDFAST_POOL_FULL' });
    }
}

async function makeRoom(): Promise<void> {
  const filler = fillerOf(pool);
  for (const key of [...filler.keys()]) await filler.delete(key);
  await pool.compact();
}

describe('a run that went on behind a commit that was refused', () => {
  test('is claimed, though what said that it waits no longer found no room', async () => {
    const run = await pool.run('r');
    const end = new AbortController();
    const waiting = run.signal('answer', { signal: end.signal });
    await expect.poll(() => pool.runInfo('r')?.status).toBe('waiting');
    await fill();
    end.abort();
    await rejects(waiting, 'ERR_HOLDFAST_ABORTED');
    expect(pool.runInfo('r')?.status).toBe('waiting');
    await makeRoom();
    await run.step('go on', () => 1);
    expect(pool.runInfo('r')).toMatchObject({ status: 'running', waits: [] });
    // As if the process had been killed.
    await pool.close();
    pool = await open(path);
    const again = await pool.claim();
    expect(again?.id).toBe('r');
  });

  test('does not wait for what it was refused to wait for', async () => {
    const run = await pool.run('r');
    await fill();
    await rejects(run.signal('answer'), 'ERR_HOLDFAST_POOL_FULL');
    await makeRoom();
    run.close();
    expect(pool.runInfo('r')).toMatchObject({ status: 'running', waits: [] });
  });

  test('is claimed beside a wait, though what said that it does more found no room', async () => {
    const run = await pool.run('r');
    const waiting = run.signal('answer').catch(() => {});
    await expect.poll(() => pool.runInfo('r')?.status).toBe('waiting');
    await fill();
    await rejects(run.step('beside', never), 'ERR_HOLDFAST_POOL_FULL');
    await makeRoom();
    const status = (): unknown => pool.runInfo('r')?.status;
    expect(await run.step('beside', status)).toBe('running');
    await pool.close();
    await waiting;
    pool = await open(path);
    expect((await pool.claim())?.id).toBe('r');
  });

  test('keeps the epochs of its entries', async () => {
    const run = await pool.run('r');
    await run.step('a', () => 1);
    const [, before] = await all(pool.journal('r'));
    await fill();
    const full = run.step('b', () => 2);
    await rejects(full, 'ERR_HOLDFAST_POOL_FULL');
    await makeRoom();
    // The log tells no longer what nobody wrote down.
    await run.step('c', () => 3);
    const [, after] = await all(pool.journal('r'));
    expect(after).toEqual(before);
    expect(after?.epoch).toBeGreaterThan(0);
  });

  test('does not undo what it made behind a rollback that failed', async () => {
    const undone: unknown[] = [];
    const live = async (run: Run, compensate: (result: unknown) => unknown) => {
      await run.tool('pay', 1, () => 'paid', { compensate });
      await run.rollback().catch(() => {});
      await makeRoom();
      return run.tool('ship', 2, () => 'shipped', { compensate });
    };
    await live(await pool.run('r'), async () => {
      await fill();
      throw busy();
    });
    await pool.close();
    pool = await open(path);
    const run = await pool.run('r', { compensations: { ship: (result) => undone.push(result) } });
    expect(await live(run, (result) => undone.push(result))).toBe('shipped');
    expect(undone).toEqual(['paid']);
  });
});

test('a run that was closed while the pool was full is given back once there is room', async () => {
  await pool.close();
  pool = await open(path, { lease: 60 });
  const run = await pool.run('r');
  await fill();
  run.close();
  await makeRoom();
  const holder = (): unknown => Journals.of(pool).drivers.get('r')?.holder;
  await expect.poll(holder, { timeout: 20_000 }).toBe('');
  const other = await open(path);
  expect((await other.claim())?.id).toBe('r');
  await other.close();
});
