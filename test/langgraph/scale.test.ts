/** What very many threads, and large states, cost: counted, never timed. */
import { join } from 'node:path';

import { type BaseCheckpointSaver } from '@langchain/langgraph';
import { emptyCheckpoint } from '@langchain/langgraph-checkpoint';
import { expect, it, vi } from 'vitest';

import { textsCodec } from '../../lib/adapters/langgraph/keys';
import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-scale');
let number = 0;

function openPool(): Holdfast {
  return openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
}

function saverOn(pool: Holdfast): BaseCheckpointSaver {
  return new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
}

const meta = { source: 'loop', step: 1, parents: {} } as const;

it('the first checkpoints of all threads are listed without looking at the others', async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const threads = Array.from({ length: 200 }, (_, at) => `t${String(at).padStart(3, '0')}`);
  const put = (thread_id: string, checkpoint_ns: string, id: string) =>
    saver.put(
      { configurable: { thread_id, checkpoint_ns } },
      { ...emptyCheckpoint(), id },
      meta,
      {},
    );
  await Promise.all(
    threads.flatMap((thread) => [
      put(thread, '', '1'),
      put(thread, 'n', '2'),
      put(thread, '', '3'),
    ]),
  );
  const decode = vi.spyOn(textsCodec, 'decode');
  try {
    const found = [];
    for await (const { config } of saver.list({}, { limit: 7 })) {
      const { thread_id, checkpoint_id } = config.configurable!;
      found.push(`${thread_id} ${checkpoint_id}`);
    }
    const [a, b, c] = threads;
    expect(found).toEqual([
      ...[`${a} 3`, `${a} 2`, `${a} 1`],
      ...[`${b} 3`, `${b} 2`, `${b} 1`],
      `${c} 3`,
    ]);
    expect(decode.mock.calls.length).toBeLessThan(100);
  } finally {
    decode.mockRestore();
  }
  const ids = [];
  const before = { configurable: { checkpoint_id: '3' } };
  for await (const { config } of saver.list({}, { before }))
    ids.push([config.configurable!.thread_id, config.configurable!.checkpoint_id]);
  expect(ids).toEqual(
    threads.flatMap((thread) => [
      [thread, '2'],
      [thread, '1'],
    ]),
  );
});
