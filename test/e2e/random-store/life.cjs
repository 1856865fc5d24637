/**
 * One life of a process whose threads use all of the storage API at random: keyspaces with every
 * kind of key, batches under conditions, commits in flight, snapshots, ranges and views held while
 * others write, the change feed, regions, backups and what they restore to, readers, folds,
 * compactions, other sizes, closing and opening again. It ends by closing, by leaving, or kills
 * itself. What it finds when it opens must be a state that its last life may have left, and
 * whatever it reads must be what its notes say (model.cjs). Arguments, as JSON: dist,
 * path, notes, seed, life, options, steps, threads, end.
 */
const assert = require('node:assert');
const fs = require('node:fs');
const { inspect } = require('node:util');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');
const { commitSomething, drain } = require('./commits.cjs');
const { backup, forgetBackups, restore, underWay } = require('./copies.cjs');
const { compareWatchers, watch } = require('./feed.cjs');
const {
  here,
  nothing,
  settings,
  holdfast,
  me,
  dice,
  chance,
  pick,
  note,
  say,
  open,
  space,
  spaces,
  REGIONS,
  tight,
  full,
  history,
  trace,
} = require('./here.cjs');
const { State } = require('./model.cjs');
const { compareAll, reads } = require('./reads.cjs');
const { sameValue } = require('./values.cjs');

const { path, steps } = settings;
const mostRegion = 300_000;

async function resizeRegion() {
  await drain();
  await underWay();
  const name = pick(REGIONS);
  const now = history.head.regions.get(name)?.length;
  const size = now === undefined || chance(70) ? 1 + dice(mostRegion) : 0;
  if (size === now) return;
  const number = ++here.serial;
  const changes = [['size', name, size]];
  note({ begun: number, durable: true, changes, conditions: [] });
  say(number, 'size of', name, size);
  let epoch;
  try {
    if (now === undefined) {
      here.pool.region(name, { size });
      epoch = here.pool.stats().epoch;
    } else if (size === 0) epoch = here.pool.region(name).dropSync().epoch;
    else epoch = (await here.pool.region(name).resize(size)).epoch;
  } catch (error) {
    assert(tight && full.includes(error.code), String(error.stack));
    note({ refused: number });
    return;
  }
  note({ made: number, epoch });
  history.add(epoch, changes);
}

async function readAside() {
  await drain();
  const durable = history.made.findLast((one) => one.durable)?.epoch ?? 0;
  try {
    here.reader ??= holdfast.openSync(path, { readOnly: true });
    const epoch = chance(50) ? here.reader.refreshSync() : await here.reader.refresh();
    assert(epoch >= durable, `a reader is at ${epoch}, ${durable} is durable`);
    compareAll(here.reader, undefined, history.at(epoch), `reader at ${epoch}`);
    if (chance(30) && here.held.snapshots.length < 12) {
      const native = here.reader.snapshot();
      here.held.snapshots.push({
        from: here.reader,
        native,
        epoch: native.epoch,
        state: history.at(native.epoch),
        views: [],
      });
    }
  } catch (error) {
    if (error.code !== 'ERR_HOLDFAST_READER_EXPIRED') throw error;
    say('reader expired');
  }
  if (chance(20)) closeReader();
}

function closeReader() {
  here.held.snapshots = here.held.snapshots.filter(({ from }) => from === here.pool);
  here.reader?.closeSync();
  here.reader = undefined;
}

async function reopen() {
  say('reopen');
  const { snapshots, ranges, views, watchers } = here.held;
  if (chance(50)) await drain();
  await (chance(50) ? here.pool.close() : here.pool.closeSync());
  await drain();
  note({ settled: true });
  await underWay();
  closeReader();
  for (const { iterator } of ranges)
    assert.throws(() => iterator.next(), { code: 'ERR_HOLDFAST_CLOSED' });
  for (const { native, from } of snapshots)
    if (from === here.pool) assert((native.closed && native.epoch > 0) || native.closed);
  for (const { view } of views) assert.equal(view.bytes.length, 0);
  for (const { pump } of watchers) await pump;
  here.held = nothing();
  here.pool = open();
  compareAll(here.pool, undefined, history.head, 'opened again');
}

const under = new Set();
function begin(work) {
  const one = work.catch((error) => {
    if (error.code === 'ERR_HOLDFAST_CLOSED' || error.code === 'ERR_HOLDFAST_ABORTED') return;
    if (tight && full.includes(error.code)) return;
    throw error;
  });
  under.add(one);
  one.finally(() => under.delete(one));
  return one;
}

async function step(i) {
  const kind = dice(1000);
  if (kind >= 560) say('step', i, kind);
  if (kind < 450) {
    commitSomething();
    if (here.pending.length > 40) await drain();
  } else if (kind < 560) await drain();
  else if (kind < 860) {
    const name = pick(Object.keys(reads));
    if (name !== 'goOn') await drain();
    try {
      reads[name]();
    } catch (error) {
      if (error.code !== 'ERR_HOLDFAST_READER_EXPIRED') throw error;
      closeReader();
    }
  } else if (kind < 890) {
    if (here.held.snapshots.length < 10) {
      const native = here.pool.snapshot();
      const one = { from: here.pool, native, epoch: native.epoch, state: undefined, views: [] };
      here.held.snapshots.push(one);
      if (here.pending.length === 0) one.state = history.at(one.epoch);
    }
  } else if (kind < 905) {
    await drain();
    watch();
  } else if (kind < 920) {
    await drain();
    await compareWatchers();
  } else if (kind < 930) await resizeRegion();
  else if (kind < 945) {
    const before = [...here.pending];
    await here.pool.settled();
    await drain();
    if (before.length >= 0) note({ settled: true });
  } else if (kind < 955) begin(here.pool.fold());
  else if (kind < 962) begin(here.pool.compact());
  else if (kind < 965) {
    const { damages, ok } = await here.pool.check();
    assert.deepEqual({ ok, damages }, { ok: true, damages: [] });
  } else if (kind < 972) backup();
  else if (kind < 975) await restore();
  else if (kind < 985) await readAside();
  else if (kind < 988 && isMainThread && settings.resizes) await resizePool();
  else if (kind < 992) {
    await Promise.all(under);
    await reopen();
  } else if (kind < 996) global.gc?.();
  else await new Promise((go) => setTimeout(go, dice(25)));
}

async function resizePool() {
  const bytes = chance(30) ? 0 : (8 + dice(100)) * 1024 * 1024;
  say('resize', bytes);
  try {
    await here.pool.resize(bytes);
  } catch (error) {
    assert(
      full.includes(error.code) || error.code === 'ERR_HOLDFAST_OUT_OF_RANGE',
      String(error.stack),
    );
  }
}

/** Everything there is of this thread's, as a state: only ever what can have been put. */
function found() {
  const state = new State();
  for (const at of spaces) {
    for (const [key, value] of space(here.pool, at).range()) {
      const encoded = at.encode(key);
      const put = wasPut.get(`${at.name} ${encoded}`)?.find((one) => sameValue(at, value, one));
      assert(put, `nobody put what is at ${inspect(key)} in ${at.name}`);
      state.space(at.name).set(encoded, put);
    }
  }
  for (const { name, size } of here.pool.regions())
    if (REGIONS.includes(name))
      state.regions.set(name, Buffer.from(here.pool.region(name).read(0, size)));
  return state;
}

const wasPut = new Map();
function resume(by) {
  const lines = fs
    .readFileSync(`${settings.notes}.${me}`, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  for (const { changes = [] } of lines)
    for (const [kind, name, at, one, size] of changes) {
      if (kind !== 'put') continue;
      const key = `${name} ${at}`;
      if (!wasPut.has(key)) wasPut.set(key, []);
      wasPut.get(key).unshift({ seed: one, length: size });
    }
  let life = [];
  for (const line of lines) {
    if (line.opened === undefined) life.push(line);
    else {
      history.take(life, line.opened);
      life = [];
    }
  }
  note({ opened: history.resume(life, found(), by) });
}

async function main() {
  here.pool = open();
  const by = here.pool.stats().epoch;
  resume(isMainThread ? by : workerData.by);
  const threads = isMainThread
    ? Array.from(
        { length: settings.threads },
        (_, i) => new Worker(__filename, { workerData: { settings, number: i + 1, by } }),
      )
    : [];
  const ends = threads.map(
    (thread) =>
      new Promise((done, fail) => {
        thread.once('error', fail);
        thread.once('message', done);
      }),
  );
  const failed = Promise.all(ends);
  failed.catch((error) => die(error));
  const end = settings.end;
  for (let i = 0; i < steps; ++i) {
    if (isMainThread && end.kind !== 'close' && i === end.at) {
      say('the end', end.kind);
      if (end.kind === 'kill') process.kill(process.pid, 'SIGKILL');
      if (end.kind === 'exit') process.exit(0);
    }
    await step(i);
  }
  await drain();
  await compareWatchers();
  await Promise.all(under);
  await restore();
  forgetBackups();
  await drain();
  for (const { iterator } of here.held.watchers) await iterator.return();
  await failed;
  closeReader();
  for (const { native } of here.held.snapshots) native.close();
  compareAll(here.pool, undefined, history.head, 'at the end');
  if (isMainThread && end.kind === 'close' && end.empty) await empty();
  await here.pool.close();
  note({ settled: true });
  if (!isMainThread) parentPort.postMessage('done');
  else console.log('DONE');
}

/** Without anything in it a pool is about as small as a new one. */
async function empty() {
  here.held = nothing();
  for (let i = 0; i < 3; ++i) {
    global.gc();
    await new Promise((go) => setTimeout(go, 20));
  }
  const { pool } = here;
  for (const { name } of pool.regions()) pool.region(name).dropSync();
  for (const name of pool.keyspaces()) {
    const emptied = pool.keyspace(name, { key: 'bytes', value: 'bytes' });
    for (const key of [...emptied.keys()]) emptied.deleteSync(key, { durability: 'eventual' });
  }
  await pool.compact();
  await pool.compact();
  const stats = pool.stats();
  const { openSnapshots, watchers, liveBytes, regionBytes, largeBytes } = stats;
  assert.deepEqual(
    { openSnapshots, watchers, regionBytes },
    { openSnapshots: 0, watchers: 0, regionBytes: 0 },
  );
  assert(liveBytes < 4096, `${liveBytes} bytes live`);
  // What is kept for readers of the log is whatever it takes.
  if (settings.options.retain !== undefined) return;
  assert.equal(largeBytes, 0);
  const [log, index] = [stats.logBytes, stats.indexBytes];
  assert(log + index < 12 * 2 ** 20, `an empty pool has ${log} bytes of log, ${index} of index`);
  if (stats.capacityBytes < 2 ** 40)
    assert(stats.freeBytes > 0.6 * stats.capacityBytes, `an empty pool: ${JSON.stringify(stats)}`);
}

function die(error) {
  fs.writeSync(
    2,
    `${JSON.stringify(settings)}\nthread ${me}\n${trace.join('\n')}\n${error.stack}\n`,
  );
  process.exit(1);
}

main().catch(
  isMainThread
    ? die
    : (error) => {
        throw new Error(`thread ${me}\n${trace.join('\n')}\n${error.stack}`);
      },
);
process.on('unhandledRejection', die);
