/** `holdfast regions`: the regions of a pool, or the bytes of one. */
import type { Command } from 'commander';

import { HoldfastError } from '../../errors';
import type { PoolCore, Region } from '../../types';
import { countFromOne, wholeNumber } from '../numbers';
import { bytesText, Output } from '../output';
import { placeOf, withReader } from '../with-pool';

interface RegionsOptions {
  readonly json?: boolean;
  readonly offset: number;
  readonly length: number;
}

export function addRegions(program: Command): void {
  program
    .command('regions <pool> [region]')
    .description('list the regions with their sizes, or show bytes of one')
    .option('--offset <n>', 'where to begin', wholeNumber, 0)
    .option('--length <n>', 'how many bytes', countFromOne, 256)
    .option('--json', 'print JSON; bytes as hexadecimal digits')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast regions ./agent.holdfast\n  $ holdfast regions ./agent.holdfast counters --length 64',
    )
    .action(async (path: string, name: string | undefined, options: RegionsOptions) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, (pool) => {
        if (name !== undefined) {
          const region = regionOf(pool, name);
          const length = Math.min(options.length, Math.max(0, region.size - options.offset));
          const bytes = Buffer.from(region.read(options.offset, length));
          const { offset } = options;
          output.value({
            ...placeOf(pool),
            region: name,
            size: region.size,
            offset,
            bytes: bytes.toString('hex'),
          });
          for (let at = 0; at < bytes.length; at += rowBytes)
            output.line(row(offset + at, bytes.subarray(at, at + rowBytes)));
          return;
        }
        const regions = pool.regions();
        output.value({ ...placeOf(pool), regions });
        if (regions.length === 0) output.line('no regions yet');
        else {
          output.table(
            ['region', 'size', 'placed'],
            regions.map((region) => [
              region.name,
              bytesText(region.size),
              bytesText(region.placedBytes),
            ]),
          );
        }
      });
    });
}

/** Without a size none is made. */
function regionOf(pool: PoolCore, name: string): Region {
  const names = pool.regions().map((region) => region.name);
  if (names.includes(name)) return pool.region(name);
  throw new HoldfastError(
    'ERR_HOLDFAST_NOT_FOUND',
    `no region ${name} in ${pool.path}; there is: ${names.join(', ') || 'none'}`,
  );
}

const rowBytes = 16;

function row(offset: number, bytes: Buffer): string {
  const text = bytes.toString('latin1').replace(/[^ -~]/g, '.');
  const digits = (bytes.toString('hex').match(/../g) ?? []).join(' ');
  return `${offset.toString(16).padStart(8, '0')}  ${digits.padEnd(3 * rowBytes)} ${text}`;
}
