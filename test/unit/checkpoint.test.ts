/** Checkpoints: equal values come back, cost follows the change, forks share, prune gives back. */
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import { expect, it } from 'vitest';

import { CheckpointStore } from '../../lib/checkpoint/index';
import { openSync, type Holdfast } from '../../lib/index';
import { codeOf, onEachMedium, type Place } from './support/media';

type State = Record<string, unknown>;

function save(pool: Holdfast, owner: string, value: unknown, options = {}): string {
  const batch = pool.batch();
  const { id } = CheckpointStore.of(pool).save(batch, owner, value, options);
  pool.commitSync(batch);
  return id;
}

async function withPool(
  place: Place,
  action: (pool: Holdfast, store: CheckpointStore) => void | Promise<void>,
): Promise<void> {
  const pool = openSync(place.path(), place.options);
  try {
    await action(pool, CheckpointStore.of(pool));
  } finally {
    pool.closeSync();
  }
}

/** Texts that differ from each other and do not compress to one another. */
function textOf(length: number, seed: number): string {
  let text = '';
  for (let i = 0; text.length < length; ++i) text += `${(seed * 7919 + i * 104729) % 1000003} `;
  return text.slice(0, length);
}

const leaf = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc
    .tuple(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      fc.integer({ min: 60, max: 150 }),
    )
    .map(([text, times]) => text.repeat(times)),
  fc.double(),
  fc.integer(),
  fc.bigInt(),
  fc.boolean(),
  fc.constantFrom(null, undefined, -0, '\ud800', 'a\udc00b', '__proto__'),
  fc.date({ noInvalidDate: false }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 80 }))
    .map(([bytes, times]) => new Uint8Array(Buffer.alloc(bytes.length * times, bytes))),
  fc.float64Array({ maxLength: 20 }),
  fc.constantFrom(/a(b)+/gi),
);
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 12 }),
    fc.dictionary(fc.string({ maxLength: 12 }), tie('value'), {
      maxKeys: 10,
      noNullPrototype: true,
    }),
    fc
      .array(fc.tuple(fc.oneof(leaf, tie('value')), tie('value')), { maxLength: 8 })
      .map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 8 }).map((items) => new Set(items)),
  ),
}));

/** Changes a value in place, somewhere, as `choices` say. */
function mutate(root: unknown, choices: number[], by: unknown): void {
  let at = root;
  for (const choice of choices) {
    if (Array.isArray(at)) {
      const kind = choice % 6;
      if (kind === 0) return void at.push(by);
      if (kind === 1) return void at.shift();
      if (kind === 2) return void at.splice(choice % (at.length + 1), 1, by, by);
      if (kind === 3) return void at.splice(choice % (at.length + 1), 2);
      at = at[choice % Math.max(1, at.length)];
    } else if (at instanceof Map) {
      if (choice % 3 === 0) return void at.set(choice, by);
      const key = [...at.keys()][choice % Math.max(1, at.size)];
      if (choice % 3 === 1) return void at.delete(key);
      at = at.get(key);
    } else if (at instanceof Set) {
      if (choice % 2 === 0) return void at.add(by);
      at = [...at][choice % Math.max(1, at.size)];
    } else if (at instanceof Uint8Array) {
      if (at.length > 0) at[choice % at.length]! ^= 1;
      return;
    } else if (at instanceof Date) return void at.setTime(choice);
    else if (
      typeof at === 'object' &&
      at !== null &&
      Object.getPrototypeOf(at) === Object.prototype
    ) {
      const keys = Object.keys(at);
      const key = keys[choice % Math.max(1, keys.length)] ?? 'fresh';
      if (choice % 4 === 0) return void ((at as State)[`k${choice}`] = by);
      if (choice % 4 === 1) return void delete (at as State)[key];
      if (choice % 4 === 2 && key !== '__proto__') return void ((at as State)[key] = by);
      at = (at as State)[key];
    } else return;
  }
}

onEachMedium('checkpoints', (place) => {
  it('give back an equal value, after any change in place, now and after reopening', () => {
    const path = place.path();
    const options = {
      ...place.options,
      ...(place.medium === 'pmem' ? { size: 512 * 1024 * 1024 } : {}),
    };
    let pool = openSync(path, options);
    let owner = 0;
    const changes = fc.array(
      fc.tuple(fc.array(fc.nat(1000), { minLength: 1, maxLength: 5 }), anyValue),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(anyValue, changes, fc.nat(8), (first, edits, reopenAt) => {
        const name = `owner ${++owner}`;
        const state = { value: first };
        const saved: [string, unknown][] = [];
        for (const [step, [path_, by]] of [
          [[], undefined] as [number[], unknown],
          ...edits,
        ].entries()) {
          mutate(state.value, path_, by);
          if (step === reopenAt) {
            pool.closeSync();
            pool = openSync(path, options);
          }
          saved.push([save(pool, name, state), structuredClone(state)]);
        }
        for (const [id, was] of saved)
          expect(isDeepStrictEqual(CheckpointStore.of(pool).load(id), was)).toBe(true);
      }),
      { numRuns: 120, seed: 20261121, endOnFailure: true },
    );
    pool.closeSync();
  });

  it('keep cycles', () =>
    withPool(place, (pool, store) => {
      interface Person {
        name: string;
        friends: Person[];
        self?: Person;
        known: Map<Person, string>;
      }
      const ann: Person = { name: 'Ann', friends: [], known: new Map() };
      const bob: Person = { name: 'Bob', friends: [ann], known: new Map([[ann, textOf(2000, 1)]]) };
      ann.friends.push(bob);
      ann.self = ann;
      const state: State = { ann, list: [textOf(3000, 2)] };
      state.state = state;
      const check = (id: string): void => {
        const loaded = store.load(id) as typeof state & { ann: Person };
        expect(loaded.state).toBe(loaded);
        expect(loaded.ann.self).toBe(loaded.ann);
        expect(loaded.ann.friends[0]!.friends[0]).toBe(loaded.ann);
        expect([...loaded.ann.friends[0]!.known.keys()][0]).toBe(loaded.ann);
        expect(isDeepStrictEqual(loaded, state)).toBe(true);
      };
      check(save(pool, 'c', state));
      bob.name = 'Robert';
      check(save(pool, 'c', state));
      // Everybody knows everybody: too many ways to walk, so it is kept whole.
      const crowd: Person[] = Array.from({ length: 30 }, (_, i) => ({
        name: `p${i}`,
        friends: [],
        known: new Map(),
      }));
      for (const person of crowd) person.friends = crowd;
      for (const person of crowd) for (const other of crowd) person.known.set(other, 'x');
      for (let i = 0; i < 2; ++i) {
        const loaded = store.load(save(pool, 'crowd', crowd)) as Person[];
        expect(loaded[3]!.friends).toBe(loaded);
        expect(loaded[29]!.name).toBe('p29');
      }
    }));

  it('refuse what cannot be stored, and store nothing', async () => {
    await withPool(place, async (pool, store) => {
      for (const bad of [() => 1, Symbol('x'), Promise.resolve(), new WeakMap()]) {
        expect(await codeOf(() => save(pool, 'bad', { deep: [{ bad }] }))).toBe(
          'ERR_HOLDFAST_CODEC',
        );
      }
      expect(store.newest('bad')).toBeUndefined();
      expect(await codeOf(() => save(pool, '', 1))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
      expect(await codeOf(() => save(pool, 'a\0b', 1))).toBe('ERR_HOLDFAST_INVALID_ARGUMENT');
      expect(await codeOf(() => save(pool, 'x'.repeat(4096), 1))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
      expect(await codeOf(() => store.load('nobody@0'))).toBe('ERR_HOLDFAST_NOT_FOUND');
      expect(await codeOf(() => store.load('nonsense'))).toBe('ERR_HOLDFAST_INVALID_ARGUMENT');
      expect(await codeOf(() => store.fork('nobody@0', 'me'))).toBe('ERR_HOLDFAST_NOT_FOUND');
    });
  });

  it('write at most 1.6 KiB for 1 KiB changed in 64 KiB, whatever the state is made of', () =>
    withPool(place, (pool) => {
      const messages = Array.from({ length: 64 }, (_, i) => ({
        role: 'user',
        content: textOf(980, i),
        id: i,
      }));
      const fields = Object.fromEntries(messages.map(({ content }, i) => [`field${i}`, content]));
      const bytes = new Uint8Array(65536).map((_, i) => (i * 2654435761) >>> 24);
      const shapes: [string, unknown, (step: number) => void][] = [
        [
          'messages',
          { messages, step: 0 },
          (k) => void (messages[(k * 7) % 64] = { role: 'user', content: textOf(980, -k), id: k }),
        ],
        ['message in place', { messages: structuredClone(messages) }, () => {}],
        ['fields', fields, (k) => void (fields[`field${(k * 7) % 64}`] = textOf(1000, -k))],
        ['bytes', { bytes }, (k) => bytes.set(Buffer.from(textOf(1024, -k)), k * 1024)],
      ];
      const inPlace = (shapes[1]![1] as { messages: { content: string }[] }).messages;
      shapes[1]![2] = (k) => void (inPlace[(k * 11) % 64]!.content = textOf(980, -k));
      for (const [name, state, change] of shapes) {
        const costs: number[] = [];
        save(pool, name, state);
        for (let k = 1; k < 60; ++k) {
          change(k);
          const before = pool.stats().bytesAppended;
          const id = save(pool, name, state);
          costs.push(pool.stats().bytesAppended - before);
          if (k % 20 === 0) expect(CheckpointStore.of(pool).load(id)).toEqual(state);
        }
        // A fold in the background appends too and may fall between two looks; it is rarer than one
        // commit in twenty.
        expect(costs.filter((cost) => cost > 1638).length, name).toBeLessThanOrEqual(3);
      }
    }));

  it('append to a list, and slide along it, at the cost of the new element', () =>
    withPool(place, (pool, store) => {
      const messages: unknown[] = [];
      const window: unknown[] = [];
      const costs: number[] = [];
      for (let k = 0; k < 500; ++k) {
        const message = { role: 'assistant', content: textOf(2000, k) };
        messages.push(message);
        window.push({ ...message });
        if (window.length > 40) window.splice(1, 1);
        const before = pool.stats().bytesAppended;
        save(pool, 'list', { messages, step: k });
        costs.push(pool.stats().bytesAppended - before);
        save(pool, 'window', { window });
      }
      const mean = (list: number[]): number => list.reduce((sum, cost) => sum + cost) / list.length;
      expect(mean(costs.slice(-50))).toBeLessThanOrEqual(1.2 * mean(costs.slice(50, 100)));
      expect(mean([...store.history('window')].slice(-50).map(({ bytes }) => bytes))).toBeLessThan(
        3000,
      );
      expect(store.load(store.newest('list')!.id)).toEqual({ messages, step: 499 });
      expect(store.load(store.newest('window')!.id)).toEqual({ window });
    }));

  it('know immutable objects by identity', () =>
    withPool(place, (pool, store) => {
      let state = { a: { text: textOf(500, 1) }, b: [1, 2, 3] };
      save(pool, 'i', state, { immutable: true });
      // The promise is the caller's: what was changed in place all the same is not looked at.
      state.a.text = 'changed';
      expect(store.load(save(pool, 'i', state, { immutable: true }))).toMatchObject({
        a: { text: textOf(500, 1) },
      });
      state = { ...state, a: { text: 'new' } };
      expect(store.load(save(pool, 'i', state, { immutable: true }))).toEqual(state);
    }));

  it('10,000 of a run: history, diff, fork, restore, prune that gives the space back', async () => {
    await withPool(place, async (pool, store) => {
      const notes = Array.from({ length: 60 }, (_, i) => textOf(900, i));
      const state: State = { notes, step: 0, gone: 1 };
      for (let k = 0; k < 10_000; ++k) {
        notes[(k * 13) % 60] = textOf(900, -k);
        state.step = k;
        if (k === 9_999) delete state.gone;
        const batch = pool.batch();
        store.save(batch, 'run', state, { label: k % 1000 === 500 ? `mark ${k}` : undefined });
        pool.commitSync(batch, { durability: k % 100 === 99 ? 'durable' : 'eventual' });
      }
      const all = [...store.history('run')];
      expect(all).toHaveLength(10_000);
      expect(all[7]!.parent).toBe(all[6]!.id);
      const found = store.diff(all[9_998]!.id, all[9_999]!.id);
      expect(found.map(({ path, kind }) => [path, kind])).toEqual([
        [['notes', (9_999 * 13) % 60], 'changed'],
        [['step'], 'changed'],
        [['gone'], 'removed'],
      ]);
      const middle = all[5_000]!.id;
      const valueOfMiddle = store.load(middle);
      await pool.compact(); // else a fold in the background may append meanwhile
      const before = pool.stats().bytesAppended;
      const fork = store.fork(middle, 'fork');
      expect(pool.stats().bytesAppended - before).toBeLessThan(1024);
      expect(store.load(fork.id)).toEqual(valueOfMiddle);
      const full = pool.stats().liveBytes;
      const report = await store.prune('run', { keepLast: 10 });
      expect(report).toMatchObject({ removed: 9_980, kept: 20 });
      await pool.compact();
      expect(pool.stats().liveBytes).toBeLessThan(full / 5);
      expect(store.load(fork.id)).toEqual(valueOfMiddle);
      expect(store.load(store.newest('run')!.id)).toEqual(state);
      expect(await codeOf(() => store.fork(middle, 'late'))).toBe('ERR_HOLDFAST_NOT_FOUND');
      const { info, value } = store.restore(all[9_995]!.id);
      expect(value).toEqual(store.load(info.id));
      notes[0] = 'after the prune';
      expect(store.load(save(pool, 'run', state))).toEqual(state);
      expect(
        store.load(save(pool, 'fork', { ...(valueOfMiddle as State), step: -1 })),
      ).toMatchObject({ step: -1 });
      await drop(store, 'run');
      expect([...store.history('run')]).toEqual([]);
      expect(store.load(fork.id)).toEqual(valueOfMiddle);
      await drop(store, 'fork');
      await pool.compact();
      expect(pool.keyspace('holdfast.pages', { key: 'bytes', value: 'bytes' }).count()).toBe(0);
      expect((await pool.check()).damages).toEqual([]);
    });
  });

  it('hold what had become small and grew again, whatever was pruned meanwhile', () =>
    withPool(place, async (pool, store) => {
      const [small, large] = [{ a: textOf(140, 1) }, { b: textOf(120, 2) }];
      save(pool, 'run', { notes: { ...small, ...large } });
      save(pool, 'run', { notes: small });
      await store.prune('run');
      const id = save(pool, 'run', { notes: { c: textOf(200, 3), ...small } });
      const expected = { notes: { c: textOf(200, 3), ...small } };
      expect(new CheckpointStore(pool).load(id)).toEqual(expected);
    }));

  it('differ where they do, cycles and keys that are objects included', () =>
    withPool(place, (pool, store) => {
      const inner: State = { up: undefined, n: 1 };
      const state: State = {
        list: [inner],
        map: new Map<unknown, unknown>([
          [{ id: 1 }, 'a'],
          [{ id: 1 }, 'b'],
          ['s', 1],
        ]),
        at: new Date(NaN),
      };
      inner.up = state;
      (state.map as Map<unknown, unknown>).set(state.map, 2);
      const first = save(pool, 'c', state);
      expect(store.diff(first, first)).toEqual([]);
      expect(store.diff(first, save(pool, 'copy', structuredClone(state)))).toEqual([]);
      inner.n = 2;
      (state.list as unknown[]).push({ up: state });
      for (const key of (state.map as Map<unknown, unknown>).keys()) {
        (state.map as Map<unknown, unknown>).set(key, 'c');
        break;
      }
      state.me = state;
      const found = store.diff(first, save(pool, 'c', state));
      expect(found.map(({ path, kind }) => [path, kind])).toEqual([
        [['list', 0, 'n'], 'changed'],
        [['list', 1], 'added'],
        [['map', { id: 1 }], 'changed'],
        [['me'], 'added'],
      ]);
      const { up } = found[1]!.after as { up: State };
      expect((up.list as State[])[1]!.up).toBe(up);
      expect((found[3]!.after as State).at).toEqual(new Date(NaN));
      fc.assert(
        fc.property(anyValue, (value) => {
          const id = save(pool, 'any', value);
          expect(store.diff(id, id)).toEqual([]);
        }),
        { numRuns: 200 },
      );
    }));

  it('survive commits that were refused or never made', () =>
    withPool(place, (pool, store) => {
      const state = { list: Array.from({ length: 50 }, (_, i) => textOf(400, i)), n: 0 };
      save(pool, 's', state);
      const lost = pool.batch();
      state.n = 1;
      state.list[3] = textOf(400, 99);
      store.save(lost, 's', state);
      const batch = pool.batch();
      const first = store.save(batch, 's', state);
      const other = pool.keyspace('other');
      batch.requirePresent(other, 'absent');
      expect(() => pool.commitSync(batch)).toThrow(/ERR_HOLDFAST_CONFLICT|require|condition/i);
      expect(store.info(first.id)).toBeUndefined();
      expect(store.load(save(pool, 's', state))).toEqual(state);
      // One that was built on a checkpoint which is gone by the time it is committed.
      const late = pool.batch();
      store.save(late, 's', state);
      pool.commitSync(
        pool
          .batch()
          .delete(
            pool.keyspace('holdfast.checkpoints', { key: 'bytes', value: 'bytes' }),
            lastKey(pool),
          ),
      );
      expect(() => pool.commitSync(late)).toThrow();
      expect(store.load(save(pool, 's', state))).toEqual(state);
    }));

  it('are told to be committed, and are not built on when they are gone all the same', () =>
    withPool(place, async (pool, store) => {
      const state = { list: Array.from({ length: 50 }, (_, i) => textOf(400, i)), n: 0 };
      const tell = (): void => {
        const batch = pool.batch();
        const info = store.save(batch, 't', state);
        pool.commitSync(batch);
        store.committed(info);
      };
      tell();
      state.n = 1;
      tell();
      await drop(new CheckpointStore(pool), 't');
      // One that was put into a batch and not told of is asked for, whatever was told of those
      // before.
      const batch = pool.batch();
      const refused = store.save(batch, 't', state);
      expect(await codeOf(() => pool.commitSync(batch))).toBe('ERR_HOLDFAST_CONFLICT');
      expect(store.info(refused.id)).toBeUndefined();
      state.n = 2;
      expect(store.load(save(pool, 't', state))).toEqual(state);
      expect((await pool.check()).damages).toEqual([]);
    }));
});

function drop(store: CheckpointStore, owner: string): Promise<void> {
  return store.drop([{ owner, family: store.family(store.familyOf(owner)!), guards: [] }]);
}

function lastKey(pool: Holdfast): Uint8Array {
  const records = pool.keyspace<Uint8Array, Uint8Array>('holdfast.checkpoints', {
    key: 'bytes',
    value: 'bytes',
  });
  return [...records.keys({ reverse: true, limit: 1 })][0]!;
}
