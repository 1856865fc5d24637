/**
 * Compiled, never run, by types.test.ts: what a user of TypeScript writes, strictly and without a
 * cast.
 */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import type { BaseCache, BaseCheckpointSaver, BaseStore } from '@langchain/langgraph-checkpoint';

import type { Holdfast, JournalEntry, Run, UnknownOutcome } from '../../lib/index';
import { durableTool, HoldfastCache, HoldfastSaver, HoldfastStore } from '../../lib/langgraph';

export async function use(pool: Holdfast): Promise<void> {
  const saver: BaseCheckpointSaver = new HoldfastSaver(pool);
  const store: BaseStore = new HoldfastStore(pool, { ttl: { defaultTtl: 5 } });
  const cache: BaseCache = new HoldfastCache(pool);
  const State = Annotation.Root({ booked: Annotation<string> });
  const book = durableTool(
    async (seat: string, { idempotencyKey, fencingToken }) =>
      `${seat} ${idempotencyKey} ${fencingToken + 1}`,
    {
      name: 'book',
      safety: 'effect',
      probe: () => 'unknown',
      retry: { attempts: 2 },
      timeout: 1000,
    },
  );
  const graph = new StateGraph(State)
    .addNode('book', async (_state, config) => ({ booked: await book('7A', config) }))
    .addEdge(START, 'book')
    .compile({ checkpointer: saver, store, cache });
  const made: { booked: string } = await graph.invoke(
    { booked: '' },
    { configurable: { thread_id: 't' }, durability: 'sync' },
  );

  const run: Run<{ to: string }, { seat: string }, string> = await pool.run<
    { to: string },
    { seat: string },
    string
  >('trip', { input: { to: 'Oslo' } });
  const plan = await run.step('plan', { to: run.input.to }, ({ to }) => to.length);
  const seat: string | undefined = run.state?.seat;
  await run.checkpoint({ seat: seat ?? made.booked });
  // What a tool gives is what its function gives, whatever its probe says.
  const options = { safety: 'effect' } as const;
  const ticket = await run.tool('pay', { seat }, () => ({ number: 'B-1' }), {
    ...options,
    probe: (key) =>
      key === '' ? { happened: false } : { happened: true, result: { number: key } },
    compensate: ({ number }) => console.log(number.length),
  });
  const pay = durableTool((_seat: string) => ({ number: 'B-1' }), {
    ...options,
    probe: async (key) =>
      key === '' ? { happened: false } : { happened: true, result: { number: key } },
  });
  console.log(ticket.number.length, (await pay(seat ?? '', {})).number.length);
  await run.finish(`${plan.toFixed()} ${await run.signal<string>('go')}`);
  const outcomes: UnknownOutcome[] = pool.unknownOutcomes();
  for await (const entry of pool.journal('trip')) show(entry);
  // @ts-expect-error: a state has its shape.
  await run.checkpoint({ seat: outcomes.length });
  // @ts-expect-error: so has a result.
  await run.finish(1);
}

function show({ sequence, kind, epoch }: JournalEntry): string {
  return `${sequence} ${kind} ${epoch ?? ''}`;
}
