/**
 * A HoldfastCache answers as LangGraph's own InMemoryCache does, whatever is set, got and cleared,
 * by a clock that is set on, with reopenings and copies of the pool as a kill leaves it.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';

import { AIMessage } from '@langchain/core/messages';
import { InMemoryCache } from '@langchain/langgraph-checkpoint';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';

import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastCache } from './modules';

const folder = scratchFolder('langgraph-cache-differential');
let number = 0;
const pathOf = (): string => join(folder, `${++number}.holdfast`);
const openPool = (path: string): Holdfast => openSync(path, { medium: 'file' });

afterEach(() => void vi.useRealTimers());

// Without the comma, by which the in-memory cache joins them, and the empty one alone.
const label = fc.constantFrom('a', 'a', 'b', '', '__pregel_ns_writes', '🦊', ' ', 'a b', '.:');
const namespace = fc.array(label, { maxLength: 3 }).filter((labels) => labels.join() !== '');
const name = fc.constantFrom('k', 'k', '', 'K', '0', '\n', 'é');
const key = fc.tuple(namespace, name);
const value = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(undefined, new AIMessage('hello'), [['channel', new AIMessage('said')]]),
);
const ttl = fc.constantFrom(undefined, undefined, null, 0, -1, 0.001, 1, 60, Infinity, Number.NaN);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ set: fc.array(fc.record({ key, value, ttl })) }) },
  { weight: 6, arbitrary: fc.record({ get: fc.array(key) }) },
  { weight: 1, arbitrary: fc.record({ clear: fc.array(namespace, { maxLength: 3 }) }) },
  { weight: 4, arbitrary: fc.record({ waitMs: fc.constantFrom(0, 1, 999, 1000, 59_000) }) },
  { weight: 1, arbitrary: fc.constant('sweep' as const) },
  { weight: 1, arbitrary: fc.constantFrom('closed' as const, 'killed' as const) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function perform(steps: readonly Step[]): Promise<void> {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 });
  const memory = new InMemoryCache();
  const pools = [openPool(pathOf())];
  const asked = new Map<string, [string[], string]>();
  try {
    let cache = new HoldfastCache(pools[0]!);
    const same = async (keys: [string[], string][]): Promise<void> =>
      expect(await cache.get(keys)).toEqual(await memory.get(keys));
    for (const each of steps) {
      if (each === 'sweep') await cache.sweep();
      else if (each === 'closed' || each === 'killed') {
        const { path } = pools.at(-1)!;
        const next = each === 'closed' ? path : pathOf();
        if (each === 'closed') pools.pop()!.closeSync();
        else {
          await pools.at(-1)!.settled();
          copyFileSync(path, next);
        }
        pools.push(openPool(next));
        cache = new HoldfastCache(pools.at(-1)!);
      } else if ('waitMs' in each) vi.setSystemTime(Date.now() + each.waitMs);
      else if ('get' in each) await same(each.get);
      else if ('clear' in each) {
        await cache.clear(each.clear);
        await memory.clear(each.clear);
      } else {
        for (const { key: its } of each.set) asked.set(JSON.stringify(its), its);
        await cache.set(each.set as never);
        await memory.set(each.set as never);
      }
      await same([...asked.values()]);
    }
  } finally {
    for (const pool of pools) pool.closeSync();
  }
}

it('answers as InMemoryCache does, whatever is asked', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), perform), {
    numRuns: Number(process.env.HOLDFAST_RUNS ?? 25),
    seed: Number(process.env.HOLDFAST_SEED ?? 4),
    endOnFailure: true,
  });
});

it('clears a namespace, and not what goes on with an empty label', async () => {
  using pool = openPool(pathOf());
  const cache = new HoldfastCache(pool);
  const keys: [string[], string][] = ['', 'b'].map((last) => [['a', last], 'k']);
  await cache.set([...keys, [['a'], 'k']].map((one) => ({ key: one as never, value: 1 })));
  await cache.clear([['a']]);
  expect((await cache.get([...keys, [['a'], 'k']])).map((one) => one.key)).toEqual(keys);
});
