/**
 * Fake timers of a test runner stand still until the test moves them. Commits do not wait for them;
 * what waits for a moment does.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';
import { runChild } from './support/child';

const folder = scratchFolder('fake-timers');

/** More turns one after the other than go by without the event loop's other phases. */
const work = `async function work({ open }, path) {
  const pool = await open(path, { medium: 'file' });
  const notes = pool.keyspace('notes');
  for (let i = 0; i < 20; ++i) await Promise.all([notes.put('a', i), notes.put('b', i)]);
  await notes.put('c', 1, { durability: 'eventual' });
  await pool.settled();
  const run = await pool.run('r');
  await run.finish(await run.step('s', () => notes.get('b')));
  await pool.close();
  return run.result;
}
`;

async function result(source: string, name: string): Promise<string> {
  const { code, stdout, stderr } = await runChild(`${work}${source}`, {
    args: [join(folder, name)],
  });
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

test('those that were put in the place of the real ones behind the import', async () => {
  const source = `
    const write = require('node:fs').writeSync, still = () => {};
    process.nextTick = still;
    for (const timers of [globalThis, require('node:timers')]) timers.setImmediate = still;
    work(holdfast, process.argv[2]).then((result) => {
      write(1, String(result));
      process.reallyExit(0);
    });`;
  expect(await result(source, 'behind')).toBe('19');
});

test('those of a context of its own, there before the import', async () => {
  const loader = readFileSync(join(import.meta.dirname, 'support', 'load-in-context.cjs'), 'utf8');
  const source = `${loader}
    const still = () => {};
    const { load, context } = contextWith({ process: Object.create(process, { nextTick: { value: still } }), setImmediate: still });
    require('node:vm').runInContext('(' + work + ')', context)(load(holdfastPath), process.argv[2]).then(console.log);`;
  expect(await result(source, 'context')).toBe('19\n');
});
