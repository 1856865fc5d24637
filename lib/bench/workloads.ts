/**
 * The workloads. Each is given an open store and a time budget, and returns what it measured and what was counted meanwhile.
 *
 * What takes less than a few microseconds is timed several operations at a time, because asking for the time costs 50 ns;
 * `perSample` says how many.
 */
import { privateBytes, deviceBytes, takenBytes } from './machine';
import { latencyOf } from './statistics';
import type { Latency, Measured, OpenWish, Store, Workload } from './line';

type Run = (store: Store, workload: Workload, wish: OpenWish) => Promise<Measured>;

/** A store cannot do what the workload needs. Becomes a row that says so. */
export class Impossible extends Error {}

const HOT_KEYS = 1000;
const AIMED_SAMPLE_NS = 5000;
const MOST_SAMPLES = 100_000;

const nowNs = (): number => Number(process.hrtime.bigint());

export function keyOf(number: number): string {
  return `user:${String(number).padStart(12, '0')}`;
}

export function valueOf(bytes: number, seed = 1): Buffer {
  const value = Buffer.allocUnsafe(bytes);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < bytes; ++i) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    value[i] = state >>> 24;
  }
  return value;
}

/** Numbers below `limit` in an order no cache foresees, the same in every run. */
export function scattered(limit: number): () => number {
  let state = 12_345;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function need<T>(part: T | undefined, what: string): T {
  if (part === undefined) throw new Impossible(`has no ${what}`);
  return part;
}

/** Times `operation` until the budget is used up. */
function timed(operation: () => void, budgetMs: number): Latency {
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
  const until = nowNs() + budgetMs * 1e6;
  let taken = 0;
  while (taken < MOST_SAMPLES) {
    const begun = nowNs();
    for (let i = 0; i < perSample; ++i) operation();
    const ended = nowNs();
    samples[taken++] = (ended - begun) / perSample;
    if (ended > until && taken >= 5) break;
  }
  return latencyOf(samples.subarray(0, taken), perSample);
}

/** The same for what returns a promise; one after the other. */
async function timedAsync(operation: () => Promise<unknown>, budgetMs: number): Promise<Latency> {
  for (let i = 0; i < 10; ++i) await operation();
  const samples = new Float64Array(MOST_SAMPLES);
  const until = nowNs() + budgetMs * 1e6;
  let taken = 0;
  while (taken < MOST_SAMPLES) {
    const begun = nowNs();
    await operation();
    const ended = nowNs();
    samples[taken++] = ended - begun;
    if (ended > until && taken >= 5) break;
  }
  return latencyOf(samples.subarray(0, taken), 1);
}

/** What is counted while `work` runs, divided by the operations it says it made. */
async function counting(
  store: Store,
  { folder }: OpenWish,
  work: () => Promise<{ operations: number; measured: Omit<Measured, 'counts'> }>,
): Promise<Measured> {
  const device = deviceBytes(folder);
  const before = store.counts?.() ?? {};
  const { operations, measured } = await work();
  const after = store.counts?.() ?? {};
  const counts: Record<string, number> = {};
  for (const [name, value] of Object.entries(after)) counts[name] = (value - (before[name] ?? 0)) / operations;
  const written = deviceBytes(folder);
  if (device !== undefined && written !== undefined) counts.deviceBytes = (written - device) / operations;
  return { ...measured, counts };
}

const commit: Run = async (store, { bytes, budgetMs, keys }, wish) => {
  const value = valueOf(bytes);
  const names = Array.from({ length: keys }, (_, i) => keyOf(i));
  let operations = 0;
  const next = (): string => names[operations++ % keys]!;
  return counting(store, wish, async () => {
    const { putSync, put } = store;
    const latency =
      putSync !== undefined
        ? timed(() => putSync(next(), value), budgetMs)
        : await timedAsync(() => need(put, 'durable commit of one key')(next(), value), budgetMs);
    return { operations, measured: { latency, rate: 1e9 / latency.p50 } };
  });
};

const batch: Run = async (store, { bytes, budgetMs, keys }, wish) => {
  const value = valueOf(bytes);
  let operations = 0;
  const entries = Array.from({ length: keys }, (_, i) => [keyOf(i * 7), value] as const);
  return counting(store, wish, async () => {
    const { batchSync } = store;
    const once = batchSync === undefined ? need(store.batch, 'batch') : undefined;
    const latency =
      once === undefined
        ? timed(() => (++operations, batchSync!(entries)), budgetMs)
        : await timedAsync(() => (++operations, once(entries)), budgetMs);
    return { operations, measured: { latency, rate: (keys * 1e9) / latency.p50 } };
  });
};

/** So many commits are under way at any time; each is replaced by the next as soon as it is durable. */
const inFlight: Run = async (store, { bytes, budgetMs, inFlight: wanted }, wish) => {
  const put = need(store.put, 'asynchronous commit');
  const value = valueOf(bytes);
  let operations = 0;
  const drive = async (forMs: number): Promise<{ done: number; tookNs: number; samples: number[] }> => {
    const samples: number[] = [];
    const begun = nowNs();
    const until = begun + forMs * 1e6;
    let done = 0;
    const lane = async (): Promise<void> => {
      for (;;) {
        const started = nowNs();
        await put(keyOf(operations++ % 10_000), value);
        const ended = nowNs();
        done += 1;
        if (samples.length < MOST_SAMPLES) samples.push(ended - started);
        if (ended > until) return;
      }
    };
    await Promise.all(Array.from({ length: wanted }, lane));
    return { done, tookNs: nowNs() - begun, samples };
  };
  await drive(budgetMs / 4);
  return counting(store, wish, async () => {
    const { done, tookNs, samples } = await drive(budgetMs);
    const latency = latencyOf(Float64Array.from(samples), 1);
    // By Little's law from the median: what others take of the machine meanwhile counts less than in the mean.
    const rate = (wanted * 1e9) / latency.p50;
    return { operations: done, measured: { latency, rate, series: { meanRate: [[wanted, (done * 1e9) / tookNs]] } } };
  });
};

async function fill(store: Store, keys: number, bytes: number): Promise<void> {
  const value = valueOf(bytes);
  const load = need(store.load, 'way to be filled');
  const entries = function* () {
    for (let i = 0; i < keys; ++i) yield [keyOf(i), value] as const;
  };
  await load.call(store, entries());
}

const get =
  (among: (keys: number) => number): Run =>
  async (store, { bytes, budgetMs, keys }) => {
    const read = need(store.get, 'point read');
    await fill(store, keys, bytes);
    const limit = among(keys);
    const pick = scattered(limit);
    // Made before: what is timed is the read, not the making of the key.
    const names = Array.from({ length: Math.min(keys, 200_000) }, () => keyOf(pick()));
    let at = 0;
    const latency = timed(() => {
      const found = read(names[at]!);
      if (found !== bytes) throw new Error(`${names[at]!} has ${found} bytes in place of ${bytes}`);
      at = at + 1 === names.length ? 0 : at + 1;
    }, budgetMs);
    return { latency, rate: 1e9 / latency.p50, counts: { privateMiB: privateBytes() / 2 ** 20 } };
  };

const range: Run = async (store, { bytes, budgetMs, keys }) => {
  const walk = need(store.range, 'range');
  await fill(store, keys, bytes);
  const pick = scattered(keys - 1000);
  const latency = timed(() => {
    const walked = walk(keyOf(pick()), 1000);
    if (walked !== 1000 * (bytes + 17)) throw new Error(`a range of 1,000 entries had ${walked} bytes`);
  }, budgetMs);
  return { latency, rate: 1e9 / latency.p50, counts: {} };
};

const space: Run = async (store, { bytes, keys }, { folder }) => {
  await fill(store, keys, bytes);
  await new Promise((resolve) => setTimeout(resolve, 500)); // what a store tidies by itself it may
  const data = keys * (bytes + 17);
  const { taken, logBytes, indexBytes } = usedBytes(store, folder);
  const load = need(store.load, 'way to be filled');
  const value = valueOf(bytes, 2);
  for (let time = 0; time < 20; ++time) {
    const entries = function* () {
      for (let i = 0; i < keys / 10; ++i) yield [keyOf((i * 7919) % keys), value] as const;
    };
    await load.call(store, entries());
  }
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const counts: Record<string, number> = {
    takenPerData: taken / data,
    takenPerDataAfterOverwrites: usedBytes(store, folder).taken / data,
  };
  if (logBytes > 0) counts.indexShare = indexBytes / (logBytes + indexBytes);
  return { counts };
};

/** A pool of fixed size takes its size; what counts there is what it holds. */
function usedBytes(store: Store, folder: string): { taken: number; logBytes: number; indexBytes: number } {
  const own = store.counts?.() ?? {};
  const logBytes = own.logBytes ?? 0;
  const indexBytes = own.indexBytes ?? 0;
  const taken = store.facts.medium === 'pmem' ? logBytes + indexBytes : takenBytes(folder);
  return { taken, logBytes, indexBytes };
}

const agent: Run = async (store, { bytes, steps }, { folder }) => {
  const session = await need(store.agent, 'agent').call(store);
  const message = valueOf(bytes / 2).toString('hex');
  const messages: string[] = [];
  const samples = new Float64Array(steps);
  const perStep: [number, number][] = [];
  const bytesPerStep: [number, number][] = [];
  const every = Math.max(1, Math.floor(steps / 50));
  let device = deviceBytes(folder) ?? 0;
  const first = device;
  for (let i = 0; i < steps; ++i) {
    messages.push(message);
    const begun = nowNs();
    await session.step(messages, message);
    samples[i] = nowNs() - begun;
    if ((i + 1) % every !== 0) continue;
    const now = deviceBytes(folder) ?? 0;
    perStep.push([i + 1, samples[i]! / 1000]);
    bytesPerStep.push([i + 1, (now - device) / every]);
    device = now;
  }
  await session.end();
  const latency = latencyOf(samples.slice(), 1);
  const counts = {
    stepUs: latency.p50 / 1000,
    deviceMiBInAll: ((deviceBytes(folder) ?? 0) - first) / 2 ** 20,
    messagesMiB: (steps * bytes) / 2 ** 20,
  };
  return { latency, counts, series: { usPerStep: perStep, deviceBytesPerStep: bytesPerStep } };
};

const state: Run = async (store, { bytes, budgetMs }, wish) => {
  const save = need(store.saveState, 'way to keep a state');
  const parts = bytes / 1024;
  const kept: Record<string, string> = {};
  for (let i = 0; i < parts; ++i) kept[`part${i}`] = valueOf(512, i + 1).toString('hex');
  let operations = 0;
  return counting(store, wish, async () => {
    const latency = await timedAsync(async () => {
      kept[`part${operations % parts}`] = valueOf(512, ++operations + 7919).toString('hex');
      await save.call(store, kept);
    }, budgetMs);
    return { operations, measured: { latency, rate: 1e9 / latency.p50 } };
  });
};

/** Only the filling; what is timed happens in the next process. */
const openFill: Run = async (store, { bytes, keys }) => {
  await fill(store, keys, bytes);
  return { counts: {} };
};

export const workloads: Readonly<Record<string, Run>> = {
  commit,
  batch,
  inFlight,
  getHot: get((keys) => Math.min(keys, HOT_KEYS)),
  getRandom: get((keys) => keys),
  range,
  space,
  agent,
  state,
  open: openFill,
};
