/** Watchers of keys and of regions, from now or a past epoch: each commit once, whole, in order. */
const assert = require('node:assert');
const { sameValue } = require('./values.cjs');
const {
  here,
  nothing,
  holdfast,
  dice,
  chance,
  pick,
  say,
  space,
  spaces,
  byName,
  tight,
  history,
} = require('./here.cjs');

const matches = (watcher, [kind, name, at, , size]) =>
  kind === 'write' && size === 0 // nothing was written
    ? false
    : watcher.at === undefined
      ? kind === 'put' || kind === 'delete'
      : watcher.region === undefined
        ? name === watcher.at.name &&
          (watcher.prefix === undefined || at.startsWith(watcher.prefix))
        : name === watcher.region;

function watch() {
  if (here.held.watchers.length > 5) return;
  const kind = dice(4);
  const past = history.made.length > 0 && chance(50) ? pick(history.made).epoch : undefined;
  const lag = chance(20) ? { lag: 100_000 } : {};
  const watcher = {
    items: [],
    from: past,
    mayForget: tight || lag.lag !== undefined || past !== undefined,
  };
  let options = { ...lag, ...(past !== undefined && { from: past }) };
  if (kind === 0 && history.head.regions.size > 0) {
    watcher.region = pick([...history.head.regions.keys()]);
    watcher.at = {};
    watcher.from = undefined;
    options = { ...lag, region: here.pool.region(watcher.region) };
    watcher.copy = Buffer.from(history.head.regions.get(watcher.region));
  } else if (kind < 3) {
    watcher.at = pick(spaces);
    options.keyspace = space(here.pool, watcher.at);
    if (chance(40)) {
      const prefix = watcher.at.prefixes ? pick(watcher.at.prefixes) : pick(watcher.at.keys).user;
      watcher.prefix = watcher.at.encode(prefix);
      options.prefix = prefix;
    }
  }
  watcher.behind = watcher.from === undefined ? history.made.length : history.behind(watcher.from);
  try {
    watcher.iterator = here.pool.watch(options);
  } catch (error) {
    assert.equal(error.code, 'ERR_HOLDFAST_FORGOTTEN', String(error.stack));
    assert(past < here.pool.stats().oldestChange, `forgotten: ${past}`);
    return;
  }
  say('watch', watcher.region ?? watcher.at?.name ?? 'all', watcher.prefix ?? '', watcher.from);
  watcher.pump = (async () => {
    try {
      for await (const item of watcher.iterator) watcher.items.push(item);
      watcher.ended = true;
    } catch (error) {
      watcher.error = error;
    }
  })();
  here.held.watchers.push(watcher);
}

/** Those that may have been made without being seen were, or were not. */
function withoutUnmade(expected, items) {
  for (let i = 0; i < expected.length; ++i) {
    const next = expected.slice(i).find(({ epoch }) => epoch !== undefined)?.epoch ?? Infinity;
    if (expected[i].unseen && !(items[i]?.epoch < next)) expected.splice(i--, 1);
  }
}

async function compareWatchers() {
  await here.pool.settled();
  for (const watcher of [...here.held.watchers]) {
    const expected = history.made
      .slice(watcher.behind)
      .map((commit) => ({
        ...commit,
        changes: commit.changes.filter((one) => matches(watcher, one)),
      }))
      .filter(({ changes }) => changes.length > 0);
    // A region that is made anew under its name is another.
    const dropped =
      watcher.region === undefined
        ? -1
        : expected.findIndex(({ changes }) =>
            changes.some(([kind, , at]) => kind === 'size' && at === 0),
          );
    if (dropped >= 0) expected.length = dropped + 1;
    const own = () =>
      watcher.at !== undefined
        ? watcher.items
        : watcher.items
            .map((item) => ({
              ...item,
              changes: item.changes.filter((one) => byName(one.keyspace)),
            }))
            .filter(({ changes }) => changes.length > 0);
    const least = expected.filter(({ unseen }) => !unseen).length;
    const last = expected.findLast(({ epoch }) => epoch !== undefined)?.epoch;
    const arrived = () => own().length >= least && !(own().at(-1)?.epoch < last);
    for (let tries = 0; !arrived() && tries < 5000 && !watcher.error; ++tries)
      await new Promise((go) => setTimeout(go, 1));
    if (watcher.error) {
      assert(
        watcher.mayForget && watcher.error.code === 'ERR_HOLDFAST_FORGOTTEN',
        String(watcher.error.stack),
      );
      here.held.watchers.splice(here.held.watchers.indexOf(watcher), 1);
      continue;
    }
    const what = `watch of ${watcher.region ?? watcher.at?.name ?? 'all'} from ${watcher.from}`;
    const items = own();
    withoutUnmade(expected, items);
    assert.equal(items.length, expected.length, `${what}: commits`);
    let copy = watcher.copy;
    items.forEach((item, i) => {
      if (expected[i].epoch !== undefined) assert.equal(item.epoch, expected[i].epoch, what);
      if (watcher.region !== undefined) {
        for (const { offset, bytes, size } of item.changes) {
          if (size === undefined) Buffer.from(bytes).copy(copy, offset);
          else
            copy = Buffer.concat([
              copy.subarray(0, size),
              Buffer.alloc(Math.max(0, size - copy.length)),
            ]);
        }
        return;
      }
      assert.equal(
        item.changes.length,
        expected[i].changes.length,
        `${what}: changes of ${item.epoch}`,
      );
      item.changes.forEach(({ keyspace, key, value, deleted }, j) => {
        const [kind, name, encoded, one, size] = expected[i].changes[j];
        const at = byName(name);
        assert.equal(keyspace, name, what);
        const raw = watcher.at === undefined;
        assert.equal(raw ? Buffer.from(key).toString('latin1') : at.encode(key), encoded, what);
        assert.equal(deleted, kind === 'delete', what);
        if (deleted) return;
        const got = raw ? holdfast.codecs[at.value].decode(value) : value;
        assert(
          sameValue(at, got, { seed: one, length: size }),
          `${what}: a value of ${item.epoch}`,
        );
      });
    });
    if (watcher.region !== undefined) {
      const now = dropped < 0 ? history.head.regions.get(watcher.region) : Buffer.alloc(0);
      assert(copy.equals(now), `${what}: bytes`);
    }
    if (chance(40)) {
      here.held.watchers.splice(here.held.watchers.indexOf(watcher), 1);
      await watcher.iterator.return();
    }
  }
}

module.exports = { watch, compareWatchers };
