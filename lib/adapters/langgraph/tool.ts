/**
 * A tool with an outside effect, for use inside LangGraph's nodes: its intent is committed before it is called, its receipt
 * after it. A node that is run again, by a resumed process too, gets the receipt's result and calls nothing.
 *
 * A crash leaves nothing (it was never called), an intent (it may have been: what its safety allows is done) or a receipt (it
 * was, and never will be again). A call is known by its thread, namespace and task, and within the task by the tool's name, the id
 * of the model's tool call if there is one, and which call of that it is. LangGraph gives a task its id by the checkpoint it
 * runs on, so that checkpoint must be there when the process dies: use `durability: "sync"`, as for every effect.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

import { HoldfastError, typeError } from '../../errors';
import type { ProbeAnswer, CallContext, ToolSafety } from '../../run/types';
import type { Keyspace, PoolCore } from '../../types';
import { optionalText, requiredText, textsCodec, type Texts } from './keys';
import { TOOLS_KEYSPACE } from './threads';
import type { Config } from './types';
import { plain } from './values';

export interface DurableToolOptions<R> {
  /** What may be done when a call ended without a receipt; as of `run.tool`. Default `effect`. */
  safety?: ToolSafety;
  /** Asked before an `effect` is attempted again. */
  probe?: (idempotencyKey: string) => ProbeAnswer<R> | Promise<ProbeAnswer<R>>;
  /** Names the tool in its pool. Default: the function's own name. */
  name?: string;
  /** Default: the pool of the graph's HoldfastSaver. */
  pool?: PoolCore;
}

export type DurableTool<A, R> = (args: A, config: Config) => Promise<R>;

interface Call {
  readonly key: string;
  readonly args: unknown;
  readonly attempt: number;
  /** The last attempt is known to have changed nothing outside. */
  readonly neverHappened: boolean;
  readonly receipt?: { readonly result: unknown; readonly probed: boolean };
}

interface TaskConfig extends Config {
  readonly executionInfo?: { readonly nodeAttempt?: number };
  readonly toolCall?: { readonly id?: string };
}

/** Calls of each tool so far, within one attempt at one task. */
const counters = new WeakMap<object, { attempt: number; calls: Map<string, number> }>();
/** Calls that are under way in this process. */
const underWay = new Set<string>();

const safeties: readonly ToolSafety[] = ['readOnly', 'idempotent', 'effect'];

export function durableTool<A, R>(
  fn: (args: A, context: CallContext) => R | Promise<R>,
  options: DurableToolOptions<R> = {},
): DurableTool<A, R> {
  const { safety = 'effect', probe, name = fn?.name } = options;
  if (typeof fn !== 'function') throw typeError('durableTool(fn, options): fn is a function');
  if (!safeties.includes(safety)) throw typeError(`the safety of a tool is one of ${safeties.join(', ')}; got ${String(safety)}`);
  if (probe !== undefined && typeof probe !== 'function') throw typeError(`the probe of tool ${name} is a function`);
  if (!name) throw typeError('durableTool: give the function a name, or name it in the options');
  return async (args, config) => {
    const pool = options.pool ?? poolOf(config, name);
    const calls = pool.keyspace<Texts, Call>(TOOLS_KEYSPACE, { key: textsCodec });
    const id = identityOf(config, name);
    // Tasks that run at once have identities of their own, so this is the same call twice.
    const busy = `${pool.path}\0${id.join('\0')}`;
    if (underWay.has(busy)) throw typeError(`tool ${name}: this call is under way already`);
    underWay.add(busy);
    try {
      return await perform({ pool, calls, id, name, safety, probe }, args, fn);
    } finally {
      underWay.delete(busy);
    }
  };
}

interface Performing<R> {
  readonly pool: PoolCore;
  readonly calls: Keyspace<Texts, Call>;
  readonly id: Texts;
  readonly name: string;
  readonly safety: ToolSafety;
  readonly probe: DurableToolOptions<R>['probe'];
}

async function perform<A, R>(
  tool: Performing<R>,
  args: A,
  fn: (args: A, context: CallContext) => R | Promise<R>,
): Promise<R> {
  const { calls, id, name } = tool;
  const kept = calls.get(id);
  const asked = plain(args);
  if (kept !== undefined && !isDeepStrictEqual(kept.args, asked)) {
    throw new HoldfastError(
      'ERR_HOLDFAST_DIVERGED',
      `tool ${name}: recorded were the arguments ${JSON.stringify(kept.args)}, asked for are ${JSON.stringify(asked)}. ` +
        'A node that is run again must call its tools in the same order with the same arguments',
    );
  }
  if (kept?.receipt !== undefined) return kept.receipt.result as R;
  if (kept !== undefined && tool.safety === 'effect' && !kept.neverHappened) {
    const answer = tool.probe === undefined ? 'unknown' : await tool.probe(kept.key);
    if (answer === 'unknown') throw unknownError(tool, kept);
    if (answer.happened) {
      await calls.put(id, { ...kept, receipt: { result: plain(answer.result), probed: true } });
      return answer.result;
    }
  }
  const begun: Call = {
    key: kept?.key ?? `hf-${randomUUID()}`,
    args: asked,
    attempt: (kept?.attempt ?? 0) + 1,
    neverHappened: false,
  };
  const batch = tool.pool.batch();
  if (kept === undefined) batch.requireAbsent(calls, id);
  else batch.requireEqual(calls, id, kept);
  await tool.pool.commit(batch.put(calls, id, begun));
  let result: R;
  try {
    result = await fn(args, { idempotencyKey: begun.key, attempt: begun.attempt });
  } catch (error) {
    // An error says nothing about the effect, unless it says so.
    if ((error as { neverHappened?: unknown } | null)?.neverHappened === true) {
      await calls.put(id, { ...begun, neverHappened: true });
    }
    throw error;
  }
  await calls.put(id, { ...begun, receipt: { result: plain(result), probed: false } });
  return result;
}

function poolOf(config: Config, name: string): PoolCore {
  const saver = config?.configurable?.['__pregel_checkpointer'] as { pool?: PoolCore } | undefined;
  if (typeof saver?.pool?.keyspace === 'function') return saver.pool;
  throw typeError(
    `tool ${name}: pass the node's config, of a graph compiled with a HoldfastSaver, or give the tool its pool in the options`,
  );
}

function identityOf(config: TaskConfig, name: string): Texts {
  const { configurable } = config;
  const doing = `Calling tool ${name}`;
  const thread = requiredText(configurable, 'thread_id', doing);
  const task = requiredText(configurable, '__pregel_task_id', doing);
  const namespace = optionalText(configurable, 'checkpoint_ns') ?? '';
  const call = `${name}\u0001${config.toolCall?.id ?? ''}`;
  return [thread, namespace, task, call, String(occurrenceOf(config, call))];
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

function unknownError<R>({ name, probe }: Performing<R>, kept: Call): HoldfastError {
  const why = probe === undefined ? 'it has no probe to ask' : 'its probe cannot tell';
  return new HoldfastError(
    'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    `tool ${name} was begun (attempt ${kept.attempt}, idempotency key ${kept.key}) and has no receipt, and ${why}. ` +
      'Nothing was called. Give the tool a probe, or declare it idempotent if calling it twice with one key has one effect',
  );
}
