/**
 * Waking those who wait in a pool when it may have changed by another thread: one timer for all of
 * them, which runs while there are any.
 *
 * Where nothing was committed nobody is woken, so runs that wait cost nothing but that timer. In a
 * busy pool they are woken in rounds, `MOST_AT_ONCE` a look: however many wait, the thread has time
 * for something else. A wait that ends only by the clock is looked at anew when that was set. The
 * closing of a pool wakes all: they read it, and are told.
 */
import type { PoolCore } from '../types';

const LOOK_EVERY_MS = 50;
const MOST_AT_ONCE = 256;
/** By which the two clocks may differ from one look to the next, of which one may be set. */
const CLOCK_SLACK_MS = 20;

export type Wake = () => void;

export class Looks {
  readonly #waiting = new Set<Wake>();
  #timer: NodeJS.Timeout | undefined;
  /** Who is still to be woken in this round. */
  #round: Wake[] = [];
  /** As of which the newest round was begun. */
  #epoch = -1;
  #clock = 0;

  static readonly #ofPool = new WeakMap<PoolCore, Looks>();

  static of(pool: PoolCore): Looks {
    let looks = Looks.#ofPool.get(pool);
    if (looks === undefined) Looks.#ofPool.set(pool, (looks = new Looks(pool)));
    return looks;
  }

  private constructor(private readonly pool: PoolCore) {}

  /** `wake` is called at most once a look, until it is deleted. */
  add(wake: Wake): void {
    this.#waiting.add(wake);
    if (this.#timer !== undefined) return;
    this.#clock = clock();
    this.#lookLater();
  }

  delete(wake: Wake): void {
    this.#waiting.delete(wake);
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#round = [];
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => this.#look(), LOOK_EVERY_MS);
  }

  #look(): void {
    this.#lookLater();
    const epoch = this.#epochNow();
    const clockNow = clock();
    const set = Math.abs(clockNow - this.#clock) > CLOCK_SLACK_MS;
    this.#clock = clockNow;
    if (set || epoch === undefined) this.#round = [...this.#waiting];
    else if (this.#round.length === 0 && epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#round = [...this.#waiting];
    }
    const most = epoch === undefined ? this.#round.length : MOST_AT_ONCE;
    for (const wake of this.#round.splice(0, most)) if (this.#waiting.has(wake)) wake();
  }

  /** Nothing: the pool is closed, or has failed. */
  #epochNow(): number | undefined {
    try {
      return this.pool.refreshSync();
    } catch {
      return undefined;
    }
  }
}

/** Stands still but for when the system's clock is set. */
function clock(): number {
  return Date.now() - performance.now();
}
