/**
 * What one driver of a run is about: the waits and the children of the run, and the calls that are
 * under way beside them. Of a run that merely waits nobody need look before what it waits for has
 * come.
 *
 * In memory only; the writer says in the run's header what follows from it. One that is lost in a
 * crash, or says too little, makes the run look busier than it is, and no worse.
 */
import { isWithin, outerOf } from './identity';
import type { Wait } from './types';

type ChildWait = Extract<Wait, { run: string }>;

/** A child is no longer driven here; does it wait for something? */
export type ChildLeft = (waits: boolean) => void;

const NO_WAITS: readonly Wait[] = [];

export class Activity {
  /**
   * Since the last wait began something else has come of the run: who continues it has more to do
   * than to wait.
   */
  moved = false;
  readonly #waits = new Map<string, Wait>();
  /** Children that wait, by the calls that opened them, which are under way no more. */
  readonly #childWaits = new Map<string, ChildWait>();
  /** Children that are driven here. */
  readonly #driven = new Map<string, ChildWait>();
  /** The calls under way that are no waits. */
  readonly #working = new Set<{ readonly call: string }>();

  /** All that the run waits for. One that is driven beside a wait may end, or wait, before that. */
  get waits(): readonly Wait[] {
    if (this.#waits.size === 0 && this.#childWaits.size === 0) return NO_WAITS;
    return [...this.#waits.values(), ...this.#childWaits.values(), ...this.#driven.values()];
  }

  /** Nothing is left but to wait. */
  get merelyWaits(): boolean {
    return this.waits.length > 0 && !this.moved && !this.isBusyBeside();
  }

  waitFor(call: string, wait: Wait): void {
    this.#waits.set(call, wait);
  }

  isWaiting(call: string): boolean {
    return this.#waits.has(call);
  }

  /** Did it wait for this? It has come, and is something to do. */
  stopWaiting(call: string): boolean {
    if (!this.#waits.delete(call)) return false;
    this.moved = true;
    return true;
  }

  /**
   * A child, opened in that call, is driven here until what is returned is called. If it waits then
   * and its parent is closed too, nobody need look at it before the child has something to do.
   */
  drivesChild(call: string, child: string): ChildLeft {
    const wait = { run: child };
    this.#childWaits.delete(call);
    this.#driven.set(call, wait);
    return (waits) => {
      this.#driven.delete(call);
      if (!waits) return;
      this.#childWaits.set(call, wait);
      this.moved = false;
    };
  }

  /** That one, or any. */
  isDrivingChild(child?: string): boolean {
    for (const { run } of this.#driven.values()) if (run === (child ?? run)) return true;
    return false;
  }

  /** The run does more than to wait, until what is returned is called. */
  occupy(call: string): () => void {
    const one = { call };
    this.#working.add(one);
    return () => {
      // The code has heard of it, and has something to do.
      if (this.#working.delete(one) && !this.#isAroundWait(call)) this.moved = true;
    };
  }

  /** Is a call under way other than those that wait and those that they are made in? */
  isBusyBeside(): boolean {
    const outer = new Set<string>();
    for (const call of this.#waits.keys()) for (const each of outerOf(call)) outer.add(each);
    for (const { call } of this.#working)
      if (!outer.has(call) && !this.#waits.has(call)) return true;
    return false;
  }

  /** What was under way within an attempt that is over keeps nothing waiting or busy. */
  forgetWithin(identity: string): void {
    for (const waits of [this.#waits, this.#childWaits])
      for (const call of waits.keys()) if (isWithin(call, identity)) waits.delete(call);
    for (const one of this.#working) if (isWithin(one.call, identity)) this.#working.delete(one);
  }

  /** Was a wait made in that call, of this run or of a child of its? */
  #isAroundWait(call: string): boolean {
    for (const waits of [this.#waits, this.#childWaits])
      for (const each of waits.keys()) if (isWithin(each, call)) return true;
    return false;
  }
}
