/** What a process that runs for months must not gather: counts of what is held, not times. */
import { getEventListeners } from 'node:events';

import { describe, expect, test } from 'vitest';

import { open } from '../../lib/index';
import { HOLDERS_KEYSPACE } from '../../lib/run/keys';
import { Journals } from '../../lib/run/journals';
import { residentBytes } from '../helpers/memory';
import { messageOf, startWorker } from './support/child';
import { rejects, runsBench } from './support/runs';

const bench = runsBench('long-life');

describe('watches with the signal of a whole process', () => {
  const collected = async (left: () => number): Promise<number> => {
    await residentBytes();
    return left();
  };

  test('are gone when nobody holds them, ended or not', async () => {
    const { signal } = new AbortController();
    const { pool } = bench;
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    for (let i = 0; i < 50; ++i) pool.watch({ signal });
    expect([pool.stats().watchers, listeners()]).toEqual([50, 1]);
    await expect.poll(() => collected(() => pool.stats().watchers)).toBe(0);
    await expect.poll(() => collected(listeners)).toBe(0);
    const ended = pool.watch({ signal });
    await ended.return!();
    expect(listeners()).toBe(0);
  });

  test('hear of it while a next() waits, whoever holds them', async () => {
    const stop = new AbortController();
    const waits = bench.pool.watch({ signal: stop.signal }).next();
    await collected(() => 0);
    expect(bench.pool.stats().watchers).toBe(1);
    stop.abort();
    await rejects(waits, 'ERR_HOLDFAST_ABORTED');
    expect(bench.pool.stats().watchers).toBe(0);
  });
});

describe('leases', () => {
  test('of threads that were terminated are forgotten by the next handle that drives', async () => {
    const { pool } = bench;
    await (await pool.run('here')).step('a', () => 1);
    const holders = pool.keyspace(HOLDERS_KEYSPACE, { key: 'bytes', value: 'bytes' });
    for (let life = 0; life < 5; ++life) {
      const worker = startWorker(
        `holdfast.openSync(workerData.path).run(workerData.run).then(() => {
           parentPort.postMessage('drives');
           setInterval(() => {}, 1000);
         });`,
        { path: bench.path, run: `of life ${life}` },
      );
      await messageOf(worker);
      // This handle's own, and that of the thread that lives.
      expect(holders.count()).toBe(2);
      await rejects(pool.run(`of life ${life}`), 'ERR_HOLDFAST_RUN_ACTIVE');
      await worker.terminate();
    }
    const other = await open(bench.path);
    await rejects(other.run('here'), 'ERR_HOLDFAST_RUN_ACTIVE');
    await other.close();
  });
});

describe('the epochs that are still to be written down', () => {
  test('go with a run that is closed, also while a commit of it is on its way', async () => {
    const { fresh } = Journals.of(bench.pool);
    for (let i = 0; i < 5; ++i) {
      const run = await bench.pool.run(`r${i}`);
      const waits = run.sleep(1e9);
      const steps = run.step('a', () => i, { durability: 'eventual' });
      run.close();
      await Promise.allSettled([waits, steps]);
      expect([...fresh.keys()]).toEqual([]);
    }
  });

  test('go with a run that somebody else has taken over', async () => {
    const pool = await bench.again({ lease: 30 });
    const { fresh } = Journals.of(pool);
    const other = await open(bench.path);
    const finishThere = async (id: string): Promise<void> => {
      // This thread sleeps through its lease.
      for (let taken = false; !taken;) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
        const run = await other.run(id).catch(() => undefined);
        taken = run !== undefined;
        await run?.finish();
      }
    };
    const closed = await pool.run('closed');
    await finishThere('closed');
    closed.close();
    const step = await pool.run('at a step');
    await finishThere('at a step');
    await rejects(
      step.step('b', () => 1),
      'ERR_HOLDFAST_FENCED',
    );
    const stop = new AbortController();
    const waits = (await pool.run('at a wait')).signal('x', { signal: stop.signal });
    await expect.poll(() => fresh.get('at a wait')?.[0]?.[0]).toBe(1);
    await finishThere('at a wait');
    stop.abort();
    await rejects(waits, 'ERR_HOLDFAST_ABORTED');
    expect([...fresh.keys()]).toEqual([]);
    await other.close();
  });

  test('go with a run that is finished', async () => {
    const run = await bench.pool.run('r');
    await run.finish('done');
    const { fresh } = Journals.of(bench.pool);
    await expect.poll(() => [...fresh.keys()]).toEqual([]);
  });
});
