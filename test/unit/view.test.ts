/** Views on each medium: no copy, never stale, never in the way, and gone when their lease is. */
import { constants } from 'node:buffer';
import { Worker } from 'node:worker_threads';

import { expect, test } from 'vitest';

import { openSync } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { codeOf, onEachMedium } from './support/media';

const mib = 2 ** 20;

function patterned(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 61) bytes[i] = i % 251;
  return bytes;
}

onEachMedium('a view', (place) => {
  const options = { ...place.options, ...(place.medium === 'pmem' ? { size: 256 * mib } : {}) };
  const opened = (path = place.path()): Holdfast => openSync(path, options);
  const blobs = (pool: Holdfast): ReturnType<typeof pool.keyspace<string, Uint8Array>> =>
    pool.keyspace<string, Uint8Array>('blobs', { value: 'bytes' });

  test('of a value shows its bytes until the snapshot ends', async () => {
    const pool = opened();
    const values = blobs(pool);
    const lengths = [0, 1, 4095, 4096, 5000, 256 * 1024, 256 * 1024 + 1, 64 * mib];
    for (const length of lengths) values.putSync(`v${length}`, patterned(length));
    const snapshot = pool.snapshot();
    const views = lengths.map((length) => snapshot.view(values, `v${length}`)!);
    for (const length of lengths) values.deleteSync(`v${length}`);
    for (let i = 0; i < 20; i++) values.putSync('other', patterned(200_000));
    await pool.compact();
    lengths.forEach((length, i) => expect(Buffer.compare(views[i]!, patterned(length))).toBe(0));
    expect(snapshot.view(values, 'none')).toBeUndefined();
    snapshot.close();
    for (const view of views)
      expect([view.length, view.buffer.byteLength, view[0]]).toEqual([0, 0, undefined]);
    expect(await codeOf(() => snapshot.view(values, 'v1'))).toBe('ERR_HOLDFAST_SNAPSHOT_CLOSED');
    pool.closeSync();
  });

  test('of a region shows it as it was, whatever is written, folded and cut', async () => {
    const pool = opened();
    const size = 3 * mib + 5;
    const region = pool.region('r', { size });
    const model = patterned(size);
    region.writeSync(0, model.subarray(0, 2 * mib)); // the rest is sparse, but for its end
    region.writeSync(size - 5, model.subarray(size - 5));
    model.fill(0, 2 * mib, size - 5);
    await pool.fold();
    region.writeSync(70_000, new Uint8Array(1000).fill(8)); // in no fold yet
    model.fill(8, 70_000, 71_000);
    const whole = region.view();
    const part = region.view(69_999, 1_000_003);
    expect(whole.mapped).toBe(true);
    for (let i = 0; i < 5; i++) {
      region.writeSync(i * 100_000, new Uint8Array(60_000).fill(i + 1));
      await pool.fold();
    }
    region.resizeSync(1000);
    region.dropSync();
    await pool.compact();
    expect(Buffer.compare(whole.bytes, model)).toBe(0);
    expect(Buffer.compare(part.bytes, model.subarray(69_999, 69_999 + 1_000_003))).toBe(0);
    whole.end();
    whole.end();
    expect([whole.bytes.length, part.bytes.length]).toEqual([0, 1_000_003]);
    part[Symbol.dispose]();
    expect(part.bytes.length).toBe(0);
    await pool.compact();
    expect(pool.stats().regionBytes).toBe(0);
    pool.closeSync();
  });

  test('of a region in a snapshot shows what the snapshot sees', async () => {
    const pool = opened();
    const region = pool.region('r', { size: 100_000 });
    region.writeSync(0, new Uint8Array(100_000).fill(1));
    await pool.fold();
    using snapshot = pool.snapshot();
    region.writeSync(500, new Uint8Array(1000).fill(2));
    await pool.fold();
    region.writeSync(50_000, new Uint8Array(1000).fill(3));
    using then = region.view(0, 100_000, { snapshot });
    using now = region.view(0, 100_000);
    await pool.fold();
    region.writeSync(0, new Uint8Array(100_000).fill(4));
    await pool.fold();
    expect(then.bytes.every((byte) => byte === 1)).toBe(true);
    expect([now.bytes[499], now.bytes[500], now.bytes[50_999], now.bytes[51_000]]).toEqual([
      1, 2, 3, 1,
    ]);
    pool.closeSync();
  });

  test('lets no store through to the pool', async () => {
    const path = place.path();
    let pool = opened(path);
    const values = blobs(pool);
    for (const length of [5000, mib]) values.putSync(`v${length}`, patterned(length));
    pool.region('r', { size: 100_000 }).writeSync(0, new Uint8Array(100_000).fill(1));
    await pool.fold();
    {
      using snapshot = pool.snapshot();
      using view = pool.region('r').view();
      view.bytes.fill(9);
      for (const length of [5000, mib]) snapshot.view(values, `v${length}`)!.fill(9);
      expect(view.bytes[5]).toBe(9);
    }
    const intact = (): void => {
      for (const length of [5000, mib]) {
        expect(Buffer.compare(blobs(pool).get(`v${length}`)!, patterned(length))).toBe(0);
      }
      expect(
        pool
          .region('r')
          .read()
          .every((byte) => byte === 1),
      ).toBe(true);
    };
    intact();
    pool.closeSync();
    pool = opened(path);
    intact();
    expect((await pool.check()).ok).toBe(true);
    pool.closeSync();
  });

  test('ends with its pool, and when its memory was moved elsewhere', () => {
    const pool = opened();
    const values = blobs(pool);
    values.putSync('v', patterned(mib));
    const region = pool.region('r', { size: 5000 });
    region.writeSync(0, new Uint8Array(5000).fill(6));
    const snapshot = pool.snapshot();
    const value = snapshot.view(values, 'v')!;
    const lease = region.view();
    const stray = region.view();
    const transfer = (stray.bytes.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer })
      .transfer;
    const moved =
      transfer === undefined ? undefined : new Uint8Array(transfer.call(stray.bytes.buffer));
    stray.end();
    if (moved !== undefined) expect([moved.length, moved[0]]).toEqual([5000, 0]);
    pool.closeSync();
    expect([value.length, lease.bytes.length]).toEqual([0, 0]);
    lease.end();
    snapshot.close();
  });

  test('is bounded', async () => {
    const pool = opened();
    const other = opened();
    const region = pool.region('r', { size: 2 ** 40 });
    expect(await codeOf(() => region.view(2 ** 40, 1))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    expect(await codeOf(() => region.view(-1))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    if (constants.MAX_LENGTH < 2 ** 40)
      expect(await codeOf(() => region.view())).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
    region.writeSync(6 * 2 ** 30, new Uint8Array([1, 2, 3]));
    using far = region.view(6 * 2 ** 30, 3);
    expect(far.bytes).toEqual(new Uint8Array([1, 2, 3]));
    using empty = region.view(5, 0);
    expect(empty.bytes.length).toBe(0);
    expect(await codeOf(() => pool.snapshot().view(other.keyspace('k'), 'k'))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(await codeOf(() => pool.snapshot().view({} as never, 'k'))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    other.closeSync();
    pool.closeSync();
    expect(await codeOf(() => region.view(0, 1))).toBe('ERR_HOLDFAST_CLOSED');
  });

  test('goes with the worker that holds it, and with what is collected', async () => {
    const path = place.path();
    const pool = opened(path);
    blobs(pool).putSync('v', patterned(mib));
    pool.region('r', { size: mib }).writeSync(0, patterned(mib));
    await pool.fold();
    const work = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { openSync } = require(workerData.module);
      const pool = openSync(workerData.path, workerData.options);
      const held = [];
      for (let i = 0; i < 200; i++) {
        const view = pool.region('r').view();
        const snapshot = pool.snapshot();
        if (i % 2) held.push(view, snapshot.view(pool.keyspace('blobs', { value: 'bytes' }), 'v'));
      }
      parentPort.postMessage(held.length);
      setInterval(() => held[0].bytes[0], 1);`;
    const module = new URL('../../dist/index.js', import.meta.url).pathname;
    for (const terminated of [true, false]) {
      const script = terminated ? work : `${work}\nsetTimeout(() => process.exit(0), 20);`;
      const worker = new Worker(script, { eval: true, workerData: { module, path, options } });
      const ended = new Promise((resolve, reject) => {
        worker.once('exit', resolve);
        worker.once('error', reject);
      });
      expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(200);
      if (terminated) await worker.terminate();
      await ended;
    }
    expect(pool.stats().openSnapshots).toBe(0);
    expect(Buffer.compare(pool.region('r').read(), patterned(mib))).toBe(0);
    pool.closeSync();
  });
});
