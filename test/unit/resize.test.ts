/** Another size for a pool: while it is open, by copying, and from the command line. */
import { statSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { open, resizeByCopy } from '../../lib/index';
import { cli } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('resize');
const MiB = 2 ** 20;
const refused = (code: string) => expect.objectContaining({ code });

test('a file that is full is made larger while it is open, and takes more', async () => {
  await using pool = await open(join(folder, 'open'), { medium: 'file', size: 4 * MiB });
  const values = pool.keyspace<string, Uint8Array>('values', { value: 'bytes' });
  const fill = async () => {
    for (let i = 0; i < 100; i++) await values.put(`${i}`, new Uint8Array(100_000).fill(i));
  };
  await expect(fill()).rejects.toEqual(refused('ERR_HOLDFAST_POOL_FULL'));
  await pool.resize(32 * MiB);
  await fill();
  await expect(pool.resize(8 * MiB)).rejects.toEqual(refused('ERR_HOLDFAST_POOL_FULL'));
  expect(values.count()).toBe(100);
  await expect(pool.resize(-1)).rejects.toThrow(RangeError);
  await expect(pool.resize(1)).rejects.toThrow(RangeError);
});

test('resizeByCopy keeps everything, and refuses a pool that is open or a size that is too small', async () => {
  const path = join(folder, 'copied');
  const pool = await open(path, { medium: 'file', size: 64 * MiB });
  const values = pool.keyspace<string, Uint8Array>('values', { value: 'bytes' });
  for (let i = 0; i < 50; i++) await values.put(`${i}`, new Uint8Array(100_000).fill(i));
  const { epoch } = pool.stats();
  await pool.close();
  expect(await resizeByCopy(path, 16 * MiB)).toMatchObject({
    entries: 52,
    bytes: expect.any(Number) as number,
  });
  expect(statSync(path).size).toBeLessThanOrEqual(16 * MiB);
  await expect(resizeByCopy(path, 2 * MiB)).rejects.toEqual(refused('ERR_HOLDFAST_POOL_FULL'));
  await using again = await open(path);
  expect(again.stats().epoch).toBeGreaterThan(epoch);
  const seen = again.keyspace<string, Uint8Array>('values', { value: 'bytes' });
  expect([...seen.range()].map(([key, value]) => value[99_999] === Number(key))).toEqual(
    Array(50).fill(true),
  );
});

test('holdfast resize: in place where it can, else by copying', async () => {
  const path = join(folder, 'cli');
  const pool = await open(path, { medium: 'file', size: 16 * MiB });
  const values = pool.keyspace<string, Uint8Array>('values', { value: 'bytes' });
  for (let i = 0; i < 80; i++) await values.put(`${i}`, new Uint8Array(100_000).fill(i));
  expect((await cli(['resize', path, '1G', '--json'])).stdout).toContain('ERR_HOLDFAST_LOCKED');
  await pool.close();
  expect((await cli(['resize', path, '1G'])).stdout).toContain('in place');
  const copied = await cli(['resize', path, '12M', '--json']);
  expect([copied.code, copied.json<{ size: number; copied: unknown }>()]).toMatchObject([
    0,
    { size: 12 * MiB },
  ]);
  expect((await cli(['resize', path, 'huge'])).code).toBe(2);
  expect((await cli(['resize', path, '0'])).stdout).toContain('grows by itself');
  expect((await cli(['check', path])).code).toBe(0);
});
