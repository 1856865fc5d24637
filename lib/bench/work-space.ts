/**
 * What data takes when it was loaded and when much of it was overwritten, and what the cleaner
 * costs in a store that is nearly full.
 */
import { entriesOf, keyOf, KEY_BYTES, need, scattered, valueOf } from './inputs';
import { takenBytes } from './machine';
import { latencyOf } from './statistics';
import { nowNs, rest } from './timing';
import type { Latency, Measured, OpenWish, Store, Workload } from './line';

const ROUNDS = 20;

export async function space(
  store: Store,
  { bytes, keys, overwritten = keys }: Workload,
  { folder }: OpenWish,
): Promise<Measured> {
  const load = need(store.load, 'way to be filled');
  await load(entriesOf(keys, bytes));
  await rest(500); // what a store tidies by itself it may
  const data = keys * (bytes + KEY_BYTES);
  const { taken, logBytes, indexBytes } = usedBytes(store, folder);
  for (let round = 0; round < ROUNDS; ++round) {
    await load(entriesOf(overwritten, bytes, (i) => (i * 7919) % keys, round + 2));
  }
  await rest(1500);
  const counts: Record<string, number> = {
    takenPerData: taken / data,
    takenPerDataAfterOverwrites: usedBytes(store, folder).taken / data,
  };
  if (logBytes > 0) counts.indexShare = indexBytes / (logBytes + indexBytes);
  return { counts };
}

/** A pool of fixed size takes its size; what counts there is what it holds. */
function usedBytes(
  store: Store,
  folder: string,
): { taken: number; logBytes: number; indexBytes: number } {
  const own = store.counts?.() ?? {};
  const logBytes = own.logBytes ?? 0;
  const indexBytes = own.indexBytes ?? 0;
  const taken =
    store.facts.medium === 'pmem' && logBytes > 0 ? logBytes + indexBytes : takenBytes(folder);
  return { taken, logBytes, indexBytes };
}

const LIVE = 0.85;
const MEDIUM_KEYS = 200_000; // as many as such a pool has

/**
 * Filled until 85 % of its fixed size is live, then overwritten uniformly, key by key, each commit
 * timed alone. A floor keeps nothing and is not filled: timed in the same way, its tail is the
 * medium's own.
 */
export async function cleaner(store: Store, workload: Workload, wish: OpenWish): Promise<Measured> {
  if (store.load === undefined) {
    const { latency, error } = overwrite(store, workload, MEDIUM_KEYS);
    if (error !== undefined) throw error;
    return {
      latency,
      rate: 1e9 / latency.p50,
      counts: { p999PerMedian: latency.p999 / latency.p50 },
    };
  }
  const { bytes } = workload;
  const liveShare = need(store.liveShare, 'fixed size to clean within');
  const load = need(store.load, 'way to be filled');
  const chunk = Math.ceil(wish.fixedSize! / 400 / bytes);
  let keys = 0;
  while (liveShare() < LIVE) {
    const from = keys;
    await load(entriesOf(chunk, bytes, (i) => from + i));
    keys += chunk;
    if (keys * bytes > wish.fixedSize!)
      throw new Error('the store says that it is not yet filled to 85 %');
  }
  await rest(500);
  const live = liveShare();
  const before = store.counts!();
  const { latency, made, error } = overwrite(store, workload, keys);
  const after = store.counts!();
  const counts: Record<string, number> = {
    keys,
    live,
    overwritten: made / keys,
    writeAmplification:
      (after.bytesAppended! - before.bytesAppended!) / (made * (bytes + KEY_BYTES)),
    p999PerMedian: latency.p999 / latency.p50,
    longestMs: latency.curve.at(-1)![1] / 1e6,
  };
  // full although nothing is added: that is what the workload looks for
  if (error !== undefined) counts.refusedAfter = made;
  return { latency, rate: 1e9 / latency.p50, counts };
}

interface Overwritten {
  readonly latency: Latency;
  readonly made: number;
  /** What ended it before its time. */
  readonly error?: unknown;
}

function overwrite(store: Store, { bytes, steps, budgetMs }: Workload, keys: number): Overwritten {
  const put = need(store.putSync, 'synchronous commit');
  const samples = new Float64Array(steps);
  const pick = scattered(keys);
  const until = nowNs() + budgetMs * 1e6;
  const value = valueOf(bytes, 3);
  let made = 0;
  let error: unknown;
  for (let ended = 0; made < steps && ended < until; ++made) {
    const begun = nowNs();
    try {
      put(keyOf(pick()), value);
    } catch (thrown) {
      error = thrown;
      break;
    }
    ended = nowNs();
    samples[made] = ended - begun;
  }
  return { latency: latencyOf(samples.subarray(0, made), 1), made, error };
}
