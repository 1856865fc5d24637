/** A run's checkpoints: its state as it was, each in one commit with the entry that says so. */
import { CheckpointStore, type CheckpointInfo, type SaveOptions } from '../checkpoint/index';
import { isConflict, typeError } from '../errors';
import { shown } from '../options';
import type { CheckpointReceipt } from './types';
import type { Batch, PoolCore } from '../types';
import { Journals } from './journals';
import type { JournalWriter } from './writer';

const OWNER_PREFIX = 'run/';
const MAX_TRIES = 8;

export function ownerOf(run: string): string {
  return `${OWNER_PREFIX}${run}`;
}

/** The run of a checkpoint and its number there. */
export function placeOf(checkpoint: string): { run: string; number: number } {
  const end = typeof checkpoint === 'string' ? checkpoint.lastIndexOf('@') : -1;
  const number = end < 0 ? NaN : Number(checkpoint.slice(end + 1));
  if (!Number.isSafeInteger(number) || !checkpoint.startsWith(OWNER_PREFIX))
    throw typeError(`${shown(checkpoint)} is no run's checkpoint (such as "run/trip-42@3"); history() and \`holdfast history\` list them`);
  return { run: checkpoint.slice(OWNER_PREFIX.length, end), number };
}

/** The checkpoints of one run on behalf of its driver. */
export class Checkpoints {
  // A store of its own: what another driver saved meanwhile is then not taken for this one's.
  readonly #store: CheckpointStore;
  #state: unknown;
  #loaded = false;

  constructor(
    private readonly pool: PoolCore,
    private readonly run: string,
  ) {
    this.#store = new CheckpointStore(pool);
  }

  /** Of the newest checkpoint. Read when somebody asks. */
  get state(): unknown {
    if (!this.#loaded && !this.pool.closed) {
      const newest = this.#store.newest(ownerOf(this.run));
      this.#state = newest
        ? this.#store.load(newest.id)
        : Journals.of(this.pool).states.get(this.run);
      this.#loaded = true;
    }
    return this.#state;
  }

  save(writer: JournalWriter, state: unknown, options: SaveOptions): Promise<CheckpointReceipt> {
    const owner = ownerOf(this.run);
    return this.commit(writer, options.label, (batch) => ({ info: this.#store.save(batch, owner, state, options), value: state }));
  }

  async restore(writer: JournalWriter, checkpoint: string): Promise<CheckpointReceipt> {
    if (placeOf(checkpoint).run !== this.run)
      throw typeError(`${checkpoint} is not of run ${JSON.stringify(this.run)}; fork it instead`);
    return this.commit(writer, undefined, (batch) => this.#store.restore(checkpoint, batch));
  }

  private async commit(
    writer: JournalWriter,
    label: string | undefined,
    add: (batch: Batch) => { info: CheckpointInfo; value: unknown },
  ): Promise<CheckpointReceipt> {
    for (let tries = 1; ; tries += 1) {
      let added: ReturnType<typeof add> | undefined;
      try {
        const { epoch, durability, class: survives } = await writer.build((batch) => {
          added = add(batch);
          const { sequence } = added.info;
          return label === undefined ? { kind: 'checkpoint', checkpoint: sequence } : { kind: 'checkpoint', checkpoint: sequence, label };
        });
        const { info, value } = added!;
        this.#store.committed(info);
        this.#state = value;
        this.#loaded = true;
        return { epoch, durability, class: survives, checkpoint: info.id };
      } catch (error) {
        // What it builds on was pruned meanwhile, or a save beside it took its number: once more, on what is there now.
        const conflict = isConflict(error);
        if (!conflict || tries >= MAX_TRIES) throw error;
      }
    }
  }
}
