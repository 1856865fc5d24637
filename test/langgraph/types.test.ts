/** The types that a user sees, compiled with TypeScript's strictest rules. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { expect, it } from 'vitest';

it('savers, stores and caches are LangGraph\'s own without a cast, runs are typed', () => {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('typescript/package.json');
  const { tsc } = (JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tsc: string } }).bin;
  const options = '--ignoreConfig --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022 --types node';
  const file = path.join(import.meta.dirname, 'assignable.ts');
  let said = '';
  try {
    execFileSync(process.execPath, [path.join(path.dirname(manifest), tsc), ...options.split(' '), file], { encoding: 'utf8' });
  } catch (error) {
    said = (error as { stdout: string }).stdout;
  }
  expect(said).toBe('');
});
