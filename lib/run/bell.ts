/**
 * Waiting for news of a run without asking all the time.
 *
 * What this thread commits rings at once. Other threads of the process share the pool but not this
 * memory: who waits is woken too where the pool's epoch is another than when it last looked, which
 * is seen every `LOOK_EVERY_MS` by one timer for all that wait in a pool (lib/run/looks.ts). A ring
 * is a hint: who is woken reads the pool, so a run of the same id in another pool does no harm.
 * Nothing here outlives the process.
 */
import { onAbort } from '../abort';
import { abortedError } from '../errors';
import type { PoolCore } from '../types';
import { Looks, type Wake } from './looks';

/** What a timer can wait for. */
const LONGEST_MS = 2 ** 31 - 1;

const waiting = new Map<string, Set<Wake>>();

export function ring(run: string): void {
  const wakes = waiting.get(run);
  if (wakes !== undefined) for (const wake of [...wakes]) wake();
}

/** Resolves when there may be news, after `ms` at the latest; rejects when `signal` is aborted. */
export function news(pool: PoolCore, run: string, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(abortedError(signal, `Waiting for run ${run}`));
  return new Promise((resolve, reject) => {
    const looks = Looks.of(pool);
    const end = (): void => {
      clearTimeout(timer);
      leaveSignal();
      looks.delete(wake);
      const wakes = waiting.get(run);
      wakes?.delete(wake);
      if (wakes?.size === 0) waiting.delete(run);
    };
    const wake = (): void => {
      end();
      resolve();
    };
    const leaveSignal = onAbort(signal, () => {
      end();
      reject(abortedError(signal!, `Waiting for run ${run}`));
    });
    const timer =
      ms === Infinity ? undefined : setTimeout(wake, Math.min(Math.max(0, ms), LONGEST_MS));
    const wakes = waiting.get(run) ?? new Set();
    waiting.set(run, wakes.add(wake));
    looks.add(wake);
  });
}
