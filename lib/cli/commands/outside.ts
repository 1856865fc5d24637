/** `holdfast signal`, `unpark`, `resolve`: what somebody outside says to a run. */
import type { Command } from 'commander';

import type { Holdfast, Resolution } from '../../index';
import { brief, Output, timeText } from '../output';
import { jsonOrText, jsonValue } from '../values';
import { placeOf, withPool, withReader } from '../with-pool';

interface SignalOptions {
  readonly json?: boolean;
  readonly text?: boolean;
}

export function addSignal(program: Command): void {
  program
    .command('signal <pool> <run> <name> [value]')
    .description('give a run what it waits for; the value is JSON, or plain text')
    .option('--text', 'the value is text, whatever it looks like')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast signal ./agent.holdfast trip-42 approve true\n' +
        '  $ holdfast signal ./agent.holdfast trip-42 approve \'{"by": "ada"}\'\n' +
        '  $ holdfast signal ./agent.holdfast trip-42 answer "Oslo, please"',
    )
    .action(
      async (
        path: string,
        run: string,
        name: string,
        text: string | undefined,
        options: SignalOptions,
        command: Command,
      ) => {
        const output = new Output(options.json ?? false);
        const refuse = (message: string): never => command.error(`error: ${message}`);
        const value = text === undefined || options.text ? text : jsonOrText(text, refuse);
        await withPool(output, path, async (pool) => {
          const receipt = await pool.signal(run, name, value);
          output.value({ ...placeOf(pool), run, name, value, receipt });
          output.line(`${name} given to ${run}: ${brief(value)} (epoch ${receipt.epoch})`);
        });
      },
    );
}

export function addUnpark(program: Command): void {
  program
    .command('unpark <pool> <run>')
    .description('let a run that failed and was parked go on')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast runs ./agent.holdfast --status parked\n' +
        '  $ holdfast unpark ./agent.holdfast trip-42',
    )
    .action(async (path: string, run: string, options: { json?: boolean }) => {
      const output = new Output(options.json ?? false);
      await withPool(output, path, async (pool) => {
        const receipt = await pool.unpark(run);
        output.value({ ...placeOf(pool), run, unparked: receipt !== undefined, receipt });
        if (receipt) output.line(`${run} is runnable (epoch ${receipt.epoch})`);
        else output.line(`${run} was not parked`);
      });
    });
}

interface ResolveOptions {
  readonly json?: boolean;
  readonly happened?: boolean;
  readonly neverHappened?: boolean;
  readonly value?: { readonly json: unknown };
}

export function addResolve(program: Command): void {
  program
    .command('resolve <pool> [id]')
    .description(
      'list the effects whose outcome is unknown, or say of one whether it happened (the first answer stands)',
    )
    .option('--happened', 'it happened, and has no result that matters')
    .option('--value <json>', 'it happened, and this is its result', jsonValue)
    .option('--never-happened', 'it did not happen and will not: it may be called again')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast resolve ./agent.holdfast\n' +
        '  $ holdfast resolve ./agent.holdfast hf-5f…-3 --value \'{"number":"HF 7"}\'',
    )
    .action(
      async (path: string, id: string | undefined, options: ResolveOptions, command: Command) => {
        const output = new Output(options.json ?? false);
        const said = options.happened || options.neverHappened || options.value !== undefined;
        if (id === undefined && said)
          command.error('error: of which outcome? `holdfast resolve <pool>` lists their ids');
        if (id === undefined) return withReader(output, path, (pool) => list(output, pool));
        const resolution = resolutionOf(options, command);
        await withPool(output, path, async (pool) => {
          const receipt = await pool.resolve(id, resolution);
          output.value({ ...placeOf(pool), id, resolution, receipt });
          output.line(
            `${id} is resolved (epoch ${receipt.epoch}); its run makes use of it when it goes on, unless it is finished`,
          );
        });
      },
    );
}

function resolutionOf(options: ResolveOptions, command: Command): Resolution {
  const given: Resolution[] = [];
  if (options.happened) given.push('happened');
  if (options.neverHappened) given.push('never-happened');
  if (options.value !== undefined) given.push({ value: options.value.json });
  const [resolution] = given;
  if (resolution === undefined || given.length > 1)
    command.error('error: one of --happened, --value, --never-happened is needed');
  return resolution;
}

function list(output: Output, pool: Holdfast): void {
  const outcomes = pool.unknownOutcomes();
  output.value({ ...placeOf(pool), outcomes });
  if (outcomes.length === 0) return output.line('no unknown outcomes');
  for (const { id, run, tool, args, attempt, since, error, problem } of outcomes) {
    output.line();
    output.pairs([
      ['id', id],
      ...(problem === undefined ? [] : [['problem', problem] as const]),
      ...(run === '' ? [] : [['run', run] as const]),
      ...(attempt === 0
        ? []
        : [['tool', tool] as const, ['attempt', `${attempt}, since ${timeText(since)}`] as const]),
      ...(args === undefined && problem !== undefined ? [] : [['arguments', brief(args)] as const]),
      ...(error === undefined ? [] : [['error', error] as const]),
    ]);
  }
}
