/**
 * What the fields of an instance were, and whether they still are: looked at each time a checkpoint is saved, for every message of
 * a conversation, so nothing is made while comparing.
 *
 * Only of values made of plain objects, arrays and primitives; of anything else it is not known what belongs to it.
 */
import { isPlain } from './kinds';

const deepest = 16;

export class Mirror {
  private constructor(
    /** Of an array: undefined. */
    private readonly keys: readonly string[] | undefined,
    /** Mirrors of objects, anything else as it is. */
    private readonly values: readonly unknown[],
  ) {}

  /** Undefined: it cannot be mirrored. */
  static of(live: object, depth = 0): Mirror | undefined {
    const keys: string[] | undefined = Array.isArray(live) ? undefined : Object.keys(live);
    const values: unknown[] = [];
    for (const value of keys === undefined ? (live as unknown[]) : keys.map((key) => (live as Record<string, unknown>)[key])) {
      if (typeof value !== 'object' || value === null) values.push(value);
      else {
        const inner = depth < deepest && (Array.isArray(value) || isPlain(value)) ? Mirror.of(value, depth + 1) : undefined;
        if (inner === undefined) return undefined;
        values.push(inner);
      }
    }
    return new Mirror(keys, values);
  }

  /** Are these the fields of `live`? Its prototype is the caller's to look at, if it is no plain object. */
  reflects(live: object): boolean {
    const { keys, values } = this;
    if (keys === undefined) {
      if (!Array.isArray(live) || live.length !== values.length) return false;
      for (let at = 0; at < values.length; ++at) if (!isReflected(values[at], live[at])) return false;
      return true;
    }
    const count = keys.length;
    let at = 0;
    // Inherited ones would come behind: there are none where there were none.
    for (const key in live) {
      if (at === count || keys[at] !== key) return false;
      const was = values[at++];
      const now = (live as Record<string, unknown>)[key];
      if ((was !== now || typeof now === 'number') && !isReflected(was, now)) return false;
    }
    return at === count;
  }
}

function isReflected(was: unknown, now: unknown): boolean {
  if (typeof now !== 'object' || now === null) return Object.is(was, now);
  return was instanceof Mirror && (Array.isArray(now) || isPlain(now)) && was.reflects(now);
}
