/**
 * What has a time to live, in the store and in the cache: it is not seen any more once that is
 * over, and removed when somebody sweeps.
 */
import { structured } from '../../codecs';
import { isConflict } from '../../errors';
import type { Keyspace, PoolCore } from '../../types';
import type { Texts } from './keys';

export interface Mortal {
  /** Milliseconds since 1970, by the system's clock. */
  readonly expiresAt?: number;
}

/** As it is stored. */
export interface Stored {
  readonly texts: Texts;
  readonly bytes: Uint8Array;
}

const sweptTogether = 256;

export function isOver({ expiresAt }: Mortal, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now;
}

/**
 * Removes all of a keyspace that have outlived their time; gives their number. A crash leaves some
 * of them.
 */
export async function sweep(pool: PoolCore, stored: Keyspace<Texts, Uint8Array>): Promise<number> {
  const now = Date.now();
  let swept = 0;
  let over: Stored[] = [];
  for (const [texts, bytes] of stored.range()) {
    if (!isOver(structured.decode(bytes) as Mortal, now)) continue;
    if (over.push({ texts, bytes }) < sweptTogether) continue;
    swept += await remove(pool, stored, over);
    over = [];
  }
  return swept + (await remove(pool, stored, over));
}

/**
 * In one commit, or one by one where some have changed: one that was put again, or deleted,
 * meanwhile stays as it is.
 */
async function remove(
  pool: PoolCore,
  stored: Keyspace<Texts, Uint8Array>,
  over: readonly Stored[],
): Promise<number> {
  if (over.length === 0) return 0;
  const batch = pool.batch();
  for (const { texts, bytes } of over)
    batch.requireEqual(stored, texts, bytes).delete(stored, texts);
  try {
    await pool.commit(batch);
    return over.length;
  } catch (error) {
    if (!isConflict(error)) throw error;
  }
  let swept = 0;
  if (over.length > 1) for (const one of over) swept += await remove(pool, stored, [one]);
  return swept;
}
