/** The options of commands that make a pool. */
import { Option } from 'commander';

import { byteSizeFromOne } from './numbers';

export interface NewPoolOptions {
  readonly medium: 'auto' | 'pmem' | 'file';
  readonly size?: number;
  readonly grow?: boolean;
  readonly json?: boolean;
}

/** `words`: of which pool it is the medium. */
export function mediumOption(words: string, flag = '--medium'): Option {
  return new Option(`${flag} <medium>`, words).choices(['auto', 'pmem', 'file']).default('auto');
}

export const newMediumOption = (): Option => mediumOption('medium of the new pool');

export const newGrowOption = (): Option =>
  new Option('--grow', 'on persistent memory: take space as it is needed, at most --size');

export const newSizeOption = (): Option =>
  new Option('--size <size>', 'size of the new pool, such as 8G').argParser(byteSizeFromOne);
