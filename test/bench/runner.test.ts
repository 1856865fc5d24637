/** The harness: what it measures once, what it goes on with, and how it reads a log of strace. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { callsIn, MARK } from '../../lib/bench/counted';
import type { DriverAt, Group } from '../../lib/bench/line';
import { workloadsOf } from '../../lib/bench/plan';
import { ProcessorProbe, speedOf } from '../../lib/bench/processor';
import { latencyOf } from '../../lib/bench/statistics';
import { dist } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

// The built one: it starts the processes of trials, which run what users run.
const { runPlan, trialsDue } = createRequire(__filename)(
  path.join(dist, 'bench', 'runner.js'),
) as typeof import('../../lib/bench/runner');

const workload = {
  name: 'commit',
  label: 'commit',
  bytes: 1,
  keys: 1,
  inFlight: 1,
  steps: 0,
  budgetMs: 1,
};

function groupWith(ran: string[], names = ['a', 'b', 'c']): Group {
  const place = scratchFolder('runner');
  const drivers = names.map((shown): DriverAt => ({
    name: shown,
    shown,
    module: '',
    place,
    custom: async () => {
      ran.push(shown);
      if (shown === 'broken') throw new Error('it does not run here');
      return { counts: {}, facts: { medium: 'file', class: 'power', how: '' } };
    },
  }));
  return { workload, drivers };
}

describe('a plan', () => {
  test('lets the drivers take turns', async () => {
    const ran: string[] = [];
    const { finished } = await runPlan({ groups: [groupWith(ran)], rounds: 3, commit: 'x' });
    expect(finished).toBe(true);
    expect(ran.join('')).toBe('abcbcacab');
  });

  test('that was cut goes on where it stopped, and measures nothing twice', async () => {
    const ran: string[] = [];
    const groups = [groupWith(ran)];
    const cut = await runPlan({ groups, rounds: 2, commit: 'x', until: Date.now() - 1 });
    expect(cut).toMatchObject({ finished: false, lines: [] });
    const whole = await runPlan({ groups, rounds: 1, commit: 'x' });
    expect(trialsDue(groups, 2, whole.lines)).toHaveLength(3);
    const { lines } = await runPlan({ groups, rounds: 2, commit: 'x', known: whole.lines });
    expect(lines).toHaveLength(6);
    expect(ran).toHaveLength(6);
  });

  test('asks a driver that cannot run only once, and keeps its lines', async () => {
    const ran: string[] = [];
    const { lines } = await runPlan({
      groups: [groupWith(ran, ['a', 'broken'])],
      rounds: 3,
      commit: 'x',
    });
    expect(ran.filter((name) => name === 'broken')).toHaveLength(1);
    expect(
      lines.filter(
        ({ driver, skipped }) => driver === 'broken' && skipped === 'failed: it does not run here',
      ),
    ).toHaveLength(3);
  });

  test('makes a trial again in which others slowed the processor, and keeps the quieter one', async () => {
    const place = scratchFolder('runner-slowed');
    const speeds: Record<string, number[]> = { quiet: [100, 100], busy: [180, 150, 104] };
    const driverOf = (shown: string): DriverAt => ({
      name: shown,
      shown,
      module: '',
      place,
      custom: async () => {
        const ns = speeds[shown]!.shift()!;
        const processor = { loop: 'C++', ns, least: ns } as const;
        const latency = { ...latencyOf(Float64Array.of(ns), 1), processor };
        return { latency, counts: {}, facts: { medium: 'file', class: 'power', how: '' } };
      },
    });
    const drivers = ['quiet', 'busy'].map(driverOf);
    const { lines } = await runPlan({ groups: [{ workload, drivers }], rounds: 2, commit: 'x' });
    const kept = lines.map(({ driver, result }) => [driver, result!.latency!.processor!.ns]);
    expect(kept).toEqual([
      ['quiet', 100],
      ['busy', 150], // the quieter of two
      ['busy', 104], // quiet enough at once
      ['quiet', 100],
    ]);
  });

  test('keeps a trial that others slowed where making it again fails', async () => {
    const group = groupWith([], ['quiet', 'busy']);
    let tries = 0;
    const withProcessor = (driver: DriverAt, custom: () => number): DriverAt => ({
      ...driver,
      custom: async () => {
        const processor = speedOf('C++', [custom()]);
        const latency = { ...latencyOf(Float64Array.of(1), 1), processor };
        return { latency, counts: {}, facts: { medium: 'file', class: 'power', how: '' } };
      },
    });
    const [quiet, busy] = group.drivers as [DriverAt, DriverAt];
    const drivers = [
      withProcessor(quiet, () => 100),
      withProcessor(busy, () => {
        if (++tries > 1) throw new Error('it does not run twice');
        return 180;
      }),
    ];
    const { lines } = await runPlan({ groups: [{ ...group, drivers }], rounds: 1, commit: 'x' });
    expect(tries).toBe(2);
    expect(lines.map(({ skipped }) => skipped)).toEqual([undefined, undefined]);
    expect(lines[1]!.result!.latency!.processor!.ns).toBe(180);
  });

  test('leaves nothing on the place', async () => {
    const group = groupWith([]);
    const place = group.drivers[0]!.place;
    await runPlan({ groups: [group], rounds: 1, commit: 'x' });
    expect(readdirSync(place)).toEqual([]);
  });

  test('fills a store once for all trials that read it, and opens it after real kills', async () => {
    const place = scratchFolder('runner-filled');
    mkdirSync(place, { recursive: true });
    const driver: DriverAt = {
      name: 'holdfast',
      shown: 'ours',
      module: path.join(dist, 'bench', 'holdfast-driver.js'),
      place,
      medium: 'file',
    };
    const groups = workloadsOf('quick')
      .filter(({ name }) => ['getHot', 'open'].includes(name))
      .map((one) => ({ workload: one, drivers: [driver] }));
    const { lines } = await runPlan({ groups, rounds: 2, commit: 'x' });
    expect(lines.map(({ skipped }) => skipped)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(lines[3]!.result!.counts.toFirstReadMs).toBeGreaterThan(0);
    expect(existsSync(place) ? readdirSync(place) : []).toEqual([]);
  });
});

test('the processor is told beside short samples, without the longest of its looks', () => {
  const probe = new ProcessorProbe();
  expect(probe.speed(1000)).toBeUndefined(); // nobody has looked
  for (let sample = 0; sample < 65; ++sample) probe.beside();
  const speed = probe.speed(1000)!;
  expect(speed).toMatchObject({ loop: 'JavaScript' });
  expect(speed.least).toBeGreaterThan(0);
  expect(speed.ns).toBeGreaterThanOrEqual(speed.least);
  expect(probe.speed(100_000)).toBeUndefined();
  const took = [...Array.from({ length: 19 }, () => 10), 1000];
  expect(speedOf('C++', took)).toEqual({ loop: 'C++', ns: 10, least: 10 });
});

describe('a log of strace', () => {
  const log = (...calls: string[]): string => calls.map((call) => `17    ${call}`).join('\n');
  const mark = `access("${MARK}", F_OK) = -1 ENOENT (No such file or directory)`;

  test("counts what lies between the marks, on the store's own files", () => {
    const text = log(
      'openat(AT_FDCWD</>, "/t/log", O_RDWR) = 5</t/log>',
      'pwrite64(5</t/log>, "x", 100, 0) = 100',
      mark,
      'pwrite64(5</t/log>, "x", 100, 100) = 100',
      'fdatasync(5</t/log>) = 0',
      'write(7<anon_inode:[eventfd]>, "x", 8) = 8',
      'pwrite64(5</t/log>, "x", 50, 200) = 50',
      'fdatasync(5</t/log>) = 0',
      mark,
      'fsync(5</t/log>) = 0',
    );
    expect(callsIn(text, '/t', 2)).toEqual({
      pwrite64: 1,
      writes: 1,
      writtenBytes: 75,
      fdatasync: 1,
      syncs: 1,
    });
  });

  test('a write to a descriptor that is synchronous is a sync; asynchronous msync is none', () => {
    const text = log(
      'openat(AT_FDCWD</>, "/t/meta", O_RDWR|O_DSYNC) = 6</t/meta>',
      mark,
      'pwrite64(6</t/meta>, "x", 8, 0) = 8',
      'msync(0x7f, 4096, MS_ASYNC) = 0',
      'msync(0x7f, 4096, MS_SYNC) = 0',
      mark,
    );
    expect(callsIn(text, '/t', 1)).toEqual({
      'synchronous pwrite64': 1,
      writes: 1,
      writtenBytes: 8,
      msync: 1,
      syncs: 2,
    });
  });

  test('a call that another thread interrupted is one call, and no sync at all is said', () => {
    const begun = log(mark, 'pwrite64(5</t/log>, "x", 100, 100 <unfinished ...>');
    const text =
      begun +
      '\n18    write(1</dev/null>, "x", 1) = 1\n' +
      log('<... pwrite64 resumed>) = 100', mark);
    expect(callsIn(text, '/t', 1)).toEqual({ pwrite64: 1, writes: 1, writtenBytes: 100, syncs: 0 });
    expect(() => callsIn(log(mark), '/t', 1)).toThrow('1 marks');
  });
});
