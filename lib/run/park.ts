/**
 * Runs that were parked, because they failed, go on when somebody says so.
 *
 * One commit, under the condition that the run is as it was seen: a crash leaves it parked or not.
 */
import { isConflict } from '../errors';
import type { CommitReceipt, PoolCore } from '../types';
import type { RunHeader } from './entries';
import { Journals } from './journals';
import { checkRunId } from './keys';
import { checkFormat } from './open';
import { noRunError } from './signals';

export async function unparkRun(pool: PoolCore, id: string): Promise<CommitReceipt | undefined> {
  checkRunId(id);
  const journals = Journals.of(pool);
  for (;;) {
    const header = journals.headers.get(id);
    if (header === undefined) throw noRunError(id);
    if (!isParked(header)) return undefined;
    checkFormat(id, header);
    const { waits, parked: _parked, failed: _failed, ...rest } = header;
    const batch = pool.batch().requireEqual(journals.headers, id, header);
    batch.put(journals.headers, id, { ...rest, status: 'running' });
    journals.waits(batch, id, waits, undefined);
    journals.callsParent(batch, header.parent);
    try {
      return await pool.commit(batch);
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Somebody began to drive it at the same time, or unparked it: it is looked at again.
    }
  }
}

/** A release that knows nothing of parking leaves the mark when it drives the run. */
export function isParked({ status, parked, waits = [] }: RunHeader): boolean {
  return status === 'waiting' && parked === true && waits.every((wait) => 'until' in wait);
}
