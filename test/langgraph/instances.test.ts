/** Instances of LangChain's classes are made by their class where the loader was seen to do the same, for each class and set of fields; else by the loader. */
import { expect, it } from 'vitest';

import { Instances } from '../../lib/adapters/langgraph/instances';

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
  // What the loader looks for in there, what JSON says otherwise, and names that are none are the loader's each time.
  for (const kwargs of [{ x: { lc: 1 } }, { x: -0 }, { x: [undefined] }, { x: new Array(1) }, { x: new Date(0) }]) {
    await make(['a', 'Told'], kwargs, 1);
    await make(['a', 'Told'], kwargs, 1);
  }
  for (let times = 0; times < 2; ++times) await make([{}, 'Told'], { x: 1 }, 1);
});
