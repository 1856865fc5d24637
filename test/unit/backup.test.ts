import fs from 'node:fs';
import { PassThrough, Readable, Writable } from 'node:stream';
import { WritableStream, type ReadableStream } from 'node:stream/web';
import { describe, expect, test } from 'vitest';

import { open, restore, salvage } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { messageOf, startWorker } from './support/child';

const folder = scratchFolder('backup');
let n = 0;
const fresh = (name = 'pool'): string => `${folder}/${name}-${n++}`;

async function withPool(
  work: (pool: Holdfast, path: string) => Promise<void>,
  options = {},
): Promise<void> {
  const path = fresh();
  const pool = await open(path, { medium: 'file', retain: { bytes: 2 ** 40 }, ...options });
  try {
    await work(pool, path);
  } finally {
    await pool.close();
  }
}

function fill(pool: Holdfast, times: number, from = 0): void {
  const a = pool.keyspace<string, string>('a', { value: 'utf8' });
  const b = pool.keyspace<number, unknown>('b', { key: 'uint64' });
  for (let i = from; i < from + times; i++) {
    const batch = pool
      .batch()
      .put(a, `key/${i % 300}`, `value ${i} `.repeat(100))
      .put(b, i % 50, { n: i });
    if (i % 7 === 3) batch.delete(a, `key/${(i * 13) % 300}`);
    pool.commitSync(batch, { durability: 'eventual' });
  }
}

function contents(pool: Holdfast): Record<string, [string, string][]> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return Object.fromEntries(
    pool
      .keyspaces()
      .map((name) => [
        name,
        [
          ...pool.keyspace<Uint8Array, Uint8Array>(name, { key: 'bytes', value: 'bytes' }).range(),
        ].map(([key, value]): [string, string] => [hex(key), hex(value)]),
      ]),
  );
}

async function restored(
  parts: string | string[],
  options = {},
): Promise<{ state: ReturnType<typeof contents>; epoch: number }> {
  const path = fresh('restored');
  const report = await restore(parts, path, { medium: 'file', ...options });
  const pool = await open(path, { create: 'never' });
  const state = contents(pool);
  expect((await pool.check()).ok).toBe(true);
  await pool.close();
  return { state, epoch: report.epoch };
}

const code = (name: string): object => ({ code: `ERR_HOLDFAST_${name}` });

test('a full backup and its increments restore to any epoch or time in them', () =>
  withPool(async (pool) => {
    fill(pool, 600);
    const file = fresh('full');
    const seen: number[] = [];
    const full = await pool.backup(file, { onProgress: (fraction) => seen.push(fraction) });
    expect(full).toMatchObject({
      epoch: pool.stats().epoch,
      continued: false,
      fileBytes: fs.statSync(file).size,
    });
    expect(seen.at(-1)).toBe(1);
    expect(fs.existsSync(`${file}.partial`)).toBe(false);
    const first = contents(pool);
    fill(pool, 100, 600);
    const between = pool.stats().epoch;
    const second = contents(pool);
    await new Promise((done) => setTimeout(done, 30));
    const time = new Date();
    await new Promise((done) => setTimeout(done, 30));
    fill(pool, 100, 700);
    const more = fresh('more');
    const increment = await pool.backup(more, { incremental: full.epoch });
    expect(increment).toMatchObject({ since: full.epoch, commits: 200 });
    expect(await restored(file)).toEqual({ state: first, epoch: full.epoch });
    expect(await restored([file, more], { at: between })).toEqual({
      state: second,
      epoch: between,
    });
    expect(await restored([file, more], { at: time })).toEqual({ state: second, epoch: between });
    expect(await restored([file, more])).toEqual({ state: contents(pool), epoch: increment.epoch });
    const elsewhere = fresh();
    await expect(restore([file, more], elsewhere, { at: full.epoch - 1 })).rejects.toThrow(
      RangeError,
    );
    await expect(
      restore([file, more], elsewhere, { at: increment.epoch + 1 }),
    ).rejects.toMatchObject(code('OUT_OF_RANGE'));
    await expect(restore([more, file], elsewhere)).rejects.toMatchObject(code('BACKUP_MISMATCH'));
    await expect(restore([file], file)).rejects.toMatchObject(code('EXISTS'));
    await expect(restore([fresh()], elsewhere)).rejects.toMatchObject(code('NOT_FOUND'));
    await expect(restore([import.meta.filename], elsewhere)).rejects.toMatchObject(
      code('NOT_A_BACKUP'),
    );
    expect(
      fs
        .readdirSync(folder)
        .filter((name) => elsewhere.endsWith(name) || name.includes('.restoring')),
    ).toEqual([]);
  }));

test('while commits go on, to a stream and from one', () =>
  withPool(async (pool) => {
    fill(pool, 1000);
    const pipe = new PassThrough();
    const path = fresh('piped');
    let stop = false;
    const committing = (async () => {
      for (let i = 1000; !stop; i += 10) {
        fill(pool, 10, i);
        await new Promise(setImmediate);
      }
    })();
    const [report, copy] = await Promise.all([
      pool.backup(pipe),
      restore(pipe, path, { medium: 'file' }),
    ]);
    const web = new TransformStream<Uint8Array, Uint8Array>();
    const webPath = fresh('web');
    await Promise.all([pool.backup(web.writable), restore(web.readable, webPath)]);
    stop = true;
    await committing;
    expect(copy.epoch).toBe(report.epoch);
    const again = await open(path);
    const a = again.keyspace<number, { n: number }>('b', { key: 'uint64' });
    const newest = Math.max(...[...a.values()].map(({ n: value }) => value));
    expect([...a.values()].map(({ n: value }) => value).sort((x, y) => x - y)).toEqual(
      [...Array(50).keys()].map((i) => newest - 49 + i),
    );
    await again.close();
  }));

describe('what is in the way', () => {
  test('a file that is there, the pool itself, and something else under the other name', () =>
    withPool(async (pool, path) => {
      fill(pool, 10);
      const file = fresh('there');
      fs.writeFileSync(file, 'mine');
      await expect(pool.backup(file)).rejects.toMatchObject(code('EXISTS'));
      expect(fs.readFileSync(file, 'utf8')).toBe('mine');
      await expect(pool.backup(path)).rejects.toThrow(/the pool itself/);
      fs.linkSync(path, `${path}-link`);
      await expect(pool.backup(`${path}-link`)).rejects.toThrow(/the pool itself/);
      const other = fresh('other');
      fs.writeFileSync(`${other}.partial`, 'something that is longer than the header of a block');
      await expect(pool.backup(other)).rejects.toMatchObject(code('EXISTS'));
      expect(fs.existsSync(`${other}.partial`)).toBe(true);
      await expect(pool.backup(`${folder}/no/such/folder`)).rejects.toMatchObject(
        code('NOT_FOUND'),
      );
      const twice = fresh('twice');
      const both = await Promise.allSettled([pool.backup(twice), pool.backup(twice)]);
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      await expect(pool.backup(fresh(), { incremental: 10 ** 9 })).rejects.toThrow(RangeError);
      await expect(pool.backup(5 as never)).rejects.toThrow(TypeError);
      await expect(pool.backup(fresh(), { incremental: 'x' as never })).rejects.toThrow(TypeError);
    }));

  test('a log that no longer reaches back', () =>
    withPool(
      async (pool) => {
        fill(pool, 3000);
        await pool.compact();
        await expect(pool.backup(fresh(), { incremental: 1 })).rejects.toMatchObject(
          code('FORGOTTEN'),
        );
      },
      { retain: false },
    ));

  test('a stream that fails at any of its writes', () =>
    withPool(async (pool) => {
      fill(pool, 3000);
      let blocks = 0;
      await pool.backup(new Writable({ write: (_chunk, _encoding, done) => (++blocks, done()) }));
      expect(blocks).toBeGreaterThan(2);
      for (let i = 1; i <= blocks + 1; i++) {
        let written = 0;
        const fails = new Writable({
          write: (_chunk, _encoding, done) => done(++written === i ? new Error('unplugged') : null),
          final: (done) => done(i > blocks ? new Error('unplugged') : null),
        });
        await expect(pool.backup(fails)).rejects.toMatchObject({
          ...code('IO'),
          cause: { message: 'unplugged' },
        });
      }
      const closed = new Writable({ write: (_chunk, _encoding, done) => done() });
      closed.destroy();
      await expect(pool.backup(closed)).rejects.toMatchObject(code('IO'));
    }));

  test('a stream at whose other end nobody is: an abort and the end of the pool do not wait for it', () =>
    withPool(async (pool) => {
      fill(pool, 3000);
      const never = (): Promise<void> => new Promise(() => undefined);
      const stop = new AbortController();
      const deaf = new WritableStream<Uint8Array>({ write: () => (stop.abort(), never()) });
      await expect(pool.backup(deaf, { signal: stop.signal })).rejects.toMatchObject(
        code('ABORTED'),
      );
      const enough = new AbortController();
      const silent = new Readable({ read: () => enough.abort() });
      await expect(
        restore(silent, fresh('silent'), { signal: enough.signal }),
      ).rejects.toMatchObject(code('ABORTED'));
      const broken = new Writable({
        write: () => {
          throw new Error('unplugged');
        },
      });
      await expect(pool.backup(broken)).rejects.toMatchObject(code('IO'));
      const others = new WritableStream<Uint8Array>();
      others.getWriter();
      await expect(pool.backup(others)).rejects.toThrow(TypeError);
      await expect(
        pool.backup(new Writable({ write: () => void pool.close() })),
      ).rejects.toMatchObject(code('CLOSED'));
    }));

  test('another restore to the same place', () =>
    withPool(async (pool) => {
      fill(pool, 300);
      const file = fresh('whole');
      await pool.backup(file);
      const path = fresh('twice');
      const both = await Promise.allSettled([
        restore(file, path, { medium: 'file' }),
        restore(file, path, { medium: 'file' }),
      ]);
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(both.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: code('LOCKED'),
      });
      const copy = await open(path, { create: 'never' });
      expect(contents(copy)).toEqual(contents(pool));
      await copy.close();
    }));

  test('a stream that fails while it is restored from', () =>
    withPool(async (pool) => {
      fill(pool, 10);
      const file = fresh('whole');
      await pool.backup(file);
      const path = fresh('unplugged');
      async function* half(): AsyncGenerator<Buffer> {
        yield fs.readFileSync(file).subarray(0, 1000);
        throw new Error('unplugged');
      }
      for (const source of [
        Readable.from(half()),
        Readable.toWeb(Readable.from(half())) as ReadableStream<Uint8Array>,
      ]) {
        await expect(restore(source, path, { medium: 'file' })).rejects.toMatchObject({
          ...code('IO'),
          cause: { message: 'unplugged' },
        });
      }
      expect(
        fs.readdirSync(folder).filter((name) => path.endsWith(name) || name.includes('.restoring')),
      ).toEqual([]);
    }));
});

test('one that was interrupted is gone on with, at every block', () =>
  withPool(async (pool) => {
    fill(pool, 3000);
    const whole = fresh('whole');
    await pool.backup(whole);
    const size = fs.statSync(whole).size;
    for (const part of [0.05, 0.3, 0.6, 0.9, 0.999]) {
      const file = fresh('interrupted');
      fs.copyFileSync(whole, `${file}.partial`);
      fs.truncateSync(`${file}.partial`, Math.floor(size * part));
      fill(pool, 20, 5000);
      const report = await pool.backup(file);
      expect(report).toMatchObject({ continued: true, epoch: pool.stats().epoch });
      expect(await restored(file)).toEqual({ state: contents(pool), epoch: report.epoch });
    }
    const stop = new AbortController();
    const file = fresh('stopped');
    const stopped = pool.backup(file, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(stopped).rejects.toMatchObject(code('ABORTED'));
    expect(fs.existsSync(file)).toBe(false);
    expect((await pool.backup(file)).continued).toBe(true);
    expect((await restored(file)).state).toEqual(contents(pool));
  }));

test('one that cannot be gone on with begins anew', () =>
  withPool(
    async (pool) => {
      fill(pool, 2000);
      const file = fresh('old');
      await pool.backup(file);
      fs.renameSync(file, `${file}.partial`);
      fs.truncateSync(`${file}.partial`, 600_000);
      fill(pool, 8000);
      await pool.compact();
      expect((await pool.backup(file)).continued).toBe(false);
      expect((await restored(file)).state).toEqual(contents(pool));
    },
    { retain: false },
  ));

test('a pool that closes ends its backup and leaves nothing under the name', () =>
  withPool(async (pool) => {
    fill(pool, 3000);
    const file = fresh('closed');
    const backup = pool.backup(file, { onProgress: () => void pool.close() });
    await expect(backup).rejects.toMatchObject(code('CLOSED'));
    expect(fs.existsSync(file)).toBe(false);
  }));

test('a restore that fails or is given up leaves nothing', () =>
  withPool(async (pool) => {
    fill(pool, 3000);
    const file = fresh('good');
    await pool.backup(file);
    const bytes = fs.readFileSync(file);
    const to = fresh('to');
    const cut = fresh('cut');
    fs.writeFileSync(cut, bytes.subarray(0, bytes.length - 10));
    await expect(restore(cut, to)).rejects.toMatchObject(code('CORRUPT'));
    await expect(restore(Readable.from([bytes, Buffer.from('more')]), to)).rejects.toMatchObject(
      code('CORRUPT'),
    );
    await expect(restore(Readable.from(['text']), to)).rejects.toThrow(TypeError);
    const stop = new AbortController();
    await expect(
      restore(file, to, { signal: stop.signal, onProgress: () => stop.abort() }),
    ).rejects.toMatchObject(code('ABORTED'));
    await expect(restore(file, to, { medium: 'file', size: 1_048_576 })).rejects.toMatchObject(
      code('POOL_FULL'),
    );
    expect(fs.existsSync(to)).toBe(false);
    fs.mkdirSync(`${to}.restoring`);
    await expect(restore(file, to)).rejects.toThrow(/is in the way and could not be removed/);
    await expect(restore(file, to)).rejects.toMatchObject(code('IO'));
    fs.rmdirSync(`${to}.restoring`);
    // a restore that was killed before the naming
    await restore(file, `${to}.restoring`, { medium: 'file' });
    await restore(file, to);
    expect(fs.existsSync(`${to}.restoring`)).toBe(false);
    fs.rmSync(to);
    fs.writeFileSync(`${to}.restoring`, 'left by a crash');
    await restore(file, to);
    expect(fs.existsSync(`${to}.restoring`)).toBe(false);
    await expect(restore([], fresh())).rejects.toThrow(TypeError);
    await expect(restore(file, fresh(), { at: 'now' as never })).rejects.toThrow(TypeError);
  }));

test("the catalogue of keyspaces, and epochs, go on behind the backup's", () =>
  withPool(async (pool) => {
    fill(pool, 20);
    const file = fresh('catalogue');
    const { epoch } = await pool.backup(file);
    const path = fresh('again');
    await restore(file, path);
    const copy = await open(path);
    expect(copy.keyspaces()).toEqual(['a', 'b']);
    const receipt = await copy.keyspace('c').put('k', 1);
    expect(receipt.epoch).toBeGreaterThan(epoch);
    expect(copy.stats().oldestChange).toBeGreaterThan(epoch);
    expect(() => copy.watch({ from: epoch - 1 })).toThrow(
      expect.objectContaining(code('FORGOTTEN')),
    );
    const watcher = copy.watch({ from: epoch });
    expect((await watcher.next()).value?.changes[0]).toMatchObject({ keyspace: 'c' });
    await copy.close();
  }));

test('two backups to one place, however it is named, do not write into each other; nor does the folder the process is in matter', () =>
  withPool(async (pool) => {
    fill(pool, 2000);
    const other = `${folder}/another-name`;
    fs.symlinkSync(folder, other);
    const before = process.cwd();
    process.chdir(folder);
    const name = 'one-place.hfb';
    const all = [name, `./${name}`, `${folder}/${name}`, `${other}/${name}`].map((target) =>
      pool.backup(target),
    );
    process.chdir(before);
    const done = await Promise.allSettled(all);
    expect(done.map(({ status }) => status).sort()).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
    for (const each of done)
      if (each.status === 'rejected') expect(each.reason).toMatchObject(code('EXISTS'));
    expect((await restored(`${folder}/${name}`)).state).toEqual(contents(pool));
    process.chdir(folder);
    const restoring = restore(name, 'one-place');
    process.chdir(before);
    await restoring;
    process.chdir(folder);
    const saving = salvage('one-place', 'saved');
    process.chdir(before);
    await saving;
    expect(['one-place', 'saved'].map((made) => fs.existsSync(`${folder}/${made}`))).toEqual([
      true,
      true,
    ]);
  }));

test('places that cannot be are said with a code of the list', () =>
  withPool(async (pool) => {
    fill(pool, 10);
    const closed = fresh('closed');
    await (await open(closed, { medium: 'file' })).close();
    const whole = fresh('whole');
    await pool.backup(whole);
    const loop = fresh('loop');
    fs.symlinkSync(loop, loop);
    const long = `${folder}/${'n'.repeat(300)}`;
    // the names that it has until it is whole are longer
    const nearly = `${folder}/${'n'.repeat(244)}`;
    const places = [
      [`${whole}/x`, 'NOT_FOUND'],
      [long, 'INVALID_ARGUMENT'],
      [nearly, 'INVALID_ARGUMENT'],
      [`${loop}/x`, 'INVALID_ARGUMENT'],
    ] as const;
    for (const [place, expected] of places) {
      await expect(pool.backup(`${place}12345`)).rejects.toMatchObject(code(expected));
      await expect(restore(whole, place)).rejects.toMatchObject(code(expected));
      await expect(salvage(closed, place)).rejects.toMatchObject(code(expected));
      await expect(open(place, { medium: 'file' })).rejects.toMatchObject(code(expected));
    }
    await expect(open(nearly, { medium: 'file' })).rejects.toThrow(/shorter name/);
    await expect(restore(`${whole}/x`, fresh())).rejects.toMatchObject(code('NOT_FOUND'));
    await expect(restore(long, fresh())).rejects.toBeInstanceOf(TypeError);
  }));

test('worker threads that back up to one place do not write into each other', () =>
  withPool(async (pool, path) => {
    fill(pool, 2000);
    const source = `
      const pool = holdfast.openSync(workerData);
      parentPort.on('message', (target) => {
        if (target === null) return pool.close().then(() => process.exit());
        pool.backup(target).then(() => 'made', (error) => error.code).then((ended) => parentPort.postMessage(ended));
      });
      parentPort.postMessage('ready');`;
    const workers = [0, 1, 2, 3].map(() => startWorker(source, path));
    await Promise.all(workers.map((worker) => messageOf(worker)));
    for (let round = 0; round < 5; round++) {
      const target = fresh('shared');
      const ended = workers.map((worker) => messageOf<string>(worker));
      for (const worker of workers) worker.postMessage(target);
      expect((await Promise.all(ended)).sort()).toEqual([
        ...Array<string>(3).fill('ERR_HOLDFAST_EXISTS'),
        'made',
      ]);
      expect((await restored(target)).state).toEqual(contents(pool));
      expect(fs.existsSync(`${target}.partial`)).toBe(false);
    }
    const gone = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    for (const worker of workers) worker.postMessage(null);
    await Promise.all(gone);
  }));

test('a link that points to nothing is in the way of a backup and of a new pool, and nothing is left beside it', () =>
  withPool(async (pool) => {
    fill(pool, 10);
    const [whole, link] = [fresh('whole'), fresh('link')];
    await pool.backup(whole);
    fs.symlinkSync(fresh('nothing'), link);
    await expect(pool.backup(link)).rejects.toMatchObject(code('EXISTS'));
    await expect(restore(whole, link)).rejects.toMatchObject(code('EXISTS'));
    expect(
      fs.readdirSync(folder).filter((name) => `${folder}/${name}`.startsWith(link)),
    ).toHaveLength(1);
  }));
