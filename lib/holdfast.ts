/**
 * The pool with everything on top of it, and the doors to it. The only file that joins the layers.
 */
import { CheckpointStore } from './checkpoint/index';
import { abortedError } from './errors';
import { native } from './native-binding';
import type { PlaceReport } from './native-binding';
import { checkPath, openOptions, signalOption } from './options';
import { Pool } from './pool';
import {
  applyOnce,
  beginRun,
  claimRun,
  endClaims,
  endLeases,
  forgetOperations,
  forgetRuns,
  forkRun,
  journalOf,
  listRuns,
  mustBeThere,
  openRun,
  ownerOf,
  resolveOutcome,
  runInfo,
  sendSignal,
  setLease,
  unparkRun,
  unknownOutcomes,
} from './run/index';
import type {
  AppliedOnce,
  BeginOptions,
  Begun,
  CheckpointInfo,
  ClaimOptions,
  Difference,
  ForgetRunsOptions,
  ForgottenOperations,
  ForgottenRuns,
  JournalEntry,
  JournalOptions,
  PruneOptions,
  PruneReport,
  Resolution,
  Run,
  RunInfo,
  RunOptions,
  RunsOptions,
  UnknownOutcome,
} from './run/types';
import type { Batch, CommitReceipt, OpenOptions } from './types';

export class Holdfast extends Pool {
  /**
   * Creates the run, or continues it where it was left. While somebody else drives it:
   * `ERR_HOLDFAST_RUN_ACTIVE`; with another input than it began with: `ERR_HOLDFAST_DIVERGED`. A
   * finished run is opened to read its result.
   */
  run<Input = unknown, State = unknown, Result = unknown>(
    id: string,
    options?: RunOptions<Input>,
  ): Promise<Run<Input, State, Result>> {
    return openRun(this, id, options) as Promise<Run<Input, State, Result>>;
  }

  /**
   * Begins a run that nobody drives yet, durably: whoever claims it does, in this thread, another
   * or a later process. Is there such a run: `{ begun: false }`, and nothing is changed; with
   * another input than it began with it is `ERR_HOLDFAST_DIVERGED`.
   */
  begin<Input = unknown>(id: string, options?: BeginOptions<Input>): Promise<Begun> {
    return beginRun(this, id, options);
  }

  /**
   * Begins to drive a run that nobody drives and that has something to do; undefined when there is
   * none, or, with `wait`, once there is one.
   */
  claim<Input = unknown, State = unknown, Result = unknown>(
    options: ClaimOptions & { wait: true },
  ): Promise<Run<Input, State, Result>>;
  claim<Input = unknown, State = unknown, Result = unknown>(
    options?: ClaimOptions,
  ): Promise<Run<Input, State, Result> | undefined>;
  claim<Input = unknown, State = unknown, Result = unknown>(
    options?: ClaimOptions,
  ): Promise<Run<Input, State, Result> | undefined> {
    return claimRun(this, options) as Promise<Run<Input, State, Result> | undefined>;
  }

  /** The runs of the pool in the order of their ids, without driving them. */
  runs(options?: RunsOptions): IterableIterator<RunInfo> {
    return listRuns(this, options);
  }

  /** One run seen from outside; undefined when there is none. */
  runInfo(id: string): RunInfo | undefined {
    return runInfo(this, id);
  }

  /**
   * A run's entries: those there are, or, with `follow`, those that come too, until the run's end.
   * No such run: `ERR_HOLDFAST_NOT_FOUND`.
   */
  journal(id: string, options?: JournalOptions): AsyncIterableIterator<JournalEntry> {
    return journalOf(this, id, options);
  }

  /**
   * Gives a run what its `run.signal(name)` waits for, now or later, durably. No such run:
   * `ERR_HOLDFAST_NOT_FOUND`; a finished one: `ERR_HOLDFAST_RUN_FINISHED`.
   */
  signal(run: string, name: string, value?: unknown): Promise<CommitReceipt> {
    return sendSignal(this, run, name, value);
  }

  /**
   * Makes a parked run runnable, with nothing that failed counted any more; undefined: it was not
   * parked. No such run: `ERR_HOLDFAST_NOT_FOUND`.
   */
  unpark(run: string): Promise<CommitReceipt | undefined> {
    return unparkRun(this, run);
  }

  /**
   * The checkpoints of a run in the order they were made. No such run: `ERR_HOLDFAST_NOT_FOUND`.
   */
  history(
    run: string,
    options?: { reverse?: boolean | undefined; limit?: number | undefined },
  ): IterableIterator<CheckpointInfo> {
    return CheckpointStore.of(this).history(ownerOf(mustBeThere(this, run)), options);
  }

  /**
   * The state at a checkpoint, as a value of its own. One that was pruned:
   * `ERR_HOLDFAST_NOT_FOUND`.
   */
  at(checkpoint: string): unknown {
    return CheckpointStore.of(this).load(checkpoint);
  }

  /** What changed from one checkpoint to another, of one run or of two. */
  diff(before: string, after: string): Difference[] {
    return CheckpointStore.of(this).diff(before, after);
  }

  /**
   * Begins run `id` from a checkpoint of another, in one small commit. It shares everything up to
   * there; nobody drives it yet. Is there such a run: `ERR_HOLDFAST_EXISTS`; was the checkpoint
   * pruned: `ERR_HOLDFAST_NOT_FOUND`.
   */
  fork(checkpoint: string, id: string): Promise<CommitReceipt> {
    return forkRun(this, checkpoint, id);
  }

  /** Removes checkpoints of a run, and what only they held. The newest stays. */
  async prune(run: string, options?: PruneOptions): Promise<PruneReport> {
    return CheckpointStore.of(this).prune(ownerOf(mustBeThere(this, run)), options);
  }

  /**
   * Removes runs that ended before a moment, or longer ago than so many milliseconds, with all that
   * is kept of them, and tells how many stay all the same and why. Runs that have not ended are
   * never touched. Begun again, such an id is a new run.
   */
  forgetRuns(options: ForgetRunsOptions): Promise<ForgottenRuns> {
    return forgetRuns(this, options);
  }

  /** Effects that were begun and have no receipt, and that nobody is calling now. */
  unknownOutcomes(): UnknownOutcome[] {
    return unknownOutcomes(this);
  }

  /**
   * Says what became of an effect. The run makes use of it when it is driven again. The first
   * answer stands: the same again is a success, another is `ERR_HOLDFAST_CONFLICT`.
   */
  resolve(id: string, resolution: Resolution): Promise<CommitReceipt> {
    return resolveOutcome(this, id, resolution);
  }

  /**
   * Commits the batch unless an operation of this id was; with other changes it is
   * `ERR_HOLDFAST_OPERATION_MISMATCH`.
   */
  applyOnce(operationId: string, batch: Batch): Promise<AppliedOnce> {
    return applyOnce(this, operationId, batch);
  }

  /**
   * Removes the records of operations applied before a moment, or longer ago than so many
   * milliseconds. Asked for again, such an operation is applied again: take a time after which
   * nobody asks.
   */
  forgetOperations(options: { olderThan: Date | number }): Promise<ForgottenOperations> {
    return forgetOperations(this, options);
  }

  /** Runs this handle drives are free at once, and claims that wait are told. */
  override close(): Promise<void> {
    endClaims(this);
    endLeases(this);
    return super.close();
  }

  override closeSync(): void {
    endClaims(this);
    endLeases(this);
    super.closeSync();
  }
}

/**
 * Opens the pool at `path`, creating it where that is allowed. The work is done on another thread.
 * While another process has it open: `ERR_HOLDFAST_LOCKED`, unless `readOnly` is set.
 */
export async function open(path: string, options?: OpenOptions): Promise<Holdfast> {
  const signal = signalOption(options?.signal);
  const request = openOptions(options);
  checkPath(path);
  if (signal?.aborted) throw abortedError(signal, `Opening ${path}`);
  const opened = withLease(
    new Holdfast(await native.open(path, request), request.readOnly),
    options,
  );
  if (signal?.aborted) {
    await opened.close();
    throw abortedError(signal, `Opening ${path}`);
  }
  return opened;
}

/** As `open`, on this thread: nothing else runs until the pool is open. */
export function openSync(path: string, options?: OpenOptions): Holdfast {
  const request = openOptions(options);
  return withLease(
    new Holdfast(native.openSync(checkPath(path), request), request.readOnly),
    options,
  );
}

function withLease(pool: Holdfast, options: OpenOptions | undefined): Holdfast {
  if (options?.lease !== undefined) setLease(pool, options.lease);
  return pool;
}

/** What a place offers: medium, durability class, and why. Leaves nothing behind. */
export function probe(path: string): PlaceReport {
  return native.probe(checkPath(path));
}
