/**
 * The door of the LangGraph adapter: makes its classes of LangGraph's own, which the caller has
 * loaded.
 */
import { type HoldfastCacheClass, makeCache } from './cache';
import { type HoldfastSaverClass, makeSaver } from './saver';
import { type HoldfastStoreClass, makeStore } from './store';
import { makeDurableTool, type MakeDurableTool } from './tool';
import type { LangGraphModules } from './types';

export type { DurableTool, DurableToolOptions } from './tool';
export type { ThreadPruneOptions } from './prune';
export type { StoreOptions } from './store';
export type { LangGraphModules } from './types';

export function makeLangGraph(modules: LangGraphModules): {
  HoldfastSaver: HoldfastSaverClass;
  HoldfastStore: HoldfastStoreClass;
  HoldfastCache: HoldfastCacheClass;
  durableTool: MakeDurableTool;
} {
  return {
    HoldfastSaver: makeSaver(modules),
    HoldfastStore: makeStore(modules),
    HoldfastCache: makeCache(modules),
    durableTool: makeDurableTool(modules),
  };
}
