/**
 * The README runs as written: every JavaScript block, as a module of its own, in the order of the
 * page.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const root = join(__dirname, '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code as string);

const folder = scratchFolder('readme');
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules', 'holdfast'));

async function run(block: string): Promise<string> {
  const file = join(folder, 'block.mjs');
  writeFileSync(file, block);
  return (await promisify(execFile)(process.execPath, [file], { cwd: folder })).stdout;
}

test('the agent: new, and continued when it is started again', async () => {
  expect(await run(blocks[0] ?? '')).toMatch(
    /^medium (file|pmem), durability class (power|process)\nnew: booked B-1\n$/,
  );
  expect(await run(blocks[0] ?? '')).toMatch(/\ncontinued: booked B-1\n$/);
});

test('keyspaces, batches, snapshots', async () => {
  const lines = (await run(blocks[1] ?? '')).split('\n');
  expect(lines).toEqual([
    'user/7/name Ada',
    'ERR_HOLDFAST_CONFLICT',
    expect.stringMatching(/^\d+ Ada undefined$/),
    '',
  ]);
});

test('runs', async () => {
  expect(await run(blocks[2] ?? '')).toBe('2 bye\n');
});

test('errors', async () => {
  expect(await run(blocks[3] ?? '')).toBe('ERR_HOLDFAST_NOT_FOUND\n');
});

test('there is no block without a test', () => {
  expect(blocks).toHaveLength(4);
});

test('the commands it lists are those there are', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(root, 'dist', 'cli', 'main.js'),
    '--help',
  ]);
  const listed = [...stdout.matchAll(/^ {2}(\w+) .*?(?:\[|<)/gm)]
    .map(([, name]) => name)
    .filter((name) => name !== 'help');
  expect(listed.length).toBeGreaterThan(6);
  for (const name of listed) expect(readme).toContain(`\`${name}`);
});
