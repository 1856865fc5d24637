/** Another size for a pool that nobody has open, by copying it; see native/engine/resize.h for what a crash leaves. */
import { native } from './native-binding';
import { checkPath, sizeOption } from './options';
import type { CopyReport } from './types';

/**
 * Puts everything into a new pool of `bytes` (0: grows by itself) and that in the place of the old
 * one, on any medium. Needs room for both. Commits are numbered on; backups begin anew.
 */
export async function resizeByCopy(path: string, bytes: number): Promise<CopyReport> {
  return native.resizeByCopy(checkPath(path), sizeOption(bytes));
}
