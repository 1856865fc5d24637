/** LangGraph's own conformance suite, whole. */
import { join } from 'node:path';

import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import {
  type CheckpointSaverTestInitializer,
  deltaChannelHistoryTests,
  validate,
} from '@langchain/langgraph-checkpoint-validation';

import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-official');
let number = 0;
const pools = new Map<BaseCheckpointSaver, Holdfast>();

const initializer: CheckpointSaverTestInitializer<BaseCheckpointSaver> = {
  checkpointerName: 'HoldfastSaver',
  createCheckpointer() {
    const pool = openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
    const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
    pools.set(saver, pool);
    return saver;
  },
  async destroyCheckpointer(saver) {
    await pools.get(saver)?.close();
    pools.delete(saver);
  },
};

validate(initializer);
deltaChannelHistoryTests(initializer);
