/**
 * Which plots a report has, and what is drawn in them: data only, made here, drawn in the page by
 * page-script.ts.
 */
import { sizeText } from './plan';
import { median } from './statistics';
import type { Line } from './line';

export type Points = readonly (readonly [x: number, y: number])[];

export interface Series {
  readonly name: string;
  readonly points: Points;
}

export interface Plot {
  readonly section: string;
  readonly title: string;
  /** One sentence below the title: what is seen, and which way is better. */
  readonly note: string;
  readonly x: string;
  readonly y: string;
  /**
   * How x is spread: percentiles by their nines, or logarithmic with a label at each value, or
   * plainly.
   */
  readonly scale: 'nines' | 'log' | 'linear';
  /** Labels of the values of x, for `log`. */
  readonly names?: Readonly<Record<string, string>>;
  /** What y is: it is labelled with the unit that fits. */
  readonly unit: 'ns' | 'bytes' | 'count';
  readonly series: readonly Series[];
}

function groupedBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

const SECTIONS: Readonly<Record<string, string>> = {
  pmem: 'On persistent memory',
  disk: 'On a disk',
};

export function plotsOf(lines: readonly Line[]): Plot[] {
  const measured = lines.filter((line) => line.result !== undefined && !line.counted);
  return [...groupedBy(measured, ({ on }) => on ?? '')].flatMap(([on, own]) =>
    sectionPlots(own)
      .filter(({ series }) => series.length > 0)
      .map((plot) => ({ section: SECTIONS[on] ?? '', ...plot })),
  );
}

type PlotHere = Omit<Plot, 'section'>;

function sectionPlots(lines: readonly Line[]): PlotHere[] {
  return [
    againstSize(lines),
    ...latencies(lines, 'commit', [256, 4096]),
    ...latencies(lines, 'batch', [256]),
    inFlight(lines),
    ...latencies(lines, 'getRandom', [256, 4096]),
    openings(lines),
    ...agents(lines, 'langgraph', 'LangGraph'),
    ...agents(lines, 'agent', 'Agent'),
  ];
}

/** One point per value of x and driver: the median over the trials. */
function perDriver(
  lines: readonly Line[],
  at: (line: Line) => number,
  of: (line: Line) => number | undefined,
): Series[] {
  const shown = lines.filter((line) => of(line) !== undefined);
  return [...groupedBy(shown, ({ driver }) => driver)].map(([name, group]) => ({
    name,
    points: [...groupedBy(group, (line) => String(at(line)))]
      .map(([x, trials]) => [Number(x), median(trials.map((trial) => of(trial)!))] as const)
      .sort((a, b) => a[0] - b[0]),
  }));
}

const labels = (series: readonly Series[], text: (x: number) => string): Record<string, string> =>
  Object.fromEntries(series.flatMap(({ points }) => points.map(([x]) => [String(x), text(x)])));

function againstSize(lines: readonly Line[]): PlotHere {
  const commits = lines.filter(({ workload }) => workload === 'commit');
  const series = perDriver(
    commits,
    (line) => line.bytes,
    ({ result }) => result?.latency?.p50,
  );
  return {
    title: 'A durable commit, by size of its value',
    note: 'Median of one commit after the other. Lower is better; both axes are logarithmic.',
    x: 'bytes of the value',
    y: 'time per commit',
    scale: 'log',
    names: labels(series, sizeText),
    unit: 'ns',
    series: series.some(({ points }) => points.length > 1) ? series : [],
  };
}

function latencies(lines: readonly Line[], workload: string, sizes: readonly number[]): PlotHere[] {
  const shown = lines.filter((line) => line.workload === workload && sizes.includes(line.bytes));
  return [...groupedBy(shown, ({ label }) => label)].map(([label, group]) => ({
    title: `How long: ${label.replace(/^\w+: /, '')}`,
    note: 'All operations of a trial, the quickest left and the slowest right. Lower and flatter is better.',
    x: 'share of the operations that take no longer',
    y: 'time per operation',
    scale: 'nines' as const,
    unit: 'ns' as const,
    series: [...groupedBy(group, ({ driver }) => driver)].map(([name, trials]) => ({
      name,
      points: trials[0]!
        .result!.latency!.curve.map(
          ([share], i) =>
            [share, median(trials.map((trial) => trial.result!.latency!.curve[i]![1]))] as const,
        )
        .filter(([, y]) => y > 0),
    })),
  }));
}

function inFlight(lines: readonly Line[]): PlotHere {
  const series = perDriver(
    lines.filter(({ workload }) => workload === 'inFlight'),
    (line) => line.inFlight,
    ({ result }) => result?.rate,
  );
  return {
    title: 'Throughput against commits in flight',
    note: 'So many commits wait at any time, each for its own durability. Higher is better.',
    x: 'commits in flight',
    y: 'commits per second',
    scale: 'log',
    names: labels(series, String),
    unit: 'count',
    series,
  };
}

function openings(lines: readonly Line[]): PlotHere {
  const opened = lines.filter(({ workload }) => workload === 'open');
  const toFirstRead = (line: Line): number | undefined =>
    line.result && line.result.counts.toFirstReadMs! * 1e6;
  const series = perDriver(opened, (line) => line.keys, toFirstRead);
  return {
    title: 'Open to the first read after SIGKILL',
    note: 'A process that was overwriting is killed; the next one opens the store and reads a key. Lower and flatter is better.',
    x: 'keys in the store',
    y: 'time',
    scale: 'log',
    names: labels(series, (keys) =>
      keys >= 1e6 ? `${keys / 1e6} M` : keys >= 1e3 ? `${keys / 1e3} k` : String(keys),
    ),
    unit: 'ns',
    series,
  };
}

function agents(lines: readonly Line[], workload: string, who: string): PlotHere[] {
  const drivers = groupedBy(
    lines.filter((line) => line.workload === workload),
    ({ driver }) => driver,
  );
  const overTrials = (name: string, scale: number): Series[] =>
    [...drivers].flatMap(([driver, trials]) => {
      const known = trials.flatMap(({ result }) => result?.series?.[name] ?? []);
      const points = [...groupedBy(known, ([x]) => String(x))]
        .map(([x, at]) => [Number(x), scale * median(at.map(([, y]) => y))] as const)
        .filter(([, y]) => y > 0);
      return points.length > 1 ? [{ name: driver, points }] : [];
    });
  const common = { x: 'step', scale: 'linear' as const };
  return [
    {
      ...common,
      title: `${who}: time of a step as the state grows`,
      note: 'The message list grows by 2 KiB a step. Lower and flatter is better.',
      y: 'time per step',
      unit: 'ns',
      series: overTrials('usPerStep', 1000),
    },
    {
      ...common,
      title: `${who}: bytes to the device per step`,
      note: "The whole machine's writes to the device: other work shows. Lower and flatter is better.",
      y: 'bytes per step',
      unit: 'bytes',
      series: overTrials('deviceBytesPerStep', 1),
    },
  ];
}
