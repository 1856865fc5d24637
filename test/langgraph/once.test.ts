/** What a thread's step holds in several places (input, writes, channels) is stored once. */
import { join } from 'node:path';

import { AIMessage, HumanMessage } from '@langchain/core/messages';
import {
  Annotation,
  type BaseCheckpointSaver,
  END,
  MemorySaver,
  messagesStateReducer,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { emptyCheckpoint } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { textsCodec } from '../../lib/adapters/langgraph/keys';
import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-once');
const meta = { source: 'loop', step: 1, parents: {} } as const;
const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
const size = 1_000_000;
/** TypeScript's library of our target does not know it yet. */
const Resizable = ArrayBuffer as unknown as new (
  length: number,
  options: { maxByteLength: number },
) => ArrayBuffer & { resize(length: number): void };
let number = 0;

function saverOn(pool: Holdfast): BaseCheckpointSaver {
  return new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
}

/** Nothing in it is said twice. */
function textOf(seed: number, length = size): string {
  let text = '';
  for (let next = seed; text.length < length; next = (next * 1103515245 + 12345) % 2147483648)
    text += `${next.toString(36)} `;
  return text.slice(0, length);
}

type Values = Record<string, unknown>;
const kinds: Record<string, (seed: number) => Values> = {
  'messages without ids': (seed) => ({
    messages: [seed === 1 ? new HumanMessage(textOf(seed)) : new AIMessage(textOf(seed))],
  }),
  'messages that are plain objects': (seed) => ({
    messages: [{ role: seed === 1 ? 'user' : 'assistant', content: textOf(seed) }],
  }),
  texts: (seed) => ({ it: textOf(seed) }),
  bytes: (seed) => ({ it: new TextEncoder().encode(textOf(seed)) }),
  'objects of one long text': (seed) => ({ it: { text: textOf(seed) } }),
  'objects of many short texts': (seed) => ({ it: Object.fromEntries(textsOf(seed).entries()) }),
  'lists of short texts': (seed) => ({ it: textsOf(seed) }),
};

function textsOf(seed: number): string[] {
  return textOf(seed).match(/.{100}/g)!;
}

const State = Annotation.Root({
  messages: Annotation({ reducer: messagesStateReducer, default: () => [] }),
  it: Annotation<unknown>,
});

async function historyOf(
  checkpointer: BaseCheckpointSaver,
  durability: 'sync' | 'async',
  of: Kind,
) {
  const graph = new StateGraph(State)
    .addNode('answer', () => of(2) as never)
    .addEdge(START, 'answer')
    .addEdge('answer', END)
    .compile({ checkpointer });
  const config = { configurable: { thread_id: 't' } };
  await graph.invoke(of(1) as never, { ...config, durability });
  return async (saver: BaseCheckpointSaver) => {
    graph.checkpointer = saver;
    const found = [];
    for await (const { values, tasks } of graph.getStateHistory(config)) {
      const messages = (values as typeof State.State).messages?.map((each) => each.content);
      found.push({ ...values, messages, tasks: tasks.map(({ name }) => name) });
    }
    return found;
  };
}
type Kind = (seed: number) => Values;

for (const durability of ['sync', 'async'] as const)
  it.each(Object.entries(kinds))(`an input and an answer, ${durability}: %s`, async (_, of) => {
    const path = join(folder, `${++number}.holdfast`);
    let history;
    {
      using pool = openSync(path, { medium: 'file' });
      history = await historyOf(saverOn(pool), durability, of);
      const { bytesAppended, liveBytes } = pool.stats();
      expect(bytesAppended).toBeLessThan(2.3 * size);
      expect(liveBytes).toBeLessThan(2.3 * size);
    }
    using pool = openSync(path);
    const memory = new MemorySaver();
    const expected = await historyOf(memory, durability, of);
    const read = await history(saverOn(pool));
    expect(read).toHaveLength(3);
    // MemorySaver keeps bytes as JSON.
    if (of(1).it instanceof Uint8Array)
      expect(read.map(({ it }) => it && new TextDecoder().decode(it as Uint8Array))).toEqual([
        textOf(2),
        textOf(1),
        undefined,
      ]);
    else expect(read).toEqual(await expected(memory));
  });

it('what was changed in place between an input and the first writes is stored as it was at each', async () => {
  using pool = openSync(join(folder, 'changed.holdfast'), { medium: 'file' });
  const saver = saverOn(pool);
  const file = { text: textOf(1, 5000), bytes: new TextEncoder().encode(textOf(2, 5000)) };
  const cut = new Resizable(5000, { maxByteLength: 5000 });
  const input = { files: [file], cut, kept: textOf(3, 5000) };
  const before = { ...structuredClone(input), cut: new ArrayBuffer(5000) };
  const first = { ...emptyCheckpoint(), id: '1', channel_values: { __start__: input } };
  const at = await saver.put(start, first, meta, { __start__: 1 });
  file.text = `${file.text.slice(0, 4000)}!`;
  file.bytes[4000] = 0;
  cut.resize(10);
  const after = { ...input, files: structuredClone(input.files), cut: new ArrayBuffer(10) };
  await saver.putWrites(at, Object.entries(input) as [string, unknown][], 'task');
  const values = { ...input, files: [{ ...file, text: 'another' }] };
  const next = { ...emptyCheckpoint(), id: '2', channel_values: values };
  await saver.put(at, next, meta, { files: 2, cut: 2, kept: 2 });
  const read = await Promise.all(
    ['1', '2'].map((checkpoint_id) =>
      saver.getTuple({ configurable: { ...start.configurable, checkpoint_id } }),
    ),
  );
  const plain = (value: unknown): unknown => structuredClone(value);
  expect(plain(read[0]!.checkpoint.channel_values.__start__)).toEqual(plain(before));
  const written = read[0]!.pendingWrites!.map(([, channel, value]) => [channel, value]);
  expect(plain(Object.fromEntries(written))).toEqual(plain(after));
  expect(plain(read[1]!.checkpoint.channel_values)).toEqual(
    plain({ ...after, files: [{ ...after.files[0], text: 'another' }] }),
  );
});

it('a text whose checkpoint or write has gone meanwhile is stored anew', async () => {
  const path = join(folder, 'gone.holdfast');
  const [own, said] = [textOf(1, 5000), textOf(2, 5000)];
  const [twice, last] = [textOf(3, 5000), textOf(4, 5000)];
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = saverOn(pool);
    const remove = async (name: string, key: string[]) => {
      await pool.keyspace(`holdfast.langgraph.${name}`, { key: textsCodec }).delete(key);
      await new HoldfastSaver(pool).prune('t', { keepLast: 10 });
    };
    const put = (id: string, parent: string | undefined, channel_values: Values) =>
      saver.put(
        { configurable: { ...start.configurable, checkpoint_id: parent } },
        { ...emptyCheckpoint(), id, channel_values },
        meta,
        Object.fromEntries(Object.keys(channel_values).map((channel) => [channel, id])),
      );
    await put('1', undefined, {});
    const at = await put('2', '1', { own });
    await saver.putWrites(
      at,
      [
        ['said', said],
        ['twice', twice],
      ],
      'first',
    );
    await saver.putWrites(
      at,
      [
        ['again', said],
        ['own', own],
      ],
      'second',
    );
    await remove('writes', ['t', '', '2', 'first', '001000001']);
    await put('3', '2', { own, said, twice });
    const then = await put('4', '3', { own: last });
    await remove('checkpoints', ['t', '', '4']);
    await saver.putWrites(then, [['own', last]], 'third');
    await put('4', '3', {});
  }
  using pool = openSync(path);
  const saver = saverOn(pool);
  const read = async (checkpoint_id: string) =>
    (await saver.getTuple({ configurable: { ...start.configurable, checkpoint_id } }))!;
  expect((await read('2')).pendingWrites).toEqual([
    ['first', 'said', said],
    ['second', 'again', said],
    ['second', 'own', own],
  ]);
  expect((await read('4')).pendingWrites).toEqual([['third', 'own', last]]);
  expect((await read('3')).checkpoint.channel_values).toEqual({ own, said, twice });
});
