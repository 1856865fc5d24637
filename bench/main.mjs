// npm run bench: Holdfast, the floors and the peers on an ordinary disk and on (emulated) persistent memory.
//   npm run bench -- [--extent quick|usual|full] [--rounds n] [--only commit,get…] [--places disk,pmem] [--disk folder] [--pmem folder]
//                    [--drivers holdfast,lmdb,…] [--report folder]
// A peer that is not installed (npm install in bench/) gives rows that say so.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import cliProgress from 'cli-progress';

import { nativeAt, nativeMissing } from './native.mjs';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '..');
const load = (name) => require(path.join(root, 'dist/bench', `${name}.js`));
if (!existsSync(path.join(root, 'dist/bench/runner.js'))) throw new Error('dist/ is missing: npm run build makes it');
const [{ runPlan }, { workloadsOf }, { rowsOf, TABLE_HEAD, tableCells }, { writeReport }, { holdfastAt, floorAt }, { commitOf }] =
  ['runner', 'plan', 'summary', 'report', 'places', 'machine'].map(load);
const { Output } = require(path.join(root, 'dist/cli/output.js'));

const { values: flags } = parseArgs({ options: {
  extent: { type: 'string', default: 'usual' }, rounds: { type: 'string', default: '5' }, only: { type: 'string' },
  places: { type: 'string', default: 'disk,pmem' }, drivers: { type: 'string' }, report: { type: 'string', default: 'bench-report' },
  disk: { type: 'string', default: os.tmpdir() }, pmem: { type: 'string', default: '/dev/shm' },
} });

const peer = (name, file) => (place) => ({ name, shown: name, module: path.join(import.meta.dirname, 'peers', `${file}.mjs`), place });
const peers = [peer('lmdb', 'lmdb'), peer('lmdb writemap', 'lmdb'), peer('better-sqlite3', 'sqlite'), peer('classic-level', 'level'),
  peer('JSON file, fsync + rename', 'json-file')];
const agents = ['LangGraph, no saver', 'LangGraph, MemorySaver', 'LangGraph, SqliteSaver', 'LangGraph, SqliteSaver FULL', 'LangGraph, Holdfast']
  .map((name) => peer(name, 'langgraph'));
const missing = nativeMissing();

const pmemForced = { PMEM_IS_PMEM_FORCE: '1' };
const places = {
  pmem: {
    folder: path.resolve(flags.pmem),
    drivers: (place, { name }) => [
      { ...holdfastAt(place, 'Holdfast', 'pmem'), env: pmemForced },
      ...(name === 'commit' ? [nativeAt(place, 'pmem-raw', 'raw nt copy + fence (C++)', missing),
        nativeAt(place, 'pmem-holdfast', 'Holdfast (C++)', missing), nativeAt(place, 'pmem-tx', 'libpmemobj transaction (C++)', missing)] : []),
      ...peers.map((at) => at(place)),
      ...(name === 'agent' ? agents.map((at) => ({ ...at(place), medium: 'pmem', env: pmemForced })) : []),
    ],
  },
  disk: {
    folder: path.resolve(flags.disk),
    drivers: (place, { name }) => [
      holdfastAt(place, 'Holdfast', 'file'),
      ...(name === 'commit' ? [nativeAt(place, 'file-raw', 'raw pwrite + fdatasync (C++)', missing),
        nativeAt(place, 'file-holdfast', 'Holdfast (C++)', missing), floorAt(place, 'raw write + fdatasync')] : []),
      ...peers.map((at) => at(place)),
      ...(name === 'agent' ? agents.map((at) => ({ ...at(place), medium: 'file' })) : []),
    ],
  },
};

const only = flags.only?.split(',');
const drivers = flags.drivers?.split(',');
const groups = flags.places.split(',').flatMap((name) => {
  const { folder, drivers: at } = places[name];
  return workloadsOf(flags.extent)
    .filter((workload) => only === undefined || only.includes(workload.name))
    .map((workload) => ({
      workload: { ...workload, label: `${name}: ${workload.label}` },
      drivers: at(folder, workload).filter(({ shown }) => drivers === undefined || drivers.some((part) => shown.toLowerCase().includes(part))),
    }));
});

const bar = process.stderr.isTTY ? new cliProgress.SingleBar({ format: '{bar} {value}/{total} {now}', clearOnComplete: true, hideCursor: true }) : undefined;
bar?.start(groups.reduce((sum, group) => sum + group.drivers.length, 0) * Number(flags.rounds), 0, { now: '' });
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')));
const lines = await runPlan({
  groups, rounds: Number(flags.rounds), commit: commitOf(root), signal: interrupted.signal,
  onTrial: (driver, label, done) => bar?.update(done, { now: `${label} (${driver})` }),
});
bar?.stop();
const rows = rowsOf(lines, (driver) => driver === 'Holdfast');
const output = new Output(false);
output.table(TABLE_HEAD, rows.map(tableCells));
const written = writeReport(path.resolve(flags.report), { title: 'Holdfast beside its peers', lines, rows, verdict: [] });
console.log(`\nReport: ${written.page}\nLines:  ${written.lines}`);
