/**
 * Operations that are applied once, whoever asks for them again.
 *
 * The changes and the record of the operation are one commit, under the condition that there is no such record yet. A crash
 * leaves both or neither, so asking again after one is always right. Records stay until somebody says that nobody will ask again
 * for operations that old.
 */
import { PoolBatch } from '../batch';
import { HoldfastError } from '../errors';
import { olderThanOption, optionsObject } from '../options';
import { Slices } from '../slices';
import type { AppliedOnce, ForgottenOperations } from './types';
import type { Batch, PoolCore } from '../types';
import { Journals, type Operation } from './journals';
import { checkOperationId } from './keys';

export async function applyOnce(pool: PoolCore, id: string, batch: Batch): Promise<AppliedOnce> {
  checkOperationId(id);
  const { operations } = Journals.of(pool);
  const digest = PoolBatch.digest(batch);
  const before = operations.get(id);
  if (before) return again(pool, id, batch, digest, before);
  batch.requireAbsent(operations, id).put(operations, id, { digest, at: Date.now() });
  try {
    const receipt = await pool.commit(batch);
    return { applied: true, epoch: receipt.epoch, class: receipt.class };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'ERR_HOLDFAST_CONFLICT') throw error;
    const meanwhile = operations.get(id);
    // One of the batch's own conditions.
    if (!meanwhile) throw error;
    return again(pool, id, batch, digest, meanwhile);
  }
}

/** Removes the records of operations that were applied before a moment, or longer ago than so many milliseconds. */
export async function forgetOperations(pool: PoolCore, given?: { olderThan?: Date | number }): Promise<ForgottenOperations> {
  const { olderThan } = optionsObject(given, 'forgetOperations');
  // There is no default: what is forgotten could be applied a second time.
  const before = olderThanOption(olderThan);
  const { operations } = Journals.of(pool);
  let removed = 0;
  let kept = 0;
  const slices = new Slices(pool);
  for (const [id, operation] of operations.range()) {
    if (operation.at >= before) {
      kept += 1;
      continue;
    }
    removed += 1;
    slices.batch.requireEqual(operations, id, operation).delete(operations, id);
    await slices.cut();
  }
  await slices.end();
  return { removed, kept };
}

async function again(
  pool: PoolCore,
  id: string,
  batch: Batch,
  digest: string,
  before: Operation,
): Promise<AppliedOnce> {
  batch.clear();
  if (before.digest !== digest) {
    throw new HoldfastError(
      'ERR_HOLDFAST_OPERATION_MISMATCH',
      `operation ${JSON.stringify(id)} was applied on ${new Date(before.at).toISOString()} with other changes ` +
        `(digest ${before.digest}, now ${digest}). Nothing was changed. Give what is another operation another id`,
    );
  }
  // The first time may still be on its way to its barrier, and what is answered here must be durable.
  await pool.settled();
  return { applied: false, class: pool.durability.class };
}
