/** Outside effects of which nobody knows whether they happened: listed, resolved, called again. */
import { describe, expect, test } from 'vitest';

import { open } from '../../lib/index';
import type { Resolution, ToolContext } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { busy, failing, never, refused, rejects, runsBench } from './support/runs';

const bench = runsBench('outcomes');

describe('unknown outcomes', () => {
  /** An effect whose process died in its middle. */
  async function cutOff(): Promise<string> {
    const run = await bench.pool.run('r');
    let key = '';
    let end = (): void => {};
    const begun = new Promise<void>((resolve) => {
      const tool = async (_args: unknown, context: ToolContext) => {
        key = context.idempotencyKey;
        resolve();
        await new Promise<void>((go) => (end = go));
      };
      run.tool('pay', { cents: 5 }, tool).catch(() => {});
    });
    await begun;
    expect(bench.pool.unknownOutcomes()).toEqual([]);
    await rejects(bench.pool.resolve(key, 'happened'), 'ERR_HOLDFAST_CONFLICT');
    await bench.again();
    end();
    return key;
  }

  test.each([
    [
      new TypeError('fetch failed', {
        cause: new AggregateError([new Error('refused ::1'), new Error('refused 127.0.0.1')]),
      }),
      'TypeError: fetch failed (AggregateError) (Error: refused ::1; Error: refused 127.0.0.1)',
    ],
    [new Error('a', { cause: new Error('b', { cause: 'c' }) }), 'Error: a (Error: b) (c)'],
    [Object.assign(new Error('a'), { cause: new Error('b'.repeat(2000)) }), /^Error: a \(.{990}$/],
    [{ status: 429, message: 'slow down' }, "{ status: 429, message: 'slow down' }"],
  ])('are told with what led to the error', async (thrown, told) => {
    const run = await bench.pool.run('r');
    await run.tool('pay', 1, () => Promise.reject(thrown)).catch(() => {});
    const [{ error }] = bench.pool.unknownOutcomes() as [{ error: string }];
    if (typeof told === 'string') expect(error).toBe(told);
    else expect(error).toMatch(told);
  });

  test('an error that is its own cause is told once', async () => {
    const run = await bench.pool.run('r');
    const error = new Error('round');
    error.cause = new Error('and round', { cause: error });
    await run.park(error);
    expect(bench.pool.runInfo('r')?.failed?.error).toBe('Error: round (Error: and round)');
  });

  test('what was cut off is listed and can be resolved while the run is driven', async () => {
    const key = await cutOff();
    const run = await bench.pool.run('r');
    await rejects(run.tool('pay', { cents: 5 }, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    expect(bench.pool.runInfo('r')).toMatchObject({
      status: 'waiting',
      driven: true,
      waits: [{ outcome: key }],
    });
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ id: key, attempt: 1 }]);
    await bench.pool.resolve(key, { value: 'paid' });
    run.close();
    const later = await bench.pool.claim();
    expect(await later!.tool('pay', { cents: 5 }, never)).toBe('paid');
  });

  test('is not resolved once something has become of it meanwhile', async () => {
    const key = await cutOff();
    const { intents, resolutions } = Journals.of(bench.pool);
    const gone = intents.delete(key); // on its way, as a driver's receipt may be
    await rejects(bench.pool.resolve(key, 'happened'), 'ERR_HOLDFAST_CONFLICT');
    await gone;
    expect(resolutions.count()).toBe(0);
  });

  test.each(['never-happened', { value: 'said' }] as const)(
    'what is said (%j) while the probe answers is of that attempt alone',
    async (resolution) => {
      const key = await cutOff();
      const run = await bench.pool.run('r');
      const { intents, resolutions } = Journals.of(bench.pool);
      let said: Promise<unknown> | undefined;
      const probe = () => {
        // On its way when the next attempt is begun.
        said = bench.pool.commit(
          bench.pool
            .batch()
            .requirePresent(intents, key)
            .put(resolutions, key, {
              at: Date.now(),
              happened: resolution !== 'never-happened',
              ...(resolution !== 'never-happened' && resolution),
            }),
        );
        return { happened: false as const };
      };
      let called = 0;
      const pay = () => {
        called += 1;
        throw new Error('it happened, and then the line was cut');
      };
      const result = await run.tool('pay', { cents: 5 }, pay, { probe }).catch(() => 'failed');
      await said;
      if (resolution !== 'never-happened') expect([result, called]).toEqual(['said', 0]);
      else {
        expect([result, called]).toEqual(['failed', 1]);
        expect(bench.pool.unknownOutcomes()).toMatchObject([{ id: key, attempt: 2 }]);
        const later = await (await bench.again()).run('r');
        const happened = () => ({ happened: true as const, result: 'paid' });
        expect(await later.tool('pay', { cents: 5 }, never, { probe: happened })).toBe('paid');
      }
      expect(Journals.of(bench.pool).resolutions.count()).toBe(0);
    },
  );

  test('what is said between two attempts takes nothing from the second', async () => {
    const run = await bench.pool.run('r');
    const { resolutions } = Journals.of(bench.pool);
    let key = '';
    let said: Promise<unknown> | undefined;
    const probe = () => {
      said ??= resolutions.put(key, { at: Date.now(), happened: false });
      return { happened: false as const };
    };
    let inner = 0;
    const outer = async (_args: unknown, context: ToolContext) => {
      key = context.idempotencyKey;
      await run.step('inner', () => (inner += 1));
      if (context.attempt === 1) throw busy();
      return context.attempt;
    };
    const retry = { attempts: 2, delay: 0 };
    expect(await run.tool('outer', 1, outer, { probe, retry })).toBe(2);
    expect(said).toBeDefined();
    expect([inner, resolutions.count()]).toEqual([1, 0]);
  });

  test('it is listed and can be resolved while its probe fails', async () => {
    const key = await cutOff();
    const run = await bench.pool.run('r');
    const probe = () => Promise.reject(new Error('the bank is closed'));
    await expect(run.tool('pay', { cents: 5 }, never, { probe })).rejects.toThrow(
      'the bank is closed',
    );
    const error = 'its probe failed: Error: the bank is closed';
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ id: key, attempt: 1, error }]);
    await bench.pool.resolve(key, 'happened');
    const later = await (await bench.again()).run('r');
    expect(await later.tool('pay', { cents: 5 }, never, { probe })).toBeUndefined();
  });

  test.each<[Resolution, unknown]>([
    ['happened', undefined],
    [{ value: { receipt: 7n } }, { receipt: 7n }],
  ])('%o becomes the receipt', async (resolution, result) => {
    const key = await cutOff();
    expect(bench.pool.unknownOutcomes()).toMatchObject([
      { id: key, run: 'r', tool: 'pay', args: { cents: 5 }, attempt: 1 },
    ]);
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    await rejects(run.tool('pay', { cents: 5 }, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    run.close();
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'waiting', waits: [{ outcome: key }] });
    expect(await bench.pool.claim()).toBeUndefined();
    expect(await bench.pool.resolve(key, resolution)).toMatchObject({ durability: 'durable' });
    expect(bench.pool.unknownOutcomes()).toEqual([]);
    const claimed = await bench.pool.claim();
    expect(await claimed!.tool('pay', { cents: 5 }, never)).toEqual(result);
    expect((await bench.journal()).at(-1)).toMatchObject({ kind: 'receipt', from: 'resolution' });
    for (const name of ['intents', 'resolutions'])
      expect(bench.pool.keyspace(`holdfast.${name}`).count()).toBe(0);
    const later = await (await bench.again()).run('r');
    expect(await later.tool('pay', { cents: 5 }, never)).toEqual(result);
  });

  test('never-happened lets it be called again, with its key', async () => {
    const key = await cutOff();
    await bench.pool.resolve(key, 'never-happened');
    const run = await bench.pool.run('r');
    const call = (_args: unknown, { idempotencyKey, attempt }: ToolContext) => [
      idempotencyKey,
      attempt,
    ];
    expect(await run.tool('pay', { cents: 5 }, call)).toEqual([key, 2]);
  });

  test('the first answer stands: the same again is a success, another is refused, also at the same moment', async () => {
    const key = await cutOff();
    const answers: Resolution[] = [
      { value: { receipt: 7n } },
      'never-happened',
      { value: { receipt: 7n } },
      'happened',
    ];
    const ends = await Promise.allSettled(answers.map((answer) => bench.pool.resolve(key, answer)));
    expect(ends.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ]);
    const error = await rejects(bench.pool.resolve(key, 'never-happened'), 'ERR_HOLDFAST_CONFLICT');
    expect(error.message).toMatch(
      /it happened, with the result { receipt: 7n }.*now: it never happened/,
    );
    const again = await bench.again();
    expect(await again.resolve(key, { value: { receipt: 7n } })).toMatchObject({
      durability: 'durable',
    });
    await rejects(again.resolve(key, { value: { receipt: 8n } }), 'ERR_HOLDFAST_CONFLICT');
    const run = await again.run('r');
    expect(await run.tool('pay', { cents: 5 }, never)).toEqual({ receipt: 7n });
  });

  const listed = () =>
    ['intents', 'resolutions'].map((name) => bench.pool.keyspace(`holdfast.${name}`).count());

  test('nothing is kept of what never happened; a run that ends leaves only what is unknown, until somebody says what it was', async () => {
    const run = await bench.pool.run('r');
    await expect(
      run.tool('t', 1, failing(9, refused), { retry: { attempts: 2, delay: 1 } }),
    ).rejects.toThrow('refused');
    expect(listed()).toEqual([0, 0]);
    for (const name of ['said', 'unsaid'])
      await expect(run.tool(name, 1, failing(9, busy))).rejects.toThrow('busy');
    const [said, unsaid] = bench.pool.unknownOutcomes();
    await bench.pool.resolve(said!.id, 'never-happened');
    // as earlier builds left one
    const old = { run: 'r', sequence: 1, name: 'old', at: 1, attempt: 1, state: 'never' as const };
    await Journals.of(bench.pool).intents.put(`${said!.id}1`, old);
    expect(listed()).toEqual([3, 1]);
    await run.finish(0);
    expect(listed()).toEqual([1, 0]);
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ id: unsaid!.id, tool: 'unsaid' }]);
    await bench.pool.resolve(unsaid!.id, 'happened');
    expect(listed()).toEqual([0, 0]);
    await rejects(bench.pool.resolve(unsaid!.id, 'never-happened'), 'ERR_HOLDFAST_NOT_FOUND');
  });

  test('the code may call it idempotent afterwards: then it is called again, and no longer listed', async () => {
    const key = await cutOff();
    let run = await bench.pool.run('r');
    await rejects(run.tool('pay', { cents: 5 }, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    run = await (await bench.again()).run('r');
    let meanwhile: Promise<unknown> | undefined;
    const pay = async (): Promise<string> => {
      meanwhile = rejects(bench.pool.resolve(key, 'never-happened'), 'ERR_HOLDFAST_CONFLICT');
      await meanwhile;
      return 'paid';
    };
    expect(await run.tool('pay', { cents: 5 }, pay, { safety: 'idempotent' })).toBe('paid');
    expect(listed()).toEqual([0, 0]);
  });

  test('the code may call it an effect afterwards: then it is listed, and can be resolved', async () => {
    let run = await bench.pool.run('r');
    await expect(run.tool('pay', 5, failing(1, busy), { safety: 'idempotent' })).rejects.toThrow(
      'busy',
    );
    run = await (await bench.again()).run('r');
    await rejects(run.tool('pay', 5, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    const [outcome] = bench.pool.unknownOutcomes();
    expect(outcome).toMatchObject({ run: 'r', tool: 'pay', args: 5, attempt: 1 });
    await bench.pool.resolve(outcome!.id, { value: 'paid' });
    run = await (await bench.again()).run('r');
    expect(await run.tool('pay', 5, never)).toBe('paid');
    expect(listed()).toEqual([0, 0]);
  });

  test('what cannot be resolved', async () => {
    await rejects(bench.pool.resolve('none', 'happened'), 'ERR_HOLDFAST_NOT_FOUND');
    await rejects(bench.pool.resolve('none', 'maybe' as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    await rejects(bench.pool.resolve('', 'happened'), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    const run = await bench.pool.run('r');
    await expect(run.tool('t', 1, failing(1, refused))).rejects.toThrow('refused');
    expect(bench.pool.unknownOutcomes()).toEqual([]);
  });

  test('a result that cannot be kept is an outcome to resolve', async () => {
    const run = await bench.pool.run('r');
    await rejects(
      run.tool('t', 1, () => () => 1),
      'ERR_HOLDFAST_CODEC',
    );
    expect(bench.pool.unknownOutcomes()).toHaveLength(1);
    await using small = await open(`${bench.path}.small`, { medium: 'file', size: 4 * 2 ** 20 });
    const full = await small.run('r');
    await rejects(
      full.tool('t', 1, () => new Uint8Array(2 ** 23)),
      'ERR_HOLDFAST_BATCH_TOO_LARGE',
    );
    expect(small.unknownOutcomes()).toMatchObject([
      { run: 'r', tool: 't', error: expect.stringContaining('bytes') as string },
    ]);
  });
});

describe('what is said while a driver that lost its lease goes on', () => {
  const listed = () =>
    ['intents', 'resolutions'].map((name) => bench.pool.keyspace(`holdfast.${name}`).count());
  const paused = new Int32Array(new SharedArrayBuffer(4));
  const retry = { attempts: 2, delay: 0 };
  const said = { value: 'said' };

  /** The first attempt goes on through its lease, and is resolved; the end of it is `ends`. */
  async function resolvedMeanwhile(resolution: Resolution, ends: () => unknown, options = {}) {
    const pool = await bench.again({ lease: 30 });
    await using other = await open(bench.path);
    const run = await pool.run('r');
    const pay = async (_args: unknown, { idempotencyKey, attempt }: ToolContext) => {
      if (attempt > 1) return `attempt ${attempt}`;
      Atomics.wait(paused, 0, 0, 100);
      await other.resolve(idempotencyKey, resolution);
      return ends();
    };
    const paying = run.tool('pay', 5, pay, options);
    return { run, paid: await paying.catch((error: Error) => error.message) };
  }

  const throws = (make: () => Error) => () => {
    throw make();
  };

  test.each<Resolution>(['never-happened', said])(
    'counts no more than what the call gives (%j)',
    async (resolution) => {
      const { paid } = await resolvedMeanwhile(resolution, () => 'paid');
      expect([paid, listed()]).toEqual(['paid', [0, 0]]);
    },
  );

  test('stands where it says that it happened: no other attempt is made', async () => {
    for (const [ends, options] of [
      [throws(refused), { retry }],
      [throws(busy), { retry, probe: () => ({ happened: false }) }],
    ] as const) {
      const { run, paid } = await resolvedMeanwhile(said, ends, options);
      expect([paid, listed()]).toEqual(['said', [0, 0]]);
      await run.finish();
      await bench.pool.forgetRuns({ olderThan: -1000 });
    }
    const { run } = await resolvedMeanwhile(said, throws(busy));
    run.close();
    const later = (await bench.pool.claim())!;
    expect([await later.tool('pay', 5, never), listed()]).toEqual(['said', [0, 0]]);
  });

  test('is asked anew where it says that it did not: it may have, since', async () => {
    const { run, paid } = await resolvedMeanwhile('never-happened', throws(busy), { retry });
    expect([paid, listed()]).toEqual(['busy', [1, 0]]);
    expect(bench.pool.unknownOutcomes()).toMatchObject([{ tool: 'pay', error: 'Error: busy' }]);
    run.close();
    const later = await bench.pool.run('r');
    await rejects(later.tool('pay', 5, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
  });

  test('is not kept behind the end of a run that makes no use of it', async () => {
    const { run, paid } = await resolvedMeanwhile(said, throws(refused));
    expect([paid, listed()]).toEqual(['refused', [0, 1]]);
    await run.finish();
    expect(listed()).toEqual([0, 0]);
  });
});
