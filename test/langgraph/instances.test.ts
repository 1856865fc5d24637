/**
 * Instances of LangChain's classes are made by their class where the loader was seen to do the
 * same, for each class and set of fields; else by the loader.
 */
import { expect, it } from 'vitest';

import { Instances } from '../../lib/adapters/langgraph/instances';
import { compare, revive } from '../../lib/checkpoint/index';

class Told {
  constructor(readonly kwargs: Record<string, unknown>) {}
}

class Other extends Told {}

function recordOf(id: unknown[], kwargs: unknown) {
  return { lc: 1, type: 'constructor', id, kwargs };
}

it('the loader is asked once for each class and set of fields', async () => {
  const asked: string[] = [];
  const instances = new Instances(async (text) => {
    asked.push(text);
    const { id, kwargs } = JSON.parse(text) as { id: string[]; kwargs: Record<string, unknown> };
    return id.at(-1) === 'Other' ? new Other(kwargs) : new Told(kwargs);
  });
  const make = async (id: unknown[], kwargs: unknown, loads: number) => {
    const before = asked.length;
    const made = (await instances.make(recordOf(id, kwargs))) as Told;
    expect(made).toBeInstanceOf(id.at(-1) === 'Other' ? Other : Told);
    expect(made.kwargs).toEqual(JSON.parse(JSON.stringify(kwargs)));
    expect(asked.length - before).toBe(loads);
  };
  await make(['a', 'Told'], { x: 1, y: [{ z: null }] }, 1);
  await make(['a', 'Told'], { x: 2, y: 'text' }, 0);
  await make(['a', 'Told'], { y: 2, x: 1 }, 1);
  await make(['a', 'Told'], { x: 2 }, 1);
  await make(['a', 'Told', 'x'], {}, 1);
  await make(['a', 'Told'], {}, 1);
  await make(['a', 'Other'], { x: 1 }, 1);
  await make(['a', 'Other'], { x: 3 }, 0);
  // What the loader looks for in there, what JSON says otherwise, and names that are none are the
  // loader's each time.
  for (const kwargs of [
    { x: { lc: 1 } },
    { x: -0 },
    { x: [undefined] },
    { x: new Array(1) },
    { x: new Date(0) },
  ]) {
    await make(['a', 'Told'], kwargs, 1);
    await make(['a', 'Told'], kwargs, 1);
  }
  for (let times = 0; times < 2; ++times) await make([{}, 'Told'], { x: 1 }, 1);
});

it('what is stored is read as an instance once the loader has made one like it; what only the loader knows stays a record', async () => {
  const instances = new Instances(
    async (text) => new Told((JSON.parse(text) as { kwargs: Record<string, unknown> }).kwargs),
  );
  const readAs = (value: unknown): unknown =>
    revive(compare(undefined, false, value), instances.ofStored);
  const fields = { x: 'x'.repeat(3000), y: [{ z: null }, 1.5, true, ''] };
  const record = recordOf(['a', 'Told'], fields);
  expect(readAs([record])).toEqual([record]);
  await instances.make(structuredClone(record));
  const shadow = compare(undefined, false, {
    list: [record, record],
    map: new Map([['key', record]]),
  });
  const read = (): { list: Told[]; map: Map<string, Told> } =>
    revive(shadow, instances.ofStored) as { list: Told[]; map: Map<string, Told> };
  const [first, second] = [read(), read()];
  const all = [...first.list, ...second.list, first.map.get('key')!, second.map.get('key')!];
  for (const made of all) {
    expect(made).toBeInstanceOf(Told);
    expect(made.kwargs).toEqual(fields);
  }
  // Each has its own, and may change it.
  expect(new Set(all).size).toBe(6);
  expect(new Set(all.map(({ kwargs }) => kwargs.y)).size).toBe(6);
  await instances.make(recordOf(['a', 'Told'], { x: 1 }));
  for (const x of [
    { lc: 1 },
    -0,
    NaN,
    [undefined],
    1n,
    new Date(0),
    new Map(),
    new Uint8Array(2000),
  ]) {
    const other = recordOf(['a', 'Told'], { x });
    expect(readAs(other)).toEqual(other);
  }
  const others = [
    { more: 1 },
    { lc: 2 },
    { type: 'secret' },
    { id: ['a', 'Unknown'] },
    { id: ['a', {}] },
    { kwargs: [] },
  ];
  for (const other of others.map((changed) => ({ ...record, ...changed })))
    expect(readAs(other)).toEqual(other);
});
