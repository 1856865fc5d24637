/** Signals, sleeps, suspended and abandoned runs, leases, hooks. */
import { renameSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { open, type HookEvent } from '../../lib/index';
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
    // Until a moment is until that moment.
    const moment = Date.now() + 50;
    const until = later.sleep(new Date(moment), { signal: AbortSignal.timeout(hour) });
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

  test('waits also within a step', async () => {
    const run = await bench.pool.run('r');
    const outer = run.step('outer', () => run.signal('x', { suspendAfter: 0 }));
    await rejects(outer, 'ERR_HOLDFAST_SUSPENDED');
    expect(bench.pool.runInfo('r')).toMatchObject({ status: 'waiting' });
    expect(await bench.pool.claim()).toBeUndefined();
  });
});

describe('leases', () => {
  test('a second driver is refused, in another handle and in another thread', async () => {
    await bench.pool.run('r');
    const other = await open(bench.path);
    await rejects(other.run('r'), 'ERR_HOLDFAST_RUN_ACTIVE');
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData);
       pool.run('r').catch((error) => parentPort.postMessage(error.code)).then(() => pool.close());`,
      bench.path,
    );
    expect(await messageOf(worker)).toBe('ERR_HOLDFAST_RUN_ACTIVE');
    await other.close();
  });

  test('a driver that slept through its lease is fenced, however long it slept', async () => {
    const pool = await bench.again({ lease: 30 });
    const run = await pool.run('r');
    const mine = run.fencingToken;
    const done = new Int32Array(new SharedArrayBuffer(4));
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData.path);
       const begin = () => pool.run('r').catch(() => new Promise((go) => setTimeout(go, 5)).then(begin));
       begin().then(async (run) => {
         await run.step('a', () => 'theirs');
         parentPort.postMessage(run.fencingToken);
         Atomics.store(workerData.done, 0, 1);
         Atomics.notify(workerData.done, 0);
         await new Promise((go) => setTimeout(go, 200));
         await pool.close();
       });`,
      { path: bench.path, done },
    );
    const taken = messageOf<number>(worker);
    // This thread sleeps, past its lease, until the other one has begun to drive.
    expect(Atomics.wait(done, 0, 0, 100_000)).not.toBe('timed-out');
    const called: string[] = [];
    await rejects(
      run.step('a', () => 'mine'),
      'ERR_HOLDFAST_FENCED',
    );
    await rejects(
      run.tool('b', 1, () => called.push('b')),
      'ERR_HOLDFAST_FENCED',
    );
    await rejects(run.finish('mine'), 'ERR_HOLDFAST_FENCED');
    expect([await taken, called]).toEqual([mine + 1, []]);
    run.close();
    expect((await bench.journal()).map(({ result }) => result)).toEqual([undefined, 'theirs']);
  });

  test('of a thread that was terminated end with it', async () => {
    const pool = await bench.again({ lease: 3_600_000 });
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData, { lease: 3_600_000 });
       pool.run('r').then(async (run) => {
         await run.step('a', () => 'theirs');
         parentPort.postMessage(run.fencingToken);
         setInterval(() => {}, 1000);
       });`,
      bench.path,
    );
    const token = await messageOf<number>(worker);
    await rejects(pool.run('r'), 'ERR_HOLDFAST_RUN_ACTIVE');
    expect(pool.runInfo('r')).toMatchObject({ driven: true });
    await worker.terminate();
    expect(pool.runInfo('r')).toMatchObject({ driven: false });
    const run = await pool.claim();
    expect([run?.id, run?.fencingToken, await run?.step('a', () => 'mine')]).toEqual([
      'r',
      token + 1,
      'theirs',
    ]);
  });

  test('are renewed while their thread lives', async () => {
    const pool = await bench.again({ lease: 1000 });
    const run = await pool.run('r');
    const other = await open(bench.path);
    for (let looks = 0, looked = performance.now(); looks < 10;) {
      await pause(250);
      // A busy machine may have kept this thread from renewing it in time: then it is looked at
      // when it is renewed.
      const awake = performance.now() - looked < 600;
      looked = performance.now();
      if (!awake) continue;
      await rejects(other.run('r'), 'ERR_HOLDFAST_RUN_ACTIVE');
      looks += 1;
    }
    run.close();
    expect((await other.run('r')).fencingToken).toBe(run.fencingToken + 1);
    await other.close();
  });

  test('two threads fight for one run 1,000 times: no step twice, no effect by the stale one', async () => {
    const most = 1000; // fewer where a hundred seconds are not enough for them
    // Per round: how often its effect happened. Behind them the highest token the outside has seen,
    // refusals, and whether the time is over.
    const shared = new SharedArrayBuffer(4 * (most + 3));
    const source = `
      const { path, shared, most } = workerData;
      const seen = new Int32Array(shared);
      const pool = holdfast.openSync(path, { lease: 5 });
      const outside = (n, token) => {
        for (;;) {
          const highest = Atomics.load(seen, most);
          if (token < highest) { Atomics.add(seen, most + 1, 1); throw Object.assign(new Error('stale'), { neverHappened: true }); }
          if (Atomics.compareExchange(seen, most, highest, token) === highest) break;
        }
        return Atomics.add(seen, n, 1);
      };
      const expected = new Set(['ERR_HOLDFAST_RUN_ACTIVE', 'ERR_HOLDFAST_FENCED']);
      async function life(lives) {
        const run = await pool.run('r');
        if (run.status === 'finished') return true;
        // Whoever begins says so outside first, so that nothing older happens there any more.
        for (let h; (h = Atomics.load(seen, most)) < run.fencingToken;) Atomics.compareExchange(seen, most, h, run.fencingToken);
        Atomics.notify(seen, most);
        for (let n = 0; n < most; ++n) {
          let fresh = false;
          // So that the lease is renewed while much is skipped.
          if (n % 25 === 24) await new Promise(setImmediate);
          await run.step('say', () => { fresh = true; return n; });
          await run.tool('act', n, (_n, { fencingToken }) => outside(n, fencingToken), {
            probe: () => (Atomics.load(seen, n) > 0 ? { happened: true, result: 0 } : { happened: false }),
          });
          // Sleeps through its lease, mostly until the other one drives, and goes on then.
          if (fresh) Atomics.wait(seen, most, run.fencingToken, n % 4 === 3 ? 7 : 1000);
          if (fresh && Atomics.load(seen, most + 2) === 1) return run.finish(n + 1).then(() => true);
        }
        await run.finish(most);
        return true;
      }
      (async () => {
        const lives = { count: 0, fenced: 0, refused: 0 };
        for (let done = false; !done;) {
          lives.count++;
          try { done = await life(lives); } catch (error) {
            if (error.message !== 'stale' && !expected.has(error.code)) { parentPort.postMessage(String(error.stack)); throw error; }
            if (error.code === 'ERR_HOLDFAST_RUN_ACTIVE') lives.refused++; else lives.fenced++;
            await new Promise(setImmediate);
          }
        }
        await pool.close();
        parentPort.postMessage(lives);
      })();`;
    const data = { path: bench.path, shared, most };
    const seen = new Int32Array(shared);
    const over = setTimeout(() => Atomics.store(seen, most + 2, 1), 100_000);
    const ended = await Promise.all([1, 2].map(() => messageOf(startWorker(source, data))));
    clearTimeout(over);
    const rounds = (await bench.pool.run('r')).result as number;
    if (rounds < most) console.log(`two threads have fought ${rounds} times: this machine is slow`);
    expect([...seen.subarray(0, rounds)]).toEqual(Array(rounds).fill(1));
    const entries = await bench.journal();
    const says = entries.filter(({ kind }) => kind === 'step').map(({ result }) => result);
    expect(says).toEqual(Array.from({ length: rounds }, (_, n) => n));
    const receipts = entries.filter(({ kind }) => kind === 'receipt').map(({ intent }) => intent);
    expect([receipts.length, new Set(receipts).size]).toEqual([rounds, rounds]);
    const fights = ended.reduce<number>(
      (sum, lives) => sum + (lives as { count: number }).count,
      0,
    );
    expect(fights, JSON.stringify(ended)).toBeGreaterThan(rounds / 2);
  });
});

describe('hooks', () => {
  const recorder = () => {
    const seen: string[] = [];
    const note = (name: string) => (event: HookEvent) =>
      void seen.push(`${name} ${event.steps} ${String(event.value ?? event.run.id)}`);
    return {
      seen,
      hooks: {
        onStart: note('start'),
        onDecision: note('decision'),
        onInterval: note('interval'),
        onEnd: note('end'),
        everySteps: 2,
      },
    };
  };

  test('a run whose hook could not be recorded is free again', async () => {
    const path = `${bench.path}-small`;
    const small = await open(path, { medium: 'file', size: 1 << 20 });
    const filler = small.keyspace('filler', { value: 'bytes' });
    const fill = (): void => {
      let key = 0;
      for (const size of [100_000, 10_000, 1000, 100, 10, 0])
        try {
          for (;;) filler.putSync(`${++key}`, new Uint8Array(size), { durability: 'eventual' });
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_HOLDFAST_POOL_FULL' });
        }
    };
    await rejects(small.run('r', { hooks: { onStart: fill } }), 'ERR_HOLDFAST_POOL_FULL');
    expect(small.runInfo('r')?.driven).toBe(false);
    for (const key of [...filler.keys()]) filler.deleteSync(key, { durability: 'eventual' });
    await small.compact();
    await (await small.run('r')).finish(1);
    await small.close();
  });

  test('are called at their points, once each over the lives of a run', async () => {
    const first = recorder();
    const run = await bench.pool.run('r', { hooks: first.hooks });
    await run.decision('plan', () => 'go');
    await run.step('a', () => 1);
    expect(first.seen).toEqual(['start 0 r', 'decision 0 go', 'interval 2 r']);
    const second = recorder();
    const later = await (await bench.again()).run('r', { hooks: second.hooks });
    await later.decision('plan', never);
    await later.step('a', never);
    await later.tool('b', 1, () => 1);
    await later.step('c', () => 1);
    await later.finish('all');
    expect(second.seen).toEqual(['start 0 r', 'interval 4 r', 'end 4 all']);
  });

  test('that fail are written down and reported, and lose nothing', async () => {
    const errors: string[] = [];
    const fail = (): never => {
      throw new Error('no memory today');
    };
    const hooks = {
      onStart: fail,
      onDecision: () => Promise.reject(new Error('no memory today')),
      onInterval: fail,
      onEnd: fail,
      everySteps: 1,
      onHookError: (_error: unknown, name: string) => void errors.push(name),
    };
    const run = await bench.pool.run('r', { hooks });
    expect(await run.decision('plan', () => 'go')).toBe('go');
    await run.finish(1);
    expect(errors).toEqual(['onStart', 'onDecision', 'onInterval', 'onEnd']);
    expect(await bench.kinds()).toEqual([
      ...['start', 'hook', 'decision', 'hook', 'hook', 'hook', 'end'],
    ]);
    expect((await bench.journal())[1]).toMatchObject({ error: 'Error: no memory today' });
    const textless = await bench.pool.run('s', {
      hooks: {
        onDecision: () => Promise.reject(Object.create(null)),
        onHookError: fail,
      },
    });
    expect(await textless.decision('d', () => 1)).toBe(1);
    expect(await bench.kinds('s')).toEqual(['start', 'decision', 'hook']);
    for (const hooks of [{ onStart: 5 }, 5])
      await rejects(
        bench.pool.run('s', { hooks: hooks as never }),
        'ERR_HOLDFAST_INVALID_ARGUMENT',
      );
  });
});
