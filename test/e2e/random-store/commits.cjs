/** Commits of every kind, on their way and answered, and whether what came of each had to. */
const assert = require('node:assert');
const { valueOf } = require('./values.cjs');
const {
  here,
  settings,
  dice,
  chance,
  pick,
  note,
  say,
  brief,
  space,
  spaces,
  byName,
  REGIONS,
  tight,
  full,
  history,
} = require('./here.cjs');

const mostBytes = tight ? 60_000 : 400_000;
function length() {
  const kind = dice(100);
  if (kind < 5) return 0;
  if (kind < 70) return dice(120);
  if (kind < 85) return dice(5000);
  if (kind < 90) return pick([4088, 8191, 8192, 8193, 65535, 65536, 65537]);
  if (kind < 98 || settings.large === false) return dice(mostBytes);
  return pick([262_143, 262_144, 262_145, 1 << 20, (4 << 20) + 7]);
}

function change() {
  const kind = dice(100);
  const at = pick(spaces);
  if (kind < 55) return ['put', at.name, pick(at.keys).encoded, dice(1e6), length()];
  if (kind < 80) return ['delete', at.name, pick(at.keys).encoded];
  const name = pick(REGIONS);
  const size = history.head.regions.get(name)?.length;
  if (size === undefined || here.pending.length > 0 || size < 16)
    return ['delete', at.name, pick(at.keys).encoded];
  if (kind < 90) {
    const offset = dice(size - 8);
    return ['write', name, offset, dice(1e6), Math.min(length(), size - offset)];
  }
  return ['add', name, dice(Math.floor(size / 8)) * 8, `${dice(2) ? '-' : ''}${dice(1e9)}`];
}

function condition() {
  const at = pick(spaces);
  const key = pick(at.keys).encoded;
  const there = history.head.spaces.get(at.name)?.get(key);
  if (chance(20)) {
    const name = pick(REGIONS);
    const bytes = history.head.regions.get(name);
    if (bytes !== undefined && bytes.length >= 16 && here.pending.length === 0) {
      const cell = dice(Math.floor(bytes.length / 8)) * 8;
      return ['cell', name, cell, `${chance(80) ? bytes.readBigUInt64LE(cell) : dice(9)}`];
    }
  }
  if (there === undefined) return [chance(90) ? 'absent' : 'present', at.name, key];
  if (chance(50)) return [chance(90) ? 'present' : 'absent', at.name, key];
  return ['equal', at.name, key, there.seed, chance(90) ? there.length : there.length + 1];
}

const keyOf = (name, encoded) => byName(name).keys.find((one) => one.encoded === encoded).user;
const target = (name) => space(here.pool, byName(name));

function batchOf(changes, conditions) {
  const batch = here.pool.batch();
  for (const [kind, name, at, one, size] of conditions) {
    if (kind === 'cell') batch.requireCell(here.pool.region(name), at, BigInt(one));
    else if (kind === 'absent') batch.requireAbsent(target(name), keyOf(name, at));
    else if (kind === 'present') batch.requirePresent(target(name), keyOf(name, at));
    else batch.requireEqual(target(name), keyOf(name, at), valueOf(byName(name), one, size));
  }
  for (const [kind, name, at, one, size] of changes) {
    if (kind === 'put') batch.put(target(name), keyOf(name, at), valueOf(byName(name), one, size));
    else if (kind === 'delete') batch.delete(target(name), keyOf(name, at));
    else if (kind === 'write')
      batch.regionWrite(here.pool.region(name), at, valueOf({ value: 'bytes' }, one, size));
    else batch.regionAdd(here.pool.region(name), at, BigInt(one));
  }
  return batch;
}

/** How it is called; the promise, or the receipt. */
function make(changes, conditions, options, sync) {
  const [kind, name, at, one, size] = changes[0] ?? [];
  const alone = changes.length === 1 && conditions.length === 0 && chance(80);
  if (alone && kind === 'put') {
    const value = valueOf(byName(name), one, size);
    return target(name)[sync ? 'putSync' : 'put'](keyOf(name, at), value, options);
  }
  if (alone && kind === 'delete')
    return target(name)[sync ? 'deleteSync' : 'delete'](keyOf(name, at), options);
  if (alone && kind === 'write') {
    const bytes = valueOf({ value: 'bytes' }, one, size);
    return here.pool.region(name)[sync ? 'writeSync' : 'write'](at, bytes, options);
  }
  const batch = batchOf(changes, conditions);
  return sync ? here.pool.commitSync(batch, options) : here.pool.commit(batch, options);
}

function commit({ sync, changes, conditions = [] }) {
  const durable = !chance(30);
  const options =
    durable && chance(70) ? undefined : { durability: durable ? 'durable' : 'eventual' };
  const number = ++here.serial;
  note({ begun: number, durable, changes, conditions });
  say(
    number,
    sync ? 'sync' : 'async',
    durable ? 'durable' : 'eventual',
    brief(changes),
    'if',
    brief(conditions),
  );
  const pinned = isPinned();
  const one = { number, durable, changes, conditions, pinned, outcome: undefined, aborted: false };
  here.pending.push(one);
  if (sync) {
    try {
      settle(one, make(changes, conditions, options, true));
    } catch (error) {
      settle(one, undefined, error);
    }
    return;
  }
  const controller = chance(10) ? new AbortController() : undefined;
  const given = controller ? { ...options, signal: controller.signal } : options;
  one.promise = make(changes, conditions, given, false).then(
    (receipt) => settle(one, receipt),
    (error) => settle(one, undefined, error),
  );
  if (controller !== undefined) {
    if (chance(50)) {
      one.aborted = true;
      controller.abort();
    } else setImmediate(() => controller.abort());
  }
}

/** What is seen from a snapshot, or by a reader, keeps its space: deletions may find none then. */
function isPinned() {
  return here.pool.stats().openSnapshots > 0;
}

function settle(one, receipt, error) {
  one.outcome = error === undefined ? 'made' : (error.code ?? String(error.stack));
  one.message = error?.message;
  one.pinned ||= error !== undefined && !here.pool.closed && isPinned();
  one.epoch = receipt?.epoch;
  if (receipt !== undefined) note({ made: one.number, epoch: receipt.epoch });
  else note({ refused: one.number });
}

/** All that is on its way has been answered, and is compared with what had to come of it. */
async function drain() {
  const waiting = here.pending;
  await Promise.all(waiting.map(({ promise }) => promise));
  for (const one of waiting) {
    const { outcome, changes, conditions, epoch } = one;
    const deletes = changes.every(([kind]) => kind === 'delete');
    if (outcome === 'ERR_HOLDFAST_ABORTED') {
      assert(one.promise, 'a commit without a signal was aborted');
      continue;
    }
    if (full.includes(outcome) && tight && !(deletes && conditions.length === 0 && !one.pinned)) {
      say(one.number, outcome);
      continue;
    }
    const expected = history.head.holds(conditions) ? 'made' : 'ERR_HOLDFAST_CONFLICT';
    assert.equal(outcome, expected, `commit ${one.number}: ${one.message} ${one.aborted}`);
    if (outcome !== 'made') continue;
    const last = history.made.findLast((before) => before.epoch !== undefined);
    const changed = changes.some(([kind, , , , size]) => kind !== 'write' || size > 0);
    assert(
      last === undefined || last.epoch < epoch || !changed,
      `commit ${one.number}: ${epoch} is not above`,
    );
    history.add(epoch, changes);
  }
  here.pending = here.pending.slice(waiting.length);
  if (here.pending.length > 0) await drain();
  for (const snapshot of here.held.snapshots) snapshot.state ??= history.at(snapshot.epoch);
  for (const one of here.held.later ?? []) one();
  here.held.later = [];
}

function commitSomething() {
  const sync = chance(35);
  const many = chance(30) ? 1 + dice(20) : 1;
  const changes = Array.from({ length: many }, change);
  const conditions = chance(20) ? Array.from({ length: 1 + dice(3) }, condition) : [];
  commit({ sync, changes, conditions });
}

module.exports = { commitSomething, drain };
