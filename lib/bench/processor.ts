/**
 * How fast the processor itself is while something is timed. A virtual machine's processor is often
 * half of a core: whenever the other half works for somebody else, everything that keeps the core's
 * units busy takes up to twice as long here, for seconds, and no load of this machine shows it.
 *
 * So a loop that touches no memory is timed between the samples. It takes the same number of
 * instructions each time; what varies is the processor.
 */
import { median, quantile } from './statistics';
import type { Line, ProcessorSpeed } from './line';

const ROUNDS = 2000;
const EVERY_SAMPLES = 64;
const SHORT_SAMPLE_NS = 15_000;

/** A trial whose processor was slowed by more than this does not tell what the driver takes. */
export const SLOWED = 1.2;

/**
 * Six rows of additions that do not wait for one another: as many a cycle as the core can. What it
 * gives is where the next begins, so that none can be left out.
 */
function addUp(rounds: number, from: number): number {
  let a = from | 0;
  let b = 2;
  let c = 3;
  let d = 4;
  let e = 5;
  let f = 6;
  for (let i = 0; i < rounds; ++i) {
    a = ((a + (a << 3)) | 0) ^ i;
    b = ((b + (b << 3)) | 0) ^ i;
    c = ((c + (c << 3)) | 0) ^ i;
    d = ((d + (d << 3)) | 0) ^ i;
    e = ((e + (e << 3)) | 0) ^ i;
    f = ((f + (f << 3)) | 0) ^ i;
  }
  return a ^ b ^ c ^ d ^ e ^ f;
}

export class ProcessorProbe {
  readonly #took: number[] = [];
  #sum = 1;
  #samples = 0;

  constructor() {
    for (let i = 0; i < 200; ++i) this.#sum = addUp(ROUNDS, this.#sum); // compiled by then
  }

  /** Call it between any two samples: now and then it looks. */
  beside(): void {
    if (this.#samples++ % EVERY_SAMPLES === 0) this.look();
  }

  look(): void {
    // What was timed may have pushed the clock and the loop out of the caches.
    process.hrtime.bigint();
    this.#sum = addUp(ROUNDS, this.#sum);
    const begun = process.hrtime.bigint();
    this.#sum = addUp(ROUNDS, this.#sum);
    this.#took.push(Number(process.hrtime.bigint() - begun));
  }

  /**
   * Beside longer samples, of which `sampleNs` is the median, there are few looks, and each begins
   * in cold caches: undefined.
   */
  speed(sampleNs: number): ProcessorSpeed | undefined {
    if (this.#took.length === 0 || sampleNs > SHORT_SAMPLE_NS) return undefined;
    return speedOf('JavaScript', this.#took);
  }
}

/** `took`: nanoseconds of each look. The longest twentieth were interrupted, and do not count. */
export function speedOf(loop: ProcessorSpeed['loop'], took: readonly number[]): ProcessorSpeed {
  const sorted = [...took].sort((a, b) => a - b);
  const counted = sorted.slice(0, Math.ceil(sorted.length * 0.95));
  const ns = counted.reduce((sum, one) => sum + one, 0) / counted.length;
  return { loop, ns, least: quantile(sorted, 0.05) };
}

/** What the loops take where nobody slows the processor: the least of all trials. */
export function quickestOf(lines: readonly Line[]): ReadonlyMap<string, number> {
  const quickest = new Map<string, number>();
  for (const { result } of lines) {
    const speed = result?.latency?.processor;
    if (speed === undefined) continue;
    quickest.set(speed.loop, Math.min(speed.least, quickest.get(speed.loop) ?? Infinity));
  }
  return quickest;
}

/** How many times slower the processor was in these trials (median); undefined: nobody looked. */
export function slowedIn(
  trials: readonly Line[],
  quickest: ReadonlyMap<string, number>,
): number | undefined {
  const times = trials.flatMap(({ result }) => {
    const speed = result?.latency?.processor;
    return speed === undefined ? [] : [speed.ns / quickest.get(speed.loop)!];
  });
  return times.length === 0 ? undefined : median(times);
}
