/**
 * Reading a pool beside the process that writes it: the option, refresh(), errors, the command
 * line.
 */
import { chmodSync, existsSync, mkdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { open, openSync } from '../../lib/index';
import { cli } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';
import { onEachMedium } from './support/media';

const folder = scratchFolder('readers');
let count = 0;
const fresh = (): string => join(folder, `${count++}.holdfast`);

describe('readOnly', () => {
  test('sees what is durable, and more with refresh(); a snapshot stays what it was', async () => {
    const path = fresh();
    await using writer = await open(path);
    const notes = writer.keyspace<string, number>('notes');
    await notes.put('a', 1);
    await using reader = await open(path, { readOnly: true });
    expect([reader.readOnly, writer.readOnly]).toEqual([true, false]);
    const seen = reader.keyspace<string, number>('notes');
    expect(seen.get('a')).toBe(1);
    const { epoch } = await notes.put('a', 2);
    expect(seen.get('a')).toBe(1);
    using snapshot = reader.snapshot();
    expect(await reader.refresh()).toBe(epoch);
    expect([seen.get('a'), seen.get('a', { snapshot })]).toEqual([2, 1]);
    await writer.fold();
    await notes.put('b', 3);
    reader.refreshSync();
    expect([...seen.range()]).toEqual([
      ['a', 2],
      ['b', 3],
    ]);
    expect([...seen.range({ snapshot })]).toEqual([['a', 1]]);
    expect(writer.stats()).toMatchObject({ readers: 2, oldestReaderPid: process.pid });
  });

  test('beside a writer to which the way that it came no longer leads', async () => {
    const path = fresh();
    await (await open(path)).close();
    const way = fresh();
    symlinkSync(path, way);
    await using writer = await open(way);
    unlinkSync(way);
    await writer.keyspace('notes').put('a', 1);
    await using reader = await open(path, { readOnly: true });
    expect(reader.keyspace('notes').get('a')).toBe(1);
  });

  test('a keyspace that the writer makes later is found after refresh()', async () => {
    const path = fresh();
    await using writer = await open(path);
    await writer.keyspace('first').put('a', 1);
    await using reader = await open(path, { readOnly: true });
    const late = reader.keyspace('late');
    expect(late.get('a')).toBeUndefined();
    await writer.keyspace('late').put('a', 'there');
    await reader.refresh();
    expect(late.get('a')).toBe('there');
    expect(reader.keyspaces()).toEqual(['first', 'late']);
  });

  test('what would change the pool is refused', async () => {
    const path = fresh();
    await using writer = await open(path);
    await writer.keyspace('notes').put('a', 1);
    await using reader = openSync(path, { readOnly: true });
    const notes = reader.keyspace('notes');
    const refused = expect.objectContaining({ code: 'ERR_HOLDFAST_READ_ONLY' });
    await expect(notes.put('a', 2)).rejects.toEqual(refused);
    expect(() => notes.putSync('a', 2)).toThrow(refused);
    expect(() => notes.deleteSync('a')).toThrow(refused);
    expect(() => reader.keyspace('new').putSync('a', 2)).toThrow(refused);
    await expect(reader.fold()).rejects.toEqual(refused);
    await expect(reader.compact()).rejects.toEqual(refused);
    expect(await writer.refresh()).toBe(writer.stats().epoch);
  });

  test('nothing is made where no pool is; a wrong option is a TypeError', async () => {
    const path = fresh();
    const gone = expect.objectContaining({ code: 'ERR_HOLDFAST_NOT_FOUND' });
    await expect(open(path, { readOnly: true })).rejects.toEqual(gone);
    expect(existsSync(path)).toBe(false);
    // @ts-expect-error not a boolean
    await expect(open(path, { readOnly: 'yes' })).rejects.toThrow(TypeError);
    mkdirSync(path);
    const folderThere = expect.objectContaining({ code: 'ERR_HOLDFAST_NOT_A_POOL' });
    await expect(open(path, { readOnly: true })).rejects.toEqual(folderThere);
  });

  test('reads a pool that nobody writes; the writer that comes next is not in its way', async () => {
    const path = fresh();
    await (await open(path)).close();
    await using reader = await open(path, { readOnly: true });
    expect(reader.keyspaces()).toEqual([]);
    await using writer = await open(path);
    await writer.keyspace('notes').put('a', 'x'.repeat(700_000));
    await reader.refresh();
    expect(reader.keyspace<string, string>('notes').get('a')).toHaveLength(700_000);
    expect((await reader.check()).damages).toEqual([]);
  });

  test.skipIf(process.getuid?.() === 0)(
    'without the right to write beside the pool: only when nobody writes',
    async () => {
      const inside = join(folder, 'closed');
      mkdirSync(inside);
      const path = join(inside, 'a.holdfast');
      const writer = await open(path);
      await writer.keyspace('notes').put('a', 1);
      chmodSync(inside, 0o555);
      const locked = expect.objectContaining({ code: 'ERR_HOLDFAST_LOCKED' });
      await expect(open(path, { readOnly: true })).rejects.toEqual(locked);
      await writer.close();
      await using reader = await open(path, { readOnly: true });
      expect(reader.keyspace('notes').get('a')).toBe(1);
      await using next = await open(path);
      await next.keyspace('notes').put('a', 2);
      expect(() => reader.keyspace('notes').get('a')).toThrow(
        expect.objectContaining({ code: 'ERR_HOLDFAST_READER_EXPIRED' }),
      );
      chmodSync(inside, 0o755);
    },
  );
});

onEachMedium('regions and views, readOnly', (place) => {
  test('a region is read as of one commit, beside folds that place it, and followed with refresh()', async () => {
    const path = place.path();
    await using writer = await open(path, place.options);
    const vectors = writer.region('vectors', { size: 600_000 });
    await vectors.write(300_000, new Float32Array([1, 2, 3]));
    await writer.fold();
    await using reader = await open(path, { readOnly: true });
    const seen = reader.region('vectors');
    expect(seen.size).toBe(600_000);
    expect([...seen.typed(Float32Array, 300_000, 3)]).toEqual([1, 2, 3]);
    expect(reader.regions()).toEqual([expect.objectContaining({ name: 'vectors', size: 600_000 })]);
    using before = reader.snapshot();
    for (let i = 0; i < 3; i++) {
      await vectors.write(300_000, new Float32Array([i + 10, i, 5]));
      await vectors.addSync(8, 1n);
      await writer.fold();
      expect([...seen.typed(Float32Array, 300_000, 3, { snapshot: before })]).toEqual([1, 2, 3]);
      await reader.refresh();
      expect([...seen.typed(Float32Array, 300_000, 3)]).toEqual([i + 10, i, 5]);
      expect(seen.dataView(8, 8).getBigUint64(0, true)).toBe(BigInt(i + 1));
    }
    expect(seen.nextData(300_000, { snapshot: before })).toBeLessThanOrEqual(300_000);
    await writer.region('later', { size: 8 }).add(0, 7n);
    expect(() => reader.region('later')).toThrow(
      expect.objectContaining({ code: 'ERR_HOLDFAST_NOT_FOUND' }),
    );
    await reader.refresh();
    expect(reader.region('later').dataView(0, 8).getBigUint64(0, true)).toBe(7n);
    await vectors.drop();
    expect(seen.size).toBe(600_000);
    await reader.refresh();
    expect(() => seen.size).toThrow(expect.objectContaining({ code: 'ERR_HOLDFAST_NOT_FOUND' }));
  });

  test('what would change a region is refused, and so is one that is not there', async () => {
    const path = place.path();
    await using writer = await open(path, place.options);
    await writer.region('r', { size: 16 }).add(0, 1n);
    await using reader = await open(path, { readOnly: true });
    const region = reader.region('r', { size: 16 });
    const refused = expect.objectContaining({ code: 'ERR_HOLDFAST_READ_ONLY' });
    await expect(region.write(0, new Uint8Array(4))).rejects.toEqual(refused);
    expect(() => region.addSync(0, 1n)).toThrow(refused);
    await expect(region.compareAndSwap(0, 1n, 2n)).rejects.toEqual(refused);
    await expect(region.resize(8)).rejects.toEqual(refused);
    await expect(region.drop()).rejects.toEqual(refused);
    expect(() => reader.region('new', { size: 8 })).toThrow(refused);
    expect(() => reader.region('r', { size: 8 })).toThrow(
      expect.objectContaining({ code: 'ERR_HOLDFAST_INVALID_ARGUMENT' }),
    );
    expect(() => region.read(10, 7)).toThrow(RangeError);
  });

  test('views are copies that last as long as views do', async () => {
    const path = place.path();
    await using writer = await open(path, place.options);
    const image = Buffer.alloc(700_000, 'image');
    const images = writer.keyspace<string, Uint8Array>('images', { value: 'bytes' });
    await images.put('a', image);
    const region = writer.region('r', { size: 300_000 });
    await region.write(1000, Buffer.from('in the region'));
    await writer.fold();
    const reader = await open(path, { readOnly: true });
    const seen = reader.keyspace<string, Uint8Array>('images', { value: 'bytes' });
    const snapshot = reader.snapshot();
    const bytes = snapshot.view(seen, 'a')!;
    const lease = reader.region('r').view(1000, 13);
    expect(snapshot.view(seen, 'absent')).toBeUndefined();
    expect([lease.mapped, Buffer.from(lease.bytes).toString()]).toEqual([false, 'in the region']);
    await images.put('a', Buffer.alloc(700_000, 'other'));
    await region.write(1000, Buffer.from('changed since'));
    await writer.compact();
    expect(Buffer.compare(bytes, image)).toBe(0);
    expect(Buffer.from(lease.bytes).toString()).toBe('in the region');
    bytes.fill(0); // nobody else's
    expect(Buffer.compare(seen.get('a', { snapshot })!, image)).toBe(0);
    snapshot.close();
    expect(bytes.length).toBe(0);
    const last = reader.region('r').view();
    lease.end();
    expect([lease.bytes.length, last.bytes.length]).toEqual([0, 300_000]);
    await reader.close();
    expect(last.bytes.length).toBe(0);
  });
});

describe('runs', () => {
  test('are listed, read and followed beside their driver', async () => {
    const path = fresh();
    await using writer = await open(path);
    const run = await writer.run('trip', { input: 1 });
    await run.step('one', () => 1);
    await using reader = await open(path, { readOnly: true });
    expect([...reader.runs()].map(({ id, status }) => [id, status])).toEqual([['trip', 'running']]);
    const kinds: string[] = [];
    const following = (async () => {
      for await (const entry of reader.journal('trip', { follow: true })) kinds.push(entry.kind);
    })();
    await setTimeout(20);
    await run.step('two', () => 2);
    await run.finish('done');
    await following;
    expect(kinds.at(-1)).toBe('end');
    expect(kinds.filter((kind) => kind === 'step')).toHaveLength(2);
    const refused = expect.objectContaining({ code: 'ERR_HOLDFAST_READ_ONLY' });
    await expect(reader.run('other')).rejects.toEqual(refused);
  });
});

describe('the command line reads a pool that this process has open', () => {
  test('info, ls, get, check, runs, show, timeline', async () => {
    const path = fresh();
    await using writer = await open(path);
    await writer.keyspace('notes').put('a', { on: true });
    const run = await writer.run('trip');
    await run.step('one', () => 1);
    const info = await cli(['info', path, '--json']);
    expect([info.code, info.json<{ keyspaces: string[] }>().keyspaces]).toEqual([
      0,
      expect.arrayContaining(['notes']),
    ]);
    expect((await cli(['info', path])).stdout).toContain('beside the process');
    expect((await cli(['ls', path, 'notes'])).stdout).toContain('a');
    expect((await cli(['get', path, 'notes', 'a', '--json'])).code).toBe(0);
    expect((await cli(['check', path])).code).toBe(0);
    expect((await cli(['runs', path])).stdout).toContain('trip');
    expect((await cli(['show', path, 'trip'])).code).toBe(0);
    expect((await cli(['timeline', path, 'trip'])).stdout).toContain('one');
    const refused = await cli(['fork', path, 'run/trip@1', 'other', '--json']);
    expect([refused.code, refused.stdout]).toEqual([
      3,
      expect.stringContaining('ERR_HOLDFAST_LOCKED'),
    ]);
  });
});
