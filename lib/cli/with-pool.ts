/**
 * Opens an existing pool for one command, says what it lives on, and closes it again whatever
 * happens.
 */
import { open, type Holdfast } from '../index';
import type { PoolCore } from '../types';
import type { Output } from './output';

export async function withPool<T>(
  output: Output,
  path: string,
  work: (pool: Holdfast) => T | Promise<T>,
): Promise<T> {
  const pool = await open(path, { create: 'never' });
  try {
    output.place({ path, medium: pool.medium, ...pool.durability });
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** The part of a machine's answer that says what the pool lives on. */
export function placeOf(pool: PoolCore) {
  return { path: pool.path, medium: pool.medium, durability: pool.durability };
}
