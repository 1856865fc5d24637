/** Options that there are not: a misspelt one would be taken for one that was left out. */
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { open, openSync, resizeByCopy, restore, salvage } from '../../lib/index';
import { HoldfastSaver, HoldfastStore, durableTool } from '../../lib/langgraph';
import { all, rejects, runsBench } from './support/runs';

const bench = runsBench('misspelt');
const invalid = 'ERR_HOLDFAST_INVALID_ARGUMENT';
const other = { kepLast: 3 } as never;

test('each is refused, by a message that names it and those there are', async () => {
  const { pool, path } = bench;
  const run = await pool.run('r');
  const space = pool.keyspace<string, number>('space');
  const region = pool.region('bytes', { size: 8 });
  const elsewhere = join(path, '..', 'not-there');
  const calls: Record<string, () => unknown> = {
    open: () => open(elsewhere, other),
    openSync: () => openSync(elsewhere, other),
    retain: () => open(elsewhere, { retain: { ms: 1, ...(other as object) } }),
    restore: () => restore(elsewhere, `${elsewhere}-2`, other),
    salvage: () => salvage(elsewhere, `${elsewhere}-2`, other),
    resizeByCopy: () => resizeByCopy(elsewhere, 0, other),
    keyspace: () => pool.keyspace('x', other),
    get: () => space.get('a', other),
    getInto: () => space.getInto('a', new Uint8Array(8), other),
    range: () => [...space.range(other)],
    put: () => space.put('a', 1, other),
    putSync: () => space.putSync('a', 1, other),
    commit: () => pool.commit(pool.batch().put(space, 'a', 1), other),
    region: () => pool.region('more', other),
    'region.read': () => region.read(0, 1, other),
    watch: () => pool.watch(other),
    'watch a region': () => pool.watch({ region, ...(other as object) }),
    backup: () => pool.backup(elsewhere, other),
    check: () => pool.check(other),
    run: () => pool.run('q', other),
    hooks: () => pool.run('q', { hooks: other }),
    step: () => run.step('s', () => 1, other),
    'step with arguments': () => run.step('s', 1, () => 1, other),
    decision: () => run.decision('d', 1, () => 1, ...([other] as unknown as [])),
    tool: () => run.tool('t', 1, () => 1, other),
    retry: () => run.tool('t', 1, () => 1, { retry: { attempts: 2, ...(other as object) } }),
    checkpoint: () => run.checkpoint(1, other),
    history: () => [...run.history(other)],
    'pool.history': () => [...pool.history('r', other)],
    prune: () => run.prune(other),
    'pool.prune': () => pool.prune('r', other),
    child: () => run.child('c', other),
    signal: () => run.signal('s', other),
    sleep: () => run.sleep(0, other),
    runs: () => [...pool.runs(other)],
    claim: () => pool.claim(other),
    journal: () => all(pool.journal('r', other)),
    forgetOperations: () => pool.forgetOperations({ olderThan: 1, ...(other as object) }),
    forgetRuns: () => pool.forgetRuns({ olderThan: 1, ...(other as object) }),
    durableTool: () => durableTool(async () => 1, { name: 't', ...(other as object) }),
    HoldfastStore: () => new HoldfastStore(pool, other),
    ttl: () => new HoldfastStore(pool, { ttl: other }),
    'saver.prune': () => new HoldfastSaver(pool).prune('t', other),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await rejects((async () => call())(), invalid);
    expect(error.message, name).toMatch(/^There is no option "kepLast" of .*; there (is|are) \w+/);
  }
  expect(await bench.kinds()).toEqual(['start']);
  expect(space.count()).toBe(0);
});

test('what is undefined is left out, and an instance of a class may have more', async () => {
  class Memory {
    readonly seen: string[] = [];
    onStart = ({ run }: { run: { id: string } }): void => void this.seen.push(run.id);
  }
  const hooks = new Memory();
  const run = await bench.pool.run('r', { hooks, ...({ later: undefined } as object) });
  expect(hooks.seen).toEqual(['r']);
  await run.finish(1);
});
