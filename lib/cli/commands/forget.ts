/** `holdfast forget`: the end of runs that nobody will ask for again. */
import type { Command } from 'commander';

import type { ForgottenRuns } from '../../index';
import { duration } from '../numbers';
import { bytesText, Output } from '../output';
import { placeOf, withPool, withReader } from '../with-pool';

interface ForgetOptions {
  readonly olderThan: number;
  readonly prefix?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addForget(program: Command): void {
  program
    .command('forget <pool>')
    .description('remove runs that ended long ago, with all that is kept of them')
    .requiredOption(
      '--older-than <time>',
      'runs that ended longer ago than this: 90s, 15m, 12h, 30d',
      duration,
    )
    .option('--prefix <text>', 'only runs whose id begins with this text')
    .option('--dry-run', 'say how many would go, and change nothing')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nRuns that have not ended stay, and so do ended ones that others need: see docs/runs.md.\n' +
        '\nExamples:\n  $ holdfast forget ./agent.holdfast --older-than 30d --dry-run\n' +
        '  $ holdfast forget ./agent.holdfast --older-than 7d --prefix job/',
    )
    .action(async (path: string, { json, dryRun = false, ...options }: ForgetOptions) => {
      const output = new Output(json ?? false);
      await (dryRun ? withReader : withPool)(output, path, async (pool) => {
        const before = pool.stats().takenBytes;
        const { removed, kept } = await pool.forgetRuns({ ...options, dryRun });
        if (!dryRun) await pool.compact();
        const freedBytes = dryRun ? 0 : Math.max(0, before - pool.stats().takenBytes);
        output.value({ ...placeOf(pool), dryRun, removed, kept, freedBytes });
        if (dryRun) output.line(`${removed} runs would be forgotten, none was`);
        else output.line(`${removed} runs forgotten, ${bytesText(freedBytes)} freed`);
        for (const line of linesOf(kept)) output.line(line);
      });
    });
}

function linesOf({
  unknownOutcomes,
  forks,
  children,
  unreadable,
}: ForgottenRuns['kept']): string[] {
  const why: [number, string][] = [
    [unknownOutcomes, 'have effects of unknown outcome: `holdfast resolve` lists them'],
    [forks, 'have forks that stay'],
    [children, 'have a parent or a child that has not ended, or not so long ago'],
    [unreadable, 'cannot be read, or what they belong to: `holdfast check` says where'],
  ];
  return why.filter(([count]) => count > 0).map(([count, text]) => `${count} kept: ${text}`);
}
