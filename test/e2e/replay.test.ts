/**
 * The main job, killed for real, on every medium this machine has; and planted mistakes, which it
 * must find.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { afterEach, describe, expect, test } from 'vitest';

import { demoSample } from '../../lib/cli/demo-sample';
import { probe } from '../../lib/index';
import type { ReplayReport } from '../../lib/cli/replay/supervisor';
import { cli, dist } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

const built = createRequire(__filename);
const { replay } = built(
  join(dist, 'cli', 'replay', 'supervisor.js'),
) as typeof import('../../lib/cli/replay/supervisor');

const onDisk = scratchFolder('replay');
const sample = join(onDisk, 'sample.json');
writeFileSync(sample, JSON.stringify(demoSample));

const airline = join(__dirname, '..', '..', '..', 'shared', 'data', 'airline', 'trajectories.json');
const slice = join(onDisk, 'slice.json');
if (existsSync(airline)) {
  const all = JSON.parse(readFileSync(airline, 'utf8')) as unknown[];
  writeFileSync(slice, JSON.stringify(all.slice(0, 20)));
}

const whyNoPmem = (): string => {
  if (!existsSync('/dev/shm')) return 'skipped: there is no tmpfs at /dev/shm';
  return probe('/dev/shm').builtWithPmem ? '' : 'skipped: built without libpmemobj';
};
const whyNoAirline = existsSync(airline)
  ? ''
  : 'skipped: the airline recording is not on this machine';

interface Place {
  readonly medium: 'file' | 'pmem';
  readonly pool: () => string;
  readonly env: Record<string, string>;
  readonly whyNot: string;
}

let number = 0;
const places: Place[] = [
  { medium: 'file', pool: () => join(onDisk, `pool-${number++}`), env: {}, whyNot: '' },
  {
    medium: 'pmem',
    pool: () => {
      const path = `/dev/shm/holdfast-replay-${process.pid}-${number++}`;
      inMemory.push(path);
      return path;
    },
    env: { PMEM_IS_PMEM_FORCE: '1' },
    whyNot: whyNoPmem(),
  },
];

const inMemory: string[] = [];
afterEach(() => {
  for (const path of inMemory.splice(0)) {
    for (const file of [path, `${path}.ledger.jsonl`])
      rmSync(file, { recursive: true, force: true });
  }
});

const sound = {
  lost: 0,
  repeated: 0,
  unknown: 0,
  unfinished: 0,
  damages: [],
  findings: [],
  ok: true,
};

describe.each(places)('on $medium', ({ medium, pool, env, whyNot }) => {
  const run = async (input: string, path: string, kills: number, ...more: string[]) => {
    const args = [
      'replay',
      input,
      '--pool',
      path,
      '--medium',
      medium,
      '--kills',
      String(kills),
      '--json',
      ...more,
    ];
    return cli(args, env);
  };

  test('the sample, killed 10 times, is whole', async ({ skip }) => {
    skip(whyNot !== '', whyNot);
    const { code, json } = await run(sample, pool(), 10, '--think', '5', '--parallel', '2');
    const report = json<ReplayReport>();
    expect(report).toMatchObject({
      ...sound,
      conversations: 8,
      identical: 8,
      messages: 102,
      toolCalls: 28,
    });
    expect(report).toMatchObject({ medium, kills: 10, effectsFired: 14 });
    expect(report.killsInEffect).toBeGreaterThan(0);
    expect(report.class).toBe(medium === 'pmem' ? 'process' : report.class);
    expect(code).toBe(0);
  });

  test('a slice of real conversations, killed 15 times, is whole', async ({ skip }) => {
    skip(whyNot !== '', whyNot);
    skip(whyNoAirline !== '', whyNoAirline);
    const { code, json } = await run(slice, pool(), 15, '--seed', '2');
    expect(json()).toMatchObject({ ...sound, conversations: 20, identical: 20, kills: 15 });
    expect(code).toBe(0);
  });

  test('a finished pool is continued, verified again, and fires nothing', async ({ skip }) => {
    skip(whyNot !== '', whyNot);
    const path = pool();
    await run(sample, path, 0, '--think', '0');
    const { code, json } = await run(sample, path, 3, '--think', '0');
    expect(json()).toMatchObject({
      ...sound,
      kills: 3,
      identical: 8,
      effectsFired: 14,
      lookUps: 0,
    });
    expect(code).toBe(0);
  });
});

describe('a pool of something else', () => {
  test('of another recording is refused, and so is one whose ledger is gone', async () => {
    const path = join(onDisk, 'first');
    const other = join(onDisk, 'other.json');
    writeFileSync(other, JSON.stringify(demoSample.slice(0, 1)));
    const args = (input: string) => [
      'replay',
      input,
      '--pool',
      path,
      '--kills',
      '0',
      '--medium',
      'file',
    ];
    expect((await cli(args(sample))).code).toBe(0);
    const refused = await cli(args(other));
    expect([refused.code, /^ERR_HOLDFAST_DIVERGED/.test(refused.stderr)]).toEqual([3, true]);
    rmSync(`${path}.ledger.jsonl`);
    const noLedger = await cli(args(sample));
    expect([noLedger.code, /^ERR_HOLDFAST_NOT_FOUND: .*ledger/.test(noLedger.stderr)]).toEqual([
      3,
      true,
    ]);
    expect(existsSync(`${path}.ledger.jsonl`)).toBe(false);
    const otherPool = await cli(args(other));
    expect([
      otherPool.code,
      /^ERR_HOLDFAST_DIVERGED: .*was filled with recording/.test(otherPool.stderr),
    ]).toEqual([3, true]);
    expect(existsSync(`${path}.ledger.jsonl`)).toBe(false);
  });

  test('a place where no pool can be leaves no ledger', async () => {
    const there = join(onDisk, 'no', 'such', 'folder', 'pool');
    const { code, stderr } = await cli(['replay', sample, '--pool', there, '--kills', '0']);
    expect([code, stderr.slice(0, 22)]).toEqual([3, 'ERR_HOLDFAST_NOT_FOUND']);
    const foreign = join(onDisk, 'foreign');
    writeFileSync(foreign, 'x'.repeat(9999));
    const refused = await cli(['replay', sample, '--pool', foreign, '--kills', '0', '--json']);
    expect(refused.json()).toMatchObject({ error: { code: 'ERR_HOLDFAST_NOT_A_POOL' } });
    expect(existsSync(`${foreign}.ledger.jsonl`)).toBe(false);
  });
});

describe('a planted mistake is found', () => {
  const plant = async (mistake: string, kills: number): Promise<ReplayReport> => {
    process.env['HOLDFAST_PLANTED'] = mistake;
    try {
      return await replay({
        input: sample,
        pool: join(onDisk, mistake),
        medium: 'file',
        kills,
        seed: 4,
        parallel: 2,
        thinkMs: 3,
        driverScript: join(__dirname, '..', 'helpers', 'planted-driver.cjs'),
      });
    } finally {
      delete process.env['HOLDFAST_PLANTED'];
    }
  };

  test('an effect without an intent is repeated', async () => {
    const report = await plant('no-intent', 25);
    expect(report).toMatchObject({ ok: false, kills: 25 });
    expect(report.repeated).toBeGreaterThan(0);
    expect(report.findings.join('\n')).toMatch(/happened \d times/);
  });

  test('a receipt before its effect loses the effect', async () => {
    const report = await plant('receipt-first', 25);
    expect(report).toMatchObject({ ok: false, repeated: 0 });
    expect(report.lost).toBeGreaterThan(0);
    expect(report.findings.join('\n')).toMatch(/never happened/);
  });

  test('an effect that is called again unasked is repeated', async () => {
    const report = await plant('no-probe', 25);
    expect(report.ok).toBe(false);
    expect(report.repeated).toBeGreaterThan(0);
  });

  test('an effect nobody can ask about is unknown, not guessed', async () => {
    const report = await plant('cannot-tell', 25);
    expect(report).toMatchObject({ ok: false, repeated: 0 });
    expect(report.unknown).toBeGreaterThan(0);
  });

  test('a message that is not committed is lost, without any kill', async () => {
    const report = await plant('forgetful', 0);
    expect(report).toMatchObject({ ok: false, repeated: 0, identical: 7, kills: 0 });
    expect(report.lost).toBeGreaterThan(0);
  });
});

test('the demo tells its story and succeeds', async () => {
  const { code, stdout } = await cli(['demo', '--kills', '8', '--medium', 'file']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/Killed 8 times; nothing lost, nothing repeated/);
  expect(stdout).toMatch(/medium file, durability class/);
  expect(stdout).toContain('holdfast replay trajectories.json');
});
