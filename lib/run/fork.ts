/**
 * Forks: runs that begin from another's checkpoint. One shares that state, and the journal up to
 * there by referring to it, so beginning it is one small commit, however long the history is. A
 * crash leaves it whole, driven by nobody, or not at all.
 *
 * What children had done by then is shared too: when the fork asks for such a child it gets a fork
 * of it, which stands where the child stood when the checkpoint was made, finished if it was.
 */
import { CheckpointStore } from '../checkpoint/index';
import { HoldfastError, isConflict } from '../errors';
import type { Batch, CommitReceipt, PoolCore } from '../types';
import { ownerOf, placeOf } from './checkpoints';
import type { ChildEntry, EndEntry, Entry, StartEntry } from './entries';
import { EpochsOf, LOOK_AHEAD } from './epochs';
import { Journals } from './journals';
import { checkRunId } from './keys';
import { NOBODY, putNewRun } from './new-run';
import { noRunError } from './signals';

interface Fork {
  readonly id: string;
  readonly input: unknown;
  readonly from: NonNullable<StartEntry['from']>;
  /** Whose state it begins with. */
  readonly state: string | undefined;
  readonly parent?: string;
  /** It is finished from the beginning. */
  readonly end?: EndEntry;
}

/** Begins a run from a checkpoint of another; nobody drives it yet. */
export async function forkRun(
  pool: PoolCore,
  checkpoint: string,
  id: string,
): Promise<CommitReceipt> {
  checkRunId(id);
  const origin = placeOf(checkpoint);
  const journals = Journals.of(pool);
  const first = journals.first(origin.run);
  if (first?.kind !== 'start') throw noRunError(origin.run);
  if (journals.headers.has(id)) throw existsError(id);
  const batch = pool.batch();
  const upTo = entryOf(journals, origin.run, origin.number);
  addFork(journals, batch, {
    id,
    input: first.input,
    from: { run: origin.run, checkpoint, upTo },
    state: checkpoint,
  });
  try {
    return await pool.commit(batch);
  } catch (error) {
    if (journals.headers.has(id)) throw existsError(id, error);
    // It was pruned, or its run was forgotten, meanwhile: that is said.
    if (isConflict(error) && CheckpointStore.of(pool).info(checkpoint) === undefined)
      return forkRun(pool, checkpoint, id);
    throw error;
  }
}

/**
 * For a run `id` that is the child `recorded`, but of a fork: what begins it, to be added to a
 * commit. Undefined where nothing is left of that child.
 */
export function forkOfChild(
  journals: Journals,
  parent: string,
  id: string,
  recorded: ChildEntry,
): ((batch: Batch) => void) | undefined {
  const checkpoint = forkedAt(journals, parent, recorded);
  const first = journals.first(recorded.child);
  if (checkpoint === undefined || first?.kind !== 'start') return undefined;
  const shared = entriesBefore(journals, recorded.child, checkpoint);
  const [upTo, last] = shared.at(-1) ?? [0, first];
  const fork: Fork = {
    id,
    input: first.input,
    from: { run: recorded.child, checkpoint, upTo },
    state: stateOf(journals, recorded.child, first, shared),
    parent,
    ...(last.kind === 'end' && { end: last }),
  };
  return (batch) => addFork(journals, batch, fork);
}

function addFork(journals: Journals, batch: Batch, { id, state, ...run }: Fork): void {
  if (state !== undefined) CheckpointStore.of(journals.pool).fork(state, ownerOf(id), batch);
  putNewRun(batch, journals, id, { ...run, driver: NOBODY });
}

/**
 * The checkpoint at which `run`, or what it was forked from, was forked from the child's parent.
 */
function forkedAt(
  journals: Journals,
  run: string,
  { name, child }: ChildEntry,
): string | undefined {
  for (
    let at = journals.first(run);
    at?.kind === 'start' && at.from !== undefined;
    at = journals.first(at.from.run)
  ) {
    if (child === `${at.from.run}/${name}`) return at.from.checkpoint;
  }
  return undefined;
}

/** Of a child: what was committed before its parent's checkpoint. */
function entriesBefore(
  journals: Journals,
  child: string,
  checkpoint: string,
): [sequence: number, entry: Entry][] {
  const { run, number } = placeOf(checkpoint);
  const made = [...withEpochs(journals, run, entryOf(journals, run, number), LOOK_AHEAD)][0];
  if (made === undefined) return [];
  const before: [number, Entry][] = [];
  for (const { sequence, entry, epoch } of withEpochs(journals, child, 0, Infinity)) {
    // Where no epoch is known any more, the time has to do.
    const isBefore =
      epoch === undefined || made.epoch === undefined
        ? entry.at <= made.entry.at
        : epoch <= made.epoch;
    if (isBefore) before.push([sequence, entry]);
  }
  return before;
}

function* withEpochs(journals: Journals, run: string, from: number, limit: number) {
  const epochs = new EpochsOf(journals, run);
  const read: [number, Entry][] = [];
  for (const pair of journals.read(run, from)) {
    epochs.learn(pair[1].epochs);
    if (read.push(pair) > limit) break;
  }
  for (const [sequence, entry] of read) yield { sequence, entry, epoch: epochs.of(sequence) };
}

/** The checkpoint that was a child's newest after these entries, unless it was pruned. */
function stateOf(
  journals: Journals,
  child: string,
  first: StartEntry,
  shared: readonly [number, Entry][],
): string | undefined {
  // A fork has its origin's state without an entry that says so.
  let number = first.from && 0;
  for (const [, entry] of shared) if (entry.kind === 'checkpoint') number = entry.checkpoint;
  if (number === undefined) return undefined;
  return CheckpointStore.of(journals.pool).info(`${ownerOf(child)}@${number}`)?.id;
}

/**
 * The sequence number of the entry of a checkpoint. Numbers of both rise together, so halving finds
 * it.
 */
function entryOf(journals: Journals, run: string, checkpoint: number): number {
  let low = 0;
  let high = (journals.last(run)?.[0] ?? 0) + 1;
  let found = 0;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const next = nextCheckpoint(journals, run, middle, high);
    if (!next || next.number >= checkpoint) {
      if (next?.number === checkpoint) found = next.sequence;
      high = middle;
    } else low = next.sequence + 1;
  }
  return found;
}

function nextCheckpoint(journals: Journals, run: string, from: number, below: number) {
  for (const [sequence, entry] of journals.read(run, from)) {
    if (sequence >= below) return undefined;
    if (entry.kind === 'checkpoint') return { sequence, number: entry.checkpoint };
  }
  return undefined;
}

function existsError(id: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_EXISTS',
    `run ${JSON.stringify(id)} is there already. Fork under an id that is free`,
    { cause },
  );
}
