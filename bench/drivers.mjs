// Who takes part in which workload, on persistent memory and on a disk.
import { createRequire } from 'node:module';
import path from 'node:path';

import { nativeAt } from './native.mjs';
import { replayAt } from './replay.mjs';

const require = createRequire(import.meta.url);
const { holdfastAt, floorAt } = require('../dist/bench/places.js');

const moduleOf = (file) => path.join(import.meta.dirname, 'peers', `${file}.mjs`);
const peer = (name, file, shown = name) => ({ name, shown, module: moduleOf(file) });

const STORES = [
  peer('lmdb', 'lmdb'),
  peer('lmdb writemap', 'lmdb'),
  peer('better-sqlite3', 'sqlite'),
  peer('classic-level', 'level'),
];
const JSON_FILE = peer('JSON file, fsync + rename', 'json-file');
const GRAPHS = [
  'LangGraph, no saver',
  'LangGraph, MemorySaver',
  'LangGraph, SqliteSaver',
  'LangGraph, SqliteSaver FULL',
].map((name) => peer(name, 'langgraph'));
const FORCED = { PMEM_IS_PMEM_FORCE: '1' };

/**
 * What only one kind of place has, by workload. In the cleaner's a floor's tail is the medium's
 * own.
 */
function floorsAt(on, place, { missing, counters }) {
  if (on === 'disk') {
    const floor = floorAt(place, 'raw write + fdatasync (JS)');
    return {
      commit: [
        nativeAt(place, 'file-raw', 'raw pwrite + fdatasync (C++)', missing, counters),
        nativeAt(place, 'file-holdfast', 'Holdfast (C++)', missing, counters),
        floor,
      ],
      batch: [floor],
      cleaner: [floor],
    };
  }
  const fromJs = (name, shown) => ({ ...peer(name, 'pmem-floor', shown), place, env: FORCED });
  const floor = fromJs('raw copy + fence', 'raw nt copy + fence (JS)');
  return {
    commit: [
      nativeAt(place, 'pmem-raw', 'raw nt copy + fence (C++)', missing, counters),
      nativeAt(place, 'pmem-holdfast', 'Holdfast (C++)', missing, counters),
      nativeAt(place, 'pmem-tx', 'libpmemobj transaction (C++)', missing, counters),
      floor,
      fromJs('libpmemobj transaction', 'libpmemobj transaction (JS)'),
    ],
    batch: [],
    cleaner: [floor],
  };
}

/**
 * A function that gives the drivers of a workload on a place, the reference first. `native`: {
 * missing, counters }.
 */
export function driversAt(on, place, native, trajectories) {
  const medium = on === 'pmem' ? 'pmem' : 'file';
  const env = on === 'pmem' ? FORCED : {};
  const ours = (name, shown) => ({ ...holdfastAt(place, shown, medium, name), env });
  const holdfast = ours('holdfast', 'Holdfast');
  const at = (drivers) => drivers.map((driver) => ({ ...driver, place }));
  const floors = floorsAt(on, place, native);
  const reads = [ours('holdfast getInto', 'Holdfast, getInto'), ...at(STORES)];
  const withRest = {
    commit: [
      ours('holdfast await', 'Holdfast, await'),
      ...floors.commit,
      ...at([...STORES, JSON_FILE]),
    ],
    batch: [...floors.batch, ...at(STORES)],
    getHot: reads,
    getRandom: reads,
    agent: [ours('holdfast keys', 'Holdfast, a key a message'), ...at([...STORES, JSON_FILE])],
    state: at([...STORES, JSON_FILE]),
    cleaner: floors.cleaner,
  };
  return ({ name }) => {
    if (name === 'replay') return [replayAt(place, medium, env, trajectories)];
    if (name === 'langgraph')
      return [{ ...peer('LangGraph, Holdfast', 'langgraph'), medium, env }, ...GRAPHS].map(
        (driver) => ({ ...driver, place }),
      );
    return [holdfast, ...(withRest[name] ?? at(STORES))];
  };
}
