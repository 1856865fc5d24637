/**
 * What is outside of the pool and outlives every death: the effects that happened, by their keys,
 * and what each run's code was told. It is the model: what it sees that may not be, it writes down.
 */
import { inspect, isDeepStrictEqual } from 'node:util';

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
  /** States that may be the newest: the last one acknowledged, and what was on its way since. */
  states: unknown[] = [undefined];
  finished: { readonly result: unknown } | undefined;
  parks = 0;
  /** Its driver of that token put it aside until then. */
  aside = { token: 0, until: 0 };
  /** Somebody said that it goes on: after drivers of these tokens. */
  readonly unparked = new Set<number>();
  readonly hooked = new Set<string>();
  readonly sent = new Map<string, Value[]>();

  constructor(
    readonly id: string,
    readonly origin?: Told,
  ) {}
}

export class World {
  readonly problems: string[] = [];
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly told = new Map<string, Told>();
  readonly effects = new Map<string, { run: string; at: string; value: Value }>();
  /** By checkpoint: the places of what had been told for certain before it was made. */
  readonly savedBefore = new Map<string, ReadonlySet<string>>();
  readonly undone = new Map<string, number>();
  /** Rises: newer code. */
  generation = 0;
  /** By key: the last attempt that was begun, and the last one that nothing comes of any more. */
  readonly #begun = new Map<string, number>();
  readonly #over = new Map<string, number>();
  readonly #made = new Map<string, string>();
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
    this.#made.set(id, `${run}${at}`);
    return { id, more: this.more() };
  }

  /** The code within a step, a decision or a tool is called. */
  called(run: string, { at, kind }: Operation): void {
    const told = this.of(run);
    // What is eventual may be done again.
    if (kind !== 'eventual' && told.values.has(at)) this.problem('called although told', run, at);
    if (told.shared.has(at)) this.problem('called in a fork although shared', run, at);
  }

  /** The call at that place gave this to the code. */
  ack(run: string, { at, kind }: Operation, value: unknown): void {
    const told = this.of(run);
    if (kind === 'eventual' && !this.isNew(told, at, value)) told.values.delete(at);
    for (
      let one: Told | undefined = told;
      one;
      one = one === told && told.shared.has(at) ? told.origin : undefined
    ) {
      if (one.values.has(at) && !isDeepStrictEqual(one.values.get(at), value))
        this.problem('told otherwise before', run, one.id, at, one.values.get(at), value);
    }
    this.note('told', run, at, value);
    told.values.set(at, value);
  }

  /** An attempt of a tool begins. */
  attempt(run: string, at: string, key: string, attempt: number): void {
    const keys = this.of(run).keys;
    const all = keys.get(at) ?? new Set();
    keys.set(at, all.add(key));
    if (all.size > 1) this.problem('one call, two keys', run, at, [...all]);
    if (attempt <= (this.#begun.get(key) ?? 0))
      this.problem('an attempt twice', run, at, key, attempt);
    this.#begun.set(key, attempt);
    this.note('attempt', run, at, key, attempt);
  }

  /** It happens, unless it was said that it never will: then undefined. */
  happen(run: string, { at, safety }: Operation, key: string, attempt: number): Value | undefined {
    if (attempt <= (this.#over.get(key) ?? 0)) return undefined;
    const before = this.effects.get(key);
    if (before && safety === 'idempotent') return before.value;
    if (before && safety === 'effect') this.problem('an effect twice', run, at, key);
    const value = this.fresh(run, at);
    this.note('happens', run, at, key, attempt, safety);
    this.effects.set(key, { run, at, value });
    return value;
  }

  /** A final answer. */
  asked(key: string): { happened: true; result: Value } | { happened: false } {
    const before = this.effects.get(key);
    if (before) return { happened: true, result: before.value };
    this.#over.set(key, this.#begun.get(key) ?? 0);
    this.note('asked', key);
    return { happened: false };
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
