/**
 * The system's clock, that somebody sets: sleeps may end early, or be over in another life only.
 * And the clock that never jumps, by which leases end: as if all threads had stood still, so that
 * those who drive go on while others may take their runs.
 */
const HOURS = 6;
const { now } = Date;

let latest = 0;

/** So many hours before the right time at most, which lies in the middle. */
export function setClock(hours: number): void {
  const ahead = (hours - HOURS / 2) * 3_600_000;
  latest = Math.max(latest, ahead);
  Date.now = () => now() + ahead;
}

/** So late it has been at most. */
export function latestNow(): number {
  return now() + latest;
}

export function rightClock(): void {
  Date.now = now;
  latest = 0;
}

export const CLOCK_HOURS = HOURS;

const bigint = process.hrtime.bigint.bind(process.hrtime);
let stoodStill = 0n;
process.hrtime.bigint = () => bigint() + stoodStill;

/** Every lease of so many milliseconds has run out. */
export function standStill(ms: number): void {
  stoodStill += BigInt(ms) * 1_000_000n;
}
