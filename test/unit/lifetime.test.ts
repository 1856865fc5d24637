/**
 * Beginnings and ends: close in every state, several handles, worker threads, processes that end in
 * the middle.
 */
import fs from 'node:fs';
import { expect, test } from 'vitest';

import { open, openSync } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { residentBytes } from '../helpers/memory';
import { messageOf, runChild, startWorker } from './support/child';
import { codeOf, onEachMedium } from './support/media';

onEachMedium('lifetime', (place) => {
  const openHere = (where: string): Holdfast => openSync(where, place.options);
  const args = (where: string): string[] => [where, JSON.stringify(place.options)];
  const openThere =
    'const pool = holdfast.openSync(process.argv[2], JSON.parse(process.argv[3]));\n';
  const openInWorker = 'const pool = holdfast.openSync(workerData.path, workerData.options);\n';
  const forWorker = (where: string) => ({ path: where, options: place.options });

  test('every method after close', async () => {
    const pool = openHere(place.path());
    const space = pool.keyspace<string, unknown>('a');
    space.putSync('k', 1);
    const ghost = pool.keyspace('ghost');
    const snapshot = pool.snapshot();
    const batch = pool.batch().put(space, 'k', 1);
    await pool.close();
    const uses: (() => unknown)[] = [
      () => space.get('k'),
      () => space.getMany(['k', 'l']),
      () => space.has('k'),
      () => space.count(),
      () => space.range(),
      () => space.keys(),
      () => space.values(),
      () => space.put('k', 1),
      () => space.put('k', 1, { signal: new AbortController().signal }),
      () => space.putSync('k', 1),
      () => space.delete('k'),
      () => space.deleteSync('k'),
      () => space.get('k', { snapshot }),
      () => space.getInto('k', new Uint8Array(8)),
      () => ghost.get('k'),
      () => ghost.getInto('k', new Uint8Array(8)),
      () => ghost.putSync('k', 1),
      () => pool.keyspace('b'),
      () => pool.keyspaces(),
      () => pool.batch(),
      () => pool.commit(batch),
      () => pool.commitSync(batch),
      () => pool.snapshot(),
      () => pool.settled(),
      () => pool.stats(),
      () => pool.check(),
      () => pool.fold(),
      () => pool.compact(),
      () => pool.run('r'),
    ];
    for (const use of uses) expect(await codeOf(use), `${use}`).toBe('ERR_HOLDFAST_CLOSED');
    expect(snapshot.closed).toBe(true);
    snapshot.close();
    await pool.close();
    pool.closeSync();
    pool[Symbol.dispose]();
    await pool[Symbol.asyncDispose]();
  });

  test('commits on their way when the pool is closed complete; later ones are refused', async () => {
    for (const sync of [true, false]) {
      const where = place.path();
      const pool = openHere(where);
      const space = pool.keyspace<string, number>('a');
      const before = Array.from({ length: 100 }, (_, i) => space.put(`${i}`, i));
      const held = space.put('held', 1, { signal: new AbortController().signal });
      const closing = sync ? pool.closeSync() : pool.close();
      const after = codeOf(() => space.put('late', 1));
      await closing;
      const receipts = await Promise.all([...before, held]);
      expect(new Set(receipts.map((r) => r.epoch)).size).toBe(101);
      expect(await after).toBe('ERR_HOLDFAST_CLOSED');
      const again = openHere(where);
      expect(again.keyspace('a').count()).toBe(101);
      again.closeSync();
    }
  });

  test('close in the middle of everything ends everything', async () => {
    const pool = openHere(place.path());
    const space = pool.keyspace<string, number>('a');
    for (let i = 0; i < 2000; ++i) space.putSync(`${i}`, i, { durability: 'eventual' });
    const range = space.range();
    range.next();
    const under = [pool.check(), pool.fold(), pool.compact(), pool.settled(), space.put('k', 1)];
    const outcomes = Promise.allSettled(under);
    await pool.close();
    for (const outcome of await outcomes) {
      if (outcome.status === 'rejected') {
        expect(['ERR_HOLDFAST_CLOSED', 'ERR_HOLDFAST_ABORTED']).toContain(outcome.reason.code);
      }
    }
    expect(await codeOf(() => range.next())).toBe('ERR_HOLDFAST_CLOSED');
  });

  test('two handles in one environment are one pool', async () => {
    const where = place.path();
    const first = openHere(where);
    const second = await open(where, place.options);
    first.keyspace('a').putSync('k', 1);
    expect(second.keyspace('a').get('k')).toBe(1);
    expect(await codeOf(() => openSync(where, { create: 'exclusive' }))).toBe(
      'ERR_HOLDFAST_EXISTS',
    );
    expect(await codeOf(() => openSync(where, { foldOperations: 7 }))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    const other = place.medium === 'file' ? 'pmem' : 'file';
    expect(await codeOf(() => openSync(where, { medium: other }))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
    openSync(where).closeSync();
    const late = second.keyspace('a').put('late', 1);
    await first.close();
    await late;
    expect(second.keyspace('a').get('k')).toBe(1);
    second.closeSync();
    // Really let go: another process may have it.
    const { stdout } = await runChild(`${openThere} console.log(pool.keyspace('a').count());`, {
      args: args(where),
    });
    expect(stdout.trim()).toBe('2');
  });

  test('many opens at once are one pool', async () => {
    const where = place.path();
    const pools = await Promise.all(Array.from({ length: 8 }, () => open(where, place.options)));
    await Promise.all(pools.map((pool, i) => pool.keyspace('a').put(`${i}`, i)));
    expect(pools[0]!.keyspace('a').count()).toBe(8);
    await Promise.all(pools.map((pool) => pool.close()));
    const again = openHere(where);
    expect(again.keyspace('a').count()).toBe(8);
    again.closeSync();
  });

  test('an opening that is aborted lets the pool go', async () => {
    const where = place.path();
    const controller = new AbortController();
    const opening = codeOf(() => open(where, { ...place.options, signal: controller.signal }));
    controller.abort();
    expect(await opening).toBe('ERR_HOLDFAST_ABORTED');
    openHere(where).closeSync();
  });

  test('another process is refused by the pid of the owner', async () => {
    const where = place.path();
    const pool = openHere(where);
    const source =
      'try { holdfast.openSync(process.argv[2]); } catch (e) { console.log(e.code, e.message); }';
    const { stdout } = await runChild(source, { args: [where] });
    expect(stdout).toContain('ERR_HOLDFAST_LOCKED');
    expect(stdout).toContain(String(process.pid));
    pool.closeSync();
  });

  test('worker threads share one pool, keyspaces and all', async () => {
    const where = place.path();
    const pool = openHere(where);
    const source = `${openInWorker}
      (async () => {
        const space = pool.keyspace('made by ' + workerData.id % 2);
        for (let i = 0; i < 50; ++i) await space.put(workerData.id + ' ' + i, i);
        const seen = space.get(workerData.id + ' 49');
        await pool.close();
        parentPort.postMessage(seen);
      })();`;
    const workers = [0, 1, 2, 3].map((id) => startWorker(source, { ...forWorker(where), id }));
    expect(await Promise.all(workers.map((worker) => messageOf(worker)))).toEqual([49, 49, 49, 49]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(pool.keyspaces()).toEqual(['made by 0', 'made by 1']);
    expect(pool.keyspace('made by 0').count() + pool.keyspace('made by 1').count()).toBe(200);
    pool.closeSync();
  });

  test('a worker that ends during its commits takes nothing with it', async () => {
    const where = place.path();
    const pool = openHere(where);
    const source = `${openInWorker}
      const space = pool.keyspace('a');
      const acknowledged = workerData.acknowledged;
      const lane = async (lane) => {
        for (let i = 0; ; ++i) {
          await space.put(lane + ' ' + i, i);
          Atomics.store(acknowledged, lane, i + 1);
        }
      };
      for (let i = 0; i < 16; ++i) lane(i);
      pool.check().catch(() => {});
      parentPort.postMessage('going');`;
    for (let round = 0; round < 6; ++round) {
      const acknowledged = new Int32Array(new SharedArrayBuffer(64));
      const worker = startWorker(source, { ...forWorker(where), acknowledged });
      await messageOf(worker);
      await new Promise((resolve) => setTimeout(resolve, 10 + round * 7));
      // On a busy machine none may have come to a commit: the last one is given its time.
      while (round === 5 && acknowledged.every((count) => count === 0))
        await new Promise((resolve) => setTimeout(resolve, 5));
      await worker.terminate();
      const space = pool.keyspace<string, number>('a');
      let kept = 0;
      acknowledged.forEach((count, lane) => {
        for (let i = 0; i < count; ++i, ++kept) expect(space.get(`${lane} ${i}`)).toBe(i);
      });
      if (round === 5) expect(kept).toBeGreaterThan(0);
    }
    expect(await pool.check()).toMatchObject({ ok: true });
    pool.closeSync();
  });

  // In a process of its own: what a worker does wrong while it is terminated ends the process.
  test('workers terminated at any moment of any work', async () => {
    const source = `
      const { Worker } = require('node:worker_threads');
      const [where, options] = process.argv.slice(2);
      const pool = holdfast.openSync(where, JSON.parse(options));
      const body = \`
        const holdfast = require(\${JSON.stringify(require.resolve(holdfastPath))});
        const { workerData } = require('node:worker_threads');
        const pool = holdfast.openSync(workerData.where, workerData.options);
        const space = pool.keyspace('a');
        const lane = async (lane) => { for (let i = 0; ; ++i) await space.put(lane + ' ' + i % 100, i); };
        for (let i = 0; i < 8; ++i) lane(i);
        const busy = async (work) => { for (;;) await work(); };
        busy(() => pool.check({ onProgress() {} }));
        busy(() => pool.settled());
        busy(() => holdfast.open(workerData.where).then((p) => p.close()));
        busy(async () => { for (const _ of space.range()) await 1; });
        busy(() => space.put('', 1).catch(() => {}));\`;
      (async () => {
        for (let round = 0; round < 30; ++round) {
          const worker = new Worker(body, { eval: true, workerData: { where, options: JSON.parse(options) } });
          await new Promise((resolve) => worker.once('online', resolve));
          await new Promise((resolve) => setTimeout(resolve, 20 + round * 3));
          // On a busy machine none may have come to a commit: the last one is given its time.
          while (round === 29 && pool.keyspace('a').count() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
          await worker.terminate();
        }
        console.log((await pool.check()).ok, pool.keyspace('a').count() > 0);
      })();`;
    const { code, signal, stdout, stderr } = await runChild(source, { args: args(place.path()) });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(stdout.trim()).toBe('true true');
  });

  // The worker's end waits for what it began: a check that nobody will hear of must not read all of
  // the log first.
  test('the checks of a worker that is terminated end early', async () => {
    const source = `
      const fs = require('node:fs');
      const { Worker } = require('node:worker_threads');
      const [where, options] = process.argv.slice(2);
      const pool = holdfast.openSync(where, JSON.parse(options));
      const space = pool.keyspace('a', { value: 'bytes' });
      const bytesRead = () => Number(/rchar: (\\d+)/.exec(fs.readFileSync('/proc/self/io', 'utf8'))[1]);
      const body = \`
        const holdfast = require(\${JSON.stringify(require.resolve(holdfastPath))});
        const { parentPort, workerData } = require('node:worker_threads');
        const pool = holdfast.openSync(workerData.where, workerData.options);
        for (let i = 0; i < workerData.checks; ++i) pool.check({ onProgress: () => parentPort.postMessage(i) });\`;
      const checks = 12;
      (async () => {
        for (let i = 0; i < 150; ++i) {
          const batch = pool.batch();
          for (let j = 0; j < 1000; ++j) batch.put(space, String(i * 1000 + j), new Uint8Array(50));
          pool.commitSync(batch);
        }
        await pool.fold();
        const before = bytesRead();
        await pool.check();
        const whole = bytesRead() - before;
        const worker = new Worker(body, { eval: true, workerData: { where, options: JSON.parse(options), checks } });
        await new Promise((resolve) => worker.once('message', resolve));
        const begun = bytesRead();
        await worker.terminate();
        console.log(whole > 0, bytesRead() - begun < checks * whole / 2);
        await pool.close();
      })();`;
    const { code, signal, stdout, stderr } = await runChild(source, { args: args(place.path()) });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(stdout.trim()).toBe('true true');
  });

  test('the compaction of a worker that is terminated ends early, and can be gone on with', async () => {
    const source = `
      const { Worker } = require('node:worker_threads');
      const [where] = process.argv.slice(2);
      const pool = holdfast.openSync(where, { medium: 'file' });
      const space = pool.keyspace('a', { value: 'bytes' });
      const body = \`
        const holdfast = require(\${JSON.stringify(require.resolve(holdfastPath))});
        holdfast.openSync(require('node:worker_threads').workerData).compact();\`;
      const moved = () => pool.stats().bytesMoved;
      (async () => {
        for (let round = 0; round < 2; ++round)
          for (let i = 0; i < 60; ++i) {
            const batch = pool.batch();
            for (let j = 0; j < 400; ++j)
              if (round === 0 || j % 2 === 0) batch.put(space, String(i * 400 + j), Buffer.alloc(4000, round));
            pool.commitSync(batch);
          }
        const worker = new Worker(body, { eval: true, workerData: where });
        while (moved() === 0) await new Promise(setImmediate);
        await worker.terminate();
        const before = moved();
        await pool.compact();
        console.log(moved() - before > 4_000_000, (await pool.check()).ok, space.count());
        await pool.close();
      })();`;
    const { stdout, stderr } = await runChild(source, { args: [place.path()] });
    expect([stdout.trim(), stderr]).toEqual(['true true 24000', '']);
  });

  test('process.exit in a worker, and workers that never close', async () => {
    const where = place.path();
    const ends = ['process.exit(0)', 'parentPort.postMessage(1)', 'throw new Error("on purpose")'];
    for (const end of ends) {
      const source = `${openInWorker} pool.keyspace('a').put('k', 1); pool.keyspace('a').range(); pool.snapshot(); ${end};`;
      const worker = startWorker(source, forWorker(where));
      worker.on('error', () => {});
      await new Promise((resolve) => worker.once('exit', resolve));
      // The last handle of this process ended with the worker, so another process may have the
      // pool.
      const { stdout, stderr } = await runChild(
        `${openThere} console.log(pool.keyspace('a').get('k'));`,
        { args: args(where) },
      );
      expect(stdout.trim(), `${end} ${stderr}`).toBe('1');
    }
  });

  test('an idle pool does not keep the process alive; commits on their way do', async () => {
    const where = place.path();
    const source = `${openThere}
      const space = pool.keyspace('a');
      space.put('k', 1).then(() => Promise.all([space.put('l', 2), space.put('m', 3)])).then(() => console.log('all'));`;
    const { code, signal, stdout, stderr } = await runChild(source, { args: args(where) });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(stdout.trim()).toBe('all');
    const pool = openHere(where);
    expect(pool.keyspace('a').count()).toBe(3);
    pool.closeSync();
  });

  test('process.exit with commits waiting loses none of them', async () => {
    const where = place.path();
    const source = `${openThere}
      const space = pool.keyspace('a');
      for (let i = 0; i < 500; ++i) space.putSync('e' + i, i, { durability: 'eventual' });
      for (let i = 0; i < 50; ++i) space.put('d' + i, i);
      space.put('held', 1, { signal: new AbortController().signal });
      pool.check().catch(() => {});
      process.exit(3);`;
    const { code, signal, stderr } = await runChild(source, { args: args(where) });
    expect({ code, signal, stderr }).toEqual({ code: 3, signal: null, stderr: '' });
    const pool = openHere(where);
    expect(pool.keyspace('a').count()).toBe(551);
    pool.closeSync();
  });

  test('what listens to the exit can still commit and read, whenever it was added', async () => {
    const where = place.path();
    const child = `${openThere}
      const space = pool.keyspace('a');
      space.put('waits', 1);
      process.on('exit', () => space.put('later', 1));
      setImmediate(() => {
        process.on('exit', (code) => space.putSync('last words', [code, space.get('waits')]));
        setImmediate(() => process.exit(3));
      });`;
    expect((await runChild(child, { args: args(where) })).code).toBe(3);
    const pool = openHere(where);
    expect([...pool.keyspace('a').range()]).toEqual([
      ['last words', [3, 1]],
      ['later', 1],
      ['waits', 1],
    ]);
    await pool.close();
  });

  test('who else wants to be the last to listen keeps no turn from its end', async () => {
    const where = place.path();
    const child = `${openThere}
      const last = () => pool.closed || process.exit(4);
      process.on('exit', last).on('newListener', (event, listener) => {
        if (event === 'exit' && listener !== last)
          process.nextTick(() => process.off('exit', last).on('exit', last));
      });
      process.on('exit', () => {});
      setImmediate(() => process.exit(3));`;
    expect((await runChild(child, { args: args(where) })).code).toBe(3);
  });

  test('process.exit with a pool that has failed completes the commits of the others', async () => {
    const [failed, where] = [place.path(), place.path()];
    const source = `const first = holdfast.openSync(process.argv[4], { medium: 'file' });
      ${openThere}
      first.keyspace('a').putSync('k', 1);
      require('fs').rmSync(process.argv[4]);
      const space = pool.keyspace('a');
      for (let i = 0; i < 500; ++i) space.putSync('e' + i, i, { durability: 'eventual' });
      for (let i = 0; i < 50; ++i) space.put('d' + i, i);
      process.exit(3);`;
    const { stderr } = await runChild(source, { args: [...args(where), failed] });
    expect(stderr).toContain('ERR_HOLDFAST_IO'); // what became of the first is not passed over
    const pool = openHere(where);
    expect(pool.keyspace('a').count()).toBe(550);
    pool.closeSync();
  });

  test('an uncaught error ends the process, not the data', async () => {
    const where = place.path();
    const source = `${openThere} pool.keyspace('a').putSync('k', 1, { durability: 'eventual' }); throw new Error('on purpose');`;
    const { code, stderr } = await runChild(source, { args: args(where) });
    expect(code).toBe(1);
    expect(stderr).toContain('on purpose');
    const pool = openHere(where);
    expect(pool.keyspace('a').get('k')).toBe(1);
    pool.closeSync();
  });

  test('after SIGKILL there is no stale lock, and every durable commit', async () => {
    const where = place.path();
    const source = `${openThere}
      const space = pool.keyspace('a');
      for (let i = 0; i < 200; ++i) space.putSync('' + i, i);
      process.kill(process.pid, 'SIGKILL');`;
    expect((await runChild(source, { args: args(where) })).signal).toBe('SIGKILL');
    const pool = openHere(where);
    expect(pool.keyspace('a').count()).toBe(200);
    pool.closeSync();
  });

  test('opened and closed again and again keeps nothing', async () => {
    const where = place.path();
    const handles: Holdfast[] = [];
    const around = async (times: number): Promise<void> => {
      for (let i = 0; i < times; ++i) {
        const pool = openHere(where);
        pool.keyspace('a').putSync('k', i, { durability: 'eventual' });
        pool.snapshot();
        pool.keyspace('a').range().next();
        const reader = openSync(where, { readOnly: true });
        reader.snapshot();
        reader.keyspace('a').range().next();
        if (i % 3 === 0) reader.closeSync();
        else await reader.close();
        if (i % 2 === 0) pool.closeSync();
        else await pool.close();
        handles.push(pool, reader); // not collected: closing is enough
      }
    };
    // What this process has of the pool's file: descriptors and mappings.
    const held = (): string[] =>
      [
        ...fs.readdirSync('/proc/self/fd').map((fd) => {
          try {
            return fs.readlinkSync(`/proc/self/fd/${fd}`);
          } catch {
            return '';
          }
        }),
        ...fs.readFileSync('/proc/self/maps', 'utf8').split('\n'),
      ].filter((line) => line.includes(where));
    await around(20);
    expect(held()).toEqual([]);
    const before = await residentBytes();
    await around(60);
    expect(held()).toEqual([]);
    expect((await residentBytes()) - before).toBeLessThan(40e6);
  });
});
