/**
 * What an object was: its outline, and the values flat in one list. Looked at each time a
 * checkpoint is saved, for every message of a conversation, so comparing goes through no more
 * memory than it must, and makes nothing.
 */
import type { Outline } from './outline';

export class Mirror {
  constructor(
    readonly outline: Outline,
    readonly values: readonly unknown[],
  ) {}

  /**
   * Are these the fields of `live`? What it is itself, a plain object or an instance of which
   * class, is the caller's to look at. `lenient`: properties of a list beside its elements are not
   * looked for.
   */
  reflects(live: object, lenient: boolean): boolean {
    return this.outline.compare(live, this.values, lenient, 0);
  }
}
