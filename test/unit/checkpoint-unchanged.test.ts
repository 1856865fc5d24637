/** What a state is compared with is told apart from it by whatever can be changed in place, however little, and costs nothing where nothing is. */
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { compare, revive, type Shadow } from '../../lib/checkpoint/index';
import type { Tree } from '../../lib/checkpoint/shadow';

type Entries = Record<string, unknown>;

const alike = fc.constantFrom<unknown>(0, -0, NaN, 1, 1.5, '', '0', 'a', 'a'.repeat(1500), null, undefined, false, true, 0n, 1n);
const leaf = fc.oneof(alike, fc.string({ maxLength: 8 }), fc.date({ noInvalidDate: false }));
const key = fc.constantFrom('a', 'b', 'c', '0', '1', '__proto__', 'length');
const { part } = fc.letrec<{ part: unknown }>((tie) => ({
  part: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('part'), { maxLength: 4 }),
    fc.dictionary(key, tie('part'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(fc.tuple(key, tie('part')), { maxLength: 3 }).map((entries) => new Map(entries)),
  ),
}));

/** All objects and lists in it. */
function partsOf(value: unknown, found: object[] = []): object[] {
  if (typeof value !== 'object' || value === null) return found;
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) found.push(value);
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) partsOf(inner, found);
  return found;
}

const define = (into: object, name: string, value: unknown): unknown =>
  Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });

/** An equal value of other objects; structuredClone takes a key `__proto__` for the prototype. */
function copyOf(value: unknown): unknown {
  if (value instanceof Map) return new Map([...value].map(([name, inner]) => [name, copyOf(inner)]));
  if (value instanceof Date) return new Date(value);
  if (typeof value !== 'object' || value === null) return value;
  const copy: object = Array.isArray(value) ? new Array(value.length) : {};
  for (const name of Object.keys(value)) define(copy, name, copyOf((value as Entries)[name]));
  return copy;
}

/** Changes one of them in place, or nothing. */
function edit(state: object, where: number, how: number, name: string, value: unknown): void {
  const all = partsOf(state);
  const at = all[where % all.length]!;
  if (Array.isArray(at)) {
    const place = how % (at.length + 1);
    [
      () => at.push(value), () => at.pop(), () => (at[place] = value), () => delete at[place], () => define(at, 'beside', value),
      () => Reflect.deleteProperty(at, 'beside'), () => (at.length += 1), () => at.reverse(), () => (at[place] = copyOf(at[place])),
    ][how % 9]!();
    return;
  }
  const entries = at as Entries;
  const own = Object.keys(entries)[where % Math.max(1, Object.keys(entries).length)] ?? name;
  const before = Object.hasOwn(entries, own) ? Object.getOwnPropertyDescriptor(entries, own)!.value : undefined;
  [
    () => define(entries, name, value), () => Reflect.deleteProperty(entries, own), () => define(entries, own, value),
    () => Reflect.deleteProperty(entries, own) && define(entries, own, before), () => define(entries, own, copyOf(before)),
    () => define(entries, own, before === 0 ? -before : undefined),
  ][how % 6]!();
}

/** With the order of keys, which deep equality does not look at. */
function keysOf(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([name, inner]) => [name, keysOf(inner)]);
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.keys(value).map((name) => [name, keysOf((value as Entries)[name])]);
}

/** A list with holes, or with properties beside its elements, is kept as the bytes of its encoding, which are not always the same. */
function isOrdinary(value: object): boolean {
  return !Array.isArray(value) || (Object.keys(value).length === value.length && Object.keys(value).every((name, at) => name === String(at)));
}

const edits = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000), key, part, fc.boolean()), { maxLength: 8 });

it.each([false, true])('notices any change in place; what is equal is the same; copies: %s', (copies) => {
  fc.assert(
    fc.property(fc.dictionary(key, part, { minKeys: 1, maxKeys: 6, noNullPrototype: true }), edits, (first, changes) => {
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
    }),
    { numRuns: 600, seed: 20261129 },
  );
});

it('a plain object that is given another prototype, an equal list that is none, and a cycle are told apart', () => {
  const base = { list: [1, 2], part: { a: 1 } as Entries };
  const shadow = compare(undefined, false, base) as Tree;
  const likeList = { list: { 0: 1, 1: 2, length: 2 }, part: { a: 1 } };
  expect(isDeepStrictEqual(revive(compare(shadow, true, likeList)), likeList)).toBe(true);
  const instance = { list: [1, 2], part: Object.create({ a: 1 }) as Entries };
  expect(isDeepStrictEqual(revive(compare(shadow, true, instance)), { list: [1, 2], part: {} })).toBe(true);
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
