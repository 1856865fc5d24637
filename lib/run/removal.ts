/**
 * What deletes one run: all that is kept of it but for its checkpoints.
 *
 * To be put into commits in this order, best into one. Where there are several, a crash between
 * them leaves a finished run whose journal lacks entries between the first and the last, and which
 * is there and finished until the last of these changes: nobody can drive it, nor begin another
 * under its id, and deleting it again deletes the rest.
 */
import type { Change } from '../slices';
import { endOf } from './ended';
import type { RunHeader } from './entries';
import { endedKey, isEmpty, type Journals, waitedFor } from './journals';
import { entriesOf, keyPrefix, signalsFor } from './keys';

/** The idempotency keys of the run's effects without a receipt. */
export function effectsOf(journals: Journals, id: string): string[] {
  const { intents } = journals;
  // Of a pool in which there are none no run's input need be read.
  if (isEmpty(intents.keys({ limit: 1 }))) return [];
  const first = journals.first(id);
  return first?.kind === 'start' ? [...intents.keys({ prefix: keyPrefix(first.uid) })] : [];
}

/** `effects`: see `effectsOf`. No header: it cannot be read, or is not there. */
export function* removalOf(
  journals: Journals,
  id: string,
  header: RunHeader | undefined,
  effects: readonly string[],
): IterableIterator<Change> {
  const { entries, signals, states } = journals;
  const ends: Change[] = [];
  let held: Change | undefined;
  for (const key of entries.keys(entriesOf(id))) {
    if (held !== undefined) {
      if (ends.length === 0) ends.push(held);
      else yield held;
    }
    held = (batch) => void batch.delete(entries, key);
  }
  if (held !== undefined) ends.push(held);
  for (const key of signals.keys(signalsFor(id))) yield (batch) => void batch.delete(signals, key);
  if (header?.format === 1) yield (batch) => void batch.delete(states, id);
  yield (batch) => {
    for (const change of ends) change(batch);
    for (const key of effects)
      batch.delete(journals.intents, key).delete(journals.resolutions, key);
    batch.delete(journals.drivers, id).delete(journals.headers, id);
    if (header?.status !== 'finished') journals.ends(batch, id, header && waitedFor(header));
    else journals.isCalledNoMore(batch, id);
    const ended = header && endOf(journals, id, header);
    if (ended !== undefined) batch.delete(journals.ended, endedKey(id, ended));
  };
}
