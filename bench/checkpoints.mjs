// npm run bench:checkpoints: what it costs to save a state of 64 KiB of which 1 KiB changed, beside
// encoding all of it. For work on the code, not for comparing stores.
//   npm run bench:checkpoints -- [--ms 1500] [--only text] [--at folder] [--json]
// Three encoders, each in turns with the save and its commit, in one process: msgpackr's `pack`
// (the quickest; it carries no Map, Set, Date or cycle as they are), v8.serialize (the platform's
// own), and the codec `structured` (what a checkpoint without deltas would write). Medians. With
// PMEM_IS_PMEM_FORCE=1 on /dev/shm (emulated persistent memory) where the build has libpmemobj,
// else a file.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
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

const { values: flags } = parseArgs({
  options: {
    ms: { type: 'string', default: '1500' },
    only: { type: 'string', default: '' },
    at: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const pmem =
  process.env.PMEM_IS_PMEM_FORCE === '1' && probe('/dev/shm/holdfast-probe').builtWithPmem;
const place = flags.at ?? (pmem ? '/dev/shm' : os.tmpdir());
mkdirSync(place, { recursive: true });
const folder = mkdtempSync(path.join(place, 'holdfast-checkpoints-'));
const now = () => Number(process.hrtime.bigint());
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const unmeasured = 1000;

const encoders = { pack, serialize, structured: (value) => structured.encode(value) };

async function measure(name, { make, immutable = false, asRun = false }) {
  const pool = openSync(
    path.join(folder, 'pool'),
    pmem ? { medium: 'pmem', size: 512 * 2 ** 20 } : { medium: 'file' },
  );
  const [first, change] = make();
  const store = CheckpointStore.of(pool);
  const run = asRun ? await pool.run(OWNER.slice(4)) : undefined;
  const save = run
    ? (state) => run.checkpoint(state, { immutable })
    : (state) => {
        const batch = pool.batch();
        const info = store.save(batch, OWNER, state, { immutable });
        pool.commitSync(batch);
        store.committed(info); // as run.checkpoint says it
      };
  // The bytes first: asking for them takes as long as a save, and by then the code is compiled.
  const bytes = [];
  let k = 0;
  for (; k < unmeasured; ++k) {
    const before = pool.stats().bytesAppended;
    await save(k === 0 ? first : change(k));
    if (k > 0) bytes.push(pool.stats().bytesAppended - before);
  }
  const row = { state: name, bytes: median(bytes), of: {} };
  for (const [encoder, encode] of Object.entries(encoders)) {
    const saves = [];
    const encodings = [];
    for (const end = Date.now() + Number(flags.ms); Date.now() < end; ++k) {
      const state = change(k);
      // Each goes first as often as the other.
      for (const turn of [k % 2, 1 - (k % 2)]) {
        const begun = now();
        if (turn === 1) encode(state);
        else if (run === undefined) save(state);
        else await save(state);
        (turn === 1 ? encodings : saves).push(now() - begun);
      }
    }
    row.of[encoder] = { saves: saves.length, save: median(saves), encode: median(encodings) };
  }
  await pool.close();
  rmSync(path.join(folder, 'pool'));
  return row;
}

const rows = [];
try {
  for (const [name, shape] of Object.entries(shapes))
    if (name.includes(flags.only)) rows.push(await measure(name, shape));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (flags.json) console.log(JSON.stringify(rows));
else {
  const us = (ns) => (ns / 1000).toFixed(1);
  console.log(
    `${pmem ? 'pmem (emulated)' : 'file'}, node ${process.version}; us: the save and its commit beside the encoding`,
  );
  console.log(
    '| state of 64 KiB | of `pack` | of `v8.serialize` | of `structured` | bytes appended |',
  );
  console.log('| --- | --- | --- | --- | --- |');
  for (const { state, bytes, of } of rows) {
    const cells = Object.values(of).map(
      ({ save, encode }) => `${(save / encode).toFixed(2)} (${us(save)} / ${us(encode)})`,
    );
    console.log(`| ${[state, ...cells, bytes.toLocaleString('en')].join(' | ')} |`);
  }
}
