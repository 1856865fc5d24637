// System calls that fail below Node: of a whole session (opening, commits of every kind, folding,
// compacting, backup, restore, readers, both ways of resizing, closing) one call fails, cut short
// or interrupted, and what a user sees of it is compared with what is promised.
//
//   node test/storm/failing-calls.mjs [--points 48] [--medium file|pmem] [--seed N]
//                                     [--only "pwrite EIO"] [--times 1]
//
// A point is a kind of call, an error, and a number: `--points all` tries every call that a session
// makes. Whatever fails: the error has a code of the list; nothing hangs, and nobody dies of it;
// reopened, the pool holds every commit that was acknowledged, none that was refused, and those
// whose outcome was unknown whole or not at all; it is sound and goes on; and the same holds of
// what was backed up and restored; and nothing of it stays in the process: a session in which
// nothing fails goes well behind the others. The last line is "failing_calls: N passed, N failed[,
// N skipped]". HOLDFAST_STORM_LIE=acknowledged tells a refused commit as done: then it must end
// with 1. Needs build-native/libholdfast_failing_calls.so (test/storm/failing_calls_preload.cc) and
// dist.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const preload = new URL('../../build-native/libholdfast_failing_calls.so', import.meta.url)
  .pathname;
const given = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
// In the order of the kinds in failing_calls_preload.cc.
const kinds =
  'open pwrite pread fdatasync fsync fallocate ftruncate mmap flock lockByte rename link unlink fstat'.split(
    ' ',
  );
const faults = [
  ...kinds.map((kind) => [kind, kind === 'mmap' ? 'ENOMEM' : 'EIO']),
  ...['pwrite', 'fallocate', 'fdatasync'].map((kind) => [kind, 'ENOSPC']),
  ...['pwrite', 'pread'].map((kind) => [kind, 'half']),
  ...['open', 'pwrite', 'pread', 'fdatasync', 'fsync', 'fallocate', 'ftruncate', 'flock'].map(
    (kind) => [kind, 'EINTR'],
  ),
  ['open', 'EMFILE'],
];
const nothing = { kind: 'none', error: 'EIO', first: 0, times: 0 };
const trialMs = 60_000;

/**
 * What the pool may hold: acknowledged commits in order, those of unknown outcome there or not,
 * eventual ones behind the last durable one perhaps lost.
 */
class Model {
  commits = [];

  note(changes, outcome) {
    this.commits.push({ changes, outcome });
    if (outcome === 'durable')
      for (const one of this.commits) if (one.outcome === 'eventual') one.outcome = 'durable';
  }

  /** The pool was closed in order, or it failed. */
  lifeEnds(failed) {
    for (const one of this.commits)
      if (one.outcome === 'eventual') one.outcome = failed ? 'unknown' : 'durable';
  }

  mayBe(found) {
    let states = [{}];
    for (const { changes, outcome } of this.commits) {
      const after = states.map((state) => ({ ...state, ...changes(state) }));
      states = outcome === 'durable' ? after : [...states, ...after];
    }
    const shape = (state) =>
      JSON.stringify(
        Object.entries(state)
          .filter(([, value]) => value !== undefined && value !== 0)
          .sort(),
      );
    return states.map(shape).includes(shape(found));
  }
}

function contentsOf(pool) {
  const found = {};
  for (const name of pool.keyspaces()) {
    for (const [key, value] of pool.keyspace(name, { value: 'bytes' }).range()) {
      found[`${name}/${key}`] =
        `${value.length} of ${value.every((byte) => byte === value[0]) ? value[0] : 'different bytes'}`;
    }
  }
  for (const { name, size } of pool.regions())
    if (size > 0)
      found[`region ${name}`] = Number(pool.region(name).dataView(0, 8).getBigUint64(0, true));
  return found;
}

/** The calls of one process: one trial after another, each in an empty folder. */
class Trials {
  holdfast = createRequire(import.meta.url)('../../dist/index.js');
  control = openSync(process.env.HOLDFAST_CALLS_CONTROL, 'r+');
  folder = process.env.HOLDFAST_CALLS_FOLDER;

  constructor(medium) {
    this.medium = medium;
    this.options = {
      medium,
      retain: { bytes: 2 ** 20 },
      foldOperations: 32,
      ...(medium === 'pmem' && { grow: true, size: 2 ** 28 }),
    };
  }

  word(at) {
    const bytes = Buffer.alloc(8);
    readSync(this.control, bytes, 0, 8, 8 * at);
    return Number(bytes.readBigInt64LE());
  }

  arm(kind, first, times, error) {
    const bytes = Buffer.alloc(8 * (8 + kinds.length));
    [first, times, error].forEach((value, i) => bytes.writeBigInt64LE(BigInt(value), 8 * (i + 1)));
    // in the same write: nothing is half armed for longer than a copy
    bytes.writeBigInt64LE(BigInt(kind));
    writeSync(this.control, bytes, 0, bytes.length, 0);
  }

  async try({ kind, error, first, times }) {
    rmSync(this.folder, { recursive: true, force: true });
    mkdirSync(this.folder);
    this.wrong = [];
    this.errors = [];
    this.backups = [];
    this.model = new Model();
    this.arm(kinds.indexOf(kind), first, times, error === 'half' ? 0 : constants.errno[error]);
    for (const life of [1, 2]) await this.live(life);
    const failed = this.word(4);
    const made = kinds.map((_, i) => this.word(8 + i));
    this.arm(-1, 0, 0, 0);
    await this.compare().catch((thrown) => this.wrong.push(`afterwards: ${thrown.stack}`));
    return { failed, made, wrong: this.wrong, errors: this.errors };
  }

  /** Does it; what it throws is noted, and must be listed. */
  async attempt(what, action) {
    try {
      return { result: await action() };
    } catch (thrown) {
      this.errors.push(`${what}: ${thrown.code}`);
      if (!this.holdfast.errorCodes.includes(thrown.code))
        this.wrong.push(`${what}: not of the list: ${thrown.stack}`);
      if (thrown.code === 'ERR_HOLDFAST_CORRUPT')
        this.wrong.push(`${what}: what is whole is called damaged: ${thrown.stack}`);
      return { thrown };
    }
  }

  async commit(what, changes, action, outcome = 'durable') {
    const { thrown } = await this.attempt(what, action);
    if (!thrown || process.env.HOLDFAST_STORM_LIE === 'acknowledged')
      this.model.note(changes, outcome);
    else if (thrown.code === 'ERR_HOLDFAST_IO') this.model.note(changes, 'unknown');
  }

  async live(life) {
    const { result: pool } = await this.attempt('open', () =>
      this.holdfast.open(join(this.folder, 'pool'), this.options),
    );
    if (!pool) return;
    const before = this.errors.length;
    const keyspace = (name) => pool.keyspace(name, { value: 'bytes' });
    const put = (name, key, byte, bytes, options) => {
      const changes = () => ({ [`${name}/${key}`]: `${bytes} of ${byte}` });
      return this.commit(
        `put ${name}/${key}`,
        changes,
        () => keyspace(name).put(key, Buffer.alloc(bytes, byte), options),
        options?.durability,
      );
    };
    const add = (delta) =>
      this.commit(
        'add',
        (state) => ({ 'region r': (state['region r'] ?? 0) + delta }),
        () => pool.region('r', { size: 300_000 }).add(0, BigInt(delta)),
      );

    await put('a', 'one', life, 200);
    await add(life);
    await put('b', 'eventual', life, 100, { durability: 'eventual' });
    await put('a', 'large', life, 400_000);
    await this.attempt('fold', () => pool.fold());
    const both = () => ({ 'a/one': undefined, 'b/two': `60 of ${life}` });
    await this.commit('batch', both, () =>
      pool.commit(
        pool.batch().delete(keyspace('a'), 'one').put(keyspace('b'), 'two', Buffer.alloc(60, life)),
      ),
    );
    await this.backUp(pool, life);
    const { result: snapshot } = await this.attempt('snapshot', () => pool.snapshot());
    await this.attempt('view', () => snapshot?.view(keyspace('a'), 'large'));
    for (let i = 0; i < 5; ++i) await put('g', String(i), life, 5000);
    await this.attempt('compact', () => pool.compact());
    snapshot?.close();
    await this.read(before);
    await put('b', 'huge', life, 5 * 2 ** 20);
    if (this.medium === 'file')
      await this.attempt('resize', () => pool.resize(life === 1 ? 2 ** 26 : 0));
    await this.attempt('check', () => pool.check());
    await this.attempt('close', () => pool.close());
    this.model.lifeEnds(this.errors.length > before);
    if (life === 1) await this.copy();
  }

  async backUp(pool, life) {
    const file = join(this.folder, `backup ${life}`);
    const { result } = await this.attempt('backup', () => pool.backup(file));
    if (result) this.backups.push({ file, commits: [...this.model.commits] });
  }

  /** A pool that has failed takes no notice of readers, which wait for it: not each time. */
  async read(before) {
    if (this.errors.slice(before).some((error) => error.endsWith('ERR_HOLDFAST_FAILED'))) return;
    const { result: reader } = await this.attempt('reader', () =>
      this.holdfast.open(join(this.folder, 'pool'), { medium: this.medium, readOnly: true }),
    );
    await this.attempt('refresh', () => reader?.refresh());
    await this.attempt('close reader', () => reader?.close());
  }

  async copy() {
    await this.attempt('resizeByCopy', () =>
      this.holdfast.resizeByCopy(join(this.folder, 'pool'), this.medium === 'pmem' ? 2 ** 28 : 0),
    );
    if (this.backups.length === 0) return;
    await this.attempt('restore', () =>
      this.holdfast.restore(this.backups[0].file, join(this.folder, 'restored'), {
        medium: this.medium,
      }),
    );
  }

  async compare() {
    const model = this.model;
    await this.look('pool', model, async (pool) => {
      await pool.keyspace('after').put('k', 1);
      await pool.compact();
    });
    for (const { file, commits } of this.backups) {
      const as = Object.assign(new Model(), { commits });
      if (file.endsWith('1') && existsSync(join(this.folder, 'restored')))
        await this.look('restored', as);
      rmSync(join(this.folder, 'again'), { force: true });
      await this.holdfast.restore(file, join(this.folder, 'again'), { medium: this.medium });
      await this.look('again', as);
    }
  }

  async look(name, model, use = () => {}) {
    const path = join(this.folder, name);
    if (!existsSync(path) && model.commits.some(({ outcome }) => outcome === 'durable'))
      this.wrong.push(`${name} is gone`);
    const pool = await this.holdfast.open(path, { medium: this.medium });
    const found = contentsOf(pool);
    if (!model.mayBe(found))
      this.wrong.push(`${name} holds what it may not: ${JSON.stringify(found)}`);
    const { damages } = await pool.check();
    this.wrong.push(...damages.map((damage) => `${name}: ${damage}`));
    await use(pool);
    await pool.close();
  }
}

async function serve(medium) {
  const trials = new Trials(medium);
  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await trials.try(JSON.parse(line)))}\n`);
}

/** A process that tries points, begun anew when one has ended it. */
class Child {
  constructor(medium, folder) {
    const words = join(folder, 'control');
    writeFileSync(words, '');
    truncateSync(words, 4096);
    this.env = {
      ...process.env,
      LD_PRELOAD: preload,
      HOLDFAST_CALLS_CONTROL: words,
      HOLDFAST_CALLS_FOLDER: join(folder, 'work'),
      ...(medium === 'pmem' && { PMEM_IS_PMEM_FORCE: '1' }),
    };
    this.medium = medium;
  }

  async try(point) {
    if (!this.process) {
      const script = new URL(import.meta.url).pathname;
      this.process = spawn(process.execPath, [script, '--child', this.medium], {
        env: this.env,
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
      this.ended = new Promise((resolve) =>
        this.process.once('close', (code, signal) =>
          resolve({ wrong: [`the process ended by ${signal ?? code}`] }),
        ),
      );
    }
    this.process.stdin.write(`${JSON.stringify(point)}\n`);
    let timer;
    const late = new Promise(
      (resolve) =>
        (timer = setTimeout(() => resolve({ wrong: [`hung for ${trialMs} ms`] }), trialMs)),
    );
    const answer = this.lines
      .next()
      .then(({ done, value }) => (done ? this.ended : JSON.parse(value)));
    const result = await Promise.race([answer, late]);
    clearTimeout(timer);
    if (result.made === undefined) this.end();
    return result;
  }

  end() {
    this.process?.kill('SIGKILL');
    this.process = undefined;
  }
}

async function main() {
  const media = given('medium') ? [given('medium')] : ['file', 'pmem'];
  const seed = Number(given('seed', Date.now() % 2 ** 31));
  const only = given('only');
  const times = Number(given('times', 1));
  let [passed, failed, skipped, tried] = [0, 0, 0, 0];
  for (const medium of media) {
    if (!existsSync(preload) || (medium === 'pmem' && !existsSync('/dev/shm'))) {
      console.log(
        `skipped: ${medium}: ${existsSync(preload) ? 'there is no /dev/shm' : `there is no ${preload}`}`,
      );
      skipped += 1;
      continue;
    }
    const folder = mkdtempSync(
      join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-calls-'),
    );
    const child = new Child(medium, folder);
    const whole = await child.try(nothing);
    const points = faults
      .filter((fault) => only === undefined || fault.join(' ') === only)
      .flatMap(([kind, error]) =>
        Array.from({ length: whole.made?.[kinds.indexOf(kind)] ?? 0 }, (_, i) => ({
          kind,
          error,
          first: i + 1,
          times,
        })),
      );
    const most =
      given('points', '48') === 'all'
        ? points.length
        : Math.min(points.length, Math.ceil(Number(given('points', '48')) / media.length));
    const wrong = [...whole.wrong, ...(whole.errors ?? [])].map((text) => `nothing fails: ${text}`);
    // Spread over all of them, and moved by the seed.
    for (let i = 0; i < most && wrong.length < 5; ++i) {
      const point = points[Math.floor(((i + (seed % 9973) / 9973) * points.length) / most)];
      const result = await child.try(point);
      tried += 1;
      const named = `${medium}, ${point.kind} ${point.first} ${point.error}`;
      const errors = (result.errors ?? []).join(', ');
      if (only !== undefined) console.log(named, result.failed, errors);
      wrong.push(...result.wrong.map((text) => `${named}: ${text}\n    (${errors})`));
      if (result.failed === 0 && errors !== '')
        wrong.push(`${named}: it did not come to it: ${errors}`);
    }
    if (wrong.length === 0) {
      const { wrong: found, errors = [] } = await child.try(nothing);
      wrong.push(...[...found, ...errors].map((text) => `nothing fails any more: ${text}`));
    }
    child.end();
    rmSync(folder, { recursive: true, force: true });
    for (const text of wrong) console.log(`  ${text}`);
    if (wrong.length > 0)
      console.log(
        `  again: node test/storm/failing-calls.mjs --medium ${medium} --seed ${seed} --points ${given('points', '48')}`,
      );
    if (wrong.length > 0 || most === 0) failed += 1;
    else passed += 1;
  }
  console.log(`${tried} failing calls tried`);
  console.log(
    `failing_calls: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
  );
  process.exitCode = failed > 0 ? 1 : 0;
}

const medium = given('child');
if (medium === undefined) await main();
else await serve(medium);
