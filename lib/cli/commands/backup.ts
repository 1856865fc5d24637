/** `holdfast backup` and `holdfast restore`. */
import { statSync } from 'node:fs';

import { InvalidArgumentError, type Command } from 'commander';
import pc from 'picocolors';

import { backupEnd } from '../../backup';
import { restore } from '../../index';
import type { RestoreOptions } from '../../types';
import { newGrowOption, newMediumOption, type NewPoolOptions, newSizeOption } from '../new-pool';
import { wholeNumber } from '../numbers';
import { bytesText, Output, timeText } from '../output';
import { bytesToStdout, outputBeside, sourcesOf, STREAM } from '../streams';
import { placeOf, tellPlace, withPool } from '../with-pool';

export function addBackup(program: Command): void {
  program
    .command('backup <pool> <file>')
    .description(
      'copy all of a pool, or what was committed since an earlier backup, into one file; - for stdout',
    )
    .option('--after <backup>', 'an increment: only what was committed after that backup')
    .option(
      '--since <epoch>',
      'an increment: only what was committed above this epoch',
      wholeNumber,
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe file gets its name when the backup is whole. After an interruption the same command goes on.\n' +
        'A process that has the pool open makes its backups itself: await pool.backup(file).\n' +
        '\nExamples:\n  $ holdfast backup ./agent.holdfast ./monday.hfb\n' +
        '  $ holdfast backup ./agent.holdfast ./tuesday.hfb --after ./monday.hfb\n' +
        '  $ holdfast backup ./agent.holdfast - | ssh elsewhere "holdfast restore ./agent.holdfast -"',
    )
    .action(
      async (
        path: string,
        file: string,
        options: { after?: string; since?: number; json?: boolean },
      ) => {
        const output = outputBeside(file, options.json);
        const target = file === STREAM ? bytesToStdout() : file;
        const since = options.after === undefined ? options.since : await backupEnd(options.after);
        await withPool(output, path, async (pool) => {
          const bar = output.progress('backing up {bar} {percentage}%', 100);
          const report = await pool
            .backup(target, {
              incremental: since,
              onProgress: (fraction) => bar.update(Math.floor(fraction * 100)),
            })
            .finally(() => bar.stop());
          output.value({ ...placeOf(pool), file, ...report });
          const what =
            report.since === undefined
              ? `${report.entries} entries`
              : `${report.commits} commits since epoch ${report.since}`;
          if (report.continued) output.line(pc.dim('went on with one that had been interrupted'));
          output.line(
            `${file}: ${what} as of epoch ${report.epoch}, ${bytesText(report.fileBytes)}`,
          );
        });
      },
    );
}

export function addRestore(program: Command): void {
  program
    .command('restore <pool> <backup> [increments...]')
    .description(
      'make a new pool from a backup and its increments, as of any commit or time in them; - for stdin',
    )
    .option(
      '--at <epoch-or-time>',
      'the state after this commit, or at this time (2026-01-31T12:00:00)',
      pointInTime,
    )
    .addOption(newMediumOption())
    .addOption(newSizeOption())
    .addOption(newGrowOption())
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe pool must not exist; it gets its name when it is whole.\n' +
        '\nExamples:\n  $ holdfast restore ./again.holdfast ./monday.hfb ./tuesday.hfb\n' +
        '  $ holdfast restore ./again.holdfast ./monday.hfb ./tuesday.hfb --at 1734',
    )
    .action(
      async (
        path: string,
        full: string,
        increments: string[],
        options: NewPoolOptions & { at?: number | Date },
      ) => {
        const output = new Output(options.json ?? false);
        await restoreFiles(output, path, [full, ...increments], {
          at: options.at,
          medium: options.medium,
          size: options.size,
          grow: options.grow,
        });
      },
    );
}

export async function restoreFiles(
  output: Output,
  path: string,
  files: string[],
  options: RestoreOptions,
): Promise<void> {
  const total = files.reduce(
    (sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
  const bar = output.progress('restoring {bar} {percentage}%', Math.max(total, 1));
  let before = 0;
  let last = 0;
  const onProgress = (bytes: number): void => {
    if (bytes < last) before += last; // the next part has begun
    last = bytes;
    bar.update(before + bytes);
  };
  const report = await restore(sourcesOf(files), path, { ...options, onProgress }).finally(() =>
    bar.stop(),
  );
  output.value({ path, ...report });
  tellPlace(output, path);
  output.line(
    `${path}: ${report.entries} entries and ${report.commits} commits, as of epoch ${report.epoch} (${timeText(report.time)}), ` +
      `${bytesText(report.bytes)} of values`,
  );
}

function pointInTime(text: string): number | Date {
  if (/^\d+$/.test(text)) return wholeNumber(text);
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError('expected an epoch or a time such as 2026-01-31T12:00:00.');
}
