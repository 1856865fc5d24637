/**
 * A thread is deleted while it is driven: nobody is refused, what was begun before is gone, and
 * what came later is whole.
 */
import { join } from 'node:path';

import { Annotation, type BaseCheckpointSaver, END, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { type Holdfast, openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-delete');
let number = 0;
type Saver = InstanceType<typeof HoldfastSaver>;
type Put = Parameters<Saver['put']>;

const opened = (): Holdfast => openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
const counted = (pool: Holdfast): number[] =>
  ['langgraph.checkpoints', 'langgraph.writes', 'pages'].map((name) =>
    pool.keyspace(`holdfast.${name}`, { key: 'bytes', value: 'bytes' }).count(),
  );

function put(
  saver: Saver,
  id: string,
  parent: string | undefined,
  values: object,
): Promise<unknown> {
  const configurable = {
    thread_id: 't',
    checkpoint_ns: '',
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
    { source: 'loop', step: 1, parents: {} },
    versions,
  );
}

const write = (saver: Saver, id: string, value: object): Promise<void> =>
  saver.putWrites(
    { configurable: { thread_id: 't', checkpoint_ns: '', checkpoint_id: id } },
    [['log', value]],
    'task',
  );

async function statesOf(saver: Saver): Promise<unknown[]> {
  const states: unknown[] = [];
  for await (const { checkpoint, pendingWrites } of saver.list({
    configurable: { thread_id: 't' },
  }))
    states.push([checkpoint.channel_values, pendingWrites]);
  return states;
}

const long = (text: string): { text: string } => ({ text: text.repeat(3000) });

it.each([0, 3])(
  'puts under way are in time for a deletion, behind %s others; those that come meanwhile are behind it, as they were',
  async (before) => {
    using pool = opened();
    const saver = new HoldfastSaver(pool);
    const ids = Array.from({ length: 10 }, (_, k) => uuid6(k));
    for (let k = 0; k < before; ++k) await put(saver, ids[k]!, ids[k - 1], { log: long(`${k}`) });
    const begun = [
      put(saver, ids[before]!, ids[before - 1], { log: long('a') }),
      write(saver, ids[before]!, long('b')),
    ];
    const deletions = [saver.deleteThread('t'), saver.deleteThread('t')];
    const later = long('c');
    const written = long('d');
    const behind = [put(saver, ids[8]!, undefined, { log: later }), write(saver, ids[8]!, written)];
    later.text = 'changed in place';
    written.text = 'changed in place';
    await Promise.all([...begun, ...deletions, ...behind]);
    expect(await statesOf(saver)).toEqual([[{ log: long('c') }, [['task', 'log', long('d')]]]]);
    await saver.deleteThread('t');
    expect(await statesOf(saver)).toEqual([]);
    expect(counted(pool)).toEqual([0, 0, 0]);
  },
);

it.each([1, 2, 3, 4])(
  'another handle deletes the thread: nobody is refused, and whatever is there is whole, %i',
  async (seed) => {
    using pool = opened();
    using other = openSync(pool.path);
    const [saver, deleting] = [new HoldfastSaver(pool), new HoldfastSaver(other)];
    let state = seed;
    const random = (limit: number): number => (state = (state * 48_271) % 2_147_483_647) % limit;
    const turns = async (): Promise<void> => {
      for (let left = random(4); left > 0; --left) await new Promise(setImmediate);
    };
    let isOver = false;
    const puts = async (): Promise<void> => {
      for (let k = 0; k < 150; ++k) {
        const id = uuid6(k);
        const value = long(`${k}`);
        const both = [
          put(saver, id, k % 5 === 0 ? undefined : uuid6(k - 1), { log: value }),
          write(saver, id, long(`w${k}`)),
        ];
        if (random(2) === 0) both.reverse();
        value.text = 'changed in place';
        await Promise.all(both);
        await turns();
      }
      isOver = true;
    };
    const deletions = async (): Promise<void> => {
      while (!isOver) {
        await Promise.all(
          random(3) === 0
            ? [deleting.deleteThread('t'), saver.deleteThread('t')]
            : [deleting.deleteThread('t')],
        );
        await turns();
        expect(JSON.stringify(await statesOf(deleting))).not.toContain('changed');
      }
    };
    await Promise.all([puts(), deletions()]);
    await put(saver, uuid6(999), undefined, { log: long('last') });
    expect(await statesOf(deleting)).toContainEqual([{ log: long('last') }, []]);
    await Promise.all([deleting.deleteThread('t'), saver.deleteThread('t')]);
    expect(counted(pool)).toEqual([0, 0, 0]);
    expect(pool.keyspace('holdfast.langgraph.threads').count()).toBe(0);
  },
);

it('a run with durability "async" goes on while its thread is deleted, and nothing is rejected that nobody looks at', async () => {
  using pool = opened();
  const saver = new HoldfastSaver(pool);
  const unseen: unknown[] = [];
  const see = (error: unknown): unknown => unseen.push(error);
  process.on('unhandledRejection', see);
  try {
    const State = Annotation.Root({
      log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
    });
    const graph = new StateGraph(State)
      .addNode('say', ({ log }) => ({ log: [`${log.length} `.repeat(500)] }))
      .addEdge(START, 'say')
      .addConditionalEdges('say', ({ log }) => (log.length === 40 ? END : 'say'))
      .compile({ checkpointer: saver as unknown as BaseCheckpointSaver });
    const ended = graph.invoke(
      { log: [] },
      { configurable: { thread_id: 't' }, durability: 'async', recursionLimit: 100 },
    );
    let isOver = false;
    void ended.finally(() => (isOver = true));
    while (!isOver) {
      await saver.deleteThread('t');
      await new Promise(setImmediate);
      // Whatever is there is whole.
      await statesOf(saver);
    }
    expect((await ended).log).toHaveLength(40);
    await new Promise(setImmediate);
    expect(unseen).toEqual([]);
  } finally {
    process.off('unhandledRejection', see);
  }
});

const ofRuns = ['runs', 'journal', 'drivers', 'intents', 'open-runs', 'awake-runs'];
const runsLeft = (pool: Holdfast): number[] =>
  ofRuns.map((name) => pool.keyspace(`holdfast.${name}`, { key: 'bytes', value: 'bytes' }).count());

function graphOf(pool: Holdfast, act: (config: object) => Promise<string>) {
  const State = Annotation.Root({ done: Annotation<string>() });
  return new StateGraph(State)
    .addNode('act', async (_state, config) => ({ done: await act(config) }), {
      retryPolicy: { maxAttempts: 1 },
    })
    .addEdge(START, 'act')
    .addEdge('act', END)
    .compile({ checkpointer: new HoldfastSaver(pool) as unknown as BaseCheckpointSaver });
}

it.each(['gives its result', 'fails'])(
  'a tool that is being called while another handle deletes the thread %s, and leaves nothing',
  async (end) => {
    using pool = opened();
    using other = openSync(pool.path);
    const deleting = new HoldfastSaver(other);
    let called = 0;
    const quick = durableTool(() => 'before', { name: 'quick' });
    const slow = durableTool(
      async () => {
        called += 1;
        await deleting.deleteThread('t');
        if (end === 'fails') throw new Error('no answer');
        return 'result';
      },
      { name: 'slow' },
    );
    const graph = graphOf(pool, async (config) => {
      await quick(null, config);
      return slow(null, config);
    });
    const running = graph.invoke({}, { configurable: { thread_id: 't' }, durability: 'sync' });
    if (end === 'fails') await expect(running).rejects.toThrow('no answer');
    else expect(await running).toEqual({ done: 'result' });
    expect([called, runsLeft(pool)]).toEqual([1, [0, 0, 0, 0, 0, 0]]);
    expect(pool.unknownOutcomes()).toEqual([]);
  },
);

it.each([1, 2])(
  'tools begin, are continued and end while another handle deletes their thread: nobody is refused, %i',
  async (seed) => {
    using pool = opened();
    using other = openSync(pool.path);
    const deleting = new HoldfastSaver(other);
    await put(new HoldfastSaver(pool), uuid6(0), undefined, { log: 1 });
    let state = seed;
    const random = (limit: number): number => (state = (state * 48_271) % 2_147_483_647) % limit;
    const turns = async (): Promise<void> => {
      for (let left = random(5); left > 0; --left) await new Promise(setImmediate);
    };
    const tool = durableTool(
      async (n: number, { attempt }) => {
        await turns();
        if (n % 3 === 0 && attempt === 1)
          throw Object.assign(new Error('again'), { neverHappened: true });
        return n;
      },
      { name: 'tool', pool },
    );
    const results: number[] = [];
    let isOver = false;
    const call = async (n: number): Promise<void> => {
      const config = () => ({ configurable: { thread_id: 't', __pregel_task_id: `task ${n}` } });
      // Left without a receipt first, then continued; and asked once more.
      await tool(n, config()).catch((error: Error) => expect(error.message).toBe('again'));
      await turns();
      if (n % 3 === 0)
        await tool(n, config()).catch((error: Error) => expect(error.message).toBe('again'));
      else results.push(await tool(n, config()));
    };
    const deletions = async (): Promise<void> => {
      while (!isOver) {
        await deleting.deleteThread('t');
        await turns();
      }
    };
    const calls = async (): Promise<void> => {
      for (let n = 0; n < 60; n += 3) await Promise.all([call(n), call(n + 1), call(n + 2)]);
      isOver = true;
    };
    await Promise.all([calls(), deletions()]);
    expect(results).toHaveLength(40);
    await deleting.deleteThread('t');
    expect(runsLeft(pool)).toEqual([0, 0, 0, 0, 0, 0]);
  },
);
