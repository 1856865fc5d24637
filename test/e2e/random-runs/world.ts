/**
 * What is outside of the pool and outlives every death: the effects that happened, by their keys,
 * and what each run's code was told. It is the model: what it sees that may not be, it writes down.
 */
import { inspect, isDeepStrictEqual } from 'node:util';

import type { ToolContext } from '../../../lib/index';
import type { Dice, Operation } from './programs';

export interface Value {
  readonly id: string;
  readonly more: unknown;
}

/** Of one run: what its code was told, in any of its lives. */
export class Told {
  /** By place: what a call gave. */
  readonly values = new Map<string, unknown>();
  /** By place: the keys of its effects. */
  readonly keys = new Map<string, Set<string>>();
  /** What was told for certain before this run was forked: nothing of it is called here. */
  shared: ReadonlySet<string> = new Set();
  /** The furthest top place of the program that was begun in any life. */
  furthest = -1;
  /** The newest state that was acknowledged, and by which number of a checkpoint. */
  saved: { readonly checkpoint: number; readonly state: unknown } = {
    checkpoint: -1,
    state: undefined,
  };
  /** States that were on their way since, and may be newer. */
  saving: unknown[] = [];
  finished: { readonly result: unknown } | undefined;
  /** It has finished, or may have. */
  ending = false;
  parks = 0;
  /** Its driver of that token put it aside until then. */
  aside = { token: 0, until: 0 };
  /** Somebody said that it goes on: after drivers of these tokens. */
  readonly unparked = new Set<number>();
  readonly hooked = new Set<string>();
  /** What calls within hooks and compensations gave, by what these were called for. */
  readonly asides = new Map<string, unknown>();
  readonly sent = new Map<string, Sent[]>();
  /** Of its newest driver. One with a lower token goes on for a while, and records nothing. */
  newest = 0;
  /** What somebody who followed its journal saw, by sequence number. */
  readonly followed = new Map<number, string>();

  constructor(
    readonly id: string,
    readonly origin?: Told,
  ) {}
}

export interface Sent {
  readonly value: Value;
  /** It is there for certain. */
  landed: boolean;
}

/** A state as it was saved. */
export interface Saved {
  readonly number: string;
  readonly values: unknown;
}

export class World {
  readonly problems: string[] = [];
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly told = new Map<string, Told>();
  readonly effects = new Map<string, { run: string; at: string; value: Value }>();
  /** By key: those that give what there is now, each time. */
  readonly readings = new Set<string>();
  /** By checkpoint: the places of what had been told for certain before it was made. */
  readonly savedBefore = new Map<string, ReadonlySet<string>>();
  /** By their numbers. */
  readonly states = new Map<string, Saved>();
  readonly undone = new Map<string, number>();
  /** Runs that were finished and are forgotten. */
  readonly gone = new Set<string>();
  /** Somebody has begun to forget. */
  forgets = false;
  /** Rises: newer code. */
  generation = 0;
  /** By key: the attempts that were begun, and the last one that nothing comes of any more. */
  readonly #begun = new Map<string, Set<number>>();
  readonly #over = new Map<string, { attempt: number; token: number }>();
  #number = 0;

  constructor(readonly dice: Dice) {}

  of(run: string): Told {
    let told = this.told.get(run);
    if (!told) this.told.set(run, (told = new Told(run, this.originOf(run))));
    return told;
  }

  problem(what: string, ...about: unknown[]): void {
    this.problems.push(`${what}: ${about.map((one) => inspect(one)).join(' ')}`);
    this.note('PROBLEM', what);
  }

  note(...what: unknown[]): void {
    this.log.push(what.map((one) => inspect(one, { breakLength: Infinity })).join(' '));
  }

  /** What no two calls share. */
  fresh(run: string, at: string): Value {
    const id = `${run}${at}#${++this.#number}`;
    return { id, more: this.more() };
  }

  /** The code within a step, a decision or a tool is called, by the driver of that token. */
  called(told: Told, { at, kind }: Operation, token: number): void {
    // Who was replaced does not know what the others got done.
    if (token < told.newest) return;
    // What is eventual may be done again.
    if (kind !== 'eventual' && told.values.has(at))
      this.problem('called although told', told.id, at);
    if (told.shared.has(at)) this.problem('called in a fork although shared', told.id, at);
  }

  /** The call at that place gave this to the code. */
  ack(told: Told, { at, kind }: Operation, given: unknown): void {
    // Its code may change what it is given.
    const value = structuredClone(given);
    if (kind === 'eventual' && !this.isNew(told, at, value)) told.values.delete(at);
    for (
      let one: Told | undefined = told;
      one;
      one = one === told && told.shared.has(at) ? told.origin : undefined
    ) {
      if (one.values.has(at) && !isDeepStrictEqual(one.values.get(at), value))
        this.problem('told otherwise before', told.id, one.id, at, one.values.get(at), value);
    }
    this.note('told', told.id, at, value);
    told.values.set(at, value);
  }

  /** A call within a hook or a compensation gave this: the same whenever that is called again. */
  ackAside(told: Told, of: string, value: Value): void {
    const before = told.asides.get(of);
    if (before !== undefined && !isDeepStrictEqual(before, value))
      this.problem('told otherwise aside', told.id, of, before, value);
    told.asides.set(of, value);
  }

  /** An attempt of a tool begins. */
  attempt(told: Told, at: string, key: string, attempt: number): void {
    const { keys } = told;
    const all = keys.get(at) ?? new Set();
    keys.set(at, all.add(key));
    if (all.size > 1) this.problem('one call, two keys', told.id, at, [...all]);
    const begun = this.#begun.get(key) ?? new Set();
    // The last one of a driver that was replaced may begin behind the first of the next.
    if (begun.has(attempt)) this.problem('an attempt twice', told.id, at, key, attempt);
    this.#begun.set(key, begun.add(attempt));
    this.note('attempt', told.id, at, key, attempt);
  }

  /** It happens, unless it was said that it never will: then undefined. */
  happen(
    told: Told,
    { at, safety }: Operation,
    { idempotencyKey: key, attempt, fencingToken }: ToolContext,
  ): Value | undefined {
    const run = told.id;
    const over = this.#over.get(key);
    if (over && (attempt <= over.attempt || fencingToken < over.token)) return undefined;
    const before = this.effects.get(key);
    if (before && safety === 'idempotent') return structuredClone(before.value);
    if (before && safety === 'effect') this.problem('an effect twice', run, at, key);
    const value = this.fresh(run, at);
    this.note('happens', run, at, key, attempt, safety);
    this.effects.set(key, { run, at, value });
    if (safety === 'readOnly') this.readings.add(key);
    return structuredClone(value);
  }

  /**
   * A final answer: nothing comes any more of the attempts that were begun, of the one that is
   * asked about, nor of any by a driver with a lower token than who asks.
   */
  asked(
    key: string,
    { attempt = 0, token = 0 }: { attempt?: number; token?: number },
  ): { happened: true; result: Value } | { happened: false } {
    const before = this.effects.get(key);
    if (before) return { happened: true, result: structuredClone(before.value) };
    this.#over.set(key, {
      attempt: Math.max(attempt, ...(this.#begun.get(key) ?? [])),
      token: Math.max(token, this.#over.get(key)?.token ?? 0),
    });
    this.note('asked', key);
    return { happened: false };
  }

  /** What a checkpoint gives is what was saved under that number. */
  checkState(run: string, state: unknown): void {
    const { number } = (state ?? {}) as Partial<Saved>;
    if (number !== undefined && !isDeepStrictEqual(state, this.states.get(number)))
      this.problem('not the state that was saved', run, state, this.states.get(number));
  }

  /** Of runs that have finished: those that are not there any more were forgotten. */
  forgotten(isThere: (run: string) => boolean): void {
    if (!this.forgets) return;
    for (const { id, ending } of [...this.told.values()]) {
      if (!ending || isThere(id)) continue;
      this.note('forgotten', id);
      this.told.delete(id);
      this.gone.add(id);
      for (const checkpoint of this.savedBefore.keys())
        if (checkpoint.startsWith(`run/${id}@`)) this.savedBefore.delete(checkpoint);
    }
    for (const { id, origin } of this.told.values()) {
      if (!isThere(id)) continue;
      if (origin && this.told.get(origin.id) !== origin) this.problem('without its origin', id);
      const parent = id.slice(0, Math.max(0, id.lastIndexOf('/')));
      if (parent && !this.told.has(parent)) this.problem('without its parent', id);
    }
  }

  private isNew(told: Told, at: string, value: unknown): boolean {
    return isDeepStrictEqual(told.values.get(at), value);
  }

  private originOf(run: string): Told | undefined {
    const parent = run.slice(0, Math.max(0, run.lastIndexOf('~')));
    return parent === '' || run.includes('/') ? undefined : this.of(parent);
  }

  private more(): unknown {
    const some = [
      undefined,
      'text \u{1f600} \u05d0',
      -0,
      10n ** 20n,
      new Date(1e12),
      new Map([[{ a: 1 }, new Set(['x', NaN])]]),
      [1, , 3], // eslint-disable-line no-sparse-arrays
      new Uint8Array([1, 2, 3]),
      { nested: { deep: [null, { more: 'x'.repeat(300) }] } },
      new TypeError('kept', { cause: 7 }),
    ];
    return some[this.dice(some.length)];
  }
}
