/** Work of the addon that takes a while and tells how far it has come. */
import { onAbort } from './abort';
import { abortedError, typeError } from './errors';

export interface Watching {
  readonly signal?: AbortSignal | undefined;
  /** Of all of the work, from 0 to 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

interface Work<T> {
  readonly promise: Promise<T>;
  cancel(): void;
}

export function checkProgress(onProgress: unknown): void {
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw typeError('onProgress must be a function');
}

/** An abort ends it, and so does what `onProgress` throws, with which it is rejected then. */
export async function watched<T>(
  what: string,
  { signal, onProgress }: Watching,
  begin: (tell: ((fraction: number) => void) | null) => Work<T>,
): Promise<T> {
  if (signal?.aborted) throw abortedError(signal, what);
  let thrown: { readonly error: unknown } | undefined;
  const tell = (fraction: number): void => {
    if (thrown) return;
    try {
      onProgress!(fraction);
    } catch (error) {
      thrown = { error };
      work.cancel();
    }
  };
  const work = begin(onProgress ? tell : null);
  const leaveSignal = onAbort(signal, () => work.cancel());
  try {
    return await work.promise;
  } finally {
    leaveSignal();
    if (thrown) throw (thrown as { error: unknown }).error;
  }
}
