/**
 * 200 damaged pools and files that are none, through the command line: never a crash, a hang, a
 * wrong value, or an exit code that lies.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

import { expect, test } from 'vitest';

import { open, probe } from '../../lib/index';
import { dist } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('cli-damage');
const pools = Number(process.env.HOLDFAST_CLI_POOLS ?? 200);

function golden(medium: string): string {
  const file = path.join(folder, `golden-${medium}`);
  writeFileSync(
    file,
    gunzipSync(readFileSync(path.join(import.meta.dirname, `../golden/${medium}-v1.pool.gz`))),
  );
  return file;
}

/** Closed in order, with a region, history and a run. */
async function freshPool(): Promise<string> {
  const file = path.join(folder, 'fresh');
  const pool = await open(file, { medium: 'file', retain: { bytes: 2 ** 30 } });
  const notes = pool.keyspace<string, unknown>('notes', { key: 'utf8', value: 'json' });
  for (let i = 0; i < 400; i += 1)
    notes.putSync(
      `note-${String(i).padStart(4, '0')}`,
      { i, text: 'y'.repeat(i % 200) },
      { durability: 'eventual' },
    );
  const region = pool.region('cells', { size: 100_000 });
  for (let at = 0; at < 100_000; at += 10_000)
    pool.commitSync(pool.batch().regionWrite(region, at, Buffer.alloc(700, at / 10_000 + 1)));
  await pool.fold();
  const run = await pool.run('trip', { input: 1 });
  await run.step('one', () => 1);
  await run.checkpoint({ at: 1 });
  await pool.close();
  return file;
}

test('200 damaged pools through the command line', async () => {
  const withPmem = existsSync('/dev/shm') && probe('/dev/shm').builtWithPmem;
  const sources = [golden('file'), await freshPool(), ...(withPmem ? [golden('pmem')] : [])];
  const scratch = path.join(folder, 'scratch');
  mkdirSync(scratch);
  const child = path.join(import.meta.dirname, 'cli-damage-child.cjs');
  const ended = spawnSync(
    process.execPath,
    [child, dist, scratch, '1', String(pools), ...sources],
    {
      encoding: 'utf8',
      timeout: 600_000,
      maxBuffer: 64 << 20,
      env: { ...process.env, NO_COLOR: '1', PMEM_IS_PMEM_FORCE: '1' },
    },
  );
  const lines = ended.stdout.trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('WRONG'))).toEqual([]);
  expect({
    signal: ended.signal,
    code: ended.status,
    last: lines.at(-1),
    stderr: ended.stderr,
  }).toEqual({ signal: null, code: 0, last: 'DONE', stderr: '' });
});
