/** What docs/runs.md promises in passing: limits, warnings, pruning, and who may change a pool. */
import { once } from 'node:events';

import { expect, test } from 'vitest';

import { cli } from '../helpers/cli';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('promises');

test('ids and names are as long as they may be, and not a byte longer', async () => {
  const run = await bench.pool.run('a'.repeat(512));
  const longest = { step: 512, signal: 256, operation: 512, label: 512 };
  const ask = async (what: string, text: string): Promise<unknown> => {
    const { pool } = bench;
    if (what === 'step') return run.step(text, () => 1);
    if (what === 'label') return run.checkpoint(1, { label: text });
    if (what === 'signal') return pool.signal(run.id, text, 1).then(() => run.signal(text));
    return pool.applyOnce(text, pool.batch().put(pool.keyspace('k'), 'a', 1));
  };
  // Two bytes each.
  for (const [what, most] of Object.entries(longest)) {
    await ask(what, '\u00e9'.repeat(most / 2));
    await rejects(ask(what, '\u00e9'.repeat(most / 2) + 'x'), 'ERR_HOLDFAST_OUT_OF_RANGE');
  }
  await rejects(bench.pool.run('a'.repeat(513)), 'ERR_HOLDFAST_OUT_OF_RANGE');
  await rejects(run.child('b'), 'ERR_HOLDFAST_OUT_OF_RANGE');
  run.close();
  const later = await (await bench.again()).run(run.id);
  expect(await later.step('\u00e9'.repeat(256), never)).toBe(1);
  expect(await later.signal('\u00e9'.repeat(128))).toBe(1);
});

test('a hook that fails is a warning of the process where nobody listens', async () => {
  const warned = once(process, 'warning');
  const hooks = {
    onDecision: () => {
      throw new Error('no memory today');
    },
  };
  const run = await bench.pool.run('r', { hooks });
  expect(await run.decision('plan', () => 'go')).toBe('go');
  const [warning] = (await warned) as [Error];
  expect(warning).toMatchObject({
    name: 'HoldfastHookWarning',
    message: expect.stringMatching(/onDecision of run "r".*no memory today/) as string,
  });
  expect((await bench.journal()).at(-1)).toMatchObject({
    kind: 'hook',
    name: 'onDecision',
    error: 'Error: no memory today',
  });
});

test('what prune keeps: the newest, those of certain labels, and what is not old enough', async () => {
  const run = await bench.pool.run('r');
  const labels = ['a', undefined, 'b', undefined, 'c', undefined];
  for (const [n, label] of labels.entries()) await run.checkpoint({ n }, { label });
  const left = (): unknown[] => [...run.history()].map(({ id }) => (run.at(id) as { n: number }).n);
  const prune = async (options: Parameters<typeof run.prune>[0]): Promise<unknown[]> => {
    await run.prune(options);
    return left();
  };
  expect(await prune({ olderThan: 3_600_000 })).toEqual([0, 1, 2, 3, 4, 5]);
  expect(await prune({ keepLast: 2 })).toEqual([0, 2, 4, 5]);
  expect(await prune({ keepLabels: ['b'], olderThan: new Date(Date.now() + 1000) })).toEqual([
    2, 5,
  ]);
  expect(await prune({ keepLabels: false })).toEqual([5]);
  expect(await prune({})).toEqual([5]);
});

test('what was applied once is remembered in about 100 bytes', async () => {
  const { pool } = bench;
  const id = 'booking/0123456789abcdef';
  await pool.applyOnce(id, pool.batch().put(pool.keyspace('k'), 'a', 1));
  const raw = pool.keyspace('holdfast.operations', { key: 'bytes', value: 'bytes' });
  const [[key, value]] = [...raw.range()] as [[Uint8Array, Uint8Array]];
  expect(key.length + value.length).toBeLessThan(120);
});

test('beside the process that has the pool open the command line looks, and changes nothing', async () => {
  const run = await bench.pool.run('r');
  const { checkpoint } = await run.checkpoint({ n: 1 });
  await run.checkpoint({ n: 2 });
  const key = 'hf-0-1';
  for (const args of [
    ['runs', bench.path],
    ['show', bench.path, 'r'],
    ['timeline', bench.path, 'r'],
    ['history', bench.path, 'r'],
    ['diff', bench.path, 'run/r@0', 'run/r@1'],
    ['forget', bench.path, '--older-than', '0s', '--dry-run'],
  ])
    expect(await cli(args)).toMatchObject({ code: 0, stderr: '' });
  for (const args of [
    ['signal', bench.path, 'r', 'go'],
    ['resolve', bench.path, key, '--happened'],
    ['fork', bench.path, checkpoint, 'f'],
    ['prune', bench.path, 'r'],
    ['forget', bench.path, '--older-than', '0s'],
  ]) {
    const { code, stderr } = await cli(args);
    expect([code, stderr]).toEqual([
      3,
      expect.stringMatching(new RegExp(`ERR_HOLDFAST_LOCKED.*${process.pid}`)) as string,
    ]);
  }
  expect(await run.step('goes on', () => 1)).toBe(1);
});
