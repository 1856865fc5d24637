/** `holdfast history`, `diff`, `fork`, `prune`: the checkpoints of a run. */
import type { Command } from 'commander';

import { linesOf } from '../differences';
import { countFromOne, duration } from '../numbers';
import { bytesText, Output, timeText } from '../output';
import { placeOf, withPool, withReader } from '../with-pool';

interface JsonOption {
  readonly json?: boolean;
}

export function addHistory(program: Command): void {
  program
    .command('history <pool> <run>')
    .description("list a run's checkpoints, the newest last")
    .option('--limit <n>', 'only the newest n', countFromOne, 100)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast history ./agent.holdfast trip-42')
    .action(async (path: string, id: string, options: JsonOption & { limit: number }) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, (pool) => {
        const newest = [...pool.history(id, { reverse: true, limit: options.limit })].reverse();
        output.value({ ...placeOf(pool), run: id, checkpoints: newest });
        if (newest.length === 0) return output.line('no checkpoints');
        const head = ['checkpoint', 'label', 'saved', 'added', 'from'];
        const rows = newest.map((one) => [
          ...[one.id, one.label ?? '', timeText(one.at), bytesText(one.bytes)],
          one.parent ?? '',
        ]);
        output.table(head, rows, ['label', 'from']);
      });
    });
}

export function addDiff(program: Command): void {
  program
    .command('diff <pool> <before> <after>')
    .description('show what changed between two checkpoints, of one run or of two')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ holdfast diff ./agent.holdfast run/trip-42@3 run/trip-42@7',
    )
    .action(async (path: string, before: string, after: string, options: JsonOption) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, (pool) => {
        const differences = pool.diff(before, after);
        output.value({ ...placeOf(pool), before, after, differences });
        for (const one of differences)
          for (const line of linesOf(one, output.columns)) output.line(line);
        if (differences.length === 0) output.line('no difference');
      });
    });
}

export function addFork(program: Command): void {
  program
    .command('fork <pool> <checkpoint> <run>')
    .description(
      'begin a new run from a checkpoint of another; whoever claims runs goes on with it',
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast fork ./agent.holdfast run/trip-42@3 trip-42-b')
    .action(async (path: string, checkpoint: string, run: string, options: JsonOption) => {
      const output = new Output(options.json ?? false);
      await withPool(output, path, async (pool) => {
        const receipt = await pool.fork(checkpoint, run);
        output.value({ ...placeOf(pool), run, checkpoint, receipt });
        output.line(`${run} begins from ${checkpoint} (epoch ${receipt.epoch})`);
      });
    });
}

interface PruneCliOptions extends JsonOption {
  readonly keepLast: number;
  readonly keepLabel?: string[];
  readonly dropLabels?: boolean;
  readonly olderThan?: number;
}

export function addPrune(program: Command): void {
  program
    .command('prune <pool> <run>')
    .description("remove a run's older checkpoints, and what only they held")
    .option('--keep-last <n>', 'how many of the newest stay', countFromOne, 1)
    .option('--keep-label <label...>', 'of checkpoints with a label, only these stay')
    .option('--drop-labels', 'labels keep nothing')
    .option('--older-than <time>', 'only those saved longer ago: 90s, 15m, 12h, 30d', duration)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ holdfast prune ./agent.holdfast trip-42 --keep-last 10 --older-than 7d',
    )
    .action(async (path: string, run: string, options: PruneCliOptions, command: Command) => {
      if (options.keepLabel && options.dropLabels)
        command.error('error: --keep-label and --drop-labels contradict each other');
      const output = new Output(options.json ?? false);
      await withPool(output, path, async (pool) => {
        const { keepLast, keepLabel, dropLabels, olderThan } = options;
        const keepLabels = keepLabel ?? !dropLabels;
        const report = await pool.prune(run, { keepLast, keepLabels, olderThan });
        await pool.compact();
        output.value({ ...placeOf(pool), run, ...report });
        const { removed, kept, freedBytes } = report;
        output.line(`${removed} checkpoints removed, ${kept} kept, ${bytesText(freedBytes)} freed`);
      });
    });
}
