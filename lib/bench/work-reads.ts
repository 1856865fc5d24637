/**
 * Point reads, ranges and the memory they need, on a store that was filled before and has just been
 * opened.
 */
import { keyOf, KEY_BYTES, need, scattered } from './inputs';
import { anonymousBytes } from './machine';
import { nowNs, rest, timed, timedAsync } from './timing';
import type { Measured, Store, Workload } from './line';

const HOT_KEYS = 1000;

export const get =
  (among: (keys: number) => number) =>
  async (store: Store, { bytes, budgetMs, keys }: Workload): Promise<Measured> => {
    const read = need(store.get, 'point read');
    const pick = scattered(among(keys));
    // Made before: what is timed is the read, not the making of the key.
    const names = Array.from({ length: Math.min(keys, 200_000) }, () => keyOf(pick()));
    let at = 0;
    const once = (): void => {
      const found = read(names[at]!);
      if (found !== bytes) throw new Error(`${names[at]!} has ${found} bytes in place of ${bytes}`);
      at = at + 1 === names.length ? 0 : at + 1;
    };
    // the store's pages are mapped, as in a process that has run for a while
    for (let i = 0; i < names.length; ++i) once();
    const latency = timed(once, budgetMs);
    return { latency, rate: 1e9 / latency.p50, counts: {} };
  };

export const getHot = get((keys) => Math.min(keys, HOT_KEYS));
export const getRandom = get((keys) => keys);

export async function range(store: Store, { bytes, budgetMs, keys }: Workload): Promise<Measured> {
  const walk = need(store.range, 'range');
  const pick = scattered(keys - 1000);
  const checked = (walked: number): void => {
    if (walked !== 1000 * (bytes + KEY_BYTES))
      throw new Error(`a range of 1,000 entries had ${walked} bytes`);
  };
  const first = walk(keyOf(pick()), 1000);
  const latency =
    typeof first === 'number'
      ? timed(() => checked(walk(keyOf(pick()), 1000) as number), budgetMs)
      : await timedAsync(async () => checked(await walk(keyOf(pick()), 1000)), budgetMs);
  return { latency, rate: 1e9 / latency.p50, counts: {} };
}

/** `before` is what the process had when the store was not open yet. */
export async function memory(
  store: Store,
  { bytes, keys }: Workload,
  before: number,
): Promise<Measured> {
  const read = need(store.get, 'point read');
  const pick = scattered(keys);
  for (let i = 0; i < 100_000; ++i) {
    if (read(keyOf(pick())) !== bytes) throw new Error('a value has another length');
  }
  (globalThis as { gc?: () => void }).gc?.();
  await rest(200);
  return { counts: { anonymousMiB: (anonymousBytes() - before) / 2 ** 20 } };
}

interface Opened {
  readonly store: Store;
  readonly counts: Record<string, number>;
}

/** What an orderly program does first: open, and read one key. */
export async function openAndRead(
  open: () => Store | Promise<Store>,
  { bytes, keys }: Workload,
): Promise<Opened> {
  const begun = nowNs();
  const store = await open();
  const opened = nowNs();
  const found = need(store.get, 'point read')(keyOf(Math.floor(keys / 2)));
  const read = nowNs();
  if (found !== bytes) throw new Error('what was committed before the kill is not there');
  const recoveryUs = store.counts?.().openUs;
  const counts: Record<string, number> = {
    openMs: (opened - begun) / 1e6,
    firstReadMs: (read - opened) / 1e6,
    toFirstReadMs: (read - begun) / 1e6,
  };
  if (recoveryUs !== undefined) counts.recoveryMs = recoveryUs / 1000;
  return { store, counts };
}
