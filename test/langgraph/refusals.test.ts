/** What cannot be stored is refused with an error that says which channel, or which id, it is. */
import { join } from 'node:path';

import { Annotation, type BaseCheckpointSaver, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, it } from 'vitest';

import { openSync } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastSaver, HoldfastStore } from './modules';

const folder = scratchFolder('langgraph-refusals');
let number = 0;
const meta = { source: 'loop', step: 1, parents: {} } as const;

const openPool = () => openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });

function nested(depth: number): unknown {
  let value: unknown = 'in there';
  for (let at = 0; at < depth; ++at) value = { value };
  return value;
}

/** Few objects on very many ways. */
function tangled(): unknown {
  let value: unknown = { n: 1 };
  for (let at = 0; at < 30; ++at) value = { left: value, right: value };
  return value;
}

it('a value that cannot be stored is told with its channel, in each durability mode', async () => {
  using pool = openPool();
  const State = Annotation.Root({ good: Annotation<number>, "bad's": Annotation<unknown> });
  const graph = new StateGraph(State)
    .addNode('node', () => ({ good: 1, "bad's": { deep: [new WeakMap()] } }))
    .addEdge(START, 'node')
    .compile({ checkpointer: new HoldfastSaver(pool) });
  for (const durability of ['sync', 'async', 'exit'] as const) {
    const going = graph.invoke(
      { good: 0 },
      { configurable: { thread_id: durability }, durability },
    );
    await expect(going).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_CODEC',
      message: expect.stringMatching(/^Channel "bad's": .*a WeakMap.*UntrackedValue/) as string,
    });
  }
});

it('so are one among many writes, and what is in the metadata', async () => {
  using pool = openPool();
  const saver = new HoldfastSaver(pool);
  const start = { configurable: { thread_id: 't', checkpoint_ns: '' } };
  const checkpoint = { ...emptyCheckpoint(), id: uuid6(1) };
  const config = await saver.put(start, checkpoint, meta, {});
  const writes: [string, unknown][] = [
    ['a', 1],
    ['b', Promise.resolve(1)],
  ];
  await expect(saver.putWrites(config, writes, 'task')).rejects.toThrow(/^Channel "b": .*Promise/);
  const state = { ...checkpoint, id: uuid6(2), channel_values: { c: Promise.resolve(1) } };
  await expect(saver.put(config, state, meta, { c: 1 })).rejects.toThrow(/^Channel "c": .*Promise/);
  const telling = { ...meta, run: { p: Promise.resolve(1) } };
  await expect(saver.put(config, checkpoint, telling, {})).rejects.toThrow(
    /^The metadata: .*Promise/,
  );
});

it('what is deep, or reaches the same on very many ways, is stored everywhere', async () => {
  using pool = openPool();
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const store = new HoldfastStore(pool);
  const State = Annotation.Root({ told: Annotation<unknown> });
  const tell = durableTool(async (told: unknown) => told, { name: 'tell' });
  const graph = new StateGraph(State)
    .addNode('node', async ({ told }, config) => ({ told: await tell(told, config) }))
    .addEdge(START, 'node')
    .compile({ checkpointer: saver });
  for (const [id, value] of [
    ['deep', nested(500)],
    ['tangled', tangled()],
  ] as const) {
    const config = { configurable: { thread_id: id }, metadata: { value } };
    await graph.invoke({ told: value }, config);
    const { values, metadata } = await graph.getState(config);
    const stored = (await store.put(['s'], id, { value }), await store.get(['s'], id))!.value;
    for (const found of [values.told, stored.value]) {
      if (id === 'deep') expect(JSON.stringify(found)).toBe(JSON.stringify(value));
      else expect((found as { left: { right: object } }).left.right).toBeTypeOf('object');
    }
    expect(metadata).toBeDefined();
  }
});

it('an item that cannot be stored is told by its key and namespace', async () => {
  using pool = openPool();
  const store = new HoldfastStore(pool);
  const put = (namespace: unknown, key: unknown, value: unknown) =>
    store.batch([
      { namespace: ['fine'], key: 'fine', value: {} },
      { namespace: namespace as string[], key: key as string, value: value as object },
    ]);
  const invalid = 'ERR_HOLDFAST_INVALID_ARGUMENT';
  for (const [namespace, key, value, code, message] of [
    [['a', 'b'], 'k', { p: Promise.resolve(1) }, 'ERR_HOLDFAST_CODEC', 'there is a Promise at .p'],
    [['a', 'b'], 'k\0', {}, invalid, 'text without a zero character'],
    [['a', 'b'], 'k\ud800', {}, invalid, 'lone surrogate'],
    [['a', 'b'], 5, {}, invalid, 'must be text'],
    [['a', 'b'], 'k'.repeat(2000), {}, 'ERR_HOLDFAST_KEY_SIZE', 'take a hash'],
  ] as const) {
    const shown = typeof key === 'string' ? `"${key.slice(0, 100)}` : '5';
    const refused = { code, message: expect.stringContaining(message) as string };
    await expect(put(namespace, key, value)).rejects.toMatchObject(refused);
    await expect(put(namespace, key, value)).rejects.toThrow(`Item ${shown}`);
    await expect(put(namespace, key, value)).rejects.toThrow("in [ 'a', 'b' ]: ");
  }
  await expect(put('ab', 'k', {})).rejects.toMatchObject({
    code: invalid,
    message: expect.stringContaining('a namespace is a list of texts, not "ab"') as string,
  });
  for (const [operation, message] of [
    [{ namespacePrefix: 'ab' }, 'a namespacePrefix is a list of texts, not "ab"'],
    [{ namespace: undefined, key: 'k' }, 'a namespace is a list of texts, not undefined'],
    [{ matchConditions: [{ matchType: 'infix', path: ['a'] }] }, 'prefix or suffix, not "infix"'],
    [{ matchConditions: [{ matchType: 'suffix', path: 'a' }] }, 'the path of a "suffix" condition'],
  ] as const)
    await expect(store.batch([operation as never])).rejects.toMatchObject({
      code: invalid,
      message: expect.stringContaining(message) as string,
    });
  expect(await store.search([])).toEqual([]);
  expect(await store.batch([{ namespacePrefix: [], limit: null as never }])).toEqual([[]]);
});

it('ids that cannot be keys are told by their names', async () => {
  using pool = openPool();
  const saver = new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
  const graph = new StateGraph(Annotation.Root({ n: Annotation<number> }))
    .addNode('node', () => ({ n: 1 }))
    .addEdge(START, 'node')
    .compile({ checkpointer: saver });
  const run = (thread_id: string) => graph.invoke({ n: 0 }, { configurable: { thread_id } });
  for (const thread of ['a\0b', '\ud800', 'a\udc00b']) {
    const refusal = /^"thread_id" .*zero character or a lone surrogate/;
    await expect(run(thread)).rejects.toThrow(refusal);
    await expect(saver.deleteThread(thread)).rejects.toThrow(refusal);
  }
  await expect(run('x'.repeat(999))).rejects.toMatchObject({
    code: 'ERR_HOLDFAST_KEY_SIZE',
    message: expect.stringMatching(/ids of its thread.* have 1035 bytes together.*1,000/) as string,
  });
  const long = 'x'.repeat(4096);
  const tell = durableTool(async () => 1, { name: 'tell', pool });
  const called = { configurable: { thread_id: long, __pregel_task_id: '1' } };
  for (const refused of [run(long), saver.deleteThread(long), tell(1, called)])
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_KEY_SIZE',
      message: expect.stringMatching(/^"thread_id" .* 4096 bytes; .* 1,000 together/) as string,
    });
  await expect(run(NaN as never)).rejects.toThrow('"thread_id" in a config\'s "configurable"');
  expect(await run(7 as never)).toEqual({ n: 1 });
  await expect(run('')).rejects.toThrow('needs a "thread_id"');
  const listing = saver.list({ configurable: { thread_id: 't', checkpoint_ns: {} } });
  await expect(listing.next()).rejects.toThrow('"checkpoint_ns" in a config');
  for (const thread_id of ['\u{1f600}', 'a/b|c:d', '__proto__', ' ', '\n'])
    expect(await run(thread_id)).toEqual({ n: 1 });
});
