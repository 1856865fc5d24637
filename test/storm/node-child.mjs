// One process of the kill storm: opens the pool, says what is in it, and commits from several
// threads until it is killed. It says on stdout, one whole line at a time, what it is about to do
// and what has been acknowledged; the parent (storm.mjs) knows the meaning of each line and holds
// the model.
//
//   node-child.mjs <pool> <medium> <generation> <seed> <close after ms, 0: never>
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

const holdfast = createRequire(import.meta.url)('../../dist/index.js');
const lie = process.env.HOLDFAST_STORM_LIE ?? '';
const THREADS = 3;
const BUDGET = 400;

// A line shorter than the pipe's atomic size arrives whole or not at all, whichever thread writes
// it. The pipe may be full for a moment, when the parent is busy.
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

function randomFrom(seed) {
  let state = BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n + 1n);
  return (below) => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return Number((z ^ (z >> 31n)) % BigInt(below));
  };
}

/**
 * The value that commit `id` puts: it says so itself, and every byte of it can be told from any
 * other commit's.
 */
function valueOf(id, length) {
  const head = `${id}:${length}:`;
  return Buffer.from(
    head.padEnd(
      Math.max(length, head.length),
      String.fromCharCode(97 + ((id.length * 7 + id.charCodeAt(id.length - 1)) % 26)),
    ),
  );
}

function describe(value) {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const [id, length] = bytes.subarray(0, 60).toString('latin1').split(':');
  return valueOf(id || '?', Number(length) || 0).equals(bytes) ? `${id}:${length}` : 'DAMAGED';
}

function openPool(path, medium) {
  const options = {
    medium,
    size: medium === 'pmem' ? 40 * 2 ** 20 : undefined,
    foldOperations: 300,
  };
  for (let tries = 0; ; tries += 1) {
    try {
      return holdfast.openSync(path, options);
    } catch (error) {
      // The process killed just before may not be quite gone, nor what it had started.
      if (error.code !== 'ERR_HOLDFAST_LOCKED' || tries === 200) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

class Committer {
  constructor(pool, generation, thread, seed) {
    Object.assign(this, { pool, generation, thread, next: 0, random: randomFrom(seed) });
    this.space = pool.keyspace('storm', { key: 'utf8', value: 'bytes' });
  }

  /** [line's operations, batch]: a few puts and deletes, and a key of the commit's own. */
  plan(id, gone = []) {
    const batch = this.pool.batch();
    const said = [];
    const put = (key, length) => {
      batch.put(this.space, key, valueOf(id, length));
      said.push(`${key}=${length}`);
    };
    for (const key of gone) {
      batch.delete(this.space, key);
      said.push(`-${key}`);
    }
    const keys = new Set();
    for (let i = this.random(5); i >= 0; i -= 1) keys.add(`d${this.random(150)}`);
    for (const key of keys) {
      if (this.random(8) === 0) {
        batch.delete(this.space, key);
        said.push(`-${key}`);
      } else put(key, this.random(100) < 80 ? this.random(300) : this.random(12_000));
    }
    if (this.random(60) === 0) put(`big${this.random(4)}`, 270_000 + this.random(200_000));
    put(`c/${id}`, 0);
    if (lie === 'extra') this.space.putSync(`x/${id}`, Buffer.from('0:0:'));
    return [said.join(','), batch];
  }

  id() {
    return `${this.generation}.${this.thread}.${this.next++}`;
  }

  one(gone) {
    const id = this.id();
    const eventual = this.random(3) === 0;
    const [said, batch] = this.plan(id, gone);
    say(`B ${id} ${eventual ? 'e' : 'd'} ${said}`);
    if (lie === 'early') say(`A ${id} ${1e9 + this.next}`);
    try {
      const { epoch } = this.pool.commitSync(batch, {
        durability: eventual ? 'eventual' : 'durable',
      });
      if (lie !== 'early') say(`A ${id} ${epoch}`);
    } catch (error) {
      this.refused(id, error);
    }
  }

  /** Several on their way at once. */
  async several(count) {
    const waiting = [];
    for (let i = 0; i < count; i += 1) {
      const id = this.id();
      const eventual = this.random(2) === 0;
      const [said, batch] = this.plan(id);
      say(`B ${id} ${eventual ? 'e' : 'd'} ${said}`);
      const commit = this.pool.commit(batch, { durability: eventual ? 'eventual' : 'durable' });
      waiting.push(
        commit.then(
          ({ epoch }) => say(`A ${id} ${epoch}`),
          (error) => this.refused(id, error),
        ),
      );
    }
    await Promise.all(waiting);
  }

  refused(id, error) {
    if (error.code === 'ERR_HOLDFAST_POOL_FULL') say(`F ${id}`);
    else if (error.code !== 'ERR_HOLDFAST_CLOSED') say(`X ${id} ${error.code} ${error.message}`);
  }

  async storm() {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (this.next < BUDGET && !this.pool.closed) {
      if (this.random(5) === 0) await this.several(1 + this.random(6));
      else this.one();
      if (this.random(40) === 0) await this.pool.fold();
      if (this.random(120) === 0) await this.pool.compact();
      Atomics.wait(pause, 0, 0, this.random(10) / 10);
      if (this.random(8) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function main() {
  const [path, medium, generation, seed, closeAfter] = process.argv.slice(2);
  say('O');
  const pool = openPool(path, medium);
  const space = pool.keyspace('storm', { key: 'utf8', value: 'bytes' });
  const markers = [];
  for (const [key, value] of space.range()) {
    say(`S ${key} ${describe(value)}`);
    if (key.startsWith('c/')) markers.push(key);
  }
  say('R');
  const committer = new Committer(pool, generation, 0, Number(seed));
  committer.one(markers);
  for (let thread = 1; thread < THREADS; thread += 1) {
    new Worker(new URL(import.meta.url), {
      workerData: { path, medium, generation, thread, seed: Number(seed) + thread },
    });
  }
  if (Number(closeAfter) > 0) {
    setTimeout(() => {
      say('C');
      pool.closeSync();
      say('D');
      process.exit(0);
    }, Number(closeAfter));
  }
  await committer.storm();
}

if (isMainThread) {
  await main();
} else {
  const { path, medium, generation, thread, seed } = workerData;
  const pool = openPool(path, medium);
  await new Committer(pool, generation, thread, seed).storm();
}
