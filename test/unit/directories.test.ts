/**
 * Pools over several directories, from JavaScript and the command line: made, read beside, backed
 * up, resized, salvaged, told about.
 */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

import { open, openSync, resizeByCopy, restore, salvage } from '../../lib/index';
import type { OpenOptions } from '../../lib/index';
import { cli } from '../helpers/cli';
import { runChild } from './support/child';
import { codeOf, onEachMedium } from './support/media';

const MiB = 2 ** 20;

onEachMedium('directories', (place) => {
  const onPmem = test.skipIf(place.medium === 'file');
  const made = (where: string): string[] =>
    ['a', 'b'].map((name) => {
      const folder = path.join(`${where}.places`, name);
      fs.mkdirSync(folder, { recursive: true });
      return folder;
    });
  const over = (directories: string[], size = 128 * MiB): OpenOptions => ({
    medium: 'pmem',
    grow: true,
    size,
    directories,
  });

  test('wrong ones are refused before anything is made', async () => {
    const where = place.path();
    const codes = async (options: unknown): Promise<string[]> => [
      await codeOf(() => open(where, options as never)),
      await codeOf(() => openSync(where, options as never)),
    ];
    const wrong = [
      { medium: 'pmem', grow: true, directories: 'a' },
      { medium: 'pmem', grow: true, directories: [] },
      { medium: 'pmem', grow: true, directories: [''] },
      { medium: 'pmem', grow: true, directories: ['a\0b'] },
      { medium: 'pmem', directories: ['/tmp'] },
      { medium: 'file', grow: true, directories: ['/tmp'] },
    ];
    for (const options of wrong)
      expect(await codes(options)).toEqual(Array(2).fill('ERR_HOLDFAST_INVALID_ARGUMENT'));
    expect(await codeOf(() => resizeByCopy(where, 0, { directories: [5] as never }))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    expect(fs.existsSync(where)).toBe(false);
  });

  onPmem(
    'a pool in two directories, opened by its path, read by another process while it grows',
    async () => {
      const where = place.path();
      const directories = made(where);
      const pool = await open(where, over(directories, 160 * MiB));
      const values = pool.keyspace<number, Uint8Array>('values', { key: 'uint64', value: 'bytes' });
      const fill = async (from: number, to: number): Promise<void> => {
        for (let i = from; i < to; i++) await values.put(i, new Uint8Array(200_000).fill(i));
      };
      await fill(0, 50);
      const source = `
      const [where] = process.argv.slice(2);
      const pool = holdfast.openSync(where, { readOnly: true });
      const values = pool.keyspace('values', { key: 'uint64', value: 'bytes' });
      const whole = () => { let n = 0; for (const [key, value] of values.range()) if (value.length === 200000 && value[7] === (key & 255)) n++; return n; };
      const before = whole();
      const until = Date.now() + 60000;
      let after = 0;
      while (after < 450 && Date.now() < until) { pool.refreshSync(); after = whole(); }
      console.log(JSON.stringify([before >= 50, after, pool.stats().parts.length]));`;
      const reader = runChild(source, { args: [where] });
      await fill(50, 450);
      expect((await reader).stdout.trim()).toBe('[true,450,2]');
      const { parts } = pool.stats();
      expect(parts.map((part) => path.dirname(part.path))).toEqual(directories);
      expect(
        parts.every(
          (part) =>
            part.takenBytes > 10 * MiB && part.takenBytes < part.bytes + MiB && part.freeBytes > 0,
        ),
      ).toBe(true);
      // A value and a region larger than a part.
      const large = new Uint8Array(20 * MiB).map((_, i) => i >> 8);
      await pool.keyspace<string, Uint8Array>('large', { value: 'bytes' }).put('one', large);
      const region = pool.region('region', { size: 4 * MiB });
      await region.write(1 * MiB, large.subarray(0, 2 * MiB));
      await pool.backup(`${where}.backup`);
      await pool.close();

      await using again = await open(where, { create: 'never' });
      expect([...again.keyspace('values', { key: 'uint64', value: 'bytes' }).keys()]).toHaveLength(
        450,
      );
      const found = again.keyspace<string, Uint8Array>('large', { value: 'bytes' }).get('one')!;
      expect(Buffer.compare(found, large)).toBe(0);
      expect(
        Buffer.compare(again.region('region').view(MiB, 2 * MiB).bytes, large.subarray(0, 2 * MiB)),
      ).toBe(0);
      expect((await again.check()).ok).toBe(true);
      expect(
        (await restore([`${where}.backup`], `${where}.restored`, { medium: 'file' })).entries,
      ).toBeGreaterThan(450);
    },
  );

  onPmem(
    'the command line: info lists the parts, resize moves them, salvage saves what a lost part leaves',
    async () => {
      const where = place.path();
      const directories = made(where);
      const pool = await open(where, over(directories));
      const values = pool.keyspace<number, Uint8Array>('values', { key: 'uint64', value: 'bytes' });
      for (let i = 0; i < 60; i++) await values.put(i, new Uint8Array(100_000).fill(i));
      await pool.close();
      const info = await cli(['info', where]);
      for (const directory of directories) expect(info.stdout).toContain(directory);
      expect(
        (await cli(['info', where, '--json'])).json<{ parts: unknown[] }>().parts,
      ).toHaveLength(2);
      expect((await cli(['check', where])).code).toBe(0);
      expect((await cli(['doctor', where])).code).toBe(0);

      const parts = (): number =>
        directories.reduce((sum, directory) => sum + fs.readdirSync(directory).length, 0);
      expect((await cli(['resize', where, '200M'])).stdout).toContain('copied');
      expect(parts()).toBe(2);
      expect((await cli(['resize', where, '200M', '--one-file'])).code).toBe(0);
      expect([parts(), fs.statSync(where).size]).toEqual([0, 200 * MiB]);
      const both = directories.flatMap((directory) => ['--directory', directory]);
      expect((await cli(['resize', where, '100M', '--one-file', ...both])).code).toBe(2);
      expect((await cli(['resize', where, '100M', ...both, '--json'])).code).toBe(0);
      expect(parts()).toBe(2);

      const lost = path.join(directories[1]!, fs.readdirSync(directories[1]!)[0]!);
      fs.rmSync(lost);
      const refused = await cli(['check', where]);
      expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining(lost)]);
      expect(await codeOf(() => open(where))).toBe('ERR_HOLDFAST_NOT_FOUND');
      const saved = await salvage(where, `${where}.saved`, { medium: 'file' }).catch(
        (error: unknown) => error,
      );
      expect(saved).toMatchObject({ entries: expect.any(Number) as number });
      await using again = await open(`${where}.saved`);
      expect(again.keyspace('values', { key: 'uint64', value: 'bytes' }).count()).toBe(60);
    },
  );
});
