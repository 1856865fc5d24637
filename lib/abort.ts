/**
 * Listening to an AbortSignal, of which many may wait at once: a server's commits, waits, followers
 * and tools with the one signal that ends them all. Each signal has one listener for all, since
 * Node warns of a leak from the eleventh on.
 */

const listening = new WeakMap<AbortSignal, Listening>();

interface Listening {
  readonly wanted: Set<{ readonly tell: () => void }>;
  readonly onAbort: () => void;
}

/**
 * `tell`, which never throws, is called once when `signal` is aborted, unless what is returned was
 * called before.
 */
export function onAbort(signal: AbortSignal | undefined, tell: () => void): () => void {
  if (signal === undefined) return () => {};
  const { wanted } = listeningTo(signal);
  const one = { tell };
  wanted.add(one);
  return () => {
    if (wanted.delete(one) && wanted.size === 0) leave(signal);
  };
}

function listeningTo(signal: AbortSignal): Listening {
  const before = listening.get(signal);
  if (before) return before;
  const wanted: Listening['wanted'] = new Set();
  const onAbort = (): void => {
    leave(signal);
    for (const one of [...wanted]) if (wanted.delete(one)) one.tell();
  };
  const made = { wanted, onAbort };
  listening.set(signal, made);
  signal.addEventListener('abort', onAbort, { once: true });
  return made;
}

function leave(signal: AbortSignal): void {
  const known = listening.get(signal);
  if (!known) return;
  signal.removeEventListener('abort', known.onAbort);
  listening.delete(signal);
}
