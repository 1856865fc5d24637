/**
 * A share of the region storm on each medium, and that it is not blind. The whole: `node
 * test/storm/regions.mjs`.
 */
import { spawnSync } from 'node:child_process';

import { expect, test } from 'vitest';

import { onEachMedium } from '../unit/support/media';

function storm(
  medium: string,
  writes: number,
  env: Record<string, string> = {},
): { status: number | null; stdout: string } {
  const script = new URL('../storm/regions.mjs', import.meta.url).pathname;
  const given = [script, '--medium', medium, '--writes', String(writes), '--seed', '7'];
  return spawnSync(process.execPath, given, { encoding: 'utf8', env: { ...process.env, ...env } });
}

onEachMedium('the region storm', (place) => {
  test('finds every commit whole, and none lost', () => {
    const { status, stdout } = storm(place.medium, 40_000);
    expect(stdout).toMatch(
      /40000 writes of 8 bytes in 400 commits on \w+, [1-9]\d* kills, 0 violations/,
    );
    expect(status).toBe(0);
  });
});

test('the region storm finds a commit in two halves', () => {
  const { status, stdout } = storm('file', 20_000, { HOLDFAST_STORM_LIE: 'two-commits' });
  expect(stdout).toContain('VIOLATED: W after');
  expect(status).toBe(1);
});
