// better-sqlite3 in WAL mode with synchronous FULL: each commit is behind a sync of the log.
import Database from 'better-sqlite3';
import { pair } from './place.mjs';

export const driver = {
  name: 'better-sqlite3',
  open({ folder }) {
    const db = new Database(`${folder}/bench.sqlite`);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.exec('CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID');
    db.exec('CREATE TABLE IF NOT EXISTS log (at INTEGER PRIMARY KEY, message TEXT)');
    const put = db.prepare(
      'INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    );
    const get = db.prepare('SELECT value FROM entries WHERE key = ?').pluck();
    const range = db
      .prepare('SELECT key, value FROM entries WHERE key >= ? ORDER BY key LIMIT ?')
      .raw();
    const say = db.prepare('INSERT INTO log (message) VALUES (?)');
    const putAll = db.transaction((entries) => {
      for (const [key, value] of entries) put.run(key, value);
    });
    // Waiting commits share a transaction, as somebody who needs the throughput would write it.
    let waiting = [];
    const flush = () => {
      const now = waiting;
      waiting = [];
      putAll(now.map(({ entry }) => entry));
      for (const { resolve } of now) resolve();
    };
    return {
      facts: pair(folder, 'file', 'WAL, synchronous FULL'),
      putSync: (key, value) => {
        put.run(key, value);
      },
      put: (key, value) =>
        new Promise((resolve) => {
          if (waiting.length === 0) setImmediate(flush);
          waiting.push({ entry: [key, value], resolve });
        }),
      batchSync: putAll,
      load: (entries) => putAll(entries),
      get: (key) => get.get(key)?.length ?? 0,
      range(from, count) {
        let bytes = 0;
        for (const [key, value] of range.iterate(from, count)) bytes += key.length + value.length;
        return bytes;
      },
      async agent() {
        return {
          step: async (_all, message) => {
            say.run(message);
          },
          end: async () => {},
        };
      },
      saveState: (state) => {
        put.run('state', Buffer.from(JSON.stringify(state)));
      },
      close: () => db.close(),
    };
  },
};
