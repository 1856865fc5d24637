/** The public vocabulary of durable runs: shapes only, no code. */
import type { CheckpointInfo, Difference, PruneOptions, PruneReport } from '../checkpoint/index';
import type { Batch, CommitDurability, CommitReceipt, DurabilityClass } from '../types';

/** What may be done when an attempt left no receipt: see `ToolOptions.safety`. */
export type ToolSafety = 'readOnly' | 'idempotent' | 'effect';

/** Of an opened run. A finished one never goes on. */
export type RunStatus = 'running' | 'finished';

/** What the function of an outside effect is given besides its arguments. */
export interface CallContext {
  /**
   * The same on every attempt at this call, in this and any later process. Hand it to the outside,
   * so that it can tell a repetition.
   */
  readonly idempotencyKey: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

/** What a tool's function is given besides its arguments. */
export interface ToolContext extends CallContext {
  /**
   * Rises whenever somebody begins to drive the run. If the outside refuses lower tokens than it
   * has seen, a driver that was replaced can do no harm.
   */
  readonly fencingToken: number;
  /** Aborted by the call's `signal`, its `cancel` and its `timeout`. */
  readonly signal: AbortSignal;
}

/**
 * What a probe knows of an effect: `{ happened: true, result }`, `{ happened: false }`, or
 * 'unknown' if it cannot tell.
 */
export type ProbeAnswer<R> = { happened: boolean; result?: R | undefined } | 'unknown';

/**
 * Further attempts. In milliseconds: `delay` before the second one, `factor` times as long before
 * each further one, at most `maxDelay`.
 */
export interface RetryOptions {
  /** How many attempts this call makes at most, the first included. */
  attempts: number;
  /** Default 100. */
  delay?: number | undefined;
  /** Default 2. */
  factor?: number | undefined;
  /** Default 30,000. */
  maxDelay?: number | undefined;
}

/** How a tool is called, and what may be done when it was cut off. */
export interface ToolOptions<R> {
  /**
   * What may be done when an attempt ended without a receipt: its process died, or `fn` threw.
   * `readOnly`, `idempotent`: call again, with the same key. `effect` (default): ask `probe`, or
   * stop with `ERR_HOLDFAST_OUTCOME_UNKNOWN`. If the error that was thrown has `neverHappened:
   * true`, nothing happened outside, and an effect is called again too.
   */
  safety?: ToolSafety | undefined;
  /**
   * Asked, with the idempotency key, before an `effect` is attempted again. Its answer must be
   * final: what has not happened must not happen later.
   */
  probe?: ((idempotencyKey: string) => ProbeAnswer<R> | Promise<ProbeAnswer<R>>) | undefined;
  /** Attempts when `fn` throws and its safety allows another. A number: how many. Default 1. */
  retry?: number | RetryOptions | undefined;
  /**
   * Milliseconds one attempt, or its probe, may take. Then it fails with a `TimeoutError`, and
   * whether the effect happened is unknown. Default: no limit.
   */
  timeout?: number | undefined;
  /** Ends the attempt, its probe, or the pause before the next one, with `ERR_HOLDFAST_ABORTED`. */
  signal?: AbortSignal | undefined;
  /**
   * Asks the call to end: as `signal`, but an attempt under way is not cut off. It hears it, as its
   * context's `signal`, and ends by itself; what it returns is kept.
   */
  cancel?: AbortSignal | undefined;
  /**
   * Undoes the effect, when `run.rollback()` is called. It is given the recorded result, and is
   * called again with the same key if its process died.
   */
  compensate?: ((result: R, context: ToolContext) => unknown) | undefined;
}

/**
 * How to undo effects, by the name of the tool: for calls without a `compensate` of their own, and
 * for calls of an earlier process that the code does not repeat before `run.rollback()`.
 */
export type Compensations = Readonly<Record<string, Compensation>>;

/** A method's type, so that one may say what its tool's result is. */
type Compensation = { undo(result: unknown, context: ToolContext): unknown }['undo'];

/** How the result of a step is kept. */
export interface StepOptions {
  /**
   * Default `durable`. `eventual`: it does not wait, and may be done again after a crash.
   */
  durability?: CommitDurability | undefined;
}

/** How `run.signal` and `run.sleep` wait. */
export interface WaitOptions {
  /**
   * Milliseconds to wait in this process. Then the run is closed and the call rejects with
   * `ERR_HOLDFAST_SUSPENDED`: open it again, or claim it, later. Default: wait here.
   */
  suspendAfter?: number | undefined;
  /** Ends the wait with `ERR_HOLDFAST_ABORTED`; it may be called again. */
  signal?: AbortSignal | undefined;
}

/** What a hook is given; `run` is the run it belongs to. */
export interface HookEvent {
  readonly run: Run;
  /** `onDecision`: the decision's name, occurrence and value. `onEnd`: the result is the value. */
  readonly name?: string;
  readonly occurrence?: number;
  readonly value?: unknown;
  /** Steps, decisions and tool calls that are complete. */
  readonly steps: number;
}

/** A returned promise is awaited; its value is ignored. */
type Hook = (event: HookEvent) => unknown;

/**
 * Functions that are called at fixed points of a run, for instance to load and save memory. What
 * led to a hook is durable before it is called. If it throws, that is recorded and reported, and
 * the run goes on. After a crash a hook whose end was not recorded is called again.
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
  /** Is told what a hook threw. Default: a process warning. */
  onHookError?: ((error: unknown, hook: string) => void) | undefined;
}

/** How a run begins, and how it is driven in this process. */
export interface RunOptions<Input = unknown> {
  /**
   * Recorded when the run begins, and `run.input` ever after. On continuation it may be left out;
   * another one is `ERR_HOLDFAST_DIVERGED`.
   */
  input?: Input | undefined;
  /** Not recorded: give them each time. */
  hooks?: RunHooks | undefined;
  /** For all waits of this run: see `WaitOptions`. Default: they wait in the process. */
  suspendAfter?: number | undefined;
  /** How `rollback` undoes effects that have no `compensate`. */
  compensations?: Compensations | undefined;
}

/** A run that is enqueued. */
export interface BeginOptions<Input = unknown> {
  /** What the run gets as `run.input`, in every life. */
  input?: Input | undefined;
  /** `claim` does not hand it out before: a Date, or so many milliseconds from now. */
  notBefore?: Date | number | undefined;
  /**
   * Committed together with the run, or not at all. It is empty afterwards, as after `commit`.
   */
  batch?: Batch | undefined;
}

/** Whether `pool.begin` began a run. */
export interface Begun {
  /** False: it existed, and nothing was changed. */
  readonly begun: boolean;
  /** Of the commit, if there was one. */
  readonly epoch?: number;
  /** What that commit survives. */
  readonly class: DurabilityClass;
}

/** How long a run is put aside. */
export interface ParkOptions {
  /**
   * When `claim` hands it out again: a Date, or so many milliseconds from now. Default: when
   * somebody calls `pool.unpark(id)`.
   */
  until?: Date | number | undefined;
}

/** How a state is saved. */
export interface CheckpointOptions {
  /** At most 512 bytes. Checkpoints with a label are kept by `prune` unless told otherwise. */
  label?: string | undefined;
  /**
   * You promise that objects are never changed in place: those saved before are then recognised by
   * identity and not compared. Default `false`.
   */
  immutable?: boolean | undefined;
}

/** The receipt of a checkpoint's commit. */
export interface CheckpointReceipt extends CommitReceipt {
  /** The checkpoint's id, for `at`, `diff`, `fork` and `restore`. */
  readonly checkpoint: string;
}

type StepFunction<R> = () => R | Promise<R>;

/**
 * One durable execution of an agent, as it is driven here. Made by `pool.run` and `pool.claim`.
 *
 * Calls on a run that another driver has taken over are `ERR_HOLDFAST_FENCED`; on one that was
 * closed `ERR_HOLDFAST_CLOSED`; on a finished one `ERR_HOLDFAST_RUN_FINISHED`. Calls that do not
 * agree with what is recorded are `ERR_HOLDFAST_DIVERGED`.
 */
export interface Run<Input = unknown, State = unknown, Result = unknown> extends Disposable {
  readonly id: string;
  /** What the run began with. */
  readonly input: Input;
  /** Has this run been driven before (by this or another process)? */
  readonly continued: boolean;
  /** `running`, or `finished`: then only `result`, `state` and `input` are of use. */
  readonly status: RunStatus;
  /** The state last given to `checkpoint`; undefined before. */
  readonly state: State | undefined;
  /** What `finish` was given; undefined before. */
  readonly result: Result | undefined;
  /** Rises by one whenever somebody begins to drive the run. */
  readonly fencingToken: number;
  /**
   * 1, and one more for each time in a row that the run was parked, or that its driver died in the
   * middle of work. Any recorded result (of a step, a decision, a tool, a child, a checkpoint, a
   * signal) sets it back to 1.
   */
  readonly attempt: number;
  /** The receipt of the last commit this object made: its epoch, and what it survives. */
  readonly receipt: CommitReceipt | undefined;
  /**
   * Calls `fn` and commits its result before returning it; on continuation returns the recorded
   * result without calling `fn`. If `fn` throws, nothing is recorded. A result that cannot be
   * stored is `ERR_HOLDFAST_CODEC`. A step is recognised by its name and by how often that was
   * used.
   */
  step<R>(name: string, fn: StepFunction<R>, options?: StepOptions): Promise<R>;
  /**
   * With arguments, of which `fn` gets a copy. Other arguments on continuation are
   * `ERR_HOLDFAST_DIVERGED`.
   */
  step<A, R>(
    name: string,
    args: A,
    fn: (args: A) => R | Promise<R>,
    options?: StepOptions,
  ): Promise<R>;
  /**
   * A step that is a plan or a decision: always durable, listed as such, and followed by the hook
   * `onDecision`.
   */
  decision<R>(name: string, fn: StepFunction<R>): Promise<R>;
  decision<A, R>(name: string, args: A, fn: (args: A) => R | Promise<R>): Promise<R>;
  /**
   * A call with an outside effect. Commits an intent, calls `fn`, commits a receipt with its
   * result. On continuation a receipt's result is returned; an intent without a receipt is treated
   * as `safety` says. `fn` gets a copy of the arguments as they are now (instances of classes are
   * handed over) and an idempotency key. If nobody can tell whether an effect happened:
   * `ERR_HOLDFAST_OUTCOME_UNKNOWN`.
   */
  tool<A, R>(
    name: string,
    args: A,
    fn: (args: A, context: ToolContext) => R | Promise<R>,
    options?: ToolOptions<NoInfer<R>>,
  ): Promise<R>;
  /**
   * Undoes the effects that have a `compensate`, or one in the run's `compensations`, the last one
   * first, durably. Returns the names of the tools it undid. One that an earlier process ended
   * returns the same names and undoes nothing: what was made after it stays. If a `compensate`
   * throws, that error is thrown, and a further call goes on there, in a later process too. If it
   * does not know how to undo one: `ERR_HOLDFAST_DIVERGED`, and nothing is undone.
   */
  rollback(): Promise<string[]>;
  /**
   * Which version of a piece of code this run uses: `current` (default 1) if it comes here first
   * with the new code, `before` (default 0) if it passed here with older code.
   */
  version(name: string, current?: number, before?: number): Promise<number>;
  /**
   * Waits, durably, for `pool.signal(run.id, name, value)` and returns the value. A signal that
   * came earlier counts.
   */
  signal<T = unknown>(name: string, options?: WaitOptions): Promise<T>;
  /** Waits, durably, until a Date, or for so many milliseconds from the first call. */
  sleep(until: Date | number, options?: WaitOptions): Promise<void>;
  /**
   * Begins or continues a run of its own that belongs to this one, with the id `<this id>/<id>`. In
   * a fork: a child that existed at the fork's checkpoint shares what it had done by then, and is
   * finished if that was. While somebody else drives the child this waits, as for a signal: with
   * the run's `suspendAfter`, if it has one.
   */
  child<I = unknown, S = unknown, R = unknown>(
    id: string,
    options?: RunOptions<I>,
  ): Promise<Run<I, S, R>>;
  /**
   * Makes `state` the run's state, durably. What did not change since the last checkpoint is not
   * written again. A state that cannot be stored is `ERR_HOLDFAST_CODEC`.
   */
  checkpoint(state: State, options?: CheckpointOptions): Promise<CheckpointReceipt>;
  /** The run's checkpoints, the oldest first. */
  history(options?: {
    reverse?: boolean | undefined;
    limit?: number | undefined;
  }): IterableIterator<CheckpointInfo>;
  /** The state at a checkpoint, as a copy. */
  at(checkpoint: string): State;
  /** What changed from one checkpoint to another. */
  diff(before: string, after: string): Difference[];
  /**
   * Begins another run from a checkpoint of this one; open it with `pool.run`. It shares the state
   * and the steps up to there.
   */
  fork(checkpoint: string, id: string): Promise<CommitReceipt>;
  /**
   * Makes an earlier state the run's state again, as a new checkpoint. Recorded steps stay.
   */
  restore(checkpoint: string): Promise<CheckpointReceipt>;
  /** Removes older checkpoints, and what only they held. The newest stays. */
  prune(options?: PruneOptions): Promise<PruneReport>;
  /** Ends the run, durably. It can be opened again to read its `result`, and never goes on. */
  finish(
    ...result: undefined extends Result ? [result?: Result] : [result: Result]
  ): Promise<CommitReceipt>;
  /** Stops driving an unfinished run here, so that it may be opened or claimed again at once. */
  close(): void;
  /**
   * Puts a run that failed aside, durably, and stops driving it: `claim` does not hand it out
   * before `until`. `why`, an error for instance, is shown by `pool.runInfo(id)` and the command
   * line.
   */
  park(why?: unknown, options?: ParkOptions): Promise<CommitReceipt>;
}

/**
 * What a waiting run waits for: a signal of that name, a moment (milliseconds since 1970), an
 * answer about the unknown outcome of that id, or a child of that id, which waits itself or is
 * driven.
 */
export type Wait =
  | { readonly signal: string }
  | { readonly until: number }
  | { readonly outcome: string }
  | { readonly run: string };

/** A run seen from outside. Times are milliseconds since 1970. */
export interface RunInfo {
  readonly id: string;
  /**
   * `running`: begun and not finished, whether or not somebody drives it. `waiting`: for what
   * `waits` says. `unreadable`: damaged, or of a newer release; then only `id` and `problem` mean
   * anything.
   */
  readonly status: 'running' | 'waiting' | 'finished' | 'unreadable';
  /** Why it cannot be read. */
  readonly problem?: string;
  /** Does somebody drive it now? */
  readonly driven: boolean;
  readonly fencingToken: number;
  /** Milliseconds since 1970. */
  readonly began: number;
  /** Milliseconds since 1970; absent while it has not finished. */
  readonly ended?: number;
  /** The run whose child it is. */
  readonly parent?: string;
  /**
   * What it waits for; one that is `running` does something else beside that. Empty if it does not
   * wait, or is parked until `pool.unpark`.
   */
  readonly waits: readonly Wait[];
  /** Would `claim` hand it out now, or its parent, which goes on with it? */
  readonly runnable: boolean;
  /** Was it put aside? Until the moment in `waits`, or else until `pool.unpark`. */
  readonly parked: boolean;
  /** How often in a row it failed since its last result, when last, and why (if it was parked). */
  readonly failed?: { readonly times: number; readonly at: number; readonly error?: string };
}

/** Which runs are listed. */
export interface RunsOptions {
  /** Only runs whose id begins so. */
  prefix?: string | undefined;
  /** Only runs after this id: give the last id of the page before. */
  after?: string | undefined;
  /** At most so many. */
  limit?: number | undefined;
  /** The last id first. */
  reverse?: boolean | undefined;
  /**
   * `runnable`: unfinished, driven by nobody, not waiting for something that has not come, and
   * no child to which its parent, which is driven, comes again.
   */
  status?: RunInfo['status'] | 'runnable' | 'parked' | undefined;
}

/** Which run to take, and how to drive it. */
export interface ClaimOptions {
  /** What to claim; there is one kind. */
  status?: 'runnable' | undefined;
  /** Only runs whose id begins so. */
  prefix?: string | undefined;
  /** As in `RunOptions`. */
  hooks?: RunHooks | undefined;
  /** As in `RunOptions`. */
  suspendAfter?: number | undefined;
  /** As in `RunOptions`. */
  compensations?: Compensations | undefined;
  /**
   * Wait until there is one. A run that is begun, signalled or due is noticed at once; within a
   * second, that a thread which drove it, or its lease, has ended. Closing the pool ends the wait
   * with `ERR_HOLDFAST_CLOSED`.
   */
  wait?: boolean | undefined;
  /** Ends the waiting with `ERR_HOLDFAST_ABORTED`; then no run was claimed. */
  signal?: AbortSignal | undefined;
}

/** Which entries of a journal are read. */
export interface JournalOptions {
  /** The first sequence number. Default 0. */
  from?: number | undefined;
  /** At most so many. */
  limit?: number | undefined;
  /** Go on with entries as they are committed, until the run's end. */
  follow?: boolean | undefined;
  /** Ends the reading with `ERR_HOLDFAST_ABORTED`. */
  signal?: AbortSignal | undefined;
}

/** What an entry of a journal records. */
export type JournalKind =
  | ('start' | 'step' | 'decision' | 'intent' | 'attempt' | 'failure' | 'receipt' | 'checkpoint')
  | ('wait' | 'signal' | 'child' | 'version' | 'rollback' | 'hook' | 'end');

/** One entry of a run's journal. Which other fields it has depends on its kind. */
export interface JournalEntry {
  readonly sequence: number;
  readonly kind: JournalKind;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** How long it took, in milliseconds, where that means something. */
  readonly ms?: number;
  readonly attempt?: number;
  /**
   * The commit it was part of. Absent if the process was killed before it recorded that, and the
   * log no longer tells.
   */
  readonly epoch?: number;
  readonly name?: string;
  readonly occurrence?: number;
  readonly [field: string]: unknown;
}

/** An effect that was begun and may or may not have happened. */
export interface UnknownOutcome {
  /** The call's idempotency key; give it to `pool.resolve`. */
  readonly id: string;
  readonly run: string;
  /** The name of the tool. */
  readonly tool: string;
  /** What it was called with. */
  readonly args: unknown;
  /** Which attempt it was; 1 for the first. */
  readonly attempt: number;
  /** When that attempt began: milliseconds since 1970. */
  readonly since: number;
  /** What the attempt threw, if it lived to throw. */
  readonly error?: string;
  /** What of this record cannot be read, and why. If `run` is empty only `id` is known. */
  readonly problem?: string;
}

/**
 * `'happened'`: it happened, and its result does not matter. `{ value }`: it happened, with this
 * result. `'never-happened'`: it did not, and will not; it may be called again.
 */
export type Resolution = 'happened' | 'never-happened' | { readonly value: unknown };

/** Whether `pool.applyOnce` changed anything. */
export interface AppliedOnce {
  /** False: it was applied before, and nothing was changed. */
  readonly applied: boolean;
  readonly epoch?: number;
  readonly class: DurabilityClass;
}

/** Which runs are forgotten. */
export interface ForgetRunsOptions {
  /** Only runs that ended before this Date, or longer ago than so many milliseconds. */
  olderThan: Date | number;
  /** Only runs whose id begins so. */
  prefix?: string | undefined;
  /** Only count, and change nothing; also in a pool that is open for reading. */
  dryRun?: boolean | undefined;
  /** Ends it early with `ERR_HOLDFAST_ABORTED`; what is forgotten by then is gone. */
  signal?: AbortSignal | undefined;
}

/** What `pool.forgetRuns` did, and what stayed. */
export interface ForgottenRuns {
  /** Runs that are gone, children included; with `dryRun`: that would go. */
  readonly removed: number;
  /** Runs that ended as long ago and stay, counted by reason. */
  readonly kept: {
    /** Nobody knows whether an effect of it, or of a run that goes with it, happened: `resolve`. */
    readonly unknownOutcomes: number;
    /** A run that was forked from it, or from a run that goes with it, stays. */
    readonly forks: number;
    /** Its parent or a child has not ended as long ago. They go together. */
    readonly children: number;
    /** Something of it, or of a run it belongs to, cannot be read: `check`. */
    readonly unreadable: number;
  };
}

/** How many operations were forgotten, and how many are still remembered. */
export interface ForgottenOperations {
  readonly removed: number;
  readonly kept: number;
}

export type { CheckpointInfo, Difference, PruneOptions, PruneReport } from '../checkpoint/index';
