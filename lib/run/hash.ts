/**
 * A hash of a value as data: equal for what `structured` would store as equal, whatever the order
 * of an object's keys. Classes are hashed as the plain objects they are stored as; cycles as the
 * number of the object they lead back to. An object reached on two ways is hashed as two equal
 * ones, since that is what a checkpoint gives back.
 */
import { createHash, type Hash } from 'node:crypto';
import { types } from 'node:util';

import { HoldfastError } from '../errors';
import { isOpaque, opaqueError, unstorableError } from '../plain-data';

/** 32 characters are enough to tell arguments apart, and short in a journal. */
const HASH_CHARACTERS = 32;

/**
 * Objects looked into once more. Beyond so many a knot of them, each reached on many ways, would
 * take for ever.
 */
const MAX_AGAIN = 100_000;

export function hashOf(value: unknown): string {
  try {
    return digestOf(value, new Seen(MAX_AGAIN));
  } catch (error) {
    // The same with its place.
    throw unstorableError(value) ?? error;
  }
}

/** As in journals that told an object reached on two ways from two equal ones. */
export function formerHashOf(value: unknown): string {
  return digestOf(value, new Seen(0));
}

function digestOf(value: unknown, seen: Seen): string {
  const hash = createHash('sha256');
  readingArguments(() => add(hash, value, seen));
  return hash.digest('hex').slice(0, HASH_CHARACTERS);
}

/**
 * Arguments may be nested too deeply for the stack, or something in them throws when it is read;
 * the codec refuses both too.
 */
export function readingArguments<R>(read: () => R): R {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    const why = cause instanceof Error ? cause.message : 'something in them cannot be read';
    throw new HoldfastError('ERR_HOLDFAST_CODEC', `the arguments cannot be stored: ${why}`, {
      cause,
    });
  }
}

/** Numbers objects in the order in which they are looked into. */
class Seen {
  readonly #numbers = new Map<object, number>();
  readonly #open = new Set<object>();
  #count = 0;
  #again = 0;

  constructor(private readonly maxAgain: number) {}

  /** The number of an object that is not to be looked into (again). */
  enter(value: object): number | undefined {
    const before = this.#numbers.get(value);
    if (before !== undefined && (this.#open.has(value) || ++this.#again > this.maxAgain))
      return before;
    this.#numbers.set(value, this.#count++);
    this.#open.add(value);
    return undefined;
  }

  leave(value: object): void {
    this.#open.delete(value);
  }
}

function add(hash: Hash, value: unknown, seen: Seen): void {
  if (value === null) return text(hash, 'null', '');
  switch (typeof value) {
    case 'undefined':
      return text(hash, 'undefined', '');
    case 'number':
      return text(hash, 'number', Object.is(value, -0) ? '0' : String(value));
    case 'string':
    case 'boolean':
    case 'bigint':
      return text(hash, typeof value, String(value));
    case 'object': {
      const before = seen.enter(value);
      if (before !== undefined) return text(hash, 'seen', String(before));
      addObject(hash, value, seen);
      return seen.leave(value);
    }
    default:
      throw new HoldfastError(
        'ERR_HOLDFAST_CODEC',
        `a ${typeof value} cannot be an argument: it cannot be stored`,
      );
  }
}

function addObject(hash: Hash, value: object, seen: Seen): void {
  if (types.isDate(value)) return text(hash, 'date', String(value.getTime()));
  if (types.isRegExp(value)) return text(hash, 'regexp', String(value));
  if (types.isArrayBuffer(value)) return bytes(hash, 'ArrayBuffer', new Uint8Array(value));
  if (ArrayBuffer.isView(value)) {
    const name = Buffer.isBuffer(value) ? 'Uint8Array' : value.constructor.name;
    return bytes(hash, name, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
  if (types.isNativeError(value) || value instanceof Error)
    return text(hash, value.name, value.message);
  if (types.isBoxedPrimitive(value))
    return text(hash, `boxed ${typeof value.valueOf()}`, String(value.valueOf()));
  if (Array.isArray(value)) {
    text(hash, 'array', String(value.length));
    for (const element of value) add(hash, element, seen);
  } else if (types.isMap(value)) {
    text(hash, 'map', String(value.size));
    for (const [key, element] of value) {
      add(hash, key, seen);
      add(hash, element, seen);
    }
  } else if (types.isSet(value)) {
    text(hash, 'set', String(value.size));
    for (const element of value) add(hash, element, seen);
  } else {
    const keys = Object.keys(value).sort();
    if (keys.length === 0 && isOpaque(value)) throw opaqueError(value);
    text(hash, 'object', String(keys.length));
    for (const key of keys) {
      text(hash, 'key', key);
      add(hash, (value as Record<string, unknown>)[key], seen);
    }
  }
}

/** With lengths, so that no two sequences of parts are the same bytes. */
function text(hash: Hash, type: string, value: string): void {
  hash.update(`${type}:${Buffer.byteLength(value)}:${value};`);
}

function bytes(hash: Hash, type: string, value: Uint8Array): void {
  hash.update(`${type}:${value.byteLength}:`).update(value).update(';');
}
