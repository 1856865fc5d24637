/**
 * Calls of a durableTool that are made again while the first is still under way: LangGraph leaves
 * what an interrupted or failed node has begun beside to end by itself, and whoever answers quickly
 * runs the node again meanwhile.
 */
import { join } from 'node:path';

import { Annotation, Command, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-tool-again');
const config = { configurable: { thread_id: 't' } };
const State = Annotation.Root({ paid: Annotation<unknown>, answer: Annotation<unknown> });

interface World {
  /** Ends the first call. */
  end: (how: 'paid' | Error) => void;
  calls: number;
  /** Of the first call. */
  signal: AbortSignal | undefined;
}

/** One node that pays and asks, side by side. */
function worldOf(name: string, options: { signal?: AbortSignal } = {}) {
  const pool = openSync(join(folder, name), { medium: 'file' });
  const world: World = { end: () => {}, calls: 0, signal: undefined };
  const pay = durableTool(
    async (_args, { signal }) => {
      world.calls += 1;
      world.signal ??= signal;
      if (world.calls > 1) return 'paid again';
      return new Promise<string>((resolve, reject) => {
        world.end = (how) => (how === 'paid' ? resolve(how) : reject(how));
      });
    },
    { name: 'pay', safety: 'idempotent', pool, ...options },
  );
  const graph = new StateGraph(State)
    .addNode('both', async (_state, given) => {
      const asked = async (): Promise<unknown> => {
        while (world.calls === 0) await new Promise(setImmediate);
        return interrupt('really?');
      };
      const [paid, answer] = await Promise.all([pay({ cents: 5 }, given), asked()]);
      return { paid, answer };
    })
    .addEdge(START, 'both')
    .addEdge('both', END)
    .compile({ checkpointer: new HoldfastSaver(pool) });
  return { pool, world, graph };
}

it('the effect is made once, and who comes behind it gets its result', async () => {
  const { pool, world, graph } = worldOf('once');
  await graph.invoke({}, config);
  const resumed = graph.invoke(new Command({ resume: 'yes' }), config);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(world.calls).toBe(1);
  world.end('paid');
  expect(await resumed).toMatchObject({ paid: 'paid', answer: 'yes' });
  expect(world.calls).toBe(1);
  expect(pool.unknownOutcomes()).toEqual([]);
  await pool.close();
});

it('where the first fails the next goes on as if it had been made behind it', async () => {
  const { pool, world, graph } = worldOf('fails');
  await graph.invoke({}, config);
  const resumed = graph.invoke(new Command({ resume: 'yes' }), config);
  await new Promise((resolve) => setTimeout(resolve, 30));
  world.end(new Error('no money'));
  expect(await resumed).toMatchObject({ paid: 'paid again', answer: 'yes' });
  expect(world.calls).toBe(2);
  await pool.close();
});

it('of a graph that is cancelled the effect ends by itself, and the next invocation gets its result', async () => {
  const { pool, world, graph } = worldOf('cancelled');
  const stop = new AbortController();
  const first = graph.invoke({}, { ...config, signal: stop.signal });
  while (world.calls === 0) await new Promise(setImmediate);
  stop.abort();
  expect(world.signal?.aborted).toBe(true);
  await expect(first).rejects.toThrow();
  await graph.invoke(null, config);
  const resumed = graph.invoke(new Command({ resume: 'yes' }), config);
  world.end('paid');
  expect(await resumed).toMatchObject({ paid: 'paid', answer: 'yes' });
  expect(world.calls).toBe(1);
  expect(pool.unknownOutcomes()).toEqual([]);
  await pool.close();
});
