/**
 * Which values msgpack carries as they are, and which must be written the long way round
 * (lib/codecs.ts).
 *
 * `isPlainData` is quick and says no in doubt. `refuseUnreadable` looks at every object of a value
 * that is not plain and refuses what V8 would store as an empty object (instances of built-in
 * classes whose contents nobody can see, a URL or a WeakRef for instance) or could not read again.
 */
import { types } from 'node:util';
import { deserialize, serialize } from 'node:v8';

import { HoldfastError } from './errors';
import { isWellFormed } from './texts';

/**
 * Deeper, and behind so many objects, those seen before are remembered, so that cycles and shared
 * objects end the walk.
 */
const unwatchedDepth = 12;
const unwatchedVisits = 4096;
const deepest = 200;
/**
 * A main thread's usual stack is enough for V8 to read objects nested 1,900 deep, where nothing
 * else is on it.
 */
const deepestRead = 1000;
/**
 * Prototypes of the built-in classes that msgpack knows, of this realm alone: it finds them by
 * class, so a Date of another `vm` context would be an empty object, and an instance of a subclass
 * of Uint8Array could not be read again.
 */
const carried = new Set<unknown>(
  [
    Date,
    RegExp,
    ArrayBuffer,
    DataView,
    Buffer,
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ].map(({ prototype }) => prototype as unknown),
);

const objectPrototype: unknown = Object.prototype;
const arrayPrototype: unknown = Array.prototype;

/** An object of nobody's class: with Object's prototype, of this realm, or with none. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === objectPrototype || prototype === null;
}

class Walk {
  private visits = 0;
  private seen: Set<object> | undefined;

  value(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case 'string':
        return isWellFormed(value);
      case 'number':
        return value !== 0 || !Object.is(value, -0);
      case 'object':
        return value === null || this.object(value, depth);
      case 'symbol':
      case 'function':
        return false;
      default:
        return true;
    }
  }

  private object(value: object, depth: number): boolean {
    if (depth > unwatchedDepth || ++this.visits > unwatchedVisits) {
      if (depth > deepest) return false;
      this.seen ??= new Set();
      if (this.seen.has(value)) return true;
      this.seen.add(value);
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === objectPrototype || prototype === null)
      return this.record(value as Record<string, unknown>, depth + 1);
    if (prototype === arrayPrototype) return Array.isArray(value) && this.array(value, depth + 1);
    return this.builtIn(value, prototype, depth + 1);
  }

  private record(record: Record<string, unknown>, depth: number): boolean {
    for (const key in record) {
      // To the language, and to msgpackr, these are no keys like others: `__keys__` even spoils
      // what it writes afterwards.
      if (key === '__proto__' || key === '__keys__' || key === 'toJSON') return false;
      if (!isWellFormed(key) || !this.value(record[key], depth)) return false;
    }
    return true;
  }

  private array(array: readonly unknown[], depth: number): boolean {
    const { length } = array;
    if (countOwn(array) !== length) return false;
    for (let at = 0; at < length; ++at) {
      const item = array[at];
      if (item === undefined ? !(at in array) : !this.value(item, depth)) return false;
    }
    return true;
  }

  private builtIn(value: object, prototype: unknown, depth: number): boolean {
    if (prototype === Map.prototype && types.isMap(value)) {
      for (const [key, item] of value)
        if (!this.value(key, depth) || !this.value(item, depth)) return false;
      return true;
    }
    if (prototype === Set.prototype && types.isSet(value)) {
      for (const item of value) if (!this.value(item, depth)) return false;
      return true;
    }
    return (
      carried.has(prototype) &&
      (ArrayBuffer.isView(value) ||
        types.isDate(value) ||
        types.isRegExp(value) ||
        types.isArrayBuffer(value))
    );
  }
}

/** Does msgpack give this back as it is? */
export function isPlainData(value: unknown): boolean {
  return new Walk().value(value, 0);
}

/** Of lists with so few elements the keys are made more quickly than the values are gathered. */
export const fewElements = 3;

/**
 * So many elements and properties beside them: nothing finds those more quickly than counting all.
 */
export function countOwn(array: readonly unknown[]): number {
  return (array.length <= fewElements ? Object.keys(array) : Object.values(array)).length;
}

/** An array without holes and without properties of its own beside its elements. */
export function isDense(array: readonly unknown[]): boolean {
  const { length } = array;
  if (countOwn(array) !== length) return false;
  for (let at = 0; at < length; ++at) if (array[at] === undefined && !(at in array)) return false;
  return true;
}

/** Is it an instance of a class that shows nothing of what it is? */
export function isOpaque(value: object): boolean {
  if (types.isProxy(value)) return false;
  const tag = Object.prototype.toString.call(value);
  return (
    tag !== '[object Object]' &&
    tag !== '[object Arguments]' &&
    Object.keys(value).length === 0 &&
    !isKnown(value)
  );
}

function isKnown(value: object): boolean {
  return (
    Array.isArray(value) ||
    types.isMap(value) ||
    types.isSet(value) ||
    types.isDate(value) ||
    types.isRegExp(value) ||
    ArrayBuffer.isView(value) ||
    types.isArrayBuffer(value) ||
    types.isNativeError(value) ||
    types.isBoxedPrimitive(value)
  );
}

export function opaqueError(value: object, root: unknown = value): HoldfastError {
  const what = Object.prototype.toString.call(value).slice('[object '.length, -1);
  const where = placeIn(root, (part) => part === value);
  return new HoldfastError(
    'ERR_HOLDFAST_CODEC',
    `The value cannot be stored: there is a ${what} ${where ?? 'in it'}, of which nothing could be read back` +
      (what === 'Promise' ? '; await it first' : '; store plain data'),
  );
}

/** Undefined where there is no function and no symbol in it. */
export function functionError(root: unknown, cause?: unknown): HoldfastError | undefined {
  let what = '';
  const where = placeIn(root, (part) => {
    what = typeof part;
    return what === 'function' || what === 'symbol';
  });
  if (where === undefined) return undefined;
  return new HoldfastError(
    'ERR_HOLDFAST_CODEC',
    `The value cannot be stored: there is a ${what} ${where}; store plain data, without functions and symbols`,
    cause === undefined ? {} : { cause },
  );
}

/** Of a value that cannot be read back: why, with its place; undefined where nothing is found. */
export function unstorableError(root: unknown): HoldfastError | undefined {
  return functionError(root) ?? opaqueIn(root);
}

/** The same of an instance that shows nothing of what it is. */
export function opaqueIn(root: unknown): HoldfastError | undefined {
  let found: object | undefined;
  placeIn(root, (part) => {
    if (typeof part === 'object' && part !== null && isOpaque(part)) found = part;
    return found !== undefined;
  });
  return found && opaqueError(found, root);
}

/**
 * Of an object that is Node's own inside (`process.env`): V8's message shows all that is in it,
 * secrets too, so neither that nor `cause` is passed on. Undefined of any other failure.
 */
export function foreignError(root: unknown, cause: unknown): HoldfastError | undefined {
  if (!isForeign(cause)) return undefined;
  const fails = (part: unknown): boolean => {
    try {
      serialize(part);
      return false;
    } catch (error) {
      return isForeign(error);
    }
  };
  let where = '';
  const seen = new Set<unknown>();
  for (let at: unknown = root; typeof at === 'object' && at !== null && !seen.has(at);) {
    seen.add(at);
    const inner = namedParts(at, where).find(([part]) => fails(part));
    if (!inner) break;
    [at, where] = inner;
  }
  return new HoldfastError(
    'ERR_HOLDFAST_CODEC',
    `The value cannot be stored: there is an object of the system's ${where === '' ? 'in it' : `at ${where}`}; ` +
      'store plain data, for instance a copy of what you need of it',
  );
}

function isForeign(cause: unknown): boolean {
  return types.isNativeError(cause) && cause.message.startsWith('Unserializable host object');
}

/**
 * For a message: where in `root` the first part is that `wanted` takes, as "at .tools[0].run".
 * Undefined where there is none, or something on the way cannot be read.
 */
function placeIn(root: unknown, wanted: (part: unknown) => boolean): string | undefined {
  const seen = new Set<object>();
  const waiting: [part: unknown, place: string][] = [[root, '']];
  try {
    for (let next; (next = waiting.pop()) !== undefined;) {
      const [part, place] = next;
      if (wanted(part)) return place === '' ? 'in it' : `at ${place}`;
      if (typeof part !== 'object' || part === null || seen.has(part)) continue;
      seen.add(part);
      // One by one: of a long list there would be too many arguments.
      for (const inner of namedParts(part, place).reverse()) waiting.push(inner);
    }
  } catch {
    // A getter or a proxy of the caller's threw.
  }
  return undefined;
}

function namedParts(value: object, place: string): [part: unknown, place: string][] {
  if (Array.isArray(value)) return value.map((item: unknown, at) => [item, `${place}[${at}]`]);
  if (types.isMap(value) || types.isSet(value))
    return partsOf(value).map((item) => [
      item,
      `${place}.(a ${types.isMap(value) ? 'Map' : 'Set'})`,
    ]);
  if (ArrayBuffer.isView(value)) return [];
  return Object.keys(value).map((key) => [
    (value as Record<string, unknown>)[key],
    /^[\w$]+$/.test(key) ? `${place}.${key}` : `${place}[${JSON.stringify(key)}]`,
  ]);
}

/**
 * Refuses what could be written by V8 and not be read back: what shows nothing of itself, and what
 * is nested deeper than V8 can be sure to have the stack for. It reads recursively, in the order of
 * this walk, and takes more stack for that than for writing. Nor do all releases of V8 read an
 * error whose cause leads back to it.
 */
export function refuseUnreadable(root: unknown): void {
  let hasCauses = false;
  const seen = new Set<object>();
  const waiting: unknown[] = [root];
  const depths = [1];
  while (waiting.length > 0) {
    const value = waiting.pop();
    const depth = depths.pop()!;
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (depth > deepestRead) throw depthError();
    if (isOpaque(value)) throw opaqueError(value, root);
    hasCauses ||= types.isNativeError(value) && typeof value.cause === 'object';
    const inside = partsOf(value);
    for (let at = inside.length - 1; at >= 0; --at) {
      waiting.push(inside[at]);
      depths.push(depth + 1);
    }
  }
  if (hasCauses && !isReadBack(root)) throw causeError(root);
}

function isReadBack(value: unknown): boolean {
  const bytes = serialize(value);
  try {
    deserialize(bytes);
    return true;
  } catch {
    return false;
  }
}

function causeError(root: unknown): HoldfastError {
  const where = placeIn(root, (part) => types.isNativeError(part) && !isReadBack(part));
  return new HoldfastError(
    'ERR_HOLDFAST_CODEC',
    `The value cannot be stored: there is an error ${where ?? 'in it'} whose cause leads back to it, which could not be read back; ` +
      'store its message and stack',
  );
}

function partsOf(value: object): unknown[] {
  if (types.isMap(value)) return [...value].flat();
  if (types.isSet(value)) return [...value];
  if (ArrayBuffer.isView(value)) return [];
  const parts = Object.keys(value).map((key) => (value as Record<string, unknown>)[key]);
  if (types.isNativeError(value)) parts.push(value.cause);
  return parts;
}

function depthError(): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CODEC',
    `The value cannot be stored: it is nested more than ${deepestRead} deep, and might not be read again`,
  );
}
