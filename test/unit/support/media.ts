/** The media the API's tests run on, and places for their pools. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe } from 'vitest';

import { probe } from '../../../lib/index';
import type { Medium, OpenOptions } from '../../../lib/index';

export interface Place {
  readonly medium: Medium;
  /** Undefined when the medium works here; else why it does not. */
  readonly missing: string | undefined;
  /** A path where no pool is yet. */
  path(): string;
  readonly options: OpenOptions;
}

function folderIn(base: string): string {
  const folder = fs.mkdtempSync(path.join(base, 'holdfast-test-'));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Why pmem cannot be tried here. Emulated persistent memory is tmpfs, forced. */
export function pmemMissing(): string | undefined {
  if (!fs.existsSync('/dev/shm')) return 'there is no tmpfs at /dev/shm';
  process.env.PMEM_IS_PMEM_FORCE = '1';
  if (!probe('/dev/shm/holdfast-probe').builtWithPmem) return 'libpmemobj is not installed';
  return undefined;
}

let number = 0;

/**
 * Declares the tests on each medium; where one is missing its tests are skipped, counted, with the
 * reason in the name.
 */
export function onEachMedium(name: string, declare: (place: Place) => void): void {
  const missing = pmemMissing();
  const media = [
    { medium: 'file' as const, base: os.tmpdir(), missing: undefined },
    { medium: 'pmem' as const, base: '/dev/shm', missing },
  ];
  for (const { medium, base, missing: why } of media) {
    const title = `${name} on ${medium}${why === undefined ? '' : ` (skipped: ${why})`}`;
    describe.skipIf(why !== undefined)(title, () => {
      const folder = why === undefined ? folderIn(base) : '';
      declare({
        medium,
        missing: why,
        path: () => path.join(folder, `${++number}.holdfast`),
        options: medium === 'pmem' ? { medium, size: 64 * 1024 * 1024 } : { medium },
      });
    });
  }
}

/** The `code` an action fails with, thrown or rejected; 'OK' when it does not fail. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'OK';
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
}
