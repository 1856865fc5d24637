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

export interface SalvageOptions extends Pick<OpenOptions, 'medium' | 'size' | 'grow' | 'atLeast'> {
  signal?: AbortSignal | undefined;
  onProgress?: ((fraction: number) => void) | undefined;
}

const names = ['medium', 'size', 'grow', 'atLeast', 'signal', 'onProgress'] as const;

/**
 * The pool at `from` is only read, and must not be open. `to` must not exist; it has its name when
 * all that could be saved is in it.
 */
export async function salvage(
  from: string,
  to: string,
  given?: SalvageOptions,
): Promise<SalvageReport> {
  const { signal: givenSignal, onProgress, ...target } = optionsObject(given, 'salvage', names);
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
