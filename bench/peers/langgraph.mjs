// A LangGraph graph whose message list grows by one message a step, with different savers. Durability "sync": a step is saved
// before the next begins. Only the `agent` workload.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Annotation, END, MemorySaver, START, StateGraph } from '@langchain/langgraph';
import { pair } from './place.mjs';

const require = createRequire(import.meta.url);

function graphOf(checkpointer) {
  const State = Annotation.Root({ messages: Annotation({ reducer: (all, more) => all.concat(more), default: () => [] }) });
  return new StateGraph(State)
    .addNode('say', async () => ({}))
    .addEdge(START, 'say')
    .addEdge('say', END)
    .compile({ checkpointer });
}

function storeOf(facts, saver, close = () => {}) {
  return {
    facts,
    async agent() {
      const graph = graphOf(saver);
      const config = { configurable: { thread_id: 'agent' }, durability: 'sync' };
      // Without a saver the state is handed over whole each time.
      const step = (all, message) => graph.invoke({ messages: saver ? [message] : [...all] }, config);
      return { step, end: async () => {} };
    },
    close,
  };
}

async function sqlite(folder, full) {
  const { SqliteSaver } = await import('@langchain/langgraph-checkpoint-sqlite');
  const saver = SqliteSaver.fromConnString(`${folder}/agent.sqlite`);
  if (full) saver.db.pragma('synchronous = FULL');
  return storeOf(pair(folder, 'file', full ? 'WAL, synchronous FULL' : 'as shipped'), saver, () => saver.db.close());
}

async function holdfast(wish) {
  const entry = fileURLToPath(new URL('../../dist/langgraph.js', import.meta.url));
  if (!existsSync(entry)) throw new Error('the LangGraph adapter is not in this build');
  const { open } = require('../../dist/index.js');
  const { HoldfastSaver } = require(entry);
  const medium = wish.medium === 'pmem' ? { medium: 'pmem', size: 512 * 2 ** 20 } : { medium: 'file' };
  const pool = await open(`${wish.folder}/agent.holdfast`, medium);
  const saver = new HoldfastSaver(pool);
  return storeOf({ medium: pool.medium, class: pool.durability.class, how: 'one record, one barrier' }, saver, () => pool.close());
}

const none = (how) => ({ medium: 'memory', class: 'none', how });
export const drivers = Object.fromEntries([
  { name: 'LangGraph, no saver', open: () => storeOf(none('keeps nothing'), undefined) },
  { name: 'LangGraph, MemorySaver', open: () => storeOf(none('not durable'), new MemorySaver()) },
  { name: 'LangGraph, SqliteSaver', open: ({ folder }) => sqlite(folder, false) },
  { name: 'LangGraph, SqliteSaver FULL', open: ({ folder }) => sqlite(folder, true) },
  { name: 'LangGraph, Holdfast', open: holdfast },
].map((driver) => [driver.name, driver]));
