// npm run bench:checkpoints: what it costs to save a state of 64 KiB of which 1 KiB changed, beside encoding all of it. For work on
// the code, not for comparing stores.
//   npm run bench:checkpoints -- [--ms 1500] [--only text] [--at folder] [--json]
// In one process, in turns: the save with its commit, msgpackr's `pack` (the quickest; it carries no Map, Set, Date or cycle as they
// are), v8.serialize (the platform's own), and the codec `structured` (what a checkpoint without deltas would write). Medians.
// With PMEM_IS_PMEM_FORCE=1 on /dev/shm (emulated persistent memory) where the build has libpmemobj, else a file.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { serialize } from 'node:v8';

import { pack } from 'msgpackr';

import { OWNER, shapes } from './states.mjs';

const require = createRequire(import.meta.url);
const { openSync, probe } = require('../dist/index.js');
const { CheckpointStore } = require('../dist/checkpoint/index.js');
const { structured } = require('../dist/codecs.js');

const { values: flags } = parseArgs({ options: {
  ms: { type: 'string', default: '1500' }, only: { type: 'string', default: '' }, at: { type: 'string' }, json: { type: 'boolean', default: false },
} });
const pmem = process.env.PMEM_IS_PMEM_FORCE === '1' && probe('/dev/shm/holdfast-probe').builtWithPmem;
const folder = mkdtempSync(path.join(flags.at ?? (pmem ? '/dev/shm' : os.tmpdir()), 'holdfast-checkpoints-'));
const now = () => Number(process.hrtime.bigint());
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const unmeasured = 100;

const encoders = { pack, serialize, structured: (value) => structured.encode(value) };

async function measure(name, { make, immutable = false, asRun = false }) {
  const pool = openSync(path.join(folder, 'pool'), pmem ? { medium: 'pmem', size: 512 * 2 ** 20 } : { medium: 'file' });
  const [first, change] = make();
  const samples = { save: [], pack: [], serialize: [], structured: [], bytes: [] };
  const store = CheckpointStore.of(pool);
  const run = asRun ? await pool.run(OWNER.slice(4)) : undefined;
  const save = (state) => {
    const batch = pool.batch();
    store.save(batch, OWNER, state, { immutable });
    pool.commitSync(batch);
  };
  const names = ['save', ...Object.keys(encoders)];
  let end = Infinity;
  for (let k = 0; Date.now() < end; ++k) {
    if (k === unmeasured) end = Date.now() + Number(flags.ms);
    const state = k === 0 ? first : change(k);
    const taken = {};
    // Each begins as often as the others.
    for (let turn = 0; turn < names.length; ++turn) {
      const what = names[(k + turn) % names.length];
      const before = what === 'save' ? pool.stats().bytesAppended : 0;
      const begun = now();
      if (what !== 'save') encoders[what](state);
      else if (run === undefined) save(state);
      else await run.checkpoint(state, { immutable });
      taken[what] = now() - begun;
      if (what === 'save') taken.bytes = pool.stats().bytesAppended - before;
    }
    if (k >= unmeasured) for (const what of Object.keys(samples)) samples[what].push(taken[what]);
  }
  await pool.close();
  rmSync(path.join(folder, 'pool'));
  const row = { state: name, saves: samples.save.length };
  for (const [what, list] of Object.entries(samples)) row[what] = median(list);
  return row;
}

const rows = [];
try {
  for (const [name, shape] of Object.entries(shapes)) if (name.includes(flags.only)) rows.push(await measure(name, shape));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const us = (ns) => (ns / 1000).toFixed(1);
const of = ({ save }, ns) => (save / ns).toFixed(2);
if (flags.json) console.log(JSON.stringify(rows));
else {
  console.log(`${pmem ? 'pmem (emulated)' : 'file'}, node ${process.version}, medians of interleaved saves`);
  console.log('| state of 64 KiB | save and commit, us | of `pack` | of `v8.serialize` | of `structured` | bytes appended |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const row of rows) {
    const cells = [row.state, us(row.save), ...['pack', 'serialize', 'structured'].map((what) => `${of(row, row[what])} (${us(row[what])})`)];
    console.log(`| ${cells.join(' | ')} | ${row.bytes.toLocaleString('en')} |`);
  }
}
