/**
 * A backup of a pool that another thread commits to, ten thousand times a second and more: what it
 * restores to is exactly one of the pool's epochs, and the one it says. Every commit writes one
 * number under all keys and into the region.
 */
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { expect, test } from 'vitest';

import { open, restore } from '../../lib/index';
import { onEachMedium } from './support/media';

const wantedRate = 10_000;
const rounds = 4; // at most: a machine may be busy with something else just then
const keys = 2;

// Commit number n has epoch `base` + n.
const committer = `
const { parentPort, workerData } = require('node:worker_threads');
const { openSync } = require(${JSON.stringify(path.resolve('dist/index.js'))});
const { path, counter, keys, first } = workerData;
const pool = openSync(path, { create: 'never' });
const k = pool.keyspace('k', { value: 'json' });
const region = pool.region('r');
const said = new BigInt64Array(counter);
const cell = new BigUint64Array(1);
let n = first;
while (Atomics.load(said, 1) === 0n) {
  n += 1;
  const batch = pool.batch();
  for (let i = 0; i < keys; i += 1) batch.put(k, 'n' + i, n);
  cell[0] = BigInt(n);
  batch.regionWrite(region, 8 * (n % 4096), cell).regionWrite(region, 8 * 4096, cell);
  const { epoch } = pool.commitSync(batch, { durability: 'eventual' });
  if (n === first + 1) parentPort.postMessage(epoch - n);
  Atomics.store(said, 0, BigInt(n));
}
pool.closeSync();
parentPort.postMessage('done');
`;

onEachMedium('a backup under commits', (place) => {
  test('restores to exactly the epoch it says, at ten thousand commits a second', async ({
    skip,
  }) => {
    const source = place.path();
    const pool = await open(source, {
      ...place.options,
      ...(place.medium === 'pmem' && { size: 2 ** 29 }),
    });
    const bulk = pool.keyspace<string, Uint8Array>('bulk', { value: 'bytes' });
    for (let i = 0; i < 3000; i++)
      bulk.putSync(`b${i}`, Buffer.alloc(10_000, i), { durability: 'eventual' });
    pool.region('r', { size: 8 * 4097 });
    const rates: number[] = [];
    let first = 0;
    for (let round = 0; round < rounds && !rates.some((rate) => rate >= wantedRate); round++) {
      const counter = new SharedArrayBuffer(16);
      const said = new BigInt64Array(counter);
      const worker = new Worker(committer, {
        eval: true,
        workerData: { path: source, counter, keys, first },
      });
      const told: unknown[] = [];
      worker.on('message', (message) => told.push(message));
      worker.on('error', (error) => told.push(error));
      while (told.length === 0) await setTimeout(1);
      const [from, begun] = [Number(Atomics.load(said, 0)), performance.now()];
      const target = place.path();
      const report = await pool.backup(target);
      const [to, ended] = [Number(Atomics.load(said, 0)), performance.now()];
      Atomics.store(said, 1, 1n);
      while (told.length === 1) await setTimeout(1);
      expect(told).toEqual([expect.any(Number), 'done']);
      first = Number(Atomics.load(said, 0));
      rates.push(((to - from) / (ended - begun)) * 1000);

      const copyPath = place.path();
      await restore(target, copyPath, { medium: 'file' });
      const copy = await open(copyPath);
      const numbers = [...copy.keyspace<string, number>('k', { value: 'json' }).values()];
      const n = numbers[0]!;
      expect(numbers).toEqual(Array.from({ length: keys }, () => n));
      expect(report.epoch).toBe((told[0] as number) + n);
      expect(n).toBeGreaterThanOrEqual(from);
      expect(n).toBeLessThanOrEqual(to);
      const cells = copy.region('r').typed(BigUint64Array, 0, 4097);
      expect(Number(cells[4096])).toBe(n);
      for (let i = Math.max(1, n - 4095); i <= n; i++) expect(Number(cells[i % 4096])).toBe(i);
      expect(copy.keyspace('bulk').count()).toBe(3000);
      expect((await copy.check()).ok).toBe(true);
      await copy.close();
    }
    console.log(
      `commits a second while it was backed up, on ${place.medium}: ${rates.map((rate) => rate.toFixed(0)).join(', ')}`,
    );
    await pool.close();
    // What was tried held; that it was tried at that rate cannot be said here.
    const most = Math.max(...rates);
    if (most < wantedRate)
      skip(`skipped: this machine made ${most.toFixed(0)} commits a second at most`);
  });
});
