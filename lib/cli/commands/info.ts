/** `holdfast info`: what is in a pool, at a glance. */
import type { Command } from 'commander';

import type { PoolStats } from '../../types';
import { bytesText, Output } from '../output';
import { withReader } from '../with-pool';

/** A pool that grows by itself has a capacity no disk has. */
const GROWS_BYTES = 2 ** 60;

function sizeText(taken: number, capacity: number): string {
  return capacity >= GROWS_BYTES
    ? `${bytesText(taken)}, grows by itself`
    : `${bytesText(taken)} taken of ${bytesText(capacity)}`;
}

/** Who else reads the pool, and what that holds back. Only a writer knows how much. */
function readerRows(readOnly: boolean, stats: PoolStats): [string, string][] {
  const rows: [string, string][] = [];
  if (readOnly)
    rows.push(['read', 'beside the process that has it open, or without the right to write it']);
  if (stats.readers > 0)
    rows.push([
      'readers',
      `${stats.readers}; furthest behind: process ${stats.oldestReaderPid} at epoch ${stats.oldestReaderEpoch}`,
    ]);
  return rows;
}

export function addInfo(program: Command): void {
  program
    .command('info <pool>')
    .description('show what a pool holds: epochs, space, keyspaces, how it was opened')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast info ./agent.holdfast')
    .action(async (path: string, options: { json?: boolean }) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, (pool) => {
        const stats = pool.stats();
        const keyspaces = pool.keyspaces();
        const regions = pool.regions();
        output.value({ ...stats, keyspaces, regions });
        output.pairs([
          ['format version', stats.formatVersion],
          ['epoch', `${stats.epoch} (durable ${stats.durableEpoch}, folded ${stats.foldedEpoch})`],
          [
            'opened',
            `${stats.incarnation} times; this time in ${(stats.openUs / 1000).toFixed(1)} ms`,
          ],
          ...readerRows(pool.readOnly, stats),
          ['replayed', `${stats.replayedOperations} operations, ${bytesText(stats.replayedBytes)}`],
          ['size', sizeText(stats.takenBytes, stats.capacityBytes)],
          ...stats.parts.map((part, i): [string, string] => [
            `part ${i}`,
            `${part.path}: ${bytesText(part.takenBytes)} taken of ${bytesText(part.bytes)}, ${bytesText(part.freeBytes)} free on its file system`,
          ]),
          ['live data', bytesText(stats.liveBytes)],
          ['log', `${bytesText(stats.logBytes)} in ${stats.logSegments} segments`],
          ['index', `${bytesText(stats.indexBytes)} in ${stats.indexSegments} segments`],
          ['large values', `${bytesText(stats.largeBytes)} in ${stats.largeSegments} segments`],
          ['keyspaces', keyspaces.join(', ') || 'none'],
          [
            'regions',
            regions.map(({ name, size }) => `${name} (${bytesText(size)})`).join(', ') || 'none',
          ],
        ]);
      });
    });
}
