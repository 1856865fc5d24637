/**
 * Copies of the package in one thread share the addon: a test runner loads it anew for each file,
 * or in a context of its own. Two that were installed each have their own, and share libpmemobj.
 */
import { cpSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';
import { runChild } from './support/child';
import { onEachMedium } from './support/media';

const folder = scratchFolder('copies');

/**
 * Tells of what a copy does; each commit is one of several, so that its end is heard of from the
 * thread that makes it.
 */
const work = `async function work(copy, path) {
  const pool = await copy.open(path, { medium: 'file' });
  const notes = pool.keyspace('notes');
  await Promise.all([1, 2, 3].map((i) => notes.put('n' + i, new Date(i))));
  const refused = await pool.commit(pool.batch().requireAbsent(notes, 'n1')).catch((error) => error);
  const run = await pool.run('r');
  for (const i of [1, 2]) await run.checkpoint({ at: new Date(i) });
  await run.prune({ olderThan: new Date(Date.now() + 1000) });
  const bytes = pool.keyspace('bytes', { value: 'bytes' });
  await bytes.put('a', Buffer.from(path.slice(-1)));
  const held = bytes.get('a');
  const tell = () => [
    notes.get('n3').getTime(), refused.code, refused instanceof copy.HoldfastError, run.state.at.getTime(), String.fromCharCode(held[0]),
  ];
  return { pool, tell };
}
`;
const expected = (name: string): unknown[] => [3, 'ERR_HOLDFAST_CONFLICT', true, 2, name];

test('one loaded after the other: both go on', async () => {
  const source = `${work}
    for (const name of Object.keys(require.cache)) if (!name.endsWith('.node')) delete require.cache[name];
    const other = require(holdfastPath);
    (async () => {
      const done = [];
      for (const [i, copy] of [holdfast, other, holdfast].entries()) done.push(await work(copy, process.argv[2] + i));
      console.log(JSON.stringify([holdfast !== other, ...done.map(({ tell }) => tell())]));
      for (const { pool } of done) await pool.close();
    })();`;
  const { code, stdout, stderr } = await runChild(source, { args: [join(folder, 'two')] });
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual([true, expected('0'), expected('1'), expected('2')]);
});

const loader = readFileSync(join(import.meta.dirname, 'support', 'load-in-context.cjs'), 'utf8');

test('in a context of its own, with the Date, Map and Error of that', async () => {
  const source = `${loader}
    const { runInContext } = require('node:vm');
    const { context, load } = contextWith({});
    const copy = load(holdfastPath);
    const work = runInContext(${JSON.stringify(`(${work.trim()})`)}, context);
    work(copy, process.argv[2]).then(({ pool, tell }) => {
      console.log(JSON.stringify([runInContext('Date', context) !== Date, tell()]));
      return pool.close();
    });`;
  const { code, stdout, stderr } = await runChild(source, { args: [join(folder, 'context')] });
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual([true, expected('t')]);
});

/** Installs the package once more; returns its module. */
function install(name: string): string {
  const other = join(folder, name);
  const root = join(import.meta.dirname, '../..');
  for (const part of ['dist', 'build/Release', 'package.json']) {
    cpSync(join(root, part), join(other, part), {
      recursive: true,
      filter: (file) => !file.includes('obj.target'),
    });
  }
  symlinkSync(join(root, 'node_modules'), join(other, 'node_modules'));
  return join(other, 'dist/index.js');
}

onEachMedium('installed twice', (place) => {
  test('pools of both are open at once, and close in any order', async () => {
    const source = `
      const other = require(process.argv[2]);
      const open = (copy, name) => copy.openSync(process.argv[3] + name, ${JSON.stringify(place.options)});
      const first = open(holdfast, '1'), second = open(other, '2');
      for (const pool of [first, second]) pool.keyspace('notes').putSync('a', new Date(1));
      first.closeSync();
      const third = open(holdfast, '3');
      second.closeSync();
      const again = open(other, '1');
      console.log(JSON.stringify([holdfast !== other, third.keyspace('notes').get('a') ?? null, again.keyspace('notes').get('a').getTime()]));
      third.closeSync();
      again.closeSync();`;
    const { code, stdout, stderr } = await runChild(source, {
      args: [install(`installed-${place.medium}`), place.path()],
    });
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual([true, null, 1]);
  });

  test('a pool that the other has open is refused, and says that it may be the other', async () => {
    const source = `
      const other = require(process.argv[2]);
      const first = holdfast.openSync(process.argv[3], ${JSON.stringify(place.options)});
      try {
        other.openSync(process.argv[3], ${JSON.stringify(place.options)});
      } catch (error) {
        console.log(error.message);
      }
      first.closeSync();`;
    const { stdout } = await runChild(source, {
      args: [install(`refused-${place.medium}`), place.path()],
    });
    expect(stdout).toMatch(/ is open in this process \(pid \d+, .* copy .*`npm ls holdfast`\): /);
  });

  test('each used by threads that end: the first copy is gone, and libpmemobj is still there', async () => {
    const source = `
      const { Worker } = require('node:worker_threads');
      const copies = process.argv.slice(2, 4), pools = process.argv[4];
      const used = \`
        const { workerData, parentPort } = require('node:worker_threads');
        const pool = require(workerData.copy).openSync(workerData.path, workerData.options);
        const notes = pool.keyspace('notes');
        for (let i = 0; i < 100; ++i) notes.putSync('n' + i, i);
        parentPort.once('message', () => { pool.closeSync(); parentPort.close(); });
        parentPort.postMessage(notes.count());\`;
      let named = 0;
      const begin = (copy) => new Promise((resolve) => {
        const workerData = { copy, path: pools + ++named, options: ${JSON.stringify(place.options)} };
        const worker = new Worker(used, { eval: true, workerData });
        worker.once('message', (count) => resolve({ worker, count }));
      });
      const end = ({ worker }) => new Promise((resolve) => {
        worker.once('exit', resolve);
        worker.postMessage('end');
      });
      (async () => {
        const told = [];
        const first = await begin(copies[0]);
        const second = await begin(copies[1]);
        told.push(first.count, second.count, await end(first), await end(second));
        const third = await begin(copies[1]);
        told.push(third.count, await end(third));
        console.log(JSON.stringify(told));
      })();`;
    const copies = ['one', 'two'].map((name) => install(`${name}-${place.medium}`));
    const { code, stdout, stderr } = await runChild(source, { args: [...copies, place.path()] });
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual([100, 100, 0, 0, 100, 0]);
  });
});
