/**
 * Deaths at any moment, in one process: a handle of a pool that is dead makes no further commit and
 * gets no answer, as if its thread or process had been killed there. What it drives is not given
 * back, its leases stay, and what its code calls waits for ever. The pool itself closes behind it;
 * what a crash leaves of a pool is other tests' affair.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import { Committer } from '../../../lib/committer';
import { type Holdfast, HoldfastError, openSync } from '../../../lib/index';
import { Pool } from '../../../lib/pool';

/** Something that a death may come before or behind. */
export type Moment = 'commit' | 'committed' | 'outside';

type Dies = (moment: Moment) => boolean;

export class Mortal {
  readonly pool: Holdfast;
  dead = false;
  #tell!: (error: Died) => void;
  readonly #died = new Promise<never>((_resolve, reject) => (this.#tell = reject));

  /** `dies` is asked at each moment. */
  constructor(
    path: string,
    lease: number,
    private readonly dies: Dies,
  ) {
    this.#died.catch(() => {});
    this.pool = openSync(path, { medium: 'file', lease });
    mortals.set(committerOf(this.pool), this);
    const sync = this.pool.commitSync.bind(this.pool);
    this.pool.commitSync = (...given) => {
      this.at('commit');
      if (this.dead) throw new Died();
      if (isFull()) {
        given[0].clear();
        throw fullError();
      }
      const receipt = sync(...given);
      this.at('committed');
      return receipt;
    };
  }

  /** Never comes back where it died. */
  async outside(): Promise<void> {
    this.at('outside');
    if (this.dead) await forever;
  }

  /** For who outlives it: `Died` is thrown when it dies first. */
  async orDied<T>(value: Promise<T>): Promise<T> {
    return Promise.race([this.living(value), this.#died]);
  }

  /** For what an await has brought. */
  async living<T>(value: Promise<T>): Promise<T> {
    try {
      return await value;
    } finally {
      if (this.dead) await forever;
    }
  }

  at(moment: Moment): void {
    if (!this.dead && this.dies(moment)) this.kill();
  }

  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.#tell(new Died());
    Pool.prototype.closeSync.call(this.pool);
  }
}

/** For who must not wait for ever. */
export class Died extends Error {}

/** Who is called within it finds the pool full where the function says so. */
export const full = new AsyncLocalStorage<() => boolean>();

const isFull = (): boolean => full.getStore()?.() ?? false;

const fullError = () => new HoldfastError('ERR_HOLDFAST_POOL_FULL', 'busy: full');

const forever = new Promise<never>(() => {});
const mortals = new WeakMap<object, Mortal>();

const { commit, flush } = Committer.prototype;
Committer.prototype.commit = function (this: Committer, ...given) {
  const mortal = mortals.get(this);
  if (!mortal) return commit.apply(this, given);
  mortal.at('commit');
  if (mortal.dead) {
    // Who gave it takes it for used, and uses it again.
    given[0].clear();
    return forever;
  }
  if (isFull()) {
    given[0].clear();
    return Promise.reject(fullError());
  }
  const made = commit.apply(this, given);
  const then = (receipt: Awaited<typeof made>) => {
    mortal.at('committed');
    return mortal.dead ? forever : receipt;
  };
  return made instanceof Promise
    ? made.then(then, (error: unknown) => {
        if (mortal.dead) return forever;
        throw error;
      })
    : then(made);
};

function committerOf(pool: Holdfast): object {
  let found: object | undefined;
  Committer.prototype.flush = function (this: Committer) {
    found ??= this;
    return flush.call(this);
  };
  pool.settled().catch(() => {});
  Committer.prototype.flush = flush;
  return found!;
}
