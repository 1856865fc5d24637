/** Signals, sleeps, suspended and abandoned runs, and the system's clock. */
import { renameSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { open, type Run, type ToolContext } from '../../lib/index';
import { messageOf, startWorker } from './support/child';
import { never, rejects, runsBench } from './support/runs';

const bench = runsBench('waiting');
afterEach(() => void vi.useRealTimers());

describe('signals', () => {
  test('come in their order, each to one call, and are kept', async () => {
    const run = await bench.pool.run('r');
    await bench.pool.signal('r', 'approve', 1);
    await bench.pool.signal('r', 'approve', new Map([['by', 'ada']]));
    await bench.pool.signal('r', 'other', 3);
    expect(await run.signal('approve')).toBe(1);
    expect(await run.signal('approve')).toEqual(new Map([['by', 'ada']]));
    const later = await (await bench.again()).run('r');
    expect(await later.signal('approve')).toBe(1);
    expect(await later.signal('approve')).toEqual(new Map([['by', 'ada']]));
    expect(await later.signal('other')).toBe(3);
  });

  test('wake who waits, in this thread and from another', async () => {
    const run = await bench.pool.run('r');
    const first = run.signal('a');
    // A busy disk may take its time.
    await expect
      .poll(() => bench.pool.runInfo('r'))
      .toMatchObject({ status: 'waiting', waits: [{ signal: 'a' }] });
    await bench.pool.signal('r', 'a', 'here');
    expect(await first).toBe('here');
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running', waits: [] });
    const second = run.signal('b');
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData);
       pool.signal('r', 'b', 'there').then(() => pool.close()).then(() => parentPort.postMessage(1));`,
      bench.path,
    );
    await messageOf(worker);
    expect(await second).toBe('there');
  });

  test('wake who waits though the file of the pool has another name since', async () => {
    const run = await bench.pool.run('r');
    const moved = `${bench.path}.moved`;
    renameSync(bench.path, moved);
    const waiting = run.signal('a');
    await expect.poll(() => bench.pool.runInfo('r')).toMatchObject({ status: 'waiting' });
    await bench.pool.signal('r', 'a', 1);
    expect(await waiting).toBe(1);
    renameSync(moved, bench.path);
  });

  test('two calls beside each other take one each', async () => {
    const run = await bench.pool.run('r');
    const both = Promise.all([run.signal('a'), run.signal('a')]);
    await bench.pool.signal('r', 'a', 1);
    await bench.pool.signal('r', 'a', 2);
    expect((await both).sort()).toEqual([1, 2]);
  });

  test('two calls that wake for one signal say only once each that they wait', async () => {
    const run = await bench.pool.run('r');
    const both = Promise.all([run.signal('a'), run.signal('a')]);
    await expect.poll(() => bench.pool.runInfo('r')?.waits).toHaveLength(2);
    await bench.pool.signal('r', 'a', 1);
    await expect.poll(() => bench.kinds()).toContain('signal');
    await expect.poll(() => bench.pool.runInfo('r')?.waits).toHaveLength(1);
    await bench.pool.signal('r', 'a', 2);
    await both;
    expect(await bench.kinds()).toEqual(['start', 'wait', 'wait', 'signal', 'signal']);
  });

  test('many at once are all kept', async () => {
    const run = await bench.pool.run('r');
    const sent = Array.from({ length: 20 }, (_, i) => i);
    await Promise.all(sent.map((i) => bench.pool.signal('r', 'a', i)));
    const got: unknown[] = [];
    for (const _ of sent) got.push(await run.signal('a'));
    expect([...got].sort((a, b) => Number(a) - Number(b))).toEqual(sent);
  });

  test('to a missing or finished run are refused', async () => {
    await rejects(bench.pool.signal('none', 'a', 1), 'ERR_HOLDFAST_NOT_FOUND');
    expect(bench.pool.keyspaces()).toEqual([]);
    const run = await bench.pool.run('r');
    await bench.pool.signal('r', 'never asked for', 1);
    await run.finish(1);
    await rejects(bench.pool.signal('r', 'a', 1), 'ERR_HOLDFAST_RUN_FINISHED');
    expect(bench.pool.keyspace('holdfast.signals', { key: 'bytes' }).count()).toBe(0);
    await rejects(bench.pool.signal('x'.repeat(4096), 'a', 1), 'ERR_HOLDFAST_OUT_OF_RANGE');
    await rejects(bench.pool.signal('r', '', 1), 'ERR_HOLDFAST_OUT_OF_RANGE');
  });

  test('waits end with the pool', async () => {
    const run = await bench.pool.run('r');
    const waits = [run.signal('a'), run.sleep(1e9)].map((wait) =>
      rejects(wait, 'ERR_HOLDFAST_CLOSED'),
    );
    await expect.poll(() => bench.pool.runInfo('r')?.waits).toHaveLength(2);
    await bench.pool.close();
    await Promise.all(waits);
  });

  test('a wait ends with its abort signal', async () => {
    const run = await bench.pool.run('r');
    await rejects(run.signal('a', { signal: AbortSignal.timeout(5) }), 'ERR_HOLDFAST_ABORTED');
  });

  test('a run whose wait was aborted has something to do', async () => {
    const run = await bench.pool.run('r');
    const signal = AbortSignal.timeout(5);
    const waits = [run.signal('a', { signal }), run.sleep(60_000, { signal })];
    await Promise.all(waits.map((wait) => rejects(wait, 'ERR_HOLDFAST_ABORTED')));
    await run.step('without it', () => 1);
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running', waits: [] });
    run.close();
    const again = await bench.pool.claim();
    expect(again?.id).toBe('r');
    await bench.pool.signal('r', 'a', 'late');
    expect(await again!.signal('a')).toBe('late');
  });
});

describe('suspended runs need no process', () => {
  test('and are claimed when what they wait for has come', async () => {
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    await rejects(run.signal('approve'), 'ERR_HOLDFAST_SUSPENDED');
    await rejects(run.step('a', never), 'ERR_HOLDFAST_CLOSED');
    const pool = await bench.again();
    expect(pool.runInfo('r')).toMatchObject({ status: 'waiting', driven: false });
    expect(await pool.claim()).toBeUndefined();
    await pool.signal('r', 'approve', 'yes');
    const claimed = await pool.claim({ status: 'runnable' });
    expect([claimed?.id, await claimed?.signal('approve')]).toEqual(['r', 'yes']);
    expect(await pool.claim()).toBeUndefined();
  });

  test('sleep is until the moment it first said', async () => {
    const run = await bench.pool.run('r');
    const moment = Date.now() + 1e6;
    // the clock stands still: no disk is so slow that the moment comes too early
    vi.useFakeTimers({ toFake: ['Date'] });
    await rejects(run.sleep(new Date(moment), { suspendAfter: 0 }), 'ERR_HOLDFAST_SUSPENDED');
    expect(await bench.pool.claim()).toBeUndefined();
    vi.setSystemTime(moment);
    const claimed = await bench.pool.claim();
    await claimed!.sleep(1e6); // a quarter of an hour, had the moment not passed
    vi.useRealTimers();
    const begun = Date.now();
    await claimed!.sleep(20);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(19);
    await bench.pool.settled();
    expect(bench.pool.runInfo('r')?.status).toBe('running');
    for (const no of [NaN, null, 5n])
      await rejects(claimed!.sleep(no as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    for (const far of [2 ** 53, -1e300])
      await rejects(claimed!.sleep(far), 'ERR_HOLDFAST_OUT_OF_RANGE');
    await claimed!.sleep(runInNewContext('new Date(5)') as Date); // of another realm
    await rejects(claimed!.child(null as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
  });

  test('each abandoned run is handed out once', async () => {
    for (const id of ['a', 'b', 'c', 'd']) (await bench.pool.run(id)).close();
    const driven = await bench.pool.run('e');
    await (await bench.pool.run('z')).finish(1);
    const others = await Promise.all([1, 2, 3, 4, 5].map(() => bench.pool.claim()));
    expect(
      others
        .map((run) => run?.id)
        .filter(Boolean)
        .sort(),
    ).toEqual(['a', 'b', 'c', 'd']);
    expect(driven.status).toBe('running');
    expect([...bench.pool.runs({ status: 'runnable' })]).toEqual([]);
    await bench.again();
    expect([...bench.pool.runs({ status: 'runnable' })].map(({ id }) => id)).toHaveLength(5);
    await rejects(bench.pool.claim({ status: 'any' as never }), 'ERR_HOLDFAST_INVALID_ARGUMENT');
  });
});

describe("the system's clock", () => {
  const hour = 3_600_000;
  const setClock = (ms: number): void => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(Date.now() + ms);
  };

  test('set back makes no sleep of so many milliseconds longer, in this life or a later one', async () => {
    const run = await bench.pool.run('r');
    const sleeping = run.sleep(50);
    setClock(-hour);
    await sleeping;
    run.close();
    const later = await (await bench.again()).run('r');
    await later.sleep(50);
    // Until a moment is until that moment. It is far away: each look of a poll that has to be
    // repeated sets a faked clock forward.
    const moment = Date.now() + hour;
    const until = later.sleep(new Date(moment));
    await expect.poll(() => bench.pool.runInfo('r')?.waits).toEqual([{ until: moment }]);
    setClock(-hour);
    expect(await Promise.race([until, pause(200, 'sleeps')])).toBe('sleeps');
    vi.setSystemTime(moment);
    await until;
  });

  test('set forward ends what it was set past, for who is there and for who claims', async () => {
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    await rejects(run.sleep(hour), 'ERR_HOLDFAST_SUSPENDED');
    expect(await bench.pool.claim()).toBeUndefined();
    const beside = (await bench.pool.run('beside')).sleep(hour);
    await expect.poll(() => bench.pool.runInfo('beside')?.status).toBe('waiting');
    setClock(2 * hour);
    await beside;
    await (await bench.pool.claim())!.sleep(hour);
  });

  test.each([1, -1])(
    'is nothing to leases: set by %s hours nobody else drives, and the driver goes on',
    async (hours) => {
      const run = await bench.pool.run('r');
      const other = await open(bench.path);
      await run.step('a', () => 1);
      setClock(hours * hour);
      await rejects(other.run('r'), 'ERR_HOLDFAST_RUN_ACTIVE');
      expect(await other.claim()).toBeUndefined();
      expect(other.runInfo('r')).toMatchObject({ driven: true });
      await run.step('b', () => 2);
      run.close();
      expect((await other.claim())?.id).toBe('r');
      await other.close();
    },
  );

  test.each(['1951-01-01', '9999-01-01'])('that says %s is no error', async (day) => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date(day) });
    const run = await bench.pool.run<unknown, number>('r', { input: 1 });
    await run.tool('pay', 1, () => 2);
    const { checkpoint } = await run.checkpoint(3, { label: 'kept' });
    await run.restore(checkpoint);
    await run.fork(checkpoint, 'f');
    await bench.pool.signal('r', 'go', 1);
    await run.signal('go');
    await rejects(run.sleep(1000, { suspendAfter: 0 }), 'ERR_HOLDFAST_SUSPENDED');
    expect(await bench.pool.claim({ prefix: 'r' })).toBeUndefined();
    vi.setSystemTime(Date.now() + 2000);
    const claimed = await bench.pool.claim({ prefix: 'r' });
    expect([claimed!.id, claimed!.state]).toEqual(['r', 3]);
    expect([...claimed!.history()].map(({ label }) => label)).toEqual(['kept', undefined]);
    await claimed!.finish(4);
    expect(await bench.pool.prune('r')).toMatchObject({ removed: 0, kept: 2 });
    expect((await bench.journal()).at(-1)).toMatchObject({ kind: 'end', result: 4 });
    await (await bench.pool.claim())!.finish(5);
    expect((await bench.pool.check()).damages).toEqual([]);
  });
});

describe('a run that does more than wait', () => {
  test('is claimed when its driver goes, though a wait of it has not ended', async () => {
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    await rejects(Promise.race([run.signal('approve'), run.sleep(30)]), 'ERR_HOLDFAST_SUSPENDED');
    await pause(40);
    const second = await bench.pool.claim();
    const waits = [second!.signal('approve'), second!.sleep(30)];
    waits[0]!.catch(() => {}); // ends with the pool
    await Promise.race(waits);
    await second!.step('escalate', () => 1);
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running' });
    const pool = await bench.again();
    const third = await pool.claim();
    expect(third?.id).toBe('r');
    await rejects(third!.signal('approve', { suspendAfter: 0 }), 'ERR_HOLDFAST_SUSPENDED');
    expect(pool.runInfo('r')).toMatchObject({ status: 'waiting', waits: [{ signal: 'approve' }] });
    expect(await pool.claim()).toBeUndefined();
  });

  test('is claimed, though another wait suspended it when a sleep had just ended', async () => {
    for (let n = 0; n < 60; ++n) {
      const run = await bench.pool.run(`r${n}`, { suspendAfter: 0 });
      const signal = run.signal('approve');
      signal.catch(() => {});
      const suspended = await Promise.race([signal, run.sleep(0)]).catch(() => 'suspended');
      if (suspended !== undefined)
        expect(bench.pool.runInfo(run.id)).toMatchObject({ runnable: true });
      else run.close();
    }
  });

  test('is claimed when its driver goes in the middle of a step or an effect beside a wait', async () => {
    for (const kind of ['step', 'tool'] as const) {
      const run = await bench.pool.run(kind);
      run.signal('x').catch(() => {});
      await expect.poll(() => bench.pool.runInfo(kind)?.status).toBe('waiting');
      const begun = new Promise<void>((done) => {
        const work = (): Promise<never> => (done(), new Promise(() => {}));
        void (kind === 'step' ? run.step('long', work) : run.tool('long', {}, work));
      });
      await begun;
      await bench.pool.settled();
      expect(bench.pool.runInfo(kind)?.status).toBe('running');
    }
    const pool = await bench.again();
    expect([(await pool.claim())?.id, (await pool.claim())?.id].sort()).toEqual(['step', 'tool']);
  });

  test('tells what it waits for beside that, and behind it, but nobody waits for it', async () => {
    const run = await bench.pool.run('r');
    let end!: () => void;
    const working = run.step('long', () => new Promise<void>((done) => (end = done)));
    const approve = { signal: 'approve' };
    const until = Date.now() + 3_600_000;
    const waits = [run.signal('approve'), run.sleep(new Date(until))];
    for (const wait of waits) wait.catch(() => {}); // they end with the pool
    await expect.poll(() => bench.pool.runInfo('r')?.waits).toEqual([approve, { until }]);
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running', runnable: false });
    end();
    await working;
    expect(bench.pool.runInfo('r')).toMatchObject({
      status: 'running',
      waits: [approve, { until }],
    });
    expect([...bench.pool.runs({ status: 'running' })]).toMatchObject([
      { waits: [approve, { until }] },
    ]);
    await bench.pool.signal('r', 'approve', 'yes');
    expect(await waits[0]).toBe('yes');
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running', waits: [{ until }] });
    run.close();
    const { pool } = bench;
    // It has more to do than to wait for what its code, if it ever comes there, asks for again.
    expect(pool.runInfo('r')).toMatchObject({ status: 'running', waits: [], runnable: true });
    const again = (await pool.claim())!;
    expect(pool.runInfo('r')).toMatchObject({ status: 'running', waits: [] });
    expect(await again.signal('approve')).toBe('yes');
    const asleep = pool.keyspace('holdfast.asleep-runs', { key: 'bytes', value: 'bytes' });
    expect(asleep.count()).toBe(0);
    const sleeping = again.sleep(3_600_000, { suspendAfter: 0 });
    await rejects(sleeping, 'ERR_HOLDFAST_SUSPENDED');
    expect(pool.runInfo('r')).toMatchObject({ status: 'waiting', waits: [{ until }] });
    expect(asleep.count()).toBe(1);
  });

  test('tells no wait of an attempt that is over', async () => {
    const run = await bench.pool.run('r');
    const waited = (): boolean => (bench.pool.runInfo('r')?.waits.length ?? 0) > 0;
    const call = async (_args: unknown, { attempt }: ToolContext): Promise<unknown> => {
      if (attempt > 1) return bench.pool.runInfo('r')?.waits;
      run.signal('x').catch(() => {});
      await run.step('beside', () => 1);
      await expect.poll(waited).toBe(true);
      throw new Error('busy');
    };
    const options = { safety: 'idempotent', retry: { attempts: 2, delay: 0 } } as const;
    expect(await run.tool('t', 1, call, options)).toEqual([]);
  });

  test('is suspended only when what goes on beside the wait has ended', async () => {
    const run = await bench.pool.run('r');
    const waiting = run.signal('x', { suspendAfter: 10 });
    const paying = run.tool('pay', {}, () => pause(150, 'paid'));
    await Promise.all([
      rejects(waiting, 'ERR_HOLDFAST_SUSPENDED'),
      expect(paying).resolves.toBe('paid'),
    ]);
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'waiting', driven: false });
    expect([...bench.pool.unknownOutcomes()]).toEqual([]);
  });

  test('a wait that was ended suspends nobody, also where it was ended before it had begun', async () => {
    const first = await bench.pool.run('r', { suspendAfter: 0 });
    const late = new Date(Date.now() + 60);
    const waits = [first.signal('approve'), first.sleep(late)];
    for (const wait of waits) await wait.catch(() => {});
    await pause(80);
    const run = (await bench.pool.claim({ suspendAfter: 0 }))!;
    const race = new AbortController();
    const approved = run.signal('approve', { signal: race.signal });
    const ended = rejects(approved, 'ERR_HOLDFAST_ABORTED');
    await run.sleep(late);
    race.abort();
    await ended;
    expect(await run.step('go on', () => 1)).toBe(1);
    const aborted = AbortSignal.abort();
    await rejects(run.signal('approve', { signal: aborted }), 'ERR_HOLDFAST_ABORTED');
    await rejects(run.sleep(1e9, { signal: aborted }), 'ERR_HOLDFAST_ABORTED');
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'running', driven: true });
    await run.finish();
  });

  describe('an answer that comes to one of two waits', () => {
    /** Both have been asked for by an earlier life, and only one has an answer. */
    async function answered(): Promise<Run> {
      const first = await bench.pool.run('r', { suspendAfter: 0 });
      for (const wait of [first.signal('cancel'), first.signal('approve')])
        await wait.catch(() => {});
      await bench.pool.signal('r', 'cancel', 'by ada');
      return (await bench.pool.claim())!;
    }

    test('is heard before the other suspends the run', async () => {
      const run = await answered();
      const race = new AbortController();
      const answer = run.signal('cancel').then((said) => (race.abort(), said));
      const other = run.signal('approve', { suspendAfter: 0, signal: race.signal });
      await rejects(other, 'ERR_HOLDFAST_ABORTED');
      expect(await answer).toBe('by ada');
      await run.finish('cancelled');
    });

    test('gives the run something to do, though the other was begun while it was taken', async () => {
      const run = await answered();
      const waits = [run.signal('cancel'), run.signal('approve')] as const;
      const other = rejects(waits[1], 'ERR_HOLDFAST_CLOSED');
      expect(await waits[0]).toBe('by ada');
      const later = await bench.again();
      await other;
      expect(later.runInfo('r')).toMatchObject({ status: 'running', runnable: true });
    });
  });

  test('waits also within a step', async () => {
    const run = await bench.pool.run('r');
    const outer = run.step('outer', () => run.signal('x', { suspendAfter: 0 }));
    await rejects(outer, 'ERR_HOLDFAST_SUSPENDED');
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'waiting' });
    expect(await bench.pool.claim()).toBeUndefined();
  });
});
