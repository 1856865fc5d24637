/**
 * Live backup: what a pool holds at one epoch, or the commits since one, to a file or a stream,
 * while commits go on.
 *
 * The blocks are made by native/engine/copies/backup.cc; here they are written. To a file they go
 * under `<target>.partial` until the last one is there and synced. An interruption of any kind
 * leaves that file, and the next backup to the same target goes on from there; under its own name
 * the target is never half. What a power cut leaves at each step, and each failing call:
 * test/unit/backup-faults.test.ts.
 *
 * Three things that are not to be gone on with: a file whose sync has failed (the system may have
 * dropped what it could not write, and would not say so again), one that has got its name already
 * (it is the finished backup itself), and one that a power cut has left without its first block.
 *
 * The file is locked from before it is looked at until it has its name, or was given up.
 */
import { constants } from 'node:fs';
import { lstat, open, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { WritableStream } from 'node:stream/web';

import { onAbort } from './abort';
import { abortedError, closedError, HoldfastError, typeError } from './errors';
import { fileError, giveName } from './files';
import type { KeyspaceHost } from './keyspace';
import { native } from './native-binding';
import type { NativeBackupScan } from './native-binding';
import { checkPath, optionsObject, signalOption, wholeNumber } from './options';
import { checkProgress } from './progress';
import type { BackupOptions, BackupReport } from './types';

/** Where blocks go. */
interface Target {
  write(block: Uint8Array): Promise<void>;
  /** All blocks are there. */
  finish(): Promise<void>;
  /** Something went wrong, or nobody wants it any more. */
  abandon(reason: unknown): Promise<void>;
  readonly name: string;
}

interface Begun {
  readonly target: Target;
  readonly scan: NativeBackupScan | null;
  readonly written: number;
}

/** The first block says what the backup is; it fits into one sector. */
const firstBlockAtMost = 512;

export async function backupPool(
  host: KeyspaceHost,
  poolPath: string,
  target: string | Writable | WritableStream<Uint8Array>,
  given: BackupOptions | undefined,
  cancels: Set<() => void>,
): Promise<BackupReport> {
  const options = optionsObject(given, 'backup', ['incremental', 'signal', 'onProgress']);
  const signal = signalOption(options.signal);
  const { onProgress } = options;
  checkProgress(onProgress);
  const since =
    options.incremental === undefined
      ? -1
      : wholeNumber('incremental', options.incremental, 0, Number.MAX_SAFE_INTEGER);
  if (signal?.aborted) throw abortedError(signal, 'The backup');
  const run = { host, since, signal, onProgress };
  if (typeof target !== 'string') return toStream(run, streamTarget(target), cancels);
  const file = path.resolve(checkPath(target)); // the process may go to another folder meanwhile
  await mustBeFree(file, poolPath);
  try {
    return await toFile(run, file, poolPath, true);
  } catch (error) {
    // The log no longer reaches back to where it was interrupted. A full backup can begin anew; an
    // increment cannot.
    if (!(error instanceof LateError)) throw error;
    if (since >= 0) throw error.cause;
    return await toFile(run, file, poolPath, false);
  }
}

/** What was interrupted cannot be gone on with any more. */
class LateError extends Error {}

async function toFile(
  run: Run,
  file: string,
  poolPath: string,
  goOn: boolean,
): Promise<BackupReport> {
  const partial = `${file}.partial`;
  const handle = await claim(partial, file);
  let scan: NativeBackupScan | null = null;
  try {
    await mustBeFree(file, poolPath); // who wrote it until now may have finished it meanwhile
    scan = goOn ? await scanPartial(handle, partial) : null;
    await handle.truncate(scan?.progress().goodBytes ?? 0);
  } catch (error) {
    await release(handle, partial);
    throw fileError(error, `the backup ${file} could not be begun`);
  }
  const written = scan?.progress().goodBytes ?? 0;
  try {
    return await write(run, { target: fileTarget(handle, partial, file, written), scan, written });
  } catch (error) {
    const late = (error as { code?: unknown }).code === 'ERR_HOLDFAST_FORGOTTEN' && scan !== null;
    throw late ? new LateError('forgotten', { cause: error }) : error;
  }
}

/** Nobody may be reading at the other end: an abort, or the pool's end, does not wait for that. */
async function toStream(run: Run, target: Target, cancels: Set<() => void>): Promise<BackupReport> {
  const { signal } = run;
  const onClose = (): void => void target.abandon(closedError());
  const leaveSignal = onAbort(
    signal,
    () => void target.abandon(abortedError(signal!, 'The backup')),
  );
  cancels.add(onClose);
  try {
    return await write(run, { target, scan: null, written: 0 });
  } finally {
    leaveSignal();
    cancels.delete(onClose);
  }
}

interface Run {
  readonly host: KeyspaceHost;
  readonly since: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((fraction: number) => void) | undefined;
}

async function write(run: Run, { target, scan, written }: Begun): Promise<BackupReport> {
  const { host, since, signal, onProgress } = run;
  let fileBytes = written;
  try {
    host.committer.flush();
    await host.committer.idle();
    const backup = await host.native.backup(since, scan);
    try {
      for (;;) {
        if (signal?.aborted) throw abortedError(signal, 'The backup');
        const block = await backup.next();
        if (block === undefined) break;
        await target.write(new Uint8Array(block));
        fileBytes += block.byteLength;
        onProgress?.(backup.status().fraction);
      }
      const { epoch, entries, commits, bytes } = backup.status();
      await target.finish();
      return {
        epoch,
        ...(since >= 0 && { since }),
        entries,
        commits,
        bytes,
        fileBytes,
        continued: scan !== null,
      };
    } finally {
      backup.close();
    }
  } catch (error) {
    await target.abandon(error);
    throw error;
  }
}

async function mustBeFree(file: string, poolPath: string): Promise<void> {
  const [name, there, pool] = await Promise.all(
    [lstat(file), stat(file), stat(poolPath)].map((facts) => facts.catch(() => undefined)),
  );
  if (name === undefined) return; // not even a link that points to nothing
  if (
    there !== undefined &&
    pool !== undefined &&
    there.ino === pool.ino &&
    there.dev === pool.dev
  ) {
    throw typeError(`${file} is the pool itself; a backup needs another place`);
  }
  throw new HoldfastError(
    'ERR_HOLDFAST_EXISTS',
    `${file} is there already; remove it, or back up to another place`,
  );
}

/**
 * The file that a backup is written to, held with a lock of the kernel's: two backups to one place,
 * from any threads, processes and paths, would write into each other. Where a file system has no
 * locks nobody is kept apart.
 */
async function claim(partial: string, file: string): Promise<FileHandle> {
  for (let tries = 0; tries < 100; ++tries) {
    const handle = await open(partial, constants.O_WRONLY | constants.O_CREAT, 0o600).catch(
      (error: unknown) => {
        throw fileError(error, `the backup ${file} could not be begun`);
      },
    );
    let mine = false;
    try {
      if (!native.lockFile(handle.fd)) break;
      const [held, there] = await Promise.all([
        handle.stat(),
        stat(partial).catch(() => undefined),
      ]);
      const same = there !== undefined && there.ino === held.ino && there.dev === held.dev;
      // and cut off between its two names: it is not to be written to any more
      const finished = held.nlink > 1;
      mine = same && !finished;
      if (same && finished) await removeName(partial);
    } finally {
      if (!mine) await handle.close();
    }
    if (mine) return handle;
  }
  throw new HoldfastError(
    'ERR_HOLDFAST_EXISTS',
    `a backup to ${file} is under way; choose another place`,
  );
}

/** Nothing was written: a file that was made for this goes again. */
async function release(handle: FileHandle, partial: string): Promise<void> {
  // the error that brought us here is the one to tell
  const facts = await handle.stat().catch(() => undefined);
  if (facts?.size === 0) await unlink(partial).catch(() => undefined);
  await handle.close().catch(() => undefined);
}

async function removeName(partial: string): Promise<void> {
  await unlink(partial).catch((error: unknown) => {
    throw fileError(error, `${partial}, another name of a finished backup, could not be removed`);
  });
}

/** What an interrupted backup left; null when there is nothing to go on with. */
async function scanPartial(handle: FileHandle, partial: string): Promise<NativeBackupScan | null> {
  if (await isBlank(handle, partial)) return null;
  const scan = native.scanBackup(partial);
  let bytes = 0;
  try {
    bytes = await readInto(partial, (chunk) => scan.write(chunk));
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_HOLDFAST_NOT_A_BACKUP')
      throw fileError(error, `${partial} could not be read`);
    throw new HoldfastError(
      'ERR_HOLDFAST_EXISTS',
      `${partial}, where the backup would be written, is something else; remove it`,
      {
        cause: error,
      },
    );
  }
  return bytes > 0 && scan.progress().begun ? scan : null;
}

/**
 * Shorter than any first block and nothing but zeros: a power cut has kept its length alone.
 * Anything longer has its first block.
 */
async function isBlank(handle: FileHandle, partial: string): Promise<boolean> {
  const facts = await handle.stat();
  if (!facts.isFile() || facts.size > firstBlockAtMost) return false;
  let blank = true;
  await readInto(partial, (chunk) => {
    blank &&= chunk.every((byte) => byte === 0);
  }).catch(() => (blank = false)); // the scan will tell
  return blank;
}

/** The epoch that a whole backup restores to: what its increment begins behind. */
export async function backupEnd(file: string): Promise<number> {
  const scan = native.scanBackup(file);
  try {
    await readInto(file, (chunk) => scan.write(chunk));
  } catch (error) {
    throw fileError(error, `the backup ${file} could not be read`);
  }
  const { begun, ended, epoch } = scan.progress();
  if (!begun) throw new HoldfastError('ERR_HOLDFAST_NOT_A_BACKUP', `${file} is not a backup`);
  if (!ended)
    throw new HoldfastError('ERR_HOLDFAST_CORRUPT', `the backup ${file} is damaged or not whole`);
  return epoch;
}

/** Reads a whole file in pieces; returns its length. */
export async function readInto(
  file: string,
  take: (chunk: Uint8Array) => unknown,
): Promise<number> {
  const handle = await open(file, constants.O_RDONLY);
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  let at = 0;
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return at;
      await take(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Takes over the handle. */
function fileTarget(handle: FileHandle, partial: string, file: string, keep: number): Target {
  let at = keep;
  let synced = false; // the first block of this attempt, and so what it goes on behind
  let doubtful = false; // a sync has failed: what the file reads as may not be what is on the disk
  const told = (error: unknown): Error =>
    fileError(
      error,
      `the backup ${file} could not be written; ` +
        (doubtful
          ? 'what is done cannot be trusted, and the next backup begins anew'
          : `what is done is kept in ${partial}, and the next backup to the same place goes on from there`),
    );
  const sync = async (): Promise<void> => {
    doubtful = true;
    await handle.sync();
    doubtful = false;
  };
  return {
    name: file,
    async write(block) {
      try {
        for (let done = 0; done < block.length;) {
          const { bytesWritten } = await handle.write(block, done, block.length - done, at);
          done += bytesWritten;
          at += bytesWritten;
        }
        if (!synced) await sync();
        synced = true;
      } catch (error) {
        throw told(error);
      }
    },
    async finish() {
      await sync().catch((error: unknown) => {
        throw told(error);
      });
      await giveName(partial, file);
      await handle.close(); // not before it has its name: it would be taken for one to go on with
    },
    async abandon() {
      // The error that brought us here is the one to tell.
      if (at === 0 || doubtful) await unlink(partial).catch(() => undefined);
      await handle.close().catch(() => undefined);
    },
  };
}

function streamTarget(given: Writable | WritableStream<Uint8Array>): Target {
  if (!(given instanceof Writable) && !(given instanceof WritableStream)) {
    throw typeError('A backup goes to a path, a Writable or a WritableStream');
  }
  if (given instanceof WritableStream && given.locked)
    throw typeError('The WritableStream is locked: somebody else writes to it');
  const stream = given instanceof Writable ? given : Writable.fromWeb(given);
  let failure: unknown;
  let giveUp: ((reason: unknown) => void) | undefined;
  stream.on('error', (error) => (failure ??= error));
  const told = (error: unknown): Error => fileError(error, 'the stream of the backup failed');
  const step = (act: (done: (error?: Error | null) => void) => void): Promise<void> =>
    new Promise<void>((resolve, reject) => {
      giveUp = reject;
      const failed = (): void => reject(failure ?? new Error('it was closed'));
      if (failure !== undefined || stream.destroyed) return failed();
      stream.once('close', failed);
      act((error) => {
        stream.off('close', failed);
        if (error) reject(error);
        else resolve();
      });
    }).catch((error: unknown) => Promise.reject(told(error)));
  return {
    name: 'a stream',
    write: (block) => step((done) => stream.write(block, done)),
    finish: () => step((done) => stream.end(() => done(failure as Error | undefined))),
    async abandon(reason) {
      failure ??= reason;
      giveUp?.(reason);
      stream.destroy(reason instanceof Error ? reason : new Error(String(reason)));
    },
  };
}
