/** `holdfast resize`: another size for a pool; in place where that is possible, else by copying. */
import { Option, type Command } from 'commander';

import { HoldfastError } from '../../errors';
import { open, resizeByCopy } from '../../index';
import { byteSize } from '../numbers';
import { bytesText, Output } from '../output';
import { tellPlace } from '../with-pool';

const BY_COPY = new Set(['ERR_HOLDFAST_MEDIUM_UNAVAILABLE', 'ERR_HOLDFAST_POOL_FULL']);

export function addResize(program: Command): void {
  program
    .command('resize')
    .argument('<pool>')
    .argument('<size>', '', byteSize)
    .description('give a pool another size: bytes, or with K, M, G or T; 0: grows by itself')
    .option(
      '--directory <directory>',
      'copy it into parts, one in each of these (repeat the option)',
      (one: string, before: string[] = []) => [...before, one],
    )
    .addOption(
      new Option(
        '--one-file',
        'copy a pool that lies in several directories into one file',
      ).conflicts('directory'),
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nA file is resized in place where nothing is held beyond the new size. Else, and on persistent memory, the pool is copied beside\n' +
        'itself and the copy takes its place: that needs room for both. Nobody else may have it open.\n' +
        'A pool on persistent memory may lie in several directories, on file systems of their own: the pool is then a set file and a part in each.\n' +
        '\nExamples:\n  $ holdfast resize ./agent.holdfast 8G\n  $ holdfast resize /mnt/pmem/agent.holdfast 1G\n' +
        '  $ holdfast resize /mnt/pmem0/agent.holdfast 64G --directory /mnt/pmem0 --directory /mnt/pmem1',
    )
    .action(
      async (
        path: string,
        size: number,
        options: { json?: boolean; directory?: string[]; oneFile?: boolean },
      ) => {
        const output = new Output(options.json ?? false);
        const directories = options.oneFile ? [] : options.directory;
        const copied =
          !directories && (await inPlace(path, size))
            ? undefined
            : await resizeByCopy(path, size, { directories });
        output.value({ path, size, copied: copied ?? null });
        tellPlace(output, path);
        const how = copied
          ? `copied: ${copied.entries} entries, ${bytesText(copied.bytes)}`
          : 'in place';
        output.line(
          `${path} ${size === 0 ? 'grows by itself' : `has ${bytesText(size)}`} now (${how})`,
        );
      },
    );
}

async function inPlace(path: string, size: number): Promise<boolean> {
  const pool = await open(path, { create: 'never' });
  try {
    await pool.resize(size);
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && BY_COPY.has(error.code)) return false;
    throw error;
  } finally {
    await pool.close();
  }
}
