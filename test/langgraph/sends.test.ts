/** A `Send` passes on what the state holds: its checkpoint's nodes are shared, not stored again. */
import { join } from 'node:path';

import { HumanMessage } from '@langchain/core/messages';
import { type BaseCheckpointSaver, Send } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-sends');
const meta = { source: 'loop', step: 1, parents: {} } as const;

function checkpointOf(step: number, channel_values: Record<string, unknown>) {
  const channel_versions = Object.fromEntries(Object.keys(channel_values).map((c) => [c, step]));
  return { ...emptyCheckpoint(), id: uuid6(step), channel_values, channel_versions };
}

it('it costs what is new in it, notices what was changed in place, and outlives the state it passed on', async () => {
  const path = join(folder, 'sends.holdfast');
  const messages = Array.from(
    { length: 50 },
    (_, i) => new HumanMessage({ id: `m${i}`, content: `message ${i} `.repeat(100) }),
  );
  let sent;
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
    const first = checkpointOf(1, { messages: messages.slice(), files: {} });
    const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
    let at = await saver.put(start, first, meta, first.channel_versions);
    messages[7]!.content = 'changed in place';
    const send = new Send('tools', { messages: [...messages, new HumanMessage('the last')] });
    sent = structuredClone([7, 8].map((n) => messages[n]!.content));
    const before = pool.stats().bytesAppended;
    await saver.putWrites(at, [['__pregel_tasks', send]], 'task');
    expect(pool.stats().bytesAppended - before).toBeLessThan(16 * 1024);
    const tuple = await saver.getTuple(at);
    const [, , written] = tuple!.pendingWrites![0]!;
    expect((written as typeof send).args.messages).toHaveLength(51);
    for (const values of [{ messages, __pregel_tasks: [send] }, { __pregel_tasks: [send] }]) {
      const next = checkpointOf(values.messages ? 2 : 3, values);
      at = await saver.put(at, next, meta, next.channel_versions);
    }
    await new HoldfastSaver(pool).prune('t');
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const { channel_values } = (await saver.getTuple({ configurable: { thread_id: 't' } }))!
    .checkpoint;
  const [send] = channel_values.__pregel_tasks as [{ args: { messages: HumanMessage[] } }];
  expect(send.args.messages).toHaveLength(51);
  expect([7, 8].map((n) => send.args.messages[n]!.content)).toEqual(sent);
});

it('many Sends of one list, of one task or of many, store it once', async () => {
  const path = join(folder, 'many.holdfast');
  // Short ones, each of which is written into the list that holds it.
  const messages = Array.from(
    { length: 100 },
    (_, i) => new HumanMessage({ id: `m${i}`, content: `message ${i}` }),
  );
  const plan = new HumanMessage({ id: 'p', content: 'the plan' });
  const other = messages.with(50, new HumanMessage({ id: 'o', content: 'another' }));
  const lists = [messages, [...messages, plan], messages, other, [...messages, plan], other];
  const sends = Array.from(
    { length: 60 },
    (_, i) => new Send('work', { i, messages: lists[i % lists.length] }),
  );
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
    const first = checkpointOf(1, { messages });
    const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
    const at = await saver.put(start, first, meta, first.channel_versions);
    const before = pool.stats().bytesAppended;
    const writes = sends.map((send) => ['__pregel_tasks', send] as [string, Send]);
    await saver.putWrites(at, writes, 'all');
    // Three lists of the six are new.
    expect(pool.stats().bytesAppended - before).toBeLessThan(64 * 1024);
    const then = pool.stats().bytesAppended;
    for (let i = 0; i < sends.length; i += lists.length)
      await saver.putWrites(at, [['__pregel_tasks', sends[i]]], `task ${i}`);
    expect(pool.stats().bytesAppended - then).toBeLessThan(16 * 1024);
    const next = checkpointOf(2, { __pregel_tasks: sends });
    await saver.put(at, next, meta, next.channel_versions);
    expect(pool.stats().bytesAppended - then).toBeLessThan(32 * 1024);
    await new HoldfastSaver(pool).prune('t');
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const { channel_values } = (await saver.getTuple({ configurable: { thread_id: 't' } }))!
    .checkpoint;
  const read = channel_values.__pregel_tasks as { args: { i: number; messages: HumanMessage[] } }[];
  expect(read.map(({ args }) => [args.i, args.messages.map(({ id }) => id)])).toEqual(
    sends.map((_, i) => [i, lists[i % lists.length]!.map(({ id }) => id)]),
  );
});
