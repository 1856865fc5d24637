/**
 * A HoldfastStore answers as LangGraph's own InMemoryStore does, whatever is put, deleted, searched
 * and listed, with reopenings and copies of the pool as a kill leaves it in between.
 *
 * Where the two are meant to differ (docs/langgraph.md) the in-memory store's answer is taken in
 * its own order and without limits, and what the document says is done to it here.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';

import { InMemoryStore, type Item, type Operation } from '@langchain/langgraph-checkpoint';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';

import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastStore } from './modules';

const folder = scratchFolder('langgraph-store-differential');
let number = 0;
const pathOf = (): string => join(folder, `${++number}.holdfast`);
const openPool = (path: string): Holdfast => openSync(path, { medium: 'file' });

afterEach(() => void vi.useRealTimers());

const odd = ['B', 'ä', 'ab', '*', '__proto__', '0', ' ', '%_', '🦊', '\uffff', ','];
const label = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b') },
  { weight: 1, arbitrary: fc.constantFrom(...odd) },
);
const namespace = fc.array(label, { minLength: 1, maxLength: 3 });
const key = fc.constantFrom('k', 'k', 'k', 'K', '', '.:', '__proto__', '\n');
// Objects and lists are compared by what is in them here, by what they are there.
const numbers = fc.constantFrom<unknown>(0, -0, 1, 2, '1', Number.NaN, null, undefined);
const others = fc.constantFrom<unknown>(-1.5, Infinity, '', 'b', 'x'.repeat(5000), true, 10n);
const primitive = fc.oneof({ weight: 5, arbitrary: numbers }, { weight: 1, arbitrary: others });
const simple = fc.oneof(
  { weight: 9, arbitrary: primitive },
  { weight: 1, arbitrary: fc.constantFrom(new Date(1), new Date(2)) },
);
const odder = fc.constantFrom('m', '$gt', '__proto__', 'toString');
const field = fc.oneof({ weight: 5, arbitrary: fc.constant('n') }, odder);
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
});
const value = fc.oneof(
  { weight: 3, arbitrary: fc.record({ n: simple }) },
  { weight: 2, arbitrary: fc.dictionary(field, simple, { maxKeys: 4 }) },
  { weight: 1, arbitrary: fc.dictionary(field, anything, { maxKeys: 3 }) },
);
const comparison = fc.constantFrom('$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin');
const than = fc.oneof(primitive, fc.array(primitive, { maxLength: 3 }));
const compared = fc.dictionary(comparison, than, { minKeys: 1, maxKeys: 2 });
const wanted = fc.oneof(primitive, compared, compared, fc.constantFrom({ other: 1 }, {}));
const filter = fc.option(fc.dictionary(field, wanted, { minKeys: 1, maxKeys: 2 }), {
  nil: undefined,
});
const count = fc.constantFrom(undefined, undefined, undefined, 0, 1, 2, 3, 1000);

const put = fc.record({ namespace, key, value });
const remove = fc.record({ namespace, key, value: fc.constant(null) });
const place = { namespace: fc.constant(['a']), key: fc.constantFrom('k', 'K') };
const near = fc.oneof(
  fc.record({ ...place, value: fc.record({ n: simple }) }),
  fc.record({ ...place, value: fc.constant(null) }),
);
const get = fc.record({ namespace, key });
const prefix = fc.oneof(fc.constant([]), fc.array(label, { maxLength: 2 }));
const search = fc.record({ namespacePrefix: prefix, filter, limit: count, offset: count });
const condition = fc.record({
  matchType: fc.constantFrom('prefix' as const, 'suffix' as const),
  path: fc.array(fc.oneof(label, label, fc.constant('*')), { maxLength: 2 }),
});
const list = fc.record({
  matchConditions: fc.oneof(fc.constant(undefined), fc.array(condition, { maxLength: 2 })),
  maxDepth: fc.constantFrom(undefined, undefined, 1, 2, 3),
  limit: count,
  offset: count,
});
const operation = fc.oneof(
  { weight: 5, arbitrary: put },
  { weight: 1, arbitrary: remove },
  { weight: 2, arbitrary: get },
  { weight: 4, arbitrary: search },
  { weight: 2, arbitrary: list },
);
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ batch: fc.array(operation, { maxLength: 8 }) }) },
  // Begun one after the other, none awaited.
  { weight: 3, arbitrary: fc.record({ puts: fc.array(near, { minLength: 2, maxLength: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ opening: fc.constantFrom('closed', 'killed') }) },
  { weight: 3, arbitrary: fc.record({ waitMs: fc.integer({ min: -5000, max: 100_000 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
type Given = typeof operation extends fc.Arbitrary<infer O> ? O : never;

const bytesOf = (texts: readonly string[]): Buffer => Buffer.from(texts.join('\0'));
const byBytes = (a: readonly string[], b: readonly string[]): number =>
  Buffer.compare(bytesOf(a), bytesOf(b));
const placeOf = ({ namespace: its, key: k }: Item): string[] => [...its, '', k];

/** What the in-memory store says, as the document says that it is said here. */
function expected(given: Given, answer: unknown): unknown {
  if ('namespacePrefix' in given) {
    const { namespacePrefix, limit = 10, offset = 0 } = given;
    return (answer as Item[])
      .filter(({ namespace: its }) => namespacePrefix.every((each, at) => each === its[at]))
      .sort((a, b) => byBytes(placeOf(a), placeOf(b)))
      .slice(offset, offset + limit);
  }
  if (!('matchConditions' in given)) return answer;
  const { limit, offset = 0 } = given;
  const found = (answer as string[][]).sort(byBytes);
  return found.slice(offset, offset + (limit ?? found.length));
}

/** Values are handed over by what they are, so later changes of the object do nothing. */
class Memory extends InMemoryStore {
  async answers(given: readonly Given[]): Promise<unknown[]> {
    const results = await super.batch(
      given.map((each) =>
        'value' in each
          ? { ...each, value: structuredClone(each.value) }
          : 'key' in each
            ? each
            : { ...each, limit: Infinity, offset: 0 },
      ) as Operation[],
    );
    // Namespaces without items are none.
    const { data } = this as unknown as { data: Map<string, Map<string, unknown>> };
    for (const [name, items] of data) if (items.size === 0) data.delete(name);
    return structuredClone(results).map((answer, at) => expected(given[at]!, answer));
  }
}

/** A get beside a put to the same item is told the old value here, and the new one there. */
function withoutReadsOfPuts(given: readonly Given[]): Given[] {
  const put = new Set(given.filter((one) => 'value' in one).map((one) => nameOf(one)));
  return given.filter((one) => !('key' in one) || 'value' in one || !put.has(nameOf(one)));
}

function nameOf(given: Given): string {
  return 'key' in given ? [...given.namespace, '', given.key].join('\0') : '';
}

/** So that reads find something from the beginning on. */
const first: Given[] = [0, -0, 1, 2, '1', Number.NaN, undefined].map((n, at) => ({
  namespace: ['a', 'b', 'a', 'a', 'b', 'b'].slice(at % 4, (at % 4) + 1 + (at % 3)),
  key: `k${at}`,
  value: { n },
}));

async function perform(steps: readonly Step[]): Promise<void> {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 });
  const memory = new Memory();
  const pools = [openPool(pathOf())];
  const everything: Given = { namespacePrefix: [], filter: undefined, limit: 1000, offset: 0 };
  try {
    let store = new HoldfastStore(pools[0]!);
    const same = async (given: Given[]): Promise<void> => {
      const told = (error: unknown): unknown => (error as Error).message;
      const answers = await store.batch(given as never).catch(told);
      expect(answers).toEqual(await memory.answers(given).catch(told));
    };
    await same(first);
    for (const each of steps) {
      if ('batch' in each) await same(withoutReadsOfPuts(each.batch));
      else if ('puts' in each) {
        const begun = each.puts.map((given) => store.batch([given] as never));
        for (const given of each.puts) await memory.answers([given]);
        await Promise.all(begun);
      } else if ('waitMs' in each) vi.setSystemTime(Date.now() + each.waitMs);
      else {
        const { path } = pools.at(-1)!;
        const next = each.opening === 'closed' ? path : pathOf();
        if (each.opening === 'closed') pools.pop()!.closeSync();
        else copyFileSync(path, next);
        pools.push(openPool(next));
        store = new HoldfastStore(pools.at(-1)!);
      }
      await same([everything]);
    }
  } finally {
    for (const pool of pools) pool.closeSync();
  }
}

it('answers as InMemoryStore does, whatever is asked', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), perform), {
    numRuns: Number(process.env.HOLDFAST_RUNS ?? 30),
    seed: Number(process.env.HOLDFAST_SEED ?? 3),
    endOnFailure: true,
  });
});

it('refuses the namespaces that InMemoryStore refuses, with its words', async () => {
  using pool = openPool(pathOf());
  const stores = [new Memory(), new HoldfastStore(pool)];
  const bad = [[], ['a.b'], ['a', ''], ['langgraph', 'a'], [5], [undefined], undefined, null];
  for (const names of bad as string[][]) {
    const [there, here] = await Promise.all(
      stores.map((store) => store.put(names, 'k', {}).catch((error: Error) => error)),
    );
    expect(there).toBeInstanceOf(Error);
    expect([(here as Error).name, (here as Error).message]).toEqual([
      (there as Error).name,
      (there as Error).message,
    ]);
  }
});

it('what a filter wants is an object or a list with the same in it; a Date is a value', async () => {
  using pool = openPool(pathOf());
  const store = new HoldfastStore(pool);
  const values = { list: [1, { a: 2 }], date: new Date(5), none: [], map: new Map([[1, 2]]) };
  await store.put(['a'], 'whole', values);
  await store.put(['a'], 'other', { list: [1], date: new Date(6), none: [0], map: new Map() });
  const found = async (filter: object) =>
    (await store.search(['a'], { filter: filter as Record<string, unknown> })).map(
      (one) => one.key,
    );
  for (const [field, wanted] of Object.entries(values)) {
    expect(await found({ [field]: wanted })).toEqual(['whole']);
    expect(await found({ [field]: { $eq: wanted } })).toEqual(['whole']);
    expect(await found({ [field]: { $ne: wanted } })).toEqual(['other']);
    expect(await found({ [field]: { $in: [wanted] } })).toEqual(['whole']);
  }
  expect(await found({ date: { $gt: new Date(5) } })).toEqual(['other']);
  expect(await found({ date: {} })).toEqual(['other', 'whole']);
});
