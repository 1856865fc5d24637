/**
 * Hooks: called after what led to them is durable, so a crash or a failure in one loses nothing.
 *
 * How a hook ended is an entry of the journal, an eventual one. A point without such an entry is
 * called again on continuation: at least once, never instead of a step. What a hook calls of its
 * run is counted by itself, since a hook that has ended is not called in another life, and leads to
 * no hook.
 */
import { structured } from '../codecs';
import { typeError } from '../errors';
import { optionsObject } from '../options';
import type { HookEvent, Run, RunHooks } from './types';
import { textOf } from './diverged';
import { asideOf, inside, isAside, scopeOf, scopeWithin, type Scope } from './identity';
import { hookName, leaveWithin, pointOf, type KeptRun } from './kept';
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
    private readonly root: Scope,
  ) {}

  /** `point`: where the driving began, different for each driver. */
  start(): Promise<void> {
    return this.call('onStart', String(this.writer.driver.token), {});
  }

  /**
   * A step, decision or tool call is complete, now or since an earlier life. Those that not every
   * life comes to are not counted.
   */
  async completed(): Promise<void> {
    if (isAside(this.within)) return;
    this.#steps += 1;
    if (!this.hooks?.onInterval) return;
    const reached = Math.floor(this.#steps / (this.hooks.everySteps ?? DEFAULT_EVERY_STEPS));
    if (reached === this.#intervalReached) return;
    this.#intervalReached = reached;
    await this.call('onInterval', String(reached), {});
  }

  async decided(identity: string, name: string, occurrence: number, value: unknown): Promise<void> {
    if (isAside(identity, 'hook')) return;
    await this.call('onDecision', identity, { name, occurrence, value });
  }

  async end(result: unknown): Promise<void> {
    // Nobody is told of an end that cannot be kept.
    if (this.hooks?.onEnd) structured.encode(result);
    await this.call('onEnd', '', { value: result });
  }

  private get within(): string {
    return scopeOf(this.root).within;
  }

  private async call(name: HookName, point: string, about: Partial<HookEvent>): Promise<void> {
    const hook = this.hooks?.[name];
    const at = pointOf({ name, point });
    if (!hook || this.kept.hooked.has(at)) return;
    const begun = performance.now();
    const scope = scopeWithin(this.writer, asideOf(this.within, 'hook', hookName(at)));
    let error: string | undefined;
    try {
      await inside(scope, () => hook({ run: this.run, steps: this.#steps, ...about }));
    } catch (thrown) {
      error = textOf(thrown);
      this.report(thrown, name);
    }
    leaveWithin(this.kept, scope.within);
    const ms = performance.now() - begun;
    const entry = { kind: 'hook' as const, name, point, ms, ...(error !== undefined && { error }) };
    await this.writer.append(entry, { durability: 'eventual' });
    if (error === undefined) this.kept.hooked.add(at);
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
