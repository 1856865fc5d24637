/** Holdfast: an embedded, crash-consistent checkpoint store for AI agents. */
export { open, openSync, probe, Holdfast } from './holdfast';
export { Pool } from './pool';
export { resizeByCopy } from './resize';
export { restore } from './restore';
export type { BackupSource } from './restore';
export { salvage } from './salvage';
export type { SalvageOptions } from './salvage';
export { HoldfastError, errorCodes } from './errors';
export type { ArgumentError, ErrorCode } from './errors';
export { codecs } from './codecs';
export type { PlaceReport } from './native-binding';
export type * from './types';
export type * from './run/types';
