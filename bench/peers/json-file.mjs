// What many agents do today: the whole state as JSON in one file, written beside it, synced,
// renamed, the folder synced.
import fs from 'node:fs';
import { pair } from './place.mjs';

export const driver = {
  name: 'JSON file, fsync + rename',
  open({ folder }) {
    const target = `${folder}/state.json`;
    const save = (text) => {
      const fd = fs.openSync(`${target}.new`, 'w');
      fs.writeSync(fd, text);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      fs.renameSync(`${target}.new`, target);
      const dir = fs.openSync(folder, 'r');
      fs.fsyncSync(dir);
      fs.closeSync(dir);
    };
    return {
      facts: pair(folder, 'file', 'fsync, rename, fsync of the folder; one value in all'),
      putSync: (_key, value) => save(value),
      async agent() {
        return {
          step: async (all) => save(JSON.stringify({ messages: all })),
          end: async () => {},
        };
      },
      saveState: (state) => save(JSON.stringify(state)),
      close: () => {},
    };
  },
};
