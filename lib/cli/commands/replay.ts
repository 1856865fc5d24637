/** `holdfast replay`: the main job, on recorded conversations of your own. */
import type { Command } from 'commander';

import { mediumOption } from '../new-pool';
import { countFromOne, wholeNumber } from '../numbers';
import { EXIT, type Finish, Output, type Progress } from '../output';
import { printReport } from '../replay/report';
import { replay, type ReplayOptions, type ReplayReport } from '../replay/supervisor';

interface ReplayFlags {
  readonly pool: string;
  readonly medium: ReplayOptions['medium'];
  readonly kills: number;
  readonly seed: number;
  readonly parallel: number;
  readonly think: number;
  readonly json?: boolean;
}

const HELP = `
Drives each conversation as a durable run in a child process: what was said is a step, every tool call a tool whose
effect a ledger process performs and counts. The child is killed with SIGKILL --kills times: in the middle of effects,
while it starts, and at any other moment. In the end every conversation is compared with the input, byte for byte.

What a tool's name says decides how its call may be continued:
  get_ search_ list_ find_ calculate think …   readOnly     called again
  update_ set_ cancel_ delete_ …               idempotent   called again with the same key
  all others                                   effect       the ledger is asked whether it happened

Input: a JSON array of objects whose \`traj\` or \`messages\` is a list of chat messages.
The ledger's file is kept beside the pool (<pool>.ledger.jsonl); an interrupted replay is continued by the same command.

Examples:
  $ holdfast replay trajectories.json --pool ./replay.holdfast --kills 200
  $ PMEM_IS_PMEM_FORCE=1 holdfast replay trajectories.json --pool /dev/shm/replay --medium pmem --kills 200`;

export function addReplay(program: Command, finish: Finish): void {
  program
    .command('replay <trajectories>')
    .description('the same with recorded conversations of your own, verified byte for byte')
    .requiredOption('--pool <path>', 'required: the pool to fill (made if missing)')
    .addOption(mediumOption('medium of the pool'))
    .option('--kills <n>', 'how often to kill', wholeNumber, 20)
    .option('--seed <n>', 'where the kills fall', wholeNumber, 1)
    .option('--parallel <n>', 'conversations under way at once', countFromOne, 8)
    .option(
      '--think <ms>',
      'how long the scripted model thinks before each message',
      wholeNumber,
      1,
    )
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (input: string, flags: ReplayFlags) => {
      const output = new Output(flags.json ?? false);
      const report = await replayWithProgress(output, { ...flags, input, thinkMs: flags.think });
      output.value(report);
      printReport(output, report);
      if (!report.ok) finish(EXIT.bad);
    });
}

async function replayWithProgress(output: Output, options: ReplayOptions): Promise<ReplayReport> {
  let bar: Progress | undefined;
  let total = 0;
  try {
    return await replay({
      ...options,
      parallel: Math.max(1, options.parallel),
      watch: {
        started: ({ conversations, messages, calls }) => {
          total = messages;
          output.line(
            `${conversations.length} conversations, ${messages} messages, ${calls} tool calls`,
          );
        },
        opened: (place) => {
          output.place({ path: options.pool, ...place });
          bar = output.progress('{bar} {value} of {total} messages, {kills} kills', total);
        },
        progress: (messages, kills) => bar?.update(messages, { kills }),
        verifying: () => bar?.stop(),
      },
    });
  } finally {
    bar?.stop();
  }
}
