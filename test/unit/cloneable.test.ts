/**
 * What structuredClone carries comes back equal from the codec `structured` and from a checkpoint,
 * or is refused; and a checkpoint notices every change. The corpus is generated: values of all
 * kinds in containers of all kinds.
 */
import { isDeepStrictEqual } from 'node:util';
import { runInNewContext } from 'node:vm';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { CheckpointStore } from '../../lib/checkpoint/index';
import { codecs, HoldfastError, openSync, type Holdfast } from '../../lib/index';
import { hashOf } from '../../lib/run/hash';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('cloneable');
let pools = 0;
const scratchPath = (): string => `${folder}/${++pools}.pool`;

const refused = Symbol('refused');

class Point {
  constructor(
    readonly x: unknown,
    readonly y: unknown,
  ) {}
  get sum(): string {
    return `${String(this.x)} ${String(this.y)}`;
  }
  toJSON(): string {
    return 'a point';
  }
}

class OwnBytes extends Uint8Array {}

/**
 * Of another realm, as in a test runner that gives each file a context of its own: `instanceof`
 * knows none of them.
 */
const foreign = runInNewContext(`[
  new Date(5), /a/gi, new ArrayBuffer(3), new Uint8Array([1, 2]), new Float64Array([1.5]), new DataView(new ArrayBuffer(2)), new Map([[1, new Date(6)]]),
  new Set([1]), { a: [1, 2] }, new RangeError('far'), Object('boxed'), new (class { at = new Date(7) })(),
]`) as object[];

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '',
    '\0',
    '\ud800',
    'a\udc00b',
    '__proto__',
    'constructor',
    '__keys__',
    'toJSON',
    'é'.repeat(700),
    `${'x'.repeat(1500)}\ud800`,
    '1',
    '-0',
  ),
);
const leaf = fc.oneof(
  text,
  fc.double(),
  fc.integer(),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 3000n), max: 2n ** 3000n }),
  fc.boolean(),
  fc.constantFrom(
    null,
    undefined,
    -0,
    0,
    NaN,
    Infinity,
    -Infinity,
    2 ** 31,
    2 ** 53,
    -(2 ** 53),
    5e-324,
  ),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 3000 }),
  fc.float32Array({ maxLength: 20 }),
  fc.bigInt64Array({ maxLength: 20 }),
  fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((bytes) => new DataView(new Uint8Array(bytes).buffer, 4, 8)),
  fc.uint8Array({ maxLength: 2000 }).map((bytes) => new Uint8Array(bytes).buffer),
  fc.constantFrom(...foreign, OwnBytes.of(1, 2, 3)),
  fc.constantFrom(/a(b)+/giu, /\//y),
  fc.constantFrom(
    new Error('bad'),
    new TypeError('worse', { cause: new RangeError('worst') }),
    new AggregateError([new Error('one')], 'all'),
  ),
  fc.constantFrom(new Number(-0), new String('boxed'), new Boolean(false), Object(5n) as object),
);
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 20 }),
    fc.array(tie('value'), { maxLength: 5 }).chain((items) =>
      fc.nat(8).map((hole) => {
        const sparse = items.slice();
        sparse[items.length + hole] = hole;
        return sparse;
      }),
    ),
    fc
      .array(tie('value'), { maxLength: 3 })
      .map((items) => Object.assign(items, { named: items.length, index: 1 })),
    fc.dictionary(text, tie('value'), { maxKeys: 10 }),
    fc
      .array(fc.tuple(fc.oneof(leaf, tie('value')), tie('value')), { maxLength: 8 })
      .map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 8 }).map((items) => new Set(items)),
    fc.tuple(tie('value'), tie('value')).map(([x, y]) => new Point(x, y)),
    tie('value').map((inner) => {
      const circle: Record<string, unknown> = { inner };
      circle.me = [circle, new Map([['me', circle]])];
      return circle;
    }),
  ),
}));

function cloned(value: unknown): unknown {
  return structuredClone(value);
}

function encoded(value: unknown): unknown {
  try {
    return codecs.structured.decode(Buffer.from(codecs.structured.encode(value) as Uint8Array));
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'ERR_HOLDFAST_CODEC') return refused;
    throw error;
  }
}

function messageOf(action: () => unknown): string {
  try {
    action();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

function saved(pool: Holdfast, owner: string, value: unknown): unknown {
  const batch = pool.batch();
  try {
    const { id } = CheckpointStore.of(pool).save(batch, owner, value);
    pool.commitSync(batch);
    // As another process would read it.
    return new CheckpointStore(pool).load(id);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'ERR_HOLDFAST_CODEC') return refused;
    throw error;
  }
}

it('what structuredClone carries comes back equal, from the codec and from checkpoints', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  let owner = 0;
  fc.assert(
    fc.property(anything, anything, (first, second) => {
      const name = `owner ${++owner}`;
      for (const value of [first, [first, second], { second, first: [second] }]) {
        const clone = cloned(value);
        expect(isDeepStrictEqual(encoded(value), clone)).toBe(true);
        expect(isDeepStrictEqual(saved(pool, name, value), clone)).toBe(true);
      }
    }),
    { numRuns: 400, seed: 20261122, endOnFailure: true },
  );
  pool.closeSync();
});

it('refuses what structuredClone refuses, and what it would make an empty object of', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  const bad: unknown[] = [
    () => 1,
    Symbol('s'),
    new WeakMap(),
    new WeakSet(),
    new WeakRef({}),
    Promise.resolve(),
    (function* () {})(),
    new SharedArrayBuffer(4),
    new Intl.NumberFormat(),
    new URL('http://localhost/'),
    new AbortController().signal,
    new Blob(['x']),
  ];
  for (const value of bad) {
    for (const inside of [
      value,
      [value],
      { deep: [{ value }] },
      new Map([[1, value]]),
      new Set([value]),
    ]) {
      expect(encoded(inside)).toBe(refused);
      expect(saved(pool, 'bad', inside)).toBe(refused);
      expect(() => hashOf(inside)).toThrow(expect.objectContaining({ code: 'ERR_HOLDFAST_CODEC' }));
    }
  }
  expect(CheckpointStore.of(pool).newest('bad')).toBeUndefined();
  pool.closeSync();
});

// Node.js 20 writes it and cannot read it.
it('an error whose cause leads back to it comes back or is refused, in its place', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  const itself = new Error('itself');
  itself.cause = itself;
  const context: Record<string, unknown> = { request: 7 };
  context.error = new Error('by its context', { cause: context });
  const states = pool.keyspace('states');
  const checkpoints = new CheckpointStore(pool);
  for (const value of [itself, context, { log: [1, itself] }]) {
    const circle = 'leads back to it';
    if (!messageOf(() => states.putSync('s', value)).includes(circle))
      expect(states.get('s')).toBeTypeOf('object');
    const batch = pool.batch();
    let id = '';
    if (messageOf(() => ({ id } = checkpoints.save(batch, 's', value))).includes(circle)) continue;
    pool.commitSync(batch);
    expect(new CheckpointStore(pool).load(id)).toBeTypeOf('object');
  }
  const named = /at \.log\[1\] whose cause|^$/;
  expect(messageOf(() => states.putSync('s', { log: [1, itself] }))).toMatch(named);
  const cause = { request: 7 };
  const twice = [cause, new Error('no circle', { cause })];
  expect(isDeepStrictEqual(encoded(twice), cloned(twice))).toBe(true);
  pool.closeSync();
});

it('a hole in a list that had none is noticed, however long the list is', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  for (const length of [3, 64, 65, 100, 1000]) {
    const state = {
      before: 1,
      list: Array.from({ length }, (_, i) => ({ i })) as unknown[],
      after: [2],
    };
    const name = `holes ${length}`;
    const changes = [
      () => {},
      () => delete state.list[length >> 1],
      () => state.list.push('more'),
      () => (state.list[length + 5] = 'far'),
      () => (state.list = ['none']),
    ];
    for (const change of changes) {
      change();
      expect(isDeepStrictEqual(saved(pool, name, state), cloned(state))).toBe(true);
    }
  }
  pool.closeSync();
});

it('a deep value comes back or is refused, and the pool goes on', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  const isDeep = (value: unknown, depth: number): boolean => {
    let at = value;
    let levels = 0;
    for (; Array.isArray(at); at = at[0]) ++levels;
    return levels === depth && at === 'bottom';
  };
  const outcomes = [50, 150, 500, 1000, 3000, 20_000, 200_000].map((depth) => {
    let value: unknown = 'bottom';
    for (let i = 0; i < depth; ++i) value = [value];
    const results = [encoded(value), saved(pool, `deep ${depth}`, value)];
    for (const result of results) expect(result === refused || isDeep(result, depth)).toBe(true);
    return results.map((result) => result !== refused);
  });
  expect(outcomes.slice(0, 3)).toEqual([
    [true, true],
    [true, true],
    [true, true],
  ]);
  pool.closeSync();
});

it('a long text and long bytes, changed anywhere and any way, cost what changed', () => {
  const pool = openSync(scratchPath(), { medium: 'file' });
  const store = CheckpointStore.of(pool);
  const change = fc.record({
    at: fc.nat(40_000),
    drop: fc.constantFrom(0, 1, 5, 256, 1024),
    put: fc.constantFrom(
      '',
      'x',
      'é',
      '😀'.repeat(3),
      '\ud800',
      'y'.repeat(255),
      'z'.repeat(256),
      'new '.repeat(250),
    ),
    far: fc.boolean(),
  });
  let owner = 0;
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const name = `long ${++owner}`;
      let long = Array.from({ length: 6000 }, (_, i) => `${(i * 7919) % 10007} `).join('');
      let bytes = Buffer.from(long);
      saved(pool, name, { long, bytes: new Uint8Array(bytes) });
      for (const { at, drop, put, far } of changes) {
        const lengths = [long.length, bytes.length];
        const place = at % (long.length + 1);
        long = long.slice(0, place) + put + long.slice(place + drop);
        if (far && long.length > 10) long = `!${long.slice(1, -1)}?`;
        const here = at % (bytes.length + 1);
        bytes = Buffer.concat([
          bytes.subarray(0, here),
          Buffer.from(put),
          bytes.subarray(here + drop),
        ]);
        if (far && bytes.length > 10) bytes[0] = bytes[bytes.length - 1]! ^ 1;
        const now = { long, bytes: new Uint8Array(bytes) };
        expect(isDeepStrictEqual(saved(pool, name, now), now)).toBe(true);
        // Changes at both ends and another length: what is between is written again.
        if (far && (long.length !== lengths[0] || bytes.length !== lengths[1])) continue;
        expect(store.newest(name)!.bytes).toBeLessThan(6000);
      }
    }),
    { numRuns: 60, seed: 20261123, endOnFailure: true },
  );
  pool.closeSync();
});
