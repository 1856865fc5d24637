/**
 * What is on its way to a thread, by any saver of the pool: begun, and not stored yet.
 *
 * LangGraph goes on while it saves: with durability `async` always, with `sync` behind an input and
 * in the functional API. Whoever acts in a task waits here until what names the task is stored; a
 * crash then leaves no act of a task that nobody knows.
 */
export class Arrivals {
  readonly #coming = new Map<string, Set<Promise<unknown>>>();

  /** Gives the same promise. */
  add<R>(thread: string, arrival: Promise<R>): Promise<R> {
    let its = this.#coming.get(thread);
    if (its === undefined) this.#coming.set(thread, (its = new Set()));
    its.add(arrival);
    const ended = (): void => {
      its.delete(arrival);
      if (its.size === 0 && this.#coming.get(thread) === its) this.#coming.delete(thread);
    };
    arrival.then(ended, ended);
    return arrival;
  }

  /**
   * Waits for what is on its way, and for what is begun when that has ended, until all is stored
   * that is asked for, or nothing comes any more.
   */
  async until(thread: string, isStored: () => boolean): Promise<void> {
    for (let isQuiet = false; !isStored();) {
      const coming = this.#coming.get(thread);
      if (coming === undefined && isQuiet) return;
      isQuiet = coming === undefined;
      if (coming === undefined) await new Promise(setImmediate);
      else await Promise.allSettled(coming);
    }
  }
}
