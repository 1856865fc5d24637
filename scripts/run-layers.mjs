#!/usr/bin/env node
// Runs the layers of layers.mjs, two at a time (as many as there are processors, at most two), on
// what scripts/test.sh has built.
//
//   run-layers.mjs                 the share of an ordinary test run
//   run-layers.mjs --minutes N     every layer that has new seeds to try, N minutes in all
//   run-layers.mjs <name> ...      only these layers
//   run-layers.mjs --help          says so
//
// HOLDFAST_SHARE=10 does a tenth of what is counted in thousands (an ordinary run: all damages,
// kills and regions' writes, a quarter of the rest); HOLDFAST_SEED=N begins there; HOLDFAST_LANES=N
// layers at once.
// An ordinary run stays within HOLDFAST_BUDGET seconds (2,200) from HOLDFAST_BEGAN (seconds since
// 1970; test.sh says when it began): a layer that takes long is begun only if it will be done by
// then on this machine (budget.mjs), else a part of it, or it is counted as skipped; and where it
// is so slow that the others would not be done, they try a quarter. HOLDFAST_ALL=1, and naming
// layers, runs all of them.
//
// The output of a layer is printed whole when it has ended, so that two never mix. At the end what
// failed is said once more, then a table: what was tried, what failed, how long it took and how
// much processor time. The last line is "layers: N passed, N failed, N skipped"; exit code 0:
// nothing failed.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Budget } from './budget.mjs';
import { countTests } from './count-tests.mjs';
import { failedTests } from './failed-tests.mjs';
import { layers } from './layers.mjs';
import { runLayer } from './run-layer.mjs';

process.chdir(path.join(import.meta.dirname, '..'));
const names = layers().map((layer) => layer.name);
const usage = `usage: run-layers.mjs [--minutes N] [<name> ...]

without anything   the share of an ordinary test run
--minutes N        every layer that has new seeds to try, N minutes in all
<name> ...         only these layers, in full: ${names.join(', ')}

HOLDFAST_SHARE, HOLDFAST_SEED, HOLDFAST_LANES, HOLDFAST_BUDGET, HOLDFAST_ALL: see the top of this file.
`;
const { options, wanted } = asked();
if (options.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const lanes = Number(process.env.HOLDFAST_LANES) || Math.min(2, os.availableParallelism());
const share =
  Number(process.env.HOLDFAST_SHARE) || (process.env.HOLDFAST_ALL || wanted.length > 0 ? 1 : 4);
const promised = Number(process.env.HOLDFAST_SHARE) || 1;
const seed = Number(process.env.HOLDFAST_SEED) || 1;
const long = options.minutes !== undefined;
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(
    `run-layers: there is no layer ${unknown.join(', ')}; there are: ${names.join(', ')}`,
  );
  process.exit(2);
}
const unbounded = long || wanted.length > 0 || Boolean(process.env.HOLDFAST_ALL);
const folder = long ? 'build-native/results/long' : 'build-native/results';

/** What it was called with; of something else it says what there is. */
function asked() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { minutes: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.minutes !== undefined && !(Number(values.minutes) > 0))
      throw new Error(`--minutes is a number above 0; got ${values.minutes}`);
    return { options: values, wanted: positionals };
  } catch (error) {
    process.stderr.write(`run-layers: ${error.message}\n${usage}`);
    process.exit(2);
  }
}

/** In long mode every layer gets the same part of the time, with seeds that nobody has tried. */
function chosen() {
  const all = layers({ share, promised, seed }).filter(
    (layer) => wanted.length === 0 || wanted.includes(layer.name),
  );
  if (!long) return all;
  const again = all.filter((layer) => layer.again);
  const seconds = (Number(options.minutes) * 60 * lanes) / again.length;
  const fresh = Number(process.env.HOLDFAST_SEED) || Math.floor(Date.now() / 1000) % 2 ** 31;
  return again.map((layer) => ({
    ...layer,
    seconds,
    ...(layer.again(fresh, seconds) ?? { later: `it needs more than ${Math.round(seconds)} s` }),
  }));
}

function tried(layer, text) {
  return layer.tried
    ? [...text.matchAll(layer.tried)].flatMap((match) => match.slice(1).filter(Boolean)).join(', ')
    : '';
}

/** Why a layer that takes long is not begun any more; undefined: it is. */
function noTimeFor(layer) {
  if (unbounded || !layer.needs || budget.hasTimeFor(layer.needs)) return undefined;
  const takes = Math.round(layer.needs * budget.slowness);
  return `it takes about ${takes} s and ${Math.round(budget.used)} of ${budget.seconds} are used; HOLDFAST_ALL=1 npm test runs it`;
}

/** The layer, or, where time is short, the same with less to try. */
function inTime(layer) {
  const less = unbounded || layer.needs ? 1 : budget.share;
  if (less === 1) return layer;
  const slow = `this machine is ${budget.slowness.toFixed(1)} times as slow as usual, ${Math.round(budget.left)} s are left`;
  console.log(`\n${layer.name}: ${slow}: it tries one in ${less}`);
  return layers({ share: share * less, promised: promised * less, seed }).find(
    ({ name }) => name === layer.name,
  );
}

function skipped(layer, why) {
  const nothing = { passed: 0, failed: 0, skipped: 1, seconds: 0, processor: 0 };
  return { layer, ...nothing, tried: `skipped: ${why}` };
}

async function one(layer) {
  const later = noTimeFor(layer);
  if (later && layer.less) return one({ ...layer, less: undefined, ...layer.less });
  if (later) console.log(`\n══ ${layer.name}\nskipped: ${later}`);
  if (later) return skipped(layer, 'no time left');
  if (layer.later) return skipped(layer, layer.later);
  const log = `${folder}/${layer.name}.log`;
  if (layer.report) rmSync(layer.report, { force: true });
  const env = unbounded
    ? layer.env
    : { ...layer.env, HOLDFAST_SECONDS_LEFT: String(Math.round(budget.left)) };
  const begun = performance.now();
  const code = await runLayer({ ...layer, env }, log);
  const seconds = (performance.now() - begun) / 1000;
  let text = readFileSync(log, 'utf8');
  const times = text.match(/^processor: ([\d.]+) ([\d.]+)$/m);
  text = text.replace(/^processor: .*\n/m, '');
  process.stdout.write(`\n══ ${layer.name}\n${text}${text.endsWith('\n') ? '' : '\n'}`);
  let counts, report;
  try {
    report = layer.report && readFileSync(layer.report, 'utf8');
    counts = countTests(layer.counts, report ?? text, code);
  } catch (error) {
    console.log(`${layer.name}: left no result: ${error.message}`);
    counts = { passed: 0, failed: 1, skipped: 0 };
  }
  if (typeof code === 'string') console.log(`${layer.name}: FAILED: ${code}`);
  const failures =
    counts.failed > 0
      ? failedTests(
          layer.counts,
          typeof code === 'string' ? `${text}\nFAILED: ${code}` : text,
          report,
        )
      : [];
  return {
    layer,
    failures,
    ...counts,
    seconds,
    processor: times ? Number(times[1]) + Number(times[2]) : 0,
    tried: tried(layer, text),
  };
}

async function all(list) {
  const results = [];
  const queue = [...list];
  const lane = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const layer = inTime(next);
      budget.begin(next);
      results.push(await one(layer));
      budget.end(next);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

mkdirSync(folder, { recursive: true });
const begun = performance.now();
const list = chosen();
const budget = new Budget(list, {
  seconds: Number(process.env.HOLDFAST_BUDGET) || 2200,
  beganAt: Number(process.env.HOLDFAST_BEGAN) || Date.now() / 1000,
  lanes,
});
const words = [
  `${list.length} layers, ${lanes} at a time; each is printed when it has ended, what was tried and what failed at the end`,
];
if (!unbounded) words.push(`within ${Math.round(budget.seconds / 60)} minutes in all`);
console.log(`test: ${words.join('; ')}`);
const results = await all(list);
results.sort(
  (a, b) =>
    list.findIndex((l) => l.name === a.layer.name) - list.findIndex((l) => l.name === b.layer.name),
);
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
for (const { layer, failures } of results) {
  if (failures?.length) console.log(`\n══ failed in ${layer.name}\n${failures.join('\n')}`);
}
console.log(
  `\n${'layer'.padEnd(20)} ${'passed'.padStart(7)} ${'failed'.padStart(7)} ${'skipped'.padStart(7)} ` +
    `${'seconds'.padStart(8)} ${'processor'.padStart(9)}  tried`,
);
for (const r of results) {
  console.log(
    `${r.layer.name.padEnd(20)} ${String(r.passed).padStart(7)} ${String(r.failed).padStart(7)} ${String(r.skipped).padStart(7)} ` +
      `${r.seconds.toFixed(0).padStart(8)} ${r.processor.toFixed(0).padStart(9)}  ${r.tried}`,
  );
}
console.log(
  `${((performance.now() - begun) / 1000).toFixed(0)} s in all, ${sum('processor').toFixed(0)} s of processor time`,
);
console.log(`layers: ${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exit(sum('failed') === 0 && sum('passed') > 0 ? 0 : 1);
