/**
 * Undoing: the compensations of a run's effects, the last effect first.
 *
 * Each compensation is a tool call of its own, with intent and receipt, so it is itself durable: after a crash those that
 * have a receipt are not called again, and the one that was cut off is called again with the same key. What can be undone
 * is what this process was told how to: on continuation the code calls its tools again, which costs nothing, and with them
 * gives their compensations.
 */
import type { ToolOptions } from './types';
import { identityOfUndo } from './identity';
import type { Kept, KeptTool } from './kept';
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

export class Compensations {
  readonly #undoable: Undoable[] = [];

  add<R>(name: string, called: Called<R>, compensate: ToolOptions<R>['compensate']): void {
    if (!compensate) return;
    const undo = compensate as Undoable['compensate'];
    this.#undoable.push({ name, intent: called.intent, key: called.key, result: called.result, compensate: undo });
  }

  /** The names of what was undone. When a compensation throws, those before it stay undone, and a further call goes on. */
  async run(writer: JournalWriter, uid: string, kept: Map<string, Kept>): Promise<string[]> {
    const names: string[] = [];
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

function undoOf(kept: Map<string, Kept>, intent: number): KeptTool | undefined {
  return kept.get(identityOfUndo(intent)) as KeptTool | undefined;
}
