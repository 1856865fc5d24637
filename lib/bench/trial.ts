/**
 * Starts the process of a trial, under strace or a preloaded counter where something is to be
 * counted, and reads what it printed.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { callsIn, COUNTED_TURNS, TRACED } from './counted';
import type { TrialOrder, TrialResult } from './line';

export interface Answer {
  readonly result?: TrialResult;
  readonly skipped?: string;
}

export const KILLED = 'killed by SIGKILL';

/** A trial that takes longer than this hangs. */
const TRIAL_LIMIT_MS = 15 * 60_000;

type Env = Readonly<Record<string, string>>;

interface How {
  readonly env?: Env;
  readonly signal?: AbortSignal;
  /** Put before the command: strace and its options. */
  readonly under?: readonly string[];
}

export function trial(order: TrialOrder, { env, signal, under = [] }: How): Promise<Answer> {
  // The memory workload collects garbage before it looks.
  const [program, ...args] = [
    ...under,
    process.execPath,
    '--expose-gc',
    join(__dirname, 'trial-main.js'),
    JSON.stringify(order),
  ];
  const options = {
    env: { ...process.env, ...env },
    signal,
    timeout: TRIAL_LIMIT_MS,
    killSignal: 'SIGTERM' as const,
    maxBuffer: 64 << 20,
  };
  return new Promise((resolve, reject) => {
    execFile(program!, args, options, (error, stdout, stderr) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      if (error?.signal === 'SIGKILL') return resolve({ skipped: KILLED });
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (last.startsWith('{')) return resolve(JSON.parse(last) as Answer);
      const why = errorLine(stderr) || error?.message || 'the trial printed nothing';
      resolve({ skipped: `failed: ${why}` });
    });
  });
}

/** Of what Node.js prints of an error that nobody caught, the line that says which. */
export function errorLine(stderr: string): string {
  const lines = stderr.trim().split('\n');
  return lines.find((line) => /^\w*Error\b.*:/.test(line)) ?? lines.at(-1) ?? '';
}

export interface Counters {
  /** Why system calls cannot be counted here. */
  readonly straceMissing?: string;
  /** A library that stands before libpmem and counts fences (bench/native/fence_counter.cc). */
  readonly fenceCounter?: string;
}

/** strace's options, and the environment of what it starts. */
export function underStrace(log: string, fences: string, { fenceCounter }: Counters): string[] {
  const preload =
    fenceCounter === undefined
      ? []
      : ['-E', `LD_PRELOAD=${fenceCounter}`, '-E', `HOLDFAST_BENCH_FENCES=${fences}`];
  return ['strace', '-f', '-y', ...preload, '-e', `trace=${TRACED}`, '-o', log];
}

/** What was counted between the marks, per turn of the workload. */
export function readCounts(
  log: string,
  fences: string,
  folder: string,
  operations: number,
  counters: Counters,
): Record<string, number> {
  const counts = callsIn(readFileSync(log, 'utf8'), folder, operations);
  if (counters.fenceCounter === undefined) return counts;
  const [first, second] = readFileSync(fences, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  if (first === undefined || second === undefined) return counts; // libpmem is not in that process
  return {
    ...counts,
    fences: (second[0]! - first[0]!) / operations,
    flushes: (second[1]! - first[1]!) / operations,
  };
}

export async function countedTrial(
  order: TrialOrder,
  how: How,
  counters: Counters,
): Promise<Answer> {
  if (counters.straceMissing !== undefined) return { skipped: counters.straceMissing };
  const { folder } = order.wish;
  const [log, fences] = [
    join(folder, '..', `strace-${process.pid}`),
    join(folder, '..', `fences-${process.pid}`),
  ];
  const answer = await trial(
    { ...order, phase: 'count' },
    { ...how, under: underStrace(log, fences, counters) },
  );
  if (answer.result === undefined) return answer;
  const counts = readCounts(log, fences, folder, COUNTED_TURNS, counters);
  return { result: { ...answer.result, counts } };
}
