/**
 * The pool with everything on top of it, and the doors to it. The only file that joins the layers.
 */
import { abortedError } from './errors';
import { native } from './native-binding';
import type { PlaceReport } from './native-binding';
import { checkPath, openOptions, signalOption } from './options';
import { Pool } from './pool';
import { openRun } from './run/index';
import type { OpenOptions, Run } from './types';

export class Holdfast extends Pool {
  /** Creates the run, or continues it where it was left. */
  run<Input = unknown, State = unknown, Result = unknown>(
    id: string,
    options?: { input?: Input },
  ): Promise<Run<Input, State, Result>> {
    return openRun<Input, State, Result>(this, id, options);
  }
}

/**
 * Opens the pool at `path`, creating it where that is allowed. The work is done on another thread.
 */
export async function open(path: string, options?: OpenOptions): Promise<Holdfast> {
  const signal = signalOption(options?.signal);
  const request = openOptions(options);
  checkPath(path);
  if (signal?.aborted) throw abortedError(signal, `Opening ${path}`);
  const opened = new Holdfast(await native.open(path, request));
  if (signal?.aborted) {
    await opened.close();
    throw abortedError(signal, `Opening ${path}`);
  }
  return opened;
}

export function openSync(path: string, options?: OpenOptions): Holdfast {
  return new Holdfast(native.openSync(checkPath(path), openOptions(options)));
}

/** What a place offers: medium, durability class, and why. Leaves nothing behind. */
export function probe(path: string): PlaceReport {
  return native.probe(checkPath(path));
}
