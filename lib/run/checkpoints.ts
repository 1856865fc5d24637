/** A run's checkpoints: its state as it was, each in one commit with the entry that says so. */
import { CheckpointStore, type CheckpointInfo, type SaveOptions } from '../checkpoint/index';
import { isConflict, typeError } from '../errors';
import { shown } from '../options';
import type { CheckpointReceipt } from './types';
import type { Batch, CommitReceipt, PoolCore } from '../types';
import { Journals } from './journals';
import type { JournalWriter, NewEntry } from './writer';

const OWNER_PREFIX = 'run/';
const MAX_TRIES = 8;

export function ownerOf(run: string): string {
  return `${OWNER_PREFIX}${run}`;
}

/** Undefined: it is none of a run. */
export function runOf(owner: string): string | undefined {
  return owner.startsWith(OWNER_PREFIX) ? owner.slice(OWNER_PREFIX.length) : undefined;
}

/** The run of a checkpoint and its number there. */
export function placeOf(checkpoint: string): { run: string; number: number } {
  const end = typeof checkpoint === 'string' ? checkpoint.lastIndexOf('@') : -1;
  const number = end < 0 ? NaN : Number(checkpoint.slice(end + 1));
  if (!Number.isSafeInteger(number) || !checkpoint.startsWith(OWNER_PREFIX))
    throw typeError(
      `${shown(checkpoint)} is no run's checkpoint (such as "run/trip-42@3"); history() and \`holdfast history\` list them`,
    );
  return { run: checkpoint.slice(OWNER_PREFIX.length, end), number };
}

/** The checkpoints of one run on behalf of its driver. */
export class Checkpoints {
  // A store of its own: what another driver saved meanwhile is then not taken for this one's.
  readonly #store: CheckpointStore;
  /** Made once: a text that was put together is looked through each time it is looked up. */
  readonly #owner: string;
  #state: unknown;
  #loaded = false;

  constructor(
    private readonly pool: PoolCore,
    private readonly run: string,
  ) {
    this.#store = new CheckpointStore(pool);
    this.#owner = ownerOf(run);
  }

  /** Of the newest checkpoint. Read when somebody asks. */
  get state(): unknown {
    if (!this.#loaded) {
      const newest = this.#store.newest(this.#owner);
      this.#state = newest
        ? this.#store.load(newest.id)
        : Journals.of(this.pool).states.get(this.run);
      this.#loaded = true;
    }
    return this.#state;
  }

  /** Not asynchronous where its commit is made in the call. */
  save(
    writer: JournalWriter,
    state: unknown,
    options: SaveOptions,
  ): CheckpointReceipt | Promise<CheckpointReceipt> {
    return this.commit(writer, options.label, (batch) => ({
      info: this.#store.save(batch, this.#owner, state, options),
      value: state,
    }));
  }

  async restore(writer: JournalWriter, checkpoint: string): Promise<CheckpointReceipt> {
    if (placeOf(checkpoint).run !== this.run)
      throw typeError(`${checkpoint} is not of run ${JSON.stringify(this.run)}; fork it instead`);
    return this.commit(writer, undefined, (batch) => this.#store.restore(checkpoint, batch));
  }

  private commit(
    writer: JournalWriter,
    label: string | undefined,
    add: (batch: Batch) => { info: CheckpointInfo; value: unknown },
    tries = 1,
  ): CheckpointReceipt | Promise<CheckpointReceipt> {
    // What it builds on was pruned meanwhile, or a save beside it took its number: once more, on
    // what is there now.
    const again = (error: unknown): CheckpointReceipt | Promise<CheckpointReceipt> => {
      if (!isConflict(error) || tries >= MAX_TRIES) throw error;
      return this.commit(writer, label, add, tries + 1);
    };
    try {
      const batch = writer.begin();
      const { info, value } = add(batch);
      const { sequence } = info;
      const entry: NewEntry =
        label === undefined
          ? { kind: 'checkpoint', checkpoint: sequence }
          : { kind: 'checkpoint', checkpoint: sequence, label };
      const outcome = writer.finish(batch, entry, info.at);
      const done = (receipt: CommitReceipt): CheckpointReceipt => this.saved(info, value, receipt);
      return outcome instanceof Promise ? outcome.then(done, again) : done(outcome);
    } catch (error) {
      return again(error);
    }
  }

  private saved(
    info: CheckpointInfo,
    value: unknown,
    { epoch, durability, class: survives }: CommitReceipt,
  ): CheckpointReceipt {
    this.#store.committed(info);
    this.#state = value;
    this.#loaded = true;
    return { epoch, durability, class: survives, checkpoint: info.id };
  }
}
