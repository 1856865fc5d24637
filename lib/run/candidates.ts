/**
 * Which runs may be runnable, without looking at all that wait: those that are awake, those that
 * sleep no longer, and those for which a signal or the resolution of an outcome has come. Each is
 * still to be looked at; none that is runnable is left out.
 */
import type { RangeOptions } from '../types';
import type { Journals } from './journals';
import { isOfOneRun, readable } from './unreadable';

type Ids = Pick<RangeOptions<string>, 'prefix' | 'gt' | 'lt' | 'lte' | 'reverse'>;

/** In the order of their ids. */
export function* candidates(journals: Journals, range: Ids): IterableIterator<string> {
  if (!journals.knowsAwake) {
    yield* journals.open.keys(range);
    return;
  }
  const reverse = range.reverse === true;
  const called = [...calledFor(journals)]
    .filter((id) => isWithin(id, range))
    .sort(reverse ? (a, b) => compare(b, a) : compare);
  let next = 0;
  // The awake stand at 0, whatever the clock says.
  const now = Math.max(0, Date.now());
  for (const [id, until] of awakeOf(journals, range)) {
    for (
      ;
      next < called.length &&
      (reverse ? compare(called[next]!, id) > 0 : compare(called[next]!, id) < 0);
      ++next
    )
      yield called[next]!;
    if (called[next] === id) ++next;
    else if (until > now) continue;
    yield id;
  }
  for (; next < called.length; ++next) yield called[next]!;
}

/** One whose moment cannot be read is to be looked at, and keeps nobody from those behind it. */
function* awakeOf(
  journals: Journals,
  range: Ids,
): IterableIterator<[id: string, until: number | bigint]> {
  let last: string | undefined;
  try {
    for (const pair of journals.awake.range(range)) {
      yield pair;
      last = pair[0];
    }
    return;
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
  }
  const behind = last === undefined ? {} : range.reverse ? { lt: last } : { gt: last };
  for (const id of journals.awake.keys({ ...range, ...behind })) yield [id, 0];
}

/** For whom something lies ready. */
function calledFor(journals: Journals): Set<string> {
  const found = new Set<string>();
  // From the first signal of one run to the first of the next.
  for (let behind: string | undefined; ;) {
    const range =
      behind === undefined
        ? { limit: 1 }
        : { gt: { run: `${behind}\u0001`, sequence: 0 }, limit: 1 };
    let run: string | undefined;
    for (const key of journals.signals.keys(range)) run = key.run.slice(0, key.run.indexOf('\0'));
    if (run === undefined) break;
    found.add(run);
    behind = run;
  }
  for (const outcome of journals.resolutions.keys()) {
    // One that cannot be read is told by the list of unknown outcomes.
    const run = readable(() => journals.intents.get(outcome))?.run;
    if (run !== undefined) found.add(run);
  }
  return found;
}

function isWithin(id: string, { prefix = '', gt, lt, lte }: Ids): boolean {
  if (!id.startsWith(prefix)) return false;
  return (
    (gt === undefined || compare(id, gt) > 0) &&
    (lt === undefined || compare(id, lt) < 0) &&
    (lte === undefined || compare(id, lte) <= 0)
  );
}

/** As the pool orders them. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
