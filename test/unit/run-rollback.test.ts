/** Rollbacks: what is undone, in which order, once over all lives, and what stays behind one. */
import { setTimeout as pause } from 'node:timers/promises';

import { expect, test } from 'vitest';

import type { Run, ToolContext, ToolOptions } from '../../lib/index';
import { busy, never, rejects, runsBench } from './support/runs';

const bench = runsBench('rollback');
const undone: string[] = [];
const book = (run: Run, name: string, compensate?: ToolOptions<string>['compensate']) =>
  run.tool(name, name, () => `${name} booked`, {
    compensate:
      compensate ??
      ((result, { idempotencyKey }) => void undone.push(`${result} ${idempotencyKey}`)),
  });

test('undoes the last first, once, also over lives', async () => {
  undone.length = 0;
  const run = await bench.pool.run('r');
  await book(run, 'flight');
  await book(run, 'car', () => Promise.reject(new Error('closed on Sundays')));
  await book(run, 'hotel');
  await expect(run.rollback()).rejects.toThrow('closed on Sundays');
  expect(undone).toHaveLength(1);
  const later = await (await bench.again()).run('r');
  for (const name of ['flight', 'car', 'hotel']) await book(later, name);
  expect(await later.rollback()).toEqual(['hotel', 'car', 'flight']);
  expect(undone.map((text) => text.split(' ')[0])).toEqual(['hotel', 'car', 'flight']);
  expect(new Set(undone.map((text) => text.split(' ')[2])).size).toBe(3);
  expect(await later.rollback()).toEqual([]);
  const third = await (await bench.again()).run('r');
  for (const name of ['flight', 'car', 'hotel']) await book(third, name);
  await third.rollback();
  expect(undone).toHaveLength(3);
});

test('a compensation that failed is tried again as the same call, in this life and in others', async () => {
  const attempts: [key: string, attempt: number][] = [];
  let failures = 5;
  const undo = (_result: unknown, { idempotencyKey, attempt }: ToolContext): void => {
    attempts.push([idempotencyKey, attempt]);
    if (failures-- > 0) throw new Error('closed on Sundays');
  };
  for (const life of [1, 2, 3]) {
    const run = await bench.pool.run('r');
    await run.tool('book', 1, () => 'booked', { compensate: undo });
    for (const _time of [1, 2]) if (life < 3) await run.rollback().catch(() => {});
    if (life < 3) await bench.again();
    else {
      await run.rollback().catch(() => {});
      expect(await run.rollback()).toEqual(['book']);
    }
  }
  expect(attempts.map(([, attempt]) => attempt)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(new Set(attempts.map(([key]) => key)).size).toBe(1);
  const undos = (await bench.journal()).filter(
    ({ kind, undoes }) => kind === 'intent' && undoes !== undefined,
  );
  expect(undos).toHaveLength(1);
});

test("of an effect the code does not come to again: by the run's compensations, or not without saying so", async () => {
  undone.length = 0;
  const run = await bench.pool.run('r');
  await book(run, 'flight');
  await run.step('trip', () => book(run, 'hotel'));
  await run.tool('toString', 1, () => 2);
  const later = await (await bench.again()).run('r');
  await later.step('trip', never);
  const error = await rejects(later.rollback(), 'ERR_HOLDFAST_DIVERGED');
  expect(error.message).toContain(
    'call 1 of tool "flight", call 1 of tool "hotel". Give the run `compensations',
  );
  await book(later, 'flight');
  expect((await rejects(later.rollback(), 'ERR_HOLDFAST_DIVERGED')).message).toContain(
    'to undo call 1 of tool "hotel".',
  );
  expect(undone).toEqual([]);
  later.close();
  const hotel = (result: string) => void undone.push(result);
  const claimed = await bench.pool.claim({ compensations: { hotel, flight: hotel } });
  expect(await claimed!.rollback()).toEqual(['hotel', 'flight']);
  expect(await claimed!.rollback()).toEqual([]);
  expect(undone).toEqual(['hotel booked', 'flight booked']);
  const last = await (await bench.again()).run('r');
  expect(await last.rollback()).toEqual([]);
});

test('asked for twice at once it undoes once, and what comes to its end meanwhile too', async () => {
  const order: string[] = [];
  const slowly = async (result: string) => {
    order.push(result);
    await pause(5);
  };
  const run = await bench.pool.run('r');
  await book(run, 'flight', slowly);
  await book(run, 'hotel', async (result) => {
    await slowly(result);
    await book(run, 'car', slowly);
  });
  const both = await Promise.all([run.rollback(), run.rollback()]);
  expect(both).toEqual([
    ['hotel', 'car', 'flight'],
    ['hotel', 'car', 'flight'],
  ]);
  expect(order).toEqual(['hotel booked', 'car booked', 'flight booked']);
  expect(await run.rollback()).toEqual([]);
});

test('within a compensation it is refused, and does not wait for itself', async () => {
  const run = await bench.pool.run('r');
  const other = await bench.pool.run('other');
  const said: string[] = [];
  const compensate = async () => {
    for (const one of [run, other]) said.push((await one.rollback().catch(String)).toString());
  };
  await run.tool('t', 1, () => 1, { compensate });
  await other.tool('t', 1, () => 1, { compensate: () => void run.rollback().catch(() => {}) });
  expect(await run.rollback()).toEqual(['t']);
  expect(said).toEqual([
    expect.stringContaining('rollback() is called within a compensation'),
    't',
  ]);
  expect(await run.rollback()).toEqual([]);
});

test('a fork undoes its own effects and then what it shares, each with its own key', async () => {
  undone.length = 0;
  const origin = await bench.pool.run('origin');
  await origin.step('think', () => 'flight');
  await book(origin, 'flight');
  await origin.step('trip', () => book(origin, 'train'));
  const { checkpoint } = await origin.checkpoint('booked');
  await origin.fork(checkpoint, 'fork');
  const train = (result: unknown, { idempotencyKey }: ToolContext) =>
    void undone.push(`${String(result)} ${idempotencyKey}`);
  const fork = await bench.pool.run('fork', { compensations: { train } });
  await fork.step('think', never);
  await book(fork, 'flight');
  await fork.step('trip', never);
  for (const name of ['car', 'hotel', 'boat']) await book(fork, name);
  expect(await fork.rollback()).toEqual(['boat', 'hotel', 'car', 'train', 'flight']);
  expect(new Set(undone.map((text) => text.split(' ')[2])).size).toBe(5);
  const flight = undone.at(-1);
  await book(origin, 'boat');
  await (await bench.again()).run('fork').then((again) => again.rollback());
  expect(undone).toHaveLength(5); // nothing twice
  const later = await bench.pool.run('origin', {
    compensations: { train: () => {}, boat: () => {} },
  });
  await book(later, 'flight');
  expect(await later.rollback()).toEqual(['boat', 'train', 'flight']);
  expect(undone.at(-1)).toBe(flight); // with the key that the fork used
});

test('what is made behind a rollback stays, whenever the code comes to that rollback again', async () => {
  undone.length = 0;
  const told: string[][] = [];
  const trip = async (run: Run, lives: number) => {
    await book(run, 'flight');
    await run.step('hotel', () => run.tool('room', 1, () => 2, { compensate: () => {} }));
    told.push(await run.rollback());
    await book(run, 'train');
    told.push(await run.rollback(), await run.rollback());
    await book(run, 'bus');
    if (lives > 1) await run.step('inner', () => book(run, 'boat'));
  };
  await trip(await bench.pool.run('r', { compensations: { room: () => {} } }), 1);
  for (const lives of [2, 3]) await trip(await (await bench.again()).run('r'), lives);
  const names = undone.map((text) => text.split(' ')[0]);
  expect(names).toEqual(['flight', 'train']);
  expect(new Set(told.map((names) => names.join()))).toEqual(new Set(['room,flight', 'train', '']));
  expect(told.slice(3)).toEqual([...told.slice(0, 3), ...told.slice(0, 3)]);
  // Whoever comes there without these calls means all that is left.
  const compensations = { boat: () => {}, bus: () => {} };
  const last = await (await bench.again()).run('r', { compensations });
  expect(await last.rollback()).toEqual(['boat', 'bus']);
});

/** A compensation that throws so often. */
const inVain = (times: number): ToolOptions<string>['compensate'] => {
  return (result) => {
    if (times-- > 0) throw new Error('closed on Sundays');
    undone.push(result);
  };
};

test('what is made behind a rollback that failed stays, whenever the code comes to that rollback again', async () => {
  undone.length = 0;
  const told: unknown[] = [];
  const undo = inVain(5);
  const train = (result: unknown) => void undone.push(String(result));
  const trip = async (life: number) => {
    const pool = life === 1 ? bench.pool : await bench.again();
    const run = await pool.run('r', { compensations: { train } });
    await book(run, 'flight', undo);
    // It is asked for twice, and fails in two lives.
    for (const _time of [1, 2]) told.push(await run.rollback().catch(() => 'failed'));
    await run.step('trip', () => book(run, 'train', train));
    if (life === 1) return;
    await book(run, 'car', train);
    if (life > 3) told.push(await run.rollback());
  };
  for (const life of [1, 2, 3, 4, 5]) await trip(life);
  const failed = ['failed', 'failed'];
  const passed = [['flight'], []];
  expect(told.slice(0, 6)).toEqual([...failed, ...failed, 'failed', ['flight']]);
  const last = ['car', 'train'];
  expect(told.slice(6)).toEqual([...passed, last, ...passed, last]);
  expect(undone).toEqual(['flight booked', 'car booked', 'train booked']);
});

test('one that is asked for until it succeeds is one rollback', async () => {
  undone.length = 0;
  const undo = inVain(1);
  const told: string[][] = [];
  for (const life of [1, 2]) {
    const pool = life === 1 ? bench.pool : await bench.again();
    const train = (result: unknown) => void undone.push(String(result));
    const run = await pool.run('r', { compensations: { train } });
    await book(run, 'flight', undo);
    while (told.length < life) await run.rollback().then((names) => told.push(names), busy);
    await run.step('trip', () => book(run, 'train'));
    if (life === 2) expect(await run.rollback()).toEqual(['train']);
  }
  expect(told).toEqual([['flight'], ['flight']]);
  expect(undone).toEqual(['flight booked', 'train booked']);
});

test('one that nobody knew how to do is passed too; a fork goes on with what failed before it', async () => {
  undone.length = 0;
  const first = await bench.pool.run('r');
  await first.step('trip', () => book(first, 'flight'));
  const second = await (await bench.again()).run('r');
  await second.step('trip', never);
  await rejects(second.rollback(), 'ERR_HOLDFAST_DIVERGED');
  await second.step('other trip', () => book(second, 'train'));
  const { checkpoint } = await second.checkpoint('there');
  await second.fork(checkpoint, 'fork');
  second.close();
  const undo = (result: unknown, { idempotencyKey }: ToolContext) =>
    void undone.push(`${String(result)} ${idempotencyKey}`);
  const compensations = { flight: undo, train: undo };
  for (const life of [1, 2])
    for (const id of ['fork', 'r']) {
      const run = await bench.pool.run(id, { compensations });
      await run.step('trip', never);
      expect(await run.rollback()).toEqual(['flight']);
      await run.step('other trip', never);
      if (life === 2) expect(await run.rollback()).toEqual(['train']);
      run.close();
    }
  const keys = undone.map((text) => text.split(' ')[2]);
  expect(undone.map((text) => text.split(' ')[0])).toEqual(
    ['flight', 'flight', 'train', 'train'], // by each of the two
  );
  expect(new Set(keys).size).toBe(2);
});

test('one with nothing to undo is a rollback too; one of somebody else is not the code’s own', async () => {
  undone.length = 0;
  const first = await bench.pool.run('r');
  await first.step('think', () => 'train');
  expect(await first.rollback()).toEqual([]);
  await book(first, 'train');
  const again = await (await bench.again()).run('r');
  await again.step('think', never);
  expect(await again.rollback()).toEqual([]);
  await book(again, 'train');
  expect(undone).toEqual([]);
  again.close();
  const claimed = await bench.pool.claim({
    compensations: { train: (what) => void undone.push(String(what)) },
  });
  expect(await claimed!.rollback()).toEqual(['train']);
  const last = await (await bench.again()).run('r');
  await last.step('think', never);
  expect(await last.rollback()).toEqual([]);
  await book(last, 'train');
  await book(last, 'car');
  expect(await last.rollback()).toEqual(['car', 'train']);
  expect(undone.map((text) => text.split(' ')[0])).toEqual(['train', 'car']);
});

test('a fork that comes to a rollback it shares goes on behind it', async () => {
  undone.length = 0;
  const origin = await bench.pool.run('origin');
  await book(origin, 'flight');
  await origin.rollback();
  await book(origin, 'train');
  const { checkpoint } = await origin.checkpoint('there');
  await origin.fork(checkpoint, 'fork');
  const fork = await bench.pool.run('fork');
  await book(fork, 'flight');
  expect(await fork.rollback()).toEqual(['flight']);
  await book(fork, 'train');
  expect(undone).toHaveLength(1);
  expect(await fork.rollback()).toEqual(['train']);
  expect(undone).toHaveLength(2);
});

test("a compensation in the run's options is one for each call of the tool", async () => {
  const cancelled: unknown[] = [];
  const run = await bench.pool.run('r', {
    compensations: { book: (result) => void cancelled.push(result) },
  });
  for (const n of [1, 2]) await run.tool('book', n, (number) => number);
  expect(await run.rollback()).toEqual(['book', 'book']);
  expect(cancelled).toEqual([2, 1]);
  for (const compensations of [1, null, { book: 'cancel' }] as never[])
    await rejects(bench.pool.run('other', { compensations }), 'ERR_HOLDFAST_INVALID_ARGUMENT');
});

test('versions: what was undone of a completed step lies behind its rollback, not behind an earlier one', async () => {
  const options = { compensations: { t: () => undefined } };
  const program = async (run: Run, call: () => number): Promise<void> => {
    await run.step('outer', () => run.tool('t', 1, call));
    await run.rollback();
    if (run.id.includes('new')) expect(await run.version('between', 2, 1)).toBe(1);
    await run.step('outer', () => run.tool('t', 2, call));
    await run.rollback();
  };
  const first = await bench.pool.run('r', options);
  await program(first, () => 1);
  const { checkpoint } = await first.checkpoint(1);
  for (const id of ['fork', 'new fork']) await first.fork(checkpoint, id);
  const pool = await bench.again();
  for (const id of ['r', 'fork', 'new fork']) {
    const run = await pool.run(id, options);
    await program(run, never);
    expect(await run.version('behind', 2, 1)).toBe(2);
  }
});

test('versions: what was undone of a completed step before a rollback was cut off lies behind its end', async () => {
  let failures = 1;
  const compensations = {
    first: () => {
      if (failures-- > 0) throw new Error('cut off');
    },
    t: () => undefined,
  };
  for (const life of [1, 2]) {
    const run = await (await bench.again()).run('r', { compensations });
    await run.tool('first', 1, () => 1);
    await run.step('outer', () => run.tool('t', 1, () => 1));
    const undone = run.rollback();
    if (life === 1) await expect(undone).rejects.toThrow('cut off');
    else expect([await undone, await run.version('behind', 2, 1)]).toEqual([['first'], 2]);
  }
});

test('versions: a rollback that failed and was passed does not lie ahead', async () => {
  let failures = 3;
  const compensate = () => {
    if (failures-- > 0) throw new Error('closed');
  };
  for (const life of [1, 2, 3, 4]) {
    const run = await (await bench.again()).run('r', { compensations: { t: compensate } });
    await run.tool('first', 1, () => 1, { compensate });
    await run.step('outer', () => run.tool('t', 1, () => 1));
    const undone = await run.rollback().catch(() => 'closed');
    expect(undone).toEqual(life < 4 ? 'closed' : ['t', 'first']);
    for (let one = 1; one <= life; ++one) expect(await run.version(`behind ${one}`, 2, 1)).toBe(2);
  }
  expect(failures).toBe(-2); // of the two each was undone once
});
