/**
 * Regions go along: with a full backup, its increments, a backup that was interrupted, and an
 * export; and the change feed passes them over.
 */
import fs from 'node:fs';

import { expect, test } from 'vitest';

import { open, restore } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { exportLines, LineImport } from '../../lib/transfer';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('region-backup');
let number = 0;
const fresh = (): string => `${folder}/${number++}`;
const options = { medium: 'file' as const, retain: { bytes: 2 ** 40 } };

/** Sizes, and what is in them, by name. */
function regionsOf(pool: Holdfast): Record<string, string> {
  const all = pool.regions().map(({ name, size }): [string, string] => {
    return [
      name,
      `${size} ${Buffer.from(pool.region(name).read(0, Math.min(size, 2 ** 20))).toString('base64')}`,
    ];
  });
  return Object.fromEntries(all);
}

function work(pool: Holdfast, seed: number): void {
  const names = pool.keyspace<string, number>('names', { value: 'json' });
  const a = pool.region('a', seed === 1 ? { size: 300_000 } : {});
  if (seed === 1)
    pool.region('sparse', { size: 2 ** 33 }).writeSync(2 ** 20 - 3, new Uint8Array([1, 2, 3, 4]));
  for (let i = 0; i < 60; i++) {
    const bytes = new Uint8Array(1 + ((i * 7919) % 3000)).fill(seed * 60 + i);
    pool.commitSync(
      pool
        .batch()
        .put(names, 'last', seed * 100 + i)
        .regionWrite(a, (i * 104729) % 200_000, bytes),
      { durability: 'eventual' },
    );
    if (i === 30) a.resizeSync(230_000 + seed);
    if (i === 40) a.resizeSync(300_000);
  }
  a.addSync(8, BigInt(seed));
  if (seed === 2) pool.region('sparse').dropSync();
  if (seed === 2) pool.region('new', { size: 10 }).writeSync(0, new Uint8Array([9]));
}

test('a full backup and its increments hold the regions as of any epoch in them', async () => {
  await using pool = await open(fresh(), options);
  work(pool, 1);
  const full = fresh();
  const { epoch } = await pool.backup(full, { onProgress: () => pool.region('a').addSync(16, 1n) });
  work(pool, 2);
  const more = fresh();
  await pool.backup(more, { incremental: epoch });
  const wanted = regionsOf(pool);
  const path = fresh();
  await restore([full, more], path, { medium: 'file' });
  {
    await using restored = await open(path, { create: 'never' });
    expect(regionsOf(restored)).toEqual(wanted);
    expect((await restored.check()).ok).toBe(true);
    restored.region('a').writeSync(0, new Uint8Array([1]));
    restored.region('another', { size: 5 });
    expect(restored.regions().map(({ name }) => name)).toEqual(['a', 'new', 'another']);
  }
  const earlier = fresh();
  await restore([full], earlier, { medium: 'file' });
  await using restored = await open(earlier, { create: 'never' });
  expect(Object.keys(regionsOf(restored))).toEqual(['a', 'sparse']);
  expect(restored.keyspace<string, number>('names', { value: 'json' }).get('last')).toBe(159);
  expect(restored.region('sparse').read(2 ** 20 - 3, 4)).toEqual(new Uint8Array([1, 2, 3, 4]));
});

test('a backup that was interrupted between its regions goes on, whatever became of them meanwhile', async () => {
  await using pool = await open(fresh(), options);
  work(pool, 1);
  const target = fresh();
  const stop = new AbortController();
  await expect(
    pool.backup(target, { signal: stop.signal, onProgress: () => stop.abort() }),
  ).rejects.toMatchObject({ code: 'ERR_HOLDFAST_ABORTED' });
  expect(fs.existsSync(`${target}.partial`)).toBe(true);
  work(pool, 2);
  pool.region('a').resizeSync(1000);
  const report = await pool.backup(target);
  expect(report.continued).toBe(true);
  const path = fresh();
  await restore([target], path, { medium: 'file' });
  await using restored = await open(path, { create: 'never' });
  expect(regionsOf(restored)).toEqual(regionsOf(pool));
});

test('an export holds them, and an import makes them', async () => {
  await using pool = await open(fresh(), options);
  work(pool, 1);
  pool.region('sparse').resizeSync(2 ** 21);
  await using copy = await open(fresh(), options);
  const lines = new LineImport(copy);
  for (const line of exportLines(pool)) await lines.take(line);
  await lines.end();
  expect(regionsOf(copy)).toEqual(regionsOf(pool));
});

test('the change feed gives the keys of a commit that wrote to a region too', async () => {
  await using pool = await open(fresh(), options);
  const before = pool.stats().epoch;
  work(pool, 1);
  const names = pool.keyspace<string, number>('names', { value: 'json' });
  const values: unknown[] = [];
  for await (const { changes } of pool.watch({ keyspace: names, from: before })) {
    values.push(...changes.map(({ value }) => value));
    if (values.length === 60) break;
  }
  expect(values).toEqual(Array.from({ length: 60 }, (_, i) => 100 + i));
});
