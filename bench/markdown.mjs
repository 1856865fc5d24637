// node bench/markdown.mjs <report folder>…: the goals and one table a place, as docs/benchmarks.md
// has them, of the lines of one or more runs. A row is a workload, a column a driver; what stands
// in a cell is how many times what Holdfast takes.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const load = (name) => require(`../dist/bench/${name}.js`);
const { goalsOf, GOALS_HEAD, goalCells } = load('goals');
const { rowsOf, ratioText, valueText } = load('summary');

const lines = process.argv.slice(2).flatMap((folder) =>
  readFileSync(path.join(folder, 'lines.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text)),
);
const row = (cells) =>
  `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

const rows = rowsOf(lines, (driver) => driver === 'Holdfast' || driver === 'LangGraph, Holdfast');
const NOISY = 0.3;

/** Ahead of Holdfast in bold; "~" where the trials lie far apart. */
function cellOf(found) {
  if (found === undefined) return '';
  if (found.skipped !== undefined || Number.isNaN(found.value)) return '-';
  const noisy = found.spread > NOISY ? ' ~' : '';
  if (found.reference) return `${valueText(found.value, found.unit)}${noisy}`;
  const text = ratioText(found) + noisy;
  return found.ratio < 0.995 ? `**${text}**` : text;
}

function matrix(on, chosen) {
  const drivers = [...new Set(chosen.map(({ driver }) => driver))];
  const labels = [...new Set(chosen.map(({ label }) => label))];
  return table(
    [on, ...drivers],
    labels.map((label) => [
      label.replace(/^\w+: /, ''),
      ...drivers.map((driver) =>
        cellOf(chosen.find((one) => one.label === label && one.driver === driver)),
      ),
    ]),
  );
}

console.log(table(GOALS_HEAD, goalsOf(lines).map(goalCells)));
for (const on of new Set(lines.map((line) => line.on))) {
  const here = rows.filter((one) => one.on === on);
  console.log(
    `\n${matrix(
      on,
      here.filter(({ workload }) => workload !== 'langgraph'),
    )}`,
  );
  console.log(
    `\n${matrix(
      on,
      here.filter(({ workload }) => workload === 'langgraph'),
    )}`,
  );
}
const counted = rows.filter(({ label }) => /commit of 256 B$|batch|^\w+: 64 commits/.test(label));
console.log(
  `\n${table(
    ['counted', 'driver', 'fences', 'syncs', 'writes', 'bytes written', 'instructions'],
    counted.map(({ label, driver, counts }) => [
      label,
      driver,
      ...['fences', 'syncs', 'writes', 'writtenBytes', 'instructions'].map((name) =>
        counts[name] === undefined ? '' : +counts[name].toFixed(2),
      ),
    ]),
  )}`,
);
