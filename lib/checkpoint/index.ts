/** Checkpoints: saved values whose cost follows what changed. What leaves this folder. */
export type { Making } from './alike';
export { compare } from './compare';
export type { Difference } from './diff';
export type { Family } from './families';
export { type Parts, PartStore } from './parts';
export type { PruneOptions, PruneReport } from './pruning';
export { revive } from './revive';
export type { Shadow } from './shadow';
export { type CheckpointInfo, CheckpointStore, type SaveOptions } from './store';
