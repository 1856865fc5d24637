/**
 * Operations that are applied once, whoever asks for them again.
 *
 * The changes and the record of the operation are one commit, under the condition that there is no such record yet. A crash
 * leaves both or neither, so asking again after one is always right.
 */
import { PoolBatch } from '../batch';
import { HoldfastError } from '../errors';
import type { AppliedOnce } from './types';
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
