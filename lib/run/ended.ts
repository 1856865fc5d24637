/**
 * The list of the runs that have ended, in the order in which they did, so that what ended long ago
 * is found without looking at the runs that go on or ended since.
 *
 * The commit that ends a run puts it there. Runs that earlier builds have ended are put there once,
 * by the first who asks; until then all runs are looked at. Runs of an adapter are not in it: they
 * go when the adapter says so.
 */
import { Slices } from '../slices';
import { RUN_FORMAT, type RunHeader } from './entries';
import { endedKey, isEmpty, type Journals } from './journals';
import type { MomentKey } from './keys';
import { readable } from './unreadable';

const PAGE = 1024;

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

/** Afterwards all that have ended are in the list. */
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

function* ofAllRuns(journals: Journals): IterableIterator<MomentKey> {
  // By their keys: one that cannot be read hides none behind it.
  for (const id of journals.headers.keys()) {
    const header = readable(() => journals.headers.get(id));
    const at = header && endOf(journals, id, header);
    if (at !== undefined) yield endedKey(id, at);
  }
}
