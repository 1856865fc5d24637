/**
 * Deleting runs that nobody will ask for again. For adapters: nothing may have been forked from them, and they have no checkpoints.
 *
 * A run goes in commits of its own; its header goes with the last, so what a crash left is deleted by deleting again. Who still
 * drives one of them is fenced.
 */
import { Slices } from '../slices';
import type { PoolCore } from '../types';
import { Journals } from './journals';
import { entriesOf } from './keys';

/** All runs whose id begins so. */
export async function forgetRuns(pool: PoolCore, prefix: string): Promise<void> {
  const journals = Journals.of(pool);
  const { headers, drivers, entries, intents, resolutions } = journals;
  const slices = new Slices(pool);
  for (const id of headers.keys({ prefix })) {
    for (const [sequence, entry] of journals.read(id)) {
      slices.batch.delete(entries, { run: id, sequence });
      if (entry.kind === 'intent') slices.batch.delete(intents, entry.key).delete(resolutions, entry.key);
      await slices.cut();
    }
    for (const key of journals.signals.keys(entriesOf(id))) slices.batch.delete(journals.signals, key);
    slices.batch.delete(drivers, id).delete(headers, id);
    journals.ends(slices.batch, id);
    await slices.cut();
  }
  await slices.end();
}
