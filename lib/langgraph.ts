/**
 * `holdfast/langgraph` for CommonJS: takes LangGraph's CommonJS build. The ES module beside it takes the other one, so that in
 * either world messages come back as instances of the classes that the user's own code sees.
 */
import type { BaseStore } from '@langchain/langgraph-checkpoint';

import { makeLangGraph } from './adapters/langgraph/index';
import type { LangGraphModules, StoreOptions } from './adapters/langgraph/index';
import type { PoolCore } from './types';

function load(name: string): unknown {
  try {
    return require(name);
  } catch (cause) {
    throw new Error(`holdfast/langgraph needs ${name}: npm install @langchain/langgraph @langchain/core`, { cause });
  }
}

const made = makeLangGraph({
  checkpoint: load('@langchain/langgraph-checkpoint') as LangGraphModules['checkpoint'],
  load: (load('@langchain/core/load') as Pick<LangGraphModules, 'load'>).load,
});

export const HoldfastSaver = made.HoldfastSaver;
export type HoldfastSaver = InstanceType<typeof HoldfastSaver>;
/** The results of `batch` have a type that only LangGraph's own is assignable to. */
export type HoldfastStore = Omit<InstanceType<typeof made.HoldfastStore>, 'batch'> & Pick<BaseStore, 'batch'>;
export const HoldfastStore = made.HoldfastStore as unknown as new (pool: PoolCore, options?: StoreOptions) => HoldfastStore;
export const HoldfastCache = made.HoldfastCache;
export type HoldfastCache = InstanceType<typeof HoldfastCache>;
export { durableTool } from './adapters/langgraph/index';
export type { DurableTool, DurableToolOptions, StoreOptions, ThreadPruneOptions } from './adapters/langgraph/index';
