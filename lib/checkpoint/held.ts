/**
 * The bytes of a blob as they were saved, in one piece, of which a new version costs what changed.
 *
 * A version never changes, like all that is remembered of a saved value, but only the newest has
 * the memory: making the next from it writes the change there and leaves behind what that replaced.
 * A former version that is asked for nevertheless (its successor was not committed, or somebody
 * forked) makes a copy for itself. Now and then the next version gets memory of its own, so that
 * one that is kept for long does not keep every change since.
 */

const changesInPlace = 16;

interface Change {
  readonly from: number;
  readonly replaced: Uint8Array;
  readonly next: Held;
}

export class Held {
  readonly length: number;
  private change: Change | undefined;

  private constructor(
    private memory: Buffer | undefined,
    private readonly changes: number,
  ) {
    this.length = memory!.length;
  }

  static copyOf(bytes: Uint8Array): Held {
    return new Held(Buffer.from(new Uint8Array(bytes).buffer), 0);
  }

  /**
   * To be read at once, and not to be changed: the memory is this version's until the next is made.
   */
  get bytes(): Buffer {
    if (this.memory !== undefined) return this.memory;
    const changes: Change[] = [];
    let has: Held = this;
    for (; has.memory === undefined; has = has.change!.next) changes.push(has.change!);
    const copy = new Uint8Array(has.memory);
    for (const { from, replaced } of changes.reverse()) copy.set(replaced, from);
    this.change = undefined;
    return (this.memory = Buffer.from(copy.buffer));
  }

  /**
   * The next version: other bytes from there on, as many as there were. Those are to be read at
   * once.
   */
  with(from: number, bytes: Uint8Array): { readonly next: Held; readonly replaced: Buffer } {
    const memory = this.bytes;
    const before = memory.subarray(from, from + bytes.length);
    if (this.changes === changesInPlace || 4 * bytes.length > this.length) {
      const next = Held.copyOf(memory);
      next.memory!.set(bytes, from);
      return { next, replaced: before };
    }
    const next = new Held(memory, this.changes + 1);
    const replaced = Buffer.from(before);
    this.change = { from, replaced, next };
    this.memory = undefined;
    memory.set(bytes, from);
    return { next, replaced };
  }
}
