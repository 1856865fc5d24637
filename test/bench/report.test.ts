/** The report: statistics, verdict, and the page in a real browser. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { describe, expect, test } from 'vitest';

import type { Line } from '../../lib/bench/line';
import { latencyOf, quantile, spread } from '../../lib/bench/statistics';
import { goalCells, goalsOf } from '../../lib/bench/goals';
import { nameOfPlace } from '../../lib/bench/places';
import { ratioText, rowsOf, tableCells } from '../../lib/bench/summary';
import { errorLine } from '../../lib/bench/trial';
import { verdict } from '../../lib/bench/verdict';
import { writeReport } from '../../lib/bench/report';
import { cli } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

function line(driver: string, p50: number, round = 0, more: Partial<Line> = {}): Line {
  const samples = Float64Array.from({ length: 100 }, (_, i) => p50 * (0.5 + i / 99));
  return {
    workload: 'commit',
    label: 'commit of 256 B',
    bytes: 256,
    keys: 10,
    inFlight: 1,
    driver,
    place: '/p',
    fileSystem: 'ext4',
    round,
    commit: 'abc',
    at: '2026-01-01T00:00:00.000Z',
    machine: { cpu: 'x', cores: 2, memoryGiB: 1, kernel: '6', node: 'v20', load: 0 },
    result: {
      latency: latencyOf(samples, 1),
      counts: { barriers: 1 },
      facts: { medium: 'file', class: 'power', how: 'synced' },
    },
    ...more,
  };
}

test('quantiles lie between their neighbours', () => {
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(quantile([7], 0.99)).toBe(7);
  expect(spread([90, 100, 110])).toBeCloseTo(0.2);
});

test('the ratio is of medians over the trials, and a row that is ahead stays and is marked', () => {
  const lines = [10, 30, 20]
    .map((p50, round) => line('ours', p50, round))
    .concat([5, 6, 7].map((p50, round) => line('theirs', p50, round)));
  const [ours, theirs] = rowsOf(lines, (driver) => driver === 'ours');
  expect(ours).toMatchObject({ ratio: 1, reference: true });
  expect(ours!.value).toBeCloseTo(20);
  expect(theirs!.ratio).toBeCloseTo(0.3);
  expect(tableCells(theirs!).join()).toContain('0.30 x (ahead)');
});

test('a row says when others slowed the processor while its trials were timed', () => {
  const withProcessor = (driver: string, ns: number, loop: 'JavaScript' | 'C++'): Line => {
    const one = line(driver, 1);
    const latency = { ...one.result!.latency!, processor: { loop, ns, least: ns } };
    return { ...one, result: { ...one.result!, latency } };
  };
  const lines = [
    withProcessor('quick', 100, 'JavaScript'),
    withProcessor('slowed', 150, 'JavaScript'),
    withProcessor('another loop', 150, 'C++'),
  ];
  const cells = rowsOf(lines, () => false).map((row) => tableCells(row).join());
  expect(cells[0]).not.toContain('slowed');
  expect(cells[1]).toContain('processor slowed 1.50 x by others');
  expect(cells[2]).not.toContain('processor slowed');
});

test('a driver that could not run keeps its row', () => {
  const lines = [
    line('ours', 10),
    line('theirs', 1, 0, { result: undefined, skipped: 'failed: not installed' }),
  ];
  expect(tableCells(rowsOf(lines, () => false)[1]!).join()).toContain(
    'skipped: failed: not installed',
  );
});

test('a driver that claims to be durable and was not seen to sync says so in its row', () => {
  const counted = (counts: Record<string, number>): Line => {
    const one = line('theirs', 1);
    return { ...one, counted: true, result: { facts: one.result!.facts, counts } };
  };
  const cellsWith = (counts: Record<string, number>): string =>
    tableCells(rowsOf([line('theirs', 1), counted(counts)], () => false)[0]!).join();
  expect(cellsWith({ syncs: 0, writes: 1 })).toContain('NOT DURABLE');
  expect(cellsWith({ syncs: 1, fdatasync: 1, writes: 1 })).toContain('1 fdatasync, 1 write');
  expect(cellsWith({ syncs: 1, fdatasync: 1, writes: 1 })).not.toContain('NOT DURABLE');
  expect(cellsWith({ syncs: 0, fences: 1 })).not.toContain('NOT DURABLE');
});

test('a goal is met, missed by so much, or not measured', () => {
  const disk = (driver: string, p50: number, more: Partial<Line>): Line =>
    line(driver, p50, 0, { on: 'disk', ...more });
  const read = { workload: 'getRandom', keys: 1_000_000 };
  const lines = [
    disk('Holdfast', 40, read),
    disk('lmdb', 100, read),
    disk('Holdfast', 120, { bytes: 1024 }),
    disk('raw write + fdatasync (JS)', 100, { bytes: 1024 }),
  ];
  const verdictOf = (name: string): string =>
    goalCells(goalsOf(lines).find((goal) => goal.name.includes(name))!)
      .slice(3)
      .join(': ');
  expect(verdictOf('random point read')).toBe('0.4 x of 1,000,000: met');
  expect(verdictOf('commit of 1 KiB, against')).toBe('1.2 x at 1 KiB: missed by 1.09 x');
  expect(verdictOf('anonymous memory')).toBe('-: not measured');
});

test('the tail of the cleaner is what it has beyond the place itself, timed in the same way, or it is said that nobody timed that', () => {
  const cleaner = (driver: string, p50: number, p999: number): Line => {
    const one = line(driver, p50, 0, { on: 'disk', workload: 'cleaner', bytes: 1024 });
    return { ...one, result: { ...one.result!, latency: { ...one.result!.latency!, p50, p999 } } };
  };
  const floor = 'raw write + fdatasync (JS)';
  const judged = (lines: Line[]): string =>
    goalCells(goalsOf(lines).find(({ name }) => name.includes('p99.9'))!)
      .slice(3)
      .join(': ');
  expect(judged([cleaner('Holdfast', 100, 1200), cleaner(floor, 10, 400)])).toBe(
    "8 x (less 400 ns, the medium's own): met",
  );
  expect(judged([cleaner('Holdfast', 100, 2500), cleaner(floor, 1, 100)])).toBe(
    "24 x (less 100 ns, the medium's own): missed by 2.4 x",
  );
  // Commits of one key are timed several at a time, which hides what a single one waits for.
  expect(
    judged([cleaner('Holdfast', 100, 2400), line(floor, 1, 0, { on: 'disk', bytes: 1024 })]),
  ).toBe("24 x (the medium's own was not measured): missed by 2.4 x");
});

test('an amplification counts when as much was overwritten as is live', () => {
  const judged = (overwritten: number): string => {
    const one = line('Holdfast', 1, 0, { on: 'disk', workload: 'cleaner', bytes: 1024 });
    const lines = [
      { ...one, result: { ...one.result!, counts: { writeAmplification: 1.1, overwritten } } },
    ];
    return goalCells(goalsOf(lines).find(({ name }) => name.includes('amplification'))!)
      .slice(3)
      .join(': ');
  };
  expect(judged(0.07)).toBe('-: not measured');
  expect(judged(2)).toBe('1.1 x: met');
});

test('the verdict names the better place and does not hide a weaker promise', () => {
  const weak = line('mem', 10);
  const lines = [
    {
      ...weak,
      result: { ...weak.result!, facts: { medium: 'pmem', class: 'process' as const, how: '' } },
    },
    line('disk', 1000),
  ];
  const words = verdict(
    rowsOf(lines, (driver) => driver === 'mem'),
    'mem',
    'disk',
  ).join(' ');
  expect(words).toContain('For a durable commit mem is 100 times faster than disk.');
  expect(words).toContain('disk survives power loss, mem only the death of the process');
  expect(ratioText({ ...rowsOf(lines, () => false)[0]!, reference: false, ratio: 0.00069 })).toBe(
    '0.00069 x',
  );
});

test('of a driver that took part in nothing no promise is told', () => {
  const rows = rowsOf([line('disk', 1000)], (driver) => driver === 'disk');
  expect(verdict(rows, 'disk', 'floor')).toEqual([
    'What is acknowledged on disk survives power loss.',
  ]);
});

test('of a trial that failed the row says which error it was', () => {
  const stderr =
    "/a/b.js:3\n    throw new Error('x');\n    ^\n\nError: Cannot find module 'y'\n    at load (/a/b.js:3:1)\n\nNode.js v20.20.2\n";
  expect(errorLine(stderr)).toBe("Error: Cannot find module 'y'");
  expect(errorLine('killed\n')).toBe('killed');
});

const chromium = ['chromium', 'chromium-browser'].find(
  (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
);

describe.skipIf(chromium === undefined)(
  `the page in a browser${chromium === undefined ? ' (skipped: chromium is not installed)' : ''}`,
  () => {
    test('draws every plot, shows every row, and asks for nothing from outside', () => {
      const folder = mkdtempSync(path.join(scratchFolder('page'), 'p-'));
      const title = 'A <script>alert(1)</script> & "B"';
      const lines = [
        line('</script>ours', 10),
        line('theirs', 20),
        line('ours', 5, 0, { workload: 'inFlight', label: '8', inFlight: 8 }),
      ];
      for (const inFlight of [1, 64])
        lines.push(line('ours', 5, 0, { workload: 'inFlight', label: String(inFlight), inFlight }));
      for (const one of lines)
        if (one.workload === 'inFlight')
          (one.result as { rate?: number }).rate = 1000 * one.inFlight;
      const rows = rowsOf(lines, () => false);
      const goals = goalsOf([line('Holdfast', 1, 0, { on: 'pmem' })]);
      const { page } = writeReport(folder, { title, lines, rows, goals, verdict: ['alike'] });
      const text = readFileSync(page, 'utf8');
      expect(text).not.toMatch(/(src|href)=/);
      const dom = execFileSync(
        chromium!,
        [
          '--headless=new',
          '--no-sandbox',
          '--disable-gpu',
          `--user-data-dir=${path.join(folder, 'profile')}`,
          '--virtual-time-budget=3000',
          '--dump-dom',
          pathToFileURL(page).href,
        ],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
          timeout: 600_000,
          maxBuffer: 64 << 20,
          cwd: os.tmpdir(),
        },
      );
      expect(dom).toContain('data-plots="2"');
      expect(dom.match(/data-drawn="yes"/g)).toHaveLength(2);
      expect(dom.match(/<canvas/g)).toHaveLength(2);
      expect(dom.match(/<tr class="[a-z ]*" title=/g)).toHaveLength(rows.length);
      expect(dom.match(/<tr class="goal /g)).toHaveLength(goals.length);
      expect(dom).toContain('<h1>A &lt;script&gt;alert(1)&lt;/script&gt; &amp; "B"</h1>');
    });
  },
);

test('a place that is a dot has a name in sentences', () => {
  expect(['.', './', '/mnt/pmem', './x'].map(nameOfPlace)).toEqual([
    process.cwd(),
    process.cwd(),
    '/mnt/pmem',
    './x',
  ]);
});

test('holdfast bench leaves a report and nothing else', async () => {
  const folder = scratchFolder('bench');
  const report = path.join(folder, 'report');
  const args = [
    'bench',
    '--on',
    folder,
    '--medium',
    'file',
    '--only',
    'agent,open',
    '--rounds',
    '1',
    '--report',
    report,
    '--json',
  ];
  const end = await cli(args);
  expect(end.code).toBe(0);
  const { rows, verdict: words } = end.json<{
    rows: { driver: string; value: number; skipped?: string }[];
    verdict: string[];
  }>();
  expect(
    rows
      .filter(({ driver }) => driver === folder)
      .every(({ value, skipped }) => value > 0 && skipped === undefined),
  ).toBe(true);
  expect(words.length).toBeGreaterThan(0);
  const lines = readFileSync(path.join(report, 'lines.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as Line);
  expect(lines.length).toBe(rows.length);
  expect(lines[0]).toMatchObject({
    fileSystem: expect.any(String),
    commit: expect.any(String),
    machine: { cores: expect.any(Number) },
  });
  expect(readdirSync(folder)).toEqual(['report']);
});
