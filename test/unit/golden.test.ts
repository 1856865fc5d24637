/**
 * Pools written by the first release of each format version open for ever, tail and all. Made by
 * test/golden/make.mjs.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';

import { open } from '../../lib/index';
import { onEachMedium } from './support/media';

interface Note {
  i: number;
  text?: string;
}

onEachMedium('the golden pools', (place) => {
  it.each([
    ['1, root version 1', 'v1'],
    ['1, root version 3', 'v1.3'],
  ])('of format %s opens, holds what was committed, and goes on', async (_, version) => {
    const file = place.path();
    const kept = path.resolve(__dirname, `../golden/${place.medium}-${version}.pool.gz`);
    writeFileSync(file, gunzipSync(readFileSync(kept)));

    const pool = await open(file, { create: 'never' });
    expect(pool.medium).toBe(place.medium);
    expect(pool.stats().formatVersion).toBe(1);
    expect(pool.stats().replayedOperations).toBeGreaterThan(40);
    const notes = pool.keyspace<string, Note>('notes', { key: 'utf8', value: 'json' });
    const expected = new Map<string, Note>();
    for (let i = 0; i < 500; i++) {
      if (i % 7 === 0 || i === 1) continue;
      expected.set(`note-${String(i).padStart(4, '0')}`, { i, text: 'x'.repeat(i % 90) });
    }
    for (let i = 0; i < 40; i++) expected.set(`tail-${i}`, { i });
    expect(new Map(notes.range())).toEqual(expected);

    const bytes = pool.keyspace<Uint8Array, Uint8Array>('bytes', { key: 'bytes', value: 'bytes' });
    expect(bytes.get(Uint8Array.of(0, 255, 0))).toHaveLength(0);
    const large = bytes.get(Uint8Array.of(1))!;
    expect(large.length).toBe(300_000);
    expect(large.every((byte, i) => byte === i % 251)).toBe(true);
    expect((await pool.check()).damages).toEqual([]);

    const run = await pool.run('golden-run', {});
    expect(run.continued).toBe(true);
    expect(await run.step('think', () => 'never called')).toBe('because');
    expect(await run.tool('act', { n: 1 }, () => ({ done: false }))).toEqual({ done: true });
    expect(run.state).toEqual({ step: 2 });
    notes.putSync('new', { i: -1 });
    expected.set('new', { i: -1 });
    await pool.close();

    // What lives in it is carried on by the cleaner, into today's form.
    const again = await open(file);
    const today = again.keyspace<string, Note>('notes', { key: 'utf8', value: 'json' });
    for (let round = 0; round < 30; round++) {
      for (const key of [...expected.keys()].filter((_, i) => i % 3 !== 0)) {
        today.putSync(key, { i: round });
        expected.set(key, { i: round });
      }
    }
    await again.compact();
    expect(new Map(today.range())).toEqual(expected);
    expect((await again.check()).damages).toEqual([]);
    await again.close();
  });
});
