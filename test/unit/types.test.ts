/**
 * The types that a user sees, as they are built: compiled with TypeScript's strictest rules, for
 * each way of finding modules.
 */
import path from 'node:path';

import { expect, it } from 'vitest';

import { saidOf } from '../helpers/compiled';

it.each(['node16', 'nodenext', 'bundler'])(
  'runs and keyspaces say what they give, module resolution %s',
  (resolution) => {
    const options =
      '--strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess --target es2022 --lib es2022,esnext.disposable ' +
      `--types node --module ${resolution === 'bundler' ? 'esnext' : resolution} --moduleResolution ${resolution}`;
    expect(saidOf(path.join(import.meta.dirname, 'support', 'consumer.ts'), options)).toBe('');
  },
);
