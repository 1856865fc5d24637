/**
 * Waiting for news of a run without asking all the time.
 *
 * What this thread commits rings at once. Other threads of the process share the pool but not this
 * memory, so whoever waits also looks every `LOOK_EVERY_MS`. A ring is a hint: who is woken reads
 * the pool, so a run of the same id in another pool does no harm. Nothing here outlives the
 * process.
 */
import { abortedError } from '../errors';

const LOOK_EVERY_MS = 50;

const waiting = new Map<string, Set<() => void>>();

export function ring(run: string): void {
  const wakes = waiting.get(run);
  if (wakes !== undefined) for (const wake of [...wakes]) wake();
}

/** Resolves when there may be news, after `ms` at the latest; rejects when `signal` is aborted. */
export function news(run: string, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(abortedError(signal, `Waiting for run ${run}`));
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      const wakes = waiting.get(run);
      wakes?.delete(wake);
      if (wakes?.size === 0) waiting.delete(run);
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
    const wakes = waiting.get(run) ?? new Set();
    waiting.set(run, wakes.add(wake));
  });
}
