/** The workloads by name and size, and how large they are in a quick, a usual and a full run. */
import type { Workload } from './line';

export type Extent = 'quick' | 'usual' | 'full';

const KIB = 1024;

export function sizeText(bytes: number): string {
  if (bytes >= KIB * KIB) return `${bytes / KIB / KIB} MiB`;
  return bytes >= KIB ? `${bytes / KIB} KiB` : `${bytes} B`;
}

export function countText(count: number): string {
  return count >= 1e6 ? `${count / 1e6} million` : count.toLocaleString('en');
}

function workload(name: string, label: string, given: Partial<Workload>): Workload {
  return { name, label, bytes: 256, keys: 1000, inFlight: 1, steps: 0, budgetMs: 300, ...given };
}

const perExtent = <T>(extent: Extent, quick: T, usual: T, full: T): T => ({ quick, usual, full })[extent];

export function workloadsOf(extent: Extent): Workload[] {
  const budgetMs = perExtent(extent, 150, 400, 2000);
  const sizes = perExtent(extent, [256, 4 * KIB], [64, 256, KIB, 4 * KIB, 64 * KIB], [64, 256, KIB, 4 * KIB, 64 * KIB, KIB * KIB]);
  const filled = perExtent(extent, [20_000], [100_000], [100_000, 1_000_000]);
  const valueSizes = perExtent(extent, [256], [256, 4 * KIB], [256, 4 * KIB]);
  const all: Workload[] = [];
  for (const bytes of sizes) all.push(workload('commit', `commit of ${sizeText(bytes)}`, { bytes, budgetMs }));
  all.push(workload('batch', 'batch of 100 keys of 256 B', { keys: 100, budgetMs }));
  for (const inFlight of perExtent(extent, [1, 64], [1, 8, 64, 512], [1, 8, 64, 512])) {
    all.push(workload('inFlight', `${inFlight} commits of 256 B in flight`, { inFlight, budgetMs }));
  }
  for (const keys of filled) {
    for (const bytes of valueSizes) {
      const of = `${sizeText(bytes)} of ${countText(keys)}`;
      all.push(workload('getHot', `read ${of}, 1,000 hot keys`, { bytes, keys, budgetMs }));
      all.push(workload('getRandom', `read ${of}, random`, { bytes, keys, budgetMs }));
      all.push(workload('range', `range of 1,000 x ${of}`, { bytes, keys, budgetMs }));
    }
  }
  for (const keys of perExtent(extent, [20_000], [100_000], [100_000, 1_000_000, 10_000_000])) {
    all.push(workload('open', `open to first read after SIGKILL, ${countText(keys)} keys`, { keys }));
  }
  all.push(workload('space', `space of ${countText(filled.at(-1)!)} x 256 B`, { keys: filled.at(-1)! }));
  const steps = perExtent(extent, 100, 500, 800);
  all.push(workload('agent', `agent, ${steps} steps of 2 KiB`, { bytes: 2 * KIB, steps }));
  for (const bytes of perExtent(extent, [64], [4, 64, 1024], [4, 64, 1024])) {
    all.push(workload('state', `state of ${sizeText(bytes * KIB)}, 1 KiB changed`, { bytes: bytes * KIB, budgetMs }));
  }
  return all;
}
