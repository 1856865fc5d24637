/** Hooks: where they are called, and what one that fails does. */
import { describe, expect, test } from 'vitest';

import { open, type HookEvent } from '../../lib/index';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('hooks');

describe('hooks', () => {
  const recorder = () => {
    const seen: string[] = [];
    const note = (name: string) => (event: HookEvent) =>
      void seen.push(`${name} ${event.steps} ${String(event.value ?? event.run.id)}`);
    return {
      seen,
      hooks: {
        onStart: note('start'),
        onDecision: note('decision'),
        onInterval: note('interval'),
        onEnd: note('end'),
        everySteps: 2,
      },
    };
  };

  test('a run whose hook could not be recorded is free again', async () => {
    const path = `${bench.path}-small`;
    const small = await open(path, { medium: 'file', size: 1 << 20 });
    const filler = small.keyspace('filler', { value: 'bytes' });
    const fill = (): void => {
      let key = 0;
      for (const size of [100_000, 10_000, 1000, 100, 10, 0])
        try {
          for (;;) filler.putSync(`${++key}`, new Uint8Array(size), { durability: 'eventual' });
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_HOLDFAST_POOL_FULL' });
        }
    };
    await rejects(small.run('r', { hooks: { onStart: fill } }), 'ERR_HOLDFAST_POOL_FULL');
    expect(small.runInfo('r')?.driven).toBe(false);
    for (const key of [...filler.keys()]) filler.deleteSync(key, { durability: 'eventual' });
    await small.compact();
    await (await small.run('r')).finish(1);
    await small.close();
  });

  test('are called at their points, once each over the lives of a run', async () => {
    const first = recorder();
    const run = await bench.pool.run('r', { hooks: first.hooks });
    await run.decision('plan', () => 'go');
    await run.step('a', () => 1);
    expect(first.seen).toEqual(['start 0 r', 'decision 0 go', 'interval 2 r']);
    const second = recorder();
    const later = await (await bench.again()).run('r', { hooks: second.hooks });
    await later.decision('plan', never);
    await later.step('a', never);
    await later.tool('b', 1, () => 1);
    await later.step('c', () => 1);
    await later.finish('all');
    expect(second.seen).toEqual(['start 0 r', 'interval 4 r', 'end 4 all']);
  });

  test('that fail are written down and reported, and lose nothing', async () => {
    const errors: string[] = [];
    const fail = (): never => {
      throw new Error('no memory today');
    };
    const hooks = {
      onStart: fail,
      onDecision: () => Promise.reject(new Error('no memory today')),
      onInterval: fail,
      onEnd: fail,
      everySteps: 1,
      onHookError: (_error: unknown, name: string) => void errors.push(name),
    };
    const run = await bench.pool.run('r', { hooks });
    expect(await run.decision('plan', () => 'go')).toBe('go');
    await run.finish(1);
    expect(errors).toEqual(['onStart', 'onDecision', 'onInterval', 'onEnd']);
    expect(await bench.kinds()).toEqual([
      ...['start', 'hook', 'decision', 'hook', 'hook', 'hook', 'end'],
    ]);
    expect((await bench.journal())[1]).toMatchObject({ error: 'Error: no memory today' });
    const textless = await bench.pool.run('s', {
      hooks: {
        onDecision: () => Promise.reject(Object.create(null)),
        onHookError: fail,
      },
    });
    expect(await textless.decision('d', () => 1)).toBe(1);
    expect(await bench.kinds('s')).toEqual(['start', 'decision', 'hook']);
    for (const hooks of [{ onStart: 5 }, 5])
      await rejects(
        bench.pool.run('s', { hooks: hooks as never }),
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
  });
});
