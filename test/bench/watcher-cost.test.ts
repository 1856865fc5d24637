/**
 * What an idle watcher costs those who commit: at most 5 % more instructions on the committing
 * thread, counted by callgrind. On persistent memory, where a commit waits for nothing: the watcher
 * is woken once a millisecond at most, so what a commit pays for that depends on how many there are
 * in one. (Where each takes a millisecond, each wakes it: 180 instructions, beside a disk's sync.)
 * The watcher's own thread passes over what it did not ask for; its instructions are the watcher's.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { afterAll, describe, expect, test } from 'vitest';

import { probe } from '../../lib/index';

const program = path.resolve('build-native/watched_commits');

function pmemMissing(): string | undefined {
  if (!fs.existsSync('/dev/shm')) return 'there is no tmpfs at /dev/shm';
  process.env.PMEM_IS_PMEM_FORCE = '1';
  return probe('/dev/shm/holdfast-probe').builtWithPmem ? undefined : 'libpmemobj is not installed';
}

const missing = !fs.existsSync(program)
  ? 'the native tests are not built'
  : spawnSync('valgrind', ['--version'], { stdio: 'ignore' }).status !== 0
    ? 'valgrind is not installed'
    : pmemMissing();
const few = 500;
const many = 3500;

/** Of each thread, by callgrind's numbers: 1 is the one that commits. */
function instructions(folder: string, commits: number, how: 'watched' | 'unwatched'): number[] {
  const place = fs.mkdtempSync(path.join(folder, 'pool-'));
  const out = path.join(place, 'callgrind');
  const valgrind = ['--tool=callgrind', '--separate-threads=yes', `--callgrind-out-file=${out}`];
  const { status, stderr } = spawnSync(
    'valgrind',
    [...valgrind, program, 'pmem', place, String(commits), how],
    {
      encoding: 'utf8',
      env: { ...process.env, PMEM_IS_PMEM_FORCE: '1' },
    },
  );
  expect(status, stderr).toBe(0);
  const totals = fs
    .readdirSync(place)
    .filter((name) => name.startsWith('callgrind-'))
    .sort()
    .map((name) =>
      Number(/^totals: (\d+)/m.exec(fs.readFileSync(path.join(place, name), 'utf8'))?.[1] ?? 0),
    );
  fs.rmSync(place, { recursive: true });
  return totals;
}

describe.skipIf(missing !== undefined)(
  `the cost of a watcher${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    const folder =
      missing === undefined ? fs.mkdtempSync(path.join('/dev/shm', 'holdfast-watcher-')) : '';
    afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

    test('an idle one makes a commit at most 5 % longer', () => {
      // The difference of two runs has neither start-up nor the making of the pool.
      const each = (how: 'watched' | 'unwatched'): number =>
        (instructions(folder, many, how)[0]! - instructions(folder, few, how)[0]!) / (many - few);
      const unwatched = each('unwatched');
      const watched = each('watched');
      console.log(
        `instructions of a commit of 256 bytes: ${unwatched.toFixed(0)}, beside an idle watcher ${watched.toFixed(0)}`,
      );
      expect(unwatched).toBeGreaterThan(500);
      expect(watched / unwatched).toBeLessThan(1.05);
    });
  },
);
