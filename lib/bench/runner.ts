/**
 * Runs a plan: every trial in a fresh process and a fresh folder, the drivers of one group in turn (A B C, B C A, …), so that
 * a machine that grows slower or busier does so for all of them. Nothing stays behind.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { fileSystemOf, machine } from './machine';
import type { Line, OpenWish, TrialOrder, TrialResult, Workload } from './line';

export interface DriverAt {
  readonly name: string;
  /** How the report calls it on this place. */
  readonly shown: string;
  readonly module: string;
  /** The folder under which its trials make theirs. */
  readonly place: string;
  readonly medium?: OpenWish['medium'];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs no trial process but this; for the native floors. */
  readonly custom?: (workload: Workload, folder: string) => Promise<TrialResult>;
}

/** One comparison: the same workload through several drivers. */
export interface Group {
  readonly workload: Workload;
  readonly drivers: readonly DriverAt[];
}

export interface PlanOptions {
  readonly groups: readonly Group[];
  readonly rounds: number;
  readonly commit: string;
  readonly signal?: AbortSignal;
  onLine?(line: Line, done: number, of: number): void;
  onTrial?(driver: string, label: string, done: number, of: number): void;
}

interface Answer {
  readonly result?: TrialResult;
  readonly skipped?: string;
}

/** A trial that takes longer than this hangs. */
const TRIAL_LIMIT_MS = 15 * 60_000;

export async function runPlan({ groups, rounds, commit, signal, onLine, onTrial }: PlanOptions): Promise<Line[]> {
  const lines: Line[] = [];
  const of = groups.reduce((sum, { drivers }) => sum + drivers.length * rounds, 0);
  const impossible = new Set<string>();
  for (const { workload, drivers } of groups) {
    for (let round = 0; round < rounds; ++round) {
      for (let i = 0; i < drivers.length; ++i) {
        signal?.throwIfAborted();
        const driver = drivers[(i + round) % drivers.length]!;
        const name = `${workload.label} through ${driver.shown}`;
        onTrial?.(driver.shown, workload.label, lines.length, of);
        const answer = impossible.has(name) ? { skipped: 'see round 0' } : await trial(driver, workload, signal);
        if (answer.skipped !== undefined) impossible.add(name);
        lines.push(lineOf(driver, workload, round, commit, answer));
        onLine?.(lines.at(-1)!, lines.length, of);
      }
    }
  }
  return lines;
}

function lineOf(driver: DriverAt, workload: Workload, round: number, commit: string, answer: Answer): Line {
  return {
    workload: workload.name,
    label: workload.label,
    bytes: workload.bytes,
    keys: workload.keys,
    inFlight: workload.inFlight,
    driver: driver.shown,
    place: driver.place,
    fileSystem: fileSystemOf(driver.place),
    round,
    commit,
    at: new Date().toISOString(),
    machine: machine(),
    ...answer,
  };
}

async function trial(driver: DriverAt, workload: Workload, signal: AbortSignal | undefined): Promise<Answer> {
  mkdirSync(driver.place, { recursive: true });
  const folder = mkdtempSync(join(driver.place, 'holdfast-bench-'));
  try {
    if (driver.custom !== undefined) return { result: await driver.custom(workload, folder) };
    const room = Math.max(workload.keys * (workload.bytes + 64), 64 * workload.bytes);
    const wish: OpenWish = { folder, medium: driver.medium, room };
    const order: TrialOrder = { driver: driver.name, module: driver.module, wish, workload };
    if (workload.name !== 'open') return await child(order, driver, signal);
    const filled = await child({ ...order, phase: 'fill' }, driver, signal);
    if (filled.skipped !== KILLED) return filled;
    return await child({ ...order, phase: 'open' }, driver, signal);
  } catch (error) {
    return { skipped: `failed: ${(error as Error).message}` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const KILLED = 'killed by SIGKILL';

function child(order: TrialOrder, driver: DriverAt, signal: AbortSignal | undefined): Promise<Answer> {
  const main = join(__dirname, 'trial-main.js');
  const env = { ...process.env, ...driver.env };
  const options = { env, signal, timeout: TRIAL_LIMIT_MS, killSignal: 'SIGTERM' as const, maxBuffer: 64 << 20 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [main, JSON.stringify(order)], options, (error, stdout, stderr) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      if (error?.signal === 'SIGKILL') return resolve({ skipped: KILLED });
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (last.startsWith('{')) return resolve(JSON.parse(last) as Answer);
      const why = stderr.trim().split('\n').at(-1) || error?.message || 'the trial printed nothing';
      resolve({ skipped: `failed: ${why}` });
    });
  });
}
