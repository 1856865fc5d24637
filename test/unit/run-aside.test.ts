/**
 * Hooks, probes and compensations are called in some lives of a run and not in others. What they
 * call of the run is counted by itself, so the run's own calls keep their numbers.
 */
import { expect, test } from 'vitest';

import type { Run } from '../../lib/index';
import { runsBench } from './support/runs';

const bench = runsBench('aside');
let life = 0;

/** What each of three lives of a run gives; each is the same code. */
async function lives(code: (run: Run) => Promise<unknown>, options = {}): Promise<unknown[]> {
  const given: unknown[] = [];
  for (life = 1; life <= 3; life += 1) {
    const run = await bench.pool.run('r', options);
    given.push(await code(run));
    if (life < 3) await bench.again();
  }
  return given;
}

/** Of the code that each life brings with it: nothing that was called aside lies ahead. */
async function newer(run: Run): Promise<number[]> {
  const versions: number[] = [];
  for (let at = 1; at <= life; at += 1) versions.push(await run.version(`of life ${at}`));
  return versions.slice(-1);
}

test("what hooks call is no call of the run's own", async () => {
  let made = 0;
  const look = ({ run }: { run: Run }) => run.step('look', () => `hook ${++made}`);
  const hooks = { onStart: look, onDecision: look, onInterval: look, everySteps: 2 };
  const code = async (run: Run) => {
    await run.decision('plan', () => 'go');
    const own = [await run.step('look', () => 'a'), await run.step('look', () => 'b')];
    return [...own, ...(await newer(run))];
  };
  expect(await lives(code, { hooks })).toEqual(Array(3).fill(['a', 'b', 1]));
  expect(made).toBe(3 + 1 + 1); // onStart in each life; what it calls counts for no interval
});

test('what a hook calls leads to no hook', async () => {
  const seen: unknown[] = [];
  const hooks = {
    onDecision: async ({ run, value }: { run: Run; value?: unknown }) => {
      seen.push(value);
      await run.decision('why', () => 'because');
    },
    onInterval: ({ run, steps }: { run: Run; steps: number }) => {
      seen.push(steps);
      return run.step('look', () => 1);
    },
    everySteps: 1,
  };
  const code = async (run: Run) => {
    await run.tool('pay', {}, () => 'paid');
    return run.decision('plan', () => 'go');
  };
  expect(await lives(code, { hooks })).toEqual(['go', 'go', 'go']);
  expect(seen).toEqual([1, 'go', 2]);
});

test('a hook that failed comes to its own calls again', async () => {
  const called: string[] = [];
  const hooks = {
    onDecision: async ({ run }: { run: Run }) => {
      await run.step('look', () => called.push('first'));
      if (life === 1) throw new Error('life 1 ends here');
      await run.step('look', () => called.push('second'));
    },
    // Each life has its own.
    onStart: async ({ run }: { run: Run }) => {
      await run.step('greet', () => 'hello');
      throw new Error('not today');
    },
    onHookError: () => {},
  };
  const code = async (run: Run) => {
    await run.decision('plan', () => 'go');
    return [await run.step('look', () => 'own'), ...(await newer(run))];
  };
  expect(await lives(code, { hooks })).toEqual(Array(3).fill(['own', 1]));
  expect(called).toEqual(['first', 'second']);
});

test('so it is of hooks within steps, and of a version that is asked for behind them', async () => {
  const hooks = { onDecision: ({ run }: { run: Run }) => run.step('look', () => 'hook') };
  const code = async (run: Run) => {
    const within = await run.step('outer', async () => {
      await run.decision('plan', () => 'go');
      const own = await run.step('look', () => 'inner');
      if (life < 3) throw new Error('not yet');
      return [own, await run.version('late', 1)];
    });
    return [within, await run.step('look', () => 'own')];
  };
  const given = await lives((run) => code(run).catch((error: Error) => error.message), { hooks });
  expect(given).toEqual(['not yet', 'not yet', [['inner', 1], 'own']]);
});

test('what a probe calls is asked anew each time it is asked', async () => {
  const code = async (run: Run) => {
    const paid = await run
      .tool('pay', {}, () => Promise.reject(new Error('cut off')), {
        probe: async () => {
          const found = await run.step('look', () => `probed in life ${life}`);
          return life < 3 ? 'unknown' : { happened: true, result: found };
        },
      })
      .catch((error: Error & { code?: string }) => error.code ?? error.message);
    return [paid, await run.step('look', () => 'own'), ...(await newer(run))];
  };
  expect(await lives(code)).toEqual([
    ['cut off', 'own', 1],
    ['ERR_HOLDFAST_OUTCOME_UNKNOWN', 'own', 1],
    ['probed in life 3', 'own', 1],
  ]);
});

test("what a compensation calls is no call of the run's own, and is made once", async () => {
  const called: unknown[] = [];
  const code = async (run: Run) => {
    for (const n of [1, 2])
      await run.tool('pay', n, () => n, {
        compensate: async (result) => {
          await run.step('note', () => called.push(`before ${result}`));
          if (result === 1 && life === 1) throw new Error('life 1 ends here');
          called.push(await run.version('undoing'));
          await run.step('note', () => called.push(`after ${result}`));
        },
      });
    for (const _time of [1, 2]) await run.rollback().catch(() => {});
    return [await run.step('note', () => 'own'), ...(await newer(run))];
  };
  expect(await lives(code)).toEqual(Array(3).fill(['own', 1]));
  expect(called).toEqual(['before 2', 1, 'after 2', 'before 1', 1, 'after 1']);
});

test('a rollback is known again, whatever was called aside before it', async () => {
  const undone: string[] = [];
  const hooks = {
    onStart: ({ run }: { run: Run }) => run.step('look', () => 'hook'),
    // Life 1 makes half of it, and the others know no such hook any more.
    onDecision: async ({ run }: { run: Run }) => {
      await run.step('look', () => 'hook');
      delete (hooks as { onDecision?: unknown }).onDecision;
      throw new Error('not today');
    },
    onHookError: () => {},
  };
  const pay = (run: Run, what: string) =>
    run.tool('pay', what, () => what, { compensate: (result) => void undone.push(result) });
  const code = async (run: Run) => {
    await run.decision('plan', () => 'go');
    await pay(run, 'first');
    const names = await run.rollback();
    return [names, await pay(run, 'stays')];
  };
  expect(await lives(code, { hooks })).toEqual(Array(3).fill([['pay'], 'stays']));
  expect(undone).toEqual(['first']);
});
