/** `holdfast check`: reads everything in a pool and verifies it. */
import type { Command } from 'commander';
import pc from 'picocolors';

import { bytesText, EXIT, type Finish, Output } from '../output';
import { placeOf, withReader } from '../with-pool';

export function addCheck(program: Command, finish: Finish): void {
  program
    .command('check <pool>')
    .description('read everything and verify all checksums; exit code 1 if anything is damaged')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast check ./agent.holdfast && echo sound')
    .action(async (path: string, options: { json?: boolean }) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, async (pool) => {
        const bar = output.progress('checking {bar} {percentage}%', 100);
        const report = await pool
          .check({ onProgress: (fraction) => bar.update(Math.floor(fraction * 100)) })
          .finally(() => bar.stop());
        output.value({ ...placeOf(pool), ...report });
        for (const damage of report.damages) output.line(`${pc.red('damaged')}  ${damage}`);
        const verdict = report.ok ? pc.green('sound') : pc.red(`${report.damages.length} damages`);
        output.line(`${report.entries} entries, ${bytesText(report.bytesRead)} read: ${verdict}`);
        if (!report.ok) finish(EXIT.bad);
      });
    });
}
