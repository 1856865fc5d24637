import { setFlagsFromString } from 'node:v8';

import { afterEach, expect, test } from 'vitest';

import { open, openSync } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { residentBytes } from '../helpers/memory';
import { codeOf, onEachMedium } from './support/media';

onEachMedium('pool', (place) => {
  const opened: Holdfast[] = [];
  const fresh = (): Holdfast => {
    const pool = openSync(place.path(), place.options);
    opened.push(pool);
    return pool;
  };
  afterEach(() => {
    for (const pool of opened.splice(0)) pool.closeSync();
  });

  test('opens, says what it is, and opens again with what was committed', async () => {
    const path = place.path();
    const first = await open(path, place.options);
    expect(first).toMatchObject({ path, medium: place.medium, closed: false });
    expect(first.durability.reason.length).toBeGreaterThan(5);
    if (place.medium === 'pmem') expect(first.durability.class).toBe('process');
    const receipt = await first.keyspace('a').put('k', { v: 1 });
    expect(receipt).toEqual({
      epoch: receipt.epoch,
      durability: 'durable',
      class: first.durability.class,
    });
    await first.close();
    expect(first.closed).toBe(true);

    const second = openSync(path, { medium: place.medium, create: 'never' });
    expect(second.keyspace('a').get('k')).toEqual({ v: 1 });
    expect(second.stats().epoch).toBeGreaterThanOrEqual(receipt.epoch);
    second.closeSync();
  });

  test('a text as a key is its UTF-8, wherever in it the first character is that is not ASCII', () => {
    const pool = fresh();
    const texts = pool.keyspace<string, number>('a', { value: 'uint64' });
    const raw = pool.keyspace<Uint8Array, number>('a', { key: 'bytes', value: 'uint64' });
    const characters = [
      '\u0000',
      'z',
      '\u007f',
      '\u0080',
      '\u00ff',
      '\u07ff',
      '\u0800',
      '\ud7ff',
      '\ue000',
      '\ufffd',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ];
    const keys = characters.flatMap((character) =>
      [0, 1, 3, 4, 5, 8, 17].flatMap((before) =>
        [0, 1, 9].map((behind) => 'x'.repeat(before) + character + 'é'.repeat(behind)),
      ),
    );
    keys.push(
      'x'.repeat(1024),
      'é'.repeat(512),
      'x' + '\u{10000}'.repeat(255),
      'abc'.repeat(300) + '€',
    );
    keys.forEach((key, i) => texts.putSync(key, i));
    expect(keys.map((key) => raw.get(Buffer.from(key)))).toEqual(keys.map((_, i) => i));
    expect(keys.map((key) => texts.get(key))).toEqual(keys.map((_, i) => i));
    expect(texts.count()).toBe(new Set(keys).size);
  });

  test('put, get, has, delete, sync and async', async () => {
    const a = fresh().keyspace<string, number>('a');
    expect(a.get('k')).toBeUndefined();
    expect(a.has('k')).toBe(false);
    const one = a.putSync('k', 1);
    const two = await a.put('k', 2);
    expect(two.epoch).toBeGreaterThan(one.epoch);
    expect(a.get('k')).toBe(2);
    expect(a.has('k')).toBe(true);
    a.deleteSync('k');
    expect(a.has('k')).toBe(false);
    expect((await a.delete('k')).epoch).toBeGreaterThan(two.epoch);
  });

  test('keyspaces are apart; reading one that is not there writes nothing', async () => {
    const pool = fresh();
    const epoch = pool.stats().epoch;
    expect(pool.keyspace('ghost').get('k')).toBeUndefined();
    expect([...pool.keyspace('ghost').range()]).toEqual([]);
    expect(pool.keyspace('ghost').count()).toBe(0);
    expect(pool.stats().epoch).toBe(epoch);
    expect(pool.keyspaces()).toEqual([]);
    pool.keyspace('b').putSync('k', 'in b');
    pool.keyspace('a').putSync('k', 'in a');
    pool.keyspace('é😀').putSync('k', 1);
    expect(pool.keyspaces()).toEqual(['a', 'b', 'é😀']);
    expect(pool.keyspace('a').get('k')).toBe('in a');
    expect(pool.keyspace('b').count()).toBe(1);
  });

  test('values of every size come back', () => {
    const bytes = fresh().keyspace('b', { value: 'bytes' });
    const sizes = [
      0, 1, 7, 8, 255, 2040, 2047, 2048, 4096, 8191, 8192, 8193, 65_535, 65_536, 131_072, 1_000_000,
      9_000_000,
    ];
    for (const size of sizes) {
      const value = new Uint8Array(size).map((_, i) => (i * 31 + size) & 255);
      bytes.putSync(`${size}`, value);
      const back = bytes.get(`${size}`) as Uint8Array;
      expect(Object.getPrototypeOf(back)).toBe(Uint8Array.prototype);
      expect(Buffer.compare(back, value), `size ${size}`).toBe(0);
    }
    expect([...bytes.values()].map((v) => (v as Uint8Array).length).sort((x, y) => x - y)).toEqual(
      sizes,
    );
  });

  test('text of every size and kind comes back, as value and as key', () => {
    const text = fresh().keyspace<string, string>('t', { value: 'utf8' });
    for (const unit of ['a', 'é', '€', '😀', '\u0000', '\ufffd']) {
      for (const count of [
        1, 250, 510, 511, 682, 1022, 1023, 1024, 2043, 2044, 2045, 2046, 2048, 30_000,
      ]) {
        const value = unit.repeat(count);
        const key = Buffer.byteLength(value) <= 1024 ? value : unit;
        text.putSync(key, value);
        expect(text.get(key) === value, `${count} times ${JSON.stringify(unit)}`).toBe(true);
        expect(text.has(key)).toBe(true);
      }
    }
  });

  test('a value read stays what it was', () => {
    const bytes = fresh().keyspace<string, Uint8Array>('b', { value: 'bytes' });
    for (let i = 0; i < 3000; ++i)
      bytes.putSync(`${i}`, Buffer.alloc(100, i & 255), { durability: 'eventual' });
    const read = Array.from({ length: 3000 }, (_, i) => bytes.get(`${i}`)!);
    read.forEach((value, i) => expect(value.every((byte) => byte === (i & 255))).toBe(true));
    read[0]!.fill(77);
    expect(bytes.get('0')![0]).toBe(0);
    expect(read[1]!.every((byte) => byte === 1)).toBe(true);
  });

  test('transferring a value takes nothing from its neighbours', () => {
    const bytes = fresh().keyspace<string, Uint8Array>('b', { value: 'bytes' });
    bytes.putSync('k', Buffer.from('v'));
    const value = bytes.get('k')!;
    const neighbour = bytes.get('k')!;
    // Node.js either refuses the transfer or copies, by version.
    try {
      structuredClone(value, { transfer: [value.buffer as ArrayBuffer] });
    } catch (error) {
      expect(error).toMatchObject({ name: 'DataCloneError' });
    }
    expect([...value, ...neighbour, ...bytes.get('k')!]).toEqual([118, 118, 118]);
  });

  test('who detaches what a value lies in takes nothing from those read afterwards', () => {
    setFlagsFromString('--allow-natives-syntax');
    const detachIt = new Function('buffer', '%ArrayBufferDetach(buffer)');
    const detach = (buffer: ArrayBufferLike): void => {
      try {
        detachIt(buffer);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError); // from Node.js 24 on it is refused
      }
    };
    const bytes = fresh().keyspace<string, Uint8Array>('b', { value: 'bytes' });
    for (const text of ['', 'v']) {
      bytes.putSync('k', Buffer.from(text));
      // The first on its slab too: then nothing of it is used.
      for (let i = 0; i < 3; ++i) {
        detach(bytes.get('k')!.buffer);
        expect(Buffer.from(bytes.get('k')!).toString()).toBe(text);
        detach([...bytes.values()][0]!.buffer);
        expect(Buffer.from([...bytes.values()][0]!).toString()).toBe(text);
      }
    }
  });

  test('getInto copies a value into memory of the caller, whatever its length', async () => {
    const pool = fresh();
    const bytes = pool.keyspace<string, Uint8Array>('b', { value: 'bytes' });
    const into = Buffer.alloc(400_000, 0xee);
    expect(bytes.getInto('k', into)).toBeUndefined(); // no such keyspace
    expect(into.every((byte) => byte === 0xee)).toBe(true);
    const shared = new Uint8Array(new SharedArrayBuffer(400_000));
    for (const length of [0, 1, 255, 4096, 40_000, 300_000]) {
      const value = Buffer.alloc(length, length % 251);
      const before = pool.snapshot();
      bytes.putSync('k', value);
      pool.keyspace('other').putSync('k', 'other');
      if (length > 0) expect(bytes.getInto('k', into, { snapshot: before })).not.toBe(length);
      before.close();
      for (const to of [into, shared, into.subarray(8, 8 + length)]) {
        expect(bytes.getInto('k', to)).toBe(length);
        expect(Buffer.compare(to.subarray(0, length), value)).toBe(0);
      }
      into.fill(0xee);
      expect(Buffer.compare(bytes.get('k')!, value)).toBe(0);
      if (length === 0) continue;
      const short = new Uint8Array(length - 1);
      expect(await codeOf(() => bytes.getInto('k', short))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
      expect(() => bytes.getInto('k', short)).toThrow(
        `has ${length} bytes, into has ${length - 1}`,
      );
      expect(short.every((byte) => byte === 0)).toBe(true);
    }
    expect(bytes.getInto('none', into)).toBeUndefined();
    const words = pool.keyspace<string, string>('w', { value: 'utf8' });
    words.putSync('k', 'wörd');
    expect(into.toString('utf8', 0, words.getInto('k', into))).toBe('wörd');
    const gone = new Uint8Array(8);
    structuredClone(gone, { transfer: [gone.buffer] });
    for (const wrong of [undefined, [1], 'text', new ArrayBuffer(8), new Uint32Array(2), gone])
      expect(await codeOf(() => bytes.getInto('k', wrong as never))).toBe(
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
  });

  test('getMany reads one state', () => {
    const a = fresh().keyspace<string, number>('a');
    a.putSync('x', 1);
    a.putSync('y', 2);
    expect(a.getMany(['y', 'none', 'x'])).toEqual([2, undefined, 1]);
    expect(a.getMany([])).toEqual([]);
  });

  test('own codecs, also such that read inside decode', () => {
    const pool = fresh();
    const plain = pool.keyspace<string, string>('p', { value: 'utf8' });
    plain.putSync('k', 'other');
    const own = pool.keyspace<string, string>('p', {
      value: {
        name: 'own',
        encode: (v) => v,
        decode: (bytes) => `${plain.get('k')?.length} ${Buffer.from(bytes).toString()}`,
      },
    });
    expect(own.get('k')).toBe('5 other');
    expect([...own.values()]).toEqual(['5 other']);
  });

  test('batches are all or nothing', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    const b = pool.keyspace<string, string>('b', { value: 'utf8' });
    const batch = pool
      .batch()
      .put(a, 'k', 1)
      .put(b, 'k', 'one')
      .delete(a, 'none')
      .requireAbsent(a, 'k');
    expect(batch.length).toBe(4);
    await pool.commit(batch);
    expect(batch.length).toBe(0);
    expect([a.get('k'), b.get('k')]).toEqual([1, 'one']);

    const refused = pool.batch().put(a, 'k', 2).put(b, 'new', 'x').requireAbsent(a, 'k');
    expect(await codeOf(() => pool.commit(refused))).toBe('ERR_HOLDFAST_CONFLICT');
    expect([a.get('k'), b.get('new')]).toEqual([1, undefined]);
    expect(refused.length).toBe(0);
    pool.commitSync(refused.put(a, 'k', 3));
    expect(a.get('k')).toBe(3);
  });

  test('conditions', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    a.putSync('k', 1);
    const tries = [
      [pool.batch().requireAbsent(a, 'k'), 'ERR_HOLDFAST_CONFLICT'],
      [pool.batch().requirePresent(a, 'none'), 'ERR_HOLDFAST_CONFLICT'],
      [pool.batch().requireEqual(a, 'k', 2), 'ERR_HOLDFAST_CONFLICT'],
      [pool.batch().requireEqual(a, 'none', 1), 'ERR_HOLDFAST_CONFLICT'],
      [pool.batch().requireEqual(a, 'k', 1).requirePresent(a, 'k').requireAbsent(a, 'none'), 'OK'],
    ] as const;
    for (const [batch, expected] of tries) {
      expect(await codeOf(() => pool.commit(batch.put(a, 'written', 1)))).toBe(expected);
      expect(a.has('written')).toBe(expected === 'OK');
    }
    for (const sync of [true, false]) {
      const batch = pool.batch().requireEqual(a, 'k', 5).put(a, 'k', 6);
      expect(await codeOf(() => (sync ? pool.commitSync(batch) : pool.commit(batch)))).toBe(
        'ERR_HOLDFAST_CONFLICT',
      );
    }
  });

  test('of conflicting commits in one turn the first wins', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        pool.commit(pool.batch().requireAbsent(a, 'k').put(a, 'k', i)),
      ),
    );
    expect(outcomes.map((o) => o.status === 'fulfilled')).toEqual([true, ...Array(19).fill(false)]);
    expect(a.get('k')).toBe(0);
  });

  test('commits of one environment happen in the order they were made', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    const order: number[] = [];
    const made = [
      a.put('k', 1).then(() => order.push(1)),
      a.put('k', 2, { signal: new AbortController().signal }).then(() => order.push(2)),
      a.put('k', 3, { durability: 'eventual' }).then(() => order.push(3)),
      a.put('k', 4).then(() => order.push(4)),
    ];
    a.putSync('k', 5);
    expect(a.get('k')).toBe(5);
    await Promise.all(made);
    expect(a.get('k')).toBe(5);
    expect(order).toEqual([1, 2, 3, 4]);
  });

  test('eventual commits are seen at once and settle', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    a.putSync('warm', 0);
    const receipt = a.putSync('k', 1, { durability: 'eventual' });
    expect(receipt.durability).toBe('eventual');
    expect(a.get('k')).toBe(1);
    const later = a.put('l', 2, { durability: 'eventual' });
    await pool.settled();
    expect(pool.stats().durableEpoch).toBeGreaterThanOrEqual((await later).epoch);
  });

  test('a signal takes a queued commit back, and only then', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    const controller = new AbortController();
    const taken = a.put('taken', 1, { signal: controller.signal });
    const kept = a.put('kept', 1);
    controller.abort(new Error('changed my mind'));
    await expect(taken).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_ABORTED',
      cause: controller.signal.reason,
    });
    await kept;
    expect([a.has('taken'), a.has('kept')]).toEqual([false, true]);
    const again = { signal: controller.signal };
    expect(await codeOf(() => a.put('k', 1, again))).toBe('ERR_HOLDFAST_ABORTED');
    expect(await codeOf(() => a.delete('kept', again))).toBe('ERR_HOLDFAST_ABORTED');
    const batch = pool.batch().put(a, 'k', 1);
    expect(await codeOf(() => pool.commit(batch, again))).toBe('ERR_HOLDFAST_ABORTED');
    expect(batch.length).toBe(1);
    const late = new AbortController();
    await a.put('late', 1, { signal: late.signal });
    late.abort();
    expect(a.has('late')).toBe(true);
  });

  test('a loop of awaited commits leaves the event loop its turns', async () => {
    const a = fresh().keyspace<string, number>('a');
    let ticks = 0;
    const timer = setInterval(() => ++ticks, 1);
    const until = Date.now() + 60_000;
    while (ticks <= 5 && Date.now() < until) await a.put('k', ticks);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  test('snapshots see their epoch until they are closed', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    a.putSync('k', 1);
    const snapshot = pool.snapshot();
    a.putSync('k', 2);
    a.putSync('l', 1);
    expect(snapshot.epoch).toBe(pool.stats().epoch - 2);
    expect(a.get('k', { snapshot })).toBe(1);
    expect(a.getMany(['k', 'l'], { snapshot })).toEqual([1, undefined]);
    expect(a.has('l', { snapshot })).toBe(false);
    expect(a.count({ snapshot })).toBe(1);
    expect([...a.range({ snapshot })]).toEqual([['k', 1]]);
    expect(pool.stats().openSnapshots).toBe(1);
    snapshot.close();
    snapshot.close();
    expect(snapshot.closed).toBe(true);
    expect(pool.stats().openSnapshots).toBe(0);
    for (const use of [
      () => a.get('k', { snapshot }),
      () => a.getMany(['k'], { snapshot }),
      () => a.has('k', { snapshot }),
      () => a.count({ snapshot }),
      () => a.range({ snapshot }),
    ]) {
      expect(await codeOf(use)).toBe('ERR_HOLDFAST_SNAPSHOT_CLOSED');
    }
    const disposed = pool.snapshot();
    disposed[Symbol.dispose]();
    expect(disposed.closed).toBe(true);
  });

  test('check, fold, compact, stats', async () => {
    const pool = fresh();
    const a = pool.keyspace<string, number>('a');
    for (let i = 0; i < 100; ++i) a.putSync(`${i}`, i, { durability: 'eventual' });
    await pool.fold();
    await pool.compact();
    const fractions: number[] = [];
    const report = await pool.check({ onProgress: (fraction) => fractions.push(fraction) });
    expect(report).toMatchObject({ ok: true, damages: [] });
    expect(report.entries).toBeGreaterThanOrEqual(100);
    expect(fractions.every((f) => f >= 0 && f <= 1)).toBe(true);
    const stats = pool.stats();
    expect(stats.folds).toBeGreaterThanOrEqual(1);
    for (const [name, value] of Object.entries(stats)) {
      if (typeof value === 'number') expect(value, name).toBeGreaterThanOrEqual(0);
    }
    const mine = new Error('mine');
    const throws = (): never => {
      throw mine;
    };
    await expect(pool.check({ onProgress: throws })).rejects.toBe(mine);
    const signal = AbortSignal.abort();
    expect(await codeOf(() => pool.check({ signal }))).toBe('ERR_HOLDFAST_ABORTED');
  });

  // The catalogue of keyspaces is one itself, with these two keys.
  test('a keyspace that is not there has nothing, whatever the key', () => {
    const pool = fresh();
    pool.keyspace('there').putSync('k', 1);
    for (const key of ['nthere', 'c', 'k']) {
      expect(pool.keyspace('absent').get(key)).toBeUndefined();
      expect(pool.keyspace('absent', { value: 'bytes' }).get(key)).toBeUndefined();
      expect(pool.keyspace('absent').getMany([key, key])).toEqual([undefined, undefined]);
      expect(pool.keyspace('absent').has(key)).toBe(false);
    }
  });

  test('1e6 reads keep no memory', async () => {
    const bytes = fresh().keyspace<string, Uint8Array>('b', { value: 'bytes' });
    bytes.putSync('k', Buffer.alloc(256, 1));
    const read = (count: number): void => {
      for (let i = 0; i < count; ++i) bytes.get('k');
    };
    read(100_000);
    const before = await residentBytes();
    read(1_000_000);
    // 1e6 values of 256 bytes are 256 MB; what is kept may be the heap's own room.
    expect((await residentBytes()) - before).toBeLessThan(64e6);
  });
});
