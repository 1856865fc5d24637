/**
 * What a durableTool gives when nothing is called again, and what becomes of its errors and
 * questions: those of the tool's own, and those that a ToolNode hands to a model.
 */
import { join } from 'node:path';

import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import {
  Annotation,
  Command,
  interrupt,
  MessagesAnnotation,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { expect, it, test } from 'vitest';

import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-tool-results');
const config = { configurable: { thread_id: 't' } };
const State = Annotation.Root({ told: Annotation<unknown> });
let number = 0;
const pathOf = (): string => join(folder, `${++number}.holdfast`);

type Tool = ReturnType<typeof durableTool<unknown, unknown>>;

/** A node that calls the tool and asks; `seen` is what it got. */
function graphOf(pool: Holdfast, call: Tool, seen: unknown[]) {
  return new StateGraph(State)
    .addNode('node', async (_state, given) => {
      seen.push(await call(1, given));
      return { told: interrupt('go on?') };
    })
    .addEdge(START, 'node')
    .compile({ checkpointer: new HoldfastSaver(pool) });
}

const said = () =>
  new AIMessage({
    id: 'a',
    content: 'hello',
    tool_calls: [{ id: 'c', name: 't', args: { n: 1 } }],
  });

test.each([
  ['a message', said],
  ['messages in other things', () => ({ all: [said(), new HumanMessage('yes')], n: 1 })],
  ['a map of messages', () => new Map([['a', said()]])],
])('in another process it gives what it gave in this: %s', async (_what, make) => {
  const path = pathOf();
  const seen: unknown[] = [];
  let calls = 0;
  const model = durableTool(() => ((calls += 1), make()) as unknown, { name: 'model' });
  for (const input of [{}, new Command({ resume: 'yes' })]) {
    using pool = openSync(path, { medium: 'file' });
    await graphOf(pool, model, seen).invoke(input, config);
  }
  expect(calls).toBe(1);
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[1]).toEqual(make());
});

it('so does an answer of the probe, and of pool.resolve', async () => {
  for (const how of ['probe', 'resolve']) {
    using pool = openSync(pathOf(), { medium: 'file' });
    const seen: unknown[] = [];
    const fails = (): unknown => {
      throw new Error('cut off');
    };
    const probe = () => ({ happened: true, result: said() });
    const model = durableTool(fails, { name: 'model', ...(how === 'probe' && { probe }) });
    const graph = graphOf(pool, model, seen);
    await expect(graph.invoke({}, config)).rejects.toThrow('cut off');
    const [open] = pool.unknownOutcomes();
    if (how === 'resolve')
      await pool.resolve(open!.id, { value: JSON.parse(JSON.stringify(said())) as unknown });
    await graph.invoke(null, config);
    expect(seen).toEqual([said()]);
  }
});

it('an interrupt within it is no attempt that failed: it goes through, and is met again', async () => {
  using pool = openSync(pathOf(), { medium: 'file' });
  const seen: unknown[] = [];
  let calls = 0;
  const asks = durableTool(
    () => {
      calls += 1;
      return `paid: ${String(interrupt('sure?'))}`;
    },
    { name: 'asks', safety: 'idempotent', retry: { attempts: 5, delay: 1e9 } },
  );
  const graph = graphOf(pool, asks as Tool, seen);
  const asked = await graph.invoke({}, config);
  expect(asked).toMatchObject({ __interrupt__: [{ value: 'sure?' }] });
  expect(calls).toBe(1);
  await graph.invoke(new Command({ resume: 'yes' }), config);
  expect(calls).toBe(2);
  expect(seen).toEqual(['paid: yes']);
});

/** A model that calls `pay` again, under another id, whenever it is told of an error. */
function agentOf(pool: Holdfast, asksHuman: boolean, handleToolErrors: boolean) {
  const world = { calls: 0 };
  const charge = durableTool(
    () => {
      world.calls += 1;
      throw new Error('no answer from the bank');
    },
    { name: 'charge' },
  );
  const pay = tool(
    async (args: { cents: number }, given) => {
      try {
        return String(await charge(args, given));
      } catch (error) {
        while (asksHuman) interrupt((error as Error).message);
        throw error;
      }
    },
    {
      name: 'pay',
      description: 'pays',
      schema: { type: 'object', properties: { cents: { type: 'number' } } } as never,
    },
  );
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('model', ({ messages }) => {
      const last = messages.at(-1);
      const done = last instanceof ToolMessage && last.status !== 'error';
      const again = { id: `c${messages.length}`, name: 'pay', args: { cents: 5 } };
      const tool_calls = done || messages.length > 4 ? [] : [again];
      return { messages: [new AIMessage({ content: '', tool_calls })] };
    })
    .addNode('tools', new ToolNode([pay], { handleToolErrors }))
    .addEdge(START, 'model')
    .addConditionalEdges('model', ({ messages }) =>
      (messages.at(-1) as AIMessage).tool_calls?.length ? 'tools' : '__end__',
    )
    .addEdge('tools', 'model')
    .compile({ checkpointer: new HoldfastSaver(pool) });
  return { graph, world };
}
const input = { messages: [new HumanMessage('pay')] };

it('of a ToolNode that stops at errors nothing is called again under another id', async () => {
  using pool = openSync(pathOf(), { medium: 'file' });
  const { graph, world } = agentOf(pool, false, false);
  await expect(graph.invoke(input, config)).rejects.toThrow('no answer');
  const unknown = { code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN' };
  await expect(graph.invoke(null, config)).rejects.toMatchObject(unknown);
  expect(world.calls).toBe(1);
});

it('a human who is asked goes through every ToolNode, until the outcome is known', async () => {
  using pool = openSync(pathOf(), { medium: 'file' });
  const { graph, world } = agentOf(pool, true, true);
  expect(await graph.invoke(input, config)).toMatchObject({
    __interrupt__: [{ value: 'no answer from the bank' }],
  });
  // Resumed too early: it is still unknown.
  expect(await graph.invoke(new Command({ resume: 'go on' }), config)).toHaveProperty(
    '__interrupt__',
  );
  const [open] = pool.unknownOutcomes();
  await pool.resolve(open!.id, { value: 'paid' });
  const { messages } = await graph.invoke(new Command({ resume: 'go on' }), config);
  expect(messages.find((one) => one instanceof ToolMessage)?.content).toBe('paid');
  expect(world.calls).toBe(1);
});
