// classic-level (LevelDB), every write with sync.
import { ClassicLevel } from 'classic-level';
import { pair } from './place.mjs';

export const driver = {
  name: 'classic-level',
  async open({ folder }) {
    const db = new ClassicLevel(`${folder}/level`, { valueEncoding: 'buffer' });
    await db.open();
    const sync = { sync: true };
    const operations = (entries) => entries.map(([key, value]) => ({ type: 'put', key, value }));
    let n = 0;
    let waiting = [];
    const flush = async () => {
      const now = waiting;
      waiting = [];
      await db.batch(
        now.map(({ operation }) => operation),
        sync,
      );
      for (const { resolve } of now) resolve();
    };
    return {
      facts: pair(folder, 'file', 'sync: true on every write; commits of a turn are one batch'),
      put: (key, value) =>
        new Promise((resolve) => {
          if (waiting.length === 0) setImmediate(flush);
          waiting.push({ operation: { type: 'put', key, value }, resolve });
        }),
      batch: (entries) => db.batch(operations(entries), sync),
      async load(entries) {
        let some = [];
        for (const entry of entries) {
          some.push(entry);
          if (some.length === 1000) {
            await db.batch(operations(some));
            some = [];
          }
        }
        await db.batch(operations(some), sync);
      },
      get: (key) => db.getSync(key)?.length ?? 0,
      // It has iterators that are asynchronous only; all() takes the fewest turns.
      async range(from, limit) {
        let bytes = 0;
        for (const [key, value] of await db.iterator({ gte: from, limit }).all())
          bytes += key.length + value.length;
        return bytes;
      },
      async agent() {
        return {
          step: (_all, message) => db.put(`m${n++}`, Buffer.from(message), sync),
          end: async () => {},
        };
      },
      saveState: (state) => db.put('state', Buffer.from(JSON.stringify(state)), sync),
      close: () => db.close(),
    };
  },
};
