/**
 * Runs with everything in them, killed again and again, in the middle of effects too: nothing lost,
 * nothing repeated, all undone that was to be.
 */
import { readFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { live } from './lives';

const folder = scratchFolder('storm-of-runs');
const RUNS = 8;
const KILLED_LIVES = Number(process.env.HOLDFAST_LIVES ?? 30);

interface Result {
  parts: number[];
  charged: string[];
  shipped: string;
}

it('survives a storm of kills', async () => {
  const pool = `${folder}/pool`;
  const ledger = `${folder}/ledger`;
  const life = (chance: number, killAfter?: number): Promise<string> =>
    live('storm-of-runs.cjs', [pool, ledger, String(RUNS), String(chance)], killAfter);
  let cut = 0;
  for (let lives = 0; lives < KILLED_LIVES; lives += 1) {
    // The first two are as good as certain to end themselves; how many of the others do depends on
    // how quick the machine is.
    const chance = lives < 2 ? 0.5 : lives % 3 === 2 ? 0 : 0.1;
    const said = await life(chance, chance === 0 ? 100 + Math.random() * 150 : undefined);
    if (said.includes('DONE')) break;
    cut += 1;
  }
  expect(cut).toBeGreaterThanOrEqual(2);
  expect(await life(0)).toContain('DONE');

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
