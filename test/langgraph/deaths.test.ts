/**
 * Programs of LangGraph that die at any call of the saver, and in the middle of any effect, again
 * and again: gone on with from what a kill leaves of the pool, they end as they do on MemorySaver
 * when nothing happens to them, and each effect of a durableTool is there once.
 *
 * A death is made in one process: what is dead gets no answer any more and has no effect, and the
 * pool's file is copied at that moment.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';

import { isBaseMessage } from '@langchain/core/messages';
import { type BaseCheckpointSaver, InMemoryStore, MemorySaver } from '@langchain/langgraph';
import { InMemoryCache } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { drive, type Durability } from './deaths/client';
import { longPrograms, type Program, programs, type World } from './deaths/programs';
import { durableTool, HoldfastCache, HoldfastSaver, HoldfastStore } from './modules';

const folder = scratchFolder('langgraph-deaths');
let number = 0;
const pathOf = (): string => join(folder, `${++number}.holdfast`);
const forever = new Promise<never>(() => {});

/** What has happened outside, by the effect's key; it outlives whoever dies. */
class Outside {
  readonly done = new Map<string, string>();
  readonly times = new Map<string, number>();

  perform(name: string, args: unknown, key: string): { did: string } {
    const what = `${name} ${JSON.stringify(args)}`;
    this.done.set(key, what);
    this.times.set(what, (this.times.get(what) ?? 0) + 1);
    return { did: what };
  }
}

/** A life of the process: dies at a moment that is numbered. */
class Life {
  readonly pool: Holdfast;
  readonly world: World;
  readonly died: Promise<void>;
  dead = false;
  moments = 0;
  /** The pool as the kill left it. */
  left = '';
  #tell!: () => void;

  constructor(
    path: string,
    private readonly outside: Outside,
    public diesAt: number,
  ) {
    this.died = new Promise((resolve) => (this.#tell = resolve));
    this.pool = openSync(path, { medium: 'file' });
    const methods = {
      saver: ['put', 'putWrites', 'getTuple', 'deleteThread'],
      store: ['batch'],
      cache: ['get', 'set'],
    };
    this.world = {
      checkpointer: this.#mortal(new HoldfastSaver(this.pool), methods.saver) as never,
      store: this.#mortal(new HoldfastStore(this.pool), methods.store) as never,
      cache: this.#mortal(new HoldfastCache(this.pool), methods.cache) as never,
      effect: (name) => this.#effect(name),
    };
  }

  /** Dies before a call, while it is under way, or behind it. */
  #mortal<T extends object>(target: T, names: readonly string[]): T {
    for (const name of names) {
      const method = Reflect.get(target, name) as (...given: unknown[]) => Promise<unknown>;
      Reflect.set(target, name, async (...given: unknown[]) => {
        if (this.#dies()) return forever;
        const under = method.apply(target, given);
        under.catch(() => {});
        await this.#moment();
        const answer = await under;
        await this.#moment();
        return answer;
      });
    }
    return target;
  }

  async #moment(): Promise<void> {
    if (this.#dies()) await forever;
  }

  #dies(): boolean {
    if (!this.dead && ++this.moments === this.diesAt) {
      this.left = pathOf();
      copyFileSync(this.pool.path, this.left);
      this.dead = true;
      this.#tell();
    }
    return this.dead;
  }

  #effect(name: string) {
    return durableTool(
      async (args: unknown, { idempotencyKey }) => {
        await this.#moment();
        const result = this.outside.perform(name, args, idempotencyKey);
        await this.#moment();
        return result;
      },
      {
        name,
        pool: this.pool,
        probe: async (key) => {
          await this.#moment();
          const did = this.outside.done.get(key);
          return did === undefined ? { happened: false } : { happened: true, result: { did } };
        },
      },
    );
  }
}

const times =
  /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\dT[\d:.]+Z/g;

function comparable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      isBaseMessage(part)
        ? [part.getType(), part.content, (part as { tool_calls?: unknown }).tool_calls]
        : part,
    ).replace(times, ''),
  );
}

interface End {
  readonly values: unknown;
  readonly history: unknown;
  readonly effects: unknown;
}

async function endOf({ graph }: Program, outside: Outside): Promise<End> {
  const config = { configurable: { thread_id: 't' } };
  const { values, tasks } = await graph.getState(config);
  expect(tasks).toEqual([]);
  const history = [];
  for await (const each of graph.getStateHistory(config))
    history.push([each.metadata?.source, each.metadata?.step, comparable(each.values)]);
  return { values: comparable(values), history, effects: [...outside.times].sort() };
}

async function undisturbed(build: (world: World) => Program, durability: Durability): Promise<End> {
  const outside = new Outside();
  let key = 0;
  const program = build({
    checkpointer: new MemorySaver(),
    store: new InMemoryStore(),
    cache: new InMemoryCache() as never,
    effect: (name) => {
      // The retried node's own guard stands in for the receipt.
      const receipts = new Map<string, unknown>();
      return async (args) => {
        const what = JSON.stringify(args);
        if (!receipts.has(what)) receipts.set(what, outside.perform(name, args, `${++key}`));
        return receipts.get(what);
      };
    },
  });
  await drive(program, 't', durability);
  return endOf(program, outside);
}

function randomOf(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

/** Gives how many deaths it died. */
async function disturbed(
  build: (world: World) => Program,
  durability: Durability,
  seed: number,
  moments: number,
): Promise<{ end: End; deaths: number }> {
  const random = randomOf(seed);
  const outside = new Outside();
  const pools: Holdfast[] = [];
  let path = pathOf();
  try {
    for (let deaths = 0; ; ++deaths) {
      // The last lives are left alone.
      const diesAt = deaths < 6 ? 1 + random(moments) : Infinity;
      const life = new Life(path, outside, diesAt);
      pools.push(life.pool);
      const program = build(life.world);
      const driving = drive(program, 't', durability);
      const ended = await Promise.race([driving.then(() => true), life.died.then(() => false)]);
      if (ended) {
        life.diesAt = Infinity;
        return { end: await endOf(program, outside), deaths };
      }
      path = life.left;
    }
  } finally {
    for (const pool of pools) pool.closeSync();
  }
}

const seeds = Number(process.env.HOLDFAST_SEEDS ?? 1);
const firstSeed = Number(process.env.HOLDFAST_SEED ?? 1);
const all = process.env.HOLDFAST_LONG ? { ...programs, ...longPrograms } : programs;

it.each(Object.entries(all))('%s', async (_name, build) => {
  for (const durability of ['sync', 'async', 'exit'] as const) {
    const wanted = await undisturbed(build, durability);
    for (let seed = firstSeed; seed < firstSeed + seeds; ++seed) {
      const { end, deaths } = await disturbed(build, durability, seed, 150);
      const about = `${durability}, seed ${seed}, ${deaths} deaths`;
      expect(end.values, about).toEqual(wanted.values);
      if (durability === 'exit') continue;
      expect(end.effects, about).toEqual(wanted.effects);
      if (durability === 'sync') expect(end.history, about).toEqual(wanted.history);
    }
  }
});
