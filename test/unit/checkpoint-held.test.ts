/**
 * Bytes of blobs: where two arrays differ, versions that share memory, and typed arrays that are
 * changed in place.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Held } from '../../lib/checkpoint/held';
import { CheckpointStore } from '../../lib/checkpoint/index';
import { openSync, type Holdfast } from '../../lib/index';
import { native } from '../../lib/native-binding';
import { codeOf, onEachMedium } from './support/media';

const { commonBytes } = native;

/** Around the sizes that are looked at as one. */
const sizes = fc.constantFrom(0, 1, 31, 32, 33, 64, 1023, 1024, 1025, 1056, 2048, 3000);

describe('what two byte arrays have in common', () => {
  it('is counted to the first byte that differs, from either end', () => {
    fc.assert(
      fc.property(
        sizes,
        sizes,
        fc.array(fc.nat(3000), { maxLength: 3 }),
        fc.nat(8),
        (aSize, bSize, changed, shift) => {
          // Not at the beginning of its memory.
          const a = new Uint8Array(new ArrayBuffer(aSize + shift), shift).map((_, at) => at * 7);
          const b = new Uint8Array(bSize).map((_, at) => at * 7);
          for (const at of changed) if (at < bSize) b[at]! ^= 1;
          const size = Math.min(aSize, bSize);
          let front = 0;
          while (front < size && a[front] === b[front]) ++front;
          let back = 0;
          while (back < size && a[aSize - 1 - back] === b[bSize - 1 - back]) ++back;
          expect(commonBytes(a, b, false)).toBe(front);
          expect(commonBytes(b, a, true)).toBe(back);
        },
      ),
      { numRuns: 2000, seed: 20261129 },
    );
  });

  it('is asked of two Uint8Arrays', async () => {
    const bytes = new Uint8Array(8);
    for (const wrong of [
      undefined,
      null,
      'text',
      5,
      [1],
      {},
      new Uint16Array(4),
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
    ]) {
      expect(await codeOf(() => commonBytes(wrong as never, bytes, false))).toBe(
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
      expect(await codeOf(() => commonBytes(bytes, wrong as never, true))).toBe(
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
    }
    expect(await codeOf(() => (commonBytes as () => number)())).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    expect(commonBytes(bytes, detached, false)).toBe(0);
    expect(commonBytes(Buffer.from('abc'), new Uint8Array(new SharedArrayBuffer(3)), true)).toBe(0);
  });
});

describe('versions of held bytes', () => {
  it('stay what they were, whichever is changed or read in which order', () => {
    const step = fc.record({
      of: fc.nat(1000),
      from: fc.nat(99),
      length: fc.nat(60),
      fill: fc.nat(255),
      read: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const first = new Uint8Array(100).map((_, at) => at);
        const versions: [Held, Uint8Array][] = [[Held.copyOf(first), first.slice()]];
        first.fill(0);
        for (const { of, from, length, fill, read } of steps) {
          // Mostly the newest, as saves do.
          const [held, bytes] = of % 3 > 0 ? versions.at(-1)! : versions[of % versions.length]!;
          const given = new Uint8Array(Math.min(length, 100 - from)).fill(fill);
          const expected = bytes.slice();
          expected.set(given, from);
          const { next, replaced } = held.with(from, given);
          expect([...replaced]).toEqual([...bytes.subarray(from, from + given.length)]);
          given.fill(0);
          versions.push([next, expected]);
          const [some, were] = versions[read % versions.length]!;
          expect(Buffer.compare(some.bytes, were)).toBe(0);
        }
        for (const [held, bytes] of versions) expect(Buffer.compare(held.bytes, bytes)).toBe(0);
      }),
      { numRuns: 500, seed: 20261129 },
    );
  });
});

function save(pool: Holdfast, value: unknown): string {
  const batch = pool.batch();
  const { id } = CheckpointStore.of(pool).save(batch, 'owner', value);
  pool.commitSync(batch);
  return id;
}

onEachMedium('typed arrays in a checkpoint', (place) => {
  it('are noticed to have changed at their first and last byte, through another view, and in shared memory', async () => {
    const pool = openSync(place.path(), place.options);
    const memory = new ArrayBuffer(8192);
    const words = new Float64Array(memory);
    const state = {
      words,
      window: new Uint8Array(memory, 1000, 5000),
      shared: new Uint8Array(new SharedArrayBuffer(4096)),
      again: words,
    };
    const bytes = new Uint8Array(memory);
    const changes = [
      () => (bytes[0] = 1),
      () => (bytes[8191] = 2),
      () => (bytes[1000] = 3),
      () => (bytes[5999] = 4),
      () => (state.shared[0] = 5),
      () => (state.shared[4095] = 6),
      () => (words[500] = NaN),
      () => (state.window = new Uint8Array(memory, 1001, 5000)),
      () => (state.window = new Uint8Array(memory, 1001, 4000)),
      () => (state.window = new Uint8Array(memory, 900, 4500)),
      () => bytes.fill(7, 10, 8100),
      () => (state.again = new Float64Array(1000)),
    ];
    const saved: [string, unknown][] = [
      [save(pool, state), structuredClone({ ...state, shared: state.shared.slice() })],
    ];
    for (const change of changes) {
      change();
      saved.push([save(pool, state), structuredClone({ ...state, shared: state.shared.slice() })]);
    }
    const store = CheckpointStore.of(pool);
    for (const [id, was] of saved) {
      const loaded = store.load(id) as Record<string, Uint8Array>;
      for (const [key, { length, constructor }] of Object.entries(
        was as Record<string, Uint8Array>,
      )) {
        expect([key, loaded[key]!.length, loaded[key]!.constructor]).toEqual([
          key,
          length,
          constructor,
        ]);
        expect(
          Buffer.compare(
            Buffer.from(loaded[key]!.buffer),
            Buffer.from((was as Record<string, Uint8Array>)[key]!.slice().buffer),
          ),
        ).toBe(0);
      }
    }
    await pool.close();
  });

  it('come back as they were where a save was refused or never committed', async () => {
    const pool = openSync(place.path(), place.options);
    const store = CheckpointStore.of(pool);
    const bytes = new Uint8Array(20_000);
    const state: Record<string, unknown> = { bytes };
    const saved: [string, Uint8Array][] = [];
    for (let k = 0; k < 60; ++k) {
      bytes.fill(k, (k * 331) % 19_000, ((k * 331) % 19_000) + 50);
      // What comes behind cannot be stored: the bytes were compared, and nothing is written.
      if (k % 3 === 1) {
        expect(await codeOf(() => save(pool, { ...state, refused: () => k }))).toBe(
          'ERR_HOLDFAST_CODEC',
        );
      }
      if (k % 3 === 2) store.save(pool.batch(), 'owner', state);
      if (k % 2 === 0) saved.push([save(pool, state), bytes.slice()]);
    }
    for (const [id, was] of saved)
      expect(Buffer.compare((store.load(id) as { bytes: Uint8Array }).bytes, was)).toBe(0);
    await pool.close();
  });
});
