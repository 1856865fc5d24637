/** The adapter over LangGraph's modules as the tests see them. */
import { load } from '@langchain/core/load';
import * as checkpoint from '@langchain/langgraph-checkpoint';

import { makeLangGraph, type LangGraphModules } from '../../lib/adapters/langgraph/index';

export const { HoldfastSaver, HoldfastStore, HoldfastCache, durableTool } = makeLangGraph({
  checkpoint: checkpoint as unknown as LangGraphModules['checkpoint'],
  load,
});
