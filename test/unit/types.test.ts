/** The types that a user sees, as they are built: compiled with TypeScript's strictest rules, for each way of finding modules. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { expect, it } from 'vitest';

it.each(['node16', 'nodenext', 'bundler'])('runs and keyspaces say what they give, module resolution %s', (resolution) => {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('typescript/package.json');
  const { tsc } = (JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tsc: string } }).bin;
  const options =
    '--ignoreConfig --noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess --target es2022 --lib es2022,esnext.disposable ' +
    `--types node --module ${resolution === 'bundler' ? 'esnext' : resolution} --moduleResolution ${resolution}`;
  const file = path.join(import.meta.dirname, 'support', 'consumer.ts');
  let said = '';
  try {
    execFileSync(process.execPath, [path.join(path.dirname(manifest), tsc), ...options.split(' '), file], { encoding: 'utf8' });
  } catch (error) {
    said = (error as { stdout: string }).stdout;
  }
  expect(said).toBe('');
});
