/**
 * What the parts of one life (life.cjs) share: what it was told to do, its dice, its notes, and
 * what it has open.
 */
const assert = require('node:assert');
const fs = require('node:fs');
const { inspect } = require('node:util');
const { isMainThread, workerData } = require('node:worker_threads');
const { random, History } = require('./model.cjs');
const { spacesOf } = require('./values.cjs');

const settings = isMainThread ? JSON.parse(process.argv[2]) : workerData.settings;
const { dist, path, seed, life, steps } = settings;
const holdfast = require(`${dist}/index.js`);
const me = isMainThread ? 0 : workerData.number;
const dice = random(`${seed} life ${life} thread ${me}`);
const chance = (percent) => dice(100) < percent;
const pick = (list) => list[dice(list.length)];
const notes = fs.openSync(`${settings.notes}.${me}`, 'a');
const note = (line) => fs.writeSync(notes, `${JSON.stringify(line)}\n`);

const spaces = spacesOf(me, random(`${seed} keys ${me}`));
const REGIONS = [`r${me}/a`, `r${me}/b`];
/** A pool that may be full refuses commits. */
const { tight } = settings;
const full = ['ERR_HOLDFAST_POOL_FULL', 'ERR_HOLDFAST_DISK_FULL', 'ERR_HOLDFAST_BATCH_TOO_LARGE'];

const history = new History();
const trace = [];
const nothing = () => ({ snapshots: [], ranges: [], views: [], watchers: [] });
const here = {
  pool: undefined,
  /** Of commits in this life. */
  serial: 0,
  /** Commits that were not compared with the model yet. */
  pending: [],
  held: nothing(),
  /** This thread's handle for reading only. */
  reader: undefined,
};

const say = (...words) => {
  trace.push(words.join(' '));
  if (trace.length > 60) trace.shift();
  if (process.env.HOLDFAST_TRACE) console.error(me, ...words);
};

const brief = (list) =>
  list
    .slice(0, 3)
    .map(
      ([kind, name, at, one, size]) =>
        `${kind} ${name.slice(-1)} ${inspect(at).slice(0, 16)} ${one ?? ''} ${size ?? ''}`,
    )
    .join('; ') + (list.length > 3 ? ` and ${list.length - 3} more` : '');
function open() {
  const { size, ...options } = settings.options;
  return holdfast.openSync(path, fs.existsSync(path) ? options : settings.options);
}
const space = (from, { name, key, value }) => from.keyspace(name, { key, value });

const byName = (name) => spaces.find((one) => one.name === name);

module.exports = {
  ...{ here, nothing, settings, holdfast, me, dice, chance, pick, note, say, brief, open, space },
  ...{ spaces, byName, REGIONS, tight, full, history, trace },
};
