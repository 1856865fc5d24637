/**
 * A client of a graph that has no memory: what it does next follows from the thread's state alone,
 * so it is simply begun again when its process died.
 */
import { Command } from '@langchain/langgraph';

import type { Program, Snapshot } from './programs';

export type Durability = 'sync' | 'async' | 'exit';

const enough = 400;

/** Each turn once, its questions answered together, until nothing is left to do. */
export async function drive(
  { graph, turns, answer, has }: Program,
  thread: string,
  durability: Durability,
): Promise<void> {
  const config = { configurable: { thread_id: thread } };
  for (const { id, input, options } of turns) {
    const invoke = async (given: unknown): Promise<void> => {
      try {
        await graph.invoke(given, { ...config, durability, recursionLimit: 50, ...options });
      } catch (error) {
        // It goes on where it was stopped.
        if (!isRecursionError(error)) throw error;
      }
    };
    for (let tries = 0; ; ++tries) {
      if (tries === enough) throw new Error(`turn ${id} does not end`);
      const state = await graph.getState(config, { subgraphs: true });
      const asked = questionsOf(state);
      if (asked.length > 0) {
        const answers = asked.map(({ id: question, value }) => [question!, answer(value)] as const);
        await invoke(new Command({ resume: Object.fromEntries(answers) }));
      } else if (state.tasks.length > 0) await invoke(null);
      else if (!has(state.values, id)) await invoke(input);
      else break;
    }
  }
}

function questionsOf({ tasks }: Snapshot): { readonly id?: string; readonly value?: unknown }[] {
  return tasks.flatMap(({ interrupts }) => [...interrupts]);
}

function isRecursionError(error: unknown): boolean {
  return (error as Error | undefined)?.name === 'GraphRecursionError';
}
