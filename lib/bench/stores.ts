/**
 * Stores that are filled once per driver and then used by many trials, each a process of its own.
 * They lie beside the trials' folders under a name that says what they hold, so that a run that was
 * cut finds them again.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ON_FILLED_STORE } from './workloads';
import type { DriverAt, Group, Workload } from './line';

/**
 * Opening after a crash has a store of its own: the killed process leaves something behind each
 * time.
 */
function nameOf({ shown, medium }: DriverAt, { name, keys, bytes }: Workload): string {
  const driver = shown.replace(/[^\w]+/g, '-');
  return `holdfast-bench-filled-${driver}-${medium ?? ''}-${keys}x${bytes}${name === 'open' ? '-killed' : ''}`;
}

export class FilledStores {
  folderOf(driver: DriverAt, workload: Workload): string {
    return join(driver.place, nameOf(driver, workload), 'store');
  }

  isFilled(driver: DriverAt, workload: Workload): boolean {
    return existsSync(this.#flag(driver, workload));
  }

  begin(driver: DriverAt, workload: Workload): void {
    this.#remove(driver, workload);
    mkdirSync(this.folderOf(driver, workload), { recursive: true });
  }

  end(driver: DriverAt, workload: Workload): void {
    writeFileSync(this.#flag(driver, workload), '');
  }

  /** Removes what none of the groups still to come needs. */
  keepOnly(coming: readonly Group[]): void {
    const needed = new Set(
      pairs(coming).map(([driver, workload]) => this.folderOf(driver, workload)),
    );
    for (const [driver, workload] of this.#made) {
      if (!needed.has(this.folderOf(driver, workload))) this.#remove(driver, workload);
    }
  }

  removeAll(groups: readonly Group[]): void {
    for (const [driver, workload] of pairs(groups)) this.#remove(driver, workload);
  }

  readonly #made = new Set<readonly [DriverAt, Workload]>();

  #flag(driver: DriverAt, workload: Workload): string {
    this.#made.add([driver, workload]);
    return join(driver.place, nameOf(driver, workload), 'filled');
  }

  #remove(driver: DriverAt, workload: Workload): void {
    rmSync(join(driver.place, nameOf(driver, workload)), { recursive: true, force: true });
  }
}

function pairs(groups: readonly Group[]): (readonly [DriverAt, Workload])[] {
  return groups
    .filter(({ workload }) => ON_FILLED_STORE.has(workload.name))
    .flatMap(({ workload, drivers }) => drivers.map((driver) => [driver, workload] as const));
}
