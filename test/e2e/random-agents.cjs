/**
 * One life of a process whose threads claim runs and drive them through random programs: steps,
 * decisions, nested and side by side, effects with and without probes, tools that are tried again
 * and call others, signals, sleeps, checkpoints, children, rollbacks. Threads are terminated, sleep
 * through their leases, and the process ends itself in the middle of effects, or is killed. A
 * program follows from its run's id and the seed. Some runs, the brief ones, are forgotten when
 * they have ended, beside all that, and begun again under the same id by the next life. Arguments:
 * dist folder, pool, notes, number of runs, seed, chance of ending itself in an effect, seed of
 * this life.
 *
 * The notes are lines [kind, run, …] that outlive the process: what was acknowledged (a value that
 * no two calls share), and the outside world, which the main thread is: it knows what happened by
 * its key, and refuses drivers that were replaced.
 */
const { appendFileSync, existsSync, readFileSync } = require('node:fs');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');
const { programOf, random } = require('./random-programs.cjs');

const settings = isMainThread ? process.argv.slice(2) : workerData.settings;
const [dist, path, notes, count, seed, chance, life] = settings;
const { openSync } = require(`${dist}/index.js`);
const LEASE = 60;
const dice = random(`${seed} life ${life} thread ${isMainThread ? 'main' : workerData.number}`);
const note = (...words) => appendFileSync(notes, `${JSON.stringify(words)}\n`);
const soon = (most) => new Promise((go) => setTimeout(go, dice(most)));
const fresh = () => Math.random().toString(36).slice(2);
const open = () => openSync(path, { medium: 'file', lease: LEASE });
const mayEnd = [
  'ERR_HOLDFAST_SUSPENDED',
  'ERR_HOLDFAST_FENCED',
  'ERR_HOLDFAST_CLOSED',
  'ERR_HOLDFAST_RUN_ACTIVE',
  'ERR_HOLDFAST_OUTCOME_UNKNOWN',
];

/** The threads that drive. */
async function work() {
  const asked = new Map();
  let asks = 0;
  parentPort.on('message', ({ ask, answer }) => (asked.get(ask)(answer), asked.delete(ask)));
  const outside = (request) =>
    new Promise(
      (answer) => (asked.set(++asks, answer), parentPort.postMessage({ ask: asks, ...request })),
    );
  const pool = open();
  const undo = async (_result, { idempotencyKey: key }) =>
    void (await outside({ kind: 'undo', key }));
  const compensations = { a: undo, b: undo };

  async function call(run, op, values) {
    const { kind, name, at } = op;
    const about = { run: run.id, at };
    const act = async (_args, { idempotencyKey: key, fencingToken: token, attempt }) => {
      if (op.refuses > 0 && attempt <= op.refuses)
        throw Object.assign(new Error('busy'), { neverHappened: true });
      if (op.inner) await all(run, op.inner, values);
      if (op.breaks && attempt % 2 === 1)
        throw Object.assign(new Error('busy'), { neverHappened: true });
      const { refused, value } = await outside({ kind: op.safety, ...about, key, token });
      if (refused) throw Object.assign(new Error('stale'), { neverHappened: true });
      if (op.throws && attempt === 1) throw new Error('timed out, though it happened');
      return value;
    };
    const probe = (key) => outside({ kind: 'probe', ...about, key });
    const options = {
      safety: op.safety,
      probe: op.probe ? probe : undefined,
      retry: { attempts: 3, delay: 1 },
    };
    if (kind === 'tool') return run.tool(name, at, act, options);
    if (kind === 'signal') return run.signal(name);
    if (kind === 'sleep') return run.sleep(op.ms);
    if (kind === 'checkpoint') return void (await run.checkpoint({ values: { ...values } }));
    if (kind === 'child') return drive(await run.child(name, { compensations }));
    if (kind === 'stall')
      return (
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, dice(4) === 0 ? 2 * LEASE : 0),
        undefined
      );
    return run[kind](name, at, async () => {
      if (op.inner) await all(run, op.inner, values);
      else await soon(3);
      return fresh();
    });
  }

  async function one(run, op, values) {
    if (op.beside) {
      const ended = await Promise.allSettled(op.beside.map((each) => one(run, each, values)));
      for (const { status, reason } of ended) if (status === 'rejected') throw reason;
      return;
    }
    const value = await call(run, op, values);
    if (value === undefined) return;
    note('ack', run.id, op.at, value);
    values[op.at] = value;
  }

  async function all(run, ops, values) {
    for (const op of ops) await one(run, op, values);
  }

  async function drive(run) {
    if (run.status === 'finished') return run.result.made;
    try {
      await outside({ kind: 'begin', run: run.id, token: run.fencingToken });
      const program = programOf(seed, run.id);
      const values = {};
      await all(run, program.ops, values);
      if (program.undone) await run.rollback();
      const made = fresh();
      await run.finish({ made, values });
      note('finished', run.id, made);
      return made;
    } finally {
      run.close();
    }
  }

  for (;;) {
    const run = await pool.claim({ suspendAfter: dice(10), compensations }).catch((error) => {
      if (!mayEnd.includes(error.code)) throw error;
    });
    if (run === undefined) await soon(10);
    else
      await drive(run).catch((error) => {
        if (!mayEnd.includes(error.code) && !/busy|stale|timed out/.test(error.message))
          throw error;
        note('left', run.id, error.code ?? error.message);
      });
  }
}

/** The main thread: the outside world, signals, resolutions, and the end of threads. */
async function rule() {
  const lines = existsSync(notes)
    ? readFileSync(notes, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];
  const happened = new Map(
    lines.filter(([kind]) => kind === 'effect').map(([, , , key, value]) => [key, value]),
  );
  const undone = new Set(lines.filter(([kind]) => kind === 'undo').map(([, key]) => key));
  const tokens = new Map();
  for (const [kind, run, token] of lines) if (kind === 'begin') tokens.set(run, token);
  const die = () => dice(1000) < Number(chance) * 1000 && process.kill(process.pid, 'SIGKILL');

  function answerTo({ kind, run, at, key, token }) {
    if (kind === 'begin') {
      if (token > (tokens.get(run) ?? 0)) (tokens.set(run, token), note('begin', run, token));
    } else if (kind === 'probe')
      return happened.has(key)
        ? { happened: true, result: happened.get(key) }
        : { happened: false };
    else if (kind === 'undo') {
      die();
      if (!undone.has(key)) (undone.add(key), note('undo', key));
      die();
    } else {
      if (token < tokens.get(run)) return { refused: true };
      die();
      // What is idempotent does nothing the second time.
      if (kind !== 'idempotent' || !happened.has(key))
        (happened.set(key, fresh()), note('effect', run, at, key, happened.get(key)));
      die();
      return { value: happened.get(key) };
    }
    return {};
  }

  // It may be under way when the next one begins.
  const forget = async (pool) => {
    const { removed } = await pool
      .forgetRuns({ olderThan: dice(20), prefix: 'brief' })
      .catch((error) => {
        if (error.code === 'ERR_HOLDFAST_CLOSED') return { removed: 0 };
        throw error;
      });
    if (removed > 0) note('forgotten', removed);
  };

  let started = 0;
  const start = () => {
    const worker = new Worker(__filename, { workerData: { settings, number: ++started } });
    worker.on(
      'message',
      async ({ ask, ...request }) => (
        await soon(2),
        worker.postMessage({ ask, answer: answerTo(request) })
      ),
    );
    worker.on('error', (error) => (process.stderr.write(`${error.stack}\n`), process.exit(1)));
    return worker;
  };
  const pool = open();
  for (let n = 0; n < Number(count); ++n)
    if (!pool.runInfo(`agent ${n}`)) (await pool.run(`agent ${n}`)).close();
  for (let n = 0; n < Number(count) / 2; ++n) {
    const id = `brief ${n}`;
    if (pool.runInfo(id)) continue;
    // What drove earlier runs of that name is of no account.
    for (const run of tokens.keys())
      if (run === id || run.startsWith(`${id}/`)) (tokens.set(run, 0), note('begin', run, 0));
    (await pool.run(id)).close();
  }
  const threads = [start(), start(), start()];
  process.stdout.write('BEGUN\n');
  for (;;) {
    await soon(20);
    const unfinished = ['running', 'waiting'].flatMap((status) => [...pool.runs({ status })]);
    if (unfinished.length === 0) break;
    for (const { id, waits } of unfinished)
      for (const { signal } of waits)
        if (signal !== undefined) {
          const value = fresh();
          note('sending', id, signal, value);
          await pool.signal(id, signal, value).catch((error) => {
            if (!['ERR_HOLDFAST_RUN_FINISHED', 'ERR_HOLDFAST_NOT_FOUND'].includes(error.code))
              throw error;
          });
        }
    // Only of runs that nobody drives. A driver whose lease ran out may still be on its way: from
    // now on nothing of it happens any more, since who says that it never did must be right.
    for (const { id, run } of pool.unknownOutcomes()) {
      const { driven, fencingToken } = pool.runInfo(run);
      if (driven || dice(3) > 0) continue;
      if (fencingToken >= (tokens.get(run) ?? 0))
        (tokens.set(run, fencingToken + 1), note('begin', run, fencingToken + 1));
      const resolution = happened.has(id) ? { value: happened.get(id) } : 'never-happened';
      await pool.resolve(id, resolution).catch((error) => {
        if (!['ERR_HOLDFAST_CONFLICT', 'ERR_HOLDFAST_NOT_FOUND'].includes(error.code)) throw error;
      });
    }
    if (dice(3) === 0) void forget(pool);
    if (dice(20) === 0) {
      const which = dice(threads.length);
      await threads[which].terminate();
      threads[which] = start();
    }
  }
  await Promise.all(threads.map((thread) => thread.terminate()));
  await pool.close();
  process.stdout.write('DONE\n');
}

// What a thread throws is the main thread's error.
if (!isMainThread) void work();
else
  rule().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
