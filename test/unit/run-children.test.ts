/** A parent whose children wait needs nobody either, and is claimed when one of them may go on. */
import { describe, expect, test } from 'vitest';

import type { Run } from '../../lib/index';
import { rejects, runsBench } from './support/runs';

const bench = runsBench('children');
const suspended = { suspendAfter: 0 };
const claim = (prefix = '') => bench.pool.claim({ prefix, ...suspended });
const info = (id = 'r') => bench.pool.runInfo(id);

/** As a worker does it: what waits is closed. Gives what the child has answered. */
async function drive(run: Run, ask = (child: Run) => child.signal('answer')): Promise<unknown> {
  const child = await run.child('c', suspended);
  try {
    if (child.status !== 'finished') await child.finish(await ask(child));
    return child.result;
  } finally {
    child.close();
  }
}

async function waiting(ask?: (child: Run) => Promise<unknown>): Promise<void> {
  const run = await bench.pool.run('r');
  await rejects(drive(run, ask), 'ERR_HOLDFAST_SUSPENDED');
  run.close();
  expect(info()).toMatchObject({ status: 'waiting', runnable: false, driven: false });
  expect(info()!.waits).toContainEqual({ run: 'r/c' });
  expect(await claim()).toBeUndefined();
}

describe('a parent whose child waits', () => {
  test('is claimed when the child has its signal', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    await bench.again();
    expect(info()).toMatchObject({ runnable: true });
    const run = await claim();
    expect(run!.id).toBe('r');
    expect(await drive(run!)).toBe(42);
  });

  test('and by who waits for a run', async () => {
    await waiting();
    const claimed = bench.pool.claim({ wait: true });
    await bench.pool.signal('r/c', 'answer', 42);
    expect((await claimed).id).toBe('r');
  });

  test('when the moment of the child has come', async () => {
    const moment = new Date(Date.now() + 300);
    await waiting((child) => child.sleep(moment));
    const run = await bench.pool.claim({ wait: true });
    expect([run.id, Date.now() >= moment.getTime()]).toEqual(['r', true]);
  });

  test('when what became of an effect of the child is said', async () => {
    await waiting(async (child) => {
      const pay = () => child.tool('pay', 1, () => Promise.reject(new Error('gone silent')));
      await pay().catch(() => {});
      return child.signal('never');
    });
    const [outcome] = bench.pool.unknownOutcomes();
    await bench.pool.resolve(outcome!.id, { value: 5 });
    expect(info()).toMatchObject({ runnable: false }); // nobody waits for that
    await bench.pool.signal('r/c', 'never', 1);
    expect((await claim())!.id).toBe('r');
  });

  test('when somebody else has ended the child, or was not able to', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    const child = await bench.pool.run('r/c');
    expect(info()).toMatchObject({ runnable: false }); // somebody is at it
    child.close();
    expect(info()).toMatchObject({ runnable: true });
    const again = await bench.pool.run('r/c');
    await again.finish(await again.signal('answer'));
    const run = (await claim())!;
    expect(run.id).toBe('r');
    expect(await drive(run)).toBe(42);
  });

  test('when the driver of the child has died, and everybody had looked before', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    await bench.pool.run('r/c');
    expect(await claim()).toBeUndefined();
    await bench.again();
    expect((await claim())!.id).toBe('r');
  });

  test('who claims children alone gets the child', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    expect((await claim('r/'))!.id).toBe('r/c');
    expect(await claim()).toBeUndefined();
  });

  test('when the child was parked, and may go on', async () => {
    const run = await bench.pool.run('r');
    await (await run.child('c')).park('closed on Sundays');
    run.close();
    expect(info()).toMatchObject({ status: 'waiting', waits: [{ run: 'r/c' }] });
    expect(await claim()).toBeUndefined();
    await bench.pool.unpark('r/c');
    expect((await claim())!.id).toBe('r');
  });

  test('over any number of generations', async () => {
    await waiting((child) => drive(child));
    expect(info('r/c')).toMatchObject({ status: 'waiting', waits: [{ run: 'r/c/c' }] });
    await bench.pool.signal('r/c/c', 'answer', 42);
    const run = await claim();
    expect(run!.id).toBe('r');
    expect(await drive(run!, (child) => drive(child))).toBe(42);
  });
});

describe('a parent that does more than to wait for a child', () => {
  test('is claimed at once: a step behind it, or another child that is driven', async () => {
    const first = await bench.pool.run('r');
    const child = await first.child('c', suspended);
    await rejects(child.signal('answer'), 'ERR_HOLDFAST_SUSPENDED');
    await first.step('more', () => 1);
    first.close();
    expect(info()).toMatchObject({ status: 'running', runnable: true });
    const run = (await claim())!;
    const other = await run.child('d');
    await rejects((await run.child('c', suspended)).signal('answer'), 'ERR_HOLDFAST_SUSPENDED');
    await run.step('more', () => 2);
    run.close();
    expect(info()).toMatchObject({ status: 'running', runnable: true });
    other.close();
  });

  test('knows again what it waits for in its next life', async () => {
    await waiting();
    const run = await bench.pool.run('r');
    await run.step('more', () => 1);
    await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
    run.close();
    expect(info()).toMatchObject({ status: 'waiting', waits: [{ run: 'r/c' }] });
  });
});
