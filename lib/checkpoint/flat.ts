/**
 * What the objects in a long list were, all in one piece of memory: comparing a list goes through
 * its mirrors from the first to the last, and where each lies by itself that is mostly waiting for
 * memory.
 *
 * It says of an item what the item's mirror would say, or nothing. It goes from a list to what the
 * list becomes, which is laid on it in place: the former list has none then. What is said of an
 * item that changed is left out before anything is made of the change.
 */
import { isPlain } from '../plain-data';
import type { Mirror } from './mirror';
import type { Outline } from './outline';

/** In front of an item's values: the prototype of an instance, and a plain object that was it. */
const front = 2;
/** Fewer values that nobody needs any more are not worth beginning anew. */
const fewUnused = 1024;

export class Flat {
  /** By the items' places in the list. Undefined: of this one nothing is known. */
  private outlines: (Outline | undefined)[] = [];
  /** Where an item's values lie, and for how many there is room. */
  private starts: number[] = [];
  private rooms: number[] = [];
  private values: unknown[] = [];
  private unused = 0;

  /** `views`: of a list in which stand-ins may be stored for instances. */
  constructor(readonly views: boolean) {}

  knows(at: number): boolean {
    return at < this.outlines.length && this.outlines[at] !== undefined;
  }

  /** Is `live` what the item was? Where this says no it may be the same all the same. */
  reflects(at: number, live: unknown, lenient: boolean): boolean {
    if (at >= this.outlines.length) return false;
    const outline = this.outlines[at];
    if (outline === undefined || typeof live !== 'object' || live === null) return false;
    const start = this.starts[at]!;
    const { values } = this;
    const prototype = values[start];
    if (prototype !== undefined)
      return (
        Object.getPrototypeOf(live) === prototype &&
        outline.compare(live, values, true, start + front)
      );
    return (
      (values[start + 1] === live || isPlain(live)) &&
      outline.compare(live, values, lenient, start + front)
    );
  }

  /**
   * `prototype`: of an instance whose fields these are; undefined for a plain object, which `seen`
   * was one of.
   */
  take(
    at: number,
    { outline, values: taken }: Mirror,
    prototype: unknown,
    seen: object | undefined,
  ): void {
    for (let next = this.outlines.length; next <= at; ++next) this.add(undefined, 0, 0);
    const { values } = this;
    const size = front + outline.size;
    if (this.rooms[at] !== size) {
      this.unused += this.rooms[at]!;
      this.starts[at] = values.length;
      this.rooms[at] = size;
      for (let i = 0; i < size; ++i) values.push(undefined);
    }
    const start = this.starts[at]!;
    values[start] = prototype;
    values[start + 1] = seen;
    for (let i = 0; i < taken.length; ++i) values[start + front + i] = taken[i];
    this.outlines[at] = outline;
    this.tidy();
  }

  /** The item is another one now; what it was is not kept. */
  drop(at: number): void {
    if (!this.knows(at)) return;
    this.outlines[at] = undefined;
    this.values.fill(undefined, this.starts[at], this.starts[at]! + this.rooms[at]!);
  }

  /**
   * For the list that has `after` where it had `before`: of what stayed, in front and at the end,
   * all that was known.
   */
  follow(before: readonly unknown[], after: readonly unknown[]): void {
    const { outlines, starts, rooms } = this;
    for (let at = outlines.length; at < before.length; ++at) this.add(undefined, 0, 0);
    const most = Math.min(before.length, after.length);
    let head = 0;
    while (head < most && before[head] === after[head]) ++head;
    let tail = 0;
    while (
      tail < most - head &&
      before[before.length - 1 - tail] === after[after.length - 1 - tail]
    )
      ++tail;
    for (let at = head; at < before.length - tail; ++at) {
      this.drop(at);
      this.unused += rooms[at]!;
    }
    this.outlines = outlines.slice(0, head);
    this.starts = starts.slice(0, head);
    this.rooms = rooms.slice(0, head);
    for (let at = head; at < after.length - tail; ++at) this.add(undefined, 0, 0);
    for (let at = before.length - tail; at < before.length; ++at)
      this.add(outlines[at], starts[at]!, rooms[at]!);
    this.tidy();
  }

  private add(outline: Outline | undefined, start: number, room: number): void {
    this.outlines.push(outline);
    this.starts.push(start);
    this.rooms.push(room);
  }

  /** Begins anew where most of the memory is of values that nobody needs any more. */
  private tidy(): void {
    if (this.unused <= fewUnused || 2 * this.unused <= this.values.length) return;
    this.outlines = [];
    this.starts = [];
    this.rooms = [];
    this.values = [];
    this.unused = 0;
  }
}
