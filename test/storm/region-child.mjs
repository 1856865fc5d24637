// One process of the region storm: compares what it finds, then commits 8-byte region writes, 100
// at a time, until it is killed.
//
// Commit n writes the cells that n alone decides, and says its number in a key of the same commit:
// so the state after n commits is known to everybody, and whether it is one of those states can be
// seen without remembering anything.
//
//   region-child.mjs <pool> <medium> <commits in all>
//                    <most of them in this process: then it waits to be killed>
import { createRequire } from 'node:module';
import { writeSync } from 'node:fs';

const holdfast = createRequire(import.meta.url)('../../dist/index.js');
const [path, medium, total, most] = [
  process.argv[2],
  process.argv[3],
  Number(process.argv[4]),
  Number(process.argv[5]),
];
const cells = 100_000;
const perCommit = 100;
const lie = process.env.HOLDFAST_STORM_LIE ?? '';
// The pipe may be full for a moment, when the parent is busy.
const say = (line) => {
  const bytes = Buffer.from(`${line}\n`);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
};

function* writesOf(commit) {
  let state = BigInt(commit) * 0x9e3779b97f4a7c15n;
  for (let i = 0; i < perCommit; i += 1) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    // Half of them close together, so that blocks are written again and again.
    const cell = Number(state >> 33n) % (i % 2 ? cells : 500);
    yield [cell, BigInt(commit) * 1000n + BigInt(i)];
  }
}

function expected(commits) {
  const state = new BigUint64Array(cells);
  for (let commit = 1; commit <= commits; commit += 1) {
    for (const [cell, value] of writesOf(commit)) state[cell] = value;
  }
  return state;
}

function open() {
  for (let tries = 0; ; tries += 1) {
    try {
      return holdfast.openSync(path, {
        medium,
        size: medium === 'pmem' ? 64 * 2 ** 20 : undefined,
        foldOperations: 3000,
      });
    } catch (error) {
      // The process killed just before may not be quite gone.
      if (error.code !== 'ERR_HOLDFAST_LOCKED' || tries === 500) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

const pool = open();
const numbers = pool.keyspace('storm', { value: 'json' });
const region = pool.region('cells', { size: cells * 8 });
let commit = numbers.get('commits') ?? 0;
const found = region.typed(BigUint64Array, 0, cells);
const wanted = expected(commit);
const wrong = found.findIndex((value, cell) => value !== wanted[cell]);
if (wrong >= 0)
  say(`W after ${commit} commits cell ${wrong} is ${found[wrong]}, not ${wanted[wrong]}`);
say(`S ${commit}`);
const last = commit + most;
while (commit < total) {
  if (commit === last) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  commit += 1;
  const batch = pool.batch();
  const bytes = new BigUint64Array(1);
  for (const [cell, value] of writesOf(commit)) {
    bytes[0] = value;
    batch.regionWrite(region, cell * 8, bytes);
  }
  if (lie === 'two-commits') {
    pool.commitSync(batch);
    if (commit % 50 === 0) process.kill(process.pid, 'SIGKILL'); // between the two at least once
    numbers.putSync('commits', commit);
    say(`A ${commit}`);
  } else {
    const eventual = commit % 3 === 0;
    pool.commitSync(batch.put(numbers, 'commits', commit), {
      durability: eventual ? 'eventual' : 'durable',
    });
    if (!eventual) say(`A ${commit}`);
  }
}
const { ok, damages } = await pool.check();
if (!ok) say(`W ${damages[0]}`);
await pool.close();
say('D');
