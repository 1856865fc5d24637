/**
 * When to kill: N moments spread over the whole job, so that every one of them hits a living
 * driver. A seed decides.
 *
 * A moment is tied to progress (how many messages are committed), not to the clock, so a slow
 * machine is killed as often as a quick one; the clock only decides where inside the driver's work
 * it lands.
 */

export type KillKind =
  /** At any instant: in a commit, between two, while continuing. */
  | 'moment'
  /** In an effect's middle: asked for, not yet performed. */
  | 'effect-before'
  /** In an effect's middle: performed, not yet acknowledged. */
  | 'effect-after'
  /** While the process starts and opens the pool. */
  | 'open';

export interface Kill {
  readonly kind: KillKind;
  /** Not before this many messages are committed. */
  readonly after: number;
  /**
   * If it aims at an effect and none comes within so many more messages, it is carried out at any
   * moment instead.
   */
  readonly patience: number;
  /** 0 to 1: where in the span its kind allows. */
  readonly fraction: number;
}

/** A small generator of numbers from 0 to 1; the same seed gives the same numbers everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/**
 * Every six kills are these, in an order of their own, so that also a short plan has some of each.
 */
const ROUND: readonly KillKind[] = [
  'moment',
  'effect-after',
  'moment',
  'open',
  'effect-before',
  'moment',
];
/**
 * The job's last messages are left in peace, since a kill that waits for them could come too late;
 * effects a little longer.
 */
const QUIET_MESSAGES = 20;
const QUIET_SHARE_AT_MOST = 0.15;
const QUIET_SHARE_FOR_EFFECTS = 0.1;
const PATIENCE_AT_LEAST = 10;

export interface KilledJob {
  readonly kills: number;
  readonly seed: number;
  readonly messages: number;
  readonly effects: number;
}

/** Hands out one kill after the other, each placed in what is left of the job at that time. */
export class KillPlan {
  #left: number;
  #again: Kill | undefined;
  #round: KillKind[] = [];
  readonly #random: () => number;

  constructor(private readonly job: KilledJob) {
    this.#left = job.kills;
    this.#random = randomFrom(job.seed);
  }

  get left(): number {
    return this.#left;
  }

  next(committed: number): Kill | undefined {
    if (this.#left === 0) return undefined;
    this.#left -= 1;
    const again = this.#again;
    this.#again = undefined;
    return again ?? this.place(committed);
  }

  /**
   * The job ended before this kill came: from now on it aims at a process that opens the finished
   * pool, and earlier.
   */
  missed(kill: Kill): void {
    this.#left += 1;
    this.#again = { ...kill, kind: 'open', fraction: kill.fraction * 0.9 };
  }

  private place(committed: number): Kill {
    const { messages, effects } = this.job;
    const quiet = Math.min(QUIET_MESSAGES, QUIET_SHARE_AT_MOST * messages);
    // Between now and twice the mean distance, so that what is left of the plan reaches to the end
    // of the job.
    const distance = (2 * Math.max(0, messages - quiet - committed)) / (this.#left + 1);
    const after = Math.floor(committed + this.#random() * distance);
    const mayHitEffect = effects > 0 && after < (1 - QUIET_SHARE_FOR_EFFECTS) * messages;
    const drawn = this.drawKind();
    const kind = drawn.startsWith('effect') && !mayHitEffect ? 'moment' : drawn;
    const patience = Math.max(PATIENCE_AT_LEAST, Math.ceil(distance));
    return { kind, after, patience, fraction: this.#random() };
  }

  private drawKind(): KillKind {
    if (this.#round.length === 0) this.#round = [...ROUND];
    const [kind] = this.#round.splice(Math.floor(this.#random() * this.#round.length), 1);
    return kind as KillKind;
  }
}
