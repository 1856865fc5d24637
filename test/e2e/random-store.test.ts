/**
 * All of the storage API at random, from several threads, in processes that close, leave or are
 * killed, on pools of every kind: what is read is what a model says, at every reopening, snapshot,
 * watcher, backup and reader (random-store/life.cjs). A pool follows from its seed, but for the
 * turns that threads take.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { probe } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';

const { random } = require('./random-store/model.cjs') as {
  random(text: string): (limit: number) => number;
};

const MiB = 2 ** 20;
const dist = path.join(import.meta.dirname, '../../dist');
const first = Number(process.env.HOLDFAST_SEED ?? 1);
const STORES = Number(process.env.HOLDFAST_STORES ?? 2);
const LIVES = Number(process.env.HOLDFAST_LIVES ?? 3);
const STEPS = Number(process.env.HOLDFAST_STEPS ?? 150);

interface Shape {
  readonly options: Record<string, unknown>;
  /** May refuse what it has no room for. */
  readonly tight?: boolean;
  /** Values of several MiB too. */
  readonly large?: boolean;
  readonly resizes?: boolean;
}

process.env.PMEM_IS_PMEM_FORCE = '1';
const pmem = probe('/dev/shm/holdfast-probe').builtWithPmem;
const files = scratchFolder('random-store');
const memory = pmem ? scratchFolder('random-store', '/dev/shm') : '';

function shapesIn(folder: string): Shape[] {
  if (folder === files)
    return [
      { options: { medium: 'file' }, resizes: true },
      { options: { medium: 'file', size: 64 * MiB }, resizes: true, tight: true },
      { options: { medium: 'file', size: 10 * MiB }, tight: true, large: false },
    ];
  const directories = ['a', 'b'].map((name) => path.join(folder, name));
  const grows = { medium: 'pmem', grow: true, size: 1024 * MiB };
  return [
    { options: { medium: 'pmem', size: 64 * MiB }, tight: true },
    { options: { medium: 'pmem', size: 32 * MiB }, tight: true, large: false },
    { options: grows },
    { options: { ...grows, directories } },
  ];
}

for (let seed = first; seed < first + STORES; ++seed) {
  const onMemory = pmem && seed % 2 === 1;
  it(`a store is what its model says (HOLDFAST_SEED=${seed}, HOLDFAST_STORES=1)`, () => {
    const folder = path.join(onMemory ? memory : files, String(seed));
    for (const name of ['a', 'b']) mkdirSync(path.join(folder, name), { recursive: true });
    const dice = random(`store ${seed}`);
    const pick = <T>(list: readonly T[]): T => list[dice(list.length)]!;
    const shape = pick(shapesIn(onMemory ? folder : files));
    const options = {
      ...shape.options,
      foldOperations: pick([undefined, 20, 200, 2000]),
      retain: pick([
        undefined,
        undefined,
        { bytes: 4 * MiB },
        { ms: 1000 },
        { ms: 1e5, bytes: MiB },
      ]),
      eventualWithin: pick([undefined, 1, 50]),
    };
    for (let life = 0; life < LIVES; ++life) {
      const steps = dice(2 * STEPS) + 1;
      const last = life === LIVES - 1;
      const kind = last ? 'close' : pick(['close', 'kill', 'kill', 'exit']);
      const settings = {
        ...{ ...shape, dist, seed, life, steps, options, path: `${folder}/pool` },
        ...{ notes: `${folder}/notes`, threads: dice(3) === 0 ? 2 : 0 },
        end: { kind, at: dice(steps), empty: last },
      };
      const script = path.join(import.meta.dirname, 'random-store/life.cjs');
      const { signal, status, stderr } = spawnSync(
        process.execPath,
        ['--expose-gc', script, JSON.stringify(settings)],
        { encoding: 'utf8' },
      );
      expect([seed, life, stderr]).toEqual([seed, life, '']);
      expect([seed, life, status, signal]).toEqual(
        kind === 'kill' ? [seed, life, null, 'SIGKILL'] : [seed, life, 0, null],
      );
    }
  });
}
