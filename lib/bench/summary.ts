/**
 * Lines become rows: one per workload and driver, with the median over the trials, how far they lie apart, and the ratio to the
 * group's reference. A row that is behind the reference, or could not be measured, stays and says so.
 */
import { median, spread } from './statistics';
import type { Line } from './line';

/** What a workload is judged by. */
interface Judged {
  readonly unit: 'ns' | '/s' | 'ms' | 'x data';
  readonly betterIs: 'less' | 'more';
  readonly of: (line: Line) => number | undefined;
}

const nanoseconds: Judged = { unit: 'ns', betterIs: 'less', of: ({ result }) => result?.latency?.p50 };

const judgedBy: Readonly<Record<string, Judged>> = {
  inFlight: { unit: '/s', betterIs: 'more', of: ({ result }) => result?.rate },
  open: { unit: 'ms', betterIs: 'less', of: ({ result }) => result?.counts.toFirstReadMs },
  space: { unit: 'x data', betterIs: 'less', of: ({ result }) => result?.counts.takenPerDataAfterOverwrites },
};

export interface Row {
  readonly workload: string;
  readonly label: string;
  readonly driver: string;
  readonly unit: Judged['unit'];
  /** How many times better than this row the reference is; below 1 the reference loses. 1 for itself. */
  readonly ratio: number;
  readonly value: number;
  readonly spread: number;
  readonly p99?: number;
  readonly medium: string;
  readonly class: string;
  readonly how: string;
  readonly fileSystem: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly reference: boolean;
  readonly skipped?: string;
}

export function rowsOf(lines: readonly Line[], isReference: (driver: string) => boolean): Row[] {
  const rows: Row[] = [];
  for (const label of new Set(lines.map((line) => line.label))) {
    const group = lines.filter((line) => line.label === label);
    const judged = judgedBy[group[0]!.workload] ?? nanoseconds;
    const valueOf = (driver: string): number =>
      median(group.filter((line) => line.driver === driver).flatMap((line) => judged.of(line) ?? []));
    const drivers = [...new Set(group.map((line) => line.driver))];
    const reference = drivers.find(isReference) ?? drivers[0]!;
    for (const driver of drivers) {
      const trials = group.filter((line) => line.driver === driver);
      rows.push(rowOf(trials, judged, valueOf(driver), valueOf(reference), driver === reference));
    }
  }
  return rows;
}

function rowOf(trials: readonly Line[], judged: Judged, value: number, reference: number, isReference: boolean): Row {
  const first = trials.find((line) => line.result !== undefined) ?? trials[0]!;
  const p99s = trials.flatMap((line) => line.result?.latency?.p99 ?? []);
  return {
    workload: first.workload,
    label: first.label,
    driver: first.driver,
    unit: judged.unit,
    ratio: judged.betterIs === 'less' ? value / reference : reference / value,
    value,
    spread: spread(trials.flatMap((line) => judged.of(line) ?? [])),
    p99: p99s.length > 0 ? median(p99s) : undefined,
    medium: first.result?.facts.medium ?? '',
    class: first.result?.facts.class ?? '',
    how: first.result?.facts.how ?? '',
    fileSystem: first.fileSystem,
    counts: first.result?.counts ?? {},
    reference: isReference,
    skipped: first.skipped,
  };
}

export function valueText(value: number, unit: Row['unit']): string {
  if (Number.isNaN(value)) return '';
  if (unit === '/s') return `${Math.round(value).toLocaleString('en')}/s`;
  if (unit === 'x data') return `${value.toFixed(2)} x data`;
  if (unit === 'ms') return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${value.toFixed(0)} ns`;
  return value < 1e6 ? `${(value / 1e3).toFixed(value < 1e4 ? 2 : 1)} us` : `${(value / 1e6).toFixed(1)} ms`;
}

/** `ratio` in words a person compares at a glance. */
export function ratioText({ ratio, reference, skipped }: Row): string {
  if (skipped !== undefined) return '-';
  if (reference) return '1';
  if (Number.isNaN(ratio)) return '?';
  return ratio >= 10 ? `${ratio.toFixed(0)} x` : `${ratio.toFixed(2)} x`;
}

/** The heads and cells of the table, the same in the terminal, in the page and in the document. */
export const TABLE_HEAD = ['workload', 'driver', 'ratio', 'median', 'p99', 'spread', 'on', 'class', 'counted'] as const;

export function tableCells(row: Row): string[] {
  if (row.skipped !== undefined) return [row.label, row.driver, '-', `skipped: ${row.skipped}`, '', '', row.fileSystem, '', ''];
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
    countsText(row.counts),
  ];
}

const SHOWN_COUNTS: Readonly<Record<string, string>> = {
  barriers: 'barriers',
  deviceBytes: 'B to device',
  takenPerData: 'x data when loaded',
  openMs: 'ms open',
  firstReadMs: 'ms first read',
  privateMiB: 'MiB private',
  deviceMiBInAll: 'MiB to device',
  instructions: 'instructions',
  syncs: 'syncs',
};

function countsText(counts: Row['counts']): string {
  const shown: string[] = [];
  for (const [name, words] of Object.entries(SHOWN_COUNTS)) {
    const count = counts[name];
    if (count === undefined || (name === 'deviceBytes' && count === 0)) continue;
    shown.push(`${count >= 100 ? Math.round(count).toLocaleString('en') : Number(count.toPrecision(2))} ${words}`);
  }
  return shown.join(', ');
}
