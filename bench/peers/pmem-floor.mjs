// From JavaScript through bench/native/floor_addon.cc: a copy and a fence with nothing on top, and
// one libpmemobj transaction a put.
import { createRequire } from 'node:module';

const { addonPath } = await import('../native.mjs');
const require = createRequire(import.meta.url);
const RING = 128 * 2 ** 20;
// Where a forced mapping stands for persistent memory, only the process may die.
const facts = (how) => ({
  medium: 'pmem',
  class: process.env.PMEM_IS_PMEM_FORCE === '1' ? 'process' : 'power',
  how,
});

export const drivers = {
  'raw copy + fence': {
    name: 'raw copy + fence',
    open({ folder }) {
      const addon = require(addonPath);
      const ring = addon.openRaw(`${folder}/ring`, RING);
      return {
        facts: facts('non-temporal copy + one sfence, nothing else'),
        putSync: (_key, value) => {
          addon.rawPut(ring, value);
        },
        close: () => addon.close(ring),
      };
    },
  },
  'libpmemobj transaction': {
    name: 'libpmemobj transaction',
    open({ folder, room }) {
      const addon = require(addonPath);
      const keys = 200_000;
      const pool = addon.openTx(`${folder}/pool`, Math.ceil(Math.max(2 ** 28, room * 2.5)), keys);
      const putAll = (entries) => {
        for (const [key, value] of entries) addon.txPut(pool, key, value);
      };
      return {
        facts: facts('one libpmemobj transaction: allocate, copy, set a pointer, free'),
        putSync: (key, value) => {
          addon.txPut(pool, key, value);
        },
        load: putAll,
        close: () => addon.close(pool),
      };
    },
  },
};
