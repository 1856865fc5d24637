/** docs/runs.md runs as written: every JavaScript block, as a module of its own. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const root = join(__dirname, '..', '..');
const page = readFileSync(join(root, 'docs', 'runs.md'), 'utf8');
const blocks = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code as string);
const folder = scratchFolder('runs-doc');
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules', 'holdfast'));

const printed = [
  /^\d+ (power|process) run\/trip-42@0\n$/,
  /^$/,
  /^paid\n$/,
  /^ERR_HOLDFAST_SUSPENDED\noffer-1 \{ by: 'ada' \}\n$/,
  /^nobody answered\n$/,
  /^remembers undefined\nends with done\n$/,
];

test('there is no block without an expectation', () => expect(blocks).toHaveLength(printed.length));

test.each(printed.map((output, i) => [i, output] as const))('block %i', async (i, output) => {
  const file = join(folder, `block-${i}.mjs`);
  writeFileSync(file, blocks[i] ?? '');
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder });
  expect(stdout).toMatch(output);
});
