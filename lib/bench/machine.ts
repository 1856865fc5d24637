/** Facts about where a trial ran, and what the kernel counted for this process. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';

import { probe } from '../index';
import type { Machine } from './line';

export function machine(): Machine {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    load: Number(os.loadavg()[0]!.toFixed(2)),
  };
}

export function fileSystemOf(folder: string): string {
  return probe(join(folder, 'holdfast-bench-probe')).fileSystem;
}

/**
 * What is measured: the source's commit, or the package's version where it is installed in a
 * project of somebody else's.
 */
export function commitOf(root: string): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', root, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    if (realpathSync(git('rev-parse', '--show-toplevel')) !== realpathSync(root))
      throw new Error('another repository');
    return (
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', '-uno') === '' ? '' : '+changes')
    );
  } catch {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    return `v${manifest.version}`;
  }
}

/**
 * Bytes that were sent to the device under a folder, by anybody: other work on the machine counts
 * too, so take the least of several windows. What the kernel counts per process cannot be used: it
 * counts whole page-cache folios, up to 1 MiB, for each page that became dirty. Undefined where
 * there is no such device (tmpfs) or the kernel does not tell.
 */
export function deviceBytes(folder: string): number | undefined {
  const { dev } = statSync(folder);
  const major = Math.floor(dev / 256) & 0xfff;
  const minor = (dev & 0xff) | (Math.floor(dev / 4096) & 0xfff00);
  try {
    const fields = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, 'utf8')
      .trim()
      .split(/\s+/);
    return Number(fields[6]) * 512;
  } catch {
    return undefined; // not on a block device
  }
}

/**
 * Bytes of anonymous memory of this process: what it allocated, and pages of private mappings it
 * changed. Pages of a file that it only maps are the page cache's and can be dropped; smaps calls
 * them private too when nobody else maps them.
 */
export function anonymousBytes(): number {
  const text = readFileSync('/proc/self/smaps_rollup', 'utf8');
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) * 1024;
}

/** Bytes a folder's files take on their device. */
export function takenBytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    bytes += entry.isDirectory() ? takenBytes(path) : statSync(path).blocks * 512;
  }
  return bytes;
}
