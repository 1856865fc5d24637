/** The saver under LangGraph's own runtime, and what a growing state costs. */
import { join } from 'node:path';

import { AIMessage, BaseMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  END,
  interrupt,
  MessagesAnnotation,
  Send,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { describe, expect, it } from 'vitest';

import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph');
let number = 0;

function openPool(path = join(folder, `${++number}.holdfast`)): Holdfast {
  return openSync(path, { medium: 'file' });
}

function saverOn(pool: Holdfast): BaseCheckpointSaver {
  return new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
}

function textOf(length: number, seed: number): string {
  let text = '';
  for (let i = 0; text.length < length; ++i) text += `${(seed * 7919 + i * 104729) % 1000003} `;
  return text.slice(0, length);
}

async function tuplesOf(saver: BaseCheckpointSaver, before: object) {
  const found = [];
  for await (const tuple of saver.list({ configurable: { thread_id: 't' } }, { before }))
    found.push(tuple);
  return found;
}

const meta = { source: 'loop', step: 1, parents: {} } as const;

describe('a list of messages that grows by 2 KiB a step, over 500 steps', () => {
  for (const kind of ['plain objects', 'messages of LangChain'] as const) {
    it(`${kind}: the bytes written per step do not grow`, async () => {
      using pool = openPool();
      const saver = saverOn(pool);
      const make = (k: number): unknown =>
        kind === 'plain objects'
          ? { role: 'user', content: textOf(2000, k), id: `m${k}` }
          : k % 2 === 0
            ? new HumanMessage({ content: textOf(2000, k), id: `m${k}` })
            : new AIMessage({
                content: textOf(2000, k),
                id: `m${k}`,
                tool_calls: [{ id: `c${k}`, name: 'look', args: { k } }],
              });
      let config: object = { configurable: { thread_id: 't', checkpoint_ns: '' } };
      const messages: unknown[] = [];
      const costs: number[] = [];
      for (let k = 0; k < 500; ++k) {
        messages.push(make(k));
        const checkpoint = {
          ...emptyCheckpoint(),
          id: uuid6(k),
          channel_values: { messages: messages.slice() },
          channel_versions: { messages: k + 1 },
        };
        const before = pool.stats().bytesAppended;
        config = await saver.put(config, checkpoint, { ...meta, step: k }, { messages: k + 1 });
        costs.push(pool.stats().bytesAppended - before);
      }
      const mean = (list: number[]): number => list.reduce((sum, cost) => sum + cost) / list.length;
      expect(mean(costs.slice(-50))).toBeLessThanOrEqual(1.2 * mean(costs.slice(50, 100)));
      expect(mean(costs.slice(-50))).toBeLessThan(4096);
      const tuple = await saver.getTuple({ configurable: { thread_id: 't' } });
      const found = tuple!.checkpoint.channel_values.messages as unknown[];
      expect(found).toEqual(messages);
      if (kind !== 'plain objects') expect(found[3]).toBeInstanceOf(AIMessage);
    });
  }

  it('one that was changed in place is noticed, wherever it is', async () => {
    using pool = openPool();
    const saver = saverOn(pool);
    const messages = Array.from(
      { length: 50 },
      (_, k) => new HumanMessage({ content: textOf(500, k), id: `m${k}` }),
    );
    let config: object = { configurable: { thread_id: 't', checkpoint_ns: '' } };
    const changes: (() => void)[] = [
      () => {},
      () => void (messages[7]!.content = 'other words'),
      () => void (messages[8]!.additional_kwargs.note = { deep: [1, 2, 3] }),
      () => void ((messages[8]!.additional_kwargs.note as { deep: number[] }).deep[1] = 9),
      () => void (messages[49]!.response_metadata = { model: 'scripted' }),
      () => void messages.splice(3, 1),
      () => void messages.unshift(new HumanMessage({ content: 'first', id: 'first' })),
    ];
    for (const [k, change] of changes.entries()) {
      change();
      const checkpoint = {
        ...emptyCheckpoint(),
        id: uuid6(k),
        channel_values: { messages },
        channel_versions: { messages: k + 1 },
      };
      config = await saver.put(config, checkpoint, meta, { messages: k + 1 });
      const tuple = await saver.getTuple(config);
      expect(JSON.stringify(tuple!.checkpoint.channel_values.messages)).toBe(
        JSON.stringify(messages),
      );
    }
  });
});

it('what a task wrote is stored once, also as part of the state that takes it up', async () => {
  for (const change of [
    () => {},
    (message: HumanMessage) => void (message.additional_kwargs.seen = true),
  ]) {
    const path = join(folder, `${++number}.holdfast`);
    const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
    const message = new HumanMessage({ content: textOf(20_000, 1), id: 'm' });
    const was = JSON.stringify(message);
    let config: object;
    {
      using pool = openPool(path);
      const saver = saverOn(pool);
      const parent = await saver.put(start, { ...emptyCheckpoint(), id: uuid6(1) }, meta, {});
      const before = pool.stats().bytesAppended;
      const writing = saver.putWrites(parent as never, [['messages', [message]]], 'task');
      change(message);
      const checkpoint = {
        ...emptyCheckpoint(),
        id: uuid6(2),
        channel_values: { messages: [message] },
        channel_versions: { messages: 1 },
      };
      config = await saver.put(parent, checkpoint, meta, { messages: 1 });
      await writing;
      expect(pool.stats().bytesAppended - before).toBeLessThan(24_000);
    }
    using pool = openPool(path);
    const [first] = await tuplesOf(saverOn(pool), config);
    expect(JSON.stringify((first!.pendingWrites![0]![2] as unknown[])[0])).toBe(was);
    const tuple = await saverOn(pool).getTuple(config as never);
    expect(JSON.stringify((tuple!.checkpoint.channel_values.messages as unknown[])[0])).toBe(
      JSON.stringify(message),
    );
    // What they share stays as long as one of them.
    const saver = new HoldfastSaver(pool);
    expect(await saver.prune('t')).toMatchObject({ removed: 1, kept: 1 });
    expect(
      JSON.stringify((await saver.getTuple(config as never))!.checkpoint.channel_values.messages),
    ).toBe(JSON.stringify([message]));
    await saver.deleteThread('t');
    expect(pool.keyspace('holdfast.pages', { key: 'bytes', value: 'bytes' }).count()).toBe(0);
  }
});

describe("LangGraph's runtime on the saver", () => {
  const Counting = Annotation.Root({
    log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
    total: Annotation<number>,
  });

  it('interrupts, and goes on in another pool object with what the human said', async () => {
    const path = join(folder, `${++number}.holdfast`);
    const graphOn = (pool: Holdfast) =>
      new StateGraph(Counting)
        .addNode('plan', () => ({ log: ['planned'], total: 1 }))
        .addNode('ask', (state) => ({
          log: [`approved: ${interrupt({ question: `${state.total}?` })}`],
        }))
        .addEdge(START, 'plan')
        .addEdge('plan', 'ask')
        .addEdge('ask', END)
        .compile({ checkpointer: saverOn(pool) });
    const config = { configurable: { thread_id: 'human' }, durability: 'sync' as const };
    {
      using pool = openPool(path);
      const stopped = await graphOn(pool).invoke({ log: ['begun'] }, config);
      expect(
        (stopped as unknown as { __interrupt__: { value: unknown }[] }).__interrupt__[0]!.value,
      ).toEqual({ question: '1?' });
    }
    using pool = openPool(path);
    const graph = graphOn(pool);
    expect((await graph.getState(config)).next).toEqual(['ask']);
    const done = await graph.invoke(new Command({ resume: 'yes' }), config);
    expect(done).toEqual({ log: ['begun', 'planned', 'approved: yes'], total: 1 });
    expect((await graph.getState(config)).next).toEqual([]);
  });

  it('travels in time, and forks with changed state', async () => {
    using pool = openPool();
    const graph = new StateGraph(Counting)
      .addNode('a', (state) => ({ log: ['a'], total: (state.total ?? 0) + 1 }))
      .addNode('b', (state) => ({ log: ['b'], total: state.total * 10 }))
      .addEdge(START, 'a')
      .addEdge('a', 'b')
      .addEdge('b', END)
      .compile({ checkpointer: saverOn(pool) });
    const config = { configurable: { thread_id: 'time' } };
    expect(await graph.invoke({ log: [], total: 1 }, config)).toEqual({
      log: ['a', 'b'],
      total: 20,
    });
    const history = [];
    for await (const state of graph.getStateHistory(config)) history.push(state);
    expect(history.map(({ next }) => next)).toEqual([[], ['b'], ['a'], ['__start__']]);
    expect(history.map(({ values }) => (values as { total?: number }).total)).toEqual([
      20,
      2,
      1,
      undefined,
    ]);
    const beforeB = history[1]!;
    expect(await graph.invoke(null, beforeB.config)).toEqual({ log: ['a', 'b'], total: 20 });
    const forked = await graph.updateState(beforeB.config, { log: ['forked'], total: 7 });
    expect(await graph.invoke(null, forked)).toEqual({ log: ['a', 'forked', 'b'], total: 70 });
    // The first line of history is as it was.
    const first = await graph.getState(history[0]!.config);
    expect(first.values).toEqual({ log: ['a', 'b'], total: 20 });
    const copied = await graph.updateState(history[2]!.config, null, '__copy__');
    expect((await graph.getState(copied)).values).toMatchObject({ total: 1 });
  });

  it('runs subgraphs with checkpoints of their own, sends and parallel branches', async () => {
    using pool = openPool();
    const inner = new StateGraph(Counting)
      .addNode('one', () => ({ log: ['inner one'] }))
      .addNode('wait', () => ({ log: [`inner got ${interrupt('inner?')}`] }))
      .addEdge(START, 'one')
      .addEdge('one', 'wait')
      .compile();
    const graph = new StateGraph(Counting)
      .addNode('left', () => ({ log: ['left'] }))
      .addNode('right', () => ({ log: ['right'] }))
      .addNode('inner', inner)
      .addNode('each', (state: { log: string[]; total: number }) => ({
        log: [`each ${state.total}`],
      }))
      .addEdge(START, 'left')
      .addEdge(START, 'right')
      .addEdge(['left', 'right'], 'inner')
      .addConditionalEdges('inner', () => [1, 2, 3].map((total) => new Send('each', { total })))
      .compile({ checkpointer: saverOn(pool) });
    const config = { configurable: { thread_id: 'sub' } };
    await graph.invoke({ log: ['begun'], total: 0 }, config);
    const state = await graph.getState(config, { subgraphs: true });
    expect(state.next).toEqual(['inner']);
    expect(JSON.stringify(state.tasks[0]!.state)).toContain('inner one');
    const done = await graph.invoke(new Command({ resume: 'word' }), config);
    const inside = ['begun', 'left', 'right', 'inner one', 'inner got word'];
    expect(done.log).toEqual(['begun', 'left', 'right', ...inside, 'each 1', 'each 2', 'each 3']);
    await (graph.checkpointer as BaseCheckpointSaver).deleteThread('sub');
    expect((await graph.getState(config)).values).toEqual({});
    await pool.compact();
    for (const name of pool
      .keyspaces()
      .filter((each) => each.startsWith('holdfast.') && each !== 'holdfast.numbers')) {
      expect(pool.keyspace(name, { key: 'bytes', value: 'bytes' }).count(), name).toBe(0);
    }
  });

  it('keeps messages as messages, over many turns', async () => {
    using pool = openPool();
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('answer', (state) => ({
        messages: [
          new AIMessage({
            content: `${state.messages.length}`,
            tool_calls: [{ id: 'c', name: 'n', args: { a: [1] } }],
          }),
          new ToolMessage({ content: 'tool', tool_call_id: 'c' }),
        ],
      }))
      .addEdge(START, 'answer')
      .compile({ checkpointer: saverOn(pool) });
    const config = { configurable: { thread_id: 'm' } };
    for (let turn = 0; turn < 10; ++turn)
      await graph.invoke({ messages: [new HumanMessage(`turn ${turn}`)] }, config);
    const { messages } = (await graph.getState(config)).values as { messages: BaseMessage[] };
    expect(messages).toHaveLength(30);
    expect(messages.map((message) => message.getType()).slice(0, 3)).toEqual([
      'human',
      'ai',
      'tool',
    ]);
    expect(messages[28]).toBeInstanceOf(AIMessage);
    expect((messages[28] as AIMessage).tool_calls).toMatchObject([
      { id: 'c', name: 'n', args: { a: [1] } },
    ]);
  });
});

it('lists many checkpoints newest first, before any of them, while others are saved and deleted', async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const save = (at: number, thread_id = 't', checkpoint_ns = '') =>
    saver.put(
      { configurable: { thread_id, checkpoint_ns } },
      { ...emptyCheckpoint(), id: `id-${String(at).padStart(4, '0')}` },
      { ...meta, step: at },
      {},
    );
  for (let at = 0; at < 100; ++at) await save(at);
  for (const [thread, namespace] of [
    ['s', ''],
    ['t', 'n'],
    ['t', '!'],
    ['t2', ''],
  ] as const)
    await save(50, thread, namespace);
  const list = (options: object, where: object = { checkpoint_ns: '' }) =>
    saver.list({ configurable: { thread_id: 't', ...where } }, options);
  const steps = async (options: object) => {
    const found = [];
    for await (const { metadata } of list(options)) found.push(metadata!.step);
    return found;
  };
  const down = (from: number, to: number) =>
    Array.from({ length: from - to + 1 }, (_, at) => from - at);
  const before = (id: string) => ({ before: { configurable: { checkpoint_id: id } } });
  expect(await steps({})).toEqual(down(99, 0));
  expect(await steps({ limit: 64 })).toEqual(down(99, 36));
  expect(await steps({ limit: 0 })).toEqual([]);
  expect(await steps({ ...before('id-0064'), limit: 40 })).toEqual(down(63, 24));
  expect(await steps(before('id-0000'))).toEqual([]);
  expect(await steps(before('id-00645'))).toEqual(down(64, 0));
  expect(await steps(before('z'))).toEqual(down(99, 0));
  expect(await steps({ ...before('id-0090'), filter: { step: 7 } })).toEqual([7]);
  const all = [];
  for await (const { config } of list({}, {})) all.push(config.configurable!.checkpoint_ns);
  expect(all.sort().slice(-2)).toEqual(['!', 'n']);
  const seen = [];
  for await (const { metadata } of list({})) {
    if (seen.push(metadata!.step) === 20) {
      await save(100);
      await saver.deleteThread('t');
    }
  }
  expect(seen).toEqual(down(99, 80));
});

it("a message is read again whatever a tool's artifact holds", async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const cycle: Record<string, unknown> = { status: 200 };
  cycle.request = { response: cycle };
  const artifacts: [unknown, unknown][] = [
    [{ rows: [{ id: 12345678901234567890n }], lc: { n: 1n } }, undefined],
    [5n, undefined],
    [{ lc: 5n }, undefined],
    [[new HumanMessage({ content: 'inner', id: 'i' }), 7n], undefined],
    // In place of what LangChain does not serialize stands its name.
    [
      cycle,
      { status: 200, request: { response: { lc: 1, type: 'not_implemented', id: ['Object'] } } },
    ],
  ];
  let config: object = { configurable: { thread_id: 't', checkpoint_ns: '' } };
  for (const [at, [artifact, readAs = artifact]] of artifacts.entries()) {
    const message = new ToolMessage({ content: 'done', tool_call_id: 'c', id: 'm', artifact });
    const checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(at),
      channel_values: { messages: [message] },
      channel_versions: { messages: at + 1 },
    };
    config = await saver.put(config, checkpoint, meta, { messages: at + 1 });
    await saver.putWrites(config, [['messages', message]], 'task');
    const tuple = await saver.getTuple(config);
    const [found] = tuple!.checkpoint.channel_values.messages as ToolMessage[];
    for (const each of [found!, tuple!.pendingWrites![0]![2] as ToolMessage]) {
      expect(each).toBeInstanceOf(ToolMessage);
      expect(each.artifact).toEqual(readAs);
      expect(each.content).toBe('done');
    }
  }
});

it('a serializer of the user is used for everything', async () => {
  using pool = openPool();
  const seen: unknown[] = [];
  const serde = {
    async dumpsTyped(value: unknown): Promise<[string, Uint8Array]> {
      seen.push(value);
      return ['mine', Buffer.from(`x${JSON.stringify(value)}`)];
    },
    async loadsTyped(type: string, data: Uint8Array | string): Promise<unknown> {
      expect(type).toBe('mine');
      return JSON.parse(
        Buffer.from(data as Uint8Array)
          .toString()
          .slice(1),
      );
    },
  };
  const saver = new HoldfastSaver(pool, serde) as unknown as BaseCheckpointSaver;
  const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
  const checkpoint = {
    ...emptyCheckpoint(),
    channel_values: { a: { secret: 1 } },
    channel_versions: { a: 1 },
  };
  const config = await saver.put(start, checkpoint, meta, { a: 1 });
  await saver.putWrites(config, [['a', { secret: 2 }]], 'task');
  const tuple = await saver.getTuple(config);
  expect(tuple!.checkpoint.channel_values).toEqual({ a: { secret: 1 } });
  expect(tuple!.pendingWrites).toEqual([['task', 'a', { secret: 2 }]]);
  expect(seen).toEqual([{ secret: 1 }, { secret: 2 }]);
  const without = saverOn(pool);
  await expect(without.getTuple(config)).rejects.toMatchObject({
    code: 'ERR_HOLDFAST_CODEC',
    message: expect.stringContaining('with a serializer (as "mine")') as string,
  });
});
