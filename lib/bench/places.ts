/**
 * How Holdfast and the raw floor are put on a place, for `holdfast bench` and for the repository's
 * own benchmark.
 */
import { join, resolve } from 'node:path';

import { probe } from '../index';
import type { DriverAt } from './line';

/** For sentences: the folder as it was given, but `.` and the like by their whole path. */
export function nameOfPlace(folder: string): string {
  return /^[./]+$/.test(folder) ? resolve(folder) : folder;
}

/** Holdfast on a place, on the medium that it would take there by itself or the one asked for. */
export function holdfastAt(
  place: string,
  shown: string,
  medium: DriverAt['medium'] = 'auto',
  name = 'holdfast',
): DriverAt {
  return { name, shown, module: join(__dirname, 'holdfast-driver.js'), place, medium };
}

export function floorAt(place: string, shown: string): DriverAt {
  return {
    name: 'raw write + fdatasync',
    shown,
    module: join(__dirname, 'floor-driver.js'),
    place,
  };
}

export interface PlaceWords {
  readonly medium: 'pmem' | 'file';
  readonly class: string;
  readonly fileSystem: string;
  readonly reason: string;
}

export function placeWords(folder: string): PlaceWords {
  const report = probe(join(folder, 'holdfast-bench-probe'));
  return {
    medium: report.choice === 'pmem' ? 'pmem' : 'file',
    class: report.durability,
    fileSystem: report.fileSystem,
    reason: report.reason,
  };
}
