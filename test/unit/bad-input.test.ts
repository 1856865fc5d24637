import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { HoldfastError, open, openSync } from '../../lib/index';
import type { Batch, Holdfast, Keyspace } from '../../lib/index';
import { runChild } from './support/child';
import { codeOf, onEachMedium } from './support/media';

const invalid = 'ERR_HOLDFAST_INVALID_ARGUMENT';
const outOfRange = 'ERR_HOLDFAST_OUT_OF_RANGE';
const never = undefined as never;

describe('options of open', () => {
  test.each<[unknown, unknown, string]>([
    [undefined, undefined, invalid],
    [5, undefined, invalid],
    ['', undefined, invalid],
    ['a\0b', undefined, invalid],
    ['/nowhere/\ud800', undefined, invalid],
    ['/nowhere/x', null, invalid],
    ['/nowhere/x', 'file', invalid],
    ['/nowhere/x', { medium: 'disk' }, invalid],
    ['/nowhere/x', { medium: 'toString' }, invalid],
    ['/nowhere/x', { create: true }, invalid],
    ['/nowhere/x', { atLeast: 'none' }, invalid],
    ['/nowhere/x', { size: '1' }, invalid],
    ['/nowhere/x', { grow: 1 }, invalid],
    ['/nowhere/x', { size: -1 }, outOfRange],
    ['/nowhere/x', { size: 1.5 }, outOfRange],
    ['/nowhere/x', { size: NaN }, outOfRange],
    ['/nowhere/x', { size: 2 ** 60 }, outOfRange],
    ['/nowhere/x', { eventualWithin: 0 }, outOfRange],
    ['/nowhere/x', { foldOperations: 0 }, outOfRange],
    ['/nowhere/x', { signal: {} }, invalid],
    ['/nowhere/x', { signal: AbortSignal.abort() }, 'ERR_HOLDFAST_ABORTED'],
  ])('%j %j: %s', async (where, options, code) => {
    expect(await codeOf(() => open(where as string, options as never))).toBe(code);
    if (code === 'ERR_HOLDFAST_ABORTED') return;
    expect(await codeOf(() => openSync(where as string, options as never))).toBe(code);
  });

  test('what no message can be made of by turning it into a string', async () => {
    const detached = new Uint8Array(8);
    structuredClone(detached, { transfer: [detached.buffer] });
    const throwing = new Error('never called');
    const refusing = {
      toString() {
        throw throwing;
      },
      [Symbol.toPrimitive]() {
        throw throwing;
      },
    };
    for (const value of [
      Object.create(null),
      detached,
      refusing,
      Symbol('s'),
      new Uint8Array(1e8),
    ] as never[]) {
      expect(await codeOf(() => open(value))).toBe(invalid);
      expect(await codeOf(() => openSync('/nowhere/x', { size: value }))).toBe(invalid);
      expect(await codeOf(() => openSync('/nowhere/x', { medium: value }))).toBe(invalid);
    }
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    expect(await codeOf(() => openSync(revoked.proxy as never))).toBe(invalid);
  });

  test('the classes', () => {
    expect(() => openSync(5 as never)).toThrow(TypeError);
    expect(() => openSync('/nowhere/x', { size: -1 })).toThrow(RangeError);
    expect(() => openSync('/nowhere/x')).toThrow(HoldfastError);
  });
});

onEachMedium('bad input', (place) => {
  let pool: Holdfast;
  let space: Keyspace<string, unknown>;
  let bytes: Keyspace<Uint8Array, Uint8Array>;
  beforeAll(() => {
    pool = openSync(place.path(), place.options);
    space = pool.keyspace('a');
    bytes = pool.keyspace('bytes', { key: 'bytes', value: 'bytes' });
  });
  afterAll(() => pool.closeSync());

  /** The same mistake through every method that takes a key. */
  async function everywhere(key: unknown, code: string): Promise<void> {
    for (const keyspace of [space, bytes] as Keyspace<never, never>[]) {
      const uses: (() => unknown)[] = [
        () => keyspace.get(key as never),
        () => keyspace.getMany([key as never]),
        () => keyspace.getInto(key as never, new Uint8Array(8)),
        () => keyspace.has(key as never),
        () => keyspace.put(key as never, new Uint8Array(1) as never),
        () => keyspace.putSync(key as never, new Uint8Array(1) as never),
        () => keyspace.delete(key as never),
        () => keyspace.deleteSync(key as never),
        () => pool.batch().put(keyspace, key as never, new Uint8Array(1) as never),
        () => pool.batch().delete(keyspace, key as never),
        () => pool.batch().requireAbsent(keyspace, key as never),
        () => pool.batch().requirePresent(keyspace, key as never),
        () => pool.batch().requireEqual(keyspace, key as never, new Uint8Array(1) as never),
      ];
      for (const use of uses) expect([await codeOf(use), `${use}`][0], `${use}`).toBe(code);
    }
  }

  test.each([
    [undefined],
    [null],
    [5],
    [{}],
    [[1]],
    [Symbol('s')],
    [new Uint16Array(2)],
    [new DataView(new ArrayBuffer(1))],
  ])('keys of a wrong kind: %s', async (key) => everywhere(key, invalid));

  test('empty and oversized keys', async () => {
    const size = 'ERR_HOLDFAST_KEY_SIZE';
    for (const length of [0, 1025, 1026, 1027, 1031, 1032, 5000]) {
      expect(await codeOf(() => space.putSync('x'.repeat(length), 1)), `${length}`).toBe(size);
      expect(await codeOf(() => space.put('x'.repeat(length), 1))).toBe(size);
      expect(await codeOf(() => space.get('x'.repeat(length)))).toBe(size);
      expect(await codeOf(() => bytes.putSync(new Uint8Array(length), new Uint8Array(1)))).toBe(
        size,
      );
      expect(await codeOf(() => bytes.get(new Uint8Array(length)))).toBe(size);
      expect(
        await codeOf(() => pool.batch().put(bytes, new Uint8Array(length), new Uint8Array(1))),
      ).toBe(size);
    }
    expect(() => space.putSync('', 1)).toThrow(RangeError);
    // Two, three and four bytes a character, one byte too long.
    for (const unit of ['é', '€', '😀']) {
      const width = Buffer.byteLength(unit);
      const long = unit.repeat(Math.floor(1024 / width) + 1);
      expect(await codeOf(() => space.putSync(long, 1)), unit).toBe(size);
    }
  });

  test('lone surrogates', async () => {
    expect(await codeOf(() => space.putSync('a\ud800', 1))).toBe(invalid);
    expect(await codeOf(() => space.get('\udc00\ud800'))).toBe(invalid);
    for (const key of [
      'abcd\udfff',
      'abcde\ud800a',
      'é\udbff\ud800\udc00',
      `${'x'.repeat(1023)}\ud800`,
    ]) {
      expect(await codeOf(() => space.get(key)), JSON.stringify(key)).toBe(invalid);
    }
    // A text that was cut in the middle of a character finds nothing: that is said.
    for (const bound of ['gte', 'gt', 'lte', 'lt', 'prefix'] as const)
      expect(await codeOf(() => space.count({ [bound]: '\ud83d' })), bound).toBe(invalid);
    expect(await codeOf(() => pool.watch({ keyspace: space, prefix: '\ud83d' }))).toBe(invalid);
    expect(space.count({ prefix: '\ufffd', lt: '\uffff' })).toBe(0);
    expect(await codeOf(() => pool.backup(`${pool.path}\ud800`))).toBe(invalid);
    const run = await pool.run('labelled');
    expect(await codeOf(() => run.checkpoint(1, { label: 'x\ud800' }))).toBe(invalid);
    run.close();
    const text = pool.keyspace<string, string>('text', { value: 'utf8' });
    expect(await codeOf(() => text.putSync('k', '\ud83d'))).toBe(invalid);
    expect(await codeOf(() => text.putSync('k', 'x'.repeat(5000) + '\ud83d'))).toBe(invalid);
    expect(await codeOf(() => text.putSync('k', '\ufffd\ud83d\ude00'))).toBe('OK');
    expect(text.get('k')).toBe('\ufffd\ud83d\ude00');
  });

  test('values of a wrong kind', async () => {
    for (const value of [undefined, null, 5, 'text', {}, new Uint16Array(1), new ArrayBuffer(1)]) {
      expect(await codeOf(() => bytes.putSync(Buffer.from('k'), value as never))).toBe(invalid);
      expect(await codeOf(() => bytes.put(Buffer.from('k'), value as never))).toBe(invalid);
    }
    const transferred = new Uint8Array([1, 2, 3]);
    structuredClone(transferred, { transfer: [transferred.buffer] });
    // not stored as no bytes
    expect(await codeOf(() => bytes.putSync(Buffer.from('k'), transferred))).toBe(invalid);
    expect(await codeOf(() => bytes.putSync(Buffer.from('k'), new Uint8Array(0)))).toBe('OK');
    expect(await codeOf(() => space.putSync('k', () => 1))).toBe('ERR_HOLDFAST_CODEC');
    expect(await codeOf(() => space.put('k', () => 1))).toBe('ERR_HOLDFAST_CODEC');
    const odd = pool.keyspace<string, number>('odd', {
      value: { name: 'odd', encode: () => 7 as never, decode: () => 1 },
    });
    expect(await codeOf(() => odd.putSync('k', 1))).toBe(invalid);
    expect(await codeOf(() => odd.put('k', 1))).toBe(invalid);
  });

  test('stored bytes that the codec cannot read', async () => {
    pool.keyspace('mixed', { value: 'utf8' }).putSync('k', '{not json');
    expect(await codeOf(() => pool.keyspace('mixed', { value: 'json' }).get('k'))).toBe(
      'ERR_HOLDFAST_CODEC',
    );
    expect(await codeOf(() => pool.keyspace('mixed', { value: 'uint64' }).get('k'))).toBe(
      'ERR_HOLDFAST_CODEC',
    );
  });

  test('commit options', async () => {
    for (const options of [null, 'durable', { durability: 'fast' }, { durability: 1 }]) {
      expect(await codeOf(() => space.putSync('k', 1, options as never))).toBe(invalid);
      expect(await codeOf(() => space.put('k', 1, options as never))).toBe(invalid);
      expect(await codeOf(() => space.delete('k', options as never))).toBe(invalid);
      expect(
        await codeOf(() => pool.commit(pool.batch().put(space, 'k', 1), options as never)),
      ).toBe(invalid);
    }
    expect(await codeOf(() => space.put('k', 1, { signal: 5 as never }))).toBe(invalid);
  });

  test('names and options of keyspaces', async () => {
    for (const name of [undefined, null, 5, {}]) {
      expect(await codeOf(() => pool.keyspace(name as never))).toBe(invalid);
    }
    expect(await codeOf(() => pool.keyspace(''))).toBe(outOfRange);
    expect(await codeOf(() => pool.keyspace('x'.repeat(256)))).toBe(outOfRange);
    expect(await codeOf(() => pool.keyspace('é'.repeat(128)))).toBe(outOfRange);
    expect(await codeOf(() => pool.keyspace('\ud800'))).toBe(invalid);
    expect(await codeOf(() => pool.keyspace('a', { key: 'json' }))).toBe(invalid);
    expect(await codeOf(() => pool.keyspace('a', { value: 'xml' as never }))).toBe(invalid);
    expect(await codeOf(() => pool.keyspace('a', 5 as never))).toBe(invalid);
  });

  test('batches, keyspaces and snapshots of another pool, or none', async () => {
    const other = openSync(place.path(), place.options);
    const foreign = other.keyspace<string, unknown>('a');
    foreign.putSync('k', 1);
    for (const batch of [undefined, null, {}, [], other.batch().put(foreign, 'k', 1)]) {
      expect(await codeOf(() => pool.commitSync(batch as Batch))).toBe(invalid);
      expect(await codeOf(() => pool.commit(batch as Batch))).toBe(invalid);
    }
    expect(await codeOf(() => pool.commitSync(pool.batch()))).toBe(invalid);
    for (const keyspace of [undefined, null, {}, foreign]) {
      expect(
        await codeOf(() => pool.batch().put(keyspace as never, 'k' as never, 1 as never)),
      ).toBe(invalid);
    }
    for (const snapshot of [null, {}, 5, other.snapshot()]) {
      expect(await codeOf(() => space.get('k', { snapshot: snapshot as never }))).toBe(invalid);
      expect(await codeOf(() => space.has('k', { snapshot: snapshot as never }))).toBe(invalid);
      const into = new Uint8Array(8);
      expect(await codeOf(() => space.getInto('k', into, { snapshot: snapshot as never }))).toBe(
        invalid,
      );
      expect(await codeOf(() => space.getMany(['k'], { snapshot: snapshot as never }))).toBe(
        invalid,
      );
    }
    expect(await codeOf(() => space.get('k', 5 as never))).toBe(invalid);
    expect(await codeOf(() => space.getMany('k' as never))).toBe(invalid);
    expect(await codeOf(() => pool.check({ onProgress: 5 as never }))).toBe(invalid);
    other.closeSync();
  });

  test('bytes that are there no more are not taken for none', async () => {
    const region = pool.region('there', { size: 64 });
    const gone = new ArrayBuffer(64);
    const cut = new (ArrayBuffer as new (length: number, options: object) => ArrayBuffer)(64, {
      maxByteLength: 64,
    }) as ArrayBuffer & { resize(length: number): void };
    const views = [gone, cut].flatMap((buffer) => [
      new Uint8Array(buffer, 32, 32),
      new Float64Array(buffer, 32, 4),
      new DataView(buffer, 32, 32),
    ]);
    structuredClone(gone, { transfer: [gone] });
    cut.resize(16);
    for (const view of views) {
      if (view instanceof Uint8Array) {
        expect(await codeOf(() => bytes.putSync(Buffer.from('k'), view))).toBe(invalid);
        expect(await codeOf(() => bytes.get(view))).toBe(invalid);
      }
      expect(await codeOf(() => region.writeSync(0, view))).toBe(invalid);
      expect(await codeOf(() => region.write(0, view))).toBe(invalid);
      expect(await codeOf(() => region.readInto(view, 0))).toBe(invalid);
      expect(await codeOf(() => pool.batch().regionWrite(region, 0, view))).toBe(invalid);
    }
    expect(await codeOf(() => region.writeSync(0, new Float64Array(0)))).toBe('OK');
    expect(await codeOf(() => region.readInto(new DataView(new ArrayBuffer(0)), 0))).toBe('OK');
    region.dropSync();
  });

  test('what only looks like one of the pool: proxies, and objects made of them', async () => {
    const region = pool.region('looks', { size: 64 });
    const snapshot = pool.snapshot();
    const bytesOfOne = new Uint8Array(1);
    for (const like of [
      <T extends object>(one: T): T => new Proxy(one, {}),
      <T extends object>(one: T): T => Object.create(one) as T,
    ]) {
      const batch = like(pool.batch().put(space, 'k', 1));
      expect(await codeOf(() => pool.commit(batch))).toBe(invalid);
      expect(await codeOf(() => pool.commitSync(batch))).toBe(invalid);
      expect(await codeOf(() => pool.applyOnce('x', batch))).toBe(invalid);
      expect(await codeOf(() => pool.batch().put(like(space), 'k', 1))).toBe(invalid);
      expect(await codeOf(() => pool.watch({ keyspace: like(space) }))).toBe(invalid);
      expect(await codeOf(() => pool.watch({ region: like(region) }))).toBe(invalid);
      expect(await codeOf(() => pool.batch().regionWrite(like(region), 0, bytesOfOne))).toBe(
        invalid,
      );
      expect(await codeOf(() => space.get('k', { snapshot: like(snapshot) }))).toBe(invalid);
      expect(await codeOf(() => snapshot.view(like(space), 'k'))).toBe(invalid);
    }
    for (const each of [0, -8, 0.5]) {
      const type = class extends Float64Array {
        static override readonly BYTES_PER_ELEMENT = each as never;
      };
      expect(await codeOf(() => region.typed(type as never, 0, 1))).toBe(invalid);
    }
    snapshot.close();
    region.dropSync();
  });

  test('natives refuse a receiver that is not theirs', () => {
    const { native } =
      require('../../dist/native-binding.js') as typeof import('../../lib/native-binding');
    const batch = new native.NativeBatch();
    expect(() => batch.put.call({} as never, 1, 'k', 'v')).toThrow(TypeError);
    expect(() => batch.put(1, never, never)).toThrow(TypeError);
  });

  test('after all of this the pool is sound', async () => {
    expect(await pool.check()).toMatchObject({ ok: true });
    expect(space.putSync('k', 1).epoch).toBeGreaterThan(0);
  });
});

onEachMedium('places', (place) => {
  const { medium, size } = place.options;
  const on = (options: object) => ({ medium, size, ...options });

  test('missing, there already, a folder in place of a pool', async () => {
    const where = place.path();
    expect(await codeOf(() => open(where, on({ create: 'never' })))).toBe('ERR_HOLDFAST_NOT_FOUND');
    expect(fs.existsSync(where)).toBe(false);
    openSync(where, on({ create: 'exclusive' })).closeSync();
    expect(await codeOf(() => open(where, on({ create: 'exclusive' })))).toBe(
      'ERR_HOLDFAST_EXISTS',
    );
    expect(await codeOf(() => open(path.join(where, 'x'), on({})))).not.toBe('OK');
    expect(await codeOf(() => open(path.join(path.dirname(where), 'no/such/folder'), on({})))).toBe(
      'ERR_HOLDFAST_NOT_FOUND',
    );
    const folder = place.path();
    fs.mkdirSync(folder);
    expect(await codeOf(() => open(folder, on({})))).toBe('ERR_HOLDFAST_NOT_A_POOL');
  });

  test('empty, foreign and truncated files are refused and left alone', async () => {
    const good = place.path();
    const pool = openSync(good, on({}));
    pool.keyspace('a').putSync('k', 1);
    pool.closeSync();
    const whole = fs.readFileSync(good);
    const cases: [string, Buffer, string[]][] = [
      ['empty', Buffer.alloc(0), ['ERR_HOLDFAST_NOT_A_POOL']],
      ['short', Buffer.from('hello'), ['ERR_HOLDFAST_NOT_A_POOL']],
      ['foreign', Buffer.alloc(100_000, 'foreign '), ['ERR_HOLDFAST_NOT_A_POOL']],
      ['zeroes', Buffer.alloc(1 << 20), ['ERR_HOLDFAST_NOT_A_POOL']],
      [
        'cut',
        whole.subarray(0, whole.length / 2),
        ['ERR_HOLDFAST_CORRUPT', 'ERR_HOLDFAST_NOT_A_POOL'],
      ],
      [
        'cut to a page',
        whole.subarray(0, 4096),
        ['ERR_HOLDFAST_CORRUPT', 'ERR_HOLDFAST_NOT_A_POOL'],
      ],
    ];
    for (const [name, content, codes] of cases) {
      const where = place.path();
      fs.writeFileSync(where, content);
      expect(codes, name).toContain(await codeOf(() => open(where, { medium })));
      expect(fs.readFileSync(where).equals(content), `${name} was changed`).toBe(true);
    }
  });

  const root = process.getuid?.() === 0;
  test.skipIf(!root)(
    `no permission${root ? '' : ' (skipped: only root can become another user)'}`,
    async () => {
      const where = place.path();
      openSync(where, on({})).closeSync();
      fs.chmodSync(path.dirname(where), 0o755);
      fs.chmodSync(where, 0o600);
      const source = `
      const [where, fresh, medium] = process.argv.slice(2);
      for (const path of [where, fresh]) {
        try { holdfast.openSync(path, { medium }); console.log('OK'); } catch (error) { console.log(error.code); }
      }`;
      const args = [where, place.path(), place.medium];
      const { stdout, stderr } = await runChild(source, { uid: 65534, args });
      if (/EACCES|not load|Cannot find/.test(stderr)) {
        expect.fail(`the other user cannot even load the package: ${stderr.slice(0, 300)}`);
      }
      expect(stdout.trim().split('\n')).toEqual([
        'ERR_HOLDFAST_PERMISSION',
        'ERR_HOLDFAST_PERMISSION',
      ]);
    },
  );
});
