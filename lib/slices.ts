/**
 * Work on very many keys as commits of bounded size, so that none is too large for a pool or keeps
 * others waiting. A crash leaves the first of them made: the work is one that can be done again.
 */
import type { Batch, PoolCore } from './types';

const operations = 2048;

export class Slices {
  /** To be added to. */
  batch: Batch;
  readonly #pool: PoolCore;
  readonly #guard: ((batch: Batch) => unknown) | undefined;

  /** Each commit is made under the conditions that `guard` adds. */
  constructor(pool: PoolCore, guard?: (batch: Batch) => unknown) {
    this.#pool = pool;
    this.#guard = guard;
    this.batch = pool.batch();
  }

  /** Commits what has gathered, once it is a slice. */
  async cut(): Promise<void> {
    if (this.batch.length >= operations) await this.end();
  }

  /** Commits what has gathered. */
  async end(): Promise<void> {
    if (this.batch.length === 0) return;
    this.#guard?.(this.batch);
    await this.#pool.commit(this.batch);
    this.batch = this.#pool.batch();
  }
}
