/** HoldfastStore, HoldfastCache and durableTool. */
import { join } from 'node:path';

import { HumanMessage } from '@langchain/core/messages';
import { Annotation, type BaseCheckpointSaver, END, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, it, vi } from 'vitest';

import { openSync, type Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { durableTool, HoldfastCache, HoldfastSaver, HoldfastStore } from './modules';

const folder = scratchFolder('langgraph-store');
let number = 0;

function openPool(path = join(folder, `${++number}.holdfast`)): Holdfast {
  return openSync(path, { medium: 'file' });
}

describe('HoldfastStore', () => {
  it('keeps items over a reopening, with their times', async () => {
    const path = join(folder, `${++number}.holdfast`);
    let created: Date;
    {
      using pool = openPool(path);
      const store = new HoldfastStore(pool);
      await store.put(['users', 'ann'], 'prefs', { theme: 'dark', seats: ['12A'] });
      created = (await store.get(['users', 'ann'], 'prefs'))!.createdAt;
      await store.put(['users', 'ann'], 'prefs', { theme: 'light' });
    }
    using pool = openPool(path);
    const store = new HoldfastStore(pool);
    const item = await store.get(['users', 'ann'], 'prefs');
    expect(item).toMatchObject({
      namespace: ['users', 'ann'],
      key: 'prefs',
      value: { theme: 'light' },
      createdAt: created,
    });
    expect(item!.updatedAt.getTime()).toBeGreaterThanOrEqual(created.getTime());
    await store.delete(['users', 'ann'], 'prefs');
    expect(await store.get(['users', 'ann'], 'prefs')).toBeNull();
    await expect(store.put([], 'k', {})).rejects.toThrow(/empty/);
    await expect(store.put(['a.b'], 'k', {})).rejects.toThrow(/period/);
    await expect(store.put(['a'], 5 as never, {})).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_INVALID_ARGUMENT',
    });
  });

  it('searches by namespace and filter, page by page', async () => {
    using pool = openPool();
    const store = new HoldfastStore(pool);
    for (let i = 0; i < 25; ++i)
      await store.put(['docs', i % 2 ? 'odd' : 'even'], `k${String(i).padStart(2, '0')}`, {
        i,
        tags: { a: i % 3 },
      });
    await store.put(['docsets'], 'x', { i: 1 });
    await store.put(['docs'], '', { i: 100 });
    const keys = async (...given: Parameters<typeof store.search>) =>
      (await store.search(...given)).map(({ key }) => key);
    expect(await keys(['docs'])).toHaveLength(10);
    expect(await keys(['docs'], { limit: 100 })).toHaveLength(26);
    expect(await keys(['docs', 'odd'], { limit: 3, offset: 2 })).toEqual(['k05', 'k07', 'k09']);
    expect(await keys(['docs'], { filter: { i: { $gte: 22, $lt: 25 } } })).toEqual([
      'k22',
      'k24',
      'k23',
    ]);
    expect(await keys(['docs'], { filter: { i: { $ne: 4 }, tags: { a: 1 } }, limit: 2 })).toEqual([
      'k10',
      'k16',
    ]);
    expect(await keys(['docs'], { filter: { i: { $in: [3, 4] } } })).toEqual(['k04', 'k03']);
    expect(await keys([], { filter: { i: 1 } })).toEqual(['k01', 'x']);
    expect(await keys([], { filter: { i: 1, none: {} } })).toEqual(['k01', 'x']);
    expect(await store.listNamespaces()).toEqual([
      ['docs'],
      ['docs', 'even'],
      ['docs', 'odd'],
      ['docsets'],
    ]);
    expect(await store.listNamespaces({ prefix: ['docs', '*'] })).toEqual([
      ['docs', 'even'],
      ['docs', 'odd'],
    ]);
    expect(await store.listNamespaces({ suffix: ['odd'] })).toEqual([['docs', 'odd']]);
    expect(await store.listNamespaces({ maxDepth: 1, limit: 1, offset: 1 })).toEqual([['docsets']]);
  });

  it('does a batch in one commit, the last put to an item counting', async () => {
    using pool = openPool();
    const store = new HoldfastStore(pool);
    const before = pool.stats().commits;
    const results = await store.batch([
      { namespace: ['a'], key: 'k', value: { n: 1 } },
      { namespace: ['a'], key: 'k' },
      { namespace: ['a'], key: 'k', value: { n: 2 } },
      { namespace: ['b'], key: 'k', value: { n: 3 } },
    ]);
    expect(results).toEqual([null, null, null, null]);
    expect(pool.stats().commits - before).toBeLessThanOrEqual(2);
    expect((await store.get(['a'], 'k'))!.value).toEqual({ n: 2 });
  });

  it('forgets what has outlived its time', async () => {
    using pool = openPool();
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const store = new HoldfastStore(pool, { ttl: { defaultTtl: 1 } });
      await store.put(['t'], 'read', { n: 1 });
      await store.put(['t'], 'unread', { n: 2 });
      vi.advanceTimersByTime(45_000);
      expect(await store.get(['t'], 'read')).not.toBeNull();
      vi.advanceTimersByTime(45_000);
      expect(await store.get(['t'], 'unread')).toBeNull();
      expect((await store.search(['t'])).map(({ key }) => key)).toEqual(['read']);
      expect(await store.sweep()).toBe(1);
      vi.advanceTimersByTime(61_000);
      expect(await store.listNamespaces()).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('gives time only to what is as it was read: what is put or deleted meanwhile stays so', async () => {
    using pool = openPool();
    const store = new HoldfastStore(pool, { ttl: { defaultTtl: 1 } });
    for (const key of ['changed', 'deleted', 'read']) await store.put(['t'], key, { n: 1 });
    const before = pool
      .keyspace<string, { expiresAt: number }>('holdfast.langgraph.store')
      .get('t\0\0read\0')!.expiresAt;
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      vi.advanceTimersByTime(30_000);
      await Promise.all([
        ...[store.put(['t'], 'changed', { n: 2 }), store.delete(['t'], 'deleted')],
        ...[store.get(['t'], 'changed'), store.get(['t'], 'deleted'), store.search(['t'])],
      ]);
      expect((await store.get(['t'], 'changed'))?.value).toEqual({ n: 2 });
      expect(await store.get(['t'], 'deleted')).toBeNull();
      const after = pool
        .keyspace<string, { expiresAt: number }>('holdfast.langgraph.store')
        .get('t\0\0read\0')!.expiresAt;
      expect(after - before).toBeGreaterThanOrEqual(30_000);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is read through a pool that is open for reading only, and refuses what is no pool', async () => {
    const path = join(folder, `${++number}.holdfast`);
    {
      using pool = openPool(path);
      await new HoldfastStore(pool, { ttl: { defaultTtl: 1 } }).put(['t'], 'k', { n: 1 });
    }
    using reader = openSync(path, { readOnly: true });
    expect(
      (await new HoldfastStore(reader, { ttl: { defaultTtl: 1 } }).get(['t'], 'k'))?.value,
    ).toEqual({ n: 1 });
    for (const Class of [HoldfastStore, HoldfastCache, HoldfastSaver]) {
      expect(() => new Class(undefined as never)).toThrow(
        `new ${Class.name}(pool): open the pool with holdfast.open()`,
      );
    }
    for (const Class of [HoldfastCache, HoldfastSaver])
      expect(() => new Class(reader, {} as never)).toThrow('serde is a serializer');
    for (const ttl of [{ defaultTtl: null }, { refreshOnRead: 'yes' }, 5]) {
      expect(() => new HoldfastStore(reader, { ttl: ttl as never })).toThrow(
        expect.objectContaining({ code: 'ERR_HOLDFAST_INVALID_ARGUMENT' }),
      );
    }
  });

  it('sweeps many in few commits', async () => {
    using pool = openPool();
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const store = new HoldfastStore(pool, { ttl: { defaultTtl: 1 } });
      const puts = Array.from({ length: 600 }, (_, i) => ({
        namespace: ['t'],
        key: `k${i}`,
        value: { i },
      }));
      await store.batch(puts);
      vi.advanceTimersByTime(61_000);
      const before = pool.stats().epoch;
      expect(await store.sweep()).toBe(600);
      expect(pool.stats().epoch - before).toBe(3);
      expect(await store.sweep()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('sweeps around what is put or deleted meanwhile', async () => {
    using pool = openPool();
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const store = new HoldfastStore(pool, { ttl: { defaultTtl: 1 } });
      for (let i = 0; i < 6; ++i) await store.put(['t'], `k${i}`, { i });
      vi.advanceTimersByTime(61_000);
      const changing = Promise.all([
        store.put(['t'], 'k3', { again: true }),
        store.delete(['t'], 'k4'),
      ]);
      expect(await store.sweep()).toBe(4);
      await changing;
      expect((await store.search(['t'])).map(({ key }) => key)).toEqual(['k3']);
    } finally {
      vi.useRealTimers();
    }
  });
});

it('HoldfastCache keeps results for their time, and forgets namespaces', async () => {
  using pool = openPool();
  const cache = new HoldfastCache(pool);
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    await cache.set([
      { key: [['a', 'b'], 'k'], value: { deep: [1] }, ttl: 2 },
      { key: [['a'], 'k'], value: 'for ever' },
    ]);
    expect(
      await cache.get([
        [['a', 'b'], 'k'],
        [['a'], 'k'],
        [['z'], 'k'],
      ]),
    ).toEqual([
      { key: [['a', 'b'], 'k'], value: { deep: [1] } },
      { key: [['a'], 'k'], value: 'for ever' },
    ]);
    vi.advanceTimersByTime(2001);
    expect(await cache.get([[['a', 'b'], 'k']])).toEqual([]);
    const entries = pool.keyspace('holdfast.langgraph.cache', { key: 'bytes', value: 'bytes' });
    expect([entries.count(), await cache.sweep(), entries.count()]).toEqual([2, 1, 1]);
    await cache.clear([['z']]);
    expect(await cache.get([[['a'], 'k']])).toHaveLength(1);
    await cache.clear([]);
    expect(await cache.get([[['a'], 'k']])).toEqual([]);
  } finally {
    vi.useRealTimers();
  }
});

describe('durableTool', () => {
  it('refuses what is wrong in its options when it is made', () => {
    const wrong = [
      { name: 5 },
      { name: '' },
      { name: 'n'.repeat(600) },
      { retry: -1 },
      { retry: { attempts: 0 } },
      { timeout: 0 },
      { signal: {} },
      { pool: 5 },
      { safety: 'safe' },
      { probe: 1 },
    ];
    for (const options of wrong) {
      const code = expect.stringMatching(
        /^ERR_HOLDFAST_(INVALID_ARGUMENT|OUT_OF_RANGE)$/,
      ) as string;
      expect(
        () => durableTool(async () => 1, { name: 'tool', ...options } as never),
        JSON.stringify(options),
      ).toThrow(expect.objectContaining({ code }));
    }
  });

  const State = Annotation.Root({
    done: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  });

  function graphOn(pool: Holdfast, act: (config: object) => Promise<string[]>) {
    return new StateGraph(State)
      .addNode('act', async (_state, config) => ({ done: await act(config) }), {
        retryPolicy: { maxAttempts: 1 },
      })
      .addEdge(START, 'act')
      .addEdge('act', END)
      .compile({ checkpointer: new HoldfastSaver(pool) });
  }
  const config = { configurable: { thread_id: 't' }, durability: 'sync' as const };

  it('is called with the arguments of the moment of the call, and so at each attempt', async () => {
    using pool = openPool();
    const given: unknown[] = [];
    const tool = durableTool(
      async (args: { list: number[]; said: HumanMessage }, { attempt }) => {
        given.push([...args.list, args.said.text]);
        args.list.push(9);
        if (attempt === 1) throw Object.assign(new Error('busy'), { neverHappened: true });
      },
      { name: 'tool', retry: { attempts: 2, delay: 1 } },
    );
    const graph = graphOn(pool, async (config) => {
      const args = { list: [1], said: new HumanMessage('hello') };
      const called = tool(args, config);
      args.list.push(8);
      await called;
      return [];
    });
    await graph.invoke({}, config);
    expect(given).toEqual([
      [1, 'hello'],
      [1, 'hello'],
    ]);
  });

  it('a node that fails after its effects and is run again does not repeat them', async () => {
    using pool = openPool();
    const seen: string[] = [];
    const pay = durableTool(
      (amount: number, { idempotencyKey, attempt }) => {
        seen.push(`${amount} ${attempt} ${idempotencyKey}`);
        return `paid ${amount}`;
      },
      { name: 'pay', safety: 'effect' },
    );
    let fail = 2;
    const graph = graphOn(pool, async (given) => {
      // Two calls alike are two effects; each happens once.
      const results = [await pay(1, given), await pay(1, given), await pay(2, given)];
      if (fail-- > 0) throw new Error('after the effects');
      return results;
    });
    await expect(graph.invoke({ done: [] }, config)).rejects.toThrow('after the effects');
    await expect(graph.invoke(null, config)).rejects.toThrow('after the effects');
    expect(await graph.invoke(null, config)).toEqual({ done: ['paid 1', 'paid 1', 'paid 2'] });
    expect(seen.map((line) => line.slice(0, 3))).toEqual(['1 1', '1 1', '2 1']);
    expect(new Set(seen.map((line) => line.split(' ')[2])).size).toBe(3);
  });

  it("LangGraph's own retries of a node do not repeat them either", async () => {
    using pool = openPool();
    let paid = 0;
    let attempts = 0;
    const pay = durableTool((n: number) => `paid ${n + ++paid}`, { name: 'pay' });
    const graph = new StateGraph(State)
      .addNode(
        'act',
        async (_state, given) => {
          const done = [await pay(0, given), await pay(0, given)];
          if (++attempts < 3) throw new Error('try again');
          return { done };
        },
        { retryPolicy: { maxAttempts: 3, initialInterval: 1, jitter: false, logWarning: false } },
      )
      .addEdge(START, 'act')
      .compile({ checkpointer: new HoldfastSaver(pool) });
    expect(await graph.invoke({ done: [] }, config)).toEqual({ done: ['paid 1', 'paid 2'] });
    expect([paid, attempts]).toEqual([2, 3]);
    await (graph.checkpointer as BaseCheckpointSaver).deleteThread('t');
    expect([...pool.runs()]).toEqual([]);
    for (const name of ['journal', 'drivers', 'intents', 'open-runs']) {
      expect(pool.keyspace(`holdfast.${name}`, { key: 'bytes', value: 'bytes' }).count()).toBe(0);
    }
  });

  it('after an error, what may be done is what its safety allows', async () => {
    for (const [safety, probe, outcome, calls] of [
      ['effect', undefined, 'ERR_HOLDFAST_OUTCOME_UNKNOWN', 1],
      ['effect', () => 'unknown' as const, 'ERR_HOLDFAST_OUTCOME_UNKNOWN', 1],
      ['effect', () => ({ happened: true as const, result: 'found' }), 'found', 1],
      ['effect', () => ({ happened: false as const }), 'done 2', 2],
      ['idempotent', undefined, 'done 2', 2],
      ['readOnly', undefined, 'done 2', 2],
    ] as const) {
      using pool = openPool();
      let called = 0;
      const keys = new Set<string>();
      const tool = durableTool(
        (_args: null, { idempotencyKey, attempt }) => {
          keys.add(idempotencyKey);
          if (++called === 1) throw new Error('timed out');
          return `done ${attempt}`;
        },
        { name: 'tool', safety, probe },
      );
      const graph = graphOn(pool, async (given) => [await tool(null, given)]);
      await expect(graph.invoke({ done: [] }, config)).rejects.toThrow('timed out');
      const second = graph.invoke(null, config).then(
        (state) => state.done[0],
        (error: { code?: string }) => error.code,
      );
      expect(await second).toBe(outcome);
      expect(called).toBe(calls);
      expect(keys.size).toBe(1);
    }
  });

  it('tells changed arguments, and refuses to be called outside of a graph', async () => {
    using pool = openPool();
    const tool = durableTool((args: { n: number }) => args.n, { name: 'tool' });
    let n = 0;
    const graph = graphOn(pool, async (given) => {
      await tool({ n: ++n }, given);
      throw new Error('again');
    });
    await expect(graph.invoke({ done: [] }, config)).rejects.toThrow('again');
    await expect(graph.invoke(null, config)).rejects.toMatchObject({
      code: 'ERR_HOLDFAST_DIVERGED',
    });
    await expect(tool({ n: 1 }, { configurable: {} })).rejects.toThrow(/HoldfastSaver/);
    expect(() => durableTool('no function' as never)).toThrow(/function/);
    expect(() => durableTool((() => 1) as never)).toThrow(/name/);
  });

  it("an unknown outcome is the pool's: listed, resolved, and nobody claims its run", async () => {
    for (const [resolution, outcome, calls] of [
      ['never-happened', 'booked 2', 2],
      [{ value: 'booked by phone' }, 'booked by phone', 1],
    ] as const) {
      using pool = openPool();
      let called = 0;
      const tokens: number[] = [];
      const book = durableTool(
        (seat: string, { attempt, fencingToken }) => {
          tokens.push(fencingToken);
          if (++called === 1) throw new Error('timed out');
          return `booked ${attempt}`;
        },
        { name: 'book', safety: 'effect' },
      );
      const graph = graphOn(pool, async (given) => [await book('7A', given)]);
      await expect(graph.invoke({ done: [] }, config)).rejects.toThrow('timed out');
      const [unknown, ...others] = pool.unknownOutcomes();
      expect(others).toEqual([]);
      expect(unknown).toMatchObject({
        tool: 'book',
        args: '7A',
        attempt: 1,
        error: 'Error: timed out',
      });
      expect(await pool.claim()).toBeUndefined();
      await expect(graph.invoke(null, config)).rejects.toMatchObject({
        code: 'ERR_HOLDFAST_OUTCOME_UNKNOWN',
      });
      await pool.resolve(unknown!.id, resolution);
      expect(await pool.claim()).toBeUndefined();
      expect(await graph.invoke(null, config)).toEqual({ done: [outcome] });
      expect([called, pool.unknownOutcomes()]).toEqual([calls, []]);
      expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
      expect([...pool.runs()].map(({ status }) => status)).toEqual(['finished']);
    }
  });

  it('retries, times out, and is cut off by a signal, as run.tool', async () => {
    using pool = openPool();
    let called = 0;
    const flaky = durableTool(
      () => {
        if (++called < 3) throw Object.assign(new Error('busy'), { neverHappened: true });
        return `after ${called}`;
      },
      { name: 'flaky', retry: { attempts: 5, delay: 1 } },
    );
    const slow = durableTool(
      (_: null, { signal }) =>
        new Promise<string>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
      { name: 'slow', safety: 'idempotent', timeout: 20 },
    );
    const graph = graphOn(pool, async (given) => [
      await flaky(null, given),
      await slow(null, given).catch((error: Error) => error.name),
    ]);
    expect(await graph.invoke({ done: [] }, config)).toEqual({ done: ['after 3', 'TimeoutError'] });
  });
});
