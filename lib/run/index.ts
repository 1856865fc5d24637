/**
 * The door of runs: begins a run, or continues it where it stopped.
 *
 * Beginning to drive is itself one commit. A crash before it leaves the run as it was; a crash
 * after it leaves a run whose former driver, should it still be alive somewhere, can record nothing
 * any more.
 */
import { randomBytes } from 'node:crypto';

import { HoldfastError } from '../errors';
import type { PoolCore, Run } from '../types';
import { claim, release } from './active';
import { RUN_FORMAT, type Entry, type RunHeader, type StartEntry } from './entries';
import { JournalWriter, Journals } from './journal';
import { gather } from './kept';
import { checkRunId } from './keys';
import { divergedError, isSame, show } from './diverged';
import { DurableRun } from './run';

export type { Entry } from './entries';

export async function openRun<Input = unknown, State = unknown, Result = unknown>(
  pool: PoolCore,
  id: string,
  options: { input?: Input } = {},
): Promise<Run<Input, State, Result>> {
  checkRunId(id);
  const journals = Journals.of(pool);
  claim(pool, id);
  try {
    const header = journals.headers.get(id);
    const run =
      header === undefined
        ? await begin(journals, id, options.input)
        : await goOn(journals, id, header, options.input);
    return run as Run<Input, State, Result>;
  } catch (error) {
    release(pool, id);
    throw error;
  }
}

/** Reads a run's journal without driving the run, in the order of its commits. */
export function readJournal(
  pool: PoolCore,
  id: string,
): IterableIterator<[sequence: number, entry: Entry]> {
  checkRunId(id);
  return Journals.of(pool).read(id);
}

async function begin(journals: Journals, id: string, input: unknown): Promise<DurableRun> {
  const header: RunHeader = { format: RUN_FORMAT, status: 'running', driver: 1 };
  const start: StartEntry = {
    kind: 'start',
    at: Date.now(),
    uid: randomBytes(16).toString('hex'),
    input,
  };
  const batch = journals.pool.batch();
  batch.requireAbsent(journals.headers, id).put(journals.headers, id, header);
  batch.put(journals.entries, { run: id, sequence: 0 }, start);
  await journals.pool.commit(batch);
  const writer = new JournalWriter(journals, id, header, 1);
  return new DurableRun({
    id,
    input,
    continued: false,
    uid: start.uid,
    kept: new Map(),
    state: undefined,
    writer,
    result: undefined,
    released: () => release(journals.pool, id),
  });
}

async function goOn(
  journals: Journals,
  id: string,
  header: RunHeader,
  input: unknown,
): Promise<DurableRun> {
  if (header.format !== RUN_FORMAT) {
    throw new HoldfastError(
      'ERR_HOLDFAST_NEWER_FORMAT',
      `run ${JSON.stringify(id)} has journal format ${header.format}, this release reads ` +
        `${RUN_FORMAT}. Update holdfast`,
    );
  }
  const start = journals.first(id);
  if (start?.kind !== 'start') throw brokenError(id, 'no start');
  if (input !== undefined && !isSame(start.input, input)) {
    throw divergedError(id, 'its input', show(start.input), show(input));
  }
  const parts = {
    id,
    input: start.input,
    continued: true,
    uid: start.uid,
    state: journals.states.get(id),
  };
  const released = () => release(journals.pool, id);
  if (header.status === 'finished') {
    released();
    const end = journals.last(id);
    if (end?.kind !== 'end') throw brokenError(id, 'no end');
    return new DurableRun({
      ...parts,
      kept: new Map(),
      writer: undefined,
      result: end.result,
      released,
    });
  }
  const mine: RunHeader = { ...header, driver: header.driver + 1 };
  const batch = journals.pool.batch();
  batch.requireEqual(journals.headers, id, header).put(journals.headers, id, mine);
  await journals.pool.commit(batch);
  // Read only now: since that commit nobody else can add to the journal.
  const { steps, nextSequence } = gather(journals.read(id));
  const writer = new JournalWriter(journals, id, mine, nextSequence);
  const state = journals.states.get(id);
  return new DurableRun({ ...parts, state, kept: steps, writer, result: undefined, released });
}

function brokenError(id: string, what: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CORRUPT',
    `run ${JSON.stringify(id)} has a header but ${what} in its journal. Run \`holdfast check\` on the pool`,
  );
}
