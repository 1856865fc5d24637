/**
 * The process of one trial: opens one store with one driver, runs one workload, prints one JSON value and ends. It reads its
 * order from the first argument. With phase `fill` it kills itself when the store is full: what comes after is a real crash.
 */
import { pathToFileURL } from 'node:url';

import { keyOf, Impossible, workloads } from './workloads';
import type { Driver, TrialOrder, TrialResult } from './line';

// TypeScript would make `require` of an import() here, which cannot load an ES module.
const importModule = new Function('address', 'return import(address)') as (address: string) => Promise<unknown>;

async function driverOf(order: TrialOrder): Promise<Driver> {
  const loaded = (await importModule(pathToFileURL(order.module).href)) as {
    drivers?: Record<string, Driver>;
    driver?: Driver;
    default?: { driver?: Driver };
  };
  const driver = loaded.drivers?.[order.driver] ?? loaded.driver ?? loaded.default?.driver;
  if (driver === undefined) throw new Error(`${order.module} has no driver ${order.driver}`);
  return driver;
}

async function openAndRead(driver: Driver, order: TrialOrder): Promise<TrialResult> {
  const begun = process.hrtime.bigint();
  const store = await driver.open(order.wish);
  const opened = process.hrtime.bigint();
  const found = store.get!(keyOf(Math.floor(order.workload.keys / 2)));
  const read = process.hrtime.bigint();
  if (found !== order.workload.bytes) throw new Error('what was committed before the kill is not there');
  const facts = store.facts;
  await store.close();
  const ms = (ns: bigint): number => Number(ns) / 1e6;
  return { facts, counts: { openMs: ms(opened - begun), firstReadMs: ms(read - opened), toFirstReadMs: ms(read - begun) } };
}

async function run(order: TrialOrder): Promise<TrialResult> {
  const driver = await driverOf(order);
  if (order.phase === 'open') return openAndRead(driver, order);
  const store = await driver.open(order.wish);
  const work = workloads[order.workload.name];
  if (work === undefined) throw new Error(`no workload ${order.workload.name}`);
  const measured = await work(store, order.workload, order.wish);
  if (order.phase === 'fill') process.kill(process.pid, 'SIGKILL');
  const facts = store.facts;
  await store.close();
  return { ...measured, facts };
}

void (async () => {
  try {
    const result = await run(JSON.parse(process.argv[2]!) as TrialOrder);
    process.stdout.write(`${JSON.stringify({ result })}\n`);
  } catch (error) {
    const reason = error instanceof Impossible ? `${error.message}` : `failed: ${(error as Error).message}`;
    process.stdout.write(`${JSON.stringify({ skipped: reason })}\n`);
  }
})();
