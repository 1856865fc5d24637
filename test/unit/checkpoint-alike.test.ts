/**
 * What is read of a checkpoint is the same, whether code was generated for objects of its kind, not
 * yet, or may not be.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { makeOf } from '../../lib/checkpoint/alike';
import { compare, revive } from '../../lib/checkpoint/index';
import type { Tree } from '../../lib/checkpoint/shadow';
import { key, part } from './support/edited-values';

const often = 100;

/** By code from some time on: says whether there is some by now. */
function expectSame(value: object): boolean {
  const shadow = compare(undefined, false, value) as Tree;
  for (let i = 0; i < often; ++i) {
    const made = revive(shadow) as object;
    expect(made).toStrictEqual(value);
    expect(Object.keys(made)).toEqual(Object.keys(value));
  }
  return makeOf(shadow) !== undefined;
}

it('with any names, in their order', () => {
  const value = {
    'a "quoted" name\n': 1,
    'back\\slash': 2,
    '\u2028\u2029': 3,
    '${x}': 4,
    '': 5,
    constructor: 6,
    '7': 7,
    '10': 8,
    made: 9,
    item: 10,
    '\ud800': 11,
    'a, b: 1}; throw 1; ({': 12,
    nothing: undefined,
    none: null,
    zero: -0,
    nan: NaN,
    long: 'x'.repeat(3000),
    date: new Date(5),
    inner: { a: 1, b: [1, { c: 2, d: 3, e: 4 }], f: new Map([[{ g: 1 }, new Set([2])]]) },
    bytes: new Uint8Array([1, 2]),
  };
  expect(expectSame(value)).toBe(true);
});

it('one that is in itself, and a name that would make another prototype', () => {
  const cyclic: Record<string, unknown> = { a: 1, b: [{}], c: { d: 1, e: 2 } };
  cyclic.self = cyclic;
  (cyclic.b as unknown[])[0] = { up: cyclic, more: 1, still: cyclic.b };
  expect(expectSame(cyclic)).toBe(true);
  const proto = JSON.parse('{"a": 1, "__proto__": {"polluted": true}, "b": 2, "c": 3}') as object;
  expect(expectSame(proto)).toBe(false);
  const made = revive(compare(undefined, false, proto)) as object;
  expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
  expect(expectSame({ ['x'.repeat(2000)]: 1, b: 2, c: 3 })).toBe(false);
});

it('any state; what was made of it before is not in what is made next', () => {
  const state = fc.dictionary(key, part, { minKeys: 3, maxKeys: 6, noNullPrototype: true });
  fc.assert(
    fc.property(state, (value) => {
      const shadow = compare(undefined, false, value);
      const before = revive(shadow) as Record<string, unknown>;
      for (let i = 0; i < often; ++i) revive(shadow);
      for (const name of Object.keys(before)) before[name] = 'changed';
      expect(revive(shadow)).toStrictEqual(value);
    }),
    { numRuns: 200, seed: 20261129 },
  );
});

it('of more kinds than code is generated for', () => {
  let coded = 0;
  for (let i = 0; i < 400; ++i)
    if (expectSame({ [`name${i}`]: i, b: { c: i, d: 1 }, e: [i] })) ++coded;
  expect(coded).toBeGreaterThan(100);
  expect(coded).toBeLessThan(300);
});

it('where code must not be generated', () => {
  const dist = path.join(import.meta.dirname, '../../dist/checkpoint/index.js');
  const program = `
    const { compare, revive } = require(${JSON.stringify(dist)});
    const { makeOf } = require(${JSON.stringify(path.join(path.dirname(dist), 'alike.js'))});
    const shadow = compare(undefined, false, { a: 1, b: 'b', c: [1, { d: null }], e: { f: true } });
    let text;
    for (let i = 0; i < 200; ++i) text = JSON.stringify(revive(shadow));
    console.log(JSON.stringify({ text, code: makeOf(shadow) !== undefined }));`;
  const run = (...flags: string[]): unknown =>
    JSON.parse(execFileSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8' }));
  const text = '{"a":1,"b":"b","c":[1,{"d":null}],"e":{"f":true}}';
  expect(run()).toEqual({ text, code: true });
  expect(run('--disallow-code-generation-from-strings')).toEqual({ text, code: false });
});
