/**
 * `HoldfastSaver.prune`: what stays can be loaded and continued from, the space of the rest comes
 * back, whoever saves meanwhile.
 */
import { join } from 'node:path';

import { HumanMessage } from '@langchain/core/messages';
import {
  Annotation,
  type BaseCheckpointSaver,
  END,
  interrupt,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { codeOf } from '../unit/support/media';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-prune');
let number = 0;
const nextPath = (): string => join(folder, `${++number}.holdfast`);
type Saver = InstanceType<typeof HoldfastSaver>;
type Put = Parameters<Saver['put']>;

const State = Annotation.Root({
  messages: Annotation<unknown[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

function chatOn(saver: Saver, onStep: (length: number) => void | Promise<void> = () => {}) {
  return new StateGraph(State)
    .addNode('say', async ({ messages }) => {
      await onStep(messages.length);
      return {
        messages: [
          new HumanMessage({
            content: `${messages.length} `.repeat(500),
            id: `m${messages.length}`,
          }),
        ],
      };
    })
    .addEdge(START, 'say')
    .addConditionalEdges('say', ({ messages }) => (messages.length % 20 === 0 ? END : 'say'))
    .compile({ checkpointer: saver as unknown as BaseCheckpointSaver });
}

function put(
  saver: Saver,
  id: string,
  parent: string | undefined,
  values: object,
  rest: { namespace?: string; metadata?: object } = {},
) {
  const configurable = {
    thread_id: 't',
    checkpoint_ns: rest.namespace ?? '',
    ...(parent === undefined ? {} : { checkpoint_id: parent }),
  };
  const versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, 1]));
  const checkpoint = {
    ...emptyCheckpoint(),
    id,
    channel_values: values,
    channel_versions: versions,
  };
  return saver.put(
    { configurable },
    checkpoint as Put[1],
    { source: 'loop', step: 1, parents: {}, ...rest.metadata },
    versions,
  );
}

async function idsOf(saver: Saver, namespace?: string): Promise<string[]> {
  const ids: string[] = [];
  const configurable = {
    thread_id: 't',
    ...(namespace === undefined ? {} : { checkpoint_ns: namespace }),
  };
  for await (const { checkpoint } of saver.list({ configurable })) ids.push(checkpoint.id);
  return ids;
}

const counted = (pool: Holdfast): number[] =>
  ['langgraph.checkpoints', 'langgraph.writes', 'pages'].map((name) =>
    pool.keyspace(`holdfast.${name}`, { key: 'bytes', value: 'bytes' }).count(),
  );

it('keeps the newest, gives the space of the others back, and the thread goes on, here and after reopening', async () => {
  const path = nextPath();
  const config = {
    configurable: { thread_id: 't' },
    durability: 'sync' as const,
    recursionLimit: 100,
  };
  let state: unknown;
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = new HoldfastSaver(pool);
    const graph = chatOn(saver);
    // Each text changes all the time, so the checkpoints share little.
    const ids = Array.from({ length: 60 }, (_, k) => uuid6(k));
    for (const [k, id] of ids.entries())
      await put(saver, id, ids[k - 1], { messages: [`${k} `.repeat(9000)] });
    await graph.invoke({ messages: ['begun'] }, config);
    ({ values: state } = await graph.getState(config));
    const others = { configurable: { thread_id: 'other' }, durability: 'sync' as const };
    const other = await graph.invoke({ messages: ['x'] }, others);
    await pool.compact();
    const full = pool.stats().liveBytes;
    const all = await idsOf(saver);
    const report = await saver.prune('t', { keepLast: 3 });
    expect(report).toMatchObject({ removed: all.length - 3, kept: 3 });
    await pool.compact();
    expect(full - pool.stats().liveBytes).toBeGreaterThan(0.9 * report.freedBytes);
    expect(pool.stats().liveBytes).toBeLessThan(full / 4);
    expect(await idsOf(saver)).toEqual(all.slice(0, 3));
    expect((await graph.getState(config)).values).toEqual(state);
    expect((await graph.getState(others)).values).toEqual(other);
    expect(
      await saver.getTuple({ configurable: { thread_id: 't', checkpoint_id: all[3]! } }),
    ).toBeUndefined();
    expect(await saver.prune('t', { keepLast: 3 })).toEqual({ removed: 0, kept: 3, freedBytes: 0 });
    expect(await saver.prune('nobody')).toEqual({ removed: 0, kept: 0, freedBytes: 0 });
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool);
  const graph = chatOn(saver);
  expect((await graph.getState(config)).values).toEqual(state);
  const { messages } = (await graph.invoke({ messages: ['again'] }, config)) as {
    messages: unknown[];
  };
  expect(messages.length % 20).toBe(0);
  expect(await saver.prune('t')).toMatchObject({ kept: 1 });
  expect(((await graph.getState(config)).values as { messages: unknown[] }).messages).toEqual(
    messages,
  );
  expect((await pool.check()).damages).toEqual([]);
  await saver.deleteThread('t');
  await saver.deleteThread('other');
  expect(counted(pool)).toEqual([0, 0, 0]);
});

it('may be done at any step of a running thread', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  using beside = openSync(pool.path);
  const saver = new HoldfastSaver(pool);
  const pruner = new HoldfastSaver(beside);
  const beneath: Promise<unknown>[] = [];
  const graph = chatOn(
    saver,
    async (length) =>
      void (length % 3 === 0
        ? await pruner.prune('t')
        : beneath.push(pruner.prune('t', { keepLast: 2 }))),
  );
  const config = {
    configurable: { thread_id: 't' },
    durability: 'sync' as const,
    recursionLimit: 100,
  };
  for (let turn = 0; turn < 3; ++turn) await graph.invoke({ messages: ['turn'] }, config);
  await Promise.all(beneath);
  await pruner.prune('t');
  const { messages } = (await chatOn(pruner).getState(config)).values as {
    messages: { id?: string }[];
  };
  expect(messages).toHaveLength(60);
  expect(messages.map((each) => (typeof each === 'string' ? each : each.id))).toEqual(
    Array.from({ length: 60 }, (_, k) => (k % 20 === 0 ? 'turn' : `m${k}`)),
  );
});

it('a checkpoint laid on one that another pruned meanwhile is saved whole, as it was when it was handed over', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  using beside = openSync(pool.path);
  const saver = new HoldfastSaver(pool);
  const other = new HoldfastSaver(beside);
  const list: string[] = Array.from({ length: 50 }, (_, k) => `${k} `.repeat(400));
  const ids = Array.from({ length: 6 }, (_, k) => uuid6(k));
  await put(saver, ids[0]!, undefined, { list });
  await put(saver, ids[1]!, ids[0], { list });
  await put(other, ids[2]!, ids[1], { list: [...list.slice(1), 'other'] });
  expect(await other.prune('t')).toMatchObject({ removed: 2, kept: 1 });
  list[7] = 'changed';
  const was = list.slice();
  const saving = put(saver, ids[3]!, ids[1], { list });
  list[8] = 'too late';
  await saving;
  for (const each of [saver, other]) {
    expect(
      (await each.getTuple({ configurable: { thread_id: 't' } }))!.checkpoint.channel_values,
    ).toEqual({ list: was });
  }
  await other.prune('t');
  await put(saver, ids[4]!, ids[3], { list });
  expect(
    (await other.getTuple({ configurable: { thread_id: 't' } }))!.checkpoint.channel_values,
  ).toEqual({ list });
});

it('olderThan goes by the time in the ids, or by what the checkpoint says', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  const saver = new HoldfastSaver(pool);
  for (const [k, id] of ['a', 'b', uuid6(1), uuid6(2)].entries())
    await put(saver, id, undefined, { k });
  expect(await saver.prune('t', { olderThan: 60_000 })).toMatchObject({ removed: 0, kept: 4 });
  expect(
    await saver.prune('t', { olderThan: new Date(Date.now() + 60_000), keepLast: 2 }),
  ).toMatchObject({ removed: 2, kept: 2 });
  expect(await idsOf(saver)).toEqual(['b', 'a']);
});

it('keeps what delta channels are loaded from', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  const saver = new HoldfastSaver(pool);
  const delta = { metadata: { counters_since_delta_snapshot: { log: [1, 1] } } };
  const ids = Array.from({ length: 7 }, (_, k) => uuid6(k));
  for (const [k, id] of ids.entries()) {
    // The snapshot is at 2.
    await put(
      saver,
      id,
      ids[k - 1],
      k === 2 ? { log: ['all until here'] } : { other: k },
      k > 2 ? delta : {},
    );
    await saver.putWrites(
      { configurable: { thread_id: 't', checkpoint_ns: '', checkpoint_id: id } },
      [['log', `write ${k}`]],
      'task',
    );
  }
  const asked = {
    config: { configurable: { thread_id: 't', checkpoint_ns: '' } },
    channels: ['log'],
  };
  const history = await saver.getDeltaChannelHistory(asked);
  expect(history.log).toMatchObject({
    seed: ['all until here'],
    writes: [2, 3, 4, 5].map((k) => ['task', 'log', `write ${k}`]),
  });
  expect(await saver.prune('t')).toMatchObject({ removed: 2, kept: 5 });
  expect(await saver.getDeltaChannelHistory(asked)).toEqual(history);
});

it("a subgraph's call stays with the checkpoint it was made from; a subgraph that remembers keeps its newest", async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  const saver = new HoldfastSaver(pool);
  const ids = Array.from({ length: 4 }, (_, k) => uuid6(k));
  for (const [k, id] of ids.entries()) {
    await put(saver, id, ids[k - 1], { k });
    const metadata = { parents: { '': id } };
    for (const inner of [uuid6(10 + k), uuid6(20 + k)])
      await put(saver, inner, undefined, { inner }, { namespace: `node:task-${k}`, metadata });
    await put(saver, uuid6(30 + k), undefined, { k }, { namespace: 'remembers', metadata });
  }
  expect(await saver.prune('t')).toMatchObject({ kept: 3 });
  expect(await idsOf(saver, '')).toEqual([ids[3]]);
  for (const k of [0, 1, 2]) expect(await idsOf(saver, `node:task-${k}`)).toEqual([]);
  expect(await idsOf(saver, 'node:task-3')).toHaveLength(1);
  expect(await idsOf(saver, 'remembers')).toHaveLength(1);
});

it('what waits in a subgraph is resumed after a prune', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  const saver = new HoldfastSaver(pool);
  const inner = new StateGraph(State)
    .addNode('one', () => ({ messages: ['inner one'] }))
    .addNode('ask', () => ({ messages: [`inner got ${interrupt('?')}`] }))
    .addEdge(START, 'one')
    .addEdge('one', 'ask')
    .compile();
  const graph = new StateGraph(State)
    .addNode('outer', () => ({ messages: ['outer'] }))
    .addNode('inner', inner)
    .addEdge(START, 'outer')
    .addEdge('outer', 'inner')
    .compile({ checkpointer: saver as unknown as BaseCheckpointSaver });
  const config = { configurable: { thread_id: 't' } };
  await graph.invoke({ messages: [] }, config);
  expect((await saver.prune('t')).removed).toBeGreaterThan(1);
  const { Command } = await import('@langchain/langgraph');
  const { messages } = await graph.invoke(new Command({ resume: 'word' }), config);
  expect(messages).toEqual(['outer', 'outer', 'inner one', 'inner got word']);
});

it('refuses what it cannot understand', async () => {
  using pool = openSync(nextPath(), { medium: 'file' });
  const saver = new HoldfastSaver(pool);
  for (const bad of [{ keepLast: -1 }, { keepLast: 1.5 }])
    expect(await codeOf(() => saver.prune('t', bad))).toBe('ERR_HOLDFAST_OUT_OF_RANGE');
  for (const bad of [
    null,
    5,
    { keepLast: '1' },
    { olderThan: new Date(NaN) },
    { olderThan: 'yesterday' },
  ]) {
    expect(await codeOf(() => saver.prune('t', bad as never))).toBe(
      'ERR_HOLDFAST_INVALID_ARGUMENT',
    );
  }
  expect(await codeOf(() => saver.prune('' as string))).toBe('ERR_HOLDFAST_INVALID_ARGUMENT');
});
