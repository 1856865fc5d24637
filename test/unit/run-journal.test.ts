/**
 * Journals: what they hold, pages of them, following them; identity of steps; versions, children,
 * checkpoints and forks.
 */
import { setTimeout as pause } from 'node:timers/promises';

import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';

import type { JournalEntry, Run } from '../../lib/index';
import { structured } from '../../lib/codecs';
import { encodeBriefly } from '../../lib/run/entry-codec';
import { forgetOwned } from '../../lib/run/forget';
import { formerHashOf, hashOf } from '../../lib/run/hash';
import { runChild } from './support/child';
import { all, never, rejects, runsBench } from './support/runs';

const bench = runsBench('journal');

describe('the journal', () => {
  test('writes the entry of a checkpoint as the structured codec would', () => {
    const count = fc.oneof(
      fc.nat(300),
      fc.nat({ max: 70_000 }),
      fc.integer({ min: 0, max: 2 ** 33 }),
      fc.maxSafeNat(),
      fc.constant(null),
    );
    fc.assert(
      fc.property(fc.array(count, { maxLength: 20 }), (items) => {
        const brief = encodeBriefly(items);
        if (items.length > 15) expect(brief).toBeUndefined();
        else expect(Buffer.compare(brief!, structured.encode(items) as Uint8Array)).toBe(0);
      }),
      { numRuns: 2000 },
    );
    for (const other of ['a label', -1, -0, 0.5, NaN, true, {}])
      expect(encodeBriefly([1, other])).toBeUndefined();
  });

  test('lists every kind with time, duration, attempt and epoch', async () => {
    const run = await bench.pool.run('r', { input: 1 });
    await run.decision('plan', () => 'go');
    await run.step('work', { n: 1 }, ({ n }) => n + 1);
    let tries = 0;
    const flaky = () => {
      if (++tries < 2) throw Object.assign(new Error('busy'), { neverHappened: true });
      return 'sent';
    };
    await run.tool('send', 'x', flaky, { retry: { attempts: 2, delay: 1 } });
    await bench.pool.signal('r', 'go', 5);
    expect(await run.signal('go')).toBe(5);
    const waited = run.signal('later');
    await pause(5);
    await bench.pool.signal('r', 'later', 6);
    await waited;
    await run.checkpoint({ a: 1 }, { label: 'done' });
    await run.finish('end');
    await bench.pool.settled();
    const entries = await bench.journal();
    expect(entries.map(({ kind }) => kind)).toEqual([
      ...['start', 'decision', 'step', 'intent', 'failure', 'attempt', 'receipt'],
      ...['signal', 'wait', 'signal', 'checkpoint', 'end'],
    ]);
    for (const { at, epoch } of entries) {
      expect(Math.abs(Date.now() - at)).toBeLessThan(300_000);
      expect(epoch).toBeGreaterThan(0);
    }
    const epochs = entries.map(({ epoch }) => epoch);
    expect(epochs).toEqual([...epochs].sort((a, b) => a! - b!));
    expect(new Set(epochs).size).toBe(epochs.length);
    expect(entries[6]).toMatchObject({ attempt: 2, from: 'tool', result: 'sent' });
    for (const at of [1, 2, 4, 6, 9, 11]) expect(entries[at]!.ms).toBeGreaterThanOrEqual(0);
    const later = await bench.again();
    expect(await all(later.journal('r'))).toEqual(entries);
  });

  test('epochs are those of the receipts', async () => {
    const run = await bench.pool.run('r');
    const seen = [run.receipt!.epoch];
    await run.step('a', () => 1);
    seen.push(run.receipt!.epoch);
    expect(run.receipt).toMatchObject({
      durability: 'durable',
      class: bench.pool.durability.class,
    });
    seen.push((await run.checkpoint(1)).epoch, (await run.finish(1)).epoch);
    expect((await bench.journal()).map(({ epoch }) => epoch)).toEqual(seen);
  });

  test('no duration is negative, though the clock is set back', async () => {
    const run = await bench.pool.run('r', { suspendAfter: 0 });
    await rejects(run.signal('go'), 'ERR_HOLDFAST_SUSPENDED');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 86_400_000 });
    try {
      await bench.pool.signal('r', 'go', 1);
      const again = await bench.pool.run('r');
      expect(await again.signal('go')).toBe(1);
      await again.finish(2);
    } finally {
      vi.useRealTimers();
    }
    for (const { ms } of await bench.journal())
      if (ms !== undefined) expect(ms).toBeGreaterThanOrEqual(0);
  });

  test('epochs of what a process wrote last before it was killed', async () => {
    const { path } = bench;
    await bench.pool.close();
    // Steps side by side and one behind them, then death; what the receipts said is printed before.
    const { signal, stdout } = await runChild(
      `(async () => {
        const pool = await holdfast.open(process.argv[2]);
        const run = await pool.run('r');
        const epochs = [run.receipt.epoch];
        await run.step('a', () => 1);
        epochs.push(run.receipt.epoch);
        await Promise.all([1, 2, 3].map((n) => run.step('side by side', () => n)));
        await run.checkpoint({ a: 1 });
        epochs.push(run.receipt.epoch);
        require('node:fs').writeSync(1, JSON.stringify(epochs));
        process.kill(process.pid, 'SIGKILL');
      })();`,
      { args: [path] },
    );
    expect(signal).toBe('SIGKILL');
    const [start, a, checkpoint] = JSON.parse(stdout) as number[];
    const check = (entries: JournalEntry[]): void => {
      const epochs = entries.map(({ epoch }) => epoch!);
      expect([epochs[0], epochs[1], epochs[5]]).toEqual([start, a, checkpoint]);
      expect(epochs.slice(0, 6)).toEqual([...new Set(epochs.slice(0, 6))].sort((x, y) => x - y));
    };
    // Read off the log; then, folded and cleaned, off what the next driver has written down.
    let pool = await bench.again();
    check(await all(pool.journal('r')));
    const run = await pool.run('r');
    await run.step('a', () => 1);
    await run.step('after', () => 1);
    run.close();
    await pool.compact();
    pool = await bench.again();
    check(await all(pool.journal('r')));
  });

  test('is read in pages', async () => {
    const run = await bench.pool.run('r');
    for (let i = 0; i < 700; ++i) await run.step('s', () => i, { durability: 'eventual' });
    const page = async (from: number, limit: number) =>
      (await all(bench.pool.journal('r', { from, limit }))).map(({ sequence }) => sequence);
    expect(await page(0, 3)).toEqual([0, 1, 2]);
    expect(await page(699, 10)).toEqual([699, 700]);
    expect(await page(900, 10)).toEqual([]);
    expect(await page(5, 0)).toEqual([]);
    expect(await page(1, 600)).toHaveLength(600);
    await rejects(bench.pool.journal('none').next(), 'ERR_HOLDFAST_NOT_FOUND');
  });

  test('is followed to its end, also from another handle', async () => {
    const run = await bench.pool.run('r');
    const { open } = await import('../../lib/index');
    const other = await open(bench.path);
    const followed = [bench.pool, other].map((pool) => all(pool.journal('r', { follow: true })));
    for (const name of ['a', 'b']) {
      await pause(10);
      await run.step(name, () => name);
    }
    await run.finish(1);
    for (const entries of await Promise.all(followed))
      expect(entries.map(({ kind }) => kind)).toEqual(['start', 'step', 'step', 'end']);
    await other.close();
  });

  test('followed from behind its end, and when its run is deleted, it ends', async () => {
    const run = await bench.pool.run('r');
    await run.finish(1);
    expect(await all(bench.pool.journal('r', { from: 2, follow: true }))).toEqual([]);
    expect(await all(bench.pool.journal('r', { from: 900, follow: true }))).toEqual([]);
    await rejects(bench.pool.journal('r', { from: Infinity }).next(), 'ERR_HOLDFAST_OUT_OF_RANGE');
    const driven = await bench.pool.run('gone');
    const following = all(bench.pool.journal('gone', { follow: true }));
    await pause(5);
    await forgetOwned(bench.pool, 'gone');
    // it stays while it is driven
    expect(bench.pool.runInfo('gone')).toMatchObject({ driven: true });
    driven.close();
    await forgetOwned(bench.pool, 'gone');
    expect((await following).map(({ kind }) => kind)).toEqual(['start']);
  });

  test('following ends with its signal', async () => {
    await bench.pool.run('r');
    const stop = new AbortController();
    const following = all(bench.pool.journal('r', { follow: true, signal: stop.signal }));
    setTimeout(() => stop.abort(), 5);
    await rejects(following, 'ERR_HOLDFAST_ABORTED');
  });
});

describe('identity', () => {
  test('a step with other arguments has diverged, and both are shown', async () => {
    const run = await bench.pool.run('r');
    await run.step('fetch', { page: 1, of: new Map([['a', 1n]]) }, () => 'x');
    const later = await (await bench.again()).run('r');
    const error = await later.step('fetch', { page: 2 }, never).catch(String);
    expect(error).toMatch(/page: 1.*page: 2/);
    const same = await (await bench.again()).run('r');
    expect(await same.step('fetch', { of: new Map([['a', 1n]]), page: 1 }, never)).toBe('x');
    await rejects(
      (await (await bench.again()).run('r')).step('fetch', never),
      'ERR_HOLDFAST_DIVERGED',
    );
  });

  test('steps that nest keep their numbers whatever runs beside them', async () => {
    const order: string[] = [];
    const drive = async (fetched: string, died: boolean) => {
      const run = await bench.pool.run('r');
      const done = new Map<string, () => void>();
      const behind = new Map<string, Promise<void>>();
      for (const item of fetched)
        behind.set(item, new Promise((resolve) => done.set(item, resolve)));
      const outer = (item: string) =>
        run.step('item', item, async () => {
          await behind.get(fetched[fetched.indexOf(item) - 1]!);
          const inner = await run.step('fetch', () => (order.push(item), `got ${item}`));
          done.get(item)!();
          if (died) throw new Error('died');
          return inner;
        });
      return Promise.allSettled(['a', 'b', 'c'].map(outer));
    };
    await drive('cba', true);
    expect(order).toEqual(['c', 'b', 'a']);
    await bench.again();
    const ended = await drive('abc', false);
    expect(ended).toMatchObject(['a', 'b', 'c'].map((item) => ({ value: `got ${item}` })));
    expect(order).toHaveLength(3);
  });

  test('arguments that cannot be kept are refused', async () => {
    const run = await bench.pool.run('r');
    await rejects(
      run.step('a', () => 1, never as never),
      'OK',
    ).catch(() => {});
    await rejects(run.tool('t', { fn: () => 1 }, never), 'ERR_HOLDFAST_CODEC');
    await rejects(run.tool('t', Symbol('s'), never), 'ERR_HOLDFAST_CODEC');
    let deep: unknown = 'bottom';
    for (let i = 0; i < 200_000; ++i) deep = [deep];
    await rejects(run.tool('t', deep, never), 'ERR_HOLDFAST_CODEC');
    await rejects(run.step('t', deep, never), 'ERR_HOLDFAST_CODEC');
    await rejects(run.checkpoint({ fn: () => 1 }), 'ERR_HOLDFAST_CODEC');
    for (const thrown of [new TypeError('unreadable'), undefined]) {
      const unreadable = Object.defineProperty({}, 'a', {
        enumerable: true,
        get: () => {
          throw thrown;
        },
      });
      await rejects(run.tool('t', [unreadable], never), 'ERR_HOLDFAST_CODEC');
      await rejects(run.step('t', unreadable, never), 'ERR_HOLDFAST_CODEC');
      await rejects(run.checkpoint({ unreadable }), 'ERR_HOLDFAST_CODEC');
      await rejects(run.checkpoint(unreadable), 'ERR_HOLDFAST_CODEC');
    }
    await rejects(
      bench.pool.signal('r', 's', () => 1),
      'ERR_HOLDFAST_CODEC',
    );
    await rejects(bench.pool.run('q', { input: () => 1 }), 'ERR_HOLDFAST_CODEC');
    expect(bench.pool.runInfo('q')).toBeUndefined();
  });

  test('an object reached on two ways is the same argument as two equal ones', async () => {
    const run = await bench.pool.run('r');
    const last = { role: 'user' };
    await run.checkpoint({ messages: [last], last });
    await run.step('s', run.state, () => 1);
    await run.tool('t', run.state, () => 1);
    const later = await (await bench.again()).run('r');
    await later.step('s', later.state, never);
    await later.tool('t', later.state, never);

    const circle: Record<string, unknown> = { list: [{ a: 1 }, new Map([['k', { a: 1 }]])] };
    circle.me = [circle];
    expect(hashOf(circle)).toBe(formerHashOf(circle));
    expect(hashOf({ a: circle, b: circle })).toBe(
      hashOf({ a: circle, b: structuredClone(circle) }),
    );
    expect(formerHashOf({ a: last, b: last })).not.toBe(hashOf({ a: last, b: last }));
    let knot: unknown = 'end';
    for (let i = 0; i < 60; ++i) knot = [knot, knot];
    expect(hashOf(knot)).toBe(hashOf(structuredClone(knot)));
  });

  test('versions: what passed a place before it had one keeps the old code', async () => {
    const old = await bench.pool.run('old');
    await old.step('a', () => 1);
    await old.step('b', () => 2);
    const fresh = await (await bench.again()).run('fresh');
    expect(await fresh.version('refund', 2, 1)).toBe(2);
    const continued = await bench.pool.run('old');
    await continued.step('a', never);
    expect(await continued.version('refund', 2, 1)).toBe(1);
    await continued.step('b', never);
    const pool = await bench.again();
    expect(await (await pool.run('fresh')).version('refund', 3, 1)).toBe(2);
    const third = await pool.run('old');
    await third.step('a', never);
    expect(await third.version('refund', 3, 1)).toBe(1);
  });

  test('versions: what was called beside a step does not lie ahead of one within it', async () => {
    const branch = (run: Run, name: string, ready: boolean) =>
      run.step(name, async () => {
        await run.step('look', () => 1);
        if (!ready) throw new Error('not yet');
        const version = await run.version('deeper');
        await run.step('dig', () => 2);
        return version;
      });
    const first = await bench.pool.run('r');
    expect(await branch(first, 'a', true)).toBe(1);
    await branch(first, 'b', false).catch(() => {});
    const later = await (await bench.again()).run('r');
    expect(await branch(later, 'b', true)).toBe(1);
    expect(await branch(later, 'a', true)).toBe(1);
  });

  test('versions: what was called within a step, or undone, does not lie ahead', async () => {
    const nested = await bench.pool.run('nested');
    await nested.step('outer', () => nested.step('inner', () => nested.tool('t', 1, () => 1)));
    const saved = await nested.checkpoint(1);
    await nested.fork(saved.checkpoint, 'forked');
    const compensate = () => undefined;
    const undone = await bench.pool.run('undone');
    await undone.tool('t', 1, () => 1, { compensate });
    await undone.rollback();
    const pool = await bench.again();
    for (const id of ['nested', 'forked']) {
      const run = await pool.run(id);
      await run.step('outer', never);
      expect(await run.version('refund', 2, 1)).toBe(2);
    }
    const passed = await pool.run('undone');
    await passed.tool('t', 1, never, { compensate: never });
    expect(await passed.version('before', 2, 1)).toBe(1);
    expect(await passed.rollback()).toEqual(['t']);
    expect(await passed.version('behind', 2, 1)).toBe(2);
  });

  test('what was called within a call that others completed does not lie ahead', async () => {
    const run = await bench.pool.run('r');
    const cut = (call: Promise<unknown>) => expect(call).rejects.toThrow('cut off');
    const inner = async (): Promise<never> => {
      await run.step('inner', () => 1);
      throw new Error('cut off');
    };
    await cut(run.tool('asked', 1, inner));
    await cut(run.step('left', inner));
    const later = await (await bench.again()).run('r');
    const probe = () => ({ happened: true as const, result: 2 });
    expect(await later.tool('asked', 1, never, { probe })).toBe(2);
    expect(await later.version('before', 2, 1)).toBe(1);
    await later.step('left', () => 'without it');
    expect(await later.version('behind', 2, 1)).toBe(2);
  });

  test('what was called within a step that is not complete is kept', async () => {
    const run = await bench.pool.run('r');
    const failing = run.step('outer', async () => {
      await run.step('inner', () => 1);
      throw new Error('cut off');
    });
    await expect(failing).rejects.toThrow('cut off');
    const later = await (await bench.again()).run('r');
    expect(await later.version('refund', 2, 1)).toBe(1);
    expect(await later.step('outer', () => later.step('inner', never))).toBe(1);
  });
});

describe('children', () => {
  test('begin with their entry, end on their own, and are continued', async () => {
    const run = await bench.pool.run('r');
    const child = await run.child<{ n: number }, never, number>('part', { input: { n: 1 } });
    expect([child.id, child.input]).toEqual(['r/part', { n: 1 }]);
    await child.step('a', () => 1);
    const pool = await bench.again();
    const later = await pool.run('r');
    const same = await later.child<{ n: number }, never, number>('part', { input: { n: 1 } });
    expect([same.continued, await same.step('a', never)]).toEqual([true, 1]);
    await same.finish(7);
    expect(pool.runInfo('r/part')).toMatchObject({ parent: 'r', status: 'finished' });
    expect((await bench.kinds()).filter((kind) => kind === 'child')).toHaveLength(1);
    expect((await (await (await bench.again()).run('r')).child('part')).result).toBe(7);
  });

  test("a run that was begun otherwise is nobody's child", async () => {
    const { pool } = bench;
    const run = await pool.run('r');
    await (await pool.run('r/x')).finish('of its own');
    await rejects(run.child('x'), 'ERR_HOLDFAST_EXISTS');
    const a = await run.child('a');
    await (await a.child('b')).finish('of a');
    await rejects(run.child('a/b'), 'ERR_HOLDFAST_EXISTS');
    expect((await a.child('b')).result).toBe('of a'); // asked for once more
    expect(
      (await bench.journal()).filter(({ kind }) => kind === 'child').map(({ child }) => child),
    ).toEqual(['r/a']);
  });

  /** Two children, one with a child of its own; each tool tells what it did. */
  const family = async (run: Run, effects: string[], checkpointed: (id: string) => void) => {
    const done = await run.child<unknown, unknown, string>('done', { input: 1 });
    if (done.status !== 'finished') {
      await done.tool('pay', 1, () => effects.push(`${done.id} pay`));
      await done.finish('paid');
    }
    const open = await run.child<unknown, { half: number }>('open');
    await open.tool('book', 1, () => effects.push(`${open.id} book`));
    if (open.state === undefined) await open.checkpoint({ half: 1 });
    const inner = await open.child<unknown, unknown, number>('inner');
    if (inner.status !== 'finished') {
      await inner.tool('ask', 1, () => effects.push(`${inner.id} ask`));
      await inner.finish(5);
    }
    checkpointed((await run.checkpoint('here')).checkpoint);
    await open.tool('cancel', 1, () => effects.push(`${open.id} cancel`));
    await open.checkpoint({ half: 2 });
    return [done.result, inner.result, open.state] as const;
  };

  test('a fork shares what they had done by then, and repeats none of it', async () => {
    const effects: string[] = [];
    let checkpoint = '';
    const results = await family(await bench.pool.run('r'), effects, (id) => (checkpoint = id));
    expect(effects.splice(0)).toEqual([
      'r/done pay',
      'r/open book',
      'r/open/inner ask',
      'r/open cancel',
    ]);
    for (const [fork, of] of [
      ['f', 'r'],
      ['g', 'f'],
    ] as const) {
      const pool = await bench.again();
      await pool.fork(checkpoint, fork);
      const run = await pool.run(fork);
      expect(await family(run, effects, (id) => of === 'r' && (checkpoint = id))).toEqual(results);
      expect(effects.splice(0)).toEqual([`${fork}/open cancel`]);
      expect(pool.runInfo(`${fork}/done`)).toMatchObject({
        status: 'finished',
        parent: fork,
        fencingToken: 0,
      }); // nobody had to drive it
      expect([...pool.history(`${fork}/open`)].map(({ id }) => pool.at(id))).toEqual([
        { half: 1 },
        { half: 2 },
      ]);
      expect((await bench.journal(fork)).filter(({ kind }) => kind === 'child')).toHaveLength(2);
      // What came behind the checkpoint is each run's own, and a continued fork has its own
      // children.
      run.close();
      const later = await (await bench.again()).run(fork);
      await family(later, effects, () => {});
      expect(effects).toEqual([]);
    }
  });

  test('a fork whose child had begun nothing, and one that was begun behind the checkpoint', async () => {
    const run = await bench.pool.run('r');
    await run.child('early', { input: 1 });
    const { checkpoint } = await run.checkpoint(1);
    const late = await run.child('late');
    await late.step('a', () => 1);
    await bench.pool.fork(checkpoint, 'f');
    const fork = await bench.pool.run('f');
    const early = await fork.child('early');
    expect([early.id, early.input, await early.step('a', () => 2)]).toEqual(['f/early', 1, 2]);
    await rejects(fork.child('early', { input: 2 }), 'ERR_HOLDFAST_DIVERGED');
    expect(await (await fork.child('late')).step('a', () => 2)).toBe(2);
  });
});

describe('checkpoints', () => {
  test('have a history, are loaded, compared, restored and pruned', async () => {
    const run = await bench.pool.run<unknown, { n: number; list: number[] }>('r');
    const ids: string[] = [];
    for (let n = 0; n < 5; ++n) {
      const label = n === 1 ? 'good' : undefined;
      const list = Array.from({ length: n }, (_, i) => i);
      ids.push((await run.checkpoint({ n, list }, { label })).checkpoint);
    }
    expect([...run.history()].map(({ id }) => id)).toEqual(ids);
    expect(run.at(ids[1]!)).toEqual({ n: 1, list: [0] });
    expect(run.diff(ids[1]!, ids[2]!)).toContainEqual({
      path: ['n'],
      kind: 'changed',
      before: 1,
      after: 2,
    });
    await run.restore(ids[1]!);
    expect(run.state).toEqual({ n: 1, list: [0] });
    const pool = await bench.again();
    const later = await pool.run<unknown, { n: number }>('r');
    expect(later.state).toEqual({ n: 1, list: [0] });
    for (const wrong of [
      null,
      7,
      { olderThan: '' },
      { olderThan: null },
      { olderThan: Symbol('now') },
      { olderThan: 0n },
    ]) {
      await rejects(later.prune(wrong as never), 'ERR_HOLDFAST_INVALID_ARGUMENT');
      await rejects(pool.fork(wrong as never, 'f'), 'ERR_HOLDFAST_INVALID_ARGUMENT');
    }
    expect(await later.prune({ keepLast: 1 })).toMatchObject({ removed: 4, kept: 2 });
    expect([...pool.history('r')].map(({ label }) => label)).toEqual(['good', undefined]);
    expect(() => pool.at(ids[4]!)).toThrow(/no checkpoint/);
    await rejects(pool.fork(ids[4]!, 'f'), 'ERR_HOLDFAST_NOT_FOUND');
  });

  test('a fork shares state and steps up to its checkpoint, and goes its own way', async () => {
    const run = await bench.pool.run('r', { input: 'in' });
    await run.step('a', () => 1);
    const { checkpoint } = await run.checkpoint({ at: 'a' });
    await run.tool('pay', 1, () => 'r paid');
    await run.checkpoint({ at: 'b' });
    await run.fork(checkpoint, 'f');
    await rejects(run.fork(checkpoint, 'f'), 'ERR_HOLDFAST_EXISTS');
    await rejects(run.fork(checkpoint, 'r'), 'ERR_HOLDFAST_EXISTS');
    const fork = await (await bench.again()).run('f');
    expect([fork.input, fork.state, fork.continued]).toEqual(['in', { at: 'a' }, true]);
    expect(await fork.step('a', never)).toBe(1);
    expect(await fork.tool('pay', 1, () => 'f paid')).toBe('f paid');
    const { checkpoint: own } = await fork.checkpoint({ at: 'f' });
    await bench.pool.fork(own, 'g');
    const second = await bench.pool.run('g');
    expect(await second.step('a', never)).toBe(1);
    expect(await second.tool('pay', 1, never)).toBe('f paid');
    expect((await bench.pool.run('r')).state).toEqual({ at: 'b' });
  });

  test("an effect that was under way at the checkpoint is its run's affair: a fork makes its own", async () => {
    const run = await bench.pool.run('r');
    let pay = (_: string): void => {};
    let called = (): void => {};
    const begun = new Promise<void>((resolve) => (called = resolve));
    const paid = run.tool(
      'pay',
      1,
      () => new Promise<string>((resolve) => ((pay = resolve), called())),
      { safety: 'effect' },
    );
    await begun;
    const { checkpoint } = await run.checkpoint({ at: 'paying' });
    await run.fork(checkpoint, 'f');
    const fork = await bench.pool.run('f');
    expect(await fork.tool('pay', 1, () => 'f paid', { safety: 'effect' })).toBe('f paid');
    pay('r paid');
    expect(await paid).toBe('r paid');
  });

  test('side by side, all are kept', async () => {
    const run = await bench.pool.run('r');
    await Promise.all([1, 2, 3, 4].map((n) => run.checkpoint({ n })));
    expect([...run.history()]).toHaveLength(4);
    expect((await (await bench.again()).run('r')).state).toEqual({ n: 4 });
  });
});
