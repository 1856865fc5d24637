/**
 * One durable run, driven by one object. Steps may be under way at the same time; the order in
 * which they are *called* numbers them, so code that calls them in the same order per name gets the
 * same steps on every continuation.
 */
import { HoldfastError, typeError } from '../errors';
import type { Run, RunStatus, ToolContext, ToolOptions, ToolSafety } from '../types';
import type { JournalWriter } from './journal';
import type { Kept, KeptStep, KeptTool } from './kept';
import { identityOf } from './kept';
import { checkStepName } from './keys';
import { divergedError, show } from './diverged';
import { callStep } from './step';
import { callTool } from './tool';

export interface RunParts {
  readonly id: string;
  readonly input: unknown;
  readonly continued: boolean;
  readonly uid: string;
  readonly kept: Map<string, Kept>;
  readonly state: unknown;
  /** Absent for a run that is only read because it is finished. */
  readonly writer: JournalWriter | undefined;
  readonly result: unknown;
  /** Called once, when this object stops driving the run. */
  readonly released: () => void;
}

const SAFETIES: readonly ToolSafety[] = ['readOnly', 'idempotent', 'effect'];

export class DurableRun implements Run {
  readonly id: string;
  readonly input: unknown;
  readonly continued: boolean;
  #status: RunStatus;
  #state: unknown;
  #result: unknown;
  #closed = false;
  readonly #uid: string;
  readonly #writer: JournalWriter | undefined;
  readonly #kept: Map<string, Kept>;
  readonly #calls = new Map<string, number>();
  readonly #released: () => void;

  constructor(parts: RunParts) {
    this.id = parts.id;
    this.input = parts.input;
    this.continued = parts.continued;
    this.#uid = parts.uid;
    this.#kept = parts.kept;
    this.#state = parts.state;
    this.#writer = parts.writer;
    this.#result = parts.result;
    this.#status = parts.writer ? 'running' : 'finished';
    this.#released = parts.released;
  }

  get status(): RunStatus {
    return this.#status;
  }

  get state(): unknown {
    return this.#state;
  }

  get result(): unknown {
    return this.#result;
  }

  async step<R>(name: string, fn: () => R | Promise<R>): Promise<R> {
    const writer = this.driving(`step ${show(name)}`);
    checkStepName(name);
    checkFunction(fn, `step ${show(name)}`);
    const { occurrence, kept } = this.next(name, 'step');
    return callStep(writer, { name, occurrence, kept: kept as KeptStep | undefined }, fn);
  }

  async tool<A, R>(
    name: string,
    args: A,
    fn: (args: A, context: ToolContext) => R | Promise<R>,
    options: ToolOptions<R> = {},
  ): Promise<R> {
    const writer = this.driving(`tool ${show(name)}`);
    checkStepName(name);
    checkFunction(fn, `tool ${show(name)}`);
    const safety = options.safety ?? 'effect';
    if (!SAFETIES.includes(safety)) {
      throw typeError(`the safety of a tool is one of ${SAFETIES.join(', ')}; got ${show(safety)}`);
    }
    if (options.probe !== undefined)
      checkFunction(options.probe, `the probe of tool ${show(name)}`);
    const { occurrence, kept } = this.next(name, 'tool');
    const call = { run: this.id, name, occurrence, args, fn, safety, probe: options.probe };
    return callTool(writer, this.#uid, call, kept as KeptTool | undefined);
  }

  async checkpoint(state: unknown): Promise<void> {
    await this.driving('checkpoint').setState(state);
    this.#state = state;
  }

  async finish(result: unknown): Promise<void> {
    await this.driving('finish').end({ kind: 'end', at: Date.now(), result });
    this.#status = 'finished';
    this.#result = result;
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#released();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private driving(what: string): JournalWriter {
    if (this.#writer && this.#status === 'running' && !this.#closed) return this.#writer;
    if (this.#status === 'finished') {
      throw new HoldfastError(
        'ERR_HOLDFAST_RUN_FINISHED',
        `${what}: run ${JSON.stringify(this.id)} is finished. Read its result, or begin a run under another id`,
      );
    }
    throw new HoldfastError(
      'ERR_HOLDFAST_CLOSED',
      `${what}: this object no longer drives run ${JSON.stringify(this.id)}. Open the run again`,
    );
  }

  /**
   * Numbers a call and finds what is kept of it. Each kept step is handed out once, so it need not
   * stay in memory.
   */
  private next(name: string, kind: Kept['kind']): { occurrence: number; kept: Kept | undefined } {
    const occurrence = (this.#calls.get(name) ?? 0) + 1;
    this.#calls.set(name, occurrence);
    const identity = identityOf(name, occurrence);
    const kept = this.#kept.get(identity);
    if (kept && kept.kind !== kind) {
      throw divergedError(
        this.id,
        `call ${occurrence} of ${JSON.stringify(name)}`,
        `a ${kept.kind}`,
        `a ${kind}`,
      );
    }
    this.#kept.delete(identity);
    return { occurrence, kept };
  }
}

function checkFunction(fn: unknown, what: string): void {
  if (typeof fn !== 'function') throw typeError(`${what} is a function; got ${show(fn)}`);
}
