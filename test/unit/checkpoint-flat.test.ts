/**
 * Long lists, whose items are compared with one flat piece of memory: whatever is done to them,
 * what is kept is what making it anew would keep.
 */
import { isDeepStrictEqual } from 'node:util';

import { expect, it } from 'vitest';

import { comparing } from '../../lib/adapters/langgraph/values';
import type { CompareOptions } from '../../lib/checkpoint/compare';
import { compare, revive, type Shadow } from '../../lib/checkpoint/index';
import type { Tree } from '../../lib/checkpoint/shadow';
import { copyOf } from './support/edited-values';

type Item = Record<string, unknown>;

/** As LangChain's messages: its own fields say what it is stored as. */
class Message {
  lc_serializable = true;
  lc_namespace = ['messages'];
  constructor(
    public content: unknown,
    public more: unknown = {},
  ) {}
  toJSON(): unknown {
    return {
      lc: 1,
      type: 'constructor',
      id: ['messages', 'Message'],
      kwargs: { content: this.content, more: this.more },
    };
  }
}
class OtherMessage extends Message {}

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** Few values, so that what was changed is often changed back. */
const scalars = [
  0,
  -0,
  NaN,
  1,
  'a',
  'b',
  'x'.repeat(1100),
  undefined,
  null,
  true,
  7n,
  new Date(5),
  new Date(6),
];

function item(below: (n: number) => number, i: number): unknown {
  switch (below(8)) {
    case 0:
      return scalars[below(scalars.length)];
    case 1:
      return [i, { a: i % 3 }, 'in a list'];
    case 2:
      return new Message(`text ${i % 5}`, { a: [i % 3] });
    case 3:
      return { role: 'user', content: `short ${i % 4}`, n: i % 3 };
    default:
      return {
        type: 'ai',
        id: `id ${i}`,
        content: `text ${i % 5}`,
        n: i % 3,
        inner: { a: 1, b: { c: null } },
        calls: [{ name: 'f', args: {} }],
        empty: {},
      };
  }
}

function edit(list: unknown[], below: (n: number) => number): void {
  const at = below(list.length);
  const found = list[at];
  const value = scalars[below(scalars.length)];
  switch (below(16)) {
    case 0:
      return void list.push(item(below, below(50)));
    case 1:
      return void list.unshift(item(below, below(50)));
    case 2:
      return void list.splice(at, 1 + below(3));
    case 3:
      return void list.splice(at, 0, item(below, below(50)), item(below, below(50)));
    case 4:
      list[at] = copyOf(found);
      return;
    case 5:
      list[at] = value;
      return;
    case 6: {
      const other = below(list.length);
      [list[at], list[other]] = [list[other], list[at]];
      return;
    }
    case 7:
      if (found instanceof Message) list[at] = new OtherMessage(found.content, found.more);
      else if (typeof found === 'object' && found !== null && !Array.isArray(found))
        list[at] = Object.assign(new Map(), found);
      return;
    case 8:
      if (below(10) === 0) delete list[at];
      return;
    case 9:
      if (typeof found === 'object' && found !== null)
        list[at] = Object.fromEntries(Object.entries(found).reverse());
      return;
    default:
      if (typeof found !== 'object' || found === null) return;
      editIn(found as Item, value, below);
  }
}

function editIn(found: Item, value: unknown, below: (n: number) => number): void {
  if (found instanceof Message) {
    if (below(2) === 0) found.content = value;
    else found.more = { a: [below(3)] };
    return;
  }
  const names = Object.keys(found);
  const name = names[below(names.length)];
  const inner = name === undefined ? undefined : found[name];
  switch (below(6)) {
    case 0:
      found[['more', 'content', 'n'][below(3)]!] = value;
      return;
    case 1:
      if (name !== undefined) delete found[name];
      return;
    case 2:
      if (Array.isArray(inner))
        Object.assign(inner, below(2) === 0 ? { beside: 1 } : { 0: below(3) });
      else if (typeof inner === 'object' && inner !== null) (inner as Item).a = below(3);
      return;
    default:
      if (name !== undefined) found[name] = value;
  }
}

const modes: readonly (readonly [string, CompareOptions])[] = [
  ['plain', {}],
  ['lenient', { lenient: true }],
  ['with stand-ins', comparing],
];
for (const [mode, options] of modes) {
  it(`are kept as they are, ${mode}`, () => {
    let flat = 0;
    for (let round = 0; round < 6; ++round) {
      const below = random(round + 1);
      const list = Array.from({ length: 40 + below(60) }, (_, i) => item(below, i));
      const made = (): unknown => revive(compare(undefined, false, list, options));
      const shadows: Shadow[] = [compare(undefined, false, list, options)];
      for (let step = 0; step < 100; ++step) {
        for (let edits = below(4); edits > 0; --edits) edit(list, below);
        // Mostly on what was saved last; else on what came before, as after a commit that was
        // refused.
        const from = shadows[below(5) === 0 ? below(shadows.length) : shadows.length - 1];
        const were = revive(from);
        const now = compare(from, true, list, options);
        if ((now as Tree).flat !== undefined) ++flat;
        const kept = isDeepStrictEqual(revive(now), made());
        if (!kept) expect(revive(now), `${mode}, round ${round}, step ${step}`).toEqual(made());
        expect(kept).toBe(true);
        expect(isDeepStrictEqual(revive(from), were)).toBe(true);
        // What is laid on a value that did not change is that value; what stayed long enough is
        // known flat by then.
        if (below(3) === 0)
          expect(isDeepStrictEqual(revive(compare(now, true, list, options)), made())).toBe(true);
        shadows.push(now);
        if (shadows.length > 8) shadows.shift();
      }
    }
    expect(flat).toBeGreaterThan(100);
  });
}

it('an item that is changed back is what it was, whether it was saved meanwhile or not', () => {
  const made = (i: number): unknown =>
    i % 2 === 0
      ? { type: 'ai', id: `id ${i}`, n: 1, inner: { a: 1 } }
      : new Message('text', { n: 1 });
  const list = Array.from({ length: 40 }, (_, i) => made(i));
  const is = (shadow: Shadow, told: string): void => {
    expect(
      isDeepStrictEqual(revive(shadow), revive(compare(undefined, false, list, comparing))),
      told,
    ).toBe(true);
  };
  let shadow = compare(undefined, false, list, comparing);
  for (const change of ['in place', 'replaced', 'removed']) {
    for (let at = 0; at < list.length; ++at) {
      for (let i = 0; i < 2; ++i) expect(compare(shadow, true, list, comparing)).toBe(shadow);
      const before = list[at];
      const fields = { ...(before as object) };
      if (change === 'in place') Object.assign(before as object, { id: 'other', content: 'other' });
      else if (change === 'replaced') list[at] = { ...(made(0) as object), n: 2 };
      else list.splice(at, 1);
      const changed = compare(shadow, true, list, comparing);
      is(changed, `${change}, ${at}`);
      if (change === 'in place') {
        for (const name of Object.keys(before as object)) delete (before as Item)[name];
        Object.assign(before as object, fields);
      } else if (change === 'replaced') list[at] = before;
      else list.splice(at, 0, before);
      is(compare(shadow, true, list, comparing), `back on what was, ${change}, ${at}`);
      shadow = compare(changed, true, list, comparing);
      is(shadow, `back, ${change}, ${at}`);
    }
  }
});

it('a list that is saved by a getter while it is compared keeps what it has', () => {
  const list: Item[] = Array.from({ length: 40 }, (_, i) => ({
    type: 'ai',
    id: `id ${i}`,
    n: i,
    inner: { a: 1 },
  }));
  let shadow = compare(undefined, false, list);
  for (let i = 0; i < 3; ++i) shadow = compare(shadow, true, list);
  let within: Shadow;
  let isSaved = false;
  Object.defineProperty(list[3]!, 'n', {
    enumerable: true,
    configurable: true,
    get() {
      if (isSaved) return 3;
      isSaved = true;
      list[30]!.n = 'changed';
      within = compare(shadow, true, list);
      list[30]!.n = 30;
      return 3;
    },
  });
  const outer = compare(shadow, true, list);
  expect(isSaved).toBe(true);
  const were = revive(compare(undefined, false, list));
  expect(revive(compare(within, true, list))).toEqual(were);
  list[30]!.n = 'changed';
  expect(revive(compare(outer, true, list))).toEqual(revive(compare(undefined, false, list)));
  expect(revive(outer)).toEqual(were);
});

it('a hole in a long list from which something was removed too is a hole', () => {
  const list: unknown[] = Array.from({ length: 100 }, (_, i) => ({ type: 'ai', id: `id ${i}` }));
  const shadow = compare(undefined, false, list);
  list.shift();
  delete list[70];
  const kept = revive(compare(shadow, true, list)) as unknown[];
  expect(70 in kept).toBe(false);
  expect(isDeepStrictEqual(kept, list)).toBe(true);
});
