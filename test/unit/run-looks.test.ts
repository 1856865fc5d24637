/** Who waits for what another thread does is woken, and costs nothing while nothing happens. */
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { openSync } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { Looks, type Wake } from '../../lib/run/looks';
import type { PoolCore } from '../../lib/types';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('run-looks');
const LOOK_MS = 50;

interface Watched {
  readonly looks: Looks;
  readonly woken: number[];
  epoch: number | undefined;
  wakes: Wake[];
}

/** So many wait in a pool of which only the epoch is looked at. */
function waiting(count: number): Watched {
  const pool = {
    refreshSync: () => {
      if (watched.epoch === undefined) throw new Error('closed');
      return watched.epoch;
    },
  } as unknown as PoolCore;
  const woken = new Array<number>(count).fill(0);
  const wakes = woken.map((_, n) => () => void woken[n]!++);
  const watched: Watched = { looks: Looks.of(pool), woken, epoch: 7, wakes };
  for (const wake of wakes) watched.looks.add(wake);
  return watched;
}

function end({ looks, wakes }: Watched): void {
  for (const wake of wakes) looks.delete(wake);
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

it('all that wait are woken once for each time that something was committed, however many they are', () => {
  const watched = waiting(1000);
  vi.advanceTimersByTime(4 * LOOK_MS);
  expect(watched.woken.every((times) => times === 1)).toBe(true); // when they began
  vi.advanceTimersByTime(100 * LOOK_MS);
  expect(watched.woken.every((times) => times === 1)).toBe(true);
  watched.epoch = 8;
  vi.advanceTimersByTime(LOOK_MS);
  expect(watched.woken.filter((times) => times === 2)).toHaveLength(256); // the thread does other things too
  watched.epoch = 9; // while they are woken: the first ones missed it
  vi.advanceTimersByTime(100 * LOOK_MS);
  expect(watched.woken.every((times) => times === 3)).toBe(true);
  end(watched);
  expect(vi.getTimerCount()).toBe(0);
});

it('who waits no longer is not woken', () => {
  const watched = waiting(600);
  vi.advanceTimersByTime(LOOK_MS);
  watched.looks.delete(watched.wakes[500]!);
  vi.advanceTimersByTime(10 * LOOK_MS);
  expect(watched.woken[500]).toBe(0);
  expect(watched.woken[501]).toBe(1);
  end(watched);
});

it('all are woken when the clock was set, and when the pool is closed', () => {
  const watched = waiting(10);
  vi.advanceTimersByTime(10 * LOOK_MS);
  const before = watched.woken.slice();
  const now = vi.spyOn(Date, 'now').mockImplementation(() => performance.now() + 3_600_000);
  vi.advanceTimersByTime(LOOK_MS);
  expect(watched.woken).toEqual(before.map((times) => times + 1));
  vi.advanceTimersByTime(10 * LOOK_MS);
  expect(watched.woken).toEqual(before.map((times) => times + 1));
  now.mockRestore();
  vi.advanceTimersByTime(LOOK_MS);
  expect(watched.woken).toEqual(before.map((times) => times + 2)); // and back
  watched.epoch = undefined;
  vi.advanceTimersByTime(LOOK_MS);
  expect(watched.woken).toEqual(before.map((times) => times + 3));
  end(watched);
});

it('a hundred runs that wait read nothing while nothing happens', async () => {
  vi.useRealTimers();
  using pool = openSync(join(folder, 'idle.holdfast'), { medium: 'file' });
  const runs = await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      const run = await pool.run(`waits/${n}`);
      return { run, answer: run.signal('go') };
    }),
  );
  await expect.poll(() => pool.runInfo('waits/99')?.waits).toHaveLength(1);
  await new Promise((resolve) => setTimeout(resolve, 4 * LOOK_MS));
  const reads = vi.spyOn(Journals.of(pool).signals, 'range');
  await new Promise((resolve) => setTimeout(resolve, 10 * LOOK_MS));
  expect(reads).toHaveBeenCalledTimes(0);
  reads.mockRestore();
  for (const [n, { run, answer }] of runs.entries()) {
    await pool.signal(`waits/${n}`, 'go', n);
    expect(await answer).toBe(n);
    await run.finish();
  }
});
