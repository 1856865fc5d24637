/**
 * `holdfast export` and `holdfast import`: a pool as JSON lines or as one binary file, and back, on
 * any medium.
 */
import { once } from 'node:events';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { stat, unlink } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { Option, type Command } from 'commander';

import { HoldfastError } from '../../errors';
import { fileError, giveName } from '../../files';
import { open } from '../../index';
import { intoNewPool } from '../../restore';
import { exportLines, LineImport } from '../../transfer';
import type { PoolCore } from '../../types';
import { newGrowOption, newMediumOption, type NewPoolOptions, newSizeOption } from '../new-pool';
import { Output } from '../output';
import { bytesToStdout, linesOf, peek, STREAM } from '../streams';
import { openToRead, placeOf, tellPlace, withPool, withReader } from '../with-pool';
import { restoreFiles } from './backup';

type Format = 'jsonl' | 'binary';

/** What a binary export begins with (docs/backup.md). */
const MAGIC = 'HFK1';

export function addExport(program: Command): void {
  program
    .command('export <pool> [file]')
    .description(
      'write all of a pool as JSON lines or as one binary file; without a file to stdout',
    )
    .addOption(
      new Option('--format <format>', 'JSON lines, or what backup writes')
        .choices(['jsonl', 'binary'])
        .default('jsonl'),
    )
    .option('--json', 'print JSON (with a file)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast export ./agent.holdfast ./agent.jsonl\n  $ holdfast export ./agent.holdfast | grep user/7\n' +
        '  $ holdfast export ./agent.holdfast ./agent.hfb --format binary',
    )
    .action(
      async (
        path: string,
        file: string | undefined,
        options: { format: Format; json?: boolean },
      ) => {
        if (file === undefined || file === STREAM) return exportToStdout(path, options.format);
        const output = new Output(options.json ?? false);
        if (existsSync(file))
          throw new HoldfastError(
            'ERR_HOLDFAST_EXISTS',
            `${file} is there already; remove it, or export to another place`,
          );
        // A backup is made where the pool is written; lines also beside whoever writes it.
        const withIt = options.format === 'binary' ? withPool : withReader;
        await withIt(output, path, async (pool) => {
          const total = pool
            .keyspaces()
            .reduce((sum, name) => sum + pool.keyspace(name).count(), 0);
          const bar = output.progress('exporting {bar} {percentage}%', Math.max(total, 1));
          let entries = 0;
          try {
            if (options.format === 'binary') {
              ({ entries } = await pool.backup(file, {
                onProgress: (fraction) => bar.update(fraction * total),
              }));
            } else {
              await exportToFile(pool, file, (done) => bar.update((entries = done)));
            }
          } finally {
            bar.stop();
          }
          output.value({ ...placeOf(pool), file, format: options.format, entries });
          output.line(`${file}: ${entries} entries`);
        });
      },
    );
}

export function addImport(program: Command): void {
  program
    .command('import <pool> <file>')
    .description('make a new pool from what export or backup wrote; - for stdin')
    .addOption(newMediumOption())
    .addOption(newSizeOption())
    .addOption(newGrowOption())
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe pool must not exist; it gets its name when it is whole.\n' +
        '\nExample:\n  $ holdfast import /mnt/pmem/agent.holdfast ./agent.jsonl --size 8G',
    )
    .action(async (path: string, file: string, options: NewPoolOptions) => {
      const output = new Output(options.json ?? false);
      const { stream, binary, bytes } = await openSource(file);
      if (binary) {
        if (file !== STREAM) stream.destroy();
        const { medium, size, grow } = options;
        return restoreFiles(output, path, [file], { medium, size, grow });
      }
      const entries = await importLines(output, path, stream, bytes, options);
      output.value({ path, entries });
      tellPlace(output, path);
      output.line(`${path}: ${entries} entries`);
    });
}

async function exportToStdout(path: string, format: Format): Promise<void> {
  if (format === 'binary') {
    const target = bytesToStdout();
    const pool = await open(path, { create: 'never' });
    await pool.backup(target).finally(() => pool.close());
    return;
  }
  const pool = await openToRead(path);
  try {
    for (const line of exportLines(pool)) {
      if (!process.stdout.write(line)) await once(process.stdout, 'drain');
    }
  } finally {
    await pool.close();
  }
}

// Not `.partial`: that is what an interrupted backup has left, and would be gone on with.
async function exportToFile(
  pool: PoolCore,
  file: string,
  onEntry: (entries: number) => void,
): Promise<void> {
  const unfinished = `${file}.exporting`;
  const to = createWriteStream(unfinished, { mode: 0o600, flush: true });
  const done = finished(to);
  done.catch(() => undefined); // awaited below; a failure before that is not unhandled
  try {
    for (const line of exportLines(pool, onEntry)) {
      if (!to.write(line)) await Promise.race([once(to, 'drain'), done]);
    }
    to.end();
    await done;
  } catch (error) {
    to.destroy();
    // the error that brought us here is the one to tell
    await unlink(unfinished).catch(() => undefined);
    throw fileError(error, `the export ${file} could not be written`);
  }
  await giveName(unfinished, file);
}

/** A source of lines or of a binary export, of which only the first bytes have been looked at. */
async function openSource(
  file: string,
): Promise<{ stream: Readable; binary: boolean; bytes: number }> {
  try {
    const bytes = file === STREAM ? 0 : (await stat(file)).size;
    const stream = file === STREAM ? process.stdin : createReadStream(file);
    const head = await peek(stream, MAGIC.length);
    if (head.length === 0) throw new HoldfastError('ERR_HOLDFAST_NOT_A_BACKUP', `${file} is empty`);
    return { stream, binary: head.toString('latin1') === MAGIC, bytes };
  } catch (error) {
    throw fileError(error, `${file} could not be read`);
  }
}

async function importLines(
  output: Output,
  path: string,
  source: Readable,
  bytes: number,
  options: NewPoolOptions,
): Promise<number> {
  const bar = output.progress('importing {bar} {percentage}%', Math.max(bytes, 1));
  return intoNewPool(path, async (temporary) => {
    const pool = await open(temporary, {
      create: 'exclusive',
      medium: options.medium,
      size: options.size,
      grow: options.grow,
    });
    try {
      const lines = new LineImport(pool);
      let read = 0;
      for await (const line of linesOf(source)) {
        await lines.take(line);
        bar.update((read += line.length + 1));
      }
      await lines.end();
      return lines.entries;
    } finally {
      await pool.close();
    }
  }).finally(() => bar.stop());
}
