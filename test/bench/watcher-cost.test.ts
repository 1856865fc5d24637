/**
 * What an idle watcher costs those who commit: at most 5 % more instructions on the committing thread, counted by callgrind, and so the same
 * on a busy machine. The watcher's own thread passes over what it did not ask for; its instructions are the watcher's, and are printed.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { afterAll, describe, expect, test } from 'vitest';

const program = path.resolve('build-native/watched_commits');
const missing = !fs.existsSync(program)
  ? 'the native tests are not built'
  : spawnSync('valgrind', ['--version'], { stdio: 'ignore' }).status !== 0
    ? 'valgrind is not installed'
    : undefined;
const few = 1000;
const many = 4000;

/** Of each thread, by callgrind's numbers: 1 is the one that commits. */
function instructions(folder: string, commits: number, how: 'watched' | 'unwatched'): number[] {
  const place = fs.mkdtempSync(path.join(folder, 'pool-'));
  const out = path.join(place, 'callgrind');
  const valgrind = ['--tool=callgrind', '--separate-threads=yes', `--callgrind-out-file=${out}`];
  const { status, stderr } = spawnSync('valgrind', [...valgrind, program, 'file', place, String(commits), how], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const totals = fs
    .readdirSync(place)
    .filter((name) => name.startsWith('callgrind-'))
    .sort()
    .map((name) => Number(/^totals: (\d+)/m.exec(fs.readFileSync(path.join(place, name), 'utf8'))?.[1] ?? 0));
  fs.rmSync(place, { recursive: true });
  return totals;
}

describe.skipIf(missing !== undefined)(`the cost of a watcher${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-watcher-'));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  test('an idle one makes a commit at most 5 % longer', { timeout: 300_000 }, () => {
    // The difference of two runs has neither start-up nor the making of the pool.
    const each = (how: 'watched' | 'unwatched'): number =>
      (instructions(folder, many, how)[0]! - instructions(folder, few, how)[0]!) / (many - few);
    const unwatched = each('unwatched');
    const watched = each('watched');
    console.log(`instructions of a commit of 256 bytes: ${unwatched.toFixed(0)}, beside an idle watcher ${watched.toFixed(0)}`);
    expect(unwatched).toBeGreaterThan(500);
    expect(watched / unwatched).toBeLessThan(1.05);
  });
});
