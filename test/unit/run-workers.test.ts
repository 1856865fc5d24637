/** Runs that are begun for others to drive, claims that wait for them, and runs that fail. */
import { setTimeout as pause } from 'node:timers/promises';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { open, type Run } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { messageOf, startWorker } from './support/child';
import { countLooks, never, rejects, runsBench } from './support/runs';

const bench = runsBench('workers');
afterEach(() => void vi.restoreAllMocks());

/** What was claimed, as it comes. */
function claimed(promise: Promise<Run | undefined>): { run: Run | undefined } {
  const seen: { run: Run | undefined } = { run: undefined };
  // What still waits at the end is told that the pool is closed.
  promise.then(
    (run) => (seen.run = run),
    () => {},
  );
  return seen;
}

describe('begin', () => {
  test('begins a run that whoever claims it drives, with its input, over all lives', async () => {
    const input = { to: 'Oslo', on: new Date(0) };
    const begun = await bench.pool.begin('r', { input });
    expect(begun).toEqual({ begun: true, epoch: bench.pool.stats().epoch, class: 'power' });
    expect(bench.pool.runInfo('r')).toMatchObject({
      ...{ status: 'running', driven: false, runnable: true, parked: false, fencingToken: 0 },
    });
    let run = (await (await bench.again()).claim())!;
    expect(run).toMatchObject({ id: 'r', input, continued: false, fencingToken: 1, attempt: 1 });
    await run.step('a', () => 1);
    run.close();
    run = (await (await bench.again()).claim())!;
    expect(run).toMatchObject({ input, continued: true, fencingToken: 2 });
    expect(await run.step('a', never)).toBe(1);
    expect(await bench.kinds()).toEqual(['start', 'step']);
  });

  test('is one commit', async () => {
    await bench.pool.begin('first', { notBefore: 1e6 }); // makes the keyspaces
    const { epoch } = bench.pool.stats();
    await bench.pool.begin('r', { input: 1, notBefore: 1e6 });
    expect(bench.pool.stats().epoch).toBe(epoch + 1);
  });

  test('again, it changes nothing; with another input it is refused', async () => {
    const { pool } = bench;
    await pool.begin('r', { input: [1] });
    const { epoch } = pool.stats();
    for (const input of [[1], undefined])
      expect(await pool.begin('r', { input })).toEqual({ begun: false, class: 'power' });
    await rejects(pool.begin('r', { input: [2] }), 'ERR_HOLDFAST_DIVERGED');
    const run = (await pool.claim())!;
    expect(await pool.begin('r', { input: [1] })).toMatchObject({ begun: false });
    await run.finish('done');
    expect(await pool.begin('r', { input: [1] })).toMatchObject({ begun: false });
    expect(pool.runInfo('r')).toMatchObject({ status: 'finished' });
    expect(pool.stats().epoch).toBeGreaterThan(epoch);
  });

  test('a hundred times at once it is begun once', async () => {
    const { pool } = bench;
    const other = await open(bench.path);
    const begun = await Promise.all(
      Array.from({ length: 100 }, (_, i) => [pool, other][i % 2]!.begin('r', { input: 7 })),
    );
    expect(begun.filter((one) => one.begun)).toHaveLength(1);
    await other.close();
  });

  test('with a batch: both or neither', async () => {
    const { pool } = bench;
    const orders = pool.keyspace<string, number>('orders');
    const batch = pool.batch().requireAbsent(orders, 'a').put(orders, 'a', 1);
    expect(await pool.begin('r', { batch })).toMatchObject({ begun: true });
    expect([orders.get('a'), batch.length]).toEqual([1, 0]);

    // The run is there: nothing of the batch is done.
    expect(await pool.begin('r', { batch: batch.put(orders, 'a', 2) })).toMatchObject({
      begun: false,
    });
    expect([orders.get('a'), batch.length]).toEqual([1, 0]);

    // A condition of the batch does not hold: there is no run.
    batch.requireAbsent(orders, 'a').put(orders, 'b', 1);
    await rejects(pool.begin('s', { batch }), 'ERR_HOLDFAST_CONFLICT');
    expect([orders.has('b'), pool.runInfo('s'), [...pool.runs()].length]).toEqual([
      ...[false, undefined, 1],
    ]);

    // An input that cannot be stored leaves the batch as it was.
    batch.put(orders, 'c', 3);
    await rejects(pool.begin('s', { input: never, batch }), 'ERR_HOLDFAST_CODEC');
    expect(batch.length).toBe(1);
    await pool.commit(batch);
    expect([orders.get('c'), pool.runInfo('s')]).toEqual([3, undefined]);
  });

  test('not before a moment', async () => {
    const { pool } = bench;
    const moment = new Date(Date.now() + 3_600_000);
    await pool.begin('later', { notBefore: moment });
    await pool.begin('soon', { notBefore: 30 });
    expect(pool.runInfo('later')).toMatchObject({
      ...{ status: 'waiting', runnable: false, parked: false, waits: [{ until: +moment }] },
    });
    const run = await pool.claim({ wait: true });
    expect(run.id).toBe('soon');
    await run.finish();
    expect(await (await bench.again()).claim()).toBeUndefined();
    // Whoever asks for it by its name gets it.
    const early = await bench.pool.run('later');
    expect([early.continued, await early.step('a', () => 1)]).toEqual([false, 1]);
  });

  test('refuses what it cannot use', async () => {
    const { pool } = bench;
    const wrong = (options: object) =>
      rejects(pool.begin('r', options), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    await wrong({ inptu: 1 });
    await wrong({ notBefore: 'tomorrow' });
    await wrong({ notBefore: new Date(NaN) });
    await wrong({ batch: {} });
    await rejects(pool.begin('r', { notBefore: 9e15 }), 'ERR_HOLDFAST_OUT_OF_RANGE');
    await rejects(pool.begin('x'.repeat(513)), 'ERR_HOLDFAST_OUT_OF_RANGE');
    expect([...pool.runs()]).toEqual([]);
  });
});

describe('a claim that waits', () => {
  test('gets what this thread begins, closes, signals, resolves or unparks', async () => {
    const { pool } = bench;
    const next = () => pool.claim({ wait: true, suspendAfter: 0 });
    let waiting = next();
    await pool.begin('r');
    let run = await waiting;
    waiting = next();
    await rejects(run.signal('go'), 'ERR_HOLDFAST_SUSPENDED');
    await pool.signal('r', 'other');
    await pool.signal('r', 'go', 1);
    run = await waiting;
    expect(await run.signal('go')).toBe(1);
    waiting = next();
    run.close();
    run = await waiting;
    await run.tool('t', 1, () => Promise.reject(new Error('lost'))).catch(() => {});
    await run.park('later');
    waiting = next();
    await pool.unpark('r');
    run = await waiting;
    await rejects(run.tool('t', 1, never), 'ERR_HOLDFAST_OUTCOME_UNKNOWN');
    run.close();
    waiting = next();
    await pool.resolve(pool.unknownOutcomes()[0]!.id, { value: 'paid' });
    run = await waiting;
    expect(await run.tool('t', 1, never)).toBe('paid');
  });

  test('gets what another thread begins, and what it drove when it ended', async () => {
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData, { lease: 3_600_000 });
       (async () => {
         await pool.begin('a');
         await pool.run('b');
         parentPort.postMessage(1);
         setInterval(() => {}, 1000);
       })();`,
      bench.path,
    );
    const driven = messageOf(worker);
    const first = bench.pool.claim({ wait: true });
    expect((await first).id).toBe('a');
    const second = bench.pool.claim({ wait: true });
    await driven;
    await worker.terminate();
    expect((await second).id).toBe('b');
  });

  test('gets a run whose moment comes, also where the clock is set forward', async () => {
    const { pool } = bench;
    await pool.begin('r', { notBefore: 3_600_000 });
    const seen = claimed(pool.claim({ wait: true }));
    await pause(20);
    expect(seen.run).toBeUndefined();
    const real = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 7_200_000);
    await expect.poll(() => seen.run?.id).toBe('r');
  });

  test('sets no timer for what is past, which newer Node.js warns of, where looking takes long', async () => {
    const { pool } = bench;
    const real = performance.now.bind(performance);
    let late = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => real() + (late += 1500));
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const seen = claimed(pool.claim({ wait: true }));
    expect(timers.mock.calls.map(([, ms]) => ms! >= 0)).toEqual([true]);
    await pool.begin('r');
    await expect.poll(() => seen.run?.id).toBe('r');
  });

  test('each of many gets one, in the order they came, and none is given twice', async () => {
    const { pool } = bench;
    const order: number[] = [];
    const claims = Array.from({ length: 1000 }, async (_, i) => {
      const run = await pool.claim({ wait: true });
      order.push(i);
      return run.id;
    });
    await Promise.all(Array.from({ length: 1000 }, (_, i) => pool.begin(`r${i}`)));
    expect(new Set(await Promise.all(claims)).size).toBe(1000);
    expect(order.slice(0, 10)).toEqual([...Array(10).keys()]);
  });

  test('takes only runs of its prefix, beside others that wait', async () => {
    const { pool } = bench;
    const [a, b] = ['a/', 'b/'].map((prefix) => claimed(pool.claim({ wait: true, prefix })));
    await pool.begin('c/1');
    await pool.begin('b/1');
    await expect.poll(() => b!.run?.id).toBe('b/1');
    expect(a!.run).toBeUndefined();
    await pool.begin('a/1');
    await expect.poll(() => a!.run?.id).toBe('a/1');
  });

  test('looks at no run again that nothing was told of', async () => {
    const { pool } = bench;
    const other = await open(bench.path);
    const ids = Array.from({ length: 300 }, (_, i) => `r${i}`);
    await Promise.all(ids.map((id) => other.run(id))); // driven there
    const looks = vi.spyOn(Journals.of(pool).drivers, 'get');
    vi.spyOn(performance, 'now').mockReturnValue(performance.now()); // else all once a second
    const seen = [1, 2, 3].map(() => claimed(pool.claim({ wait: true })));
    await pool.begin('s');
    await expect.poll(() => seen[0]!.run?.id).toBe('s');
    await pool.begin('t');
    await expect.poll(() => seen[1]!.run?.id).toBe('t');
    expect(seen[2]!.run).toBeUndefined();
    expect(looks.mock.calls.filter(([id]) => id === 'r7')).toHaveLength(1);
    await other.close();
  });

  test('can be aborted, while it waits and while a run is opened for it', async () => {
    const { pool } = bench;
    const stop = new AbortController();
    const { signal } = stop;
    const warned = vi.fn();
    process.on('warning', warned);
    const claims = Array.from({ length: 20 }, () => pool.claim({ wait: true, signal }));
    const another = claimed(pool.claim({ wait: true }));
    stop.abort('enough');
    for (const claim of claims)
      expect(await rejects(claim, 'ERR_HOLDFAST_ABORTED')).toMatchObject({ cause: 'enough' });
    await rejects(pool.claim({ wait: true, signal }), 'ERR_HOLDFAST_ABORTED');
    await rejects(pool.claim({ signal }), 'ERR_HOLDFAST_ABORTED');
    expect(warned).not.toHaveBeenCalled(); // of many listeners
    process.off('warning', warned);
    await pool.begin('r');
    await expect.poll(() => another.run?.id).toBe('r');
    another.run!.close();

    // One that has not claimed before looks at all at once, so the run is being opened then.
    await using other = await open(bench.path);
    const late = new AbortController();
    const opening = other.claim({ wait: true, signal: late.signal });
    late.abort();
    await rejects(opening, 'ERR_HOLDFAST_ABORTED');
    const run = await pool.claim({ wait: true });
    expect([run.id, run.fencingToken, run.attempt]).toEqual(['r', 3, 1]);
  });

  test('is told when the pool is closed, or was', async () => {
    const pool = await open(bench.path);
    const waiting = [pool.claim({ wait: true }), pool.claim({ wait: true, prefix: 'a' })];
    const ended = waiting.map((claim) => rejects(claim, 'ERR_HOLDFAST_CLOSED'));
    await pool.close();
    await Promise.all(ended);
    await rejects(pool.claim({ wait: true }), 'ERR_HOLDFAST_CLOSED');
  });

  test('of a pool that is only read is refused', async () => {
    await bench.pool.begin('r');
    await using reader = await open(bench.path, { readOnly: true });
    await rejects(reader.claim({ wait: true }), 'ERR_HOLDFAST_READ_ONLY');
  });

  test('goes on past runs that cannot be read, and warns once of each', async () => {
    const { pool } = bench;
    const warnings: string[] = [];
    const note = ({ name, message }: Error): void => {
      if (name === 'HoldfastRunWarning') warnings.push(message);
    };
    process.on('warning', note);
    await pool.begin('damaged');
    await pool.begin('newer');
    const { entries, headers } = Journals.of(pool);
    entries.deleteSync({ run: 'damaged', sequence: 0 });
    headers.putSync('newer', { ...headers.get('newer')!, format: 99 });
    const looks = countLooks(pool);
    const claim = pool.claim({ wait: true });
    await pause(1500);
    expect(looks()).toBeLessThan(100);
    await pool.begin('whole');
    expect((await claim).id).toBe('whole');
    process.off('warning', note);
    expect(warnings).toHaveLength(2);
    expect(warnings.join()).toMatch(
      /"damaged" has a header but no start.*"newer" has journal format 99/s,
    );
  });

  test('keeps the process alive, and the pool closes when it ends all the same', async () => {
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData);
       pool.claim({ wait: true }).then(({ id }) => parentPort.postMessage(id));
       pool.claim({ wait: true, prefix: 'never' }).catch(() => {});`,
      bench.path,
    );
    const message = messageOf<string>(worker);
    await pause(200);
    await bench.pool.begin('r');
    expect(await message).toBe('r');
    await worker.terminate();
    // Its claim is gone with it, and what it drove is free.
    expect((await bench.pool.claim({ wait: true })).id).toBe('r');
  });
});

describe('a run that fails', () => {
  test('is parked until a moment, and counts how often in a row', async () => {
    const { pool } = bench;
    const real = Date.now;
    await pool.begin('r');
    for (let attempt = 1; attempt <= 3; ++attempt) {
      vi.spyOn(Date, 'now').mockImplementation(() => real() + attempt * 3_600_000);
      const run = await pool.claim({ wait: true });
      expect(run.attempt).toBe(attempt);
      await run.park(new Error(`no ${attempt}`), { until: 3_000_000 });
      expect(pool.runInfo('r')).toMatchObject({
        ...{ status: 'waiting', parked: true, runnable: false, driven: false },
        failed: { times: attempt, error: `Error: no ${attempt}` },
      });
      await rejects(run.step('a', never), 'ERR_HOLDFAST_CLOSED');
    }
    expect([...pool.runs({ status: 'parked' })].map(({ id }) => id)).toEqual(['r']);
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 4 * 3_600_000);
    // A result makes it begin to count anew, in the commit of the result.
    const run = await pool.claim({ wait: true });
    const { epoch } = pool.stats();
    await run.step('a', () => 1);
    expect([run.attempt, pool.stats().epoch]).toEqual([1, epoch + 1]);
    expect(pool.runInfo('r')).not.toHaveProperty('failed');
    await run.park();
    expect(pool.runInfo('r')?.failed).toMatchObject({ times: 1 });
    expect(pool.runInfo('r')?.failed).not.toHaveProperty('error');
  });

  test('is parked until somebody says so, whatever comes meanwhile', async () => {
    let { pool } = bench;
    let run = await pool.run('r');
    await run.park('poison');
    await pool.signal('r', 'go', 1);
    pool = await bench.again();
    expect(await pool.claim()).toBeUndefined();
    expect(pool.runInfo('r')).toMatchObject({ parked: true, waits: [] });
    const receipt = await pool.unpark('r');
    expect(receipt?.class).toBe('power');
    expect(pool.runInfo('r')).toMatchObject({ status: 'running', parked: false, runnable: true });
    expect(await pool.unpark('r')).toBeUndefined();
    run = (await pool.claim())!;
    expect([run.attempt, await run.signal('go')]).toEqual([1, 1]);
    expect(await pool.unpark('r')).toBeUndefined();
    await run.finish();
    expect(await pool.unpark('r')).toBeUndefined();
    await rejects(pool.unpark('nobody'), 'ERR_HOLDFAST_NOT_FOUND');
  });

  test('unparked by many and opened at the same time it is driven once', async () => {
    const { pool } = bench;
    for (let i = 0; i < 20; ++i) {
      const run = await pool.run(`r${i}`);
      await run.park();
      const [a, b, opened] = await Promise.all([
        ...[pool.unpark(`r${i}`), pool.unpark(`r${i}`)],
        pool.run(`r${i}`),
      ]);
      expect([a, b].filter(Boolean).length).toBeLessThan(2);
      expect(pool.runInfo(`r${i}`)).toMatchObject({ status: 'running', driven: true });
      expect(await pool.claim()).toBeUndefined();
      await (opened as Run).finish();
    }
  });

  test('counts deaths of its driver, but for those while it only waited', async () => {
    let { pool } = bench;
    await pool.run('busy');
    const quiet = await pool.run('quiet');
    void quiet.signal('go').catch(() => {});
    await expect.poll(() => pool.runInfo('quiet')?.status).toBe('waiting');
    pool = await bench.again();
    expect((await pool.run('quiet')).attempt).toBe(1);
    expect((await pool.run('busy')).attempt).toBe(2);
    pool = await bench.again();
    const run = await pool.run('busy');
    expect(run.attempt).toBe(3);
    run.close(); // says nothing of a failure
    expect((await pool.run('busy')).attempt).toBe(3);
    expect((await pool.run('quiet')).attempt).toBe(2);
  });

  test('is not suspended with less than it had, and ends with nothing of it', async () => {
    const { pool } = bench;
    let run = await pool.run('r', { suspendAfter: 0 });
    await run.park('no', { until: -1 });
    run = (await pool.claim({ suspendAfter: 0 }))!;
    await rejects(run.signal('go'), 'ERR_HOLDFAST_SUSPENDED');
    expect(pool.runInfo('r')).toMatchObject({ parked: false, failed: { times: 1, error: 'no' } });
    await pool.signal('r', 'go');
    run = (await pool.claim())!;
    expect(run.attempt).toBe(2);
    await run.signal('go');
    expect(run.attempt).toBe(1);
    await run.finish();
    expect(pool.runInfo('r')).not.toHaveProperty('failed');
  });

  test('refuses what it cannot use', async () => {
    const run = await bench.pool.run('r');
    await rejects(run.park('no', { until: NaN }), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    await rejects(run.park('no', { untli: 1 } as object), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    await run.step('a', () => 1);
    await run.finish();
    await rejects(run.park('no'), 'ERR_HOLDFAST_RUN_FINISHED');
  });
});
