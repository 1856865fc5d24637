/** `holdfast export` and `holdfast import`: a pool as JSON lines or as one binary file, and back, on any medium. */
import { once } from 'node:events';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { Option, type Command } from 'commander';

import { HoldfastError } from '../../errors';
import { fileError, giveName } from '../../files';
import { open } from '../../index';
import { intoNewPool } from '../../restore';
import { exportLines, LineImport } from '../../transfer';
import type { PoolCore } from '../../types';
import { Output } from '../output';
import { placeOf, withPool } from '../with-pool';
import { restoreFiles, type NewPoolOptions } from './backup';
import { wholeNumber } from './ls';

type Format = 'jsonl' | 'binary';

export function addExport(program: Command): void {
  program
    .command('export <pool> [file]')
    .description('everything a pool holds as JSON lines or as one binary file; without a file to stdout')
    .addOption(new Option('--format <format>', 'JSON lines, or what backup writes').choices(['jsonl', 'binary']).default('jsonl'))
    .option('--json', 'print JSON (with a file)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast export ./agent.holdfast ./agent.jsonl\n  $ holdfast export ./agent.holdfast | grep user/7\n' +
        '  $ holdfast export ./agent.holdfast ./agent.hfb --format binary',
    )
    .action(async (path: string, file: string | undefined, options: { format: Format; json?: boolean }) => {
      if (file === undefined) return exportToStdout(path, options.format);
      const output = new Output(options.json ?? false);
      if (existsSync(file)) throw new HoldfastError('ERR_HOLDFAST_EXISTS', `${file} is there already; remove it, or export to another place`);
      await withPool(output, path, async (pool) => {
        const total = pool.keyspaces().reduce((sum, name) => sum + pool.keyspace(name).count(), 0);
        const bar = output.progress('exporting {bar} {percentage}%', Math.max(total, 1));
        let entries = 0;
        try {
          if (options.format === 'binary') {
            ({ entries } = await pool.backup(file, { onProgress: (fraction) => bar.update(fraction * total) }));
          } else {
            await exportToFile(pool, file, (done) => bar.update((entries = done)));
          }
        } finally {
          bar.stop();
        }
        output.value({ ...placeOf(pool), file, format: options.format, entries });
        output.line(`${file}: ${entries} entries`);
      });
    });
}

export function addImport(program: Command): void {
  program
    .command('import <pool> <file>')
    .description('a new pool from what export or backup wrote')
    .addOption(new Option('--medium <medium>', 'what the new pool lives on').choices(['auto', 'pmem', 'file']).default('auto'))
    .option('--size <bytes>', 'size of the new pool', wholeNumber)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe pool must not exist; it gets its name when it is whole.\n' +
        '\nExample:\n  $ holdfast import /mnt/pmem/agent.holdfast ./agent.jsonl --size 1073741824',
    )
    .action(async (path: string, file: string, options: NewPoolOptions) => {
      const output = new Output(options.json ?? false);
      if (await isBinary(file)) return restoreFiles(output, path, [file], { medium: options.medium, size: options.size });
      const entries = await importLines(path, file, options);
      output.value({ path, entries });
      output.line(`${path}: ${entries} entries`);
    });
}

async function exportToStdout(path: string, format: Format): Promise<void> {
  const pool = await open(path, { create: 'never' });
  try {
    if (format === 'binary') {
      // The backup ends its stream; stdout stays.
      await pool.backup(new Writable({ write: (chunk: Uint8Array, _encoding, done) => void process.stdout.write(chunk, done) }));
      return;
    }
    for (const line of exportLines(pool)) {
      if (!process.stdout.write(line)) await once(process.stdout, 'drain');
    }
  } finally {
    await pool.close();
  }
}

async function exportToFile(pool: PoolCore, file: string, onEntry: (entries: number) => void): Promise<void> {
  const partial = `${file}.partial`;
  const to = createWriteStream(partial, { mode: 0o600, flush: true });
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
    throw fileError(error, `the export ${file} could not be written`);
  }
  await giveName(partial, file);
}

async function isBinary(file: string): Promise<boolean> {
  try {
    const handle = await openFile(file);
    try {
      const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.toString('latin1') === 'HFK1';
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, `${file} could not be read`);
  }
}

async function importLines(path: string, file: string, options: NewPoolOptions): Promise<number> {
  return intoNewPool(path, async (temporary) => {
    const pool = await open(temporary, { create: 'exclusive', medium: options.medium, size: options.size });
    try {
      const lines = new LineImport(pool);
      for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) await lines.take(line);
      await lines.end();
      return lines.entries;
    } finally {
      await pool.close();
    }
  });
}
