/** Very many runs that are forgotten, or very long ones: side by side, and cut off by crashes. */
import { describe, expect, test } from 'vitest';

import { open, type Holdfast, type Run } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { messageOf, runChild, startWorker } from './support/child';
import { ids, left, none, now } from './support/forgetting';
import { all, countLooks, never, runsBench } from './support/runs';

const bench = runsBench('forget-many');

describe('very much of it', () => {
  /** Runs that have finished, in commits of many. */
  const finished = async (pool: Holdfast, count: number): Promise<void> => {
    const journals = Journals.of(pool);
    const at = Date.now();
    for (let i = 0; i < count;) {
      const batch = pool.batch();
      for (const end = Math.min(count, i + 200); i < end; ++i) {
        const id = `r${i}`;
        const entry = (sequence: number, rest: object) =>
          batch.put(journals.entries, { run: id, sequence }, { at, ...rest } as never);
        entry(0, { kind: 'start', uid: String(i).padStart(32, '0'), input: i });
        entry(1, { kind: 'step', name: 'a', occurrence: 1, ms: 1, result: 'x'.repeat(100) });
        entry(2, { kind: 'end', ms: 1, result: i });
        batch.put(journals.drivers, id, { token: 1, holder: '' });
        batch.put(journals.headers, id, { format: 2, status: 'finished', began: at, ended: at });
        journals.hasEnded(batch, id, at);
      }
      if (i <= 200) journals.marksEnded(batch);
      await pool.commit(batch);
    }
  };

  test('finds what an earlier build has ended with a part of all runs a call', async () => {
    await finished(bench.pool, 9000);
    const unlist = async (...ids: string[]): Promise<void> => {
      const { ended } = Journals.of(bench.pool);
      for (const key of [...ended.keys()]) if (ids.includes(key.run)) await ended.delete(key);
    };
    const listedAfter = async (calls: number): Promise<number[]> => {
      const counts: number[] = [];
      for (let i = 0; i < calls; ++i) {
        const looks = countLooks(bench.pool);
        await bench.pool.forgetRuns({ olderThan: 3_600_000 });
        expect(looks()).toBeLessThanOrEqual(4096);
        counts.push(Journals.of(bench.pool).ended.count());
      }
      return counts;
    };
    // One of each part.
    await unlist('r0', 'r5', 'r8999');
    await bench.again();
    expect(await listedAfter(4)).toEqual([8998, 8999, 9000, 9000]);
    // And one of a part that was looked at already.
    await bench.again();
    await listedAfter(1);
    await unlist('r0');
    await bench.again();
    expect(await listedAfter(4)).toEqual([8999, 8999, 9000, 9000]);
  });

  test('leaves the event loop its turns, and makes few commits', async () => {
    const { pool } = bench;
    const count = Number(process.env.HOLDFAST_FORGET_RUNS ?? 5000);
    await finished(pool, count);
    let turns = 0;
    let most = 0;
    let last = performance.now();
    let going = true;
    const turn = (): void => {
      turns += 1;
      most = Math.max(most, performance.now() - last);
      last = performance.now();
      if (going) setImmediate(turn);
    };
    turn();
    const begun = performance.now();
    const before = pool.stats().commits;
    expect(await pool.forgetRuns(now())).toEqual({ removed: count, kept: none });
    going = false;
    if (process.env.HOLDFAST_FORGET_RUNS !== undefined)
      console.log(
        `${count} runs: ${Math.round(performance.now() - begun)} ms, ${turns} turns, the longest ${most.toFixed(1)} ms`,
      );
    expect(turns).toBeGreaterThan(count / 256);
    expect(pool.stats().commits - before).toBeLessThan(count / 50);
    expect([left(bench.pool), ids(bench.pool)]).toEqual([{}, []]);
  });

  test('is forgotten by threads side by side, each run by one', async () => {
    const { pool } = bench;
    await finished(pool, 4000);
    const other = await open(bench.path);
    const worker = startWorker(
      `const pool = holdfast.openSync(workerData);
       pool.forgetRuns({ olderThan: -1000 }).then(async ({ removed }) => {
         await pool.close();
         parentPort.postMessage(removed);
       });`,
      bench.path,
    );
    const counts = await Promise.all([
      messageOf<number>(worker),
      ...[pool, pool, other].map((each) => each.forgetRuns(now()).then(({ removed }) => removed)),
    ]);
    await other.close();
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(4000);
    expect([left(bench.pool), ids(bench.pool)]).toEqual([{}, []]);
  });

  /** Makes the pool's commits end, as a crash would, after the first. */
  const crashAfterOne = (pool: Holdfast): void => {
    const commit = pool.commit.bind(pool);
    let made = 0;
    pool.commit = (...given) => {
      if (made++ >= 1) return Promise.reject(new Error('crash'));
      return commit(...given);
    };
  };

  /** Forgets all that have ended, one commit a life, and looks at what each crash left. */
  const forgetThroughCrashes = async (
    look: (left: Holdfast) => Promise<void> | void,
  ): Promise<number> => {
    for (let crashes = 0, pool = bench.pool; ; ++crashes, pool = await bench.again()) {
      crashAfterOne(pool);
      const forgetting = pool.forgetRuns(now()).catch((error: Error) => error.message);
      if ((await forgetting) !== 'crash') return crashes;
      await look(await bench.again());
    }
  };

  test('of one run goes in several commits; after each that is the last it is whole or not driven', async () => {
    const long = async (pool: Holdfast, id: string): Promise<void> => {
      const run = await pool.run(id);
      const child = await run.child('child');
      await child.checkpoint(1);
      for (let i = 0; i < 1500; ++i) await child.step('s', () => i, { durability: 'eventual' });
      await child.finish('of the child');
      for (let i = 0; i < 1500; ++i) await run.step('s', () => i, { durability: 'eventual' });
      for (let i = 0; i < 1200; ++i) await run.checkpoint({ i });
      await run.finish('of the run');
    };
    await long(bench.pool, 'r');
    const crashes = await forgetThroughCrashes(async (again) => {
      expect((await again.check()).damages).toEqual([]);
      expect([...again.runs({ status: 'runnable' })]).toEqual([]);
      expect(await again.claim()).toBeUndefined();
      // A parent is there as long as a child of it.
      expect(again.runInfo('r')?.status).toBe('finished');
      expect((await again.run('r')).result).toBe('of the run');
      if (again.runInfo('r/child'))
        expect((await again.run('r/child')).result).toBe('of the child');
      // What can be forked recalls all.
      for (const { id } of [...again.history('r')].slice(0, 1)) {
        expect(await all(again.journal('r'))).toHaveLength(1500 + 1200 + 3);
        expect(again.at(id)).toEqual({ i: expect.any(Number) });
      }
    });
    expect(crashes).toBeGreaterThan(2);
    expect([left(bench.pool), ids(bench.pool)]).toEqual([{}, []]);
  });

  test('is forgotten by processes that are killed in the middle of their commits', async () => {
    let { pool } = bench;
    await finished(pool, 600);
    const alive = await pool.run('alive');
    const key = await alive.tool('pay', 1, (_args, { idempotencyKey }) => idempotencyKey);
    const { checkpoint } = await alive.checkpoint({ list: Array.from({ length: 300 }, String) });
    await alive.finish();
    for (const id of ['f', 'g', 'h']) {
      const fork = await forked(pool, checkpoint, id);
      if (id !== 'h') await fork.finish();
    }
    const long = await pool.run('long');
    for (let i = 0; i < 1500; ++i) await long.step('s', () => i, { durability: 'eventual' });
    for (let i = 0; i < 1200; ++i) await long.checkpoint({ i });
    await long.finish('of the long one');
    let removed = 0;
    let kills = 0;
    for (let last = false; !last; ++kills) {
      await bench.pool.close();
      const { signal, stdout, stderr } = await runChild(
        `const pool = holdfast.openSync(process.argv[2]);
         const commit = pool.commit.bind(pool);
         let left = Number(process.argv[3]);
         pool.commit = (...given) => {
           const made = commit(...given);
           if (left-- === 0) process.kill(process.pid, 'SIGKILL');
           return made;
         };
         pool.forgetRuns({ olderThan: -1000 }).then(async ({ removed }) => {
           await pool.close();
           console.log(removed);
         });`,
        { args: [bench.path, String(kills % 3)] },
      );
      expect(stderr).toBe('');
      last = signal === null;
      removed += Number(stdout);
      pool = await bench.again();
      expect((await pool.check()).damages).toEqual([]);
      for (const { id, status } of pool.runs()) {
        if (id === 'long') expect((await pool.run(id)).result).toBe('of the long one');
        else if (status === 'finished') expect(await pool.run(id)).toMatchObject({ status });
      }
    }
    expect(kills).toBeGreaterThan(4);
    expect(removed).toBeLessThan(604);
    expect(ids(pool)).toEqual(['alive', 'h']);
    const fork = await pool.run('h');
    expect([await fork.tool('pay', 1, never), fork.state]).toEqual([key, { of: 'h' }]);
    await fork.finish();
    expect(await pool.forgetRuns(now())).toEqual({ removed: 2, kept: none });
    expect(left(pool)).toEqual({});
  });

  test('of runs that share checkpoints, cut off after each commit', async () => {
    const { pool } = bench;
    const run = await pool.run('r');
    const { checkpoint } = await run.checkpoint({ list: Array.from({ length: 300 }, String) });
    for (const id of ['f', 'g']) await (await forked(pool, checkpoint, id)).finish();
    const crashes = await forgetThroughCrashes((again) => {
      expect(again.at(checkpoint)).toMatchObject({ list: { length: 300 } });
      expect(again.runInfo('r')?.status).toBe('running');
    });
    expect(crashes).toBeGreaterThan(1);
    const again = await bench.again();
    expect(ids(again)).toEqual(['r']);
    expect(left(again)['holdfast.checkpoint-members']).toBe(1);
    await (await again.run('r')).finish();
    await again.forgetRuns(now());
    expect(left(again)).toEqual({});
  });
});

async function forked(pool: Holdfast, checkpoint: string, id: string): Promise<Run> {
  await pool.fork(checkpoint, id);
  const run = await pool.run(id);
  await run.checkpoint({ of: id });
  return run;
}
