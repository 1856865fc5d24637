/**
 * Hooks: called after what led to them is durable, so a crash or a failure in one loses nothing.
 *
 * How a hook ended is an entry of the journal, an eventual one. A point without such an entry is
 * called again on continuation: at least once, never instead of a step.
 */
import { structured } from '../codecs';
import { typeError } from '../errors';
import { optionsObject } from '../options';
import type { HookEvent, Run, RunHooks } from './types';
import { textOf } from './diverged';
import { pointOf, type KeptRun } from './kept';
import type { JournalWriter } from './writer';

const DEFAULT_EVERY_STEPS = 10;
const NAMES = ['onStart', 'onDecision', 'onInterval', 'onEnd', 'onHookError'] as const;

type HookName = Exclude<(typeof NAMES)[number], 'onHookError'>;

export function checkHooks(hooks: RunHooks | undefined): void {
  if (hooks === undefined) return;
  optionsObject(hooks, 'hooks', [...NAMES, 'everySteps']);
  for (const name of NAMES) {
    const hook = hooks[name];
    if (hook !== undefined && typeof hook !== 'function') throw typeError(`${name} is a function`);
  }
  const every = hooks.everySteps;
  if (every !== undefined && !(Number.isSafeInteger(every) && every > 0))
    throw typeError(`everySteps is a whole number from 1; got ${String(every)}`);
}

export class Hooks {
  #steps = 0;
  #intervalReached = 0;

  constructor(
    private readonly run: Run,
    private readonly hooks: RunHooks | undefined,
    private readonly writer: JournalWriter,
    private readonly kept: KeptRun,
  ) {}

  /** `point`: where the driving began, different for each driver. */
  start(): Promise<void> {
    return this.call('onStart', String(this.writer.driver.token), {});
  }

  /** A step, decision or tool call is complete, now or since an earlier life. */
  async completed(): Promise<void> {
    this.#steps += 1;
    if (!this.hooks?.onInterval) return;
    const reached = Math.floor(this.#steps / (this.hooks.everySteps ?? DEFAULT_EVERY_STEPS));
    if (reached === this.#intervalReached) return;
    this.#intervalReached = reached;
    await this.call('onInterval', String(reached), {});
  }

  decided(identity: string, name: string, occurrence: number, value: unknown): Promise<void> {
    return this.call('onDecision', identity, { name, occurrence, value });
  }

  async end(result: unknown): Promise<void> {
    // Nobody is told of an end that cannot be kept.
    if (this.hooks?.onEnd) structured.encode(result);
    await this.call('onEnd', '', { value: result });
  }

  private async call(name: HookName, point: string, about: Partial<HookEvent>): Promise<void> {
    const hook = this.hooks?.[name];
    if (!hook || this.kept.hooked.has(pointOf({ name, point }))) return;
    const begun = performance.now();
    let error: string | undefined;
    try {
      await hook({ run: this.run, steps: this.#steps, ...about });
    } catch (thrown) {
      error = textOf(thrown);
      this.report(thrown, name);
    }
    const ms = performance.now() - begun;
    const entry = { kind: 'hook' as const, name, point, ms, ...(error !== undefined && { error }) };
    await this.writer.append(entry, { durability: 'eventual' });
    if (error === undefined) this.kept.hooked.add(pointOf(entry));
  }

  private report(thrown: unknown, name: HookName): void {
    try {
      if (this.hooks?.onHookError) return this.hooks.onHookError(thrown, name);
    } catch {
      // A hook that fails cannot lose a step, not even this one: that the first failed is said
      // below.
    }
    process.emitWarning(
      `hook ${name} of run ${JSON.stringify(this.run.id)} failed: ${textOf(thrown)}`,
      'HoldfastHookWarning',
    );
  }
}
