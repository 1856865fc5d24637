/**
 * `holdfast runs`, `show`, `timeline`: durable runs seen from outside. Nothing here drives a run or
 * changes one.
 */
import { Option, type Command } from 'commander';
import pc from 'picocolors';

import type { Holdfast, JournalEntry, RunInfo, RunsOptions, Wait } from '../../index';
import { isDue, mustBeThere } from '../../run/index';
import { countFromOne, wholeNumber } from '../numbers';
import { brief, msText, Output, timeText } from '../output';
import { placeOf, withReader } from '../with-pool';

interface ListOptions {
  readonly json?: boolean;
  readonly status?: RunsOptions['status'];
  readonly prefix?: string;
  readonly after?: string;
  readonly limit: number;
}

export function addRuns(program: Command): void {
  program
    .command('runs <pool>')
    .description('list the runs: what they do, since when, and what they wait for')
    .addOption(
      new Option('--status <status>', 'only such runs').choices([
        ...['running', 'waiting', 'finished', 'unreadable', 'runnable', 'parked'],
      ]),
    )
    .option('--prefix <text>', 'only runs whose id begins with this text')
    .option('--after <id>', 'only runs after this id: the last one of the page before')
    .option('--limit <n>', 'at most this many runs', countFromOne, 100)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast runs ./agent.holdfast --status waiting\n' +
        '  $ holdfast runs ./agent.holdfast --after conversation/0100 --limit 50',
    )
    .action(async (path: string, { json, ...options }: ListOptions) => {
      const output = new Output(json ?? false);
      await withReader(output, path, (pool) => {
        // One more than is shown tells whether there are more.
        const found = [...pool.runs({ ...options, limit: options.limit + 1 })];
        const runs = found.slice(0, options.limit);
        const more = found.length > runs.length;
        output.value({ ...placeOf(pool), runs, more });
        if (runs.length === 0) output.line('no such runs');
        else
          output.table(
            ['run', 'status', 'began', 'took', 'waits for'],
            runs.map((info) => rowOf(pool, info)),
            ['waits for'],
          );
        const last = runs.at(-1);
        if (more && last) output.line(`… more: --after ${JSON.stringify(last.id)}`);
      });
    });
}

export function addShow(program: Command): void {
  program
    .command('show <pool> <run>')
    .description('show one run: its input, state, result and progress')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast show ./agent.holdfast trip-42')
    .action(async (path: string, id: string, options: { json?: boolean }) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, async (pool) => {
        const info = pool.runInfo(mustBeThere(pool, id))!;
        const summary = await summaryOf(pool, info);
        const waits = waitsText(pool, info);
        output.value({ ...placeOf(pool), run: { ...info, ...summary } });
        output.pairs([
          ['run', id],
          ['status', statusText(info)],
          ['began', timeText(info.began)],
          ...(info.ended === undefined ? [] : [['ended', timeText(info.ended)] as const]),
          ...(info.parent === undefined ? [] : [['child of', info.parent] as const]),
          ['entries', kindsText(summary.kinds)],
          ['driven', drivenText(info)],
          ...(info.failed ? [['failed', failedText(info.failed)] as const] : []),
          ...(waits === '' ? [] : [['waits for', waits] as const]),
          ['input', brief(summary.input)],
          ['state', brief(summary.state)],
          ...(info.status === 'finished' ? [['result', brief(summary.result)] as const] : []),
        ]);
      });
    });
}

export function addTimeline(program: Command): void {
  program
    .command('timeline <pool> <run>')
    .description("show a run's journal, entry by entry, with time, duration, attempt and epoch")
    .option('--from <n>', 'the first entry', wholeNumber, 0)
    .option('--limit <n>', 'at most this many entries', countFromOne, 1000)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ holdfast timeline ./agent.holdfast trip-42 --from 100')
    .action(async (path: string, id: string, options: TimelineOptions) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, async (pool) => {
        const entries: JournalEntry[] = [];
        const page = { from: options.from, limit: options.limit };
        for await (const entry of pool.journal(id, page)) entries.push(entry);
        output.value({ ...placeOf(pool), run: id, entries });
        const head = ['#', 'after', 'kind', 'what', 'took', 'attempt', 'epoch'];
        const began = pool.runInfo(id)?.began ?? 0;
        output.table(
          head,
          entries.map((entry) => timelineRow(entry, began)),
          ['what'],
        );
      });
    });
}

interface TimelineOptions {
  readonly json?: boolean;
  readonly from: number;
  readonly limit: number;
}

async function summaryOf(pool: Holdfast, info: RunInfo) {
  const kinds: Record<string, number> = {};
  let input: unknown;
  let result: unknown;
  for await (const entry of pool.journal(info.id)) {
    kinds[entry.kind] = (kinds[entry.kind] ?? 0) + 1;
    if (entry.kind === 'start') input = entry.input;
    if (entry.kind === 'end') result = entry.result;
  }
  const [newest] = pool.history(info.id, { reverse: true, limit: 1 });
  return { kinds, input, result, state: newest && pool.at(newest.id) };
}

function kindsText(kinds: Record<string, number>): string {
  return Object.entries(kinds)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
}

function rowOf(pool: Holdfast, info: RunInfo): (string | number)[] {
  if (info.status === 'unreadable') return [info.id, statusText(info), '', '', info.problem ?? ''];
  const took = info.ended === undefined ? '' : msText(Math.max(0, info.ended - info.began));
  const why = info.parked && info.failed ? `; failed ${failedText(info.failed)}` : '';
  return [info.id, statusText(info), timeText(info.began), took, waitsText(pool, info) + why];
}

function failedText({ times, at, error }: NonNullable<RunInfo['failed']>): string {
  const often = times === 1 ? 'once' : `${times} times in a row`;
  return `${often}, last ${timeText(at)}${error === undefined ? '' : `: ${error}`}`;
}

function drivenText({ driven, fencingToken }: RunInfo): string {
  return `begun or continued ${fencingToken} ${fencingToken === 1 ? 'time' : 'times'}${driven ? ', and driven now' : ''}`;
}

/** What somebody who looks wants to know: also whether anything is to be done for it. */
function statusText({ status, runnable, parked }: RunInfo): string {
  if (runnable) return pc.cyan('runnable');
  if (parked) return pc.magenta('parked');
  const colour = { running: pc.cyan, waiting: pc.yellow, finished: pc.green, unreadable: pc.red }[
    status
  ];
  return colour(status);
}

function waitsText(pool: Holdfast, { id, waits, parked }: RunInfo): string {
  if (parked && waits.length === 0) return '`holdfast unpark`';
  return waits
    .map((wait) => waitText(wait) + (isDue(pool, id, [wait]) ? ', which has come' : ''))
    .join('; ');
}

function waitText(wait: Wait): string {
  if ('signal' in wait) return `signal ${wait.signal}`;
  if ('until' in wait) return timeText(wait.until);
  if ('run' in wait) return `run ${wait.run}`;
  return `outcome ${wait.outcome}`;
}

function timelineRow(entry: JournalEntry, began: number): (string | number)[] {
  const name = entry.name === undefined ? '' : `${entry.name} `;
  const { args, result, input, error, label, child, undone } = entry;
  const about = [args, result, input, error, label, child, undone];
  const said = about.find((value) => value !== undefined);
  const of = entry.intent === undefined ? '' : `of #${String(entry.intent)} `;
  return [
    entry.sequence,
    msText(Math.max(0, entry.at - began)),
    entry.kind,
    `${name}${of}${said === undefined ? '' : brief(said, 60)}`.trim(),
    entry.ms === undefined ? '' : msText(entry.ms),
    entry.attempt ?? '',
    entry.epoch ?? '',
  ];
}
