/** The keyspaces of all runs of one pool, and how journals are read. */
import { randomBytes } from 'node:crypto';

import type { Batch, Keyspace, PoolCore } from '../types';
import type { Wait } from './types';
import type {
  DriverRecord,
  Entry,
  Epochs,
  OpenIntent,
  ResolutionRecord,
  RunHeader,
} from './entries';
import { entryCodec } from './entry-codec';
import { isDriven } from './holder';
import {
  ASLEEP_KEYSPACE,
  AWAKE_KEYSPACE,
  CALLED_KEYSPACE,
  DRIVERS_KEYSPACE,
  ENDED_KEYSPACE,
  entriesOf,
  entryKeyCodec,
  HEADERS_KEYSPACE,
  INTENTS_KEYSPACE,
  JOURNAL_KEYSPACE,
  MARKS_KEYSPACE,
  OPEN_KEYSPACE,
  OPERATIONS_KEYSPACE,
  RESOLUTIONS_KEYSPACE,
  SIGNALS_KEYSPACE,
  momentKeyCodec,
  STATES_KEYSPACE,
  type EntryKey,
  type MomentKey,
} from './keys';
import { readable } from './unreadable';

export interface Operation {
  readonly digest: string;
  readonly at: number;
}

export class Journals {
  readonly headers: Keyspace<string, RunHeader>;
  readonly entries: Keyspace<EntryKey, Entry>;
  /** The same, by keys that are encoded already. */
  readonly entriesByKey: Keyspace<Uint8Array, Entry>;
  /** States of format 1, which had no checkpoints. */
  readonly states: Keyspace<string, unknown>;
  readonly drivers: Keyspace<string, DriverRecord>;
  /** The same, as they are encoded. */
  readonly driverTexts: Keyspace<string, string>;
  readonly open: Keyspace<string, Uint8Array>;
  readonly awake: Keyspace<string, number | bigint>;
  readonly asleep: Keyspace<MomentKey, Uint8Array>;
  readonly called: Keyspace<string, Uint8Array>;
  readonly ended: Keyspace<MomentKey, Uint8Array>;
  readonly marks: Keyspace<string, string>;
  readonly signals: Keyspace<EntryKey, unknown>;
  readonly intents: Keyspace<string, OpenIntent>;
  readonly resolutions: Keyspace<string, ResolutionRecord>;
  readonly operations: Keyspace<string, Operation>;
  /** The epochs a writer of this thread knows and has not written down yet, by run. */
  readonly fresh = new Map<string, Epochs>();
  /** Runs for which something lay ready before this handle came, and that may wait for it. */
  calledBefore: Set<string> | undefined;
  #knowsAwake = false;
  #keepsSleepersApart = false;
  #knowsEnded = false;
  #incarnation: number | undefined;

  private constructor(readonly pool: PoolCore) {
    // JSON where records are compared byte for byte: the text of the same fields in the same order
    // is always the same.
    this.headers = pool.keyspace<string, RunHeader>(HEADERS_KEYSPACE, { value: 'json' });
    this.drivers = pool.keyspace<string, DriverRecord>(DRIVERS_KEYSPACE, { value: 'json' });
    this.driverTexts = pool.keyspace<string, string>(DRIVERS_KEYSPACE, { value: 'utf8' });
    this.intents = pool.keyspace<string, OpenIntent>(INTENTS_KEYSPACE, { value: 'json' });
    this.entries = pool.keyspace<EntryKey, Entry>(JOURNAL_KEYSPACE, {
      key: entryKeyCodec,
      value: entryCodec,
    });
    this.entriesByKey = pool.keyspace<Uint8Array, Entry>(JOURNAL_KEYSPACE, {
      key: 'bytes',
      value: entryCodec,
    });
    this.signals = pool.keyspace<EntryKey, unknown>(SIGNALS_KEYSPACE, { key: entryKeyCodec });
    this.states = pool.keyspace<string, unknown>(STATES_KEYSPACE);
    this.open = pool.keyspace<string, Uint8Array>(OPEN_KEYSPACE, { value: 'bytes' });
    this.awake = pool.keyspace<string, number | bigint>(AWAKE_KEYSPACE, { value: 'uint64' });
    this.asleep = pool.keyspace<MomentKey, Uint8Array>(ASLEEP_KEYSPACE, {
      key: momentKeyCodec,
      value: 'bytes',
    });
    this.ended = pool.keyspace<MomentKey, Uint8Array>(ENDED_KEYSPACE, {
      key: momentKeyCodec,
      value: 'bytes',
    });
    this.called = pool.keyspace<string, Uint8Array>(CALLED_KEYSPACE, { value: 'bytes' });
    this.marks = pool.keyspace<string, string>(MARKS_KEYSPACE, { value: 'utf8' });
    this.resolutions = pool.keyspace<string, ResolutionRecord>(RESOLUTIONS_KEYSPACE);
    this.operations = pool.keyspace<string, Operation>(OPERATIONS_KEYSPACE, { value: 'json' });
  }

  static readonly #ofPool = new WeakMap<PoolCore, Journals>();

  static of(pool: PoolCore): Journals {
    let journals = Journals.#ofPool.get(pool);
    if (!journals) {
      journals = new Journals(pool);
      Journals.#ofPool.set(pool, journals);
    }
    return journals;
  }

  /**
   * Are all runs that may go on without a signal among the awake and the sleeping? Not where runs
   * are older than those lists.
   */
  get knowsAwake(): boolean {
    return (this.#knowsAwake ||= this.marks.has('asleep') || this.marks.has('awake'));
  }

  /**
   * Are all runs that have ended among the ended? Not where runs are older than that list; and
   * where an older build has had the pool since, all but those that it ended.
   */
  get knowsEnded(): boolean {
    return (this.#knowsEnded ||= this.marks.has('ended'));
  }

  /**
   * For a commit by which all that have ended are in the list; with `after`, those up to that id.
   * No older build can end one before the pool is opened again, which is another incarnation.
   */
  marksEnded(batch: Batch, incarnation = this.incarnation, after?: string): Batch {
    const text = after === undefined ? String(incarnation) : `${incarnation} ${after}`;
    return batch.put(this.marks, 'ended', text);
  }

  /** What was marked so. Earlier marks only say that there is such a list. */
  get endedAsOf(): { readonly incarnation: number; readonly after: string | undefined } {
    const [, incarnation = -1, after] =
      /^(\d+)(?: ([^]*))?$/.exec(this.marks.get('ended') ?? '') ?? [];
    return { incarnation: Number(incarnation), after };
  }

  get incarnation(): number {
    return (this.#incarnation ??= this.pool.stats().incarnation);
  }

  /** For the commit that begins a run. */
  begins(batch: Batch, run: string, waits?: readonly Wait[]): void {
    if (!this.knowsEnded && isEmpty(this.headers.keys({ limit: 1 }))) this.marksEnded(batch);
    if (!this.knowsAwake && isEmpty(this.open.keys({ limit: 1 })))
      batch.put(this.marks, 'asleep', 'all');
    batch.put(this.open, run, new Uint8Array());
    this.waits(batch, run, undefined, waits);
  }

  /** For every commit that changes what a run waits for. */
  waits(
    batch: Batch,
    run: string,
    before: readonly Wait[] | undefined,
    now: readonly Wait[] | undefined,
  ): void {
    this.wakes(batch, run, before);
    const until = momentOf(now);
    if (now === undefined) batch.put(this.awake, run, 0);
    else batch.delete(this.awake, run);
    // No commit tells that somebody has died.
    if (now !== undefined && hasDrivenChild(this, now)) batch.put(this.called, run, randomBytes(8));
    if (until === undefined) return;
    batch.put(this.asleep, { at: until, run }, new Uint8Array());
    this.keepSleepersApart(batch);
  }

  /**
   * For the commit that gives a run something: other bytes each time, so each is told apart. Whose
   * child it is may wait for that too.
   */
  calls(batch: Batch, run: string): void {
    this.callsParent(batch, readable(() => this.headers.get(run))?.parent);
    batch.put(this.called, run, randomBytes(8));
  }

  /** For the commit after which a child has ended, or may be driven. */
  callsParent(batch: Batch, parent: string | undefined): void {
    if (parent !== undefined && this.open.has(parent)) this.calls(batch, parent);
  }

  /** For the commit that takes over a run that waits. */
  takes(batch: Batch, run: string, before: readonly Wait[] | undefined): void {
    this.waits(batch, run, before, undefined);
    this.isCalledNoMore(batch, run);
  }

  /** For the commit that ends a run, or deletes it. */
  ends(batch: Batch, run: string, before: readonly Wait[] | undefined): void {
    this.wakes(batch, run, before);
    batch.delete(this.open, run).delete(this.awake, run);
    this.isCalledNoMore(batch, run);
  }

  /** For the commit by which a run has ended, and is forgotten one day; not an adapter's. */
  hasEnded(batch: Batch, run: string, at: number): void {
    batch.put(this.ended, endedKey(run, at), new Uint8Array());
  }

  isCalledNoMore(batch: Batch, run: string): void {
    if (this.called.has(run)) batch.delete(this.called, run);
  }

  private wakes(batch: Batch, run: string, before: readonly Wait[] | undefined): void {
    const until = momentOf(before);
    if (until !== undefined) batch.delete(this.asleep, { at: until, run });
  }

  /** An older release must not take the list of the awake for whole any more. */
  private keepSleepersApart(batch: Batch): void {
    if (this.#keepsSleepersApart || !this.knowsAwake) return;
    if (this.marks.has('awake') || !this.marks.has('asleep'))
      batch.delete(this.marks, 'awake').put(this.marks, 'asleep', 'all');
    else this.#keepsSleepersApart = true;
  }

  /** A run's entries in the order they were committed. */
  *read(run: string, from = 0): IterableIterator<[sequence: number, entry: Entry]> {
    const range = { ...entriesOf(run), gte: { run, sequence: from } };
    for (const [key, entry] of this.entries.range(range)) yield [key.sequence, entry];
  }

  last(run: string): [sequence: number, entry: Entry] | undefined {
    for (const [key, entry] of this.entries.range({ ...entriesOf(run), reverse: true, limit: 1 }))
      return [key.sequence, entry];
    return undefined;
  }

  first(run: string): Entry | undefined {
    return this.entries.get({ run, sequence: 0 });
  }
}

export function endedKey(run: string, at: number): MomentKey {
  return { at: Math.max(0, at), run };
}

/** What must come before somebody claims the run: of one that does more than wait, nothing. */
export function waitedFor({ status, waits }: RunHeader): readonly Wait[] | undefined {
  return status === 'waiting' ? waits : undefined;
}

/** Of what it waits for: is a child driven now? */
export function hasDrivenChild(journals: Journals, waits: readonly Wait[] = []): boolean {
  return waits.some((wait) => 'run' in wait && isDriven(journals, wait.run));
}

/** The first of those that it sleeps until. */
export function momentOf(waits: readonly Wait[] = []): number | undefined {
  const until = Math.min(...waits.map((wait) => ('until' in wait ? wait.until : Infinity)));
  return until === Infinity ? undefined : Math.max(0, Math.ceil(until));
}

export function isEmpty(some: Iterable<unknown>): boolean {
  for (const _one of some) return false;
  return true;
}
