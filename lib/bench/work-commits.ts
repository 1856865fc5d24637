/** Durable commits: of one key, of a hundred, and many under way at once. */
import { changingValues, entriesOf, keyOf, need, type Entry } from './inputs';
import { latencyOf } from './statistics';
import { counting, MOST_SAMPLES, nowNs, rest, timed, timedAsync } from './timing';
import type { Measured, OpenWish, Store, Workload } from './line';

/**
 * The keys are there before, where a driver can be filled: what is timed is overwriting them, round
 * and round.
 */
export async function commit(
  store: Store,
  { bytes, budgetMs, keys }: Workload,
  wish: OpenWish,
): Promise<Measured> {
  const valueFor = changingValues(bytes);
  const names = Array.from({ length: keys }, (_, i) => keyOf(i));
  if (store.load !== undefined) {
    await store.load(entriesOf(keys, bytes));
    await rest(300); // what a store tidies by itself it may
  }
  let operations = 0;
  const next = (): string => names[operations++ % keys]!;
  const value = (): Buffer => valueFor(operations);
  return counting(store, wish, async () => {
    const { putSync, put } = store;
    const latency =
      putSync !== undefined
        ? timed(() => putSync(next(), value()), budgetMs)
        : await timedAsync(() => need(put, 'durable commit of one key')(next(), value()), budgetMs);
    return { operations, measured: { latency, rate: 1e9 / latency.p50 } };
  });
}

/** The same keys each time, with other values. */
function changingBatches(keys: number, bytes: number): (operation: number) => Entry[] {
  const valueFor = changingValues(bytes);
  const made = new Map<Buffer, Entry[]>();
  return (operation) => {
    const value = valueFor(operation);
    let entries = made.get(value);
    if (entries === undefined)
      made.set(
        value,
        (entries = Array.from({ length: keys }, (_, i) => [keyOf(i * 7), value] as const)),
      );
    return entries;
  };
}

export async function batch(
  store: Store,
  { bytes, budgetMs, keys }: Workload,
  wish: OpenWish,
): Promise<Measured> {
  const batches = changingBatches(keys, bytes);
  let operations = 0;
  return counting(store, wish, async () => {
    const { batchSync } = store;
    const once = batchSync === undefined ? need(store.batch, 'batch') : undefined;
    const latency =
      once === undefined
        ? timed(() => batchSync!(batches(++operations)), budgetMs)
        : await timedAsync(() => once(batches(++operations)), budgetMs);
    return { operations, measured: { latency, rate: (keys * 1e9) / latency.p50 } };
  });
}

/**
 * So many commits are under way at any time; each is replaced by the next as soon as it is durable.
 */
export async function inFlight(
  store: Store,
  workload: Workload,
  wish: OpenWish,
): Promise<Measured> {
  const { bytes, budgetMs, inFlight: wanted } = workload;
  const put = need(store.put, 'asynchronous commit');
  const valueFor = changingValues(bytes);
  let operations = 0;
  const drive = async (
    forMs: number,
  ): Promise<{ done: number; tookNs: number; samples: number[] }> => {
    const samples: number[] = [];
    const begun = nowNs();
    const until = begun + forMs * 1e6;
    let done = 0;
    const lane = async (): Promise<void> => {
      for (;;) {
        const started = nowNs();
        operations += 1;
        await put(keyOf(operations % 10_000), valueFor(operations));
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
    // By Little's law from the median: what others take of the machine meanwhile counts less than
    // in the mean.
    const rate = (wanted * 1e9) / latency.p50;
    return {
      operations: done,
      measured: { latency, rate, series: { meanRate: [[wanted, (done * 1e9) / tookNs]] } },
    };
  });
}

/**
 * Exactly so many operations of a workload, in turns of as many as are in flight; for whoever
 * counts system calls.
 */
export async function someCommits(
  store: Store,
  { name, bytes, keys, inFlight: wanted }: Workload,
  turns: number,
): Promise<number> {
  const valueFor = changingValues(bytes);
  const batches = changingBatches(keys, bytes);
  for (let turn = 0; turn < turns; ++turn) {
    if (name === 'batch') {
      if (store.batchSync !== undefined) store.batchSync(batches(turn));
      else await need(store.batch, 'batch')(batches(turn));
    } else if (name === 'inFlight') {
      const put = need(store.put, 'asynchronous commit');
      await Promise.all(Array.from({ length: wanted }, (_, i) => put(keyOf(i), valueFor(turn))));
    } else if (store.putSync !== undefined) store.putSync(keyOf(turn % 10), valueFor(turn));
    else await need(store.put, 'durable commit of one key')(keyOf(turn % 10), valueFor(turn));
  }
  return turns;
}
