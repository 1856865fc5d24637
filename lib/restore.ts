/**
 * Restore: a new pool, on any medium, from a full backup and its increments, up to any commit or
 * time inside them.
 *
 * The pool is made as `<path>.restoring` and gets its name when it is whole, closed and synced. An
 * interrupted restore (or import, or salvage) leaves that file; the next one to the same path
 * begins anew.
 */
import { lstatSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { types } from 'node:util';

import { onAbort } from './abort';
import { readInto } from './backup';
import { abortedError, HoldfastError, typeError } from './errors';
import { fileError, giveName } from './files';
import { native } from './native-binding';
import type { NativeRestore } from './native-binding';
import { checkPath, openOptions, optionsObject, signalOption, wholeNumber } from './options';
import { checkProgress } from './progress';
import type { RestoreOptions, RestoreReport } from './types';

/** One part of a backup: its path, or a stream of its bytes. */
export type BackupSource = string | Readable | ReadableStream<Uint8Array>;

const names = [
  'medium',
  'size',
  'grow',
  'atLeast',
  'retain',
  'at',
  'signal',
  'onProgress',
] as const;

/**
 * Makes a new pool at `to` from backups. `parts`: the full backup, then its increments in their
 * order; paths or streams. `to` must not exist (`ERR_HOLDFAST_EXISTS`), and has its name only when
 * the pool is whole. Parts that do not follow each other: `ERR_HOLDFAST_BACKUP_MISMATCH`.
 */
export async function restore(
  parts: BackupSource | readonly BackupSource[],
  to: string,
  options?: RestoreOptions,
): Promise<RestoreReport> {
  const {
    at,
    signal: givenSignal,
    onProgress,
    ...target
  } = optionsObject(options, 'restore', names);
  const signal = signalOption(givenSignal);
  checkProgress(onProgress);
  const named = Array.isArray(parts) ? (parts as readonly BackupSource[]) : [parts as BackupSource];
  const sources = named.map((source) =>
    typeof source === 'string' ? resolve(checkPath(source)) : source,
  ); // see intoNewPool
  if (sources.length === 0) throw typeError('A restore needs a full backup');
  const { epoch, time } = pointOf(at);
  const request = openOptions(target);
  const path = checkPath(to);
  if (signal?.aborted) throw abortedError(signal, 'The restore');
  return intoNewPool(path, async (temporary) => {
    const pool = await native.restore(temporary, request, epoch, time);
    try {
      for (const [i, source] of sources.entries())
        await restorePart(pool, source, i, { signal, onProgress });
      return await pool.finish();
    } finally {
      await pool.abandon();
    }
  });
}

/** Makes a pool under another name, and gives it its own when `work` is done. */
export async function intoNewPool<T>(
  given: string,
  work: (temporary: string) => Promise<T>,
): Promise<T> {
  const path = resolve(given); // the process may go to another folder meanwhile
  if (isThere(path)) {
    throw new HoldfastError(
      'ERR_HOLDFAST_EXISTS',
      `${path} is there already; it is not overwritten: move it away, or take another place`,
    );
  }
  const temporary = `${path}.restoring`;
  await clear(temporary, path);
  try {
    const result = await work(temporary);
    await giveName(temporary, path);
    return result;
  } catch (error) {
    // Somebody else has made it since, and is at it: the file is theirs.
    if ((error as { code?: unknown }).code === 'ERR_HOLDFAST_EXISTS' && !isThere(path))
      throw beingRestored(path, error);
    // the error that brought us here is the one to tell
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** Also a symbolic link that points to nothing. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw fileError(error, `${path} cannot be the place of a new pool`);
  }
}

function beingRestored(path: string, cause: unknown): HoldfastError {
  return new HoldfastError('ERR_HOLDFAST_LOCKED', `${path} is being made by another process`, {
    cause,
  });
}

// What an interrupted restore has left, unless another process is at it. A whole pool is held
// meanwhile, so that the next one's is not removed.
async function clear(temporary: string, path: string): Promise<void> {
  if (!isThere(temporary)) return;
  const left = await native
    .open(temporary, { ...openOptions(undefined), create: 1 })
    .catch((error: unknown) => {
      if ((error as { code?: unknown }).code === 'ERR_HOLDFAST_LOCKED')
        throw beingRestored(path, error);
      return undefined; // no pool, or half of one
    });
  try {
    await unlink(temporary);
  } catch (error) {
    throw fileError(error, `${temporary} is in the way and could not be removed`);
  } finally {
    await left?.close()?.catch(() => undefined); // removed under it: it has nothing to keep
  }
}

interface Watching {
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((bytes: number) => void) | undefined;
}

async function restorePart(
  pool: NativeRestore,
  source: BackupSource,
  i: number,
  { signal, onProgress }: Watching,
): Promise<void> {
  pool.part(typeof source === 'string' ? source : `part ${i + 1}`);
  let bytes = 0;
  const take = async (chunk: Uint8Array): Promise<void> => {
    if (signal?.aborted) throw abortedError(signal, 'The restore');
    await pool.write(chunk);
    bytes += chunk.length;
    onProgress?.(bytes);
  };
  if (typeof source === 'string') {
    try {
      await readInto(source, take);
    } catch (error) {
      throw (error as { syscall?: unknown }).syscall === undefined
        ? error
        : fileError(error, `the backup ${source} could not be read`);
    }
  } else {
    if (!(source instanceof Readable) && !(source instanceof ReadableStream)) {
      throw typeError('A part of a backup is a path, a Readable or a ReadableStream');
    }
    for await (const chunk of chunksOf(source, i, signal)) {
      if (!types.isUint8Array(chunk)) throw typeError('The stream of a backup must give bytes');
      await take(chunk);
    }
  }
  if (signal?.aborted) throw abortedError(signal, 'The restore');
  await pool.partEnd();
}

/** An abort does not wait for somebody to write at the other end. */
async function* chunksOf(
  source: Readable | ReadableStream,
  i: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<unknown, void, undefined> {
  let leaveSignal = (): void => {};
  try {
    const stream =
      source instanceof Readable ? source : Readable.fromWeb(source, { objectMode: true });
    const stop = (): void => void stream.destroy(abortedError(signal!, 'The restore'));
    leaveSignal = onAbort(signal, stop);
    if (signal?.aborted) stop();
    yield* stream;
  } catch (error) {
    throw fileError(error, `part ${i + 1} of the backup could not be read`);
  } finally {
    leaveSignal();
  }
}

function pointOf(at: unknown): { epoch: number; time: number } {
  if (at === undefined) return { epoch: -1, time: -1 };
  if (types.isDate(at)) {
    if (Number.isNaN(at.getTime())) throw typeError('at must be an epoch or a valid Date');
    return { epoch: -1, time: Math.max(0, at.getTime()) };
  }
  return { epoch: wholeNumber('at', at, 0, Number.MAX_SAFE_INTEGER), time: -1 };
}
