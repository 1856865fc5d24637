/**
 * Another size for a pool that nobody has open, by copying it; see native/engine/copies/resize.h
 * for what a crash leaves.
 */
import { native } from './native-binding';
import { checkPath, directoriesOption, optionsObject, sizeOption } from './options';
import type { CopyOptions, CopyReport } from './types';

/**
 * Gives a pool that nobody has open another size: copies everything into a new pool of `bytes` (0:
 * grows by itself), which then takes the place of the old one. On any medium; needs room for both.
 * A kill leaves the old pool or the new one. Epochs go on; backups begin anew. With `directories`
 * the new pool lies there, or (an empty list) in one file at `path`.
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
