/**
 * A tool with an outside effect, for use inside LangGraph's nodes. Each call is a run of its own
 * with one tool (lib/run), so it has all that belongs to one: intent before, receipt after,
 * retries, time-outs, a fencing token, and a place among the pool's unknown outcomes. A node that
 * is run again, by a resumed process too, gets the receipt's result and calls nothing.
 *
 * What is recorded has no instances: of a receipt messages are made again, as the saver makes them.
 *
 * A crash leaves nothing (it was never called), an intent (it may have been: what its safety allows
 * is done) or a receipt (it was, and never will be again). A call is known by its thread, namespace
 * and task, and within the task by the tool's name, the id of the model's tool call if there is
 * one, and which call of that it is. LangGraph gives a task its id by the checkpoint it runs on,
 * and goes on while it saves that: a call waits until it is stored. With `durability: "exit"` it
 * never is, so what a crash leaves is not found again.
 *
 * A node that is interrupted leaves the calls it has made beside to end by themselves. Resumed
 * meanwhile it makes them again: each waits for the one before, and gets its result. A graph that
 * is cancelled ends such waits, and begins nothing more; what is being called hears it, and ends by
 * itself. An interrupt within what is called is no failure that another attempt could mend: it goes
 * through at once, to be met again when the node is resumed.
 */
import { createHash } from 'node:crypto';

import { onAbort } from '../../abort';
import { abortedError, HoldfastError, typeError } from '../../errors';
import { optionsObject } from '../../options';
import {
  checkStepName,
  divergedError,
  forgetOwned,
  hashOf,
  isSame,
  limitsOf,
  openRun,
  ownCopy,
  readJournal,
  runInfo,
  show,
} from '../../run/index';
import type { ProbeAnswer, ToolContext, ToolOptions, ToolSafety } from '../../run/types';
import type { PoolCore } from '../../types';
import { mustBePool } from './given';
import { optionalText, requiredText, runsOf } from './keys';
import { Threads } from './threads';
import type { Config, LangGraphModules } from './types';
import { plain, Values } from './values';

/** As of `run.tool`, and which pool and name the tool has. */
export interface DurableToolOptions<R> extends Pick<
  ToolOptions<R>,
  'safety' | 'probe' | 'retry' | 'timeout' | 'signal'
> {
  /** What may be done when a call ended without a receipt; as of `run.tool`. Default `effect`. */
  safety?: ToolSafety | undefined;
  /** Names the tool in its pool. Default: the function's own name. */
  name?: string | undefined;
  /** Default: the pool of the graph's HoldfastSaver. */
  pool?: PoolCore | undefined;
}

/** To be called in a node, with the config that the node was given. */
export type DurableTool<A, R> = (args: A, config: Config) => Promise<R>;

const OWNER = 'langgraph';
const NAMES = ['safety', 'probe', 'retry', 'timeout', 'signal', 'name', 'pool'] as const;

interface TaskConfig extends Config {
  readonly executionInfo?: { readonly nodeAttempt?: number };
  readonly toolCall?: { readonly id?: string };
  readonly durability?: string;
  /** Of the caller, of a time-out, or because another node of the step failed. */
  readonly signal?: AbortSignal;
}

/** Calls of each tool so far, within one attempt at one task. */
const counters = new WeakMap<object, { attempt: number; calls: Map<string, number> }>();
const safeties: readonly ToolSafety[] = ['readOnly', 'idempotent', 'effect'];

/** Of `durableTool`, of which lib/langgraph.ts tells. */
export type MakeDurableTool = <A, R>(
  fn: (args: A, context: ToolContext) => R | Promise<R>,
  options?: DurableToolOptions<NoInfer<R>>,
) => DurableTool<A, R>;

export function makeDurableTool(modules: LangGraphModules): MakeDurableTool {
  const values = new Values(modules, undefined);
  return (fn, options) => toolOf(values, fn, options);
}

function toolOf<A, R>(
  values: Values,
  fn: (args: A, context: ToolContext) => R | Promise<R>,
  options: DurableToolOptions<NoInfer<R>> = {},
): DurableTool<A, R> {
  const {
    safety = 'effect',
    probe,
    name = fn?.name,
  } = optionsObject(options, 'durableTool', NAMES);
  if (typeof fn !== 'function') throw typeError('durableTool(fn, options): fn is a function');
  if (!safeties.includes(safety))
    throw typeError(`the safety of a tool is one of ${safeties.join(', ')}; got ${String(safety)}`);
  if (probe !== undefined && typeof probe !== 'function')
    throw typeError(`the probe of tool ${name} is a function`);
  if (name === undefined || name === '')
    throw typeError('durableTool: give the function a name, or name it in the options');
  checkStepName(name);
  limitsOf(options);
  if (options.pool !== undefined) mustBePool(options.pool, `the pool of tool ${name}`);
  return async (args, config) => {
    const pool = options.pool ?? poolOf(config, name);
    const { thread, id } = callOf(config, name);
    const { retry, timeout, signal } = options;
    const cancel = cancelOf(config);
    const waiting = untilStopped(`tool ${name} of thread ${show(thread)}`, [signal, cancel]);
    const asked = plain(args);
    const own = ownCopy(args);
    await waiting(untilKnown(config, thread));
    const threads = Threads.of(pool);
    const calling = async (): Promise<R> => {
      const family = threads.familyOf(thread);
      let run = await openRun(pool, id, {}, OWNER);
      for (; run.status === 'finished'; run = await openRun(pool, id, {}, OWNER)) {
        const receipt = receiptOf(pool, id, name, asked);
        if (receipt !== undefined) return (await values.outOf(receipt.result)) as R;
      }
      let raw: { result: R } | undefined;
      let passing: unknown;
      const over = new AbortController();
      const leave = onAbort(cancel, () => over.abort(cancel!.reason));
      if (cancel?.aborted) over.abort(cancel.reason);
      const act = async (_asked: unknown, context: ToolContext): Promise<unknown> => {
        raw = undefined;
        try {
          raw = { result: await fn(ownCopy(own), context) };
        } catch (error) {
          if (!goesThrough(error)) throw error;
          passing = error;
          over.abort(error);
          throw error;
        }
        return plain(raw.result);
      };
      try {
        const result = await run.tool(name, asked, act, {
          safety,
          probe: probe && plainProbe(probe),
          retry,
          timeout,
          signal,
          cancel: over.signal,
        });
        // The receipt is there, and a run without an end gives it as well.
        await run.finish(undefined);
        return raw === undefined ? ((await values.outOf(result)) as R) : raw.result;
      } catch (error) {
        throw passing ?? error;
      } finally {
        leave();
        run.close();
        // The thread was deleted meanwhile, which left what is being called to whoever calls it.
        if (family !== undefined && !pool.closed && threads.familyOf(thread) !== family)
          await forgetOwned(pool, id);
      }
    };
    return threads.calls.alone(id, calling, waiting);
  };
}

/** LangGraph's own: an interrupt, a Command for the graph above. */
function goesThrough(error: unknown): boolean {
  return (error as { is_bubble_up?: unknown } | null | undefined)?.is_bubble_up === true;
}

function cancelOf({ signal }: TaskConfig): AbortSignal | undefined {
  return signal instanceof AbortSignal ? signal : undefined;
}

/** For waits: each ends when one of the signals is aborted; nothing has been called yet. */
function untilStopped(what: string, signals: readonly (AbortSignal | undefined)[]) {
  return async (wait: Promise<void>): Promise<void> => {
    const leave: (() => void)[] = [];
    const stopped = new Promise<never>((_resolve, reject) => {
      for (const signal of signals) {
        const stop = (): void => reject(abortedError(signal!, what));
        if (signal?.aborted) stop();
        else leave.push(onAbort(signal, stop));
      }
    });
    try {
      await Promise.race([wait, stopped]);
    } finally {
      for (const each of leave) each();
    }
  };
}

function plainProbe<R>(probe: NonNullable<DurableToolOptions<R>['probe']>) {
  return async (key: string): Promise<ProbeAnswer<unknown>> => {
    const answer = await probe(key);
    return answer !== 'unknown' && answer?.happened === true
      ? { happened: true, result: plain(answer.result) }
      : answer;
  };
}

/** Of a call that is complete; undefined where it was deleted meanwhile. */
function receiptOf(
  pool: PoolCore,
  id: string,
  name: string,
  asked: unknown,
): { readonly result: unknown } | undefined {
  for (const [, entry] of readJournal(pool, id)) {
    if (entry.kind === 'intent' && entry.hash !== hashOf(asked) && !isSame(entry.args, asked)) {
      throw divergedError(id, `tool ${name}`, show(entry.args), show(asked));
    }
    if (entry.kind === 'receipt') return entry;
  }
  if (runInfo(pool, id) === undefined) return undefined;
  throw new HoldfastError(
    'ERR_HOLDFAST_CORRUPT',
    `run ${JSON.stringify(id)} is finished without a receipt of tool ${name}`,
  );
}

/** Waits until the checkpoints are stored that name the task, unless none is to be. */
async function untilKnown({ configurable, durability }: TaskConfig, thread: string): Promise<void> {
  const pool = saversPool({ configurable });
  if (pool === undefined || durability === 'exit') return;
  const { arrivals, records } = Threads.of(pool);
  const named = (configurable?.['checkpoint_map'] ?? {}) as Record<string, string>;
  const namespaces = Object.keys(named);
  // A task of the functional API is named twice by one, which is in one of the namespaces.
  const isStored = (id: string): boolean =>
    namespaces.some((namespace) => records.has([thread, namespace, id]));
  await arrivals.until(thread, () => Object.values(named).every(isStored));
}

/** Undefined where the graph has another saver. */
function saversPool(config: Config | undefined): PoolCore | undefined {
  const saver = config?.configurable?.['__pregel_checkpointer'] as { pool?: PoolCore } | undefined;
  return typeof saver?.pool?.keyspace === 'function' ? saver.pool : undefined;
}

function poolOf(config: Config | undefined, name: string): PoolCore {
  const pool = saversPool(config);
  if (pool !== undefined) return pool;
  throw typeError(
    `tool ${name}: pass the node's config, of a graph compiled with a HoldfastSaver, or give the tool its pool in the options`,
  );
}

/** The thread of a call, and the id of the run that is the call. */
function callOf(config: TaskConfig, name: string): { thread: string; id: string } {
  const configurable = config?.configurable;
  const doing = `Calling tool ${name}`;
  const thread = requiredText(configurable, 'thread_id', doing);
  const task = requiredText(configurable, '__pregel_task_id', doing);
  const namespace = optionalText(configurable, 'checkpoint_ns') ?? '';
  const call = `${name}\u0001${config.toolCall?.id ?? ''}`;
  const texts = [namespace, task, call, String(occurrenceOf(config, call))];
  return {
    thread,
    id: `${runsOf(thread)}${createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 32)}`,
  };
}

// A task that is tried again begins to count again.
function occurrenceOf(config: TaskConfig, call: string): number {
  const scope = (config.configurable?.['__pregel_scratchpad'] ?? config.configurable) as object;
  const attempt = config.executionInfo?.nodeAttempt ?? 1;
  let counter = counters.get(scope);
  if (counter === undefined || counter.attempt !== attempt) {
    counter = { attempt, calls: new Map() };
    counters.set(scope, counter);
  }
  const occurrence = (counter.calls.get(call) ?? 0) + 1;
  counter.calls.set(call, occurrence);
  return occurrence;
}
