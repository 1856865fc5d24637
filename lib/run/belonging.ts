/**
 * Which of the runs that have ended may be forgotten, and what goes together.
 *
 * - A run and its children, and theirs, are one: a parent that goes on, or from which somebody
 *   forks, recalls what its children did; and a new run of the same id must find none of them.
 * - A run stays as long as one that was forked from it: that has a part of its journal there.
 * - A run stays as long as nobody has said what became of an effect of it, and where something of
 *   it cannot be read: nobody knows then what it belongs to.
 *
 * Reading; changes nothing. What was found holds as long as the conditions that come with it.
 */
import { CheckpointStore, type Family } from '../checkpoint/index';
import { type Guard, turn } from '../slices';
import type { PoolCore } from '../types';
import { ownerOf, runOf } from './checkpoints';
import { endOf } from './ended';
import type { RunHeader } from './entries';
import { endedKey, Journals } from './journals';
import type { MomentKey } from './keys';
import { effectsOf } from './removal';
import type { ForgottenRuns } from './types';
import { isOfOneRun, readable } from './unreadable';

export type Reason = keyof ForgottenRuns['kept'];

export interface EndedRun {
  readonly id: string;
  /** Where it stands in the list of those that have ended. */
  readonly place: MomentKey;
  readonly header: RunHeader;
  /** Idempotency keys that stand in the list of effects without a receipt. */
  readonly effects: readonly string[];
  readonly family: Family | undefined;
  /** A condition: it is the run that was looked at, not a later one of the same id. */
  readonly unchanged: Guard;
}

/** Runs that go together. */
export interface Going {
  /** A parent stands before its children. */
  readonly runs: readonly EndedRun[];
  /** Of the checkpoints of one of them something belongs to other runs too. */
  readonly shares: boolean;
}

type Verdict = Going | Reason;

/** Of one family: who was forked from whom. */
interface Forks {
  readonly family: Family;
  readonly of: ReadonlyMap<string, readonly string[]>;
}

const LOOKS_A_TURN = 256;

export class Belonging {
  readonly #journals: Journals;
  readonly #store: CheckpointStore;
  /** Of runs that stay, and of those that have relatives, by the one at the top. */
  readonly #verdicts = new Map<string, Verdict>();
  readonly #forks = new Map<number, Forks>();
  #looks = 0;

  /** Those that ended before a moment, and whose id begins with `prefix`. */
  constructor(
    pool: PoolCore,
    private readonly before: number,
    private readonly prefix: string,
  ) {
    this.#journals = Journals.of(pool);
    this.#store = CheckpointStore.of(pool);
  }

  /**
   * What becomes of a run that has ended; the same for all that go together. Undefined: it is not
   * there any more, or is another of the same id.
   */
  async verdictOn({ run, at }: MomentKey): Promise<Verdict | undefined> {
    try {
      const header = this.#header(run);
      const end = header && endOf(this.#journals, run, header);
      if (end === undefined || endedKey(run, end).at !== at) return undefined;
      return await this.#verdictOnTree(this.#topOf(run));
    } catch (error) {
      if (!isOfOneRun(error)) throw error;
      return 'unreadable';
    }
  }

  /** Something has changed: all is to be looked at again. */
  lookAgain(): void {
    this.#verdicts.clear();
    this.#forks.clear();
  }

  #topOf(id: string): string {
    let top = id;
    for (;;) {
      const parent = this.#header(top)?.parent;
      if (parent === undefined || !this.#journals.headers.has(parent)) return top;
      top = parent;
    }
  }

  async #verdictOnTree(top: string): Promise<Verdict> {
    const known = this.#verdicts.get(top);
    if (known !== undefined) return known;
    // Should a fork, against all order, lead back to here.
    this.#verdicts.set(top, 'forks');
    const verdict = await this.#judge(top).catch((error: unknown): Reason => {
      if (!isOfOneRun(error)) throw error;
      return 'unreadable';
    });
    const alone = typeof verdict === 'object' && verdict.runs.length === 1 && !verdict.shares;
    if (alone) this.#verdicts.delete(top);
    else this.#verdicts.set(top, verdict);
    return verdict;
  }

  async #judge(top: string): Promise<Verdict> {
    const first = this.#look(top);
    if (typeof first === 'string') return first;
    const runs = [first];
    const ids = new Set([top]);
    for (const id of this.#journals.headers.keys({ prefix: `${top}/` })) {
      await this.#breathe();
      const header = this.#header(id);
      if (!ids.has(header?.parent ?? '')) continue;
      const run = this.#look(id, header);
      if (typeof run === 'string') return run;
      ids.add(id);
      runs.push(run);
    }
    const shares = runs.some(({ family }) => family !== undefined && family.owners.length > 1);
    return shares && (await this.#isForked(runs)) ? 'forks' : { runs, shares };
  }

  #look(id: string, header = this.#header(id)): EndedRun | Reason {
    const end = header && endOf(this.#journals, id, header);
    if (end === undefined || end >= this.before || !id.startsWith(this.prefix)) return 'children';
    const effects = effectsOf(this.#journals, id);
    if (effects.some((key) => this.#isUnknown(key))) return 'unknownOutcomes';
    const number = this.#store.familyOf(ownerOf(id));
    const { headers } = this.#journals;
    return {
      id,
      place: endedKey(id, end),
      header: header!,
      effects,
      family: number === undefined ? undefined : this.#familyOf(number),
      unchanged: (batch) => batch.requireEqual(headers, id, header!),
    };
  }

  /** Does one that stays have a part of its journal in one of these? */
  async #isForked(runs: readonly EndedRun[]): Promise<boolean> {
    for (const { id, family } of runs) {
      if (family === undefined || family.owners.length === 1) continue;
      const { of } = await this.#forksIn(family);
      for (const fork of of.get(id) ?? []) {
        await this.#breathe();
        const verdict = await this.#verdictOnTree(this.#topOf(fork));
        if (typeof verdict === 'string') return true;
      }
    }
    return false;
  }

  #familyOf(number: number): Family {
    return this.#forks.get(number)?.family ?? this.#store.family(number);
  }

  async #forksIn(family: Family): Promise<Forks> {
    const known = this.#forks.get(family.number);
    if (known !== undefined) return known;
    const of = new Map<string, string[]>();
    for (const owner of family.owners) {
      await this.#breathe();
      const id = runOf(owner);
      if (id === undefined || !this.#journals.headers.has(id)) continue;
      const first = this.#journals.first(id);
      if (first?.kind !== 'start' || !first.from) continue;
      const { run } = first.from;
      of.set(run, [...(of.get(run) ?? []), id]);
    }
    const forks = { family, of };
    this.#forks.set(family.number, forks);
    return forks;
  }

  /** Asked for after the run was seen to have ended: its effects only become fewer then. */
  #isUnknown(key: string): boolean {
    const { intents, resolutions } = this.#journals;
    if (!intents.has(key) || resolutions.has(key)) return false;
    return readable(() => intents.get(key))?.state !== 'never';
  }

  #header(id: string): RunHeader | undefined {
    return this.#journals.headers.get(id);
  }

  async #breathe(): Promise<void> {
    if (++this.#looks % LOOKS_A_TURN === 0) await turn();
  }
}
