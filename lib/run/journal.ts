/**
 * The journals of all runs of one pool, and the writer of one.
 *
 * Every transition of a run is ONE commit with two conditions: the header is as this driver left
 * it, and the entry's key is absent. A crash leaves the transition whole or not at all, and of two
 * drivers only the last to begin can record anything.
 */
import { HoldfastError } from '../errors';
import type { Batch, Keyspace, PoolCore } from '../types';
import type { Entry, RunHeader } from './entries';
import {
  entriesOf,
  entryKeyCodec,
  HEADERS_KEYSPACE,
  JOURNAL_KEYSPACE,
  STATES_KEYSPACE,
  type EntryKey,
} from './keys';

export class Journals {
  readonly headers: Keyspace<string, RunHeader>;
  readonly entries: Keyspace<EntryKey, Entry>;
  readonly states: Keyspace<string, unknown>;
  private constructor(readonly pool: PoolCore) {
    // JSON, because a header is compared byte for byte: the text of the same fields in the same
    // order is always the same.
    this.headers = pool.keyspace<string, RunHeader>(HEADERS_KEYSPACE, {
      key: 'utf8',
      value: 'json',
    });
    this.entries = pool.keyspace<EntryKey, Entry>(JOURNAL_KEYSPACE, { key: entryKeyCodec });
    this.states = pool.keyspace<string, unknown>(STATES_KEYSPACE);
  }

  static readonly #ofPool = new WeakMap<PoolCore, Journals>();

  static of(pool: PoolCore): Journals {
    let journals = Journals.#ofPool.get(pool);
    if (!journals) {
      journals = new Journals(pool);
      Journals.#ofPool.set(pool, journals);
    }
    return journals;
  }

  /** A run's entries in the order they were committed. */
  *read(run: string): IterableIterator<[sequence: number, entry: Entry]> {
    for (const [key, entry] of this.entries.range(entriesOf(run))) yield [key.sequence, entry];
  }

  last(run: string): Entry | undefined {
    for (const entry of this.entries.values({ ...entriesOf(run), reverse: true, limit: 1 }))
      return entry;
    return undefined;
  }

  first(run: string): Entry | undefined {
    return this.entries.get({ run, sequence: 0 });
  }
}

/** Appends to one run's journal on behalf of one driver. */
export class JournalWriter {
  #header: RunHeader;
  #next: number;
  #replaced = false;

  constructor(
    private readonly journals: Journals,
    private readonly run: string,
    header: RunHeader,
    nextSequence: number,
  ) {
    this.#header = header;
    this.#next = nextSequence;
  }

  /**
   * Takes the number of an entry that will be appended, for entries that contain their own number.
   */
  reserve(): number {
    return this.#next++;
  }

  async append(entry: Entry, sequence = this.reserve()): Promise<void> {
    await this.commit((batch) => {
      const key = { run: this.run, sequence };
      batch.requireAbsent(this.journals.entries, key).put(this.journals.entries, key, entry);
    });
  }

  async setState(state: unknown): Promise<void> {
    await this.commit((batch) => batch.put(this.journals.states, this.run, state));
  }

  /** The last entry, and the header that says so, together. */
  async end(entry: Entry): Promise<void> {
    const sequence = this.reserve();
    const finished: RunHeader = { ...this.#header, status: 'finished' };
    await this.commit((batch) => {
      const key = { run: this.run, sequence };
      batch.requireAbsent(this.journals.entries, key).put(this.journals.entries, key, entry);
      batch.put(this.journals.headers, this.run, finished);
    });
    this.#header = finished;
  }

  private async commit(fill: (batch: Batch) => void): Promise<void> {
    if (this.#replaced) throw this.replacedError();
    const batch = this.journals.pool.batch();
    batch.requireEqual(this.journals.headers, this.run, this.#header);
    fill(batch);
    try {
      await this.journals.pool.commit(batch);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'ERR_HOLDFAST_CONFLICT') throw error;
      this.#replaced = true;
      throw this.replacedError(error);
    }
  }

  private replacedError(cause?: unknown): HoldfastError {
    return new HoldfastError(
      'ERR_HOLDFAST_CONFLICT',
      `run ${JSON.stringify(this.run)} was ended or is driven by somebody else since; ` +
        'nothing was recorded. Open it again',
      { cause },
    );
  }
}
