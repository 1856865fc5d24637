/**
 * Which runs are runnable is found without looking at those that wait, and is right whatever
 * happened before.
 */
import { setImmediate as turn } from 'node:timers/promises';

import fc from 'fast-check';
import { expect, test, vi } from 'vitest';

import { open, type Holdfast, type RunsOptions } from '../../lib/index';
import { Candidates } from '../../lib/run/candidates';
import { Journals } from '../../lib/run/journals';
import { isDue } from '../../lib/run/waits';
import { scratchFolder } from '../helpers/scratch';
import { countLooks } from './support/runs';

const folder = scratchFolder('claims');
let pools = 0;
const newPath = (): string => `${folder}/${++pools}.pool`;

/** By looking at every run. */
function runnableOf(pool: Holdfast): string[] {
  const journals = Journals.of(pool);
  return [...pool.runs()]
    .filter(({ id, status, driven, waits }) => {
      if (status === 'finished' || driven) return false;
      return status === 'running' || isDue(journals, id, waits);
    })
    .map(({ id }) => id);
}

const action = fc.record({
  what: fc.constantFrom(
    'begin',
    'wait',
    'waitTwo',
    'sleepLong',
    'sleepShort',
    'signal',
    'finish',
    'fail',
    'resolve',
    'claim',
    'reopen',
    'older',
    'forget',
  ),
  run: fc.nat(9),
  name: fc.constantFrom('a', 'b'),
});

/** Only of those that have ended and of which all is known, nothing is left. */
async function forget(pool: Holdfast): Promise<void> {
  const unknown = pool.unknownOutcomes().map(({ run }) => run);
  const stays = [...pool.runs()].filter(
    ({ id, status }) => status !== 'finished' || unknown.includes(id),
  );
  await pool.forgetRuns({ olderThan: -1000 });
  expect([...pool.runs()]).toEqual(stays);
}

async function perform(pool: Holdfast, what: string, id: string, name: string): Promise<void> {
  if (what === 'signal') return void (await pool.signal(id, name, 1).catch(() => {}));
  if (what === 'resolve') {
    const [outcome] = pool.unknownOutcomes();
    return void (outcome && (await pool.resolve(outcome.id, 'happened')));
  }
  if (what === 'forget') return forget(pool);
  if (what === 'claim') return void (await pool.claim({ suspendAfter: 0 }))?.close();
  const run = await pool.run(id, { suspendAfter: 0 });
  if (run.status === 'finished') return;
  try {
    if (what === 'wait') await run.signal(name);
    else if (what === 'waitTwo') await Promise.all([run.signal('a'), run.signal('b')]);
    else if (what === 'sleepLong') await run.sleep(1e7);
    else if (what === 'sleepShort') await run.sleep(1);
    else if (what === 'finish') await run.finish(1);
    else if (what === 'fail') {
      const tool = (): never => {
        throw new Error('lost');
      };
      await run.tool('t', 1, tool).catch(() => run.tool('t', 1, tool));
    }
  } catch {
    // Suspended, diverged or unknown: the run is left as it is.
  }
  run.close();
  // Over, when it is looked at.
  if (what === 'sleepShort') await new Promise((go) => setTimeout(go, 5));
}

/** As they kept what was written until now. */
function asOlderReleases(pool: Holdfast): void {
  const { asleep, awake, called, ended } = Journals.of(pool);
  const marks = pool.keyspace('holdfast.run-marks', { value: 'utf8' });
  const batch = pool.batch();
  for (const { at, run } of asleep.keys()) batch.put(awake, run, at).delete(asleep, { at, run });
  for (const key of ended.keys()) batch.delete(ended, key);
  for (const run of called.keys()) batch.delete(called, run);
  batch.delete(marks, 'ended');
  if (marks.has('asleep')) batch.delete(marks, 'asleep').put(marks, 'awake', 'all');
  pool.commitSync(batch);
}

test('listing and claiming agree with a look at every run', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 25 }), async (actions) => {
      const path = newPath();
      let pool = await open(path, { medium: 'file' });
      for (const { what, run, name } of actions) {
        if (what === 'reopen' || what === 'older') {
          if (what === 'older') asOlderReleases(pool);
          await pool.close();
          pool = await open(path);
        } else await perform(pool, what, `run ${run}`, name);
        const expected = runnableOf(pool);
        expect([...pool.runs({ status: 'runnable' })].map(({ id }) => id)).toEqual(expected);
        expect([...pool.runs({ status: 'runnable', reverse: true })].map(({ id }) => id)).toEqual(
          [...expected].reverse(),
        );
        const after = 'run 4';
        expect([...pool.runs({ status: 'runnable', after, limit: 2 })].map(({ id }) => id)).toEqual(
          expected.filter((id) => id > after).slice(0, 2),
        );
      }
      const left = runnableOf(pool);
      const claimed: string[] = [];
      for (let run = await pool.claim(); run !== undefined; run = await pool.claim())
        claimed.push(run.id);
      expect(claimed.sort()).toEqual(left);
      await pool.close();
    }),
    { numRuns: 60, seed: 20261124, endOnFailure: true },
  );
});

test("one that is just being begun or claimed is nobody else's", async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const notes = pool.keyspace('notes');
  for (let i = 0; i < 30; ++i) {
    let begun = false;
    const beginning = (i % 2 === 0 ? pool.run(`r${i}`) : pool.claim()).finally(
      () => (begun = true),
    );
    // Beside other commits of the turn its own is made on another thread, and seen before it is
    // acknowledged.
    const others = Promise.all([1, 2, 3].map((n) => notes.put(`${n}`, i)));
    for (; !begun; await turn()) expect(await pool.claim()).toBeUndefined();
    const run = (await beginning)!;
    await run.step(`s${i}`, () => i);
    if (i % 2 === 0) run.close();
    else await run.finish(i);
    await others;
  }
  await pool.close();
});

test('those that wait are not looked at', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const ids = Array.from({ length: 300 }, (_, i) => `run ${String(i).padStart(3, '0')}`);
  await Promise.all(
    ids.map(async (id) => (await pool.run(id, { suspendAfter: 0 })).signal('go').catch(() => {})),
  );
  const looks = countLooks(pool);
  expect(await pool.claim()).toBeUndefined();
  expect(looks()).toBe(0);
  await pool.signal('run 123', 'go', 'now');
  const claimed = await pool.claim();
  expect([claimed?.id, await claimed?.signal('go')]).toEqual(['run 123', 'now']);
  expect(looks()).toBeLessThan(10);
  await pool.close();
});

test('what waits for something else costs a claim nothing', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const { awake, asleep, called } = Journals.of(pool);
  const ids = Array.from({ length: 100 }, (_, i) => `run ${String(i).padStart(3, '0')}`);
  const wait = async (id: string, i: number) => {
    const run = await pool.run(id, { suspendAfter: 0 });
    await (i % 2 === 0 ? run.sleep(1e9) : run.signal('go')).catch(() => {});
    await pool.signal(id, 'chat', i);
  };
  await Promise.all(ids.map(wait));
  // Each is looked at once, since something came for it.
  expect(await pool.claim()).toBeUndefined();
  const looks = countLooks(pool);
  expect(await pool.claim()).toBeUndefined();
  expect(looks()).toBe(0);
  expect([awake.count(), asleep.count(), called.count()]).toEqual([0, 50, 0]);
  await pool.signal('run 051', 'go', 'now');
  expect((await pool.claim())?.id).toBe('run 051');
  await pool.close();
});

test('claiming many that have something to do looks at each a few times at most', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const ids = Array.from({ length: 200 }, (_, i) => `run ${String(i).padStart(3, '0')}`);
  const wait = async (id: string, i: number) => {
    const run = await pool.run(id, { suspendAfter: 0 });
    await (i % 2 === 0 ? run.sleep(1e9) : run.signal('go')).catch(() => {});
    if (i % 2 === 1) await pool.signal(id, 'go');
  };
  await Promise.all(ids.map(wait));
  const { asleep, called } = Journals.of(pool);
  for (const ready of [asleep, called]) expect(ready.count()).toBe(100);
  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 2e9);
  const looks = countLooks(pool);
  const claimed: string[] = [];
  for (let run = await pool.claim(); run !== undefined; run = await pool.claim())
    claimed.push(run.id);
  expect(claimed).toEqual(ids);
  expect(looks()).toBeLessThan(1000);
  vi.restoreAllMocks();
  for (const ready of [asleep, called]) expect(ready.count()).toBe(0);
  await pool.close();
});

test('an older release finds what sleeps, and is found by a newer one', async () => {
  const path = newPath();
  let pool = await open(path, { medium: 'file' });
  const sleep = async (id: string, ms: number) =>
    (await pool.run(id, { suspendAfter: 0 })).sleep(ms).catch(() => {});
  await sleep('by this one', 1);
  const marks = (): unknown[] => [...pool.keyspace('holdfast.run-marks', { value: 'utf8' }).keys()];
  // Without the mark of the awake it looks at all that are open.
  expect(marks()).toEqual(['asleep', 'ended']);
  asOlderReleases(pool);
  await pool.close();
  pool = await open(path);
  expect(marks()).toEqual(['awake']);
  expect((await pool.claim())?.id).toBe('by this one');
  await sleep('another', 1e9);
  expect(marks()).toEqual(['asleep']);
  await pool.close();
});

test('a run is not struck off when something comes for it meanwhile', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const run = await pool.run('r', { suspendAfter: 0 });
  await run.signal('go').catch(() => {});
  await pool.signal('r', 'chat');
  const journals = Journals.of(pool);
  const before = new Candidates(journals);
  const header = journals.headers.get('r');
  await pool.signal('r', 'go');
  before.strikeOff('r', header);
  expect((await pool.claim())?.id).toBe('r');
  await pool.close();
});

test('runs of a pool that is older than the list of the awake are found', async () => {
  const path = newPath();
  let pool = await open(path, { medium: 'file' });
  (await pool.run('old')).close();
  // As it was written before there was such a list.
  const { awake } = Journals.of(pool);
  for (const id of [...awake.keys()]) awake.deleteSync(id);
  pool.keyspace('holdfast.run-marks', { value: 'utf8' }).deleteSync('asleep');
  await pool.close();
  pool = await open(path);
  (await pool.run('new')).close();
  expect([...pool.runs({ status: 'runnable' })].map(({ id }) => id)).toEqual(['new', 'old']);
  expect((await pool.claim())?.id).toBe('new');
  await pool.close();
});

test('a run is driven, whatever became of another that its handle began to drive in the same turn', async () => {
  const path = newPath();
  const pool = await open(path, { medium: 'file' });
  const other = await open(path);
  const first = other.run('contended');
  const second = pool.run('contended').catch((error: { code: string }) => error.code);
  const mine = pool.run('mine');
  expect(await second).toBe('ERR_HOLDFAST_RUN_ACTIVE');
  expect(other.runInfo('mine')?.driven).toBe(true);
  expect(await other.claim()).toBeUndefined();
  await (await first).finish(1);
  await (await mine).finish(1);
  await other.close();
  await pool.close();
});

test('a run that cannot be read is listed as that, and keeps nobody from the others', async () => {
  const path = newPath();
  const pool = await open(path, { medium: 'file' });
  for (const id of ['a', 'b', 'c', 'd']) {
    const run = await pool.run(id);
    if (id === 'd') await run.finish(1);
    run.close();
  }
  const bytes = pool.keyspace('holdfast.runs', { value: 'utf8' });
  await bytes.put('a', JSON.stringify({ format: 99, status: 'running', waits: 'in a newer way' }));
  await bytes.put('b', 'no header');
  const listed = (options?: RunsOptions) =>
    [...pool.runs(options)].map(({ id, status }) => `${id} ${status}`);
  expect(listed()).toEqual(['a unreadable', 'b unreadable', 'c running', 'd finished']);
  expect(listed({ reverse: true, limit: 3 })).toEqual(['d finished', 'c running', 'b unreadable']);
  expect(listed({ status: 'unreadable' })).toEqual(['a unreadable', 'b unreadable']);
  for (const status of ['running', 'runnable'] as const)
    expect(listed({ status })).toEqual(['c running']);
  expect(listed({ status: 'finished' })).toEqual(['d finished']);
  const [newer, broken] = [...pool.runs()];
  expect(newer!.problem).toContain('format 99');
  expect(broken!.problem).toContain('JSON');
  expect(() => pool.runInfo('a')).toThrow(
    expect.objectContaining({ code: 'ERR_HOLDFAST_NEWER_FORMAT' }) as Error,
  );
  expect((await pool.claim())!.id).toBe('c');
  await expect(pool.claim()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_NEWER_FORMAT' });
  await pool.close();
});

test('a run that cannot be read does not keep the others from being claimed, and is told of when there is no other', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  for (const id of ['a', 'b', 'c', 'd']) {
    const run = await pool.run(id);
    await run.step('one', () => 1);
    run.close();
  }
  const { headers, entries, entriesByKey } = Journals.of(pool);
  await headers.put('a', { ...headers.get('a')!, format: 99 });
  const key = [...entriesByKey.keys()][
    [...entries.keys()].findIndex(({ run, sequence }) => run === 'b' && sequence === 1)
  ]!;
  await pool
    .keyspace('holdfast.journal', { key: 'bytes', value: 'bytes' })
    .put(key, new Uint8Array([0xc1]));
  const claimed = [await pool.claim(), await pool.claim()];
  expect(claimed.map((run) => run!.id)).toEqual(['c', 'd']);
  await expect(pool.claim()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_NEWER_FORMAT' });
  await headers.delete('a');
  await expect(pool.claim()).rejects.toMatchObject({ code: 'ERR_HOLDFAST_CODEC' });
  claimed[0]!.close();
  expect((await pool.claim())!.id).toBe('c');
  await pool.close();
});

test('an effect whose records cannot be read is listed as that, and hides no other', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  const journals = Journals.of(pool);
  const lost = (): never => {
    throw new Error('lost');
  };
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    const run = await pool.run(id);
    if (id === 'd')
      await new Promise<void>(
        (begun) => void run.tool('pay', id, () => (begun(), new Promise(() => {}))),
      );
    else await run.tool('pay', id, lost).catch(() => {});
    run.close();
  }
  const ids = new Map(pool.unknownOutcomes().map(({ id, run }) => [run, id]));
  const raw = (name: string) => pool.keyspace(`holdfast.${name}`, { key: 'bytes', value: 'bytes' });
  const intentOf = (run: string) =>
    [...journals.entriesByKey.keys()][
      [...journals.entries.keys()].findIndex((key) => key.run === run && key.sequence === 1)
    ]!;
  await raw('journal').put(intentOf('b'), new Uint8Array([0xc1]));
  await raw('intents').put(Buffer.from(ids.get('c')!), Buffer.from('no record'));
  await raw('drivers').put(Buffer.from('d'), Buffer.from('no driver'));

  const listed = new Map(pool.unknownOutcomes().map((outcome) => [outcome.id, outcome]));
  expect([...listed.keys()].sort()).toEqual([...ids.values()].sort());
  const of = (run: string) => listed.get(ids.get(run)!)!;
  for (const run of ['a', 'e'])
    expect(of(run)).toMatchObject({ run, args: run, error: 'Error: lost' });
  expect(of('a')).not.toHaveProperty('problem');
  expect(of('b')).toMatchObject({
    run: 'b',
    tool: 'pay',
    args: undefined,
    attempt: 1,
    problem: expect.any(String) as string,
  });
  expect(of('c')).toMatchObject({
    run: '',
    tool: '',
    attempt: 0,
    problem: expect.stringContaining('JSON') as string,
  });
  // It cannot be told whether it is being called: that is said.
  expect(of('d')).toMatchObject({ run: 'd', problem: expect.stringContaining('JSON') as string });

  // What lies ready for it, and a moment that cannot be read, keep nobody from the others.
  await raw('resolutions').put(Buffer.from(ids.get('c')!), Buffer.from('anything'));
  expect(pool.unknownOutcomes()).toHaveLength(5);
  await raw('awake-runs').put(Buffer.from('a'), Buffer.from('no moment'));
  await pool.resolve(ids.get('e')!, 'happened');
  expect([...pool.runs({ status: 'runnable' })].map(({ id }) => id)).toContain('e');
  const claimed = [await pool.claim(), await pool.claim(), await pool.claim()].map(
    (run) => run?.id,
  );
  expect(claimed).toEqual(['a', 'c', 'e']);
  await pool.close();
});

test('prefix and after are text as ids are', async () => {
  const pool = await open(newPath(), { medium: 'file' });
  (await pool.run('a')).close();
  const refused = expect.objectContaining({
    code: 'ERR_HOLDFAST_INVALID_ARGUMENT',
    message: expect.stringContaining('well-formed text') as string,
  }) as Error;
  for (const wrong of ['\ud800', 'a\udc00', 'a\0']) {
    expect(() => [...pool.runs({ prefix: wrong })]).toThrow(refused);
    expect(() => [...pool.runs({ after: wrong, status: 'runnable' })]).toThrow(refused);
    await expect(pool.claim({ prefix: wrong })).rejects.toThrow(refused);
  }
  expect(() => [...pool.runs({ after: 1 as never })]).toThrow(/after is a string; got number/);
  expect([...pool.runs({ prefix: '', after: '' })]).toHaveLength(1);
  await pool.close();
});
