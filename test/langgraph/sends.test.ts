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
