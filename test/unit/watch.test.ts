import fs from 'node:fs';
import { describe, expect, test } from 'vitest';

import { open } from '../../lib/index';
import type { CommittedChanges, Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('watch');
let n = 0;
const fresh = (): string => `${folder}/pool-${n++}`;

async function take<K, V>(
  watcher: AsyncIterable<CommittedChanges<K, V>>,
  count: number,
): Promise<CommittedChanges<K, V>[]> {
  const seen: CommittedChanges<K, V>[] = [];
  for await (const item of watcher) {
    seen.push(item);
    if (seen.length === count) break;
  }
  return seen;
}

async function withPool(
  work: (pool: Holdfast, path: string) => Promise<void>,
  options = {},
): Promise<void> {
  const path = fresh();
  const pool = await open(path, { medium: 'file', ...options });
  try {
    await work(pool, path);
  } finally {
    await pool.close();
  }
}

describe('a watch', () => {
  test("gives the commits from now on, one item each, decoded with the keyspace's codecs", () =>
    withPool(async (pool) => {
      const users = pool.keyspace<string, { age: number }>('users', { value: 'json' });
      const other = pool.keyspace('other');
      users.putSync('before', { age: 1 });
      const before = Date.now() - 1000;
      const watcher = pool.watch({ keyspace: users });
      const first = users.putSync('a', { age: 7 });
      other.putSync('x', 1);
      const batch = pool.batch().put(users, 'b', { age: 8 }).put(other, 'y', 2).delete(users, 'a');
      const second = await pool.commit(batch);
      const seen = await take(watcher, 2);
      expect(seen).toEqual([
        {
          epoch: first.epoch,
          time: expect.any(Number),
          changes: [{ keyspace: 'users', key: 'a', value: { age: 7 }, deleted: false }],
        },
        {
          epoch: second.epoch,
          time: expect.any(Number),
          changes: [
            { keyspace: 'users', key: 'b', value: { age: 8 }, deleted: false },
            { keyspace: 'users', key: 'a', deleted: true },
          ],
        },
      ]);
      for (const { time } of seen) expect(time).toBeGreaterThan(before);
      expect(pool.stats().watchers).toBe(0);
    }));

  test('gives past commits from an epoch on, by prefix, and goes on where it was left', () =>
    withPool(async (pool) => {
      const files = pool.keyspace<string, string>('files', { value: 'utf8' });
      const start = pool.stats().epoch;
      for (let i = 0; i < 50; i++) files.putSync(i % 2 ? `a/${i}` : `b/${i}`, String(i));
      const some = pool.watch({ keyspace: files, prefix: 'a/', from: start });
      const first = await take(some, 10);
      expect(first.map(({ changes }) => changes[0]!.value)).toEqual([
        '1',
        '3',
        '5',
        '7',
        '9',
        '11',
        '13',
        '15',
        '17',
        '19',
      ]);
      expect(some.epoch).toBe(first[9]!.epoch);
      const rest = await take(pool.watch({ keyspace: files, prefix: 'a/', from: some.epoch }), 15);
      expect(rest.at(-1)!.changes[0]).toMatchObject({ key: 'a/49', value: '49' });
    }));

  test('of a region gives what was written, added and swapped there, and its sizes, and nothing else', () =>
    withPool(async (pool) => {
      const users = pool.keyspace<string, string>('users', { value: 'utf8' });
      const other = pool.region('other', { size: 4096 });
      const region = pool.region('vectors', { size: 1 << 20 });
      const start = pool.stats().epoch;
      const watcher = pool.watch({ region });
      users.putSync('a', 'x');
      other.writeSync(0, Buffer.from('elsewhere'));
      const first = await pool.commit(
        pool
          .batch()
          .put(users, 'b', 'y')
          .regionWrite(region, 16, Buffer.from('hello'))
          .regionAdd(region, 8, 5n),
      );
      await region.write(0, Buffer.alloc(150_000, 7));
      await region.compareAndSwap(8, 0x0707070707070707n, 3n);
      await region.grow(2 << 20);
      await region.drop();
      const eight = (n: bigint): Uint8Array => new Uint8Array(new BigUint64Array([n]).buffer);
      const expected = [
        [
          { offset: 16, bytes: new Uint8Array(Buffer.from('hello')) },
          { offset: 8, bytes: eight(5n) },
        ],
        [0, 65536, 131072].map((offset) => ({
          offset,
          bytes: new Uint8Array(Math.min(65536, 150_000 - offset)).fill(7),
        })),
        [{ offset: 8, bytes: eight(3n) }],
        [{ size: 2 << 20 }],
        [{ size: 0 }],
      ];
      const seen = await take(watcher, 5);
      expect(seen.map(({ changes }) => changes)).toEqual(expected);
      expect(seen[0]!.epoch).toBe(first.epoch);
      const again = await take(pool.watch({ region, from: start }), 5);
      expect(again).toEqual(seen);
      expect(await take(pool.watch({ region, from: seen[2]!.epoch }), 2)).toEqual(seen.slice(3));
      expect(() => pool.watch({ region, keyspace: users } as never)).toThrow(TypeError);
      expect(() => pool.watch({ region: {} as never })).toThrow(TypeError);
      expect(() => pool.watch('vectors' as never)).toThrow(TypeError);
    }));

  test('without a keyspace gives all of them, as bytes', () =>
    withPool(async (pool) => {
      const watcher = pool.watch();
      const a = pool.keyspace<string, string>('a', { value: 'utf8' });
      const b = pool.keyspace<string, string>('b', { value: 'utf8' });
      await pool.commit(pool.batch().put(a, 'k', 'v').put(b, 'l', 'w'));
      const [item] = await take(watcher, 1);
      expect(
        item!.changes.map(({ keyspace, key, value }) => [
          keyspace,
          Buffer.from(key).toString(),
          Buffer.from(value!).toString(),
        ]),
      ).toEqual([
        ['a', 'k', 'v'],
        ['b', 'l', 'w'],
      ]);
    }));

  test('of a keyspace that is not there yet begins with its first change, and does not make it', () =>
    withPool(async (pool) => {
      pool.keyspace('x').putSync('a', 1);
      const later = pool.keyspace<string, number>('later');
      const watcher = pool.watch({ keyspace: later, prefix: 'k' });
      pool.keyspace('x').putSync('k', 1);
      expect(pool.keyspaces()).toEqual(['x']);
      later.putSync('j', 2);
      later.putSync('k', 3);
      expect((await take(watcher, 1))[0]!.changes).toEqual([
        { keyspace: 'later', key: 'k', value: 3, deleted: false },
      ]);
    }));

  test('waits for what comes; several at once see the same', () =>
    withPool(async (pool) => {
      const k = pool.keyspace<string, number>('k');
      const watchers = [
        pool.watch({ keyspace: k }),
        pool.watch({ keyspace: k }),
        pool.watch({ keyspace: k, prefix: '1' }),
      ];
      const all = watchers.map((watcher, i) => take(watcher, i === 2 ? 11 : 100));
      for (let i = 0; i < 100; i++) await k.put(String(i), i);
      const [one, two, three] = await Promise.all(all);
      expect(one).toEqual(two);
      expect(one!.flatMap(({ changes }) => changes.map(({ value }) => value))).toEqual([
        ...Array(100).keys(),
      ]);
      expect(three!.map(({ changes }) => changes[0]!.key)).toEqual([
        '1',
        '10',
        '11',
        '12',
        '13',
        '14',
        '15',
        '16',
        '17',
        '18',
        '19',
      ]);
    }));

  test('gives eventual commits when they are durable, and large values', () =>
    withPool(async (pool) => {
      const k = pool.keyspace<string, Uint8Array>('k', { value: 'bytes' });
      const watcher = pool.watch({ keyspace: k });
      const large = new Uint8Array(3_000_000).map((_, i) => i % 251);
      k.putSync('large', large, { durability: 'eventual' });
      const [item] = await take(watcher, 1);
      expect(Buffer.compare(item!.changes[0]!.value!, large)).toBe(0);
    }));

  test('answers calls of next() in order, however many are made at once', () =>
    withPool(async (pool) => {
      const k = pool.keyspace<string, number>('k');
      const watcher = pool.watch({ keyspace: k });
      const asked = [watcher.next(), watcher.next(), watcher.next()];
      for (let i = 0; i < 3; i++) k.putSync('a', i);
      expect((await Promise.all(asked)).map(({ value }) => value!.changes[0]!.value)).toEqual([
        0, 1, 2,
      ]);
      const last = watcher.next();
      await watcher.return!();
      expect(await last).toEqual({ done: true, value: undefined });
      expect(await watcher.next()).toEqual({ done: true, value: undefined });
    }));
});

describe('the end of a watch', () => {
  test("comes with the pool's", () =>
    withPool(async (pool) => {
      const waiting = pool.watch().next();
      const idle = pool.watch();
      await pool.close();
      expect(await waiting).toEqual({ done: true, value: undefined });
      expect(await idle.next()).toEqual({ done: true, value: undefined });
      expect(() => pool.watch()).toThrow(expect.objectContaining({ code: 'ERR_HOLDFAST_CLOSED' }));
    }));

  test('comes with its signal', () =>
    withPool(async (pool) => {
      const stop = new AbortController();
      const watcher = pool.watch({ signal: stop.signal });
      const waiting = watcher.next();
      stop.abort(new Error('enough'));
      await expect(waiting).rejects.toMatchObject({
        code: 'ERR_HOLDFAST_ABORTED',
        cause: new Error('enough'),
      });
      expect(() => pool.watch({ signal: stop.signal })).toThrow(
        expect.objectContaining({ code: 'ERR_HOLDFAST_ABORTED' }),
      );
    }));

  test("is an error where a value is none of the codec's", () =>
    withPool(async (pool) => {
      const watcher = pool.watch({ keyspace: pool.keyspace('k', { value: 'json' }) });
      pool.keyspace('k', { value: 'utf8' }).putSync('a', 'not json');
      await expect(watcher.next()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CODEC' });
      expect(await watcher.next()).toEqual({ done: true, value: undefined });
    }));
});

describe('what is not held any more', () => {
  const churn = (pool: Holdfast, times: number): void => {
    const k = pool.keyspace<string, Uint8Array>('k', { value: 'bytes' });
    const value = new Uint8Array(100_000);
    for (let i = 0; i < times; i++) k.putSync('hot', value, { durability: 'eventual' });
  };

  test('is said, with what is', () =>
    withPool(async (pool) => {
      churn(pool, 200);
      await pool.compact();
      const { oldestChange } = pool.stats();
      expect(oldestChange).toBeGreaterThan(10);
      expect(() => pool.watch({ from: 1 })).toThrow(
        expect.objectContaining({
          code: 'ERR_HOLDFAST_FORGOTTEN',
          message: expect.stringContaining(`from epoch ${oldestChange}`),
        }),
      );
      expect(() => pool.watch({ from: 10 ** 9 })).toThrow(RangeError);
    }));

  test('is said to one that was too slow', () =>
    withPool(async (pool) => {
      const slow = pool.watch({ lag: 100_000 });
      churn(pool, 200);
      await pool.compact();
      await expect(slow.next()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_FORGOTTEN' });
      expect(pool.stats().watchers).toBe(0);
    }));

  test('is held where it was wished for, also the next time', async () => {
    const path = fresh();
    const first = await open(path, { medium: 'file', retain: { ms: 3_600_000 } });
    churn(first, 200);
    await first.compact();
    await expect(open(path, { retain: false })).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_INVALID_ARGUMENT',
    });
    await first.close();
    const second = await open(path);
    expect(second.stats()).toMatchObject({ retainMs: 3_600_000, oldestChange: 1 });
    const seen = await take(second.watch({ from: 0 }), 200);
    expect(seen.length).toBe(200);
    await second.close();
    const third = await open(path, { retain: false });
    await third.compact();
    expect(third.stats().oldestChange).toBeGreaterThan(1);
    await third.close();
  });
});

test('wrong arguments', () =>
  withPool(async (pool) => {
    const k = pool.keyspace('k');
    for (const wrong of [
      1,
      { from: -1 },
      { from: 0.5 },
      { lag: -1 },
      { keyspace: 'k' },
      { prefix: 'a' },
      { signal: 1 },
      { keyspace: k, prefix: 5 },
    ]) {
      expect(() => pool.watch(wrong as never), JSON.stringify(wrong)).toThrow(/must|needs|takes/);
    }
    for (const retain of [true, 1, {}, { ms: 0 }, { bytes: 'x' }]) {
      await expect(
        open(fresh(), { retain: retain as never }),
        JSON.stringify(retain),
      ).rejects.toThrow(/retain/);
    }
    expect(fs.existsSync(`${folder}/pool-${n - 1}`)).toBe(false);
  }));
