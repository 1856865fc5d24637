/**
 * Programs as users of LangGraph write them, whose effects go through what the world gives them.
 *
 * Each says nothing but what follows from its state, its input and the answers it is given, so a
 * program that was killed and went on must end as one that never was.
 */
import { AIMessage, type BaseMessage, HumanMessage } from '@langchain/core/messages';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { tool } from '@langchain/core/tools';
import {
  Annotation,
  type BaseCheckpointSaver,
  type BaseStore,
  Command,
  END,
  entrypoint,
  getConfig,
  getPreviousState,
  interrupt,
  messagesStateReducer,
  Send,
  START,
  StateGraph,
  task,
} from '@langchain/langgraph';
import { createReactAgent, ToolNode } from '@langchain/langgraph/prebuilt';
import type { BaseCache } from '@langchain/langgraph-checkpoint';

/** An effect: the same for the same arguments, whatever dies. */
export type Effect = (args: unknown, config: object) => Promise<unknown>;

/** What a program runs on. */
export interface World {
  readonly checkpointer: BaseCheckpointSaver;
  readonly store: BaseStore;
  readonly cache: BaseCache;
  effect(name: string): Effect;
}

export interface Turn {
  /** As the state's `turns` will hold it. */
  readonly id: string;
  readonly input: unknown;
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface Program {
  readonly graph: Driven;
  readonly turns: readonly Turn[];
  readonly answer: (question: unknown) => unknown;
  /** Whether the turn with this id has come into the state. */
  readonly has: (values: Readonly<Record<string, unknown>>, turn: string) => boolean;
}

/** Of a compiled graph what a client calls. */
export interface Driven {
  invoke(input: unknown, config: object): Promise<unknown>;
  getState(config: object, options?: object): Promise<Snapshot>;
  getStateHistory(config: object): AsyncIterableIterator<Snapshot>;
  updateState(config: object, values: unknown, asNode?: string): Promise<object>;
}

export interface Snapshot {
  readonly values: Record<string, unknown>;
  readonly config: object;
  readonly metadata?: { readonly source?: string; readonly step?: number };
  readonly tasks: readonly {
    readonly name: string;
    readonly interrupts: readonly { readonly id?: string; readonly value?: unknown }[];
  }[];
}

const appended = Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] });
const merged = Annotation<Record<string, unknown>>({
  reducer: (a, b) => ({ ...a, ...b }),
  default: () => ({}),
});
const Log = Annotation.Root({
  turns: appended,
  turn: Annotation<string>,
  log: appended,
  about: merged,
});
type LogState = typeof Log.State;

const hasTurn: Program['has'] = ({ turns }, turn) =>
  ((turns as string[] | undefined) ?? []).includes(turn);
const echo = (question: unknown): unknown => ({ to: question, answer: 'yes' });

/** Asks until it is the answer to this question that comes. */
function ask(question: string): string {
  for (;;) {
    const given = interrupt(question) as { to?: unknown; answer?: string } | undefined;
    if (given?.to === question) return given.answer!;
  }
}

const turnsOf = (...ids: string[]): Turn[] =>
  ids.map((id) => ({ id, input: { turns: [id], turn: id } }));

/** A model, its tools, and a human who is asked by one of them. */
function agent({ checkpointer, effect }: World): Program {
  const pay = effect('pay');
  const look = effect('look');
  const tools = [
    tool(async (args: { cents: number }, config) => JSON.stringify(await pay(args, config)), {
      name: 'pay',
      description: 'pays',
      schema: { type: 'object', properties: { cents: { type: 'number' } } } as never,
    }),
    tool(
      async (args: { at: string }, config) =>
        `${JSON.stringify(await look(args, config))} ${ask(args.at)}`,
      {
        name: 'look',
        description: 'looks',
        schema: { type: 'object', properties: { at: { type: 'string' } } } as never,
      },
    ),
  ];
  /** Says what follows from the messages, so it needs no memory of its own. */
  class Model extends FakeListChatModel {
    override async _generate(messages: BaseMessage[]) {
      const said = messages.filter((one) => one.getType() === 'ai').length;
      const calls = [
        [{ id: `p${said}`, name: 'pay', args: { cents: said } }],
        [
          { id: `l${said}`, name: 'look', args: { at: `l${said}` } },
          { id: `q${said}`, name: 'pay', args: { cents: 100 + said } },
          { id: `m${said}`, name: 'look', args: { at: `m${said}` } },
        ],
        [],
      ][said % 3]!;
      const message = new AIMessage({
        id: `ai-${said}`,
        content: `said ${said} `.repeat(20),
        tool_calls: calls,
      });
      return { generations: [{ message, text: '' }] };
    }
    bindTools() {
      return this;
    }
  }
  const graph = createReactAgent({
    llm: new Model({ responses: ['unused'] }) as never,
    tools: new ToolNode(tools),
    checkpointer,
  }) as unknown as Driven;
  const turns = ['a', 'b'].map((id) => ({
    id,
    input: { messages: [new HumanMessage({ id, content: `do ${id}` })] },
  }));
  const has: Program['has'] = ({ messages }, turn) =>
    ((messages as BaseMessage[] | undefined) ?? []).some(({ id }) => id === turn);
  return { graph, turns, answer: echo, has };
}

/** Many tasks of one step, each with an effect, some of which ask. */
function fan(many: number): (world: World) => Program {
  return ({ checkpointer, effect }) => {
    const work = effect('work');
    const graph = new StateGraph(Log)
      .addNode('plan', ({ turns }) => ({ log: [`planned ${turns.length}`] }))
      .addNode('work', async ({ n, turn }: { n: number; turn: string }, config) => {
        const done = await work({ n, turn }, config);
        const said = n % 40 === 3 ? ask(`${turn} ${n}`) : 'unasked';
        return { about: { [`${turn} ${n}`]: { done, said, text: 'x'.repeat(n * 10) } } };
      })
      .addNode('join', ({ about }) => ({ log: [`joined ${Object.keys(about).length}`] }))
      .addEdge(START, 'plan')
      .addConditionalEdges(
        'plan',
        ({ turns }) =>
          Array.from({ length: many }, (_, n) => new Send('work', { n, turn: turns.at(-1) })),
        ['work'],
      )
      .addEdge('work', 'join')
      .addEdge('join', END)
      .compile({ checkpointer }) as unknown as Driven;
    return { graph, turns: turnsOf('a', 'b'), answer: echo, has: hasTurn };
  };
}

/** Subgraphs: one that may remember its turns, one called in a node, one in another. */
const nested =
  (remembers: boolean) =>
  ({ checkpointer, effect }: World): Program => {
    const deep = effect('deep');
    const inner = (name: string, kept: boolean) =>
      new StateGraph(Annotation.Root({ log: appended, seen: appended, turn: Annotation<string> }))
        .addNode('first', async ({ seen, turn }, config) => ({
          seen: [`${name} ${seen.length}`],
          log: [JSON.stringify(await deep({ name, seen: seen.length, turn }, config))],
        }))
        .addNode('second', ({ seen }) => ({ log: [`${name} ${ask(`${name} ${seen.length}`)}`] }))
        .addEdge(START, 'first')
        .addEdge('first', 'second')
        .addEdge('second', END)
        .compile(kept ? { checkpointer: true } : {});
    const outer = new StateGraph(Annotation.Root({ log: appended, turn: Annotation<string> }))
      .addNode('before', () => ({ log: ['outer'] }))
      .addNode('inner', inner('inner', false))
      .addNode(
        'leave',
        () => new Command({ graph: Command.PARENT, goto: 'last', update: { log: ['left'] } }),
      )
      .addEdge(START, 'before')
      .addEdge('before', 'inner')
      .addEdge('inner', 'leave')
      .compile();
    const called = inner('called', false);
    const graph = new StateGraph(Log)
      .addNode('kept', inner('kept', remembers))
      .addNode('call', async ({ turn }, config) => ({
        log: (await called.invoke({ log: [], turn }, config)).log,
      }))
      .addNode('outer', outer, { ends: ['last'] })
      .addNode('last', ({ log }) => ({ log: [`last ${log.length}`] }))
      .addEdge(START, 'kept')
      .addEdge('kept', 'call')
      .addEdge('call', 'outer')
      .addEdge('last', END)
      .compile({ checkpointer }) as unknown as Driven;
    // LangGraph with any saver: one that remembers, and is cut off before it has begun its turn,
    // gives what its turn before gave.
    const turns = remembers ? turnsOf('a') : turnsOf('a', 'b');
    return { graph, turns, answer: echo, has: hasTurn };
  };

/** Three who ask at once and are answered one by one; a stop before, and one behind a node. */
function questions({ checkpointer, effect }: World): Program {
  const tell = effect('tell');
  const graph = new StateGraph(Log);
  const asking = ['x', 'y', 'z'] as const;
  const built = asking.reduce(
    (so, name) =>
      so
        .addNode(name, async ({ turns }: LogState, config) => {
          const asked = await tell({ name, turn: turns.at(-1) }, config);
          const [one, two] = [ask(`${name} 1`), name === 'y' ? ask('y 2') : ''];
          return { log: [`${name} ${one} ${two}`], about: { [name]: { asked, one, two } } };
        })
        .addEdge(START, name as never)
        .addEdge(name as never, 'stop' as never) as typeof so,
    graph,
  ) as unknown as StateGraph<typeof Log, LogState, Partial<LogState>, string>;
  const compiled = built
    .addNode('stop', ({ log }) => ({ log: [`stop ${log.length}`] }))
    .addNode('goes', () => new Command({ goto: 'end', update: { log: ['goes'] } }), {
      ends: ['end'],
    })
    .addNode('end', ({ log }) => ({ log: [`end ${log.length}`] }))
    .addEdge('stop', 'goes')
    .compile({ checkpointer, interruptBefore: ['stop'], interruptAfter: ['goes'] as never });
  return {
    graph: compiled as unknown as Driven,
    turns: turnsOf('a', 'b'),
    answer: echo,
    has: hasTurn,
  };
}

/** The functional API: tasks beside each other, a question, and what was returned before. */
function functional({ checkpointer, effect }: World): Program {
  const add = effect('add');
  const one = task('one', async (n: number) => add({ n }, getConfig()));
  const two = task(
    { name: 'two', retry: { maxAttempts: 2, initialInterval: 1 } },
    async (n: number) => n * 2,
  );
  interface Kept {
    turns: string[];
    log: string[];
  }
  const flow = entrypoint(
    { name: 'flow', checkpointer },
    async ({ turns }: { turns: string[] }) => {
      const before = getPreviousState<Kept>() ?? { turns: [], log: [] };
      const base = before.log.length;
      const done = await Promise.all([0, 1, 2].map((n) => one(100 * base + n)));
      const doubled = await two(base);
      const said = ask(`flow ${base}`);
      const last = await one(1000 + base);
      const value = {
        turns: [...before.turns, ...turns],
        log: [...before.log, JSON.stringify([done, doubled, said, last])],
      };
      return entrypoint.final({ value, save: value });
    },
  );
  return {
    graph: flow as unknown as Driven,
    turns: turnsOf('a', 'b', 'c'),
    answer: echo,
    has: (values, turn) => hasTurn(values ?? {}, turn),
  };
}

/** Nodes that fail and are tried again, a loop that meets its limit, the store and the cache. */
function hardships({ checkpointer, store, cache, effect }: World): Program {
  const act = effect('act');
  const flaky = effect('flaky');
  const graph = new StateGraph(Log)
    .addNode(
      'flaky',
      async ({ turns, log }, config) => {
        const done = await flaky({ turn: turns.at(-1), at: log.length }, config);
        if ((config.executionInfo?.nodeAttempt ?? 3) < 3) throw new Error('not yet');
        return { log: [`flaky ${JSON.stringify(done)}`] };
      },
      {
        retryPolicy: {
          maxAttempts: 3,
          initialInterval: 1,
          jitter: false,
          logWarning: false,
          retryOn: () => true,
        },
      },
    )
    .addNode('remember', async ({ turns, log }, config) => {
      const kept = config.store!;
      await kept.put(['notes', turns.at(-1)!], `${log.length}`, { n: log.length });
      const found = await kept.search(['notes'], { limit: 100 });
      return { log: [`notes ${found.length}`] };
    })
    .addNode('cached', ({ turns }) => ({ log: [`cached ${turns.length}`] }), {
      cachePolicy: { keyFunc: () => 'same' },
    })
    .addNode('loop', async ({ log }, config) => {
      const done = await act({ at: log.length }, config);
      return { log: [`loop ${JSON.stringify(done)}`], about: { [`${log.length}`]: done } };
    })
    .addEdge(START, 'flaky')
    .addEdge('flaky', 'remember')
    .addEdge('remember', 'cached')
    .addEdge('cached', 'loop')
    .addConditionalEdges('loop', ({ log }) => (log.length % 12 === 0 ? END : 'loop'), ['loop', END])
    .compile({ checkpointer, store, cache }) as unknown as Driven;
  const turns = turnsOf('a', 'b').map((turn) => ({ ...turn, options: { recursionLimit: 6 } }));
  return { graph, turns, answer: echo, has: hasTurn };
}

export const programs: Readonly<Record<string, (world: World) => Program>> = {
  agent,
  fan: fan(12),
  nested: nested(false),
  remembering: nested(true),
  questions,
  functional,
  hardships,
};

/** Too long for every run. */
export const longPrograms: typeof programs = { fan100: fan(100) };
