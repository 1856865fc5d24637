/**
 * Saves what is still valid in a damaged pool into a new one; see native/engine/damage/salvage.h
 * for what is trusted when.
 */
import { resolve } from 'node:path';

import { abortedError } from './errors';
import { native } from './native-binding';
import { checkPath, openOptions, optionsObject, signalOption } from './options';
import { checkProgress, watched } from './progress';
import { intoNewPool } from './restore';
import type { OpenOptions, SalvageReport } from './types';

/** Into what kind of pool is saved: as of `OpenOptions`. */
export interface SalvageOptions extends Pick<OpenOptions, 'medium' | 'size' | 'grow' | 'atLeast'> {
  /** Ends it with `ERR_HOLDFAST_ABORTED`; then there is no new pool. */
  signal?: AbortSignal | undefined;
  /** Is given 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
}

const names = ['medium', 'size', 'grow', 'atLeast', 'signal', 'onProgress'] as const;

/**
 * Saves what is still valid of a damaged pool into a new one. The pool at `from` is only read, and
 * must not be open. `to` must not exist, and has its name only when all that could be saved is in
 * it. See the report for what is lost.
 */
export async function salvage(
  from: string,
  to: string,
  options?: SalvageOptions,
): Promise<SalvageReport> {
  const { signal: givenSignal, onProgress, ...target } = optionsObject(options, 'salvage', names);
  const signal = signalOption(givenSignal);
  checkProgress(onProgress);
  const request = openOptions(target);
  if (signal?.aborted) throw abortedError(signal, 'The salvage');
  const damaged = resolve(checkPath(from)); // see intoNewPool
  return intoNewPool(checkPath(to), (temporary) =>
    watched('The salvage', { signal, onProgress }, (tell) =>
      native.salvage(damaged, temporary, request, tell),
    ),
  );
}
