/**
 * One durable run, driven by one object. Calls may be under way at the same time; the order in
 * which they are *made* within a step numbers them, so code that makes them in the same order per
 * name gets the same ones on every continuation.
 */
import { types } from 'node:util';

import { HoldfastError, typeError } from '../errors';
import { eventualOption, momentOption, optionsObject, signalOption } from '../options';
import type {
  CheckpointOptions,
  CheckpointReceipt,
  ParkOptions,
  Run,
  RunOptions,
  RunStatus,
  StepOptions,
  ToolContext,
  ToolOptions,
  ToolSafety,
  WaitOptions,
} from './types';
import {
  CheckpointStore,
  type CheckpointInfo,
  type Difference,
  type PruneOptions,
  type PruneReport,
} from '../checkpoint/index';
import type { CommitReceipt, PoolCore } from '../types';
import type { ChildLeft } from './activity';
import { Attempts, isOver } from './attempts';
import { Checkpoints, ownerOf } from './checkpoints';
import { divergedError, show, textOf } from './diverged';
import type { ChildEntry } from './entries';
import { forkRun } from './fork';
import { Hooks } from './hooks';
import {
  identityOf,
  inside,
  nextOccurrence,
  scopeOf,
  scopeWithin,
  type Category,
  type Scope,
} from './identity';
import {
  leaveWithin,
  gatherWithin,
  keepWithin,
  liesAhead,
  type Kept,
  type KeptMark,
  type KeptRun,
  type KeptStep,
  type KeptTool,
  type KeptWait,
} from './kept';
import { checkRunId, checkSignalName, checkStepName } from './keys';
import { forgetKnown } from './outcomes';
import { ownCopy } from './own-copy';
import { checkMs, limitsOf } from './retry';
import { compensationOf, Compensations } from './rollback';
import { callStep } from './step';
import { callTool, type Called } from './tool';
import { sleepUntil, waitForOther, waitForSignal, type WaitCall } from './waits';
import type { JournalWriter } from './writer';

/** Opens a run whose parent's journal says so in the same commit. */
export type OpenChild = (id: string, options: RunOptions, parent: ParentOfChild) => Promise<Run>;

/** What the door is told of the run that opens a child. */
export interface ParentOfChild {
  readonly writer: JournalWriter;
  readonly name: string;
  readonly occurrence: number;
  readonly within: string;
  readonly recorded: ChildEntry | undefined;
  /** The child is driven here; gives who is told when it is no more. */
  readonly driven: () => ChildLeft;
  /** Until nobody else drives it. Throws `active` where it is driven here. */
  readonly untilLeft: (active: HoldfastError) => Promise<void>;
}

export interface RunParts {
  readonly id: string;
  readonly input: unknown;
  readonly continued: boolean;
  readonly uid: string;
  readonly kept: KeptRun;
  readonly pool: PoolCore;
  /** Absent for a run that is only read because it is finished. */
  readonly writer: JournalWriter | undefined;
  readonly fencingToken: number;
  readonly result: unknown;
  readonly options: RunOptions;
  readonly openChild: OpenChild;
  /** Of a child that its parent opened. */
  readonly parent?: ParentOfChild | undefined;
}

/** One call, numbered, with what is kept of it. */
interface Call<K extends Kept> {
  readonly identity: string;
  readonly name: string;
  readonly occurrence: number;
  readonly within: string;
  readonly kept: K | undefined;
}

const ENDING_OPTIONS = ['timeout', 'signal', 'cancel'] as const;
const TOOL_OPTIONS = ['safety', 'probe', 'retry', ...ENDING_OPTIONS, 'compensate'] as const;

const SAFETIES: readonly ToolSafety[] = ['readOnly', 'idempotent', 'effect'];

export class DurableRun implements Run {
  readonly id: string;
  readonly input: unknown;
  readonly continued: boolean;
  readonly fencingToken: number;
  #status: RunStatus;
  #result: unknown;
  #closed = false;
  #ending = false;
  #waited: string | undefined;
  readonly #left: ChildLeft | undefined;
  readonly #parts: RunParts;
  readonly #writer: JournalWriter | undefined;
  readonly #kept: KeptRun;
  readonly #root: Scope;
  readonly #hooks: Hooks | undefined;
  readonly #checkpoints: Checkpoints;
  readonly #compensations = new Compensations();

  constructor(parts: RunParts) {
    this.id = parts.id;
    this.input = parts.input;
    this.continued = parts.continued;
    this.fencingToken = parts.fencingToken;
    this.#parts = parts;
    this.#kept = parts.kept;
    this.#checkpoints = new Checkpoints(parts.pool, parts.id);
    this.#writer = parts.writer;
    this.#result = parts.result;
    this.#status = parts.writer ? 'running' : 'finished';
    const driver = parts.writer ?? { ended: true };
    this.#root = { driver, within: '', calls: new Map(), outer: undefined };
    if (parts.writer) this.#left = parts.parent?.driven();
    if (parts.writer)
      this.#hooks = new Hooks(this, parts.options.hooks, parts.writer, parts.kept, this.#root);
  }

  get status(): RunStatus {
    return this.#status;
  }

  get attempt(): number {
    return this.#writer?.attempt ?? 1;
  }

  get state(): unknown {
    return this.#checkpoints.state;
  }

  get result(): unknown {
    return this.#result;
  }

  get receipt(): CommitReceipt | undefined {
    return this.#writer?.receipt;
  }

  /** For the door: what happens before the run is handed out. */
  async begun(): Promise<this> {
    try {
      await this.#hooks?.start();
    } catch (error) {
      // How the hook ended could not be recorded. Nobody gets this object, so nobody else could
      // close it.
      this.close();
      throw error;
    }
    return this;
  }

  step<R>(name: string, ...rest: unknown[]): Promise<R> {
    return this.work<R>('step', name, rest);
  }

  decision<R>(name: string, ...rest: unknown[]): Promise<R> {
    return this.work<R>('decision', name, rest);
  }

  async tool<A, R>(
    name: string,
    args: A,
    fn: (args: A, context: ToolContext) => R | Promise<R>,
    options: ToolOptions<NoInfer<R>> = {},
  ): Promise<R> {
    const writer = this.driving(`tool ${show(name)}`);
    checkStepName(name);
    checkCalled(fn, 'tool', name);
    optionsObject(options, 'a tool', TOOL_OPTIONS);
    const {
      safety = 'effect',
      probe,
      compensate = compensationOf<R>(this.#parts.options.compensations, name),
    } = options;
    if (!SAFETIES.includes(safety)) {
      throw typeError(`the safety of a tool is one of ${SAFETIES.join(', ')}; got ${show(safety)}`);
    }
    if (probe !== undefined) checkFunction(probe, `the probe of tool ${show(name)}`);
    if (compensate !== undefined) checkFunction(compensate, `compensate of tool ${show(name)}`);
    const limits = limitsOf(options);
    const { identity, kept, ...named } = this.next<KeptTool>('step', name, 'tool');
    const attempts = new Attempts(writer, identity);
    const within = (given: A, context: ToolContext): R | Promise<R> =>
      attempts.make(() => fn(given, context));
    const leave = (): void => {
      attempts.leave();
      writer.activity.forgetWithin(identity);
    };
    const compensable = compensate !== undefined;
    const own = kept?.receipt ? args : ownCopy(args);
    // As in another life: what was called within an earlier attempt is kept, and not called again.
    const again = (intent: number): void => {
      const read = (run: string, from?: number) => writer.journals.read(run, from);
      keepWithin(this.#kept, gatherWithin(read, this.id, intent, identity));
    };
    const call = {
      run: this.id,
      ...named,
      args: own,
      fn: within,
      leave,
      again,
      safety,
      probe,
      limits,
      compensable,
    };
    const calling = (): Promise<Called<R>> => callTool(writer, this.#parts.uid, call, kept);
    const called = await (kept?.receipt ? calling() : writer.working(identity, calling)).finally(
      () => {
        attempts.end();
        this.#leave(identity);
      },
    );
    this.#compensations.add(name, called, compensate);
    await this.#hooks?.completed();
    return called.result;
  }

  async rollback(): Promise<string[]> {
    const writer = this.driving('rollback');
    return this.#compensations.run(
      writer,
      this.#parts.uid,
      this.#kept,
      this.#parts.options.compensations,
    );
  }

  async version(name: string, current = 1, before = 0): Promise<number> {
    const writer = this.driving(`version ${show(name)}`);
    checkStepName(name);
    for (const number of [current, before])
      if (!Number.isSafeInteger(number)) throw typeError('versions are whole numbers');
    const { kept, ...named } = this.next<KeptMark>('version', name, 'version');
    if (kept?.entry.kind === 'version') return kept.entry.version;
    // What is kept and not yet asked for again was recorded by code that passed here without this
    // line.
    const version = liesAhead(this.#kept, named.within) ? before : current;
    await writer.append({ kind: 'version', ...plain(named), version });
    return version;
  }

  async signal<T = unknown>(name: string, options?: WaitOptions): Promise<T> {
    const writer = this.driving(`signal ${show(name)}`);
    checkSignalName(name);
    return (await waitForSignal(writer, this.waitCall('signal', name, options))) as T;
  }

  async sleep(until: Date | number, options?: WaitOptions): Promise<void> {
    const writer = this.driving('sleep');
    const moment = momentOption('the end of a sleep', until);
    const most = typeof until === 'number' ? until : Infinity;
    await sleepUntil(writer, this.waitCall('sleep', 'sleep', options), moment, most);
  }

  async child<I, S, R>(id: string, options: RunOptions<I> = {}): Promise<Run<I, S, R>> {
    const writer = this.driving(`child ${show(id)}`);
    checkRunId(id);
    const childId = `${this.id}/${id}`;
    checkRunId(childId);
    const { identity, kept, ...named } = this.next<KeptMark>('child', id, 'child');
    const recorded = kept?.entry.kind === 'child' ? kept.entry : undefined;
    const driven = (): ChildLeft => writer.activity.drivesChild(identity, childId);
    const untilLeft = (active: HoldfastError): Promise<void> => {
      if (writer.activity.isDrivingChild(childId)) throw active;
      const suspendAt = performance.now() + (this.#parts.options.suspendAfter ?? Infinity);
      const suspend = (): void => this.end(id);
      const call = { identity, ...named, kept: undefined, suspendAt, signal: undefined, suspend };
      return waitForOther(writer, call, childId);
    };
    const parent = { writer, ...named, recorded, driven, untilLeft };
    const opening = (): Promise<Run> => this.#parts.openChild(childId, options, parent);
    return (await writer.working(identity, opening)) as Run<I, S, R>;
  }

  async checkpoint(state: unknown, given?: CheckpointOptions): Promise<CheckpointReceipt> {
    const writer = this.driving('checkpoint');
    const { label, immutable } = optionsObject(given, 'a checkpoint', ['label', 'immutable']);
    return this.#checkpoints.save(writer, state, { label, immutable });
  }

  history(options?: { reverse?: boolean; limit?: number }): IterableIterator<CheckpointInfo> {
    return CheckpointStore.of(this.#parts.pool).history(ownerOf(this.id), options);
  }

  at(checkpoint: string): unknown {
    return CheckpointStore.of(this.#parts.pool).load(checkpoint);
  }

  diff(before: string, after: string): Difference[] {
    return CheckpointStore.of(this.#parts.pool).diff(before, after);
  }

  fork(checkpoint: string, id: string): Promise<CommitReceipt> {
    return forkRun(this.#parts.pool, checkpoint, id);
  }

  async restore(checkpoint: string): Promise<CheckpointReceipt> {
    return this.#checkpoints.restore(this.driving('restore'), checkpoint);
  }

  prune(options?: PruneOptions): Promise<PruneReport> {
    return CheckpointStore.of(this.#parts.pool).prune(ownerOf(this.id), options);
  }

  async finish(result: unknown): Promise<CommitReceipt> {
    const writer = this.driving('finish');
    if (this.#ending) throw finishedError(this.id, 'finish', 'is being finished already');
    this.#ending = true;
    try {
      await this.#hooks?.end(result);
      const receipt = await writer.end(result, (batch) =>
        forgetKnown(writer.journals, this.#parts.uid, batch),
      );
      this.#status = 'finished';
      this.#result = result;
      this.#closed = true;
      this.#left?.(false);
      return receipt;
    } finally {
      this.#ending = false;
    }
  }

  async park(why?: unknown, given?: ParkOptions): Promise<CommitReceipt> {
    const writer = this.driving('park');
    const { until } = optionsObject(given, 'park', ['until']);
    const moment = until === undefined ? undefined : momentOption('until', until);
    const receipt = await writer.park(why === undefined ? undefined : textOf(why), moment);
    this.#closed = true;
    this.#left?.(true);
    return receipt;
  }

  close(): void {
    this.end();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** `waited`: for what, where it is suspended. */
  private end(waited?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waited = waited;
    const more = this.#writer?.activity.isDrivingChild() ? 'more' : undefined;
    this.#writer?.close(waited === undefined ? more : 'waits');
    this.#left?.(this.#writer?.waits ?? false);
  }

  /** `rest`: fn and options, with or without arguments before them. */
  private async work<R>(kind: 'step' | 'decision', name: string, rest: unknown[]): Promise<R> {
    const writer = this.driving(`${kind} ${show(name)}`);
    checkStepName(name);
    const bare = typeof rest[0] === 'function';
    const [args, fn, options] = bare
      ? [undefined, ...rest]
      : [[rest[0]] as const, ...rest.slice(1)];
    checkCalled(rest.length > 1 ? fn : rest[0], kind, name);
    const { durability } = optionsObject(options as StepOptions | undefined, `a ${kind}`, [
      'durability',
    ]);
    const eventual = eventualOption({ durability }) && kind === 'step';
    const { identity, kept, ...named } = this.next<KeptStep>('step', name, kind);
    const work = fn as (args?: unknown) => R | Promise<R>;
    const given = args as readonly [unknown] | undefined;
    const own = given && !kept ? ([ownCopy(given[0])] as const) : given;
    const call = {
      kind,
      ...named,
      args: own,
      durability: eventual ? ('eventual' as const) : undefined,
      fn: () => inside(scopeWithin(writer, identity), () => (own ? work(own[0]) : work())),
    };
    const calling = (): Promise<R> => callStep<R>(writer, call, kept);
    const made = kept ? calling() : writer.working(identity, calling);
    const holds = this.#kept.begun.has(identity);
    const result = await (holds ? made.finally(() => this.#leave(identity)) : made);
    if (kind === 'decision') await this.#hooks?.decided(identity, name, named.occurrence, result);
    await this.#hooks?.completed();
    return result;
  }

  /** A call has ended, which an attempt around it may make again: then that one asks for these. */
  #leave(identity: string): void {
    if (!isOver(this.#root.driver)) leaveWithin(this.#kept, identity);
  }

  private waitCall(category: 'signal' | 'sleep', name: string, given?: WaitOptions): WaitCall {
    const options = optionsObject(given, `run.${category}`, ['suspendAfter', 'signal']);
    const suspendAfter = options.suspendAfter ?? this.#parts.options.suspendAfter;
    if (suspendAfter !== undefined) checkMs('suspendAfter', suspendAfter, 0);
    const signal = signalOption(options.signal);
    const call = this.next<KeptWait>(category, name, 'wait');
    const suspendAt = performance.now() + (suspendAfter ?? Infinity);
    return { ...call, suspendAt, signal, suspend: () => this.end(name) };
  }

  private driving(what: string): JournalWriter {
    if (this.#writer && this.#status === 'running' && !this.#closed) {
      this.#writer.mustBeCurrent(what);
      return this.#writer;
    }
    if (this.#status === 'finished') {
      throw finishedError(this.id, what, 'is finished');
    }
    throw new HoldfastError(
      'ERR_HOLDFAST_CLOSED',
      `${what}: this object no longer drives run ${JSON.stringify(this.id)}${this.whySuspended()}. Open the run again`,
    );
  }

  /** For code that went on although a wait of it had not ended. */
  private whySuspended(): string {
    if (this.#waited === undefined) return '';
    return (
      `, which was suspended while it waited for ${JSON.stringify(this.#waited)}. ` +
      'Where that wait is no longer wanted, end it with its `signal`'
    );
  }

  /**
   * Numbers a call and finds what is kept of it. Each is handed out once, so it need not stay in
   * memory.
   */
  private next<K extends Kept>(category: Category, name: string, kind: K['kind']): Call<K> {
    const scope = scopeOf(this.#root);
    const { within } = scope;
    const occurrence = nextOccurrence(scope, category, name);
    const identity = identityOf(within, category, name, occurrence);
    const { calls, left } = this.#kept;
    const kept = calls.get(identity) ?? left.get(identity);
    if (kept && kept.kind !== kind) {
      const what = `call ${occurrence} of ${JSON.stringify(name)}`;
      throw divergedError(this.id, what, `a ${kept.kind}`, `a ${kind}`);
    }
    calls.delete(identity);
    left.delete(identity);
    this.#kept.come += 1;
    return { identity, name, occurrence, within, kept: kept as K | undefined };
  }
}

function finishedError(run: string, what: string, state: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_RUN_FINISHED',
    `${what}: run ${JSON.stringify(run)} ${state}. Read its result, or begin a run under another id`,
  );
}

/** As it stands in an entry. */
function plain(call: { name: string; occurrence: number; within: string }) {
  const { name, occurrence, within } = call;
  return { name, occurrence, ...(within && { within }) };
}

const FORMS = {
  step: 'run.step(name, fn, options?) or run.step(name, args, fn, options?)',
  decision: 'run.decision(name, fn) or run.decision(name, args, fn)',
  tool: 'run.tool(name, args, fn, options?)',
} as const;

function checkCalled(fn: unknown, kind: keyof typeof FORMS, name: string): void {
  if (typeof fn === 'function') return;
  const got = types.isPromise(fn) ? 'a promise, whose work is under way already' : show(fn);
  throw typeError(
    `${kind} ${show(name)} is called as ${FORMS[kind]}, where fn is a function; got ${got}`,
  );
}

function checkFunction(fn: unknown, what: string): void {
  if (typeof fn !== 'function') throw typeError(`${what} is a function; got ${show(fn)}`);
}
