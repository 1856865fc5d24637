/**
 * Is a small part of a state what it was? Most of a state is, so this is what saving it mostly
 * does: it looks at every field, makes nothing, and leaves whatever is not quite ordinary to who
 * compares for changes.
 */
import { types } from 'node:util';

import { countOwn, isPlain } from '../plain-data';
import { ARRAY, Blob, Moment, OBJECT, type Shadow, TEXT, Tree } from './shadow';

/** Where this says no it may be the same all the same; it never says yes to what is not. */
export function isUnchanged(old: Tree, live: object, lenient: boolean): boolean {
  const { items } = old;
  const { length } = items;
  if (old.shape !== OBJECT) {
    if (old.shape !== ARRAY || !Array.isArray(live) || live.length !== length) return false;
    // Holes, and properties beside the elements.
    if (!lenient && countOwn(live) !== length) return false;
    for (let i = 0; i < length; ++i) {
      const before = items[i];
      const now: unknown = live[i];
      if (before === now) {
        if (
          isZeroOrNothing(now) &&
          !(now === undefined ? lenient || i in live : Object.is(before, now))
        )
          return false;
      } else if (!isEqual(before, now, lenient)) return false;
    }
    return true;
  }
  if (old.seen !== live && !isPlain(live)) return false;
  let i = 0;
  for (const key in live) {
    if (i >= length || items[i] !== key) return false;
    const before = items[i + 1];
    const now = (live as Record<string, unknown>)[key];
    if (before === now) {
      if (isZero(now) && !Object.is(before, now)) return false;
    } else if (!isEqual(before, now, lenient)) return false;
    i += 2;
  }
  return i === length;
}

function isEqual(before: Shadow, now: unknown, lenient: boolean): boolean {
  if (typeof before !== 'object' || before === null) return before !== before && now !== now;
  if (typeof now === 'string')
    return before instanceof Blob && before.type === TEXT && before.text === now;
  if (typeof now !== 'object' || now === null) return false;
  if (before instanceof Moment) return types.isDate(now) && Object.is(now.getTime(), before.ms);
  return before instanceof Tree && isUnchanged(before, now, lenient);
}

function isZeroOrNothing(value: unknown): boolean {
  return value === undefined || isZero(value);
}

function isZero(value: unknown): boolean {
  return typeof value === 'number' && value === 0;
}
