/**
 * SIGKILL in the middle of a backup: nothing half under the final name, and the next one goes on
 * and is exactly one state of the pool.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { open, restore } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('backup-kill');

// Every commit writes the same number under 20 keys: a state in which they differ is none.
const child = `
const { open } = require(${JSON.stringify(path.resolve('dist/index.js'))});
(async () => {
  const [path, target] = process.argv.slice(1);
  const pool = await open(path, { medium: 'file', retain: { bytes: 2 ** 40 } });
  const k = pool.keyspace('k', { value: 'json' });
  const bulk = pool.keyspace('bulk', { value: 'bytes' });
  if (bulk.count() === 0) for (let i = 0; i < 300; i++) bulk.putSync(String(i), Buffer.alloc(20000, i), { durability: 'eventual' });
  let n = k.get('0') ?? 0;
  const commit = () => {
    const batch = pool.batch();
    ++n;
    for (let i = 0; i < 20; i++) batch.put(k, String(i), n);
    pool.commitSync(batch, { durability: 'eventual' });
  };
  commit();
  console.log('ready');
  await pool.backup(target, { onProgress: () => { for (let i = 0; i < 50; i++) commit(); } });
  console.log('done');
  setInterval(commit, 1);
})();
`;

async function run(pool: string, target: string, until: () => boolean): Promise<void> {
  const running = spawn(process.execPath, ['-e', child, pool, target], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  running.stdout.on('data', (text: Buffer) => (told += text.toString()));
  const watching = setInterval(() => {
    if ((told.includes('ready') && until()) || told.includes('done')) running.kill('SIGKILL');
  }, 1);
  await once(running, 'exit');
  clearInterval(watching);
  expect(told).toContain('ready');
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;

test('killed while it writes, and again while it goes on', async () => {
  const pool = path.join(folder, 'pool');
  for (const [round, bytes] of [1, 600_000, 2_500_000, 5_000_000].entries()) {
    const target = path.join(folder, `backup-${round}`);
    const partial = `${target}.partial`;
    for (const more of [bytes, bytes + 500_000]) {
      await run(pool, target, () => sizeOf(partial) >= more);
      if (fs.existsSync(target)) break; // it was done before the signal came
      expect(sizeOf(partial)).toBeGreaterThan(0);
    }
    const source = await open(pool);
    if (!fs.existsSync(target)) expect((await source.backup(target)).continued).toBe(true);
    const newest = source.keyspace<string, number>('k', { value: 'json' }).get('0')!;
    await source.close();
    const copy = path.join(folder, `copy-${round}`);
    await restore(target, copy);
    const restored = await open(copy);
    const values = new Set(restored.keyspace<string, number>('k', { value: 'json' }).values());
    expect(values.size).toBe(1);
    expect([...values][0]).toBeLessThanOrEqual(newest);
    expect(restored.keyspace('bulk').count()).toBe(300);
    expect((await restored.check()).ok).toBe(true);
    await restored.close();
  }
});
