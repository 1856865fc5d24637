import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

import { errorCodes, HoldfastError } from '../../lib/index';
import { errorFromNative } from '../../lib/errors';

const root = path.join(import.meta.dirname, '../..');
const textOf = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');

describe('the list of codes', () => {
  test('is the same in C++, TypeScript and the document', () => {
    const native = [...textOf('native/base/status.h').matchAll(/X\(k\w+, "(ERR_\w+)"\)/g)].map(
      (m) => m[1],
    );
    const documented = [...textOf('docs/errors.md').matchAll(/^### `(ERR_\w+)`$/gm)].map(
      (m) => m[1],
    );
    expect(native.length).toBeGreaterThan(20);
    expect(native).toEqual([...errorCodes]);
    expect([...documented].sort()).toEqual([...errorCodes].sort());
  });

  test('each code has a paragraph', () => {
    for (const section of textOf('docs/errors.md').split(/^### /m).slice(1)) {
      const paragraph = section.split('\n').slice(1).join(' ').trim();
      expect(paragraph.length, section.split('\n')[0]).toBeGreaterThan(60);
    }
  });
});

describe('classes', () => {
  test.each(errorCodes)('%s', (code) => {
    const error = errorFromNative(code, 'why', 5);
    expect(error).toMatchObject({ code, message: 'why' });
    const wrongArgument = {
      ERR_HOLDFAST_INVALID_ARGUMENT: TypeError,
      ERR_HOLDFAST_OUT_OF_RANGE: RangeError,
      ERR_HOLDFAST_KEY_SIZE: RangeError,
      ERR_HOLDFAST_VALUE_SIZE: RangeError,
    }[code as string];
    expect(error).toBeInstanceOf(wrongArgument ?? HoldfastError);
    if (wrongArgument === undefined)
      expect(error).toMatchObject({ errno: 5, name: 'HoldfastError' });
  });

  test('cause is kept', () => {
    const cause = new Error('beneath');
    expect(new HoldfastError('ERR_HOLDFAST_CODEC', 'x', { cause }).cause).toBe(cause);
    expect('cause' in new HoldfastError('ERR_HOLDFAST_CODEC', 'x')).toBe(false);
  });
});

test('nothing public is typed any', () => {
  const dist = path.join(root, 'dist');
  const files = fs
    .readdirSync(dist, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.d.ts'));
  expect(files.length).toBeGreaterThan(10);
  const found = files.flatMap((file) =>
    fs
      .readFileSync(path.join(dist, file), 'utf8')
      .replace(/\/\*[\s\S]*?\*\//g, '')
      .split('\n')
      .filter((line) => /[:<,|&(]\s*any\b|\bany\[\]|=\s*any\b/.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
  expect(found).toEqual([]);
});
