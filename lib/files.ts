/**
 * Files that are there whole or not at all: written under another name, synced, and only then given
 * theirs.
 *
 * A crash leaves the other name behind; what it is and who takes it up again is said where it is
 * chosen.
 */
import { constants } from 'node:fs';
import { link, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

import { HoldfastError, typeError } from './errors';
import type { ErrorCode } from './errors';

/** Has no name in Node.js. */
const EDQUOT = 122;

const codeOf: Record<string, ErrorCode> = {
  ENOSPC: 'ERR_HOLDFAST_DISK_FULL',
  EFBIG: 'ERR_HOLDFAST_DISK_FULL',
  EACCES: 'ERR_HOLDFAST_PERMISSION',
  EPERM: 'ERR_HOLDFAST_PERMISSION',
  EROFS: 'ERR_HOLDFAST_READ_ONLY',
  ENOENT: 'ERR_HOLDFAST_NOT_FOUND',
  ENOTDIR: 'ERR_HOLDFAST_NOT_FOUND',
  ENAMETOOLONG: 'ERR_HOLDFAST_INVALID_ARGUMENT',
  ELOOP: 'ERR_HOLDFAST_INVALID_ARGUMENT',
  EEXIST: 'ERR_HOLDFAST_EXISTS',
};

/** What the system (or a stream of the user's) refused, as one of our errors. */
export function fileError(cause: unknown, what: string): Error {
  const { code, errno, message } = cause as { code?: string; errno?: number; message?: string };
  if (code?.startsWith('ERR_HOLDFAST_')) return cause as Error;
  const overQuota = errno === -EDQUOT;
  const known = overQuota ? 'ERR_HOLDFAST_DISK_FULL' : (codeOf[code ?? ''] ?? 'ERR_HOLDFAST_IO');
  const text = `${what}: ${overQuota ? 'Disk quota exceeded' : (message ?? String(cause))}`;
  if (known === 'ERR_HOLDFAST_INVALID_ARGUMENT') return Object.assign(typeError(text), { cause });
  return new HoldfastError(known, text, {
    cause,
    ...(typeof errno === 'number' && { errno: Math.abs(errno) }),
  });
}

async function syncFolderOf(file: string): Promise<void> {
  try {
    const folder = await open(path.dirname(path.resolve(file)), constants.O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    throw fileError(
      error,
      `${file} is whole, but its folder could not be synced: a power cut may still take its name away`,
    );
  }
}

/**
 * Gives a finished file its name, durably; never takes the place of another
 * (`ERR_HOLDFAST_EXISTS`). A crash may leave both names, which are then names of one file: whoever
 * finds `from` with two names must not write to it.
 */
export async function giveName(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
    await unlink(from);
  } catch (error) {
    const { code } = error as { code?: string };
    // A file system without hard links.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP')
      throw fileError(error, `${to} could not be given its name`);
    await rename(from, to);
  }
  await syncFolderOf(to);
}
