/** Threads are moved from another saver as docs/langgraph.md says, and go on as they would have. */
import { join } from 'node:path';

import { type BaseMessage, HumanMessage } from '@langchain/core/messages';
import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  interrupt,
  MemorySaver,
  messagesStateReducer,
  Send,
  START,
  StateGraph,
} from '@langchain/langgraph';
import type { CheckpointTuple, PendingWrite } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-moving');

async function move(
  from: BaseCheckpointSaver,
  to: InstanceType<typeof HoldfastSaver>,
  thread_id: string,
) {
  const tuples: CheckpointTuple[] = [];
  for await (const tuple of from.list({ configurable: { thread_id } })) tuples.unshift(tuple);
  for (const { config, parentConfig, checkpoint, metadata, pendingWrites = [] } of tuples) {
    const { checkpoint_ns } = config.configurable!;
    const parent = { configurable: { ...parentConfig?.configurable, thread_id, checkpoint_ns } };
    const put = await to.put(parent, checkpoint, metadata!, checkpoint.channel_versions);
    const tasks = new Map<string, PendingWrite[]>();
    for (const [task, channel, value] of pendingWrites)
      tasks.set(task, [...(tasks.get(task) ?? []), [channel, value]]);
    let place = 1000;
    for (const [task, writes] of tasks) await to.putWrites(put, writes, task, `${++place}`);
  }
}

const State = Annotation.Root({
  messages: Annotation<BaseMessage[]>({ reducer: messagesStateReducer, default: () => [] }),
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

function graphOn(checkpointer: BaseCheckpointSaver) {
  const inner = new StateGraph(State)
    .addNode('ask', () => ({ log: [`answered ${JSON.stringify(interrupt('well?'))}`] }))
    .addEdge(START, 'ask')
    .compile();
  return new StateGraph(State)
    .addNode('say', ({ log }) => ({
      messages: [new HumanMessage({ id: `m${log.length}`, content: 'word '.repeat(500) })],
      log: ['said'],
    }))
    .addNode('part', ({ log }) => ({ log: [`part of ${log.length}`] }))
    .addNode('inner', inner)
    .addEdge(START, 'say')
    .addConditionalEdges('say', ({ log }) => [1, 2].map(() => new Send('part', { log })), ['part'])
    .addEdge('say', 'inner')
    .compile({ checkpointer });
}

it('with their history, what tasks wrote, subgraphs and open questions', async () => {
  using pool = openSync(join(folder, 'moving.holdfast'), { medium: 'file' });
  const from = new MemorySaver();
  const to = new HoldfastSaver(pool);
  const config = { configurable: { thread_id: 't' } };
  const before = graphOn(from);
  await before.invoke({ log: ['begun'] }, config);
  await before.invoke(new Command({ resume: 'first' }), config);
  await before.invoke({ log: ['again'] }, config);
  await move(from, to, 't');
  const seen = async (graph: ReturnType<typeof graphOn>) => {
    const history = [];
    for await (const state of graph.getStateHistory(config)) history.push(state);
    return JSON.parse(JSON.stringify([history, await graph.getState(config, { subgraphs: true })]));
  };
  const after = graphOn(to as unknown as BaseCheckpointSaver);
  expect(await seen(after)).toEqual(await seen(before));
  const go = new Command({ resume: 'second' });
  const [ended, wanted] = [await after.invoke(go, config), await before.invoke(go, config)];
  expect(JSON.stringify(ended)).toBe(JSON.stringify(wanted));
  expect(ended.log).toContain('answered "second"');
});
