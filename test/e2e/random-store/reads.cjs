/** Reads of every kind, compared with the model: now, of snapshots, of ranges and views held. */
const assert = require('node:assert');
const { inspect } = require('node:util');
const { sameValue } = require('./values.cjs');
const { here, dice, chance, pick, space, spaces, REGIONS, history } = require('./here.cjs');

function compareSpace(at, from, snapshot, state, what) {
  const expected = [...state.space(at.name)].sort(([a], [b]) => (a < b ? -1 : 1));
  const options = snapshot ? { snapshot } : {};
  const found = [...space(from, at).range(options)];
  assert.equal(found.length, expected.length, `${what}: entries of ${at.name}`);
  found.forEach(([key, value], i) => {
    assert.equal(at.encode(key), expected[i][0], `${what}: key ${i} of ${at.name}`);
    assert(sameValue(at, value, expected[i][1]), `${what}: value of ${inspect(key)} in ${at.name}`);
  });
}

function compareAll(from, snapshot, state, what) {
  for (const at of spaces) compareSpace(at, from, snapshot, state, what);
  const options = snapshot ? { snapshot } : {};
  const there = from.regions(options).filter(({ name }) => REGIONS.includes(name));
  assert.deepEqual(
    there.map(({ name, size }) => [name, size]).sort(),
    [...state.regions].map(([name, bytes]) => [name, bytes.length]).sort(),
    what,
  );
  for (const [name, bytes] of state.regions) {
    // One that was dropped since, and perhaps made anew, has no handle any more.
    if (snapshot && state.born.get(name) !== history.head.born.get(name)) continue;
    const region = from.region(name);
    assert(bytes.equals(region.read(0, bytes.length, options)), `${what}: bytes of ${name}`);
  }
}

function rangeOptions(at) {
  const options = {};
  const key = () => pick(at.keys).user;
  for (const name of ['gte', 'gt', 'lte', 'lt']) if (chance(20)) options[name] = key();
  if (chance(15)) options.prefix = at.prefixes ? pick(at.prefixes) : key();
  if (chance(40)) options.reverse = true;
  if (chance(30)) options.limit = dice(20);
  return options;
}

function expectedRange(at, options, state) {
  const encoded = (name) => (options[name] === undefined ? undefined : at.encode(options[name]));
  const [gte, gt, lte, lt, prefix] = ['gte', 'gt', 'lte', 'lt', 'prefix'].map(encoded);
  let list = [...state.space(at.name)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(
      ([key]) =>
        (gte === undefined || key >= gte) &&
        (gt === undefined || key > gt) &&
        (lte === undefined || key <= lte) &&
        (lt === undefined || key < lt) &&
        (prefix === undefined || key.startsWith(prefix)),
    );
  if (options.reverse) list.reverse();
  return options.limit === undefined ? list : list.slice(0, options.limit);
}

function goOn(range, most) {
  const { at, iterator, expected, shape } = range;
  for (let i = 0; i < most; ++i) {
    const { done, value } = iterator.next();
    if (done) {
      assert.equal(range.position, expected.length, `a range of ${at.name} ended early`);
      return true;
    }
    const entry = expected[range.position++];
    assert(entry, `a range of ${at.name} has more than it should`);
    const [key, got] = shape === 'range' ? value : shape === 'keys' ? [value] : [undefined, value];
    if (shape !== 'values') assert.equal(at.encode(key), entry[0], `key in a range of ${at.name}`);
    if (shape !== 'keys') assert(sameValue(at, got, entry[1]), `value in a range of ${at.name}`);
  }
  return false;
}

const reads = {
  get() {
    const at = pick(spaces);
    const keyspace = space(here.pool, at);
    const some = Array.from({ length: 1 + dice(5) }, () => pick(at.keys));
    const many = keyspace.getMany(some.map(({ user }) => user));
    some.forEach(({ user, encoded }, i) => {
      const expected = history.head.space(at.name).get(encoded);
      assert(sameValue(at, keyspace.get(user), expected), `get ${inspect(user)} in ${at.name}`);
      assert(sameValue(at, many[i], expected), `getMany in ${at.name}`);
      assert.equal(keyspace.has(user), expected !== undefined, `has in ${at.name}`);
      const written = keyspace.writtenAt(user);
      if (written !== undefined && expected?.epoch !== undefined)
        assert.equal(written, expected.epoch, `writtenAt ${inspect(user)} in ${at.name}`);
      if (expected === undefined) assert.equal(written, undefined);
    });
  },
  range() {
    const at = pick(spaces);
    const shape = pick(['range', 'keys', 'values']);
    const options = rangeOptions(at);
    const snapshot = chance(30)
      ? pick(here.held.snapshots.filter(({ from }) => from === here.pool))
      : undefined;
    const expected = expectedRange(at, options, snapshot?.state ?? history.head);
    const given = snapshot === undefined ? options : { ...options, snapshot: snapshot.native };
    assert.equal(space(here.pool, at).count(given), expected.length, `count in ${at.name}`);
    const range = {
      at,
      shape,
      expected,
      position: 0,
      iterator: space(here.pool, at)[shape](given),
    };
    if (goOn(range, chance(50) ? 1e9 : 1 + dice(40))) return;
    if (here.held.ranges.length < 20) here.held.ranges.push(range);
    else if (chance(50)) range.iterator.return();
  },
  goOn() {
    const range = pick(here.held.ranges);
    if (range !== undefined && goOn(range, 1 + dice(50)))
      here.held.ranges.splice(here.held.ranges.indexOf(range), 1);
  },
  snapshotRead() {
    const snapshot = pick(here.held.snapshots);
    if (snapshot === undefined) return;
    compareAll(snapshot.from, snapshot.native, snapshot.state, `snapshot of ${snapshot.epoch}`);
    const at = pick(spaces);
    const { user, encoded } = pick(at.keys);
    const view = snapshot.native.view(space(snapshot.from, at), user);
    const expected = snapshot.state.space(at.name).get(encoded);
    assert.equal(view === undefined, expected === undefined, 'a view');
    if (view !== undefined) snapshot.views.push({ view, was: Buffer.from(view) });
  },
  snapshotClose() {
    const snapshot = pick(here.held.snapshots);
    if (snapshot === undefined) return;
    here.held.snapshots.splice(here.held.snapshots.indexOf(snapshot), 1);
    for (const { view, was } of snapshot.views) assert(was.equals(view), 'a view changed');
    if (chance(80)) snapshot.native.close();
  },
  region() {
    const name = pick(REGIONS);
    const bytes = history.head.regions.get(name);
    if (bytes === undefined) return;
    const region = here.pool.region(name);
    assert.equal(region.size, bytes.length);
    const offset = dice(bytes.length);
    const size = dice(bytes.length - offset + 1);
    assert(
      bytes.subarray(offset, offset + size).equals(region.read(offset, size)),
      `read of ${name}`,
    );
    const next = region.nextData(offset);
    assert(
      bytes.subarray(offset, next).every((byte) => byte === 0),
      `nextData of ${name}`,
    );
    if (here.held.views.length < 8) {
      const view = region.view(offset, size);
      here.held.views.push({ view, was: Buffer.from(bytes.subarray(offset, offset + size)) });
    }
  },
  viewEnd() {
    const one = here.held.views.shift();
    if (one === undefined) return;
    assert(one.was.equals(one.view.bytes), 'a view of a region changed');
    one.view.end();
  },
  stats() {
    const stats = here.pool.stats();
    const parts = stats.logBytes + stats.indexBytes + stats.largeBytes + stats.regionBytes;
    assert(
      stats.durableEpoch <= stats.epoch && stats.foldedEpoch <= stats.durableEpoch,
      `epochs ${stats.epoch} ${stats.durableEpoch} ${stats.foldedEpoch}`,
    );
    assert(parts <= stats.takenBytes + stats.regionBytes, `parts ${parts} of ${stats.takenBytes}`);
    for (const [name, value] of Object.entries(stats))
      if (typeof value === 'number')
        assert(
          (value >= 0 && Number.isSafeInteger(value)) || /capacity|free/.test(name),
          `${name} ${value}`,
        );
    assert(stats.openSnapshots >= 0);
    const keyspaces = here.pool.keyspaces();
    assert.deepEqual(keyspaces, [...keyspaces].sort());
  },
};

module.exports = { compareAll, reads };
