/**
 * LangGraph gives the same answers over a HoldfastSaver as over its own MemorySaver: graphs with
 * messages, parallel tasks (Send), subgraphs, interrupts and nodes that fail, driven by a random
 * script of invocations, streams, resumptions, time travel, forks, updates and deletions.
 */
import { join } from 'node:path';

import {
  AIMessage,
  type BaseMessage,
  HumanMessage,
  isBaseMessage,
  ToolMessage,
} from '@langchain/core/messages';
import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  END,
  interrupt,
  MemorySaver,
  messagesStateReducer,
  RemoveMessage,
  Send,
  START,
  StateGraph,
} from '@langchain/langgraph';
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-differential');
let number = 0;

/** What a node does, one after the other. */
const kinds = ['say', 'forget', 'fan', 'ask', 'sub', 'kept', 'fail'] as const;
type Kind = (typeof kinds)[number];

const State = Annotation.Root({
  plan: Annotation<Kind[]>,
  at: Annotation<number>,
  messages: Annotation<BaseMessage[]>({ reducer: messagesStateReducer, default: () => [] }),
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  about: Annotation<Record<string, unknown>>({
    reducer: (a, b) => ({ ...a, ...b }),
    default: () => ({}),
  }),
});
type Now = typeof State.State;

function graphOn(checkpointer: BaseCheckpointSaver) {
  const failed = new Set<string>();
  const Inner = Annotation.Root({ log: State.spec.log, asked: Annotation<string> });
  const inner = (kept: boolean) =>
    new StateGraph(Inner)
      .addNode('first', () => ({ log: ['inner'], asked: 'yes?' }))
      .addNode('second', ({ asked }) => ({
        log: [`answered ${JSON.stringify(interrupt({ asked }))}`],
      }))
      .addEdge(START, 'first')
      .addEdge('first', 'second')
      .addEdge('second', END)
      .compile(kept ? { checkpointer: true } : {});
  const next = ({ plan = [], at = 0 }: Now): string | Send[] => {
    const kind = plan[at];
    if (kind === undefined) return END;
    return kind === 'fan' ? [1, 2, 3].map((n) => new Send('one', { n, at })) : kind;
  };
  const to = [...kinds.filter((kind) => kind !== 'fan'), 'one', END];
  return new StateGraph(State)
    .addNode('say', ({ at, log }) => ({
      at: at + 1,
      messages: [
        new AIMessage({
          id: `ai-${at}`,
          content: `turn ${at}`,
          tool_calls: [{ id: `call-${at}`, name: 'look', args: { at } }],
        }),
        new ToolMessage({
          id: `tool-${at}`,
          tool_call_id: `call-${at}`,
          content: 'long '.repeat(100 * (at % 7)),
        }),
      ],
      log: [`said ${log.length}`],
    }))
    .addNode('forget', ({ at, messages }) => ({
      at: at + 1,
      messages: messages.slice(0, 1).map(({ id }) => new RemoveMessage({ id: id! })),
      log: [],
    }))
    .addNode('one', ({ n, at }: { n: number; at: number }) => {
      if (n === 2 && at % 2 === 1) return { log: [`asked ${JSON.stringify(interrupt({ n }))}`] };
      return {
        log: [`one ${n}`],
        about: { [`n${n}`]: { at, list: [n, { deep: 'x'.repeat(n * 700) }] } },
      };
    })
    .addNode('joined', ({ at, log }) => ({ at: at + 1, log: [`joined ${log.length}`] }))
    .addNode('ask', ({ at }) => {
      const [a, b] = [interrupt({ ask: at }), at % 3 === 0 ? interrupt('and?') : undefined];
      return { at: at + 1, about: { [`asked-${at}`]: [a, b ?? null] } };
    })
    .addNode('sub', async ({ log }, config) => ({
      log: (await inner(false).invoke({ log: log.slice(0, 1) }, config)).log,
    }))
    .addNode('kept', inner(true))
    .addNode('fail', ({ at, log }) => {
      const what = `${at} ${log.length}`;
      if (!failed.has(what)) {
        failed.add(what);
        throw new Error(`not yet, ${what}`);
      }
      return { at: at + 1, log: ['failed once'] };
    })
    .addNode('on', ({ at }) => ({ at: at + 1 }))
    .addConditionalEdges(START, next, to)
    .addEdge('one', 'joined')
    .addEdge('sub', 'on')
    .addEdge('kept', 'on')
    .addConditionalEdges('say', next, to)
    .addConditionalEdges('forget', next, to)
    .addConditionalEdges('joined', next, to)
    .addConditionalEdges('ask', next, to)
    .addConditionalEdges('fail', next, to)
    .addConditionalEdges('on', next, to)
    .compile({ checkpointer });
}

const what = [
  'invoke',
  'invoke',
  'stream',
  'resume',
  'resume',
  'again',
  'state',
  'history',
  'fork',
  'update',
  'list',
  'subgraphs',
  'delete',
  'bulk',
] as const;
const action = fc.record({
  what: fc.constantFrom(...what),
  thread: fc.constantFrom('a', 'a', 'a', 'b'),
  plan: fc.array(fc.constantFrom(...kinds), { maxLength: 5 }),
  n: fc.nat(30),
  durability: fc.constantFrom('sync' as const, 'async' as const, 'exit' as const),
});
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;
type Graph = ReturnType<typeof graphOn>;
type At = { configurable: { thread_id: string; checkpoint_ns?: string; checkpoint_id?: string } };

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function perform(
  graph: Graph,
  saver: BaseCheckpointSaver,
  { what, thread, plan, n, durability }: Action,
): Promise<unknown> {
  const at: At = { configurable: { thread_id: thread } };
  const options = { ...at, durability, recursionLimit: 40 };
  const input = {
    plan,
    at: 0,
    messages: [new HumanMessage({ id: `human-${n}`, content: `hello ${n}` })],
  };
  const past = async (): Promise<At> => {
    const history = await all(graph.getStateHistory(at));
    return (history[n % Math.max(1, history.length)]?.config as At | undefined) ?? at;
  };
  switch (what) {
    case 'invoke':
      return graph.invoke(input, options);
    case 'stream':
      return all(
        await graph.stream(input, {
          ...options,
          streamMode: ['values', 'updates', 'checkpoints', 'tasks'] as never,
          subgraphs: n % 2 === 0,
        }),
      );
    case 'resume':
      return graph.invoke(
        new Command({ resume: { n }, ...(n % 5 === 0 && { update: { log: ['beside'] } }) }),
        options,
      );
    case 'again':
      return graph.invoke(null, options);
    case 'state':
      return graph.getState(await past());
    case 'subgraphs':
      return graph.getState(at, { subgraphs: true });
    case 'history':
      return all(
        graph.getStateHistory(at, {
          limit: n % 4 === 0 ? undefined : n,
          before: n % 3 === 0 ? await past() : undefined,
          filter: n % 5 === 0 ? { source: 'loop' } : undefined,
        }),
      );
    case 'fork':
      return graph.invoke(n % 2 === 0 ? null : new Command({ resume: 'forked' }), {
        ...options,
        ...(await past()),
      });
    case 'update':
      return [
        await graph.updateState(
          await past(),
          { log: [`updated ${n}`] },
          ['say', 'joined', 'on', undefined][n % 4],
        ),
        await graph.getState(at),
      ];
    case 'bulk':
      return graph.bulkUpdateState(at, [
        { updates: [{ values: { log: ['b'], about: { n } }, asNode: 'say' }] },
        { updates: [{ values: { at: 0, plan }, asNode: 'on' }] },
      ]);
    case 'list': {
      // In the namespace of the graph itself, since savers differ in the order of namespaces.
      const where = { configurable: { ...at.configurable, checkpoint_ns: '' } };
      const listed = await all(
        saver.list(where, { limit: 1 + n, filter: n % 3 === 0 ? { step: n % 5 } : undefined }),
      );
      return listed.map(({ checkpoint, pendingWrites = [], ...rest }) => {
        // The official suite has a first checkpoint hold only what is new in it; MemorySaver keeps
        // empty channels too.
        const { channel_values } = rest.parentConfig ? checkpoint : { channel_values: {} };
        return {
          ...rest,
          checkpoint: { ...checkpoint, channel_values },
          writes: byTask(pendingWrites),
        };
      });
    }
    case 'delete':
      return n % 3 === 0 ? saver.deleteThread(thread) : undefined;
  }
}

const idsAndTimes =
  /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\dT[\d:.]+Z/g;

/** The order of tasks, and of the channels of one, is free. */
function byTask(
  writes: readonly (readonly [task: string, channel: string, value: unknown])[],
): string[] {
  const tasks = new Map<string, string[]>();
  for (const [task, channel, value] of [...writes].sort(([, a], [, b]) =>
    a < b ? -1 : a > b ? 1 : 0,
  ))
    tasks.set(task, [
      ...(tasks.get(task) ?? []),
      `${channel} ${JSON.stringify(value)?.replace(idsAndTimes, '')}`,
    ]);
  return [...tasks.values()].map((each) => each.join('; ')).sort();
}

/**
 * What both worlds must agree on: ids by when they were first seen, no times; messages as what they
 * hold.
 */
function comparable(value: unknown, ids: Map<string, string>): unknown {
  const seen = (text: string): string =>
    text.replace(idsAndTimes, (id) => {
      if (id.endsWith('Z')) return 'a time';
      if (!ids.has(id)) ids.set(id, `id-${ids.size}`);
      return ids.get(id)!;
    });
  const walk = (part: unknown): unknown => {
    if (typeof part === 'string') return seen(part);
    if (typeof part !== 'object' || part === null)
      return typeof part === 'function' ? 'a function' : part;
    if (isBaseMessage(part))
      return [part.constructor.name, part.id, part.content, walk((part as AIMessage).tool_calls)];
    if (part instanceof Error) return [part.name, seen(part.message)];
    if (Array.isArray(part)) return part.map(walk);
    // Of a config what is its graph's own: the checkpointer itself, for one.
    const entries = Object.entries(part).filter(
      ([key, item]) => item !== undefined && !key.startsWith('__pregel_'),
    );
    return Object.fromEntries(entries.map(([key, item]) => [seen(key), walk(item)]));
  };
  return walk(value);
}

it('answers as MemorySaver does, whatever is asked', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 14 }), async (actions) => {
      using pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
      const savers = [new MemorySaver(), new HoldfastSaver(pool) as unknown as BaseCheckpointSaver];
      const worlds = savers.map((saver) => ({
        saver,
        graph: graphOn(saver),
        ids: new Map<string, string>(),
      }));
      for (const each of actions) {
        const answers: unknown[] = [];
        for (const { saver, graph, ids } of worlds) {
          const answer = await perform(graph, saver, each).catch((error: unknown) => error);
          answers.push(comparable(answer, ids));
        }
        expect(answers[1], JSON.stringify(each)).toEqual(answers[0]);
      }
    }),
    { numRuns: 12, seed: 5, endOnFailure: true },
  );
}, 300_000);
