/**
 * Another size for a pool that nobody has open, by copying it; see native/engine/copies/resize.h
 * for what a crash leaves.
 */
import { native } from './native-binding';
import { checkPath, directoriesOption, optionsObject, sizeOption } from './options';
import type { CopyOptions, CopyReport } from './types';

/**
 * Puts everything into a new pool of `bytes` (0: grows by itself) and that in the place of the old
 * one, on any medium. Needs room for both. Commits are numbered on; backups begin anew. With
 * `directories` the new pool lies there, or (an empty list) in one file at `path`.
 */
export async function resizeByCopy(
  path: string,
  bytes: number,
  options?: CopyOptions,
): Promise<CopyReport> {
  const { directories } = optionsObject(options, 'resizeByCopy', ['directories']);
  return native.resizeByCopy(
    checkPath(path),
    sizeOption(bytes),
    directories === undefined ? undefined : directoriesOption(directories),
  );
}
