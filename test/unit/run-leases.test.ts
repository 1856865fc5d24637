/** Who may drive a run: leases of handles and threads, and drivers that were replaced. */
import { setTimeout as pause } from 'node:timers/promises';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { open } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { messageOf, startWorker } from './support/child';
import { rejects, runsBench } from './support/runs';

const bench = runsBench('leases');
afterEach(() => void vi.restoreAllMocks());

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

  test('a driver that slept through the end of its run records nothing in a later one of that id', async () => {
    const pool = await bench.again({ lease: 30 });
    await using other = await open(bench.path);
    const paused = new Int32Array(new SharedArrayBuffer(4));
    const first = await pool.run('r');
    await first.step('a', () => 1);
    const idle = await pool.run('idle');
    Atomics.wait(paused, 0, 0, 100);
    // Both before this handle renews its lease.
    for (const theirs of ['r', 'idle'].map((id) => other.run(id))) await (await theirs).finish();
    await other.forgetRuns({ olderThan: -1000 });
    const second = await pool.run('r');
    await pool.run('idle');
    // The same handle, and the first token again.
    expect([first.fencingToken, second.fencingToken, second.continued]).toEqual([1, 1, false]);
    const fenced = await rejects(
      first.step('b', () => 'of the first'),
      'ERR_HOLDFAST_FENCED',
    );
    expect(fenced.message).toContain('was deleted, and begun anew');
    await rejects(first.checkpoint('of the first'), 'ERR_HOLDFAST_FENCED');
    first.close();
    idle.close();
    expect(await other.claim()).toBeUndefined();
    expect(await second.step('a', () => 'new')).toBe('new');
    await second.finish('mine');
    expect(await bench.kinds()).toEqual(['start', 'step', 'end']);
  });

  test('what a driver says while it is replaced is seen by who replaces it, whose run is claimed should that end too', async () => {
    const lease = 30;
    const pool = await bench.again({ lease });
    const other = await open(bench.path, { lease });
    // Neither lease is renewed.
    const timers = vi.spyOn(globalThis, 'setInterval').mockReturnValue({ unref: () => 0 } as never);
    const mine = await pool.run('r');
    await mine.step('a', () => 1);
    await pause(4 * lease);
    const theirs = Journals.of(other).pool;
    const commit = theirs.commit.bind(theirs);
    let waits: Promise<unknown> | undefined;
    vi.spyOn(theirs, 'commit').mockImplementationOnce(async (batch, options) => {
      waits = rejects(mine.signal('s'), 'ERR_HOLDFAST_CLOSED');
      await expect.poll(() => other.runInfo('r')?.status).toBe('waiting');
      return commit(batch, options);
    });
    const run = await other.run('r');
    timers.mockRestore();
    expect([run.fencingToken, run.continued, waits !== undefined]).toEqual([2, true, true]);
    expect(other.runInfo('r')).toMatchObject({ status: 'running', driven: true });
    await pause(4 * lease);
    expect([...pool.runs({ status: 'runnable' })].map(({ id }) => id)).toEqual(['r']);
    const last = await pool.claim();
    expect(last).toMatchObject({ id: 'r', fencingToken: 3 });
    for (const each of [mine, run, last!]) each.close();
    await waits;
    await other.close();
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
