/**
 * Undoing: the compensations of a run's effects, the last effect first.
 *
 * Each compensation is a tool call of its own, with intent and receipt, so it is itself durable:
 * after a crash those that have a receipt are not called again, and the one that was cut off is
 * called again with the same key. How to undo an effect this process is told by the call itself,
 * which on continuation costs nothing; where the code does not come to it again (it was made in a
 * step that is complete, or the run is rolled back at once), by the run's option `compensations`.
 * An effect that nobody says how to undo stops the rollback before it has undone anything. A
 * rollback that came to its end is recorded: code that comes to it again goes on, and what it made
 * behind it stays. So is one that failed, since the code may go on all the same: another life that
 * comes to it again tries what failed once more, and lets stay what was made behind it. A fork
 * undoes what it shares with the key that the run it was forked from uses, so an outside that knows
 * keys undoes it once, whoever rolls back.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import type { RunOptions, ToolOptions } from './types';
import { HoldfastError, typeError } from '../errors';
import { textOf } from './diverged';
import type { Place } from './entries';
import { asideOf, inside, scopeWithin } from './identity';
import {
  forgetUndone,
  leaveWithin,
  gatherUndo,
  gatherWithin,
  isBehind,
  keepWithin,
  type KeptRollback,
  type KeptRun,
  type KeptTool,
  takeRecorded,
} from './kept';
import { ownCopy } from './own-copy';
import { limitsOf } from './retry';
import { callTool, type Called } from './tool';
import type { JournalWriter } from './writer';

interface Undoable extends Called<unknown> {
  readonly name: string;
  readonly compensate: NonNullable<ToolOptions<unknown>['compensate']>;
}

/** Those in whose compensations this is called. */
const undoing = new AsyncLocalStorage<readonly Compensations[]>();

export function checkCompensations(named: RunOptions['compensations']): void {
  if (named === undefined) return;
  if (typeof named !== 'object' || named === null)
    throw typeError('compensations is an object: { [tool]: (result, context) => … }');
  for (const [name, undo] of Object.entries(named))
    if (typeof undo !== 'function')
      throw typeError(`the compensation of tool ${JSON.stringify(name)} is a function`);
}

/** What the run's options say about a tool. */
export function compensationOf<R>(
  named: RunOptions['compensations'],
  tool: string,
): ToolOptions<R>['compensate'] {
  return named && Object.hasOwn(named, tool) ? named[tool] : undefined;
}

export class Compensations {
  readonly #undoable: Undoable[] = [];
  /** The keys of these and of what was undone: a call that is come to again is the same effect. */
  readonly #known = new Set<string>();
  /** Of rollbacks that failed here: what is kept of undoing these. It no longer lies ahead. */
  readonly #tried = new Map<string, KeptTool>();
  #running: Promise<string[]> | undefined;
  /** How many calls had been come to at the last rollback, if it was one of an earlier life. */
  #cameBy: number | undefined;

  add<R>(name: string, called: Called<R>, compensate: ToolOptions<R>['compensate']): void {
    if (!compensate || this.#known.has(called.key)) return;
    this.#known.add(called.key);
    // As it is recorded, whatever the caller does to it: another life would undo that.
    this.#undoable.push({
      ...called,
      result: ownCopy(called.result),
      name,
      compensate: compensate as Undoable['compensate'],
    });
  }

  /**
   * The names of what was undone. When a compensation throws, those before it stay undone, and a
   * further call goes on. A call while another is under way is that one, but in a compensation,
   * which would wait for its own end.
   */
  run(
    writer: JournalWriter,
    uid: string,
    run: KeptRun,
    named: RunOptions['compensations'],
  ): Promise<string[]> {
    const around = undoing.getStore() ?? [];
    if (this.#running && around.includes(this))
      return Promise.reject(
        typeError(
          `run ${JSON.stringify(writer.run)}: rollback() is called within a compensation, and would wait for itself. ` +
            'What the compensation makes is undone by this rollback anyway',
        ),
      );
    this.#running ??= undoing.run([...around, this], () =>
      this.undoAll(writer, uid, run, named).finally(() => (this.#running = undefined)),
    );
    return this.#running;
  }

  private async undoAll(
    writer: JournalWriter,
    uid: string,
    run: KeptRun,
    named: RunOptions['compensations'],
  ): Promise<string[]> {
    const recorded = takeRecorded(run, this.#undoable);
    // Nothing lies between: what lies ahead was made behind that one, so it is behind this one too.
    if (!recorded && this.#cameBy === run.come && this.#undoable.length === 0) return [];
    const names = recorded?.undone
      ? this.passOver(recorded.undone, run)
      : await this.undoUpTo(writer, uid, run, named, recorded);
    this.#cameBy = recorded && run.come;
    return names;
  }

  /** All of them, or, where one that failed in another life is gone on with, those before that. */
  private async undoUpTo(
    writer: JournalWriter,
    uid: string,
    run: KeptRun,
    named: RunOptions['compensations'],
    recorded: KeptRollback | undefined,
  ): Promise<string[]> {
    const resumes = recorded && { sequence: recorded.sequence, forksAgo: recorded.forksAgo };
    try {
      this.addKept(writer.run, run, named, resumes);
      const names = await this.undoEach(writer, uid, run, resumes);
      forgetUndone(run);
      await writer.append({ kind: 'rollback', undone: names, ...(resumes && { resumes }) });
      return names;
    } catch (error) {
      // A further call in this life, before the code goes on, is this one too.
      if (recorded) run.rollbacks.unshift(recorded);
      this.leaveBehind(run, resumes);
      await recordFailure(writer, textOf(error), resumes);
      throw error;
    }
  }

  private async undoEach(
    writer: JournalWriter,
    uid: string,
    run: KeptRun,
    upTo: Place | undefined,
  ): Promise<string[]> {
    const names: string[] = [];
    for (const [key, kept] of this.#tried) run.undos.set(key, kept);
    this.#tried.clear();
    this.#undoable.sort((a, b) => b.forksAgo - a.forksAgo || a.intent - b.intent);
    const toDo = this.#undoable.some(({ key }) => !run.undos.get(key)?.receipt);
    if (toDo) await writer.append({ kind: 'rollback' });
    const next = (): Undoable | undefined =>
      this.#undoable.filter((effect) => isUpTo(effect, upTo)).at(-1);
    for (let last = next(); last; last = next()) {
      await undo(writer, uid, last, run);
      // Where it stands: effects that came to their end meanwhile stand behind it.
      this.#undoable.splice(this.#undoable.indexOf(last), 1);
      names.push(last.name);
    }
    return names;
  }

  /** What is kept of undoing what is up to there: the code may go on, and has come past it. */
  private leaveBehind(run: KeptRun, upTo: Place | undefined): void {
    const kept = run.undoable.map(({ entry, sequence, forksAgo }) => {
      return { key: entry.key, intent: sequence, forksAgo };
    });
    for (const effect of [...this.#undoable, ...kept]) {
      const undone = isUpTo(effect, upTo) && run.undos.get(effect.key);
      if (!undone) continue;
      run.undos.delete(effect.key);
      this.#tried.set(effect.key, undone);
    }
    forgetUndone(run);
  }

  /** It has undone what was to be undone there; what was made behind it stays. */
  private passOver(undone: readonly string[], run: KeptRun): string[] {
    const { undos } = run;
    for (const effect of this.#undoable.filter(({ key }) => undos.get(key)?.receipt)) {
      undos.delete(effect.key);
      this.#undoable.splice(this.#undoable.indexOf(effect), 1);
    }
    forgetUndone(run);
    return [...undone];
  }

  /** Those whose call the code did not come to again, as far as they are not behind `upTo`. */
  private addKept(
    id: string,
    { undoable }: KeptRun,
    named: RunOptions['compensations'],
    upTo: Place | undefined,
  ): void {
    const stays = ({ sequence, forksAgo }: KeptTool): boolean =>
      !isUpTo({ intent: sequence, forksAgo }, upTo);
    const others = undoable.filter((tool) => !this.#known.has(tool.entry.key) && !stays(tool));
    const unknown = others.filter(({ entry }) => compensationOf(named, entry.name) === undefined);
    if (unknown.length > 0) throw nobodySaysHow(id, unknown);
    for (const { entry, sequence, receipt, forksAgo } of others)
      this.add(
        entry.name,
        { result: receipt?.result, intent: sequence, key: entry.key, forksAgo },
        compensationOf(named, entry.name),
      );
    undoable.splice(0, Infinity, ...undoable.filter(stays));
  }
}

function isUpTo(effect: Parameters<typeof isBehind>[0], upTo: Place | undefined): boolean {
  return upTo === undefined || !isBehind(effect, upTo);
}

/** Where the code goes on all the same, what it makes from now on is behind it. */
async function recordFailure(
  writer: JournalWriter,
  error: string,
  resumes: Place | undefined,
): Promise<void> {
  try {
    const entry = { kind: 'rollback' as const, error, ...(resumes && { resumes }) };
    await writer.append(entry, { owed: true });
  } catch (commitError) {
    // No effect is recorded before this is. The caller must see why it failed.
    if (!(commitError instanceof HoldfastError)) throw commitError;
  }
}

/**
 * What the compensation calls of its run is counted by itself, by the effect it undoes: one that is
 * complete is not called again, and one that is called again comes to the same calls.
 */
async function undo(
  writer: JournalWriter,
  uid: string,
  effect: Undoable,
  kept: KeptRun,
): Promise<void> {
  const { journals, run } = writer;
  const { undos } = kept;
  const aside = asideOf('', 'undo', effect.key);
  const call = {
    run,
    name: effect.name,
    occurrence: 1,
    within: '',
    args: effect.key,
    fn: async (_key: string, context: Parameters<Undoable['compensate']>[1]) => {
      const undone = (): unknown => effect.compensate(ownCopy(effect.result), context);
      await inside(scopeWithin(writer, aside), undone);
    },
    safety: 'idempotent' as const,
    probe: undefined,
    limits: limitsOf({}),
    undoes: effect,
  };
  const before = undos.get(effect.key);
  if (before && !before.receipt) {
    const read = (id: string, from?: number) => journals.read(id, from);
    keepWithin(kept, gatherWithin(read, run, before.sequence, aside));
  }
  try {
    await callTool(writer, uid, call, before);
  } catch (error) {
    // As in another life: a further rollback goes on with this call.
    const undone = journals.pool.closed ? undefined : gatherUndo(journals.read(run), effect.key);
    if (undone) undos.set(effect.key, undone);
    throw error;
  } finally {
    leaveWithin(kept, aside);
  }
  undos.delete(effect.key);
}

function nobodySaysHow(run: string, effects: readonly KeptTool[]): HoldfastError {
  const calls = effects
    .map(({ entry }) => `call ${entry.occurrence} of tool ${JSON.stringify(entry.name)}`)
    .join(', ');
  return new HoldfastError(
    'ERR_HOLDFAST_DIVERGED',
    `run ${JSON.stringify(run)}: nothing was rolled back, since nobody says how to undo ${calls}. ` +
      'Give the run `compensations: { [tool]: (result, context) => … }`, or call these tools again first',
  );
}
