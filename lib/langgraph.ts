/**
 * `holdfast/langgraph` for CommonJS: takes LangGraph's CommonJS build. The ES module beside it
 * takes the other one, so that in either world messages come back as instances of the classes that
 * the user's own code sees.
 */
import type { BaseStore } from '@langchain/langgraph-checkpoint';

import { makeLangGraph } from './adapters/langgraph/index';
import type { LangGraphModules, StoreOptions } from './adapters/langgraph/index';
import type { PoolCore } from './types';

function load(name: string): unknown {
  try {
    return require(name);
  } catch (cause) {
    throw new Error(
      `holdfast/langgraph needs ${name}: npm install @langchain/langgraph @langchain/core`,
      { cause },
    );
  }
}

const made = makeLangGraph({
  checkpoint: load('@langchain/langgraph-checkpoint') as LangGraphModules['checkpoint'],
  load: (load('@langchain/core/load') as Pick<LangGraphModules, 'load'>).load,
});

/**
 * LangGraph's checkpointer: `builder.compile({ checkpointer: new HoldfastSaver(pool) })`. Each
 * checkpoint and each task's writes are one commit, durable when its promise resolves; what a step
 * did not change is not written again. With a serializer of your own its bytes are stored.
 * docs/langgraph.md
 */
export const HoldfastSaver = made.HoldfastSaver;
export type HoldfastSaver = InstanceType<typeof HoldfastSaver>;
/** The results of `batch` have a type that only LangGraph's own is assignable to. */
export type HoldfastStore = Omit<InstanceType<typeof made.HoldfastStore>, 'batch'> &
  Pick<BaseStore, 'batch'>;
/**
 * LangGraph's long-term store: `builder.compile({ store: new HoldfastStore(pool) })`. One `batch`
 * is one durable commit. With `{ ttl: { defaultTtl } }` (minutes) items are forgotten when their
 * time is over, and `sweep()` gives their space back.
 */
export const HoldfastStore = made.HoldfastStore as unknown as new (
  pool: PoolCore,
  options?: StoreOptions,
) => HoldfastStore;
/**
 * LangGraph's cache of nodes' results: `builder.compile({ cache: new HoldfastCache(pool) })`. After
 * a crash the last few may be computed again. `sweep()` gives back the space of those that have
 * outlived their time.
 */
export const HoldfastCache = made.HoldfastCache;
export type HoldfastCache = InstanceType<typeof HoldfastCache>;
/**
 * A tool with an outside effect, for use in a node: `await charge({ cents: 5 }, config)`. Its
 * intent is committed before `fn` is called, its receipt after it; a node that is run again, by
 * another process too, gets the receipt's result. An effect of which neither a receipt nor the
 * probe tells is `ERR_HOLDFAST_OUTCOME_UNKNOWN`; a call with other arguments than recorded is
 * `ERR_HOLDFAST_DIVERGED`. Not with `durability: 'exit'`.
 */
export const durableTool = made.durableTool;
export type {
  DurableTool,
  DurableToolOptions,
  StoreOptions,
  ThreadPruneOptions,
} from './adapters/langgraph/index';
