/**
 * What saving a changed state writes, counted; and long texts and bytes, of which the parts that a
 * change left alone are referred to.
 */
import { isDeepStrictEqual } from 'node:util';

import { expect, it } from 'vitest';

import { OWNER, shapes } from '../../bench/states.mjs';
import { CheckpointStore } from '../../lib/checkpoint/index';
import { keyOf, recordCodec, recordKeyCodec } from '../../lib/checkpoint/records';
import { openSync, type Holdfast } from '../../lib/index';
import { onEachMedium, type Place } from './support/media';

type State = Record<string, unknown>;

interface Shape {
  make: () => [state: State, change: (k: number) => State];
  immutable?: boolean;
  asRun?: boolean;
}

async function withPool(
  place: Place,
  action: (pool: Holdfast) => void | Promise<void>,
): Promise<void> {
  const pool = openSync(place.path(), {
    ...place.options,
    ...(place.medium === 'pmem' ? { size: 256 * 1024 * 1024 } : {}),
  });
  try {
    await action(pool);
  } finally {
    await pool.close();
  }
}

function save(
  pool: Holdfast,
  store: CheckpointStore,
  state: unknown,
  immutable = false,
): { id: string; bytes: number } {
  const batch = pool.batch();
  const info = store.save(batch, OWNER, state, { immutable });
  pool.commitSync(batch);
  return info;
}

function rootOf(pool: Holdfast, id: string): Uint8Array {
  return pool
    .keyspace('holdfast.checkpoints', { key: recordKeyCodec, value: recordCodec })
    .get(keyOf(id))!.root;
}

/** Numbers below `limit`, the same in every run. */
function dice(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const alphabets = ['abcdefghij klmnopqrst uvwxyz', 'äöüß ñé', '日本語テキスト', '😀🎈👩‍🚀x'];

function textOf(random: (limit: number) => number, length: number): string {
  let text = '';
  const alphabet = [...alphabets[random(alphabets.length)]!];
  while (text.length < length) text += alphabet[random(alphabet.length)];
  return text;
}

function changedText(random: (limit: number) => number, text: string): string {
  const at = random(text.length + 1);
  const kind = random(8);
  const length = random(3) === 0 ? random(3000) : random(100);
  if (kind === 0) return text.slice(0, at) + textOf(random, length) + text.slice(at);
  if (kind === 1) return text.slice(0, at) + text.slice(at + length);
  if (kind === 2) return text + textOf(random, length);
  if (kind === 3) return text.slice(random(300), Math.max(0, text.length - random(300)));
  if (kind === 4) return `${textOf(random, random(40))}${text}${textOf(random, random(40))}`;
  const units = text.split('');
  // In place, in one stretch or here and there; also halves of surrogate pairs alone.
  for (let left = kind === 5 ? 1 : 3; left > 0; --left) {
    const from = random(units.length);
    for (let i = 0; i < length; ++i)
      if (from + i < units.length) units[from + i] = kind === 7 ? '\ud83d' : 'q';
  }
  return units.join('');
}

function changedBytes(random: (limit: number) => number, bytes: Uint8Array): Uint8Array {
  const at = random(bytes.length + 1);
  const kind = random(5);
  const length = random(3) === 0 ? random(20_000) : random(100);
  const some = Buffer.from(textOf(random, length));
  if (kind === 0)
    return new Uint8Array(Buffer.concat([bytes.subarray(0, at), some, bytes.subarray(at)]));
  if (kind === 1)
    return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]));
  if (kind === 2) return new Uint8Array(Buffer.concat([bytes, some]));
  for (let left = kind === 3 ? 1 : 3; left > 0; --left)
    bytes.fill(random(256), random(bytes.length), random(bytes.length));
  return bytes;
}

onEachMedium('the bytes of a checkpoint', (place) => {
  it.each(Object.entries(shapes as unknown as Record<string, Shape>))(
    'of which 1 KiB changed are at most 1,600: %s',
    (_name, { make, immutable, asRun }) =>
      withPool(place, async (pool) => {
        const store = CheckpointStore.of(pool);
        const run = asRun ? await pool.run(OWNER.slice('run/'.length)) : undefined;
        const [first, change] = make();
        const costs: number[] = [];
        let state = first;
        for (let k = 0; k < 200; ++k) {
          if (k > 0) state = change(k);
          const before = pool.stats().bytesAppended;
          if (run === undefined) save(pool, store, state, immutable);
          else await run.checkpoint(state, { immutable });
          // A text that grew is cut to its first length now and then, and that is two changes.
          if (k > 0 && !(Object.keys(state).join() === 'text' && k % 10 === 0))
            costs.push(pool.stats().bytesAppended - before);
        }
        expect(store.load(store.newest(OWNER)!.id)).toEqual(structuredClone(state));
        costs.sort((a, b) => a - b);
        expect(costs[costs.length >> 1]).toBeLessThanOrEqual(1600);
        // A fold in the background appends too, and where a small text of a message becomes a large
        // one its neighbours are cut anew.
        expect(costs.filter((cost) => cost > 1600).length).toBeLessThanOrEqual(10);
      }),
    120_000,
  );

  it(
    'a small change in a long text is small, also the two-thousandth',
    () =>
      withPool(place, (pool) => {
        const store = CheckpointStore.of(pool);
        const random = dice(7);
        let text = textOf(dice(4), 40_000);
        save(pool, store, { text });
        const costs: number[] = [];
        for (let k = 0; k < 2000; ++k) {
          const at = random(text.length);
          text =
            k % 2 === 0
              ? `${text.slice(0, at)}0123456789${text.slice(at)}`
              : text.slice(0, at) + text.slice(at + 10);
          costs.push(save(pool, store, { text }).bytes);
        }
        const mean = (list: number[]): number =>
          list.reduce((sum, cost) => sum + cost) / list.length;
        expect(mean(costs.slice(0, 100))).toBeLessThan(400);
        expect(mean(costs.slice(-100))).toBeLessThan(700);
        expect(new CheckpointStore(pool).load(store.newest(OWNER)!.id)).toEqual({ text });
      }),
    120_000,
  );

  it.each([1, 2, 3, 4])(
    'texts and bytes come back whatever is done to them, %i',
    (seed) =>
      withPool(place, async (pool) => {
        const random = dice(seed * 7919);
        let store = CheckpointStore.of(pool);
        const state = {
          text: textOf(random, 1500 + random(20_000)),
          bytes: new Uint8Array(Buffer.from(textOf(random, 1500 + random(30_000)))),
          step: 0,
        };
        let kept = new Map<string, typeof state>();
        for (let step = 0; step < 300; ++step) {
          if (random(3) > 0) state.text = changedText(random, state.text).slice(0, 60_000);
          if (random(3) > 0) state.bytes = changedBytes(random, state.bytes).slice(0, 80_000);
          state.step = step;
          // Another one goes on from what is stored.
          if (random(8) === 0) store = new CheckpointStore(pool);
          kept.set(save(pool, store, state).id, structuredClone(state));
          if (random(40) === 0) {
            await store.prune(OWNER, { keepLast: 3 });
            kept = new Map([...kept].slice(-3));
          }
          if (random(10) === 0)
            for (const [id, was] of [...kept].slice(-3))
              expect(isDeepStrictEqual(new CheckpointStore(pool).load(id), was)).toBe(true);
        }
        for (const [id, was] of kept)
          expect(isDeepStrictEqual(new CheckpointStore(pool).load(id), was)).toBe(true);
      }),
    120_000,
  );

  it.each(['abc ', 'äöü', '日本語', '😀x', '\ud83dq', 'q\udc00'])(
    'a text of %j that changes at its ends comes back, what is between is kept',
    (unit) =>
      withPool(place, (pool) => {
        const store = CheckpointStore.of(pool);
        const text = unit.repeat(Math.ceil(20_000 / unit.length));
        const saved: [string, string][] = [];
        for (const [front, back, cut] of [
          ['x', '', 1],
          ['', 'x', 1],
          ['y', 'y', 1],
          ['日', '', 1],
          ['', '\ud83d', 1],
          ['\udc00', '', 1],
          ['front '.repeat(20), '', 0],
          ['', ' back'.repeat(20), 0],
          ['z', '', 2],
          ['', 'z', 3000],
          ['', 'long '.repeat(600), 0],
          ['long '.repeat(600), '', 3000],
        ] as const) {
          const now =
            front +
            text.slice(front === '' ? 0 : cut, back === '' ? undefined : text.length - cut) +
            back;
          for (const next of [text, now]) {
            const { id, bytes } = save(pool, store, { text: next });
            // In UTF-8 or, with half a surrogate pair in it, in UTF-16; and what was cut off comes
            // back.
            if (saved.length > 0)
              expect(bytes).toBeLessThan(2500 + 3 * (front + back).length + 3 * cut);
            saved.push([id, next]);
          }
        }
        for (const [id, was] of saved)
          expect((new CheckpointStore(pool).load(id) as { text: string }).text === was).toBe(true);
      }),
  );

  it('nothing is written again of a value that is as it was, whatever is in it', () =>
    withPool(place, (pool) => {
      const store = CheckpointStore.of(pool);
      const list = [NaN, -0, 0, undefined, null, 1n, new Date(5), /a/g];
      const inside = {
        nan: NaN,
        list,
        map: new Map([[NaN, -0]]),
        set: new Set([NaN]),
        few: new Uint8Array(9),
      };
      const state = {
        ...inside,
        deep: structuredClone(inside),
        text: 'text '.repeat(1000),
        bytes: new Float64Array(500).fill(NaN),
      };
      save(pool, store, state);
      for (const again of [state, structuredClone(state)]) {
        const { id, bytes } = save(pool, store, again);
        expect(bytes).toBe(rootOf(pool, id).length);
        expect(bytes).toBeLessThan(16);
      }
      expect(isDeepStrictEqual(store.load(store.newest(OWNER)!.id), state)).toBe(true);
    }));

  it('what a checkpoint wrote is told, of small states and large ones, and what pruning gives back of it', () =>
    withPool(place, async (pool) => {
      const store = CheckpointStore.of(pool);
      const pages = pool.keyspace<Uint8Array, Uint8Array>('holdfast.pages', {
        key: 'bytes',
        value: 'bytes',
      });
      let before = 0;
      for (const state of [
        5,
        { n: 1 },
        { n: 2 },
        { text: 'a'.repeat(5000) },
        { text: 'a'.repeat(5000), n: 3 },
      ]) {
        const { id, bytes } = save(pool, store, state);
        const written = [...pages.values()].reduce((sum, page) => sum + page.length, 0);
        expect(bytes).toBe(written - before + rootOf(pool, id).length);
        expect(bytes).toBeGreaterThan(0);
        expect([...store.history(OWNER)].at(-1)).toMatchObject({ id, bytes });
        before = written;
      }
      const roots = [...store.history(OWNER, { limit: 4 })].reduce(
        (sum, { id }) => sum + rootOf(pool, id).length,
        0,
      );
      const { removed, freedBytes } = await store.prune(OWNER);
      expect(removed).toBe(4);
      const left = [...pages.values()].reduce((sum, page) => sum + page.length, 0);
      expect(freedBytes).toBe(roots + before - left);
    }));

  it('a checkpoint whose record an earlier build wrote is read, and built on', () =>
    withPool(place, async (pool) => {
      const records = pool.keyspace<Uint8Array, Uint8Array>('holdfast.checkpoints', {
        key: 'bytes',
        value: 'bytes',
      });
      const { id } = save(pool, CheckpointStore.of(pool), { text: 'a'.repeat(2000) });
      const { label: _label, parent: _parent, ...info } = new CheckpointStore(pool).info(id)!;
      const [[key, now]] = [...records.range()] as [[Uint8Array, Uint8Array]];
      const { family, root } = recordCodec.decode(now);
      const then = Buffer.alloc(22 + 'first'.length + 'run/x@3'.length);
      then.writeUIntLE(family, 0, 6);
      then.writeUIntLE(info.at, 6, 6);
      then.writeUIntLE(recordCodec.decode(now).bytes, 12, 6);
      then.writeUInt16LE('first'.length + 1, 18);
      then.write('first', 20);
      then.writeUInt16LE('run/x@3'.length + 1, 25);
      then.write('run/x@3', 27);
      pool.commitSync(pool.batch().put(records, key, Buffer.concat([then, root])));

      const store = new CheckpointStore(pool);
      expect(store.info(id)).toEqual({ ...info, label: 'first', parent: 'run/x@3' });
      const next = save(pool, store, { text: 'b'.repeat(2000) });
      expect(store.info(next.id)).toMatchObject({ label: undefined, parent: id });
      expect(store.load(id)).toEqual({ text: 'a'.repeat(2000) });
      expect((await store.prune(OWNER)).removed).toBe(0);
    }));
});
