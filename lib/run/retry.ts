/**
 * How often, how long and until when a tool is called: its options, looked at once, and one attempt
 * under them.
 */
import { setTimeout as pause } from 'node:timers/promises';

import { onAbort } from '../abort';
import { abortedError, rangeError, typeError } from '../errors';
import { optionsObject, signalOption } from '../options';
import { news } from './bell';
import type { RetryOptions, ToolContext, ToolOptions } from './types';
import type { JournalWriter } from './writer';

const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Limits {
  readonly attempts: number;
  readonly delay: number;
  readonly factor: number;
  readonly maxDelay: number;
  readonly timeout: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly cancel: AbortSignal | undefined;
}

export function limitsOf(
  options: Pick<ToolOptions<unknown>, 'retry' | 'timeout' | 'signal' | 'cancel'>,
): Limits {
  const { retry: given = 1 } = options;
  if (typeof given !== 'number' && (typeof given !== 'object' || given === null))
    throw typeError('retry is a number of attempts, or an object with attempts');
  const retry: Partial<RetryOptions> =
    typeof given === 'number'
      ? { attempts: given }
      : optionsObject(given, 'retry', ['attempts', 'delay', 'factor', 'maxDelay']);
  const { attempts, delay = 100, factor = 2, maxDelay = 30_000 } = retry;
  if (attempts === undefined || !Number.isSafeInteger(attempts) || attempts < 1)
    throw rangeError(`retry.attempts is a whole number from 1; got ${String(attempts)}`);
  checkMs('retry.delay', delay, 0);
  checkMs('retry.maxDelay', maxDelay, 0);
  if (typeof factor !== 'number' || !(factor >= 1))
    throw rangeError(`retry.factor is a number from 1; got ${String(factor)}`);
  if (options.timeout !== undefined) checkMs('timeout', options.timeout, 1);
  const signal = signalOption(options.signal);
  const cancel = signalOption(options.cancel, 'cancel');
  return { attempts, delay, factor, maxDelay, timeout: options.timeout, signal, cancel };
}

/** The one that says that nothing more is to be begun. */
export function stoppedBy({ signal, cancel }: Limits): AbortSignal | undefined {
  if (signal?.aborted) return signal;
  return cancel?.aborted ? cancel : undefined;
}

/** `tell` is called with each of them that is aborted, until what is returned is called. */
function onStop({ signal, cancel }: Limits, tell: (by: AbortSignal) => void): () => void {
  const leaveSignal = onAbort(signal, () => tell(signal!));
  const leaveCancel = onAbort(cancel, () => tell(cancel!));
  return () => {
    leaveSignal();
    leaveCancel();
  };
}

export function checkMs(name: string, value: unknown, least: number): asserts value is number {
  if (typeof value !== 'number' || !(value >= least && value <= MAX_TIMER_MS))
    throw rangeError(`${name} is ${least} to ${MAX_TIMER_MS} milliseconds; got ${String(value)}`);
}

/**
 * Before the attempt after `failed` failed ones. Ends with its error once `writer` drives no more:
 * nobody waits for an attempt that cannot be made.
 */
export async function backOff(
  limits: Limits,
  failed: number,
  what: string,
  writer: JournalWriter,
): Promise<void> {
  const ms = Math.min(limits.maxDelay, limits.delay * limits.factor ** (failed - 1));
  const over = new AbortController();
  const end = (): void => over.abort();
  const leaveSignals = onStop(limits, end);
  try {
    const before = stoppedBy(limits);
    if (before) throw abortedError(before, what);
    await Promise.race([
      pause(ms, undefined, { signal: over.signal }),
      untilEnded(writer, over.signal),
    ]);
  } catch (error) {
    const by = stoppedBy(limits);
    throw by ? abortedError(by, what) : error;
  } finally {
    leaveSignals();
    end();
  }
}

/** Rejects when that driver has ended. */
async function untilEnded(writer: JournalWriter, signal: AbortSignal): Promise<never> {
  for (;;) {
    await news(writer.journals.pool, writer.run, Infinity, signal);
    writer.mustDrive();
  }
}

export class AttemptContext implements ToolContext {
  #controller: AbortController | undefined;

  constructor(
    readonly idempotencyKey: string,
    readonly attempt: number,
    readonly fencingToken: number,
  ) {}

  /** Made when somebody asks, since most tools don't. */
  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  abort(reason: unknown): void {
    (this.#controller ??= new AbortController()).abort(reason);
  }
}

/**
 * One attempt. When it is cut off `fn` may go on, but nobody listens to it any more. `cancel` cuts
 * off nothing that `hears` it, by its context.
 */
export async function attemptWithin<R>(
  limits: Limits,
  context: AttemptContext,
  what: string,
  fn: () => R | Promise<R>,
  hears: boolean,
): Promise<R> {
  const { timeout, signal, cancel } = limits;
  if (timeout === undefined && signal === undefined && cancel === undefined) return fn();
  let stop = (): void => {};
  const cut = new Promise<never>((_resolve, reject) => {
    const end = (error: Error): void => {
      context.abort(error);
      reject(error);
    };
    const leaveSignals = onStop(limits, (by) => {
      if (by === cancel && hears) context.abort(abortedError(by, what));
      else end(abortedError(by, what));
    });
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => end(timeoutError(what, timeout)), timeout);
    stop = () => {
      clearTimeout(timer);
      leaveSignals();
    };
  });
  try {
    // What `fn` throws at once is a rejection too: it may have aborted its own signal before, and
    // somebody must listen to `cut` then.
    return await Promise.race([(async () => fn())(), cut]);
  } finally {
    stop();
  }
}

function timeoutError(what: string, ms: number): Error {
  return new DOMException(`${what} took longer than ${ms} ms`, 'TimeoutError');
}
