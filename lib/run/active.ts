/**
 * Which runs are driven in this process (this thread of it), so that opening one twice by mistake
 * is refused at once. Other threads are not seen here: there the journal decides, and the driver
 * that began last is the one that can record.
 */
import { realpathSync } from 'node:fs';

import { HoldfastError } from '../errors';
import type { PoolCore } from '../types';

/** By the pool's file, since one pool may be open through several objects. */
const driven = new Map<string, Map<string, PoolCore>>();
const fileOfPool = new WeakMap<PoolCore, string>();

export function claim(pool: PoolCore, run: string): void {
  const file = fileOf(pool);
  const runs = driven.get(file) ?? new Map<string, PoolCore>();
  const by = runs.get(run);
  // Closing a pool ends the driving of its runs.
  if (by && !by.closed) {
    throw new HoldfastError(
      'ERR_HOLDFAST_RUN_ACTIVE',
      `run ${JSON.stringify(run)} is being driven in this process. Finish it or close() it before it is opened again`,
    );
  }
  driven.set(file, runs.set(run, pool));
}

export function release(pool: PoolCore, run: string): void {
  const file = fileOf(pool);
  const runs = driven.get(file);
  // After its pool was closed another object may have claimed the run; that claim is not ours to
  // end.
  if (runs?.get(run) !== pool) return;
  runs.delete(run);
  if (runs.size === 0) driven.delete(file);
}

function fileOf(pool: PoolCore): string {
  let file = fileOfPool.get(pool);
  if (file === undefined) {
    file = realpathSync(pool.path);
    fileOfPool.set(pool, file);
  }
  return file;
}
