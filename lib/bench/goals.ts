/**
 * The goals Holdfast is built toward, each computed from the lines of a run: a ratio of medians of
 * the same run, or a count. A goal whose lines are missing says so; one that is missed says by how
 * much.
 */
import { LineMedians, type Of } from './medians';
import type { Line } from './line';
import type { On } from './plan';
import { valueText } from './summary';

export interface Goal {
  readonly on: On;
  readonly name: string;
  /** The threshold in words: "at most 1.5 x". */
  readonly goal: string;
  /** What was measured, in words; empty when it was not. */
  readonly is: string;
  readonly verdict: 'met' | 'missed' | 'not measured';
  /** How many times beyond the threshold; at most 1 when it is met. */
  readonly beyond: number;
}

const OURS = 'Holdfast';
const PEERS = [
  'lmdb',
  'lmdb writemap',
  'better-sqlite3',
  'classic-level',
  'JSON file, fsync + rename',
];
const KIB = 1024;
const SIZES: readonly (readonly [bytes: number, words: string])[] = [
  [64, '64 B'],
  [256, '256 B'],
  [KIB, '1 KiB'],
  [4 * KIB, '4 KiB'],
  [64 * KIB, '64 KiB'],
  [KIB * KIB, '1 MiB'],
];
const SMALL = SIZES.slice(0, 4);
const MILLION = 1_000_000;

const p50: Of = ({ result }) => result?.latency?.p50;
const p999: Of = ({ result }) => result?.latency?.p999;
const rate: Of = ({ result }) => result?.rate;
const count =
  (name: string): Of =>
  ({ result }) =>
    result?.counts[name];

const short = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(+value.toPrecision(3));

/** One number, and what it is of: "3.2 at 256 B". */
type Measured = readonly [value: number, of?: string];

/** Collects the goals of one kind of place. */
class Goals {
  readonly all: Goal[] = [];

  constructor(
    readonly on: On,
    readonly of: LineMedians,
  ) {}

  atMost(limit: number, unit: string, name: string, ...measured: readonly Measured[]): void {
    this.#add(name, `at most ${short(limit)}${unit}`, unit, measured, (value) => value / limit);
  }

  atLeast(limit: number, unit: string, name: string, ...measured: readonly Measured[]): void {
    const asked = limit === 1 ? `above 1${unit}` : `at least ${short(limit)}${unit}`;
    this.#add(name, asked, unit, measured, (value) => limit / value);
  }

  #add(
    name: string,
    goal: string,
    unit: string,
    measured: readonly Measured[],
    beyondOf: (value: number) => number,
  ): void {
    const { on } = this;
    const known = measured.filter(([value]) => Number.isFinite(value));
    const is = known
      .map(([value, of]) => short(value) + unit + (of === undefined ? '' : ` ${of}`))
      .join(', ');
    const beyond =
      known.length === 0 ? Number.NaN : Math.max(...known.map(([value]) => beyondOf(value)));
    const verdict = known.length === 0 ? 'not measured' : beyond <= 1 ? 'met' : 'missed';
    this.all.push({ on, name, goal, is, verdict, beyond });
  }

  failed(name: string, goal: string, is: string): void {
    this.all.push({ on: this.on, name, goal, is, verdict: 'missed', beyond: Number.NaN });
  }

  /** How `top` compares with `below` in commits of some sizes. */
  commits(top: string, below: string, sizes = SMALL): Measured[] {
    return sizes.map(([bytes, words]) => [
      this.of.ratio('commit', top, below, p50, { bytes }),
      `at ${words}`,
    ]);
  }

  /** How many times quicker than the fastest peer. */
  peers(sizes: typeof SIZES): Measured[] {
    return sizes.map(([bytes, words]) => {
      const { driver, value } = this.of.least('commit', PEERS, p50, { bytes });
      return [value / this.of.median('commit', OURS, p50, { bytes }), `at ${words} (${driver})`];
    });
  }
}

function pmemGoals(goals: Goals): void {
  const { of } = goals;
  const floor = 'raw nt copy + fence (C++)';
  const fences = SMALL.map(([bytes, words]): Measured => [
    +of.median('commit', OURS, count('fences'), { bytes, counted: true }).toFixed(1),
    `at ${words}`,
  ]);
  goals.atMost(1, '', 'fences per commit, counted before libpmem', ...fences);
  goals.atMost(
    1.5,
    ' x',
    'commit in C++, against raw copy + fence',
    ...goals.commits('Holdfast (C++)', floor),
  );
  goals.atMost(
    2.5,
    ' x',
    'commit from JavaScript, against the same floor',
    ...goals.commits(OURS, floor),
  );
  const transactions = goals.commits('libpmemobj transaction (JS)', OURS);
  goals.atLeast(
    5,
    ' x',
    'commit from JavaScript, times quicker than a libpmemobj transaction',
    ...transactions,
  );
  goals.atLeast(
    10,
    ' x',
    'commit of 256 B, times quicker than the fastest peer',
    ...goals.peers([[256, '256 B']]),
  );
  goals.atLeast(
    8,
    ' x',
    'commit of 4 KiB, times quicker than the fastest peer',
    ...goals.peers([[4 * KIB, '4 KiB']]),
  );
}

function diskGoals(goals: Goals): void {
  const { of } = goals;
  // To one decimal: a fold in the background that falls between the marks adds a sync to those of
  // fifty commits.
  const syncs = (['commit', 'batch', 'inFlight'] as const).map((workload): Measured => [
    +of.median(workload, OURS, count('syncs'), { counted: true }).toFixed(1),
    workload === 'inFlight' ? 'a group' : `a ${workload}`,
  ]);
  goals.atMost(1, '', 'syncs per commit, batch and group, counted by strace', ...syncs);
  const floor = goals.commits(OURS, 'raw write + fdatasync (JS)', [[KIB, '1 KiB']]);
  goals.atMost(1.1, ' x', 'commit of 1 KiB, against write + fdatasync', ...floor);
  goals.atLeast(1, ' x', 'commit, times quicker than the fastest peer', ...goals.peers(SIZES));
  const at = (driver: string, inFlight: number): number =>
    of.median('inFlight', driver, rate, { inFlight });
  goals.atLeast(20, ' x', '64 commits in flight, throughput against 1', [
    at(OURS, 64) / at(OURS, 1),
  ]);
  const { driver, value } = of.most('inFlight', PEERS, rate, { inFlight: 64 });
  goals.atLeast(1, ' x', '64 commits in flight, times ahead of the fastest peer', [
    at(OURS, 64) / value,
    `(${driver})`,
  ]);
  const written = of.median('commit', OURS, count('writtenBytes'), { bytes: KIB, counted: true });
  goals.atMost(8192, ' B', 'bytes written per commit of 1 KiB, counted by strace', [written]);
}

function storeGoals(goals: Goals): void {
  const { of } = goals;
  const lmdb = (workload: string, bytes: number, keys: number): number =>
    of.ratio(workload, OURS, 'lmdb', p50, { bytes, keys });
  const reads = [100_000, MILLION].map((keys): Measured => [
    lmdb('getRandom', 256, keys),
    `of ${keys.toLocaleString('en')}`,
  ]);
  goals.atMost(0.5, ' x', 'random point read of 256 B, against lmdb', ...reads);
  const ranges: Measured[] = [
    [lmdb('range', 256, MILLION), 'at 256 B'],
    [lmdb('range', 4 * KIB, 100_000), 'at 4 KiB'],
  ];
  goals.atMost(1 / 3, ' x', 'range of 1,000 entries, against lmdb', ...ranges);

  const open = (keys: number): number => of.median('open', OURS, count('toFirstReadMs'), { keys });
  goals.atMost(10, ' ms', 'open to first read, 1 million keys, beyond a store of one key', [
    Math.max(0, open(MILLION) - open(1)),
  ]);
  goals.atMost(1.5, ' x', 'open to first read, 10 million keys against 1 million', [
    open(10 * MILLION) / open(MILLION),
  ]);

  const space = (name: string, keys: number): number =>
    of.median('space', OURS, count(name), { keys });
  goals.atMost(1.1, ' x', 'space of 1 million x 256 B, against the data', [
    space('takenPerData', MILLION),
  ]);
  const after = (keys: number): number => space('takenPerDataAfterOverwrites', keys);
  const overwritten: Measured[] = [
    [after(MILLION), 'of 1 million'],
    [after(100_000), 'where these are all'],
  ];
  goals.atMost(1.25, ' x', 'space after 100,000 keys were overwritten 20 times', ...overwritten);
  const memory = of.median('memory', OURS, count('anonymousMiB'));
  goals.atMost(64, ' MiB', 'anonymous memory with 1 million keys, beyond Node', [memory]);
}

function cleanerGoals(goals: Goals): void {
  const { of, on } = goals;
  const floor = on === 'pmem' ? 'raw nt copy + fence (JS)' : 'raw write + fdatasync (JS)';
  const name = 'overwriting at 85 % live: write amplification';
  const refused = of.median('cleaner', OURS, count('refusedAfter'));
  const turned = of.median('cleaner', OURS, count('overwritten'));
  // Before as much was overwritten as is live the cleaner has had little to do.
  const is: Measured =
    turned < 1 ? [Number.NaN] : [of.median('cleaner', OURS, count('writeAmplification'))];
  if (Number.isNaN(refused)) goals.atMost(5, ' x', name, is);
  // Full although nothing is added: no amplification makes up for that.
  else goals.failed(name, 'at most 5 x', `refused as full after ${short(refused)} commits`);
  // In time, not as a ratio of ratios: a floor whose median is short has a tail of many medians.
  const medium = of.median('cleaner', floor, p999);
  const known = !Number.isNaN(medium);
  const ours =
    (of.median('cleaner', OURS, p999) - (known ? medium : 0)) / of.median('cleaner', OURS, p50);
  const beyond = known
    ? `(less ${valueText(medium, 'ns')}, the medium's own)`
    : "(the medium's own was not measured)";
  goals.atMost(
    10,
    ' x',
    "overwriting at 85 % live: p99.9 against the median, beyond the medium's own",
    [ours, beyond],
  );
}

function agentGoals(goals: Goals): void {
  const { of, on } = goals;
  const ours = 'LangGraph, Holdfast';
  const late = (driver: string): number => of.median('langgraph', driver, count('lateStepUs'));
  goals.atLeast(2, ' x', 'LangGraph at 800 steps, times quicker than MemorySaver', [
    late('LangGraph, MemorySaver') / late(ours),
  ]);
  const early = of.median('langgraph', ours, count('earlyStepUs'));
  goals.atMost(1.5, ' x', 'LangGraph, a step at 800 against one at 50', [late(ours) / early]);
  if (on === 'pmem') return;
  const sqlite = late('LangGraph, SqliteSaver FULL');
  goals.atLeast(5, ' x', 'LangGraph at 800 steps, times quicker than SqliteSaver at FULL', [
    sqlite / late(ours),
  ]);
  const mebibytes = of.median('langgraph', ours, count('deviceMiBInAll'));
  goals.atMost(12, ' MB', 'LangGraph, 800 steps: bytes to the device', [
    (mebibytes * 2 ** 20) / 1e6,
  ]);
}

export function goalsOf(lines: readonly Line[]): Goal[] {
  return (['pmem', 'disk'] as const)
    .filter((on) => lines.some((line) => line.on === on))
    .flatMap((on) => {
      const goals = new Goals(on, new LineMedians(lines.filter((line) => line.on === on)));
      if (on === 'pmem') pmemGoals(goals);
      else diskGoals(goals);
      storeGoals(goals);
      cleanerGoals(goals);
      agentGoals(goals);
      return goals.all;
    });
}

export const GOALS_HEAD = ['on', 'goal', 'asked', 'measured', 'verdict'] as const;

export function goalCells({ on, name, goal, is, verdict, beyond }: Goal): string[] {
  const by =
    verdict === 'missed' && Number.isFinite(beyond) ? `missed by ${short(beyond)} x` : verdict;
  return [on, name, goal, is === '' ? '-' : is, by];
}
