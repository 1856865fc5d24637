/**
 * Deleting runs that nobody will ask for again. For adapters: nothing may have been forked from
 * them, and they have no checkpoints.
 *
 * A run goes whole, in one commit under the condition that nobody has begun to drive it: what a
 * crash left is deleted by deleting again. One that is being driven stays, since what it does
 * outside is to be recorded; who drives it deletes it afterwards.
 */
import { isConflict } from '../errors';
import { Slices } from '../slices';
import type { Batch, PoolCore } from '../types';
import { Holder } from './holder';
import { Journals } from './journals';
import { entriesOf, keyPrefix } from './keys';
import { readable } from './unreadable';

/** All runs whose id begins so, but for those that are being driven. */
export async function forgetRuns(pool: PoolCore, prefix: string): Promise<void> {
  for (;;) {
    try {
      await forgetOnce(pool, prefix);
      return;
    } catch (error) {
      // Somebody has begun to drive one of them: once more, around it.
      if (!isConflict(error)) throw error;
    }
  }
}

async function forgetOnce(pool: PoolCore, prefix: string): Promise<void> {
  const journals = Journals.of(pool);
  const slices = new Slices(pool);
  for (const id of journals.headers.keys({ prefix })) {
    addForgetting(journals, slices.batch, id);
    await slices.cut();
  }
  await slices.end();
}

function addForgetting(journals: Journals, batch: Batch, id: string): void {
  const { headers, drivers, driverTexts, entries, signals, intents, resolutions } = journals;
  const driver = driverTexts.get(id);
  // What is damaged is deleted too.
  if (isDriven(journals, id)) return;
  if (driver === undefined) batch.requireAbsent(driverTexts, id);
  else batch.requireEqual(driverTexts, id, driver);
  const uid = uidOf(journals, id);
  if (uid !== undefined)
    for (const key of intents.keys({ prefix: keyPrefix(uid) }))
      batch.delete(intents, key).delete(resolutions, key);
  for (const key of entries.keys(entriesOf(id))) batch.delete(entries, key);
  for (const key of signals.keys(entriesOf(id))) batch.delete(signals, key);
  batch.delete(drivers, id).delete(headers, id);
  journals.ends(batch, id, readable(() => headers.get(id))?.waits);
}

function isDriven({ pool, drivers }: Journals, id: string): boolean {
  return Holder.of(pool).isAlive(
    readable(() => drivers.get(id)),
    id,
  );
}

/** With which the keys of its effects begin. */
function uidOf(journals: Journals, id: string): string | undefined {
  const start = readable(() => journals.first(id));
  return start?.kind === 'start' ? start.uid : undefined;
}
