/**
 * The filters of LangGraph's store: a value to be equal to, or an object of operators that all must
 * hold.
 */
import { isDeepStrictEqual } from 'node:util';

const operators: Record<string, (value: unknown, than: unknown) => boolean> = {
  $eq: (value, than) => isDeepStrictEqual(value, than),
  $ne: (value, than) => !isDeepStrictEqual(value, than),
  $gt: (value, than) => Number(value) > Number(than),
  $gte: (value, than) => Number(value) >= Number(than),
  $lt: (value, than) => Number(value) < Number(than),
  $lte: (value, than) => Number(value) <= Number(than),
  $in: (value, than) => Array.isArray(than) && than.some((one) => isDeepStrictEqual(value, one)),
  $nin: (value, than) => !Array.isArray(than) || !than.some((one) => isDeepStrictEqual(value, one)),
};

export function matchesFilter(
  value: Record<string, unknown>,
  filter: Record<string, unknown>,
): boolean {
  return Object.entries(filter).every(([field, wanted]) => matchesOne(value[field], wanted));
}

function matchesOne(value: unknown, wanted: unknown): boolean {
  if (typeof wanted === 'object' && wanted !== null && !Array.isArray(wanted)) {
    const asked = Object.entries(wanted);
    // An object without operators asks for nothing, as with LangGraph's own store.
    if (asked.every(([name]) => Object.hasOwn(operators, name))) {
      return asked.every(([name, than]) => operators[name]!(value, than));
    }
  }
  return isDeepStrictEqual(value, wanted);
}
