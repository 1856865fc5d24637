/** Looks into the lines of a run: the median over the trials of one driver in one workload. */
import { median } from './statistics';
import type { Line } from './line';

/** What of a line is meant. */
export type Of = (line: Line) => number | undefined;

/** Which lines of a workload are meant. */
export type Given = Partial<Pick<Line, 'bytes' | 'keys' | 'inFlight' | 'counted'>>;

export interface Best {
  readonly driver: string;
  readonly value: number;
}

/** NaN stands for what was not measured. */
export class LineMedians {
  constructor(private readonly lines: readonly Line[]) {}

  median(workload: string, driver: string, of: Of, given: Given = {}): number {
    const wanted = Object.entries({ workload, driver, ...given });
    const found = this.lines.filter((line) =>
      wanted.every(([name, value]) => line[name as keyof Line] === value),
    );
    return median(found.flatMap((line) => of(line) ?? []));
  }

  ratio(workload: string, top: string, below: string, of: Of, given: Given = {}): number {
    return this.median(workload, top, of, given) / this.median(workload, below, of, given);
  }

  least(workload: string, drivers: readonly string[], of: Of, given: Given = {}): Best {
    return this.#sorted(workload, drivers, of, given)[0] ?? NOBODY;
  }

  most(workload: string, drivers: readonly string[], of: Of, given: Given = {}): Best {
    return this.#sorted(workload, drivers, of, given).at(-1) ?? NOBODY;
  }

  #sorted(workload: string, drivers: readonly string[], of: Of, given: Given): Best[] {
    return drivers
      .map((driver) => ({ driver, value: this.median(workload, driver, of, given) }))
      .filter(({ value }) => !Number.isNaN(value))
      .sort((a, b) => a.value - b.value);
  }
}

const NOBODY: Best = { driver: 'no peer', value: Number.NaN };
