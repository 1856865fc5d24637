// A LangGraph graph whose message list grows by one message a step, with different savers; one run,
// each step a turn of the graph's loop, as an agent's are. Durability "sync": a step is saved
// before the next begins.
import { createRequire } from 'node:module';

import { Annotation, END, MemorySaver, START, StateGraph } from '@langchain/langgraph';
import { pair } from './place.mjs';

const require = createRequire(import.meta.url);

function storeOf(facts, checkpointer, close = () => {}) {
  return {
    facts,
    async agent(steps) {
      const State = Annotation.Root({
        messages: Annotation({ reducer: (all, more) => all.concat(more), default: () => [] }),
      });
      const drive = async (next, done) => {
        let made = 0;
        const graph = new StateGraph(State)
          .addNode('say', async () => {
            // The step before is saved by now: that is what "sync" promises.
            if (made > 0) done();
            made += 1;
            return { messages: [{ role: 'assistant', id: `message-${made}`, content: next() }] };
          })
          .addEdge(START, 'say')
          .addConditionalEdges('say', () => (made < steps ? 'say' : END))
          .compile({ checkpointer });
        await graph.invoke(
          { messages: [] },
          { configurable: { thread_id: 'agent' }, durability: 'sync', recursionLimit: steps + 10 },
        );
        done();
      };
      return { drive, end: async () => {} };
    },
    close,
  };
}

async function sqlite(folder, full) {
  const { SqliteSaver } = await import('@langchain/langgraph-checkpoint-sqlite');
  const saver = SqliteSaver.fromConnString(`${folder}/agent.sqlite`);
  if (full) saver.db.pragma('synchronous = FULL');
  const facts = pair(folder, 'file', full ? 'WAL, synchronous FULL' : 'as shipped');
  return storeOf(facts, saver, () => saver.db.close());
}

async function holdfast({ folder, medium, room }) {
  const { open } = require('../../dist/index.js');
  // The saver is made of LangGraph's own classes, those of bench/node_modules here:
  // holdfast/langgraph does the same with the user's.
  const { makeLangGraph } = require('../../dist/adapters/langgraph/index.js');
  const checkpoint = await import('@langchain/langgraph-checkpoint');
  const { load } = await import('@langchain/core/load');
  const { HoldfastSaver } = makeLangGraph({ checkpoint, load });
  const pool = await open(
    `${folder}/agent.holdfast`,
    medium === 'pmem' ? { medium, size: Math.max(128 * 2 ** 20, room * 4) } : { medium },
  );
  return storeOf(
    { medium: pool.medium, class: pool.durability.class, how: 'one record, one barrier' },
    new HoldfastSaver(pool),
    () => pool.close(),
  );
}

const none = (how) => ({ medium: 'memory', class: 'none', how });
export const drivers = Object.fromEntries(
  [
    { name: 'LangGraph, no saver', open: () => storeOf(none('keeps nothing'), undefined) },
    { name: 'LangGraph, MemorySaver', open: () => storeOf(none('not durable'), new MemorySaver()) },
    { name: 'LangGraph, SqliteSaver', open: ({ folder }) => sqlite(folder, false) },
    { name: 'LangGraph, SqliteSaver FULL', open: ({ folder }) => sqlite(folder, true) },
    { name: 'LangGraph, Holdfast', open: holdfast },
  ].map((driver) => [driver.name, driver]),
);
