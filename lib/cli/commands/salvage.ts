/** `holdfast salvage`: saves what is still valid in a damaged pool into a new one. */
import type { Command } from 'commander';
import pc from 'picocolors';

import { salvage } from '../../index';
import type { SalvageReport } from '../../index';
import { newGrowOption, newMediumOption, type NewPoolOptions, newSizeOption } from '../new-pool';
import { bytesText, EXIT, type Finish, Output } from '../output';
import { tellPlace } from '../with-pool';

const TRUSTED = {
  index: 'the index is there: it says which versions are the newest',
  log: 'the index is lost: the newest valid record of each key counts; deleted keys may have come again',
  checksums: 'both superblocks are lost: whole operations count, in the order they claim',
} as const;

export function addSalvage(program: Command, finish: Finish): void {
  program
    .command('salvage <pool> <new-pool>')
    .description(
      'save what is still valid of a damaged pool into a new one; exit code 1 if anything is lost, or nothing is found',
    )
    .addOption(newMediumOption())
    .addOption(newSizeOption())
    .addOption(newGrowOption())
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe damaged pool is only read. The new pool must not exist.\n' +
        '\nExample:\n  $ holdfast salvage ./agent.holdfast ./saved.holdfast',
    )
    .action(async (from: string, to: string, options: NewPoolOptions) => {
      const output = new Output(options.json ?? false);
      const bar = output.progress('saving {bar} {percentage}%', 100);
      const report = await salvage(from, to, {
        medium: options.medium,
        size: options.size,
        grow: options.grow,
        onProgress: (fraction) => bar.update(Math.floor(fraction * 100)),
      }).finally(() => bar.stop());
      const told = verdict(report);
      output.value({ from, to, ...report });
      tellPlace(output, to);
      for (const loss of report.losses) output.line(`${pc.red('lost')}  ${loss}`);
      for (const gap of report.gaps) output.line(`${pc.red('gap')}   ${gap}`);
      output.line(pc.dim(TRUSTED[report.source]));
      output.line(
        `${report.entries} entries saved (${bytesText(report.bytes)}), ${report.lost} lost, ` +
          `${report.unconfirmed} perhaps not the newest: ${(told.good ? pc.green : pc.red)(told.text)}`,
      );
      if (!told.good) finish(EXIT.bad);
    });
}

/** Only the index knows all that there was: without it what is missing may have left no trace. */
function verdict(report: SalvageReport): { good: boolean; text: string } {
  const { source, entries, lost, gaps, unconfirmed } = report;
  if (lost > 0 || gaps.length > 0 || unconfirmed > 0) return { good: false, text: 'not whole' };
  if (source === 'index') return { good: true, text: 'whole' };
  if (entries === 0) return { good: false, text: 'nothing of a pool was found' };
  return { good: true, text: 'nothing is seen to be missing' };
}
