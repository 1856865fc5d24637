/**
 * Which runs may be runnable, without looking at all that wait: those that are awake, those that
 * sleep no longer, and those for which a signal or the resolution of an outcome has come. Each is
 * still to be looked at; none that is runnable is left out.
 *
 * Who gives a run something says so in the same commit. Who claims, and finds that the run does not
 * wait for that, strikes it off under the condition that nothing came or changed meanwhile. What an
 * older release gave says nothing, so each handle looks once at all that lies ready.
 */
import { isConflict } from '../errors';
import type { RangeOptions } from '../types';
import type { RunHeader } from './entries';
import { momentOf, type Journals } from './journals';
import { isOfOneRun, readable } from './unreadable';

type Ids = Pick<RangeOptions<string>, 'prefix' | 'gt' | 'lt' | 'reverse'>;

export class Candidates {
  /** With what was said when it was called; undefined: what lay ready before this handle came. */
  readonly #called = new Map<string, Uint8Array | undefined>();
  /** By run: the moments that have come. */
  readonly #over = new Map<string, number[]>();
  /** The runs of both, in the order of their ids. */
  readonly #others: readonly Placed[] = [];
  /** The awake stand at 0, whatever the clock says. */
  readonly #now = Math.max(0, Date.now());

  constructor(private readonly journals: Journals) {
    if (!journals.knowsAwake) return;
    for (const run of lyingReady(journals)) this.#called.set(run, undefined);
    for (const [run, said] of journals.called.range()) this.#called.set(run, said);
    for (const { at, run } of journals.asleep.keys({ lt: { at: this.#now + 1, run: '' } }))
      this.#over.set(run, [...(this.#over.get(run) ?? []), at]);
    for (const run of [...this.#over.keys()])
      for (const parent of parentsOf(journals, run))
        if (!this.#over.has(parent)) this.#over.set(parent, []);
    this.#others = [...new Set([...this.#called.keys(), ...this.#over.keys()])]
      .map(placed)
      .sort(compare);
  }

  /** In the order of their ids. */
  *ids(range: Ids): IterableIterator<string> {
    if (!this.journals.knowsAwake) {
      yield* this.journals.open.keys(range);
      return;
    }
    const sign = range.reverse === true ? -1 : 1;
    const others = this.#others.filter(isWithin(range));
    if (sign < 0) others.reverse();
    let next = 0;
    for (const [id, until] of awakeOf(this.journals, range)) {
      let order = -1;
      for (const place = placed(id); next < others.length; ++next) {
        order = sign * compare(others[next]!, place);
        if (order >= 0) break;
        yield others[next]!.id;
      }
      if (next < others.length && order === 0) ++next;
      else if (until > this.#now) continue;
      yield id;
    }
    for (; next < others.length; ++next) yield others[next]!.id;
  }

  /** Of one that nobody drives: its header, as it was seen after these were, wants none of it. */
  strikeOff(id: string, header: RunHeader | undefined): void {
    const { pool, headers, called, asleep } = this.journals;
    this.journals.calledBefore?.delete(id);
    const said = this.#called.get(id);
    // Its moment stands, should the clock have been set back since.
    const moment = momentOf(header?.waits);
    const over = (this.#over.get(id) ?? []).filter((until) => until !== moment);
    if (said === undefined && over.length === 0) return;
    const batch = pool.batch();
    if (header) batch.requireEqual(headers, id, header);
    else batch.requireAbsent(headers, id);
    if (said) batch.requireEqual(called, id, said).delete(called, id);
    for (const until of over) batch.delete(asleep, { at: until, run: id });
    try {
      pool.commitSync(batch, { durability: 'eventual' });
    } catch (error) {
      // Something came meanwhile: it is looked at again.
      if (!isConflict(error)) throw error;
    }
  }
}

/** They may wait for it. */
function* parentsOf({ headers }: Journals, run: string): Iterable<string> {
  if (!run.includes('/')) return;
  const parentOf = (id: string) => readable(() => headers.get(id))?.parent;
  for (let id = parentOf(run); id !== undefined; id = parentOf(id)) yield id;
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

/** What came before this handle. A reader does not know when its writer began: it looks anew. */
function lyingReady(journals: Journals): Set<string> {
  if (journals.pool.readOnly) return calledFor(journals);
  return (journals.calledBefore ??= calledFor(journals));
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

interface Placed {
  readonly id: string;
  readonly bytes: Buffer;
}

function placed(id: string): Placed {
  return { id, bytes: Buffer.from(id) };
}

/** As the pool orders them. */
function compare(a: Placed, b: Placed): number {
  return Buffer.compare(a.bytes, b.bytes);
}

function isWithin({ prefix = '', gt, lt }: Ids): (one: Placed) => boolean {
  const [behind, before] = [gt, lt].map((id) => (id === undefined ? id : placed(id)));
  return (one) =>
    one.id.startsWith(prefix) &&
    (behind === undefined || compare(one, behind) > 0) &&
    (before === undefined || compare(one, before) < 0);
}
