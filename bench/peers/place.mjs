// What a peer's acknowledged commit survives, if it does what it is told: a sync on tmpfs survives
// its process only.
import { createRequire } from 'node:module';

const { fileSystemOf } = createRequire(import.meta.url)('../../dist/bench/machine.js');

export const pair = (folder, medium, how) => ({
  medium,
  class: fileSystemOf(folder) === 'tmpfs' ? 'process' : 'power',
  how,
});
