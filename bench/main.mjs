// npm run bench: Holdfast, the floors and the peers on an ordinary disk and on (emulated)
// persistent memory.
//   npm run bench -- [--extent quick|usual|full] [--rounds n] [--only commit,getRandom…]
//                    [--places disk,pmem] [--disk folder] [--pmem folder]
//                    [--drivers holdfast,lmdb,…] [--report folder] [--trajectories file]
//                    [--for seconds] [--afresh] [--counts with|only|without]
// With --for it stops after so long; the same command goes on where it was cut, as after Ctrl-C.
// What the report's folder holds of the same commit is not measured again, but with --afresh. A
// peer that is not installed (npm install in bench/) gives rows that say so.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import cliProgress from 'cli-progress';

import { driversAt } from './drivers.mjs';
import { fenceCounter, nativeMissing } from './native.mjs';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '..');
const [
  { runPlan, trialsDue },
  { workloadsOf, guessedSeconds },
  { rowsOf, TABLE_HEAD, tableCells },
  { writeReport },
  { commitOf },
  { straceMissing },
  { goalsOf, GOALS_HEAD, goalCells },
] = ['runner', 'plan', 'summary', 'report', 'machine', 'counted', 'goals'].map((name) =>
  require(path.join(root, 'dist/bench', `${name}.js`)),
);
const { Output } = require(path.join(root, 'dist/cli/output.js'));

/** What is no flag ends it, with what there is: the lines at the head of this file. */
function parsed(options) {
  try {
    return parseArgs({ options });
  } catch (error) {
    const head = readFileSync(import.meta.filename, 'utf8')
      .split('\n')
      .slice(0, 6)
      .map((line) => line.replace(/^\/\/ /, ''));
    console.error(`${error.message}\n\n${head.join('\n')}`);
    process.exit(2);
  }
}
const { values: flags } = parsed({
  extent: { type: 'string', default: 'usual' },
  rounds: { type: 'string', default: '5' },
  only: { type: 'string' },
  places: { type: 'string', default: 'disk,pmem' },
  drivers: { type: 'string' },
  report: { type: 'string', default: 'bench-report' },
  disk: { type: 'string', default: os.tmpdir() },
  pmem: { type: 'string', default: '/dev/shm' },
  trajectories: { type: 'string' },
  for: { type: 'string' },
  afresh: { type: 'boolean', default: false },
  counts: { type: 'string', default: 'with' },
});
const report = path.resolve(flags.report);
const commit = commitOf(root);
const rounds = flags.counts === 'only' ? 0 : Number(flags.rounds);
const counters = { straceMissing: straceMissing() };
const missing = nativeMissing();
if (missing !== undefined) console.error(missing);
if (existsSync(fenceCounter)) counters.fenceCounter = fenceCounter;

const COUNTED = new Set(['commit', 'batch', 'inFlight']);
const groups = flags.places.split(',').flatMap((on) => {
  const drivers = driversAt(on, path.resolve(flags[on]), { missing, counters }, flags.trajectories);
  const wanted = ({ shown }) =>
    flags.drivers === undefined ||
    flags.drivers.split(',').some((part) => shown.toLowerCase().includes(part.toLowerCase()));
  return workloadsOf(flags.extent, on)
    .filter(({ name }) => flags.only === undefined || flags.only.split(',').includes(name))
    .map((workload) => ({
      workload,
      drivers: drivers(workload).filter(wanted),
      counted: flags.counts !== 'without' && COUNTED.has(workload.name),
    }));
});

const linesFile = path.join(report, 'lines.jsonl');
mkdirSync(report, { recursive: true });
const before =
  existsSync(linesFile) && !flags.afresh
    ? readFileSync(linesFile, 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((text) => JSON.parse(text))
    : [];
const known = before.filter((line) => line.commit === commit);
writeFileSync(linesFile, known.map((line) => `${JSON.stringify(line)}\n`).join(''));
const due = trialsDue(groups, rounds, known);
const minutes =
  due.reduce((sum, workload) => sum + guessedSeconds(workload, Math.max(1, rounds)), 0) / 60;
console.error(
  `${due.length} trials, about ${Math.ceil(minutes)} minutes${known.length > 0 ? `; ${known.length} are known` : ''}`,
);

const barLooks = {
  format: '{bar} {value}/{total} {eta_formatted}  {now}',
  clearOnComplete: true,
  hideCursor: true,
  etaBuffer: 50,
};
const bar = process.stderr.isTTY ? new cliProgress.SingleBar(barLooks) : undefined;
bar?.start(due.length, 0, { now: '' });
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new Error('interrupted: the same command goes on')));
const stopped = (error) => {
  bar?.stop();
  if (!interrupted.signal.aborted) throw error;
  console.error(error.message);
  process.exit(130);
};
let shown = '';
const { lines, finished } = await runPlan({
  groups,
  rounds,
  commit,
  counters,
  known,
  signal: interrupted.signal,
  until: flags.for === undefined ? undefined : Date.now() + Number(flags.for) * 1000,
  onTrial: (driver, label, done, of) => {
    bar?.update(done, { now: `${label} (${driver})` });
    if (bar === undefined && label !== shown) console.error(`${done}/${of} ${(shown = label)}`);
  },
  onLine: (line, done) => {
    bar?.update(done);
    appendFileSync(linesFile, `${JSON.stringify(line)}\n`);
  },
}).catch(stopped);
bar?.stop();
const rows = rowsOf(lines, (driver) => driver === 'Holdfast' || driver === 'LangGraph, Holdfast');
const goals = goalsOf(lines);
const written = writeReport(report, {
  title: 'Holdfast beside its peers',
  lines,
  rows,
  goals,
  verdict: [],
});
const output = new Output(false);
if (finished) {
  output.table(TABLE_HEAD, rows.map(tableCells));
  output.line('\nAgainst the goals');
  output.table(GOALS_HEAD, goals.map(goalCells));
} else console.error(`cut after ${flags.for} s: the same command goes on`);
console.log(`\nReport: ${written.page}\nLines:  ${written.lines}`);
