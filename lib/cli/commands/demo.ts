/**
 * `holdfast demo`: the main job in a few seconds, on a small recording that comes with the package.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Command } from 'commander';
import pc from 'picocolors';

import { demoSample } from '../demo-sample';
import { mediumOption } from '../new-pool';
import { wholeNumber } from '../numbers';
import { EXIT, type Finish, Output } from '../output';
import type { KillKind } from '../replay/kill-plan';
import { printReport } from '../replay/report';
import { replay, type ReplayOptions, type ReplayWatch } from '../replay/supervisor';
import { inTemporaryFolder } from '../temporary';

interface DemoFlags {
  readonly folder: string;
  readonly medium: ReplayOptions['medium'];
  readonly kills: number;
  readonly seed: number;
  readonly keep?: boolean;
  readonly json?: boolean;
}

const WHAT_WAS_HIT: Record<KillKind, string> = {
  moment: 'between two instructions, wherever it was',
  'effect-before': 'in the middle of a tool call, before the effect happened',
  'effect-after': 'in the middle of a tool call, after the effect happened and before it knew',
  open: 'while it was starting and opening the pool',
};

export function addDemo(program: Command, finish: Finish): void {
  program
    .command('demo')
    .description(
      'kill an agent 20 times and see it lose nothing and repeat nothing (about ten seconds)',
    )
    .option('--folder <path>', 'where the temporary pool is made', tmpdir())
    .addOption(mediumOption('medium of the pool'))
    .option('--kills <n>', 'how often to kill', wholeNumber, 20)
    .option('--seed <n>', 'where the kills fall', wholeNumber, 7)
    .option('--keep', 'keep the pool and say where it is')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast demo\n  $ PMEM_IS_PMEM_FORCE=1 holdfast demo --medium pmem --folder /dev/shm',
    )
    .action(async (flags: DemoFlags) => {
      const output = new Output(flags.json ?? false);
      const run = async (folder: string) => finish(await demo(output, folder, flags));
      await inTemporaryFolder(flags.folder, 'holdfast-demo-', run, flags.keep);
    });
}

async function demo(output: Output, folder: string, flags: DemoFlags): Promise<number> {
  const input = join(folder, 'conversations.json');
  writeFileSync(input, JSON.stringify(demoSample, null, 2));
  const pool = join(folder, 'demo.holdfast');
  const { medium, kills, seed } = flags;
  const watch = narrator(output, pool, flags);
  const report = await replay({
    input,
    pool,
    medium,
    kills,
    seed,
    parallel: 2,
    thinkMs: 10,
    watch,
  });
  output.value(report);
  printReport(output, report);
  const own = 'npx holdfast replay trajectories.json --pool ./replay.holdfast --kills 200';
  output.line(`\nOn conversations of your own:  ${pc.bold(own)}`);
  if (flags.keep) output.line(`\nKept: ${pool}`);
  return report.ok ? EXIT.ok : EXIT.bad;
}

function narrator(output: Output, pool: string, flags: DemoFlags): ReplayWatch {
  let total = 0;
  return {
    started: ({ conversations, messages, calls }) => {
      total = messages;
      output.line(pc.bold('Holdfast demo: an agent that is killed at the worst moments'));
      const what = `${conversations.length} conversations (${messages} messages, ${calls} tool calls)`;
      output.line(`A help-desk agent holds ${what}. Every message is a durable step, every`);
      output.line(
        `tool call a durable effect. It is killed with SIGKILL ${flags.kills} times and started again.\n`,
      );
    },
    opened: (place) => {
      output.place({ path: pool, ...place });
      output.line();
    },
    killed: ({ number, kind, messages }) => {
      const reached = `${String(messages).padStart(3)} of ${total} messages`;
      output.line(
        `${pc.red('killed')} ${String(number).padStart(2)}  ${pc.dim(reached)}  ${WHAT_WAS_HIT[kind]}`,
      );
    },
    verifying: () =>
      output.line('\nAll conversations are finished. A fresh process now compares every byte …'),
  };
}
