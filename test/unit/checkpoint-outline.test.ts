/**
 * Objects are compared with their mirrors as they are with what is stored of them: by generated
 * code, step by step, and where no code may be generated.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { generate } from '../../lib/checkpoint/generated';
import { compare, revive, type Shadow } from '../../lib/checkpoint/index';
import type { Mirror } from '../../lib/checkpoint/mirror';
import { isStill } from '../../lib/checkpoint/steps';
import type { Tree } from '../../lib/checkpoint/shadow';
import { mirrorOf, mirrorOfTree } from '../../lib/checkpoint/taking';
import { isUnchanged } from '../../lib/checkpoint/unchanged';
import { copyOf, edit, key, part } from './support/edited-values';

type Entries = Record<string, unknown>;

/** What the mirror says, which is the same with code and without. */
function reflects(mirror: Mirror, live: object, lenient: boolean): boolean {
  const { outline, values } = mirror;
  const followed = isStill(live, outline.steps, values, lenient);
  expect(generate(outline.steps)(live, values, lenient)).toBe(followed);
  expect(mirror.reflects(live, lenient)).toBe(followed);
  return followed;
}

const state = fc.dictionary(key, part, { minKeys: 1, maxKeys: 6, noNullPrototype: true });
const edits = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000), key, part), {
  minLength: 1,
  maxLength: 3,
});

it('the mirror of what is stored says what comparing with what is stored says', () => {
  let mirrored = 0;
  let kept = 0;
  let told = 0;
  fc.assert(
    fc.property(state, edits, (first, changes) => {
      const tree = compare(undefined, false, first) as Tree;
      const mirror = mirrorOfTree(tree, undefined);
      if (mirror === undefined) return;
      ++mirrored;
      expect(reflects(mirror, first, false)).toBe(true);
      expect(reflects(mirror, copyOf(first) as object, false)).toBe(true);
      for (const [where, how, name, value] of changes) edit(first, where, how, name, copyOf(value));
      for (const lenient of [false, true]) {
        const same = isUnchanged(tree, first, lenient);
        expect(reflects(mirror, first, lenient)).toBe(same);
        if (same) ++kept;
        else ++told;
      }
    }),
    { numRuns: 3000, seed: 20261129 },
  );
  expect(Math.min(mirrored, kept, told)).toBeGreaterThan(100);
});

it('code is generated for what is compared often, and notices every change', () => {
  const made = (): Entries => ({
    type: 'ai',
    text: 'hello',
    n: 1.5,
    zero: 0,
    nan: NaN,
    none: undefined,
    when: new Date(5),
    long: 'x'.repeat(2000),
    'a "key"\n': 1n,
    inner: { a: 1, b: { c: null, d: true } },
    list: [1, { e: 'e' }, []],
    longer: ['a', 'b', 'c', 'd', 'e'],
    empty: {},
    '7': 'seven',
  });
  const live = made();
  const shadow: Shadow = compare(undefined, false, live);
  for (let i = 0; i < 600; ++i) expect(compare(shadow, true, live)).toBe(shadow);
  const { mirror } = shadow as Tree;
  expect((mirror as unknown as { outline: { code: unknown } }).outline.code).toBeTypeOf('function');
  expect(compare(shadow, true, made())).toBe(shadow);
  const list = (of: Entries): unknown[] => of.list as unknown[];
  const changes: ((of: Entries) => unknown)[] = [
    (of) => (of.type = 'tool'),
    (of) => (of.zero = -0),
    (of) => (of.n = NaN),
    (of) => (of.n = '1.5'),
    (of) => (of.nan = 0),
    (of) => (of.none = null),
    (of) => delete of.none,
    (of) => (of.when = new Date(6)),
    (of) => (of.when = { ms: 5 }),
    (of) => (of.when as Date).setTime(NaN),
    (of) => (of.long = `${'x'.repeat(1999)}y`),
    (of) => (of['a "key"\n'] = 2n),
    (of) => (of.more = 1),
    (of) => ((of.inner as Entries).a = '1'),
    (of) => (of.inner = { b: { c: null, d: true }, a: 1 }),
    (of) => (of.inner = null),
    (of) => (of.inner = 5),
    (of) => (of.inner = [1, 2]),
    (of) => (of.inner = new Map(Object.entries(of.inner as Entries))),
    (of) => (of.inner = Object.assign(new Map(), of.inner)),
    (of) => ((of.inner as { b: Entries }).b.d = 1),
    (of) => list(of).push(2),
    (of) => Object.assign(of.longer as object, { name: 1 }),
    (of) => delete (of.longer as unknown[])[2],
    (of) => list(of).pop(),
    (of) => delete list(of)[0],
    (of) => Object.assign(list(of), { beside: 1 }),
    (of) => Object.assign(list(of)[2] as object, { beside: 1 }),
    (of) => (of.list = { 0: 1, 1: { e: 'e' }, 2: [], length: 3 }),
    (of) => (of.empty = new Map()),
    (of) => (of.empty = new Set()),
    (of) => (of.empty = []),
    (of) => (of.empty = new Date(0)),
    (of) => (of.empty = /x/),
    (of) => (of.empty = { z: undefined }),
    (of) => (of['7'] = 7),
    (of) => Object.defineProperty(of, 'text', { get: () => 'other', enumerable: true }),
    (of) => Object.defineProperty(of, 'text', { enumerable: false }),
    (of) => Object.setPrototypeOf(of.inner, new Map()),
    (of) => Object.setPrototypeOf(of, { inherited: 1 }),
    (of) => (of.inner = new Proxy({ a: 1, b: { c: null, d: false } }, {})),
  ];
  for (const change of changes) {
    const fresh = made();
    change(fresh);
    const now = compare(shadow, true, fresh);
    const isInherited =
      Object.getPrototypeOf(fresh) !== Object.prototype ||
      Object.getPrototypeOf(fresh.inner ?? {}) instanceof Map;
    if (!isInherited) expect(now, String(change)).not.toBe(shadow);
    expect(revive(now), String(change)).toEqual(revive(compare(undefined, false, fresh)));
  }
  for (const equal of [
    (of: Entries) => Object.freeze(of),
    (of: Entries) => Object.setPrototypeOf(of.inner, null) as unknown,
    (of: Entries) => Object.defineProperty(of, 'text', { get: () => 'hello' }),
    (of: Entries) => Object.assign(of, { [Symbol('s')]: 1 }),
    (of: Entries) => Object.defineProperty(of, 'hidden', { value: 1 }),
    (of: Entries) => (of.inner = new Proxy(of.inner as object, {})),
  ]) {
    const fresh = made();
    equal(fresh);
    expect(compare(shadow, true, fresh), String(equal)).toBe(shadow);
  }
});

it("an instance's mirror compares what is in it twice once, and tells what is no longer the same object", () => {
  class Message {
    readonly kwargs: Entries;
    constructor(
      readonly content: string,
      readonly extra: Entries,
    ) {
      this.kwargs = { content, extra };
    }
  }
  const message = new Message('hi', { a: [1, 2] });
  const mirror = mirrorOf(message)!;
  expect(reflects(mirror, message, true)).toBe(true);
  expect(reflects(mirror, new Message('hi', { a: [1, 2] }), true)).toBe(true);
  expect(reflects(mirror, new Message('hi', { a: [1, 3] }), true)).toBe(false);
  const parted = new Message('hi', { a: [1, 2] });
  parted.kwargs.extra = { a: [1, 3] };
  expect(reflects(mirror, parted, true)).toBe(false);
  const cyclic: Entries = { a: 1 };
  cyclic.self = cyclic;
  expect(reflects(mirrorOf(cyclic)!, cyclic, true)).toBe(true);
  expect(reflects(mirrorOf(cyclic)!, { a: 1, self: { a: 1, self: cyclic } }, true)).toBe(false);
  expect(mirrorOf({ date: new Date() })).toBeUndefined();
  expect(mirrorOf({ made: message })).toBeUndefined();
});

it('where code must not be generated, saving does the same', () => {
  const dist = path.join(import.meta.dirname, '../../dist/checkpoint/index.js');
  const program = `
    const { compare } = require(${JSON.stringify(dist)});
    const live = { a: 1, b: 'b', c: [1, { d: null }], e: { f: true, g: 'g' }, h: 0 };
    const shadow = compare(undefined, false, live);
    let same = 0;
    for (let i = 0; i < 1000; ++i) if (compare(shadow, true, live) === shadow) ++same;
    live.h = -0;
    let refused = false;
    try { new Function(''); } catch { refused = true; }
    console.log(JSON.stringify({ same, changed: compare(shadow, true, live) !== shadow, refused, code: shadow.mirror.outline.code !== undefined }));`;
  const run = (...flags: string[]): unknown =>
    JSON.parse(execFileSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8' }));
  expect(run()).toEqual({ same: 1000, changed: true, refused: false, code: true });
  expect(run('--disallow-code-generation-from-strings')).toEqual({
    same: 1000,
    changed: true,
    refused: true,
    code: false,
  });
});
