/** Runs that have ended and are forgotten: what goes, and what stays. */
import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { open, type CommitReceipt, type Run } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { entryKeyCodec } from '../../lib/run/keys';
import { ids, left, live, none, now } from './support/forgetting';
import { countLooks, never, rejects, runsBench } from './support/runs';

const bench = runsBench('forget');
describe('forgetting', () => {
  test('leaves nothing of a run that has ended, and gives its space back', async () => {
    await live(bench.pool, 'first');
    expect(await bench.pool.forgetRuns(now())).toEqual({ removed: 1, kept: none });
    await bench.pool.compact();
    const before = bench.pool.stats();
    for (let i = 0; i < 40; ++i) await live(bench.pool, `r${i}`, 20_000);
    await bench.pool.compact();
    expect(bench.pool.stats().liveBytes - before.liveBytes).toBeGreaterThan(40 * 20_000);
    expect(await bench.pool.forgetRuns(now())).toEqual({ removed: 40, kept: none });
    expect([left(bench.pool), ids(bench.pool)]).toEqual([{}, []]);
    await bench.pool.compact();
    const after = bench.pool.stats();
    expect(after.liveBytes).toBeLessThan(before.liveBytes + 2000);
    expect(after.takenBytes).toBeLessThan(before.takenBytes + 300_000);
    expect((await bench.pool.check()).damages).toEqual([]);
  });

  test('touches none that has not ended, however old it is', async () => {
    const { pool } = bench;
    const driven = await pool.run('driven');
    (await pool.run('closed')).close();
    const waiting = await pool.run('waiting', { suspendAfter: 0 });
    await rejects(waiting.signal('x'), 'ERR_HOLDFAST_SUSPENDED');
    await (await pool.run('parked')).park(new Error('no'));
    await (await pool.run('later')).park(new Error('no'), { until: 1 });
    await pool.begin('begun', { input: 1 });
    await pool.begin('not yet', { notBefore: 1e9 });
    const undone = await pool.run('rolled back');
    await undone.tool('book', 1, () => 1, { compensate: () => 1 });
    await undone.rollback();
    undone.close();
    await live(pool, 'done');
    const before = left(bench.pool);
    expect(await pool.forgetRuns(now())).toEqual({ removed: 1, kept: none });
    expect(ids(bench.pool)).toHaveLength(8);
    await driven.step('goes on', () => 1);
    await driven.finish();
    expect(left(bench.pool)['holdfast.open-runs']).toBe(before['holdfast.open-runs']! - 1);
    await (await pool.run('rolled back')).finish('as any other');
    expect(await pool.forgetRuns(now())).toEqual({ removed: 2, kept: none });
  });

  test('looks at the end, and takes a Date or milliseconds, and nothing else', async () => {
    const { pool } = bench;
    await live(pool, 'old');
    await pause(30);
    const between = new Date();
    await pause(5);
    await live(pool, 'young');
    expect(await pool.forgetRuns({ olderThan: 3_600_000 })).toEqual({ removed: 0, kept: none });
    expect(await pool.forgetRuns({ olderThan: Infinity })).toEqual({ removed: 0, kept: none });
    expect(await pool.forgetRuns({ olderThan: between })).toEqual({ removed: 1, kept: none });
    expect(ids(bench.pool)).toEqual(['young']);
    for (const wrong of [undefined, {}, { olderThan: '30d' }, { olderThan: null }, { prefix: 'a' }])
      await rejects(pool.forgetRuns(wrong as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    for (const wrong of [{ prefix: 5 }, { dryRun: 1 }, { signal: 1 }])
      await rejects(
        pool.forgetRuns({ olderThan: 1, ...wrong } as never),
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
    expect(ids(bench.pool)).toEqual(['young']);
  });

  test('of some, or only counted, also beside the process that writes', async () => {
    const { pool } = bench;
    for (const id of ['a/1', 'a/2', 'b/1']) await live(pool, id);
    await rejects(
      pool.forgetRuns({ ...now(), signal: AbortSignal.abort() }),
      'ERR_HOLDFAST_ABORTED',
    );
    const all = left(bench.pool);
    expect(await pool.forgetRuns({ ...now(), dryRun: true })).toEqual({ removed: 3, kept: none });
    const reader = await open(bench.path, { readOnly: true });
    expect(await reader.forgetRuns({ ...now(), dryRun: true, prefix: 'a/' })).toMatchObject({
      removed: 2,
    });
    await rejects(reader.forgetRuns(now()), 'ERR_HOLDFAST_READ_ONLY');
    await reader.close();
    expect(left(bench.pool)).toEqual(all);
    expect(await pool.forgetRuns({ ...now(), prefix: 'a/' })).toEqual({ removed: 2, kept: none });
    expect(ids(bench.pool)).toEqual(['b/1']);
  });

  test('lets the same id be another run, whose effects have keys of their own', async () => {
    const { pool } = bench;
    const first = await live(pool, 'r');
    await pool.forgetRuns(now());
    expect(pool.runInfo('r')).toBeUndefined();
    expect(await pool.begin('r', { input: { other: 1 } })).toMatchObject({ begun: true });
    await pool.forgetRuns(now());
    const run = (await pool.claim())!;
    expect([run.input, run.state, run.attempt, run.continued]).toEqual([
      { other: 1 },
      undefined,
      1,
      false,
    ]);
    const second = await run.tool('pay', { cents: 5 }, (_a, { idempotencyKey }) => idempotencyKey);
    expect([typeof second, second === first]).toEqual(['string', false]);
    const { checkpoint } = await run.checkpoint({ again: 1 });
    expect(run.at(checkpoint)).toEqual({ again: 1 });
    await run.finish();
    await pool.forgetRuns(now());
    expect(left(bench.pool)).toEqual({});
  });

  test('keeps what has an unknown outcome until somebody says what it was', async () => {
    const { pool } = bench;
    for (const id of ['a', 'b']) {
      const run = await pool.run(id);
      const call = run.tool('pay', 1, () => Promise.reject(new Error('gone silent')));
      await call.catch(() => {});
      await run.finish('all the same');
    }
    const [first, second] = pool.unknownOutcomes();
    const kept = { ...none, unknownOutcomes: 2 };
    expect(await pool.forgetRuns(now())).toEqual({ removed: 0, kept });
    await pool.resolve(first!.id, 'happened');
    expect(await pool.forgetRuns(now())).toEqual({
      removed: 1,
      kept: { ...none, unknownOutcomes: 1 },
    });
    // One that cannot be read may be of any run of its key's.
    const intents = pool.keyspace('holdfast.intents', { value: 'bytes' });
    await intents.put(second!.id, Buffer.from('{'));
    await live(pool, 'c');
    expect(await pool.forgetRuns(now())).toEqual({
      removed: 1,
      kept: { ...none, unknownOutcomes: 1 },
    });
    await intents.delete(second!.id);
    expect(await pool.forgetRuns(now())).toEqual({ removed: 1, kept: none });
    expect(left(bench.pool)).toEqual({});
  });

  test('looks at none that ended since, and at none that goes on', async () => {
    const { pool } = bench;
    for (let i = 0; i < 5; ++i) await live(pool, `old ${i}`);
    await pause(5);
    const between = new Date();
    await pause(5);
    for (let i = 0; i < 200; ++i) await (await pool.run(`young ${i}`)).finish();
    for (let i = 0; i < 200; ++i) await pool.begin(`open ${i}`);
    const looks = countLooks(pool);
    expect(await pool.forgetRuns({ olderThan: between })).toMatchObject({ removed: 5 });
    expect(looks()).toBeLessThan(40);
  });

  test('finds what earlier builds have ended', async () => {
    const { pool } = bench;
    for (let i = 0; i < 3; ++i) await live(pool, `r${i}`);
    (await pool.run('open')).close();
    // As they left it: without the list; and a run of format 1.
    const { ended } = Journals.of(pool);
    for (const key of [...ended.keys()]) await ended.delete(key);
    await pool.keyspace<string, string>('holdfast.run-marks').delete('ended');
    const entries = pool.keyspace('holdfast.journal', { key: entryKeyCodec });
    const first = (sequence: number, entry: object) =>
      entries.put({ run: 'first', sequence }, { at: 5, ...entry });
    await first(0, { kind: 'start', uid: 'f'.repeat(32), input: 1 });
    await first(1, { kind: 'end', ms: 1, result: 2 });
    await pool.keyspace('holdfast.states').put('first', { old: 1 });
    await pool
      .keyspace('holdfast.runs', { value: 'json' })
      .put('first', { format: 1, status: 'finished', driver: 1 });
    const again = await bench.again();
    const counted = await again.forgetRuns({ ...now(), dryRun: true });
    expect(counted).toEqual({ removed: 4, kept: none });
    expect(await again.forgetRuns({ olderThan: 3_600_000 })).toEqual({ removed: 1, kept: none });
    const looks = countLooks(again);
    expect(await again.forgetRuns({ olderThan: 3_600_000 })).toEqual({ removed: 0, kept: none });
    expect(looks()).toBe(0);
    expect(await again.forgetRuns(now())).toEqual({ removed: 3, kept: none });
    expect(ids(again)).toEqual(['open']);
  });

  test('finds what an earlier build has ended in a pool that a later one had before', async () => {
    const { pool } = bench;
    await live(pool, 'a');
    await pool.forgetRuns({ olderThan: 3_600_000 });
    const earlier = await bench.again();
    await live(earlier, 'b');
    const journals = Journals.of(earlier);
    for (const key of [...journals.ended.keys()])
      if (key.run === 'b') await journals.ended.delete(key);
    const later = await bench.again();
    expect(await later.forgetRuns({ ...now(), prefix: 'b' })).toEqual({ removed: 1, kept: none });
    // It is asked for once, for nobody else ends one since.
    const looks = countLooks(later);
    expect(await later.forgetRuns({ olderThan: 3_600_000 })).toEqual({ removed: 0, kept: none });
    expect(looks()).toBe(0);
    expect(await later.forgetRuns(now())).toEqual({ removed: 1, kept: none });
    expect(left(later)).toEqual({});
  });

  test('leaves what cannot be read, and goes on behind it', async () => {
    const { pool } = bench;
    for (const id of ['a', 'b', 'b/child', 'c', 'd']) await live(pool, id);
    const { checkpoint } = await (await pool.run('origin')).checkpoint(1);
    await pool.fork(checkpoint, 'fork');
    await (await pool.run('fork')).finish();
    const spoil = (space: string, key: string) =>
      pool.keyspace(space, { value: 'bytes' }).put(key, Buffer.from('{'));
    await spoil('holdfast.runs', 'a');
    // Nobody knows whose child it is, nor from what it was forked.
    await spoil('holdfast.runs', 'b/child');
    await pool
      .keyspace('holdfast.journal', { key: entryKeyCodec, value: 'bytes' })
      .put({ run: 'origin', sequence: 0 }, Buffer.from([0xc1]));
    expect(await pool.forgetRuns(now())).toEqual({
      removed: 2,
      kept: { ...none, unreadable: 4 },
    });
    expect(ids(bench.pool)).toEqual(['a', 'b', 'b/child', 'fork', 'origin']);
  });

  test('goes past what the list says of runs that are gone, or are others', async () => {
    const { pool } = bench;
    await live(pool, 'r');
    const journals = Journals.of(pool);
    const batch = pool.batch();
    journals.hasEnded(batch, 'gone', 5);
    journals.hasEnded(batch, 'r', 6);
    await pool.commit(batch);
    expect(await pool.forgetRuns({ olderThan: new Date(1000) })).toEqual({
      removed: 0,
      kept: none,
    });
    expect([...journals.ended.keys()].map(({ run }) => run)).toEqual(['r', 'r']);
    expect(await pool.forgetRuns(now())).toEqual({ removed: 1, kept: none });
  });
});

describe('a run and its children', () => {
  const child = async (parent: Run, id: string): Promise<string> => {
    const run = await parent.child<unknown, unknown, string>(id);
    if (run.status === 'finished') return run.result!;
    const key = await run.tool('ship', 1, (_args, { idempotencyKey }) => idempotencyKey);
    await run.checkpoint({ shipped: key });
    await run.finish(key);
    return key;
  };

  test('go together: a parent that goes on recalls what its children did', async () => {
    let { pool } = bench;
    const parent = await pool.run('order');
    const key = await child(parent, 'shipping');
    expect(await pool.forgetRuns(now())).toEqual({ removed: 0, kept: { ...none, children: 1 } });
    pool = await bench.again();
    const later = await pool.run('order');
    expect(await child(later, 'shipping')).toBe(key);
    await later.finish();
    // of that name, and nobody's child
    (await pool.run('order/of somebody else')).close();
    expect(await pool.forgetRuns({ ...now(), prefix: 'order/' })).toEqual({
      removed: 0,
      kept: { ...none, children: 1 },
    });
    expect(await pool.forgetRuns(now())).toEqual({ removed: 2, kept: none });
    expect(ids(pool)).toEqual(['order/of somebody else']);
    // A new run of that id finds none of them.
    const other = await child(await pool.run('order'), 'shipping');
    expect([typeof other, other === key]).toEqual(['string', false]);
  });

  test('stay while a child, or a child of one, goes on', async () => {
    const { pool } = bench;
    const parent = await pool.run('a');
    const middle = await parent.child('b');
    const inner = await middle.child('c');
    await middle.finish();
    await parent.finish();
    expect(await pool.forgetRuns(now())).toEqual({ removed: 0, kept: { ...none, children: 2 } });
    const call = inner.tool('pay', 1, () => Promise.reject(new Error('gone silent')));
    await call.catch(() => {});
    await inner.finish();
    expect(await pool.forgetRuns(now())).toEqual({
      removed: 0,
      kept: { ...none, unknownOutcomes: 3 },
    });
    await pool.resolve(pool.unknownOutcomes()[0]!.id, 'never-happened');
    expect(await pool.forgetRuns(now())).toEqual({ removed: 3, kept: none });
    expect(left(bench.pool)).toEqual({});
  });
});

test('a child, or a fork, that ended later keeps what it belongs to', async () => {
  const { pool } = bench;
  const parent = await pool.run('parent');
  const child = await parent.child('child');
  await parent.finish();
  const origin = await pool.run('origin');
  const { checkpoint } = await origin.checkpoint(1);
  await origin.finish();
  await pool.fork(checkpoint, 'fork');
  await pause(5);
  const between = new Date();
  await pause(5);
  await child.finish();
  await (await pool.run('fork')).finish();
  expect(await pool.forgetRuns({ olderThan: between })).toEqual({
    removed: 0,
    kept: { ...none, forks: 1, children: 1 },
  });
  expect(await pool.forgetRuns(now())).toEqual({ removed: 4, kept: none });
});

describe('forks', () => {
  /** A run with a child, and a checkpoint behind both. */
  const origin = async (id: string) => {
    const run = await bench.pool.run(id);
    const key = await run.tool('pay', 1, (_args, { idempotencyKey }) => idempotencyKey);
    const child = await run.child('child');
    const shipped = await child.tool('ship', 1, (_args, { idempotencyKey }) => idempotencyKey);
    await child.finish(shipped);
    const list = Array.from({ length: 200 }, (_, i) => `${id} item ${i}`);
    const { checkpoint } = await run.checkpoint({ key, list });
    return { run, key, shipped, checkpoint, list };
  };
  const recalls = async (id: string, from: Awaited<ReturnType<typeof origin>>) => {
    const run = await bench.pool.run(id);
    expect(await run.tool('pay', 1, never)).toBe(from.key);
    expect((await run.child('child')).result).toBe(from.shipped);
    expect(run.state).toEqual({ key: from.key, list: from.list });
    return run;
  };

  test('keep the run they were forked from, and its children; they go before it', async () => {
    const { pool } = bench;
    const from = await origin('r');
    await from.run.finish();
    await pool.fork(from.checkpoint, 'f');
    const ofFork = await pool.fork('run/f@0', 'g').then(() => pool.run('g'));
    await ofFork.finish();
    expect(await pool.forgetRuns(now())).toEqual({ removed: 1, kept: { ...none, forks: 2 } });
    const fork = await recalls('f', from);
    await fork.finish();
    expect(await pool.forgetRuns({ ...now(), prefix: 'r' })).toEqual({
      removed: 0,
      kept: { ...none, forks: 2 },
    });
    expect(await pool.forgetRuns({ ...now(), dryRun: true })).toEqual({ removed: 4, kept: none });
    expect(await pool.forgetRuns(now())).toEqual({ removed: 4, kept: none });
    expect([left(bench.pool), ids(bench.pool)]).toEqual([{}, []]);
  });

  test('go without the run they were forked from, and give back what only they held', async () => {
    const { pool } = bench;
    const from = await origin('r');
    await pool.compact();
    const before = pool.stats().liveBytes;
    for (let i = 0; i < 5; ++i) {
      await pool.fork(from.checkpoint, `f${i}`);
      const fork = await recalls(`f${i}`, from);
      await fork.checkpoint({ more: Array.from({ length: 2000 }, (_, n) => `${i} of ${n}`) });
      await fork.finish();
    }
    // of each fork it and its fork of the child
    const kept = { ...none, children: 1 };
    expect(await pool.forgetRuns(now())).toEqual({ removed: 10, kept });
    await pool.compact();
    expect(pool.stats().liveBytes).toBeLessThan(before + 4000);
    expect(ids(bench.pool)).toEqual(['r', 'r/child']);
    from.run.close();
    const again = await recalls('r', from);
    await again.checkpoint({ last: 1 });
    await again.finish();
    expect(await pool.forgetRuns(now())).toEqual({ removed: 2, kept: none });
    expect(left(bench.pool)).toEqual({});
    expect((await pool.check()).damages).toEqual([]);
  });

  test('made while their origin is about to go: both are there, or neither', async () => {
    const { pool } = bench;
    let forked = 0;
    for (let i = 0; i < 30; ++i) {
      const from = await origin(`r${i}`);
      await from.run.finish();
      const forking = async (): Promise<CommitReceipt | undefined> => {
        for (let turns = i; turns > 0; --turns) await Promise.resolve();
        return pool.fork(from.checkpoint, `f${i}`).catch((error: { code: string }) => {
          expect(error.code).toBe('ERR_HOLDFAST_NOT_FOUND');
          return undefined;
        });
      };
      const [receipt] = await Promise.all([forking(), pool.forgetRuns(now())]);
      if (receipt !== undefined) {
        forked += 1;
        await (await recalls(`f${i}`, from)).finish();
      } else expect([pool.runInfo(`r${i}`), pool.runInfo(`f${i}`)]).toEqual([undefined, undefined]);
    }
    expect(forked).toBeGreaterThan(0);
    await pool.forgetRuns(now());
    expect(left(bench.pool)).toEqual({});
  });
});

test('a run from which somebody forks after it was looked at stays', async () => {
  const { pool } = bench;
  await live(pool, 'a');
  const run = await pool.run('b');
  const key = await run.tool('pay', 1, (_args, { idempotencyKey }) => idempotencyKey);
  const { checkpoint } = await run.checkpoint({ paid: key });
  for (let i = 0; i < 1100; ++i) await run.step('s', () => i, { durability: 'eventual' });
  await run.finish();
  await pool.settled(); // the epoch of its end is written down behind it
  const commit = pool.commit.bind(pool);
  let commits = 0;
  pool.commit = async (...given) => {
    // What has gathered goes before the long run begins to.
    if (++commits === 1) await pool.fork(checkpoint, 'f');
    return commit(...given);
  };
  expect(await pool.forgetRuns(now())).toEqual({ removed: 1, kept: { ...none, forks: 1 } });
  const fork = await pool.run('f');
  expect([await fork.tool('pay', 1, never), fork.state]).toEqual([key, { paid: key }]);
  await fork.finish();
  expect(await pool.forgetRuns(now())).toEqual({ removed: 2, kept: none });
});
