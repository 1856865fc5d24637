/**
 * Undoing: the compensations of a run's effects, the last effect first.
 *
 * Each compensation is a tool call of its own, with intent and receipt, so it is itself durable: after a crash those that
 * have a receipt are not called again, and the one that was cut off is called again with the same key. How to undo an effect
 * this process is told by the call itself, which on continuation costs nothing; where the code does not come to it again (it
 * was made in a step that is complete, or the run is rolled back at once), by the run's option `compensations`. An effect that
 * nobody says how to undo stops the rollback before it has undone anything.
 */
import type { RunOptions, ToolOptions } from './types';
import { HoldfastError, typeError } from '../errors';
import { identityOfUndo } from './identity';
import type { Kept, KeptRun, KeptTool } from './kept';
import { limitsOf } from './retry';
import { callTool, type Called } from './tool';
import type { JournalWriter } from './writer';

interface Undoable {
  readonly name: string;
  readonly intent: number;
  readonly key: string;
  readonly result: unknown;
  readonly compensate: NonNullable<ToolOptions<unknown>['compensate']>;
}

export function checkCompensations(named: RunOptions['compensations']): void {
  if (named === undefined) return;
  if (typeof named !== 'object' || named === null) throw typeError('compensations is an object: { [tool]: (result, context) => … }');
  for (const [name, undo] of Object.entries(named))
    if (typeof undo !== 'function') throw typeError(`the compensation of tool ${JSON.stringify(name)} is a function`);
}

/** What the run's options say about a tool. */
export function compensationOf<R>(named: RunOptions['compensations'], tool: string): ToolOptions<R>['compensate'] {
  return named && Object.hasOwn(named, tool) ? named[tool] : undefined;
}

export class Compensations {
  readonly #undoable: Undoable[] = [];

  add<R>(name: string, called: Called<R>, compensate: ToolOptions<R>['compensate']): void {
    if (!compensate) return;
    const undo = compensate as Undoable['compensate'];
    this.#undoable.push({ name, intent: called.intent, key: called.key, result: called.result, compensate: undo });
  }

  /** The names of what was undone. When a compensation throws, those before it stay undone, and a further call goes on. */
  async run(writer: JournalWriter, uid: string, run: KeptRun, named: RunOptions['compensations']): Promise<string[]> {
    const names: string[] = [];
    const kept = run.calls;
    this.addKept(writer.run, run, named);
    this.#undoable.sort((a, b) => a.intent - b.intent);
    const toDo = this.#undoable.some(({ intent }) => !undoOf(kept, intent)?.receipt);
    if (toDo) await writer.append({ kind: 'rollback' });
    for (let last = this.#undoable.at(-1); last; last = this.#undoable.at(-1)) {
      await undo(writer, uid, last, kept);
      this.#undoable.pop();
      names.push(last.name);
    }
    return names;
  }

  /** Those whose call the code did not come to again. */
  private addKept(id: string, { undoable }: KeptRun, named: RunOptions['compensations']): void {
    const called = new Set(this.#undoable.map(({ intent }) => intent));
    const others = undoable.filter(({ sequence }) => !called.has(sequence));
    const unknown = others.filter(({ entry }) => compensationOf(named, entry.name) === undefined);
    if (unknown.length > 0) throw nobodySaysHow(id, unknown);
    for (const { entry, sequence, receipt } of others)
      this.add(entry.name, { result: receipt?.result, intent: sequence, key: entry.key }, compensationOf(named, entry.name));
    undoable.length = 0;
  }
}

async function undo(
  writer: JournalWriter,
  uid: string,
  effect: Undoable,
  kept: Map<string, Kept>,
): Promise<void> {
  const call = {
    run: writer.run,
    name: effect.name,
    occurrence: 1,
    within: '',
    args: effect.key,
    fn: async (_key: string, context: Parameters<Undoable['compensate']>[1]) => {
      await effect.compensate(effect.result, context);
    },
    safety: 'idempotent' as const,
    probe: undefined,
    limits: limitsOf({}),
    undoes: effect.intent,
  };
  await callTool(writer, uid, call, undoOf(kept, effect.intent));
  // What is left of what is kept tells whether calls lie ahead.
  kept.delete(identityOfUndo(effect.intent));
}

function nobodySaysHow(run: string, effects: readonly KeptTool[]): HoldfastError {
  const calls = effects.map(({ entry }) => `call ${entry.occurrence} of tool ${JSON.stringify(entry.name)}`).join(', ');
  return new HoldfastError(
    'ERR_HOLDFAST_DIVERGED',
    `run ${JSON.stringify(run)}: nothing was rolled back, since nobody says how to undo ${calls}. ` +
      'Give the run `compensations: { [tool]: (result, context) => … }`, or call these tools again first',
  );
}

function undoOf(kept: Map<string, Kept>, intent: number): KeptTool | undefined {
  return kept.get(identityOfUndo(intent)) as KeptTool | undefined;
}
