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

/**
 * An open pool with everything: keyspaces, batches, snapshots, regions, backups (see `Pool`), and
 * durable runs. Made by `open`.
 */
export class Holdfast extends Pool {
  /**
   * Begins a run, or continues it where it was left, and drives it. While somebody else drives it:
   * `ERR_HOLDFAST_RUN_ACTIVE`; with another input than it began with: `ERR_HOLDFAST_DIVERGED`. A
   * finished run is opened to read its `result`. Ids have 1 to 512 bytes.
   */
  run<Input = unknown, State = unknown, Result = unknown>(
    id: string,
    options?: RunOptions<Input>,
  ): Promise<Run<Input, State, Result>> {
    return openRun(this, id, options) as Promise<Run<Input, State, Result>>;
  }

  /**
   * Enqueues a run, durably, without driving it: whoever claims it will, in this thread, another or
   * a later process. If the run exists nothing is changed: `{ begun: false }`; with another input
   * than it began with: `ERR_HOLDFAST_DIVERGED`.
   */
  begin<Input = unknown>(id: string, options?: BeginOptions<Input>): Promise<Begun> {
    return beginRun(this, id, options);
  }

  /**
   * Takes a run that nobody drives and that has something to do, and drives it. Undefined if there
   * is none; with `wait: true` it waits until there is one.
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

  /** Lists the runs of the pool in the order of their ids, without driving them. */
  runs(options?: RunsOptions): IterableIterator<RunInfo> {
    return listRuns(this, options);
  }

  /** What a run does now, without driving it; undefined if there is no such run. */
  runInfo(id: string): RunInfo | undefined {
    return runInfo(this, id);
  }

  /**
   * The recorded entries of a run; with `follow` also those to come, until the run ends. No such
   * run: `ERR_HOLDFAST_NOT_FOUND`, at the first `next()`.
   */
  journal(id: string, options?: JournalOptions): AsyncIterableIterator<JournalEntry> {
    return journalOf(this, id, options);
  }

  /**
   * Gives a run, durably, the value that its `run.signal(name)` waits for, now or later. No such
   * run: `ERR_HOLDFAST_NOT_FOUND`; a finished one: `ERR_HOLDFAST_RUN_FINISHED`.
   */
  signal(run: string, name: string, value?: unknown): Promise<CommitReceipt> {
    return sendSignal(this, run, name, value);
  }

  /**
   * Lets a parked run go on, and forgets how often it failed. Undefined: it was not parked. No such
   * run: `ERR_HOLDFAST_NOT_FOUND`.
   */
  unpark(run: string): Promise<CommitReceipt | undefined> {
    return unparkRun(this, run);
  }

  /**
   * The checkpoints of a run, the oldest first. No such run: `ERR_HOLDFAST_NOT_FOUND`.
   */
  history(
    run: string,
    options?: { reverse?: boolean | undefined; limit?: number | undefined },
  ): IterableIterator<CheckpointInfo> {
    return CheckpointStore.of(this).history(ownerOf(mustBeThere(this, run)), options);
  }

  /**
   * The state at a checkpoint (such as 'run/trip-42@3'), as a copy. If it was pruned:
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
   * Begins run `id` from a checkpoint of another run, in one small commit. It shares the state and
   * the steps up to there; nobody drives it yet. If run `id` exists: `ERR_HOLDFAST_EXISTS`; if the
   * checkpoint was pruned: `ERR_HOLDFAST_NOT_FOUND`.
   */
  fork(checkpoint: string, id: string): Promise<CommitReceipt> {
    return forkRun(this, checkpoint, id);
  }

  /** Removes older checkpoints of a run, and what only they held. The newest stays. */
  async prune(run: string, options?: PruneOptions): Promise<PruneReport> {
    return CheckpointStore.of(this).prune(ownerOf(mustBeThere(this, run)), options);
  }

  /**
   * Removes runs that ended before a Date, or longer ago than so many milliseconds, with all that
   * is kept of them. Tells how many stay all the same, and why. Runs that have not ended are never
   * touched. Begun again, such an id is a new run.
   */
  forgetRuns(options: ForgetRunsOptions): Promise<ForgottenRuns> {
    return forgetRuns(this, options);
  }

  /** Effects that may or may not have happened: begun, without a receipt, not being called now. */
  unknownOutcomes(): UnknownOutcome[] {
    return unknownOutcomes(this);
  }

  /**
   * Says what became of an effect; `id` is that of an unknown outcome. The run uses the answer when
   * it is driven again. The first answer stands: the same again succeeds, another is
   * `ERR_HOLDFAST_CONFLICT`.
   */
  resolve(id: string, resolution: Resolution): Promise<CommitReceipt> {
    return resolveOutcome(this, id, resolution);
  }

  /**
   * Commits the batch unless an operation of this id was committed before; then nothing changes:
   * `{ applied: false }`. With other changes than then: `ERR_HOLDFAST_OPERATION_MISMATCH`.
   */
  applyOnce(operationId: string, batch: Batch): Promise<AppliedOnce> {
    return applyOnce(this, operationId, batch);
  }

  /**
   * Forgets operations of `applyOnce` that were applied before a Date, or longer ago than so many
   * milliseconds. Asked for again, such an operation is applied again: choose a time after which
   * nobody asks.
   */
  forgetOperations(options: { olderThan: Date | number }): Promise<ForgottenOperations> {
    return forgetOperations(this, options);
  }

  /**
   * Closes this handle: waits for commits under way, gives back the runs it drives at once, and
   * ends claims that wait with `ERR_HOLDFAST_CLOSED`.
   */
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
 * Opens the pool at `path` (a file in a folder that exists), and creates it if it is missing unless
 * `create` says otherwise. The work is done on another thread. While another process has the pool
 * open: `ERR_HOLDFAST_LOCKED`, unless `readOnly` is set. Opened again in this process it is one
 * more handle to the same pool.
 *
 * `const pool = await open('./agent.holdfast');` and at the end `await pool.close();`
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

/** As `open`, on this thread: nothing else runs until the pool is open. Ignores `signal`. */
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

/**
 * What a place (a folder, a pool, a device) offers: medium, durability class, and why. Changes
 * nothing.
 */
export function probe(path: string): PlaceReport {
  return native.probe(checkPath(path));
}
