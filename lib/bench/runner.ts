/**
 * Runs a plan: every trial in a fresh process, the drivers of one group in turn (A B C, B C A, …),
 * so that a machine that grows slower or busier does so for all of them. Reads and openings are
 * measured on stores that are filled once (stores.ts), the rest in fresh folders. A plan can be cut
 * and gone on with: lines that are there already are not measured again.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { fileSystemOf, machine } from './machine';
import { quickestOf, SLOWED, slowedIn } from './processor';
import { FilledStores } from './stores';
import { countedTrial, KILLED, trial, type Answer, type Counters } from './trial';
import { ON_FILLED_STORE } from './workloads';
import type { DriverAt, Group, Line, Phase, TrialOrder, Workload } from './line';

export interface PlanOptions {
  readonly groups: readonly Group[];
  readonly rounds: number;
  readonly commit: string;
  readonly counters?: Counters;
  /** Lines of an interrupted run that is gone on with. */
  readonly known?: readonly Line[];
  /** Stop after the trial that is under way then. The filled stores stay for the next run. */
  readonly until?: number;
  readonly signal?: AbortSignal;
  onLine?(line: Line, done: number, of: number): void;
  onTrial?(driver: string, label: string, done: number, of: number): void;
}

/** One trial of a plan. */
interface Due {
  readonly driver: DriverAt;
  readonly workload: Workload;
  readonly round: number;
  readonly counted: boolean;
}

const idOf = (label: string, driver: string, round: number, counted: boolean): string =>
  JSON.stringify([label, driver, round, counted]);

const idsOf = (lines: readonly Line[]): Set<string> =>
  new Set(lines.map((line) => idOf(line.label, line.driver, line.round, line.counted ?? false)));

function dueOf({ workload, drivers, counted = false }: Group, rounds: number): Due[] {
  const due: Due[] = counted
    ? drivers.map((driver) => ({ driver, workload, round: 0, counted }))
    : [];
  for (let round = 0; round < rounds; ++round) {
    for (let i = 0; i < drivers.length; ++i) {
      due.push({ driver: drivers[(i + round) % drivers.length]!, workload, round, counted: false });
    }
  }
  return due;
}

/** The workloads of the trials that are still to be made, one entry per trial. */
export function trialsDue(
  groups: readonly Group[],
  rounds: number,
  known: readonly Line[] = [],
): Workload[] {
  const measured = idsOf(known);
  return groups
    .flatMap((group) => dueOf(group, rounds))
    .filter(
      ({ workload, driver, round, counted }) =>
        !measured.has(idOf(workload.label, driver.shown, round, counted)),
    )
    .map(({ workload }) => workload);
}

export interface Ran {
  readonly lines: Line[];
  /** False when the time was up before. */
  readonly finished: boolean;
}

export async function runPlan(options: PlanOptions): Promise<Ran> {
  const { groups, rounds, commit, known = [], until = Infinity, signal, onLine, onTrial } = options;
  const lines = [...known];
  const measured = idsOf(known);
  const impossible = new Map<string, string>();
  for (const { label, driver, counted, skipped } of known)
    if (skipped !== undefined && !counted) impossible.set(label + driver, skipped);
  const of = trialsDue(groups, rounds, known).length;
  const done = (): number => lines.length - known.length;
  const stores = new FilledStores();
  let finished = false;
  try {
    for (const [at, group] of groups.entries()) {
      for (const due of dueOf(group, rounds)) {
        const { driver, workload, round, counted } = due;
        if (measured.has(idOf(workload.label, driver.shown, round, counted))) continue;
        signal?.throwIfAborted();
        if (Date.now() > until) return { lines, finished };
        onTrial?.(driver.shown, workload.label, done(), of);
        const why = counted ? undefined : impossible.get(workload.label + driver.shown);
        const line =
          why === undefined
            ? await lessSlowed(lines, () => timedLine(due, stores, options))
            : lineOf(due, commit, 0, { skipped: why });
        if (line.skipped !== undefined && !counted)
          impossible.set(workload.label + driver.shown, line.skipped);
        lines.push(line);
        onLine?.(line, done(), of);
      }
      stores.keepOnly(groups.slice(at + 1));
    }
    finished = true;
    return { lines, finished };
  } finally {
    if (finished || Date.now() <= until) stores.removeAll(groups);
  }
}

/**
 * A trial in which others slowed the processor is made once more, for every driver alike; the one
 * that was slowed less counts. Which it is does not depend on what was measured.
 */
async function lessSlowed(lines: readonly Line[], make: () => Promise<Line>): Promise<Line> {
  const first = await make();
  const slowed = slowedIn([first], quickestOf([...lines, first]));
  if (slowed === undefined || slowed <= SLOWED) return first;
  const second = await make();
  const quickest = quickestOf([...lines, first, second]);
  const [before, now = Infinity] = [first, second].map((line) => slowedIn([line], quickest));
  return now < before! ? second : first;
}

async function timedLine(due: Due, stores: FilledStores, options: PlanOptions): Promise<Line> {
  const begun = performance.now();
  const answer = await answerOf(due, stores, options);
  return lineOf(due, options.commit, Math.round(performance.now() - begun), answer);
}

function lineOf(
  { driver, workload, round, counted }: Due,
  commit: string,
  tookMs: number,
  answer: Answer,
): Line {
  return {
    workload: workload.name,
    on: workload.on,
    label: workload.label,
    bytes: workload.bytes,
    keys: workload.keys,
    inFlight: workload.inFlight,
    driver: driver.shown,
    place: driver.place,
    fileSystem: fileSystemOf(driver.place),
    round,
    ...(counted && { counted }),
    tookMs,
    commit,
    at: new Date().toISOString(),
    machine: machine(),
    ...answer,
  };
}

async function answerOf(due: Due, stores: FilledStores, options: PlanOptions): Promise<Answer> {
  const { driver, workload, counted } = due;
  mkdirSync(driver.place, { recursive: true });
  try {
    const filled = !counted && driver.custom === undefined && ON_FILLED_STORE.has(workload.name);
    return await (filled ? onFilledStore(due, stores, options) : inFreshFolder(due, options));
  } catch (error) {
    if (options.signal?.aborted) throw error;
    return { skipped: `failed: ${(error as Error).message}` };
  }
}

async function inFreshFolder(
  { driver, workload, counted }: Due,
  { signal, counters = {} }: PlanOptions,
): Promise<Answer> {
  const above = mkdtempSync(join(driver.place, 'holdfast-bench-'));
  const folder = join(above, 'store');
  mkdirSync(folder);
  try {
    const { custom, customCounts, env } = driver;
    const own = counted ? customCounts : custom;
    if (own !== undefined) return { result: await own(workload, folder) };
    if (custom !== undefined) return { skipped: 'not counted' };
    const order = orderOf(driver, workload, folder, 'run');
    return await (counted
      ? countedTrial(order, { env, signal }, counters)
      : trial(order, { env, signal }));
  } finally {
    rmSync(above, { recursive: true, force: true });
  }
}

async function onFilledStore(
  { driver, workload }: Due,
  stores: FilledStores,
  { signal }: PlanOptions,
): Promise<Answer> {
  const { env } = driver;
  const order = (phase: Phase): TrialOrder =>
    orderOf(driver, workload, stores.folderOf(driver, workload), phase);
  if (!stores.isFilled(driver, workload)) {
    stores.begin(driver, workload);
    const filled = await trial(order('fill'), { env, signal });
    if (filled.result === undefined) return filled;
    stores.end(driver, workload);
  }
  if (workload.name !== 'open') return trial(order('use'), { env, signal });
  const aged = await trial(order('age'), { env, signal });
  return aged.skipped === KILLED ? trial(order('open'), { env, signal }) : aged;
}

function orderOf(
  { name, module, medium }: DriverAt,
  workload: Workload,
  folder: string,
  phase: Phase,
): TrialOrder {
  const room = Math.max(
    workload.keys * (workload.bytes + 64),
    64 * workload.bytes,
    2 * workload.steps * workload.bytes,
  );
  return {
    driver: name,
    module,
    wish: { folder, medium, room, fixedSize: workload.fixedBytes },
    workload,
    phase,
  };
}
