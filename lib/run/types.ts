/** The public vocabulary of durable runs: shapes only, no code. */
import type { CheckpointInfo, Difference, PruneOptions, PruneReport } from '../checkpoint/index';
import type { Batch, CommitDurability, CommitReceipt, DurabilityClass } from '../types';

export type ToolSafety = 'readOnly' | 'idempotent' | 'effect';

/** What an opened run is. `finished` is for ever. */
export type RunStatus = 'running' | 'finished';

/** What every call of an outside effect is told. */
export interface CallContext {
  /**
   * The same on every attempt at this call, in this and any later process. Hand it to the outside
   * world.
   */
  readonly idempotencyKey: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

export interface ToolContext extends CallContext {
  /**
   * Rises whenever somebody else begins to drive the run. An outside that refuses lower ones is
   * safe from stale drivers.
   */
  readonly fencingToken: number;
  /** Aborted by the call's `signal` and its `timeout`. */
  readonly signal: AbortSignal;
}

/**
 * What a probe knows of an effect: it happened (with its result), it never did, or it cannot tell.
 * `happened` is a boolean, since that is what TypeScript makes of it in a function that is written
 * apart.
 */
export type ProbeAnswer<R> = { happened: boolean; result?: R | undefined } | 'unknown';

/**
 * Milliseconds: `delay` before the second attempt, `factor` times as long before each further one,
 * at most `maxDelay`.
 */
export interface RetryOptions {
  /** Attempts this call makes at most, the first included. */
  attempts: number;
  /** Default 100. */
  delay?: number | undefined;
  /** Default 2. */
  factor?: number | undefined;
  /** Default 30,000. */
  maxDelay?: number | undefined;
}

export interface ToolOptions<R> {
  /**
   * What may be done when an attempt ended without a receipt (its process died, or `fn` threw).
   * `readOnly` and `idempotent`: call again, with the same key. `effect` (default): ask `probe`, or
   * stop with `ERR_HOLDFAST_OUTCOME_UNKNOWN`. An error that carries `neverHappened: true` says that
   * nothing happened outside: then an effect is called again too.
   */
  safety?: ToolSafety | undefined;
  /**
   * Asked before an `effect` is attempted again. Its answer must be final: what has not happened
   * must not happen later.
   */
  probe?: ((idempotencyKey: string) => ProbeAnswer<R> | Promise<ProbeAnswer<R>>) | undefined;
  /** How often to call again when `fn` throws and its safety allows it. Default: not at all. */
  retry?: number | RetryOptions | undefined;
  /**
   * Milliseconds one attempt, or its probe, may take. Then it fails with a `TimeoutError`, and what
   * it did is not known.
   */
  timeout?: number | undefined;
  /** Ends the attempt, its probe, or the pause before the next one, with `ERR_HOLDFAST_ABORTED`. */
  signal?: AbortSignal | undefined;
  /**
   * Undoes the effect when `run.rollback()` asks. Called again with the same key when its process
   * dies.
   */
  compensate?: ((result: R, context: ToolContext) => unknown) | undefined;
}

/**
 * How to undo effects, by the tool's name: for calls without a `compensate` of their own, and for
 * those of an earlier process that the code does not come to again before `run.rollback()`.
 */
export type Compensations = Readonly<Record<string, Compensation>>;

/** A method's type, so that one may say what its tool's result is. */
type Compensation = { undo(result: unknown, context: ToolContext): unknown }['undo'];

export interface StepOptions {
  /**
   * Default `durable`. An `eventual` step may be done again after a crash, as if it had not been.
   */
  durability?: CommitDurability | undefined;
}

export interface WaitOptions {
  /**
   * Milliseconds to wait in this process. Then the run is closed and the call rejects with
   * `ERR_HOLDFAST_SUSPENDED`.
   */
  suspendAfter?: number | undefined;
  /** Ends the wait with `ERR_HOLDFAST_ABORTED`; it may be asked for again. */
  signal?: AbortSignal | undefined;
}

/** What a hook is given. */
export interface HookEvent {
  readonly run: Run;
  /** `onDecision`: the decision's name, occurrence and value. `onEnd`: the result is the value. */
  readonly name?: string;
  readonly occurrence?: number;
  readonly value?: unknown;
  /** Steps, decisions and tool calls that are complete. */
  readonly steps: number;
}

/** What it gives is waited for, and not looked at. */
type Hook = (event: HookEvent) => unknown;

/**
 * Deterministic points where memory is loaded and saved. What led to a hook is durable before it is
 * called; a hook that throws is written into the journal and reported, and the run goes on. After a
 * crash a hook whose end was not recorded is called again.
 */
export interface RunHooks {
  /** Whenever somebody begins to drive the run, before `pool.run` resolves. */
  onStart?: Hook | undefined;
  /** After each `run.decision`. */
  onDecision?: Hook | undefined;
  /** After every `everySteps` steps, decisions and tool calls. */
  onInterval?: Hook | undefined;
  /** Default 10. */
  everySteps?: number | undefined;
  /** Before the run's end is committed. */
  onEnd?: Hook | undefined;
  /** Default: a process warning. */
  onHookError?: ((error: unknown, hook: string) => void) | undefined;
}

export interface RunOptions<Input = unknown> {
  /**
   * Kept when the run begins. On continuation it may be left out; another one is
   * `ERR_HOLDFAST_DIVERGED`.
   */
  input?: Input | undefined;
  hooks?: RunHooks | undefined;
  /** For all waits of this run: see `WaitOptions`. Default: they wait in the process. */
  suspendAfter?: number | undefined;
  /** For `rollback`. */
  compensations?: Compensations | undefined;
}

export interface BeginOptions<Input = unknown> {
  /** What the run gets as `run.input`, however often it is continued. */
  input?: Input | undefined;
  /** `claim` does not hand it out before: a Date, or so many milliseconds from now. */
  notBefore?: Date | number | undefined;
  /**
   * Committed together with the run, or not at all. Taken, as by `commit`: empty afterwards,
   * whatever comes of it.
   */
  batch?: Batch | undefined;
}

export interface Begun {
  /** False: it was there, and nothing was changed. */
  readonly begun: boolean;
  readonly epoch?: number;
  readonly class: DurabilityClass;
}

export interface ParkOptions {
  /**
   * From when on `claim` hands it out again: a Date, or so many milliseconds from now. Default: not
   * before somebody calls `pool.unpark(id)`.
   */
  until?: Date | number | undefined;
}

export interface CheckpointOptions {
  /** At most 512 bytes. Checkpoints with a label are kept by `prune` unless told otherwise. */
  label?: string | undefined;
  /**
   * Objects are never changed in place: those seen before are known by identity and not looked
   * into.
   */
  immutable?: boolean | undefined;
}

export interface CheckpointReceipt extends CommitReceipt {
  /** The checkpoint's id, for `at`, `diff`, `fork` and `restore`. */
  readonly checkpoint: string;
}

type StepFunction<R> = () => R | Promise<R>;

export interface Run<Input = unknown, State = unknown, Result = unknown> extends Disposable {
  readonly id: string;
  readonly input: Input;
  /** Has this run been driven before (by this or another process)? */
  readonly continued: boolean;
  readonly status: RunStatus;
  /** The state last given to `checkpoint`. */
  readonly state: State | undefined;
  /** What `finish` was given. */
  readonly result: Result | undefined;
  /** Rises by one whenever somebody begins to drive the run. */
  readonly fencingToken: number;
  /**
   * 1, and one more for each time in a row that the run was parked, or that its driver died while
   * it did more than wait. A result (of a step, a decision, a tool, a child, a checkpoint, a
   * signal) makes it 1 again.
   */
  readonly attempt: number;
  /** Of the last commit this object made: its epoch, and what it survives. */
  readonly receipt: CommitReceipt | undefined;
  /**
   * Commits what `fn` returns before it returns it; on continuation returns the kept result without
   * calling `fn`.
   */
  step<R>(name: string, fn: StepFunction<R>, options?: StepOptions): Promise<R>;
  /**
   * With arguments, of which `fn` gets a copy as for `tool`: another argument on continuation is
   * `ERR_HOLDFAST_DIVERGED`.
   */
  step<A, R>(
    name: string,
    args: A,
    fn: (args: A) => R | Promise<R>,
    options?: StepOptions,
  ): Promise<R>;
  /**
   * A step that is a plan or a decision: always durable, listed as such, and followed by
   * `onDecision`.
   */
  decision<R>(name: string, fn: StepFunction<R>): Promise<R>;
  decision<A, R>(name: string, args: A, fn: (args: A) => R | Promise<R>): Promise<R>;
  /**
   * A step with an outside effect: intent before, receipt after. `fn` gets a copy of the arguments
   * as they are now; instances of classes are handed over.
   */
  tool<A, R>(
    name: string,
    args: A,
    fn: (args: A, context: ToolContext) => R | Promise<R>,
    options?: ToolOptions<NoInfer<R>>,
  ): Promise<R>;
  /**
   * Undoes the tools that have `compensate`, or one in the run's `compensations`, the last first;
   * gives the names of those undone. Itself durable.
   */
  rollback(): Promise<string[]>;
  /**
   * The version of a piece of code this run was begun with: `before` when it passed here before
   * there was one.
   */
  version(name: string, current?: number, before?: number): Promise<number>;
  /** Waits, durably, for `pool.signal(run.id, name, value)`; signals that came earlier count. */
  signal<T = unknown>(name: string, options?: WaitOptions): Promise<T>;
  /** Waits, durably, until a moment, or for so many milliseconds. */
  sleep(until: Date | number, options?: WaitOptions): Promise<void>;
  /**
   * A run of its own that belongs to this one; its id is `<this id>/<id>`. Of a fork: one that was
   * there at the fork's checkpoint shares what it had done by then, and is finished if it was.
   */
  child<I = unknown, S = unknown, R = unknown>(
    id: string,
    options?: RunOptions<I>,
  ): Promise<Run<I, S, R>>;
  /**
   * Makes `state` the run's state, durably. What did not change since the last one is not written
   * again.
   */
  checkpoint(state: State, options?: CheckpointOptions): Promise<CheckpointReceipt>;
  /** The run's checkpoints in the order they were made. */
  history(options?: {
    reverse?: boolean | undefined;
    limit?: number | undefined;
  }): IterableIterator<CheckpointInfo>;
  /** The state at a checkpoint. */
  at(checkpoint: string): State;
  /** What changed from one checkpoint to another. */
  diff(before: string, after: string): Difference[];
  /**
   * Begins another run from a checkpoint of this one; open it with `pool.run`. It shares everything
   * up to there.
   */
  fork(checkpoint: string, id: string): Promise<CommitReceipt>;
  /**
   * Makes an earlier state the run's state again, as a new checkpoint. Steps stay as they are
   * recorded.
   */
  restore(checkpoint: string): Promise<CheckpointReceipt>;
  /** Removes checkpoints, and what only they held. The newest stays. */
  prune(options?: PruneOptions): Promise<PruneReport>;
  /** Ends the run, durably. It can be opened again to read its result, and never goes on. */
  finish(
    ...result: undefined extends Result ? [result?: Result] : [result: Result]
  ): Promise<CommitReceipt>;
  /** Stops driving an unfinished run, so that it may be opened again at once. */
  close(): void;
  /**
   * Stops driving a run that failed, durably: `claim` does not hand it out before `until`. `why`,
   * an error for instance, is what `pool.runInfo(id)` and the command line tell of it.
   */
  park(why?: unknown, options?: ParkOptions): Promise<CommitReceipt>;
}

/** What a waiting run waits for. */
export type Wait =
  | { readonly signal: string }
  | { readonly until: number }
  /** The id of an unknown outcome. */
  | { readonly outcome: string };

/** A run seen from outside. Times are milliseconds since 1970. */
export interface RunInfo {
  readonly id: string;
  /**
   * `unreadable`: its parts are damaged, or of a newer release; then only `id` and `problem` say
   * anything. Only `pool.runs()` lists such.
   */
  readonly status: 'running' | 'waiting' | 'finished' | 'unreadable';
  /** Why it cannot be read. */
  readonly problem?: string;
  /** Is somebody driving it now? */
  readonly driven: boolean;
  readonly fencingToken: number;
  readonly began: number;
  readonly ended?: number;
  readonly parent?: string;
  /** What it waits for. One that is `running` does something else beside that. */
  readonly waits: readonly Wait[];
  /** Would `claim` hand it out now? */
  readonly runnable: boolean;
  /** It waits because it was parked: until the moment in `waits`, or else for `pool.unpark`. */
  readonly parked: boolean;
  /** How often in a row it failed since its last result, when last, and why if it was parked. */
  readonly failed?: { readonly times: number; readonly at: number; readonly error?: string };
}

export interface RunsOptions {
  prefix?: string | undefined;
  /** Only runs behind this id: the last of the page before. */
  after?: string | undefined;
  limit?: number | undefined;
  reverse?: boolean | undefined;
  /** `runnable`: unfinished, driven by nobody, and not waiting for something that has not come. */
  status?: RunInfo['status'] | 'runnable' | 'parked' | undefined;
}

export interface ClaimOptions {
  /** What to claim; there is one kind. */
  status?: 'runnable' | undefined;
  /** Only runs whose id begins so. */
  prefix?: string | undefined;
  hooks?: RunHooks | undefined;
  suspendAfter?: number | undefined;
  compensations?: Compensations | undefined;
  /**
   * Wait until there is one, in this process: that somebody begins a run or gives it what it waits
   * for, or that a moment comes, is noticed at once; within a second, that a thread which drove it
   * ended, or its lease. The pool's being closed ends it with `ERR_HOLDFAST_CLOSED`.
   */
  wait?: boolean | undefined;
  /** Ends the waiting with `ERR_HOLDFAST_ABORTED`; then no run was claimed. */
  signal?: AbortSignal | undefined;
}

export interface JournalOptions {
  /** The first sequence number. Default 0. */
  from?: number | undefined;
  limit?: number | undefined;
  /** Go on with entries as they are committed, until the run's end. */
  follow?: boolean | undefined;
  /** Ends the reading with `ERR_HOLDFAST_ABORTED`. */
  signal?: AbortSignal | undefined;
}

export type JournalKind =
  | ('start' | 'step' | 'decision' | 'intent' | 'attempt' | 'failure' | 'receipt' | 'checkpoint')
  | ('wait' | 'signal' | 'child' | 'version' | 'rollback' | 'hook' | 'end');

/** One entry of a run's journal. What else it has depends on its kind. */
export interface JournalEntry {
  readonly sequence: number;
  readonly kind: JournalKind;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** How long it took, where that means something. */
  readonly ms?: number;
  readonly attempt?: number;
  /**
   * The commit it was part of. Absent where a process was killed before it wrote that down, and the
   * log has been cleaned since.
   */
  readonly epoch?: number;
  readonly name?: string;
  readonly occurrence?: number;
  readonly [field: string]: unknown;
}

/** An effect that was begun and may or may not have happened. */
export interface UnknownOutcome {
  /** The call's idempotency key. */
  readonly id: string;
  readonly run: string;
  readonly tool: string;
  readonly args: unknown;
  readonly attempt: number;
  readonly since: number;
  /** What the attempt threw, if it lived to throw. */
  readonly error?: string;
  /** What of this record cannot be read, and why. Where `run` is empty only `id` says anything. */
  readonly problem?: string;
}

/**
 * `'happened'`: it happened, and has no result that matters. `{ value }`: it happened, and this is
 * its result.
 */
export type Resolution = 'happened' | 'never-happened' | { readonly value: unknown };

export interface AppliedOnce {
  /** False: it was applied before, and nothing was changed. */
  readonly applied: boolean;
  readonly epoch?: number;
  readonly class: DurabilityClass;
}

export interface ForgetRunsOptions {
  /** Only runs that ended before this time, or longer ago than so many milliseconds. */
  olderThan: Date | number;
  /** Only runs whose id begins so. */
  prefix?: string | undefined;
  /** Nothing is forgotten, only counted; also in a pool that is open for reading. */
  dryRun?: boolean | undefined;
  /** Ends it with `ERR_HOLDFAST_ABORTED`; what is forgotten by then is gone. */
  signal?: AbortSignal | undefined;
}

export interface ForgottenRuns {
  /** Runs that are gone, children included; with `dryRun`: that would go. */
  readonly removed: number;
  /** Runs that ended as long ago and stay, by the reason. */
  readonly kept: {
    /** An effect of it, or of a run that goes with it, may have happened: see `resolve`. */
    readonly unknownOutcomes: number;
    /** One that was forked from it, or from a run that goes with it, stays. */
    readonly forks: number;
    /** Its parent, or a child, goes on or ended since. They go together. */
    readonly children: number;
    /** Something of it, or of one that it belongs to, cannot be read: see `check`. */
    readonly unreadable: number;
  };
}

export interface ForgottenOperations {
  readonly removed: number;
  readonly kept: number;
}

export type { CheckpointInfo, Difference, PruneOptions, PruneReport } from '../checkpoint/index';
