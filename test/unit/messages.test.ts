/**
 * Messages that a new user meets first: they say what happened, with which value, and what to do.
 * Programs decide by the code; these texts are for people.
 */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { expect, test } from 'vitest';

import { codecs, open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('messages');
mkdirSync(folder, { recursive: true });

const messageOf = async (call: () => unknown): Promise<string> => {
  try {
    await call();
  } catch (error) {
    return (error as Error).message;
  }
  return expect.unreachable('nothing was thrown');
};

test('what cannot be stored is named, with its place', async () => {
  await using pool = await open(join(folder, 'values'), { medium: 'file' });
  const memory = pool.keyspace('memory');
  const shared = { name: 'a' };
  const long = `${'x'.repeat(5000)}`;
  for (const [value, told] of [
    [() => long, 'there is a function in it; store plain data'],
    [{ tools: [{ run() {} }] }, 'there is a function at .tools[0].run; store plain data'],
    [{ shared, again: shared, 'a-b': Symbol('s') }, 'there is a symbol at ["a-b"]; store plain'],
    [{ at: new Map([['f', () => 1]]) }, 'there is a function at .at.(a Map); store plain data'],
    [[...Array(200_000).keys(), () => 1], 'there is a function at [200000]; store plain data'],
    [{ page: Promise.resolve(1) }, 'there is a Promise at .page, of which nothing could be read'],
    [
      [new WeakRef(shared)],
      'there is a WeakRef at [0], of which nothing could be read back; store',
    ],
  ] as const) {
    const message = await messageOf(() => memory.put('a', value));
    expect(message).toContain(`The value cannot be stored: ${told}`);
    expect(message.length).toBeLessThan(160);
  }
  expect(await messageOf(() => memory.put('a', Promise.resolve(1)))).toMatch(/await it first$/);
  using run = await pool.run('r');
  const lazy = {
    get page() {
      throw new Error('not loaded');
    },
  };
  for (const [state, told, asArguments] of [
    [{ tools: [{ run() {} }] }, 'there is a function at .tools[0].run'],
    [{ a: [new WeakMap()] }, 'there is a WeakMap at .a[0]'],
    [{ a: { b: Promise.resolve() } }, 'there is a Promise at .a.b, of which nothing could be read'],
    [{ a: new Set([new URL('http://localhost/')]) }, 'there is a URL at .a.(a Set)'],
    [{ lazy }, 'cannot be read: not loaded', 'the arguments cannot be stored: not loaded'],
  ] as const) {
    expect(await messageOf(() => run.checkpoint(state))).toContain(told);
    expect(await messageOf(() => run.tool('t', state, () => 1))).toContain(asArguments ?? told);
  }
});

test("of the environment's variables a message shows none", async () => {
  await using pool = await open(join(folder, 'environment'), { medium: 'file' });
  const memory = pool.keyspace('memory');
  process.env['HOLDFAST_SECRET'] = 'swordfish';
  try {
    for (const [value, where] of [
      [process.env, 'in it'],
      [{ seen: [{ env: process.env }] }, 'at .seen[0].env'],
    ] as const) {
      const error = (await memory.put('a', value).catch((error: unknown) => error)) as Error;
      expect(error).toMatchObject({ code: 'ERR_HOLDFAST_CODEC' });
      expect(error.message).toContain(`there is an object of the system's ${where}; store plain`);
      expect(inspect(error)).not.toContain('swordfish');
    }
  } finally {
    delete process.env['HOLDFAST_SECRET'];
  }
});

test('a result that cannot be stored is told with its call', async () => {
  await using pool = await open(join(folder, 'results'), { medium: 'file' });
  using run = await pool.run('r');
  const wrong = () => ({ go: () => 1 });
  expect(await messageOf(() => run.step('plan', wrong))).toBe(
    'the result of step "plan": The value cannot be stored: there is a function at .result.go; store plain data, without functions and symbols',
  );
  expect(await messageOf(() => run.tool('book', {}, wrong))).toMatch(
    /^the result of tool "book": /,
  );
  expect(pool.unknownOutcomes()[0]?.error).toContain('the result of tool "book"');
});

test('a codec tells which value it was given', async () => {
  const wrong = 7 as unknown;
  expect(await messageOf(() => codecs.utf8.encode(wrong as string))).toMatch(
    /takes a string, not 7; .*\{ key: 'uint64' \}/,
  );
  expect(await messageOf(() => codecs.bytes.encode([1] as never))).toMatch(/not \[ 1 \]$/);
  expect(await messageOf(() => codecs.uint64.encode(-1))).toMatch(/bigint, not -1$/);
  expect(await messageOf(() => codecs.uint64.encode(2n ** 64n))).toMatch(
    /not 18446744073709551616$/,
  );
});

test('a condition that does not hold names its key, bytes as digits', async () => {
  await using pool = await open(join(folder, 'conditions'), { medium: 'file' });
  const texts = pool.keyspace('texts');
  const numbers = pool.keyspace('numbers', { key: 'uint64', value: 'utf8' });
  expect(await messageOf(() => pool.commit(pool.batch().requirePresent(texts, 'ä')))).toContain(
    "requires the key 'ä' to be there",
  );
  expect(await messageOf(() => pool.commit(pool.batch().requirePresent(numbers, 258)))).toContain(
    'requires the key 0x0000000000000102 to be there',
  );
});

test('damage says what there is to do', async () => {
  const path = join(folder, 'cut');
  const pool = await open(path, { medium: 'file' });
  await pool.keyspace('k').put('a', 'x'.repeat(5000));
  await pool.close();
  truncateSync(path, 70_000);
  expect(await messageOf(() => open(path))).toMatch(
    /lies beyond the pool's end; was the file trunc/,
  );
  const lost = join(folder, 'lost');
  const other = await open(lost, { medium: 'file' });
  await other.close();
  writeFileSync(lost, Buffer.alloc(8192), { flag: 'r+' });
  expect(await messageOf(() => open(lost))).toMatch(/from a backup, or save .* holdfast salvage$/);
});

test('a class that a place does not give: what it gives, and what to do', async () => {
  if (process.platform !== 'linux') return;
  const asked = () => open('/dev/shm/holdfast-messages', { medium: 'file', atLeast: 'power' });
  expect(await messageOf(asked)).toMatch(
    /gives only 'process'.*; take another place, or ask for less/,
  );
});
