/** What very many threads, and large states, cost: counted, never timed. */
import { join } from 'node:path';

import { HumanMessage } from '@langchain/core/messages';
import type { RunnableConfig } from '@langchain/core/runnables';
import type { BaseCheckpointSaver, BaseStore } from '@langchain/langgraph';
import { emptyCheckpoint } from '@langchain/langgraph-checkpoint';
import { expect, it, vi } from 'vitest';

import { textsCodec } from '../../lib/adapters/langgraph/keys';
import { Lines } from '../../lib/adapters/langgraph/lines';
import { LongTexts } from '../../lib/adapters/langgraph/written';
import { compare, PartStore, revive } from '../../lib/checkpoint/index';
import { Reader } from '../../lib/checkpoint/reading';
import { type Blob, heldBy, type Tree } from '../../lib/checkpoint/shadow';
import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { HoldfastSaver, HoldfastStore } from './modules';

const folder = scratchFolder('langgraph-scale');
let number = 0;

function openPool(): Holdfast {
  return openSync(join(folder, `${++number}.holdfast`), { medium: 'file' });
}

function saverOn(pool: Holdfast): BaseCheckpointSaver {
  return new HoldfastSaver(pool) as unknown as BaseCheckpointSaver;
}

const meta = { source: 'loop', step: 1, parents: {} } as const;

it('the first checkpoints of all threads are listed without looking at the others', async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const threads = Array.from({ length: 200 }, (_, at) => `t${String(at).padStart(3, '0')}`);
  const put = (thread_id: string, checkpoint_ns: string, id: string) =>
    saver.put(
      { configurable: { thread_id, checkpoint_ns } },
      { ...emptyCheckpoint(), id },
      meta,
      {},
    );
  await Promise.all(
    threads.flatMap((thread) => [
      put(thread, '', '1'),
      put(thread, 'n', '2'),
      put(thread, '', '3'),
    ]),
  );
  const decode = vi.spyOn(textsCodec, 'decode');
  try {
    const found = [];
    for await (const { config } of saver.list({}, { limit: 7 })) {
      const { thread_id, checkpoint_id } = config.configurable!;
      found.push(`${thread_id} ${checkpoint_id}`);
    }
    const [a, b, c] = threads;
    expect(found).toEqual([
      ...[`${a} 3`, `${a} 2`, `${a} 1`],
      ...[`${b} 3`, `${b} 2`, `${b} 1`],
      `${c} 3`,
    ]);
    expect(decode.mock.calls.length).toBeLessThan(100);
  } finally {
    decode.mockRestore();
  }
  const ids = [];
  const before = { configurable: { checkpoint_id: '3' } };
  for await (const { config } of saver.list({}, { before }))
    ids.push([config.configurable!.thread_id, config.configurable!.checkpoint_id]);
  expect(ids).toEqual(
    threads.flatMap((thread) => [
      [thread, '2'],
      [thread, '1'],
    ]),
  );
});

it('hundreds of threads that are driven side by side are not read again at each step', async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const threads = Array.from({ length: 300 }, (_, at) => `t${at}`);
  const read = vi.spyOn(PartStore.prototype, 'read');
  try {
    let configs: RunnableConfig[] = threads.map((thread_id) => ({
      configurable: { thread_id, checkpoint_ns: '' },
    }));
    for (let step = 0; step < 3; ++step) {
      const checkpoint = { ...emptyCheckpoint(), channel_values: { step } };
      configs = await Promise.all(
        configs.map((config) => saver.put(config, { ...checkpoint, id: `${step}` }, meta, {})),
      );
    }
    expect(read).not.toHaveBeenCalled();
  } finally {
    read.mockRestore();
  }
});

it('what neighbouring states of a history share is decoded once, and each state is its own', async () => {
  const path = join(folder, `${++number}.holdfast`);
  const config = { configurable: { thread_id: 't', checkpoint_ns: '' } };
  const messages = Array.from(
    { length: 300 },
    (_, at) => new HumanMessage({ id: `${at}`, content: `message ${at}`, name: 'somebody' }),
  );
  {
    using pool = openSync(path, { medium: 'file' });
    const saver = saverOn(pool);
    let at: RunnableConfig = config;
    for (let length = 260; length <= 300; ++length) {
      const channel_values = { messages: messages.slice(0, length) };
      const checkpoint = { ...emptyCheckpoint(), id: `${length}`, channel_values };
      at = await saver.put(at, checkpoint, meta, { messages: length });
      await saver.putWrites(at, [['messages', [messages[length]]]], 'task');
    }
  }
  using pool = openSync(path);
  const saver = new HoldfastSaver(pool);
  const item = vi.spyOn(Reader.prototype, 'item');
  try {
    await saver.getTuple({ configurable: { ...config.configurable, checkpoint_id: '299' } });
    const ofOne = item.mock.calls.length;
    expect(ofOne).toBeGreaterThan(300);
    item.mockClear();
    let length = 300;
    for await (const { checkpoint, pendingWrites } of saver.list(config)) {
      const read = checkpoint.channel_values.messages as HumanMessage[];
      expect(read).toEqual(messages.slice(0, length));
      expect(pendingWrites![0]![2]).toEqual([messages[length]]);
      // It is the reader's: what is listed next does not have it.
      for (const message of read) message.content = 'changed';
      read.length = 0;
      // What is listed goes on though older checkpoints, and the pages that only they need, go.
      if (length === 280) await saver.prune('t', { keepLast: 25 });
      --length;
    }
    expect(length).toBe(275);
    expect(item.mock.calls.length).toBeLessThan(4 * ofOne);
  } finally {
    item.mockRestore();
  }
});

it('what is remembered while many values are read is bounded', () => {
  using pool = openPool();
  const parts = PartStore.of(pool);
  const values = [0, 1, 2].map((at) => ({
    text: `${at}`.repeat(200),
    texts: ['a', 'b'].map((c) => c.repeat(150)),
  }));
  let last: ReturnType<typeof compare>;
  const roots = values.map((value) => {
    last = compare(last, last !== undefined, value);
    const batch = pool.batch();
    const root = Buffer.from(parts.write(batch, 1, last).root);
    pool.commitSync(batch);
    return root;
  });
  const items = vi.spyOn(Reader.prototype, 'items');
  try {
    const countOf = (most?: number): number => {
      items.mockClear();
      const reader = parts.reader(most);
      expect(roots.map((root) => revive(reader.read(1, root)))).toEqual(values);
      return items.mock.calls.length;
    };
    expect(countOf()).toBeLessThan(countOf(0));
    expect(countOf(100_000)).toBe(countOf());
  } finally {
    items.mockRestore();
  }
});

it('what is remembered of threads is bounded by its bytes, and the oldest goes first', () => {
  const line = (length: number) => {
    const shadow = compare(undefined, false, { text: 'x'.repeat(length) });
    const none = new Uint8Array();
    return { id: '1', record: none, family: 1, root: none, shadow };
  };
  const lines = new Lines(1_000_000);
  const have = () =>
    ['a', 'b', 'c', 'd'].flatMap((thread) =>
      ['', 'n'].filter((namespace) => lines.get(thread, namespace)).map((n) => thread + n),
    );
  lines.set('a', '', line(300_000));
  lines.set('a', 'n', line(300_000));
  lines.set('b', '', line(300_000));
  expect(have()).toEqual(['a', 'an', 'b']);
  lines.set('a', '', line(300_000));
  lines.set('c', '', line(300_000));
  expect(have()).toEqual(['a', 'an', 'c']);
  lines.set('c', 'n', line(300_000));
  expect(have()).toEqual(['a', 'c', 'cn']);
  // Nothing but the newest, which is larger than all that may be kept.
  lines.set('d', 'n', line(100_000));
  lines.set('d', '', line(2_000_000));
  expect(have()).toEqual(['d']);
  lines.delete('d', '');
  lines.set('a', '', line(900_000));
  lines.set('a', 'n', line(1));
  expect(have()).toEqual(['a', 'an']);
  lines.deleteThread('a');
  lines.set('b', '', line(900_000));
  expect(have()).toEqual(['b']);
  // The long texts of writes count too, whichever checkpoint they are on.
  const texts = new LongTexts();
  const place = { key: ['c'], record: new Uint8Array() };
  texts.add(1, [compare(undefined, false, 'x'.repeat(400_000)) as Blob], place);
  lines.set('c', '', line(1));
  expect(have()).toEqual(['b', 'c']);
  lines.set('c', '', { ...line(1), other: { id: '2', texts } });
  expect(have()).toEqual(['c']);
  lines.set('a', '', line(500_000));
  lines.set('c', '', { ...line(1), texts });
  expect(have()).toEqual(['a', 'c']);
  lines.set('c', 'n', { ...line(1), texts });
  expect(have()).toEqual(['c', 'cn']);
});

it('what a state keeps in memory is known, and of a later version only what is new is looked at', () => {
  const messages = Array.from({ length: 1000 }, (_, at) => ({ id: at, text: 'x'.repeat(500) }));
  const before = compare(undefined, false, { messages, image: new Uint8Array(100_000) });
  const held = heldBy(before);
  expect(held).toBeGreaterThan(1000 * 500 + 100_000);
  expect(held).toBeLessThan(3 * (1000 * 500 + 100_000));
  const after = compare(before, true, {
    messages: [...messages, { id: 1000, text: 'y'.repeat(1_000) }],
    image: new Uint8Array(100_000),
  });
  expect(heldBy(after) - held).toBeGreaterThan(1_000);
  expect(heldBy(after) - held).toBeLessThan(3_000);
  const list = (after as Tree).items[1] as Tree;
  const old = (before as Tree).items[1] as Tree;
  expect(list.leaves[0]).toBe(old.leaves[0]);
  expect(list.leaves[0]!.held).toBeGreaterThan(500);
});

it('namespaces below a prefix are listed without looking at the others', async () => {
  using pool = openPool();
  const store = new HoldfastStore(pool) as unknown as BaseStore;
  await store.batch(
    Array.from({ length: 500 }, (_, i) => ({
      namespace: ['user', `${i % 100}`, `n${i % 2}`],
      key: `${i}`,
      value: { i },
    })),
  );
  const decode = vi.spyOn(textsCodec, 'decode');
  try {
    const all = (prefix: string[], more = {}) => store.listNamespaces({ prefix, ...more });
    expect(await all(['user', '7'])).toEqual([['user', '7', 'n1']]);
    expect(await all(['user', '8', '*'], { suffix: ['n0'] })).toEqual([['user', '8', 'n0']]);
    expect(await all(['user', '8'], { suffix: ['n1'] })).toEqual([]);
    expect(await all(['use'])).toEqual([]);
    expect(decode.mock.calls.length).toBeLessThan(30);
    expect(await all(['*', '8'])).toEqual([['user', '8', 'n0']]);
    expect(await all([])).toHaveLength(100);
  } finally {
    decode.mockRestore();
  }
});

it('messages stay messages in a state that reaches one document on very many ways, or is very deep', async () => {
  using pool = openPool();
  const saver = saverOn(pool);
  const said = new HumanMessage({ content: 'hello', id: 'h' });
  const document = { by: said, parts: Array.from({ length: 12 }, (_, at) => ({ at })) };
  const found = Array.from({ length: 2000 }, (_, at) => ({ at, document, score: () => at }));
  let deep: unknown = said;
  for (let level = 0; level < 450; ++level) deep = { next: [deep] };
  const states: Record<string, unknown>[] = [
    { messages: [said], found, seen: new Map([['it', new Set([said])]]) },
    { messages: [said], deep },
  ];
  for (const [at, channel_values] of states.entries()) {
    const config = { configurable: { thread_id: `t${at}`, checkpoint_ns: '' } };
    const checkpoint = { ...emptyCheckpoint(), channel_values };
    const put = await saver.put(config, checkpoint, meta, {
      messages: 1,
      found: 1,
      deep: 1,
      seen: 1,
    });
    await saver.putWrites(put, Object.entries(channel_values) as [string, unknown][], 'task');
    const tuple = (await new HoldfastSaver(pool).getTuple(config))!;
    const written = Object.fromEntries(
      tuple.pendingWrites!.map(([, channel, value]) => [channel, value]),
    );
    for (const values of [tuple.checkpoint.channel_values, written]) {
      const { messages, found, seen, deep } = values as {
        messages: unknown[];
        found?: { at: number; document: typeof document; score: unknown }[];
        seen?: Map<string, Set<unknown>>;
        deep?: unknown;
      };
      expect(messages[0]).toBeInstanceOf(HumanMessage);
      expect(messages).toEqual([said]);
      if (at === 0) {
        expect(found).toHaveLength(2000);
        expect(found![1999]).toEqual({ at: 1999, document, score: undefined });
        expect(found![1999]!.document.by).toBeInstanceOf(HumanMessage);
        if (seen !== undefined) expect([...seen.get('it')!]).toEqual([said]);
      } else {
        let inner = deep as { next: unknown[] };
        for (let level = 0; level < 450; ++level) inner = inner.next[0] as typeof inner;
        expect(inner).toBeInstanceOf(HumanMessage);
      }
    }
  }
});
