/**
 * `holdfast bench`: one place against another, or one by itself, on this machine, in about a
 * minute.
 */
import { resolve } from 'node:path';

import { Option, type Command } from 'commander';

import { commitOf } from '../../bench/machine';
import { floorAt, holdfastAt, nameOfPlace, placeWords } from '../../bench/places';
import { guessedSeconds, workloadsOf, type Extent } from '../../bench/plan';
import { writeReport } from '../../bench/report';
import { runPlan, trialsDue } from '../../bench/runner';
import { straceMissing } from '../../bench/counted';
import { rowsOf, TABLE_HEAD, tableCells } from '../../bench/summary';
import { headline, verdict } from '../../bench/verdict';
import type { DriverAt, Group, Line, Workload } from '../../bench/line';
import { mediumOption } from '../new-pool';
import { countFromOne } from '../numbers';
import { Output } from '../output';

interface BenchFlags {
  readonly on: string;
  readonly against?: string;
  readonly medium: DriverAt['medium'];
  readonly againstMedium: DriverAt['medium'];
  readonly extent: Extent;
  readonly rounds: number;
  readonly only?: string;
  readonly report: string;
  readonly json?: boolean;
}

const HELP = `
Both places see the same work: durable commits, batches, commits in flight, reads, ranges, opening after a SIGKILL, an agent's
steps. Every trial is a process of its own, the places take turns, and everything written is removed again.
The report is a table here, and <report>/report.html (one page with plots) and <report>/lines.jsonl.

Examples:
  $ holdfast bench --on /mnt/pmem --against /mnt/nvme
  $ holdfast bench --on . --only commit,inFlight
  $ PMEM_IS_PMEM_FORCE=1 holdfast bench --on /dev/shm --medium pmem --against .`;

/** Those of the repository's own benchmark. */
const APART = new Set(['langgraph', 'replay']);
const FLOOR = 'raw write + fdatasync';

export function addBench(program: Command): void {
  program
    .command('bench')
    .description('measure a place, or compare two, with a verdict in plain words (about a minute)')
    .requiredOption('--on <folder>', 'required: the place to measure')
    .option(
      '--against <folder>',
      'the place to compare it with (default: the same place without Holdfast)',
    )
    .addOption(mediumOption('medium of the pool in --on'))
    .addOption(mediumOption('medium of the pool in --against', '--against-medium'))
    .addOption(
      new Option('--extent <extent>', 'how much is measured')
        .choices(['quick', 'usual', 'full'])
        .default('quick'),
    )
    .option('--rounds <n>', 'trials of each workload', countFromOne, 3)
    .option(
      '--only <workloads>',
      'some workloads: commit, batch, inFlight, getHot, getRandom, range, open, space, agent, state',
    )
    .option('--report <folder>', 'where the report goes', 'holdfast-bench')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (flags: BenchFlags) => bench(new Output(flags.json ?? false), flags));
}

function driversOf(flags: BenchFlags): DriverAt[] {
  const on = resolve(flags.on);
  const onName = nameOfPlace(flags.on);
  if (flags.against === undefined)
    return [holdfastAt(on, onName, flags.medium), floorAt(on, FLOOR)];
  const against = resolve(flags.against);
  const name = nameOfPlace(flags.against);
  const shown = name === onName ? `${name} (${flags.againstMedium})` : name;
  return [holdfastAt(on, onName, flags.medium), holdfastAt(against, shown, flags.againstMedium)];
}

/**
 * System calls are counted for the first commit only, but in a longer run: each counted trial takes
 * seconds of a minute.
 */
function groupsOf({ extent, only }: BenchFlags, drivers: readonly DriverAt[]): Group[] {
  const names = only?.split(',');
  const chosen = workloadsOf(extent).filter(
    ({ name }) => !APART.has(name) && (names === undefined || names.includes(name)),
  );
  const first = chosen.find(({ name }) => name === 'commit');
  const counted = ({ name }: Workload): boolean =>
    extent !== 'quick' && ['commit', 'batch', 'inFlight'].includes(name);
  return chosen.map((workload) => ({
    workload,
    drivers: driversFor(workload, drivers),
    counted: workload === first || counted(workload),
  }));
}

/** The raw floor keeps no key: it can only be told to commit. */
function driversFor({ name }: Workload, drivers: readonly DriverAt[]): readonly DriverAt[] {
  return ['commit', 'batch'].includes(name)
    ? drivers
    : drivers.filter((driver) => driver.name !== FLOOR);
}

async function bench(output: Output, flags: BenchFlags): Promise<void> {
  const drivers = driversOf(flags);
  const groups = groupsOf(flags, drivers);
  for (const { place, shown } of drivers) {
    const { fileSystem, reason } = placeWords(place);
    output.line(`${shown}: ${fileSystem}; ${reason}`);
  }
  const lines = await measure(output, groups, flags.rounds);
  const rows = rowsOf(lines, (driver) => driver === drivers[0]!.shown);
  const [on, against] = [drivers[0]!.shown, drivers[1]!.shown];
  const words = verdict(rows, on, against);
  const title = `Holdfast: ${on} against ${against}`;
  const written = writeReport(resolve(flags.report), {
    title,
    lines,
    rows,
    goals: [],
    verdict: words,
  });
  output.value({ rows, verdict: words, report: written });
  output.line();
  output.table(TABLE_HEAD, rows.map(tableCells));
  output.line();
  output.line(headline(rows, on));
  for (const sentence of words) output.line(sentence);
  output.line(`\nReport: ${written.page}`);
}

async function measure(output: Output, groups: readonly Group[], rounds: number): Promise<Line[]> {
  const due = trialsDue(groups, rounds);
  const total = due.length;
  const seconds = due.reduce((sum, workload) => sum + guessedSeconds(workload, rounds), 0);
  output.line(
    `${total} trials, about ${seconds < 90 ? `${Math.ceil(seconds / 10) * 10} seconds` : `${Math.ceil(seconds / 60)} minutes`}`,
  );
  const bar = output.progress('{bar} {value} of {total}  {now}', total);
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort(new Error('interrupted'));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const { lines } = await runPlan({
      groups,
      rounds,
      commit: commitOf(resolve(__dirname, '..', '..', '..')),
      counters: { straceMissing: straceMissing() },
      signal: interrupted.signal,
      onTrial: (driver, label, done) => bar.update(done, { now: `${label} (${driver})` }),
      onLine: (_line, done) => bar.update(done),
    });
    return lines;
  } finally {
    bar.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
