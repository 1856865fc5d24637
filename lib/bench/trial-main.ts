/**
 * The process of one trial: opens one store with one driver, does one phase of one workload, prints
 * one JSON value and ends. It reads its order from the first argument. After phase `age` it kills
 * itself: what comes next is opening after a real crash.
 */
import { pathToFileURL } from 'node:url';

import { COUNTED_TURNS, mark } from './counted';
import { entriesOf, Impossible, keyOf, need, scattered, valueOf } from './inputs';
import { anonymousBytes } from './machine';
import { someCommits } from './work-commits';
import { memory, openAndRead } from './work-reads';
import { workloads } from './workloads';
import type { Driver, Measured, Store, TrialOrder, TrialResult } from './line';

// TypeScript would make `require` of an import() here, which cannot load an ES module.
const importModule = new Function('address', 'return import(address)') as (
  address: string,
) => Promise<unknown>;

async function driverOf(order: TrialOrder): Promise<Driver> {
  const loaded = (await importModule(pathToFileURL(order.module).href)) as {
    drivers?: Record<string, Driver>;
    driver?: Driver;
    default?: { drivers?: Record<string, Driver>; driver?: Driver };
  };
  const from = loaded.default ?? loaded;
  const driver =
    from.drivers?.[order.driver] ?? from.driver ?? loaded.drivers?.[order.driver] ?? loaded.driver;
  if (driver === undefined) throw new Error(`${order.module} has no driver ${order.driver}`);
  return driver;
}

async function closed(store: Store, measured: Measured): Promise<TrialResult> {
  const { facts } = store;
  await store.close();
  return { ...measured, facts };
}

const NOTHING: Measured = { counts: {} };

async function fill(store: Store, { workload: { keys, bytes } }: TrialOrder): Promise<TrialResult> {
  await need(store.load, 'way to be filled')(entriesOf(keys, bytes));
  return closed(store, NOTHING);
}

/**
 * Overwrites in durable batches, so that there is a tail to recover, and ends as a killed process
 * does.
 */
async function age(store: Store, { workload: { keys, bytes } }: TrialOrder): Promise<never> {
  const value = valueOf(bytes, 5);
  const pick = scattered(keys);
  for (let i = 0; i < 200; ++i) {
    const entries = Array.from({ length: 100 }, () => [keyOf(pick()), value] as const);
    if (store.batchSync !== undefined) store.batchSync(entries);
    else await need(store.batch, 'batch')(entries);
  }
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

async function count(store: Store, { workload }: TrialOrder): Promise<TrialResult> {
  await someCommits(store, workload, 20);
  mark();
  await someCommits(store, workload, COUNTED_TURNS);
  mark();
  return closed(store, NOTHING);
}

async function run(order: TrialOrder): Promise<TrialResult> {
  const driver = await driverOf(order);
  const { phase, wish, workload } = order;
  const before = anonymousBytes();
  if (phase === 'open') {
    const { store, counts } = await openAndRead(() => driver.open(wish), workload);
    return closed(store, { counts });
  }
  const store = await driver.open(wish);
  if (phase === 'fill') return fill(store, order);
  if (phase === 'age') return age(store, order);
  if (phase === 'count') return count(store, order);
  if (workload.name === 'memory') return closed(store, await memory(store, workload, before));
  const work = workloads[workload.name];
  if (work === undefined) throw new Error(`no workload ${workload.name}`);
  return closed(store, await work(store, workload, wish));
}

async function main(): Promise<void> {
  try {
    const result = await run(JSON.parse(process.argv[2]!) as TrialOrder);
    process.stdout.write(`${JSON.stringify({ result })}\n`);
  } catch (error) {
    const reason =
      error instanceof Impossible ? error.message : `failed: ${(error as Error).message}`;
    process.stdout.write(`${JSON.stringify({ skipped: reason })}\n`);
  }
}

void main();
