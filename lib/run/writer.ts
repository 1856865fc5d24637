/**
 * Appends to one run's journal on behalf of one driver.
 *
 * Every transition of a run is ONE commit with two conditions: the driver record is as this driver
 * left it, and the entry's key is absent. A crash leaves the transition whole or not at all. The
 * engine checks the conditions at the moment of the commit, so a driver that was replaced, however
 * long ago, records nothing and is told ERR_HOLDFAST_FENCED.
 */
import { PoolBatch } from '../batch';
import { json } from '../codecs';
import { closedError as poolClosedError, hasCode, HoldfastError, isConflict } from '../errors';
import type { Wait } from './types';
import type { Batch, CommitDurability, CommitReceipt } from '../types';
import { Activity } from './activity';
import { allOver, isOver, overError } from './attempts';
import { ring } from './bell';
import type { DriverRecord, Entry, Epochs, RunHeader } from './entries';
import { Holder } from './holder';
import { type Journals, waitedFor } from './journals';
import { entryKeyCodec, numbered, signalsFor } from './keys';

/** Leaves out what the writer adds. */
type Unwritten<E> = E extends Entry ? Omit<E, 'at' | 'epochs'> : never;
export type NewEntry = Unwritten<Entry>;

/** The kinds of entries that say that the run got on. */
const RESULTS: readonly Entry['kind'][] = [
  ...(['step', 'decision', 'receipt', 'checkpoint', 'signal', 'child'] as const),
];

export interface AppendOptions {
  readonly sequence?: number;
  readonly durability?: CommitDurability;
  /** How an effect ended, of which this is all that is known: see attempts.ts. */
  readonly late?: boolean;
  /** Where it is refused, the next entry that is not brings it along. */
  readonly owed?: boolean;
  /** More changes and conditions for the same commit. */
  readonly also?: (batch: Batch) => void;
}

export class JournalWriter {
  readonly activity = new Activity();
  #header: RunHeader;
  #next: number;
  #ended: HoldfastError | undefined;
  #epochs: (readonly [sequence: number, epoch: number])[] = [];
  /** A commit was refused that would have stored another header than there was. */
  #isHeaderUnsure = false;
  /** Entries that were refused, without which no other is to come. */
  #owed: (readonly [sequence: number, entry: NewEntry])[] = [];
  #receipt: CommitReceipt | undefined;
  /**
   * Of the entry that is written; and the driver record as it is stored, which every commit is
   * compared with.
   */
  readonly #key: Buffer;
  readonly #driverText: string;

  constructor(
    readonly journals: Journals,
    readonly run: string,
    readonly driver: DriverRecord,
    header: RunHeader,
    nextSequence: number,
    unwritten: Epochs = [],
  ) {
    this.#header = header;
    this.#next = nextSequence;
    this.#key = entryKeyCodec.encode({ run, sequence: 0 });
    this.#driverText = json.encode(driver) as string;
    this.#epochs = [...(header.epochs ?? []), ...unwritten];
  }

  get receipt(): CommitReceipt | undefined {
    return this.#receipt;
  }

  get began(): number {
    return this.#header.began;
  }

  get attempt(): number {
    return attemptOf(this.#header);
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Throws when this driver or the pool was closed. */
  mustDrive(): void {
    if (this.#ended) throw this.#ended;
    if (this.journals.pool.closed) throw poolClosedError();
    this.mustBeCurrent('a wait');
  }

  /**
   * Throws where it is asked within an attempt of a tool behind which another was begun: that one
   * does the same calls, so of each only one may be recorded.
   */
  mustBeCurrent(what: string): void {
    if (isOver(this)) throw overError(this.run, what);
  }

  /**
   * Takes the number of an entry that will be appended, for entries that contain their own number.
   */
  reserve(): number {
    return this.#next++;
  }

  /** What the commit that began to drive gave. */
  begun(receipt: CommitReceipt, sequence?: number): void {
    this.#receipt = receipt;
    if (sequence !== undefined) this.learn(sequence, receipt.epoch);
  }

  append(entry: NewEntry, options: AppendOptions = {}): Promise<CommitReceipt> {
    if (!options.late || !isOver(this)) return this.write(entry, options);
    const settled = (): Promise<CommitReceipt> => this.write(entry, options);
    allOver(this)
      .then(settled)
      .catch((error: unknown) => {
        // It was settled otherwise, or this driver has ended: then it stays unknown.
        if (!(error instanceof HoldfastError)) throw error;
      });
    // An attempt may wait for who asked, and is not to wait for its own end.
    return Promise.reject(overError(this.run, `the end of an effect`));
  }

  private write(entry: NewEntry, options: AppendOptions): Promise<CommitReceipt> {
    const sequence = options.sequence ?? this.reserve();
    const fill = (batch: Batch): void => {
      this.put(batch, sequence, entry);
      options.also?.(batch);
      if (this.looksWaiting() || this.waitsOtherwise()) this.putHeader(batch);
    };
    const made = this.commit(fill, options.durability, sequence, options.late);
    if (!options.owed) return made;
    return made.catch((error: unknown) => {
      this.#owed.push([sequence, entry]);
      throw error;
    });
  }

  /** A batch that is committed only while this driver drives. `late`: see `AppendOptions`. */
  begin(late = false): Batch {
    if (this.#ended) throw this.#ended;
    if (this.isReplaced()) throw this.fenced(this.journals.drivers.get(this.run)?.token);
    if (!late) this.mustBeCurrent('what was called');
    const { pool, driverTexts } = this.journals;
    return pool.batch().requireEqual(driverTexts, this.run, this.#driverText);
  }

  /**
   * Commits what `begin` gave, with an entry of the time `at` that depends on what was put into it.
   * Not asynchronous where it is made in the call.
   */
  finish(batch: Batch, entry: NewEntry, at: number): CommitReceipt | Promise<CommitReceipt> {
    const sequence = this.reserve();
    const fill = (): void => this.put(batch, sequence, entry, at);
    return this.commitBatch(batch, fill, 'durable', sequence);
  }

  /**
   * From now on the run waits; the entry that says so, if there is none yet, and what else changes
   * with that, in the same commit.
   */
  async wait(
    call: string,
    wait: Wait,
    entry?: NewEntry,
    also?: (batch: Batch) => void,
  ): Promise<void> {
    this.mustBeCurrent('a wait');
    this.activity.waitFor(call, wait);
    const sequence = entry && this.reserve();
    const fill = (batch: Batch): void => {
      if (entry && sequence !== undefined) this.put(batch, sequence, entry);
      this.activity.moved = false;
      this.putHeader(batch);
      also?.(batch);
    };
    try {
      await this.commit(fill, 'durable', sequence);
    } catch (error) {
      // It does not wait: who asked is told.
      this.activity.stopWaiting(call);
      throw error;
    }
  }

  /** Must something come before it has more to do? */
  get waits(): boolean {
    return waitedFor(this.#header) !== undefined;
  }

  /** For `also`: with that commit the run no longer waits for this. */
  stopWaiting(call: string): (batch: Batch) => void {
    return (batch) => {
      if (this.activity.stopWaiting(call)) this.putHeader(batch);
    };
  }

  /**
   * A call that is no wait, while it is under way. A run that merely waits is not claimed before
   * what it waits for has come, so beside a wait the header says first that there is more to do.
   * That may be lost in a power cut, not with the process.
   */
  async working<R>(call: string, work: () => Promise<R>): Promise<R> {
    const leave = this.activity.occupy(call);
    try {
      if (this.looksWaiting() && this.activity.isBusyBeside())
        await this.commit((batch) => this.putHeader(batch), 'eventual');
      return await work();
    } finally {
      leave();
    }
  }

  /**
   * Only the header; it may be lost in a crash, which makes the run look busier than it is, and no
   * worse.
   */
  async noteWaits(call: string): Promise<void> {
    if (!this.activity.isWaiting(call)) return;
    // The code has not heard of it yet: no other wait is all that the run does.
    const leave = this.activity.occupy(call);
    try {
      await this.commit(this.stopWaiting(call), 'eventual');
    } finally {
      leave();
    }
  }

  /** The last entry, and everything that says so, together. `also`: what else goes with the run. */
  async end(result: unknown, also: (batch: Batch) => void): Promise<CommitReceipt> {
    const ended = Date.now();
    const { journals, run } = this;
    const { waits: _waits, epochs: _epochs, failed: _failed, ...rest } = this.#header;
    const header: RunHeader = { ...rest, status: 'finished', ended };
    const sequence = this.reserve();
    const receipt = await this.commit((batch) => {
      this.put(batch, sequence, {
        kind: 'end',
        ms: Math.max(0, ended - this.#header.began),
        result,
      });
      batch.put(journals.headers, run, header);
      journals.ends(batch, run, waitedFor(this.#header));
      journals.callsParent(batch, this.#header.parent);
      if (header.owner === undefined) journals.hasEnded(batch, run, ended);
      batch.put(journals.drivers, run, this.nobody());
      // What was signalled and never asked for goes with the run.
      for (const key of journals.signals.keys(signalsFor(run))) batch.delete(journals.signals, key);
      also(batch);
    });
    this.#header = header;
    this.learn(sequence, receipt.epoch);
    this.leave(finishedError(run));
    this.writeEpochs();
    return receipt;
  }

  /**
   * Stops driving: anybody may begin at once. `left`: nothing is left but to wait, or there is more
   * to do whatever this driver knows.
   */
  close(left?: 'waits' | 'more'): void {
    if (this.#ended) return;
    if (left !== undefined) this.activity.moved = left === 'more';
    this.leave(closedError(this.run));
    if (!this.giveBack()) Holder.of(this.journals.pool).giveBackLater(() => this.giveBack());
    this.forgetEpochs();
  }

  /** False: there is no room for that, which may come. */
  private giveBack(): boolean {
    if (this.journals.pool.closed || this.isReplaced()) return true;
    try {
      const batch = this.journals.pool.batch();
      batch.requireEqual(this.journals.driverTexts, this.run, this.#driverText);
      this.putHeader(batch, this.#epochs);
      const isFree = this.#header.status === 'running';
      // Of a child that has more to do, and that its parent lets go, anybody may take care.
      batch.put(this.journals.drivers, this.run, this.nobody(isFree));
      if (isFree) this.journals.callsParent(batch, this.#header.parent);
      this.journals.pool.commitSync(batch, { durability: 'eventual' });
      return true;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      // Else somebody else drives already, or the pool can't commit any more; in both cases there
      // is nothing to give back.
      return !hasCode(error, 'ERR_HOLDFAST_POOL_FULL') && !hasCode(error, 'ERR_HOLDFAST_DISK_FULL');
    }
  }

  /** Stops driving: who claims does not get it before that moment, if there is one. */
  async park(error: string | undefined, until: number | undefined): Promise<CommitReceipt> {
    const { journals, run } = this;
    const { waits: _waits, epochs: _epochs, failed, ...rest } = this.#header;
    const before = waitedFor(this.#header);
    const times = (failed?.times ?? 0) + 1;
    const waits = until === undefined ? [] : [{ until }];
    const receipt = await this.commit((batch) => {
      batch.put(journals.headers, run, {
        ...rest,
        status: 'waiting',
        waits,
        failed: { times, at: Date.now(), ...(error !== undefined && { error }) },
        parked: true,
        ...(this.#epochs.length > 0 && { epochs: this.#epochs }),
      });
      batch.put(journals.drivers, run, this.nobody());
      journals.waits(batch, run, before, waits);
    });
    this.forgetEpochs();
    this.leave(closedError(run));
    return receipt;
  }

  /** They are written down, or never will be by this driver: then the log tells them. */
  private forgetEpochs(): void {
    const { fresh } = this.journals;
    if (fresh.get(this.run) === this.#epochs) fresh.delete(this.run);
  }

  private nobody(isLetGo = false): DriverRecord {
    const { token, parent } = this.driver;
    return { token, holder: '', ...(!isLetGo && parent !== undefined && { parent }) };
  }

  private leave(why: HoldfastError): void {
    this.#ended = why;
    Holder.of(this.journals.pool).remove(this.run, this.driver);
  }

  private put(batch: Batch, sequence: number, entry: NewEntry, at = Date.now()): void {
    this.activity.moved = true;
    const { entriesByKey } = this.journals;
    for (const [before, owed] of this.#owed.splice(0))
      PoolBatch.putNew(batch, entriesByKey, numbered(this.#key, before), { at, ...owed } as Entry);
    const whole = { at, ...entry } as Entry & { epochs?: Epochs };
    if (this.#epochs.length > 0) whole.epochs = this.#epochs;
    PoolBatch.putNew(batch, entriesByKey, numbered(this.#key, sequence), whole);
    // Should the commit be refused, `commitBatch` takes them back.
    this.#epochs = [];
    this.journals.fresh.delete(this.run);
    if (this.#header.failed !== undefined && RESULTS.includes(entry.kind)) this.gotOn(batch);
  }

  /** What failed before is not counted any more. */
  private gotOn(batch: Batch): void {
    const { failed: _failed, ...rest } = this.#header;
    this.#header = rest;
    this.putHeader(batch);
  }

  /** What it waits for is there to be read beside other work too, but then nobody waits for it. */
  private putHeader(batch: Batch, epochs: RunHeader['epochs'] = undefined): void {
    const { waits, merelyWaits } = this.activity;
    const { waits: _waits, epochs: _epochs, ...rest } = this.#header;
    const { headers } = this.journals;
    const stored = this.#isHeaderUnsure ? headers.get(this.run) : undefined;
    const before = waitedFor(stored ?? this.#header);
    this.#isHeaderUnsure = false;
    this.#header = {
      ...rest,
      status: merelyWaits ? 'waiting' : 'running',
      ...(waits.length > 0 ? { waits } : undefined),
      ...(epochs && epochs.length > 0 ? { epochs } : undefined),
    };
    batch.put(headers, this.run, this.#header);
    this.journals.waits(batch, this.run, before, waitedFor(this.#header));
  }

  /** May its header say that it merely waits? */
  private looksWaiting(): boolean {
    return this.#header.status === 'waiting' || this.#isHeaderUnsure;
  }

  /** Does the header name other waits than there are? */
  private waitsOtherwise(): boolean {
    return (this.#header.waits?.length ?? 0) !== this.activity.waits.length;
  }

  private learn(sequence: number, epoch: number): void {
    this.#epochs.push([sequence, epoch]);
    this.keepEpochs(this.#epochs);
    ring(this.run);
  }

  private keepEpochs(epochs: (readonly [sequence: number, epoch: number])[]): void {
    this.#epochs = epochs;
    // Not of a commit that was on its way when this driver was closed.
    if (!this.#ended) this.journals.fresh.set(this.run, epochs);
  }

  /**
   * After the end: no other entry will tell the epoch of the last one. Nothing depends on it, so
   * nobody waits.
   */
  private writeEpochs(): void {
    const { headers, pool } = this.journals;
    const header = { ...this.#header, epochs: this.#epochs };
    const batch = pool.batch().requireEqual(headers, this.run, this.#header);
    pool.commit(batch.put(headers, this.run, header), { durability: 'eventual' }).then(
      () => this.forgetEpochs(),
      () => this.forgetEpochs(),
    );
  }

  /** `sequence`: of the entry in it. */
  private async commit(
    fill: (batch: Batch) => void,
    durability: CommitDurability = 'durable',
    sequence?: number,
    late?: boolean,
  ): Promise<CommitReceipt> {
    return this.commitBatch(this.begin(late), fill, durability, sequence);
  }

  /**
   * Who is refused may go on: a pool is full for a while, somebody has resolved the outcome. What
   * `fill` takes as said then is still to be said.
   */
  private commitBatch(
    batch: Batch,
    fill: (batch: Batch) => void,
    durability: CommitDurability,
    sequence: number | undefined,
  ): CommitReceipt | Promise<CommitReceipt> {
    const [header, epochs, owed] = [this.#header, this.#epochs, [...this.#owed]];
    let isHeader = false;
    let isEpochs = false;
    let isOwed = false;
    const done = (receipt: CommitReceipt): CommitReceipt => {
      this.#receipt = receipt;
      if (isOwed) for (const [before] of owed) this.learn(before, receipt.epoch);
      if (sequence !== undefined) this.learn(sequence, receipt.epoch);
      return receipt;
    };
    const refused = (error: unknown): never => {
      this.#isHeaderUnsure ||= isHeader;
      if (isOwed) this.#owed.unshift(...owed);
      if (isEpochs) this.keepEpochs([...epochs, ...this.#epochs]);
      throw this.whyRefused(error);
    };
    try {
      try {
        fill(batch);
      } finally {
        isHeader = this.#header !== header;
        isEpochs = this.#epochs !== epochs;
        isOwed = this.#owed.length < owed.length;
      }
      const outcome = PoolBatch.commitOrQueue(batch, durability === 'eventual');
      return outcome instanceof Promise ? outcome.then(done, refused) : done(outcome);
    } catch (error) {
      return refused(error);
    }
  }

  private whyRefused(error: unknown): unknown {
    if (!isConflict(error)) return error;
    const now = this.journals.drivers.get(this.run);
    if (now?.token === this.driver.token && now.holder === this.driver.holder) return error;
    if (this.#ended) return this.#ended;
    // Ended by this object's own last commit, while this one was on its way.
    if (now?.token === this.driver.token)
      return this.journals.headers.get(this.run)?.status === 'finished'
        ? finishedError(this.run)
        : closedError(this.run);
    return this.fenced(now?.token, error);
  }

  /** This handle drives the run anew, or a later one of its id, perhaps with an equal record. */
  private isReplaced(): boolean {
    return Holder.of(this.journals.pool).isReplaced(this.driver);
  }

  private fenced(now: number | undefined, cause?: unknown): HoldfastError {
    const fenced = fencedError(this.run, this.driver.token, now, cause);
    this.leave(fenced);
    this.forgetEpochs();
    return fenced;
  }
}

/** 1, and one more for each failure in a row. */
export function attemptOf({ failed }: RunHeader): number {
  return (failed?.times ?? 0) + 1;
}

function closedError(run: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CLOSED',
    `this object no longer drives run ${JSON.stringify(run)}. Open the run again`,
  );
}

/** For a call that nobody awaited, most often. */
function finishedError(run: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_RUN_FINISHED',
    `run ${JSON.stringify(run)} was finished while this call was under way, so nothing of it was recorded. ` +
      'Await every call of a run before its finish()',
  );
}

function fencedError(
  run: string,
  mine: number,
  now: number | undefined,
  cause?: unknown,
): HoldfastError {
  const since =
    now === undefined
      ? 'was deleted, or its driver record was, while this driver had not renewed its lease in time'
      : now <= mine
        ? 'was deleted, and begun anew, while this driver had not renewed its lease in time'
        : `is driven by somebody else since: this driver's token is ${mine}, the run's is ${now}`;
  return new HoldfastError(
    'ERR_HOLDFAST_FENCED',
    `run ${JSON.stringify(run)} ${since}. Nothing was recorded. Stop what this driver does outside, and open the run again`,
    { cause },
  );
}
