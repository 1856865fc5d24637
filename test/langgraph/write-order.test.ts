/**
 * What the tasks of a step wrote is read in the order in which the step applied it: by the tasks'
 * paths, which LangGraph tells with `putWrites` from checkpoint 1.2 on, then by their ids.
 */
import { join } from 'node:path';

import type { BaseCheckpointSaver } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-write-order');
const meta = { source: 'loop', step: 1, parents: {} } as const;
const long = { text: 'long '.repeat(100) };

it('by the paths of the tasks, those without one first, then by their ids, then as each task wrote', async () => {
  const path = join(folder, 'order.holdfast');
  const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
  const written = [
    ['d', undefined, 'last'],
    ['c', '~__pregel_pull, b', 'first'],
    ['b', '~__pregel_pull, \u{1f600}', 'astral'],
    ['a', '~__pregel_pull, \uffee', 'wide'],
    ['e', '~__pregel_pull, b', long],
    ['g', '', { small: 1 }],
    ['f', '~__pregel_pull, a', 1],
  ] as const;
  let config;
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = new HoldfastSaver(pool);
    config = await saver.put(start, { ...emptyCheckpoint(), id: uuid6(1) }, meta, {});
    for (const [task, taskPath, value] of written)
      await saver.putWrites(
        config,
        [
          ['log', value],
          ['log', `${task} again`],
          ['__error__', `${task} failed`],
        ],
        task,
        taskPath,
      );
    config = await saver.put(config, { ...emptyCheckpoint(), id: uuid6(2) }, meta, {});
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const { parentConfig } = (await saver.getTuple(config))!;
  const tuple = await saver.getTuple(parentConfig!);
  const tasks = ['d', 'g', 'f', 'c', 'e', 'a', 'b'];
  const values = new Map<string, unknown>(written.map(([task, , value]) => [task, value]));
  expect(tuple!.pendingWrites).toEqual(
    tasks.flatMap((task) => [
      [task, '__error__', `${task} failed`],
      [task, 'log', values.get(task)],
      [task, 'log', `${task} again`],
    ]),
  );
  const history = await saver.getDeltaChannelHistory({ config, channels: ['log'] });
  expect(history.log!.writes).toEqual(
    tasks.flatMap((task) => [
      [task, 'log', values.get(task)],
      [task, 'log', `${task} again`],
    ]),
  );
});
