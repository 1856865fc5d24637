/**
 * The list of the runs that have ended, in the order in which they did, so that what ended long ago
 * is found without looking at the runs that go on or ended since.
 *
 * The commit that ends a run puts it there. Runs that earlier builds have ended are put there once,
 * by the first who asks; until then all runs are looked at. An earlier build may have had the pool
 * since: so each time that it was opened anew all runs are looked at once more, a part of them
 * whenever somebody asks. Runs of an adapter are not in it: they go when the adapter says so.
 */
import { type Change, Slices } from '../slices';
import { RUN_FORMAT, type RunHeader } from './entries';
import { endedKey, isEmpty, type Journals } from './journals';
import type { MomentKey } from './keys';
import { readable } from './unreadable';

const PAGE = 1024;
/** Of runs that an earlier build may have ended. */
const MOST_LOOKS = 4096;

/** When it ended; undefined for one that has not, or that is not to be forgotten here. */
export function endOf(journals: Journals, id: string, header: RunHeader): number | undefined {
  const { status, owner, format, ended } = header;
  if (status !== 'finished' || owner !== undefined || format > RUN_FORMAT) return undefined;
  if (ended !== undefined) return ended;
  // As of format 1.
  const last = readable(() => journals.last(id))?.[1];
  return last?.kind === 'end' ? last.at : undefined;
}

export function* endedBefore(journals: Journals, moment: number): IterableIterator<MomentKey> {
  const most = Math.min(Math.max(0, Math.ceil(moment)), Number.MAX_SAFE_INTEGER);
  if (!journals.knowsEnded) {
    for (const key of ofAllRuns(journals)) if (key.at < most) yield key;
    return;
  }
  // In pages, each as of its own moment: what goes meanwhile need not be held back for the rest.
  const range = { lt: { at: most, run: '' }, limit: PAGE };
  for (let page = [...journals.ended.keys(range)]; page.length > 0;) {
    yield* page;
    page = [...journals.ended.keys({ ...range, gt: page.at(-1) })];
  }
}

/** Afterwards all that have ended are in the list, but for some that an earlier build has ended. */
export async function listEnded(journals: Journals, mayGoOn: () => Promise<void>): Promise<void> {
  if (journals.knowsEnded || isEmpty(journals.headers.keys({ limit: 1 }))) return;
  const slices = new Slices(journals.pool);
  for (const key of ofAllRuns(journals)) {
    // Where a run was deleted meanwhile this leads to nothing, and is taken away by who finds that.
    slices.batch.put(journals.ended, key, new Uint8Array());
    await slices.cut();
    await mayGoOn();
  }
  journals.marksEnded(slices.batch);
  await slices.end();
}

/**
 * Lists what an earlier build may have ended of the next so many runs. One look at all of them
 * begins behind the other, and counts from when it began. Gives what notes how far it has come:
 * where that is not noted the same ones are looked at again.
 */
export async function listMissed(
  journals: Journals,
  mayGoOn: () => Promise<void>,
): Promise<Change | undefined> {
  const { incarnation } = journals;
  const asOf = journals.endedAsOf;
  const begins = asOf.after === undefined;
  if (begins && asOf.incarnation === incarnation) return undefined;
  const slices = new Slices(journals.pool);
  let last: string | undefined;
  let looks = 0;
  for (const id of journals.headers.keys(begins ? {} : { gt: asOf.after! })) {
    if (++looks > MOST_LOOKS) break;
    last = id;
    const key = endedKeyOf(journals, id);
    if (key && !journals.ended.has(key)) slices.batch.put(journals.ended, key, new Uint8Array());
    await slices.cut();
    await mayGoOn();
  }
  await slices.end();
  const as = begins ? incarnation : asOf.incarnation;
  const after = looks > MOST_LOOKS ? last : undefined;
  return (batch) => void journals.marksEnded(batch, as, after);
}

function* ofAllRuns(journals: Journals): IterableIterator<MomentKey> {
  // By their keys: one that cannot be read hides none behind it.
  for (const id of journals.headers.keys()) {
    const key = endedKeyOf(journals, id);
    if (key !== undefined) yield key;
  }
}

function endedKeyOf(journals: Journals, id: string): MomentKey | undefined {
  const header = readable(() => journals.headers.get(id));
  const at = header && endOf(journals, id, header);
  return at === undefined ? undefined : endedKey(id, at);
}
