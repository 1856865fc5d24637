/**
 * The filters of LangGraph's store: a value to be equal to, or an object of operators that all must
 * hold.
 */
import { isDeepStrictEqual } from 'node:util';

/** Objects and lists are equal if what is in them is; all else as `===` says. */
function isSame(value: unknown, than: unknown): boolean {
  return value === than || (typeof than === 'object' && isDeepStrictEqual(value, than));
}

function isAmong(value: unknown, than: unknown): boolean {
  return Array.isArray(than) && (than.includes(value) || than.some((one) => isSame(value, one)));
}

const operators: Record<string, (value: unknown, than: unknown) => boolean> = {
  $eq: isSame,
  $ne: (value, than) => !isSame(value, than),
  $gt: (value, than) => Number(value) > Number(than),
  $gte: (value, than) => Number(value) >= Number(than),
  $lt: (value, than) => Number(value) < Number(than),
  $lte: (value, than) => Number(value) <= Number(than),
  $in: isAmong,
  $nin: (value, than) => !isAmong(value, than),
};

export function matchesFilter(
  value: Record<string, unknown>,
  filter: Record<string, unknown>,
): boolean {
  return Object.entries(filter).every(([field, wanted]) => matchesOne(value[field], wanted));
}

function matchesOne(value: unknown, wanted: unknown): boolean {
  if (isRecord(wanted)) {
    const asked = Object.entries(wanted);
    // An object without anything asks for nothing, as with LangGraph's own store.
    if (asked.every(([name]) => Object.hasOwn(operators, name))) {
      return asked.every(([name, than]) => operators[name]!(value, than));
    }
  }
  return isSame(value, wanted);
}

/** No list, Date, Map or the like, which may have nothing of their own by name. */
function isRecord(wanted: unknown): wanted is object {
  return Object.prototype.toString.call(wanted) === '[object Object]';
}
