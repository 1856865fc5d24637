/**
 * Lines become rows: one per workload and driver, with the median over the trials, how far they lie
 * apart, and the ratio to the group's reference. A row that is behind the reference, or could not
 * be measured, stays and says so.
 */
import { quickestOf, SLOWED, slowedIn } from './processor';
import { median, spread } from './statistics';
import type { Line } from './line';

/** What a workload is judged by. */
interface Judged {
  readonly unit: 'ns' | '/s' | 'ms' | 'x data' | 'MiB' | 'x written';
  readonly betterIs: 'less' | 'more';
  readonly of: (line: Line) => number | undefined;
}

const nanoseconds: Judged = {
  unit: 'ns',
  betterIs: 'less',
  of: ({ result }) => result?.latency?.p50,
};

const judgedBy: Readonly<Record<string, Judged>> = {
  langgraph: {
    unit: 'ns',
    betterIs: 'less',
    of: ({ result }) => result && result.counts.meanStepUs! * 1000,
  },
  memory: { unit: 'MiB', betterIs: 'less', of: ({ result }) => result?.counts.anonymousMiB },
  cleaner: {
    unit: 'x written',
    betterIs: 'less',
    of: ({ result }) => result?.counts.writeAmplification,
  },
  replay: { unit: 'ms', betterIs: 'less', of: ({ result }) => result?.counts.totalMs },
  inFlight: { unit: '/s', betterIs: 'more', of: ({ result }) => result?.rate },
  open: { unit: 'ms', betterIs: 'less', of: ({ result }) => result?.counts.toFirstReadMs },
  space: {
    unit: 'x data',
    betterIs: 'less',
    of: ({ result }) => result?.counts.takenPerDataAfterOverwrites,
  },
};

export interface Row {
  readonly workload: string;
  readonly on?: string;
  readonly label: string;
  readonly driver: string;
  readonly unit: Judged['unit'];
  /**
   * How many times better than this row the reference is; below 1 the reference loses. 1 for
   * itself.
   */
  readonly ratio: number;
  readonly value: number;
  readonly spread: number;
  readonly p99?: number;
  /** How many times slower the processor itself was, in the median of the trials. */
  readonly slowed?: number;
  readonly medium: string;
  readonly class: string;
  readonly how: string;
  readonly fileSystem: string;
  readonly counts: Readonly<Record<string, number>>;
  /** Why its system calls were not counted, when they should have been. */
  readonly notCounted?: string;
  readonly reference: boolean;
  readonly skipped?: string;
}

export function rowsOf(lines: readonly Line[], isReference: (driver: string) => boolean): Row[] {
  const rows: Row[] = [];
  const quickest = quickestOf(lines);
  for (const label of new Set(lines.map((line) => line.label))) {
    const group = lines.filter((line) => line.label === label);
    const judged = judgedBy[group[0]!.workload] ?? nanoseconds;
    const valueOf = (driver: string): number =>
      median(
        group
          .filter((line) => line.driver === driver && !line.counted)
          .flatMap((line) => judged.of(line) ?? []),
      );
    const drivers = [...new Set(group.map((line) => line.driver))];
    const reference = drivers.find(isReference) ?? drivers[0]!;
    for (const driver of drivers) {
      const own = group.filter((line) => line.driver === driver);
      const value = { own: valueOf(driver), reference: valueOf(reference) };
      rows.push(
        rowOf(
          own.filter(({ counted }) => !counted),
          own.find(({ counted }) => counted),
          judged,
          value,
          driver === reference,
          quickest,
        ),
      );
    }
  }
  return rows;
}

function rowOf(
  trials: readonly Line[],
  counted: Line | undefined,
  judged: Judged,
  { own: value, reference }: { own: number; reference: number },
  isReference: boolean,
  quickest: ReadonlyMap<string, number>,
): Row {
  const first = trials.find((line) => line.result !== undefined) ?? trials[0] ?? counted!;
  const p99s = trials.flatMap((line) => line.result?.latency?.p99 ?? []);
  return {
    workload: first.workload,
    on: first.on,
    label: first.label,
    driver: first.driver,
    unit: judged.unit,
    ratio: judged.betterIs === 'less' ? value / reference : reference / value,
    value,
    spread: spread(trials.flatMap((line) => judged.of(line) ?? [])),
    p99: p99s.length > 0 ? median(p99s) : undefined,
    slowed: slowedIn(trials, quickest),
    medium: first.result?.facts.medium ?? '',
    class: first.result?.facts.class ?? '',
    how: first.result?.facts.how ?? '',
    fileSystem: first.fileSystem,
    counts: { ...mediansOf(trials), ...counted?.result?.counts },
    notCounted: counted?.skipped,
    reference: isReference,
    skipped: first.skipped,
  };
}

function mediansOf(trials: readonly Line[]): Record<string, number> {
  const counts = trials.flatMap(({ result }) => (result === undefined ? [] : [result.counts]));
  const names = [...new Set(counts.flatMap((one) => Object.keys(one)))];
  return Object.fromEntries(
    names.map((name) => [name, median(counts.flatMap((one) => one[name] ?? []))]),
  );
}

export function valueText(value: number, unit: Row['unit']): string {
  if (Number.isNaN(value)) return '';
  if (unit === '/s') return `${Math.round(value).toLocaleString('en')}/s`;
  if (unit === 'x data' || unit === 'x written') return `${value.toFixed(2)} ${unit}`;
  if (unit === 'MiB') return `${value.toFixed(1)} MiB`;
  if (unit === 'ms') return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${value.toFixed(0)} ns`;
  return value < 1e6
    ? `${(value / 1e3).toFixed(value < 1e4 ? 2 : 1)} us`
    : `${(value / 1e6).toFixed(1)} ms`;
}

/** `ratio` in words a person compares at a glance. */
export function ratioText({ ratio, reference, skipped }: Row): string {
  if (skipped !== undefined) return '-';
  if (reference) return '1';
  if (Number.isNaN(ratio)) return '?';
  if (ratio < 0.1) return `${Number(ratio.toPrecision(2))} x`;
  return ratio >= 10 ? `${ratio.toFixed(0)} x` : `${ratio.toFixed(2)} x`;
}

/** The heads and cells of the table, the same in the terminal, in the page and in the document. */
export const TABLE_HEAD = [
  'workload',
  'driver',
  'ratio',
  'median',
  'p99',
  'spread',
  'on',
  'class',
  'counted',
] as const;

export function tableCells(row: Row): string[] {
  if (row.skipped !== undefined)
    return [row.label, row.driver, '-', `skipped: ${row.skipped}`, '', '', row.fileSystem, '', ''];
  const lost = !row.reference && row.ratio < 0.995 ? ' (ahead)' : '';
  return [
    row.label,
    row.driver,
    ratioText(row) + lost,
    valueText(row.value, row.unit),
    row.p99 === undefined ? '' : valueText(row.p99, 'ns'),
    `${(row.spread * 100).toFixed(0)} %`,
    `${row.medium}, ${row.fileSystem}`,
    row.class,
    countsText(row),
  ];
}

const SHOWN_COUNTS: Readonly<Record<string, string>> = {
  fences: 'fences',
  barriers: 'barriers',
  fdatasync: 'fdatasync',
  fsync: 'fsync',
  msync: 'msync',
  'synchronous pwrite64': 'synchronous pwrite',
  'synchronous write': 'synchronous write',
  writes: 'writes',
  writtenBytes: 'B written',
  rename: 'rename',
  instructions: 'instructions',
  deviceBytes: 'B to device',
  takenPerData: 'x data when loaded',
  openMs: 'ms open',
  firstReadMs: 'ms first read',
  live: 'of it live',
  p999PerMedian: 'x median at p99.9',
  longestMs: 'ms longest',
  refusedAfter: 'commits, then REFUSED as full',
  earlyStepUs: 'us a step at 50',
  lateStepUs: 'us a step at the end',
  deviceMiBInAll: 'MiB to device',
  messages: 'messages',
  commitUs: 'us a commit',
  continueMs: 'ms to go on after a kill',
  lost: 'lost',
  repeated: 'repeated',
};

/** Workloads whose rows claim that what is acknowledged is kept, and of which that was counted. */
const CLAIMS = new Set(['commit', 'batch', 'inFlight']);

/** Undefined where nothing speaks against it. */
function doubt({ workload, medium, counts, class: claimed, notCounted }: Row): string | undefined {
  if (!CLAIMS.has(workload) || claimed === 'none') return undefined;
  if (notCounted !== undefined) return notCounted;
  // strace sees no fence: where no counter stands before libpmem, persistent memory shows the
  // store's own count of barriers alone.
  if (counts.fences === undefined && (counts.syncs === undefined || medium === 'pmem'))
    return undefined;
  return (counts.syncs ?? 0) + (counts.fences ?? 0) > 0
    ? undefined
    : 'NOT DURABLE: no sync and no fence was counted';
}

function countsText(row: Row): string {
  const shown: string[] = [];
  for (const [name, words] of Object.entries(SHOWN_COUNTS)) {
    const count = row.counts[name];
    // What is 0 says something where it is a loss or a barrier; else it is noise.
    if (
      count === undefined ||
      (count === 0 && !['lost', 'repeated', 'takenPerData'].includes(name))
    )
      continue;
    if (name === 'barriers' && row.counts.syncs !== undefined && row.counts.fences === undefined)
      continue;
    const number =
      count >= 100 ? Math.round(count).toLocaleString('en') : String(Number(count.toPrecision(2)));
    shown.push(`${number} ${number === '1' ? words.replace(/s$/, '') : words}`);
  }
  if (row.slowed !== undefined && row.slowed > SLOWED)
    shown.push(`processor slowed ${row.slowed.toFixed(2)} x by others`);
  const doubted = doubt(row);
  return [...(doubted === undefined ? [] : [doubted]), ...shown].join(', ');
}
