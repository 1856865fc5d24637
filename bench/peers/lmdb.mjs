// lmdb-js at its full durability: transactionSync returns behind LMDB's own sync of the file; with
// its writable map on request.
import { open } from 'lmdb';
import { pair } from './place.mjs';

const driver = (name, useWritemap) => ({
  name,
  open({ folder, room }) {
    const db = open({
      path: `${folder}/lmdb`,
      encoding: 'binary',
      keyEncoding: 'binary',
      compression: false,
      useWritemap,
      overlappingSync: false,
      mapSize: Math.max(1 << 28, room * 4),
    });
    const key = (text) => Buffer.from(text);
    const putAll = (entries) =>
      db.transactionSync(() => {
        for (const [k, value] of entries) db.putSync(key(k), value);
      });
    return {
      facts: pair(
        folder,
        'file',
        `transactionSync, overlappingSync off${useWritemap ? ', useWritemap' : ''}`,
      ),
      putSync: (k, value) => db.transactionSync(() => db.putSync(key(k), value)),
      put: async (k, value) => {
        await db.put(key(k), value);
        await db.flushed;
      },
      batchSync: putAll,
      load: (entries) => putAll(entries),
      get: (k) => db.getBinaryFast(key(k))?.length ?? 0,
      range(from, count) {
        let bytes = 0;
        for (const { key: k, value } of db.getRange({ start: key(from), limit: count }))
          bytes += k.length + value.length;
        return bytes;
      },
      async agent() {
        let n = 0;
        return {
          step: async (_all, message) =>
            db.transactionSync(() => db.putSync(key(`m${n++}`), Buffer.from(message))),
          end: async () => {},
        };
      },
      saveState: (state) =>
        db.transactionSync(() => db.putSync(key('state'), Buffer.from(JSON.stringify(state)))),
      close: () => db.close(),
    };
  },
});

export const drivers = {
  lmdb: driver('lmdb', false),
  'lmdb writemap': driver('lmdb writemap', true),
};
