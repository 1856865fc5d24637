/**
 * Who is given a child whose parent goes on with it: the parent, and never both. And what of a
 * parent whose child somebody else drives: it waits, and goes on when that has ended.
 */
import { describe, expect, test } from 'vitest';

import { open, type Run } from '../../lib/index';
import { Journals } from '../../lib/run/journals';
import { all, rejects, runsBench } from './support/runs';

const bench = runsBench('child-claims');
const suspended = { suspendAfter: 0 };
const claim = (prefix = '') => bench.pool.claim({ prefix, ...suspended });
const info = (id = 'r') => bench.pool.runInfo(id)!;

async function drive(run: Run, id = 'c', ask = (child: Run) => child.signal('answer')) {
  const child = await run.child(id, suspended);
  try {
    if (child.status !== 'finished') await child.finish(await ask(child));
    return child.result;
  } finally {
    child.close();
  }
}

/** The parent and its child wait. */
async function waiting(): Promise<void> {
  const run = await bench.pool.run('r', suspended);
  await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
  run.close();
}

describe('a child that may go on', () => {
  test('is not given to somebody beside its parent', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    const [run, other] = [await claim(), await claim()];
    expect([run?.id, other?.id]).toEqual(['r', undefined]);
    expect(await drive(run!)).toBe(42);
  });

  test('nor where both had died', async () => {
    const first = await bench.pool.run('r', suspended);
    await first.child('c');
    await bench.again();
    const [run, other] = [await claim(), await claim()];
    expect([run?.id, other?.id]).toEqual(['r', undefined]);
    await (await run!.child('c')).finish(1);
  });

  test('nor of three generations', async () => {
    const first = await bench.pool.run('r', suspended);
    await rejects(
      drive(first, 'c', (child) => drive(child)),
      'ERR_HOLDFAST_SUSPENDED',
    );
    first.close();
    await bench.pool.signal('r/c/c', 'answer', 42);
    const given = [await claim(), await claim(), await claim()].map((run) => run?.id);
    expect(given).toEqual(['r', undefined, undefined]);
  });

  test('is given when its parent has ended without it', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    await (await claim())!.finish();
    expect((await claim())!.id).toBe('r/c');
  });

  test('or goes on without it', async () => {
    const run = await bench.pool.run('r');
    await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
    await bench.pool.signal('r/c', 'answer', 42);
    expect((await claim())!.id).toBe('r/c');
  });

  test('or waits for something else', async () => {
    const run = await bench.pool.run('r', suspended);
    (await run.child('c')).close();
    (await run.child('d')).close();
    await rejects(run.signal('done'), 'ERR_HOLDFAST_SUSPENDED');
    const given = [await claim(), await claim(), await claim()].map((one) => one?.id);
    expect(given).toEqual(['r/c', 'r/d', undefined]);
  });

  test('also one that its parent let go', async () => {
    const first = await bench.pool.run('r', suspended);
    (await first.child('c')).close();
    await bench.again();
    const [run, other] = [await claim(), await claim()];
    expect([run?.id, other?.id]).toEqual(['r', 'r/c']);
  });

  test('and its parent is told of what it is given', async () => {
    await waiting();
    expect(await claim()).toBeUndefined();
    await bench.pool.signal('r/c', 'answer', 42);
    expect(Journals.of(bench.pool).called.get('r')).toBeDefined();
  });

  test('also one begun in a step that is complete: its parent does not come to it again', async () => {
    const first = await bench.pool.run('r', suspended);
    await first.step('begin', async () => void (await first.child('c')));
    await bench.again();
    const [run, other] = [await claim(), await claim()];
    expect([run?.id, other?.id]).toEqual(['r', 'r/c']);
  });

  const texts = (name: string) => bench.pool.keyspace(name, { value: 'utf8' });
  test.each([
    ['of a newer format', 'holdfast.runs', '{"format":99,"status":"running"}'],
    ['without a header', 'holdfast.runs', 'no header'],
    ['without a driver', 'holdfast.drivers', 'no driver'],
  ])('is given by itself where its parent is one %s', async (_, keyspace, text) => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    (await bench.pool.run('z')).close();
    await texts(keyspace).put('r', text);
    expect([...bench.pool.runs({ status: 'runnable' })].map(({ id }) => id)).toContain('r/c');
    const claimed = [await claim(), await bench.pool.claim({ wait: true })];
    expect(claimed.map((run) => run!.id)).toEqual(['r/c', 'z']);
  });

  test('is not runnable while its parent is driven, which comes to it', async () => {
    await waiting();
    await bench.pool.signal('r/c', 'answer', 42);
    const runnable = () => [
      info('r/c').runnable,
      [...bench.pool.runs({ status: 'runnable' })].length,
    ];
    expect(runnable()).toEqual([true, 2]);
    const run = await claim();
    expect(await claim()).toBeUndefined();
    expect(runnable()).toEqual([false, 0]);
    await run!.finish();
    expect(runnable()).toEqual([true, 1]);
  });
});

describe('a parent whose child somebody else drives', () => {
  test('waits for that, and is claimed when the child has ended', async () => {
    await waiting();
    const child = await bench.pool.run('r/c');
    const run = await bench.pool.run('r', suspended);
    await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
    expect(info()).toMatchObject({ status: 'waiting', runnable: false, waits: [{ run: 'r/c' }] });
    expect(await claim()).toBeUndefined();
    await child.finish(42);
    const again = (await claim())!;
    expect(again.id).toBe('r');
    expect(await drive(again)).toBe(42);
    expect((await bench.kinds()).filter((kind) => kind === 'child')).toHaveLength(1);
  });

  test('and whoever waits for runs is told at once when the child has ended, or is let go', async () => {
    await waiting();
    const { called } = Journals.of(bench.pool);
    const child = await bench.pool.run('r/c');
    const run = await bench.pool.run('r', suspended);
    await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
    const before = called.get('r');
    await child.step('more', () => 1);
    expect(called.get('r')).toEqual(before);
    child.close();
    expect(called.get('r')).not.toEqual(before);
    const again = await bench.pool.run('r/c');
    const last = called.get('r');
    await again.finish(42);
    expect(called.get('r')).not.toEqual(last);
  });

  test('in its own process too, also for another thread', async () => {
    await waiting();
    const other = await open(bench.path);
    const child = await other.run('r/c');
    const run = await bench.pool.run('r');
    const driven = drive(run);
    await new Promise((go) => setTimeout(go, 20));
    expect(info()).toMatchObject({ driven: true, waits: [{ run: 'r/c' }] });
    await child.finish(42);
    await other.close();
    expect(await driven).toBe(42);
    expect(info().waits).toEqual([]);
  });

  test('but who drives it itself is told', async () => {
    const run = await bench.pool.run('r');
    await run.child('c');
    await rejects(run.child('c'), 'ERR_HOLDFAST_RUN_ACTIVE');
  });
});

describe('a parent that may go on since its child may', () => {
  const listed = () => [...bench.pool.runs({ status: 'runnable' })].map(({ id }) => id);

  test('is listed when the driver of the child has died', async () => {
    await waiting();
    await bench.pool.run('r/c');
    expect(await claim()).toBeUndefined();
    expect(listed()).toEqual([]);
    await bench.again();
    expect(listed()).toEqual(['r', 'r/c']);
  });

  test('and when its parent was suspended beside it', async () => {
    const run = await bench.pool.run('r', suspended);
    await run.child('c');
    await rejects(run.signal('stop'), 'ERR_HOLDFAST_SUSPENDED');
    expect(await claim()).toBeUndefined();
    await bench.again();
    expect(listed()).toEqual(['r', 'r/c']);
    expect((await claim())!.id).toBe('r');
  });

  test('and when the moment of the child has come', async () => {
    const run = await bench.pool.run('r', suspended);
    const asleep = (child: Run) => child.sleep(30);
    await rejects(drive(run, 'c', asleep), 'ERR_HOLDFAST_SUSPENDED');
    run.close();
    expect(await claim()).toBeUndefined();
    await new Promise((go) => setTimeout(go, 40));
    expect(listed()).toEqual(['r', 'r/c']);
  });

  test('and when the child was unparked', async () => {
    const run = await bench.pool.run('r', suspended);
    await (await run.child('c')).park('closed on Sundays');
    run.close();
    expect(await claim()).toBeUndefined();
    await bench.pool.unpark('r/c');
    expect(listed()).toEqual(['r', 'r/c']);
  });

  test('where both die while the parent waits beside the child, and the child has ended since', async () => {
    const run = await bench.pool.run('r');
    const child = await run.child('c');
    void run.signal('stop').catch(() => {});
    await child.step('some', () => 1);
    await bench.again();
    await (await bench.pool.run('r/c')).finish(42);
    expect((await claim())?.id).toBe('r');
  });
});

describe('a parent that is suspended beside a child', () => {
  test('is claimed when that child has ended, since it may have won a race', async () => {
    const run = await bench.pool.run('r', suspended);
    const child = await run.child('c');
    await rejects(run.signal('stop'), 'ERR_HOLDFAST_SUSPENDED');
    expect(info()).toMatchObject({ status: 'waiting', runnable: false });
    await child.finish(42);
    expect((await claim())?.id).toBe('r');
  });

  test('is claimed at once where a step beside the child has failed or ended since', async () => {
    for (const [n, end] of [() => 1, () => Promise.reject(new Error('no'))].entries()) {
      const run = await bench.pool.run(`s${n}`, suspended);
      let go!: () => void;
      const gate = new Promise<void>((open) => (go = open));
      const step = run.step('slow', () => gate.then(end)).catch(() => {});
      await rejects(drive(run), 'ERR_HOLDFAST_SUSPENDED');
      go();
      await step;
      run.close();
      expect((await claim(`s${n}`))?.id).toBe(`s${n}`);
    }
  });

  test('or beside a signal', async () => {
    const run = await bench.pool.run('r');
    run.signal('stop').catch(() => {});
    await run.step('fails', () => Promise.reject(new Error('no'))).catch(() => {});
    run.close();
    expect((await claim())?.id).toBe('r');
  });

  test('and waits where the child was called within a step, or a tool', async () => {
    const run = await bench.pool.run('r', suspended);
    await rejects(
      run.step('outer', () => drive(run)),
      'ERR_HOLDFAST_SUSPENDED',
    );
    run.close();
    expect(info()).toMatchObject({ status: 'waiting', waits: [{ run: 'r/c' }] });
    const tools = await bench.pool.run('t', suspended);
    const outer = () => drive(tools);
    await rejects(
      tools.tool('outer', 1, outer, { safety: 'idempotent', retry: 3 }),
      'ERR_HOLDFAST_SUSPENDED',
    );
    tools.close();
    expect(info('t')).toMatchObject({ status: 'waiting', waits: [{ run: 't/c' }] });
    expect(await claim()).toBeUndefined();
    expect((await all(bench.pool.journal('t'))).map(({ kind }) => kind)).not.toContain('failure');
  });
});
