/**
 * Waiting for news of a run without asking all the time.
 *
 * What this thread commits rings at once. Other threads of the process share the pool but not this memory, so whoever waits
 * also looks every `LOOK_EVERY_MS`. A ring is a hint: who is woken reads the pool. Nothing here outlives the process.
 */
import { realpathSync } from 'node:fs';

import { abortedError } from '../errors';
import type { PoolCore } from '../types';

const LOOK_EVERY_MS = 50;

const waiting = new Map<string, Set<() => void>>();
const fileOfPool = new WeakMap<PoolCore, string>();

function keyOf(pool: PoolCore, run: string): string {
  let file = fileOfPool.get(pool);
  if (file === undefined) {
    file = realpathSync(pool.path);
    fileOfPool.set(pool, file);
  }
  return `${file}\0${run}`;
}

export function ring(pool: PoolCore, run: string): void {
  if (waiting.size === 0) return;
  for (const wake of [...(waiting.get(keyOf(pool, run)) ?? [])]) wake();
}

/** Resolves when there may be news, after `ms` at the latest; rejects when `signal` is aborted. */
export function news(
  pool: PoolCore,
  run: string,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  if (signal?.aborted) return Promise.reject(abortedError(signal, `Waiting for run ${run}`));
  const key = keyOf(pool, run);
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      const wakes = waiting.get(key);
      wakes?.delete(wake);
      if (wakes?.size === 0) waiting.delete(key);
    };
    const wake = (): void => {
      end();
      resolve();
    };
    const onAbort = (): void => {
      end();
      reject(abortedError(signal!, `Waiting for run ${run}`));
    };
    const timer = setTimeout(wake, Math.max(0, Math.min(ms, LOOK_EVERY_MS)));
    signal?.addEventListener('abort', onAbort, { once: true });
    const wakes = waiting.get(key) ?? new Set();
    waiting.set(key, wakes.add(wake));
  });
}
