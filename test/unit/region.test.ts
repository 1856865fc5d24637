/**
 * Regions through the API, on each medium: reads, writes, cells, batches, snapshots, sizes, bad
 * input.
 */
import { constants } from 'node:buffer';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';

import { openSync } from '../../lib/index';
import type { Holdfast, Region } from '../../lib/index';
import { codeOf, onEachMedium } from './support/media';

function messageOf(action: () => unknown): string {
  try {
    action();
    return 'no error';
  } catch (error) {
    return (error as Error).message;
  }
}

onEachMedium('a region', (place) => {
  const opened = (path = place.path()): Holdfast => openSync(path, place.options);

  test('is read into memory that another thread writes to, and is not called damaged for that', async () => {
    const pool = opened();
    const region = pool.region('r', { size: 100_000 });
    await region.write(0, new Uint8Array(100_000).fill(1));
    await pool.fold();
    const shared = new Uint8Array(new SharedArrayBuffer(100_000));
    const writes =
      'const { workerData: at, parentPort } = require("node:worker_threads"); parentPort.postMessage(0); for (;;) at.fill(2);';
    const worker = new Worker(writes, { eval: true, workerData: shared });
    await new Promise((begun) => worker.once('message', begun));
    for (let i = 0; i < 1000; ++i) region.readInto(shared, 0);
    await worker.terminate();
    region.readInto(shared, 0);
    expect(shared.every((byte) => byte === 1)).toBe(true);
    await pool.close();
  });

  test('keeps what was written, across folds and reopening', async () => {
    const path = place.path();
    let pool = opened(path);
    let region = pool.region('embeddings', { size: 1_000_000 });
    expect(region.size).toBe(1_000_000);
    expect(region.read(999_990)).toEqual(new Uint8Array(10));
    await region.write(500_000, new Float32Array([1.5, -2, 3]));
    region.writeSync(999_999, new Uint8Array([7]));
    expect(region.typed(Float32Array, 500_000, 3)).toEqual(new Float32Array([1.5, -2, 3]));
    await pool.fold();
    region.writeSync(500_004, new Float32Array([9]));
    expect(region.typed(Float32Array, 500_000, 3)).toEqual(new Float32Array([1.5, 9, 3]));
    await pool.close();
    pool = opened(path);
    region = pool.region('embeddings');
    expect(region.dataView(500_000, 12).getFloat32(4, true)).toBe(9);
    expect(region.read(999_990)).toEqual(new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 7]));
    const into = new Uint8Array(4);
    region.readInto(into, 999_996);
    expect(into).toEqual(new Uint8Array([0, 0, 0, 7]));
    expect(region.read().length).toBe(1_000_000);
    expect(pool.regions().map(({ name, size }) => [name, size])).toEqual([
      ['embeddings', 1_000_000],
    ]);
    expect((await pool.check()).ok).toBe(true);
    pool.closeSync();
  });

  test('of 8 GiB takes what was touched', async () => {
    const pool = opened();
    const region = pool.region('sparse', { size: 8 * 2 ** 30 });
    region.writeSync(8 * 2 ** 30 - 8, new BigUint64Array([5n]));
    region.writeSync(5 * 2 ** 30 + 1, new Uint8Array([1]));
    await pool.fold();
    expect(region.typed(BigUint64Array, 8 * 2 ** 30 - 8, 1)).toEqual(new BigUint64Array([5n]));
    expect(region.read(5 * 2 ** 30, 3)).toEqual(new Uint8Array([0, 1, 0]));
    expect(pool.stats().regionBytes).toBeLessThan(2 ** 20);
    pool.closeSync();
  });

  test('is committed with keys, or not at all', async () => {
    const pool = opened();
    const region = pool.region('r', { size: 64 });
    const keys = pool.keyspace<string, string>('k');
    const batch = pool
      .batch()
      .put(keys, 'a', 'x')
      .regionWrite(region, 0, new Uint8Array([1, 2]));
    await pool.commit(batch.regionAdd(region, 8, 5n).regionAdd(region, 8, -7n));
    expect(keys.get('a')).toBe('x');
    expect(region.read(0, 2)).toEqual(new Uint8Array([1, 2]));
    expect(region.typed(BigInt64Array, 8, 1)[0]).toBe(-2n);
    const refused = pool.batch().put(keys, 'a', 'y').requireCell(region, 8, 1n);
    expect(
      await codeOf(() => pool.commit(refused.regionWrite(region, 0, new Uint8Array([9])))),
    ).toBe('ERR_HOLDFAST_CONFLICT');
    const outside = pool.batch().put(keys, 'a', 'y').regionWrite(region, 63, new Uint8Array(2));
    expect(await codeOf(() => pool.commitSync(outside))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    expect(keys.get('a')).toBe('x');
    expect(region.read(0, 1)).toEqual(new Uint8Array([1]));
    await pool.close();
  });

  const half = 2 ** 39; // of a terabyte
  const why =
    constants.MAX_LENGTH < half ? '' : ' (skipped: an array of this Node.js may be as long)';
  test.skipIf(why !== '')(`more than an array takes is an error with a code${why}`, async () => {
    const pool = opened();
    const region = pool.region('far', { size: 2 * half });
    expect(await codeOf(() => region.read())).toBe('ERR_HOLDFAST_NO_MEMORY');
    expect(await codeOf(() => region.typed(Float64Array, 0, half / 8))).toBe(
      'ERR_HOLDFAST_NO_MEMORY',
    );
    await pool.close();
  });

  test('the last byte of a terabyte', async () => {
    const pool = opened();
    expect(pool.region('far', { size: 2 * half }).read(2 * half - 1)).toEqual(new Uint8Array(1));
    await pool.close();
  });

  test('adds and swaps, and tells what came of it', async () => {
    const pool = opened();
    const region = pool.region('cells', { size: 32 });
    expect(region.addSync(0, 41n)).toBe(41n);
    const sums = await Promise.all(Array.from({ length: 100 }, () => region.add(0, 1n)));
    expect(sums).toEqual(Array.from({ length: 100 }, (_, i) => BigInt(42 + i)));
    expect(region.addSync(0, -142n)).toBe(2n ** 64n - 1n);
    expect(await region.compareAndSwap(8, 0n, 7n)).toBe(true);
    expect(await region.compareAndSwap(8, 0n, 8n)).toBe(false);
    expect(region.compareAndSwapSync(8, 7n, -1n)).toBe(true);
    expect(region.compareAndSwapSync(8, -1n, 3n)).toBe(true);
    expect(region.typed(BigUint64Array, 0, 2)).toEqual(new BigUint64Array([2n ** 64n - 1n, 3n]));
    await pool.close();
  });

  test('is seen by a snapshot as it was', async () => {
    const pool = opened();
    const region = pool.region('r', { size: 100_000 });
    region.writeSync(0, new Uint8Array(100_000).fill(1));
    await pool.fold();
    using snapshot = pool.snapshot();
    region.writeSync(50_000, new Uint8Array(10).fill(2));
    await pool.fold();
    region.writeSync(70_000, new Uint8Array(10).fill(3));
    await pool.fold();
    region.resizeSync(10);
    region.dropSync();
    await pool.compact();
    expect(region.read(0, 100_000, { snapshot })).toEqual(new Uint8Array(100_000).fill(1));
    expect(pool.regions({ snapshot }).map(({ size }) => size)).toEqual([100_000]);
    expect(pool.regions()).toEqual([]);
    pool.closeSync();
  });

  test('grows, shrinks and goes', async () => {
    const pool = opened();
    const region = pool.region('r', { size: 10 });
    region.writeSync(0, new Uint8Array(10).fill(5));
    await region.grow(1000);
    expect(region.read(8, 4)).toEqual(new Uint8Array([5, 5, 0, 0]));
    await region.shrink(3);
    await region.grow(6);
    expect(region.read()).toEqual(new Uint8Array([5, 5, 5, 0, 0, 0]));
    expect(await codeOf(() => region.grow(2))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    expect(await codeOf(() => region.shrink(7))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    await region.drop();
    expect(await codeOf(() => region.read())).toBe('ERR_HOLDFAST_NOT_FOUND');
    expect(await codeOf(() => region.writeSync(0, new Uint8Array(1)))).toBe(
      'ERR_HOLDFAST_NOT_FOUND',
    );
    expect(await codeOf(() => region.resize(5))).toBe('ERR_HOLDFAST_CONFLICT');
    expect(await codeOf(() => pool.region('r'))).toBe('ERR_HOLDFAST_NOT_FOUND');
    const again = pool.region('r', { size: 4 });
    expect(again.read()).toEqual(new Uint8Array(4));
    expect(await codeOf(() => region.drop())).toBe('ERR_HOLDFAST_CONFLICT');
    expect(again.size).toBe(4);
    pool.closeSync();
  });

  test('of another size is an error until it is resized', () => {
    const path = place.path();
    const first = opened(path);
    first.region('r', { size: 4096 });
    first.closeSync();
    const pool = opened(path);
    expect(messageOf(() => pool.region('r', { size: 8192 }))).toContain(
      "The region 'r' has 4096 bytes, not 8192; leave size out, or call resize()",
    );
    pool.region('r').resizeSync(8192);
    expect(pool.region('r', { size: 8192 }).size).toBe(8192);
    pool.closeSync();
  });

  test('refuses bad input', async () => {
    const pool = opened();
    const other = opened();
    const region = pool.region('r', { size: 16 });
    const loose = region as unknown as Record<string, (...given: unknown[]) => unknown>;
    const cases: [string, string, unknown[]][] = [
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'read', [9, 8]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'read', [17]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'read', [-1, 1]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'read', [0, 2 ** 39]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'read', ['0', 1]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'typed', [Float64Array, 9, 1]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'typed', [Object, 0, 1]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'readInto', [[1], 0]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'writeSync', [9, new Uint8Array(8)]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'writeSync', [2 ** 53, new Uint8Array(8)]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'writeSync', [0, 'text']],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'write', [0, [1]]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'addSync', [4, 1n]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'addSync', [0, 1]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'addSync', [0, 2n ** 64n]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'addSync', [16, 1n]],
      ['ERR_HOLDFAST_INVALID_ARGUMENT', 'compareAndSwapSync', [0, 1n, 2]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'compareAndSwapSync', [16, 1n, 2n]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'resizeSync', [0]],
      ['ERR_HOLDFAST_OUT_OF_RANGE', 'resizeSync', [2 ** 41]],
    ];
    for (const [code, name, given] of cases) {
      expect([name, given, await codeOf(() => loose[name]!.call(region, ...given))]).toEqual([
        name,
        given,
        code,
      ]);
    }
    expect(await codeOf(() => pool.region(''))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    expect(await codeOf(() => pool.region('x', { size: 1.5 }))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    expect(await codeOf(() => other.batch().regionWrite(region, 0, new Uint8Array(1)))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(await codeOf(() => region.read(0, 1, { snapshot: other.snapshot() }))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(await codeOf(() => pool.batch().regionAdd({} as Region, 0, 1n))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(region.read()).toEqual(new Uint8Array(16));
    other.closeSync();
    pool.closeSync();
    expect(await codeOf(() => region.read())).toBe('ERR_HOLDFAST_CLOSED');
    expect(await codeOf(() => region.writeSync(0, new Uint8Array(1)))).toBe('ERR_HOLDFAST_CLOSED');
  });
});
