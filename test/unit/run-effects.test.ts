/**
 * Outside effects: retries, time-outs, aborts, operations applied once; killed in the
 * middle.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { PoolBatch } from '../../lib/batch';
import type { ToolContext, ToolOptions } from '../../lib/index';
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

  test('cancel lets an attempt come to its end, which hears it; it ends all else', async () => {
    const run = await bench.pool.run('r');
    const before = AbortSignal.abort(new Error('enough'));
    await rejects(run.tool('t', 1, never, { cancel: before }), 'ERR_HOLDFAST_ABORTED');
    await expect(run.tool('t', 1, never, { cancel: 5 as never })).rejects.toThrow(
      'cancel must be an AbortSignal',
    );
    expect(await bench.kinds()).toEqual(['start']);
    const during = new AbortController();
    let heard: AbortSignal | undefined;
    const toItsEnd = async (_args: unknown, { signal }: ToolContext): Promise<string> => {
      heard = signal;
      during.abort(new Error('enough'));
      expect(signal.aborted).toBe(true);
      await pause(5);
      return 'paid';
    };
    expect(await run.tool('t', 1, toItsEnd, { cancel: during.signal })).toBe('paid');
    expect(heard?.reason).toMatchObject({ code: 'ERR_HOLDFAST_ABORTED' });
    expect(bench.pool.unknownOutcomes()).toEqual([]);
    // No further attempt, and no pause before one.
    let calls = 0;
    const failsOnce = (cancel: AbortController, inPause: boolean) => () => {
      calls += 1;
      if (inPause) setTimeout(() => cancel.abort(), 5);
      else cancel.abort();
      throw busy();
    };
    for (const inPause of [true, false]) {
      const cancel = new AbortController();
      const retry = { attempts: 9, delay: 1e9 };
      const options = { cancel: cancel.signal, retry, safety: 'readOnly' } as const;
      await rejects(
        run.tool(`u ${inPause}`, 1, failsOnce(cancel, inPause), options),
        'ERR_HOLDFAST_ABORTED',
      );
    }
    expect(calls).toBe(2);
    // Nor does a probe that never answers keep anybody.
    const cancel = new AbortController();
    const probe = () => {
      cancel.abort();
      return new Promise<never>(() => undefined);
    };
    const retry = { attempts: 2, delay: 1 };
    const asked = run.tool('v', 1, failing(9, busy), { cancel: cancel.signal, retry, probe });
    await rejects(asked, 'ERR_HOLDFAST_ABORTED');
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
