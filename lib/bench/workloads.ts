/**
 * The workloads by name. Each is given an open store and returns what it measured and what was
 * counted meanwhile.
 */
import { agent, state } from './work-agents';
import { batch, commit, inFlight } from './work-commits';
import { getHot, getRandom, range } from './work-reads';
import { cleaner, space } from './work-space';
import type { Measured, OpenWish, Store, Workload } from './line';

export type Work = (store: Store, workload: Workload, wish: OpenWish) => Promise<Measured>;

/**
 * Those that run on a fresh store, or one that was filled for them; `memory` and `open` begin
 * before the store is open.
 */
export const workloads: Readonly<Record<string, Work>> = {
  commit,
  batch,
  inFlight,
  getHot,
  getRandom,
  range,
  space,
  cleaner,
  agent,
  langgraph: agent,
  state,
};

/**
 * Those that share a store which is filled once per driver: a fill takes far longer than they do.
 */
export const ON_FILLED_STORE: ReadonlySet<string> = new Set([
  'getHot',
  'getRandom',
  'range',
  'memory',
  'open',
]);
