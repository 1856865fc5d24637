/**
 * The counted part of the benchmark (npm run bench:counts): what a commit costs in barriers, system
 * calls and device bytes. Counts are the same on a busy machine, so these are asserted where times
 * cannot be.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { afterAll, describe, expect, test } from 'vitest';

import { deviceBytes } from '../../lib/bench/machine';
import { openSync } from '../../lib/index';
import { onEachMedium } from '../unit/support/media';

const dist = path.resolve('dist/index.js');

onEachMedium('counted costs', (place) => {
  test.each([64, 256, 1024, 4096, 7900])(
    'one commit of %i bytes: one barrier, one write',
    async (bytes) => {
      const pool = openSync(place.path(), place.options);
      const space = pool.keyspace<string, Uint8Array>('a', { value: 'bytes' });
      for (let i = 0; i < 10; ++i) space.putSync(`key-${i}`, Buffer.alloc(bytes));
      await pool.settled();
      const before = pool.stats();
      for (let i = 0; i < 20; ++i) space.putSync(`key-${i % 10}`, Buffer.alloc(bytes, i));
      const after = pool.stats();
      pool.closeSync();
      expect(after.barriers - before.barriers).toBe(20);
      // Persistent memory may enter a new segment meanwhile: its header is a write of its own,
      // behind the same fence.
      expect(after.writes - before.writes).toBeLessThanOrEqual(21);
      expect((after.bytesAppended - before.bytesAppended) / 20).toBeLessThan(bytes + 512);
    },
  );

  test.each([8, 64, 512])('%i commits in flight share one barrier', async (inFlight) => {
    const pool = openSync(place.path(), place.options);
    const space = pool.keyspace<string, Uint8Array>('a', { value: 'bytes' });
    space.putSync('warm', Buffer.alloc(100));
    await pool.settled();
    const before = pool.stats();
    for (let turn = 0; turn < 5; ++turn) {
      await Promise.all(
        Array.from({ length: inFlight }, (_, i) => space.put(`key-${i}`, Buffer.alloc(100, turn))),
      );
    }
    const after = pool.stats();
    await pool.close();
    expect(after.barriers - before.barriers).toBe(5);
    expect(after.groups - before.groups).toBe(5);
  });
});

const hasStrace = spawnSync('strace', ['-c', 'true'], { stdio: 'ignore' }).status === 0;

describe.skipIf(!hasStrace)(
  `system calls of a file commit${hasStrace ? '' : ' (skipped: strace is not here or not allowed)'}`,
  () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-counts-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    let number = 0;

    /** Calls by name that `source` makes, beyond what opening and closing alone make. */
    function callsOf(source: string): Map<string, number> {
      const trace = (body: string): Map<string, number> => {
        const log = path.join(folder, `trace-${++number}`);
        const pool = path.join(folder, `pool-${number}.holdfast`);
        const program = `const pool = require(${JSON.stringify(dist)}).openSync(${JSON.stringify(pool)}, { medium: 'file' });
        const space = pool.keyspace('a', { value: 'bytes' });
        (async () => { space.putSync('warm', Buffer.alloc(10)); await pool.settled(); ${body}; pool.closeSync(); })();`;
        const calls = 'trace=fdatasync,fsync,msync,sync_file_range,pwrite64,pwritev,write,writev';
        execFileSync('strace', [
          '-f',
          '-y',
          '-e',
          calls,
          '-o',
          log,
          process.execPath,
          '-e',
          program,
        ]);
        const made = new Map<string, number>();
        for (const line of readFileSync(log, 'utf8').split('\n')) {
          const call = /^\d+ +(\w+)\(\d+<[^>]*\.holdfast>/.exec(line)?.[1];
          if (call !== undefined) made.set(call, (made.get(call) ?? 0) + 1);
        }
        return made;
      };
      const whole = trace(source);
      for (const [name, count] of trace('')) whole.set(name, (whole.get(name) ?? 0) - count);
      return whole;
    }

    test('one commit: one pwrite, one fdatasync, nothing else', () => {
      const calls = callsOf(
        `for (let i = 0; i < 50; ++i) space.putSync('key-' + i, Buffer.alloc(1024, i))`,
      );
      expect(Object.fromEntries([...calls].filter(([, count]) => count !== 0))).toEqual({
        pwrite64: 50,
        fdatasync: 50,
      });
    });

    test('one commit of a value with segments of its own: two pwrites, one fdatasync', () => {
      const calls = callsOf(
        `for (let i = 0; i < 8; ++i) space.putSync('key-' + i, Buffer.alloc(1024 * 1024, i))`,
      );
      expect(Object.fromEntries([...calls].filter(([, count]) => count !== 0))).toEqual({
        pwrite64: 16,
        fdatasync: 8,
      });
    });

    test('64 in flight: one fdatasync for all of them', () => {
      const calls = callsOf(
        `await Promise.all(Array.from({ length: 64 }, (_, i) => space.put('key-' + i, Buffer.alloc(256, i))))`,
      );
      expect(calls.get('fdatasync')).toBe(1);
      expect(calls.get('pwrite64')).toBe(1);
    });
  },
);

const onDevice = deviceBytes(os.tmpdir()) !== undefined;

test.skipIf(!onDevice)(
  `a commit of 1 KiB sends at most 8 KiB to the device${onDevice ? '' : ' (skipped: the temporary folder is not on a block device)'}`,
  async ({ skip }) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-counts-'));
    try {
      const pool = openSync(path.join(folder, 'a.holdfast'), { medium: 'file' });
      const space = pool.keyspace<string, Uint8Array>('a', { value: 'bytes' });
      for (let i = 0; i < 100; ++i) space.putSync(`key-${i % 10}`, Buffer.alloc(1024, i));
      const sentIn = async (window: () => unknown): Promise<number> => {
        const before = deviceBytes(folder)!;
        await window();
        return deviceBytes(folder)! - before;
      };
      // Everybody's writes are counted: the quietest of many short windows is ours alone, or
      // nearly. Beside each there is one as long in which we write nothing: where those are hardly
      // ever quiet either, nothing can be said.
      let least = Infinity;
      let quiet = 0;
      const until = Date.now() + 15_000;
      for (
        let window = 0;
        window < 200 && (least > 8192 || window < 20) && Date.now() < until;
        ++window
      ) {
        const begun = performance.now();
        least = Math.min(
          least,
          (await sentIn(() => {
            for (let i = 0; i < 5; ++i) space.putSync(`key-${i}`, Buffer.alloc(1024, window));
          })) / 5,
        );
        const took = performance.now() - begun;
        if ((await sentIn(() => new Promise((resolve) => setTimeout(resolve, took)))) === 0)
          quiet += 1;
      }
      await pool.close();
      expect(least).toBeGreaterThan(0);
      if (least > 8192 && quiet < 10)
        skip(`skipped: others write to this device all the time (${quiet} quiet moments)`);
      expect(least).toBeLessThanOrEqual(8192);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
