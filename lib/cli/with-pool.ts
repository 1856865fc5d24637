/**
 * Opens an existing pool for one command, says what it lives on, and closes it again whatever
 * happens.
 */
import { HoldfastError } from '../errors';
import { open, probe, type Holdfast } from '../index';
import type { PoolCore } from '../types';
import type { Output } from './output';

export async function withPool<T>(
  output: Output,
  path: string,
  work: (pool: Holdfast) => T | Promise<T>,
): Promise<T> {
  return using(output, path, await open(path, { create: 'never' }), work);
}

/**
 * The same for a command that changes nothing: where another process has the pool, or this user may
 * not write it, it is read beside whoever writes.
 */
export async function withReader<T>(
  output: Output,
  path: string,
  work: (pool: Holdfast) => T | Promise<T>,
): Promise<T> {
  return using(output, path, await openToRead(path), work);
}

const READABLE = new Set([
  'ERR_HOLDFAST_LOCKED',
  'ERR_HOLDFAST_PERMISSION',
  'ERR_HOLDFAST_READ_ONLY',
]);

export async function openToRead(path: string): Promise<Holdfast> {
  try {
    return await open(path, { create: 'never' });
  } catch (error) {
    if (!(error instanceof HoldfastError) || !READABLE.has(error.code)) throw error;
    return open(path, { create: 'never', readOnly: true });
  }
}

async function using<T>(
  output: Output,
  path: string,
  pool: Holdfast,
  work: (pool: Holdfast) => T | Promise<T>,
): Promise<T> {
  try {
    output.place({ path, medium: pool.medium, ...pool.durability });
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** Of a pool that a command has just made and closed again. */
export function tellPlace(output: Output, path: string): void {
  const { poolMedium, durability, reason } = probe(path);
  if (poolMedium !== '') output.place({ path, medium: poolMedium, class: durability, reason });
}

/** The part of a machine's answer that says what the pool lives on. */
export function placeOf(pool: PoolCore) {
  return { path: pool.path, medium: pool.medium, durability: pool.durability };
}
