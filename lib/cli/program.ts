/** The command line: which commands there are, what they take, and what they end with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Command, CommanderError } from 'commander';

import { addBackup, addRestore } from './commands/backup';
import { addBench } from './commands/bench';
import { addCheck } from './commands/check';
import { addDiff, addFork, addHistory, addPrune } from './commands/checkpoints';
import { addDemo } from './commands/demo';
import { addDoctor } from './commands/doctor';
import { addForget } from './commands/forget';
import { addGet } from './commands/get';
import { addInfo } from './commands/info';
import { addLs } from './commands/ls';
import { addResolve, addSignal, addUnpark } from './commands/outside';
import { addRegions } from './commands/regions';
import { addReplay } from './commands/replay';
import { addResize } from './commands/resize';
import { addRuns, addShow, addTimeline } from './commands/runs';
import { addSalvage } from './commands/salvage';
import { addExport, addImport } from './commands/transfer';
import { EXIT, type Finish, Output } from './output';

const EXIT_CODES = `
Exit codes:
  0  done, and all is well
  1  done, and something is wrong: lost or repeated work, damage, no such key
  2  wrong usage or unreadable input
  3  failed; the message begins with the error's code (docs/errors.md)

NO_COLOR=1 turns colour off. With --json, stdout holds one JSON value, errors included.`;

/** As `--help` lists them. */
const COMMANDS = {
  'See it work:': [addDemo, addReplay, addDoctor, addBench],
  'Look into a pool (also while another process has it open):': [
    addInfo,
    addLs,
    addGet,
    addRegions,
    addCheck,
  ],
  'Durable runs:': [addRuns, addShow, addTimeline, addSignal, addResolve, addUnpark, addForget],
  'Checkpoints of a run:': [addHistory, addDiff, addFork, addPrune],
  'Copies, other sizes, repair:': [
    addBackup,
    addRestore,
    addExport,
    addImport,
    addResize,
    addSalvage,
  ],
};

export async function runProgram(args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  const program = new Command('holdfast')
    .description('An embedded, crash-consistent checkpoint store for AI agents')
    .version(packageVersion(), '-V, --version')
    .helpOption('-h, --help', 'show this help; also of one command: holdfast <command> --help')
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(holdfast --help lists what there is)')
    .exitOverride();
  const finish: Finish = (value) => (code = value);
  for (const [group, commands] of Object.entries(COMMANDS)) {
    program.commandsGroup(group);
    for (const add of commands) add(program, finish);
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) return new Output(args.includes('--json')).error(error);
    if (error.exitCode === 0) return EXIT.ok;
    // What is wrong was said on stderr, with a hint.
    const message = error.message.replace(/^error: /, '');
    if (args.includes('--json'))
      new Output(true).value({ error: { code: 'ERR_HOLDFAST_INVALID_ARGUMENT', message } });
    return EXIT.usage;
  }
  return code;
}

function packageVersion(): string {
  const manifest = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
