import { afterAll, describe, expect, test } from 'vitest';

import { openSync } from '../../lib/index';
import type { Holdfast, RangeOptions } from '../../lib/index';
import { codeOf, onEachMedium } from './support/media';

onEachMedium('range', (place) => {
  let pool: Holdfast | undefined;
  const the = (): Holdfast => (pool ??= openSync(place.path(), place.options));
  afterAll(() => pool?.closeSync());

  const words = ['', 'a', 'aa', 'ab', 'b', 'ba', 'c', 'é', '\uffff', '😀'].filter(
    (word) => word !== '',
  );
  const filled = () => {
    const space = the().keyspace<string, number>('words');
    if (space.count() === 0) words.forEach((word, i) => space.putSync(word, i));
    return space;
  };

  test('every combination of bounds is what a filter gives', () => {
    const space = filled();
    const bytes = (text: string): Buffer => Buffer.from(text);
    const sorted = [...words].sort((x, y) => bytes(x).compare(bytes(y)));
    const bounds = [undefined, '0', 'a', 'aa', 'b', 'bz', 'é', '😀', 'zzz'];
    let tried = 0;
    for (const gte of bounds) {
      for (const lt of bounds) {
        for (const reverse of [false, true]) {
          for (const inclusive of [false, true]) {
            const options: RangeOptions<string> = {
              reverse,
              ...(inclusive ? { gte, lt } : { gt: gte, lte: lt }),
            };
            const kept = sorted.filter((word) => {
              const low = gte === undefined ? 1 : bytes(word).compare(bytes(gte));
              const high = lt === undefined ? -1 : bytes(word).compare(bytes(lt));
              return (
                (low > 0 || (inclusive && low === 0)) && (high < 0 || (!inclusive && high === 0))
              );
            });
            if (reverse) kept.reverse();
            expect([...space.keys(options)], JSON.stringify(options)).toEqual(kept);
            expect(space.count(options)).toBe(kept.length);
            expect([...space.keys({ ...options, limit: 2 })]).toEqual(kept.slice(0, 2));
            ++tried;
          }
        }
      }
    }
    expect(tried).toBe(324);
  });

  test('prefixes, also at the very end', () => {
    const space = filled();
    expect([...space.keys({ prefix: 'a' })]).toEqual(['a', 'aa', 'ab']);
    expect([...space.keys({ prefix: 'a', gt: 'a' })]).toEqual(['aa', 'ab']);
    expect([...space.keys({ prefix: '' })].length).toBe(words.length);
    expect(space.count({ prefix: 'x' })).toBe(0);
    const raw = the().keyspace<Uint8Array, number>('raw', { key: 'bytes' });
    [[0xff], [0xff, 0xff], [0xff, 0xff, 1], [0xfe, 0xff], [0]].forEach((key, i) =>
      raw.putSync(Uint8Array.from(key), i),
    );
    expect([...raw.values({ prefix: Uint8Array.from([0xff, 0xff]) })]).toEqual([1, 2]);
    expect([...raw.values({ prefix: Uint8Array.from([0xfe, 0xff]) })]).toEqual([3]);
    expect([...raw.values()]).toEqual([4, 3, 0, 1, 2]);
  });

  test('neighbouring keyspaces are not seen', () => {
    for (const name of ['n1', 'n2', 'n3']) the().keyspace(name).putSync('k', name);
    expect([...the().keyspace('n2').range()]).toEqual([['k', 'n2']]);
    expect([...the().keyspace('n2').range({ reverse: true })]).toEqual([['k', 'n2']]);
  });

  test('numbers in order', () => {
    const space = the().keyspace<number, number>('numbers', { key: 'uint64' });
    for (const n of [300, 2, 70_000, 2 ** 40, 0, 255]) space.putSync(n, n * 2);
    expect([...space.range({ gte: 2, lt: 2 ** 40 })]).toEqual([
      [2, 4],
      [255, 510],
      [300, 600],
      [70_000, 140_000],
    ]);
  });

  test('many entries, small and large, both ways', () => {
    const space = the().keyspace<string, Uint8Array>('many', { value: 'bytes' });
    const name = (i: number): string => String(i).padStart(6, '0');
    const size = (i: number): number =>
      i % 500 === 0 ? 100_000 + i : i % 100 === 0 ? 20_000 + i : i % 60;
    for (let i = 0; i < 3000; ++i) {
      space.putSync(name(i), Buffer.alloc(size(i), i & 255), { durability: 'eventual' });
    }
    for (const reverse of [false, true]) {
      let at = reverse ? 2999 : 0;
      for (const [key, value] of space.range({ reverse })) {
        if (
          key !== name(at) ||
          value.length !== size(at) ||
          value.some((byte) => byte !== (at & 255))
        ) {
          expect.fail(`entry ${at}: ${key}, ${value.length} bytes`);
        }
        at += reverse ? -1 : 1;
      }
      expect(at).toBe(reverse ? -1 : 3000);
    }
    expect([...space.keys()].length).toBe(3000);
  });

  test('keys of one and of several bytes a character, in one range', () => {
    const space = the().keyspace<string, Uint8Array>('texts', { value: 'bytes' });
    const text = (i: number): string =>
      i % 90 === 0 ? `k${i}-é😀` : `k${String(i).padStart(5, '0')}`;
    const keys = Array.from({ length: 2500 }, (_, i) => text(i));
    keys.forEach((key, i) => {
      space.putSync(key, Buffer.from(`${key}=${i}`), { durability: 'eventual' });
    });
    const sorted = [...keys].sort((x, y) => Buffer.from(x).compare(Buffer.from(y)));
    for (const reverse of [false, true]) {
      const expected = reverse ? [...sorted].reverse() : sorted;
      expect([...space.keys({ reverse })]).toEqual(expected);
      const texts = [...space.range({ reverse })].map(([key, value]) => {
        expect(Buffer.from(value).toString().startsWith(`${key}=`)).toBe(true);
        return key;
      });
      expect(texts).toEqual(expected);
    }
    expect([...space.keys({ prefix: 'k000' })].length).toBeGreaterThan(90);
  });

  test("values are the caller's: writing into one reaches neither the pool nor another", () => {
    const space = the().keyspace<string, Uint8Array>('owned', { value: 'bytes' });
    const name = (i: number): string => `o${String(i).padStart(5, '0')}`;
    for (let i = 0; i < 900; ++i) {
      space.putSync(name(i), Buffer.alloc(i % 300, i & 255), { durability: 'eventual' });
    }
    const sound = (value: Uint8Array, i: number): boolean =>
      value.length === i % 300 && value.every((byte) => byte === (i & 255));
    const kept: Uint8Array[] = [];
    let at = 0;
    for (const [key, value] of space.range()) {
      if (key !== name(at) || !sound(value, at)) expect.fail(`entry ${at}: ${key}`);
      kept.push(value);
      if (at % 2 === 0) value.fill(0xee); // before the next is read
      if (at % 7 === 0)
        expect(sound(space.get(name(at + 1)) ?? new Uint8Array(), at + 1)).toBe(true);
      ++at;
    }
    expect(at).toBe(900);
    kept.forEach((value, i) => {
      if (i % 2 === 1 && !sound(value, i)) expect.fail(`value ${i} was overwritten`);
    });
    let again = 0;
    for (const value of space.values()) if (!sound(value, again++)) expect.fail(`pool's ${again}`);
    expect(again).toBe(900);
  });

  test("a long walk takes ever larger slabs, whose values are sound and as much the caller's", () => {
    const space = the().keyspace<string, Uint8Array>('walked', { value: 'bytes' });
    const name = (i: number): string => `w${String(i).padStart(5, '0')}`;
    // Of 4 KiB mostly; each ninth is too long for a slab of 128 KiB, one too long for any.
    const sizeOf = (i: number): number => (i === 500 ? 40_000 : i % 9 === 8 ? 20_000 : 4096);
    const batch = the().batch();
    for (let i = 0; i < 600; ++i) batch.put(space, name(i), Buffer.alloc(sizeOf(i), i % 251));
    the().commitSync(batch);
    const sound = (value: Uint8Array, i: number): boolean =>
      value.length === sizeOf(i) && Buffer.alloc(sizeOf(i), i % 251).equals(value);
    const kept: Uint8Array[] = [];
    for (const [key, value] of space.range()) {
      const i = kept.length;
      if (key !== name(i) || !sound(value, i)) expect.fail(`entry ${i}: ${key}`);
      kept.push(value);
      if (i % 3 === 0) value.fill(0xee);
      if (i % 50 === 0) expect(sound(space.get(name(7)) ?? new Uint8Array(), 7)).toBe(true);
    }
    expect(kept.length).toBe(600);
    kept.forEach((value, i) => {
      if (i % 3 !== 0 && !sound(value, i)) expect.fail(`value ${i} was overwritten`);
    });
    const own = kept.filter(({ buffer, length }) => buffer.byteLength === length);
    expect(own.filter(({ length }) => length === 40_000).length).toBe(1);
    // Those before the first slab that takes them.
    expect(own.filter(({ length }) => length === 20_000).length).toBeLessThan(8);
    // Slabs of 128 KiB alone would be thirty.
    const slabs = new Set(kept.filter((value) => !own.includes(value)).map(({ buffer }) => buffer));
    const lengths = [...slabs].map(({ byteLength }) => byteLength);
    expect(Math.max(...lengths)).toBe(512 * 1024);
    expect(lengths.length).toBeLessThan(16);
  });

  test('ranges inside a range, and one begun by a codec that decodes for another', () => {
    const the1 = the();
    const inner = the1.keyspace<string, string>('inner', { value: 'utf8' });
    for (let i = 0; i < 50; ++i) inner.putSync(`i${i}`, `inner ${i}`, { durability: 'eventual' });
    const all = (): string => [...inner.range({ limit: 40 })].join();
    const expected = all();
    // Ends the iterator it decodes for, so that another one may use its buffers.
    let ending: Iterator<unknown> | undefined;
    const meddling = {
      name: 'meddling',
      encode: (text: string) => text,
      decode(bytes: Uint8Array): string {
        ending?.return?.();
        expect(all()).toBe(expected);
        return Buffer.from(bytes).toString();
      },
    };
    for (const [key, value] of [
      [meddling, meddling],
      [meddling, 'utf8'],
      ['utf8', meddling],
      ['bytes', meddling],
    ] as const) {
      const text = (part: string | Uint8Array): string => Buffer.from(part).toString();
      const outer = the1.keyspace<never, never>('outer', { key, value } as never);
      const raw = the1.keyspace<string, string>('outer', { value: 'utf8' });
      for (let i = 10; i < 90; ++i) raw.putSync(`o${i}`, `outer ${i}`, { durability: 'eventual' });
      let at = 10;
      for (const [k, v] of outer.range())
        expect([text(k), text(v)]).toEqual([`o${at}`, `outer ${at++}`]);
      expect(at).toBe(90);
      const range = outer.range();
      ending = range;
      const [k, v] = range.next().value as [string, string];
      expect([text(k), text(v)]).toEqual(['o10', 'outer 10']);
      ending = undefined;
    }
  });

  test('keys of the greatest size', () => {
    const space = the().keyspace<string, string>('long', { value: 'utf8' });
    const keys = Array.from({ length: 200 }, (_, i) =>
      String(i).padStart(4, '0').padEnd(1024, 'x'),
    );
    for (const key of keys) space.putSync(key, key, { durability: 'eventual' });
    expect([...space.range()]).toEqual(keys.map((key) => [key, key]));
  });

  test('sees the state in which it was made', () => {
    const space = the().keyspace<string, number>('state');
    for (let i = 0; i < 200; ++i) space.putSync(`${1000 + i}`, i);
    const range = space.range();
    for (let i = 0; i < 200; ++i) space.putSync(`${1000 + i}`, -1);
    space.putSync('0', -1);
    expect([...range].map(([, value]) => value)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  const pinned = (): number => the().stats().openSnapshots;

  test('lets its state go at the end, at break, and at return', () => {
    const space = the().keyspace<string, number>('longer');
    for (let i = 0; i < 40; ++i) space.putSync(`${10 + i}`, i, { durability: 'eventual' });
    const before = pinned();
    let at = 0;
    for (const [, value] of space.range()) {
      expect(value).toBe(at);
      if (at++ < 32) expect(pinned()).toBe(before + 1);
    }
    expect(pinned()).toBe(before);
    for (const _ of space.range()) break;
    expect(pinned()).toBe(before);
    const range = space.keys();
    range.next();
    expect(range.return!()).toEqual({ done: true, value: undefined });
    expect(range.next()).toEqual({ done: true, value: undefined });
    expect(pinned()).toBe(before);
    const [first] = space.range();
    expect(first).toEqual(['10', 0]);
    expect(pinned()).toBe(before);
  });

  // As a queue looks for its first entry: nobody asks such a range for its end.
  test('lets its state go once its last entries are here', () => {
    const space = filled();
    const before = pinned();
    for (const reverse of [false, true]) {
      const one = space.range({ limit: 1, reverse });
      expect(one.next()).toEqual({ done: false, value: reverse ? ['😀', 8] : ['a', 0] });
      expect(pinned()).toBe(before);
      expect(one.next()).toEqual({ done: true, value: undefined });
      const few = space.keys({ reverse });
      expect(few.next().done).toBe(false);
      expect(pinned()).toBe(before);
      expect([...few]).toHaveLength(words.length - 1);
      expect(few.next().done).toBe(true);
    }
  });

  test('keeps its state for values that are still to be fetched', () => {
    const space = the().keyspace<string, Uint8Array>('left out', { value: 'bytes' });
    const long = new Uint8Array(100_000).fill(7);
    for (const key of ['a', 'b']) space.putSync(key, long);
    const before = pinned();
    const range = space.range();
    expect(range.next().value).toEqual(['a', long]);
    space.putSync('b', Uint8Array.of(1));
    expect(pinned()).toBe(before + 1);
    expect(range.next().value).toEqual(['b', long]);
    expect(pinned()).toBe(before);
    expect(range.next().done).toBe(true);
  });

  test('outlives its snapshot but not its pool', async () => {
    const other = openSync(place.path(), place.options);
    const space = other.keyspace<string, number>('a');
    for (let i = 0; i < 100; ++i) space.putSync(`${i}`, i, { durability: 'eventual' });
    const snapshot = other.snapshot();
    const range = space.range({ snapshot });
    snapshot.close();
    expect(range.next().done).toBe(false);
    other.closeSync();
    expect(await codeOf(() => range.next())).toBe('ERR_HOLDFAST_CLOSED');
    expect(range.next().done).toBe(true);
  });

  test('one whose codec throws has ended, and pins nothing', () => {
    const unreadable = {
      name: 'unreadable',
      encode: () => 'x',
      decode: (): never => {
        throw new Error('unreadable');
      },
    };
    filled();
    const before = the().stats().openSnapshots;
    for (const codec of [unreadable, 'json' as const]) {
      const range = the().keyspace('words', { value: codec }).range();
      expect(() => [...range]).toThrow();
      expect(the().stats().openSnapshots).toBe(before);
      expect(range.next().done).toBe(true);
    }
  });

  describe('wrong options', () => {
    test.each<[string, object, string]>([
      ['limit', { limit: -1 }, 'ERR_HOLDFAST_OUT_OF_RANGE'],
      ['limit', { limit: 1.5 }, 'ERR_HOLDFAST_OUT_OF_RANGE'],
      ['limit', { limit: '1' }, 'ERR_HOLDFAST_INVALID_ARGUMENT'],
      ['reverse', { reverse: 1 }, 'ERR_HOLDFAST_INVALID_ARGUMENT'],
      ['bound', { gte: 5 }, 'ERR_HOLDFAST_INVALID_ARGUMENT'],
      ['snapshot', { snapshot: {} }, 'ERR_HOLDFAST_INVALID_ARGUMENT'],
    ])('%s %j', async (_name, options, code) => {
      expect(await codeOf(() => filled().range(options as never))).toBe(code);
      expect(await codeOf(() => filled().count(options as never))).toBe(code);
    });

    test('limit 0, crossed bounds', () => {
      expect([...filled().range({ limit: 0 })]).toEqual([]);
      expect([...filled().range({ gt: 'b', lt: 'a' })]).toEqual([]);
      expect(filled().count({ gt: 'b', lt: 'a' })).toBe(0);
    });
  });

  test('ranges that nobody goes on with are small', async () => {
    const space = the().keyspace<number, string>('idle', { key: 'uint64', value: 'utf8' });
    for (let i = 0; i < 100; ++i) space.putSync(i, `${i}`, { durability: 'eventual' });
    const held: IterableIterator<[number, string]>[] = [];
    const before = process.memoryUsage().arrayBuffers;
    const each = (): number => (process.memoryUsage().arrayBuffers - before) / held.length;
    for (let i = 0; i < 2000; ++i) held.push(space.range());
    expect(each()).toBeLessThan(1000);
    for (const range of held) expect(range.next().value).toEqual([0, '0']);
    expect(each()).toBeLessThan(16_000);
    for (const range of held.splice(100)) expect([...range]).toHaveLength(99);
    for (const range of held) expect(range.return!().done).toBe(true);
  });
});
