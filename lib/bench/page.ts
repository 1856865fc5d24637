/**
 * The report as one HTML page that needs nothing else: its data, its plots (drawn by uPlot,
 * inlined) and the whole table. It can be sent by mail and opened without a network.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { GOALS_HEAD, goalCells, type Goal } from './goals';
import { drawPlots } from './page-script';
import { PAGE_STYLE } from './page-style';
import { plotsOf } from './plots';
import { TABLE_HEAD, tableCells, type Row } from './summary';
import type { Line } from './line';

export interface PageContent {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly rows: readonly Row[];
  readonly goals: readonly Goal[];
  readonly verdict: readonly string[];
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};
const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => escapes[character]!);

/** Data inside a script element: nothing in it may end the element. */
const scriptData = (value: unknown): string => JSON.stringify(value).replace(/</g, '\\u003c');

function uplotFile(name: string): string {
  return readFileSync(join(dirname(require.resolve('uplot')), name), 'utf8');
}

export function pageOf({ title, lines, rows, goals, verdict }: PageContent): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta name="viewport" content="width=device-width">
<style>${uplotFile('uPlot.min.css')}${PAGE_STYLE}</style></head>
<body><main>
<h1>${escaped(title)}</h1>
<p class="about">${lines.length === 0 ? '' : escaped(aboutText(lines))}</p>
${verdict.length > 0 ? `<ul class="verdict">${verdict.map((line) => `<li>${escaped(line)}</li>`).join('')}</ul>` : ''}
${HOW_TO_READ}
${goals.length > 0 ? goalsTable(goals) : ''}
<section id="plots"></section>
<h2>Every row</h2>
<div class="wide"><table><thead><tr>${heads(TABLE_HEAD)}</tr></thead>
<tbody>${rows.map((row, i) => tableRow(row, row.label !== rows[i - 1]?.label)).join('\n')}</tbody></table></div>
</main>
<script>${uplotFile('uPlot.iife.min.js')}</script>
<script>const plots = ${scriptData(plotsOf(lines))};
(${drawPlots.toString()})(uPlot, plots, document.getElementById('plots'));</script>
</body></html>
`;
}

const HOW_TO_READ = `<details open><summary>How to read this</summary><dl>
<dt>ratio</dt><dd>How many times better the group's first driver is: 4.7 x means that this row takes 4.7 times as long, or does
a 4.7th in the same time. Below 1 the row is ahead; it stays, and is marked.</dd>
<dt>class <b>power</b></dt><dd>What is acknowledged survives a power cut: it is behind a sync of the disk, or on persistent memory.</dd>
<dt>class <b>process</b></dt><dd>It survives the death of the process only: tmpfs, or persistent memory that is emulated. Such rows
compare the cost of the code, for Holdfast and its peers alike; nothing there would survive a power cut.</dd>
<dt>class <b>none</b></dt><dd>It is not kept at all.</dd>
<dt>spread</dt><dd>(largest - smallest) / median over the trials. Above 20 %: the machine was not quiet, run it again.</dd>
<dt>counted</dt><dd>Per operation, in trials that are not timed: system calls by strace, fences before libpmem, instructions by callgrind.
Point at a row for how its driver was told to be durable.</dd></dl></details>`;

const heads = (names: readonly string[]): string =>
  names.map((head) => `<th>${head}</th>`).join('');

function goalsTable(goals: readonly Goal[]): string {
  const met = goals.filter(({ verdict }) => verdict === 'met').length;
  const missed = goals.filter(({ verdict }) => verdict === 'missed').length;
  const rows = goals.map((goal) => {
    const cells = goalCells(goal).map((cell) => `<td>${escaped(cell)}</td>`);
    return `<tr class="goal ${goal.verdict.replace(' ', '-')}">${cells.join('')}</tr>`;
  });
  return `<h2>Against the goals: ${met} met, ${missed} missed, ${goals.length - met - missed} not measured</h2>
<div class="wide"><table class="goals"><thead><tr>${heads(GOALS_HEAD)}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function tableRow(row: Row, first: boolean): string {
  const kind = row.reference
    ? 'reference'
    : row.skipped !== undefined
      ? 'skipped'
      : row.ratio < 0.995
        ? 'lost'
        : '';
  const cells = tableCells(row).map((cell) => `<td>${escaped(cell)}</td>`);
  return `<tr class="${kind}${first ? ' first' : ''}" title="${escaped(row.how)}">${cells.join('')}</tr>`;
}

function aboutText(lines: readonly Line[]): string {
  const { machine, at } = lines[0]!;
  const commits = [...new Set(lines.map(({ commit }) => commit))].join(', ');
  const busiest = Math.max(...lines.map((line) => line.machine.load));
  const rounds = new Set(lines.map((line) => line.round)).size;
  const places = [
    ...new Set(lines.map(({ place, fileSystem }) => `${place} (${fileSystem})`)),
  ].join(', ');
  const on = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node.js ${machine.node}`;
  return (
    `${on}; ${places}; commit ${commits}; ` +
    `${at.slice(0, 16).replace('T', ' ')} UTC; ${rounds} interleaved trial${rounds === 1 ? '' : 's'}, each in a process of its own; ` +
    `load of the machine up to ${busiest}` +
    (busiest > machine.cores
      ? ': it was busy with other work, so trust the ratios, not the figures.'
      : '.')
  );
}
