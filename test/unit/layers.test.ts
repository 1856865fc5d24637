/**
 * The runner of all layers: one that hangs, dies or prints no result is a failure that is named,
 * and its results are counted right.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const scripts = path.join(import.meta.dirname, '../../scripts');
const folder = scratchFolder('layers');
const log = path.join(folder, 'log');

interface Layer {
  readonly command: readonly string[];
  readonly limit?: number;
  readonly env?: Record<string, string>;
}
const runner = (await import(path.join(scripts, 'run-layer.mjs'))) as {
  runLayer(layer: Layer, log: string): Promise<number | string>;
};
const counter = (await import(path.join(scripts, 'count-tests.mjs'))) as {
  countTests(
    runner: string,
    text: string,
    code: number | string,
  ): { passed: number; failed: number; skipped: number };
};
const failures = (await import(path.join(scripts, 'failed-tests.mjs'))) as {
  failedTests(runner: string, text: string, report?: string): string[];
};
const times = (await import(path.join(scripts, 'own-time.mjs'))) as {
  OwnTime: new (
    look: () => { seconds: number; asks: boolean },
    now: () => number,
  ) => { count(): void; readonly seconds: number; readonly passed: number };
  lookAt(group: number): { seconds: number; asks: boolean };
};
interface Budget {
  readonly slowness: number;
  readonly share: number;
  begin(layer: object): void;
  end(layer: object): void;
  hasTimeFor(needs: number): boolean;
}
const budgets = (await import(path.join(scripts, 'budget.mjs'))) as {
  Budget: new (
    layers: readonly object[],
    given: { seconds: number; beganAt: number; lanes: number; now(): number },
  ) => Budget;
};
const table = (await import(path.join(scripts, 'layers.mjs'))) as {
  layers(): { name: string; counts: string }[];
};

/** Is it there, and not only waiting for a parent that asks how it ended? */
function lives(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'latin1'));
}

test('a layer that hangs is ended with all that it started', async () => {
  const started = path.join(folder, 'started');
  const script = `sleep 600 & echo $! >${started}; wait`;
  // On a busy machine it may be ended before it has started anything: then it is given longer.
  for (let limit = 1; !existsSync(started) || readFileSync(started, 'utf8') === ''; limit *= 4) {
    expect(await runner.runLayer({ command: ['bash', '-c', script], limit }, log)).toMatch(
      new RegExp(`^(hung: not done after ${limit} s|starved: .* the machine was busy)$`),
    );
  }
  await expect.poll(() => lives(Number(readFileSync(started, 'utf8')))).toBe(false);
});

test('a layer that computes for ever is ended too, and what one leaves behind', async () => {
  const command = ['bash', '-c', 'while :; do :; done'];
  expect(await runner.runLayer({ command, limit: 1 }, log)).toMatch(/^(hung|starved): /);
  const started = path.join(folder, 'left');
  await runner.runLayer({ command: ['bash', '-c', `sleep 600 & echo $! >${started}`] }, log);
  await expect.poll(() => lives(Number(readFileSync(started, 'utf8')))).toBe(false);
});

test('what a layer waits for a processor that others have is not its own time', () => {
  let now = 0;
  let processor = 0;
  let asks = false;
  const own = new times.OwnTime(
    () => ({ seconds: processor, asks }),
    () => now,
  );
  const after = (seconds: number, got: number, isAsking: boolean) => {
    now += seconds;
    processor += got;
    asks = isAsking;
    own.count();
    return own.seconds;
  };
  expect(after(0.5, 0, false)).toBe(0.5); // asleep
  expect(after(0.5, 0.25, true)).toBe(0.75); // it got half of what it asked for
  expect(after(0.5, 1, true)).toBe(1.25); // two at once
  expect(after(100, 0.25, true)).toBe(1.5);
  expect(after(100, 0, false)).toBe(2.5); // who looks so late cannot know
  processor = 0; // a process that had ended, and nobody had waited for it
  expect(after(0.5, 0, true)).toBe(2.5);
  expect(own.passed).toBe(202);
});

test('what a process group has of a processor, and that it asks for one', async () => {
  const child = spawn('bash', ['-c', 'read -r; while :; do :; done'], { detached: true });
  const group = child.pid ?? 0;
  try {
    await expect.poll(() => times.lookAt(group).asks).toBe(false);
    const before = times.lookAt(group).seconds;
    child.stdin.write('\n');
    await expect.poll(() => times.lookAt(group), { timeout: 60_000 }).toMatchObject({ asks: true });
    await expect
      .poll(() => times.lookAt(group).seconds, { timeout: 60_000 })
      .toBeGreaterThan(before + 0.1);
  } finally {
    child.kill('SIGKILL');
  }
  expect(times.lookAt(0x7fffffff)).toEqual({ seconds: 0, asks: false });
});

test('what takes long is begun only where there is time for it on a machine so slow, and what always runs then tries less', () => {
  const all = [
    { name: 'a', usual: 100 },
    { name: 'b', usual: 200 },
    { name: 'c', usual: 300 },
    { name: 'long', needs: 400 },
  ] as const;
  const [a, b, c] = all;
  const after = (seconds: number, slow: number) => {
    let now = 1000;
    const budget = new budgets.Budget(all, { seconds, beganAt: 900, lanes: 2, now: () => now });
    budget.begin(a);
    budget.begin(b);
    now += 100 * slow;
    budget.end(a);
    const share = budget.share; // 200 of b, of which 100 are over, and 300 of c, on two lanes
    now += 100 * slow;
    budget.end(b);
    budget.begin(c);
    now += 300 * slow;
    budget.end(c);
    return { slowness: budget.slowness, share, long: budget.hasTimeFor(400) };
  };
  expect(after(1000, 1)).toEqual({ slowness: 1, share: 1, long: true }); // 100 before it, 500, 400
  expect(after(1000, 0.5)).toEqual({ slowness: 1, share: 1, long: true });
  expect(after(999, 1).long).toBe(false);
  expect(after(1000, 2)).toEqual({ slowness: 2, share: 1, long: false });
  expect(after(1900, 2)).toEqual({ slowness: 2, share: 1, long: true });
  expect(after(1899, 2).long).toBe(false);
  expect(after(690, 2).share).toBe(4); // 300 are over, 400 more are needed
});

test('how a layer ended, and what it printed', async () => {
  expect(
    await runner.runLayer({ command: ['bash', '-c', 'echo "x: 3 passed, 0 failed"; exit 3'] }, log),
  ).toBe(3);
  expect(readFileSync(log, 'utf8')).toMatch(/^x: 3 passed, 0 failed\nprocessor: [\d.]+ [\d.]+\n$/);
  expect(await runner.runLayer({ command: ['true'], env: { A: '1' } }, log)).toBe(0);
  expect(await runner.runLayer({ command: ['no-such-program'] }, log)).toBe(127);
});

test('what ended badly without naming a failure has failed once', () => {
  const { countTests } = counter;
  expect(
    countTests('summary', 'a: 2 passed, 0 failed\nb: 1 passed, 0 failed, 4 skipped', 0),
  ).toEqual({ passed: 3, failed: 0, skipped: 4 });
  expect(countTests('summary', 'a: 2 passed, 0 failed', 'hung: not done after 1 s')).toEqual({
    passed: 2,
    failed: 1,
    skipped: 0,
  });
  expect(countTests('summary', 'a: 2 passed, 2 failed', 1)).toEqual({
    passed: 2,
    failed: 2,
    skipped: 0,
  });
  expect(() => countTests('summary', 'nothing', 0)).toThrow('no summary');
  const skipped =
    'MESSAGE: skipped: no pmem\n[doctest] test cases: 3 | 3 passed | 0 failed | 1 skipped';
  expect(countTests('doctest', skipped, 0)).toEqual({ passed: 2, failed: 0, skipped: 2 });
  expect(() => countTests('doctest', '', 139)).toThrow('no summary');
});

test('what failed is named: by the report, or by the lines that say so and the last ones', () => {
  const { failedTests } = failures;
  const report = JSON.stringify({
    testResults: [
      {
        name: 'a.test.ts',
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'good' },
          { status: 'failed', fullName: 'bad', failureMessages: ['expected 1\nat a.ts'] },
        ],
      },
      { name: 'b.test.ts', status: 'failed', message: 'no such module', assertionResults: [] },
    ],
  });
  const failed = [
    'a.test.ts: bad',
    '    expected 1',
    '    at a.ts',
    'b.test.ts: no test of it could begin',
    '    no such module',
  ];
  expect(failedTests('vitest', 'much', report)).toEqual(failed);
  const text = [
    'x.cc:3: ERROR: CHECK( a ) is NOT correct!',
    ...Array.from({ length: 100 }, (_, i) => `line ${i}`),
  ].join('\n');
  const said = failedTests('doctest', text);
  expect(said[0]).toContain('ERROR: CHECK');
  expect(said.at(-1)).toBe('line 99');
  expect(said.length).toBeLessThan(30);
  const states = [
    'crash states: a: 3 images, 0 wrong',
    'crash states: b: 3 images, 12 wrong',
    'crash states: c: NOT CAUGHT',
    ...text.split('\n'),
  ].join('\n');
  expect(failedTests('summary', states).slice(0, 2)).toEqual([
    'crash states: b: 3 images, 12 wrong',
    'crash states: c: NOT CAUGHT',
  ]);
  expect(failedTests('vitest', 'it died', undefined)).toEqual(['it died']);
});

test('every line that can be made wrong is still in the sources', () => {
  const checkedBy = (program: string): string =>
    execFileSync(process.execPath, [path.join(scripts, '../test/mutants', program), '--check'], {
      encoding: 'utf8',
    });
  expect(checkedBy('durable-runs.mjs')).toMatch(/^\d{2,} mutants of the runs\n$/);
  expect(checkedBy('run.mjs')).toMatch(
    /^\d{3,} mutants, \d+ of them equivalent, \d+ not noticed so far\n$/,
  );
});

test('every layer has a name of its own', () => {
  const names = table.layers().map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(15);
});

test('run-layers says how it is called', () => {
  const call = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(scripts, 'run-layers.mjs'), ...args], {
      encoding: 'utf8',
    });
  for (const help of ['--help', '-h'])
    expect(call(help)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^usage: run-layers.*only these layers.*typescript/s) as string,
      stderr: '',
    });
  for (const wrong of [['--odd'], ['--minutes', 'x'], ['--minutes', '0'], ['--minutes']])
    expect(call(...wrong)).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^run-layers: .*\nusage: /s) as string,
    });
});
