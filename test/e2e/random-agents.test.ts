/**
 * Random agents on several threads that claim their runs, whose process is killed again and again.
 * What was acknowledged is judged by notes that outlive it: no step that was acknowledged is lost
 * or made again, no effect happens twice, no signal is taken twice, nobody records beside another.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { open, type Holdfast, type JournalEntry } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { all } from '../unit/support/runs';

interface Operation {
  readonly kind: string;
  readonly name: string;
  readonly at: string;
  readonly safety?: string;
}
interface Programs {
  operationsOf(ops: unknown): Iterable<Operation>;
  programOf(seed: string, run: string): { ops: unknown; undone: boolean };
  random(text: string): (limit: number) => number;
}
const { operationsOf, programOf, random } = require('./random-programs.cjs') as Programs;

const folder = scratchFolder('random-agents');
const dist = path.join(import.meta.dirname, '../../dist');
const RUNS = Number(process.env.HOLDFAST_AGENTS ?? 8);
const KILLED_LIVES = Number(process.env.HOLDFAST_LIVES ?? 12);
const seed = process.env.HOLDFAST_SEED ?? '1';

interface Ended {
  readonly done: boolean;
  readonly error: string;
}

/** Killed so many milliseconds after it has begun, or was started, unless it is over by then. */
function live(
  pool: string,
  notes: string,
  life: number,
  chance: number,
  killAfter?: number,
  from: 'begun' | 'start' = 'begun',
): Promise<Ended> {
  return new Promise((resolve) => {
    const args = [dist, pool, notes, String(RUNS), seed, String(chance), String(life)];
    const child = spawn(process.execPath, [
      path.join(import.meta.dirname, 'random-agents.cjs'),
      ...args,
    ]);
    let out = '';
    let error = '';
    let timer: NodeJS.Timeout | undefined;
    const killLater = (): void =>
      void (timer ??=
        killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter));
    child.stdout.on('data', (chunk) => {
      out += chunk;
      killLater();
    });
    child.stderr.on('data', (chunk) => (error += chunk));
    if (from === 'start') killLater();
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ done: out.includes('DONE'), error });
    });
  });
}

/** Lists by their keys. */
function grouped<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

const callOf = ({ kind, within = '', name, occurrence, undoes }: JournalEntry): string =>
  JSON.stringify([kind, within, name, occurrence, ...(undoes === undefined ? [] : [undoes])]);

async function judge(pool: Holdfast, id: string, notes: readonly string[][]): Promise<void> {
  const journal = await all(pool.journal(id));
  const { status, result } = (await pool.run(id)) as unknown as {
    status: string;
    result: { made: string; values: Record<string, string> };
  };
  expect([id, status]).toEqual([id, 'finished']);
  const of = (kind: string): string[][] =>
    notes.filter((line) => line[0] === kind && line[1] === id);

  // Whatever was acknowledged, in whichever life, is what was recorded, and what every other life
  // got.
  const { ops, undone } = programOf(seed, id);
  const operations = [...operationsOf(ops)];
  const values = new Map(Object.entries(result.values));
  const kept = new Set(journal.map((entry) => entry.result));
  for (const { kind, name } of operations)
    if (kind === 'child')
      kept.add(((await pool.run(`${id}/${name}`)).result as typeof result).made);
  for (const [, , at, value] of of('ack')) {
    expect([id, at, values.get(at!) ?? value, kept.has(value)]).toEqual([id, at, value, true]);
    values.set(at!, value!);
  }
  for (const [, , made] of of('finished')) expect(made).toBe(result.made);

  // One driver at a time records: each call has one entry, each intent one receipt, and the numbers
  // have no gap but those of commits that were refused.
  const recorded = journal.filter(({ kind }) =>
    ['step', 'decision', 'intent', 'signal', 'wait', 'child', 'start', 'end'].includes(kind),
  );
  for (const [call, entries] of grouped(recorded, callOf))
    expect([id, call, entries.length]).toEqual([id, call, 1]);
  const receipts = grouped(
    journal.filter(({ kind }) => kind === 'receipt'),
    ({ intent }) => String(intent),
  );
  for (const { kind, sequence } of journal)
    if (kind === 'intent')
      expect([id, sequence, receipts.get(String(sequence))?.length]).toEqual([id, sequence, 1]);

  // Each effect happened once, under one key; and was undone once where the run was rolled back.
  const tools = operations.filter(({ kind }) => kind === 'tool').map(({ at }) => at);
  const effects = of('effect');
  expect([id, effects.map(([, , at]) => at).sort()]).toEqual([id, tools.sort()]);
  for (const [, , at, key, value] of effects) {
    expect([id, at, values.get(at!) ?? value, kept.has(value)]).toEqual([id, at, value, true]);
    const undos = notes.filter((line) => line[0] === 'undo' && line[1] === `${key}-undo`).length;
    expect([id, at, undos]).toEqual([id, at, undone ? 1 : 0]);
  }

  // Signals are taken in the order in which they were sent, none twice.
  const sent = of('sending');
  for (const [name, taken] of grouped(
    journal.filter(({ kind }) => kind === 'signal'),
    (entry) => entry.name!,
  )) {
    const values = sent.filter((line) => line[2] === name).map((line) => line[3]!);
    const places = taken.map((entry) => values.indexOf(entry.result as string));
    expect([id, name, places]).toEqual([id, name, [...new Set(places)].sort((a, b) => a - b)]);
    expect(places).not.toContain(-1);
  }
}

/** Those that were forgotten and begun again: in each life of one each effect happened once. */
function judgeBrief(notes: readonly string[][]): void {
  const effects = notes.filter(([kind, run]) => kind === 'effect' && run!.startsWith('brief'));
  const lives = grouped(effects, ([, run, , key]) => `${run} ${key!.split('-')[1]}`);
  for (const [life, happened] of lives) {
    const run = happened[0]![1]!;
    const tools = [...operationsOf(programOf(seed, run).ops)].filter(({ kind }) => kind === 'tool');
    const expected = tools.map(({ at }) => at).sort();
    expect([life, happened.map(([, , at]) => at).sort()]).toEqual([life, expected]);
  }
  console.log(`${lives.size} lives of runs that were forgotten`);
}

it(`random agents survive a storm of kills (HOLDFAST_SEED=${seed})`, async () => {
  console.log(`HOLDFAST_SEED=${seed}`);
  const path = `${folder}/pool`;
  const file = `${folder}/notes`;
  const dice = random(seed);
  let cut = 0;
  for (let life = 0; life < KILLED_LIVES; ++life) {
    const { done, error } = await live(
      path,
      file,
      life,
      0.02,
      50 + dice(700),
      dice(4) === 0 ? 'start' : 'begun',
    );
    expect([seed, error]).toEqual([seed, '']);
    if (done) break;
    cut += 1;
  }
  expect(await live(path, file, KILLED_LIVES, 0)).toEqual({ done: true, error: '' });
  if (cut === 0) throw new Error('no life was cut off');

  const notes = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);
  await using pool = await open(path);
  expect(pool.unknownOutcomes()).toEqual([]);
  expect([...pool.runs({ status: 'runnable' })]).toEqual([]);
  judgeBrief(notes);
  expect(await pool.forgetRuns({ olderThan: -1000, prefix: 'brief' })).toMatchObject({
    kept: { unknownOutcomes: 0, forks: 0, children: 0, unreadable: 0 },
  });
  const ids = [...pool.runs()].map(({ id }) => id);
  expect(ids.filter((id) => id.startsWith('brief'))).toEqual([]);
  expect(ids.length).toBeGreaterThanOrEqual(RUNS);
  for (const id of ids) await judge(pool, id, notes);
  expect((await pool.check()).damages).toEqual([]);
});
