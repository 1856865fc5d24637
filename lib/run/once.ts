/**
 * Operations that are applied once, whoever asks for them again.
 *
 * The changes and the record of the operation are one commit, under the condition that there is no
 * such record yet. A crash leaves both or neither, so asking again after one is always right.
 * Records stay until somebody says that nobody will ask again for operations that old.
 */
import { PoolBatch } from '../batch';
import { HoldfastError, isConflict } from '../errors';
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
    if (!isConflict(error)) throw error;
    const meanwhile = operations.get(id);
    // One of the batch's own conditions.
    if (!meanwhile) throw error;
    return again(pool, id, batch, digest, meanwhile);
  }
}

/**
 * Removes the records of operations that were applied before a moment, or longer ago than so many
 * milliseconds.
 */
export async function forgetOperations(
  pool: PoolCore,
  given?: { olderThan?: Date | number },
): Promise<ForgottenOperations> {
  const { olderThan } = optionsObject(given, 'forgetOperations', ['olderThan']);
  // There is no default: what is forgotten could be applied a second time.
  const before = olderThanOption(olderThan);
  for (let removed = 0; ;) {
    const pass = new Forgetting(pool, before);
    try {
      await pass.run();
      return { removed: removed + pass.removed, kept: pass.kept };
    } catch (error) {
      // Somebody else forgets at the same time: what is left is looked at again.
      if (!isConflict(error)) throw error;
      removed += pass.removed;
    }
  }
}

/** Looks once at all operations. What it was refused to remove is not counted. */
class Forgetting {
  removed = 0;
  kept = 0;

  constructor(
    private readonly pool: PoolCore,
    private readonly before: number,
  ) {}

  async run(): Promise<void> {
    const { operations } = Journals.of(this.pool);
    const slices = new Slices(this.pool);
    let gathered = 0;
    for (const [id, operation] of operations.range()) {
      if (operation.at >= this.before) {
        this.kept += 1;
        continue;
      }
      gathered += 1;
      slices.batch.requireEqual(operations, id, operation).delete(operations, id);
      await slices.cut();
      if (slices.batch.length > 0) continue;
      this.removed += gathered;
      gathered = 0;
    }
    await slices.end();
    this.removed += gathered;
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
  // The first time may still be on its way to its barrier, and what is answered here must be
  // durable.
  await pool.settled();
  return { applied: false, class: pool.durability.class };
}
