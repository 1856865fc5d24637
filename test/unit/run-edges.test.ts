/**
 * Steps and tools where things meet: results that cannot be kept, probes, runs that end in the
 * middle of a call.
 */
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import type { Run, ToolContext } from '../../lib/index';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('edges');
const busy = () => Object.assign(new Error('busy'), { neverHappened: true });

describe('runs that drive each other', () => {
  test("a run's calls are numbered in its own step, through another run's", async () => {
    const both = async (run: Run) => {
      await run.step('outer', async () => {
        const child = await run.child('c');
        if (child.status === 'finished') return;
        await child.step('x', () => run.step('y', () => 'inner'));
        await child.finish();
      });
      return run.step('y', () => 'outer');
    };
    expect(await both(await bench.pool.run('r'))).toBe('outer');
    expect(await both(await (await bench.again()).run('r'))).toBe('outer');
  });
});

describe('results', () => {
  test('that cannot be kept: nothing is repeated, and the outcome is unknown', async () => {
    const throwing = {
      get total(): number {
        throw new Error('unreadable');
      },
    };
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const odd = [
      () => 1,
      Symbol('s'),
      { deep: [() => 1] },
      new WeakRef({}),
      throwing,
      { proxy },
      { later: Promise.resolve(1) },
    ];
    const run = await bench.pool.run('r');
    let called = 0;
    for (const result of odd) {
      const tool = () => ((called += 1), result);
      await rejects(run.tool('t', 1, tool, { retry: 3, probe: never }), 'ERR_HOLDFAST_CODEC');
    }
    expect(called).toBe(odd.length);
    expect(bench.pool.unknownOutcomes()).toHaveLength(odd.length);
    for (const result of odd)
      await rejects(
        run.step('s', () => result),
        'ERR_HOLDFAST_CODEC',
      );
    expect(await bench.kinds()).not.toContain('step');
    const kept = [
      new (class Fare {
        cents = 5;
        #own = 6;
        own = () => this.#own;
        toJSON() {
          return 1;
        }
      })(),
      new Proxy({ cents: 5 }, {}),
    ];
    await rejects(
      run.tool('t', 1, () => kept[0]),
      'ERR_HOLDFAST_CODEC',
    ); // for its function
    expect(await run.tool('t', 1, () => kept[1])).toBe(kept[1]);
    const again = await (await bench.again()).run('r');
    for (const _ of odd) await rejects(again.tool('t', 1, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    await rejects(again.tool('t', 1, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    expect(await again.tool('t', 1, never)).toEqual({ cents: 5 });
  });

  test('are given to a compensation as they were recorded, whatever was done to them, and so at each attempt', async () => {
    const run = await bench.pool.run('r');
    const given: unknown[] = [];
    const booking = await run.tool('book', 1, () => ({ number: 'HF 7', seats: ['7A'] }), {
      compensate: (result) => {
        given.push(structuredClone(result));
        result.seats.length = 0;
        if (given.length === 1) throw new Error('closed on Sundays');
      },
    });
    booking.number = 'changed';
    booking.seats.push('7B');
    await expect(run.rollback()).rejects.toThrow('closed');
    expect(await run.rollback()).toEqual(['book']);
    expect(given).toEqual([
      { number: 'HF 7', seats: ['7A'] },
      { number: 'HF 7', seats: ['7A'] },
    ]);
  });
});

describe('a probe', () => {
  const deaf = () => new Promise<never>(() => {});

  test('that never answers is cut off as an attempt is, and the outcome stays unknown', async () => {
    const run = await bench.pool.run('r');
    const fail = () => Promise.reject(new Error('silent'));
    const late = run.tool('a', 1, fail, { retry: 2, timeout: 20, probe: deaf });
    await expect(late).rejects.toMatchObject({
      name: 'TimeoutError',
      message: expect.stringContaining('its probe') as string,
    });
    const stop = new AbortController();
    const stopping = () => (stop.abort(), deaf());
    await rejects(
      run.tool('b', 1, fail, { retry: 2, signal: stop.signal, probe: stopping }),
      'ERR_HOLDFAST_ABORTED',
    );
    expect(bench.pool.unknownOutcomes()).toHaveLength(2);
    const later = await (await bench.again()).run('r');
    await expect(later.tool('a', 1, never, { timeout: 20, probe: deaf })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    await rejects(
      later.tool('b', 1, never, { signal: AbortSignal.abort(), probe: never }),
      'ERR_HOLDFAST_ABORTED',
    );
    expect(bench.pool.unknownOutcomes()).toHaveLength(2);
  });

  test('that throws is passed on, and asked again in another life', async () => {
    const run = await bench.pool.run('r');
    const broken = () => Promise.reject(new Error('no line'));
    await expect(
      run.tool('a', 1, () => Promise.reject(new Error('silent')), { retry: 3, probe: broken }),
    ).rejects.toThrow('no line');
    const later = await (await bench.again()).run('r');
    await expect(later.tool('a', 1, never, { retry: 3, probe: broken })).rejects.toThrow('no line');
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ error: 'Error: silent' }]);
    const last = await (await bench.again()).run('r');
    expect(await last.tool('a', 1, never, { probe: () => ({ happened: true, result: 7 }) })).toBe(
      7,
    );
  });
});

test('of tools side by side one diverges: the others come to their end', async () => {
  const first = await bench.pool.run('r');
  await expect(first.tool('a', 1, () => Promise.reject(busy()))).rejects.toThrow('busy');
  const later = await (await bench.again()).run('r');
  const [diverged, ended] = await Promise.allSettled([
    later.tool('a', 2, never),
    later.tool('b', 1, () => pause(10, 'b')),
  ]);
  expect(diverged).toMatchObject({ status: 'rejected', reason: { code: 'ERR_HOLDFAST_DIVERGED' } });
  expect(ended).toEqual({ status: 'fulfilled', value: 'b' });
  expect(bench.pool.unknownOutcomes()).toEqual([]);
});

test.each(['finish', 'close'] as const)(
  '%s while a tool is called: it is told, records nothing, and its outcome is listed',
  async (end) => {
    const run = await bench.pool.run('r');
    let answer = (_: number): void => {};
    let called = (): void => {};
    const isCalled = new Promise<void>((go) => (called = go));
    const begun = new Promise<Promise<unknown>>((begin) => {
      const call: Promise<unknown> = run.tool(
        'pay',
        1,
        () =>
          new Promise<number>(
            (resolve) => ((answer = resolve), called(), begin(Promise.resolve().then(() => call))),
          ),
      );
    });
    const settled = begun.then((call) => call);
    await isCalled;
    await run[end](1);
    answer(1);
    const code = end === 'finish' ? 'ERR_HOLDFAST_RUN_FINISHED' : 'ERR_HOLDFAST_CLOSED';
    const why = end === 'finish' ? 'Await every call' : 'no longer drives';
    expect((await rejects(settled, code)).message).toContain(why);
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ run: 'r', tool: 'pay', attempt: 1 }]);
    expect(await bench.kinds()).not.toContain('receipt');
  },
);

test.each(['finish', 'close', 'park', 'the pool is closed'] as const)(
  '%s before the next attempt of a tool: nobody waits for that',
  async (end) => {
    const run = await bench.pool.run('r');
    let failed = (): void => {};
    const called = new Promise<void>((go) => (failed = go));
    const fails = () => (failed(), Promise.reject(new Error('busy')));
    const retry = { attempts: 2, delay: 600_000, maxDelay: 600_000 };
    const call = run.tool('ask', 1, fails, { safety: 'readOnly', retry });
    const ended = rejects(
      call,
      end === 'finish' ? 'ERR_HOLDFAST_RUN_FINISHED' : 'ERR_HOLDFAST_CLOSED',
    );
    await called;
    if (end === 'the pool is closed') await bench.again();
    else await run[end](1);
    await ended;
  },
);

describe('the end', () => {
  test('asked for in a hook before the end, or twice at once, is refused the second time', async () => {
    const errors: unknown[] = [];
    const ends: unknown[] = [];
    const run = await bench.pool.run('r', {
      hooks: {
        onEnd: ({ run, value }) => (ends.push(value), run.finish('inner')),
        onHookError: (error) => errors.push(error),
      },
    });
    const other = run.finish('outer');
    await rejects(run.finish('another'), 'ERR_HOLDFAST_RUN_FINISHED');
    await other;
    expect(ends).toEqual(['outer']);
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_HOLDFAST_RUN_FINISHED' })]);
    expect((await bench.pool.run('r')).result).toBe('outer');
  });

  test('that cannot be kept is told to no hook, and may be asked for again', async () => {
    const ends: unknown[] = [];
    const hooks = { onEnd: ({ value }: { value?: unknown }) => void ends.push(value) };
    const run = await bench.pool.run('r', { hooks });
    await rejects(run.finish(never), 'ERR_HOLDFAST_CODEC');
    await run.finish('kept');
    expect(ends).toEqual(['kept']);
    expect((await bench.pool.run('r')).result).toBe('kept');
  });
});

test('the hook of a decision within an attempt that is made again is called once', async () => {
  const decided: unknown[] = [];
  const hooks = { onDecision: ({ value }: { value?: unknown }) => void decided.push(value) };
  const run = await bench.pool.run('r', { hooks });
  const plan = async (_args: unknown, { attempt }: ToolContext): Promise<unknown> => {
    const value = await run.decision('plan', () => attempt);
    if (attempt < 3) throw busy();
    return value;
  };
  expect(await run.tool('ask', 1, plan, { retry: { attempts: 3, delay: 1 } })).toBe(1);
  expect(decided).toEqual([1]);
});

test('the state of a run whose pool was closed before it was read is no state that is not there', async () => {
  const run = await bench.pool.run('r');
  await run.checkpoint({ n: 1 });
  const later = await (await bench.again()).run('r');
  await bench.pool.close();
  expect(() => later.state).toThrow(
    expect.objectContaining({ code: 'ERR_HOLDFAST_CLOSED' }) as Error,
  );
  expect(run.state).toEqual({ n: 1 });
});

test('code that goes on beside a wait that has lost a race is told so; one that is ended keeps nobody', async () => {
  const decide = async (run: Run, ends: boolean): Promise<string> => {
    const race = new AbortController();
    const options = ends ? { signal: race.signal } : {};
    const answer = await Promise.race([
      run.signal('approve', options),
      run.sleep(1, options).then(() => 'nobody'),
    ]).finally(() => race.abort());
    await pause(2500); // not in a step: nothing tells that the code goes on
    return run.step('go on', () => `${String(answer)} approved`);
  };
  const run = await bench.pool.run('r', { suspendAfter: 2000 });
  const error = await rejects(decide(run, false), 'ERR_HOLDFAST_CLOSED');
  expect(error.message).toContain('suspended while it waited for "approve"');
  const again = await bench.pool.run('r', { suspendAfter: 2000 });
  expect(await decide(again, true)).toBe('nobody approved');
});

describe('ids', () => {
  test('that cannot be are refused, whoever asks, and nothing is begun', async () => {
    const { pool } = bench;
    const run = await pool.run('r');
    const { checkpoint } = await run.checkpoint(1);
    const asks = (id: string) => [
      pool.run(id),
      run.child(id),
      run.fork(checkpoint, id),
      pool.signal(id, 'a', 1),
      pool.prune(id),
      pool.journal(id).next(),
      new Promise((go) => go(pool.runInfo(id))),
      new Promise((go) => go([...pool.history(id)])),
    ];
    for (const id of ['', 'x'.repeat(4096)])
      for (const ask of asks(id)) await rejects(ask, 'ERR_HOLDFAST_OUT_OF_RANGE');
    for (const id of ['a\ud800', 'a\0b'])
      for (const ask of asks(id)) await rejects(ask, 'ERR_HOLDFAST_INVALID_ARGUMENT');
    for (const name of ['a\ud800', 'a\0b'])
      await rejects(run.step(name, never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    expect([...pool.runs()].map(({ id }) => id)).toEqual(['r']);
  });

  test('and names may hold any other character', async () => {
    const odd = 'a\nb\t\x1b[31m "q" \u{1f600}';
    const run = await bench.pool.run(odd);
    await run.step(odd, () => 1);
    await run.tool(odd, odd, (args) => args);
    await (await run.child(odd)).finish(odd);
    const again = await (await bench.again()).run(odd);
    expect([
      await again.step(odd, never),
      await again.tool(odd, odd, never),
      (await again.child(odd)).result,
    ]).toEqual([1, odd, odd]);
  });

  test('of one run asked for many times at once: one drives', async () => {
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => bench.pool.run('r')));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of all)
      if (one.status === 'rejected')
        expect(one.reason).toMatchObject({ code: 'ERR_HOLDFAST_RUN_ACTIVE' });
  });
});
