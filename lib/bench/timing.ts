/**
 * How operations are timed and counted.
 *
 * What takes less than a few microseconds is timed several operations at a time, because asking for
 * the time costs 50 ns; `perSample` says how many.
 */
import { deviceBytes } from './machine';
import { ProcessorProbe } from './processor';
import { latencyOf } from './statistics';
import type { Latency, Measured, OpenWish, Store } from './line';

const AIMED_SAMPLE_NS = 5000;
export const MOST_SAMPLES = 100_000;

export const nowNs = (): number => Number(process.hrtime.bigint());
export const rest = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** Times `operation` until the budget is used up. */
export function timed(operation: () => void, budgetMs: number): Latency {
  let perSample = 1;
  const warmUntil = nowNs() + budgetMs * 2e5;
  let quickest = Number.POSITIVE_INFINITY;
  do {
    const begun = nowNs();
    for (let i = 0; i < 8; ++i) operation();
    quickest = Math.min(quickest, (nowNs() - begun) / 8);
  } while (nowNs() < warmUntil);
  if (quickest < AIMED_SAMPLE_NS) perSample = Math.ceil(AIMED_SAMPLE_NS / quickest);
  const samples = new Float64Array(MOST_SAMPLES);
  const probe = new ProcessorProbe();
  const until = nowNs() + budgetMs * 1e6;
  let taken = 0;
  while (taken < MOST_SAMPLES) {
    const begun = nowNs();
    for (let i = 0; i < perSample; ++i) operation();
    const ended = nowNs();
    samples[taken++] = (ended - begun) / perSample;
    probe.beside();
    if (ended > until && taken >= 5) break;
  }
  const latency = latencyOf(samples.subarray(0, taken), perSample);
  return { ...latency, processor: probe.speed(latency.p50 * perSample) };
}

/** The same for what returns a promise; one after the other. */
export async function timedAsync(operation: () => unknown, budgetMs: number): Promise<Latency> {
  const warmUntil = nowNs() + budgetMs * 2e5;
  for (let i = 0; i < 10 || nowNs() < warmUntil; ++i) await operation();
  const samples = new Float64Array(MOST_SAMPLES);
  const probe = new ProcessorProbe();
  const until = nowNs() + budgetMs * 1e6;
  let taken = 0;
  while (taken < MOST_SAMPLES) {
    const begun = nowNs();
    await operation();
    const ended = nowNs();
    samples[taken++] = ended - begun;
    probe.beside();
    if (ended > until && taken >= 5) break;
  }
  const latency = latencyOf(samples.subarray(0, taken), 1);
  return { ...latency, processor: probe.speed(latency.p50) };
}

interface Worked {
  readonly operations: number;
  readonly measured: Omit<Measured, 'counts'>;
}

/** What is counted while `work` runs, divided by the operations it says it made. */
export async function counting(
  store: Store,
  { folder }: OpenWish,
  work: () => Promise<Worked>,
): Promise<Measured> {
  const device = deviceBytes(folder);
  const before = store.counts?.() ?? {};
  const { operations, measured } = await work();
  const after = store.counts?.() ?? {};
  const counts: Record<string, number> = {};
  for (const [name, value] of Object.entries(after))
    counts[name] = (value - (before[name] ?? 0)) / operations;
  const written = deviceBytes(folder);
  if (device !== undefined && written !== undefined)
    counts.deviceBytes = (written - device) / operations;
  return { ...measured, counts };
}
