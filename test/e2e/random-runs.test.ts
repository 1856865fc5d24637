/**
 * All of durable runs at random, in pools whose handles and processes die at any moment: each life
 * of a pool ends at a commit, before it or behind it, or in the middle of what is outside
 * (random-runs/deaths.ts). What the code of a run is told, what happens outside and what is left is
 * compared with a model of it (random-runs/world.ts). Pools follow from their seed, but for the
 * turns that timers take.
 */
import { inspect } from 'node:util';

import { afterEach, expect, it } from 'vitest';

import { open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { rightClock } from './random-runs/clock';
import { judge } from './random-runs/judge';
import { Life } from './random-runs/life';
import { random } from './random-runs/programs';
import { World } from './random-runs/world';

const folder = scratchFolder('random-runs');
afterEach(rightClock);
const first = Number(process.env.HOLDFAST_SEED ?? 1);
const POOLS = Number(process.env.HOLDFAST_POOLS ?? 12);
const LIVES = Number(process.env.HOLDFAST_LIVES ?? 25);
const RUNS = Number(process.env.HOLDFAST_RUNS ?? 5);

/** What is known of the runs that the problems are about. */
async function tell(path: string, world: World): Promise<void> {
  await using pool = await open(path);
  const ids = [...world.told.keys()].filter((id) =>
    world.problems.some((one) => one.includes(`'${id}'`)),
  );
  console.log(world.log.slice(-400).join('\n'));
  for (const id of ids)
    for await (const entry of pool.journal(id))
      console.log(id, inspect(entry, { breakLength: Infinity, depth: 3 }));
}

for (let number = first; number < first + POOLS; ++number) {
  it(`runs are what their model says (HOLDFAST_SEED=${number}, HOLDFAST_POOLS=1)`, async () => {
    const seed = String(number);
    const path = `${folder}/${seed}`;
    const world = new World(random(`${seed} world`));
    for (let life = 0; life <= LIVES; ++life) {
      world.generation = Math.floor((3 * life) / LIVES);
      const patience =
        life === LIVES ? Number(process.env.HOLDFAST_PATIENCE ?? 300_000) : undefined;
      const one = new Life(world, { path, seed, life, runs: RUNS, patience });
      const done = await one.live();
      if (world.problems.length > 0) await tell(path, world);
      expect([seed, life, world.problems]).toEqual([seed, life, []]);
      if (done) break;
      expect([life, 'unfinished']).not.toEqual([LIVES, 'unfinished']);
    }
    rightClock();
    await using pool = await open(path);
    expect(pool.unknownOutcomes()).toEqual([]);
    expect([...pool.runs({ status: 'runnable' })]).toEqual([]);
    const ids = [...pool.runs()].map(({ id }) => id);
    for (const id of ids)
      await judge(pool, id, world, seed).catch((error: unknown) => {
        console.log(world.log.filter((line) => line.includes(id)).join('\n'));
        throw error;
      });
    expect((await pool.check()).damages).toEqual([]);
  });
}
