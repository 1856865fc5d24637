/** The command line over durable runs, and pools with very many of them. */
import { join } from 'node:path';

import { beforeAll, describe, expect, test } from 'vitest';

import { jsonOrText } from '../../lib/cli/values';
import { open } from '../../lib/index';
import { cli } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';
import { countLooks } from './support/runs';

const folder = scratchFolder('cli-runs');
const path = join(folder, 'runs.holdfast');
let outcome = '';

beforeAll(async () => {
  {
    await using pool = await open(path, { medium: 'file' });
    const trip = await pool.run('trip', { input: { to: 'Oslo' }, suspendAfter: 0 });
    await trip.decision('plan', () => 'fly');
    await trip.tool('book', { seat: '7A' }, () => ({ number: 'HF 7' }));
    await trip.checkpoint({ seats: ['7A'], total: 5 }, { label: 'booked' });
    await trip.checkpoint({ seats: ['7A', '7B'], total: 9 });
    await trip.signal('approve').catch(() => {});
    const done = await pool.run('done');
    await done.finish({ ok: true });
    const lost = await pool.run('lost');
    const call = lost.tool('pay', { cents: 5 }, () => Promise.reject(new Error('gone silent')));
    await call.catch(() => {});
    outcome = pool.unknownOutcomes()[0]!.id;
  }
});

const text = async (...args: string[]) => {
  const { code, stdout, stderr } = await cli(args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
};
const json = async (...args: string[]) => {
  const { code, json: parsed } = await cli([...args, '--json']);
  expect(code).toBe(0);
  return parsed();
};

test('runs', async () => {
  expect(await text('runs', path)).toMatch(
    /done +finished.*\n.*lost +runnable.*\n.*trip +waiting.*signal approve\n/,
  );
  expect(await json('runs', path, '--status', 'waiting')).toMatchObject({
    runs: [{ id: 'trip', status: 'waiting', waits: [{ signal: 'approve' }] }],
    more: false,
  });
  expect(await json('runs', path, '--limit', '1', '--after', 'done')).toMatchObject({
    runs: [{ id: 'lost' }],
    more: true,
  });
  expect((await cli(['runs', path, '--status', 'odd'])).code).toBe(2);
  expect((await cli(['prune', path, 'trip', '--drop-labels', '--keep-label', 'booked'])).code).toBe(
    2,
  );
  for (const no of ['', ' ', '1e3', '0x10', '-1', '1.5'])
    expect((await cli(['prune', path, 'trip', '--keep-last', no])).code).toBe(2);
});

test('what has come, and what was parked, unparked and failed', async () => {
  const parked = join(folder, 'parked.holdfast');
  {
    await using pool = await open(parked, { medium: 'file' });
    await pool.begin('begun', { input: 1 });
    await pool.begin('later', { notBefore: new Date('2300-01-01T12:00:00Z') });
    const two = await pool.run('two', { suspendAfter: 0 });
    await Promise.allSettled([two.signal('a'), two.signal('b')]);
    await pool.signal('two', 'b');
    await (await pool.run('poison')).park(new Error('no\nway'));
    await (await pool.run('soon')).park('busy', { until: new Date('2300-01-01T12:00:00Z') });
  }
  const listed = await text('runs', parked);
  for (const row of [
    / begun +runnable /,
    / later +waiting .* 2300-01-01 \d\d:00:00\n/,
    / poison +parked .* `holdfast unpark`; failed once, last .*: Error: no\\nway\n/,
    / soon +parked .* 2300-01-01 \d\d:00:00; failed once, last .*: busy\n/,
    / two +runnable .* signal a; signal b, which has come\n/,
  ])
    expect(listed).toMatch(row);
  const ids = async (status: string) =>
    ((await json('runs', parked, '--status', status)) as { runs: { id: string }[] }).runs.map(
      ({ id }) => id,
    );
  expect(await ids('parked')).toEqual(['poison', 'soon']);
  expect(await ids('runnable')).toEqual(['begun', 'two']);
  expect(await text('show', parked, 'poison')).toMatch(
    /status +parked[^]*failed +once, last .*: Error: no[^]*waits for +`holdfast unpark`/,
  );
  expect(await text('unpark', parked, 'poison')).toContain('poison is runnable');
  expect(await json('unpark', parked, 'poison')).toMatchObject({ run: 'poison', unparked: false });
  expect(await ids('runnable')).toEqual(['begun', 'poison', 'two']);
  expect((await cli(['unpark', parked, 'nobody'])).stderr).toContain('ERR_HOLDFAST_NOT_FOUND');
});

test('a number that can mean nothing is wrong usage, which says what is right', async () => {
  const atLeastOne = [
    ...[
      ['history', path, 'trip', '--limit'],
      ['runs', path, '--limit'],
      ['timeline', path, 'trip', '--limit'],
      ['ls', path, '--limit'],
    ],
    ...[
      ['prune', path, 'trip', '--keep-last'],
      ['regions', path, 'r', '--length'],
      ['replay', 'x.json', '--pool', path, '--parallel'],
    ],
    ['bench', '--on', folder, '--rounds'],
  ];
  const fromZero = [
    ['timeline', path, 'trip', '--from'],
    ['regions', path, 'r', '--offset'],
    ['demo', '--kills'],
    ['backup', path, 'x', '--since'],
  ];
  const wrong = (args: string[], no: string, least: number) =>
    cli([...args, no]).then(({ code, stdout, stderr }) => {
      expect([args[0], no, code, stdout]).toEqual([args[0], no, 2, '']);
      expect(stderr).toContain(`expected a whole number from ${least}.`);
    });
  await Promise.all([
    ...atLeastOne.map((args) => wrong(args, '0', 1)),
    ...fromZero.map((args) => wrong(args, '-1', 0)),
  ]);
  await Promise.all(
    ['-1', '1.5', 'many', '1e3', '9007199254740992'].map((no) => wrong(atLeastOne[0]!, no, 1)),
  );
  for (const args of [
    ['restore', path, 'x', '--size', '0'],
    ['import', path, 'x', '--size', '8 G'],
    ['resize', path, 'large'],
  ])
    expect((await cli(args)).stderr).toContain('expected a size such as 512M or 8G.');
  expect((await json('runs', path, '--limit', String(Number.MAX_SAFE_INTEGER - 1))).more).toBe(
    false,
  );
});

test('show', async () => {
  const shown = await text('show', path, 'trip');
  expect(shown).toMatch(/input.*Oslo/);
  expect(shown).toMatch(/state.*7B/);
  expect(shown).toMatch(/waits for +signal approve/);
  expect(await json('show', path, 'trip')).toMatchObject({
    run: { id: 'trip', status: 'waiting', kinds: { checkpoint: 2 }, state: { total: 9 } },
  });
  expect(await cli(['show', path, 'none'])).toMatchObject({ code: 3 });
});

test('what a run waits for beside other work, while somebody drives it', async () => {
  const driven = join(folder, 'driven.holdfast');
  await using pool = await open(driven, { medium: 'file' });
  const run = await pool.run('both');
  run.signal('approve').catch(() => {}); // ends with the pool
  await run.step('beside', () => 1);
  expect(await text('runs', driven)).toMatch(/ both +running .* signal approve\n/);
  expect(await text('show', driven, 'both')).toMatch(
    /status +running[^]*waits for +signal approve/,
  );
});

test('a run of a newer release is listed as that, and shown as an error', async () => {
  const newer = join(folder, 'newer.holdfast');
  {
    await using pool = await open(newer, { medium: 'file' });
    for (const id of ['a', 'b']) (await pool.run(id)).close();
    await pool
      .keyspace('holdfast.runs', { value: 'json' })
      .put('a', { format: 99, status: 'resting' });
  }
  expect(await text('runs', newer)).toMatch(
    /a +unreadable +run "a" has journal format 99.*\n b +runnable/,
  );
  const problem = expect.stringContaining('format 99') as string;
  expect(await json('runs', newer)).toMatchObject({
    runs: [{ id: 'a', status: 'unreadable', problem }, { id: 'b' }],
  });
  expect((await cli(['show', newer, 'a'])).stderr).toMatch(/ERR_HOLDFAST_NEWER_FORMAT/);
});

test('timeline', async () => {
  expect(await text('timeline', path, 'trip')).toMatch(
    /decision +plan "fly".*\n.*intent +book \{ seat: '7A' \}/,
  );
  const { entries } = (await json('timeline', path, 'trip')) as { entries: unknown[] };
  expect(entries).toMatchObject([
    { kind: 'start', epoch: expect.any(Number) },
    { kind: 'decision', ms: expect.any(Number) },
    { kind: 'intent', attempt: 1 },
    { kind: 'receipt', attempt: 1, result: { number: 'HF 7' } },
    { kind: 'checkpoint', label: 'booked' },
    { kind: 'checkpoint' },
    { kind: 'wait', name: 'approve' },
  ]);
});

test('a timeline tells what a rollback undid, and why one failed', async () => {
  const own = join(folder, 'undone.holdfast');
  {
    await using pool = await open(own, { medium: 'file' });
    const run = await pool.run('r');
    let failures = 1;
    const compensate = (): void => {
      if (failures-- > 0) throw new Error('closed on Sundays');
    };
    await run.tool('book', 1, () => 2, { compensate });
    await expect(run.rollback()).rejects.toThrow('closed');
    await run.rollback();
  }
  expect(await text('timeline', own, 'r')).toMatch(
    / rollback +"Error: closed on Sundays" [^]* rollback +\[ 'book' \]/,
  );
});

test('a sleep until the last moment there is', async () => {
  const far = join(folder, 'far.holdfast');
  const pool = await open(far, { medium: 'file' });
  const run = await pool.run('r', { suspendAfter: 0 });
  await run.sleep(new Date(8.64e15)).catch(() => {});
  await pool.close();
  for (const TZ of ['Asia/Tokyo', 'America/New_York']) {
    expect(await cli(['runs', far], { TZ })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('+275760-09-1'),
    });
  }
});

test('history, diff, fork, prune', async () => {
  expect(await text('history', path, 'trip')).toMatch(/run\/trip@0 +booked.*\n.*run\/trip@1/);
  const changed = await text('diff', path, 'run/trip@0', 'run/trip@1');
  expect(changed).toMatch(/\+ \.seats\[1\]: "7B"/);
  expect(changed).toMatch(/~ \.total: 5 → 9/);
  expect(await text('fork', path, 'run/trip@0', 'trip-b')).toMatch(
    /trip-b begins from run\/trip@0/,
  );
  expect(await json('show', path, 'trip-b')).toMatchObject({ run: { state: { total: 5 } } });
  expect((await cli(['fork', path, 'run/trip@0', 'trip-b'])).stderr).toMatch(/ERR_HOLDFAST_EXISTS/);
  expect((await cli(['prune', path, 'trip', '--older-than', 'soon'])).code).toBe(2);
  expect(await json('prune', path, 'trip', '--drop-labels')).toMatchObject({ removed: 1, kept: 1 });
  expect((await cli(['fork', path, 'run/trip@0', 'c'])).stderr).toMatch(/ERR_HOLDFAST_NOT_FOUND/);
  expect(await json('show', path, 'trip-b')).toMatchObject({ run: { state: { total: 5 } } });
});

test('forget', async () => {
  const old = join(folder, 'old.holdfast');
  {
    await using pool = await open(old, { medium: 'file' });
    for (const id of ['job/1', 'job/2', 'other']) {
      const run = await pool.run(id);
      await run.step('a', () => 'x'.repeat(2_000_000));
      await run.finish();
    }
    const lost = await pool.run('lost');
    await lost.tool('pay', 1, () => Promise.reject(new Error('silent'))).catch(() => {});
    await lost.finish();
    (await pool.run('goes on')).close();
  }
  const wrong = async (...args: string[]) => expect((await cli(['forget', ...args])).code).toBe(2);
  await wrong(old);
  await wrong(old, '--older-than', 'soon');
  await wrong(old, '--older-than');
  const counted = await text('forget', old, '--older-than', '0s', '--dry-run');
  expect(counted).toMatch(/\n3 runs would be forgotten, none was\n1 kept: .*holdfast resolve/);
  expect(await json('forget', old, '--older-than', '1d')).toMatchObject({
    removed: 0,
    dryRun: false,
    durability: { class: expect.any(String) as string },
  });
  const done = await json('forget', old, '--older-than', '0s', '--prefix', 'job/');
  expect(done).toMatchObject({ removed: 2, kept: { unknownOutcomes: 0, forks: 0, unreadable: 0 } });
  expect(done.freedBytes).toBeGreaterThan(3_000_000);
  expect(await text('forget', old, '--older-than', '0s')).toMatch(/\n1 runs forgotten, .* freed\n/);
  expect(await json('runs', old)).toMatchObject({ runs: [{ id: 'goes on' }, { id: 'lost' }] });
});

test('a state that leads back to itself', async () => {
  const map = new Map<string, unknown>([['n', 1n]]);
  const state = { map, twice: [map, map] as unknown[], me: undefined as unknown };
  map.set('map', map);
  state.me = state;
  {
    await using pool = await open(path);
    const run = await pool.run('knot', { input: state });
    await run.checkpoint(state);
    state.twice.push({ set: new Set([state]) });
    await run.checkpoint(state);
    await pool.keyspace('knots').put('k', state);
    await run.finish(state);
  }
  const shown = { map: { n: '1', map: '[circular]' }, me: '[circular]' };
  const twice = [shown.map, shown.map];
  expect((await json('show', path, 'knot')).run).toMatchObject({
    input: { ...shown, twice },
    state: { ...shown, twice: [...twice, { set: ['[circular]'] }] },
  });
  expect(await json('get', path, 'knots', 'k')).toMatchObject({ value: shown });
  expect((await json('diff', path, 'run/knot@0', 'run/knot@1')).differences).toMatchObject([
    { path: ['twice', 2], kind: 'added' },
  ]);
  expect((await json('timeline', path, 'knot')).entries).toHaveLength(4);
});

test('signal', async () => {
  expect((await cli(['signal', path, 'none', 'approve'])).stderr).toMatch(/ERR_HOLDFAST_NOT_FOUND/);
  expect((await cli(['signal', path, 'done', 'x'])).stderr).toMatch(/ERR_HOLDFAST_RUN_FINISHED/);
  expect(await json('signal', path, 'trip', 'approve', '{"by":"ada"}')).toMatchObject({
    value: { by: 'ada' },
    receipt: { durability: 'durable' },
  });
  await using pool = await open(path);
  const claimed = await pool.claim({ prefix: 'trip' });
  await claimed!.decision('plan', () => 'unused');
  expect(await claimed!.signal('approve')).toEqual({ by: 'ada' });
});

test('a signal whose value was mistyped as JSON is refused; what is text stays text', async () => {
  const give = (...value: string[]) => cli(['signal', path, 'trip', 'approve', ...value]);
  expect(await give('{approved: true}')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/JSON and is none: .*'{"approved": true}'.*--text/) as string,
  });
  expect(await json('signal', path, 'trip', 'approve', '{"a":1', '--text')).toMatchObject({
    value: '{"a":1',
  });
  const refuse = (message: string): never => {
    throw new Error(message);
  };
  const wrong = ['{"a":1', "['a']", '"a', ' {', 'True', 'NULL', '007', '1,5', '+3', '.5', '1_000'];
  for (const value of [...wrong, '12345678901234567890', '1e999'])
    expect(() => jsonOrText(value, refuse)).toThrow('looks like JSON and is none: ');
  const texts = ['', 'Oslo', 'true enough', '2026-11-30', '1.2.3', "12 o'clock", 'nullable', '-'];
  for (const value of texts) expect(jsonOrText(value, refuse)).toBe(value);
  for (const value of [12.5, [1], null, 'a', { by: 'ada' }])
    expect(jsonOrText(` ${JSON.stringify(value)}\n`, refuse)).toEqual(value);
});

test('unknown outcomes are listed beside the process that has the pool', async () => {
  await using _pool = await open(path);
  expect(await text('resolve', path)).toContain(outcome);
  expect((await cli(['resolve', path, outcome, '--happened'])).stderr).toMatch(/LOCKED/);
});

test('resolve', async () => {
  expect(await text('resolve', path)).toContain(outcome);
  expect(await json('resolve', path)).toMatchObject({
    outcomes: [{ id: outcome, run: 'lost', tool: 'pay', error: 'Error: gone silent' }],
  });
  expect((await cli(['resolve', path, outcome])).code).toBe(2);
  expect(await cli(['resolve', path, '--happened'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/of which outcome/) as string,
  });
  expect((await cli(['resolve', path, outcome, '--happened', '--never-happened'])).code).toBe(2);
  expect((await cli(['resolve', path, 'odd', '--happened'])).stderr).toMatch(/NOT_FOUND/);
  for (const wrong of ['{"paid":5', 'paid', '', '1e999'])
    expect(await cli(['resolve', path, outcome, '--value', wrong])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/expected JSON .*'{"approved": true}', '"text"'/) as string,
    });
  for (const _same of [1, 2]) await text('resolve', path, outcome, '--value', '{"paid":5}');
  expect(await cli(['resolve', path, outcome, '--never-happened'])).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/CONFLICT.*paid: 5/) as string,
  });
  expect(await text('resolve', path)).toMatch(/no unknown outcomes/);
  await using pool = await open(path);
  const run = await pool.run('lost');
  expect(await run.tool('pay', { cents: 5 }, () => null)).toEqual({ paid: 5 });
});

describe('very many', () => {
  test('100,000 runs are listed in pages, claimed, and found', async () => {
    const many = join(folder, 'many.holdfast');
    await using pool = await open(many, { medium: 'file' });
    const count = 100_000;
    const id = (i: number) => `conversation/${String(i).padStart(6, '0')}`;
    for (let i = 0; i < count; i += 2000) {
      const some = Array.from({ length: 2000 }, (_, k) => pool.run(id(i + k), { input: i + k }));
      const runs = await Promise.all(some);
      await Promise.all(runs.map((run, k) => (k % 100 === 0 ? run.close() : run.finish(k))));
    }
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = [...pool.runs({ after, limit: 1000 })].map((run) => run.id);
      seen.push(...page);
      if (page.length < 1000) break;
      after = page.at(-1);
    }
    expect(seen).toHaveLength(count);
    expect([seen[0], seen.at(-1)]).toEqual([id(0), id(count - 1)]);
    expect(new Set(seen).size).toBe(count);
    // Counted, not timed: none of these looks at all runs.
    const looks = countLooks(pool);
    expect([...pool.runs({ after: id(50_000), limit: 50 })]).toHaveLength(50);
    expect([...pool.runs({ status: 'runnable' })]).toHaveLength(1000);
    expect(pool.runInfo(id(77_777))).toMatchObject({ status: 'finished' });
    for (let i = 0; i < 100; ++i) expect((await pool.claim())?.id).toBe(id(i * 100));
    expect(looks()).toBeGreaterThan(1000);
    expect(looks()).toBeLessThan(2500);
    await pool.close();
    const listed = await cli(['runs', many, '--json', '--limit', '10']);
    expect(listed.json()).toMatchObject({ more: true });
  });

  test('10,000 checkpoints are forked, compared and pruned', async () => {
    await using pool = await open(join(folder, 'checkpoints.holdfast'), { medium: 'file' });
    const run = await pool.run<unknown, { list: string[]; n: number }>('r');
    const state = { list: [] as string[], n: 0 };
    const ids: string[] = [];
    for (let n = 0; n < 10_000; ++n) {
      state.n = n;
      if (n % 100 === 0) state.list.push(`message ${n} ${'x'.repeat(200)}`);
      ids.push((await run.checkpoint(state)).checkpoint);
    }
    const before = pool.stats().bytesAppended;
    await run.fork(ids[5000]!, 'f');
    const forked = pool.stats().bytesAppended - before;
    expect((await pool.run<unknown, { n: number }>('f')).state?.n).toBe(5000);
    expect(run.diff(ids[5000]!, ids[5001]!)).toEqual([
      { path: ['n'], kind: 'changed', before: 5000, after: 5001 },
    ]);
    expect(await run.prune({ keepLast: 10 })).toMatchObject({ removed: 9990, kept: 10 });
    expect(run.at(ids[9995]!).n).toBe(9995);
    expect(pool.at('run/f@0')).toMatchObject({ n: 5000 });
    expect(() => run.at(ids[5000]!)).toThrow(/no checkpoint/);
    expect((await pool.check()).ok).toBe(true);
    expect(forked).toBeLessThan(2048); // shares all 10,000
  });
});
