/**
 * Damage that concerns one run, or one record: whoever lists or claims goes on past it and says so.
 */
import { type ErrorCode, HoldfastError } from '../errors';

/** What is wrong with one run and says nothing of the others. */
const OF_ONE_RUN: readonly ErrorCode[] = [
  'ERR_HOLDFAST_CORRUPT',
  'ERR_HOLDFAST_NEWER_FORMAT',
  'ERR_HOLDFAST_CODEC',
];

export function isOfOneRun(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && OF_ONE_RUN.includes(error.code);
}

/** What `read` gives, or undefined where the record it reads is damaged. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
    return undefined;
  }
}
