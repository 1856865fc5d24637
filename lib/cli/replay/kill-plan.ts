/**
 * When to kill: N moments spread over the whole job by a seed, so that every one of them hits a living driver.
 *
 * A moment is tied to progress (how many messages are committed), not to the clock, so a slow machine is killed as often as
 * a quick one; the clock only decides where inside the driver's work it lands.
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

/** A third of the kills in the middle of effects, a sixth in starts, the rest at any moment. */
const EFFECT_SHARE = 1 / 3;
const OPEN_SHARE = 1 / 6;
/** The job's last messages are left in peace, since a kill that waits for them could come too late; effects a little longer. */
const QUIET_MESSAGES = 20;
const QUIET_SHARE_AT_MOST = 0.25;
const QUIET_SHARE_FOR_EFFECTS = 0.1;

export function planKills(job: { kills: number; seed: number; messages: number; effects: number }): Kill[] {
  const random = randomFrom(job.seed);
  const kills: Kill[] = [];
  const planned = job.messages - Math.min(QUIET_MESSAGES, QUIET_SHARE_AT_MOST * job.messages);
  for (let i = 0; i < job.kills; i++) {
    const after = Math.floor(random() * planned);
    const share = random();
    const mayHitEffect = job.effects > 0 && after < (1 - QUIET_SHARE_FOR_EFFECTS) * job.messages;
    let kind: KillKind = 'moment';
    if (share < OPEN_SHARE) kind = 'open';
    else if (share < OPEN_SHARE + EFFECT_SHARE && mayHitEffect) {
      kind = random() < 0.5 ? 'effect-before' : 'effect-after';
    }
    kills.push({ kind, after, fraction: random() });
  }
  return kills.sort((a, b) => a.after - b.after);
}
