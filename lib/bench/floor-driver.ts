/**
 * What the place itself allows from JavaScript, with nothing on top: the bytes written behind each
 * other into blocks that were written before, and one fdatasync. It keeps no key and finds nothing
 * again; no store can be quicker on a file.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { fileSystemOf } from './machine';
import type { Driver, Store } from './line';

const RING = 64 * 2 ** 20;

function openFloor(folder: string): Store {
  const fd = openSync(join(folder, 'floor'), 'w');
  const zeros = Buffer.alloc(2 ** 20);
  for (let at = 0; at < RING; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at);
  fsyncSync(fd);
  let at = 0;
  let syncs = 0;
  const append = (value: Uint8Array): void => {
    if (at + value.length > RING) at = 0;
    writeSync(fd, value, 0, value.length, at);
    at += value.length;
  };
  const sync = (): void => {
    fdatasyncSync(fd);
    syncs += 1;
  };
  return {
    facts: {
      medium: 'file',
      class: fileSystemOf(folder) === 'tmpfs' ? 'process' : 'power',
      how: 'write + fdatasync, nothing else',
    },
    putSync(_key, value) {
      append(value);
      sync();
    },
    batchSync(entries) {
      append(Buffer.concat(entries.map(([, value]) => value)));
      sync();
    },
    counts: () => ({ barriers: syncs }),
    close: () => closeSync(fd),
  };
}

export const driver: Driver = {
  name: 'raw write + fdatasync',
  open: ({ folder }) => openFloor(folder),
};
