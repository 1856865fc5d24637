/** Changes of stored items, made only while those are what they were when they were read. */
import { isConflict } from '../../errors';
import type { Batch, CommitOptions, Keyspace, PoolCore } from '../../types';
import type { Texts } from './keys';

/** An item as it is stored. */
export interface Stored {
  readonly texts: Texts;
  readonly bytes: Uint8Array;
}

/**
 * In one commit, or one by one where some have changed: an item that was put again, or deleted,
 * meanwhile stays as it is. Gives how many were changed.
 */
export async function changeUnchanged<T extends Stored>(
  pool: PoolCore,
  stored: Keyspace<Texts, Uint8Array>,
  items: readonly T[],
  change: (batch: Batch, item: T) => unknown,
  options?: CommitOptions,
): Promise<number> {
  if (items.length === 0) return 0;
  const batch = pool.batch();
  for (const item of items) {
    batch.requireEqual(stored, item.texts, item.bytes);
    change(batch, item);
  }
  try {
    await pool.commit(batch, options);
    return items.length;
  } catch (error) {
    if (!isConflict(error)) throw error;
  }
  let changed = 0;
  if (items.length > 1)
    for (const item of items)
      changed += await changeUnchanged(pool, stored, [item], change, options);
  return changed;
}
