/**
 * Attempts of a tool, and what is called within them: kept for the next one, and told or refused
 * where an attempt goes on behind the next (lib/run/attempts.ts).
 */
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import type { Run, ToolContext } from '../../lib/index';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('attempts');
const busy = () => Object.assign(new Error('busy'), { neverHappened: true });

describe('what was called within an attempt', () => {
  /** An effect of the outside world, which knows its keys. */
  const keys: string[] = [];
  const pay = (_args: unknown, { idempotencyKey }: ToolContext) => keys.push(idempotencyKey);
  const undone: string[] = [];
  const trip = async (run: Run, attempts: number, failures: number) => {
    const made: unknown[] = [];
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      made.push(await run.step('plan', () => attempt));
      made.push(
        await run.tool('pay', 1, pay, {
          compensate: (_result, { idempotencyKey }) => void undone.push(idempotencyKey),
        }),
      );
      made.push(await run.step('deeper', () => run.tool('pay', 2, pay)));
      made.push(await run.version('way', attempt));
      made.push(await run.signal('go'));
      if (attempt <= failures) throw busy();
      return attempt;
    };
    const result = await run.tool('trip', 1, outer, { retry: { attempts, delay: 1 } });
    return { result, made };
  };
  const once = [1, 1, 2, 1, 'first'];

  test('is kept for the next one, in this life as in another', async () => {
    for (const lives of [1, 3]) {
      keys.length = undone.length = 0;
      const id = `r${lives}`;
      let run = await bench.pool.run(id);
      for (const value of ['first', 'second', 'third']) await bench.pool.signal(id, 'go', value);
      let end: Awaited<ReturnType<typeof trip>> | undefined;
      for (let life = 1; life <= lives; ++life) {
        if (life > 1) run = await (await bench.again()).run(id);
        end = await trip(run, lives === 1 ? 3 : 1, 2).catch(() => undefined);
      }
      expect([lives, end]).toEqual([
        lives,
        { result: 3, made: lives === 1 ? [...once, ...once, ...once] : once },
      ]);
      expect([keys.length, new Set(keys).size]).toEqual([2, 2]);
      expect(await run.signal('go')).toBe('second');
      // Nothing that is kept lies ahead any more.
      expect(await run.version('behind', 7)).toBe(7);
      expect(await run.rollback()).toEqual(['pay']);
      expect(undone).toHaveLength(1);
      const kinds = (await bench.kinds(id)).filter((kind) =>
        ['step', 'receipt', 'version'].includes(kind),
      );
      expect(kinds.sort()).toEqual([
        'receipt',
        'receipt',
        'receipt',
        'receipt',
        'step',
        'step',
        'version',
        'version',
      ]);
    }
  });

  test('and is shared by a fork is kept for each of its attempts', async () => {
    const run = await bench.pool.run('r');
    const cut = run.tool('outer', 1, async () => {
      await run.tool('pay', 1, () => 'paid');
      await run.checkpoint(1);
      throw new Error('cut off');
    });
    await expect(cut).rejects.toThrow('cut off');
    await run.fork([...run.history()][0]!.id, 'f');
    const fork = await bench.pool.run('f');
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      const paid = await fork.tool('pay', 1, never);
      if (attempt < 3) throw busy();
      return paid;
    };
    const retry = { attempts: 3, delay: 1 };
    expect(await fork.tool('outer', 1, outer, { retry })).toBe('paid');
  });

  test('and goes on behind an attempt that was cut off is not called beside itself', async () => {
    const run = await bench.pool.run('r');
    let called = 0;
    let paid = (_: string): void => {};
    const slow = () => {
      called += 1;
      return new Promise<string>((resolve) => (paid = resolve));
    };
    const outer = async () => run.tool('pay', 1, slow);
    const call = run.tool('outer', 1, outer, {
      safety: 'idempotent',
      retry: { attempts: 2, delay: 1 },
      timeout: 1000,
    });
    await rejects(call, 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    expect(called).toBe(1);
    paid('late');
    await expect.poll(() => bench.pool.unknownOutcomes()).toEqual([]);
    const later = await (await bench.again()).run('r');
    expect(
      await later.tool('outer', 1, () => later.tool('pay', 1, never), { safety: 'idempotent' }),
    ).toBe('late');
  });
});

describe('what goes on within an attempt behind which another was begun', () => {
  const twice = { safety: 'idempotent', retry: { attempts: 2, delay: 1 } } as const;
  const gate = () => {
    let open!: (value?: unknown) => void;
    const passed = new Promise((resolve) => (open = resolve));
    return { open, passed };
  };
  const calls = async () =>
    (await bench.journal()).flatMap(({ kind, name, result, intent }) =>
      ['step', 'intent', 'receipt', 'signal'].includes(kind)
        ? [[kind, name ?? intent, result]]
        : [],
    );

  test('calls nothing more', async () => {
    const run = await bench.pool.run('r');
    const keys: string[] = [];
    const second = gate();
    let refused: Promise<unknown> | undefined;
    const pay = () => run.tool('pay', 1, (_args, { idempotencyKey: key }) => keys.push(key));
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      if (attempt === 1) {
        refused = second.passed.then(async () => {
          await rejects(pay(), 'ERR_HOLDFAST_ABORTED');
          await rejects(run.step('nested', never), 'ERR_HOLDFAST_ABORTED');
          await rejects(run.checkpoint(1), 'ERR_HOLDFAST_ABORTED');
          await rejects(run.finish(), 'ERR_HOLDFAST_ABORTED');
        });
        throw busy();
      }
      const paid = await pay();
      second.open();
      await refused;
      return paid;
    };
    expect(await run.tool('outer', 1, outer, twice)).toBe(1);
    expect(keys).toHaveLength(1);
    expect(await run.step('behind', () => 2)).toBe(2);
    expect(await calls()).toHaveLength(5);
  });

  test('records nothing of a step, takes no signal, and keeps nothing busy', async () => {
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    const first = gate();
    const ended: Promise<unknown>[] = [];
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      const both = [
        run.step('slow', () => (attempt === 1 ? first.passed : 'second')),
        run.signal('go', { suspendAfter: 60_000 }),
      ] as const;
      if (attempt === 1) {
        ended.push(...both.map((one) => rejects(one, 'ERR_HOLDFAST_ABORTED')));
        await pause(20);
        throw busy();
      }
      await both[0];
      first.open('first');
      await bench.pool.signal('r', 'go', 'went');
      return Promise.all(both);
    };
    expect(await run.tool('outer', 1, outer, twice)).toEqual(['second', 'went']);
    await Promise.all(ended);
    const whole = [
      ['intent', 'outer', undefined],
      ['step', 'slow', 'second'],
      ['signal', 'go', 'went'],
      ['receipt', 1, ['second', 'went']],
    ];
    expect(await calls()).toEqual(whole);
    await rejects(run.sleep(60_000), 'ERR_HOLDFAST_SUSPENDED');
  });

  test('tells how an effect ended, once nobody can ask for it any more', async () => {
    const run = await bench.pool.run('r');
    const landed = gate();
    let effect: Promise<unknown> | undefined;
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      effect ??= run.tool('pay', 1, () => landed.passed);
      if (attempt === 1) {
        await pause(20);
        throw busy();
      }
      landed.open('paid');
      // Not a wait for its own end.
      await rejects(effect, 'ERR_HOLDFAST_ABORTED');
      return 'done';
    };
    expect(await run.tool('outer', 1, outer, twice)).toBe('done');
    await expect.poll(calls).toContainEqual(['receipt', 2, 'paid']);
    await run.finish();
    expect(bench.pool.unknownOutcomes()).toEqual([]);
  });

  test('forgets nothing that the next attempt asks for', async () => {
    const run = await bench.pool.run('r');
    const [hanging, over] = [gate(), gate()];
    const keys: string[] = [];
    let left: Promise<unknown> | undefined;
    const mid = async (_args: unknown, { attempt }: ToolContext) => {
      if (attempt === 2) {
        hanging.open();
        await over.passed;
      }
      if (attempt === 3) {
        over.open();
        await left;
      }
      await run.tool('pay', 1, (_args, { idempotencyKey: key }) => keys.push(key));
      if (attempt === 1) throw busy();
      return 'paid';
    };
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      const call = run.tool('mid', 1, mid, twice);
      if (attempt === 2) return call;
      left = rejects(call, 'ERR_HOLDFAST_ABORTED');
      await hanging.passed;
      throw busy();
    };
    expect(await run.tool('outer', 1, outer, twice)).toBe('paid');
    expect(keys).toHaveLength(1);
  });

  test('is not called again by a branch of the last one, which failed', async () => {
    const run = await bench.pool.run('r');
    const failed = gate();
    const keys: string[] = [];
    let branch: Promise<unknown> | undefined;
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      branch = run.step('side', async () => {
        if (attempt === 2) await failed.passed;
        await run.tool('pay', 1, (_args, { idempotencyKey: key }) => keys.push(key));
        const found = await run.step('look', () => keys.length);
        if (attempt === 1) throw busy();
        return found;
      });
      if (attempt === 1) await branch;
      throw busy();
    };
    const call = run.tool('outer', 1, outer, { retry: { attempts: 2, delay: 1 } });
    await expect(call).rejects.toThrow('busy');
    failed.open();
    expect(await branch).toBe(1);
    expect(keys).toHaveLength(1);
  });

  test.each([
    ['what a probe found out stands', { happened: true, result: 'found' }, ['found']],
    ['what was called again stands', { happened: false }, ['again']],
  ] as const)('%s', async (_, answer, stands) => {
    const run = await bench.pool.run('r');
    const landed = gate();
    let late: Promise<unknown> | undefined;
    const outer = async (_args: unknown, { attempt }: ToolContext) => {
      const pay = (_: unknown, context: ToolContext) =>
        context.attempt === 1 ? landed.passed : 'again';
      const effect = run.tool('pay', 1, pay, { probe: () => answer });
      if (attempt === 2) return [await effect];
      late = rejects(effect, 'ERR_HOLDFAST_ABORTED');
      await pause(20);
      throw busy();
    };
    expect(await run.tool('outer', 1, outer, twice)).toEqual(stands);
    landed.open('late');
    await late;
    await run.step('behind', () => 1);
    const receipts = (await calls()).filter(([kind]) => kind === 'receipt');
    expect(receipts).toEqual([
      ['receipt', 2, stands[0]],
      ['receipt', 1, stands],
    ]);
  });
});
