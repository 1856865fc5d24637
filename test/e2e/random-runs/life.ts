/**
 * One life of a pool: several handles, as so many threads would have, each claiming runs and
 * driving them side by side, until a moment that is diced, when one of them or all die.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import { HoldfastError, type HookEvent, type Run } from '../../../lib/index';
import { CLOCK_HOURS, latestNow, rightClock, setClock, standStill } from './clock';
import { Died, full, Mortal } from './deaths';
import { sightOf } from './judge';
import { aside, driven, type Driving, forked, Parks, Program } from './program-run';
import { type Dice, random } from './programs';
import type { Value, World } from './world';

const LEASE = 10_000;
const MAY_END = [
  'ERR_HOLDFAST_SUSPENDED',
  'ERR_HOLDFAST_FENCED',
  'ERR_HOLDFAST_CLOSED',
  'ERR_HOLDFAST_RUN_ACTIVE',
  'ERR_HOLDFAST_RUN_FINISHED',
  'ERR_HOLDFAST_OUTCOME_UNKNOWN',
  'ERR_HOLDFAST_ABORTED',
];

export interface LifeOptions {
  readonly path: string;
  readonly seed: string;
  readonly life: number;
  readonly runs: number;
  /** It is not cut off: ends when all runs are finished, or after so many milliseconds. */
  readonly patience?: number;
}

export class Life {
  readonly #dice: Dice;
  readonly #mortals: Mortal[] = [];
  #over = false;
  /** Moments until somebody dies. */
  #left: number;
  #deaths = 0;

  constructor(
    private readonly world: World,
    private readonly options: LifeOptions,
  ) {
    this.#dice = random(`${options.seed} life ${options.life}`);
    this.#left = this.next();
  }

  /** True: all runs are finished. */
  async live(): Promise<boolean> {
    rightClock();
    // Of the last life it is late enough for all that anybody has waited for.
    setClock(this.options.patience === undefined ? this.#dice(CLOCK_HOURS) : CLOCK_HOURS);
    const handles = 1 + this.#dice(3);
    for (let n = 0; n < handles; ++n) this.open();
    try {
      this.checkAtRest();
      await this.begin();
      for (const mortal of this.#mortals) this.work(mortal);
      return await this.rule();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      return false;
    } finally {
      this.#over = true;
      await this.end();
    }
  }

  private next(): number {
    return this.options.patience === undefined
      ? 1 + this.#dice(this.#dice(3) === 0 ? 12 : 150)
      : Infinity;
  }

  private open(): Mortal {
    const mortal = new Mortal(this.options.path, LEASE, () => {
      if (--this.#left > 0) return false;
      this.#left = this.next();
      this.#deaths += 1;
      this.world.note('death', mortal.pool.handle, this.options.life);
      // One alone, or the process.
      if (this.#dice(3) > 0 && this.#deaths < 4) return true;
      this.#over = true;
      for (const each of this.#mortals) if (each !== mortal) each.kill();
      return true;
    });
    this.#mortals.push(mortal);
    return mortal;
  }

  private living(): Mortal | undefined {
    return this.#mortals.find(({ dead }) => !dead);
  }

  private async end(): Promise<void> {
    const living = this.#mortals.filter(({ dead }) => !dead);
    for (const { pool } of living) await pool.close();
  }

  private async begin(): Promise<void> {
    const { pool } = this.#mortals[0]!;
    const { gone } = this.world;
    const orders = pool.keyspace('orders');
    for (let n = 0; n < this.options.runs; ++n) {
      const id = `agent ${n}`;
      if ((pool.runInfo(id) !== undefined) !== orders.has(id) && !gone.has(id))
        this.world.problem('a run without its batch, or the other way round', id);
      if (pool.runInfo(id)) gone.delete(id);
      else if (gone.has(id) && this.#dice(3) > 0) continue;
      if (pool.runInfo(id)) continue;
      const moment = Date.now() + this.#dice(20);
      const later = this.#dice(4) === 0 ? { notBefore: new Date(moment) } : {};
      this.world.of(id).aside = { token: 0, until: later.notBefore ? moment : 0 };
      const batch = pool.batch().put(orders, id, n);
      await this.#mortals[0]!.orDied(pool.begin(id, { input: { n }, batch, ...later }));
    }
  }

  private work(mortal: Mortal): void {
    for (let workers = 1 + this.#dice(3); workers > 0; --workers)
      void full
        .run(this.isFull(), () => this.worker(mortal))
        .catch((error: unknown) => {
          if (!mortal.dead && !this.#over) this.world.problem('a worker failed', error);
        });
  }

  /** Sometimes some commits in a row find no room. */
  private isFull(): () => boolean {
    const dice = random(`${this.options.seed} ${this.options.life} ${this.#dice(1e9)}`);
    if (this.options.patience !== undefined || dice(3) > 0) return () => false;
    let left = 0;
    return () => {
      if (left === 0 && dice(60) === 0) left = 1 + dice(4);
      return left > 0 && left-- > 0;
    };
  }

  private async worker(mortal: Mortal): Promise<void> {
    const dice = random(`${this.options.seed} ${this.options.life} ${this.#dice(1e9)}`);
    const { world } = this;
    const hooks = {
      onStart: () => this.mayFail(dice),
      onDecision: async ({ run, name, value }: HookEvent) => {
        world.of(run.id).hooked.add(name!);
        this.mayFail(dice);
        const of = `hook ${(value as Value).id}`;
        await aside({ world, mortal, dice }, run, of);
        this.mayFail(dice);
      },
      onInterval: () => this.mayFail(dice),
      everySteps: 1 + dice(4),
      onEnd: () => this.mayFail(dice),
      onHookError: () => this.mayFail(dice, 'a hook that failed'),
    };
    const undo = async (result: unknown, { idempotencyKey: key }: { idempotencyKey: string }) => {
      await mortal.outside();
      const of = key.slice(0, -'-undo'.length);
      const effect = world.effects.get(of);
      if (effect && !world.readings.has(of) && !isDeepStrictEqual(effect.value, result))
        world.problem('undone with another result', key, effect, result);
      world.undone.set(key, (world.undone.get(key) ?? 0) + 1);
      await mortal.outside();
      if (Number(of.slice(-1)) % 2 === 0)
        await aside({ world, mortal, dice }, driven.getStore()!, `undo ${of}`);
      if (dice(2) === 0) throw new Error('busy: undoing');
    };
    const compensations = { a: undo, b: undo };
    let overlooked: Overlooked = new Map();
    while (!this.#over && !mortal.dead) {
      const wait = dice(2) === 0;
      const signal = AbortSignal.timeout(20 + dice(30));
      const claimed = mortal.pool.claim({
        hooks,
        compensations,
        suspendAfter: dice(10),
        ...(wait && { wait, signal }),
      });
      const run = await mortal.living(claimed).catch((error: unknown) => {
        if (!mayEnd(error)) throw error;
        // What could be claimed found no room.
        if (codeOf(error) === 'ERR_HOLDFAST_POOL_FULL') overlooked = new Map();
      });
      if (!run) {
        // Another worker may be taking one over, which is not read before its barrier.
        if (overlooked.size > 0) await mortal.living(mortal.pool.settled()).catch(() => {});
        if (mortal.pool.closed) return;
        if (!wait) overlooked = this.overlook(mortal, overlooked);
        await pause(1 + dice(5));
        continue;
      }
      overlooked = new Map();
      const told = world.of(run.id);
      const { token, until } = told.aside;
      // Else somebody has driven it since, perhaps without being told.
      if (run.fencingToken === token + 1 && latestNow() < until && !told.unparked.has(token))
        world.problem('claimed too early', run.id, told.aside);
      const options = { hooks, compensations, suspendAfter: dice(10) };
      world.note('claimed', run.id, run.fencingToken, mortal.pool.handle, this.options.life);
      const patient = this.options.patience !== undefined;
      const driving: Driving = { world, mortal, dice, seed: this.options.seed, patient, options };
      try {
        await new Program(driving, run).drive();
      } catch (error) {
        if (mortal.dead) return;
        world.note('left', run.id, codeOf(error), (error as Error).message);
        if (error instanceof Parks) await this.park(mortal, run, error);
        else if (!mayEnd(error)) throw error;
      } finally {
        if (!mortal.dead) run.close();
      }
    }
  }

  private mayFail(dice: Dice, what = 'busy: a hook'): void {
    if (dice(8) === 0) throw new Error(what);
  }

  /** What can be claimed although nothing was: not so again and again. */
  private overlook({ pool }: Mortal, before: Overlooked): Overlooked {
    const now: Overlooked = new Map();
    // All are looked at here: the list of what is runnable looks where a claim does.
    for (const { id, runnable, fencingToken: token } of pool.runs()) {
      if (!runnable) continue;
      const last = before.get(id);
      const times = last?.token === token ? last.times + 1 : 1;
      if (times > 2) this.world.problem('overlooked', pool.runInfo(id));
      now.set(id, { token, times });
    }
    return now;
  }

  private async park(mortal: Mortal, run: Run, why: Parks): Promise<void> {
    const told = this.world.of(run.id);
    const moment = why.until === undefined ? undefined : Date.now() + why.until;
    const until = moment === undefined ? undefined : new Date(moment);
    try {
      await mortal.living(run.park(why, { until }));
    } catch (error) {
      if (!mayEnd(error)) throw error;
      return;
    }
    told.aside = { token: run.fencingToken, until: moment ?? Infinity };
  }

  /** Signals, answers, what is parked, and whether all are finished. */
  private async rule(): Promise<boolean> {
    const { patience } = this.options;
    const until = performance.now() + (patience ?? Infinity);
    const turns = patience === undefined ? 5 + this.#dice(400) : Infinity;
    for (let turn = 0; turn < turns; ++turn) {
      await pause(2);
      if (this.world.problems.length > 0 || this.#over) return false;
      const more = this.#mortals.length < 8 && this.#dice(40) === 0;
      if (more || this.living() === undefined) this.work(this.open());
      const mortal = this.living();
      if (patience === undefined && this.#dice(30) === 0) setClock(this.#dice(CLOCK_HOURS));
      if (patience === undefined && this.#dice(40) === 0) {
        standStill(LEASE + 1);
        this.world.note('all stood still');
      }
      try {
        if (mortal && (await this.ruleOnce(mortal))) return true;
      } catch (error) {
        if (!(error instanceof Died) && !mortal?.dead) throw error;
      }
      if (performance.now() < until || !mortal) continue;
      this.world.problem('not finished in time', [...mortal.pool.runs()].filter(isOpen));
      break;
    }
    return false;
  }

  private async ruleOnce(mortal: Mortal): Promise<boolean> {
    const { world } = this;
    const { pool } = mortal;
    const all = [...pool.runs()];
    const unfinished = all.filter(isOpen);
    const begun = (n: number): boolean =>
      world.gone.has(`agent ${n}`) || pool.runInfo(`agent ${n}`) !== undefined;
    if (
      unfinished.length === 0 &&
      pool.unknownOutcomes().length === 0 &&
      Array.from({ length: this.options.runs }, (_, n) => n).every(begun)
    )
      return true;
    for (const { id, parked, waits, fencingToken } of unfinished) {
      if (!parked)
        for (const wait of waits) 'signal' in wait && (await this.send(mortal, id, wait.signal));
      // Before anybody asks for it.
      if (this.#dice(200) === 0) await this.send(mortal, id, this.#dice(2) === 0 ? 'a' : 'b');
      else if (waits.length === 0 && this.#dice(3) === 0) {
        world.of(id).unparked.add(fencingToken);
        await mortal.orDied(pool.unpark(id));
      }
    }
    const some = all[this.#dice(all.length + 20)];
    // What was listed may have been pruned or forgotten since.
    if (some)
      await this.lookInto(mortal, some.id).catch((error: unknown) => {
        if (codeOf(error) !== 'ERR_HOLDFAST_NOT_FOUND') throw error;
      });
    if (this.#dice(60) === 0) await this.forget(mortal);
    for (const { id, attempt } of pool.unknownOutcomes()) {
      if (this.#dice(3) > 0) continue;
      const answer = world.asked(id, { attempt });
      const resolution = answer.happened ? { value: answer.result } : 'never-happened';
      await mortal.orDied(pool.resolve(id, resolution)).catch((error: unknown) => {
        if (!['ERR_HOLDFAST_CONFLICT', 'ERR_HOLDFAST_NOT_FOUND'].includes(codeOf(error)))
          throw error;
      });
    }
    return false;
  }

  private async send(mortal: Mortal, run: string, name: string): Promise<void> {
    const told = this.world.of(run);
    const value = this.world.fresh(run, ` signal ${name}`);
    const sent = told.sent.get(name) ?? [];
    told.sent.set(name, sent);
    const one = { value, landed: false };
    sent.push(one);
    await mortal.orDied(mortal.pool.signal(run, name, value)).then(
      () => void (one.landed = true),
      (error: unknown) => {
        const over = ['ERR_HOLDFAST_RUN_FINISHED', 'ERR_HOLDFAST_NOT_FOUND'];
        if (!over.includes(codeOf(error))) throw error;
      },
    );
  }

  /** What somebody does with a run who does not drive it. */
  private async lookInto(mortal: Mortal, id: string): Promise<void> {
    const { pool } = mortal;
    const { world } = this;
    switch (this.#dice(6)) {
      case 0:
        return this.follow(mortal, id);
      case 1: {
        const all = [...pool.history(id)];
        const states = all.map((one) => pool.at(one.id));
        for (const state of states) world.checkState(id, state);
        const [first, last] = [all[0], all.at(-1)];
        if (!first || !last) return;
        const changed = pool.diff(first.id, last.id).length > 0;
        if (changed !== !isDeepStrictEqual(states[0], states.at(-1)))
          world.problem('another difference than there is', id, states[0], states.at(-1));
        return;
      }
      case 2:
        if (this.#dice(3) === 0)
          await mortal.orDied(pool.prune(id, { keepLast: 1 + this.#dice(3) }));
        return;
      case 3: {
        const all = [...pool.history(id)];
        const one = all[this.#dice(all.length)];
        if (!one || id.includes('~') || this.#dice(4) > 0) return;
        const fork = (as: string) => mortal.orDied(pool.fork(one.id, as));
        await forked(world, this.options.seed, id, one.id, pool.at(one.id), '~9', fork);
        return;
      }
      case 4:
        // It is driven, or else it is driven here for no more than a moment.
        if (pool.runInfo(id) === undefined) return;
        await mortal
          .orDied(pool.run(id))
          .then((run) => run.close())
          .catch((error: unknown) => {
            if (!mayEnd(error)) throw error;
          });
        return;
      default:
    }
  }

  private follow({ pool }: Mortal, id: string): void {
    const { followed } = this.world.of(id);
    const follow = async (): Promise<void> => {
      for await (const entry of pool.journal(id, { follow: true })) {
        const seen = followed.get(entry.sequence);
        if (seen !== undefined && seen !== sightOf(entry))
          this.world.problem('followed another journal', id, seen, entry);
        followed.set(entry.sequence, sightOf(entry));
      }
    };
    follow().catch((error: unknown) => {
      if (!pool.closed && !this.#over) this.world.problem('a follower failed', id, error);
    });
  }

  private async forget(mortal: Mortal): Promise<void> {
    const { pool } = mortal;
    this.world.forgets = true;
    // Whatever has ended, by whatever clock.
    const olderThan = new Date(4e14);
    const isThere = (id: string): boolean => pool.runInfo(id) !== undefined;
    await mortal.orDied(pool.forgetRuns({ olderThan })).finally(() => {
      if (!mortal.dead) this.world.forgotten(isThere);
    });
  }

  /** Nobody drives yet: whoever has something to do is found. */
  private checkAtRest(): void {
    const { pool } = this.#mortals[0]!;
    const { world } = this;
    world.forgotten((id) => pool.runInfo(id) !== undefined);
    // What a dead handle had handed over before may land between two looks, but not for ever.
    const isOverlooked = (id: string): boolean =>
      pool.runInfo(id)?.runnable === true &&
      ![...pool.runs({ status: 'runnable' })].some((run) => run.id === id);
    for (const told of world.told.values()) {
      const info = pool.runInfo(told.id);
      if (told.finished && info?.status !== 'finished')
        world.problem('not finished', told.id, info);
      if (info?.driven) world.problem('driven by the dead', told.id);
      if (isOverlooked(told.id) && isOverlooked(told.id))
        world.problem('not listed', told.id, info);
    }
  }
}

/** By run. */
type Overlooked = Map<string, { token: number; times: number }>;

const isOpen = ({ status }: { status: string }) => status !== 'finished';

function codeOf(error: unknown): string {
  return error instanceof HoldfastError ? error.code : '';
}

function mayEnd(error: unknown): boolean {
  return MAY_END.includes(codeOf(error)) || /^busy|took longer/.test((error as Error).message);
}
