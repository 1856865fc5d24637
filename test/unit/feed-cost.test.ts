/**
 * What a watcher costs those who commit, in instructions: callgrind counts those inside Pool::commit, which are the same on a busy
 * machine. A commit beside a watcher that waits for something else may take at most 5 % more.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

const program = path.resolve('build-native/native_tests');
const missing = !existsSync(program)
  ? 'build-native/native_tests is not built'
  : spawnSync('valgrind', ['--version']).status !== 0
    ? 'valgrind is not here'
    : undefined;

function instructionsOf(testCase: string): number {
  const told = spawnSync(
    'valgrind',
    ['--tool=callgrind', '--callgrind-out-file=/dev/null', '--toggle-collect=holdfast::PoolImpl::commit(*', program, '-ns', `-tc=${testCase}`],
    { encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  const count = /Collected : (\d+)/.exec(told.stderr)?.[1];
  if (told.status !== 0 || count === undefined) throw new Error(`${told.stdout}\n${told.stderr}`);
  return Number(count) / 20_000;
}

describe.skipIf(missing !== undefined)(`cost of a watcher${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  test('that waits for something else is under 5 % of a commit', { timeout: 600_000 }, () => {
    const alone = instructionsOf('cost: commits that nobody watches');
    const watched = instructionsOf('cost: commits beside a watcher of something else');
    console.log(`instructions of a commit: ${alone.toFixed(0)}, with an idle watcher ${watched.toFixed(0)}`);
    expect(alone).toBeGreaterThan(300);
    expect(watched / alone).toBeLessThan(1.05);
  });
});
