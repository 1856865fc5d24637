/**
 * The workloads by name and size, how large they are in a quick, a usual and a full run, and about
 * how long that takes.
 */
import type { Workload } from './line';

export type Extent = 'quick' | 'usual' | 'full';

/**
 * What kind of place it runs on: a disk takes less often what memory takes a hundred thousand times
 * a second.
 */
export type On = 'pmem' | 'disk';

const KIB = 1024;
const MIB = KIB * KIB;
/** Trials of one driver may write so much before they are timed. */
const PREFILL_BYTES = { pmem: 512 * MIB, disk: 48 * MIB } as const;

export function sizeText(bytes: number): string {
  if (bytes >= MIB) return `${bytes / MIB} MiB`;
  return bytes >= KIB ? `${bytes / KIB} KiB` : `${bytes} B`;
}

function countText(count: number): string {
  return count >= 1e6 ? `${count / 1e6} million` : count.toLocaleString('en');
}

const perExtent = <T>(extent: Extent, quick: T, usual: T, full: T): T =>
  ({ quick, usual, full })[extent];

class Plan {
  readonly all: Workload[] = [];

  constructor(
    private readonly extent: Extent,
    private readonly on: On | undefined,
    private readonly budgetMs: number,
  ) {}

  add(name: string, label: string, given: Partial<Workload>): void {
    const { on, budgetMs } = this;
    const usual = { bytes: 256, keys: 1000, inFlight: 1, steps: 0, budgetMs };
    const place = on === undefined ? { label } : { on, label: `${on}: ${label}` };
    this.all.push({ name, ...place, ...usual, ...given });
  }

  commits(): void {
    const { extent, on = 'disk' } = this;
    const sizes = [64, 256, KIB, 4 * KIB, 64 * KIB, MIB];
    for (const bytes of perExtent(extent, [256, 4 * KIB], sizes, sizes)) {
      const keys = Math.min(
        perExtent(extent, 10_000, 100_000, 100_000),
        Math.floor(PREFILL_BYTES[on] / bytes),
      );
      this.add('commit', `commit of ${sizeText(bytes)}`, { bytes, keys });
    }
    this.add('batch', 'batch of 100 keys of 256 B', { keys: 100 });
    for (const inFlight of perExtent(extent, [1, 64], [1, 8, 64, 512], [1, 8, 64, 512])) {
      this.add('inFlight', `${inFlight} commit${inFlight === 1 ? '' : 's'} of 256 B in flight`, {
        inFlight,
      });
    }
  }

  reads(): void {
    type Filled = readonly [bytes: number, keys: number];
    const usual: Filled[] = [
      [256, 100_000],
      [256, 1_000_000],
      [4 * KIB, 100_000],
    ];
    for (const [bytes, keys] of perExtent<Filled[]>(this.extent, [[256, 20_000]], usual, [
      ...usual,
      [4 * KIB, 1_000_000],
    ])) {
      const of = `${sizeText(bytes)} of ${countText(keys)}`;
      this.add('getHot', `read ${of}, 1,000 hot keys`, { bytes, keys });
      this.add('getRandom', `read ${of}, random`, { bytes, keys });
      this.add('range', `range of 1,000 x ${of}`, { bytes, keys });
      if (keys === 1_000_000 && bytes === 256)
        this.add('memory', `memory with ${countText(keys)} keys of 256 B`, { bytes, keys });
    }
  }

  openings(): void {
    const usual = [1, 100_000, 1_000_000];
    for (const keys of perExtent(this.extent, [20_000], usual, [...usual, 10_000_000])) {
      this.add(
        'open',
        `open to first read after SIGKILL, ${keys === 1 ? 'one key' : `${countText(keys)} keys`}`,
        { keys },
      );
    }
  }

  spaces(): void {
    const { extent, on } = this;
    const [keys, fewer] = perExtent(
      extent,
      [20_000, 2000],
      [1_000_000, 100_000],
      [1_000_000, 100_000],
    );
    this.add(
      'space',
      `space of ${countText(keys)} x 256 B, ${countText(fewer)} of them overwritten 20 times`,
      { keys, overwritten: fewer },
    );
    if (extent === 'quick') return;
    this.add('space', `space of ${countText(fewer)} x 256 B, all overwritten 20 times`, {
      keys: fewer,
      overwritten: fewer,
    });
    const [fixedBytes, steps, budgetMs] =
      on === 'pmem' ? [256 * MIB, 600_000, 60_000] : [128 * MIB, 250_000, 60_000];
    this.add('cleaner', `overwriting at 85 % live, ${sizeText(fixedBytes)}`, {
      bytes: KIB,
      keys: 0,
      steps,
      fixedBytes,
      budgetMs,
    });
  }

  agents(): void {
    const { extent } = this;
    const steps = perExtent(extent, 100, 500, 500);
    this.add('agent', `agent, ${steps} steps of 2 KiB`, { bytes: 2 * KIB, steps });
    if (extent !== 'quick')
      this.add('langgraph', 'LangGraph, 800 steps of 2 KiB', { bytes: 2 * KIB, steps: 800 });
    for (const bytes of perExtent(extent, [64], [4, 64, 1024], [4, 64, 1024])) {
      this.add('state', `state of ${sizeText(bytes * KIB)}, 1 KiB changed`, { bytes: bytes * KIB });
    }
    if (extent !== 'quick') this.add('replay', 'the main job: replay with 20 kills', {});
  }
}

export function workloadsOf(extent: Extent, on?: On): Workload[] {
  const plan = new Plan(extent, on, perExtent(extent, 150, 400, 2000));
  plan.commits();
  plan.reads();
  plan.openings();
  plan.spaces();
  plan.agents();
  return plan.all;
}

/**
 * Seconds a trial takes, roughly, on a machine like those it was written on; a fill is shared by
 * the rounds.
 */
export function guessedSeconds(
  { name, keys, bytes, steps, budgetMs }: Workload,
  rounds: number,
): number {
  const filling = (keys * (bytes + 100)) / 150e6;
  const timed = (1.3 * budgetMs) / 1000;
  if (name === 'commit') return 0.4 + filling + timed;
  if (name === 'memory' || name === 'open') return 1.2 + filling / rounds;
  if (['getHot', 'getRandom', 'range'].includes(name)) return 0.6 + timed + filling / (3 * rounds);
  if (name === 'space') return 3 + filling * 3;
  if (name === 'cleaner') return 25;
  if (name === 'agent') return 0.5 + steps / 1000;
  if (name === 'langgraph') return 1 + steps / 250;
  return name === 'replay' ? 15 : 0.4 + timed;
}
