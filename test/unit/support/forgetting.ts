/** What the tests of runs that are forgotten have in common. */
import type { Holdfast } from '../../../lib/index';

/** So that whatever has ended by now is old enough. */
export const now = () => ({ olderThan: -1000 });
export const none = { unknownOutcomes: 0, forks: 0, children: 0, unreadable: 0 };

/** What there is in the pool of runs, by keyspace: counts, without those that are empty. */
export function left(pool: Holdfast): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of pool.keyspaces()) {
    // A mark, a number and a lease a pool: they belong to no run.
    if (['holdfast.run-marks', 'holdfast.numbers', 'holdfast.holders'].includes(name)) continue;
    const count = pool.keyspace(name, { key: 'bytes', value: 'bytes' }).count();
    if (count > 0) counts[name] = count;
  }
  return counts;
}

export const ids = (pool: Holdfast) => [...pool.runs()].map(({ id }) => id);

/** One with something of everything. */
export async function live(pool: Holdfast, id: string, size = 100): Promise<string> {
  const run = await pool.run(id, { input: { id } });
  await run.decision('plan', () => 'x'.repeat(size));
  await pool.signal(id, 'go', 1);
  await run.signal('go');
  await run.sleep(0);
  const key = await run.tool('pay', { cents: 5 }, (_args, { idempotencyKey }) => idempotencyKey);
  await run.checkpoint({ key, list: Array.from({ length: 40 }, (_, i) => `${id} item ${i}`) });
  await run.checkpoint({ key, list: Array.from({ length: 41 }, (_, i) => `${id} item ${i}`) });
  await pool.signal(id, 'never asked for', 1);
  await run.finish(key);
  return key;
}
