/**
 * Who deletes a thread does it alone: what was begun before is waited for, and what begins
 * meanwhile waits. So nothing is saved between two of a deletion's commits, whose nodes it would
 * then lose, and nobody is refused because the thread has gone. So it is with the calls of a
 * durable tool that are one and the same: each waits for the one before.
 */
export class Turns {
  readonly #underWay = new Map<string, number>();
  /** Called when nothing is under way any more. */
  readonly #ended = new Map<string, () => void>();
  readonly #deletions = new Map<string, Promise<void>>();

  /** Of this thread, if one is under way: resolves when it is over, however it ended. */
  deletionOf(thread: string): Promise<void> | undefined {
    return this.#deletions.get(thread);
  }

  /** Calls `work` at once, which no deletion may be under way for. */
  async during<R>(thread: string, work: () => Promise<R>): Promise<R> {
    this.#underWay.set(thread, (this.#underWay.get(thread) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = this.#underWay.get(thread)! - 1;
      if (left > 0) this.#underWay.set(thread, left);
      else {
        this.#underWay.delete(thread);
        this.#ended.get(thread)?.();
      }
    }
  }

  /**
   * Calls `work` when all that was begun is over. `waiting` is how it is waited for those before,
   * and may reject.
   */
  async alone<R>(
    thread: string,
    work: () => Promise<R>,
    waiting = (before: Promise<void>): Promise<void> => before,
  ): Promise<R> {
    for (
      let before = this.deletionOf(thread);
      before !== undefined;
      before = this.deletionOf(thread)
    )
      await waiting(before);
    let over!: () => void;
    this.#deletions.set(thread, new Promise((resolve) => (over = resolve)));
    try {
      if (this.#underWay.has(thread))
        await new Promise<void>((resolve) => this.#ended.set(thread, resolve));
      this.#ended.delete(thread);
      return await work();
    } finally {
      this.#deletions.delete(thread);
      over();
    }
  }
}
