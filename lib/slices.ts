/**
 * Work on very many keys as commits of bounded size, so that none is too large for a pool or keeps
 * others waiting. A crash leaves the first of them made: the work is one that can be done again.
 */
import { native } from './native-binding';
import type { Batch, PoolCore } from './types';

const operations = 2048;

/** Adds something to a commit. */
export type Change = (batch: Batch) => void;
/** Adds conditions to a commit. */
export type Guard = (batch: Batch) => unknown;

export class Slices {
  /** To be added to. */
  batch: Batch;
  readonly #pool: PoolCore;
  readonly #guard: Guard | undefined;
  /** Of what is in the batch. */
  readonly #guards = new Set<Guard>();

  /** Each commit is made under the conditions that `guard` adds. */
  constructor(pool: PoolCore, guard?: Guard) {
    this.#pool = pool;
    this.#guard = guard;
    this.batch = pool.batch();
  }

  /** What is added next is committed under the conditions that these add, each once a commit. */
  under(...guards: readonly Guard[]): Batch {
    for (const guard of guards) {
      if (this.#guards.has(guard)) continue;
      this.#guards.add(guard);
      guard(this.batch);
    }
    return this.batch;
  }

  /** Commits what has gathered, once it is a slice. */
  async cut(): Promise<void> {
    if (this.batch.length >= operations) await this.end();
  }

  /** Has the batch room for so many more? */
  hasRoom(more: number): boolean {
    return this.batch.length + more <= operations;
  }

  /** Commits what has gathered. */
  async end(): Promise<void> {
    this.#guards.clear();
    if (this.batch.length === 0) return;
    this.#guard?.(this.batch);
    await this.#pool.commit(this.batch);
    this.batch = this.#pool.batch();
  }
}

/**
 * Lets the event loop do what else there is: commits alone do not give timers and sockets their
 * turn each time.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => void native.setImmediate(resolve));
}
