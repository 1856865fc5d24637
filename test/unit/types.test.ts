/**
 * The types that a user sees, as they are built: compiled with TypeScript's strictest rules, for
 * each way of finding modules.
 */
import { readdirSync, readFileSync } from 'node:fs';
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

// What older compilers know without type arguments, or with one: buffers before 5.7, iterators
// before 5.6. (`NoInfer` is there since 5.4.)
it('what is emitted can be read by TypeScript 5.4', () => {
  const dist = path.join(import.meta.dirname, '../../dist');
  const newer = /\b(?:Uint8Array|Buffer|DataView)<|\b(?:Async)?IterableIterator<[^<>[\]]+, /g;
  const found = readdirSync(dist, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.d.ts'))
    .flatMap((file) =>
      [...readFileSync(path.join(dist, file), 'utf8').matchAll(newer)].map(
        ([s]) => `${file}: ${s}`,
      ),
    );
  expect(found).toEqual([]);
});

// The compiler here does not know it any more: TypeScript before 7, where modules are CommonJS.
it('what is exported is found where exports are not read (module resolution node10)', () => {
  const { exports, typesVersions, types } = JSON.parse(
    readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8'),
  ) as {
    exports: Record<string, string | { require: { types: string } }>;
    typesVersions: { '*': Record<string, [string]> };
    types: string;
  };
  const found = Object.entries({ ...typesVersions['*'], '': [types] });
  const exported = Object.entries(exports).flatMap(([name, at]) =>
    typeof at === 'string' ? [] : [[name.replace(/^\.\/?/, ''), [at.require.types]] as const],
  );
  expect(new Map(found)).toEqual(new Map(exported));
});
