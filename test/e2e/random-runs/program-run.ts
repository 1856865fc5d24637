/** Drives one run through its program, and tells the world what it was told. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as pause } from 'node:timers/promises';

import type { Holdfast, ProbeAnswer, Run, RunOptions, ToolContext } from '../../../lib/index';
import type { Mortal } from './deaths';
import { type Dice, operationsOf, type Operation, programOf } from './programs';
import type { Saved, Told, Value, World } from './world';

export interface Driving {
  readonly world: World;
  readonly mortal: Mortal;
  readonly dice: Dice;
  readonly seed: string;
  /** Nothing is cut off any more. */
  readonly patient: boolean;
  /** For children too. */
  readonly options: RunOptions;
}

const busy = (why: string) => Object.assign(new Error(`busy: ${why}`), { neverHappened: true });

/** The run that is driven where this is asked: for its compensations. */
export const driven = new AsyncLocalStorage<Run>();

/** Its code puts the run aside. */
export class Parks extends Error {
  constructor(readonly until: number | undefined) {
    super('busy: parks');
  }
}

export class Program {
  readonly #pool: Holdfast;
  readonly #values: Record<string, unknown> = {};
  /** Of this run, not of a later one of the same id. */
  readonly #told: Told;

  constructor(
    private readonly driving: Driving,
    private readonly run: Run,
  ) {
    this.#pool = driving.mortal.pool;
    this.#told = driving.world.of(run.id);
    this.#told.newest = Math.max(this.#told.newest, run.fencingToken);
  }

  drive(): Promise<unknown> {
    return driven.run(this.run, () => this.driveOn());
  }

  private async driveOn(): Promise<unknown> {
    const { driving, run } = this;
    const { world, mortal } = driving;
    const told = this.#told;
    if (run.status === 'finished') {
      told.ending = true;
      if (told.finished && told.finished.result !== (run.result as Value).id)
        world.problem('another result', run.id, told.finished, run.result);
      return run.result;
    }
    if (told.finished) world.problem('driven although finished', run.id);
    this.checkState();
    const { ops, undone } = programOf(driving.seed, run.id);
    for (const [place, op] of ops.entries()) {
      told.furthest = Math.max(told.furthest, place);
      await this.one(op, place);
    }
    told.furthest = ops.length;
    if (undone) await this.living(run.rollback());
    const made = world.fresh(run.id, ' end');
    told.ending = true;
    world.note('ends', run.id, run.fencingToken, mortal.pool.handle);
    await this.living(run.finish(made));
    told.finished = { result: made.id };
    world.note('ended', run.id, run.fencingToken);
    mortal.at('outside');
    return made;
  }

  private checkState(): void {
    const { world } = this.driving;
    const told = this.#told;
    const state = this.run.state as Saved | undefined;
    const number = state?.number;
    // A fork of a child has its state.
    const isAny =
      this.run.id.includes('~') &&
      this.run.id.includes('/') &&
      told.saving.length === 0 &&
      told.saved.state === undefined;
    if (!isAny && number !== told.saved.state && !told.saving.includes(number))
      world.problem('another state', this.run.id, told.saved, told.saving, number);
    world.checkState(this.run.id, state);
    if (this.run.fencingToken !== told.newest) return;
    told.saved = { ...told.saved, state: number };
    told.saving = [];
  }

  private living<T>(value: Promise<T>): Promise<T> {
    return this.driving.mortal.living(value);
  }

  private async all(ops: readonly Operation[]): Promise<void> {
    for (const op of ops) await this.one(op);
  }

  private async beside(ops: readonly Operation[]): Promise<void> {
    const ended = await Promise.allSettled(ops.map((op) => this.one(op)));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  private async one(op: Operation, place?: number): Promise<void> {
    if (op.beside) return this.beside(op.beside);
    const value = await this.living(this.call(op, place));
    if (value === undefined) return;
    const { world, dice } = this.driving;
    const told = this.#told;
    world.ack(told, op, value);
    this.#values[op.at] = value;
    if (op.kind === 'decision' && !this.run.id.includes('~') && !told.hooked.has(op.name))
      world.problem('a decision without its hook', this.run.id, op.at);
    // It is the code's from now on.
    if (typeof value === 'object' && dice(3) === 0) (value as { mine?: number }).mine = 1;
  }

  private async call(op: Operation, place = -1): Promise<unknown> {
    const { run } = this;
    const { world, dice } = this.driving;
    const { kind, name, at } = op;
    switch (kind) {
      case 'tool':
        return run.tool(
          name,
          at,
          (args, context) => this.effect(op, args, context),
          this.toolOptions(op),
        );
      case 'torn':
        return run.tool(name, at, (_args, context) => this.torn(op, context), this.toolOptions(op));
      case 'loose':
        return this.loose(op);
      case 'hand':
        return this.hand(op);
      case 'signal':
        return run.signal(name);
      case 'sleep':
        return void (await run.sleep(dice(2) === 0 ? op.ms : new Date(Date.now() + op.ms)));
      case 'race':
        return this.race(op);
      case 'checkpoint':
        return this.checkpoint(at);
      case 'restore':
        return this.restore();
      case 'prune':
        return void (await run.prune({ keepLast: 1 + dice(3) }));
      case 'child':
        return this.child(op);
      case 'version':
        return this.version(op, place);
      case 'park':
        return this.park(op);
      case 'rollback':
        return this.rollback(op);
      case 'fork':
        return this.fork(op);
      case 'once':
        return run.step(name, at, () => this.once(op));
      case 'eventual':
        return run.step(name, at, () => this.work(op), { durability: 'eventual' });
      case 'decision':
        return run.decision(name, at, () => this.work(op));
      default:
        return run.step(name, at, () => this.work(op));
    }
  }

  /** Some code goes on behind one that failed. */
  private async rollback({ caught }: Operation): Promise<undefined> {
    try {
      await this.run.rollback();
    } catch (error) {
      if (!caught || !String(error).includes('busy: undoing')) throw error;
    }
  }

  private async work(op: Operation): Promise<unknown> {
    const { world, mortal, dice } = this.driving;
    await mortal.outside();
    world.called(this.#told, op, this.run.fencingToken);
    if (op.inner) await this.all(op.inner);
    else await pause(dice(3));
    await mortal.outside();
    return world.fresh(this.run.id, op.at);
  }

  private toolOptions(op: Operation) {
    const { world, dice, patient } = this.driving;
    // However busy the machine is, all comes to its end.
    const hurried = !patient && dice(3) === 0;
    return {
      safety: op.safety,
      retry: { attempts: 3, delay: 1 },
      ...(hurried && op.timeout !== undefined && { timeout: op.timeout }),
      ...(hurried && op.aborts !== undefined && { signal: AbortSignal.timeout(op.aborts) }),
      ...((op.probe || op.kind === 'torn') && {
        probe: async (key: string) => {
          await pause(dice(2));
          if (dice(8) === 0) return 'unknown' as const;
          if (dice(8) === 0) throw new Error('busy: the probe');
          await this.driving.mortal.outside();
          return world.asked(key, { token: this.run.fencingToken });
        },
      }),
    };
  }

  private async effect(op: Operation, args: unknown, context: ToolContext): Promise<unknown> {
    const { world, mortal, dice } = this.driving;
    const { idempotencyKey: key, attempt } = context;
    await mortal.outside();
    if (args !== op.at) world.problem('other arguments', this.run.id, op.at, args);
    world.called(this.#told, op, this.run.fencingToken);
    world.attempt(this.#told, op.at, key, attempt);
    if (attempt <= op.refuses) throw busy('refused');
    if (op.inner) await this.all(op.inner);
    if (op.breaks && attempt % 2 === 1) throw busy('breaks');
    await pause(dice(op.timeout === undefined ? 3 : 10));
    await mortal.outside();
    const value = world.happen(this.#told, op, context);
    if (value === undefined) throw busy('stale');
    await mortal.outside();
    if (op.throws && attempt === 1) throw new Error('busy: timed out, though it happened');
    await pause(dice(2));
    return value;
  }

  /** All at once, one of which fails in the first attempt while the others go on. */
  private async torn(op: Operation, context: ToolContext): Promise<unknown> {
    const { world, mortal, dice } = this.driving;
    const { attempt, idempotencyKey: key } = context;
    await mortal.outside();
    world.called(this.#told, op, this.run.fencingToken);
    world.attempt(this.#told, op.at, key, attempt);
    const inner = op.inner!.map((one) => this.one(one));
    // Nobody waits for those behind an attempt that failed.
    for (const one of inner) one.catch(() => {});
    if (attempt % 3 !== 0) {
      await pause(dice(4));
      if (dice(3) > 0) throw busy('torn');
    }
    await Promise.all(inner);
    await mortal.outside();
    const value = world.happen(this.#told, op, context);
    if (value === undefined) throw busy('stale');
    return value;
  }

  /** The code goes on behind a step that failed, and what was called within it goes on too. */
  private async loose(op: Operation): Promise<unknown> {
    const { world, mortal, dice } = this.driving;
    const fails = dice(3) > 0;
    const work = async (): Promise<Value> => {
      await mortal.outside();
      world.called(this.#told, op, this.run.fencingToken);
      const inner = op.inner!.map((one) => this.one(one));
      for (const one of inner) one.catch(() => {});
      if (fails) {
        await pause(dice(4));
        throw busy('loose');
      }
      await Promise.all(inner);
      return world.fresh(this.run.id, op.at);
    };
    try {
      return await this.run.step(op.name, op.at, work);
    } catch (error) {
      if (!String(error).includes('busy: loose')) throw error;
      return undefined;
    }
  }

  private async race({ name, at }: Operation): Promise<unknown> {
    const { run } = this;
    const end = new AbortController();
    const { signal } = end;
    const late = run.sleep(this.driving.dice(10), { signal }).then(() => 'late');
    const came = run.signal<Value>(name, { signal }).then(({ id }) => id);
    came.catch(() => {});
    const first = await Promise.race([came, late]).finally(() => end.abort());
    return run.step(`race ${at}`, at, () => ({ id: first, more: undefined }));
  }

  private async once(op: Operation): Promise<unknown> {
    const { world, mortal } = this.driving;
    await mortal.outside();
    world.called(this.#told, op, this.run.fencingToken);
    const counts = this.#pool.keyspace('counts');
    const id = `${this.run.id} ${op.at}`;
    // A second time would be refused.
    const batch = this.#pool.batch().requireAbsent(counts, id).put(counts, id, 1);
    await this.living(this.#pool.applyOnce(id, batch));
    return world.fresh(this.run.id, op.at);
  }

  private async child({ name }: Operation): Promise<unknown> {
    const child = await this.living(this.run.child(name, this.driving.options));
    try {
      return await new Program(this.driving, child).drive();
    } finally {
      child.close();
    }
  }

  /** Others may drive it until its parent comes to it again. */
  private async hand(op: Operation): Promise<unknown> {
    const { dice, options } = this.driving;
    const child = await this.living(this.run.child(op.name, options));
    child.close();
    await pause(dice(5));
    return this.child(op);
  }

  /** A line that came later, with the question whether the run began with it. */
  private async version(op: Operation, place: number): Promise<unknown> {
    const { world } = this.driving;
    if (world.generation < op.since) return undefined;
    const { run } = this;
    const told = this.#told;
    const passed = [...told.values.keys(), ...told.shared].some((at) => topOf(at) > place);
    const version = await this.living(run.version(op.at, 1));
    if (!told.values.has(op.at) && !told.shared.has(op.at)) {
      if (passed && version !== 0)
        world.problem('passed before there was a version', run.id, op.at);
      if (!passed && told.furthest <= place && !run.id.includes('~') && version !== 1)
        world.problem('came here first with the new code', run.id, op.at);
    }
    world.ack(told, op, version);
    if (version > 0) await this.living(run.step(`new ${op.at}`, () => 1));
    return version;
  }

  private park(op: Operation): undefined {
    const { world, dice } = this.driving;
    const told = this.#told;
    if (world.generation < op.since || told.parks > 2) return;
    told.parks += 1;
    throw new Parks(dice(2) === 0 ? undefined : dice(15));
  }

  private async fork({ since }: Operation): Promise<undefined> {
    const { run } = this;
    const { dice, seed, world } = this.driving;
    const all = [...run.history()];
    const checkpoint = all[dice(2) === 0 ? all.length - 1 : dice(all.length)];
    if (!checkpoint) return;
    const fork = (id: string) => this.living(run.fork(checkpoint.id, id));
    await forked(world, seed, run.id, checkpoint.id, run.at(checkpoint.id), `~${since}`, fork);
  }

  private async checkpoint(at: string): Promise<undefined> {
    const { run } = this;
    const { world } = this.driving;
    const number = world.fresh(run.id, at).id;
    const state = { number, values: { ...this.#values } };
    world.states.set(number, structuredClone(state));
    return this.saves(number, () => run.checkpoint(state));
  }

  private async restore(): Promise<undefined> {
    const { run } = this;
    const [first] = run.history({ limit: 1 });
    if (!first) return;
    const { number } = run.at(first.id) as Saved;
    try {
      await this.saves(number, () => run.restore(first.id));
    } catch (error) {
      // Pruned by a call beside this one.
      if ((error as { code?: string }).code !== 'ERR_HOLDFAST_NOT_FOUND') throw error;
    }
  }

  private async saves(
    number: string,
    save: () => Promise<{ checkpoint: string }>,
  ): Promise<undefined> {
    const { world } = this.driving;
    const told = this.#told;
    const before = new Set([...told.values.keys(), ...told.shared]);
    told.saving.push(number);
    const { checkpoint } = await this.living(save());
    world.savedBefore.set(checkpoint, before);
    // Those beside it may be on their way, or behind it.
    const at = told.saving.indexOf(number);
    if (at >= 0) told.saving.splice(at, 1);
    const place = Number(checkpoint.slice(checkpoint.lastIndexOf('@') + 1));
    if (place > told.saved.checkpoint) told.saved = { checkpoint: place, state: number };
  }
}

/** What a hook or a compensation calls of the run, which is kept until that has ended. */
export async function aside(
  { world, mortal, dice }: Pick<Driving, 'world' | 'mortal' | 'dice'>,
  run: Run,
  of: string,
): Promise<void> {
  const told = world.of(run.id);
  const { asides } = told;
  const op = { kind: 'tool', name: 'aside', at: of, safety: 'effect' } as Operation;
  const work = async (): Promise<Value> => {
    await mortal.outside();
    if (asides.has(`step ${of}`) && run.fencingToken >= told.newest)
      world.problem('called aside although told', run.id, of);
    return world.fresh(run.id, of);
  };
  world.ackAside(told, `step ${of}`, await mortal.living(run.step('aside', work)));
  const effect = async (_args: unknown, context: ToolContext): Promise<Value> => {
    await mortal.outside();
    world.attempt(told, of, context.idempotencyKey, context.attempt);
    await pause(dice(2));
    const value = world.happen(told, op, context);
    if (value === undefined) throw busy('stale');
    await mortal.outside();
    return value;
  };
  const call = run.tool('aside', of, effect, {
    retry: { attempts: 2, delay: 1 },
    probe: (key) => world.asked(key, { token: run.fencingToken }) as ProbeAnswer<Value>,
  });
  world.ackAside(told, `tool ${of}`, await mortal.living(call));
}

/** A run is forked, by its own code or from outside, unless it has such a fork. */
export async function forked(
  world: World,
  seed: string,
  run: string,
  checkpoint: string,
  state: unknown,
  suffix: string,
  fork: (id: string) => Promise<unknown>,
): Promise<undefined> {
  const id = `${run}${suffix}`;
  if (run.split('~').length > 2 || run.includes('/') || world.told.has(id)) return;
  const told = world.of(id);
  const { ops } = programOf(seed, run);
  const kinds = new Map([...operationsOf(ops)].map((op) => [op.at, op.kind]));
  const before = world.savedBefore.get(checkpoint);
  // What had not been told by then may or may not be shared.
  told.shared = new Set(
    [...(before ?? [])].filter(
      (at) => !['child', 'hand', 'eventual'].includes(kinds.get(at) ?? ''),
    ),
  );
  told.saved = { checkpoint: -1, state: (state as Saved).number };
  try {
    await fork(id);
  } catch (error) {
    const { code = '' } = error as { code?: string };
    if (!['ERR_HOLDFAST_NOT_FOUND', 'ERR_HOLDFAST_POOL_FULL'].includes(code)) throw error;
    world.told.delete(id);
  }
}

function topOf(at: string): number {
  return Number(at.split('.')[1]);
}
