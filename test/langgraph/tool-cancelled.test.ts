/**
 * A graph that is cancelled, by its caller, by a time-out or since another node has failed: what of
 * a durableTool hears of it, and what is left for the next invocation.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { expect, it, test } from 'vitest';

import { openSync, type ToolContext } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-tool-cancelled');
const config = { configurable: { thread_id: 't' } };
const State = Annotation.Root({ paid: Annotation<unknown> });
let number = 0;

type Options = NonNullable<Parameters<typeof durableTool>[1]>;

/** A node that pays, and if `beside` is given another. */
function graphOf(
  pay: (context: ToolContext) => unknown,
  { beside, ...options }: Options & { beside?: () => Promise<never> } = {},
) {
  const pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
  const world = { calls: 0, ended: Promise.resolve() };
  const tool = durableTool(
    (_args: unknown, context) => {
      world.calls += 1;
      return pay(context);
    },
    { name: 'pay', ...options },
  );
  const builder = new StateGraph(State)
    .addNode('pay', async (_state, given) => {
      const paid = tool({ cents: 5 }, given);
      world.ended = paid.then(
        () => undefined,
        () => undefined,
      );
      return { paid: await paid };
    })
    .addNode('beside', async () => (await beside?.()) ?? {})
    .addEdge(START, 'pay')
    .addEdge(START, 'beside')
    .addEdge('pay', END)
    .addEdge('beside', END);
  return { pool, world, graph: builder.compile({ checkpointer: new HoldfastSaver(pool) }) };
}

/** As a request that hangs, and listens to its signal. */
function hanging({ signal }: ToolContext): unknown {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () =>
      reject(Object.assign(new Error('hung up'), { neverHappened: true })),
    );
  });
}

test.each(['signal', 'timeout', 'stepTimeout', 'another node'])(
  'what is called hears it, and is called again by the next invocation: %s',
  async (how) => {
    const beside = async (): Promise<never> => {
      if (how !== 'another node' || !hangs) return undefined as never;
      while (world.calls === 0) await pause(1);
      throw new Error('ill');
    };
    let hangs = true;
    const pay = (context: ToolContext): unknown => (hangs ? hanging(context) : 'paid');
    const { pool, world, graph } = graphOf(pay, { beside });
    if (how === 'stepTimeout') graph.stepTimeout = 200;
    const stop = new AbortController();
    const options = {
      signal: { signal: stop.signal },
      timeout: { timeout: 200 },
    }[how];
    const invoked = graph.invoke({}, { ...config, ...options });
    if (how === 'signal') {
      while (world.calls === 0) await pause(1);
      stop.abort();
    }
    await expect(invoked).rejects.toThrow();
    await world.ended;
    // On a busy machine the time may be over before it is called.
    const { calls } = world;
    expect(calls).toBeLessThan(2);
    graph.stepTimeout = undefined;
    hangs = false;
    expect(await graph.invoke(null, config)).toMatchObject({ paid: 'paid' });
    expect(world.calls).toBe(calls + 1);
    await pool.close();
  },
);

it('an effect that does not listen comes to its receipt though another node fails', async () => {
  let fails = true;
  const beside = async (): Promise<never> => {
    while (world.calls === 0) await pause(1);
    if (fails) throw new Error('ill');
    return undefined as never;
  };
  const { pool, world, graph } = graphOf(() => pause(50, 'paid'), { beside });
  await expect(graph.invoke({}, config)).rejects.toThrow('ill');
  fails = false;
  expect(await graph.invoke(null, config)).toMatchObject({ paid: 'paid' });
  expect(world.calls).toBe(1);
  expect(pool.unknownOutcomes()).toEqual([]);
  await pool.close();
});

it('no further attempt is begun', async () => {
  const stop = new AbortController();
  const fails = (): never => {
    stop.abort();
    throw new Error('busy');
  };
  const { pool, world, graph } = graphOf(fails, {
    safety: 'readOnly',
    retry: { attempts: 5, delay: 1e9 },
  });
  await expect(graph.invoke({}, { ...config, signal: stop.signal })).rejects.toThrow();
  await world.ended;
  expect(world.calls).toBe(1);
  await pool.close();
});

test.each(['graph', 'tool'])(
  'who waits for an earlier call is let go by the signal: %s',
  async (whose) => {
    const own = new AbortController();
    let end = (_how: string): void => {};
    const hangs = (): Promise<string> => new Promise((resolve) => (end = resolve));
    const stop = new AbortController();
    const { pool, world, graph } = graphOf(hangs, whose === 'tool' ? { signal: own.signal } : {});
    const first = graph.invoke({}, { ...config, signal: stop.signal });
    while (world.calls === 0) await pause(1);
    stop.abort();
    await expect(first).rejects.toThrow();
    const { ended } = world;
    const again = new AbortController();
    const second = graph.invoke(null, { ...config, signal: again.signal });
    while (world.ended === ended) await pause(1);
    if (whose === 'graph') {
      again.abort();
      await expect(second).rejects.toThrow();
    } else {
      // The tool's own signal cuts off the call as well.
      own.abort();
      await expect(second).rejects.toMatchObject({ code: 'ERR_HOLDFAST_ABORTED' });
    }
    await world.ended;
    end('paid');
    await ended;
    expect(world.calls).toBe(1);
    if (whose === 'graph') expect(await graph.invoke(null, config)).toMatchObject({ paid: 'paid' });
    expect(world.calls).toBe(1);
    await pool.close();
  },
);

test.each(['ends', 'fails'])(
  'of a pool that is closed meanwhile the call records nothing, and its effect is listed: it %s',
  async (how) => {
    let end = (): void => {};
    const hangs = (): Promise<string> =>
      new Promise((resolve, reject) => {
        end = () => (how === 'ends' ? resolve('paid') : reject(new Error('no money')));
      });
    const { pool, world, graph } = graphOf(hangs);
    // A pool that is closed says so; the tool's own error is not hidden by that.
    const refused = how === 'ends' ? { code: 'ERR_HOLDFAST_CLOSED' } : { message: 'no money' };
    const invoked = graph.invoke({}, { ...config, durability: 'sync' });
    const told = expect(invoked).rejects.toMatchObject(refused);
    while (world.calls === 0) await pause(1);
    await pool.close();
    end();
    await told;
    await world.ended;
    using again = openSync(pool.path);
    expect(again.unknownOutcomes()).toMatchObject([{ tool: 'pay', args: { cents: 5 } }]);
  },
);
