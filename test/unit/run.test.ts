/** Durable runs on a real pool: what is kept, what is called again, what is refused. */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { CheckpointStore } from '../../lib/checkpoint/index';
import { open, type Holdfast, type Run, type ToolContext } from '../../lib/index';
import { readJournal, type Entry } from '../../lib/run/index';
import { dist } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('run');
let number = 0;
let path = '';
let pool: Holdfast;

beforeEach(async () => {
  path = join(folder, `pool-${number++}`);
  pool = await open(path, { medium: 'file' });
});

afterEach(() => pool.close());

/** As after a crash: another opening of the pool, another driver. */
async function again(id = 'r'): Promise<Run> {
  await pool.close();
  pool = await open(path);
  return pool.run(id);
}

const journal = (id = 'r'): Entry[] => [...readJournal(pool, id)].map(([, entry]) => entry);
const kinds = (id = 'r'): string[] => journal(id).map(({ kind }) => kind);
const never = (): never => {
  throw new Error('must not be called');
};

/**
 * Begins a tool call whose process dies after its intent and before its receipt; returns the key it
 * was given.
 */
async function dieInTool(
  safety: 'readOnly' | 'idempotent' | 'effect' = 'effect',
  args: unknown = 1,
): Promise<string> {
  const run = await pool.run('r');
  let context: ToolContext | undefined;
  let leave = (): void => {};
  const begun = new Promise<void>((resolve) => {
    const call = run.tool(
      'pay',
      args,
      async (_args, given) => {
        context = given;
        resolve();
        await new Promise<void>((end) => (leave = end));
      },
      { safety },
    );
    call.catch(() => {});
  });
  await begun;
  await pool.close();
  leave();
  pool = await open(path);
  return context?.idempotencyKey ?? '';
}

describe('step', () => {
  test('keeps its result and is not called again', async () => {
    const run = await pool.run('r');
    expect(run.continued).toBe(false);
    expect(await run.step('plan', () => ({ to: 'Oslo' }))).toEqual({ to: 'Oslo' });
    const later = await again();
    expect(later.continued).toBe(true);
    expect(await later.step('plan', never)).toEqual({ to: 'Oslo' });
    expect(await later.step('act', () => 7)).toBe(7);
    expect(kinds()).toEqual(['start', 'step', 'step']);
  });

  test('is committed, durably, before it returns', async () => {
    const run = await pool.run('r');
    await run.step('plan', () => 1);
    expect(kinds()).toEqual(['start', 'step']);
    expect(pool.stats().durableEpoch).toBe(pool.stats().epoch);
  });

  test('is known by its name and its occurrence', async () => {
    const run = await pool.run('r');
    for (const value of [1, 2, 3]) await run.step('turn', () => value);
    await run.step('other', () => 'o');
    const later = await again();
    expect(await later.step('other', never)).toBe('o');
    expect(await later.step('turn', never)).toBe(1);
    expect(await later.step('turn', never)).toBe(2);
    expect(await later.step('turn', never)).toBe(3);
    expect(await later.step('turn', () => 4)).toBe(4);
  });

  test('passes on what is thrown as it is, records nothing, and is called again', async () => {
    const run = await pool.run('r');
    const thrown = new RangeError('no');
    await expect(run.step('plan', () => Promise.reject(thrown))).rejects.toBe(thrown);
    expect(kinds()).toEqual(['start']);
    const later = await again();
    expect(await later.step('plan', () => 'now')).toBe('now');
  });

  test('keeps every structured value as it is', async () => {
    const cyclic: Record<string, unknown> = { name: 'ring' };
    cyclic['self'] = cyclic;
    const values: unknown[] = [
      undefined,
      null,
      0,
      '',
      'ä\u{1f600}',
      2n ** 80n,
      new Date(5),
      new Map([['a', new Set([1])]]),
      new Uint8Array([1, 2]),
      [undefined, { a: undefined }],
      cyclic,
      'x'.repeat(100_000),
    ];
    const run = await pool.run('r');
    for (const value of values) await run.step('value', () => value);
    const later = await again();
    for (const value of values) expect(await later.step('value', never)).toEqual(value);
  });

  test('whose result cannot be kept says so and records nothing', async () => {
    const run = await pool.run('r');
    await expect(run.step('plan', () => () => 1)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_CODEC',
    });
    expect(kinds()).toEqual(['start']);
    expect(await run.step('next', () => 1)).toBe(1);
  });

  test('may run beside others, whose order of ending does not matter', async () => {
    const run = await pool.run('r');
    const wait = (ms: number, value: string) => () =>
      new Promise<string>((resolve) => setTimeout(() => resolve(value), ms));
    await Promise.all([
      run.step('a', wait(8, 'first')),
      run.step('a', wait(1, 'second')),
      run.step('b', wait(4, 'b')),
    ]);
    const later = await again();
    expect(
      await Promise.all([later.step('b', never), later.step('a', never), later.step('a', never)]),
    ).toEqual(['b', 'first', 'second']);
  });
});

describe('tool', () => {
  test('commits its intent before the call and its receipt after it', async () => {
    const run = await pool.run('r');
    let seen: string[] = [];
    const result = await run.tool('pay', { cents: 5 }, ({ cents }) => {
      seen = kinds();
      return cents * 2;
    });
    expect(result).toBe(10);
    expect(seen).toEqual(['start', 'intent']);
    expect(kinds()).toEqual(['start', 'intent', 'receipt']);
    expect(journal()[1]).toMatchObject({
      name: 'pay',
      occurrence: 1,
      safety: 'effect',
      args: { cents: 5 },
    });
    expect(await (await again()).tool('pay', { cents: 5 }, never)).toBe(10);
  });

  test.each(['readOnly', 'idempotent'] as const)(
    '%s: an intent without a receipt is called again',
    async (safety) => {
      const key = await dieInTool(safety);
      const run = await pool.run('r');
      const call = async (_args: unknown, context: ToolContext) => context;
      expect(await run.tool('pay', 1, call, { safety })).toMatchObject({
        idempotencyKey: key,
        attempt: 2,
      });
      expect(kinds()).toEqual(['start', 'intent', 'attempt', 'receipt']);
    },
  );

  test('effect without a probe: the outcome is unknown and nothing is called', async () => {
    await dieInTool();
    const run = await pool.run('r');
    await expect(run.tool('pay', 1, never)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    });
    expect(kinds()).toEqual(['start', 'intent']);
  });

  test('effect whose probe cannot tell: unknown, and nothing is called', async () => {
    await dieInTool();
    const run = await pool.run('r');
    await expect(run.tool('pay', 1, never, { probe: () => 'unknown' })).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    });
  });

  test('effect that happened: its receipt is what the probe says', async () => {
    const key = await dieInTool();
    const run = await pool.run('r');
    let asked = '';
    const probe = (given: string) => {
      asked = given;
      return { happened: true as const, result: 'paid' };
    };
    expect(await run.tool('pay', 1, never as () => string, { probe })).toBe('paid');
    expect(asked).toBe(key);
    expect(await (await again()).tool('pay', 1, never)).toBe('paid');
    expect(journal().at(-1)).toMatchObject({ kind: 'receipt', from: 'probe' });
  });

  test('effect that never happened: called again under the same key', async () => {
    const key = await dieInTool();
    const run = await pool.run('r');
    const call = (_args: unknown, context: ToolContext) => context;
    const probe = async () => ({ happened: false as const });
    expect(await run.tool('pay', 1, call, { probe })).toMatchObject({
      idempotencyKey: key,
      attempt: 2,
    });
  });

  test('a probe that throws or answers nonsense stops everything', async () => {
    await dieInTool();
    const run = await pool.run('r');
    const thrown = new Error('network');
    await expect(run.tool('pay', 1, never, { probe: () => Promise.reject(thrown) })).rejects.toBe(
      thrown,
    );
    const later = await again();
    const nonsense = (() => true) as never;
    await expect(later.tool('pay', 1, never, { probe: nonsense })).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_INVALID_ARGUMENT',
    });
    expect(kinds()).toEqual(['start', 'intent', 'failure']);
  });

  test('an error leaves the outcome of an effect unknown', async () => {
    const run = await pool.run('r');
    const thrown = new Error('timed out');
    await expect(run.tool('pay', 1, () => Promise.reject(thrown))).rejects.toBe(thrown);
    expect(journal().at(-1)).toMatchObject({
      kind: 'failure',
      neverHappened: false,
      error: 'Error: timed out',
    });
    await expect((await again()).tool('pay', 1, never)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    });
  });

  test('an error that says nothing happened lets the effect be called again, unasked', async () => {
    const run = await pool.run('r');
    const thrown = Object.assign(new Error('refused'), { neverHappened: true });
    await expect(run.tool('pay', 1, () => Promise.reject(thrown))).rejects.toBe(thrown);
    const later = await again();
    expect(await later.tool('pay', 1, (_args, { attempt }) => attempt, { probe: never })).toBe(2);
  });

  test('what an earlier attempt said does not count for a later one', async () => {
    const run = await pool.run('r');
    const thrown = Object.assign(new Error('refused'), { neverHappened: true });
    await expect(run.tool('pay', 1, () => Promise.reject(thrown))).rejects.toBe(thrown);
    const second = await again();
    await expect(second.tool('pay', 1, () => Promise.reject(new Error('lost')))).rejects.toThrow(
      'lost',
    );
    await expect((await again()).tool('pay', 1, never)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    });
  });

  test('keys differ between calls, runs and pools', async () => {
    const key = (run: Run) => run.tool('pay', 1, (_args, { idempotencyKey }) => idempotencyKey);
    const run = await pool.run('r');
    const other = await open(join(folder, `other-${number}`), { medium: 'file' });
    const keys = [
      await key(run),
      await key(run),
      await key(await pool.run('s')),
      await key(await other.run('r')),
    ];
    await other.close();
    expect(new Set(keys).size).toBe(4);
    for (const text of keys) expect(text).toMatch(/^[\x21-\x7e]{10,100}$/);
  });
});

describe('divergence is shown, not guessed around', () => {
  test('other arguments', async () => {
    await (await pool.run('r')).tool('pay', { to: 'ada' }, () => 1);
    const error = await (
      await again()
    )
      .tool('pay', { to: 'bob' }, never)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'ERR_HOLDFAST_DIVERGED' });
    expect(String(error)).toMatch(/ada.*bob/s);
  });

  test('arguments in boxes are told apart by what is in them', async () => {
    const box = (value: unknown): unknown => Object(value);
    await (await pool.run('r')).step('s', box(1), () => 1);
    const later = await again();
    await expect(later.step('s', box(2), never)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_DIVERGED',
    });
    expect(await (await again()).step('s', box(1), never)).toBe(1);
  });

  test('arguments that are the same data are the same', async () => {
    class Money {
      constructor(readonly cents: number) {}
    }
    const run = await pool.run('r');
    await run.tool('pay', { b: new Money(1), a: undefined, when: new Date(1) }, () => 1);
    const later = await again();
    expect(
      await later.tool('pay', { when: new Date(1), b: new Money(1), a: undefined }, never),
    ).toBe(1);
  });

  test('a step where a tool was, and the other way round', async () => {
    const run = await pool.run('r');
    await run.step('a', () => 1);
    await run.tool('b', 1, () => 1);
    const later = await again();
    await expect(later.tool('a', 1, never)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_DIVERGED',
    });
    await expect(later.step('b', never)).rejects.toMatchObject({ code: 'ERR_HOLDFAST_DIVERGED' });
  });

  test('another input', async () => {
    (await pool.run('r', { input: { goal: 1 } })).close();
    await expect(pool.run('r', { input: { goal: 2 } })).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_DIVERGED',
    });
    expect((await pool.run('r', { input: { goal: 1 } })).input).toEqual({ goal: 1 });
  });
});

describe('the life of a run', () => {
  test('input, state, result', async () => {
    const run = await pool.run('r', { input: 'in' });
    expect([run.input, run.state, run.status, run.result]).toEqual([
      'in',
      undefined,
      'running',
      undefined,
    ]);
    await run.checkpoint({ at: 1 });
    await run.checkpoint({ at: 2 });
    expect(run.state).toEqual({ at: 2 });
    const later = await again();
    expect([later.input, later.state]).toEqual(['in', { at: 2 }]);
    await later.finish({ done: true });
    expect([later.status, later.result]).toEqual(['finished', { done: true }]);
    const read = await again();
    expect([read.continued, read.input, read.state, read.status, read.result]).toEqual([
      true,
      'in',
      { at: 2 },
      'finished',
      { done: true },
    ]);
    for (const refused of [
      () => read.step('a', never),
      () => read.tool('a', 1, never),
      () => read.checkpoint(1),
      () => read.finish(1),
      () => later.step('a', never),
    ]) {
      await expect(refused()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_RUN_FINISHED' });
    }
  });

  test('a finished run may be opened any number of times', async () => {
    await (await pool.run('r')).finish(1);
    const [a, b] = await Promise.all([pool.run('r'), pool.run('r')]);
    expect([a?.result, b?.result]).toEqual([1, 1]);
  });

  test('is driven once at a time in a process', async () => {
    const run = await pool.run('r');
    const active = { code: 'ERR_HOLDFAST_RUN_ACTIVE' };
    await expect(pool.run('r')).rejects.toMatchObject(active);
    const second = await open(path);
    await expect(second.run('r')).rejects.toMatchObject(active);
    run.close();
    const taken = await second.run('r');
    await expect(pool.run('r')).rejects.toMatchObject(active);
    await expect(run.step('a', never)).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CLOSED' });
    await taken.step('a', () => 1);
    await second.close();
    expect(await (await pool.run('r')).step('a', never)).toBe(1);
  });

  test('two openings at once: one of them', async () => {
    const outcomes = await Promise.allSettled([pool.run('r'), pool.run('r')]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('of two drivers only the last to begin can record', async () => {
    const run = await pool.run('r');
    // What a driver in another thread does when it begins.
    await pool.keyspace('holdfast.drivers', { value: 'json' }).put('r', { token: 2, holder: 'x' });
    for (const refused of [
      () => run.step('a', () => 1),
      () => run.checkpoint(1),
      () => run.tool('b', 1, never),
      () => run.finish(1),
    ]) {
      await expect(refused()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_FENCED' });
    }
    expect(kinds()).toEqual(['start']);
    expect(pool.keyspace('holdfast.states').count()).toBe(0);
  });

  test('a driver in another thread takes over, and what it records stays', async () => {
    await pool.close();
    pool = await open(path, { lease: 1 });
    const run = await pool.run('r');
    await run.step('a', () => 'mine');
    // The lease runs out while this thread does something else.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    const code = `
      const { workerData } = require('node:worker_threads');
      const { openSync } = require(workerData.dist);
      const pool = openSync(workerData.path);
      const next = () => pool.run('r').catch((error) => {
        if (error.code !== 'ERR_HOLDFAST_RUN_ACTIVE') throw error;
        return new Promise((resolve) => setImmediate(() => resolve(next())));
      });
      next().then(async (run) => {
        await run.step('a', () => 'never');
        await run.step('b', () => 'theirs');
        await pool.close();
      });`;
    const worker = new Worker(code, {
      eval: true,
      workerData: { path, dist: join(dist, 'index.js') },
    });
    expect(await once(worker, 'exit')).toEqual([0]);
    await expect(run.step('b', () => 'mine')).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_FENCED',
    });
    expect(journal().flatMap((entry) => (entry.kind === 'step' ? [entry.result] : []))).toEqual([
      'mine',
      'theirs',
    ]);
  });

  test('a taken number is never written again', async () => {
    const run = await pool.run('r');
    const { entryKeyCodec } = await import('../../lib/run/keys');
    const entries = pool.keyspace('holdfast.journal', { key: entryKeyCodec });
    await entries.put({ run: 'r', sequence: 1 }, { kind: 'step', name: 'theirs', occurrence: 1 });
    await expect(run.step('mine', () => 1)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_CONFLICT',
    });
    expect(journal()[1]).toMatchObject({ name: 'theirs' });
  });

  test('a checkpoint is saved whole when those before it were removed meanwhile', async () => {
    const run = await pool.run('r');
    const state = { list: Array.from({ length: 50 }, (_, i) => `item ${i} `.repeat(50)), n: 0 };
    await run.checkpoint(state);
    await run.checkpoint({ ...state, n: 1 });
    const store = new CheckpointStore(pool);
    const family = store.family(store.familyOf('run/r')!);
    await store.drop([{ owner: 'run/r', family, guards: [] }]);
    const { checkpoint } = await run.checkpoint({ ...state, n: 2 });
    expect(run.at(checkpoint)).toEqual({ ...state, n: 2 });
    expect([...run.history()].map(({ id }) => id)).toEqual([checkpoint]);
  });

  test('runs whose ids begin alike do not mix', async () => {
    for (const id of ['r', 'ra', 'r/1', 'r\u0001'])
      await (await pool.run(id)).step('own', () => id);
    for (const id of ['r', 'ra', 'r/1', 'r\u0001']) {
      expect(journal(id).filter(({ kind }) => kind === 'step')).toMatchObject([{ result: id }]);
    }
  });

  test('a journal of a newer format is refused', async () => {
    (await pool.run('r')).close();
    await pool
      .keyspace('holdfast.runs', { value: 'json' })
      .put('r', { format: 3, status: 'running', began: 1 });
    await expect(pool.run('r')).rejects.toMatchObject({ code: 'ERR_HOLDFAST_NEWER_FORMAT' });
  });
});

describe('wrong arguments', () => {
  test.each([
    ['a number', 5 as never, TypeError],
    ['nothing', undefined as never, TypeError],
    ['an empty id', '', RangeError],
    ['4 KiB', 'x'.repeat(4096), RangeError],
    ['a zero character', 'a\0b', TypeError],
    ['half a surrogate pair', '\ud800', TypeError],
  ])('run id: %s', async (_what, id, type) => {
    await expect(pool.run(id)).rejects.toBeInstanceOf(type);
    expect(pool.keyspaces()).toEqual([]);
  });

  test('an id of 512 bytes is one', async () => {
    const id = 'ä'.repeat(256);
    await (await pool.run(id)).step('a', () => 1);
    expect(await (await again(id)).step('a', never)).toBe(1);
  });

  test('names, functions, safeties and probes', async () => {
    const run = await pool.run('r');
    const invalid = { code: 'ERR_HOLDFAST_INVALID_ARGUMENT' };
    await expect(run.step('', never)).rejects.toBeInstanceOf(RangeError);
    await expect(run.step('a', 5 as never)).rejects.toMatchObject(invalid);
    await expect(run.tool(5 as never, 1, never)).rejects.toMatchObject(invalid);
    await expect(run.tool('a', 1, 5 as never)).rejects.toMatchObject(invalid);
    const form = /tool 'a' is called as run\.tool\(name, args, fn, options\?\).* got undefined/;
    await expect(run.tool('a', (() => 1) as never, undefined as never)).rejects.toMatchObject({
      ...invalid,
      message: expect.stringMatching(form) as string,
    });
    await expect(run.step('a', Promise.resolve(1) as never)).rejects.toMatchObject({
      ...invalid,
      message: expect.stringMatching(/run\.step\(name, fn.* got a promise, whose work/) as string,
    });
    await expect(run.tool('a', 1, never, { safety: 'safe' as never })).rejects.toMatchObject(
      invalid,
    );
    await expect(run.tool('a', 1, never, { probe: 5 as never })).rejects.toMatchObject(invalid);
    await expect(run.tool('a', 1, never, { retry: null as never })).rejects.toMatchObject(invalid);
    await expect(run.prune({ keepLabels: [1] as never })).rejects.toMatchObject(invalid);
    await expect(run.child('')).rejects.toBeInstanceOf(RangeError);
    await expect(run.child(5 as never)).rejects.toMatchObject(invalid);
    expect(kinds()).toEqual(['start']);
  });

  test('a closed pool', async () => {
    const run = await pool.run('r');
    await pool.close();
    await expect(run.step('a', () => 1)).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CLOSED' });
    await expect(pool.run('s')).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CLOSED' });
  });
});
