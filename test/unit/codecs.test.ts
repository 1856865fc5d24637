import { constants } from 'node:buffer';

import { describe, expect, test } from 'vitest';

import { codecs } from '../../lib/index';
import type { Codec } from '../../lib/index';
import { decoderAt, resolveCodec } from '../../lib/codecs';
import { codeOf } from './support/media';

function roundTrip<T>(codec: Codec<T>, value: T): T {
  const encoded = codec.encode(value);
  return codec.decode(typeof encoded === 'string' ? Buffer.from(encoded) : encoded);
}

const shared = { x: 1 };
const cycle: Record<string, unknown> = { a: 1 };
cycle.self = cycle;

describe('structured', () => {
  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    [
      'numbers',
      [0, 1, -1, 1.5, 2 ** 31, 2 ** 40, -(2 ** 40), Number.MAX_SAFE_INTEGER, NaN, Infinity],
    ],
    ['bigint', [0n, 10n, -10n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n), 2n ** 200n]],
    ['text', ['', 'é', '\u0000', '😀', 'x'.repeat(70_000)]],
    ['dates', [new Date(0), new Date(1_700_000_000_123)]],
    ['regular expression', /a+/gi],
    [
      'Map',
      new Map<unknown, unknown>([
        [1, { a: 2 }],
        ['k', new Set([1])],
      ]),
    ],
    ['Map beside an object', { object: { a: 1 }, map: new Map([['a', 1]]) }],
    ['Set', new Set<unknown>([1, 'b', { c: 1 }])],
    ['typed arrays', [new Uint8Array([1, 2]), new Float64Array([1.5]), new BigInt64Array([-1n])]],
    ['ArrayBuffer', new Uint8Array([1, 2, 3]).buffer],
    ['undefined inside', { a: undefined, b: [undefined] }],
    ['odd keys', { '': 1, 'a b': 2, '1': 3, constructor: 4 }],
  ])('%s', (_name, value) => {
    expect(roundTrip(codecs.structured, value)).toEqual(value);
  });

  test('cycles and shared references keep their shape', () => {
    const back = roundTrip(codecs.structured, cycle) as typeof cycle;
    expect(back.self).toBe(back);
    const twice = roundTrip(codecs.structured, [shared, shared]) as unknown[];
    expect(twice[0]).toBe(twice[1]);
  });

  test('errors keep class and message', () => {
    const back = roundTrip(codecs.structured, new RangeError('no'));
    expect(back).toBeInstanceOf(RangeError);
    expect(back).toMatchObject({ message: 'no' });
  });

  test('encodes the same value to the same bytes, whatever came before', () => {
    const value = { role: 'assistant', calls: [{ id: 1, args: { a: [1, 2] } }] };
    const before = Buffer.from(codecs.structured.encode(value) as Uint8Array);
    for (let i = 0; i < 3000; ++i)
      codecs.structured.encode({ [`k${i}`]: i, [`z${i % 7}`]: { y: i } });
    expect(Buffer.from(codecs.structured.encode(value) as Uint8Array)).toEqual(before);
  });

  test('what it gives is not overwritten by the next', () => {
    const first = codecs.structured.encode({ a: 1 }) as Uint8Array;
    const copy = Buffer.from(first);
    codecs.structured.encode({ b: 'other' });
    expect(Buffer.from(first)).toEqual(copy);
  });

  test('keeps nothing of the borrowed bytes', () => {
    const borrowed = Buffer.alloc(200);
    const encoded = codecs.structured.encode({
      s: 'hello',
      u: new Uint8Array([1, 2, 3]),
    }) as Uint8Array;
    borrowed.set(encoded);
    const back = decoderAt(codecs.structured)!(borrowed, 0, encoded.length);
    borrowed.fill(9);
    expect(back).toEqual({ s: 'hello', u: new Uint8Array([1, 2, 3]) });
  });

  test.each<[string, unknown]>([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['inside', { f() {} }],
  ])('refuses %s', async (_name, value) => {
    expect(await codeOf(() => codecs.structured.encode(value))).toBe('ERR_HOLDFAST_CODEC');
  });

  test('bytes that are not its own are an error', async () => {
    for (const foreign of [[0xdc, 0xff, 0xff], [0x93, 1], []]) {
      expect(await codeOf(() => codecs.structured.decode(Buffer.from(foreign)))).toBe(
        'ERR_HOLDFAST_CODEC',
      );
    }
  });
});

describe('json', () => {
  test('round trip', () => {
    const value = { a: [1, 'é', null, { b: true }] };
    expect(roundTrip(codecs.json, value)).toEqual(value);
  });

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a bigint', 1n],
    ['a cycle', cycle],
  ])('refuses %s', async (_name, value) => {
    expect(await codeOf(() => codecs.json.encode(value))).toBe('ERR_HOLDFAST_CODEC');
  });

  test('bytes that are not JSON are an error', async () => {
    expect(await codeOf(() => codecs.json.decode(Buffer.from('{')))).toBe('ERR_HOLDFAST_CODEC');
  });
});

describe('bytes and utf8', () => {
  test('bytes are copied on decode', () => {
    const borrowed = Buffer.from([1, 2, 3]);
    const back = codecs.bytes.decode(borrowed);
    borrowed.fill(0);
    expect(back).toEqual(new Uint8Array([1, 2, 3]));
  });

  test('take nothing else', async () => {
    expect(await codeOf(() => codecs.bytes.encode('x' as never))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(await codeOf(() => codecs.utf8.encode(1 as never))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
  });

  test('bytes that are too many for a string are an error of the codec', async () => {
    const tooMany = Buffer.alloc(constants.MAX_STRING_LENGTH + 1);
    expect(await codeOf(() => codecs.utf8.decode(tooMany))).toBe('ERR_HOLDFAST_CODEC');
    expect(await codeOf(() => codecs.json.decode(tooMany))).toBe('ERR_HOLDFAST_CODEC');
  });

  test('utf8 keeps a byte order mark', () => {
    expect(roundTrip(codecs.utf8, '\ufeffx')).toBe('\ufeffx');
    expect(codecs.utf8.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x78]))).toBe('\ufeffx');
  });
});

describe('uint64', () => {
  test('keeps order and value', () => {
    const values = [
      0,
      1,
      255,
      256,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 52,
      Number.MAX_SAFE_INTEGER,
      2n ** 53n,
      2n ** 64n - 1n,
    ];
    const encoded = values.map((value) => Buffer.from(codecs.uint64.encode(value) as Uint8Array));
    for (let i = 1; i < encoded.length; ++i) expect(encoded[i - 1]!.compare(encoded[i]!)).toBe(-1);
    expect(encoded.map((bytes) => codecs.uint64.decode(bytes))).toEqual(values);
  });

  test.each([-1, 1.5, NaN, 2 ** 53, 'x', -1n, 2n ** 64n, undefined])(
    'refuses %s',
    async (value) => {
      expect(await codeOf(() => codecs.uint64.encode(value as never))).toBe(
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
    },
  );

  test('refuses other lengths', async () => {
    expect(await codeOf(() => codecs.uint64.decode(new Uint8Array(7)))).toBe('ERR_HOLDFAST_CODEC');
  });
});

describe('values nested deeply', () => {
  const kinds: Record<string, (inner: unknown) => unknown> = {
    objects: (inner) => ({ inner }),
    arrays: (inner) => [inner],
    maps: (inner) => new Map([['inner', inner]]),
    sets: (inner) => new Set([inner]),
    causes: (inner) => new Error('outer', { cause: inner }),
  };
  const nested = (depth: number, kind: string): unknown => {
    let value: unknown = 'innermost';
    for (let i = 0; i < depth; ++i) value = kinds[kind]!(value);
    return value;
  };

  test.each(Object.keys(kinds))(
    '%s are stored so that they can be read, or refused',
    async (kind) => {
      expect(roundTrip(codecs.structured, nested(1000, kind))).toBeDefined();
      for (const depth of [1001, 1500, 2200, 3000]) {
        expect(await codeOf(() => codecs.structured.encode(nested(depth, kind)))).toBe(
          'ERR_HOLDFAST_CODEC',
        );
      }
    },
  );

  test('how deep is what counts, however little of it is seen first: a list whose nodes are all in one array', async () => {
    interface Node {
      next?: Node;
    }
    const list = (length: number): Node[] => {
      const nodes: Node[] = Array.from({ length }, () => ({}));
      nodes.forEach((node, at) => {
        if (at + 1 < length) node.next = nodes[at + 1]!;
      });
      return nodes;
    };
    const forwards = list(2000);
    expect(await codeOf(() => codecs.structured.encode(forwards))).toBe('ERR_HOLDFAST_CODEC');
    // read from its end no node is deep
    expect(roundTrip(codecs.structured, forwards.toReversed())).toHaveLength(2000);
  });
});

describe('choosing a codec', () => {
  test('defaults and own codecs', () => {
    expect(resolveCodec(undefined, 'key').name).toBe('utf8');
    expect(resolveCodec(undefined, 'value').name).toBe('structured');
    const own: Codec<number> = { name: 'own', encode: (n) => `${n}`, decode: (b) => Number(b) };
    expect(resolveCodec(own, 'key')).toBe(own);
  });

  test.each<[string, unknown, 'key' | 'value']>([
    ['unknown name', 'xml', 'value'],
    ['inherited name', 'toString', 'value'],
    ['number', 5, 'value'],
    ['half a codec', { name: 'x', encode() {} }, 'value'],
    ['structured keys', 'structured', 'key'],
    ['json keys', 'json', 'key'],
  ])('refuses %s', async (_name, codec, role) => {
    expect(await codeOf(() => resolveCodec(codec as never, role))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
  });
});
