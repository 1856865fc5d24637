/**
 * A commit that was refused leaves nothing behind that a later checkpoint leans on. LangGraph's own
 * way into it: a thread begins with durability "async", so its first checkpoint and the writes of
 * its first tasks are on their way at once, and all but one are refused and made again.
 */
import { join } from 'node:path';

import type { BaseCheckpointSaver } from '@langchain/langgraph';
import { type Checkpoint, emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver } from './modules';

const folder = scratchFolder('langgraph-refused');
let number = 0;
const meta = { source: 'loop', step: 1, parents: {} } as const;

function checkpointOf(step: number, channel_values: Record<string, unknown>): Checkpoint {
  const versions = Object.keys(channel_values).map((name) => [name, step]);
  return {
    ...emptyCheckpoint(),
    id: uuid6(step),
    channel_values,
    channel_versions: Object.fromEntries(versions),
  };
}

it('what grew in a checkpoint that was refused is there in the one that was made instead', async () => {
  const path = join(folder, `${++number}.holdfast`);
  const message = { text: 'a message '.repeat(100) };
  const todos = Object.fromEntries(['one', 'two', 'three'].map((name) => [name, 'x'.repeat(30)]));
  const first = checkpointOf(1, { todos });
  const last = checkpointOf(2, {
    messages: [message],
    todos: { zero: 'y'.repeat(200), ...todos },
  });
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
    const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
    const at = { configurable: { ...start.configurable, checkpoint_id: first.id } };
    await Promise.all([
      saver.put(start, first, meta, first.channel_versions),
      saver.putWrites(at, [['messages', [message]]], 'task'),
    ]);
    await saver.put(at, last, meta, last.channel_versions);
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const tuple = await saver.getTuple({
    configurable: { thread_id: 't', checkpoint_id: last.id },
  });
  expect(tuple?.checkpoint.channel_values).toEqual(last.channel_values);
});

interface State {
  small: Record<string, unknown>;
  list: unknown[];
  text: string;
  bytes: Uint8Array;
}

const change = fc.record({
  what: fc.constantFrom('field', 'item', 'text', 'within', 'bytes', 'less'),
  at: fc.nat(60),
  length: fc.constantFrom(3, 40, 90, 300, 1500, 5000),
});
/** What is under way at once: a checkpoint, laid on one of the last, and what tasks write. */
const step = fc.record({
  thread: fc.nat(5),
  changes: fc.array(change, { minLength: 1, maxLength: 4 }),
  writes: fc.array(fc.nat(60), { maxLength: 3 }),
  twins: fc.constantFrom(0, 0, 1),
  back: fc.constantFrom(0, 0, 0, 1),
  waits: fc.boolean(),
});

function changed(
  state: State,
  { what, at, length }: typeof change extends fc.Arbitrary<infer C> ? C : never,
): State {
  const { small, list, text, bytes } = state;
  const made = `${at} `.repeat(length).slice(0, length);
  switch (what) {
    case 'field':
      return {
        ...state,
        small: at % 2 === 0 ? { ...small, [`f${at % 9}`]: made } : { [`f${at}`]: made, ...small },
      };
    case 'item':
      return { ...state, list: [...list, { id: at, made, more: { made } }] };
    case 'less':
      return { ...state, list: list.filter((_, place) => place !== at % (list.length + 1)) };
    case 'within':
      return {
        ...state,
        list: list.map((item, place) =>
          place === at % list.length ? { ...(item as object), made } : item,
        ),
      };
    case 'text': {
      const from = at % (text.length + 1);
      return { ...state, text: text.slice(0, from) + made + text.slice(from + (at % 7)) };
    }
    default: {
      const now = bytes.slice();
      now.fill(at, (at * 31) % now.length, ((at * 31) % now.length) + (length % 700));
      return { ...state, bytes: now };
    }
  }
}

class Thread {
  state: State = { small: {}, list: [], text: 'short', bytes: new Uint8Array(30) };
  readonly saved: string[] = [];
  readonly expected = new Map<string, State>();

  constructor(readonly id: string) {}

  config(back = 0, id = this.saved.at(-1 - back)) {
    const configurable = {
      thread_id: this.id,
      checkpoint_ns: '',
      ...(id && { checkpoint_id: id }),
    };
    return { configurable };
  }
}

it('every checkpoint of many that were on their way at once is whole, whatever was refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
      const path = join(folder, `${++number}.holdfast`);
      const threads = Array.from({ length: 6 }, (_, id) => new Thread(`${id}`));
      {
        using pool = openSync(path, { medium: 'file' });
        const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
        const underWay: Promise<unknown>[] = [];
        for (const [place, { changes, writes, twins, back, waits, ...step }] of steps.entries()) {
          const thread = threads[step.thread]!;
          for (const each of changes) thread.state = changed(thread.state, each);
          const { state } = thread;
          const config = thread.config(back);
          for (let twin = 0; twin <= twins; ++twin) {
            const values = { ...state, text: `${state.text} ${twin}` };
            const checkpoint = checkpointOf(10 * place + twin, { ...values });
            thread.expected.set(checkpoint.id, values);
            underWay.push(saver.put(config, checkpoint, meta, checkpoint.channel_versions));
            thread.saved.push(checkpoint.id);
          }
          const items = writes.map((at) => ({ id: at, made: `${at} `.repeat(4 * at) }));
          for (const [n, item] of items.entries())
            underWay.push(saver.putWrites(thread.config(), [['list', [item]]], `${place}-${n}`));
          // What tasks wrote, the next checkpoint takes up.
          thread.state = { ...state, list: [...state.list, ...items] };
          if (waits) await Promise.all(underWay);
        }
        await Promise.all(underWay);
      }
      using pool = openSync(path);
      const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
      for (const thread of threads)
        for (const [id, values] of thread.expected) {
          const tuple = await saver.getTuple(thread.config(0, id));
          expect(tuple?.checkpoint.channel_values).toEqual(values);
        }
    }),
    { numRuns: 12, seed: 7, endOnFailure: true },
  );
});
