/**
 * Outside effects: retries, time-outs, aborts, rollback, operations applied once; killed in the
 * middle.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { PoolBatch } from '../../lib/batch';
import type { Run, ToolContext, ToolOptions } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { dist } from '../helpers/cli';
import { busy, failing, never, refused, rejects, runsBench } from './support/runs';

const bench = runsBench('effects');

describe('retries', () => {
  test.each(['readOnly', 'idempotent'] as const)(
    '%s is called again, each marked',
    async (safety) => {
      const run = await bench.pool.run('r');
      const retry = { attempts: 3, delay: 1 };
      expect(await run.tool('t', 1, failing(2, busy), { safety, retry })).toBe(3);
      expect(await bench.kinds()).toEqual([
        ...['start', 'intent', 'failure', 'attempt', 'failure', 'attempt', 'receipt'],
      ]);
    },
  );

  test('an effect only when nothing happened', async () => {
    const run = await bench.pool.run('r');
    const retry = { attempts: 5, delay: 1 };
    expect(await run.tool('a', 1, failing(2, refused), { retry })).toBe(3);
    await expect(run.tool('b', 1, failing(2, busy), { retry })).rejects.toThrow('busy');
    const probe = () => ({ happened: false as const });
    expect(await run.tool('c', 1, failing(2, busy), { retry, probe })).toBe(3);
    const happened = () => ({ happened: true as const, result: 9 });
    expect(await run.tool('d', 1, failing(2, busy), { retry, probe: happened })).toBe(9);
  });

  test('whatever is thrown is passed on and recorded', async () => {
    const bare = Object.assign(Object.create(null) as object, { why: 'busy' });
    const textless = { toString: () => ({}) };
    const throwing = {
      toString: (): never => {
        throw new Error('no text');
      },
    };
    const silent = {
      get neverHappened(): boolean {
        return throwing.toString();
      },
    };
    const odd: unknown[] = [
      null,
      undefined,
      'a \ud800',
      Symbol('s'),
      5n,
      () => 1,
      bare,
      textless,
      throwing,
      silent,
    ];
    const run = await bench.pool.run('r');
    for (const thrown of odd) {
      const call = run.tool('t', 1, () => {
        throw thrown;
      });
      expect(await call.then(never, (error: unknown) => error)).toBe(thrown);
    }
    const unknown = bench.pool.unknownOutcomes();
    expect(unknown.map(({ error }) => typeof error)).toEqual(odd.map(() => 'string'));
    expect(unknown.map(({ error }) => error)).toContainEqual(expect.stringContaining('busy'));
    const refusing = (_args: unknown, { attempt }: ToolContext) => {
      if (attempt === 1)
        throw Object.assign(Object.create(null) as object, { neverHappened: true });
      return attempt;
    };
    expect(await run.tool('u', 1, refusing, { retry: { attempts: 2, delay: 1 } })).toBe(2);
  });

  test('end with the last error, wait longer each time, and go on in a later life', async () => {
    const run = await bench.pool.run('r');
    const begun = performance.now();
    const retry = { attempts: 4, delay: 10, factor: 2, maxDelay: 20 };
    const options: ToolOptions<number> = { safety: 'idempotent', retry };
    await expect(run.tool('t', 1, failing(9, busy), options)).rejects.toThrow('busy');
    expect(performance.now() - begun).toBeGreaterThanOrEqual(48);
    const later = await (await bench.again()).run('r');
    expect(await later.tool('t', 1, failing(5, busy), options)).toBe(6);
  });

  test('options that are wrong', async () => {
    const run = await bench.pool.run('r');
    const wrong = [{ retry: 0 }, { retry: 1.5 }, { retry: 'x' }, { timeout: 0 }];
    const more = [{ retry: { attempts: 2, delay: -1 } }, { retry: { attempts: 2, factor: 0 } }];
    for (const options of [...wrong, ...more, { signal: 5 }, { timeout: NaN }, { compensate: 1 }])
      await expect(run.tool('t', 1, never, options as never)).rejects.toHaveProperty('code');
    expect(await bench.kinds()).toEqual(['start']);
  });
});

describe('time-outs and aborts', () => {
  test('cut the attempt off, tell the tool, and leave the outcome unknown', async () => {
    const run = await bench.pool.run('r');
    let told: AbortSignal | undefined;
    const slow = async (_args: unknown, context: ToolContext) => {
      told = context.signal;
      await pause(1000, undefined, { signal: context.signal });
    };
    await expect(run.tool('t', 1, slow, { timeout: 10 })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    expect(told?.aborted).toBe(true);
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ run: 'r', tool: 't', attempt: 1 }]);
    // It never ends: whoever waited for it would wait for ever.
    const deaf = () => new Promise<string>(() => undefined);
    const retry = { attempts: 2, delay: 1 };
    await expect(
      run.tool('u', 1, deaf, { timeout: 10, retry, safety: 'idempotent' }),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  test('a signal ends the attempt or the pause; before the intent it leaves nothing', async () => {
    const run = await bench.pool.run('r');
    const signal = AbortSignal.abort(new Error('enough'));
    await rejects(run.tool('t', 1, never, { signal }), 'ERR_HOLDFAST_ABORTED');
    expect(await bench.kinds()).toEqual(['start']);
    const during = AbortSignal.timeout(10);
    const slow = () => pause(1000);
    await rejects(run.tool('t', 1, slow, { signal: during }), 'ERR_HOLDFAST_ABORTED');
    const own = new AbortController();
    const abortsItself = () => {
      own.abort();
      throw busy();
    };
    // and nothing is left unhandled
    await expect(run.tool('v', 1, abortsItself, { signal: own.signal })).rejects.toThrow('busy');
    const between = AbortSignal.timeout(10);
    const retry = { attempts: 9, delay: 1000 };
    await rejects(
      run.tool('u', 1, failing(9, busy), { signal: between, retry, safety: 'readOnly' }),
      'ERR_HOLDFAST_ABORTED',
    );
  });
});

describe('rollback', () => {
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
    expect(new Set(told.map((names) => names.join()))).toEqual(
      new Set(['room,flight', 'train', '']),
    );
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
});

test('no two effects of a run have the same key, and an effect has the same one at each attempt', async () => {
  const keys: string[] = [];
  const tool = (_args: unknown, { idempotencyKey }: ToolContext) => void keys.push(idempotencyKey);
  const run = await bench.pool.run('r');
  for (const name of ['pay', 'ship', 'pay'])
    await run.tool(name, 1, tool, {
      compensate: (_result, context) => void tool(1, context as ToolContext),
    });
  await run.step('outer', () => run.tool('pay', 1, tool));
  await (await bench.pool.run('other')).tool('pay', 1, tool);
  expect(new Set(keys).size).toBe(5);
  await run.rollback();
  expect(new Set(keys).size).toBe(8);
  let before = '';
  await run.tool(
    'again',
    1,
    (_args, context) => {
      expect(before === '' || before === context.idempotencyKey).toBe(true);
      before = context.idempotencyKey;
      return failing(2, refused)(_args, context);
    },
    { retry: { attempts: 5, delay: 1 } },
  );
});

describe('applyOnce', () => {
  test('what was applied is remembered until it is to be forgotten', async () => {
    const notes = bench.pool.keyspace('notes');
    const fill = (n: number) => bench.pool.batch().put(notes, 'n', n);
    await Promise.all(
      Array.from({ length: 3000 }, (_, i) => bench.pool.applyOnce(`op ${i}`, fill(i))),
    );
    const moment = new Date(Date.now() + 5);
    await new Promise((go) => setTimeout(go, 20));
    await bench.pool.applyOnce('late', fill(-1));
    await rejects(bench.pool.forgetOperations({} as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    for (const wrong of ['yesterday', '', null, [], true, 0n, Symbol('now'), NaN, new Date(NaN)]) {
      await rejects(
        bench.pool.forgetOperations({ olderThan: wrong as never }),
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
    }
    expect(await bench.pool.forgetOperations({ olderThan: 60_000 })).toEqual({
      removed: 0,
      kept: 3001,
    });
    const both = await Promise.all(
      [1, 2].map(() => bench.pool.forgetOperations({ olderThan: moment })),
    );
    expect(both.map(({ kept }) => kept)).toEqual([1, 1]);
    expect(both[0]!.removed + both[1]!.removed).toBe(3000);
    expect(await bench.pool.applyOnce('late', fill(-1))).toMatchObject({ applied: false });
    expect(await bench.pool.applyOnce('op 7', fill(8))).toMatchObject({ applied: true });
  });

  test('who asks again is answered when the first time is durable', async () => {
    const { pool } = bench;
    const fill = () => pool.batch().put(pool.keyspace('notes'), 'a', 1);
    // As a first time that is applied and has not come to its barrier.
    await Journals.of(pool).operations.put(
      'op',
      { digest: PoolBatch.digest(fill()), at: 1 },
      { durability: 'eventual' },
    );
    const { epoch } = pool.stats();
    expect(await pool.applyOnce('op', fill())).toMatchObject({ applied: false });
    expect(pool.stats().durableEpoch).toBeGreaterThanOrEqual(epoch);
  });

  test('applies once, whoever asks, and refuses other content', async () => {
    const fill = (value: unknown) =>
      bench.pool.batch().put(bench.pool.keyspace('notes'), 'a', value);
    expect(await bench.pool.applyOnce('op-1', fill(1))).toMatchObject({ applied: true });
    await bench.pool.keyspace('notes').put('a', 'since');
    expect(await bench.pool.applyOnce('op-1', fill(1))).toMatchObject({ applied: false });
    await rejects(bench.pool.applyOnce('op-1', fill(2)), 'ERR_HOLDFAST_OPERATION_MISMATCH');
    await bench.again();
    expect(await bench.pool.applyOnce('op-1', fill(1))).toMatchObject({ applied: false });
    expect(bench.pool.keyspace('notes').get('a')).toBe('since');
    const at = (big: string) => fill(Buffer.alloc(400_000, big));
    await bench.pool.applyOnce('large', at('x'));
    await rejects(bench.pool.applyOnce('large', at('y')), 'ERR_HOLDFAST_OPERATION_MISMATCH');
    expect(await bench.pool.applyOnce('large', at('x'))).toMatchObject({ applied: false });
  });

  test('at once: one applies', async () => {
    const notes = bench.pool.keyspace('notes');
    const all = Array.from({ length: 10 }, () =>
      bench.pool.applyOnce('op', bench.pool.batch().put(notes, 'a', 1)),
    );
    expect((await Promise.all(all)).filter(({ applied }) => applied)).toHaveLength(1);
  });

  test('a condition of its own that fails is that, and the operation may come again', async () => {
    const notes = bench.pool.keyspace('notes');
    const fill = () => bench.pool.batch().put(notes, 'a', 1).requirePresent(notes, 'b');
    await rejects(bench.pool.applyOnce('op', fill()), 'ERR_HOLDFAST_CONFLICT');
    await notes.put('b', 1);
    expect(await bench.pool.applyOnce('op', fill())).toMatchObject({ applied: true });
    await notes.delete('b');
    expect(await bench.pool.applyOnce('op', fill())).toMatchObject({ applied: false });
    await rejects(bench.pool.applyOnce('', fill()), 'ERR_HOLDFAST_OUT_OF_RANGE');
    await rejects(bench.pool.applyOnce('x', {} as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
  });
});

/**
 * Killed with SIGKILL before, in and after the effect; the outside is a file that each effect adds
 * a line to.
 */
describe('killed in the middle of an effect', () => {
  const source = `
    const { openSync } = require(process.argv[1]);
    const { appendFileSync, existsSync, readFileSync } = require('node:fs');
    const [, , path, outside, dieAt, safety] = process.argv;
    const pool = openSync(path, { medium: 'file' });
    const has = (key) => existsSync(outside) && readFileSync(outside, 'utf8').includes(key + '\\n');
    const die = (place) => { if (dieAt === place) process.kill(process.pid, 'SIGKILL'); };
    (async () => {
      const run = await pool.run('r');
      if (run.status === 'finished') return pool.close();
      await run.decision('plan', () => 'pay');
      const paid = await run.tool('pay', { cents: 5 }, async (_args, { idempotencyKey: key }) => {
        die('before');
        // What is idempotent does nothing the second time.
        if (safety !== 'idempotent' || !has(key)) appendFileSync(outside, key + '\\n');
        die('after');
        return 'paid';
      }, { safety, probe: (key) => (has(key) ? { happened: true, result: 'paid' } : { happened: false }) });
      die('receipt');
      await run.finish(paid);
      await pool.close();
    })();`;

  const cases = (['before', 'after', 'receipt'] as const).flatMap((place) =>
    (['effect', 'idempotent'] as const).map((safety) => [place, safety] as const),
  );
  test.each(cases)('%s, %s: it happens once', async (place, safety) => {
    const path = `${bench.path}-killed`;
    const outside = `${path}.effects`;
    const life = async (dieAt: string) => {
      const args = ['-e', source, join(dist, 'index.js'), path, outside, dieAt, safety];
      const child = spawn(process.execPath, args, { stdio: 'inherit' });
      return (await once(child, 'exit')) as [number | null, string | null];
    };
    expect(await life(place)).toEqual([null, 'SIGKILL']);
    expect(existsSync(outside)).toBe(place !== 'before');
    // The probe of an effect that happened answers, so the tool, and with it the place to die, is
    // not reached again.
    const again = place === 'after' && safety === 'effect' ? [0, null] : [null, 'SIGKILL'];
    if (place !== 'receipt') expect(await life(place)).toEqual(again);
    expect(await life('nowhere')).toEqual([0, null]);
    expect(readFileSync(outside, 'utf8').trim().split('\n')).toHaveLength(1);
  });
});
