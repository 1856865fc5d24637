/**
 * Runs with everything in them, killed again and again, in the middle of effects too: nothing lost,
 * nothing repeated, all undone that was to be.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('storm-of-runs');
const dist = path.join(import.meta.dirname, '../../dist');
const RUNS = 8;
const KILLED_LIVES = Number(process.env.HOLDFAST_LIVES ?? 30);

/** One life; killed after so many milliseconds unless it is over by then. */
function live(
  pool: string,
  ledger: string,
  chance: number,
  killAfter?: number,
): Promise<{ done: boolean; error: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [
      path.join(import.meta.dirname, 'storm-of-runs.cjs'),
      dist,
      pool,
      ledger,
      String(RUNS),
      String(chance),
    ]);
    let out = '';
    let error = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (error += chunk));
    const timer =
      killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ done: out.includes('DONE'), error });
    });
  });
}

interface Result {
  parts: number[];
  charged: string[];
  shipped: string;
}

it('survives a storm of kills', async () => {
  const pool = `${folder}/pool`;
  const ledger = `${folder}/ledger`;
  let cut = 0;
  for (let life = 0; life < KILLED_LIVES; life += 1) {
    // The first two are as good as certain to end themselves; how many of the others do depends on
    // how quick the machine is.
    const chance = life < 2 ? 0.5 : life % 3 === 2 ? 0 : 0.1;
    const { done, error } = await live(
      pool,
      ledger,
      chance,
      chance === 0 ? 100 + Math.random() * 150 : undefined,
    );
    expect(error).toBe('');
    if (done) break;
    cut += 1;
  }
  expect(cut).toBeGreaterThanOrEqual(2);
  expect(await live(pool, ledger, 0)).toEqual({ done: true, error: '' });

  const lines = readFileSync(ledger, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '));
  const charges = lines.filter(([kind]) => kind === 'charge');
  const undos = lines.filter(([kind]) => kind === 'undo');
  const expected = Array.from({ length: RUNS }, (_, n) =>
    ['0', '1', '2', '3', 'shipping'].map((i) => `${n}/${i}`),
  ).flat();
  expect(charges.map(([, , about]) => about).sort()).toEqual(expected.sort());
  expect(new Set(charges.map(([, key]) => key)).size).toBe(expected.length);
  const undone = expected.filter(
    (about) => Number(about.split('/')[0]) % 3 === 0 && !about.endsWith('shipping'),
  );
  expect(undos.map(([, , about]) => about).sort()).toEqual(undone.sort());

  const opened = await open(pool);
  expect(opened.unknownOutcomes()).toEqual([]);
  expect([...opened.runs({ status: 'runnable' })]).toEqual([]);
  for (let n = 0; n < RUNS; n += 1) {
    const run = await opened.run(`order ${n}`);
    const keys = (about: string): string[] =>
      charges.filter((line) => line[2] === about).map((line) => line[1]!);
    expect(run.status).toBe('finished');
    const charged = [0, 1, 2, 3].flatMap((i) => keys(`${n}/${i}`));
    expect(run.result as Result).toMatchObject({
      parts: [0, 11, 22],
      charged,
      shipped: keys(`${n}/shipping`)[0],
    });
    const open = new Map<number, number>();
    for await (const entry of opened.journal(`order ${n}`)) {
      if (entry.kind === 'intent') open.set(entry.sequence, 0);
      if (entry.kind === 'receipt')
        open.set(entry.intent as number, open.get(entry.intent as number)! + 1);
    }
    expect([...open.values()].every((receipts) => receipts === 1)).toBe(true);
    const [newest] = opened.history(`order ${n}`, { reverse: true, limit: 1 });
    expect(opened.at(newest!.id)).toMatchObject({
      parts: [0, 11, 22],
      charged: [0, 1, 2, 3].map((i) => ({ about: `${n}/${i}` })),
    });
  }
  expect((await opened.check()).damages).toEqual([]);
  await opened.close();
});
