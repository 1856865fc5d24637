/** A folder that is gone when the work is done, fails, or is interrupted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { fileError } from '../files';

/** What a shell reports for a command ended by SIGINT. */
const EXIT_INTERRUPTED = 130;

export async function inTemporaryFolder<T>(
  parent: string,
  prefix: string,
  work: (folder: string) => Promise<T>,
  keep = false,
): Promise<T> {
  const folder = newFolder(parent, prefix);
  const remove = () => {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  };
  const interrupted = () => process.exit(EXIT_INTERRUPTED);
  process.on('exit', remove).on('SIGINT', interrupted).on('SIGTERM', interrupted);
  try {
    return await work(folder);
  } finally {
    process.off('exit', remove).off('SIGINT', interrupted).off('SIGTERM', interrupted);
    remove();
  }
}

function newFolder(parent: string, prefix: string): string {
  try {
    return mkdtempSync(join(parent, prefix));
  } catch (error) {
    throw fileError(error, `no folder can be made in ${parent}`);
  }
}
