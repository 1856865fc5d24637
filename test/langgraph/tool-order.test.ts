/**
 * An effect happens only behind what names its task: the checkpoints of its graph, and of those
 * it was called from, are stored when a durableTool is called. LangGraph goes on while it saves.
 */
import { join } from 'node:path';

import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  END,
  entrypoint,
  getConfig,
  interrupt,
  START,
  StateGraph,
  task,
} from '@langchain/langgraph';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-tool-order');
let number = 0;

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

interface TaskConfig {
  configurable?: { thread_id?: string; checkpoint_map?: Record<string, string> };
}

/** As one that encrypts, it takes its time. */
const slowly = {
  dumpsTyped: async (value: unknown): Promise<[string, Uint8Array]> => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return ['json', Buffer.from(JSON.stringify(value) ?? 'null')];
  },
  loadsTyped: async (_type: string, bytes: Uint8Array | string): Promise<unknown> =>
    JSON.parse(Buffer.from(bytes as Uint8Array).toString()),
};

/** Says at each call of a tool whether the checkpoints that name its task are stored. */
function worldOf(pool: ReturnType<typeof openSync>) {
  const saver = new HoldfastSaver(pool, slowly);
  const told: boolean[] = [];
  const tell = durableTool(
    async ({ thread, named }: { thread: string; named: Record<string, string> }) => {
      const found = async (checkpoint_id: string): Promise<boolean> => {
        for (const checkpoint_ns of Object.keys(named)) {
          const configurable = { thread_id: thread, checkpoint_ns, checkpoint_id };
          if ((await saver.getTuple({ configurable })) !== undefined) return true;
        }
        return false;
      };
      for (const id of new Set(Object.values(named))) told.push(await found(id));
    },
    { name: 'tell', pool },
  );
  const act = (config: TaskConfig): Promise<void> => {
    const { thread_id: thread, checkpoint_map: named } = config.configurable!;
    return tell({ thread: thread!, named: named! }, config as object);
  };
  return { saver: saver as unknown as BaseCheckpointSaver, told, act };
}

it.each(['sync', 'async'] as const)('nodes, subgraphs and resumptions, %s', async (durability) => {
  using pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
  const { saver, told, act } = worldOf(pool);
  const node = async (_state: unknown, config: TaskConfig) => {
    await act(config);
    return { log: ['x'.repeat(20_000)] };
  };
  const inner = new StateGraph(State)
    .addNode('one', node)
    .addNode('two', node)
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', END)
    .compile();
  const graph = new StateGraph(State)
    .addNode('first', node)
    .addNode('inner', inner)
    .addNode('asks', async (_state, config) => {
      await act(config);
      interrupt('?');
      return {};
    })
    .addEdge(START, 'first')
    .addEdge('first', 'inner')
    .addEdge('inner', 'asks')
    .addEdge('asks', END)
    .compile({ checkpointer: saver });
  const config = { configurable: { thread_id: 't' }, durability };
  for (let turn = 0; turn < 3; ++turn) {
    await graph.invoke({ log: ['input'] }, config);
    await graph.invoke(new Command({ resume: 'yes', update: { log: ['beside'] } }), config);
  }
  // Two of the inner graph, each named by two.
  expect(told).toEqual(Array.from({ length: 3 * (1 + 2 * 2 + 1) }, () => true));
});

it.each(['sync', 'async'] as const)('the functional API, %s', async (durability) => {
  using pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
  const { saver, told, act } = worldOf(pool);
  const acting = task('acting', async () => act(getConfig() as TaskConfig));
  const flow = entrypoint({ name: 'flow', checkpointer: saver }, async (_input: string) => {
    await Promise.all([acting(), acting()]);
    await acting();
    return 'done';
  });
  const config = { configurable: { thread_id: 't' }, durability };
  for (let turn = 0; turn < 3; ++turn) await flow.invoke('x'.repeat(20_000), config);
  expect(told).toEqual(Array.from({ length: 3 * 3 }, () => true));
});

it('nothing is waited for where nothing comes: with durability exit, and another saver’s config', async () => {
  using pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
  const { saver, told, act } = worldOf(pool);
  const graph = new StateGraph(State)
    .addNode('only', async (_state, config) => {
      await act(config as TaskConfig);
      return {};
    })
    .addEdge(START, 'only')
    .compile({ checkpointer: saver });
  const config = { configurable: { thread_id: 't' }, durability: 'exit' as const };
  await graph.invoke({ log: [] }, config);
  expect(told).toEqual([false]);
  const bare = { thread_id: 't', __pregel_task_id: 'task', __pregel_checkpointer: saver };
  await act({ configurable: { ...bare, checkpoint_map: { '': 'never' } } } as TaskConfig);
  expect(told).toEqual([false, false]);
  const called = durableTool(() => 1, { name: 'called', pool });
  await expect(called(1, undefined as never)).rejects.toThrow('needs a "thread_id"');
});
