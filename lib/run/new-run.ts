/** What a commit that begins a run puts into the pool, whoever begins it. */
import { randomBytes } from 'node:crypto';

import { PoolBatch } from '../batch';
import type { Batch } from '../types';
import {
  RUN_FORMAT,
  type DriverRecord,
  type EndEntry,
  type RunHeader,
  type StartEntry,
} from './entries';
import type { Journals } from './journals';

/** Of a run that was begun and not driven yet. */
export const NOBODY: DriverRecord = { token: 0, holder: '' };

interface NewRun extends Pick<RunHeader, 'parent' | 'owner' | 'waits'>, Pick<StartEntry, 'from'> {
  readonly input: unknown;
  readonly driver: DriverRecord;
  /** It is finished from the beginning. */
  readonly end?: EndEntry | undefined;
}

/**
 * Refuses the commit where there is such a run. An input that cannot be stored is refused here, and
 * leaves the batch as it was.
 */
export function putNewRun(
  batch: Batch,
  journals: Journals,
  id: string,
  { input, driver, from, waits, end, ...belongs }: NewRun,
): { header: RunHeader; start: StartEntry } {
  const { headers, entries, drivers } = journals;
  const at = Date.now();
  const uid = randomBytes(16).toString('hex');
  const start: StartEntry = { kind: 'start', at, uid, input, ...(from && { from }) };
  const header: RunHeader = {
    format: RUN_FORMAT,
    status: end ? 'finished' : waits ? 'waiting' : 'running',
    began: at,
    ...(end && { ended: at }),
    ...belongs,
    ...(waits && { waits }),
  };
  batch.put(entries, { run: id, sequence: 0 }, start);
  PoolBatch.putNew(batch, headers, id, header);
  batch.put(drivers, id, driver);
  if (end) {
    batch.put(entries, { run: id, sequence: 1 }, { kind: 'end', at, ms: 0, result: end.result });
    journals.hasEnded(batch, id, at);
  } else journals.begins(batch, id, waits);
  return { header, start };
}
