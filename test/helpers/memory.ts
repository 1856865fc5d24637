/**
 * Memory of this process without what V8 has only not collected yet, which on a busy machine can be
 * much.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * Bytes in memory (`rss`) once garbage is gone: external memory goes with finalizers, which run
 * between two turns of the event loop.
 */
export async function residentBytes(): Promise<number> {
  for (let i = 0; i < 3; ++i) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().rss;
}
