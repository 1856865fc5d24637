/**
 * docs/runs.md and docs/recipes.md run as written: every JavaScript block, as a module of its own.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const root = join(__dirname, '..', '..');
const folder = scratchFolder('runs-doc');
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules', 'holdfast'));

const printed = {
  'runs.md': [
    /^\d+ (power|process) run\/trip-42@0\n$/,
    /^$/,
    /^paid\n$/,
    /^ERR_HOLDFAST_SUSPENDED\noffer-1 \{ by: 'ada' \}\n$/,
    /^nobody answered\n$/,
    /^cancelled by ada\n$/,
    /^\{ begun: true, epoch: \d+, class: '(power|process)' \}\norder\/7 \{ number: 7 \} 2\n1\n$/,
    /^0\n3\n\{\n {2}removed: 3,\n {2}kept: \{.*\}\n\}\n\[ 'trip-8' \]\n$/,
    /^remembers undefined\nends with done\n$/,
  ],
  'recipes.md': [
    /^BYE \(4 messages before\) 6\n$/,
    /^order\/cup paid 500\norder\/pen refused\n$/,
    /^rain, asked 1 time\nrain, asked 1 time\nrain, asked 2 time\n\[ 'weather\/Oslo' \]\n$/,
    /^job\/a\.example finished 17\njob\/bb\.example finished 18\n$/,
  ],
};

describe.each(Object.entries(printed))('%s', (page, expected) => {
  const text = readFileSync(join(root, 'docs', page), 'utf8');
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code as string);

  test('there is no block without an expectation', () =>
    expect(blocks).toHaveLength(expected.length));

  test.each(expected.map((output, i) => [i, output] as const))('block %i', async (i, output) => {
    const file = join(folder, `${page}-${i}.mjs`);
    writeFileSync(file, blocks[i] ?? '');
    const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder });
    expect(stdout).toMatch(output);
  });
});
