/** docs/api.md names every member that a user can call, and every option of `open`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import * as holdfast from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const page = readFileSync(join(__dirname, '..', '..', 'docs', 'api.md'), 'utf8');

/** What the library's own layers call, and no type tells users of. */
const BETWEEN_LAYERS = [
  'constructor',
  ...['begun', 'waitCall', 'next', 'whySuspended'],
  ...['belongsTo', 'toWrite', 'nativeView', 'existing', 'decoding', 'encodeKey', 'encodeEntry'],
];

function missing(names: readonly string[]): string[] {
  return names.filter((name) => !new RegExp(`\`[^\`]*\\b${name}\\b[^\`]*\``).test(page));
}

/** Of it and of what its class inherits, but for what every object has. */
function membersOf(object: object): string[] {
  const names = new Set(Object.keys(object));
  for (
    let of = Object.getPrototypeOf(object) as object;
    of !== Object.prototype;
    of = Object.getPrototypeOf(of) as object
  ) {
    for (const name of Object.getOwnPropertyNames(of)) names.add(name);
  }
  return [...names].filter((name) => !BETWEEN_LAYERS.includes(name) && /^[a-z]/.test(name));
}

test('what the package exports', () => expect(missing(Object.keys(holdfast))).toEqual([]));

test('the options of open', async () => {
  const misspelt = { nosuch: 1 } as holdfast.OpenOptions;
  const { message } = await holdfast.open('x', misspelt).then(
    () => expect.unreachable(),
    (error: Error) => error,
  );
  const names = message.replace(/.*there are /, '').split(', ');
  expect(names).toContain('medium');
  expect(missing(names)).toEqual([]);
});

test('the members of what is made of a pool', async () => {
  await using pool = await holdfast.open(join(scratchFolder('api-doc'), 'a'), { medium: 'file' });
  using snapshot = pool.snapshot();
  using run = await pool.run('r');
  const region = pool.region('r', { size: 8 });
  const made = { pool, snapshot, run, region, keyspace: pool.keyspace('k'), batch: pool.batch() };
  for (const [what, object] of Object.entries(made)) {
    expect(membersOf(object).length, what).toBeGreaterThan(3);
    expect(missing(membersOf(object)), what).toEqual([]);
  }
});

test('a name that is not there would be noticed', () =>
  expect(missing(['nosuch', 'commit'])).toEqual(['nosuch']));
