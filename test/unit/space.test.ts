/** Too much: batches too large, pools and disks that are full, places that cannot be written. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';

import { open, openSync } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { cli } from '../helpers/cli';
import { runChild } from './support/child';
import { codeOf, onEachMedium } from './support/media';

const dist = path.join(import.meta.dirname, '../../dist/index.js');

/** May this user mount? Then a shell with mounts of its own can be had. */
const mayMount = spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs none /mnt']).status === 0;
const whyNot = mayMount ? '' : ' (skipped: mounting is not allowed here)';

/** Runs `shell` with its own mounts, and after it `source` in Node; its lines of output. */
function inMounts(shell: string, source: string): string[] {
  const program = `const holdfast = require(${JSON.stringify(dist)}); const fs = require('node:fs'); ${source}`;
  const script = `set -e; ${shell}; exec "$NODE" -e "$PROGRAM"`;
  const env = { ...process.env, NODE: process.execPath, PROGRAM: program };
  return execFileSync('unshare', ['-m', 'sh', '-c', script], { env, encoding: 'utf8' })
    .trim()
    .split('\n');
}

onEachMedium('space', (place) => {
  let pool: Holdfast | undefined;
  afterEach(() => {
    pool?.closeSync();
    pool = undefined;
  });
  const MiB = 1024 * 1024;

  test.skipIf(place.medium === 'file')(
    'a pool that grows takes what it needs and gives it back',
    async () => {
      const where = place.path();
      const taken = (): number => fs.statSync(where).blocks * 512;
      pool = openSync(where, { medium: 'pmem', grow: true, size: 8192 * MiB });
      const space = pool.keyspace<number, Uint8Array>('a', { key: 'uint64', value: 'bytes' });
      expect(fs.statSync(where).size).toBe(8192 * MiB);
      expect(taken()).toBeLessThan(24 * MiB);
      for (let i = 0; i < 400; ++i) space.putSync(i, Buffer.alloc(100_000, i));
      expect(taken()).toBeGreaterThan(40 * MiB);
      for (let i = 1; i < 400; ++i) space.deleteSync(i);
      await pool.compact();
      expect(taken()).toBeLessThan(32 * MiB);
      pool.closeSync();
      pool = openSync(where);
      expect(
        pool.keyspace<number, Uint8Array>('a', { key: 'uint64', value: 'bytes' }).get(0),
      ).toEqual(new Uint8Array(100_000));
    },
  );

  test.skipIf(place.medium === 'file')('restore and import make pools that grow', async () => {
    const where = place.path();
    const backup = `${where}.backup`;
    const lines = `${where}.jsonl`;
    await using from = await open(where, { medium: 'pmem' });
    await from.keyspace<string, number>('a').put('k', 1);
    await from.backup(backup);
    await from.close();
    const done = async (...args: string[]) =>
      expect(await cli(args)).toMatchObject({ code: 0, stderr: '' });
    await done('export', where, lines);
    await done('restore', `${where}.1`, backup, '--medium', 'pmem', '--grow', '--size', '256M');
    await done('import', `${where}.2`, lines, '--medium', 'pmem', '--grow', '--size', '256M');
    await done('import', `${where}.3`, backup, '--medium', 'pmem', '--grow', '--size', '256M');
    for (const n of [1, 2, 3]) {
      const made = `${where}.${n}`;
      expect(fs.statSync(made).size).toBe(256 * MiB);
      expect(fs.statSync(made).blocks * 512).toBeLessThan(24 * MiB);
      await using pool = await open(made);
      expect(pool.keyspace<string, number>('a').get('k')).toBe(1);
    }
  });

  test('a full pool loses nothing, reads, deletes, and takes more afterwards', async () => {
    const where = place.path();
    pool = openSync(where, { medium: place.medium, size: 32 * MiB });
    const space = pool.keyspace<number, Uint8Array>('a', { key: 'uint64', value: 'bytes' });
    const value = (i: number): Buffer => Buffer.alloc(64 * 1024, i);
    let written = 0;
    let code = 'OK';
    for (; code === 'OK' && written < 2000; ++written) {
      code = await codeOf(() => space.putSync(written, value(written), { durability: 'eventual' }));
    }
    --written;
    expect(code).toBe('ERR_HOLDFAST_POOL_FULL');
    // What the refusal stirred up may have found a little more room: fill that too, one awaited put
    // after the other.
    for (code = 'OK'; code === 'OK' && written < 2000; ++written) {
      code = await codeOf(() => space.put(written, value(written)));
    }
    --written;
    expect(code).toBe('ERR_HOLDFAST_POOL_FULL');
    expect(written * 64 * 1024).toBeGreaterThan(8 * MiB);
    expect(space.count()).toBe(written);
    for (let i = 0; i < written; ++i) expect(space.get(i)![100]).toBe(i & 255);
    for (let i = 0; i < written; i += 2) expect(await codeOf(() => space.deleteSync(i))).toBe('OK');
    await pool.compact();
    for (let i = 0; i < written / 4; ++i)
      expect(await codeOf(() => space.put(i * 2, value(i)))).toBe('OK');
    expect(await pool.check()).toMatchObject({ ok: true });
  });

  // In a process of its own: a commit that waits for ever would stop this one.
  test.each(['a value', 'a queued value', 'a batch'])(
    '%s that cannot fit the pool is refused, and others go on',
    async (what) => {
      const source = `
      const [where, medium, what] = process.argv.slice(2);
      const MiB = 1024 * 1024;
      const pool = holdfast.openSync(where, { medium, size: 32 * MiB });
      const space = pool.keyspace('a', { value: 'bytes' });
      space.putSync('k', Buffer.from('before'));
      const batch = pool.batch();
      for (let i = 0; i < 600; ++i) batch.put(space, 'b' + i, Buffer.alloc(100_000));
      const tries = {
        'a value': () => space.putSync('k', Buffer.alloc(64 * MiB)),
        'a queued value': () => space.put('k', Buffer.alloc(64 * MiB)),
        'a batch': () => pool.commit(batch),
      };
      (async () => {
        try { await tries[what](); console.log('OK'); } catch (error) { console.log(error.code); }
        console.log(Buffer.from(space.get('k')).toString(), space.count());
        await space.put('l', Buffer.alloc(10));
        console.log(space.count());
      })();`;
      const { stdout, stderr } = await runChild(source, {
        args: [place.path(), place.medium, what],
      });
      expect(stderr).toBe('');
      expect(stdout.trim().split('\n')).toEqual([
        expect.stringMatching(/_BATCH_TOO_LARGE$|_POOL_FULL$/),
        'before 1',
        '2',
      ]);
    },
  );

  test('a size that is none', async () => {
    expect(['ERR_HOLDFAST_OUT_OF_RANGE', 'OK']).toContain(
      await codeOf(() => openSync(place.path(), { medium: place.medium, size: 4096 }).closeSync()),
    );
  });

  test.skipIf(!mayMount || place.missing !== undefined)(`a read-only file system${whyNot}`, () => {
    const where = place.path();
    openSync(where, place.options).closeSync();
    const lines = inMounts(
      `mount -t tmpfs none /mnt; cp ${where} /mnt/pool; mount -o remount,ro /mnt`,
      `for (const path of ['/mnt/pool', '/mnt/new']) {
         try { holdfast.openSync(path, { medium: '${place.medium}' }); console.log('OK'); }
         catch (error) { console.log(error.code); }
       }`,
    );
    expect(lines).toEqual(['ERR_HOLDFAST_READ_ONLY', 'ERR_HOLDFAST_READ_ONLY']);
  });

  test.skipIf(!mayMount || place.medium === 'pmem')(`a full disk${whyNot}`, () => {
    const lines = inMounts(
      'mount -t tmpfs -o size=24m none /mnt',
      `const pool = holdfast.openSync('/mnt/pool', { medium: 'file' });
       const space = pool.keyspace('a', { value: 'bytes' });
       let i = 0, code;
       try { for (; i < 3000; ++i) space.putSync('k' + i, Buffer.alloc(64 * 1024, i)); } catch (error) { code = error.code; }
       console.log(code, i > 50, space.count() === i, space.get('k' + (i - 1))[0] === ((i - 1) & 255));
       let deleted = 0;
       for (let d = 0; d < i; ++d) { space.deleteSync('k' + d); ++deleted; }
       console.log(deleted === i, space.count());
       pool.closeSync();
       const again = holdfast.openSync('/mnt/pool');
       console.log(again.keyspace('a').count());`,
    );
    expect(lines).toEqual(['ERR_HOLDFAST_DISK_FULL true true true', 'true 0', '0']);
  });
});

test('the tests leave no mounts behind', () => {
  expect(fs.readdirSync('/mnt')).not.toContain('pool');
});
