/** Many wait with one AbortSignal: each is told, and none is left behind. */
import { getEventListeners } from 'node:events';

import { expect, test } from 'vitest';

import { onAbort } from '../../lib/abort';
import { rejects, runsBench } from './support/runs';

const bench = runsBench('abort');
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

test('those who listen have one listener of the signal, until the last of them leaves', () => {
  const { signal } = new AbortController();
  const told: number[] = [];
  const leave = [1, 2, 3].map((n) => onAbort(signal, () => told.push(n)));
  expect(listeners(signal)).toBe(1);
  for (const each of leave) each();
  expect(listeners(signal)).toBe(0);
  leave[0]!(); // once more: nothing
  const other = new AbortController();
  const leaves = [1, 2, 3].map((n) =>
    onAbort(other.signal, () => (told.push(n), n === 1 && leaves[1]!())),
  );
  other.abort();
  expect(told).toEqual([1, 3]); // who left while the first was told is not told
  expect(listeners(other.signal)).toBe(0);
});

async function followed(entries: AsyncIterable<unknown>): Promise<void> {
  for await (const _entry of entries);
}

test('waits, tools, followers, claims, watchers and commits with one signal are no leak to Node', async () => {
  const warnings: string[] = [];
  const warn = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', warn);
  const { pool } = bench;
  const stop = new AbortController();
  const { signal } = stop;
  const run = await pool.run('r');
  const keyspace = pool.keyspace('k');
  const many = Array.from({ length: 12 }, (_, n) => [
    rejects(run.signal(`answer ${n}`, { signal }), 'ERR_HOLDFAST_ABORTED'),
    rejects(
      run.tool(`ask ${n}`, n, () => new Promise(() => {}), { safety: 'readOnly', signal }),
      'ERR_HOLDFAST_ABORTED',
    ),
    rejects(pool.claim({ prefix: 'none/', wait: true, signal }), 'ERR_HOLDFAST_ABORTED'),
    rejects(pool.watch({ keyspace, signal }).next(), 'ERR_HOLDFAST_ABORTED'),
    rejects(followed(pool.journal('r', { follow: true, signal })), 'ERR_HOLDFAST_ABORTED'),
  ]);
  await Promise.all(
    Array.from({ length: 12 }, (_, n) => pool.keyspace('o').put(n + '', n, { signal })),
  );
  expect(listeners(signal)).toBe(1);
  stop.abort();
  await Promise.all(many.flat());
  expect(listeners(signal)).toBe(0);
  await new Promise(setImmediate);
  process.off('warning', warn);
  expect(warnings).toEqual([]);
});
