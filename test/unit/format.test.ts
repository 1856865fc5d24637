/**
 * Code is laid out as `npm run format` does it: by Prettier, and by the clang-format of Debian 12,
 * which setup.sh --tests installs where it may.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const root = path.resolve(__dirname, '../..');
const check = (languages: string) => {
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['scripts/format.sh', '--check', languages],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  return { status, said: stdout + stderr };
};

it('TypeScript and JavaScript are laid out by Prettier', () => {
  expect(check('typescript')).toEqual({ status: 0, said: '' });
});

it('C++ is laid out by clang-format', ({ skip }) => {
  const { status, said } = check('cpp');
  skip(status === 3, said.trim());
  expect({ status, said }).toEqual({ status: 0, said: '' });
});
