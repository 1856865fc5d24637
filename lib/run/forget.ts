/**
 * Forgetting runs that nobody will ask for again: of each all that the pool keeps.
 *
 * A run goes in one commit, under the condition that it is as it was looked at; its children go in
 * the same one. Where there is too much for that, or something of its checkpoints belongs to other
 * runs too, it goes in several: its checkpoints first, so that nobody can fork it any more, then
 * children before parents, and of each its header last. So a crash leaves a run that is finished
 * and cannot be driven, and is forgotten by forgetting again. Any number of threads may forget at
 * the same time, beside drivers.
 */
import { CheckpointStore } from '../checkpoint/index';
import { abortedError, isConflict } from '../errors';
import { booleanOption, olderThanOption, optionsObject, signalOption } from '../options';
import { type Change, type Guard, Slices, turn } from '../slices';
import type { ForgetRunsOptions, ForgottenRuns } from './types';
import type { PoolCore } from '../types';
import { Belonging, type Going, type Reason } from './belonging';
import { ownerOf } from './checkpoints';
import { endedBefore, listEnded, listMissed } from './ended';
import { isDriven } from './holder';
import { Journals } from './journals';
import { checkIdText, type MomentKey } from './keys';
import { effectsOf, removalOf } from './removal';
import { readable } from './unreadable';

/** What more a run takes in a commit than its steps: conditions, and what its last one changes. */
const MORE_A_RUN = 8;
const MOST_STEPS = 1024;
const LOOKS_A_TURN = 256;

/** Forgets runs that ended before a moment, or longer ago than so many milliseconds. */
export async function forgetRuns(
  pool: PoolCore,
  given?: ForgetRunsOptions,
): Promise<ForgottenRuns> {
  const options = optionsObject(given, 'forgetRuns', ['olderThan', 'prefix', 'dryRun', 'signal']);
  // There is no default: what is forgotten is gone.
  const before = olderThanOption(options.olderThan);
  checkIdText(options.prefix, 'prefix');
  const dryRun = booleanOption('dryRun', options.dryRun);
  const { prefix = '' } = options;
  return new Forgetting(pool, before, prefix, dryRun, signalOption(options.signal)).run();
}

/**
 * Forgets all runs of an adapter whose id begins so, ended or not, but for those that are being
 * driven: what those do outside is to be recorded, and who drives one forgets it afterwards.
 * Nothing may have been forked from them, and they have no checkpoints.
 */
export async function forgetOwned(pool: PoolCore, prefix: string): Promise<void> {
  for (;;) {
    try {
      await forgetOwnedOnce(pool, prefix);
      return;
    } catch (error) {
      // Somebody has begun to drive one of them: once more, around it.
      if (!isConflict(error)) throw error;
    }
  }
}

async function forgetOwnedOnce(pool: PoolCore, prefix: string): Promise<void> {
  const journals = Journals.of(pool);
  const { driverTexts, headers } = journals;
  const slices = new Slices(pool);
  for (const id of headers.keys({ prefix })) {
    const driver = driverTexts.get(id);
    // What is damaged is deleted too.
    if (readable(() => isDriven(journals, id))) continue;
    if (driver === undefined) slices.batch.requireAbsent(driverTexts, id);
    else slices.batch.requireEqual(driverTexts, id, driver);
    const effects = readable(() => effectsOf(journals, id)) ?? [];
    const header = readable(() => headers.get(id));
    for (const change of removalOf(journals, id, header, effects)) change(slices.batch);
    await slices.cut();
  }
  await slices.end();
}

interface Step {
  readonly guards: readonly Guard[];
  readonly change: Change;
}

/** Looks once at all runs that ended before a moment. */
class Forgetting {
  #removed = 0;
  readonly #kept: Record<Reason, number> = {
    unknownOutcomes: 0,
    forks: 0,
    children: 0,
    unreadable: 0,
  };
  readonly #journals: Journals;
  readonly #store: CheckpointStore;
  readonly #belonging: Belonging;
  readonly #slices: Slices;
  /** In the slice that gathers. */
  #gathered: Going[] = [];
  /** That share something go last, so that what they share is looked through once. */
  readonly #sharing: Going[] = [];
  /** That somebody else changed while they were about to go. */
  #again: Going[] = [];
  readonly #seen = new WeakSet<Going>();
  #looks = 0;

  constructor(
    pool: PoolCore,
    private readonly before: number,
    private readonly prefix: string,
    private readonly dryRun: boolean,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#journals = Journals.of(pool);
    this.#store = CheckpointStore.of(pool);
    this.#belonging = new Belonging(pool, before, prefix);
    this.#slices = new Slices(pool);
  }

  async run(): Promise<ForgottenRuns> {
    const noted = await this.#list();
    for (const key of endedBefore(this.#journals, this.before)) {
      if (key.run.startsWith(this.prefix)) await this.#forget(key);
      await this.#mayGoOn();
    }
    await this.#commit();
    await this.#removeSharing(this.#sharing);
    while (this.#again.length > 0) await this.#tryAgain();
    await this.#note(noted);
    return { removed: this.#removed, kept: this.#kept };
  }

  /** Gives what is to be noted when all that was found is gone. */
  async #list(): Promise<Change | undefined> {
    const mayGoOn = (): Promise<void> => this.#mayGoOn();
    if (this.dryRun) return undefined;
    await listEnded(this.#journals, mayGoOn);
    return this.#journals.knowsEnded ? listMissed(this.#journals, mayGoOn) : undefined;
  }

  /** Nothing depends on it, and all that was to be done is done. */
  async #note(noted: Change | undefined): Promise<void> {
    if (noted === undefined) return;
    const { pool } = this.#journals;
    const batch = pool.batch();
    noted(batch);
    await pool.commit(batch, { durability: 'eventual' }).catch(() => {});
  }

  async #forget(key: MomentKey): Promise<void> {
    const verdict = await this.#belonging.verdictOn(key);
    if (verdict === undefined) this.#leadsToNothing(key);
    else if (typeof verdict === 'string') this.#kept[verdict] += 1;
    else if (!this.#seen.has(verdict)) {
      this.#seen.add(verdict);
      if (this.dryRun) this.#removed += verdict.runs.length;
      else if (verdict.shares) this.#sharing.push(verdict);
      else await this.#remove(verdict, true);
    }
  }

  /** A run that was deleted by a build that knows nothing of the list. */
  #leadsToNothing(key: MomentKey): void {
    const { ended, headers } = this.#journals;
    if (this.dryRun || !ended.has(key) || headers.has(key.run)) return;
    this.#slices.batch.requireAbsent(headers, key.run).delete(ended, key);
  }

  async #tryAgain(): Promise<void> {
    const again = this.#again;
    this.#again = [];
    for (const { runs } of again) {
      await this.#mayGoOn();
      this.#belonging.lookAgain();
      const verdict = await this.#belonging.verdictOn(runs[0]!.place);
      if (verdict === undefined) continue;
      if (typeof verdict === 'string') this.#kept[verdict] += runs.length;
      else if (verdict.shares) await this.#removeSharing([verdict]);
      else await this.#remove(verdict, true);
      await this.#commit();
    }
  }

  /** The checkpoints of all of them, what nobody needs then, and at last the runs. */
  async #removeSharing(units: readonly Going[]): Promise<void> {
    if (units.length === 0) return;
    const dropped = units.flatMap(({ runs }) =>
      runs.flatMap(({ id, family, unchanged }) =>
        family === undefined ? [] : [{ owner: ownerOf(id), family, guards: [unchanged] }],
      ),
    );
    try {
      await this.#store.drop(dropped);
    } catch (error) {
      if (!isConflict(error)) throw error;
      this.#again.push(...units);
      return;
    }
    for (const unit of units) {
      await this.#remove(unit, false);
      await this.#mayGoOn();
    }
    await this.#commit();
  }

  async #remove(unit: Going, withCheckpoints: boolean): Promise<void> {
    const steps = this.#stepsOf(unit, withCheckpoints);
    const first: Step[] = [];
    let next = steps.next();
    for (; !next.done && first.length < MOST_STEPS; next = steps.next()) first.push(next.value);
    const whole = next.done === true;
    if (!whole || !this.#slices.hasRoom(first.length + MORE_A_RUN * unit.runs.length))
      await this.#commit();
    for (const step of first) this.#add(step);
    if (whole) this.#gathered.push(unit);
    else await this.#removeRest(unit, next, steps);
  }

  async #removeRest(
    unit: Going,
    next: IteratorResult<Step, undefined>,
    steps: Iterator<Step, undefined>,
  ): Promise<void> {
    try {
      for (; !next.done; next = steps.next()) {
        await this.#slices.cut();
        this.#add(next.value);
      }
      await this.#slices.end();
      this.#removed += unit.runs.length;
    } catch (error) {
      if (!isConflict(error)) throw error;
      this.#again.push(unit);
    }
    await turn();
  }

  #add({ guards, change }: Step): void {
    change(this.#slices.under(...guards));
  }

  *#stepsOf({ runs }: Going, withCheckpoints: boolean): Generator<Step, undefined> {
    if (withCheckpoints) {
      for (const { id, family, unchanged } of runs) {
        if (family === undefined) continue;
        const guards = [unchanged, family.unchanged];
        for (const change of this.#store.dropping(ownerOf(id), family.number))
          yield { guards, change };
      }
    }
    for (const { id, header, effects, unchanged } of [...runs].reverse()) {
      const guards = [unchanged];
      for (const change of removalOf(this.#journals, id, header, effects)) yield { guards, change };
    }
    return undefined;
  }

  async #commit(): Promise<void> {
    const gathered = this.#gathered;
    this.#gathered = [];
    try {
      await this.#slices.end();
      for (const { runs } of gathered) this.#removed += runs.length;
    } catch (error) {
      if (!isConflict(error)) throw error;
      this.#again.push(...gathered);
    }
    await turn();
  }

  async #mayGoOn(): Promise<void> {
    if (this.signal?.aborted) throw abortedError(this.signal, 'Forgetting runs');
    if (++this.#looks % LOOKS_A_TURN === 0) await turn();
  }
}
