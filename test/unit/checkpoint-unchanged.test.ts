/**
 * What a state is compared with is told apart from it by whatever can be changed in place, however
 * little, and costs nothing where nothing is.
 */
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { compare, revive, type Shadow } from '../../lib/checkpoint/index';
import type { Tree } from '../../lib/checkpoint/shadow';
import { copyOf, edit, isOrdinary, key, keysOf, part, partsOf } from './support/edited-values';

type Entries = Record<string, unknown>;

const edits = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000), key, part, fc.boolean()), {
  maxLength: 8,
});

it.each([false, true])(
  'notices any change in place; what is equal is the same; copies: %s',
  (copies) => {
    fc.assert(
      fc.property(
        fc.dictionary(key, part, { minKeys: 1, maxKeys: 6, noNullPrototype: true }),
        edits,
        (first, changes) => {
          let state: unknown = first;
          let shadow: Shadow = compare(undefined, false, state);
          for (const [where, how, name, value, twice] of changes) {
            edit(state as object, where, how, name, copyOf(value));
            if (twice) edit(state as object, how, where, name, copyOf(value));
            if (copies) state = copyOf(state);
            shadow = compare(shadow, true, state);
            const loaded = revive(shadow);
            expect(isDeepStrictEqual(loaded, state)).toBe(true);
            expect(keysOf(loaded)).toEqual(keysOf(state));
            if (!partsOf(state).every(isOrdinary)) continue;
            expect(compare(shadow, true, state) === shadow).toBe(true);
            expect(compare(shadow, true, copyOf(state)) === shadow).toBe(true);
          }
        },
      ),
      { numRuns: 600, seed: 20261129 },
    );
  },
);

it('a plain object that is given another prototype, an equal list that is none, and a cycle are told apart', () => {
  const base = { list: [1, 2], part: { a: 1 } as Entries };
  const shadow = compare(undefined, false, base) as Tree;
  const likeList = { list: { 0: 1, 1: 2, length: 2 }, part: { a: 1 } };
  expect(isDeepStrictEqual(revive(compare(shadow, true, likeList)), likeList)).toBe(true);
  const instance = { list: [1, 2], part: Object.create({ a: 1 }) as Entries };
  expect(
    isDeepStrictEqual(revive(compare(shadow, true, instance)), { list: [1, 2], part: {} }),
  ).toBe(true);
  const cyclic: Entries = { list: [1, 2] };
  cyclic.part = cyclic;
  const loaded = revive(compare(shadow, true, cyclic)) as { part: Entries };
  expect(loaded.part.part).toBe(loaded.part);
  const before = compare(undefined, false, cyclic);
  expect(compare(before, true, cyclic)).toBe(before);
  cyclic.part = { list: [1, 2], part: cyclic };
  const deeper = revive(compare(before, true, cyclic)) as { part: { part: unknown } };
  expect(deeper.part.part).toBe(deeper);
});

it('fields in front of one that is gone or new are looked at once', () => {
  let looks = 0;
  const read = {
    get now() {
      ++looks;
      return 'same';
    },
  };
  // So much that it is not looked at as a whole first.
  const list = Array.from({ length: 100 }, (_, i) => i);
  const first: Entries = { a: 1, list, read, b: 2, c: 3, d: 4 };
  const others: Entries[] = [
    { a: 1, list, read, c: 3, d: 4 },
    { a: 2, list, read, b: 2, x: 5, c: 3, d: 4 },
    { a: 2, list: [...list, 7], read },
    { a: 1, list, read, d: 4, c: 3, b: 2 },
    { a: -0, list, read, y: 1 },
  ];
  let shadow = compare(undefined, false, first);
  for (const other of [...others, first, ...others.reverse()]) {
    looks = 0;
    shadow = compare(shadow, true, other);
    expect(looks).toBe(1);
    expect(revive(shadow)).toStrictEqual({ ...other, read: { now: 'same' } });
    expect(Object.keys(revive(shadow) as object)).toEqual(Object.keys(other));
  }
});

it('a getter that takes away or moves fields that were looked at does no harm', () => {
  const made = (change: (of: Entries) => unknown): Entries => {
    const of: Entries = { a: 1, b: { c: 2 }, d: 3, e: 4 };
    Object.defineProperty(of, 'd', {
      get: () => (change(of), 3),
      enumerable: true,
      configurable: true,
    });
    of.z = 5;
    return of;
  };
  const old = compare(undefined, false, { a: 1, b: { c: 1 }, d: 2, y: 0, z: 0 });
  const toTheEnd = (of: Entries): void => {
    delete of.a;
    of.a = 7;
  };
  for (const change of [(of: Entries) => delete of.a, toTheEnd, (of: Entries) => (of.b = 8)]) {
    const live = made(change);
    const now = revive(compare(old, true, live)) as Entries;
    expect(Object.keys(now)).toEqual(Object.keys(live));
  }
});
