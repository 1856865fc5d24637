/**
 * The report as one HTML page that needs nothing else: its data, its plots (drawn by uPlot, inlined) and the whole table. It can
 * be sent by mail and opened without a network.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { drawPlots, type Plot } from './page-script';
import { median } from './statistics';
import { TABLE_HEAD, tableCells, type Row } from './summary';
import type { Line } from './line';

export interface PageContent {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly rows: readonly Row[];
  readonly verdict: readonly string[];
}

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => escapes[character]!);

/** Data inside a script element: nothing in it may end the element. */
const scriptData = (value: unknown): string => JSON.stringify(value).replace(/</g, '\\u003c');

function uplotFile(name: string): string {
  return readFileSync(join(dirname(require.resolve('uplot')), name), 'utf8');
}

export function pageOf({ title, lines, rows, verdict }: PageContent): string {
  const first = lines[0];
  const plots = plotsOf(lines);
  const about = first === undefined ? '' : aboutText(lines);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta name="viewport" content="width=device-width">
<style>${uplotFile('uPlot.min.css')}${STYLE}</style></head>
<body><main>
<h1>${escaped(title)}</h1>
<p class="about">${escaped(about)}</p>
${verdict.length > 0 ? `<ul class="verdict">${verdict.map((line) => `<li>${escaped(line)}</li>`).join('')}</ul>` : ''}
<section id="plots"></section>
<h2>Every row</h2>
<p>The ratio says how many times better the first driver of the group is; below 1 it is behind, and the row is marked. Spread is
(largest - smallest) / median over the trials.</p>
<div class="wide"><table><thead><tr>${TABLE_HEAD.map((head) => `<th>${head}</th>`).join('')}</tr></thead>
<tbody>${rows.map(tableRow).join('\n')}</tbody></table></div>
</main>
<script>${uplotFile('uPlot.iife.min.js')}</script>
<script>const plots = ${scriptData(plots)};
(${drawPlots.toString()})(uPlot, plots, document.getElementById('plots'));</script>
</body></html>
`;
}

function tableRow(row: Row): string {
  const kind = row.reference ? 'reference' : row.skipped !== undefined ? 'skipped' : row.ratio < 0.995 ? 'lost' : '';
  const cells = tableCells(row).map((cell) => `<td>${escaped(cell)}</td>`);
  return `<tr class="${kind}" title="${escaped(row.how)}">${cells.join('')}</tr>`;
}

function aboutText(lines: readonly Line[]): string {
  const { machine, commit, at } = lines[0]!;
  const busiest = Math.max(...lines.map((line) => line.machine.load));
  const rounds = new Set(lines.map((line) => line.round)).size;
  return (
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node.js ${machine.node}; commit ${commit}; ` +
    `${at.slice(0, 16).replace('T', ' ')} UTC; ${rounds} interleaved trials, each in a process of its own; load of the machine up to ${busiest}` +
    (busiest > machine.cores ? ': it was busy with other work, so trust the ratios, not the figures.' : '.')
  );
}

function groupedBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function plotsOf(lines: readonly Line[]): Plot[] {
  const measured = lines.filter((line) => line.result !== undefined);
  return [
    ...latencyPlots(measured),
    linePlot(measured, 'inFlight', {
      title: 'Throughput against commits in flight',
      x: 'commits in flight',
      y: 'commits per second',
      at: (line) => line.inFlight,
      of: (line) => line.result?.rate,
    }),
    linePlot(measured, 'open', {
      title: 'Open to first read after SIGKILL',
      x: 'keys in the store',
      y: 'milliseconds',
      at: (line) => line.keys,
      of: (line) => line.result?.counts.toFirstReadMs,
    }),
    ...seriesPlots(measured),
  ].filter((plot) => plot.series.length > 0);
}

function latencyPlots(lines: readonly Line[]): Plot[] {
  const shown = lines.filter(({ workload }) => ['commit', 'batch', 'getRandom'].includes(workload));
  return [...groupedBy(shown, ({ label }) => label)].map(([label, group]) => ({
    title: `Latency: ${label}`,
    x: 'percentile of the operations',
    y: 'time per operation',
    logX: false,
    nanoseconds: true,
    series: [...groupedBy(group, ({ driver }) => driver)].map(([driver, trials]) => ({
      name: driver,
      points: trials[0]!.result!.latency!.curve.map(([share], i) => [
        share * 100,
        median(trials.map((trial) => trial.result!.latency!.curve[i]![1])),
      ] as const),
    })),
  }));
}

interface LineWish {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly at: (line: Line) => number;
  readonly of: (line: Line) => number | undefined;
}

function linePlot(lines: readonly Line[], workload: string, { title, x, y, at, of }: LineWish): Plot {
  const shown = lines.filter((line) => line.workload === workload && of(line) !== undefined);
  const series = [...groupedBy(shown, ({ driver }) => driver)].map(([name, group]) => ({
    name,
    points: [...groupedBy(group, (line) => String(at(line)))]
      .map(([key, trials]) => [Number(key), median(trials.map((trial) => of(trial)!))] as const)
      .sort((a, b) => a[0] - b[0]),
  }));
  return { title, x, y, logX: true, nanoseconds: false, series };
}

function seriesPlots(lines: readonly Line[]): Plot[] {
  const titles = {
    usPerStep: ['Time of a step as the state grows', 'microseconds'],
    deviceBytesPerStep: ['Bytes to the device per step as the state grows', 'bytes'],
  } as const;
  const agents = groupedBy(lines.filter(({ workload, round }) => workload === 'agent' && round === 0), ({ driver }) => driver);
  return Object.entries(titles).map(([name, [title, y]]) => ({
    title,
    x: 'step',
    y,
    logX: false,
    nanoseconds: false,
    series: [...agents].flatMap(([driver, [line]]) => {
      const points = (line?.result?.series?.[name] ?? []).filter(([, value]) => value > 0);
      return points.length > 0 ? [{ name: driver, points }] : [];
    }),
  }));
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fff; --mark: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ef; --soft: #98a3b3; --line: #343c48; --paper: #14181e; --mark: #3b3115; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
.about { color: var(--soft); margin-top: 0; } .verdict { font-size: 1.05rem; padding-left: 1.2rem; }
#plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(520px, 100%), 1fr)); gap: 1.6rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .8rem; overflow: hidden; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; width: 100%; }
.wide th, .wide td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide td:nth-child(3), .wide td:nth-child(4), .wide td:nth-child(5) { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.reference td { font-weight: 600; } tr.lost { background: var(--mark); } tr.skipped { color: var(--soft); }
`;
